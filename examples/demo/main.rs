//! The whole line on one machine: `cargo run --release --example demo`.
//!
//! A simulated fleet on loopback, a central, a site that is enrolled there, and one pass of the collector, by the same
//! functions that the two programs call. It stays until ctrl-c, so that the pages can be looked at; with `--once` it ends
//! by itself, and well only if the central has everything that was sent, with the numbers of the recordings.

mod central;
mod printers;
#[path = "../fleet/simulator.rs"]
mod simulator;
mod told;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use meterpost::cli::Exit;

use central::Central;
use printers::{Placed, USER};
use simulator::Fleet;

/// Starts a simulated fleet, a central and a collector on loopback, and shows one pass from sweep to page.
#[derive(Debug, Parser)]
#[command(after_help = "example: cargo run --release --example demo -- --once")]
struct Arguments {
    /// End by itself: exit code 0 only if everything sent is stored, with the numbers of the recordings
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match demo(arguments.once) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well.
fn demo(once: bool) -> Result<bool> {
    let folder = tempfile::tempdir().context("making a folder for the demo")?;
    let placed = printers::printers()?;
    let fleet = Fleet { port: 0, printers: placed.iter().map(|one| one.printer.clone()).collect(), seed: 1 };
    let running = simulator::start(fleet).context("starting the simulated fleet")?;
    told::fleet(&placed, running.port())?;

    let central = Central::start(&folder.path().join("central"))?;
    told::central(central.url())?;

    let site = Site::new(&folder.path().join("site"), running.port())?;
    let token = central.add_site("Demo site")?;
    let enrolled = site.meterpost(&["enroll", &token])?;
    told::command("enroll mp1.…", &enrolled)?;
    running.reset();
    let ran = site.meterpost(&["run", "--once"])?;
    told::command("run --once", &ran)?;
    let listed = site.meterpost(&["outbox", "list"])?;
    told::command("outbox list", &listed)?;

    let stored = central.stored()?;
    told::found(&placed, &stored)?;
    let seen = running.tally();
    let faults = faults(&placed, &stored, &seen);
    told::end(&stored, &seen, &faults)?;
    if once {
        running.stop();
        return Ok(faults.is_empty());
    }
    told::invitation(central.url(), central.password())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    Ok(faults.is_empty())
}

/// The collector's side: its folder, and its commands as a person gives them.
struct Site {
    folder: PathBuf,
}

impl Site {
    fn new(folder: &Path, port: u16) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let user: Vec<&str> = USER.split(':').collect();
        let [name, _, auth, _, privacy] = user[..] else { bail!("the demo's v3 user is not written as it should be") };
        let config = format!(
            "[site]\nname = \"Demo site\"\n\n\
             [[sweep]]\ntargets = [\"127.30.0.0/24\"]\ncredentials = [\"office\", \"v3\"]\nport = {port}\n\n\
             [[credentials]]\nname = \"office\"\ncommunity = \"public\"\n\n\
             [[credentials]]\nname = \"v3\"\nversion = \"3\"\nuser = \"{name}\"\n\
             auth_protocol = \"SHA-256\"\nauth_secret = \"{auth}\"\npriv_protocol = \"AES\"\npriv_secret = \"{privacy}\"\n"
        );
        fs::write(folder.join("meterpost.toml"), config)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Runs a command of `meterpost` as its program would, and gives what it printed.
    fn meterpost(&self, command: &[&str]) -> Result<String> {
        let place = |name: &str| self.folder.join(name).into_os_string();
        let places = [
            ("--config", place("meterpost.toml")),
            ("--data-dir", place("data")),
            ("--key-file", place("machine.key")),
        ];
        let arguments = std::iter::once("meterpost".into())
            .chain(places.into_iter().flat_map(|(name, path)| [name.into(), path]))
            .chain(command.iter().map(Into::into));
        let invocation = match meterpost::cli::parse(arguments) {
            Ok(invocation) => invocation,
            Err(meterpost::cli::NoInvocation::Told(why)) => bail!("{why}"),
            Err(meterpost::cli::NoInvocation::Wrong(why)) => bail!("{why}"),
        };
        let mut out = Vec::new();
        match meterpost::run::perform(&invocation, &mut out) {
            Ok(Exit::Done) => Ok(String::from_utf8_lossy(&out).into_owned()),
            Ok(exit) => bail!("`meterpost {}` ended with {}", command.join(" "), exit.number()),
            Err(why) => bail!("`meterpost {}`: {why}", command[0]),
        }
    }
}

/// What is not as it must be, in plain words; none when all is well.
fn faults(placed: &[Placed], stored: &central::Stored, seen: &simulator::tally::Tally) -> Vec<String> {
    let mut faults = Vec::new();
    for one in placed {
        let address = one.printer.address;
        match (&one.counters, stored.devices.get(&address)) {
            (None, None) => {}
            (None, Some(_)) => faults.push(format!("{address} ({}) is stored and should not be", one.recording)),
            (Some(_), None) => faults.push(format!("{address} ({}) is not stored", one.recording)),
            (Some(counters), Some(device)) => faults.extend(counters.iter().filter_map(|(key, expected)| {
                let found = device.counters.get(key);
                (found != Some(expected)).then(|| {
                    let found = found.map_or("nothing".to_owned(), u64::to_string);
                    format!("{address} ({}): {key} is {expected}, stored is {found}", one.recording)
                })
            })),
        }
    }
    if stored.batches == 0 || stored.missing > 0 {
        faults.push(format!("{} batches are stored and {} are missing", stored.batches, stored.missing));
    }
    let total = seen.total();
    if total.sets > 0 {
        faults.push(format!("{} SETs were sent", total.sets));
    }
    faults
}
