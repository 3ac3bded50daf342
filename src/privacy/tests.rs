use std::collections::BTreeMap;

use jiff::Timestamp;
use meterpost_wire::CounterKey;
use meterpost_wire::reading::{Alert, AlertScope, Alerts, Basis, Count, Evidence, Outcome, Scope, Status, Tray};

use super::*;

/// A device that repeats what it is called wherever it can.
fn talkative() -> Reading {
    let count = Count {
        value: 4711,
        basis: Basis::Actual,
        evidence: Evidence::default(),
        unit: None,
        detail: Some("VNB3K12345 said 4712".into()),
    };
    Reading {
        key: "sn:acme:VNB3K12345".into(),
        mapping: None,
        scope: Scope::Full,
        read_at: Timestamp::UNIX_EPOCH,
        outcome: Outcome::Complete,
        identity: Some(Identity {
            vendor: Some("ACME".into()),
            model: Some("LaserBeam 500".into()),
            make_and_model: Some("ACME LaserBeam 500 vnb3k12345".into()),
            serial_number: Some("VNB3 K12345".into()),
            asset_tag: Some("INV-0815".into()),
            uuid: Some("564e4233-4b31-3233-3435-a0b1c2d3e4f5".into()),
            device_id: Some("MFG:ACME;MDL:LaserBeam 500;SN:VNB3K12345XX;".into()),
            system_name: Some("NPID3E4F5".into()),
            location: Some("Office".into()),
            contact: Some("Erika Mustermann".into()),
            system_info: Some("ACME JETDIRECT, A0-B1-C2-D3-E4-F5, 192.0.2.41".into()),
            ..Identity::default()
        }),
        network: Some(Network {
            addresses: vec!["192.0.2.41".into()],
            physical_addresses: vec!["a0:b1:c2:d3:e4:f5".into()],
            host_name: Some("prt-2og-01.example".into()),
        }),
        capabilities: None,
        counters: CounterKey::parse("system.impressions").ok().map(|key| BTreeMap::from([(key, count)])),
        supplies: Some(vec![Supply {
            description: Some("Toner for VNB3K12345".into()),
            serial_number: Some("CRUM-1".into()),
            ..Supply::default()
        }]),
        inputs: Some(vec![Tray { name: Some("Tray of prt-2og-01".into()), ..Tray::default() }]),
        outputs: None,
        covers: None,
        alerts: Some(Alerts {
            scope: AlertScope::All,
            rows: vec![Alert {
                description: Some("call Erika Mustermann about 192.0.2.41".into()),
                ..Alert::default()
            }],
        }),
        status: Some(Status {
            console: vec!["192.0.2.41".into(), "192.0.2.4 and 192.0.2.412".into()],
            ..Status::default()
        }),
        gaps: vec![Gap {
            field: "counters.copy.impressions".into(),
            reason: GapReason::Rejected,
            detail: Some("`prt-2og-01` is no number".into()),
        }],
    }
}

fn hash(text: &str) -> String {
    format!("h:{:032x}", text.len())
}

fn under(rules: &[(&str, &str)]) -> Reading {
    let mut policy = Policy::default();
    for (field, rule) in rules {
        policy.set(field, rule).unwrap();
    }
    apply(talkative(), &policy, &hash)
}

/// None of `texts` is anywhere in what is left, in whatever case.
#[track_caller]
fn check_gone(rules: &[(&str, &str)], texts: &[&str]) {
    let left = format!("{:?}", under(rules)).to_lowercase();
    for text in texts {
        assert!(!left.contains(&text.to_lowercase()), "`{text}` is left: {left}");
    }
}

#[test]
fn contact_and_description_are_dropped_by_default_and_nothing_else() {
    let left = under(&[]);
    let identity = left.identity.as_ref().unwrap();
    assert_eq!((&identity.contact, &identity.system_info), (&None, &None));
    assert_eq!(left.key, "sn:acme:VNB3K12345");
    assert_eq!(identity.device_id.as_deref(), Some("MFG:ACME;MDL:LaserBeam 500;SN:VNB3K12345XX;"));
    assert_eq!(left.alerts.unwrap().rows[0].description.as_deref(), Some("call [hidden] about 192.0.2.41"));
    assert_eq!(left.gaps, talkative().gaps);
}

