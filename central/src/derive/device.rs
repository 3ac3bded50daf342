//! The newest state of a device, folded from its readings, and the one line that the list of the fleet shows of it.

use jiff::Timestamp;
use meterpost_wire::reading::{Alert, AlertScope, Alerts, Coded, Outcome, Reading, Scope, Supply};
use serde::{Deserialize, Serialize};

/// The newest of everything that is known of a device, each part with the time it is from. A part that the newest reading
/// lacks is kept with its own older time: it is shown as old, never as new.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceState {
    /// The newest parts.
    pub reading: Reading,
    /// How the newest try went.
    pub outcome: Outcome,
    /// When that was. This and all times below are effective times (`standards.md` 2.9).
    pub tried_at: Timestamp,
    /// When it last answered.
    pub read_at: Option<Timestamp>,
    /// The time of `reading.counters`.
    pub counters_at: Option<Timestamp>,
    /// The time of `reading.supplies`.
    pub supplies_at: Option<Timestamp>,
    /// The time of `reading.status` and `reading.alerts`.
    pub status_at: Option<Timestamp>,
}

/// Folds a newer reading into what was known.
pub fn fold(before: Option<DeviceState>, new: &Reading, at: Timestamp) -> DeviceState {
    let answered = !matches!(new.outcome, Outcome::Unreachable | Outcome::Denied);
    let Some(mut state) = before else {
        return DeviceState {
            reading: Reading { alerts: new.alerts.clone().map(|alerts| merge_alerts(None, alerts)), ..new.clone() },
            outcome: new.outcome,
            tried_at: at,
            read_at: answered.then_some(at),
            counters_at: new.counters.as_ref().map(|_| at),
            supplies_at: new.supplies.as_ref().map(|_| at),
            status_at: new.status.as_ref().map(|_| at),
        };
    };
    state.outcome = new.outcome;
    state.tried_at = at;
    if !answered {
        return state;
    }
    state.read_at = Some(at);
    let kept = &mut state.reading;
    kept.read_at = new.read_at;
    kept.outcome = new.outcome;
    replace(&mut kept.identity, &new.identity);
    replace(&mut kept.network, &new.network);
    replace(&mut kept.status, &new.status);
    if let Some(alerts) = &new.alerts {
        kept.alerts = Some(merge_alerts(kept.alerts.take(), alerts.clone()));
    }
    if new.status.is_some() || new.alerts.is_some() {
        state.status_at = Some(at);
    }
    if new.scope == Scope::Full {
        kept.mapping.clone_from(&new.mapping);
        kept.gaps.clone_from(&new.gaps);
        replace(&mut kept.capabilities, &new.capabilities);
        replace(&mut kept.inputs, &new.inputs);
        replace(&mut kept.outputs, &new.outputs);
        replace(&mut kept.covers, &new.covers);
        if replace(&mut kept.counters, &new.counters) {
            state.counters_at = Some(at);
        }
        if replace(&mut kept.supplies, &new.supplies) {
            state.supplies_at = Some(at);
        }
    }
    state
}

fn replace<T: Clone>(kept: &mut Option<T>, new: &Option<T>) -> bool {
    if new.is_some() {
        kept.clone_from(new);
    }
    new.is_some()
}

/// The open alerts after a list of all of them, or of changes. A cleared alert closes the newest open one with the same
/// index, group, group index and code (`standards.md` 1.3).
fn merge_alerts(before: Option<Alerts>, new: Alerts) -> Alerts {
    let mut open = match new.scope {
        AlertScope::All => Vec::new(),
        AlertScope::Changes => before.map(|alerts| alerts.rows).unwrap_or_default(),
    };
    for row in new.rows {
        let known = open.iter().rposition(|known| same_alert(known, &row));
        match (known, row.clear_time) {
            (Some(known), Some(_)) => drop(open.remove(known)),
            (Some(known), None) => open[known] = row,
            (None, Some(_)) => {}
            (None, None) => open.push(row),
        }
    }
    Alerts { scope: AlertScope::All, rows: open }
}

