//! From a file as written to a mapping as meant: every OID parsed and guarded, every pattern compiled, every name looked
//! up, and the rules of the extended file put behind. Faults are collected, never the first one alone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use meterpost_wire::counters::CounterKey;
use meterpost_wire::labels::Table;
use regex::{Regex, RegexBuilder};
use toml::Spanned;

use super::raw::{
    Many, RawColumn, RawFault, RawField, RawPmd, RawRule, RawSet, RawTlv, RawWhere, SECTIONS, SETS, Scalar,
};
use super::rule::{
    Check, Column, Filter, Origin, Part, RowSet, Rule, Source, Step, Take, Template, Test, Tlv, TlvPart, Unit,
    Validity, When,
};
use super::words::Words;
use super::{Match, PATTERN_BYTES_MAX, Pmd, guard};
use crate::normalise::text::Charset;
use crate::snmp::{Limits, Oid};

/// Rules of one field in one file, terms included.
const RULES_MAX: usize = 20;
/// Fields in one file.
const FIELDS_MAX: usize = 200;
/// Row sets in one file.
const SETS_MAX: usize = 100;
/// Characters of a pattern.
const PATTERN_CHARS_MAX: usize = 500;

/// Fields that every device has, named `device.…`, that no file defines.
pub const DEVICE_FIELDS: [&str; 6] =
    ["sys_object_id", "description", "name", "location", "device_id", "device_description"];

/// Makes the mapping `name` of what was read, on top of `base`.
pub fn resolve(name: &str, raw: &RawPmd, base: Option<&Pmd>, words: &Words) -> (Pmd, Vec<RawFault>) {
    let mut resolver = Resolver { pmd: name.into(), unverified: false, words, faults: Vec::new() };
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
    if raw.fields.len() > FIELDS_MAX {
        r.fault(0..0, format!("{} fields: {FIELDS_MAX} at most", raw.fields.len()));
    }
    if raw.sets.len() > SETS_MAX {
        r.fault(0..0, format!("{} row sets: {SETS_MAX} at most", raw.sets.len()));
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
            fields.entry(name.clone()).or_default().extend(rules.iter().cloned());
        }
        checks.extend(
            base.checks.iter().filter(|c| raw.checks.iter().all(|own| !names(own.total.as_ref(), &c.total))).cloned(),
        );
    }
    r.names_exist(raw, &fields);
    let limits = r.limits(raw, base);
    let matches = r.matches(raw);
    let pmd = Pmd {
        name: resolver.pmd.clone(),
        chain: std::iter::once(resolver.pmd.clone())
            .chain(base.iter().flat_map(|base| base.chain.iter().cloned()))
            .collect(),
        matches,
        limits,
        timeout: raw
            .quirks
            .timeout_ms
            .as_ref()
            .map(|ms| Duration::from_millis(u64::try_from(*ms.get_ref()).unwrap_or(0)))
            .or(base.and_then(|base| base.timeout)),
        context: raw
            .quirks
            .context
            .as_ref()
            .map(|c| c.get_ref().as_str().into())
            .or(base.and_then(|base| base.context.clone())),
        fields,
        sets,
        checks,
    };
    let mut faults = resolver.faults;
    faults.sort_by_key(|fault| fault.at.start);
    faults.dedup();
    (pmd, faults)
}

fn names(name: Option<&Spanned<String>>, total: &str) -> bool {
    name.is_some_and(|name| name.get_ref() == total)
}

