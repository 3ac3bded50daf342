//! A mailbox that batches are sent to: every message is taken in, and then moved to the one folder or the other.
//!
//! What became of a message is stored with its batches, by mailbox, UIDVALIDITY and UID, before it is moved. A connection that
//! breaks in between costs nothing: what was stored is moved next time, what was not is fetched again. Nothing is ever
//! deleted, and nothing answered.

mod connect;

use std::time::Duration;

use async_imap::types::{Fetch, UnsolicitedResponse};
use futures_util::TryStreamExt;
use jiff::Timestamp;

use super::paths::Told;
use super::{
    GROUP_BYTES_MAX, GROUP_MAX, MailPlace, Outcome, PIECE_MAX, Piece, Summary, follow_keys, pass_over, take_in,
};
use crate::config::Imap;
use crate::store::{Store, StoreError, Verdict};
use connect::{Mailbox, log_in};
use meterpost_wire::mail::Without;

/// A server that has not answered a command by then is given up.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// After this long it looks again when something came while it was busy with what it had found.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// After a failure the mailbox is left alone for this long, doubled up to the time between two looks where that is longer.
const FIRST_WAIT: Duration = Duration::from_secs(20);

/// Why a mailbox was not emptied.
#[derive(Debug, thiserror::Error)]
pub enum ImapError {
    /// No connection, no TLS, or it ended.
    #[error("the mailbox at `{0}` cannot be reached: {1}")]
    Connect(String, String),
    /// The server does not let this user in with what it was shown.
    #[error("the mailbox does not let `{0}` in: check the password, or the rights of the program")]
    LogIn(String),
    /// There is no token to log in with.
    #[error("`{0}` gives no token for the mailbox: {1}")]
    Token(String, String),
    /// A command failed, or the connection broke.
    #[error("the mailbox's server: {0}")]
    Command(String),
    /// Nothing can be stored now: the messages stay where they are.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<async_imap::error::Error> for ImapError {
    fn from(error: async_imap::error::Error) -> Self {
        let text: String = error.to_string().chars().filter(|letter| !letter.is_control()).take(200).collect();
        Self::Command(text)
    }
}

/// Empties the mailbox once.
pub async fn poll(
    store: &Store,
    imap: &Imap,
    now: fn() -> Timestamp,
    told: &mut Told<'_>,
) -> Result<Summary, ImapError> {
    let mut mailbox = log_in(imap).await?;
    let summary = drain(&mut mailbox, store, imap, now, told).await?;
    // All is done: a server that does not say good-bye changes nothing.
    let _ = in_time(mailbox.logout()).await;
    Ok(summary)
}

/// Empties the mailbox, and again whenever the server tells of something new or it is time to look again; for ever.
pub async fn attend(store: Store, imap: Imap, now: fn() -> Timestamp) {
    let mut wait = FIRST_WAIT;
    loop {
        let mut told = |name: &str, what: Result<&Outcome, &str>| log(name, what);
        if let Err(error) = session(&store, &imap, now, &mut told, &mut wait).await {
            tracing::warn!(%error, "the mailbox is left alone for {} seconds", wait.as_secs());
        }
        tokio::time::sleep(wait).await;
        wait = imap.look_every.max(FIRST_WAIT).min(wait * 2);
    }
}

/// What `serve` says of files and messages.
pub fn log(name: &str, what: Result<&Outcome, &str>) {
    match what {
        Ok(Outcome::Stored { new, before }) => tracing::info!(name, new, before, "imported"),
        Ok(Outcome::Held { reasons, .. }) => tracing::warn!(name, ?reasons, "kept in quarantine"),
        Ok(Outcome::Without(without)) => tracing::info!(name, %without, "no batch"),
        Ok(Outcome::Left(why)) => tracing::error!(name, why, "not imported"),
        Err(why) => tracing::warn!(name, why, "not imported"),
    }
}

