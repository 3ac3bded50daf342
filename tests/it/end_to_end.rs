//! The whole line as a user meets it: simulated printers, the real program, a central, its pages in a real browser.
//!
//! Site and central stand in one process and never meet directly: a relay lies between them, which hears what a
//! stranger on the way would hear, and at which the central can be away.

mod killed;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use meterpost_central::config::Overrides;
use meterpost_central::export::{self, Format, Wanted};
use meterpost_central::sites::{self, Enrol};
use meterpost_central::store::SiteRow;
use meterpost_central::{Config, Secret, Store};
use meterpost_wire::keys::Enc;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::cli::{Said, said};
use crate::relay::{Relay, Way, exchange};
use crate::simulator::manner::Manner;
use crate::simulator::recording::{Recording, View};
use crate::simulator::{self, Fleet, Printer, Running};

const SITE: &str = "Lindenweg 4 & Co";
const COMMUNITY: &str = "reads-all-of-lindenweg";
const PASSWORD: &str = "a password for the tests";
const PRINTERS: [&str; 4] = ["hp-laserjet-m404dn", "kyocera-taskalfa-4054ci", "ricoh-im-c3010", "brother-mfc-l8905cdw"];

// --- what is stored

#[test]
fn what_the_recordings_say_is_stored_and_counted_once() {
    let line = Line::new(1);
    let run = line.said(&["run", "--once"]);
    assert_eq!((run.err.as_str(), run.code), ("", 0), "{}", run.out);
    assert_eq!(run.out, "14 addresses asked, 5 answered, 4 printers; 4 devices in batch 1\n1 delivered\n");
    assert_eq!(line.states(), ["delivered"]);
    line.check_stored(1);

    let again = line.said(&["run", "--once"]);
    assert_eq!((again.err.as_str(), again.code), ("", 0), "{}", again.out);
    assert_eq!(line.states(), ["delivered", "delivered"]);
    line.check_stored(2);
    assert_eq!(line.fleet.tally().total().sets, 0);
}

#[test]
fn nothing_is_lost_and_nothing_doubled_while_the_central_or_its_answer_is_away() {
    let mut line = Line::new(2);
    line.central.stop();
    line.relay.lead(Way::Nowhere);
    for batch in 1..=2 {
        let run = line.said(&["run", "--once"]);
        assert_eq!((run.err.as_str(), run.code), ("", 3), "{}", run.out);
        assert!(
            run.out.contains(&format!("4 devices in batch {batch}\n0 delivered, {batch} waiting (")),
            "{}",
            run.out
        );
    }
    assert_eq!(line.states(), ["waiting", "waiting"]);

    // It is back and stores what it gets; its receipts are lost on the way.
    line.central.serve();
    line.relay.lead(Way::AnswersLost(line.central.address()));
    let sent = line.said(&["outbox", "send"]);
    assert_eq!((sent.err.as_str(), sent.code), ("", 1), "{}", sent.out);
    assert_eq!(line.states(), ["waiting", "waiting"]);
    assert!(line.central.site().highest >= 1, "the central has what the site cannot know to be there");

    line.relay.lead(Way::To(line.central.address()));
    let sent = line.said(&["outbox", "send"]);
    assert_eq!((sent.err.as_str(), sent.code), ("", 0), "{}", sent.out);
    assert_eq!(line.states(), ["delivered", "delivered"]);
    line.check_stored(2);
    assert_eq!(line.said(&["outbox", "check"]).out, "2 items checked: all whole\n");

    // the receipts are kept, and what was delivered is not declared as lost when it goes
    let receipt: Value = serde_json::from_str(&line.said(&["outbox", "show", "1", "--receipt"]).out).unwrap();
    assert_eq!((&receipt["disposition"], &receipt["sequence"]), (&"duplicate".into(), &1.into()), "{receipt}");
    assert!(line.said(&["outbox", "list"]).out.lines().skip(1).all(|item| item.contains("  delivered 20")));
    assert_eq!(line.said(&["outbox", "delete", "1"]).out, "1 deleted; the central has it\n");
}

// --- what a stranger sees

