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

/// A request's PDU. Nothing of it is copied: a fleet answers tens of thousands of them each second.
#[derive(Debug)]
pub struct Pdu<'a> {
    kind: u8,
    /// Request id.
    pub id: i64,
    /// GETBULK's non-repeaters.
    once: i64,
    /// GETBULK's max-repetitions.
    repetitions: i64,
    /// The varbinds as they came: v1 repeats them in an error.
    raw: &'a [u8],
    /// How many they are.
    count: usize,
}

/// An asked OID as it came: the element, and the content of it.
#[derive(Clone, Copy, Debug)]
struct Name<'a> {
    element: &'a [u8],
    content: &'a [u8],
}

impl Name<'_> {
    /// [`Pdu::take`] has seen that there are arcs.
    fn arcs(&self) -> Vec<u32> {
        ber::arcs(self.content).unwrap_or_default()
    }
}

/// A response, written from its varbinds to the front: lengths are known when what they count is there.
#[derive(Debug)]
pub struct Response {
    bytes: Vec<u8>,
    from: usize,
    /// Objects in it.
    varbinds: u64,
}

impl Response {
    /// One that has room in front for heads and numbers and `around` bytes more.
    fn new(around: usize) -> Self {
        let from = 64 + around;
        let mut bytes = Vec::with_capacity(from + 1408);
        bytes.resize(from, 0);
        Self { bytes, from, varbinds: 0 }
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.from
    }

    fn truncate(&mut self, length: usize) {
        self.bytes.truncate(self.from + length);
    }

    fn varbind(&mut self, name: &[u8], value: &[u8]) {
        ber::push_head(&mut self.bytes, ber::SEQUENCE, name.len() + value.len());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
    }

    fn put_before(&mut self, bytes: &[u8]) {
        let end = self.from;
        self.from -= bytes.len();
        self.bytes[self.from..end].copy_from_slice(bytes);
    }

    fn integer(&mut self, number: i64) {
        let (bytes, length) = ber::shortest(number);
        self.put_before(&bytes[8 - length..]);
        self.put_before(&[ber::INTEGER, length as u8]);
    }

    fn head(&mut self, tag: u8, length: usize) {
        let mut head = Vec::with_capacity(5);
        ber::push_head(&mut head, tag, length);
        self.put_before(&head);
    }

    /// Objects in it.
    pub fn varbinds(&self) -> u64 {
        self.varbinds
    }

