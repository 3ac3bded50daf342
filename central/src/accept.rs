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
use crate::store::{Arrival, Known, Progress, Quarantined, SiteKeys, Store, StoreError, Taken};

/// A token, and what its channel says about it. What is inside must agree.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The site, as the request names it.
    pub site: String,
    /// `Batch/@id`, as the request names it.
    pub batch_id: String,
    /// `Batch/@sequence`, as the request names it.
    pub sequence: u64,
    /// The compact token, without white space around it.
    pub token: String,
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

/// SHA-256 over the bytes of a compact token.
pub fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Takes a token of a site that has authenticated.
pub async fn accept(
    store: &Store,
    keys: &SiteKeys,
    submission: Submission,
    now: Timestamp,
) -> Result<Accepted, Refused> {
    let sha256 = digest(submission.token.as_bytes());
    let told = Told { keys, submission: &submission, sha256, now };
    match store.known(keys.id.to_string(), sha256).await? {
        Some(Known::Stored { batch_id, sequence, epoch, progress }) => {
            let epoch = keys.epoch(epoch).ok_or(Refused::UnknownKey(epoch))?;
            if (&batch_id, sequence) != (&submission.batch_id, submission.sequence)
                || keys.id.as_str() != submission.site
            {
                let inside = "a stored token under another name".to_owned();
                return Err(told.refused(store, RefusalCode::EnvelopeMismatch, inside).await);
            }
            return Ok(told.accepted(Disposition::Duplicate, progress, epoch));
        }
        Some(Known::Quarantined(code)) => {
            let code = RefusalCode::parse(&code).unwrap_or(RefusalCode::EnvelopeInvalid);
            return Err(told.refused(store, code, "it is in quarantine already".to_owned()).await);
        }
        None => {}
    }

    if submission.token.len() > seal::ACCEPTED_TOKEN_MAX {
        let inside = format!("a token of {} characters", submission.token.len());
        return Err(told.refused(store, RefusalCode::TooLarge, inside).await);
    }

    // Inflating and parsing up to 8 MiB is work for a thread of its own.
    let (opening_keys, token) = (keys.clone(), submission.token.clone());
    let opened = tokio::task::spawn_blocking(move || open::open(&opening_keys, &token))
        .await
        .map_err(|error| Refused::Storage(error.to_string()))?;
    let (kid, content) = match opened {
        Ok(opened) => opened,
        Err(Unopened::UnknownKey(epoch)) => return Err(Refused::UnknownKey(epoch)),
        Err(error @ Unopened::NotAuthentic(_)) => {
            return Err(told.refused(store, RefusalCode::EnvelopeInvalid, error.to_string()).await);
        }
        Err(error @ Unopened::NoBatch(_)) => {
            return Err(told.quarantined(store, RefusalCode::EnvelopeInvalid, error.to_string()).await);
        }
        Err(error @ Unopened::OtherSite(_)) => {
            return Err(told.quarantined(store, RefusalCode::EnvelopeMismatch, error.to_string()).await);
        }
    };
    let named = (submission.site.as_str(), submission.batch_id.as_str(), submission.sequence);
    let inner = match &content {
        Content::Batch(opened) => (opened.batch.site.as_str(), opened.batch.id.as_str(), opened.batch.sequence),
        // Nothing inside can disagree with the request but the site, which is that of the key.
        Content::Unreadable(why) => {
            tracing::warn!(site = %keys.id, sequence = submission.sequence, why, "a batch is stored and cannot be read");
            (keys.id.as_str(), submission.batch_id.as_str(), submission.sequence)
        }
    };
    if inner != named {
        let inside = "the request names another site, batch or sequence than the token".to_owned();
        return Err(told.quarantined(store, RefusalCode::EnvelopeMismatch, inside).await);
    }
    // Only the current epoch, the next, and ended ones have a key here, so this is no step over one.
    let epoch = keys.epoch(kid.epoch()).ok_or(Refused::UnknownKey(kid.epoch()))?;
    let arrival = Arrival {
        batch_id: submission.batch_id.clone(),
        sequence: submission.sequence,
        token: submission.token.clone(),
        sha256,
        epoch: epoch.clone(),
        received_at: now,
        content,
    };
    match store.take(arrival).await? {
        Taken::Stored(new, progress) => {
            let disposition = if new { Disposition::Accepted } else { Disposition::Duplicate };
            Ok(told.accepted(disposition, progress, epoch))
        }
        Taken::Conflict(reason) => Err(told.quarantined(store, RefusalCode::BatchConflict, reason.to_owned()).await),
    }
}

/// What every answer about one submission is made from.
struct Told<'s> {
    keys: &'s SiteKeys,
    submission: &'s Submission,
    sha256: [u8; 32],
    now: Timestamp,
}

impl Told<'_> {
    fn accepted(&self, disposition: Disposition, progress: Progress, epoch: &Epoch) -> Accepted {
        let receipt = Receipt { disposition, claims: self.claims(&progress) };
        Accepted { disposition, receipt: receipt::sign_receipt(&receipt, &epoch.receipt_key()), progress }
    }

    async fn refused(&self, store: &Store, code: RefusalCode, inside: String) -> Refused {
        let epoch = seal::peek_kid(&self.submission.token)
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

    /// Refused, once its bytes are kept; where there is no room for them, not refused at all.
    async fn quarantined(&self, store: &Store, code: RefusalCode, inside: String) -> Refused {
        let site = self.keys.id.to_string();
        let token = self.submission.token.clone();
        match store.quarantine(site, self.sha256, token, code.as_str(), inside.clone(), self.now).await {
            Ok(Quarantined::Kept) => self.refused(store, code, inside).await,
            Ok(Quarantined::Full) => Refused::Storage(format!("the quarantine is full; this token was: {inside}")),
            Err(error) => error.into(),
        }
    }

    fn claims(&self, progress: &Progress) -> Claims {
        Claims {
            site: self.keys.id.clone(),
            batch_id: self.submission.batch_id.clone(),
            sequence: self.submission.sequence,
            sha256: hex::encode(&self.sha256),
            acknowledged_through: progress.acknowledged_through,
            server_time: self.now,
            highest: Some(progress.highest),
            missing: progress.missing.clone(),
        }
    }
}
