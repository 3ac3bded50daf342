//! What is stored, for other programs: CSV or JSON, a row at a time, so that an export of any size fits in memory.
//!
//! CSV is RFC 4180 with CR LF. A text that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, tab
//! or CR) gets an apostrophe before it: device names are written by strangers. Numbers stand as they are, what is not
//! known is empty and never 0. JSON is one array; absent keys are not known. Vendor, model and serial number of a reading
//! are those of that reading, and the device's newest where it did not say.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::store::{Fleet, FleetRow, ReadingRow, ReadingsFrom, Store, StoreError};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Comma separated values with a line of names.
    Csv,
    /// One JSON array.
    Json,
}

/// Which rows are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// UUID of the only site.
    pub site: Option<String>,
    /// Effective time of the reading from here on.
    pub from: Option<Timestamp>,
    /// Effective time of the reading before this.
    pub to: Option<Timestamp>,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Nobody reads on, or the disk is full.
    #[error("cannot write the export: {0}")]
    Write(#[from] io::Error),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Counters with a column of their own in `readings`, in this order; others follow in `other_counters` as `key=value`.
const COUNTER_COLUMNS: [&str; 15] = [
    "system.impressions",
    "system.monochrome_impressions",
    "system.full_color_impressions",
    "system.impressions_two_sided",
    "system.large_impressions",
    "system.media_sheets",
    "print.impressions",
    "print.monochrome_impressions",
    "print.full_color_impressions",
    "copy.impressions",
    "copy.monochrome_impressions",
    "copy.full_color_impressions",
    "fax_in.impressions",
    "fax_out.images",
    "scan.images",
];

/// Writes the devices, one row each, as they stand now. Returns how many are left out because what is stored of them does
/// not open.
pub async fn devices(
    store: &Store,
    wanted: &Wanted,
    format: Format,
    out: &mut (impl Write + Send),
) -> Result<u64, ExportError> {
    let Fleet { rows: mut fleet, damaged } = store.fleet().await?;
    fleet.retain(|row| {
        wanted.site.as_ref().is_none_or(|site| *site == row.site)
            && wanted.from.is_none_or(|from| row.read_at.is_some_and(|at| at >= from))
            && wanted.to.is_none_or(|to| row.read_at.is_some_and(|at| at < to))
    });
    fleet.sort_by(|one, other| (&one.site_name, &one.summary.key).cmp(&(&other.site_name, &other.summary.key)));
    let mut rows = Rows::begin(format, WHO_COLUMNS.iter().chain(&DEVICE_COLUMNS), out)?;
    for row in &fleet {
        rows.write(device_cells(row, format))?;
    }
    rows.end()?;
    Ok(damaged)
}

/// Writes the readings, one row each, by effective time. Returns how many are left out because they do not open.
pub async fn readings(
    store: &Store,
    wanted: &Wanted,
    format: Format,
    out: &mut (impl Write + Send),
) -> Result<u64, ExportError> {
    let names = WHO_COLUMNS.iter().chain(&READING_COLUMNS).chain(&COUNTER_COLUMNS).chain(&FURTHER_COLUMNS);
    let mut rows = Rows::begin(format, names, out)?;
    let mut from = ReadingsFrom { site: wanted.site.clone(), from: wanted.from, to: wanted.to, after: None };
    let mut damaged = 0;
    loop {
        let page = store.readings(from.clone()).await?;
        for row in &page.rows {
            rows.write(reading_cells(row, format))?;
        }
        damaged += page.damaged;
        from.after = page.next;
        if from.after.is_none() {
            rows.end()?;
            return Ok(damaged);
        }
    }
}

/// What every row begins with.
const WHO_COLUMNS: [&str; 7] = ["site", "site_id", "device", "key", "vendor", "model", "serial_number"];

fn who_cells(site: [&str; 2], device: [&str; 2], who: [&Option<String>; 3]) -> Vec<Value> {
    site.iter().chain(&device).map(|text| json!(text)).chain(who.iter().map(|text| json!(text))).collect()
}

const DEVICE_COLUMNS: [&str; 15] = [
    "asset_tag",
    "name",
    "location",
    "address",
    "read_at",
    "outcome",
    "state",
    "system.impressions",
    "system.monochrome_impressions",
    "system.full_color_impressions",
    "lowest_supply",
    "lowest_supply_percent",
    "alerts",
    "worst_alert",
    "not_actual",
];

fn device_cells(row: &FleetRow, format: Format) -> Vec<Value> {
    let summary = &row.summary;
    let who = [&summary.vendor, &summary.model, &summary.serial];
    let mut cells = who_cells([&row.site_name, &row.site], [&row.id, &summary.key], who);
    cells.extend([
        json!(summary.asset_tag),
        json!(summary.name),
        json!(summary.location),
        json!(summary.address),
        json!(row.read_at.map(|at| at.to_string())),
        json!(summary.outcome),
        json!(summary.state),
        json!(summary.total),
        json!(summary.mono),
        json!(summary.color),
        json!(summary.lowest.as_ref().map(|lowest| &lowest.name)),
        json!(summary.lowest.as_ref().map(|lowest| lowest.percent)),
        json!(summary.alerts),
        json!(summary.worst.map(crate::derive::Severity::as_str)),
        pairs(summary.not_actual.iter().map(|(key, basis)| (key, json!(basis))), format),
    ]);
    cells
}

/// Counters and what is said of each in one cell: `key=word key=word` in CSV, an object in JSON. None are an empty cell.
fn pairs<'p>(pairs: impl Iterator<Item = (&'p String, Value)>, format: Format) -> Value {
    let pairs: Map<String, Value> = pairs.map(|(key, value)| (key.clone(), value)).collect();
    match format {
        _ if pairs.is_empty() => Value::Null,
        Format::Json => Value::Object(pairs),
        Format::Csv => {
            let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            json!(pairs.iter().map(|(key, value)| format!("{key}={}", word(value))).collect::<Vec<_>>().join(" "))
        }
    }
}

