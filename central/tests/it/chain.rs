//! Gaps, forks, epochs: what a site's tokens say about each other.

use meterpost_wire::batch::{Chain, Health, Link, Void, VoidReason};
use meterpost_wire::receipt::RefusalCode;
use meterpost_wire::{Batch, seal};

use super::bed::{Central, SESSION, Site, printer};
use super::submit::{deliver, refusal_of};

fn chained(site: &Site, sequence: u64, previous: &Batch) -> Batch {
    Batch { previous: Some(seal::token_sha256(&site.seal(previous))), ..site.batch(sequence, vec![]) }
}

#[test]
fn a_gap_is_told_in_every_receipt_until_it_is_filled() {
    let central = Central::start();
    let site = central.add_site("North");
    let batches: Vec<Batch> = (1..=5).map(|sequence| site.batch(sequence, vec![])).collect();
    deliver(&central, &site, &batches[0]);
    let receipt = deliver(&central, &site, &batches[4]);
    assert_eq!((receipt.claims.acknowledged_through, receipt.claims.highest), (1, Some(5)));
    assert_eq!(receipt.claims.missing, [(2, 4)]);
    let receipt = deliver(&central, &site, &batches[2]);
    assert_eq!(receipt.claims.missing, [(2, 2), (4, 4)]);
    deliver(&central, &site, &batches[1]);
    let receipt = deliver(&central, &site, &batches[3]);
    assert_eq!((receipt.claims.acknowledged_through, receipt.claims.missing.len()), (5, 0));
}

#[test]
fn a_void_says_which_numbers_need_not_be_waited_for() {
    let central = Central::start();
    let site = central.add_site("North");
    deliver(&central, &site, &site.batch(1, vec![]));
    let voids =
        vec![Void { from: 2, to: 9, reason: VoidReason::Lost }, Void { from: 10, to: 12, reason: VoidReason::Deleted }];
    let chain = Some(Chain { links: Vec::new(), voids });
    let receipt = deliver(&central, &site, &Batch { chain, ..site.batch(10, vec![]) });
    assert_eq!((receipt.claims.acknowledged_through, receipt.claims.missing.len()), (10, 0));
    assert_eq!(central.counted("SELECT count(*) FROM note WHERE flags LIKE '%void_ignored%'"), 1);
}

#[test]
fn two_tokens_under_one_sequence_are_both_kept_and_the_site_is_marked() {
    let central = Central::start();
    let site = central.add_site("North");
    deliver(&central, &site, &site.batch(1, vec![printer("A1", 10, "2026-11-20T06:00:00Z")]));
    let mut clone = site.batch(1, vec![printer("A1", 11, "2026-11-20T07:00:00Z")]);
    clone.id = "0192f0c1-7b7e-7000-8000-00000000ffff".to_owned();
    let receipt = deliver(&central, &site, &clone);
    assert_eq!(receipt.claims.acknowledged_through, 1);
    assert_eq!(central.counted("SELECT count(*) FROM batch"), 2);
    assert_eq!(central.counted("SELECT count(*) FROM reading"), 2);
    assert_eq!(central.counted("SELECT sequence FROM fork"), 1);
    let sites = central.page(&central.log_in(), "/sites");
    assert!(sites.body.contains("Forked: two tokens used sequence 1,"), "{}", sites.body);
}

#[test]
fn a_hash_that_a_later_batch_names_otherwise_is_a_fork_in_either_order() {
    for stored_first in [true, false] {
        let central = Central::start();
        let site = central.add_site("North");
        let stored = site.batch(3, vec![]);
        let links = vec![Link { sequence: 3, sha256: "ab".repeat(32) }];
        let later = Batch { chain: Some(Chain { links, voids: Vec::new() }), ..site.batch(5, vec![]) };
        let order = if stored_first { [&stored, &later] } else { [&later, &stored] };
        order.into_iter().for_each(|batch| drop(deliver(&central, &site, batch)));
        assert_eq!(central.counted("SELECT count(*) FROM fork WHERE sequence = 3"), 1, "{stored_first}");
    }
}

#[test]
fn an_unbroken_chain_is_no_fork() {
    let central = Central::start();
    let site = central.add_site("North");
    let first = site.batch(1, vec![]);
    let second = chained(&site, 2, &first);
    let third = chained(&site, 3, &second);
    for batch in [&first, &third, &second] {
        deliver(&central, &site, batch);
    }
    assert_eq!(central.counted("SELECT count(*) FROM fork"), 0);
    assert_eq!(central.counted("SELECT count(*) FROM note WHERE flags != ''"), 0);
}

