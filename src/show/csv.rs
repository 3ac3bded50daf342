//! One row for each printer, for spreadsheets and scripts (RFC 4180: comma, CRLF, quotes doubled).
//!
//! The columns are [`COLUMNS`], then the counters: the three that are billed always, any other that some printer of the
//! scan has behind them in the order of their names, headed by their keys. An empty cell means not known, never zero. A
//! text that a spreadsheet would take for a formula has a `'` in front: printers' names are anybody's to choose.

use std::collections::BTreeSet;

use meterpost_wire::CounterKey;
use meterpost_wire::reading::Supply;

use super::{Device, Scan, supply_name};

/// The columns before the counters. `supplies` lists `name percent%`, or the level with its unit, or the state where there
/// is no percentage, with `; ` between; `lowest_percent` is the least of the percentages; `alerts` is the number of open ones.
const COLUMNS: [&str; 16] = [
    "address",
    "outcome",
    "read_at",
    "key",
    "vendor",
    "model",
    "serial_number",
    "asset_tag",
    "firmware",
    "system_name",
    "host_name",
    "location",
    "physical_addresses",
    "supplies",
    "lowest_percent",
    "alerts",
];

/// Counters that always have a column.
const ALWAYS: [&str; 3] = ["system.impressions", "system.monochrome_impressions", "system.full_color_impressions"];

/// The printers of a scan as a table with a heading.
pub fn csv(scan: &Scan) -> String {
    let seen: BTreeSet<&str> = scan
        .devices
        .iter()
        .flat_map(|device| device.reading.counters.iter().flat_map(|counters| counters.keys()))
        .map(CounterKey::as_str)
        .filter(|key| !ALWAYS.contains(key))
        .collect();
    let counters: Vec<&str> = ALWAYS.into_iter().chain(seen).collect();
    let mut text = row(COLUMNS.iter().chain(&counters).map(|name| (*name).to_owned()));
    for device in &scan.devices {
        text += &row(cells(device).into_iter().chain(counters.iter().map(|key| counter(device, key))));
    }
    text
}

/// What became of every address that is listed, for a sweep that read nothing.
pub fn csv_of_verdicts(scan: &Scan) -> String {
    let heading = row(["address", "verdict", "detail"].into_iter().map(str::to_owned));
    let rows = scan.verdicts.iter().map(|finding| {
        let detail = finding.detail.clone().unwrap_or_default();
        row([finding.place.to_string(), finding.verdict.as_str().to_owned(), detail].into_iter())
    });
    heading + &rows.collect::<String>()
}

fn cells(device: &Device) -> [String; COLUMNS.len()] {
    let reading = &device.reading;
    let identity = reading.identity.as_ref();
    let network = reading.network.as_ref();
    let supplies = reading.supplies.as_deref().unwrap_or_default();
    let plain = |text: Option<&String>| text.cloned().unwrap_or_default();
    [
        device.address.to_string(),
        reading.outcome.as_str().to_owned(),
        reading.read_at.to_string(),
        reading.key.clone(),
        plain(identity.and_then(|identity| identity.vendor.as_ref()).map(|text| &text.value)),
        plain(identity.and_then(|identity| identity.model.as_ref()).map(|text| &text.value)),
        plain(identity.and_then(|identity| identity.serial_number.as_ref()).map(|text| &text.value)),
        plain(identity.and_then(|identity| identity.asset_tag.as_ref()).map(|text| &text.value)),
        plain(identity.and_then(|identity| identity.firmwares.first()).map(|firmware| &firmware.version.value)),
        plain(identity.and_then(|identity| identity.system_name.as_ref())),
        plain(network.and_then(|network| network.host_name.as_ref())),
        plain(identity.and_then(|identity| identity.location.as_ref())),
        network.map(|network| network.physical_addresses.join(" ")).unwrap_or_default(),
        supplies
            .iter()
            .map(|supply| format!("{} {}", supply_name(supply), level(supply)))
            .collect::<Vec<_>>()
            .join("; "),
        supplies.iter().filter_map(|supply| supply.percent).min().map(|least| least.to_string()).unwrap_or_default(),
        reading.alerts.as_ref().map(|alerts| alerts.rows.len().to_string()).unwrap_or_default(),
    ]
}

/// `50%`, or `120 impressions` where nobody knows of how many, or the state.
fn level(supply: &Supply) -> String {
    let unit = supply.unit.as_ref().map(|unit| format!(" {}", unit.label)).unwrap_or_default();
    match (supply.percent, supply.level, supply.level_state) {
        (Some(percent), ..) => format!("{percent}%"),
        (None, Some(level), _) => format!("{level}{unit}"),
        (None, None, Some(state)) => state.as_str().to_owned(),
        (None, None, None) => "unknown".to_owned(),
    }
}

fn counter(device: &Device, key: &str) -> String {
    let counters = device.reading.counters.as_ref();
    counters
        .and_then(|counters| counters.iter().find(|(name, _)| name.as_str() == key))
        .map(|(_, count)| count.value.to_string())
        .unwrap_or_default()
}

fn row(cells: impl Iterator<Item = String>) -> String {
    cells.map(|text| cell(&text)).collect::<Vec<_>>().join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let guarded = match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n') => format!("'{text}"),
        _ => text.to_owned(),
    };
    if guarded.contains(['"', ',', '\r', '\n', ';']) || guarded.starts_with(' ') || guarded.ends_with(' ') {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::show::sample;

    #[test]
    fn a_printer_is_a_row_and_a_name_never_a_formula() {
        expect![[r#"
            address,outcome,read_at,key,vendor,model,serial_number,asset_tag,firmware,system_name,host_name,location,physical_addresses,supplies,lowest_percent,alerts,system.impressions,system.monochrome_impressions,system.full_color_impressions,vendor.marker_life_count
            127.30.0.7,complete,2026-01-29T23:25:02Z,sn:printomat:VCF1234567,Printomat,P2040dw,VCF1234567,,2RX_3000,'=cmd|' /C calc'!A0,KMB902DE,"2nd floor, ""the corner""",00:17:c8:b9:02:de,"black toner 50%; drum some_remaining",50,1,7342,,,7432
        "#]].assert_eq(&csv(&sample::scan()).replace("\r\n", "\n"));
    }

    #[test]
    fn a_level_without_a_percentage_is_told_with_its_unit() {
        use meterpost_wire::reading::LevelState;
        let supply = Supply { level: Some(120), level_state: Some(LevelState::Known), ..Supply::default() };
        assert_eq!(level(&supply), "120");
        assert_eq!(
            level(&Supply { level: None, level_state: Some(LevelState::SomeRemaining), ..supply }),
            "some_remaining"
        );
    }

    #[test]
    fn cells_that_a_spreadsheet_would_run_are_quoted_out() {
        for (text, written) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+49 30 1", "'+49 30 1"),
            ("-2", "'-2"),
            ("a=b", "a=b"),
            ("\t=1", "'\t=1"),
            ("say \"hi\", you", "\"say \"\"hi\"\", you\""),
            ("two\nlines", "\"two\nlines\""),
            ("", ""),
        ] {
            assert_eq!(cell(text), written, "{text:?}");
        }
    }
}
