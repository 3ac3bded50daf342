//! Asking a device: who it is, then what the mapping that fits it wants to know, in as few exact requests as possible.
//!
//! First contact: one GET identifies; the next asks first what the device is known by for ever. The rows of all tables are
//! learned by speculative GETNEXT (or GETBULK, where the mapping opts in), and their columns from row to row, which shows
//! rows that the first column lacks; exact GETs fetch the rest. What was learned makes the next reading short: only what can have
//! changed is asked again, and everything when the device seems to be another one or reconfigured. One request at a time;
//! the agent cuts them to size. Whatever was answered before a device falls silent is kept.

mod bulk;
mod mapped;
mod poll;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use meterpost_wire::counters::CounterKey;
use meterpost_wire::reading::{GapReason, Reading};
use tokio::time::Instant;

use crate::identify::{self, Identity, NotPrinter};
use crate::normalise::text;
use crate::plan::{self, Answers, Plan};
use crate::pmd::words::Words;
use crate::pmd::{Choice, Library, Pmd, guard};
use crate::snmp::{Absent, Agent, Answer, Limits, Oid, Unanswered, Value, VarBind, context};
use bulk::{Request, Want};
use mapped::{Manner, mapped};
pub use poll::Learned;
use table::{Found, Index, ROWS_MAX, Table};

/// Rounds of learning one table set; a device that still has more rows then is left at what is known.
const ROUNDS_MAX: usize = 40;
/// Bytes that one reading may cost, both ways; it ends there with what it has.
const BYTES_MAX: u64 = 1024 * 1024;
/// How long one reading may take; it ends there with what it has.
const TIME_MAX: Duration = Duration::from_secs(180);
/// A device that was read.
#[derive(Clone, Debug)]
pub struct DeviceRead {
    /// What it said.
    pub reading: Reading,
    /// What makes the next reading short.
    pub learned: Learned,
    /// Which mapping, and why.
    pub choice: Choice,
    /// Whether everything was asked, or only what can have changed.
    pub full: bool,
}

/// Why there is no reading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// It answers and is no printer.
    #[error("{0}")]
    NotPrinter(NotPrinter),
    /// It does not answer, or not to us.
    #[error("{0}")]
    Unanswered(#[from] Unanswered),
}

/// Reads a device. `learned` is what an earlier reading of this address gave; with it only what can have changed is asked,
/// unless it is no longer true.
pub async fn device<A: Agent>(
    agent: &mut A,
    library: &Library,
    learned: Option<&Learned>,
    address: &str,
    now: Timestamp,
) -> Result<DeviceRead, NotRead> {
    if let Some(learned) = learned
        && let Some(read) = poll::again(agent, library, learned, address, now).await?
    {
        return Ok(read);
    }
    full(agent, library, learned, address, now).await
}

/// Finds out who it is and reads nothing else: an error when it is no printer.
pub async fn identify<A: Agent>(agent: &mut A, library: &Library) -> Result<Identity, NotRead> {
    Asking::new(agent).meet(library).await.map(|(identity, _)| identity)
}

/// Reads everything that the mapping knows, also what did not answer before.
async fn full<A: Agent>(
    agent: &mut A,
    library: &Library,
    learned: Option<&Learned>,
    address: &str,
    now: Timestamp,
) -> Result<DeviceRead, NotRead> {
    let mut asking = Asking::new(agent);
    let (identity, device) = asking.meet(library).await?;
    let choice = library.choose(&identity);
    let pmd = choice.pmd.clone();
    asking.agent.limit(pmd.limits);
    // a device that falls silent now has been met: what it said is kept, as long as that tells who it is
    let before = learned.map(|learned| &learned.answers);
    let silent = asking.ask(&pmd, device, &library.words, before).await.err();
    let trial = match &library.trial {
        Some(trial) if silent.is_none() => asking.try_out(trial, &identity, device, before).await,
        _ => 0,
    };
    let cut_short = silent.is_some();
    // what fell silent only now may be there the next time: nothing is to be concluded from it
    let newly_silent = asking.answers.iter().any(|(context, oid, answer)| {
        matches!(answer, Err(Absent::NoAnswer)) && !learned.is_some_and(|before| before.was_silent(context, oid))
    });
    let full_at = Some(now).filter(|_| !cut_short && !newly_silent);
    let has_weekly = asking.asks_weekly(before);
    let known = (identity, asking.answers);
    let manner = Manner { read_at: now, cut_short, full_at };
    let (mut reading, again) = mapped(&pmd, library, known, address, manner).await;
    keep_key(&mut reading, learned, silent)?;
    settle_weekly(&mut reading, &pmd, has_weekly);
    let learned = again.of_reading(&reading, learned).asked_for(library, trial);
    Ok(DeviceRead { reading, learned, choice, full: true })
}

