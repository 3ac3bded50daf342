//! Batches made by hand, one for each golden file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use meterpost_wire::batch::*;
use meterpost_wire::labels::{Table, detected_errors};
use meterpost_wire::reading::*;
use meterpost_wire::{Batch, CounterKey, Reading};

const SHA256: &str = "2485b7d8aa7461aaefc50bc1ec05597b3346376c36c8bb800c4889efbcd698c4";

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub fn evidence(oid: &str, rule: &str) -> Evidence {
    Evidence { oid: some(oid), rule: some(rule), unverified: false }
}

/// A batch without devices, sweep or health: what a site sends to say that it lives.
pub fn bare() -> Batch {
    Batch {
        schema_version: SCHEMA_VERSION.to_owned(),
        min_reader: None,
        id: "0192f0c1-7b7e-7000-8000-000000000001".to_owned(),
        site: "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10".to_owned(),
        sequence: 1,
        previous: None,
        created: time("2026-11-20T06:03:12Z"),
        due_next: None,
        collector: Collector { name: "meterpost".to_owned(), version: "0.1.0".to_owned(), ..Collector::default() },
        sweep: None,
        chain: None,
        health: None,
        devices: Vec::new(),
    }
}

/// Every field of the batch itself.
pub fn full() -> Batch {
    Batch {
        sequence: 41,
        previous: some(SHA256),
        due_next: Some(time("2026-11-20T12:00:00Z")),
        collector: Collector { pack_version: Some(12), settings_version: Some(7), ..bare().collector },
        sweep: Some(Sweep {
            id: "s-20261120-0600".to_owned(),
            part: Some(2),
            parts: Some(2),
            started_at: time("2026-11-20T06:00:00Z"),
            ended_at: Some(time("2026-11-20T06:03:09Z")),
            addresses_probed: Some(508),
            devices_answered: Some(2),
            printers: Some(1),
            verdicts: Some(vec![("printer".to_owned(), 1), ("not_printer".to_owned(), 1), ("silent".to_owned(), 506)]),
        }),
        chain: Some(Chain {
            links: vec![Link { sequence: 37, sha256: SHA256.replace('2', "3") }],
            voids: vec![
                Void { from: 38, to: 39, reason: VoidReason::Lost },
                Void { from: 20, to: 20, reason: VoidReason::SetAside },
            ],
        }),
        health: Some(Health {
            uptime_seconds: Some(86_400),
            disk_free_bytes: Some(21_474_836_480),
            queue_waiting: Some(3),
            queue_handed_over: Some(0),
            queue_set_aside: Some(1),
            queue_oldest_at: Some(time("2026-11-19T06:00:00Z")),
            sweeps_not_sealed: Some(0),
            clock_skew_seconds: Some(-1),
            schedule: some("0 */6 * * *"),
            operating_system: None,
            store_bytes: None,
            errors: vec![HealthError {
                at: time("2026-11-20T05:00:00Z"),
                code: "store-damaged".to_owned(),
                text: "salvaged 3 of 4 items".to_owned(),
            }],
        }),
        devices: vec![everything(), silent(), alerts_only()],
        ..bare()
    }
}

/// A known device that did not answer: key, time, outcome and nothing else.
pub fn silent() -> Reading {
    let read_at = time("2026-11-20T06:02:10Z");
    Reading::empty("mac:a0:b1:c2:d3:e4:f6".to_owned(), Scope::Full, read_at, Outcome::Unreachable)
}

/// Status and alerts of a device, with one alert that is over and empty tables beside.
pub fn alerts_only() -> Reading {
    Reading {
        key: "h:0123456789abcdef0123456789abcdef".to_owned(),
        scope: Scope::Alerts,
        outcome: Outcome::Partial,
        supplies: Some(Vec::new()),
        alerts: Some(Alerts {
            scope: AlertScope::Changes,
            rows: vec![Alert { clear_time: Some(time("2026-11-20T06:02:09Z")), ..paper_low() }],
        }),
        status: Some(Status { detected_errors: Some(DetectedErrors::default()), ..Status::default() }),
        ..silent()
    }
}

