//! One UDP socket per address family for all reading, and who gets which answer.
//!
//! - An answer belongs to the request whose device (address *and* port) and id it carries; everything else is dropped
//!   and counted: late, doubled, from a stranger, from the right printer's wrong port.
//! - Ids are 1..=32767, counted up in each session, because some devices cut them to 16 bits. One comes again after
//!   32767 requests to that device, hours after any answer to it may still come. A session begins at a random one; should
//!   it meet the id of a late answer to the session before, that answer is about other objects, and not taken for these.
//! - A retransmission is the same datagram with the same id: a late answer to the first one still counts.
//! - One request at a time per device. Devices read at a time: what was asked for (256, at most 1,024), and no more
//!   than the granted receive buffer / 2304, which measured loses nothing when all answer at once.
//! - Nothing but GET, GETNEXT, GETBULK and v3 discovery leaves ([`ber::only_reads`]); anything else is an error.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_snmp::{Candidate, Error, RequestRegistration, ResponseIdentity};
use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Traffic;
use super::ber;
use super::patience::Patience;
use crate::clock;

/// What the receive buffer is asked to be. Linux grants net.core.rmem_max at most, twice over.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// Granted bytes that one request in flight needs, the kernel's own bookkeeping included (measured).
const BUFFER_BYTES_PER_REQUEST: usize = 2304;
/// The largest UDP payload there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Datagrams taken from a socket in one go before other tasks may run.
const BURST: usize = 64;
/// Answers waiting for one device's reader; more are dropped like any surplus answer.
const INBOX: usize = 8;
/// Transmissions of one request: the first and three more.
pub const ATTEMPTS: u32 = 4;

/// What the two sockets saw. Everything but `received` is a datagram that was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that answered a request.
    pub received: u64,
    /// No request waits for this address, port and id: late, doubled, or never asked for.
    pub unexpected: u64,
    /// Not an SNMP message.
    pub garbage: u64,
    /// The right id from the right device, and a body that cannot be decoded.
    pub undecodable: u64,
    /// Dropped by the kernel because the receive buffer was full (Linux only).
    pub kernel_drops: u64,
}

/// Which way a captured datagram went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the device.
    Out,
    /// From somebody.
    In,
}

/// Sees every datagram as it is, for support.
pub type Capture = Arc<dyn Fn(Way, SocketAddr, &[u8]) + Send + Sync>;

/// The sockets, and who waits for what.
pub struct Sockets {
    v4: Option<Arc<UdpSocket>>,
    v6: Option<Arc<UdpSocket>>,
    granted_bytes: usize,
    tasks: Vec<tokio::task::AbortHandle>,
    shared: Arc<Shared>,
}

struct Shared {
    waiting: Mutex<HashMap<(SocketAddr, i32), mpsc::Sender<Bytes>>>,
    capture: Option<Capture>,
    received: AtomicU64,
    unexpected: AtomicU64,
    garbage: AtomicU64,
    undecodable: AtomicU64,
}

impl Sockets {
    /// Opens them on any free ports. A family that this host lacks is left out; none at all is an error.
    pub fn open(capture: Option<Capture>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            capture,
            received: AtomicU64::new(0),
            unexpected: AtomicU64::new(0),
            garbage: AtomicU64::new(0),
            undecodable: AtomicU64::new(0),
        });
        let v4 = bind(Ipv4Addr::UNSPECIFIED.into());
        let v6 = bind(Ipv6Addr::UNSPECIFIED.into());
        if let (Err(error), Err(_)) = (&v4, &v6) {
            return Err(io::Error::new(error.kind(), format!("no UDP socket could be opened: {error}")));
        }
        let (v4, v6) = (v4.ok(), v6.ok());
        let granted_bytes = [&v4, &v6].into_iter().flatten().map(|(_, granted)| *granted).min().unwrap_or(0);
        let (v4, v6) = (v4.map(|(socket, _)| Arc::new(socket)), v6.map(|(socket, _)| Arc::new(socket)));
        let tasks = [&v4, &v6]
            .into_iter()
            .flatten()
            .map(|socket| tokio::spawn(receive(Arc::clone(socket), Arc::clone(&shared))).abort_handle())
            .collect();
        Ok(Self { v4, v6, granted_bytes, tasks, shared })
    }

    /// Requests that may be under way at once without losing answers in the receive buffer.
    pub fn in_flight_max(&self) -> usize {
        (self.granted_bytes / BUFFER_BYTES_PER_REQUEST).max(1)
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        Counts {
            received: self.shared.received.load(Relaxed),
            unexpected: self.shared.unexpected.load(Relaxed),
            garbage: self.shared.garbage.load(Relaxed),
            undecodable: self.shared.undecodable.load(Relaxed),
            kernel_drops: [&self.v4, &self.v6].into_iter().flatten().map(|socket| kernel_drops(socket)).sum(),
        }
    }

    fn of(&self, address: IpAddr) -> Option<&Arc<UdpSocket>> {
        if address.is_ipv4() { self.v4.as_ref() } else { self.v6.as_ref() }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

/// A socket with a large receive buffer on a free port, and the buffer's size as granted.
pub fn bind(address: IpAddr) -> io::Result<(UdpSocket, usize)> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address((address, 0).into()),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Not granted in full is no failure: in_flight_max() heeds what was.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    let granted = socket.recv_buffer_size()?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((address, 0)).into())?;
    Ok((UdpSocket::from_std(socket.into())?, granted))
}

