//! The arguments as clap takes them. Every level has an example in its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::access::AccessArguments;
use super::pmd::{PmdVerb, RecordArguments};
use super::{Access, Command, Failure, Invocation, OpenWith, Outbox, Run, Scan, TokenSource};
use crate::config::Places;
use crate::install::Unit;

/// Reads printer fleets over SNMP and pushes sealed readings outbound only
#[derive(Debug, Parser)]
#[command(
    name = "meterpost",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Example: meterpost scan 192.168.1.0/24"
)]
pub struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", env = "METERPOST_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The folder of store and outbox
    #[arg(long, global = true, value_name = "DIR", env = "METERPOST_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// The machine key, made at first need beside the configuration
    #[arg(long, global = true, value_name = "FILE", env = "METERPOST_KEY_FILE", hide_env_values = true)]
    key_file: Option<PathBuf>,
    /// How the log on stderr is written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Only errors, and no progress bar
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more; twice for debugging
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people, in local time
    Text,
    /// One JSON object a line, in UTC
    Json,
}

/// How a scan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// One row for each printer
    Csv,
    /// The `Devices` element as it would stand in a batch
    Xml,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Sweep and read now, without any configuration, and print what was found
    #[command(
        after_help = "Examples:\n  meterpost scan 192.168.1.0/24\n  meterpost scan 10.0.0.10-10.0.0.40 --community office --format json\n  meterpost scan @branches.txt --v3 ann:SHA:auth-secret:AES:priv-secret --plan"
    )]
    Scan(ScanArguments),
    /// The scheduled job: read, seal, and deliver; stays and keeps the schedule unless told `--once`
    #[command(after_help = "Example: meterpost run --once --read-only")]
    Run(RunArguments),
    /// Mapping files: which objects of a printer hold which number
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: meterpost pmd list")]
    Pmd(PmdVerb),
    /// Record a device to a file, for `pmd draft` and `pmd test`; serial numbers, names and addresses are replaced
    #[command(
        after_help = "Examples:\n  meterpost record 192.168.1.40 -o acme-500.snmprec\n  meterpost record 192.168.1.40 -o acme-500.snmprec --community office --raw"
    )]
    Record(RecordArguments),
    /// Take the central's address and the site's keys from an enrolment token; needs no network
    #[command(after_help = "Examples:\n  meterpost enroll --file office.token\n  meterpost enroll - < office.token")]
    Enroll {
        /// The token, `mp1.…`; `-` reads it from standard input
        #[arg(value_name = "TOKEN", required_unless_present = "file", conflicts_with = "file")]
        token: Option<String>,
        /// Read it from a file
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Read now and print the XML that the next batch would carry, after the field policy; nothing is sent or kept
    ///
    /// What takes several batches is one line for each of them.
    #[command(after_help = "Example: meterpost preview | head -n 1 | xmllint --format - | less")]
    Preview,
    /// How the queue and its channels stand, and what to look at
    #[command(after_help = "Example: meterpost status")]
    Status,
    /// Look into the queue of sealed batches and act on it
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: meterpost outbox list")]
    Outbox(OutboxVerb),
    /// Print what is inside a captured batch, byte for byte
    #[command(
        after_help = "Examples:\n  meterpost open captured.jwe\n  meterpost open captured.jwe --token office.token"
    )]
    Open {
        /// A file with the token; `-` is standard input
        file: PathBuf,
        /// Open with the keys of an enrolment token
        #[arg(long, value_name = "FILE", conflicts_with = "jwk")]
        token: Option<PathBuf>,
        /// Open with a JWK
        #[arg(long, value_name = "FILE")]
        jwk: Option<PathBuf>,
    },
    /// The site's keys
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: meterpost key export --epoch 1")]
    Key(KeyVerb),
    /// Print what to register, so that meterpost runs by itself
    #[command(
        after_help = "Examples:\n  meterpost install --print systemd > /etc/systemd/system/meterpost.service\n  meterpost install --print cron > /etc/cron.d/meterpost"
    )]
    Install {
        /// For which scheduler
        #[arg(long, value_name = "KIND")]
        print: Unit,
    },
    /// The configuration file
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example: meterpost config example > /etc/meterpost/meterpost.toml"
    )]
    Config(ConfigVerb),
}

