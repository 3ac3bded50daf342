//! Batches on their way in, and what became of them.

use std::sync::Arc;

use meterpost_central::store::ReadingsFrom;
use meterpost_wire::reading::{Outcome, Scope};
use meterpost_wire::receipt::{self, Disposition, Receipt, Refusal, RefusalCode, Submitted};
use meterpost_wire::{Batch, seal, xml};

use super::bed::{Answer, Central, Site, block_on, printer};

/// Takes the receipt of an answer, as the site that sent the batch would.
#[track_caller]
pub fn receipt_of(answer: &Answer, site: &Site, batch: &Batch, token: &str) -> Receipt {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let sha256 = seal::token_sha256(token);
    let item =
        Submitted { site: site.epoch.kid().site(), batch_id: &batch.id, sequence: batch.sequence, sha256: &sha256 };
    let jws = answer.element("receipt").expect("a receipt");
    receipt::verify_receipt(&jws, &site.epoch.receipt_key(), &item).expect("it verifies")
}

/// Takes the refusal of an answer.
#[track_caller]
pub fn refusal_of(answer: &Answer, site: &Site, batch: &Batch, token: &str) -> Refusal {
    assert_eq!(answer.status, 500, "{}", answer.body);
    let sha256 = seal::token_sha256(token);
    let item =
        Submitted { site: site.epoch.kid().site(), batch_id: &batch.id, sequence: batch.sequence, sha256: &sha256 };
    let jws = answer.element("refusal").expect("a refusal");
    receipt::verify_refusal(&jws, &site.epoch.receipt_key(), &item).expect("it verifies")
}

/// Seals and submits, and takes the receipt.
#[track_caller]
pub fn deliver(central: &Central, site: &Site, batch: &Batch) -> Receipt {
    let token = site.seal(batch);
    receipt_of(&central.submit(site, batch, &token), site, batch, &token)
}

/// What a refusal must say, and that a second try says the same.
#[track_caller]
fn check_refused(central: &Central, site: &Site, batch: &Batch, token: &str, code: RefusalCode) {
    for _ in 0..2 {
        let answer = central.submit(site, batch, token);
        assert_eq!(refusal_of(&answer, site, batch, token).code, code);
        assert_eq!(answer.element("code").as_deref(), Some(code.as_str()));
        assert_eq!(answer.element("retryable").as_deref(), Some("false"));
    }
}

#[test]
fn a_batch_is_accepted_with_a_receipt_and_shown() {
    let central = Central::start();
    let site = central.add_site("North");
    let batch = site.batch(1, vec![printer("VNB3K12345", 184_213, "2026-11-20T06:01:44Z")]);
    let receipt = deliver(&central, &site, &batch);
    assert_eq!(receipt.disposition, Disposition::Accepted);
    assert_eq!((receipt.claims.acknowledged_through, receipt.claims.highest), (1, Some(1)));

    let session = central.log_in();
    let fleet = central.page(&session, "/");
    assert_eq!(fleet.status, 200);
    for text in ["prt-vnb3k12345", "ACME LaserBeam 500", "VNB3K12345", "North", "184\u{202f}213", "Black Cartridge 55X"]
    {
        assert!(fleet.body.contains(text), "`{text}` is not on the page: {}", fleet.body);
    }
}

#[test]
fn the_same_token_again_is_a_duplicate_with_a_new_receipt() {
    let central = Central::start();
    let site = central.add_site("North");
    let batch = site.batch(1, vec![printer("A1", 10, "2026-11-20T06:01:44Z")]);
    deliver(&central, &site, &batch);
    let again = deliver(&central, &site, &batch);
    assert_eq!((again.disposition, again.claims.acknowledged_through), (Disposition::Duplicate, 1));
    assert_eq!(central.counted("SELECT count(*) FROM batch"), 1);
    assert_eq!(central.counted("SELECT count(*) FROM reading"), 1);
}

#[test]
fn twenty_requests_with_one_token_at_once_store_it_once() {
    let central = Arc::new(Central::start());
    let site = Arc::new(central.add_site("North"));
    let batch = Arc::new(site.batch(1, vec![printer("A1", 10, "2026-11-20T06:01:44Z")]));
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let (central, site, batch) = (Arc::clone(&central), Arc::clone(&site), Arc::clone(&batch));
            std::thread::spawn(move || deliver(&central, &site, &batch).disposition)
        })
        .collect();
    let dispositions: Vec<Disposition> = threads.into_iter().map(|thread| thread.join().expect("a receipt")).collect();
    let accepted = dispositions.iter().filter(|disposition| **disposition == Disposition::Accepted).count();
    assert_eq!((dispositions.len(), accepted), (20, 1));
    assert_eq!(central.counted("SELECT count(*) FROM batch"), 1);
    assert_eq!(central.counted("SELECT count(*) FROM reading"), 1);
}

