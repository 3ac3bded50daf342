//! What is missing of a site, what came late, what will not come and why, what was used twice, and what that costs.
//!
//! A number below the highest stored that is neither stored nor void is missing (`standards.md` 2.8). Every reading is whole in
//! itself, and counters are lifetime values, so a missing batch costs a bill nothing as long as every device was read again
//! after it; what it does cost is found by comparing the batches below and above it ([`cost`]).

pub mod cost;
mod text;

use jiff::{SignedDuration, Timestamp};
use meterpost_wire::keys::SiteId;
use meterpost_wire::resend;
use serde::Serialize;

use crate::chain::{self, Range};
use crate::derive::times;
use crate::open;
use crate::store::{ChainRows, LastBatch, Side, SiteKeys, SiteRow, Store, StoreError, StoredRow};
use cost::{Cost, Seen};

pub use text::{lines, sections, state};

/// A batch is late when it came so long after one with a higher number: an outbox that catches up delivers its newest first.
const LATE: SignedDuration = SignedDuration::from_mins(10);

/// Late batches that are named, the newest.
const LATE_NAMED: usize = 10;

/// A gap that is open for longer is an alert, or for twice the site's interval where that is more (`standards.md` 4.4).
const OPEN_MAX: SignedDuration = SignedDuration::from_hours(48);

/// Missing ranges that are looked into for what they cost, the newest.
const COSTS_MAX: usize = 16;

/// Batches on either side of a gap that are opened, at most: a sweep of 10,000 devices.
const WALK_MAX: u32 = 256;

/// Batches that are taken from the store at one time.
const WALK_STEP: u32 = 16;

/// The walk ends when so many batches in a row have brought nothing new.
const WALK_STALE: u32 = 16;

/// Everything about one site's numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteGaps {
    /// For people.
    pub site: String,
    /// UUID.
    pub site_id: String,
    /// The highest sequence stored; 0 = none.
    pub highest: u64,
    /// Each of 1 ..= this is stored or void.
    pub acknowledged_through: u64,
    /// The promise of the next batch is broken since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<Timestamp>,
    /// The newest batch came over HTTPS: the site hears what is missing and sends it again by itself.
    pub resends_by_itself: bool,
    /// Neither stored nor void, ascending.
    pub missing: Vec<Missing>,
    /// One code for the lowest ranges that are missing, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resend_code: Option<String>,
    /// What all missing batches cost together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// How many batches came late.
    pub late_batches: u64,
    /// The newest of them, in the order of arrival.
    pub late: Vec<Late>,
    /// Will not come, by the word of the site, ascending; without what came all the same.
    pub void: Vec<Void>,
    /// Used more than once, ascending.
    pub forked: Vec<Forked>,
    /// Where the numbers do not go on one by one, ascending.
    pub jumps: Vec<Jump>,
}

/// A range of numbers that are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// First number.
    pub from: u64,
    /// Last number.
    pub to: u64,
    /// When the first batch with a higher number arrived.
    pub known_since: Timestamp,
    /// It has been so for longer than twice the site's interval, and than two days.
    pub alert: bool,
    /// When the batch below was sealed, by the site's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed_after: Option<Timestamp>,
    /// When the batch above was sealed, by the site's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed_before: Option<Timestamp>,
    /// What `meterpost outbox resend` takes at the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resend_code: Option<String>,
    /// What it costs; of the newest 16 ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// A batch that came after one with a higher number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Late {
    /// Its number.
    pub sequence: u64,
    /// When it arrived.
    pub received_at: Timestamp,
    /// How long after the first with a higher number, seconds.
    pub behind_seconds: i64,
}

/// A range of numbers that will not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Void {
    /// First number.
    pub from: u64,
    /// Last number.
    pub to: u64,
    /// `lost` `deleted` `set_aside` `expired`.
    pub reason: String,
}

/// A number that was used more than once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forked {
    /// The number.
    pub sequence: u64,
    /// The tokens.
    pub tokens: Vec<Token>,
    /// A person has taken note of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noted: Option<Noted>,
}

/// One of the tokens under one number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its SHA-256.
    pub sha256: String,
    /// When it arrived; absent = only later batches name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
}

/// That a person has taken note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Noted {
    /// When.
    pub at: Timestamp,
    /// Who; empty = at the command line.
    pub person: String,
    /// In what words.
    pub remark: String,
}

