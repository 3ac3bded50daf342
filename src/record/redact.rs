//! Serial numbers, names and addresses out of a recording: each original gets a pseudonym of its shape and length, the same
//! wherever it stands, so that mapping files read the recording as they would read the device.
//!
//! Looked for in every string, in text and bytes, in the hex spelling of a text, and in OIDs that spell one. Counters, models,
//! firmware and part numbers stay as they are. What a device calls by a name that nobody knows is not recognised: whoever gives
//! a recording away looks through it.

mod forms;
mod known;
mod pseudonym;

use std::collections::{BTreeMap, BTreeSet};

use crate::snmp::{Oid, Value};
use forms::Form;
pub use known::Known;
pub use pseudonym::Digest;

/// What an original is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Of the device, a cartridge, a tray.
    SerialNumber,
    /// A name that a person gave, or of a person; a contact.
    Name,
    /// Where it stands.
    Location,
    /// Of a host, or a domain.
    HostName,
    /// Of an interface.
    PhysicalAddress,
    /// IPv4 or IPv6.
    Address,
    /// A UUID.
    Uuid,
}

impl Kind {
    /// For people, one and several.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::SerialNumber => ("serial number", "serial numbers"),
            Self::Name => ("name", "names"),
            Self::Location => ("location", "locations"),
            Self::HostName => ("host name", "host names"),
            Self::PhysicalAddress => ("MAC address", "MAC addresses"),
            Self::Address => ("IP address", "IP addresses"),
            Self::Uuid => ("UUID", "UUIDs"),
        }
    }
}

/// A recording without its originals.
#[derive(Clone, Debug)]
pub struct Redacted {
    /// The objects, in walk order.
    pub objects: Vec<(Oid, Value)>,
    /// How many originals of each kind were replaced, and in how many places.
    pub replaced: BTreeMap<Kind, (usize, usize)>,
}

/// Replaces what is known. `digest` is a keyed hash: without its key nobody finds an original by trying.
pub fn redact(objects: &[(Oid, Value)], known: &Known, digest: Digest<'_>) -> Redacted {
    let forms = forms::of(known, digest);
    let mut redactor = Redactor { forms: &forms, digest, seen: BTreeMap::new() };
    let mut replaced: Vec<(Oid, Value)> = objects
        .iter()
        .map(|(oid, value)| {
            let value = match value {
                Value::Octets(bytes) => Value::Octets(redactor.octets(oid, bytes, known)),
                Value::Opaque(bytes) => Value::Opaque(redactor.bytes(bytes)),
                Value::IpAddress(address) => Value::IpAddress(redactor.address(*address)),
                Value::Oid(spelled) => Value::Oid(redactor.oid(spelled)),
                other => other.clone(),
            };
            (redactor.oid(oid), value)
        })
        .collect();
    replaced.sort_by(|(one, _), (other, _)| one.cmp(other));
    let counted = redactor.seen.into_iter().map(|(kind, (originals, places))| (kind, (originals.len(), places)));
    Redacted { objects: replaced, replaced: counted.collect() }
}

struct Redactor<'a> {
    forms: &'a [Form],
    digest: Digest<'a>,
    seen: BTreeMap<Kind, (BTreeSet<String>, usize)>,
}

impl Redactor<'_> {
    fn count(&mut self, kind: Kind, original: &str) {
        let (originals, places) = self.seen.entry(kind).or_default();
        originals.insert(original.to_lowercase());
        *places += 1;
    }

    /// A string. That of an object which holds nothing else is replaced as a whole.
    fn octets(&mut self, oid: &Oid, bytes: &[u8], known: &Known) -> Vec<u8> {
        if let Some(kind) = known.whole(oid, bytes) {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.count(kind, &text);
            return pseudonym::bytes(kind, bytes, self.digest);
        }
        self.bytes(bytes)
    }

    /// The first original, the longest where several begin at one place; then on behind it.
    fn bytes(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            match self.forms.iter().find(|form| form.begins(bytes, at)) {
                Some(form) => {
                    let instead = form.instead(&bytes[at..at + form.len()]);
                    self.count(form.kind, &form.original);
                    out.extend(instead);
                    at += form.len();
                }
                None => {
                    out.push(bytes[at]);
                    at += 1;
                }
            }
        }
        out
    }

    fn address(&mut self, address: [u8; 4]) -> [u8; 4] {
        if !known::is_address(address) {
            return address;
        }
        self.count(Kind::Address, &std::net::Ipv4Addr::from(address).to_string());
        pseudonym::address(address, self.digest)
    }

    /// OIDs spell texts, MAC and IP addresses in their indexes, a byte in each number.
    fn oid(&mut self, oid: &Oid) -> Oid {
        let arcs = oid.arcs();
        // the front names what it is
        let from = arcs.len().min(8);
        let bytes: Vec<u8> = arcs[from..].iter().map(|arc| u8::try_from(*arc).unwrap_or(0)).collect();
        if bytes.len() < 4 {
            return oid.clone();
        }
        let mut changed = arcs.to_vec();
        let mut at = 0;
        while at < bytes.len() {
            let form = self.forms.iter().find(|form| form.is_at(&bytes, at));
            let Some(form) = form.filter(|form| arcs[from + at..from + at + form.len()].iter().all(|arc| *arc < 256))
            else {
                at += 1;
                continue;
            };
            for (place, byte) in form.instead(&bytes[at..at + form.len()]).into_iter().enumerate() {
                changed[from + at + place] = u32::from(byte);
            }
            self.count(form.kind, &form.original);
            at += form.len();
        }
        Oid::new(&changed)
    }
}

#[cfg(test)]
mod tests;
