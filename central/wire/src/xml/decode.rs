//! From XML to values, by the version rules at the head of `xml`.

mod counters;
mod device;
mod fields;

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::civil::DateTime;

use crate::batch::{
    Batch, Chain, Collector, Health, HealthError, Link, SCHEMA_VERSION, SEQUENCE_MAX, Sweep, Void, VoidReason,
};
use crate::hex::is_sha256;
use crate::keys::is_uuid;

use super::chars::SHORT;
use super::cursor::{Cursor, Element, Instructions, Malformed};
use super::{DEVICES_MAX, ERRORS_MAX, HEALTH_NAMESPACE, LINKS_MAX, NAMESPACE, VOIDS_MAX};
use fields::Fields;

/// A batch as it was read, and what was odd.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// What could be read.
    pub batch: Batch,
    /// Devices that could not be read, each with its XML. The rest of the batch counts.
    pub set_aside: Vec<SetAside>,
    /// What was passed over.
    pub notes: Notes,
}

/// A device that lacks its key, time or outcome, or has something else where a number is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// `Device/@id`, when it has one.
    pub id: Option<String>,
    /// The element as it stands in the batch; a prefix may be declared further out.
    pub xml: String,
    /// Why.
    pub reason: String,
}

/// What a reader passed over in silence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Elements and attributes with names or namespaces that are not known here.
    pub unknown: u32,
    /// Elements that stand again where one is due; the first counts.
    pub repeated: u32,
    /// Values of ours that are not what they should be, outside of devices or where nothing is counted by them.
    pub unreadable: u32,
    /// Items over the limit of their list.
    pub over_limit: u32,
    /// Keys of devices that stand again; the first counts.
    pub duplicate_devices: Vec<String>,
    /// `@minReader`, when it is newer than this reader: nothing of the batch may be shown.
    pub needs_reader: Option<String>,
}

/// A text that is no batch, by what can be said of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    /// Not a whole document in UTF-8, or one over the limits: nothing in it can be parsed.
    #[error("no batch: {0}")]
    NotParsed(String),
    /// A document with another root, or with a root without site, sequence, id or time: its writer meant something else.
    #[error("no batch: {0}")]
    OtherRoot(String),
}

impl From<Malformed> for BadBatch {
    fn from(malformed: Malformed) -> Self {
        Self::NotParsed(malformed.to_string())
    }
}

/// Reads a batch. Nothing of a batch that is refused may be used; nothing that is odd refuses one.
pub fn decode(xml: &[u8]) -> Result<Decoded, BadBatch> {
    let xml = str::from_utf8(xml)
        .map_err(|error| BadBatch::NotParsed(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut fields = Fields::new(Cursor::new(xml, &[NAMESPACE, HEALTH_NAMESPACE], Instructions::Ignored));
    let root = fields.root()?;
    if root.name_in(NAMESPACE) != Some("Batch") {
        return Err(BadBatch::OtherRoot(format!("the root is not `Batch` of `{NAMESPACE}`")));
    }
    let mut batch = head(&root, &mut fields)?;
    let set_aside = content(&mut batch, &mut fields)?;
    fields.cursor.finish()?;
    Ok(Decoded { batch, set_aside, notes: fields.notes })
}

fn head(root: &Element, fields: &mut Fields<'_>) -> Result<Batch, BadBatch> {
    let due = |name: &str| root.attribute(name).ok_or_else(|| BadBatch::OtherRoot(format!("`@{name}` is missing")));
    let uuid = |name: &str| {
        let uuid = due(name)?;
        if is_uuid(uuid) {
            Ok(uuid.to_owned())
        } else {
            Err(BadBatch::OtherRoot(format!("`@{name}` is not a lower-case UUID")))
        }
    };
    let sequence =
        sequence(due("sequence")?).ok_or_else(|| BadBatch::OtherRoot("`@sequence` is not 1 to 2^53 - 1".into()))?;
    let created =
        instant(due("created")?).ok_or_else(|| BadBatch::OtherRoot("`@created` is not a time in UTC".into()))?;
    let mut previous = None;
    fields.attribute(root, "previous", &mut previous, |text| is_sha256(text).then(|| text.to_owned()));
    let mut due_next = None;
    fields.attribute(root, "dueNext", &mut due_next, instant);
    let mut min_reader = None;
    fields.attribute(root, "minReader", &mut min_reader, |text| version(text).map(|_| text.to_owned()));
    if min_reader.as_deref().and_then(version) > version(SCHEMA_VERSION) {
        fields.notes.needs_reader.clone_from(&min_reader);
    }
    Ok(Batch {
        schema_version: root.attribute("schemaVersion").unwrap_or_default().to_owned(),
        min_reader,
        id: uuid("id")?,
        site: uuid("site")?,
        sequence,
        previous,
        created,
        due_next,
        collector: Collector::default(),
        sweep: None,
        chain: None,
        health: None,
        devices: Vec::new(),
    })
}

fn content(batch: &mut Batch, fields: &mut Fields<'_>) -> Result<Vec<SetAside>, BadBatch> {
    let (mut known, mut set_aside) = (None, None);
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("Collector") => fields.part(&mut known, collector)?,
            Some("Sweep") => {
                let mut read = None;
                fields.part(&mut read, |fields| sweep(&child, fields))?;
                fields.keep(&mut batch.sweep, read.flatten());
            }
            Some("Chain") => fields.part(&mut batch.chain, chain)?,
            Some("Health") => fields.part(&mut batch.health, health)?,
            Some("Devices") if set_aside.is_none() => set_aside = Some(devices(batch, fields)?),
            Some("Devices") => fields.repeated()?,
            _ => fields.unknown()?,
        }
    }
    batch.collector = known.unwrap_or_default();
    Ok(set_aside.unwrap_or_default())
}

