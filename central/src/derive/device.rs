//! The newest state of a device, folded from its readings, and the one line that the list of the fleet shows of it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use meterpost_wire::reading::{Alert, AlertScope, Alerts, Basis, Coded, Outcome, Reading, Scope, Supply};
use serde::{Deserialize, Serialize};

/// Where a reading stands among those of its device: by sequence. A batch holds a device once, so the rest decides only
/// between two batches of a forked sequence, and by nothing that depends on which of them arrived first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Of the batch.
    pub sequence: u64,
    /// By the site's clock.
    #[serde(default)]
    pub read_at: Timestamp,
    /// The first 63 bits of the token's SHA-256.
    #[serde(default)]
    pub token: u64,
    /// Effective time of the reading (`standards.md` 2.9). It says when, never which is newer.
    pub effective: Timestamp,
}

impl Place {
    /// What decides which of two readings is the newer one.
    pub fn order(&self) -> (u64, Timestamp, u64) {
        (self.sequence, self.read_at, self.token)
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.order(), self.effective).cmp(&(other.order(), other.effective))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The newest of everything that is known of a device, each part with the time it is from. A part that the newest
/// reading lacks is kept with its own older time: it is shown as old, never as new.
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
    /// Which reading each part is from.
    pub places: Places,
}

/// Which reading each part of a state is from. Batches arrive in any order (an outbox delivers its newest first after
/// an outage), so each part is replaced by a newer one of its own kind only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    tried: Option<Place>,
    answered: Option<Place>,
    full: Option<Place>,
    identity: Option<Place>,
    network: Option<Place>,
    capabilities: Option<Place>,
    counters: Option<Place>,
    supplies: Option<Place>,
    inputs: Option<Place>,
    outputs: Option<Place>,
    covers: Option<Place>,
    status: Option<Place>,
    alerts: Option<Place>,
    all_alerts: Option<Place>,
    /// The alerts that were opened or cleared since the newest list of all, and those of that list.
    alert_rows: Vec<(AlertKey, Place)>,
}

/// Folds a reading into what was known. The result is the same in whatever order the readings come.
pub fn fold(before: Option<DeviceState>, new: &Reading, at: Place) -> DeviceState {
    let mut state = before.unwrap_or_else(|| nothing(new, at));
    let (kept, places) = (&mut state.reading, &mut state.places);
    if newer(&mut places.tried, at) {
        state.outcome = new.outcome;
        state.tried_at = at.effective;
    }
    if matches!(new.outcome, Outcome::Unreachable | Outcome::Denied) {
        return state;
    }
    if newer(&mut places.answered, at) {
        state.read_at = Some(at.effective);
        kept.read_at = new.read_at;
        kept.outcome = new.outcome;
    }
    replace(&mut kept.identity, &mut places.identity, &new.identity, at);
    replace(&mut kept.network, &mut places.network, &new.network, at);
    replace(&mut kept.status, &mut places.status, &new.status, at);
    if let Some(alerts) = &new.alerts {
        newer(&mut places.alerts, at);
        merge_alerts(&mut kept.alerts.get_or_insert_default().rows, places, alerts, at);
    }
    if new.scope == Scope::Full {
        if newer(&mut places.full, at) {
            kept.scope = Scope::Full;
            kept.mapping.clone_from(&new.mapping);
            kept.gaps.clone_from(&new.gaps);
        }
        replace(&mut kept.capabilities, &mut places.capabilities, &new.capabilities, at);
        replace(&mut kept.counters, &mut places.counters, &new.counters, at);
        replace(&mut kept.supplies, &mut places.supplies, &new.supplies, at);
        replace(&mut kept.inputs, &mut places.inputs, &new.inputs, at);
        replace(&mut kept.outputs, &mut places.outputs, &new.outputs, at);
        replace(&mut kept.covers, &mut places.covers, &new.covers, at);
    }
    state.counters_at = places.counters.map(|place| place.effective);
    state.supplies_at = places.supplies.map(|place| place.effective);
    state.status_at = places.status.max(places.alerts).map(|place| place.effective);
    state
}

/// The state of a device of which only the key is known.
fn nothing(new: &Reading, at: Place) -> DeviceState {
    DeviceState {
        reading: Reading::empty(new.key.clone(), Scope::Alerts, new.read_at, new.outcome),
        outcome: new.outcome,
        tried_at: at.effective,
        read_at: None,
        counters_at: None,
        supplies_at: None,
        status_at: None,
        places: Places::default(),
    }
}

