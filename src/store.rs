//! The one SQLite file, `<data-dir>/meterpost.db`: what is known of devices, and the outbox, under one transaction.
//!
//! # What is promised
//! - What [`Store::write`] returned `Ok` for survives `kill -9` and loss of power: WAL with `synchronous=FULL`, one fsync
//!   of the log per commit. What it returned `Err` for has left no trace.
//! - Writing transactions begin with `BEGIN IMMEDIATE`, so two processes take turns (up to 10 s of waiting) and neither
//!   works on numbers that the other one is changing.
//! - On a full disk the ballast is given up and the write done again; without one it fails whole with
//!   [`StoreError::Full`]. Nothing that was stored is lost.
//! - A file that fails `quick_check` when a run starts is left as it is and refused; [`salvage`] moves it aside and saves
//!   what can be read, which `site` does when nobody else has it open. The check reads all of the file: of one that has more than
//!   16 MiB a command that looks into the queue spares it, unless somebody met damage.
//!
//! # What is assumed
//! A local disk that keeps what it has synced, and a file system with working locks: known network file systems are
//! refused, because WAL needs memory shared on one host.
//!
//! Tables are made by numbered steps that are added and never edited. No SQLite type leaves `store`, `memory` and `outbox`.

pub mod ballast;
pub mod salvage;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Params, Row, Transaction, TransactionBehavior};

/// Name of the file in the data directory; `-wal` and `-shm` lie beside it and belong to it.
pub const FILE: &str = "meterpost.db";

/// `mpst`, so that `file` and we ourselves know whose database this is.
const APPLICATION_ID: i32 = 0x6d70_7374;

/// A larger file is checked when a run starts, and not for a look.
const CHECKED_FOR_A_LOOK: u64 = 16 << 20;

/// Name of the file that is there from the moment when somebody met damage until a check finds none.
const DOUBT_FILE: &str = "store.doubt";

/// How long a write waits for another process's write.
const BUSY: Duration = Duration::from_secs(10);

/// Each step brings the file from `user_version` n to n + 1. Added, never edited.
const MIGRATIONS: [&str; 4] = [
    include_str!("store/0001_first.sql"),
    include_str!("store/0002_rows_in_order.sql"),
    include_str!("store/0003_sendings.sql"),
    include_str!("store/0004_looks.sql"),
];

/// File systems whose locks or shared memory do not carry WAL.
const NETWORK_FILE_SYSTEMS: [&str; 12] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ncpfs",
    "afs",
    "ceph",
    "lustre",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.s3fs",
];

/// Why the store did not do it, by what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Try again later: another process was writing for the whole of 10 s.
    #[error("another process kept writing to `{FILE}` for 10 s; try again when it has ended")]
    Busy,
    /// Make room: nothing was stored by this call, and nothing stored before is lost.
    #[error(
        "no room to write to `{FILE}`: the disk or the file's limit is full; nothing was lost, free some space and run again"
    )]
    Full,
    /// Stop: the file is broken. It was not touched.
    #[error(
        "`{FILE}` is damaged ({0}); it was not touched: the next command saves what can be read, once no other run has it open"
    )]
    Damaged(String),
    /// Stop: the place or the file is not for us. The text says what was found and what would be right.
    #[error("{0}")]
    Refused(String),
    /// A fault of the disk or of the program; the text is for people.
    #[error("`{FILE}`: {0}")]
    Failed(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            // the first page of `-shm` is made at the first look, and a full disk has no page for it
            Some(ErrorCode::SystemIoFailure) if has_code(&error, rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

fn has_code(error: &rusqlite::Error, code: i32) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(failure, _) if failure.extended_code == code)
}

/// The open file. One connection behind a mutex: writes take turns anyway, and reads are short.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    directory: PathBuf,
}

