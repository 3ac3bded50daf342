//! When to read and when to send: five Unix cron fields, `@daily` and its like, `@month-end` and `@quarter-end`.
//!
//! The `cron` crate walks the calendar; everything in which it is not Unix cron is done here: five fields, weekdays 0 to
//! 7 from Sunday, day of month *or* weekday when both are given, no expression that never comes, and a zone's clock
//! changes. The crate is only ever asked on the civil calendar; which instant a civil time is, is decided by
//! `instant_of`. There is no clock here: [`Schedule::next_after`] is told the time.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use chrono::{Datelike, NaiveDate, Timelike};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// Longest jitter: all sites together spread over five minutes.
pub const JITTER_SECONDS_MAX: u32 = 300;

const MINUTES_OF_A_DAY: u32 = 24 * 60;

/// So long after an instant; the instant itself where no calendar reaches.
pub fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(now)
}

/// A schedule in a zone, with the site's own fixed delay.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    calendars: Vec<cron::Schedule>,
    last_of_month_only: bool,
    zone: TimeZone,
    jitter: SignedDuration,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSchedule(String);

/// Words for whole expressions; the last two mean 22:00 on the last day of the month or quarter.
const WORDS: [(&str, &str); 9] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@month-end", "0 22 28-31 * *"),
    ("@quarter-end", "0 22 30-31 3,6,9,12 *"),
];

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// Takes `minute hour day-of-month month weekday` as crontab(5) has them, or one of the words, and the zone in which
    /// they are meant. An expression that never comes (`0 6 31 2 *`) is refused.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, BadSchedule> {
        let text = text.trim();
        let expression = if text.starts_with('@') {
            WORDS.iter().find(|(word, _)| *word == text).map(|(_, expression)| *expression).ok_or_else(|| {
                let words: Vec<_> = WORDS.iter().map(|(word, _)| format!("`{word}`")).collect();
                BadSchedule(format!("`{text}` is no word for a schedule: {} would be", words.join(", ")))
            })?
        } else {
            text
        };
        let schedule = Self {
            text: text.to_owned(),
            calendars: calendars(expression)?,
            last_of_month_only: text.ends_with("-end"),
            zone,
            jitter: SignedDuration::ZERO,
        };
        // 2001-01-01: from here every day of the four-year cycle lies ahead, before the crate's last year 2100
        if schedule.next_after(Timestamp::from_second(978_307_200).unwrap_or_default()).is_none() {
            return Err(BadSchedule(format!("`{text}` never comes: no month has such a day")));
        }
        Ok(schedule)
    }

    /// The same schedule, later by a fixed time of at most [`JITTER_SECONDS_MAX`] that follows from the site's UUID, so
    /// that not all sites push at 06:00:00.
    pub fn spread(mut self, site: &str) -> Self {
        self.jitter = SignedDuration::from_secs(i64::from(hash(site) % (JITTER_SECONDS_MAX + 1)));
        self
    }

    /// The same for something that matters on no hour of the day: `@daily` comes at a minute of the day that follows from the
    /// site's UUID, so that all sites together ask one server all day long; everything else is spread as above.
    pub fn spread_over_the_day(mut self, site: &str) -> Self {
        if !matches!(self.text.as_str(), "@daily" | "@midnight") {
            return self.spread(site);
        }
        // its low bits say little of a text of digits
        let minute = (hash(site).wrapping_mul(0x9e37_79b1) >> 8) % MINUTES_OF_A_DAY;
        self.jitter = SignedDuration::from_mins(i64::from(minute));
        self
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first firing later than `now`; none after the year 2099.
    ///
    /// A schedule that was missed, because the host slept, has one firing only in this answer: ask with the time of the
    /// last run, and when what comes back is not later than now, run once.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let now = now.checked_sub(self.jitter).ok()?;
        let civil = to_chrono(now.to_zoned(self.zone.clone()).datetime())?;
        self.calendars
            .iter()
            .filter_map(|calendar| {
                calendar
                    .after(&civil.and_utc())
                    .map(|fires| fires.naive_utc())
                    .filter(|fires| !self.last_of_month_only || is_last_of_month(fires.date()))
                    .filter_map(|fires| self.instant_of(from_chrono(fires)?))
                    .find(|instant| *instant > now)
            })
            .min()
            .and_then(|instant| instant.checked_add(self.jitter).ok())
    }

    /// The instant of a civil time in the zone. What lies in a gap comes at its end, what lies in a fold comes once, the
    /// first time (Europe/Berlin 02:30 is 03:00 on 2026-03-29, and 02:30 summer time on 2026-10-25).
    fn instant_of(&self, civil: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(civil);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(civil).ok()
            }
            AmbiguousOffset::Gap { after, .. } => {
                let before_the_gap = after.to_timestamp(civil).ok()?;
                self.zone.following(before_the_gap).next().map(|transition| transition.timestamp())
            }
        }
    }
}

