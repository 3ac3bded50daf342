//! Trays, bins, covers, alerts: tables whose rows stand for themselves; and the state that follows from all of them.

use jiff::{SignedDuration, Timestamp};
use meterpost_wire::labels::Table;
use meterpost_wire::reading::{Alert, Coded, Cover, LevelState, Tray};

use super::datum::Datum;
use super::eval::{Evaluator, Kind, Row};
use super::{ROWS_MAX, label};

/// A capacity above this is a placeholder (trap T8: 200000000 on a roll).
const CAPACITY_MAX: i64 = 100_000_000;
/// Characters of a name or description.
const TEXT_CHARS_MAX: usize = 255;

/// What a section's tables came to.
#[derive(Debug)]
pub struct Rows<T> {
    /// Whether the mapping has a table for it.
    pub mapped: bool,
    /// The rows that are known.
    pub rows: Vec<T>,
    /// What got no answer, when a row or a cell may be missing.
    pub lost: Option<String>,
}

/// Makes every row of a section, in the order of the file and of the walk.
pub fn each<T>(eval: &Evaluator<'_>, section: &str, mut make: impl FnMut(Row<'_>) -> Option<T>) -> Rows<T> {
    let mut made = Rows { mapped: false, rows: Vec::new(), lost: None };
    eval.lost_cell();
    for set in eval.pmd().sets.iter().filter(|set| set.section == section) {
        made.mapped |= !set.rows.is_empty();
        let (indexes, lost) = eval.rows(set);
        made.rows.extend(indexes.iter().take(ROWS_MAX).filter_map(|index| make(Row { set, index })));
        made.lost = made.lost.or(lost);
    }
    made.lost = made.lost.or(eval.lost_cell());
    made
}

/// The last number of a row's index.
pub fn number(row: Row<'_>) -> u32 {
    row.index.last().copied().unwrap_or(0)
}

/// A text column.
pub fn text(eval: &Evaluator<'_>, row: Row<'_>, column: &str) -> Option<String> {
    let text = eval.cell(row, column, Kind::Text)?.value.text(eval.charset());
    Some(text.chars().take(TEXT_CHARS_MAX).collect())
}

/// A label column.
pub fn coded(eval: &Evaluator<'_>, row: Row<'_>, column: &str, table: Table) -> Option<Coded> {
    label(&eval.cell(row, column, Kind::Any)?.value, table)
}

/// A number column.
pub fn integer(eval: &Evaluator<'_>, row: Row<'_>, column: &str) -> Option<i64> {
    match eval.cell(row, column, Kind::Number)?.value {
        Datum::Int(n) => Some(n),
        _ => None,
    }
}

/// A level or capacity as number and state.
pub fn level(datum: &Datum) -> (Option<u64>, Option<LevelState>) {
    match datum {
        Datum::Int(-3) => (None, Some(LevelState::SomeRemaining)),
        Datum::Int(-2) => (None, Some(LevelState::Unknown)),
        Datum::Int(-1) => (None, Some(LevelState::Unrestricted)),
        Datum::Int(n) => (u64::try_from(*n).ok(), Some(LevelState::Known)),
        Datum::Text(word) => match word.as_str() {
            "some_remaining" => (None, Some(LevelState::SomeRemaining)),
            "unknown" => (None, Some(LevelState::Unknown)),
            "unrestricted" => (None, Some(LevelState::Unrestricted)),
            _ => (None, None),
        },
        _ => (None, None),
    }
}

/// Input trays or output bins.
pub fn trays(eval: &Evaluator<'_>, section: &str) -> Rows<Tray> {
    each(eval, section, |row| {
        let max = eval.cell(row, "max_capacity", Kind::Level).map(|won| won.value);
        let (max_capacity, max_capacity_state) = match &max {
            Some(Datum::Int(0)) | None => (None, None),
            Some(Datum::Int(n)) if *n >= CAPACITY_MAX => (None, None),
            Some(datum) => level(datum),
        };
        let (level, level_state) = eval.cell(row, "level", Kind::Level).map_or((None, None), |won| level(&won.value));
        Some(Tray {
            index: number(row),
            name: text(eval, row, "name"),
            max_capacity,
            max_capacity_state,
            level,
            level_state,
        })
    })
}

/// Covers.
pub fn covers(eval: &Evaluator<'_>) -> Rows<Cover> {
    each(eval, "covers", |row| {
        Some(Cover {
            index: number(row),
            description: text(eval, row, "description"),
            status: coded(eval, row, "status", Table::CoverStatus),
        })
    })
}

/// Alerts.
pub fn alerts(eval: &Evaluator<'_>, read_at: Timestamp, up_time_ticks: Option<u32>) -> Rows<Alert> {
    each(eval, "alerts", |row| {
        let small = |column: &str| integer(eval, row, column).and_then(|n| i32::try_from(n).ok());
        let ticks = integer(eval, row, "up_time_ticks").and_then(|n| u32::try_from(n).ok());
        Some(Alert {
            index: Some(number(row)),
            severity: coded(eval, row, "severity", Table::AlertSeverity),
            training: coded(eval, row, "training", Table::AlertTraining),
            group: coded(eval, row, "group", Table::AlertGroup),
            group_index: small("group_index").filter(|n| *n != -1),
            location: small("location"),
            code: coded(eval, row, "code", Table::AlertCode),
            description: text(eval, row, "description"),
            up_time_ticks: ticks,
            time: arose(read_at, up_time_ticks, ticks),
            ..Alert::default()
        })
    })
}

/// When an alert arose by the site's clock: the reading's time less the age that sysUpTime gives it. Nothing when
/// sysUpTime is the smaller one (it wrapped, or the alert is from before the last start).
fn arose(read_at: Timestamp, now: Option<u32>, then: Option<u32>) -> Option<Timestamp> {
    let age = now?.checked_sub(then?)?;
    let time = read_at.checked_sub(SignedDuration::from_secs(i64::from(age / 100))).ok()?;
    Timestamp::from_second(time.as_second()).ok()
}

/// PWG's state in lower case, from hrDeviceStatus, hrPrinterStatus and the alerts (standards.md 1.3).
pub fn state(device: Option<&Coded>, printer: Option<&Coded>, alerts: &[Alert]) -> Option<String> {
    let word = |coded: Option<&Coded>| coded.map(|coded| coded.label.clone()).unwrap_or_default();
    let has = |label: &str| alerts.iter().any(|alert| alert.code.as_ref().is_some_and(|code| code.label == label));
    let critical = alerts.iter().any(|alert| alert.severity.as_ref().is_some_and(|s| s.label == "critical"));
    let state = match (word(device).as_str(), word(printer).as_str()) {
        ("down", _) => "down",
        ("testing", _) => "testing",
        (_, "printing") => "processing",
        (_, "idle" | "warmup") if critical => "stopped",
        (_, "idle" | "warmup") => "idle",
        (_, "other") if has("subunitPowerSaver") => "idle",
        (_, "other") => "other",
        (_, "unknown") => "unknown",
        _ => return None,
    };
    Some(state.to_owned())
}
