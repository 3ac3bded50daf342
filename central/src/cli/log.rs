//! What is told to standard error while a command runs.

use std::io;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

pub(super) fn to_stderr(quiet: bool, verbose: u8, format: Format) {
    let level = match (quiet, verbose) {
        (true, _) => tracing::Level::ERROR,
        (false, 0) => tracing::Level::INFO,
        (false, 1) => tracing::Level::DEBUG,
        (false, _) => tracing::Level::TRACE,
    };
    // At its finest the IMAP library tells every byte that it sends, the password too.
    let filter = Targets::new().with_default(level).with_target("async_imap", tracing::Level::ERROR);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let log = tracing_subscriber::registry().with(filter);
    // A second call in one process (tests) keeps the first.
    let _ = match format {
        Format::Text => log.with(layer.with_ansi(false)).try_init(),
        Format::Json => log.with(layer.json()).try_init(),
    };
}
