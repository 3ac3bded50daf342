//! One rule: where its value comes from, what is done with it, and when it is valid.

use std::sync::Arc;

use meterpost_wire::labels::Table;
use toml::Spanned;

use super::super::raw::{Many, RawField, RawRule, RawTlv, RawWhere, Scalar};
use super::super::rule::{
    Column, Filter, Mapped, Origin, Rule, Source, Step, Take, Template, Test, Tlv, TlvPart, Unit, Validity, When,
};
use super::{InSet, Resolver};
use crate::normalise::text::Charset;
use crate::snmp::Oid;

/// Rules of one field in one file, terms included.
const RULES_MAX: usize = 20;

impl Resolver<'_> {
    pub(super) fn rules(&mut self, field: &RawField, set: Option<&InSet<'_>>) -> Vec<Arc<Rule>> {
        if field.rules.len() > RULES_MAX {
            let text = format!("`{}` has {} rules: {RULES_MAX} at most", field.name.get_ref(), field.rules.len());
            self.fault(field.rules[RULES_MAX].at.clone(), text);
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
            [] if raw.faulty => return None,
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
        let is_cell = set.is_some_and(|set| set.table.is_some()) && !rows_chosen;
        if let Some(expect) = raw.expect.as_ref().filter(|_| raw.column.is_none() || is_cell) {
            self.fault(expect.span(), "`expect` is for a `column` of a table that is no row set's".to_owned());
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
            // all that is wrong is told at once: what is missing ends this only behind the last of them
            let lookup = raw.lookup.as_ref().map(|at| self.lookup(at));
            let base = self.column(column, set.and_then(|set| set.table));
            if is_cell {
                return Some(Source::Cell(base?, lookup.map_or(Some(None), |at| at.map(Some))?));
            }
            let index = raw.index.as_ref().map(|index| self.index(index));
            let filters = self.filters(&raw.filters, set.and_then(|set| set.table));
            let take = self.take(raw.take.as_ref());
            let expect = self.expect(raw.expect.as_ref());
            let base = base?;
            if index.is_none() {
                self.guard(&base, true, column.span());
            }
            let index = index.map_or(Some(None), |index| index.map(Some))?;
            let lookup = lookup.map_or(Some(None), |at| at.map(Some))?;
            return Some(Source::Column(Column { base, index, filters, take, expect, lookup }));
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

    pub(super) fn filters(&mut self, raw: &[RawWhere], table: Option<&Oid>) -> Vec<Filter> {
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
                let mut steps = Vec::new();
                steps.extend(self.word(raw.decode.as_ref(), "decode", &["hex"]).map(|_| Step::Hex));
                steps.extend(raw.cut.as_ref().map(|cut| self.cut(cut)));
                steps.extend(raw.words.as_ref().and_then(|list| self.word_list(list)));
                Some(Filter {
                    column,
                    steps,
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
            steps.push(self.cut(cut));
        }
        steps.extend(raw.words.as_ref().and_then(|list| self.word_list(list)));
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
            let pairs = raw.map.iter().map(|(from, to)| Mapped::new(from.get_ref(), to.get_ref().clone())).collect();
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

    fn cut(&mut self, cut: &Spanned<Many<String>>) -> Step {
        let list = cut.get_ref().list().into_iter();
        Step::Cut(list.filter_map(|text| self.pattern(&Spanned::new(cut.span(), text))).collect())
    }

    fn word_list(&mut self, list: &Spanned<String>) -> Option<Step> {
        if let Some(list) = self.words.list(list.get_ref()) {
            return Some(Step::Words(list.clone()));
        }
        let known = self.words.names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
        self.fault(list.span(), format!("`{}` is no word list: {known} are", list.get_ref()));
        None
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
