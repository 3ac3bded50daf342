//! From TOML to the `Raw…` types: which keys each of them takes.

use meterpost_wire::counters::CounterKey;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::section::Section;
use super::{
    RawCheck, RawFault, RawField, RawMatch, RawPmd, RawQuirks, RawRule, RawSet, RawTlv, RawWhere, SECTIONS, SETS,
};

/// Reads a file. The faults are all that its shape has; with any, the file is not to be used.
pub fn parse(text: &str) -> (RawPmd, Vec<RawFault>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut faults: Vec<RawFault> = errors
        .into_iter()
        .map(|error| RawFault {
            at: error.span().unwrap_or_default(),
            text: format!("this is not TOML: {}", error.message()),
        })
        .collect();
    if !faults.is_empty() {
        // what was recovered behind a broken line is not what was meant
        return (RawPmd::default(), faults);
    }
    let mut section = Section::new(document, "a mapping file");
    let mut raw = RawPmd {
        format: section.take("format", &mut faults),
        extends: section.take("extends", &mut faults),
        confidence: section.take("confidence", &mut faults),
        ..RawPmd::default()
    };
    if let Some(mut s) = section.table("match", &mut faults) {
        raw.matches = RawMatch {
            sys_object_id: s.texts("sys_object_id", &mut faults),
            description: s.texts("description", &mut faults),
            device_id: s.texts("device_id", &mut faults),
            model: s.texts("model", &mut faults),
        };
        s.end(&mut faults);
    }
    if let Some(mut s) = section.table("quirks", &mut faults) {
        raw.quirks = RawQuirks {
            bulk: s.take("bulk", &mut faults),
            varbinds_max: s.take("varbinds_max", &mut faults),
            timeout_ms: s.take("timeout_ms", &mut faults),
            context: s.take("context", &mut faults),
            weekly: s.take("weekly", &mut faults),
        };
        s.end(&mut faults);
    }
    if let Some(s) = section.table("let", &mut faults) {
        raw.fields.extend(s.fields("let", &mut faults));
    }
    if let Some(s) = section.table("counters", &mut faults) {
        raw.fields.extend(counters(s, &mut faults));
    }
    for (name, known) in SECTIONS {
        if let Some(mut s) = section.table(name, &mut faults) {
            for field in known {
                if let Some(rules) = s.rules(field, &mut faults) {
                    let name = Spanned::new(rules.span(), format!("{name}.{field}"));
                    raw.fields.push(RawField { name, rules: rules.into_inner() });
                }
            }
            s.end(&mut faults);
        }
    }
    for (name, columns) in SETS {
        if let Some(s) = section.table(name, &mut faults) {
            for (set, value) in s.table {
                if let Some(s) = Section::of(value, "a row set", set.get_ref(), &mut faults) {
                    raw.sets.push(row_set(
                        name,
                        Spanned::new(set.span(), set.into_inner().into_owned()),
                        columns,
                        s,
                        &mut faults,
                    ));
                }
            }
        }
    }
    raw.checks = section.tables("checks", "a check", &mut faults).into_iter().map(|s| check(s, &mut faults)).collect();
    section.end(&mut faults);
    raw.fields.sort_by_key(|field| field.name.span().start);
    raw.sets.sort_by_key(|set| set.name.span().start);
    faults.sort_by_key(|fault| fault.at.start);
    (raw, faults)
}

/// Whether a table in `[counters]` is the front of longer names, and no rule: it names no counter itself, and what stands
/// in it looks like no rule.
fn is_level(name: &str, table: &DeTable<'_>) -> bool {
    CounterKey::parse(name).is_err() && (name == "vendor" || table.keys().all(|key| !is_rule_key(key.get_ref())))
}

/// Counters nest by their dots: `system.impressions = …` and `"system.impressions" = …` are the same.
fn counters(section: Section<'_>, faults: &mut Vec<RawFault>) -> Vec<RawField> {
    let mut found = Vec::new();
    let mut open: Vec<(String, DeTable<'_>)> = vec![("counters".to_owned(), section.table)];
    while let Some((prefix, table)) = open.pop() {
        for (key, value) in table {
            let name = format!("{prefix}.{}", key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) if is_level(&name["counters.".len()..], inner) => {
                    if let DeValue::Table(inner) = value.into_inner() {
                        open.push((name, inner));
                    }
                }
                _ => {
                    let rules = rules_of(value, faults);
                    found.push(RawField { name: Spanned::new(key.span(), name), rules });
                }
            }
        }
    }
    found
}