#[derive(Debug, Args)]
struct ScanArguments {
    /// Address, CIDR, range `a-b`, host name, or `@file` with one on each line
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    #[command(flatten)]
    access: AccessArguments,
    /// Never ask these; written like targets
    #[arg(long, value_name = "TARGET")]
    exclude: Vec<String>,
    /// Packets a second; 0 is as fast as can be [default: 2000, and 256 into a subnet that this host is in]
    #[arg(long, value_name = "PPS", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    rate: Option<u32>,
    /// Further passes over what is silent; from 2 on the last one is the slow one
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(..=10))]
    retries: u32,
    /// How to print
    #[arg(long, default_value = "table")]
    format: Format,
    /// List the silent addresses too
    #[arg(long)]
    verdicts: bool,
    /// Find printers, do not read them
    #[arg(long)]
    sweep_only: bool,
    /// Say how many packets and seconds it would take, and send nothing
    #[arg(long)]
    plan: bool,
    /// A folder of mapping files that come before the built-in ones
    #[arg(long, value_name = "DIR")]
    pmd_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// One full pass, then the end
    #[arg(long)]
    once: bool,
    /// Only what the schedule says is due; for schedulers that start this often
    #[arg(long, requires = "once")]
    due: bool,
    /// Gather and seal, deliver nothing
    #[arg(long, conflicts_with = "deliver_only")]
    read_only: bool,
    /// Deliver what waits, ask no printer
    #[arg(long)]
    deliver_only: bool,
}

