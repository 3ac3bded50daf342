//! Tokens as they arrived, and what follows from them.

use std::collections::HashMap;

use jiff::Timestamp;
use meterpost_wire::Batch;
use meterpost_wire::hex;
use meterpost_wire::keys::Epoch;
use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};

use super::incoming::Way;
use super::keys::{self, SiteKeys};
use super::{Store, StoreError, column, fleet, number, seal_json, sites};
use crate::chain::{self, Digest, Facts, Judgement, MISSING_MAX, Range};
use crate::derive::{self, SiteReport, device::Place, times};
use crate::keyring::Keyring;
use crate::open::{Content, Opened};

/// A sequence this far above all others is flagged: a site ignores a receipt whose `highest` is so far above its own
/// (`standards.md` 3.2).
const JUMP_MAX: u64 = 1_000_000;

/// A token that opened, on its way in.
#[derive(Debug)]
pub struct Arrival {
    /// The token, byte for byte.
    pub token: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// The site and epoch whose key opened it.
    pub epoch: Epoch,
    /// Now.
    pub received_at: Timestamp,
    /// `Batch/@id`, or what the request says it is where nothing inside can be read.
    pub batch_id: String,
    /// `Batch/@sequence`, the same way.
    pub sequence: u64,
    /// What is in it.
    pub content: Content,
}

/// A device that could not be read, alone: its XML is kept and the rest of the batch is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// What was wrong with it.
    pub reason: String,
    /// The element as it came.
    pub xml: String,
}

/// How far a site has come, as a receipt tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Each of 1 ..= this is stored or void.
    pub acknowledged_through: u64,
    /// The highest sequence stored.
    pub highest: u64,
    /// The lowest 32 missing ranges.
    pub missing: Vec<Range>,
}

/// A token that the store has already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Stored as a batch.
    Stored {
        /// Its `@id`.
        batch_id: String,
        /// Its number.
        sequence: u64,
        /// The epoch of its key.
        epoch: u32,
    },
    /// It authenticated and was refused before, with this code.
    Quarantined(String),
}

/// What became of a token that opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// Stored, now or by another request in between; `false` = it was there.
    Stored(bool),
    /// `batch-conflict`, with the reason.
    Conflict(&'static str),
}

/// What [`Store::rederive`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rederived {
    /// Batches read again.
    pub batches: u64,
    /// Batches whose token did not open or could not be read, with the reason; they stay stored.
    pub unreadable: Vec<String>,
    /// Devices afterwards.
    pub devices: u64,
    /// Readings afterwards.
    pub readings: u64,
}

