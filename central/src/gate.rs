//! Who may come in how often: token buckets, bounded in number. Pure but for the lock.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// Keys that one limiter remembers. Beyond that, full buckets are forgotten first; if all are in use, everybody new is
/// let in: a flood from so many addresses is not stopped here.
const KEYS_MAX: usize = 10_000;

/// At most `burst` at once, and `per_second` in the long run, for each key.
pub struct Limiter<K> {
    burst: f64,
    per_second: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

struct Bucket {
    left: f64,
    at: Timestamp,
}

impl<K: Eq + Hash> Limiter<K> {
    /// A limiter with all buckets full.
    pub fn new(burst: u32, per_second: f64) -> Self {
        Self { burst: f64::from(burst), per_second, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes one from the key's bucket; `false` when it is empty.
    pub fn admit(&self, key: K, now: Timestamp) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEYS_MAX && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| self.refilled(bucket, now) < self.burst);
            if buckets.len() >= KEYS_MAX {
                return true;
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { left: self.burst, at: now });
        bucket.left = self.refilled(bucket, now);
        bucket.at = now;
        let admitted = bucket.left >= 1.0;
        if admitted {
            bucket.left -= 1.0;
        }
        admitted
    }

    /// Whether the key's bucket has one left, without taking it.
    pub fn has_left(&self, key: &K, now: Timestamp) -> bool {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.get(key).is_none_or(|bucket| self.refilled(bucket, now) >= 1.0)
    }

    /// A clock that jumps back refills nothing.
    fn refilled(&self, bucket: &Bucket, now: Timestamp) -> f64 {
        let passed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
        (bucket.left + passed * self.per_second).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    #[test]
    fn a_burst_passes_and_then_only_the_rate() {
        let limiter = Limiter::new(3, 0.5);
        let admitted: Vec<bool> = (0..4).map(|_| limiter.admit("a", at(0))).collect();
        assert_eq!(admitted, [true, true, true, false]);
        assert!(!limiter.admit("a", at(1)));
        assert!(limiter.admit("a", at(2)));
        assert!(!limiter.admit("a", at(3)));
    }

    #[test]
    fn one_key_never_costs_another() {
        let limiter = Limiter::new(1, 0.1);
        assert!(limiter.admit("a", at(0)));
        assert!(!limiter.has_left(&"a", at(0)));
        assert!(limiter.admit("b", at(0)));
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let limiter = Limiter::new(2, 1.0);
        for key in 0..KEYS_MAX {
            assert!(limiter.admit(key, at(0)));
        }
        assert!(limiter.admit(KEYS_MAX, at(60)));
        assert_eq!(limiter.buckets.lock().expect("a lock").len(), 1);
    }
}
