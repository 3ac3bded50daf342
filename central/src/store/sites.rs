//! Sites, and how far each has come.

use jiff::Timestamp;
use meterpost_wire::keys::Epoch;
use rusqlite::{OptionalExtension, Transaction};

use super::keys::{self, SiteKeys};
use super::{Store, StoreError, batches, number, time, unseal_json};
use crate::chain::{self, Range};
use crate::derive::SiteReport;
use crate::keyring::{Keyring, Rows};

/// A site to be added.
#[derive(Debug)]
pub struct NewSite {
    /// For people; no two sites have the same, in any case of letters.
    pub name: String,
    /// Its first epoch, which names the site too.
    pub epoch: Epoch,
}

/// A site as the page of sites and `site list` show it.
#[derive(Clone, Debug)]
pub struct SiteRow {
    /// UUID.
    pub id: String,
    /// For people.
    pub name: String,
    /// The current epoch.
    pub epoch: u32,
    /// When it was added.
    pub added_at: Timestamp,
    /// The batch with the highest sequence.
    pub last: Option<LastBatch>,
    /// Each of 1 ..= this is stored or void.
    pub acknowledged_through: u64,
    /// The highest sequence stored; 0 = none.
    pub highest: u64,
    /// Missing numbers, all ranges.
    pub missing: Vec<Range>,
    /// Sequences that two tokens have used and nobody has taken note of, the lowest 100.
    pub forks: Vec<u64>,
    /// Such that somebody has taken note of.
    pub forks_noted: u64,
    /// When the newest of these tokens arrived.
    pub forked_at: Option<Timestamp>,
    /// Devices seen.
    pub devices: u64,
    /// Tokens in quarantine.
    pub quarantined: u64,
    /// The newest of them, at most `HELD_MAX`.
    pub held: Vec<Held>,
    /// Devices that could not be read, alone.
    pub set_aside: u64,
    /// Batches that want a newer central.
    pub needs_upgrade: u64,
    /// Batches that are stored and cannot be read.
    pub unreadable: u64,
}

/// A token in quarantine, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// `envelope-invalid`, `envelope-mismatch`, `batch-conflict`.
    pub code: String,
    /// For people.
    pub reason: String,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// Tokens in quarantine that a site's row names.
pub(super) const HELD_MAX: u32 = 5;

/// The batch with the highest sequence of a site.
#[derive(Clone, Debug)]
pub struct LastBatch {
    /// Its number.
    pub sequence: u64,
    /// Sealed, by the site's clock.
    pub created_at: Timestamp,
    /// Arrived here.
    pub received_at: Timestamp,
    /// The next is promised by then.
    pub promise_at: Option<Timestamp>,
    /// `clock_ahead`, `due_next_ignored`, …
    pub flags: Vec<String>,
    /// What the site said about itself.
    pub report: SiteReport,
}

impl Store {
    /// Adds a site. `false`: there is one with this name already.
    pub async fn add_site(&self, site: NewSite, now: Timestamp) -> Result<bool, StoreError> {
        self.write(move |db, keyring| {
            let added = db.execute(
                "INSERT INTO site (id, name_digest, name, epoch, added_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (name_digest) DO NOTHING",
                (
                    site.epoch.kid().site().as_str(),
                    keyring.look_up("site.name", &folded(&site.name)),
                    keyring.seal(Rows::Memory, "site.name", site.name.as_bytes()),
                    site.epoch.kid().epoch(),
                    now.as_second(),
                ),
            )?;
            if added == 0 {
                return Ok(false);
            }
            keys::insert_epoch(db, keyring, &site.epoch)?;
            keys::insert_epoch(db, keyring, &site.epoch.next())?;
            Ok(true)
        })
        .await
    }

    /// The site of this name (in any case of letters) or id.
    pub async fn site(&self, name_or_id: String, now: Timestamp) -> Result<Option<SiteKeys>, StoreError> {
        self.read(move |db, keyring| {
            let id: Option<String> = db
                .query_row(
                    "SELECT id FROM site WHERE name_digest = $1 OR id = $2",
                    (keyring.look_up("site.name", &folded(&name_or_id)), &name_or_id),
                    |row| row.get(0),
                )
                .optional()?;
            id.map(|id| keys::site_keys(db, keyring, &id, Some(now))).transpose()
        })
        .await
    }

    /// All sites, by name.
    pub async fn sites(&self) -> Result<Vec<SiteRow>, StoreError> {
        self.read(|db, keyring| {
            let mut statement = db.prepare_cached("SELECT id, name, epoch, added_at FROM site")?;
            let mut rows = statement.query([])?;
            let mut sites = Vec::new();
            while let Some(row) = rows.next()? {
                let (id, name): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
                sites.push(SiteRow {
                    name: site_name(keyring, &name, &id),
                    id,
                    epoch: row.get(2)?,
                    added_at: time(row.get(3)?),
                    last: None,
                    acknowledged_through: 0,
                    highest: 0,
                    missing: Vec::new(),
                    forks: Vec::new(),
                    forks_noted: 0,
                    forked_at: None,
                    devices: 0,
                    quarantined: 0,
                    held: Vec::new(),
                    set_aside: 0,
                    needs_upgrade: 0,
                    unreadable: 0,
                });
            }
            for site in &mut sites {
                complete(db, keyring, site)?;
            }
            sites.sort_by_cached_key(|site| site.name.to_lowercase());
            Ok(sites)
        })
        .await
    }
}

