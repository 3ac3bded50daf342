//! The draft as TOML: rules where something speaks for them, comments for what a person must decide.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use meterpost_wire::counters::CounterKey;

use super::numbers::{Candidate, Number, Parts};
use super::{Draft, Findings};
use crate::author::{Device, is_of_nobody};
use crate::identify::Identity;
use crate::normalise::Datum;
use crate::plan::Answers;
use crate::snmp::Oid;

/// Candidates for the total that are listed.
const TOTALS_MAX: usize = 6;
/// Numbers nobody reads, listed.
const NUMBERS_MAX: usize = 40;
/// Texts listed for a missing name or serial number.
const TEXTS_MAX: usize = 8;
/// Characters of a device's text in a comment or a pattern.
const TEXT_CHARS_MAX: usize = 70;

/// A rule that the draft writes.
struct Own {
    key: CounterKey,
    rule: String,
    value: u64,
    why: String,
}

/// Writes it.
pub fn write(file: &str, findings: &Findings, answers: &Answers) -> Draft {
    let Findings { device, base, .. } = findings;
    let own = rules(findings);
    let mut text = String::new();
    let title = title(findings);
    let file = comment(file);
    let _ = write!(
        text,
        "# {title}: a draft that `meterpost pmd draft` made from {file}.\n\
         # Lines that begin with `#` are notes and proposals. Compare every counter with the page that the device prints about\n\
         # itself; when all agree, say what proved them and take `confidence` away.\n\
         format = 1\n\
         extends = \"{}\"\n\
         confidence = \"unverified\"\n\n",
        base.name
    );
    let _ = writeln!(text, "# {} was taken because {}.", base.name, comment(&findings.reason));
    if !findings.is_printer {
        text.push_str(
            "# Nothing in the recording says that this is a printer: no Printer-MIB, no hrDeviceType, no brand.\n",
        );
    }
    matches(&mut text, &device.identity);
    identity(&mut text, findings, answers);
    let inherited = counters(&mut text, findings, &own);
    let candidates = proposals(&mut text, findings, &own);
    Draft {
        text,
        base: base.name.to_string(),
        reason: findings.reason.clone(),
        title,
        own: own.into_iter().map(|own| (own.key, own.value)).collect(),
        inherited,
        candidates,
        is_printer: findings.is_printer,
    }
}

fn title(findings: &Findings) -> String {
    match (&findings.is_foreign, brand(findings), model(&findings.device)) {
        (true, Some(brand), Some(model)) => comment(&format!("{brand} {model}")),
        _ => comment(&findings.device.title()),
    }
}

fn model(device: &Device) -> Option<String> {
    Some(device.reading.identity.as_ref()?.model.as_ref()?.value.clone())
}

/// The brand of a device that another maker's mapping reads.
fn brand(findings: &Findings) -> Option<String> {
    let identity = &findings.device.identity;
    let own = findings.device.won("let.description_brand").or_else(|| findings.device.won("let.enterprise"));
    own.map(|(brand, _)| brand.trim_matches('`').to_owned()).or_else(|| {
        let id = identity.device_id.as_deref()?;
        crate::device_id::pair(id, "MFG").filter(|maker| !maker.trim().is_empty())
    })
}

/// This very model: all of sysObjectID, and the name that the device has for itself.
fn matches(text: &mut String, identity: &Identity) {
    text.push_str("\n[match]\n");
    if let Some(oid) = &identity.sys_object_id {
        let _ = writeln!(text, "sys_object_id = [{}]", quoted(&oid.to_string()));
    }
    let model = identity.model_hint().and_then(|hint| beginning(&hint));
    match (model, &identity.description, &identity.sys_object_id) {
        (Some(pattern), ..) => {
            let _ = writeln!(
                text,
                "model = [{pattern}] # hrDeviceDescr, else MDL of the IEEE 1284 id; `|` adds its sisters"
            );
        }
        (None, Some(description), None) => {
            let pattern = beginning(description).unwrap_or_else(|| "'^$'".to_owned());
            let _ = writeln!(text, "description = [{pattern}]");
        }
        (None, _, Some(_)) => {}
        (None, None, None) => {
            text.push_str("# The recording has neither sysObjectID nor a name: say here how such a device is known.\n");
            text.push_str("model = ['^$']\n");
        }
    }
}

