//! A newer pack by HTTPS: its signature first, and the archive only when that names another version than what is here. An
//! unchanged pack costs one request of a few hundred bytes.
//!
//! What comes is bytes that nobody has proven. Proxies, CAs and the refusal of plain HTTP are those of every other way out.

use std::io::Read;
use std::time::Duration;

use meterpost_wire::pack::{Channel, PACK_BYTES_MAX, SIGNATURE_BYTES_MAX};
use ureq::http::HeaderMap;
use ureq::http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};

use crate::deliver::http::{self, BadChannel, Via};

/// For one request with everything that belongs to it: 32 MiB pass in it at 60 kB a second.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Characters of a validator that are kept; a longer one is not.
const VALIDATOR_CHARS_MAX: usize = 200;

/// From where packs of one channel come.
#[derive(Debug)]
pub struct Source {
    agent: ureq::Agent,
    url: String,
}

/// What a file came with, to ask only for a changed one the next time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub modified: Option<String>,
}

/// Why nothing came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFetched {
    /// No connection, or it broke.
    #[error("cannot fetch `{0}`: {1}")]
    Broken(String, String),
    /// The server says something else than yes.
    #[error("`{0}` answers {1}{2}")]
    Status(String, u16, &'static str),
    /// More than there may be.
    #[error("`{0}` has more than {1} bytes")]
    TooLong(String, usize),
}

impl Source {
    /// `base` is where `<channel>.zip` lies; `ca_pem` are the only CAs to trust there, or the system's when absent.
    pub fn new(base: &str, channel: &Channel, ca_pem: Option<&str>, via: &Via) -> Result<Self, BadChannel> {
        let agent = http::agent(base, ca_pem, via, TIMEOUT)?;
        Ok(Self { agent, url: format!("{base}/{channel}.zip") })
    }

    /// Where the archive lies.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The signature file; `None` when it is still the one with these validators.
    pub fn signature(&self, last: &Validators) -> Result<Option<(Vec<u8>, Validators)>, NotFetched> {
        self.get(&format!("{}.minisig", self.url), last, SIGNATURE_BYTES_MAX)
    }

    /// The archive; `None` when it is still the one with these validators.
    pub fn archive(&self, last: &Validators) -> Result<Option<(Vec<u8>, Validators)>, NotFetched> {
        self.get(&self.url, last, PACK_BYTES_MAX)
    }

    fn get(&self, url: &str, last: &Validators, most: usize) -> Result<Option<(Vec<u8>, Validators)>, NotFetched> {
        let broken = |error: &dyn std::fmt::Display| NotFetched::Broken(url.to_owned(), error.to_string());
        let mut request = self.agent.get(url);
        for (name, value) in [(IF_NONE_MATCH, &last.etag), (IF_MODIFIED_SINCE, &last.modified)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let response = request.call().map_err(|error| broken(&error))?;
        let validators = validators(response.headers());
        match response.status().as_u16() {
            200 => {}
            304 if *last != Validators::default() => return Ok(None),
            304 => return Err(NotFetched::Status(url.to_owned(), 304, ", though nothing was said of an older one")),
            404 => return Err(NotFetched::Status(url.to_owned(), 404, ": no pack is published there")),
            status => return Err(NotFetched::Status(url.to_owned(), status, "")),
        }
        let mut bytes = Vec::new();
        let mut reader = response.into_body().into_reader().take(most as u64 + 1);
        reader.read_to_end(&mut bytes).map_err(|error| broken(&error))?;
        if bytes.len() > most {
            return Err(NotFetched::TooLong(url.to_owned(), most));
        }
        Ok(Some((bytes, validators)))
    }
}

fn validators(headers: &HeaderMap) -> Validators {
    let kept = |name| {
        let value = headers.get(name)?.to_str().ok()?;
        (value.len() <= VALIDATOR_CHARS_MAX).then(|| value.to_owned())
    };
    Validators { etag: kept(ETAG), modified: kept(LAST_MODIFIED) }
}
