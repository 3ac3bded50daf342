//! `pmd update`, `pmd rollback`, `pmd pack`: packs of mapping files.

use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use meterpost_wire::pack::Channel;

/// What is asked about packs.
#[derive(Clone, Debug)]
pub enum Packs {
    /// Look for a newer one, or take one.
    Update {
        /// A pack in a file, with its signature beside it; absent = the configured source.
        file: Option<PathBuf>,
        /// A person says yes to what it changes.
        accept: bool,
        /// A person insists on an older one.
        downgrade: bool,
    },
    /// Go back to the one before.
    Rollback,
    /// Make one.
    Build {
        /// The folder of mapping files.
        dir: PathBuf,
        /// The file to write; absent = `meterpost-pmd-<version>.zip`.
        out: Option<PathBuf>,
        /// Its channel.
        channel: Channel,
        /// Its version.
        version: u64,
        /// Until when it is the newest that there ought to be; absent = in 90 days.
        expires: Option<Timestamp>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PackVerb {
    /// Look for a newer pack of mapping files, try it on the last answers of every device, and use it
    #[command(
        after_help = "Examples:\n  meterpost pmd update\n  meterpost pmd update --accept\n  meterpost pmd update meterpost-pmd-12.zip\n\n\
                      A pack that would change a counter is held and shown; exit code 3. `--accept` says yes to it."
    )]
    Update {
        /// A pack in a file, with `<FILE>.minisig` beside it [default: fetch it as `[packs]` says]
        file: Option<PathBuf>,
        /// Use it whatever it changes; without FILE the pack that is held
        #[arg(long)]
        accept: bool,
        /// Take an older version than was in use, one that was taken back, or one that has expired
        #[arg(long)]
        allow_downgrade: bool,
    },
    /// Go back to the pack before, or to the mapping files inside the program; the present one does not come back by itself
    #[command(after_help = "Example: meterpost pmd rollback")]
    Rollback,
    /// Make a pack of a folder of mapping files: `<vendor>/<family>.toml` and `words.toml`
    #[command(
        after_help = "Example: meterpost pmd pack pmd --version 12 --expires 2026-12-31 -o meterpost-pmd-12.zip\n\nThe same files and the same WHEN make the same bytes."
    )]
    Pack {
        /// The folder
        dir: PathBuf,
        /// The file to write [default: meterpost-pmd-VERSION.zip]
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Which line of packs
        #[arg(long, default_value = "stable", value_parser = channel)]
        channel: Channel,
        /// A whole number, higher than that of the pack before
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        version: u64,
        /// A day or an instant after which a newer one ought to have come [default: in 90 days]
        #[arg(long, value_name = "WHEN", value_parser = when)]
        expires: Option<Timestamp>,
    },
}

impl PackVerb {
    pub(super) fn into_packs(self) -> Packs {
        match self {
            Self::Update { file, accept, allow_downgrade } => {
                Packs::Update { file, accept, downgrade: allow_downgrade }
            }
            Self::Rollback => Packs::Rollback,
            Self::Pack { dir, out, channel, version, expires } => Packs::Build { dir, out, channel, version, expires },
        }
    }
}

fn channel(text: &str) -> Result<Channel, String> {
    Channel::parse(text).map_err(|error| error.to_string())
}

fn when(text: &str) -> Result<Timestamp, String> {
    let day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|day| day.timestamp());
    let instant = text.parse().ok().or_else(day);
    instant.ok_or_else(|| "`2026-12-31` or `2026-12-31T00:00:00Z` would be right".to_owned())
}
