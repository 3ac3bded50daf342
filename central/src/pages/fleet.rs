//! The list of the fleet: search, filters, sorting, pages.

use std::cmp::Ordering;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use meterpost_wire::reading::Basis;
use serde::{Deserialize, Deserializer};

use super::{Frame, frame, render, words};
use crate::clock;
use crate::derive::Severity;
use crate::derive::device::{COLOR, MONO, TOTAL};
use crate::error::Failure;
use crate::router::App;
use crate::store::{Fleet, FleetRow};

/// Rows of one page.
const PAGE: usize = 50;

/// Characters of a search that are looked at; more are ignored.
const QUERY_MAX: usize = 200;

/// A reading older than this is shown as old.
const OLD: SignedDuration = SignedDuration::from_hours(48);

/// A supply with this much left or less is low.
const LOW_PERCENT: u8 = 15;

/// Columns: key of the order, name, class. A minus before the key turns the order round.
const COLUMNS: [(&str, &str, &str); 9] = [
    ("name", "Device", ""),
    ("model", "Model", ""),
    ("site", "Site", ""),
    ("total", "Total", "number"),
    ("mono", "Mono", "number"),
    ("color", "Colour", "number"),
    ("lowest", "Lowest supply", ""),
    ("alerts", "Alerts", ""),
    ("read", "Read", ""),
];

/// What the address of the page says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct FleetQuery {
    /// Words that must all occur.
    #[serde(default)]
    q: String,
    /// `critical`, `low`, `old`, or all.
    #[serde(default)]
    show: String,
    /// A column's key, with a minus for the other way round.
    #[serde(default)]
    sort: String,
    /// From 1; what is no number is the first.
    #[serde(default, deserialize_with = "number_or_none")]
    page: Option<usize>,
}

fn number_or_none<'de, D: Deserializer<'de>>(text: D) -> Result<Option<usize>, D::Error> {
    Ok(String::deserialize(text)?.parse().ok())
}

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    frame: Frame,
    query: FleetQuery,
    /// So many cannot be shown.
    damaged: Option<String>,
    tiles: Vec<Tile>,
    columns: Vec<Column>,
    rows: Vec<Row>,
    total: usize,
    first: usize,
    last: usize,
    previous: Option<String>,
    next: Option<String>,
    sorted_by: &'static str,
}

struct Tile {
    name: &'static str,
    number: usize,
    link: String,
    here: bool,
    bad: bool,
}

struct Column {
    name: &'static str,
    class: &'static str,
    link: String,
    order: Option<&'static str>,
}

struct Row {
    id: String,
    name: String,
    place: String,
    model: String,
    serial: String,
    site: String,
    /// Total, mono and colour.
    numbers: [Number; 3],
    lowest: Option<Supply>,
    alerts: Option<u32>,
    worst: &'static str,
    age: String,
    read_iso: String,
    read_local: String,
    old: bool,
    trouble: &'static str,
}

struct Number {
    /// Of its column.
    name: &'static str,
    text: String,
    /// It contradicts other counters, or what was read before.
    suspect: bool,
}

struct Supply {
    percent: u8,
    name: String,
    ink: &'static str,
    level: &'static str,
}

/// GET /
pub async fn page(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    query: Result<Query<FleetQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query.unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let frame = frame(&app, &headers, "fleet", path).await?;
    let fleet = app.store.fleet().await?;
    render(&fleet_page(frame, fleet, query, clock::now()))
}

