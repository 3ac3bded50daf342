//! Recording a device: everything that it tells about itself, object by object, for whoever writes a mapping file.
//!
//! Polite: one GETNEXT for one object at a time, and an end to everything ([`OBJECTS_MAX`], [`BYTES_MAX`], [`TIME_MAX`]). No
//! request starts within a tree that may not be asked ([`guard`]); where an answer comes from there it is dropped unseen and the
//! walk goes on behind that tree. Agents are broken in places: where one goes backwards, refuses or falls silent, the walk tries
//! behind the object, then behind its column, then behind the next larger tree.

pub mod redact;

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;

use crate::pmd::guard;
use crate::snmp::{Absent, Agent, Limits, Oid, Unanswered, Value};

/// Objects; the recording ends there.
pub const OBJECTS_MAX: usize = 50_000;
/// Bytes sent and received; the recording ends there.
pub const BYTES_MAX: u64 = 24 * 1024 * 1024;
/// Time; the recording ends there.
pub const TIME_MAX: Duration = Duration::from_secs(30 * 60);
/// Places at which an agent is broken; the recording ends at the next one.
pub const SPOTS_MAX: usize = 100;
/// The longest wait for one answer.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Behind every index that agents use; greater ones are negative to some.
const LAST: u32 = i32::MAX as u32;

/// What is walked: system, interfaces, the parts of the Host Resources MIB that tell of a printer, Printer-MIB, Entity-MIB, and
/// the makers' own trees. What else lies under mib-2 tells of the network and of other hosts.
const ROOTS: [&[u32]; 8] = [
    &[1, 3, 6, 1, 2, 1, 1],
    &[1, 3, 6, 1, 2, 1, 2],
    &[1, 3, 6, 1, 2, 1, 25, 1],
    &[1, 3, 6, 1, 2, 1, 25, 2],
    &[1, 3, 6, 1, 2, 1, 25, 3],
    &[1, 3, 6, 1, 2, 1, 43],
    &[1, 3, 6, 1, 2, 1, 47],
    &[1, 3, 6, 1, 4, 1],
];

/// What a device told.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Objects in walk order.
    pub objects: Vec<(Oid, Value)>,
    /// Trees that may not be asked and that the device has something in, each with the reason.
    pub left_out: Vec<(Oid, &'static str)>,
    /// Places at which the agent is broken.
    pub spots: Vec<Spot>,
    /// Why it ended before its end.
    pub cut_short: Option<CutShort>,
}

/// A place at which an agent is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The object behind which it is.
    pub behind: Oid,
    /// What it did.
    pub what: &'static str,
    /// Where the walk went on.
    pub went_on: Option<Oid>,
}

/// Why a recording ended before the device's last object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutShort {
    /// It does not answer any more.
    #[error("the device fell silent: {0}")]
    Silent(Unanswered),
    /// [`OBJECTS_MAX`].
    #[error("{OBJECTS_MAX} objects were recorded")]
    Objects,
    /// [`BYTES_MAX`].
    #[error("{BYTES_MAX} bytes were moved")]
    Bytes,
    /// [`TIME_MAX`].
    #[error("the {} minutes are over", TIME_MAX.as_secs() / 60)]
    Time,
    /// [`SPOTS_MAX`].
    #[error("the device is broken in more than {SPOTS_MAX} places")]
    Broken,
    /// A person wanted it.
    #[error("it was stopped")]
    Stopped,
}

/// Records a device. `watch` sees every object as it comes and may stop it.
pub async fn record<A: Agent>(agent: &mut A, mut watch: impl FnMut(usize, &Oid) -> ControlFlow<()>) -> Recorded {
    agent.limit(Limits { varbinds_max: 1, bulk: false, wait_max: Some(WAIT_MAX) });
    let mut recorded = Recorded::default();
    let ends = Instant::now() + TIME_MAX;
    for root in ROOTS {
        let root = Oid::new(root);
        let mut at = Some(root.clone());
        while let Some(start) = at {
            if let Some(why) = spent(agent, &recorded, ends) {
                recorded.cut_short = Some(why);
                return recorded;
            }
            at = match step(agent, &root, &start, &mut recorded).await {
                Ok(next) => next,
                Err(why) => {
                    recorded.cut_short = Some(why);
                    return recorded;
                }
            };
            if let Some((oid, _)) = recorded.objects.last()
                && watch(recorded.objects.len(), oid).is_break()
            {
                recorded.cut_short = Some(CutShort::Stopped);
                return recorded;
            }
        }
    }
    recorded
}

