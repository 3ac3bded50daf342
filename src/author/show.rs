//! A mapping as it works: every rule in the order in which it is tried, with the file and line that it stands in.

use std::fmt::Write as _;
use std::sync::Arc;

use super::source::{Texts, rule_name};
use super::wrapped;
use crate::pmd::rule::{Rule, Source};
use crate::pmd::{Pmd, Sources};

/// The mapping with all that it extends.
pub fn show(sources: &Sources, pmd: &Pmd) -> String {
    let texts = Texts::new(&sources.files, pmd.chain.iter().map(|name| &**name));
    let mut text = format!("{}\n", pmd.name);
    for name in &pmd.chain[1..] {
        let _ = writeln!(text, "  extends {name}");
    }
    let matches = &pmd.matches;
    let lists = [("model", &matches.model), ("device_id", &matches.device_id), ("description", &matches.description)];
    for oid in &matches.sys_object_id {
        let _ = writeln!(text, "  for sysObjectID {oid}");
    }
    for (what, list) in lists {
        for pattern in list {
            let _ = writeln!(text, "  {what} has `{pattern}`");
        }
    }
    let limits = pmd.limits;
    let _ = write!(text, "  {} objects in a request", limits.varbinds_max);
    text.push_str(if limits.bulk { ", GETBULK\n" } else { "\n" });
    if let Some(context) = &pmd.context {
        let _ = writeln!(text, "  what is not answered is asked again in the SNMPv3 context `{context}`");
    }
    if !pmd.weekly.is_empty() {
        let names: Vec<&str> = pmd.weekly.iter().map(|field| field.trim_start_matches("counters.")).collect();
        text +=
            &wrapped(&format!("not at the first visit, then with the weekly full readings: {}", names.join(", ")), 2);
    }
    let order = ["identity", "network", "capabilities", "counters", "status", "let"];
    for section in order {
        let prefix = format!("{section}.");
        let fields: Vec<_> = pmd.fields.iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
        if !fields.is_empty() {
            let _ = writeln!(text, "\n[{section}]");
        }
        for (name, rules) in fields {
            list(&mut text, &name[prefix.len()..], name, rules, pmd, &texts);
        }
    }
    for set in &pmd.sets {
        let _ = write!(text, "\n[{}.{}]", set.section, set.name);
        match set.rows.first() {
            Some(column) => {
                let columns: Vec<String> =
                    set.rows.iter().filter_map(|row| row.arcs().last()).map(ToString::to_string).collect();
                let table = &column.arcs()[..column.arcs().len().saturating_sub(1)];
                let table = crate::snmp::Oid::new(table);
                let _ = writeln!(text, " a row where {table} has column {}", columns.join(", "));
            }
            None => text.push_str(" one row\n"),
        }
        if let Some(over) = &set.over {
            let _ = writeln!(text, "  laid over {}.{over}", set.section);
        }
        for (column, rules) in &set.columns {
            let name = format!("{}.{}.{column}", set.section, set.name);
            list(&mut text, column, &name, rules, pmd, &texts);
        }
    }
    if !pmd.checks.is_empty() {
        text.push_str("\n[checks]\n");
    }
    for check in &pmd.checks {
        let optional = check.optional.iter().map(|part| format!("[{part}]"));
        let parts: Vec<String> = check.parts.iter().cloned().chain(optional).collect();
        let sign = if check.at_most { ">=" } else { "=" };
        text += &wrapped(&format!("{} {sign} {}", check.total, parts.join(" + ")), 2);
    }
    text
}

fn list(text: &mut String, shown: &str, field: &str, rules: &[Arc<Rule>], pmd: &Pmd, texts: &Texts<'_>) {
    let _ = writeln!(text, "{shown}");
    for (place, rule) in rules.iter().enumerate() {
        let name = rule_name(rule, &pmd.name);
        let (written, line) = texts.rule(field, &rule.origin).unwrap_or_default();
        let doubt = if rule.unverified { ", unverified" } else { "" };
        let _ = writeln!(text, "  {name} (line {line}{doubt})");
        text.push_str(&wrapped(&written, 6));
        let behind = rules.len() - place - 1;
        if matches!(rule.source, Source::Stop) && rule.when.is_empty() && behind > 0 {
            let _ = writeln!(text, "  {behind} rule{} behind it not tried", if behind == 1 { " is" } else { "s are" });
            break;
        }
    }
}
