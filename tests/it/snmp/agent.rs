//! A scripted agent on loopback: what it gets is decoded by hand, what it answers is built by hand, right or wrong.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meterpost::snmp::ber::{self, Reader};

/// A request as the agent got it.
#[derive(Clone, Debug)]
pub struct Request {
    pub version: u8,
    pub community: Vec<u8>,
    pub pdu: u8,
    pub id: Vec<u8>,
    /// error-status and error-index; non-repeaters and max-repetitions of a GETBULK.
    pub fields: (i64, i64),
    pub oids: Vec<Vec<u32>>,
    pub from: SocketAddr,
    pub at: Instant,
    /// How many datagrams came before this one.
    pub number: usize,
}

/// One datagram of an answer.
pub struct Reply {
    pub bytes: Vec<u8>,
    /// None: from the agent's own port.
    pub from: Option<Arc<UdpSocket>>,
}

/// Runs until it is dropped.
pub struct ScriptedAgent {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    thread: Option<std::thread::JoinHandle<()>>,
    stop: Arc<std::sync::atomic::AtomicBool>,
}

impl ScriptedAgent {
    /// `script` answers each request with any number of datagrams; it may sleep, which delays what follows.
    pub fn start(mut script: impl FnMut(&Request) -> Vec<Reply> + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (log, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 65_535];
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let number = log.lock().unwrap().len();
                let request = decode(&buffer[..length], from, number);
                log.lock().unwrap().push(request.clone());
                for reply in script(&request) {
                    reply.from.as_deref().unwrap_or(&socket).send_to(&reply.bytes, from).unwrap();
                }
            }
        });
        Self { address, seen, thread: Some(thread), stop }
    }

    /// An agent that knows objects (sorted by OID, with their encoded values) and does everything right.
    pub fn honest(version: u8, objects: Vec<(Vec<u32>, Vec<u8>)>) -> Self {
        Self::start(move |request| if request.version != version { Vec::new() } else { vec![right(&objects, request)] })
    }

    /// Everything that came so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for ScriptedAgent {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the scripted agent panicked");
        }
        let only_reads =
            self.seen().iter().all(|request| [ber::GET, ber::GET_NEXT, ber::GET_BULK].contains(&request.pdu));
        assert!(only_reads || std::thread::panicking(), "a PDU other than GET, GETNEXT and GETBULK arrived");
    }
}

/// What a correct agent answers, in v1 and v2c.
pub fn right(objects: &[(Vec<u32>, Vec<u8>)], request: &Request) -> Reply {
    let next = |oid: &Vec<u32>| objects.iter().find(|(known, _)| known > oid);
    let mut bindings = Vec::new();
    for (n, oid) in request.oids.iter().enumerate() {
        let found = match request.pdu {
            ber::GET => objects.iter().find(|(known, _)| known == oid),
            _ => next(oid),
        };
        bindings.push(match found {
            Some((known, value)) => (known.clone(), value.clone()),
            None if request.version == 0 => return error(request, 2, n as u8 + 1),
            None if request.pdu == ber::GET => (oid.clone(), vec![0x81, 0]),
            None => (oid.clone(), vec![0x82, 0]),
        });
    }
    if request.pdu == ber::GET_BULK {
        let width = bindings.len();
        for n in width..width * request.fields.1 as usize {
            let before = bindings[n - width].0.clone();
            bindings.push(next(&before).map_or((before, vec![0x82, 0]), Clone::clone));
        }
    }
    answer(request, &bindings)
}

/// An answer with these objects.
pub fn answer(request: &Request, bindings: &[(Vec<u32>, Vec<u8>)]) -> Reply {
    let bindings: Vec<Vec<u8>> =
        bindings.iter().map(|(oid, value)| element(0x30, &[element(0x06, &[encode(oid)]), value.clone()])).collect();
    message(request, 0, 0, element(0x30, &bindings))
}

/// An error about the object with this number, counted from 1.
pub fn error(request: &Request, status: u8, index: u8) -> Reply {
    let bindings: Vec<Vec<u8>> =
        request.oids.iter().map(|oid| element(0x30, &[element(0x06, &[encode(oid)]), vec![5, 0]])).collect();
    message(request, status, index, element(0x30, &bindings))
}

fn message(request: &Request, status: u8, index: u8, bindings: Vec<u8>) -> Reply {
    let id = element(0x02, std::slice::from_ref(&request.id));
    let pdu = element(ber::RESPONSE, &[id, vec![2, 1, status], vec![2, 1, index], bindings]);
    let community = element(0x04, std::slice::from_ref(&request.community));
    Reply { bytes: element(0x30, &[vec![2, 1, request.version], community, pdu]), from: None }
}

fn decode(datagram: &[u8], from: SocketAddr, number: usize) -> Request {
    let mut message = Reader(Reader(datagram).element().unwrap().1);
    let version = message.integer().unwrap() as u8;
    let community = message.element().unwrap().1.to_vec();
    let (pdu, body) = message.element().unwrap();
    let mut body = Reader(body);
    let id = body.element().unwrap().1.to_vec();
    let fields = (body.integer().unwrap(), body.integer().unwrap());
    let mut bindings = Reader(body.element().unwrap().1);
    let mut oids = Vec::new();
    while let Some((_, binding)) = bindings.element() {
        oids.push(arcs(Reader(binding).element().unwrap().1));
    }
    Request { version, community, pdu, id, fields, oids, from, at: Instant::now(), number }
}

/// A tag, the length, the parts.
pub fn element(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    let mut bytes = vec![tag];
    match content.len() {
        short @ 0..=127 => bytes.push(short as u8),
        long => bytes.extend([0x83, (long >> 16) as u8, (long >> 8) as u8, long as u8]),
    }
    bytes.extend(content);
    bytes
}

pub fn text(bytes: &[u8]) -> Vec<u8> {
    element(0x04, &[bytes.to_vec()])
}

fn encode(arcs: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (n, &arc) in arcs.iter().enumerate() {
        let arc = match n {
            0 => continue,
            1 => arcs[0] * 40 + arc,
            _ => arc,
        };
        let groups = (1..5).rev().filter(|group| arc >> (7 * group) != 0);
        bytes.extend(groups.map(|group| 0x80 | (arc >> (7 * group)) as u8));
        bytes.push(arc as u8 & 0x7f);
    }
    bytes
}

fn arcs(content: &[u8]) -> Vec<u32> {
    let mut arcs = Vec::new();
    let mut arc = 0;
    for octet in content {
        arc = arc << 7 | u32::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            match arcs.is_empty() {
                true => arcs.extend([(arc / 40).min(2), arc - 40 * (arc / 40).min(2)]),
                false => arcs.push(arc),
            }
            arc = 0;
        }
    }
    arcs
}
