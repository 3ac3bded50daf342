//! Patterns of mapping files: regular expressions without regard to case, compiled when they are first needed.
//!
//! To compile all those inside the program costs 50 ms and some megabytes, and a run needs those of the families that it
//! meets. A pattern that a person wrote is compiled at once, because its faults are to be told when its file is loaded.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

use super::PATTERN_BYTES_MAX;

/// A pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    compiled: OnceLock<Regex>,
}

impl Pattern {
    /// Compiles it at once.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        Ok(Self { text: text.to_owned(), compiled: OnceLock::from(compile(text)?) })
    }

    /// One that a test has compiled: it stands in a file inside the program.
    pub fn proven(text: &str) -> Self {
        Self { text: text.to_owned(), compiled: OnceLock::new() }
    }
}

impl Deref for Pattern {
    type Target = Regex;

    /// # Panics
    /// When a [`Pattern::proven`] is not one.
    fn deref(&self) -> &Regex {
        self.compiled.get_or_init(|| compile(&self.text).unwrap_or_else(|error| panic!("`{}`: {error}", self.text)))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).case_insensitive(true).size_limit(PATTERN_BYTES_MAX).build()
}
