//! What the outbox promises, with a real file: crash, damage, a full disk, two processes, and the order of numbers.

mod cap;
mod damaged;
#[cfg(target_os = "linux")]
pub mod full_disk;
mod model;
mod person;
mod shown;
mod twins;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use meterpost::deliver::{Hurry, SendError, Sent};
use meterpost::outbox::State;
use meterpost::site::{Site, SiteError};
use meterpost::store::{FILE, Half, Store, StoreError};
use meterpost_wire::batch::{Void, VoidReason};
use meterpost_wire::reading::{Alert, AlertScope, Alerts, Basis, Outcome};

use crate::site::*;

/// The directory that a child works in; unset in the test run itself.
const CHILD: &str = "METERPOST_TEST_OUTBOX_CHILD";

/// Seals and acknowledges as fast as it can, and says on stdout what has been committed. As a child it goes on until it
/// is killed; otherwise it does thirty rounds and proves that the story it tells is true.
#[test]
fn sealing_and_acknowledging_in_turn_tells_the_truth() {
    let child = std::env::var_os(CHILD);
    let say = |line: &str| {
        if child.is_some() {
            // straight to the descriptor: the test harness catches `println!`
            let _ = writeln!(std::io::stdout(), "child: {line}");
        }
    };
    let own = tempfile::tempdir().unwrap();
    let site = match &child {
        Some(dir) => Site::open(&paths(Path::new(dir))).unwrap(),
        None => enrolled(own.path()),
    };
    let rounds = if child.is_some() { u32::MAX } else { 30 };
    for round in 0..rounds {
        let now = at(i64::from(round));
        let sequence = seal_one(&site, round, now);
        let sha256 = site.items().unwrap().pop().unwrap().sha256;
        say(&format!("queued {sequence} {sha256}"));
        if round % 3 == 2 {
            let channel = Scripted::new(honest);
            deliver(&site, &channel, Hurry::AtOnce, now);
            for sequence in channel.sent.take() {
                say(&format!("delivered {sequence} -"));
            }
        }
    }
    check_chain(&site);
    let tally = site.tally().unwrap();
    assert_eq!((tally.delivered, tally.waiting), (30, 0));
}

fn child(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "outbox::sealing_and_acknowledging_in_turn_tells_the_truth", "--nocapture"]);
    command.env(CHILD, dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Lets a child work until it has said `lines` things and a little more, then kills it; what it said.
fn killed_after(dir: &Path, lines: usize, spins: u64) -> Vec<(String, u64, String)> {
    let mut child = child(dir);
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut heard: Vec<String> = said.by_ref().filter(|line| line.contains("child: ")).take(lines).collect();
    // not a wait for anything: it only moves the blow to another instruction
    for spin in 0..spins {
        std::hint::black_box(spin);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    heard.extend(said.filter(|line| line.contains("child: ")));
    heard.iter().filter_map(|line| parse(line)).collect()
}

fn parse(line: &str) -> Option<(String, u64, String)> {
    let mut words = line.split("child: ").nth(1)?.split(' ');
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?, words.next()?.to_owned()))
}

#[test]
fn killed_at_any_moment_nothing_queued_is_lost_and_no_number_is_used_twice() {
    let dir = tempfile::tempdir().unwrap();
    drop(enrolled(dir.path()));
    let dice = Dice::new(2026);
    let mut promised = BTreeMap::new();
    for round in 0..14 {
        let heard = killed_after(dir.path(), 1 + dice.below(12) as usize, dice.below(400_000));
        let site = Site::open(&paths(dir.path())).unwrap();
        let before = promised.keys().next_back().copied().unwrap_or(0);
        for (what, sequence, sha256) in heard {
            if what == "queued" {
                assert!(sequence > before, "round {round}: number {sequence} was used before");
                assert_eq!(promised.insert(sequence, sha256), None, "round {round}: number {sequence} twice");
            } else {
                let item = site.items().unwrap().into_iter().find(|item| item.sequence == sequence).unwrap();
                assert_eq!(item.state, State::Delivered, "round {round}: receipt of {sequence} was committed");
            }
        }
        let items: BTreeMap<u64, String> =
            site.items().unwrap().into_iter().map(|item| (item.sequence, item.sha256)).collect();
        for (sequence, sha256) in &promised {
            assert_eq!(items.get(sequence), Some(sha256), "round {round}");
        }
        // what was committed and not said any more counts from now on
        promised = items;
        assert_eq!(site.check(at(0)).unwrap(), []);
        check_chain(&site);
    }
    assert!(promised.len() > 14, "the children have worked: {}", promised.len());
}

