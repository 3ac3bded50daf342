//! What `meterpost.toml` says: read as written (`raw`), then as meant ([`Config`]).
//!
//! The program sees only [`Config`]: checked, with defaults, durations and parsed schedules. A fault names the file, the
//! line, the key and what would be right; all faults of a file are told at once. Unknown keys are faults.

mod delivery;
mod fault;
mod meant;
mod places;
mod raw;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use meterpost_wire::pack;

pub use delivery::{Channel, Mail, Proxy, SCOPE_DEFAULT};
pub use fault::{ConfigError, Fault};
pub use places::Places;

use crate::privacy;
use crate::schedule::Schedule;
use crate::snmp::credential::Credential;

/// The commented default configuration; `meterpost config example` prints it, and a test proves that it says exactly
/// what [`Config::default`] says.
pub const EXAMPLE: &str = include_str!("../examples/meterpost.toml");

/// A configuration file is at most this long; a longer one is refused unread.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The configuration as it is meant.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[site].name`: what the log calls this site.
    pub site_name: Option<String>,
    /// What is swept, in the order written.
    pub sweeps: Vec<Sweep>,
    /// The ways in, by name.
    pub credentials: Vec<Credential>,
    /// When to read; absent only when the file says `read = ""`.
    pub read: Option<Schedule>,
    /// When to send; absent = at once.
    pub send: Option<Schedule>,
    /// The zone that schedules and windows are meant in.
    pub timezone: TimeZone,
    /// By which ways batches leave, in order.
    pub channels: Vec<Channel>,
    /// The proxy for HTTPS; absent = as the environment says.
    pub proxy: Option<Proxy>,
    /// `[delivery.mail]`; there when `channels` names mail.
    pub mail: Option<Mail>,
    /// `[delivery.file]`: the directory that files are written to; there when `channels` names it.
    pub file: Option<PathBuf>,
    /// `[privacy]`: what of a reading is sent, dropped or hashed.
    pub privacy: privacy::Policy,
    /// When to look for a newer pack of mapping files; absent = never by itself.
    pub packs_at: Option<Schedule>,
    /// `[packs]`: from where packs come, and what is done with them.
    pub packs: Packs,
    /// Bounds on a run.
    pub limits: Limits,
}

/// One `[[sweep]]`: addresses, and how they are asked.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// As `scan` takes them: addresses, CIDR, ranges, names, `@file`.
    pub targets: Vec<String>,
    /// Never asked.
    pub exclude: Vec<String>,
    /// Names of credentials, in the order in which they are tried.
    pub credentials: Vec<String>,
    /// UDP port.
    pub port: u16,
    /// Packets a second; absent = the sweep's own defaults, 0 = unpaced.
    pub rate: Option<u32>,
    /// Passes over what is silent.
    pub retries: u32,
    /// The hours in which these addresses may be asked.
    pub window: Option<Window>,
}

/// Hours of a day in the configuration's zone; from the first instant up to the second, over midnight when the second is
/// the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First instant inside.
    pub from: Time,
    /// First instant outside.
    pub to: Time,
}

impl Window {
    /// When it closes; `None` outside. A closing time that the clocks jump over is the end of the jump.
    pub fn closes(self, now: &Zoned) -> Option<Timestamp> {
        let time = now.time();
        let last_day = match self.from <= self.to {
            true if (self.from..self.to).contains(&time) => now.date(),
            false if time >= self.from => now.date().tomorrow().ok()?,
            false if time < self.to => now.date(),
            _ => return None,
        };
        let closes = now.time_zone().to_timestamp(last_day.to_datetime(self.to)).ok()?;
        // in the hour that comes twice it closes the first time
        Some(closes).filter(|closes| *closes > now.timestamp())
    }
}

/// Packs of mapping files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packs {
    /// Where `<channel>.zip` lies, without a slash at the end; absent = at the central.
    pub url: Option<String>,
    /// Which packs.
    pub channel: pack::Channel,
    /// Those that may sign; none = those of the enrolment token.
    pub keys: Vec<pack::Key>,
    /// What is done with a new one.
    pub policy: PackPolicy,
}

/// What is done with a new pack that is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackPolicy {
    /// It is adopted unless it changes a value that is billed; then it waits for a person.
    Hold,
    /// It is adopted; what it changes is logged.
    Adopt,
    /// It waits for a person.
    Ask,
}

impl Default for Packs {
    fn default() -> Self {
        let channel = pack::Channel::parse(CHANNEL_DEFAULT).unwrap_or_else(|error| panic!("{error}"));
        Self { url: None, channel, keys: Vec::new(), policy: PackPolicy::Hold }
    }
}

/// Bounds on a run; what happens at each stands in the example configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Printers read at the same time, 1 to 1,024. More wait.
    pub devices_in_flight: usize,
    /// A run ends after this; what was not asked by then has the verdict `budget_ended`.
    pub run_time: Duration,
    /// Bytes of tokens that wait; at the cap nothing is sealed.
    pub queue_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { devices_in_flight: 256, run_time: Duration::from_secs(240 * 60), queue_bytes_max: 512 * 1024 * 1024 }
    }
}

/// The default of `[schedule].read`.
pub const READ_DEFAULT: &str = "0 9,13,17 * * *";

/// The default of `[schedule].packs`.
pub const PACKS_DEFAULT: &str = "@daily";

/// The default of `[packs].channel`.
pub const CHANNEL_DEFAULT: &str = "stable";

impl Default for Config {
    fn default() -> Self {
        Self {
            site_name: None,
            sweeps: Vec::new(),
            credentials: Vec::new(),
            read: Schedule::parse(READ_DEFAULT, TimeZone::UTC).ok(),
            send: None,
            timezone: TimeZone::UTC,
            channels: vec![Channel::Https],
            proxy: None,
            mail: None,
            file: None,
            privacy: privacy::Policy::default(),
            packs_at: Schedule::parse(PACKS_DEFAULT, TimeZone::UTC).ok(),
            packs: Packs::default(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Reads the file, and the files and variables that it takes secrets from.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |reason: String| ConfigError::Unreadable { path: path.to_owned(), reason };
        let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(unreadable(format!("it has {size} bytes, {FILE_BYTES_MAX} are the limit")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let dir = path.parent().map(Path::to_owned).unwrap_or_default();
        Self::parse(&text, &dir, &|name| std::env::var(name).ok())
            .map_err(|faults| ConfigError::Wrong { path: path.to_owned(), faults })
    }

    /// Takes the text of a file; `dir` is where its relative `*_file` and `@file` paths start, `env` gives variables.
    /// All faults are told, in the order of their lines.
    pub fn parse(text: &str, dir: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Fault>> {
        let raw = toml::from_str(text).map_err(|error| vec![Fault::of_toml(text, &error)])?;
        meant::config(raw, &meant::Source { text, dir, env })
    }

    /// The credential of a name that the configuration has been checked to have.
    pub fn credential(&self, name: &str) -> Option<&Credential> {
        self.credentials.iter().find(|credential| credential.name == name)
    }
}

/// Where relative paths of a file start.
fn beside(dir: &Path, path: &str) -> PathBuf {
    dir.join(path)
}
