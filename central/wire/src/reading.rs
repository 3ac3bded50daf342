//! One device as it was read. The same words in the batch, in `scan`'s JSON and at the central.
//!
//! Absent means not known, never zero. A container that is `None` was not read; one that is there and empty was read and
//! has no rows. Job, user and document data have no field here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::counters::CounterKey;

/// One reading of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The collector's stable key: `sn:<vendor>:<serial>`, `uuid:…`, `mac:…`, `ip:…`, or `h:…` when hashed by policy.
    pub key: String,
    /// Which mapping file made it.
    pub mapping: Option<Mapping>,
    /// What was asked.
    pub scope: Scope,
    /// When the device was read, or last tried.
    pub read_at: Timestamp,
    /// How it went.
    pub outcome: Outcome,
    /// Who it is.
    pub identity: Option<Identity>,
    /// Where it is.
    pub network: Option<Network>,
    /// What it can do.
    pub capabilities: Option<Capabilities>,
    /// Lifetime counters.
    pub counters: Option<BTreeMap<CounterKey, Count>>,
    /// Toner, ink, drums, waste boxes and their like.
    pub supplies: Option<Vec<Supply>>,
    /// Paper trays.
    pub inputs: Option<Vec<Tray>>,
    /// Output bins; their level is the room left.
    pub outputs: Option<Vec<Tray>>,
    /// Covers and doors.
    pub covers: Option<Vec<Cover>>,
    /// Alerts.
    pub alerts: Option<Alerts>,
    /// State, errors and console.
    pub status: Option<Status>,
    /// Fields that the mapping knows and that have no value, with the reason; at most 200 are sent.
    pub gaps: Vec<Gap>,
}

impl Reading {
    /// A reading in which nothing was read.
    pub fn empty(key: String, scope: Scope, read_at: Timestamp, outcome: Outcome) -> Self {
        Self {
            key,
            mapping: None,
            scope,
            read_at,
            outcome,
            identity: None,
            network: None,
            capabilities: None,
            counters: None,
            supplies: None,
            inputs: None,
            outputs: None,
            covers: None,
            alerts: None,
            status: None,
            gaps: Vec::new(),
        }
    }
}

/// The mapping file in use and the pack it came from; pack 0 is the library inside the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// `kyocera/ecosys`.
    pub pmd: String,
    /// Pack version.
    pub pack: u64,
}

/// What was asked of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everything that the mapping knows.
    #[default]
    Full,
    /// Status and alerts only; nothing follows from what is absent.
    Alerts,
}

/// How a reading went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Everything that was asked was answered, or is known not to be there.
    Complete,
    /// Some objects got no answer.
    Partial,
    /// A known device did not answer.
    Unreachable,
    /// It refused the credentials.
    Denied,
    /// Read with the generic mapping only.
    Unmapped,
}

impl Outcome {
    /// The word in XML and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::Unmapped => "unmapped",
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The OIDs read, instances included, one space between; absent for a constant.
    pub oid: Option<String>,
    /// `[<pmd>:]<n>`: the n-th candidate of the field in that mapping file, from 1.
    pub rule: Option<String>,
    /// The rule's meaning was never proven against a device.
    pub unverified: bool,
}

/// A text with its evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// At most 1,023 characters; control characters never leave.
    pub value: String,
    /// Where it came from.
    pub evidence: Evidence,
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Self { value: value.to_owned(), evidence: Evidence::default() }
    }
}

/// A registered label and its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coded {
    /// The label of RFC 3805 or IANA-PRINTER-MIB.
    pub label: String,
    /// The number behind it.
    pub code: Option<i64>,
}

