//! The real program against a simulated fleet: scanning, one pass, crashes, locks, the daemon.

mod gather;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use expect_test::expect;
use meterpost::store::{Half, RunLock};
use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::{Enc, Epoch, Kid};
use serde_json::Value;

use crate::cli::{Said, meterpost, said};
use crate::simulator::manner::{Auth, Manner, Privacy, User};
use crate::simulator::recording::{Recording, View};
use crate::simulator::{self, Fleet, Printer, Running, made};

const SITE: &str = "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10";

/// A switch that speaks SNMP and prints nothing.
const SWITCH: &str = "1.3.6.1.2.1.1.1.0|4|Linux switch\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.8072.3.2.10\n\
                      1.3.6.1.2.1.25.3.2.1.2.1|6|1.3.6.1.2.1.25.3.1.3\n1.3.6.1.2.1.25.3.2.1.3.1|4|CPU\n";

/// An address in a net of this test's own.
fn at(net: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 93, net, last)
}

fn printer(address: Ipv4Addr, recording: Recording, manner: Manner) -> Printer {
    Printer { address, views: vec![(String::new(), View::of(&Arc::new(recording)))], manner }
}

fn fleet(printers: Vec<Printer>) -> Running {
    simulator::start(Fleet { port: 0, printers, seed: 1 }).unwrap()
}

/// A fleet of one A4 printer, one MFP, and a switch, all with community `public`.
fn office(net: u8) -> Running {
    fleet(vec![
        printer(at(net, 7), made::a4_printer(), Manner::default()),
        printer(at(net, 9), made::typical_mfp(), Manner::default()),
        printer(at(net, 11), Recording::parse(SWITCH).unwrap(), Manner::default()),
    ])
}

/// Takes a token of a central.
fn enroll(home: &Path, central: &str) -> String {
    let token = Enrolment {
        central: central.to_owned(),
        name: "Head office".to_owned(),
        epoch: Epoch::new(Kid::parse(&format!("{SITE}.1")).unwrap(), Enc::default(), [7; 32]),
        mail_to: None,
        ca_pem: None,
        pack_keys: Vec::new(),
        sequence: None,
    };
    std::fs::write(home.join("office.token"), token.to_token().as_bytes()).unwrap();
    let taken = said(home, &["enroll", "--file", "office.token"]);
    assert_eq!((taken.err.as_str(), taken.code), ("", 0));
    taken.out
}

/// A site that is enrolled with a central where nobody listens, and sweeps `net`.
fn enrolled(net: u8, port: u16) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("etc")).unwrap();
    let config = format!(
        "[[credentials]]\nname = \"office\"\ncommunity = \"public\"\n\n[[sweep]]\ntargets = [\"127.93.{net}.0/28\"]\n\
         credentials = [\"office\"]\nport = {port}\nretries = 0\n"
    );
    std::fs::write(home.path().join("etc/meterpost.toml"), config).unwrap();
    assert_eq!(
        enroll(home.path(), "http://127.0.0.1:9"),
        format!(
            "enrolled as site {SITE} (Head office), epoch 1, with http://127.0.0.1:9; the next batch is number 1\n"
        )
    );
    home
}

