//! What a site's tokens say about each other: numbers that are missing, and numbers that were used twice.
//!
//! Pure. The store gathers the facts of one site inside its transaction, asks here, and writes what follows. The rules
//! are `standards.md` 2.4 (late mail), 2.5 (replay, forks) and 2.8 (sequence and chain).

/// A SHA-256 of a token.
pub type Digest = [u8; 32];

/// A range of sequence numbers, both ends included.
pub type Range = (u64, u64);

/// At most this many missing ranges are told in a receipt, the lowest first (`standards.md` 3.2).
pub const MISSING_MAX: usize = 32;

/// What the store knows about a site when a token that it does not have yet arrives.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// A stored batch carries the same `@id`.
    pub id_is_stored: bool,
    /// Digests of the stored tokens with the same sequence.
    pub same_sequence: Vec<Digest>,
    /// Digests that stored batches name for this sequence.
    pub named: Vec<Digest>,
    /// The newest epoch of any stored batch; 0 when there is none.
    pub newest_epoch: u32,
    /// A stored batch with a smaller sequence has a newer epoch than this token.
    pub newer_epoch_below: bool,
}

/// What is to be done with a token that opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Store and acknowledge it.
    Take {
        /// Another token has used, or is said to have used, this sequence.
        forked: bool,
    },
    /// Keep it in quarantine and refuse it: the first one stays.
    Conflict(&'static str),
}

/// Decides about a token of `epoch` with `digest`. A fork is stored like any other batch: to refuse would lose readings.
pub fn judge(facts: &Facts, digest: &Digest, epoch: u32) -> Judgement {
    if facts.id_is_stored {
        return Judgement::Conflict("another token with this batch id is stored");
    }
    if epoch < facts.newest_epoch {
        if facts.newer_epoch_below {
            return Judgement::Conflict("its epoch is older than that of a stored batch before it");
        }
        if !facts.named.is_empty() && !facts.named.contains(digest) {
            return Judgement::Conflict("its epoch is old, and later batches name another token for its sequence");
        }
        if !facts.same_sequence.is_empty() {
            return Judgement::Conflict("its epoch is old, and its sequence is stored already");
        }
    }
    Judgement::Take { forked: !facts.same_sequence.is_empty() || facts.named.iter().any(|named| named != digest) }
}

/// The holes in 1 ..= `highest`: neither stored nor void, ascending. `stored` and `voids` may be in any order, may
/// overlap and may begin above 1; everything up to and including `through` counts as there.
pub fn holes(through: u64, highest: u64, stored: &[u64], voids: &[Range]) -> Vec<Range> {
    let mut there: Vec<Range> = stored.iter().map(|&number| (number, number)).chain(voids.iter().copied()).collect();
    there.sort_unstable();
    let mut holes = Vec::new();
    let mut next = through + 1;
    for (first, last) in there {
        if next > highest {
            break;
        }
        if first > next {
            holes.push((next, (first - 1).min(highest)));
        }
        next = next.max(last.saturating_add(1));
    }
    if next <= highest {
        holes.push((next, highest));
    }
    holes
}

/// The highest n such that each of 1 ..= n is there, when these are the holes below `highest`.
pub fn acknowledged_through(highest: u64, holes: &[Range]) -> u64 {
    holes.first().map_or(highest, |(first, _)| first - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_holes(stored: &[u64], voids: &[Range], expected: &[Range], acknowledged: u64) {
        let highest = stored.iter().copied().max().unwrap_or(0);
        let found = holes(0, highest, stored, voids);
        assert_eq!(found, expected, "stored {stored:?}, voids {voids:?}");
        assert_eq!(acknowledged_through(highest, &found), acknowledged, "stored {stored:?}, voids {voids:?}");
    }

    #[test]
    fn nothing_stored_acknowledges_nothing() {
        check_holes(&[], &[], &[], 0);
    }

    #[test]
    fn an_unbroken_run_is_acknowledged_whole_in_any_order_of_arrival() {
        check_holes(&[3, 1, 2], &[], &[], 3);
    }

    #[test]
    fn a_missing_number_stops_the_acknowledgement_below_it() {
        check_holes(&[1, 2, 5, 9], &[], &[(3, 4), (6, 8)], 2);
    }

    #[test]
    fn a_void_fills_a_hole_and_may_overlap_what_is_stored() {
        check_holes(&[1, 2, 5, 9], &[(2, 4), (6, 6)], &[(7, 8)], 6);
    }

    #[test]
    fn the_first_number_missing_acknowledges_nothing() {
        check_holes(&[1002], &[], &[(1, 1001)], 0);
        check_holes(&[1002], &[(1, 1001)], &[], 1002);
    }

    #[test]
    fn what_was_acknowledged_before_needs_not_be_given_again() {
        assert_eq!(holes(7, 9, &[9], &[]), [(8, 8)]);
        assert_eq!(holes(7, 7, &[], &[]), []);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        assert_eq!(holes(0, 3, &[3], &[(1, u64::MAX)]), []);
    }

    const A: Digest = [0xaa; 32];
    const B: Digest = [0xbb; 32];

    #[track_caller]
    fn check(facts: Facts, epoch: u32, expected: Judgement) {
        assert_eq!(judge(&facts, &A, epoch), expected, "{facts:?}");
    }

    #[test]
    fn a_second_token_with_one_id_is_a_conflict() {
        let facts = Facts { id_is_stored: true, newest_epoch: 1, ..Facts::default() };
        check(facts, 1, Judgement::Conflict("another token with this batch id is stored"));
    }

    #[test]
    fn a_second_token_under_one_sequence_is_taken_and_marks_a_fork() {
        let facts = Facts { same_sequence: vec![B], newest_epoch: 1, ..Facts::default() };
        check(facts.clone(), 1, Judgement::Take { forked: true });
        check(facts, 2, Judgement::Take { forked: true });
    }

    #[test]
    fn a_token_that_later_ones_name_otherwise_is_a_fork() {
        check(Facts { named: vec![A], newest_epoch: 1, ..Facts::default() }, 1, Judgement::Take { forked: false });
        check(Facts { named: vec![A, B], newest_epoch: 1, ..Facts::default() }, 1, Judgement::Take { forked: true });
    }

    #[test]
    fn an_old_epoch_is_taken_late_only_where_it_belongs() {
        check(Facts { newest_epoch: 2, named: vec![A], ..Facts::default() }, 1, Judgement::Take { forked: false });
        check(Facts { newest_epoch: 2, ..Facts::default() }, 1, Judgement::Take { forked: false });
        for facts in [
            Facts { newest_epoch: 2, newer_epoch_below: true, ..Facts::default() },
            Facts { newest_epoch: 2, named: vec![B], ..Facts::default() },
            Facts { newest_epoch: 2, same_sequence: vec![B], ..Facts::default() },
        ] {
            assert!(matches!(judge(&facts, &A, 1), Judgement::Conflict(_)), "{facts:?}");
        }
    }
}
