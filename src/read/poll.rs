//! Reading a known device again: only what can have changed, and the check that it is still the same device.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use meterpost_wire::Reading;
use serde::{Deserialize, Serialize};

use super::mapped::{Manner, mapped};
use super::table::{Found, ROWS_MAX};
use super::{Asking, DeviceRead, NotRead, keep_key, settle_weekly};
use crate::identify::{self, Identity};
use crate::normalise::Winner;
use crate::plan::{self, Answers, Walk, answers};
use crate::pmd::{Library, Pmd};
use crate::snmp::{Absent, Agent, Oid, Unanswered, Value, context};

/// After this long everything is read again, whatever the device says.
const FULL_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Objects that had no value and columns that may have got rows, of which so many each are looked at again in every short
/// reading, one behind the other: as many as have room in the requests that are made anyway.
const RECHECKS_MAX: usize = 5;
/// Places in one summed column at which a row may come in between; those behind them wait for the weekly reading.
const GAPS_MAX: usize = 25;
/// Fields that a device's key is made of, the best one first.
const PROOFS: [&str; 3] = ["identity.serial_number", "identity.uuid", "network.physical_addresses"];
/// prtGeneralConfigChanges, behind it the device index.
const CONFIG_CHANGES: [u32; 11] = [1, 3, 6, 1, 2, 1, 43, 5, 1, 1, 1];

/// What a reading taught about a device. Holds its answers: to be stored sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// The mapping that was used.
    pub pmd: String,
    /// The key by which the device was told.
    #[serde(default)]
    key: String,
    /// Its UUID and MACs, which tell it from another one when what the key is made of gets no answer.
    #[serde(default)]
    marks: Vec<String>,
    /// Short readings since the full one: which objects are looked at again.
    #[serde(default)]
    polls: usize,
    /// hrDeviceIndex.
    pub device: u32,
    /// When everything was last read and answered; none when something was lost, and then the next reading asks it all.
    pub full_at: Option<Timestamp>,
    /// Objects whose values change, with their context.
    #[serde(with = "answers::named")]
    changing: Vec<(String, Oid)>,
    /// The objects that say which device it is: those of its serial number, else of its UUID, else of its first MAC.
    #[serde(with = "answers::named")]
    proofs: Vec<(String, Oid)>,
    /// Everything as last answered.
    pub answers: Answers,
    /// Which mappings asked: others may ask for more.
    #[serde(default)]
    library: String,
    /// The pack that was being tried, when everything was asked for it too; 0 is none.
    #[serde(default)]
    trial: u64,
}

impl Learned {
    /// Takes what a full reading gave.
    pub(super) fn of(
        pmd: &Pmd,
        identity: &Identity,
        answers: Answers,
        winners: &[Winner],
        full_at: Option<Timestamp>,
    ) -> Self {
        let mut changing: Vec<(&str, &Oid)> = Vec::new();
        let mut proofs: [Vec<(String, Oid)>; PROOFS.len()] = Default::default();
        for winner in winners {
            let proof = PROOFS.iter().position(|proof| winner.section.is_none() && *proof == winner.name);
            let is_weekly = winner.section.is_none() && pmd.weekly.contains(&*winner.name);
            let is_changing =
                (changes(winner) && !is_weekly) || (winner.section.is_none() && is_checked(pmd, &winner.name));
            for oid in winner.oids.iter().filter(|_| proof.is_some() || is_changing) {
                let context = context_of(&answers, oid);
                if let Some(proof) = proof {
                    proofs[proof].push((context.to_owned(), oid.clone()));
                }
                if is_changing {
                    changing.push((context, oid));
                }
            }
        }
        changing.sort_unstable_by(|a, b| context::order(a.0, b.0).then_with(|| a.1.cmp(b.1)));
        changing.dedup_by(|a, b| a.1 == b.1 && context::same(a.0, b.0));
        let changing = changing.into_iter().map(|(context, oid)| (context.to_owned(), oid.clone())).collect();
        proofs[PROOFS.len() - 1].truncate(1); // the key is made of the first MAC alone
        Self {
            pmd: pmd.name.to_string(),
            key: String::new(),
            marks: Vec::new(),
            polls: 0,
            device: identity.device,
            full_at,
            changing,
            proofs: proofs.into_iter().find(|objects| !objects.is_empty()).unwrap_or_default(),
            answers,
            library: String::new(),
            trial: 0,
        }
    }

