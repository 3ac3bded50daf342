//! The HTTPS channel: one SOAP request for one item, and what its answer means for the outbox.
//!
//! It believes a receipt that verifies and nothing else, and reads at most 16 KiB of an answer.

mod answer;

use std::io::{self, Read};
use std::time::Duration;

use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::soap;
use rustls::CertificateError;
use ureq::{Agent, Timeout};
use zeroize::Zeroizing;

use super::http::{self, BadChannel, Via};
use super::{Channel, Outgoing, SendError, Sent};
use crate::clock;
use crate::keyring::SiteKeys;
use answer::Reply;

/// For everything together: 60,000 characters pass in it at 1 kB a second.
pub const TIMEOUT: Duration = Duration::from_secs(120);

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
        let agent = http::agent(&url, enrolment.ca_pem.as_deref(), via, timeout)?;
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

/// What a request that got no answer means. Without a connection nothing was sent, and no item is to blame; after that
/// nobody can tell, and the item may be.
fn failure(error: &ureq::Error) -> SendError {
    let reason = match error {
        ureq::Error::Io(error) => told(error),
        other => other.to_string(),
    };
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

/// The system's words; of a certificate that nobody here vouches for what would be right.
fn told(error: &io::Error) -> String {
    match of_tls(error) {
        // of another CA with the same name as one that is trusted it is the signature that is wrong
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "its certificate is from no CA that is trusted here: the CA must be known to this system, or stand in the \
             enrolment token (`meterpost-central site token NAME --ca FILE`)"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

fn of_tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn is_connecting(error: &io::Error) -> bool {
    let before_sending = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::PermissionDenied
    );
    of_tls(error).is_some() || before_sending
}
