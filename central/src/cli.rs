//! The command line: arguments to a command, a command to its exit code. Results go to standard output, everything else to
//! standard error; the exit codes are those of CONTRACT 1.

mod enrol;
mod gaps;
mod import;
mod log;
mod pack;
mod quarantine;
mod site;

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;
use tokio::net::TcpListener;

use pack::Pack;

use crate::config::{Config, ConfigError, Overrides, Secret};
use crate::export::{self, ExportError, Format, Wanted};
use crate::sites::SiteError;
use crate::store::{Store, StoreError};
use crate::{StartError, accept, auth, clock, open, open_store};

/// Receives the sealed batches of meterpost collectors, shows and exports what they say.
#[derive(Debug, Parser)]
#[command(
    name = "meterpost-central",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Example:\n  meterpost-central site add \"Head office\" --central https://central.example\n  meterpost-central serve --listen 0.0.0.0:8443 --tls-cert chain.pem --tls-key key.pem\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done in part."
)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Common {
    /// Configuration file [default: /etc/meterpost/central.toml]
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        value_name = "FILE",
        env = "METERPOST_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    /// Where the store lies [default: /var/lib/meterpost-central]
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        value_name = "DIR",
        env = "METERPOST_DATA_DIR",
        hide_env_values = true
    )]
    data_dir: Option<PathBuf>,
    /// The machine key [default: machine.key beside the configuration]
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        value_name = "FILE",
        env = "METERPOST_KEY_FILE",
        hide_env_values = true
    )]
    key_file: Option<PathBuf>,
    /// Only errors in the log
    #[arg(short, long, global = true, help_heading = "Everywhere", conflicts_with = "verbose")]
    quiet: bool,
    /// More in the log; twice for everything
    #[arg(short, long, global = true, help_heading = "Everywhere", action = clap::ArgAction::Count)]
    verbose: u8,
    /// How the log is written
    #[arg(long, global = true, help_heading = "Everywhere", value_enum, default_value = "text")]
    log_format: log::Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive, show and export, until it is told to end
    #[command(after_help = "Example:\n  meterpost-central serve --listen 127.0.0.1:8099\n  \
                            meterpost-central serve --listen 0.0.0.0:8443 --tls-cert chain.pem --tls-key key.pem")]
    Serve(Serve),
    /// Sites, their keys and enrolment tokens
    #[command(
        subcommand,
        after_help = "Example:\n  meterpost-central site add \"Head office\" --central https://central.example"
    )]
    Site(site::Site),
    /// Write what is stored to standard output
    #[command(
        subcommand,
        after_help = "Example:\n  meterpost-central export readings --from 2026-11-01 --to 2026-12-01 > november.csv"
    )]
    Export(Export),
    /// Compare every stored token with its hash, open every sealed row and check the database; derive everything again
    #[command(after_help = "Example:\n  meterpost-central check\n  meterpost-central check --rederive\n\n\
                            --rederive is one transaction. `serve` may go on beside it: its pages show what was there before, \
                            and sites that send batches meanwhile are told to come back.")]
    Check {
        /// Drop what is derived and make it again from the stored tokens
        #[arg(long)]
        rederive: bool,
    },
    /// Take in batches from files and mail, in any order and however often
    #[command(after_help = "Example:\n  meterpost-central import /media/stick\n  \
                            meterpost-central import ~/Maildir archive.mbox message.eml\n  \
                            meterpost-central import --mta - < message.eml\n\n\
                            What cannot be taken is kept in quarantine and told, and the rest goes on (exit code 3).")]
    Import(import::Import),
    /// What is missing of each site, late, void, forked; what it costs, and the code that brings it back
    #[command(
        after_help = "Example:\n  meterpost-central gaps\n  meterpost-central gaps \"Head office\" --format json\n  \
                            meterpost-central gaps \"Head office\" --take-note 41 --remark \"the old machine is gone\"\n\n\
                            Alert events are counted as lost at least: one that began and ended within a gap leaves no trace."
    )]
    Gaps(gaps::Gaps),
    /// What could not be taken: look into it, and try again after a fix
    #[command(
        subcommand,
        after_help = "Example:\n  meterpost-central quarantine list\n  \
                                        meterpost-central quarantine reimport"
    )]
    Quarantine(quarantine::Quarantine),
    /// Packs of mapping files
    #[command(subcommand, after_help = "Example:\n  meterpost-central pack publish meterpost-pmd-12.zip")]
    Pack(Pack),
    /// People who may log in
    #[command(subcommand, after_help = "Example:\n  meterpost-central user passwd admin < password.txt")]
    User(User),
}

