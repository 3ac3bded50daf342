//! A mapping file as it is written: TOML into `Raw…` types with the place of every value, and every fault at once.
//!
//! Nothing is checked here but the shape: known keys, right types. What the words mean is `resolve`'s part. A plain serde
//! derive would stop at the first fault; a technician with a file of 200 rules wants them all, so each key is taken on
//! its own and what is left over is unknown.

use std::ops::Range;

use meterpost_wire::counters::CounterKey;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// A fault and where it stands, in bytes of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFault {
    /// Where.
    pub at: Range<usize>,
    /// What was found and what would be right.
    pub text: String,
}

/// A number, a text or a truth value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a number or a text")]
pub enum Scalar {
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
}

/// One of a thing, or a list of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected one value or a list of such values")]
pub enum Many<T> {
    /// A list.
    Several(Vec<T>),
    /// A single one.
    One(T),
}

impl<T: Clone> Many<T> {
    /// As a list.
    pub fn list(&self) -> Vec<T> {
        match self {
            Self::Several(list) => list.clone(),
            Self::One(one) => vec![one.clone()],
        }
    }
}

/// A column: `9` of the row set's table, or a whole OID.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a column's number or its OID as text")]
pub enum RawColumn {
    /// Behind the row set's `table`.
    Short(u32),
    /// On its own.
    Oid(String),
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub struct RawPmd {
    /// `format`.
    pub format: Option<Spanned<i64>>,
    /// `extends`.
    pub extends: Option<Spanned<String>>,
    /// `confidence`.
    pub confidence: Option<Spanned<String>>,
    /// `[match]`.
    pub matches: RawMatch,
    /// `[quirks]`.
    pub quirks: RawQuirks,
    /// `[let]`, `[identity]`, `[counters]` and so on, by `section.name`, in the order of the file.
    pub fields: Vec<RawField>,
    /// Row sets in the order of the file.
    pub sets: Vec<RawSet>,
    /// `[[checks]]`.
    pub checks: Vec<RawCheck>,
}

/// `[match]`.
#[derive(Clone, Debug, Default)]
pub struct RawMatch {
    /// Beginnings of sysObjectID.
    pub sys_object_id: Vec<Spanned<String>>,
    /// Patterns on sysDescr.
    pub description: Vec<Spanned<String>>,
    /// Patterns on the IEEE 1284 id.
    pub device_id: Vec<Spanned<String>>,
    /// Patterns on the model.
    pub model: Vec<Spanned<String>>,
}

/// `[quirks]`.
#[derive(Clone, Debug, Default)]
pub struct RawQuirks {
    /// Whether GETBULK may be used.
    pub bulk: Option<Spanned<bool>>,
    /// Objects in one request.
    pub varbinds_max: Option<Spanned<i64>>,
    /// The longest wait for one answer.
    pub timeout_ms: Option<Spanned<i64>>,
    /// SNMPv3 context for what the default one does not answer.
    pub context: Option<Spanned<String>>,
}

/// A field and its rules.
#[derive(Clone, Debug)]
pub struct RawField {
    /// `counters.system.impressions`; in a row set the bare column.
    pub name: Spanned<String>,
    /// Its rules, first valid one wins.
    pub rules: Vec<RawRule>,
}

/// A rule, all keys that it may have.
#[derive(Clone, Debug, Default)]
pub struct RawRule {
    /// Where the rule stands.
    pub at: Range<usize>,
    /// Exact objects.
    pub get: Option<Spanned<Many<String>>>,
    /// A table's column.
    pub column: Option<Spanned<RawColumn>>,
    /// Another field.
    pub uses: Option<Spanned<String>>,
    /// A constant.
    pub constant: Option<Spanned<Scalar>>,
    /// Terms to add.
    pub sum: Option<Vec<RawRule>>,
    /// A term and what is taken off it.
    pub difference: Option<Vec<RawRule>>,
    /// Terms to multiply.
    pub product: Option<Vec<RawRule>>,
    /// The row type by whose place a colour is taken.
    pub nth: Option<Spanned<String>>,
    /// Ends the list.
    pub stop: Option<Spanned<bool>>,
    /// Pattern of the row's index.
    pub index: Option<Spanned<String>>,
    /// What must stand in the row.
    pub filters: Vec<RawWhere>,
    /// `first`, `sum`, `max`, `count`, `all`.
    pub take: Option<Spanned<String>>,
    /// The column in which the value found is an index.
    pub lookup: Option<Spanned<String>>,
    /// Conditions on fields.
    pub when: Vec<(Spanned<String>, Spanned<Many<Scalar>>)>,
    /// SNMPv3 context.
    pub context: Option<Spanned<String>>,
    /// `verified`, `unverified`.
    pub confidence: Option<Spanned<String>>,
    /// `derived`.
    pub basis: Option<Spanned<String>>,
    /// Unit word, or `let.name`.
    pub unit: Option<Spanned<String>>,
    /// Of a term: counts 0 when absent.
    pub optional: Option<Spanned<bool>>,
    /// Leading bytes to cut.
    pub strip: Option<Spanned<String>>,
    /// `hex`, `arcs`, `int`, `float`, `bcd`, `mac`.
    pub decode: Option<Spanned<String>>,
    /// With `arcs`: what stands in front of the length.
    pub after: Option<Spanned<String>>,
    /// An entry of a tagged list.
    pub tlv: Option<RawTlv>,
    /// First bit and number of bits.
    pub bits: Option<Spanned<Vec<u32>>>,
    /// Bits of a number.
    pub mask: Option<Spanned<i64>>,
    /// How bytes are text.
    pub charset: Option<Spanned<String>>,
    /// Key of a key-value string.
    pub pair: Option<Spanned<String>>,
    /// A pattern with a bracket.
    pub pattern: Option<Spanned<String>>,
    /// Patterns to remove.
    pub cut: Option<Spanned<Many<String>>>,
    /// A word list.
    pub words: Option<Spanned<String>>,
    /// A list of registered labels.
    pub labels: Option<Spanned<String>>,
    /// This value to that.
    pub map: Vec<(Spanned<String>, Spanned<Scalar>)>,
    /// What all others become.
    pub otherwise: Option<Spanned<Scalar>>,
    /// A factor.
    pub scale: Option<Spanned<Scalar>>,
    /// Least valid number.
    pub min: Option<Spanned<Scalar>>,
    /// Greatest valid number.
    pub max: Option<Spanned<Scalar>>,
    /// Values that mean "not supported".
    pub not: Option<Spanned<Many<Scalar>>>,
    /// A pattern that valid texts have.
    pub accept: Option<Spanned<String>>,
    /// A pattern that invalid texts have.
    pub reject: Option<Spanned<String>>,
}

/// `tlv = { … }`.
#[derive(Clone, Debug)]
pub struct RawTlv {
    /// Where it stands.
    pub at: Range<usize>,
    /// The tag in hex.
    pub tag: Option<Spanned<String>>,
    /// The only length that counts.
    pub length: Option<Spanned<i64>>,
    /// `tag-01-length-value` or `tag-length-value`.
    pub layout: Option<Spanned<String>>,
    /// `whole`, `value`, `maximum`.
    pub part: Option<Spanned<String>>,
}

/// One condition on a row.
#[derive(Clone, Debug)]
pub struct RawWhere {
    /// Where it stands.
    pub at: Range<usize>,
    /// The column looked at.
    pub column: Option<Spanned<RawColumn>>,
    /// How many numbers of the row's index are that column's index.
    pub arcs: Option<Spanned<i64>>,
    /// The cell is one of these.
    pub is: Option<Spanned<Many<Scalar>>>,
    /// The cell is none of these.
    pub not: Option<Spanned<Many<Scalar>>>,
    /// The cell has this pattern.
    pub pattern: Option<Spanned<String>>,
    /// A row without the cell passes too.
    pub or_absent: Option<Spanned<bool>>,
}

/// `[supplies.<name>]` and its like.
#[derive(Clone, Debug)]
pub struct RawSet {
    /// `supplies`, `inputs`, `outputs`, `covers`, `alerts`.
    pub section: &'static str,
    /// Its name.
    pub name: Spanned<String>,
    /// The entry.
    pub table: Option<Spanned<String>>,
    /// Columns of which one makes a row; the first leads.
    pub rows: Option<Spanned<Many<u32>>>,
    /// Rows asked for at once.
    pub expect: Option<Spanned<i64>>,
    /// Row filter.
    pub filters: Vec<RawWhere>,
    /// The set that this one is laid over.
    pub over: Option<Spanned<String>>,
    /// `remaining`, `used`.
    pub receptacles: Option<Spanned<String>>,
    /// Not read at all.
    pub drop: Option<Spanned<bool>>,
    /// SNMPv3 context of all its columns.
    pub context: Option<Spanned<String>>,
    /// Its columns.
    pub columns: Vec<RawField>,
}

/// `[[checks]]`.
#[derive(Clone, Debug)]
pub struct RawCheck {
    /// Where it stands.
    pub at: Range<usize>,
    /// The field that should be the sum.
    pub total: Option<Spanned<String>>,
    /// The parts.
    pub parts: Option<Spanned<Vec<String>>>,
    /// Parts that count 0 when absent.
    pub optional: Option<Spanned<Vec<String>>>,
    /// How far apart they may be.
    pub tolerance: Option<Spanned<i64>>,
    /// The parts may be less than the total.
    pub at_most: Option<Spanned<bool>>,
}

/// Row set sections and the columns of their rows.
pub const SETS: [(&str, &[&str]); 5] = [
    (
        "supplies",
        &[
            "class",
            "type",
            "colorant",
            "colorant_role",
            "description",
            "unit",
            "max_capacity",
            "level",
            "percent",
            "part_number",
            "serial_number",
            "marker_index",
            "impressions_remaining",
            "impressions_since_installed",
        ],
    ),
    ("inputs", &["name", "max_capacity", "level"]),
    ("outputs", &["name", "max_capacity", "level"]),
    ("covers", &["description", "status"]),
    ("alerts", &["severity", "training", "group", "group_index", "location", "code", "description", "up_time_ticks"]),
];

/// Sections of fields with a closed list of names; `let` and `counters` are open.
pub const SECTIONS: [(&str, &[&str]); 4] = [
    (
        "identity",
        &[
            "vendor",
            "model",
            "make_and_model",
            "serial_number",
            "asset_tag",
            "firmware",
            "system_name",
            "location",
            "contact",
            "system_info",
            "device_id",
            "uuid",
        ],
    ),
    ("network", &["host_name", "physical_addresses"]),
    (
        "capabilities",
        &[
            "color",
            "two_sided",
            "pages_per_minute",
            "pages_per_minute_color",
            "marker_technology",
            "max_media_size",
            "trays",
            "memory_bytes",
            "disk_bytes",
            "services",
            "finishers",
            "languages",
        ],
    ),
    ("status", &["device_status", "printer_status", "detected_errors", "console"]),
];

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
        is: s.take("is", faults),
        not: s.take("not", faults),
        pattern: s.take("match", faults),
        or_absent: s.take("or_absent", faults),
    };
    s.end(faults);
    condition
}

