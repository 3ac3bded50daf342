//! Whatever a reading holds comes back from its XML, and its XML is XML to others too.

use std::collections::BTreeMap;

use jiff::Timestamp;
use meterpost_wire::batch::*;
use meterpost_wire::counters::{CLASSES, COUNTERS, SERVICES};
use meterpost_wire::labels::{Table, detected_errors};
use meterpost_wire::reading::*;
use meterpost_wire::xml::{Decoded, Notes, decode, encode};
use meterpost_wire::{Batch, CounterKey, Reading};
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use crate::batches::{bare, silent};
use crate::dice::Dice;

/// Characters that XML must escape, fold or leave alone.
const CHARACTERS: [char; 20] = [
    'a', 'Z', '0', ' ', '<', '>', '&', '"', '\'', ']', '\t', '\n', '\r', 'ä', '漢', '\u{85}', '\u{2028}', '\u{FFFD}',
    '🖨', ';',
];

fn text(dice: &mut Dice) -> String {
    dice.some(24, |dice| *dice.one(&CHARACTERS)).into_iter().collect()
}

fn word(dice: &mut Dice) -> String {
    (*dice.one(&["lost", "a", "b_c", "x9"])).to_owned()
}

fn time(dice: &mut Dice) -> Timestamp {
    Timestamp::from_second(dice.below(4_102_444_800) as i64).unwrap()
}

fn number(dice: &mut Dice) -> u64 {
    *dice.one(&[0, 1, 250, 4_294_967_296, u64::MAX])
}

fn small(dice: &mut Dice) -> u32 {
    *dice.one(&[0, 1, 250, u32::MAX])
}

fn evidence(dice: &mut Dice) -> Evidence {
    Evidence { oid: dice.maybe(text), rule: dice.maybe(text), unverified: dice.below(2) == 0 }
}

fn evident(dice: &mut Dice) -> Text {
    Text { value: text(dice), evidence: evidence(dice) }
}

fn coded(dice: &mut Dice) -> Coded {
    Coded { label: text(dice), code: dice.maybe(|dice| *dice.one(&[i64::MIN, -2, 0, 30_413])) }
}

fn state(dice: &mut Dice) -> LevelState {
    *dice.one(&[LevelState::Known, LevelState::SomeRemaining, LevelState::Unknown, LevelState::Unrestricted])
}

/// A capacity or level that is there has a state: when nothing else is said, it is known.
fn measured(dice: &mut Dice) -> (Option<u64>, Option<LevelState>) {
    match dice.maybe(number) {
        None => (None, dice.maybe(state)),
        value => (value, Some(state(dice))),
    }
}

fn count(dice: &mut Dice, unit: Option<String>) -> Count {
    let basis = *dice.one(&[Basis::Actual, Basis::Derived, Basis::Suspect]);
    Count { value: number(dice), basis, evidence: evidence(dice), unit, detail: dice.maybe(text) }
}

fn counter(dice: &mut Dice) -> (CounterKey, Count) {
    let ((service, _), (class, _), (counter, _)) = (dice.one(&SERVICES), dice.one(&CLASSES), dice.one(&COUNTERS));
    let of_vendor = dice.below(3) == 0;
    let key = match (of_vendor, class.is_empty()) {
        (true, _) => format!("vendor.{}", word(dice)),
        (false, true) => format!("{service}.{counter}"),
        (false, false) => format!("{service}.{class}.{counter}"),
    };
    let unit = if of_vendor { dice.maybe(text) } else { None };
    (CounterKey::parse(&key).unwrap(), count(dice, unit))
}

fn supply(dice: &mut Dice) -> Supply {
    let (max_capacity, max_capacity_state) = measured(dice);
    let (level, level_state) = measured(dice);
    Supply {
        index: small(dice),
        marker_index: dice.maybe(small),
        class: dice.maybe(coded),
        kind: dice.maybe(coded),
        description: dice.maybe(text),
        colorant: dice.maybe(text),
        colorant_role: dice.maybe(coded),
        unit: dice.maybe(coded),
        max_capacity,
        max_capacity_state,
        level,
        level_state,
        percent: dice.maybe(|dice| dice.below(101) as u8),
        serial_number: dice.maybe(text),
        part_number: dice.maybe(text),
        installed: dice.maybe(time),
        impressions_since_installed: dice.maybe(|dice| count(dice, None)),
        impressions_remaining: dice.maybe(|dice| count(dice, None)),
        evidence: evidence(dice),
    }
}

