//! From readings to queued batches: compare with what is known, apply the field policy, cut to size, seal, queue. Each
//! batch is one transaction with the memory of its devices.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use jiff::{Timestamp, Zoned};
use meterpost_wire::batch::{Batch, Collector, Health, HealthError, Sweep};
use meterpost_wire::reading::Reading;
use meterpost_wire::seal::{self, TooLarge};
use meterpost_wire::xml;

use super::{SiteError, Unlocked};
use crate::batch::{self, Draft, Drafted, Head, SweepEnd, SweepStart};
use crate::clock;
use crate::memory::{self, Known, Reached};
use crate::outbox::cap::{self, Room};
use crate::outbox::{self, Sealed, Slot};
use crate::privacy::{self, Policy};
use crate::store::{self, Store, StoreError, Tx, ballast, salvage};

/// Errors of the last day are told in a batch's health.
const HEALTH_ERRORS_S: i64 = 86_400;

/// Errors that a batch's health tells at most.
const HEALTH_ERRORS: u32 = 8;

/// What the facts about serials begin with that several devices have.
const SHARED_SERIAL: &str = "shared_serial ";

const NOT_SEALED: &str = "sweeps_not_sealed";

/// When the last sweep began that was sealed to its end.
const LAST_SEALED: &str = "last_sealed_sweep_at";

/// The sequence is kept beside the store so often; a salvage jumps further than that.
const SEQUENCE_KEPT_EVERY: u64 = 100;

/// What a run seals by.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The sweep: its id is the same in all its parts.
    pub start: SweepStart,
    /// The program that writes.
    pub collector: Collector,
    /// The instant by which the next batch is promised; `None` without a schedule.
    pub due_next: Option<Timestamp>,
    /// The field policy.
    pub policy: Policy,
    /// `[schedule].read` as configured, for the batch's health.
    pub schedule: Option<String>,
    /// What this host runs, for the batch's health.
    pub operating_system: Option<String>,
    /// Seconds since the program started, for the batch's health.
    pub uptime_seconds: Option<u64>,
    /// Bytes of waiting and set-aside tokens at which nothing more is sealed.
    pub queue_bytes_max: u64,
}

/// A reading as it came from a device, before the field policy.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// What was read; for a known device that did not answer, its key and the outcome.
    pub reading: Reading,
    /// How it was reached; `None` when it was not.
    pub reached: Option<Reached>,
}

/// What a run sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sequences of the batches, in order.
    pub sequences: Vec<u64>,
    /// Devices in them.
    pub devices: u32,
}

/// Takes readings as they come and queues a batch as soon as one is full, so that memory does not grow with the fleet.
#[derive(Debug)]
pub struct Sealer<'a> {
    store: &'a Store,
    unlocked: &'a Unlocked,
    terms: Terms,
    draft: Draft<Remembered>,
    /// Keys of this run with their MACs, to tell a device with two addresses from two devices with one serial.
    seen: HashMap<String, Vec<String>>,
    /// Keys of devices that were read in this run, as they are stored.
    read: HashSet<String>,
    /// Serials that several devices have, by their names in the store. Nobody else changes them while a run has its lock.
    shared: HashSet<String>,
    part: u32,
    summary: Summary,
    /// Groups that wait for a preview to end; `None` when sealing.
    held: Option<Vec<Group>>,
    /// Whether this sweep counts as not sealed already.
    counted: bool,
    /// Keys of devices that are reported for the last time: forgotten when the sweep's last part is sealed.
    gone: Vec<String>,
}

type Group = Vec<Drafted<Remembered>>;

/// What goes with a device into its batch's transaction.
#[derive(Clone, Debug)]
struct Remembered {
    /// Its key in clear.
    key: String,
    known: Vec<Known>,
}

impl<'a> Sealer<'a> {
    pub(super) fn new(store: &'a Store, unlocked: &'a Unlocked, terms: Terms) -> Result<Self, SiteError> {
        let shared = store.read(|tx| tx.facts_beginning(SHARED_SERIAL))?.into_iter().collect();
        let (draft, seen, read, summary) = (Draft::default(), HashMap::new(), HashSet::new(), Summary::default());
        let (part, held, counted, gone) = (0, None, false, Vec::new());
        Ok(Self { store, unlocked, terms, draft, seen, read, shared, part, summary, held, counted, gone })
    }

    pub(super) fn preview(store: &'a Store, unlocked: &'a Unlocked, terms: Terms) -> Result<Self, SiteError> {
        Ok(Self { held: Some(Vec::new()), ..Self::new(store, unlocked, terms)? })
    }

