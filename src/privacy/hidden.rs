//! Values that may not leave, found wherever they stand in a text.

use meterpost_wire::Reading;
use meterpost_wire::reading::Identity;

use super::{Field, Policy, Rule};

/// Shorter values are looked for as whole words only.
const SHORTEST: usize = 4;

/// What stands in place of a value that was dropped.
const MARK: &str = "[hidden]";

/// The values of one reading that its policy hides.
pub(super) struct Hidden {
    values: Vec<Value>,
}

struct Value {
    /// In lower case.
    text: String,
    /// What stands in its place.
    instead: String,
    edge: Edge,
}

/// Where an occurrence may begin and end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// Anywhere: a number that names one device.
    Free,
    /// Not beside a digit: `10.0.0.1` is not in `10.0.0.12`.
    Digit,
    /// Not beside a letter or a digit: an ordinary word.
    Word,
}

impl Hidden {
    pub(super) fn of(reading: &Reading, policy: &Policy, hash: &dyn Fn(&str) -> String) -> Self {
        let mut found = Collector { values: Vec::new(), policy, hash };
        if let Some(identity) = &reading.identity {
            if let Some(serial) = &identity.serial_number {
                found.number(Field::SerialNumber, &serial.value);
            }
            if let Some(uuid) = &identity.uuid {
                found.forms(Field::Uuid, uuid, &[uuid.clone(), uuid.replace('-', "")], Edge::Free);
            }
            if let Some(tag) = &identity.asset_tag {
                found.name(Field::AssetTag, &tag.value);
            }
            // many devices are named after their model until somebody names them: such a name tells nothing of a place
            let own_name = |text: &Option<String>| text.clone().filter(|text| !is_model(identity, text));
            found.name_if(Field::SystemName, &own_name(&identity.system_name));
            found.name_if(Field::Location, &identity.location);
            found.name_if(Field::Contact, &identity.contact);
        }
        if let Some(network) = &reading.network {
            for address in &network.addresses {
                found.forms(Field::Address, address, &[address.clone(), address.replace('.', "-")], Edge::Digit);
            }
            for mac in &network.physical_addresses {
                found.forms(Field::PhysicalAddress, mac, &mac_forms(mac), Edge::Free);
            }
            found.name_if(Field::HostName, &network.host_name);
        }
        // the key repeats one of them, maybe in another form
        match reading.key.split_once(':') {
            Some(("sn", rest)) => {
                let serial = rest.split_once(':').map_or(rest, |(_, serial)| serial);
                found.number(Field::SerialNumber, serial);
            }
            Some(("mac", mac)) => found.forms(Field::PhysicalAddress, mac, &mac_forms(mac), Edge::Free),
            Some(("ip", address)) => found.forms(Field::Address, address, &[address.to_owned()], Edge::Digit),
            Some(("uuid", uuid)) => {
                found.forms(Field::Uuid, uuid, &[uuid.to_owned(), uuid.replace('-', "")], Edge::Free)
            }
            _ => {}
        }
        for serial in reading.supplies.iter().flatten().filter_map(|supply| supply.serial_number.as_ref()) {
            found.number(Field::SupplySerialNumber, serial);
        }
        let mut values = found.values;
        // the longest first, so that a full name goes before its first label
        values.sort_by_key(|value| std::cmp::Reverse(value.text.len()));
        Self { values }
    }

    /// Whether a hidden value stands in `text`.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let folded = text.to_ascii_lowercase();
        self.values.iter().any(|value| value.find(&folded, 0).is_some())
    }

    /// The text without hidden values; `None` when nothing else was in it.
    pub(super) fn replaced(&self, text: &str) -> Option<String> {
        let clean = self.replace(text, |_| true);
        (clean.trim() != MARK).then_some(clean)
    }

    /// The same for a text that is about the model: ordinary words stay, `HP` may be somebody's location too.
    pub(super) fn numbers_replaced(&self, text: &str) -> String {
        self.replace(text, |value| value.edge != Edge::Word)
    }

    fn replace(&self, text: &str, wanted: impl Fn(&Value) -> bool) -> String {
        let mut clean = text.to_owned();
        for value in self.values.iter().filter(|value| wanted(value)) {
            // what stands instead is stepped over: it may hold a short value by chance
            let mut at = 0;
            while let Some(found) = value.find(&clean.to_ascii_lowercase(), at) {
                clean.replace_range(found..found + value.text.len(), &value.instead);
                at = found + value.instead.len();
            }
        }
        clean
    }
}

