//! What is asked of one device: exact objects and small tables, and the answers to them.

pub mod answers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::pmd::Pmd;
use crate::pmd::raw::Scalar;
use crate::pmd::rule::{Column, Part, RowSet, Rule, Source, Take, Template, Test, Unit};
use crate::snmp::Oid;
pub use answers::Answers;

/// What a device is asked by a mapping: exact objects, and small tables whose rows are yet to be learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Exact objects with their context.
    pub gets: BTreeSet<(String, Oid)>,
    /// Further ones for the full readings of a device that has been read before: see [`Pmd::weekly`].
    pub weekly: BTreeSet<(String, Oid)>,
    /// Those of the exact objects that the device's key is made of: asked first, so that a device which falls silent is known.
    pub key: Vec<(String, Oid)>,
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
    /// Columns that stand in for one of those: asked only in rows where it says nothing. Each with the one it stands in for.
    pub stand_ins: Vec<(Oid, Oid)>,
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
pub const EXPECT: usize = 4;
/// Rows of a table in which a row is looked for by its name: paper sizes and the like.
const EXPECT_NAMED: usize = 8;
/// The Printer-MIB.
const PRINTER_MIB: [u32; 7] = [1, 3, 6, 1, 2, 1, 43];

/// Fields that a device's key is made of, the best ones first: see [`crate::identify::device_key`].
pub const KEY_FIELDS: [&str; 4] =
    ["identity.vendor", "identity.serial_number", "identity.uuid", "network.physical_addresses"];

/// Everything that a mapping wants to know of a device. Nearly every printer is its agent's device 1: that plan is made once
/// for all devices of a family, which also share its OIDs.
pub fn plan(pmd: &Pmd, device: u32) -> Arc<Plan> {
    match device {
        1 => Arc::clone(pmd.plan_of_device_1.get_or_init(|| Arc::new(planned(pmd, 1)))),
        _ => Arc::new(planned(pmd, device)),
    }
}

fn planned(pmd: &Pmd, device: u32) -> Plan {
    let mut planner = Planner { device, gets: BTreeSet::new(), walks: BTreeMap::new() };
    let spoken_of = spoken_of(pmd);
    let is_needed = |field: &str| !field.starts_with("let.") || spoken_of.contains(field);
    let mut weekly = Planner { device, gets: BTreeSet::new(), walks: BTreeMap::new() };
    for (field, rules) in pmd.fields.iter().filter(|(field, _)| is_needed(field)) {
        let planner = if pmd.weekly.contains(field) { &mut weekly } else { &mut planner };
        tried(rules).for_each(|rule| planner.rule(rule));
    }
    for set in &pmd.sets {
        planner.set(set);
    }
    let plan = planner.finish(pmd);
    Plan { weekly: weekly.gets.difference(&plan.gets).cloned().collect(), ..plan }
}

/// The rules that can be tried: those behind a `stop` never are.
fn tried(rules: &[Arc<Rule>]) -> impl Iterator<Item = &Rule> {
    rules.iter().map(|rule| &**rule).take_while(|rule| !matches!(rule.source, Source::Stop) || !rule.when.is_empty())
}

/// What some fields need, with all that they name and are checked against.
pub fn for_fields(pmd: &Pmd, device: u32, mut fields: BTreeSet<String>) -> Plan {
    let mut planner = Planner { device, gets: BTreeSet::new(), walks: BTreeMap::new() };
    for check in &pmd.checks {
        if fields.contains(&check.total) {
            fields.extend(check.parts.iter().chain(&check.optional).cloned());
        }
    }
    let mut open: Vec<String> = fields.iter().cloned().collect();
    while let Some(field) = open.pop() {
        for rule in pmd.fields.get(&field).into_iter().flat_map(|rules| tried(rules)) {
            planner.rule(rule);
            let mut named = BTreeSet::new();
            named_by(rule, &mut named);
            open.extend(named.into_iter().filter(|name| fields.insert((*name).to_owned())).map(str::to_owned));
        }
    }
    planner.finish(pmd)
}

