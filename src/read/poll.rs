//! Reading a known device again: only what can have changed, and the check that it is still the same device.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::mapped::{Manner, mapped};
use super::table::{Found, ROWS_MAX};
use super::{Asking, DeviceRead, NotRead};
use crate::identify::{self, Identity};
use crate::normalise::Winner;
use crate::plan::{self, Answers, Walk, answers};
use crate::pmd::{Library, Pmd};
use crate::snmp::{Absent, Agent, Oid, Unanswered, Value};

/// After this long everything is read again, whatever the device says.
const FULL_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);
/// prtAlertSeverityLevel: the column by which alerts are found again.
const ALERT_SEVERITY: [u32; 11] = [1, 3, 6, 1, 2, 1, 43, 18, 1, 1, 2];
/// Fields that a device's key is made of, the best one first.
const PROOFS: [&str; 3] = ["identity.serial_number", "identity.uuid", "network.physical_addresses"];
/// prtGeneralConfigChanges, behind it the device index.
const CONFIG_CHANGES: [u32; 11] = [1, 3, 6, 1, 2, 1, 43, 5, 1, 1, 1];

/// What a reading taught about a device. Holds its answers: to be stored sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// The mapping that was used.
    pub pmd: String,
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
            let is_changing = changes(winner) || (winner.section.is_none() && is_checked(pmd, &winner.name));
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
        changing.sort_unstable();
        changing.dedup();
        let changing = changing.into_iter().map(|(context, oid)| (context.to_owned(), oid.clone())).collect();
        proofs[PROOFS.len() - 1].truncate(1); // the key is made of the first MAC alone
        Self {
            pmd: pmd.name.to_string(),
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

    /// Whether an object was as silent then as now: one that is twice in a row is what the device never answers.
    pub(super) fn was_silent(&self, context: &str, oid: &Oid) -> bool {
        matches!(self.answers.get(context, oid), Some(Err(Absent::NoAnswer)))
    }
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
    let config_changes = Oid::new(&CONFIG_CHANGES).join(&[learned.device]);
    let is_known = |oid: &Oid| learned.answers.value("", oid).is_some();
    let mut wanted: Vec<(String, Oid)> = vec![(String::new(), identify::up_time())];
    wanted.extend(learned.proofs.iter().cloned());
    wanted.extend(Some((String::new(), config_changes.clone())).filter(|(_, oid)| is_known(oid)));
    // the severities of known alerts come by GETNEXT
    wanted.extend(learned.changing.iter().filter(|(_, oid)| !oid.is_under(&severity())).cloned());
    let asked_before = |(context, oid): &(String, Oid)| learned.answers.get(context, oid).is_some();
    wanted.extend(plan::terms(&pmd, learned.device).into_iter().filter(asked_before));
    // the cells of known alerts come with the rest, as if nothing changed; GETNEXT tells whether it did
    let alerts = alert_walks(&pmd, learned);
    let tails = tails(&pmd, learned);
    let mut silent = asking.fetch(wanted.iter().map(|(context, oid)| (context.as_str(), oid.clone()))).await.err();
    if silent.is_none() {
        silent = find_rows(&mut asking, &alerts, &tails, &learned.answers).await.err();
    }
    let mut fresh = asking.answers;
    if let Some(why) = silent {
        let is_proven = |(context, oid): &(String, Oid)| fresh.value(context, oid).is_some();
        if !learned.proofs.iter().all(is_proven) || fresh.value("", &identify::up_time()).is_none() {
            return Err(why.into());
        }
        for (context, oid) in wanted {
            fresh.leave_open(&context, [oid]);
        }
        for walk in &alerts {
            fresh.leave_open(&walk.context, walk.columns.iter().cloned());
        }
        for tail in &tails {
            fresh.leave_open(&tail.context, [tail.column.clone()]);
        }
    }
    if is_another(learned, &fresh, &config_changes) || tails.iter().any(|tail| tail.has_grown(&fresh)) {
        return match silent {
            Some(why) => Err(why.into()), // it cannot be read in full now
            None => Ok(None),
        };
    }
    let cut_short = silent.is_some();
    let lost = cut_short || fresh.has_silent();
    let mut answers = learned.answers.clone();
    alerts.iter().flat_map(|walk| &walk.columns).for_each(|column| answers.forget(column));
    answers.overwrite(fresh);
    let identity = identify::identity(&answers, learned.device);
    let choice = library.choose(&identity);
    if choice.pmd.name != pmd.name {
        return Ok(None);
    }
    let manner = Manner { read_at: now, cut_short, full_at: Some(full_at).filter(|_| !lost) };
    let trial = learned.trial;
    let (mut reading, learned) = mapped(&pmd, library, (identity, answers), address, manner).await;
    // not asked, so not told again: they come with the weekly full reading
    reading.capabilities = None;
    reading.gaps.retain(|gap| !gap.field.starts_with("capabilities."));
    let learned = learned.asked_for(library, trial);
    Ok(Some(DeviceRead { reading, learned, choice, full: false }))
}

fn severity() -> Oid {
    Oid::new(&ALERT_SEVERITY)
}

