//! A queue that fills: fewer sweeps are sealed, and the next batch says how many were not. And what a person does with it.

use jiff::tz::TimeZone;
use meterpost::deliver::Hurry;
use meterpost::deliver::file::Folder;
use meterpost::outbox::State;
use meterpost_wire::batch::{Void, VoidReason};
use meterpost_wire::resend;

use crate::cli::said;
use crate::site::*;

/// The site's zone has no part in this.
fn zoned(seconds: i64) -> jiff::Zoned {
    at(seconds).to_zoned(TimeZone::UTC)
}

const DAY: i64 = 86_400;

#[test]
fn a_nearly_full_queue_takes_one_sweep_a_day_and_says_how_many_it_did_not_take() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    seal_one(&site, 1, at(0));
    let held = site.tally().unwrap().bytes;
    let most = held * 100 / 85;
    assert!(site.admits_sweep(held * 100, &zoned(60)).unwrap(), "there is room");
    for _ in 0..3 {
        assert!(!site.admits_sweep(most, &zoned(120)).unwrap(), "this day has its sweep");
    }
    assert!(site.admits_sweep(most, &zoned(DAY)).unwrap(), "the next day takes one");
    let event = &site.events(at(0), 1).unwrap()[0];
    assert_eq!(
        (event.code.as_str(), event.text.starts_with("the queue is at 8")),
        ("queue-filling", true),
        "{event:?}"
    );
    let health = inside(&site, seal_one(&site, 2, at(DAY))).batch.health.unwrap();
    assert_eq!(health.sweeps_not_sealed, Some(3));
    let health = inside(&site, seal_one(&site, 3, at(2 * DAY))).batch.health.unwrap();
    assert_eq!(health.sweeps_not_sealed, None, "told once");
    // between 95 % and the cap one a week: 2026-11-18 is a Wednesday
    let most = site.tally().unwrap().bytes * 100 / 97;
    assert!(!site.admits_sweep(most, &zoned(4 * DAY)).unwrap());
    assert!(site.admits_sweep(most, &zoned(5 * DAY)).unwrap());
}

#[test]
fn a_re_send_code_brings_back_what_is_here_and_voids_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = enrolled(dir.path());
    let stick = tempfile::tempdir().unwrap();
    for n in 1..=4 {
        seal_one(&site, n, at(i64::from(n) * 10 * DAY));
        let folder = Folder::new(stick.path(), epoch(1).kid().site());
        deliver(&site, &folder, Hurry::AtOnce, at(i64::from(n) * 10 * DAY));
    }
    // the first one's thirty days end
    site.expire(at(41 * DAY)).unwrap();
    drop(site);
    let code = resend::encode(epoch(1).kid().site(), &[(1, 2)]).unwrap();
    let told = said(dir.path(), &["outbox", "resend", &code.to_lowercase()]);
    assert_eq!(told.code, 0, "{told:?}");
    assert_eq!(
        told.out,
        "2 waits to be sent\n1 of 2 are not here any more: the next batch tells the central that they will not come\n"
    );
    let site = meterpost::site::Site::open(&paths(dir.path())).unwrap();
    let states: Vec<(u64, State)> = site.items().unwrap().iter().map(|item| (item.sequence, item.state)).collect();
    assert_eq!(states, [(2, State::Waiting), (3, State::HandedOver), (4, State::HandedOver)]);
    let sequence = seal_one(&site, 5, meterpost::clock::now());
    let voids = inside(&site, sequence).batch.chain.unwrap().voids;
    assert_eq!(voids, [Void { from: 1, to: 1, reason: VoidReason::Expired }]);
    drop(site);
    let other = said(dir.path(), &["outbox", "resend", "C162-SC63"]);
    assert_eq!(other.code, 2);
    assert!(other.err.contains("has a mistake in it, or is meant for another site"), "{other:?}");
}

#[test]
fn export_writes_what_waits_and_a_stock_program_proves_it() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    for n in 1..=3 {
        seal_one(&site, n, at(0));
    }
    let tokens: Vec<String> =
        (1..=3).map(|sequence| site.store().read(|tx| meterpost::outbox::token(tx, sequence)).unwrap()).collect();
    drop(site);
    let stick = dir.path().join("stick");
    let missing = said(dir.path(), &["outbox", "export", stick.to_str().unwrap()]);
    assert_eq!((missing.code, stick.exists()), (2, false), "{missing:?}");
    std::fs::create_dir(&stick).unwrap();
    let told = said(dir.path(), &["outbox", "export", stick.to_str().unwrap()]);
    assert_eq!((told.code, told.out.as_str()), (0, "0 delivered, 3 handed over\n"), "{told:?}");
    for (at, token) in tokens.iter().enumerate() {
        let written = std::fs::read_to_string(stick.join(format!("{SITE}-{}.jwe", at + 1))).unwrap();
        assert_eq!(written, format!("{token}\n"));
    }
    let proven = std::process::Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", &format!("{SITE}.sha256")])
        .current_dir(&stick)
        .status();
    if let Ok(proven) = proven {
        assert!(proven.success());
    }
    let ages = said(dir.path(), &["outbox", "age"]);
    assert!(ages.out.lines().nth(1).unwrap().starts_with("handed_over  file"), "{ages:?}");
    let status = said(dir.path(), &["status"]);
    assert!(status.out.contains("0 waiting, 3 handed over, 0 set aside, 0 delivered"), "{status:?}");
    assert!(status.out.contains("next      batch 4\nchannel   https: ready\n"), "{status:?}");
}
