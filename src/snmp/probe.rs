//! The loop between a sweep and the network: a socket per family, no task and no heap per address.
//!
//! - An answer is taken from any port of an asked address: it shows that somebody is there.
//! - A full send buffer is waited for, so unpaced sweeps lose nothing on this host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::credential::Credential;
use super::question::{Questions, age, answer};
use super::transport::bind;
use crate::sweep::{Action, Ask, Outcome, Progress, Sighting, Sweep};

/// Packets sent before answers are looked for.
const SENDS_PER_LOOK: u32 = 16;
/// Packets sent before other tasks may run: readers share the thread.
const SENDS_PER_YIELD: u32 = 64;
/// A full queue of the interface is tried so often, a millisecond apart; then there is no way to the address, and whoever
/// stops the sweep is heard.
const QUEUE_FULL_TRIES: u32 = 200;
/// Answers are at most this long; longer ones are cut, and are answers all the same.
const ANSWER_BYTES_MAX: usize = 65_535;

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
    match sent(|| socket.try_send_to(packet, to), || socket.writable()).await {
        Ok(_) => sweep.handle_sent(packet.len(), started.elapsed()),
        Err(_) => sweep.handle_unreachable(ask.address, ask.port),
    }
}

/// Tries until the packet is out, or there is no way for it.
async fn sent<W: Future<Output = io::Result<()>>>(
    mut try_send: impl FnMut() -> io::Result<usize>,
    writable: impl Fn() -> W,
) -> io::Result<usize> {
    let mut full = 0;
    loop {
        match try_send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => writable().await?,
            // The interface's queue is full: it empties in well under a millisecond, if it does.
            Err(error) if error.raw_os_error() == Some(ENOBUFS) && full < QUEUE_FULL_TRIES => {
                full += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // An ICMP error about an earlier packet, told here on some systems. It says nothing about this one.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            done => return done,
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

    #[tokio::test]
    async fn a_queue_that_stays_full_is_no_way_and_one_that_empties_is_waited_for() {
        let full = || io::Error::from_raw_os_error(ENOBUFS);
        let mut tries = 0;
        let never = || {
            tries += 1;
            Err(full())
        };
        let error = sent(never, std::future::pending::<io::Result<()>>).await.unwrap_err();
        assert_eq!((error.raw_os_error(), tries), (Some(ENOBUFS), QUEUE_FULL_TRIES + 1));
        let mut answers = vec![Ok(48), Err(full()), Err(io::ErrorKind::WouldBlock.into()), Err(full())];
        let sent = sent(|| answers.pop().unwrap(), || std::future::ready(Ok(()))).await;
        assert_eq!(sent.unwrap(), 48);
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
