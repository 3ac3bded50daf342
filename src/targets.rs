//! Ranges, names and exclusions: whom a sweep asks, and with which credentials.
//!
//! A target is an address, a CIDR, an `a-b` range, a host name, or `@file` with one of these on each line. All become
//! [`Addresses`], a sorted list of ranges: a /16 costs 34 bytes, not 65,536 addresses. Names and files are looked up by
//! closures that the caller brings, so nothing here waits or reads.
//!
//! Limits: a /16 (65,536 addresses) per target, 1,048,576 in all. Beyond them the text is refused, with what would be
//! right.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses in one target.
pub const TARGET_ADDRESSES_MAX: u64 = 65_536;
/// Addresses in all targets of a sweep.
pub const ADDRESSES_MAX: u64 = 1_048_576;
/// Files that name files, one within the other.
const FILE_DEPTH_MAX: usize = 4;

/// A text that names no target, or too many addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Neither address, CIDR, range, name nor file.
    #[error(
        "`{0}` is no target: an address, `10.0.0.0/24`, `10.0.0.1-10.0.0.50`, `10.0.0.1-50`, a host name or `@file` would be"
    )]
    Text(String),
    /// A prefix length beyond the address.
    #[error("`{text}` has no prefix length of 0 to {most} behind the slash")]
    Prefix {
        /// As given.
        text: String,
        /// 32 or 128.
        most: u8,
    },
    /// A range whose end lies before its beginning.
    #[error("`{0}` ends before it begins")]
    Backwards(String),
    /// A range from one family to the other.
    #[error("`{0}` goes from an IPv4 to an IPv6 address")]
    Families(String),
    /// More than a /16.
    #[error("`{text}` has {addresses} addresses, more than the 65,536 (a /16) of one target; {}", hint(*.is_v6))]
    TooLarge {
        /// As given.
        text: String,
        /// How many it would be; `u128::MAX` stands for all that there are.
        addresses: u128,
        /// Whether they are IPv6 addresses.
        is_v6: bool,
    },
    /// More than a sweep bears.
    #[error("the targets have {0} addresses together, more than the 1,048,576 of one sweep; split them into several")]
    TooMany(u64),
    /// A name without an address.
    #[error("`{name}` has no address: {reason}")]
    Name {
        /// As given.
        name: String,
        /// What the resolver said.
        reason: String,
    },
    /// A file that cannot be read.
    #[error("`@{path}` cannot be read: {reason}")]
    File {
        /// Behind the `@`.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A line of a file.
    #[error("`@{path}` line {line}: {error}")]
    Line {
        /// Behind the `@`.
        path: String,
        /// From 1.
        line: usize,
        /// What is wrong there.
        error: Box<BadTarget>,
    },
}

fn hint(is_v6: bool) -> &'static str {
    if is_v6 { "name the printers' addresses, an IPv6 network is too large to sweep" } else { "split it" }
}

/// What reading targets needs of the world.
pub struct World<'a> {
    /// The addresses of a host name, or why there are none. An empty list leaves the name out: the caller knows of it.
    pub resolve: &'a mut dyn FnMut(&str) -> Result<Vec<IpAddr>, String>,
    /// The text of a file, or why there is none.
    pub read_file: &'a mut dyn FnMut(&str) -> Result<String, String>,
}

/// A set of addresses as ranges: sorted, disjoint, not touching. IPv4 stands before IPv6.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    ranges: Vec<Range>,
    /// For each range, how many addresses stand before it.
    before: Vec<u64>,
}

/// From `first` to `last`, both included, both of one family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    first: IpAddr,
    last: IpAddr,
}

impl Addresses {
    /// Reads all texts; the first bad one is the error.
    pub fn parse<S: AsRef<str>>(texts: &[S], world: &mut World) -> Result<Self, BadTarget> {
        let mut ranges = Vec::new();
        for text in texts {
            parse_into(text.as_ref(), world, FILE_DEPTH_MAX, &mut ranges)?;
        }
        let all = Self::of(ranges);
        match all.len() {
            0..=ADDRESSES_MAX => Ok(all),
            many => Err(BadTarget::TooMany(many)),
        }
    }

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
    fn of(mut ranges: Vec<Range>) -> Self {
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
    fn len(&self) -> u128 {
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
fn step(address: IpAddr, n: u128) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits().wrapping_add(n as u32)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits().wrapping_add(n)).into(),
    }
}

