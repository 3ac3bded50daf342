//! Learning the rows of a table by few requests: GETNEXT from several guessed starts at once, so that a dense table is
//! known after one request and a sparse one after two. Pure: what is asked next follows from what was answered.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::bulk::Want;
use crate::plan::Walk;
use crate::snmp::oid::starts_with;
use crate::snmp::{Absent, Oid, VarBind};

/// Rows of one table; the walk ends there, whatever a mapping says, and what lies behind counts as not answered.
pub const ROWS_MAX: usize = 300;
/// Starts guessed at once, however often the table went on.
const GUESSES_MAX: usize = 20;

/// Where a row stands in its table: nearly always the device and a number. Kept in place: the columns' rows are compared by
/// the thousand, and one that lies elsewhere has to be waited for.
pub type Index = SmallVec<[u32; 4]>;

/// What a GETNEXT found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The object behind its start.
    Object(Oid),
    /// Nothing lies behind it.
    End,
    /// An error in place of what lies behind it: at the end of a table some agents have no other word for it.
    Refused,
    /// No answer: nobody knows what lies behind it.
    NoAnswer,
}

impl Found {
    /// What was answered: an error names the object asked, not the one behind it.
    pub fn of(found: &VarBind) -> Self {
        match found.answer {
            Ok(_) => Self::Object(found.oid.clone()),
            Err(Absent::NoAnswer) => Self::NoAnswer,
            Err(Absent::Refused) => Self::Refused,
            Err(Absent::EndOfMibView | Absent::NoSuchObject | Absent::NoSuchInstance) => Self::End,
        }
    }

    /// The object.
    pub fn object(&self) -> Option<&Oid> {
        if let Self::Object(oid) = self { Some(oid) } else { None }
    }
}

/// A table being learned.
#[derive(Clone, Debug)]
pub struct Table<'a> {
    /// What is read.
    pub walk: &'a Walk,
    /// Its columns, in the order of the walk.
    pub columns: Vec<Column>,
    /// Whether GETBULK brings the cells.
    bulk: bool,
    /// Whether the columns are asked from row to row of the lead.
    follows: bool,
    /// Where columns that stand in for others were looked behind: a row that only they have is found there.
    edges: BTreeSet<Oid>,
    /// It had no more to ask, and nothing has happened to it since.
    rests: bool,
}

/// A column being learned.
#[derive(Clone, Debug)]
pub struct Column {
    /// The column and the prefix of its indexes.
    root: Oid,
    base: Oid,
    /// Where a GETNEXT started, and what it found; an object outside the column is its end.
    probes: Probes,
    /// Nothing unknown lies before this.
    cursor: Oid,
    /// Indexes found, in order.
    pub rows: Vec<Index>,
    /// Indexes that it had the last time, in order.
    known: Vec<Index>,
    /// Nothing lies behind the last row.
    pub ended: bool,
    /// There may be rows that were not found, because a GETNEXT got no answer.
    open: bool,
    /// Whether its own rows are looked for, or those of the lead are asked.
    pub walked: bool,
    rounds: u32,
}

impl<'a> Table<'a> {
    /// Nothing is known yet save the indexes that `known` tells of a column, with its walk's prefix, from the last time. With
    /// `bulk` every column looks for its own rows, as GETBULK gives them anyway.
    pub fn new(walk: &'a Walk, bulk: bool, known: impl Fn(&Oid) -> Vec<Index>) -> Self {
        let columns = walk.columns.iter().enumerate().map(|(n, base)| {
            let column = Column::new(base, &walk.prefix, bulk || n == 0);
            let behind_base = |index: Index| walk.prefix.iter().chain(&index).copied().collect();
            let known = if walk.first_only { Vec::new() } else { known(&column.root) };
            Column { known: known.into_iter().map(behind_base).collect(), ..column }
        });
        Self { walk, columns: columns.collect(), bulk, follows: false, edges: BTreeSet::new(), rests: false }
    }

