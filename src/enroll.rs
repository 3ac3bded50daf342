//! Taking an enrolment token: where the central is, and the site's secret. No network is needed.
//!
//! A data directory belongs to one site for ever. The same site may be enrolled again: its outbox and its chain go on, the
//! secret is the token's when its epoch is not lower, and the next sequence is the larger of the own and the token's.
//! What is taken lies sealed in the store; the site's UUID and epoch lie there in clear, because every token names them.

use jiff::Timestamp;
use meterpost_wire::enrolment::{BadToken, Enrolment};

use crate::keyring::{Keyring, SiteKeys};
use crate::outbox;
use crate::store::{StoreError, Tx};

const ENROLMENT: &str = "enrolment";
const OLDER_EPOCHS: &str = "older_epochs";
const SITE: &str = "site";
const EPOCH: &str = "epoch";

/// Why a token was not taken. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// Exit 2: the text is no token.
    #[error(transparent)]
    BadToken(#[from] BadToken),
    /// Exit 2: the data directory is another site's.
    #[error(
        "this data directory belongs to site {here} and the token is for site {token}; give the other site a \
         `--data-dir` of its own"
    )]
    OtherSite {
        /// The site that the directory belongs to.
        here: String,
        /// The token's.
        token: String,
    },
    /// Exit 2: the token is older than what is known.
    #[error("the token is of epoch {token} and this site is at epoch {here}; ask the central for a new token")]
    OlderEpoch {
        /// The site's.
        here: u32,
        /// The token's.
        token: u32,
    },
    /// Exit 1.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a token did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether the directory was this site's already.
    pub again: bool,
    /// The sequence of the next batch.
    pub next_sequence: u64,
}

/// The site that a data directory belongs to, readable without any key.
pub fn site(tx: &Tx<'_>) -> Result<Option<String>, StoreError> {
    tx.fact(SITE)
}

/// Takes a token.
pub fn take(tx: &Tx<'_>, keyring: &Keyring, token: &Enrolment, now: Timestamp) -> Result<Taken, EnrollError> {
    let kid = token.epoch.kid();
    let again = match site(tx)? {
        Some(here) if here != kid.site().as_str() => {
            return Err(EnrollError::OtherSite { here, token: kid.site().to_string() });
        }
        here => here.is_some(),
    };
    let here = tx.fact(EPOCH)?.and_then(|text| text.parse().ok()).unwrap_or(0);
    if kid.epoch() < here {
        return Err(EnrollError::OlderEpoch { here, token: kid.epoch() });
    }
    let mut keys = match enrolled(tx, keyring)? {
        Some((_, keys)) => keys,
        None => SiteKeys::new(token.epoch.clone()),
    };
    keys.advance(token.epoch.clone());
    tx.set_secret(ENROLMENT, &keyring.seal_secret(ENROLMENT, token.to_token().as_bytes()))?;
    keep_older(tx, keyring, &keys)?;
    tx.set_fact(SITE, kid.site().as_str())?;
    tx.set_fact(EPOCH, &kid.epoch().to_string())?;
    outbox::jump_to(tx, token.sequence.unwrap_or(1), now)?;
    Ok(Taken { again, next_sequence: outbox::next_sequence(tx)? })
}

/// Whether a token was ever taken here, for whatever machine key.
pub fn has_token(tx: &Tx<'_>) -> Result<bool, StoreError> {
    Ok(tx.secret(ENROLMENT)?.is_some())
}

/// What was taken, and the keys that follow; `None` before the first token, or when the machine key is another.
pub fn enrolled(tx: &Tx<'_>, keyring: &Keyring) -> Result<Option<(Enrolment, SiteKeys)>, StoreError> {
    let Some(token) = opened(tx, keyring, ENROLMENT)? else { return Ok(None) };
    let token = std::str::from_utf8(&token).ok().and_then(|text| Enrolment::parse(text).ok());
    let Some(token) = token else {
        return Err(StoreError::Damaged("the enrolment opens and cannot be read".to_owned()));
    };
    let keys = SiteKeys::new(token.epoch.clone());
    let keys = match opened(tx, keyring, OLDER_EPOCHS)? {
        Some(older) => keys.with_older(&older),
        None => keys,
    };
    Ok(Some((token, keys)))
}

/// Forgets the keys of epochs that no item in the outbox needs any more.
pub fn forget_unused_epochs(tx: &Tx<'_>, keyring: &Keyring, keys: &mut SiteKeys) -> Result<(), StoreError> {
    if keys.prune(&outbox::epochs(tx)?) { keep_older(tx, keyring, keys) } else { Ok(()) }
}

fn keep_older(tx: &Tx<'_>, keyring: &Keyring, keys: &SiteKeys) -> Result<(), StoreError> {
    tx.set_secret(OLDER_EPOCHS, &keyring.seal_secret(OLDER_EPOCHS, &keys.older_to_bytes()))
}

fn opened(tx: &Tx<'_>, keyring: &Keyring, name: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, StoreError> {
    Ok(tx.secret(name)?.and_then(|sealed| keyring.open_secret(name, &sealed)))
}
