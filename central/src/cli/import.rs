//! `import`: batches from files, mail and standard input.

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::{CommandError, Done, existing_store};
use crate::clock;
use crate::config::{Config, ConfigError};
use crate::import::imap::ImapError;
use crate::import::{Outcome, Summary, imap, paths, source};

/// `EX_TEMPFAIL`: what a mail server's pipe takes for "keep the message and try again".
pub const TRY_AGAIN: u8 = 75;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Files with a batch, mail messages, directories with all in them, Maildirs (their new messages), mboxes; `-` is
    /// standard input
    #[arg(value_name = "PATH", required_unless_present = "imap")]
    paths: Vec<PathBuf>,
    /// Empty the configured mailbox once
    #[arg(long, conflicts_with = "paths")]
    imap: bool,
    /// Exit codes for a mail server's pipe: 0 = the message is taken care of, batch or not; 75 = keep it and try again
    #[arg(long)]
    pub(super) mta: bool,
}

/// Imports, and tells what could not be.
pub(super) async fn run(config: Result<Config, ConfigError>, import: Import) -> Result<Done, CommandError> {
    let config = config?;
    if import.imap {
        return run_imap(&config, import.mta).await;
    }
    let there = |path: &PathBuf| path.as_os_str() == "-" || path.exists();
    if !import.paths.iter().any(there) {
        let name = import.paths.first().map(|path| path.display().to_string()).unwrap_or_default();
        return Err(CommandError::Usage(format!("there is no file or directory `{name}`")));
    }
    let store = existing_store(&config).await?;
    let bar = bar(&import.paths);
    let summary = paths::import(&store, import.paths, clock::now, &mut |name, what| tell(&bar, name, what)).await;
    bar.finish_and_clear();
    let summary = summary.map_err(|error| {
        CommandError::Work(format!("{error}; what was stored before stays, and the same import may be started again"))
    })?;
    super::print(|out| writeln!(out, "{}", summary.line()))?;
    Ok(done(&summary, import.mta))
}

async fn run_imap(config: &Config, mta: bool) -> Result<Done, CommandError> {
    let imap = config.imap.as_ref().ok_or_else(|| {
        CommandError::Usage("no mailbox is configured: `host` and `user` under `[imap]` name one".to_owned())
    })?;
    let store = existing_store(config).await?;
    let hidden = ProgressBar::hidden();
    let told = &mut |name: &str, what: Result<&Outcome, &str>| tell(&hidden, name, what);
    let summary = imap::poll(&store, imap, clock::now, told).await;
    let summary = summary.map_err(|error| match error {
        ImapError::LogIn(_) => CommandError::Usage(error.to_string()),
        other => CommandError::Work(format!("{other}; what was stored before stays, and the next time goes on")),
    })?;
    super::print(|out| writeln!(out, "{}", summary.line()))?;
    Ok(done(&summary, mta))
}

/// A mail server is to try again only what was not kept; what is in quarantine is taken care of.
fn done(summary: &Summary, mta: bool) -> Done {
    match (mta, summary.is_whole()) {
        (true, _) if summary.left > 0 => Done::TryAgain,
        (true, _) | (false, true) => Done::Whole,
        (false, false) => Done::InPart,
    }
}

fn tell(bar: &ProgressBar, name: &str, what: Result<&Outcome, &str>) {
    let line = match what {
        Ok(Outcome::Stored { .. }) => None,
        Ok(Outcome::Held { reasons, .. }) => Some(format!("`{name}`: kept in quarantine: {}", reasons.join("; "))),
        Ok(Outcome::Without(without)) => Some(format!("`{name}`: no batch: {without}")),
        Ok(Outcome::Left(why)) => Some(format!("`{name}`: {why}")),
        Err(why) => Some(format!("`{name}`: {why}")),
    };
    if let Some(line) = line {
        bar.suspend(|| eprintln!("warning: {line}"));
    }
    if bar.length().is_some_and(|length| length <= bar.position()) {
        // messages of an mbox are not counted before
        bar.inc_length(1);
    }
    bar.inc(1);
}

/// Shown where somebody looks at a terminal, and there are enough files to wait for.
fn bar(paths: &[PathBuf]) -> ProgressBar {
    const FEW: u64 = 200;
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let files = paths.iter().map(|path| source::count(path)).sum();
    if files < FEW {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} files, {rate}, {eta} left");
    let bar = ProgressBar::new(files);
    match style {
        Ok(style) => bar.with_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // a line that cannot be written is drawn again
            let _ = write!(out, "{:.0}/s", state.per_sec());
        })),
        Err(_) => bar,
    }
}