/// Moves a part to `at` when that is where it is from by now.
fn newer(place: &mut Option<Place>, at: Place) -> bool {
    let newer = place.is_none_or(|place| place < at);
    if newer {
        *place = Some(at);
    }
    newer
}

fn replace<T: Clone>(kept: &mut Option<T>, place: &mut Option<Place>, new: &Option<T>, at: Place) {
    if new.is_some() && newer(place, at) {
        kept.clone_from(new);
    }
}

/// The open alerts after a list of all of them, or of changes. A cleared alert closes the open one with the same index,
/// group, group index and code (`standards.md` 1.3); that it was cleared is remembered until the next list of all, for
/// an older batch may still come and say that it is open.
fn merge_alerts(open: &mut Vec<Alert>, places: &mut Places, new: &Alerts, at: Place) {
    if places.all_alerts.is_some_and(|all| at <= all) {
        return;
    }
    if new.scope == AlertScope::All {
        places.all_alerts = Some(at);
        places.alert_rows.retain(|(_, place)| *place > at);
        open.retain(|alert| places.alert_rows.iter().any(|(key, _)| *key == alert_key(alert)));
    }
    for row in &new.rows {
        let key = alert_key(row);
        match places.alert_rows.iter_mut().find(|(known, _)| *known == key) {
            Some((_, place)) if *place > at => continue,
            Some((_, place)) => *place = at,
            None => places.alert_rows.push((key, at)),
        }
        open.retain(|alert| alert_key(alert) != key);
        if row.clear_time.is_none() {
            open.push(row.clone());
        }
    }
    places.alert_rows.sort_unstable();
    open.sort_by_key(alert_key);
}

/// What makes two rows the same alert: index, group index, code of the group, code.
pub type AlertKey = (Option<u32>, Option<i32>, Option<i64>, Option<i64>);

/// See [`AlertKey`].
pub fn alert_key(alert: &Alert) -> AlertKey {
    let code = |coded: &Option<Coded>| coded.as_ref().and_then(|coded| coded.code);
    (alert.index, alert.group_index, code(&alert.group), code(&alert.code))
}

/// The counter in the column Total.
pub const TOTAL: &str = "system.impressions";
/// The counter in the column Mono.
pub const MONO: &str = "system.monochrome_impressions";
/// The counter in the column Colour.
pub const COLOR: &str = "system.full_color_impressions";

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
    /// Which of these three are not simply read: counter key to `derived` or `suspect`.
    #[serde(default)]
    pub not_actual: BTreeMap<String, String>,
    /// The supply that needs somebody first.
    pub lowest: Option<Lowest>,
    /// Number of open alerts; absent = they were never read.
    pub alerts: Option<u32>,
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
    let billed = |key: &str| reading.counters.iter().flatten().find(|(name, _)| name.as_str() == key);
    let count = |key: &str| billed(key).map(|(_, count)| count.value);
    let not_actual = [TOTAL, MONO, COLOR]
        .iter()
        .filter_map(|key| billed(key))
        .filter(|(_, count)| count.basis != Basis::Actual)
        .map(|(key, count)| (key.as_str().to_owned(), count.basis.as_str().to_owned()));
    let lowest = reading
        .supplies
        .iter()
        .flatten()
        .filter_map(|supply| Some((supply.percent?, supply)))
        .min_by_key(|(percent, _)| *percent)
        .map(|(percent, supply)| Lowest { percent, colorant: supply.colorant.clone(), name: supply_name(supply) });
    let alerts = reading.alerts.as_ref().map(|alerts| alerts.rows.as_slice());
    Summary {
        key: reading.key.clone(),
        vendor: identity.vendor.map(|text| text.value),
        model: identity.model.map(|text| text.value).or(identity.make_and_model),
        serial: identity.serial_number.map(|text| text.value),
        asset_tag: identity.asset_tag.map(|text| text.value),
        name: identity.system_name.or(reading.network.as_ref().and_then(|network| network.host_name.clone())),
        location: identity.location,
        address: reading.network.as_ref().and_then(|network| network.addresses.first().cloned()),
        total: count(TOTAL),
        mono: count(MONO),
        color: count(COLOR),
        not_actual: not_actual.collect(),
        lowest,
        alerts: alerts.map(|alerts| u32::try_from(alerts.len()).unwrap_or(u32::MAX)),
        worst: alerts.unwrap_or_default().iter().map(severity).max(),
        outcome: state.outcome.as_str().to_owned(),
        state: reading.status.as_ref().and_then(|status| status.state.clone()),
    }
}

