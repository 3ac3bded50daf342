//! The library as a list: which devices each mapping is for and what it reads of the maker's own. The published list of
//! supported models is made here, so that it cannot say anything else than the files do.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::{WIDTH, is_of_nobody};
use crate::pmd::rule::Rule;
use crate::pmd::{Library, Pmd, Sources};

/// One mapping of the list.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `kyocera/taskalfa`.
    pub name: String,
    /// The brand as it is spelled: `Kyocera`; of a folder that is no brand its name.
    pub vendor: String,
    /// What the file's first comment says.
    pub about: String,
    /// What it extends, nearest first.
    pub extends: Vec<String>,
    /// Beginnings of sysObjectID.
    pub sys_object_ids: Vec<String>,
    /// Patterns, each with what it is found in: `model`, `description`, `device_id`.
    pub patterns: Vec<(&'static str, String)>,
    /// Counters that the maker's own objects give.
    pub counters: Vec<String>,
    /// Whether supplies come from the maker's own objects too.
    pub supplies: bool,
    /// No recording has proven any of those counters.
    pub unverified: bool,
    /// Models that recordings were read of.
    pub models: Vec<String>,
}

/// All mappings, by name. `models` are those that recordings were read of: the mapping's name and the model.
pub fn entries(sources: &Sources, library: &Library, models: &[(String, String)]) -> Vec<Entry> {
    library.pmds().map(|pmd| entry(sources, library, pmd, models)).collect()
}

fn entry(sources: &Sources, library: &Library, pmd: &Pmd, models: &[(String, String)]) -> Entry {
    let folder = pmd.name.split('/').next().unwrap_or_default();
    let own = |rules: &[std::sync::Arc<Rule>]| rules.iter().any(|rule| !is_of_nobody(&rule.origin.pmd));
    let counters = pmd.fields.iter().filter(|(name, rules)| name.starts_with("counters.") && own(rules));
    let counters: Vec<(&String, &Vec<_>)> = counters.collect();
    let proven =
        |rules: &[std::sync::Arc<Rule>]| rules.iter().any(|rule| !is_of_nobody(&rule.origin.pmd) && !rule.unverified);
    let patterns = [
        ("model", &pmd.matches.model),
        ("description", &pmd.matches.description),
        ("device_id", &pmd.matches.device_id),
    ];
    let patterns = patterns.into_iter().flat_map(|(what, list)| list.iter().map(move |p| (what, p.to_string())));
    let mut read: Vec<String> =
        models.iter().filter(|(name, _)| **name == *pmd.name).map(|(_, model)| model.clone()).collect();
    read.sort_by_key(|model| model.to_lowercase());
    read.dedup();
    Entry {
        name: pmd.name.to_string(),
        vendor: library.words.find("vendors", folder).unwrap_or(folder).to_owned(),
        about: sources.files.get(&*pmd.name).map(|text| about(text)).unwrap_or_default(),
        extends: pmd.chain[1..].iter().map(ToString::to_string).collect(),
        sys_object_ids: pmd.matches.sys_object_id.iter().map(ToString::to_string).collect(),
        patterns: patterns.collect(),
        unverified: !counters.is_empty() && !counters.iter().any(|(_, rules)| proven(rules)),
        counters: counters.iter().map(|(name, _)| name["counters.".len()..].to_owned()).collect(),
        supplies: pmd
            .sets
            .iter()
            .any(|set| set.section == "supplies" && set.columns.iter().any(|(_, rules)| own(rules))),
        models: read,
    }
}

/// The first paragraph of the comment that a file begins with.
fn about(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix('#').map(str::trim));
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Its first sentence.
fn in_short(about: &str) -> &str {
    let end = [". ", ": ", "; "].iter().filter_map(|end| about.find(end)).min();
    end.map_or(about, |end| &about[..end]).trim_end_matches('.')
}

