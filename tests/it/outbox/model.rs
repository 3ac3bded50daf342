//! A site against a model of it: whatever happens, in whatever order, what was queued is at the central once, or its number is
//! named there, or a person sees it set aside.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;
use meterpost::deliver::{Channel, Hurry, Outgoing, Pace, SendError, Sent};
use meterpost::open;
use meterpost::outbox::State;
use meterpost::outbox::cap::{Room, room};
use meterpost::site::{Site, SiteError, Terms};
use meterpost_wire::seal::token_sha256;
use meterpost_wire::xml;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::site::*;

/// Small, so that the steps of the cap are reached.
const CAP: u64 = 15_000;

const SEED: u64 = 2026;

const DAY: i64 = 86_400;

#[derive(Clone, Debug)]
enum Action {
    /// A sweep that found so many printers.
    Read(u8),
    /// A pass over the queue, with what becomes of each sending by HTTPS and by mail; well after the last one.
    Send(Vec<Fate>, Vec<Fate>),
    Wait(u32),
    Delete(u8),
    Retry(u8),
    Expire,
    /// The site goes on under the next epoch's keys.
    Rotate,
    /// The program ends without a word, and starts again.
    Crash,
    Backup,
    Restore,
}

/// What becomes of a sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Well,
    /// It arrives; the receipt does not, or a late one of another batch does.
    ReceiptLost,
    NothingArrives,
    Away,
    /// With a refusal that verifies.
    Refused,
    /// A relay took it and lost it.
    LostLater,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0..4_u8).prop_map(Action::Read),
        6 => (fates(), fates()).prop_map(|(https, mail)| Action::Send(https, mail)),
        2 => (0..200_000_u32).prop_map(Action::Wait),
        1 => any::<u8>().prop_map(Action::Delete),
        1 => any::<u8>().prop_map(Action::Retry),
        1 => Just(Action::Expire),
        1 => Just(Action::Rotate),
        2 => Just(Action::Crash),
        1 => Just(Action::Backup),
        1 => Just(Action::Restore),
    ]
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    use Fate::*;
    let fate = prop_oneof![
        5 => Just(Well), 2 => Just(ReceiptLost), 2 => Just(NothingArrives), 3 => Just(Away), 1 => Just(Refused), 2 => Just(LostLater)
    ];
    prop::collection::vec(fate, 0..9)
}

/// What a central must know.
#[derive(Default)]
struct Office {
    /// Hashes by sequence.
    stored: BTreeMap<u64, BTreeSet<String>>,
    voids: BTreeSet<u64>,
}

impl Office {
    fn take(&mut self, item: &Outgoing) {
        let opened = open::with_enrolment(&item.token, &enrolment(epoch(item.epoch))).unwrap();
        let batch = xml::decode(&opened.xml).unwrap().batch;
        assert_eq!((batch.sequence, &batch.id), (item.sequence, &item.id));
        self.stored.entry(item.sequence).or_default().insert(token_sha256(&item.token));
        let voids = batch.chain.map(|chain| chain.voids).unwrap_or_default();
        self.voids.extend(voids.into_iter().flat_map(|void| void.from..=void.to));
    }

    fn highest(&self) -> u64 {
        self.stored.keys().next_back().copied().unwrap_or(0)
    }

    fn missing(&self) -> Vec<(u64, u64)> {
        let open = |sequence: &u64| !self.stored.contains_key(sequence) && !self.voids.contains(sequence);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for sequence in (1..self.highest()).filter(open) {
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == sequence => *to = sequence,
                _ => ranges.push((sequence, sequence)),
            }
        }
        ranges.truncate(32);
        ranges
    }
}

struct Way<'a> {
    name: &'static str,
    fates: RefCell<VecDeque<Fate>>,
    office: &'a RefCell<Office>,
}

