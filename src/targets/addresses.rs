//! A set of addresses as ranges.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A set of addresses as ranges: sorted, disjoint, not touching. IPv4 stands before IPv6.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    ranges: Vec<Range>,
    /// For each range, how many addresses stand before it.
    before: Vec<u64>,
}

/// From `first` to `last`, both included, both of one family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub first: IpAddr,
    pub last: IpAddr,
}

impl Addresses {
    /// One address.
    pub fn one(address: IpAddr) -> Self {
        Self::of(vec![Range { first: address, last: address }])
    }

    /// How many.
    pub fn len(&self) -> u64 {
        match (self.before.last(), self.ranges.last()) {
            (Some(before), Some(range)) => before.saturating_add(range.len_capped()),
            _ => 0,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether `address` is among them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.position(address).is_some()
    }

    /// The address at a position, counted from 0 in order.
    pub fn nth(&self, position: u64) -> Option<IpAddr> {
        let at = self.before.partition_point(|&before| before <= position).checked_sub(1)?;
        let range = self.ranges.get(at)?;
        let behind = u128::from(position - self.before[at]);
        (behind < range.len()).then(|| step(range.first, behind))
    }

    /// The position of an address.
    pub fn position(&self, address: IpAddr) -> Option<u64> {
        let at = self.ranges.partition_point(|range| range.first <= address).checked_sub(1)?;
        let range = &self.ranges[at];
        if address > range.last || address.is_ipv4() != range.first.is_ipv4() {
            return None;
        }
        self.before[at].checked_add(u64::try_from(distance(range.first, address)).ok()?)
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.ranges.iter().flat_map(|range| (0..range.len()).map(|n| step(range.first, n)))
    }

    /// Those of both.
    pub fn union(&self, other: &Self) -> Self {
        Self::of(self.ranges.iter().chain(&other.ranges).copied().collect())
    }

    /// Those that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for range in &self.ranges {
            let mut rest = Some(*range);
            for cut in &other.ranges {
                let Some(now) = rest else { break };
                if cut.last < now.first || cut.first > now.last || cut.first.is_ipv4() != now.first.is_ipv4() {
                    continue;
                }
                if cut.first > now.first {
                    left.push(Range { first: now.first, last: back(cut.first) });
                }
                rest = (cut.last < now.last).then(|| Range { first: step(cut.last, 1), last: now.last });
            }
            left.extend(rest);
        }
        Self::of(left)
    }

    /// Those that are in both.
    pub fn within(&self, other: &Self) -> Self {
        self.without(&self.without(other))
    }

    /// Sorts and merges.
    pub(super) fn of(mut ranges: Vec<Range>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if last.joins(&range) => last.last = last.last.max(range.last),
                _ => merged.push(range),
            }
        }
        let before = merged
            .iter()
            .scan(0_u64, |sum, range| Some(std::mem::replace(sum, sum.saturating_add(range.len_capped()))))
            .collect();
        Self { ranges: merged, before }
    }
}

impl From<ipnet::IpNet> for Addresses {
    /// All addresses of the network, its own and the broadcast address among them.
    fn from(net: ipnet::IpNet) -> Self {
        Self::of(vec![Range { first: net.network(), last: net.broadcast() }])
    }
}

impl FromIterator<IpAddr> for Addresses {
    /// Runs of neighbours in order take the room of one range while they are collected.
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let mut ranges: Vec<Range> = Vec::new();
        for address in addresses {
            match ranges.last_mut() {
                Some(run) if run.joins(&Range { first: address, last: address }) && address > run.last => {
                    run.last = address;
                }
                _ => ranges.push(Range { first: address, last: address }),
            }
        }
        Self::of(ranges)
    }
}

impl fmt::Display for Addresses {
    /// As targets are written: `10.0.0.1-10.0.0.9, 10.0.1.7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, range) in self.ranges.iter().enumerate() {
            f.write_str(if n > 0 { ", " } else { "" })?;
            write!(f, "{}", range.first)?;
            if range.first != range.last {
                write!(f, "-{}", range.last)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl Range {
    pub fn len(&self) -> u128 {
        distance(self.first, self.last).saturating_add(1)
    }

    fn len_capped(&self) -> u64 {
        u64::try_from(self.len()).unwrap_or(u64::MAX)
    }

    /// Whether `next` begins in this one or right behind it.
    fn joins(&self, next: &Self) -> bool {
        self.first.is_ipv4() == next.first.is_ipv4()
            && next.first >= self.first
            && (next.first <= self.last || distance(self.last, next.first) == 1)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// How far apart two addresses of one family are; `to` is not before `from`.
fn distance(from: IpAddr, to: IpAddr) -> u128 {
    number(to) - number(from)
}

/// The address `n` behind; the caller stays within the family.
pub(super) fn step(address: IpAddr, n: u128) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits().wrapping_add(n as u32)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits().wrapping_add(n)).into(),
    }
}

/// The address before.
pub(super) fn back(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits().wrapping_sub(1)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits().wrapping_sub(1)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(&str, &str)]) -> Addresses {
        let range = |(first, last): &(&str, &str)| Range { first: first.parse().unwrap(), last: last.parse().unwrap() };
        Addresses::of(ranges.iter().map(range).collect())
    }

    #[test]
    fn addresses_are_found_by_position_and_back() {
        let addresses = set(&[("10.0.0.1", "10.0.0.3"), ("10.0.1.1", "10.0.1.254"), ("::5", "::5")]);
        for (n, address) in addresses.iter().enumerate() {
            assert_eq!((addresses.nth(n as u64), addresses.position(address)), (Some(address), Some(n as u64)));
        }
        assert_eq!(addresses.nth(addresses.len()), None);
        assert_eq!(addresses.position("10.0.0.4".parse().unwrap()), None);
    }

    #[test]
    fn sets_are_cut_and_joined() {
        let all = set(&[("10.0.0.1", "10.0.0.100"), ("::1", "::9")]);
        let cut = set(&[("10.0.0.10", "10.0.0.20"), ("10.0.0.90", "10.0.1.9"), ("::1", "::1")]);
        assert_eq!(all.without(&cut).to_string(), "10.0.0.1-10.0.0.9, 10.0.0.21-10.0.0.89, ::2-::9");
        assert_eq!(all.without(&all), Addresses::default());
        let other = set(&[("10.0.0.99", "10.0.0.200"), ("::8", "::a")]);
        assert_eq!(all.within(&other).to_string(), "10.0.0.99-10.0.0.100, ::8-::9");
        let net: ipnet::IpNet = "10.0.0.0/30".parse().unwrap();
        assert_eq!(Addresses::from(net).to_string(), "10.0.0.0-10.0.0.3");
    }
}
