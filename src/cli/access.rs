//! How to get into a device: the options that `scan`, `record` and `pmd why` share.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Access, Failure};
use crate::snmp::credential::{BadCredential, Credential, SNMP_PORT, Secret, Versions};

#[derive(Debug, Args)]
pub(super) struct AccessArguments {
    /// UDP port
    #[arg(long, default_value_t = SNMP_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// A community to try, in the order given [default: public, when no credential is given at all]
    #[arg(long, value_name = "TEXT")]
    community: Vec<String>,
    /// An SNMPv3 user: `user[:auth-proto:auth-secret[:priv-proto:priv-secret]]`
    #[arg(long, value_name = "USER")]
    v3: Vec<String>,
    /// A credential of the configuration, by its name
    #[arg(long, value_name = "NAME")]
    credentials: Vec<String>,
    /// Only this version [default: a community as 2c and then as 1]
    #[arg(long = "version", value_name = "1|2c|3")]
    snmp_version: Option<SnmpVersion>,
    /// First wait for an answer of a printer, as in `2`, `1.5s` or `500ms` [default: adaptive]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SnmpVersion {
    #[value(name = "1")]
    V1,
    #[value(name = "2c")]
    V2c,
    #[value(name = "3")]
    V3,
}

impl AccessArguments {
    /// Arguments that contradict are refused.
    pub(super) fn into_access(self) -> Result<Access, Failure> {
        let versions = match self.snmp_version {
            None => Versions::Either,
            Some(SnmpVersion::V1) => Versions::V1,
            Some(SnmpVersion::V2c) => Versions::V2c,
            Some(SnmpVersion::V3) if self.community.is_empty() => Versions::Either,
            Some(SnmpVersion::V3) => {
                return Err(Failure::usage("`--version 3` knows no community").hint("name the user with `--v3`"));
            }
        };
        if !self.v3.is_empty() && matches!(self.snmp_version, Some(SnmpVersion::V1 | SnmpVersion::V2c)) {
            return Err(Failure::usage("`--v3` speaks version 3 only").hint("leave `--version` out"));
        }
        let none_given = self.community.is_empty() && self.v3.is_empty() && self.credentials.is_empty();
        if none_given && self.snmp_version == Some(SnmpVersion::V3) {
            return Err(Failure::usage("`--version 3` needs a user").hint("name it with `--v3` or `--credentials`"));
        }
        // never where a credential was given (DESIGN invariant 7)
        let public = none_given.then(|| "public".to_owned());
        let mut credentials = Vec::new();
        for (n, community) in self.community.into_iter().chain(public).enumerate() {
            let name = format!("--community {}", n + 1);
            let made = Credential::community(&name, Secret::new(community), versions);
            credentials.push(made.map_err(|error| Failure::usage(format!("`--community`: {error}")))?);
        }
        for user in &self.v3 {
            let made = Credential::parse_v3(user);
            credentials.push(made.map_err(|error| match error {
                // the word in the wrong place may be a secret: it is not repeated
                BadCredential::AuthProtocol(_) => {
                    wrong_v3("second part", "MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512")
                }
                BadCredential::PrivProtocol(_) => wrong_v3("fourth part", "DES, AES, AES-192 or AES-256"),
                error => Failure::usage(format!("`--v3`: {error}")),
            })?);
        }
        Ok(Access { credentials, credential_names: self.credentials, port: self.port, timeout: self.timeout })
    }
}

fn wrong_v3(part: &str, right: &str) -> Failure {
    Failure::usage(format!("`--v3`: the {part} is no protocol: {right} would be right"))
        .hint("the parts are `user:auth-proto:auth-secret:priv-proto:priv-secret`")
}

/// `2`, `1.5`, `2s` and `500ms`, from 1 ms to 60 s.
fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 0.001),
        (None, Some(number)) => (number, 1.0),
        (None, None) => (text, 1.0),
    };
    number
        .parse::<f64>()
        .ok()
        .map(|number| number * unit)
        .filter(|seconds| (0.001..=60.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "`2`, `1.5s` or `500ms` would be right, 60 seconds at most".to_owned())
}