#[test]
fn a_reading_that_two_batches_carry_counts_once() {
    let central = Central::start();
    let site = central.add_site("North");
    let reading = printer("A1", 10, "2026-11-20T06:01:44Z");
    deliver(&central, &site, &site.batch(1, vec![reading.clone()]));
    deliver(&central, &site, &site.batch(2, vec![reading]));
    assert_eq!(central.counted("SELECT count(*) FROM batch"), 2);
    assert_eq!(central.counted("SELECT count(*) FROM reading"), 1);
}

#[test]
fn what_arrives_late_is_shown_as_if_it_had_come_in_time() {
    let central = Central::start();
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    for order in orders {
        let site = central.add_site(&format!("{order:?}"));
        for sequence in order {
            let mut device = printer("A1", 5_555, &format!("2026-11-20T0{sequence}:00:00Z"));
            if sequence > 1 {
                (device.identity, device.counters, device.supplies, device.network) = (None, None, None, None);
                device.scope = Scope::Alerts;
            }
            if sequence == 3 {
                (device.outcome, device.alerts, device.status) = (Outcome::Unreachable, None, None);
            }
            deliver(&central, &site, &site.batch(sequence, vec![device]));
        }
    }
    let fleet = block_on(async {
        let store = meterpost_central::open_store(&central.config).await.expect("a store");
        store.fleet().await.expect("a fleet").rows
    });
    assert_eq!(fleet.len(), orders.len());
    for row in &fleet {
        assert_eq!((row.summary.total, row.summary.serial.as_deref()), (Some(5_555), Some("A1")), "{row:?}");
        assert_eq!(row.summary.outcome, "unreachable", "{}", row.site_name);
        assert_eq!((row.read_at, &row.summary), (fleet[0].read_at, &fleet[0].summary), "{}", row.site_name);
    }
}

#[test]
fn a_batch_that_says_something_else_than_its_request_is_refused_and_kept() {
    let central = Central::start();
    let site = central.add_site("North");
    let batch = site.batch(7, vec![]);
    let token = site.seal(&batch);
    let claimed = Batch { sequence: 8, ..batch.clone() };
    check_refused(&central, &site, &claimed, &token, RefusalCode::EnvelopeMismatch);
    assert_eq!(central.counted("SELECT count(*) FROM batch"), 0);
    assert_eq!(central.counted("SELECT count(*) FROM quarantine"), 1);
}

#[test]
fn a_batch_of_another_site_inside_is_refused_and_kept() {
    let central = Central::start();
    let site = central.add_site("North");
    let other = Batch { site: "00000000-0000-4000-8000-000000000000".to_owned(), ..site.batch(1, vec![]) };
    let token = site.seal(&other);
    check_refused(&central, &site, &other, &token, RefusalCode::EnvelopeMismatch);
    assert_eq!(central.counted("SELECT count(*) FROM quarantine"), 1);
}

/// A document with another root than a batch has (`standards.md` 1.7, rules 7 and 8).
#[test]
fn what_authenticates_and_is_another_document_is_refused_and_kept() {
    let central = Central::start();
    let site = central.add_site("North");
    let batch = site.batch(1, vec![]);
    let whole = xml::encode(&batch);
    let contents = [
        whole.replace("urn:meterpost:batch:1", "urn:meterpost:batch:2"),
        "<Batch xmlns=\"urn:meterpost:batch:2\"/>".to_owned(),
        "<Other xmlns=\"urn:meterpost:batch:1\"/>".to_owned(),
        whole.replace(" created=", " made="),
        whole.replace(" id=\"0192", " id=\"X192"),
        whole.replace(" sequence=\"1\"", " sequence=\"0\""),
    ];
    for (content, number) in contents.iter().zip(1..) {
        let token = site.seal_xml(content.as_bytes(), number);
        check_refused(&central, &site, &batch, &token, RefusalCode::EnvelopeInvalid);
    }
    assert_eq!(central.counted("SELECT count(*) FROM quarantine"), 6);
    assert_eq!(central.counted("SELECT count(*) FROM batch"), 0);
    deliver(&central, &site, &batch);
}

