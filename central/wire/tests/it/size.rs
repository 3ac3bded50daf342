//! How many sealed bytes a device costs, as the issue measures it: 60 devices with different serials, MACs, addresses,
//! counters and supply levels, all else equal, in as many batches as the limits give. Once as a new site seals them, and
//! once as a site does that is at work for long: each batch names the hashes of 15 others, and what changes rarely was
//! not asked.

use meterpost_wire::batch::{Chain, Link};
use meterpost_wire::keys::{Enc, Epoch, Kid};
use meterpost_wire::labels::{Table, detected_errors};
use meterpost_wire::reading::*;
use meterpost_wire::seal::{PLAINTEXT_MAX, seal};
use meterpost_wire::xml::{assemble, encode_device};
use meterpost_wire::{Batch, CounterKey, Reading};

use crate::batches::{bare, evidence, full, silent, time};
use crate::dice::Dice;

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn coded(table: Table, code: i64) -> Option<Coded> {
    Some(Coded::from_code(table, code))
}

fn mac(dice: &mut Dice) -> String {
    format!("00:1b:a9:{:02x}:{:02x}:{:02x}", dice.below(256), dice.below(256), dice.below(256))
}

fn count(dice: &mut Dice, oid: String) -> Count {
    let evidence = Evidence { oid: Some(oid), rule: some("1"), unverified: false };
    Count { value: dice.below(400_000), basis: Basis::Actual, evidence, unit: None, detail: None }
}

fn supply(dice: &mut Dice, index: u32, kind: i64, colorant: Option<&str>, name: &str) -> Supply {
    let capacity = 1_000 * (10 + u64::from(index));
    let level = dice.below(capacity);
    Supply {
        index,
        marker_index: Some(1),
        class: coded(Table::SupplyClass, 3),
        kind: coded(Table::SupplyType, kind),
        description: some(name),
        colorant: colorant.map(str::to_owned),
        unit: coded(Table::SupplyUnit, 7),
        max_capacity: Some(capacity),
        max_capacity_state: Some(LevelState::Known),
        level: Some(level),
        level_state: Some(LevelState::Known),
        percent: Some((level * 100 / capacity) as u8),
        evidence: evidence(&format!("1.3.6.1.2.1.43.11.1.1.9.1.{index}"), "generic/printer-mib:1"),
        ..Supply::default()
    }
}

fn device(dice: &mut Dice, vendor: &str, model: &str) -> Reading {
    let serial = format!("X{}{:07}", dice.below(10), dice.below(10_000_000));
    let text = |value: &str, oid: &str| Some(Text { value: value.to_owned(), evidence: evidence(oid, "1") });
    Reading {
        key: format!("sn:{}:{serial}", vendor.to_lowercase()),
        mapping: Some(Mapping { pmd: "kyocera/ecosys".to_owned(), pack: 0 }),
        read_at: time("2026-11-20T06:01:44Z"),
        outcome: Outcome::Complete,
        identity: Some(Identity {
            make_and_model: Some(format!("{vendor} {model}")),
            vendor: text(vendor, "1.3.6.1.4.1.99999.1.1.0"),
            model: text(model, "1.3.6.1.4.1.99999.1.2.0"),
            serial_number: text(&serial, "1.3.6.1.2.1.43.5.1.1.17.1"),
            device_id: Some(format!("MFG:{vendor};MDL:{model};CLS:PRINTER;SER:{serial};")),
            system_name: some(model),
            location: some("Floor 2"),
            sys_object_id: some("1.3.6.1.4.1.99999.1.5"),
            firmwares: vec![Firmware { name: None, version: "2XC_S000.002.345".into() }],
            ..Identity::default()
        }),
        network: Some(Network {
            addresses: vec![format!("10.{}.{}.{}", dice.below(4), dice.below(256), dice.below(256))],
            physical_addresses: vec![mac(dice), mac(dice)],
            host_name: some("print-server.example"),
        }),
        capabilities: Some(Capabilities {
            color: Some(true),
            two_sided: Some(true),
            services: ["print", "copy", "scan", "fax_in", "fax_out"].map(str::to_owned).to_vec(),
            pages_per_minute: Some(40),
            marker_technology: coded(Table::MarkerTechnology, 4),
            trays: Some(5),
            finishers: vec!["stitcher".to_owned()],
            languages: ["PCL", "PCLXL", "PostScript", "PDF", "XPS"].map(str::to_owned).to_vec(),
            memory_bytes: Some(4_294_967_296),
            disk_bytes: Some(320_000_000_000),
            ..Capabilities::default()
        }),
        status: Some(Status {
            state: some("idle"),
            device_status: coded(Table::DeviceStatus, 2),
            printer_status: coded(Table::PrinterStatus, 3),
            detected_errors: Some(DetectedErrors { raw: vec![0x80], errors: detected_errors(&[0x80]) }),
            console: vec!["Ready to copy.".to_owned()],
            up_time_seconds: Some(1_794_412),
            ..Status::default()
        }),
        ..silent()
    }
}

