//! What is missing of a site, as an operator asks for it.

use std::path::Path;

use meterpost_wire::batch::{Chain, Void, VoidReason};
use meterpost_wire::reading::{Alert, Alerts, Reading};
use meterpost_wire::{Batch, resend};
use serde_json::Value;

use super::super::bed::{Site, printer};
use super::check;

fn import(dir: &Path, site: &Site, batch: &Batch) {
    let path = dir.join(format!("{}.jwe", batch.id));
    std::fs::write(&path, site.seal(batch)).expect("written");
    check(dir, &["import", path.to_str().expect("a path")], 0, "");
}

fn gaps(dir: &Path) -> Value {
    let json: Value = serde_json::from_str(&check(dir, &["gaps", "--format", "json"], 0, "")).expect("JSON");
    json["sites"][0].clone()
}

fn with_alerts(total: u64, indexes: &[u32]) -> Reading {
    let rows = indexes.iter().map(|index| Alert { index: Some(*index), ..Alert::default() }).collect();
    Reading { alerts: Some(Alerts { rows, ..Alerts::default() }), ..printer("A1", total, "2026-11-20T06:00:00Z") }
}

#[test]
fn a_gap_is_named_with_its_cost_and_a_code_that_brings_it_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    assert!(check(dir.path(), &["gaps"], 0, "").ends_with("): nothing has come yet\n"));
    import(dir.path(), &site, &site.batch(37, vec![with_alerts(10, &[1, 2, 3])]));
    let voids = vec![Void { from: 1, to: 36, reason: VoidReason::Lost }];
    let after =
        Batch { chain: Some(Chain { links: Vec::new(), voids }), ..site.batch(456, vec![with_alerts(20, &[3])]) };
    import(dir.path(), &site, &after);

    let found = gaps(dir.path());
    assert_eq!(
        (&found["site"], &found["highest"], &found["acknowledged_through"]),
        (&"North".into(), &456.into(), &37.into())
    );
    assert_eq!(found["cost"]["text"], "counters unaffected, 2 alert events lost");
    assert_eq!((&found["resends_by_itself"], &found["void"][0]["reason"]), (&false.into(), &"lost".into()));
    let missing = &found["missing"][0];
    assert_eq!((&missing["from"], &missing["to"], &missing["alert"]), (&38.into(), &455.into(), &false.into()));
    let code = missing["resend_code"].as_str().expect("a code");
    assert!(code.len() <= 20, "{code}");
    assert_eq!(resend::decode(site.epoch.kid().site(), code), Ok(vec![(38, 455)]));

    let table = check(dir.path(), &["gaps", "north"], 0, "");
    assert!(table.contains("): 418 missing of 456: counters unaffected, 2 alert events lost\n"), "{table}");
    assert!(
        table.contains("  missing  38–455: counters unaffected, 2 alert events lost; known for 0 min, sealed between "),
        "{table}"
    );
    assert!(table.contains(&format!("`meterpost outbox resend {code}` there")), "{table}");
    assert!(table.contains("  void     1–36 lost: jumped over"), "{table}");
    assert!(table.contains("  jump     from 0 to 37, "), "{table}");
    check(dir.path(), &["gaps", "South"], 2, "there is no site `South`");

    for sequence in 38..=455 {
        let path = dir.path().join("again").join(format!("{sequence}.jwe"));
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(&path, site.seal(&site.batch(sequence, vec![]))).expect("written");
    }
    check(dir.path(), &["import", dir.path().join("again").to_str().expect("a path")], 0, "");
    let table = check(dir.path(), &["gaps", "north"], 0, "");
    assert!(table.contains("): complete up to 456\n") && !table.contains("missing"), "{table}");
}

#[test]
fn a_fork_is_taken_note_of_until_another_token_comes() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let clone = |number: u32| {
        let id = format!("0192f0c1-7b7e-7000-8000-{number:012x}");
        Batch { id, created: super::super::bed::at("2026-11-20T07:00:00Z"), ..site.batch(1, vec![]) }
    };
    import(dir.path(), &site, &clone(1));
    check(dir.path(), &["gaps", "North", "--take-note", "1"], 2, "sequence 1 of `North` is not forked");
    import(dir.path(), &site, &clone(2));
    assert!(check(dir.path(), &["site", "list"], 0, "").contains("  forked"));
    let remark = "two machines, one is switched off";
    let table = check(dir.path(), &["gaps", "North", "--take-note", "1", "--remark", remark], 0, "");
    assert!(table.contains("  forked   1 stands for ") && table.contains(&format!(": {remark}\n")), "{table}");
    assert!(!check(dir.path(), &["site", "list"], 0, "").contains("forked"));
    check(dir.path(), &["check", "--rederive"], 0, "");
    assert_eq!(gaps(dir.path())["forked"][0]["noted"]["remark"], remark, "a person's word is not derived");
    import(dir.path(), &site, &clone(3));
    assert!(check(dir.path(), &["site", "list"], 0, "").contains("  forked"));
    assert_eq!(gaps(dir.path())["forked"][0]["tokens"].as_array().map(Vec::len), Some(3));
}
