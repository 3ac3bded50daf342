//! Opening a captured batch: with the site's keys, with an enrolment token, or with a JWK.
//!
//! The customer can read every batch that left: from a proxy's log, a mailbox, a file. What is captured may be the bare
//! token, or a text that holds it somewhere (a SOAP body). The bytes come out as they are; nothing is parsed.

use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::{ContentKey, Kid};
use meterpost_wire::seal::{self, OpenError};

use crate::keyring::SiteKeys;

/// A ratcheted epoch this far above an enrolment token's is still derived: one a day for 27 years.
const EPOCHS_AHEAD_MAX: u32 = 10_000;

/// What was inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedBatch {
    /// Whose key it was sealed with.
    pub kid: Kid,
    /// The XML, byte for byte.
    pub xml: Vec<u8>,
}

/// Why a captured text gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// No token in it.
    #[error("no batch in it: a token of five parts with dots between, which begins with `ey`, would be right")]
    NoToken,
    /// It is another site's.
    #[error("the batch is of site {0}, and this key is another site's")]
    OtherSite(String),
    /// The key is of another epoch.
    #[error("the batch is of epoch {0}, and no key of that epoch is at hand")]
    NoKey(u32),
    /// The key does not open it.
    #[error("the batch does not open with this key: it was changed on its way, or sealed under another key")]
    Wrong,
    /// It opens and cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// With the keys that the site has.
pub fn with_site(captured: &str, keys: &SiteKeys) -> Result<OpenedBatch, NotOpened> {
    let (token, kid) = find(captured)?;
    if kid.site() != keys.site() {
        return Err(NotOpened::OtherSite(kid.site().to_string()));
    }
    with_any(token, &kid, keys.batch_keys(kid.epoch()))
}

/// With an enrolment token: it opens its epoch and all that were ratcheted from it.
pub fn with_enrolment(captured: &str, enrolment: &Enrolment) -> Result<OpenedBatch, NotOpened> {
    let (token, kid) = find(captured)?;
    let mut epoch = enrolment.epoch.clone();
    if kid.site() != epoch.kid().site() {
        return Err(NotOpened::OtherSite(kid.site().to_string()));
    }
    let ahead = kid.epoch().checked_sub(epoch.kid().epoch()).filter(|ahead| *ahead <= EPOCHS_AHEAD_MAX);
    for _ in 0..ahead.ok_or(NotOpened::NoKey(kid.epoch()))? {
        epoch = epoch.next();
    }
    with_any(token, &kid, vec![epoch.batch_key()])
}

/// With one key; a `kid` in the JWK must be the batch's.
pub fn with_jwk(captured: &str, named: Option<&Kid>, key: &ContentKey) -> Result<OpenedBatch, NotOpened> {
    let (token, kid) = find(captured)?;
    match named {
        Some(named) if named.site() != kid.site() => Err(NotOpened::OtherSite(kid.site().to_string())),
        Some(named) if *named != kid => Err(NotOpened::NoKey(kid.epoch())),
        _ => with_any(token, &kid, vec![key.clone()]),
    }
}

fn with_any(token: &str, kid: &Kid, keys: Vec<ContentKey>) -> Result<OpenedBatch, NotOpened> {
    let mut outcome = Err(NotOpened::NoKey(kid.epoch()));
    for key in keys {
        match seal::open(token, Some(kid.site()), |_| Some(key)) {
            Ok(opened) => return Ok(OpenedBatch { kid: opened.kid, xml: opened.xml }),
            Err(error @ OpenError::Unreadable(_)) => return Err(NotOpened::Unreadable(error.to_string())),
            Err(_) => outcome = Err(NotOpened::Wrong),
        }
    }
    outcome
}

/// The first token in a text.
fn find(captured: &str) -> Result<(&str, Kid), NotOpened> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let words = captured.split(|c: char| !is_token(c));
    let tokens = words.filter(|word| word.starts_with("ey") && word.matches('.').count() == 4);
    tokens.into_iter().find_map(|token| Some((token, seal::peek_kid(token)?))).ok_or(NotOpened::NoToken)
}
