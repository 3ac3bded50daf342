use super::*;

fn keep(store: &Store, value: &str) -> Result<(), StoreError> {
    store.write(|tx| tx.set_fact("colour", value))
}

fn kept(store: &Store) -> Option<String> {
    store.read(|tx| tx.fact("colour")).unwrap()
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    keep(&Store::open(dir.path()).unwrap(), "cyan").unwrap();
    assert_eq!(kept(&Store::open(dir.path()).unwrap()).as_deref(), Some("cyan"));
}

#[test]
fn a_transaction_that_failed_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let outcome: Result<(), StoreError> = store.write(|tx| {
        tx.set_fact("colour", "black")?;
        Err(StoreError::Busy)
    });
    assert!(outcome.is_err());
    assert_eq!(kept(&store), None);
}

#[test]
fn every_connection_is_set_to_keep_what_it_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let connection = store.connection.lock().unwrap();
    for (pragma, value) in [("synchronous", 2), ("foreign_keys", 1), ("auto_vacuum", 2), ("user_version", 4)] {
        let found: i64 = connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap();
        assert_eq!(found, value, "{pragma}");
    }
}

#[test]
fn another_programs_database_and_a_newer_one_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let other = Connection::open(dir.path().join(FILE)).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    let message = Store::open(dir.path()).unwrap_err().to_string();
    assert_eq!(message, "`meterpost.db` is another program's database (application id 0x0); give another `--data-dir`");

    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).unwrap().connection.lock().unwrap().pragma_update(None, "user_version", 99).unwrap();
    let message = Store::open(dir.path()).unwrap_err().to_string();
    assert_eq!(
        message,
        "`meterpost.db` was written by a newer meterpost (tables 99, this program knows 4); update the program"
    );
}

#[test]
fn a_store_of_the_first_version_keeps_its_devices_and_their_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = Connection::open(dir.path().join(FILE)).unwrap();
    before.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    before.pragma_update(None, "foreign_keys", 1).unwrap();
    let step = before.transaction().unwrap();
    step.execute_batch(MIGRATIONS[0]).unwrap();
    step.execute_batch("INSERT INTO device VALUES ('d', x'01', 5); INSERT INTO address VALUES ('a', 'd')").unwrap();
    step.pragma_update(None, "user_version", 1).unwrap();
    step.commit().unwrap();
    drop(before);
    let store = Store::open(dir.path()).unwrap();
    let sql = "SELECT hex(sealed), seen FROM address JOIN device ON device.name = address.device";
    let found = |tx: &Tx<'_>| tx.row(sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
    assert_eq!(store.read(found).unwrap(), Some(("01".to_owned(), 5)));
    // an address still goes with its device
    let forgotten = store.write(|tx| {
        tx.execute("DELETE FROM device", [])?;
        tx.row("SELECT count(*) FROM address", [], |row| row.get::<_, i64>(0))
    });
    assert_eq!(forgotten.unwrap(), Some(0));
}

#[test]
fn a_second_run_of_one_half_finds_the_lock_held() {
    let dir = tempfile::tempdir().unwrap();
    let first = RunLock::take(dir.path(), Half::Gathering).unwrap();
    assert!(matches!(RunLock::take(dir.path(), Half::Gathering), Err(LockError::Held(_))));
    RunLock::take(dir.path(), Half::Delivering).unwrap();
    drop(first);
    RunLock::take(dir.path(), Half::Gathering).unwrap();
}

#[test]
fn the_deepest_mount_says_what_a_directory_lies_on() {
    let mounts = "/dev/sda1 / ext4 rw 0 0\nfiler:/x /var/lib nfs4 rw 0 0\n/dev/sdb1 /var/lib/meterpost xfs rw 0 0\n";
    for (directory, kind) in [("/var/lib/meterpost", "xfs"), ("/var/lib/other", "nfs4"), ("/var/library", "ext4")] {
        assert_eq!(file_system_of(mounts, Path::new(directory)), Some(kind), "{directory}");
    }
}
