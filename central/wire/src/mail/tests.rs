use super::*;

const SITE: &str = "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10";
const BATCH: &str = "0192f0c1-7b7e-7000-8000-000000000001";

fn site() -> SiteId {
    SiteId::parse(SITE).expect("a site")
}

fn sent(token: &str) -> String {
    let mail = Outgoing {
        token,
        site: &site(),
        sequence: 41,
        batch_id: BATCH,
        attempt: 1,
        from: "collector@customer.example",
        to: "batches@central.example",
        date: "2026-11-20T06:03:15Z".parse().expect("a time"),
        text: "Zähler der Drucker.\nFragen an den Administrator.",
    };
    String::from_utf8(message(&mail).expect("right addresses")).expect("ASCII")
}

/// A token of about this length, of all characters that one may have; with many points, as none ever is.
fn token(length: usize) -> String {
    let letters = "eyJABCDEFGHIKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    letters.chars().cycle().take(length).collect()
}

#[track_caller]
fn check(message: &str, expected: &[&str]) {
    let expected = expected.iter().map(|token| token.as_bytes().to_vec()).collect();
    assert_eq!(read(message.as_bytes()), Incoming::Tokens(expected), "{message}");
}

#[track_caller]
fn check_without(message: &str, expected: Without) {
    assert_eq!(read(message.as_bytes()), Incoming::Without(expected), "{message}");
}