struct Resolver<'w> {
    pmd: Arc<str>,
    unverified: bool,
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

    fn rules(&mut self, field: &RawField, set: Option<&InSet<'_>>) -> Vec<Arc<Rule>> {
        if field.rules.len() > RULES_MAX {
            let text = format!("`{}` has {} rules: {RULES_MAX} at most", field.name.get_ref(), field.rules.len());
            self.fault(field.name.span(), text);
        }
        let numbered = field.rules.iter().enumerate();
        numbered.filter_map(|(n, rule)| self.rule(rule, n + 1, field.name.get_ref(), set)).map(Arc::new).collect()
    }

    fn rule(&mut self, raw: &RawRule, number: usize, field: &str, set: Option<&InSet<'_>>) -> Option<Rule> {
        let before = self.faults.len();
        let source = self.source(raw, number, field, set);
        let is_list = matches!(&source, Some(Source::Column(Column { take: Take::All, .. })));
        if is_list && !is_list_field(field) {
            self.fault(raw.at.clone(), format!("`take = \"all\"` in `{field}`: only fields that are lists take it"));
        }
        let rule = Rule {
            origin: Origin { pmd: self.pmd.clone(), number },
            derived: matches!(&source, Some(Source::Sum(_) | Source::Difference(_) | Source::Product(_)))
                || matches!(&source, Some(Source::Column(column)) if column.take == Take::Sum)
                || self.word(raw.basis.as_ref(), "basis", &["actual", "derived"]) == Some(1),
            source: source.unwrap_or(Source::Stop),
            when: self.whens(raw),
            steps: self.steps(raw),
            valid: self.validity(raw),
            context: raw
                .context
                .as_ref()
                .map(|c| c.get_ref().as_str().into())
                .or(set.and_then(|set| set.context.cloned())),
            unverified: self.confidence(raw.confidence.as_ref()).unwrap_or(self.unverified),
            unit: raw.unit.as_ref().map(|unit| match unit.get_ref().starts_with("let.") {
                true => Unit::Field(unit.get_ref().clone()),
                false => Unit::Word(unit.get_ref().clone()),
            }),
            optional: raw.optional.as_ref().is_some_and(|optional| *optional.get_ref()),
        };
        (self.faults.len() == before).then_some(rule)
    }

    fn source(&mut self, raw: &RawRule, number: usize, field: &str, set: Option<&InSet<'_>>) -> Option<Source> {
        let named = [
            ("get", raw.get.is_some()),
            ("column", raw.column.is_some()),
            ("use", raw.uses.is_some()),
            ("const", raw.constant.is_some()),
            ("sum", raw.sum.is_some()),
            ("difference", raw.difference.is_some()),
            ("product", raw.product.is_some()),
            ("nth", raw.nth.is_some()),
            ("stop", raw.stop.is_some()),
        ];
        let given: Vec<&str> = named.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        match given.as_slice() {
            [_] => {}
            [] => {
                let all = named.map(|(name, _)| format!("`{name}`")).join(" ");
                self.fault(raw.at.clone(), format!("a rule without a source: one of {all} would be"));
                return None;
            }
            several => {
                let several = several.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
                self.fault(raw.at.clone(), format!("a rule with the sources {several}: exactly one would be right"));
                return None;
            }
        }
        let rows_chosen = raw.index.is_some() || !raw.filters.is_empty() || raw.take.is_some();
        if rows_chosen && raw.column.is_none() {
            self.fault(
                raw.at.clone(),
                "`index`, `where` and `take` choose rows of a `column`; this rule has none".to_owned(),
            );
        }
        if raw.lookup.is_some() && raw.column.is_none() {
            self.fault(raw.at.clone(), "`at` looks up what a `column` gives; this rule has none".to_owned());
        }
        if let Some(get) = &raw.get {
            let list = get.get_ref().list();
            let oids: Vec<Template> = list.iter().filter_map(|text| self.template(text, get.span(), false)).collect();
            return (oids.len() == list.len()).then_some(Source::Get(oids));
        }
        if let Some(column) = &raw.column {
            let lookup = match &raw.lookup {
                Some(at) => Some(self.lookup(at)?),
                None => None,
            };
            let base = self.column(column, set.and_then(|set| set.table))?;
            return match set {
                Some(set) if set.table.is_some() && !rows_chosen => Some(Source::Cell(base, lookup)),
                _ => {
                    let index = match &raw.index {
                        Some(index) => Some(self.index(index)?),
                        None => None,
                    };
                    let filters = self.filters(&raw.filters, set.and_then(|set| set.table));
                    let take = self.take(raw.take.as_ref());
                    if index.is_none() {
                        self.guard(&base, true, column.span());
                    }
                    Some(Source::Column(Column { base, index, filters, take, lookup }))
                }
            };
        }
        if let Some(name) = &raw.uses {
            return Some(Source::Use(name.get_ref().clone()));
        }
        if let Some(constant) = &raw.constant {
            return Some(Source::Const(constant.get_ref().clone()));
        }
        if let Some(terms) = raw.sum.as_ref().or(raw.difference.as_ref()).or(raw.product.as_ref()) {
            if terms.is_empty() || terms.len() > RULES_MAX {
                self.fault(raw.at.clone(), format!("{} terms: 1 to {RULES_MAX} would be right", terms.len()));
            }
            let resolved: Vec<Rule> = terms.iter().filter_map(|term| self.rule(term, number, field, set)).collect();
            return Some(match (&raw.sum, &raw.difference) {
                (Some(_), _) => Source::Sum(resolved),
                (None, Some(_)) => Source::Difference(resolved),
                (None, None) => Source::Product(resolved),
            });
        }
        if let Some(nth) = &raw.nth {
            if field != "colorant" || set.is_none_or(|set| set.section != "supplies") {
                self.fault(nth.span(), "`nth` is for `colorant` of supplies only".to_owned());
            }
            return Some(Source::Nth(nth.get_ref().clone()));
        }
        Some(Source::Stop)
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
        let expect = raw.expect.as_ref().map(|expect| (*expect.get_ref(), expect.span()));
        if let Some((n, at)) = &expect
            && !(1..=50).contains(n)
        {
            self.fault(at.clone(), format!("`expect` is {n}: 1 to 50 would be right"));
        }
        if raw.section != "supplies" {
            for (key, at) in [
                ("over", raw.over.as_ref().map(Spanned::span)),
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
            expect: expect.map_or(before.map_or(4, |set| set.expect), |(n, _)| usize::try_from(n).unwrap_or(4)),
            filters: match raw.filters.is_empty() {
                true => before.map(|set| set.filters.clone()).unwrap_or_default(),
                false => self.filters(&raw.filters, table.as_ref()),
            },
            over: raw.over.as_ref().map(|over| over.get_ref().clone()).or(before.and_then(|set| set.over.clone())),
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
        if let Some(ms) = &raw.quirks.timeout_ms
            && !(250..=30_000).contains(ms.get_ref())
        {
            self.fault(ms.span(), format!("`timeout_ms` is {}: 250 to 30000 would be right", ms.get_ref()));
        }
        limits
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

    fn whens(&mut self, raw: &RawRule) -> Vec<When> {
        raw.when
            .iter()
            .filter_map(|(field, test)| {
                let at = test.span();
                let test = match test.get_ref() {
                    Many::One(Scalar::Bool(present)) => Test::Present(*present),
                    Many::One(Scalar::Text(pattern)) => Test::Match(self.pattern(&Spanned::new(at, pattern.clone()))?),
                    Many::One(one) => Test::Is(vec![one.clone()]),
                    Many::Several(list) => Test::Is(list.clone()),
                };
                Some(When { field: field.get_ref().clone(), test })
            })
            .collect()
    }

    fn filters(&mut self, raw: &[RawWhere], table: Option<&Oid>) -> Vec<Filter> {
        raw.iter()
            .filter_map(|raw| {
                let Some(column) = &raw.column else {
                    self.fault(raw.at.clone(), "a row condition without `column`".to_owned());
                    return None;
                };
                let column = self.column(column, table)?;
                let test = match (&raw.is, &raw.not, &raw.pattern) {
                    (Some(is), None, None) => Test::Is(is.get_ref().list()),
                    (None, Some(not), None) => Test::Not(not.get_ref().list()),
                    (None, None, Some(pattern)) => Test::Match(self.pattern(pattern)?),
                    _ => {
                        self.fault(raw.at.clone(), "a row condition has one of `is`, `not`, `match`".to_owned());
                        return None;
                    }
                };
                Some(Filter {
                    column,
                    arcs: raw.arcs.as_ref().map(|n| usize::try_from(*n.get_ref()).unwrap_or(0)),
                    test,
                    or_absent: raw.or_absent.as_ref().is_some_and(|b| *b.get_ref()),
                })
            })
            .collect()
    }

    fn steps(&mut self, raw: &RawRule) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(strip) = &raw.strip {
            match hex(strip.get_ref()) {
                Some(bytes) => steps.push(Step::Strip(bytes)),
                None => self.fault(
                    strip.span(),
                    format!("`strip` is `{}`: pairs of hex digits would be right", strip.get_ref()),
                ),
            }
        }
        if let Some(choice) = self.word(raw.decode.as_ref(), "decode", &["hex", "arcs", "int", "float", "bcd", "mac"]) {
            let after = raw.after.as_ref().and_then(|after| self.oid(after.get_ref(), after.span(), false));
            match (choice, after) {
                (1, Some(after)) => steps.push(Step::Arcs(after)),
                (1, None) => self
                    .fault(raw.at.clone(), "`decode = \"arcs\"` needs `after`: the OID before the length".to_owned()),
                (0, _) => steps.push(Step::Hex),
                (2, _) => steps.push(Step::Int),
                (3, _) => steps.push(Step::Float),
                (4, _) => steps.push(Step::Bcd),
                _ => steps.push(Step::Mac),
            }
        }
        if let Some(tlv) = raw.tlv.as_ref().and_then(|tlv| self.tlv(tlv)) {
            steps.push(Step::Tlv(tlv));
        }
        if let Some(bits) = &raw.bits {
            match bits.get_ref().as_slice() {
                [from, count @ 1..=63] => steps.push(Step::Bits(*from as usize, *count as usize)),
                other => self
                    .fault(bits.span(), format!("`bits` is {other:?}: `[first, how many]` would be right, 63 at most")),
            }
        }
        if let Some(mask) = &raw.mask {
            match u64::try_from(*mask.get_ref()) {
                Ok(mask) if mask > 0 => steps.push(Step::Mask(mask)),
                _ => self.fault(mask.span(), format!("`mask` is {}: a number above 0 would be right", mask.get_ref())),
            }
        }
        if let Some(charset) = &raw.charset {
            match Charset::named(charset.get_ref()) {
                Some(charset) => steps.push(Step::Charset(charset)),
                None => self.fault(charset.span(), format!("`{}` is no charset that is known here", charset.get_ref())),
            }
        }
        if let Some(pair) = &raw.pair {
            steps.push(Step::Pair(pair.get_ref().clone()));
        }
        if let Some(pattern) = raw.pattern.as_ref().and_then(|pattern| self.pattern(pattern)) {
            steps.push(Step::Match(pattern));
        }
        if let Some(cut) = &raw.cut {
            let list = cut.get_ref().list().into_iter();
            steps.push(Step::Cut(list.filter_map(|text| self.pattern(&Spanned::new(cut.span(), text))).collect()));
        }
        if let Some(list) = &raw.words {
            match self.words.list(list.get_ref()) {
                Some(list) => steps.push(Step::Words(list.clone())),
                None => {
                    let known = self.words.names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
                    self.fault(list.span(), format!("`{}` is no word list: {known} are", list.get_ref()));
                }
            }
        }
        if let Some(labels) = &raw.labels {
            match LABELS.iter().find(|(name, _)| name == labels.get_ref()) {
                Some((_, table)) => steps.push(Step::Labels(*table)),
                None => {
                    let known = LABELS.map(|(name, _)| format!("`{name}`")).join(" ");
                    self.fault(labels.span(), format!("`{}` is no list of labels: {known} are", labels.get_ref()));
                }
            }
        }
        if !raw.map.is_empty() || raw.otherwise.is_some() {
            let pairs = raw.map.iter().map(|(from, to)| (from.get_ref().clone(), to.get_ref().clone())).collect();
            steps.push(Step::Map(pairs, raw.otherwise.as_ref().map(|o| o.get_ref().clone())));
        }
        if let Some(scale) = &raw.scale {
            match number(scale.get_ref()) {
                Some(factor) if factor != 0.0 => steps.push(Step::Scale(factor)),
                _ => self.fault(scale.span(), "`scale` is a number and not 0".to_owned()),
            }
        }
        steps
    }

    fn validity(&mut self, raw: &RawRule) -> Vec<Validity> {
        let mut valid = Vec::new();
        for (key, bound, make) in [
            ("min", &raw.min, Validity::Min as fn(f64) -> Validity),
            ("max", &raw.max, Validity::Max as fn(f64) -> Validity),
        ] {
            if let Some(bound) = bound {
                match number(bound.get_ref()) {
                    Some(n) => valid.push(make(n)),
                    None => self.fault(bound.span(), format!("`{key}` is a number")),
                }
            }
        }
        if let Some(not) = &raw.not {
            valid.push(Validity::Not(not.get_ref().list()));
        }
        if let Some(accept) = raw.accept.as_ref().and_then(|pattern| self.pattern(pattern)) {
            valid.push(Validity::Accept(accept));
        }
        if let Some(reject) = raw.reject.as_ref().and_then(|pattern| self.pattern(pattern)) {
            valid.push(Validity::Reject(reject));
        }
        valid
    }

    fn tlv(&mut self, raw: &RawTlv) -> Option<Tlv> {
        let tag = raw.tag.as_ref().and_then(|tag| hex(tag.get_ref())).filter(|bytes| bytes.len() == 1);
        let Some(tag) = tag else {
            self.fault(raw.at.clone(), "`tlv` needs `tag`, two hex digits: `tag = \"6f\"`".to_owned());
            return None;
        };
        let layout = self.word(raw.layout.as_ref(), "layout", &["tag-01-length-value", "tag-length-value"]);
        let part = self.word(raw.part.as_ref(), "part", &["whole", "value", "maximum"]);
        Some(Tlv {
            tag: tag[0],
            marker: layout != Some(1),
            length: raw.length.as_ref().and_then(|n| usize::try_from(*n.get_ref()).ok()),
            part: match part {
                Some(1) => TlvPart::Value,
                Some(2) => TlvPart::Maximum,
                _ => TlvPart::Whole,
            },
        })
    }

    fn take(&mut self, raw: Option<&Spanned<String>>) -> Take {
        match self.word(raw, "take", &["first", "sum", "max", "count", "all"]) {
            Some(1) => Take::Sum,
            Some(2) => Take::Max,
            Some(3) => Take::Count,
            Some(4) => Take::All,
            _ => Take::First,
        }
    }

    fn confidence(&mut self, raw: Option<&Spanned<String>>) -> Option<bool> {
        self.word(raw, "confidence", &["verified", "unverified"]).map(|choice| choice == 1)
    }

    /// Which of the words it is.
    fn word(&mut self, raw: Option<&Spanned<String>>, key: &str, known: &[&str]) -> Option<usize> {
        let raw = raw?;
        let found = known.iter().position(|word| word == raw.get_ref());
        if found.is_none() {
            let known = known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ");
            self.fault(raw.span(), format!("`{key}` is `{}`: {known} would be right", raw.get_ref()));
        }
        found
    }

    fn column(&mut self, column: &Spanned<RawColumn>, table: Option<&Oid>) -> Option<Oid> {
        match (column.get_ref(), table) {
            (RawColumn::Short(n), Some(table)) => {
                let oid = table.join(&[*n]);
                self.guard(&oid, false, column.span())?;
                Some(oid)
            }
            (RawColumn::Short(n), None) => {
                self.fault(
                    column.span(),
                    format!("`column = {n}` is short for a column of a row set's `table`; there is none here"),
                );
                None
            }
            (RawColumn::Oid(text), _) => self.oid(text, column.span(), false),
        }
    }

    fn oid(&mut self, text: &str, at: Range<usize>, whole: bool) -> Option<Oid> {
        match text.parse::<Oid>() {
            Ok(oid) => {
                self.guard(&oid, whole, at)?;
                Some(oid)
            }
            Err(error) => {
                self.fault(at, error.to_string());
                None
            }
        }
    }

    fn guard(&mut self, oid: &Oid, whole: bool, at: Range<usize>) -> Option<()> {
        match guard::refused(oid, whole) {
            None => Some(()),
            Some(reason) => {
                self.fault(at, format!("`{oid}` may not be asked: {reason}"));
                None
            }
        }
    }

    /// An OID with `{device}` in it.
    fn template(&mut self, text: &str, at: Range<usize>, value_ends: bool) -> Option<Template> {
        let parts: Option<Vec<Part>> = text.split('.').map(part).collect();
        let parts = parts.filter(|parts| {
            parts.iter().all(|part| *part != Part::Any)
                && parts.iter().filter(|part| **part == Part::Value).count() == usize::from(value_ends)
                && (!value_ends || parts.last() == Some(&Part::Value))
        });
        let Some(parts) = parts else {
            let form =
                if value_ends { "numbers, `{device}`, and `{value}` at the end" } else { "numbers and `{device}`" };
            self.fault(at, format!("`{text}` is not an OID: {form} with dots between them would be"));
            return None;
        };
        let template = Template(parts);
        // 1 stands for any device: no denied tree depends on it
        self.guard(&template.with_value(1, 1), false, at)?;
        Some(template)
    }

    fn lookup(&mut self, text: &Spanned<String>) -> Option<Template> {
        self.template(text.get_ref(), text.span(), true)
    }

    fn index(&mut self, text: &Spanned<String>) -> Option<Template> {
        let parts: Option<Vec<Part>> = text.get_ref().split('.').map(part).collect();
        match parts.filter(|parts| parts.iter().all(|part| *part != Part::Value)) {
            Some(parts) => Some(Template(parts)),
            None => {
                let text_ = text.get_ref();
                self.fault(
                    text.span(),
                    format!("`{text_}` is no index: numbers, `{{device}}` and `*` with dots between them would be"),
                );
                None
            }
        }
    }

    fn pattern(&mut self, text: &Spanned<String>) -> Option<Regex> {
        if text.get_ref().chars().count() > PATTERN_CHARS_MAX {
            self.fault(text.span(), format!("a pattern of more than {PATTERN_CHARS_MAX} characters"));
            return None;
        }
        match RegexBuilder::new(text.get_ref()).case_insensitive(true).size_limit(PATTERN_BYTES_MAX).build() {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or("not a pattern").trim_start_matches("error: ");
                self.fault(text.span(), format!("`{}` is not a pattern: {reason}", text.get_ref()));
                None
            }
        }
    }
}