/// Nothing says which refusal that would be, so invariant 5 holds: it is stored and acknowledged.
#[test]
fn what_authenticates_and_cannot_be_parsed_is_stored_and_acknowledged() {
    let central = Central::start();
    let site = central.add_site("North");
    let whole = xml::encode(&site.batch(1, vec![]));
    let bomb = format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{}", whole.split_once("?>").expect("a declaration").1);
    let deep = whole.replace("</Batch>", &format!("{}{}</Batch>", "<x>".repeat(64), "</x>".repeat(64)));
    let contents =
        [whole.as_bytes()[..whole.len() / 2].to_vec(), b"not XML".to_vec(), bomb.into(), deep.into(), vec![0xff; 9]];
    for (content, sequence) in contents.iter().zip(1..) {
        let batch = site.batch(sequence, vec![]);
        let token = site.seal_xml(content, sequence);
        for expected in [Disposition::Accepted, Disposition::Duplicate] {
            let receipt = receipt_of(&central.submit(&site, &batch, &token), &site, &batch, &token);
            assert_eq!((receipt.disposition, receipt.claims.acknowledged_through), (expected, sequence));
        }
    }
    deliver(&central, &site, &site.batch(6, vec![printer("A1", 10, "2026-11-20T06:01:44Z")]));
    assert_eq!(central.counted("SELECT count(*) FROM quarantine"), 0);
    assert_eq!(central.counted("SELECT count(*) FROM note WHERE state = 'unreadable'"), 5);
    let sites = central.page(&central.log_in(), "/sites");
    assert!(sites.body.contains("5 batches are stored and cannot be read by this central."), "{}", sites.body);
}

#[test]
fn a_token_over_the_limit_is_too_large_under_its_own_digest() {
    let central = Central::start();
    let site = central.add_site("North");
    let batch = site.batch(1, vec![]);
    let token = format!("{}{}", site.seal(&batch), "A".repeat(seal::ACCEPTED_TOKEN_MAX));
    check_refused(&central, &site, &batch, &token, RefusalCode::TooLarge);
    assert_eq!(central.counted("SELECT count(*) FROM quarantine"), 0);
    deliver(&central, &site, &batch);
}

#[test]
fn a_clone_that_read_the_same_printer_at_the_same_instant_wins_or_loses_in_any_order_of_arrival() {
    let central = Central::start();
    let mut shown = Vec::new();
    for order in [[0, 1], [1, 0]] {
        let site = central.add_site(&format!("{order:?}"));
        let twins = [10, 11].map(|total| {
            let mut batch = site.batch(1, vec![printer("A1", total, "2026-11-20T06:01:44Z")]);
            batch.id = format!("0192f0c1-7b7e-7000-8000-0000000000{total}");
            batch
        });
        let first_wins = seal::token_sha256(&site.seal(&twins[0])) > seal::token_sha256(&site.seal(&twins[1]));
        for which in order {
            deliver(&central, &site, &twins[which]);
        }
        shown.push((site.epoch.kid().site().to_string(), if first_wins { 10 } else { 11 }));
    }
    let (fleet, readings) = block_on(async {
        let store = meterpost_central::open_store(&central.config).await.expect("a store");
        (store.fleet().await.expect("a fleet"), store.readings(ReadingsFrom::default()).await.expect("readings"))
    });
    for (site, total) in shown {
        let row = fleet.rows.iter().find(|row| row.site == site).expect("a device");
        let reading = readings.rows.iter().find(|row| row.site == site).expect("a reading");
        assert_eq!(row.summary.total, Some(total));
        assert_eq!(reading.counters["system.impressions"].value, total, "one reading for each device and time");
    }
    assert_eq!(readings.rows.len(), 2);
}

#[test]
fn a_number_far_above_all_others_is_flagged() {
    let central = Central::start();
    let site = central.add_site("North");
    deliver(&central, &site, &site.batch(1, vec![]));
    deliver(&central, &site, &site.batch(1_000_001, vec![]));
    assert_eq!(central.counted("SELECT count(*) FROM note WHERE flags LIKE '%sequence_jump%'"), 0);
    deliver(&central, &site, &site.batch(2_000_002, vec![]));
    assert_eq!(central.counted("SELECT count(*) FROM note WHERE flags LIKE '%sequence_jump%'"), 1);
}