async fn session(
    store: &Store,
    imap: &Imap,
    now: fn() -> Timestamp,
    told: &mut Told<'_>,
    wait: &mut Duration,
) -> Result<(), ImapError> {
    let mut mailbox = log_in(imap).await?;
    let idles = in_time(mailbox.capabilities()).await?.has_str("IDLE");
    let besides = mailbox.unsolicited_responses.clone();
    loop {
        while besides.try_recv().is_ok() {}
        drain(&mut mailbox, store, imap, now, told).await?;
        *wait = FIRST_WAIT;
        if !idles {
            tokio::time::sleep(imap.look_every).await;
            continue;
        }
        let mut idle = mailbox.idle();
        in_time(idle.init()).await?;
        // A message that came after our search was told beside the answer to another command, and is not told again.
        // What does not fit there is dropped, so that a full queue may have had one too.
        let mut came = besides.is_full();
        while let Ok(told) = besides.try_recv() {
            came |= matches!(told, UnsolicitedResponse::Exists(_));
        }
        // A server that only says that it is still there does not put off our own look.
        let (news, _stop) = idle.wait();
        if let Ok(news) = tokio::time::timeout(if came { LOOK_AGAIN_AFTER } else { imap.look_every }, news).await {
            news?;
        }
        mailbox = in_time(idle.done()).await?;
    }
}

/// Takes in everything in the folder, oldest first, and moves it.
async fn drain(
    mailbox: &mut Mailbox,
    store: &Store,
    imap: &Imap,
    now: fn() -> Timestamp,
    told: &mut Told<'_>,
) -> Result<Summary, ImapError> {
    let folder = in_time(mailbox.select(&imap.mailbox)).await?;
    let place = MailPlace {
        mailbox: format!("{}:{} {} {}", imap.host, imap.port, imap.user, imap.mailbox),
        uid_validity: folder.uid_validity.ok_or_else(|| ImapError::Command("no UIDVALIDITY".to_owned()))?,
        uid: 0,
    };
    let mut uids: Vec<u32> = in_time(mailbox.uid_search("UNDELETED")).await?.into_iter().collect();
    uids.sort_unstable();
    let mut work = Work { store, imap, now, told, place, summary: Summary::default() };
    for uids in uids.chunks(GROUP_MAX) {
        work.group(mailbox, uids).await?;
    }
    let mut summary = work.summary;
    if summary.unknown_keys > 0 {
        let brought = follow_keys(store, now()).await?;
        summary.new += brought;
        summary.held = summary.held.saturating_sub(brought);
    }
    Ok(summary)
}

/// One look at the folder.
struct Work<'w, 't> {
    store: &'w Store,
    imap: &'w Imap,
    now: fn() -> Timestamp,
    told: &'w mut Told<'t>,
    place: MailPlace,
    summary: Summary,
}