impl Store {
    /// What the newest sweep that ended found, among the newest batches of a site: alerts come in between.
    pub async fn last_sweep(&self, site: String) -> Result<Option<SiteReport>, StoreError> {
        const BATCHES: u32 = 64;
        self.read(move |db, keyring| {
            let mut statement =
                db.prepare_cached("SELECT detail FROM note WHERE site = $1 ORDER BY sequence DESC LIMIT $2")?;
            let mut rows = statement.query((&site, BATCHES))?;
            while let Some(row) = rows.next()? {
                let report: SiteReport =
                    unseal_json(keyring, "note.detail", &row.get::<_, Vec<u8>>(0)?).unwrap_or_default();
                if report.swept.is_some() {
                    return Ok(Some(report));
                }
            }
            Ok(None)
        })
        .await
    }
}

fn complete(db: &Transaction<'_>, keyring: &Keyring, site: &mut SiteRow) -> Result<(), StoreError> {
    let id = site.id.clone();
    let count = |sql: &str| -> Result<u64, StoreError> {
        Ok(number(db.prepare_cached(sql)?.query_row([&id], |row| row.get(0))?))
    };
    site.devices = count("SELECT count(*) FROM device WHERE site = $1")?;
    site.quarantined = count("SELECT count(*) FROM quarantine WHERE site = $1")?;
    site.set_aside = count("SELECT count(*) FROM set_aside WHERE site = $1")?;
    site.needs_upgrade = count("SELECT count(*) FROM note WHERE site = $1 AND state = 'needs_upgrade'")?;
    site.unreadable = count("SELECT count(*) FROM note WHERE site = $1 AND state = 'unreadable'")?;
    site.held = held(db, &id)?;
    let (highest, holes) = batches::holes(db, &id)?;
    site.highest = highest;
    site.acknowledged_through = chain::acknowledged_through(highest, &holes);
    site.missing = holes;
    (site.forks, site.forks_noted) = super::chain::open_forks(db, &id)?;
    site.forked_at = db
        .prepare_cached(
            "SELECT max(received_at) FROM batch WHERE site = $1 AND sequence IN (SELECT sequence FROM fork WHERE site = $1)",
        )?
        .query_row([&id], |row| row.get::<_, Option<i64>>(0))?
        .map(time);
    site.last = db
        .prepare_cached(
            "SELECT note.sequence, created_at, received_at, promise_at, flags, detail
             FROM note JOIN batch ON batch.arrival = note.arrival
             WHERE note.site = $1 ORDER BY note.sequence DESC, note.arrival DESC LIMIT 1",
        )?
        .query_row([&id], |row| {
            Ok((
                LastBatch {
                    sequence: number(row.get(0)?),
                    created_at: time(row.get(1)?),
                    received_at: time(row.get(2)?),
                    promise_at: row.get::<_, Option<i64>>(3)?.map(time),
                    flags: row.get::<_, String>(4)?.split_whitespace().map(str::to_owned).collect(),
                    report: SiteReport::default(),
                },
                row.get::<_, Vec<u8>>(5)?,
            ))
        })
        .optional()?
        .map(|(last, detail)| {
            // What does not open is not shown; `check` names it.
            let report = unseal_json(keyring, "note.detail", &detail).unwrap_or_default();
            LastBatch { report, ..last }
        });
    Ok(())
}

fn held(db: &Transaction<'_>, site: &str) -> Result<Vec<Held>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT code, reason, received_at FROM quarantine WHERE site = $1 ORDER BY number DESC LIMIT $2",
    )?;
    let rows = statement.query_map((site, HELD_MAX), |row| {
        Ok(Held { code: row.get(0)?, reason: row.get(1)?, received_at: time(row.get(2)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The name of a site, unsealed; its id where that does not open, for a site goes on without its name.
pub(super) fn site_name(keyring: &Keyring, sealed: &[u8], id: &str) -> String {
    let opened = keyring.open(Rows::Memory, "site.name", sealed);
    opened.map_or_else(|_| id.to_owned(), |name| String::from_utf8_lossy(&name).into_owned())
}

fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

/// The current epoch of a site.
pub(super) fn current_epoch(db: &Transaction<'_>, site: &str) -> Result<u32, StoreError> {
    Ok(db.prepare_cached("SELECT epoch FROM site WHERE id = $1")?.query_row([site], |row| row.get(0))?)
}
