//! The field policy: what of a reading is sent, dropped, or sent as a keyed hash. Between normalising and the batch, so
//! that the outbox never holds what may not leave.
//!
//! # What is promised
//! A value that the policy drops or hashes is nowhere in the result: not in its field, not in the device's key, and not
//! inside another text (an alert that says the serial, a 1284 id with `SN:`, a host name made of the MAC). The counters
//! and the times are never changed.
//!
//! A hidden value is looked for in texts in any case of letters; one that is an ordinary word (a location `Office`), or
//! shorter than 4 characters, only as a whole word, because `12` is in everything.

mod hidden;

use meterpost_wire::Reading;
use meterpost_wire::reading::{Gap, GapReason, Identity, Network, Supply, Text};

use crate::device_id::SERIAL_KEYS;
use hidden::Hidden;

/// The field of a gap that says why there is no serial number.
const SERIAL_GAP: &str = "identity.serial_number";

/// What happens to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It is sent.
    Send,
    /// It is absent; of counters, supplies and alerts a gap says so.
    Drop,
    /// It is `h:` and 32 hex digits of a keyed hash: the same device is told again, and nothing about it. For texts only.
    Hash,
}

impl Rule {
    /// The word in `[privacy]`.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "send" => Self::Send,
            "drop" => Self::Drop,
            "hash" => Self::Hash,
            _ => return None,
        })
    }
}

/// A field that has a rule of its own: the keys of `[privacy]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Serial number of the device.
    SerialNumber,
    /// Asset tag.
    AssetTag,
    /// UUID. It can be dropped, not hashed: its place in the XML takes nothing but a UUID.
    Uuid,
    /// IEEE 1284 device id.
    DeviceId,
    /// The device's name.
    SystemName,
    /// sysLocation.
    Location,
    /// sysContact: a person's name, more often than not. Dropped by default.
    Contact,
    /// sysDescr. Dropped by default.
    SystemInfo,
    /// Firmware versions. They can be dropped, not hashed.
    Firmware,
    /// IP addresses.
    Address,
    /// MAC addresses.
    PhysicalAddress,
    /// Host name.
    HostName,
    /// Serial numbers of cartridges.
    SupplySerialNumber,
    /// Lines of the console. They can be dropped, not hashed; so can all that follow.
    Console,
    /// All counters.
    Counters,
    /// Supplies.
    Supplies,
    /// Trays in.
    Inputs,
    /// Bins out.
    Outputs,
    /// Covers.
    Covers,
    /// Alerts.
    Alerts,
    /// State and errors.
    Status,
    /// What the device can do.
    Capabilities,
}

/// Every field with its word in `[privacy]`, the default rule, and whether it can be hashed.
pub const FIELDS: [(Field, &str, Rule, bool); 22] = [
    (Field::SerialNumber, "serial_number", Rule::Send, true),
    (Field::AssetTag, "asset_tag", Rule::Send, true),
    (Field::Uuid, "uuid", Rule::Send, false),
    (Field::DeviceId, "device_id", Rule::Send, true),
    (Field::SystemName, "system_name", Rule::Send, true),
    (Field::Location, "location", Rule::Send, true),
    (Field::Contact, "contact", Rule::Drop, true),
    (Field::SystemInfo, "system_info", Rule::Drop, true),
    (Field::Firmware, "firmware", Rule::Send, false),
    (Field::Address, "address", Rule::Send, true),
    (Field::PhysicalAddress, "physical_address", Rule::Send, true),
    (Field::HostName, "host_name", Rule::Send, true),
    (Field::SupplySerialNumber, "supply_serial_number", Rule::Send, true),
    (Field::Console, "console", Rule::Send, false),
    (Field::Counters, "counters", Rule::Send, false),
    (Field::Supplies, "supplies", Rule::Send, false),
    (Field::Inputs, "inputs", Rule::Send, false),
    (Field::Outputs, "outputs", Rule::Send, false),
    (Field::Covers, "covers", Rule::Send, false),
    (Field::Alerts, "alerts", Rule::Send, false),
    (Field::Status, "status", Rule::Send, false),
    (Field::Capabilities, "capabilities", Rule::Send, false),
];

/// A rule for every field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    rules: [Rule; FIELDS.len()],
}

