//! From stored batches to what is shown. Pure: the same batches make the same state of a device in any order of
//! arrival, whenever they are read again (`check --rederive`).

pub mod device;
pub mod times;

pub use device::{DeviceState, Lowest, Severity, Summary};

use meterpost_wire::Batch;
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
    }
}
