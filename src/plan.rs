//! What is asked of one device: exact objects and small tables, and the answers to them.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pmd::Pmd;
use crate::pmd::raw::Scalar;
use crate::pmd::rule::{Column, Part, RowSet, Rule, Source, Take, Template, Test};
use crate::snmp::{Answer, Oid, Value, recording};

/// Everything that a device said, by SNMPv3 context (empty: the default one) and OID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    contexts: BTreeMap<String, BTreeMap<Oid, Answer>>,
}

impl Answers {
    /// Takes an answer; a value is never replaced by a missing one.
    pub fn insert(&mut self, context: &str, oid: Oid, answer: Answer) {
        let objects = match self.contexts.get_mut(context) {
            Some(objects) => objects,
            None => self.contexts.entry(context.to_owned()).or_default(),
        };
        if answer.is_ok() || !objects.get(&oid).is_some_and(Result::is_ok) {
            objects.insert(oid, answer);
        }
    }

    /// What was said of an object; `None` when it was not asked.
    pub fn get(&self, context: &str, oid: &Oid) -> Option<&Answer> {
        self.contexts.get(context)?.get(oid)
    }

    /// The value of an object.
    pub fn value(&self, context: &str, oid: &Oid) -> Option<&Value> {
        self.get(context, oid)?.as_ref().ok()
    }

    /// The cells of a column that have a value, with their indexes, in walk order.
    pub fn column<'a>(&'a self, context: &str, column: &'a Oid) -> impl Iterator<Item = (&'a [u32], &'a Value)> + 'a {
        self.under(context, column).filter_map(|(index, answer)| Some((index, answer.as_ref().ok()?)))
    }

    /// The cells of a column that were asked, with or without a value.
    pub fn under<'a>(&'a self, context: &str, column: &'a Oid) -> impl Iterator<Item = (&'a [u32], &'a Answer)> + 'a {
        let objects = self.contexts.get(context).into_iter();
        objects
            .flat_map(move |objects| objects.range(column.clone()..))
            .map_while(move |(oid, answer)| Some((oid.behind(column)?, answer)))
    }

    /// Everything, context by context.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Oid, &Answer)> {
        self.contexts
            .iter()
            .flat_map(|(context, objects)| objects.iter().map(move |(oid, answer)| (context.as_str(), oid, answer)))
    }

    /// Drops what was said of everything under an OID.
    pub fn forget(&mut self, root: &Oid) {
        for objects in self.contexts.values_mut() {
            objects.retain(|oid, _| !oid.is_under(root));
        }
    }

    /// Takes newer answers, missing ones too.
    pub fn overwrite(&mut self, newer: Self) {
        for (context, objects) in newer.contexts {
            self.contexts.entry(context).or_default().extend(objects);
        }
    }
}

/// Stored as lines of `context|OID|type|value`, the types of a recording and `-` with a reason for what is missing: a few
/// kilobytes a device, and readable when something is to be understood.
impl Serialize for Answers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::new();
        for (context, oid, answer) in self.iter() {
            text.push_str(context);
            text.push('|');
            text.push_str(&recording::line(oid, answer));
            text.push('\n');
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut answers = Self::default();
        for line in text.lines() {
            let (context, object) = line.split_once('|').ok_or_else(|| D::Error::custom("a line without `|`"))?;
            let (oid, answer) = recording::answer(object).map_err(D::Error::custom)?;
            answers.insert(context, oid, answer);
        }
        Ok(answers)
    }
}

/// What a device is asked by a mapping: exact objects, and small tables whose rows are yet to be learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Exact objects with their context.
    pub gets: BTreeSet<(String, Oid)>,
    /// Tables.
    pub walks: Vec<Walk>,
}

/// Columns of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// SNMPv3 context, empty for the default one.
    pub context: String,
    /// Columns without an index; the first leads: its rows are the table's, unless others say otherwise.
    pub columns: Vec<Oid>,
    /// What every index begins with.
    pub prefix: Vec<u32>,
    /// What an index probably begins with: the Printer-MIB's start with hrDeviceIndex (RFC 3805).
    pub guess: Vec<u32>,
    /// Rows asked for at once.
    pub expect: usize,
    /// Rows asked for at once by GETBULK, where a row more costs little: `expect`, or more.
    pub bulk: usize,
    /// One row is enough.
    pub first_only: bool,
}

impl Walk {
    fn expect_bulk(&mut self, rows: usize) {
        self.bulk = self.bulk.max(rows);
    }
}

/// Rows of a table that no file says anything about.
const EXPECT: usize = 4;
/// Rows of a table in which a row is looked for by its name: paper sizes and the like.
const EXPECT_NAMED: usize = 8;
/// The Printer-MIB.
const PRINTER_MIB: [u32; 7] = [1, 3, 6, 1, 2, 1, 43];

/// Everything that a mapping wants to know of a device.
pub fn plan(pmd: &Pmd, device: u32) -> Plan {
    let mut planner = Planner { device, gets: BTreeSet::new(), walks: BTreeMap::new() };
    for rule in pmd.fields.values().flatten() {
        planner.rule(rule);
    }
    for set in &pmd.sets {
        planner.set(set);
    }
    let Planner { gets, walks, .. } = planner;
    let mut walks: Vec<Walk> = walks.into_values().collect();
    // a single object of a table that is read anyway is no reason to ask twice
    walks.retain(|walk| !walk.columns.is_empty());
    Plan { gets, walks }
}

