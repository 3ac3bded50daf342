//! `scan`: sweep and read now, without any configuration, and print.

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::signal::Stop;
use super::world::{self, Looked};
use super::{print, runtime, told};
use crate::cli::{self, Exit, Failure, Format, Invocation};
use crate::clock;
use crate::gather::bar::Bar;
use crate::gather::{self, Found, Printer, Reader, Unread};
use crate::pmd::Library;
use crate::show::{self, Device, Finding, Look, Place, Scan, Summary};
use crate::snmp::session::DEVICES_DEFAULT;
use crate::snmp::{Credential, Network, NetworkOptions, Traffic, probe};
use crate::sweep::{self, Options, Outcome, Sweep, Verdict};
use crate::targets::{Group, Targets};

/// Sweeps, reads, prints; or only says what that would take.
pub fn scan(orders: &cli::Scan, invocation: &Invocation, out: &mut dyn Write) -> Result<Exit, Failure> {
    let credentials = world::credentials(&orders.credentials, &orders.credential_names, invocation)?;
    let (targets, unresolved) = targets(orders, &credentials)?;
    let options = Options {
        rate: orders.rate.map(Into::into).unwrap_or_default(),
        retries: orders.retries,
        timeout: orders.timeout,
        attached: probe::attached(),
    };
    if orders.plan {
        let forecast = sweep::forecast(&targets, &credentials, &options).map_err(Failure::usage)?;
        return print(out, &plan(orders.format, targets.len(), forecast));
    }
    let sweep = Sweep::new(&targets, &credentials, &options).map_err(Failure::usage)?;
    let stop = Stop::listen()?;
    let mut scan = runtime()?.block_on(gathered(
        orders,
        &invocation.places.data,
        credentials,
        sweep,
        invocation.verbosity < 0,
        &stop,
    ))?;
    scan.verdicts.extend(unresolved);
    told(show_to(orders, &scan, out))?;
    if stop.is_asked() {
        tracing::warn!("stopped before the end: not every address was asked, not every printer was read");
        return Ok(Exit::InPart);
    }
    Ok(Exit::Done)
}

/// Whom to ask, and a finding for each name that has no address.
fn targets(orders: &cli::Scan, credentials: &[Credential]) -> Result<(Targets, Vec<Finding>), Failure> {
    let here = Path::new("");
    let Looked { addresses, unresolved } = world::look_up(&orders.targets, here).map_err(Failure::usage)?;
    let exclude = world::look_up(&orders.exclude, here).map_err(Failure::usage)?;
    // with nobody left to ask it is the command that is wrong; and who is not to be asked must be known
    let fatal = unresolved.first().filter(|_| addresses.is_empty()).or(exclude.unresolved.first());
    if let Some(error) = fatal {
        return Err(Failure::usage(error));
    }
    let findings = unresolved.into_iter().map(|error| {
        tracing::warn!("{error}; not asked");
        let (name, detail) = (error.name, format!("no address: {}", error.reason));
        Finding { place: Place::Name(name), verdict: Verdict::Unreachable, detail: Some(detail) }
    });
    let findings = findings.collect();
    let names = credentials.iter().map(|credential| credential.name.clone()).collect();
    let mut targets = Targets::default();
    targets
        .add(Group { addresses, port: orders.port, credentials: names }, &exclude.addresses)
        .map_err(Failure::usage)?;
    Ok((targets, findings))
}

/// What a sweep would take if nobody answered: the most packets and the longest time.
fn plan(format: Format, addresses: u64, (packets, time): (u64, Duration)) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match format {
        Format::Json => format!("{{\"addresses\":{addresses},\"packets\":{packets},\"seconds\":{seconds}}}\n"),
        Format::Csv => format!("addresses,packets,seconds\r\n{addresses},{packets},{seconds}\r\n"),
        Format::Xml | Format::Table => format!(
            "{addresses} addresses: {packets} packets in {seconds} seconds if nobody answers\n\
             who answers is not asked again; reading a printer takes about 13 packets more\n\
             nothing was sent\n"
        ),
    }
}

