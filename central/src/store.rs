//! Everything that the central keeps, in one SQLite file.
//!
//! Guarantees:
//! - Each function is one transaction. WAL with `synchronous=FULL`: what a function has returned survives a power cut.
//! - What arrived (`batch`, `quarantine`) is never changed. What is shown is derived from it by [`crate::derive`] in the
//!   transaction that stores it, and [`Store::rederive`] makes it again, the same.
//! - Texts and numbers about devices and sites, and every secret, are sealed under the machine key; look-ups go by keyed
//!   hash. In clear stand ids, sequences, times and digests.
//! - No connection, statement or SQLite type leaves this module. Functions are `async` and SQLite runs in
//!   `spawn_blocking`; there is one writer at a time, and readers do not wait for it.
//!
//! Statements use `$1 …` in the order of first use and `ON CONFLICT`, which SQLite and PostgreSQL both speak.

mod batches;
mod chain;
mod check;
mod file;
mod fleet;
mod incoming;
mod keys;
mod people;
mod quarantine;
mod sites;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

pub use batches::{Arrival, Known, Progress, Rederived, SetAside};
pub use chain::{ChainRows, ForkNote, ForkRow, Side, StoredRow};
pub use check::Checked;
pub use fleet::{
    CountRow, DeviceRow, Fleet, FleetRow, History, READINGS_PAGE, ReadingRow, Readings, ReadingsFrom, Who,
};
pub use incoming::{Incoming, Item, Mail, Taken, Verdict, Way};
pub use keys::{KEY_AFTER_MOVE, Revoked, Rotated, Rotation, SiteKey, SiteKeys};
pub use quarantine::{HeldRow, NewHeld, SetAsideRow};
pub use sites::{Held, LastBatch, NewSite, SiteRow};

use crate::keyring::{DoesNotOpen, Keyring, Rows};

/// The file in the data directory.
pub const FILE: &str = "central.db";

/// Why the store could not do it, by what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, or another process holds the file: the same may work later.
    #[error("the store cannot write now: {0}")]
    Later(String),
    /// The data directory, or the machine key beside it, is the wrong one: another must be named.
    #[error("{0}")]
    Refused(String),
    /// The file is damaged or the program is wrong: a person must look.
    #[error("the store is damaged or was misused: {0}")]
    Broken(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            // On a full disk SQLite says so, or has no room for the memory that it shares and says this.
            Some(ErrorCode::SystemIoFailure) => Self::Later(format!("{error}: is the disk full?")),
            Some(
                ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied,
            ) => Self::Later(error.to_string()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// A handle on the one file; clones share it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    keyring: Keyring,
}

impl Store {
    /// Opens the store in `data_dir`, makes it where there is none, and brings its schema up to date. Refuses a store
    /// that was made under another machine key.
    pub async fn open(data_dir: &Path, keyring: Keyring) -> Result<Self, StoreError> {
        let (data_dir, file) = (data_dir.to_owned(), data_dir.join(FILE));
        let open = move || {
            let mut writer = file::open(&data_dir)?;
            check_key(&mut writer, &keyring)?;
            let reader = file::connect(&data_dir.join(FILE))?;
            reader.pragma_update(None, "query_only", true)?;
            Ok(Self { shared: Arc::new(Shared { writer: Mutex::new(writer), reader: Mutex::new(reader), keyring }) })
        };
        blocking(open).await.map_err(|error| match error {
            StoreError::Broken(why) => StoreError::Broken(format!("`{}`: {why}", file.display())),
            other => other,
        })
    }

    /// Whether there is a store in `data_dir`.
    pub fn exists(data_dir: &Path) -> bool {
        data_dir.join(FILE).exists()
    }

    /// Asks the database for one row: whether the store can be read at all.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read(|connection, _| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }

    /// Runs `work` in one transaction that takes the write lock at its start, and commits it.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>, &Keyring) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let mut connection = lock(&shared.writer);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction, &shared.keyring)?;
            transaction.commit()?;
            Ok(done)
        })
        .await
    }

    /// Runs `work` in one transaction that sees one state and writes nothing.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>, &Keyring) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let mut connection = lock(&shared.reader);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            work(&transaction, &shared.keyring)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(StoreError::Broken(error.to_string())))
}

/// A panic while the lock was held has rolled its transaction back: the connection is as good as before.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a value that only this machine key makes at the first start, and compares it ever after.
fn check_key(connection: &mut Connection, keyring: &Keyring) -> Result<(), StoreError> {
    let mine = keyring.look_up("fact", "key-check");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction
        .execute("INSERT INTO fact (name, value) VALUES ('key-check', $1) ON CONFLICT (name) DO NOTHING", [&mine])?;
    let stored: String =
        transaction.query_row("SELECT value FROM fact WHERE name = 'key-check'", [], |row| row.get(0))?;
    transaction.commit()?;
    if stored == mine {
        Ok(())
    } else {
        Err(StoreError::Refused(
            "the machine key is not the one that this data directory was made with: name the right file with `--key-file`"
                .to_owned(),
        ))
    }
}

impl From<DoesNotOpen> for StoreError {
    fn from(error: DoesNotOpen) -> Self {
        Self::Broken(error.to_string())
    }
}

fn seal_json<T: serde::Serialize>(keyring: &Keyring, place: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    let text = serde_json::to_vec(value).map_err(|error| StoreError::Broken(error.to_string()))?;
    Ok(keyring.seal(Rows::Memory, place, &text))
}

fn unseal_json<T: serde::de::DeserializeOwned>(keyring: &Keyring, place: &str, sealed: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(&keyring.open(Rows::Memory, place, sealed)?)
        .map_err(|error| StoreError::Broken(format!("a sealed `{place}` is not what was stored: {error}")))
}

/// A stored time; what lies outside the calendar reads as 1970.
fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A number for a column; sequences end at 2^53, so nothing that is stored is cut.
fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from a column that holds no negative ones.
fn number(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}
