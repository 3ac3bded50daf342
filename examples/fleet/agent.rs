//! The agent: a datagram in, at most one out. v1 as RFC 1157, v2c as RFC 1901 and 3416; v3 messages are opened by `usm`.

use super::ber;
use super::manner::Manner;
use super::recording::{Recording, View};
use super::usm::{self, Engine};

const GET: u8 = 0xa0;
const GETNEXT: u8 = 0xa1;
const RESPONSE: u8 = 0xa2;
const SET: u8 = 0xa3;
const GETBULK: u8 = 0xa5;
const NO_SUCH_OBJECT: u8 = 0x80;
const NO_SUCH_INSTANCE: u8 = 0x81;
const END_OF_MIB_VIEW: u8 = 0x82;
const TOO_BIG: i64 = 1;
const NO_SUCH_NAME: i64 = 2;
const AUTHORIZATION_ERROR: i64 = 16;
const NOT_WRITABLE: i64 = 17;

/// What comes of a datagram.
#[derive(Debug)]
pub enum Outcome {
    /// An answer.
    Answer(Answer),
    /// No answer, by the device's manner.
    Silence,
    /// No answer, because the asker is not trusted.
    Refused,
    /// A v3 message that says what was wrong with the request.
    Report {
        /// The message.
        bytes: Vec<u8>,
        /// Whether the asker is not trusted; else it only had to learn this engine's id and time.
        refused: bool,
    },
    /// That was no SNMP that this device speaks.
    Malformed,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Answer {
    /// The request id, which a retransmission repeats.
    pub id: i64,
    /// Whether a SET was asked.
    pub set: bool,
    /// Objects in it.
    pub varbinds: u64,
    /// The message.
    pub bytes: Vec<u8>,
}

/// A version, as far as it changes what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    /// v2c and v3 share their PDUs.
    V2,
}

/// A request's PDU.
#[derive(Debug)]
pub struct Pdu<'a> {
    kind: u8,
    /// Request id.
    pub id: i64,
    /// GETBULK's non-repeaters.
    once: i64,
    /// GETBULK's max-repetitions.
    repetitions: i64,
    oids: Vec<Vec<u32>>,
    /// The varbinds as they came: v1 repeats them in an error.
    raw: &'a [u8],
}

/// Answers a datagram as the device would. `views` are its contexts by name, the default one is "".
pub fn answer(
    manner: &Manner,
    views: &[(String, View)],
    engine: &mut Engine,
    now_secs: u64,
    datagram: &[u8],
) -> Outcome {
    let mut rest = datagram;
    let mut message = match ber::expect(&mut rest, ber::SEQUENCE) {
        Some(message) => message,
        None => return Outcome::Malformed,
    };
    match ber::expect_integer(&mut message) {
        Some(0) if manner.v1 => community(manner, views, Version::V1, message),
        Some(1) if manner.v2c => community(manner, views, Version::V2, message),
        Some(3) if !manner.users.is_empty() => usm::answer(manner, views, engine, now_secs, datagram),
        Some(0 | 1 | 3) => Outcome::Refused,
        _ => Outcome::Malformed,
    }
}

fn community(manner: &Manner, views: &[(String, View)], version: Version, mut message: &[u8]) -> Outcome {
    let Some(community) = ber::expect(&mut message, ber::OCTETS) else { return Outcome::Malformed };
    let Some(pdu) = Pdu::take(&mut message) else { return Outcome::Malformed };
    if !manner.communities.iter().any(|known| known.as_bytes() == community) {
        return Outcome::Refused;
    }
    let Some((_, view)) = views.iter().find(|(context, _)| context.is_empty()) else { return Outcome::Silence };
    let number = ber::integer(ber::INTEGER, if version == Version::V1 { 0 } else { 1 });
    let community = ber::element(ber::OCTETS, community);
    let around = number.len() + community.len() + 4;
    match pdu.respond(manner, view, version, around) {
        Some((response, varbinds)) => Outcome::Answer(Answer {
            id: pdu.id,
            set: pdu.is_set(),
            varbinds,
            bytes: ber::group(ber::SEQUENCE, &[&number, &community, &response]),
        }),
        None => Outcome::Silence,
    }
}

