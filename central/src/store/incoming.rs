//! What comes in, whatever way: batches are stored, the rest is kept in quarantine, and the message that it all came in is
//! marked, in one transaction.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction};

use super::batches::{self, Arrival, Placed};
use super::quarantine::{self, Kept, NewHeld};
use super::{Store, StoreError};
use crate::keyring::Keyring;

/// One request, file or message on its way in.
#[derive(Debug)]
pub struct Incoming {
    /// What it holds, in its order.
    pub items: Vec<Item>,
    /// What it is called for people; empty for a request of a site.
    pub source: String,
    /// How it came.
    pub way: Way,
    /// Where it lies, when it is a message of a mailbox: marked once everything in it is stored or kept.
    pub mail: Option<Mail>,
}

/// How something came in: whether its site hears the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A request of the site, which gets a receipt.
    Https,
    /// A file or a message.
    Import,
}

impl Way {
    /// As the store writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Import => "import",
        }
    }
}

/// One thing in it.
#[derive(Debug)]
pub enum Item {
    /// A token that opened.
    Batch(Box<Arrival>),
    /// A token that is stored already.
    Duplicate,
    /// A token that authenticated and is in quarantine already.
    StillHeld,
    /// Anything else, to be kept.
    Held(NewHeld),
}

/// A message of an IMAP mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// What the mailbox is called, server and user included; stored as a keyed hash.
    pub mailbox: String,
    /// Changes when the mailbox is made anew.
    pub uid_validity: u32,
    /// The message, as long as that stays.
    pub uid: u32,
    /// Why there is no batch in it: `bounce`, `auto-reply`, `no-batch`. With items, what becomes of them decides.
    pub without: Option<&'static str>,
    /// Now.
    pub seen_at: Timestamp,
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Stored, now or before; `false` = it was there.
    Stored(bool),
    /// Two tokens of one batch, or an epoch out of its time: refused with `batch-conflict`, and kept.
    Conflict(&'static str),
    /// Kept in quarantine, now or before.
    Held,
    /// There is no room in the quarantine: it must stay where it is. With the reason, when it was a conflict.
    Full(Option<&'static str>),
}

/// Messages that are moved to the one folder or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that was in it is stored.
    Processed,
    /// Something in it is not a batch that could be stored.
    Rejected,
}

impl Store {
    /// Stores and keeps all of these, or nothing. What is to be answered, moved or deleted may be once this returns.
    pub async fn take(&self, incoming: Vec<Incoming>) -> Result<Vec<Vec<Taken>>, StoreError> {
        self.write(move |db, keyring| incoming.iter().map(|one| take(db, keyring, one)).collect()).await
    }

    /// What became of a message that was dealt with before.
    pub async fn mail_verdict(&self, mail: Mail) -> Result<Option<Verdict>, StoreError> {
        self.read(move |db, keyring| {
            let found: Option<String> = db
                .prepare_cached("SELECT verdict FROM mail WHERE mailbox = $1 AND uid_validity = $2 AND uid = $3")?
                .query_row((mailbox(keyring, &mail), mail.uid_validity, mail.uid), |row| row.get(0))
                .optional()?;
            Ok(found.map(|word| if word == PROCESSED { Verdict::Processed } else { Verdict::Rejected }))
        })
        .await
    }
}

/// The verdict of a message whose batches are all stored.
const PROCESSED: &str = "processed";

fn take(db: &Transaction<'_>, keyring: &Keyring, incoming: &Incoming) -> Result<Vec<Taken>, StoreError> {
    let mut all = Vec::with_capacity(incoming.items.len());
    for item in &incoming.items {
        all.push(match item {
            Item::Duplicate => Taken::Stored(false),
            Item::StillHeld => Taken::Held,
            Item::Held(held) => match quarantine::keep(db, keyring, held, &incoming.source)? {
                Kept::Kept => Taken::Held,
                Kept::Full => Taken::Full(None),
            },
            Item::Batch(arrival) => match batches::place(db, keyring, arrival, incoming.way)? {
                Placed::Stored(new) => Taken::Stored(new),
                Placed::Conflict(reason) => {
                    match quarantine::keep(db, keyring, &NewHeld::conflict(arrival, reason), &incoming.source)? {
                        Kept::Kept => Taken::Conflict(reason),
                        Kept::Full => Taken::Full(Some(reason)),
                    }
                }
            },
        });
    }
    match &incoming.mail {
        Some(mail) if !all.iter().any(|taken| matches!(taken, Taken::Full(_))) => mark(db, keyring, mail, &all)?,
        _ => {}
    }
    Ok(all)
}

fn mark(db: &Transaction<'_>, keyring: &Keyring, mail: &Mail, all: &[Taken]) -> Result<(), StoreError> {
    let stored = all.iter().all(|taken| matches!(taken, Taken::Stored(_)));
    let verdict = mail.without.unwrap_or(if stored { PROCESSED } else { "refused" });
    db.prepare_cached(
        "INSERT INTO mail (mailbox, uid_validity, uid, verdict, received_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (mailbox, uid_validity, uid) DO NOTHING",
    )?
    .execute((mailbox(keyring, mail), mail.uid_validity, mail.uid, verdict, mail.seen_at.as_second()))?;
    Ok(())
}

fn mailbox(keyring: &Keyring, mail: &Mail) -> String {
    keyring.look_up("mail.mailbox", &mail.mailbox)
}
