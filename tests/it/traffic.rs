//! What one reading of a typical MFP costs it: requests, and bytes both ways, with and without GETBULK and when it is known.
//! The limits are those of `benches/run traffic`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use meterpost::pmd::Library;
use meterpost::read::{self, DeviceRead, Learned};
use meterpost::snmp::credential::{Credential, Secret, Versions};
use meterpost::snmp::recording::Recording;
use meterpost::snmp::{Agent, Limits, Network, NetworkOptions, Oid, Session, Traffic, Unanswered, VarBind};
use meterpost_wire::reading::{Outcome, Reading};

use crate::simulator::manner::Manner;
use crate::simulator::recording::View;
use crate::simulator::{self, Fleet, Printer, Running, made};

/// A session that remembers what was asked and what it cost, for the message of a limit that is missed.
struct Metered {
    session: Session,
    log: Vec<String>,
}

impl Metered {
    fn note(&mut self, what: String, before: Traffic) {
        let now = self.session.traffic();
        self.log.push(format!("{what}: {} requests, {} B", now.requests - before.requests, bytes(now) - bytes(before)));
    }
}

fn bytes(traffic: Traffic) -> u64 {
    traffic.bytes_sent + traffic.bytes_received
}

fn shown(oids: &[Oid]) -> String {
    oids.iter()
        .map(|oid| oid.to_string().replace("1.3.6.1.2.1.", "").replace("1.3.6.1.4.1.", "~"))
        .collect::<Vec<_>>()
        .join(" ")
}

impl Agent for Metered {
    fn limit(&mut self, limits: Limits) {
        self.session.limit(limits);
    }

    async fn get(&mut self, context: &str, oids: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        let before = self.session.traffic();
        let found = self.session.get(context, oids).await;
        self.note(format!("GET of {}, {}", oids.len(), shown(oids)), before);
        found
    }

    async fn get_next(&mut self, context: &str, oids: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        let before = self.session.traffic();
        let found = self.session.get_next(context, oids).await;
        self.note(format!("GETNEXT of {}, {}", oids.len(), shown(oids)), before);
        found
    }

    async fn get_bulk(
        &mut self,
        context: &str,
        oids: &[Oid],
        single: usize,
        rows: u16,
    ) -> Result<Vec<VarBind>, Unanswered> {
        let before = self.session.traffic();
        let found = self.session.get_bulk(context, oids, single, rows).await;
        self.note(format!("GETBULK of {single} and {} x {rows}, {}", oids.len() - single, shown(oids)), before);
        found
    }

    fn gone(&self) -> Option<Unanswered> {
        self.session.gone()
    }

    fn traffic(&self) -> Traffic {
        self.session.traffic()
    }
}

fn typical_mfp(last: u8) -> (Running, SocketAddr) {
    let address = Ipv4Addr::new(127, 97, 0, last);
    let views = vec![(String::new(), View::of(&Arc::new(made::typical_mfp())))];
    let running = simulator::start(Fleet {
        port: 0,
        printers: vec![Printer { address, views, manner: Manner::default() }],
        seed: 1,
    })
    .unwrap();
    let address = SocketAddr::from((address, running.port()));
    (running, address)
}

/// Reads the MFP within the limits.
#[track_caller]
fn check(
    address: SocketAddr,
    library: &Library,
    learned: Option<&Learned>,
    requests: u64,
    kilobytes: f64,
) -> DeviceRead {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (read, log, spent) = runtime.block_on(async {
        let network = Network::open(NetworkOptions::default()).unwrap();
        let office = Credential::community("office", Secret::new("public"), Versions::Either).unwrap();
        let session = network.session(address, &office, None, None).await;
        let mut agent = Metered { session, log: Vec::new() };
        let read = read::device(&mut agent, library, learned, "127.97.0.1", Timestamp::UNIX_EPOCH).await.unwrap();
        let spent = agent.traffic();
        (read, agent.log, spent)
    });
    assert_eq!(read.reading.outcome, Outcome::Complete);
    let told = format!("{} requests, {} B:\n{}", spent.requests, bytes(spent), log.join("\n"));
    eprintln!("{told}");
    assert!(spent.requests <= requests && bytes(spent) as f64 <= kilobytes * 1000.0, "{told}");
    read
}

/// The built-in mapping of the MFP's family, opted in to GETBULK.
fn by_getbulk() -> Library {
    let pmds = tempfile::tempdir().unwrap();
    let folder = pmds.path().join("kyocera");
    std::fs::create_dir(&folder).unwrap();
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("pmd/kyocera/taskalfa.toml");
    let text = std::fs::read_to_string(built_in).unwrap();
    std::fs::write(folder.join("taskalfa.toml"), text.replace("[quirks]", "[quirks]\nbulk = true")).unwrap();
    Library::load(pmds.path()).unwrap()
}

