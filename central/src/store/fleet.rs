//! Devices and their readings: derived rows, written with the batch they come from.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use meterpost_wire::reading::{Outcome, Reading, Scope};
use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, column, number, seal_json, sites, time, unseal_json};
use crate::derive::device::{self, DeviceState, Place, Places, Summary};
use crate::keyring::Keyring;

/// All devices.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Those that can be shown, in no order.
    pub rows: Vec<FleetRow>,
    /// Those whose stored line does not open: `check --rederive` makes it again.
    pub damaged: u64,
}

/// A device in the list of the fleet.
#[derive(Clone, Debug)]
pub struct FleetRow {
    /// 32 hex digits; the same after `check --rederive`.
    pub id: String,
    /// UUID of its site.
    pub site: String,
    /// The site's name.
    pub site_name: String,
    /// Effective time of its newest reading; `None` = it never answered.
    pub read_at: Option<Timestamp>,
    /// The rest of the line.
    pub summary: Summary,
}

/// A device in full.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    /// Its line in the fleet.
    pub row: FleetRow,
    /// The newest of everything that is known of it.
    pub state: DeviceState,
    /// The newest readings with counters, in the order of their batches, the newest last.
    pub history: Vec<History>,
}

/// The counters of one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Effective time.
    pub at: Timestamp,
    /// Values by counter key.
    pub counters: BTreeMap<String, CountRow>,
}

/// A counter's value as it is kept for each reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountRow {
    /// The value.
    pub value: u64,
    /// `actual` `derived` `suspect`.
    pub basis: String,
}

/// A reading as it is exported.
#[derive(Clone, Debug)]
pub struct ReadingRow {
    /// Id of the device.
    pub device: String,
    /// UUID of its site.
    pub site: String,
    /// The site's name.
    pub site_name: String,
    /// The collector's key of the device.
    pub key: String,
    /// Who it was when it was read; what that reading does not say is from the device's newest state.
    pub who: Who,
    /// By the site's clock.
    pub read_at: Timestamp,
    /// By ours.
    pub effective_at: Timestamp,
    /// Of the batch that brought it.
    pub sequence: u64,
    /// How the reading went.
    pub outcome: String,
    /// Its counters by key; one that was not read is absent.
    pub counters: BTreeMap<String, CountRow>,
}

/// Who a device is, as bills name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Brand.
    pub vendor: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
}

/// A page of readings.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// Those that can be shown.
    pub rows: Vec<ReadingRow>,
    /// Those whose stored row does not open.
    pub damaged: u64,
    /// Where the next page begins; `None`: this is the last.
    pub next: Option<(Timestamp, String, Timestamp)>,
}

/// Which readings are wanted.
#[derive(Clone, Debug, Default)]
pub struct ReadingsFrom {
    /// UUID of the only site.
    pub site: Option<String>,
    /// Effective time from here on.
    pub from: Option<Timestamp>,
    /// Effective time before this.
    pub to: Option<Timestamp>,
    /// Go on after the last row of the page before: effective time, device, reading time.
    pub after: Option<(Timestamp, String, Timestamp)>,
}

/// Readings in one page of an export.
pub const READINGS_PAGE: usize = 1_000;

/// Readings of one device that its page looks at: a year of six a day.
const HISTORY_MAX: i64 = 2_200;

/// A reading's row.
#[derive(Serialize, Deserialize)]
struct StoredReading {
    outcome: String,
    counters: Option<BTreeMap<String, CountRow>>,
    #[serde(default)]
    who: Who,
}

/// A state's row; the reading in it is kept as the XML of the batch, which any later version can read.
#[derive(Serialize, Deserialize)]
struct StoredState {
    outcome: String,
    tried_at: Timestamp,
    read_at: Option<Timestamp>,
    counters_at: Option<Timestamp>,
    supplies_at: Option<Timestamp>,
    status_at: Option<Timestamp>,
    #[serde(default)]
    places: Places,
    xml: String,
}

impl Store {
    /// All devices, in no order. Their lines are sealed, so search and sorting happen on what this returns: work and memory
    /// grow with the fleet, a few hundred bytes for each device.
    pub async fn fleet(&self) -> Result<Fleet, StoreError> {
        self.read(|db, keyring| {
            let names = site_names(db, keyring)?;
            let mut statement = db.prepare_cached("SELECT id, site, read_at, summary FROM device")?;
            let mut rows = statement.query([])?;
            let mut fleet = Fleet::default();
            while let Some(row) = rows.next()? {
                let site: String = row.get(1)?;
                let sealed: Vec<u8> = row.get(3)?;
                let Ok(summary) = unseal_json(keyring, "device.summary", &sealed) else {
                    fleet.damaged += 1;
                    continue;
                };
                fleet.rows.push(FleetRow {
                    id: row.get(0)?,
                    site_name: names.get(&site).cloned().unwrap_or_default(),
                    site,
                    read_at: row.get::<_, Option<i64>>(2)?.map(time),
                    summary,
                });
            }
            Ok(fleet)
        })
        .await
    }

