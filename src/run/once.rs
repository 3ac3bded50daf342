//! `run --once`, `preview`, `outbox send`: one pass, then the end.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::read::{self, Circumstances};
use super::signal::Stop;
use super::{configuration, failed, packs, print, queue, runtime, send};
use crate::cli::{Exit, Failure, Invocation, Run};
use crate::clock;
use crate::config::{Config, Places};
use crate::deliver::file::Folder;
use crate::deliver::{Hurry, Report};
use crate::schedule::Schedule;
use crate::site::Site;
use crate::store::Half;
use crate::sweep::Verdict;

/// Facts in the store: when the last pass of each half began, and the last look for a pack.
const LAST_READ: &str = "last_read_at";
const LAST_SEND: &str = "last_send_at";
const LAST_LOOK: &str = "last_packs_at";

/// After a stop the batch that is on its way has this long to come through. Then it is left to the next run: it is sent
/// again, and a central that has it already says so.
const GRACE: Duration = Duration::from_secs(3);

/// Reads and seals, then delivers: all of it, or what was asked for, or what is due.
pub fn run(run: Run, invocation: &Invocation, out: &mut dyn Write) -> Result<Exit, Failure> {
    let places = &invocation.places;
    let config = configuration(&places.config)?;
    let site = start(places)?;
    let now = clock::now();
    let read = run.read && (!run.due || is_due(&site, LAST_READ, config.read.as_ref(), now)?);
    // batches that wait are due at any time, unless a schedule says when
    let deliver =
        run.deliver && (!run.due || config.send.is_none() || is_due(&site, LAST_SEND, config.send.as_ref(), now)?);
    let quiet = invocation.verbosity < 0;
    let stop = Stop::listen()?;
    let mut exit = Exit::Done;
    if read {
        let report = runtime()?.block_on(read_once(&site, &config, &circumstances(invocation), stop.asked()))?;
        if !quiet {
            print(out, &read_text(&report))?;
        }
        // what was due is not in the queue: a person must look
        if matches!(report.end, read::End::Stopped | read::End::NoRoom) {
            exit = Exit::InPart;
        }
    }
    if deliver && !stop.is_asked() {
        let hurry = if run.due && config.send.is_none() { Hurry::WhenDue } else { Hurry::AtOnce };
        let report = send_now(&site, &config, hurry, &stop)?;
        if !quiet {
            print(out, &send_text(&report))?;
        }
        if exit == Exit::Done {
            exit = send::exit(&report, read);
        }
    }
    // neither reading nor delivering waits for it
    if run.deliver && !stop.is_asked() && next_look(&site, &config, now)?.is_some_and(|due| due <= now) {
        let runtime = runtime()?;
        let looked = runtime.block_on(look_once(site, config, &stop));
        runtime.shutdown_background();
        looked?;
    }
    Ok(if stop.is_asked() { Exit::InPart } else { exit })
}

/// The site with what has been kept long enough taken out of its queue, and with room kept for bad days.
pub fn open(places: &Places) -> Result<Arc<Site>, Failure> {
    tidied(queue::site(places)?)
}

/// The same at the start of a run: the whole store is checked.
pub fn start(places: &Places) -> Result<Arc<Site>, Failure> {
    tidied(queue::site_checked(places)?)
}

fn tidied(mut site: Site) -> Result<Arc<Site>, Failure> {
    site.expire(clock::now()).map_err(failed)?;
    site.keep_ballast(clock::now()).map_err(failed)?;
    Ok(Arc::new(site))
}

/// What a pass needs to know of this process.
pub fn circumstances(invocation: &Invocation) -> Circumstances {
    let config_dir = invocation.places.config.parent().map(Path::to_owned).unwrap_or_default();
    Circumstances { config_dir, quiet: invocation.verbosity < 0, up_since: Instant::now() }
}

/// One pass of reading under its lock; the next one counts from its beginning.
pub async fn read_once(
    site: &Arc<Site>,
    config: &Config,
    circumstances: &Circumstances,
    stop: impl Future<Output = ()>,
) -> Result<read::Report, Failure> {
    if config.sweeps.is_empty() {
        return Err(Failure::usage("the configuration has no `[[sweep]]`: there is nobody to ask")
            .hint("`meterpost config example` shows one"));
    }
    let _lock = site.lock(Half::Gathering).map_err(failed)?;
    mark(site, LAST_READ, clock::now())?;
    let report = read::pass(site, config, circumstances, stop).await?;
    let (of_packs, config) = (Arc::clone(site), config.clone());
    let looked = tokio::task::spawn_blocking(move || packs::after_reading(&of_packs, &config)).await;
    // what was read is sealed: a pack in trouble is told and costs nothing of it
    if let Err(failure) = looked.map_err(Failure::failed)? {
        tracing::error!("packs: {}", failure.what);
    }
    Ok(report)
}

