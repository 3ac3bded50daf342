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
use meterpost_wire::counters::CounterKey;
use meterpost_wire::reading::{Alert, AlertScope, Basis, Count, Outcome};
use serde::{Deserialize, Serialize};

use crate::keyring::Keyring;
use crate::pmd::GENERIC;
use crate::store::{StoreError, Tx};

/// Open alerts that are remembered of one device; more are not reported as cleared.
const ALERTS_MAX: usize = 100;

/// How many times the pages per minute that a device states its counters may go up by. The statement is of A4, one side:
/// A5 passes twice as fast, and some makers count a sheet's two sides or an A3 sheet as two.
const FASTER_AT_MOST: u64 = 4;

/// Pages per minute of a device that states none, and of scanners and fax lines, whose speed nobody states. Times four it is
/// 600 sides: the fastest cut-sheet engines make some 310, the fastest scanners of office devices some 300.
const PAGES_PER_MINUTE_UNSTATED: u64 = 150;

/// So long may a device keep pages to itself before it writes them into its counters: until the end of a job.
const HELD_BACK_S: u64 = 3600;

/// A device that is asked and has not answered for so long is reported once more, and forgotten.
pub const FORGOTTEN_DAYS: i64 = 90;

/// A device that has not answered for so long is forgotten, whether its address is asked or not.
pub const UNASKED_DAYS: i64 = 400;

const DAY_S: i64 = 86_400;

/// Ends the JSON of a row: JSON in one line has none.
const BEHIND: u8 = b'\n';

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
    /// What reading it taught: row indexes, static texts, the size of a PDU that it bears. The reader's own format; it stands
    /// behind the rest, as it is: most of the row.
    #[serde(skip)]
    pub learned: String,
    /// Lifetime counters as last read, with their keys.
    pub counters: BTreeMap<String, Last>,
    /// The highest speed that it stated when that was last read.
    pub pages_per_minute: Option<u32>,
    /// Alerts that were open at the last read, as they were sent.
    pub alerts: Vec<Alert>,
    /// When it last answered.
    pub seen_at: Timestamp,
    /// When it was last read in full.
    pub full_at: Option<Timestamp>,
    /// How readings went with the present pack of mapping files and with the one before.
    #[serde(default)]
    pub went: Went,
}

/// How the readings of one device went, to see what another pack did to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Went {
    /// The pack that it was last read with; 0 is the library inside the program.
    pub pack: u64,
    /// Whether that reading was complete.
    pub complete: bool,
    /// Whether the last reading with the pack before was.
    pub complete_before: bool,
}

/// A counter as last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Its value.
    pub value: u64,
    /// When that was read.
    pub at: Timestamp,
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

/// Completes a reading from what was known before: a counter that went backwards or jumped is suspect, and an alert that
/// has gone is repeated as last sent, with its clear time. Before the field policy, because memory holds clear values.
pub fn compare(reading: &mut Reading, before: &Known) {
    let read_at = reading.read_at;
    let speed = speed(reading).max(before.pages_per_minute);
    for (key, count) in reading.counters.iter_mut().flatten() {
        if let Some(last) = before.counters.get(key.as_str())
            && count.basis != Basis::Suspect
            && let Some(doubt) = doubt(key, count.value, *last, read_at, speed)
        {
            count.basis = Basis::Suspect;
            count.detail = Some(doubt);
        }
    }
    if let Some(alerts) = reading.alerts.as_mut().filter(|alerts| alerts.scope == AlertScope::All) {
        let gone = before.alerts.iter().filter(|old| !alerts.rows.iter().any(|new| same(old, new)));
        let cleared: Vec<Alert> = gone.map(|old| Alert { clear_time: Some(read_at), ..old.clone() }).collect();
        alerts.rows.extend(cleared);
    }
}

/// The highest pages per minute that a reading states.
fn speed(reading: &Reading) -> Option<u32> {
    let stated = reading.capabilities.as_ref()?;
    stated.pages_per_minute.max(stated.pages_per_minute_color)
}

