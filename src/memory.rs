//! Known devices: the credential that works, what reading them taught, the last counters, the open alerts.
//!
//! # What is promised
//! - A row is sealed under the machine key (purpose `memory`) and found by a keyed hash (purpose `names`): the file tells
//!   nobody a serial, an address, a name or a credential.
//! - A row changes in the same transaction that queues the batch with its reading. So a device that was read and whose
//!   batch was lost to a crash is read again as if never read.
//! - It can always be forgotten: everything here is learned again by reading, except when an open alert arose.
//! - A device that has not been seen for [`FORGOTTEN_DAYS`] days is forgotten with the batch that reports it unreachable
//!   for the last time. One whose address nobody asks any more is in no report; it goes after [`UNASKED_DAYS`] days. Both
//!   happen in the transaction of a sweep's last batch, so that nothing is forgotten of which the central was not told.
//!
//! A community or another secret is never here, only the name of the credential that holds it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use meterpost_wire::Reading;
use meterpost_wire::reading::{Alert, AlertScope, Basis, Count, Outcome};
use serde::{Deserialize, Serialize};

use crate::keyring::Keyring;
use crate::pmd::GENERIC;
use crate::store::{StoreError, Tx};

/// Open alerts that are remembered of one device; more are not reported as cleared.
const ALERTS_MAX: usize = 100;

/// A device that is asked and has not answered for so long is reported once more, and forgotten.
pub const FORGOTTEN_DAYS: i64 = 90;

/// A device that has not answered for so long is forgotten, whether its address is asked or not.
pub const UNASKED_DAYS: i64 = 400;

const DAY_S: i64 = 86_400;

/// What is known of one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Its key, in clear: `sn:kyocera:VCF1234567`.
    pub key: String,
    /// Where it was last read.
    pub address: String,
    /// The UDP port there.
    pub port: u16,
    /// Name of the credential that it answers to.
    pub credential: String,
    /// What reading it taught: row indexes, static texts, the size of a PDU that it bears. The reader's own format.
    pub learned: String,
    /// Lifetime counters as last read, with their keys.
    pub counters: BTreeMap<String, u64>,
    /// Alerts that were open at the last read, as they were sent.
    pub alerts: Vec<Alert>,
    /// When it last answered.
    pub seen_at: Timestamp,
    /// When it was last read in full.
    pub full_at: Option<Timestamp>,
}

/// How a device was reached this time.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// IP address.
    pub address: String,
    /// UDP port.
    pub port: u16,
    /// Name of the credential that it answered to.
    pub credential: String,
    /// What reading it taught, in the reader's own format.
    pub learned: String,
}

/// Completes a reading from what was known before: a counter that went backwards is suspect, and an alert that has gone
/// is repeated as last sent, with its clear time. Before the field policy, because memory holds clear values.
pub fn compare(reading: &mut Reading, before: &Known) {
    for (key, count) in reading.counters.iter_mut().flatten() {
        if let Some(&last) = before.counters.get(key.as_str())
            && count.value < last
            && count.basis != Basis::Suspect
        {
            count.basis = Basis::Suspect;
            count.detail = Some(format!("was {last} at the read before"));
        }
    }
    let read_at = reading.read_at;
    if let Some(alerts) = reading.alerts.as_mut().filter(|alerts| alerts.scope == AlertScope::All) {
        let gone = before.alerts.iter().filter(|old| !alerts.rows.iter().any(|new| same(old, new)));
        let cleared: Vec<Alert> = gone.map(|old| Alert { clear_time: Some(read_at), ..old.clone() }).collect();
        alerts.rows.extend(cleared);
    }
}

/// The central closes an alert by the same rule: index, group, row of the group, code.
fn same(a: &Alert, b: &Alert) -> bool {
    let code =
        |coded: &Option<meterpost_wire::reading::Coded>| coded.as_ref().map(|coded| (coded.code, coded.label.clone()));
    a.index == b.index
        && a.group_index == b.group_index
        && code(&a.group) == code(&b.group)
        && code(&a.code) == code(&b.code)
}

