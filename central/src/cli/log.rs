//! What is told to standard error while a command runs: in local time for people and in UTC for programs.

use std::fmt;
use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

pub(super) fn to_stderr(quiet: bool, verbose: u8, format: Format) {
    let level = match (quiet, verbose) {
        (true, _) => Level::ERROR,
        (false, 0) => Level::INFO,
        (false, 1) => Level::DEBUG,
        (false, _) => Level::TRACE,
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let log = tracing_subscriber::registry().with(told(level));
    // A second call in one process (tests) keeps the first.
    let _ = match format {
        Format::Text => log.with(layer.with_ansi(false).with_timer(Local)).try_init(),
        Format::Json => log.with(layer.json().with_timer(Utc)).try_init(),
    };
}

/// Our own words up to `level`; those of libraries never below INFO: at its finest the IMAP library tells every byte that it
/// sends, the password too, and another may tell a token.
fn told(level: Level) -> Targets {
    // the name is a beginning: `meterpost_central` and `meterpost_wire`
    Targets::new()
        .with_default(level.min(Level::INFO))
        .with_target("async_imap", Level::ERROR)
        .with_target("meterpost", level)
}

struct Local;

impl FormatTime for Local {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        w.write_str(&local(clock::now(), TimeZone::system()))
    }
}

/// As the collector's log has it: `2026-11-21T12:00:00+01:00`.
fn local(at: Timestamp, zone: TimeZone) -> String {
    at.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{}", clock::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_local_time_with_its_zone() {
        let at = "2026-11-21T14:00:00Z".parse().expect("an instant");
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        assert_eq!(local(at, zone), "2026-11-21T15:00:00+01:00");
    }

    #[test]
    fn libraries_say_no_more_than_info_whatever_is_asked_for() {
        let finest = told(Level::TRACE);
        for library in ["async_imap::imap_stream", "hyper::proto", "rustls::client::hs", "axum::serve"] {
            assert!(!finest.would_enable(library, &Level::DEBUG), "{library}");
        }
        assert!(finest.would_enable("meterpost_central::accept", &Level::TRACE));
        assert!(finest.would_enable("meterpost_wire::seal", &Level::TRACE));
        assert!(!told(Level::ERROR).would_enable("hyper::proto", &Level::WARN), "`--quiet` is for libraries too");
    }
}