fn same_alert(one: &Alert, other: &Alert) -> bool {
    let code = |coded: &Option<Coded>| coded.as_ref().and_then(|coded| coded.code);
    one.index == other.index
        && one.group_index == other.group_index
        && code(&one.group) == code(&other.group)
        && code(&one.code) == code(&other.code)
}

/// What the list of the fleet shows of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The collector's key of the device.
    pub key: String,
    /// Brand.
    pub vendor: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Asset tag.
    pub asset_tag: Option<String>,
    /// The device's name.
    pub name: Option<String>,
    /// Where it stands, in the words of the site.
    pub location: Option<String>,
    /// The address it was read at.
    pub address: Option<String>,
    /// `system.impressions`.
    pub total: Option<u64>,
    /// `system.monochrome_impressions`.
    pub mono: Option<u64>,
    /// `system.full_color_impressions`.
    pub color: Option<u64>,
    /// The supply that needs somebody first.
    pub lowest: Option<Lowest>,
    /// Number of open alerts.
    pub alerts: u32,
    /// The gravest of them.
    pub worst: Option<Severity>,
    /// `complete` `partial` `unreachable` `denied` `unmapped`, of the newest try.
    pub outcome: String,
    /// `idle`, `stopped`, …
    pub state: Option<String>,
}

/// The supply with the least left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lowest {
    /// 0 ..= 100; of a receptacle the room left.
    pub percent: u8,
    /// Its colour, one English word.
    pub colorant: Option<String>,
    /// Its name in the device's words, or its type.
    pub name: String,
}

/// How grave an alert is, the gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Everything below a warning.
    Informational,
    /// `warning` and `warningBinaryChangeEvent`.
    Warning,
    /// `critical`.
    Critical,
}

