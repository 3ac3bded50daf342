//! One device that a person names: its address, and the first credential that it lets in.

use std::net::{SocketAddr, ToSocketAddrs};

use super::world;
use crate::cli::{Access, Failure, Invocation};
use crate::snmp::credential::{Access as Way, Version, Versions};
use crate::snmp::{Agent, Network, NetworkOptions, Oid, Session, Unanswered};

/// sysObjectID.0: what everybody answers whom we may ask.
const ASKED: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 2, 0];

/// Opens a session with a device that answers. `network` must outlive it.
pub async fn open(name: &str, access: &Access, invocation: &Invocation) -> Result<(Network, Session), Failure> {
    let address = address(name, access.port)?;
    let credentials = world::credentials(&access.credentials, &access.credential_names, invocation)?;
    let options = NetworkOptions { first_wait: access.timeout, ..NetworkOptions::default() };
    let network = Network::open(options).map_err(|error| Failure::failed(format!("cannot open a socket: {error}")))?;
    let mut refused = None;
    for credential in &credentials {
        let versions: &[Version] = match &credential.access {
            Way::Community { versions: Versions::Either, .. } => &[Version::V2c, Version::V1],
            Way::Community { versions: Versions::V1, .. } => &[Version::V1],
            Way::Community { versions: Versions::V2c, .. } => &[Version::V2c],
            Way::User(_) => &[Version::V3],
        };
        for version in versions {
            let mut session = network.session(address, credential, Some(*version), None).await;
            match session.get("", &[Oid::new(&ASKED)]).await {
                Ok(_) => return Ok((network, session)),
                Err(Unanswered::Denied) => refused = session.denial().map(|denial| denial.to_string()).or(refused),
                Err(Unanswered::Unreachable) => {
                    return Err(Failure::failed(format!("there is no way to {address}")));
                }
                Err(Unanswered::Silent) => {}
            }
        }
    }
    Err(match refused {
        Some(reason) => Failure::failed(format!("{address} refuses the credentials: {reason}")),
        None => Failure::failed(format!("{address} does not answer"))
            .hint("it may be off, or know another community: `--community` or `--v3` names one, `--port` another port"),
    })
}

/// The address of a name; of several the first, as the system sorts them.
fn address(name: &str, port: u16) -> Result<SocketAddr, Failure> {
    let found = (name, port).to_socket_addrs();
    let found = found.map_err(|error| Failure::usage(format!("`{name}` has no address: {error}")))?.next();
    found.ok_or_else(|| Failure::usage(format!("`{name}` has no address")))
}
