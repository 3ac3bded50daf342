//! The one way in. Whatever channel a token came by, it passes here: open, check, store, derive, and only then a receipt.
//!
//! Guarantees (DESIGN invariant 5):
//! - A receipt is signed after the transaction that stored the token has committed.
//! - The same token again, at any time and by any way, is acknowledged again and stored once.
//! - What authenticates is stored and acknowledged, even if nothing in it can be parsed. Refused, and kept in quarantine,
//!   is only what `standards.md` names a code for: [`RefusalCode`] lists them, `ARCHITECTURE.md` which case is which.

use jiff::Timestamp;
use meterpost_wire::hex;
use meterpost_wire::keys::Epoch;
use meterpost_wire::receipt::{self, Claims, Disposition, Receipt, Refusal, RefusalCode};
use meterpost_wire::seal;
use sha2::{Digest, Sha256};

use crate::open::{self, Content, Unopened};
use crate::store::{
    Arrival, Incoming, Item, Known, NewHeld, Progress, SiteKey, SiteKeys, Store, StoreError, Taken, Way,
};

/// A token, and what its channel says about it. What is inside must agree.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What the request says; files and mail say nothing that is believed.
    pub named: Option<Named>,
    /// The compact token, without white space around it.
    pub token: String,
}

/// What a request says about its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The site.
    pub site: String,
    /// `Batch/@id`.
    pub batch_id: String,
    /// `Batch/@sequence`.
    pub sequence: u64,
}

/// A token that is stored.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Whether it was new.
    pub disposition: Disposition,
    /// How far the site has come.
    pub progress: Progress,
    /// The signed receipt.
    pub receipt: String,
}

/// Why a token is not stored as a batch.
#[derive(Debug)]
pub enum Refused {
    /// Not this one, ever. The refusal is signed when the token names a known key of the site.
    ForGood {
        /// What the site is told.
        code: RefusalCode,
        /// The signed refusal.
        refusal: Option<String>,
        /// What the log is told.
        inside: String,
    },
    /// The key of the token's epoch is not known here: it may open another day.
    UnknownKey(u32),
    /// The store cannot keep anything now.
    Storage(String),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// What a look at a token says, before anything is written.
#[derive(Debug)]
pub enum Look {
    /// It opens and is to be stored.
    Take(Box<Arrival>),
    /// It is stored already, under this epoch.
    Duplicate(Epoch),
    /// It is not to be stored.
    Refuse {
        /// By the name that standards give it.
        code: RefusalCode,
        /// What the log and the operator are told.
        inside: String,
        /// What that means for its bytes.
        standing: Standing,
    },
    /// The key of this epoch is not known here: it may open another day.
    UnknownKey(u32),
}

/// What is known of who made a refused token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A holder of the key: its bytes are kept.
    Authentic,
    /// A holder of the key, and its bytes are kept already.
    Kept,
    /// Nothing.
    Stranger,
}