/// A reading in which some of what keys are made of got no answer must not become another device: it has the key of the
/// device that was `learned` when it is that one. When nothing shows whether it is, there is no reading.
fn keep_key(reading: &mut Reading, learned: Option<&Learned>, silent: Option<Unanswered>) -> Result<(), NotRead> {
    if !is_nobody(reading) {
        return Ok(());
    }
    match (learned.map(|learned| learned.key_for(reading)), silent) {
        (Some(Ok(Some(key))), _) => reading.key = key,
        (_, Some(why)) | (Some(Err(why)), None) => return Err(why.into()),
        // met for the first time, and perhaps never answers it: known by what it does answer
        (Some(Ok(None)) | None, None) => {}
    }
    Ok(())
}

/// Weekly counters are told when they were asked, and where they are absent, that is no gap: see [`Pmd::weekly`].
fn settle_weekly(reading: &mut Reading, pmd: &Pmd, asked: bool) {
    let is_weekly = |key: &CounterKey| pmd.weekly.contains(&format!("counters.{key}"));
    if let Some(counters) = reading.counters.as_mut().filter(|_| !asked && !pmd.weekly.is_empty()) {
        counters.retain(|key, _| !is_weekly(key));
    }
    reading.gaps.retain(|gap| !pmd.weekly.contains(&gap.field));
}

/// Whether a reading cannot say which device it is of: its key would be another one, had everything been answered.
fn is_nobody(reading: &Reading) -> bool {
    let parts = ["identity.serial_number", "identity.uuid", "network.physical_addresses"];
    let is_lost = |field: &str| reading.gaps.iter().any(|gap| gap.field == field && gap.reason == GapReason::NoAnswer);
    let better = ["sn:", "uuid:", "mac:"].iter().position(|kind| reading.key.starts_with(kind)).unwrap_or(parts.len());
    let vendor_lost = better > 0 && is_lost("identity.vendor");
    vendor_lost || parts[..better].iter().any(|field| is_lost(field))
}

/// The same plan in another context, for what the default one has no value of.
fn in_context(plan: &Plan, context: &str, answers: &Answers) -> Plan {
    let missing = |oid: &Oid| answers.value("", oid).is_none();
    let gets = plan.gets.iter().filter(|(named, oid)| named.is_empty() && missing(oid));
    let walks = plan.walks.iter().filter(|walk| {
        walk.context.is_empty() && !walk.columns.iter().any(|column| answers.column("", column).next().is_some())
    });
    Plan {
        key: plan
            .key
            .iter()
            .map(|(_, oid)| (context.to_owned(), oid.clone()))
            .filter(|(_, oid)| missing(oid))
            .collect(),
        gets: gets.map(|(_, oid)| (context.to_owned(), oid.clone())).collect(),
        weekly: BTreeSet::new(),
        walks: walks.map(|walk| plan::Walk { context: context.to_owned(), ..walk.clone() }).collect(),
    }
}

/// The objects that are not `known`, each once, in the order in which they first come. They come in sorted pieces, so sorting
/// them and walking along what is known, which is sorted too, is quicker than to look each one up.
fn missing<'a>(oids: impl Iterator<Item = &'a Oid>, known: &[(Oid, Answer)]) -> Vec<Oid> {
    let mut placed: Vec<(usize, &Oid)> = oids.enumerate().collect();
    placed.sort_by_key(|(_, oid)| *oid);
    placed.dedup_by(|later, earlier| later.1 == earlier.1);
    let mut known = known.iter().map(|(oid, _)| oid).peekable();
    placed.retain(|(_, oid)| {
        while known.next_if(|known| known < oid).is_some() {}
        known.peek() != Some(oid)
    });
    placed.sort_unstable_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, oid)| oid.clone()).collect()
}

/// A device being asked: the agent, what it said so far, and what may yet be spent.
struct Asking<'a, A> {
    agent: &'a mut A,
    answers: Answers,
    ends: Instant,
    bytes: u64,
}

impl<'a, A: Agent> Asking<'a, A> {
    fn new(agent: &'a mut A) -> Self {
        let traffic = agent.traffic();
        let bytes = traffic.bytes_sent + traffic.bytes_received;
        Self { agent, answers: Answers::default(), ends: Instant::now() + TIME_MAX, bytes: bytes + BYTES_MAX }
    }

