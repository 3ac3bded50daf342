//! A scan for a person at a terminal of 80 columns: the printers, then in plain words what became of every address.
//!
//! Texts of devices are hostile: control characters never reach the terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use meterpost_wire::reading::{Basis, Count, LevelState, Outcome, Reading, Supply};

use super::{Device, Finding, Place, Scan, Summary, supply_name};
use crate::sweep::Verdict;

/// How the terminal takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Columns; less than 60 is taken as 60.
    pub width: u16,
    /// Whether colours and bars may be used.
    pub color: bool,
}

/// Alerts shown for each printer; the rest is counted.
const ALERTS_MAX: usize = 2;

/// Addresses shown for each verdict unless all are asked for; the rest is counted. Printers are what was looked for: all of
/// them are shown.
const FINDINGS_MAX: usize = 12;

/// The scan as a table with its summary beneath. `all` lists every verdict instead of the first few of each kind.
pub fn table(scan: &Scan, look: Look, all: bool) -> String {
    let mut text = String::new();
    if !scan.devices.is_empty() {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(look.width.max(60))
            .set_header(["ADDRESS", "PRINTER", "PAGES", "SUPPLIES"].map(|name| paint(name, Paint::Strong, look)));
        for device in &scan.devices {
            table.add_row([device.address.to_string(), printer(device, look), pages(device), supplies(device, look)]);
        }
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for line in table.lines() {
            text += line.trim_end();
            text.push('\n');
        }
        text += &legend(&scan.devices);
    }
    if let Some(sweep) = &scan.sweep {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &summary(sweep, scan, look, all);
    }
    text
}

/// Brand and model, then serial number and name, then what is wrong.
fn printer(device: &Device, look: Look) -> String {
    let reading = &device.reading;
    let mut lines = vec![make_and_model(reading)];
    let identity = reading.identity.as_ref();
    let serial = identity.and_then(|identity| identity.serial_number.as_ref()).map(|text| clean(&text.value));
    let host = reading.network.as_ref().and_then(|network| network.host_name.as_deref()).map(clean);
    let names: Vec<String> = serial.into_iter().chain(host).collect();
    if !names.is_empty() {
        lines.push(paint(&names.join("  "), Paint::Faint, look));
    }
    match reading.outcome {
        Outcome::Complete => {}
        Outcome::Partial => lines.push(paint("! some objects got no answer", Paint::Warning, look)),
        Outcome::Unreachable => lines.push(paint("! does not answer", Paint::Warning, look)),
        Outcome::Denied => lines.push(paint("! refuses the credentials", Paint::Warning, look)),
        Outcome::Unmapped => lines.push(paint("(standard objects only)", Paint::Faint, look)),
    }
    let alerts: Vec<String> = reading
        .alerts
        .iter()
        .flat_map(|alerts| &alerts.rows)
        .filter_map(|alert| {
            let described = alert.description.as_deref().map(clean).filter(|text| !text.is_empty());
            described.or_else(|| alert.code.as_ref().map(|code| code.label.clone()))
        })
        .collect();
    for alert in alerts.iter().take(ALERTS_MAX) {
        lines.push(paint(&format!("! {alert}"), Paint::Warning, look));
    }
    if alerts.len() > ALERTS_MAX {
        lines.push(paint(&format!("! and {} more", alerts.len() - ALERTS_MAX), Paint::Warning, look));
    }
    lines.join("\n")
}

fn make_and_model(reading: &Reading) -> String {
    let Some(identity) = &reading.identity else { return "printer".to_owned() };
    let words: Vec<String> =
        [&identity.vendor, &identity.model].into_iter().flatten().map(|text| clean(&text.value)).collect();
    match (words.is_empty(), &identity.make_and_model) {
        (false, _) => words.join(" "),
        (true, Some(both)) => clean(both),
        (true, None) => "printer".to_owned(),
    }
}

