//! The durable queue of sealed batches, between gathering and delivering.
//!
//! # What is promised
//! - A batch is **queued** at the instant its INSERT commits, in one transaction with its sequence, the hash of the token
//!   before it, and what was remembered of its devices. Before that instant nothing of it exists; after it, it survives
//!   `kill -9` and loss of power.
//! - It is **delivered** at the instant a receipt that verifies commits. Nothing else makes it delivered: no status 200,
//!   no `acknowledged_through`, no relay.
//! - It **leaves** the outbox 14 days after it was delivered; or by a person; or, once a relay or a file has it, when its
//!   30 days there end. What waits or was set aside has no age limit.
//! - A token is final: never merged, thinned, split or sealed again. A re-send is byte for byte the same, so that the
//!   central, which keys on the token's SHA-256, keeps one however often it comes.
//! - Sequence numbers rise for ever and are never used twice; those that will not come are declared as voids.
//!
//! # States
//! ```text
//!                 receipt verifies                         14 days
//!    waiting ────────────────────────────► delivered ─────────────────► gone
//!     │ ▲ ▲ ▲                                  │
//!     │ │ │ └── named missing, or a person ────┘
//!     │ │ └──── named missing, or a person ──── handed over ──► 30 days: gone; receipt: delivered
//!     │ └────── a person retries ────────────── set aside ────► a person deletes: gone
//!     └─ relay or file has it ─► handed over;   verified refusal, or bytes that fail their hash ─► set aside
//! ```
//! There is no stored "sending": after a crash such an item is simply waiting, and is sent again.
//!
//! # Limits
//! A token is at most 60,000 characters; 64 hashes of earlier tokens are kept, 16 of them named in a batch; the newest 64
//! voids of the last 30 days are named in a batch; a text in `last_error` is cut at 255 characters.
//!
//! The outbox does not know what is inside a batch: tokens are opaque bytes to it, and items are named by sequence.

mod again;
pub mod age;
mod backlog;
pub mod cap;
mod number;

use jiff::Timestamp;
use meterpost_wire::hex;
use rusqlite::Row;
use sha2::{Digest, Sha256};

pub use again::{Resent, resend, resend_by_code};
pub use backlog::Backlog;
pub use number::{Slot, go_on_after_damage, heed, jump_to, next_sequence, slot};

use crate::store::{StoreError, Tx};

/// Delivered items are kept this long: a later receipt may name them missing.
pub const DELIVERED_DAYS: i64 = 14;

/// Handed-over items are kept this long.
pub const HANDED_OVER_DAYS: i64 = 30;

const DAY_S: i64 = 86_400;

/// Where an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// To be sent once `due_at` has come.
    Waiting,
    /// A relay or a file has it; no receipt can come by that way.
    HandedOver,
    /// Its receipt is stored.
    Delivered,
    /// The central refused it, or its bytes are rotten; a person must look.
    SetAside,
}

impl State {
    /// The word in the file and in `outbox list`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::HandedOver => "handed_over",
            Self::Delivered => "delivered",
            Self::SetAside => "set_aside",
        }
    }

    fn parse(word: &str) -> Self {
        // the table's CHECK lets no other word in
        match word {
            "handed_over" => Self::HandedOver,
            "delivered" => Self::Delivered,
            "set_aside" => Self::SetAside,
            _ => Self::Waiting,
        }
    }
}

/// A batch as it came from the seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// `Batch/@id`.
    pub id: String,
    /// Epoch of the key it is sealed under.
    pub epoch: u32,
    /// The compact token.
    pub token: String,
    /// Devices inside, for people.
    pub devices: u32,
    /// Time of the oldest reading inside.
    pub first_read: Option<Timestamp>,
    /// Time of the newest one.
    pub last_read: Option<Timestamp>,
}

/// One item as `outbox list` shows it: everything but the bytes and the receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its number, which names it in every command.
    pub sequence: u64,
    /// `Batch/@id`.
    pub id: String,
    /// Epoch of the key it is sealed under.
    pub epoch: u32,
    /// Where it stands.
    pub state: State,
    /// When that began.
    pub since: Timestamp,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// Devices inside.
    pub devices: u32,
    /// Time of the oldest reading inside.
    pub first_read: Option<Timestamp>,
    /// Time of the newest one.
    pub last_read: Option<Timestamp>,
    /// Characters of the token.
    pub size_bytes: u64,
    /// SHA-256 of the token, 64 lower-case hex digits.
    pub sha256: String,
    /// The channel that last tried it.
    pub channel: Option<String>,
    /// Tries that failed for this item itself, since it last began to wait.
    pub attempts: u32,
    /// How often it was sent, by whatever channel; never reset.
    pub sendings: u32,
    /// Not tried by itself before this.
    pub due_at: Timestamp,
    /// What the last try met.
    pub last_error: Option<String>,
}