/// Takes datagrams for as long as the sockets live.
async fn receive(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        for _ in 0..BURST {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => shared.sort(from, &buffer[..length]),
                // Windows reports an ICMP error of an earlier datagram here; Linux never does on such a socket.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        tokio::task::yield_now().await;
    }
}

impl Shared {
    fn sort(&self, from: SocketAddr, datagram: &[u8]) {
        if let Some(capture) = &self.capture {
            capture(Way::In, from, datagram);
        }
        let Some(envelope) = ber::envelope(datagram) else {
            self.garbage.fetch_add(1, Relaxed);
            return;
        };
        let inbox = i32::try_from(envelope.id).ok().and_then(|id| self.lock().get(&(plain(from), id)).cloned());
        let handed = inbox.is_some_and(|inbox| inbox.try_send(Bytes::copy_from_slice(datagram)).is_ok());
        if !handed {
            self.unexpected.fetch_add(1, Relaxed);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(SocketAddr, i32), mpsc::Sender<Bytes>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address without flow label, which is not part of who somebody is.
fn plain(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => SocketAddr::V6(std::net::SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id())),
        v4 => v4,
    }
}

/// One device's end of the sockets: its ids, its patience, its bill.
#[derive(Clone)]
pub struct Link {
    device: Arc<Device>,
}

struct Device {
    peer: SocketAddr,
    socket: Option<Arc<UdpSocket>>,
    local: SocketAddr,
    shared: Arc<Shared>,
    inbox: tokio::sync::Mutex<mpsc::Receiver<Bytes>>,
    sender: mpsc::Sender<Bytes>,
    state: Mutex<State>,
}

struct State {
    next_id: u16,
    /// Where the next wait stands within its spread. Begins at random and is stepped: asking the system is a call each time.
    dice: u8,
    patience: Patience,
    attempts: u32,
    traffic: Traffic,
}

impl State {
    /// Every byte comes once in 256 waits (a full period by Hull and Dobell's rule).
    fn roll(&mut self) -> u8 {
        self.dice = self.dice.wrapping_mul(5).wrapping_add(113);
        self.dice
    }
}

impl Link {
    /// A link to a device; `rtt` is what the sweep measured, `first` the first wait without it.
    pub fn new(sockets: &Sockets, peer: SocketAddr, rtt: Option<Duration>, first: Duration) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX);
        let [low, high, dice] = clock::random_bytes();
        let socket = sockets.of(peer.ip()).cloned();
        let local = socket.as_ref().and_then(|socket| socket.local_addr().ok());
        Self {
            device: Arc::new(Device {
                peer: plain(peer),
                socket,
                local: local.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
                shared: Arc::clone(&sockets.shared),
                inbox: tokio::sync::Mutex::new(inbox),
                sender,
                state: Mutex::new(State {
                    next_id: u16::from_le_bytes([low, high]) & 0x7fff,
                    dice,
                    patience: Patience::new(rtt, first),
                    attempts: ATTEMPTS,
                    traffic: Traffic::default(),
                }),
            }),
        }
    }

    /// Requests and bytes so far.
    pub fn traffic(&self) -> Traffic {
        self.state().traffic
    }

    /// How often the next requests are sent before they count as unanswered, at least once.
    pub fn attempts(&self, attempts: u32) {
        self.state().attempts = attempts.max(1);
    }

    /// The longest wait for one answer; `None` is the usual one.
    pub fn wait_at_most(&self, longest: Option<Duration>) {
        self.state().patience.at_most(longest);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.device.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a datagram on the wire, waiting while the send buffer is full.
    async fn transmit(&self, data: &[u8]) -> Result<(), Box<Error>> {
        let peer = self.device.peer;
        let network = |source| Error::Network { target: peer, source }.boxed();
        if !ber::only_reads(data) {
            return Err(Error::InvalidMessage("only GET, GETNEXT and GETBULK may leave".into()).boxed());
        }
        let Some(socket) = &self.device.socket else {
            return Err(network(io::Error::new(io::ErrorKind::NetworkUnreachable, "no socket of this address family")));
        };
        if let Some(capture) = &self.device.shared.capture {
            capture(Way::Out, peer, data);
        }
        socket.send_to(data, peer).await.map_err(network)?;
        let mut state = self.state();
        state.traffic.requests += 1;
        state.traffic.bytes_sent += data.len() as u64;
        Ok(())
    }
}

