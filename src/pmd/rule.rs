//! A mapping as it is meant: OIDs parsed, patterns compiled, words found. What evaluates it lives in `normalise`.

use std::sync::Arc;

use meterpost_wire::labels::Table;

use crate::pmd::pattern::Pattern;
use crate::pmd::raw::Scalar;
use crate::pmd::words::WordList;
use crate::snmp::Oid;

/// An OID in which `{device}`, the printer's hrDeviceIndex, and `{value}`, the number just found, may stand for an arc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Part>);

/// One arc of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A number.
    Arc(u32),
    /// `{device}`.
    Device,
    /// `{value}`.
    Value,
    /// `*`, only in index patterns.
    Any,
}

impl Template {
    /// The OID for a device; `{value}` ends it, so this is also what lies above such a cell.
    pub fn oid(&self, device: u32) -> Oid {
        Oid::new(&self.arcs(device))
    }

    /// The arcs of that OID.
    pub fn arcs(&self, device: u32) -> Vec<u32> {
        let arc = |part: &Part| match part {
            Part::Arc(arc) => Some(*arc),
            Part::Device => Some(device),
            Part::Value | Part::Any => None,
        };
        self.0.iter().map_while(arc).collect()
    }

    /// The OID with `{value}` filled in.
    pub fn with_value(&self, device: u32, value: u32) -> Oid {
        let arcs: Vec<u32> = self
            .0
            .iter()
            .map(|part| match part {
                Part::Arc(arc) => *arc,
                Part::Device => device,
                Part::Value | Part::Any => value,
            })
            .collect();
        Oid::new(&arcs)
    }

    /// Whether an index has this shape.
    pub fn fits(&self, index: &[u32], device: u32) -> bool {
        self.0.len() == index.len()
            && self.0.iter().zip(index).all(|(part, arc)| match part {
                Part::Arc(a) => a == arc,
                Part::Device => *arc == device,
                Part::Value | Part::Any => true,
            })
    }
}

/// Where a rule stands: the file, and its number among the field's rules there, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `kyocera/ecosys`.
    pub pmd: Arc<str>,
    /// From 1.
    pub number: usize,
}

/// One candidate for a field.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where it stands.
    pub origin: Origin,
    /// Where the value comes from.
    pub source: Source,
    /// All must hold, or the rule is passed over.
    pub when: Vec<When>,
    /// What is done to it, in order.
    pub steps: Vec<Step>,
    /// What it must be.
    pub valid: Vec<Validity>,
    /// SNMPv3 context; `None` is the default one.
    pub context: Option<Arc<str>>,
    /// No device has proven it.
    pub unverified: bool,
    /// The value is computed.
    pub derived: bool,
    /// Unit of a vendor counter.
    pub unit: Option<Unit>,
    /// A term that counts 0 when absent.
    pub optional: bool,
}

/// The unit word of a vendor counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As written.
    Word(String),
    /// What that field says.
    Field(String),
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Exact objects; the first that is answered.
    Get(Vec<Template>),
    /// A column of a table whose rows the rule chooses itself.
    Column(Column),
    /// A cell of the current row of a row set: the column without its index.
    Cell(Oid, Option<Template>),
    /// Another field.
    Use(String),
    /// A constant.
    Const(Scalar),
    /// Terms to add.
    Sum(Vec<Rule>),
    /// A term and what is taken off it.
    Difference(Vec<Rule>),
    /// Terms to multiply.
    Product(Vec<Rule>),
    /// The colour of the row of that type at the same place.
    Nth(String),
    /// Ends the list.
    Stop,
}

/// A column with the rows that count.
#[derive(Clone, Debug)]
pub struct Column {
    /// The column without an index.
    pub base: Oid,
    /// The shape of the index.
    pub index: Option<Template>,
    /// What must stand in the row.
    pub filters: Vec<Filter>,
    /// What is made of the rows.
    pub take: Take,
    /// Rows usually there; none when the file does not say.
    pub expect: Option<usize>,
    /// The cell in which the value found is an index.
    pub lookup: Option<Template>,
}

impl Column {
    /// What every index that fits begins with.
    pub fn prefix(&self, device: u32) -> Vec<u32> {
        let fixed = |part: &Part| match part {
            Part::Arc(arc) => Some(*arc),
            Part::Device => Some(device),
            Part::Any | Part::Value => None,
        };
        self.index.iter().flat_map(|index| &index.0).map_while(fixed).collect()
    }
}

/// What is made of the rows that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// The first one's value.
    First,
    /// Their sum.
    Sum,
    /// The greatest.
    Max,
    /// How many there are.
    Count,
    /// A list of all.
    All,
}