const RULE_KEYS: [&str; 35] = [
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
fn rules_of(value: Spanned<DeValue<'_>>, faults: &mut Vec<RawFault>) -> Vec<RawRule> {
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
    let rule = RawRule {
        at: s.at.clone(),
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
    rule
}

/// A table being read: what is taken is gone, what is left at the end is unknown.
struct Section<'i> {
    what: &'static str,
    at: Range<usize>,
    table: DeTable<'i>,
    asked: Vec<&'static str>,
}

impl<'i> Section<'i> {
    fn new(table: Spanned<DeTable<'i>>, what: &'static str) -> Self {
        Self { what, at: table.span(), table: table.into_inner(), asked: Vec::new() }
    }

    fn of(value: Spanned<DeValue<'i>>, what: &'static str, name: &str, faults: &mut Vec<RawFault>) -> Option<Self> {
        let at = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Some(Self::new(Spanned::new(at, table), what)),
            other => {
                let name = if name.is_empty() { String::new() } else { format!("`{name}` ") };
                let found = other.type_str();
                faults.push(RawFault { at, text: format!("{name}is {found}: {what} is a table, `{{ … }}`") });
                None
            }
        }
    }

    fn remove(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.asked.push(key);
        self.table.remove(key)
    }

    fn take<T: DeserializeOwned>(&mut self, key: &'static str, faults: &mut Vec<RawFault>) -> Option<Spanned<T>> {
        let value = self.remove(key)?;
        let at = value.span();
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(Spanned::new(at, value)),
            Err(error) => {
                faults.push(RawFault { at, text: format!("`{key}`: {}", error.message()) });
                None
            }
        }
    }

    fn texts(&mut self, key: &'static str, faults: &mut Vec<RawFault>) -> Vec<Spanned<String>> {
        self.take::<Vec<Spanned<String>>>(key, faults).map(Spanned::into_inner).unwrap_or_default()
    }

    fn table(&mut self, key: &'static str, faults: &mut Vec<RawFault>) -> Option<Self> {
        let value = self.remove(key)?;
        let what = if key == "tlv" { "`tlv`" } else { "a section" };
        Self::of(value, what, key, faults)
    }

    /// One table or a list of tables.
    fn tables(&mut self, key: &'static str, what: &'static str, faults: &mut Vec<RawFault>) -> Vec<Self> {
        let Some(value) = self.remove(key) else { return Vec::new() };
        let at = value.span();
        match value.into_inner() {
            DeValue::Array(list) => list.into_iter().filter_map(|item| Self::of(item, what, key, faults)).collect(),
            other => Self::of(Spanned::new(at, other), what, key, faults).into_iter().collect(),
        }
    }

    /// A table with free keys.
    fn pairs<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        faults: &mut Vec<RawFault>,
    ) -> Vec<(Spanned<String>, Spanned<T>)> {
        let Some(value) = self.remove(key) else { return Vec::new() };
        let Some(section) = Self::of(value, "it", key, faults) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (name, value) in section.table {
            let at = value.span();
            match T::deserialize(ValueDeserializer::from(value)) {
                Ok(value) => {
                    let name = Spanned::new(name.span(), name.into_inner().into_owned());
                    pairs.push((name, Spanned::new(at, value)));
                }
                Err(error) => {
                    faults.push(RawFault { at, text: format!("`{key}.{}`: {}", name.get_ref(), error.message()) });
                }
            }
        }
        pairs
    }

    fn rules(&mut self, key: &'static str, faults: &mut Vec<RawFault>) -> Option<Spanned<Vec<RawRule>>> {
        let value = self.remove(key)?;
        let at = value.span();
        Some(Spanned::new(at, rules_of(value, faults)))
    }

    /// All keys are names of fields.
    fn fields(self, prefix: &str, faults: &mut Vec<RawFault>) -> Vec<RawField> {
        self.table
            .into_iter()
            .map(|(key, value)| RawField {
                name: Spanned::new(key.span(), format!("{prefix}.{}", key.get_ref())),
                rules: rules_of(value, faults),
            })
            .collect()
    }

    fn end(self, faults: &mut Vec<RawFault>) {
        for (key, _) in &self.table {
            let known = self.asked.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" ");
            faults.push(RawFault {
                at: key.span(),
                text: format!("`{}` is no key of {}: {known} are", key.get_ref(), self.what),
            });
        }
    }
}
