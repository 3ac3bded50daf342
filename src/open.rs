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
            Err(error @ (OpenError::Unreadable(_) | OpenError::Padding)) => {
                return Err(NotOpened::Unreadable(error.to_string()));
            }
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

#[cfg(test)]
mod tests {
    use meterpost_wire::keys::{Enc, Epoch};

    use super::*;

    const SITE: &str = "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10";

    fn epoch(number: u32) -> Epoch {
        let first = Epoch::new(Kid::parse(&format!("{SITE}.1")).unwrap(), Enc::A256CbcHs512, [3; 32]);
        (1..number).fold(first, |epoch, _| epoch.next())
    }

    fn captured(number: u32) -> String {
        let epoch = epoch(number);
        seal::seal(b"<Batch/>", epoch.kid(), &epoch.batch_key(), [9; 16]).unwrap()
    }

    fn enrolment(epoch: Epoch) -> Enrolment {
        Enrolment {
            central: "https://central.example".into(),
            name: "Hauptstrasse".into(),
            epoch,
            mail_to: None,
            ca_pem: None,
            pack_keys: Vec::new(),
            sequence: None,
        }
    }

    #[test]
    fn a_token_is_found_in_what_was_captured_around_it() {
        let token = captured(1);
        for text in [token.clone(), format!("  {token}\r\n"), format!("<m:envelope>{token}</m:envelope>")] {
            assert_eq!(with_site(&text, &SiteKeys::new(epoch(1))).unwrap().xml, b"<Batch/>", "{text}");
        }
        assert_eq!(with_site("<html/> a.b.c.d.e", &SiteKeys::new(epoch(1))), Err(NotOpened::NoToken));
    }

    #[test]
    fn an_enrolment_token_opens_its_epoch_and_those_after_it() {
        assert_eq!(with_enrolment(&captured(4), &enrolment(epoch(1))).unwrap().kid.epoch(), 4);
        assert_eq!(
            with_enrolment(&captured(1), &enrolment(epoch(2))),
            Err(NotOpened::NoKey(1)),
            "there is no way back"
        );
    }

    #[test]
    fn a_jwk_opens_its_own_epoch() {
        let (kid, key) = (epoch(2).kid().clone(), epoch(2).batch_key());
        assert_eq!(with_jwk(&captured(2), Some(&kid), &key).unwrap().xml, b"<Batch/>");
        assert_eq!(with_jwk(&captured(2), None, &key).unwrap().xml, b"<Batch/>");
        assert_eq!(with_jwk(&captured(1), Some(&kid), &key), Err(NotOpened::NoKey(1)));
        assert_eq!(with_jwk(&captured(1), None, &key), Err(NotOpened::Wrong));
    }

    #[test]
    fn changed_batches_and_other_sites_are_told_apart() {
        let changed = captured(1).replace("..", "..A");
        assert_eq!(with_site(&changed, &SiteKeys::new(epoch(1))), Err(NotOpened::Wrong));
        let stranger = Kid::parse("0b5c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10.1").unwrap();
        let stranger = SiteKeys::new(Epoch::new(stranger, Enc::A256CbcHs512, [3; 32]));
        assert_eq!(with_site(&captured(1), &stranger), Err(NotOpened::OtherSite(SITE.into())));
    }
}
