//! Which waiting item is sent next.

use std::collections::VecDeque;

/// The newest first, then one old and one new in turn: a week of backlog does not hide today's alert, and today's alerts
/// do not hold up the backlog for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    waiting: VecDeque<u64>,
    old_next: bool,
}

impl Backlog {
    /// From sequences that rise.
    pub fn new(waiting: Vec<u64>) -> Self {
        debug_assert!(waiting.is_sorted());
        Self { waiting: waiting.into(), old_next: false }
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Iterator for Backlog {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let next = if self.old_next { self.waiting.pop_front() } else { self.waiting.pop_back() };
        self.old_next = !self.old_next;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(waiting: &[u64], expected: &[u64]) {
        let order: Vec<u64> = Backlog::new(waiting.to_vec()).collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn newest_goes_first_then_old_and_new_in_turn() {
        check(&[1, 2, 3, 4, 5], &[5, 1, 4, 2, 3]);
        check(&[7], &[7]);
        check(&[], &[]);
    }
}
