//! The keys of a site: its epochs, how it moves from one to the next, and what a person closes (`standards.md` 2.4).

use jiff::{SignedDuration, Timestamp};
use meterpost_wire::keys::{Enc, Epoch, Kid, SiteId};
use rusqlite::{OptionalExtension, Transaction};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::sites::site_name;
use super::{Store, StoreError, batches, column, number, time};
use crate::keyring::{Keyring, Rows};

/// A bearer token of an ended epoch is taken this long after the move.
const BEARER_AFTER_MOVE: SignedDuration = SignedDuration::from_hours(24);

/// Batches of an ended epoch are opened this long after the move.
pub const KEY_AFTER_MOVE: SignedDuration = SignedDuration::from_hours(400 * 24);

/// A site with all epochs that may still open something.
#[derive(Clone, Debug)]
pub struct SiteKeys {
    /// UUID.
    pub id: SiteId,
    /// For people.
    pub name: String,
    /// The number of the current epoch.
    pub current: u32,
    /// The current one, the next, and those that ended less than 400 days ago, in their order.
    pub keys: Vec<SiteKey>,
}

/// One epoch of a site, and how it stands.
#[derive(Clone, Debug)]
pub struct SiteKey {
    /// Its keys.
    pub epoch: Epoch,
    /// When the site moved past it.
    pub ended_at: Option<Timestamp>,
    /// When an enrolment token was printed for it by `site rotate`.
    pub issued_at: Option<Timestamp>,
    /// A person has closed it.
    pub revoked: Option<Revoked>,
}

/// How a person has closed an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// When.
    pub at: Timestamp,
    /// Batches up to this sequence are still opened: those that were under way.
    pub open_through: u64,
}

impl SiteKeys {
    /// The keys of the epoch with this number.
    pub fn epoch(&self, number: u32) -> Option<&Epoch> {
        self.key(number).map(|key| &key.epoch)
    }

    /// The epoch with this number, and how it stands.
    pub fn key(&self, number: u32) -> Option<&SiteKey> {
        self.keys.iter().find(|key| key.epoch.kid().epoch() == number)
    }
}

/// What `site rotate` changes about the next epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rotation {
    /// A random secret in place of the one that follows from the current epoch.
    pub fresh: Option<[u8; 32]>,
    /// Another cipher.
    pub enc: Option<Enc>,
}

/// The epoch that an enrolment token is to be printed for.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// The next one.
    pub epoch: Epoch,
    /// A token for this number that was printed before is void now; it was printed then.
    pub replaces: Option<Timestamp>,
}

