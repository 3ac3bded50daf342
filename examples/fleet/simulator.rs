//! A simulated fleet: many printers on addresses of 127.0.0.0/8, answering SNMP from recordings.
//!
//! Included by `#[path]` in the demo and the tests. It shares no code with the collector: its BER, its agent and its v3
//! are its own, so that neither grades itself; net-snmp's tools and `csnmp` check it (tests/it/fleet.rs).
//!
//! One thread serves all: a socket per printer, so that a burst at one never costs another's datagrams, and one on the
//! wildcard address that swallows what is sent to nobody, because an address where nothing is does not send "port
//! unreachable" in life. 1,000 printers need 1,000 file descriptors: `ulimit -n`.

pub mod agent;
pub mod ber;
pub mod made;
pub mod manner;
pub mod recording;
pub mod tally;
pub mod usm;
pub mod vary;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local, yield_now};

use agent::{Answer, Outcome};
use manner::{Dice, Manner};
use recording::View;
use tally::Tally;
use usm::{Engine, Passwords};

/// A request is at most this long; the rest is cut and the datagram malformed.
const REQUEST_BYTES_MAX: usize = 4096;
/// Bytes that a socket's queue holds, as far as the system grants them.
const QUEUE_BYTES: usize = 4 << 20;
/// Datagrams that one printer answers before the next printer's turn.
const TURN: usize = 32;
/// Between two looks at what is sent to nobody. A look for each packet would take the processor from those who sweep;
/// the smallest queue that systems grant (200 kB) holds what comes in this time.
const NOBODY_LOOKS: Duration = Duration::from_millis(1);

/// One printer of the fleet.
#[derive(Clone, Debug)]
pub struct Printer {
    /// Where it answers.
    pub address: Ipv4Addr,
    /// What it answers, by SNMP context; "" is the default one and the only one below v3.
    pub views: Vec<(String, View)>,
    /// How it behaves.
    pub manner: Manner,
}

/// A fleet to be started.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// The UDP port of every printer; 0: a free one, see [`Running::port`].
    pub port: u16,
    /// The printers, each with an address of its own.
    pub printers: Vec<Printer>,
    /// For loss and jitter.
    pub seed: u64,
}

/// A fleet that answers until this is dropped.
#[derive(Debug)]
pub struct Running {
    port: u16,
    tally: Arc<Mutex<Tally>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a fleet on a thread of its own; all sockets are bound when this returns.
pub fn start(fleet: Fleet) -> io::Result<Running> {
    // The wildcard socket allows others beside it only once it is bound: a second fleet on this port is refused.
    let nobody = bind(Ipv4Addr::UNSPECIFIED, fleet.port, false)?;
    SockRef::from(&nobody).set_reuse_address(true)?;
    let port = nobody.local_addr()?.port();
    let mut passwords = Passwords::default();
    let mut sockets = Vec::with_capacity(fleet.printers.len());
    for printer in fleet.printers {
        let socket = bind(printer.address, port, true).map_err(|why| {
            io::Error::new(
                why.kind(),
                format!("address `{}:{port}`: {why} (1,000 printers need `ulimit -n 2000`)", printer.address),
            )
        })?;
        let other = if printer.manner.other_port { Some(bind(printer.address, 0, false)?) } else { None };
        let engine = Engine::new(printer.address, &printer.manner.users, &mut passwords);
        sockets.push((printer, engine, socket, other));
    }
    let tally = Arc::new(Mutex::new(Tally::default()));
    let (stop, stopped) = oneshot::channel();
    let shared = Arc::clone(&tally);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("fleet".into()).spawn(move || {
        let start = Instant::now();
        LocalSet::new().block_on(&runtime, async move {
            for (printer, engine, socket, other) in sockets {
                let seed = fleet.seed ^ u64::from(u32::from(printer.address)) << 32;
                spawn_local(serve(Device::new(printer, engine, seed, start, &shared), socket, other));
            }
            spawn_local(swallow(nobody, start, shared));
            // Dropping `Running` ends the fleet as well as stopping it.
            let _ = stopped.await;
        });
    })?;
    Ok(Running { port, tally, stop: Some(stop), thread: Some(thread) })
}

impl Running {
    /// The UDP port of every printer.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What was seen so far.
    pub fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Forgets what was seen so far.
    pub fn reset(&self) {
        *lock(&self.tally) = Tally::default();
    }

    /// Ends the fleet and says what was seen.
    pub fn stop(mut self) -> Tally {
        self.end();
        self.tally()
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|why| std::panic::resume_unwind(why));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; a second one inside a drop would hide the test's own.
            let _ = thread.join();
        }
    }
}

/// A UDP socket; with `beside` it may share its port with the wildcard one.
fn bind(address: Ipv4Addr, port: u16, beside: bool) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(beside)?;
    socket.set_recv_buffer_size(QUEUE_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((address, port)).into())?;
    Ok(socket.into())
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A printer at work.
struct Device {
    printer: Printer,
    engine: RefCell<Engine>,
    dice: RefCell<Dice>,
    /// Request ids without an answer yet.
    pending: RefCell<BTreeSet<i64>>,
    /// The request id that was answered last.
    answered: RefCell<Option<i64>>,
    first: RefCell<Option<Instant>>,
    start: Instant,
    tally: Arc<Mutex<Tally>>,
}

