//! What the fleet saw: counted per printer, and over the whole net.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Serialize;

/// Counts of one printer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Datagrams that came in, lost ones not counted.
    pub requests: u64,
    /// Datagrams that went out, lost ones not counted.
    pub answers: u64,
    /// Varbinds in the answers.
    pub varbinds: u64,
    /// UDP payload of `requests`.
    pub bytes_in: u64,
    /// UDP payload of `answers`.
    pub bytes_out: u64,
    /// SET requests: a collector never sends one.
    pub sets: u64,
    /// Requests with a community, user or secret that the printer does not take.
    pub refused: u64,
    /// Datagrams that are no SNMP.
    pub malformed: u64,
    /// Datagrams lost on purpose, in both directions.
    pub lost: u64,
    /// The most requests that waited for their answer at one instant; a retransmission is no second one.
    pub most_pending: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.answers += other.answers;
        self.varbinds += other.varbinds;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.sets += other.sets;
        self.refused += other.refused;
        self.malformed += other.malformed;
        self.lost += other.lost;
        self.most_pending = self.most_pending.max(other.most_pending);
    }
}

/// Counts of the whole fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Each printer's.
    pub printers: BTreeMap<Ipv4Addr, Counts>,
    /// Packets to addresses where no printer is.
    pub packets_to_nobody: u64,
    /// Bytes of these.
    pub bytes_to_nobody: u64,
    /// Packets that came in within the busiest second, to printers or nobody.
    pub busiest_second: u64,
    #[serde(skip)]
    window: Window,
}

impl Tally {
    /// All printers together; `most_pending` is the highest of them.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.printers.values().for_each(|counts| total.add(counts));
        total
    }

    /// Counts of a printer.
    pub fn of(&mut self, address: Ipv4Addr) -> &mut Counts {
        self.printers.entry(address).or_default()
    }

    /// A packet came in, so long after the start.
    pub fn packet(&mut self, since_start: Duration) {
        self.busiest_second = self.busiest_second.max(self.window.count(since_start));
    }
}

/// The packets of the last second, in a hundred slots of 10 ms: an answer to "how many in any one second" that is
/// exact to one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    slots: [u64; 100],
    slot: u64,
    sum: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { slots: [0; 100], slot: 0, sum: 0 }
    }
}

impl Window {
    fn count(&mut self, since_start: Duration) -> u64 {
        let slot = since_start.as_millis() as u64 / 10;
        for passed in (self.slot + 1..=slot).take(100) {
            self.sum -= std::mem::take(&mut self.slots[(passed % 100) as usize]);
        }
        self.slot = slot;
        self.slots[(slot % 100) as usize] += 1;
        self.sum += 1;
        self.sum
    }
}