/// Why nobody should bill a value that follows this one: it went backwards, or up by more than can pass a device in that
/// time. A maker's own counter may count anything, and a clock that was set back measures nothing: those only go backwards.
fn doubt(key: &CounterKey, value: u64, last: Last, read_at: Timestamp, speed: Option<u32>) -> Option<String> {
    let Some(more) = value.checked_sub(last.value) else {
        return Some(format!("was {} at the read before", last.value));
    };
    let passed = u64::try_from(read_at.duration_since(last.at).as_secs()).ok()?;
    if key.vendor_name().is_some() {
        return None;
    }
    let marks = ["system.", "print.", "copy."].iter().any(|service| key.as_str().starts_with(service));
    let stated = speed.map_or(PAGES_PER_MINUTE_UNSTATED, u64::from);
    let per_minute = if marks { stated } else { PAGES_PER_MINUTE_UNSTATED.max(stated) } * FASTER_AT_MOST;
    let most = per_minute.saturating_mul(passed + HELD_BACK_S) / 60;
    (more > most).then(|| format!("was {} {passed} s before, and {most} more are possible", last.value))
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
        let went = before.as_ref().map(|before| before.went).unwrap_or_default().after(reading);
        let (mut counters, mut alerts, full_at, known_speed) = before
            .map(|before| (before.counters, before.alerts, before.full_at, before.pages_per_minute))
            .unwrap_or_default();
        let (at, stated) = (reading.read_at, speed(reading));
        // a counter that got no answer this time keeps what it is measured against
        for (key, count) in reading.counters.iter().flatten() {
            let last = counters.get(key.as_str()).copied();
            let doubt = last.and_then(|last| doubt(key, count.value, last, at, stated.max(known_speed)));
            match count.basis {
                // after a step back or a jump nobody knows what is right: the next reading is measured against nothing
                Basis::Suspect if doubt.is_some() => {
                    counters.remove(key.as_str());
                }
                Basis::Suspect => {}
                _ if stands_in(count) => {}
                _ => {
                    counters.insert(key.to_string(), Last { value: count.value, at });
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
            pages_per_minute: stated.or(known_speed),
            alerts,
            seen_at: reading.read_at,
            full_at: if full { Some(reading.read_at) } else { full_at },
            went,
        })
    }
}

