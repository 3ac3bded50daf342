//! Walks XML from strangers, for batches and for SOAP: names by namespace, never by prefix, and a limit on everything.
//!
//! quick-xml expands no entity, does no input or output and is linear in everything; what it leaves open is closed here:
//! depth, number of attributes, document types, text after the root, a text that ends in the middle.

use std::borrow::Cow;

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;

use super::chars::clean;

/// Deepest nesting, the root included.
const DEPTH_MAX: usize = 32;

/// Most attributes of an element, declarations of namespaces not counted: of those quick-xml takes 128 in scope.
const ATTRIBUTES_MAX: usize = 16;

/// Most characters of an attribute; more are cut.
const ATTRIBUTE_MAX: usize = 4_096;

/// Not well-formed, or over a limit: nothing of the text can be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not XML that is taken here, at byte {at}: {why}")]
pub(crate) struct Malformed {
    at: u64,
    why: Cow<'static, str>,
}

/// A place in an XML text.
pub(crate) struct Cursor<'x> {
    text: &'x str,
    reader: NsReader<&'x [u8]>,
    known: &'static [&'static str],
    instructions: Instructions,
    depth: usize,
}

/// What to do with processing instructions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// Batches: skipped.
    Ignored,
    /// SOAP 1.1 forbids them.
    Refused,
}

/// An element that has just been entered.
pub(crate) struct Element {
    namespace: Option<&'static str>,
    name: String,
    attributes: Vec<Attribute>,
    start: usize,
}

/// Namespace, local name, value.
type Attribute = (Option<&'static str>, String, String);

impl Element {
    /// Its local name when it is of the namespace, else nothing: a stranger's element of a known name is not ours.
    pub(crate) fn name_in(&self, namespace: &str) -> Option<&str> {
        (self.namespace == Some(namespace)).then_some(self.name.as_str())
    }

    /// Its local name, whatever the namespace.
    pub(crate) fn local_name(&self) -> &str {
        &self.name
    }

    /// An attribute without a prefix.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attribute_in(None, name)
    }

    /// An attribute of a known namespace.
    pub(crate) fn attribute_in(&self, namespace: Option<&str>, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(of, known, _)| *of == namespace && known == name);
        found.map(|(.., value)| value.as_str())
    }

    /// How many attributes it has with other names than these, or of another namespace.
    pub(crate) fn attributes_beside(&self, known: &[&str]) -> u32 {
        let others = self
            .attributes
            .iter()
            .filter(|(namespace, name, _)| namespace.is_some() || !known.contains(&name.as_str()));
        others.count() as u32
    }
}

enum Token {
    Start(Element),
    Text(String),
    End,
    Eof,
}

impl<'x> Cursor<'x> {
    /// At the start of a text, byte order mark or not. Elements of other namespaces than the `known` ones have none.
    pub(crate) fn new(text: &'x str, known: &'static [&'static str], instructions: Instructions) -> Self {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Self { text, reader, known, instructions, depth: 0 }
    }

    /// Enters the root.
    pub(crate) fn root(&mut self) -> Result<Element, Malformed> {
        match self.token()? {
            Token::Start(element) => Ok(element),
            _ => Err(self.malformed("no element")),
        }
    }

    /// Enters the next child of the element we are in, or leaves it and says `None` after its last. Text is passed over.
    pub(crate) fn child(&mut self) -> Result<Option<Element>, Malformed> {
        loop {
            match self.token()? {
                Token::Start(element) => return Ok(Some(element)),
                Token::Text(_) => {}
                Token::End => return Ok(None),
                Token::Eof => return Err(self.malformed("ends in the middle")),
            }
        }
    }

    /// The text of the element we are in, cut to `cap` characters, and leaves it; elements in it are skipped.
    pub(crate) fn text(&mut self, cap: usize) -> Result<String, Malformed> {
        let mut text = String::new();
        loop {
            match self.token()? {
                Token::Start(_) => self.skip()?,
                // a character has at most 4 bytes; what is longer is cut below whatever follows
                Token::Text(piece) if text.len() <= cap * 4 => text.push_str(&piece),
                Token::Text(_) => {}
                Token::End => return Ok(clean(&text, cap).into_owned()),
                Token::Eof => return Err(self.malformed("ends in the middle")),
            }
        }
    }

    /// Leaves the element we are in, with all that is in it.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        let outside = self.depth - 1;
        while self.depth > outside {
            if let Token::Eof = self.token()? {
                return Err(self.malformed("ends in the middle"));
            }
        }
        Ok(())
    }

