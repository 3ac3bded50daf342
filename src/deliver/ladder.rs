//! One pass over the outbox: the channels in their order, the same sealed bytes over each.
//!
//! An item goes by the first channel that does not rest. A channel that fails as a whole rests, and the item goes by the next
//! one at once; when the rest is over, the upper channel is tried first again. So a site falls over and back by itself, and an
//! item that went twice is one at the central, which keys on the token's hash.
//!
//! | what a channel says | the item | the channel |
//! | --- | --- | --- |
//! | receipt, or handed over | leaves the queue | is well |
//! | refused, verifiably | set aside | is well |
//! | unsure | waits, due later; after five such tries it also goes by the next channel | rests after five in a row |
//! | never here | next channel; set aside once every channel of the ladder has said so | is well |
//! | down, not authorised | next channel; waits as it is where there is none | rests |

use jiff::Timestamp;
use meterpost_wire::receipt::Claims;

use super::{Channel, Outgoing, RETRY_AFTER_MOST, SendError, Sent, UNAUTHORIZED_REST, wait};
use crate::outbox::{self, Backlog, Event, OutboxError, Outcome, Rest, State};
use crate::store::{Store, StoreError, Tx};

/// So many items in a row that ended unsure are the channel's failure: 10,000 items need not each learn the same. And an item
/// that ended unsure so often in a row is tried by the next channel too.
const UNSURE_IN_A_ROW: u32 = 5;

/// How one pass over the outbox went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Items delivered.
    pub delivered: u32,
    /// Items handed over.
    pub handed_over: u32,
    /// Items set aside.
    pub set_aside: u32,
    /// Items that wait on after a try.
    pub unsure: u32,
    /// Items that were not tried, because all channels rest or the pass was stopped.
    pub left: u32,
    /// Why the uppermost channel that rests does so, and until when.
    pub rests: Option<Rest>,
}

impl Report {
    /// Whether everything that waited went through.
    pub fn is_clean(&self) -> bool {
        self.set_aside == 0 && self.unsure == 0 && self.left == 0
    }
}

/// Whether due times and a resting channel are heeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hurry {
    /// Only what is due: a daemon between its runs.
    WhenDue,
    /// Everything that waits: a scheduled run, or a person's `outbox send`.
    AtOnce,
}

/// The time and the dice of a pass: scripted in tests.
pub struct Pace<'a> {
    /// The wall clock.
    pub now: &'a dyn Fn() -> Timestamp,
    /// Uniform over all of u32.
    pub dice: &'a dyn Fn() -> u32,
    /// Asked before every item; true ends the pass.
    pub stopped: &'a dyn Fn() -> bool,
}

/// One pass: every waiting item is tried once, the newest first, then an old and a new one in turn, until every channel rests.
/// Each outcome is committed before the next item is sent.
pub fn pass(store: &Store, channels: &[&dyn Channel], hurry: Hurry, pace: &Pace<'_>) -> Result<Report, StoreError> {
    let started = (pace.now)();
    let all = hurry == Hurry::AtOnce;
    let (waiting, rungs) = store.read(|tx| {
        let rungs: Result<Vec<_>, StoreError> = channels.iter().map(|channel| Rung::new(tx, *channel)).collect();
        Ok::<_, StoreError>((outbox::waiting(tx, started, all)?, rungs?))
    })?;
    let mut ladder = Ladder { store, rungs, pace, report: Report::default() };
    for rung in &mut ladder.rungs {
        rung.rests = rung.rests.take().filter(|rest| !all && rest.due_at > started);
    }
    let mut backlog = Backlog::new(waiting);
    while let Some(sequence) = backlog.next() {
        ladder.report.left = backlog.len() as u32;
        if (pace.stopped)() || ladder.rungs.iter().all(|rung| rung.rests.is_some()) {
            ladder.report.left += 1;
            break;
        }
        let Some((item, tries)) = ladder.take(sequence)? else { continue };
        match ladder.climb(&item, tries)? {
            None => {
                // every channel failed with it in its hand
                ladder.report.left += 1;
                break;
            }
            Some(State::Delivered) => ladder.report.delivered += 1,
            Some(State::HandedOver) => ladder.report.handed_over += 1,
            Some(State::SetAside) => ladder.report.set_aside += 1,
            Some(State::Waiting) => ladder.report.unsure += 1,
        }
    }
    ladder.report.rests = ladder.rungs.into_iter().find_map(|rung| rung.rests);
    Ok(ladder.report)
}

