//! Writes elements; every character of every text goes through `clean` and is escaped here.

use std::borrow::Cow;
use std::fmt::{Display, Write};

use jiff::Timestamp;

use super::chars::clean;

/// Most characters of an attribute.
const ATTRIBUTE: usize = super::chars::OIDS;

/// The time as every batch writes it. Nothing is measured finer, and nine digits of chance in each device would be sealed.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// XML that grows.
#[derive(Default)]
pub(crate) struct Out(String);

/// Name and value of an attribute.
pub(crate) type Attribute<'a> = (&'static str, Cow<'a, str>);

impl Out {
    /// Begins with the XML declaration.
    pub(crate) fn document() -> Self {
        Self(r#"<?xml version="1.0" encoding="UTF-8"?>"#.to_owned())
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// An element with what `body` writes in it; an empty one closes itself.
    pub(crate) fn element(&mut self, name: &str, attributes: &[Attribute<'_>], body: impl FnOnce(&mut Self)) {
        self.0.push('<');
        self.0.push_str(name);
        for (name, value) in attributes {
            let _ = write!(self.0, r#" {name}=""#);
            self.escape(&clean(value, ATTRIBUTE), true);
            self.0.push('"');
        }
        self.0.push('>');
        let start = self.0.len();
        body(self);
        if self.0.len() == start {
            self.0.insert(start - 1, '/');
        } else {
            let _ = write!(self.0, "</{name}>");
        }
    }

    /// An element with a text of at most `cap` characters.
    pub(crate) fn leaf(&mut self, name: &str, attributes: &[Attribute<'_>], text: &str, cap: usize) {
        self.element(name, attributes, |out| out.escape(&clean(text, cap), false));
    }

    /// The same without attributes, and nothing where there is no text.
    pub(crate) fn text(&mut self, name: &str, text: Option<&str>, cap: usize) {
        if let Some(text) = text {
            self.leaf(name, &[], text, cap);
        }
    }

    /// An element with a number or a word of ours; nothing where there is none.
    pub(crate) fn value(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            let _ = write!(self.0, "<{name}>{value}</{name}>");
        }
    }

    /// An element with a time, in whole seconds; nothing where there is none.
    pub(crate) fn time(&mut self, name: &str, time: Option<Timestamp>) {
        self.value(name, time.map(seconds));
    }

    /// What was written before, by this very writer.
    pub(crate) fn written(&mut self, xml: &str) {
        self.0.push_str(xml);
    }

    /// White space in an attribute, and CR in a text, only survives a reader as a character reference.
    fn escape(&mut self, text: &str, in_attribute: bool) {
        let reference = |byte| match byte {
            b'&' => Some("&amp;"),
            b'<' => Some("&lt;"),
            b'>' => Some("&gt;"),
            b'"' if in_attribute => Some("&quot;"),
            b'\t' if in_attribute => Some("&#9;"),
            b'\n' if in_attribute => Some("&#10;"),
            b'\r' => Some("&#13;"),
            _ => None,
        };
        let mut from = 0;
        for (at, reference) in text.bytes().enumerate().filter_map(|(at, byte)| Some((at, reference(byte)?))) {
            self.0.push_str(&text[from..at]);
            self.0.push_str(reference);
            from = at + 1;
        }
        self.0.push_str(&text[from..]);
    }
}
