//! The channels as a ladder: what goes where, and a model of random weather in which nothing may be lost or count twice.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use meterpost::deliver::{Channel, Hurry, Outgoing, Pace, Report, SendError, Sent};
use meterpost::outbox::State;
use meterpost::site::Site;
use meterpost_wire::seal::token_sha256;
use proptest::prelude::*;

use super::{queued, states};
use crate::site::*;

/// What happens to one sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It arrives, and the answer too.
    Well,
    /// It arrives, and the answer does not.
    AnswerLost,
    /// The answer is rubbish, and nothing arrived.
    Rubbish,
    /// The far side is away.
    Away,
    /// The far side does not know us.
    Stranger,
    /// It will never be taken here.
    NotHere,
    /// A relay takes it and loses it.
    TakenAndLost,
}

/// What the central has: the hashes that came, by sequence.
type Arrived = RefCell<BTreeMap<u64, BTreeSet<String>>>;

/// A channel with the weather on its way; fine when no fate is left.
struct Way<'a> {
    name: &'static str,
    fates: RefCell<VecDeque<Fate>>,
    arrived: &'a Arrived,
    sent: RefCell<Vec<u64>>,
    /// Whether receipts name what is missing below the sequence.
    knows_missing: Cell<bool>,
}

impl<'a> Way<'a> {
    fn new(name: &'static str, arrived: &'a Arrived, fates: &[Fate]) -> Self {
        let fates = RefCell::new(fates.iter().copied().collect());
        Self { name, fates, arrived, sent: RefCell::default(), knows_missing: Cell::new(false) }
    }
}

impl Channel for Way<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn send(&self, item: &Outgoing) -> Result<Sent, SendError> {
        self.sent.borrow_mut().push(item.sequence);
        let fate = self.fates.borrow_mut().pop_front().unwrap_or(Fate::Well);
        if matches!(fate, Fate::Well | Fate::AnswerLost) {
            self.arrived.borrow_mut().entry(item.sequence).or_default().insert(token_sha256(&item.token));
        }
        match fate {
            Fate::Well if self.name == "https" => {
                let (_, mut claims) = receipt(item, &epoch(1).receipt_key(), at(0));
                if self.knows_missing.get() {
                    let arrived = self.arrived.borrow();
                    let missing = (1..item.sequence).filter(|sequence| !arrived.contains_key(sequence));
                    claims.missing = missing.map(|sequence| (sequence, sequence)).take(32).collect();
                }
                Ok(Sent::Receipt { receipt: "x.y.z".into(), claims })
            }
            Fate::Well | Fate::TakenAndLost if self.name != "https" => Ok(Sent::HandedOver),
            Fate::Away => Err(SendError::Down { reason: "away".into(), at_least: None }),
            Fate::Stranger => Err(SendError::Unauthorized("stranger".into())),
            Fate::NotHere if self.name != "https" => Err(SendError::NotHere("too large".into())),
            _ => Err(SendError::Unsure("no answer".into())),
        }
    }
}