/// The billing total, then mono and colour where they are known.
fn pages(device: &Device) -> String {
    let counters = || device.reading.counters.iter().flatten();
    let count = |key: &str| counters().find(|(name, _)| name.as_str() == key).map(|(_, count)| number(count));
    let mut lines = vec![count("system.impressions").unwrap_or_else(|| "not known".to_owned())];
    if let Some(color) = count("system.full_color_impressions") {
        lines.extend(count("system.monochrome_impressions").map(|mono| format!("mono {mono}")));
        lines.push(format!("color {color}"));
    }
    lines.join("\n")
}

/// `7 342`, with a mark for what was computed or is in doubt.
fn number(count: &Count) -> String {
    let mark = match count.basis {
        Basis::Actual => "",
        Basis::Derived => "~",
        Basis::Suspect => "?",
    };
    grouped(count.value) + mark
}

/// Thousands apart by a blank: a comma would be a decimal sign to half of the readers.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn legend(devices: &[Device]) -> String {
    let bases = |basis| {
        devices
            .iter()
            .flat_map(|device| device.reading.counters.iter().flatten())
            .any(|(key, count)| key.as_str().starts_with("system.") && count.basis == basis)
    };
    match (bases(Basis::Derived), bases(Basis::Suspect)) {
        (false, false) => String::new(),
        (true, false) => "\n~ computed from other counters\n".to_owned(),
        (false, true) => "\n? in doubt: it contradicts other counters\n".to_owned(),
        (true, true) => "\n~ computed from other counters   ? in doubt: it contradicts other counters\n".to_owned(),
    }
}

/// Toners and inks by the initials of their colours, then what else somebody must see to soon.
fn supplies(device: &Device, look: Look) -> String {
    let Some(supplies) = &device.reading.supplies else { return String::new() };
    let (mut inks, others): (Vec<&Supply>, Vec<&Supply>) = supplies.iter().partition(|supply| {
        let kind = supply.kind.as_ref().map(|kind| kind.label.as_str());
        supply.colorant.is_some() && matches!(kind, Some("toner" | "tonerCartridge" | "ink" | "inkCartridge"))
    });
    let usual = ["black", "cyan", "magenta", "yellow"];
    inks.sort_by_key(|supply| {
        let colorant = supply.colorant.as_deref().unwrap_or_default();
        usual.iter().position(|name| *name == colorant).unwrap_or(usual.len())
    });
    let pairs = inks
        .chunks(INKS_PER_LINE)
        .map(|pair| pair.iter().map(|supply| ink(supply, look)).collect::<Vec<_>>().join(" "));
    let low = others.iter().filter_map(|supply| {
        let percent = supply.percent.filter(|percent| *percent <= LOW_PERCENT)?;
        Some(paint(&format!("{} {percent}%", clean(&supply_name(supply))), Paint::Warning, look))
    });
    pairs.chain(low).collect::<Vec<_>>().join("\n")
}

/// Two are 13 letters wide: the printer's name needs the room.
const INKS_PER_LINE: usize = 2;

/// At or below this a supply is shown as one that somebody must see to.
const LOW_PERCENT: u8 = 10;

/// `K 50%`, or a coloured bar of one letter's width and the number.
fn ink(supply: &Supply, look: Look) -> String {
    let colorant = supply.colorant.as_deref().unwrap_or_default();
    let initial = initial(colorant);
    let level = match (supply.percent, supply.level_state) {
        (Some(percent), _) => format!("{percent}%"),
        (None, Some(LevelState::SomeRemaining)) => "some".to_owned(),
        (None, Some(LevelState::Unrestricted)) => "n/a".to_owned(),
        (None, _) => "?".to_owned(),
    };
    match supply.percent {
        Some(percent) if look.color => {
            const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
            let bar = BARS[usize::from(percent.min(100)) * 7 / 100];
            let bar = paint(&bar.to_string(), Paint::Colorant(colorant), look);
            let level = if percent <= LOW_PERCENT { paint(&level, Paint::Warning, look) } else { level };
            format!("{initial}{bar}{level}")
        }
        _ => format!("{initial} {level}"),
    }
}

/// The printers' own letters for the colours, the first letters of the words for what has none.
fn initial(colorant: &str) -> String {
    match colorant {
        "black" => "K".to_owned(),
        other => {
            other.split('-').filter_map(|word| word.chars().next()).map(|first| first.to_ascii_uppercase()).collect()
        }
    }
}