    /// The same, with what asked: these mappings, and the pack of this version that was being tried.
    pub(super) fn asked_for(self, library: &Library, trial: u64) -> Self {
        Self { library: library.stamp(), trial, ..self }
    }

    /// Whether it was these mappings that asked.
    pub fn is_by(&self, library: &Library) -> bool {
        self.library == library.stamp()
    }

    /// Whether these mappings were being tried, and all was asked that they want to know.
    pub fn tried(&self, library: &Library) -> bool {
        self.trial != 0 && self.trial == library.pack
    }

    /// The same, with who was read: by its key, and by what else tells it from others, or did before.
    pub(super) fn of_reading(self, reading: &Reading, before: Option<&Self>) -> Self {
        let mut marks = marks(reading);
        if let Some(before) = before.filter(|before| marks.is_empty() && before.key == reading.key) {
            marks.clone_from(&before.marks);
        }
        Self { key: reading.key.clone(), marks, ..self }
    }

    /// The key of the device that was learned, for a reading in which some of what keys are made of got no answer: when it
    /// shows the same UUID or MAC, it is that device. An error when nothing shows which one it is; none when it is another.
    pub(super) fn key_for(&self, reading: &Reading) -> Result<Option<String>, Unanswered> {
        let own = marks(reading);
        if self.key == reading.key || own.iter().any(|mark| self.marks.contains(mark)) {
            return Ok(Some(self.key.clone()));
        }
        if own.is_empty() || self.marks.is_empty() { Err(Unanswered::Silent) } else { Ok(None) }
    }

    /// Whether an object was as silent then as now: one that is twice in a row is what the device never answers.
    pub(super) fn was_silent(&self, context: &str, oid: &Oid) -> bool {
        matches!(self.answers.get(context, oid), Some(Err(Absent::NoAnswer)))
    }
}

/// What beside its serial number tells a device from others.
fn marks(reading: &Reading) -> Vec<String> {
    let uuid = reading.identity.iter().flat_map(|identity| &identity.uuid);
    let macs = reading.network.iter().flat_map(|network| &network.physical_addresses);
    uuid.chain(macs).cloned().collect()
}

/// Whether a value changes from reading to reading; names, types and capacities do not, and are checked again by the
/// weekly full reading.
fn changes(winner: &Winner) -> bool {
    let name = &*winner.name;
    let column = name.rsplit('.').next().unwrap_or_default();
    matches!(column, "level" | "percent" | "impressions_remaining" | "impressions_since_installed")
        || match winner.section {
            None => name.starts_with("counters.") || name.starts_with("status."),
            Some(section) => section == "alerts" || (section == "covers" && column == "status"),
        }
}

/// Whether a counter is checked against it: an old part beside a new total would make both suspect.
fn is_checked(pmd: &Pmd, field: &str) -> bool {
    pmd.checks.iter().any(|check| check.parts.iter().chain(&check.optional).any(|part| part == field))
}

fn context_of<'a>(answers: &'a Answers, oid: &Oid) -> &'a str {
    // Nearly always; looking through all answers for each object costs a tenth of a reading's CPU.
    if answers.value("", oid).is_some() {
        return "";
    }
    let named = answers.iter().find(|(_, known, answer)| *known == oid && answer.is_ok());
    named.map(|(context, ..)| context).unwrap_or_default()
}

