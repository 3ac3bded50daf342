//! Batches that come in as files and mail: the same [`accept::look`] and the same transaction as for a request.
//!
//! ```text
//! source ─► Piece ─► contents ─► look ─► take ─► Outcome, and then the file or message is moved
//! ```
//!
//! Guarantees:
//! - Order and duplicates do not matter: a token counts once, whatever way and however often it comes.
//! - A file or message is moved only after the transaction that stored or kept everything in it has committed.
//! - What cannot be opened or parsed is kept in quarantine with its reason and its bytes; the rest goes on.
//! - Nothing is answered, no link is followed, and what a message or a file's name says is not believed.

pub mod imap;
pub mod mbox;
pub mod paths;
pub mod source;
pub mod watch;

use std::collections::HashMap;

use jiff::Timestamp;
use meterpost_wire::keys::SiteId;
use meterpost_wire::mail::{self, Without};
use meterpost_wire::{hex, seal};

use crate::accept::{self, Look, Standing, Submission};
use crate::store::{Incoming, Item, Mail, NewHeld, SiteKeys, Store, StoreError, Taken, Way};

/// Bytes of a file or message that is read; a larger one is read one byte further, and is no batch.
pub const PIECE_MAX: usize = mail::MESSAGE_MAX;

/// Pieces that are stored in one transaction.
pub const GROUP_MAX: usize = 64;

/// Bytes at which such a group is full.
pub const GROUP_BYTES_MAX: usize = 4 << 20;

/// One file or message.
#[derive(Clone, Debug)]
pub struct Piece {
    /// What people call it.
    pub name: String,
    /// All of it, cut one byte above [`PIECE_MAX`].
    pub bytes: Vec<u8>,
    /// Where it lies, when it is a message of an IMAP mailbox.
    pub mail: Option<MailPlace>,
}

/// A message of an IMAP mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailPlace {
    /// Server, user and folder.
    pub mailbox: String,
    /// Of the folder.
    pub uid_validity: u32,
    /// Of the message.
    pub uid: u32,
}

impl MailPlace {
    /// As the store marks it.
    fn mail(&self, seen_at: Timestamp, without: Option<Without>) -> Mail {
        Mail {
            mailbox: self.mailbox.clone(),
            uid_validity: self.uid_validity,
            uid: self.uid,
            without: without.map(word),
            seen_at,
        }
    }
}

/// What became of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All its batches are stored.
    Stored {
        /// Now.
        new: u64,
        /// Before.
        before: u64,
    },
    /// Something in it is kept in quarantine; the rest is stored.
    Held {
        /// Stored now.
        new: u64,
        /// Stored before.
        before: u64,
        /// What is held, and why.
        reasons: Vec<String>,
    },
    /// It is a message, and no batch is in it.
    Without(Without),
    /// It could be neither stored nor kept: it stays where it is.
    Left(String),
}

/// What an import did, all pieces together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files and messages looked at.
    pub pieces: u64,
    /// Batches stored now.
    pub new: u64,
    /// Batches that were stored already.
    pub before: u64,
    /// Tokens and files in quarantine.
    pub held: u64,
    /// Of these, such as name a key that is not known here: another batch may bring it.
    pub unknown_keys: u64,
    /// Reports of messages that were not delivered.
    pub bounces: u64,
    /// Mailboxes that answered by themselves.
    pub auto_replies: u64,
    /// Messages without a batch.
    pub without: u64,
    /// Files that could not be read, or for which there was no room.
    pub left: u64,
}

impl Summary {
    /// Whether everything that should have been a batch is stored.
    pub fn is_whole(&self) -> bool {
        self.held + self.without + self.left == 0
    }

