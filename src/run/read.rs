//! One pass of reading: sweep what the configuration says, read, and seal as soon as a batch is full.
//!
//! The gathering is asynchronous; the sealing has a thread of its own, because it waits for the disk. Between them stands
//! a short channel: a slow disk slows the reading, and memory does not grow with the fleet.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use meterpost_wire::batch::Collector;
use meterpost_wire::reading::{self, Reading, Scope};
use tokio::sync::{Semaphore, mpsc, watch};

use super::{failed, world};
use crate::batch::{self, SweepEnd, SweepStart};
use crate::cli::Failure;
use crate::clock;
use crate::config::{Config, Sweep as Section};
use crate::gather::bar::Bar;
use crate::gather::{self, Found, Printer, Reader, Unread};
use crate::memory::{Known, Reached};
use crate::pmd::Library;
use crate::site::{Gathered, Site, SiteError, Summary, Terms};
use crate::snmp::{Credential, Network, NetworkOptions, probe};
use crate::sweep::{self, Options, Outcome, Rate, Sweep, Verdict};
use crate::targets::{Addresses, Group, Targets};

/// Readings that may wait for the seal.
const WAITING_MAX: usize = 8;

/// How much later than the next reading a batch may come before its absence is worth an alarm: a sweep and a delivery of
/// ordinary length.
const PROMISE_SLACK: Duration = Duration::from_secs(60 * 60);

/// What a pass needs besides the configuration.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// Where relative `@file` targets start.
    pub config_dir: PathBuf,
    /// No progress bar.
    pub quiet: bool,
    /// When the program started, for the batch's health.
    pub up_since: Instant,
}

/// What a pass came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The end of the sweep, as the last batch tells it.
    pub end: Option<SweepEnd>,
    /// What was sealed.
    pub sealed: Summary,
}

/// What the taker of a gathering is told: any number of devices, then how it ended. A channel that closes without an end
/// was cut off.
enum Told {
    Device(Box<Gathered>),
    Ended(Ended),
}

/// What is known when the sweeps have ended.
struct Ended {
    end: SweepEnd,
    /// Addresses that were asked, each with its port.
    asked: Vec<(Addresses, u16)>,
    /// Those that refused the credentials.
    denied: HashSet<IpAddr>,
    /// Those that answered and were not read to the end: nothing is known of the device there.
    unread: HashSet<IpAddr>,
}

/// Reads everything once and seals it. Ends early, with what was read sealed, when `stop` does or the time of
/// `[limits].run_minutes` is up.
pub async fn pass(
    site: &Arc<Site>,
    config: &Config,
    circumstances: &Circumstances,
    stop: impl Future<Output = ()>,
) -> Result<Report, Failure> {
    let started_at = clock::now();
    let plans = plans(config, &circumstances.config_dir, started_at)?;
    let (tell, told) = mpsc::channel(WAITING_MAX);
    let sealing = tokio::task::spawn_blocking({
        let (site, terms) = (Arc::clone(site), terms(config, site, circumstances, started_at)?);
        move || seal(&site, terms, told)
    });
    let gathering = gather_all(site, config, plans, tell, circumstances.quiet, stop);
    tokio::pin!(gathering, sealing);
    tokio::select! {
        gathered = &mut gathering => {
            let report = sealing.await.map_err(Failure::failed)?.map_err(failed)?;
            gathered.map(|()| report)
        }
        // it ends before the gathering only when something is wrong: nobody takes readings any more
        sealed = &mut sealing => sealed.map_err(Failure::failed)?.map_err(failed),
    }
}

/// Reads everything once, and gives the XML of the batches that would be queued. Nothing is kept.
pub async fn preview(
    site: &Arc<Site>,
    config: &Config,
    circumstances: &Circumstances,
    stop: impl Future<Output = ()>,
) -> Result<Vec<String>, Failure> {
    let started_at = clock::now();
    let plans = plans(config, &circumstances.config_dir, started_at)?;
    let terms = terms(config, site, circumstances, started_at)?;
    let (tell, mut told) = mpsc::channel(WAITING_MAX);
    let mut gathered = Vec::new();
    let mut ended = None;
    let taking = async {
        while let Some(told) = told.recv().await {
            match told {
                Told::Device(device) => gathered.push(*device),
                Told::Ended(end) => ended = Some(end),
            }
        }
    };
    let (gathering, ()) = tokio::join!(gather_all(site, config, plans, tell, circumstances.quiet, stop), taking);
    gathering?;
    let Some(ended) = ended else { return Err(Failure::failed("stopped before everything was read")) };
    let read: HashSet<String> = gathered.iter().map(|device| device.reading.key.clone()).collect();
    gathered.extend(unanswered(site, &ended, &read, started_at).map_err(failed)?);
    site.preview(terms, gathered, &ended.end, clock::now()).map_err(failed)
}

