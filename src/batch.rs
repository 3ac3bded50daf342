//! Readings cut to size: the only place where a batch is put together, for the seal and for `preview` alike.
//!
//! # Limits
//! | what | most | at the limit |
//! | --- | --- | --- |
//! | plaintext | [`PLAINTEXT_MAX`] bytes | the batch is full, the next device begins another |
//! | token | [`meterpost_wire::seal::TOKEN_MAX`] characters | the devices are halved, and sealed as two batches |
//! | one device alone | the same | it loses parts, in the order of [`Part`], each with a gap `policy`, detail `limit` |
//! | gaps of a device | [`GAPS_MAX`] | the rest is left out |
//!
//! The numbers are the smallest default limits of other people's JOSE libraries, so that a customer can open any batch
//! with one of them.

use jiff::Timestamp;
use meterpost_wire::Batch;
use meterpost_wire::batch::{Chain, Collector, Health, SCHEMA_VERSION, Sweep};
use meterpost_wire::reading::{Gap, GapReason, Reading};
use meterpost_wire::seal::PLAINTEXT_MAX;

use crate::outbox::Slot;

/// Gaps that are sent of one device.
pub const GAPS_MAX: usize = 200;

/// What a batch holds besides its devices is shorter than this: 64 voids, 15 links, 8 errors of 255 characters.
const ENVELOPE_MAX: usize = 16_000;

/// What is the same in every batch of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The site's UUID.
    pub site: String,
    /// The program that writes.
    pub collector: Collector,
    /// The instant by which the next batch is promised; the same in all parts of a sweep.
    pub due_next: Option<Timestamp>,
}

/// A sweep, from its first packet on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepStart {
    /// The same in all its parts.
    pub id: String,
    /// When the first packet left.
    pub started_at: Timestamp,
}

/// What is known when a sweep has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepEnd {
    /// When the last answer was in.
    pub ended_at: Timestamp,
    /// Addresses that were asked.
    pub addresses: u32,
    /// Addresses that answered anything.
    pub answered: u32,
    /// Addresses that are printers.
    pub printers: u32,
    /// Number of addresses for each verdict, in the contract's words.
    pub verdicts: Vec<(String, u32)>,
}

/// One part of a sweep; the last one knows the end.
pub fn part(start: &SweepStart, part: u32, end: Option<&SweepEnd>) -> Sweep {
    Sweep {
        id: start.id.clone(),
        part: Some(part),
        parts: end.map(|_| part),
        started_at: start.started_at,
        ended_at: end.map(|end| end.ended_at),
        addresses_probed: end.map(|end| end.addresses),
        devices_answered: end.map(|end| end.answered),
        printers: end.map(|end| end.printers),
        verdicts: end.map(|end| end.verdicts.clone()),
    }
}

/// Puts a batch together. `now` becomes `@created`, cut to the second by the clock.
pub fn build(
    head: &Head,
    slot: &Slot,
    id: String,
    now: Timestamp,
    sweep: Option<Sweep>,
    health: Option<Health>,
    devices: Vec<Reading>,
) -> Batch {
    let chain = Chain { links: slot.links.clone(), voids: slot.voids.clone() };
    Batch {
        schema_version: SCHEMA_VERSION.to_owned(),
        min_reader: None,
        id,
        site: head.site.clone(),
        sequence: slot.sequence,
        previous: slot.previous.clone(),
        created: now,
        // a promise in the past is none
        due_next: head.due_next.filter(|due| *due > now),
        collector: head.collector.clone(),
        sweep,
        chain: (chain != Chain::default()).then_some(chain),
        health,
        devices,
    }
}

/// Devices on their way into the next batch.
#[derive(Debug)]
pub struct Draft<T> {
    devices: Vec<(Reading, T)>,
    bytes: usize,
}

impl<T> Default for Draft<T> {
    fn default() -> Self {
        Self { devices: Vec::new(), bytes: ENVELOPE_MAX }
    }
}

impl<T> Draft<T> {
    /// Takes a device of `bytes` of XML, with whatever belongs to it. Gives back the devices before it when it would not
    /// fit beside them: they are a full batch.
    pub fn push(&mut self, reading: Reading, belongs: T, bytes: usize) -> Option<Vec<(Reading, T)>> {
        let full = (!self.devices.is_empty() && self.bytes + bytes > PLAINTEXT_MAX).then(|| self.take());
        self.devices.push((reading, belongs));
        self.bytes += bytes;
        full
    }

    /// What is there, be it much or nothing.
    pub fn take(&mut self) -> Vec<(Reading, T)> {
        std::mem::take(self).devices
    }

    /// The device with this key that is still here.
    pub fn find(&mut self, key: &str) -> Option<&mut Reading> {
        self.devices.iter_mut().map(|(reading, _)| reading).find(|reading| reading.key == key)
    }

    /// How many are here.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether none is here.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }
}

/// A part of a reading that can be left out, in the order in which a device that is too big alone loses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Counters without a place in the model.
    VendorCounters,
    /// Lines of the console.
    Console,
    /// Covers.
    Covers,
    /// Output bins.
    Outputs,
    /// One alert or supply, from the end.
    AlertOrSupply,
}

/// Makes one device fit, by `bytes`, which measures its XML: parts leave until it does. What still does not fit then (a
/// device of nothing but texts) is not a printer's doing; it keeps key, time and outcome.
pub fn fit(mut reading: Reading, bytes: &dyn Fn(&Reading) -> usize) -> Reading {
    reading.gaps.truncate(GAPS_MAX);
    let fits = |reading: &Reading| bytes(reading) + ENVELOPE_MAX <= PLAINTEXT_MAX;
    if fits(&reading) {
        return reading;
    }
    // room for the gaps that say what is missing
    reading.gaps.truncate(GAPS_MAX - 6);
    for part in [Part::VendorCounters, Part::Console, Part::Covers, Part::Outputs, Part::AlertOrSupply] {
        while leave_out(&mut reading, part) {
            if fits(&reading) {
                return reading;
            }
        }
    }
    let gaps = vec![limit("device")];
    Reading {
        identity: None,
        network: None,
        capabilities: None,
        counters: None,
        supplies: None,
        inputs: None,
        status: None,
        gaps,
        ..reading
    }
}

fn limit(field: &str) -> Gap {
    Gap { field: field.to_owned(), reason: GapReason::Policy, detail: Some("limit".to_owned()) }
}

/// Leaves one thing out and says so once; false when nothing of the kind is left.
fn leave_out(reading: &mut Reading, part: Part) -> bool {
    let field = match part {
        Part::VendorCounters => {
            let Some(counters) = &mut reading.counters else { return false };
            let before = counters.len();
            counters.retain(|key, _| key.vendor_name().is_none());
            (counters.len() < before).then_some("counters.vendor")
        }
        Part::Console => {
            let lines = reading.status.as_mut().map(|status| std::mem::take(&mut status.console));
            lines.is_some_and(|lines| !lines.is_empty()).then_some("status.console")
        }
        Part::Covers => reading.covers.take().map(|_| "covers"),
        Part::Outputs => reading.outputs.take().map(|_| "outputs"),
        Part::AlertOrSupply => {
            let alert = reading.alerts.as_mut().and_then(|alerts| alerts.rows.pop()).map(|_| "alerts");
            alert.or_else(|| reading.supplies.as_mut().and_then(Vec::pop).map(|_| "supplies"))
        }
    };
    let Some(field) = field else { return false };
    let gap = limit(field);
    if !reading.gaps.contains(&gap) {
        reading.gaps.push(gap);
    }
    true
}
