//! Reading a known device again: only what can have changed, and the check that it is still the same device.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::table::ROWS_MAX;
use super::{Asking, DeviceRead, NotRead};
use crate::identify::{self, Identity};
use crate::normalise::{self, Subject, Winner};
use crate::plan::{self, Answers, Walk, answers};
use crate::pmd::{Library, Pmd};
use crate::snmp::{Absent, Agent, Oid, Unanswered, Value};

/// After this long everything is read again, whatever the device says.
const FULL_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);
/// prtAlertSeverityLevel: the column by which alerts are found again.
const ALERT_SEVERITY: [u32; 11] = [1, 3, 6, 1, 2, 1, 43, 18, 1, 1, 2];
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
    /// The objects that say which device it is.
    #[serde(with = "answers::named")]
    serial: Vec<(String, Oid)>,
    /// Everything as last answered.
    pub answers: Answers,
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
        let mut changing = BTreeSet::new();
        let mut serial = Vec::new();
        for winner in winners {
            let is_serial = winner.section.is_none() && winner.name == "identity.serial_number";
            let is_changing = changes(winner) || (winner.section.is_none() && is_checked(pmd, &winner.name));
            for oid in winner.oids.iter().filter(|_| is_serial || is_changing) {
                let context = context_of(&answers, oid);
                if is_serial {
                    serial.push((context.clone(), oid.clone()));
                }
                if is_changing {
                    changing.insert((context, oid.clone()));
                }
            }
        }
        Self {
            pmd: pmd.name.to_string(),
            device: identity.device,
            full_at,
            changing: changing.into_iter().collect(),
            serial,
            answers,
        }
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

fn context_of(answers: &Answers, oid: &Oid) -> String {
    // Nearly always; looking through all answers for each object costs a tenth of a reading's CPU.
    if answers.value("", oid).is_some() {
        return String::new();
    }
    let named = answers.iter().find(|(_, known, answer)| *known == oid && answer.is_ok());
    named.map(|(context, _, _)| context.to_owned()).unwrap_or_default()
}

/// Reads what can have changed. `None` when it is no longer the device that was learned: all must be read.
pub(super) async fn again<A: Agent>(
    agent: &mut A,
    library: &Library,
    learned: &Learned,
    address: &str,
    now: Timestamp,
) -> Result<Option<DeviceRead>, NotRead> {
    let Some(pmd) = library.get(&learned.pmd).cloned() else { return Ok(None) };
    let Some(full_at) = learned.full_at else { return Ok(None) };
    if now.duration_since(full_at) >= FULL_AFTER || now < full_at {
        return Ok(None);
    }
    agent.limit(pmd.limits);
    let mut asking = Asking::new(agent);
    let config_changes = Oid::new(&CONFIG_CHANGES).join(&[learned.device]);
    let is_known = |oid: &Oid| learned.answers.value("", oid).is_some();
    let mut wanted: Vec<(String, Oid)> = vec![(String::new(), identify::up_time())];
    wanted.extend(learned.serial.iter().cloned());
    wanted.extend(Some((String::new(), config_changes.clone())).filter(|(_, oid)| is_known(oid)));
    wanted.extend(learned.changing.iter().cloned());
    asking.fetch(&wanted).await?;
    // the cells of known alerts came with the rest, as if nothing changed; GETNEXT tells whether it did
    let plan = plan::plan(&pmd, learned.device);
    let alerts: Vec<&Walk> = plan.walks.iter().filter(|walk| walk.columns.contains(&severity())).collect();
    let mut cut_short = false;
    for walk in &alerts {
        cut_short |= find_alerts(&mut asking, walk, &learned.answers).await.is_err();
    }
    let fresh = asking.answers;
    let lost = cut_short || fresh.iter().any(|(_, _, answer)| matches!(answer, Err(Absent::NoAnswer)));
    if is_another(learned, &fresh, &config_changes) {
        return Ok(None);
    }
    let mut answers = learned.answers.clone();
    if !cut_short {
        alerts.iter().flat_map(|walk| &walk.columns).for_each(|column| answers.forget(column));
    }
    answers.overwrite(fresh);
    let identity = identify::identity(&answers, learned.device);
    let choice = library.choose(&identity);
    if choice.pmd.name != pmd.name {
        return Ok(None);
    }
    let subject = Subject { address, read_at: now, pack: library.pack, cut_short };
    let (mut reading, winners) = normalise::normalise(&pmd, &identity, &answers, &library.words, &subject);
    // not asked, so not told again: they come with the weekly full reading
    reading.capabilities = None;
    let learned = Learned::of(&pmd, &identity, answers, &winners, Some(full_at).filter(|_| !lost));
    Ok(Some(DeviceRead { reading, learned, choice, full: false }))
}

fn severity() -> Oid {
    Oid::new(&ALERT_SEVERITY)
}

/// Alert rows: GETNEXT from the column and from each known row finds them all in one request when nothing changed.
async fn find_alerts<A: Agent>(asking: &mut Asking<'_, A>, walk: &Walk, before: &Answers) -> Result<(), Unanswered> {
    let column = severity();
    let known = before.column(&walk.context, &column).map(|(index, _)| column.join(index));
    let mut starts: Vec<Oid> = std::iter::once(column.clone()).chain(known).collect();
    let mut asked = BTreeSet::new();
    let mut rows: BTreeSet<Oid> = BTreeSet::new();
    while !starts.is_empty() && rows.len() < ROWS_MAX {
        let ends = asking.get_next(&walk.context, &starts).await?;
        asked.extend(starts.drain(..));
        rows.extend(ends.into_iter().flatten().filter(|end| end.is_under(&column)));
        starts.extend(rows.difference(&asked).cloned());
    }
    let indexes: Vec<&[u32]> = rows.iter().filter_map(|row| row.behind(&column)).collect();
    let cells = walk.columns.iter().flat_map(|column| indexes.iter().map(|index| column.join(index)));
    asking.get(&walk.context, &cells.collect::<Vec<_>>()).await
}

/// Another device, a reconfigured one, one that lost an object, or one whose supply was changed.
fn is_another(learned: &Learned, fresh: &Answers, config_changes: &Oid) -> bool {
    let differs = |context: &str, oid: &Oid| {
        let now = fresh.value(context, oid);
        now.is_some() && now != learned.answers.value(context, oid)
    };
    if learned.serial.iter().any(|(context, oid)| differs(context, oid)) || differs("", config_changes) {
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
