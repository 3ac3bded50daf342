//! `scan`, in all its formats.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{SWITCH, at, fleet, json, office, printer};
use crate::cli::{Said, meterpost, said};
use crate::simulator::made;
use crate::simulator::manner::{Auth, Manner, Privacy, User};
use crate::simulator::recording::Recording;

#[test]
fn a_scan_needs_no_configuration_and_has_a_verdict_for_everybody_who_answered() {
    let ann = User {
        name: "ann".to_owned(),
        auth: Some((Auth::Sha256, "ann's first secret".to_owned())),
        privacy: Some((Privacy::Aes128, "ann's second secret".to_owned())),
    };
    let v3_only = Manner { v1: false, v2c: false, users: vec![ann.clone()], ..Manner::default() };
    let stranger = User { name: "bob".to_owned(), ..ann };
    let running = fleet(vec![
        printer(at(1, 3), made::typical_mfp(), Manner::default()),
        printer(at(1, 4), made::a4_printer(), v3_only.clone()),
        printer(at(1, 5), made::a4_printer(), Manner { users: vec![stranger], ..v3_only }),
        printer(at(1, 6), Recording::parse(SWITCH).unwrap(), Manner::default()),
    ]);
    let home = tempfile::tempdir().unwrap();
    let port = running.port().to_string();
    let scan = said(
        home.path(),
        &[
            "scan",
            "127.93.1.0/28",
            "--exclude",
            "127.93.1.14",
            "--port",
            &port,
            "--community",
            "public",
            "--v3",
            "ann:SHA-256:ann's first secret:AES:ann's second secret",
            "--retries",
            "0",
            "--format",
            "json",
            "--verdicts",
        ],
    );
    let scan = json(&scan);
    let verdicts: BTreeMap<&str, &str> = scan["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|verdict| (verdict["address"].as_str().unwrap(), verdict["verdict"].as_str().unwrap()))
        .collect();
    let expected = |last: u8| match last {
        3 | 4 => "printer",
        5 => "wrong_credential",
        6 => "not_printer",
        14 => "excluded",
        _ => "silent",
    };
    let all: Vec<(String, &str)> = (1..=14).map(|last| (at(1, last).to_string(), expected(last))).collect();
    let mut all: Vec<(&str, &str)> = all.iter().map(|(address, verdict)| (address.as_str(), *verdict)).collect();
    all.sort_unstable();
    assert_eq!(verdicts.into_iter().collect::<Vec<_>>(), all);
    let sweep = &scan["sweep"];
    assert_eq!((&sweep["addresses"], &sweep["answered"], &sweep["printers"]), (&13.into(), &4.into(), &2.into()));
    assert_eq!(sweep["targets"], serde_json::json!(["127.93.1.0/28"]));
    let devices = scan["devices"].as_array().unwrap();
    assert_eq!(
        devices.iter().map(|device| device["address"].as_str()).collect::<Vec<_>>(),
        [Some("127.93.1.3"), Some("127.93.1.4")]
    );
    for device in devices {
        check_device(device);
    }
    let tally = running.stop().total();
    assert_eq!(tally.malformed, 0, "every datagram of ours is well-formed SNMP");
}

/// Keys of a device in CONTRACT 2, with what must be there in a whole reading.
fn check_device(device: &Value) {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let within = |value: &Value, allowed: &[&str]| {
        for key in keys(value) {
            assert!(allowed.contains(&key.as_str()), "`{key}` is not in the contract: {value:#}");
        }
    };
    assert!(!device.to_string().contains("null"), "{device:#}");
    within(
        device,
        &[
            "address",
            "outcome",
            "read_at",
            "key",
            "mapping",
            "identity",
            "network",
            "capabilities",
            "counters",
            "supplies",
            "inputs",
            "outputs",
            "covers",
            "alerts",
            "status",
            "gaps",
            "traffic",
        ],
    );
    for must in ["identity", "network", "counters", "supplies", "inputs", "alerts", "status", "gaps", "traffic"] {
        assert!(device.get(must).is_some(), "`{must}` in {device:#}");
    }
    within(&device["mapping"], &["pmd", "pack", "reason"]);
    within(
        &device["identity"],
        &[
            "vendor",
            "model",
            "make_and_model",
            "serial_number",
            "asset_tag",
            "system_name",
            "location",
            "firmware",
            "sys_object_id",
            "device_id",
            "uuid",
        ],
    );
    within(&device["network"], &["physical_addresses", "host_name"]);
    for count in device["counters"].as_object().unwrap().values() {
        within(count, &["value", "basis", "oid", "rule", "confidence", "detail"]);
        assert!(count["value"].is_u64());
    }
    for supply in device["supplies"].as_array().unwrap() {
        within(
            supply,
            &[
                "index",
                "class",
                "type",
                "colorant",
                "description",
                "part_number",
                "serial_number",
                "unit",
                "max_capacity",
                "level",
                "level_state",
                "percent",
            ],
        );
    }
    for tray in device["inputs"].as_array().unwrap() {
        within(tray, &["index", "name", "max_capacity", "level", "level_state"]);
    }
    for alert in device["alerts"].as_array().unwrap() {
        within(
            alert,
            &["index", "severity", "training", "group", "group_index", "code", "code_number", "description", "time"],
        );
    }
    within(&device["status"], &["state", "device_status", "printer_status", "detected_errors", "console"]);
    within(&device["traffic"], &["requests", "responses", "bytes_sent", "bytes_received"]);
    assert!(device["read_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_table_fits_80_columns_and_is_plain_when_it_is_not_a_terminal() {
    let running = office(2);
    let home = tempfile::tempdir().unwrap();
    let port = running.port().to_string();
    let scan = said(home.path(), &["scan", "127.93.2.0/28", "--port", &port, "--retries", "0"]);
    assert_eq!((scan.err.as_str(), scan.code), ("", 0));
    for line in scan.out.lines() {
        assert!(line.chars().count() <= 80 && !line.contains('\u{1b}'), "{line:?}");
    }
    for part in [
        "127.93.2.7 ",
        "127.93.2.9 ",
        "  2 printers\n",
        "  1 not a printer\n      127.93.2.11  Linux switch",
        "  11 silent\n",
    ] {
        assert!(scan.out.contains(part), "`{part}` in\n{}", scan.out);
    }
}

#[test]
fn csv_has_a_row_and_xml_an_element_for_each_printer() {
    let running = office(3);
    let home = tempfile::tempdir().unwrap();
    let port = running.port().to_string();
    let of = |format| {
        said(home.path(), &["scan", "127.93.3.0/28", "--port", &port, "--retries", "0", "--format", format]).out
    };
    let csv = of("csv");
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.starts_with("address,outcome,read_at,key,"), "{csv}");
    let xml = of("xml");
    assert!(xml.ends_with("</Devices>\n"), "{xml}");
    let xml = roxmltree::Document::parse(&xml).unwrap();
    let ids: Vec<_> = xml.descendants().filter(|node| node.has_tag_name(("urn:meterpost:batch:1", "Device"))).collect();
    assert_eq!(ids.len(), 2);
}

#[test]
fn a_sweep_alone_finds_printers_and_reads_none() {
    let running = office(4);
    let home = tempfile::tempdir().unwrap();
    let port = running.port().to_string();
    let arguments = ["scan", "127.93.4.0/28", "--port", &port, "--retries", "0", "--sweep-only", "--format", "json"];
    let scan = json(&said(home.path(), &arguments));
    assert_eq!(scan["devices"], serde_json::json!([]));
    assert_eq!(scan["sweep"]["printers"], 2);
    let words: Vec<_> =
        scan["verdicts"].as_array().unwrap().iter().map(|verdict| verdict["verdict"].as_str()).collect();
    assert_eq!(words, [Some("printer"), Some("printer"), Some("not_printer")]);

    let arguments = ["scan", "127.93.4.0/28", "--port", &port, "--retries", "0", "--sweep-only", "--format"];
    let csv = said(home.path(), &[&arguments[..], &["csv"]].concat()).out;
    assert!(csv.starts_with("address,verdict,detail\r\n127.93.4.7,printer,\r\n127.93.4.9,printer,\r\n"), "{csv}");
    let xml = said(home.path(), &[&arguments[..], &["xml"]].concat());
    assert!(xml.err.contains("`--sweep-only` reads nothing") && xml.code == 2, "{xml:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_scan_whose_result_finds_no_room_says_so() {
    let running = office(19);
    let home = tempfile::tempdir().unwrap();
    let port = running.port().to_string();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = meterpost(home.path());
    command.args(["scan", "127.93.19.0/28", "--port", &port, "--retries", "0"]).stdout(full);
    let scan = Said::from(command.output().unwrap());
    assert_eq!(scan.err, "error: cannot write the result: No space left on device (os error 28)\n");
    assert_eq!(scan.code, 1);
}
