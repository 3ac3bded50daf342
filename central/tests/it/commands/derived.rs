//! What is derived from the stored tokens: made again, and damaged.

use std::path::Path;

use meterpost_wire::Batch;

use super::super::bed::{Site, config_in, counted, printer};
use super::super::submit::receipt_of;
use super::{Served, check, logged_in};
/// Everything that is derived, sealed parts opened by the exports and the rest read as it stands.
fn derived(dir: &Path) -> Vec<String> {
    let database = rusqlite::Connection::open(dir.join("data/central.db")).expect("a store");
    let mut all = vec![
        check(dir, &["export", "devices", "--format", "json"], 0, ""),
        check(dir, &["export", "readings", "--format", "json"], 0, ""),
    ];
    for sql in [
        "SELECT arrival || site || sequence || state || flags || created_at || effective_at || devices || set_aside FROM note ORDER BY 1",
        "SELECT site || sequence || hex(sha256) FROM link ORDER BY 1",
        "SELECT site || first || last || reason FROM void ORDER BY 1",
        "SELECT site || sequence FROM fork ORDER BY 1",
        "SELECT id || through FROM site ORDER BY 1",
        "SELECT id || site || coalesce(read_at, '') FROM device ORDER BY 1",
        "SELECT device || read_at || scope || sequence || effective_at || token FROM reading ORDER BY 1",
        "SELECT arrival || position || site FROM set_aside ORDER BY 1",
    ] {
        let mut statement = database.prepare(sql).expect(sql);
        all.extend(statement.query_map([], |row| row.get(0)).expect(sql).map(|row| row.expect("a line")));
    }
    all
}

#[test]
fn deriving_again_from_the_stored_tokens_comes_to_the_same_end() {
    use meterpost_wire::batch::{Chain, Link, Void, VoidReason};
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let served = Served::start(dir.path());
    let reading = |serial: &str, total, hour| printer(serial, total, &format!("2026-11-20T{hour:02}:01:44Z"));
    let mut batches = vec![
        site.batch(1, vec![reading("A1", 10, 6), reading("A2", 20, 6)]),
        site.batch(4, vec![reading("A1", 30, 9)]),
        site.batch(3, vec![reading("A1", 25, 8), reading("A3", 1, 8)]),
        site.batch(9, vec![reading("A2", 40, 12)]),
    ];
    batches[2].previous = Some("cd".repeat(32));
    batches[3].chain = Some(Chain {
        links: vec![Link { sequence: 4, sha256: "ab".repeat(32) }, Link { sequence: 99, sha256: "ab".repeat(32) }],
        voids: vec![Void { from: 5, to: 8, reason: VoidReason::Lost }],
    });
    let mut clone = site.batch(1, vec![reading("A1", 11, 7)]);
    clone.id = "0192f0c1-7b7e-7000-8000-00000000ffff".to_owned();
    batches.push(clone);
    for batch in &batches {
        let token = site.seal(batch);
        receipt_of(&served.submit(&site, batch, &token), &site, batch, &token);
    }
    let newer = Batch { min_reader: Some("1.9".to_owned()), ..site.batch(10, vec![reading("A9", 1, 1)]) };
    let token = site.seal(&newer);
    receipt_of(&served.submit(&site, &newer, &token), &site, &newer, &token);
    served.kill();

    let before = derived(dir.path());
    assert!(before.len() > 20, "{before:?}");
    let out = check(dir.path(), &["check", "--rederive"], 0, "");
    assert!(out.contains("6 batches derived again: 3 devices, 7 readings"), "{out}");
    assert_eq!(derived(dir.path()), before);

    // Beside a central that serves: what it shows and takes afterwards is the same.
    let served = Served::start(dir.path());
    check(dir.path(), &["check", "--rederive"], 0, "");
    assert_eq!(derived(dir.path()), before);
    let again = &batches[0];
    let token = site.seal(again);
    receipt_of(&served.submit(&site, again, &token), &site, again, &token);
    served.kill();

    // From nothing at all, too: derived rows may be dropped by hand.
    let database = rusqlite::Connection::open(dir.path().join("data/central.db")).expect("a store");
    database
        .execute_batch("DELETE FROM note; DELETE FROM link; DELETE FROM fork; DELETE FROM device; DELETE FROM reading;")
        .expect("dropped");
    drop(database);
    check(dir.path(), &["check", "--rederive"], 0, "");
    assert_eq!(derived(dir.path()), before);

    // A token that no longer opens stays stored, is named, and costs the others nothing.
    let database = rusqlite::Connection::open(dir.path().join("data/central.db")).expect("a store");
    database.execute("UPDATE site_key SET epoch = 7 WHERE epoch = 1", []).expect("moved");
    drop(database);
    let out = check(dir.path(), &["check", "--rederive"], 3, "");
    assert!(out.contains("batch 4 of site") && out.contains("the key of epoch 1 is not known"), "{out}");
    assert_eq!(counted(&config_in(dir.path()), "SELECT count(*) FROM note WHERE state = 'unreadable'"), 6);
    assert_eq!(counted(&config_in(dir.path()), "SELECT count(*) FROM batch"), 6);
}