#[test]
fn one_batch_id_with_two_tokens_is_a_conflict_and_the_first_stays() {
    let central = Central::start();
    let site = central.add_site("North");
    let first = site.batch(1, vec![]);
    deliver(&central, &site, &first);
    let second = Batch { sequence: 2, ..first.clone() };
    let token = site.seal(&second);
    let refusal = refusal_of(&central.submit(&site, &second, &token), &site, &second, &token);
    assert_eq!(refusal.code, RefusalCode::BatchConflict);
    assert_eq!(central.counted("SELECT count(*) FROM batch"), 1);
    assert_eq!(central.counted("SELECT count(*) FROM quarantine"), 1);
}

#[test]
fn the_first_token_of_the_next_epoch_moves_the_site_and_late_mail_still_opens() {
    let central = Central::start();
    let old = central.add_site("North");
    let new = old.next_epoch();
    deliver(&central, &old, &old.batch(1, vec![]));
    let late = old.batch(2, vec![]);
    deliver(&central, &new, &chained(&old, 3, &late));
    assert_eq!(central.counted("SELECT epoch FROM site"), 2);
    // The old bearer token is taken for a day more, and the batch is the one that a later one names.
    deliver(&central, &old, &late);
    // What the hashes do not cover comes after a batch of the new epoch: a stolen old key cannot add to it.
    let forged = Batch { id: "0192f0c1-7b7e-7000-8000-00000000ffff".to_owned(), ..old.batch(4, vec![]) };
    let token = old.seal(&forged);
    let refusal = refusal_of(&central.submit(&old, &forged, &token), &old, &forged, &token);
    assert_eq!(refusal.code, RefusalCode::BatchConflict);
}

#[test]
fn an_epoch_beyond_the_next_is_not_known_yet() {
    let central = Central::start();
    let site = central.add_site("North");
    let far = site.next_epoch().next_epoch();
    let batch = far.batch(1, vec![]);
    let token = far.seal(&batch);
    let answer = central.submit(&site, &batch, &token);
    assert_eq!((answer.status, answer.element("code").as_deref()), (500, Some("unknown-key")));
    assert_eq!(answer.element("refusal"), None);
    let bearer = central.submit(&far, &batch, &token);
    assert_eq!(bearer.status, 401);
}

#[test]
fn the_page_of_a_site_names_gaps_and_takes_note_of_forks() {
    let central = Central::start();
    let site = central.add_site("North <b>");
    let first = Batch { id: "0192f0c1-7b7e-7000-8000-00000000ffff".to_owned(), ..site.batch(1, vec![]) };
    let health = Health { queue_handed_over: Some(12), schedule: Some("0 */6 * * *".to_owned()), ..Health::default() };
    deliver(&central, &site, &first);
    deliver(&central, &site, &site.batch(1, vec![printer("A1", 11, "2026-11-20T07:00:00Z")]));
    deliver(&central, &site, &Batch { health: Some(health), ..site.batch(4, vec![]) });

    let session = central.log_in();
    let place = format!("/sites/{}", site.epoch.kid().site());
    let list = central.page(&session, "/sites");
    assert!(list.body.contains(&format!("<a href=\"{place}\">North &#60;b&#62;</a>")), "{}", list.body);
    let page = central.page(&session, &place);
    for said in [
        "Batches: 2 missing of 4",
        "<li>2–3: 1 device not read since, no alert events lost; known for 0 min",
        "; re-send code ",
        "the site hears of it over HTTPS and sends again by itself",
        "<dt>Handed over</dt><dd>12 batches</dd>",
        "<dt>Schedule</dt><dd>0 */6 * * *</dd>",
        "<dt>Key, epoch 1</dt><dd>A256CBC-HS512, current</dd>",
    ] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
    let token = page.field("token").expect("a form's token");
    let note = |token: &str, sequence: &str| {
        let head = format!(
            "POST {place} HTTP/1.1\r\nHost: central\r\nCookie: {SESSION}={session}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        central.request(&head, format!("token={token}&sequence={sequence}&remark=a+clone").as_bytes()).status
    };
    assert_eq!((note("wrong", "1"), note(&token, "4")), (403, 404));
    assert_eq!(central.counted("SELECT count(*) FROM fork_note"), 0);
    assert_eq!(note(&token, "1"), 303);
    let page = central.page(&session, &place);
    assert!(page.body.contains("by admin: a clone</li>") && !page.body.contains("Forked: two tokens"), "{}", page.body);
    assert_eq!(central.page(&session, "/sites/nowhere").status, 404);
    assert_eq!(central.page("", &place).status, 303, "only for people who are logged in");
}
