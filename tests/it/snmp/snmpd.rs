//! Against net-snmp's snmpd, which somebody else wrote: every version, hash and cipher, contexts, wrong credentials, and
//! engines that restart or change. Skipped with a message when snmpd is not installed; with CI=true that is a failure.

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use meterpost::snmp::credential::{Access, Credential, Secret, Version, Versions};
use meterpost::snmp::{Absent, Agent, Denial, Limits, Network, NetworkOptions, Oid, Session, Unanswered, Value, probe};
use meterpost::sweep::{Options, Sweep};
use meterpost::targets::{Addresses, Group, Targets};

use super::agent::{ScriptedAgent, text};
use super::oid;

/// Long enough for a device that is loaded by the other tests.
const ALIVE: Option<Duration> = Some(Duration::from_millis(100));

const AUTHS: [&str; 6] = ["MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"];
const PRIVS: [&str; 4] = ["DES", "AES", "AES-192", "AES-256"];

struct Snmpd {
    process: Child,
    address: SocketAddr,
}

impl Snmpd {
    /// Starts one on a free port, or on the port of one that has been stopped; `engine` makes its engine id.
    async fn start(directory: &Path, engine: &str, port: Option<u16>, more: &str) -> Option<Self> {
        let program = ["/usr/sbin/snmpd", "/usr/local/sbin/snmpd"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            assert!(std::env::var("CI").is_err(), "snmpd is not installed, and CI=true wants it");
            eprintln!("SKIPPED: snmpd is not installed (Debian package snmpd)");
            return None;
        };
        let free = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_else(free)));
        let mut config =
            format!("engineID {engine}\nrocommunity public\nsysDescr a real agent\nview all included .1\n{more}\n");
        for auth in AUTHS {
            let name = user_name(auth, None);
            writeln!(config, "createUser {name} {auth} auth-{name}\nrouser {name} auth -V all *").unwrap();
            for cipher in PRIVS {
                let name = user_name(auth, Some(cipher));
                writeln!(
                    config,
                    "createUser {name} {auth} auth-{name} {cipher} priv-{name}\nrouser {name} priv -V all *"
                )
                .unwrap();
            }
        }
        writeln!(config, "createUser open\nrouser open noauth\ncreateUser locked SHA auth-locked").unwrap();
        std::fs::write(directory.join("snmpd.conf"), config).unwrap();
        let process = Command::new(program)
            .args(["-f", "-C", "-Lf", "snmpd.log", "-p", "snmpd.pid", "-c", "snmpd.conf"])
            .arg(address.to_string())
            .current_dir(directory)
            .env("SNMP_PERSISTENT_DIR", directory)
            .env("SNMPCONFPATH", directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let snmpd = Self { process, address };
        let network = Network::open(NetworkOptions::default()).unwrap();
        for _ in 0..20 {
            let mut session = network.session(address, &community(Versions::V2c), None, None).await;
            if session.get("", &[oid("1.3.6.1.2.1.1.1.0")]).await.is_ok() {
                return Some(snmpd);
            }
        }
        panic!("snmpd does not answer: {}", std::fs::read_to_string(directory.join("snmpd.log")).unwrap_or_default());
    }
}

impl Drop for Snmpd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn community(versions: Versions) -> Credential {
    Credential::community("c", Secret::new("public"), versions).unwrap()
}

fn user_name(auth: &str, cipher: Option<&str>) -> String {
    format!("u-{auth}-{}", cipher.unwrap_or("none")).to_lowercase()
}

fn user(auth: &str, cipher: Option<&str>) -> Credential {
    let name = user_name(auth, cipher);
    let sealed = cipher.map(|cipher| format!(":{cipher}:priv-{name}")).unwrap_or_default();
    Credential::parse_v3(&format!("{name}:{auth}:auth-{name}{sealed}")).unwrap()
}

fn system() -> [Oid; 3] {
    [oid("1.3.6.1.2.1.1.1.0"), oid("1.3.6.1.2.1.1.9999.0"), oid("1.3.6.1.2.1.1.3.0")]
}