fn fleet_page(frame: Frame, fleet: Fleet, mut query: FleetQuery, now: Timestamp) -> FleetPage {
    query.q = query.q.trim().chars().take(QUERY_MAX).collect();
    let damaged = (fleet.damaged > 0).then(|| words::counted(fleet.damaged, "device", "devices"));
    let found: Vec<FleetRow> = fleet.rows.into_iter().filter(|row| matches(row, &query.q)).collect();
    let tiles = [
        ("", "printers"),
        ("critical", "with critical alerts"),
        ("low", "with a low supply"),
        ("old", "not read for 2 days"),
    ]
    .map(|(show, name)| {
        let number = found.iter().filter(|row| shows(row, show, now)).count();
        let link = FleetQuery { show: show.to_owned(), page: None, ..query.clone() }.link();
        Tile { name, number, link, here: query.show == show, bad: !show.is_empty() && number > 0 }
    });
    let mut shown: Vec<FleetRow> = found.into_iter().filter(|row| shows(row, &query.show, now)).collect();
    let (key, descending) = match query.sort.strip_prefix('-') {
        Some(key) => (key, true),
        None => (query.sort.as_str(), false),
    };
    shown.sort_by(|one, other| {
        ordered(one, other, key, descending)
            .then_with(|| in_order(&one.site_name).cmp(&in_order(&other.site_name)))
            .then_with(|| in_order(&device_name(one)).cmp(&in_order(&device_name(other))))
            .then_with(|| one.id.cmp(&other.id))
    });
    let total = shown.len();
    let pages = total.div_ceil(PAGE).max(1);
    let page = query.page.unwrap_or(1).clamp(1, pages);
    let link_to = |page: usize| FleetQuery { page: Some(page), ..query.clone() }.link();
    let columns = COLUMNS.iter().map(|(column, name, class)| {
        let here = *column == key;
        let back = if here && !descending { "-" } else { "" };
        let sort = format!("{back}{column}");
        Column {
            name,
            class,
            link: FleetQuery { sort, page: None, ..query.clone() }.link(),
            order: here.then_some(if descending { "descending" } else { "ascending" }),
        }
    });
    FleetPage {
        frame,
        damaged,
        tiles: tiles.into(),
        columns: columns.collect(),
        total,
        first: (page - 1) * PAGE + 1,
        last: (page * PAGE).min(total),
        previous: (page > 1).then(|| link_to(page - 1)),
        next: (page < pages).then(|| link_to(page + 1)),
        sorted_by: COLUMNS.iter().find(|(column, _, _)| *column == key).map_or("site and name", |(_, name, _)| name),
        rows: shown.iter().skip((page - 1) * PAGE).take(PAGE).map(|row| line(row, now)).collect(),
        query,
    }
}

/// Every word of the search occurs somewhere, in any case of letters.
fn matches(row: &FleetRow, search: &str) -> bool {
    let summary = &row.summary;
    let texts = [
        Some(&row.site_name),
        Some(&summary.key),
        summary.vendor.as_ref(),
        summary.model.as_ref(),
        summary.serial.as_ref(),
        summary.asset_tag.as_ref(),
        summary.name.as_ref(),
        summary.location.as_ref(),
        summary.address.as_ref(),
    ];
    let text = texts.into_iter().flatten().map(|text| text.to_lowercase()).collect::<Vec<_>>().join("\n");
    search.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

fn shows(row: &FleetRow, show: &str, now: Timestamp) -> bool {
    match show {
        "critical" => row.summary.worst == Some(Severity::Critical),
        "low" => row.summary.lowest.as_ref().is_some_and(|lowest| lowest.percent <= LOW_PERCENT),
        "old" => is_old(row, now),
        _ => true,
    }
}

fn is_old(row: &FleetRow, now: Timestamp) -> bool {
    row.read_at.is_none_or(|read_at| now.duration_since(read_at) > OLD)
}

/// What is not known comes last, whichever way round.
fn ordered(one: &FleetRow, other: &FleetRow, key: &str, descending: bool) -> Ordering {
    fn known<T: Ord>(one: Option<T>, other: Option<T>, descending: bool) -> Ordering {
        match (one, other) {
            (Some(one), Some(other)) if descending => other.cmp(&one),
            (Some(one), Some(other)) => one.cmp(&other),
            (one, other) => other.is_some().cmp(&one.is_some()),
        }
    }
    let text = |text: &Option<String>| text.as_ref().map(|text| text.to_lowercase());
    let (a, b) = (&one.summary, &other.summary);
    match key {
        "name" => known(Some(in_order(&device_name(one))), Some(in_order(&device_name(other))), descending),
        "model" => known(text(&a.vendor).zip(text(&a.model)), text(&b.vendor).zip(text(&b.model)), descending),
        "site" => known(Some(in_order(&one.site_name)), Some(in_order(&other.site_name)), descending),
        "total" => known(a.total, b.total, descending),
        "mono" => known(a.mono, b.mono, descending),
        "color" => known(a.color, b.color, descending),
        "lowest" => known(
            a.lowest.as_ref().map(|lowest| lowest.percent),
            b.lowest.as_ref().map(|lowest| lowest.percent),
            descending,
        ),
        "alerts" => {
            known(a.alerts.map(|alerts| (a.worst, alerts)), b.alerts.map(|alerts| (b.worst, alerts)), descending)
        }
        // Ascending is by age, and so by time the other way round.
        "read" => known(one.read_at, other.read_at, !descending),
        _ => Ordering::Equal,
    }
}

/// What names are sorted by: words in any case of letters, and numbers by their size, so that `10.0.0.9` comes before
/// `10.0.0.10`.
fn in_order(name: &str) -> Vec<(String, u64)> {
    let name = name.to_lowercase();
    let digits = |text: &str| text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let mut parts = Vec::new();
    let mut rest = name.as_str();
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len()));
        let (number, behind) = behind.split_at(digits(behind));
        parts.push((word.to_owned(), number.parse().unwrap_or(u64::MAX)));
        rest = behind;
    }
    parts
}

