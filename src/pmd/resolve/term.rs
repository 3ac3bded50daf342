//! The smallest parts: words of a closed list, OIDs, templates, indexes and patterns.

use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;

use super::super::guard;
use super::super::pattern::Pattern;
use super::super::raw::RawColumn;
use super::super::rule::{Part, Template};
use super::Resolver;
use crate::snmp::Oid;

/// Characters of a pattern.
const PATTERN_CHARS_MAX: usize = 500;

impl Resolver<'_> {
    pub(super) fn confidence(&mut self, raw: Option<&Spanned<String>>) -> Option<bool> {
        self.word(raw, "confidence", &["verified", "unverified"]).map(|choice| choice == 1)
    }

    /// Which of the words it is.
    pub(super) fn word(&mut self, raw: Option<&Spanned<String>>, key: &str, known: &[&str]) -> Option<usize> {
        let raw = raw?;
        let found = known.iter().position(|word| word == raw.get_ref());
        if found.is_none() {
            let known = known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ");
            self.fault(raw.span(), format!("`{key}` is `{}`: {known} would be right", raw.get_ref()));
        }
        found
    }

    /// Rows usually there.
    pub(super) fn expect(&mut self, raw: Option<&Spanned<i64>>) -> Option<usize> {
        let raw = raw?;
        let n = *raw.get_ref();
        if !(1..=50).contains(&n) {
            self.fault(raw.span(), format!("`expect` is {n}: 1 to 50 would be right"));
        }
        usize::try_from(n).ok()
    }

    pub(super) fn column(&mut self, column: &Spanned<RawColumn>, table: Option<&Oid>) -> Option<Oid> {
        match (column.get_ref(), table) {
            (RawColumn::Short(n), Some(table)) => {
                let oid = table.join(&[*n]);
                self.guard(&oid, false, column.span())?;
                Some(oid)
            }
            (RawColumn::Short(n), None) => {
                self.fault(
                    column.span(),
                    format!("`column = {n}` is short for a column of a row set's `table`; there is none here"),
                );
                None
            }
            (RawColumn::Oid(text), _) => self.oid(text, column.span(), false),
        }
    }

    pub(super) fn oid(&mut self, text: &str, at: Range<usize>, whole: bool) -> Option<Oid> {
        match text.parse::<Oid>() {
            Ok(oid) => {
                self.guard(&oid, whole, at)?;
                Some(oid)
            }
            Err(error) => {
                self.fault(at, error.to_string());
                None
            }
        }
    }

    pub(super) fn guard(&mut self, oid: &Oid, whole: bool, at: Range<usize>) -> Option<()> {
        match guard::refused(oid, whole) {
            None => Some(()),
            Some(reason) => {
                self.fault(at, format!("`{oid}` may not be asked: {reason}"));
                None
            }
        }
    }

    /// An OID with `{device}` in it.
    pub(super) fn template(&mut self, text: &str, at: Range<usize>, value_ends: bool) -> Option<Template> {
        let parts: Option<Vec<Part>> = text.split('.').map(part).collect();
        let parts = parts.filter(|parts| {
            parts.iter().all(|part| *part != Part::Any)
                && parts.iter().filter(|part| **part == Part::Value).count() == usize::from(value_ends)
                && (!value_ends || parts.last() == Some(&Part::Value))
        });
        let Some(parts) = parts else {
            let form =
                if value_ends { "numbers, `{device}`, and `{value}` at the end" } else { "numbers and `{device}`" };
            self.fault(at, format!("`{text}` is not an OID: {form} with dots between them would be"));
            return None;
        };
        let template = Template(parts);
        // 1 stands for any device: no denied tree depends on it
        self.guard(&template.with_value(1, 1), false, at)?;
        Some(template)
    }

    pub(super) fn lookup(&mut self, text: &Spanned<String>) -> Option<Template> {
        self.template(text.get_ref(), text.span(), true)
    }

    pub(super) fn index(&mut self, text: &Spanned<String>) -> Option<Template> {
        let parts: Option<Vec<Part>> = text.get_ref().split('.').map(part).collect();
        match parts.filter(|parts| parts.iter().all(|part| *part != Part::Value)) {
            Some(parts) => Some(Template(parts)),
            None => {
                let text_ = text.get_ref();
                self.fault(
                    text.span(),
                    format!("`{text_}` is no index: numbers, `{{device}}` and `*` with dots between them would be"),
                );
                None
            }
        }
    }

    pub(super) fn pattern(&mut self, text: &Spanned<String>) -> Option<Pattern> {
        if text.get_ref().chars().count() > PATTERN_CHARS_MAX {
            self.fault(text.span(), format!("a pattern of more than {PATTERN_CHARS_MAX} characters"));
            return None;
        }
        if self.proven {
            return Some(Pattern::proven(text.get_ref()));
        }
        match Pattern::new(text.get_ref()) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or("not a pattern").trim_start_matches("error: ");
                self.fault(text.span(), format!("`{}` is not a pattern: {reason}", text.get_ref()));
                None
            }
        }
    }
}

fn part(text: &str) -> Option<Part> {
    match text {
        "{device}" => Some(Part::Device),
        "{value}" => Some(Part::Value),
        "*" => Some(Part::Any),
        number => u32::from_str(number).ok().map(Part::Arc),
    }
}