    /// The first requests: who it is, and the printer's hrDeviceIndex.
    async fn meet(&mut self, library: &Library) -> Result<(Identity, u32), NotRead> {
        self.agent.limit(Limits::default());
        let first = identify::first_request();
        self.get("", &first).await?;
        let mut starts = identify::search(&self.answers);
        let mut device = identify::device_index(&self.answers);
        for _ in 0..ROUNDS_MAX {
            if starts.is_empty() {
                break;
            }
            self.get_next("", &starts).await?;
            starts = identify::search_on(&self.answers, &starts);
            device = identify::device_index(&self.answers);
        }
        if device != 1 {
            self.get("", &identify::of_device(device)).await?;
        }
        let identity = identify::identity(&self.answers, device);
        identify::is_printer(&identity, &self.answers, &library.words).map_err(NotRead::NotPrinter)?;
        Ok((identity, device))
    }

    /// Exact objects that are not known yet.
    async fn get(&mut self, context: &str, oids: &[Oid]) -> Result<(), Unanswered> {
        let oids = missing(oids.iter(), self.answers.within(context));
        let oids: Vec<Oid> = oids.into_iter().filter(|oid| guard::refused(oid, false).is_none()).collect();
        if oids.is_empty() {
            return Ok(());
        }
        self.may_go_on()?;
        let found = self.agent.get(context, &oids).await?;
        self.answers.extend(context, found.into_iter().map(|found| (found.oid, found.answer)));
        self.agent.gone().map_or(Ok(()), Err)
    }

    /// What lies behind these; a start that may not be asked has nothing behind it.
    async fn get_next(&mut self, context: &str, starts: &[Oid]) -> Result<Vec<Found>, Unanswered> {
        let asked: Vec<Oid> = starts.iter().filter(|start| guard::refused(start, true).is_none()).cloned().collect();
        if asked.is_empty() {
            return Ok(vec![Found::End; starts.len()]);
        }
        self.may_go_on()?;
        let found = self.agent.get_next(context, &asked).await?;
        let mut told = found.iter().map(Found::of);
        let ends = starts.iter().map(|start| match guard::refused(start, true) {
            Some(_) => Found::End,
            None => told.next().unwrap_or(Found::NoAnswer),
        });
        let ends = ends.collect();
        self.keep(context, found);
        // what it told is used, also when it is gone: then the next request fails at once
        Ok(ends)
    }

    /// Keeps the values that were found, save those that must not even be seen.
    fn keep(&mut self, context: &str, found: Vec<VarBind>) {
        let may_be_kept = |found: &VarBind| found.answer.is_ok() && guard::refused(&found.oid, false).is_none();
        let kept = found.into_iter().filter(may_be_kept).map(|found| (found.oid, found.answer));
        self.answers.extend(context, kept);
    }

    fn may_go_on(&self) -> Result<(), Unanswered> {
        let traffic = self.agent.traffic();
        let spent = traffic.bytes_sent + traffic.bytes_received >= self.bytes || Instant::now() >= self.ends;
        if spent { Err(Unanswered::Silent) } else { Ok(()) }
    }

    /// Whether a full reading asks also what need not be known each time: not at the first visit, which costs most.
    fn asks_weekly(&self, before: Option<&Answers>) -> bool {
        before.is_some() || self.agent.is_free()
    }

    /// Everything that a mapping wants to know, in its second context too.
    async fn ask(&mut self, pmd: &Pmd, device: u32, words: &Words, before: Option<&Answers>) -> Result<(), Unanswered> {
        let mut plan = plan::plan(pmd, device);
        if !plan.weekly.is_empty() && self.asks_weekly(before) {
            let plan = Arc::make_mut(&mut plan);
            plan.gets.append(&mut plan.weekly);
        }
        self.execute(&plan, pmd.limits, words, before).await?;
        let Some(context) = &pmd.context else { return Ok(()) };
        let there = in_context(&plan, context, &self.answers);
        self.execute(&there, pmd.limits, words, before).await
    }

    /// What a pack that is being tried wants to know besides; its version when all of it was asked. Its silence costs the
    /// reading nothing: everything for that has been answered.
    async fn try_out(&mut self, trial: &Library, identity: &Identity, device: u32, before: Option<&Answers>) -> u64 {
        let (pmd, plain) = (trial.choose(identity).pmd, self.answers.clone());
        let asked = self.ask(&pmd, device, &trial.words, before).await;
        // what fell silent is no gap of this reading, unless it was silent without the trial
        self.answers.forget_silent();
        for (context, oid, _) in plain.iter().filter(|(_, _, answer)| matches!(answer, Err(Absent::NoAnswer))) {
            self.answers.leave_open(context, [oid.clone()]);
        }
        if asked.is_ok() { trial.pack } else { 0 }
    }

