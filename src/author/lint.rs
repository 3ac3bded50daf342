//! What is wrong with mapping files, all at once: what the loader refuses, and what loads and cannot be meant: rules that are
//! never reached, fields that refer to themselves, files that no device comes to, two families that claim one device.

mod overlap;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::source::line;
use crate::plan;
use crate::pmd::raw::{self, RawField, RawPmd, RawRule};
use crate::pmd::rule::{Rule, Source, Unit};
use crate::pmd::{Fault, GENERIC, Library, Pmd, Sources, UNKNOWN};

/// Single objects that a mapping with all that it extends asks for: sixteen requests of 25. A device answers them before
/// anything is learned, so a longer list is a slow first visit everywhere; tables do not count, they are read to their end.
const OBJECTS_MAX: usize = 400;

/// All that is wrong with the files of these names, in their order, each from its first line on. The other files of `sources`
/// are what they stand among; `library` is made of all of them.
pub fn lint(sources: &Sources, library: &Library, names: &[String]) -> Vec<Fault> {
    let parsed: BTreeMap<&str, RawPmd> =
        sources.files.iter().map(|(name, text)| (name.as_str(), raw::parse(text).0)).collect();
    // what is wrong with a file is wrong with all that extend it
    let concerns =
        |pmd: &str| names.iter().any(|name| leads_to(name, pmd, &parsed)) || names.iter().any(|name| name == pmd);
    let mut found: Vec<Fault> =
        library.faults.iter().filter(|fault| concerns(&fault.pmd) || fault.pmd == "words").cloned().collect();
    for name in names {
        let (Some(text), Some(raw)) = (sources.files.get(name), parsed.get(name.as_str())) else { continue };
        let mut fault = |at: Range<usize>, text_: String| {
            let line = if at == (0..0) { 0 } else { line(text, at.start) };
            found.push(Fault { pmd: name.clone(), line, text: text_ });
        };
        let columns = raw.sets.iter().flat_map(|set| &set.columns);
        raw.fields.iter().chain(columns).for_each(|field| never_reached(field, text, &mut fault));
        let Some(pmd) = library.get(name) else { continue };
        loops(raw, pmd, &mut fault);
        unused(name, raw, &parsed, &mut fault);
        unfounded_checks(raw, pmd, &mut fault);
        nobody_comes(name, raw, &parsed, &mut fault);
        asks_too_much(name, pmd, &mut fault);
    }
    found.extend(overlap::overlaps(library, names));
    let place = |pmd: &String| names.iter().position(|name| name == pmd);
    found.sort_by_key(|fault| (place(&fault.pmd), fault.line));
    found.dedup();
    found
}

/// A rule behind one that always wins or always ends the list, or that stands there twice.
fn never_reached(field: &RawField, text: &str, fault: &mut impl FnMut(Range<usize>, String)) {
    let written = |rule: &RawRule| text[rule.at.clone()].split_whitespace().collect::<String>();
    let name = field.name.get_ref();
    let mut before: Vec<(String, usize)> = Vec::new();
    let mut end: Option<(usize, &str)> = None;
    for rule in &field.rules {
        let own = written(rule);
        if let Some((line, why)) = end {
            fault(rule.at.clone(), format!("`{name}`: this rule is never reached: the one in line {line} {why}"));
        } else if let Some((_, line)) = before.iter().find(|(other, _)| *other == own) {
            fault(rule.at.clone(), format!("`{name}`: this rule stands in line {line} already"));
        }
        let here = line(text, rule.at.start);
        let always = rule.when.is_empty() && end.is_none();
        let is_checked = rule.accept.is_some()
            || rule.reject.is_some()
            || rule.not.is_some()
            || rule.min.is_some()
            || rule.max.is_some()
            || rule.pattern.is_some();
        if always && rule.stop.as_ref().is_some_and(|stop| *stop.get_ref()) {
            end = Some((here, "ends the list"));
        } else if always && rule.constant.is_some() && !is_checked {
            end = Some((here, "always has a value"));
        }
        before.push((own, here));
    }
}

/// Fields that a rule names.
fn named(rule: &Rule, names: &mut BTreeSet<String>) {
    names.extend(rule.when.iter().map(|when| when.field.clone()));
    match &rule.source {
        Source::Use(name) => drop(names.insert(name.clone())),
        Source::Sum(terms) | Source::Difference(terms) | Source::Product(terms) => {
            terms.iter().for_each(|term| named(term, names));
        }
        _ => {}
    }
    if let Some(Unit::Field(name)) = &rule.unit {
        names.insert(name.clone());
    }
}

/// A field whose rules lead back to it: on that way it never has a value.
fn loops(raw: &RawPmd, pmd: &Pmd, fault: &mut impl FnMut(Range<usize>, String)) {
    let mut leads: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, rules) in &pmd.fields {
        let names = leads.entry(name).or_default();
        rules.iter().for_each(|rule| named(rule, names));
    }
    for field in &raw.fields {
        let own = field.name.get_ref().as_str();
        let mut way: Vec<Vec<&str>> = vec![vec![own]];
        let mut seen = BTreeSet::new();
        while let Some(path) = way.pop() {
            let Some(next) = path.last().and_then(|last| leads.get(last)) else { continue };
            if next.contains(own) {
                let path = path.iter().skip(1).map(|name| format!(" by `{name}`")).collect::<String>();
                fault(field.name.span(), format!("`{own}` refers to itself{path}: on that way it has no value"));
                break;
            }
            let new: Vec<&str> =
                next.iter().map(String::as_str).filter(|name| seen.insert((*name).to_owned())).collect();
            way.extend(new.into_iter().map(|name| [path.as_slice(), &[name]].concat()));
        }
    }
}