/// Takes readings and queues batches, until it is told the end.
fn seal(site: &Site, terms: Terms, mut told: mpsc::Receiver<Told>) -> Result<Report, SiteError> {
    let started_at = terms.start.started_at;
    let mut sealer = site.sealer(terms)?;
    let mut read = HashSet::new();
    while let Some(told) = told.blocking_recv() {
        match told {
            Told::Device(device) => {
                read.insert(device.reading.key.clone());
                sealer.push(*device, clock::now())?;
            }
            Told::Ended(ended) => {
                for device in unanswered(site, &ended, &read, started_at)? {
                    sealer.push(device, clock::now())?;
                }
                let sealed = sealer.finish(&ended.end, clock::now())?;
                return Ok(Report { end: Some(ended.end), sealed });
            }
        }
    }
    Ok(Report { end: None, sealed: sealer.break_off(clock::now())? })
}

/// Known devices whose address was asked and that are in no reading: they did not answer, or refused.
fn unanswered(
    site: &Site,
    ended: &Ended,
    read: &HashSet<String>,
    started_at: Timestamp,
) -> Result<Vec<Gathered>, SiteError> {
    let missing = |known: &Known| {
        let address: IpAddr = known.address.parse().ok()?;
        let asked = ended.asked.iter().any(|(addresses, port)| *port == known.port && addresses.contains(address));
        let denied = ended.denied.contains(&address);
        (asked && !ended.unread.contains(&address) && !read.contains(&known.key))
            .then(|| Gathered { reading: without_answer(known.key.clone(), denied, ended.end.ended_at), reached: None })
    };
    Ok(site.not_seen_since(started_at)?.iter().filter_map(missing).collect())
}

fn without_answer(key: String, denied: bool, tried_at: Timestamp) -> Reading {
    Reading {
        key,
        mapping: None,
        scope: Scope::Full,
        read_at: tried_at,
        outcome: if denied { reading::Outcome::Denied } else { reading::Outcome::Unreachable },
        identity: None,
        network: None,
        capabilities: None,
        counters: None,
        supplies: None,
        inputs: None,
        outputs: None,
        covers: None,
        alerts: None,
        status: None,
        gaps: Vec::new(),
    }
}

fn terms(config: &Config, site: &Site, circumstances: &Circumstances, started_at: Timestamp) -> Result<Terms, Failure> {
    let own = site.enrolment().map_err(failed)?.epoch.kid().site().to_string();
    Ok(Terms {
        start: SweepStart { id: batch::new_id(started_at, clock::random_bytes()), started_at },
        collector: Collector {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Collector::default()
        },
        due_next: promise(config, &own, started_at),
        policy: config.privacy.clone(),
        schedule: config.read.as_ref().map(|read| read.text().to_owned()),
        uptime_seconds: Some(circumstances.up_since.elapsed().as_secs()),
        queue_bytes_max: config.limits.queue_bytes_max,
    })
}

/// The instant by which the next batch is promised: the next reading, then the next sending, and an hour.
fn promise(config: &Config, site: &str, now: Timestamp) -> Option<Timestamp> {
    let read = config.read.clone()?.spread(site).next_after(now)?;
    let sent = match config.send.clone() {
        Some(send) => send.spread(site).next_after(read)?,
        None => read,
    };
    sent.checked_add(PROMISE_SLACK).ok()
}

/// One sweep: whom it asks, and how.
struct Plan {
    targets: Targets,
    options: Options,
}