fn devices(batch: &mut Batch, fields: &mut Fields<'_>) -> Result<Vec<SetAside>, BadBatch> {
    let mut set_aside = Vec::new();
    let mut keys = HashSet::new();
    let mut count = 0;
    while let Some(child) = fields.child()? {
        if child.name_in(NAMESPACE) != Some("Device") {
            fields.unknown()?;
            continue;
        }
        count += 1;
        if count > DEVICES_MAX {
            return Err(BadBatch::NotParsed(format!("more than {DEVICES_MAX} devices")));
        }
        match device::device(&child, fields)? {
            Ok(reading) if keys.insert(reading.key.clone()) => batch.devices.push(reading),
            Ok(reading) => fields.notes.duplicate_devices.push(reading.key),
            Err(reason) => set_aside.push(SetAside {
                id: child.attribute("id").map(str::to_owned),
                xml: fields.cursor.raw(&child).to_owned(),
                reason,
            }),
        }
    }
    Ok(set_aside)
}

fn collector(fields: &mut Fields<'_>) -> Result<Collector, Malformed> {
    let (mut name, mut version, mut read) = (None, None, Collector::default());
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("Name") => fields.text(&mut name, SHORT)?,
            Some("Version") => fields.text(&mut version, SHORT)?,
            Some("PackVersion") => fields.number(&mut read.pack_version)?,
            Some("SettingsVersion") => fields.number(&mut read.settings_version)?,
            _ => fields.unknown()?,
        }
    }
    Ok(Collector { name: name.unwrap_or_default(), version: version.unwrap_or_default(), ..read })
}

/// A sweep without id or start says nothing.
fn sweep(element: &Element, fields: &mut Fields<'_>) -> Result<Option<Sweep>, Malformed> {
    let (mut part, mut parts) = (None, None);
    fields.attribute(element, "part", &mut part, |text| text.parse().ok());
    fields.attribute(element, "parts", &mut parts, |text| text.parse().ok());
    let (mut started, mut ended, mut probed, mut answered, mut printers, mut verdicts) = Default::default();
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("StartedAt") => fields.value(&mut started, instant)?,
            Some("EndedAt") => fields.value(&mut ended, instant)?,
            Some("AddressesProbed") => fields.number(&mut probed)?,
            Some("DevicesAnswered") => fields.number(&mut answered)?,
            Some("Printers") => fields.number(&mut printers)?,
            Some("Verdicts") => fields.list(&mut verdicts, usize::MAX, "Verdict", |verdict, fields| {
                let mut addresses = None;
                fields.number(&mut addresses)?;
                Ok(verdict.attribute("name").map(str::to_owned).zip(addresses))
            })?,
            _ => fields.unknown()?,
        }
    }
    let (Some(id), Some(started_at)) = (element.attribute("id"), started) else {
        fields.notes.unreadable += 1;
        return Ok(None);
    };
    Ok(Some(Sweep {
        id: id.to_owned(),
        part,
        parts,
        started_at,
        ended_at: ended,
        addresses_probed: probed,
        devices_answered: answered,
        printers,
        verdicts,
    }))
}