    /// Takes one reading; seals and queues the batch before it when that is full. A device that was read in this run is not
    /// reported as silent too, by whatever address or key it was missed.
    pub fn push(&mut self, gathered: Gathered, now: Timestamp) -> Result<(), SiteError> {
        let Gathered { mut reading, reached } = gathered;
        self.tell_apart(&mut reading)?;
        if reached.is_some() {
            self.read.insert(reading.key.clone());
        } else if self.read.contains(&reading.key) {
            return Ok(());
        }
        let keyring = &self.unlocked.keyring;
        let before = self.store.read(|tx| memory::by_key(tx, keyring, &reading.key))?;
        if let Some(before) = &before {
            memory::compare(&mut reading, before);
            if reached.is_none() && before.is_gone(now) {
                self.gone.push(before.key.clone());
            }
        }
        let key = reading.key.clone();
        let known = reached.and_then(|reached| Known::after(before, &reading, reached));
        let clean = privacy::apply(reading, &self.terms.policy, &|text| keyring.names().hashed(text));
        if let Some(same) = self.draft.find(|with| with.key == key) {
            // one device at two addresses: the first reading counts, and says both
            same.with.known.extend(known);
            merge_addresses(&mut same.reading, clean);
            same.xml = xml::encode_device(&same.reading);
            return Ok(());
        }
        let remembered = Remembered { key, known: known.into_iter().collect() };
        if let Some(full) = self.draft.push(Drafted::fitting(clean, remembered)) {
            self.close(full, None, now)?;
        }
        Ok(())
    }

    /// Ends the sweep: seals what is left as its last part, which is there even when the sweep found nothing.
    pub fn finish(mut self, end: &SweepEnd, now: Timestamp) -> Result<Summary, SiteError> {
        let left = self.draft.take();
        self.close(left, Some(end), now)?;
        Ok(self.summary)
    }

    /// Ends a sweep that was cut off: what was read is sealed, and no part says that it was the last.
    pub fn break_off(mut self, now: Timestamp) -> Result<Summary, SiteError> {
        let left = self.draft.take();
        if !left.is_empty() {
            self.close(left, None, now)?;
        }
        Ok(self.summary)
    }

    /// The XML of the batches that `finish` would queue, by the same steps in a transaction that is taken back. The
    /// second of several names another `previous` when it is sealed in earnest: each token has fresh random bytes.
    pub(super) fn show(mut self, end: &SweepEnd, now: Timestamp) -> Result<Vec<String>, SiteError> {
        enum Taken {
            Back(Vec<String>),
            Wrong(SiteError),
        }
        impl From<StoreError> for Taken {
            fn from(error: StoreError) -> Self {
                Self::Wrong(error.into())
            }
        }
        let mut groups = self.held.take().unwrap_or_default();
        groups.push(self.draft.take());
        let press = Press { unlocked: self.unlocked, terms: &self.terms, directory: self.store.directory(), now };
        let last = groups.len() - 1;
        let outcome = self.store.write(|tx| {
            let (mut shown, mut part) = (Vec::new(), 0);
            for (at, group) in groups.iter_mut().enumerate() {
                let end = (at == last).then_some(end);
                let pressed = press.seal(tx, group, &mut part, end).map_err(Taken::Wrong)?;
                shown.extend(pressed.into_iter().map(|pressed| pressed.xml));
            }
            Err::<(), Taken>(Taken::Back(shown))
        });
        match outcome {
            Err(Taken::Back(shown)) => Ok(shown),
            Err(Taken::Wrong(error)) => Err(error),
            Ok(()) => Ok(Vec::new()),
        }
    }

    fn close(&mut self, mut group: Group, end: Option<&SweepEnd>, now: Timestamp) -> Result<(), SiteError> {
        if let Some(held) = &mut self.held {
            held.push(group);
            return Ok(());
        }
        let devices = group.len() as u32;
        let press = Press { unlocked: self.unlocked, terms: &self.terms, directory: self.store.directory(), now };
        let keyring = &self.unlocked.keyring;
        let sealed = self.store.write(|tx| {
            let mut part = self.part;
            let pressed = press.seal(tx, &mut group, &mut part, end)?;
            if end.is_some() {
                memory::forget(tx, keyring, &self.gone, now)?;
            }
            Ok::<_, SiteError>((pressed, part))
        });
        if let Err(SiteError::QueueFull { .. }) = &sealed
            && !std::mem::replace(&mut self.counted, true)
        {
            self.store.write(|tx| tx.set_fact(NOT_SEALED, &(not_sealed(tx)? + 1).to_string()))?;
        }
        let (pressed, part) = sealed?;
        for Pressed { sequence, .. } in pressed {
            if sequence == 1 || sequence.is_multiple_of(SEQUENCE_KEPT_EVERY) {
                // it is for the day when the store is gone: without it the others still tell
                if let Err(error) = salvage::keep_sequence(self.store.directory(), sequence) {
                    tracing::warn!("cannot keep the sequence beside the store: {error}");
                }
            }
            self.summary.sequences.push(sequence);
        }
        self.summary.devices += devices;
        self.part = part;
        Ok(())
    }

