//! Drafts of mapping files: from every recording a file that `pmd lint` accepts and that reads what the sidecar proves, also
//! when the library knows nothing of the maker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use expect_test::{expect, expect_file};
use jiff::Timestamp;
use meterpost::author::{self, Draft};
use meterpost::pmd::{Library, Sources};
use meterpost::read::{self, DeviceRead};
use meterpost::snmp::recording::Recording;
use meterpost_wire::counters::CounterKey;
use meterpost_wire::reading::Basis;
use serde_json::Value;

use crate::cli::said;

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
        let sources = with(&sources, &draft);
        let with = sources.library();
        let faults = author::lint(&sources, &with, &[NAME.to_owned()]);
        wrong.extend(faults.iter().map(|fault| format!("{shown}: {fault}\n{}", draft.text)));
        let read = read(&path, &with);
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
        // that a draft is preferred to all others is shown above: here only those that it needs stand beside it
        let mut with = with(sources, &draft);
        let chain = &library.get(&draft.base).unwrap().chain;
        with.files.retain(|name, _| name == NAME || chain.iter().any(|own| **own == **name));
        let with = with.library();
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

/// The block of a language, and the name behind it, of the README of mapping files.
fn block(opening: &str) -> String {
    let readme = std::fs::read_to_string(root().join("pmd/README.md")).unwrap();
    let opening = format!("```{opening}\n");
    let from = readme.find(&opening).unwrap_or_else(|| panic!("{opening} is not in the README")) + opening.len();
    readme[from..].split("```").next().unwrap().to_owned()
}

#[test]
fn the_example_of_the_readme_goes_as_it_says() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    std::fs::create_dir(home.path().join("acme")).unwrap();
    write("mx500.snmprec", &block("snmprec"));

    let drafted = said(home.path(), &["pmd", "draft", "mx500.snmprec", "-o", "acme/mfp.toml"]);
    expect![[r#"
        Acme MX500: `acme/mfp.toml` extends generic/unknown
        1 counter read by what it extends
        system.impressions = 15003 by a rule of its own
        6 candidates in it as comments
        next: meterpost pmd test acme/mfp.toml mx500.snmprec
    "#]]
    .assert_eq(&drafted.out);
    let draft = std::fs::read_to_string(home.path().join("acme/mfp.toml")).unwrap();
    assert!(draft.contains(&block("toml draft")), "{draft}");
    let linted = said(home.path(), &["pmd", "lint", "acme"]);
    assert_eq!((linted.out.as_str(), linted.code), ("1 file, nothing wrong\n", 0));
    // what somebody may have worked on is not overwritten
    assert_eq!(said(home.path(), &["pmd", "draft", "mx500.snmprec", "-o", "acme/mfp.toml"]).code, 1);

    write("acme/mfp.toml", &block("toml acme/mfp.toml"));
    write("mx500.toml", &block("toml mx500.toml"));
    assert_eq!(said(home.path(), &["pmd", "lint", "acme/mfp.toml"]).out, "1 file, nothing wrong\n");
    let tested = said(home.path(), &["pmd", "test", "acme/mfp.toml", "mx500.snmprec"]);
    assert_eq!((tested.err.as_str(), tested.code), ("", 0));
    assert!(tested.out.contains(&block("text")), "{}", tested.out);
    assert!(tested.out.lines().all(|line| line.chars().count() <= 80), "{}", tested.out);

    // a page that says otherwise
    write("mx500.toml", &block("toml mx500.toml").replace("4003", "4004"));
    let tested = said(home.path(), &["pmd", "test", "acme/mfp.toml", "mx500.snmprec"]);
    assert!(
        tested.out.contains("  counters.system.full_color_impressions value is 4003, not 4004\n"),
        "{}",
        tested.out
    );
    assert_eq!((tested.err.as_str(), tested.code), ("error: 1 value is not as the sidecar says\n", 1));
}

#[test]
fn why_a_number_is_what_it_is_is_told_with_every_rule() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("maps/acme")).unwrap();
    std::fs::write(home.path().join("mx500.snmprec"), block("snmprec")).unwrap();
    std::fs::write(home.path().join("maps/acme/mfp.toml"), block("toml acme/mfp.toml")).unwrap();
    let why = |field: &str| said(home.path(), &["pmd", "why", "mx500.snmprec", field, "--pmd-dir", "maps"]);
    let total = why("system.impressions");
    for part in [
        "counters.system.impressions\n  is 15003, actual, by rule 1, from 1.3.6.1.4.1.32473.1.3.1.0\n",
        "  1. acme/mfp:1 (line 15): WON with `15003`\n      { get = \"1.3.6.1.4.1.32473.1.3.1.0\", not = 0 }\n",
        "not tried, as the list had ended",
        "      let.marker_unit = `sheets`\n",
        "  check: system.impressions 15003 = print.impressions 9200 + copy.impressions\n  5400 + fax_in.impressions 403: agrees\n",
    ] {
        assert!(total.out.contains(part), "{part} is not in\n{}", total.out);
    }
    assert!(why("scan.images").err.contains("`scan.images` is no field of `acme/mfp`\n  hint: there is "));
    assert_eq!((why("scan.images").code, why("supplies.1.percent").code), (2, 0));
    assert!(why("supplies.1.percent").out.contains("it is computed from level, capacity and unit"));
    let overview = said(home.path(), &["pmd", "why", "mx500.snmprec", "--pmd-dir", "maps"]);
    assert!(overview.out.contains("acme/mfp: sysObjectID begins with 1.3.6.1.4.1.32473.1.5"), "{}", overview.out);
}

