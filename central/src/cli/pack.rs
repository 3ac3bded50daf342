//! `pack publish`.

use std::io;
use std::path::PathBuf;

use clap::Subcommand;

use super::{CommandError, Done, print};
use crate::config::Config;
use crate::packs::{self, PublishError};

#[derive(Debug, Subcommand)]
pub(super) enum Pack {
    /// Prove a pack by the signature beside it, and serve it to all sites from now on
    #[command(after_help = "Example:\n  meterpost-central pack publish meterpost-pmd-12.zip")]
    Publish {
        /// The pack that `meterpost pmd pack` made; `<FILE>.minisig` lies beside it
        file: PathBuf,
    },
}

impl Pack {
    pub(super) fn run(self, config: &Config) -> Result<Done, CommandError> {
        let Self::Publish { file } = self;
        if config.pack_keys.is_empty() {
            let what = "`pack_keys` of the configuration names no key that packs are signed with";
            return Err(CommandError::Usage(what.to_owned()));
        }
        let label = packs::publish(&config.data_dir, &config.pack_keys, &file).map_err(|error| match error {
            PublishError::File(_, ref why) if why.kind() == io::ErrorKind::NotFound => {
                CommandError::Usage(error.to_string())
            }
            error => CommandError::Work(error.to_string()),
        })?;
        let (channel, version, expires) = (label.channel, label.version, label.expires);
        print(|out| writeln!(out, "pack {channel} {version} is served until {expires}: /packs/{channel}.zip"))?;
        Ok(Done::Whole)
    }
}
