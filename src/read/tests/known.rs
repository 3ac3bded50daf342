//! Reading a known device again: what changed is noticed, what appears is found, and it stays the same device.

use std::collections::BTreeSet;

use meterpost_wire::counters::CounterKey;
use meterpost_wire::reading::{GapReason, Outcome};

use super::{Faulty, KYOCERA, NOW, read, read_by, read_faulty, read_from, rows, walk};
use crate::pmd::Library;
use crate::read::{DeviceRead, NotRead};
use crate::snmp::{Oid, Unanswered};

/// The built-in mappings, and `acme/x` for the device of [`walk`].
fn acme(rules: &str) -> Library {
    let pmds = tempfile::tempdir().unwrap();
    std::fs::create_dir(pmds.path().join("acme")).unwrap();
    let head = "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999\"]\n";
    std::fs::write(pmds.path().join("acme/x.toml"), format!("{head}{rules}")).unwrap();
    let library = Library::load(pmds.path()).unwrap();
    assert!(library.faults.is_empty(), "{:?}", library.faults);
    library
}

fn total(read: &DeviceRead) -> Option<u64> {
    let total = CounterKey::parse("system.impressions").unwrap();
    read.reading.counters.iter().flatten().find(|(key, _)| **key == total).map(|(_, count)| count.value)
}

#[test]
fn a_row_more_between_the_rows_of_a_sum_is_noticed() {
    let library = acme("[counters]\nsystem.impressions = { column = \"1.3.6.1.4.1.99999.5\", take = \"sum\" }\n");
    let table = |rows: &[u32]| -> String {
        let rows = rows.iter().map(|row| format!("1.3.6.1.4.1.99999.5.{row}|65|{row}\n"));
        walk("S1", &[(1, 50)], &[]) + &rows.collect::<String>()
    };
    for (before, now, sum) in [
        (&[3, 5, 9][..], &[3, 5, 7, 9][..], 24),
        (&[3, 5, 9], &[2, 3, 5, 9], 19),
        (&[1, 2, 3], &[1, 2, 3, 4], 10),
        (&[], &[4], 4),
    ] {
        let learned = read_by(&library, &table(before), None, NOW).0.unwrap().learned;
        let same = read_by(&library, &table(before), Some(&learned), NOW).0.unwrap();
        assert!(!same.full);
        let grown = read_by(&library, &table(now), Some(&learned), NOW).0.unwrap();
        assert_eq!((grown.full, total(&grown)), (true, Some(sum)), "{now:?}");
    }
}

#[test]
fn alerts_of_a_device_that_never_tells_their_severity_are_found_again() {
    let nameless = |alerts: &[u32]| -> String {
        let text = walk("S1", &[(1, 50)], alerts);
        text.lines().filter(|line| !line.contains(".43.18.1.1.2.")).map(|line| format!("{line}\n")).collect()
    };
    let first = read(&nameless(&[3, 9]), None, NOW).0.unwrap();
    assert_eq!(rows(&first).1, [3, 9]);
    let mut learned = first.learned;
    for alerts in [&[3, 9][..], &[3, 5, 9, 12], &[], &[8]] {
        let again = read(&nameless(alerts), Some(&learned), NOW).0.unwrap();
        assert_eq!((again.full, rows(&again).1), (false, alerts.to_vec()));
        learned = again.learned;
    }
}

#[test]
fn a_device_whose_serial_number_alone_gets_no_answer_is_the_same_device_without_one() {
    let library = Library::builtin();
    let serial = "1.3.6.1.4.1.1347.43.5.1.1.28.1";
    let whole = read_faulty(&library, KYOCERA.0, u64::MAX, &[], None).unwrap();
    assert!(whole.reading.key.starts_with("sn:kyocera:"));
    let mut learned = whole.learned.clone();
    // also when it stays so
    for n in 0..4 {
        let lossy = read_faulty(&library, KYOCERA.0, u64::MAX, &[serial], Some(&learned)).unwrap();
        assert_eq!(lossy.reading.key, whole.reading.key);
        assert_eq!(lossy.reading.identity.unwrap().serial_number, None);
        let gap = lossy.reading.gaps.iter().find(|gap| gap.field == "identity.serial_number").unwrap();
        assert_eq!((gap.reason, lossy.reading.outcome), (GapReason::NoAnswer, Outcome::Partial));
        learned = lossy.learned;
        if n == 0 {
            let next = read_faulty(&library, KYOCERA.0, u64::MAX, &[], Some(&learned)).unwrap();
            assert_eq!(next.reading, whole.reading);
        }
    }
    // another device at this address has another MAC, and one that shows no MAC may be anybody
    let other = KYOCERA.0.replace("|4x|0017c8710c5d", "|4x|0017c8710c5e");
    let swapped = read_faulty(&library, &other, u64::MAX, &[serial], Some(&whole.learned)).unwrap();
    assert_eq!(swapped.reading.key, "mac:00:17:c8:71:0c:5e");
    let anybody: String =
        KYOCERA.0.lines().filter(|line| !line.contains(".2.2.1.6.1|")).map(|l| format!("{l}\n")).collect();
    let nobody = read_faulty(&library, &anybody, u64::MAX, &[serial], Some(&whole.learned));
    assert_eq!(nobody.unwrap_err(), NotRead::Unanswered(Unanswered::Silent));
}

