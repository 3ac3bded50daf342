use std::collections::BTreeMap;

use meterpost_wire::CounterKey;
use meterpost_wire::reading::{Alert, Alerts, Basis, Count, Evidence, Outcome, Reading, Scope};

use super::cost::between;
use super::*;
use crate::derive::SiteReport;
use crate::store::ForkRow;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).expect("a time")
}

fn row(minutes: i64) -> SiteRow {
    SiteRow {
        id: "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10".to_owned(),
        name: "North".to_owned(),
        epoch: 1,
        added_at: at(0),
        last: Some(LastBatch {
            sequence: 9,
            created_at: at(0),
            received_at: at(0),
            promise_at: Some(at(minutes)),
            flags: Vec::new(),
            report: SiteReport::default(),
        }),
        acknowledged_through: 0,
        highest: 9,
        missing: Vec::new(),
        forks: Vec::new(),
        forks_noted: 0,
        forked_at: None,
        devices: 1,
        quarantined: 0,
        held: Vec::new(),
        set_aside: 0,
        needs_upgrade: 0,
        unreadable: 0,
    }
}

/// Batches as (sequence, minute of arrival), in the order of arrival.
fn rows(arrived: &[(u64, i64)]) -> ChainRows {
    let mut stored: Vec<StoredRow> = arrived
        .iter()
        .enumerate()
        .map(|(arrival, (sequence, minute))| StoredRow {
            sequence: *sequence,
            arrival: arrival as u64 + 1,
            received_at: at(*minute),
            created_at: Some(at(*sequence as i64 * 60)),
            jumped: false,
            over_https: false,
            epoch: 1,
        })
        .collect();
    stored.sort_by_key(|batch| batch.sequence);
    ChainRows { stored, ..ChainRows::default() }
}

fn reported(rows: &ChainRows, now: i64) -> SiteGaps {
    let site = SiteId::parse("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10").expect("a site");
    report(&row(now + 1), &site, rows, at(now))
}

#[test]
fn missing_numbers_are_known_since_a_higher_one_came_and_have_a_code() {
    let gaps = reported(&rows(&[(1, 0), (9, 30), (4, 50)]), 60);
    let found: Vec<_> = gaps.missing.iter().map(|gap| (gap.from, gap.to, gap.known_since, gap.sealed_after)).collect();
    assert_eq!(found, [(2, 3, at(30), Some(at(60))), (5, 8, at(30), Some(at(240)))]);
    for missing in &gaps.missing {
        let site = SiteId::parse(&gaps.site_id).expect("a site");
        let code = missing.resend_code.as_deref().expect("a code");
        assert!(code.len() <= 20, "{code}");
        assert_eq!(resend::decode(&site, code), Ok(vec![(missing.from, missing.to)]));
    }
    assert!(gaps.resend_code.is_some() && !gaps.is_calm());
    assert_eq!((gaps.acknowledged_through, gaps.highest), (1, 9));
}

#[test]
fn a_gap_of_more_than_two_days_is_an_alert() {
    let batches = rows(&[(1, 0), (3, 0)]);
    assert!(!reported(&batches, 48 * 60).missing[0].alert);
    let site = SiteId::parse("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10").expect("a site");
    let daily = report(&row(24 * 60), &site, &batches, at(48 * 60 + 1));
    assert!(daily.missing[0].alert);
    let weekly = report(&row(7 * 24 * 60), &site, &batches, at(48 * 60 + 1));
    assert!(!weekly.missing[0].alert, "twice its interval is not over yet");
}

#[test]
fn late_is_what_came_long_after_a_later_one() {
    let gaps = reported(&rows(&[(1, 0), (9, 30), (8, 31), (7, 100), (10, 101), (6, 400)]), 500);
    let found: Vec<_> = gaps.late.iter().map(|late| (late.sequence, late.behind_seconds / 60)).collect();
    assert_eq!((gaps.late_batches, found), (2, vec![(7, 70), (6, 370)]));
}

#[test]
fn a_void_ends_where_its_number_came_all_the_same_and_a_lost_one_is_a_jump() {
    let voids = vec![((2, 9), "lost".to_owned()), ((11, 12), "set_aside".to_owned())];
    let gaps = reported(&ChainRows { voids, ..rows(&[(1, 0), (10, 30), (5, 31), (13, 32)]) }, 60);
    let found: Vec<_> = gaps.void.iter().map(|void| (void.from, void.to, void.reason.as_str())).collect();
    assert_eq!(found, [(2, 4, "lost"), (6, 9, "lost"), (11, 12, "set_aside")]);
    assert_eq!(gaps.jumps, [Jump { after: 1, to: 10, received_at: at(30), declared: true, rotated_to: None }]);
    assert!(gaps.missing.is_empty() && gaps.is_calm());
}

