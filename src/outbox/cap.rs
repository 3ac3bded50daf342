//! The cap works before sealing: a token is final, and counters are lifetime values, so a sweep that is not sealed costs
//! resolution and no money (`standards.md` 6.5).

use jiff::{Timestamp, Zoned};

/// How much is sealed while the queue stands so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Below 80 %: every sweep.
    All,
    /// Below 95 %: of each day the first sweep.
    Daily,
    /// Below the cap: of each week, from Monday on, the first sweep.
    Weekly,
    /// Nothing.
    None,
}

/// Where `held` bytes of waiting and set-aside tokens stand below `most`.
pub fn room(held: u64, most: u64) -> Room {
    // neither overflows: both are sizes of files
    match () {
        () if held >= most => Room::None,
        () if held.saturating_mul(100) >= most.saturating_mul(95) => Room::Weekly,
        () if held.saturating_mul(100) >= most.saturating_mul(80) => Room::Daily,
        () => Room::All,
    }
}

/// Whether a full sweep that begins now, in the site's zone, is sealed when the last one that was sealed began at `last`. At the
/// cap it is for the sealing to say no.
pub fn admits(room: Room, last: Option<Timestamp>, now: &Zoned) -> bool {
    // a clock that was ahead then must not silence the site
    let last = last.filter(|last| *last <= now.timestamp()).map(|last| last.to_zoned(now.time_zone().clone()).date());
    let Some(last) = last else { return true };
    match room {
        Room::All | Room::None => true,
        Room::Daily => last < now.date(),
        Room::Weekly => {
            let days = i64::from(now.date().weekday().to_monday_zero_offset());
            now.date().checked_sub(jiff::Span::new().days(days)).is_ok_and(|monday| last < monday)
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn the_steps_are_at_80_and_95_percent_and_at_the_cap() {
        for (held, expected) in [
            (0, Room::All),
            (799, Room::All),
            (800, Room::Daily),
            (949, Room::Daily),
            (950, Room::Weekly),
            (999, Room::Weekly),
            (1_000, Room::None),
        ] {
            assert_eq!(room(held, 1_000), expected, "{held}");
        }
    }

    #[track_caller]
    fn check(room: Room, last: &str, now: &str, expected: bool) {
        let now: Timestamp = now.parse().unwrap();
        let now = now.to_zoned(TimeZone::get("Europe/Berlin").unwrap());
        assert_eq!(admits(room, last.parse().ok(), &now), expected, "{room:?} {last} {now}");
    }

    #[test]
    fn a_nearly_full_queue_takes_the_first_sweep_of_a_day_or_of_a_week() {
        check(Room::All, "2026-11-21T08:00:00Z", "2026-11-21T12:00:00Z", true);
        check(Room::Daily, "2026-11-21T08:00:00Z", "2026-11-21T12:00:00Z", false);
        // the day is the site's: 23:30 UTC is tomorrow in Berlin
        check(Room::Daily, "2026-11-21T08:00:00Z", "2026-11-21T23:30:00Z", true);
        check(Room::Daily, "never", "2026-11-21T12:00:00Z", true);
        // 2026-11-23 is a Monday
        check(Room::Weekly, "2026-11-20T08:00:00Z", "2026-11-22T12:00:00Z", false);
        check(Room::Weekly, "2026-11-22T08:00:00Z", "2026-11-23T00:30:00Z", true);
        check(Room::Weekly, "2026-11-23T08:00:00Z", "2026-11-29T12:00:00Z", false);
        check(Room::Daily, "2027-11-21T08:00:00Z", "2026-11-21T12:00:00Z", true);
    }
}
