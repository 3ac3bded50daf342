//! Redaction of every recording that is there: what its sidecar and its own objects name is gone, what it counts is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use meterpost::pmd::Library;
use meterpost::read;
use meterpost::record::redact::{Known, redact};
use meterpost::snmp::recording::Recording;
use meterpost::snmp::{Oid, Value};
use meterpost_wire::Reading;
use serde_json::Value as Json;
use sha2::Digest as _;

fn digest(text: &str) -> String {
    sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The recordings of the folders that are there.
fn recordings() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = root.join("../shared/walks");
    if !shared.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "../shared/walks must be there in CI");
        eprintln!("skipped: ../shared/walks is absent, so no real device was redacted");
    }
    let folders = [root.join("tests/walks"), shared].into_iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    let mut paths: Vec<PathBuf> = folders.flatten().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "snmprec"));
    paths.sort();
    paths
}

fn read(recording: &Recording, library: &Library) -> Option<Reading> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut recording = recording.clone();
    let read = read::device(&mut recording, library, None, "192.0.2.1", Timestamp::UNIX_EPOCH);
    runtime.block_on(read).ok().map(|read| read.reading)
}

/// What a recording must not tell: kind and text.
fn originals(sidecar: &Path, objects: &[(Oid, Value)], library: &Library) -> BTreeSet<(&'static str, String)> {
    let table: toml::Table = toml::from_str(&std::fs::read_to_string(sidecar).unwrap()).unwrap();
    let truth = serde_json::to_value(table).unwrap();
    let mut found = BTreeSet::new();
    let mut add = |kind: &'static str, value: &Json| {
        let texts = value.as_str().into_iter().chain(value.as_array().into_iter().flatten().filter_map(Json::as_str));
        found.extend(texts.map(|text| (kind, text.trim().to_owned())));
    };
    for (section, field, kind) in [
        ("identity", "serial_number", "serial"),
        ("identity", "asset_tag", "serial"),
        ("identity", "location", "name"),
        ("identity", "system_name", "name"),
        ("network", "host_name", "name"),
        ("network", "physical_addresses", "mac"),
    ] {
        add(kind, &truth[section][field]);
    }
    for supply in truth["supplies"].as_array().into_iter().flatten() {
        add("serial", &supply["serial_number"]);
    }
    for (oid, value) in objects {
        let text = value.as_octets().map(|bytes| String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']).to_owned());
        match (oid.to_string().as_str(), text, value) {
            // sysContact and sysLocation; sysName may be the model's, and then it stays: the sidecar knows
            ("1.3.6.1.2.1.1.4.0" | "1.3.6.1.2.1.1.6.0", Some(text), _) => drop(found.insert(("name", text))),
            (oid, Some(text), _) if oid.starts_with("1.3.6.1.2.1.43.5.1.1.17.") => {
                found.insert(("serial", text));
            }
            (_, _, Value::IpAddress(address)) if !matches!(address[0], 0 | 127 | 224..) => {
                found.insert(("ip", std::net::Ipv4Addr::from(*address).to_string()));
            }
            _ => {}
        }
    }
    let means_something = |text: &str| {
        library.words.find("placeholders", text).is_none() && library.words.find("bogus_serials", text).is_none()
    };
    found.into_iter().filter(|(_, text)| text.len() >= 3 && means_something(text)).collect()
}