    /// From now on the columns are asked from each row of the lead for the next: that costs what exact GETs would, and shows a
    /// row that the lead lacks. One of them, the witness, looks behind the last row too.
    pub fn follow_lead(&mut self) {
        self.follows = !self.bulk;
        self.rests = false;
    }

    /// Where GETNEXT shall start next; empty when all is known.
    pub fn starts(&mut self) -> Vec<Oid> {
        let starts = if self.rests { Vec::new() } else { self.starts_unseen() };
        self.rests = starts.is_empty();
        starts
    }

    fn starts_unseen(&self) -> Vec<Oid> {
        let settled = self.is_settled();
        let rows = if settled && self.follows { self.rows() } else { Vec::new() };
        let witness = self.columns.iter().position(|column| !column.walked && column.is_there());
        let starts = self.columns.iter().enumerate().flat_map(|(n, column)| {
            let to_its_end = column.walked || Some(n) == witness;
            column.starts(self.walk, &rows, to_its_end, settled)
        });
        starts.chain(self.edges_unseen()).collect()
    }

    /// Whether the lead has looked at all its rows.
    fn is_settled(&self) -> bool {
        self.columns.iter().find(|column| column.walked && !column.rows.is_empty()).is_some_and(|lead| lead.ended)
    }

    /// Places where a row may lie that only a column has which stands in for another: behind the last row, and between rows
    /// that are not neighbours.
    fn edges_unseen(&self) -> Vec<Oid> {
        if !self.follows || !self.is_settled() {
            return Vec::new();
        }
        let rows = self.rows();
        let is_gap = |n: &usize| rows.get(n + 1).is_none_or(|next| !are_neighbours(rows[*n], next));
        let stand_ins = self.walk.stand_ins.iter().map(|(stand_in, _)| stand_in);
        let is_apart = |stand_in: &&Oid| self.columns.iter().all(|column| column.base != **stand_in);
        let edges = stand_ins.filter(is_apart).flat_map(|stand_in| {
            let before = rows.first().is_some_and(|first| first.last().is_some_and(|last| *last > 1));
            let gaps = (0..rows.len()).filter(is_gap).map(|n| stand_in.join(rows[n]));
            before.then(|| stand_in.join(&self.walk.prefix)).into_iter().chain(gaps)
        });
        edges.filter(|edge| !self.edges.contains(edge)).collect()
    }

    /// Takes what GETNEXTs of all tables found, in the order of their starts, and follows it.
    pub fn take_all(&mut self, told: &[(&Oid, &Found)]) {
        let Some(entry) = self.entry().map(Oid::new) else { return };
        let first = told.partition_point(|(start, _)| **start < entry);
        for (start, found) in told[first..].iter().take_while(|(start, _)| start.is_under(&entry)) {
            self.take(start, found);
        }
        if !self.rests {
            self.advance();
        }
    }

