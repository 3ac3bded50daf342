//! The file itself: where it may lie, who may read it, and how it is opened (`standards.md` 6.1).

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::{FILE, StoreError};
use crate::private;

/// How long a transaction waits for another process (a command beside `serve`) before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// `mpct`, so that `file` and we ourselves know whose database this is.
const APPLICATION_ID: i32 = 0x6d70_6374;

/// The WAL is cut back to this size after a long transaction, in bytes.
const JOURNAL_MAX: u32 = 8 << 20;

/// Pages that each of the two connections keeps, in KiB: the upper pages of the indexes of some hundred thousand readings.
const CACHE_KIB: i32 = 16 << 10;

/// Steps of the schema, added and never edited; `user_version` counts those that are done.
const MIGRATIONS: [&str; 5] = [
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/sqlite/0002_order_and_guesses.sql"),
    include_str!("../../migrations/sqlite/0003_import.sql"),
    include_str!("../../migrations/sqlite/0004_keys_and_forks.sql"),
    include_str!("../../migrations/sqlite/0005_through.sql"),
];

/// File systems whose locks or shared memory do not carry a WAL.
const NETWORK_FILE_SYSTEMS: [&str; 9] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "lustre", "fuse.sshfs", "fuse.glusterfs"];

/// Opens the store in `data_dir`, makes it where there is none, and brings its schema up to date.
pub(super) fn open(data_dir: &Path) -> Result<Connection, StoreError> {
    let cannot = |what: &str, path: &Path, error: io::Error| {
        StoreError::Later(format!("cannot {what} `{}`: {error}", path.display()))
    };
    make_private_dir(data_dir).map_err(|error| cannot("make the data directory", data_dir, error))?;
    refuse_network_file_system(data_dir)?;
    let file = data_dir.join(FILE);
    match private::create_new(&file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(cannot("make", &file, error)),
        _ => {}
    }
    // SQLite gives the files that it makes beside this one the same mode.
    for suffix in ["", "-wal", "-shm"] {
        let path = data_dir.join(format!("{FILE}{suffix}"));
        private::restrict(&path).map_err(|error| cannot("take from others", &path, error))?;
    }
    let mut connection = connect(&file)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// A further connection to a store that is open.
pub(super) fn connect(file: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    refuse_foreign(take_turns(|| whose(&connection))?, file)?;
    let mode: String = take_turns(|| connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)))?;
    if mode != "wal" {
        return Err(StoreError::Refused(format!(
            "the disk of the data directory cannot keep a WAL (SQLite stays with `{mode}`): name another place with \
             `--data-dir`"
        )));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_MAX)?;
    // Without it each new value of a range has its statement planned anew: a fifteenth of what a batch costs.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The application's id and the number of tables, in one statement: it sees one state while another process makes them.
fn whose(connection: &Connection) -> rusqlite::Result<(i32, i64)> {
    connection.query_row(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// A database of another program gets no tables of ours, and no WAL.
fn refuse_foreign((id, tables): (i32, i64), file: &Path) -> Result<(), StoreError> {
    if id == APPLICATION_ID || (id == 0 && tables == 0) {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "`{}` is the database of another program: name another place with `--data-dir`",
        file.display()
    )))
}

/// Switching a new file to WAL needs it alone, and SQLite does not wait for that by itself: two programs that meet at the
/// first start, `serve` and `site add`, take turns here for up to ten seconds.
fn take_turns<T>(work: impl Fn() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    const TRIES: u32 = 500;
    const WAIT: Duration = Duration::from_millis(20);
    let mut tries = 0;
    loop {
        match work() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && tries < TRIES => {
                tries += 1;
                std::thread::sleep(WAIT);
            }
            done => return done,
        }
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done: u32 = transaction.query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as u32;
    if done > known {
        return Err(StoreError::Broken(format!(
            "it was written by a newer program (schema {done}; this one knows {known})"
        )));
    }
    if done == known {
        // Nothing is written: on a full disk what is stored can still be looked at.
        return Ok(());
    }
    for step in MIGRATIONS.iter().skip(done as usize) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Linux tells in `/proc/mounts`; elsewhere nothing is known and nothing refused.
fn refuse_network_file_system(data_dir: &Path) -> Result<(), StoreError> {
    let (Ok(mounts), Ok(place)) = (fs::read_to_string("/proc/mounts"), data_dir.canonicalize()) else {
        return Ok(());
    };
    match file_system_of(&mounts, &place) {
        Some(kind) if NETWORK_FILE_SYSTEMS.contains(&kind) => Err(StoreError::Refused(format!(
            "the data directory `{}` lies on a network file system (`{kind}`): a local disk is needed",
            data_dir.display()
        ))),
        _ => Ok(()),
    }
}

/// The type of the deepest mount that holds `place`; of two on one point the later one.
fn file_system_of<'m>(mounts: &'m str, place: &Path) -> Option<&'m str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((Path::new(words.next()?), words.next()?))
    });
    let holding = mounts.filter(|(point, _)| place.starts_with(point));
    holding.max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_meet_at_the_first_start_take_turns() {
        let dir = tempfile::tempdir().expect("a directory");
        for round in 0..40 {
            let place = dir.path().join(format!("{round}"));
            let start = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                let opening: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            open(&place)
                        })
                    })
                    .collect();
                for opened in opening {
                    opened.join().expect("no panic").expect("opened");
                }
            });
        }
    }

    #[test]
    fn the_pragmas_of_the_standard_hold_on_every_connection() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = open(dir.path()).expect("made");
        let second = connect(&dir.path().join(FILE)).expect("opened");
        for connection in [first, second] {
            for (pragma, value) in [
                ("synchronous", 2),
                ("foreign_keys", 1),
                ("trusted_schema", 0),
                ("cell_size_check", 1),
                ("journal_size_limit", i64::from(JOURNAL_MAX)),
                ("application_id", i64::from(APPLICATION_ID)),
                ("user_version", MIGRATIONS.len() as i64),
            ] {
                let found: i64 =
                    connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).expect("a number");
                assert_eq!(found, value, "{pragma}");
            }
        }
    }

    #[test]
    fn the_database_of_another_program_is_left_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(FILE);
        Connection::open(&file).and_then(|other| other.execute_batch("CREATE TABLE theirs (x)")).expect("made");
        let before = fs::read(&file).expect("read");
        let error = open(dir.path()).expect_err("refused").to_string();
        assert!(error.contains("is the database of another program"), "{error}");
        assert_eq!(fs::read(&file).expect("read"), before);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_files_even_in_a_directory_that_was_there() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("opened up");
        fs::write(dir.path().join(FILE), "").expect("made");
        let connection = open(dir.path()).expect("opened");
        connection.execute_batch("CREATE TABLE something (x)").expect("written");
        let files: Vec<_> = fs::read_dir(dir.path()).expect("listed").map(|entry| entry.expect("a file")).collect();
        assert_eq!(files.len(), 3, "{files:?}");
        for file in files {
            assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600, "{file:?}");
        }
    }

    #[test]
    fn the_deepest_mount_says_what_a_directory_lies_on() {
        let mounts = "/dev/sda1 / ext4 rw 0 0\nserver:/srv /srv nfs4 rw 0 0\n/dev/sdb1 /srv/local xfs rw 0 0\n";
        for (place, kind) in
            [("/var/lib", "ext4"), ("/srv/data", "nfs4"), ("/srv/local/data", "xfs"), ("/srvx", "ext4")]
        {
            assert_eq!(file_system_of(mounts, Path::new(place)), Some(kind), "{place}");
        }
    }
}
