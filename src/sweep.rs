//! Who is asked next, and how many each second: a sweep without sockets and without a clock.
//!
//! - Passes: one per credential in order (a community as v2c, an SNMPv3 user by engine discovery); then `retries`
//!   rounds over what is silent, each asking every credential again, a community alternately as v1 and v2c unless its
//!   version is fixed. From two retries on the last round is the slow one, for sleepers.
//! - Waits: half a second between two questions to one address (not between passes: a pass over a large network takes
//!   longer by itself), and two and a half before the slow round, so that a printer that drops everything for its first
//!   three seconds awake is asked once more when it listens; one second behind the last question, five behind a slow
//!   one. All ends once all have answered.
//! - A community is only ever sent to addresses that list its credential (DESIGN invariant 7).
//! - Rate: 2,000 packets a second, 256 into each directly attached subnet, because Linux keeps 1,024 neighbours and an
//!   unanswered one for about three seconds. A rate that is given replaces both; 0 is unpaced. In no second, wherever
//!   it begins, are there more packets than the rate.
//! - Order: strided across /24s, so that neighbours in time are no neighbours in the network.
//! - Memory: two bits per address, and a time for each of 256 rows of them.
//!
//! Nothing but an SNMP answer makes a sighting; no ping, no TCP.

mod options;
mod pace;
mod verdict;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use options::{Options, RATE_ATTACHED, RATE_DEFAULT, RETRIES_DEFAULT, RETRIES_MAX, Rate};
use pace::Pace;
pub use verdict::{Outcome, Verdict};

use crate::snmp::Oid;
use crate::snmp::credential::{Access, Credential, Version, Versions};
use crate::snmp::question::Answered;
use crate::targets::{Addresses, Targets};

/// Before an address is asked again.
const GAP: Duration = Duration::from_millis(500);
/// Before the slow round asks it again: with the round before it is three seconds after the packet that woke it.
const GAP_SLOW: Duration = Duration::from_millis(2500);
const WAIT_LAST: Duration = Duration::from_secs(1);
const WAIT_SLOW: Duration = Duration::from_secs(5);
/// Addresses between two that are asked one after the other.
const STRIDE: u64 = 256;

/// Targets name a credential that nobody gave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("targets name the credential `{0}`, which is not defined")]
pub struct UnknownCredential(pub String);

/// Somebody answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The address as asked.
    pub address: SocketAddr,
    /// The name of the credential that it answered to. For SNMPv3 only the engine is seen yet: whether the user is let
    /// in shows when it is read, and `credentials` behind this one are still to be tried then.
    pub credential: String,
    /// All names listed for this address, in order.
    pub credentials: Vec<String>,
    /// The port it answered from when that is another one than was asked. It is there, and cannot be read: an answer
    /// from elsewhere is not told from a stranger's then.
    pub other_port: Option<u16>,
    /// The version it answered in.
    pub version: Version,
    /// Round trip.
    pub rtt: Duration,
    /// sysDescr.0, when it said so.
    pub description: Option<Vec<u8>>,
    /// sysObjectID.0, when it said so.
    pub object_id: Option<Oid>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this question; then poll again.
    Send(Ask),
    /// Nothing before this time, counted from the start, unless an answer comes.
    Wait(Duration),
    /// The sweep has ended.
    Done,
}

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// To whom.
    pub address: IpAddr,
    /// At which port.
    pub port: u16,
    /// With which credential, by its place among those given.
    pub credential: usize,
    /// In which version.
    pub version: Version,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Addresses asked for.
    pub addresses: u64,
    /// Addresses asked at least once.
    pub asked: u64,
    /// Addresses that answered.
    pub answered: u64,
    /// Packets sent, and packets to come if nobody else answers.
    pub packets: (u64, u64),
    /// Time to come if nobody else answers.
    pub left: Duration,
}