/// Reads what can have changed. `None` when it is no longer the device that was learned: all must be read. A device that
/// falls silent meanwhile keeps what it answered; nothing from before stands in for what it did not.
pub(super) async fn again<A: Agent>(
    agent: &mut A,
    library: &Library,
    learned: &Learned,
    address: &str,
    now: Timestamp,
) -> Result<Option<DeviceRead>, NotRead> {
    let Some(pmd) = library.get(&learned.pmd).cloned() else { return Ok(None) };
    let Some(full_at) = learned.full_at else { return Ok(None) };
    if !learned.is_by(library) || library.trial.as_ref().is_some_and(|trial| !learned.tried(trial)) {
        return Ok(None);
    }
    if now.duration_since(full_at) >= FULL_AFTER || now < full_at {
        return Ok(None);
    }
    agent.limit(pmd.limits);
    let mut asking = Asking::new(agent);
    let alerts = alert_tables(&pmd, learned);
    let sums = sums(&pmd, learned);
    let config_changes = Oid::new(&CONFIG_CHANGES).join(&[learned.device]);
    let is_known = |oid: &Oid| learned.answers.value("", oid).is_some();
    let mut wanted: Vec<(String, Oid)> = vec![(String::new(), identify::up_time())];
    wanted.extend(learned.proofs.iter().cloned());
    wanted.extend(Some((String::new(), config_changes.clone())).filter(|(_, oid)| is_known(oid)));
    // the cells of known alerts come with the rest, as if nothing changed; GETNEXT tells whether it did, and brings a column
    let comes_by_itself = |(context, oid): &&(String, Oid)| alerts.iter().any(|table| table.leads_to(context, oid));
    wanted.extend(learned.changing.iter().filter(|object| !comes_by_itself(object)).cloned());
    let asked_before = |(context, oid): &(String, Oid)| learned.answers.get(context, oid).is_some();
    wanted.extend(plan::terms(&pmd, learned.device).into_iter().filter(asked_before));
    let rest = Rest::of(&pmd, learned, &wanted);
    wanted.extend(rest.objects.iter().cloned());
    let mut silent = asking.fetch(wanted.iter().map(|(context, oid)| (context.as_str(), oid.clone()))).await.err();
    if silent.is_none() {
        silent = find_rows(&mut asking, &alerts, &sums, &rest).await.err();
    }
    let mut fresh = asking.answers;
    let is_proven = |(context, oid): &(String, Oid)| fresh.value(context, oid).is_some();
    let is_proven = learned.proofs.iter().all(is_proven);
    if let Some(why) = silent {
        if !is_proven || fresh.value("", &identify::up_time()).is_none() {
            return Err(why.into());
        }
        for (context, oid) in wanted {
            fresh.leave_open(&context, [oid]);
        }
        for table in &alerts {
            fresh.leave_open(&table.walk.context, table.walk.columns.iter().cloned());
        }
        for sum in &sums {
            fresh.leave_open(&sum.context, [sum.column.clone()]);
        }
    }
    let is_changed = !is_proven
        || is_another(learned, &fresh, &config_changes, &alerts)
        || sums.iter().any(|sum| sum.has_grown(&fresh))
        || rest.has_appeared(learned, &fresh);
    if is_changed {
        return match silent {
            Some(why) => Err(why.into()), // it cannot be read in full now
            None => Ok(None),
        };
    }
    let cut_short = silent.is_some();
    let lost = cut_short || fresh.has_silent();
    let mut answers = learned.answers.clone();
    alerts.iter().flat_map(|table| &table.walk.columns).for_each(|column| answers.forget(column));
    answers.overwrite(fresh);
    let identity = identify::identity(&answers, learned.device);
    let choice = library.choose(&identity);
    if choice.pmd.name != pmd.name {
        return Ok(None);
    }
    let manner = Manner { read_at: now, cut_short, full_at: Some(full_at).filter(|_| !lost) };
    let (mut reading, again) = mapped(&pmd, library, (identity, answers), address, manner).await;
    keep_key(&mut reading, Some(learned), silent)?;
    // not asked, so not told again: they come with the weekly full reading
    reading.capabilities = None;
    reading.gaps.retain(|gap| !gap.field.starts_with("capabilities."));
    settle_weekly(&mut reading, &pmd, false);
    let again = again.of_reading(&reading, Some(learned)).asked_for(library, learned.trial);
    let learned = Learned { polls: learned.polls + 1, ..again };
    Ok(Some(DeviceRead { reading, learned, choice, full: false }))
}

