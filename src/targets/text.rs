//! Targets as people write them.

use std::net::{IpAddr, Ipv6Addr};

use super::addresses::{Addresses, Range, back, step};

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
    /// An IPv6 address with its interface.
    #[error(
        "`{0}` names an interface: link-local addresses are not asked, the printer's IPv4 or global IPv6 address would be right"
    )]
    Zone(String),
    /// A multicast or broadcast address, or one that stands for any: many would hear it, and none is a printer.
    #[error("`{0}` is the address of no device: multicast, broadcast and unspecified addresses are never asked")]
    Nobody(String),
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
}

fn parse_into(text: &str, world: &mut World, depth: usize, ranges: &mut Vec<Range>) -> Result<(), BadTarget> {
    let text = text.trim();
    if let Some(path) = text.strip_prefix('@') {
        return parse_file(path, world, depth, ranges);
    }
    if text.split_once('%').is_some_and(|(address, _)| address.trim_start_matches('[').parse::<Ipv6Addr>().is_ok()) {
        return Err(BadTarget::Zone(text.to_owned()));
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
    if is_nobody(range.first) || is_nobody(range.last) {
        return Err(BadTarget::Nobody(text.to_owned()));
    }
    ranges.push(range);
    Ok(())
}

/// What is meant for many or for none: 0.0.0.0, ::, and all from 224.0.0.0 or ff00:: on. In ranges of a /16 at most one of
/// these is the first or the last of those asked.
fn is_nobody(address: IpAddr) -> bool {
    address.is_unspecified()
        || match address {
            IpAddr::V4(address) => address.octets()[0] >= 224,
            IpAddr::V6(address) => address.is_multicast(),
        }
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
        check(&["0.0.0.0/24"], "0.0.0.1-0.0.0.254", 254);
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
            (
                "fe80::1%eth0",
                "`fe80::1%eth0` names an interface: link-local addresses are not asked, the printer's IPv4 or global \
                 IPv6 address would be right"
                    .to_owned(),
            ),
            (
                "239.255.255.0-9",
                "`239.255.255.0-9` is the address of no device: multicast, broadcast and unspecified addresses are never \
                 asked"
                    .to_owned(),
            ),
            ("@none", "`@none` cannot be read: no such file".to_owned()),
            ("@bad", format!("`@bad` line 2: {}", no_target("10.0.0.300"))),
        ] {
            assert_eq!(parse(&[text]).unwrap_err().to_string(), expected);
        }
        for nobody in
            ["0.0.0.0", "224.0.0.1", "255.255.255.255", "223.255.255.250-224.0.0.4", "::", "ff02::1", "224.0.0.0/16"]
        {
            assert_eq!(parse(&[nobody]).unwrap_err(), BadTarget::Nobody(nobody.to_owned()));
        }
        assert!(parse(&["@round"]).unwrap_err().to_string().ends_with("files name files more than 4 deep"));
        let many: Vec<String> = (0..17).map(|n| format!("10.{n}.0.0-10.{n}.255.255")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(parse(&many).unwrap_err(), BadTarget::TooMany(17 * 65_536));
    }
}
