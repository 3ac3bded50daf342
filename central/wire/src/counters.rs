//! The names of counters: `<service>.<counter>`, the same words in mapping files, JSON, CSV and the web page.

use std::fmt;

/// Services with a scope of their own in the XML, in the order in which they are written, with that scope's element.
pub const SERVICES: [(&str, &str); 7] = [
    ("system", "SystemTotals"),
    ("print", "PrintServiceCounters"),
    ("copy", "CopyServiceCounters"),
    ("fax_in", "FaxInServiceCounters"),
    ("fax_out", "FaxOutServiceCounters"),
    ("scan", "ScanServiceCounters"),
    ("email_out", "EmailOutServiceCounters"),
];

/// Counters of a service, in the order of the schema, with their elements (PWG 5106.1 and our three `Large…`).
pub const COUNTERS: [(&str, &str); 19] = [
    ("impressions", "Impressions"),
    ("monochrome_impressions", "MonochromeImpressions"),
    ("full_color_impressions", "FullColorImpressions"),
    ("highlight_color_impressions", "HighlightColorImpressions"),
    ("blank_impressions", "BlankImpressions"),
    ("impressions_two_sided", "ImpressionsTwoSided"),
    ("monochrome_impressions_two_sided", "MonochromeImpressionsTwoSided"),
    ("full_color_impressions_two_sided", "FullColorImpressionsTwoSided"),
    ("highlight_color_impressions_two_sided", "HighlightColorImpressionsTwoSided"),
    ("blank_impressions_two_sided", "BlankImpressionsTwoSided"),
    ("large_impressions", "LargeImpressions"),
    ("large_monochrome_impressions", "LargeMonochromeImpressions"),
    ("large_full_color_impressions", "LargeFullColorImpressions"),
    ("images", "Images"),
    ("monochrome_images", "MonochromeImages"),
    ("full_color_images", "FullColorImages"),
    ("input_messages", "InputMessages"),
    ("output_messages", "OutputMessages"),
    ("media_sheets", "MediaSheets"),
];

/// Work classes: the first is what nearly every device gives and is left out of the key.
pub const CLASSES: [(&str, &str); 5] = [
    ("", "WorkTotals"),
    ("data_stream", "DataStream"),
    ("auxiliary", "Auxiliary"),
    ("maintenance", "Maintenance"),
    ("waste", "Waste"),
];

/// A counter's name, checked when made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey(String);

/// A text that names no counter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no counter: `<service>.<counter>` or `vendor.<snake_case>` would")]
pub struct UnknownCounter(pub String);

impl CounterKey {
    /// Takes `<service>.<counter>`, `<service>.<class>.<counter>` and `vendor.<name>`, the name in snake case, starting
    /// with a letter, of at most 63 characters.
    pub fn parse(text: &str) -> Result<Self, UnknownCounter> {
        let known = match text.split_once('.') {
            Some(("vendor", name)) => is_vendor_name(name),
            Some((service, rest)) => {
                let (class, counter) = rest.split_once('.').unwrap_or(("", rest));
                SERVICES.iter().any(|(word, _)| *word == service)
                    && CLASSES.iter().any(|(word, _)| *word == class)
                    && COUNTERS.iter().any(|(word, _)| *word == counter)
            }
            None => false,
        };
        if known { Ok(Self(text.to_owned())) } else { Err(UnknownCounter(text.to_owned())) }
    }

    /// The key as it is written everywhere.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name behind `vendor.`, for counters without a place in PWG's model.
    pub fn vendor_name(&self) -> Option<&str> {
        self.0.strip_prefix("vendor.")
    }
}

impl fmt::Display for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_vendor_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_contract_are_taken_and_others_refused() {
        for good in ["system.impressions", "fax_in.impressions", "system.waste.impressions", "vendor.two_sided"] {
            assert_eq!(CounterKey::parse(good).map(|key| key.to_string()), Ok(good.to_owned()));
        }
        for bad in ["impressions", "system.pages", "vendor.Two", "vendor.", "fax.impressions", "system.waste"] {
            assert_eq!(CounterKey::parse(bad), Err(UnknownCounter(bad.to_owned())));
        }
    }
}