/// A `let` that nothing in this file, in those it extends or in those that extend it speaks of.
fn unused(name: &str, raw: &RawPmd, parsed: &BTreeMap<&str, RawPmd>, fault: &mut impl FnMut(Range<usize>, String)) {
    /// Those that normalising looks at itself.
    const SPOKEN_OF: [&str; 2] = ["let.charset", "let.process_colorants"];
    if name == GENERIC {
        return;
    }
    let related = |other: &&&str| leads_to(other, name, parsed) || leads_to(name, other, parsed);
    let mut spoken_of: BTreeSet<&str> = BTreeSet::new();
    for file in parsed.keys().filter(related) {
        spoken_of.extend(speaks_of(&parsed[file]));
    }
    for field in raw.fields.iter().filter(|field| field.name.get_ref().starts_with("let.")) {
        let own = field.name.get_ref().as_str();
        if !spoken_of.contains(own) && !SPOKEN_OF.contains(&own) {
            fault(field.name.span(), format!("`{own}` is used by no rule and no check"));
        }
    }
}

/// Whether a file is the other one, or extends it.
fn leads_to(from: &str, to: &str, parsed: &BTreeMap<&str, RawPmd>) -> bool {
    let mut at = Some(from);
    for _ in 0..=crate::pmd::CHAIN_MAX {
        match at {
            Some(name) if name == to => return true,
            Some(name) => {
                at = parsed.get(name).and_then(|raw| raw.extends.as_ref()).map(|extends| extends.get_ref().as_str());
            }
            None => return false,
        }
    }
    false
}

fn speaks_of(raw: &RawPmd) -> BTreeSet<&str> {
    fn down<'a>(rule: &'a RawRule, names: &mut BTreeSet<&'a str>) {
        names.extend(rule.uses.iter().chain(&rule.unit).map(|name| name.get_ref().as_str()));
        names.extend(rule.when.iter().map(|(name, _)| name.get_ref().as_str()));
        for term in rule.sum.iter().chain(&rule.difference).chain(&rule.product).flatten() {
            down(term, names);
        }
    }
    let mut names = BTreeSet::new();
    let columns = raw.sets.iter().flat_map(|set| &set.columns);
    raw.fields.iter().chain(columns).flat_map(|field| &field.rules).for_each(|rule| down(rule, &mut names));
    for check in &raw.checks {
        names.extend(check.total.iter().map(|total| total.get_ref().as_str()));
        names.extend(check.parts.iter().chain(&check.optional).flat_map(|list| list.get_ref()).map(String::as_str));
    }
    names
}

/// A check of counters that no rule gives: it would never say anything.
fn unfounded_checks(raw: &RawPmd, pmd: &Pmd, fault: &mut impl FnMut(Range<usize>, String)) {
    for check in &raw.checks {
        let parts = check.parts.iter().flat_map(|parts| parts.get_ref());
        for name in check.total.iter().map(|total| total.get_ref()).chain(parts) {
            let field = if name.starts_with("let.") { name.clone() } else { format!("counters.{name}") };
            if !pmd.fields.contains_key(&field) {
                fault(check.at.clone(), format!("this check never says anything: no rule gives `{name}`"));
            }
        }
    }
}

/// More single objects than a device is asked for in [`OBJECTS_MAX`].
fn asks_too_much(name: &str, pmd: &Pmd, fault: &mut impl FnMut(Range<usize>, String)) {
    let objects = plan::plan(pmd, 1).gets.len();
    if objects > OBJECTS_MAX && name != GENERIC {
        fault(
            0..0,
            format!(
                "a first reading asks for {objects} single objects: {OBJECTS_MAX} at most, the extended ones included"
            ),
        );
    }
}

/// A file without `[match]` that none extends.
fn nobody_comes(
    name: &str,
    raw: &RawPmd,
    parsed: &BTreeMap<&str, RawPmd>,
    fault: &mut impl FnMut(Range<usize>, String),
) {
    let own = &raw.matches;
    let matches = [&own.sys_object_id, &own.description, &own.device_id, &own.model];
    let extended = parsed.values().any(|other| other.extends.as_ref().is_some_and(|extends| extends.get_ref() == name));
    if ![GENERIC, UNKNOWN].contains(&name) && matches.iter().all(|list| list.is_empty()) && !extended {
        fault(0..0, "no device comes here: `[match]` names none, and no file extends this one".to_owned());
    }
    for oid in &own.sys_object_id {
        let under = |other: &str| oid.get_ref().strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
        if let Some(other) = own.sys_object_id.iter().find(|other| under(other.get_ref())) {
            fault(oid.span(), format!("`{}` lies under `{}`, which is named too", oid.get_ref(), other.get_ref()));
        }
    }
}

#[cfg(test)]
mod tests;
