//! How old what has not been acknowledged is, by channel.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Item, State};

/// Upper ends of the steps, in seconds, and their names; what is older stands in a last step.
pub const STEPS: [(i64, &str); 6] = [
    (3_600, "< 1 h"),
    (6 * 3_600, "< 6 h"),
    (86_400, "< 1 d"),
    (3 * 86_400, "< 3 d"),
    (7 * 86_400, "< 7 d"),
    (30 * 86_400, "< 30 d"),
];

/// Items of each step.
pub type Counts = [u32; STEPS.len() + 1];

/// Waiting and handed-over items by state and by the channel that had them last (`None`: not tried yet), since they were
/// queued. A clock that was set back makes nothing younger than now.
pub fn ages(items: &[Item], now: Timestamp) -> BTreeMap<(&'static str, Option<&str>), Counts> {
    let mut ages: BTreeMap<_, Counts> = BTreeMap::new();
    for item in items.iter().filter(|item| matches!(item.state, State::Waiting | State::HandedOver)) {
        let age = now.as_second() - item.queued_at.as_second();
        let step = STEPS.iter().position(|(end, _)| age < *end).unwrap_or(STEPS.len());
        ages.entry((item.state.as_str(), item.channel.as_deref())).or_default()[step] += 1;
    }
    ages
}
