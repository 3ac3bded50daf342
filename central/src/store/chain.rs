//! What a site's numbers are made of, as `gaps` and the page of a site ask for it, and the forks that a person takes note of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use meterpost_wire::hex;
use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, column, number, seal_json, time, unseal_json};
use crate::chain::{Digest, Range};
use crate::keyring::Keyring;

/// A site's numbers. Memory grows with the batches of the site: 22,000 after ten years of six a day, 80 bytes each.
#[derive(Clone, Debug, Default)]
pub struct ChainRows {
    /// Every stored batch, by sequence.
    pub stored: Vec<StoredRow>,
    /// Numbers that the site has declared void, with its word for why; also such as came all the same.
    pub voids: Vec<(Range, String)>,
    /// Sequences for which more than one token is known, ascending.
    pub forks: Vec<ForkRow>,
}

/// Which batches are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those with lower numbers.
    Below,
    /// Those with higher numbers.
    Above,
}

/// A stored batch among the others of its site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// Its number.
    pub sequence: u64,
    /// Its place in the order of arrival.
    pub arrival: u64,
    /// When it arrived.
    pub received_at: Timestamp,
    /// When it was sealed, by the site's clock; `None` where that cannot be read.
    pub created_at: Option<Timestamp>,
    /// It was flagged as far above all others.
    pub jumped: bool,
    /// It came over HTTPS, so that its site hears what is missing; `false` also where that is not known.
    pub over_https: bool,
    /// Epoch of the key that it was sealed under.
    pub epoch: u32,
}

/// A sequence with more than one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkRow {
    /// The number.
    pub sequence: u64,
    /// SHA-256 of each token in hex, and when it arrived; `None`: it is only named by later batches.
    pub tokens: Vec<(String, Option<Timestamp>)>,
    /// A person has taken note of it, and no token came since.
    pub noted: Option<ForkNote>,
}

/// That a person has taken note of a fork.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkNote {
    /// When.
    pub at: Timestamp,
    /// Who; empty = at the command line.
    pub person: String,
    /// In what words.
    pub remark: String,
}

impl Store {
    /// The numbers of a site.
    pub async fn chain(&self, site: String) -> Result<ChainRows, StoreError> {
        self.read(move |db, keyring| {
            Ok(ChainRows { stored: stored(db, &site)?, voids: voids(db, &site)?, forks: forks(db, keyring, &site)? })
        })
        .await
    }