#[test]
fn a_typical_mfp_is_read_and_polled_in_few_requests() {
    let (_running, address) = typical_mfp(1);
    let library = Library::builtin();
    let first = check(address, &library, None, 12, 12.5);
    assert!(first.full);
    let again = check(address, &library, Some(&first.learned), 4, 3.7);
    assert!(!again.full);
}

#[test]
fn by_getbulk_a_typical_mfp_is_read_in_fewer_requests_and_says_the_same() {
    let (_running, address) = typical_mfp(2);
    let without = check(address, &Library::builtin(), None, 12, 12.5);
    let with = check(address, &by_getbulk(), None, 8, 7.5);
    check_same(&with.reading, &without.reading, "the typical MFP");
}

/// What a family asks beyond its first visit is bounded, whatever its mapping names: a page of eight requests.
#[test]
fn every_hand_made_device_is_polled_in_at_most_8_requests() {
    let library = Library::builtin();
    let walks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/walks");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut over = Vec::new();
    for path in std::fs::read_dir(walks).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|extension| extension != "snmprec") {
            continue;
        }
        let recording = simulator::recording::Recording::load(&path).unwrap();
        let address = Ipv4Addr::new(127, 97, 0, 3);
        let views = vec![(String::new(), View::of(&recording))];
        let printers = vec![Printer { address, views, manner: Manner::default() }];
        let running = simulator::start(Fleet { port: 0, printers, seed: 1 }).unwrap();
        let address = SocketAddr::from((address, running.port()));
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        runtime.block_on(async {
            let mut learned = None;
            for visit in ["first", "again"] {
                let network = Network::open(NetworkOptions::default()).unwrap();
                let office = Credential::community("office", Secret::new("public"), Versions::Either).unwrap();
                let mut session = network.session(address, &office, None, None).await;
                let read =
                    read::device(&mut session, &library, learned.as_ref(), "127.97.0.3", Timestamp::UNIX_EPOCH).await;
                let Ok(read) = read else { return };
                let spent = session.traffic();
                eprintln!("{name}\t{}\t{visit}\t{} requests\t{} B", read.choice.pmd.name, spent.requests, bytes(spent));
                if visit == "again" && spent.requests > 8 {
                    over.push(format!("{name}: {} requests", spent.requests));
                }
                learned = Some(read.learned);
            }
        });
    }
    assert!(over.is_empty(), "{}", over.join("\n"));
}

#[test]
fn by_getbulk_every_recording_says_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pmds = tempfile::tempdir().unwrap();
    for vendor in std::fs::read_dir(root.join("pmd")).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(files) = std::fs::read_dir(&vendor) else { continue };
        let folder = pmds.path().join(vendor.file_name().unwrap());
        std::fs::create_dir(&folder).unwrap();
        for file in files.map(|entry| entry.unwrap().path()) {
            let text = std::fs::read_to_string(&file).unwrap();
            let text = match text.contains("[quirks]") {
                true => text.replace("[quirks]", "[quirks]\nbulk = true"),
                false => format!("{text}\n[quirks]\nbulk = true\n"),
            };
            std::fs::write(folder.join(file.file_name().unwrap()), text).unwrap();
        }
    }
    let (by_bulk, without) = (Library::load(pmds.path()).unwrap(), Library::builtin());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let read = |library: &Library, text: &str| {
        let mut agent = Recording::parse(text).unwrap();
        runtime.block_on(read::device(&mut agent, library, None, "127.97.0.1", Timestamp::UNIX_EPOCH))
    };
    let mut seen = 0;
    for path in std::fs::read_dir(root.join("tests/walks")).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "snmprec") {
            let text = std::fs::read_to_string(&path).unwrap();
            // some of them are no printers
            let Ok(without) = read(&without, &text) else { continue };
            let with = read(&by_bulk, &text).unwrap();
            assert!(with.choice.pmd.limits.bulk, "{}", with.choice.pmd.name);
            check_same(&with.reading, &without.reading, &path.display().to_string());
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen} recordings");
}

#[track_caller]
fn check_same(with: &Reading, without: &Reading, what: &str) {
    let said = |reading: &Reading| {
        let mut reading = reading.clone();
        reading.mapping.clone_from(&without.mapping);
        reading
    };
    assert_eq!(said(with), *without, "{what}");
}