impl Channel for Way<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn send(&self, item: &Outgoing) -> Result<Sent, SendError> {
        let fate = self.fates.borrow_mut().pop_front().unwrap_or(Fate::Well);
        let by_mail = self.name == "mail";
        if matches!(fate, Fate::Well | Fate::ReceiptLost) {
            self.office.borrow_mut().take(item);
        }
        let (receipt, mut claims) = receipt(item, &epoch(item.epoch).receipt_key(), at(0));
        let office = self.office.borrow();
        (claims.highest, claims.missing) = (Some(office.highest()), office.missing());
        match fate {
            Fate::Well | Fate::LostLater if by_mail => Ok(Sent::HandedOver),
            Fate::Well => Ok(Sent::Receipt { receipt, claims }),
            Fate::Away => Err(SendError::Down { reason: "away".into(), at_least: None }),
            Fate::Refused if by_mail => Err(SendError::NotHere("too large".into())),
            Fate::Refused => {
                Err(SendError::Refused { reason: "batch-conflict".into(), refusal: receipt, claims: Box::new(claims) })
            }
            Fate::ReceiptLost | Fate::NothingArrives | Fate::LostLater => Err(SendError::Unsure("no answer".into())),
        }
    }
}

/// A batch that was queued.
struct Queued {
    sequence: u64,
    sha256: String,
}

/// What must be true of a site.
#[derive(Default)]
struct Model {
    queued: Vec<Queued>,
    /// How many were queued when the backup was made.
    backed_up: Option<usize>,
    /// A backup was put back: numbers may have been used twice since.
    restored: bool,
    /// Sweeps that no batch has told of as not sealed.
    not_sealed: u32,
    epoch: u32,
}

/// One sweep; whether it was sealed is as the queue stands.
fn read(site: &Site, model: &mut Model, printers: u8, now: i64) {
    let (instant, before) = (at(now), site.tally().unwrap());
    let admitted = site.admits_sweep(CAP, &instant.to_zoned(TimeZone::UTC)).unwrap();
    let stands = room(before.bytes, CAP);
    if !admitted {
        assert!(matches!(stands, Room::Daily | Room::Weekly), "{stands:?}");
        model.not_sealed += 1;
        return;
    }
    let mut sealer = site.sealer(Terms { queue_bytes_max: CAP, ..terms(instant) }).unwrap();
    for n in 0..u32::from(printers) {
        sealer.push(gathered(printer(n, instant)), instant).unwrap();
    }
    match sealer.finish(&end(instant, u32::from(printers)), instant) {
        Ok(summary) => {
            assert_ne!(stands, Room::None);
            let sequence = *summary.sequences.last().unwrap();
            let told = inside(site, sequence).batch.health.unwrap().sweeps_not_sealed;
            assert_eq!(told.unwrap_or(0), std::mem::take(&mut model.not_sealed));
            let items = site.items().unwrap();
            let new = items.iter().filter(|item| summary.sequences.contains(&item.sequence));
            model.queued.extend(new.map(|item| Queued { sequence: item.sequence, sha256: item.sha256.clone() }));
        }
        Err(SiteError::QueueFull { .. }) => {
            assert_eq!(stands, Room::None);
            model.not_sealed += 1;
        }
        Err(error) => panic!("{error}"),
    }
}

