//! Why a number is what it is, or absent: every rule that was tried for a field, what the device answered, and why it won or
//! lost; and why the device is read by this mapping and no other.

mod looked;
mod overview;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use meterpost_wire::counters::CounterKey;
use meterpost_wire::reading::{Count, GapReason};

use super::source::Texts;
use super::{Device, wrapped};
use crate::normalise::{Fate, Lost, Tried};
use crate::pmd::Sources;
use crate::pmd::rule::{Check, Rule};
pub use overview::{overview, supplied};

/// Rows of one set that are told of when none is named.
const ROWS_MAX: usize = 60;
/// Sections whose fields may be named without them, in this order.
const SECTIONS: [&str; 6] = ["counters", "identity", "network", "capabilities", "status", "let"];

/// A field that the mapping does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no field of `{pmd}`")]
pub struct UnknownField {
    /// As written.
    pub name: String,
    /// The mapping.
    pub pmd: String,
    /// Those that there are: the most alike ones, or all.
    pub known: Vec<String>,
}

/// All that was tried for a field, or for the rows of a table.
pub fn why(device: &Device, sources: &Sources, field: &str) -> Result<String, UnknownField> {
    let names = found(device, field)?;
    let texts = Texts::new(&sources.files, device.choice.pmd.chain.iter().map(|name| &**name));
    let mut text = format!("{}, read by {}\n", device.title(), device.choice.pmd.name);
    if field.ends_with("percent") && names.iter().all(|name| !name.ends_with(".percent")) {
        text.push_str("\nNo rule gives the percentage: it is computed from level, capacity and unit.\n");
    }
    for name in &names {
        text.push('\n');
        one(&mut text, device, name, &texts);
    }
    Ok(text)
}

/// The names in the trace that a person means.
fn found(device: &Device, field: &str) -> Result<Vec<String>, UnknownField> {
    let fields = &device.trace.fields;
    let asked = field.trim().replace(['[', ']'], ".").replace("..", ".");
    let asked = asked.trim_end_matches('.');
    let plain = |name: &str| device.choice.pmd.fields.contains_key(name).then(|| vec![name.to_owned()]);
    let short = SECTIONS.iter().find_map(|section| plain(&format!("{section}.{asked}")));
    if let Some(found) = plain(asked).or(short) {
        return Ok(found);
    }
    // `supplies`, `supplies.1`, `supplies.black.percent`: rows by the last number of their index, or by the set's name
    let parts: Vec<&str> = asked.split('.').collect();
    let rows: Vec<String> = fields
        .keys()
        .filter(|name| {
            let Some((section, set, index, column)) = row_of(name) else { return false };
            let last = index.rsplit('.').next().unwrap_or_default();
            parts[0] == section
                && match parts[1..] {
                    [] => true,
                    [row] => row == last || row == set || row == column,
                    [row, cell] => (row == last || row == set) && makes(cell, column),
                    [own, row, cell] => own == set && row == last && makes(cell, column),
                    _ => false,
                }
        })
        .cloned()
        .collect();
    if !rows.is_empty() {
        return Ok(rows.into_iter().take(ROWS_MAX).collect());
    }
    let mut known: BTreeSet<String> = device.choice.pmd.fields.keys().cloned().collect();
    known.extend(fields.keys().filter_map(|name| {
        let (section, _, index, column) = row_of(name)?;
        let last = index.rsplit('.').next().filter(|last| !last.is_empty())?;
        Some(format!("{section}.{last}.{column}"))
    }));
    let words: Vec<&str> = asked.split(['.', '_']).filter(|word| word.len() > 2).collect();
    let alike = |name: &&String| words.iter().filter(|word| name.contains(**word)).count();
    let most = known.iter().map(|name| alike(&name)).max().unwrap_or(0);
    let near: Vec<String> = known.iter().filter(|name| most > 0 && alike(name) == most).cloned().collect();
    Err(UnknownField {
        name: field.to_owned(),
        pmd: device.choice.pmd.name.to_string(),
        known: if near.is_empty() { known.into_iter().collect() } else { near },
    })
}

/// Whether a column is the one, or what it is computed from.
fn makes(cell: &str, column: &str) -> bool {
    cell == column || (cell == "percent" && ["level", "max_capacity", "unit"].contains(&column))
}

/// `supplies.printer-mib[1.3].level` as section, set, index and column.
fn row_of(name: &str) -> Option<(&str, &str, &str, &str)> {
    let (front, column) = name.rsplit_once('.')?;
    let (section, set) = front.split_once('.')?;
    match set.split_once('[') {
        Some((set, index)) => Some((section, set, index.trim_end_matches(']'), column)),
        // a written-out row; a field has only one dot in front of its name
        None => ["supplies", "inputs", "outputs", "covers", "alerts"]
            .contains(&section)
            .then_some((section, set, "", column)),
    }
}