    /// What all columns lie under.
    fn entry(&self) -> Option<&'a [u32]> {
        self.walk.columns.first().and_then(|column| column.arcs().split_last()).map(|(_, entry)| entry)
    }

    /// Takes what a GETNEXT found.
    pub fn take(&mut self, start: &Oid, found: &Found) {
        if self.entry().is_none_or(|entry| !starts_with(start.arcs(), entry)) {
            return;
        }
        self.rests = false;
        for column in self.columns.iter_mut().filter(|column| start.is_under(&column.root)) {
            let is_row = |oid: &Oid| oid.is_under(&column.root) && oid > start && *oid != column.root;
            let found = match found {
                Found::Object(oid) if !is_row(oid) => Found::End,
                found => found.clone(),
            };
            column.probes.set(start, found);
        }
        self.take_edge(start, found);
    }

    /// A row that only a column has which stands in for another: from now on it is a column like the others.
    fn take_edge(&mut self, start: &Oid, found: &Found) {
        let of_stand_in = |(stand_in, _): &&(Oid, Oid)| start.is_under(stand_in);
        let Some((stand_in, _)) = self.walk.stand_ins.iter().find(of_stand_in) else { return };
        if self.columns.iter().any(|column| column.base == *stand_in) {
            return;
        }
        self.edges.insert(start.clone());
        let row = found.object().filter(|oid| *oid > start).and_then(|oid| oid.behind(stand_in));
        let is_new = row.is_some_and(|row| !row.is_empty() && self.rows().iter().all(|known| known.as_slice() != row));
        if is_new {
            self.columns.push(Column::new(stand_in, &self.walk.prefix, true));
        }
    }

    /// Follows the probes; a column whose first row is not the lead's is one of its own, and where the lead is not there
    /// the next column leads.
    pub fn advance(&mut self) {
        for column in &mut self.columns {
            column.rounds += 1;
            column.advance(if self.walk.first_only { 1 } else { ROWS_MAX });
        }
        if self.walk.first_only {
            return;
        }
        let lead = self.columns.iter().find(|column| column.walked && !column.rows.is_empty());
        match lead.and_then(|lead| lead.rows.first()).cloned() {
            Some(first) => {
                for column in self.columns.iter_mut().filter(|column| !column.walked) {
                    column.walked = column.rows.first().is_some_and(|row| *row != first);
                }
            }
            // the lead is not there: an odd device, of which each column is looked at on its own
            None => self.columns.iter_mut().for_each(|column| column.walked |= !column.rows.is_empty()),
        }
        if self.follows && self.is_settled() && self.has_rows_beside_the_lead() {
            self.distrust();
        }
    }

    /// Whether a column has a row that the lead has not.
    fn has_rows_beside_the_lead(&self) -> bool {
        let Some(lead) = self.columns.iter().find(|column| column.walked && !column.rows.is_empty()) else {
            return false;
        };
        let followers = self.columns.iter().filter(|column| !column.walked);
        followers.flat_map(|column| &column.rows).any(|row| lead.rows.binary_search(row).is_err())
    }

    /// Takes what GETBULK told of columns that lie between a start and the object found behind it: that object is the first
    /// behind their own beginning too.
    pub fn pass(&mut self, start: &Oid, found: &Oid) {
        for column in self.columns.iter_mut().filter(|column| *start < column.root && column.root < *found) {
            let first = if found.is_under(&column.root) { Found::Object(found.clone()) } else { Found::End };
            column.probes.set_new(&column.root, first);
        }
    }

    /// What GETBULK shall ask next: from which start how many cells. Columns that lie side by side are one run: what is
    /// too much for one is the beginning of the next. First the rows that are expected, and no more than twice as many
    /// cells, as long as nobody knows how many rows there are; then what the lead's rows say that is left. Only the lead
    /// looks for its end, and so does a column whose rows are not the lead's.
    pub fn wanted(&self) -> Vec<Want> {
        let lead = self.lead();
        let most = if lead.is_none() { 2 * (self.walk.bulk + 1) } else { usize::MAX };
        let mut columns: Vec<(usize, &Column)> = self.columns.iter().enumerate().collect();
        columns.sort_by(|(_, a), (_, b)| a.root.cmp(&b.root));
        let mut runs: Vec<Want> = Vec::new();
        let mut before: Option<&Oid> = None;
        // a row more shows the end of a lead that lies alone; in a run the next column does
        let mut spare = 0;
        for (n, column) in columns {
            let rows = self.rows_wanted(n, lead);
            let goes_on = column.cursor == column.root && self.walk.prefix.is_empty();
            let is_beside = before.take().is_some_and(|before| before.is_right_before(&column.base));
            match runs.last_mut() {
                _ if rows == 0 => continue,
                Some(run) if goes_on && is_beside => {
                    run.cells = most.min(run.cells - spare + rows);
                    spare = 0;
                }
                _ => {
                    spare = usize::from(lead.is_none() && n == 0 && !self.walk.first_only);
                    let (context, start) = (self.walk.context.clone(), column.cursor.clone());
                    runs.push(Want { context, cells: rows + spare, start });
                }
            }
            before = Some(&column.base);
        }
        runs
    }

    /// How many rows of a column are still to be asked.
    fn rows_wanted(&self, n: usize, lead: Option<usize>) -> usize {
        let (column, expect) = (&self.columns[n], self.columns[n].expected(self.walk));
        let known = column.rows.len();
        if column.ended || (self.walk.first_only && known > 0) {
            return 0;
        }
        match lead.map(|lead| &self.columns[lead]) {
            _ if self.walk.first_only => 1,
            None => expect,
            Some(lead_column) if !column.is_like(lead_column) || Some(n) == lead => {
                (expect + 1).checked_sub(known).unwrap_or(known / 2).max(2)
            }
            Some(lead) if lead.ended && column.rows.last() >= lead.rows.last() => 0,
            Some(lead) if lead.ended => lead.rows.len().saturating_sub(known).max(1),
            Some(_) => expect.saturating_sub(known),
        }
    }

    /// Ends the learning by GETBULK: columns that were not looked at to their end have the lead's rows.
    pub fn follow(&mut self) {
        let Some(lead) = self.lead().map(|lead| self.columns[lead].clone()) else { return };
        for column in self.columns.iter_mut().filter(|column| !column.ended && column.is_like(&lead)) {
            column.walked = false;
        }
    }

    /// The column with the most rows, of several one whose end is known, of these the first.
    fn lead(&self) -> Option<usize> {
        let there = self.columns.iter().enumerate().rev().filter(|(_, column)| !column.rows.is_empty());
        there.max_by_key(|(_, column)| (column.rows.len(), column.ended)).map(|(n, _)| n)
    }

    fn rows(&self) -> Vec<&Index> {
        // nearly always the columns have the same rows, or the first of them: then there is nothing to sort
        let longest = self.columns.iter().map(|column| &column.rows).max_by_key(|rows| rows.len());
        let mut rows: Vec<&Index> = longest.into_iter().flatten().collect();
        let others = self.columns.iter().map(|column| &column.rows);
        let others = others.filter(|rows| longest.is_some_and(|longest| !longest.starts_with(rows)));
        let before = rows.len();
        rows.extend(others.flatten());
        if rows.len() > before {
            rows.sort();
            rows.dedup();
        }
        rows.truncate(ROWS_MAX);
        rows
    }

    /// A table without a row has perhaps some in the columns that stand in for others: these are looked at then.
    pub fn promote_stand_ins(&mut self) {
        if self.rows().is_empty() {
            let columns =
                self.walk.stand_ins.iter().map(|(stand_in, _)| Column::new(stand_in, &self.walk.prefix, true));
            self.columns.extend(columns);
            self.rests = false;
        }
    }

    /// Whether a column has rows, or may have some.
    pub fn has(&self, base: &Oid) -> bool {
        self.columns.iter().any(|column| column.base == *base && (!column.rows.is_empty() || column.open))
    }

    /// Cells of the columns that stand in for others, in the rows where the column itself says nothing.
    pub fn stand_ins(&self, says_nothing: impl Fn(&Oid, &[u32]) -> bool) -> Vec<Oid> {
        let rows = self.rows();
        let cells = self.walk.stand_ins.iter().flat_map(|(stand_in, column)| {
            rows.iter().filter(|row| says_nothing(column, row)).map(|row| stand_in.common_join(row))
        });
        cells.collect()
    }

    /// Cells that exact GETs are to bring. Without GETBULK they came by GETNEXT, save those that a lost answer kept back.
    pub fn cells(&self) -> Vec<Oid> {
        self.cells_of(|column| !column.walked && (column.open || (self.bulk && !column.rows.is_empty())))
    }

    /// Cells that the learned rows may have in the columns that are there, when nobody can ask on.
    pub fn cells_in_doubt(&self) -> Vec<Oid> {
        self.cells_of(|column| !column.walked && (column.open || !column.rows.is_empty()))
    }

    fn cells_of(&self, counts: impl Fn(&Column) -> bool) -> Vec<Oid> {
        if self.walk.first_only {
            return Vec::new();
        }
        let rows = self.rows();
        let columns = self.columns.iter().filter(|column| counts(column));
        columns.flat_map(|column| rows.iter().map(|row| column.base.common_join(row))).collect()
    }

    /// What is unknown of it, as it stands: columns that may have rows which were not found, and their cells in the rows
    /// that were. A column that is not looked at on its own has the lead's rows.
    pub fn unknown(&self) -> Vec<Oid> {
        let is_known = |column: &Column| column.ended || (self.walk.first_only && !column.rows.is_empty());
        let lead_is_known = self.lead().is_some_and(|lead| is_known(&self.columns[lead]) && !self.columns[lead].open);
        let follows = |column: &Column| !column.walked && !column.rows.is_empty();
        let is_open = |column: &&Column| column.open || !(is_known(column) || follows(column) && lead_is_known);
        let open: Vec<&Column> = self.columns.iter().filter(is_open).collect();
        if open.is_empty() {
            return Vec::new();
        }
        let rows: BTreeSet<&Index> = self.columns.iter().flat_map(|column| &column.rows).collect();
        open.into_iter()
            .flat_map(|column| std::iter::once(column.base.clone()).chain(rows.iter().map(|row| column.base.join(row))))
            .collect()
    }

    /// A table with holes cannot be trusted to have the lead's rows only: every column looks for its own.
    pub fn distrust(&mut self) {
        self.rests = false;
        for column in self.columns.iter_mut().filter(|column| !column.rows.is_empty()) {
            column.walked = true;
            column.advance(ROWS_MAX);
        }
    }
}