impl Store {
    /// The token with this hash, if the site has sent it before.
    pub async fn known(&self, site: String, sha256: Digest) -> Result<Option<Known>, StoreError> {
        self.read(move |db, _| {
            let stored = db
                .prepare_cached("SELECT batch_id, sequence, epoch FROM batch WHERE site = $1 AND sha256 = $2")?
                .query_row((&site, sha256.as_slice()), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            if let Some((batch_id, sequence, epoch)) = stored {
                return Ok(Some(Known::Stored { batch_id, sequence: number(sequence), epoch }));
            }
            // What did not authenticate was no word of this site, whatever it named.
            Ok(db
                .prepare_cached("SELECT code FROM quarantine WHERE site = $1 AND sha256 = $2 AND authentic = 1")?
                .query_row((&site, sha256.as_slice()), |row| row.get(0))
                .optional()?
                .map(Known::Quarantined))
        })
        .await
    }

    /// How far a site has come.
    pub async fn progress(&self, site: String) -> Result<Progress, StoreError> {
        self.read(move |db, _| progress(db, &site)).await
    }

    /// Drops everything that is derived and makes it again from the stored tokens, in one transaction: a crash or an
    /// error leaves what was there. `open` opens a token with the keys of its site.
    pub async fn rederive(
        &self,
        open: impl Fn(&SiteKeys, &str) -> Result<Content, String> + Send + 'static,
    ) -> Result<Rederived, StoreError> {
        self.write(move |db, keyring| rederive(db, keyring, &open)).await
    }

    /// Derives one stored batch again, by its place in the order of arrival: whether everything in it is shown now. `None`:
    /// there is no such batch.
    pub async fn derive_again(
        &self,
        arrival: u64,
        open: impl Fn(&SiteKeys, &str) -> Result<Content, String> + Send + 'static,
    ) -> Result<Option<bool>, StoreError> {
        self.write(move |db, keyring| derive_again(db, keyring, arrival, &open)).await
    }
}

/// Stores a token and everything that follows from it, or says why not.
pub(super) fn place(
    db: &Transaction<'_>,
    keyring: &Keyring,
    arrival: &Arrival,
    way: Way,
) -> Result<Placed, StoreError> {
    let (site, epoch) = (arrival.epoch.kid().site().as_str(), arrival.epoch.kid().epoch());
    let there = db
        .prepare_cached("SELECT 1 FROM batch WHERE site = $1 AND sha256 = $2")?
        .exists((site, arrival.sha256.as_slice()))?;
    if there {
        return Ok(Placed::Stored(false));
    }
    if let Judgement::Conflict(reason) = chain::judge(&facts(db, site, epoch, arrival)?, &arrival.sha256, epoch) {
        return Ok(Placed::Conflict(reason));
    }
    db.prepare_cached(
        "INSERT INTO batch (site, sha256, sequence, batch_id, epoch, received_at, token, way)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )?
    .execute((
        site,
        arrival.sha256.as_slice(),
        column(arrival.sequence),
        &arrival.batch_id,
        epoch,
        arrival.received_at.as_second(),
        arrival.token.as_bytes(),
        way.as_str(),
    ))?;
    let place = db.last_insert_rowid();
    db.prepare_cached("DELETE FROM quarantine WHERE site = $1 AND sha256 = $2")?
        .execute((site, arrival.sha256.as_slice()))?;
    if epoch > sites::current_epoch(db, site)? {
        keys::move_to(db, keyring, &arrival.epoch, arrival.received_at)?;
    }
    let stored =
        StoredBatch { place, site, sequence: arrival.sequence, sha256: arrival.sha256, received: arrival.received_at };
    derive(db, keyring, &stored, &arrival.content)?;
    Ok(Placed::Stored(true))
}

fn facts(db: &Transaction<'_>, site: &str, epoch: u32, arrival: &Arrival) -> Result<Facts, StoreError> {
    Ok(Facts {
        id_is_stored: db
            .prepare_cached("SELECT 1 FROM batch WHERE site = $1 AND batch_id = $2")?
            .exists((site, &arrival.batch_id))?,
        same_sequence: digests(
            db,
            "SELECT sha256 FROM batch WHERE site = $1 AND sequence = $2",
            site,
            arrival.sequence,
        )?,
        named: digests(db, "SELECT sha256 FROM link WHERE site = $1 AND sequence = $2", site, arrival.sequence)?,
        newest_epoch: db
            .prepare_cached("SELECT coalesce(max(epoch), 0) FROM batch WHERE site = $1")?
            .query_row([site], |row| row.get(0))?,
        newer_epoch_below: db
            // `+` leaves the search to the index by epoch, where next to nothing lies above the current one.
            .prepare_cached("SELECT 1 FROM batch WHERE site = $1 AND +sequence < $2 AND epoch > $3")?
            .exists((site, column(arrival.sequence), epoch))?,
    })
}

fn digests(db: &Transaction<'_>, sql: &str, site: &str, sequence: u64) -> Result<Vec<Digest>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map((site, column(sequence)), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A token that is stored, as what follows from it needs it.
struct StoredBatch<'b> {
    /// Its number in the order of arrival.
    place: i64,
    site: &'b str,
    sequence: u64,
    sha256: Digest,
    received: Timestamp,
}

/// Writes what follows from one stored batch. Looks only at what earlier arrivals have left, so that `rederive` comes to
/// the same end.
fn derive(
    db: &Transaction<'_>,
    keyring: &Keyring,
    stored: &StoredBatch<'_>,
    content: &Content,
) -> Result<(), StoreError> {
    match content {
        Content::Batch(opened) => derive_batch(db, keyring, stored, opened)?,
        Content::Unreadable(_) => {
            let note = Note {
                state: "unreadable",
                flags: Vec::new(),
                created: stored.received,
                promise: None,
                devices: 0,
                set_aside: 0,
                report: SiteReport::default(),
            };
            insert_note(db, keyring, stored, &note)?;
        }
    }
    advance(db, stored.site)?;
    mark_forks(db, stored.site, stored.sequence)
}

/// Moves on the number up to which each is stored or void, as far as there are such. What was once there stays, so each
/// number is looked at once, in whatever order batches come.
fn advance(db: &Transaction<'_>, site: &str) -> Result<(), StoreError> {
    let before: i64 =
        db.prepare_cached("SELECT through FROM site WHERE id = $1")?.query_row([site], |row| row.get(0))?;
    let mut through = before;
    loop {
        let void: Option<i64> = db
            .prepare_cached("SELECT max(last) FROM void WHERE site = $1 AND first <= $2 AND last >= $2")?
            .query_row((site, through + 1), |row| row.get(0))?;
        if let Some(last) = void {
            through = last;
        } else if db
            .prepare_cached("SELECT 1 FROM batch WHERE site = $1 AND sequence = $2")?
            .exists((site, through + 1))?
        {
            through += 1;
        } else {
            break;
        }
    }
    if through > before {
        db.prepare_cached("UPDATE site SET through = $1 WHERE id = $2")?.execute((through, site))?;
    }
    Ok(())
}

fn derive_batch(
    db: &Transaction<'_>,
    keyring: &Keyring,
    stored: &StoredBatch<'_>,
    opened: &Opened,
) -> Result<(), StoreError> {
    let &StoredBatch { place, site, received, .. } = stored;
    let batch = &opened.batch;
    let mut flags: Vec<&str> = opened.flags.clone();
    if times::clock_ahead(batch.created, received) {
        flags.push("clock_ahead");
    }
    let promise = times::promise(batch.created, batch.due_next, received);
    if batch.due_next.is_some() && promise.is_none() {
        flags.push("due_next_ignored");
    }
    if !opened.needs_upgrade {
        derive_chain(db, place, site, batch, &mut flags)?;
        for reading in &batch.devices {
            let at = Place {
                sequence: batch.sequence,
                read_at: reading.read_at,
                token: first_bits(&stored.sha256),
                effective: times::effective(reading.read_at, batch.created, received),
            };
            fleet::derive_reading(db, keyring, site, reading, at)?;
        }
        for (position, device) in opened.set_aside.iter().enumerate() {
            db.prepare_cached("INSERT INTO set_aside (arrival, position, site, detail) VALUES ($1, $2, $3, $4)")?
                .execute((place, column(position as u64), site, seal_json(keyring, "set_aside.detail", device)?))?;
        }
    }
    let note = Note {
        state: if opened.needs_upgrade { "needs_upgrade" } else { "shown" },
        flags,
        created: batch.created,
        promise,
        devices: batch.devices.len(),
        set_aside: opened.set_aside.len(),
        report: derive::site_report(batch),
    };
    insert_note(db, keyring, stored, &note)
}

/// What the page of sites says of a batch.
struct Note<'n> {
    state: &'static str,
    flags: Vec<&'n str>,
    created: Timestamp,
    promise: Option<Timestamp>,
    devices: usize,
    set_aside: usize,
    report: SiteReport,
}

fn insert_note(
    db: &Transaction<'_>,
    keyring: &Keyring,
    stored: &StoredBatch<'_>,
    note: &Note<'_>,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO note (arrival, site, sequence, state, flags, created_at, effective_at, promise_at, devices,
                           set_aside, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )?
    .execute((
        stored.place,
        stored.site,
        column(stored.sequence),
        note.state,
        note.flags.join(" "),
        note.created.as_second(),
        times::effective(note.created, note.created, stored.received).as_second(),
        note.promise.map(Timestamp::as_second),
        column(note.devices as u64),
        column(note.set_aside as u64),
        seal_json(keyring, "note.detail", &note.report)?,
    ))?;
    Ok(())
}

