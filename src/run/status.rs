//! `status`: how delivering stands, and what a person should look at.

use std::fmt::Write as _;
use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{failed, packs, print, queue, send};
use crate::cli::{Exit, Failure, Invocation, log};
use crate::clock;
use crate::config::Config;
use crate::outbox::cap::{self, Room};
use crate::outbox::{Event, Rest, Tally};
use crate::site::percent;

/// A batch that waits for longer is worth a word.
const WAITING_LONG_S: i64 = 48 * 3_600;

/// A clock that is further off than this is worth a word (`standards.md` 2.9).
const SKEW_MOST_S: u64 = 300;

/// Events of so many seconds are shown, at most so many.
const EVENTS_S: i64 = 7 * 86_400;
const EVENTS: u32 = 8;

/// What is known of the site.
struct Standing {
    site: String,
    next: u64,
    tally: Tally,
    bytes_max: u64,
    /// The channels in their order, and why one rests.
    channels: Vec<(&'static str, Option<Rest>)>,
    clock_skew: Option<i64>,
    short_of_room: Option<u64>,
    packs: packs::Standing,
    events: Vec<Event>,
}

/// Prints how the site stands.
pub fn status(invocation: &Invocation, out: &mut dyn Write) -> Result<Exit, Failure> {
    let places = &invocation.places;
    let config = if places.config.exists() { super::configuration(&places.config)? } else { Config::default() };
    let site = queue::site(places)?;
    let now = clock::now();
    let enrolment = site.enrolment().map_err(failed)?;
    let kid = enrolment.epoch.kid();
    let since = Timestamp::from_second(now.as_second() - EVENTS_S).unwrap_or(now);
    let channels: Result<Vec<_>, _> =
        send::names(&config).into_iter().map(|name| Ok((name, site.rest(name)?))).collect();
    let standing = Standing {
        site: format!("{} ({}), epoch {}, central {}", kid.site(), enrolment.name, kid.epoch(), enrolment.central),
        next: site.next_sequence().map_err(failed)?,
        tally: site.tally().map_err(failed)?,
        bytes_max: config.limits.queue_bytes_max,
        channels: channels.map_err(failed)?,
        clock_skew: site.clock_skew().map_err(failed)?,
        short_of_room: site.short_of_room(),
        packs: packs::standing(&site, &config)?,
        events: site.events(since, EVENTS).map_err(failed)?,
    };
    print(out, &told(&standing, now, &TimeZone::system()))
}

fn told(standing: &Standing, now: Timestamp, zone: &TimeZone) -> String {
    let local = |at: Timestamp| log::local(at, zone);
    let Tally { waiting, handed_over, delivered, set_aside, oldest_waiting, bytes } = &standing.tally;
    let mut text = format!("site      {}\n", standing.site);
    // writing to a String does not fail
    let _ = writeln!(
        text,
        "queue     {waiting} waiting, {handed_over} handed over, {set_aside} set aside, {delivered} delivered; {} % of its cap",
        percent(*bytes, standing.bytes_max)
    );
    if let Some(oldest) = oldest_waiting {
        let _ = writeln!(text, "oldest    waits since {}", local(*oldest));
    }
    let _ = writeln!(text, "next      batch {}", standing.next);
    for (name, rest) in &standing.channels {
        let how = match rest {
            None => "ready".to_owned(),
            Some(rest) => format!("rests until {}: {}", local(rest.due_at), rest.last_error),
        };
        let _ = writeln!(text, "channel   {name}: {how}");
    }
    let _ = writeln!(text, "mappings  {}", mappings(&standing.packs, &local));
    for warning in warnings(standing, now) {
        let _ = writeln!(text, "warning   {warning}");
    }
    for event in &standing.events {
        let _ = writeln!(text, "event     {} {}: {}", local(event.at), event.code, event.text);
    }
    text
}

/// Which mapping files are used.
fn mappings(packs: &packs::Standing, local: &dyn Fn(Timestamp) -> String) -> String {
    match &packs.in_use {
        Some((place, expires)) => format!("pack {place}; a newer one is due until {}", local(*expires)),
        None => "those inside the program".to_owned(),
    }
}

/// What is not wrong yet and will be.
fn warnings(standing: &Standing, now: Timestamp) -> Vec<String> {
    let tally = &standing.tally;
    let mut warnings = Vec::new();
    match cap::room(tally.bytes, standing.bytes_max) {
        Room::All => {}
        Room::Daily => warnings.push("the queue is nearly full: of each day the first reading is sealed".to_owned()),
        Room::Weekly => warnings.push("the queue is nearly full: of each week the first reading is sealed".to_owned()),
        Room::None => warnings.push("the queue is full: nothing is sealed".to_owned()),
    }
    if tally.set_aside > 0 {
        warnings.push(format!("{} set aside: `meterpost outbox list` says why", tally.set_aside));
    }
    if tally.oldest_waiting.is_some_and(|oldest| now.as_second() - oldest.as_second() > WAITING_LONG_S) {
        warnings.push("a batch waits for more than two days: `meterpost outbox list` says why".to_owned());
    }
    if !standing.channels.is_empty() && standing.channels.iter().all(|(_, rest)| rest.is_some()) {
        warnings.push("no channel works".to_owned());
    }
    if let Some(skew) = standing.clock_skew.filter(|skew| skew.unsigned_abs() > SKEW_MOST_S) {
        let which = if skew > 0 { "ahead of" } else { "behind" };
        warnings.push(format!("this clock is {} s {which} the central's", skew.unsigned_abs()));
    }
    let packs = &standing.packs;
    if let Some((place, _)) = packs.in_use.as_ref().filter(|(_, expires)| *expires <= now) {
        warnings.push(format!("pack {place} has expired and is used on: a newer one ought to have come"));
    }
    if let Some(damage) = &packs.damage {
        warnings.push(format!("no pack is used: {damage}; `meterpost pmd update` mends it"));
    }
    match &packs.waits {
        Some((place, false)) => {
            warnings.push(format!("pack {place} is held: `meterpost pmd update` shows why, with `--accept` it is used"))
        }
        Some((place, true)) => warnings.push(format!("pack {place} waits until the devices are read the next time")),
        None => {}
    }
    if let Some(free) = standing.short_of_room {
        warnings.push(format!("the disk is nearly full: {} MiB are free where the queue lies", free >> 20));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packs::shelf::Place;

    #[test]
    fn what_stands_badly_is_told_in_words() {
        let now: Timestamp = "2026-11-21T19:00:00Z".parse().unwrap();
        let old: Timestamp = "2026-11-18T19:00:00Z".parse().unwrap();
        let rest = Rest { attempts: 3, due_at: now, last_error: "no connection".to_owned() };
        let standing = Standing {
            site: "6f1c2a52 (Hauptstrasse), epoch 1, central https://central.example".to_owned(),
            next: 42,
            tally: Tally { waiting: 3, set_aside: 1, oldest_waiting: Some(old), bytes: 97, ..Tally::default() },
            bytes_max: 100,
            channels: vec![("https", Some(rest))],
            clock_skew: Some(-301),
            short_of_room: Some(5 << 20),
            packs: packs::Standing {
                in_use: Place::parse("stable 12").map(|place| (place, old)),
                waits: Place::parse("stable 13").map(|place| (place, false)),
                damage: None,
            },
            events: vec![Event { at: old, code: "refused".to_owned(), text: "batch 7".to_owned() }],
        };
        expect_test::expect![[r#"
            site      6f1c2a52 (Hauptstrasse), epoch 1, central https://central.example
            queue     3 waiting, 0 handed over, 1 set aside, 0 delivered; 97 % of its cap
            oldest    waits since 2026-11-18T19:00:00+00:00
            next      batch 42
            channel   https: rests until 2026-11-21T19:00:00+00:00: no connection
            mappings  pack stable 12; a newer one is due until 2026-11-18T19:00:00+00:00
            warning   the queue is nearly full: of each week the first reading is sealed
            warning   1 set aside: `meterpost outbox list` says why
            warning   a batch waits for more than two days: `meterpost outbox list` says why
            warning   no channel works
            warning   this clock is 301 s behind the central's
            warning   pack stable 12 has expired and is used on: a newer one ought to have come
            warning   pack stable 13 is held: `meterpost pmd update` shows why, with `--accept` it is used
            warning   the disk is nearly full: 5 MiB are free where the queue lies
            event     2026-11-18T19:00:00+00:00 refused: batch 7
        "#]]
        .assert_eq(&told(&standing, now, &TimeZone::UTC));
    }
}