impl Work<'_, '_> {
    async fn group(&mut self, mailbox: &mut Mailbox, uids: &[u32]) -> Result<(), ImapError> {
        let mut verdicts = Vec::new();
        let mut fetching: Vec<(u32, usize)> = Vec::new();
        for (uid, size) in sizes(mailbox, uids).await? {
            let place = MailPlace { uid, ..self.place.clone() };
            if let Some(verdict) = self.store.mail_verdict(place.mail((self.now)(), None)).await? {
                verdicts.push((uid, verdict));
            } else if size > PIECE_MAX {
                pass_over(self.store, &place, Without::TooLarge, (self.now)()).await?;
                self.told(uid, &Outcome::Without(Without::TooLarge));
                verdicts.push((uid, Verdict::Rejected));
            } else {
                fetching.push((uid, size));
            }
        }
        let mut rest = fetching.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fit = rest.iter().take_while(|(_, size)| {
                bytes += size;
                bytes <= GROUP_BYTES_MAX
            });
            let (now, later) = rest.split_at(fit.count().max(1));
            rest = later;
            self.fetched(mailbox, now, &mut verdicts).await?;
        }
        for (verdict, folder) in [(Verdict::Processed, &self.imap.processed), (Verdict::Rejected, &self.imap.rejected)]
        {
            let uids: Vec<u32> = verdicts.iter().filter(|(_, found)| *found == verdict).map(|(uid, _)| *uid).collect();
            if !uids.is_empty() {
                move_to(mailbox, &uids, folder).await?;
            }
        }
        Ok(())
    }

    /// Fetches these messages and stores what is in them, in one transaction with what became of each.
    async fn fetched(
        &mut self,
        mailbox: &mut Mailbox,
        fetching: &[(u32, usize)],
        verdicts: &mut Vec<(u32, Verdict)>,
    ) -> Result<(), ImapError> {
        let uids: Vec<u32> = fetching.iter().map(|(uid, _)| *uid).collect();
        let messages = fetch(mailbox, &uids, "(UID BODY.PEEK[])").await?;
        let pieces: Vec<Piece> = messages
            .iter()
            .filter_map(|message| {
                let place = MailPlace { uid: message.uid?, ..self.place.clone() };
                let name = name(self.imap, place.uid);
                Some(Piece { name, bytes: message.body()?.to_vec(), mail: Some(place) })
            })
            .collect();
        drop(messages);
        let uids: Vec<u32> = pieces.iter().filter_map(|piece| Some(piece.mail.as_ref()?.uid)).collect();
        let outcomes = take_in(self.store, pieces, (self.now)()).await?;
        for (uid, outcome) in uids.into_iter().zip(outcomes) {
            self.told(uid, &outcome);
            match outcome {
                Outcome::Stored { .. } => verdicts.push((uid, Verdict::Processed)),
                Outcome::Held { .. } | Outcome::Without(_) => verdicts.push((uid, Verdict::Rejected)),
                Outcome::Left(_) => {}
            }
        }
        Ok(())
    }

    fn told(&mut self, uid: u32, outcome: &Outcome) {
        self.summary.count(outcome);
        (self.told)(&name(self.imap, uid), Ok(outcome));
    }
}

fn name(imap: &Imap, uid: u32) -> String {
    format!("{} message {uid}", imap.mailbox)
}

async fn sizes(mailbox: &mut Mailbox, uids: &[u32]) -> Result<Vec<(u32, usize)>, ImapError> {
    let found = fetch(mailbox, uids, "(UID RFC822.SIZE)").await?;
    Ok(found.iter().filter_map(|message| Some((message.uid?, message.size? as usize))).collect())
}

async fn fetch(mailbox: &mut Mailbox, uids: &[u32], what: &str) -> Result<Vec<Fetch>, ImapError> {
    in_time(async { mailbox.uid_fetch(listed(uids), what).await?.try_collect().await }).await
}

/// Moves messages; makes the folder where there is none, and copies and marks where the server knows no MOVE (RFC 6851).
async fn move_to(mailbox: &mut Mailbox, uids: &[u32], folder: &str) -> Result<(), ImapError> {
    let uids = listed(uids);
    let moves = in_time(mailbox.capabilities()).await?.has_str("MOVE");
    let moved = |error: ImapError, again: bool| match error {
        ImapError::Command(text) if text.starts_with("no response") && !again => Ok(()),
        other => Err(other),
    };
    for again in [false, true] {
        let done = if moves {
            in_time(mailbox.uid_mv(&uids, folder)).await
        } else {
            in_time(mailbox.uid_copy(&uids, folder)).await
        };
        match done {
            Ok(()) => break,
            Err(error) => moved(error, again)?,
        }
        in_time(mailbox.create(folder)).await?;
    }
    if moves {
        return Ok(());
    }
    // Marked as deleted they are not looked at again; where only these can be, they are removed too.
    let marking = async { mailbox.uid_store(&uids, "+FLAGS.SILENT (\\Deleted)").await?.try_collect::<Vec<_>>().await };
    in_time(marking).await?;
    if in_time(mailbox.capabilities()).await?.has_str("UIDPLUS") {
        in_time(async { mailbox.uid_expunge(&uids).await?.try_collect::<Vec<_>>().await }).await?;
    }
    Ok(())
}

fn listed(uids: &[u32]) -> String {
    uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

async fn in_time<T>(command: impl Future<Output = async_imap::error::Result<T>>) -> Result<T, ImapError> {
    match tokio::time::timeout(COMMAND_TIMEOUT, command).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ImapError::Command("no answer within two minutes".to_owned())),
    }
}