fn row_set(
    section: &'static str,
    name: Spanned<String>,
    columns: &[&'static str],
    mut s: Section<'_>,
    faults: &mut Vec<RawFault>,
) -> RawSet {
    let mut set = RawSet {
        section,
        name,
        table: s.take("table", faults),
        rows: s.take("rows", faults),
        expect: s.take("expect", faults),
        filters: s.tables("where", "a row condition", faults).into_iter().map(|s| condition(s, faults)).collect(),
        over: s.take("over", faults),
        fills: s.take("fills", faults),
        receptacles: s.take("receptacles", faults),
        drop: s.take("drop", faults),
        context: s.take("context", faults),
        columns: Vec::new(),
    };
    for column in columns {
        if let Some(rules) = s.rules(column, faults) {
            let name = Spanned::new(rules.span(), (*column).to_owned());
            set.columns.push(RawField { name, rules: rules.into_inner() });
        }
    }
    s.end(faults);
    set
}

fn check(mut s: Section<'_>, faults: &mut Vec<RawFault>) -> RawCheck {
    let check = RawCheck {
        at: s.at.clone(),
        total: s.take("total", faults),
        parts: s.take("parts", faults),
        optional: s.take("optional", faults),
        tolerance: s.take("tolerance", faults),
        at_most: s.take("at_most", faults),
    };
    s.end(faults);
    check
}

fn condition(mut s: Section<'_>, faults: &mut Vec<RawFault>) -> RawWhere {
    let condition = RawWhere {
        at: s.at.clone(),
        column: s.take("column", faults),
        arcs: s.take("arcs", faults),
        decode: s.take("decode", faults),
        cut: s.take("cut", faults),
        words: s.take("words", faults),
        is: s.take("is", faults),
        not: s.take("not", faults),
        pattern: s.take("match", faults),
        or_absent: s.take("or_absent", faults),
    };
    s.end(faults);
    condition
}

const RULE_KEYS: [&str; 36] = [
    "get",
    "column",
    "use",
    "const",
    "sum",
    "difference",
    "product",
    "nth",
    "stop",
    "index",
    "where",
    "take",
    "expect",
    "at",
    "when",
    "context",
    "confidence",
    "basis",
    "unit",
    "optional",
    "strip",
    "decode",
    "after",
    "tlv",
    "bits",
    "mask",
    "charset",
    "pair",
    "match",
    "cut",
    "words",
    "labels",
    "map",
    "otherwise",
    "scale",
    "not",
];

fn is_rule_key(key: &str) -> bool {
    RULE_KEYS.contains(&key)
}

/// One rule or a list of them.
pub(super) fn rules_of(value: Spanned<DeValue<'_>>, faults: &mut Vec<RawFault>) -> Vec<RawRule> {
    let at = value.span();
    match value.into_inner() {
        DeValue::Array(list) => list
            .into_iter()
            .filter_map(|item| Section::of(item, "a rule", "", faults).map(|s| rule(s, faults)))
            .collect(),
        other => {
            Section::of(Spanned::new(at, other), "a rule", "", faults).map(|s| rule(s, faults)).into_iter().collect()
        }
    }
}

fn rule(mut s: Section<'_>, faults: &mut Vec<RawFault>) -> RawRule {
    let before = faults.len();
    let rule = RawRule {
        at: s.at.clone(),
        faulty: false,
        get: s.take("get", faults),
        column: s.take("column", faults),
        uses: s.take("use", faults),
        constant: s.take("const", faults),
        sum: s.rules("sum", faults).map(Spanned::into_inner),
        difference: s.rules("difference", faults).map(Spanned::into_inner),
        product: s.rules("product", faults).map(Spanned::into_inner),
        nth: s.take("nth", faults),
        stop: s.take("stop", faults),
        index: s.take("index", faults),
        filters: s.tables("where", "a row condition", faults).into_iter().map(|s| condition(s, faults)).collect(),
        take: s.take("take", faults),
        expect: s.take("expect", faults),
        lookup: s.take("at", faults),
        when: s.pairs("when", faults),
        context: s.take("context", faults),
        confidence: s.take("confidence", faults),
        basis: s.take("basis", faults),
        unit: s.take("unit", faults),
        optional: s.take("optional", faults),
        strip: s.take("strip", faults),
        decode: s.take("decode", faults),
        after: s.take("after", faults),
        tlv: s.table("tlv", faults).map(|mut s| {
            let tlv = RawTlv {
                at: s.at.clone(),
                tag: s.take("tag", faults),
                length: s.take("length", faults),
                layout: s.take("layout", faults),
                part: s.take("part", faults),
            };
            s.end(faults);
            tlv
        }),
        bits: s.take("bits", faults),
        mask: s.take("mask", faults),
        charset: s.take("charset", faults),
        pair: s.take("pair", faults),
        pattern: s.take("match", faults),
        cut: s.take("cut", faults),
        words: s.take("words", faults),
        labels: s.take("labels", faults),
        map: s.pairs("map", faults),
        otherwise: s.take("otherwise", faults),
        scale: s.take("scale", faults),
        min: s.take("min", faults),
        max: s.take("max", faults),
        not: s.take("not", faults),
        accept: s.take("accept", faults),
        reject: s.take("reject", faults),
    };
    s.end(faults);
    RawRule { faulty: faults.len() > before, ..rule }
}
