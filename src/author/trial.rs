//! Mapping files against a recording: what each field reads and by which rule, what changes against another library, and what
//! is not as the sidecar beside the recording says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::why::supplied;
use super::{Device, WIDTH};
use crate::normalise::text::folded;
use crate::show;

/// Characters of a value in a list; longer ones are cut.
const VALUE_CHARS_MAX: usize = 44;
/// Sections that a sidecar may speak of field by field.
const FIELDS: [&str; 5] = ["identity", "network", "capabilities", "status", "counters"];
/// Sections of rows.
const ROWS: [&str; 3] = ["supplies", "inputs", "alerts"];
/// What a sidecar says of a value that no reading has.
const ASIDE: [&str; 2] = ["tlv_tag", "time"];

/// What a reading does not say as its sidecar does. `device` is none where the recording is of no printer.
pub fn misses(truth: &Value, device: Option<&Device>) -> Vec<String> {
    let is_printer = truth.get("is_printer").and_then(Value::as_bool).unwrap_or(true);
    let Some(device) = device.filter(|_| is_printer) else {
        return match (device.is_some(), is_printer) {
            (true, false) => vec!["it was read as a printer, and the sidecar says that it is none".to_owned()],
            (false, true) => vec!["it was read as no printer, and the sidecar says that it is one".to_owned()],
            _ => Vec::new(),
        };
    };
    let read = as_json(device);
    let unjudged: Vec<&str> = truth["unjudged"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut wrong = Vec::new();
    for section in FIELDS {
        for (key, expected) in truth[section].as_object().into_iter().flatten() {
            if !unjudged.contains(&key.as_str()) {
                compare(&format!("{section}.{key}"), expected, &read[section][key], &mut wrong);
            }
        }
    }
    let total = |value: &Value| value["counters"]["system.impressions"]["value"].as_u64();
    if truth["counters"].is_object() && total(truth).is_none() {
        wrong
            .extend(total(&read).map(|total| format!("counters.system.impressions is {total}, and none was expected")));
    }
    for section in ROWS {
        let mut found = read[section].as_array().cloned().unwrap_or_default();
        for expected in truth[section].as_array().into_iter().flatten() {
            let keys: &[&str] = match expected["index"].is_null() {
                true => &["type", "colorant", "description"],
                false => &["index"],
            };
            let is_it =
                |row: &Value| keys.iter().all(|key| expected[key].is_null() || alike(&expected[key], &row[key]));
            let name = keys.iter().map(|key| shown(&expected[key])).collect::<Vec<_>>().join(" ");
            match found.iter().position(is_it) {
                Some(place) => compare(&format!("{section} {name}"), expected, &found.remove(place), &mut wrong),
                None => wrong.push(format!("{section} {name} is absent")),
            }
        }
        if truth[section].is_array() {
            wrong.extend(found.iter().map(|row| format!("{section} {} was not expected", shown(&row["index"]))));
        }
    }
    wrong
}

/// How many values a sidecar states.
pub fn statements(truth: &Value) -> usize {
    let fields = |section: &&str| truth[*section].as_object().map_or(0, serde_json::Map::len);
    let rows = |section: &&str| truth[*section].as_array().map_or(0, Vec::len);
    FIELDS.iter().map(fields).sum::<usize>() + ROWS.iter().map(rows).sum::<usize>()
}

fn compare(what: &str, expected: &Value, found: &Value, wrong: &mut Vec<String>) {
    match expected {
        Value::Object(expected) => {
            // where a value was read and what it was computed from may be left out
            for (key, value) in expected.iter().filter(|(key, _)| !ASIDE.contains(&key.as_str())) {
                compare(&format!("{what} {key}"), value, &found[key], wrong);
            }
        }
        _ if alike(expected, found) => {}
        _ => wrong.push(format!("{what} is {}, not {}", shown(found), shown(expected))),
    }
}

/// Texts without regard to case, blanks and punctuation; all else exactly.
fn alike(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::String(one), Value::String(other)) => folded(one) == folded(other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (one, other) => one == other,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "absent".to_owned(),
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    }
}

/// The device's entry in the JSON of `scan`.
fn as_json(device: &Device) -> Value {
    let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let reading = device.reading.clone();
    let entry = show::Device { address, reading, mapping_reason: None, traffic: None };
    let mut text = Vec::new();
    let scan = show::Scan { devices: vec![entry], ..show::Scan::default() };
    match show::json(&scan, &mut text).map(|()| serde_json::from_slice::<Value>(&text)) {
        Ok(Ok(mut object)) => object["devices"][0].take(),
        // a Vec takes everything, and what was just written can be read
        _ => Value::Null,
    }
}