/// Reads a device that has changed again and again, and gives the number of the reading that tells its new total.
#[track_caller]
fn check_appears(rules: &str, before: &str, after: &str, within: usize) {
    let library = acme(rules);
    let (before, after) = (walk("S1", &[(1, 5)], &[]) + before, walk("S1", &[(1, 5)], &[]) + after);
    let first = read_by(&library, &before, None, NOW).0.unwrap();
    assert_eq!(total(&first), None);
    let mut learned = first.learned;
    for n in 1..=within {
        let unchanged = read_by(&library, &before, Some(&learned), NOW).0.unwrap();
        assert!(!unchanged.full, "reading {n} of the unchanged device");
        let seen = read_by(&library, &after, Some(&learned), NOW).0.unwrap();
        if let Some(total) = total(&seen) {
            assert_eq!((total, seen.full), (700, true));
            return;
        }
        learned = unchanged.learned;
    }
    panic!("{rules}: not seen in {within} readings");
}

#[test]
fn a_counter_that_appears_later_is_found_long_before_the_weekly_reading() {
    let total = "1.3.6.1.4.1.99999.7.0";
    let one = format!("[counters]\nsystem.impressions = {{ get = \"{total}\", not = 0 }}\n");
    check_appears(&one, "", &format!("{total}|65|700"), 1);
    check_appears(&one, &format!("{total}|65|0"), &format!("{total}|65|700"), 1);
    let many: String = (20..50).map(|n| format!("vendor.c{n} = {{ get = \"1.3.6.1.4.1.99999.{n}.0\" }}\n")).collect();
    check_appears(&format!("{one}{many}"), "", &format!("{total}|65|700"), 7);
    let row = "[counters]\nsystem.impressions = { column = \"1.3.6.1.4.1.99999.8.2\", \
               where = { column = \"1.3.6.1.4.1.99999.8.1\", is = 10 } }\n";
    // together with what `generic/printer-mib` counts by these are two readings' share
    let rows = "1.3.6.1.4.1.99999.8.1.1|2|4\n1.3.6.1.4.1.99999.8.2.1|65|3\n";
    check_appears(row, rows, &format!("{rows}1.3.6.1.4.1.99999.8.1.2|2|10\n1.3.6.1.4.1.99999.8.2.2|65|700\n"), 2);
    check_appears(row, "", "1.3.6.1.4.1.99999.8.1.2|2|10\n1.3.6.1.4.1.99999.8.2.2|65|700\n", 2);
}

#[test]
fn the_next_reading_asks_only_what_was_answered_and_a_few_of_the_rest_in_turn() {
    let many: String = (20..60).map(|n| format!("vendor.c{n} = {{ get = \"1.3.6.1.4.1.99999.{n}.0\" }}\n")).collect();
    let library = acme(&format!("[counters]\n{many}"));
    let text = format!("{}1.3.6.1.4.1.99999.33.0|65|9\n", walk("S1", &[(1, 5)], &[]));
    let mut agent = Faulty::of(&text);
    let mut learned = read_from(&mut agent, &library, None).unwrap().learned;
    let mut rest = BTreeSet::new();
    for _ in 0..8 {
        agent.gets.clear();
        let again = read_from(&mut agent, &library, Some(&learned)).unwrap();
        assert!(!again.full);
        let absent = |oid: &&Oid| learned.answers.value("", oid).is_none();
        let asked: Vec<Oid> = agent.gets.iter().filter(absent).cloned().collect();
        assert!(asked.len() <= 5, "{asked:?}");
        rest.extend(asked);
        learned = again.learned;
    }
    assert_eq!(rest.len(), 39, "all of them, each in its turn");
}

#[test]
fn weekly_counters_are_asked_from_the_second_full_reading_on_and_never_in_between() {
    let library = acme(
        "[quirks]\nweekly = [\"vendor.coverage\", \"vendor.absent\"]\n[counters]\n\
         vendor.coverage = { get = \"1.3.6.1.4.1.99999.7.0\" }\nvendor.absent = { get = \"1.3.6.1.4.1.99999.8.0\" }\n",
    );
    let text = walk("S1", &[(1, 5)], &[]) + "1.3.6.1.4.1.99999.6.0|65|1\n1.3.6.1.4.1.99999.7.0|65|5200\n";
    let coverage = CounterKey::parse("vendor.coverage").unwrap();
    let told = |read: &DeviceRead| {
        assert!(
            read.reading
                .gaps
                .iter()
                .all(|gap| !["counters.vendor.coverage", "counters.vendor.absent"].contains(&&*gap.field)),
            "{:?}",
            read.reading.gaps
        );
        read.reading.counters.as_ref().and_then(|counters| counters.get(&coverage)).map(|count| count.value)
    };
    let mut agent = Faulty::of(&text);
    let object: Oid = "1.3.6.1.4.1.99999.7.0".parse().unwrap();
    let mut learned = None;
    // a week is over when what was learned is not the last word any more
    for (n, week_is_over, full, value) in
        [(0, false, true, None), (1, false, false, None), (2, true, true, Some(5200)), (3, false, false, None)]
    {
        if let Some(learned) = learned.as_mut().filter(|_| week_is_over) {
            let learned: &mut crate::read::Learned = learned;
            learned.full_at = None;
        }
        agent.gets.clear();
        let read = read_from(&mut agent, &library, learned.as_ref()).unwrap();
        assert_eq!(
            (read.full, told(&read), agent.gets.contains(&object)),
            (full, value, value.is_some()),
            "reading {n}"
        );
        learned = Some(read.learned);
    }
    // of a recording all is asked at once
    assert_eq!(told(&read_by(&library, &text, None, NOW).0.unwrap()), Some(5200));
}
