//! What is an original: what the mapping of the device reads as one, what stands in objects that hold nothing else, and what
//! looks like one wherever it stands.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use meterpost_wire::Reading;
use regex::bytes::Regex;

use super::Kind;
use super::forms::ANYWHERE_MIN;
use crate::normalise::text::{self, folded};
use crate::pmd::words::Words;
use crate::snmp::{Oid, Value};

/// Objects and columns that hold originals and nothing else: sysContact, sysName, sysLocation; ifPhysAddress; current operator,
/// service person and serial number of the Printer-MIB, serial numbers of its trays and bins; of the Entity-MIB.
const HOLDERS: [(&[u32], Kind); 9] = [
    (&[1, 3, 6, 1, 2, 1, 1, 4], Kind::Name),
    (&[1, 3, 6, 1, 2, 1, 1, 5], Kind::HostName),
    (&[1, 3, 6, 1, 2, 1, 1, 6], Kind::Location),
    (&[1, 3, 6, 1, 2, 1, 43, 5, 1, 1, 4], Kind::Name),
    (&[1, 3, 6, 1, 2, 1, 43, 5, 1, 1, 5], Kind::Name),
    (&[1, 3, 6, 1, 2, 1, 43, 5, 1, 1, 17], Kind::SerialNumber),
    (&[1, 3, 6, 1, 2, 1, 43, 8, 2, 1, 17], Kind::SerialNumber),
    (&[1, 3, 6, 1, 2, 1, 43, 9, 2, 1, 11], Kind::SerialNumber),
    (&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 11], Kind::SerialNumber),
];
/// ifPhysAddress.
const PHYSICAL: [u32; 10] = [1, 3, 6, 1, 2, 1, 2, 2, 1, 6];
/// The makers' own trees.
const ENTERPRISES: [u32; 6] = [1, 3, 6, 1, 4, 1];
/// Originals; more are left.
const ORIGINALS_MAX: usize = 500;

/// Patterns of what tells by itself what it is; the first bracket is the original.
static PATTERNS: LazyLock<Vec<(Kind, Regex)>> = LazyLock::new(|| {
    let patterns = [
        (
            Kind::SerialNumber,
            r"(?i)(?:^|[^a-z])(?:SN|SER|SERN|SERIAL ?(?:NUMBER|NO\.?|#)?|S/N)\s?[:=# ]\s?([a-z0-9][a-z0-9/-]{4,})",
        ),
        (Kind::PhysicalAddress, r"(?i)\b([0-9a-f]{2}(?::[0-9a-f]{2}){5}|[0-9a-f]{2}(?:-[0-9a-f]{2}){5})\b"),
        (Kind::Uuid, r"(?i)\b([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b"),
        (
            Kind::Address,
            r"(?:^|[^0-9.])((?:10|172\.(?:1[6-9]|2[0-9]|3[01])|192\.168|169\.254)(?:\.[0-9]{1,3}){2,3})(?:$|[^0-9.])",
        ),
        (Kind::Address, r"^\s*([0-9]{1,3}(?:\.[0-9]{1,3}){3})\s*$"),
        (Kind::Address, r"(?i)(?:://|\bIP[^0-9a-z]{1,3}|@)([0-9]{1,3}(?:\.[0-9]{1,3}){3})"),
        (Kind::Address, r"(?i)\b((?:fe80|f[cd][0-9a-f]{2}|2[0-9a-f]{3}):[0-9a-f:]{4,})"),
        (Kind::Name, r"([A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)"),
        (Kind::HostName, r"(?i)\b(?:https?|ipps?|ldaps?|ftp|smb|lpr?|socket)://([a-z0-9][a-z0-9.-]{2,})"),
        (Kind::HostName, r"(?i)\b([a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:local|lan|corp|intern|internal|home|localdomain))\b"),
    ];
    let compiled = patterns.into_iter().map(|(kind, pattern)| (kind, Regex::new(pattern)));
    compiled.map(|(kind, pattern)| (kind, pattern.unwrap_or_else(|error| panic!("{error}")))).collect()
});

/// The originals of one recording.
#[derive(Clone, Debug, Default)]
pub struct Known {
    originals: BTreeSet<(Kind, String)>,
    /// Texts that say what the device is, without blanks and punctuation.
    kept: Vec<String>,
}

impl Known {
    /// What is found in a recording. `reading` is what a mapping makes of it, where it is a printer's.
    pub fn of(reading: Option<&Reading>, objects: &[(Oid, Value)], words: &Words) -> Self {
        let mut known = Self { kept: kept(reading, objects), ..Self::default() };
        let means_nothing =
            |text: &str| words.find("placeholders", text).is_some() || words.find("bogus_serials", text).is_some();
        for (kind, text) in reading.map(read).unwrap_or_default() {
            known.add(kind, &text, &means_nothing);
        }
        for (oid, value) in objects {
            let Some(bytes) = value.as_octets() else { continue };
            if oid.arcs().starts_with(&PHYSICAL) && bytes.len() == 6 && bytes.iter().any(|byte| *byte != 0) {
                let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                known.originals.insert((Kind::PhysicalAddress, digits.join(":")));
            }
            let line = text::clean(&text::decode(bytes, None, None));
            if let Some(kind) = holder(oid) {
                known.add(kind, &line, &means_nothing);
            }
            for (kind, pattern) in PATTERNS.iter() {
                for hit in pattern.captures_iter(bytes).filter_map(|hit| hit.get(1)) {
                    let digits = hit.as_bytes().iter().filter(|byte| byte.is_ascii_digit()).count();
                    if *kind == Kind::SerialNumber && digits < 2 {
                        continue;
                    }
                    known.add(*kind, &String::from_utf8_lossy(hit.as_bytes()), &means_nothing);
                }
            }
            // a name with the end of a MAC address in it is no serial number: that end is replaced there too
            let own = folded(&line);
            let of_mac = |(kind, mac): &(Kind, String)| {
                *kind == Kind::PhysicalAddress && folded(mac).get(6..).is_some_and(|tail| own.ends_with(tail))
            };
            let has_mac = known.originals.iter().any(of_mac);
            if oid.arcs().starts_with(&ENTERPRISES) && is_like_a_serial(&line) && !has_mac {
                known.add(Kind::SerialNumber, &line, &means_nothing);
            }
        }
        known
    }

