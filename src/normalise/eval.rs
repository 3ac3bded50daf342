//! Evaluates the rules of a mapping against the answers of a device: first valid rule wins. What won is kept, and all that
//! was tried when somebody wants to know.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use super::datum::{Datum, Lost};
use super::doubt::{outdone, worse};
pub use super::kind::{Kind, kind_of};
use super::text::Charset;
use super::trace::{Asked, Fate, Trace, Tracing, Tried, Winner};
use crate::identify::Identity;
use crate::plan::Answers;
use crate::pmd::Pmd;
use crate::pmd::rule::{Column, Filter, Origin, RowSet, Rule, Source, Take, Template, Unit};
use crate::pmd::words::Words;
use crate::snmp::{Absent, Oid, Value};

/// A rule's value with where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Won {
    /// The value; of a list the first one.
    pub value: Datum,
    /// All values, where there are several.
    pub list: Vec<Datum>,
    /// The OIDs read.
    pub oids: Vec<Oid>,
    /// The rule that made it; none made what every device has (`device.…`).
    pub rule: Option<Origin>,
    /// Computed.
    pub derived: bool,
    /// Never proven.
    pub unverified: bool,
    /// Unit word.
    pub unit: Option<String>,
}

impl Won {
    /// The value, or all of them.
    pub fn all(&self) -> &[Datum] {
        if self.list.is_empty() { std::slice::from_ref(&self.value) } else { &self.list }
    }
}

/// A row being made.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its set.
    pub set: &'a RowSet,
    /// Its index behind the columns; empty for a written-out row.
    pub index: &'a [u32],
}

type Raw = Result<(Vec<Datum>, Vec<Oid>), Lost>;

/// The winner, or the worst thing that happened to a rule; `None` where no rule was for this device.
type First = Result<Won, Option<Lost>>;

/// A field that was asked for.
enum Slot {
    /// It is being found: whoever asks now refers to himself.
    Open,
    /// It is found, or why it is not.
    Done(Result<Rc<Won>, Option<Lost>>),
}

/// A mapping, a device, and its answers.
pub struct Evaluator<'a> {
    pmd: &'a Pmd,
    identity: &'a Identity,
    answers: &'a Answers,
    words: &'a Words,
    charset: Option<Charset>,
    tracing: Tracing,
    fields: RefCell<BTreeMap<&'a str, Slot>>,
    winners: RefCell<Vec<Winner>>,
    /// A cell of the rows being made that got no answer.
    lost_cell: RefCell<Option<String>>,
    trace: RefCell<Trace>,
}

impl<'a> Evaluator<'a> {
    /// Looks up the declared charset (`let.charset`) at once: all texts need it.
    pub fn new(pmd: &'a Pmd, identity: &'a Identity, answers: &'a Answers, words: &'a Words, tracing: Tracing) -> Self {
        let mut evaluator = Self {
            pmd,
            identity,
            answers,
            words,
            charset: None,
            tracing,
            fields: RefCell::default(),
            winners: RefCell::default(),
            lost_cell: RefCell::default(),
            trace: RefCell::default(),
        };
        let number = evaluator.field("let.charset", Kind::Any).and_then(|won| won.value.number());
        evaluator.charset = number.and_then(|number| Charset::numbered(number as i64));
        evaluator
    }

