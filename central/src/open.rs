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

/// What a token that authenticated holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// A batch.
    Batch(Box<Opened>),
    /// Nothing that this version can parse, with the reason: it is stored and acknowledged all the same, for a later one
    /// may read it (DESIGN invariant 5).
    Unreadable(String),
}

/// Why a token gives nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// No holder of a key of this site made it. One answer outside for every cause; the text is for the log.
    NotAuthentic(String),
    /// It names an epoch of this site whose key is not known, or closed.
    UnknownKey(u32),
    /// It authenticated and is something else than a batch (`standards.md` 1.7, rules 7 and 8): its bytes are kept.
    NoBatch(String),
    /// It authenticated and names another site inside: its bytes are kept.
    OtherSite(String),
}

impl std::fmt::Display for Unopened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAuthentic(why) => write!(f, "it does not open: {why}"),
            Self::UnknownKey(epoch) => write!(f, "the key of epoch {epoch} is not known"),
            Self::NoBatch(why) => write!(f, "it authenticated: {why}"),
            Self::OtherSite(site) => write!(f, "it names site {site} inside"),
        }
    }
}

/// Opens a token of a site with the keys of that site, and reads it.
pub fn open(keys: &SiteKeys, token: &str) -> Result<(Kid, Content), Unopened> {
    let key_of = |kid: &Kid| keys.epoch(kid.epoch()).map(|epoch| epoch.batch_key());
    let (kid, content) = match seal::open(token, Some(&keys.id), key_of) {
        Ok(opened) => (opened.kid, read(&opened.xml)?),
        Err(seal::OpenError::Invalid(why)) => return Err(Unopened::NotAuthentic(why.to_string())),
        Err(seal::OpenError::UnknownKey(kid)) => return Err(Unopened::UnknownKey(kid.epoch())),
        Err(error @ seal::OpenError::Padding) => return Err(Unopened::NoBatch(error.to_string())),
        Err(error @ seal::OpenError::Unreadable(_)) => {
            let kid = seal::peek_kid(token).ok_or_else(|| Unopened::NotAuthentic("no `kid`".to_owned()))?;
            (kid, Content::Unreadable(error.to_string()))
        }
    };
    match content {
        Content::Batch(opened) if opened.batch.site != keys.id.as_str() => Err(Unopened::OtherSite(opened.batch.site)),
        content => Ok((kid, content)),
    }
}

/// Reads a batch as far as this version can.
fn read(content: &[u8]) -> Result<Content, Unopened> {
    let decoded = match xml::decode(content) {
        Ok(decoded) => decoded,
        Err(error @ xml::BadBatch::NotParsed(_)) => return Ok(Content::Unreadable(error.to_string())),
        Err(error @ xml::BadBatch::OtherRoot(_)) => return Err(Unopened::NoBatch(error.to_string())),
    };
    let notes = &decoded.notes;
    let flags = [
        (!notes.duplicate_devices.is_empty(), "device_repeated"),
        (notes.over_limit > 0, "over_limit"),
        (notes.unreadable > 0, "value_unreadable"),
    ];
    Ok(Content::Batch(Box::new(Opened {
        needs_upgrade: notes.needs_reader.is_some(),
        flags: flags.into_iter().filter(|(odd, _)| *odd).map(|(_, flag)| flag).collect(),
        set_aside: decoded
            .set_aside
            .into_iter()
            .map(|device| SetAside { reason: device.reason, xml: device.xml })
            .collect(),
        batch: decoded.batch,
    })))
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