fn paper_low() -> Alert {
    Alert {
        index: Some(17),
        severity: Some(Coded::from_code(Table::AlertSeverity, 4)),
        training: Some(Coded::from_code(Table::AlertTraining, 3)),
        group: Some(Coded::from_code(Table::AlertGroup, 8)),
        group_index: Some(2),
        location: Some(-2),
        code: Some(Coded::from_code(Table::AlertCode, 807)),
        description: some("Tray 2 low"),
        language: some("en"),
        up_time_ticks: Some(81_212_600),
        time: Some(time("2026-11-20T05:58:10Z")),
        clear_time: None,
    }
}

pub fn count(value: u64, oid: &str) -> Count {
    Count { value, basis: Basis::Actual, evidence: evidence(oid, "1"), unit: None, detail: None }
}

/// Every field of a device.
pub fn everything() -> Reading {
    Reading {
        key: "sn:acme:VNB3K12345".to_owned(),
        mapping: Some(Mapping { pmd: "acme/laserbeam".to_owned(), pack: 12 }),
        scope: Scope::Full,
        read_at: time("2026-11-20T06:01:44Z"),
        outcome: Outcome::Complete,
        identity: Some(Identity {
            make_and_model: some("ACME LaserBeam 500 MFP"),
            vendor: Some("ACME".into()),
            model: Some(Text {
                value: "LaserBeam 500 MFP".to_owned(),
                evidence: evidence("1.3.6.1.2.1.25.3.2.1.3.1", "generic/printer-mib:2"),
            }),
            serial_number: Some(Text {
                value: "VNB3K12345".to_owned(),
                evidence: evidence("1.3.6.1.2.1.43.5.1.1.17.1", "2"),
            }),
            asset_tag: Some("IT-4711 <\"&'>".into()),
            uuid: some("564e4233-4b31-3233-3435-a0b1c2d3e4f5"),
            device_id: some("MFG:ACME;MDL:LaserBeam 500;CMD:PCL,PS;"),
            system_name: some("prt-2og-01"),
            location: some("2. OG, Büro Süd"),
            contact: some("IT"),
            system_info: some("ACME LaserBeam 500\r\nFW 2409081"),
            sys_object_id: some("1.3.6.1.4.1.99999.1.5"),
            firmwares: vec![
                Firmware { name: None, version: "2409081_000123".into() },
                Firmware { name: some("network"), version: "1.7".into() },
            ],
        }),
        network: Some(Network {
            addresses: vec!["192.0.2.41".to_owned(), "2001:db8::41".to_owned()],
            physical_addresses: vec!["a0:b1:c2:d3:e4:f5".to_owned()],
            host_name: some("prt-2og-01.example"),
        }),
        capabilities: Some(Capabilities {
            color: Some(true),
            two_sided: Some(false),
            services: ["print", "copy", "scan", "fax_in", "email_out"].map(str::to_owned).to_vec(),
            pages_per_minute: Some(40),
            pages_per_minute_color: Some(38),
            marker_technology: Some(Coded::from_code(Table::MarkerTechnology, 4)),
            max_media_size: some("iso_a4_210x297mm"),
            trays: Some(2),
            finishers: vec!["stitcher".to_owned()],
            languages: vec!["PCL".to_owned(), "PostScript".to_owned()],
            memory_bytes: Some(536_870_912),
            disk_bytes: Some(0),
        }),
        counters: Some(counters()),
        supplies: Some(supplies()),
        inputs: Some(vec![
            Tray {
                index: 1,
                name: some("Tray 1"),
                max_capacity: Some(250),
                max_capacity_state: Some(LevelState::Known),
                level: None,
                level_state: Some(LevelState::SomeRemaining),
            },
            Tray { index: 2, level: Some(40), level_state: Some(LevelState::Known), ..Tray::default() },
        ]),
        outputs: Some(vec![Tray { index: 1, level_state: Some(LevelState::Unrestricted), ..Tray::default() }]),
        covers: Some(vec![Cover {
            index: 1,
            description: some("Front door"),
            status: Some(Coded::from_code(Table::CoverStatus, 4)),
        }]),
        alerts: Some(Alerts {
            scope: AlertScope::All,
            rows: vec![
                paper_low(),
                Alert { code: Some(Coded::from_code(Table::AlertCode, 40_001)), ..Alert::default() },
            ],
        }),
        status: Some(Status {
            state: some("idle"),
            device_status: Some(Coded::from_code(Table::DeviceStatus, 3)),
            printer_status: Some(Coded::from_code(Table::PrinterStatus, 3)),
            detected_errors: Some(DetectedErrors { raw: vec![0x80, 0x04], errors: detected_errors(&[0x80, 0x04]) }),
            state_reasons: vec!["media-low-warning".to_owned()],
            console: vec!["Ready".to_owned(), "Tray 2 low".to_owned()],
            up_time_seconds: Some(812_340),
        }),
        gaps: vec![
            Gap { field: "counters.fax_in.impressions".to_owned(), reason: GapReason::NotSupported, detail: None },
            Gap { field: "supplies".to_owned(), reason: GapReason::Policy, detail: some("limit") },
        ],
    }
}

