//! Answers become a reading: every field by the first valid rule of the mapping, every value with its evidence, every
//! field without a value with a reason; and beside it what won, or all that was tried.
//!
//! What needs all rows or several fields at once is done here and not in mapping files: percentages, colours of lone
//! toners, laying a vendor's percentages over Printer-MIB rows, checks of parts against totals, the state of the device.

pub mod datum;
mod doubt;
pub mod eval;
mod kind;
#[cfg(test)]
mod losses;
mod rows;
mod shape;
mod supplies;
#[cfg(test)]
mod tests;
pub mod text;
mod trace;

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::Timestamp;
use meterpost_wire::counters::CounterKey;
use meterpost_wire::labels::{self, Table};
use meterpost_wire::reading::{
    Alert, Alerts, Basis, Capabilities, Coded, Count, DetectedErrors, Evidence, Firmware, Gap, GapReason, Mapping,
    Network, Outcome, Reading, Scope, Status, Text,
};

use crate::identify::{self, Identity};
use crate::plan::Answers;
use crate::pmd::rule::Check;
use crate::pmd::words::Words;
use crate::pmd::{GENERIC, Pmd, UNKNOWN};
use crate::snmp::Oid;
pub use datum::{Datum, Lost};
use eval::{Evaluator, Kind, Won, kind_of};
use text::folded;
pub use trace::{Fate, Trace, Tracing, Tried, Winner};

/// Gaps in one reading; more are left out.
pub const GAPS_MAX: usize = 200;
/// Texts that a person at the site gives a device, or does not.
const SET_BY_PEOPLE: [&str; 5] =
    ["identity.asset_tag", "identity.system_name", "identity.location", "identity.contact", "network.host_name"];
/// Characters of a text; longer ones are cut.
const TEXT_CHARS_MAX: usize = 1_023;
/// Rows of one kind (supplies, trays, covers, alerts); more are left out.
pub const ROWS_MAX: usize = 300;

/// Which reading this is.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The address that was asked.
    pub address: &'a str,
    /// When.
    pub read_at: Timestamp,
    /// Version of the pack that the mapping came from.
    pub pack: u64,
    /// Whether some objects were not asked or not answered because the device fell silent.
    pub cut_short: bool,
}

/// Makes the reading, with the OIDs behind its values.
pub fn normalise(
    pmd: &Pmd,
    identity: &Identity,
    answers: &Answers,
    words: &Words,
    subject: &Subject<'_>,
) -> (Reading, Vec<Winner>) {
    let eval = Evaluator::new(pmd, identity, answers, words, Tracing::Winners);
    let reading = evaluated(&eval, identity, answers, subject);
    (reading, eval.into_traces().0)
}

/// The same reading, with all that was tried for it.
pub fn explain(
    pmd: &Pmd,
    identity: &Identity,
    answers: &Answers,
    words: &Words,
    subject: &Subject<'_>,
) -> (Reading, Trace) {
    let eval = Evaluator::new(pmd, identity, answers, words, Tracing::Everything);
    let reading = evaluated(&eval, identity, answers, subject);
    (reading, eval.into_traces().1)
}

