//! One sighted device: the credentials in order, then identifying and reading it.

use std::net::SocketAddr;
use std::sync::Arc;

use meterpost_wire::Reading;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::memory::Known;
use crate::pmd::Library;
use crate::read::{self, DeviceRead, Learned, NotRead};
use crate::show::{Finding, Place};
use crate::snmp::{Agent, Credential, Network, Session, Traffic, Unanswered};
use crate::sweep::{Sighting, Verdict};

/// What reading shares among all devices.
pub struct Reader {
    /// Sockets, keys and places.
    pub network: Network,
    /// The mapping files.
    pub library: Library,
    /// All that sightings may name.
    pub credentials: Arc<[Credential]>,
    /// Whether it is enough to know that it is a printer.
    pub identify_only: bool,
}

/// What a sighted device turned out to be.
#[derive(Debug)]
pub enum Found {
    /// A printer.
    Printer(Box<Printer>),
    /// Something else, or nobody who lets us in; and what it cost to learn that.
    Nothing(Finding, Traffic),
}

/// A printer and how it was reached.
#[derive(Debug)]
pub struct Printer {
    /// Where.
    pub address: SocketAddr,
    /// The name of the credential that let us in.
    pub credential: String,
    /// The reading; absent when it was only to be found.
    pub reading: Option<Reading>,
    /// Why this mapping was picked.
    pub mapping_reason: String,
    /// What it taught for the next time; absent when it was not read.
    pub lessons: Option<Lessons>,
    /// What it cost.
    pub traffic: Traffic,
}

/// Reads one device. The credential that it was sighted with comes first; those listed behind it follow as long as none
/// lets us in, since a sweep sees of SNMPv3 only that somebody speaks it. Of a device that is `known` the one that let us
/// in the last time comes before all, as long as it is listed for the address.
pub async fn read(reader: &Reader, sighting: &Sighting, known: Option<&Known>) -> Found {
    let address = sighting.address;
    let mut traffic = Traffic::default();
    let mut refused = None;
    let last_time = known.map(|known| &known.credential).filter(|name| sighting.credentials.contains(name));
    let behind = sighting.credentials.iter().skip_while(|name| **name != sighting.credential);
    let names = last_time.into_iter().chain(behind.filter(|name| Some(*name) != last_time));
    for credential in names.filter_map(|name| reader.credentials.iter().find(|one| one.name == *name)) {
        let sighted = credential.name == sighting.credential;
        let version = sighted.then_some(sighting.version);
        let mut session = reader.network.session(address, credential, version, sighted.then_some(sighting.rtt)).await;
        let read = read_with(&mut session, reader, address, known).await;
        traffic += session.traffic();
        match read {
            Ok(read) => {
                let mut printer = Printer {
                    address,
                    credential: credential.name.clone(),
                    traffic,
                    mapping_reason: String::new(),
                    reading: None,
                    lessons: None,
                };
                if let Some(DeviceRead { reading, learned, choice, .. }) = read {
                    printer.mapping_reason = choice.reason;
                    printer.reading = Some(reading);
                    printer.lessons = Some(Lessons::of(&session, learned));
                }
                return Found::Printer(Box::new(printer));
            }
            Err(NotRead::NotPrinter(why)) => {
                let detail = description(sighting).map_or_else(|| why.to_string(), |text| format!("{text} ({why})"));
                return nothing(sighting, Verdict::NotPrinter, Some(detail), traffic);
            }
            Err(NotRead::Unanswered(why)) => {
                refused = Some(worse(refused, (why, session.denial().map(|denial| denial.to_string()))));
            }
        }
    }
    match refused {
        Some((Unanswered::Denied, reason)) => nothing(sighting, Verdict::WrongCredential, reason, traffic),
        Some((Unanswered::Unreachable, _)) => nothing(sighting, Verdict::Unreachable, None, traffic),
        Some((Unanswered::Silent, _)) | None => {
            let detail = match sighting.other_port {
                None => "it answered the sweep, and then no more".to_owned(),
                Some(port) => format!(
                    "it answers from port {port} to what port {} is asked, which a reading does not take",
                    address.port()
                ),
            };
            nothing(sighting, Verdict::Silent, Some(detail), traffic)
        }
    }
}

/// Reads with one credential; nothing but who it is when that is enough.
async fn read_with(
    session: &mut Session,
    reader: &Reader,
    address: SocketAddr,
    known: Option<&Known>,
) -> Result<Option<DeviceRead>, NotRead> {
    if reader.identify_only {
        return read::identify(session, &reader.library).await.map(|_| None);
    }
    let lessons: Option<Lessons> = known.and_then(|known| serde_json::from_str(&known.learned).ok());
    if let Some(lessons) = &lessons {
        lessons.borne.into_iter().for_each(|borne| session.bear(borne));
    }
    let learned = lessons.as_ref().map(|lessons| &lessons.read);
    let text = address.ip().to_string();
    read::device(session, &reader.library, learned, &text, clock::now()).await.map(Some)
}

/// What a device taught, as the memory keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Lessons {
    read: Learned,
    /// The most objects that it bears in one request.
    borne: Option<usize>,
}

impl Lessons {
    fn of(session: &Session, read: Learned) -> Self {
        Self { read, borne: session.borne() }
    }

    /// What reading taught, out of the memory; `None` when nothing is there, or what an older program wrote.
    pub fn learned(text: &str) -> Option<Learned> {
        serde_json::from_str(text).ok().map(|lessons: Self| lessons.read)
    }

    /// As the memory keeps it; what cannot be written is learned again.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A refusal says more than silence behind it.
fn worse(
    before: Option<(Unanswered, Option<String>)>,
    now: (Unanswered, Option<String>),
) -> (Unanswered, Option<String>) {
    match before {
        Some(before @ (Unanswered::Denied, _)) => before,
        _ => now,
    }
}

fn nothing(sighting: &Sighting, verdict: Verdict, detail: Option<String>, traffic: Traffic) -> Found {
    Found::Nothing(Finding { place: Place::Address(sighting.address.ip()), verdict, detail }, traffic)
}

/// What it says of itself, in one line of at most 80 characters.
fn description(sighting: &Sighting) -> Option<String> {
    let text = String::from_utf8_lossy(sighting.description.as_deref()?);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect();
    Some(line.trim().to_owned()).filter(|line| !line.is_empty())
}