/// A sweep under way. All times are counted from its start.
#[derive(Debug)]
pub struct Sweep {
    slots: Vec<Slot>,
    addresses: u64,
    excluded: Addresses,
    steps: Vec<Step>,
    /// Behind the last question.
    wait: Duration,
    /// The step that is being sent, since when, and how far it is; behind the last one, until when to wait.
    at: usize,
    begun: Duration,
    cursor: u64,
    waiting: Option<Duration>,
    /// When the last question went out to each row: to the addresses that stand at one place in each block of `STRIDE`.
    row_asked: Vec<Duration>,
    /// The row that this step may ask, since its gap is over.
    row_open: Option<usize>,
    answered: Bits,
    unreachable: Bits,
    answered_count: u64,
    unreachable_count: u64,
    asked: u64,
    stopped: bool,
    pace: Pace,
    attached: Vec<Attached>,
    traffic: crate::snmp::Traffic,
    other_port: u64,
    unexpected: u64,
}

/// A directly attached subnet, the pace into it, and how many of the addresses are in it.
#[derive(Debug)]
struct Attached {
    net: ipnet::IpNet,
    pace: Pace,
    addresses: u64,
}

/// A group of targets, its credentials by place, and where its addresses stand among all.
#[derive(Debug)]
struct Slot {
    first: u64,
    addresses: Addresses,
    port: u16,
    credentials: Vec<(usize, Way)>,
    names: Vec<String>,
}

/// How a credential is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Community(Versions),
    Discovery,
}

/// One credential over all that is silent.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// 0 for the first passes, then the number of the retry.
    round: u32,
    /// The place in each address's own list.
    credential: usize,
    /// Between the last question to an address and this one.
    gap: Duration,
}

impl Sweep {
    /// Plans a sweep; `credentials` are all that targets may name.
    pub fn new(targets: &Targets, credentials: &[Credential], options: &Options) -> Result<Self, UnknownCredential> {
        let mut slots = Vec::new();
        let mut first = 0;
        for group in targets.groups() {
            let mut ways: Vec<(usize, Way)> = Vec::new();
            for name in &group.credentials {
                let place = credentials.iter().position(|credential| credential.name == *name);
                let place = place.ok_or_else(|| UnknownCredential(name.clone()))?;
                match &credentials[place].access {
                    Access::Community { versions, .. } => ways.push((place, Way::Community(*versions))),
                    // Discovery is the same for every user: once is enough.
                    Access::User(_) if ways.iter().any(|(_, way)| *way == Way::Discovery) => {}
                    Access::User(_) => ways.push((place, Way::Discovery)),
                }
            }
            slots.push(Slot {
                first,
                addresses: group.addresses.clone(),
                port: group.port,
                credentials: ways,
                names: group.credentials.clone(),
            });
            first += group.addresses.len();
        }
        let most = slots.iter().map(|slot| slot.credentials.len()).max().unwrap_or(0);
        let limits = match options.rate {
            Rate::Default => (Some(RATE_DEFAULT), Some(RATE_ATTACHED)),
            Rate::PerSecond(rate) => (Some(rate.max(1)), None),
            Rate::Unpaced => (None, None),
        };
        Ok(Self {
            slots,
            addresses: first,
            excluded: targets.excluded(),
            steps: steps(most, options.retries.min(RETRIES_MAX)),
            wait: options.timeout.unwrap_or(WAIT_LAST).max(if options.retries >= 2 {
                WAIT_SLOW
            } else {
                Duration::ZERO
            }),
            at: 0,
            begun: Duration::ZERO,
            cursor: 0,
            waiting: None,
            row_asked: vec![Duration::ZERO; STRIDE as usize],
            row_open: None,
            answered: Bits::new(first),
            unreachable: Bits::new(first),
            answered_count: 0,
            unreachable_count: 0,
            asked: 0,
            stopped: false,
            pace: Pace::new(limits.0),
            attached: match limits.1 {
                Some(rate) => options.attached.iter().map(|&net| attached(net, rate, targets)).collect(),
                None => Vec::new(),
            },
            traffic: crate::snmp::Traffic::default(),
            other_port: 0,
            unexpected: 0,
        })
    }

    /// Whether it asks any address of a kind, so that only sockets that are needed are opened.
    pub fn asks(&self, kind: impl Fn(&IpAddr) -> bool) -> bool {
        self.slots.iter().any(|slot| {
            let ends = [slot.addresses.nth(0), slot.addresses.len().checked_sub(1).and_then(|n| slot.addresses.nth(n))];
            ends.iter().flatten().any(&kind)
        })
    }

