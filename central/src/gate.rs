//! Who may come in how often, and how many at one time: token buckets and shares, bounded in number. Pure but for the locks.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

/// Keys that one limiter remembers. Beyond that, full buckets are forgotten; while there are still too many, all that are
/// new share one bucket: a flood from so many addresses is slowed down, and those who are known already do not feel it.
const KEYS_MAX: usize = 10_000;

/// The network that an address counts for: itself, or of IPv6 its /64, for whoever has one has 2^64 addresses.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

/// At most `burst` at once, and `per_second` in the long run, for each key.
pub struct Limiter<K> {
    burst: f64,
    per_second: f64,
    buckets: Mutex<Buckets<K>>,
}

struct Buckets<K> {
    known: HashMap<K, Bucket>,
    /// Of all that are new while there is no room for another key.
    others: Bucket,
    /// When full buckets were last forgotten: at most once a second, for it takes a look at each.
    swept_at: Timestamp,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl<K: Eq + Hash> Limiter<K> {
    /// A limiter with all buckets full.
    pub fn new(burst: u32, per_second: f64) -> Self {
        let others = Bucket { left: f64::from(burst), at: Timestamp::MIN };
        let buckets = Buckets { known: HashMap::new(), others, swept_at: Timestamp::MIN };
        Self { burst: f64::from(burst), per_second, buckets: Mutex::new(buckets) }
    }

    /// Takes one from the key's bucket; `false` when it is empty.
    pub fn admit(&self, key: K, now: Timestamp) -> bool {
        let mut buckets = locked(&self.buckets);
        let Buckets { known, others, swept_at } = &mut *buckets;
        if known.len() >= KEYS_MAX && !known.contains_key(&key) && *swept_at != now {
            *swept_at = now;
            known.retain(|_, bucket| self.refilled(bucket, now) < self.burst);
        }
        let bucket = match known.len() < KEYS_MAX || known.contains_key(&key) {
            true => known.entry(key).or_insert(Bucket { left: self.burst, at: now }),
            false => others,
        };
        bucket.left = self.refilled(bucket, now);
        bucket.at = now;
        let admitted = bucket.left >= 1.0;
        if admitted {
            bucket.left -= 1.0;
        }
        admitted
    }

    /// A clock that jumps back refills nothing.
    fn refilled(&self, bucket: &Bucket, now: Timestamp) -> f64 {
        let passed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
        (bucket.left + passed * self.per_second).min(self.burst)
    }
}

/// A number of places, of which one key may hold its share at most, so that nobody takes all of them.
pub struct Shares<K> {
    all: usize,
    taken: Mutex<HashMap<K, usize>>,
    freed: Notify,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// So many places, all free.
    pub fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, taken: Mutex::new(HashMap::new()), freed: Notify::new() })
    }

    /// A place for this key, which may hold `each` of them; `None` when it has those, or all are taken.
    pub fn take(self: &Arc<Self>, key: K, each: usize) -> Option<Share<K>> {
        let mut taken = locked(&self.taken);
        if taken.values().sum::<usize>() >= self.all || taken.get(&key).is_some_and(|taken| *taken >= each) {
            return None;
        }
        *taken.entry(key.clone()).or_default() += 1;
        drop(taken);
        Some(Share { key, of: Arc::clone(self) })
    }

    /// The same, and waits until there is one.
    pub async fn wait(self: &Arc<Self>, key: K, each: usize) -> Share<K> {
        loop {
            let freed = self.freed.notified();
            match self.take(key.clone(), each) {
                Some(share) => return share,
                None => freed.await,
            }
        }
    }
}

/// A place; free again when this is dropped.
pub struct Share<K: Eq + Hash> {
    key: K,
    of: Arc<Shares<K>>,
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = locked(&self.of.taken);
        match taken.get_mut(&self.key) {
            Some(number) if *number > 1 => *number -= 1,
            _ => drop(taken.remove(&self.key)),
        }
        drop(taken);
        self.of.freed.notify_waiters();
    }
}

/// What is under these locks is right after every statement, whoever panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(!limiter.admit("a", at(0)));
        assert!(limiter.admit("b", at(0)));
    }

    #[test]
    fn the_number_of_keys_is_bounded_and_a_flood_of_them_opens_no_door() {
        let limiter = Limiter::new(2, 1.0);
        for key in 0..KEYS_MAX {
            assert!(limiter.admit(key, at(0)));
        }
        let new: Vec<bool> = (KEYS_MAX..KEYS_MAX + 5).map(|key| limiter.admit(key, at(0))).collect();
        assert_eq!(new, [true, true, false, false, false], "all that are new share one bucket");
        assert!(limiter.admit(7, at(0)), "who is known has its own");
        assert!(limiter.admit(KEYS_MAX, at(60)));
        assert_eq!(limiter.buckets.lock().expect("a lock").known.len(), 1);
    }

    #[test]
    fn an_ipv6_host_counts_by_its_network() {
        let of = |text: &str| network(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:aaaa:bbbb:cccc:dddd"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2::1"), "2001:db8:1:2::");
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
    }

    #[test]
    fn one_key_has_its_share_and_all_have_what_there_is() {
        let shares = Shares::new(5);
        let mut held: Vec<_> = (0..2).filter_map(|_| shares.take("a", 2)).collect();
        assert!(shares.take("a", 2).is_none());
        held.extend(["b", "c", "d"].into_iter().filter_map(|key| shares.take(key, 2)));
        assert_eq!(held.len(), 5);
        assert!(shares.take("e", 2).is_none(), "all are taken");
        held.remove(0);
        assert!(shares.take("a", 2).is_some());
        held.clear();
        assert_eq!(shares.taken.lock().expect("a lock").len(), 0);
    }
}