/// What decides between two tokens where nothing else does: whichever comes first, the same one wins.
fn first_bits(sha256: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *sha256;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1
}

/// Keeps which hashes the batch names for which sequences, and which numbers it declares void.
fn derive_chain(
    db: &Transaction<'_>,
    place: i64,
    site: &str,
    batch: &Batch,
    flags: &mut Vec<&str>,
) -> Result<(), StoreError> {
    let own = batch.sequence;
    let before: i64 = db
        .prepare_cached("SELECT coalesce(max(sequence), 0) FROM batch WHERE site = $1 AND arrival < $2")?
        .query_row((site, place), |row| row.get(0))?;
    if own > number(before).saturating_add(JUMP_MAX) {
        flags.push("sequence_jump");
    }
    let chain = batch.chain.clone().unwrap_or_default();
    let mut named: Vec<(u64, Digest)> = Vec::new();
    for link in &chain.links {
        match digest_of_hex(&link.sha256) {
            Some(digest) if link.sequence < own && link.sequence > 0 => named.push((link.sequence, digest)),
            _ => flags.push("link_ignored"),
        }
    }
    let mut voids: Vec<(u64, u64, &'static str)> = Vec::new();
    for void in &chain.voids {
        if void.to < own && void.from <= void.to && void.from > 0 {
            voids.push((void.from, void.to, void.reason.as_str()));
        } else {
            flags.push("void_ignored");
        }
    }
    match batch.previous.as_deref().and_then(digest_of_hex) {
        Some(digest) => {
            let stored: Option<i64> = db
                .prepare_cached(
                    "SELECT sequence FROM batch WHERE site = $1 AND sha256 = $2 AND arrival < $3
                     UNION ALL SELECT sequence FROM link WHERE site = $1 AND sha256 = $2 LIMIT 1",
                )?
                .query_row((site, digest.as_slice(), place), |row| row.get(0))
                .optional()?;
            let jumped = voids.iter().any(|(first, last, _)| (*first..=*last).contains(&(own - 1)));
            match stored.map(number) {
                Some(sequence) if sequence < own => named.push((sequence, digest)),
                Some(_) => flags.push("previous_wrong"),
                None if own > 1 && !jumped => named.push((own - 1, digest)),
                None => {}
            }
        }
        None if own > 1 => flags.push("previous_absent"),
        None => {}
    }
    for (sequence, digest) in named {
        let new = db
            .prepare_cached("INSERT INTO link (site, sequence, sha256) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")?
            .execute((site, column(sequence), digest.as_slice()))?;
        if new > 0 {
            mark_forks(db, site, sequence)?;
        }
    }
    for (first, last, reason) in voids {
        db.prepare_cached("DELETE FROM void WHERE site = $1 AND first >= $2 AND last <= $3")?.execute((
            site,
            column(first),
            column(last),
        ))?;
        db.prepare_cached("INSERT INTO void (site, first, last, reason) VALUES ($1, $2, $3, $4)")?.execute((
            site,
            column(first),
            column(last),
            reason,
        ))?;
    }
    flags.sort_unstable();
    flags.dedup();
    Ok(())
}

/// Marks a sequence for which more than one hash is stored or named.
fn mark_forks(db: &Transaction<'_>, site: &str, sequence: u64) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO fork (site, sequence)
         SELECT $1, $2 WHERE 1 < (SELECT count(*) FROM
            (SELECT sha256 FROM batch WHERE site = $1 AND sequence = $2
             UNION SELECT sha256 FROM link WHERE site = $1 AND sequence = $2) AS hashes)
         ON CONFLICT DO NOTHING",
    )?
    .execute((site, column(sequence)))?;
    Ok(())
}

