//! Whole devices: every recording goes through the real pipeline and is compared with its sidecar, which is the truth.
//!
//! The recordings of tests/walks are made by hand from facts and compared here, exactly. Those of ../shared/walks come from real
//! devices and belong to others: they are judged where they lie, by the judge beside them, and skipped with a message
//! where they are absent (a failure with CI=true).

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use jiff::Timestamp;
use meterpost::pmd::Library;
use meterpost::read::{self, NotRead};
use meterpost::show::{self, Device, Scan};
use meterpost::snmp::recording::Recording;
use meterpost_wire::counters::CounterKey;
use meterpost_wire::reading::Basis;
use serde_json::{Map, Value, json};

/// The mapping files as they lie in `pmd/`, so that a changed one is judged without a build; `pmds.rs` looks at those inside
/// the program.
static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let library = Library::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("pmd")).unwrap();
    let faults: Vec<String> = library.faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    library
});

/// Families of which at least this share must be right, in percent, each.
const BAR: f64 = 90.0;
/// They are this part; of the others no value may be invented.
const FAMILIES: [(&str, &[&str]); 4] = [
    ("HP", &["hp-"]),
    ("Kyocera", &["kyocera-", "utax-", "copystar-", "olivetti-", "triumph-adler-"]),
    ("Brother", &["brother-"]),
    ("Ricoh", &["ricoh-", "lanier-", "savin-", "nrg-", "gestetner-", "infotec-"]),
];

/// What a sidecar here does not state, no reading may have.
const NEVER_INVENTED: [(&str, &str); 7] = [
    ("identity", "model"),
    ("identity", "serial_number"),
    ("identity", "firmware"),
    ("identity", "asset_tag"),
    ("network", "host_name"),
    ("counters", "system.impressions"),
    ("counters", "vendor.marker_life_count"),
];

fn own_walks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/walks")
}

fn shared_walks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/walks")
}

/// Names of the recordings in a folder, sorted.
fn recordings(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".snmprec")?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The sidecar of a recording.
fn truth(folder: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(name).with_extension("toml")).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::to_value(table).unwrap()
}

/// Reads a recording as a device at 127.30.0.`number` is read; its entry in the JSON of `scan`, or `None` when it is no
/// printer.
fn read(folder: &Path, name: &str, number: u8) -> Option<Value> {
    let text = std::fs::read_to_string(folder.join(name).with_extension("snmprec")).unwrap();
    let mut agent = Recording::parse(&text).unwrap_or_else(|faults| panic!("{name}: {}", faults[0]));
    let address = IpAddr::V4(Ipv4Addr::new(127, 30, 0, number));
    let now = Timestamp::from_second(1_780_000_000).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let read = match runtime.block_on(read::device(&mut agent, &LIBRARY, None, &address.to_string(), now)) {
        Ok(read) => read,
        Err(NotRead::NotPrinter(_)) => return None,
        Err(error) => panic!("{name}: {error}"),
    };
    let device = Device { address, reading: read.reading, mapping_reason: Some(read.choice.reason), traffic: None };
    let scan = Scan { devices: vec![device], ..Scan::default() };
    let mut text = Vec::new();
    show::json(&scan, &mut text).unwrap();
    let mut printed: Value = serde_json::from_slice(&text).unwrap();
    Some(printed["devices"][0].take())
}

/// All printers among the hand-made recordings, as `scan` prints them.
pub fn own_devices() -> Vec<Value> {
    let folder = own_walks();
    recordings(&folder).into_iter().filter_map(|name| read(&folder, &name, 1)).collect()
}

// --- the recordings of this repository, exactly

