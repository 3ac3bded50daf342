//! The log: to stderr, in local time for people and in UTC for programs.

use std::fmt;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::TimeZone;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{Command, Invocation, LogFormat};
use crate::clock;

/// Starts the log. A `run` that stays says what it does; everything else speaks up only when something is wrong.
pub fn start(invocation: &Invocation) {
    let usual = if matches!(&invocation.command, Command::Run(run) if !run.once) { 1 } else { 0 };
    let level = match invocation.verbosity {
        ..0 => LevelFilter::ERROR,
        more => match usual + more {
            0 => LevelFilter::WARN,
            1 => LevelFilter::INFO,
            2 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        },
    };
    let log = tracing_subscriber::registry().with(told(level));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let started = match invocation.log_format {
        LogFormat::Text => log.with(layer.with_ansi(false).with_timer(Local)).try_init(),
        LogFormat::Json => log.with(layer.json().with_timer(Utc)).try_init(),
    };
    // a second start in one process, as in tests, keeps the first log
    drop(started);
}

/// Our own words up to `level`; those of libraries never below INFO, because some tell every byte that they send before
/// TLS has it: `ureq_proto` the bearer token and the client secret of a mailbox, in a dump of hex.
fn told(level: LevelFilter) -> Targets {
    // the name is a beginning: `meterpost_wire` too
    Targets::new().with_default(level.min(LevelFilter::INFO)).with_target("meterpost", level)
}

/// An instant as people read it: `2026-11-21T12:00:00+01:00`.
pub fn local(at: Timestamp, zone: &TimeZone) -> String {
    // a list of the outbox has thousands of them: a pattern would be read anew for each
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
    PRINTER.timestamp_with_offset_to_string(&at, zone.to_offset(at))
}

/// An instant as the reader of this log takes it.
pub fn instant(at: Timestamp, format: LogFormat) -> String {
    match format {
        LogFormat::Text => local(at, &TimeZone::system()),
        LogFormat::Json => at.to_string(),
    }
}

struct Local;

impl FormatTime for Local {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        w.write_str(&local(clock::now(), &TimeZone::system()))
    }
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
    fn libraries_say_no_more_than_info_whatever_is_asked_for() {
        use tracing::Level;
        let told_at = |level, target, words: Level| told(level).would_enable(target, &words);
        for library in
            ["ureq_proto::util", "ureq::run", "rustls::client::hs", "lettre::transport", "async_snmp::client"]
        {
            assert!(!told_at(LevelFilter::TRACE, library, Level::DEBUG), "{library}");
            assert!(told_at(LevelFilter::TRACE, library, Level::INFO), "{library}");
            assert!(!told_at(LevelFilter::ERROR, library, Level::WARN), "{library}");
        }
        for own in ["meterpost::deliver", "meterpost_wire::seal"] {
            assert!(told_at(LevelFilter::TRACE, own, Level::TRACE), "{own}");
            assert!(!told_at(LevelFilter::WARN, own, Level::INFO), "{own}");
        }
    }

    #[test]
    fn people_read_local_time_with_its_zone() {
        let at = "2026-11-21T14:00:00Z".parse().unwrap();
        assert_eq!(local(at, &TimeZone::get("Europe/Berlin").unwrap()), "2026-11-21T15:00:00+01:00");
        assert_eq!(instant(at, LogFormat::Json), "2026-11-21T14:00:00Z");
    }
}