impl Default for Policy {
    fn default() -> Self {
        Self { rules: FIELDS.map(|(_, _, rule, _)| rule) }
    }
}

/// A line of `[privacy]` that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The key names no field.
    #[error("`{0}` names no field")]
    UnknownField(String),
    /// The value names no rule.
    #[error("`{0}` is no rule: `send`, `drop` and `hash` are")]
    UnknownRule(String),
    /// Numbers and lists have no hash.
    #[error("`{0}` cannot be hashed: `send` and `drop` are possible")]
    NoHash(String),
}

impl Policy {
    /// Sets a rule as `[privacy]` writes it: `serial_number = "hash"`.
    pub fn set(&mut self, field: &str, rule: &str) -> Result<(), PolicyError> {
        let Some(place) = FIELDS.iter().position(|(_, word, _, _)| *word == field) else {
            return Err(PolicyError::UnknownField(field.to_owned()));
        };
        let rule = Rule::parse(rule).ok_or_else(|| PolicyError::UnknownRule(rule.to_owned()))?;
        if rule == Rule::Hash && !FIELDS[place].3 {
            return Err(PolicyError::NoHash(field.to_owned()));
        }
        self.rules[place] = rule;
        Ok(())
    }

    /// The rule of a field.
    pub fn rule(&self, field: Field) -> Rule {
        let place = FIELDS.iter().position(|(named, ..)| *named == field);
        place.map_or(Rule::Drop, |place| self.rules[place])
    }
}

/// Applies the policy. `hash` is the keyed hash under the at-rest key `names`: the whole text `h:…`.
pub fn apply(mut reading: Reading, policy: &Policy, hash: &dyn Fn(&str) -> String) -> Reading {
    let pass = Pass { hidden: Hidden::of(&reading, policy, hash), policy, hash };
    if pass.hides_key(&reading.key) {
        reading.key = hash(&reading.key);
    }
    if let Some(identity) = &mut reading.identity {
        pass.identity(identity);
    }
    if let Some(network) = &mut reading.network {
        pass.network(network);
    }
    for supply in reading.supplies.iter_mut().flatten() {
        pass.supply(supply);
    }
    for count in reading.counters.iter_mut().flat_map(|counters| counters.values_mut()) {
        pass.clean(&mut count.detail);
    }
    for tray in reading.inputs.iter_mut().chain(&mut reading.outputs).flatten() {
        pass.clean(&mut tray.name);
    }
    for cover in reading.covers.iter_mut().flatten() {
        pass.clean(&mut cover.description);
    }
    for alert in reading.alerts.iter_mut().flat_map(|alerts| &mut alerts.rows) {
        pass.clean(&mut alert.description);
    }
    if let Some(status) = &mut reading.status {
        if !pass.sends(Field::Console) {
            status.console.clear();
        }
        pass.clean_all(&mut status.console);
        pass.clean_all(&mut status.state_reasons);
    }
    for gap in &mut reading.gaps {
        // it quotes the text that was no serial number, and that may be one after all
        if gap.field == SERIAL_GAP && !pass.sends(Field::SerialNumber) {
            gap.detail = None;
        }
        pass.clean(&mut gap.detail);
    }
    pass.containers(&mut reading);
    reading
}

/// A device's key under the policy, when nothing else of it is at hand.
pub fn key(key: &str, policy: &Policy, hash: &dyn Fn(&str) -> String) -> String {
    let shown = |field| policy.rule(field) == Rule::Send;
    if key_field(key).is_none_or(shown) { key.to_owned() } else { hash(key) }
}

/// What a key is made of.
fn key_field(key: &str) -> Option<Field> {
    match key.split(':').next() {
        Some("sn") => Some(Field::SerialNumber),
        Some("uuid") => Some(Field::Uuid),
        Some("mac") => Some(Field::PhysicalAddress),
        Some("ip") => Some(Field::Address),
        _ => None,
    }
}

/// One application of a policy to one reading.
struct Pass<'a> {
    hidden: Hidden,
    policy: &'a Policy,
    hash: &'a dyn Fn(&str) -> String,
}

