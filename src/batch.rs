//! Readings cut to size: the only place where a batch is put together, for the seal and for `preview` alike.
//!
//! # Limits
//! | what | most | at the limit |
//! | --- | --- | --- |
//! | plaintext | [`PLAINTEXT_MAX`] bytes, 4,000 of them for what is no device | the batch is full, the next device begins another |
//! | token | [`meterpost_wire::seal::TOKEN_MAX`] characters | the devices are halved, and sealed as two batches |
//! | one device alone | the same | it loses parts, in the order of `Part`, each with a gap `policy`, detail `limit` |
//! | devices | [`DEVICES_MAX`] | the batch is full |
//!
//! The numbers are the smallest default limits of other people's JOSE libraries, so that a customer can open any batch
//! with one of them.

use jiff::Timestamp;
use meterpost_wire::Batch;
use meterpost_wire::batch::{Chain, Collector, Health, SCHEMA_VERSION, Sweep};
use meterpost_wire::hex;
use meterpost_wire::reading::{Gap, GapReason, Reading};
use meterpost_wire::seal::PLAINTEXT_MAX;
use meterpost_wire::xml::{self, DEVICES_MAX};

use crate::outbox::Slot;

/// What a batch holds besides its devices is hardly ever longer: 15 links, an end of a sweep, some voids and errors. Where it
/// is, the devices are halved like those of too long a token; keeping room for the worst case would cost every fleet one
/// batch in seventeen.
const ENVELOPE_USUAL: usize = 4_000;

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

/// Puts a batch together, all but its devices, whose XML goes in as [`Drafted`] has it. `now` becomes `@created`.
pub fn build(
    head: &Head,
    slot: &Slot,
    id: String,
    now: Timestamp,
    sweep: Option<Sweep>,
    health: Option<Health>,
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
        devices: Vec::new(),
    }
}

/// A new batch's id: UUID version 7 (RFC 9562), the time first, so that ids sort as they were made.
pub fn new_id(now: Timestamp, random: [u8; 10]) -> String {
    let mut octets = [0; 16];
    octets[..6].copy_from_slice(&now.as_millisecond().to_be_bytes()[2..]);
    octets[6..].copy_from_slice(&random);
    octets[6] = octets[6] & 0x0f | 0x70;
    octets[8] = octets[8] & 0x3f | 0x80;
    let hex = hex::encode(&octets);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A device as it will stand in a batch, and whatever belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Drafted<T> {
    /// After the field policy.
    pub reading: Reading,
    /// Its XML.
    pub xml: String,
    /// What goes with it.
    pub with: T,
}

impl<T> Drafted<T> {
    /// Makes a device fit into a batch of its own: parts leave until it does.
    pub fn fitting(reading: Reading, with: T) -> Self {
        let xml = xml::encode_device(&reading);
        let mut drafted = Self { reading, xml, with };
        while drafted.xml.len() + ENVELOPE_USUAL > PLAINTEXT_MAX && drafted.shrink() {}
        drafted
    }

    /// Leaves out the next part, and says so in a gap; false when nothing is left that can go.
    pub fn shrink(&mut self) -> bool {
        let shrunk = PARTS.into_iter().any(|part| leave_out(&mut self.reading, part));
        self.xml = xml::encode_device(&self.reading);
        shrunk
    }
}

/// Devices on their way into the next batch.
#[derive(Debug)]
pub struct Draft<T> {
    devices: Vec<Drafted<T>>,
}

impl<T> Default for Draft<T> {
    fn default() -> Self {
        Self { devices: Vec::new() }
    }
}

impl<T> Draft<T> {
    /// Takes a device. Gives back those before it when it would not fit beside them: they are a full batch.
    pub fn push(&mut self, device: Drafted<T>) -> Option<Vec<Drafted<T>>> {
        let bytes: usize = self.devices.iter().map(|drafted| drafted.xml.len()).sum();
        let fits = ENVELOPE_USUAL + bytes + device.xml.len() <= PLAINTEXT_MAX && self.devices.len() < DEVICES_MAX;
        let full = (!fits && !self.devices.is_empty()).then(|| self.take());
        self.devices.push(device);
        full
    }

    /// What is there, be it much or nothing.
    pub fn take(&mut self) -> Vec<Drafted<T>> {
        std::mem::take(&mut self.devices)
    }

    /// The device that is still here and to which `which` says yes.
    pub fn find(&mut self, which: impl Fn(&T) -> bool) -> Option<&mut Drafted<T>> {
        self.devices.iter_mut().find(|drafted| which(&drafted.with))
    }
}

/// A part of a reading that can be left out, in the order in which a device that is too big alone loses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Counters without a place in the model.
    VendorCounters,
    /// Lines of the console.
    Console,
    /// Covers.
    Covers,
    /// Output bins.
    Outputs,
    /// Alerts, then supplies, from the end: one, or of very many a 64th at a time.
    AlertOrSupply,
    /// Everything but key, time and outcome: a device of nothing but long texts is no printer's doing.
    Rest,
}