fn tray(dice: &mut Dice) -> Tray {
    let (max_capacity, max_capacity_state) = measured(dice);
    let (level, level_state) = measured(dice);
    Tray { index: small(dice), name: dice.maybe(text), max_capacity, max_capacity_state, level, level_state }
}

fn alert(dice: &mut Dice) -> Alert {
    let description = dice.maybe(text);
    Alert {
        index: dice.maybe(small),
        severity: dice.maybe(coded),
        training: dice.maybe(coded),
        group: dice.maybe(coded),
        group_index: dice.maybe(|dice| *dice.one(&[-1, 0, i32::MAX])),
        location: dice.maybe(|dice| *dice.one(&[i32::MIN, -2, 7])),
        code: dice.maybe(coded),
        language: description.as_ref().and_then(|_| dice.maybe(text)),
        description,
        up_time_ticks: dice.maybe(small),
        time: dice.maybe(time),
        clear_time: dice.maybe(time),
    }
}

fn identity(dice: &mut Dice) -> Identity {
    Identity {
        make_and_model: dice.maybe(text),
        vendor: dice.maybe(evident),
        model: dice.maybe(evident),
        serial_number: dice.maybe(evident),
        asset_tag: dice.maybe(evident),
        uuid: dice.maybe(|_| "564e4233-4b31-3233-3435-a0b1c2d3e4f5".to_owned()),
        device_id: dice.maybe(text),
        system_name: dice.maybe(text),
        location: dice.maybe(text),
        contact: dice.maybe(text),
        system_info: dice.maybe(text),
        sys_object_id: dice.maybe(text),
        firmwares: dice.some(2, |dice| Firmware { name: dice.maybe(text), version: evident(dice) }),
    }
}

fn capabilities(dice: &mut Dice) -> Capabilities {
    Capabilities {
        color: dice.maybe(|dice| dice.below(2) == 0),
        two_sided: dice.maybe(|dice| dice.below(2) == 0),
        services: dice.some(3, |dice| (*dice.one(&["print", "fax_in", "system_control"])).to_owned()),
        pages_per_minute: dice.maybe(small),
        pages_per_minute_color: dice.maybe(small),
        marker_technology: dice.maybe(coded),
        max_media_size: dice.maybe(text),
        trays: dice.maybe(small),
        finishers: dice.some(2, text),
        languages: dice.some(3, text),
        memory_bytes: dice.maybe(number),
        disk_bytes: dice.maybe(number),
    }
}

fn status(dice: &mut Dice) -> Status {
    let raw = dice.some(3, |dice| dice.below(256) as u8);
    Status {
        state: dice.maybe(|dice| (*dice.one(&["idle", "processing", "other"])).to_owned()),
        device_status: dice.maybe(|_| Coded::from_code(Table::DeviceStatus, 2)),
        printer_status: dice.maybe(coded),
        detected_errors: dice.maybe(|_| DetectedErrors { errors: detected_errors(&raw), raw }),
        state_reasons: dice.some(2, text),
        console: dice.some(4, text),
        up_time_seconds: dice.maybe(small),
    }
}

fn reading(dice: &mut Dice, number: u64) -> Reading {
    let reasons = [GapReason::NotSupported, GapReason::NoAnswer, GapReason::Rejected, GapReason::Policy];
    Reading {
        key: format!("{number}{}", text(dice)),
        mapping: dice.maybe(|dice| Mapping { pmd: text(dice) + "/", pack: dice.below(9) }),
        scope: *dice.one(&[Scope::Full, Scope::Alerts]),
        read_at: time(dice),
        outcome: *dice.one(&[Outcome::Complete, Outcome::Partial, Outcome::Denied, Outcome::Unmapped]),
        identity: dice.maybe(identity),
        network: dice.maybe(|dice| Network {
            addresses: dice.some(2, text),
            physical_addresses: dice.some(2, text),
            host_name: dice.maybe(text),
        }),
        capabilities: dice.maybe(capabilities),
        counters: dice.maybe(|dice| dice.some(12, counter).into_iter().collect::<BTreeMap<_, _>>()),
        supplies: dice.maybe(|dice| dice.some(3, supply)),
        inputs: dice.maybe(|dice| dice.some(3, tray)),
        outputs: dice.maybe(|dice| dice.some(2, tray)),
        covers: dice.maybe(|dice| {
            dice.some(2, |dice| Cover { index: small(dice), description: dice.maybe(text), status: dice.maybe(coded) })
        }),
        alerts: dice.maybe(|dice| Alerts {
            scope: *dice.one(&[AlertScope::All, AlertScope::Changes]),
            rows: dice.some(3, alert),
        }),
        status: dice.maybe(status),
        gaps: dice.some(3, |dice| Gap { field: text(dice), reason: *dice.one(&reasons), detail: dice.maybe(text) }),
    }
}