impl Pass<'_> {
    fn sends(&self, field: Field) -> bool {
        self.policy.rule(field) == Rule::Send
    }

    fn hides_key(&self, key: &str) -> bool {
        key_field(key).is_some_and(|field| !self.sends(field)) || self.hidden.is_in(key)
    }

    fn identity(&self, identity: &mut Identity) {
        self.text(&mut identity.serial_number, Field::SerialNumber);
        self.text(&mut identity.asset_tag, Field::AssetTag);
        // a UUID is sent whole or not at all: many end in the MAC
        identity.uuid = identity.uuid.take().filter(|uuid| self.sends(Field::Uuid) && !self.hidden.is_in(uuid));
        if !self.sends(Field::SerialNumber) {
            identity.device_id = identity.device_id.take().map(|id| without_serial(&id));
        }
        self.field(&mut identity.device_id, Field::DeviceId);
        self.field(&mut identity.system_name, Field::SystemName);
        self.field(&mut identity.location, Field::Location);
        self.field(&mut identity.contact, Field::Contact);
        self.field(&mut identity.system_info, Field::SystemInfo);
        if !self.sends(Field::Firmware) {
            identity.firmwares.clear();
        }
        for firmware in &mut identity.firmwares {
            firmware.version.value = self.hidden.numbers_replaced(&firmware.version.value);
        }
        // who made it and which model it is are never personal, but a serial may stand there by mistake
        for text in identity.vendor.iter_mut().chain(&mut identity.model) {
            text.value = self.hidden.numbers_replaced(&text.value);
        }
        if let Some(text) = &mut identity.make_and_model {
            *text = self.hidden.numbers_replaced(text);
        }
    }

    fn network(&self, network: &mut Network) {
        self.list(&mut network.addresses, Field::Address);
        self.list(&mut network.physical_addresses, Field::PhysicalAddress);
        self.field(&mut network.host_name, Field::HostName);
    }

    fn supply(&self, supply: &mut Supply) {
        self.field(&mut supply.serial_number, Field::SupplySerialNumber);
        self.clean(&mut supply.description);
        self.clean(&mut supply.part_number);
    }

    /// Lists and numbers that are dropped whole leave a gap each.
    fn containers(&self, reading: &mut Reading) {
        let mut dropped = Vec::new();
        macro_rules! drop_whole {
            ($($member:ident $field:ident),*) => {
                $(if !self.sends(Field::$field) && reading.$member.take().is_some() {
                    dropped.push(stringify!($member));
                })*
            };
        }
        drop_whole!(capabilities Capabilities, counters Counters, supplies Supplies, inputs Inputs, outputs Outputs,
            covers Covers, alerts Alerts, status Status);
        let gap = |field: &str| Gap { field: field.to_owned(), reason: GapReason::Policy, detail: None };
        reading.gaps.extend(dropped.into_iter().map(gap));
    }

    fn field(&self, value: &mut Option<String>, field: Field) {
        *value = match (value.take(), self.policy.rule(field)) {
            (Some(text), Rule::Send) => self.hidden.replaced(&text),
            (Some(text), Rule::Hash) => Some((self.hash)(&text)),
            (_, _) => None,
        };
    }

    fn text(&self, value: &mut Option<Text>, field: Field) {
        let mut bare = value.as_ref().map(|text| text.value.clone());
        self.field(&mut bare, field);
        *value = value.take().zip(bare).map(|(text, bare)| Text { value: bare, ..text });
    }

    fn list(&self, values: &mut Vec<String>, field: Field) {
        match self.policy.rule(field) {
            Rule::Send => {}
            Rule::Hash => values.iter_mut().for_each(|value| *value = (self.hash)(value)),
            Rule::Drop => values.clear(),
        }
    }

    fn clean(&self, value: &mut Option<String>) {
        *value = value.take().and_then(|text| self.hidden.replaced(&text));
    }

    fn clean_all(&self, values: &mut Vec<String>) {
        *values = std::mem::take(values).iter().filter_map(|text| self.hidden.replaced(text)).collect();
    }
}

/// A 1284 id without its serial, also where that differs from the one that was read (some cut it, some pad it).
fn without_serial(device_id: &str) -> String {
    let is_serial = |pair: &str| {
        let key = pair.split(':').next().unwrap_or_default();
        let key = key.trim_matches(|c: char| c.is_whitespace() || c.is_control());
        SERIAL_KEYS.iter().any(|serial| serial.eq_ignore_ascii_case(key))
    };
    device_id.split_inclusive(';').filter(|pair| !is_serial(pair)).collect()
}

#[cfg(test)]
mod tests;