impl Store {
    /// The site that this bearer token, given by its SHA-256, belongs to: of the current epoch, the next, or for 24 h
    /// after a move the one before; of none that a person has revoked.
    pub async fn site_of_bearer(&self, digest: [u8; 32], now: Timestamp) -> Result<Option<SiteKeys>, StoreError> {
        self.read(move |db, keyring| {
            let found: Option<(String, Option<i64>)> = db
                .prepare_cached("SELECT site, ended_at FROM site_key WHERE bearer_digest = $1 AND revoked_at IS NULL")?
                .query_row([digest.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            match found {
                Some((_, Some(ended_at))) if now.duration_since(time(ended_at)) > BEARER_AFTER_MOVE => Ok(None),
                Some((id, _)) => site_keys(db, keyring, &id, Some(now)).map(Some),
                None => Ok(None),
            }
        })
        .await
    }

    /// Makes the next epoch of a site ready for an enrolment token. `None`: its keys are revoked, so that the next epoch must
    /// not follow from them, and no fresh secret is given.
    pub async fn rotate(
        &self,
        site: SiteId,
        rotation: Rotation,
        now: Timestamp,
    ) -> Result<Option<Rotated>, StoreError> {
        self.write(move |db, keyring| rotate(db, keyring, &site, rotation, now)).await
    }

    /// Closes the keys of a site: its bearer tokens at once, its batch keys above the highest sequence stored. The next epoch,
    /// which follows from them, is forgotten. Gives that sequence.
    pub async fn revoke(&self, site: SiteId, now: Timestamp) -> Result<u64, StoreError> {
        self.write(move |db, _| {
            let (site, current) = (site.as_str(), super::sites::current_epoch(db, site.as_str())?);
            let (highest, _) = batches::holes(db, site)?;
            db.execute("DELETE FROM site_key WHERE site = $1 AND epoch > $2", (site, current))?;
            db.execute(
                "UPDATE site_key SET revoked_at = $1, open_through = $2 WHERE site = $3 AND revoked_at IS NULL",
                (now.as_second(), column(highest), site),
            )?;
            Ok(highest)
        })
        .await
    }
}

fn rotate(
    db: &Transaction<'_>,
    keyring: &Keyring,
    site: &SiteId,
    rotation: Rotation,
    now: Timestamp,
) -> Result<Option<Rotated>, StoreError> {
    let keys = site_keys(db, keyring, site.as_str(), None)?;
    let broken = || StoreError::Broken(format!("site {site} has no key of its current epoch"));
    let current = &keys.key(keys.current).ok_or_else(broken)?.epoch;
    let next = keys.current.checked_add(1).and_then(|next| Kid::new(site.clone(), next)).ok_or_else(broken)?;
    let there = keys.key(next.epoch());
    let secret = match (rotation.fresh, there) {
        (Some(fresh), _) => Zeroizing::new(fresh),
        (None, Some(there)) => Zeroizing::new(*there.epoch.secret()),
        (None, None) => return Ok(None),
    };
    let enc = rotation.enc.unwrap_or_else(|| there.map_or(current.enc(), |there| there.epoch.enc()));
    let epoch = Epoch::new(next, enc, *secret);
    db.execute("DELETE FROM site_key WHERE site = $1 AND epoch = $2", (site.as_str(), epoch.kid().epoch()))?;
    insert_epoch(db, keyring, &epoch)?;
    db.execute(
        "UPDATE site_key SET issued_at = $1 WHERE site = $2 AND epoch = $3",
        (now.as_second(), site.as_str(), epoch.kid().epoch()),
    )?;
    let replaces = there.filter(|there| there.epoch != epoch).and_then(|there| there.issued_at);
    Ok(Some(Rotated { epoch, replaces }))
}

/// The keys of a site; with `now`, without those that are closed by age.
pub(super) fn site_keys(
    db: &Transaction<'_>,
    keyring: &Keyring,
    id: &str,
    now: Option<Timestamp>,
) -> Result<SiteKeys, StoreError> {
    let (name, current): (Vec<u8>, u32) = db
        .prepare_cached("SELECT name, epoch FROM site WHERE id = $1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let id = SiteId::parse(id).map_err(|error| StoreError::Broken(error.to_string()))?;
    let mut statement = db.prepare_cached(
        "SELECT epoch, enc, secret, ended_at, issued_at, revoked_at, open_through FROM site_key
         WHERE site = $1 ORDER BY epoch",
    )?;
    let mut rows = statement.query([id.as_str()])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let when = |at| row.get::<_, Option<i64>>(at).map(|seconds| seconds.map(time));
        let ended_at = when(3)?;
        if ended_at.zip(now).is_some_and(|(ended_at, now)| now.duration_since(ended_at) > KEY_AFTER_MOVE) {
            continue;
        }
        let (enc, sealed): (String, Vec<u8>) = (row.get(1)?, row.get(2)?);
        let enc = Enc::parse(&enc).ok_or_else(|| StoreError::Broken(format!("a key record with enc `{enc}`")))?;
        let secret = Zeroizing::new(keyring.open(Rows::Secrets, "site_key.secret", &sealed)?);
        let secret =
            secret.as_slice().try_into().map_err(|_| StoreError::Broken("a secret of odd length".to_owned()))?;
        let kid = Kid::new(id.clone(), row.get(0)?).ok_or_else(|| StoreError::Broken("an epoch 0".to_owned()))?;
        let open_through = row.get::<_, Option<i64>>(6)?.map_or(0, number);
        keys.push(SiteKey {
            epoch: Epoch::new(kid, enc, secret),
            ended_at,
            issued_at: when(4)?,
            revoked: when(5)?.map(|at| Revoked { at, open_through }),
        });
    }
    Ok(SiteKeys { name: site_name(keyring, &name, id.as_str()), id, current, keys })
}

/// Moves a site to an epoch after its current one, and derives the one after that.
pub(super) fn move_to(
    db: &Transaction<'_>,
    keyring: &Keyring,
    epoch: &Epoch,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (site, number) = (epoch.kid().site().as_str(), epoch.kid().epoch());
    db.execute("UPDATE site SET epoch = $1 WHERE id = $2", (number, site))?;
    db.execute(
        "UPDATE site_key SET ended_at = $1 WHERE site = $2 AND epoch < $3 AND ended_at IS NULL",
        (now.as_second(), site, number),
    )?;
    insert_epoch(db, keyring, &epoch.next())
}

pub(super) fn insert_epoch(db: &Transaction<'_>, keyring: &Keyring, epoch: &Epoch) -> Result<(), StoreError> {
    let bearer: [u8; 32] = Sha256::digest(epoch.submit_token().as_bytes()).into();
    db.execute(
        "INSERT INTO site_key (site, epoch, enc, secret, bearer_digest) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (site, epoch) DO NOTHING",
        (
            epoch.kid().site().as_str(),
            epoch.kid().epoch(),
            epoch.enc().as_str(),
            keyring.seal(Rows::Secrets, "site_key.secret", epoch.secret()),
            bearer.as_slice(),
        ),
    )?;
    Ok(())
}