/// 11 supplies, 5 trays, 2 outputs, 3 alerts, 20 counters.
fn typical_mfp(dice: &mut Dice) -> Reading {
    let keys = [
        "system.impressions",
        "system.monochrome_impressions",
        "system.full_color_impressions",
        "system.impressions_two_sided",
        "system.large_impressions",
        "print.impressions",
        "print.monochrome_impressions",
        "print.full_color_impressions",
        "copy.impressions",
        "copy.monochrome_impressions",
        "copy.full_color_impressions",
        "fax_in.impressions",
        "fax_out.images",
        "scan.images",
        "scan.monochrome_images",
        "scan.full_color_images",
        "email_out.images",
        "vendor.marker_life_count",
    ];
    let counters = keys.iter().enumerate();
    let counters = counters
        .map(|(i, key)| (CounterKey::parse(key).unwrap(), count(dice, format!("1.3.6.1.4.1.1347.42.3.1.2.1.1.{i}"))));
    let counters = counters.collect();
    let supplies = [
        (3, Some("black"), "TK-8735K"),
        (3, Some("cyan"), "TK-8735C"),
        (3, Some("magenta"), "TK-8735M"),
        (3, Some("yellow"), "TK-8735Y"),
        (9, Some("black"), "DK-8705 (K)"),
        (9, Some("cyan"), "DK-8705 (C)"),
        (9, Some("magenta"), "DK-8705 (M)"),
        (9, Some("yellow"), "DK-8705 (Y)"),
        (4, None, "Waste Toner Box"),
        (15, None, "FK-8705"),
        (20, None, "TR-8705"),
    ];
    let supplies = supplies.iter().enumerate();
    let supplies = supplies.map(|(i, (kind, colour, name))| supply(dice, i as u32 + 1, *kind, *colour, name)).collect();
    let tray = |index: u32| Tray {
        index,
        name: Some(format!("Tray {index}")),
        max_capacity: Some(500),
        max_capacity_state: Some(LevelState::Known),
        level: Some(250),
        level_state: Some(LevelState::Known),
    };
    let alert = |index: u32, group: i64, code: i64| Alert {
        index: Some(index),
        severity: coded(Table::AlertSeverity, 4),
        training: coded(Table::AlertTraining, 3),
        group: coded(Table::AlertGroup, group),
        group_index: Some(1),
        location: Some(-2),
        code: coded(Table::AlertCode, code),
        description: some("Add paper to tray 1"),
        up_time_ticks: Some(81_212_600),
        time: Some(time("2026-11-20T05:58:10Z")),
        ..Alert::default()
    };
    Reading {
        counters: Some(counters),
        supplies: Some(supplies),
        inputs: Some((1..=5).map(tray).collect()),
        outputs: Some((1..=2).map(tray).collect()),
        covers: Some(
            (1..=4)
                .map(|index| Cover {
                    index,
                    description: Some(format!("Cover {index}")),
                    status: coded(Table::CoverStatus, 4),
                })
                .collect(),
        ),
        alerts: Some(Alerts {
            scope: AlertScope::All,
            rows: vec![alert(1, 8, 807), alert(2, 11, 1104), alert(3, 6, 3)],
        }),
        gaps: vec![Gap { field: "identity.asset_tag".to_owned(), reason: GapReason::NotSupported, detail: None }],
        ..device(dice, "Kyocera", "TASKalfa 4000ci")
    }
}

/// 4 supplies, 8 counters.
fn a4_printer(dice: &mut Dice) -> Reading {
    let mfp = typical_mfp(dice);
    Reading {
        counters: mfp.counters.map(|counters| counters.into_iter().take(8).collect()),
        supplies: mfp.supplies.map(|supplies| supplies.into_iter().take(4).collect()),
        inputs: mfp.inputs.map(|inputs| inputs.into_iter().take(2).collect()),
        outputs: mfp.outputs.map(|outputs| outputs.into_iter().take(1).collect()),
        covers: Some(Vec::new()),
        alerts: Some(Alerts::default()),
        ..mfp
    }
}

/// A device that is known by now.
fn known(reading: Reading) -> Reading {
    Reading { capabilities: None, ..reading }
}

fn chain(dice: &mut Dice) -> Chain {
    let mut hash = || (0..64).map(|_| format!("{:x}", dice.below(16))).collect();
    Chain { links: (0..15).map(|n| Link { sequence: 39 - n, sha256: hash() }).collect(), voids: Vec::new() }
}

#[track_caller]
fn check(device: impl Fn(&mut Dice) -> Reading, linked: bool, sealed_bytes_max: usize) {
    let mut dice = Dice(1);
    let devices: Vec<String> = (0..60).map(|_| encode_device(&device(&mut dice))).collect();
    let head = Batch { sweep: full().sweep, due_next: full().due_next, previous: full().previous, ..bare() };
    let epoch = Epoch::new(Kid::parse(&format!("{}.1", bare().site)).unwrap(), Enc::A256CbcHs512, [1; 32]);
    let (mut batches, mut sealed, mut rest) = (0, 0, devices.as_slice());
    while !rest.is_empty() {
        let head = Batch { chain: linked.then(|| chain(&mut dice)), ..head.clone() };
        let fits = (1..=rest.len()).rev().find(|fits| assemble(&head, &rest[..*fits]).len() <= PLAINTEXT_MAX).unwrap();
        let xml = assemble(&head, &rest[..fits]);
        sealed += seal(xml.as_bytes(), epoch.kid(), &epoch.batch_key(), [0; 16]).unwrap().len();
        batches += 1;
        rest = &rest[fits..];
    }
    let per_device = sealed / devices.len();
    eprintln!("{} bytes of XML, {per_device} sealed, in {batches} batches", devices[0].len());
    assert!(per_device <= sealed_bytes_max, "{per_device} sealed bytes per device");
}

#[test]
fn a_typical_mfp_costs_at_most_650_sealed_bytes() {
    check(typical_mfp, false, 650);
    check(|dice| known(typical_mfp(dice)), true, 650);
}

#[test]
fn an_a4_printer_with_4_supplies_costs_at_most_350_sealed_bytes() {
    check(a4_printer, false, 350);
    check(|dice| known(a4_printer(dice)), true, 350);
}
