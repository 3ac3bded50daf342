//! Delivering against a scripted channel, and over real sockets against centrals that are not what they should be. Each
//! item ends where the outbox says, and nothing is ever lost.

mod hostile;
mod ladder;
pub mod mail;
#[cfg(target_os = "linux")]
pub mod postfix;
#[cfg(target_os = "linux")]
mod sasl;
pub mod tls;

use std::time::Duration;

use meterpost::deliver::{Hurry, Outgoing, SendError, Sent};
use meterpost::outbox::{self, State};
use meterpost::site::Site;
use meterpost_wire::batch::{Void, VoidReason};

use crate::site::*;

fn down(reason: &str) -> Result<Sent, SendError> {
    Err(SendError::Down { reason: reason.into(), at_least: None })
}

fn states(site: &Site) -> Vec<State> {
    site.items().unwrap().iter().map(|item| item.state).collect()
}

fn queued(site: &Site, count: u32) {
    for n in 0..count {
        seal_one(site, n, at(0));
    }
}

#[test]
fn the_newest_goes_first_and_then_an_old_and_a_new_one_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 5);
    let channel = Scripted::new(honest);
    let report = deliver(&site, &channel, Hurry::WhenDue, at(1));
    assert_eq!(channel.sent.take(), [5, 1, 4, 2, 3]);
    assert_eq!((report.delivered, report.is_clean()), (5, true));
    let receipt = site.store().read(|tx| outbox::receipt(tx, 1)).unwrap().unwrap();
    assert_eq!(receipt.matches('.').count(), 2, "the receipt is kept as it came");
}

#[test]
fn a_channel_that_is_down_moves_no_item_and_is_asked_again_later_and_later() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 3);
    let channel = Scripted::new(|_: &Outgoing| down("no connection"));
    let report = deliver(&site, &channel, Hurry::WhenDue, at(0));
    assert_eq!((channel.sent.borrow().len(), report.left), (1, 3), "three items need not learn the same");
    assert_eq!(report.rests.unwrap().due_at, at(60));
    assert_eq!(site.items().unwrap()[2].attempts, 0);

    deliver(&site, &channel, Hurry::WhenDue, at(59));
    assert_eq!(channel.sent.borrow().len(), 1, "it rests");
    assert_eq!(site.deliver_next(&["https"]).unwrap(), Some(at(60)));
    let report = deliver(&site, &channel, Hurry::WhenDue, at(60));
    assert_eq!(report.rests.unwrap().due_at, at(180), "twice as long");
    // a scheduled run does not wait
    let works = Scripted::new(honest);
    assert_eq!(deliver(&site, &works, Hurry::AtOnce, at(61)).delivered, 3);
    assert_eq!(site.deliver_next(&["https"]).unwrap(), None);
}

#[test]
fn a_channel_that_asks_for_time_gets_it_and_no_more_than_six_hours() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    for (asked, rests) in [(600, 600), (10_000_000, 6 * 3_600)] {
        let busy = SendError::Down { reason: "busy".into(), at_least: Some(Duration::from_secs(asked)) };
        let channel = Scripted::new(|_: &Outgoing| Err(busy.clone()));
        let report = deliver(&site, &channel, Hurry::AtOnce, at(0));
        assert_eq!(report.rests.unwrap().due_at, at(rests));
    }
}

#[test]
fn an_unsure_item_waits_alone_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 4);
    let odd = |item: &Outgoing| if item.sequence == 4 { Err(SendError::Unsure("cut".into())) } else { honest(item) };
    let channel = Scripted::new(odd);
    let report = deliver(&site, &channel, Hurry::WhenDue, at(0));
    assert_eq!((report.delivered, report.unsure, report.left), (3, 1, 0));
    let item = &site.items().unwrap()[3];
    assert_eq!((item.attempts, item.due_at, item.last_error.as_deref()), (1, at(60), Some("cut")));
    deliver(&site, &channel, Hurry::WhenDue, at(59));
    deliver(&site, &channel, Hurry::WhenDue, at(60));
    let item = &site.items().unwrap()[3];
    assert_eq!((item.attempts, item.due_at), (2, at(180)), "tried once more, and not before its time");
}

#[test]
fn five_unsure_items_in_a_row_are_the_channels_failure() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 9);
    let channel = Scripted::new(|_: &Outgoing| Err(SendError::Unsure("forged".into())));
    let report = deliver(&site, &channel, Hurry::WhenDue, at(0));
    assert_eq!((report.unsure, report.left, channel.sent.borrow().len()), (5, 4, 5));
    assert_eq!(report.rests.unwrap().due_at, at(60));
    let report = deliver(&site, &channel, Hurry::AtOnce, at(1));
    assert_eq!(report.rests.unwrap().due_at, at(1 + 120), "and it doubles");
}

#[test]
fn an_unknown_key_leaves_its_item_waiting_and_raises_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 2);
    let odd =
        |item: &Outgoing| if item.sequence == 2 { Err(SendError::UnknownKey("key".into())) } else { honest(item) };
    deliver(&site, &Scripted::new(odd), Hurry::AtOnce, at(0));
    assert_eq!(states(&site), [State::Delivered, State::Waiting]);
    assert_eq!(site.events(at(0), 9).unwrap()[0].code, "unknown-key");
}

