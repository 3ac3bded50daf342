//! Where in the texts of a library a rule stands.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::pmd::raw::{self, RawPmd};
use crate::pmd::rule::{Origin, Rule};

/// The files that rules come from, parsed.
pub struct Texts<'a> {
    files: BTreeMap<&'a str, (&'a str, RawPmd)>,
}

impl<'a> Texts<'a> {
    /// Parses the named ones.
    pub fn new(files: &'a BTreeMap<String, String>, names: impl IntoIterator<Item = &'a str>) -> Self {
        let parsed = names.into_iter().filter_map(|name| {
            let text = files.get(name)?;
            Some((name, (text.as_str(), raw::parse(text).0)))
        });
        Self { files: parsed.collect() }
    }

    /// A rule as it is written, and its line. `field` is `counters.system.impressions`, or of a row set
    /// `supplies.printer-mib.level`.
    pub fn rule(&self, field: &str, origin: &Origin) -> Option<(String, usize)> {
        let (text, raw) = self.files.get(&*origin.pmd)?;
        let at = span(raw, field, origin.number)?;
        Some((one_line(&text[at.clone()]), line(text, at.start)))
    }
}

fn span(raw: &RawPmd, field: &str, number: usize) -> Option<Range<usize>> {
    let own = raw.fields.iter().find(|own| own.name.get_ref() == field);
    let cell = || {
        let (set, column) = field.rsplit_once('.')?;
        let set = raw.sets.iter().find(|own| format!("{}.{}", own.section, own.name.get_ref()) == set)?;
        set.columns.iter().find(|own| own.name.get_ref() == column)
    };
    own.or_else(cell)?.rules.get(number.checked_sub(1)?).map(|rule| rule.at.clone())
}

/// The line of a place in a text, from 1.
pub fn line(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count() + 1
}

/// A rule that was written over several lines, with comments between them.
fn one_line(text: &str) -> String {
    let mut joined = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with(']') && joined.ends_with(',') {
            joined.pop();
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(line);
    }
    joined
}

/// A rule's number as a reading writes it: with the file where it is not the device's own mapping.
pub fn rule_name(rule: &Rule, own: &str) -> String {
    let Origin { pmd, number } = &rule.origin;
    if **pmd == *own { number.to_string() } else { format!("{pmd}:{number}") }
}