    /// Adds what became of one piece.
    pub fn count(&mut self, outcome: &Outcome) {
        self.pieces += 1;
        match outcome {
            Outcome::Stored { new, before } => {
                self.new += new;
                self.before += before;
            }
            Outcome::Held { new, before, reasons } => {
                self.new += new;
                self.before += before;
                self.held += reasons.len() as u64;
                self.unknown_keys += reasons.iter().filter(|reason| reason.starts_with(UNKNOWN_KEY)).count() as u64;
            }
            Outcome::Without(Without::Bounce) => self.bounces += 1,
            Outcome::Without(Without::AutoReply) => self.auto_replies += 1,
            Outcome::Without(_) => self.without += 1,
            Outcome::Left(_) => self.left += 1,
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let counted = |number: u64, one: &str, many: &str| match number {
            0 => None,
            1 => Some(format!("1 {one}")),
            number => Some(format!("{number} {many}")),
        };
        let parts = [
            counted(self.new, "new batch", "new batches"),
            counted(self.before, "stored before", "stored before"),
            counted(self.held, "in quarantine", "in quarantine"),
            counted(self.bounces, "delivery report", "delivery reports"),
            counted(self.auto_replies, "automatic reply", "automatic replies"),
            counted(self.without, "without a batch", "without a batch"),
            counted(self.left, "left where it is", "left where they are"),
        ];
        let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let looked =
            counted(self.pieces, "file or message", "files and messages").unwrap_or("nothing found".to_owned());
        if parts.is_empty() { looked } else { format!("{looked}: {parts}") }
    }
}

/// How a reason begins that a key which arrives later may end.
const UNKNOWN_KEY: &str = "unknown-key: ";

/// What is in a piece.
enum Contents {
    Tokens(Vec<Vec<u8>>),
    Without(Without),
}

/// Takes in a group of pieces in one transaction. Where something in it breaks the program or the store, each is taken alone,
/// and only that one is left. An error means that nothing more can be stored now, and all may be brought again.
pub async fn take_in(store: &Store, pieces: Vec<Piece>, now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
    let error = match take_group(store, pieces.clone(), now).await {
        Err(error @ StoreError::Broken(_)) if pieces.len() > 1 => error,
        done => return done,
    };
    let mut outcomes = Vec::with_capacity(pieces.len());
    for piece in pieces {
        outcomes.push(match take_group(store, vec![piece], now).await {
            Ok(outcome) => outcome.into_iter().next().unwrap_or_else(|| Outcome::Left(error.to_string())),
            Err(StoreError::Broken(why)) => Outcome::Left(why),
            Err(error) => return Err(error),
        });
    }
    if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Left(_))) { Err(error) } else { Ok(outcomes) }
}

async fn take_group(store: &Store, pieces: Vec<Piece>, now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
    let mut keys = Keys::default();
    let (mut incoming, mut looks) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut items = Vec::new();
        let without = match contents(&piece.bytes) {
            Contents::Without(without) => Some(without),
            Contents::Tokens(tokens) => {
                for token in tokens {
                    items.push(item(store, &mut keys, token, false, now).await?);
                }
                None
            }
        };
        let mail = piece.mail.map(|place| place.mail(now, without));
        let (items, reasons): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        incoming.push(Incoming { items, source: piece.name, way: Way::Import, mail });
        looks.push((without, reasons));
    }
    let taken = store.take(incoming).await?;
    Ok(looks.into_iter().zip(taken).map(|((without, reasons), taken)| outcome(without, reasons, taken)).collect())
}

/// Marks a message that is not fetched.
async fn pass_over(store: &Store, place: &MailPlace, without: Without, now: Timestamp) -> Result<(), StoreError> {
    let mail = Some(place.mail(now, Some(without)));
    store.take(vec![Incoming { items: Vec::new(), source: String::new(), way: Way::Import, mail }]).await.map(|_| ())
}

