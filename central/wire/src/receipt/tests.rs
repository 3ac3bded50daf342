use super::*;
use crate::keys::SiteId;

const SHA256: &str = "2485b7d8aa7461aaefc50bc1ec05597b3346376c36c8bb800c4889efbcd698c4";
const BATCH: &str = "0192f0c1-7b7e-7000-8000-000000000001";

fn key() -> ReceiptKey {
    ReceiptKey::from_octets(&[7; 32]).unwrap()
}

fn own_site() -> SiteId {
    SiteId::parse("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10").unwrap()
}

fn receipt() -> Receipt {
    let claims = Claims {
        site: own_site(),
        batch_id: BATCH.to_owned(),
        sequence: 41,
        sha256: SHA256.to_owned(),
        acknowledged_through: 37,
        server_time: "2026-11-20T06:03:14Z".parse().unwrap(),
        highest: Some(41),
        missing: vec![(38, 38), (40, 40)],
    };
    Receipt { disposition: Disposition::Accepted, claims }
}

fn refusal() -> Refusal {
    Refusal { code: RefusalCode::BatchConflict, claims: receipt().claims }
}

fn verify_own(jws: &str) -> Result<Receipt, NotProven> {
    let site = own_site();
    verify_receipt(jws, &key(), &Submitted { site: &site, batch_id: BATCH, sequence: 41, sha256: SHA256 })
}

/// A JWS over any header and payload, under the right key.
fn forge(header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hs256(signed.as_bytes(), &key())))
}

const HEADER: &str = r#"{"alg":"HS256","typ":"meterpost-receipt+jws"}"#;

#[test]
fn a_receipt_and_a_refusal_lead_back_to_what_was_signed() {
    assert_eq!(verify_own(&sign_receipt(&receipt(), &key())), Ok(receipt()));
    let site = own_site();
    let item = Submitted { site: &site, batch_id: BATCH, sequence: 41, sha256: SHA256 };
    assert_eq!(verify_refusal(&sign_refusal(&refusal(), &key()), &key(), &item), Ok(refusal()));
    let bare = Claims { highest: None, missing: Vec::new(), ..receipt().claims };
    let bare = Receipt { disposition: Disposition::Duplicate, claims: bare };
    assert_eq!(verify_own(&sign_receipt(&bare, &key())), Ok(bare));
}

#[test]
fn neither_passes_for_the_other() {
    let site = own_site();
    let item = Submitted { site: &site, batch_id: BATCH, sequence: 41, sha256: SHA256 };
    let other = NotProven("the header is that of something else");
    assert_eq!(verify_own(&sign_refusal(&refusal(), &key())), Err(other));
    assert_eq!(verify_refusal(&sign_receipt(&receipt(), &key()), &key(), &item), Err(other));
}

#[test]
fn forged_receipts_prove_nothing() {
    let good = sign_receipt(&receipt(), &key());
    let wrong = Err(NotProven("the MAC is wrong: not signed with this site's key"));
    assert_eq!(verify_own(&sign_receipt(&receipt(), &ReceiptKey::from_octets(&[8; 32]).unwrap())), wrong);
    let (signed, mac) = good.rsplit_once('.').unwrap();
    assert_eq!(verify_own(&format!("{signed}.")), wrong, "no MAC");
    assert_eq!(verify_own(&format!("{signed}.{}", &mac[..42])), Err(NotProven("the MAC is not base64url")));
    assert_eq!(verify_own(&format!("{signed}.{}", &mac[..40])), wrong, "half a MAC");
    let (_, payload) = signed.split_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"meterpost-receipt+jws"}"#);
    assert_eq!(verify_own(&format!("{none}.{payload}.")), wrong);
    for at in 0..good.len() {
        let mut octets = good.clone().into_bytes();
        octets[at] ^= 1;
        assert!(verify_own(&String::from_utf8(octets).unwrap()).is_err(), "{at}");
    }
    for text in ["", ".", "..", "a.b", "<html>", &"a".repeat(JWS_MAX + 1)] {
        assert!(verify_own(text).is_err(), "{text:.9}");
    }
}

#[test]
fn a_receipt_counts_for_its_own_item_only() {
    let jws = sign_receipt(&receipt(), &key());
    let (site, other) = (own_site(), SiteId::parse("00000000-0000-4000-8000-000000000000").unwrap());
    let item = Submitted { site: &site, batch_id: BATCH, sequence: 41, sha256: SHA256 };
    for item in [
        Submitted { site: &other, ..item },
        Submitted { batch_id: "0192f0c1-7b7e-7000-8000-000000000002", ..item },
        Submitted { sequence: 42, ..item },
        Submitted { sha256: &SHA256.replace('2', "3"), ..item },
    ] {
        assert_eq!(verify_receipt(&jws, &key(), &item), Err(NotProven("the receipt is for another item")));
    }
}

#[test]
fn headers_and_claims_of_another_form_are_refused() {
    let payload = receipt().to_json();
    assert_eq!(verify_own(&forge(HEADER, &payload)), Ok(receipt()));
    for header in [
        r#"{"alg":"HS512","typ":"meterpost-receipt+jws"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"meterpost-receipt+jws","crit":["b64"],"b64":false}"#,
    ] {
        assert_eq!(verify_own(&forge(header, &payload)), Err(NotProven("the header is that of something else")));
    }
    let extra = r#"{"alg":"HS256","typ":"meterpost-receipt+jws","x":1}"#;
    assert_eq!(verify_own(&forge(extra, &payload.replace('{', r#"{"later":1,"#))), Ok(receipt()));

    let malformed = Err(NotProven("the receipt lacks a claim, or has a malformed one"));
    for (from, to) in [
        ("accepted", "maybe"),
        (r#""sequence":41"#, r#""sequence":"41""#),
        (r#""sequence":41"#, r#""sequence":9007199254740992"#),
        (r#""sequence":41"#, r#""sequence":41,"sequence":41"#),
        (r#""highest":41"#, r#""highest":-1"#),
        ("06:03:14Z", "06:03:14+00:00"),
        (r#""server_time""#, r#""server_tim""#),
        ("[38,38]", "[38]"),
        ("[38,38]", "[41,38]"),
        ("[38,38]", "[38,40]"),
        ("[38,38]", "[0,3]"),
        ("2485b7d8", "2485B7D8"),
    ] {
        assert!(payload.contains(from), "{from}");
        assert_eq!(verify_own(&forge(HEADER, &payload.replacen(from, to, 1))), malformed, "{to}");
    }
    assert_eq!(verify_own(&forge(HEADER, "[]")), malformed);
}

#[test]
fn at_most_32_missing_ranges_are_written_and_read() {
    let mut receipt = receipt();
    receipt.claims.missing = (0..40).map(|i| (100 + 2 * i, 100 + 2 * i)).collect();
    let read = verify_own(&sign_receipt(&receipt, &key())).unwrap();
    assert_eq!(read.claims.missing, receipt.claims.missing[..MISSING_MAX]);
}
