//! Counters that a device labels itself: a text beside a number in the same row of a table.

use std::collections::BTreeMap;

use meterpost_wire::counters::CounterKey;

use super::numbers::Number;
use crate::normalise::Datum;
use crate::plan::Answers;
use crate::pmd::words::Words;
use crate::snmp::Oid;

/// Characters of a label.
const LABEL_CHARS_MAX: usize = 80;

/// A number with the text beside it.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// What the text says that it counts.
    pub key: CounterKey,
    /// As the device writes it.
    pub label: String,
    /// The column of texts.
    pub label_column: Oid,
    /// The column of numbers.
    pub column: Oid,
    /// The number.
    pub number: Number,
}

/// All counters that texts name, one for each key: the one in the first row.
pub fn labelled(answers: &Answers, numbers: &[Number], words: &Words) -> Vec<Labelled> {
    let values: BTreeMap<&Oid, u64> = numbers.iter().map(|number| (&number.oid, number.value)).collect();
    let mut found: Vec<Labelled> = Vec::new();
    let own =
        answers.iter().filter(|(context, oid, _)| context.is_empty() && oid.arcs().starts_with(&[1, 3, 6, 1, 4, 1]));
    for (_, oid, answer) in own {
        let Ok(value) = answer else { continue };
        if value.as_octets().is_none() {
            continue;
        }
        let label = Datum::from(value).line(None).into_owned();
        let Some(key) = meant(&label, words) else { continue };
        let arcs = oid.arcs();
        // the index is one to three numbers long: `<entry>.<column>.<index>`
        let best = (1..=3).filter(|length| arcs.len() > 9 + length).find_map(|length| {
            let (column, index) = arcs.split_at(arcs.len() - length);
            let (own, entry) = column.split_last()?;
            let beside = (1..=40).filter(|other| other != own).filter_map(|other| {
                let column = Oid::new(entry).join(&[other]);
                let value = values.get(&column.join(index))?;
                // what a column holds in its other rows tells numbers from types, units and states
                let most =
                    numbers.iter().filter(|number| number.oid.is_under(&column)).map(|number| number.value).max();
                Some((most.unwrap_or(0), *value, column))
            });
            let (most, value, number_column) = beside.max_by_key(|(most, ..)| *most)?;
            // units and states are small numbers
            (most > 50).then(|| (Oid::new(column), number_column.clone(), number_column.join(index), value))
        });
        let Some((label_column, column, at, value)) = best else { continue };
        if found.iter().all(|other| other.key != key) {
            found.push(Labelled { key, label, label_column, column, number: Number { oid: at, value } });
        }
    }
    // one row that looks like it is a coincidence; a table of counters has several
    let rows = |column: &Oid| found.iter().filter(|one| one.label_column == *column).count();
    let tables: Vec<bool> = found.iter().map(|one| rows(&one.label_column) >= 2).collect();
    found.into_iter().zip(tables).filter_map(|(one, is_table)| is_table.then_some(one)).collect()
}

/// The counter that a text speaks of.
fn meant(label: &str, words: &Words) -> Option<CounterKey> {
    let readable = label.chars().count() <= LABEL_CHARS_MAX && label.chars().filter(|c| c.is_alphabetic()).count() >= 4;
    if !readable || words.find("counter_strangers", label).is_some() {
        return None;
    }
    let service = words.find("counter_services", label)?;
    let kind = words.find("counter_kinds", label).filter(|kind| !kind.is_empty())?;
    // what is scanned is an image
    let kind = if service == "scan" { kind.replace("impressions", "images") } else { kind.to_owned() };
    CounterKey::parse(&format!("{service}.{kind}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(label: &str, expected: Option<&str>) {
        let words = crate::pmd::Library::words_only().words;
        assert_eq!(meant(label, &words).map(|key| key.to_string()).as_deref(), expected, "{label}");
    }

    #[test]
    fn labels_of_several_makers_are_understood() {
        check("Counter: Machine Total", Some("system.impressions"));
        check("Total Prints: Color", Some("system.full_color_impressions"));
        check("Total Prints: Black & White", Some("system.monochrome_impressions"));
        check("Printer: Full Color", Some("print.full_color_impressions"));
        check("Copier: Black & White", Some("copy.monochrome_impressions"));
        check("Total 1", Some("system.impressions"));
        check("Total (Black/Large)", Some("system.large_monochrome_impressions"));
        check("Print (Total 1)", Some("print.impressions"));
        check("Scan (Total 1)", Some("scan.images"));
        check("Color Impressions", Some("system.full_color_impressions"));
        check("Total Impressions", Some("system.impressions"));
    }

    #[test]
    fn what_is_no_page_counter_is_left_alone() {
        for label in
            ["Black Toner", "Fuser life", "Total jams", "10.0.0.1", "Printer Firmware", "Coverage: Color", "Tray 1"]
        {
            check(label, None);
        }
    }
}