/// A place where the numbers do not go on one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jump {
    /// The last number before it.
    pub after: u64,
    /// The first number behind it.
    pub to: u64,
    /// When that arrived.
    pub received_at: Timestamp,
    /// The site said itself that the numbers between are lost: a damaged store, a restored backup, a new enrolment.
    pub declared: bool,
    /// The batch behind is the first of this epoch, and the one before is there: the site took a new token, and its numbers go on
    /// where that says. Nothing was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_to: Option<u32>,
}

impl SiteGaps {
    /// Whether nothing here calls for a person.
    pub fn is_calm(&self) -> bool {
        self.missing.is_empty() && self.silent_since.is_none() && self.forked.iter().all(|fork| fork.noted.is_some())
    }
}

/// The gaps of a site with what they cost.
pub async fn of_site(store: &Store, row: &SiteRow, keys: &SiteKeys, now: Timestamp) -> Result<SiteGaps, StoreError> {
    let rows = store.chain(row.id.clone()).await?;
    let mut gaps = report(row, &keys.id, &rows, now);
    let (mut all, looked) = (Cost::default(), gaps.missing.len() <= COSTS_MAX);
    let newest = gaps.missing.len().saturating_sub(COSTS_MAX);
    for missing in &mut gaps.missing[newest..] {
        let below = walk(store, keys, missing.from, Side::Below, row.devices).await?;
        let above = walk(store, keys, missing.to, Side::Above, row.devices).await?;
        let cost = cost::between(&below, &above);
        all.add(&cost);
        missing.cost = Some(cost);
    }
    gaps.cost = (looked && !gaps.missing.is_empty()).then_some(all);
    Ok(gaps)
}

/// What the batches on one side of a number say of the devices, the nearest first.
async fn walk(store: &Store, keys: &SiteKeys, from: u64, side: Side, devices: u64) -> Result<Seen, StoreError> {
    let (mut seen, mut edge, mut walked, mut stale) = (Seen::default(), from, 0, 0);
    while walked < WALK_MAX && stale < WALK_STALE && !seen.is_all_of(devices) {
        let site = keys.id.to_string();
        let tokens = store.tokens_beside(site, edge, side, WALK_STEP).await?;
        let Some((last, _)) = tokens.last() else { break };
        (edge, walked) = (*last, walked + WALK_STEP);
        let keys = keys.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let open = |(sequence, token): (u64, String)| match open::open(&keys, &token) {
                Ok((_, open::Content::Batch(opened))) => (sequence, opened.batch.devices),
                _ => (sequence, Vec::new()),
            };
            tokens.into_iter().map(open).collect::<Vec<_>>()
        });
        for (sequence, devices) in opened.await.map_err(|error| StoreError::Broken(error.to_string()))? {
            stale = if seen.add(sequence, &devices) { 0 } else { stale + 1 };
        }
    }
    Ok(seen)
}

/// What follows from the numbers alone. Pure.
fn report(row: &SiteRow, site: &SiteId, rows: &ChainRows, now: Timestamp) -> SiteGaps {
    let stored: Vec<u64> = rows.stored.iter().map(|batch| batch.sequence).collect();
    let voids: Vec<Range> = rows.voids.iter().map(|(range, _)| *range).collect();
    let highest = stored.last().copied().unwrap_or(0);
    let holes = chain::holes(0, highest, &stored, &voids);
    let first_above = first_arrivals_from(&rows.stored);
    let open_max = row.last.as_ref().and_then(interval).map_or(OPEN_MAX, |interval| OPEN_MAX.max(interval * 2));
    let missing = holes.iter().map(|&(from, to)| {
        let above = rows.stored.partition_point(|batch| batch.sequence <= to);
        let below = rows.stored.partition_point(|batch| batch.sequence < from).checked_sub(1);
        let known_since = first_above.get(above).map_or(now, |(at, _)| *at);
        Missing {
            from,
            to,
            known_since,
            alert: now.duration_since(known_since) > open_max,
            sealed_after: below.and_then(|below| rows.stored[below].created_at),
            sealed_before: rows.stored.get(above).and_then(|batch| batch.created_at),
            resend_code: resend::encode(site, &[(from, to)]),
            cost: None,
        }
    });
    let late = late(&rows.stored, &first_above);
    SiteGaps {
        site: row.name.clone(),
        site_id: row.id.clone(),
        highest,
        acknowledged_through: chain::acknowledged_through(highest, &holes),
        silent_since: row.last.as_ref().and_then(|last| last.promise_at).filter(|promise| *promise < now),
        resends_by_itself: rows.stored.iter().max_by_key(|batch| batch.arrival).is_some_and(|batch| batch.over_https),
        missing: missing.collect(),
        resend_code: (holes.len() > 1)
            .then(|| resend::encode(site, &holes[..holes.len().min(resend::RANGES_MAX)]))
            .flatten(),
        cost: None,
        late_batches: late.len() as u64,
        late: late.into_iter().rev().take(LATE_NAMED).rev().collect(),
        void: void(&rows.voids, &stored),
        forked: rows.forks.iter().map(forked).collect(),
        jumps: jumps(rows, &stored),
    }
}