impl Store {
    /// Opens or makes the file in `directory`, which is made too (0700, the file 0600), brings its tables up to date and
    /// checks its structure.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let store = Self::open_with(directory, None, true)?;
        // where it cannot be removed the next look checks again
        let _ = fs::remove_file(directory.join(DOUBT_FILE));
        Ok(store)
    }

    /// The same without the check when the file is large and nobody doubts it: 10,000 batches are 130 MB, and a command that
    /// lists them would take longer over the check than over everything else.
    pub fn open_for_a_look(directory: &Path) -> Result<Self, StoreError> {
        let large = size(directory).is_some_and(|bytes| bytes > CHECKED_FOR_A_LOOK);
        if large && !directory.join(DOUBT_FILE).exists() {
            Self::open_with(directory, None, false)
        } else {
            Self::open(directory)
        }
    }

    /// The same with a limit on the file's size in pages of 4 KiB; at the limit a write fails as on a full disk.
    pub fn open_limited(directory: &Path, pages_max: Option<u32>) -> Result<Self, StoreError> {
        Self::open_with(directory, pages_max, true)
    }

    fn open_with(directory: &Path, pages_max: Option<u32>, check: bool) -> Result<Self, StoreError> {
        match Self::try_open(directory, pages_max, check) {
            // opening writes too: SQLite makes its shared memory and takes the log back
            Err(StoreError::Full) if ballast::give_up(directory) => Self::try_open(directory, pages_max, check),
            opened => opened,
        }
    }

    fn try_open(directory: &Path, pages_max: Option<u32>, check: bool) -> Result<Self, StoreError> {
        make_private_directory(directory)?;
        refuse_network_file_system(directory)?;
        let path = directory.join(FILE);
        make_private_file(&path)?;
        // without SQLITE_OPEN_URI: a path is a path, whatever it looks like
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags)?;
        prepare(&connection, pages_max)?;
        migrate(&mut connection)?;
        if check {
            let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if verdict != "ok" {
                return Err(StoreError::Damaged(verdict));
            }
        }
        Ok(Self { connection: Mutex::new(connection), directory: directory.to_owned() })
    }

    /// Where the file lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Does `work` in one `BEGIN IMMEDIATE` transaction: commits on `Ok`, leaves no trace on `Err`. Keep it short; no
    /// network and no SNMP inside. When the disk is full and there is ballast to give up, `work` is done a second time.
    pub fn write<T, E: From<StoreError>>(&self, mut work: impl FnMut(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let met = Met::default();
        match self.transaction(TransactionBehavior::Immediate, &met, &mut work) {
            Err(_) if met.full.take() && self.give_up_ballast() => {
                self.transaction(TransactionBehavior::Immediate, &met, work)
            }
            done => done,
        }
    }

    /// Reads one consistent state; what `work` writes is forbidden to it by SQLite.
    pub fn read<T, E: From<StoreError>>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        self.transaction(TransactionBehavior::Deferred, &Met::default(), work)
    }

    fn transaction<T, E: From<StoreError>>(
        &self,
        behavior: TransactionBehavior,
        met: &Met,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // a panic inside `work` has rolled its transaction back: the connection is sound
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = connection.transaction_with_behavior(behavior).map_err(|error| noted(met, error));
        let done = begun.map_err(E::from).and_then(|transaction| {
            let tx = Tx { transaction, met };
            let done = work(&tx)?;
            tx.transaction.commit().map_err(|error| noted(met, error))?;
            Ok(done)
        });
        if met.damage.get() {
            // whoever opens it next looks at all of it; where this cannot be written the next run does
            let _ = fs::write(self.directory.join(DOUBT_FILE), "damage was met; the next check removes this file\n");
        }
        done
    }

    /// The log goes back into the file at once: it is what grows while nothing can be deleted.
    fn give_up_ballast(&self) -> bool {
        let given = ballast::give_up(&self.directory);
        if given {
            tracing::warn!("the disk is full: `{}` was given up, what is sealed still has room", ballast::FILE);
            let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            // when another process holds it up, the room is there all the same
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        given
    }
}

