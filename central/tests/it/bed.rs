//! A central on a port of its own, a site that knows its keys, and a browser of few words.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use meterpost_central::config::Overrides;
use meterpost_central::sites::Enrol;
use meterpost_central::{Config, Secret};
use meterpost_wire::batch::{Batch, Collector};
use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::{Enc, Epoch};
use meterpost_wire::reading::{
    Alert, Alerts, Basis, Coded, Count, Evidence, Identity, Network, Outcome, Reading, Scope, Status, Supply, Text,
};
use meterpost_wire::{CounterKey, seal, soap, xml};
use tokio::sync::oneshot;

/// The password of the administrator in all tests.
pub const PASSWORD: &str = "correct-horse-battery";

/// The cookies of a central that is reached by HTTPS, as these are.
pub const SESSION: &str = "__Host-meterpost_session";
/// The one of the log-in form.
pub const FORM: &str = "__Host-meterpost_form";

/// A running central.
pub struct Central {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its configuration.
    pub config: Config,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _dir: Option<tempfile::TempDir>,
}

impl Central {
    /// A new one with nothing in it.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut central = Self::start_in(dir.path());
        central._dir = Some(dir);
        central
    }

    /// One that finds what an earlier one has left in this directory.
    pub fn start_in(dir: &Path) -> Self {
        Self::start_with(config_in(dir))
    }

    /// One with this configuration, on a port of its own.
    pub fn start_with(config: Config) -> Self {
        let (end, ended) = oneshot::channel();
        let (told, address) = mpsc::channel();
        let running = config.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
                told.send(listener.local_addr().expect("an address")).expect("a test that waits");
                let shutdown = async {
                    let _ = ended.await;
                };
                meterpost_central::serve(running, listener, shutdown).await.expect("it serves");
            });
        });
        let address = address.recv_timeout(Duration::from_secs(30)).expect("it listens");
        Self { address, config, end: Some(end), thread: Some(thread), _dir: None }
    }

    /// Adds a site to the running central, as `site add` in another process would.
    pub fn add_site(&self, name: &str) -> Site {
        Site::enrolled(&add_site(&self.config, name, Enc::default()))
    }

    /// Sends one request and returns status, headers and body.
    pub fn request(&self, head: &str, body: &[u8]) -> Answer {
        send(self.address, head, body)
    }

    /// Submits a token as our own collector does.
    pub fn submit(&self, site: &Site, batch: &Batch, token: &str) -> Answer {
        let body = soap::submit_batch(site.epoch.kid().site(), &batch.id, batch.sequence, token);
        self.post_soap(&format!("Authorization: Bearer {}\r\n", *site.epoch.submit_token()), body.as_bytes())
    }

    /// Posts a body to the SOAP endpoint with these further header lines, each with its CR LF.
    pub fn post_soap(&self, headers: &str, body: &[u8]) -> Answer {
        let head = format!(
            "POST /soap/v1 HTTP/1.1\r\nHost: central\r\nContent-Type: text/xml; charset=utf-8\r\nSOAPAction: {}\r\n{headers}",
            soap::SUBMIT_BATCH_ACTION
        );
        self.request(&head, body)
    }

    /// One number from the store's file, as another process would read it.
    pub fn counted(&self, sql: &str) -> i64 {
        counted(&self.config, sql)
    }

    /// Logs in and returns the cookie of the session.
    pub fn log_in(&self) -> String {
        let form = self.request("GET /login HTTP/1.1\r\nHost: central\r\n", b"");
        let cookie = form.cookie(FORM).expect("a cookie of the form");
        let token = form.field("token").expect("a token in the form");
        let body = format!("token={token}&next=/&name=admin&password={PASSWORD}");
        let head = format!(
            "POST /login HTTP/1.1\r\nHost: central\r\nCookie: {FORM}={cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        let answer = self.request(&head, body.as_bytes());
        assert_eq!(answer.status, 303, "{}", answer.body);
        answer.cookie(SESSION).expect("a session")
    }

    /// A page as somebody who is logged in.
    pub fn page(&self, session: &str, path: &str) -> Answer {
        let head = format!("GET {path} HTTP/1.1\r\nHost: central\r\nCookie: {SESSION}={session}\r\n");
        self.request(&head, b"")
    }
}

impl Drop for Central {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the central panicked");
        }
    }
}

/// The configuration of a central in this directory, with the key beside the data and not in it.
pub fn config_in(dir: &Path) -> Config {
    let file = dir.join("central.toml");
    if !file.exists() {
        std::fs::write(&file, "public_url = 'https://central.example'\n").expect("written");
    }
    Config::load(Overrides {
        config: Some(file),
        data_dir: Some(dir.join("data")),
        admin_password: Some(Secret::new(PASSWORD.to_owned())),
        ..Overrides::default()
    })
    .expect("a configuration")
}

/// `site add`, in a runtime of its own.
pub fn add_site(config: &Config, name: &str, enc: Enc) -> String {
    let enrol = Enrol { central: "http://127.0.0.1:1".to_owned(), mail_to: None, ca_pem: None, pack_keys: Vec::new() };
    block_on(async {
        let store = meterpost_central::open_store(config).await.expect("a store");
        meterpost_central::sites::add(&store, name, enc, &enrol).await.expect("a site").to_string()
    })
}

/// One number from the file of a store.
pub fn counted(config: &Config, sql: &str) -> i64 {
    let database = rusqlite::Connection::open(config.data_dir.join("central.db")).expect("a store");
    database.query_row(sql, [], |row| row.get(0)).expect("a number")
}