/// What each field reads, with the rule.
pub fn fields(device: &Device) -> String {
    let mut text = String::new();
    let mut section = "";
    let values = values(device);
    for (name, (value, rule)) in &values {
        let (own, short) = name.split_once('.').unwrap_or(("", name));
        if own != section {
            let _ = writeln!(text, " {own}");
            section = own;
        }
        let line = format!("  {short:<30} {}", cut(value));
        let room = WIDTH.saturating_sub(line.chars().count() + 2);
        match rule.chars().count() <= room {
            true => _ = writeln!(text, "{line}{rule:>width$}", width = room + 2),
            false => _ = writeln!(text, "{line}\n{rule:>WIDTH$}"),
        }
    }
    text
}

/// What a reading says otherwise than one of another library.
pub fn changes(before: Option<&Device>, after: Option<&Device>) -> Vec<String> {
    let (before, after) = (before.map(values).unwrap_or_default(), after.map(values).unwrap_or_default());
    let mut lines = Vec::new();
    for (name, (value, _)) in &after {
        match before.get(name) {
            None => lines.push(format!("+ {name} {}", cut(value))),
            Some((old, _)) if old != value => lines.push(format!("~ {name} {} -> {}", cut(old), cut(value))),
            Some(_) => {}
        }
    }
    let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
    lines.extend(gone.map(|(name, (old, _))| format!("- {name} {}", cut(old))));
    lines
}

/// Every value of a reading with the rule that made it.
fn values(device: &Device) -> BTreeMap<String, (String, String)> {
    let reading = &device.reading;
    let mut values = BTreeMap::new();
    for name in device.trace.fields.keys() {
        let plain = ["identity.", "network.", "capabilities.", "status."].iter().any(|front| name.starts_with(front));
        if let Some((value, tried)) = device.won(name).filter(|_| plain) {
            let whole = in_full(device, name).unwrap_or_else(|| value.trim_matches('`').to_owned());
            values.insert(name.clone(), (whole, tried.rule.clone()));
        }
    }
    for (key, count) in reading.counters.iter().flatten() {
        let mark = if count.evidence.unverified { " unverified" } else { "" };
        let value = format!("{} {}{mark}", count.value, count.basis.as_str());
        values.insert(format!("counters.{key}"), (value, count.evidence.rule.clone().unwrap_or_default()));
    }
    for supply in reading.supplies.iter().flatten() {
        let text = supplied(supply);
        let value = text.split_once(' ').map_or(text.clone(), |(_, rest)| rest.to_owned());
        values.insert(format!("supplies.{}", supply.index), (value, supply.evidence.rule.clone().unwrap_or_default()));
    }
    let trays = [("inputs", &reading.inputs), ("outputs", &reading.outputs)];
    for (section, rows) in trays {
        for tray in rows.iter().flatten() {
            let level = tray.level.map_or_else(|| "?".to_owned(), |level| level.to_string());
            let capacity = tray.max_capacity.map_or_else(|| "?".to_owned(), |capacity| capacity.to_string());
            let value = format!("{} {level} of {capacity}", tray.name.as_deref().unwrap_or_default());
            values.insert(format!("{section}.{}", tray.index), (value.trim().to_owned(), String::new()));
        }
    }
    values
}

/// Fields that are lists, of which the trace has the first, or bits.
fn in_full(device: &Device, name: &str) -> Option<String> {
    let reading = &device.reading;
    let list: &[String] = match name {
        "network.physical_addresses" => &reading.network.as_ref()?.physical_addresses,
        "capabilities.languages" => &reading.capabilities.as_ref()?.languages,
        "capabilities.finishers" => &reading.capabilities.as_ref()?.finishers,
        "capabilities.services" => &reading.capabilities.as_ref()?.services,
        "status.console" => &reading.status.as_ref()?.console,
        "status.detected_errors" => {
            let errors = &reading.status.as_ref()?.detected_errors.as_ref()?.errors;
            let words: Vec<String> = errors.iter().map(|error| error.label.clone()).collect();
            return Some(if words.is_empty() { "none".to_owned() } else { words.join(", ") });
        }
        _ => return None,
    };
    Some(list.join(", "))
}

fn cut(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.chars().count() > VALUE_CHARS_MAX {
        true => text.chars().take(VALUE_CHARS_MAX - 1).chain(['…']).collect(),
        false => text,
    }
}

/// A line with a title, as wide as a terminal.
pub fn headline(title: &str) -> String {
    let rest = WIDTH.saturating_sub(title.chars().count() + 4);
    format!("-- {title} {}\n", "-".repeat(rest))
}