#[test]
fn a_number_far_above_is_a_jump_that_nobody_declared() {
    let mut batches = rows(&[(1, 0), (5_000_000, 30)]);
    batches.stored[1].jumped = true;
    let gaps = reported(&batches, 60);
    assert_eq!(gaps.jumps, [Jump { after: 1, to: 5_000_000, received_at: at(30), declared: false, rotated_to: None }]);
}

#[test]
fn the_numbers_of_a_new_token_are_a_rotation_and_nothing_lost() {
    let mut batches = ChainRows { voids: vec![((2, 1_001), "lost".to_owned())], ..rows(&[(1, 0), (1_002, 30)]) };
    batches.stored[1].epoch = 2;
    let gaps = reported(&batches, 60);
    assert_eq!((gaps.jumps[0].rotated_to, gaps.is_calm()), (Some(2), true));
    let lines = lines(&gaps, at(60));
    assert!(lines[1].starts_with("  rotated  a new token, epoch 2: numbers go on from 1 to 1002, "), "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
    // of a machine that was replaced without its data, nobody knows which numbers it had used
    batches.stored[0].sequence = 3;
    batches.voids[0].0 = (1, 1_001);
    assert_eq!(reported(&batches, 60).jumps[0].rotated_to, None);
}

#[test]
fn a_fork_calls_for_a_person_until_one_has_taken_note() {
    let fork = |noted| ForkRow { sequence: 1, tokens: vec![("ab".repeat(32), Some(at(0)))], noted };
    let with = |noted| ChainRows { forks: vec![fork(noted)], ..rows(&[(1, 0)]) };
    assert!(!reported(&with(None), 1).is_calm());
    let note = crate::store::ForkNote { at: at(0), person: "admin".to_owned(), remark: "gone".to_owned() };
    let gaps = reported(&with(Some(note)), 1);
    assert!(gaps.is_calm());
    assert!(lines(&gaps, at(1))[1].ends_with("by admin: gone"), "{:?}", lines(&gaps, at(1)));
}

fn device(key: &str, counters: bool, open: &[u32], over: &[u32]) -> Reading {
    let alert =
        |index: &u32, over: bool| Alert { index: Some(*index), clear_time: over.then(|| at(0)), ..Alert::default() };
    let rows = open.iter().map(|index| alert(index, false)).chain(over.iter().map(|index| alert(index, true)));
    let count = Count { value: 1, basis: Basis::Actual, evidence: Evidence::default(), unit: None, detail: None };
    let counters = counters.then(|| BTreeMap::from([(CounterKey::parse("system.impressions").expect("a key"), count)]));
    Reading {
        counters,
        alerts: Some(Alerts { rows: rows.collect(), ..Alerts::default() }),
        ..Reading::empty(key.to_owned(), Scope::Full, at(0), Outcome::Complete)
    }
}

fn seen(batches: &[(u64, Vec<Reading>)]) -> Seen {
    let mut seen = Seen::default();
    for (sequence, readings) in batches {
        seen.add(*sequence, readings);
    }
    seen
}

#[test]
fn an_alert_whose_end_nobody_told_is_an_event_lost_and_counters_are_not() {
    let below = seen(&[(4, vec![device("a", true, &[1, 2, 3], &[]), device("b", true, &[7], &[])])]);
    let above = seen(&[(8, vec![device("a", true, &[3, 9], &[1])]), (9, vec![device("b", true, &[], &[])])]);
    let cost = between(&below, &above);
    assert_eq!((cost.devices_without_counters, cost.alert_events_lost), (0, 2), "2 of `a` and 7 of `b`");
    assert_eq!(cost.text, "counters unaffected, 2 alert events lost");
}

#[test]
fn only_the_batch_next_to_the_gap_counts_and_two_gaps_lose_one_event_once() {
    let below = seen(&[(4, vec![device("a", true, &[], &[])]), (3, vec![device("a", true, &[1], &[])])]);
    let above = seen(&[(8, vec![device("a", true, &[], &[])])]);
    assert_eq!(between(&below, &above).text, "counters unaffected, no alert events lost");
    let below = seen(&[(4, vec![device("a", true, &[1], &[])])]);
    let mut all = Cost::default();
    all.add(&between(&below, &above));
    all.add(&between(&below, &above));
    assert_eq!(all.alert_events_lost, 1);
}

#[test]
fn a_device_that_was_not_read_since_is_named_as_the_cost() {
    let below = seen(&[(4, vec![device("a", true, &[1], &[]), device("b", true, &[], &[])])]);
    let above = seen(&[(8, vec![device("a", false, &[1], &[])])]);
    assert_eq!(between(&below, &above).text, "2 devices not read since, no alert events lost");
}