/// What must stand in a row.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The column without an index.
    pub column: Oid,
    /// So many arcs of the row's index are that column's index; `None`: all.
    pub arcs: Option<usize>,
    /// What is done to the cell before it is looked at; what does not fit it is left out.
    pub steps: Vec<Step>,
    /// What the cell must be.
    pub test: Test,
    /// A row without the cell passes too.
    pub or_absent: bool,
}

/// What a value must be.
#[derive(Clone, Debug)]
pub enum Test {
    /// One of these.
    Is(Vec<Scalar>),
    /// None of these.
    Not(Vec<Scalar>),
    /// A text with this pattern.
    Match(Pattern),
    /// Has a value, or has none.
    Present(bool),
}

/// A condition on another field.
#[derive(Clone, Debug)]
pub struct When {
    /// The field.
    pub field: String,
    /// What it must be.
    pub test: Test,
}

/// One transform.
#[derive(Clone, Debug)]
pub enum Step {
    /// Cut these bytes from the front.
    Strip(Vec<u8>),
    /// Text of hex digits to bytes.
    Hex,
    /// Length and characters as arcs, behind this OID.
    Arcs(Oid),
    /// Big endian integer.
    Int,
    /// IEEE 754.
    Float,
    /// Packed decimal digits.
    Bcd,
    /// Six bytes with colons.
    Mac,
    /// An entry of a tagged list.
    Tlv(Tlv),
    /// First bit and number of bits, bit 0 = the highest of the first byte.
    Bits(usize, usize),
    /// These bits of a number, moved down.
    Mask(u64),
    /// How bytes are text.
    Charset(crate::normalise::text::Charset),
    /// A key of a key-value string.
    Pair(String),
    /// First bracket or whole match.
    Match(Pattern),
    /// Remove what these match.
    Cut(Vec<Pattern>),
    /// Word of a list.
    Words(Arc<WordList>),
    /// Registered label.
    Labels(Table),
    /// This to that, and all others.
    Map(Vec<Mapped>, Option<Scalar>),
    /// Times that.
    Scale(f64),
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapped {
    /// What is mapped, in lower case without outer blanks.
    pub from: String,
    /// The same as a number, where it is one.
    pub number: Option<f64>,
    /// To what.
    pub to: Scalar,
}

impl Mapped {
    /// As it is written: `from = to`.
    pub fn new(from: &str, to: Scalar) -> Self {
        Self { from: from.trim().to_lowercase(), number: from.parse().ok(), to }
    }
}

/// An entry of a tagged list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv {
    /// Its tag.
    pub tag: u8,
    /// A byte 01 stands between tag and length.
    pub marker: bool,
    /// The only length that counts.
    pub length: Option<usize>,
    /// Which part of the value.
    pub part: TlvPart,
}

/// Which part of an entry's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvPart {
    /// All of it.
    Whole,
    /// The front half.
    Value,
    /// The back half.
    Maximum,
}

/// What a value must be to be taken.
#[derive(Clone, Debug)]
pub enum Validity {
    /// Not less.
    Min(f64),
    /// Not more.
    Max(f64),
    /// None of these: they mean "not supported".
    Not(Vec<Scalar>),
    /// Has this pattern.
    Accept(Pattern),
    /// Has not this pattern.
    Reject(Pattern),
}

/// Rows of a table, or one written-out row.
#[derive(Clone, Debug)]
pub struct RowSet {
    /// `supplies`, `inputs`, `outputs`, `covers`, `alerts`.
    pub section: &'static str,
    /// Its name.
    pub name: String,
    /// Columns of which one makes a row, the first leading; empty for a written-out row.
    pub rows: Vec<Oid>,
    /// Rows asked for at once.
    pub expect: usize,
    /// Row filter.
    pub filters: Vec<Filter>,
    /// The set that it is laid over.
    pub over: Option<String>,
    /// It only tells more about rows of that set: what fits none is no supply of its own.
    pub fills: bool,
    /// Receptacles count what is used up.
    pub used: bool,
    /// Columns and their rules.
    pub columns: Vec<(&'static str, Vec<Arc<Rule>>)>,
    /// SNMPv3 context.
    pub context: Option<Arc<str>>,
}

impl RowSet {
    /// The rules of a column.
    pub fn column(&self, name: &str) -> &[Arc<Rule>] {
        self.columns.iter().find(|(column, _)| *column == name).map_or(&[], |(_, rules)| rules)
    }
}

/// Numbers that must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The total, a counter.
    pub total: String,
    /// Its parts.
    pub parts: Vec<String>,
    /// Parts that count 0 when absent.
    pub optional: Vec<String>,
    /// How far apart they may be.
    pub tolerance: u64,
    /// The parts may be less.
    pub at_most: bool,
}
