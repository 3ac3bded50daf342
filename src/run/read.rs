//! One pass of reading: sweep what the configuration says, read, and seal as soon as a batch is full.
//!
//! The gathering is asynchronous; the sealing has a thread of its own, because it waits for the disk. Between them stands
//! a short channel: a slow disk slows the reading, and memory does not grow with the fleet.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use meterpost_wire::batch::Collector;
use meterpost_wire::reading::{self, Reading, Scope};
use tokio::sync::{Semaphore, mpsc, watch};

use super::plans::{Plan, Plans, Sections, plans, promise};
use super::{failed, packs, world};
use crate::batch::{self, SweepEnd, SweepStart};
use crate::cli::Failure;
use crate::clock;
use crate::config::Config;
use crate::gather::bar::Bar;
use crate::gather::{self, Found, Lessons, Printer, Reader, Unread};
use crate::memory::{Known, Reached};
use crate::outbox::Event;
use crate::pmd::Library;
use crate::show::{Finding, Place};
use crate::site::{Gathered, Site, SiteError, Summary, Terms};
use crate::snmp::{Credential, Network, NetworkOptions};
use crate::sweep::{self, Outcome, Sweep, Verdict};
use crate::targets::Addresses;

/// The clock is looked at so often while a window is open.
const CLOCK_LOOKED_AT_EVERY: Duration = Duration::from_secs(20);

/// Readings that may wait for the seal, some 60 kB each: as many as come while a batch is written to the disk.
const WAITING_MAX: usize = 24;

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
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// What was sealed.
    pub sealed: Summary,
    /// What became of the configuration's sections.
    pub sections: Sections,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With its sweep, as the last batch tells it.
    Swept(SweepEnd),
    /// A person or the system stopped it.
    Stopped,
    /// Before it began: every section was outside its window. Nothing was asked, and there is no batch.
    NothingOpen,
    /// Before it began: the queue is so full that only the first sweep of a day, or of a week, is sealed. What is not sealed need
    /// not be read.
    NoRoom,
}

/// What the taker of a gathering is told: any number of devices, then how it ended. A channel that closes without an end
/// was cut off.
enum Told {
    Device(Box<DeviceRead>),
    Ended(Ended),
}

/// A device as its reading ended.
struct DeviceRead {
    reading: Reading,
    address: SocketAddr,
    credential: String,
    lessons: Option<Lessons>,
}