struct Planner {
    device: u32,
    gets: BTreeSet<(String, Oid)>,
    /// By context, entry and prefix: columns of one entry share their rows.
    walks: BTreeMap<(String, Oid, Vec<u32>), Walk>,
}

impl Planner {
    fn rule(&mut self, rule: &Rule) {
        let context = rule.context.as_deref().unwrap_or_default();
        match &rule.source {
            Source::Get(oids) => {
                self.gets.extend(oids.iter().map(|oid| (context.to_owned(), oid.oid(self.device))));
            }
            Source::Column(column) => self.column(column, context),
            Source::Sum(terms) | Source::Difference(terms) | Source::Product(terms) => {
                terms.iter().for_each(|term| self.rule(term));
            }
            Source::Cell(..) | Source::Use(_) | Source::Const(_) | Source::Nth(_) | Source::Stop => {}
        }
    }

    fn column(&mut self, column: &Column, context: &str) {
        let fixed = |part: &Part| match part {
            Part::Arc(arc) => Some(*arc),
            Part::Device => Some(self.device),
            Part::Any | Part::Value => None,
        };
        let prefix: Vec<u32> = column.index.iter().flat_map(|index| &index.0).map_while(fixed).collect();
        let whole = column.index.as_ref().is_some_and(|index| index.0.len() == prefix.len());
        let is_text = |scalar: &Scalar| matches!(scalar, Scalar::Text(_));
        let is_named = column.filters.iter().any(|filter| match &filter.test {
            Test::Is(list) => list.iter().any(is_text),
            Test::Match(_) => true,
            Test::Not(_) | Test::Present(_) => false,
        });
        let bulk = if is_named { EXPECT_NAMED } else { EXPECT };
        let filters = column.filters.iter().map(|filter| {
            let length = filter.arcs.unwrap_or(usize::MAX).min(prefix.len());
            (&filter.column, prefix[..length].to_vec(), filter.arcs == Some(length) || (whole && filter.arcs.is_none()))
        });
        let filters: Vec<(&Oid, Vec<u32>, bool)> = filters.collect();
        if whole {
            self.gets.insert((context.to_owned(), column.base.join(&prefix)));
        } else {
            let first_only = column.take == Take::First && column.filters.is_empty() && column.lookup.is_none();
            let rest_is_free =
                column.index.as_ref().is_none_or(|i| i.0[prefix.len()..].iter().all(|p| *p == Part::Any));
            self.walk(context, &column.base, &prefix, EXPECT, first_only && rest_is_free).expect_bulk(bulk);
        }
        for (filter, prefix, is_exact) in filters {
            match is_exact {
                true => drop(self.gets.insert((context.to_owned(), filter.join(&prefix)))),
                false => self.walk(context, filter, &prefix, EXPECT, false).expect_bulk(bulk),
            }
        }
        if let Some(at) = &column.lookup {
            self.lookup(at, context);
        }
    }

    /// The column that a `{value}` ends is read whole: it is a table of a few names.
    fn lookup(&mut self, at: &Template, context: &str) {
        let arcs = |parts: &[Part]| -> Vec<u32> {
            parts.iter().filter_map(|p| if let Part::Arc(arc) = p { Some(*arc) } else { None }).collect()
        };
        let split = at.0.iter().position(|part| !matches!(part, Part::Arc(_))).unwrap_or(at.0.len());
        let base = Oid::new(&arcs(&at.0[..split]));
        let prefix: Vec<u32> = if at.0.get(split) == Some(&Part::Device) { vec![self.device] } else { Vec::new() };
        self.walk(context, &base, &prefix, EXPECT, false);
    }

    fn set(&mut self, set: &RowSet) {
        let context = set.context.as_deref().unwrap_or_default();
        for column in &set.rows {
            self.walk(context, column, &[], set.expect, false);
        }
        for filter in &set.filters {
            self.walk(context, &filter.column, &[], set.expect, false);
        }
        for rule in set.columns.iter().flat_map(|(_, rules)| rules) {
            self.cells(rule, set);
        }
    }

    fn cells(&mut self, rule: &Rule, set: &RowSet) {
        let context = rule.context.as_deref().unwrap_or_default();
        match &rule.source {
            Source::Cell(column, lookup) => {
                self.walk(context, column, &[], set.expect, false);
                if let Some(at) = lookup {
                    self.lookup(at, context);
                }
            }
            Source::Sum(terms) | Source::Difference(terms) | Source::Product(terms) => {
                terms.iter().for_each(|term| self.cells(term, set));
            }
            _ => self.rule(rule),
        }
    }

    fn walk(&mut self, context: &str, column: &Oid, prefix: &[u32], expect: usize, first_only: bool) -> &mut Walk {
        let arcs = column.arcs();
        let entry = Oid::new(&arcs[..arcs.len() - 1]);
        let guess =
            if prefix.is_empty() && arcs.starts_with(&PRINTER_MIB) { vec![self.device] } else { prefix.to_vec() };
        let walk = self.walks.entry((context.to_owned(), entry, prefix.to_vec())).or_insert_with(|| Walk {
            context: context.to_owned(),
            columns: Vec::new(),
            prefix: prefix.to_vec(),
            guess,
            expect: 1,
            bulk: 1,
            first_only: true,
        });
        walk.expect = walk.expect.max(if first_only { 1 } else { expect });
        walk.bulk = walk.bulk.max(walk.expect);
        walk.first_only &= first_only;
        if !walk.columns.contains(column) {
            walk.columns.push(column.clone());
        }
        walk
    }
}