fn counters() -> BTreeMap<CounterKey, Count> {
    let rows = [
        ("system.impressions", count(184_213, "1.3.6.1.4.1.99999.4.1.1")),
        ("system.monochrome_impressions", count(120_001, "1.3.6.1.4.1.99999.4.1.2")),
        (
            "system.full_color_impressions",
            Count {
                basis: Basis::Suspect,
                detail: some("mono 120001 + colour 64212 is not 184213"),
                ..count(64_212, "1.3.6.1.4.1.99999.4.1.3")
            },
        ),
        ("system.large_impressions", count(0, "1.3.6.1.4.1.99999.4.1.4")),
        ("system.waste.impressions", count(7, "1.3.6.1.4.1.99999.4.1.5")),
        (
            "print.full_color_impressions",
            Count {
                basis: Basis::Derived,
                evidence: Evidence {
                    oid: some("1.3.6.1.4.1.99999.4.1.7 1.3.6.1.4.1.99999.4.1.8"),
                    rule: some("2"),
                    unverified: true,
                },
                ..count(55_000, "")
            },
        ),
        ("scan.images", count(44_120, "1.3.6.1.4.1.99999.4.1.9")),
        (
            "vendor.marker_life_count",
            Count {
                unit: some("impressions"),
                evidence: evidence("1.3.6.1.2.1.43.10.2.1.4.1.1", "generic/printer-mib:1"),
                ..count(184_213, "")
            },
        ),
        (
            "vendor.staples_used",
            Count { evidence: Evidence { rule: some("3"), ..Evidence::default() }, ..count(u64::MAX, "") },
        ),
    ];
    rows.into_iter().map(|(key, value)| (CounterKey::parse(key).unwrap(), without_empty_oid(value))).collect()
}

fn without_empty_oid(count: Count) -> Count {
    let oid = count.evidence.oid.clone().filter(|oid| !oid.is_empty());
    Count { evidence: Evidence { oid, ..count.evidence }, ..count }
}

fn supplies() -> Vec<Supply> {
    vec![
        Supply {
            index: 1,
            marker_index: Some(1),
            class: Some(Coded::from_code(Table::SupplyClass, 3)),
            kind: Some(Coded::from_code(Table::SupplyType, 21)),
            description: some("Black Cartridge 55X"),
            colorant: some("black"),
            colorant_role: Some(Coded::from_code(Table::ColorantRole, 3)),
            unit: Some(Coded::from_code(Table::SupplyUnit, 7)),
            max_capacity: Some(12_500),
            max_capacity_state: Some(LevelState::Known),
            level: Some(4_375),
            level_state: Some(LevelState::Known),
            percent: Some(35),
            serial_number: some("C0FFEE"),
            part_number: some("55X"),
            installed: Some(time("2026-09-01T00:00:00Z")),
            impressions_since_installed: Some(count(8_125, "1.3.6.1.4.1.99999.5.1")),
            impressions_remaining: Some(count(4_375, "1.3.6.1.4.1.99999.5.2")),
            evidence: evidence("1.3.6.1.2.1.43.11.1.1.9.1.1", "generic/printer-mib:1"),
        },
        Supply {
            index: 5,
            class: Some(Coded::from_code(Table::SupplyClass, 4)),
            kind: Some(Coded::from_code(Table::SupplyType, 4)),
            max_capacity_state: Some(LevelState::Unknown),
            level_state: Some(LevelState::SomeRemaining),
            ..Supply::default()
        },
    ]
}