/// A channel and how it stands in this pass.
struct Rung<'a> {
    channel: &'a dyn Channel,
    /// Failures of the whole channel in a row, over passes.
    failures: u32,
    /// Items in a row that ended unsure, in this pass.
    unsure: u32,
    /// It is not asked any more, and why.
    rests: Option<Rest>,
}

impl<'a> Rung<'a> {
    fn new(tx: &Tx<'_>, channel: &'a dyn Channel) -> Result<Self, StoreError> {
        let rests = outbox::rest(tx, channel.name())?;
        Ok(Self { channel, failures: rests.as_ref().map_or(0, |rest| rest.attempts), unsure: 0, rests })
    }
}

struct Ladder<'a> {
    store: &'a Store,
    rungs: Vec<Rung<'a>>,
    pace: &'a Pace<'a>,
    report: Report,
}

impl Ladder<'_> {
    /// The next item as it goes out, with how often it ended unsure; `None` when it is gone meanwhile or its bytes are rotten,
    /// in which case it is set aside.
    fn take(&mut self, sequence: u64) -> Result<Option<(Outgoing, u32)>, StoreError> {
        let taken = self.store.read(|tx| {
            let item = outbox::item(tx, sequence)?;
            Ok::<_, OutboxError>((item, outbox::token(tx, sequence)?))
        });
        match taken {
            Ok((item, token)) if item.state == State::Waiting => {
                let attempt = item.sendings.saturating_add(1);
                Ok(Some((Outgoing { sequence, id: item.id, epoch: item.epoch, token, attempt }, item.attempts)))
            }
            Err(OutboxError::Store(error)) => Err(error),
            Err(error @ OutboxError::Rotten(_)) => {
                let now = (self.pace.now)();
                let outcome = Outcome::Refused { reason: error.to_string(), refusal: None };
                let moved = self.store.write(|tx| {
                    outbox::settle(tx, sequence, None, &outcome, now)?;
                    Ok(alarm(tx, now, "rotten", &error.to_string())?)
                });
                moved.map_err(store_error)?;
                self.report.set_aside += 1;
                Ok(None)
            }
            // another process dealt with it between our look and now
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Sends one item by the first channel that takes it; the state it has then. `None` when all channels rest and it was not
    /// this item's doing.
    fn climb(&mut self, item: &Outgoing, tries: u32) -> Result<Option<State>, StoreError> {
        let (store, pace, rungs) = (self.store, self.pace, self.rungs.len());
        let mut not_here = Vec::new();
        let mut state = None;
        for (at, rung) in self.rungs.iter_mut().enumerate().filter(|(_, rung)| rung.rests.is_none()) {
            let sent = rung.channel.send(item);
            let now = (pace.now)();
            match sent {
                Err(error @ (SendError::Down { .. } | SendError::Unauthorized(_))) => {
                    let rest = resting(&error, rung.failures + 1, now, (pace.dice)());
                    let name = rung.channel.name();
                    store.write(|tx| {
                        if let SendError::Unauthorized(_) = error {
                            alarm(tx, now, "unauthorized", not_known(name))?;
                        }
                        outbox::count_sending(tx, item.sequence)?;
                        outbox::set_rest(tx, name, Some(&rest))
                    })?;
                    rung.rests = Some(rest);
                }
                Err(SendError::NotHere(reason)) => not_here.push((rung.channel.name(), reason)),
                sent => {
                    let unsure = matches!(sent, Err(SendError::Unsure(_)));
                    state = Some(settle(store, rung, item, &sent, now, pace)?);
                    if !(unsure && tries + 1 >= UNSURE_IN_A_ROW && at + 1 < rungs) {
                        return Ok(state);
                    }
                }
            }
        }
        let (None, Some((channel, reason))) = (state, not_here.pop()) else { return Ok(state) };
        let now = (pace.now)();
        let outcome = if not_here.len() + 1 == rungs {
            Outcome::Refused { reason, refusal: None }
        } else {
            // a channel that rests, or was unsure, may have it after all
            Outcome::Unsure { reason, due_at: now + wait(tries + 1, (pace.dice)()) }
        };
        let settled = store.write(|tx| {
            if let Outcome::Refused { .. } = outcome {
                alarm(tx, now, "refused", &format!("no channel takes batch {}", item.sequence))?;
            }
            outbox::settle(tx, item.sequence, Some(channel), &outcome, now)
        });
        settled.map(Some).map_err(store_error)
    }
}

/// Records what became of an item, and how its channel is.
fn settle(
    store: &Store,
    rung: &mut Rung<'_>,
    item: &Outgoing,
    sent: &Result<Sent, SendError>,
    now: Timestamp,
    pace: &Pace<'_>,
) -> Result<State, StoreError> {
    let name = rung.channel.name();
    rung.unsure = if let Err(SendError::Unsure(_)) = sent { rung.unsure + 1 } else { 0 };
    let rest = match sent {
        Err(error) if rung.unsure == UNSURE_IN_A_ROW => Some(resting(error, rung.failures + 1, now, (pace.dice)())),
        _ => None,
    };
    let concluded = store.write(|tx| {
        // an answer that nobody can read proves nothing about the channel either
        if rung.unsure == 0 || rest.is_some() {
            outbox::set_rest(tx, name, rest.as_ref())?;
        }
        conclude(tx, item.sequence, name, sent, now, (pace.dice)())
    });
    if rung.unsure == 0 {
        rung.failures = 0;
    }
    rung.rests = rest;
    concluded.map_err(store_error)
}

/// How long a channel rests after it failed as a whole for the `failures`-th time in a row.
fn resting(error: &SendError, failures: u32, now: Timestamp, dice: u32) -> Rest {
    let rest = match error {
        SendError::Unauthorized(_) => UNAUTHORIZED_REST,
        SendError::Down { at_least: Some(asked), .. } => wait(failures, dice).max((*asked).min(RETRY_AFTER_MOST)),
        _ => wait(failures, dice),
    };
    Rest { attempts: failures, due_at: now + rest, last_error: error.to_string() }
}

/// What a person hears when the far side does not know us; its own words may name addresses and stay here.
fn not_known(channel: &str) -> &'static str {
    match channel {
        "mail" => "the mail server does not take mail from this site",
        _ => "the central does not accept this site's token",
    }
}