#[test]
fn what_a_receipt_names_missing_is_sent_again_and_what_is_gone_becomes_a_void() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = enrolled(dir.path());
    queued(&site, 4);
    deliver(&site, &Scripted::new(honest), Hurry::AtOnce, at(0));
    site.delete(2, at(1)).unwrap();
    seal_one(&site, 5, at(2));
    let forgetful = |item: &Outgoing| {
        let (receipt, mut claims) = receipt(item, &epoch(1).receipt_key(), at(0));
        claims.missing = vec![(2, 3), (900, 901)];
        Ok(Sent::Receipt { receipt, claims })
    };
    deliver(&site, &Scripted::new(forgetful), Hurry::AtOnce, at(3));
    assert_eq!(states(&site), [State::Delivered, State::Waiting, State::Delivered, State::Delivered]);
    seal_one(&site, 6, at(4));
    let voids = inside(&site, 6).batch.chain.unwrap().voids;
    assert_eq!(voids, [Void { from: 2, to: 2, reason: VoidReason::Expired }]);
    // numbers that were never used are none of its business
    assert_eq!(site.expire(at(40 * 86_400)).unwrap(), 3);
}

#[test]
fn rotten_bytes_are_not_sent_but_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 3);
    let file = rusqlite::Connection::open(dir.path().join("data").join(meterpost::store::FILE)).unwrap();
    file.execute("UPDATE batch SET token = x'65790a' WHERE seq = 2", []).unwrap();
    let channel = Scripted::new(honest);
    let report = deliver(&site, &channel, Hurry::AtOnce, at(0));
    assert_eq!((channel.sent.take(), report.set_aside), (vec![3, 1], 1));
    assert_eq!(states(&site), [State::Delivered, State::SetAside, State::Delivered]);
    assert_eq!(site.events(at(0), 9).unwrap()[0].code, "rotten");
}

#[test]
fn what_was_handed_over_ends_after_thirty_days_or_by_a_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = enrolled(dir.path());
    queued(&site, 3);
    deliver(&site, &Scripted::new(|_: &Outgoing| Ok(Sent::HandedOver)), Hurry::AtOnce, at(0));
    assert_eq!(states(&site), [State::HandedOver; 3]);
    // a person sends one again, and a receipt names another missing
    site.retry(1, at(1)).unwrap();
    let names_two = |item: &Outgoing| {
        let (receipt, mut claims) = receipt(item, &epoch(1).receipt_key(), at(0));
        claims.missing = vec![(2, 2)];
        Ok(Sent::Receipt { receipt, claims })
    };
    deliver(&site, &Scripted::new(names_two), Hurry::AtOnce, at(2));
    assert_eq!(states(&site), [State::Delivered, State::Waiting, State::HandedOver]);
    site.expire(at(30 * 86_400)).unwrap();
    assert_eq!(states(&site), [State::Waiting], "what waits has no age limit");
}

#[test]
fn a_restored_backup_goes_on_above_what_the_central_has() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let ahead = |highest| {
        move |item: &Outgoing| {
            let (receipt, mut claims) = receipt(item, &epoch(1).receipt_key(), at(0));
            claims.highest = Some(highest);
            Ok(Sent::Receipt { receipt, claims })
        }
    };
    deliver(&site, &Scripted::new(ahead(50)), Hurry::AtOnce, at(0));
    assert_eq!(seal_one(&site, 2, at(1)), 1_050);
    assert_eq!(
        inside(&site, 1_050).batch.chain.unwrap().voids,
        [Void { from: 2, to: 1_049, reason: VoidReason::Lost }]
    );
    // a number that cannot be is not believed
    deliver(&site, &Scripted::new(ahead(9_000_000_000)), Hurry::AtOnce, at(2));
    assert_eq!(seal_one(&site, 3, at(3)), 1_051);
    assert_eq!(site.events(at(0), 9).unwrap()[0].code, "highest");
}

#[test]
fn a_pass_that_is_stopped_leaves_the_rest_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 3);
    let channel = Scripted::new(honest);
    let stopped = || !channel.sent.borrow().is_empty();
    let pace = meterpost::deliver::Pace { now: &|| at(0), dice: &|| 0, stopped: &stopped };
    let report = site.deliver(&[&channel], Hurry::AtOnce, &pace).unwrap();
    assert_eq!((report.delivered, report.left), (1, 2));
}

#[test]
fn whatever_was_answered_before_it_is_stored_once() {
    // the far side stores and its answer is lost: the same bytes come again, and its hash tells it so
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let tokens = std::cell::RefCell::new(Vec::new());
    let lost = Scripted::new(|item: &Outgoing| {
        tokens.borrow_mut().push(item.token.clone());
        Err(SendError::Unsure("cut".into()))
    });
    deliver(&site, &lost, Hurry::AtOnce, at(0));
    deliver(&site, &lost, Hurry::AtOnce, at(1));
    assert_eq!(tokens.borrow()[0], tokens.borrow()[1]);
}