/// Runs a future to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// A site's side of the keys.
pub struct Site {
    /// Its epoch.
    pub epoch: Epoch,
}

impl Site {
    /// From an enrolment token.
    pub fn enrolled(token: &str) -> Self {
        Self { epoch: Enrolment::parse(token).expect("an enrolment token").epoch }
    }

    /// The same site one epoch later.
    pub fn next_epoch(&self) -> Self {
        Self { epoch: self.epoch.next() }
    }

    /// A batch with this number and these devices.
    pub fn batch(&self, sequence: u64, devices: Vec<Reading>) -> Batch {
        Batch {
            schema_version: "1.0".to_owned(),
            min_reader: None,
            id: format!("0192f0c1-7b7e-7000-8000-{sequence:012x}"),
            site: self.epoch.kid().site().to_string(),
            sequence,
            previous: None,
            created: at("2026-11-20T06:03:12Z"),
            due_next: None,
            collector: Collector { name: "meterpost".to_owned(), version: "1.0.0".to_owned(), ..Collector::default() },
            sweep: None,
            chain: None,
            health: None,
            devices,
        }
    }

    /// Seals a batch; the same batch always to the same token.
    pub fn seal(&self, batch: &Batch) -> String {
        self.seal_xml(xml::encode(batch).as_bytes(), batch.sequence)
    }

    /// Seals any bytes.
    pub fn seal_xml(&self, xml: &[u8], number: u64) -> String {
        let mut iv = [7; 16];
        iv[..8].copy_from_slice(&number.to_be_bytes());
        seal::seal(xml, self.epoch.kid(), &self.epoch.batch_key(), iv).expect("small enough")
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// 200, 401, …
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As text.
    pub body: String,
}

impl Answer {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The value of a cookie that the answer sets.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.headers.iter().filter(|(found, _)| found == "set-cookie").find_map(|(_, value)| {
            let (found, rest) = value.split_once('=')?;
            (found == name).then(|| rest.split(';').next().unwrap_or_default().to_owned())
        })
    }

    /// The value of a hidden field.
    pub fn field(&self, name: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(&format!("name=\"{name}\" value=\""))?;
        Some(rest.split('"').next()?.to_owned())
    }

    /// The text of the first element with this local name in the XML.
    pub fn element(&self, name: &str) -> Option<String> {
        let document = roxmltree::Document::parse(&self.body).ok()?;
        let node = document.descendants().find(|node| node.tag_name().name() == name)?;
        Some(node.text().unwrap_or_default().to_owned())
    }
}

/// One request on a connection of its own; `Content-Length` and `Connection: close` are added.
pub fn send(address: SocketAddr, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let length =
        if head.contains("Transfer-Encoding") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    stream.write_all(format!("{head}{length}Connection: close\r\n\r\n").as_bytes()).expect("sent");
    // A server that refuses early may close before all is written.
    let _ = stream.write_all(body);
    read_answer(&mut stream)
}

/// Reads an answer to the end of the connection.
pub fn read_answer(stream: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Answer { status: status.unwrap_or(0), headers, body: body.to_owned() }
}

/// A time.
pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A printer with a total and what a page shows of it.
pub fn printer(serial: &str, total: u64, read_at: &str) -> Reading {
    let count = |value, oid: &str| Count {
        value,
        basis: Basis::Actual,
        evidence: Evidence { oid: Some(oid.to_owned()), rule: Some("1".to_owned()), unverified: false },
        unit: None,
        detail: None,
    };
    let coded = |label: &str, code| Some(Coded { label: label.to_owned(), code: Some(code) });
    let text = |value: &str| Some(Text { value: value.to_owned(), evidence: Evidence::default() });
    Reading {
        key: format!("sn:acme:{serial}"),
        mapping: None,
        scope: Scope::Full,
        read_at: at(read_at),
        outcome: Outcome::Complete,
        identity: Some(Identity {
            vendor: text("ACME"),
            model: text("LaserBeam 500"),
            serial_number: text(serial),
            system_name: Some(format!("prt-{}", serial.to_lowercase())),
            ..Identity::default()
        }),
        network: Some(Network { addresses: vec!["192.0.2.41".to_owned()], ..Network::default() }),
        capabilities: None,
        counters: Some(BTreeMap::from([
            (CounterKey::parse("system.impressions").expect("a key"), count(total, "1.3.6.1.4.1.99999.4.1.1")),
            (
                CounterKey::parse("system.monochrome_impressions").expect("a key"),
                count(total / 2, "1.3.6.1.4.1.99999.4.1.2"),
            ),
        ])),
        supplies: Some(vec![Supply {
            index: 1,
            class: coded("supplyThatIsConsumed", 3),
            kind: coded("tonerCartridge", 21),
            description: Some("Black Cartridge 55X".to_owned()),
            colorant: Some("black".to_owned()),
            percent: Some(35),
            level: Some(4_375),
            max_capacity: Some(12_500),
            ..Supply::default()
        }]),
        inputs: None,
        outputs: None,
        covers: None,
        alerts: Some(Alerts {
            rows: vec![Alert {
                index: Some(17),
                severity: coded("warning", 4),
                code: coded("inputMediaSupplyLow", 807),
                description: Some("Tray 2 low".to_owned()),
                ..Alert::default()
            }],
            ..Alerts::default()
        }),
        status: Some(Status { state: Some("idle".to_owned()), console: vec!["Ready".to_owned()], ..Status::default() }),
        gaps: Vec::new(),
    }
}
