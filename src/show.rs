//! What `scan` prints: the readings, a summary of the sweep and a verdict for every address, in four formats.
//!
//! The JSON is CONTRACT 2 to the letter and the CSV is one row per printer, both for programs; the XML is the `Devices`
//! element as it would stand in a batch; the table is for a person at an 80-column terminal. All four are functions
//! from one [`Scan`] to a text, so that the same scan always says the same.

mod csv;
mod json;
#[cfg(test)]
mod sample;
mod table;

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use meterpost_wire::Reading;
use meterpost_wire::reading::Supply;

use crate::snmp::Traffic;
use crate::sweep::Verdict;

pub use csv::{csv, csv_of_verdicts};
pub use json::json;
pub use table::{Look, table};

/// The readings as a `Devices` element, as it would stand in a batch: a scan has no site, no sequence and so no batch.
/// With a line end behind it.
pub fn xml(scan: &Scan) -> String {
    meterpost_wire::xml::encode_devices(scan.devices.iter().map(|device| &device.reading)) + "\n"
}

/// Everything that one scan found, in memory: at most a /16 of verdicts and its printers.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The sweep; absent when devices were read without one, as from a recording.
    pub sweep: Option<Summary>,
    /// What became of the addresses, in the order to print.
    pub verdicts: Vec<Finding>,
    /// One entry for each printer address, also when two share a key.
    pub devices: Vec<Device>,
}

/// A sweep in numbers.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The targets as the person wrote them.
    pub targets: Vec<String>,
    /// When the first packet left.
    pub started_at: Timestamp,
    /// When the last printer was read.
    pub ended_at: Timestamp,
    /// Addresses that were to be asked, exclusions not counted.
    pub addresses: u64,
    /// Addresses that answered anything.
    pub answered: u64,
    /// Addresses that are printers.
    pub printers: u64,
    /// Packets and bytes of sweep and readings together, UDP payload only.
    pub traffic: Traffic,
}

/// What became of one address, or of one name that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What it turned out to be.
    pub verdict: Verdict,
    /// More, for people.
    pub detail: Option<String>,
}

/// What a finding is about. Addresses come before names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An address.
    Address(IpAddr),
    /// A host name among the targets that does not resolve: there is no address to tell about.
    Name(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// One printer address: its reading, and what of it never leaves the site.
#[derive(Clone, Debug)]
pub struct Device {
    /// Where it was read.
    pub address: IpAddr,
    /// The reading.
    pub reading: Reading,
    /// Why this mapping was picked.
    pub mapping_reason: Option<String>,
    /// What the reading cost; absent for a recording.
    pub traffic: Option<Traffic>,
}

/// What a supply is called: its colour and kind, its description where the device gives neither.
fn supply_name(supply: &Supply) -> String {
    let kind = supply.kind.as_ref().map(|kind| match kind.label.as_str() {
        "toner" | "tonerCartridge" => "toner",
        "ink" | "inkCartridge" => "ink",
        "opc" => "drum",
        "wasteToner" => "waste toner box",
        "wasteInk" => "waste ink box",
        "transferUnit" => "transfer unit",
        "cleanerUnit" => "cleaner",
        other => other,
    });
    let described = supply.description.as_deref().filter(|_| matches!(kind, None | Some("other" | "unknown")));
    match (&supply.colorant, described, kind) {
        (_, Some(description), _) => description.to_owned(),
        (Some(colorant), None, Some(kind)) => format!("{colorant} {kind}"),
        (Some(colorant), None, None) => colorant.clone(),
        (None, None, Some(kind)) => kind.to_owned(),
        (None, None, None) => format!("supply {}", supply.index),
    }
}