const READING_COLUMNS: [&str; 4] = ["read_at", "effective_at", "sequence", "outcome"];

/// What has no column of its own, and what was not simply read.
const FURTHER_COLUMNS: [&str; 2] = ["other_counters", "not_actual"];

fn reading_cells(row: &ReadingRow, format: Format) -> Vec<Value> {
    let who = [&row.who.vendor, &row.who.model, &row.who.serial];
    let mut cells = who_cells([&row.site_name, &row.site], [&row.device, &row.key], who);
    cells.extend([
        json!(row.read_at.to_string()),
        json!(row.effective_at.to_string()),
        json!(row.sequence),
        json!(row.outcome),
    ]);
    cells.extend(COUNTER_COLUMNS.iter().map(|key| json!(row.counters.get(*key).map(|count| count.value))));
    let others = row.counters.iter().filter(|(key, _)| !COUNTER_COLUMNS.contains(&key.as_str()));
    let doubtful = row.counters.iter().filter(|(_, count)| count.basis != "actual");
    cells.push(pairs(others.map(|(key, count)| (key, json!(count.value))), format));
    cells.push(pairs(doubtful.map(|(key, count)| (key, json!(count.basis))), format));
    cells
}

/// Rows on their way out.
struct Rows<'o, W: Write> {
    format: Format,
    names: Vec<String>,
    first: bool,
    out: &'o mut W,
}

impl<'o, W: Write> Rows<'o, W> {
    fn begin<'n>(format: Format, names: impl Iterator<Item = &'n &'n str>, out: &'o mut W) -> io::Result<Self> {
        let names: Vec<String> = names.map(|name| (*name).to_owned()).collect();
        match format {
            Format::Csv => write!(out, "{}\r\n", names.join(","))?,
            Format::Json => write!(out, "[")?,
        }
        Ok(Self { format, names, first: true, out })
    }

    fn write(&mut self, cells: Vec<Value>) -> io::Result<()> {
        match self.format {
            Format::Csv => write!(self.out, "{}\r\n", cells.iter().map(csv_cell).collect::<Vec<_>>().join(","))?,
            Format::Json => {
                let known = self.names.iter().cloned().zip(cells).filter(|(_, cell)| !cell.is_null());
                let object = Value::Object(known.collect());
                write!(self.out, "{}\n{object}", if self.first { "" } else { "," })?;
            }
        }
        self.first = false;
        Ok(())
    }

    fn end(self) -> io::Result<()> {
        if self.format == Format::Json {
            writeln!(self.out, "{}]", if self.first { "" } else { "\n" })?;
        }
        self.out.flush()
    }
}

fn csv_cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text,
        number => return number.to_string(),
    };
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let guarded = if formula { format!("'{text}") } else { text.clone() };
    if guarded.contains(['"', ',', '\r', '\n', ';', '\t', '\'']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Value, expected: &str) {
        assert_eq!(csv_cell(&value), expected);
    }

    #[test]
    fn a_name_that_a_spreadsheet_would_run_is_made_a_text() {
        check(json!("=HYPERLINK(\"http://x\")"), "\"'=HYPERLINK(\"\"http://x\"\")\"");
        for text in ["+1", "-1", "@x", "\tx", "\rx"] {
            assert!(csv_cell(&json!(text)).starts_with("\"'"), "{text:?}");
        }
        check(json!("HP LaserJet"), "HP LaserJet");
    }

    #[test]
    fn what_is_not_known_is_empty_and_never_zero() {
        check(Value::Null, "");
        check(json!(0), "0");
    }

    #[test]
    fn separators_and_line_ends_are_quoted() {
        check(json!("a,b"), "\"a,b\"");
        check(json!("a\nb"), "\"a\nb\"");
    }

    fn written(format: Format, rows: Vec<Vec<Value>>) -> String {
        let mut out = Vec::new();
        let mut writer = Rows::begin(format, ["a", "b"].iter(), &mut out).expect("memory");
        rows.into_iter().for_each(|row| writer.write(row).expect("memory"));
        writer.end().expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn json_leaves_out_what_is_not_known() {
        assert_eq!(written(Format::Json, vec![]), "[]\n");
        let text = written(Format::Json, vec![vec![json!(1), Value::Null], vec![json!(2), json!("x")]]);
        assert_eq!(text, "[\n{\"a\":1},\n{\"a\":2,\"b\":\"x\"}\n]\n");
        assert_eq!(written(Format::Csv, vec![vec![json!(1), Value::Null]]), "a,b\r\n1,\r\n");
    }
}
