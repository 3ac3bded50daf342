//! Mutated inputs, the same in every run: nothing panics, and nothing that was not made by a key holder opens.

use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::{Enc, Epoch, Kid, ReceiptKey};
use meterpost_wire::receipt::{Claims, Disposition, Receipt, Submitted, sign_receipt, verify_receipt, verify_refusal};
use meterpost_wire::seal::{open, open_at_rest, peek_kid, seal, token_sha256};
use meterpost_wire::soap::{Answer, Request, parse_answer, parse_request, submit_batch};
use meterpost_wire::xml::{decode, encode};

use crate::batches;
use crate::dice::Dice;

/// Pieces that break parsers more often than chance does.
const PIECES: [&[u8]; 20] = [
    b"<",
    b">",
    b"/>",
    b"</",
    b"\"",
    b"&",
    b"&#0;",
    b"&#x1F5A8;",
    b"&lt;",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"<?x ?>",
    b"<!DOCTYPE a>",
    b" xmlns:a=\"urn:meterpost:batch:1\"",
    b"\0",
    b"\xff",
    b".",
    b"-9999999999999999999999",
];

/// One to eight changes.
fn mutated(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..=dice.below(8) {
        let at = dice.below(input.len() as u64 + 1) as usize;
        let end = (at + dice.below(40) as usize).min(input.len());
        match dice.below(6) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 => drop(input.drain(at..end)),
            2 => drop(input.splice(at..at, dice.one(&PIECES).iter().copied())),
            3 => drop(input.splice(at..at, input[at..end].to_vec())),
            4 => input.truncate(at),
            _ if at < input.len() => input[at] = dice.below(256) as u8,
            _ => {}
        }
    }
    input
}

#[track_caller]
fn fuzz(seed: &[u8], rounds: u32, mut check: impl FnMut(&[u8])) {
    let mut dice = Dice(7);
    for _ in 0..rounds {
        check(&mutated(seed, &mut dice));
    }
}

/// What was read can be written, and reads the same again.
fn fuzz_decode(input: &[u8]) {
    if let Ok(read) = decode(input) {
        let again = decode(encode(&read.batch).as_bytes()).expect("our own XML is read");
        assert_eq!(again.batch, read.batch);
    }
}

fn fuzz_open(input: &[u8], epoch: &Epoch, genuine: &str) {
    let Ok(token) = str::from_utf8(input) else { return };
    let _ = peek_kid(token);
    let opened = open(token, None, |_| Some(epoch.batch_key()));
    assert!(opened.is_err() || token == genuine, "{token} opens");
}

fn fuzz_request(input: &[u8]) {
    if let Ok(Request::SubmitBatch(batch)) = parse_request(input) {
        assert!(batch.site_id.chars().count() <= 64 && batch.sequence > 0);
    }
}

fn fuzz_answer(input: &[u8], key: &ReceiptKey, item: &Submitted<'_>) {
    let jws = match parse_answer(input) {
        Ok(Answer::Submitted { receipt }) => receipt,
        _ => String::from_utf8_lossy(input).into_owned(),
    };
    assert!(verify_receipt(&jws, key, item).is_err() && verify_refusal(&jws, key, item).is_err());
}

fn fuzz_receipt(input: &[u8], key: &ReceiptKey, item: &Submitted<'_>, genuine: &str) {
    let Ok(jws) = str::from_utf8(input) else { return };
    assert!(verify_receipt(jws, key, item).is_err() || jws == genuine, "{jws} verifies");
    assert!(verify_refusal(jws, key, item).is_err(), "{jws} is no refusal");
}

fn fuzz_enrolment(input: &[u8]) {
    let Ok(token) = str::from_utf8(input) else { return };
    if let Ok(enrolment) = Enrolment::parse(token) {
        assert_eq!(Enrolment::parse(&enrolment.to_token()), Ok(enrolment));
    }
}

fn epoch() -> Epoch {
    Epoch::new(Kid::parse("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10.1").unwrap(), Enc::A256CbcHs512, [3; 32])
}

#[test]
fn mutated_batches_never_panic_and_what_is_read_is_kept() {
    fuzz(encode(&batches::full()).as_bytes(), 3_000, fuzz_decode);
}

#[test]
fn mutated_tokens_never_open() {
    let epoch = epoch();
    let token = seal(b"<Batch/>", epoch.kid(), &epoch.batch_key(), [5; 16]).unwrap();
    fuzz(token.as_bytes(), 5_000, |input| fuzz_open(input, &epoch, &token));
}

#[test]
fn mutated_rows_never_open() {
    let key = epoch().batch_key();
    let row = meterpost_wire::seal::seal_at_rest(b"serial", "memory", &key, [5; 16]);
    fuzz(&row, 3_000, |input| assert!(input == row || open_at_rest(input, "memory", &key).is_err()));
}

#[test]
fn mutated_requests_and_answers_never_panic() {
    let epoch = epoch();
    let (site, key) = (epoch.kid().site(), epoch.receipt_key());
    let request = submit_batch(site, "0192f0c1-7b7e-7000-8000-000000000001", 41, "a..b.c.d");
    fuzz(request.as_bytes(), 5_000, fuzz_request);
    let item = Submitted { site, batch_id: "x", sequence: 41, sha256: "" };
    fuzz(request.replace("SubmitBatch", "SubmitBatchResponse").as_bytes(), 3_000, |input| {
        fuzz_answer(input, &key, &item)
    });
}

#[test]
fn mutated_receipts_never_verify() {
    let epoch = epoch();
    let (site, key) = (epoch.kid().site(), epoch.receipt_key());
    let sha256 = token_sha256("a..b.c.d");
    let item = Submitted { site, batch_id: "0192f0c1-7b7e-7000-8000-000000000001", sequence: 41, sha256: &sha256 };
    let claims = Claims {
        site: site.clone(),
        batch_id: item.batch_id.to_owned(),
        sequence: item.sequence,
        sha256: sha256.clone(),
        acknowledged_through: 41,
        server_time: batches::time("2026-11-20T06:03:12Z"),
        highest: Some(44),
        missing: vec![(42, 43)],
    };
    let genuine = sign_receipt(&Receipt { disposition: Disposition::Accepted, claims }, &key);
    assert!(verify_receipt(&genuine, &key, &item).is_ok());
    fuzz(genuine.as_bytes(), 5_000, |input| fuzz_receipt(input, &key, &item, &genuine));
}

#[test]
fn mutated_enrolment_tokens_never_panic() {
    let enrolment = Enrolment {
        central: "https://central.example".to_owned(),
        name: "Bäckerei".to_owned(),
        epoch: epoch(),
        mail_to: Some("meters@central.example".to_owned()),
        ca_pem: None,
        pack_keys: Vec::new(),
        sequence: Some(7),
    };
    fuzz(enrolment.to_token().as_bytes(), 5_000, fuzz_enrolment);
}