    /// What to do at `now`. A question that is given out counts as sent.
    pub fn poll(&mut self, now: Duration) -> Action {
        loop {
            if self.stopped || self.open() == 0 {
                return Action::Done;
            }
            let Some(&step) = self.steps.get(self.at) else { return Action::Done };
            if let Some(until) = self.waiting {
                return if now < until { Action::Wait(until) } else { Action::Done };
            }
            let Some((ordinal, slot)) = self.next_open() else {
                if self.at + 1 == self.steps.len() {
                    self.waiting = Some(now + self.wait);
                } else {
                    (self.at, self.cursor, self.row_open) = (self.at + 1, 0, None);
                    self.begun = now.max(self.begun + self.steps[self.at].gap);
                }
                continue;
            };
            let slot = &self.slots[slot];
            let Some(&(credential, way)) = slot.credentials.get(step.credential) else {
                self.cursor += 1;
                continue;
            };
            // Positions below `addresses` have an address.
            let Some(address) = slot.addresses.nth(ordinal - slot.first) else { return Action::Done };
            let port = slot.port;
            let row = (ordinal % STRIDE) as usize;
            if self.row_open != Some(row) {
                let over = self.row_asked[row] + step.gap;
                if now < over {
                    return Action::Wait(over);
                }
                self.row_open = Some(row);
            }
            let attached = self.attached.iter_mut().find(|attached| attached.net.contains(&address));
            let ready = attached.as_ref().map_or(Duration::ZERO, |near| near.pace.ready()).max(self.pace.ready());
            if now < ready {
                return Action::Wait(ready);
            }
            if let Some(near) = attached {
                near.pace.spend(now);
            }
            self.pace.spend(now);
            self.row_asked[row] = now;
            self.cursor += 1;
            if step.round == 0 && step.credential == 0 {
                self.asked += 1;
            }
            let version = match way {
                Way::Discovery => Version::V3,
                Way::Community(Versions::V1) => Version::V1,
                Way::Community(Versions::V2c) => Version::V2c,
                Way::Community(Versions::Either) if step.round % 2 == 1 => Version::V1,
                Way::Community(Versions::Either) => Version::V2c,
            };
            return Action::Send(Ask { address, port, credential, version });
        }
    }

    /// A question really left.
    pub fn handle_sent(&mut self, bytes: usize, now: Duration) {
        self.traffic.requests += 1;
        self.traffic.bytes_sent += bytes as u64;
        self.pace.settle(now);
    }

    /// The network says that there is no way to an address; it is not asked again.
    pub fn handle_unreachable(&mut self, address: IpAddr, port: u16) {
        let found = self.slots.iter().find(|slot| slot.port == port && slot.addresses.contains(address));
        if let Some(slot) = found
            && let Some(position) = slot.addresses.position(address)
            && !self.unreachable.set(slot.first + position)
        {
            self.unreachable_count += 1;
        }
    }