fn evaluated(eval: &Evaluator<'_>, identity: &Identity, answers: &Answers, subject: &Subject<'_>) -> Reading {
    let pmd = eval.pmd();
    let text = |field: &str| eval.field(field, kind_of(field)).map(|won| texted(&won, eval));
    let plain = |field: &str| text(field).map(|text| text.value);
    let mut gaps = Vec::new();

    let model = text("identity.model");
    let vendor = text("identity.vendor");
    let serial_number = text("identity.serial_number");
    let who = meterpost_wire::reading::Identity {
        make_and_model: plain("identity.make_and_model"),
        asset_tag: text("identity.asset_tag"),
        uuid: plain("identity.uuid").and_then(|uuid| identify::uuid(&uuid)),
        device_id: plain("identity.device_id"),
        system_name: plain("identity.system_name"),
        location: plain("identity.location"),
        contact: plain("identity.contact"),
        system_info: plain("identity.system_info"),
        sys_object_id: identity.sys_object_id.as_ref().map(Oid::to_string),
        firmwares: text("identity.firmware").map(|version| Firmware { name: None, version }).into_iter().collect(),
        vendor,
        model,
        serial_number,
    };

    // a name that nobody set: the model, or brand and model
    let is_the_model = |name: &String| {
        let brand = who.vendor.as_ref().map_or("", |vendor| vendor.value.as_str());
        let models = who.model.iter().flat_map(|model| [model.value.clone(), format!("{brand} {}", model.value)]);
        models.map(|model| folded(&model)).any(|model| model == folded(name))
    };
    let network = Network {
        addresses: vec![subject.address.to_owned()],
        physical_addresses: list(eval, "network.physical_addresses"),
        host_name: plain("network.host_name").filter(|name| !is_the_model(name)),
    };

    let counters = counters(eval);
    let supplies = whole("supplies", supplies::supplies(eval), subject, &mut gaps);
    let inputs = whole("inputs", rows::trays(eval, "inputs"), subject, &mut gaps);
    let outputs = whole("outputs", rows::trays(eval, "outputs"), subject, &mut gaps);
    let covers = whole("covers", rows::covers(eval), subject, &mut gaps);
    let alerts = rows::alerts(eval, subject.read_at, identity.up_time_ticks);
    let alerts_lost = alerts.lost.is_some();
    // the central closes what is not in the list: it is the whole list or none
    let alerts = whole("alerts", alerts, subject, &mut gaps).filter(|_| !alerts_lost);
    let trays = inputs.as_ref().filter(|_| gaps.iter().all(|gap| gap.field != "inputs")).map(Vec::len);
    let capabilities = capabilities(eval, trays);
    let status = status(eval, alerts.as_deref().unwrap_or_default(), alerts_lost, identity);
    for field in pmd.fields.keys().filter(|field| !field.starts_with("let.")) {
        gap(eval, field, &mut gaps);
    }
    if who.uuid.is_none() && plain("identity.uuid").is_some() {
        gaps.push(Gap { field: "identity.uuid".to_owned(), reason: GapReason::Rejected, detail: None });
    }
    if capabilities.as_ref().is_some_and(|capabilities| capabilities.trays.is_some()) {
        gaps.retain(|gap| gap.field != "capabilities.trays");
    }

    let unanswered = subject.cut_short || answers.has_silent();
    let outcome = match unanswered {
        true => Outcome::Partial,
        false if [GENERIC, UNKNOWN].contains(&&*pmd.name) => Outcome::Unmapped,
        false => Outcome::Complete,
    };
    gaps.truncate(GAPS_MAX);
    let key = identify::device_key(
        who.vendor.as_ref().map(|text| text.value.as_str()),
        who.serial_number.as_ref().map(|text| text.value.as_str()),
        who.uuid.as_deref(),
        &network.physical_addresses,
        subject.address,
    );
    Reading {
        key: key.to_string(),
        mapping: Some(Mapping { pmd: pmd.name.to_string(), pack: subject.pack }),
        scope: Scope::Full,
        read_at: subject.read_at,
        outcome,
        identity: Some(who),
        network: Some(network),
        capabilities,
        counters,
        supplies,
        inputs,
        outputs,
        covers,
        alerts: alerts.map(|rows| Alerts { rows, ..Alerts::default() }),
        status,
        gaps,
    }
}

/// A table as the reading has it. Absent, with its gap, when nobody knows its rows; those of which some object got no answer,
/// from a device that answers otherwise, are told with a gap beside them.
fn whole<T>(field: &str, read: rows::Rows<T>, subject: &Subject<'_>, gaps: &mut Vec<Gap>) -> Option<Vec<T>> {
    let Some(detail) = read.lost else { return read.mapped.then_some(read.rows) };
    gaps.push(Gap { field: field.to_owned(), reason: GapReason::NoAnswer, detail: Some(detail) });
    (!subject.cut_short && !read.rows.is_empty()).then_some(read.rows)
}