/// Everything that was found, in the order of addresses.
async fn gathered(
    orders: &cli::Scan,
    data: &Path,
    credentials: Vec<Credential>,
    sweep: Sweep,
    quiet: bool,
    stop: &Stop,
) -> Result<Scan, Failure> {
    let started_at = clock::now();
    let options = NetworkOptions { first_wait: orders.timeout, ..NetworkOptions::default() };
    let network = Network::open(options).map_err(|error| Failure::failed(format!("cannot open a socket: {error}")))?;
    let credentials: Arc<[Credential]> = credentials.into();
    let reader = Arc::new(Reader {
        network,
        library: match &orders.pmd_dir {
            None if orders.sweep_only => Library::words_only(),
            folder => super::library(folder.as_deref(), data)?,
        },
        credentials: Arc::clone(&credentials),
        identify_only: orders.sweep_only,
    });
    let found = Arc::new(Mutex::new(Harvest::default()));
    let read = {
        let (reader, found) = (Arc::clone(&reader), Arc::clone(&found));
        move |sighting| {
            let (reader, found) = (Arc::clone(&reader), Arc::clone(&found));
            async move {
                let read = gather::read(&reader, &sighting, None).await;
                let is_printer = matches!(read, Found::Printer(_));
                take(&mut found.lock().unwrap_or_else(PoisonError::into_inner), read);
                is_printer
            }
        }
    };
    let unread = |address: SocketAddr, why| {
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        found.scan.verdicts.push(why_unread(address.ip(), why));
    };
    let bar = Bar::new(quiet);
    let outcome =
        gather::gather(sweep, credentials, DEVICES_DEFAULT, read, unread, |progress| bar.show(progress), stop.asked());
    let outcome = outcome.await.map_err(|error| Failure::failed(format!("the sweep broke off: {error}")))?;
    drop(bar);
    let Harvest { mut scan, mut traffic } = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    traffic += outcome.traffic;
    complete(&mut scan, &outcome, orders);
    scan.sweep = Some(Summary {
        targets: orders.targets.clone(),
        started_at,
        ended_at: clock::now(),
        addresses: outcome.addresses,
        answered: outcome.answered,
        printers: scan.verdicts.iter().filter(|finding| finding.verdict == Verdict::Printer).count() as u64,
        traffic,
    });
    Ok(scan)
}

/// What has been found so far, and what it cost to read it.
#[derive(Default)]
struct Harvest {
    scan: Scan,
    traffic: Traffic,
}

/// Puts one device, or the reason why there is none, where it belongs.
fn take(harvest: &mut Harvest, found: Found) {
    let Harvest { scan, traffic } = harvest;
    match found {
        Found::Printer(printer) => {
            let Printer { address, reading, mapping_reason, traffic: cost, .. } = *printer;
            *traffic += cost;
            let place = Place::Address(address.ip());
            scan.verdicts.push(Finding { place, verdict: Verdict::Printer, detail: None });
            scan.devices.extend(reading.map(|reading| Device {
                address: address.ip(),
                reading,
                mapping_reason: Some(mapping_reason),
                traffic: Some(cost),
            }));
        }
        Found::Nothing(finding, cost) => {
            *traffic += cost;
            scan.verdicts.push(finding);
        }
    }
}

/// Why a sighted device has no reading.
fn why_unread(address: IpAddr, why: Unread) -> Finding {
    let detail = match why {
        Unread::Stopped => "it answered, and was not read before the time was up",
        Unread::Broken => "it answered, and reading it broke off inside meterpost",
    };
    Finding { place: Place::Address(address), verdict: Verdict::BudgetEnded, detail: Some(detail.to_owned()) }
}

/// Adds what the sweep itself knows, silence only when it was asked for, and puts all in the order of addresses.
fn complete(scan: &mut Scan, outcome: &Outcome, orders: &cli::Scan) {
    let verdicts = outcome.verdicts().filter(|(_, verdict, _)| orders.verdicts || *verdict != Verdict::Silent);
    scan.verdicts.extend(verdicts.map(|(address, verdict, detail)| Finding {
        place: Place::Address(address),
        verdict,
        detail: Some(detail),
    }));
    scan.verdicts.sort_by(|one, other| one.place.cmp(&other.place));
    scan.devices.sort_by_key(|device| device.address);
}

fn show_to(orders: &cli::Scan, scan: &Scan, out: &mut dyn Write) -> io::Result<()> {
    let text = match orders.format {
        Format::Json => return show::json(scan, out),
        Format::Csv if orders.sweep_only => show::csv_of_verdicts(scan),
        Format::Csv => show::csv(scan),
        Format::Xml => show::xml(scan),
        Format::Table => {
            let terminal = io::stdout().is_terminal();
            // https://no-color.org: set and not empty
            let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let width = if terminal { comfy_table::Table::new().width().unwrap_or(80) } else { 80 };
            show::table(scan, Look { width, color }, orders.verdicts)
        }
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}