/// SHA-256 over the bytes of a compact token.
pub fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Looks at a token with the keys of the site that it is said to be of; writes nothing. `again`: one that was refused
/// before gets no second refusal for it.
pub async fn look(
    store: &Store,
    keys: &SiteKeys,
    submission: &Submission,
    again: bool,
    now: Timestamp,
) -> Result<Look, StoreError> {
    let Submission { named, token } = submission;
    let sha256 = digest(token.as_bytes());
    let refuse = |code, inside: String, standing| Ok(Look::Refuse { code, inside, standing });
    match store.known(keys.id.to_string(), sha256).await? {
        Some(Known::Stored { batch_id, sequence, epoch }) => {
            let Some(epoch) = keys.epoch(epoch) else { return Ok(Look::UnknownKey(epoch)) };
            let stored = Named { site: keys.id.to_string(), batch_id, sequence };
            if named.as_ref().is_some_and(|named| *named != stored) {
                let inside = "a stored token under another name".to_owned();
                return refuse(RefusalCode::EnvelopeMismatch, inside, Standing::Stranger);
            }
            return Ok(Look::Duplicate(epoch.clone()));
        }
        Some(Known::Quarantined(code)) if !again => {
            let code = RefusalCode::parse(&code).unwrap_or(RefusalCode::EnvelopeInvalid);
            return refuse(code, "it is in quarantine already".to_owned(), Standing::Kept);
        }
        _ => {}
    }
    if token.len() > seal::ACCEPTED_TOKEN_MAX {
        let inside = format!("a token of {} characters", token.len());
        return refuse(RefusalCode::TooLarge, inside, Standing::Stranger);
    }

    // Inflating and parsing up to 8 MiB is work for a thread of its own.
    let (opening_keys, opening) = (keys.clone(), token.clone());
    let opened = tokio::task::spawn_blocking(move || open::open(&opening_keys, &opening))
        .await
        .map_err(|error| StoreError::Broken(error.to_string()))?;
    // Whoever has a key that a person has closed is no holder of it any more: what is kept of his makes room for others.
    let named_key = seal::peek_kid(token).and_then(|kid| keys.key(kid.epoch()));
    let holder =
        if named_key.is_some_and(|key| key.revoked.is_some()) { Standing::Stranger } else { Standing::Authentic };
    let (kid, content) = match opened {
        Ok(opened) => opened,
        Err(Unopened::UnknownKey(epoch)) => return Ok(Look::UnknownKey(epoch)),
        Err(error @ Unopened::NotAuthentic(_)) => {
            return refuse(RefusalCode::EnvelopeInvalid, error.to_string(), Standing::Stranger);
        }
        Err(error @ Unopened::NoBatch(_)) => {
            return refuse(RefusalCode::EnvelopeInvalid, error.to_string(), holder);
        }
        Err(error @ Unopened::OtherSite(_)) => {
            return refuse(RefusalCode::EnvelopeMismatch, error.to_string(), holder);
        }
    };
    let inner = match (&content, named) {
        (Content::Batch(opened), _) => {
            let batch = &opened.batch;
            Named { site: batch.site.clone(), batch_id: batch.id.clone(), sequence: batch.sequence }
        }
        // Nothing inside can disagree with the request but the site, which is that of the key.
        (Content::Unreadable(why), Some(named)) => {
            tracing::warn!(site = %keys.id, sequence = named.sequence, why, "a batch is stored and cannot be read");
            Named { site: keys.id.to_string(), ..named.clone() }
        }
        // A file says nothing of which batch it is, so there is no place for it: a later version may read it.
        (Content::Unreadable(why), None) => {
            return refuse(RefusalCode::EnvelopeInvalid, why.clone(), holder);
        }
    };
    if named.as_ref().is_some_and(|named| *named != inner) {
        let inside = "the request names another site, batch or sequence than the token".to_owned();
        return refuse(RefusalCode::EnvelopeMismatch, inside, holder);
    }
    // Only the current epoch, the next, and ended ones have a key here, so this is no step over one.
    let Some(SiteKey { epoch, revoked, .. }) = keys.key(kid.epoch()) else { return Ok(Look::UnknownKey(kid.epoch())) };
    if revoked.is_some_and(|revoked| inner.sequence > revoked.open_through) {
        return Ok(Look::UnknownKey(kid.epoch()));
    }
    if let Content::Batch(opened) = &content
        && let Some(first) = opened.set_aside.first()
    {
        let (sequence, devices) = (inner.sequence, opened.set_aside.len());
        tracing::warn!(site = %keys.id, sequence, devices, reason = first.reason, "set aside, see `quarantine list`");
    }
    Ok(Look::Take(Box::new(Arrival {
        batch_id: inner.batch_id,
        sequence: inner.sequence,
        token: token.clone(),
        sha256,
        epoch: epoch.clone(),
        received_at: now,
        content,
    })))
}