fn batch(dice: &mut Dice) -> Batch {
    let sha256 = "0123456789abcdef".repeat(4);
    Batch {
        min_reader: dice.maybe(|_| "1.0".to_owned()),
        sequence: 1 + dice.below(1 << 30),
        previous: dice.maybe(|_| sha256.clone()),
        created: time(dice),
        due_next: dice.maybe(time),
        collector: Collector {
            name: text(dice),
            version: text(dice),
            pack_version: dice.maybe(number),
            settings_version: dice.maybe(number),
        },
        sweep: dice.maybe(|dice| Sweep {
            id: text(dice),
            part: dice.maybe(small),
            parts: dice.maybe(small),
            started_at: time(dice),
            ended_at: dice.maybe(time),
            addresses_probed: dice.maybe(small),
            devices_answered: dice.maybe(small),
            printers: dice.maybe(small),
            verdicts: dice.maybe(|dice| dice.some(3, |dice| (text(dice), small(dice)))),
        }),
        chain: dice.maybe(|dice| Chain {
            links: dice.some(15, |dice| Link { sequence: 1 + dice.below(99), sha256: sha256.clone() }),
            voids: dice.some(3, |dice| {
                let reasons = [VoidReason::Lost, VoidReason::Deleted, VoidReason::Expired, VoidReason::SetAside];
                Void { from: 1 + dice.below(9), to: 9 + dice.below(9), reason: *dice.one(&reasons) }
            }),
        }),
        health: dice.maybe(|dice| Health {
            uptime_seconds: dice.maybe(number),
            disk_free_bytes: dice.maybe(number),
            queue_waiting: dice.maybe(small),
            queue_handed_over: dice.maybe(small),
            queue_set_aside: dice.maybe(small),
            queue_oldest_at: dice.maybe(time),
            sweeps_not_sealed: dice.maybe(small),
            clock_skew_seconds: dice.maybe(|dice| *dice.one(&[i64::MIN, -1, 300])),
            schedule: dice.maybe(text),
            operating_system: dice.maybe(text),
            store_bytes: dice.maybe(number),
            errors: dice.some(8, |dice| HealthError { at: time(dice), code: text(dice), text: text(dice) }),
        }),
        devices: (0..dice.below(4)).map(|number| reading(dice, number)).collect(),
        ..bare()
    }
}

#[test]
fn what_a_batch_holds_comes_back_and_is_xml_to_others() {
    let mut dice = Dice(11);
    for _ in 0..400 {
        let batch = batch(&mut dice);
        let xml = encode(&batch);
        roxmltree::Document::parse(&xml).unwrap();
        assert_eq!(
            decode(xml.as_bytes()),
            Ok(Decoded { batch, set_aside: Vec::new(), notes: Notes::default() }),
            "{xml}"
        );
    }
}

proptest! {
    /// Any text at all, in an element and in an attribute: composed, and with U+FFFD for characters that XML has not.
    #[test]
    fn any_text_is_carried(text: String) {
        let replaced = text.chars().map(|c| if is_xml(c) { c } else { '\u{FFFD}' });
        let clean = replaced.nfc().take(255).collect::<String>();
        let gap = Gap { field: text.clone(), reason: GapReason::Policy, detail: None };
        let network = Network { host_name: Some(text.clone()), ..Network::default() };
        let reading = Reading { network: Some(network), gaps: vec![gap], ..silent() };
        let xml = encode(&Batch { devices: vec![reading], ..bare() });
        let read = decode(xml.as_bytes()).unwrap().batch.devices.remove(0);
        prop_assert_eq!(read.network.unwrap().host_name.unwrap(), clean.clone());
        prop_assert_eq!(&read.gaps[0].field, &clean);
        roxmltree::Document::parse(&xml).unwrap();
    }
}

/// XML 1.0, section 2.2.
fn is_xml(c: char) -> bool {
    matches!(u32::from(c), 0x9 | 0xa | 0xd | 0x20..=0xd7ff | 0xe000..=0xfffd | 0x1_0000..)
}
