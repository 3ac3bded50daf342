//! The example, the bad configurations of tests/bad_configs, and what a good one means.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::*;
use crate::deliver::mail::{Login, Security, Taker};
use crate::snmp::credential::Access;

fn parse(text: &str) -> Result<Config, Vec<Fault>> {
    Config::parse(text, Path::new("/nowhere"), &|name| (name == "SECRET").then(|| "of the environment".to_owned()))
}

#[test]
fn the_example_says_what_the_defaults_are() {
    let example = parse(EXAMPLE).unwrap();
    assert_eq!(format!("{example:#?}"), format!("{:#?}", parse("").unwrap()));
    assert_eq!(format!("{example:#?}"), format!("{:#?}", Config::default()));
}

#[test]
fn every_key_of_the_example_is_known_and_loads_when_its_mark_is_taken_away() {
    let active: String = EXAMPLE
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
                .unwrap_or(line)
        })
        .map(|line| line.replace("_file = ", "_env = ").replace(".secret\"", "\"").replace("\"v3-auth\"", "\"SECRET\""))
        .map(|line| line.replace("\"v3-priv\"", "\"SECRET\"").replace("\"proxy\"", "\"SECRET\""))
        .map(|line| line.replace("secret_env = \"mail\"", "secret_env = \"SECRET\""))
        // a file of certificates has to be there
        .filter(|line| !line.starts_with("ca_"))
        .map(|line| line + "\n")
        .collect();
    let config = parse(&active).unwrap();
    assert_eq!((config.sweeps.len(), config.credentials.len()), (1, 2));
    assert_eq!(
        config.sweeps[0].window,
        Some(Window { from: Time::constant(6, 0, 0, 0), to: Time::constant(20, 0, 0, 0) })
    );
    assert!(matches!(&config.credentials[1].access, Access::User(user) if user.privacy.is_some()));
    assert!(matches!(&config.proxy, Some(Proxy::Via { user: Some((user, _)), .. }) if user == "meterpost"));
    let mail = config.mail.as_ref().unwrap();
    assert!(matches!(&mail.taker, Taker::Server { port: 465, security: Security::Tls, login: Some(_), .. }));
    assert!(config.file.as_ref().is_some_and(|directory| directory.ends_with("meterpost-out")));
    assert!(!format!("{config:?}").contains("of the environment"), "a secret is never printed");
}

/// What `[delivery.mail]` means beside a mailbox of ours.
#[track_caller]
fn mail(text: &str) -> Taker {
    let text = format!("[delivery]\nchannels = [\"mail\"]\n[delivery.mail]\nfrom = \"a@customer.example\"\n{text}");
    parse(&text).unwrap_or_else(|faults| panic!("{faults:?}")).mail.unwrap().taker
}

#[test]
fn a_mail_server_has_the_port_of_its_protection_and_a_login_of_either_kind() {
    for (security, expected) in [("tls", 465), ("starttls", 587), ("none", 25)] {
        let taker = mail(&format!("server = \"smtp.example\"\nsecurity = \"{security}\""));
        assert!(matches!(taker, Taker::Server { port, .. } if port == expected), "{taker:?}");
    }
    let taker = mail(
        "server = \"smtp.example\"\nuser = \"u\"\ntoken_url = \"https://login.example/token\"\nclient_id = \"c\"\n\
         client_secret_env = \"SECRET\"",
    );
    let Taker::Server { login: Some(Login::Token { scope, .. }), .. } = taker else { panic!("{taker:?}") };
    assert_eq!(scope, SCOPE_DEFAULT);
    let taker = mail("command = [\"/usr/sbin/sendmail\", \"-t\", \"-i\"]");
    assert!(matches!(taker, Taker::Command(words) if words.len() == 3));
}

/// When a window closes, seen from a time in Berlin.
#[track_caller]
fn check_window(window: (i8, i8), now: &str, closes: Option<&str>) {
    let at = |hour| Time::constant(hour, 0, 0, 0);
    let window = Window { from: at(window.0), to: at(window.1) };
    let now: Timestamp = now.parse().unwrap();
    let found = window.closes(&now.to_zoned(TimeZone::get("Europe/Berlin").unwrap()));
    assert_eq!(found.map(|at| at.to_string()).as_deref(), closes, "{window:?} at {now}");
}

#[test]
fn a_window_closes_on_the_same_day_or_after_midnight() {
    check_window((6, 20), "2026-11-21T04:59:59Z", None);
    check_window((6, 20), "2026-11-21T05:00:00Z", Some("2026-11-21T19:00:00Z"));
    check_window((6, 20), "2026-11-21T19:00:00Z", None);
    check_window((20, 6), "2026-11-21T19:00:00Z", Some("2026-11-22T05:00:00Z"));
    check_window((20, 6), "2026-11-22T04:00:00Z", Some("2026-11-22T05:00:00Z"));
    check_window((20, 6), "2026-11-22T05:00:00Z", None);
}

#[test]
fn a_window_closes_once_where_the_clocks_change() {
    // 02:00 to 03:00 is jumped over, then comes twice
    check_window((0, 2), "2026-03-29T00:30:00Z", Some("2026-03-29T01:00:00Z"));
    check_window((0, 3), "2026-10-24T23:30:00Z", Some("2026-10-25T02:00:00Z"));
    check_window((0, 3), "2026-10-25T01:30:00Z", Some("2026-10-25T02:00:00Z"));
}

/// Each case is a file and everything that is said about it; `UPDATE_EXPECT=1` writes what is said now.
#[test]
fn bad_configurations_are_told_in_full() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_configs");
    let mut cases = 0;
    for case in std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        cases += 1;
        let text = std::fs::read_to_string(case.join("meterpost.toml")).unwrap();
        let said = match Config::parse(&text, &case, &|_| None) {
            Ok(config) => panic!("{} loads: {config:?}", case.display()),
            Err(faults) => ConfigError::Wrong { path: "meterpost.toml".into(), faults }.to_string() + "\n",
        };
        let said = said.replace(&case.display().to_string(), "<here>");
        expect_test::expect_file![case.join("expected")].assert_eq(&said);
    }
    assert!(cases >= 15, "only {cases} cases");
}