/// The same number for the same site, and any number for any other.
fn hash(site: &str) -> u32 {
    site.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

/// The calendars whose union is the expression: two where day of month and weekday are both given, since Unix cron
/// fires when either fits.
fn calendars(expression: &str) -> Result<Vec<cron::Schedule>, BadSchedule> {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        return Err(BadSchedule(format!(
            "`{expression}` has {} fields: five would be right (minute hour day-of-month month weekday), as in `0 6 * * 1-5`",
            fields.len()
        )));
    };
    let minutes = list("minute", minute, 0, 59, &[])?;
    let hours = list("hour", hour, 0, 23, &[])?;
    let days = list("day of month", day, 1, 31, &[])?;
    let months = list("month", month, 1, 12, &MONTHS)?;
    let weekdays = list("weekday", weekday, 0, 7, &WEEKDAYS)?;
    let weekdays = BTreeSet::from_iter(weekdays.into_iter().map(|day| day % 7));

    let calendar = |days: &str, weekdays: &str| {
        let expression = format!("0 {} {} {days} {} {weekdays}", numbers(&minutes), numbers(&hours), numbers(&months));
        cron::Schedule::from_str(&expression)
            .map_err(|error| BadSchedule(format!("`{expression}` is no schedule: {error}")))
    };
    // the crate counts weekdays from Sunday = 1
    let weekday_numbers = numbers(&weekdays.iter().map(|day| day + 1).collect());
    Ok(match (day.starts_with('*'), weekday.starts_with('*')) {
        (false, false) => vec![calendar(&numbers(&days), "*")?, calendar("*", &weekday_numbers)?],
        _ => vec![calendar(&numbers(&days), &weekday_numbers)?],
    })
}

/// The numbers of one field: `*`, `n`, `a-b`, each with `/step`, and lists of them; names where the field has them.
fn list(field: &str, text: &str, first: u8, last: u8, names: &[&str]) -> Result<BTreeSet<u8>, BadSchedule> {
    let wrong = |part: &str| {
        let hint = match part {
            "L" | "l" => "; for the last day of the month write `@month-end`",
            _ => "",
        };
        BadSchedule(format!(
            "{field} `{part}`: {first} to {last}, `*`, `a-b`, `*/n` or a list of them would be right{hint}"
        ))
    };
    let number = |part: &str| {
        let named = names.iter().position(|name| part.eq_ignore_ascii_case(name));
        let value = match named {
            Some(position) => u8::try_from(position).ok().map(|position| position + u8::from(first == 1)),
            None if part.bytes().all(|byte| byte.is_ascii_digit()) => part.parse().ok(),
            None => None,
        };
        value.filter(|value| (first..=last).contains(value))
    };
    let mut set = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                (range, step.parse::<u8>().ok().filter(|step| *step > 0).ok_or_else(|| wrong(part))?)
            }
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (first, if field == "weekday" { 6 } else { last }),
            Some((from, to)) => (number(from).ok_or_else(|| wrong(part))?, number(to).ok_or_else(|| wrong(part))?),
            None => {
                let from = number(range).ok_or_else(|| wrong(part))?;
                (from, if part.contains('/') { last } else { from })
            }
        };
        if from > to {
            return Err(wrong(part));
        }
        set.extend((from..=to).step_by(usize::from(step)));
    }
    Ok(set)
}

