//! Ranges, names and exclusions: whom a sweep asks, and with which credentials.
//!
//! A target is an address, a CIDR, an `a-b` range, a host name, or `@file` with one of these on each line. All become
//! [`Addresses`], a sorted list of ranges: a /16 costs 34 bytes, not 65,536 addresses. Names and files are looked up by
//! closures that the caller brings, so nothing here waits or reads.
//!
//! Limits: a /16 (65,536 addresses) per target, 1,048,576 in all. Beyond them the text is refused, with what would be
//! right.

mod addresses;
mod text;

pub use addresses::Addresses;
pub use text::{ADDRESSES_MAX, BadTarget, TARGET_ADDRESSES_MAX, World};

/// Addresses that are asked alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Who.
    pub addresses: Addresses,
    /// At which port.
    pub port: u16,
    /// With which credentials, by name, in this order. No other is ever sent there.
    pub credentials: Vec<String>,
}

/// All that one sweep asks. No address is in two groups of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    groups: Vec<Group>,
    excluded: Addresses,
}

impl Targets {
    /// Adds a group without `exclude`. An address that an earlier group has at the same port keeps its place there and
    /// is asked with the credentials of both, the earlier ones first.
    pub fn add(&mut self, group: Group, exclude: &Addresses) -> Result<(), BadTarget> {
        self.excluded = self.excluded.union(&group.addresses.within(exclude));
        let mut fresh = group.addresses.without(exclude);
        let mut groups = Vec::with_capacity(self.groups.len() + 1);
        for known in std::mem::take(&mut self.groups) {
            let shared = if known.port == group.port { known.addresses.within(&fresh) } else { Addresses::default() };
            fresh = fresh.without(&shared);
            let mut credentials = known.credentials.clone();
            credentials.extend(group.credentials.iter().filter(|name| !known.credentials.contains(name)).cloned());
            let own = known.addresses.without(&shared);
            groups.push(Group { addresses: own, ..known });
            groups.push(Group { addresses: shared, port: group.port, credentials });
        }
        groups.push(Group { addresses: fresh, ..group });
        groups.retain(|group| !group.addresses.is_empty());
        self.groups = groups;
        match self.len() {
            0..=ADDRESSES_MAX => Ok(()),
            many => Err(BadTarget::TooMany(many)),
        }
    }

    /// The groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// What was named and then excluded, and is asked by nobody: an exclusion holds for its own group, and an address that
    /// another one asks has the verdict of that.
    pub fn excluded(&self) -> Addresses {
        self.groups.iter().fold(self.excluded.clone(), |left, group| left.without(&group.addresses))
    }

    /// Takes out of `group` what is asked here already at its port and not in `exclude`: it keeps its place, with the
    /// credentials of both, the earlier ones first. So no two sweeps ask one printer.
    pub fn claim(&mut self, group: &mut Group, exclude: &Addresses) -> Result<(), BadTarget> {
        let wanted = group.addresses.without(exclude);
        let same_port = self.groups.iter().filter(|known| known.port == group.port);
        let shared = same_port.fold(Addresses::default(), |all, known| all.union(&known.addresses.within(&wanted)));
        group.addresses = group.addresses.without(&shared);
        self.add(Group { addresses: shared, ..group.clone() }, &Addresses::default())
    }

    /// Takes what another sweep asks, or tells as excluded, from what this one tells as excluded.
    pub fn leave_to(&mut self, other: &Self) {
        let asked = other.groups.iter().fold(other.excluded(), |all, group| all.union(&group.addresses));
        self.excluded = self.excluded.without(&asked);
    }

    /// How many addresses are asked.
    pub fn len(&self) -> u64 {
        self.groups.iter().fold(0, |sum, group| sum.saturating_add(group.addresses.len()))
    }

    /// Whether there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> Addresses {
        let mut none = |_: &str| Err("no names here".to_owned());
        let mut no_file = |_: &str| Err("no files here".to_owned());
        Addresses::parse(texts, &mut World { resolve: &mut none, read_file: &mut no_file }).unwrap()
    }

    fn group(texts: &[&str], port: u16, names: &[&str]) -> Group {
        let credentials = names.iter().map(|&name| name.to_owned()).collect();
        Group { addresses: set(texts), port, credentials }
    }

    fn shown(targets: &Targets) -> Vec<String> {
        let shown = |group: &Group| format!("{} {} {}", group.addresses, group.port, group.credentials.join("+"));
        targets.groups().iter().map(shown).collect()
    }

    #[test]
    fn an_address_in_two_groups_is_asked_once_with_the_credentials_of_both() {
        let mut targets = Targets::default();
        let none = Addresses::default();
        targets.add(group(&["10.0.0.1-10"], 161, &["a"]), &set(&["10.0.0.2"])).unwrap();
        targets.add(group(&["10.0.0.9-12"], 161, &["b", "a"]), &none).unwrap();
        targets.add(group(&["10.0.0.9"], 1161, &["c"]), &none).unwrap();
        assert_eq!(
            shown(&targets),
            [
                "10.0.0.1, 10.0.0.3-10.0.0.8 161 a",
                "10.0.0.9-10.0.0.10 161 a+b",
                "10.0.0.11-10.0.0.12 161 b+a",
                "10.0.0.9 1161 c",
            ]
        );
        assert_eq!((targets.len(), targets.excluded().to_string().as_str()), (12, "10.0.0.2"));
    }

    #[test]
    fn an_address_that_one_group_excludes_and_another_asks_is_asked_and_not_excluded() {
        let none = Addresses::default();
        let mut targets = Targets::default();
        targets.add(group(&["10.0.0.1-9"], 161, &["a"]), &set(&["10.0.0.2-4"])).unwrap();
        targets.add(group(&["10.0.0.3"], 161, &["b"]), &none).unwrap();
        assert_eq!(targets.excluded().to_string(), "10.0.0.2, 10.0.0.4");
        assert_eq!(targets.len() + targets.excluded().len(), 9);
    }

    #[test]
    fn two_sweeps_share_no_address_and_count_none_twice() {
        let none = Addresses::default();
        let mut first = Targets::default();
        first.add(group(&["10.0.0.1-20"], 161, &["a"]), &set(&["10.0.0.5-6"])).unwrap();
        let mut later = group(&["10.0.0.4-5", "10.0.0.19-30"], 161, &["b"]);
        let mut second = Targets::default();
        first.claim(&mut later, &set(&["10.0.0.20-21"])).unwrap();
        second.add(later, &set(&["10.0.0.20-21"])).unwrap();
        let mut other_port = group(&["10.0.0.4"], 1161, &["c"]);
        first.claim(&mut other_port, &none).unwrap();
        second.add(other_port, &none).unwrap();
        first.leave_to(&second);
        second.leave_to(&first);
        assert_eq!(
            shown(&first),
            ["10.0.0.1-10.0.0.3, 10.0.0.7-10.0.0.18, 10.0.0.20 161 a", "10.0.0.4, 10.0.0.19 161 a+b"]
        );
        assert_eq!(shown(&second), ["10.0.0.5, 10.0.0.22-10.0.0.30 161 b", "10.0.0.4 1161 c"]);
        assert_eq!(
            (first.excluded().to_string().as_str(), second.excluded().to_string().as_str()),
            ("10.0.0.6", "10.0.0.21")
        );
    }
}