    /// Up to `limit` stored tokens of a site on one side of a sequence, the nearest first.
    pub async fn tokens_beside(
        &self,
        site: String,
        sequence: u64,
        side: Side,
        limit: u32,
    ) -> Result<Vec<(u64, String)>, StoreError> {
        let sql = match side {
            Side::Below => {
                "SELECT sequence, token FROM batch WHERE site = $1 AND sequence < $2 ORDER BY sequence DESC LIMIT $3"
            }
            Side::Above => {
                "SELECT sequence, token FROM batch WHERE site = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"
            }
        };
        self.read(move |db, _| {
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map((site, column(sequence), limit), |row| {
                Ok((number(row.get(0)?), String::from_utf8_lossy(&row.get::<_, Vec<u8>>(1)?).into_owned()))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Takes note of a fork, in the place of an earlier note. `false`: there is no fork under this number.
    pub async fn note_fork(&self, site: String, sequence: u64, note: ForkNote) -> Result<bool, StoreError> {
        self.write(move |db, keyring| {
            let tokens = fork_tokens(db, &site, sequence)?.len();
            if !db
                .prepare_cached("SELECT 1 FROM fork WHERE site = $1 AND sequence = $2")?
                .exists((&site, column(sequence)))?
            {
                return Ok(false);
            }
            db.execute(
                "INSERT INTO fork_note (site, sequence, tokens, noted_at, remark) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (site, sequence) DO UPDATE SET tokens = excluded.tokens, noted_at = excluded.noted_at,
                    remark = excluded.remark",
                (
                    &site,
                    column(sequence),
                    column(tokens as u64),
                    note.at.as_second(),
                    seal_json(keyring, "fork_note.remark", &note)?,
                ),
            )?;
            Ok(true)
        })
        .await
    }
}

/// Forks of a site that call for a person, ascending, at most 100, and how many a person has taken note of.
pub(super) fn open_forks(db: &Transaction<'_>, site: &str) -> Result<(Vec<u64>, u64), StoreError> {
    let mut statement = db.prepare_cached("SELECT sequence FROM fork WHERE site = $1 ORDER BY sequence")?;
    let all: Vec<u64> = statement.query_map([site], |row| row.get(0).map(number))?.collect::<Result<_, _>>()?;
    let (mut open, mut noted) = (Vec::new(), 0);
    for sequence in all {
        match noted_tokens(db, site, sequence)? {
            Some(tokens) if tokens >= fork_tokens(db, site, sequence)?.len() as u64 => noted += 1,
            _ if open.len() < 100 => open.push(sequence),
            _ => {}
        }
    }
    Ok((open, noted))
}

fn stored(db: &Transaction<'_>, site: &str) -> Result<Vec<StoredRow>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT batch.sequence, batch.arrival, batch.received_at, batch.way = 'https',
                CASE WHEN note.state = 'unreadable' THEN NULL ELSE note.created_at END,
                coalesce(note.flags LIKE '%sequence_jump%', 0), batch.epoch
         FROM batch LEFT JOIN note ON note.arrival = batch.arrival
         WHERE batch.site = $1 ORDER BY batch.sequence, batch.arrival",
    )?;
    let rows = statement.query_map([site], |row| {
        Ok(StoredRow {
            sequence: number(row.get(0)?),
            arrival: number(row.get(1)?),
            received_at: time(row.get(2)?),
            over_https: row.get(3)?,
            created_at: row.get::<_, Option<i64>>(4)?.map(time),
            jumped: row.get(5)?,
            epoch: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn voids(db: &Transaction<'_>, site: &str) -> Result<Vec<(Range, String)>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT first, last, reason FROM void WHERE site = $1 ORDER BY first, last")?;
    let rows = statement.query_map([site], |row| Ok(((number(row.get(0)?), number(row.get(1)?)), row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn forks(db: &Transaction<'_>, keyring: &Keyring, site: &str) -> Result<Vec<ForkRow>, StoreError> {
    let mut statement = db.prepare_cached("SELECT sequence FROM fork WHERE site = $1 ORDER BY sequence")?;
    let all: Vec<u64> = statement.query_map([site], |row| row.get(0).map(number))?.collect::<Result<_, _>>()?;
    let mut forks = Vec::new();
    for sequence in all {
        let tokens = fork_tokens(db, site, sequence)?;
        let noted = match noted_tokens(db, site, sequence)? {
            Some(known) if known >= tokens.len() as u64 => note_of(db, keyring, site, sequence)?,
            _ => None,
        };
        forks.push(ForkRow { sequence, tokens, noted });
    }
    Ok(forks)
}

/// All tokens that are stored or named for a sequence: hash, and when it arrived.
fn fork_tokens(
    db: &Transaction<'_>,
    site: &str,
    sequence: u64,
) -> Result<Vec<(String, Option<Timestamp>)>, StoreError> {
    let mut tokens = BTreeMap::new();
    let mut named = db.prepare_cached("SELECT sha256 FROM link WHERE site = $1 AND sequence = $2")?;
    for sha256 in named.query_map((site, column(sequence)), |row| row.get::<_, Digest>(0))? {
        tokens.insert(hex::encode(&sha256?), None);
    }
    let mut stored = db.prepare_cached("SELECT sha256, received_at FROM batch WHERE site = $1 AND sequence = $2")?;
    let rows = stored.query_map((site, column(sequence)), |row| Ok((row.get::<_, Digest>(0)?, row.get(1)?)))?;
    for row in rows {
        let (sha256, received_at) = row?;
        tokens.insert(hex::encode(&sha256), Some(time(received_at)));
    }
    Ok(tokens.into_iter().collect())
}

fn noted_tokens(db: &Transaction<'_>, site: &str, sequence: u64) -> Result<Option<u64>, StoreError> {
    let tokens = db
        .prepare_cached("SELECT tokens FROM fork_note WHERE site = $1 AND sequence = $2")?
        .query_row((site, column(sequence)), |row| row.get(0).map(number))
        .optional()?;
    Ok(tokens)
}

/// What does not open is a note without words; `check` names it.
fn note_of(db: &Transaction<'_>, keyring: &Keyring, site: &str, sequence: u64) -> Result<Option<ForkNote>, StoreError> {
    let row: Option<(i64, Vec<u8>)> = db
        .prepare_cached("SELECT noted_at, remark FROM fork_note WHERE site = $1 AND sequence = $2")?
        .query_row((site, column(sequence)), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(row.map(|(at, sealed)| {
        unseal_json(keyring, "fork_note.remark", &sealed).unwrap_or_else(|_| ForkNote {
            at: time(at),
            person: String::new(),
            remark: String::new(),
        })
    }))
}