impl Device {
    fn new(printer: Printer, engine: Engine, seed: u64, start: Instant, tally: &Arc<Mutex<Tally>>) -> Rc<Self> {
        Rc::new(Self {
            engine: RefCell::new(engine),
            dice: RefCell::new(Dice::new(seed)),
            pending: RefCell::default(),
            answered: RefCell::default(),
            first: RefCell::default(),
            start,
            tally: Arc::clone(tally),
            printer,
        })
    }

    /// Counts a datagram and says what is to be sent for it, and when.
    fn take(&self, datagram: &[u8]) -> Option<(Duration, Option<i64>, Vec<u8>)> {
        let manner = &self.printer.manner;
        let mut tally = lock(&self.tally);
        tally.packet(self.start.elapsed());
        let counts = tally.of(self.printer.address);
        if self.dice.borrow_mut().share() < manner.loss_in {
            counts.lost += 1;
            return None;
        }
        counts.requests += 1;
        counts.bytes_in += datagram.len() as u64;
        if self.asleep(counts.requests) {
            return None;
        }
        let secs = self.start.elapsed().as_secs();
        let mut delay = self.dice.borrow_mut().around(manner.delay, manner.jitter);
        match agent::answer(manner, &self.printer.views, &mut self.engine.borrow_mut(), secs, datagram) {
            Outcome::Answer(Answer { id, set, varbinds, bytes }) => {
                counts.sets += u64::from(set);
                counts.varbinds += varbinds;
                let mut pending = self.pending.borrow_mut();
                // A retransmission that crossed its answer asks nothing new.
                if *self.answered.borrow() != Some(id) {
                    pending.insert(id);
                }
                counts.most_pending = counts.most_pending.max(pending.len() as u64);
                match manner.late {
                    Some((every, by)) if counts.requests.is_multiple_of(every) => delay += by,
                    _ => {}
                }
                Some((delay, Some(id), bytes))
            }
            Outcome::Report { bytes, refused } => {
                counts.refused += u64::from(refused);
                Some((delay, None, bytes))
            }
            Outcome::Refused => {
                counts.refused += 1;
                None
            }
            Outcome::Silence => None,
            Outcome::Malformed => {
                counts.malformed += 1;
                None
            }
        }
    }

    fn asleep(&self, requests: u64) -> bool {
        let manner = &self.printer.manner;
        let first = *self.first.borrow_mut().get_or_insert_with(Instant::now);
        requests < manner.wakes_at || !manner.wakes_after.is_zero() && first.elapsed() < manner.wakes_after
    }

    /// Sends an answer, unless it gets lost.
    fn give(&self, socket: &UdpSocket, peer: SocketAddr, id: Option<i64>, bytes: &[u8]) {
        let manner = &self.printer.manner;
        if let Some(id) = id {
            self.pending.borrow_mut().remove(&id);
            *self.answered.borrow_mut() = Some(id);
        }
        for _ in 0..if manner.twice { 2 } else { 1 } {
            let lost = self.dice.borrow_mut().share() < manner.loss_out;
            // A full queue loses the answer, as a network would.
            let sent = !lost && socket.try_send_to(bytes, peer).is_ok();
            let mut tally = lock(&self.tally);
            let counts = tally.of(self.printer.address);
            counts.lost += u64::from(lost);
            counts.answers += u64::from(sent);
            counts.bytes_out += if sent { bytes.len() as u64 } else { 0 };
        }
    }
}

/// Answers what comes to one printer.
async fn serve(device: Rc<Device>, socket: std::net::UdpSocket, other: Option<std::net::UdpSocket>) {
    let socket = Rc::new(UdpSocket::from_std(socket).expect("a socket of this runtime"));
    let from = match other {
        Some(other) => Rc::new(UdpSocket::from_std(other).expect("a socket of this runtime")),
        None => Rc::clone(&socket),
    };
    let mut buffer = vec![0; REQUEST_BYTES_MAX];
    loop {
        socket.readable().await.expect("a socket that can be polled");
        for _ in 0..TURN {
            let Ok((length, peer)) = socket.try_recv_from(&mut buffer) else { break };
            let Some((delay, id, bytes)) = device.take(&buffer[..length]) else { continue };
            if delay.is_zero() {
                device.give(&from, peer, id, &bytes);
                continue;
            }
            let (device, from) = (Rc::clone(&device), Rc::clone(&from));
            spawn_local(async move {
                tokio::time::sleep(delay).await;
                device.give(&from, peer, id, &bytes);
            });
        }
        yield_now().await;
    }
}

/// Takes what is sent to addresses without a printer.
async fn swallow(socket: std::net::UdpSocket, start: Instant, tally: Arc<Mutex<Tally>>) {
    let socket = UdpSocket::from_std(socket).expect("a socket of this runtime");
    let mut buffer = vec![0; REQUEST_BYTES_MAX];
    loop {
        socket.readable().await.expect("a socket that can be polled");
        let mut empty = false;
        for _ in 0..TURN {
            let Ok((length, _)) = socket.try_recv_from(&mut buffer) else {
                empty = true;
                break;
            };
            let mut tally = lock(&tally);
            tally.packet(start.elapsed());
            tally.packets_to_nobody += 1;
            tally.bytes_to_nobody += length as u64;
        }
        if empty { tokio::time::sleep(NOBODY_LOOKS).await } else { yield_now().await }
    }
}