    /// Two devices of one run with one serial and no common MAC are keyed by MAC: some makers ship a thousand printers
    /// with one serial. The serial is remembered as shared, so that no later run, in whatever order it finds them, takes
    /// one for the other.
    fn tell_apart(&mut self, reading: &mut Reading) -> Result<(), SiteError> {
        let macs = reading.network.as_ref().map(|network| network.physical_addresses.clone()).unwrap_or_default();
        let Some(first_mac) = macs.first().filter(|_| reading.key.starts_with("sn:")) else {
            self.seen.entry(reading.key.clone()).or_default();
            return Ok(());
        };
        let by_mac = format!("mac:{first_mac}");
        let shared = format!("{SHARED_SERIAL}{}", self.unlocked.keyring.names().look_up(&reading.key));
        if self.shared.contains(&shared) {
            reading.key = by_mac;
            return Ok(());
        }
        let others = self.seen.entry(reading.key.clone()).or_insert_with(|| macs.clone());
        if others.is_empty() || macs.iter().any(|mac| others.contains(mac)) {
            return Ok(());
        }
        if self.held.is_none() {
            self.store.write(|tx| tx.set_fact(&shared, "yes"))?;
            self.shared.insert(shared);
        }
        let first = format!("mac:{}", others[0]);
        let names = self.unlocked.keyring.names();
        // the first of them has its MAC as key too, unless its batch has been sealed already
        if let Some(drafted) = self.draft.find(|with| with.key == reading.key) {
            drafted.reading.key = privacy::key(&first, &self.terms.policy, &|text| names.hashed(text));
            drafted.xml = xml::encode_device(&drafted.reading);
            drafted.with.known.iter_mut().for_each(|known| known.key.clone_from(&first));
            drafted.with.key.clone_from(&first);
            self.read.insert(first);
        }
        reading.key = by_mac;
        Ok(())
    }
}

/// What turns a group of devices into queued batches, inside a transaction.
struct Press<'a> {
    unlocked: &'a Unlocked,
    terms: &'a Terms,
    /// Where the store lies, for the room that is left there.
    directory: &'a Path,
    now: Timestamp,
}

/// A batch that was queued.
struct Pressed {
    sequence: u64,
    /// The bytes that were sealed.
    xml: String,
}

