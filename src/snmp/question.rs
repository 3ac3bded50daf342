//! The words of a sweep: the question for each credential, and what an answer says. Pure.
//!
//! Each credential's question is encoded once; only its request id changes: it carries the time of sending, so that the
//! answer tells its round trip. Ids are 16,384 to 32,767, in milliseconds that turn over every 16 s.

use std::time::Duration;

use super::Oid;
use super::ber::{self, Reader};
use super::credential::{Access, Credential, Version};

/// The part of the request id that is always set: the id then has two octets in every encoding.
const ID_BASE: u16 = 0x4000;

/// sysDescr.0 and sysObjectID.0.
const DESCRIPTION: &[u8] = &[0x2b, 6, 1, 2, 1, 1, 1, 0];
const OBJECT_ID: &[u8] = &[0x2b, 6, 1, 2, 1, 1, 2, 0];

/// The questions of one sweep.
pub struct Questions {
    of: Vec<Question>,
}

struct Question {
    /// As v1, v2c and v3, each with the place of its id's two octets; empty where the credential has none.
    packets: [(Vec<u8>, usize); 3],
}

impl Questions {
    /// Encodes them; they stand in the order of `credentials`.
    pub fn new(credentials: &[Credential]) -> Self {
        let of = credentials.iter().map(|credential| match &credential.access {
            Access::Community { community, .. } => {
                let community = community.expose().as_bytes();
                Question { packets: [get(0, community), get(1, community), Default::default()] }
            }
            Access::User(_) => Question { packets: [Default::default(), Default::default(), discovery()] },
        });
        Self { of: of.collect() }
    }

    /// The packet, with the time of sending in its id.
    pub fn packet(&mut self, credential: usize, version: Version, since_start: Duration) -> &[u8] {
        let (packet, id) = &mut self.of[credential].packets[place(version)];
        if let Some(octets) = packet.get_mut(*id..*id + 2) {
            octets.copy_from_slice(&stamp(since_start).to_be_bytes());
        }
        packet
    }
}

fn place(version: Version) -> usize {
    match version {
        Version::V1 => 0,
        Version::V2c => 1,
        Version::V3 => 2,
    }
}

fn stamp(since_start: Duration) -> u16 {
    ID_BASE | (since_start.as_millis() % u128::from(ID_BASE)) as u16
}

/// How long ago an id was made; none for an id that no question of ours has.
pub fn age(id: i64, since_start: Duration) -> Option<Duration> {
    let id = u16::try_from(id).ok().filter(|id| (ID_BASE..2 * ID_BASE).contains(id))?;
    let age = stamp(since_start).wrapping_sub(id) % ID_BASE;
    Some(Duration::from_millis(u64::from(age)))
}

/// A GET of sysDescr.0 and sysObjectID.0, and where its id stands.
fn get(version: u8, community: &[u8]) -> (Vec<u8>, usize) {
    let binding = |oid: &[u8]| element(0x30, &[&element(0x06, &[oid]), &[0x05, 0x00]]);
    let bindings = element(0x30, &[&binding(DESCRIPTION), &binding(OBJECT_ID)]);
    let pdu = element(ber::GET, &[&[2, 2, 0x40, 0], &[2, 1, 0], &[2, 1, 0], &bindings]);
    // The id is the first element in the PDU; its content begins four octets behind the PDU's beginning (short lengths).
    let front = element(0x30, &[&[2, 1, version], &element(0x04, &[community]), &pdu]);
    let id = front.len() - pdu.len() + 4;
    (front, id)
}