/// The address before.
fn back(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits().wrapping_sub(1)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits().wrapping_sub(1)).into(),
    }
}

fn parse_into(text: &str, world: &mut World, depth: usize, ranges: &mut Vec<Range>) -> Result<(), BadTarget> {
    let text = text.trim();
    if let Some(path) = text.strip_prefix('@') {
        return parse_file(path, world, depth, ranges);
    }
    let range = if let Some((address, prefix)) = text.split_once('/') {
        cidr(text, address, prefix)?
    } else if let Ok(address) = plain_address(text) {
        Range { first: address, last: address }
    } else if let Some(range) = span(text)? {
        range
    } else {
        return resolve(text, world, ranges);
    };
    let addresses = range.len();
    if addresses > u128::from(TARGET_ADDRESSES_MAX) {
        return Err(BadTarget::TooLarge { text: text.to_owned(), addresses, is_v6: range.first.is_ipv6() });
    }
    ranges.push(range);
    Ok(())
}

/// An address, an IPv6 one also in brackets. An IPv4-mapped one is the IPv4 one.
fn plain_address(text: &str) -> Result<IpAddr, std::net::AddrParseError> {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    inside.parse::<IpAddr>().map(|address| address.to_canonical())
}

/// A network. Of an IPv4 network of four or more addresses the first and the last, its own address and the broadcast
/// address, are left out: nobody is there, and asking the last one asks everybody.
fn cidr(text: &str, address: &str, prefix: &str) -> Result<Range, BadTarget> {
    let address = plain_address(address).map_err(|_| BadTarget::Text(text.to_owned()))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bad = || BadTarget::Prefix { text: text.to_owned(), most };
    if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let prefix: u8 = prefix.parse().map_err(|_| bad())?;
    let net = ipnet::IpNet::new(address, prefix).map_err(|_| bad())?;
    let (first, last) = (net.network(), net.broadcast());
    Ok(if address.is_ipv4() && prefix <= 30 {
        Range { first: step(first, 1), last: back(last) }
    } else {
        Range { first, last }
    })
}

/// `a-b`, where an IPv4 `b` may be its last one to three numbers alone. None when this is no range but perhaps a name.
fn span(text: &str) -> Result<Option<Range>, BadTarget> {
    let Some((first, last)) = text.split_once('-') else { return Ok(None) };
    let (first, last) = (first.trim(), last.trim());
    let Ok(from) = plain_address(first) else { return Ok(None) };
    let bad = || BadTarget::Text(text.to_owned());
    let to = match (plain_address(last), from) {
        (Ok(to), _) => to,
        (Err(_), IpAddr::V4(from)) => {
            let tail: Vec<u8> =
                last.split('.').map(|part| part.parse::<u8>().map_err(|_| bad())).collect::<Result<_, _>>()?;
            let mut octets = from.octets();
            if tail.len() >= octets.len() {
                return Err(bad());
            }
            let kept = octets.len() - tail.len();
            octets[kept..].copy_from_slice(&tail);
            IpAddr::from(octets)
        }
        (Err(_), IpAddr::V6(_)) => return Err(bad()),
    };
    if from.is_ipv4() != to.is_ipv4() {
        return Err(BadTarget::Families(text.to_owned()));
    }
    if to < from {
        return Err(BadTarget::Backwards(text.to_owned()));
    }
    Ok(Some(Range { first: from, last: to }))
}