impl Press<'_> {
    /// Seals and queues a group as one batch. When its token would be too long, as two; one device alone loses parts.
    fn seal(
        &self,
        tx: &Tx<'_>,
        group: &mut [Drafted<Remembered>],
        part: &mut u32,
        end: Option<&SweepEnd>,
    ) -> Result<Vec<Pressed>, SiteError> {
        let held = outbox::tally(tx)?.bytes;
        if held >= self.terms.queue_bytes_max {
            return Err(SiteError::QueueFull { held, most: self.terms.queue_bytes_max });
        }
        let too_large = match self.press(tx, group, *part + 1, end)? {
            Ok(pressed) => {
                *part += 1;
                return Ok(vec![pressed]);
            }
            Err(too_large) => too_large,
        };
        if group.len() > 1 {
            let (front, back) = group.split_at_mut(group.len() / 2);
            let mut pressed = self.seal(tx, front, part, None)?;
            pressed.extend(self.seal(tx, back, part, end)?);
            return Ok(pressed);
        }
        if group.first_mut().is_some_and(Drafted::shrink) {
            return self.seal(tx, group, part, end);
        }
        Err(SiteError::TooLarge(too_large.to_string()))
    }

    /// One batch. Nothing was written when its token is too long.
    fn press(
        &self,
        tx: &Tx<'_>,
        group: &[Drafted<Remembered>],
        part: u32,
        end: Option<&SweepEnd>,
    ) -> Result<Result<Pressed, TooLarge>, StoreError> {
        let epoch = self.unlocked.keys.current();
        let slot = outbox::slot(tx, self.now)?;
        let id = batch::new_id(self.now, clock::random_bytes());
        let head = self.head(&slot, &id, batch::part(&self.terms.start, part, end), self.health(tx, end)?);
        let texts: Vec<&str> = group.iter().map(|drafted| drafted.xml.as_str()).collect();
        let xml = xml::assemble(&head, &texts);
        let token = match seal::seal(xml.as_bytes(), epoch.kid(), &epoch.batch_key(), clock::random_bytes()) {
            Ok(token) => token,
            Err(too_large) => return Ok(Err(too_large)),
        };
        let read_at = group.iter().map(|drafted| drafted.reading.read_at);
        let sealed = Sealed {
            id,
            epoch: epoch.kid().epoch(),
            token,
            devices: group.len() as u32,
            first_read: read_at.clone().min(),
            last_read: read_at.max(),
        };
        outbox::append(tx, &slot, &sealed, self.now)?;
        for known in group.iter().flat_map(|drafted| &drafted.with.known) {
            memory::remember(tx, &self.unlocked.keyring, known)?;
        }
        if end.is_some() {
            tx.set_fact(NOT_SEALED, "0")?;
            tx.set_fact(LAST_SEALED, &self.terms.start.started_at.to_string())?;
        }
        Ok(Ok(Pressed { sequence: slot.sequence, xml }))
    }

    fn head(&self, slot: &Slot, id: &str, sweep: Sweep, health: Option<Health>) -> Batch {
        let head = Head {
            site: self.unlocked.keys.site().to_string(),
            collector: self.terms.collector.clone(),
            due_next: self.terms.due_next,
        };
        batch::build(&head, slot, id.to_owned(), self.now, Some(sweep), health)
    }

    /// Told once a sweep, in its last part.
    fn health(&self, tx: &Tx<'_>, end: Option<&SweepEnd>) -> Result<Option<Health>, StoreError> {
        if end.is_none() {
            return Ok(None);
        }
        let tally = outbox::tally(tx)?;
        let since = Timestamp::from_second(self.now.as_second() - HEALTH_ERRORS_S).unwrap_or(self.now);
        let errors = outbox::events(tx, since, HEALTH_ERRORS)?;
        Ok(Some(Health {
            uptime_seconds: self.terms.uptime_seconds,
            // a system that does not say costs no batch
            disk_free_bytes: ballast::free(self.directory),
            queue_waiting: Some(tally.waiting),
            queue_handed_over: Some(tally.handed_over),
            queue_set_aside: Some(tally.set_aside),
            queue_oldest_at: tally.oldest_waiting,
            sweeps_not_sealed: Some(not_sealed(tx)?).filter(|sweeps| *sweeps > 0),
            clock_skew_seconds: outbox::clock_skew(tx)?,
            schedule: self.terms.schedule.clone(),
            operating_system: self.terms.operating_system.clone(),
            store_bytes: store::size(self.directory),
            errors: errors
                .into_iter()
                .map(|event| HealthError { at: event.at, code: event.code, text: event.text })
                .collect(),
        }))
    }
}

/// See [`super::Site::admits_sweep`].
pub(super) fn admits_sweep(tx: &Tx<'_>, queue_bytes_max: u64, now: &Zoned) -> Result<bool, StoreError> {
    let held = outbox::tally(tx)?.bytes;
    let room = cap::room(held, queue_bytes_max);
    let last = tx.fact(LAST_SEALED)?.and_then(|text| text.parse().ok());
    let admitted = cap::admits(room, last, now);
    if !admitted {
        tx.set_fact(NOT_SEALED, &(not_sealed(tx)? + 1).to_string())?;
    }
    if room != Room::All {
        let text = format!("the queue is at {} % of its cap; fewer sweeps are sealed", percent(held, queue_bytes_max));
        outbox::note(tx, &outbox::Event { at: now.timestamp(), code: "queue-filling".to_owned(), text })?;
    }
    Ok(admitted)
}

/// Of the cap, rounded down.
pub fn percent(held: u64, most: u64) -> u64 {
    held.saturating_mul(100) / most.max(1)
}

/// Sweeps that were read and not sealed since the last batch that told of them.
fn not_sealed(tx: &Tx<'_>) -> Result<u32, StoreError> {
    Ok(tx.fact(NOT_SEALED)?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

fn merge_addresses(into: &mut Reading, from: Reading) {
    let Some(from) = from.network else { return };
    let into = into.network.get_or_insert_default();
    for (into, from) in [(&mut into.addresses, from.addresses), (&mut into.physical_addresses, from.physical_addresses)]
    {
        for one in from {
            if !into.contains(&one) {
                into.push(one);
            }
        }
    }
}