fn forked(row: &crate::store::ForkRow) -> Forked {
    let noted = row.noted.clone();
    Forked {
        sequence: row.sequence,
        tokens: row
            .tokens
            .iter()
            .map(|(sha256, received_at)| Token { sha256: sha256.clone(), received_at: *received_at })
            .collect(),
        noted: noted.map(|note| Noted { at: note.at, person: note.person, remark: note.remark }),
    }
}

/// How long after one batch the next is promised.
fn interval(last: &LastBatch) -> Option<SignedDuration> {
    let sealed = times::effective(last.created_at, last.created_at, last.received_at);
    last.promise_at.map(|promise| promise.duration_since(sealed)).filter(|length| *length > SignedDuration::ZERO)
}

/// For each place in a list by sequence: time and place of the first arrival among it and all above it.
fn first_arrivals_from(stored: &[StoredRow]) -> Vec<(Timestamp, u64)> {
    let mut first: Vec<(Timestamp, u64)> = Vec::with_capacity(stored.len());
    for batch in stored.iter().rev() {
        let own = (batch.received_at, batch.arrival);
        first.push(first.last().map_or(own, |above| if above.1 < own.1 { *above } else { own }));
    }
    first.reverse();
    first
}

fn late(stored: &[StoredRow], first_from: &[(Timestamp, u64)]) -> Vec<Late> {
    let mut late: Vec<(u64, Late)> = Vec::new();
    for batch in stored {
        let above = stored.partition_point(|other| other.sequence <= batch.sequence);
        let Some((at, arrival)) = first_from.get(above) else { continue };
        let behind = batch.received_at.duration_since(*at);
        if *arrival < batch.arrival && behind > LATE {
            let (sequence, received_at) = (batch.sequence, batch.received_at);
            late.push((batch.arrival, Late { sequence, received_at, behind_seconds: behind.as_secs() }));
        }
    }
    late.sort_by_key(|(arrival, _)| *arrival);
    late.into_iter().map(|(_, late)| late).collect()
}

/// Voids without the numbers that came all the same.
fn void(voids: &[(Range, String)], stored: &[u64]) -> Vec<Void> {
    let mut left = Vec::new();
    for ((first, last), reason) in voids {
        // the numbers rise: a site may declare as many voids as it likes
        let from = stored.partition_point(|number| number < first);
        let there = &stored[from..stored.partition_point(|number| number <= last).max(from)];
        for (from, to) in chain::holes(first - 1, *last, there, &[]) {
            left.push(Void { from, to, reason: reason.clone() });
        }
    }
    left
}

fn jumps(rows: &ChainRows, stored: &[u64]) -> Vec<Jump> {
    let stored_as = |number: u64| {
        let at = rows.stored.partition_point(|batch| batch.sequence < number);
        rows.stored.get(at).filter(|batch| batch.sequence == number)
    };
    let declared = rows.voids.iter().filter(|(_, reason)| reason == "lost").filter_map(|((first, last), _)| {
        let (batch, after) = (stored_as(last + 1)?, first - 1);
        let rotated_to = stored_as(after).filter(|before| before.epoch < batch.epoch).map(|_| batch.epoch);
        Some(Jump { after, to: last + 1, received_at: batch.received_at, declared: true, rotated_to })
    });
    let mut jumps: Vec<Jump> = declared.collect();
    for batch in rows.stored.iter().filter(|batch| batch.jumped) {
        if !jumps.iter().any(|jump| jump.to == batch.sequence) {
            let below = stored.partition_point(|number| *number < batch.sequence).checked_sub(1);
            let after = below.map_or(0, |below| stored[below]);
            let (to, received_at) = (batch.sequence, batch.received_at);
            jumps.push(Jump { after, to, received_at, declared: false, rotated_to: None });
        }
    }
    jumps.sort_by_key(|jump| jump.to);
    jumps
}

#[cfg(test)]
mod tests;
