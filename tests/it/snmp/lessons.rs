//! What a session learned about a device holds for the next reading.

use std::time::Duration;

use jiff::Timestamp;
use meterpost::gather::{Printer, read};
use meterpost::memory::Known;
use meterpost::pmd::Library;

use super::agent::{ScriptedAgent, error, right};
use super::{oid, printer, printer_of, reader, sighting};

/// hrMemorySize: this device never answers a request that has it.
const SILENT: &str = "1.3.6.1.2.1.25.2.2.0";
/// Objects that it bears in one request.
const BORNE: usize = 12;

#[tokio::test]
async fn a_known_device_is_not_asked_again_what_it_never_answers_nor_more_than_it_bears() {
    let objects = printer();
    let agent = ScriptedAgent::start(move |request| {
        if request.oids.contains(&oid(SILENT).arcs().to_vec()) {
            return Vec::new();
        }
        vec![if request.oids.len() > BORNE { error(request, 1, 0) } else { right(&objects, request) }]
    });
    let pmds = tempfile::tempdir().unwrap();
    std::fs::create_dir(pmds.path().join("acme")).unwrap();
    let mapping = "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999\"]\n\
                   [quirks]\ntimeout_ms = 250\n";
    std::fs::write(pmds.path().join("acme/x.toml"), mapping).unwrap();
    let reader = reader(Library::load(pmds.path()).unwrap());
    let sighting = sighting(&agent, Duration::from_millis(1));
    let first = printer_of(read(&reader, &sighting, None).await);
    let asked = agent.seen();
    let silent = || oid(SILENT).arcs().to_vec();
    assert!(asked.iter().any(|request| request.oids.len() > BORNE), "it was asked too much at first");
    assert!(asked.iter().any(|request| request.oids.contains(&silent())), "and the silent object");
    let known = |printer: &Printer| Known {
        key: "sn:acme:S1".to_owned(),
        address: agent.address.ip().to_string(),
        port: agent.address.port(),
        credential: "c".to_owned(),
        learned: printer.lessons.as_ref().expect("it was read").to_text(),
        counters: Default::default(),
        pages_per_minute: None,
        alerts: Vec::new(),
        seen_at: Timestamp::UNIX_EPOCH,
        full_at: None,
        went: meterpost::memory::Went::default(),
    };
    // It may have been busy: once more everything is asked, in requests that it bears.
    let second = printer_of(read(&reader, &sighting, Some(&known(&first))).await);
    let again = agent.seen().split_off(asked.len());
    let wide = again.iter().map(|request| request.oids.len()).max();
    assert!(wide.is_some_and(|wide| wide <= BORNE), "{wide:?} objects in one request");
    assert!(again.iter().any(|request| request.oids.contains(&silent())), "silent once is not silent for ever");
    printer_of(read(&reader, &sighting, Some(&known(&second))).await);
    let third = agent.seen().split_off(asked.len() + again.len());
    assert!(!third.is_empty() && third.iter().all(|request| !request.oids.contains(&silent())));
}
