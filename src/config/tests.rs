//! The example, the bad configurations of tests/bad_configs, and what a good one means.

use std::path::Path;

use super::*;
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
        .map(|line| line.replace("\"v3-priv\"", "\"SECRET\"").replace("\"proxy\"", "\"SECRET\"") + "\n")
        .collect();
    let config = parse(&active).unwrap();
    assert_eq!((config.sweeps.len(), config.credentials.len()), (1, 2));
    assert_eq!(
        config.sweeps[0].window,
        Some(Window { from: Time::constant(6, 0, 0, 0), to: Time::constant(20, 0, 0, 0) })
    );
    assert!(matches!(&config.credentials[1].access, Access::User(user) if user.privacy.is_some()));
    assert!(matches!(&config.proxy, Some(Proxy::Via { user: Some((user, _)), .. }) if user == "meterpost"));
    assert!(!format!("{config:?}").contains("of the environment"), "a secret is never printed");
}

#[test]
fn a_window_may_span_midnight() {
    let at = |hour| Time::constant(hour, 0, 0, 0);
    let night = Window { from: at(20), to: at(6) };
    assert!(night.holds(at(20)) && night.holds(at(23)) && night.holds(at(5)));
    assert!(!night.holds(at(6)) && !night.holds(at(12)));
    let day = Window { from: at(6), to: at(20) };
    assert!(day.holds(at(6)) && !day.holds(at(20)));
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