impl Value {
    /// ASCII folding keeps every byte in its place, so an offset in the folded text is one in the text.
    fn find(&self, folded: &str, from: usize) -> Option<usize> {
        let fits = |&at: &usize| {
            let before = folded[..at].chars().next_back();
            let after = folded[at + self.text.len()..].chars().next();
            [before, after].into_iter().flatten().all(|c| match self.edge {
                Edge::Free => true,
                Edge::Digit => !c.is_ascii_digit(),
                Edge::Word => !c.is_alphanumeric(),
            })
        };
        folded[from..].match_indices(&self.text).map(|(at, _)| at + from).find(fits)
    }
}

struct Collector<'a> {
    values: Vec<Value>,
    policy: &'a Policy,
    hash: &'a dyn Fn(&str) -> String,
}

impl Collector<'_> {
    fn number(&mut self, field: Field, text: &str) {
        let bare: String = text.split_whitespace().collect();
        self.forms(field, text, &[text.to_owned(), bare], Edge::Free);
    }

    fn name_if(&mut self, field: Field, text: &Option<String>) {
        if let Some(text) = text {
            self.name(field, text);
        }
    }

    /// A name with a digit in it is hardly an ordinary word. The first label of a host name stands alone often enough.
    fn name(&mut self, field: Field, text: &str) {
        let edge = if text.contains(|c: char| c.is_ascii_digit()) { Edge::Free } else { Edge::Word };
        let label = text.split('.').next().unwrap_or(text);
        self.forms(field, text, &[text.to_owned(), label.to_owned()], edge);
    }

    fn forms(&mut self, field: Field, clear: &str, forms: &[String], edge: Edge) {
        let instead = match self.policy.rule(field) {
            Rule::Send => return,
            Rule::Drop => MARK.to_owned(),
            Rule::Hash => (self.hash)(clear),
        };
        for form in forms {
            let text = form.trim().to_ascii_lowercase();
            if text.is_empty() || self.values.iter().any(|value| value.text == text) {
                continue;
            }
            let edge = if text.len() < SHORTEST { Edge::Word } else { edge };
            self.values.push(Value { text, instead: instead.clone(), edge });
        }
    }
}

/// Whether a name is the model, or the brand and the model, and no more. Not where the model was read from the name.
fn is_model(identity: &Identity, name: &str) -> bool {
    const SYS_NAME: &str = "1.3.6.1.2.1.1.5.0";
    let Some(model) = &identity.model else { return false };
    let vendor = identity.vendor.as_ref().map(|vendor| vendor.value.as_str()).unwrap_or_default();
    let read_from_name = model.evidence.oid.as_ref().is_some_and(|oid| oid.split(' ').any(|oid| oid == SYS_NAME));
    let both = format!("{vendor} {}", model.value);
    !read_from_name && [model.value.as_str(), &both].iter().any(|own| own.eq_ignore_ascii_case(name.trim()))
}

/// A MAC as devices write it, and its last three octets, which host names are made of (`NPI8FA2C1`, `BRN…`).
fn mac_forms(mac: &str) -> Vec<String> {
    let digits: String = mac.chars().filter(char::is_ascii_hexdigit).collect();
    let joined = |digits: &str, size: usize, by: &str| {
        let groups: Vec<&str> = (0..digits.len()).step_by(size).filter_map(|at| digits.get(at..at + size)).collect();
        groups.join(by)
    };
    let mut forms = vec![mac.to_owned()];
    for part in [digits.as_str(), digits.get(6..).unwrap_or_default()] {
        forms.extend([":", "-", "", " ", "."].map(|by| joined(part, 2, by)));
    }
    forms.push(joined(&digits, 4, "."));
    forms
}
