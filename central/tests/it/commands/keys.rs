//! The life of a site's keys, from the command line.

use std::path::Path;

use meterpost_wire::Batch;
use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::receipt::RefusalCode;

use super::super::bed::{Site, printer};
use super::super::submit::{receipt_of, refusal_of};
use super::{Served, check};

fn enrolment(dir: &Path, arguments: &[&str], warning: &str) -> Enrolment {
    Enrolment::parse(&check(dir, arguments, 0, warning)).expect("an enrolment token")
}

fn deliver(served: &Served, site: &Site, batch: &Batch) {
    let token = site.seal(batch);
    receipt_of(&served.submit(site, batch, &token), site, batch, &token);
}

#[test]
fn a_rotated_site_moves_with_its_first_batch_and_its_late_mail_still_opens() {
    let dir = tempfile::tempdir().expect("a directory");
    let old = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let served = Served::start(dir.path());
    deliver(&served, &old, &old.batch(1, vec![printer("A1", 10, "2026-11-20T06:01:44Z")]));
    let late = old.batch(2, vec![]);

    let rotated = enrolment(dir.path(), &["site", "rotate", "north"], "");
    assert_eq!((&rotated.epoch, rotated.sequence), (&old.epoch.next(), Some(1_001)));
    let again = enrolment(dir.path(), &["site", "rotate", "North"], "");
    assert_eq!(again.epoch, rotated.epoch, "as often as it is asked for, until the site uses it");
    let shown = check(dir.path(), &["site", "show", "North"], 0, "");
    assert!(shown.contains("epoch 1     A256CBC-HS512, current\n"), "{shown}");
    assert!(shown.contains("epoch 2     A256CBC-HS512, next; its enrolment token was printed "), "{shown}");
    deliver(&served, &old, &old.batch(3, vec![]));

    let new = Site { epoch: rotated.epoch };
    deliver(&served, &new, &new.batch(1_001, vec![]));
    deliver(&served, &old, &late);
    let shown = check(dir.path(), &["site", "show", "North"], 0, "");
    assert!(shown.contains("epoch 1     A256CBC-HS512, ended "), "{shown}");
    assert!(shown.contains("epoch 2     A256CBC-HS512, current\n"), "{shown}");
    assert_eq!(enrolment(dir.path(), &["site", "token", "North"], "").epoch, new.epoch);

    let jwk = check(dir.path(), &["site", "show", "North", "--jwk", "2"], 0, "");
    assert_eq!(jwk.trim_end(), *new.epoch.batch_key().to_jwk(new.epoch.kid()));
    check(dir.path(), &["site", "show", "North", "--jwk", "9"], 2, "`North` has no key of epoch 9: it has 1, 2, 3");
}

#[test]
fn a_rotation_may_change_the_cipher_and_says_which_token_is_void_then() {
    let dir = tempfile::tempdir().expect("a directory");
    let old = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    enrolment(dir.path(), &["site", "rotate", "North"], "");
    let arguments = ["site", "rotate", "North", "--enc", "A128CBC-HS256"];
    let rotated = enrolment(dir.path(), &arguments, "warning: the token for epoch 2 that was printed ");
    assert_eq!(rotated.epoch.enc().as_str(), "A128CBC-HS256");
    assert_eq!(rotated.epoch.secret(), old.epoch.next().secret());
    let served = Served::start(dir.path());
    let new = Site { epoch: rotated.epoch };
    deliver(&served, &new, &new.batch(1, vec![]));
    // The one after it keeps the cipher.
    assert_eq!(enrolment(dir.path(), &["site", "rotate", "North"], "").epoch, new.epoch.next());
    check(dir.path(), &["site", "rotate", "North", "--enc", "DES"], 2, "`A256CBC-HS512` or `A128CBC-HS256`");
    check(dir.path(), &["site", "rotate", "South"], 2, "there is no site `South`");
}

#[test]
fn a_stolen_key_is_closed_at_once_and_a_fresh_one_does_not_follow_from_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let stolen = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let served = Served::start(dir.path());
    deliver(&served, &stolen, &stolen.batch(1, vec![]));
    deliver(&served, &stolen, &stolen.batch(4, vec![]));
    let out = check(dir.path(), &["site", "revoke", "North"], 0, "");
    assert!(out.starts_with("revoked: no batch above 4 is taken under the keys of `North` any more;"), "{out}");

    for thief in [&stolen, &stolen.next_epoch()] {
        let batch = thief.batch(5, vec![]);
        assert_eq!(served.submit(thief, &batch, &thief.seal(&batch)).status, 401);
    }
    check(
        dir.path(),
        &["site", "rotate", "North"],
        2,
        "the keys of the site `North` are revoked: `site rotate --fresh`",
    );
    check(dir.path(), &["site", "token", "North"], 2, "are revoked");
    // What was under way by mail is taken; what is new under that key, or follows from it, is not.
    let file = |name: &str, token: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, token).expect("written");
        path.display().to_string()
    };
    let (late, new) = (stolen.seal(&stolen.batch(2, vec![])), stolen.seal(&stolen.batch(5, vec![])));
    let next = stolen.next_epoch();
    let ahead = next.seal(&next.batch(6, vec![]));
    check(dir.path(), &["import", &file("late.jwe", late)], 0, "");
    check(dir.path(), &["import", &file("new.jwe", new)], 3, "the key of epoch 1 of site `North` is not known here");
    check(
        dir.path(),
        &["import", &file("ahead.jwe", ahead)],
        3,
        "the key of epoch 2 of site `North` is not known here",
    );

    let fresh = enrolment(dir.path(), &["site", "rotate", "North", "--fresh"], "");
    assert_eq!((fresh.epoch.kid().epoch(), fresh.sequence), (2, Some(1_004)));
    assert_ne!(fresh.epoch, stolen.epoch.next());
    assert_eq!(enrolment(dir.path(), &["site", "token", "North"], "").epoch, fresh.epoch);
    let new = Site { epoch: fresh.epoch };
    deliver(&served, &new, &new.batch(1_004, vec![]));
    // What still waits there under the closed key waits on, and nothing is said of it that would set it aside.
    let waiting = stolen.batch(5, vec![]);
    let token = stolen.seal(&waiting);
    let body = meterpost_wire::soap::submit_batch(stolen.epoch.kid().site(), &waiting.id, 5, &token);
    let head =
        format!("POST /soap/v1 HTTP/1.1\r\nHost: central\r\nAuthorization: Bearer {}\r\n", *new.epoch.submit_token());
    let answer = super::super::bed::send(served.address, &head, body.as_bytes());
    assert_eq!((answer.status, answer.element("code").as_deref()), (500, Some("unknown-key")), "{}", answer.body);
    assert_eq!(answer.element("refusal"), None);
    let shown = check(dir.path(), &["site", "show", "North"], 0, "");
    assert!(
        shown.contains("epoch 1     A256CBC-HS512, revoked ") && shown.contains(", opens batches up to 4\n"),
        "{shown}"
    );
    served.kill();
    check(dir.path(), &["check", "--rederive"], 0, "");
}

#[test]
fn a_batch_of_an_old_epoch_that_comes_after_the_new_one_began_is_kept_and_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let old = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let served = Served::start(dir.path());
    let new = Site { epoch: enrolment(dir.path(), &["site", "rotate", "North"], "").epoch };
    deliver(&served, &new, &new.batch(2, vec![]));
    let batch = old.batch(3, vec![]);
    let token = old.seal(&batch);
    let refusal = refusal_of(&served.submit(&old, &batch, &token), &old, &batch, &token);
    assert_eq!(refusal.code, RefusalCode::BatchConflict);
}
