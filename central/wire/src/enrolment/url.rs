//! The address of a central, as far as an enrolment token may name one.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::quoted;

/// `https://host[:port][/path]`, or `http:` with a loopback address; no user, query or fragment. A last slash is cut.
pub(super) fn central(text: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("`central` is {}: {why}", quoted(text)));
    let text = text.strip_suffix('/').unwrap_or(text);
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = host(authority);
    if !rest.bytes().all(|c| c.is_ascii_graphic()) || rest.contains(['?', '#', '@', '\\']) || path.ends_with('/') {
        return refuse("a plain address like `https://central.example` would be right");
    }
    match (scheme, host) {
        ("https", Some(_)) => Ok(text.to_owned()),
        ("http", Some(host)) if host.is_loopback() => Ok(text.to_owned()),
        ("http", Some(_)) => refuse("without TLS only a loopback address like 127.0.0.1 is taken"),
        _ => refuse("`https://` and a host would be right"),
    }
}

enum Host {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Name,
}

impl Host {
    fn is_loopback(&self) -> bool {
        match self {
            Self::V4(address) => address.is_loopback(),
            Self::V6(address) => address.is_loopback(),
            Self::Name => false,
        }
    }
}

fn host(authority: &str) -> Option<Host> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address = address.parse().ok()?;
        return is_port(port).then_some(Host::V6(address));
    }
    let at = authority.find(':').unwrap_or(authority.len());
    let (name, port) = authority.split_at(at);
    let is_name = name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_'));
    if name.is_empty() || !is_name || !is_port(port) {
        return None;
    }
    Some(name.parse().map_or(Host::Name, Host::V4))
}

/// Nothing, or a colon and a number.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_or_loopback_is_an_address_of_a_central() {
        for (good, kept) in [
            ("https://central.example", "https://central.example"),
            ("https://central.example/", "https://central.example"),
            ("https://central.example:8443/meters", "https://central.example:8443/meters"),
            ("https://192.0.2.1", "https://192.0.2.1"),
            ("https://[2001:db8::1]:443", "https://[2001:db8::1]:443"),
            ("http://127.0.0.1:8099", "http://127.0.0.1:8099"),
            ("http://127.9.9.9", "http://127.9.9.9"),
            ("http://[::1]:8099", "http://[::1]:8099"),
        ] {
            assert_eq!(central(good).as_deref(), Ok(kept));
        }
        for bad in [
            "",
            "central.example",
            "https://",
            "https:///path",
            "https://a b",
            "https://user@central.example",
            "https://central.example?x=1",
            "https://central.example#x",
            "https://central.example//",
            "https://central.example:0",
            "https://central.example:99999",
            "https://[2001:db8::1",
            "https://a\nb",
            "https://bücher.example",
            "HTTPS://central.example",
            "ftp://central.example",
            "http://central.example",
            "http://localhost:8099",
            "http://192.0.2.1",
            "http://127.0.0.1@central.example",
            "http://127.0.0.1.example",
        ] {
            assert!(central(bad).is_err(), "{bad}");
        }
    }
}
