//! Sequence numbers: which is next, what names the tokens before it, and which numbers will not come.

use jiff::Timestamp;
use meterpost_wire::batch::{Link, Void, VoidReason};
use meterpost_wire::hex;

use super::{State, number, sql, wait_again};
use crate::store::{StoreError, Tx};

/// Hashes of earlier tokens that are kept.
const CHAIN_KEPT: i64 = 64;

/// Earlier tokens that a batch names beside the previous one.
const LINKS: i64 = 15;

/// Voids that a batch names.
const VOIDS: usize = 64;

/// A void is repeated in every batch of this many seconds after it arose.
const VOID_REPEATED_S: i64 = 30 * 86_400;

/// After a jump the numbers go on this far above what is known to be used.
const JUMP: u64 = 1_000;

/// A `highest` further above the own sequence than this is not believed.
const HIGHEST_BELIEVED: u64 = 1_000_000;

/// Ranges of one receipt's `missing` that are heeded.
const MISSING_HEEDED: usize = 32;

const NEXT: &str = "next_sequence";

/// The place of the next batch in the chain. Valid inside the transaction that it was read in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The number that the batch gets.
    pub sequence: u64,
    /// SHA-256 of the newest token that is known, in hex.
    pub previous: Option<String>,
    /// The up to 15 tokens before that, newest first.
    pub links: Vec<Link>,
    /// Numbers that will not come.
    pub voids: Vec<Void>,
}

/// The number that the next batch gets; 1 in a new outbox.
pub fn next_sequence(tx: &Tx<'_>) -> Result<u64, StoreError> {
    let next = tx.fact(NEXT)?.and_then(|text| text.parse().ok());
    Ok(next.unwrap_or(1))
}

/// Reads where the next batch stands. Nothing is used up before `append`.
pub fn slot(tx: &Tx<'_>, now: Timestamp) -> Result<Slot, StoreError> {
    let newest = "SELECT seq, sha256 FROM chain ORDER BY seq DESC LIMIT ?1";
    let mut links = tx.rows(newest, [LINKS + 1], |row| {
        Ok(Link { sequence: number(row, 0)?, sha256: hex::encode(&row.get::<_, Vec<u8>>(1)?) })
    })?;
    let previous = if links.is_empty() { None } else { Some(links.remove(0).sha256) };
    let recent = voids(tx, now.as_second() - VOID_REPEATED_S)?;
    Ok(Slot { sequence: next_sequence(tx)?, previous, links, voids: newest_joined(recent) })
}

/// The number and the hash of a batch that is being queued.
pub(super) fn used(tx: &Tx<'_>, sequence: u64, sha256: &[u8]) -> Result<(), StoreError> {
    tx.execute("INSERT INTO chain (seq, sha256) VALUES (?1, ?2)", (sql(sequence), sha256))?;
    tx.execute("DELETE FROM chain WHERE seq NOT IN (SELECT seq FROM chain ORDER BY seq DESC LIMIT ?1)", [CHAIN_KEPT])?;
    tx.set_fact(NEXT, &(sequence + 1).to_string())
}

/// Goes on at `sequence` when that is above the own next number; what is jumped over is void as `lost`, because nobody
/// knows whether it was used.
pub fn jump_to(tx: &Tx<'_>, sequence: u64, now: Timestamp) -> Result<(), StoreError> {
    let next = next_sequence(tx)?;
    if sequence <= next {
        return Ok(());
    }
    declare(tx, next, sequence - 1, VoidReason::Lost, now)?;
    tx.set_fact(NEXT, &sequence.to_string())
}

/// After a salvage: goes on 1,000 above whatever may have been used, by what was saved and by what `kept` says. The numbers from
/// the largest saved one on are void as `lost`. Gives the next number.
pub fn go_on_after_damage(tx: &Tx<'_>, kept: u64, now: Timestamp) -> Result<u64, StoreError> {
    let newest = "SELECT max(coalesce((SELECT max(seq) FROM batch), 0), coalesce((SELECT max(seq) FROM chain), 0))";
    let saved = tx.row(newest, [], |row| number(row, 0))?.unwrap_or(0);
    let used = saved.max(kept).max(next_sequence(tx)? - 1);
    tx.set_fact(NEXT, &(saved + 1).to_string())?;
    jump_to(tx, used + JUMP, now)?;
    next_sequence(tx)
}

/// What a verified answer's claims may change here: `missing` puts what is still here back to waiting and names what
/// is not as void; `highest` moves the next number past a collision (a restored backup). Never a setting.
///
/// Gives false when `highest` was not believed, which is worth an alarm.
pub fn heed(tx: &Tx<'_>, missing: &[(u64, u64)], highest: Option<u64>, now: Timestamp) -> Result<bool, StoreError> {
    let next = next_sequence(tx)?;
    for &(from, to) in missing.iter().take(MISSING_HEEDED) {
        named_missing(tx, from.max(1), to.min(next - 1), now)?;
    }
    match highest {
        Some(highest) if highest >= next && highest - next > HIGHEST_BELIEVED => Ok(false),
        Some(highest) if highest >= next => jump_to(tx, highest + JUMP, now).map(|()| true),
        _ => Ok(true),
    }
}