/// Lifetime counters, each with its evidence; those that contradict each other are suspect.
fn counters(eval: &Evaluator<'_>) -> Option<BTreeMap<CounterKey, Count>> {
    let mut counters = BTreeMap::new();
    for field in eval.pmd().fields.keys().filter(|field| field.starts_with("counters.")) {
        let Ok(key) = CounterKey::parse(&field["counters.".len()..]) else { continue };
        if let Some(won) = eval.field(field, Kind::Count) {
            let Datum::Int(value) = won.value else { continue };
            let count = Count {
                value: value.unsigned_abs(),
                basis: if won.derived { Basis::Derived } else { Basis::Actual },
                evidence: evidence(&won, eval),
                unit: won.unit.clone().filter(|_| key.vendor_name().is_some()),
                detail: None,
            };
            counters.insert(key, count);
        }
    }
    for check in &eval.pmd().checks {
        suspect(eval, check, &mut counters);
    }
    (!counters.is_empty()).then_some(counters)
}

/// Marks a total and its parts when they contradict each other.
fn suspect(eval: &Evaluator<'_>, check: &Check, counters: &mut BTreeMap<CounterKey, Count>) {
    let value = |name: &str| match CounterKey::parse(name) {
        Ok(key) => counters.get(&key).map(|count| count.value),
        Err(_) => eval.field(name, Kind::Count).and_then(|won| won.value.number()).map(|n| n as u64),
    };
    let Some(total) = value(&check.total).filter(|_| !stands_in(&check.total, counters)) else { return };
    let parts: Option<Vec<u64>> = check.parts.iter().map(|name| value(name)).collect();
    let Some(mut parts) = parts else { return };
    let is_lost = |name: &&String| {
        let field = if name.contains("let.") { (*name).clone() } else { format!("counters.{name}") };
        matches!(eval.why_none(&field), Some(Lost::NoAnswer(_)))
    };
    if check.optional.iter().any(|name| is_lost(&name)) {
        return;
    }
    parts.extend(check.optional.iter().filter_map(|name| value(name)));
    let sum: u64 = parts.iter().fold(0, |sum, part| sum.saturating_add(*part));
    let apart = if check.at_most { sum.saturating_sub(total) } else { sum.abs_diff(total) };
    if apart <= check.tolerance {
        return;
    }
    let detail = format!("{} is {total}, its parts sum to {sum}", check.total);
    for name in std::iter::once(&check.total).chain(&check.parts).chain(&check.optional) {
        if let Some(count) = CounterKey::parse(name).ok().and_then(|key| counters.get_mut(&key)) {
            count.basis = Basis::Suspect;
            count.detail = Some(detail.clone());
        }
    }
}

/// Whether a total is the life count in its place: that counts engine events, and no parts add up to it (trap T1).
fn stands_in(total: &str, counters: &BTreeMap<CounterKey, Count>) -> bool {
    let oid = |name: &str| counters.get(&CounterKey::parse(name).ok()?)?.evidence.oid.as_deref();
    total != "vendor.marker_life_count" && oid(total).is_some() && oid(total) == oid("vendor.marker_life_count")
}

fn capabilities(eval: &Evaluator<'_>, trays: Option<usize>) -> Option<Capabilities> {
    let number = |field: &str| {
        eval.field(field, Kind::Count).and_then(|won| match won.value {
            Datum::Int(n) => u64::try_from(n).ok(),
            _ => None,
        })
    };
    let small = |field: &str| number(field).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    let truth = |field: &str| number(field).map(|n| n > 0);
    let capabilities = Capabilities {
        color: truth("capabilities.color"),
        two_sided: truth("capabilities.two_sided"),
        services: unique(list(eval, "capabilities.services")),
        pages_per_minute: small("capabilities.pages_per_minute"),
        pages_per_minute_color: small("capabilities.pages_per_minute_color"),
        marker_technology: coded(eval, "capabilities.marker_technology", Table::MarkerTechnology),
        max_media_size: eval.field("capabilities.max_media_size", Kind::Text).map(|won| won.value.text(eval.charset())),
        trays: small("capabilities.trays").or(trays.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)),
        finishers: unique(list(eval, "capabilities.finishers")),
        languages: unique(list(eval, "capabilities.languages")),
        memory_bytes: number("capabilities.memory_bytes"),
        disk_bytes: number("capabilities.disk_bytes"),
    };
    (capabilities != Capabilities::default()).then_some(capabilities)
}

