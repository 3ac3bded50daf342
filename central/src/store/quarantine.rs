//! What came in and could not be taken: its bytes, and why.
//!
//! Limits (`standards.md` 2.5): 1,000 items for each site that is named and 100 MiB in all. What authenticated never makes
//! room for others; of the rest the oldest goes. Where only the former is left nothing more is kept, and nothing may be
//! refused for good.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction};

use super::batches::{Arrival, SetAside};
use super::{Store, StoreError, column, number, sites, time, unseal_json};
use crate::chain::Digest;
use crate::keyring::{Keyring, Rows};

/// Items that name one site.
const ITEMS_MAX: i64 = 1_000;

/// Bytes of all items.
const BYTES_MAX: i64 = 100 << 20;

/// Something that is to be kept.
#[derive(Clone, Debug)]
pub struct NewHeld {
    /// The site that it names; empty = none.
    pub site: String,
    /// Of the bytes.
    pub sha256: Digest,
    /// The token, or whatever stands in its place.
    pub bytes: Vec<u8>,
    /// `envelope-invalid`, `envelope-mismatch`, `batch-conflict`, `unknown-key`.
    pub code: &'static str,
    /// For people.
    pub reason: String,
    /// A holder of the site's key made it.
    pub authentic: bool,
    /// Now.
    pub received_at: Timestamp,
}

impl NewHeld {
    pub(super) fn conflict(arrival: &Arrival, reason: &str) -> Self {
        Self {
            site: arrival.epoch.kid().site().to_string(),
            sha256: arrival.sha256,
            bytes: arrival.token.clone().into_bytes(),
            code: "batch-conflict",
            reason: reason.to_owned(),
            authentic: true,
            received_at: arrival.received_at,
        }
    }
}

/// An item of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// Its number, by which people name it.
    pub number: u64,
    /// The site that it names, by id; empty = none.
    pub site: String,
    /// That site's name, where there is such a site.
    pub site_name: Option<String>,
    /// `envelope-invalid`, …
    pub code: String,
    /// For people.
    pub reason: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// How many bytes it has.
    pub size: u64,
    /// Of the bytes.
    pub sha256: Digest,
    /// A holder of the site's key made it.
    pub authentic: bool,
    /// The file or message that it came in; `None` = a request of the site.
    pub source: Option<String>,
}

/// A device of a stored batch that could not be read, alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAsideRow {
    /// The batch, by its place in the order of arrival.
    pub arrival: u64,
    /// The device, by its place among those of the batch that were set aside.
    pub position: u64,
    /// Its site.
    pub site_name: String,
    /// The batch's number.
    pub sequence: u64,
    /// When the batch arrived.
    pub received_at: Timestamp,
    /// The element as it came, and why it could not be read.
    pub detail: SetAside,
}

/// Whether something could be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is there.
    Kept,
    /// There is no room.
    Full,
}