/// A pattern for what a text begins with, up to what changes from device to device: versions, serial numbers, lists.
fn beginning(text: &str) -> Option<String> {
    let end = text.find([';', ',', '\n', '\r', '\t']).unwrap_or(text.len());
    let end = ["  ", " / ", " S/N", " SN", " version ", " Version"]
        .iter()
        .filter_map(|mark| text[..end].find(mark))
        .min()
        .unwrap_or(end);
    let whole = end == text.len() && text.chars().count() <= TEXT_CHARS_MAX;
    let front: String = text[..end].trim_end().chars().take(TEXT_CHARS_MAX).collect();
    if front.chars().filter(|c| c.is_alphanumeric()).count() < 2 {
        return None;
    }
    let mut pattern = String::from("^");
    for c in front.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    if whole {
        pattern.push('$');
    }
    Some(if pattern.contains('\'') || pattern.chars().any(char::is_control) {
        quoted(&pattern)
    } else {
        format!("'{pattern}'")
    })
}

/// Names and numbers that the base does not read.
fn identity(text: &mut String, findings: &Findings, answers: &Answers) {
    let known = findings.device.reading.identity.as_ref();
    let has = |field: Option<&meterpost_wire::reading::Text>| field.is_some();
    text.push_str("\n[identity]\n");
    match (findings.is_foreign, brand(findings), known.and_then(|known| known.vendor.as_ref())) {
        (true, Some(brand), _) => {
            let _ = writeln!(
                text,
                "# the mapping that this extends is of another brand\nvendor = {{ const = {} }}",
                quoted(&brand)
            );
        }
        (_, _, None) => text.push_str("# vendor = { const = \"…\" }              # the brand on the device\n"),
        _ => {}
    }
    let fields = [
        ("vendor", known.and_then(|known| known.vendor.as_ref())),
        ("model", known.and_then(|known| known.model.as_ref())),
        ("serial_number", known.and_then(|known| known.serial_number.as_ref())),
        ("firmware", known.and_then(|known| known.firmwares.first()).map(|firmware| &firmware.version)),
    ];
    for (name, value) in fields {
        if let Some(value) = value.filter(|_| !(name == "vendor" && findings.is_foreign)) {
            let from = value.evidence.oid.as_deref().unwrap_or("computed");
            let _ = writeln!(text, "# {name} is {} already ({from})", comment(&value.value));
        }
    }
    let missing = [
        ("model", has(known.and_then(|known| known.model.as_ref())), is_like_a_model as fn(&str) -> bool),
        ("serial_number", has(known.and_then(|known| known.serial_number.as_ref())), is_like_a_serial),
        ("firmware", known.is_some_and(|known| !known.firmwares.is_empty()), is_like_a_version),
    ];
    for (name, known, is_like) in missing {
        if !known {
            texts(text, name, is_like, answers);
        }
    }
}

/// Texts of the maker's own tree that look like what is missing.
fn texts(text: &mut String, name: &str, is_like: fn(&str) -> bool, answers: &Answers) {
    let own = answers.iter().filter(|(_, oid, _)| oid.arcs().starts_with(&[1, 3, 6, 1, 4, 1]));
    let like = own.filter_map(|(_, oid, answer)| {
        let value = answer.as_ref().ok().filter(|value| value.as_octets().is_some())?;
        let line = Datum::from(value).line(None).into_owned();
        is_like(&line).then_some((oid, line))
    });
    let like: Vec<_> = like.take(TEXTS_MAX).collect();
    if like.is_empty() {
        let _ = writeln!(text, "# {name}: nothing in the recording looks like one");
    }
    for (oid, line) in like {
        let _ = writeln!(text, "# {name} = {{ get = \"{oid}\" }}   # {}", comment(&line));
    }
}

fn is_like_a_serial(text: &str) -> bool {
    let text = text.trim();
    (6..=20).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-')
        && text.chars().filter(char::is_ascii_digit).count() >= 4
        && text.chars().any(|c| c.is_ascii_uppercase())
}

