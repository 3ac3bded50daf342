//! Reading devices over SNMP: hostile and broken agents of our own, and net-snmp's real one.

pub mod agent;
mod broken;
mod hostile;
mod lessons;
mod snmpd;

use std::sync::Arc;
use std::time::Duration;

use meterpost::gather::{Found, Printer, Reader};
use meterpost::pmd::Library;
use meterpost::snmp::credential::{Credential, Secret, Version, Versions};
use meterpost::snmp::{Network, NetworkOptions, Oid};
use meterpost::sweep::Sighting;

use agent::{ScriptedAgent, element, text};

/// Objects of a device: OIDs and their values in BER.
type Objects = Vec<(Vec<u32>, Vec<u8>)>;

fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

/// The least that makes a printer.
fn printer() -> Objects {
    [
        ("1.3.6.1.2.1.1.1.0", text(b"Acme X")),
        ("1.3.6.1.2.1.1.2.0", element(0x06, &[vec![0x2b, 6, 1, 4, 1, 0x86, 0x8d, 0x1f, 1]])), // 1.3.6.1.4.1.99999.1
        ("1.3.6.1.2.1.25.3.2.1.2.1", element(0x06, &[vec![0x2b, 6, 1, 2, 1, 25, 3, 1, 5]])),
        ("1.3.6.1.2.1.43.5.1.1.17.1", text(b"S1")),
        ("1.3.6.1.2.1.43.10.2.1.4.1.1", vec![0x41, 1, 77]),
    ]
    .map(|(name, value)| (oid(name).arcs().to_vec(), value))
    .into()
}

/// Reads with the community `public`.
fn reader(library: Library) -> Reader {
    Reader {
        network: Network::open(NetworkOptions::default()).unwrap(),
        library,
        credentials: Arc::new([Credential::community("c", Secret::new("public"), Versions::Either).unwrap()]),
        identify_only: false,
    }
}

/// What a sweep would tell of an agent that answers so quickly.
fn sighting(agent: &ScriptedAgent, rtt: Duration) -> Sighting {
    Sighting {
        address: agent.address,
        credential: "c".to_owned(),
        credentials: vec!["c".to_owned()],
        other_port: None,
        version: Version::V2c,
        rtt,
        description: None,
        object_id: None,
    }
}

fn printer_of(found: Found) -> Printer {
    match found {
        Found::Printer(printer) => *printer,
        Found::Nothing(finding, _) => panic!("{finding:?}"),
    }
}