#[test]
fn two_processes_at_once_share_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    let mut other = child(dir.path());
    let mut said = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok);
    for n in 0..15 {
        // it has sealed one more, and is about to seal the next
        said.find(|line| line.contains("child: queued")).unwrap();
        seal_one(&site, 10_000 + n, at(0));
    }
    other.kill().unwrap();
    other.wait().unwrap();
    check_chain(&site);
    assert!(site.items().unwrap().len() >= 30, "both have sealed");
}

#[test]
fn a_torn_log_gives_a_clean_beginning_of_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    let log = dir.path().join("data").join(format!("{FILE}-wal"));
    let enrolled_len = fs::metadata(&log).unwrap().len();
    for n in 0..20 {
        seal_one(&site, n, at(i64::from(n)));
    }
    let all = site.items().unwrap();
    let wal = fs::read(&log).unwrap();
    let dice = Dice::new(7);
    let mut lengths = Vec::new();
    for trial in 0..40 {
        let torn = tempfile::tempdir().unwrap();
        fs::create_dir_all(torn.path().join("data")).unwrap();
        fs::create_dir_all(torn.path().join("etc")).unwrap();
        for file in ["etc/machine.key", &format!("data/{FILE}")] {
            fs::copy(dir.path().join(file), torn.path().join(file)).unwrap();
        }
        // cut behind the commits that made the tables and took the token
        let keep = (enrolled_len + dice.below(wal.len() as u64 - enrolled_len)) as usize;
        let mut bytes = wal[..keep].to_vec();
        if trial % 3 == 0 {
            bytes.extend((0..dice.below(9_000)).map(|_| dice.below(256) as u8));
        }
        fs::write(torn.path().join("data").join(format!("{FILE}-wal")), bytes).unwrap();
        let site = Site::open(&paths(torn.path())).unwrap();
        let items = site.items().unwrap();
        assert_eq!(items, all[..items.len()], "trial {trial}");
        assert_eq!(site.check(at(0)).unwrap(), []);
        // and it goes on
        assert_eq!(seal_one(&site, 99, at(99)), items.len() as u64 + 1);
        lengths.push(items.len());
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert!(lengths.len() > 5, "it was torn at many places: {lengths:?}");
}

#[test]
fn a_flipped_byte_is_found_and_the_item_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    for n in 0..3 {
        seal_one(&site, n, at(0));
    }
    drop(site);
    person::rot(dir.path(), 2);
    let site = Site::open(&paths(dir.path())).unwrap();
    assert_eq!(site.check(at(1)).unwrap(), [(2, State::Waiting)]);
    let states: Vec<State> = site.items().unwrap().iter().map(|item| item.state).collect();
    assert_eq!(states, [State::Waiting, State::SetAside, State::Waiting]);
    let message = site.show(2).unwrap_err().to_string();
    assert_eq!(message, "the bytes of item 2 fail their hash: the disk has changed them");
    assert_eq!(site.items().unwrap()[1].last_error.as_ref(), Some(&message));
    seal_one(&site, 3, at(2));
    let voids = inside(&site, 4).batch.chain.unwrap().voids;
    assert_eq!(voids, [Void { from: 2, to: 2, reason: VoidReason::SetAside }]);
}