fn numbers(set: &BTreeSet<u8>) -> String {
    set.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}

fn is_last_of_month(date: NaiveDate) -> bool {
    date.succ_opt().is_none_or(|tomorrow| tomorrow.day() == 1)
}

fn to_chrono(civil: DateTime) -> Option<chrono::NaiveDateTime> {
    let part = |number: i8| u32::try_from(number).ok();
    NaiveDate::from_ymd_opt(i32::from(civil.year()), part(civil.month())?, part(civil.day())?)?.and_hms_opt(
        part(civil.hour())?,
        part(civil.minute())?,
        part(civil.second())?,
    )
}

fn from_chrono(civil: chrono::NaiveDateTime) -> Option<DateTime> {
    let part = |number: u32| i8::try_from(number).ok();
    DateTime::new(
        i16::try_from(civil.year()).ok()?,
        part(civil.month())?,
        part(civil.day())?,
        part(civil.hour())?,
        part(civil.minute())?,
        part(civil.second())?,
        0,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, zone: &str, now: &str, expected: &[&str]) {
        let schedule = Schedule::parse(text, TimeZone::get(zone).unwrap()).unwrap();
        let mut now: Timestamp = now.parse().unwrap();
        let mut fires = Vec::new();
        while fires.len() < expected.len() {
            now = schedule.next_after(now).unwrap();
            fires.push(now.to_string());
        }
        assert_eq!(fires, expected, "`{text}` in {zone}");
    }

    #[track_caller]
    fn check_refused(text: &str, message: &str) {
        assert_eq!(Schedule::parse(text, TimeZone::UTC).map(|_| ()), Err(BadSchedule(message.to_owned())));
    }

    #[test]
    fn five_fields_are_unix_cron() {
        check("0 6 * * *", "UTC", "2026-11-21T06:00:00Z", &["2026-11-22T06:00:00Z", "2026-11-23T06:00:00Z"]);
        check("* * * * *", "UTC", "2026-11-21T06:00:30Z", &["2026-11-21T06:01:00Z", "2026-11-21T06:02:00Z"]);
        check(
            "*/20 5-6 * * *",
            "UTC",
            "2026-11-21T05:30:00Z",
            &["2026-11-21T05:40:00Z", "2026-11-21T06:00:00Z", "2026-11-21T06:20:00Z"],
        );
        check("0 0 29 feb *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
    }

    #[test]
    fn weekdays_count_from_sunday_which_is_0_and_7() {
        // 2026-11-21 is a Saturday
        let now = "2026-11-21T12:00:00Z";
        check("0 6 * * 1-5", "UTC", now, &["2026-11-23T06:00:00Z", "2026-11-24T06:00:00Z"]);
        check("0 6 * * 0", "UTC", now, &["2026-11-22T06:00:00Z", "2026-11-29T06:00:00Z"]);
        check("0 6 * * 7", "UTC", now, &["2026-11-22T06:00:00Z", "2026-11-29T06:00:00Z"]);
        check("0 6 * * 5-7", "UTC", now, &["2026-11-22T06:00:00Z", "2026-11-27T06:00:00Z", "2026-11-28T06:00:00Z"]);
        check("0 6 * * mon,Wed", "UTC", now, &["2026-11-23T06:00:00Z", "2026-11-25T06:00:00Z"]);
    }

    #[test]
    fn day_of_month_or_weekday_when_both_are_given() {
        check(
            "0 6 1 * 1",
            "UTC",
            "2026-11-24T00:00:00Z",
            &["2026-11-30T06:00:00Z", "2026-12-01T06:00:00Z", "2026-12-07T06:00:00Z"],
        );
    }

    #[test]
    fn words_stand_for_expressions() {
        check("@daily", "Europe/Berlin", "2026-11-21T12:00:00Z", &["2026-11-21T23:00:00Z"]);
        check("@hourly", "UTC", "2026-11-21T12:00:00Z", &["2026-11-21T13:00:00Z"]);
        check("@month-end", "UTC", "2028-01-31T23:00:00Z", &["2028-02-29T22:00:00Z", "2028-03-31T22:00:00Z"]);
        check("@quarter-end", "UTC", "2026-11-21T12:00:00Z", &["2026-12-31T22:00:00Z", "2027-03-31T22:00:00Z"]);
    }

    #[test]
    fn a_firing_in_the_gap_of_spring_comes_at_its_end() {
        check("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
        check(
            "*/15 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
        );
    }

    #[test]
    fn a_firing_in_the_fold_of_autumn_comes_once() {
        check("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        check("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", &["2026-10-26T01:30:00Z"]);
    }

    #[test]
    fn a_missed_run_fires_once() {
        let schedule = Schedule::parse("0 6 * * *", TimeZone::UTC).unwrap();
        let last_run: Timestamp = "2026-11-15T06:00:04Z".parse().unwrap();
        let woken: Timestamp = "2026-11-20T09:00:00Z".parse().unwrap();
        assert!(schedule.next_after(last_run).unwrap() <= woken);
        assert_eq!(schedule.next_after(woken).unwrap().to_string(), "2026-11-21T06:00:00Z");
    }

    #[test]
    fn sites_are_spread_by_a_fixed_time() {
        let at = |site: &str| {
            let schedule = Schedule::parse("0 6 * * *", TimeZone::UTC).unwrap().spread(site);
            schedule.next_after("2026-11-21T05:00:00Z".parse().unwrap()).unwrap()
        };
        let six: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        let (one, other) = (at("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10"), at("0192f0c1-7b7e-7000-8000-000000000001"));
        assert_eq!(one, at("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10"));
        assert_ne!(one, other);
        for fires in [one, other] {
            let late = fires.duration_since(six);
            assert!((0..=i64::from(JITTER_SECONDS_MAX)).contains(&late.as_secs()), "{fires}");
            let schedule = Schedule::parse("0 6 * * *", TimeZone::UTC).unwrap().spread(if fires == one {
                "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10"
            } else {
                "0192f0c1-7b7e-7000-8000-000000000001"
            });
            assert_eq!(schedule.next_after(fires).unwrap().to_string()[..10], *"2026-11-22");
        }
    }

    #[test]
    fn daily_work_that_matters_on_no_hour_comes_at_a_minute_of_the_sites_own() {
        let at = |text: &str, site: &str| {
            let schedule = Schedule::parse(text, TimeZone::UTC).unwrap().spread_over_the_day(site);
            let first = schedule.next_after("2026-11-21T00:00:00Z".parse().unwrap()).unwrap();
            let second = schedule.next_after(first).unwrap();
            assert_eq!(second.duration_since(first), SignedDuration::from_hours(24));
            first.to_string()
        };
        let (one, other) = ("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10", "0192f0c1-7b7e-7000-8000-000000000001");
        assert_eq!(at("@daily", one), at("@daily", one));
        assert_ne!(at("@daily", one)[..16], at("@daily", other)[..16]);
        assert_eq!(at("0 3 * * *", one)[..13], *"2026-11-21T03");
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_what_would_be_right() {
        check_refused("0 6 31 2 *", "`0 6 31 2 *` never comes: no month has such a day");
        check_refused(
            "0 0 6 * * *",
            "`0 0 6 * * *` has 6 fields: five would be right (minute hour day-of-month month weekday), as in `0 6 * * 1-5`",
        );
        check_refused(
            "0 0 L * *",
            "day of month `L`: 1 to 31, `*`, `a-b`, `*/n` or a list of them would be right; for the last day of the month write `@month-end`",
        );
        check_refused("61 * * * *", "minute `61`: 0 to 59, `*`, `a-b`, `*/n` or a list of them would be right");
        check_refused("0 6 * * 5-1", "weekday `5-1`: 0 to 7, `*`, `a-b`, `*/n` or a list of them would be right");
        check_refused("0 6 * * ?", "weekday `?`: 0 to 7, `*`, `a-b`, `*/n` or a list of them would be right");
        check_refused(
            "@noon",
            "`@noon` is no word for a schedule: `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`, `@month-end`, `@quarter-end` would be",
        );
        check_refused("*/0 * * * *", "minute `*/0`: 0 to 59, `*`, `a-b`, `*/n` or a list of them would be right");
    }
}
