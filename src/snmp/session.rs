//! A device's client: the one module, beside the transport, that names the SNMP library.
//!
//! A list of objects of any length goes in, an answer for each comes out. Between the two stands what printers need:
//!
//! - Lists are cut by the device's [`Limits`]. What is answered tooBig is halved, and the size that was borne is kept.
//! - An error that names one object becomes that object's [`Absent`]; the others are asked again.
//! - A request that never gets an answer, at a device that does answer otherwise, is halved until the object is alone
//!   that the device (or the library's decoder) cannot bear. It is [`Absent::NoAnswer`] and not asked again.
//! - SNMPv1 fails a whole GET for one missing object, so there a GET is a GETNEXT from just before each object.
//! - SNMPv3: keys are derived once per credential, engines are remembered, a silent device may have a new engine and is
//!   discovered once more, and REPORTs become a [`Denial`].
//!
//! No call for a SET exists here; clippy's `disallowed-methods` sees to it (DESIGN invariant 2).

mod exchange;
mod network;
mod piece;
mod words;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use async_snmp::v3::EngineCache;
use async_snmp::{Auth, ErrorStatus};
use exchange::{Outcome, Scope};
use tokio::sync::OwnedSemaphorePermit;

pub use network::{DEVICES_DEFAULT, DEVICES_MAX, Network, NetworkOptions};
use piece::{Piece, encoded_size, halve, just_before};
pub use words::Denial;
use words::ours;

use super::transport::{ATTEMPTS, Link};
use super::{Absent, Agent, Limits, Oid, Traffic, Unanswered, VarBind, context};

/// Objects that may fail to answer before the whole device counts as silent.
const NO_ANSWER_MAX: usize = 32;
/// Encoded bytes of the OIDs in one request: with the rest it stays within one Ethernet frame.
const OID_BYTES_MAX: usize = 1200;

/// A live device.
pub struct Session {
    link: Link,
    auth: Option<Auth>,
    default_context: String,
    engines: Arc<EngineCache>,
    /// One per context asked; below v3 only one.
    scopes: Vec<Scope>,
    limits: Limits,
    /// The most objects in one request that the device was seen to bear after a tooBig.
    borne: usize,
    bulk_broken: bool,
    /// It answered something once, to us or to the sweep.
    alive: bool,
    /// It answered this credential.
    answered: bool,
    /// Objects whose GET never answers.
    skipped: BTreeSet<Oid>,
    /// Starts whose GETNEXT never answers: what lies behind them is to blame, they may be fine themselves.
    skipped_next: BTreeSet<Oid>,
    /// How many of both were found in this session.
    no_answers: usize,
    denial: Option<Denial>,
    /// Why it answers no more, once it fell silent in the middle of a list: what was answered before is handed back, and
    /// whatever is asked then comes to this at once.
    gone: Option<Unanswered>,
    not_increasing: u32,
    _place: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Get,
    GetNext,
}

