//! What a person does with the queue, by the real program: sending again, proving, deleting.

use std::fs;
use std::path::Path;

use meterpost::deliver::Hurry;
use meterpost::outbox::State;
use meterpost::site::Site;
use meterpost::store::FILE;
use meterpost_wire::batch::{Void, VoidReason};
use meterpost_wire::resend;

use crate::cli::{Said, said};
use crate::site::*;

/// Changes a bit of an item's token, as a disk does. Nobody may have the store open.
pub fn rot(home: &Path, sequence: u64) {
    let site = Site::open(&paths(home)).unwrap();
    let token = site.store().read(|tx| meterpost::outbox::token(tx, sequence)).unwrap();
    drop(site);
    let file = home.join("data").join(FILE);
    let mut bytes = fs::read(&file).unwrap();
    let middle = &token.as_bytes()[token.len() - 60..token.len() - 20];
    // pages that are free now may have it too
    let found = |(at, window): (usize, &[u8])| (window == middle).then_some(at);
    let found: Vec<usize> = bytes.windows(middle.len()).enumerate().filter_map(found).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| bytes[at] ^= 1);
    fs::write(&file, bytes).unwrap();
}

/// A site with three batches, all delivered.
fn delivered() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let site = enrolled(home.path());
    for n in 0..3 {
        seal_one(&site, n, meterpost::clock::now());
    }
    let report = deliver(&site, &Scripted::new(honest), Hurry::AtOnce, meterpost::clock::now());
    assert_eq!(report.delivered, 3);
    home
}

#[track_caller]
fn check(home: &Path, arguments: &[&str], code: i32, expected: &str) {
    let Said { out, err, code: ended } = said(home, &[&["outbox"], arguments].concat());
    assert_eq!((out.as_str(), err.as_str(), ended), (expected, "", code), "{arguments:?}");
}

fn states(home: &Path) -> Vec<State> {
    Site::open(&paths(home)).unwrap().items().unwrap().iter().map(|item| item.state).collect()
}

/// The voids of the next batch.
fn voids(home: &Path) -> Vec<Void> {
    let site = Site::open(&paths(home)).unwrap();
    let sequence = seal_one(&site, 9, meterpost::clock::now());
    inside(&site, sequence).batch.chain.unwrap().voids
}

#[test]
fn a_rotten_copy_of_what_the_central_has_is_told_as_that_and_changes_nothing() {
    let home = delivered();
    rot(home.path(), 2);
    for _ in 0..2 {
        check(home.path(), &["check"], 0, "3 items checked\n2: its bytes do not open; the central has it\n");
    }
    let site = Site::open(&paths(home.path())).unwrap();
    let item = &site.items().unwrap()[1];
    assert_eq!((item.state, item.attempts, item.last_error.as_deref()), (State::Delivered, 0, None));
    // a waiting one is set aside, once
    seal_one(&site, 3, meterpost::clock::now());
    drop(site);
    rot(home.path(), 4);
    for means in ["set aside", "it was set aside before"] {
        let said = format!(
            "4 items checked\n2: its bytes do not open; the central has it\n4: its bytes do not open; {means}\n"
        );
        check(home.path(), &["check"], 3, &said);
    }
}

#[test]
fn one_rotten_item_keeps_no_other_from_being_sent_again() {
    let home = delivered();
    rot(home.path(), 2);
    let said = "1 waits to be sent\n3 waits to be sent\n2: its bytes do not open; it cannot be sent again\n";
    check(home.path(), &["resend", "1..3"], 3, said);
    assert_eq!(states(home.path()), [State::Waiting, State::Delivered, State::Waiting]);
    let code = resend::encode(epoch(1).kid().site(), &[(1, 3)]).unwrap();
    check(home.path(), &["resend", &code], 3, said);
    let missing = crate::cli::said(home.path(), &["outbox", "retry", "99"]);
    assert!(missing.err.starts_with("error: the outbox has no item 99\n") && missing.code == 1, "{missing:?}");
}

#[test]
fn what_the_central_acknowledged_is_no_void_when_it_is_deleted_while_it_is_sent_again() {
    let home = delivered();
    check(home.path(), &["resend", "1..2"], 0, "1 waits to be sent\n2 waits to be sent\n");
    check(home.path(), &["delete", "1"], 0, "1 deleted; the central has it\n");
    assert_eq!(voids(home.path()), []);
    check(home.path(), &["delete", "4"], 0, "4 deleted; the next batch tells the central that it will not come\n");
    assert_eq!(voids(home.path()), [Void { from: 4, to: 4, reason: VoidReason::Deleted }]);
}

#[test]
fn a_code_for_numbers_that_a_backup_does_not_know_makes_the_site_go_on_behind_them() {
    let home = delivered();
    let code = |ranges: &[(u64, u64)]| resend::encode(epoch(1).kid().site(), ranges).unwrap();
    let said = "the central has seen higher numbers than this store gave, as after a backup: the next one is 1062\n\
                3 of 3 are not here any more: the next batch tells the central that they will not come\n";
    check(home.path(), &["resend", &code(&[(60, 62)])], 0, said);
    assert_eq!(voids(home.path()), [Void { from: 4, to: 1_061, reason: VoidReason::Lost }]);
    assert_eq!(Site::open(&paths(home.path())).unwrap().next_sequence().unwrap(), 1_063);
    // and what is past belief changes nothing
    let far = crate::cli::said(home.path(), &["outbox", "resend", &code(&[(1, 1), (2_000_000, 2_000_000)])]);
    assert!(far.err.starts_with("error: the code names batch 2000000, and the next one here is 1063"), "{far:?}");
    assert_eq!((far.code, states(home.path())[0]), (1, State::Delivered));
}
