//! What a site says in one batch: the envelope's content, before XML and after it.

use jiff::Timestamp;

use crate::reading::Reading;

/// The version that this code writes; a reader of 1.x takes every 1.y.
pub const SCHEMA_VERSION: &str = "1.0";

/// The highest sequence: 2^53 - 1, which every JSON reader keeps exact.
pub const SEQUENCE_MAX: u64 = (1 << 53) - 1;

/// One batch: readings, and what the central needs to notice that something is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `major.minor` as the writer gave it.
    pub schema_version: String,
    /// The oldest reader that may show this batch; absent from everything that version 1.0 writes.
    pub min_reader: Option<String>,
    /// UUID, lower case; version 7 when written here.
    pub id: String,
    /// The site's UUID, lower case.
    pub site: String,
    /// 1 ..= 2^53 - 1, rises with every sealed batch of the site and is never reused.
    pub sequence: u64,
    /// SHA-256 of the token before this one, 64 lower-case hex digits; absent only when the site knows none.
    pub previous: Option<String>,
    /// When it was sealed, by the site's clock.
    pub created: Timestamp,
    /// The instant by which the next batch is promised; absent = no promise.
    pub due_next: Option<Timestamp>,
    /// Which program wrote it.
    pub collector: Collector,
    /// The sweep that the readings come from.
    pub sweep: Option<Sweep>,
    /// Hashes of earlier tokens, and numbers that will not come.
    pub chain: Option<Chain>,
    /// How the collector is.
    pub health: Option<Health>,
    /// Readings; none at all is a valid batch too.
    pub devices: Vec<Reading>,
}

/// The program that wrote a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collector {
    /// `meterpost`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Version of the mapping pack in use; absent = the library inside the program.
    pub pack_version: Option<u64>,
    /// Version of the managed settings in use.
    pub settings_version: Option<u64>,
}

/// A sweep, in full only in its last part.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The same in all parts.
    pub id: String,
    /// Counts from 1.
    pub part: Option<u32>,
    /// How many parts there were; only in the last.
    pub parts: Option<u32>,
    /// When the first packet left.
    pub started_at: Timestamp,
    /// Only in the last part, as is all that follows.
    pub ended_at: Option<Timestamp>,
    /// Addresses that were asked.
    pub addresses_probed: Option<u32>,
    /// Addresses that answered anything.
    pub devices_answered: Option<u32>,
    /// Addresses that are printers.
    pub printers: Option<u32>,
    /// Number of addresses for each verdict; which address had it stays at the site.
    pub verdicts: Option<Vec<(String, u32)>>,
}

/// What lets a central see gaps and forks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chain {
    /// Up to 15 tokens before the previous one, newest first.
    pub links: Vec<Link>,
    /// Up to 64 ranges of numbers that will not come.
    pub voids: Vec<Void>,
}

/// An earlier token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its sequence.
    pub sequence: u64,
    /// Its SHA-256, 64 lower-case hex digits.
    pub sha256: String,
}

/// Numbers that need not be waited for, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    /// First number.
    pub from: u64,
    /// Last number.
    pub to: u64,
    /// Why.
    pub reason: VoidReason,
}

/// Why a number will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoidReason {
    /// Jumped over, or gone with a damaged store: nobody knows whether it was used.
    Lost,
    /// A person deleted it.
    Deleted,
    /// Handed over, its 30 days ended, and then a receipt named it missing.
    Expired,
    /// Refused by the central and kept at the site; a person may still send it.
    SetAside,
}

impl VoidReason {
    /// The word in the XML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::SetAside => "set_aside",
        }
    }
}

/// How the collector is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Seconds since the collector's process started.
    pub uptime_seconds: Option<u64>,
    /// Free bytes where the store lies.
    pub disk_free_bytes: Option<u64>,
    /// Items waiting.
    pub queue_waiting: Option<u32>,
    /// Items handed over.
    pub queue_handed_over: Option<u32>,
    /// Items set aside.
    pub queue_set_aside: Option<u32>,
    /// When the oldest waiting item was queued.
    pub queue_oldest_at: Option<Timestamp>,
    /// Sweeps that were read and not sealed because the queue was full.
    pub sweeps_not_sealed: Option<u32>,
    /// Own clock minus the central's, at the last verified answer.
    pub clock_skew_seconds: Option<i64>,
    /// The reading schedule as configured.
    pub schedule: Option<String>,
    /// Name, version and processor of the operating system.
    pub operating_system: Option<String>,
    /// Bytes of the store's file with its log.
    pub store_bytes: Option<u64>,
    /// The newest errors, at most 8; never a secret or an address.
    pub errors: Vec<HealthError>,
}

/// Something that went wrong at the site.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthError {
    /// When.
    pub at: Timestamp,
    /// A short word for programs, `store-damaged`.
    pub code: String,
    /// At most 255 characters for people.
    pub text: String,
}
