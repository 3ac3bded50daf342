//! How many packets each second.

use std::time::Duration;

/// Part of a second that packets may come late without a second that holds too many.
const RESERVE: f64 = 0.04;

/// Tokens: packets are `interval` apart, up to `burst` of them may catch up. Burst and interval are chosen so that any
/// second, wherever it begins, holds at most `rate` packets: burst − 1 + 1 s / interval ≤ rate. The interval is
/// `RESERVE` longer than that takes, because whoever counts on the far side counts what a busy host or switch
/// had held back for some milliseconds into the second in which it comes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    interval: Duration,
    tolerance: Duration,
    /// When the next packet is due by the interval alone.
    due: Duration,
}

impl Pace {
    /// So many packets a second; none is unpaced.
    pub fn new(rate: Option<u32>) -> Self {
        let Some(rate) = rate else {
            return Self { interval: Duration::ZERO, tolerance: Duration::ZERO, due: Duration::ZERO };
        };
        let burst = 1 + (rate / 100).max(u32::from(rate >= 10));
        let interval = Duration::from_secs(1).mul_f64(1.0 + RESERVE) / (rate - (burst - 1)).max(1);
        Self { interval, tolerance: interval * (burst - 1), due: Duration::ZERO }
    }

    /// From when on the next packet may go.
    pub fn ready(&self) -> Duration {
        self.due.saturating_sub(self.tolerance)
    }

    /// A packet goes now.
    pub fn spend(&mut self, now: Duration) {
        self.due = self.due.max(now) + self.interval;
    }

    /// The last packet left later than planned: the next ones are counted from then.
    pub fn settle(&mut self, now: Duration) {
        if !self.interval.is_zero() {
            self.due = self.due.max(now);
        }
    }

    /// How long so many packets take.
    pub fn time_for(&self, packets: u64) -> Duration {
        self.interval.saturating_mul(u32::try_from(packets).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_holds_more_packets_than_the_rate() {
        for rate in [1, 2, 7, 99, 100, 256, 2000, 20_000] {
            let mut pace = Pace::new(Some(rate));
            let mut sent: Vec<Duration> = Vec::new();
            let mut now = Duration::ZERO;
            while now < Duration::from_secs(5) {
                if now < pace.ready() {
                    // A timer that is late by up to 7 ms, as they are.
                    now = pace.ready() + Duration::from_micros(sent.len() as u64 * 37 % 7000);
                    continue;
                }
                pace.spend(now);
                sent.push(now);
            }
            let mut from = 0;
            for (n, time) in sent.iter().enumerate() {
                while sent[from] + Duration::from_millis(1030) <= *time {
                    from += 1;
                }
                // Every packet counts up to 30 ms later than it was sent, which the far side cannot tell.
                assert!(n + 1 - from <= rate as usize, "rate {rate}: {} packets in a second", n + 1 - from);
            }
            assert!(sent.len() as f64 >= f64::from(rate) * 5.0 * 0.9 - 1.0, "rate {rate}: only {}", sent.len());
        }
    }
}
