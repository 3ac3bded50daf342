//! A device at a glance: why this mapping, each counter with the rule and the object behind it, what is absent.

use std::fmt::Write as _;

use meterpost_wire::reading::{GapReason, LevelState, Supply};

use crate::author::{Device, wrapped};
use crate::pmd::Library;

/// What was read and what was not, and why this mapping was picked.
pub fn overview(device: &Device, library: &Library) -> String {
    let reading = &device.reading;
    let mut text = format!("{}\n", device.title());
    let identity = reading.identity.as_ref();
    let facts = [
        ("serial number", identity.and_then(|identity| identity.serial_number.as_ref()).map(|text| text.value.clone())),
        (
            "firmware",
            identity.and_then(|identity| identity.firmwares.first()).map(|firmware| firmware.version.value.clone()),
        ),
        ("sysObjectID", device.identity.sys_object_id.as_ref().map(ToString::to_string)),
        ("sysDescr", device.identity.description.clone()),
        ("IEEE 1284 id", device.identity.device_id.clone()),
        ("hrDeviceDescr", device.identity.device_description.clone()),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            text += &wrapped(&format!("{name}: {value}"), 2);
        }
    }
    text.push_str("\nMAPPING\n");
    text += &wrapped(&format!("{}: {}", device.choice.pmd.name, device.choice.reason), 2);
    for (name, why) in library.passed_over(&device.identity, &device.choice.pmd) {
        text += &wrapped(&format!("not {name}: {why}"), 2);
    }
    text.push_str("\nCOUNTERS\n");
    for (key, count) in reading.counters.iter().flatten() {
        let mark = if count.evidence.unverified { ", unverified" } else { "" };
        let rule = count.evidence.rule.as_deref().unwrap_or("-");
        let _ = writeln!(text, "  {:<44} {:>12}  {}{mark}", key.as_str(), count.value, count.basis.as_str());
        let oid = count.evidence.oid.as_deref().unwrap_or("computed");
        text += &wrapped(&format!("rule {rule}, {oid}"), 6);
        if let Some(detail) = &count.detail {
            text += &wrapped(detail, 6);
        }
    }
    if reading.counters.is_none() {
        text.push_str("  none\n");
    }
    if let Some(supplies) = &reading.supplies {
        text.push_str("\nSUPPLIES\n");
        for supply in supplies {
            text += &wrapped(&supplied(supply), 2);
        }
    }
    let absent: Vec<_> = reading.gaps.iter().collect();
    if !absent.is_empty() {
        text.push_str("\nABSENT\n");
    }
    let of_reason = |reason: GapReason| absent.iter().filter(move |gap| gap.reason == reason);
    let unsupported: Vec<&str> = of_reason(GapReason::NotSupported).map(|gap| gap.field.as_str()).collect();
    if !unsupported.is_empty() {
        text += &wrapped(&format!("the device has none of these: {}", unsupported.join(", ")), 2);
    }
    for gap in absent.iter().filter(|gap| gap.reason != GapReason::NotSupported) {
        let detail = gap.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
        text += &wrapped(&format!("{} {}{detail}", gap.field, gap.reason.as_str().replace('_', " ")), 2);
    }
    text.push_str("\nName a field to see every rule that was tried for it, as in `system.impressions`.\n");
    text
}

/// A supply in one line: index, colour, kind, description, level.
pub fn supplied(supply: &Supply) -> String {
    let kind = supply.kind.as_ref().map_or("supply", |kind| kind.label.as_str());
    let mut text =
        format!("{} {}{kind}", supply.index, supply.colorant.as_ref().map(|c| format!("{c} ")).unwrap_or_default());
    if let Some(description) = &supply.description {
        let _ = write!(text, " \"{description}\"");
    }
    match (supply.percent, supply.level_state) {
        (Some(percent), _) => {
            let _ = write!(text, ": {percent} %");
        }
        (None, Some(LevelState::SomeRemaining)) => text.push_str(": some remaining"),
        (None, Some(state)) => {
            let _ = write!(text, ": level {}", state.as_str());
        }
        (None, None) => text.push_str(": no level"),
    }
    if let (Some(level), Some(capacity)) = (supply.level, supply.max_capacity) {
        let _ = write!(text, " ({level} of {capacity})");
    }
    text
}