/// Who the device is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// As the device says it, maker and model in one.
    pub make_and_model: Option<String>,
    /// The brand on the device.
    pub vendor: Option<Text>,
    /// The model without the vendor's name.
    pub model: Option<Text>,
    /// Serial number.
    pub serial_number: Option<Text>,
    /// Asset tag.
    pub asset_tag: Option<Text>,
    /// Bare UUID, lower case.
    pub uuid: Option<String>,
    /// IEEE 1284 device id.
    pub device_id: Option<String>,
    /// The device's name.
    pub system_name: Option<String>,
    /// sysLocation.
    pub location: Option<String>,
    /// sysContact; only when the policy switches it on.
    pub contact: Option<String>,
    /// sysDescr; only when the policy switches it on.
    pub system_info: Option<String>,
    /// sysObjectID.
    pub sys_object_id: Option<String>,
    /// The main firmware first.
    pub firmwares: Vec<Firmware>,
}

/// One firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// What it belongs to; absent for the main one.
    pub name: Option<String>,
    /// Its version as the device writes it.
    pub version: Text,
}

/// Where the device is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// IPv4 or IPv6 text; the one it was read at first.
    pub addresses: Vec<String>,
    /// EUI-48, lower case with colons.
    pub physical_addresses: Vec<String>,
    /// sysName or a vendor's object.
    pub host_name: Option<String>,
}

/// What the device can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// More than one process colorant.
    pub color: Option<bool>,
    /// prtMediaPathType 3 or 4.
    pub two_sided: Option<bool>,
    /// `print` `copy` `scan` `fax_in` `fax_out` `email_in` `email_out`.
    pub services: Vec<String>,
    /// Pages per minute.
    pub pages_per_minute: Option<u32>,
    /// Pages per minute in colour.
    pub pages_per_minute_color: Option<u32>,
    /// prtMarkerMarkTech.
    pub marker_technology: Option<Coded>,
    /// PWG self-describing media name.
    pub max_media_size: Option<String>,
    /// Number of input trays.
    pub trays: Option<u32>,
    /// finDeviceType labels of RFC 3806.
    pub finishers: Vec<String>,
    /// Interpreter languages.
    pub languages: Vec<String>,
    /// RAM.
    pub memory_bytes: Option<u64>,
    /// Fixed disks.
    pub disk_bytes: Option<u64>,
}

/// A lifetime counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The value.
    pub value: u64,
    /// How far to trust it.
    pub basis: Basis,
    /// Where it came from.
    pub evidence: Evidence,
    /// Unit word; only of `vendor.` counters.
    pub unit: Option<String>,
    /// At most 255 characters: which numbers disagree.
    pub detail: Option<String>,
}

/// How far to trust a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// Read as it is.
    #[default]
    Actual,
    /// Computed from others by a rule.
    Derived,
    /// Went backwards, or contradicts another number.
    Suspect,
}

impl Basis {
    /// The word in JSON; the XML has it with a capital.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Actual => "actual",
            Self::Derived => "derived",
            Self::Suspect => "suspect",
        }
    }
}

/// What is known of a level or a capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelState {
    /// A number; XML `Actual`.
    Known,
    /// −3, some remains; XML `NotEmpty`.
    SomeRemaining,
    /// −2; XML `Unknown`.
    Unknown,
    /// −1, no restriction; XML `Other`.
    Unrestricted,
}

impl LevelState {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::SomeRemaining => "some_remaining",
            Self::Unknown => "unknown",
            Self::Unrestricted => "unrestricted",
        }
    }
}

/// A supply or a receptacle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supply {
    /// prtMarkerSuppliesIndex; rows known only from a vendor's table count from 1001.
    pub index: u32,
    /// The marker it belongs to.
    pub marker_index: Option<u32>,
    /// prtMarkerSuppliesClass.
    pub class: Option<Coded>,
    /// prtMarkerSuppliesType.
    pub kind: Option<Coded>,
    /// At most 255 characters.
    pub description: Option<String>,
    /// One lower-case English word, whatever the device speaks.
    pub colorant: Option<String>,
    /// prtMarkerColorantRole.
    pub colorant_role: Option<Coded>,
    /// prtMarkerSuppliesSupplyUnit.
    pub unit: Option<Coded>,
    /// Only when greater than 0.
    pub max_capacity: Option<u64>,
    /// What is known of the capacity.
    pub max_capacity_state: Option<LevelState>,
    /// Only when 0 or more.
    pub level: Option<u64>,
    /// What is known of the level.
    pub level_state: Option<LevelState>,
    /// 0 ..= 100, only when it can be computed; of a receptacle the room left.
    pub percent: Option<u8>,
    /// Serial number of the cartridge.
    pub serial_number: Option<String>,
    /// Order number.
    pub part_number: Option<String>,
    /// When it was put in.
    pub installed: Option<Timestamp>,
    /// Pages since.
    pub impressions_since_installed: Option<Count>,
    /// Pages it is good for yet.
    pub impressions_remaining: Option<Count>,
    /// Where the level came from.
    pub evidence: Evidence,
}