/// A host name (RFC 1123, underscores forgiven). All digits and dots is a mistyped address, never a name.
fn resolve(text: &str, world: &mut World, ranges: &mut Vec<Range>) -> Result<(), BadTarget> {
    let bytes_fit = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let labels_fit = text
        .trim_end_matches('.')
        .split('.')
        .all(|label| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-'));
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    if text.len() > 253 || !bytes_fit || !labels_fit || numeric {
        return Err(BadTarget::Text(text.to_owned()));
    }
    let addresses = (world.resolve)(text).map_err(|reason| BadTarget::Name { name: text.to_owned(), reason })?;
    // A printer with several addresses is one printer: the first is asked, IPv4 before IPv6 as printers bear it best.
    let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    ranges.extend(first.map(|first| first.to_canonical()).map(|first| Range { first, last: first }));
    Ok(())
}

/// One target on a line; `#` begins a comment, blank lines are skipped.
fn parse_file(path: &str, world: &mut World, depth: usize, ranges: &mut Vec<Range>) -> Result<(), BadTarget> {
    let fail = |reason: String| BadTarget::File { path: path.to_owned(), reason };
    let depth = depth.checked_sub(1).ok_or_else(|| fail("files name files more than 4 deep".to_owned()))?;
    let text = (world.read_file)(path).map_err(fail)?;
    for (n, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let target = line.split('#').next().unwrap_or_default().trim();
        if !target.is_empty() {
            parse_into(target, world, depth, ranges).map_err(|error| BadTarget::Line {
                path: path.to_owned(),
                line: n + 1,
                error: Box::new(error),
            })?;
        }
    }
    Ok(())
}

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

    /// What was named and then excluded.
    pub fn excluded(&self) -> &Addresses {
        &self.excluded
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

    fn parse(texts: &[&str]) -> Result<Addresses, BadTarget> {
        let mut resolve = |name: &str| match name {
            "printer.example" => Ok(vec!["2001:db8::9".parse().unwrap(), "10.9.9.9".parse().unwrap()]),
            "left.out.example" => Ok(Vec::new()),
            _ => Err("no such name".to_owned()),
        };
        let mut read_file = |path: &str| match path {
            "floor" => Ok("\u{feff}# first floor\n10.0.0.1\n\n10.0.0.2-3   # two\n".to_owned()),
            "bad" => Ok("10.0.0.1\n10.0.0.300\n".to_owned()),
            "round" => Ok("@round".to_owned()),
            _ => Err("no such file".to_owned()),
        };
        Addresses::parse(texts, &mut World { resolve: &mut resolve, read_file: &mut read_file })
    }

    #[track_caller]
    fn check(texts: &[&str], expected: &str, count: u64) {
        let addresses = parse(texts).unwrap_or_else(|error| panic!("{texts:?}: {error}"));
        assert_eq!((addresses.to_string().as_str(), addresses.len()), (expected, count), "{texts:?}");
    }

    #[test]
    fn every_way_of_writing_targets_is_read() {
        check(&["10.0.0.7"], "10.0.0.7", 1);
        check(&["127.30.0.0/24"], "127.30.0.1-127.30.0.254", 254);
        check(&["127.30.0.99/24"], "127.30.0.1-127.30.0.254", 254);
        check(&["10.1.0.0/16"], "10.1.0.1-10.1.255.254", 65_534);
        check(&["10.0.0.4/30"], "10.0.0.5-10.0.0.6", 2);
        check(&["10.0.0.4/31"], "10.0.0.4-10.0.0.5", 2);
        check(&["10.0.0.4/32"], "10.0.0.4", 1);
        check(&["10.0.0.1-10.0.0.50"], "10.0.0.1-10.0.0.50", 50);
        check(&["10.0.0.1-50"], "10.0.0.1-10.0.0.50", 50);
        check(&["10.0.0.250-1.4"], "10.0.0.250-10.0.1.4", 11);
        check(&["printer.example"], "10.9.9.9", 1);
        check(&["left.out.example", "10.0.0.7"], "10.0.0.7", 1);
        check(&["@floor"], "10.0.0.1-10.0.0.3", 3);
        check(&["2001:db8::1", "[2001:db8::2]"], "2001:db8::1-2001:db8::2", 2);
        check(&["2001:db8::/120"], "2001:db8::-2001:db8::ff", 256);
        check(&["::ffff:10.0.0.1"], "10.0.0.1", 1);
        check(&["255.255.255.255", "0.0.0.0"], "0.0.0.0, 255.255.255.255", 2);
    }

    #[test]
    fn overlaps_and_neighbours_become_one_range() {
        check(&["10.0.0.5-9", "10.0.0.1-6", "10.0.0.10"], "10.0.0.1-10.0.0.10", 10);
        check(&["10.0.0.1", "10.0.0.3", "::1"], "10.0.0.1, 10.0.0.3, ::1", 3);
    }

    #[test]
    fn bad_targets_say_what_would_be_right() {
        let no_target = |text: &str| {
            format!(
                "`{text}` is no target: an address, `10.0.0.0/24`, `10.0.0.1-10.0.0.50`, `10.0.0.1-50`, a host name or \
                 `@file` would be"
            )
        };
        for (text, expected) in [
            ("10.0.0.300", no_target("10.0.0.300")),
            ("", no_target("")),
            ("a b", no_target("a b")),
            ("-x", no_target("-x")),
            ("10.0.0.1-300", no_target("10.0.0.1-300")),
            ("10.0.0.1-", no_target("10.0.0.1-")),
            ("x/24", no_target("x/24")),
            ("10.0.0.0/33", "`10.0.0.0/33` has no prefix length of 0 to 32 behind the slash".to_owned()),
            ("10.0.0.0/+8", "`10.0.0.0/+8` has no prefix length of 0 to 32 behind the slash".to_owned()),
            ("10.0.0.9-3", "`10.0.0.9-3` ends before it begins".to_owned()),
            ("10.0.0.9-::1", "`10.0.0.9-::1` goes from an IPv4 to an IPv6 address".to_owned()),
            (
                "10.0.0.0/15",
                "`10.0.0.0/15` has 131070 addresses, more than the 65,536 (a /16) of one target; split it".to_owned(),
            ),
            (
                "2001:db8::/64",
                "`2001:db8::/64` has 18446744073709551616 addresses, more than the 65,536 (a /16) of one target; name \
                 the printers' addresses, an IPv6 network is too large to sweep"
                    .to_owned(),
            ),
            ("nobody.example", "`nobody.example` has no address: no such name".to_owned()),
            ("@none", "`@none` cannot be read: no such file".to_owned()),
            ("@bad", format!("`@bad` line 2: {}", no_target("10.0.0.300"))),
        ] {
            assert_eq!(parse(&[text]).unwrap_err().to_string(), expected);
        }
        assert!(parse(&["@round"]).unwrap_err().to_string().ends_with("files name files more than 4 deep"));
        let many: Vec<String> = (0..17).map(|n| format!("10.{n}.0.0-10.{n}.255.255")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(parse(&many).unwrap_err(), BadTarget::TooMany(17 * 65_536));
    }

    #[test]
    fn addresses_are_found_by_position_and_back() {
        let addresses = parse(&["10.0.0.1-3", "10.0.1.0/24", "::5"]).unwrap();
        for (n, address) in addresses.iter().enumerate() {
            assert_eq!((addresses.nth(n as u64), addresses.position(address)), (Some(address), Some(n as u64)));
        }
        assert_eq!(addresses.nth(addresses.len()), None);
        assert_eq!(addresses.position("10.0.0.4".parse().unwrap()), None);
    }

    #[test]
    fn sets_are_cut_and_joined() {
        let set = |texts: &[&str]| parse(texts).unwrap();
        let all = set(&["10.0.0.1-100", "::1-::9"]);
        assert_eq!(
            all.without(&set(&["10.0.0.10-20", "10.0.0.90-10.0.1.9", "::1"])).to_string(),
            "10.0.0.1-10.0.0.9, 10.0.0.21-10.0.0.89, ::2-::9"
        );
        assert_eq!(all.without(&all), Addresses::default());
        assert_eq!(all.within(&set(&["10.0.0.99-200", "::8-::a"])).to_string(), "10.0.0.99-10.0.0.100, ::8-::9");
    }

    #[test]
    fn an_address_in_two_groups_is_asked_once_with_the_credentials_of_both() {
        let group = |texts: &[&str], port, names: &[&str]| Group {
            addresses: parse(texts).unwrap(),
            port,
            credentials: names.iter().map(|&name| name.to_owned()).collect(),
        };
        let mut targets = Targets::default();
        let none = Addresses::default();
        targets.add(group(&["10.0.0.1-10"], 161, &["a"]), &parse(&["10.0.0.2"]).unwrap()).unwrap();
        targets.add(group(&["10.0.0.9-12"], 161, &["b", "a"]), &none).unwrap();
        targets.add(group(&["10.0.0.9"], 1161, &["c"]), &none).unwrap();
        let shown: Vec<String> = targets
            .groups()
            .iter()
            .map(|group| format!("{} {} {}", group.addresses, group.port, group.credentials.join("+")))
            .collect();
        assert_eq!(
            shown,
            [
                "10.0.0.1, 10.0.0.3-10.0.0.8 161 a",
                "10.0.0.9-10.0.0.10 161 a+b",
                "10.0.0.11-10.0.0.12 161 b+a",
                "10.0.0.9 1161 c",
            ]
        );
        assert_eq!((targets.len(), targets.excluded().to_string().as_str()), (12, "10.0.0.2"));
    }
}