/// Tries once more what is in the quarantine under this number, as if it came in now. `None`: there is no such item.
pub async fn again(store: &Store, number: u64, now: Timestamp) -> Result<Option<Outcome>, StoreError> {
    let Some((_, bytes)) = store.held_item(number).await? else { return Ok(None) };
    let (item, reason) = item(store, &mut Keys::default(), bytes, true, now).await?;
    let taken =
        store.take(vec![Incoming { items: vec![item], source: String::new(), way: Way::Import, mail: None }]).await?;
    Ok(taken.into_iter().next().map(|taken| outcome(None, vec![reason], taken)))
}

/// Tries again what named an unknown key, as long as that brings new keys: a site's key moves on with its batches, and they
/// come in any order. Returns how many batches it brought.
pub async fn follow_keys(store: &Store, now: Timestamp) -> Result<u64, StoreError> {
    let mut brought = 0;
    loop {
        let before = brought;
        for row in store.held().await?.into_iter().filter(|row| row.code == "unknown-key") {
            if let Some(Outcome::Stored { .. }) = again(store, row.number, now).await? {
                brought += 1;
            }
        }
        if brought == before {
            return Ok(brought);
        }
    }
}

fn outcome(without: Option<Without>, reasons: Vec<String>, taken: Vec<Taken>) -> Outcome {
    if let Some(without) = without {
        return Outcome::Without(without);
    }
    let (mut new, mut before, mut held) = (0, 0, Vec::new());
    for (taken, reason) in taken.into_iter().zip(reasons) {
        match taken {
            Taken::Stored(true) => new += 1,
            Taken::Stored(false) => before += 1,
            Taken::Held => held.push(reason),
            Taken::Conflict(why) => held.push(format!("batch-conflict: {why}")),
            Taken::Full(why) => {
                return Outcome::Left(format!(
                    "the quarantine is full, so it stays where it is: {}",
                    why.map_or(reason, |why| format!("batch-conflict: {why}"))
                ));
            }
        }
    }
    if held.is_empty() { Outcome::Stored { new, before } } else { Outcome::Held { new, before, reasons: held } }
}

fn word(without: Without) -> &'static str {
    match without {
        Without::Bounce => "bounce",
        Without::AutoReply => "auto-reply",
        _ => "no-batch",
    }
}

/// A token alone, or a message that may hold some. What is neither is taken for a token that does not open.
fn contents(bytes: &[u8]) -> Contents {
    if bytes.len() > PIECE_MAX {
        return Contents::Without(Without::TooLarge);
    }
    if is_a_manifest(bytes) {
        return Contents::Tokens(Vec::new());
    }
    let token = mail::stripped(bytes);
    if is_like_a_token(&token) || !is_like_a_message(bytes) {
        return Contents::Tokens(vec![token]);
    }
    match mail::read(bytes) {
        mail::Incoming::Tokens(tokens) => Contents::Tokens(tokens),
        mail::Incoming::Without(Without::NoMessage) => Contents::Tokens(vec![token]),
        mail::Incoming::Without(without) => Contents::Without(without),
    }
}

