//! How long an answer is waited for: the adaptive timeout of RFC 6298, with bounds that suit printers.
//!
//! Measured: at 2 % loss a fixed timeout of one second makes a fleet's reading two to four times as long as this does
//! (`reference/snmp.md` section 4c).

use std::time::Duration;

/// No wait is shorter: printers answer in 5 to 200 ms, and pause for a garbage collection now and then.
pub const WAIT_MIN: Duration = Duration::from_millis(250);
/// No wait is longer, also not after doubling, unless the device's mapping says otherwise.
pub const WAIT_MAX: Duration = Duration::from_secs(3);
/// The first wait for a device whose round trip is not known.
pub const WAIT_FIRST: Duration = Duration::from_secs(1);

/// Round trips of one device, smoothed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// Smoothed round trip and its variation; none before the first.
    round_trip: Option<(Duration, Duration)>,
    first: Duration,
    /// What the device's mapping says instead of [`WAIT_MAX`].
    longest: Option<Duration>,
}

impl Patience {
    /// `seed` is a round trip that the sweep measured; without one the first wait is `first`.
    pub fn new(seed: Option<Duration>, first: Duration) -> Self {
        Self { round_trip: seed.map(|rtt| (rtt, rtt / 2)), first, longest: None }
    }

    /// Sets the longest wait, `timeout_ms` of a mapping; `None` is [`WAIT_MAX`], or the first wait when that is longer.
    pub fn at_most(&mut self, longest: Option<Duration>) {
        self.longest = longest.map(|longest| longest.max(WAIT_MIN));
    }

    /// Takes the round trip of a request that was sent only once. (Of one sent again nobody knows which it answers: Karn.)
    pub fn learn(&mut self, rtt: Duration) {
        self.round_trip = Some(match self.round_trip {
            None => (rtt, rtt / 2),
            Some((smooth, varies)) => (smooth * 7 / 8 + rtt / 8, varies * 3 / 4 + smooth.abs_diff(rtt) / 4),
        });
    }

    /// The wait behind transmission `attempt` (0 the first): smooth + 4 × variation within the bounds, doubled for each
    /// attempt. `dice` spreads it by ±25 %, so that a fleet that lost its answers at once does not ask again at once.
    pub fn wait(&self, attempt: u32, dice: u8) -> Duration {
        let base = match self.round_trip {
            None => self.first,
            Some((smooth, varies)) => (smooth + varies * 4).clamp(WAIT_MIN, self.longest.unwrap_or(WAIT_MAX)),
        };
        let longest = self.longest.unwrap_or(WAIT_MAX.max(self.first));
        let doubled = base.saturating_mul(1 << attempt.min(8)).min(longest);
        doubled * (768 + 2 * u32::from(dice)) / 1023
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: u8 = 128;

    #[track_caller]
    fn check(patience: &Patience, expected_ms: [u64; 4]) {
        let waits = [0, 1, 2, 3].map(|attempt| patience.wait(attempt, MIDDLE).as_millis() as u64);
        for (wait, expected) in waits.into_iter().zip(expected_ms) {
            assert!(wait.abs_diff(expected) <= 2 + expected / 500, "{waits:?}, expected {expected_ms:?}");
        }
    }

    #[test]
    fn waits_double_from_the_first_one_and_end_at_three_seconds() {
        check(&Patience::new(None, WAIT_FIRST), [1001, 2002, 3003, 3003]);
        check(&Patience::new(Some(Duration::from_millis(20)), WAIT_FIRST), [250, 500, 1001, 2002]);
        check(&Patience::new(Some(Duration::from_millis(400)), WAIT_FIRST), [1201, 2402, 3003, 3003]);
        check(&Patience::new(Some(Duration::from_secs(9)), WAIT_FIRST), [3003; 4]);
    }

    #[test]
    fn a_mapping_may_make_the_longest_wait_longer_or_shorter() {
        let mut patience = Patience::new(Some(Duration::from_millis(1200)), WAIT_FIRST);
        patience.at_most(Some(Duration::from_secs(8)));
        check(&patience, [3604, 7207, 8008, 8008]);
        patience.at_most(Some(Duration::from_millis(400)));
        check(&patience, [400; 4]);
        patience.at_most(None);
        check(&patience, [3003; 4]);
    }

    #[test]
    fn a_steady_device_is_waited_for_less_and_a_shaky_one_more() {
        let mut patience = Patience::new(None, WAIT_FIRST);
        (0..40).for_each(|_| patience.learn(Duration::from_millis(400)));
        check(&patience, [400, 801, 1602, 3003]);
        (0..20).for_each(|n| patience.learn(Duration::from_millis(if n % 2 == 0 { 100 } else { 900 })));
        assert!(patience.wait(0, MIDDLE) > Duration::from_millis(1500));
    }

    #[test]
    fn dice_spread_a_wait_by_a_quarter_to_either_side() {
        let patience = Patience::new(None, WAIT_FIRST);
        assert_eq!(patience.wait(0, 0).as_millis(), 750);
        assert_eq!(patience.wait(0, 255).as_millis(), 1249);
    }
}