/// What became of a try, in the outbox's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A receipt for this token verified.
    Delivered {
        /// As it came.
        receipt: String,
    },
    /// A relay took it, or the file was written.
    HandedOver,
    /// The central says no and will say no again, or the bytes are rotten.
    Refused {
        /// Why, for people.
        reason: String,
        /// The refusal as it came, when there is one.
        refusal: Option<String>,
    },
    /// Nobody can tell whether it arrived: it is sent again, not before `due_at`.
    Unsure {
        /// Why, for people.
        reason: String,
        /// When it may be tried again.
        due_at: Timestamp,
    },
}

impl Outcome {
    /// The state that follows. A receipt delivers from every state; the rest only moves what was waiting, because that
    /// is all that is ever sent.
    pub fn moves(&self, from: State) -> State {
        match (self, from) {
            (Self::Delivered { .. }, _) => State::Delivered,
            (Self::HandedOver, State::Waiting) => State::HandedOver,
            (Self::Refused { .. }, State::Waiting) => State::SetAside,
            _ => from,
        }
    }
}

/// What a person's command could not do.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Exit 1: there is no such item.
    #[error("the outbox has no item {0}")]
    Unknown(u64),
    /// Exit 1: its bytes are not what was queued.
    #[error("the bytes of item {0} fail their hash: the disk has changed them")]
    Rotten(u64),
    /// Exit 1: a code names a number that this site cannot have come to.
    #[error(
        "the code names batch {named}, and the next one here is {next}: no backup is that old, the code was not made for this store"
    )]
    Beyond {
        /// The highest number of the code.
        named: u64,
        /// The own next one.
        next: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All of them are in the index `batch_look`: a column more would read every token again.
const COLUMNS: &str = "seq, id, epoch, state, since, created, devices, first_read, last_read, length(token), sha256, \
                       channel, attempts, due_at, last_error, sendings";

fn item_from(row: &Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item {
        sequence: number(row, 0)?,
        id: row.get(1)?,
        epoch: row.get(2)?,
        state: State::parse(&row.get::<_, String>(3)?),
        since: instant(row.get(4)?),
        queued_at: instant(row.get(5)?),
        devices: row.get(6)?,
        first_read: row.get::<_, Option<i64>>(7)?.map(instant),
        last_read: row.get::<_, Option<i64>>(8)?.map(instant),
        size_bytes: number(row, 9)?,
        sha256: hex::encode(&row.get::<_, Vec<u8>>(10)?),
        channel: row.get(11)?,
        attempts: row.get(12)?,
        due_at: instant(row.get(13)?),
        last_error: row.get(14)?,
        sendings: row.get(15)?,
    })
}

/// Numbers here are sequences and lengths: below 2^53, and never negative.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