#[test]
fn a_full_disk_costs_the_new_batch_and_nothing_that_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    drop(enrolled(dir.path()));
    let places = paths(dir.path());
    let limited = |pages| {
        let store = Store::open_limited(&places.data_dir, Some(pages)).unwrap();
        Site::with_store(store, &places.key_file).unwrap()
    };
    let site = limited(60);
    let mut queued = 0;
    let refused = loop {
        let mut sealer = site.sealer(terms(at(queued))).unwrap();
        sealer.push(gathered(printer(queued as u32, at(queued))), at(queued)).unwrap();
        match sealer.finish(&end(at(queued), 1), at(queued)) {
            Ok(_) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < 1_000, "60 pages are never full");
    };
    assert!(matches!(refused, SiteError::Store(StoreError::Full)), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "no room to write to `meterpost.db`: the disk or the file's limit is full; nothing was lost, free some space and run again"
    );
    assert!(queued > 5);
    assert_eq!(site.items().unwrap().len() as i64, queued);
    check_chain(&site);
    drop(site);
    // with room again it goes on where it was
    let site = limited(4_000);
    assert_eq!(seal_one(&site, 7, at(7_777)) as i64, queued + 1);
    check_chain(&site);
}

#[test]
fn a_second_run_is_told_that_another_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    let _held = site.lock(Half::Gathering).unwrap();
    let refused = Site::open(&paths(dir.path())).unwrap().lock(Half::Gathering).unwrap_err();
    assert_eq!(refused.exit_code(), 4);
    assert!(refused.to_string().starts_with("another run holds `"), "{refused}");
}

#[test]
fn the_files_tell_nothing_of_the_devices() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    for n in 0..40 {
        seal_one(&site, n, at(i64::from(n)));
    }
    assert!(site.known_at(&address(3), 16_161).unwrap().is_some());
    let mut looked = 0;
    for entry in fs::read_dir(dir.path().join("data")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        looked += bytes.len();
        for planted in
            ["SERIAL", "prt-keller", "127.77.", "floor-two", "Konica", "sn:acme", "Hauptstrasse", "127.0.0.1:9"]
        {
            let found = bytes.windows(planted.len()).any(|window| window.eq_ignore_ascii_case(planted.as_bytes()));
            assert!(!found, "`{planted}` stands in a file of the data directory");
        }
    }
    assert!(looked > 100_000, "the log was looked at too");
}

#[test]
fn a_missing_or_wrong_machine_key_is_refused_and_enrolling_again_saves_the_outbox() {
    let dir = tempfile::tempdir().unwrap();
    let places = paths(dir.path());
    let site = enrolled(dir.path());
    seal_one(&site, 1, at(1));
    drop(site);
    let key = fs::read(&places.key_file).unwrap();

    fs::remove_file(&places.key_file).unwrap();
    let missing = Site::open(&places).unwrap_err();
    assert_eq!(missing.exit_code(), 2);
    let named = places.key_file.display();
    assert_eq!(
        missing.to_string(),
        format!(
            "the machine key `{named}` is missing, and the data directory holds rows sealed under it; put it back, or run \
             `meterpost enroll` with the site's token again (the outbox goes on, devices are learned anew)"
        )
    );

    let mut other = key.clone();
    other[0] ^= 1;
    fs::write(&places.key_file, &other).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&places.key_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let wrong = Site::open(&places).unwrap_err().to_string();
    assert!(
        wrong.starts_with(&format!("the machine key `{named}` is not the one that the data directory is sealed under")),
        "{wrong}"
    );

    fs::remove_file(&places.key_file).unwrap();
    let site = enrolled(dir.path());
    assert_eq!(site.known_at(&address(1), 16_161).unwrap(), None, "devices are learned again");
    assert_eq!(seal_one(&site, 1, at(2)), 2);
    check_chain(&site);
}