/// An input tray or an output bin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tray {
    /// Last index of its row.
    pub index: u32,
    /// Its name.
    pub name: Option<String>,
    /// Only when greater than 0 and below 100,000,000.
    pub max_capacity: Option<u64>,
    /// What is known of the capacity.
    pub max_capacity_state: Option<LevelState>,
    /// Sheets in an input, room left in an output.
    pub level: Option<u64>,
    /// What is known of the level.
    pub level_state: Option<LevelState>,
}

/// A cover or door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// Last index of its row.
    pub index: u32,
    /// Its name.
    pub description: Option<String>,
    /// `coverOpen` and so on.
    pub status: Option<Coded>,
}

/// A list of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// What the list is.
    pub scope: AlertScope,
    /// Its rows.
    pub rows: Vec<Alert>,
}

/// What a list of alerts is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlertScope {
    /// All that are open; an open one that is not in it is over.
    #[default]
    All,
    /// New and cleared ones only.
    Changes,
}

/// A row of prtAlertTable. A site keeps open ones, to say later that they have gone: hence serde.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// prtAlertIndex; restarts at 1 when the device does.
    pub index: Option<u32>,
    /// prtAlertSeverityLevel.
    pub severity: Option<Coded>,
    /// prtAlertTrainingLevel.
    pub training: Option<Coded>,
    /// prtAlertGroup.
    pub group: Option<Coded>,
    /// Row in the group's table; −1 is absent.
    pub group_index: Option<i32>,
    /// Vendor's detail code.
    pub location: Option<i32>,
    /// prtAlertCode.
    pub code: Option<Coded>,
    /// In the device's language.
    pub description: Option<String>,
    /// That language, when the device says it.
    pub language: Option<String>,
    /// sysUpTime when it arose, 1/100 s.
    pub up_time_ticks: Option<u32>,
    /// When it arose by the site's clock.
    pub time: Option<Timestamp>,
    /// When it was found gone.
    pub clear_time: Option<Timestamp>,
}

/// State of the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// PWG ObjectStateWKV in lower case: idle, processing, stopped, testing, down, unknown, other.
    pub state: Option<String>,
    /// hrDeviceStatus.
    pub device_status: Option<Coded>,
    /// hrPrinterStatus.
    pub printer_status: Option<Coded>,
    /// hrPrinterDetectedErrorState.
    pub detected_errors: Option<DetectedErrors>,
    /// IPP printer-state-reasons keywords.
    pub state_reasons: Vec<String>,
    /// Lines of the console.
    pub console: Vec<String>,
    /// sysUpTime in seconds.
    pub up_time_seconds: Option<u32>,
}

/// hrPrinterDetectedErrorState, as octets and as words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectedErrors {
    /// The octets as answered.
    pub raw: Vec<u8>,
    /// The bits that are set; code = number of the bit.
    pub errors: Vec<Coded>,
}

/// A field without a value, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The JSON path, `counters.copy.impressions`.
    pub field: String,
    /// Why.
    pub reason: GapReason,
    /// More, for people.
    pub detail: Option<String>,
}

/// Why a field has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The device has no such object.
    NotSupported,
    /// It did not answer this one.
    NoAnswer,
    /// It answered something that fails the validity rules.
    Rejected,
    /// The site's policy or a limit took it out.
    Policy,
}

impl GapReason {
    /// The word in XML and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSupported => "not_supported",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::Policy => "policy",
        }
    }
}