fn sql(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Queues a batch under the number of its slot: it is queued when the transaction commits.
pub fn append(tx: &Tx<'_>, slot: &Slot, sealed: &Sealed, now: Timestamp) -> Result<(), StoreError> {
    let sha256 = Sha256::digest(sealed.token.as_bytes());
    tx.execute(
        "INSERT INTO batch (seq, id, epoch, created, token, sha256, devices, first_read, last_read, state, since, due_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'waiting', ?4, ?4)",
        (
            sql(slot.sequence),
            &sealed.id,
            sealed.epoch,
            now.as_second(),
            sealed.token.as_bytes(),
            sha256.as_slice(),
            sealed.devices,
            sealed.first_read.map(Timestamp::as_second),
            sealed.last_read.map(Timestamp::as_second),
        ),
    )?;
    number::used(tx, slot.sequence, sha256.as_slice())
}

/// All items, oldest first.
pub fn list(tx: &Tx<'_>) -> Result<Vec<Item>, StoreError> {
    tx.rows(&format!("SELECT {COLUMNS} FROM batch INDEXED BY batch_look ORDER BY seq"), [], item_from)
}

/// One item.
pub fn item(tx: &Tx<'_>, sequence: u64) -> Result<Item, OutboxError> {
    let row = tx.row(&format!("SELECT {COLUMNS} FROM batch WHERE seq = ?1"), [sql(sequence)], item_from)?;
    row.ok_or(OutboxError::Unknown(sequence))
}

/// The receipt of an item, or its refusal, as it came: a compact JWS.
pub fn receipt(tx: &Tx<'_>, sequence: u64) -> Result<Option<String>, OutboxError> {
    let row = tx.row("SELECT receipt FROM batch WHERE seq = ?1", [sql(sequence)], |row| row.get(0))?;
    row.ok_or(OutboxError::Unknown(sequence))
}

/// The token of an item, once its hash has been found right.
pub fn token(tx: &Tx<'_>, sequence: u64) -> Result<String, OutboxError> {
    let row = tx.row("SELECT token, sha256 FROM batch WHERE seq = ?1", [sql(sequence)], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let (token, sha256) = row.ok_or(OutboxError::Unknown(sequence))?;
    if Sha256::digest(&token).as_slice() != sha256 {
        return Err(OutboxError::Rotten(sequence));
    }
    String::from_utf8(token).map_err(|_| OutboxError::Rotten(sequence))
}

/// Sequences that wait; only those whose time has come unless `all`. Oldest first.
pub fn waiting(tx: &Tx<'_>, now: Timestamp, all: bool) -> Result<Vec<u64>, StoreError> {
    let latest = if all { i64::MAX } else { now.as_second() };
    let sql = "SELECT seq FROM batch INDEXED BY batch_look WHERE state = 'waiting' AND due_at <= ?1 ORDER BY seq";
    tx.rows(sql, [latest], |row| number(row, 0))
}

/// When the next waiting item may be tried; `None` when none waits.
pub fn next_due(tx: &Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(due_at) FROM batch INDEXED BY batch_look WHERE state = 'waiting'";
    let due: Option<Option<i64>> = tx.row(sql, [], |row| row.get(0))?;
    Ok(due.flatten().map(instant))
}

/// How many items stand where, and since when the oldest waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Items waiting.
    pub waiting: u32,
    /// Items handed over.
    pub handed_over: u32,
    /// Items delivered and still kept.
    pub delivered: u32,
    /// Items set aside.
    pub set_aside: u32,
    /// When the oldest waiting item was queued.
    pub oldest_waiting: Option<Timestamp>,
    /// Bytes of waiting and set-aside tokens, which is what the cap counts.
    pub bytes: u64,
}

/// Counts the items.
pub fn tally(tx: &Tx<'_>) -> Result<Tally, StoreError> {
    let sql =
        "SELECT state, count(*), min(created), sum(length(token)) FROM batch INDEXED BY batch_look GROUP BY state";
    let rows = tx.rows(sql, [], |row| {
        Ok((State::parse(&row.get::<_, String>(0)?), row.get(1)?, row.get(2)?, number(row, 3)?))
    })?;
    let mut tally = Tally::default();
    for (state, count, oldest, bytes) in rows {
        match state {
            State::Waiting => (tally.waiting, tally.oldest_waiting) = (count, Some(instant(oldest))),
            State::HandedOver => tally.handed_over = count,
            State::Delivered => tally.delivered = count,
            State::SetAside => tally.set_aside = count,
        }
        if matches!(state, State::Waiting | State::SetAside) {
            tally.bytes += bytes;
        }
    }
    Ok(tally)
}

/// Records what became of a try on `channel`, `None` when it was not sent; gives the state that follows.
pub fn settle(
    tx: &Tx<'_>,
    sequence: u64,
    channel: Option<&str>,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<State, OutboxError> {
    let from = item(tx, sequence)?.state;
    let to = outcome.moves(from);
    let (error, receipt, due_at, failed) = match outcome {
        Outcome::Delivered { receipt } => (None, Some(receipt), None, 0),
        Outcome::HandedOver => (None, None, None, 0),
        Outcome::Refused { reason, refusal } => (Some(reason), refusal.as_ref(), None, 1),
        Outcome::Unsure { reason, due_at } => (Some(reason), None, Some(due_at.as_second()), 1),
    };
    tx.execute(
        "UPDATE batch SET channel = coalesce(?2, channel), last_error = ?3, receipt = coalesce(?4, receipt), \
         due_at = coalesce(?5, due_at), attempts = attempts + ?6 WHERE seq = ?1",
        (sql(sequence), channel, error.map(|text| cut(text)), receipt, due_at, failed),
    )?;
    if channel.is_some() {
        count_sending(tx, sequence)?;
    }
    if to != from {
        moved(tx, sequence, to, now)?;
    }
    number::settled(tx, sequence, to, now)?;
    Ok(to)
}

/// Counts a sending that settled nothing, because its channel failed as a whole.
pub fn count_sending(tx: &Tx<'_>, sequence: u64) -> Result<(), StoreError> {
    tx.execute("UPDATE batch SET sendings = sendings + 1 WHERE seq = ?1", [sql(sequence)]).map(drop)
}

/// A person sends a set-aside, handed-over or delivered item again. A waiting one becomes due at once.
pub fn retry(tx: &Tx<'_>, sequence: u64, now: Timestamp) -> Result<(), OutboxError> {
    item(tx, sequence)?;
    token(tx, sequence)?;
    wait_again(tx, sequence, now)?;
    Ok(())
}

/// A person ends an item. What the central never acknowledged becomes a void `deleted`; what it has leaves none, also when it
/// was to be sent again.
pub fn delete(tx: &Tx<'_>, sequence: u64, acknowledged: bool, now: Timestamp) -> Result<(), StoreError> {
    tx.execute("DELETE FROM batch WHERE seq = ?1", [sql(sequence)])?;
    if acknowledged { number::end(tx, sequence) } else { number::deleted(tx, sequence, now) }
}

/// Ends what has been kept long enough, and gives the room back to the disk. The number of items that went.
pub fn expire(tx: &Tx<'_>, now: Timestamp) -> Result<usize, StoreError> {
    let sql = "DELETE FROM batch WHERE seq IN (SELECT seq FROM batch INDEXED BY batch_look \
               WHERE (state = 'delivered' AND since <= ?1) OR (state = 'handed_over' AND since <= ?2))";
    let before = |days| now.as_second() - days * DAY_S;
    let gone = tx.execute(sql, [before(DELIVERED_DAYS), before(HANDED_OVER_DAYS)])?;
    tx.execute("DELETE FROM event WHERE at <= ?1", [before(30)])?;
    tx.rows("PRAGMA incremental_vacuum", [], |_| Ok(()))?;
    Ok(gone)
}

/// Looks at the bytes of every item; the sequences whose bytes fail their hash. SQLite's own check does not see a bit
/// that flipped inside a token.
pub fn check(tx: &Tx<'_>) -> Result<Vec<u64>, StoreError> {
    let mut rotten = Vec::new();
    for sequence in tx.rows("SELECT seq FROM batch NOT INDEXED ORDER BY seq", [], |row| number(row, 0))? {
        match token(tx, sequence) {
            Ok(_) => {}
            Err(OutboxError::Store(error)) => return Err(error),
            Err(_) => rotten.push(sequence),
        }
    }
    Ok(rotten)
}

/// Epochs under which items that are still here were sealed.
pub fn epochs(tx: &Tx<'_>) -> Result<Vec<u32>, StoreError> {
    tx.rows("SELECT DISTINCT epoch FROM batch INDEXED BY batch_look", [], |row| row.get(0))
}

/// A channel's rest after it failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Failures in a row.
    pub attempts: u32,
    /// Not asked by itself before this.
    pub due_at: Timestamp,
    /// What it met.
    pub last_error: String,
}

/// Whether `channel` rests.
pub fn rest(tx: &Tx<'_>, channel: &str) -> Result<Option<Rest>, StoreError> {
    tx.row("SELECT attempts, due_at, last_error FROM channel WHERE name = ?1", [channel], |row| {
        Ok(Rest { attempts: row.get(0)?, due_at: instant(row.get(1)?), last_error: row.get(2)? })
    })
}

/// The rest of `channels` that ends first; `None` when one of them does not rest.
pub fn rested(tx: &Tx<'_>, channels: &[&str]) -> Result<Option<Rest>, StoreError> {
    let rests: Result<Vec<_>, _> = channels.iter().map(|channel| rest(tx, channel)).collect();
    let rests: Option<Vec<Rest>> = rests?.into_iter().collect();
    Ok(rests.and_then(|rests| rests.into_iter().min_by_key(|rest| rest.due_at)))
}

/// Wakes all channels.
pub fn wake_all(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM channel", []).map(drop)
}

/// Lets `channel` rest, or with `None` wakes it.
pub fn set_rest(tx: &Tx<'_>, channel: &str, rest: Option<&Rest>) -> Result<(), StoreError> {
    let Some(rest) = rest else {
        return tx.execute("DELETE FROM channel WHERE name = ?1", [channel]).map(drop);
    };
    tx.execute(
        "INSERT OR REPLACE INTO channel (name, attempts, due_at, last_error) VALUES (?1, ?2, ?3, ?4)",
        (channel, rest.attempts, rest.due_at.as_second(), cut(&rest.last_error)),
    )
    .map(drop)
}

/// Something that a person should hear of: `code` is a short word for programs, `text` has no secret and no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// `refused`, `unknown-key`, `unauthorized`, `rotten` …
    pub code: String,
    /// At most 255 characters.
    pub text: String,
}

