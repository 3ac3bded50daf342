//! A site to test with: a data directory, a central that is not there, readings by the number.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use jiff::Timestamp;
use meterpost::batch::{SweepEnd, SweepStart};
use meterpost::deliver::{Channel, Hurry, Outgoing, Pace, Report, SendError, Sent};
use meterpost::memory::Reached;
use meterpost::site::{Gathered, Paths, Site, Terms};
use meterpost_wire::batch::Collector;
use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::{Enc, Epoch, Kid, ReceiptKey};
use meterpost_wire::reading::{Basis, Count, Evidence, Identity, Network, Outcome, Scope, Text};
use meterpost_wire::receipt::{Claims, Disposition, Receipt, sign_receipt};
use meterpost_wire::seal::token_sha256;
use meterpost_wire::xml::{self, Decoded};
use meterpost_wire::{CounterKey, Reading};

/// The site's UUID.
pub const SITE: &str = "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10";

/// A day in November; tests add seconds.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + seconds).unwrap()
}

/// The site's epoch 1 or a later one.
pub fn epoch(number: u32) -> Epoch {
    let first = Epoch::new(Kid::parse(&format!("{SITE}.1")).unwrap(), Enc::A256CbcHs512, [7; 32]);
    (1..number).fold(first, |epoch, _| epoch.next())
}

/// What the central would print for `epoch`.
pub fn enrolment(epoch: Epoch) -> Enrolment {
    Enrolment {
        central: "http://127.0.0.1:9".into(),
        name: "Hauptstrasse".into(),
        epoch,
        mail_to: None,
        ca_pem: None,
        pack_keys: Vec::new(),
        sequence: None,
    }
}

/// Where a site lies in a temporary directory: the key beside the data, not in it.
pub fn paths(dir: &std::path::Path) -> Paths {
    Paths { data_dir: dir.join("data"), key_file: dir.join("etc").join("machine.key") }
}

/// A site that has just been enrolled.
pub fn enrolled(dir: &std::path::Path) -> Site {
    Site::enroll(&paths(dir), &enrolment(epoch(1)).to_token(), at(0)).unwrap().0
}

/// The n-th printer, read at an instant.
pub fn printer(n: u32, read_at: Timestamp) -> Reading {
    let count = Count {
        value: 1_000 + u64::from(n),
        basis: Basis::Actual,
        evidence: Evidence {
            oid: Some("1.3.6.1.2.1.43.10.2.1.4.1.1".into()),
            rule: Some("1".into()),
            unverified: false,
        },
        unit: None,
        detail: None,
    };
    Reading {
        identity: Some(Identity {
            vendor: Some("ACME".into()),
            serial_number: Some(Text::from(format!("SERIAL{n:05}").as_str())),
            system_name: Some(format!("prt-keller-{n:05}")),
            ..Identity::default()
        }),
        network: Some(Network { addresses: vec![address(n)], ..Network::default() }),
        counters: Some(BTreeMap::from([(CounterKey::parse("system.impressions").unwrap(), count)])),
        ..Reading::empty(format!("sn:acme:SERIAL{n:05}"), Scope::Full, read_at, Outcome::Complete)
    }
}

/// Where the n-th printer stands.
pub fn address(n: u32) -> String {
    format!("127.77.{}.{}", n / 250, n % 250 + 1)
}

/// A reading with how it was reached.
pub fn gathered(reading: Reading) -> Gathered {
    let address = reading.network.as_ref().map(|network| network.addresses[0].clone()).unwrap_or_default();
    let reached = Reached {
        address,
        port: 16_161,
        credential: "floor-two".into(),
        learned: r#"{ "rows": [1, 2, 4], "text": "Konica in the cellar" }"#.to_owned(),
    };
    Gathered { reading, reached: Some(reached) }
}

