//! Reading recorded devices by the generic mapping: rows are found however sparse, and a known device costs little.

use jiff::{SignedDuration, Timestamp};
use meterpost_wire::counters::CounterKey;
use meterpost_wire::reading::{GapReason, Outcome, Reading};

use super::table::{Found, Table};
use super::{Asking, DeviceRead, Learned, NotRead, device};
use crate::plan::Walk;
use crate::pmd::Library;
use crate::snmp::recording::Recording;
use crate::snmp::{Absent, Agent, Limits, Oid, Traffic, Unanswered, VarBind};

mod known;

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
    let read = block_on(device(&mut agent, library, learned, "127.0.0.9", now));
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
fn another_device_without_a_serial_number_and_a_row_more_in_a_sum_are_noticed() {
    let mac = |last: &str| format!("1.3.6.1.2.1.2.2.1.3.1|2|6\n1.3.6.1.2.1.2.2.1.6.1|4x|0002030405{last}\n");
    let nameless = walk("S1", &[(1, 50)], &[]).replace("1.3.6.1.2.1.43.5.1.1.17.1|4|S1\n", "");
    let (one, other) = (format!("{nameless}{}", mac("06")), format!("{nameless}{}", mac("07")));
    let learned = read(&one, None, NOW).0.unwrap().learned;
    assert!(!read(&one, Some(&learned), NOW).0.unwrap().full);
    let swapped = read(&other, Some(&learned), NOW).0.unwrap();
    assert_eq!((swapped.full, swapped.reading.key.as_str()), (true, "mac:00:02:03:04:05:07"));

    let pmds = tempfile::tempdir().unwrap();
    std::fs::create_dir(pmds.path().join("acme")).unwrap();
    let mapping = "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999\"]\n\
                   [counters]\nsystem.impressions = { column = \"1.3.6.1.4.1.99999.5\", take = \"sum\" }\n";
    std::fs::write(pmds.path().join("acme/x.toml"), mapping).unwrap();
    let library = Library::load(pmds.path()).unwrap();
    let two = format!("{}1.3.6.1.4.1.99999.5.1|65|30\n1.3.6.1.4.1.99999.5.2|65|70\n", walk("S1", &[(1, 50)], &[]));
    let learned = read_by(&library, &two, None, NOW).0.unwrap().learned;
    assert!(!read_by(&library, &two, Some(&learned), NOW).0.unwrap().full);
    let grown = read_by(&library, &format!("{two}1.3.6.1.4.1.99999.5.3|65|5\n"), Some(&learned), NOW).0.unwrap();
    let sum: Vec<u64> = grown.reading.counters.iter().flatten().map(|(_, count)| count.value).collect();
    assert_eq!((grown.full, sum), (true, vec![105]));
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
    /// Which of the GETNEXT and GETBULK requests gets no answer, from 1; 0: each is answered.
    lost_walk: u64,
    walks: u64,
    /// Where GETNEXT and GETBULK started.
    starts: Vec<Oid>,
    /// What was asked by GET.
    gets: Vec<Oid>,
    fell_silent: bool,
}

impl Faulty {
    fn of(walk: &str) -> Self {
        let recording = Recording::parse(walk).expect("a walk");
        let (lost, starts, gets) = (Vec::new(), Vec::new(), Vec::new());
        Self { recording, bears: u64::MAX, lost, lost_walk: 0, walks: 0, starts, gets, fell_silent: false }
    }

