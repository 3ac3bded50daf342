//! What was tried for a field, and how it ended: for the person who asks why a number is what it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::datum::Lost;
use super::eval::Row;
use crate::snmp::Oid;

/// How much of an evaluation is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// The OIDs that won: what the next reading needs. To word the rest costs a fifth of a device's CPU.
    Winners,
    /// Every rule tried, in words for a person.
    Everything,
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
    /// Its value, shown, is the field's; empty where only winners are kept.
    Won(String),
    /// It gave nothing.
    Lost(Lost),
    /// One before it had won.
    NotReached,
}

/// Rules tried, by field (`counters.system.impressions`, `supplies.printer-mib[3].colorant`); how many is [`Tracing`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// By field.
    pub fields: BTreeMap<String, Vec<Tried>>,
}

/// How a row's column is named in the trace.
pub fn trace_key(row: Row<'_>, column: &str) -> String {
    let mut key = format!("{}.{}", row.set.section, row.set.name);
    for (n, arc) in row.index.iter().enumerate() {
        let before = if n == 0 { '[' } else { '.' };
        let _ = write!(key, "{before}{arc}"); // a String takes everything
    }
    key.push_str(if row.index.is_empty() { "." } else { "]." });
    key.push_str(column);
    key
}
