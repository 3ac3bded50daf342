//! What a sweep sends, what it gets back, and the loop between: a socket per family, no task and no heap per address.
//!
//! - Each credential's question is encoded once; only its request id changes: it carries the time of sending, so that
//!   the answer tells its round trip. Ids are 16,384 to 32,767, in milliseconds that turn over every 16 s.
//! - An answer is taken from any port of an asked address: it shows that somebody is there.
//! - A full send buffer is waited for, so unpaced sweeps lose nothing on this host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Oid;
use super::ber::{self, Reader};
use super::credential::{Access, Credential, Version};
use super::transport::bind;
use crate::sweep::{Action, Ask, Outcome, Progress, Sighting, Sweep};

/// Packets sent before answers are looked for.
const SENDS_PER_LOOK: u32 = 16;
/// Packets sent before other tasks may run: readers share the thread.
const SENDS_PER_YIELD: u32 = 64;
/// The part of the request id that is always set: the id then has two octets in every encoding.
const ID_BASE: u16 = 0x4000;
/// Answers are at most this long; longer ones are cut, and are answers all the same.
const ANSWER_BYTES_MAX: usize = 65_535;

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
    fn packet(&mut self, credential: usize, version: Version, since_start: Duration) -> &[u8] {
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
fn age(id: i64, since_start: Duration) -> Option<Duration> {
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

/// Runs a sweep to its end, or until nobody takes sightings any more. Sightings go out as soon as they come; the taker
/// must take them while this runs (a full channel holds the sweep back, so that memory does not grow with the fleet).
/// `progress` is told now and then, some ten times a second, and may break the sweep off: what was not asked by then is
/// in the outcome.
pub async fn run(
    mut sweep: Sweep,
    credentials: &[Credential],
    sightings: mpsc::Sender<Sighting>,
    mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> io::Result<Outcome> {
    let mut questions = Questions::new(credentials);
    let v4 = if sweep.asks(IpAddr::is_ipv4) { Some(bind(Ipv4Addr::UNSPECIFIED.into())?.0) } else { None };
    // A host without IPv6 has no way to such an address: a finding about it, no error.
    let v6 = if sweep.asks(IpAddr::is_ipv6) { bind(Ipv6Addr::UNSPECIFIED.into()).ok().map(|(v6, _)| v6) } else { None };
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    let mut found = Vec::new();
    let started = Instant::now();
    let mut told = Duration::ZERO;
    let mut sends: u32 = 0;
    loop {
        let action = sweep.poll(started.elapsed());
        let wait_until = match action {
            Action::Done => break,
            Action::Send(ask) => {
                let socket = if ask.address.is_ipv4() { &v4 } else { &v6 };
                let packet = questions.packet(ask.credential, ask.version, started.elapsed());
                match socket {
                    Some(socket) => send(socket, packet, &ask, &mut sweep, &started).await,
                    None => sweep.handle_unreachable(ask.address, ask.port),
                }
                sends = sends.wrapping_add(1);
                if !sends.is_multiple_of(SENDS_PER_LOOK) {
                    continue;
                }
                None
            }
            Action::Wait(until) => Some(until),
        };
        for socket in [&v4, &v6].into_iter().flatten() {
            take(socket, &mut buffer, &mut sweep, credentials, &started, &mut found);
        }
        for sighting in found.drain(..) {
            if sightings.send(sighting).await.is_err() {
                sweep.stop();
            }
        }
        if started.elapsed() - told >= Duration::from_millis(100) {
            told = started.elapsed();
            if progress(&sweep.progress(told)).is_break() {
                sweep.stop();
            }
        }
        match wait_until {
            Some(until) => {
                let until = started + until.min(told + Duration::from_millis(100));
                tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = readable(v4.as_ref()) => {}
                    () = readable(v6.as_ref()) => {}
                }
            }
            None if sends.is_multiple_of(SENDS_PER_YIELD) => tokio::task::yield_now().await,
            None => {}
        }
    }
    let _ = progress(&sweep.progress(started.elapsed()));
    Ok(sweep.finish())
}

/// Sends one packet. A full send buffer is waited for; no way to an address is a finding about it.
async fn send(socket: &UdpSocket, packet: &[u8], ask: &Ask, sweep: &mut Sweep, started: &Instant) {
    let to = SocketAddr::from((ask.address, ask.port));
    loop {
        match socket.try_send_to(packet, to) {
            Ok(_) => return sweep.handle_sent(packet.len(), started.elapsed()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if socket.writable().await.is_err() {
                    return;
                }
            }
            // The interface's queue is full (ENOBUFS): it empties in well under a millisecond.
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => tokio::time::sleep(Duration::from_millis(1)).await,
            // An ICMP error about an earlier packet, told here on some systems. It says nothing about this one.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => return sweep.handle_unreachable(ask.address, ask.port),
        }
    }
}

#[cfg(target_os = "linux")]
const ENOBUFS: i32 = 105;
#[cfg(target_os = "macos")]
const ENOBUFS: i32 = 55;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
const ENOBUFS: i32 = 10_055;

/// Takes what has come, 256 datagrams at most.
fn take(
    socket: &UdpSocket,
    buffer: &mut [u8],
    sweep: &mut Sweep,
    credentials: &[Credential],
    started: &Instant,
    found: &mut Vec<Sighting>,
) {
    for _ in 0..256 {
        match socket.try_recv_from(buffer) {
            Ok((length, from)) => {
                let now = started.elapsed();
                let answered = answer(&buffer[..length]);
                let rtt = answered.as_ref().and_then(|answered| age(answered.id, now));
                found.extend(sweep.handle_answer(credentials, from, length, answered.zip(rtt), now));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // Windows tells ICMP errors here.
            Err(_) => {}
        }
    }
}

async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        Some(socket) if socket.readable().await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// The networks that this host is in itself, of both families, by the addresses of its interfaces. None when the system
/// does not tell: the overall rate alone holds then, and a given one.
pub fn attached() -> Vec<ipnet::IpNet> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    // At the other end of a tunnel nobody looks neighbours up.
    let mut networks: Vec<_> = interfaces
        .iter()
        .filter(|interface| !interface.is_p2p())
        .filter_map(|interface| network(&interface.addr))
        .collect();
    networks.sort();
    networks.dedup();
    networks
}

/// The network of an interface; none for loopback and for an address without neighbours.
fn network(address: &if_addrs::IfAddr) -> Option<ipnet::IpNet> {
    let length = match address {
        if_addrs::IfAddr::V4(v4) => v4.prefixlen,
        if_addrs::IfAddr::V6(v6) => v6.prefixlen,
    };
    let net = ipnet::IpNet::new(address.ip(), length).ok()?.trunc();
    (!address.is_loopback() && length > 0 && length < net.max_prefix_len()).then_some(net)
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

    #[test]
    fn the_networks_of_interfaces_are_attached_but_not_loopback_nor_an_address_alone() {
        let v4 = |ip: &str, prefixlen| {
            let (ip, netmask) = (ip.parse().unwrap(), Ipv4Addr::UNSPECIFIED);
            if_addrs::IfAddr::V4(if_addrs::Ifv4Addr { ip, netmask, prefixlen, broadcast: None })
        };
        let v6 = |ip: &str, prefixlen| {
            let (ip, netmask) = (ip.parse().unwrap(), Ipv6Addr::UNSPECIFIED);
            if_addrs::IfAddr::V6(if_addrs::Ifv6Addr { ip, netmask, prefixlen, broadcast: None })
        };
        for (address, expected) in [
            (v4("10.0.5.7", 22), Some("10.0.4.0/22")),
            (v6("2001:db8::5:7", 64), Some("2001:db8::/64")),
            (v4("127.0.0.1", 8), None),
            (v6("::1", 128), None),
            (v4("10.0.5.7", 32), None),
            (v4("10.0.5.7", 0), None),
        ] {
            assert_eq!(network(&address).map(|net| net.to_string()).as_deref(), expected, "{address:?}");
        }
        assert!(attached().iter().all(|net| !net.contains(&IpAddr::from(Ipv4Addr::LOCALHOST))));
    }
}
