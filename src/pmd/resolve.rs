//! From a file as written to a mapping as meant: every OID parsed and guarded, every pattern compiled, every name looked
//! up, and the rules of the extended file put behind. Faults are collected, never the first one alone.

mod rule;
mod term;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use meterpost_wire::counters::CounterKey;
use toml::Spanned;

use super::raw::{RawFault, RawField, RawPmd, RawRule, RawSet, SECTIONS, SETS};
use super::rule::{Check, RowSet, Rule, Source};
use super::words::Words;
use super::{Match, Pmd};
use crate::plan;
use crate::snmp::{Limits, Oid};

/// Fields in one file.
const FIELDS_MAX: usize = 200;
/// Row sets in one file.
const SETS_MAX: usize = 100;

/// Fields that every device has, named `device.…`, that no file defines.
pub const DEVICE_FIELDS: [&str; 6] =
    ["sys_object_id", "description", "name", "location", "device_id", "device_description"];

/// Makes the mapping `name` of what was read, on top of `base`. The patterns of a `proven` file are good without a look.
pub fn resolve(name: &str, raw: &RawPmd, base: Option<&Pmd>, words: &Words, proven: bool) -> (Pmd, Vec<RawFault>) {
    let mut resolver = Resolver { pmd: name.into(), unverified: false, proven, words, faults: Vec::new() };
    let r = &mut resolver;
    match &raw.format {
        Some(format) if *format.get_ref() == 1 => {}
        Some(format) => {
            let found = *format.get_ref();
            r.fault(format.span(), format!("`format` is {found}: this program knows 1"));
        }
        None => r.fault(0..0, "`format = 1` is missing".to_owned()),
    }
    r.unverified = r.confidence(raw.confidence.as_ref()).unwrap_or(false);
    if let Some(first_too_many) = raw.fields.get(FIELDS_MAX) {
        r.fault(first_too_many.name.span(), format!("{} fields: {FIELDS_MAX} at most", raw.fields.len()));
    }
    if let Some(first_too_many) = raw.sets.get(SETS_MAX) {
        r.fault(first_too_many.name.span(), format!("{} row sets: {SETS_MAX} at most", raw.sets.len()));
    }

    let mut fields: BTreeMap<String, Vec<Arc<Rule>>> = BTreeMap::new();
    for field in &raw.fields {
        let name = field.name.get_ref();
        if let Some(counter) = name.strip_prefix("counters.")
            && let Err(error) = CounterKey::parse(counter)
        {
            r.fault(field.name.span(), error.to_string());
        }
        let rules = r.rules(field, None);
        fields.insert(name.clone(), rules);
    }
    let mut sets: Vec<RowSet> = base.map(|base| base.sets.clone()).unwrap_or_default();
    for set in &raw.sets {
        let before = sets.iter().position(|s| s.section == set.section && s.name == *set.name.get_ref());
        if set.drop.as_ref().is_some_and(|drop| *drop.get_ref()) {
            match before {
                Some(at) => drop(sets.remove(at)),
                None => r.fault(
                    set.name.span(),
                    format!("`{}` is no set of the extended file: nothing to drop", set.name.get_ref()),
                ),
            }
            continue;
        }
        let resolved = r.row_set(set, before.map(|at| &sets[at]));
        match before {
            Some(at) => sets[at] = resolved,
            None => sets.push(resolved),
        }
    }
    for set in raw.sets.iter() {
        if let Some(over) = &set.over
            && !sets.iter().any(|s| s.section == set.section && s.name == *over.get_ref())
        {
            r.fault(over.span(), format!("`{}` is no row set of `{}`", over.get_ref(), set.section));
        }
    }
    let mut checks: Vec<Check> = raw.checks.iter().filter_map(|check| r.check(check)).collect();

    // what this file says comes first, what it extends behind it
    if let Some(base) = base {
        for (name, rules) in &base.fields {
            let own = fields.entry(name.clone()).or_default();
            own.extend(rules.iter().cloned());
            if name.starts_with("identity.") || name.starts_with("network.") {
                proven_first(own);
            }
        }
        checks.extend(
            base.checks.iter().filter(|c| raw.checks.iter().all(|own| !names(own.total.as_ref(), &c.total))).cloned(),
        );
    }
    r.names_exist(raw, &fields);
    let limits = r.limits(raw, base);
    let mut weekly = r.weekly(raw, &fields);
    weekly.extend(base.iter().flat_map(|base| base.weekly.iter().cloned()));
    let matches = r.matches(raw);
    let pmd = Pmd {
        name: resolver.pmd.clone(),
        chain: std::iter::once(resolver.pmd.clone())
            .chain(base.iter().flat_map(|base| base.chain.iter().cloned()))
            .collect(),
        matches,
        limits,
        context: raw
            .quirks
            .context
            .as_ref()
            .map(|c| c.get_ref().as_str().into())
            .or(base.and_then(|base| base.context.clone())),
        fields,
        sets,
        checks,
        weekly,
        plan_of_device_1: OnceLock::new(),
    };
    let mut faults = resolver.faults;
    faults.sort_by_key(|fault| fault.at.start);
    faults.dedup();
    (pmd, faults)
}