fn is_like_a_model(text: &str) -> bool {
    let letters = text.chars().filter(char::is_ascii_alphabetic).count();
    (4..=40).contains(&text.len())
        && letters >= 2
        && text.chars().any(|c| c.is_ascii_digit())
        && !text.contains(['.', ':', '/', ';'])
}

fn is_like_a_version(text: &str) -> bool {
    let starts = text.trim_start_matches(['V', 'v', '.']).starts_with(|c: char| c.is_ascii_digit());
    (3..=30).contains(&text.len())
        && starts
        && text.contains('.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && text.parse::<std::net::Ipv4Addr>().is_err()
}

/// Rules for counters that the base does not read.
fn rules(findings: &Findings) -> Vec<Own> {
    let device = &findings.device;
    let mut own: Vec<Own> = Vec::new();
    for one in findings.labelled.iter().filter(|one| !is_read(device, one.key.as_str())) {
        let is = quoted(&one.label);
        own.push(Own {
            key: one.key.clone(),
            rule: format!(
                "{{ column = \"{}\", where = {{ column = \"{}\", is = {is} }} }}",
                one.column, one.label_column
            ),
            value: one.number.value,
            why: format!("the device calls it {}", comment(&one.label)),
        });
    }
    let total = CounterKey::parse("system.impressions");
    let best = findings.totals.first().filter(|best| best.is_strong());
    let is_new =
        !is_read(device, "system.impressions") && own.iter().all(|own| own.key.as_str() != "system.impressions");
    if let (Ok(key), Some(best), true) = (total, best, is_new) {
        // the very number of the life count is read by the generic mapping, where it counts impressions
        let says_more = device.count("system.impressions") != Some(best.number.value);
        if says_more {
            let rule = format!("{{ get = \"{}\", not = 0 }}", best.number.oid);
            own.insert(0, Own { key, rule, value: best.number.value, why: speaks_for(best, findings.life) });
        }
    }
    own
}

/// Whether the base reads a counter; the life count in place of a total is no such reading.
fn is_read(device: &Device, key: &str) -> bool {
    let Ok(key) = CounterKey::parse(key) else { return false };
    let count = device.reading.counters.as_ref().and_then(|counters| counters.get(&key));
    count.is_some_and(|count| {
        let rule = count.evidence.rule.as_deref().unwrap_or_default();
        let by_generic = is_of_nobody(rule) || (!rule.contains(':') && is_of_nobody(&device.choice.pmd.name));
        !(by_generic && count.basis != meterpost_wire::reading::Basis::Actual)
    })
}

fn speaks_for(candidate: &Candidate, life: Option<u64>) -> String {
    let mut reasons = Vec::new();
    if candidate.is_life {
        reasons.push("it is the life count".to_owned());
    }
    if let (true, Some(life)) = (candidate.is_near_life, life) {
        reasons.push(format!("the life count, which counts engine events too, is {life}"));
    }
    reasons.extend(candidate.sums.iter().take(3).map(|parts| format!("it is {}", added(parts))));
    reasons.join("; ")
}

fn added(parts: &Parts) -> String {
    parts.iter().map(|part| part.value.to_string()).collect::<Vec<_>>().join(" + ")
}

/// `[counters]`: the draft's own rules, and as comments what the base reads. How many that are.
fn counters(text: &mut String, findings: &Findings, own: &[Own]) -> usize {
    text.push_str("\n[counters]\n");
    for rule in own {
        let _ = writeln!(text, "# {}: {}", rule.value, rule.why);
        let _ = writeln!(text, "{} = {}", rule.key, rule.rule);
    }
    let read: Vec<_> = findings
        .device
        .reading
        .counters
        .iter()
        .flatten()
        .filter(|(key, _)| own.iter().all(|own| own.key != **key))
        .collect();
    if !read.is_empty() {
        let _ = writeln!(text, "# read by what this extends, no rule is needed:");
    }
    for (key, count) in &read {
        let from = count.evidence.oid.as_deref().unwrap_or("computed");
        let _ = writeln!(text, "#   {} = {}, {} ({from})", key, count.value, count.basis.as_str());
        if let Some(detail) = &count.detail {
            let _ = writeln!(text, "#     {}", comment(detail));
        }
    }
    read.len()
}

/// What may be the total, what its parts may be, and what nobody reads. How many candidates that are.
fn proposals(text: &mut String, findings: &Findings, own: &[Own]) -> usize {
    let mut told = 0;
    if !findings.totals.is_empty() {
        text.push_str("\n# Numbers of the device that may be its total:\n");
    }
    for candidate in findings.totals.iter().take(TOTALS_MAX) {
        let number = &candidate.number;
        let _ = writeln!(text, "#   {} at {}: {}", number.value, number.oid, speaks_for(candidate, findings.life));
        told += 1;
    }
    let total = own.iter().find(|own| own.key.as_str() == "system.impressions").map(|own| own.value);
    let total = total.or_else(|| findings.device.count("system.impressions"));
    let of_total = findings.totals.iter().find(|candidate| Some(candidate.number.value) == total);
    let mut listed = Vec::new();
    for parts in of_total.iter().flat_map(|candidate| &candidate.sums) {
        told += parts_of(text, parts, findings, own);
        listed.extend(parts.iter().map(|part| &part.oid));
    }
    told + others(text, findings, own, &listed)
}

/// The parts of a total, as rules to choose from.
fn parts_of(text: &mut String, parts: &Parts, findings: &Findings, own: &[Own]) -> usize {
    let read = by_object(findings);
    let is_known = |part: &Number| {
        read.contains_key(&part.oid.to_string())
            || own.iter().any(|own| own.rule.contains(&format!("\"{}\"", part.oid)))
    };
    if parts.iter().all(is_known) {
        return 0;
    }
    let keys: &[&str] = match parts.len() {
        2 => &["system.monochrome_impressions", "system.full_color_impressions"],
        3 => &["print.impressions", "copy.impressions", "fax_in.impressions"],
        _ => return 0,
    };
    let _ = writeln!(text, "# {} is the total: its parts may be, in this or another order,", added(parts));
    for (key, part) in keys.iter().zip(parts) {
        let _ = writeln!(text, "#   {key} = {{ get = \"{}\" }} # {}", part.oid, part.value);
    }
    parts.len()
}

/// Objects that the base reads, with the field.
fn by_object(findings: &Findings) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    for (key, count) in findings.device.reading.counters.iter().flatten() {
        for oid in count.evidence.oid.iter().flat_map(|oids| oids.split(' ')) {
            read.insert(oid.to_owned(), key.to_string());
        }
    }
    read
}