    /// What was written.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.drain(..self.from);
        self.bytes
    }
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
    // The heads of the message and of the community, and the version.
    let around = community.len() + 9;
    let Some(mut response) = pdu.respond(manner, view, version, around) else { return Outcome::Silence };
    response.put_before(community);
    response.head(ber::OCTETS, community.len());
    response.put_before(&[ber::INTEGER, 1, if version == Version::V1 { 0 } else { 1 }]);
    response.head(ber::SEQUENCE, response.len());
    Outcome::Answer(Answer { id: pdu.id, set: pdu.is_set(), varbinds: response.varbinds, bytes: response.into_bytes() })
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
        let mut rest = raw;
        let mut count = 0;
        while !rest.is_empty() {
            ber::are_arcs(next_name(&mut rest)?.content)?;
            count += 1;
        }
        Some(Self { kind, id, once, repetitions, raw, count })
    }

    fn names(&self) -> impl Iterator<Item = Name<'a>> + use<'a> {
        let mut rest = self.raw;
        std::iter::from_fn(move || next_name(&mut rest))
    }

    /// Whether this would write; nothing is ever written.
    pub fn is_set(&self) -> bool {
        self.kind == SET
    }

    /// The response PDU; None when this device never answers such a request. `around` is what the message needs beside
    /// the PDU, in bytes.
    pub fn respond(&self, manner: &Manner, view: &View, version: Version, around: usize) -> Option<Response> {
        let is_never = |name: Name| manner.never.iter().any(|root| name.arcs().starts_with(root));
        if !manner.never.is_empty() && self.names().any(is_never) {
            return None;
        }
        if version == Version::V1 && self.kind == GETBULK {
            return None;
        }
        if self.kind == SET {
            return Some(self.error(
                version,
                if version == Version::V1 { NO_SUCH_NAME } else { NOT_WRITABLE },
                1,
                around,
            ));
        }
        if self.count > manner.varbinds_max {
            return Some(self.error(version, TOO_BIG, 0, around));
        }
        // The PDU's own header, ids and lengths.
        let room = manner.bytes_max.saturating_sub(around + 24);
        let mut list = Response::new(around);
        if self.kind == GETBULK {
            self.bulk(view, room, &mut list);
        } else {
            for (name, n) in self.names().zip(1..) {
                let found = if self.kind == GET { exact(view, name) } else { next(view, name, version) };
                match (found, version) {
                    // v1 has no Counter64 (RFC 3584 4.2.2.1).
                    (Ok((_, [ber::COUNTER64, ..])) | Err(_), Version::V1) => {
                        return Some(self.error(version, NO_SUCH_NAME, n, around));
                    }
                    (Ok((name, value)), _) => list.varbind(name, value),
                    (Err(exception), Version::V2) => list.varbind(name.element, &[exception, 0]),
                }
                list.varbinds += 1;
                if list.len() > room {
                    return Some(self.error(version, TOO_BIG, 0, around));
                }
            }
        }
        Some(self.response(0, 0, list))
    }

    /// RFC 3416 4.2.3: as many repetitions as are asked and fit; ends when every column has ended.
    fn bulk<'v>(&self, view: &'v View, room: usize, list: &mut Response)
    where
        'a: 'v,
    {
        let once = usize::try_from(self.once).unwrap_or(0);
        let mut names = self.names();
        for name in names.by_ref().take(once) {
            if !Column::behind(view, name).step(view, room, list) {
                return;
            }
        }
        let mut columns: Vec<Column<'v>> = names.map(|name| Column::behind(view, name)).collect();
        for _ in 0..self.repetitions.clamp(0, 1000) {
            if columns.iter().all(|column| column.ended(view)) && list.varbinds > 0 {
                break;
            }
            for column in &mut columns {
                if !column.step(view, room, list) {
                    return;
                }
            }
        }
    }

    /// v1 repeats the request's varbinds (RFC 1157 4.1.2); v2c too, save `tooBig`, which has none (RFC 3416 4.2.1).
    fn error(&self, version: Version, status: i64, index: i64, around: usize) -> Response {
        let mut response = Response::new(around);
        if version == Version::V1 || status != TOO_BIG {
            response.bytes.extend_from_slice(self.raw);
        }
        self.response(status, index, response)
    }

    /// The answer to a v3 request below the user's level.
    pub fn unauthorised(&self) -> Vec<u8> {
        self.error(Version::V2, AUTHORIZATION_ERROR, 0, 0).into_bytes()
    }

    /// What stands around the varbinds.
    fn response(&self, status: i64, index: i64, mut list: Response) -> Response {
        list.head(ber::SEQUENCE, list.len());
        list.integer(index);
        list.integer(status);
        list.integer(self.id);
        list.head(RESPONSE, list.len());
        list
    }
}

/// Cuts the first varbind off; None when it is none.
fn next_name<'a>(rest: &mut &'a [u8]) -> Option<Name<'a>> {
    let varbind = ber::expect(rest, ber::SEQUENCE)?;
    let mut behind = varbind;
    let content = ber::expect(&mut behind, ber::OID)?;
    Some(Name { element: &varbind[..varbind.len() - behind.len()], content })
}

/// One column of a GETBULK: where it stands, and what it asked last.
struct Column<'a> {
    place: usize,
    asked: &'a [u8],
}

impl<'a> Column<'a> {
    fn behind(view: &View, name: Name<'a>) -> Self {
        Self { place: behind(view, name), asked: name.element }
    }

    fn ended(&self, view: &View) -> bool {
        view.at(self.place).is_none()
    }

    /// Writes the next object; false when there is no room for it.
    fn step(&mut self, view: &'a View, room: usize, list: &mut Response) -> bool {
        let before = list.len();
        match view.at(self.place) {
            Some((_, name, value)) => {
                list.varbind(name, value);
                self.asked = name;
                self.place += 1;
            }
            None => list.varbind(self.asked, &[END_OF_MIB_VIEW, 0]),
        }
        if list.len() > room {
            list.truncate(before);
            return false;
        }
        list.varbinds += 1;
        true
    }
}

/// The object's OID and value, or the exception of RFC 3416 4.2.1.
fn exact<'v>(view: &'v View, name: Name) -> Result<(&'v [u8], &'v [u8]), u8> {
    let recording = &view.recording;
    match recording.named(name.content).or_else(|| recording.find(&name.arcs())).and_then(|place| view.at(place)) {
        Some((_, name, value)) => Ok((name, value)),
        None if has_column(recording, &name.arcs()) => Err(NO_SUCH_INSTANCE),
        None => Err(NO_SUCH_OBJECT),
    }
}

/// The place of the object behind.
fn behind(view: &View, name: Name) -> usize {
    let recording = &view.recording;
    recording.named(name.content).map_or_else(|| recording.after(&name.arcs()), |place| place + 1)
}

/// The object behind, where v1 passes over Counter64 (RFC 3584 4.2.2.1).
fn next<'v>(view: &'v View, name: Name, version: Version) -> Result<(&'v [u8], &'v [u8]), u8> {
    let mut place = behind(view, name);
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