#[derive(Debug, Subcommand)]
enum OutboxVerb {
    /// One line for each batch
    #[command(after_help = "Example: meterpost outbox list")]
    List,
    /// Open a batch and print its bytes as they are
    #[command(
        after_help = "Examples:\n  meterpost outbox show 41 | xmllint --format -\n  meterpost outbox show 41 --receipt"
    )]
    Show {
        /// Its sequence, as `outbox list` has it
        #[arg(value_name = "SEQ")]
        sequence: u64,
        /// Print what the central signed about it instead
        #[arg(long)]
        receipt: bool,
    },
    /// Deliver now what waits
    #[command(after_help = "Example: meterpost outbox send")]
    Send,
    /// Let batches wait for delivery once more, whatever became of them before
    #[command(
        after_help = "Examples:\n  meterpost outbox resend 38..40\n  meterpost outbox resend 41\n  meterpost outbox resend C162-SC62"
    )]
    Resend {
        /// The first and the last sequence, both included; or the re-send code that the central printed
        #[arg(value_name = "A..B|CODE", value_parser = asked_again)]
        again: Outbox,
    },
    /// Let a batch that was set aside wait for delivery once more
    #[command(after_help = "Example: meterpost outbox retry 41")]
    Retry {
        /// Its sequence
        #[arg(value_name = "SEQ")]
        sequence: u64,
    },
    /// End a batch for good; the next one tells the central that it will not come, unless it has been delivered
    #[command(after_help = "Example: meterpost outbox delete 41")]
    Delete {
        /// Its sequence
        #[arg(value_name = "SEQ")]
        sequence: u64,
    },
    /// Write what waits into a folder, as `<site>-<sequence>.jwe` with a manifest, to be carried to the central; these batches
    /// are handed over then
    #[command(after_help = "Example: meterpost outbox export /media/stick")]
    Export {
        /// The folder, which must be there
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// How old is what waits or was handed over, by channel
    #[command(after_help = "Example: meterpost outbox age")]
    Age,
    /// Prove that every batch is whole
    #[command(after_help = "Example: meterpost outbox check")]
    Check,
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    /// Print the batch key as a JWK, so that a stock JOSE library opens captured batches
    #[command(after_help = "Example: meterpost key export --epoch 1 > batch-key.jwk")]
    Export {
        /// Of this epoch [default: the current one]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        epoch: Option<u32>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Print the commented default configuration
    #[command(after_help = "Example: meterpost config example > /etc/meterpost/meterpost.toml")]
    Example,
    /// Say what is wrong with the configuration, with lines
    #[command(after_help = "Example: meterpost config check new.toml")]
    Check {
        /// Another file than the one in use
        file: Option<PathBuf>,
    },
}

impl Arguments {
    /// Arguments that contradict are refused here; clap has checked the rest.
    pub fn into_invocation(self) -> Result<Invocation, Failure> {
        let global = self.global;
        let verbosity = if global.quiet { -1 } else { i8::try_from(global.verbose).unwrap_or(i8::MAX) };
        Ok(Invocation {
            places: Places::new(global.config, global.data_dir, global.key_file),
            log_format: global.log_format,
            verbosity,
            command: self.command.into_command()?,
        })
    }
}

impl Verb {
    fn into_command(self) -> Result<Command, Failure> {
        Ok(match self {
            Self::Scan(scan) => Command::Scan(scan.into_scan()?),
            Self::Run(run) => {
                Command::Run(Run { once: run.once, due: run.due, read: !run.deliver_only, deliver: !run.read_only })
            }
            Self::Enroll { token, file } => Command::Enroll(match (token, file) {
                (_, Some(file)) => TokenSource::File(file),
                (Some(dash), None) if dash == "-" => TokenSource::Stdin,
                (token, None) => TokenSource::Text(token.unwrap_or_default()),
            }),
            Self::Pmd(verb) => verb.into_command()?,
            Self::Record(record) => record.into_command()?,
            Self::Preview => Command::Preview,
            Self::Outbox(OutboxVerb::List) => Command::Outbox(Outbox::List),
            Self::Outbox(OutboxVerb::Show { sequence, receipt: true }) => Command::Outbox(Outbox::Receipt(sequence)),
            Self::Outbox(OutboxVerb::Show { sequence, .. }) => Command::Outbox(Outbox::Show(sequence)),
            Self::Outbox(OutboxVerb::Send) => Command::Outbox(Outbox::Send),
            Self::Outbox(OutboxVerb::Resend { again }) => Command::Outbox(again),
            Self::Outbox(OutboxVerb::Export { directory }) => Command::Outbox(Outbox::Export(directory)),
            Self::Outbox(OutboxVerb::Age) => Command::Outbox(Outbox::Age),
            Self::Status => Command::Status,
            Self::Outbox(OutboxVerb::Retry { sequence }) => Command::Outbox(Outbox::Resend(sequence, sequence)),
            Self::Outbox(OutboxVerb::Delete { sequence }) => Command::Outbox(Outbox::Delete(sequence)),
            Self::Outbox(OutboxVerb::Check) => Command::Outbox(Outbox::Check),
            Self::Open { file, token, jwk } => Command::Open {
                file,
                key: match (token, jwk) {
                    (Some(token), _) => OpenWith::Token(token),
                    (None, Some(jwk)) => OpenWith::Jwk(jwk),
                    (None, None) => OpenWith::Site,
                },
            },
            Self::Key(KeyVerb::Export { epoch }) => Command::KeyExport { epoch },
            Self::Install { print } => Command::InstallPrint(print),
            Self::Config(ConfigVerb::Example) => Command::ConfigExample,
            Self::Config(ConfigVerb::Check { file }) => Command::ConfigCheck { file },
        })
    }
}

impl ScanArguments {
    fn into_scan(self) -> Result<Scan, Failure> {
        if self.sweep_only && self.format == Format::Xml {
            return Err(Failure::usage("`--sweep-only` reads nothing that `--format xml` could show")
                .hint("`table`, `json` and `csv` list what was found"));
        }
        let devices_only = self.format == Format::Xml || self.format == Format::Csv && !self.sweep_only;
        if self.verdicts && devices_only {
            return Err(Failure::usage(
                "`--verdicts` has no place in this `--format`: it has a row for each printer alone",
            )
            .hint("`table` and `json` list the silent addresses, and with `--sweep-only` `csv` does too"));
        }
        let Access { credentials, credential_names, port, timeout } = self.access.into_access()?;
        Ok(Scan {
            targets: self.targets,
            exclude: self.exclude,
            credentials,
            credential_names,
            port,
            rate: self.rate,
            timeout,
            retries: self.retries,
            format: self.format,
            verdicts: self.verdicts,
            sweep_only: self.sweep_only,
            plan: self.plan,
            pmd_dir: self.pmd_dir,
        })
    }
}

/// `38..40`, `41` for one, or a code: that begins with a letter.
fn asked_again(text: &str) -> Result<Outbox, String> {
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Ok(Outbox::ResendCode(text.to_owned()));
    }
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let range = from.parse().ok().zip(to.parse().ok()).filter(|(from, to)| from <= to);
    let (from, to) = range.ok_or_else(|| "`38..40`, `41` or a re-send code would be right".to_owned())?;
    Ok(Outbox::Resend(from, to))
}