/// Who a device is: what no device has proven is tried behind all that one has, also behind that of an extended file. Counters
/// keep their order, since what an extended file has for them only stands in.
fn proven_first(rules: &mut [Arc<Rule>]) {
    let end = rules.iter().position(|rule| matches!(rule.source, Source::Stop)).unwrap_or(rules.len());
    rules[..end].sort_by_key(|rule| rule.unverified);
}

fn names(name: Option<&Spanned<String>>, total: &str) -> bool {
    name.is_some_and(|name| name.get_ref() == total)
}

struct Resolver<'w> {
    pmd: Arc<str>,
    unverified: bool,
    proven: bool,
    words: &'w Words,
    faults: Vec<RawFault>,
}

/// What a rule in a row set may refer to.
struct InSet<'a> {
    table: Option<&'a Oid>,
    section: &'static str,
    context: Option<&'a Arc<str>>,
}

impl Resolver<'_> {
    fn fault(&mut self, at: Range<usize>, text: String) {
        self.faults.push(RawFault { at, text });
    }

    fn row_set(&mut self, raw: &RawSet, before: Option<&RowSet>) -> RowSet {
        let table = raw.table.as_ref().and_then(|table| self.oid(table.get_ref(), table.span(), true));
        let context = raw.context.as_ref().map(|c| Arc::from(c.get_ref().as_str()));
        let table = table.or_else(|| before.and_then(|set| set.rows.first()).map(parent));
        let in_set = InSet { table: table.as_ref(), section: raw.section, context: context.as_ref() };
        let rows = match (&raw.rows, &table) {
            (Some(rows), Some(table)) => rows.get_ref().list().iter().map(|column| table.join(&[*column])).collect(),
            (Some(rows), None) => {
                self.fault(rows.span(), "`rows` names columns of a `table`; this set has none".to_owned());
                Vec::new()
            }
            (None, Some(_)) if before.is_none() => {
                let name = raw.name.get_ref();
                self.fault(
                    raw.name.span(),
                    format!("`{name}` has a `table` and no `rows`: the columns that make a row"),
                );
                Vec::new()
            }
            _ => before.map(|set| set.rows.clone()).unwrap_or_default(),
        };
        let expect = self.expect(raw.expect.as_ref());
        if raw.section != "supplies" {
            for (key, at) in [
                ("over", raw.over.as_ref().map(Spanned::span)),
                ("fills", raw.fills.as_ref().map(Spanned::span)),
                ("receptacles", raw.receptacles.as_ref().map(Spanned::span)),
            ] {
                if let Some(at) = at {
                    self.fault(at, format!("`{key}` is for `supplies` only"));
                }
            }
        }
        let own: Vec<(&'static str, Vec<Arc<Rule>>)> = raw
            .columns
            .iter()
            .filter_map(|field| {
                let known = SETS.iter().find(|(section, _)| *section == raw.section)?;
                let name = known.1.iter().find(|name| *name == field.name.get_ref())?;
                Some((*name, self.rules(field, Some(&in_set))))
            })
            .collect();
        for field in &raw.columns {
            self.rows_know(field, raw, before);
        }
        let mut columns = own;
        for (name, rules) in before.iter().flat_map(|set| &set.columns) {
            match columns.iter_mut().find(|(own, _)| own == name) {
                Some((_, own)) => own.extend(rules.iter().cloned()),
                None => columns.push((name, rules.clone())),
            }
        }
        RowSet {
            section: raw.section,
            name: raw.name.get_ref().clone(),
            rows,
            expect: expect.or(before.map(|set| set.expect)).unwrap_or(plan::EXPECT),
            filters: match raw.filters.is_empty() {
                true => before.map(|set| set.filters.clone()).unwrap_or_default(),
                false => self.filters(&raw.filters, table.as_ref()),
            },
            over: raw.over.as_ref().map(|over| over.get_ref().clone()).or(before.and_then(|set| set.over.clone())),
            fills: raw.fills.as_ref().map_or(before.is_some_and(|set| set.fills), |fills| *fills.get_ref()),
            used: match self.word(raw.receptacles.as_ref(), "receptacles", &["remaining", "used"]) {
                Some(choice) => choice == 1,
                None => before.is_some_and(|set| set.used),
            },
            columns,
            context: context.or(before.and_then(|set| set.context.clone())),
        }
    }

    /// A bare name in a row set must be a column of that set.
    fn rows_know(&mut self, field: &RawField, set: &RawSet, before: Option<&RowSet>) {
        let mut missing = Vec::new();
        for rule in &field.rules {
            let uses = rule.uses.iter().chain(rule.when.iter().map(|(name, _)| name));
            for name in uses.filter(|name| !name.get_ref().contains('.')) {
                let here = set.columns.iter().any(|column| column.name.get_ref() == name.get_ref());
                let there = before.is_some_and(|set| !set.column(name.get_ref()).is_empty());
                if !here && !there {
                    missing.push(name.clone());
                }
            }
        }
        for name in missing {
            self.fault(
                name.span(),
                format!("`{}` is no column of `{}.{}`", name.get_ref(), set.section, set.name.get_ref()),
            );
        }
    }

    /// A name with a dot must be a field of this file, of those it extends, or of the device.
    fn names_exist(&mut self, raw: &RawPmd, fields: &BTreeMap<String, Vec<Arc<Rule>>>) {
        let mut unknown: Vec<(Range<usize>, String)> = Vec::new();
        let mut look = |name: &Spanned<String>, in_set: bool| {
            let text = name.get_ref();
            let known = match text.split_once('.') {
                Some(("device", rest)) => DEVICE_FIELDS.contains(&rest),
                Some(("let", _)) => fields.contains_key(text),
                Some(("counters", rest)) => CounterKey::parse(rest).is_ok(),
                Some((section, rest)) => SECTIONS.iter().any(|(s, names)| *s == section && names.contains(&rest)),
                None => in_set,
            };
            if !known {
                unknown.push((name.span(), format!("`{text}` is no field: `section.name` or `let.name` would be")));
            }
        };
        for field in &raw.fields {
            field.rules.iter().for_each(|rule| visit(rule, &mut |name| look(name, false)));
        }
        for field in raw.sets.iter().flat_map(|set| &set.columns) {
            field.rules.iter().for_each(|rule| visit(rule, &mut |name| look(name, true)));
        }
        for check in &raw.checks {
            let lists = check.parts.iter().chain(&check.optional);
            let names = lists.flat_map(|list| list.get_ref().iter().map(|name| (name, list.span())));
            for (name, at) in names.chain(check.total.iter().map(|total| (total.get_ref(), total.span()))) {
                if name.starts_with("let.") && !fields.contains_key(name) {
                    unknown.push((at, format!("`{name}` is no field: a counter or `let.name` would be")));
                }
            }
        }
        unknown.into_iter().for_each(|(at, text)| self.fault(at, text));
    }

    fn check(&mut self, raw: &super::raw::RawCheck) -> Option<Check> {
        let (Some(total), Some(parts)) = (&raw.total, &raw.parts) else {
            self.fault(raw.at.clone(), "a check has a `total` and `parts`".to_owned());
            return None;
        };
        let optional = raw.optional.as_ref().map(|o| o.get_ref().clone()).unwrap_or_default();
        for (name, at) in std::iter::once((total.get_ref(), total.span()))
            .chain(parts.get_ref().iter().map(|name| (name, parts.span())))
            .chain(optional.iter().map(|name| (name, raw.at.clone())))
        {
            if !name.starts_with("let.")
                && let Err(error) = CounterKey::parse(name)
            {
                self.fault(at, error.to_string());
            }
        }
        Some(Check {
            total: total.get_ref().clone(),
            parts: parts.get_ref().clone(),
            optional,
            tolerance: raw.tolerance.as_ref().map_or(0, |t| u64::try_from(*t.get_ref()).unwrap_or(0)),
            at_most: raw.at_most.as_ref().is_some_and(|at_most| *at_most.get_ref()),
        })
    }

    fn limits(&mut self, raw: &RawPmd, base: Option<&Pmd>) -> Limits {
        let mut limits = base.map(|base| base.limits).unwrap_or_default();
        if let Some(bulk) = &raw.quirks.bulk {
            limits.bulk = *bulk.get_ref();
        }
        if let Some(n) = &raw.quirks.varbinds_max {
            match usize::try_from(*n.get_ref()) {
                Ok(n @ 1..=60) => limits.varbinds_max = n,
                _ => self.fault(n.span(), format!("`varbinds_max` is {}: 1 to 60 would be right", n.get_ref())),
            }
        }
        if let Some(ms) = &raw.quirks.timeout_ms {
            match u64::try_from(*ms.get_ref()) {
                Ok(ms @ 250..=30_000) => limits.wait_max = Some(Duration::from_millis(ms)),
                _ => self.fault(ms.span(), format!("`timeout_ms` is {}: 250 to 30000 would be right", ms.get_ref())),
            }
        }
        limits
    }

    /// Counters of the maker's own that need not be read each time: the bill is, and what alone is asked by exact objects can be
    /// left out without a table being read in part.
    fn weekly(&mut self, raw: &RawPmd, fields: &BTreeMap<String, Vec<Arc<Rule>>>) -> BTreeSet<String> {
        let mut weekly = BTreeSet::new();
        let Some(names) = &raw.quirks.weekly else { return weekly };
        for name in names.get_ref() {
            let field = format!("counters.{name}");
            let rules = fields.get(&field).filter(|_| name.starts_with("vendor."));
            if rules.is_some_and(|rules| rules.iter().all(|rule| matches!(rule.source, Source::Get(_)))) {
                weekly.insert(field);
            } else {
                let text =
                    format!("`weekly` names `{name}`: a `vendor.` counter with nothing but `get` would be right");
                self.fault(names.span(), text);
            }
        }
        weekly
    }

    fn matches(&mut self, raw: &RawPmd) -> Match {
        let own = &raw.matches;
        let oids = own.sys_object_id.iter().filter_map(|oid| match oid.get_ref().parse::<Oid>() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.faults.push(RawFault { at: oid.span(), text: error.to_string() });
                None
            }
        });
        let sys_object_id = oids.collect();
        let mut patterns = |list: &[Spanned<String>]| list.iter().filter_map(|p| self.pattern(p)).collect();
        Match {
            sys_object_id,
            description: patterns(&own.description),
            device_id: patterns(&own.device_id),
            model: patterns(&own.model),
        }
    }
}

/// All names of fields that a rule mentions.
fn visit(rule: &RawRule, look: &mut dyn FnMut(&Spanned<String>)) {
    rule.uses.iter().for_each(&mut *look);
    rule.when.iter().for_each(|(name, _)| look(name));
    rule.unit.iter().filter(|unit| unit.get_ref().starts_with("let.")).for_each(&mut *look);
    for term in rule.sum.iter().chain(&rule.difference).chain(&rule.product).flatten() {
        visit(term, look);
    }
}

fn parent(oid: &Oid) -> Oid {
    Oid::new(&oid.arcs()[..oid.arcs().len() - 1])
}