#[test]
fn another_sites_token_and_an_older_epoch_are_refused_and_the_same_site_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let places = paths(dir.path());
    let site = enrolled(dir.path());
    seal_one(&site, 1, at(1));
    drop(site);
    let enroll = |enrolment: &meterpost_wire::enrolment::Enrolment| Site::enroll(&places, &enrolment.to_token(), at(5));

    let (site, taken) = enroll(&enrolment(epoch(3))).unwrap();
    assert!(taken.again);
    assert_eq!(seal_one(&site, 1, at(6)), 2);
    assert_eq!(inside(&site, 2).batch.previous, Some(site.items().unwrap()[0].sha256.clone()), "over epochs too");
    assert_eq!(inside(&site, 1).batch.sequence, 1, "the older epoch still opens");
    drop(site);

    let older = enroll(&enrolment(epoch(2))).unwrap_err();
    assert_eq!(
        (older.exit_code(), older.to_string().as_str()),
        (2, "the token is of epoch 2 and this site is at epoch 3; ask the central for a new token")
    );

    let stranger = meterpost_wire::keys::Kid::parse("0b5c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10.1").unwrap();
    let stranger = meterpost_wire::keys::Epoch::new(stranger, meterpost_wire::keys::Enc::A128CbcHs256, [1; 32]);
    let refused = enroll(&enrolment(stranger)).unwrap_err();
    assert_eq!(refused.exit_code(), 2);
    assert_eq!(
        refused.to_string(),
        format!(
            "this data directory belongs to site {SITE} and the token is for site 0b5c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10; \
             give the other site a `--data-dir` of its own"
        )
    );

    let later = meterpost_wire::enrolment::Enrolment { sequence: Some(1_001), ..enrolment(epoch(3)) };
    let (site, taken) = enroll(&later).unwrap();
    assert_eq!(taken.next_sequence, 1_001);
    assert_eq!(seal_one(&site, 1, at(7)), 1_001);
    let batch = inside(&site, 1_001).batch;
    assert_eq!(batch.chain.unwrap().voids, [Void { from: 3, to: 1_000, reason: VoidReason::Lost }]);
    assert_eq!(batch.previous, Some(site.items().unwrap()[1].sha256.clone()));
}

#[test]
fn what_is_not_enrolled_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::open(&paths(dir.path())).unwrap();
    let refused = site.sealer(terms(at(0))).unwrap_err();
    assert_eq!(refused.exit_code(), 2);
    assert!(!paths(dir.path()).key_file.exists(), "a key is made at first need, not before");
    let bad = Site::enroll(&paths(dir.path()), "mp1.nonsense", at(0)).unwrap_err();
    assert_eq!(bad.exit_code(), 2);
}

#[test]
fn preview_prints_what_is_sealed_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    seal_one(&site, 1, at(0));
    let readings = || (0..3).map(|n| gathered(printer(n, at(5)))).collect::<Vec<_>>();
    let shown = site.preview(terms(at(4)), readings(), &end(at(6), 3), at(7)).unwrap();
    assert_eq!(site.items().unwrap().len(), 1);

    let mut sealer = site.sealer(terms(at(4))).unwrap();
    readings().into_iter().for_each(|one| sealer.push(one, at(7)).unwrap());
    sealer.finish(&end(at(6), 3), at(7)).unwrap();
    let sealed = String::from_utf8(site.show(2).unwrap().xml).unwrap();
    assert_eq!(without_id(&shown[0]), without_id(&sealed), "but for the id and the free room they are the same bytes");
    assert_ne!(shown[0], sealed);
}

fn without_id(xml: &str) -> String {
    let (before, rest) = xml.split_once(" id=\"").unwrap();
    let (health, after) = rest[36..].split_once("<DiskFreeBytes>").unwrap();
    format!("{before}{health}{}", after.split_once("</DiskFreeBytes>").unwrap().1)
}

#[test]
fn a_fleet_is_cut_into_parts_of_which_the_last_says_how_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    let mut sealer = site.sealer(terms(at(0))).unwrap();
    for n in 0..700 {
        let mut reading = printer(n, at(1));
        // incompressible text, so that tokens grow too long before the XML does
        let noise = Dice::new(u64::from(n) + 1);
        let hex: String = (0..400).map(|_| char::from_digit(noise.below(36) as u32, 36).unwrap()).collect();
        reading.identity.as_mut().unwrap().device_id = Some(hex);
        sealer.push(gathered(reading), at(2)).unwrap();
    }
    let summary = sealer.finish(&end(at(3), 700), at(3)).unwrap();
    assert_eq!(summary.devices, 700);
    check_chain(&site);
    let items = site.items().unwrap();
    assert!(items.len() > 2 && items.iter().all(|item| item.size_bytes <= 60_000), "{} items", items.len());
    assert_eq!(items.iter().map(|item| item.devices).sum::<u32>(), 700);
    for (at, item) in items.iter().enumerate() {
        let sweep = inside(&site, item.sequence).batch.sweep.unwrap();
        assert_eq!(sweep.part, Some(at as u32 + 1));
        let last = at + 1 == items.len();
        assert_eq!(sweep.parts.is_some(), last);
        assert_eq!(sweep.printers, last.then_some(700));
    }
}