#[test]
fn nothing_stands_in_clear_on_the_disk_or_on_the_way_and_the_customer_can_open_what_left() {
    let line = Line::new(3);
    assert_eq!(line.said(&["run", "--once"]).code, 0);
    let shown = line.said(&["outbox", "show", "1"]);
    assert_eq!((shown.err.as_str(), shown.code), ("", 0));

    let mut planted = BTreeSet::from([COMMUNITY.to_owned(), SITE.to_owned()]);
    for (address, truth) in &line.truths {
        planted.insert(address.to_string());
        for text in [&truth["identity"]["serial_number"], &truth["network"]["host_name"]] {
            planted.extend(text.as_str().map(str::to_owned));
        }
        let hardware = truth["network"]["physical_addresses"].as_array().into_iter().flatten();
        planted.extend(hardware.filter_map(Value::as_str).map(str::to_owned));
    }
    // What is looked for is what went: all but the community and the site's name stand in the batch.
    let sent = planted.iter().filter(|text| shown.out.contains(text.as_str())).count();
    assert_eq!(sent, planted.len() - 2, "{planted:?}\n{}", shown.out);

    let stored = files_below(&line.home.path().join("data"));
    let stored: Vec<u8> = stored.iter().flat_map(|path| fs::read(path).unwrap()).collect();
    assert!(holds(&stored, "SQLite format 3"), "the outbox is among the files");
    let heard = line.relay.heard();
    assert_eq!(heard.len(), 1, "one batch, one request");
    assert!(holds(&heard[0], "SubmitBatch>"), "{}", String::from_utf8_lossy(&heard[0]));
    for text in &planted {
        assert!(!holds(&stored, text), "`{text}` stands in clear in the data directory");
        assert!(!holds(&heard[0], text), "`{text}` goes over the network in clear");
    }

    fs::write(line.home.path().join("captured.http"), &heard[0]).unwrap();
    let opened = line.said(&["open", "captured.http"]);
    assert_eq!((opened.err.as_str(), opened.code), ("", 0));
    assert_eq!(opened.out, shown.out);
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// In any case of letters: an address of hardware is written both ways.
fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

// --- a mapping that does not load

#[test]
fn one_broken_mapping_costs_no_reading() {
    let line = Line::new(4);
    let folder = line.home.path().join("pmd");
    fs::create_dir_all(folder.join("local")).unwrap();
    let mapping = |rule: &str| {
        format!(
            "format = 1\nextends = \"kyocera/taskalfa\"\n\n[match]\nsys_object_id = [\"1.3.6.1.4.1.1347\"]\nmodel = ['TASKalfa 4054ci']\n\n[identity]\n{rule}\n"
        )
    };
    fs::write(folder.join("local/broken.toml"), mapping("asset_tag = [{ gues = \"1.3.6.1.2.1.1.1\" }]")).unwrap();
    fs::write(folder.join("local/own.toml"), mapping("asset_tag = [{ const = \"floor 2\" }]")).unwrap();

    let port = line.fleet.port().to_string();
    let targets = format!("127.94.{}.0/28", line.net);
    let scan = ["scan", &targets, "--port", &port, "--community", COMMUNITY, "--retries", "0", "--format", "json"];
    let without = line.said(&scan);
    assert_eq!((without.err.as_str(), without.code), ("", 0));
    let with = line.said(&[&scan[..], &["--pmd-dir", "pmd"]].concat());
    assert_eq!(with.code, 0, "{}", with.err);
    assert!(with.err.lines().all(|line| line.contains("WARN pmd `local/broken` line 9: ")), "{}", with.err);
    assert!(with.err.contains("`gues` is no key of a rule"), "{}", with.err);

    let (without, with) = (devices(&without), devices(&with));
    assert_eq!(without.keys().collect::<Vec<_>>(), with.keys().collect::<Vec<_>>());
    for (address, before) in &without {
        for section in ["counters", "supplies", "inputs", "alerts", "status", "network", "outcome"] {
            assert_eq!(plain(&before[section]), plain(&with[address][section]), "{section} of {address}");
        }
    }
    let own = line.truths.iter().find(|(_, truth)| truth["identity"]["model"] == "TASKalfa 4054ci").unwrap();
    assert_eq!(with[&own.0.to_string()]["identity"]["asset_tag"], "floor 2", "the file beside it works");
}

/// The devices of a scan by their addresses.
fn devices(scan: &Said) -> BTreeMap<String, Value> {
    let scan: Value = serde_json::from_str(&scan.out).unwrap();
    let devices = scan["devices"].as_array().unwrap().iter();
    devices.map(|device| (device["address"].as_str().unwrap().to_owned(), device.clone())).collect()
}

/// Without the times, which go on between two readings, and without the names of the rules, which say whose they are.
fn plain(section: &Value) -> Value {
    match section {
        Value::Array(rows) => rows.iter().map(plain).collect(),
        Value::Object(parts) => {
            let judged = parts.iter().filter(|(key, _)| !["time", "rule"].contains(&key.as_str()));
            Value::Object(judged.map(|(key, part)| (key.clone(), plain(part))).collect())
        }
        other => other.clone(),
    }
}

// --- the pages

#[test]
fn a_browser_shows_the_fleet_and_each_device() {
    if Command::new("chromium").arg("--version").output().is_err() {
        eprintln!("SKIPPED: `chromium` is not installed; `apt-get install chromium` has it");
        assert!(std::env::var_os("CI").is_none(), "`chromium` is missing, and CI tests everything");
        return;
    }
    let line = Line::new(5);
    assert_eq!(line.said(&["run", "--once"]).code, 0);
    let session = log_in(line.central.address());
    let browser = Relay::start(&format!("Cookie: {session}\r\n"));
    browser.lead(Way::To(line.central.address()));

    let fleet = browse(&browser.url());
    let rows: Vec<&str> = fleet.split("<tr").filter(|row| row.contains("/devices/")).collect();
    assert_eq!(rows.len(), PRINTERS.len(), "{fleet}");
    for device in line.central.exported(Exported::Devices) {
        let text = |key: &str| device[key].as_str().unwrap();
        let (serial, total) = (text("serial_number"), device["system.impressions"].as_u64().unwrap());
        let said = [
            "Lindenweg 4 &amp; Co".to_owned(),
            format!("{} {}", text("vendor"), text("model")),
            serial.to_owned(),
            // Narrow spaces between thousands.
            format!("{}\u{202f}{:03}", total / 1_000, total % 1_000),
        ];
        let row = rows.iter().find(|row| row.contains(serial)).unwrap_or_else(|| panic!("{serial}: {fleet}"));
        let page = browse(&format!("{}/devices/{}", browser.url(), text("device")));
        for word in said {
            assert!(row.contains(&word), "{word} in {row}");
            assert!(page.contains(&word), "{word} in {page}");
        }
    }
    let asked: BTreeSet<String> = browser.heard().iter().filter_map(|request| path_of(request)).collect();
    assert!(asked.contains("/static/style.css"), "a browser loads what a page names: {asked:?}");
}

/// Logs in as a person does, by the form, and gives the cookie of the session.
fn log_in(central: SocketAddr) -> String {
    let ask = |request: String| String::from_utf8(exchange(central, request.as_bytes()).unwrap()).unwrap();
    let host = format!("Host: {central}\r\nConnection: close\r\n");
    let page = ask(format!("GET /login HTTP/1.1\r\n{host}\r\n"));
    let cookie = between(&page, "set-cookie: ", ";");
    let token = between(&page, "name=\"token\" value=\"", "\"");
    let form = format!("token={token}&name=admin&password={}", PASSWORD.replace(' ', "+"));
    let answer = ask(format!(
        "POST /login HTTP/1.1\r\n{host}Cookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    ));
    let session = between(&answer, "set-cookie: ", ";").to_owned();
    assert!(session.starts_with("meterpost_session="), "{answer}");
    session
}

#[track_caller]
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    found.unwrap_or_else(|| panic!("`{before}` is not in {text}")).0
}

fn path_of(request: &[u8]) -> Option<String> {
    String::from_utf8_lossy(request).split(' ').nth(1).map(str::to_owned)
}

/// The page as it stands when Chromium has built it.
fn browse(url: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    // It reaches loopback and nothing else, whatever it would like to update.
    let output = Command::new("timeout")
        .args(["120", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"])
        .args(["--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", url])
        .env("HOME", profile.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

// --- the line

/// A site with printers, a central, and what lies between.
struct Line {
    net: u8,
    home: tempfile::TempDir,
    fleet: Running,
    /// What a correct reader reports of each printer.
    truths: Vec<(Ipv4Addr, Value)>,
    relay: Relay,
    central: Central,
}

impl Line {
    /// All of it on addresses of 127.94.`net`.0/28, enrolled, and configured without a fault.
    fn new(net: u8) -> Self {
        let walks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/walks");
        let (mut printers, mut truths) = (Vec::new(), Vec::new());
        for (name, last) in PRINTERS.into_iter().chain(["switch-procurve-2530"]).zip(3..) {
            let address = Ipv4Addr::new(127, 94, net, last);
            let recording = Recording::load(&walks.join(format!("{name}.snmprec"))).unwrap();
            let manner = Manner { communities: vec![COMMUNITY.to_owned()], ..Manner::default() };
            printers.push(Printer { address, views: vec![(String::new(), View::of(&recording))], manner });
            let beside: toml::Table =
                toml::from_str(&fs::read_to_string(walks.join(format!("{name}.toml"))).unwrap()).unwrap();
            let truth = serde_json::to_value(beside).unwrap();
            if truth["is_printer"] == true {
                truths.push((address, truth));
            }
        }
        let fleet = simulator::start(Fleet { port: 0, printers, seed: 1 }).unwrap();

        let home = tempfile::tempdir().unwrap();
        let mut central = Central::new(&home.path().join("central"));
        central.serve();
        let relay = Relay::start("");
        relay.lead(Way::To(central.address()));
        fs::create_dir(home.path().join("etc")).unwrap();
        let config = format!(
            "[[credentials]]\nname = \"office\"\ncommunity = \"{COMMUNITY}\"\n\n[[sweep]]\n\
             targets = [\"127.94.{net}.0/28\"]\ncredentials = [\"office\"]\nport = {}\nretries = 0\n",
            fleet.port()
        );
        fs::write(home.path().join("etc/meterpost.toml"), config).unwrap();
        let line = Self { net, home, fleet, truths, relay, central };
        let check = line.said(&["config", "check"]);
        assert_eq!((check.err.as_str(), check.code), ("", 0), "{}", check.out);
        let enrolled = line.said(&["enroll", &line.central.add_site(&line.relay.url())]);
        assert_eq!((enrolled.err.as_str(), enrolled.code), ("", 0), "{}", enrolled.out);
        line
    }

    /// Runs `meterpost` with these words.
    fn said(&self, arguments: &[&str]) -> Said {
        said(self.home.path(), arguments)
    }

    /// The states in `outbox list`, oldest first.
    fn states(&self) -> Vec<String> {
        let list = self.said(&["outbox", "list"]);
        assert_eq!((list.err.as_str(), list.code), ("", 0));
        list.out.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect()
    }

    /// So many batches are stored, each once, with one reading of every printer, and its numbers are the recording's.
    #[track_caller]
    fn check_stored(&self, batches: u64) {
        let site = self.central.site();
        assert_eq!((site.highest, site.acknowledged_through, site.devices), (batches, batches, PRINTERS.len() as u64));
        assert!(site.missing.is_empty() && site.forks.is_empty(), "{:?} {:?}", site.missing, site.forks);
        assert_eq!((site.quarantined, site.set_aside), (0, 0));

        let devices = self.central.exported(Exported::Devices);
        let readings = self.central.exported(Exported::Readings);
        assert_eq!(devices.len(), self.truths.len());
        assert_eq!(readings.len() as u64, batches * self.truths.len() as u64);
        for (address, truth) in &self.truths {
            let address = address.to_string();
            let found: Vec<&Value> = devices.iter().filter(|device| device["address"] == address).collect();
            let [device] = found[..] else { panic!("{address} is stored as {found:?}") };
            for key in ["vendor", "model", "serial_number", "location"] {
                assert_eq!(device[key], truth["identity"][key], "{key} of {address}");
            }
            assert_eq!((&device["site"], &device["outcome"]), (&SITE.into(), &"complete".into()), "{device}");
            let of_device: Vec<&Value> =
                readings.iter().filter(|reading| reading["device"] == device["device"]).collect();
            let sequences: BTreeSet<u64> =
                of_device.iter().map(|reading| reading["sequence"].as_u64().unwrap()).collect();
            assert_eq!(sequences, (1..=batches).collect(), "{address}");
            for reading in of_device {
                let counters = counters(reading);
                for (key, count) in truth["counters"].as_object().unwrap() {
                    assert_eq!(counters.get(key), Some(&count["value"]), "{key} of {address}");
                }
            }
        }
        self.check_csv();
    }

    /// The same numbers for a spreadsheet.
    #[track_caller]
    fn check_csv(&self) {
        let csv = self.central.export(Exported::Devices, Format::Csv);
        assert_eq!(csv.lines().count(), 1 + self.truths.len(), "{csv}");
        for (_, truth) in &self.truths {
            let serial = truth["identity"]["serial_number"].as_str().unwrap();
            let total = truth["counters"]["system.impressions"]["value"].to_string();
            let row = csv.lines().find(|row| row.contains(serial)).unwrap_or_else(|| panic!("{serial}: {csv}"));
            assert!(row.split(',').any(|cell| cell == total), "{total} in {row}");
        }
    }
}

/// The counters of an exported reading by their keys.
fn counters(reading: &Value) -> BTreeMap<String, Value> {
    let own = reading.as_object().unwrap().iter().filter(|(key, _)| key.contains('.'));
    let others = reading["other_counters"].as_object().into_iter().flatten();
    own.chain(others).map(|(key, value)| (key.clone(), value.clone())).collect()
}

// --- the central

/// A central on a free port of loopback, which can be stopped and served again on the same data.
struct Central {
    folder: PathBuf,
    runtime: Runtime,
    store: Store,
    serving: Option<(SocketAddr, oneshot::Sender<()>, JoinHandle<()>)>,
}

/// What is exported.
#[derive(Clone, Copy)]
enum Exported {
    Devices,
    Readings,
}

impl Central {
    fn new(folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("central.toml"), "").unwrap();
        let runtime = one_thread();
        let store = runtime.block_on(meterpost_central::open_store(&config(folder, None))).unwrap();
        Self { folder: folder.to_owned(), runtime, store, serving: None }
    }

    /// Serves on another port each time.
    fn serve(&mut self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let config = config(&self.folder, Some(address));
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            // Dropping the sender ends it too.
            let shutdown = async { drop(stopped.await) };
            let serving = async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                meterpost_central::serve(config, listener, shutdown).await.unwrap();
            };
            one_thread().block_on(serving);
        });
        self.serving = Some((address, stop, thread));
    }

    fn stop(&mut self) {
        let (_, stop, thread) = self.serving.take().unwrap();
        drop(stop);
        thread.join().unwrap();
    }

    fn address(&self) -> SocketAddr {
        self.serving.as_ref().unwrap().0
    }

    /// Adds the site and gives its enrolment token.
    fn add_site(&self, url: &str) -> String {
        let enrol = Enrol { central: url.to_owned(), mail_to: None, ca_pem: None, pack_keys: Vec::new() };
        let token = self.runtime.block_on(sites::add(&self.store, SITE, Enc::default(), &enrol)).unwrap();
        (*token).clone()
    }

    /// The only site.
    fn site(&self) -> SiteRow {
        let mut sites = self.runtime.block_on(self.store.sites()).unwrap();
        assert_eq!(sites.len(), 1);
        sites.remove(0)
    }

    fn export(&self, what: Exported, format: Format) -> String {
        let (mut out, all) = (Vec::new(), Wanted::default());
        let written = match what {
            Exported::Devices => self.runtime.block_on(export::devices(&self.store, &all, format, &mut out)),
            Exported::Readings => self.runtime.block_on(export::readings(&self.store, &all, format, &mut out)),
        };
        written.unwrap();
        String::from_utf8(out).unwrap()
    }

    fn exported(&self, what: Exported) -> Vec<Value> {
        serde_json::from_str(&self.export(what, Format::Json)).unwrap()
    }
}

fn config(folder: &Path, listen: Option<SocketAddr>) -> Config {
    Config::load(Overrides {
        config: Some(folder.join("central.toml")),
        data_dir: Some(folder.join("data")),
        key_file: Some(folder.join("machine.key")),
        listen,
        admin_password: Some(Secret::new(PASSWORD.to_owned())),
        ..Overrides::default()
    })
    .unwrap()
}

fn one_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
