//! Channels out: send one item, and say by the outcome what the outbox must do.
//!
//! Delivering knows neither SNMP nor mapping files, and believes nothing but a receipt that verifies. It runs on a thread
//! of its own: HTTP here is blocking, and so is SQLite.

pub mod http;
pub mod soap;

use std::time::Duration;

use jiff::Timestamp;
use meterpost_wire::receipt::Claims;

use crate::outbox::{self, Backlog, Event, OutboxError, Outcome, Rest, State};
use crate::store::{Store, StoreError, Tx};

/// After the first failure.
pub const BACK_OFF_FIRST: Duration = Duration::from_secs(60);

/// However many failures.
pub const BACK_OFF_MOST: Duration = Duration::from_secs(3_600);

/// A channel that was refused at the door (401, 403) rests this long: asking oftener only fills the other side's log.
pub const UNAUTHORIZED_REST: Duration = Duration::from_secs(3_600);

/// The longest wait that a `Retry-After` can ask for.
pub const RETRY_AFTER_MOST: Duration = Duration::from_secs(6 * 3_600);

/// Doubles from one minute and stays at one hour, so a receiver that was away for a night is found again within the hour.
/// `dice` spreads a fleet of collectors over the whole wait (full jitter); without it they would all return in the same
/// second after a power cut. `attempts` counts from 1.
pub fn wait(attempts: u32, dice: u32) -> Duration {
    let doubled = BACK_OFF_FIRST.as_secs() << attempts.saturating_sub(1).min(10);
    let most = doubled.min(BACK_OFF_MOST.as_secs());
    Duration::from_secs((most * u64::from(dice)).div_ceil(u64::from(u32::MAX)))
}

/// One item on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number.
    pub sequence: u64,
    /// `Batch/@id`.
    pub id: String,
    /// Epoch of the key it is sealed under: its receipt is signed under the same.
    pub epoch: u32,
    /// The compact token.
    pub token: String,
}

/// How a sending ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A receipt for this token verified.
    Receipt {
        /// As it came.
        receipt: String,
        /// What it says besides.
        claims: Claims,
    },
    /// A relay took it, or the file was written; no receipt comes by this way.
    HandedOver,
}

/// Why a batch was not delivered, by what the outbox must do next. No text in here has a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Set the item aside for a person: the far side said no, verifiably, and will say no again.
    #[error("refused: {reason}")]
    Refused {
        /// The central's code.
        reason: String,
        /// The refusal as it came.
        refusal: String,
        /// What it says besides.
        claims: Box<Claims>,
    },
    /// Send this item again, later; go on with the next. Nobody can tell whether it arrived: the central drops the
    /// duplicate by its hash.
    #[error("{0}")]
    Unsure(String),
    /// The same, and a person should hear of it: the far side does not know the key it is sealed under.
    #[error("{0}")]
    UnknownKey(String),
    /// Let the channel rest, with back-off: the failure is not this item's. At least `at_least`, when the far side said
    /// how long.
    #[error("{reason}")]
    Down {
        /// For people.
        reason: String,
        /// From `Retry-After`.
        at_least: Option<Duration>,
    },
    /// Let the channel rest for an hour and tell a person: the far side does not know us.
    #[error("{0}")]
    Unauthorized(String),
}

/// A way out. Implementors: SOAP over HTTPS, later mail and files, and a scripted one in the tests.
pub trait Channel {
    /// `https`, `mail`, `file`; as `outbox list` shows it.
    fn name(&self) -> &'static str;

    /// Sends one item and waits for what becomes of it. Bounded in time and in bytes read.
    fn send(&self, item: &Outgoing) -> Result<Sent, SendError>;
}

/// So many items in a row that ended unsure are the channel's failure: 10,000 items need not each learn the same.
const UNSURE_IN_A_ROW: u32 = 5;

/// How one pass over the outbox went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Items delivered.
    pub delivered: u32,
    /// Items handed over.
    pub handed_over: u32,
    /// Items set aside.
    pub set_aside: u32,
    /// Items that wait on after a try.
    pub unsure: u32,
    /// Items that were not tried, because the channel rests or was stopped.
    pub left: u32,
    /// Why the channel rests, and until when.
    pub rests: Option<Rest>,
}

