//! What can be saved of a damaged file: it is moved aside with its log and left there for a person, and every row that can
//! still be read goes into a new one.
//!
//! Tables are read from the front until the damage, and from the back until the damage; what lies between is lost. A token that
//! was changed is found by its hash when it is to be sent. Which numbers may have been used meanwhile is the outbox's affair.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{FILE, Store, StoreError};

/// Name of the file beside the store that knows about how many sequences were used: all that is left when nothing else is.
const SEQUENCE_FILE: &str = "queue.seq";

/// Its beginning; 32 bytes with a number of 17 digits and a line feed.
const SEQUENCE_MARK: &str = "meterpost-seq ";

/// In the order in which they are filled: an address names its device.
const TABLES: [&str; 9] = ["fact", "secret", "batch", "chain", "void", "channel", "event", "device", "address"];

/// Moves the damaged file aside and makes a new one of what can be read. `name` is that of the directory below the data directory
/// that keeps it. Gives the new store and the number of rows saved.
///
/// Nobody else may have the store open.
pub fn salvage(directory: &Path, name: &str) -> Result<(Store, usize), StoreError> {
    let failed = |error: io::Error| StoreError::Failed(format!("cannot move the damaged file aside: {error}"));
    let aside = directory.join(name);
    fs::create_dir(&aside).map_err(failed)?;
    // the log last: as long as the file is in its place, the log belongs to it
    for suffix in ["", "-shm", "-wal"] {
        let file = format!("{FILE}{suffix}");
        match fs::rename(directory.join(&file), aside.join(&file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    let store = Store::open(directory)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let saved = match Connection::open_with_flags(aside.join(FILE), flags) {
        Ok(damaged) => store.write(|tx| {
            let mut saved = 0;
            for table in TABLES {
                let columns = common_columns(&damaged, &tx.transaction, table);
                for row in readable_rows(&damaged, table, &columns) {
                    let marks = vec!["?"; columns.len()].join(", ");
                    let sql = format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({marks})", columns.join(", "));
                    // a row that the tables of today do not take is a damaged one
                    match tx.execute(&sql, params_from_iter(row)) {
                        Ok(rows) => saved += rows,
                        Err(error @ (StoreError::Full | StoreError::Busy)) => return Err(error),
                        Err(_) => {}
                    }
                }
            }
            Ok(saved)
        })?,
        // not even its first page: all that is known is what lies beside it
        Err(_) => 0,
    };
    Ok((store, saved))
}

/// Columns that the damaged table has and the new one knows.
fn common_columns(damaged: &Connection, new: &Connection, table: &str) -> Vec<String> {
    let columns = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(&format!("PRAGMA table_info({table})"))?;
        statement.query_map([], |row| row.get(1))?.collect()
    };
    let known: HashSet<String> = columns(new).unwrap_or_default().into_iter().collect();
    columns(damaged).unwrap_or_default().into_iter().filter(|column| known.contains(column)).collect()
}

/// Rows from the front and from the back, each until the damage.
fn readable_rows(damaged: &Connection, table: &str, columns: &[String]) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    let Some(first) = columns.first() else { return rows };
    for order in ["ASC", "DESC"] {
        let sql = format!("SELECT {} FROM {table} ORDER BY {first} {order}", columns.join(", "));
        let Ok(mut statement) = damaged.prepare(&sql) else { continue };
        let Ok(mut found) = statement.query([]) else { continue };
        let whole = loop {
            match found.next() {
                Ok(Some(row)) => match (0..columns.len()).map(|at| row.get(at)).collect() {
                    Ok(row) => rows.push(row),
                    Err(_) => break false,
                },
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        if whole {
            break;
        }
    }
    rows
}

/// Keeps beside the store about how many sequences were used.
pub fn keep_sequence(directory: &Path, sequence: u64) -> io::Result<()> {
    let temporary = directory.join(format!("{SEQUENCE_FILE}.new"));
    let mut file = File::create(&temporary)?;
    file.write_all(format!("{SEQUENCE_MARK}{sequence:017}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, directory.join(SEQUENCE_FILE))
}

/// What [`keep_sequence`] kept last; 0 when there is nothing that can be read.
pub fn kept_sequence(directory: &Path) -> u64 {
    let text = fs::read_to_string(directory.join(SEQUENCE_FILE)).unwrap_or_default();
    text.strip_prefix(SEQUENCE_MARK).and_then(|number| number.trim_end().parse().ok()).unwrap_or(0)
}

/// The directory below the data directory that keeps a damaged store of this instant.
pub fn aside(second: i64) -> PathBuf {
    PathBuf::from(format!("damaged-{second}"))
}