impl<'a> Pdu<'a> {
    /// Reads a request; None for what is none.
    pub fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        let (kind, mut pdu) = ber::take(bytes)?;
        if ![GET, GETNEXT, SET, GETBULK].contains(&kind) {
            return None;
        }
        let id = ber::expect_integer(&mut pdu)?;
        let once = ber::expect_integer(&mut pdu)?;
        let repetitions = ber::expect_integer(&mut pdu)?;
        let raw = ber::expect(&mut pdu, ber::SEQUENCE)?;
        let mut oids = Vec::new();
        let mut rest = raw;
        while !rest.is_empty() {
            let mut varbind = ber::expect(&mut rest, ber::SEQUENCE)?;
            oids.push(ber::arcs(ber::expect(&mut varbind, ber::OID)?)?);
        }
        Some(Self { kind, id, once, repetitions, oids, raw })
    }

    /// Whether this would write; nothing is ever written.
    pub fn is_set(&self) -> bool {
        self.kind == SET
    }

    /// The response PDU and the count of its objects; None when this device never answers such a request. `around` is
    /// what the message needs beside the PDU, in bytes.
    pub fn respond(&self, manner: &Manner, view: &View, version: Version, around: usize) -> Option<(Vec<u8>, u64)> {
        if self.oids.iter().any(|oid| manner.never.iter().any(|root| oid.starts_with(root))) {
            return None;
        }
        if version == Version::V1 && self.kind == GETBULK {
            return None;
        }
        if self.kind == SET {
            return Some(self.error(version, if version == Version::V1 { NO_SUCH_NAME } else { NOT_WRITABLE }, 1));
        }
        if self.oids.len() > manner.varbinds_max {
            return Some(self.error(version, TOO_BIG, 0));
        }
        // The PDU's own header, ids and lengths.
        let room = manner.bytes_max.saturating_sub(around + 24);
        let mut list = Vec::with_capacity(1024);
        let mut count = 0;
        if self.kind == GETBULK {
            count = self.bulk(view, room, &mut list);
        } else {
            for (n, oid) in self.oids.iter().enumerate() {
                let found = if self.kind == GET { exact(view, oid) } else { next(view, oid, version) };
                match (found, version) {
                    // v1 has no Counter64 (RFC 3584 4.2.2.1).
                    (Ok((_, [ber::COUNTER64, ..])) | Err(_), Version::V1) => {
                        return Some(self.error(version, NO_SUCH_NAME, n as i64 + 1));
                    }
                    (Ok((name, value)), _) => varbind(&mut list, name, value),
                    (Err(exception), Version::V2) => varbind(&mut list, &ber::oid(oid), &[exception, 0]),
                }
                count += 1;
                if list.len() > room {
                    return Some(self.error(version, TOO_BIG, 0));
                }
            }
        }
        Some((self.response(0, 0, &list), count))
    }

    /// RFC 3416 4.2.3: as many repetitions as are asked and fit; ends when every column has ended.
    fn bulk(&self, view: &View, room: usize, list: &mut Vec<u8>) -> u64 {
        let once = usize::try_from(self.once).unwrap_or(0).min(self.oids.len());
        let (single, repeated) = self.oids.split_at(once);
        let mut places: Vec<Column> = repeated.iter().map(|oid| Column::behind(view, oid)).collect();
        let mut count = 0;
        for oid in single {
            if !Column::behind(view, oid).step(view, room, list) {
                return count;
            }
            count += 1;
        }
        for _ in 0..self.repetitions.clamp(0, 1000) {
            if places.iter().all(|column| column.ended(view)) && count > 0 {
                break;
            }
            for column in &mut places {
                if !column.step(view, room, list) {
                    return count;
                }
                count += 1;
            }
        }
        count
    }

    /// v1 repeats the request's varbinds (RFC 1157 4.1.2); v2c too, save `tooBig`, which has none (RFC 3416 4.2.1).
    fn error(&self, version: Version, status: i64, index: i64) -> (Vec<u8>, u64) {
        let list = if version == Version::V2 && status == TOO_BIG { &[] } else { self.raw };
        (self.response(status, index, list), 0)
    }

    /// The answer to a v3 request below the user's level.
    pub fn unauthorised(&self) -> Vec<u8> {
        self.response(AUTHORIZATION_ERROR, 0, self.raw)
    }

    fn response(&self, status: i64, index: i64, list: &[u8]) -> Vec<u8> {
        ber::group(
            RESPONSE,
            &[
                &ber::integer(ber::INTEGER, self.id),
                &ber::integer(ber::INTEGER, status),
                &ber::integer(ber::INTEGER, index),
                &ber::element(ber::SEQUENCE, list),
            ],
        )
    }
}

/// One column of a GETBULK: where it stands, and what it asked last.
struct Column {
    place: usize,
    asked: Vec<u32>,
}

impl Column {
    fn behind(view: &View, oid: &[u32]) -> Self {
        Self { place: view.recording.after(oid), asked: oid.to_vec() }
    }

    fn ended(&self, view: &View) -> bool {
        view.at(self.place).is_none()
    }

    /// Writes the next object; false when there is no room for it.
    fn step(&mut self, view: &View, room: usize, list: &mut Vec<u8>) -> bool {
        let before = list.len();
        match view.at(self.place) {
            Some((arcs, name, value)) => {
                varbind(list, name, value);
                self.asked = arcs.to_vec();
                self.place += 1;
            }
            None => varbind(list, &ber::oid(&self.asked), &[END_OF_MIB_VIEW, 0]),
        }
        if list.len() > room {
            list.truncate(before);
        }
        list.len() > before
    }
}

fn varbind(list: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    ber::push_head(list, ber::SEQUENCE, name.len() + value.len());
    list.extend_from_slice(name);
    list.extend_from_slice(value);
}

/// The object's OID and value, or the exception of RFC 3416 4.2.1.
fn exact<'v>(view: &'v View, oid: &[u32]) -> Result<(&'v [u8], &'v [u8]), u8> {
    match view.recording.find(oid).and_then(|place| view.at(place)) {
        Some((_, name, value)) => Ok((name, value)),
        None if has_column(&view.recording, oid) => Err(NO_SUCH_INSTANCE),
        None => Err(NO_SUCH_OBJECT),
    }
}

/// The object behind, where v1 passes over Counter64 (RFC 3584 4.2.2.1).
fn next<'v>(view: &'v View, oid: &[u32], version: Version) -> Result<(&'v [u8], &'v [u8]), u8> {
    let mut place = view.recording.after(oid);
    while let Some((_, name, value)) = view.at(place) {
        if version == Version::V2 || value[0] != ber::COUNTER64 {
            return Ok((name, value));
        }
        place += 1;
    }
    Err(END_OF_MIB_VIEW)
}

/// A recording does not say where a column ends and its index begins: an object that shares all but the last arc is
/// taken for another row.
fn has_column(recording: &Recording, oid: &[u32]) -> bool {
    let column = &oid[..oid.len().saturating_sub(1)];
    recording.objects().get(recording.after(column)).is_some_and(|object| object.arcs.starts_with(column))
}
