//! What was tried for a field, and how it ended: for the person who asks why a number is what it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::datum::Lost;
use super::eval::Row;
use crate::snmp::Oid;

/// How much of an evaluation is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// The OIDs that won: what the next reading needs. To word the rest costs a third of a device's CPU.
    Winners,
    /// Every rule tried, in words for a person.
    Everything,
}

/// The OIDs behind a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Winner {
    /// The section of a row set; none of a field.
    pub section: Option<&'static str>,
    /// `counters.system.impressions`, or in a row set the column: `level`.
    pub name: Cow<'static, str>,
    /// What was read for it.
    pub oids: Vec<Oid>,
}

/// A rule that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// `[<pmd>:]<n>`.
    pub rule: String,
    /// The OIDs that were looked at and had a value.
    pub oids: Vec<Oid>,
    /// How it ended.
    pub fate: Fate,
}

/// How a rule ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its value, shown, is the field's.
    Won(String),
    /// It gave nothing.
    Lost(Lost),
    /// One before it had won.
    NotReached,
}

/// Rules tried, by field (`counters.system.impressions`, `supplies.printer-mib[3].colorant`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// By field.
    pub fields: BTreeMap<String, Vec<Tried>>,
}

/// What a value is asked for.
#[derive(Clone, Copy)]
pub enum Asked<'a> {
    /// A field.
    Field(&'a str),
    /// A column of a row.
    Cell(Row<'a>, &'static str),
}

impl<'a> Asked<'a> {
    /// The row, where it is a cell's.
    pub fn row(self) -> Option<Row<'a>> {
        match self {
            Self::Field(_) => None,
            Self::Cell(row, _) => Some(row),
        }
    }

    /// Its name in the trace.
    pub fn key(self) -> String {
        match self {
            Self::Field(name) => name.to_owned(),
            Self::Cell(row, column) => trace_key(row, column),
        }
    }

    /// The OIDs behind the value that won.
    pub fn winner(self, oids: &[Oid]) -> Winner {
        let (section, name) = match self {
            Self::Field(name) => (None, Cow::Owned(name.to_owned())),
            Self::Cell(row, column) => (Some(row.set.section), Cow::Borrowed(column)),
        };
        Winner { section, name, oids: oids.to_vec() }
    }
}

/// How a row's column is named in the trace.
fn trace_key(row: Row<'_>, column: &str) -> String {
    let mut key = format!("{}.{}", row.set.section, row.set.name);
    for (n, arc) in row.index.iter().enumerate() {
        let before = if n == 0 { '[' } else { '.' };
        let _ = write!(key, "{before}{arc}"); // a String takes everything
    }
    key.push_str(if row.index.is_empty() { "." } else { "]." });
    key.push_str(column);
    key
}