impl Known {
    /// Whether it has been gone for so long that the next report of it is the last.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.seen_at.as_second() <= now.as_second() - FORGOTTEN_DAYS * DAY_S
    }

    /// What is known after a reading, by what was known before it. `None` for one that brought nothing.
    pub fn after(before: Option<Self>, reading: &Reading, reached: Reached) -> Option<Self> {
        if matches!(reading.outcome, Outcome::Unreachable | Outcome::Denied) {
            return before;
        }
        let (mut counters, mut alerts, full_at) =
            before.map(|before| (before.counters, before.alerts, before.full_at)).unwrap_or_default();
        // a counter that got no answer this time keeps what it is measured against
        for (key, count) in reading.counters.iter().flatten() {
            let key = key.to_string();
            match count.basis {
                // after a step back nobody knows what is right: the next reading is measured against nothing
                Basis::Suspect if counters.get(&key).is_some_and(|last| count.value < *last) => {
                    counters.remove(&key);
                }
                Basis::Suspect => {}
                _ if stands_in(count) => {}
                _ => {
                    counters.insert(key, count.value);
                }
            }
        }
        if let Some(read) = reading.alerts.as_ref().filter(|alerts| alerts.scope == AlertScope::All) {
            alerts = read.rows.iter().filter(|alert| alert.clear_time.is_none()).take(ALERTS_MAX).cloned().collect();
        }
        let full = reading.scope == meterpost_wire::reading::Scope::Full;
        Some(Self {
            key: reading.key.clone(),
            address: reached.address,
            port: reached.port,
            credential: reached.credential,
            learned: reached.learned,
            counters,
            alerts,
            seen_at: reading.read_at,
            full_at: if full { Some(reading.read_at) } else { full_at },
        })
    }
}

/// The marker's life count in place of a vendor's total: the total that comes after it may well be lower.
fn stands_in(count: &Count) -> bool {
    let generic = |rule: &String| rule.strip_prefix(GENERIC).is_some_and(|rest| rest.starts_with(':'));
    count.basis == Basis::Derived && count.evidence.rule.as_ref().is_some_and(generic)
}

fn device_name(keyring: &Keyring, key: &str) -> String {
    keyring.names().look_up(&format!("device\n{key}"))
}

fn address_name(keyring: &Keyring, address: &str, port: u16) -> String {
    keyring.names().look_up(&format!("address\n{address}\n{port}"))
}

/// Remembers a device, in place of what was known. Its address points to it and to no other device any more; a device
/// may have several.
pub fn remember(tx: &Tx<'_>, keyring: &Keyring, known: &Known) -> Result<(), StoreError> {
    let name = device_name(keyring, &known.key);
    let row = serde_json::to_vec(known).map_err(|error| StoreError::Failed(error.to_string()))?;
    let sealed = keyring.seal_memory(&name, &row);
    tx.execute(
        "INSERT INTO device (name, sealed, seen) VALUES (?1, ?2, ?3) \
         ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, seen = excluded.seen",
        (&name, sealed, known.seen_at.as_second()),
    )?;
    let address = address_name(keyring, &known.address, known.port);
    tx.execute("INSERT OR REPLACE INTO address (name, device) VALUES (?1, ?2)", (address, name)).map(drop)
}