/// Takes a token of a site that has authenticated, and makes the answer.
pub async fn accept(
    store: &Store,
    keys: &SiteKeys,
    named: Named,
    token: String,
    now: Timestamp,
) -> Result<Accepted, Refused> {
    let submission = Submission { named: Some(named.clone()), token };
    let looked = look(store, keys, &submission, false, now).await?;
    let token = submission.token;
    let told = Told { keys, named: &named, sha256: digest(token.as_bytes()), token: &token, now };
    let (item, epoch) = match looked {
        Look::UnknownKey(epoch) => return Err(Refused::UnknownKey(epoch)),
        Look::Duplicate(epoch) => return Ok(told.accepted(store, Disposition::Duplicate, &epoch).await?),
        Look::Refuse { code, inside, standing: Standing::Stranger | Standing::Kept } => {
            return Err(told.refused(store, code, inside).await);
        }
        Look::Refuse { code, inside, standing: Standing::Authentic } => {
            let held = told.held(code, &inside);
            return match told.take(store, Item::Held(held)).await? {
                Taken::Full(_) => Err(full(&inside)),
                _ => Err(told.refused(store, code, inside).await),
            };
        }
        Look::Take(arrival) => {
            let epoch = arrival.epoch.clone();
            (Item::Batch(arrival), epoch)
        }
    };
    match told.take(store, item).await? {
        Taken::Stored(new) => {
            let disposition = if new { Disposition::Accepted } else { Disposition::Duplicate };
            Ok(told.accepted(store, disposition, &epoch).await?)
        }
        Taken::Conflict(reason) => Err(told.refused(store, RefusalCode::BatchConflict, reason.to_owned()).await),
        Taken::Full(reason) => Err(full(reason.unwrap_or_default())),
        Taken::Held => Err(Refused::Storage("a batch was held and not stored".to_owned())),
    }
}

/// Where there is no room for the bytes of a token, it is not refused at all.
fn full(inside: &str) -> Refused {
    Refused::Storage(format!("the quarantine is full; this token was: {inside}"))
}

/// What every answer about one submission is made from.
struct Told<'s> {
    keys: &'s SiteKeys,
    named: &'s Named,
    token: &'s str,
    sha256: [u8; 32],
    now: Timestamp,
}

impl Told<'_> {
    async fn take(&self, store: &Store, item: Item) -> Result<Taken, StoreError> {
        let incoming = Incoming { items: vec![item], source: String::new(), way: Way::Https, mail: None };
        let taken = store.take(vec![incoming]).await?.into_iter().flatten().next();
        taken.ok_or_else(|| StoreError::Broken("one item was taken and none answered".to_owned()))
    }

    async fn accepted(&self, store: &Store, disposition: Disposition, epoch: &Epoch) -> Result<Accepted, StoreError> {
        let progress = store.progress(self.keys.id.to_string()).await?;
        let receipt = Receipt { disposition, claims: self.claims(&progress) };
        Ok(Accepted { disposition, receipt: receipt::sign_receipt(&receipt, &epoch.receipt_key()), progress })
    }

    async fn refused(&self, store: &Store, code: RefusalCode, inside: String) -> Refused {
        let epoch = seal::peek_kid(self.token)
            .filter(|kid| *kid.site() == self.keys.id)
            .and_then(|kid| self.keys.epoch(kid.epoch()));
        let Some(epoch) = epoch else { return Refused::ForGood { code, refusal: None, inside } };
        let progress = match store.progress(self.keys.id.to_string()).await {
            Ok(progress) => progress,
            Err(error) => return error.into(),
        };
        let refusal = Refusal { code, claims: self.claims(&progress) };
        Refused::ForGood { code, refusal: Some(receipt::sign_refusal(&refusal, &epoch.receipt_key())), inside }
    }

    fn held(&self, code: RefusalCode, inside: &str) -> NewHeld {
        NewHeld {
            site: self.keys.id.to_string(),
            sha256: self.sha256,
            bytes: self.token.as_bytes().to_vec(),
            code: code.as_str(),
            reason: inside.to_owned(),
            authentic: true,
            received_at: self.now,
        }
    }

    fn claims(&self, progress: &Progress) -> Claims {
        Claims {
            site: self.keys.id.clone(),
            batch_id: self.named.batch_id.clone(),
            sequence: self.named.sequence,
            sha256: hex::encode(&self.sha256),
            acknowledged_through: progress.acknowledged_through,
            server_time: self.now,
            highest: Some(progress.highest),
            missing: progress.missing.clone(),
        }
    }
}