fn json(said: &Said) -> Value {
    assert_eq!((said.err.as_str(), said.code), ("", 0), "{}", said.out);
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn a_scan_needs_no_configuration_and_has_a_verdict_for_everybody_who_answered() {
    let ann = User {
        name: "ann".to_owned(),
        auth: Some((Auth::Sha256, "ann's first secret".to_owned())),
        privacy: Some((Privacy::Aes128, "ann's second secret".to_owned())),
    };
    let v3_only = Manner { v1: false, v2c: false, users: vec![ann.clone()], ..Manner::default() };
    let stranger = User { name: "bob".to_owned(), ..ann };
    let running = fleet(vec![
        printer(at(1, 3), made::typical_mfp(), Manner::default()),
        printer(at(1, 4), made::a4_printer(), v3_only.clone()),
        printer(at(1, 5), made::a4_printer(), Manner { users: vec![stranger], ..v3_only }),
        printer(at(1, 6), Recording::parse(SWITCH).unwrap(), Manner::default()),
    ]);
    let home = tempfile::tempdir().unwrap();
    let port = running.port().to_string();
    let scan = said(
        home.path(),
        &[
            "scan",
            "127.93.1.0/28",
            "--exclude",
            "127.93.1.14",
            "--port",
            &port,
            "--community",
            "public",
            "--v3",
            "ann:SHA-256:ann's first secret:AES:ann's second secret",
            "--retries",
            "0",
            "--format",
            "json",
            "--verdicts",
        ],
    );
    let scan = json(&scan);
    let verdicts: BTreeMap<&str, &str> = scan["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|verdict| (verdict["address"].as_str().unwrap(), verdict["verdict"].as_str().unwrap()))
        .collect();
    let expected = |last: u8| match last {
        3 | 4 => "printer",
        5 => "wrong_credential",
        6 => "not_printer",
        14 => "excluded",
        _ => "silent",
    };
    let all: Vec<(String, &str)> = (1..=14).map(|last| (at(1, last).to_string(), expected(last))).collect();
    let mut all: Vec<(&str, &str)> = all.iter().map(|(address, verdict)| (address.as_str(), *verdict)).collect();
    all.sort_unstable();
    assert_eq!(verdicts.into_iter().collect::<Vec<_>>(), all);
    let sweep = &scan["sweep"];
    assert_eq!((&sweep["addresses"], &sweep["answered"], &sweep["printers"]), (&13.into(), &4.into(), &2.into()));
    assert_eq!(sweep["targets"], serde_json::json!(["127.93.1.0/28"]));
    let devices = scan["devices"].as_array().unwrap();
    assert_eq!(
        devices.iter().map(|device| device["address"].as_str()).collect::<Vec<_>>(),
        [Some("127.93.1.3"), Some("127.93.1.4")]
    );
    for device in devices {
        check_device(device);
    }
    let tally = running.stop().total();
    assert_eq!(tally.malformed, 0, "every datagram of ours is well-formed SNMP");
}

/// Keys of a device in CONTRACT 2, with what must be there in a whole reading.
fn check_device(device: &Value) {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let within = |value: &Value, allowed: &[&str]| {
        for key in keys(value) {
            assert!(allowed.contains(&key.as_str()), "`{key}` is not in the contract: {value:#}");
        }
    };
    assert!(!device.to_string().contains("null"), "{device:#}");
    within(
        device,
        &[
            "address",
            "outcome",
            "read_at",
            "key",
            "mapping",
            "identity",
            "network",
            "capabilities",
            "counters",
            "supplies",
            "inputs",
            "outputs",
            "covers",
            "alerts",
            "status",
            "gaps",
            "traffic",
        ],
    );
    for must in ["identity", "network", "counters", "supplies", "inputs", "alerts", "status", "gaps", "traffic"] {
        assert!(device.get(must).is_some(), "`{must}` in {device:#}");
    }
    within(&device["mapping"], &["pmd", "pack", "reason"]);
    within(
        &device["identity"],
        &[
            "vendor",
            "model",
            "make_and_model",
            "serial_number",
            "asset_tag",
            "system_name",
            "location",
            "firmware",
            "sys_object_id",
            "device_id",
            "uuid",
        ],
    );
    within(&device["network"], &["physical_addresses", "host_name"]);
    for count in device["counters"].as_object().unwrap().values() {
        within(count, &["value", "basis", "oid", "rule", "confidence", "detail"]);
        assert!(count["value"].is_u64());
    }
    for supply in device["supplies"].as_array().unwrap() {
        within(
            supply,
            &[
                "index",
                "class",
                "type",
                "colorant",
                "description",
                "part_number",
                "serial_number",
                "unit",
                "max_capacity",
                "level",
                "level_state",
                "percent",
            ],
        );
    }
    for tray in device["inputs"].as_array().unwrap() {
        within(tray, &["index", "name", "max_capacity", "level", "level_state"]);
    }
    for alert in device["alerts"].as_array().unwrap() {
        within(
            alert,
            &["index", "severity", "training", "group", "group_index", "code", "code_number", "description", "time"],
        );
    }
    within(&device["status"], &["state", "device_status", "printer_status", "detected_errors", "console"]);
    within(&device["traffic"], &["requests", "responses", "bytes_sent", "bytes_received"]);
    assert!(device["read_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_table_fits_80_columns_and_is_plain_when_it_is_not_a_terminal() {
    let running = office(2);
    let home = tempfile::tempdir().unwrap();
    let port = running.port().to_string();
    let scan = said(home.path(), &["scan", "127.93.2.0/28", "--port", &port, "--retries", "0"]);
    assert_eq!((scan.err.as_str(), scan.code), ("", 0));
    for line in scan.out.lines() {
        assert!(line.chars().count() <= 80 && !line.contains('\u{1b}'), "{line:?}");
    }
    for part in [
        "127.93.2.7 ",
        "127.93.2.9 ",
        "  2 printers\n",
        "  1 not a printer\n      127.93.2.11  Linux switch",
        "  11 silent\n",
    ] {
        assert!(scan.out.contains(part), "`{part}` in\n{}", scan.out);
    }
}

#[test]
fn csv_has_a_row_and_xml_an_element_for_each_printer() {
    let running = office(3);
    let home = tempfile::tempdir().unwrap();
    let port = running.port().to_string();
    let of = |format| {
        said(home.path(), &["scan", "127.93.3.0/28", "--port", &port, "--retries", "0", "--format", format]).out
    };
    let csv = of("csv");
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.starts_with("address,outcome,read_at,key,"), "{csv}");
    let xml = of("xml");
    let xml = roxmltree::Document::parse(&xml).unwrap();
    let ids: Vec<_> = xml.descendants().filter(|node| node.has_tag_name(("urn:meterpost:batch:1", "Device"))).collect();
    assert_eq!(ids.len(), 2);
}

#[test]
fn a_sweep_alone_finds_printers_and_reads_none() {
    let running = office(4);
    let home = tempfile::tempdir().unwrap();
    let port = running.port().to_string();
    let arguments = ["scan", "127.93.4.0/28", "--port", &port, "--retries", "0", "--sweep-only", "--format", "json"];
    let scan = json(&said(home.path(), &arguments));
    assert_eq!(scan["devices"], serde_json::json!([]));
    assert_eq!(scan["sweep"]["printers"], 2);
    let words: Vec<_> =
        scan["verdicts"].as_array().unwrap().iter().map(|verdict| verdict["verdict"].as_str()).collect();
    assert_eq!(words, [Some("printer"), Some("printer"), Some("not_printer")]);
}

#[test]
fn one_pass_reads_seals_and_keeps_what_the_central_did_not_take() {
    let running = office(5);
    let home = enrolled(5, running.port());
    let run = said(home.path(), &["run", "--once"]);
    assert_eq!((run.err.as_str(), run.code), ("", 3), "{}", run.out);
    let mut lines = run.out.lines();
    assert_eq!(lines.next(), Some("14 addresses asked, 3 answered, 2 printers; 2 devices in batch 1"));
    assert!(lines.next().unwrap().starts_with("0 delivered, 1 waiting (no connection to the central"), "{}", run.out);
    assert_eq!(said(home.path(), &["outbox", "check"]).out, "1 item checked: all whole\n");
    let batch = shown(home.path(), 1);
    assert_eq!(outcomes(&batch).len(), 2);

    // `--due`: nothing is due so soon after, and that is no fault
    let due = said(home.path(), &["run", "--once", "--due", "--read-only"]);
    assert_eq!((due.out.as_str(), due.err.as_str(), due.code), ("", "", 0));

    // nothing but the queue, and nothing of it went through
    let sent = said(home.path(), &["outbox", "send"]);
    assert_eq!((sent.err.as_str(), sent.code), ("", 1), "{}", sent.out);
}

#[test]
fn the_preview_is_the_batch_that_is_sealed() {
    let running = office(6);
    let home = enrolled(6, running.port());
    let preview = said(home.path(), &["preview"]);
    assert_eq!((preview.err.as_str(), preview.code), ("", 0));
    assert_eq!(said(home.path(), &["outbox", "list"]).out, "the outbox is empty\n");
    assert_eq!(said(home.path(), &["run", "--once", "--read-only"]).code, 0);
    assert_eq!(timeless(&preview.out), timeless(&shown(home.path(), 1)));
}

/// Without ids, times and what follows from them; devices in the order of their keys, since the first to answer is first.
fn timeless(xml: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(xml.trim_end()).unwrap();
    let mut said = Vec::new();
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let device = node.ancestors().find(|node| node.has_tag_name(("urn:meterpost:batch:1", "Device")));
        let device = device.and_then(|device| device.attribute("id")).unwrap_or_default();
        let name = node.tag_name().name();
        if ["ReadAt", "StartedAt", "EndedAt", "Time", "UptimeSeconds", "UpTime"].contains(&name) {
            continue;
        }
        let text = node.text().unwrap_or_default();
        let mut attributes: Vec<String> = node
            .attributes()
            .filter(|attribute| !["id", "created", "dueNext"].contains(&attribute.name()))
            .map(|attribute| format!(" {}={}", attribute.name(), attribute.value()))
            .collect();
        attributes.sort();
        said.push(format!("{device} {name}{} {text}", attributes.concat()));
    }
    said.sort();
    said
}

fn shown(home: &Path, sequence: u64) -> String {
    let shown = said(home, &["outbox", "show", &sequence.to_string()]);
    assert_eq!((shown.err.as_str(), shown.code), ("", 0));
    shown.out
}

/// Key and outcome of every device.
fn outcomes(xml: &str) -> BTreeMap<String, String> {
    let document = roxmltree::Document::parse(xml).unwrap();
    let devices = document.descendants().filter(|node| node.has_tag_name(("urn:meterpost:batch:1", "Device")));
    devices
        .map(|device| {
            let outcome =
                device.children().find(|node| node.tag_name().name() == "Outcome").and_then(|node| node.text());
            (device.attribute("id").unwrap().to_owned(), outcome.unwrap_or_default().to_owned())
        })
        .collect()
}

#[test]
fn a_known_printer_that_is_silent_or_refuses_is_reported_so() {
    let user = User { name: "ann".to_owned(), auth: Some((Auth::Sha1, "the right secret".to_owned())), privacy: None };
    let v3_only = Manner { v1: false, v2c: false, users: vec![user], ..Manner::default() };
    let refusing = |manner: Manner| {
        vec![printer(at(7, 7), made::a4_printer(), Manner::default()), printer(at(7, 9), made::typical_mfp(), manner)]
    };
    let running = fleet(refusing(v3_only.clone()));
    let home = enrolled(7, running.port());
    let config = home.path().join("etc/meterpost.toml");
    let with_secret = |secret: &str, port: u16| {
        format!(
            "[[credentials]]\nname = \"office\"\ncommunity = \"public\"\n\n[[credentials]]\nname = \"v3\"\nuser = \"ann\"\n\
             auth_protocol = \"SHA\"\nauth_secret = \"{secret}\"\n\n[[sweep]]\ntargets = [\"127.93.7.0/28\"]\n\
             credentials = [\"office\", \"v3\"]\nport = {port}\nretries = 0\n"
        )
    };
    std::fs::write(&config, with_secret("the right secret", running.port())).unwrap();
    let first = said(home.path(), &["run", "--once", "--read-only"]);
    assert_eq!(first.out, "14 addresses asked, 2 answered, 2 printers; 2 devices in batch 1\n", "{}", first.err);
    let known: Vec<String> = outcomes(&shown(home.path(), 1)).into_keys().collect();

    std::fs::write(&config, with_secret("another secret", running.port())).unwrap();
    let running_port = running.port();
    drop(running);
    let running = simulator::start(Fleet {
        port: running_port,
        printers: vec![printer(at(7, 9), made::typical_mfp(), v3_only)],
        seed: 1,
    })
    .unwrap();
    let second = said(home.path(), &["run", "--once", "--read-only"]);
    assert_eq!(second.out, "14 addresses asked, 1 answered, 0 printers; 2 devices in batch 2\n", "{}", second.err);
    let now = outcomes(&shown(home.path(), 2));
    assert_eq!(now.keys().cloned().collect::<Vec<_>>(), known);
    let mut words: Vec<&str> = now.values().map(String::as_str).collect();
    words.sort_unstable();
    assert_eq!(words, ["denied", "unreachable"]);
    drop(running);
}

/// Puts other lines in place of the targets of an enrolled home.
fn retarget(home: &Path, net: u8, lines: &str) {
    let config = home.join("etc/meterpost.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let targets = format!("targets = [\"127.93.{net}.0/28\"]");
    assert!(text.contains(&targets), "{text}");
    std::fs::write(config, text.replace(&targets, lines)).unwrap();
}

#[test]
fn a_name_that_does_not_resolve_is_told_and_the_rest_is_asked() {
    let running = office(14);
    let home = enrolled(14, running.port());
    retarget(home.path(), 14, "targets = [\"no.such.host.invalid\", \"127.93.14.0/28\"]");
    let run = said(home.path(), &["run", "--once", "--read-only"]);
    assert_eq!(run.out, "14 addresses asked, 3 answered, 2 printers; 2 devices in batch 1\n", "{}", run.err);
    assert!(run.err.contains("`no.such.host.invalid` has no address: "), "{}", run.err);
    assert_eq!((run.err.lines().count(), run.code), (1, 0), "{}", run.err);

    // a scan too, unless nobody is left, or it is not known who must not be asked
    let port = running.port().to_string();
    let scan = said(home.path(), &["scan", "no.such.host.invalid", "127.93.14.9", "--port", &port, "--retries", "0"]);
    assert!(scan.out.contains("  1 printer\n") && scan.err.contains("; not asked\n"), "{scan:?}");
    let excluded = said(home.path(), &["scan", "127.93.14.9", "--exclude", "no.such.host.invalid", "--port", &port]);
    assert_eq!((excluded.out.as_str(), excluded.code), ("", 2), "{}", excluded.err);
    assert_eq!(said(home.path(), &["scan", "no.such.host.invalid"]).code, 2);
}

#[test]
fn the_machine_key_may_not_lie_in_the_data_directory() {
    let home = enrolled(17, 9);
    for key in ["fresh/machine.key", "fresh/below/machine.key", "etc/../fresh/machine.key"] {
        let arguments = ["enroll", "--file", "office.token", "--data-dir", "fresh", "--key-file", key];
        let refused = said(home.path(), &arguments);
        assert!(refused.err.contains(&format!("the machine key `{key}` would lie in the data directory `fresh`")));
        assert_eq!((refused.out.as_str(), refused.code), ("", 2));
        assert!(!home.path().join("fresh").exists(), "nothing was made");
    }
}

#[test]
fn a_second_run_at_the_same_time_ends_with_4() {
    let home = enrolled(8, 9);
    let _lock = RunLock::take(&home.path().join("data"), Half::Gathering).unwrap();
    assert_eq!(said(home.path(), &["preview"]).code, 4, "a preview asks printers too");
    let second = said(home.path(), &["run", "--once"]);
    expect![[r#"
        error: another run holds `<home>/data/gather.lock`
          hint: wait for it to end; a lock goes away with its process
    "#]]
    .assert_eq(&second.err.replace(&home.path().display().to_string(), "<home>"));
    assert_eq!((second.out.as_str(), second.code), ("", 4));
}

#[test]
fn a_run_that_is_killed_loses_nothing_and_the_next_one_is_whole() {
    let slow = Manner { delay: Duration::from_millis(150), ..Manner::default() };
    let running =
        fleet(vec![printer(at(9, 7), made::a4_printer(), slow.clone()), printer(at(9, 9), made::typical_mfp(), slow)]);
    let home = enrolled(9, running.port());
    for requests in [1, 4, 9] {
        running.reset();
        let mut child = meterpost(home.path()).args(["run", "--once", "--read-only"]).spawn().unwrap();
        await_requests(&running, requests, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(said(home.path(), &["outbox", "list"]).out, "the outbox is empty\n");
    }
    let whole = said(home.path(), &["run", "--once", "--read-only"]);
    assert_eq!(whole.out, "14 addresses asked, 2 answered, 2 printers; 2 devices in batch 1\n", "{}", whole.err);
    assert_eq!(said(home.path(), &["outbox", "check"]).out, "1 item checked: all whole\n");
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    assert!(std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[cfg(unix)]
fn spawned(home: &Path, arguments: &[&str]) -> Child {
    meterpost(home).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[cfg(unix)]
#[test]
fn a_stop_while_reading_ends_with_3_and_delivers_nothing() {
    let slow = Manner { delay: Duration::from_millis(300), ..Manner::default() };
    let running = fleet(vec![printer(at(15, 9), made::typical_mfp(), slow)]);
    let home = enrolled(15, running.port());
    let mut child = spawned(home.path(), &["run", "--once"]);
    await_requests(&running, 2, &mut child);
    signal(&child, "-INT");
    let run = Said::from(child.wait_with_output().unwrap());
    assert_eq!((run.out.as_str(), run.code), ("stopped before the end; nothing sealed\n", 3), "{}", run.err);

    running.reset();
    let port = running.port().to_string();
    let mut child = spawned(home.path(), &["scan", "127.93.15.0/28", "--port", &port]);
    await_requests(&running, 2, &mut child);
    signal(&child, "-INT");
    let scan = Said::from(child.wait_with_output().unwrap());
    assert!(scan.err.contains("stopped before the end"), "{scan:?}");
    assert_eq!(scan.code, 3);
}

#[cfg(unix)]
#[test]
fn a_stop_while_a_central_never_answers_ends_with_3_and_keeps_the_batch() {
    let running = office(16);
    let home = enrolled(16, running.port());
    assert_eq!(said(home.path(), &["run", "--once", "--read-only"]).code, 0);
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let central = format!("http://{}", silent.local_addr().unwrap());
    enroll(home.path(), &central);
    for command in [&["outbox", "send"][..], &["run", "--once", "--deliver-only"]] {
        let child = spawned(home.path(), command);
        let _taken = silent.accept().unwrap();
        signal(&child, "-TERM");
        let sent = Said::from(child.wait_with_output().unwrap());
        assert!(sent.err.contains("stopped while the central had not answered"), "{sent:?}");
        assert_eq!(sent.code, 3);
    }
    assert_eq!(said(home.path(), &["outbox", "check"]).out, "1 item checked: all whole\n");
}

/// Until the fleet was asked so often, or the program has ended.
fn await_requests(running: &Running, requests: u64, child: &mut Child) {
    let started = Instant::now();
    while running.tally().total().requests < requests && child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(60), "nobody asked");
        std::thread::yield_now();
    }
}

#[cfg(unix)]
#[test]
fn the_daemon_reads_at_once_when_it_never_did_and_ends_when_asked_to() {
    use std::io::{BufRead, BufReader};

    let running = office(10);
    let home = enrolled(10, running.port());
    let mut child = meterpost(home.path())
        .args(["run", "--read-only", "--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let read = log.find(|line| line.as_ref().unwrap().contains("2 devices in batch 1")).unwrap().unwrap();
    let read: Value = serde_json::from_str(&read).unwrap();
    assert_eq!(read["fields"]["message"], "14 addresses asked, 3 answered, 2 printers; 2 devices in batch 1");
    assert!(read["timestamp"].as_str().unwrap().ends_with('Z'));
    // it waits for the next time now
    assert!(log.any(|line| line.unwrap().contains("next reading")));
    let second = said(home.path(), &["run"]);
    assert!(second.err.contains("another run holds `") && second.err.contains("gather-daemon.lock`"), "{second:?}");
    assert_eq!(second.code, 4);
    let ended = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(ended.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn sweeps_without_targets_and_schedules_without_a_time_are_told() {
    let home = enrolled(11, 9);
    let config = home.path().join("etc/meterpost.toml");
    std::fs::write(&config, "").unwrap();
    let said_now = |arguments: &[&str]| {
        let said = said(home.path(), arguments);
        assert_eq!((said.out.as_str(), said.code), ("", 2));
        said.err
    };
    expect![[r#"
        error: the configuration has no `[[sweep]]`: there is nobody to ask
          hint: `meterpost config example` shows one
    "#]]
    .assert_eq(&said_now(&["run", "--once"]));
    std::fs::write(&config, "[schedule]\nread = \"\"\n").unwrap();
    expect![[r#"
        error: `[schedule].read` is empty: there is no time to wait for
          hint: `run --once` makes one pass; `run --deliver-only` needs no schedule
    "#]]
    .assert_eq(&said_now(&["run"]));
}