/// Where GETNEXTs started and what they found, in walk order: they are told in that order, so that nearly each is put at
/// the end, and looking through a list costs a fraction of what a tree does.
#[derive(Clone, Debug, Default)]
struct Probes(Vec<(Oid, Found)>);

impl Probes {
    fn place(&self, start: &Oid) -> Result<usize, usize> {
        match self.0.last() {
            Some((last, _)) if last < start => Err(self.0.len()),
            _ => self.0.binary_search_by(|(known, _)| known.cmp(start)),
        }
    }

    fn set(&mut self, start: &Oid, found: Found) {
        match self.place(start) {
            Ok(at) => self.0[at].1 = found,
            Err(at) => self.0.insert(at, (start.clone(), found)),
        }
    }

    /// What was found there before stays.
    fn set_new(&mut self, start: &Oid, found: Found) {
        if let Err(at) = self.place(start) {
            self.0.insert(at, (start.clone(), found));
        }
    }

    fn has(&self, start: &Oid) -> bool {
        self.place(start).is_ok()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those at it too.
    fn up_to(&self, cursor: &Oid) -> &[(Oid, Found)] {
        &self.0[..self.0.partition_point(|(start, _)| start <= cursor)]
    }

    /// Those at it too.
    fn from(&self, cursor: &Oid) -> &[(Oid, Found)] {
        &self.0[self.0.partition_point(|(start, _)| start < cursor)..]
    }
}

impl Column {
    fn new(base: &Oid, prefix: &[u32], walked: bool) -> Self {
        let root = base.join(prefix);
        Self {
            cursor: root.clone(),
            root,
            base: base.clone(),
            probes: Probes::default(),
            rows: Vec::new(),
            known: Vec::new(),
            ended: false,
            open: false,
            walked,
            rounds: 0,
        }
    }