#[test]
fn every_hand_made_recording_reads_as_its_sidecar_says() {
    let folder = own_walks();
    let mut wrong = Vec::new();
    for name in recordings(&folder) {
        let device = read(&folder, &name, 1);
        wrong.extend(
            differences(&truth(&folder, &name), device.as_ref()).into_iter().map(|what| format!("{name}: {what}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a reading gets wrong: whatever the truth says must be there, and no total, supply, tray or alert besides.
fn differences(truth: &Value, device: Option<&Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(device) = device.filter(|_| truth["is_printer"] == true) else {
        if device.is_some() || truth["is_printer"] == true {
            wrong.push(format!("is_printer is {}", truth["is_printer"]));
        }
        return wrong;
    };
    for section in ["identity", "network", "status", "counters"] {
        for (key, expected) in truth[section].as_object().into_iter().flatten() {
            compare(&format!("{section}.{key}"), expected, &device[section][key], &mut wrong);
        }
    }
    for (section, key) in NEVER_INVENTED {
        if truth[section][key].is_null() && !device[section][key].is_null() {
            wrong.push(format!("{section}.{key} is invented: {}", device[section][key]));
        }
    }
    for section in ["supplies", "inputs", "alerts"] {
        let mut found = device[section].as_array().cloned().unwrap_or_default();
        for expected in truth[section].as_array().into_iter().flatten() {
            let keys: &[&str] = match expected["index"].is_null() {
                true => &["type", "colorant", "description"],
                false => &["index"],
            };
            match found.iter().position(|row| keys.iter().all(|key| row[key] == expected[key])) {
                Some(place) => compare_row(section, expected, &found.remove(place), &mut wrong),
                None => wrong.push(format!("{section}: no row {expected}")),
            }
        }
        wrong.extend(found.iter().map(|row| format!("{section}: a row too many: {row}")));
    }
    wrong
}

/// A row: also what the truth does not have must be absent, save words that no sidecar states.
fn compare_row(section: &str, expected: &Value, found: &Value, wrong: &mut Vec<String>) {
    let label =
        format!("{section} {}", if expected["index"].is_null() { &expected["type"] } else { &expected["index"] });
    let expected = expected.as_object().unwrap();
    for (key, value) in expected {
        compare(&format!("{label} {key}"), value, &found[key], wrong);
    }
    for (key, value) in found.as_object().unwrap() {
        if !expected.contains_key(key) && !["index", "class", "unit", "time"].contains(&key.as_str()) {
            wrong.push(format!("{label}: {key} is invented: {value}"));
        }
    }
}

fn compare(what: &str, expected: &Value, found: &Value, wrong: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (key, value) in expected {
                compare(&format!("{what} {key}"), value, found.get(key).unwrap_or(&Value::Null), wrong);
            }
        }
        _ if expected == found => {}
        _ => wrong.push(format!("{what} is {found}, not {expected}")),
    }
}

// --- the second reading of a known device

/// Two pages printed on one side: the total and the part that is read for a check alone grow together.
#[test]
fn counters_that_grew_together_agree_when_a_known_device_is_read_again() {
    let text = std::fs::read_to_string(own_walks().join("kyocera-ecosys-p3155dn.snmprec")).unwrap();
    let later = text.replace("43.10.1.1.12.1.1|2|28114", "43.10.1.1.12.1.1|2|28116");
    let later = later.replace("42.2.5.1.1.1.1|2|9114", "42.2.5.1.1.1.1|2|9116");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let now = Timestamp::from_second(1_780_000_000).unwrap();

    let mut agent = Recording::parse(&text).unwrap();
    let first = runtime.block_on(read::device(&mut agent, &LIBRARY, None, "127.30.0.1", now)).unwrap();
    let mut agent = Recording::parse(&later).unwrap();
    let again = runtime.block_on(read::device(&mut agent, &LIBRARY, Some(&first.learned), "127.30.0.1", now)).unwrap();

    assert!(!again.full);
    let counters = again.reading.counters.unwrap();
    let suspects: Vec<_> = counters.iter().filter(|(_, count)| count.basis == Basis::Suspect).collect();
    assert!(suspects.is_empty(), "{suspects:?}");
    assert_eq!(counters[&CounterKey::parse("system.impressions").unwrap()].value, 28_116);
}

// --- recordings of real devices, judged

#[test]
fn real_devices_read_as_their_sidecars_say() {
    let (own, shared) = (own_walks(), shared_walks());
    if !shared.join("judge.py").exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "../shared/walks must be there in CI");
        eprintln!("skipped: ../shared/walks is absent, so no reading was judged against a real device");
        return;
    }
    let mut misses = Vec::new();
    for folder in [&own, &shared] {
        let verdict = judge(folder, &shared.join("judge.py"));
        eprintln!("{}\n{verdict}", folder.display());
        misses.extend(verdict.lines().filter(|line| line.split('\t').count() >= 3).map(str::to_owned));
        if folder == &own {
            assert!(misses.is_empty(), "{verdict}");
        }
    }
    let invented: Vec<&String> = misses.iter().filter(|miss| miss.contains("\tnothing invented\t")).collect();
    assert!(invented.is_empty(), "{invented:#?}");
    for (family, prefixes) in FAMILIES {
        let names: Vec<String> = recordings(&shared)
            .into_iter()
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        let stated: usize = names.iter().map(|name| statements(&truth(&shared, name))).sum();
        let missed =
            misses.iter().filter(|miss| names.iter().any(|name| miss.starts_with(&format!("{name}\t")))).count();
        let share = 100.0 * (stated - missed.min(stated)) as f64 / stated as f64;
        eprintln!("{family}: {} recordings, {missed} misses, {share:.1} % of {stated} statements", names.len());
        assert!(share >= BAR, "{family}: {share:.1} %");
    }
}

/// How many things a sidecar states, counted as the judge counts: found, nothing invented, and each field.
fn statements(truth: &Value) -> usize {
    let fields = |value: &Value| value.as_object().map_or(0, Map::len);
    let rows = |section: &str| truth[section].as_array().map_or(0, Vec::len);
    let supplies: usize = truth["supplies"].as_array().into_iter().flatten().map(|row| 1 + fields(row)).sum();
    2 + fields(&truth["identity"])
        + fields(&truth["network"])
        + fields(&truth["status"])
        + fields(&truth["counters"])
        + supplies
        + rows("inputs")
        + rows("alerts")
}

/// Reads every recording of a folder and has `judge.py` compare the JSON with the sidecars; what it prints.
fn judge(folder: &Path, script: &Path) -> String {
    let work = tempfile::tempdir().unwrap();
    let (mut devices, mut map) = (Vec::new(), String::new());
    for (place, name) in recordings(folder).into_iter().enumerate() {
        let number = u8::try_from(place + 1).unwrap();
        map.push_str(&format!("127.30.0.{number}\t{name}\n"));
        devices.extend(read(folder, &name, number));
    }
    std::fs::write(work.path().join("result.json"), json!({ "devices": devices }).to_string()).unwrap();
    std::fs::write(work.path().join("map.tsv"), map).unwrap();
    let output = Command::new("python3")
        .arg(script)
        .args([work.path().join("result.json"), work.path().join("map.tsv"), folder.to_owned()])
        .output()
        .expect("python3 runs judge.py");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