/// What a transaction met: the error that `work` makes of it may not tell.
#[derive(Default)]
struct Met {
    full: Cell<bool>,
    damage: Cell<bool>,
}

fn noted(met: &Met, error: rusqlite::Error) -> StoreError {
    let error = StoreError::from(error);
    match error {
        StoreError::Full => met.full.set(true),
        StoreError::Damaged(_) => met.damage.set(true),
        _ => {}
    }
    error
}

/// A transaction under way. Only `store`, `memory` and `outbox` can put SQL to it.
pub struct Tx<'a> {
    transaction: Transaction<'a>,
    met: &'a Met,
}

impl Tx<'_> {
    /// Runs one statement; gives the number of rows it changed.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        let run = || self.transaction.prepare_cached(sql)?.execute(params);
        run().map_err(|error| noted(self.met, error))
    }

    /// The first row, if there is one.
    pub(crate) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let run = || self.transaction.prepare_cached(sql)?.query_row(params, map).optional();
        run().map_err(|error| noted(self.met, error))
    }

    /// All rows.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let run =
            || self.transaction.prepare_cached(sql)?.query_map(params, map)?.collect::<rusqlite::Result<Vec<T>>>();
        run().map_err(|error| noted(self.met, error))
    }

    /// A small fact kept in clear: the site's UUID, the next sequence. Never a secret, never about a device.
    pub fn fact(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.row("SELECT value FROM fact WHERE name = ?1", [name], |row| row.get(0))
    }

    /// Names of the small facts that begin so.
    pub fn facts_beginning(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM fact WHERE substr(name, 1, length(?1)) = ?1";
        self.rows(sql, [beginning], |row| row.get(0))
    }

    /// Keeps a small fact.
    pub fn set_fact(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.execute("INSERT OR REPLACE INTO fact (name, value) VALUES (?1, ?2)", [name, value]).map(drop)
    }

    /// A secret, as sealed by the keyring.
    pub fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.row("SELECT sealed FROM secret WHERE name = ?1", [name], |row| row.get(0))
    }

    /// Keeps a sealed secret.
    pub fn set_secret(&self, name: &str, sealed: &[u8]) -> Result<(), StoreError> {
        self.execute("INSERT OR REPLACE INTO secret (name, sealed) VALUES (?1, ?2)", (name, sealed)).map(drop)
    }

    /// Whether anything is there that only the right machine key opens.
    pub fn has_sealed_rows(&self) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM secret) OR EXISTS (SELECT 1 FROM device)";
        Ok(self.row(sql, [], |row| row.get(0))?.unwrap_or(false))
    }

    /// Forgets everything that only a lost machine key would open. The outbox stays: its tokens are sealed under the
    /// site's key.
    pub fn forget_sealed_rows(&self) -> Result<(), StoreError> {
        for sql in ["DELETE FROM secret", "DELETE FROM address", "DELETE FROM device"] {
            self.execute(sql, [])?;
        }
        Ok(())
    }
}

/// Which half of the collector holds a lock: the two go on without each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Sweeping, reading, sealing.
    Gathering,
    /// Sending.
    Delivering,
    /// The daemon that gathers, between its passes too: a single pass may run beside it, a second daemon not.
    GatheringDaemon,
    /// The daemon that delivers.
    DeliveringDaemon,
    /// Whoever takes, uses or takes back a pack of mapping files.
    Packs,
}

/// Keeps a second run of the same half out, in this process and in others. The system frees it when the process ends,
/// however it ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run has it (exit code 4).
    #[error("another run holds `{}`", .0.display())]
    Held(PathBuf),
    /// The lock file cannot be made or opened.
    #[error("cannot open the lock file `{}`: {}", .0.display(), .1)]
    Failed(PathBuf, std::io::Error),
}