#[track_caller]
fn check(answers: Result<Vec<meterpost::snmp::VarBind>, Unanswered>, what: &str) {
    let answers: Vec<_> =
        answers.unwrap_or_else(|error| panic!("{what}: {error}")).into_iter().map(|v| v.answer).collect();
    assert_eq!(answers[0], Ok(Value::Octets(b"a real agent".to_vec())), "{what}");
    assert!(matches!(answers[1], Err(Absent::NoSuchObject | Absent::NoSuchInstance)), "{what}: {:?}", answers[1]);
    assert!(matches!(answers[2], Ok(Value::TimeTicks(_))), "{what}");
}

#[tokio::test]
async fn every_version_hash_and_cipher_reads_a_real_agent() {
    let directory = tempfile::tempdir().unwrap();
    let Some(snmpd) = Snmpd::start(directory.path(), "first", None, "").await else { return };
    let network = Network::open(NetworkOptions::default()).unwrap();
    for versions in [Versions::V1, Versions::V2c] {
        let mut session = network.session(snmpd.address, &community(versions), None, ALIVE).await;
        check(session.get("", &system()).await, &format!("{versions:?}"));
    }
    let mut session = network.session(snmpd.address, &Credential::parse_v3("open").unwrap(), None, ALIVE).await;
    check(session.get("", &system()).await, "noAuthNoPriv");
    for auth in AUTHS {
        for cipher in std::iter::once(None).chain(PRIVS.map(Some)) {
            let mut session = network.session(snmpd.address, &user(auth, cipher), None, ALIVE).await;
            check(session.get("", &system()).await, &format!("{auth} {cipher:?}"));
        }
    }
}

#[tokio::test]
async fn a_walk_by_getnext_and_by_getbulk_equals_what_csnmp_and_snmpwalk_see() {
    let directory = tempfile::tempdir().unwrap();
    let Some(snmpd) = Snmpd::start(directory.path(), "walked", None, "").await else { return };
    let network = Network::open(NetworkOptions::default()).unwrap();
    let root = oid("1.3.6.1.2.1.1.9");
    let witness = csnmp::Snmp2cClient::new(snmpd.address, b"public".to_vec(), None, None, 1).await.unwrap();
    let theirs = witness.walk(csnmp::ObjectIdentifier::try_from(root.arcs()).unwrap()).await.unwrap();
    let theirs: Vec<Oid> = theirs.keys().map(|oid| oid.to_string().trim_start_matches('.').parse().unwrap()).collect();
    assert!(theirs.len() >= 10, "sysORTable of snmpd has some rows");
    let listed = Command::new("snmpbulkwalk")
        .args(["-v2c", "-c", "public", "-On", "-Oq", &snmpd.address.to_string(), ".1.3.6.1.2.1.1.9"])
        .output();
    for (version, bulk) in [(Version::V1, false), (Version::V2c, false), (Version::V2c, true), (Version::V3, true)] {
        let credential = if version == Version::V3 { user("SHA", Some("AES")) } else { community(Versions::Either) };
        let mut session = network.session(snmpd.address, &credential, Some(version), ALIVE).await;
        session.limit(Limits { varbinds_max: 25, bulk, wait_max: None });
        let walked = walk(&mut session, &root).await;
        assert_eq!(walked, theirs, "{version:?}, bulk {bulk}");
    }
    if let Ok(listed) = listed {
        let lines = String::from_utf8(listed.stdout).unwrap();
        let listed: Vec<Oid> = lines.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(listed, theirs);
    }
}

async fn walk(session: &mut Session, root: &Oid) -> Vec<Oid> {
    let mut seen: Vec<Oid> = Vec::new();
    loop {
        let from = seen.last().unwrap_or(root).clone();
        for varbind in session.get_bulk("", &[from], 0, 7).await.unwrap() {
            if varbind.answer.is_err() || !varbind.oid.is_under(root) {
                return seen;
            }
            seen.push(varbind.oid);
        }
    }
}