/// One field: what it is, then its rules in the order in which they were tried.
fn one(text: &mut String, device: &Device, name: &str, texts: &Texts<'_>) {
    let pmd = &device.choice.pmd;
    let _ = writeln!(text, "{name}");
    *text += &wrapped(&outcome(device, name), 2);
    let rules: &[std::sync::Arc<Rule>] = match row_of(name) {
        Some((section, set, _, column)) => {
            let set = pmd.sets.iter().find(|own| own.section == section && own.name == set);
            set.map_or(&[], |set| set.column(column))
        }
        None => pmd.fields.get(name).map_or(&[], Vec::as_slice),
    };
    let tried = device.trace.fields.get(name).map_or(&[][..], Vec::as_slice);
    let written = match row_of(name) {
        Some((section, set, _, column)) => format!("{section}.{set}.{column}"),
        None => name.to_owned(),
    };
    for (place, rule) in rules.iter().enumerate() {
        let shown = super::source::rule_name(rule, "");
        let fate = tried.iter().find(|tried| tried.rule == super::source::rule_name(rule, &pmd.name));
        let (source, line) = texts.rule(&written, &rule.origin).unwrap_or_default();
        let doubt = if rule.unverified { ", unverified" } else { "" };
        text.push('\n');
        *text += &wrapped(&format!("{}. {shown} (line {line}{doubt}): {}", place + 1, fated(fate, rule)), 2);
        *text += &wrapped(&source, 6);
        let index = row_of(name).map(|(_, _, index, _)| index).unwrap_or_default();
        let index: Vec<u32> = index.split('.').filter_map(|arc| arc.parse().ok()).collect();
        for line in looked::at(device, rule, &index, row_of(name).map(|_| name)) {
            *text += &wrapped(&line, 6);
        }
    }
    if let Some(counter) = name.strip_prefix("counters.") {
        for check in pmd.checks.iter().filter(|check| concerns(check, counter)) {
            *text += "\n";
            *text += &wrapped(&checked(device, check), 2);
        }
    }
}

/// How a rule ended.
fn fated(tried: Option<&Tried>, rule: &Rule) -> String {
    let is_stop = matches!(rule.source, crate::pmd::rule::Source::Stop);
    match tried.map(|tried| &tried.fate) {
        Some(Fate::Won(value)) => format!("WON with {value}"),
        Some(Fate::Lost(Lost::NotSupported(why))) => format!("lost, not supported: {why}"),
        Some(Fate::Lost(Lost::NoAnswer(why))) => format!("lost, no answer: {why}"),
        Some(Fate::Lost(Lost::Rejected(why))) => format!("lost, rejected: {why}"),
        Some(Fate::Lost(Lost::PassedOver(why))) => format!("not for this device: {why}"),
        Some(Fate::NotReached) => "not tried, as the list had ended".to_owned(),
        None if is_stop => "ends the list".to_owned(),
        None => "not tried".to_owned(),
    }
}

/// What the field is in the end.
fn outcome(device: &Device, name: &str) -> String {
    let reading = &device.reading;
    if let Some(counter) = name.strip_prefix("counters.") {
        let key = CounterKey::parse(counter).ok();
        if let Some(count) = key.and_then(|key| reading.counters.as_ref()?.get(&key)) {
            return counted(count);
        }
    }
    if let Some((value, tried)) = device.won(name) {
        let oids: Vec<String> = tried.oids.iter().map(ToString::to_string).collect();
        let from = if oids.is_empty() { String::new() } else { format!(", from {}", oids.join(" ")) };
        return format!("is {value}, by rule {}{from}", tried.rule);
    }
    match reading.gaps.iter().find(|gap| gap.field == name) {
        Some(gap) => {
            let reason = match gap.reason {
                GapReason::NotSupported => "the device does not have it",
                GapReason::NoAnswer => "the device did not answer",
                GapReason::Rejected => "what the device said cannot be right",
                GapReason::Policy => "the field policy leaves it out",
            };
            let detail = gap.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
            format!("is absent: {reason}{detail}")
        }
        None if device.trace.fields.contains_key(name) => "is absent: no rule gave a value".to_owned(),
        None => "was not needed by any field".to_owned(),
    }
}

fn counted(count: &Count) -> String {
    let mut text = format!("is {}, {}", count.value, count.basis.as_str());
    if count.evidence.unverified {
        text += ", unverified";
    }
    if let Some(rule) = &count.evidence.rule {
        let _ = write!(text, ", by rule {rule}");
    }
    if let Some(oid) = &count.evidence.oid {
        let _ = write!(text, ", from {oid}");
    }
    if let Some(detail) = &count.detail {
        let _ = write!(text, "; {detail}");
    }
    text
}

fn concerns(check: &Check, counter: &str) -> bool {
    check.total == counter || check.parts.iter().chain(&check.optional).any(|part| part == counter)
}

/// A check with its numbers.
fn checked(device: &Device, check: &Check) -> String {
    let value = |name: &String| -> Option<u64> {
        match CounterKey::parse(name) {
            Ok(key) => Some(device.reading.counters.as_ref()?.get(&key)?.value),
            Err(_) => device.won(name)?.0.trim_matches('`').parse().ok(),
        }
    };
    let shown = |name: &String| match value(name) {
        Some(number) => format!("{name} {number}"),
        None => format!("{name} (absent)"),
    };
    let parts: Vec<String> = check.parts.iter().chain(&check.optional).map(shown).collect();
    let sum: u64 = check.parts.iter().chain(&check.optional).filter_map(value).sum();
    let absent: Vec<&str> = std::iter::once(&check.total)
        .chain(&check.parts)
        .filter(|name| value(name).is_none())
        .map(String::as_str)
        .collect();
    if !absent.is_empty() {
        return format!(
            "check of {} against its parts: not made, as {} {} absent",
            check.total,
            absent.join(", "),
            if absent.len() == 1 { "is" } else { "are" }
        );
    }
    let total = value(&check.total).unwrap_or_default();
    let verdict = match total.abs_diff(sum) {
        _ if check.at_most && sum <= total => "agrees".to_owned(),
        apart if apart <= check.tolerance => "agrees".to_owned(),
        apart => format!("the parts sum to {sum}, {apart} apart"),
    };
    let sign = if check.at_most { "is at least" } else { "=" };
    format!("check: {} {sign} {}: {verdict}", shown(&check.total), parts.join(" + "))
}
