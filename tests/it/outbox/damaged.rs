//! A store that the disk has changed: it is moved aside whole, and what can be read goes on.

use std::fs;
use std::path::Path;

use meterpost::deliver::Hurry;
use meterpost::site::{Site, SiteError};
use meterpost::store::{FILE, Half, RunLock, Store, StoreError};
use meterpost_wire::batch::VoidReason;

use crate::site::*;

fn page(bytes: &mut [u8], number: usize) {
    bytes[number * 4_096..][..4_096].fill(0xa5);
}

/// The directory that keeps the damaged file.
fn aside(data: &Path) -> std::path::PathBuf {
    let mut entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("damaged-")).unwrap()
}

/// A site with `batches`, whose file is damaged so; what was saved of the batches.
#[track_caller]
fn check(what: &str, batches: u32, damage: impl Fn(&mut Vec<u8>)) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    for n in 0..batches {
        seal_one(&site, n, at(i64::from(n)));
    }
    drop(site);
    let data = dir.path().join("data");
    let file = data.join(FILE);
    let mut bytes = fs::read(&file).unwrap();
    damage(&mut bytes);
    fs::write(&file, &bytes).unwrap();

    // while another run has it open nothing is touched
    let lock = RunLock::take(&data, Half::Gathering).unwrap();
    let refused = Site::open(&paths(dir.path())).unwrap_err();
    assert!(matches!(refused, SiteError::Store(StoreError::Damaged(_))), "{what}: {refused:?}");
    assert_eq!(refused.exit_code(), 1, "{what}");
    assert!(fs::read(&file).unwrap() == bytes, "{what}: it was written to");
    drop(lock);

    let saved = Site::open(&paths(dir.path())).unwrap().items().unwrap().len();
    assert!(fs::read(aside(&data).join(FILE)).unwrap() == bytes, "{what}: a person can still look at it");
    // where the keys are gone the token brings them back, and changes nothing else
    let (site, _) = Site::enroll(&paths(dir.path()), &enrolment(epoch(1)).to_token(), at(999)).unwrap();
    assert_eq!(site.events(at(0), 9).unwrap()[0].code, "store-damaged", "{what}");
    site.check(at(1_000)).unwrap();
    let next = seal_one(&site, batches, meterpost::clock::now());
    assert!(next > 1_000, "{what}: {next} may have been used");
    let batch = inside(&site, next).batch;
    let chain = batch.chain.unwrap();
    let lost = chain.voids.iter().find(|void| void.reason == VoidReason::Lost).unwrap();
    assert_eq!(lost.to, next - 1, "{what}");
    assert_eq!(batch.previous.is_some(), saved > 0, "{what}");
    assert!(batch.health.unwrap().errors.iter().any(|error| error.code == "store-damaged"), "{what}");
    deliver(&site, &Scripted::new(honest), Hurry::AtOnce, at(2_000));
    assert_eq!(site.tally().unwrap().waiting, 0, "{what}");
    saved
}

#[test]
fn a_damaged_store_is_moved_aside_and_what_can_be_read_goes_on() {
    assert_eq!(check("the head", 5, |bytes| bytes[..100].fill(b'x')), 0);
    assert_eq!(check("the list of tables", 5, |bytes| bytes[100..4_096].fill(0xa5)), 0);
    check("another file", 5, |bytes| *bytes = b"not a database, and long enough to be taken for one".repeat(200));
    check("a page at the front", 5, |bytes| page(bytes, 2));
}

#[test]
fn one_bad_page_among_many_costs_few_batches() {
    let mut most = 0;
    for tenth in [5, 7, 8, 9] {
        let saved = check("a page", 60, |bytes| {
            let number = bytes.len() / 4_096 * tenth / 10;
            page(bytes, number);
        });
        most = saved.max(most);
    }
    assert!(most >= 30, "only {most} of 60 were saved at best");
}

#[test]
fn a_whole_store_is_never_moved() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    seal_one(&site, 1, at(0));
    drop(site);
    for _ in 0..2 {
        assert_eq!(Site::open(&paths(dir.path())).unwrap().items().unwrap().len(), 1);
    }
    let names: Vec<_> =
        fs::read_dir(dir.path().join("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with("damaged")), "{names:?}");
    assert_eq!(fs::read(dir.path().join("data/queue.seq")).unwrap(), b"meterpost-seq 00000000000000001\n");
}

#[test]
fn a_large_store_is_checked_when_a_run_starts_and_for_a_look_after_any_sign_of_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.write(|tx| tx.set_fact("large", &"x".repeat(17 << 20))).unwrap();
    drop(store);
    let file = dir.path().join(FILE);
    let whole = fs::read(&file).unwrap();
    let mut bytes = whole.clone();
    // where the table begins that is read below
    page(&mut bytes, 2);
    fs::write(&file, bytes).unwrap();
    let store = Store::open_for_a_look(dir.path()).unwrap();
    let damaged = |opened: Result<Store, StoreError>| matches!(opened, Err(StoreError::Damaged(_)));
    assert!(damaged(Store::open(dir.path())));
    // whoever meets the damage has it looked for
    let met = store.read(|tx| tx.fact("large"));
    assert!(matches!(met, Err(StoreError::Damaged(_))), "{:?}", met.map(|_| ()));
    drop(store);
    assert!(damaged(Store::open_for_a_look(dir.path())));
    // once it was found whole, a look is quick again
    fs::write(&file, &whole).unwrap();
    drop(Store::open_for_a_look(dir.path()).unwrap());
    assert!(!dir.path().join("store.doubt").exists());
}