/// Its name, else its address, else its key.
fn device_name(row: &FleetRow) -> String {
    let summary = &row.summary;
    let known = summary.name.as_ref().filter(|name| !name.trim().is_empty()).or(summary.address.as_ref());
    known.unwrap_or(&summary.key).clone()
}

fn line(row: &FleetRow, now: Timestamp) -> Row {
    let summary = &row.summary;
    let model =
        [summary.vendor.as_deref(), summary.model.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let number = |name, key: &str, value| Number {
        name,
        text: words::grouped_or_dash(value),
        suspect: summary.not_actual.get(key).is_some_and(|basis| basis == Basis::Suspect.as_str()),
    };
    Row {
        id: row.id.clone(),
        name: device_name(row),
        place: summary.location.clone().unwrap_or_default(),
        model: if model.is_empty() { "–".to_owned() } else { model },
        serial: summary.serial.clone().unwrap_or_default(),
        site: row.site_name.clone(),
        numbers: [
            number("Total", TOTAL, summary.total),
            number("Mono", MONO, summary.mono),
            number("Colour", COLOR, summary.color),
        ],
        lowest: summary.lowest.as_ref().map(|lowest| Supply {
            percent: lowest.percent,
            name: lowest.name.clone(),
            ink: words::ink_class(lowest.colorant.as_deref()),
            level: words::level_class(lowest.percent),
        }),
        alerts: summary.alerts,
        worst: summary.worst.map_or("informational", Severity::as_str),
        age: row.read_at.map(|read_at| words::age(read_at, now)).unwrap_or_default(),
        read_iso: row.read_at.map(|read_at| read_at.to_string()).unwrap_or_default(),
        read_local: row.read_at.map(words::local).unwrap_or_default(),
        old: is_old(row, now),
        trouble: match summary.outcome.as_str() {
            "unreachable" => "does not answer",
            "denied" => "refuses credentials",
            _ => "",
        },
    }
}

impl FleetQuery {
    fn link(&self) -> String {
        let page = self.page.filter(|page| *page > 1).map(|page| page.to_string()).unwrap_or_default();
        let pairs: Vec<String> = [("q", &self.q), ("show", &self.show), ("sort", &self.sort), ("page", &page)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", words::encoded(value)))
            .collect();
        if pairs.is_empty() { "/".to_owned() } else { format!("/?{}", pairs.join("&")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{Lowest, Summary};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    fn printer(name: &str, total: Option<u64>, percent: Option<u8>) -> FleetRow {
        FleetRow {
            id: format!("id-{name}"),
            site: "s".to_owned(),
            site_name: "Headroom".to_owned(),
            read_at: Some(now()),
            summary: Summary {
                name: Some(name.to_owned()),
                total,
                lowest: percent.map(|percent| Lowest { percent, colorant: None, name: "toner".to_owned() }),
                ..Summary::default()
            },
        }
    }

    #[track_caller]
    fn check(query: FleetQuery, expected: &[&str]) {
        let fleet = vec![printer("b", Some(20), Some(50)), printer("a", None, Some(10)), printer("C", Some(10), None)];
        let frame = Frame { person: String::new(), form_token: String::new(), here: "fleet" };
        let page = fleet_page(frame, Fleet { rows: fleet, damaged: 0 }, query.clone(), now());
        let names: Vec<&str> = page.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, expected, "{query:?}");
    }

    fn sorted(sort: &str) -> FleetQuery {
        FleetQuery { sort: sort.to_owned(), ..FleetQuery::default() }
    }

    #[test]
    fn it_sorts_by_name_in_any_case_of_letters() {
        check(FleetQuery::default(), &["a", "b", "C"]);
        check(sorted("-name"), &["C", "b", "a"]);
    }

    #[test]
    fn unknown_numbers_come_last_both_ways() {
        check(sorted("total"), &["C", "b", "a"]);
        check(sorted("-total"), &["b", "C", "a"]);
        check(sorted("lowest"), &["a", "b", "C"]);
    }

    #[test]
    fn a_search_wants_every_word_somewhere() {
        check(FleetQuery { q: "head  C".to_owned(), ..FleetQuery::default() }, &["C"]);
        check(FleetQuery { q: "nowhere".to_owned(), ..FleetQuery::default() }, &[]);
    }

    #[test]
    fn a_filter_shows_low_supplies_alone() {
        check(FleetQuery { show: "low".to_owned(), ..FleetQuery::default() }, &["a"]);
    }

    #[test]
    fn pages_are_bounded_and_wrong_numbers_lead_to_the_nearest() {
        let fleet: Vec<FleetRow> = (0..120).map(|number| printer(&format!("{number:03}"), None, None)).collect();
        let frame = Frame { person: String::new(), form_token: String::new(), here: "fleet" };
        let fleet = Fleet { rows: fleet, damaged: 0 };
        let page = fleet_page(frame, fleet, FleetQuery { page: Some(99), ..FleetQuery::default() }, now());
        assert_eq!((page.first, page.last, page.total, page.rows.len()), (101, 120, 120, 20));
        assert_eq!((page.previous.as_deref(), page.next), (Some("/?page=2"), None));
    }

    #[test]
    fn a_number_in_doubt_is_marked() {
        let mut row = printer("a", Some(2_364_805), None);
        row.summary.not_actual =
            [(TOTAL.to_owned(), "suspect".to_owned()), (MONO.to_owned(), "derived".to_owned())].into();
        let frame = Frame { person: String::new(), form_token: String::new(), here: "fleet" };
        let page = fleet_page(frame, Fleet { rows: vec![row], damaged: 0 }, FleetQuery::default(), now());
        let shown = &page.rows[0];
        assert_eq!(shown.numbers.each_ref().map(|number| number.suspect), [true, false, false]);
        let html = page.render().expect("rendered");
        assert_eq!(html.matches(r#"class="doubt""#).count(), 1, "{html}");
    }

    #[test]
    fn addresses_are_in_the_order_of_their_numbers() {
        let fleet =
            ["10.0.0.102", "10.0.0.9", "10.0.0.21", "kitchen 10", "kitchen 9"].map(|name| printer(name, None, None));
        let frame = Frame { person: String::new(), form_token: String::new(), here: "fleet" };
        let page = fleet_page(frame, Fleet { rows: fleet.into(), damaged: 0 }, FleetQuery::default(), now());
        let names: Vec<&str> = page.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["10.0.0.9", "10.0.0.21", "10.0.0.102", "kitchen 9", "kitchen 10"]);
    }

    #[test]
    fn alerts_that_were_never_read_are_not_none_of_them() {
        let never = line(&printer("a", None, None), now());
        let mut row = printer("b", None, None);
        row.summary.alerts = Some(0);
        assert_eq!((never.alerts, line(&row, now()).alerts), (None, Some(0)));
    }

    #[test]
    fn links_escape_what_was_searched() {
        let query = FleetQuery { q: "a&b=ü\"".to_owned(), ..FleetQuery::default() };
        assert_eq!(query.link(), "/?q=a%26b%3D%C3%BC%22");
    }
}