fn rederive(
    db: &Transaction<'_>,
    keyring: &Keyring,
    open: &dyn Fn(&SiteKeys, &str) -> Result<Content, String>,
) -> Result<Rederived, StoreError> {
    for table in ["note", "link", "void", "fork", "device", "reading", "set_aside"] {
        db.execute(&format!("DELETE FROM {table}"), [])?;
    }
    db.execute("UPDATE site SET through = 0", [])?;
    let mut done = Rederived::default();
    let mut sites: HashMap<String, SiteKeys> = HashMap::new();
    let mut statement = db.prepare(&format!("{STORED} ORDER BY arrival"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let site: String = row.get(1)?;
        if !sites.contains_key(&site) {
            sites.insert(site.clone(), keys::site_keys(db, keyring, &site, None)?);
        }
        done.batches += 1;
        if let Some(reason) = derive_row(db, keyring, row, &sites[&site], open)? {
            done.unreadable.push(reason);
        }
    }
    done.devices = number(db.query_row("SELECT count(*) FROM device", [], |row| row.get(0))?);
    done.readings = number(db.query_row("SELECT count(*) FROM reading", [], |row| row.get(0))?);
    Ok(done)
}

const STORED: &str = "SELECT arrival, site, received_at, token, sequence, sha256, batch_id FROM batch";

/// Derives from one stored row; says why where nothing in it can be read.
fn derive_row(
    db: &Transaction<'_>,
    keyring: &Keyring,
    row: &rusqlite::Row<'_>,
    keys: &SiteKeys,
    open: &dyn Fn(&SiteKeys, &str) -> Result<Content, String>,
) -> Result<Option<String>, StoreError> {
    let (place, site, received): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let token = String::from_utf8_lossy(&row.get::<_, Vec<u8>>(3)?).into_owned();
    let (sequence, batch_id) = (number(row.get(4)?), row.get::<_, String>(6)?);
    let content = match open(keys, &token) {
        // One that could not be read when it came was taken for what its request said.
        Ok(Content::Batch(opened)) if (opened.batch.sequence, &opened.batch.id) != (sequence, &batch_id) => {
            Content::Unreadable("it names another batch or sequence inside than its request did".to_owned())
        }
        Ok(content) => content,
        Err(reason) => Content::Unreadable(reason),
    };
    let stored = StoredBatch { place, site: &site, sequence, sha256: row.get(5)?, received: super::time(received) };
    derive(db, keyring, &stored, &content)?;
    match content {
        Content::Unreadable(reason) => Ok(Some(format!("batch {sequence} of site {site}: {reason}"))),
        Content::Batch(_) => Ok(None),
    }
}

/// Derives one batch again over what is there: what it said before is said again, and what could not be read before is added.
fn derive_again(
    db: &Transaction<'_>,
    keyring: &Keyring,
    arrival: u64,
    open: &dyn Fn(&SiteKeys, &str) -> Result<Content, String>,
) -> Result<Option<bool>, StoreError> {
    let mut statement = db.prepare(&format!("{STORED} WHERE arrival = $1"))?;
    let mut rows = statement.query([column(arrival)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    for table in ["note", "set_aside"] {
        db.execute(&format!("DELETE FROM {table} WHERE arrival = $1"), [column(arrival)])?;
    }
    let keys = keys::site_keys(db, keyring, &row.get::<_, String>(1)?, None)?;
    derive_row(db, keyring, row, &keys, open)?;
    let shown = db
        .prepare("SELECT 1 FROM note WHERE arrival = $1 AND state = 'shown' AND set_aside = 0")?
        .exists([column(arrival)])?;
    Ok(Some(shown))
}

fn progress(db: &Transaction<'_>, site: &str) -> Result<Progress, StoreError> {
    let (highest, mut missing) = holes(db, site)?;
    let acknowledged_through = chain::acknowledged_through(highest, &missing);
    missing.truncate(MISSING_MAX);
    Ok(Progress { acknowledged_through, highest, missing })
}

/// The highest sequence of a site and the numbers below it that are neither stored nor void. Reads one index entry for
/// each batch above the first number that is missing.
pub(super) fn holes(db: &Transaction<'_>, site: &str) -> Result<(u64, Vec<Range>), StoreError> {
    let through: i64 =
        db.prepare_cached("SELECT through FROM site WHERE id = $1")?.query_row([site], |row| row.get(0))?;
    let mut statement =
        db.prepare_cached("SELECT sequence FROM batch WHERE site = $1 AND sequence > $2 ORDER BY sequence")?;
    let stored: Vec<u64> =
        statement.query_map((site, through), |row| row.get(0).map(number))?.collect::<Result<_, _>>()?;
    let mut statement = db.prepare_cached("SELECT first, last FROM void WHERE site = $1 AND last > $2")?;
    let voids: Vec<Range> = statement
        .query_map((site, through), |row| Ok((number(row.get(0)?), number(row.get(1)?))))?
        .collect::<Result<_, _>>()?;
    let through = number(through);
    let highest = stored.last().copied().unwrap_or(through);
    Ok((highest, chain::holes(through, highest, &stored, &voids)))
}

fn digest_of_hex(text: &str) -> Option<Digest> {
    if hex::is_sha256(text) { hex::decode(text)?.try_into().ok() } else { None }
}
