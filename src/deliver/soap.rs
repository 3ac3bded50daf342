//! The HTTPS channel: one SOAP request for one item, and what its answer means for the outbox.
//!
//! It believes a receipt that verifies and nothing else. It follows no redirect, reads at most 16 KiB of an answer, and
//! trusts the CAs of the enrolment token alone when that has any, else those of the system, where a company adds its own.
//! Plain HTTP is spoken with loopback only: the enrolment token lets no other address in.

mod answer;

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::soap;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Proxy, Timeout};
use zeroize::Zeroizing;

use super::{Channel, Outgoing, SendError, Sent};
use crate::clock;
use crate::keyring::SiteKeys;
use answer::Reply;

/// For name, connection, proxy and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// For everything together: 60,000 characters pass in it at 1 kB a second.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of an answer's head that are read.
const HEAD_MAX: usize = 16 << 10;

/// By which way to the central. One on loopback is reached straight, whatever this says.
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
}

/// The channel to one central.
#[derive(Debug)]
pub struct Soap {
    agent: Agent,
    url: String,
    keys: SiteKeys,
}

impl Soap {
    /// To the central that the enrolment names. `timeout` bounds one item; [`TIMEOUT`] unless a test is in a hurry.
    pub fn new(enrolment: &Enrolment, keys: &SiteKeys, via: &Via, timeout: Duration) -> Result<Self, BadChannel> {
        let url = format!("{}{}", enrolment.central, soap::PATH);
        let proxy = if is_loopback(&url) { None } else { proxy(via)? };
        let roots = match &enrolment.ca_pem {
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
        Ok(Self { agent, url, keys: keys.clone() })
    }

    fn post(&self, item: &Outgoing) -> Result<Reply, SendError> {
        let bearer = Zeroizing::new(format!("Bearer {}", *self.keys.current().submit_token()));
        let body = soap::submit_batch(self.keys.site(), &item.id, item.sequence, &item.token);
        let request = self
            .agent
            .post(&self.url)
            .header("Content-Type", soap::CONTENT_TYPE)
            .header("SOAPAction", soap::SUBMIT_BATCH_ACTION)
            .header("Authorization", bearer.as_str());
        let response = request.send(body.as_bytes()).map_err(|error| failure(&error))?;
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| answer::retry_after(text, clock::now()));
        let status = response.status().as_u16();
        // one byte more than is looked at, of what comes out of any compression
        let mut body = Vec::new();
        let read = response.into_body().into_reader().take(soap::ANSWER_MAX as u64 + 1).read_to_end(&mut body);
        let cut = read.err().map(|error| error.to_string());
        Ok(Reply { status, retry_after, body, cut })
    }
}

impl Channel for Soap {
    fn name(&self) -> &'static str {
        "https"
    }

    fn send(&self, item: &Outgoing) -> Result<Sent, SendError> {
        let reply = self.post(item)?;
        answer::means(&reply, item, self.keys.site(), &self.keys.receipt_keys(item.epoch))
    }
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

/// No proxy is asked for an address of this machine.
fn is_loopback(url: &str) -> bool {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a request that got no answer means. Without a connection nothing was sent, and no item is to blame; after that
/// nobody can tell, and the item may be.
fn failure(error: &ureq::Error) -> SendError {
    let reason = error.to_string();
    let is_channels = match error {
        ureq::Error::Timeout(at) => matches!(at, Timeout::Resolve | Timeout::Connect),
        ureq::Error::Io(error) => is_connecting(error),
        ureq::Error::Protocol(_) | ureq::Error::BodyExceedsLimit(_) => false,
        _ => true,
    };
    if is_channels {
        SendError::Down { reason: format!("no connection to the central: {reason}"), at_least: None }
    } else {
        SendError::Unsure(format!("the connection broke: {reason}"))
    }
}

fn is_connecting(error: &io::Error) -> bool {
    let of_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    let before_sending = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::PermissionDenied
    );
    of_tls || before_sending
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
