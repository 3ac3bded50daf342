//! From a token to what is in it. Pure: the same for a token that arrives and for one that is read again.

use jiff::Timestamp;
use meterpost_wire::batch::{Collector, SCHEMA_VERSION};
use meterpost_wire::keys::Kid;
use meterpost_wire::reading::Reading;
use meterpost_wire::{Batch, seal, xml};

use crate::store::{SetAside, SiteKeys};

/// A token's content, read as far as this version can.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The batch, without the devices that were set aside.
    pub batch: Batch,
    /// Devices that could not be read, alone.
    pub set_aside: Vec<SetAside>,
    /// The batch says that only a newer central may show it: it is stored, acknowledged, and nothing is taken from it.
    pub needs_upgrade: bool,
    /// Oddities of the content.
    pub flags: Vec<&'static str>,
}

/// Why a token gives nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// No holder of a key of this site made it. One answer outside for every cause; the text is for the log.
    NotAuthentic(String),
    /// It names an epoch of this site whose key is not known, or closed.
    UnknownKey(u32),
    /// It authenticated and what is in it cannot be read: its bytes are kept.
    Unreadable(String),
    /// It authenticated and names another site inside.
    OtherSite(String),
}

impl std::fmt::Display for Unopened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAuthentic(why) => write!(f, "it does not open: {why}"),
            Self::UnknownKey(epoch) => write!(f, "the key of epoch {epoch} is not known"),
            Self::Unreadable(why) => write!(f, "its content cannot be read: {why}"),
            Self::OtherSite(site) => write!(f, "it names site {site} inside"),
        }
    }
}

/// Opens a token of a site with the keys of that site, and reads it.
pub fn open(keys: &SiteKeys, token: &str) -> Result<(Kid, Opened), Unopened> {
    let key_of = |kid: &Kid| keys.epoch(kid.epoch()).map(|epoch| epoch.batch_key());
    let opened = seal::open(token, Some(&keys.id), key_of).map_err(|error| match error {
        seal::OpenError::Invalid(why) => Unopened::NotAuthentic(why.to_string()),
        seal::OpenError::UnknownKey(kid) => Unopened::UnknownKey(kid.epoch()),
        seal::OpenError::Unreadable(why) => Unopened::Unreadable(why.to_string()),
    })?;
    let content = read(&opened.xml).map_err(Unopened::Unreadable)?;
    if content.batch.site != keys.id.as_str() {
        return Err(Unopened::OtherSite(content.batch.site));
    }
    Ok((opened.kid, content))
}

/// Reads a batch as far as this version can; the error is for the log.
fn read(content: &[u8]) -> Result<Opened, String> {
    let decoded = xml::decode(content).map_err(|error| error.to_string())?;
    let notes = &decoded.notes;
    let flags = [
        (!notes.duplicate_devices.is_empty(), "device_repeated"),
        (notes.over_limit > 0, "over_limit"),
        (notes.unreadable > 0, "value_unreadable"),
    ];
    Ok(Opened {
        needs_upgrade: notes.needs_reader.is_some(),
        flags: flags.into_iter().filter(|(odd, _)| *odd).map(|(_, flag)| flag).collect(),
        set_aside: decoded
            .set_aside
            .into_iter()
            .map(|device| SetAside { reason: device.reason, xml: device.xml })
            .collect(),
        batch: decoded.batch,
    })
}

/// A reading as the store keeps it: the element of the batch, which any later version can read.
pub fn reading_to_xml(reading: &Reading) -> String {
    xml::encode_device(reading)
}

/// Reads what [`reading_to_xml`] wrote.
pub fn reading_from_xml(element: &str) -> Result<Reading, String> {
    let around = Batch {
        schema_version: SCHEMA_VERSION.to_owned(),
        min_reader: None,
        id: NO_ID.to_owned(),
        site: NO_ID.to_owned(),
        sequence: 1,
        previous: None,
        created: Timestamp::UNIX_EPOCH,
        due_next: None,
        collector: Collector::default(),
        sweep: None,
        chain: None,
        health: None,
        devices: Vec::new(),
    };
    let decoded = xml::decode(xml::assemble(&around, &[element]).as_bytes()).map_err(|error| error.to_string())?;
    decoded.batch.devices.into_iter().next().ok_or_else(|| "the element is no device".to_owned())
}

/// The id of the batch that is put around a stored reading and thrown away again.
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";