fn spent<A: Agent>(agent: &A, recorded: &Recorded, ends: Instant) -> Option<CutShort> {
    let traffic = agent.traffic();
    match () {
        () if recorded.objects.len() >= OBJECTS_MAX => Some(CutShort::Objects),
        () if traffic.bytes_sent + traffic.bytes_received >= BYTES_MAX => Some(CutShort::Bytes),
        () if Instant::now() >= ends => Some(CutShort::Time),
        () if recorded.spots.len() >= SPOTS_MAX => Some(CutShort::Broken),
        () => None,
    }
}

/// One object further; where to go on, or `None` at the end of this root.
async fn step<A: Agent>(
    agent: &mut A,
    root: &Oid,
    start: &Oid,
    recorded: &mut Recorded,
) -> Result<Option<Oid>, CutShort> {
    let what = match next(agent, start).await? {
        Ok((oid, value)) => return Ok(take(root, start, oid, value, recorded)),
        Err(what) => what,
    };
    // the broken spot may be the object behind, its column, its table …
    let depth = start.arcs().len() - root.arcs().len();
    for cut in 0..depth {
        let from = Oid::new(&start.arcs()[..start.arcs().len() - cut]).join(&[LAST]);
        if guard::refused(&from, false).is_some() {
            continue;
        }
        if let Ok((oid, value)) = next(agent, &from).await? {
            recorded.spots.push(Spot { behind: start.clone(), what, went_on: Some(oid.clone()) });
            return Ok(take(root, start, oid, value, recorded));
        }
    }
    // nothing behind it either: for an agent that says so it is the end
    if what != ENDED {
        recorded.spots.push(Spot { behind: start.clone(), what, went_on: None });
    }
    Ok(None)
}

/// What an agent says at its last object, or where it goes backwards.
const ENDED: &str = "it ends, or goes backwards";

/// The object behind a start; what the agent does instead of telling.
async fn next<A: Agent>(agent: &mut A, start: &Oid) -> Result<Result<(Oid, Value), &'static str>, CutShort> {
    let found = agent.get_next("", std::slice::from_ref(start)).await.map_err(CutShort::Silent)?;
    if let Some(why) = agent.gone() {
        return Err(CutShort::Silent(why));
    }
    Ok(match found.into_iter().next().map(|found| (found.oid, found.answer)) {
        Some((oid, Ok(value))) if oid > *start => Ok((oid, value)),
        Some((_, Ok(_) | Err(Absent::EndOfMibView))) | None => Err(ENDED),
        Some((_, Err(Absent::NoAnswer))) => Err("it does not answer"),
        Some((_, Err(_))) => Err("it refuses"),
    })
}

/// Keeps an object, unless it is of another root or must not be seen; where to go on.
fn take(root: &Oid, start: &Oid, oid: Oid, value: Value, recorded: &mut Recorded) -> Option<Oid> {
    if !oid.is_under(root) {
        return None;
    }
    if let Some((tree, reason)) = guard::denied(&oid) {
        recorded.left_out.push((tree.clone(), reason));
        let behind = right_of(&tree)?;
        // an agent that does not go forward must not lead back
        return (behind > *start && behind.is_under(root)).then_some(behind);
    }
    recorded.objects.push((oid.clone(), value));
    Some(oid)
}

/// Where the trees behind one begin.
fn right_of(tree: &Oid) -> Option<Oid> {
    let (last, front) = tree.arcs().split_last()?;
    let behind = Oid::new(front).join(&[last.checked_add(1)?]);
    match guard::denied(&behind) {
        Some((tree, _)) => right_of(&tree),
        None => Some(behind),
    }
}

#[cfg(test)]
mod tests;