impl Entry {
    /// What it reads of the maker's own, in a few words.
    fn reads(&self) -> String {
        let has = |part: &str| self.counters.iter().any(|counter| counter.contains(part));
        let begins = |part: &str| self.counters.iter().any(|counter| counter.starts_with(part));
        let words = [
            (self.counters.iter().any(|counter| counter == "system.impressions"), "total"),
            (has("full_color"), "color"),
            (begins("print."), "print"),
            (begins("copy."), "copy"),
            (begins("fax_"), "fax"),
            (begins("scan.") || begins("email_out."), "scan"),
            (has("two_sided"), "two-sided"),
            (has("large_"), "large"),
            (begins("vendor."), "maker's own"),
            (self.supplies, "supplies"),
        ];
        let words: Vec<&str> = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
        match (words.is_empty(), self.unverified) {
            (true, _) => "who it is".to_owned(),
            (false, true) => format!("{} (unverified)", words.join(", ")),
            (false, false) => words.join(", "),
        }
    }
}

/// For a person at a terminal.
pub fn table(entries: &[Entry]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(WIDTH).unwrap_or(u16::MAX))
        .set_header(["MAPPING", "FOR", "READS OF THE MAKER'S OWN"]);
    for entry in entries {
        table.add_row([entry.name.clone(), in_short(&entry.about).to_owned(), entry.reads()]);
    }
    let mut text: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    let _ = writeln!(text, "\n{} mappings; `meterpost pmd show NAME` shows what one does", entries.len());
    text
}

/// For programs: one object for each mapping.
pub fn json(entries: &[Entry]) -> String {
    let list: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let patterns: Vec<Value> =
                entry.patterns.iter().map(|(what, text)| json!({ "in": what, "pattern": text })).collect();
            json!({
                "name": entry.name, "vendor": entry.vendor, "about": entry.about, "extends": entry.extends,
                "sys_object_id": entry.sys_object_ids, "patterns": patterns, "counters": entry.counters,
                "supplies": entry.supplies, "unverified": entry.unverified, "models": entry.models,
            })
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&list).unwrap_or_default();
    text.push('\n');
    text
}

/// The published list.
pub fn markdown(entries: &[Entry], library: &Library) -> String {
    let mut by_vendor: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| !entry.name.starts_with("generic/")) {
        by_vendor.entry(entry.vendor.to_lowercase()).or_default().push(entry);
    }
    let mut text = String::from(
        "# Supported models\n\n\
         Made by `meterpost pmd list --format md --walks tests/walks`; a test keeps it true. `pmd/README.md` tells how to add a model.\n\n\
         Every printer with a Printer-MIB (RFC 3805) is read: model, serial number, life count, supplies, trays, covers, alerts and\n\
         state. Those below are also read by objects of their makers' own. \"Unverified\" counters come from documents; no recording\n\
         has proven them, and a reading marks each.\n",
    );
    for list in by_vendor.values() {
        let vendor = list.first().map_or("", |entry| entry.vendor.as_str());
        let _ = write!(text, "\n## {vendor}\n\n| mapping | for | reads of the maker's own |\n| --- | --- | --- |\n");
        for entry in list {
            let _ = writeln!(text, "| `{}` | {} | {} |", entry.name, cell(in_short(&entry.about)), entry.reads());
        }
        let mut models: Vec<&str> = list.iter().flat_map(|entry| &entry.models).map(String::as_str).collect();
        models.sort_by_key(|model| model.to_lowercase());
        models.dedup();
        if !models.is_empty() {
            let _ = writeln!(text, "\nRecordings in the tests: {}.", models.join(", "));
        }
    }
    let brands = |list: &str| library.words.list(list).map(|list| list.results()).unwrap_or_default();
    let mut brands = [brands("vendors"), brands("enterprises"), brands("makers")].concat();
    brands.sort_by_key(|brand| brand.to_lowercase());
    brands.dedup();
    let _ = write!(text, "\n## Recognised brands\n\n{}.\n", brands.join(", "));
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