/// Exact objects of the fields that a device's key is made of.
fn of_key(pmd: &Pmd, device: u32) -> Vec<(String, Oid)> {
    let rules = KEY_FIELDS.iter().filter_map(|field| pmd.fields.get(*field)).flatten();
    let objects = rules.filter_map(|rule| match &rule.source {
        Source::Get(oids) => Some((rule.context.as_deref().unwrap_or_default(), oids)),
        _ => None,
    });
    let key: BTreeSet<(String, Oid)> =
        objects.flat_map(|(context, oids)| oids.iter().map(|oid| (context.to_owned(), oid.oid(device)))).collect();
    key.into_iter().collect()
}

/// Fields that a rule or a check names, and those that normalising looks at itself: a `let` that only an extended file
/// had a use for is not worth asking.
fn spoken_of(pmd: &Pmd) -> BTreeSet<&str> {
    let mut names = BTreeSet::from(["let.charset", "let.process_colorants"]);
    let columns = pmd.sets.iter().flat_map(|set| &set.columns).flat_map(|(_, rules)| rules);
    pmd.fields.values().flatten().chain(columns).for_each(|rule| named_by(rule, &mut names));
    for check in &pmd.checks {
        names.insert(&check.total);
        names.extend(check.parts.iter().chain(&check.optional).map(String::as_str));
    }
    names
}

/// Fields that a rule names.
fn named_by<'a>(rule: &'a Rule, names: &mut BTreeSet<&'a str>) {
    names.extend(rule.when.iter().map(|when| &*when.field));
    match &rule.source {
        Source::Use(name) => drop(names.insert(name)),
        Source::Sum(terms) | Source::Difference(terms) | Source::Product(terms) => {
            terms.iter().for_each(|term| named_by(term, names));
        }
        Source::Get(_) | Source::Column(_) | Source::Cell(..) | Source::Const(_) | Source::Nth(_) | Source::Stop => {}
    }
    if let Some(Unit::Field(name)) = &rule.unit {
        names.insert(name);
    }
}

/// Columns of which counters take all rows, as context, column, and column with what the indexes begin with. A row more
/// makes another sum.
pub fn summed(pmd: &Pmd, device: u32) -> BTreeSet<(String, Oid, Oid)> {
    let mut summed = BTreeSet::new();
    each_counter_rule(pmd, &mut |rule| {
        if let Source::Column(column) = &rule.source
            && matches!(column.take, Take::Sum | Take::Count | Take::Max)
        {
            let prefix = column.prefix(device);
            let context = rule.context.as_deref().unwrap_or_default().to_owned();
            summed.insert((context, column.base.clone(), column.base.join(&prefix)));
        }
    });
    summed
}

/// Exact objects that a counter's sum may lack: one that comes later makes another sum.
pub fn terms(pmd: &Pmd, device: u32) -> BTreeSet<(String, Oid)> {
    let mut terms = BTreeSet::new();
    each_counter_rule(pmd, &mut |rule| {
        if let (true, Source::Get(oids)) = (rule.optional, &rule.source) {
            let context = rule.context.as_deref().unwrap_or_default();
            terms.extend(oids.iter().map(|oid| (context.to_owned(), oid.oid(device))));
        }
    });
    terms
}

/// An object or a column with its SNMPv3 context.
type Named = (String, Oid);

/// Exact objects of which counters are made, and columns save those of [`summed`], with whether a certain row of them is
/// looked for.
pub fn counted(pmd: &Pmd, device: u32) -> (BTreeSet<Named>, BTreeMap<Named, bool>) {
    let (mut objects, mut columns) = (BTreeSet::new(), BTreeMap::new());
    each_counter_rule(pmd, &mut |rule| {
        let context = rule.context.as_deref().unwrap_or_default();
        match &rule.source {
            Source::Get(oids) => objects.extend(oids.iter().map(|oid| (context.to_owned(), oid.oid(device)))),
            Source::Column(column) if matches!(column.take, Take::First | Take::All) => {
                let root = column.base.join(&column.prefix(device));
                *columns.entry((context.to_owned(), root)).or_default() |= !column.filters.is_empty();
            }
            _ => {}
        }
    });
    (objects, columns)
}