/// The state follows from three things; where one of them got no answer there is none.
fn status(eval: &Evaluator<'_>, alerts: &[Alert], alerts_lost: bool, identity: &Identity) -> Option<Status> {
    let device_status = coded(eval, "status.device_status", Table::DeviceStatus);
    let printer_status = coded(eval, "status.printer_status", Table::PrinterStatus);
    let detected_errors = eval.field("status.detected_errors", Kind::Any).and_then(|won| match &won.value {
        Datum::Bytes(raw) => Some(DetectedErrors { raw: raw.clone(), errors: labels::detected_errors(raw) }),
        _ => None,
    });
    let console = eval.field("status.console", Kind::Any).map(|won| {
        won.all().iter().flat_map(|line| text::lines(&line.text(eval.charset()))).take(ROWS_MAX).collect::<Vec<_>>()
    });
    if device_status.is_none() && printer_status.is_none() && detected_errors.is_none() && console.is_none() {
        return None;
    }
    let is_lost = |field: &str| matches!(eval.why_none(field), Some(Lost::NoAnswer(_)));
    let unknown = alerts_lost || is_lost("status.device_status") || is_lost("status.printer_status");
    let state = rows::state(device_status.as_ref(), printer_status.as_ref(), alerts);
    Some(Status {
        state: state.filter(|_| !unknown),
        device_status,
        printer_status,
        detected_errors,
        state_reasons: Vec::new(),
        console: console.unwrap_or_default(),
        up_time_seconds: identity.up_time_ticks.map(|ticks| ticks / 100),
    })
}

/// A label with its number; a bare word of a mapping gets the number that is registered for it.
pub(crate) fn label(datum: &Datum, table: Table) -> Option<Coded> {
    match datum {
        Datum::Label(coded) => Some(coded.clone()),
        Datum::Text(word) if !word.is_empty() => Some(Coded::from_label(table, word)),
        Datum::Int(n) => Some(Coded::from_code(table, *n)),
        _ => None,
    }
}

fn coded(eval: &Evaluator<'_>, field: &str, table: Table) -> Option<Coded> {
    eval.field(field, Kind::Any).and_then(|won| label(&won.value, table))
}

fn list(eval: &Evaluator<'_>, field: &str) -> Vec<String> {
    let Some(won) = eval.field(field, Kind::Text) else { return Vec::new() };
    unique(won.all().iter().map(|datum| datum.text(eval.charset())).collect())
}

fn unique(list: Vec<String>) -> Vec<String> {
    let mut seen = Vec::new();
    for item in list {
        if !item.is_empty() && !seen.contains(&item) && seen.len() < ROWS_MAX {
            seen.push(item);
        }
    }
    seen
}

fn texted(won: &Rc<Won>, eval: &Evaluator<'_>) -> Text {
    let value = won.value.text(eval.charset()).chars().take(TEXT_CHARS_MAX).collect();
    Text { value, evidence: evidence(won, eval) }
}

/// OIDs and rule of a value (standards.md 1.8). Each object is named once, also when several parts of it were summed.
pub(crate) fn evidence(won: &Won, eval: &Evaluator<'_>) -> Evidence {
    let each = won.oids.iter().enumerate().filter(|(n, oid)| !won.oids[..*n].contains(oid));
    let oids = each.map(|(_, oid)| oid.to_string()).collect::<Vec<_>>().join(" ");
    Evidence {
        oid: (!oids.is_empty()).then_some(oids),
        rule: won.rule.as_ref().map(|origin| eval.rule_name(origin)),
        unverified: won.unverified,
    }
}

/// A field without a value gets a gap, unless no rule was for this device.
fn gap(eval: &Evaluator<'_>, field: &str, gaps: &mut Vec<Gap>) {
    if eval.field(field, kind_of(field)).is_some() {
        return;
    }
    let (reason, detail) = match eval.why_none(field) {
        // what a person at the site may set or not is no lack of the device
        Some(Lost::NotSupported(_)) if SET_BY_PEOPLE.contains(&field) => return,
        Some(Lost::NotSupported(_)) => (GapReason::NotSupported, None),
        Some(Lost::NoAnswer(detail)) => (GapReason::NoAnswer, Some(detail)),
        Some(Lost::Rejected(detail)) => (GapReason::Rejected, Some(detail)),
        Some(Lost::PassedOver(_)) | None => return,
    };
    gaps.push(Gap { field: field.to_owned(), reason, detail });
}