/// Where an original still stands.
fn left(kind: &str, original: &str, objects: &[(Oid, Value)]) -> Option<String> {
    let folded = original.to_lowercase();
    let bare: String = folded.chars().filter(char::is_ascii_hexdigit).collect();
    let octets: Vec<u8> =
        (0..bare.len() / 2).filter_map(|at| u8::from_str_radix(&bare[2 * at..2 * at + 2], 16).ok()).collect();
    let is_word = kind == "name" && original.chars().all(char::is_alphabetic);
    let edge =
        |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && (kind != "ip" || *byte != b'.'));
    let stands_in = |bytes: &[u8]| {
        let text = bytes.to_ascii_lowercase();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let at_an_edge = || {
            text.windows(folded.len()).enumerate().any(|(at, here)| {
                let before = at.checked_sub(1).and_then(|at| text.get(at));
                here == folded.as_bytes() && edge(before) && edge(text.get(at + folded.len()))
            })
        };
        match kind {
            "mac" => {
                let plain: String = String::from_utf8_lossy(&text).chars().filter(|c| !":-. ".contains(*c)).collect();
                bytes.windows(6).any(|six| six == octets) || plain.contains(&bare)
            }
            // an ordinary word may stand in any text
            "name" if is_word => text == folded.as_bytes(),
            "ip" | "name" => at_an_edge(),
            _ if original.len() < 6 => at_an_edge(),
            _ => {
                let spelled: String = original.bytes().map(|byte| format!("{byte:02x}")).collect();
                text.windows(folded.len()).any(|here| here == folded.as_bytes()) || hex.contains(&spelled)
            }
        }
    };
    objects.iter().find_map(|(oid, value)| {
        let is_here = match value {
            Value::Octets(bytes) | Value::Opaque(bytes) => stands_in(bytes),
            Value::IpAddress(address) => kind == "ip" && std::net::Ipv4Addr::from(*address).to_string() == original,
            _ => false,
        };
        let arcs: Vec<u8> = oid.arcs().iter().map(|arc| u8::try_from(*arc).unwrap_or(0)).collect();
        let is_spelled = kind == "serial" && original.len() >= 6 && stands_in(&arcs);
        (is_here || is_spelled).then(|| format!("{oid} = {value:?}"))
    })
}

/// A reading without what redaction may change.
fn plain(reading: &Reading) -> impl PartialEq + std::fmt::Debug + use<> {
    let Reading { identity, counters, supplies, inputs, outputs, covers, mapping, outcome, .. } = reading.clone();
    let identity = identity.unwrap_or_default();
    let mut supplies = supplies.unwrap_or_default();
    supplies.iter_mut().for_each(|supply| supply.serial_number = None);
    let firmwares: Vec<String> = identity.firmwares.into_iter().map(|firmware| firmware.version.value).collect();
    let (vendor, model) = (identity.vendor.map(|text| text.value), identity.model.map(|text| text.value));
    ((vendor, model, firmwares, mapping, outcome), counters, supplies, (inputs, outputs, covers))
}

#[test]
fn no_original_of_any_recording_survives_and_it_reads_as_before() {
    let library = Library::builtin();
    let (mut wrong, mut looked_for) = (Vec::new(), 0);
    let mut pseudonyms: BTreeMap<String, String> = BTreeMap::new();
    for path in recordings() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let recording = Recording::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let objects: Vec<(Oid, Value)> =
            recording.objects("").map(|(oid, value)| (oid.clone(), value.clone())).collect();
        let before = read(&recording, &library);
        let known = Known::of(before.as_ref(), &objects, &library.words);
        let redacted = redact(&objects, &known, &digest);
        assert_eq!(redacted.objects.len(), objects.len(), "{name}");
        for (kind, original) in originals(&path.with_extension("toml"), &objects, &library) {
            // what the sidecar computes stands nowhere, and proves nothing
            if left(kind, &original, &objects).is_none() {
                continue;
            }
            looked_for += 1;
            wrong.extend(
                left(kind, &original, &redacted.objects).map(|at| format!("{name}: {kind} `{original}` at {at}")),
            );
        }
        let after = read(&Recording::of(redacted.objects.iter().cloned()), &library);
        let (old, new) = (before.as_ref().map(plain), after.as_ref().map(plain));
        if old != new {
            wrong.push(format!("{name}: read otherwise\n{old:?}\n{new:?}"));
        }
        // the same serial number has the same pseudonym in whatever recording it stands
        let serial = |reading: &Option<Reading>| {
            Some(reading.as_ref()?.identity.as_ref()?.serial_number.as_ref()?.value.clone())
        };
        if let (Some(old), Some(new)) = (serial(&before), serial(&after)) {
            let known = pseudonyms.entry(old.clone()).or_insert_with(|| new.clone());
            assert_eq!(*known, new, "{name}: {old}");
        }
    }
    eprintln!("{looked_for} originals looked for");
    assert!(looked_for > 200, "{looked_for}");
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}