fn chain(fields: &mut Fields<'_>) -> Result<Chain, Malformed> {
    let (mut links, mut voids) = (None, None);
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("Links") => fields.list(&mut links, LINKS_MAX, "Link", |link, fields| {
                fields.cursor.skip()?;
                let sha256 = link.attribute("sha256").filter(|sha256| is_sha256(sha256)).map(str::to_owned);
                let number = link.attribute("sequence").and_then(sequence);
                Ok(number.zip(sha256).map(|(sequence, sha256)| Link { sequence, sha256 }))
            })?,
            Some("Voids") => fields.list(&mut voids, VOIDS_MAX, "Void", |void, fields| {
                fields.cursor.skip()?;
                let number = |name| void.attribute(name).and_then(sequence);
                let range = number("from").zip(number("to")).filter(|(from, to)| from <= to);
                let reason = void.attribute("reason").and_then(void_reason);
                Ok(range.zip(reason).map(|((from, to), reason)| Void { from, to, reason }))
            })?,
            _ => fields.unknown()?,
        }
    }
    Ok(Chain { links: links.unwrap_or_default(), voids: voids.unwrap_or_default() })
}

fn health(fields: &mut Fields<'_>) -> Result<Health, Malformed> {
    let mut read = Health::default();
    let mut errors = None;
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("UptimeSeconds") => fields.number(&mut read.uptime_seconds)?,
            Some("DiskFreeBytes") => fields.number(&mut read.disk_free_bytes)?,
            Some("QueueWaiting") => fields.number(&mut read.queue_waiting)?,
            Some("QueueHandedOver") => fields.number(&mut read.queue_handed_over)?,
            Some("QueueSetAside") => fields.number(&mut read.queue_set_aside)?,
            Some("QueueOldestAt") => fields.value(&mut read.queue_oldest_at, instant)?,
            Some("SweepsNotSealed") => fields.number(&mut read.sweeps_not_sealed)?,
            Some("ClockSkewSeconds") => fields.number(&mut read.clock_skew_seconds)?,
            Some("Schedule") => fields.text(&mut read.schedule, SHORT)?,
            Some("Errors") => fields.list(&mut errors, ERRORS_MAX, "Error", |error, fields| {
                let text = fields.cursor.text(SHORT)?;
                let (at, code) = (error.attribute("at").and_then(instant), error.attribute("code"));
                Ok(at.zip(code).map(|(at, code)| HealthError { at, code: code.to_owned(), text }))
            })?,
            _ => match child.name_in(HEALTH_NAMESPACE) {
                Some("OperatingSystem") => fields.text(&mut read.operating_system, SHORT)?,
                Some("StoreBytes") => fields.number(&mut read.store_bytes)?,
                _ => fields.unknown()?,
            },
        }
    }
    Ok(Health { errors: errors.unwrap_or_default(), ..read })
}

fn void_reason(word: &str) -> Option<VoidReason> {
    let all = [VoidReason::Lost, VoidReason::Deleted, VoidReason::Expired, VoidReason::SetAside];
    all.into_iter().find(|reason| reason.as_str() == word)
}

fn sequence(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number| (1..=SEQUENCE_MAX).contains(number))
}

/// `xs:dateTime` in UTC ending in `Z`. The last hours of the year 9999, and the first of -9999, lie outside of what we
/// reckon with and become its ends: a batch is never refused for its times (`standards.md` 2.9).
fn instant(text: &str) -> Option<Timestamp> {
    let without_zone = text.strip_suffix('Z')?;
    text.parse().ok().or_else(|| {
        let beyond: DateTime = without_zone.parse().ok().filter(|_| text.contains('T'))?;
        Some(if beyond.year() < 0 { Timestamp::MIN } else { Timestamp::MAX })
    })
}

/// `major.minor`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
