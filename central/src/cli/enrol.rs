//! How a site is told to reach this central: what its enrolment token says besides the keys.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::CommandError;
use crate::config::{self, Config};
use crate::sites::Enrol;

/// A certificate file for `--ca` is at most this long; enrolment tokens are at most 16 KiB.
const CA_BYTES_MAX: usize = 10 << 10;

#[derive(Debug, Args)]
pub(super) struct EnrolArguments {
    /// Base URL as the site reaches this central [default: `public_url` of the configuration, else a loopback address
    /// that is listened on]
    #[arg(long, value_name = "URL")]
    central: Option<String>,
    /// PEM file of the only CAs that the site is to trust for this central
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Mail address that takes batches
    #[arg(long, value_name = "ADDRESS")]
    mail_to: Option<String>,
}

impl EnrolArguments {
    /// What the token says besides the keys.
    pub(super) fn checked(self, config: &Config) -> Result<Enrol, CommandError> {
        let is_guess = self.central.is_none() && config.public_url.is_none();
        let own = || (config.public_url.is_some() || config.listen.ip().is_loopback()).then(|| config.base_url());
        let url = self.central.or_else(own).ok_or_else(|| {
            CommandError::Usage(
                "the site must know how to reach this central: give `--central URL`, or `public_url` in the configuration"
                    .to_owned(),
            )
        })?;
        let central = config::base_url(&url).ok_or_else(|| {
            CommandError::Usage(format!(
                "`--central`: found `{url}`: `https://central.example` would be right, or `http:` with a loopback address"
            ))
        })?;
        if is_guess {
            eprintln!(
                "note: the token says `{central}`, where only this machine reaches this central: `--central URL`, or \
                 `public_url` in the configuration, says another place"
            );
        }
        let ca_pem = self.ca.map(|path| {
            let wrong = |why: String| CommandError::Usage(format!("`--ca`: `{}`: {why}", path.display()));
            let pem = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
            if pem.len() > CA_BYTES_MAX {
                return Err(wrong("longer than 10 KiB: give the CA's certificate alone".to_owned()));
            }
            if !pem.contains("-----BEGIN CERTIFICATE-----") {
                return Err(wrong("no PEM certificate is in it".to_owned()));
            }
            Ok(pem)
        });
        let pack_keys = config.pack_keys.iter().map(|key| key.text().to_owned()).collect();
        Ok(Enrol { central, mail_to: self.mail_to, ca_pem: ca_pem.transpose()?, pack_keys })
    }
}