#[cfg(unix)]
#[test]
fn a_flipped_byte_in_a_stored_token_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let served = Served::start(dir.path());
    let batch = site.batch(1, vec![]);
    let token = site.seal(&batch);
    receipt_of(&served.submit(&site, &batch, &token), &site, &batch, &token);
    served.kill();
    let database = rusqlite::Connection::open(dir.path().join("data/central.db")).expect("a store");
    database.execute("UPDATE batch SET token = CAST('x' || substr(token, 2) AS BLOB)", []).expect("changed");
    drop(database);
    let out = check(dir.path(), &["check", "--rederive"], 1, "error: 1 faults: nothing was changed");
    assert!(out.contains("batch 1 of site") && out.contains("does not have its hash"), "{out}");
}

#[test]
fn a_damaged_derived_row_costs_its_own_device_and_is_made_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let served = Served::start(dir.path());
    let device = |serial: &str, hour: u32| printer(serial, 10, &format!("2026-11-20T{hour:02}:00:00Z"));
    let first = site.batch(1, vec![device("A1", 6), device("A2", 6)]);
    let token = site.seal(&first);
    receipt_of(&served.submit(&site, &first, &token), &site, &first, &token);
    let whole = derived(dir.path());

    let database = rusqlite::Connection::open(dir.path().join("data/central.db")).expect("a store");
    let flip = |table: &str, column: &str| {
        let sql = format!(
            "UPDATE {table} SET {column} = CAST(substr({column}, 1, 20) || 'x' || substr({column}, 22) AS BLOB)
             WHERE rowid = (SELECT min(rowid) FROM {table})"
        );
        assert_eq!(database.execute(&sql, []).expect("changed"), 1);
    };
    for (table, column) in [("device", "summary"), ("device", "detail"), ("reading", "detail"), ("note", "detail")] {
        flip(table, column);
    }
    for (what, lines) in [("devices", 2), ("readings", 2)] {
        let out = check(dir.path(), &["export", what], 3, "1 rows are left out, for what is stored of them is damaged");
        assert_eq!(out.lines().count(), lines, "{out}");
    }
    let out =
        check(dir.path(), &["check"], 1, "4 faults in what is derived from the tokens: `check --rederive` makes it");
    assert!(out.contains("its sealed `summary` does not open") && out.contains("reading "), "{out}");
    let page = logged_in(&served, "/");
    assert!(page.contains("1 device cannot be shown") && page.contains("check --rederive"), "{page}");
    assert_eq!(page.matches("href=\"/devices/").count(), 1);
    assert!(logged_in(&served, "/sites").contains("North"));

    // The next batch with both devices is taken all the same.
    let second = site.batch(2, vec![device("A1", 9), device("A2", 9)]);
    let token = site.seal(&second);
    receipt_of(&served.submit(&site, &second, &token), &site, &second, &token);
    let out = check(dir.path(), &["check", "--rederive"], 0, "");
    assert!(out.contains("2 batches derived again: 2 devices, 4 readings"), "{out}");
    check(dir.path(), &["check"], 0, "");
    assert_eq!(check(dir.path(), &["export", "devices", "--format", "json"], 0, "").lines().count(), 4);
    assert_ne!(derived(dir.path()), whole);

    // A name is not derived: only a backup has it.
    flip("site", "name");
    let out = check(dir.path(), &["check", "--rederive"], 1, "restore the data directory from a backup");
    assert!(out.contains("its sealed `name` does not open"), "{out}");
    assert!(logged_in(&served, "/sites").contains(site.epoch.kid().site().as_str()));
    served.kill();
}