impl RunLock {
    /// Takes the lock of one half, at once or not at all.
    pub fn take(directory: &Path, half: Half) -> Result<Self, LockError> {
        let path = directory.join(match half {
            Half::Gathering => "gather.lock",
            Half::Delivering => "deliver.lock",
            Half::GatheringDaemon => "gather-daemon.lock",
            Half::DeliveringDaemon => "deliver-daemon.lock",
            Half::Packs => "packs.lock",
        });
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(|error| LockError::Failed(path.clone(), error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held(path)),
            Err(TryLockError::Error(error)) => Err(LockError::Failed(path, error)),
        }
    }
}

fn prepare(connection: &Connection, pages_max: Option<u32>) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY)?;
    let found: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found != APPLICATION_ID && (found != 0 || tables != 0) {
        let text =
            format!("`{FILE}` is another program's database (application id {found:#x}); give another `--data-dir`");
        return Err(StoreError::Refused(text));
    }
    if tables == 0 {
        // takes effect only before the first table
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let text =
            format!("`{FILE}` lies where write-ahead logging does not work (journal mode `{mode}`); a local disk does");
        return Err(StoreError::Refused(text));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    if cfg!(target_os = "macos") {
        connection.pragma_update(None, "fullfsync", 1)?;
    }
    connection.pragma_update(None, "foreign_keys", 1)?;
    connection.pragma_update(None, "trusted_schema", 0)?;
    connection.pragma_update(None, "cell_size_check", 1)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "journal_size_limit", 8 << 20)?;
    // without it each new value of a range has its statement planned anew
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if let Some(pages) = pages_max {
        connection.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known = MIGRATIONS.len() as i64;
    let version: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > known {
        let text = format!(
            "`{FILE}` was written by a newer meterpost (tables {version}, this program knows {known}); update the program"
        );
        return Err(StoreError::Refused(text));
    }
    for step in MIGRATIONS.iter().skip(version as usize) {
        tx.execute_batch(step)?;
    }
    if version < known {
        tx.pragma_update(None, "user_version", known)?;
    }
    Ok(tx.commit()?)
}

fn make_private_directory(directory: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let refused =
        |error| StoreError::Refused(format!("cannot make the data directory `{}`: {error}", directory.display()));
    builder.create(directory).map_err(refused)
}

/// Before SQLite makes it with everybody's rights; `-wal` and `-shm` take theirs from it.
fn make_private_file(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let refused = |error| StoreError::Refused(format!("cannot open `{}`: {error}", path.display()));
    options.open(path).map(drop).map_err(refused)
}

/// Linux tells in `/proc/mounts`; elsewhere, and where that file is missing, nothing is known and nothing refused.
fn refuse_network_file_system(directory: &Path) -> Result<(), StoreError> {
    let (Ok(mounts), Ok(directory)) = (fs::read_to_string("/proc/mounts"), directory.canonicalize()) else {
        return Ok(());
    };
    match file_system_of(&mounts, &directory) {
        Some(kind) if NETWORK_FILE_SYSTEMS.contains(&kind) => {
            let text = format!(
                "the data directory `{}` lies on a network file system (`{kind}`); a local disk is needed",
                directory.display()
            );
            Err(StoreError::Refused(text))
        }
        _ => Ok(()),
    }
}

/// Bytes of the file with its log; `None` when the system does not say.
pub fn size(directory: &Path) -> Option<u64> {
    let file = fs::metadata(directory.join(FILE)).ok()?.len();
    let log = fs::metadata(directory.join(format!("{FILE}-wal"))).map_or(0, |log| log.len());
    Some(file + log)
}

/// The type of the deepest mount that holds `directory`; of two on one place the later one.
fn file_system_of<'a>(mounts: &'a str, directory: &Path) -> Option<&'a str> {
    let mut best = None;
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (Some(point), Some(kind)) = (words.nth(1), words.next()) else { continue };
        // the kernel writes blanks as \040; a directory with one in its path is rare, and one that hides a mount rarer
        let depth = Path::new(point).components().count();
        if directory.starts_with(point) && best.is_none_or(|(most, _)| depth >= most) {
            best = Some((depth, kind));
        }
    }
    best.map(|(_, kind)| kind)
}
