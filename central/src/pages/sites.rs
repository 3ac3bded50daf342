//! The sites: what came last, what is missing, who has gone silent.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use super::{Frame, frame, render, words};
use crate::clock;
use crate::derive::times::SKEW_MAX;
use crate::error::Failure;
use crate::router::App;
use crate::store::{LastBatch, SiteRow};

/// Less free room than this on a collector's disk is told: its ballast is 16 MiB, and SQLite wants to breathe.
const DISK_LOW: u64 = 200_000_000;

#[derive(Template)]
#[template(path = "sites.html")]
struct SitesPage {
    frame: Frame,
    sites: Vec<Site>,
}

pub(super) struct Site {
    pub id: String,
    pub name: String,
    pub query: String,
    pub state: String,
    pub class: &'static str,
    /// Class and text.
    pub notices: Vec<(&'static str, String)>,
    pub facts: Vec<(&'static str, String)>,
}

/// GET /sites
pub async fn page(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    let frame = frame(&app, &headers, "sites", "/sites").await?;
    let now = clock::now();
    let sites = app.store.sites().await?.iter().map(|site| card(site, now)).collect();
    render(&SitesPage { frame, sites })
}

pub(super) fn card(site: &SiteRow, now: Timestamp) -> Site {
    let broken = site.last.as_ref().and_then(|last| last.promise_at).filter(|promise| *promise < now);
    let notices = notices(site, broken, now);
    let calm = notices.iter().all(|(class, _)| *class == "calm");
    let (state, class) = match (&site.last, broken, calm) {
        (None, ..) => ("waiting for the first batch".to_owned(), "calm"),
        (_, Some(promise), _) => (format!("silent for {}", words::age(promise, now)), "critical"),
        (_, None, false) => ("look here".to_owned(), "warning"),
        (_, None, true) => ("as promised".to_owned(), "good"),
    };
    Site {
        id: site.id.clone(),
        name: site.name.clone(),
        query: words::encoded(&site.name),
        state,
        class,
        notices,
        facts: facts(site, now),
    }
}

fn notices(site: &SiteRow, broken: Option<Timestamp>, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut notices = Vec::new();
    if let Some(promise) = broken {
        notices.push((
            "bad",
            format!(
                "The promise is broken: the next batch was due {} ago, {}.",
                words::age(promise, now),
                words::local(promise)
            ),
        ));
    }
    if !site.forks.is_empty() {
        let numbers: Vec<(u64, u64)> = site.forks.iter().map(|number| (*number, *number)).collect();
        notices.push((
            "bad",
            format!(
                "Forked: two tokens used sequence {}, the last one {}. A collector was cloned, or a backup of one was \
                 restored. Both are kept.",
                words::ranges(&numbers),
                site.forked_at.map_or_else(|| "at an unknown time".to_owned(), words::local)
            ),
        ));
    }
    if !site.missing.is_empty() {
        notices.push(("", format!("Missing batches: {}.", words::ranges(&site.missing))));
    }
    for (number, one, more) in [
        (
            site.quarantined,
            "batch was refused and is kept in quarantine",
            "batches were refused and are kept in quarantine",
        ),
        (
            site.needs_upgrade,
            "batch is stored for a newer central than this one",
            "batches are stored for a newer central than this one",
        ),
        (
            site.unreadable,
            "batch is stored and cannot be read by this central",
            "batches are stored and cannot be read by this central",
        ),
        (
            site.set_aside,
            "device was set aside because it could not be read",
            "devices were set aside because they could not be read",
        ),
    ] {
        if number > 0 {
            notices.push(("", format!("{}.", words::counted(number, one, more))));
        }
    }
    for held in &site.held {
        notices.push((
            "",
            format!("In quarantine since {}, {}: {}.", words::local(held.received_at), held.code, held.reason),
        ));
    }
    if let Some(last) = &site.last {
        notices.extend(last.flags.iter().map(|flag| {
            let (class, text) = flag_text(flag);
            (class, text.to_owned())
        }));
        notices.extend(skew(last));
        notices.extend(outbox(last));
        notices.extend(last.report.errors.iter().map(|error| ("", format!("The site reports {error}"))));
    }
    notices
}

/// What stands in the outbox of the site and asks for somebody there.
fn outbox(last: &LastBatch) -> Vec<(&'static str, String)> {
    const OLD: SignedDuration = SignedDuration::from_hours(48);
    let health = &last.report.health;
    let counted = |number: Option<u32>, one: &str, more: &str| {
        number.filter(|number| *number > 0).map(|number| format!("{}.", words::counted(number.into(), one, more)))
    };
    let waited = health.queue_oldest_at.map(|oldest| last.created_at.duration_since(oldest));
    [
        counted(
            health.queue_set_aside,
            "batch is set aside at the site, for this central refused it",
            "batches are set aside at the site, for this central refused them",
        ),
        counted(
            health.sweeps_not_sealed,
            "sweep was read and not sent because the queue of the site was full",
            "sweeps were read and not sent because the queue of the site was full",
        ),
        waited.filter(|waited| *waited > OLD).map(|waited| {
            format!(
                "When the last batch was sealed, another had been waiting at the site for {} days.",
                waited.as_hours() / 24
            )
        }),
        health
            .disk_free_bytes
            .filter(|free| *free < DISK_LOW)
            .map(|free| format!("The disk of the site's collector has {} MB free.", free / 1_000_000)),
    ]
    .into_iter()
    .flatten()
    .map(|text| ("", text))
    .collect()
}

fn skew(last: &LastBatch) -> Option<(&'static str, String)> {
    let seconds =
        last.report.clock_skew_seconds.filter(|seconds| seconds.unsigned_abs() > SKEW_MAX.as_secs().unsigned_abs())?;
    let side = if seconds > 0 { "ahead" } else { "behind" };
    Some(("", format!("The site's clock is {} min {side}.", seconds.unsigned_abs() / 60)))
}

/// Class and words of a flag; what is only said, and asks nobody to do anything, is calm.
fn flag_text(flag: &str) -> (&'static str, &str) {
    match flag {
        "clock_ahead" => ("", "The site's clock was ahead when it sealed the last batch; times are corrected."),
        "due_next_ignored" => ("", "The last batch promised the next one for an impossible time."),
        "link_ignored" | "void_ignored" => {
            ("", "The last batch says something about numbers that are not below its own.")
        }
        "previous_absent" => {
            ("calm", "The last batch does not name the one before it, so nothing shows a gap or a clone.")
        }
        "previous_wrong" => ("", "The last batch names a wrong one as the one before it."),
        "sequence_jump" => ("", "The number of the last batch is more than a million above all others of this site."),
        "device_repeated" => ("", "The last batch has a device twice; the first one counts."),
        "over_limit" => {
            ("", "The last batch has lists longer than this central reads; what is over the limit is not shown.")
        }
        "value_unreadable" => ("calm", "The last batch has values that could not be read; the rest is taken."),
        other => ("", other),
    }
}

fn facts(site: &SiteRow, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Devices", words::grouped(site.devices))];
    if let Some(last) = &site.last {
        let when = |at: Timestamp| match words::age(at, now) {
            age if age == "just now" => age,
            age => format!("{age} ago, {}", words::local(at)),
        };
        facts.push(("Last batch", format!("{}, {}", last.sequence, when(last.received_at))));
        if let Some(promise) = last.promise_at.filter(|promise| *promise >= now) {
            facts.push(("Next by", words::local(promise)));
        }
        if let Some((asked, answered, printers)) = last.report.sweep {
            facts.push(("Last sweep", words::swept(asked, answered, printers)));
        }
        facts.push(("Highest", words::grouped(site.highest)));
        facts.push(("Complete up to", words::grouped(site.acknowledged_through)));
        if let Some(waiting) = last.report.queue_waiting.filter(|waiting| *waiting > 0) {
            facts.push(("Waiting there", words::counted(waiting.into(), "batch", "batches")));
        }
        facts.push(("Collector", last.report.collector.clone()));
    }
    facts.push(("Site id", site.id.clone()));
    facts.push(("Epoch", site.epoch.to_string()));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::SiteReport;
    use crate::store::Held;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    fn site(promise_minutes: i64) -> SiteRow {
        SiteRow {
            id: "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10".to_owned(),
            name: "North".to_owned(),
            epoch: 1,
            added_at: now(),
            last: Some(LastBatch {
                sequence: 7,
                created_at: now(),
                received_at: now(),
                promise_at: Some(now() + SignedDuration::from_mins(promise_minutes)),
                flags: Vec::new(),
                report: SiteReport::default(),
            }),
            acknowledged_through: 7,
            highest: 7,
            missing: Vec::new(),
            forks: Vec::new(),
            forks_noted: 0,
            forked_at: None,
            devices: 3,
            quarantined: 0,
            held: Vec::new(),
            set_aside: 0,
            needs_upgrade: 0,
            unreadable: 0,
        }
    }

    #[test]
    fn silence_is_a_broken_promise_and_not_a_guess() {
        assert_eq!(card(&site(30), now()).state, "as promised");
        let card = card(&site(-180), now());
        assert_eq!((card.state.as_str(), card.class), ("silent for 3 h", "critical"));
        let without = SiteRow { last: None, ..site(0) };
        assert_eq!(super::card(&without, now()).state, "waiting for the first batch");
    }

    #[test]
    fn forks_gaps_and_skew_are_told() {
        let mut row = site(30);
        row.forks = vec![5];
        row.forked_at = Some(now());
        row.missing = vec![(2, 3)];
        row.last.as_mut().expect("a batch").report.clock_skew_seconds = Some(-900);
        let texts: Vec<String> = card(&row, now()).notices.into_iter().map(|(_, text)| text).collect();
        assert!(texts[0].starts_with("Forked: two tokens used sequence 5, the last one 2027-01-15 "), "{texts:?}");
        assert_eq!(texts[1..], ["Missing batches: 2–3.", "The site's clock is 15 min behind."]);
    }

    #[test]
    fn what_waits_at_the_site_for_a_person_there_is_told() {
        let mut row = site(30);
        let health = &mut row.last.as_mut().expect("a batch").report.health;
        health.queue_set_aside = Some(1);
        health.sweeps_not_sealed = Some(4);
        health.queue_oldest_at = Some(now() - SignedDuration::from_hours(73));
        health.disk_free_bytes = Some(17_000_000);
        let shown = card(&row, now());
        let texts: Vec<String> = shown.notices.into_iter().map(|(_, text)| text).collect();
        let expected = [
            "1 batch is set aside at the site, for this central refused it.",
            "4 sweeps were read and not sent because the queue of the site was full.",
            "When the last batch was sealed, another had been waiting at the site for 3 days.",
            "The disk of the site's collector has 17 MB free.",
        ];
        assert_eq!((shown.state.as_str(), texts), ("look here", expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn what_asks_nobody_to_act_does_not_call_for_a_look() {
        let mut row = site(30);
        row.last.as_mut().expect("a batch").flags = vec!["previous_absent".to_owned()];
        let shown = card(&row, now());
        assert_eq!((shown.state.as_str(), shown.notices.len()), ("as promised", 1));
        row.held = vec![Held { code: "batch-conflict".to_owned(), reason: "why".to_owned(), received_at: now() }];
        row.quarantined = 1;
        let shown = card(&row, now());
        assert_eq!(shown.state, "look here");
        assert_eq!(shown.notices[0].1, "1 batch was refused and is kept in quarantine.");
        assert!(shown.notices[1].1.ends_with("batch-conflict: why."), "{:?}", shown.notices);
    }

    #[test]
    fn every_flag_has_words() {
        for flag in [
            "clock_ahead",
            "device_repeated",
            "due_next_ignored",
            "link_ignored",
            "over_limit",
            "previous_absent",
            "previous_wrong",
            "sequence_jump",
            "value_unreadable",
            "void_ignored",
        ] {
            assert_ne!(flag_text(flag).1, flag);
        }
    }
}
