//! Reading devices over SNMP: hostile and broken agents of our own, and net-snmp's real one.

pub mod agent;
mod broken;
mod hostile;
mod lessons;
mod snmpd;

use meterpost::snmp::Oid;

fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}
