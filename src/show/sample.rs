//! One printer that says nearly everything, for the tests of the formats.

use std::collections::BTreeMap;

use jiff::Timestamp;
use meterpost_wire::CounterKey;
use meterpost_wire::reading::{
    Alert, Alerts, Basis, Capabilities, Coded, Count, Cover, DetectedErrors, Evidence, Firmware, Gap, GapReason,
    Identity, LevelState, Mapping, Network, Outcome, Reading, Scope, Status, Supply, Tray,
};

use super::{Device, Finding, Place, Scan, Summary};
use crate::snmp::Traffic;
use crate::sweep::Verdict;

/// 2026-01-29T23:25:00Z and so many seconds.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_769_729_100 + seconds).unwrap()
}

/// A sweep of four addresses that found [`device`], one that is no printer, one that refuses, and one that is silent.
pub fn scan() -> Scan {
    let finding = |last: u8, verdict, detail: Option<&str>| Finding {
        place: Place::Address([127, 30, 0, last].into()),
        verdict,
        detail: detail.map(str::to_owned),
    };
    Scan {
        sweep: Some(Summary {
            targets: vec!["127.30.0.4-9".to_owned()],
            started_at: at(0),
            ended_at: at(5),
            addresses: 4,
            answered: 3,
            printers: 1,
            traffic: Traffic { requests: 21, responses: 9, bytes_sent: 1_800, bytes_received: 5_100 },
        }),
        verdicts: vec![
            finding(5, Verdict::NotPrinter, Some("Linux switch")),
            finding(6, Verdict::WrongCredential, Some("wrong digest")),
            finding(7, Verdict::Printer, None),
            finding(9, Verdict::Silent, None),
        ],
        devices: vec![device()],
    }
}

/// A monochrome printer whose texts are those of a prankster.
pub fn device() -> Device {
    let coded = |label: &str, code| Some(Coded { label: label.to_owned(), code: Some(code) });
    let count = |value, basis, oid: &str| Count {
        value,
        basis,
        evidence: Evidence { oid: Some(oid.to_owned()), rule: Some("1".to_owned()), unverified: false },
        unit: None,
        detail: None,
    };
    let supply = |index, colorant: Option<&str>, percent: Option<u8>| Supply {
        index,
        class: coded("supplyThatIsConsumed", 3),
        kind: coded(if colorant.is_some() { "toner" } else { "opc" }, if colorant.is_some() { 3 } else { 9 }),
        colorant: colorant.map(str::to_owned),
        description: Some("T-1160".to_owned()),
        unit: coded("impressions", 7),
        max_capacity: Some(7_200),
        level: percent.map(|percent| u64::from(percent) * 72),
        level_state: Some(if percent.is_some() { LevelState::Known } else { LevelState::SomeRemaining }),
        percent,
        ..Supply::default()
    };
    let reading = Reading {
        key: "sn:printomat:VCF1234567".to_owned(),
        mapping: Some(Mapping { pmd: "printomat/office".to_owned(), pack: 0 }),
        scope: Scope::Full,
        read_at: at(2),
        outcome: Outcome::Complete,
        identity: Some(Identity {
            vendor: Some("Printomat".into()),
            model: Some("P2040dw".into()),
            serial_number: Some("VCF1234567".into()),
            system_name: Some("=cmd|' /C calc'!A0".to_owned()),
            location: Some("2nd floor, \"the corner\"".to_owned()),
            firmwares: vec![Firmware { name: None, version: "2RX_3000".into() }],
            sys_object_id: Some("1.3.6.1.4.1.1347.41".to_owned()),
            ..Identity::default()
        }),
        network: Some(Network {
            addresses: vec!["127.30.0.7".to_owned()],
            physical_addresses: vec!["00:17:c8:b9:02:de".to_owned()],
            host_name: Some("KMB902DE".to_owned()),
        }),
        capabilities: Some(Capabilities {
            color: Some(false),
            trays: Some(2),
            services: vec!["print".to_owned()],
            marker_technology: coded("electrophotographicLaser", 4),
            ..Capabilities::default()
        }),
        counters: Some(BTreeMap::from([
            (CounterKey::parse("system.impressions").unwrap(), count(7_342, Basis::Actual, "1.3.6.1.4.1.1347.43.1")),
            (CounterKey::parse("vendor.marker_life_count").unwrap(), count(7_432, Basis::Actual, "1.3.6.1.2.1.43.10")),
        ])),
        supplies: Some(vec![supply(1, Some("black"), Some(50)), supply(2, None, None)]),
        inputs: Some(vec![Tray {
            index: 1,
            name: Some("Cassette 1".to_owned()),
            max_capacity: Some(250),
            level: Some(0),
            level_state: Some(LevelState::Known),
            ..Tray::default()
        }]),
        outputs: Some(vec![]),
        covers: Some(vec![Cover { index: 1, description: None, status: coded("coverClosed", 4) }]),
        alerts: Some(Alerts {
            rows: vec![Alert {
                index: Some(3),
                severity: coded("warning", 4),
                training: coded("untrained", 3),
                group: coded("input", 8),
                group_index: Some(1),
                code: coded("inputMediaSupplyLow", 807),
                description: Some("Add paper\u{1b}[2J".to_owned()),
                ..Alert::default()
            }],
            ..Alerts::default()
        }),
        status: Some(Status {
            state: Some("idle".to_owned()),
            device_status: coded("running", 2),
            printer_status: coded("idle", 3),
            detected_errors: Some(DetectedErrors {
                raw: vec![0x80],
                errors: coded("lowPaper", 0).into_iter().collect(),
            }),
            console: vec!["Ready".to_owned()],
            ..Status::default()
        }),
        gaps: vec![Gap {
            field: "counters.copy.impressions".to_owned(),
            reason: GapReason::NotSupported,
            detail: None,
        }],
    };
    Device {
        address: [127, 30, 0, 7].into(),
        reading,
        mapping_reason: Some("sysObjectID 1.3.6.1.4.1.1347.41".to_owned()),
        traffic: Some(Traffic { requests: 7, responses: 7, bytes_sent: 900, bytes_received: 4_000 }),
    }
}