#[cfg(test)]
mod tests {
    use meterpost_wire::CounterKey;
    use meterpost_wire::reading::{Count, Evidence, Identity, Status};

    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).expect("a time")
    }

    fn place(sequence: u64) -> Place {
        Place { sequence, read_at: at(sequence as i64), token: 0, effective: at(sequence as i64) }
    }

    fn reading(outcome: Outcome, scope: Scope) -> Reading {
        Reading::empty("sn:acme:1".to_owned(), scope, at(0), outcome)
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
        let state = fold(None, &with_total(100), place(1));
        let state = fold(Some(state), &reading(Outcome::Unreachable, Scope::Full), place(2));
        assert_eq!((state.outcome, state.tried_at, state.read_at), (Outcome::Unreachable, at(2), Some(at(1))));
        assert_eq!((summary(&state).total, state.counters_at), (Some(100), Some(at(1))));
    }

    #[test]
    fn a_reading_without_counters_does_not_make_old_ones_new() {
        let state = fold(None, &with_total(100), place(1));
        let state = fold(Some(state), &reading(Outcome::Partial, Scope::Full), place(2));
        assert_eq!((state.read_at, state.counters_at), (Some(at(2)), Some(at(1))));
    }

    #[test]
    fn an_alerts_reading_changes_alerts_alone() {
        let state = fold(None, &with_total(100), place(1));
        let state = fold(Some(state), &with_alerts(AlertScope::All, vec![alert(1, false)]), place(2));
        let line = summary(&state);
        assert_eq!((line.total, line.alerts, line.worst), (Some(100), Some(1), Some(Severity::Critical)));
        let state = fold(Some(state), &with_alerts(AlertScope::All, vec![]), place(3));
        assert_eq!(summary(&state).alerts, Some(0));
    }

    #[test]
    fn changes_open_and_close_single_alerts() {
        let state = fold(None, &with_alerts(AlertScope::All, vec![alert(1, false), alert(2, false)]), place(1));
        let changes = with_alerts(AlertScope::Changes, vec![alert(1, true), alert(3, false), alert(7, true)]);
        let state = fold(Some(state), &changes, place(2));
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
        let line = summary(&fold(None, &full, place(1)));
        assert_eq!(line.lowest, Some(Lowest { percent: 7, colorant: None, name: "cyan".to_owned() }));
        assert_eq!((line.total, line.state.as_deref()), (None, Some("idle")));
        assert_eq!(line.alerts, None, "alerts that were never read are not none");
    }

    #[test]
    fn readings_come_to_the_same_state_in_any_order_of_arrival() {
        let named = |total: u64| Reading {
            identity: Some(Identity { location: Some(format!("room {total}")), ..Identity::default() }),
            status: Some(Status { state: Some("idle".to_owned()), ..Status::default() }),
            gaps: Vec::new(),
            ..with_total(total)
        };
        let readings = [
            named(5_555),
            with_alerts(AlertScope::All, vec![alert(1, false), alert(2, false)]),
            with_alerts(AlertScope::Changes, vec![alert(1, true), alert(3, false)]),
            reading(Outcome::Partial, Scope::Full),
            reading(Outcome::Unreachable, Scope::Full),
        ];
        let folded = |order: &[usize]| {
            let state = order
                .iter()
                .fold(None, |state, &number| Some(fold(state, &readings[number], place(number as u64 + 1))));
            state.expect("a state")
        };
        let in_order = folded(&[0, 1, 2, 3, 4]);
        let line = summary(&in_order);
        assert_eq!((line.total, line.location.as_deref(), line.alerts), (Some(5_555), Some("room 5555"), Some(2)));
        assert_eq!((in_order.outcome, in_order.tried_at, in_order.read_at), (Outcome::Unreachable, at(5), Some(at(4))));
        assert_eq!((in_order.counters_at, in_order.status_at), (Some(at(1)), Some(at(3))));
        for code in 0..5_usize.pow(5) {
            let order: Vec<usize> = (0..5).map(|digit| code / 5_usize.pow(digit) % 5).collect();
            if (0..5).all(|number| order.contains(&number)) {
                assert_eq!(folded(&order), in_order, "{order:?}");
            }
        }
    }
}