impl Session {
    fn new(
        link: Link,
        auth: Option<Auth>,
        default_context: String,
        engines: Arc<EngineCache>,
        alive: bool,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            link,
            auth,
            default_context,
            engines,
            scopes: Vec::new(),
            limits: Limits::default(),
            borne: usize::MAX,
            bulk_broken: false,
            alive,
            answered: false,
            skipped: BTreeSet::new(),
            skipped_next: BTreeSet::new(),
            no_answers: 0,
            denial: None,
            gone: None,
            not_increasing: 0,
            _place: place,
        }
    }

    /// Objects that never answered here; not asked any more in this session.
    pub fn skipped(&self) -> impl Iterator<Item = &Oid> {
        self.skipped.iter()
    }

    /// Takes what was learned in an earlier session: objects not to ask.
    pub fn skip(&mut self, oids: impl IntoIterator<Item = Oid>) {
        self.skipped.extend(oids.into_iter().take(NO_ANSWER_MAX));
    }

    /// The most objects in one request that the device was seen to bear; none when it never complained.
    pub fn borne(&self) -> Option<usize> {
        (self.borne != usize::MAX).then_some(self.borne)
    }

    /// Takes that from an earlier session.
    pub fn bear(&mut self, varbinds: usize) {
        self.borne = varbinds.max(1);
    }

    /// Why it did not let us in, behind [`Unanswered::Denied`].
    pub fn denial(&self) -> Option<Denial> {
        self.denial
    }

    /// GETNEXT answers that did not go forward; they read as the end of the table.
    pub fn not_increasing(&self) -> u32 {
        self.not_increasing
    }

    /// Who this is.
    pub fn peer(&self) -> SocketAddr {
        async_snmp::Transport::peer_addr(&self.link)
    }

    fn is_v1(&self) -> bool {
        matches!(&self.auth, Some(Auth::Community { version: async_snmp::CommunityVersion::V1, .. }))
    }

    fn is_v3(&self) -> bool {
        matches!(&self.auth, Some(Auth::Usm(_)))
    }

    async fn ask(&mut self, kind: Kind, context: &str, oids: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        if let Some(why) = self.gone {
            return Err(why);
        }
        let mut answers: Vec<Option<VarBind>> = vec![None; oids.len()];
        if !context.is_empty() && !self.is_v3() {
            return Ok(oids.iter().map(|oid| absent(oid, Absent::NoSuchObject)).collect());
        }
        let context = if context.is_empty() { self.default_context.clone() } else { context.to_owned() };
        let context = context.as_str();
        if self.scopes.iter().any(|scope| context::same(&scope.context, context) && scope.dead) {
            return Ok(oids.iter().map(|oid| absent(oid, Absent::NoAnswer)).collect());
        }
        for (answer, oid) in answers.iter_mut().zip(oids) {
            // nearly all begin so, and to ask the library costs a copy
            let plain = oid.arcs().starts_with(&[1, 3, 6]);
            if !plain && async_snmp::Oid::from_slice(oid.arcs()).validate_for_wire().is_err() {
                // No message can carry it (a first arc above 2), so nobody has it.
                *answer = Some(absent(oid, Absent::NoSuchObject));
            }
        }
        let skipped = if kind == Kind::Get { &self.skipped } else { &self.skipped_next };
        let places = (0..oids.len()).filter(|&place| answers[place].is_none() && !skipped.contains(&oids[place]));
        let mut pieces = self.cut(oids, places);
        pieces.reverse();
        if let Err(why) = self.ask_in_pieces(kind, context, oids, pieces, &mut answers).await {
            if !answers.iter().flatten().any(|found| found.answer.is_ok()) {
                return Err(why);
            }
            self.gone = Some(why);
        }
        Ok(answers
            .into_iter()
            .zip(oids)
            .map(|(answer, oid)| answer.unwrap_or_else(|| absent(oid, Absent::NoAnswer)))
            .collect())
    }

    async fn ask_in_pieces(
        &mut self,
        kind: Kind,
        context: &str,
        oids: &[Oid],
        mut pieces: Vec<Piece>,
        answers: &mut [Option<VarBind>],
    ) -> Result<(), Unanswered> {
        while let Some(piece) = pieces.pop() {
            let asked: Vec<&Oid> = piece.places.iter().map(|&place| &oids[place]).collect();
            match self.request(kind, context, &asked, piece.isolating).await? {
                Outcome::Answered(varbinds) => {
                    let unmatched = self.match_up(kind, oids, &piece.places, varbinds, answers);
                    let alone = piece.places.len() == 1;
                    if alone || unmatched.len() == piece.places.len() {
                        // An answer about other objects than those asked: asking again would bring the same.
                        for place in unmatched {
                            answers[place] = Some(absent(&oids[place], Absent::Refused));
                        }
                    } else if !unmatched.is_empty() {
                        pieces.push(Piece { places: unmatched, isolating: piece.isolating });
                    }
                }
                Outcome::Error(status, Some(at)) if at < piece.places.len() => {
                    let place = piece.places[at];
                    answers[place] = Some(absent(&oids[place], reason(kind, status)));
                    let rest: Vec<usize> = piece.places.into_iter().filter(|&other| other != place).collect();
                    if !rest.is_empty() {
                        pieces.push(Piece { places: rest, isolating: piece.isolating });
                    }
                }
                Outcome::Error(status, _) if piece.places.len() == 1 => {
                    answers[piece.places[0]] = Some(absent(asked[0], reason(kind, status)));
                }
                Outcome::Error(..) => halve(&mut pieces, piece.places, piece.isolating),
                Outcome::Nothing => {
                    if !piece.isolating && !self.check_alive(context).await? {
                        break;
                    }
                    if let [place] = *piece.places {
                        let skipped = if kind == Kind::Get { &mut self.skipped } else { &mut self.skipped_next };
                        skipped.insert(oids[place].clone());
                        self.no_answers += 1;
                        if self.no_answers > NO_ANSWER_MAX {
                            return Err(Unanswered::Silent);
                        }
                        answers[place] = Some(absent(&oids[place], Absent::NoAnswer));
                    } else {
                        halve(&mut pieces, piece.places, true);
                    }
                }
            }
        }
        Ok(())
    }

    /// Requests of as many objects as the device bears.
    fn cut(&self, oids: &[Oid], places: impl Iterator<Item = usize>) -> Vec<Piece> {
        let most = self.limits.varbinds_max.clamp(1, 60).min(self.borne);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut bytes = OID_BYTES_MAX;
        for place in places {
            let size = encoded_size(&oids[place]);
            match pieces.last_mut() {
                Some(piece) if piece.places.len() < most && bytes + size <= OID_BYTES_MAX => {
                    piece.places.push(place);
                    bytes += size;
                }
                _ => {
                    pieces.push(Piece { places: vec![place], isolating: false });
                    bytes = size;
                }
            }
        }
        pieces
    }

    /// Gives each answer its place; returns the places that got none.
    fn match_up(
        &mut self,
        kind: Kind,
        oids: &[Oid],
        places: &[usize],
        varbinds: Vec<VarBind>,
        answers: &mut [Option<VarBind>],
    ) -> Vec<usize> {
        match kind {
            Kind::Get => {
                for (n, varbind) in varbinds.into_iter().enumerate() {
                    let fits = |&place: &usize| oids[place] == varbind.oid && answers[place].is_none();
                    let at_its_place = places.get(n).copied().filter(fits);
                    if let Some(place) = at_its_place.or_else(|| places.iter().copied().find(fits)) {
                        // the OID that was asked: devices of one family share it
                        answers[place] = Some(VarBind { oid: oids[place].clone(), answer: varbind.answer });
                    }
                }
            }
            Kind::GetNext => {
                for (&place, varbind) in places.iter().zip(varbinds) {
                    let ended = matches!(varbind.answer, Err(Absent::EndOfMibView));
                    answers[place] = Some(if ended || varbind.oid > oids[place] {
                        varbind
                    } else {
                        self.not_increasing += 1;
                        absent(&oids[place], Absent::EndOfMibView)
                    });
                }
            }
        }
        places.iter().copied().filter(|&place| answers[place].is_none()).collect()
    }

    /// Asks the simplest question. The device has gone when it is not answered: then no object is to blame. Nor is one
    /// when only this context never answers: false, and the context is dead.
    async fn check_alive(&mut self, context: &str) -> Result<bool, Unanswered> {
        if !self.alive {
            return Err(Unanswered::Silent);
        }
        let known = self.scopes.iter().any(|scope| context::same(&scope.context, context) && scope.answered);
        let ask_in = if known { context.to_owned() } else { self.default_context.clone() };
        let sys_object_id = Oid::new(&[1, 3, 6, 1, 2, 1, 1, 2, 0]);
        if let Outcome::Nothing = self.request(Kind::Get, &ask_in, &[&sys_object_id], false).await? {
            return Err(Unanswered::Silent);
        }
        if ask_in == context {
            return Ok(true);
        }
        self.scopes
            .iter_mut()
            .filter(|scope| context::same(&scope.context, context))
            .for_each(|scope| scope.dead = true);
        Ok(false)
    }

    /// A GET in v1: GETNEXT from just before each object, because one missing object fails a v1 GET for all. What
    /// stands between is rare (an object with a subtree right before the one asked) and is asked alone.
    async fn get_v1(&mut self, context: &str, oids: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        let asked: Vec<&Oid> = oids.iter().filter(|oid| !self.skipped.contains(oid)).collect();
        let before: Vec<Oid> = asked.iter().map(|oid| just_before(oid)).collect();
        let mut found = self.ask(Kind::GetNext, context, &before).await?.into_iter();
        let mut answers = Vec::with_capacity(oids.len());
        for oid in oids {
            if self.skipped.contains(oid) {
                answers.push(absent(oid, Absent::NoAnswer));
                continue;
            }
            let Some(found) = found.next() else { continue };
            answers.push(match found.answer {
                Err(Absent::NoAnswer) => {
                    self.skipped.insert(oid.clone());
                    absent(oid, Absent::NoAnswer)
                }
                Err(Absent::Refused) => absent(oid, Absent::Refused),
                Err(_) => absent(oid, Absent::NoSuchObject),
                Ok(_) if found.oid == *oid => found,
                Ok(_) if found.oid > *oid => absent(oid, Absent::NoSuchObject),
                Ok(_) => match self.ask(Kind::Get, context, std::slice::from_ref(oid)).await {
                    Ok(alone) => alone.into_iter().next().unwrap_or_else(|| absent(oid, Absent::NoAnswer)),
                    Err(why) => {
                        self.gone = Some(why);
                        absent(oid, Absent::NoAnswer)
                    }
                },
            });
        }
        Ok(answers)
    }
}