fn pass(site: &Site, ways: &[&Way<'_>], hurry: Hurry, now: i64) -> Report {
    let ladder: Vec<&dyn Channel> = ways.iter().map(|way| *way as &dyn Channel).collect();
    site.deliver(&ladder, hurry, &Pace { now: &|| at(now), dice: &|| u32::MAX, stopped: &|| false }).unwrap()
}

#[test]
fn what_the_first_channel_cannot_take_goes_by_the_next_and_back_once_it_is_well() {
    let (arrived, dir) = (Arrived::default(), tempfile::tempdir().unwrap());
    let site = enrolled(dir.path());
    queued(&site, 3);
    let https = Way::new("https", &arrived, &[Fate::Away]);
    let mail = Way::new("mail", &arrived, &[]);
    let report = pass(&site, &[&https, &mail], Hurry::WhenDue, 0);
    assert_eq!((report.handed_over, report.is_clean()), (3, true));
    assert_eq!((https.sent.take(), mail.sent.take()), (vec![3], vec![3, 1, 2]), "three items do not each ask again");
    // while it rests the next one goes by mail at once, and after the rest by HTTPS again
    queued(&site, 1);
    assert_eq!(pass(&site, &[&https, &mail], Hurry::WhenDue, 59).handed_over, 1);
    queued(&site, 1);
    assert_eq!(site.deliver_next(&["https", "mail"]).unwrap(), Some(at(0)), "mail takes it at once");
    assert_eq!(site.deliver_next(&["https"]).unwrap(), Some(at(60)));
    assert_eq!(pass(&site, &[&https, &mail], Hurry::WhenDue, 60).delivered, 1);
}

#[test]
fn a_receipt_that_names_missing_what_a_relay_lost_sends_it_again_by_the_first_channel() {
    let (arrived, dir) = (Arrived::default(), tempfile::tempdir().unwrap());
    let site = enrolled(dir.path());
    queued(&site, 2);
    let https = Way::new("https", &arrived, &[Fate::Away]);
    let mail = Way::new("mail", &arrived, &[Fate::TakenAndLost, Fate::Well]);
    pass(&site, &[&https, &mail], Hurry::AtOnce, 0);
    queued(&site, 1);
    https.knows_missing.set(true);
    pass(&site, &[&https, &mail], Hurry::AtOnce, 100);
    assert_eq!(states(&site), [State::HandedOver, State::Waiting, State::Delivered]);
    pass(&site, &[&https, &mail], Hurry::AtOnce, 101);
    assert_eq!(states(&site), [State::HandedOver, State::Delivered, State::Delivered]);
}

#[test]
fn an_item_that_stays_unsure_goes_by_the_next_channel_too() {
    // a portal that answers everything with a page of its own: too few items for the channel to be known as down
    let (arrived, dir) = (Arrived::default(), tempfile::tempdir().unwrap());
    let site = enrolled(dir.path());
    queued(&site, 1);
    let https = Way::new("https", &arrived, &[Fate::Rubbish; 9]);
    let mail = Way::new("mail", &arrived, &[]);
    for n in 0..4 {
        assert_eq!(pass(&site, &[&https, &mail], Hurry::AtOnce, n).unsure, 1);
    }
    assert_eq!(pass(&site, &[&https, &mail], Hurry::AtOnce, 4).handed_over, 1);
}

#[test]
fn what_one_channel_never_takes_waits_for_one_that_rests_and_is_set_aside_when_none_is_left() {
    let (arrived, dir) = (Arrived::default(), tempfile::tempdir().unwrap());
    let site = enrolled(dir.path());
    queued(&site, 1);
    let https = Way::new("https", &arrived, &[Fate::Away, Fate::Well]);
    let mail = Way::new("mail", &arrived, &[Fate::NotHere]);
    assert_eq!(pass(&site, &[&https, &mail], Hurry::AtOnce, 0).unsure, 1);
    assert_eq!(pass(&site, &[&https, &mail], Hurry::AtOnce, 1).delivered, 1);
    queued(&site, 1);
    let (mail, file) = (Way::new("mail", &arrived, &[Fate::NotHere]), Way::new("file", &arrived, &[Fate::NotHere]));
    assert_eq!(pass(&site, &[&mail, &file], Hurry::AtOnce, 2).set_aside, 1);
    assert_eq!(site.events(at(0), 1).unwrap()[0].text, "no channel takes batch 2");
}

/// What happens at a site, at random.
#[derive(Clone, Copy, Debug)]
enum Action {
    Seal,
    Deliver(bool),
    Wait(u16),
    Reopen,
    Resend(u8),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => Just(Action::Seal),
        5 => any::<bool>().prop_map(Action::Deliver),
        2 => (0u16..8_000).prop_map(Action::Wait),
        1 => Just(Action::Reopen),
        1 => any::<u8>().prop_map(Action::Resend),
    ]
}

fn weather() -> impl Strategy<Value = Vec<Fate>> {
    use Fate::*;
    let fate = prop_oneof![
        5 => Just(Well), 2 => Just(AnswerLost), 2 => Just(Rubbish), 3 => Just(Away),
        1 => Just(Stranger), 1 => Just(NotHere), 2 => Just(TakenAndLost),
    ];
    prop::collection::vec(fate, 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the weather: once HTTPS works, everything sealed is at the central, as one hash for each number, or stands in
    /// the queue for a person to see.
    #[test]
    fn in_any_weather_nothing_is_lost_and_nothing_counts_twice(
        actions in prop::collection::vec(action(), 1..30),
        weathers in [weather(), weather(), weather()],
    ) {
        let (arrived, dir) = (Arrived::default(), tempfile::tempdir().unwrap());
        let mut site = enrolled(dir.path());
        let [https, mail, file] = [("https", 0), ("mail", 1), ("file", 2)]
            .map(|(name, at)| Way::new(name, &arrived, &weathers[at]));
        let (mut now, mut sealed) = (0, 0);
        for action in actions {
            match action {
                Action::Seal => sealed = seal_one(&site, 1, at(now)),
                Action::Deliver(hurry) => {
                    let hurry = if hurry { Hurry::AtOnce } else { Hurry::WhenDue };
                    let before = site.tally().unwrap();
                    let report = pass(&site, &[&https, &mail, &file], hurry, now);
                    let went = report.delivered + report.handed_over + report.set_aside;
                    let after = site.tally().unwrap();
                    // what a receipt named missing waits again: nothing of that here
                    prop_assert_eq!(before.waiting - after.waiting, went);
                }
                Action::Wait(seconds) => now += i64::from(seconds),
                Action::Reopen => {
                    drop(site);
                    site = Site::open(&paths(dir.path())).unwrap();
                }
                Action::Resend(nth) if sealed > 0 => site.retry(u64::from(nth) % sealed + 1, at(now)).unwrap(),
                Action::Resend(_) => {}
            }
        }
        // fair weather, and a central that says what it lacks; one more batch carries the news
        for way in [&https, &mail, &file] {
            way.fates.borrow_mut().clear();
        }
        https.knows_missing.set(true);
        sealed = seal_one(&site, 1, at(now + 1));
        for round in 0..4 {
            pass(&site, &[&https, &mail, &file], Hurry::AtOnce, now + 2 + round);
        }
        let items = site.items().unwrap();
        for sequence in 1..=sealed {
            let item = &items[sequence as usize - 1];
            let here = arrived.borrow().get(&sequence).cloned().unwrap_or_default();
            if item.state == State::SetAside {
                prop_assert!(item.last_error.is_some());
                continue;
            }
            prop_assert_ne!(item.state, State::Waiting);
            prop_assert_eq!(here, BTreeSet::from([item.sha256.clone()]), "batch {}", sequence);
        }
        check_chain(&site);
    }
}