    /// One device with its history. What of it does not open is `Damaged`.
    pub async fn device(&self, id: String) -> Result<Option<DeviceRow>, StoreError> {
        self.read(move |db, keyring| {
            let mut statement = db.prepare_cached("SELECT site, read_at, summary, detail FROM device WHERE id = $1")?;
            let mut rows = statement.query([&id])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let (site, read_at): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
            let (summary, detail): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?);
            let history = history(db, keyring, &id)?;
            let row = FleetRow {
                site_name: site_names(db, keyring)?.remove(&site).unwrap_or_default(),
                site,
                read_at: read_at.map(time),
                summary: unseal_json(keyring, "device.summary", &summary)?,
                id,
            };
            Ok(Some(DeviceRow { row, state: state_of(unseal_json(keyring, "device.detail", &detail)?)?, history }))
        })
        .await
    }

    /// A page of at most [`READINGS_PAGE`] readings, by effective time.
    pub async fn readings(&self, wanted: ReadingsFrom) -> Result<Readings, StoreError> {
        self.read(move |db, keyring| readings(db, keyring, &wanted)).await
    }
}

fn readings(db: &Transaction<'_>, keyring: &Keyring, wanted: &ReadingsFrom) -> Result<Readings, StoreError> {
    let names = site_names(db, keyring)?;
    let (after, device, read_at) = match &wanted.after {
        Some((at, device, read_at)) => (at.as_second(), device.as_str(), read_at.as_second()),
        None => (i64::MIN, "", i64::MIN),
    };
    let mut statement = db.prepare_cached(
        "SELECT reading.device, reading.site, reading.read_at, reading.effective_at, reading.sequence, reading.detail,
                device.summary
         FROM reading JOIN device ON device.id = reading.device
         WHERE reading.effective_at >= $1 AND reading.effective_at < $2 AND reading.scope = 'full'
           AND (reading.effective_at, reading.device, reading.read_at) > ($3, $4, $5)
           AND ($6 = '' OR reading.site = $6)
         ORDER BY reading.effective_at, reading.device, reading.read_at LIMIT $7",
    )?;
    let mut rows = statement.query((
        wanted.from.map_or(i64::MIN, Timestamp::as_second),
        wanted.to.map_or(i64::MAX, Timestamp::as_second),
        after,
        device,
        read_at,
        wanted.site.as_deref().unwrap_or_default(),
        column(READINGS_PAGE as u64),
    ))?;
    let mut page = Readings::default();
    let mut asked = 0;
    while let Some(row) = rows.next()? {
        let (device, site): (String, String) = (row.get(0)?, row.get(1)?);
        let (read_at, effective_at) = (time(row.get(2)?), time(row.get(3)?));
        asked += 1;
        if asked == READINGS_PAGE {
            page.next = Some((effective_at, device.clone(), read_at));
        }
        let (detail, summary): (Vec<u8>, Vec<u8>) = (row.get(5)?, row.get(6)?);
        let stored = unseal_json::<StoredReading>(keyring, "reading.detail", &detail);
        let Ok((stored, summary)) =
            stored.and_then(|stored| Ok((stored, unseal_json::<Summary>(keyring, "device.summary", &summary)?)))
        else {
            page.damaged += 1;
            continue;
        };
        page.rows.push(ReadingRow {
            device,
            site_name: names.get(&site).cloned().unwrap_or_default(),
            site,
            key: summary.key,
            who: Who {
                vendor: stored.who.vendor.or(summary.vendor),
                model: stored.who.model.or(summary.model),
                serial: stored.who.serial.or(summary.serial),
            },
            read_at,
            effective_at,
            sequence: number(row.get(4)?),
            outcome: stored.outcome,
            counters: stored.counters.unwrap_or_default(),
        });
    }
    Ok(page)
}

/// What does not open is left out; `check` names it.
fn history(db: &Transaction<'_>, keyring: &Keyring, device: &str) -> Result<Vec<History>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT effective_at, detail FROM reading WHERE device = $1 AND scope = 'full'
         ORDER BY sequence DESC, read_at DESC, token DESC LIMIT $2",
    )?;
    let mut rows = statement.query((device, HISTORY_MAX))?;
    let mut history = Vec::new();
    while let Some(row) = rows.next()? {
        let detail: Vec<u8> = row.get(1)?;
        let stored = unseal_json::<StoredReading>(keyring, "reading.detail", &detail);
        if let Some(counters) = stored.ok().and_then(|stored| stored.counters) {
            history.push(History { at: time(row.get(0)?), counters });
        }
    }
    history.reverse();
    Ok(history)
}