fn named_missing(tx: &Tx<'_>, from: u64, to: u64, now: Timestamp) -> Result<(), StoreError> {
    if from > to {
        return Ok(());
    }
    let range = [sql(from), sql(to)];
    let here = "SELECT seq, state FROM batch INDEXED BY batch_look WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq";
    let here = tx.rows(here, range, |row| Ok((number(row, 0)?, State::parse(&row.get::<_, String>(1)?))))?;
    for &(sequence, state) in &here {
        // what waits will come by itself, what is set aside is a person's affair
        if matches!(state, State::HandedOver | State::Delivered) {
            wait_again(tx, sequence, now)?;
        }
    }
    let mut known: Vec<(u64, u64)> = here.iter().map(|&(sequence, _)| (sequence, sequence)).collect();
    for (void, _) in voids(tx, i64::MIN)? {
        if void.from <= to && void.to >= from {
            // declared before and forgotten over there: said again for another 30 days
            let again = (sql(void.from), sql(void.to), now.as_second());
            tx.execute("UPDATE void SET since = ?3 WHERE from_seq = ?1 AND to_seq = ?2", again)?;
            known.push((void.from, void.to));
        }
    }
    for (from, to) in uncovered(from, to, known) {
        declare(tx, from, to, VoidReason::Expired, now)?;
    }
    Ok(())
}

/// What of `from..=to` no range of `known` covers.
fn uncovered(from: u64, to: u64, mut known: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    known.sort_unstable();
    let mut open = Vec::new();
    let mut at = from;
    for (first, last) in known {
        if first > at {
            open.push((at, (first - 1).min(to)));
        }
        at = at.max(last + 1);
        if at > to {
            return open;
        }
    }
    open.push((at, to));
    open
}

/// Keeps the voids in step with where an item stands: set aside is one, anything else ends it.
pub(super) fn settled(tx: &Tx<'_>, sequence: u64, state: State, now: Timestamp) -> Result<(), StoreError> {
    if state == State::SetAside {
        return declare(tx, sequence, sequence, VoidReason::SetAside, now);
    }
    end(tx, sequence)
}

/// A person deleted an item that the central never acknowledged.
pub(super) fn deleted(tx: &Tx<'_>, sequence: u64, now: Timestamp) -> Result<(), StoreError> {
    declare(tx, sequence, sequence, VoidReason::Deleted, now)
}

/// It comes, or the central has it: no void of its own.
pub(super) fn end(tx: &Tx<'_>, sequence: u64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM void WHERE from_seq = ?1 AND to_seq = ?1", [sql(sequence)]).map(drop)
}

fn declare(tx: &Tx<'_>, from: u64, to: u64, reason: VoidReason, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO void (from_seq, to_seq, reason, since) VALUES (?1, ?2, ?3, ?4)",
        (sql(from), sql(to), reason.as_str(), now.as_second()),
    )
    .map(drop)
}

/// Voids that arose after `since`, by number, with when they arose.
fn voids(tx: &Tx<'_>, since: i64) -> Result<Vec<(Void, i64)>, StoreError> {
    let sql = "SELECT from_seq, to_seq, reason, since FROM void WHERE since > ?1 ORDER BY from_seq";
    tx.rows(sql, [since], |row| {
        let reason = match row.get::<_, String>(2)?.as_str() {
            "deleted" => VoidReason::Deleted,
            "expired" => VoidReason::Expired,
            "set_aside" => VoidReason::SetAside,
            _ => VoidReason::Lost,
        };
        Ok((Void { from: number(row, 0)?, to: number(row, 1)?, reason }, row.get(3)?))
    })
}

/// Neighbours of one reason joined; of more than 64 the newest, in the order of their numbers.
fn newest_joined(voids: Vec<(Void, i64)>) -> Vec<Void> {
    let mut joined: Vec<(Void, i64)> = Vec::new();
    for (void, since) in voids {
        match joined.last_mut() {
            Some((last, newest)) if last.reason == void.reason && last.to + 1 == void.from => {
                last.to = void.to;
                *newest = since.max(*newest);
            }
            _ => joined.push((void, since)),
        }
    }
    joined.sort_by_key(|(_, since)| std::cmp::Reverse(*since));
    joined.truncate(VOIDS);
    joined.sort_by_key(|(void, _)| void.from);
    joined.into_iter().map(|(void, _)| void).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn void(from: u64, to: u64, reason: VoidReason) -> Void {
        Void { from, to, reason }
    }

    #[test]
    fn what_nothing_covers_is_found_between_and_around() {
        assert_eq!(uncovered(1, 9, vec![(3, 4), (6, 6)]), [(1, 2), (5, 5), (7, 9)]);
        assert_eq!(uncovered(1, 9, vec![]), [(1, 9)]);
        assert_eq!(uncovered(3, 5, vec![(1, 9)]), []);
        assert_eq!(uncovered(3, 5, vec![(5, 12)]), [(3, 4)]);
    }

    #[test]
    fn neighbouring_voids_of_one_reason_are_joined() {
        use VoidReason::{Deleted, Lost};
        let voids =
            vec![(void(1, 3, Lost), 10), (void(4, 4, Lost), 20), (void(5, 5, Deleted), 20), (void(7, 7, Deleted), 5)];
        assert_eq!(newest_joined(voids), [void(1, 4, Lost), void(5, 5, Deleted), void(7, 7, Deleted)]);
    }

    #[test]
    fn of_too_many_voids_the_newest_are_named_in_order() {
        let voids = (0..70).map(|n| (void(2 * n + 1, 2 * n + 1, VoidReason::Deleted), 70 - n as i64)).collect();
        let named = newest_joined(voids);
        assert_eq!((named.len(), named[0].from, named[63].from), (64, 1, 127));
    }
}