/// The alert table in one context.
struct AlertTable {
    walk: Walk,
    /// The column by which its rows are found: the one that had most of them. All that make a row when there was none.
    leads: Vec<Oid>,
    /// The rows that were known.
    known: Vec<Vec<u32>>,
}

impl AlertTable {
    /// Whether looking for rows brings an object.
    fn leads_to(&self, context: &str, oid: &Oid) -> bool {
        self.walk.context == context && self.leads.iter().any(|lead| oid.is_under(lead))
    }
}

/// The alert tables, in the mapping's second context too when the device has that.
fn alert_tables(pmd: &Pmd, learned: &Learned) -> Vec<AlertTable> {
    let plan = plan::plan(pmd, learned.device);
    let sets = pmd.sets.iter().filter(|set| set.section == "alerts");
    let row_columns: Vec<&Oid> = sets.flat_map(|set| &set.rows).collect();
    let makes_rows = |column: &&Oid| row_columns.contains(column);
    let mut walks: Vec<Walk> =
        plan.walks.iter().filter(|walk| walk.columns.iter().any(|column| makes_rows(&column))).cloned().collect();
    let is_there = |context: &&str| learned.answers.iter().any(|(of, _, answer)| of == *context && answer.is_ok());
    if let Some(context) = pmd.context.as_deref().filter(is_there) {
        let again = walks.iter().map(|walk| Walk { context: context.to_owned(), ..walk.clone() });
        walks.extend(again.collect::<Vec<_>>());
    }
    let table = |walk: Walk| {
        let rows_of = |column: &Oid| learned.answers.column(&walk.context, column).count();
        let columns = walk.columns.iter().filter(makes_rows);
        let most = columns.clone().rev().max_by_key(|column| rows_of(column)).filter(|column| rows_of(column) > 0);
        let known = most.iter().flat_map(|lead| learned.answers.column(&walk.context, lead));
        let known = known.map(|(index, _)| index.to_vec()).collect();
        let leads = most.map_or_else(|| columns.cloned().collect(), |lead| vec![lead.clone()]);
        AlertTable { leads, known, walk }
    };
    walks.into_iter().map(table).collect()
}

/// A summed column: a row more belongs to the sum too.
struct Sum {
    context: String,
    column: Oid,
    /// The column with what its indexes begin with.
    root: Oid,
    /// The rows that are known.
    known: Vec<Oid>,
    /// Behind these a row may come: the last one, and those whose number is not followed by the next one's.
    starts: Vec<Oid>,
}

impl Sum {
    fn has_grown(&self, answers: &Answers) -> bool {
        let rows = answers.column(&self.context, &self.root).map(|(index, _)| self.root.join(index));
        rows.into_iter().any(|row| row != self.root && self.known.binary_search(&row).is_err())
    }
}

fn sums(pmd: &Pmd, learned: &Learned) -> Vec<Sum> {
    let sum = |(context, column, root): (String, Oid, Oid)| {
        let rows = learned.answers.column(&context, &root).filter(|(index, _)| !index.is_empty());
        let known: Vec<Oid> = rows.map(|(index, _)| root.join(index)).collect();
        let is_first = |row: &Oid| row.behind(&root).is_some_and(|index| index.iter().all(|arc| *arc <= 1));
        let before = known.first().is_none_or(|first| !is_first(first)).then(|| root.clone());
        let is_gap = |n: &usize| known.get(n + 1).is_none_or(|next| !known[*n].is_right_before(next));
        let mut starts: Vec<Oid> =
            before.into_iter().chain((0..known.len()).filter(is_gap).map(|n| known[n].clone())).collect();
        if let Some(last) = starts.pop() {
            starts.truncate(GAPS_MAX - 1);
            starts.push(last);
        }
        Sum { context, column, root, known, starts }
    };
    plan::summed(pmd, learned.device).into_iter().map(sum).collect()
}