#[tokio::test]
async fn a_refused_user_is_denied_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let Some(snmpd) = Snmpd::start(directory.path(), "strict", None, "").await else { return };
    let network = Network::open(NetworkOptions::default()).unwrap();
    let good = user_name("SHA", Some("AES"));
    for (text, expected) in [
        ("nobody:SHA:auth-nobody".to_owned(), Denial::UnknownUser),
        (format!("{good}:SHA:wrong-secret"), Denial::WrongDigest),
        (format!("{good}:MD5:auth-{good}"), Denial::WrongDigest),
        (
            format!("{}:SHA:auth-{}:AES:whatever", user_name("SHA", None), user_name("SHA", None)),
            Denial::UnsupportedSecurityLevel,
        ),
    ] {
        let mut session = network.session(snmpd.address, &Credential::parse_v3(&text).unwrap(), None, ALIVE).await;
        assert_eq!(session.get("", &system()).await, Err(Unanswered::Denied), "{text}");
        assert_eq!(session.denial(), Some(expected), "{text}");
    }
    // With a wrong privacy secret snmpd sends usmStatsDecryptionErrors, or nothing when the garbage looks like a message.
    let text = format!("{good}:SHA:auth-{good}:AES:wrong-secret");
    let mut session = network.session(snmpd.address, &Credential::parse_v3(&text).unwrap(), None, ALIVE).await;
    assert_eq!(session.get("", &system()).await, Err(Unanswered::Denied));
    assert!(matches!(session.denial(), Some(Denial::Decryption | Denial::Ignored)), "{:?}", session.denial());
    // Known, and let in nowhere.
    let locked = Credential::parse_v3("locked:SHA:auth-locked").unwrap();
    let mut session = network.session(snmpd.address, &locked, None, ALIVE).await;
    assert_eq!(session.get("", &system()).await, Err(Unanswered::Denied));
    assert_eq!(session.denial(), Some(Denial::NoAccess));
    let mut session = network.session(snmpd.address, &user("SHA", Some("AES")), None, ALIVE).await;
    check(session.get("", &system()).await, "the right one, behind all the wrong ones");
}

#[tokio::test]
async fn objects_of_a_context_are_read_in_it_alone() {
    let directory = tempfile::tempdir().unwrap();
    let inside = vec![(oid("1.3.6.1.4.1.11.2.3.9.1.1.7.0").arcs().to_vec(), text(b"MFG:HP;"))];
    let jetdirect = ScriptedAgent::honest(1, inside);
    let proxy = format!("proxy -Cn Jetdirect -v 2c -c public {} .1.3.6.1.4.1.11", jetdirect.address);
    let Some(snmpd) = Snmpd::start(directory.path(), "contexts", None, &proxy).await else { return };
    let network = Network::open(NetworkOptions::default()).unwrap();
    let device_id = [oid("1.3.6.1.4.1.11.2.3.9.1.1.7.0")];
    let mut session = network.session(snmpd.address, &user("SHA", Some("AES")), None, ALIVE).await;
    let inside = Ok(Value::Octets(b"MFG:HP;".to_vec()));
    assert_eq!(session.get("Jetdirect", &device_id).await.unwrap()[0].answer, inside);
    assert!(session.get("", &device_id).await.unwrap()[0].answer.is_err());
    // In a context that it lacks snmpd is silent; the device goes on being read, and the context is asked once.
    assert_eq!(session.get("Nowhere", &device_id).await.unwrap()[0].answer, Err(Absent::NoAnswer));
    let requests = session.traffic().requests;
    assert_eq!(session.get("Nowhere", &device_id).await.unwrap()[0].answer, Err(Absent::NoAnswer));
    assert_eq!(session.traffic().requests, requests);
    assert_eq!(session.skipped().count(), 0);
    check(session.get("", &system()).await, "the default context");
    drop(session);
    // Every hash and cipher, within the context and without.
    for auth in AUTHS {
        for cipher in std::iter::once(None).chain(PRIVS.map(Some)) {
            let mut session = network.session(snmpd.address, &user(auth, cipher), None, ALIVE).await;
            let what = format!("{auth} {cipher:?}");
            assert_eq!(session.get("Jetdirect", &device_id).await.unwrap()[0].answer, inside, "{what}");
            check(session.get("", &system()).await, &what);
        }
    }
    // A context that the credential names is the default one.
    let mut credential = user("SHA", Some("AES"));
    let Access::User(user) = &mut credential.access else { unreachable!() };
    user.context = "Jetdirect".to_owned();
    let mut session = network.session(snmpd.address, &credential, None, ALIVE).await;
    assert_eq!(session.get("", &device_id).await.unwrap()[0].answer, inside);
}