/// Numbers that could be counts of pages and that nobody reads.
fn others(text: &mut String, findings: &Findings, own: &[Own], listed: &[&Oid]) -> usize {
    let most = findings.life.into_iter().chain(findings.device.count("system.impressions")).max();
    let Some(most) = most else { return 0 };
    let read = by_object(findings);
    let is_new = |number: &&Number| {
        number.value >= 20
            && number.value <= most.saturating_mul(4)
            && !read.contains_key(&number.oid.to_string())
            && !listed.contains(&&number.oid)
            && own.iter().all(|own| own.value != number.value)
    };
    let numbers: Vec<&Number> = findings.numbers.iter().filter(is_new).collect();
    if numbers.is_empty() {
        return 0;
    }
    text.push_str("\n# Other numbers of a size that a counter has, read by nobody:\n");
    for number in numbers.iter().take(NUMBERS_MAX) {
        let _ = writeln!(text, "#   {:>10}  {}", number.value, number.oid);
    }
    if numbers.len() > NUMBERS_MAX {
        let _ = writeln!(text, "#   and {} more", numbers.len() - NUMBERS_MAX);
    }
    numbers.len().min(NUMBERS_MAX)
}

/// A device's text within a comment: one line, and not for ever.
fn comment(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.chars().count() > 2 * TEXT_CHARS_MAX {
        true => line.chars().take(2 * TEXT_CHARS_MAX).chain(['…']).collect(),
        false => line,
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