    /// A datagram came. It is a sighting when it answers a question that this address was asked, for the first time.
    /// `answered` is what it says and how long ago its id was made; none for what is no answer to a question of ours.
    pub fn handle_answer(
        &mut self,
        credentials: &[Credential],
        from: SocketAddr,
        bytes: usize,
        answered: Option<(Answered<'_>, Duration)>,
        now: Duration,
    ) -> Option<Sighting> {
        let sighting = answered.and_then(|(answered, rtt)| self.sight(credentials, from, answered, rtt.min(now)));
        if sighting.is_some() {
            self.traffic.responses += 1;
            self.traffic.bytes_received += bytes as u64;
        } else {
            self.unexpected += 1;
        }
        sighting
    }

    fn sight(
        &mut self,
        credentials: &[Credential],
        from: SocketAddr,
        answered: Answered<'_>,
        rtt: Duration,
    ) -> Option<Sighting> {
        let address = from.ip().to_canonical();
        let suits = |way: &&(usize, Way)| match (&credentials[way.0].access, way.1, answered.version) {
            (_, Way::Discovery, Version::V3) => true,
            (_, Way::Community(Versions::V1), version) if version != Version::V1 => false,
            (_, Way::Community(Versions::V2c), version) if version != Version::V2c => false,
            (Access::Community { community, .. }, Way::Community(_), Version::V1 | Version::V2c) => {
                community.expose().as_bytes() == answered.community
            }
            _ => false,
        };
        let mut fitting: Vec<(u64, &Slot, usize)> = Vec::new();
        for slot in &self.slots {
            if let (Some(position), Some(way)) = (slot.addresses.position(address), slot.credentials.iter().find(suits))
            {
                fitting.push((slot.first + position, slot, way.0));
            }
        }
        // The port tells which group is meant, unless the device answers from another one.
        let exact = fitting.iter().find(|(_, slot, _)| slot.port == from.port());
        let other = fitting.iter().find(|(ordinal, ..)| !self.answered.is_set(*ordinal));
        let &(ordinal, slot, credential) = exact.or(other)?;
        let sighting = Sighting {
            address: SocketAddr::from((address, slot.port)),
            credential: credentials[credential].name.clone(),
            credentials: slot.names.clone(),
            other_port: (from.port() != slot.port).then_some(from.port()),
            version: answered.version,
            rtt,
            description: answered.description.map(<[u8]>::to_vec),
            object_id: answered.object_id,
        };
        let port = slot.port;
        if self.answered.set(ordinal) {
            return None;
        }
        self.answered_count += 1;
        if self.unreachable.clear(ordinal) {
            self.unreachable_count -= 1;
        }
        self.other_port += u64::from(from.port() != port);
        Some(sighting)
    }

    /// Ends the sweep at the next poll: the time is up.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// How far it is at `now`.
    pub fn progress(&self, now: Duration) -> Progress {
        let open = self.open();
        let behind = self.steps.len().saturating_sub(self.at + 1) as u64;
        let this = if self.waiting.is_some() || self.at >= self.steps.len() {
            0
        } else {
            open.saturating_sub(open * self.visited() / self.addresses.max(1))
        };
        let to_come = if self.stopped { 0 } else { this + open * behind };
        let pass = self.time_for(open);
        let gaps = self.steps.iter().skip(self.at + 1).map(|step| step.gap);
        // Each pass begins when the one before has been sent, and not before its gap is over.
        let (begin, end) = gaps.fold((self.begun, now.max(self.begun) + self.time_for(this)), |(begun, sent), gap| {
            let begin = sent.max(begun + gap);
            (begin, begin + pass)
        });
        let end = self.waiting.unwrap_or(end.max(begin) + self.wait);
        Progress {
            addresses: self.addresses,
            asked: self.asked,
            answered: self.answered_count,
            packets: (self.traffic.requests, to_come),
            left: if open == 0 || self.stopped { Duration::ZERO } else { end.saturating_sub(now) },
        }
    }

    /// What it came to.
    pub fn finish(mut self) -> Outcome {
        let mut outcome = Outcome {
            addresses: self.addresses,
            answered: self.answered_count,
            excluded: std::mem::take(&mut self.excluded),
            questions: u32::try_from(self.steps.len().min(self.at + 1)).unwrap_or(u32::MAX),
            traffic: self.traffic,
            other_port: self.other_port,
            unexpected: self.unexpected,
            ..Outcome::default()
        };
        let visited = if self.at == 0 && self.waiting.is_none() { self.cursor } else { u64::MAX };
        let blocks = self.addresses.div_ceil(STRIDE).max(1);
        for slot in &self.slots {
            let each = |wanted: &dyn Fn(u64) -> bool| -> Addresses {
                let addresses = slot.addresses.iter().enumerate();
                addresses.filter(|(n, _)| wanted(slot.first + *n as u64)).map(|(_, address)| address).collect()
            };
            let was_asked = |ordinal: u64| (ordinal % STRIDE) * blocks + ordinal / STRIDE < visited;
            let quiet = |ordinal: u64| !self.answered.is_set(ordinal) && !self.unreachable.is_set(ordinal);
            outcome.silent = outcome.silent.union(&each(&|ordinal| quiet(ordinal) && was_asked(ordinal)));
            outcome.not_asked = outcome.not_asked.union(&each(&|ordinal| quiet(ordinal) && !was_asked(ordinal)));
            outcome.unreachable = outcome.unreachable.union(&each(&|ordinal| self.unreachable.is_set(ordinal)));
        }
        outcome
    }

    /// How long so many questions take that are spread over all addresses like the open ones.
    fn time_for(&self, questions: u64) -> Duration {
        let near = self
            .attached
            .iter()
            .map(|attached| attached.pace.time_for(questions * attached.addresses / self.addresses.max(1)));
        near.fold(self.pace.time_for(questions), Duration::max)
    }

    /// Addresses that neither answered nor are out of reach.
    fn open(&self) -> u64 {
        self.addresses - self.answered_count - self.unreachable_count
    }

    /// How many addresses the cursor has passed in this step: whole rows of one address from each block, the last block
    /// being shorter, and a row begun.
    fn visited(&self) -> u64 {
        let blocks = self.addresses.div_ceil(STRIDE).max(1);
        let (rows, begun) = (self.cursor / blocks, self.cursor % blocks);
        let last = self.addresses - (blocks - 1) * STRIDE;
        ((blocks - 1) * rows + rows.min(last) + begun).min(self.addresses)
    }

    fn cursor_end(&self) -> u64 {
        self.addresses.div_ceil(STRIDE) * STRIDE
    }

    /// Moves the cursor to the next address that is open: its place among all, and its slot.
    fn next_open(&mut self) -> Option<(u64, usize)> {
        let blocks = self.addresses.div_ceil(STRIDE);
        while self.cursor < self.cursor_end() {
            let ordinal = (self.cursor % blocks) * STRIDE + self.cursor / blocks;
            if ordinal < self.addresses && !self.answered.is_set(ordinal) && !self.unreachable.is_set(ordinal) {
                let slot = self.slots.partition_point(|slot| slot.first <= ordinal) - 1;
                return Some((ordinal, slot));
            }
            self.cursor += 1;
        }
        None
    }
}

fn attached(net: ipnet::IpNet, rate: u32, targets: &Targets) -> Attached {
    let inside = Addresses::from(net);
    let addresses = targets.groups().iter().map(|group| group.addresses.within(&inside).len()).sum();
    Attached { net, pace: Pace::new(Some(rate)), addresses }
}

/// What a sweep will cost when nobody answers, which is the most: packets, and time.
pub fn forecast(
    targets: &Targets,
    credentials: &[Credential],
    options: &Options,
) -> Result<(u64, Duration), UnknownCredential> {
    let mut sweep = Sweep::new(targets, credentials, options)?;
    let (mut packets, mut now) = (0, Duration::ZERO);
    loop {
        match sweep.poll(now) {
            Action::Send(_) => packets += 1,
            Action::Wait(until) => now = until,
            Action::Done => return Ok((packets, now)),
        }
    }
}

/// The passes, in order.
fn steps(credentials: usize, retries: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 0..=retries {
        for credential in 0..credentials {
            let gap = match (round, credential) {
                (0, 0) => Duration::ZERO,
                (2.., 0) if round == retries => GAP_SLOW,
                (0, _) | (_, 0) => GAP,
                // Within a retry the credentials follow each other without a gap.
                _ => Duration::ZERO,
            };
            steps.push(Step { round, credential, gap });
        }
    }
    steps
}

/// A bit for each address.
#[derive(Debug)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: u64) -> Self {
        Self(vec![0; usize::try_from(count.div_ceil(64)).unwrap_or(0)])
    }

    fn is_set(&self, n: u64) -> bool {
        self.0[(n / 64) as usize] & (1 << (n % 64)) != 0
    }

    /// Sets it and tells whether it was set.
    fn set(&mut self, n: u64) -> bool {
        let was = self.is_set(n);
        self.0[(n / 64) as usize] |= 1 << (n % 64);
        was
    }

    /// Clears it and tells whether it was set.
    fn clear(&mut self, n: u64) -> bool {
        let was = self.is_set(n);
        self.0[(n / 64) as usize] &= !(1 << (n % 64));
        was
    }
}