#[derive(Debug, Args)]
struct Serve {
    /// Address and port [default: 127.0.0.1:8099]; without TLS only a loopback address
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Certificate chain, PEM
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// File with the password of the administrator made at the first start, or METERPOST_CENTRAL_ADMIN_PASSWORD; without
    /// one it is invented, and told to the terminal or written to `initial-password` beside the configuration
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Export {
    /// One row for each device, as it stands now
    #[command(after_help = "Example:\n  meterpost-central export devices --format json")]
    Devices(ExportArguments),
    /// One row for each reading with its counters. Vendor, model and serial number are those of that reading
    #[command(after_help = "Example:\n  meterpost-central export readings --site \"Head office\" --from 2026-11-01")]
    Readings(ExportArguments),
}

#[derive(Debug, Args)]
struct ExportArguments {
    /// How rows are written
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// Only this site, by name or id
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Readings from this day or instant on (`2026-11-01`, `2026-11-01T06:00:00Z`)
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    from: Option<Timestamp>,
    /// Readings before this day or instant
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    to: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
enum User {
    /// Set a password, read from standard input; ends all sessions and every lock
    #[command(after_help = "Example:\n  meterpost-central user passwd admin < password.txt")]
    Passwd {
        /// The account: `admin` is the one made at the first start
        name: String,
    },
}

/// How a command ended badly.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// Exit 2: usage or configuration.
    #[error("{0}")]
    Usage(String),
    /// Exit 1: the work.
    #[error("{0}")]
    Work(String),
}

/// How a command ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// Exit 0.
    Whole,
    /// Exit 3.
    InPart,
    /// Exit 75: `import --mta` alone.
    TryAgain,
}

/// Runs the command of these arguments and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => match later(&error) {
            Some(word) => {
                eprintln!("error: this version has no `{word}` yet: a later one has it; `--help` lists what there is");
                return 2;
            }
            // help and the version go to standard output and are no failure
            None => {
                let _ = error.print();
                return if error.use_stderr() { 2 } else { 0 };
            }
        },
    };
    let common = &arguments.common;
    log::to_stderr(common.quiet, common.verbose, common.log_format);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return 1;
        }
    };
    // A mail server gives a message back to its sender for any other code than this; it has to keep it.
    let mta = matches!(&arguments.command, Command::Import(import) if import.mta);
    match runtime.block_on(dispatch(arguments)) {
        Ok(Done::Whole) => 0,
        Ok(Done::InPart) => 3,
        Ok(Done::TryAgain) => import::TRY_AGAIN,
        Err(error) => {
            eprintln!("error: {error}");
            if mta {
                return import::TRY_AGAIN;
            }
            if matches!(error, CommandError::Usage(_)) { 2 } else { 1 }
        }
    }
}

/// What is planned and not there yet (CONTRACT 1): somebody who read of it has not mistyped.
const LATER: [&str; 12] = [
    "backup",
    "restore",
    "purge",
    "add",
    "list",
    "lock",
    "unlock",
    "remove",
    "meters",
    "supplies",
    "alerts",
    "--customer",
];

/// The planned command or option that was asked for.
fn later(error: &clap::Error) -> Option<&'static str> {
    let asked =
        [ContextKind::InvalidSubcommand, ContextKind::InvalidArg].into_iter().find_map(|kind| error.get(kind))?;
    let ContextValue::String(word) = asked else { return None };
    LATER.into_iter().find(|later| word == later)
}