fn part(text: &str) -> Option<Part> {
    match text {
        "{device}" => Some(Part::Device),
        "{value}" => Some(Part::Value),
        "*" => Some(Part::Any),
        number => u32::from_str(number).ok().map(Part::Arc),
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

fn is_list_field(field: &str) -> bool {
    matches!(
        field,
        "network.physical_addresses"
            | "capabilities.services"
            | "capabilities.finishers"
            | "capabilities.languages"
            | "status.console"
    ) || field.starts_with("let.")
}

fn parent(oid: &Oid) -> Oid {
    Oid::new(&oid.arcs()[..oid.arcs().len() - 1])
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.is_empty() || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn number(scalar: &Scalar) -> Option<f64> {
    match scalar {
        Scalar::Number(n) => Some(*n as f64),
        Scalar::Float(n) => Some(*n),
        _ => None,
    }
}

const LABELS: [(&str, Table); 15] = [
    ("supply_class", Table::SupplyClass),
    ("supply_type", Table::SupplyType),
    ("supply_unit", Table::SupplyUnit),
    ("counter_unit", Table::CounterUnit),
    ("marker_technology", Table::MarkerTechnology),
    ("colorant_role", Table::ColorantRole),
    ("cover_status", Table::CoverStatus),
    ("alert_severity", Table::AlertSeverity),
    ("alert_training", Table::AlertTraining),
    ("alert_group", Table::AlertGroup),
    ("alert_code", Table::AlertCode),
    ("device_status", Table::DeviceStatus),
    ("printer_status", Table::PrinterStatus),
    ("finisher", Table::Finisher),
    ("language", Table::Language),
];