#[test]
fn a_hidden_serial_is_not_in_what_was_no_serial_either() {
    let mut reading = talkative();
    let identity = reading.identity.as_mut().unwrap();
    identity.serial_number = None;
    identity.device_id = Some("MFG:ACME;SER:ZZ00000001;\u{0} ser :ZZ00000002;SERIAL:ZZ00000003;MDL:9;".into());
    let detail = Some("`ZZ00000004` is no serial number".to_owned());
    reading.gaps = vec![Gap { field: "identity.serial_number".into(), reason: GapReason::NotSupported, detail }];
    let mut policy = Policy::default();
    policy.set("serial_number", "drop").unwrap();
    let left = apply(reading, &policy, &hash);
    assert_eq!(left.identity.unwrap().device_id.as_deref(), Some("MFG:ACME;MDL:9;"));
    assert_eq!((left.gaps.len(), &left.gaps[0].detail), (1, &None));
}

#[test]
fn a_hidden_serial_is_nowhere_not_even_in_the_key_or_the_1284_id() {
    check_gone(&[("serial_number", "drop")], &["VNB3K12345", "VNB3 K12345", "SN:"]);
    check_gone(&[("serial_number", "hash")], &["VNB3K12345", "VNB3 K12345", "SN:"]);
    let left = under(&[("serial_number", "hash")]);
    assert_eq!(left.key, hash("sn:acme:VNB3K12345"));
    assert_eq!(left.identity.unwrap().serial_number.unwrap().value, hash("VNB3 K12345"));
    assert_eq!(left.gaps, talkative().gaps, "a hidden text of the identity leaves no gap");
}

#[test]
fn a_hidden_mac_is_not_in_names_and_uuids_made_of_it() {
    let rules = [("physical_address", "drop"), ("system_info", "send")];
    check_gone(&rules, &["a0:b1:c2", "A0-B1-C2-D3-E4-F5", "D3E4F5", "564e4233"]);
}

#[test]
fn a_hidden_address_is_told_from_its_neighbours() {
    let rules = [("address", "hash"), ("system_info", "send")];
    check_gone(&rules, &["192.0.2.41 ", "192.0.2.41\""]);
    assert_eq!(under(&rules).status.unwrap().console, [hash("192.0.2.41"), "192.0.2.4 and 192.0.2.412".into()]);
}

#[test]
fn a_device_that_is_named_after_its_model_keeps_its_model() {
    let named = |name: &str, model_oid: &str| {
        let mut reading = talkative();
        let identity = reading.identity.as_mut().unwrap();
        identity.system_name = Some(name.to_owned());
        identity.model.as_mut().unwrap().evidence.oid = Some(model_oid.to_owned());
        let mut policy = Policy::default();
        policy.set("system_name", "drop").unwrap();
        let identity = apply(reading, &policy, &hash).identity.unwrap();
        assert_eq!(identity.system_name, None);
        identity.model.unwrap().value
    };
    assert_eq!(named("laserbeam 500", "1.3.6.1.4.1.9999.1.0"), "LaserBeam 500");
    assert_eq!(named("ACME LaserBeam 500", "1.3.6.1.4.1.9999.1.0"), "LaserBeam 500");
    assert_eq!(named("LaserBeam 500", "1.3.6.1.2.1.1.5.0"), "[hidden]", "read from what is not to be sent");
    assert_eq!(named("LaserBeam 500 of Erika", "1.3.6.1.4.1.9999.1.0"), "LaserBeam 500");
}

#[test]
fn hidden_names_are_gone_with_their_first_label() {
    check_gone(&[("host_name", "drop"), ("asset_tag", "drop")], &["prt-2og-01", "INV-0815"]);
}

#[test]
fn hidden_counters_and_lists_leave_a_gap_that_says_policy() {
    let left = under(&[("counters", "drop"), ("supplies", "drop"), ("alerts", "drop")]);
    assert_eq!((left.counters, left.supplies, left.alerts), (None, None, None));
    let gaps: Vec<(&str, GapReason)> = left.gaps[1..].iter().map(|gap| (gap.field.as_str(), gap.reason)).collect();
    assert_eq!(gaps, [("counters", GapReason::Policy), ("supplies", GapReason::Policy), ("alerts", GapReason::Policy)]);
}

#[test]
fn a_policy_that_cannot_be_is_refused_with_what_would_be_right() {
    let said = |field, rule| Policy::default().set(field, rule).unwrap_err().to_string();
    assert_eq!(said("colour", "drop"), "`colour` names no field");
    assert_eq!(said("contact", "mask"), "`mask` is no rule: `send`, `drop` and `hash` are");
    assert_eq!(said("counters", "hash"), "`counters` cannot be hashed: `send` and `drop` are possible");
}