async fn dispatch(arguments: Arguments) -> Result<Done, CommandError> {
    let Arguments { common, command } = arguments;
    let mut overrides = Overrides {
        config: common.config,
        data_dir: common.data_dir,
        key_file: common.key_file,
        admin_password: secret_of("METERPOST_CENTRAL_ADMIN_PASSWORD"),
        imap_password: secret_of("METERPOST_CENTRAL_IMAP_PASSWORD"),
        imap_client_secret: secret_of("METERPOST_CENTRAL_IMAP_CLIENT_SECRET"),
        ..Overrides::default()
    };
    match command {
        Command::Serve(serve) => {
            overrides.listen = serve.listen;
            overrides.tls_cert = serve.tls_cert;
            overrides.tls_key = serve.tls_key;
            overrides.admin_password_file = serve.admin_password_file;
            run_serve(Config::load(overrides)?).await
        }
        Command::Site(site) => site::run(&Config::load(overrides)?, site).await,
        Command::Export(export) => run_export(&Config::load(overrides)?, export).await,
        Command::Check { rederive } => run_check(&Config::load(overrides)?, rederive).await,
        Command::Import(import) => import::run(Config::load(overrides), import).await,
        Command::Gaps(arguments) => gaps::run(&Config::load(overrides)?, arguments).await,
        Command::Quarantine(command) => quarantine::run(&Config::load(overrides)?, command).await,
        Command::Pack(pack) => pack.run(&Config::load(overrides)?),
        Command::User(User::Passwd { name }) => run_passwd(&Config::load(overrides)?, &name).await,
    }
}

fn secret_of(variable: &str) -> Option<Secret> {
    std::env::var(variable).ok().map(Secret::new)
}

async fn run_serve(config: Config) -> Result<Done, CommandError> {
    // A certificate that cannot be used is told before anybody is told where to come.
    if let Some(files) = &config.tls {
        crate::serve::acceptor(files).map_err(StartError::from)?;
    }
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| CommandError::Work(format!("cannot listen on `{}`: {error}", config.listen)))?;
    crate::serve(config, listener, told_to_end()).await?;
    tracing::info!("ended");
    Ok(Done::Whole)
}

/// Resolves at Ctrl-C, and on Unix at SIGTERM.
async fn told_to_end() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminated) = signal(SignalKind::terminate()) else { return interrupted.await };
        tokio::select! {
            () = interrupted => {}
            _ = terminated.recv() => {}
        }
    }
    #[cfg(not(unix))]
    interrupted.await;
}

async fn run_export(config: &Config, export: Export) -> Result<Done, CommandError> {
    let (Export::Devices(arguments) | Export::Readings(arguments)) = &export;
    let store = existing_store(config).await?;
    let site = match &arguments.site {
        None => None,
        Some(name) => {
            let found = store.site(name.clone(), clock::now()).await?;
            Some(found.ok_or_else(|| CommandError::Usage(SiteError::Unknown(name.clone()).to_string()))?.id.to_string())
        }
    };
    let wanted = Wanted { site, from: arguments.from, to: arguments.to };
    let mut out = BufWriter::new(io::stdout());
    let written = match &export {
        Export::Devices(_) => export::devices(&store, &wanted, arguments.format, &mut out).await,
        Export::Readings(_) => export::readings(&store, &wanted, arguments.format, &mut out).await,
    };
    match written {
        // `export … | head` is not an error.
        Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Done::Whole),
        Err(error) => Err(CommandError::Work(error.to_string())),
        Ok(0) => Ok(Done::Whole),
        Ok(damaged) => {
            eprintln!(
                "warning: {damaged} rows are left out, for what is stored of them is damaged: run `check --rederive`"
            );
            Ok(Done::InPart)
        }
    }
}

async fn run_check(config: &Config, rederive: bool) -> Result<Done, CommandError> {
    let store = existing_store(config).await?;
    let checked = store.check(accept::digest).await?;
    print(|out| {
        writeln!(
            out,
            "{} tokens of {} bytes compared with their hashes, {} sealed rows opened",
            checked.tokens, checked.bytes, checked.rows
        )?;
        checked.faults.iter().chain(&checked.mendable).try_for_each(|fault| writeln!(out, "{fault}"))
    })?;
    if !checked.faults.is_empty() {
        return Err(CommandError::Work(format!(
            "{} faults: nothing was changed; restore the data directory from a backup",
            checked.faults.len()
        )));
    }
    if !rederive {
        return match checked.mendable.len() {
            0 => Ok(Done::Whole),
            faults => Err(CommandError::Work(format!(
                "{faults} faults in what is derived from the tokens: `check --rederive` makes it again"
            ))),
        };
    }
    let done = store
        .rederive(|keys, token| open::open(keys, token).map(|(_, content)| content).map_err(|error| error.to_string()))
        .await?;
    print(|out| {
        writeln!(out, "{} batches derived again: {} devices, {} readings", done.batches, done.devices, done.readings)?;
        done.unreadable.iter().try_for_each(|line| writeln!(out, "{line}"))
    })?;
    Ok(if done.unreadable.is_empty() { Done::Whole } else { Done::InPart })
}