fn is_like_a_token(stripped: &[u8]) -> bool {
    !stripped.is_empty() && stripped.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// What a collector lays beside its files for `sha256sum -c`: a line for each, its hash and its name. It names batches and is
/// none; nothing else is done with it, for every token proves itself.
fn is_a_manifest(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let names_a_file =
        |line: &str| line.split_once("  ").is_some_and(|(hash, name)| hex::is_sha256(hash) && name.ends_with(".jwe"));
    !text.is_empty() && text.lines().all(names_a_file)
}

/// The first line is a field of a header: a name, as they are in use, and a colon (RFC 5322, section 2.2).
fn is_like_a_message(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len()
        && !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}

/// What is to be done with one token, and the reason that people are told where it is held.
async fn item(
    store: &Store,
    keys: &mut Keys,
    bytes: Vec<u8>,
    again: bool,
    now: Timestamp,
) -> Result<(Item, String), StoreError> {
    let sha256 = accept::digest(&bytes);
    let hold = |site: String, bytes: Vec<u8>, code: &'static str, why: String, authentic| {
        let reason = format!("{code}: {why}");
        let held = NewHeld { site, sha256, bytes, code, reason: why, authentic, received_at: now };
        Ok((Item::Held(held), reason))
    };
    let invalid = "envelope-invalid";
    let kid = std::str::from_utf8(&bytes).ok().and_then(seal::peek_kid);
    let (Ok(token), Some(kid)) = (String::from_utf8(bytes.clone()), kid) else {
        let why = if bytes.is_empty() { "it is empty" } else { "it is no batch: a sealed token would be right" };
        return hold(String::new(), bytes, invalid, why.to_owned(), false);
    };
    let site = kid.site().to_string();
    let Some(known) = keys.of(store, kid.site(), now).await? else {
        return hold(site, bytes, "unknown-key", format!("site {} is not known here", kid.site()), false);
    };
    match accept::look(store, known, &Submission { named: None, token }, again, now).await? {
        Look::Take(arrival) => Ok((Item::Batch(arrival), String::new())),
        Look::Duplicate(_) => Ok((Item::Duplicate, String::new())),
        Look::UnknownKey(epoch) => {
            let why = format!("the key of epoch {epoch} of site `{}` is not known here", known.name);
            hold(site, bytes, "unknown-key", why, false)
        }
        Look::Refuse { code, inside, standing: Standing::Kept } => {
            Ok((Item::StillHeld, format!("{}: {inside}", code.as_str())))
        }
        Look::Refuse { code, inside, standing } => {
            hold(site, bytes, code.as_str(), inside, standing == Standing::Authentic)
        }
    }
}

/// The keys of the sites that a group names.
#[derive(Default)]
struct Keys(HashMap<SiteId, Option<SiteKeys>>);

impl Keys {
    async fn of(&mut self, store: &Store, site: &SiteId, now: Timestamp) -> Result<Option<&SiteKeys>, StoreError> {
        if !self.0.contains_key(site) {
            self.0.insert(site.clone(), store.site(site.to_string(), now).await?);
        }
        Ok(self.0.get(site).and_then(Option::as_ref))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_what_is_in_it() {
        for (bytes, token) in [
            ("eyJh.b.c", true),
            (" eyJh.b\r\n .c\n", true),
            ("Subject: x\n\nhello\n", false),
            ("From: a@b\r\n\r\n", false),
            ("\u{0}\u{1}\u{2}", true),
            ("{\"a\": 1}", true),
            ("", true),
        ] {
            assert_eq!(matches!(contents(bytes.as_bytes()), Contents::Tokens(_)), token, "{bytes}");
        }
    }

    #[test]
    fn the_manifest_beside_the_files_is_no_batch_and_no_fault() {
        let line = format!("{}  6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10-41.jwe\n", "ab".repeat(32));
        let held = |bytes: &str| match contents(bytes.as_bytes()) {
            Contents::Tokens(tokens) => tokens.len(),
            Contents::Without(_) => 9,
        };
        assert_eq!((held(&line), held(&line.repeat(3))), (0, 0));
        assert_eq!(held(&format!("{line}eyJh.b.c\n")), 1, "a line that is none is not passed over");
    }

    #[test]
    fn a_summary_names_only_what_there_is() {
        let mut summary = Summary::default();
        assert_eq!(summary.line(), "nothing found");
        assert!(summary.is_whole());
        for outcome in [
            Outcome::Stored { new: 1, before: 0 },
            Outcome::Stored { new: 1, before: 2 },
            Outcome::Without(Without::Bounce),
        ] {
            summary.count(&outcome);
        }
        assert!(summary.is_whole());
        summary.count(&Outcome::Held { new: 0, before: 0, reasons: vec!["unknown-key: x".to_owned()] });
        assert!(!summary.is_whole());
        assert_eq!(summary.unknown_keys, 1);
        assert_eq!(
            summary.line(),
            "4 files and messages: 2 new batches, 2 stored before, 1 in quarantine, 1 delivery report"
        );
    }
}