/// Takes the id off the list of those waited for, however the request ends.
struct Waiting<'a> {
    shared: &'a Shared,
    key: (SocketAddr, i32),
}

impl<'a> Waiting<'a> {
    fn new(device: &'a Device, id: i32) -> Result<Self, Box<Error>> {
        let key = (device.peer, id);
        match device.shared.lock().entry(key) {
            Entry::Occupied(_) => Err(Error::RequestIdInUse { request_id: id }.boxed()),
            Entry::Vacant(free) => {
                free.insert(device.sender.clone());
                Ok(Self { shared: &device.shared, key })
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.key);
    }
}

impl async_snmp::Transport for Link {
    async fn send(&self, data: &[u8]) -> async_snmp::Result<()> {
        self.transmit(data).await
    }

    /// Sends, waits, sends again: all patience is here, so that the library's own timeouts and retries stay off.
    ///
    /// An answer with the right id that cannot be decoded ends a community request at once as `MalformedResponse`: asking
    /// again would bring the same. In v3 it may be a forgery, and is waited past.
    async fn request_with<T, F>(
        &self,
        data: &[u8],
        registration: RequestRegistration,
        mut validate: F,
    ) -> async_snmp::Result<T>
    where
        T: Send,
        F: FnMut(Bytes, SocketAddr) -> async_snmp::Result<Candidate<T>> + Send,
    {
        let device = &*self.device;
        let mut inbox = device.inbox.lock().await;
        // Doubles of the last answer that came before it was taken.
        while inbox.try_recv().is_ok() {
            device.shared.unexpected.fetch_add(1, Relaxed);
        }
        let _waiting = Waiting::new(device, registration.request_id())?;
        let (patience, attempts) = {
            let state = self.state();
            (state.patience, state.attempts)
        };
        let started = Instant::now();
        for attempt in 0..attempts {
            self.transmit(data).await?;
            let sent = Instant::now();
            let until = sent + patience.wait(attempt, self.state().roll());
            while let Ok(Some(answer)) = tokio::time::timeout_at(until, inbox.recv()).await {
                if registration.evaluate_response_identity(&answer, true) == ResponseIdentity::Reject {
                    device.shared.unexpected.fetch_add(1, Relaxed);
                    continue;
                }
                let bytes = answer.len() as u64;
                let is_v3 = ber::envelope(&answer).is_some_and(|envelope| envelope.version == 3);
                match validate(answer, device.peer)? {
                    Candidate::Accept(value) => {
                        device.shared.received.fetch_add(1, Relaxed);
                        let mut state = self.state();
                        state.traffic.responses += 1;
                        state.traffic.bytes_received += bytes;
                        if attempt == 0 {
                            state.patience.learn(sent.elapsed());
                        }
                        return Ok(value);
                    }
                    Candidate::Reject => {
                        device.shared.undecodable.fetch_add(1, Relaxed);
                        if !is_v3 {
                            return Err(Error::MalformedResponse { target: device.peer }.boxed());
                        }
                    }
                }
            }
        }
        Err(Error::Timeout { target: device.peer, elapsed: started.elapsed(), retries: attempts - 1 }.boxed())
    }

    fn peer_addr(&self) -> SocketAddr {
        self.device.peer
    }

    fn local_addr(&self) -> SocketAddr {
        self.device.local
    }

    fn alloc_request_id(&self) -> i32 {
        let mut state = self.state();
        state.next_id = state.next_id % 0x7fff + 1;
        i32::from(state.next_id)
    }

    fn is_reliable(&self) -> bool {
        false
    }
}

/// What the kernel dropped at this socket, as /proc/net/udp tells it by local port in its last column.
#[cfg(target_os = "linux")]
fn kernel_drops(socket: &UdpSocket) -> u64 {
    let Ok(local) = socket.local_addr() else { return 0 };
    let table = if local.is_ipv4() { "/proc/net/udp" } else { "/proc/net/udp6" };
    let port = format!(":{:04X}", local.port());
    std::fs::read_to_string(table)
        .unwrap_or_default()
        .lines()
        .filter(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&port)))
        .filter_map(|line| line.split_whitespace().next_back()?.parse::<u64>().ok())
        .sum()
}

#[cfg(not(target_os = "linux"))]
fn kernel_drops(_: &UdpSocket) -> u64 {
    0
}