/// What had no value when all was asked, and would be read if it had one now: some of it is looked at in every short reading,
/// so that a counter which appears later is not hidden until the weekly one.
struct Rest {
    objects: Vec<(String, Oid)>,
    /// Behind these a counter's column had no row, each with its context and the column.
    starts: Vec<(String, Oid, Oid)>,
}

impl Rest {
    /// This reading's part. It fills the last request of what is `wanted` anyway.
    fn of(pmd: &Pmd, learned: &Learned, wanted: &[(String, Oid)]) -> Self {
        let room = wanted.len().next_multiple_of(pmd.limits.varbinds_max) - wanted.len();
        let (objects, columns) = plan::counted(pmd, learned.device);
        let is_blank = |(context, oid): &(String, Oid)| match learned.answers.get(context, oid) {
            Some(Ok(value)) => value.as_i64() == Some(0),
            Some(Err(Absent::NoSuchObject | Absent::NoSuchInstance)) => true,
            Some(Err(_)) | None => false, // one that never answers is dear: it is asked once a week
        };
        let objects: Vec<(String, Oid)> =
            objects.into_iter().filter(|object| is_blank(object) && !wanted.contains(object)).collect();
        let start = |((context, column), is_chosen): ((String, Oid), bool)| {
            let last = learned.answers.column(&context, &column).last().map(|(index, _)| column.join(index));
            // of a column of which any row does, the others are not known and nobody misses them
            let start = if is_chosen { last.or(Some(column.clone())) } else { last.is_none().then(|| column.clone()) };
            Some((context, column, start?))
        };
        let starts: Vec<(String, Oid, Oid)> = columns.into_iter().filter_map(start).collect();
        Self { objects: turn(&objects, learned.polls, room), starts: turn(&starts, learned.polls, RECHECKS_MAX) }
    }

    fn has_appeared(&self, learned: &Learned, fresh: &Answers) -> bool {
        let is_new = |(context, oid): &(String, Oid)| {
            fresh.value(context, oid).is_some_and(|value| learned.answers.value(context, oid) != Some(value))
        };
        let has_row = |(context, column, start): &(String, Oid, Oid)| {
            fresh.column(context, column).any(|(index, _)| column.join(index) > *start)
        };
        self.objects.iter().any(is_new) || self.starts.iter().any(has_row)
    }
}

/// The `n`th part of a list, of [`RECHECKS_MAX`] at most, round and round.
fn turn<T: Clone>(list: &[T], n: usize, most: usize) -> Vec<T> {
    let parts = list.chunks(most.clamp(1, RECHECKS_MAX));
    let count = parts.len().max(1);
    if most == 0 { Vec::new() } else { parts.into_iter().nth(n % count).unwrap_or_default().to_vec() }
}

