//! Drafts of mapping files: from every recording a file that `pmd lint` accepts and that reads what the sidecar proves, also
//! when the library knows nothing of the maker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use meterpost::author::{self, Draft};
use meterpost::pmd::{Library, Sources};
use meterpost::read::{self, DeviceRead};
use meterpost::snmp::recording::Recording;
use meterpost_wire::counters::CounterKey;
use meterpost_wire::reading::Basis;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The mapping files as they lie in `pmd/`.
fn sources() -> Sources {
    let mut sources = Sources::builtin();
    sources.lay_folder(&root().join("pmd")).unwrap();
    sources
}

/// Recordings of printers of the folders that are there, with what their sidecars say of their counters.
fn printers() -> Vec<(PathBuf, Value)> {
    let shared = root().join("../shared/walks");
    if !shared.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "../shared/walks must be there in CI");
        eprintln!("skipped: ../shared/walks is absent, so nothing was drafted from real devices");
    }
    let mut found = Vec::new();
    for folder in [root().join("tests/walks"), shared] {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "snmprec"))
        {
            let table: toml::Table =
                toml::from_str(&std::fs::read_to_string(path.with_extension("toml")).unwrap()).unwrap();
            let truth = serde_json::to_value(table).unwrap();
            if truth["is_printer"] == true {
                found.push((path, truth));
            }
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

fn recording(path: &Path) -> Recording {
    Recording::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn read(path: &Path, library: &Library) -> DeviceRead {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut recording = recording(path);
    let device = read::device(&mut recording, library, None, "192.0.2.1", Timestamp::UNIX_EPOCH);
    runtime.block_on(device).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A draft's name: it is of no maker's folder.
const NAME: &str = "draft/draft";

fn with(sources: &Sources, draft: &Draft) -> Sources {
    let mut with = sources.clone();
    with.files.insert(NAME.to_owned(), draft.text.clone());
    with
}

fn drafted(path: &Path, library: &Library) -> Draft {
    author::draft(&path.file_name().unwrap().to_string_lossy(), &recording(path), library)
}

#[test]
fn a_draft_of_every_recording_is_accepted_and_reads_every_counter_that_its_sidecar_proves() {
    let sources = sources();
    let library = sources.library();
    let total = CounterKey::parse("system.impressions").unwrap();
    let (mut wrong, mut right) = (Vec::new(), 0);
    for (path, truth) in printers() {
        let shown = path.file_name().unwrap().to_string_lossy().into_owned();
        let draft = drafted(&path, &library);
        let with = with(&sources, &draft);
        let faults = author::lint(&with, &[NAME.to_owned()]);
        wrong.extend(faults.iter().map(|fault| format!("{shown}: {fault}\n{}", draft.text)));
        let read = read(&path, &with.library());
        if *read.choice.pmd.name != *NAME {
            wrong.push(format!("{shown}: read by {}\n{}", read.choice.pmd.name, draft.text));
        }
        let counters = read.reading.counters.unwrap_or_default();
        for (key, expected) in truth["counters"].as_object().into_iter().flatten() {
            let found = counters.get(&CounterKey::parse(key).unwrap()).map(|count| count.value);
            match found == expected["value"].as_u64() {
                true => right += 1,
                false => wrong.push(format!("{shown}: {key} is {found:?}, not {}", expected["value"])),
            }
        }
        if truth["counters"]["system.impressions"].is_null() && counters.contains_key(&total) {
            wrong.push(format!("{shown}: system.impressions is invented: {}", counters[&total].value));
        }
    }
    eprintln!("{right} counters right, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The library without the maker of a device: none of the files of that maker, and none that extend them.
fn without(sources: &Sources, library: &Library, vendor: &str) -> Sources {
    let mut without = sources.clone();
    let is_of = |name: &str| name.starts_with(vendor) && !name.starts_with("generic/");
    for pmd in library.pmds().filter(|pmd| pmd.chain.iter().any(|name| is_of(name))) {
        without.files.remove(&*pmd.name);
    }
    without
}

/// Nothing is known but the numbers themselves: a total is found by what adds up, by what the device writes beside its numbers,
/// and by the life count; never a wrong one. What cannot be found so (Brother's tagged lists, a single number beside another
/// life count) is missed, not guessed.
#[test]
fn a_maker_that_the_library_does_not_know_is_drafted_from_its_own_numbers() {
    let sources = sources();
    let library = sources.library();
    let mut poor: BTreeMap<String, (Sources, Library)> = BTreeMap::new();
    let total = CounterKey::parse("system.impressions").unwrap();
    let (mut hits, mut misses, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (path, truth) in printers() {
        let chosen = read(&path, &library).choice.pmd.name.to_string();
        let vendor = format!("{}/", chosen.split('/').next().unwrap());
        let (sources, library) = poor.entry(vendor.clone()).or_insert_with(|| {
            let sources = without(&sources, &library, &vendor);
            let library = sources.library();
            (sources, library)
        });
        let draft = drafted(&path, library);
        let with = with(sources, &draft).library();
        assert!(with.faults.is_empty(), "{:?}\n{}", with.faults, draft.text);
        let read = read(&path, &with);
        assert_eq!(*read.choice.pmd.name, *NAME, "{}\n{}", path.display(), draft.text);
        let found = read.reading.counters.unwrap_or_default().remove(&total);
        // the life count in its place is the generic mapping's, and says so
        let is_guess = found.as_ref().is_some_and(|count| count.basis == Basis::Actual);
        let found = found.map(|count| count.value);
        let expected = truth["counters"]["system.impressions"]["value"].as_u64();
        let line = format!(
            "{}: {found:?} of {expected:?}, extends {}",
            path.file_stem().unwrap().to_string_lossy(),
            draft.base
        );
        match (found, expected) {
            (None, None) => {}
            (found, expected) if found == expected => hits.push(line),
            _ if is_guess => wrong.push(format!("{line}\n{}", draft.text)),
            _ => misses.push(line),
        }
    }
    eprintln!("hits:\n{}\nmisses:\n{}\nwrong:\n{}", hits.join("\n"), misses.join("\n"), wrong.join("\n"));
    eprintln!("{} hits, {} misses, {} wrong", hits.len(), misses.len(), wrong.len());
    assert!(wrong.is_empty());
    assert!(
        hits.len() * 2 >= hits.len() + misses.len(),
        "{} of {} totals were found",
        hits.len(),
        hits.len() + misses.len()
    );
}