#[test]
fn one_device_that_is_too_big_alone_loses_parts_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    let mut reading = printer(1, at(0));
    let wide = |n: u32| Alert { index: Some(n), description: Some("ä".repeat(250)), ..Alert::default() };
    reading.alerts = Some(Alerts { scope: AlertScope::All, rows: (0..600).map(wide).collect() });
    let mut sealer = site.sealer(terms(at(0))).unwrap();
    sealer.push(gathered(reading), at(0)).unwrap();
    sealer.finish(&end(at(0), 1), at(0)).unwrap();
    let device = inside(&site, 1).batch.devices.remove(0);
    assert!((300..600).contains(&device.alerts.unwrap().rows.len()));
    assert_eq!(device.counters.unwrap().len(), 1, "what is billed stays");
    let gap = &device.gaps[0];
    assert_eq!((gap.field.as_str(), gap.reason.as_str(), gap.detail.as_deref()), ("alerts", "policy", Some("limit")));
}

#[test]
fn a_counter_that_goes_back_is_suspect_and_an_alert_that_went_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    let with = |alerts: &[u32], impressions: u64, now| {
        let mut reading = printer(1, now);
        let row = |&n: &u32| Alert { index: Some(n), description: Some(format!("alert {n}")), ..Alert::default() };
        reading.alerts = Some(Alerts { scope: AlertScope::All, rows: alerts.iter().map(row).collect() });
        reading.counters.as_mut().unwrap().values_mut().for_each(|count| count.value = impressions);
        let mut sealer = site.sealer(terms(now)).unwrap();
        sealer.push(gathered(reading), now).unwrap();
        let sequence = sealer.finish(&end(now, 1), now).unwrap().sequences[0];
        inside(&site, sequence).batch.devices.remove(0)
    };
    with(&[1, 2], 5_000, at(0));
    let second = with(&[2], 4_999, at(100));
    let count = second.counters.unwrap().into_values().next().unwrap();
    assert_eq!((count.basis, count.detail.as_deref()), (Basis::Suspect, Some("was 5000 at the read before")));
    let rows = second.alerts.unwrap().rows;
    let cleared: Vec<_> = rows.iter().map(|alert| (alert.index, alert.clear_time)).collect();
    assert_eq!(cleared, [(Some(2), None), (Some(1), Some(at(100)))]);
    let third = with(&[2], 5_001, at(200));
    assert_eq!(third.alerts.unwrap().rows.len(), 1, "told once");
}

#[test]
fn two_addresses_of_one_device_are_one_and_one_serial_on_two_devices_is_two() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    let one = |n: u32, mac: &str| {
        let mut reading = printer(1, at(0));
        let network = reading.network.as_mut().unwrap();
        (network.addresses, network.physical_addresses) = (vec![address(n)], vec![mac.to_owned()]);
        gathered(reading)
    };
    let mut sealer = site.sealer(terms(at(0))).unwrap();
    for (n, mac) in [(1, "02:00:00:00:00:01"), (2, "02:00:00:00:00:01"), (3, "02:00:00:00:00:03")] {
        sealer.push(one(n, mac), at(0)).unwrap();
    }
    sealer.finish(&end(at(0), 3), at(0)).unwrap();
    let shown = |sequence| {
        let devices = inside(&site, sequence).batch.devices;
        devices.iter().map(|d| (d.key.clone(), d.network.as_ref().unwrap().addresses.len())).collect::<Vec<_>>()
    };
    let (first, other) = ("mac:02:00:00:00:00:01".to_owned(), "mac:02:00:00:00:00:03".to_owned());
    assert_eq!(shown(1), [(first, 2), (other.clone(), 1)]);
    // and for ever after, also when only one of them answers
    let mut sealer = site.sealer(terms(at(9))).unwrap();
    sealer.push(one(3, "02:00:00:00:00:03"), at(9)).unwrap();
    sealer.finish(&end(at(9), 1), at(9)).unwrap();
    assert_eq!(shown(2), [(other, 1)]);
    assert_eq!(site.known_at(&address(2), 16_161).unwrap().unwrap().key, "mac:02:00:00:00:00:01");
}

