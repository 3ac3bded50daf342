//! What the times of a site mean here (`standards.md` 2.9). Nothing is refused or changed for its times; the central only
//! adds its own view of them.

use jiff::{SignedDuration, Timestamp};

/// A clock that is further ahead than this is flagged.
pub const SKEW_MAX: SignedDuration = SignedDuration::from_secs(300);

/// A promise longer than this is none.
const PROMISE_MAX: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Whether the site's clock was ahead when it sealed.
pub fn clock_ahead(created: Timestamp, received: Timestamp) -> bool {
    created.duration_since(received) > SKEW_MAX
}

/// The instant of `read_at` by our clock, never after `received`.
pub fn effective(read_at: Timestamp, created: Timestamp, received: Timestamp) -> Timestamp {
    if clock_ahead(created, received) {
        let before_sealing = created.duration_since(read_at);
        received.checked_sub(before_sealing).unwrap_or(received).min(received)
    } else {
        read_at.min(received)
    }
}

/// The instant by our clock until which silence is no news; `None` when nothing was promised.
pub fn promise(created: Timestamp, due_next: Option<Timestamp>, received: Timestamp) -> Option<Timestamp> {
    let length = due_next?.duration_since(created);
    if length <= SignedDuration::ZERO || length > PROMISE_MAX {
        return None;
    }
    effective(created, created, received).checked_add(length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-20T{text}Z").parse().expect("a time")
    }

    #[track_caller]
    fn check(read_at: &str, created: &str, received: &str, expected: &str) {
        assert_eq!(effective(at(read_at), at(created), at(received)), at(expected), "{read_at} {created} {received}");
    }

    #[test]
    fn a_right_clock_is_believed() {
        check("06:00:00", "06:03:00", "06:03:05", "06:00:00");
    }

    #[test]
    fn late_mail_keeps_its_reading_time() {
        check("06:00:00", "06:03:00", "18:00:00", "06:00:00");
    }

    #[test]
    fn a_clock_a_little_ahead_never_reads_after_the_arrival() {
        check("06:04:00", "06:05:00", "06:03:00", "06:03:00");
    }

    #[test]
    fn a_clock_far_ahead_is_corrected_by_the_distance_to_sealing() {
        assert!(clock_ahead(at("09:00:00"), at("06:00:00")));
        check("08:50:00", "09:00:00", "06:00:00", "05:50:00");
        check("09:30:00", "09:00:00", "06:00:00", "06:00:00");
    }

    #[test]
    fn a_promise_is_a_duration_from_the_corrected_sealing() {
        let received = at("06:00:00");
        assert_eq!(promise(at("05:59:00"), Some(at("11:59:00")), received), Some(at("11:59:00")));
        assert_eq!(promise(at("09:00:00"), Some(at("15:00:00")), received), Some(at("12:00:00")));
    }

    #[test]
    fn a_promise_into_the_past_or_beyond_400_days_is_none() {
        let created = at("06:00:00");
        assert_eq!(promise(created, None, created), None);
        assert_eq!(promise(created, Some(created), created), None);
        assert_eq!(promise(created, Some(created + SignedDuration::from_hours(401 * 24)), created), None);
    }
}
