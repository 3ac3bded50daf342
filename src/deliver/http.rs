//! HTTP outwards, the same for everything that leaves or fetches: proxies, CAs, limits.
//!
//! It follows no redirect, and trusts the CAs of the enrolment token alone when that has any, else those of the system, where
//! a company adds its own. Plain HTTP is spoken with loopback only.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Proxy};
use zeroize::Zeroizing;

/// For name, connection, proxy and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of an answer's head that are read.
const HEAD_MAX: usize = 16 << 10;

/// By which way to another machine. One on loopback is reached straight, whatever this says.
#[derive(Clone, Default)]
pub enum Via {
    /// As `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// Straight.
    Straight,
    /// Through this proxy.
    Proxy {
        /// `http://`, `https://` or `socks5://`, with host and port, without a user.
        url: String,
        /// Its user and secret.
        user: Option<(String, Zeroizing<String>)>,
    },
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("Environment"),
            Self::Straight => f.write_str("Straight"),
            Self::Proxy { url, user: None } => write!(f, "Proxy({url})"),
            Self::Proxy { url, user: Some((name, _)) } => write!(f, "Proxy({url}, {name}, <secret>)"),
        }
    }
}

/// A channel that cannot be (exit code 2). No text shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChannel {
    /// The proxy's address.
    #[error("`proxy` is no proxy: `http://host:port`, `https://host:port` or `socks5://host:port` would be right")]
    Proxy,
    /// The certificates in the enrolment token.
    #[error("the CA certificates of the enrolment token cannot be read: {0}")]
    Certificates(String),
    /// What `[delivery.mail]` says.
    #[error("`[delivery.mail]`: {0}")]
    Mail(String),
}

/// An agent for one address and those below it; `timeout` bounds a request with everything that belongs to it.
pub fn agent(url: &str, ca_pem: Option<&str>, via: &Via, timeout: Duration) -> Result<Agent, BadChannel> {
    let loopback = is_loopback(url);
    let proxy = if loopback { None } else { proxy(via)? };
    let roots = match ca_pem {
        Some(pem) => RootCerts::Specific(Arc::new(certificates(pem)?)),
        None => RootCerts::PlatformVerifier,
    };
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .https_only(!loopback)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(HEAD_MAX)
        .timeout_connect(Some(CONNECT_TIMEOUT.min(timeout)))
        .timeout_global(Some(timeout))
        .user_agent(concat!("meterpost/", env!("CARGO_PKG_VERSION")))
        .proxy(proxy)
        .tls_config(tls)
        .build()
        .new_agent();
    Ok(agent)
}

fn proxy(via: &Via) -> Result<Option<Proxy>, BadChannel> {
    let (url, user) = match via {
        Via::Environment => return Ok(Proxy::try_from_env()),
        Via::Straight => return Ok(None),
        Via::Proxy { url, user } => (url, user),
    };
    let parsed = Proxy::new(url).map_err(|_| BadChannel::Proxy)?;
    let mut builder = Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let Some((name, secret)) = user {
        builder = builder.username(name).password(secret);
    }
    builder.build().map(Some).map_err(|_| BadChannel::Proxy)
}

fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, BadChannel> {
    let mut found = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(BadChannel::Certificates(error.to_string())),
        }
    }
    if found.is_empty() { Err(BadChannel::Certificates("there is none".to_owned())) } else { Ok(found) }
}

/// Whether it is an address of this machine: no proxy is asked for it.
pub fn is_loopback(url: &str) -> bool {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_loopback() {
        for (url, expected) in [
            ("http://127.0.0.1:8099/soap/v1", true),
            ("http://[::1]:8099/soap/v1", true),
            ("https://localhost/soap/v1", true),
            ("https://localhost.example/soap/v1", false),
            ("https://central.example:8443/soap/v1", false),
            ("https://10.0.0.1/soap/v1", false),
        ] {
            assert_eq!(is_loopback(url), expected, "{url}");
        }
    }

    #[test]
    fn a_proxy_takes_user_and_secret_apart_from_its_address() {
        let user = Some(("us er".to_owned(), Zeroizing::new("s:e/c@ret".to_owned())));
        let made = proxy(&Via::Proxy { url: "http://proxy.example:3128".into(), user }).unwrap().unwrap();
        assert_eq!((made.host(), made.port()), ("proxy.example", 3128));
        assert_eq!((made.username(), made.password()), (Some("us er"), Some("s:e/c@ret")));
        let bad = proxy(&Via::Proxy { url: "carrier pigeon".into(), user: None });
        assert_eq!(bad.unwrap_err(), BadChannel::Proxy);
    }

    #[test]
    fn certificates_that_are_none_are_refused() {
        let said = certificates("nothing").unwrap_err().to_string();
        assert_eq!(said, "the CA certificates of the enrolment token cannot be read: there is none");
    }
}
