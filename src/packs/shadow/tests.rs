use std::collections::BTreeMap;
use std::sync::Arc;

use meterpost_wire::pack::Label;

use super::*;
use crate::memory::Went;
use crate::pmd::pack::Pack;
use crate::snmp::recording::Recording;

const OWN: &str = "1.3.6.1.4.1.99999.1";

/// A library with one mapping of a pack: these counters, each from the object of that number below the maker's tree.
fn library(version: u64, model: &str, counters: &[(&str, u32)]) -> Library {
    let counters: String =
        counters.iter().map(|(key, object)| format!("{key} = {{ get = \"{OWN}.{object}.0\" }}\n")).collect();
    let mapping = format!(
        "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"{OWN}\"]\n[identity]\n\
         vendor = {{ const = \"Acme\" }}\nmodel = {{ const = \"{model}\" }}\n[counters]\n{counters}"
    );
    let label = format!("pmd-pack channel=stable version={version} expires=2026-12-31T00:00:00Z");
    let pack = Pack::of(Label::parse(&label).unwrap(), BTreeMap::from([("acme/mfp.toml".to_owned(), mapping)]));
    pack.unwrap().library().unwrap()
}

/// A device that was last read with this library.
fn known(read_with: &Library) -> Known {
    let text = format!(
        "1.3.6.1.2.1.1.1.0|4|Acme MFP\n1.3.6.1.2.1.1.2.0|6|{OWN}\n1.3.6.1.2.1.25.3.2.1.2.1|6|1.3.6.1.2.1.25.3.1.5\n\
         1.3.6.1.2.1.43.5.1.1.17.1|4|ACM0042X\n{OWN}.7.0|65|432951\n{OWN}.8.0|65|424405\n"
    );
    let now = Timestamp::UNIX_EPOCH;
    let mut recording = Recording::parse(&text).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let read = runtime.block_on(crate::read::device(&mut recording, read_with, None, "192.0.2.1", now)).unwrap();
    Known {
        key: read.reading.key.clone(),
        address: "192.0.2.1".to_owned(),
        port: 161,
        credential: "office".to_owned(),
        learned: serde_json::json!({ "read": read.learned, "borne": null }).to_string(),
        counters: BTreeMap::new(),
        pages_per_minute: None,
        alerts: Vec::new(),
        seen_at: now,
        full_at: Some(now),
        went: Went::default(),
    }
}

/// What a person is told when this library is tried on devices that were read with that one.
#[track_caller]
fn check(devices: &[Known], present: &Library, new: &Library, harmless: bool, expected: &str) {
    let mut shadow = Shadow::default();
    devices.iter().for_each(|known| shadow.add(known, present, new, Timestamp::UNIX_EPOCH));
    assert_eq!((shadow.to_string().as_str(), shadow.is_harmless()), (expected, harmless));
}

const TOTAL: &str = "system.impressions";

#[test]
fn a_total_that_would_be_another_is_told_with_both_numbers() {
    // the other object is asked already, for something else
    let present = library(1, "MFP", &[(TOTAL, 7), ("vendor.engine", 8)]);
    let new = library(2, "MFP", &[(TOTAL, 8), ("vendor.engine", 8)]);
    let devices = [known(&present), known(&present), known(&present)];
    let told = "3 devices: Acme MFP system.impressions 432,951 → 424,405 (one of them)\n";
    check(&devices, &present, &new, false, told);
    check(&devices[..1], &present, &new, false, "1 device: Acme MFP system.impressions 432,951 → 424,405\n");
    check(&devices, &present, &present, true, "");
}

#[test]
fn a_counter_that_would_be_missing_and_one_that_is_new_are_told_apart() {
    let present = library(1, "MFP", &[(TOTAL, 7), ("vendor.engine", 8)]);
    check(
        &[known(&present)],
        &present,
        &library(2, "MFP", &[(TOTAL, 7)]),
        false,
        "1 device: Acme MFP vendor.engine 424,405 → not read\n",
    );
    // what nobody was billed by changes no bill
    let new = library(2, "MFP", &[(TOTAL, 7), ("vendor.engine", 8), ("copy.impressions", 8)]);
    check(&[known(&present)], &present, &new, true, "");
}

#[test]
fn another_text_is_no_other_counter() {
    let (present, new) = (library(1, "MFP", &[(TOTAL, 7)]), library(2, "MFP 500", &[(TOTAL, 7)]));
    check(&[known(&present)], &present, &new, true, "1 device: something else than a counter changes\n");
}

#[test]
fn what_nobody_has_asked_waits_for_a_reading_and_is_told_after_it() {
    let (mut present, new) = (library(1, "MFP", &[(TOTAL, 7)]), library(2, "MFP", &[(TOTAL, 8)]));
    let until_read = "1 device: cannot be told until read\n";
    check(&[known(&present)], &present, &new, true, until_read);
    let nothing_learned = Known { learned: String::new(), ..known(&present) };
    check(&[nothing_learned], &present, &new, true, until_read);
    // read by other mappings than those in use
    check(&[known(&library(9, "MFP", &[(TOTAL, 7)]))], &present, &new, true, until_read);

    present.trial = Some(Arc::new(library(2, "MFP", &[(TOTAL, 8)])));
    let tried = known(&present);
    present.trial = None;
    check(&[tried], &present, &new, false, "1 device: Acme MFP system.impressions 432,951 → 424,405\n");
}

#[test]
fn a_device_that_nobody_has_heard_of_for_a_fortnight_holds_nothing_up() {
    let (present, new) = (library(1, "MFP", &[(TOTAL, 7)]), library(2, "MFP", &[(TOTAL, 8)]));
    let known = known(&present);
    let unheard = |hours: i64| {
        let mut shadow = Shadow::default();
        shadow.add(&known, &present, &new, known.seen_at + SignedDuration::from_hours(hours));
        (shadow.until_read, shadow.unheard)
    };
    assert_eq!((unheard(14 * 24 - 1), unheard(14 * 24)), ((1, 0), (0, 1)));
}