impl Agent for Session {
    fn limit(&mut self, limits: Limits) {
        self.link.wait_at_most(limits.wait_max);
        self.limits = limits;
    }

    async fn get(&mut self, context: &str, oids: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        if self.is_v1() { self.get_v1(context, oids).await } else { self.ask(Kind::Get, context, oids).await }
    }

    async fn get_next(&mut self, context: &str, oids: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        self.ask(Kind::GetNext, context, oids).await
    }

    async fn get_bulk(
        &mut self,
        context: &str,
        oids: &[Oid],
        single: usize,
        repetitions: u16,
    ) -> Result<Vec<VarBind>, Unanswered> {
        let allowed = self.limits.bulk && !self.bulk_broken && !self.is_v1();
        let too_many = oids.len() > self.limits.varbinds_max.min(self.borne);
        if !allowed || oids.is_empty() || too_many || (!context.is_empty() && !self.is_v3()) {
            return self.get_next(context, oids).await;
        }
        if let Some(why) = self.gone {
            return Err(why);
        }
        let scope = if context.is_empty() { self.default_context.clone() } else { context.to_owned() };
        let client = self.client(&scope)?;
        let theirs: Vec<async_snmp::Oid> = oids.iter().map(|oid| async_snmp::Oid::from_slice(oid.arcs())).collect();
        let once = u32::try_from(single).unwrap_or(u32::MAX);
        self.link.attempts(ATTEMPTS);
        if let Ok(response) = client.get_bulk_with_metadata(&theirs, once, u32::from(repetitions.max(1))).await {
            self.heard(&scope);
            let rows: Vec<VarBind> = response.varbinds.into_iter().map(|varbind| ours(varbind, None)).collect();
            // Each column must go forward from row to row; at the first that does not, this agent's GETBULK is broken.
            let forward = rows.iter().enumerate().all(|(n, row)| {
                let many = oids.len().saturating_sub(single);
                // the one asked, or the answer in the row above
                let before = if n < oids.len() { oids.get(n) } else { rows.get(n - many).map(|row| &row.oid) };
                row.answer == Err(Absent::EndOfMibView) || before.is_some_and(|before| row.oid > *before)
            });
            if forward && !rows.is_empty() {
                return Ok(rows);
            }
        }
        self.bulk_broken = true;
        self.get_next(context, oids).await
    }

    fn gone(&self) -> Option<Unanswered> {
        self.gone
    }

    fn traffic(&self) -> Traffic {
        self.link.traffic()
    }
}

fn absent(oid: &Oid, why: Absent) -> VarBind {
    VarBind { oid: oid.clone(), answer: Err(why) }
}

/// What an agent's error says about the one object that it names.
fn reason(kind: Kind, status: ErrorStatus) -> Absent {
    match (status, kind) {
        (ErrorStatus::NoSuchName, Kind::Get) => Absent::NoSuchObject,
        (ErrorStatus::NoSuchName, Kind::GetNext) => Absent::EndOfMibView,
        _ => Absent::Refused,
    }
}