#[test]
fn a_broken_recording_is_told_line_by_line() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(
        home.path().join("bad.snmprec"),
        "1.3.6.1.2.1.1.1.0|4|x\nnonsense\n1.3.x|2|1\n1.3.6|2|one\n1.3.6|99|1\n",
    )
    .unwrap();
    for command in
        [&["pmd", "draft", "bad.snmprec"][..], &["pmd", "test", "bad.snmprec"], &["pmd", "why", "bad.snmprec"]]
    {
        let said = said(home.path(), command);
        expect![[r#"
            error: `bad.snmprec` line 2: not an object: `OID|type|value` would be
            `bad.snmprec` line 3: `1.3.x` is not an OID: numbers with dots between them, 128 at most, would be
            `bad.snmprec` line 4: `one` is no INTEGER
            `bad.snmprec` line 5: type `99`: 2 4 4x 5 6 64 65 66 67 68 70 are known
        "#]]
        .assert_eq(&said.err);
        assert_eq!(said.code, 1, "{command:?}");
    }
    for command in [
        &["pmd", "draft", "none.snmprec"][..],
        &["pmd", "lint", "none"],
        &["pmd", "test", "none.snmprec"],
        &["pmd", "show", "acme/x"],
    ] {
        assert_eq!(said(home.path(), command).code, 2, "{command:?}");
    }
}

#[test]
fn a_mapping_is_linted_with_what_it_extends_beside_it_and_broken_bytes_have_a_line() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("acme")).unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(home.path().join("acme").join(name), text).unwrap();
    write("base.toml", b"format = 1\nextends = \"generic/printer-mib\"\n[identity]\nvendor = { const = \"Acme\" }\n");
    write("mfp.toml", b"format = 1\nextends = \"acme/base\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.32473.1.5\"]\n");
    write("bytes.toml", b"format = 1\n# \xff\n");
    let lint = |path: &str| said(home.path(), &["pmd", "lint", path]);
    assert_eq!(lint("acme/mfp.toml").out, "1 file, nothing wrong\n");
    assert_eq!(lint("acme/bytes.toml").out, "acme/bytes.toml:2: this is no UTF-8 text\n");
    write("base.toml", b"format = 1\nextends = \"acme/mfp\"\n");
    let circle = lint("acme/mfp.toml");
    let told =
        "acme/base.toml:2: `acme/mfp` is itself at fault\nacme/mfp.toml:2: `acme/base` extends this file: a circle\n";
    assert_eq!((circle.out.as_str(), circle.code), (told, 1));
    std::fs::write(home.path().join("empty.snmprec"), "").unwrap();
    let drafted = said(home.path(), &["pmd", "draft", "empty.snmprec"]);
    let nothing = "error: `empty.snmprec` has no objects: there is nothing to draft from\n";
    assert_eq!((drafted.err.as_str(), drafted.code), (nothing, 1));
}

/// `UPDATE_EXPECT=1` writes it anew.
#[test]
fn the_published_list_of_models_is_what_the_library_has() {
    let home = tempfile::tempdir().unwrap();
    let walks = root().join("tests/walks").display().to_string();
    let maps = root().join("pmd").display().to_string();
    let list = said(home.path(), &["pmd", "list", "--format", "md", "--walks", &walks, "--pmd-dir", &maps]);
    assert_eq!((list.err.as_str(), list.code), ("", 0));
    expect_file![root().join("pmd/MODELS.md")].assert_eq(&list.out);
}

#[test]
fn the_library_itself_has_nothing_to_lint() {
    let home = tempfile::tempdir().unwrap();
    let said = said(home.path(), &["pmd", "lint", &root().join("pmd").display().to_string()]);
    assert_eq!((said.err.as_str(), said.code), ("", 0), "{}", said.out);
}