impl Report {
    /// Whether everything that waited went through.
    pub fn is_clean(&self) -> bool {
        self.set_aside == 0 && self.unsure == 0 && self.left == 0
    }
}

/// Whether due times and a resting channel are heeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hurry {
    /// Only what is due: a daemon between its runs.
    WhenDue,
    /// Everything that waits: a scheduled run, or a person's `outbox send`.
    AtOnce,
}

/// The time and the dice of a pass: scripted in tests.
pub struct Pace<'a> {
    /// The wall clock.
    pub now: &'a dyn Fn() -> Timestamp,
    /// Uniform over all of u32.
    pub dice: &'a dyn Fn() -> u32,
    /// Asked before every item; true ends the pass.
    pub stopped: &'a dyn Fn() -> bool,
}

/// One pass: every waiting item is tried once, the newest first, then an old and a new one in turn, until the channel
/// fails as a whole. Each outcome is committed before the next item is sent.
pub fn pass(store: &Store, channel: &dyn Channel, hurry: Hurry, pace: &Pace<'_>) -> Result<Report, StoreError> {
    let name = channel.name();
    let mut report = Report::default();
    let started = (pace.now)();
    let all = hurry == Hurry::AtOnce;
    let (waiting, rest) =
        store.read(|tx| Ok::<_, StoreError>((outbox::waiting(tx, started, all)?, outbox::rest(tx, name)?)))?;
    if let Some(rest) = rest.as_ref().filter(|rest| !all && rest.due_at > started) {
        return Ok(Report { left: waiting.len() as u32, rests: Some(rest.clone()), ..report });
    }
    let mut failures = rest.map_or(0, |rest| rest.attempts);
    let mut in_a_row = 0;
    let mut backlog = Backlog::new(waiting);
    while let Some(sequence) = backlog.next() {
        report.left = backlog.len() as u32;
        if (pace.stopped)() {
            report.left += 1;
            break;
        }
        let Some(item) = take(store, sequence, name, pace, &mut report)? else { continue };
        let sent = channel.send(&item);
        let now = (pace.now)();
        if let Err(error @ (SendError::Down { .. } | SendError::Unauthorized(_))) = &sent {
            let rest = resting(error, failures + 1, now, (pace.dice)());
            store.write(|tx| {
                if let SendError::Unauthorized(_) = error {
                    alarm(tx, now, "unauthorized", "the central does not accept this site's token")?;
                }
                outbox::set_rest(tx, name, Some(&rest))
            })?;
            report.left += 1;
            report.rests = Some(rest);
            break;
        }
        in_a_row = if let Err(SendError::Unsure(_)) = sent { in_a_row + 1 } else { 0 };
        let rest = match &sent {
            Err(error) if in_a_row == UNSURE_IN_A_ROW => Some(resting(error, failures + 1, now, (pace.dice)())),
            _ => None,
        };
        let concluded = store.write(|tx| {
            // an answer that nobody can read proves nothing about the channel either
            if in_a_row == 0 || rest.is_some() {
                outbox::set_rest(tx, name, rest.as_ref())?;
            }
            conclude(tx, sequence, name, &sent, now, (pace.dice)())
        });
        match concluded.map_err(store_error)? {
            State::Delivered => report.delivered += 1,
            State::HandedOver => report.handed_over += 1,
            State::SetAside => report.set_aside += 1,
            State::Waiting => report.unsure += 1,
        }
        if in_a_row == 0 {
            failures = 0;
        }
        if rest.is_some() {
            report.rests = rest;
            break;
        }
    }
    Ok(report)
}

/// How long a channel rests after it failed as a whole for the `failures`-th time in a row.
fn resting(error: &SendError, failures: u32, now: Timestamp, dice: u32) -> Rest {
    let rest = match error {
        SendError::Unauthorized(_) => UNAUTHORIZED_REST,
        SendError::Down { at_least: Some(asked), .. } => wait(failures, dice).max((*asked).min(RETRY_AFTER_MOST)),
        _ => wait(failures, dice),
    };
    Rest { attempts: failures, due_at: now + rest, last_error: error.to_string() }
}

