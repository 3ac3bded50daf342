//! What a person sends again: a range of numbers, or what a re-send code of the central names.

use jiff::Timestamp;

use super::{OutboxError, heed, list, next_sequence, retry};
use crate::store::Tx;

/// What became of numbers that were to be sent again. Those that are in neither list are not here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resent {
    /// They wait, and are due at once.
    pub waiting: Vec<u64>,
    /// Their bytes fail their hash: nobody can send them.
    pub rotten: Vec<u64>,
    /// The next number, when a code named one that this store never gave: a backup was put back, and the numbers since then
    /// are used.
    pub jumped_to: Option<u64>,
}

/// Sends again what is here of `ranges`; one rotten item costs no other.
pub fn resend(tx: &Tx<'_>, ranges: &[(u64, u64)], now: Timestamp) -> Result<Resent, OutboxError> {
    let asked = |sequence: u64| ranges.iter().any(|(from, to)| (*from..=*to).contains(&sequence));
    let mut resent = Resent::default();
    for sequence in list(tx)?.iter().map(|item| item.sequence).filter(|sequence| asked(*sequence)) {
        match retry(tx, sequence, now) {
            Ok(()) => resent.waiting.push(sequence),
            Err(OutboxError::Rotten(sequence)) => resent.rotten.push(sequence),
            Err(error) => return Err(error),
        }
    }
    Ok(resent)
}

/// The same for the ranges of a code: what is not here becomes a void. Its highest number is heeded like that of a receipt,
/// because a site that delivers by mail or file never hears one.
pub fn resend_by_code(tx: &Tx<'_>, ranges: &[(u64, u64)], now: Timestamp) -> Result<Resent, OutboxError> {
    let next = next_sequence(tx)?;
    let highest = ranges.iter().map(|(_, to)| *to).max();
    if !heed(tx, ranges, highest, now)? {
        return Err(OutboxError::Beyond { named: highest.unwrap_or(0), next });
    }
    let resent = resend(tx, ranges, now)?;
    let jumped_to = Some(next_sequence(tx)?).filter(|now| *now != next);
    Ok(Resent { jumped_to, ..resent })
}
