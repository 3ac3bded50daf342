//! The command line: arguments in, a [`Command`] out; and how a command ends.
//!
//! Results go to stdout, everything else to stderr. The exit codes are CONTRACT 1's and mean the same for every command.

mod access;
mod arguments;
pub mod log;
mod packs;
mod pmd;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue};

pub use arguments::{Format, LogFormat};
pub use packs::Packs;
pub use pmd::{ListFormat, Pmd, Record, Why};

use crate::config::Places;
use crate::install::Unit;
use crate::snmp::Credential;

/// What a person or a scheduler asked for.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Where configuration, data and key lie.
    pub places: Places,
    /// How the log is written.
    pub log_format: LogFormat,
    /// −1 for `-q`, 0, and one more for each `-v`.
    pub verbosity: i8,
    /// What to do.
    pub command: Command,
}

/// A command with its arguments checked, as far as that needs no file and no network.
#[derive(Clone, Debug)]
pub enum Command {
    /// Sweep and read now.
    Scan(Scan),
    /// The scheduled job.
    Run(Run),
    /// Mapping files.
    Pmd(Pmd),
    /// Record a device.
    Record(Record),
    /// Take address and keys of the central.
    Enroll(TokenSource),
    /// Print the XML that would be sent.
    Preview,
    /// How it stands.
    Status,
    /// Look into the queue.
    Outbox(Outbox),
    /// Print what is inside a captured batch.
    Open {
        /// The file with the token; `-` is standard input.
        file: PathBuf,
        /// Where the key comes from.
        key: OpenWith,
    },
    /// Print a batch key as a JWK.
    KeyExport {
        /// Of this epoch; absent = the current one.
        epoch: Option<u32>,
    },
    /// Print what to register with a scheduler.
    InstallPrint(Unit),
    /// Print the commented default configuration.
    ConfigExample,
    /// Say what is wrong with the configuration.
    ConfigCheck {
        /// Another file than the one in use.
        file: Option<PathBuf>,
    },
}

/// `scan`.
#[derive(Clone, Debug)]
pub struct Scan {
    /// As written.
    pub targets: Vec<String>,
    /// As written.
    pub exclude: Vec<String>,
    /// Given on the command line, in order; none and no names: `public` is tried.
    pub credentials: Vec<Credential>,
    /// Names of credentials in the configuration.
    pub credential_names: Vec<String>,
    /// UDP port.
    pub port: u16,
    /// Packets a second; absent = the sweep's own defaults, 0 = unpaced.
    pub rate: Option<u32>,
    /// First wait for an answer of a printer that is read; absent = adaptive.
    pub timeout: Option<Duration>,
    /// Further passes over what is silent.
    pub retries: u32,
    /// How to print.
    pub format: Format,
    /// Whether silent addresses are listed too.
    pub verdicts: bool,
    /// Whether printers are found and not read.
    pub sweep_only: bool,
    /// Whether only the forecast is printed.
    pub plan: bool,
    /// More mapping files.
    pub pmd_dir: Option<PathBuf>,
}

/// How to get into a device.
#[derive(Clone, Debug)]
pub struct Access {
    /// Given on the command line, in order; none and no names: `public` is tried.
    pub credentials: Vec<Credential>,
    /// Names of credentials in the configuration.
    pub credential_names: Vec<String>,
    /// UDP port.
    pub port: u16,
    /// First wait for an answer of a printer that is read; absent = adaptive.
    pub timeout: Option<Duration>,
}

/// `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// One pass, then the end.
    pub once: bool,
    /// Only what is due.
    pub due: bool,
    /// Gather and seal.
    pub read: bool,
    /// Deliver what waits.
    pub deliver: bool,
}

/// Where an enrolment token is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// The argument itself.
    Text(String),
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// `outbox …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbox {
    /// One line for each item.
    List,
    /// What is inside a token, byte for byte.
    Show(u64),
    /// What the central signed about an item.
    Receipt(u64),
    /// Deliver now.
    Send,
    /// Send items again, from the first number to the second.
    Resend(u64, u64),
    /// Send again what a re-send code names.
    ResendCode(String),
    /// Write what waits into a folder.
    Export(PathBuf),
    /// How old what is not acknowledged is.
    Age,
    /// End an item for good.
    Delete(u64),
    /// Prove every token.
    Check,
}

/// What opens a captured batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenWith {
    /// The keys of this site's data folder.
    Site,
    /// An enrolment token in a file.
    Token(PathBuf),
    /// A JWK in a file.
    Jwk(PathBuf),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing is wrong.
    Done,
    /// The work failed.
    Failed,
    /// Wrong usage or configuration.
    Usage,
    /// Some batches or files did not go through; the rest did.
    InPart,
    /// Another run holds the lock.
    Locked,
}

impl Exit {
    /// The number of CONTRACT 1.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::InPart => 3,
            Self::Locked => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// Why a command did not do its work, for the one place that prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// Lower case, without a full stop.
    pub what: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
}

impl Failure {
    /// The work failed.
    pub fn failed(what: impl fmt::Display) -> Self {
        Self { exit: Exit::Failed, what: what.to_string(), hint: None }
    }

    /// The person asked for something that cannot be meant.
    pub fn usage(what: impl fmt::Display) -> Self {
        Self { exit: Exit::Usage, what: what.to_string(), hint: None }
    }

    /// The same with a next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Why there is nothing to do: a question for help, which is answered, or arguments that cannot be meant.
#[derive(Debug)]
pub enum NoInvocation {
    /// Help, version and wrong usage, told by the argument parser.
    Told(clap::Error),
    /// Arguments that parse and contradict.
    Wrong(Failure),
}

/// The arguments of this process.
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Invocation, NoInvocation> {
    let arguments = arguments::Arguments::try_parse_from(arguments).map_err(|error| match later(&error) {
        Some(word) => {
            let failure = Failure::usage(format!("this version has no `{word}` yet"));
            NoInvocation::Wrong(failure.hint("a later one has it; `--help` lists what there is"))
        }
        None => NoInvocation::Told(error),
    })?;
    arguments.into_invocation().map_err(NoInvocation::Wrong)
}

/// Commands that are planned and not there yet (CONTRACT 1): somebody who read of one has not mistyped.
const LATER: [&str; 4] = ["doctor", "bundle", "ui", "uninstall"];

/// The planned command that was asked for.
fn later(error: &clap::Error) -> Option<&'static str> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    LATER.into_iter().find(|later| *later == word)
}
