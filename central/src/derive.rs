//! From stored batches to what is shown. Pure: the same batches make the same state of a device in any order of
//! arrival, whenever they are read again (`check --rederive`).

pub mod device;
pub mod times;

pub use device::{DeviceState, Lowest, Severity, Summary};

use jiff::Timestamp;
use meterpost_wire::Batch;
use meterpost_wire::batch::Health;
use serde::{Deserialize, Serialize};

/// What a site said about itself in one batch, for the page of sites.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteReport {
    /// Name and version of the collector.
    pub collector: String,
    /// Version of its mapping pack; absent = the library inside the program.
    pub pack_version: Option<u64>,
    /// The last part of a sweep says what it found: addresses asked, addresses that answered, printers.
    pub sweep: Option<(u32, u32, u32)>,
    /// Its clock minus ours at the last verified answer, seconds.
    pub clock_skew_seconds: Option<i64>,
    /// Items waiting in its outbox.
    pub queue_waiting: Option<u32>,
    /// Its newest errors, `code: text`.
    pub errors: Vec<String>,
    /// When the sweep of the last part began, and how many addresses had each verdict.
    #[serde(default)]
    pub swept: Option<(Timestamp, Vec<(String, u32)>)>,
    /// What only the page of the site shows.
    #[serde(default)]
    pub health: SiteHealth,
}

/// How a site is, by its own word. Absent = it did not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteHealth {
    /// Seconds since its collector started.
    pub uptime_seconds: Option<u64>,
    /// Free bytes where its store lies.
    pub disk_free_bytes: Option<u64>,
    /// Items that a relay or a folder has.
    pub queue_handed_over: Option<u32>,
    /// Items that a person there has to look at.
    pub queue_set_aside: Option<u32>,
    /// When the oldest waiting item was queued, by the site's clock.
    pub queue_oldest_at: Option<Timestamp>,
    /// Sweeps that were read and not sealed because the queue was full.
    pub sweeps_not_sealed: Option<u32>,
    /// Its reading schedule as configured.
    pub schedule: Option<String>,
    /// Name, version and processor of its operating system.
    pub operating_system: Option<String>,
    /// Bytes of its store.
    pub store_bytes: Option<u64>,
}

/// Takes from a batch what it says about its site.
pub fn site_report(batch: &Batch) -> SiteReport {
    let sweep = batch.sweep.as_ref().and_then(|sweep| {
        Some((sweep.addresses_probed?, sweep.devices_answered.unwrap_or(0), sweep.printers.unwrap_or(0)))
    });
    let health = batch.health.as_ref();
    SiteReport {
        collector: format!("{} {}", batch.collector.name, batch.collector.version),
        pack_version: batch.collector.pack_version,
        sweep,
        clock_skew_seconds: health.and_then(|health| health.clock_skew_seconds),
        queue_waiting: health.and_then(|health| health.queue_waiting),
        errors: health
            .map(|health| health.errors.iter().map(|error| format!("{}: {}", error.code, error.text)).collect())
            .unwrap_or_default(),
        swept: batch
            .sweep
            .as_ref()
            .filter(|sweep| sweep.addresses_probed.is_some())
            .map(|sweep| (sweep.started_at, sweep.verdicts.clone().unwrap_or_default())),
        health: health.map(site_health).unwrap_or_default(),
    }
}

fn site_health(health: &Health) -> SiteHealth {
    SiteHealth {
        uptime_seconds: health.uptime_seconds,
        disk_free_bytes: health.disk_free_bytes,
        queue_handed_over: health.queue_handed_over,
        queue_set_aside: health.queue_set_aside,
        queue_oldest_at: health.queue_oldest_at,
        sweeps_not_sealed: health.sweeps_not_sealed,
        schedule: health.schedule.clone(),
        operating_system: health.operating_system.clone(),
        store_bytes: health.store_bytes,
    }
}
