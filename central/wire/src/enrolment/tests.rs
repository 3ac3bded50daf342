use super::*;

const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn whole() -> Value {
    serde_json::json!({
        "central": "https://central.example", "site": "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10", "name": "Bäckerei Süd",
        "secret": SECRET, "epoch": 1, "enc": "A256CBC-HS512", "mail_to": "meters@central.example",
        "ca_pem": "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n",
        "pack_keys": ["RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"], "sequence": 1041, "later": [1]
    })
}

fn token(json: &str) -> String {
    format!("mp1.{}", URL_SAFE_NO_PAD.encode(json))
}

#[track_caller]
fn check(member: &str, value: Value, expected: &str) {
    let mut json = whole();
    match value {
        Value::Null => drop(json.as_object_mut().unwrap().remove(member)),
        value => json[member] = value,
    }
    let error = Enrolment::parse(&token(&json.to_string())).unwrap_err().to_string();
    assert_eq!(error, format!("enrolment token: {expected}"));
    assert!(!error.contains(SECRET));
}

#[test]
fn a_whole_token_is_read_and_written_again() {
    let enrolment = Enrolment::parse(&format!("\n  {}\r\n", token(&whole().to_string()))).unwrap();
    assert_eq!(enrolment.central, "https://central.example");
    assert_eq!(enrolment.epoch.kid().to_string(), "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10.1");
    assert_eq!(enrolment.epoch.secret()[31], 0x1f);
    assert_eq!(enrolment.sequence, Some(1041));
    assert_eq!(Enrolment::parse(&enrolment.to_token()), Ok(enrolment));
}

#[test]
fn the_last_four_members_are_optional() {
    let mut json = whole();
    for member in ["mail_to", "ca_pem", "pack_keys", "sequence"] {
        json.as_object_mut().unwrap().remove(member);
    }
    let enrolment = Enrolment::parse(&token(&json.to_string())).unwrap();
    assert_eq!((&enrolment.mail_to, &enrolment.ca_pem, enrolment.sequence), (&None, &None, None));
    assert_eq!(Enrolment::parse(&enrolment.to_token()), Ok(enrolment));
}

#[test]
fn what_is_wrong_is_named() {
    check("central", Value::Null, "`central` is missing");
    check("central", 1.into(), "`central` is not a string");
    let no_tls = "`central` is `http://central.example`: without TLS only a loopback address like 127.0.0.1 is taken";
    check("central", "http://central.example".into(), no_tls);
    check("site", "X".into(), "`site`: `X` is no site: a lower-case UUID would be");
    check("name", "a\nb".into(), "`name` is not a line of at most 255 characters");
    check("secret", Value::Null, "`secret` is missing");
    check("secret", "AAEC".into(), "`secret` is not base64url of 32 bytes");
    check("secret", format!("{SECRET}=").into(), "`secret` is not base64url of 32 bytes");
    check("epoch", 0.into(), "`epoch` is not a number from 1 on");
    check("epoch", 1.5.into(), "`epoch` is not a whole number");
    check("epoch", "1".into(), "`epoch` is not a whole number");
    check("enc", "A256GCM".into(), "`enc` is `A256GCM`: `A256CBC-HS512` or `A128CBC-HS256` would be right");
    for address in ["", "a", "a@", "@b", "a@b, c@d", "a <a@b>", "a@b\r\nBcc: c@d"] {
        check("mail_to", address.into(), "`mail_to` is not one mail address");
    }
    check("ca_pem", "MII=".into(), "`ca_pem` has no PEM certificate");
    check("pack_keys", "x".into(), "`pack_keys` is not an array of at most 8 strings");
    check("pack_keys", serde_json::json!([1]), "`pack_keys` is not an array of at most 8 strings");
    check("pack_keys", vec!["x"; 9].into(), "`pack_keys` is not an array of at most 8 strings");
    check("pack_keys", vec!["AAAA"].into(), "`pack_keys` has one that is no minisign public key");
    check("sequence", 0.into(), "`sequence` is 0: 1 to 9007199254740991 would be right");
    check("sequence", (1_u64 << 53).into(), "`sequence` is 9007199254740992: 1 to 9007199254740991 would be right");
}

#[test]
fn texts_that_are_no_token_are_refused() {
    let broken = "enrolment token: damaged after `mp1.`: paste the whole line, without breaks";
    let whole = token(&whole().to_string());
    for (bad, expected) in [
        ("", "enrolment token: does not start with `mp1.`: paste the whole line"),
        ("mp2.e30", "enrolment token: does not start with `mp1.`: paste the whole line"),
        (&whole[..whole.len() - 7], broken),
        (&whole.replace("mp1.e", "mp1. e"), broken),
        (&format!("{whole}="), broken),
        (&token("[]"), broken),
        (&token(r#"{"epoch":1,"epoch":2}"#), broken),
        (&token("{}"), "enrolment token: `site` is missing"),
        (&format!("mp1.{}", "A".repeat(TOKEN_MAX)), "enrolment token: 16388 characters: 16384 is the limit"),
    ] {
        assert_eq!(Enrolment::parse(bad).unwrap_err().to_string(), expected);
    }
}