impl Severity {
    /// The word for a page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The severity of an alert; one without is informational.
pub fn severity(alert: &Alert) -> Severity {
    match alert.severity.as_ref().map(|severity| severity.label.as_str()) {
        Some("critical") => Severity::Critical,
        Some("warning" | "warningBinaryChangeEvent") => Severity::Warning,
        _ => Severity::Informational,
    }
}

/// The name of a supply for people: the device's words, else colour and type.
pub fn supply_name(supply: &Supply) -> String {
    if let Some(description) = supply.description.as_deref().filter(|text| !text.trim().is_empty()) {
        return description.to_owned();
    }
    let kind = supply.kind.as_ref().map_or("supply", |kind| kind.label.as_str());
    match &supply.colorant {
        Some(colorant) => format!("{colorant} {kind}"),
        None => kind.to_owned(),
    }
}

/// One line from a state.
pub fn summary(state: &DeviceState) -> Summary {
    let reading = &state.reading;
    let identity = reading.identity.clone().unwrap_or_default();
    let count = |key: &str| {
        let counters = reading.counters.as_ref()?;
        counters.iter().find(|(name, _)| name.as_str() == key).map(|(_, count)| count.value)
    };
    let lowest = reading
        .supplies
        .iter()
        .flatten()
        .filter_map(|supply| Some((supply.percent?, supply)))
        .min_by_key(|(percent, _)| *percent)
        .map(|(percent, supply)| Lowest { percent, colorant: supply.colorant.clone(), name: supply_name(supply) });
    let alerts = reading.alerts.as_ref().map(|alerts| alerts.rows.as_slice()).unwrap_or_default();
    Summary {
        key: reading.key.clone(),
        vendor: identity.vendor.map(|text| text.value),
        model: identity.model.map(|text| text.value).or(identity.make_and_model),
        serial: identity.serial_number.map(|text| text.value),
        asset_tag: identity.asset_tag.map(|text| text.value),
        name: identity.system_name.or(reading.network.as_ref().and_then(|network| network.host_name.clone())),
        location: identity.location,
        address: reading.network.as_ref().and_then(|network| network.addresses.first().cloned()),
        total: count("system.impressions"),
        mono: count("system.monochrome_impressions"),
        color: count("system.full_color_impressions"),
        lowest,
        alerts: u32::try_from(alerts.len()).unwrap_or(u32::MAX),
        worst: alerts.iter().map(severity).max(),
        outcome: state.outcome.as_str().to_owned(),
        state: reading.status.as_ref().and_then(|status| status.state.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use meterpost_wire::CounterKey;
    use meterpost_wire::reading::{Basis, Count, Evidence, Status};

    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).expect("a time")
    }

    fn reading(outcome: Outcome, scope: Scope) -> Reading {
        Reading {
            key: "sn:acme:1".to_owned(),
            mapping: None,
            scope,
            read_at: at(0),
            outcome,
            identity: None,
            network: None,
            capabilities: None,
            counters: None,
            supplies: None,
            inputs: None,
            outputs: None,
            covers: None,
            alerts: None,
            status: None,
            gaps: Vec::new(),
        }
    }

    fn with_total(total: u64) -> Reading {
        let key = CounterKey::parse("system.impressions").expect("a key");
        let count =
            Count { value: total, basis: Basis::Actual, evidence: Evidence::default(), unit: None, detail: None };
        Reading { counters: Some(BTreeMap::from([(key, count)])), ..reading(Outcome::Complete, Scope::Full) }
    }

    fn with_alerts(scope: AlertScope, rows: Vec<Alert>) -> Reading {
        Reading { alerts: Some(Alerts { scope, rows }), ..reading(Outcome::Complete, Scope::Alerts) }
    }

    fn alert(index: u32, cleared: bool) -> Alert {
        let severity = Some(Coded { label: "critical".to_owned(), code: Some(3) });
        Alert { index: Some(index), severity, clear_time: cleared.then(|| at(9)), ..Alert::default() }
    }

    #[test]
    fn a_silent_device_keeps_its_counters_with_their_old_time() {
        let state = fold(None, &with_total(100), at(1));
        let state = fold(Some(state), &reading(Outcome::Unreachable, Scope::Full), at(2));
        assert_eq!((state.outcome, state.tried_at, state.read_at), (Outcome::Unreachable, at(2), Some(at(1))));
        assert_eq!((summary(&state).total, state.counters_at), (Some(100), Some(at(1))));
    }

    #[test]
    fn a_reading_without_counters_does_not_make_old_ones_new() {
        let state = fold(None, &with_total(100), at(1));
        let state = fold(Some(state), &reading(Outcome::Partial, Scope::Full), at(2));
        assert_eq!((state.read_at, state.counters_at), (Some(at(2)), Some(at(1))));
    }

    #[test]
    fn an_alerts_reading_changes_alerts_alone() {
        let state = fold(None, &with_total(100), at(1));
        let state = fold(Some(state), &with_alerts(AlertScope::All, vec![alert(1, false)]), at(2));
        let line = summary(&state);
        assert_eq!((line.total, line.alerts, line.worst), (Some(100), 1, Some(Severity::Critical)));
        let state = fold(Some(state), &with_alerts(AlertScope::All, vec![]), at(3));
        assert_eq!(summary(&state).alerts, 0);
    }

    #[test]
    fn changes_open_and_close_single_alerts() {
        let state = fold(None, &with_alerts(AlertScope::All, vec![alert(1, false), alert(2, false)]), at(1));
        let changes = with_alerts(AlertScope::Changes, vec![alert(1, true), alert(3, false), alert(7, true)]);
        let state = fold(Some(state), &changes, at(2));
        let indexes: Vec<_> =
            state.reading.alerts.expect("alerts").rows.iter().filter_map(|alert| alert.index).collect();
        assert_eq!(indexes, [2, 3]);
    }

    #[test]
    fn the_lowest_supply_is_the_one_with_the_least_left_and_unknown_levels_do_not_count() {
        let supply = |percent, name: &str| Supply { percent, description: Some(name.to_owned()), ..Supply::default() };
        let mut full = reading(Outcome::Complete, Scope::Full);
        full.supplies = Some(vec![supply(None, "drum"), supply(Some(40), "black"), supply(Some(7), "cyan")]);
        full.status = Some(Status { state: Some("idle".to_owned()), ..Status::default() });
        let line = summary(&fold(None, &full, at(1)));
        assert_eq!(line.lowest, Some(Lowest { percent: 7, colorant: None, name: "cyan".to_owned() }));
        assert_eq!((line.total, line.state.as_deref()), (None, Some("idle")));
    }
}
