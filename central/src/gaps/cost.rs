//! What missing batches cost, from what the batches below and above them say. Pure.
//!
//! Counters are lifetime values and every reading is whole, so a device that was read before and after has lost nothing that is
//! billed. Of alerts, each list is whole too; but that an alert was over is told once, with its time, and then it is only not
//! there any more. Such an end that nobody told is an event that was lost. One that began and ended between two lists has left
//! no trace: what is counted is a least.

use std::collections::{BTreeMap, BTreeSet};

use meterpost_wire::reading::{AlertScope, Reading, Scope};
use serde::Serialize;

use crate::derive::device::{AlertKey, alert_key};

/// What the batches on one side say, nearest first.
#[derive(Clone, Debug, Default)]
pub struct Seen(BTreeMap<String, Device>);

#[derive(Clone, Debug, Default)]
struct Device {
    /// A full reading with counters is among them.
    counters: bool,
    /// The nearest list of all alerts.
    alerts: Option<Alerts>,
}

#[derive(Clone, Debug)]
struct Alerts {
    /// Of the batch.
    sequence: u64,
    open: BTreeSet<AlertKey>,
    over: BTreeSet<AlertKey>,
}

impl Seen {
    /// Adds the next batch; whether it says anything new.
    pub fn add(&mut self, sequence: u64, readings: &[Reading]) -> bool {
        let mut new = false;
        for reading in readings {
            let device = self.0.entry(reading.key.clone()).or_default();
            if reading.scope == Scope::Full && reading.counters.as_ref().is_some_and(|counters| !counters.is_empty()) {
                new |= !device.counters;
                device.counters = true;
            }
            let all = reading.alerts.as_ref().filter(|alerts| alerts.scope == AlertScope::All);
            if let (None, Some(all)) = (&device.alerts, all) {
                let keys = |over: bool| {
                    all.rows.iter().filter(|row| row.clear_time.is_some() == over).map(alert_key).collect()
                };
                device.alerts = Some(Alerts { sequence, open: keys(false), over: keys(true) });
                new = true;
            }
        }
        new
    }

    /// Whether nothing more can be said of so many devices.
    pub fn is_all_of(&self, devices: u64) -> bool {
        let whole = self.0.values().filter(|device| device.counters && device.alerts.is_some()).count();
        whole as u64 >= devices && devices > 0
    }
}

/// What it costs that some batches are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Devices whose counters were read before and not since.
    pub devices_without_counters: u64,
    /// Ends of alerts that nobody will ever tell, at least.
    pub alert_events_lost: u64,
    /// The same in words.
    pub text: String,
    #[serde(skip)]
    without: BTreeSet<String>,
    /// By device, alert and the batch that has it no more: one that two gaps may have swallowed counts once.
    #[serde(skip)]
    lost: BTreeSet<(String, AlertKey, u64)>,
}

impl Cost {
    /// Adds what another gap of the same site costs.
    pub fn add(&mut self, other: &Self) {
        self.without.extend(other.without.iter().cloned());
        self.lost.extend(other.lost.iter().cloned());
        self.count();
    }

    fn count(&mut self) {
        (self.devices_without_counters, self.alert_events_lost) = (self.without.len() as u64, self.lost.len() as u64);
        let counters = match self.devices_without_counters {
            0 => "counters unaffected".to_owned(),
            1 => "1 device not read since".to_owned(),
            number => format!("{number} devices not read since"),
        };
        let events = match self.alert_events_lost {
            0 => "no alert events lost".to_owned(),
            1 => "1 alert event lost".to_owned(),
            number => format!("{number} alert events lost"),
        };
        self.text = format!("{counters}, {events}");
    }
}

/// What is lost between what is below a gap and what is above it.
pub fn between(below: &Seen, above: &Seen) -> Cost {
    let mut cost = Cost::default();
    for (key, before) in &below.0 {
        let after = above.0.get(key);
        if before.counters && !after.is_some_and(|after| after.counters) {
            cost.without.insert(key.clone());
        }
        if let (Some(before), Some(after)) = (&before.alerts, after.and_then(|after| after.alerts.as_ref())) {
            let gone = before.open.iter().filter(|alert| !after.open.contains(alert) && !after.over.contains(alert));
            cost.lost.extend(gone.map(|alert| (key.clone(), *alert, after.sequence)));
        }
    }
    cost.count();
    cost
}