/// Alert rows: GETNEXT from the column and from each known row finds them all in one request when nothing changed. The same
/// request looks for new rows of what is summed, and for what had none.
async fn find_rows<A: Agent>(
    asking: &mut Asking<'_, A>,
    alerts: &[AlertTable],
    sums: &[Sum],
    rest: &Rest,
) -> Result<(), Unanswered> {
    let of_alerts = alerts.iter().map(|table| &*table.walk.context);
    let of_rest = rest.starts.iter().map(|(context, ..)| &**context);
    let contexts: BTreeSet<&str> = of_alerts.chain(sums.iter().map(|sum| &*sum.context)).chain(of_rest).collect();
    for context in contexts {
        let mut others: Vec<(&Oid, Option<&Sum>)> = Vec::new();
        for sum in sums.iter().filter(|sum| sum.context == context) {
            others.extend(sum.starts.iter().map(|start| (start, Some(sum))));
        }
        let here = rest.starts.iter().filter(|(of, ..)| of == context);
        others.extend(here.map(|(.., start)| (start, None)));
        let tables: Vec<&AlertTable> = alerts.iter().filter(|table| table.walk.context == context).collect();
        let known = |table: &AlertTable| -> Vec<Oid> {
            let rows = |lead: &Oid| table.known.iter().map(|row| lead.join(row)).collect::<Vec<_>>();
            table.leads.iter().flat_map(|lead| std::iter::once(lead.clone()).chain(rows(lead))).collect()
        };
        let mut starts: Vec<Oid> = tables.iter().flat_map(|table| known(table)).collect();
        let mut asked = BTreeSet::new();
        let mut rows: BTreeSet<Oid> = BTreeSet::new();
        while !(starts.is_empty() && others.is_empty()) && rows.len() < ROWS_MAX {
            let all: Vec<Oid> = starts.iter().chain(others.iter().map(|(start, _)| *start)).cloned().collect();
            let found = asking.get_next(context, &all).await?;
            let (of_alerts, of_others) = found.split_at(starts.len());
            for (start, _) in starts.iter().zip(of_alerts).filter(|(_, found)| **found == Found::NoAnswer) {
                for table in tables.iter().filter(|table| table.leads_to(context, start) || table.leads.contains(start))
                {
                    asking.answers.leave_open(context, table.leads.iter().cloned());
                    rows.extend(known(table).into_iter().filter(|oid| !table.leads.contains(oid)));
                }
            }
            for ((_, sum), _) in others.drain(..).zip(of_others).filter(|(_, found)| **found == Found::NoAnswer) {
                asking.answers.leave_open(context, sum.iter().map(|sum| sum.column.clone()));
            }
            asked.extend(starts.drain(..));
            let leads = tables.iter().flat_map(|table| &table.leads);
            let is_row = |oid: &&Oid| leads.clone().any(|lead| oid.is_under(lead) && *oid != lead);
            rows.extend(of_alerts.iter().filter_map(Found::object).filter(is_row).cloned());
            starts.extend(rows.difference(&asked).cloned());
        }
        for table in tables {
            let index = |row: &Oid| table.leads.iter().find_map(|lead| row.behind(lead).map(<[u32]>::to_vec));
            let indexes: BTreeSet<Vec<u32>> = rows.iter().filter_map(index).filter(|index| !index.is_empty()).collect();
            let columns = table.walk.columns.iter();
            let cells: Vec<Oid> = columns.flat_map(|column| indexes.iter().map(|index| column.join(index))).collect();
            asking.get(context, &cells).await?;
        }
    }
    Ok(())
}

/// Another device, a reconfigured one, one that lost an object, or one whose supply was changed.
fn is_another(learned: &Learned, fresh: &Answers, config_changes: &Oid, alerts: &[AlertTable]) -> bool {
    let differs = |context: &str, oid: &Oid| {
        let now = fresh.value(context, oid);
        now.is_some() && now != learned.answers.value(context, oid)
    };
    if learned.proofs.iter().any(|(context, oid)| differs(context, oid)) || differs("", config_changes) {
        return true;
    }
    let supply_level = Oid::new(&[1, 3, 6, 1, 2, 1, 43, 11, 1, 1, 9]);
    learned.changing.iter().any(|(context, oid)| {
        let is_alert = alerts.iter().flat_map(|table| &table.walk.columns).any(|column| oid.is_under(column));
        let lost = matches!(fresh.get(context, oid), Some(Err(Absent::NoSuchInstance | Absent::NoSuchObject)));
        let level = |answers: &Answers| answers.value(context, oid).and_then(Value::as_i64);
        let rose = oid.is_under(&supply_level) && level(fresh) > level(&learned.answers);
        !is_alert && (lost || rose)
    })
}