    /// Takes note of a GETNEXT or GETBULK, and loses its answer if it is the one.
    fn note(&mut self, starts: &[Oid], single: usize, found: &mut [VarBind]) {
        self.walks += 1;
        self.starts.extend_from_slice(starts);
        if self.walks == self.lost_walk {
            for (found, start) in found.iter_mut().zip(starts.iter().chain(starts[single..].iter().cycle())) {
                *found = VarBind { oid: start.clone(), answer: Err(Absent::NoAnswer) };
            }
        }
    }

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
        self.gets.extend_from_slice(oids);
        for piece in oids.chunks(25) {
            match self.spend() {
                Ok(()) => answers.extend(self.recording.get(context, piece).await?),
                Err(silent) if answers.is_empty() => return Err(silent),
                Err(_) => {
                    self.fell_silent = true;
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
        let mut found = self.recording.get_next(context, oids).await?;
        self.note(oids, 0, &mut found);
        Ok(found)
    }

    async fn get_bulk(
        &mut self,
        context: &str,
        oids: &[Oid],
        single: usize,
        rows: u16,
    ) -> Result<Vec<VarBind>, Unanswered> {
        self.spend()?;
        let mut found = self.recording.get_bulk(context, oids, single, rows).await?;
        self.note(oids, single, &mut found);
        Ok(found)
    }

    fn gone(&self) -> Option<Unanswered> {
        self.fell_silent.then_some(Unanswered::Silent)
    }

    fn traffic(&self) -> Traffic {
        self.recording.traffic()
    }
}

/// A serial number of its own tree, asked last; and one of the Printer-MIB, asked first.
const KYOCERA: (&str, &str) = (include_str!("../../tests/walks/kyocera-ecosys-p3155dn.snmprec"), "kyocera/ecosys");
const SHARP: (&str, &str) = (include_str!("../../tests/walks/sharp-mx-4071.snmprec"), "sharp/office");

/// The built-in mappings, and one that opts in to GETBULK.
fn bulk_library(extends: &str) -> Library {
    let pmds = tempfile::tempdir().unwrap();
    std::fs::create_dir(pmds.path().join("acme")).unwrap();
    let mapping = format!(
        "format = 1\nextends = \"{extends}\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.1347.41\", \"1.3.6.1.4.1.2385.3.1\"]\n\
         model = ['.']\n[quirks]\nbulk = true\n"
    );
    std::fs::write(pmds.path().join("acme/x.toml"), mapping).unwrap();
    Library::load(pmds.path()).unwrap()
}

/// Reads a hand-made device that counts by a vendor's objects, faulty as told.
fn read_faulty(
    library: &Library,
    walk: &str,
    bears: u64,
    lost: &[&str],
    learned: Option<&Learned>,
) -> Result<DeviceRead, NotRead> {
    let lost = lost.iter().map(|oid| oid.parse().expect("an OID")).collect();
    read_from(&mut Faulty { bears, lost, ..Faulty::of(&with_alert(walk)) }, library, learned)
}

/// With an alert that wants somebody, so that its loss would show in the state.
fn with_alert(walk: &str) -> String {
    format!("{walk}1.3.6.1.2.1.43.18.1.1.2.1.7|2|3\n1.3.6.1.2.1.43.18.1.1.7.1.7|2|8\n")
}

fn read_from(agent: &mut Faulty, library: &Library, learned: Option<&Learned>) -> Result<DeviceRead, NotRead> {
    block_on(device(agent, library, learned, "127.0.0.9", NOW))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
}

/// What a faulty reading says is what the whole one says; what it leaves out has a gap that says so.
#[track_caller]
fn check_true(faulty: &Reading, whole: &Reading, what: &str) {
    let gap = |field: &str| faulty.gaps.iter().find(|gap| gap.field == field).map(|gap| gap.reason);
    assert_eq!(faulty.key, whole.key, "{what}");
    assert_eq!(faulty.outcome, Outcome::Partial, "{what}");
    let counters = |reading: &Reading| reading.counters.clone().unwrap_or_default();
    for (key, count) in counters(faulty) {
        assert_eq!(Some(&count), counters(whole).get(&key), "{what}: {key}");
    }
    for key in counters(whole).keys().filter(|key| !counters(faulty).contains_key(key)) {
        assert_eq!(gap(&format!("counters.{key}")), Some(GapReason::NoAnswer), "{what}: {key}");
    }
    let tables: [(&str, Option<String>, Option<String>); 5] = [
        ("supplies", shown(&faulty.supplies), shown(&whole.supplies)),
        ("inputs", shown(&faulty.inputs), shown(&whole.inputs)),
        ("outputs", shown(&faulty.outputs), shown(&whole.outputs)),
        ("covers", shown(&faulty.covers), shown(&whole.covers)),
        ("alerts", shown(&faulty.alerts), shown(&whole.alerts)),
    ];
    for (table, faulty, whole) in tables {
        if faulty != whole {
            assert_eq!(gap(table), Some(GapReason::NoAnswer), "{what}: {table}");
            // the central closes what is not in the list: it is the whole list or none
            assert!(table != "alerts" || faulty.is_none(), "{what}");
        }
    }
    let state = |reading: &Reading| reading.status.as_ref().and_then(|status| status.state.clone());
    assert!(state(faulty).is_none_or(|found| Some(found) == state(whole)), "{what}: {:?}", faulty.status);
    let console =
        |reading: &Reading| reading.status.iter().flat_map(|status| status.console.clone()).collect::<Vec<_>>();
    if console(faulty) != console(whole) {
        assert_eq!(gap("status.console"), Some(GapReason::NoAnswer), "{what}");
    }
    for gap in faulty.gaps.iter().filter(|gap| gap.reason != GapReason::NoAnswer) {
        assert!(whole.gaps.contains(gap), "{what}: {gap:?}");
    }
}

fn shown<T: std::fmt::Debug>(table: &Option<T>) -> Option<String> {
    table.as_ref().map(|table| format!("{table:#?}"))
}

/// Reads so often as it takes to be read whole, one request more each time. Every reading is true, and the next one, of the
/// healthy device, lacks nothing.
fn check_falling_silent(library: &Library, walk: &str, known: Option<&DeviceRead>, whole: &DeviceRead) {
    let mut kept = 0;
    for bears in 1..100 {
        // what is not known to be of this device is of nobody
        let Ok(first) = read_faulty(library, walk, bears, &[], known.map(|known| &known.learned)) else { continue };
        if first.reading.outcome == Outcome::Complete {
            // what its key is made of is asked first, also where it lies in the vendor's own tree
            let by_bulk = whole.choice.pmd.limits.bulk;
            let enough = if by_bulk { walk == KYOCERA.0 || kept > 1 } else { kept > 2 && kept + 3 >= bears };
            assert!(bears > 2 && (enough || known.is_some()), "{kept} readings kept of {bears}");
            return;
        }
        kept += 1;
        let what = format!("{}, known {}, after {bears} requests", whole.choice.pmd.name, known.is_some());
        check_true(&first.reading, &whole.reading, &what);
        let second = read_faulty(library, walk, u64::MAX, &[], Some(&first.learned)).unwrap();
        assert!(second.full, "{what}");
        assert_eq!(second.reading, whole.reading, "{what}");
    }
    panic!("it is never read whole");
}

#[test]
fn a_device_that_falls_silent_after_any_request_says_nothing_false_and_is_read_whole_the_next_time() {
    for (walk, family) in [KYOCERA, SHARP] {
        for library in [Library::builtin(), bulk_library(family)] {
            let whole = read_faulty(&library, walk, u64::MAX, &[], None).unwrap();
            assert_eq!(whole.reading.outcome, Outcome::Complete);
            check_falling_silent(&library, walk, None, &whole);
            check_falling_silent(&library, walk, Some(&whole), &whole);
        }
    }
}

#[test]
fn an_object_lost_in_one_reading_and_there_in_the_next_is_read_again() {
    let library = Library::builtin();
    let whole = read_faulty(&library, KYOCERA.0, u64::MAX, &[], None).unwrap();
    for known in [None, Some(&whole.learned)] {
        let lossy = read_faulty(&library, KYOCERA.0, u64::MAX, &["1.3.6.1.4.1.1347.43.10.1.1.12.1.1"], known).unwrap();
        assert_eq!(lossy.reading.outcome, Outcome::Partial);
        let total = CounterKey::parse("system.impressions").unwrap();
        assert!(!lossy.reading.counters.as_ref().unwrap().contains_key(&total), "the life count stands in");
        let gap = lossy.reading.gaps.iter().find(|gap| gap.field == "counters.system.impressions").unwrap();
        assert_eq!(gap.reason, GapReason::NoAnswer);
        let next = read_faulty(&library, KYOCERA.0, u64::MAX, &[], Some(&lossy.learned)).unwrap();
        assert_eq!(next.reading, whole.reading);
    }
}

/// One GETNEXT or GETBULK after the other is lost, and all else answered. Every reading is true, and the next one, of the
/// healthy device, lacks nothing.
fn check_lost_walks(library: &Library, walk: &str, known: Option<&DeviceRead>, whole: &DeviceRead) {
    let (text, known) = (with_alert(walk), known.map(|known| &known.learned));
    for lost_walk in 1..200 {
        let what = format!("{}, known {}, without walk {lost_walk}", whole.choice.pmd.name, known.is_some());
        let mut agent = Faulty { lost_walk, ..Faulty::of(&text) };
        let lossy = read_from(&mut agent, library, known).expect("it is met");
        if agent.walks < lost_walk {
            assert!(lost_walk > 1, "{what}: it was asked no walk");
            return;
        }
        match lossy.reading.outcome {
            Outcome::Complete => assert_eq!(lossy.reading, whole.reading, "{what}"),
            _ => check_true(&lossy.reading, &whole.reading, &what),
        }
        let next = read_from(&mut Faulty::of(&text), library, Some(&lossy.learned)).expect("it is met");
        assert_eq!(next.reading.counters, whole.reading.counters, "{what}");
        assert_eq!(shown(&next.reading.supplies), shown(&whole.reading.supplies), "{what}");
        assert_eq!(shown(&next.reading.alerts), shown(&whole.reading.alerts), "{what}");
        assert_eq!(next.reading.outcome, Outcome::Complete, "{what}");
    }
    panic!("it is walked for ever");
}

#[test]
fn a_walk_that_gets_no_answer_costs_its_own_rows_for_one_reading() {
    for (walk, family) in [KYOCERA, SHARP] {
        for library in [Library::builtin(), bulk_library(family)] {
            let whole = read_from(&mut Faulty::of(&with_alert(walk)), &library, None).unwrap();
            check_lost_walks(&library, walk, None, &whole);
            check_lost_walks(&library, walk, Some(&whole), &whole);
        }
    }
}

#[test]
fn no_walk_starts_where_nobody_may_ask_and_what_it_runs_into_there_is_not_kept() {
    let oid = |text: &str| text.parse::<Oid>().unwrap();
    let (people, above, beside) =
        (oid("1.3.6.1.4.1.1347.47.1.1"), oid("1.3.6.1.4.1.1347"), oid("1.3.6.1.4.1.1347.46.9"));
    let inside = "1.3.6.1.4.1.1347.47.1.1.1";
    let mut agent = Faulty::of(&format!("{inside}|4|somebody"));
    let mut asking = Asking::new(&mut agent);
    let starts = [people.clone(), beside.clone(), above];
    let found = block_on(asking.get_next("", &starts)).unwrap();
    assert_eq!(found, [Found::End, Found::Object(oid(inside)), Found::End]);
    let walk = |column: &Oid| Walk {
        context: String::new(),
        columns: vec![column.clone()],
        stand_ins: Vec::new(),
        prefix: Vec::new(),
        guess: Vec::new(),
        expect: 4,
        bulk: 4,
        first_only: false,
    };
    let walks = [walk(&people), walk(&beside)];
    let mut tables: Vec<Table> = walks.iter().map(|walk| Table::new(walk, true, |_| Vec::new())).collect();
    block_on(asking.learn_by_bulk(&mut tables, 25)).unwrap();
    assert_eq!(asking.answers.iter().count(), 0, "somebody is nobody's business");
    assert!(agent.walks > 1 && agent.starts.iter().all(|start| start.is_under(&beside)), "{:?}", agent.starts);
}

/// A device that has its supplies and its total only in the context `Jetdirect`, at these values.
fn in_two_contexts(level: i64, total: u64) -> Recording {
    let (here, there): (Vec<String>, Vec<String>) =
        walk("S1", &[(1, level)], &[]).lines().map(str::to_owned).partition(|line| !line.contains(".43.11."));
    let mut agent = Recording::parse(&here.join("\n")).expect("a walk");
    // not right behind the supplies: the GETNEXT that looks for their end would tell it
    let total = format!("1.3.6.1.4.1.99999.4.0|2|1\n1.3.6.1.4.1.99999.5.0|65|{total}");
    agent.add_context("Jetdirect", &format!("{}\n{total}", there.join("\n"))).expect("a walk");
    agent
}

#[test]
fn what_only_a_second_context_answers_is_read_polled_and_missed_there() {
    let pmds = tempfile::tempdir().unwrap();
    std::fs::create_dir(pmds.path().join("acme")).unwrap();
    let mapping = "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999\"]\n\
                   [quirks]\ncontext = \"Jetdirect\"\n[counters]\nsystem.impressions = { get = \"1.3.6.1.4.1.99999.5.0\" }\n";
    std::fs::write(pmds.path().join("acme/x.toml"), mapping).unwrap();
    let library = Library::load(pmds.path()).unwrap();
    let total = |reading: &Reading| reading.counters.iter().flatten().map(|(_, count)| count.value).next();

    let first = block_on(device(&mut in_two_contexts(50, 700), &library, None, "127.0.0.9", NOW)).unwrap();
    assert_eq!((rows(&first).0, total(&first.reading)), (vec![(1, Some(50))], Some(700)));
    let known = Some(&first.learned);
    let polled = block_on(device(&mut in_two_contexts(49, 701), &library, known, "127.0.0.9", NOW)).unwrap();
    assert_eq!((polled.full, rows(&polled).0, total(&polled.reading)), (false, vec![(1, Some(49))], Some(701)));

    let silent: Vec<Oid> = vec!["1.3.6.1.4.1.99999.5.0".parse().unwrap()];
    let mut agent = Faulty { recording: in_two_contexts(49, 701), lost: silent, ..Faulty::of("") };
    for known in [None, Some(&polled.learned)] {
        let lossy = read_from(&mut agent, &library, known).unwrap();
        assert_eq!((rows(&lossy).0, total(&lossy.reading)), (vec![(1, Some(49))], None));
        let gap = lossy.reading.gaps.iter().find(|gap| gap.field == "counters.system.impressions").unwrap();
        assert_eq!(gap.reason, GapReason::NoAnswer);
    }
}

/// A table by GETNEXT: what the lead lacks, and what it had the last time.
fn supply_rows(text: &str, learned: Option<&Learned>, now: Timestamp) -> (Vec<u32>, u64, Learned) {
    let (read, requests) = read(text, learned, now);
    let read = read.unwrap();
    (rows(&read).0.into_iter().map(|(row, _)| row).collect(), requests, read.learned)
}

#[test]
fn a_row_that_only_the_leading_column_lacks_is_found_wherever_it_lies() {
    let all = walk("S1", &[(1, 5), (2, 6), (3, 7), (9, 8)], &[]);
    for lacks in [1, 2, 3, 9] {
        let text = all.replace(&format!("1.3.6.1.2.1.43.11.1.1.6.1.{lacks}|4|Toner {lacks}\n"), "");
        assert_ne!(text, all);
        assert_eq!(supply_rows(&text, None, NOW).0, [1, 2, 3, 9], "without a name in row {lacks}");
    }
}

#[test]
fn a_tray_of_which_only_the_second_name_is_answered_is_a_tray() {
    let tray = |column: u32, row: u32, value: &str| format!("1.3.6.1.2.1.43.8.2.1.{column}.1.{row}|{value}\n");
    for alone in [1, 3, 5] {
        let mut text = walk("S1", &[(1, 5)], &[]);
        for row in [1, 2, 3, 4, 5].into_iter().filter(|row| *row != alone) {
            text += &(tray(9, row, "2|500") + &tray(10, row, "2|100") + &tray(13, row, "4|Tray"));
        }
        text += &tray(18, alone, "4|Bypass");
        let inputs = read(&text, None, NOW).0.unwrap().reading.inputs.unwrap();
        let names: Vec<_> = inputs.iter().map(|tray| (tray.index, tray.name.as_deref().unwrap_or("-"))).collect();
        let expected: Vec<_> = (1..=5).map(|row| (row, if row == alone { "Bypass" } else { "Tray" })).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn the_weekly_reading_starts_from_the_rows_of_the_last_one_and_finds_others_too() {
    let sparse: Vec<(u32, i64)> = [2, 3, 30, 31, 400, 1000, 1200].into_iter().map(|n| (n, 7)).collect();
    let text = walk("S1", &sparse, &[900, 7000]);
    let (_, first, learned) = supply_rows(&text, None, NOW);
    let week = NOW + SignedDuration::from_hours(7 * 24);
    let (again, second, _) = supply_rows(&text, Some(&learned), week);
    assert_eq!(again, [2, 3, 30, 31, 400, 1000, 1200]);
    assert!(second + 2 < first, "{second} requests after {first}");
    let more: Vec<(u32, i64)> = [1, 2, 31, 35, 1000, 1300].into_iter().map(|n| (n, 7)).collect();
    let (changed, ..) = supply_rows(&walk("S1", &more, &[8000]), Some(&learned), week);
    assert_eq!(changed, [1, 2, 31, 35, 1000, 1300]);
}

#[test]
fn no_walk_is_longer_than_its_limit_and_what_lies_behind_counts_as_not_answered() {
    let pmds = tempfile::tempdir().unwrap();
    std::fs::create_dir(pmds.path().join("acme")).unwrap();
    for bulk in [false, true] {
        let mapping = format!(
            "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999\"]\n\
             [quirks]\nbulk = {bulk}\n[counters]\n\
             system.impressions = {{ column = \"1.3.6.1.4.1.99999.5\", take = \"sum\" }}\n"
        );
        std::fs::write(pmds.path().join("acme/x.toml"), mapping).unwrap();
        let library = Library::load(pmds.path()).unwrap();
        for (rows, is_whole) in [(299, true), (300, true), (301, false), (5000, false)] {
            let table: String = (1..=rows).map(|row| format!("1.3.6.1.4.1.99999.5.{row}|65|1\n")).collect();
            let mut agent = Faulty::of(&format!("{}{table}", walk("S1", &[(1, 5)], &[])));
            let read = read_from(&mut agent, &library, None).unwrap();
            let total = read.reading.counters.iter().flatten().map(|(_, count)| count.value).next();
            assert_eq!(total, is_whole.then_some(rows), "{rows} rows, bulk {bulk}");
            let seen = read.learned.answers.column("", &"1.3.6.1.4.1.99999.5".parse().unwrap()).count();
            assert!(seen <= 400, "{seen} of {rows} rows seen, bulk {bulk}");
            assert!(is_whole || read.reading.gaps.iter().any(|gap| gap.field == "counters.system.impressions"));
        }
    }
}