/// Records what became of one item; the state it has then.
fn conclude(
    tx: &Tx<'_>,
    sequence: u64,
    channel: &str,
    sent: &Result<Sent, SendError>,
    now: Timestamp,
    dice: u32,
) -> Result<State, OutboxError> {
    let outcome = match sent {
        Ok(Sent::Receipt { receipt, .. }) => Outcome::Delivered { receipt: receipt.clone() },
        Ok(Sent::HandedOver) => Outcome::HandedOver,
        Err(SendError::Refused { reason, refusal, .. }) => {
            alarm(tx, now, "refused", &format!("the central refused batch {sequence}: {reason}"))?;
            Outcome::Refused { reason: reason.clone(), refusal: Some(refusal.clone()) }
        }
        Err(error) => {
            if let SendError::UnknownKey(_) = error {
                alarm(tx, now, "unknown-key", &format!("the central does not know the key of batch {sequence}"))?;
            }
            let attempts = outbox::item(tx, sequence)?.attempts + 1;
            Outcome::Unsure { reason: error.to_string(), due_at: now + wait(attempts, dice) }
        }
    };
    let state = outbox::settle(tx, sequence, channel, &outcome, now)?;
    match sent {
        Ok(Sent::Receipt { claims, .. }) => heed(tx, claims, now)?,
        Err(SendError::Refused { claims, .. }) => heed(tx, claims, now)?,
        _ => {}
    }
    Ok(state)
}

/// The next item as it goes out; `None` when it is gone meanwhile or its bytes are rotten, in which case it is set aside.
fn take(
    store: &Store,
    sequence: u64,
    channel: &str,
    pace: &Pace<'_>,
    report: &mut Report,
) -> Result<Option<Outgoing>, StoreError> {
    let taken = store.read(|tx| {
        let item = outbox::item(tx, sequence)?;
        Ok::<_, OutboxError>((item, outbox::token(tx, sequence)?))
    });
    match taken {
        Ok((item, token)) if item.state == State::Waiting => {
            Ok(Some(Outgoing { sequence, id: item.id, epoch: item.epoch, token }))
        }
        Err(OutboxError::Store(error)) => Err(error),
        Err(error @ OutboxError::Rotten(_)) => {
            let now = (pace.now)();
            let outcome = Outcome::Refused { reason: error.to_string(), refusal: None };
            let moved = store.write(|tx| {
                outbox::settle(tx, sequence, channel, &outcome, now)?;
                Ok(alarm(tx, now, "rotten", &error.to_string())?)
            });
            moved.map_err(store_error)?;
            report.set_aside += 1;
            Ok(None)
        }
        // another process dealt with it between our look and now
        Ok(_) | Err(_) => Ok(None),
    }
}

fn heed(tx: &Tx<'_>, claims: &Claims, now: Timestamp) -> Result<(), StoreError> {
    outbox::set_clock_skew(tx, now.as_second() - claims.server_time.as_second())?;
    if !outbox::heed(tx, &claims.missing, claims.highest, now)? {
        alarm(tx, now, "highest", "the central names a highest sequence that cannot be; it was ignored")?;
    }
    Ok(())
}

fn alarm(tx: &Tx<'_>, at: Timestamp, code: &str, text: &str) -> Result<(), StoreError> {
    outbox::note(tx, &Event { at, code: code.to_owned(), text: text.to_owned() })
}

/// Inside a pass the only thing besides the store that can go wrong is an item that went away meanwhile.
fn store_error(error: OutboxError) -> StoreError {
    match error {
        OutboxError::Store(error) => error,
        gone => StoreError::Failed(gone.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(attempts: u32, dice: u32, expected_secs: u64) {
        assert_eq!(wait(attempts, dice).as_secs(), expected_secs, "attempts {attempts}, dice {dice}");
    }

    #[test]
    fn waits_double_to_an_hour_and_the_dice_choose_within() {
        check(1, u32::MAX, 60);
        check(2, u32::MAX, 120);
        check(6, u32::MAX, 1_920);
        check(7, u32::MAX, 3_600);
        check(u32::MAX, u32::MAX, 3_600);
        check(3, u32::MAX / 2, 120);
        check(3, 0, 0);
    }
}
