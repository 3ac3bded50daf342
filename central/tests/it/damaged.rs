//! A database that a crash has torn, or a disk has changed.

use std::fs;
use std::path::Path;

use meterpost_central::accept::{Named, accept};
use meterpost_central::store::ReadingsFrom;
use meterpost_central::{Store, accept::digest, clock, open_store};

use super::bed::{Site, add_site, block_on, config_in, counted, printer};

/// Batches that are stored, one reading each, with totals of 1,000 and up.
const BATCHES: u64 = 30;

/// A linear congruential generator: the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// A store in this directory with all batches in it, open.
fn filled(dir: &Path) -> (Store, Site) {
    let config = config_in(dir);
    let site = Site::enrolled(&add_site(&config, "North", Default::default()));
    let store = block_on(async {
        let store = open_store(&config).await.expect("a store");
        for sequence in 1..=BATCHES {
            let batch = site.batch(sequence, vec![printer("A1", 1_000 + sequence, &read_at(sequence))]);
            let named = Named { site: batch.site.clone(), batch_id: batch.id.clone(), sequence };
            let keys = store.site(batch.site.clone(), clock::now()).await.expect("read").expect("a site");
            accept(&store, &keys, named, site.seal(&batch), clock::now()).await.expect("accepted");
        }
        store
    });
    (store, site)
}

fn read_at(sequence: u64) -> String {
    format!("2026-11-{sequence:02}T06:00:00Z")
}

/// A second directory with the same configuration and key, for a copy of the database.
fn beside(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    for name in ["central.toml", "machine.key"] {
        fs::copy(dir.join(name), copy.path().join(name)).expect("copied");
    }
    fs::create_dir(copy.path().join("data")).expect("made");
    copy
}

#[test]
fn a_torn_log_leaves_a_clean_beginning_of_what_was_stored_and_the_rest_is_taken_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, site) = filled(dir.path());
    let read = |name: &str| fs::read(dir.path().join("data").join(name)).expect("read");
    // Open, so that the log has not gone into the database.
    let (database, wal) = (read("central.db"), read("central.db-wal"));
    assert!(wal.len() > 100_000, "{}", wal.len());
    drop(store);
    let (mut dice, mut shorter) = (Dice(7), 0);
    for trial in 0..60 {
        let copy = beside(dir.path());
        let place = |name: &str| copy.path().join("data").join(name);
        let mut torn = wal[..dice.below(wal.len())].to_vec();
        if trial % 3 == 0 {
            torn.extend((0..dice.below(9_000)).map(|_| dice.0 as u8).collect::<Vec<_>>());
        }
        fs::write(place("central.db"), &database).expect("written");
        fs::write(place("central.db-wal"), torn).expect("written");
        let config = config_in(copy.path());
        let Ok(store) = block_on(open_store(&config)) else {
            panic!("trial {trial}: a torn log is no damage");
        };
        let checked = block_on(store.check(digest)).expect("checked");
        assert_eq!((checked.faults, checked.mendable), (vec![], vec![]), "trial {trial}");
        let stored = counted(&config, "SELECT count(*) FROM batch");
        assert_eq!(stored, counted(&config, "SELECT coalesce(max(sequence), 0) FROM batch"), "trial {trial}");
        assert_eq!(stored, counted(&config, "SELECT count(*) FROM reading"), "trial {trial}");
        shorter += usize::from(stored < BATCHES as i64);
        // Where the log held the site too, its batches are refused until a backup is restored; else they are taken again.
        if trial % 10 == 0 && counted(&config, "SELECT count(*) FROM site") == 1 {
            block_on(async {
                let id = site.epoch.kid().site().to_string();
                let keys = store.site(id, clock::now()).await.expect("read").expect("a site");
                for sequence in 1..=BATCHES {
                    let batch = site.batch(sequence, vec![printer("A1", 1_000 + sequence, &read_at(sequence))]);
                    let named = Named { site: batch.site.clone(), batch_id: batch.id.clone(), sequence };
                    accept(&store, &keys, named, site.seal(&batch), clock::now()).await.expect("accepted");
                }
            });
            assert_eq!(counted(&config, "SELECT count(*) FROM reading"), BATCHES as i64, "trial {trial}");
        }
    }
    assert!(shorter > 20, "{shorter}");
}

#[test]
fn flipped_bytes_end_in_an_error_or_a_finding_and_never_in_another_number() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(filled(dir.path()));
    let copy = beside(dir.path());
    let whole = fs::read(dir.path().join("data/central.db")).expect("read");
    assert!(!dir.path().join("data/central.db-wal").exists(), "it went into the database when the store was closed");
    let place = copy.path().join("data/central.db");
    let (mut dice, mut found, mut unopened) = (Dice(11), 0, 0);
    for trial in 0..150 {
        let mut bytes = whole.clone();
        for _ in 0..=dice.below(3) {
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
        }
        for name in ["central.db-wal", "central.db-shm"] {
            let _ = fs::remove_file(copy.path().join("data").join(name));
        }
        fs::write(&place, &bytes).expect("written");
        let Ok(store) = block_on(open_store(&config_in(copy.path()))) else {
            unopened += 1;
            continue;
        };
        block_on(async {
            let checked = store.check(digest).await;
            found += usize::from(checked.is_err_and(|_| true));
            if let Ok(checked) = store.check(digest).await {
                found += usize::from(!checked.faults.is_empty() || !checked.mendable.is_empty());
            }
            let _ = store.sites().await;
            for row in store.readings(ReadingsFrom::default()).await.map(|page| page.rows).unwrap_or_default() {
                let total = row.counters.get("system.impressions").map(|count| count.value);
                let sealed = total.expect("it was sealed whole");
                assert!((1_001..=1_000 + BATCHES).contains(&sealed), "trial {trial}: {sealed}");
            }
            if let Ok(fleet) = store.fleet().await {
                let totals: Vec<_> = fleet.rows.iter().filter_map(|row| row.summary.total).collect();
                assert!(totals.iter().all(|total| *total == 1_000 + BATCHES), "trial {trial}: {totals:?}");
            }
        });
    }
    assert!(found > 50, "{found} of 150 found, {unopened} not opened");
}
