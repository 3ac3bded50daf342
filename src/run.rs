//! Puts it together: each command, from what was asked to what is printed; one run; the daemon; shutdown.
//!
//! Nothing but `main` may use this module. What is decided is decided elsewhere, in pure code; here files are opened,
//! the clock is asked, tasks are started, and errors get their exit code.

mod author;
mod daemon;
mod device;
mod once;
mod packs;
mod plans;
mod queue;
mod read;
mod record;
mod scan;
mod send;
mod signal;
mod status;
mod world;

use std::io::{self, Write};
use std::path::Path;

use crate::cli::{Command, Exit, Failure, Invocation, Outbox};
use crate::config::{Config, ConfigError, EXAMPLE};
use crate::install;
use crate::packs::shelf::Shelf;
use crate::pmd::Library;
use crate::site::SiteError;

/// Does what was asked; results go to `out`.
pub fn perform(invocation: &Invocation, out: &mut dyn Write) -> Result<Exit, Failure> {
    let places = &invocation.places;
    match &invocation.command {
        Command::Scan(orders) => scan::scan(orders, invocation, out),
        Command::Record(orders) => record::record(orders, invocation, out),
        Command::Pmd(orders) => author::pmd(orders, invocation, out),
        Command::Run(run) if run.once => once::run(*run, invocation, out),
        Command::Run(run) => daemon::run(*run, invocation),
        Command::Preview => once::preview(invocation, out),
        Command::Enroll(source) => queue::enroll(places, source, out),
        Command::Outbox(Outbox::List) => queue::list(places, out),
        Command::Outbox(Outbox::Show(sequence)) => queue::show(places, *sequence, out),
        Command::Outbox(Outbox::Receipt(sequence)) => queue::receipt(places, *sequence, out),
        Command::Outbox(Outbox::Send) => once::send(invocation, out),
        Command::Outbox(Outbox::Resend(from, to)) => queue::resend(places, *from, *to, out),
        Command::Outbox(Outbox::ResendCode(code)) => queue::resend_code(places, code, out),
        Command::Outbox(Outbox::Export(directory)) => once::export(invocation, directory, out),
        Command::Outbox(Outbox::Age) => queue::age(places, out),
        Command::Status => status::status(invocation, out),
        Command::Outbox(Outbox::Delete(sequence)) => queue::delete(places, *sequence, out),
        Command::Outbox(Outbox::Check) => queue::check(places, out),
        Command::Open { file, key } => queue::open(places, file, key, out),
        Command::KeyExport { epoch } => queue::export_key(places, *epoch, out),
        Command::InstallPrint(unit) => print(out, install::unit(*unit)),
        Command::ConfigExample => print(out, EXAMPLE),
        Command::ConfigCheck { file } => {
            let path = file.as_ref().unwrap_or(&places.config);
            let config = configuration(path)?;
            // what only the enrolment knows, once there is one
            if let Ok(site) = queue::site(places) {
                send::check(&site, &config)?;
            }
            print(out, &format!("`{}` is right\n", path.display()))
        }
    }
}

/// Prints a result. A reader that has gone away (`| head`) is no failure.
fn print(out: &mut dyn Write, text: &str) -> Result<Exit, Failure> {
    print_bytes(out, text.as_bytes())
}

fn print_bytes(out: &mut dyn Write, bytes: &[u8]) -> Result<Exit, Failure> {
    told(out.write_all(bytes).and_then(|()| out.flush()))
}

fn told(written: io::Result<()>) -> Result<Exit, Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write the result: {error}")))
        }
        _ => Ok(Exit::Done),
    }
}

/// The configuration of a command that cannot do without.
fn configuration(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|error| {
        let missing = matches!(error, ConfigError::Unreadable { .. }) && !path.exists();
        let failure = Failure::usage(error);
        if missing {
            failure.hint("`meterpost config example` prints one to start from; `--config` names another place")
        } else {
            failure
        }
    })
}

/// The mapping files in use: of the pack in the data directory over those of the program. With a folder, its files over those
/// of the program alone. Faults of single files are told and leave the rest.
fn library(folder: Option<&Path>, data: &Path) -> Result<Library, Failure> {
    let Some(folder) = folder else {
        let (library, trouble) = Shelf::of(data).library();
        if let Some(trouble) = trouble {
            tracing::info!("the mapping files inside the program are used: {trouble}");
        }
        return Ok(library);
    };
    let library = Library::load(folder)
        .map_err(|error| Failure::usage(format!("cannot read `--pmd-dir {}`: {error}", folder.display())))?;
    for fault in &library.faults {
        tracing::warn!("{fault}");
    }
    Ok(library)
}

/// The exit code and the next step for what went wrong with the site's store, keys and queue.
fn failed(error: SiteError) -> Failure {
    let exit = match error.exit_code() {
        2 => Exit::Usage,
        4 => Exit::Locked,
        _ => Exit::Failed,
    };
    let hint = match &error {
        SiteError::Outbox(crate::outbox::OutboxError::Unknown(_)) => Some("`meterpost outbox list` shows the numbers"),
        SiteError::Lock(_) => Some("wait for it to end; a lock goes away with its process"),
        _ => None,
    };
    Failure { exit, what: error.to_string(), hint: hint.map(str::to_owned) }
}

/// A runtime of one thread: a thousand devices wait, they do not compute.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))
}
