//! The log: to stderr, in local time for people and in UTC for programs.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

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
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).with_target(false);
    let started = match invocation.log_format {
        LogFormat::Text => log.with_ansi(false).with_timer(Local).try_init(),
        LogFormat::Json => log.json().with_timer(Utc).try_init(),
    };
    // a second start in one process, as in tests, keeps the first log
    drop(started);
}

/// An instant as people read it: `2026-11-21T12:00:00+01:00`.
pub fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
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
    fn people_read_local_time_with_its_zone() {
        let at = "2026-11-21T14:00:00Z".parse().unwrap();
        assert_eq!(local(at, &TimeZone::get("Europe/Berlin").unwrap()), "2026-11-21T15:00:00+01:00");
        assert_eq!(instant(at, LogFormat::Json), "2026-11-21T14:00:00Z");
    }
}
