//! Numbers, times and names in the words of the pages. Pure.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};

pub use crate::clock::local;

/// A number with narrow spaces between thousands, which no country mistakes for a decimal point.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number that may not be known.
pub fn grouped_or_dash(number: Option<u64>) -> String {
    number.map_or_else(|| "–".to_owned(), grouped)
}

/// A number of things: `1 device`, `2 devices`.
pub fn counted(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { more })
}

/// What a sweep found.
pub fn swept(asked: u32, answered: u32, printers: u32) -> String {
    format!(
        "{}, {} answered, {}",
        counted(asked.into(), "address", "addresses"),
        grouped(answered.into()),
        counted(printers.into(), "printer", "printers")
    )
}

/// How long ago, in one unit: `just now`, `12 min`, `3 h`, `9 days`.
pub fn age(at: Timestamp, now: Timestamp) -> String {
    let passed = now.duration_since(at).max(SignedDuration::ZERO);
    let minutes = passed.as_mins();
    match minutes {
        0..=1 => "just now".to_owned(),
        2..=119 => format!("{minutes} min"),
        120..=2_879 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}

/// Ranges of numbers, at most six of them: `3–4, 8`.
pub fn ranges(ranges: &[(u64, u64)]) -> String {
    let mut words: Vec<String> = ranges
        .iter()
        .take(6)
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}–{last}") })
        .collect();
    if ranges.len() > 6 {
        words.push(format!("and {} more ranges", ranges.len() - 6));
    }
    words.join(", ")
}

/// A counter's key in words: `print.full_color_impressions` reads `Print · full color impressions`.
pub fn counter_name(key: &str) -> String {
    let (service, rest) = key.split_once('.').unwrap_or(("", key));
    let service = match service {
        "fax_in" => "Fax in".to_owned(),
        "fax_out" => "Fax out".to_owned(),
        "email_out" => "E-mail out".to_owned(),
        other => capitalized(other),
    };
    format!("{service} · {}", rest.replace(['_', '.'], " "))
}

/// With a capital at the start.
pub fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

/// A registered label as words: `inputMediaSupplyLow` reads `input media supply low`.
pub fn label(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for letter in text.chars() {
        if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
        before = letter;
    }
    words
}

/// A text for the value of a query: everything but letters, digits and `-._~` becomes `%xx`.
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut link, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            link.push(char::from(byte));
        } else {
            let _ = write!(link, "%{byte:02X}");
        }
        link
    })
}

/// The style class of a colorant; colours that are not known are drawn like any other supply.
pub fn ink_class(colorant: Option<&str>) -> &'static str {
    match colorant {
        Some("black" | "photo-black" | "matte-black" | "photo black" | "matte black") => "ink-black",
        Some("cyan") => "ink-cyan",
        Some("magenta") => "ink-magenta",
        Some("yellow") => "ink-yellow",
        Some("light-cyan" | "light cyan") => "ink-light-cyan",
        Some("light-magenta" | "light magenta") => "ink-light-magenta",
        Some("gray" | "grey" | "light-gray" | "light gray") => "ink-gray",
        Some("red") => "ink-red",
        Some("green") => "ink-green",
        Some("blue") => "ink-blue",
        Some("orange") => "ink-orange",
        _ => "ink-other",
    }
}

/// The style class of what is left of a supply.
pub fn level_class(percent: u8) -> &'static str {
    match percent {
        0..=5 => "level-empty",
        6..=15 => "level-low",
        _ => "level-good",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1 000"), (184_213, "184 213"), (4_294_967_295, "4 294 967 295")]
        {
            assert_eq!(grouped(number).replace('\u{202f}', " "), text);
        }
        assert_eq!(grouped_or_dash(None), "–");
    }

    #[test]
    fn one_is_told_from_more() {
        assert_eq!(
            (counted(1, "device", "devices"), counted(2, "device", "devices")),
            ("1 device".into(), "2 devices".into())
        );
    }

    #[test]
    fn ages_have_one_unit() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        for (seconds, text) in
            [(-50, "just now"), (119, "just now"), (180, "3 min"), (7_200, "2 h"), (172_800, "2 days")]
        {
            assert_eq!(age(now - SignedDuration::from_secs(seconds), now), text);
        }
    }

    #[test]
    fn labels_and_keys_read_as_words() {
        assert_eq!(label("inputMediaSupplyLow"), "input media supply low");
        assert_eq!(counter_name("print.full_color_impressions"), "Print · full color impressions");
        assert_eq!(counter_name("fax_in.impressions"), "Fax in · impressions");
        assert_eq!(ranges(&[(3, 4), (8, 8)]), "3–4, 8");
        assert_eq!(ranges(&[(1, 1); 8]), "1, 1, 1, 1, 1, 1, and 2 more ranges");
    }
}
