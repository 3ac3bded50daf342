//! Whether what is stored is what was stored. SQLite's own check looks at its structure and not into a BLOB
//! (`standards.md` 6.2): tokens are compared with their hashes, and every sealed row is opened.

use rusqlite::Transaction;

use super::{Store, StoreError};
use crate::chain::Digest;
use crate::keyring::{Keyring, Rows};

/// Faults of each kind that are named; more are only counted.
const NAMED_MAX: u64 = 20;

/// What [`Store::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Tokens compared with their hash.
    pub tokens: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Sealed rows opened.
    pub rows: u64,
    /// What only a backup can mend, a line each.
    pub faults: Vec<String>,
    /// What `check --rederive` makes again, a line each.
    pub mendable: Vec<String>,
}

/// Columns that hold sealed rows: table, what names a row, column, key, and whether it is derived.
const SEALED: [(&str, &str, &str, Rows, bool); 9] = [
    ("site", "id", "name", Rows::Memory, false),
    ("site_key", "site || ' epoch ' || epoch", "secret", Rows::Secrets, false),
    ("quarantine", "number", "source", Rows::Memory, false),
    ("fork_note", "site || ' sequence ' || sequence", "remark", Rows::Memory, false),
    ("note", "arrival", "detail", Rows::Memory, true),
    ("device", "id", "summary", Rows::Memory, true),
    ("device", "id", "detail", Rows::Memory, true),
    ("reading", "device || ' read at ' || read_at", "detail", Rows::Memory, true),
    ("set_aside", "arrival || ' device ' || position", "detail", Rows::Memory, true),
];

impl Store {
    /// Asks the database for its own check, compares every token with its hash, by `digest`, and opens every sealed row.
    pub async fn check(&self, digest: fn(&[u8]) -> Digest) -> Result<Checked, StoreError> {
        self.read(move |db, keyring| {
            let mut checked = Checked::default();
            check_database(db, &mut checked)?;
            for (table, order) in [("batch", "arrival"), ("quarantine", "number")] {
                check_tokens(db, table, order, digest, &mut checked)?;
            }
            for (table, name, column, rows, derived) in SEALED {
                let place = format!("{table}.{column}");
                let mut statement = db.prepare(&format!(
                    "SELECT CAST({name} AS TEXT), {column} FROM {table} WHERE {column} IS NOT NULL"
                ))?;
                let mut found = statement.query([])?;
                let mut faults = Named::default();
                while let Some(row) = found.next()? {
                    let (name, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
                    checked.rows += 1;
                    if !opens(keyring, rows, &place, &sealed) {
                        faults.add(format!("{table} {name}: its sealed `{column}` does not open"));
                    }
                }
                if derived { &mut checked.mendable } else { &mut checked.faults }.extend(faults.lines());
            }
            Ok(checked)
        })
        .await
    }
}

fn check_database(db: &Transaction<'_>, checked: &mut Checked) -> Result<(), StoreError> {
    let mut integrity = db.prepare("PRAGMA integrity_check(10)")?;
    for line in integrity.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            checked.faults.push(format!("database: {line}"));
        }
    }
    Ok(())
}

fn check_tokens(
    db: &Transaction<'_>,
    table: &str,
    order: &str,
    digest: fn(&[u8]) -> Digest,
    checked: &mut Checked,
) -> Result<(), StoreError> {
    let mut statement = db.prepare(&format!("SELECT {order}, site, sha256, token FROM {table} ORDER BY {order}"))?;
    let mut rows = statement.query([])?;
    let mut faults = Named::default();
    while let Some(row) = rows.next()? {
        let (place, site): (i64, String) = (row.get(0)?, row.get(1)?);
        let (sha256, token): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?);
        checked.tokens += 1;
        checked.bytes += token.len() as u64;
        if digest(&token).as_slice() != sha256 {
            faults.add(format!("{table} {place} of site {site}: the token does not have its hash"));
        }
    }
    checked.faults.extend(faults.lines());
    Ok(())
}

fn opens(keyring: &Keyring, rows: Rows, place: &str, sealed: &[u8]) -> bool {
    keyring.open(rows, place, sealed).is_ok()
}

/// The first faults of one kind, and how many there are.
#[derive(Default)]
struct Named {
    first: Vec<String>,
    all: u64,
}

impl Named {
    fn add(&mut self, line: String) {
        self.all += 1;
        if self.all <= NAMED_MAX {
            self.first.push(line);
        }
    }

    fn lines(self) -> impl Iterator<Item = String> {
        let more = self.all.saturating_sub(NAMED_MAX);
        self.first.into_iter().chain((more > 0).then(|| format!("and {more} more like these")))
    }
}
