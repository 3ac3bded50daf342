//! A mapping file as it is written: TOML into `Raw…` types with the place of every value, and every fault at once.
//!
//! Nothing is checked here but the shape: known keys, right types. What the words mean is `resolve`'s part. A plain serde
//! derive would stop at the first fault; a technician with a file of 200 rules wants them all, so each key is taken on
//! its own and what is left over is unknown.

mod parse;
mod section;

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

pub use parse::parse;

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
    /// Counters that come with the weekly full readings.
    pub weekly: Option<Spanned<Vec<String>>>,
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
    /// A key of it is wrong, and that was said: what seems to be missing may be what that key was meant for.
    pub faulty: bool,
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
    /// Rows usually there.
    pub expect: Option<Spanned<i64>>,
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
    /// `hex`.
    pub decode: Option<Spanned<String>>,
    /// Patterns to remove.
    pub cut: Option<Spanned<Many<String>>>,
    /// A word list.
    pub words: Option<Spanned<String>>,
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
    /// What fits no row of that set is left out.
    pub fills: Option<Spanned<bool>>,
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
