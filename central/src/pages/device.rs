//! One device: what it is, how it stands, its counters over time, and where each number came from.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use jiff::Timestamp;
use meterpost_wire::reading::{Basis, Coded, Evidence, LevelState, Outcome, Scope, Supply, Text, Tray};

use super::chart::{self, Chart, Size};
use super::{Frame, frame, render, words};
use crate::clock;
use crate::derive::device::{severity, supply_name};
use crate::derive::{DeviceState, Severity};
use crate::error::Failure;
use crate::router::App;
use crate::store::{DeviceRow, StoreError};

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    frame: Frame,
    title: String,
    subtitle: Vec<String>,
    site: String,
    site_query: String,
    state: String,
    state_class: &'static str,
    read: String,
    notices: Vec<String>,
    headline: Vec<(String, String, &'static str)>,
    /// For a desk and for a phone.
    charts: Vec<Chart>,
    counters: Vec<CounterLine>,
    no_counters: &'static str,
    supplies: Vec<SupplyLine>,
    no_supplies: &'static str,
    alerts: Vec<AlertLine>,
    no_alerts: &'static str,
    status: Vec<(&'static str, String)>,
    console: Vec<String>,
    trays: Vec<TrayLine>,
    no_trays: &'static str,
    identity: Vec<(&'static str, String)>,
    gaps: Vec<(String, &'static str, String)>,
    no_gaps: &'static str,
    mapping: String,
    evidence: Vec<EvidenceLine>,
}

struct CounterLine {
    key: String,
    name: String,
    value: String,
    unit: String,
    basis: &'static str,
    unverified: bool,
    detail: String,
    rule: String,
    oids: Vec<String>,
}

struct SupplyLine {
    name: String,
    level: String,
    level_class: &'static str,
    percent: Option<u8>,
    ink: &'static str,
    detail: String,
}

struct AlertLine {
    class: &'static str,
    severity: &'static str,
    text: String,
    detail: String,
}

struct TrayLine {
    name: String,
    level: String,
    percent: Option<u64>,
}

struct EvidenceLine {
    name: String,
    value: String,
    unverified: bool,
    rule: String,
    oids: Vec<String>,
}

/// GET /devices/{id}
pub async fn page(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let frame = frame(&app, &headers, "device", uri.path()).await?;
    let Path(id) = id.map_err(|_| Failure::NotFound)?;
    let device = match app.store.device(id).await {
        Err(StoreError::Broken(error)) => {
            tracing::error!(error, "a device was not shown");
            return Err(Failure::Damaged);
        }
        device => device?.ok_or(Failure::NotFound)?,
    };
    render(&device_page(frame, &device, clock::now()))
}

fn device_page(frame: Frame, device: &DeviceRow, now: Timestamp) -> DevicePage {
    let DeviceRow { row, state, history } = device;
    let summary = &row.summary;
    let name =
        [summary.vendor.as_deref(), summary.model.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let serial = summary.serial.as_ref().map(|serial| format!("serial {serial}"));
    let (state_word, state_class) = state_chip(state);
    let count = |label: &str, key: &str, class| {
        let counters = state.reading.counters.as_ref()?;
        let (_, count) = counters.iter().find(|(known, _)| known.as_str() == key)?;
        let doubt = if count.basis == Basis::Suspect { ", suspect" } else { "" };
        Some((format!("{label}{doubt}"), words::grouped(count.value), class))
    };
    let daily =
        chart::daily(history).map(|(pages, days)| (format!("A day, over {days} days"), words::grouped(pages), "plain"));
    DevicePage {
        frame,
        title: if name.is_empty() { summary.key.clone() } else { name },
        subtitle: [serial, summary.name.clone(), summary.location.clone(), summary.address.clone()]
            .into_iter()
            .flatten()
            .filter(|word| !word.trim().is_empty())
            .collect(),
        site: row.site_name.clone(),
        site_query: words::encoded(&row.site_name),
        state: state_word,
        state_class,
        read: match row.read_at {
            Some(at) => format!("read {}, {}", ago(at, now), words::local(at)),
            None => "never read".to_owned(),
        },
        notices: notices(state, now),
        headline: [
            count("Total", "system.impressions", "line-total"),
            count("Mono", "system.monochrome_impressions", "line-mono"),
            count("Colour", "system.full_color_impressions", "line-color"),
            daily,
        ]
        .into_iter()
        .flatten()
        .collect(),
        charts: [Size::Wide, Size::Narrow].into_iter().filter_map(|size| chart::draw(history, size)).collect(),
        counters: counter_lines(state),
        no_counters: none_of(state.reading.counters.is_some(), "The device reports none."),
        supplies: state.reading.supplies.iter().flatten().map(supply_line).collect(),
        no_supplies: none_of(state.reading.supplies.is_some(), "The device reports none."),
        alerts: alert_lines(state, now),
        no_alerts: none_of(state.reading.alerts.is_some(), "None are open."),
        status: status_facts(state),
        console: state.reading.status.as_ref().map(|status| status.console.clone()).unwrap_or_default(),
        trays: state
            .reading
            .inputs
            .iter()
            .flatten()
            .map(|tray| tray_line(tray, "Tray"))
            .chain(state.reading.outputs.iter().flatten().map(|tray| tray_line(tray, "Output")))
            .collect(),
        no_trays: none_of(
            state.reading.inputs.is_some() || state.reading.outputs.is_some(),
            "The device reports none.",
        ),
        identity: identity_facts(state),
        no_gaps: no_gaps(state),
        gaps: state
            .reading
            .gaps
            .iter()
            .map(|gap| {
                let reason = match gap.reason.as_str() {
                    "not_supported" => "the device has no such object",
                    "no_answer" => "the device did not answer this one",
                    "rejected" => "the answer failed a validity rule",
                    _ => "the site's policy, or a limit",
                };
                (gap.field.clone(), reason, gap.detail.clone().unwrap_or_default())
            })
            .collect(),
        mapping: match &state.reading.mapping {
            Some(mapping) if mapping.pack == 0 => {
                format!("Mapping {}, from the library inside the collector.", mapping.pmd)
            }
            Some(mapping) => format!("Mapping {}, pack {}.", mapping.pmd, mapping.pack),
            None if state.reading.scope == Scope::Full => "The site did not say which mapping was used.".to_owned(),
            None => NOT_READ.to_owned(),
        },
        evidence: evidence_lines(state),
    }
}

/// Said of what no reading has held so far: absent is not the same as none.
const NOT_READ: &str = "Not read yet.";

fn none_of(was_read: bool, text: &'static str) -> &'static str {
    if was_read { text } else { NOT_READ }
}

fn no_gaps(state: &DeviceState) -> &'static str {
    match (state.reading.scope, state.reading.outcome) {
        (Scope::Alerts, _) => NOT_READ,
        (Scope::Full, Outcome::Complete) => "Everything that the mapping knows was read.",
        (Scope::Full, Outcome::Unmapped) => "Everything that the generic mapping knows was read.",
        (Scope::Full, _) => "The last reading was not complete and does not say what it lacks.",
    }
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    match words::age(at, now) {
        age if age == "just now" => age,
        age => format!("{age} ago"),
    }
}

fn state_chip(state: &DeviceState) -> (String, &'static str) {
    match state.outcome {
        Outcome::Unreachable => return ("does not answer".to_owned(), "warning"),
        Outcome::Denied => return ("refuses credentials".to_owned(), "warning"),
        Outcome::Complete | Outcome::Partial | Outcome::Unmapped => {}
    }
    let word =
        state.reading.status.as_ref().and_then(|status| status.state.clone()).unwrap_or_else(|| "read".to_owned());
    let class = match word.as_str() {
        "stopped" | "down" => "critical",
        "idle" | "processing" => "good",
        _ => "calm",
    };
    (word, class)
}

fn notices(state: &DeviceState, now: Timestamp) -> Vec<String> {
    let mut notices = Vec::new();
    match state.outcome {
        Outcome::Unreachable => {
            notices.push(format!("The device did not answer when last tried, {}.", ago(state.tried_at, now)));
        }
        Outcome::Denied => {
            notices.push(format!("The device refused the credentials when last tried, {}.", ago(state.tried_at, now)));
        }
        Outcome::Partial => notices.push("Some objects got no answer in the last reading.".to_owned()),
        Outcome::Unmapped => {
            notices.push("Read with the generic mapping only: there is none for this family yet.".to_owned());
        }
        Outcome::Complete => {}
    }
    for (what, at) in [("Counters", state.counters_at), ("Supplies", state.supplies_at)] {
        if let Some(at) = at.filter(|at| state.read_at.is_some_and(|read_at| *at < read_at)) {
            notices.push(format!("{what} are from an older reading, {}.", ago(at, now)));
        }
    }
    notices
}

fn counter_lines(state: &DeviceState) -> Vec<CounterLine> {
    let counters = state.reading.counters.iter().flatten();
    let mut lines: Vec<CounterLine> = counters
        .map(|(key, count)| CounterLine {
            key: key.to_string(),
            name: words::counter_name(key.as_str()),
            value: words::grouped(count.value),
            unit: count.unit.clone().filter(|unit| unit != "impressions").unwrap_or_default(),
            basis: count.basis.as_str(),
            unverified: count.evidence.unverified,
            detail: count.detail.clone().unwrap_or_default(),
            rule: count.evidence.rule.clone().unwrap_or_default(),
            oids: oids(&count.evidence),
        })
        .collect();
    lines.sort_by_cached_key(|line| {
        let (service, counter) = line.key.split_once('.').unwrap_or(("", &line.key));
        let place = |word: &str, order: &[&str]| order.iter().position(|known| *known == word).unwrap_or(order.len());
        (place(service, &SERVICES), place(counter, &COUNTERS), line.key.clone())
    });
    lines
}

/// The order of the table, by the first half of a key; the vendor's own come last.
const SERVICES: [&str; 7] = ["system", "print", "copy", "fax_in", "fax_out", "scan", "email_out"];

/// The order within a service: what bills are made from comes first.
const COUNTERS: [&str; 8] = [
    "impressions",
    "monochrome_impressions",
    "full_color_impressions",
    "highlight_color_impressions",
    "impressions_two_sided",
    "images",
    "monochrome_images",
    "full_color_images",
];

fn oids(evidence: &Evidence) -> Vec<String> {
    evidence.oid.iter().flat_map(|oids| oids.split_whitespace()).map(str::to_owned).collect()
}

fn supply_line(supply: &Supply) -> SupplyLine {
    let unit = supply.unit.as_ref().map(|unit| words::label(&unit.label)).unwrap_or_default();
    let level = match (supply.percent, supply.level, supply.level_state) {
        (Some(percent), ..) => format!("{percent} %"),
        (None, Some(level), _) => format!("{} {unit}", words::grouped(level)).trim().to_owned(),
        (None, None, Some(LevelState::SomeRemaining)) => "some left".to_owned(),
        (None, None, Some(LevelState::Unrestricted)) => "no limit".to_owned(),
        _ => "not known".to_owned(),
    };
    let kind = supply.kind.as_ref().map(|kind| words::label(&kind.label));
    let receptacle = supply.class.as_ref().is_some_and(|class| class.label == "receptacleThatIsFilled");
    let capacity = supply.level.zip(supply.max_capacity).filter(|_| unit != "percent").map(|(level, capacity)| {
        let room = if receptacle { " free" } else { "" };
        format!("{}{room} of {} {unit}", words::grouped(level), words::grouped(capacity)).trim().to_owned()
    });
    let detail = [
        kind,
        supply.part_number.as_ref().map(|number| format!("part {number}")),
        supply.serial_number.as_ref().map(|number| format!("serial {number}")),
        capacity,
        supply.evidence.rule.as_ref().map(|rule| format!("rule {rule}")),
        supply.evidence.unverified.then(|| "unverified".to_owned()),
    ];
    SupplyLine {
        name: supply_name(supply),
        level,
        level_class: supply.percent.map_or("none", words::level_class),
        percent: supply.percent,
        ink: words::ink_class(supply.colorant.as_deref()),
        detail: detail.into_iter().flatten().collect::<Vec<_>>().join(" · "),
    }
}

fn tray_line(tray: &Tray, kind: &str) -> TrayLine {
    let (level, percent) = match (tray.level, tray.max_capacity, tray.level_state) {
        (Some(level), Some(capacity), _) if capacity > 0 => {
            let percent = (level.saturating_mul(100) / capacity).min(100);
            (format!("{} of {}", words::grouped(level), words::grouped(capacity)), Some(percent))
        }
        (Some(level), ..) => (words::grouped(level), None),
        (None, _, Some(LevelState::SomeRemaining)) => ("some left".to_owned(), None),
        (None, _, Some(LevelState::Unrestricted)) => ("no limit".to_owned(), None),
        _ => ("not known".to_owned(), None),
    };
    let name = tray.name.clone().filter(|name| !name.trim().is_empty());
    let free = if kind == "Output" && percent.is_some() { " free" } else { "" };
    TrayLine { name: name.unwrap_or_else(|| format!("{kind} {}", tray.index)), level: level + free, percent }
}

fn alert_lines(state: &DeviceState, now: Timestamp) -> Vec<AlertLine> {
    let mut alerts: Vec<_> = state.reading.alerts.iter().flat_map(|alerts| &alerts.rows).collect();
    alerts.sort_by_key(|alert| std::cmp::Reverse(severity(alert)));
    let coded = |coded: &Option<Coded>| coded.as_ref().map(|coded| words::label(&coded.label));
    alerts
        .into_iter()
        .map(|alert| {
            let code = coded(&alert.code);
            let text = alert.description.clone().filter(|text| !text.trim().is_empty());
            let group = coded(&alert.group).map(|group| match alert.group_index {
                Some(index) => format!("{group} {index}"),
                None => group,
            });
            let detail = [
                text.is_some().then(|| code.clone()).flatten(),
                group,
                alert.training.as_ref().and_then(|training| who_can_help(&training.label)).map(str::to_owned),
                alert.time.map(|time| format!("since {}", ago(time, now))),
            ];
            AlertLine {
                class: match severity(alert) {
                    Severity::Informational => "calm",
                    grave => grave.as_str(),
                },
                severity: severity(alert).as_str(),
                text: text.or(code).unwrap_or_else(|| "alert".to_owned()),
                detail: detail.into_iter().flatten().collect::<Vec<_>>().join(" · "),
            }
        })
        .collect()
}

/// The level of training that an alert asks for, by its registered label.
fn who_can_help(label: &str) -> Option<&'static str> {
    match label {
        "untrained" => Some("anybody can help"),
        "trained" => Some("for somebody trained"),
        "fieldService" => Some("for field service"),
        "management" => Some("for management"),
        "noInterventionRequired" => Some("passes by itself"),
        _ => None,
    }
}

fn status_facts(state: &DeviceState) -> Vec<(&'static str, String)> {
    let Some(status) = &state.reading.status else { return Vec::new() };
    let coded = |coded: &Option<Coded>| coded.as_ref().map(|coded| words::label(&coded.label));
    let errors = status
        .detected_errors
        .as_ref()
        .map(|detected| detected.errors.iter().map(|error| words::label(&error.label)).collect::<Vec<_>>().join(", "));
    let covers = state.reading.covers.iter().flatten().filter(|cover| {
        cover.status.as_ref().is_some_and(|status| status.label == "coverOpen" || status.label == "interlockOpen")
    });
    let open: Vec<String> =
        covers.map(|cover| cover.description.clone().unwrap_or_else(|| format!("cover {}", cover.index))).collect();
    let facts = [
        ("State", status.state.clone()),
        ("Printer", coded(&status.printer_status)),
        ("Device", coded(&status.device_status)),
        ("Errors", errors.filter(|errors| !errors.is_empty())),
        ("Open", Some(open.join(", ")).filter(|open| !open.is_empty())),
        ("Up for", status.up_time_seconds.map(up_time)),
        ("As of", state.status_at.map(words::local)),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn up_time(seconds: u32) -> String {
    match seconds {
        0..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn identity_facts(state: &DeviceState) -> Vec<(&'static str, String)> {
    let identity = state.reading.identity.clone().unwrap_or_default();
    let network = state.reading.network.clone().unwrap_or_default();
    let capabilities = state.reading.capabilities.clone().unwrap_or_default();
    let text = |text: Option<Text>| text.map(|text| text.value);
    let list = |list: Vec<String>| Some(list.join(", ")).filter(|list| !list.is_empty());
    let yes = |flag: Option<bool>| flag.map(|flag| if flag { "yes" } else { "no" }.to_owned());
    let firmwares = identity.firmwares.into_iter().map(|firmware| match firmware.name {
        Some(name) => format!("{name} {}", firmware.version.value),
        None => firmware.version.value,
    });
    let facts = [
        ("Vendor", text(identity.vendor)),
        ("Model", text(identity.model)),
        ("Make and model", identity.make_and_model),
        ("Serial number", text(identity.serial_number)),
        ("Asset tag", text(identity.asset_tag)),
        ("Name", identity.system_name),
        ("Location", identity.location),
        ("Contact", identity.contact),
        ("Firmware", list(firmwares.collect())),
        ("Address", list(network.addresses)),
        ("MAC", list(network.physical_addresses)),
        ("Host name", network.host_name),
        ("Colour", yes(capabilities.color)),
        ("Two-sided", yes(capabilities.two_sided)),
        ("Services", list(capabilities.services).map(|services| services.replace('_', " "))),
        ("Pages per minute", capabilities.pages_per_minute.map(|pages| pages.to_string())),
        ("Technology", capabilities.marker_technology.map(|technology| words::label(&technology.label))),
        ("Largest paper", capabilities.max_media_size),
        ("Finishers", list(capabilities.finishers)),
        ("Languages", list(capabilities.languages)),
        ("Memory", capabilities.memory_bytes.map(|bytes| format!("{} MiB", bytes >> 20))),
        ("Disk", capabilities.disk_bytes.filter(|bytes| *bytes > 0).map(|bytes| format!("{} GiB", bytes >> 30))),
        ("UUID", identity.uuid),
        ("sysObjectID", identity.sys_object_id),
        ("Device id", identity.device_id),
        ("Key", Some(state.reading.key.clone())),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Texts and supplies with evidence; counters have a table of their own.
fn evidence_lines(state: &DeviceState) -> Vec<EvidenceLine> {
    let line = |name: &str, value: String, evidence: &Evidence| {
        (evidence.oid.is_some() || evidence.rule.is_some()).then(|| EvidenceLine {
            name: name.to_owned(),
            value,
            unverified: evidence.unverified,
            rule: evidence.rule.clone().unwrap_or_default(),
            oids: oids(evidence),
        })
    };
    let identity = state.reading.identity.clone().unwrap_or_default();
    let texts = [
        ("Vendor", identity.vendor),
        ("Model", identity.model),
        ("Serial number", identity.serial_number),
        ("Asset tag", identity.asset_tag),
        ("Firmware", identity.firmwares.into_iter().next().map(|firmware| firmware.version)),
    ];
    let supplies = state.reading.supplies.iter().flatten();
    texts
        .into_iter()
        .filter_map(|(name, text)| text.and_then(|text| line(name, text.value.clone(), &text.evidence)))
        .chain(supplies.filter_map(|supply| line(&supply_name(supply), supply_line(supply).level, &supply.evidence)))
        .collect()
}

#[cfg(test)]
mod tests {
    use meterpost_wire::reading::{Alerts, Reading};

    use super::*;
    use crate::derive::device::{Place, fold, summary};
    use crate::store::FleetRow;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).expect("a time")
    }

    /// The page of a device after this one reading.
    fn page(reading: &Reading) -> String {
        let place = Place { sequence: 1, read_at: at(0), token: 0, effective: at(0) };
        let state = fold(None, reading, place);
        let row = FleetRow {
            id: "id".to_owned(),
            site: "s".to_owned(),
            site_name: "North".to_owned(),
            read_at: state.read_at,
            summary: summary(&state),
        };
        let frame = Frame { person: String::new(), form_token: String::new(), here: "device" };
        device_page(frame, &DeviceRow { row, state, history: Vec::new() }, at(5)).render().expect("a page")
    }

    fn empty(scope: Scope, outcome: Outcome) -> Reading {
        Reading::empty("sn:acme:1".to_owned(), scope, at(0), outcome)
    }

    #[test]
    fn what_was_never_read_is_not_said_to_be_none() {
        let never = page(&empty(Scope::Full, Outcome::Unreachable));
        let alerts = Some(Alerts::default());
        let alerts_only = page(&Reading { alerts, ..empty(Scope::Alerts, Outcome::Complete) });
        for wrong in
            ["Everything that", "The device reports none.", "A chart appears", "<h2>Status</h2>", "did not say"]
        {
            assert!(!never.contains(wrong) && !alerts_only.contains(wrong), "{wrong}");
        }
        assert_eq!((never.contains("None are open."), alerts_only.contains("None are open.")), (false, true));
        assert_eq!(never.matches(NOT_READ).count(), 6, "counters, supplies, trays, gaps, alerts, mapping: {never}");
    }

    #[test]
    fn a_container_that_was_read_and_is_empty_says_so() {
        let (supplies, inputs) = (Some(Vec::new()), Some(Vec::new()));
        let read = page(&Reading { supplies, inputs, ..empty(Scope::Full, Outcome::Complete) });
        assert_eq!(read.matches("The device reports none.").count(), 2);
        assert!(read.contains("Everything that the mapping knows was read."));
        assert!(page(&empty(Scope::Full, Outcome::Partial)).contains("does not say what it lacks"));
    }

    #[test]
    fn counters_stand_in_the_order_of_bills() {
        let keys = ["vendor.x", "system.full_color_impressions", "print.impressions", "system.impressions"];
        let mut reading = empty(Scope::Full, Outcome::Complete);
        reading.counters = Some(
            keys.iter()
                .map(|key| meterpost_wire::CounterKey::parse(key).expect("a key"))
                .map(|key| {
                    let count = meterpost_wire::reading::Count {
                        value: 1,
                        basis: Basis::Actual,
                        evidence: Evidence::default(),
                        unit: None,
                        detail: None,
                    };
                    (key, count)
                })
                .collect(),
        );
        let place = Place { sequence: 1, read_at: at(0), token: 0, effective: at(0) };
        assert!(!page(&reading).contains("Total, suspect"));
        let lines = counter_lines(&fold(None, &reading, place));
        let found: Vec<&str> = lines.iter().map(|line| line.key.as_str()).collect();
        assert_eq!(found, ["system.impressions", "system.full_color_impressions", "print.impressions", "vendor.x"]);
        reading.counters.iter_mut().flatten().for_each(|(_, count)| count.basis = Basis::Suspect);
        assert!(page(&reading).contains("Total, suspect"));
    }
}
