//! Golden files pin the bytes of version 1; `UPDATE_EXPECT=1` rewrites them. A released one is never changed again:
//! every later reader must read it.

use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect_file;
use meterpost_wire::Batch;
use meterpost_wire::xml::{Decoded, Notes, decode, encode, encode_device, encode_devices};

use crate::batches;

fn package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What the owner gave us; a test that needs it says so where it is absent, and fails in CI.
fn shared(path: &str) -> Option<PathBuf> {
    let path = package("../../../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
    eprintln!("skipped: {} is missing", path.display());
    None
}

/// The schema is checked by libxml2, which knows nothing of our code.
fn assert_valid(xml: &Path) {
    match Command::new("xmllint").arg("--noout").arg("--schema").arg(package("batch.xsd")).arg(xml).output() {
        Ok(run) => assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr)),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "xmllint: {error}");
            eprintln!("skipped: no xmllint to check {} with", xml.display());
        }
    }
}

#[track_caller]
fn check(name: &str, batch: &Batch) {
    let path = package("tests/golden/v1").join(name);
    let xml = encode(batch);
    expect_file![&path].assert_eq(&xml);
    assert_valid(&path);
    let whole = Decoded { batch: batch.clone(), set_aside: Vec::new(), notes: Notes::default() };
    assert_eq!(decode(xml.as_bytes()), Ok(whole));
}

#[test]
fn a_batch_without_devices_is_pinned() {
    check("bare.xml", &batches::bare());
}

#[test]
fn a_batch_with_every_field_is_pinned() {
    check("full.xml", &batches::full());
}

#[test]
fn a_scan_is_pinned_and_is_the_devices_element_of_a_batch() {
    let readings = [batches::everything(), batches::silent()];
    let scan = encode_devices(&readings);
    expect_file![package("tests/golden/v1/scan.xml")].assert_eq(&scan);
    let inner = scan.split_once(r#"<Devices xmlns="urn:meterpost:batch:1">"#).unwrap().1;
    let batch = encode(&Batch { devices: readings.to_vec(), ..batches::bare() });
    assert!(batch.contains(inner));
}

#[test]
fn a_rule_of_the_devices_own_mapping_is_written_without_its_name() {
    let mut reading = batches::everything();
    let mapping = reading.mapping.as_ref().unwrap().pmd.clone();
    let counters = reading.counters.as_mut().unwrap();
    counters.values_mut().for_each(|count| count.evidence.rule = Some(format!("{mapping}:4")));
    let xml = encode_device(&reading);
    assert!(xml.contains(r#" rule="4">184213<"#) && !xml.contains(r#"rule="acme"#), "{xml}");
}

#[test]
fn every_golden_file_is_valid_and_is_read_without_a_note() {
    for entry in std::fs::read_dir(package("tests/golden/v1")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() == "scan.xml" {
            continue;
        }
        assert_valid(&path);
        let read = decode(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((read.notes, read.set_aside), (Notes::default(), Vec::new()), "{}", path.display());
    }
}

#[test]
fn schema_and_service_description_are_the_owners() {
    for name in ["batch.xsd", "central.wsdl"] {
        if let Some(path) = shared(&format!("reference/{name}")) {
            assert!(std::fs::read(package(name)).unwrap() == std::fs::read(path).unwrap(), "{name}");
        }
    }
}

#[test]
fn the_owners_sample_is_read_whole() {
    let Some(path) = shared("reference/sample-batch.xml") else { return };
    let read = decode(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!((read.notes, read.set_aside), (Notes::default(), Vec::new()));
    let [device] = read.batch.devices.as_slice() else { panic!("one device") };
    let counters = device.counters.as_ref().unwrap();
    let values: Vec<String> = counters.iter().map(|(key, count)| format!("{key} {}", count.value)).collect();
    expect_test::expect![[r#"
        copy.full_color_impressions 9212
        copy.monochrome_impressions 25001
        print.full_color_impressions 55000
        print.impressions 150000
        print.monochrome_impressions 95000
        scan.images 44120
        system.full_color_impressions 64212
        system.impressions 184213
        system.impressions_two_sided 90112
        system.large_impressions 0
        system.monochrome_impressions 120001
        vendor.marker_life_count 184213
        vendor.staples_used 311
        vendor.system_iso_a4_210x297mm_total_sheets 120411"#]]
    .assert_eq(&values.join("\n"));
    let again = encode(&read.batch);
    assert_eq!(decode(again.as_bytes()).unwrap().batch, read.batch);
}