/// The device with this key.
pub fn by_key(tx: &Tx<'_>, keyring: &Keyring, key: &str) -> Result<Option<Known>, StoreError> {
    let name = device_name(keyring, key);
    let row =
        tx.row("SELECT name, sealed FROM device WHERE name = ?1", [name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(row.and_then(|(name, sealed)| open(keyring, name, sealed)))
}

/// The device that was last read at this address.
pub fn by_address(tx: &Tx<'_>, keyring: &Keyring, address: &str, port: u16) -> Result<Option<Known>, StoreError> {
    let sql =
        "SELECT device.name, sealed FROM address JOIN device ON device.name = address.device WHERE address.name = ?1";
    let row = tx.row(sql, [address_name(keyring, address, port)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(row.and_then(|(name, sealed)| open(keyring, name, sealed)))
}

/// Devices that have not answered since an instant: those to report as unreachable after a sweep that began then.
pub fn not_seen_since(tx: &Tx<'_>, keyring: &Keyring, since: Timestamp) -> Result<Vec<Known>, StoreError> {
    let sql = "SELECT name, sealed FROM device WHERE seen < ?1 ORDER BY name";
    let rows = tx.rows(sql, [since.as_second()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.into_iter().filter_map(|(name, sealed)| open(keyring, name, sealed)).collect())
}

/// Forgets the devices with these keys, and those that nobody has seen for [`UNASKED_DAYS`] days.
pub fn forget(tx: &Tx<'_>, keyring: &Keyring, keys: &[String], now: Timestamp) -> Result<(), StoreError> {
    for key in keys {
        tx.execute("DELETE FROM device WHERE name = ?1", [device_name(keyring, key)])?;
    }
    tx.execute("DELETE FROM device WHERE seen <= ?1", [now.as_second() - UNASKED_DAYS * DAY_S]).map(drop)
}

/// How many devices are known.
pub fn count(tx: &Tx<'_>) -> Result<u32, StoreError> {
    Ok(tx.row("SELECT count(*) FROM device", [], |row| row.get(0))?.unwrap_or(0))
}

/// A row that does not open, or whose format is an older program's, is as good as forgotten: it is learned again.
fn open(keyring: &Keyring, name: String, sealed: Vec<u8>) -> Option<Known> {
    let row = keyring.open_memory(&name, &sealed)?;
    serde_json::from_slice(&row).ok()
}

#[cfg(test)]
mod tests {
    use meterpost_wire::counters::CounterKey;
    use meterpost_wire::reading::Evidence;

    use super::*;

    const KEY: &str = "system.impressions";

    /// What is known after these readings, each a value with its basis and rule.
    #[track_caller]
    fn check(read: &[(u64, Basis, &str)], expected: Option<u64>) {
        let mut known = None;
        for &(value, basis, rule) in read {
            let evidence = Evidence { rule: Some(rule.to_owned()), ..Evidence::default() };
            let count = Count { value, basis, evidence, unit: None, detail: None };
            let mut reading = Reading {
                key: "sn:acme:S1".to_owned(),
                mapping: None,
                scope: meterpost_wire::reading::Scope::Full,
                read_at: Timestamp::UNIX_EPOCH,
                outcome: Outcome::Complete,
                identity: None,
                network: None,
                capabilities: None,
                counters: Some(BTreeMap::from([(CounterKey::parse(KEY).unwrap(), count)])),
                supplies: None,
                inputs: None,
                outputs: None,
                covers: None,
                alerts: None,
                status: None,
                gaps: Vec::new(),
            };
            if let Some(before) = &known {
                compare(&mut reading, before);
            }
            let reached = Reached {
                address: "127.0.0.9".to_owned(),
                port: 161,
                credential: "c".to_owned(),
                learned: String::new(),
            };
            known = Known::after(known, &reading, reached);
        }
        assert_eq!(known.unwrap().counters.get(KEY).copied(), expected);
    }

    #[test]
    fn a_stand_in_or_a_suspect_is_nothing_that_later_values_are_measured_against() {
        let (actual, derived, suspect) = (Basis::Actual, Basis::Derived, Basis::Suspect);
        check(&[(95_234, actual, "1"), (95_412, derived, "generic/printer-mib:1")], Some(95_234));
        check(&[(95_234, actual, "1"), (99_999, suspect, "1")], Some(95_234));
        check(&[(95_234, actual, "1"), (95_300, derived, "2")], Some(95_300));
        check(&[(95_234, actual, "1"), (5, actual, "1")], None);
        check(&[(95_234, actual, "1"), (5, actual, "1"), (6, actual, "1")], Some(6));
    }
}
