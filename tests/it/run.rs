//! The real program against a simulated fleet: scanning, one pass, crashes, locks, the daemon.

mod gather;
mod interrupted;
mod scan;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use meterpost::clock;
use meterpost::outbox::Sealed;
use meterpost::site::{Paths, Site};
use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::{Enc, Epoch, Kid};
use serde_json::Value;

use crate::cli::{Said, said};
use crate::simulator::manner::{Auth, Manner, User};
use crate::simulator::recording::{Recording, View};
use crate::simulator::{self, Fleet, Printer, Running, made};

const SITE: &str = "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10";

/// A switch that speaks SNMP and prints nothing.
const SWITCH: &str = "1.3.6.1.2.1.1.1.0|4|Linux switch\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.8072.3.2.10\n\
                      1.3.6.1.2.1.25.3.2.1.2.1|6|1.3.6.1.2.1.25.3.1.3\n1.3.6.1.2.1.25.3.2.1.3.1|4|CPU\n";

/// An address in a net of this test's own.
pub fn at(net: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 93, net, last)
}

pub fn printer(address: Ipv4Addr, recording: Recording, manner: Manner) -> Printer {
    Printer { address, views: vec![(String::new(), View::of(&Arc::new(recording)))], manner }
}

pub fn fleet(printers: Vec<Printer>) -> Running {
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
    assert!(batch.contains("<PackVersion>0</PackVersion>") && batch.contains("<DiskFreeBytes>"), "{batch}");

    // what waits says since when and why
    let list = said(home.path(), &["outbox", "list"]).out;
    assert!(
        list.lines().nth(1).unwrap().contains("  due 20") && list.contains(", 1 try failed: no connection"),
        "{list}"
    );
    let receipt = said(home.path(), &["outbox", "show", "1", "--receipt"]);
    assert!(receipt.err.starts_with("error: item 1 has no receipt\n") && receipt.code == 1, "{receipt:?}");

    // `--due`: nothing is due so soon after, and that is no fault
    let due = said(home.path(), &["run", "--once", "--due", "--read-only"]);
    assert_eq!((due.out.as_str(), due.err.as_str(), due.code), ("", "", 0));

    // of the readings that were missed in three days one is made
    let site = Site::open(&Paths { data_dir: home.path().join("data"), key_file: home.path().join("etc/machine.key") });
    let store = site.unwrap();
    let three_days_ago = (clock::now() - Duration::from_secs(3 * 86_400)).to_string();
    store.store().write(|tx| tx.set_fact("last_read_at", &three_days_ago)).unwrap();
    drop(store);
    for expected in ["14 addresses asked, 3 answered, 2 printers; 2 devices in batch 2\n", ""] {
        let due = said(home.path(), &["run", "--once", "--due", "--read-only"]);
        assert_eq!((due.out.as_str(), due.code), (expected, 0), "{}", due.err);
    }

    // nothing but the queue, and nothing of it went through
    let sent = said(home.path(), &["outbox", "send"]);
    assert_eq!((sent.err.as_str(), sent.code), ("", 1), "{}", sent.out);
}

#[test]
fn what_is_remembered_of_packs_and_cannot_be_read_keeps_nobody_from_reading() {
    let running = office(20);
    let home = enrolled(20, running.port());
    let places = Paths { data_dir: home.path().join("data"), key_file: home.path().join("etc/machine.key") };
    let site = Site::open(&places).unwrap();
    site.store().write(|tx| tx.set_fact("packs", "{\"highest\":[]}")).unwrap();
    drop(site);
    let status = said(home.path(), &["status"]);
    assert!(!status.err.contains("damaged") && status.out.contains("0 waiting"), "{status:?}");
    for said_of_it in [1, 0] {
        let run = said(home.path(), &["run", "--once", "--read-only"]);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.out.starts_with("14 addresses asked, 3 answered, 2 printers; 2 devices in batch "), "{run:?}");
        let told = "what was remembered of packs could not be read, and is begun anew";
        assert_eq!(run.err.matches(told).count(), said_of_it, "{run:?}");
    }
    assert!(shown(home.path(), 1).contains("pack-damaged"), "the central hears of it");
}