fn each_counter_rule<'a>(pmd: &'a Pmd, look: &mut impl FnMut(&'a Rule)) {
    fn down<'a>(rule: &'a Rule, look: &mut impl FnMut(&'a Rule)) {
        look(rule);
        if let Source::Sum(terms) | Source::Difference(terms) | Source::Product(terms) = &rule.source {
            terms.iter().for_each(|term| down(term, look));
        }
    }
    let counts = |field: &str| field.starts_with("counters.") || field.starts_with("let.");
    let looked_at = pmd.fields.iter().filter(|(field, _)| counts(field) && !pmd.weekly.contains(*field));
    looked_at.flat_map(|(_, rules)| rules).for_each(|rule| down(rule, look));
}

/// The column of a rule that takes a cell as it is.
fn plain_cell(rule: &Rule) -> Option<&Oid> {
    match &rule.source {
        Source::Cell(column, None) if rule.steps.is_empty() && rule.valid.is_empty() && rule.when.is_empty() => {
            Some(column)
        }
        _ => None,
    }
}

/// Columns of a set that nothing needs where another one says something, each with that one: the second plain cell of a name.
fn stand_ins(set: &RowSet) -> Vec<(Oid, Oid)> {
    let is_needed = |column: &Oid| {
        let mut others = set.columns.iter().flat_map(|(_, rules)| rules.iter().enumerate());
        let names_it = |rule: &Rule| matches!(&rule.source, Source::Cell(named, _) if named == column);
        set.filters.iter().any(|filter| filter.column == *column)
            || others.any(|(n, rule)| names_it(rule) && (n == 0 || plain_cell(rule).is_none()))
    };
    let names = set.columns.iter().filter(|(name, _)| *name == "name");
    let seconds = names.filter_map(|(_, rules)| match rules.as_slice() {
        [first, second] => Some((plain_cell(second)?.clone(), plain_cell(first)?.clone())),
        _ => None,
    });
    seconds.filter(|(stand_in, _)| !is_needed(stand_in)).collect()
}

struct Planner {
    device: u32,
    gets: BTreeSet<(String, Oid)>,
    /// By context, entry and prefix: columns of one entry share their rows.
    walks: BTreeMap<(String, Oid, Vec<u32>), Walk>,
}

impl Planner {
    fn finish(self, pmd: &Pmd) -> Plan {
        let mut walks: Vec<Walk> = self.walks.into_values().collect();
        // a single object of a table that is read anyway is no reason to ask twice
        walks.retain(|walk| !walk.columns.is_empty());
        Plan { key: of_key(pmd, self.device), gets: self.gets, weekly: BTreeSet::new(), walks }
    }

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
        let prefix = column.prefix(self.device);
        let whole = column.index.as_ref().is_some_and(|index| index.0.len() == prefix.len());
        let is_text = |scalar: &Scalar| matches!(scalar, Scalar::Text(_));
        let is_named = column.filters.iter().any(|filter| match &filter.test {
            Test::Is(list) => list.iter().any(is_text),
            Test::Match(_) => true,
            Test::Not(_) | Test::Present(_) => false,
        });
        let expect = column.expect.unwrap_or(EXPECT);
        let bulk = column.expect.unwrap_or(if is_named { EXPECT_NAMED } else { EXPECT });
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
            let first_only = first_only && rest_is_free;
            self.walk(context, &column.base, &prefix, expect, first_only).expect_bulk(if first_only {
                1
            } else {
                bulk
            });
        }
        for (filter, prefix, is_exact) in filters {
            match is_exact {
                true => drop(self.gets.insert((context.to_owned(), filter.join(&prefix)))),
                false => self.walk(context, filter, &prefix, expect, false).expect_bulk(bulk),
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
        let stand_ins = stand_ins(set);
        for column in set.rows.iter().filter(|column| stand_ins.iter().all(|(stand_in, _)| stand_in != *column)) {
            self.walk(context, column, &[], set.expect, false);
        }
        for filter in &set.filters {
            self.walk(context, &filter.column, &[], set.expect, false);
        }
        for rule in set.columns.iter().flat_map(|(_, rules)| rules) {
            match (plain_cell(rule), &stand_ins) {
                (Some(column), stand_ins) if stand_ins.iter().any(|(stand_in, _)| stand_in == column) => {}
                _ => self.cells(rule, set),
            }
        }
        for (stand_in, column) in stand_ins {
            self.walk(context, &column, &[], set.expect, false).stand_ins.push((stand_in, column));
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
            stand_ins: Vec::new(),
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