/// The question that every SNMPv3 agent answers with a REPORT: an empty GET to an unknown engine (RFC 3414 section 4).
fn discovery() -> (Vec<u8>, usize) {
    let header = element(0x30, &[&[2, 2, 0x40, 0], &[2, 3, 0, 0xff, 0xe3], &[4, 1, 4], &[2, 1, 3]]);
    let security = element(0x04, &[&element(0x30, &[&[4, 0], &[2, 1, 0], &[2, 1, 0], &[4, 0], &[4, 0], &[4, 0]])]);
    let pdu = element(ber::GET, &[&[2, 1, 0], &[2, 1, 0], &[2, 1, 0], &[0x30, 0]]);
    let scoped = element(0x30, &[&[4, 0], &[4, 0], &pdu]);
    let message = element(0x30, &[&[2, 1, 3], &header, &security, &scoped]);
    // 30 len, 02 01 03, 30 len, 02 02: nine octets, then the id.
    (message, 9)
}

/// A tag, the length, the content.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut bytes = vec![tag];
    match content.len() {
        short @ 0..=127 => bytes.push(short as u8),
        middle @ 128..=255 => bytes.extend([0x81, middle as u8]),
        long => bytes.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    bytes.extend(content);
    bytes
}

/// An answer to a sweep's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<'a> {
    /// In which version.
    pub version: Version,
    /// Its request id or msgID.
    pub id: i64,
    /// The community that came back; empty in v3.
    pub community: &'a [u8],
    /// sysDescr, when it said so.
    pub description: Option<&'a [u8]>,
    /// sysObjectID, when it said so.
    pub object_id: Option<Oid>,
}

/// Reads an answer; nothing when it is none. A reply without values is a reply: some agents have no system group here.
pub fn answer(datagram: &[u8]) -> Option<Answered<'_>> {
    let envelope = ber::envelope(datagram)?;
    let version = match (envelope.version, envelope.pdu?) {
        (0, ber::RESPONSE) => Version::V1,
        (1, ber::RESPONSE) => Version::V2c,
        (3, ber::REPORT) => Version::V3,
        _ => return None,
    };
    let mut answered = Answered { version, id: envelope.id, community: &[], description: None, object_id: None };
    if version != Version::V3 {
        let mut message = Reader(Reader(datagram).element()?.1);
        message.element()?;
        answered.community = message.element()?.1;
        let mut pdu = Reader(envelope.body);
        let heads = (pdu.integer(), pdu.integer(), pdu.integer());
        let bindings = if heads.0.is_some() { pdu.element() } else { None };
        let mut bindings = Reader(bindings.map_or(&[][..], |(_, content)| content));
        while let Some((_, binding)) = bindings.element() {
            let mut binding = Reader(binding);
            match (binding.element(), binding.element()) {
                (Some((0x06, DESCRIPTION)), Some((0x04, text))) => answered.description = Some(text),
                (Some((0x06, OBJECT_ID)), Some((0x06, oid))) => answered.object_id = object_id(oid),
                _ => {}
            }
        }
    }
    Some(answered)
}