/// Writes what one reading changes: its own row, once for each (device, time of reading), and the state of the device,
/// into which it is folded at its place, whatever has arrived before. A reading that two batches carry is kept as the
/// later one of them has it, by sequence and then by token: never by which arrived first.
pub(super) fn derive_reading(
    db: &Transaction<'_>,
    keyring: &Keyring,
    site: &str,
    reading: &Reading,
    place: Place,
) -> Result<(), StoreError> {
    let id = device_id(keyring, site, &reading.key);
    let identity = reading.identity.clone().unwrap_or_default();
    let stored = StoredReading {
        who: Who {
            vendor: identity.vendor.map(|text| text.value),
            model: identity.model.map(|text| text.value).or(identity.make_and_model),
            serial: identity.serial_number.map(|text| text.value),
        },
        outcome: reading.outcome.as_str().to_owned(),
        counters: reading.counters.as_ref().map(|counters| {
            counters
                .iter()
                .map(|(key, count)| {
                    (key.to_string(), CountRow { value: count.value, basis: count.basis.as_str().to_owned() })
                })
                .collect()
        }),
    };
    db.prepare_cached(
        "INSERT INTO reading (device, read_at, scope, site, sequence, effective_at, detail, token)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (device, read_at, scope) DO UPDATE SET sequence = excluded.sequence,
            effective_at = excluded.effective_at, detail = excluded.detail, token = excluded.token
         WHERE (excluded.sequence, excluded.token) > (reading.sequence, reading.token)",
    )?
    .execute((
        &id,
        reading.read_at.as_second(),
        scope_word(reading.scope),
        site,
        column(place.sequence),
        place.effective.as_second(),
        seal_json(keyring, "reading.detail", &stored)?,
        column(place.token),
    ))?;
    let before: Option<Vec<u8>> =
        db.prepare_cached("SELECT detail FROM device WHERE id = $1")?.query_row([&id], |row| row.get(0)).optional()?;
    let before = before.and_then(|detail| {
        // What was known of this one device is lost until `check --rederive`; its batch, and all others in it, go on.
        let opened = unseal_json(keyring, "device.detail", &detail).and_then(state_of);
        opened.inspect_err(|error| tracing::error!(device = id, %error, "run `check --rederive`")).ok()
    });
    let state = device::fold(before, reading, place);
    db.prepare_cached(
        "INSERT INTO device (id, site, read_at, summary, detail) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET read_at = excluded.read_at, summary = excluded.summary,
            detail = excluded.detail",
    )?
    .execute((
        &id,
        site,
        state.read_at.map(Timestamp::as_second),
        seal_json(keyring, "device.summary", &device::summary(&state))?,
        seal_json(keyring, "device.detail", &stored_of(&state))?,
    ))?;
    Ok(())
}

fn device_id(keyring: &Keyring, site: &str, key: &str) -> String {
    let mut id = keyring.look_up("device", &format!("{site}\n{key}"));
    id.truncate(32);
    id
}

fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::Full => "full",
        Scope::Alerts => "alerts",
    }
}

fn site_names(db: &Transaction<'_>, keyring: &Keyring) -> Result<HashMap<String, String>, StoreError> {
    let mut statement = db.prepare_cached("SELECT id, name FROM site")?;
    let mut rows = statement.query([])?;
    let mut names = HashMap::new();
    while let Some(row) = rows.next()? {
        let sealed: Vec<u8> = row.get(1)?;
        let id: String = row.get(0)?;
        names.insert(id.clone(), sites::site_name(keyring, &sealed, &id));
    }
    Ok(names)
}

fn stored_of(state: &DeviceState) -> StoredState {
    StoredState {
        outcome: state.outcome.as_str().to_owned(),
        tried_at: state.tried_at,
        read_at: state.read_at,
        counters_at: state.counters_at,
        supplies_at: state.supplies_at,
        status_at: state.status_at,
        places: state.places.clone(),
        xml: crate::open::reading_to_xml(&state.reading),
    }
}

fn state_of(stored: StoredState) -> Result<DeviceState, StoreError> {
    let reading = crate::open::reading_from_xml(&stored.xml)
        .map_err(|error| StoreError::Broken(format!("a stored state is not readable: {error}")))?;
    let outcome = [Outcome::Complete, Outcome::Partial, Outcome::Unreachable, Outcome::Denied, Outcome::Unmapped]
        .into_iter()
        .find(|outcome| outcome.as_str() == stored.outcome)
        .unwrap_or(reading.outcome);
    Ok(DeviceState {
        reading,
        outcome,
        tried_at: stored.tried_at,
        read_at: stored.read_at,
        counters_at: stored.counters_at,
        supplies_at: stored.supplies_at,
        status_at: stored.status_at,
        places: stored.places,
    })
}