/// The alert table, in the mapping's second context too when the device has that.
fn alert_walks(pmd: &Pmd, learned: &Learned) -> Vec<Walk> {
    let plan = plan::plan(pmd, learned.device);
    let mut alerts: Vec<Walk> = plan.walks.iter().filter(|walk| walk.columns.contains(&severity())).cloned().collect();
    let is_there = |context: &&str| learned.answers.iter().any(|(of, _, answer)| of == *context && answer.is_ok());
    if let Some(context) = pmd.context.as_deref().filter(is_there) {
        let again = alerts.iter().map(|walk| Walk { context: context.to_owned(), ..walk.clone() });
        alerts.extend(again.collect::<Vec<_>>());
    }
    alerts
}

/// Where a summed column ended: a row behind it belongs to the sum too.
struct Tail {
    context: String,
    column: Oid,
    /// The column with what its indexes begin with.
    root: Oid,
    /// The last row known, or the root.
    last: Oid,
}

impl Tail {
    fn has_grown(&self, answers: &Answers) -> bool {
        answers.column(&self.context, &self.root).any(|(index, _)| self.root.join(index) > self.last)
    }
}

fn tails(pmd: &Pmd, learned: &Learned) -> Vec<Tail> {
    let tail = |(context, column, root): (String, Oid, Oid)| {
        let rows = learned.answers.column(&context, &root).filter(|(index, _)| !index.is_empty());
        let last = rows.last().map_or_else(|| root.clone(), |(index, _)| root.join(index));
        Tail { context, column, last, root }
    };
    plan::summed(pmd, learned.device).into_iter().map(tail).collect()
}

/// Alert rows: GETNEXT from the column and from each known row finds them all in one request when nothing changed. The same
/// request looks behind the last row of what is summed.
async fn find_rows<A: Agent>(
    asking: &mut Asking<'_, A>,
    alerts: &[Walk],
    tails: &[Tail],
    before: &Answers,
) -> Result<(), Unanswered> {
    let contexts: BTreeSet<&str> =
        alerts.iter().map(|walk| &*walk.context).chain(tails.iter().map(|tail| &*tail.context)).collect();
    for context in contexts {
        let walk = alerts.iter().find(|walk| walk.context == context);
        let column = severity();
        let known: Vec<Oid> = before.column(context, &column).map(|(index, _)| column.join(index)).collect();
        let mut starts: Vec<Oid> = walk.map(|_| column.clone()).into_iter().chain(known.iter().cloned()).collect();
        let mut tails: Vec<&Tail> = tails.iter().filter(|tail| tail.context == context).collect();
        let mut asked = BTreeSet::new();
        let mut rows: BTreeSet<Oid> = BTreeSet::new();
        while !(starts.is_empty() && tails.is_empty()) && rows.len() < ROWS_MAX {
            let all: Vec<Oid> = starts.iter().chain(tails.iter().map(|tail| &tail.last)).cloned().collect();
            let found = asking.get_next(context, &all).await?;
            let (of_alerts, of_tails) = found.split_at(starts.len());
            if of_alerts.contains(&Found::NoAnswer) {
                asking.answers.leave_open(context, [column.clone()]);
                rows.extend(known.iter().cloned());
            }
            for (tail, _) in tails.drain(..).zip(of_tails).filter(|(_, found)| **found == Found::NoAnswer) {
                asking.answers.leave_open(context, [tail.column.clone()]);
            }
            asked.extend(starts.drain(..));
            rows.extend(of_alerts.iter().filter_map(Found::object).filter(|oid| oid.is_under(&column)).cloned());
            starts.extend(rows.difference(&asked).cloned());
        }
        let indexes: Vec<&[u32]> = rows.iter().filter_map(|row| row.behind(&column)).collect();
        let columns = walk.iter().flat_map(|walk| &walk.columns);
        let cells: Vec<Oid> = columns.flat_map(|column| indexes.iter().map(|index| column.join(index))).collect();
        asking.get(context, &cells).await?;
    }
    Ok(())
}

/// Another device, a reconfigured one, one that lost an object, or one whose supply was changed.
fn is_another(learned: &Learned, fresh: &Answers, config_changes: &Oid) -> bool {
    let differs = |context: &str, oid: &Oid| {
        let now = fresh.value(context, oid);
        now.is_some() && now != learned.answers.value(context, oid)
    };
    if learned.proofs.iter().any(|(context, oid)| differs(context, oid)) || differs("", config_changes) {
        return true;
    }
    let supply_level = Oid::new(&[1, 3, 6, 1, 2, 1, 43, 11, 1, 1, 9]);
    learned.changing.iter().any(|(context, oid)| {
        let is_alert = oid.arcs().starts_with(&ALERT_SEVERITY[..ALERT_SEVERITY.len() - 1]);
        let lost = matches!(fresh.get(context, oid), Some(Err(Absent::NoSuchInstance | Absent::NoSuchObject)));
        let level = |answers: &Answers| answers.value(context, oid).and_then(Value::as_i64);
        let rose = oid.is_under(&supply_level) && level(fresh) > level(&learned.answers);
        !is_alert && (lost || rose)
    })
}