    /// Whether its rows, as far as both are known, are those of another column.
    fn is_like(&self, other: &Self) -> bool {
        self.rows.iter().zip(&other.rows).all(|(own, other)| own == other)
    }

    /// Whether it has rows, as far as is known.
    fn is_there(&self) -> bool {
        !self.rows.is_empty() || (self.probes.is_empty() && !self.known.is_empty())
    }

    /// Rows that GETBULK asks for at once.
    fn expected(&self, walk: &Walk) -> usize {
        if self.known.is_empty() { walk.bulk } else { self.known.len() }
    }

    /// Where GETNEXT shall start: at the beginning; then behind the rows that the table has or had, the last one only
    /// when it looks `to_its_end`; and where nothing is known, at guesses.
    fn starts(&self, walk: &Walk, rows: &[&Index], to_its_end: bool, settled: bool) -> Vec<Oid> {
        let first = self.probes.is_empty();
        if self.ended || (walk.first_only && !first) {
            return Vec::new();
        }
        let mut starts = Vec::new();
        if first || self.walked {
            starts.push(self.cursor.clone());
        }
        if walk.first_only {
            return starts;
        }
        let mut indexes: Vec<&Index> = self.known.iter().chain(rows.iter().copied()).collect();
        if !self.known.is_empty() {
            indexes.sort_unstable();
            indexes.dedup();
        }
        if !to_its_end {
            indexes.pop();
        }
        let behind = indexes.into_iter().map(|index| self.base.common_join(index)).filter(|oid| *oid >= self.cursor);
        let before = starts.len();
        starts.extend(behind);
        if self.walked && !settled && starts.len() == before {
            starts.extend(self.guesses(walk));
        }
        starts.retain(|start| !self.probes.has(start));
        starts.dedup();
        starts
    }

