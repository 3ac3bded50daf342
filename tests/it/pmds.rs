//! The mapping files in the program: every one loads, is named by its path, asks only what may be asked and is used by a
//! hand-made device.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use meterpost::pmd::rule::{Rule, Source};
use meterpost::pmd::{GENERIC, Library};

use crate::walks;

fn files() -> BTreeMap<String, PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("pmd");
    let mut files = BTreeMap::new();
    for vendor in std::fs::read_dir(&root).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        for file in std::fs::read_dir(vendor.path()).unwrap().flatten() {
            let path = file.path();
            let (vendor, family) =
                (vendor.file_name().into_string().unwrap(), path.file_stem().unwrap().to_str().unwrap());
            files.insert(format!("{vendor}/{family}"), path);
        }
    }
    files
}

#[test]
fn every_file_loads_without_a_fault_under_the_name_of_its_path() {
    let library = Library::builtin();
    let faults: Vec<String> = library.faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let loaded: BTreeSet<String> = library.pmds().map(|pmd| pmd.name.to_string()).collect();
    assert_eq!(loaded, files().into_keys().collect());
}

#[test]
fn every_chain_ends_in_the_generic_mapping() {
    for pmd in Library::builtin().pmds() {
        assert_eq!(pmd.chain.last().map(|name| &**name), Some(GENERIC), "{}", pmd.name);
    }
}

/// The loader refuses other OIDs; this reads the texts, so that a hole in the loader would show.
#[test]
fn no_file_names_an_object_that_may_not_be_asked() {
    let oid = regex::Regex::new(r#""(\d+(?:\.(?:\d+|\{device\}|\{value\}))+)""#).unwrap();
    for (name, path) in files() {
        let text = std::fs::read_to_string(path).unwrap();
        let named: Vec<String> =
            oid.captures_iter(&text).map(|hit| hit[1].replace("{device}", "1").replace("{value}", "1")).collect();
        for oid in named.iter().filter(|oid| oid.starts_with("1.")) {
            assert_eq!(meterpost::pmd::guard::refused(&oid.parse().unwrap(), false), None, "{name}: {oid}");
        }
    }
}

/// The generic ones are used by those that extend them.
#[test]
fn every_file_is_used_by_a_hand_made_device() {
    let library = Library::builtin();
    let mut used = BTreeSet::new();
    for device in walks::own_devices() {
        let name = device["mapping"]["pmd"].as_str().unwrap();
        let chain = library.get(name).unwrap().chain.iter().map(ToString::to_string);
        used.extend(chain.filter(|extended| extended.starts_with("generic/")));
        used.insert(name.to_owned());
    }
    let unused: Vec<String> =
        library.pmds().map(|pmd| pmd.name.to_string()).filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "no recording in tests/walks uses {unused:?}");
}

fn shown(rule: &Rule) -> String {
    format!("{:?} {:?} {:?}", rule.source, rule.steps, rule.when)
}

/// The first valid rule wins, so what no device has proven stands behind what one has. Only what stands in for a counter,
/// computed from something else, gives way to a maker's own that is unverified.
#[test]
fn no_unverified_rule_stands_before_a_proven_one() {
    for pmd in Library::builtin().pmds() {
        for (field, rules) in &pmd.fields {
            let ends = rules.iter().position(|rule| matches!(rule.source, Source::Stop)).unwrap_or(rules.len());
            let rules = &rules[..ends];
            let first = rules.iter().position(|rule| rule.unverified && rule.when.is_empty()).unwrap_or(ends);
            // what an extended file says again was tried already
            let is_new = |rule: &Rule| rules[..first].iter().all(|tried| shown(tried) != shown(rule));
            let proven = rules[first..].iter().find(|rule| !rule.unverified && !rule.derived && is_new(rule));
            let proven = proven.map(|rule| (&rule.origin.pmd, rule.origin.number));
            assert_eq!(proven, None, "{}: `{field}`", pmd.name);
        }
    }
}

/// Two files for one beginning of sysObjectID: patterns must tell them apart, and no recording may fit both alike.
#[test]
fn no_two_files_claim_one_identity() {
    let library = Library::builtin();
    let mut defaults: BTreeMap<String, String> = BTreeMap::new();
    for pmd in library.pmds() {
        let matches = &pmd.matches;
        if matches.description.is_empty() && matches.device_id.is_empty() && matches.model.is_empty() {
            for oid in &matches.sys_object_id {
                let before = defaults.insert(oid.to_string(), pmd.name.to_string());
                assert_eq!(before, None, "{} and another claim {oid}", pmd.name);
            }
        }
    }
}