#[tokio::test]
async fn an_agent_that_restarts_or_gets_a_new_engine_is_read_on() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mut snmpd) = Snmpd::start(directory.path(), "before", None, "").await else { return };
    let network = Network::open(NetworkOptions::default()).unwrap();
    let port = snmpd.address.port();
    for cipher in ["DES", "AES"] {
        let mut session = network.session(snmpd.address, &user("SHA", Some(cipher)), None, ALIVE).await;
        check(session.get("", &system()).await, "before");
        drop(snmpd);
        // The same engine with one boot more.
        snmpd = Snmpd::start(directory.path(), "before", Some(port), "").await.unwrap();
        check(session.get("", &system()).await, "after a restart");
        drop(snmpd);
        let other = tempfile::tempdir().unwrap();
        snmpd = Snmpd::start(other.path(), "after", Some(port), "").await.unwrap();
        check(session.get("", &system()).await, "with a new engine");
        drop(session);
        drop(snmpd);
        snmpd = Snmpd::start(directory.path(), "before", Some(port), "").await.unwrap();
    }
}

#[tokio::test]
async fn a_sweep_sees_the_engine_and_takes_v1_and_v2c_answers_of_a_real_agent() {
    let directory = tempfile::tempdir().unwrap();
    let Some(snmpd) = Snmpd::start(directory.path(), "swept", None, "").await else { return };
    let credentials = [
        community(Versions::V2c),
        Credential { name: "one".to_owned(), ..community(Versions::V1) },
        user("SHA", Some("AES")),
    ];
    for credential in &credentials {
        let mut targets = Targets::default();
        let names = vec![credential.name.clone()];
        let group =
            Group { addresses: Addresses::one(snmpd.address.ip()), port: snmpd.address.port(), credentials: names };
        targets.add(group, &Addresses::default()).unwrap();
        let sweep = Sweep::new(&targets, &credentials, &Options::default()).unwrap();
        let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
        let outcome = probe::run(sweep, &credentials, sender, |_| ControlFlow::Continue(())).await.unwrap();
        let seen = receiver.recv().await.unwrap();
        assert_eq!((outcome.answered, outcome.traffic.requests), (1, 1), "{}", credential.name);
        assert_eq!((seen.address, seen.credential), (snmpd.address, credential.name.clone()));
        let is_v3 = seen.version == Version::V3;
        assert_eq!(is_v3, credential.is_v3());
        assert_eq!(seen.description.is_some_and(|text| text == b"a real agent"), !is_v3);
        assert_eq!(seen.object_id.is_some(), !is_v3);
    }
}

#[tokio::test]
async fn a_silent_address_is_silent_in_v3_too_and_not_denied() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let options = NetworkOptions { first_wait: Some(Duration::from_millis(100)), ..NetworkOptions::default() };
    let network = Network::open(options).unwrap();
    let mut session = network.session(nobody.local_addr().unwrap(), &user("SHA", None), None, None).await;
    assert_eq!(session.get("", &system()).await, Err(Unanswered::Silent));
    assert_eq!(session.denial(), None);
}