impl From<DeviceRead> for Gathered {
    /// Writes down what the device taught: work for the thread that seals, not for the one that asks.
    fn from(DeviceRead { reading, address, credential, lessons }: DeviceRead) -> Self {
        let learned = lessons.map(|lessons| lessons.to_text()).unwrap_or_default();
        let reached = Reached { address: address.ip().to_string(), port: address.port(), credential, learned };
        Self { reading, reached: Some(reached) }
    }
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
    let plans = plans(config, &circumstances.config_dir)?;
    let zoned = started_at.to_zoned(config.timezone.clone());
    if !site.admits_sweep(config.limits.queue_bytes_max, &zoned).map_err(failed)? {
        return Ok(Report { end: End::NoRoom, sealed: Summary::default(), sections: Sections::default() });
    }
    if plans.unresolved > 0 {
        // a name is an address: the central learns that there is one, the log which
        let text = "a name among the targets of a `[[sweep]]` has no address".to_owned();
        let event = Event { at: started_at, code: "unresolved".to_owned(), text };
        site.note(&event).map_err(failed)?;
    }
    let library = packs::library(site, config)?;
    let (tell, told) = mpsc::channel(WAITING_MAX);
    let sealing = tokio::task::spawn_blocking({
        let (site, terms) = (Arc::clone(site), terms(config, site, circumstances, library.pack, started_at)?);
        move || seal(&site, terms, told)
    });
    let gathering = gather_all(site, config, library, plans, tell, circumstances.quiet, stop);
    tokio::pin!(gathering, sealing);
    tokio::select! {
        gathered = &mut gathering => {
            let (end, sealed) = sealing.await.map_err(Failure::failed)?.map_err(failed)?;
            let sections = gathered?;
            let end = match end {
                Some(end) => End::Swept(end),
                None if sections.none_open() => End::NothingOpen,
                None => End::Stopped,
            };
            Ok(Report { end, sealed, sections })
        }
        // it ends before the gathering only when something is wrong: nobody takes readings any more
        sealed = &mut sealing => {
            let (_, sealed) = sealed.map_err(Failure::failed)?.map_err(failed)?;
            Ok(Report { end: End::Stopped, sealed, sections: Sections::default() })
        }
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
    let plans = plans(config, &circumstances.config_dir)?;
    let library = packs::library(site, config)?;
    let terms = terms(config, site, circumstances, library.pack, started_at)?;
    let (tell, mut told) = mpsc::channel(WAITING_MAX);
    let mut gathered: Vec<Gathered> = Vec::new();
    let mut ended = None;
    let taking = async {
        while let Some(told) = told.recv().await {
            match told {
                Told::Device(device) => gathered.push(Gathered::from(*device)),
                Told::Ended(end) => ended = Some(end),
            }
        }
    };
    let (gathering, ()) =
        tokio::join!(gather_all(site, config, library, plans, tell, circumstances.quiet, stop), taking);
    let sections = gathering?;
    let Some(ended) = ended else {
        return Err(match sections.none_open() {
            true => Failure::failed("every `[[sweep]]` is outside its window: a run would ask nobody now"),
            false => Failure::failed("stopped before everything was read"),
        });
    };
    gathered.extend(unanswered(site, &ended, started_at).map_err(failed)?);
    site.preview(terms, gathered, &ended.end, clock::now()).map_err(failed)
}

/// Takes readings and queues batches, until it is told the end.
fn seal(site: &Site, terms: Terms, mut told: mpsc::Receiver<Told>) -> Result<(Option<SweepEnd>, Summary), SiteError> {
    let started_at = terms.start.started_at;
    let mut sealer = site.sealer(terms)?;
    while let Some(told) = told.blocking_recv() {
        match told {
            Told::Device(device) => sealer.push((*device).into(), clock::now())?,
            Told::Ended(ended) => {
                for device in unanswered(site, &ended, started_at)? {
                    sealer.push(device, clock::now())?;
                }
                let sealed = sealer.finish(&ended.end, clock::now())?;
                return Ok((Some(ended.end), sealed));
            }
        }
    }
    Ok((None, sealer.break_off(clock::now())?))
}

/// Known devices whose address was asked and that are in no sealed batch of this pass: they did not answer, or refused. Those
/// that were read and wait for the seal are among them; it knows them.
fn unanswered(site: &Site, ended: &Ended, started_at: Timestamp) -> Result<Vec<Gathered>, SiteError> {
    let missing = |known: &Known| {
        let address: IpAddr = known.address.parse().ok()?;
        let asked = ended.asked.iter().any(|(addresses, port)| *port == known.port && addresses.contains(address));
        let denied = ended.denied.contains(&address);
        (asked && !ended.unread.contains(&address))
            .then(|| Gathered { reading: without_answer(known.key.clone(), denied, ended.end.ended_at), reached: None })
    };
    Ok(site.not_seen_since(started_at)?.iter().filter_map(missing).collect())
}

fn without_answer(key: String, denied: bool, tried_at: Timestamp) -> Reading {
    let outcome = if denied { reading::Outcome::Denied } else { reading::Outcome::Unreachable };
    Reading::empty(key, Scope::Full, tried_at, outcome)
}

fn terms(
    config: &Config,
    site: &Site,
    circumstances: &Circumstances,
    pack: u64,
    started_at: Timestamp,
) -> Result<Terms, Failure> {
    let own = site.enrolment().map_err(failed)?.epoch.kid().site().to_string();
    Ok(Terms {
        start: SweepStart { id: batch::new_id(started_at, clock::random_bytes()), started_at },
        collector: Collector {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pack_version: Some(pack),
            ..Collector::default()
        },
        due_next: promise(config, &own, started_at),
        policy: config.privacy.clone(),
        schedule: config.read.as_ref().map(|read| read.text().to_owned()),
        operating_system: Some(world::operating_system()),
        uptime_seconds: Some(circumstances.up_since.elapsed().as_secs()),
        queue_bytes_max: config.limits.queue_bytes_max,
    })
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

/// Runs the sweeps one after the other, each if its window is open then and until it closes, and tells what they bring.
async fn gather_all(
    site: &Arc<Site>,
    config: &Config,
    library: Library,
    Plans { plans, unresolved }: Plans,
    tell: mpsc::Sender<Told>,
    quiet: bool,
    stop: impl Future<Output = ()>,
) -> Result<Sections, Failure> {
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
        let reader = Arc::new(Reader { network, library, credentials: Arc::clone(&credentials), identify_only: false });
        let tally = Arc::new(Mutex::new(Tally::default()));
        // a site that knows nobody yet has nothing to look up
        let looking_up = site.knows_devices().map_err(failed)?.then(|| Arc::new(Semaphore::new(1)));
        let mut asked = Vec::new();
        let mut sections = Sections { unresolved, ..Sections::default() };
        for Plan { targets, options, window, sections: of_plan } in plans {
            let closes = match window.map(|window| window.closes(&clock::now().to_zoned(config.timezone.clone()))) {
                None => None,
                Some(Some(closes)) => Some(closes),
                Some(None) => {
                    sections.outside += of_plan;
                    continue;
                }
            };
            sections.asked += of_plan;
            let sweep = Sweep::new(&targets, &credentials, &options).map_err(Failure::usage)?;
            let bar = Bar::new(quiet);
            let outcome = gather::gather(
                sweep,
                Arc::clone(&credentials),
                config.limits.devices_in_flight,
                |sighting| {
                    let (site, reader, tally) = (Arc::clone(site), Arc::clone(&reader), Arc::clone(&tally));
                    tell_device(site, reader, tally, tell.clone(), looking_up.clone(), sighting)
                },
                |address, why| tally.lock().unwrap_or_else(PoisonError::into_inner).unread(address, why),
                |progress| bar.show(progress),
                until(halted.clone(), closes),
            );
            let outcome = outcome.await.map_err(|error| Failure::failed(format!("the sweep broke off: {error}")))?;
            asked
                .extend(targets.groups().iter().map(|group| (group.addresses.without(&outcome.not_asked), group.port)));
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(&outcome);
        }
        if *halted.borrow() != Halt::Person && !sections.none_open() {
            let tally = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
            // without a taker the error of the sealing says why
            let _ = tell.send(Told::Ended(tally.ended(asked))).await;
        }
        Ok(sections)
    };
    tokio::select! {
        gathered = gathering => gathered,
        () = watching => Ok(Sections::default()),
    }
}

/// Ends when the pass does, or when the window closes.
async fn until(mut halted: watch::Receiver<Halt>, closes: Option<Timestamp>) {
    let halted = async {
        if halted.wait_for(|halt| *halt != Halt::No).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let closed = async {
        match closes {
            Some(closes) => wait_for(closes).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = halted => {}
        () = closed => {}
    }
}

/// Waits for a time of the wall clock, which is looked at often: a host may sleep, and clocks are set.
async fn wait_for(due: Timestamp) {
    while let Ok(left) = Duration::try_from(due.duration_since(clock::now()))
        && !left.is_zero()
    {
        tokio::time::sleep(left.min(CLOCK_LOOKED_AT_EVERY)).await;
    }
}

/// Reads one device and tells it; whether it is a printer.
async fn tell_device(
    site: Arc<Site>,
    reader: Arc<Reader>,
    tally: Arc<Mutex<Tally>>,
    tell: mpsc::Sender<Told>,
    looking_up: Option<Arc<Semaphore>>,
    sighting: sweep::Sighting,
) -> bool {
    let at = sighting.address;
    let known = match &looking_up {
        Some(looking_up) => known_at(&site, at, looking_up).await,
        None => None,
    };
    let found = gather::read(&reader, &sighting, known.as_ref()).await;
    let printer = {
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.found(&found);
        match found {
            Found::Printer(printer) => printer,
            Found::Nothing(..) => return false,
        }
    };
    let Printer { address, credential, reading: Some(reading), lessons, .. } = *printer else { return true };
    // without a taker the error of the sealing says why
    let Ok(place) = tell.reserve().await else { return true };
    place.send(Told::Device(Box::new(DeviceRead { reading, address, credential, lessons })));
    true
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
            Found::Printer(_) => Verdict::Printer,
            Found::Nothing(finding, _) => finding.verdict,
        };
        *self.verdicts.entry(verdict.as_str()).or_default() += 1;
        if let Found::Nothing(Finding { place: Place::Address(address), verdict: Verdict::WrongCredential, .. }, _) =
            found
        {
            self.denied.insert(*address);
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
        self.addresses += outcome.addresses.saturating_sub(outcome.not_asked.len());
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::run::world;

    /// Whether a sweep goes on.
    async fn goes_on(halted: &watch::Receiver<Halt>, closes: Option<Timestamp>) -> bool {
        tokio::select! {
            biased;
            () = until(halted.clone(), closes) => false,
            () = std::future::ready(()) => true,
        }
    }

    #[test]
    fn what_the_time_did_not_suffice_for_is_told_and_not_counted_as_asked() {
        let not_asked = world::look_up(&["127.0.0.4-127.0.0.9".to_owned()], Path::new("")).unwrap().addresses;
        let mut tally = Tally::default();
        tally.add(&Outcome { addresses: 9, answered: 2, not_asked, ..Outcome::default() });
        let end = tally.ended(Vec::new()).end;
        assert_eq!((end.addresses, end.answered), (3, 2));
        assert_eq!(end.verdicts, [("budget_ended".to_owned(), 6)]);
    }

    #[tokio::test]
    async fn a_sweep_ends_with_its_pass_and_when_its_window_closes() {
        let (halt, halted) = watch::channel(Halt::No);
        let now = clock::now();
        let (past, future) = (now - Duration::from_secs(1), now + Duration::from_secs(3_600));
        assert!(goes_on(&halted, None).await && goes_on(&halted, Some(future)).await);
        assert!(!goes_on(&halted, Some(past)).await);
        halt.send_replace(Halt::Budget);
        assert!(!goes_on(&halted, None).await && !goes_on(&halted, Some(future)).await);
    }
}
