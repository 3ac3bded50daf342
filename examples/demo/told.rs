//! What the demo prints: plain words, 80 columns at most.

use std::io::{Result, Write, stdout};

use crate::central::Stored;
use crate::printers::Placed;
use crate::simulator::tally::Tally;

/// Things that are wrong are told one by one up to so many.
const FAULTS_MAX: usize = 30;

/// The fleet, and what is awkward in it.
pub fn fleet(placed: &[Placed], port: u16) -> Result<()> {
    let recordings: std::collections::BTreeSet<&str> = placed.iter().map(|one| one.recording.as_str()).collect();
    let mut out = stdout().lock();
    writeln!(out, "meterpost demo: a printer fleet, a site and a central, all on this machine\n")?;
    writeln!(out, "1. The fleet: {} simulated devices of {} recordings,", placed.len(), recordings.len())?;
    writeln!(out, "   on addresses of 127.30.0.0/24, UDP port {port}. Awkward ones:\n")?;
    for one in placed {
        if let Some(awkward) = one.awkward {
            writeln!(out, "   {:<13} {:<26} {awkward}", one.printer.address, one.recording)?;
        }
    }
    writeln!(out)
}

/// Where the central is.
pub fn central(url: &str) -> Result<()> {
    writeln!(stdout(), "2. The central listens on {url}\n\n3. The site:\n")
}

/// A command and what it said.
pub fn command(command: &str, said: &str) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "   $ meterpost {command}")?;
    for line in said.lines() {
        writeln!(out, "   {}", cut(line, 77))?;
    }
    writeln!(out)
}

/// The devices that the central has, and what became of the others.
pub fn found(placed: &[Placed], stored: &Stored) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "4. What the central has of them:\n")?;
    writeln!(out, "   {:<12} {:<33} {:>8} {:>6} {:>6}  READ", "ADDRESS", "DEVICE", "PAGES", "LOWEST", "ALERTS")?;
    for (address, device) in &stored.devices {
        let summary = &device.row.summary;
        let name = [&summary.vendor, &summary.model].map(|part| part.as_deref().unwrap_or_default()).join(" ");
        let total = summary.total.map_or("-".to_owned(), |total| total.to_string());
        let lowest = summary.lowest.as_ref().map_or("-".to_owned(), |lowest| format!("{} %", lowest.percent));
        let name = cut(name.trim(), 33);
        let address = address.to_string();
        let alerts = summary.alerts.map_or("-".to_owned(), |alerts| alerts.to_string());
        writeln!(out, "   {address:<12} {name:<33} {total:>8} {lowest:>6} {alerts:>6}  {}", summary.outcome)?;
    }
    let absent: Vec<&Placed> = placed.iter().filter(|one| !stored.devices.contains_key(&one.printer.address)).collect();
    if !absent.is_empty() {
        writeln!(out, "\n   Not read:\n")?;
        for one in absent {
            let why = one.awkward.unwrap_or("nobody knows why");
            writeln!(out, "   {:<13} {:<26} {why}", one.printer.address, one.recording)?;
        }
    }
    writeln!(out)
}

/// What was asked and sent, and whether it is right.
pub fn end(stored: &Stored, seen: &Tally, faults: &[String]) -> Result<()> {
    let mut out = stdout().lock();
    let total = seen.total();
    let compared: usize = stored.devices.values().map(|device| device.counters.len()).sum();
    writeln!(out, "5. In numbers:\n")?;
    writeln!(
        out,
        "   asked     {} requests in {} bytes, {} answers in {} bytes,",
        total.requests, total.bytes_in, total.answers, total.bytes_out
    )?;
    writeln!(out, "             never more than {} at one printer, {} SETs", total.most_pending, total.sets)?;
    writeln!(out, "   sent      {} batches, {} of them missing at the central", stored.batches, stored.missing)?;
    writeln!(out, "   stored    {} devices with {compared} counters", stored.devices.len())?;
    if faults.is_empty() {
        return writeln!(out, "   checked   every device that can be read is there, with its recording's numbers\n");
    }
    writeln!(out, "   checked   {} things are wrong:\n", faults.len())?;
    faults.iter().take(FAULTS_MAX).try_for_each(|fault| writeln!(out, "   {fault}"))?;
    if faults.len() > FAULTS_MAX {
        writeln!(out, "   and {} more", faults.len() - FAULTS_MAX)?;
    }
    writeln!(out)
}

/// Where to look on.
pub fn invitation(url: &str, password: &str) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "Open {url}/ and log in as `admin` with `{password}`.\nIt stays until you press ctrl-c.")
}

fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters - 1).chain(['…']).collect()
}