    /// The mapping.
    pub fn pmd(&self) -> &'a Pmd {
        self.pmd
    }

    /// The shared words.
    pub fn words(&self) -> &'a Words {
        self.words
    }

    /// The charset that the device declares.
    pub fn charset(&self) -> Option<Charset> {
        self.charset
    }

    /// What won and what was tried, the one or the other as [`Tracing`] says.
    pub fn into_traces(self) -> (Vec<Winner>, Trace) {
        (self.winners.into_inner(), self.trace.into_inner())
    }

    /// The value of a field, found once.
    pub fn field(&self, name: &str, kind: Kind) -> Option<Rc<Won>> {
        if let Some(own) = name.strip_prefix("device.") {
            return self.device_field(own).map(|value| {
                Rc::new(Won {
                    value: Datum::Text(value),
                    list: Vec::new(),
                    oids: Vec::new(),
                    rule: None,
                    derived: false,
                    unverified: false,
                    unit: None,
                })
            });
        }
        let (name, rules) = self.pmd.fields.get_key_value(name)?;
        if let Some(slot) = self.fields.borrow().get(name.as_str()) {
            return match slot {
                Slot::Open => None, // it refers to itself: no value on this way
                Slot::Done(done) => done.as_ref().ok().cloned(),
            };
        }
        self.fields.borrow_mut().insert(name, Slot::Open);
        let done = self.first(rules, kind, Asked::Field(name)).map(Rc::new);
        let won = done.as_ref().ok().cloned();
        self.fields.borrow_mut().insert(name, Slot::Done(done));
        won
    }

    /// The value of a column of a row.
    pub fn cell(&self, row: Row<'_>, column: &str, kind: Kind) -> Option<Won> {
        self.cell_or_why(row, column, kind).ok()
    }

    fn cell_or_why(&self, row: Row<'_>, column: &str, kind: Kind) -> First {
        let Some((column, rules)) = row.set.columns.iter().find(|(own, _)| *own == column) else { return Err(None) };
        let first = self.first(rules, kind, Asked::Cell(row, column));
        if let Err(Some(Lost::NoAnswer(what))) = &first {
            self.lost_cell.replace(Some(what.clone()));
        }
        first
    }

    /// A cell that got no answer since this was last asked.
    pub fn lost_cell(&self) -> Option<String> {
        self.lost_cell.take()
    }

    /// The rows of a set: those with a cell in one of its `rows` columns that pass its filters. Beside them what got no
    /// answer, when there may be more.
    pub fn rows(&self, set: &RowSet) -> (Vec<Vec<u32>>, Option<String>) {
        if set.rows.is_empty() {
            return (vec![Vec::new()], None);
        }
        let mut indexes = BTreeSet::new();
        let (mut open, mut seen) = (None, false);
        for context in self.contexts(set.context.as_deref()) {
            for column in &set.rows {
                let before = indexes.len();
                indexes.extend(self.answers.column(context, column).map(|(index, _)| index.to_vec()));
                match self.answers.is_open(context, column) {
                    true => open = Some(column),
                    // one column that was followed to its end knows the rows
                    false => seen |= indexes.len() > before || self.answers.column(context, column).next().is_some(),
                }
            }
        }
        let mut lost = open.filter(|_| !seen).map(|column| format!("the rows of {column} got no answer"));
        let mut rows = Vec::with_capacity(indexes.len());
        for index in indexes {
            match self.hold(&set.filters, &index, set.context.as_deref()) {
                Some(true) => rows.push(index),
                Some(false) => {}
                None => lost = Some("what tells whether a row counts got no answer".to_owned()),
            }
        }
        (rows, lost)
    }

    /// How a field lost, for its gap: the worst thing that happened to a rule of it. `None` when no rule was for it.
    pub fn why_none(&self, name: &str) -> Option<Lost> {
        match self.fields.borrow().get(name)? {
            Slot::Done(Err(lost)) => lost.clone(),
            _ => None,
        }
    }

    fn device_field(&self, name: &str) -> Option<String> {
        let identity = self.identity;
        match name {
            "sys_object_id" => identity.sys_object_id.as_ref().map(Oid::to_string),
            "description" => identity.description.clone(),
            "name" => identity.name.clone(),
            "location" => identity.location.clone(),
            "device_id" => identity.device_id.clone(),
            "device_description" => identity.device_description.clone(),
            _ => None,
        }
    }

    /// The first rule that gives a value. One that no device has proven takes the place of no proven one behind it, save of what
    /// only stands in.
    fn first(&self, rules: &[Arc<Rule>], kind: Kind, asked: Asked<'_>) -> First {
        let row = asked.row();
        let mut tried = Vec::new();
        let all = self.tracing == Tracing::Everything;
        let mut keep = |rule: &Rule, oids: &[Oid], fate: Fate| {
            if all {
                tried.push(Tried { rule: self.rule_name(&rule.origin), oids: oids.to_vec(), fate });
            }
        };
        let mut first: First = Err(None);
        let mut unproven: Option<Won> = None;
        let mut stopped = false;
        // what only got no answer is there: no worse rule may stand in, save for a text of a row
        let strict = row.is_none() || kind != Kind::Text;
        for rule in rules {
            if first.is_ok() || stopped || (unproven.is_some() && (rule.unverified || rule.derived)) {
                keep(rule, &[], Fate::NotReached);
                continue;
            }
            let lost = match self.passed_over(rule, row) {
                Some(passed) => passed,
                None if matches!(rule.source, Source::Stop) => {
                    stopped = true;
                    continue;
                }
                None => match self.value(rule, kind, row) {
                    Ok((list, oids)) => {
                        let won = self.won(rule, list, oids);
                        let is_better = unproven.is_none() || !(won.unverified || won.derived);
                        if all {
                            let shown = won.value.shown(self.charset);
                            keep(rule, &won.oids, if is_better { Fate::Won(shown) } else { Fate::NotReached });
                        }
                        match won.unverified {
                            true => drop(unproven.get_or_insert(won)),
                            false if is_better => first = Ok(won),
                            false => {}
                        }
                        continue;
                    }
                    Err(lost) => lost,
                },
            };
            if strict && matches!(lost, Lost::NoAnswer(_)) {
                (stopped, unproven) = (true, None);
            }
            keep(rule, &[], Fate::Lost(lost.clone()));
            first = first.map_err(|worst| worse(worst, lost));
        }
        if let (Err(_), Some(won)) = (&first, unproven) {
            first = Ok(won);
        }
        outdone(&mut tried);
        if let (Ok(won), false) = (&first, all) {
            self.winners.borrow_mut().push(asked.winner(&won.oids));
        }
        if !tried.is_empty() {
            self.trace.borrow_mut().fields.insert(asked.key(), tried);
        }
        first
    }

    fn won(&self, rule: &Rule, mut list: Vec<Datum>, oids: Vec<Oid>) -> Won {
        let value = if list.len() == 1 { list.swap_remove(0) } else { list[0].clone() };
        let unit = match &rule.unit {
            Some(Unit::Word(word)) => Some(word.clone()),
            Some(Unit::Field(field)) => self.field(field, Kind::Any).map(|won| won.value.text(self.charset)),
            None => None,
        };
        let (derived, unverified) = self.doubt(rule);
        Won { value, list, oids, rule: Some(rule.origin.clone()), derived, unverified, unit }
    }

    /// Words for a person, where one wants to know; the loss of a rule that is not for this device goes without.
    pub(super) fn worded(&self, text: impl FnOnce() -> String) -> String {
        match self.tracing {
            Tracing::Winners => String::new(),
            Tracing::Everything => text(),
        }
    }

    /// `[<pmd>:]<n>`: the file is named where it is not the device's own mapping.
    pub fn rule_name(&self, origin: &Origin) -> String {
        if *origin.pmd == *self.pmd.name {
            origin.number.to_string()
        } else {
            format!("{}:{}", origin.pmd, origin.number)
        }
    }

    /// Why a rule is not for this device; no answer to a field of a condition means that nobody knows.
    fn passed_over(&self, rule: &Rule, row: Option<Row<'_>>) -> Option<Lost> {
        let mut unknown = None;
        for when in &rule.when {
            let value = match row {
                Some(row) if !when.field.contains('.') => {
                    self.cell_or_why(row, &when.field, Kind::Any).map(|won| won.value)
                }
                _ => {
                    let won = self.field(&when.field, kind_of(&when.field));
                    won.map(|won| won.value.clone()).ok_or_else(|| self.why_none(&when.field))
                }
            };
            if let Err(Some(lost @ Lost::NoAnswer(_))) = value {
                unknown = Some(lost);
                continue;
            }
            let value = value.ok();
            let fits = match (&when.test, value) {
                (crate::pmd::rule::Test::Present(present), value) => value.is_some() == *present,
                (test, value) => value.is_some_and(|value| value.passes(test, self.charset)),
            };
            if !fits {
                return Some(Lost::PassedOver(self.worded(|| format!("`{}` is not as the rule wants it", when.field))));
            }
        }
        unknown
    }

    fn nothing_in(&self, field: &str, why: Option<Lost>) -> Lost {
        match why {
            Some(lost @ Lost::NoAnswer(_)) => lost,
            _ => Lost::NotSupported(self.worded(|| format!("`{field}` has no value"))),
        }
    }

    /// A rule's value after all transforms and checks; never an empty list.
    fn value(&self, rule: &Rule, kind: Kind, row: Option<Row<'_>>) -> Raw {
        let (list, oids) = self.source(rule, row)?;
        let mut out = Vec::with_capacity(list.len());
        let mut lost = None;
        for datum in list {
            match self.finish(rule, kind, datum) {
                Ok(datum) => out.push(datum),
                Err(reason) => lost = Some(reason),
            }
        }
        match (out.is_empty(), lost) {
            (false, _) => Ok((out, oids)),
            (true, Some(lost)) => Err(lost),
            (true, None) => Err(Lost::NotSupported(self.worded(|| "nothing there".to_owned()))),
        }
    }

    fn finish(&self, rule: &Rule, kind: Kind, datum: Datum) -> Result<Datum, Lost> {
        let mut datum = datum;
        for step in &rule.steps {
            datum = datum.step(step, self.charset)?;
        }
        for validity in &rule.valid {
            datum.valid(validity, self.charset)?;
        }
        self.shape(datum, kind)
    }

    fn source(&self, rule: &Rule, row: Option<Row<'_>>) -> Raw {
        let context = rule.context.as_deref();
        match &rule.source {
            Source::Get(oids) => self.get(oids, context),
            Source::Column(column) => self.column(column, context),
            Source::Cell(base, lookup) => {
                let index = row.map_or(&[][..], |row| row.index);
                let (datum, oid) = self.read(base.arcs(), index, context)?;
                match lookup {
                    None => Ok((vec![datum], vec![oid])),
                    Some(at) => self.look_up(at, &datum, index, context),
                }
            }
            Source::Use(field) => match row {
                Some(row) if !field.contains('.') => {
                    let won = self.cell_or_why(row, field, Kind::Any).map_err(|why| self.nothing_in(field, why))?;
                    Ok((vec![won.value], won.oids))
                }
                _ => {
                    let nothing = || self.nothing_in(field, self.why_none(field));
                    let won = self.field(field, kind_of(field)).ok_or_else(nothing)?;
                    Ok((won.all().to_vec(), won.oids.clone()))
                }
            },
            Source::Const(scalar) => Ok((vec![Datum::from(scalar)], Vec::new())),
            Source::Sum(terms) => self.terms(terms, row, |so_far, n| so_far + n),
            Source::Difference(terms) => self.terms(terms, row, |so_far, n| so_far - n),
            Source::Product(terms) => self.terms(terms, row, |so_far, n| so_far * n),
            Source::Nth(_) | Source::Stop => {
                Err(Lost::PassedOver(self.worded(|| "decided when all rows are known".to_owned())))
            }
        }
    }

    /// The first of several spellings of one object that is answered.
    fn get(&self, oids: &[Template], context: Option<&str>) -> Raw {
        let mut worst = Lost::NotSupported(self.worded(|| "no such object".to_owned()));
        for template in oids {
            match self.read(&template.arcs(self.identity.device), &[], context) {
                Ok((datum, oid)) => return Ok((vec![datum], vec![oid])),
                Err(lost @ Lost::NoAnswer(_)) => worst = lost,
                Err(_) => {}
            }
        }
        Err(worst)
    }

    fn read(&self, column: &[u32], index: &[u32], context: Option<&str>) -> Result<(Datum, Oid), Lost> {
        let mut silent = false;
        for context in self.contexts(context) {
            match self.answers.cell(context, column, index) {
                Some((_, Ok(Value::Nothing))) | None => {}
                Some((oid, Ok(value))) => return Ok((Datum::from(value), oid.clone())),
                Some((_, Err(Absent::NoAnswer | Absent::Refused))) => silent = true,
                Some((_, Err(_))) => {}
            }
        }
        let oid = || Oid::new(column).join(index);
        Err(if silent {
            Lost::NoAnswer(format!("{} got no answer", oid()))
        } else {
            Lost::NotSupported(self.worded(|| format!("no {}", oid())))
        })
    }

    /// The context that a rule names; else the default one, and behind it the mapping's.
    fn contexts<'b>(&'b self, named: Option<&'b str>) -> impl Iterator<Item = &'b str> {
        let second = if named.is_none() { self.pmd.context.as_deref() } else { None };
        std::iter::once(named.unwrap_or_default()).chain(second)
    }

    fn column(&self, column: &Column, context: Option<&str>) -> Raw {
        let mut list = Vec::new();
        let mut oids = Vec::new();
        let mut silent = false;
        let mut refused = false;
        let mut open = false;
        for context in self.contexts(context) {
            open |= self.answers.is_open(context, &column.base);
            for (index, answer) in self.answers.under(context, &column.base).filter(|(index, _)| !index.is_empty()) {
                let fits = column.index.as_ref().is_none_or(|shape| shape.fits(index, self.identity.device));
                if !fits {
                    continue;
                }
                match self.hold(&column.filters, index, Some(context)) {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        silent = true;
                        continue;
                    }
                }
                match answer {
                    Ok(Value::Nothing) => {}
                    Ok(value) => {
                        list.push(Datum::from(value));
                        oids.push(column.base.join(index));
                    }
                    Err(Absent::NoAnswer) => silent = true,
                    Err(Absent::Refused) => refused = true,
                    Err(_) => {}
                }
                if column.take == Take::First && !list.is_empty() {
                    break;
                }
            }
            if !list.is_empty() {
                break;
            }
        }
        // what was answered would pass for all of it: the first of the rest for the first, their sum for the sum
        let lost = match column.take {
            Take::First => silent,
            Take::All => silent || open,
            Take::Sum | Take::Count | Take::Max => silent || open || refused,
        };
        if list.is_empty() || lost {
            return Err(match silent || open || refused {
                true => Lost::NoAnswer(format!("a row of {} got no answer", column.base)),
                false => Lost::NotSupported(self.worded(|| format!("no row of {} fits", column.base))),
            });
        }
        let numbers = || -> Result<Vec<f64>, Lost> {
            let no_number = |datum: &Datum| Lost::Rejected(format!("{} is no number", datum.shown(self.charset)));
            list.iter().map(|datum| datum.number().ok_or_else(|| no_number(datum))).collect()
        };
        match column.take {
            Take::First => match &column.lookup {
                Some(at) => self.look_up(at, &list[0], &[], context),
                None => Ok((list, oids)),
            },
            Take::All => Ok((list, oids)),
            Take::Count => Ok((vec![Datum::Int(list.len() as i64)], oids)),
            Take::Sum => Ok((vec![whole(numbers()?.iter().sum())], oids)),
            Take::Max => Ok((vec![whole(numbers()?.into_iter().fold(f64::MIN, f64::max))], oids)),
        }
    }

    /// The cell whose index ends in the number that was found.
    fn look_up(&self, at: &Template, found: &Datum, index: &[u32], context: Option<&str>) -> Raw {
        let number = found.number().filter(|n| *n > 0.0 && *n <= f64::from(u32::MAX));
        let Some(number) = number else {
            let what = || format!("{} points nowhere", found.shown(self.charset));
            return Err(Lost::NotSupported(self.worded(what)));
        };
        // a table below a device index is looked up under the one of this very row
        let device = if index.len() > 1 { index[0] } else { self.identity.device };
        let (datum, oid) = self.read(at.with_value(device, number as u32).arcs(), &[], context)?;
        Ok((vec![datum], vec![oid]))
    }

    /// Whether a row passes all filters; `None` when that hangs on one that got no answer.
    fn hold(&self, filters: &[Filter], index: &[u32], context: Option<&str>) -> Option<bool> {
        let mut known = true;
        for filter in filters {
            let at = filter.arcs.map_or(index, |arcs| &index[..arcs.min(index.len())]);
            match self.read(filter.column.arcs(), at, context) {
                Ok((datum, _)) if !filter.holds(&datum, self.charset) => return Some(false),
                Err(Lost::NoAnswer(_)) => known = false,
                Err(_) if !filter.or_absent => return Some(false),
                _ => {}
            }
        }
        known.then_some(true)
    }

    fn terms(&self, terms: &[Rule], row: Option<Row<'_>>, join: fn(f64, f64) -> f64) -> Raw {
        let mut total: Option<f64> = None;
        let mut any = false;
        let mut oids = Vec::new();
        for term in terms {
            let value = match self.passed_over(term, row) {
                Some(passed) => Err(passed),
                None => self.value(term, Kind::Any, row),
            };
            let n = match value {
                Ok((list, read)) => {
                    oids.extend(read);
                    any = true;
                    let n = list[0].number();
                    n.ok_or_else(|| Lost::Rejected(format!("{} is no number", list[0].shown(self.charset))))?
                }
                Err(Lost::NotSupported(_) | Lost::PassedOver(_)) if term.optional => 0.0,
                Err(lost) => return Err(lost),
            };
            total = Some(match total {
                None => n,
                Some(so_far) => join(so_far, n),
            });
        }
        match total {
            Some(total) if any => Ok((vec![whole(total)], oids)),
            _ => Err(Lost::NotSupported(self.worded(|| "no term has a value".to_owned()))),
        }
    }
}

fn whole(n: f64) -> Datum {
    if n.fract() == 0.0 && n.abs() < 9e15 { Datum::Int(n as i64) } else { Datum::Float(n) }
}