    /// Behind the last row found, numbers counted up.
    fn guesses(&self, walk: &Walk) -> Vec<Oid> {
        let guesses = (walk.expect << self.rounds.min(4)).clamp(1, GUESSES_MAX);
        let (mut index, from) = match self.cursor.behind(&self.base) {
            Some(index) if self.cursor != self.root => match index.split_last() {
                Some((last, stem)) => (stem.to_vec(), last.saturating_add(1)),
                None => (walk.guess.clone(), 1),
            },
            _ => (walk.guess.clone(), 1),
        };
        let mut guess = |last| {
            index.push(last);
            let guess = self.base.common_join(&index);
            index.pop();
            guess
        };
        (from..).take(guesses).map(&mut guess).collect()
    }

    fn advance(&mut self, max: usize) {
        while !self.ended {
            let is_lost = |found: &Found| matches!(found, Found::Refused | Found::NoAnswer);
            let known = |(start, found): &&(Oid, Found)| !is_lost(found) || *start == self.cursor;
            let Some((_, found)) = self.probes.up_to(&self.cursor).iter().rev().find(known) else { return };
            match found {
                Found::End => self.ended = true,
                // nobody looks on: what is not seen is told as not answered
                Found::Object(_) if self.rows.len() >= ROWS_MAX => (self.ended, self.open) = (true, true),
                Found::Object(next) if *next > self.cursor && self.rows.len() < max => {
                    self.cursor = next.clone();
                    self.rows.push(Index::from_slice(next.behind(&self.base).unwrap_or_default()));
                }
                Found::Object(_) => return,
                Found::Refused | Found::NoAnswer => {
                    // what lies right behind cannot be told; what lies behind a later start perhaps can
                    let is_refused = *found == Found::Refused && !self.rows.is_empty();
                    let helps = |found: &Found| found.object().is_some() || !(is_refused || is_lost(found));
                    let later = self.probes.from(&self.cursor).iter().find(|(_, found)| helps(found));
                    let later = later.map(|(start, _)| start.clone());
                    self.open |= !is_refused || later.is_some();
                    match later {
                        Some(start) => self.cursor = start,
                        None => self.ended = true,
                    }
                }
            }
        }
    }
}

/// Whether no row can lie between two of a table.
fn are_neighbours(row: &[u32], next: &[u32]) -> bool {
    match (row.split_last(), next.split_last()) {
        (Some((last, stem)), Some((next, next_stem))) => stem == next_stem && last.checked_add(1) == Some(*next),
        _ => false,
    }
}
