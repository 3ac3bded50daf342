//! Reading recorded devices by the generic mapping: rows are found however sparse, and a known device costs little.

use jiff::{SignedDuration, Timestamp};
use meterpost_wire::counters::CounterKey;
use meterpost_wire::reading::{GapReason, Outcome};

use super::{DeviceRead, Learned, NotRead, device};
use crate::pmd::Library;
use crate::snmp::recording::Recording;
use crate::snmp::{Absent, Agent, Limits, Oid, Traffic, Unanswered, VarBind};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A printer with these supply rows, all columns, and these alerts.
fn walk(serial: &str, supplies: &[(u32, i64)], alerts: &[u32]) -> String {
    let mut walk = format!(
        "1.3.6.1.2.1.1.1.0|4|Kyocera X\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1\n1.3.6.1.2.1.1.3.0|67|100\n\
         1.3.6.1.2.1.25.3.2.1.2.1|6|1.3.6.1.2.1.25.3.1.5\n1.3.6.1.2.1.43.5.1.1.17.1|4|{serial}\n"
    );
    for (index, level) in supplies {
        for (column, value) in
            [(5, "2|3".to_owned()), (6, format!("4|Toner {index}")), (8, "2|100".to_owned()), (9, format!("2|{level}"))]
        {
            walk += &format!("1.3.6.1.2.1.43.11.1.1.{column}.1.{index}|{value}\n");
        }
    }
    for index in alerts {
        walk += &format!("1.3.6.1.2.1.43.18.1.1.2.1.{index}|2|4\n1.3.6.1.2.1.43.18.1.1.8.1.{index}|4|Alert {index}\n");
    }
    walk
}

fn read(walk: &str, learned: Option<&Learned>, now: Timestamp) -> (Result<DeviceRead, NotRead>, u64) {
    read_by(&Library::builtin(), walk, learned, now)
}

fn read_by(
    library: &Library,
    walk: &str,
    learned: Option<&Learned>,
    now: Timestamp,
) -> (Result<DeviceRead, NotRead>, u64) {
    let mut agent = Recording::parse(walk).expect("a walk");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let read = runtime.block_on(device(&mut agent, library, learned, "127.0.0.9", now));
    (read, agent.traffic().requests)
}

/// Supply indexes with percentages, and alert indexes.
fn rows(read: &DeviceRead) -> (Vec<(u32, Option<u8>)>, Vec<u32>) {
    let supplies = read.reading.supplies.iter().flatten().map(|supply| (supply.index, supply.percent)).collect();
    let alerts = read.reading.alerts.iter().flat_map(|alerts| &alerts.rows).filter_map(|alert| alert.index).collect();
    (supplies, alerts)
}

#[test]
fn sparse_and_long_tables_are_found_whole() {
    let supplies: Vec<(u32, i64)> = [2, 3, 9, 30, 31, 400].into_iter().chain(1000..1040).map(|n| (n, 7)).collect();
    let (found, _) = read(&walk("S1", &supplies, &[2, 23, 24, 900]), None, NOW);
    let (rows, alerts) = rows(&found.unwrap());
    assert_eq!(rows.len(), supplies.len());
    assert_eq!(alerts, [2, 23, 24, 900]);
}

#[test]
fn a_column_with_more_rows_than_the_first_is_found_when_the_table_has_holes() {
    let mut text = walk("S1", &[(1, 5), (2, 6), (3, 7)], &[]);
    text =
        text.replace("1.3.6.1.2.1.43.11.1.1.6.1.3|4|Toner 3\n", "").replace("1.3.6.1.2.1.43.11.1.1.8.1.1|2|100\n", "");
    let (found, _) = read(&text, None, NOW);
    assert_eq!(rows(&found.unwrap()).0, [(1, None), (2, Some(6)), (3, Some(7))]);
}