#[test]
fn a_reading_is_exported_as_who_the_device_was_then() {
    let central = Central::start();
    let site = central.add_site("North");
    deliver(&central, &site, &site.batch(1, vec![printer("A1", 10, "2026-11-18T06:00:00Z")]));
    let mut renamed = printer("A1", 20, "2026-11-20T06:00:00Z");
    renamed.identity.as_mut().expect("an identity").model.as_mut().expect("a model").value = "Mark II".to_owned();
    deliver(&central, &site, &site.batch(2, vec![renamed]));
    let mut unnamed = printer("A1", 30, "2026-11-21T06:00:00Z");
    unnamed.identity = None;
    deliver(&central, &site, &site.batch(3, vec![unnamed]));
    let readings = block_on(async {
        let store = meterpost_central::open_store(&central.config).await.expect("a store");
        store.readings(ReadingsFrom::default()).await.expect("readings")
    });
    let models: Vec<_> = readings.rows.iter().map(|row| row.who.model.as_deref().expect("a model")).collect();
    assert_eq!(models, ["LaserBeam 500", "Mark II", "Mark II"]);
}

#[test]
fn a_full_quarantine_refuses_nothing_for_good() {
    let central = Central::start();
    let site = central.add_site("North");
    let database = rusqlite::Connection::open(central.config.data_dir.join("central.db")).expect("a store");
    database
        .execute(
            "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1000)
             INSERT INTO quarantine (site, sha256, code, reason, received_at, token)
             SELECT $1, randomblob(32), 'envelope-invalid', 'x', 0, 'x' FROM number",
            [site.epoch.kid().site().as_str()],
        )
        .expect("filled");
    let batch = site.batch(1, vec![]);
    let answer = central.submit(&site, &batch, &site.seal_xml(b"<Other/>", 1));
    assert_eq!((answer.status, answer.element("code").as_deref()), (500, Some("storage")));
    assert_eq!(answer.element("refusal"), None);
    deliver(&central, &site, &batch);
}

#[test]
fn a_device_that_cannot_be_read_costs_no_other_its_reading() {
    let central = Central::start();
    let site = central.add_site("North");
    let devices = vec![printer("A1", 10, "2026-11-20T06:01:44Z"), printer("A2", 777, "2026-11-20T06:01:44Z")];
    let batch = site.batch(1, devices);
    let content = xml::encode(&batch).replace(">777<", ">many<");
    let token = site.seal_xml(content.as_bytes(), 1);
    let receipt = receipt_of(&central.submit(&site, &batch, &token), &site, &batch, &token);
    assert_eq!(receipt.disposition, Disposition::Accepted);
    assert_eq!(central.counted("SELECT count(*) FROM reading"), 1);
    assert_eq!(central.counted("SELECT count(*) FROM set_aside"), 1);
    let sites = central.page(&central.log_in(), "/sites");
    assert!(sites.body.contains("1 device was set aside"), "{}", sites.body);
}

#[test]
fn a_batch_for_a_newer_central_is_acknowledged_and_nothing_is_shown_from_it() {
    let central = Central::start();
    let site = central.add_site("North");
    let batch = site.batch(1, vec![printer("A1", 10, "2026-11-20T06:01:44Z")]);
    let batch = Batch { min_reader: Some("1.7".to_owned()), ..batch };
    let receipt = deliver(&central, &site, &batch);
    assert_eq!(receipt.claims.acknowledged_through, 1);
    assert_eq!(central.counted("SELECT count(*) FROM device"), 0);
    assert_eq!(central.counted("SELECT count(*) FROM note WHERE state = 'needs_upgrade'"), 1);
}

#[test]
fn new_elements_of_a_later_version_do_not_hide_the_rest() {
    let central = Central::start();
    let site = central.add_site("North");
    let batch = site.batch(1, vec![printer("A1", 10, "2026-11-20T06:01:44Z")]);
    let content = xml::encode(&batch)
        .replace("schemaVersion=\"1.0\"", "schemaVersion=\"1.9\" new=\"x\"")
        .replace("<Devices>", "<Later><Device id=\"no\"/></Later><Devices>");
    let token = site.seal_xml(content.as_bytes(), 1);
    receipt_of(&central.submit(&site, &batch, &token), &site, &batch, &token);
    assert_eq!(central.counted("SELECT count(*) FROM reading"), 1);
}

#[test]
fn a_clock_that_is_ahead_is_flagged_and_the_reading_is_not_from_the_future() {
    let central = Central::start();
    let site = central.add_site("North");
    let mut batch = site.batch(1, vec![printer("A1", 10, "2093-01-01T00:00:00Z")]);
    batch.created = super::bed::at("2093-01-01T00:10:00Z");
    deliver(&central, &site, &batch);
    assert_eq!(central.counted("SELECT count(*) FROM note WHERE flags = 'clock_ahead'"), 1);
    assert_eq!(
        central.counted("SELECT count(*) FROM reading WHERE effective_at <= (SELECT received_at - 600 FROM batch)"),
        1
    );
}