async fn run_passwd(config: &Config, name: &str) -> Result<Done, CommandError> {
    let mut text = String::new();
    let read = io::stdin().take(auth::PASSWORD_MAX as u64 + 3).read_to_string(&mut text);
    read.map_err(|error| CommandError::Usage(format!("cannot read the password from standard input: {error}")))?;
    let password = Secret::new(text.trim_end_matches(['\r', '\n']).to_owned());
    let store = open_store(config).await?;
    if name != auth::ADMINISTRATOR && store.password_hash(name.to_owned()).await?.is_none() {
        return Err(CommandError::Usage(format!("there is no account `{name}`: `{}` is the one", auth::ADMINISTRATOR)));
    }
    auth::set_password(&store, name, &password).await.map_err(|error| CommandError::Usage(error.to_string()))?;
    if name == auth::ADMINISTRATOR {
        // What the first start may have written there is a password no more.
        let _ = fs::remove_file(&config.initial_password_file);
    }
    Ok(Done::Whole)
}

/// The store of commands that only look: there must be one.
async fn existing_store(config: &Config) -> Result<Store, CommandError> {
    if !Store::exists(&config.data_dir) {
        return Err(CommandError::Usage(format!(
            "there is no store in `{}`: `serve` or `site add` makes one, `--data-dir` names another place",
            config.data_dir.display()
        )));
    }
    Ok(open_store(config).await?)
}

fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), CommandError> {
    let mut out = BufWriter::new(io::stdout());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::Work(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// An instant, or the start of a day in the local zone.
fn parse_when(text: &str) -> Result<Timestamp, String> {
    let day = || text.parse::<civil::Date>().ok()?.to_zoned(TimeZone::system()).ok().map(|zoned| zoned.timestamp());
    text.parse().ok().or_else(day).ok_or_else(|| {
        "a day such as `2026-11-01` or an instant such as `2026-11-01T06:00:00Z` would be right".to_owned()
    })
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(text) => Self::Usage(text),
            other => Self::Work(other.to_string()),
        }
    }
}

impl From<StartError> for CommandError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Store(error) => error.into(),
            StartError::Key(_) | StartError::Password(auth::PasswordError::Length) => Self::Usage(error.to_string()),
            StartError::Serve(crate::ServeError::Tls { .. } | crate::ServeError::Plain(_)) => {
                Self::Usage(error.to_string())
            }
            other => Self::Work(other.to_string()),
        }
    }
}

impl From<SiteError> for CommandError {
    fn from(error: SiteError) -> Self {
        match error {
            SiteError::Store(error) => error.into(),
            other => Self::Usage(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_level_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example:"), "`{path}` has no example");
            for example in help.lines().map(str::trim).filter(|line| line.starts_with("meterpost-central ")) {
                // every second piece stands in quotes and is one word
                let typed = example.split(['<', '>']).next().unwrap_or_default().trim_end();
                let pieces = typed.split('"').enumerate().flat_map(|(at, piece)| match at % 2 {
                    0 => piece.split_whitespace().collect(),
                    _ => vec![piece],
                });
                if let Err(error) = Arguments::try_parse_from(pieces) {
                    panic!("`{example}`: {error}");
                }
            }
            command.get_subcommands().for_each(|sub| {
                check(sub, &format!("{path} {}", sub.get_name()));
            });
        }
        let command = Arguments::command();
        command.clone().debug_assert();
        check(&command, "meterpost-central");
    }

    #[test]
    fn what_a_later_version_will_have_is_not_called_a_slip_of_the_finger() {
        let later = |words: &str| later(&Arguments::try_parse_from(words.split(' ')).expect_err(words));
        assert_eq!(later("meterpost-central backup"), Some("backup"));
        assert_eq!(later("meterpost-central site purge"), Some("purge"));
        assert_eq!(later("meterpost-central user lock"), Some("lock"));
        assert_eq!(later("meterpost-central export meters"), Some("meters"));
        assert_eq!(later("meterpost-central export readings --customer acme"), Some("--customer"));
        assert_eq!(later("meterpost-central exprot"), None);
        assert_eq!(later("meterpost-central --version"), None);
    }

    #[test]
    fn days_and_instants_are_taken() {
        assert!(parse_when("2026-11-01").is_ok());
        assert_eq!(parse_when("2026-11-01T06:00:00Z"), Ok("2026-11-01T06:00:00Z".parse().expect("a time")));
        assert!(parse_when("November").is_err());
    }
}
