//! Recording a device on the network: whole, politely, and without what names a person or a place.

mod everywhere;

use crate::cli::said;
use crate::run::{at, fleet, printer};
use crate::simulator::manner::Manner;
use crate::simulator::recording::Recording;

fn walk() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/walks/kyocera-taskalfa-4054ci.snmprec");
    // jobs that are nobody's business
    std::fs::read_to_string(path).unwrap()
        + "1.3.6.1.4.1.1347.47.1.1.1.1|4|Ann's contract.pdf\n1.3.6.1.4.1.1347.48.1.0|2|7\n"
}

#[test]
fn a_device_is_recorded_whole_and_reads_as_before_without_its_names() {
    let running = fleet(vec![printer(at(9, 1), Recording::parse(&walk()).unwrap(), Manner::default())]);
    let home = tempfile::tempdir().unwrap();
    let port = running.port().to_string();
    let device = at(9, 1).to_string();
    let record = |file: &str, raw: &[&str]| {
        said(home.path(), &[&["record", &device, "--port", &port, "-o", file], raw].concat())
    };
    let told = record("a.snmprec", &[]);
    assert_eq!((told.err.as_str(), told.code), ("", 0), "{}", told.out);
    for part in [
        "Kyocera TASKalfa 4054ci: 301 objects in ",
        "left out: 1.3.6.1.4.1.1347.47, Kyocera's lists of jobs, users and addresses\n",
        "2 MAC addresses in 2 places",
        "next: meterpost pmd draft a.snmprec\n",
    ] {
        assert!(told.out.replace('\n', " ").contains(part.trim_end()), "{part} is not in\n{}", told.out);
    }
    let text = std::fs::read_to_string(home.path().join("a.snmprec")).unwrap();
    for original in ["RVP9Z00417", "FA-2291", "Zentrale", "0017c85e21a7", "5E21A7", "contract"] {
        assert!(!text.contains(original), "{original} is in the recording");
    }
    assert!(text.contains("|4|TASKalfa 4054ci\n") && text.contains("1.3.6.1.4.1.1347.48.1.0|2|7\n"));
    assert!(!home.path().join("a.snmprec.part").exists());

    let raw = record("raw.snmprec", &["--raw"]);
    assert!(raw.out.contains("nothing was replaced (--raw)"), "{}", raw.out);
    let text = std::fs::read_to_string(home.path().join("raw.snmprec")).unwrap();
    assert!(text.contains("|4|RVP9Z00417\n") && !text.contains("contract"));

    let why = |walk: &str| said(home.path(), &["pmd", "why", walk, "system.impressions"]).out;
    assert_eq!(why("a.snmprec"), why("raw.snmprec"));
    assert!(why("a.snmprec").contains("is 85429, actual"));
    let live = said(home.path(), &["pmd", "why", &device, "system.impressions", "--port", &port]).out;
    assert_eq!(live, why("a.snmprec"), "a device and its recording are read alike");
    assert_eq!(running.stop().total().malformed, 0);
}

#[test]
fn nothing_is_written_of_a_device_that_does_not_answer() {
    let running = fleet(vec![printer(at(9, 2), Recording::parse(&walk()).unwrap(), Manner::default())]);
    let home = tempfile::tempdir().unwrap();
    let (port, device) = (running.port().to_string(), at(9, 2).to_string());
    let other = ["record", &device, "--port", &port, "--community", "other", "--version", "2c", "--timeout", "50ms"];
    let told = said(home.path(), &[&other[..], &["-o", "a.snmprec"]].concat());
    assert_eq!((told.out.as_str(), told.code), ("", 1));
    assert!(told.err.contains("does not answer\n  hint: it may be off, or know another community"), "{}", told.err);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    let told = said(home.path(), &[&other[..], &["-o", "nowhere/a.snmprec"]].concat());
    assert_eq!((told.err.as_str(), told.code), ("error: `nowhere` is no folder to write into\n", 2));
}