#[test]
fn by_getbulk_all_rows_are_found_however_sparse_and_long_and_full_of_holes() {
    let pmds = tempfile::tempdir().unwrap();
    std::fs::create_dir(pmds.path().join("acme")).unwrap();
    let mapping = "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999\"]\n\
                   [quirks]\nbulk = true\n";
    std::fs::write(pmds.path().join("acme/x.toml"), mapping).unwrap();
    let library = Library::load(pmds.path()).unwrap();
    let long: Vec<(u32, i64)> = [2, 3, 9, 30, 31, 400].into_iter().chain(1000..1040).map(|n| (n, 7)).collect();
    let few = walk("S1", &[(1, 5), (2, 6), (3, 7)], &[]);
    for (text, supplies, alerts) in [
        (walk("S1", &long, &[2, 23, 24, 900]), 46, 4),
        (walk("S1", &long[..11], &[1, 2, 3]), 11, 3),
        (few.replace("1.3.6.1.2.1.43.11.1.1.8.1.1|2|100\n", ""), 3, 0),
        (few.replace("1.3.6.1.2.1.43.11.1.1.6.1.2|4|Toner 2\n", ""), 3, 0),
        (few.replace("1.3.6.1.2.1.43.11.1.1.6.1.3|4|Toner 3\n", ""), 3, 0),
    ] {
        let (by_bulk, _) = read_by(&library, &text, None, NOW);
        let by_bulk = by_bulk.unwrap();
        assert_eq!(&*by_bulk.choice.pmd.name, "acme/x");
        let found = rows(&by_bulk);
        assert_eq!((found.0.len(), found.1.len()), (supplies, alerts), "{found:?}");
    }
}

#[test]
fn a_known_device_is_asked_what_can_have_changed_and_says_the_same() {
    let (first, cost) = read(&walk("S1", &[(1, 50), (2, 60)], &[3]), None, NOW);
    let first = first.unwrap();
    let stored = serde_json::to_string(&first.learned).unwrap();
    let learned: Learned = serde_json::from_str(&stored).unwrap();
    assert_eq!(learned, first.learned);
    let (second, again) = read(&walk("S1", &[(1, 49), (2, 60)], &[3, 7]), Some(&learned), NOW);
    let second = second.unwrap();
    assert!(!second.full && again <= 4 && again < cost, "{again} requests after {cost}");
    assert_eq!(rows(&second), (vec![(1, Some(49)), (2, Some(60))], vec![3, 7]));
    let (third, _) = read(&walk("S1", &[(1, 49), (2, 60)], &[]), Some(&second.learned), NOW);
    assert_eq!(rows(&third.unwrap()).1, [0; 0]);
}

#[test]
fn everything_is_read_again_for_another_serial_a_lost_row_a_fuller_supply_and_after_a_week() {
    let learned = read(&walk("S1", &[(1, 50), (2, 60)], &[]), None, NOW).0.unwrap().learned;
    let week = NOW + SignedDuration::from_hours(7 * 24);
    let same = walk("S1", &[(1, 50), (2, 60)], &[]);
    for (text, now) in [
        (walk("S2", &[(1, 50), (2, 60)], &[]), NOW),
        (walk("S1", &[(1, 50)], &[]), NOW),
        (walk("S1", &[(1, 50), (2, 100)], &[]), NOW),
        (same.clone(), week),
    ] {
        assert!(read(&text, Some(&learned), now).0.unwrap().full);
    }
    assert!(!read(&same, Some(&learned), NOW).0.unwrap().full);
}

#[test]
fn what_is_no_printer_is_not_read() {
    let scanner = "1.3.6.1.2.1.1.1.0|4|EPSON Scan Server\n1.3.6.1.2.1.25.3.2.1.2.1|6|1.3.6.1.2.1.25.3.1.1";
    let switch = "1.3.6.1.2.1.1.1.0|4|HP J9775A Switch\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.11.2.3.7.11.160";
    let why = |walk: &str| read(walk, None, NOW).0.map(|_| ()).unwrap_err().to_string();
    assert_eq!(why(scanner), "none of its devices is a printer");
    assert_eq!(why(switch), "nothing in it says printer");
    let mib = "1.3.6.1.2.1.43.11.1.1.9.0.1|2|5\n1.3.6.1.2.1.43.11.1.1.6.0.1|4|Ink";
    assert_eq!(rows(&read(mib, None, NOW).0.unwrap()).0.len(), 1);
}

