//! A table of the file while it is read: whatever is not taken from it is unknown.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::parse::rules_of;
use super::{RawFault, RawField, RawRule};

/// A table being read: what is taken is gone, what is left at the end is unknown.
pub struct Section<'i> {
    what: &'static str,
    pub at: Range<usize>,
    pub table: DeTable<'i>,
    asked: Vec<&'static str>,
}

impl<'i> Section<'i> {
    pub fn new(table: Spanned<DeTable<'i>>, what: &'static str) -> Self {
        Self { what, at: table.span(), table: table.into_inner(), asked: Vec::new() }
    }

    pub fn of(value: Spanned<DeValue<'i>>, what: &'static str, name: &str, faults: &mut Vec<RawFault>) -> Option<Self> {
        let at = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Some(Self::new(Spanned::new(at, table), what)),
            other => {
                let name = if name.is_empty() { String::new() } else { format!("`{name}` ") };
                let found = other.type_str();
                faults.push(RawFault { at, text: format!("{name}is {found}: {what} is a table, `{{ … }}`") });
                None
            }
        }
    }

    fn remove(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.asked.push(key);
        self.table.remove(key)
    }

    pub fn take<T: DeserializeOwned>(&mut self, key: &'static str, faults: &mut Vec<RawFault>) -> Option<Spanned<T>> {
        let value = self.remove(key)?;
        let at = value.span();
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(Spanned::new(at, value)),
            Err(error) => {
                faults.push(RawFault { at, text: format!("`{key}`: {}", error.message()) });
                None
            }
        }
    }

    pub fn texts(&mut self, key: &'static str, faults: &mut Vec<RawFault>) -> Vec<Spanned<String>> {
        self.take::<Vec<Spanned<String>>>(key, faults).map(Spanned::into_inner).unwrap_or_default()
    }

    pub fn table(&mut self, key: &'static str, faults: &mut Vec<RawFault>) -> Option<Self> {
        let value = self.remove(key)?;
        let what = if key == "tlv" { "`tlv`" } else { "a section" };
        Self::of(value, what, key, faults)
    }

    /// One table or a list of tables.
    pub fn tables(&mut self, key: &'static str, what: &'static str, faults: &mut Vec<RawFault>) -> Vec<Self> {
        let Some(value) = self.remove(key) else { return Vec::new() };
        let at = value.span();
        match value.into_inner() {
            DeValue::Array(list) => list.into_iter().filter_map(|item| Self::of(item, what, key, faults)).collect(),
            other => Self::of(Spanned::new(at, other), what, key, faults).into_iter().collect(),
        }
    }

    /// A table with free keys.
    pub fn pairs<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        faults: &mut Vec<RawFault>,
    ) -> Vec<(Spanned<String>, Spanned<T>)> {
        let Some(value) = self.remove(key) else { return Vec::new() };
        let Some(section) = Self::of(value, "it", key, faults) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (name, value) in section.table {
            let at = value.span();
            match T::deserialize(ValueDeserializer::from(value)) {
                Ok(value) => {
                    let name = Spanned::new(name.span(), name.into_inner().into_owned());
                    pairs.push((name, Spanned::new(at, value)));
                }
                Err(error) => {
                    faults.push(RawFault { at, text: format!("`{key}.{}`: {}", name.get_ref(), error.message()) });
                }
            }
        }
        pairs
    }

    pub fn rules(&mut self, key: &'static str, faults: &mut Vec<RawFault>) -> Option<Spanned<Vec<RawRule>>> {
        let value = self.remove(key)?;
        let at = value.span();
        Some(Spanned::new(at, rules_of(value, faults)))
    }

    /// All keys are names of fields.
    pub fn fields(self, prefix: &str, faults: &mut Vec<RawFault>) -> Vec<RawField> {
        self.table
            .into_iter()
            .map(|(key, value)| RawField {
                name: Spanned::new(key.span(), format!("{prefix}.{}", key.get_ref())),
                rules: rules_of(value, faults),
            })
            .collect()
    }

    pub fn end(self, faults: &mut Vec<RawFault>) {
        for (key, _) in &self.table {
            let known = self.asked.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" ");
            faults.push(RawFault {
                at: key.span(),
                text: format!("`{}` is no key of {}: {known} are", key.get_ref(), self.what),
            });
        }
    }
}