const PARTS: [Part; 6] =
    [Part::VendorCounters, Part::Console, Part::Covers, Part::Outputs, Part::AlertOrSupply, Part::Rest];

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
            let alerts = reading.alerts.as_mut().is_some_and(|alerts| shorten(&mut alerts.rows)).then_some("alerts");
            alerts.or_else(|| reading.supplies.as_mut().is_some_and(shorten).then_some("supplies"))
        }
        Part::Rest => {
            let Reading { key, scope, read_at, outcome, .. } = reading.clone();
            let bare = Reading { gaps: vec![limit("device")], ..Reading::empty(key, scope, read_at, outcome) };
            let rest = std::mem::replace(reading, bare);
            return rest != *reading;
        }
    };
    let Some(field) = field else { return false };
    let gap = limit(field);
    if !reading.gaps.contains(&gap) {
        // at the head, where the limit on gaps does not reach it
        reading.gaps.insert(0, gap);
    }
    true
}

/// Takes rows from the end; false when there were none.
fn shorten<T>(rows: &mut Vec<T>) -> bool {
    let left = rows.len().saturating_sub((rows.len() / 64).max(1));
    let shorter = left < rows.len();
    rows.truncate(left);
    shorter
}

#[cfg(test)]
mod tests {
    use meterpost_wire::reading::{Outcome, Scope, Supply};

    use super::*;

    #[test]
    fn ids_are_version_7_and_sort_as_they_were_made() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(new_id(at(1_795_000_000), [0xff; 10]), "01a1ee56-5e00-7fff-bfff-ffffffffffff");
        assert!(new_id(at(1), [0xff; 10]) < new_id(at(2), [0; 10]));
        assert_eq!(&new_id(at(0), [0; 10]), "00000000-0000-7000-8000-000000000000");
    }

    #[test]
    fn a_promise_in_the_past_is_none() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let slot = Slot { sequence: 1, previous: None, links: Vec::new(), voids: Vec::new() };
        for (due, expected) in [(9, None), (10, None), (11, Some(at(11)))] {
            let head = Head { site: "s".into(), collector: Collector::default(), due_next: Some(at(due)) };
            let batch = build(&head, &slot, "id".into(), at(10), None, None);
            assert_eq!((batch.due_next, batch.chain), (expected, None), "due at {due}");
        }
    }

    #[test]
    fn a_full_batch_is_given_back_when_the_next_device_would_not_fit() {
        let device = |bytes: usize| Drafted {
            reading: Reading::empty("ip:127.0.0.1".into(), Scope::Full, Timestamp::UNIX_EPOCH, Outcome::Complete),
            xml: "x".repeat(bytes),
            with: (),
        };
        let mut draft = Draft::default();
        assert_eq!(draft.push(device(PLAINTEXT_MAX)), None, "alone it is the batch");
        assert_eq!(draft.push(device(100_000)).unwrap().len(), 1);
        assert_eq!(draft.push(device(100_000)), None);
        assert_eq!(draft.push(device(100_000)).unwrap().len(), 2);
        assert_eq!(draft.take().len(), 1);
    }

    #[test]
    fn parts_leave_in_their_order_and_the_billing_counters_last() {
        let mut reading = Reading::empty("ip:127.0.0.1".into(), Scope::Full, Timestamp::UNIX_EPOCH, Outcome::Complete);
        reading.covers = Some(Vec::new());
        reading.outputs = Some(Vec::new());
        reading.supplies = Some(vec![Supply::default(); 2]);
        reading.counters = Some([].into());
        let mut drafted = Drafted { xml: xml::encode_device(&reading), reading, with: () };
        let mut gone = Vec::new();
        while drafted.shrink() {
            gone.push(drafted.reading.gaps[0].field.clone());
        }
        // two supplies, said once
        assert_eq!(gone, ["covers", "outputs", "supplies", "supplies", "device"]);
        assert_eq!(drafted.reading.gaps.len(), 1);
    }
}