/// An OBJECT IDENTIFIER's content (X.690 section 8.19); none when it is cut or an arc is above 32 bit.
fn object_id(content: &[u8]) -> Option<Oid> {
    let mut arcs = Vec::with_capacity(content.len() + 1);
    let mut arc: u32 = 0;
    for (n, &octet) in content.iter().enumerate() {
        arc = arc.checked_mul(128)?.checked_add(u32::from(octet & 0x7f))?;
        if octet & 0x80 != 0 {
            (n + 1 < content.len()).then_some(())?;
            continue;
        }
        if arcs.is_empty() {
            let first = (arc / 40).min(2);
            arcs.extend([first, arc - 40 * first]);
        } else {
            arcs.push(arc);
        }
        arc = 0;
    }
    (!arcs.is_empty()).then(|| Oid::new(&arcs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snmp::credential::{Secret, Versions};

    #[test]
    fn a_question_is_a_get_and_its_id_is_the_time_of_sending() {
        let credentials = [
            Credential::community("c", Secret::new("public"), Versions::Either).unwrap(),
            Credential::parse_v3("ann").unwrap(),
            Credential::community("long", Secret::new("x".repeat(200)), Versions::Either).unwrap(),
        ];
        let mut questions = Questions::new(&credentials);
        for (credential, version, number) in
            [(0, Version::V1, 0), (0, Version::V2c, 1), (1, Version::V3, 3), (2, Version::V2c, 1)]
        {
            let packet = questions.packet(credential, version, Duration::from_millis(16_384 + 5)).to_vec();
            let envelope = ber::envelope(&packet).unwrap();
            assert_eq!((envelope.version, envelope.id, envelope.pdu), (number, 0x4005, Some(ber::GET)));
            assert!(ber::only_reads(&packet));
        }
        assert_eq!(age(0x4005, Duration::from_millis(16_384 + 25)), Some(Duration::from_millis(20)));
        assert_eq!(age(0x7fff, Duration::from_millis(16_384 + 1)), Some(Duration::from_millis(2)));
        for foreign in [0, 0x3fff, 0x8000, -1, i64::MAX] {
            assert_eq!(age(foreign, Duration::ZERO), None);
        }
    }

    #[test]
    fn an_answer_gives_description_and_object_id_and_one_without_values_is_one_too() {
        let binding = |oid: &[u8], value: &[u8]| element(0x30, &[&element(0x06, &[oid]), value]);
        let reply = |bindings: &[&[u8]]| {
            let pdu = element(ber::RESPONSE, &[&[2, 2, 0x41, 0], &[2, 1, 0], &[2, 1, 0], &element(0x30, bindings)]);
            element(0x30, &[&[2, 1, 1], &element(0x04, &[b"public"]), &pdu])
        };
        let full = reply(&[
            &binding(DESCRIPTION, &element(0x04, &[b"KYOCERA"])),
            &binding(OBJECT_ID, &element(0x06, &[&[0x2b, 6, 1, 4, 1, 0x8a, 0x43, 41]])),
        ]);
        let seen = answer(&full).unwrap();
        assert_eq!((seen.version, seen.id, seen.community), (Version::V2c, 0x4100, &b"public"[..]));
        assert_eq!(seen.description, Some(&b"KYOCERA"[..]));
        assert_eq!(seen.object_id.unwrap().to_string(), "1.3.6.1.4.1.1347.41");
        let bare = reply(&[&binding(DESCRIPTION, &[0x81, 0])]);
        assert_eq!(answer(&bare).map(|seen| (seen.description, seen.object_id)), Some((None, None)));
        // A question is no answer, nor is a cut one.
        assert_eq!(answer(&get(1, b"public").0), None);
        assert_eq!(answer(&full[..full.len() - 1]), None);
        assert_eq!(
            object_id(&[0x2b, 0x8f, 0xff, 0xff, 0xff, 0x7f]).map(|oid| oid.to_string()),
            Some("1.3.4294967295".into())
        );
        assert_eq!(object_id(&[0x2b, 0x90, 0x80, 0x80, 0x80, 0x00]), None);
        assert_eq!(object_id(&[0x2b, 0x80]), None);
    }

    #[test]
    fn fuzz_bytes_of_any_kind_are_an_answer_or_none_and_nothing_worse() {
        let pdu = element(ber::RESPONSE, &[&[2, 2, 0x41, 0], &[2, 1, 0], &[2, 1, 0], &[0x30, 0]]);
        let mut dice: u32 = 7;
        let mut roll = |below: usize| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 8) as usize % below
        };
        let seeds =
            [get(1, b"public").0, discovery().0, element(0x30, &[&[2, 1, 1], &element(0x04, &[b"public"]), &pdu])];
        for _ in 0..20_000 {
            let mut bytes = seeds[roll(seeds.len())].clone();
            for _ in 0..=roll(4) {
                let place = roll(bytes.len());
                match roll(3) {
                    0 => bytes[place] = roll(256) as u8,
                    1 => bytes.truncate(place + 1),
                    _ => bytes.insert(place, roll(256) as u8),
                }
            }
            assert!(answer(&bytes).is_none() || ber::envelope(&bytes).is_some(), "{bytes:x?}");
            ber::only_reads(&bytes);
        }
    }
}