/// Keeps an event for 30 days. The same code and text within the hour is kept once.
pub fn note(tx: &Tx<'_>, event: &Event) -> Result<(), StoreError> {
    let (at, text) = (event.at.as_second(), cut(&event.text));
    let sql = "INSERT INTO event (at, code, text) SELECT ?1, ?2, ?3 \
               WHERE NOT EXISTS (SELECT 1 FROM event WHERE code = ?2 AND text = ?3 AND at > ?1 - 3600)";
    tx.execute(sql, (at, &event.code, text)).map(drop)
}

/// The newest events since an instant, at most `most`, newest first.
pub fn events(tx: &Tx<'_>, since: Timestamp, most: u32) -> Result<Vec<Event>, StoreError> {
    let sql = "SELECT at, code, text FROM event WHERE at >= ?1 ORDER BY at DESC, rowid DESC LIMIT ?2";
    tx.rows(sql, (since.as_second(), most), |row| {
        Ok(Event { at: instant(row.get(0)?), code: row.get(1)?, text: row.get(2)? })
    })
}

/// Own clock minus the central's, at the last verified answer.
pub fn clock_skew(tx: &Tx<'_>) -> Result<Option<i64>, StoreError> {
    Ok(tx.fact("clock_skew")?.and_then(|text| text.parse().ok()))
}