impl Store {
    /// All items, the oldest first, without their bytes.
    pub async fn held(&self) -> Result<Vec<HeldRow>, StoreError> {
        self.read(|db, keyring| {
            let mut statement = db.prepare(&format!("{ROW} ORDER BY number"))?;
            let mut rows = statement.query([])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                all.push(held_row(db, keyring, row)?);
            }
            Ok(all)
        })
        .await
    }

    /// One item with its bytes.
    pub async fn held_item(&self, item: u64) -> Result<Option<(HeldRow, Vec<u8>)>, StoreError> {
        self.read(move |db, keyring| {
            let mut statement = db.prepare(&format!("{ROW} WHERE number = $1"))?;
            let mut rows = statement.query([column(item)])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let bytes =
                db.query_row("SELECT token FROM quarantine WHERE number = $1", [column(item)], |row| row.get(0))?;
            Ok(Some((held_row(db, keyring, row)?, bytes)))
        })
        .await
    }

    /// All devices that were set aside, in the order of arrival. One whose row does not open is not among them; `check` names
    /// it.
    pub async fn set_asides(&self) -> Result<Vec<SetAsideRow>, StoreError> {
        self.read(|db, keyring| {
            let mut statement = db.prepare(
                "SELECT set_aside.arrival, position, site.id, site.name, batch.sequence, received_at, detail
                 FROM set_aside JOIN batch ON batch.arrival = set_aside.arrival JOIN site ON site.id = batch.site
                 ORDER BY 1, 2",
            )?;
            let mut rows = statement.query([])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                let (site, name, sealed): (String, Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?, row.get(6)?);
                let Ok(detail) = unseal_json(keyring, "set_aside.detail", &sealed) else { continue };
                all.push(SetAsideRow {
                    arrival: number(row.get(0)?),
                    position: number(row.get(1)?),
                    site_name: sites::site_name(keyring, &name, &site),
                    sequence: number(row.get(4)?),
                    received_at: time(row.get(5)?),
                    detail,
                });
            }
            Ok(all)
        })
        .await
    }

    /// Stored batches from which not everything is shown: devices set aside, nothing readable, or for a newer version.
    pub async fn not_shown_whole(&self) -> Result<Vec<u64>, StoreError> {
        self.read(|db, _| {
            let mut statement = db.prepare(
                "SELECT arrival FROM set_aside UNION SELECT arrival FROM note WHERE state <> 'shown' ORDER BY 1",
            )?;
            let rows = statement.query_map([], |row| row.get(0).map(number))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

const ROW: &str =
    "SELECT number, site, code, reason, received_at, length(token), sha256, authentic, source FROM quarantine";

fn held_row(db: &Transaction<'_>, keyring: &Keyring, row: &rusqlite::Row<'_>) -> Result<HeldRow, StoreError> {
    let site: String = row.get(1)?;
    let name: Option<Vec<u8>> =
        db.prepare_cached("SELECT name FROM site WHERE id = $1")?.query_row([&site], |row| row.get(0)).optional()?;
    let source: Option<Vec<u8>> = row.get(8)?;
    // What does not open is not shown; `check` names it.
    let source = source.map(|sealed| match keyring.open(Rows::Memory, "quarantine.source", &sealed) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => "(damaged)".to_owned(),
    });
    Ok(HeldRow {
        number: number(row.get(0)?),
        site_name: name.map(|name| sites::site_name(keyring, &name, &site)),
        site,
        code: row.get(2)?,
        reason: row.get(3)?,
        received_at: time(row.get(4)?),
        size: number(row.get(5)?),
        sha256: row.get(6)?,
        authentic: row.get(7)?,
        source,
    })
}

/// Keeps something, once. What is there already stays as it came, but for the newest reason.
pub(super) fn keep(db: &Transaction<'_>, keyring: &Keyring, held: &NewHeld, source: &str) -> Result<Kept, StoreError> {
    let there = db
        .prepare_cached(
            "UPDATE quarantine SET code = $1, reason = $2, authentic = max(authentic, $3) WHERE site = $4 AND sha256 = $5",
        )?
        .execute((held.code, &held.reason, held.authentic, &held.site, held.sha256.as_slice()))?;
    if there > 0 {
        return Ok(Kept::Kept);
    }
    loop {
        let items: i64 = db
            .prepare_cached("SELECT count(*) FROM quarantine WHERE site = $1")?
            .query_row([&held.site], |row| row.get(0))?;
        let bytes: i64 = db
            .prepare_cached("SELECT coalesce(sum(length(token)), 0) FROM quarantine")?
            .query_row([], |row| row.get(0))?;
        let oldest: Option<i64> = if items >= ITEMS_MAX {
            db.prepare_cached("SELECT min(number) FROM quarantine WHERE authentic = 0 AND site = $1")?
                .query_row([&held.site], |row| row.get(0))?
        } else if bytes + column(held.bytes.len() as u64) > BYTES_MAX {
            db.prepare_cached("SELECT min(number) FROM quarantine WHERE authentic = 0")?
                .query_row([], |row| row.get(0))?
        } else {
            break;
        };
        let Some(oldest) = oldest else { return Ok(Kept::Full) };
        db.prepare_cached("DELETE FROM quarantine WHERE number = $1")?.execute([oldest])?;
    }
    let sealed = (!source.is_empty()).then(|| keyring.seal(Rows::Memory, "quarantine.source", source.as_bytes()));
    db.prepare_cached(
        "INSERT INTO quarantine (site, sha256, code, reason, received_at, token, authentic, source)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )?
    .execute((
        &held.site,
        held.sha256.as_slice(),
        held.code,
        &held.reason,
        held.received_at.as_second(),
        &held.bytes,
        held.authentic,
        sealed,
    ))?;
    Ok(Kept::Kept)
}