/// Records what became of one item; the state it has then.
fn conclude(
    tx: &Tx<'_>,
    sequence: u64,
    channel: &str,
    sent: &Result<Sent, SendError>,
    now: Timestamp,
    dice: u32,
) -> Result<State, OutboxError> {
    let outcome = match sent {
        Ok(Sent::Receipt { receipt, .. }) => Outcome::Delivered { receipt: receipt.clone() },
        Ok(Sent::HandedOver) => Outcome::HandedOver,
        Err(SendError::Refused { reason, refusal, .. }) => {
            alarm(tx, now, "refused", &format!("the central refused batch {sequence}: {reason}"))?;
            Outcome::Refused { reason: reason.clone(), refusal: Some(refusal.clone()) }
        }
        Err(error) => {
            if let SendError::UnknownKey(_) = error {
                alarm(tx, now, "unknown-key", &format!("the central does not know the key of batch {sequence}"))?;
            }
            let attempts = outbox::item(tx, sequence)?.attempts + 1;
            Outcome::Unsure { reason: error.to_string(), due_at: now + wait(attempts, dice) }
        }
    };
    let state = outbox::settle(tx, sequence, Some(channel), &outcome, now)?;
    match sent {
        Ok(Sent::Receipt { claims, .. }) => heed(tx, claims, now)?,
        Err(SendError::Refused { claims, .. }) => heed(tx, claims, now)?,
        _ => {}
    }
    Ok(state)
}

fn heed(tx: &Tx<'_>, claims: &Claims, now: Timestamp) -> Result<(), StoreError> {
    outbox::set_clock_skew(tx, now.as_second() - claims.server_time.as_second())?;
    if !outbox::heed(tx, &claims.missing, claims.highest, now)? {
        alarm(tx, now, "highest", "the central names a highest sequence that cannot be; it was ignored")?;
    }
    Ok(())
}

fn alarm(tx: &Tx<'_>, at: Timestamp, code: &str, text: &str) -> Result<(), StoreError> {
    outbox::note(tx, &Event { at, code: code.to_owned(), text: text.to_owned() })
}

/// Inside a pass the only thing besides the store that can go wrong is an item that went away meanwhile.
fn store_error(error: OutboxError) -> StoreError {
    match error {
        OutboxError::Store(error) => error,
        gone => StoreError::Failed(gone.to_string()),
    }
}
