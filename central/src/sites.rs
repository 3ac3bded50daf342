//! Making a site, the life of its keys, and the enrolment token that a person carries to it. The token is the only thing
//! that ever goes from here to a site by another way than as the answer to its own request.

use jiff::Timestamp;
use meterpost_wire::batch::SEQUENCE_MAX;
use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::{Enc, Epoch, Kid, SiteId};
use zeroize::Zeroizing;

use crate::clock::{self, local};
use crate::store::{self, KEY_AFTER_MOVE, NewSite, SiteKey, SiteKeys, Store, StoreError};

/// Characters of a site's name.
pub const NAME_MAX: usize = 255;

/// A token for a site that has sent something starts this far above what is stored, so that what a lost machine may have
/// sealed and not delivered is never used again (`standards.md` 2.4).
const SEQUENCE_JUMP: u64 = 1_000;

/// What the token says besides the keys.
#[derive(Clone, Debug)]
pub struct Enrol {
    /// Base URL as the site reaches this central, checked by [`crate::config::base_url`].
    pub central: String,
    /// Mail address that takes batches.
    pub mail_to: Option<String>,
    /// PEM of the only CAs that the site is to trust for `central`.
    pub ca_pem: Option<String>,
    /// Minisign public keys of packs, the base64 lines.
    pub pack_keys: Vec<String>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// Names are how people tell sites apart.
    #[error("there is a site `{0}` already: `site token` prints its enrolment token again")]
    NameTaken(String),
    /// Empty, or too long, or with control characters.
    #[error("`{0}` is no name for a site: 1 to 255 printable characters would be")]
    BadName(String),
    /// Its numbers have come to their end.
    #[error("the site `{0}` has used sequence {SEQUENCE_MAX}, the last there is: add it anew under another name")]
    NumbersEnd(String),
    /// A person has revoked its keys, and no epoch with a secret of its own follows yet.
    #[error("the keys of the site `{0}` are revoked: `site rotate --fresh` prints a token with new ones")]
    Revoked(String),
    /// No site has this name or id.
    #[error("there is no site `{0}`: `site list` prints them all")]
    Unknown(String),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds a site and returns its enrolment token.
pub async fn add(store: &Store, name: &str, enc: Enc, enrol: &Enrol) -> Result<Zeroizing<String>, SiteError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(SiteError::BadName(name.chars().take(64).filter(|letter| !letter.is_control()).collect()));
    }
    let broken = |error: String| SiteError::Store(StoreError::Broken(error));
    let id = SiteId::parse(&clock::random_uuid()).map_err(|error| broken(error.to_string()))?;
    let kid = Kid::new(id, 1).ok_or_else(|| broken("epoch 1 is none".to_owned()))?;
    let epoch = Epoch::new(kid, enc, clock::random_bytes());
    let site = NewSite { name: name.to_owned(), epoch: epoch.clone() };
    if !store.add_site(site, clock::now()).await? {
        return Err(SiteError::NameTaken(name.to_owned()));
    }
    Ok(enrolment(name, epoch, enrol, None))
}

/// The enrolment token of a site again, for its current epoch; after a revocation for the one that `rotate` has made ready.
/// Once anything is stored it starts 1,000 above that.
pub async fn token(
    store: &Store,
    name_or_id: &str,
    enrol: &Enrol,
    now: Timestamp,
) -> Result<Zeroizing<String>, SiteError> {
    let site = named(store, name_or_id, now).await?;
    let revoked = || SiteError::Revoked(site.name.clone());
    let open = |epoch: u32| site.key(epoch).filter(|key| key.revoked.is_none());
    let key = open(site.current).or_else(|| open(site.current + 1)).ok_or_else(revoked)?;
    enrolment_above(store, &site, key.epoch.clone(), enrol).await
}

/// A token for the next epoch of a site.
#[derive(Debug)]
pub struct Rotation {
    /// The enrolment token.
    pub token: Zeroizing<String>,
    /// Its epoch.
    pub epoch: u32,
    /// When a token for this epoch with another key was printed, which is void now.
    pub replaces: Option<Timestamp>,
}

/// The enrolment token for the next epoch of a site. Its secret follows from that of the current one, or is a `fresh` one;
/// `enc` changes the cipher. The site moves there when it takes the token, and this central when the first batch under the new
/// key arrives: until then everything goes on under the old one.
pub async fn rotate(
    store: &Store,
    name_or_id: &str,
    fresh: bool,
    enc: Option<Enc>,
    enrol: &Enrol,
    now: Timestamp,
) -> Result<Rotation, SiteError> {
    let site = named(store, name_or_id, now).await?;
    let change = store::Rotation { fresh: fresh.then(clock::random_bytes), enc };
    let rotated = store.rotate(site.id.clone(), change, now).await?;
    let rotated = rotated.ok_or_else(|| SiteError::Revoked(site.name.clone()))?;
    let epoch = rotated.epoch.kid().epoch();
    let token = enrolment_above(store, &site, rotated.epoch, enrol).await?;
    Ok(Rotation { token, epoch, replaces: rotated.replaces })
}

/// Closes the keys of a site, and gives the highest sequence that they still open.
pub async fn revoke(store: &Store, name_or_id: &str, now: Timestamp) -> Result<u64, SiteError> {
    let site = named(store, name_or_id, now).await?;
    Ok(store.revoke(site.id, now).await?)
}

/// The site of this name or id, with its keys.
pub async fn named(store: &Store, name_or_id: &str, now: Timestamp) -> Result<SiteKeys, SiteError> {
    let found = store.site(name_or_id.trim().to_owned(), now).await?;
    found.ok_or_else(|| SiteError::Unknown(name_or_id.to_owned()))
}

async fn enrolment_above(
    store: &Store,
    site: &SiteKeys,
    epoch: Epoch,
    enrol: &Enrol,
) -> Result<Zeroizing<String>, SiteError> {
    let highest = store.progress(site.id.to_string()).await?.highest;
    if highest >= SEQUENCE_MAX {
        return Err(SiteError::NumbersEnd(site.name.clone()));
    }
    let sequence = (highest > 0).then_some((highest + SEQUENCE_JUMP).min(SEQUENCE_MAX));
    Ok(enrolment(&site.name, epoch, enrol, sequence))
}

/// How an epoch stands, for people.
pub fn standing(site: &SiteKeys, key: &SiteKey) -> String {
    let epoch = key.epoch.kid().epoch();
    match (key.revoked, key.ended_at) {
        (Some(revoked), _) => {
            format!("revoked {}, opens batches up to {}", local(revoked.at), revoked.open_through)
        }
        (None, Some(ended_at)) => format!(
            "ended {}, opens late mail until {}",
            local(ended_at),
            ended_at.checked_add(KEY_AFTER_MOVE).map_or_else(|_| "for ever".to_owned(), local)
        ),
        (None, None) if epoch <= site.current => "current".to_owned(),
        (None, None) => match key.issued_at {
            Some(at) => format!("next; its enrolment token was printed {} and is not in use yet", local(at)),
            None => "next".to_owned(),
        },
    }
}

fn enrolment(name: &str, epoch: Epoch, enrol: &Enrol, sequence: Option<u64>) -> Zeroizing<String> {
    Enrolment {
        central: enrol.central.clone(),
        name: name.to_owned(),
        epoch,
        mail_to: enrol.mail_to.clone(),
        ca_pem: enrol.ca_pem.clone(),
        pack_keys: enrol.pack_keys.clone(),
        sequence,
    }
    .to_token()
}