/// What is true after every step: what the model has queued is here as it was, or has left by a way that is allowed.
fn check(site: &Site, model: &Model, office: &Office) {
    let items: BTreeMap<u64, (String, State)> =
        site.items().unwrap().into_iter().map(|item| (item.sequence, (item.sha256, item.state))).collect();
    for (sequence, (sha256, state)) in &items {
        assert!(model.queued.iter().any(|queued| &queued.sha256 == sha256), "{sequence} was never queued");
        if *state == State::Delivered {
            assert!(office.stored[sequence].contains(sha256), "{sequence} is acknowledged and not there");
        }
    }
    let next = site.next_sequence().unwrap();
    let highest = model.queued.iter().map(|queued| queued.sequence).max().unwrap_or(0);
    assert!(next > highest || model.restored, "{next} was used");
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    crate::site::copy(from, to);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40, failure_persistence: None, rng_seed: RngSeed::Fixed(SEED), ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_a_site_goes_through_what_it_queued_arrives_once_or_is_named(
        actions in prop::collection::vec(action(), 1..40),
    ) {
        let (dir, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (data, backup) = (dir.path().join("data"), kept.path().join("data"));
        let office = RefCell::new(Office::default());
        let mut site = enrolled(dir.path());
        let (mut model, mut now) = (Model { epoch: 1, ..Model::default() }, 0);
        let pass = |site: &Site, https: Vec<Fate>, mail: Vec<Fate>, now: i64| {
            let [https, mail] = [("https", https), ("mail", mail)]
                .map(|(name, fates)| Way { name, fates: RefCell::new(fates.into()), office: &office });
            site.deliver(&[&https, &mail], Hurry::AtOnce, &Pace { now: &|| at(now), dice: &|| 0, stopped: &|| false }).unwrap();
        };
        for action in actions {
            now += 1;
            let any = |nth: u8| {
                let items = site.items().unwrap();
                (!items.is_empty()).then(|| items[usize::from(nth) % items.len()].sequence)
            };
            match action {
                Action::Read(printers) => read(&site, &mut model, printers, now),
                Action::Send(https, mail) => pass(&site, https, mail, now),
                Action::Wait(seconds) => now += i64::from(seconds),
                Action::Delete(nth) => {
                    if let Some(sequence) = any(nth) {
                        site.delete(sequence, at(now)).unwrap();
                    }
                }
                Action::Retry(nth) => {
                    if let Some(sequence) = any(nth) {
                        site.retry(sequence, at(now)).unwrap();
                    }
                }
                Action::Expire => {
                    now += 31 * DAY;
                    site.expire(at(now)).unwrap();
                }
                Action::Rotate => {
                    drop(site);
                    model.epoch += 1;
                    site = Site::enroll(&paths(dir.path()), &enrolment(epoch(model.epoch)).to_token(), at(now)).unwrap().0;
                }
                Action::Crash => {
                    drop(site);
                    site = Site::open(&paths(dir.path())).unwrap();
                }
                Action::Backup => {
                    drop(site);
                    copy(&data, &backup);
                    model.backed_up = Some(model.queued.len());
                    site = Site::open(&paths(dir.path())).unwrap();
                }
                Action::Restore => {
                    if let Some(then) = model.backed_up {
                        drop(site);
                        copy(&backup, &data);
                        // what was sealed since and is not at the central has gone with the disk, and nobody can know of it
                        let office = office.borrow();
                        let mut nth = 0;
                        model.queued.retain(|queued| {
                            nth += 1;
                            nth <= then || office.stored.get(&queued.sequence).is_some_and(|here| here.contains(&queued.sha256))
                        });
                        model.restored = true;
                        site = Site::enroll(&paths(dir.path()), &enrolment(epoch(model.epoch)).to_token(), at(now)).unwrap().0;
                        let told = site.store().read(|tx| tx.fact("sweeps_not_sealed")).unwrap();
                        model.not_sealed = told.map_or(0, |text| text.parse().unwrap());
                    }
                }
            }
            check(&site, &model, &office.borrow());
        }
        // everything is well again; room is made, and two more batches carry the news
        for _ in 0..4 {
            now += 8 * DAY;
            pass(&site, vec![], vec![], now);
            pass(&site, vec![], vec![], now);
            read(&site, &mut model, 1, now);
            pass(&site, vec![], vec![], now + 1);
            pass(&site, vec![], vec![], now + 2);
        }
        check(&site, &model, &office.borrow());
        let office = office.borrow();
        let items: BTreeMap<String, State> = site.items().unwrap().into_iter().map(|item| (item.sha256, item.state)).collect();
        for Queued { sequence, sha256 } in &model.queued {
            let stored = office.stored.get(sequence).is_some_and(|here| here.contains(sha256));
            let named = office.voids.contains(sequence) || items.get(sha256) == Some(&State::SetAside);
            prop_assert!(stored || named, "batch {} is lost and nobody says so", sequence);
            prop_assert!(items.get(sha256) != Some(&State::Waiting), "batch {} waits for ever", sequence);
        }
        for (sequence, here) in &office.stored {
            prop_assert!(here.len() == 1 || model.restored, "two batches have number {}", sequence);
        }
        prop_assert_eq!(office.missing(), vec![]);
    }
}
