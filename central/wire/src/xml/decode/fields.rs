//! Reads fields into their slots: the first of a name counts, what does not parse is remembered and passed over.

use std::str::FromStr;

use crate::reading::{Coded, Evidence, LevelState, Text};
use crate::xml::NAMESPACE;
use crate::xml::chars::{LONG, OIDS, SHORT};
use crate::xml::cursor::{Cursor, Element, Malformed};
use crate::xml::words::level_state;

use super::Notes;

/// Attributes of schema 1.0, whatever element they stand on.
const ATTRIBUTES: [&str; 30] = [
    "at",
    "basis",
    "code",
    "confidence",
    "created",
    "detail",
    "dueNext",
    "field",
    "from",
    "id",
    "index",
    "lang",
    "mapping",
    "markerIndex",
    "minReader",
    "name",
    "oid",
    "part",
    "parts",
    "previous",
    "raw",
    "reason",
    "rule",
    "schemaVersion",
    "scope",
    "sequence",
    "sha256",
    "site",
    "to",
    "unit",
];

/// The cursor, what it has passed over, and the first fault of the device that is being read.
pub(super) struct Fields<'x> {
    pub(super) cursor: Cursor<'x>,
    pub(super) notes: Notes,
    fault: Option<String>,
    /// `notes.unknown` before the attributes of the newest child were looked at.
    unknown_before: u32,
}

impl<'x> Fields<'x> {
    pub(super) fn new(cursor: Cursor<'x>) -> Self {
        Self { cursor, notes: Notes::default(), fault: None, unknown_before: 0 }
    }

    /// Enters the root.
    pub(super) fn root(&mut self) -> Result<Element, Malformed> {
        let root = self.cursor.root()?;
        self.look_at_attributes(&root);
        Ok(root)
    }

    /// Enters the next child, or leaves the element we are in and says `None` after its last.
    pub(super) fn child(&mut self) -> Result<Option<Element>, Malformed> {
        let child = self.cursor.child()?;
        if let Some(child) = &child {
            self.look_at_attributes(child);
        }
        Ok(child)
    }

    fn look_at_attributes(&mut self, element: &Element) {
        self.unknown_before = self.notes.unknown;
        self.notes.unknown += element.attributes_beside(&ATTRIBUTES);
    }

    /// What is wrong with the device read since the last call.
    pub(super) fn take_fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    /// Something else stands where a number is due.
    pub(super) fn fault(&mut self, what: String) {
        self.notes.unreadable += 1;
        self.fault.get_or_insert(what);
    }

    /// Skips the child that was just entered: not known here. It counts once, with all that is in it.
    pub(super) fn unknown(&mut self) -> Result<(), Malformed> {
        self.notes.unknown = self.unknown_before + 1;
        self.cursor.skip()
    }

    /// Skips the element we are in: it stands again.
    pub(super) fn repeated(&mut self) -> Result<(), Malformed> {
        self.notes.repeated += 1;
        self.cursor.skip()
    }

    /// Fills a slot with the first value.
    pub(super) fn keep<T>(&mut self, slot: &mut Option<T>, value: Option<T>) {
        match (&slot, value) {
            (None, value) => *slot = value,
            (Some(_), Some(_)) => self.notes.repeated += 1,
            (Some(_), None) => {}
        }
    }