enum Paint<'a> {
    Strong,
    Faint,
    Warning,
    Colorant(&'a str),
}

fn paint(text: &str, paint: Paint<'_>, look: Look) -> String {
    if !look.color {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Strong => "1",
        Paint::Faint => "2",
        Paint::Warning => "33",
        Paint::Colorant(colorant) => match colorant.rsplit('-').next().unwrap_or_default() {
            "cyan" => "36",
            "magenta" => "35",
            "yellow" => "33",
            "red" => "31",
            "green" => "32",
            "blue" => "34",
            _ => "37",
        },
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// Without control characters, and in one line.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// What was asked, what became of it, and that nothing was changed.
fn summary(sweep: &Summary, scan: &Scan, look: Look, all: bool) -> String {
    let mut text = format!(
        "{} asked in {}: {} sent, {} came back\n",
        plural(sweep.addresses, "address", "addresses"),
        plural(seconds(sweep.ended_at.duration_since(sweep.started_at)), "second", "seconds"),
        plural(sweep.traffic.requests, "packet", "packets"),
        grouped(sweep.traffic.responses),
    );
    // silent addresses are listed only when they were asked for; excluded ones and names are none of those to be asked
    let is_listed =
        |finding: &&Finding| finding.verdict != Verdict::Excluded && matches!(finding.place, Place::Address(_));
    let unlisted = sweep.addresses.saturating_sub(scan.verdicts.iter().filter(is_listed).count() as u64);
    for (verdict, one, many) in SAID {
        let findings: Vec<&Finding> = scan.verdicts.iter().filter(|finding| finding.verdict == verdict).collect();
        let count = findings.len() as u64 + if verdict == Verdict::Silent { unlisted } else { 0 };
        if count == 0 {
            continue;
        }
        text += &format!("  {} {}\n", grouped(count), if count == 1 { one } else { many });
        // the printers are in the table, unless they were only to be found
        let in_table = verdict == Verdict::Printer && !scan.devices.is_empty();
        let shown = if in_table {
            0
        } else if all || verdict == Verdict::Printer {
            findings.len()
        } else {
            findings.len().min(FINDINGS_MAX)
        };
        for finding in &findings[..shown] {
            let line = format!("      {}  {}", finding.place, finding.detail.as_deref().map(clean).unwrap_or_default());
            text += &cut(line.trim_end(), look.width);
            text.push('\n');
        }
        if !in_table && shown < findings.len() {
            text += &format!("      and {} more; --verdicts lists all\n", findings.len() - shown);
        }
    }
    text + "read requests only: nothing was changed, nothing was sent on\n"
}

/// At most so many letters; what is missing shows as `…`.
fn cut(line: &str, width: u16) -> String {
    let width = usize::from(width.max(60));
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width - 1).chain(['…']).collect()
}

/// Rounded up: what was asked took some time.
fn seconds(passed: jiff::SignedDuration) -> u64 {
    let passed = passed.unsigned_abs();
    passed.as_secs() + u64::from(passed.subsec_nanos() > 0)
}

fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// Verdicts in the order in which they are told, with the words for one and for several.
const SAID: [(Verdict, &str, &str); 7] = [
    (Verdict::Printer, "printer", "printers"),
    (Verdict::NotPrinter, "not a printer", "not printers"),
    (Verdict::WrongCredential, "refuses the credentials", "refuse the credentials"),
    (Verdict::Unreachable, "unreachable", "unreachable"),
    (Verdict::BudgetEnded, "not asked, or not read to the end", "not asked, or not read to the end"),
    (Verdict::Excluded, "excluded: never asked", "excluded: never asked"),
    (Verdict::Silent, "silent", "silent"),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::show::sample;

    #[test]
    fn a_table_is_plain_where_there_is_no_colour() {
        expect![[r#"
             ADDRESS     PRINTER               PAGES  SUPPLIES
             127.30.0.7  Printomat P2040dw     7 342  K 50%
                         VCF1234567  KMB902DE
                         ! Add paper [2J

            4 addresses asked in 5 seconds: 21 packets sent, 9 came back
              1 printer
              1 not a printer
                  127.30.0.5  Linux switch
              1 refuses the credentials
                  127.30.0.6  wrong digest
              1 silent
                  127.30.0.9
            read requests only: nothing was changed, nothing was sent on
        "#]]
        .assert_eq(&table(&sample::scan(), Look { width: 80, color: false }, false));
    }

    #[test]
    fn colours_bring_bars_and_no_control_character_of_a_device_comes_through() {
        let text = table(&sample::scan(), Look { width: 80, color: true }, false);
        expect![[r#"
             ESC[1mADDRESSESC[0m     ESC[1mPRINTERESC[0m               ESC[1mPAGESESC[0m  ESC[1mSUPPLIESESC[0m
             127.30.0.7  Printomat P2040dw     7 342  KESC[37m▄ESC[0m50%
                         ESC[2mVCF1234567  KMB902DEESC[0m
                         ESC[33m! Add paper [2JESC[0m

            4 addresses asked in 5 seconds: 21 packets sent, 9 came back
              1 printer
              1 not a printer
                  127.30.0.5  Linux switch
              1 refuses the credentials
                  127.30.0.6  wrong digest
              1 silent
                  127.30.0.9
            read requests only: nothing was changed, nothing was sent on
        "#]]
        .assert_eq(&text.replace('\u{1b}', "ESC"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut scan = sample::scan();
        let mut long = sample::device();
        long.address = "2001:db8:1234:5678:9abc:def0:1234:5678".parse().unwrap();
        let identity = long.reading.identity.as_mut().unwrap();
        identity.model = Some("a model with a name that goes on and on and on for no good reason 碳粉".into());
        identity.serial_number = Some("S".repeat(100).as_str().into());
        scan.devices.push(long);
        for width in [60, 80, 132] {
            let text = table(&scan, Look { width, color: false }, true);
            for line in text.lines() {
                assert!(line.chars().count() <= usize::from(width), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn a_scan_of_less_than_a_second_took_one() {
        let mut scan = sample::scan();
        let sweep = scan.sweep.as_mut().unwrap();
        sweep.ended_at = sweep.started_at + jiff::SignedDuration::from_millis(3);
        let text = table(&scan, Look { width: 80, color: false }, false);
        assert!(text.contains(" asked in 1 second:"), "{text}");
    }

    #[test]
    fn printers_that_were_only_to_be_found_are_listed() {
        let scan = Scan { devices: Vec::new(), ..sample::scan() };
        let text = table(&scan, Look { width: 80, color: false }, false);
        assert!(text.contains("  1 printer\n      127.30.0.7\n"), "{text}");
    }

    #[test]
    fn all_printers_that_were_only_to_be_found_are_listed_and_of_others_the_first_few() {
        let mut scan = Scan { devices: Vec::new(), ..sample::scan() };
        for verdict in [Verdict::Printer, Verdict::NotPrinter] {
            scan.verdicts.extend((1..=40).map(|last| Finding {
                place: Place::Address([127, 30, 1, last].into()),
                verdict,
                detail: None,
            }));
        }
        let text = table(&scan, Look { width: 80, color: false }, false);
        assert_eq!(text.matches("      127.30.1.").count(), 40 + FINDINGS_MAX - 1, "{text}");
        assert!(text.contains("      and 29 more; --verdicts lists all\n"), "{text}");
    }

    #[test]
    fn only_those_that_were_to_be_asked_can_be_silent() {
        let mut scan = sample::scan();
        scan.verdicts.retain(|finding| finding.verdict != Verdict::Silent);
        let places = [Place::Address([127, 30, 0, 8].into()), Place::Name("nobody.example".to_owned())];
        for (place, verdict) in places.into_iter().zip([Verdict::Excluded, Verdict::Unreachable]) {
            scan.verdicts.push(Finding { place, verdict, detail: None });
        }
        let text = table(&scan, Look { width: 80, color: false }, false);
        assert!(text.contains("  1 silent\n") && text.contains("  1 unreachable\n      nobody.example\n"), "{text}");
    }

    #[test]
    fn thousands_stand_apart() {
        for (value, written) in [(0, "0"), (999, "999"), (1_000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(value), written);
        }
    }
}