    /// After the root's end: only white space and comments up to the text's end.
    pub(crate) fn finish(&mut self) -> Result<(), Malformed> {
        match self.token()? {
            Token::Eof => Ok(()),
            _ => Err(self.malformed("something after the root")),
        }
    }

    /// The element that was just left, as it stands in the text.
    pub(crate) fn raw(&self, element: &Element) -> &'x str {
        &self.text[element.start..self.position()]
    }

    fn position(&self) -> usize {
        self.reader.buffer_position() as usize
    }

    fn malformed(&self, why: impl Into<Cow<'static, str>>) -> Malformed {
        Malformed { at: self.reader.buffer_position(), why: why.into() }
    }

    fn token(&mut self) -> Result<Token, Malformed> {
        loop {
            let start = self.position();
            let event = self.reader.read_event().map_err(|error| self.malformed(error.to_string()))?;
            match event {
                Event::Start(tag) => return self.enter(&tag, start).map(Token::Start),
                Event::Empty(_) => unreachable!("empty elements are expanded"),
                Event::End(_) => {
                    self.depth -= 1;
                    return Ok(Token::End);
                }
                Event::Text(text) => {
                    let text = text.xml10_content();
                    if self.depth > 0 {
                        return Ok(Token::Text(text.into_owned()));
                    }
                    if !text.trim_ascii().is_empty() {
                        return Err(self.malformed("text outside the root"));
                    }
                }
                Event::CData(text) if self.depth > 0 => return Ok(Token::Text(text.xml10_content().into_owned())),
                Event::GeneralRef(reference) if self.depth > 0 => {
                    let text = match reference.resolve_char_ref() {
                        Ok(Some(c)) => c.to_string(),
                        Ok(None) => self.entity(&reference)?.to_owned(),
                        Err(error) => return Err(self.malformed(error.to_string())),
                    };
                    return Ok(Token::Text(text));
                }
                Event::CData(_) | Event::GeneralRef(_) => return Err(self.malformed("text outside the root")),
                Event::DocType(_) => return Err(self.malformed("a document type")),
                Event::PI(_) if self.instructions == Instructions::Refused => {
                    return Err(self.malformed("a processing instruction"));
                }
                Event::Decl(declaration) => {
                    let encoding = declaration.encoding().and_then(Result::ok);
                    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("utf-8")) {
                        return Err(self.malformed("an encoding other than UTF-8"));
                    }
                }
                Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => return Ok(Token::Eof),
            }
        }
    }

    fn entity(&self, name: &str) -> Result<&'static str, Malformed> {
        quick_xml::escape::resolve_predefined_entity(name).ok_or_else(|| self.malformed("an entity that XML has not"))
    }

    fn enter(&mut self, tag: &BytesStart<'_>, start: usize) -> Result<Element, Malformed> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.malformed("nested deeper than 32"));
        }
        let (namespace, name) = self.reader.resolver().resolve_element(tag.name());
        let element = Element {
            namespace: self.known(namespace),
            name: name.as_ref().to_owned(),
            attributes: self.attributes(tag)?,
            start,
        };
        Ok(element)
    }

    fn attributes(&self, tag: &BytesStart<'_>) -> Result<Vec<Attribute>, Malformed> {
        let mut attributes = Vec::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|error| self.malformed(error.to_string()))?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            if attributes.len() == ATTRIBUTES_MAX {
                return Err(self.malformed("an element with more than 16 attributes"));
            }
            let value = attribute.normalized_value(XmlVersion::Explicit1_0);
            let value = value.map_err(|error| self.malformed(error.to_string()))?;
            let (namespace, name) = self.reader.resolver().resolve_attribute(attribute.key);
            let namespace = match namespace {
                ResolveResult::Unbound => None,
                other => Some(self.known(other).unwrap_or(UNKNOWN)),
            };
            attributes.push((namespace, name.as_ref().to_owned(), clean(&value, ATTRIBUTE_MAX).into_owned()));
        }
        Ok(attributes)
    }

    fn known(&self, namespace: ResolveResult<'_>) -> Option<&'static str> {
        match namespace {
            ResolveResult::Bound(namespace) => self.known.iter().copied().find(|known| *known == namespace.as_ref()),
            ResolveResult::Unbound | ResolveResult::Unknown(_) => None,
        }
    }
}

/// Stands for every namespace that is not known, so that its attributes never pass for those without one.
const UNKNOWN: &str = "?";
