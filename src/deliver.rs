//! Channels out: send one item, and say by the outcome what the outbox must do.
//!
//! Delivering knows neither SNMP nor mapping files, and believes nothing but a receipt that verifies. It runs on a thread
//! of its own: HTTP and SMTP here are blocking, and so is SQLite.

pub mod file;
pub mod http;
mod ladder;
pub mod mail;
pub mod soap;

use std::time::Duration;

use meterpost_wire::receipt::Claims;

pub use ladder::{Hurry, Pace, Report, pass};

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
    /// Which sending of it this is, by whatever channel; counts from 1. A mail has it in its Message-ID.
    pub attempt: u32,
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
    /// Try the next channel with this item: this one will never take it (a relay says that it is too large).
    #[error("{0}")]
    NotHere(String),
}

/// A way out. Implementors: SOAP over HTTPS, mail, files, and a scripted one in the tests.
pub trait Channel {
    /// `https`, `mail`, `file`; as `outbox list` shows it.
    fn name(&self) -> &'static str;

    /// Sends one item and waits for what becomes of it. Bounded in time and in bytes read.
    fn send(&self, item: &Outgoing) -> Result<Sent, SendError>;
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
