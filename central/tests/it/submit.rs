//! Batches on their way in, from our own collector, from strange clients, and from nobody's friend.

use meterpost_wire::receipt::{self, Disposition, Submitted};
use meterpost_wire::seal;

use super::bed::{Central, printer};

#[test]
fn a_batch_is_accepted_with_a_receipt_and_shown() {
    let central = Central::start();
    let site = central.add_site("North");
    let batch = site.batch(1, vec![printer("VNB3K12345", 184_213, "2026-11-20T06:01:44Z")]);
    let token = site.seal(&batch);

    let answer = central.submit(&site, &batch, &token);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let sha256 = seal::token_sha256(&token);
    let item = Submitted { site: site.epoch.kid().site(), batch_id: &batch.id, sequence: 1, sha256: &sha256 };
    let jws = answer.element("receipt").expect("a receipt");
    let receipt = receipt::verify_receipt(&jws, &site.epoch.receipt_key(), &item).expect("it verifies");
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