    /// Every original with its kind.
    pub fn originals(&self) -> impl Iterator<Item = &(Kind, String)> {
        self.originals.iter()
    }

    /// What the whole string of an object is, where the object holds nothing else and the string is too short to be looked for
    /// elsewhere.
    pub fn whole(&self, oid: &Oid, bytes: &[u8]) -> Option<Kind> {
        let kind = holder(oid)?;
        let line = text::clean(&text::decode(bytes, None, None));
        let is_one = self.originals.iter().any(|(own, text)| *own == kind && *text == line);
        (is_one && line.chars().count() < ANYWHERE_MIN).then_some(kind)
    }

    fn add(&mut self, kind: Kind, text: &str, means_nothing: &impl Fn(&str) -> bool) {
        let text = text.trim();
        let own = folded(text);
        let is_kept = self.kept.iter().any(|kept| match kind {
            Kind::Name | Kind::Location | Kind::HostName if own.len() >= 4 => kept.contains(&own),
            // a serial number may stand within the text that names the model
            _ => *kept == own,
        });
        let is_address = kind != Kind::Address
            || text.parse::<std::net::Ipv4Addr>().map_or(text.contains(':'), |v4| is_address(v4.octets()));
        if own.is_empty() || is_kept || means_nothing(text) || !is_address || self.originals.len() >= ORIGINALS_MAX {
            return;
        }
        // what the device's mapping says that it is counts more than what it looks like
        let is_mac = |known: &str| kind == Kind::HostName && folded(known) == own;
        if self.originals.iter().any(|(_, known)| known == text || is_mac(known)) {
            return;
        }
        if kind == Kind::HostName && text.parse::<std::net::IpAddr>().is_ok() {
            return;
        }
        self.originals.insert((kind, text.to_owned()));
    }
}

/// Whether an address tells of a network: not one of nobody, of this host, or a mask.
pub fn is_address(address: [u8; 4]) -> bool {
    !matches!(address[0], 0 | 127 | 255) && address[0] < 224
}

fn holder(oid: &Oid) -> Option<Kind> {
    HOLDERS.iter().find(|(root, _)| oid.arcs().starts_with(root)).map(|(_, kind)| *kind)
}

/// What a mapping reads as an original.
fn read(reading: &Reading) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    if let Some(identity) = &reading.identity {
        found.extend(identity.serial_number.iter().map(|text| (Kind::SerialNumber, text.value.clone())));
        found.extend(identity.asset_tag.iter().map(|text| (Kind::SerialNumber, text.value.clone())));
        found.extend(identity.system_name.iter().map(|text| (Kind::HostName, text.clone())));
        found.extend(identity.location.iter().map(|text| (Kind::Location, text.clone())));
        found.extend(identity.contact.iter().map(|text| (Kind::Name, text.clone())));
        found.extend(identity.uuid.iter().map(|text| (Kind::Uuid, text.clone())));
    }
    if let Some(network) = &reading.network {
        found.extend(network.host_name.iter().map(|text| (Kind::HostName, text.clone())));
        found.extend(network.physical_addresses.iter().map(|mac| (Kind::PhysicalAddress, mac.clone())));
    }
    let serials = reading.supplies.iter().flatten().filter_map(|supply| supply.serial_number.clone());
    found.extend(serials.map(|serial| (Kind::SerialNumber, serial)));
    found
}

/// Texts that say what the device is: they stay.
fn kept(reading: Option<&Reading>, objects: &[(Oid, Value)]) -> Vec<String> {
    let mut kept = Vec::new();
    if let Some(reading) = reading {
        if let Some(identity) = &reading.identity {
            let texts = [&identity.vendor, &identity.model].into_iter().flatten().map(|text| text.value.clone());
            kept.extend(texts.chain(identity.make_and_model.clone()));
            kept.extend(identity.firmwares.iter().map(|firmware| firmware.version.value.clone()));
        }
        let supplies = reading.supplies.iter().flatten();
        kept.extend(supplies.flat_map(|supply| supply.part_number.iter().chain(&supply.description).cloned()));
        let trays = [&reading.inputs, &reading.outputs];
        kept.extend(trays.into_iter().flatten().flatten().filter_map(|tray| tray.name.clone()));
    }
    // hrDeviceDescr
    let described = objects.iter().filter(|(oid, _)| oid.arcs().starts_with(&[1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 3]));
    kept.extend(described.filter_map(|(_, value)| Some(text::decode(value.as_octets()?, None, None))));
    kept.iter().map(|text| folded(text)).filter(|text| !text.is_empty()).collect()
}

/// One word of capitals and digits, as serial numbers are and little else that is as long.
fn is_like_a_serial(text: &str) -> bool {
    let count = |is: fn(&char) -> bool| text.chars().filter(is).count();
    (8..=20).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        && count(char::is_ascii_digit) >= 4
        && count(char::is_ascii_uppercase) >= 1
}