#[test]
fn a_wrong_line_of_a_recording_is_named() {
    let faults = Recording::parse("1.3.6|2|x\n\n1.3.x|4|a\n1.3.6.1|99|a\nnothing\n1.3.6.2|4x|0g").unwrap_err();
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "line 1: `x` is no INTEGER",
            "line 3: `1.3.x` is not an OID: numbers with dots between them, 128 at most, would be",
            "line 4: type `99`: 2 4 4x 5 6 64 65 66 67 68 70 are known",
            "line 5: not an object: `OID|type|value` would be",
            "line 6: `0g` is not pairs of hex digits",
        ]
    );
}

/// A recorded device that falls silent after so many requests, and loses some objects.
struct Faulty {
    recording: Recording,
    bears: u64,
    lost: Vec<Oid>,
}

impl Faulty {
    fn spend(&self) -> Result<(), Unanswered> {
        if self.recording.traffic().requests >= self.bears { Err(Unanswered::Silent) } else { Ok(()) }
    }
}

impl Agent for Faulty {
    fn limit(&mut self, limits: Limits) {
        self.recording.limit(limits);
    }

    async fn get(&mut self, context: &str, oids: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        let mut answers = Vec::new();
        for piece in oids.chunks(25) {
            match self.spend() {
                Ok(()) => answers.extend(self.recording.get(context, piece).await?),
                Err(silent) if answers.is_empty() => return Err(silent),
                Err(_) => {
                    answers.extend(piece.iter().map(|oid| VarBind { oid: oid.clone(), answer: Err(Absent::NoAnswer) }))
                }
            }
        }
        for found in answers.iter_mut().filter(|found| self.lost.contains(&found.oid)) {
            found.answer = Err(Absent::NoAnswer);
        }
        Ok(answers)
    }

    async fn get_next(&mut self, context: &str, oids: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        self.spend()?;
        self.recording.get_next(context, oids).await
    }

    async fn get_bulk(&mut self, context: &str, oids: &[Oid], rows: u16) -> Result<Vec<VarBind>, Unanswered> {
        self.spend()?;
        self.recording.get_bulk(context, oids, rows).await
    }

    fn traffic(&self) -> Traffic {
        self.recording.traffic()
    }
}

/// Reads a hand-made device that counts by a vendor's objects, faulty as told.
fn read_faulty(bears: u64, lost: &[&str], learned: Option<&Learned>) -> Result<DeviceRead, NotRead> {
    let text = include_str!("../../tests/walks/kyocera-ecosys-p3155dn.snmprec");
    let lost = lost.iter().map(|oid| oid.parse().expect("an OID")).collect();
    let mut agent = Faulty { recording: Recording::parse(text).expect("a walk"), bears, lost };
    let library = Library::builtin();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(device(&mut agent, &library, learned, "127.0.0.9", NOW))
}

#[test]
fn a_reading_cut_short_after_any_request_teaches_nothing_that_the_next_one_builds_on() {
    let whole = read_faulty(u64::MAX, &[], None).unwrap();
    let mut cut = 0;
    for bears in 1..100 {
        let Ok(first) = read_faulty(bears, &[], None) else { continue };
        if first.reading.outcome == Outcome::Complete {
            assert!(cut > 2, "it was cut short {cut} times");
            return;
        }
        cut += 1;
        let second = read_faulty(u64::MAX, &[], Some(&first.learned)).unwrap();
        assert!(second.full, "after {bears} requests");
        assert_eq!(second.reading, whole.reading, "after {bears} requests");
    }
    panic!("it is never read whole");
}

#[test]
fn an_object_lost_in_one_reading_and_there_in_the_next_is_read_again() {
    let whole = read_faulty(u64::MAX, &[], None).unwrap();
    for known in [None, Some(&whole.learned)] {
        let lossy = read_faulty(u64::MAX, &["1.3.6.1.4.1.1347.43.10.1.1.12.1.1"], known).unwrap();
        assert_eq!(lossy.reading.outcome, Outcome::Partial);
        let total = CounterKey::parse("system.impressions").unwrap();
        assert!(!lossy.reading.counters.as_ref().unwrap().contains_key(&total), "the life count stands in");
        let gap = lossy.reading.gaps.iter().find(|gap| gap.field == "counters.system.impressions").unwrap();
        assert_eq!(gap.reason, GapReason::NoAnswer);
        let next = read_faulty(u64::MAX, &[], Some(&lossy.learned)).unwrap();
        assert_eq!(next.reading, whole.reading);
    }
}