    /// A container, read by `read` once.
    pub(super) fn part<T>(
        &mut self,
        slot: &mut Option<T>,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<(), Malformed> {
        if slot.is_some() {
            return self.repeated();
        }
        *slot = Some(read(self)?);
        Ok(())
    }

    /// A container of rows; those over `max` are left out, and those that `row` gives up are counted as unreadable.
    pub(super) fn list<T>(
        &mut self,
        slot: &mut Option<Vec<T>>,
        max: usize,
        name: &str,
        mut row: impl FnMut(&Element, &mut Self) -> Result<Option<T>, Malformed>,
    ) -> Result<(), Malformed> {
        self.part(slot, |fields| {
            let mut rows = Vec::new();
            while let Some(child) = fields.child()? {
                if child.name_in(NAMESPACE) != Some(name) {
                    fields.unknown()?;
                } else if rows.len() == max {
                    fields.notes.over_limit += 1;
                    fields.cursor.skip()?;
                } else if let Some(value) = row(&child, fields)? {
                    rows.push(value);
                } else {
                    fields.notes.unreadable += 1;
                }
            }
            Ok(rows)
        })
    }

    /// A text.
    pub(super) fn text(&mut self, slot: &mut Option<String>, cap: usize) -> Result<(), Malformed> {
        let text = self.cursor.text(cap)?;
        self.keep(slot, Some(text));
        Ok(())
    }

    /// One of several texts.
    pub(super) fn texts(&mut self, list: &mut Vec<String>) -> Result<(), Malformed> {
        list.push(self.cursor.text(SHORT)?);
        Ok(())
    }

    /// A text with its evidence.
    pub(super) fn evident(&mut self, element: &Element, slot: &mut Option<Text>) -> Result<(), Malformed> {
        let value = self.cursor.text(LONG)?;
        self.keep(slot, Some(Text { value, evidence: evidence(element) }));
        Ok(())
    }

    /// A label with its number.
    pub(super) fn coded(&mut self, element: &Element, slot: &mut Option<Coded>) -> Result<(), Malformed> {
        let label = self.cursor.text(SHORT)?;
        let code = element.attribute("code").and_then(|code| self.parsed(element.local_name(), code));
        self.keep(slot, Some(Coded { label, code }));
        Ok(())
    }

    /// A number; anything else is a fault.
    pub(super) fn number<N: FromStr>(&mut self, slot: &mut Option<N>) -> Result<(), Malformed> {
        let text = self.cursor.text(SHORT)?;
        let number = self.parsed("a number", text.trim_ascii());
        self.keep(slot, number);
        Ok(())
    }

    /// A number in an attribute; anything else is a fault.
    pub(super) fn number_attribute<N: FromStr>(&mut self, element: &Element, name: &str) -> Option<N> {
        element.attribute(name).and_then(|text| self.parsed(name, text))
    }

    /// A number in a text.
    pub(super) fn parsed<N: FromStr>(&mut self, what: &str, text: &str) -> Option<N> {
        let number = text.parse().ok();
        if number.is_none() {
            self.fault(format!("`{}` where {what} is due", text.chars().take(40).collect::<String>()));
        }
        number
    }

    /// A value that is passed over when it does not parse, because no number is lost by it.
    pub(super) fn value<T>(
        &mut self,
        slot: &mut Option<T>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<(), Malformed> {
        let text = self.cursor.text(SHORT)?;
        let value = parse(text.trim_ascii());
        self.notes.unreadable += u32::from(value.is_none());
        self.keep(slot, value);
        Ok(())
    }

    /// The same in an attribute.
    pub(super) fn attribute<T>(
        &mut self,
        element: &Element,
        name: &str,
        slot: &mut Option<T>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) {
        if let Some(text) = element.attribute(name) {
            *slot = parse(text);
            self.notes.unreadable += u32::from(slot.is_none());
        }
    }

    /// `Actual`, `NotEmpty`, `Unknown` or `Other`.
    pub(super) fn level_state(&mut self, slot: &mut Option<LevelState>) -> Result<(), Malformed> {
        self.value(slot, level_state)
    }
}

/// The evidence attributes.
pub(super) fn evidence(element: &Element) -> Evidence {
    let text =
        |name: &str, cap: usize| element.attribute(name).map(|text| crate::xml::chars::clean(text, cap).into_owned());
    Evidence {
        oid: text("oid", OIDS),
        rule: text("rule", SHORT),
        unverified: element.attribute("confidence") == Some("unverified"),
    }
}