    /// Does what a plan says. What it could not ask, because the device fell silent, is as good as not answered.
    /// The tables' rows are looked for from those that were there `before`.
    async fn execute(
        &mut self,
        plan: &Plan,
        limits: Limits,
        words: &Words,
        before: Option<&Answers>,
    ) -> Result<(), Unanswered> {
        let indexes = |context: &str, column: &Oid| -> Vec<Index> {
            let cells = before.into_iter().flat_map(|before| before.column(context, column));
            cells
                .filter(|(index, _)| !index.is_empty())
                .map(|(index, _)| Index::from_slice(index))
                .take(ROWS_MAX)
                .collect()
        };
        let table = |walk| Table::new(walk, limits.bulk, |column| indexes(&walk.context, column));
        let mut tables: Vec<Table> = plan.walks.iter().map(table).collect();
        let done = match self.learn_and_fetch(plan, &mut tables, limits).await {
            Ok(()) => self.fetch_stand_ins(&tables, words).await,
            silent => silent,
        };
        for table in &tables {
            let mut unasked = if done.is_err() { table.cells_in_doubt() } else { Vec::new() };
            unasked.extend(table.stand_ins(|_, _| done.is_err()));
            self.answers.leave_open(&table.walk.context, table.unknown().into_iter().chain(unasked));
        }
        if done.is_err() {
            self.leave_open(&plan.gets.iter().cloned().collect::<Vec<_>>());
        }
        done
    }

    /// Learns rows, then fetches.
    async fn learn_and_fetch(
        &mut self,
        plan: &Plan,
        tables: &mut [Table<'_>],
        limits: Limits,
    ) -> Result<(), Unanswered> {
        if !limits.bulk {
            self.fetch_key(plan, limits).await?; // by GETBULK all is asked in seven requests, and this is in the last
        } else {
            let learned = self.learn_by_bulk(tables, limits.varbinds_max).await;
            tables.iter_mut().for_each(Table::follow);
            learned?;
        }
        self.learn(tables).await?;
        tables.iter_mut().for_each(Table::promote_stand_ins);
        self.learn(tables).await?;
        tables.iter_mut().for_each(Table::follow_lead);
        self.learn(tables).await?;
        let cells: Vec<Vec<Oid>> = tables.iter().map(Table::cells).collect();
        let gets = plan.gets.iter().map(|(context, oid)| (context.as_str(), oid.clone()));
        let of_tables = tables.iter().zip(&cells).flat_map(|(table, cells)| {
            let alone = table.stand_ins(|column, _| !table.has(column));
            cells.iter().cloned().chain(alone).map(|oid| (table.walk.context.as_str(), oid))
        });
        self.fetch(gets.chain(of_tables)).await?;
        for (table, cells) in tables.iter_mut().zip(cells) {
            if self.has_holes(&table.walk.context, &cells) {
                table.distrust();
            }
        }
        self.learn(tables).await
    }

    /// What the device's key is made of, when the first request did not tell it, filled up to one request. From the end: the
    /// first objects of a maker's tree may come by themselves, when GETNEXT looks for the end of the last table before it.
    async fn fetch_key(&mut self, plan: &Plan, limits: Limits) -> Result<(), Unanswered> {
        let is_new = |(context, oid): &&(String, Oid)| self.answers.get(context, oid).is_none();
        let mut wanted: Vec<(String, Oid)> = plan.key.iter().filter(is_new).cloned().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let is_other = |object: &&(String, Oid)| object.0.is_empty() && !plan.key.contains(object);
        let room = limits.varbinds_max.saturating_sub(wanted.len());
        wanted.extend(plan.gets.iter().rev().filter(is_new).filter(is_other).take(room).cloned());
        self.fetch(wanted.iter().map(|(context, oid)| (context.as_str(), oid.clone()))).await
    }

    /// Whether some of these objects are not there.
    fn has_holes(&self, context: &str, cells: &[Oid]) -> bool {
        let absent = |answer: &Answer| matches!(answer, Err(Absent::NoSuchInstance));
        let absent = self.answers.within(context).iter().filter(|(_, answer)| absent(answer));
        let absent: Vec<&Oid> = absent.map(|(oid, _)| oid).collect();
        !absent.is_empty() && cells.iter().any(|cell| absent.binary_search(&cell).is_ok())
    }

    /// Second choices, where the first one turned out to say nothing.
    async fn fetch_stand_ins(&mut self, tables: &[Table<'_>], words: &Words) -> Result<(), Unanswered> {
        let mut wanted = Vec::new();
        for table in tables {
            let context = &table.walk.context;
            let says_nothing = |column: &Oid, row: &[u32]| match self.answers.cell(context, column.arcs(), row) {
                Some((_, Ok(Value::Octets(bytes)))) => {
                    words.find("placeholders", &text::clean(&text::decode(bytes, None, None))).is_some()
                }
                Some((_, Ok(_))) => false,
                Some((_, Err(_))) | None => true,
            };
            wanted.extend(table.stand_ins(says_nothing).into_iter().map(|oid| (context.as_str(), oid)));
        }
        self.fetch(wanted).await
    }

    /// Objects that were not asked, because the device fell silent.
    fn leave_open(&mut self, unasked: &[(String, Oid)]) {
        let contexts: BTreeSet<&String> = unasked.iter().map(|(context, _)| context).collect();
        for context in contexts {
            let of_context = unasked.iter().filter(|(of, _)| of == context).map(|(_, oid)| oid.clone());
            self.answers.leave_open(context, of_context);
        }
    }

    /// Exact objects, each with its context.
    async fn fetch<'b>(&mut self, wanted: impl IntoIterator<Item = (&'b str, Oid)>) -> Result<(), Unanswered> {
        let mut by_context: Vec<(&str, Vec<Oid>)> = Vec::new();
        for (named, oid) in wanted {
            match by_context.iter_mut().find(|(context, _)| context::same(context, named)) {
                Some((_, oids)) => oids.push(oid),
                None => by_context.push((named, vec![oid])),
            }
        }
        by_context.sort_by(|a, b| context::order(a.0, b.0));
        for (context, oids) in by_context {
            self.get(context, &oids).await?;
        }
        Ok(())
    }

