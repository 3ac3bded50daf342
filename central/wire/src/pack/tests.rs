use super::*;

/// Made with Debian's minisign 0.11 over the bytes `hello\n`.
const KEY: &str = "RWSzFc+8toGSyQjFl3WsXQV32jW8jXgN8Qf70618sOf+8zcGivkQrqQg";
const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUSzFc+8toGSyQ6PrZZyqmCcNN7eFINUbtZ5NmhjF5Ogr2y5JN19GnFXA3VXQjDP5ZL3G0DcwBbtKt/+RaaQZ4ndEzHaXGdflwo=
trusted comment: pmd-pack channel=stable version=12 expires=2026-12-31T00:00:00Z
7Q14Rn8HUjR4HMYwXzlEie6v7rpKFmdoJv4zpq9/W9LgTVn9yljrEHst/IYglehvtBwXmVQwZmdu/qsTOjmkAQ==
";
/// Another key, which signed nothing here.
const OTHER_KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

fn proven(signature: &str, keys: &[&str], bytes: &[u8]) -> Result<String, String> {
    let keys: Vec<Key> = keys.iter().map(|key| Key::parse(key).unwrap()).collect();
    let proven = Minisig::parse(signature.as_bytes()).and_then(|minisig| minisig.prove(&keys, bytes));
    proven.map(|label| label.to_string()).map_err(|error| error.to_string())
}

#[track_caller]
fn check_refused(signature: &str, keys: &[&str], bytes: &[u8], expected: &str) {
    assert_eq!(proven(signature, keys, bytes), Err(expected.to_owned()));
}

#[test]
fn what_stock_minisign_signed_is_proven_with_one_of_two_keys() {
    let label = "pmd-pack channel=stable version=12 expires=2026-12-31T00:00:00Z";
    assert_eq!(proven(SIGNATURE, &[KEY], b"hello\n").as_deref(), Ok(label));
    assert_eq!(proven(SIGNATURE, &[OTHER_KEY, KEY], b"hello\n").as_deref(), Ok(label));
    assert_eq!(Key::parse(KEY).unwrap().id().to_string(), "C99281B6BCCF15B3");
}

#[test]
fn a_changed_byte_comment_or_signature_proves_nothing() {
    let forged = "the signature does not fit: the pack or the signature was changed after it was signed";
    check_refused(SIGNATURE, &[KEY], b"hellO\n", forged);
    check_refused(SIGNATURE, &[KEY], b"hello\n\n", forged);
    check_refused(&SIGNATURE.replace("version=12", "version=13"), &[KEY], b"hello\n", forged);
    check_refused(&SIGNATURE.replace("PrZZyq", "PrZZyr"), &[KEY], b"hello\n", forged);
    check_refused(&SIGNATURE.replace("7Q14Rn", "7Q14Ro"), &[KEY], b"hello\n", forged);
}

#[test]
fn the_expected_keys_are_named_when_another_one_signed() {
    check_refused(
        SIGNATURE,
        &[OTHER_KEY],
        b"hello\n",
        "the signature is by key C99281B6BCCF15B3, and key E7620F1842B4E81F would be right",
    );
    let none = "no key is known that packs are signed with: `[packs].keys` names some, or the enrolment token";
    check_refused(SIGNATURE, &[], b"hello\n", none);
}

#[test]
fn the_legacy_kind_and_what_is_no_signature_are_refused() {
    let legacy = SIGNATURE.replace("\nRUS", "\nRWS");
    check_refused(&legacy, &[KEY], b"hello\n", "the signature is of minisign's legacy kind: sign without `-l`");
    let lines = |number: usize| SIGNATURE.lines().take(number).map(|line| format!("{line}\n")).collect::<String>();
    check_refused("", &[KEY], b"hello\n", "this is no minisign signature: its second line");
    check_refused(&lines(2), &[KEY], b"hello\n", "this is no minisign signature: its four lines");
    check_refused(&lines(3), &[KEY], b"hello\n", "this is no minisign signature: its four lines");
    let long = format!("{SIGNATURE}{}", " ".repeat(SIGNATURE_BYTES_MAX));
    check_refused(&long, &[KEY], b"hello\n", "this is no minisign signature: it has more than 1024 bytes");
    for bad in ["", "RWS", "untrusted comment: x", &SIGNATURE[55..100]] {
        assert!(Key::parse(bad).is_err(), "{bad}");
    }
}

#[track_caller]
fn check_label(comment: &str, expected: Result<&str, &str>) {
    let found = Label::parse(comment).map(|label| label.to_string()).map_err(|error| error.to_string());
    assert_eq!(found.as_deref().map_err(String::as_str), expected);
}

#[test]
fn a_comment_says_channel_version_and_expiry_in_this_order_or_nothing() {
    let right = "pmd-pack channel=stable version=12 expires=2026-12-31T00:00:00Z";
    check_label(right, Ok(right));
    check_label(
        "pmd-pack channel=a-1 version=1 expires=2026-12-31T01:00:00+01:00",
        Ok("pmd-pack channel=a-1 version=1 expires=2026-12-31T00:00:00Z"),
    );
    check_label(
        "timestamp:1",
        Err(
            "`timestamp:1`: `pmd-pack channel=stable version=12 expires=2026-12-31T00:00:00Z` would be a pack's comment",
        ),
    );
    check_label(
        "pmd-pack channel=../x version=1 expires=2026-12-31T00:00:00Z",
        Err("`../x` is no channel: lower-case letters, digits and `-` would be right, 32 at most"),
    );
    for version in ["0", "01", "+1", "-1", "1.0", "", "18446744073709551616"] {
        let comment = format!("pmd-pack channel=stable version={version} expires=2026-12-31T00:00:00Z");
        let text = format!("`{version}` is no version: a whole number from 1 would be right");
        check_label(&comment, Err(&text));
    }
    check_label(
        "pmd-pack channel=stable version=1 expires=tomorrow",
        Err("`tomorrow` is no time: `2026-12-31T00:00:00Z` would be right"),
    );
    let doubled = "pmd-pack  channel=stable version=1 expires=2026-12-31T00:00:00Z";
    assert!(Label::parse(doubled).is_err());
}