/// Keeps the skew; nothing ever sets a clock by it.
pub fn set_clock_skew(tx: &Tx<'_>, seconds: i64) -> Result<(), StoreError> {
    tx.set_fact("clock_skew", &seconds.to_string())
}

fn moved(tx: &Tx<'_>, sequence: u64, to: State, now: Timestamp) -> Result<(), StoreError> {
    tx.execute("UPDATE batch SET state = ?2, since = ?3 WHERE seq = ?1", (sql(sequence), to.as_str(), now.as_second()))
        .map(drop)
}

fn wait_again(tx: &Tx<'_>, sequence: u64, now: Timestamp) -> Result<(), StoreError> {
    moved(tx, sequence, State::Waiting, now)?;
    tx.execute("UPDATE batch SET attempts = 0, due_at = ?2 WHERE seq = ?1", (sql(sequence), now.as_second()))?;
    number::settled(tx, sequence, State::Waiting, now)
}

/// The first 255 characters.
fn cut(text: &str) -> &str {
    text.char_indices().nth(255).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_receipt_delivers_and_only_what_waits_is_handed_over_or_set_aside() {
        use State::{Delivered, HandedOver, SetAside, Waiting};
        let receipt = Outcome::Delivered { receipt: "x.y.z".into() };
        let refused = Outcome::Refused { reason: "batch-conflict".into(), refusal: None };
        let unsure = Outcome::Unsure { reason: "cut".into(), due_at: Timestamp::UNIX_EPOCH };
        let table = [
            (&receipt, [Delivered, Delivered, Delivered, Delivered]),
            (&Outcome::HandedOver, [HandedOver, HandedOver, Delivered, SetAside]),
            (&refused, [SetAside, HandedOver, Delivered, SetAside]),
            (&unsure, [Waiting, HandedOver, Delivered, SetAside]),
        ];
        for (outcome, expected) in table {
            let found = [Waiting, HandedOver, Delivered, SetAside].map(|state| outcome.moves(state));
            assert_eq!(found, expected, "{outcome:?}");
        }
    }

    /// What SQLite will read for `sql`, in its own words.
    fn plan(tx: &Tx<'_>, sql: &str) -> String {
        tx.rows(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get::<_, String>(3)).unwrap().join("; ")
    }

    #[test]
    fn a_look_at_the_queue_reads_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::Store::open(dir.path()).unwrap();
        store
            .read(|tx| {
                for sql in [
                    &format!("SELECT {COLUMNS} FROM batch INDEXED BY batch_look ORDER BY seq"),
                    "SELECT state, sum(length(token)) FROM batch INDEXED BY batch_look GROUP BY state",
                ] {
                    let plan = plan(tx, sql);
                    assert!(plan.starts_with("SCAN batch USING COVERING INDEX batch_look"), "{sql}: {plan}");
                }
                Ok::<_, StoreError>(())
            })
            .unwrap();
    }

    #[test]
    fn texts_are_cut_at_characters_not_at_bytes() {
        assert_eq!(cut("kurz"), "kurz");
        assert_eq!(cut(&"ü".repeat(300)).chars().count(), 255);
    }
}
