//! Counters: those of the table under their keys, all others under `vendor.`, so that nothing that was counted is lost.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::counters::{CLASSES, COUNTERS, CounterKey, SERVICES};
use crate::reading::{Basis, Count};
use crate::xml::NAMESPACE;
use crate::xml::chars::{SHORT, clean};
use crate::xml::cursor::{Element, Malformed};
use crate::xml::words::snake;

use super::fields::{Fields, evidence};

/// Counters by key.
pub(super) type Counters = BTreeMap<CounterKey, Count>;

/// Reads `Counters`.
pub(super) fn counters(fields: &mut Fields<'_>) -> Result<Counters, Malformed> {
    let mut counters = Counters::new();
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("VendorCounters") => vendor_counters(&mut counters, fields)?,
            Some(scope) => service(&service_word(scope), &mut counters, fields)?,
            None => fields.unknown()?,
        }
    }
    Ok(counters)
}

/// Reads one counter; what is no number is a fault of the device.
pub(super) fn count(element: &Element, fields: &mut Fields<'_>) -> Result<Option<Count>, Malformed> {
    let mut value = None;
    fields.number(&mut value)?;
    let basis = match element.attribute("basis") {
        None | Some("Actual") => Basis::Actual,
        Some("Derived") => Basis::Derived,
        Some("Suspect") => Basis::Suspect,
        Some(_) => {
            // a word of a later version: doubt is the safe reading
            fields.notes.unreadable += 1;
            Basis::Suspect
        }
    };
    let text = |name| element.attribute(name).map(|text| clean(text, SHORT).into_owned());
    let count = |value| Count { value, basis, evidence: evidence(element), unit: None, detail: text("detail") };
    Ok(value.map(count))
}

fn service_word(scope: &str) -> String {
    let known = SERVICES.iter().find(|(_, element)| *element == scope).map(|(word, _)| (*word).to_owned());
    known.unwrap_or_else(|| snake(scope.strip_suffix("ServiceCounters").unwrap_or(scope)))
}

fn service(word: &str, counters: &mut Counters, fields: &mut Fields<'_>) -> Result<(), Malformed> {
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("MediasUsed") => medias_used(word, counters, fields)?,
            Some(class) => {
                let known = CLASSES.iter().find(|(_, element)| *element == class).map(|(word, _)| (*word).to_owned());
                work_class(word, &known.unwrap_or_else(|| snake(class)), counters, fields)?;
            }
            None => fields.unknown()?,
        }
    }
    Ok(())
}

fn work_class(service: &str, class: &str, counters: &mut Counters, fields: &mut Fields<'_>) -> Result<(), Malformed> {
    while let Some(child) = fields.child()? {
        let Some(element) = child.name_in(NAMESPACE) else {
            fields.unknown()?;
            continue;
        };
        let counter = COUNTERS.iter().find(|(_, known)| *known == element).map(|(word, _)| (*word).to_owned());
        let words = [service, class, &counter.unwrap_or_else(|| snake(element))];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let value = count(&child, fields)?;
        let known = CounterKey::parse(&words.join("."));
        keep(known.unwrap_or_else(|_| vendor_key(&words.join("_"))), value, counters, fields);
    }
    Ok(())
}

fn vendor_counters(counters: &mut Counters, fields: &mut Fields<'_>) -> Result<(), Malformed> {
    while let Some(child) = fields.child()? {
        if child.name_in(NAMESPACE) != Some("VendorCounter") {
            fields.unknown()?;
            continue;
        }
        let unit = child.attribute("unit").map(|unit| clean(unit, SHORT).into_owned());
        let value = count(&child, fields)?.map(|count| Count { unit, ..count });
        let name = child.attribute("name").unwrap_or_default();
        match CounterKey::parse(&format!("vendor.{name}")) {
            Ok(key) => keep(key, value, counters, fields),
            Err(_) => fields.fault("a `VendorCounter` without a name in snake case".to_owned()),
        }
    }
    Ok(())
}

/// `MediasUsed` of version 1.0 is written by others only: `system_iso_a4_210x297mm_total_sheets`.
fn medias_used(service: &str, counters: &mut Counters, fields: &mut Fields<'_>) -> Result<(), Malformed> {
    while let Some(child) = fields.child()? {
        if child.name_in(NAMESPACE) != Some("MediaUsed") {
            fields.unknown()?;
            continue;
        }
        let (mut size, mut info, mut sheets) = (None, None, Vec::new());
        while let Some(child) = fields.child()? {
            match child.name_in(NAMESPACE) {
                Some("MediaUsedMediaSizeName") => fields.text(&mut size, SHORT)?,
                Some("MediaUsedMediaInfo") => fields.text(&mut info, SHORT)?,
                Some(name) if name.starts_with("MediaUsed") && name.ends_with("Sheets") => {
                    let word = snake(&name["MediaUsed".len()..]);
                    sheets.push((word, count(&child, fields)?));
                }
                _ => fields.unknown()?,
            }
        }
        let media = snake(&size.or(info).unwrap_or_else(|| "media".to_owned()));
        for (word, value) in sheets {
            let value = value.map(|count| Count { unit: Some("sheets".to_owned()), ..count });
            keep(vendor_key(&format!("{service}_{media}_{word}")), value, counters, fields);
        }
    }
    Ok(())
}

/// A key for what has no place in the table; a name over 63 characters is cut.
fn vendor_key(name: &str) -> CounterKey {
    let name: String = name.trim_start_matches(|c: char| !c.is_ascii_lowercase()).chars().take(63).collect();
    CounterKey::parse(&format!("vendor.{name}"))
        .unwrap_or_else(|_| CounterKey::parse("vendor.unnamed").expect("a name"))
}

fn keep(key: CounterKey, value: Option<Count>, counters: &mut Counters, fields: &mut Fields<'_>) {
    match (counters.entry(key), value) {
        (Entry::Vacant(place), Some(value)) => drop(place.insert(value)),
        (Entry::Occupied(_), Some(_)) => fields.notes.repeated += 1,
        (_, None) => {}
    }
}