/// Terms of a sweep that begins at an instant.
pub fn terms(started_at: Timestamp) -> Terms {
    Terms {
        start: SweepStart { id: format!("s-{}", started_at.as_second()), started_at },
        collector: Collector { name: "meterpost".into(), version: "0.1.0".into(), ..Collector::default() },
        due_next: None,
        policy: meterpost::privacy::Policy::default(),
        schedule: None,
        operating_system: None,
        uptime_seconds: None,
        queue_bytes_max: 512 << 20,
    }
}

/// How a sweep ended that found `printers`.
pub fn end(ended_at: Timestamp, printers: u32) -> SweepEnd {
    SweepEnd { ended_at, addresses: 254, answered: printers, printers, verdicts: vec![("printer".into(), printers)] }
}

/// One sweep over one printer, as one batch; its sequence.
pub fn seal_one(site: &Site, n: u32, now: Timestamp) -> u64 {
    let mut sealer = site.sealer(terms(now)).unwrap();
    sealer.push(gathered(printer(n, now)), now).unwrap();
    sealer.finish(&end(now, 1), now).unwrap().sequences[0]
}

/// What is inside an item.
pub fn inside(site: &Site, sequence: u64) -> Decoded {
    xml::decode(&site.show(sequence).unwrap().xml).unwrap()
}

/// Every item that is there follows the one before it: the sequences rise by one, and each names the hash of the token
/// before.
#[track_caller]
pub fn check_chain(site: &Site) {
    let items = site.items().unwrap();
    for pair in items.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1, "no number is left out or used twice");
        let batch = inside(site, pair[1].sequence).batch;
        assert_eq!(batch.sequence, pair[1].sequence);
        assert_eq!(batch.previous.as_ref(), Some(&pair[0].sha256), "item {}", pair[1].sequence);
    }
}

/// The receipt that an honest central gives.
pub fn receipt(item: &Outgoing, key: &ReceiptKey, now: Timestamp) -> (String, Claims) {
    let claims = Claims {
        site: epoch(1).kid().site().clone(),
        batch_id: item.id.clone(),
        sequence: item.sequence,
        sha256: token_sha256(&item.token),
        acknowledged_through: 0,
        server_time: now,
        highest: None,
        missing: Vec::new(),
    };
    let receipt = Receipt { disposition: Disposition::Accepted, claims: claims.clone() };
    (sign_receipt(&receipt, key), claims)
}

/// A channel whose far side is a function.
pub struct Scripted<F> {
    answer: F,
    /// What was sent, in order.
    pub sent: RefCell<Vec<u64>>,
}

impl<F: Fn(&Outgoing) -> Result<Sent, SendError>> Scripted<F> {
    /// A far side that answers so.
    pub fn new(answer: F) -> Self {
        Self { answer, sent: RefCell::default() }
    }
}

impl<F: Fn(&Outgoing) -> Result<Sent, SendError>> Channel for Scripted<F> {
    fn name(&self) -> &'static str {
        "https"
    }

    fn send(&self, item: &Outgoing) -> Result<Sent, SendError> {
        self.sent.borrow_mut().push(item.sequence);
        (self.answer)(item)
    }
}

/// A far side that takes everything.
pub fn honest(item: &Outgoing) -> Result<Sent, SendError> {
    let (receipt, claims) = receipt(item, &epoch(item.epoch).receipt_key(), at(0));
    Ok(Sent::Receipt { receipt, claims })
}

/// One pass at an instant, with dice that always fall highest.
pub fn deliver(site: &Site, channel: &dyn Channel, hurry: Hurry, now: Timestamp) -> Report {
    site.deliver(&[channel], hurry, &Pace { now: &|| now, dice: &|| u32::MAX, stopped: &|| false }).unwrap()
}

/// Numbers that are the same in every run and look random (xorshift).
pub struct Dice(Cell<u64>);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    /// Below `most`.
    pub fn below(&self, most: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x % most
    }
}

/// Copies a directory with all that is in it.
pub fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry: std::path::PathBuf = entry.unwrap().path();
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).unwrap();
        }
    }
}