    /// Rows by GETNEXT, all tables in the same requests.
    async fn learn(&mut self, tables: &mut [Table<'_>]) -> Result<(), Unanswered> {
        let mut contexts: Vec<&str> = tables.iter().map(|table| table.walk.context.as_str()).collect();
        contexts.sort_by(|a, b| context::order(a, b));
        contexts.dedup_by(|a, b| context::same(a, b));
        for _ in 0..ROUNDS_MAX {
            let mut asked = false;
            for &context in &contexts {
                let of_context = |table: &&mut Table| context::same(&table.walk.context, context);
                let starts: Vec<Oid> = tables.iter_mut().filter(of_context).flat_map(|table| table.starts()).collect();
                if starts.is_empty() {
                    continue;
                }
                asked = true;
                let ends = self.get_next(context, &starts).await?;
                let mut told: Vec<(&Oid, &Found)> = starts.iter().zip(&ends).collect();
                told.sort_by_key(|(start, _)| *start);
                for table in tables.iter_mut().filter(of_context) {
                    table.take_all(&told);
                }
            }
            if !asked {
                break;
            }
        }
        Ok(())
    }

    /// Rows by GETBULK.
    async fn learn_by_bulk(&mut self, tables: &mut [Table<'_>], starts_max: usize) -> Result<(), Unanswered> {
        for _ in 0..ROUNDS_MAX {
            let mut wants: Vec<Want> = tables.iter().flat_map(Table::wanted).collect();
            wants.retain(|want| guard::refused(&want.start, true).is_none());
            let requests = bulk::pack(wants, starts_max);
            if requests.is_empty() {
                return Ok(());
            }
            for request in &requests {
                if let Err(silent) = self.bulk(request, tables).await {
                    tables.iter_mut().for_each(Table::advance);
                    return Err(silent);
                }
            }
            tables.iter_mut().for_each(Table::advance);
        }
        Ok(())
    }

    async fn bulk(&mut self, request: &Request, tables: &mut [Table<'_>]) -> Result<(), Unanswered> {
        self.may_go_on()?;
        let Request { context, starts, single, repetitions } = request;
        let repetitions = u16::try_from(*repetitions).unwrap_or(u16::MAX);
        let found = self.agent.get_bulk(context, starts, *single, repetitions).await?;
        let mut at = starts.clone();
        for (n, found) in found.iter().enumerate() {
            let Some(start) = at.get_mut(request.start_of(n)) else { break };
            let found = Found::of(found);
            for table in tables.iter_mut().filter(|table| context::same(&table.walk.context, context)) {
                table.take(start, &found);
                found.object().into_iter().for_each(|oid| table.pass(start, oid));
            }
            if let Found::Object(oid) = found {
                *start = oid;
            }
        }
        self.keep(context, found);
        Ok(())
    }
}