impl Went {
    fn after(self, reading: &Reading) -> Self {
        let pack = reading.mapping.as_ref().map_or(0, |mapping| mapping.pack);
        let complete_before = if pack == self.pack { self.complete_before } else { self.complete };
        Self { pack, complete: reading.outcome == Outcome::Complete, complete_before }
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
    let mut row = serde_json::to_vec(known).map_err(|error| StoreError::Failed(error.to_string()))?;
    row.push(BEHIND);
    row.extend_from_slice(known.learned.as_bytes());
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

/// Shows every known device, one after the other: all of a large fleet would not fit into memory. One whose address answers as
/// another device now, or under another key, is not shown.
pub fn each(tx: &Tx<'_>, keyring: &Keyring, mut show: impl FnMut(&Known)) -> Result<(), StoreError> {
    let names: Vec<String> = tx.rows("SELECT DISTINCT device FROM address ORDER BY device", [], |row| row.get(0))?;
    for name in names {
        let sealed = tx.row("SELECT sealed FROM device WHERE name = ?1", [&name], |row| row.get(0))?;
        if let Some(known) = sealed.and_then(|sealed| open(keyring, name, sealed)) {
            show(&known);
        }
    }
    Ok(())
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
    let at = row.iter().position(|byte| *byte == BEHIND)?;
    let known: Known = serde_json::from_slice(&row[..at]).ok()?;
    let learned = std::str::from_utf8(&row[at + 1..]).ok()?.to_owned();
    Some(Known { learned, ..known })
}

#[cfg(test)]
mod tests {
    use meterpost_wire::reading::{Capabilities, Evidence, Scope};

    use super::*;

    const TOTAL: &str = "system.impressions";

    fn reading(key: &str, count: Count, minute: i64, pages_per_minute: Option<u32>) -> Reading {
        let read_at = Timestamp::from_second(minute * 60).unwrap();
        Reading {
            capabilities: pages_per_minute
                .map(|speed| Capabilities { pages_per_minute: Some(speed), ..Default::default() }),
            counters: Some(BTreeMap::from([(CounterKey::parse(key).unwrap(), count)])),
            ..Reading::empty("sn:acme:S1".to_owned(), Scope::Full, read_at, Outcome::Complete)
        }
    }

    fn after(before: Option<Known>, reading: &Reading) -> Option<Known> {
        let (address, credential) = ("127.0.0.9".to_owned(), "c".to_owned());
        Known::after(before, reading, Reached { address, port: 161, credential, learned: String::new() })
    }

    /// What is known after these readings, each a value with its basis and rule.
    #[track_caller]
    fn check(read: &[(u64, Basis, &str)], expected: Option<u64>) {
        let mut known = None;
        for &(value, basis, rule) in read {
            let evidence = Evidence { rule: Some(rule.to_owned()), ..Evidence::default() };
            let mut reading = reading(TOTAL, Count { value, basis, evidence, unit: None, detail: None }, 0, None);
            if let Some(before) = &known {
                compare(&mut reading, before);
            }
            known = after(known, &reading);
        }
        assert_eq!(known.unwrap().counters.get(TOTAL).map(|last| last.value), expected);
    }

    #[test]
    fn a_stand_in_or_a_suspect_is_nothing_that_later_values_are_measured_against() {
        let (actual, derived, suspect) = (Basis::Actual, Basis::Derived, Basis::Suspect);
        check(&[(95_234, actual, "1"), (95_412, derived, "generic/printer-mib:1")], Some(95_234));
        check(&[(95_234, actual, "1"), (95_999, suspect, "1")], Some(95_234));
        check(&[(95_234, actual, "1"), (95_300, derived, "2")], Some(95_300));
        check(&[(95_234, actual, "1"), (5, actual, "1")], None);
        check(&[(95_234, actual, "1"), (5, actual, "1"), (6, actual, "1")], Some(6));
        check(&[(95_234, actual, "1"), (4_294_967_295, actual, "1")], None);
        check(&[(95_234, actual, "1"), (4_294_967_295, actual, "1"), (95_240, actual, "1")], Some(95_240));
    }

    /// What is doubted of a value, so many minutes after 1000 was read of a device that states this speed; its later
    /// readings, which are no full ones, state none.
    #[track_caller]
    fn check_jump(key: &str, pages_per_minute: Option<u32>, minutes: i64, value: u64, expected: Option<&str>) {
        let count =
            |value| Count { value, basis: Basis::Actual, evidence: Evidence::default(), unit: None, detail: None };
        let known = after(None, &reading(key, count(1000), 1_000_000, pages_per_minute)).unwrap();
        let mut next = reading(key, count(value), 1_000_000 + minutes, None);
        compare(&mut next, &known);
        let count = next.counters.unwrap().into_values().next().unwrap();
        assert_eq!(count.detail.as_deref(), expected);
        assert_eq!(count.basis == Basis::Suspect, expected.is_some());
    }

    #[test]
    fn more_pages_than_a_device_can_print_meanwhile_are_suspect() {
        // four times 50 pages in 23 hours and the one held back
        check_jump(TOTAL, Some(50), 23 * 60, 289_000, None);
        let why = Some("was 1000 82800 s before, and 288000 more are possible");
        check_jump(TOTAL, Some(50), 23 * 60, 289_001, why);
        let why = Some("was 1000 82800 s before, and 864000 more are possible");
        check_jump(TOTAL, None, 23 * 60, 865_000, None);
        check_jump(TOTAL, None, 23 * 60, 865_001, why);
        // a scanner is faster than the printer below it
        check_jump("scan.images", Some(50), 23 * 60, 289_001, None);
        check_jump("scan.images", Some(50), 23 * 60, u64::MAX, why);
        // what a maker counts may be centimetres; and of a clock that was set back nothing follows
        check_jump("vendor.print_length_cm", Some(50), 23 * 60, u64::MAX, None);
        check_jump(TOTAL, Some(50), -60, 289_001, None);
    }
}
