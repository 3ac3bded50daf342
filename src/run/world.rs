//! What only the system and its configuration know: host names, files of targets, credentials by name.

use std::fmt;
use std::io::Read;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

use super::configuration;
use crate::cli::{Failure, Invocation};
use crate::snmp::Credential;
use crate::targets::{Addresses, BadTarget, World};

/// A file of targets is at most this long.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What targets came to.
pub struct Looked {
    /// Those that are known.
    pub addresses: Addresses,
    /// Names that have no address now: a finding about each, no reason to leave out the others.
    pub unresolved: Vec<Unresolved>,
}

/// A host name that has no address now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// As written.
    pub name: String,
    /// What the system says.
    pub reason: String,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` has no address: {}", self.name, self.reason)
    }
}

/// Name, version and processor of what this host runs: `Debian GNU/Linux 12 (bookworm), linux x86_64`.
pub fn operating_system() -> String {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    // Linux alone has this file; elsewhere the plain word says enough
    let told = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = told.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    match name.map(|name| name.trim_matches('"')).filter(|name| !name.is_empty()) {
        Some(name) => format!("{name}, {system} {processor}"),
        None => format!("{system} {processor}"),
    }
}

/// Reads targets as a person writes them; relative `@file` paths start in `dir`.
pub fn look_up(texts: &[String], dir: &Path) -> Result<Looked, BadTarget> {
    let mut unresolved = Vec::new();
    let mut resolve = |name: &str| -> Result<Vec<IpAddr>, String> {
        let found = (name, 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect());
        let found: Vec<IpAddr> = found.unwrap_or_else(|error| {
            unresolved.push(Unresolved { name: name.to_owned(), reason: error.to_string() });
            Vec::new()
        });
        Ok(found)
    };
    let mut read_file = |path: &str| -> Result<String, String> {
        let file = std::fs::File::open(dir.join(path)).map_err(|error| error.to_string())?;
        let mut text = String::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
        if read as u64 > FILE_BYTES_MAX {
            return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
        }
        Ok(text)
    };
    let addresses = Addresses::parse(texts, &mut World { resolve: &mut resolve, read_file: &mut read_file })?;
    Ok(Looked { addresses, unresolved })
}

/// Credentials of the command line, then those that it names in the configuration.
pub fn credentials(
    given: &[Credential],
    names: &[String],
    invocation: &Invocation,
) -> Result<Vec<Credential>, Failure> {
    let mut credentials = given.to_vec();
    if !names.is_empty() {
        let config = configuration(&invocation.places.config)?;
        for name in names {
            let credential = config.credential(name).ok_or_else(|| {
                let path = invocation.places.config.display();
                Failure::usage(format!("`{path}` has no `[[credentials]]` called `{name}`"))
            })?;
            credentials.push(credential.clone());
        }
    }
    Ok(credentials)
}