/// The sections whose window is open now, those that are asked in the same way together.
fn plans(config: &Config, dir: &Path, now: Timestamp) -> Result<Vec<Plan>, Failure> {
    let time = now.to_zoned(config.timezone.clone()).time();
    let attached = probe::attached();
    let mut plans: Vec<Plan> = Vec::new();
    for section in &config.sweeps {
        if section.window.is_some_and(|window| !window.holds(time)) {
            tracing::info!(targets = ?section.targets, "outside its window, not asked now");
            continue;
        }
        let rate: Rate = section.rate.map(Into::into).unwrap_or_default();
        let options = Options { rate, retries: section.retries, timeout: None, attached: attached.clone() };
        let Some((group, exclude)) = group(section, dir)? else { continue };
        match plans.iter_mut().find(|plan| plan.options == options) {
            Some(plan) => plan.targets.add(group, &exclude).map_err(Failure::usage)?,
            None => {
                let mut targets = Targets::default();
                targets.add(group, &exclude).map_err(Failure::usage)?;
                plans.push(Plan { targets, options });
            }
        }
    }
    Ok(plans)
}

/// Whom a section asks, and whom not. Names that do not resolve are told and cost nobody else; `None` when one of them is
/// excluded, because then it is not known who must not be asked.
fn group(section: &Section, dir: &Path) -> Result<Option<(Group, Addresses)>, Failure> {
    let targets = world::look_up(&section.targets, dir).map_err(Failure::usage)?;
    let exclude = world::look_up(&section.exclude, dir).map_err(Failure::usage)?;
    for error in &targets.unresolved {
        tracing::warn!("{error}; not asked now");
    }
    if let Some(error) = exclude.unresolved.first() {
        tracing::warn!("`exclude`: {error}; the targets of its `[[sweep]]` are not asked now");
        return Ok(None);
    }
    let group = Group { addresses: targets.addresses, port: section.port, credentials: section.credentials.clone() };
    Ok(Some((group, exclude.addresses)))
}

/// Why a gathering ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    No,
    /// The time is up: an end like any other, with its verdicts.
    Budget,
    /// A person or the system stopped it: it is cut off.
    Person,
}

/// Runs the sweeps one after the other and tells what they bring.
async fn gather_all(
    site: &Arc<Site>,
    config: &Config,
    plans: Vec<Plan>,
    tell: mpsc::Sender<Told>,
    quiet: bool,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let (halt, halted) = watch::channel(Halt::No);
    let watching = async {
        let why = tokio::select! {
            () = stop => Halt::Person,
            () = tokio::time::sleep(config.limits.run_time) => Halt::Budget,
        };
        halt.send_replace(why);
        std::future::pending::<()>().await;
    };
    let gathering = async {
        let network = Network::open(NetworkOptions {
            devices: Some(config.limits.devices_in_flight),
            ..NetworkOptions::default()
        })
        .map_err(|error| Failure::failed(format!("cannot open a socket: {error}")))?;
        let credentials: Arc<[Credential]> = config.credentials.clone().into();
        let reader = Arc::new(Reader {
            network,
            library: Library::builtin(),
            credentials: Arc::clone(&credentials),
            identify_only: false,
        });
        let tally = Arc::new(Mutex::new(Tally::default()));
        let looking_up = Arc::new(Semaphore::new(1));
        let mut asked = Vec::new();
        for Plan { targets, options } in plans {
            let sweep = Sweep::new(&targets, &credentials, &options).map_err(Failure::usage)?;
            let bar = Bar::new(quiet);
            let outcome = gather::gather(
                sweep,
                Arc::clone(&credentials),
                config.limits.devices_in_flight,
                |sighting| {
                    let (site, reader, tally) = (Arc::clone(site), Arc::clone(&reader), Arc::clone(&tally));
                    tell_device(site, reader, tally, tell.clone(), Arc::clone(&looking_up), sighting)
                },
                |address, why| tally.lock().unwrap_or_else(PoisonError::into_inner).unread(address, why),
                |progress| bar.show(progress),
                until(halted.clone()),
            );
            let outcome = outcome.await.map_err(|error| Failure::failed(format!("the sweep broke off: {error}")))?;
            asked
                .extend(targets.groups().iter().map(|group| (group.addresses.without(&outcome.not_asked), group.port)));
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(&outcome);
        }
        if *halted.borrow() != Halt::Person {
            let tally = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
            // without a taker the error of the sealing says why
            let _ = tell.send(Told::Ended(tally.ended(asked))).await;
        }
        Ok(())
    };
    tokio::select! {
        gathered = gathering => gathered,
        () = watching => Ok(()),
    }
}