#[test]
fn a_message_is_as_the_standard_draws_it() {
    expect_test::expect![[r#"
        From: collector@customer.example
        To: batches@central.example
        Date: Fri, 20 Nov 2026 06:03:15 +0000
        Message-ID: <0192f0c1-7b7e-7000-8000-000000000001.1@6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10.collector.invalid>
        Subject: Printer report 6f1c2a52 41
        Auto-Submitted: auto-generated
        X-Meterpost-Site: 6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10
        X-Meterpost-Sequence: 41
        X-Meterpost-Batch: 0192f0c1-7b7e-7000-8000-000000000001
        MIME-Version: 1.0
        Content-Type: multipart/mixed;
         boundary="=_0192f0c1-7b7e-7000-8000-000000000001.1"

        --=_0192f0c1-7b7e-7000-8000-000000000001.1
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: quoted-printable

        Z=C3=A4hler der Drucker.
        Fragen an den Administrator.
        --=_0192f0c1-7b7e-7000-8000-000000000001.1
        Content-Type: application/jose
        Content-Disposition: attachment;
         filename="6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10-41.jwe"
        Content-Transfer-Encoding: quoted-printable

        eyJh.b.c
        --=_0192f0c1-7b7e-7000-8000-000000000001.1--
    "#]]
    .assert_eq(&sent("eyJh.b.c").replace("\r\n", "\n"));
}

#[test]
fn every_length_of_token_comes_back_byte_for_byte_from_short_lines_of_ascii() {
    for length in (1..400).chain([15_303, 60_000]) {
        let token = token(length);
        let sent = sent(&token);
        let (_, body) = sent.split_once("\r\n\r\n").expect("a body");
        assert!(sent.is_ascii() && body.lines().all(|line| line.len() <= LINE_MAX && !line.starts_with('.')), "{sent}");
        assert!(!sent.replace("\r\n", "").contains(['\r', '\n']));
        check(&sent, &[&token]);
    }
}

#[test]
fn the_largest_token_of_a_site_makes_a_message_that_any_relay_takes() {
    let size = sent(&token(crate::seal::TOKEN_MAX)).len();
    assert!(size < 70_000, "{size}");
}

#[test]
fn each_attempt_has_a_message_id_of_its_own() {
    let (first, site) = (sent("a.b"), site());
    let mail = Outgoing {
        token: "a.b",
        site: &site,
        sequence: 41,
        batch_id: BATCH,
        attempt: 2,
        from: "collector@customer.example",
        to: "batches@central.example",
        date: Timestamp::UNIX_EPOCH,
        text: TEXT,
    };
    let again = String::from_utf8(message(&mail).expect("right")).expect("ASCII");
    let id = |text: &str| text.lines().find(|line| line.starts_with("Message-ID")).expect("one").to_owned();
    assert_ne!(id(&first), id(&again));
    check(&again, &["a.b"]);
}

#[test]
fn addresses_that_could_carry_a_header_are_refused() {
    for bad in ["", "a", "a@", "@b", "a@b\r\nBcc: c@d", "a b@c", "A <a@b>", "a@b,c@d", "ä@b.example", "a@b@c"] {
        assert!(address(bad).is_err(), "{bad}");
    }
    assert!(address("printers+hq@customer.example").is_ok());
    assert_eq!(
        address("nobody").map_err(|error| error.to_string()),
        Err("`nobody` is no mail address: one such as `printers@customer.example` would be right".to_owned())
    );
}

#[test]
fn what_relays_do_to_a_message_changes_no_token() {
    let token = token(500);
    let sent = sent(&token);
    check(&sent.replace("\r\n", "\n"), &[&token]);
    check(&format!("Received: from a by b;\r\n Fri, 20 Nov 2026 06:03:15 +0000\r\n{sent}"), &[&token]);
    let folded = format!("Content-Type: Application/JOSE\n\n{}\n {}\r\n", &token[..100], &token[100..]);
    check(&folded, &[&token]);
    let base64 = "Content-Type: application/jose\nContent-Transfer-Encoding: base64\n\nZXlK\naC5iLmM=\n";
    check(base64, &["eyJh.b.c"]);
}

#[test]
fn a_token_is_found_in_a_message_that_was_forwarded() {
    let token = token(300);
    let sent = sent(&token);
    let inline = format!("Subject: Fwd\nContent-Type: message/rfc822\n\n{sent}");
    check(&inline, &[&token]);
    let attached = format!(
        "Subject: Fwd\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nsee below\n--x\nContent-Type: message/rfc822\n\n{sent}\n--x--\n"
    );
    check(&attached, &[&token]);
    check(&format!("Subject: twice\nContent-Type: message/rfc822\n\n{attached}"), &[&token]);
}

#[test]
fn several_tokens_of_one_message_are_all_found_and_one_that_stands_there_twice_once() {
    let part = |token: &str| format!("--x\nContent-Type: application/jose\n\n{token}\n");
    let message = format!(
        "Subject: all\nContent-Type: multipart/mixed; boundary=x\n\n{}{}{}--x--\n",
        part("a.b"),
        part("c.d"),
        part("a.b")
    );
    check(&message, &["a.b", "c.d"]);
}

#[test]
fn a_file_is_known_by_its_name_only_where_no_part_says_its_type() {
    let part = |kind: &str, name: &str, token: &str| {
        format!("--x\nContent-Type: {kind}\nContent-Disposition: attachment; filename=\"{name}\"\n\n{token}\n")
    };
    let message = |parts: &str| format!("Subject: s\nContent-Type: multipart/mixed; boundary=x\n\n{parts}--x--\n");
    let named = part("application/octet-stream", "x-41.JWE", "n.n");
    check(&message(&named), &["n.n"]);
    check(&message(&format!("{named}{}", part("application/jose", "x", "j.j"))), &["j.j"]);
    check_without(&message(&part("application/octet-stream", "x.exe", "n.n")), Without::Nothing);
}

#[test]
fn messages_without_a_token_say_what_they_are() {
    let bounce = "From: MAILER-DAEMON@relay\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
                  --b\n\nno such user\n--b\nContent-Type: message/delivery-status\n\nAction: failed\n--b--\n";
    check_without(bounce, Without::Bounce);
    check_without("Return-Path: <>\nSubject: failure\n\nno such user\n", Without::Bounce);
    check_without("Subject: Away\nAuto-Submitted: Auto-Replied (vacation)\n\nback on Monday\n", Without::AutoReply);
    check_without("Subject: Hello\n\nis this thing on?\n", Without::Nothing);
    check_without("", Without::NoMessage);
}

#[test]
fn a_report_that_brings_the_whole_message_back_gives_its_token() {
    let token = token(200);
    let bounce = format!(
        "From: MAILER-DAEMON@relay\nContent-Type: multipart/report; boundary=b\n\n--b\n\nno such user\n--b\n\
         Content-Type: message/rfc822\n\n{}\n--b--\n",
        sent(&token)
    );
    check(&bounce, &[&token]);
}

#[test]
fn large_and_deep_messages_are_not_looked_into() {
    check_without(&format!("Subject: s\n\n{}", "x".repeat(MESSAGE_MAX)), Without::TooLarge);
    let deep = "Content-Type: message/rfc822\n\n".repeat(100_000);
    check_without(&deep, Without::TooDeep);
    let digest: String =
        (0..20_000).map(|level| format!("Content-Type: multipart/DIGEST; boundary={level}\n\n--{level}\n\n")).collect();
    check_without(&digest, Without::TooDeep);
    let allowed = format!("{}Content-Type: application/jose\n\na.b\n", "Content-Type: message/rfc822\n\n".repeat(60));
    check(&allowed, &["a.b"]);
}

#[test]
fn fuzz_mutated_messages_never_panic() {
    let good = sent(&token(400)).into_bytes();
    let mut state = 0x9e37_79b9_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..5_000 {
        let mut bytes = good.clone();
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] = next(256) as u8,
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..(at + next(40)).min(good.len()).min(bytes.len()).max(at))),
                _ => bytes.splice(at..at, good[..next(good.len())].iter().copied()).for_each(drop),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let _ = read(&bytes);
    }
}