#[test]
fn a_pass_that_the_full_queue_did_not_admit_ends_with_3() {
    let running = office(21);
    let home = enrolled(21, running.port());
    let config = home.path().join("etc/meterpost.toml");
    let small = std::fs::read_to_string(&config).unwrap() + "\n[limits]\nmax_queue_mb = 1\n";
    std::fs::write(&config, small).unwrap();
    assert_eq!(said(home.path(), &["run", "--once", "--read-only"]).code, 0);
    let places = Paths { data_dir: home.path().join("data"), key_file: home.path().join("etc/machine.key") };
    let site = Site::open(&places).unwrap();
    // so full that there is one reading a week
    let full = site.store().write(|tx| {
        (0..17).try_for_each(|n| {
            let slot = meterpost::outbox::slot(tx, clock::now())?;
            let (id, token) = (format!("b-{n}"), "x".repeat(60_000));
            let sealed = Sealed { id, epoch: 1, token, devices: 0, first_read: None, last_read: None };
            meterpost::outbox::append(tx, &slot, &sealed, clock::now())
        })
    });
    full.unwrap();
    drop(site);
    let run = said(home.path(), &["run", "--once", "--read-only"]);
    assert!(run.out.starts_with("nobody asked: the outbox is nearly full"), "{run:?}");
    assert_eq!((run.err.as_str(), run.code), ("", 3));
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
        if ["ReadAt", "StartedAt", "EndedAt", "Time", "UptimeSeconds", "UpTime", "DiskFreeBytes", "StoreBytes"]
            .contains(&name)
        {
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
    let sealed = "14 addresses asked, 3 answered, 2 printers; 2 devices in batch 1; 1 name has no address\n";
    assert_eq!(run.out, sealed, "{}", run.err);
    assert!(shown(home.path(), 1).contains(" code=\"unresolved\">"), "the central hears of it");
    assert!(run.err.contains("`no.such.host.invalid` has no address: "), "{}", run.err);
    assert_eq!((run.err.lines().count(), run.code), (1, 0), "{}", run.err);

    // a scan too, unless nobody is left, or it is not known who must not be asked
    let port = running.port().to_string();
    let scan = said(home.path(), &["scan", "no.such.host.invalid", "127.93.14.9", "--port", &port, "--retries", "0"]);
    assert!(scan.out.contains("  1 printer\n") && scan.err.contains("; not asked\n"), "{scan:?}");
    assert!(scan.out.contains("  1 unreachable\n      no.such.host.invalid  no address: "), "{scan:?}");
    let arguments = ["scan", "no.such.host.invalid", "127.93.14.9", "--port", &port, "--format", "json"];
    let scan: Value = serde_json::from_str(&said(home.path(), &arguments).out).unwrap();
    let verdicts = scan["verdicts"].as_array().unwrap().iter();
    assert_eq!(
        verdicts.map(|one| (one["address"].as_str().unwrap(), one["verdict"].as_str().unwrap())).collect::<Vec<_>>(),
        [("127.93.14.9", "printer"), ("no.such.host.invalid", "unreachable")]
    );
    assert_eq!(scan["sweep"]["addresses"], 1);
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
    std::fs::copy(home.path().join("etc/machine.key"), home.path().join("data/machine.key")).unwrap();
    for command in [&["run", "--once"][..], &["outbox", "list"], &["preview"], &["key", "export"], &["outbox", "send"]]
    {
        let refused = said(home.path(), &[command, &["--key-file", "data/machine.key"]].concat());
        assert!(refused.err.contains("would lie in the data directory"), "{command:?}: {refused:?}");
        assert_eq!((refused.out.as_str(), refused.code), ("", 2));
    }
}

/// Hours of a day in UTC around the present one, or far from it.
fn window(from_now: i32) -> String {
    let hour = i32::from(clock::now().to_zoned(jiff::tz::TimeZone::UTC).hour());
    let at = |hour: i32| (hour + from_now).rem_euclid(24);
    format!("window = \"{:02}:00-{:02}:00\"", at(hour - 2), at(hour + 3))
}

#[test]
fn sections_are_asked_in_their_window_only_and_where_none_is_open_there_is_no_batch() {
    let running = office(18);
    let home = enrolled(18, running.port());
    let targets = "targets = [\"127.93.18.0/28\"]";
    retarget(home.path(), 18, &format!("{}\n{targets}", window(12)));
    let closed = said(home.path(), &["run", "--once", "--read-only"]);
    assert_eq!(closed.out, "nobody asked: every `[[sweep]]` is outside its window; nothing sealed\n");
    assert_eq!((closed.err.as_str(), closed.code), ("", 0));
    assert_eq!(said(home.path(), &["outbox", "list"]).out, "the outbox is empty\n");
    assert_eq!(said(home.path(), &["preview"]).code, 1);
    // the time that the schedule named has been used
    assert_eq!(said(home.path(), &["run", "--once", "--due", "--read-only"]).out, "");
    assert_eq!(running.tally().total().requests, 0);

    let config = home.path().join("etc/meterpost.toml");
    let open = format!(
        "\n[[sweep]]\ntargets = [\"127.93.18.7\"]\ncredentials = [\"office\"]\nport = {}\nretries = 0\n{}\n",
        running.port(),
        window(0)
    );
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + &open).unwrap();
    let open = said(home.path(), &["run", "--once", "--read-only"]);
    let read = "1 address asked, 1 answered, 1 printer; 1 device in batch 1; 1 `[[sweep]]` outside its window\n";
    assert_eq!(open.out, read, "{}", open.err);
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