/// Looks for a newer pack, in a thread that may block; a stop leaves that thread to itself: what it has not finished it has
/// not begun.
pub async fn look_once(site: Arc<Site>, config: Config, stop: &Stop) -> Result<(), Failure> {
    mark(&site, LAST_LOOK, clock::now())?;
    let looked = tokio::task::spawn_blocking(move || packs::look(&site, &config));
    tokio::select! {
        looked = looked => looked.map_err(Failure::failed)?,
        () = stop.asked() => Ok(()),
    }
}

/// One pass of delivering under its lock, in a thread that may block. A stop ends it behind the batch that is on its way,
/// and soon in any case: then all that is said is that it was stopped.
pub async fn send_once(site: Arc<Site>, config: Config, hurry: Hurry, stop: &Stop) -> Result<Report, Failure> {
    let stopped = stop.clone();
    let passed = tokio::task::spawn_blocking(move || {
        let _lock = site.lock(Half::Delivering).map_err(failed)?;
        mark(&site, LAST_SEND, clock::now())?;
        send::pass(&site, &config, hurry, &|| stopped.is_asked())
    });
    let patience = async {
        stop.asked().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        passed = passed => passed.map_err(Failure::failed)?,
        () = patience => Err(Failure {
            exit: Exit::InPart,
            what: "stopped while the central had not answered".to_owned(),
            hint: Some("what was on its way is sent again by the next run".to_owned()),
        }),
    }
}

fn send_now(site: &Arc<Site>, config: &Config, hurry: Hurry, stop: &Stop) -> Result<Report, Failure> {
    let runtime = runtime()?;
    let sent = runtime.block_on(send_once(Arc::clone(site), config.clone(), hurry, stop));
    // a thread that still waits for the central keeps nobody
    runtime.shutdown_background();
    sent
}

/// When the next pass of reading is due; `None` when the schedule is empty. A site that has never read is due at once,
/// and so is one that missed a time.
pub fn next_read(site: &Site, config: &Config, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    next(site, LAST_READ, config.read.as_ref(), now)
}

/// The same for delivering.
pub fn next_send(site: &Site, config: &Config, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    next(site, LAST_SEND, config.send.as_ref(), now)
}

/// When the next look for a pack is due; `None` when the schedule is empty.
pub fn next_look(site: &Site, config: &Config, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    next_by(site, LAST_LOOK, config.packs_at.as_ref(), now, Schedule::spread_over_the_day)
}

fn is_due(site: &Site, fact: &str, schedule: Option<&Schedule>, now: Timestamp) -> Result<bool, Failure> {
    Ok(next(site, fact, schedule, now)?.is_some_and(|due| due <= now))
}

fn next(site: &Site, fact: &str, schedule: Option<&Schedule>, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    next_by(site, fact, schedule, now, Schedule::spread)
}

fn next_by(
    site: &Site,
    fact: &str,
    schedule: Option<&Schedule>,
    now: Timestamp,
    spread: fn(Schedule, &str) -> Schedule,
) -> Result<Option<Timestamp>, Failure> {
    let Some(schedule) = schedule else { return Ok(None) };
    let own = site.enrolment().map_err(failed)?.epoch.kid().site().to_string();
    let last = site.store().read(|tx| tx.fact(fact)).map_err(|error| failed(error.into()))?;
    // a clock that was ahead when the last pass ran must not put the next one off for ever
    let last = last.and_then(|text| text.parse::<Timestamp>().ok()).filter(|last| *last <= now);
    Ok(match last {
        None => Some(now),
        Some(last) => spread(schedule.clone(), &own).next_after(last),
    })
}

fn mark(site: &Site, fact: &str, at: Timestamp) -> Result<(), Failure> {
    site.store().write(|tx| tx.set_fact(fact, &at.to_string())).map_err(|error| failed(error.into()))
}