#[test]
fn a_device_that_is_silent_keeps_its_memory() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    seal_one(&site, 1, at(0));
    let known = site.known_at(&address(1), 16_161).unwrap().unwrap();
    assert_eq!(site.not_seen_since(at(50)).unwrap(), std::slice::from_ref(&known));
    let mut silent = printer(1, at(60));
    (silent.outcome, silent.identity, silent.network, silent.counters) = (Outcome::Unreachable, None, None, None);
    let mut sealer = site.sealer(terms(at(50))).unwrap();
    sealer.push(meterpost::site::Gathered { reading: silent, reached: None }, at(60)).unwrap();
    sealer.finish(&end(at(60), 0), at(60)).unwrap();
    assert_eq!(site.known_at(&address(1), 16_161).unwrap(), Some(known));
}

#[test]
fn at_the_cap_nothing_is_sealed_and_the_next_batch_says_how_often() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    seal_one(&site, 1, at(0));
    for now in [1, 2] {
        let mut narrow = terms(at(now));
        narrow.queue_bytes_max = 100;
        let mut sealer = site.sealer(narrow).unwrap();
        sealer.push(gathered(printer(1, at(now))), at(now)).unwrap();
        let refused = sealer.finish(&end(at(now), 1), at(now)).unwrap_err();
        assert!(matches!(refused, SiteError::QueueFull { most: 100, .. }), "{refused}");
        assert_eq!(refused.exit_code(), 1);
    }
    seal_one(&site, 1, at(3));
    assert_eq!(inside(&site, 2).batch.health.unwrap().sweeps_not_sealed, Some(2));
    seal_one(&site, 1, at(4));
    assert_eq!(inside(&site, 3).batch.health.unwrap().sweeps_not_sealed, None);
}

#[test]
fn a_person_retries_and_deletes_and_the_numbers_are_declared() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    for n in 0..3 {
        seal_one(&site, n, at(0));
    }
    site.delete(2, at(1)).unwrap();
    seal_one(&site, 3, at(2));
    let batch = inside(&site, 4).batch;
    let chain = batch.chain.unwrap();
    assert_eq!(chain.voids, [Void { from: 2, to: 2, reason: VoidReason::Deleted }]);
    let linked: Vec<u64> = chain.links.iter().map(|link| link.sequence).collect();
    assert_eq!(linked, [2, 1], "the chain outlives the token");
    assert_eq!(site.retry(9, at(3)).unwrap_err().to_string(), "the outbox has no item 9");
    // 31 days later it is not repeated any more
    seal_one(&site, 4, at(31 * 86_400));
    assert_eq!(inside(&site, 5).batch.chain.unwrap().voids, []);
}

#[test]
fn delivered_items_go_after_fourteen_days_and_waiting_ones_never() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = enrolled(dir.path());
    for n in 0..2 {
        seal_one(&site, n, at(0));
    }
    let only_first = |item: &meterpost::deliver::Outgoing| -> Result<Sent, SendError> {
        if item.sequence == 1 { honest(item) } else { Err(SendError::Unsure("cut".into())) }
    };
    deliver(&site, &Scripted::new(only_first), Hurry::AtOnce, at(10));
    assert_eq!(site.expire(at(10 + 14 * 86_400 - 1)).unwrap(), 0);
    assert_eq!(site.expire(at(10 + 14 * 86_400)).unwrap(), 1);
    assert_eq!(site.expire(at(900 * 86_400)).unwrap(), 0);
    let left: Vec<(u64, State)> = site.items().unwrap().iter().map(|item| (item.sequence, item.state)).collect();
    assert_eq!(left, [(2, State::Waiting)]);
}
