//! One site: what is missing of it and how that is mended, how it is by its own word, and how its keys stand.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;

use super::sites::{Site, card};
use super::{Frame, frame, go_to, render, words};
use crate::derive::SiteReport;
use crate::error::Failure;
use crate::router::App;
use crate::store::{ForkNote, SiteKeys, SiteRow};
use crate::{auth, clock, gaps, sites};

/// Characters of a remark about a fork; more is cut.
const REMARK_MAX: usize = 255;

#[derive(Template)]
#[template(path = "site.html")]
struct SitePage {
    frame: Frame,
    site: Site,
    batches: String,
    /// Heading, and lines of plain and of quoted parts in turn.
    sections: Vec<(&'static str, Vec<Vec<String>>)>,
    open_forks: Vec<u64>,
    health: Vec<(&'static str, String)>,
    keys: Vec<(String, String)>,
}

/// That somebody has taken note of a fork.
#[derive(Deserialize)]
pub struct ForkForm {
    token: String,
    sequence: u64,
    #[serde(default)]
    remark: String,
}

/// GET /sites/{id}
pub async fn page(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let Path(id) = id.map_err(|_| Failure::NotFound)?;
    let frame = frame(&app, &headers, "sites", &format!("/sites/{}", words::encoded(&id))).await?;
    let now = clock::now();
    let row = app.store.sites().await?.into_iter().find(|row| row.id == id).ok_or(Failure::NotFound)?;
    let keys = app.store.site(id.clone(), now).await?.ok_or(Failure::NotFound)?;
    let gaps = gaps::of_site(&app.store, &row, &keys, now).await?;
    let parts = |line: String| line.split('`').map(str::to_owned).collect();
    let sections = gaps::sections(&gaps, now)
        .into_iter()
        .map(|(kind, lines)| (title(kind), lines.into_iter().map(parts).collect()))
        .collect();
    let mut site = card(&row, now);
    // the site's own word has them beside it
    site.facts.retain(|(name, _)| !matches!(*name, "Collector" | "Last sweep"));
    let swept = app.store.last_sweep(id).await?;
    render(&SitePage {
        frame,
        site,
        batches: gaps::state(&gaps),
        sections,
        open_forks: row.forks.clone(),
        health: health(&row, swept.as_ref(), now),
        keys: key_lines(&keys),
    })
}

/// POST /sites/{id}
pub async fn take_note(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    form: Result<Form<ForkForm>, FormRejection>,
) -> Result<Response, Failure> {
    let Path(id) = id.map_err(|_| Failure::NotFound)?;
    let here = format!("/sites/{}", words::encoded(&id));
    let Frame { person, .. } = frame(&app, &headers, "sites", &here).await?;
    let form = form?.0;
    if !auth::form_is_ours(&headers, auth::session_cookie(app.config.is_https()), &form.token) {
        return Err(Failure::Form);
    }
    let remark = form.remark.trim().chars().filter(|letter| !letter.is_control()).take(REMARK_MAX).collect();
    tracing::info!(site = id, sequence = form.sequence, person, "took note of a fork");
    let note = ForkNote { at: clock::now(), person, remark };
    if app.store.note_fork(id, form.sequence, note).await? {
        Ok(go_to(&here, Vec::new()))
    } else {
        Err(Failure::NotFound)
    }
}

fn title(kind: &'static str) -> &'static str {
    match kind {
        "silent" => "Silent",
        "missing" => "Missing",
        "repair" => "How it is mended",
        "late" => "Late",
        "void" => "Will not come",
        "forked" => "Forked",
        "jump" => "Jumps",
        "rotated" => "Keys rotated",
        other => other,
    }
}

/// What the last batches say of the site itself; what they do not say is left out.
fn health(row: &SiteRow, swept: Option<&SiteReport>, now: Timestamp) -> Vec<(&'static str, String)> {
    let Some(last) = &row.last else { return vec![("Nothing", "It has not sent a batch yet.".to_owned())] };
    let (report, health) = (&last.report, &last.report.health);
    let coverage = swept.and_then(|report| {
        let ((started_at, verdicts), (asked, answered, printers)) = (report.swept.as_ref()?, report.sweep?);
        let verdicts: Vec<String> = verdicts
            .iter()
            .map(|(name, number)| format!("{} {}", words::grouped((*number).into()), name.replace('_', " ")))
            .collect();
        let counts = words::swept(asked, answered, printers);
        let more = if verdicts.is_empty() { String::new() } else { format!(" ({})", verdicts.join(", ")) };
        Some(format!("{counts}{more}, {}", words::local(*started_at)))
    });
    let batches = |number: u32| words::counted(number.into(), "batch", "batches");
    let waiting = report.queue_waiting.map(|waiting| match health.queue_oldest_at.filter(|_| waiting > 0) {
        Some(oldest) => format!("{}, the oldest since {}", batches(waiting), words::local(oldest)),
        None => batches(waiting),
    });
    let skew = report.clock_skew_seconds.map(|seconds| match seconds {
        0 => "as ours".to_owned(),
        seconds => {
            format!("{} s {}", words::grouped(seconds.unsigned_abs()), if seconds > 0 { "ahead" } else { "behind" })
        }
    });
    let pack = match report.pack_version {
        None | Some(0) => "inside the program".to_owned(),
        Some(version) => format!("pack {version}"),
    };
    let ago = match words::age(last.received_at, now) {
        age if age == "just now" => age,
        age => format!("{age} ago"),
    };
    [
        ("Said", Some(format!("{ago}, {}", words::local(last.received_at)))),
        ("Collector", Some(report.collector.clone())),
        ("Mapping files", Some(pack)),
        ("System", health.operating_system.clone()),
        ("Running for", health.uptime_seconds.map(|seconds| format!("{} h", seconds / 3_600))),
        ("Schedule", health.schedule.clone()),
        ("Sweep", coverage),
        ("Waiting", waiting),
        ("Handed over", health.queue_handed_over.map(batches)),
        ("Set aside", health.queue_set_aside.map(batches)),
        ("Not sealed", health.sweeps_not_sealed.map(|number| words::counted(number.into(), "sweep", "sweeps"))),
        ("Disk", health.disk_free_bytes.map(|free| format!("{} MB free", words::grouped(free / 1_000_000)))),
        ("Store", health.store_bytes.map(|bytes| format!("{} MB", words::grouped(bytes.div_ceil(1_000_000))))),
        ("Clock", skew),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

fn key_lines(keys: &SiteKeys) -> Vec<(String, String)> {
    keys.keys
        .iter()
        .map(|key| {
            let standing = sites::standing(keys, key);
            (format!("Key, epoch {}", key.epoch.kid().epoch()), format!("{}, {standing}", key.epoch.enc().as_str()))
        })
        .collect()
}