/// Reads now and prints the XML of the batches that would be queued.
pub fn preview(invocation: &Invocation, out: &mut dyn Write) -> Result<Exit, Failure> {
    let config = configuration(&invocation.places.config)?;
    // nothing is kept and nothing goes, not even what is old enough; and a printer is asked by one run at a time
    let site = Arc::new(queue::site(&invocation.places)?);
    let _lock = site.lock(Half::Gathering).map_err(failed)?;
    let circumstances = circumstances(invocation);
    let stop = Stop::listen()?;
    for xml in runtime()?.block_on(read::preview(&site, &config, &circumstances, stop.asked()))? {
        print(out, &(xml + "\n"))?;
    }
    Ok(Exit::Done)
}

/// Delivers now what waits.
pub fn send(invocation: &Invocation, out: &mut dyn Write) -> Result<Exit, Failure> {
    let places = &invocation.places;
    // the queue of a site that was never configured can be delivered all the same
    let config =
        if places.config_named || places.config.exists() { configuration(&places.config)? } else { Config::default() };
    let site = open(places)?;
    let stop = Stop::listen()?;
    let report = send_now(&site, &config, Hurry::AtOnce, &stop)?;
    print(out, &send_text(&report))?;
    Ok(if stop.is_asked() { Exit::InPart } else { send::exit(&report, false) })
}

/// Writes what waits into a folder; it is handed over then.
pub fn export(invocation: &Invocation, directory: &Path, out: &mut dyn Write) -> Result<Exit, Failure> {
    if !directory.is_dir() {
        return Err(Failure::usage(format!("`{}` is no folder", directory.display()))
            .hint("it must be there: where a stick is not in, its name would be a folder of this disk"));
    }
    let site = open(&invocation.places)?;
    let _lock = site.lock(Half::Delivering).map_err(failed)?;
    let folder = Folder::new(directory, site.keys().map_err(failed)?.site());
    let stop = Stop::listen()?;
    let report = send::over(&site, &[Box::new(folder)], Hurry::AtOnce, &|| stop.is_asked())?;
    print(out, &send_text(&report))?;
    Ok(if stop.is_asked() { Exit::InPart } else { send::exit(&report, false) })
}

/// What was read and sealed, in one or two lines.
pub fn read_text(report: &read::Report) -> String {
    let sealed = match report.sealed.sequences.as_slice() {
        [] => "nothing sealed".to_owned(),
        [one] => format!("{} in batch {one}", count(report.sealed.devices, "device", "devices")),
        [first, .., last] => {
            format!("{} in batches {first} to {last}", count(report.sealed.devices, "device", "devices"))
        }
    };
    match &report.end {
        read::End::Swept(end) => {
            let mut not_asked = String::new();
            let left = end.verdicts.iter().find(|(verdict, _)| verdict == Verdict::BudgetEnded.as_str());
            if let Some((_, left)) = left {
                not_asked += &format!("; {} left when the time was up", count(*left, "address", "addresses"));
            }
            if report.sections.unresolved > 0 {
                let names = report.sections.unresolved as u32;
                not_asked += &format!("; {} no address", count(names, "name has", "names have"));
            }
            if report.sections.outside > 0 {
                not_asked += &format!("; {} `[[sweep]]` outside its window", report.sections.outside);
            }
            format!(
                "{} asked, {} answered, {}; {sealed}{not_asked}\n",
                count(end.addresses, "address", "addresses"),
                end.answered,
                count(end.printers, "printer", "printers"),
            )
        }
        read::End::Stopped => format!("stopped before the end; {sealed}\n"),
        read::End::NoRoom => {
            "nobody asked: the outbox is nearly full, and this day or week has its reading; nothing sealed; \
                              `meterpost status` says more\n"
                .to_owned()
        }
        read::End::NothingOpen => "nobody asked: every `[[sweep]]` is outside its window; nothing sealed\n".to_owned(),
    }
}

/// What was delivered, in one line.
pub fn send_text(report: &Report) -> String {
    let mut parts = vec![format!("{} delivered", report.delivered)];
    for (number, what) in [
        (report.handed_over, "handed over"),
        (report.set_aside, "set aside: the central refused them, see `meterpost outbox list`"),
        (report.unsure + report.left, "waiting"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    let why = match &report.rests {
        Some(rest) => format!(" ({})", rest.last_error),
        None if report.unsure > 0 => " (`meterpost outbox list` says why)".to_owned(),
        None => String::new(),
    };
    format!("{}{why}\n", parts.join(", "))
}

fn count(number: u32, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