async fn until(mut halted: watch::Receiver<Halt>) {
    if halted.wait_for(|halt| *halt != Halt::No).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Reads one device and tells it.
async fn tell_device(
    site: Arc<Site>,
    reader: Arc<Reader>,
    tally: Arc<Mutex<Tally>>,
    tell: mpsc::Sender<Told>,
    looking_up: Arc<Semaphore>,
    sighting: sweep::Sighting,
) {
    let at = sighting.address;
    let known = known_at(&site, at, &looking_up).await;
    let found = gather::read(&reader, &sighting, known.as_ref()).await;
    let printer = {
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.found(&found);
        match found {
            Found::Printer(printer) => printer,
            Found::Nothing(..) => return,
        }
    };
    let Printer { address, credential, reading: Some(reading), lessons, .. } = *printer else { return };
    // without a taker the error of the sealing says why
    let Ok(place) = tell.reserve().await else { return };
    // the memory's format takes five times the room: only now
    let learned = lessons.map(|lessons| lessons.to_value()).unwrap_or_default();
    let reached = Reached { address: address.ip().to_string(), port: address.port(), credential, learned };
    place.send(Told::Device(Box::new(Gathered { reading, reached: Some(reached) })));
}

/// What is known of the device at an address. The store may have to wait for the seal's commit, so it is asked on a thread
/// that may wait, and by one device at a time: a thread for each would cost more memory than the devices do.
async fn known_at(site: &Arc<Site>, at: SocketAddr, looking_up: &Semaphore) -> Option<Known> {
    let _turn = looking_up.acquire().await;
    let site = Arc::clone(site);
    let looked_up = tokio::task::spawn_blocking(move || site.known_at(&at.ip().to_string(), at.port())).await;
    let failed = match looked_up {
        Ok(Ok(known)) => return known,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!("what is known of a device cannot be read: {failed}");
    None
}

/// Numbers for the end of the sweep.
#[derive(Default)]
struct Tally {
    addresses: u64,
    answered: u64,
    verdicts: BTreeMap<&'static str, u64>,
    denied: HashSet<IpAddr>,
    unread: HashSet<IpAddr>,
}

impl Tally {
    fn found(&mut self, found: &Found) {
        let verdict = match found {
            Found::Printer(_) => Verdict::Printer.as_str(),
            Found::Nothing(finding, _) => finding.verdict,
        };
        *self.verdicts.entry(verdict).or_default() += 1;
        if let Found::Nothing(finding, _) = found
            && verdict == Verdict::WrongCredential.as_str()
        {
            self.denied.insert(finding.address);
        }
    }

    fn unread(&mut self, address: SocketAddr, why: Unread) {
        if why == Unread::Broken {
            tracing::error!(%address, "reading this device broke off inside meterpost");
        }
        *self.verdicts.entry(Verdict::BudgetEnded.as_str()).or_default() += 1;
        self.unread.insert(address.ip());
    }

    fn add(&mut self, outcome: &Outcome) {
        self.addresses += outcome.addresses;
        self.answered += outcome.answered;
        for (verdict, addresses) in [
            (Verdict::Silent, &outcome.silent),
            (Verdict::Unreachable, &outcome.unreachable),
            (Verdict::BudgetEnded, &outcome.not_asked),
            (Verdict::Excluded, &outcome.excluded),
        ] {
            if !addresses.is_empty() {
                *self.verdicts.entry(verdict.as_str()).or_default() += addresses.len();
            }
        }
    }

    fn ended(self, asked: Vec<(Addresses, u16)>) -> Ended {
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let printers = self.verdicts.get(Verdict::Printer.as_str()).copied().unwrap_or(0);
        let end = SweepEnd {
            ended_at: clock::now(),
            addresses: count(self.addresses),
            answered: count(self.answered),
            printers: count(printers),
            verdicts: self.verdicts.iter().map(|(word, number)| ((*word).to_owned(), count(*number))).collect(),
        };
        Ended { end, asked, denied: self.denied, unread: self.unread }
    }
}
