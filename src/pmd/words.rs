//! Word lists shared by all mapping files: what devices say in many languages → one word of ours. The lists are data,
//! `pmd/words.toml`, so that a language or a brand never needs Rust.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::pattern::Pattern;
use crate::snmp::Oid;

/// How a list compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// The text contains the word.
    Contains,
    /// The text begins with the word.
    Begins,
    /// The text is the word.
    Exact,
    /// The text is an OID under the word; the longest wins.
    Oid,
    /// The words are patterns.
    Pattern,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    by: Mode,
    words: Vec<RawWord>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWord {
    #[serde(default)]
    is: String,
    of: Vec<String>,
}

/// All lists.
#[derive(Clone, Debug, Default)]
pub struct Words {
    lists: BTreeMap<String, Arc<WordList>>,
}

/// One list, its words in order: the first hit wins, so longer words stand before the shorter ones in them.
#[derive(Debug)]
pub struct WordList {
    /// Its name.
    pub name: String,
    words: Vec<(String, Vec<Word>)>,
}

#[derive(Debug)]
enum Word {
    Contains { word: String, letters: u64 },
    Begins(String),
    Exact(String),
    Oid(Oid),
    Pattern(Pattern),
}

impl Words {
    /// Reads `words.toml`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let raw: BTreeMap<String, RawList> = toml::from_str(text).map_err(|error| error.to_string())?;
        let proven = text == super::WORDS;
        let mut lists = BTreeMap::new();
        for (name, list) in raw {
            let mut words = Vec::new();
            for word in list.words {
                let of: Result<Vec<Word>, String> =
                    word.of.iter().map(|text| Word::new(list.by, text, proven)).collect();
                words.push((word.is, of.map_err(|error| format!("list `{name}`: {error}"))?));
            }
            lists.insert(name.clone(), Arc::new(WordList { name, words }));
        }
        Ok(Self { lists })
    }

    /// The list of that name.
    pub fn list(&self, name: &str) -> Option<&Arc<WordList>> {
        self.lists.get(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lists.keys().map(String::as_str)
    }

    /// What the list says of a text; nothing where there is no such list.
    pub fn find(&self, list: &str, text: &str) -> Option<&str> {
        self.lists.get(list)?.find(text)
    }
}

impl Word {
    fn new(mode: Mode, text: &str, proven: bool) -> Result<Self, String> {
        let folded = text.to_lowercase();
        Ok(match mode {
            Mode::Contains => Self::Contains { letters: letters(&folded), word: folded },
            Mode::Begins => Self::Begins(folded),
            Mode::Exact => Self::Exact(folded),
            Mode::Oid => {
                let oid: Oid = format!("1.3.6.1.4.1.{text}").parse().map_err(|error| format!("{error}"))?;
                Self::Oid(oid)
            }
            Mode::Pattern if proven => Self::Pattern(Pattern::proven(text)),
            Mode::Pattern => Self::Pattern(Pattern::new(text).map_err(|error| error.to_string())?),
        })
    }

    /// How well it fits: 0 not at all.
    fn fits(&self, text: &Folded) -> usize {
        let yes = match self {
            Self::Contains { word, letters } => text.letters & letters == *letters && contains(&text.text, word),
            Self::Begins(word) => text.text.strip_prefix(word.as_str()).is_some_and(|rest| !starts_with_letter(rest)),
            Self::Exact(word) => text.text.trim() == word,
            Self::Oid(root) => {
                return text.oid.as_ref().filter(|oid| oid.is_under(root)).map_or(0, |_| root.arcs().len());
            }
            Self::Pattern(pattern) => pattern.is_match(&text.text),
        };
        usize::from(yes)
    }
}

/// A text as it is compared with every word of a list.
struct Folded {
    text: String,
    oid: Option<Oid>,
    letters: u64,
}

impl Folded {
    fn new(text: &str) -> Self {
        let text = text.to_lowercase();
        let oid = if text.starts_with(|c: char| c == '.' || c.is_ascii_digit()) { text.parse().ok() } else { None };
        Self { letters: letters(&text), oid, text }
    }
}

/// Which bytes are in a text, 64 kinds of them: one that lacks a word's bytes does not contain the word, and most do.
fn letters(text: &str) -> u64 {
    text.bytes().fold(0, |letters, byte| letters | 1 << (byte % 64))
}

impl WordList {
    /// The word for a text.
    pub fn find(&self, text: &str) -> Option<&str> {
        let folded = Folded::new(text);
        let mut best: Option<(usize, &str)> = None;
        for (is, words) in &self.words {
            let fit = words.iter().map(|word| word.fits(&folded)).max().unwrap_or(0);
            if fit > best.map_or(0, |(fit, _)| fit) {
                best = Some((fit, is));
            }
        }
        best.map(|(_, is)| is)
    }

    /// All words that it may say, in order.
    pub fn results(&self) -> Vec<String> {
        self.words.iter().map(|(is, _)| is.clone()).collect()
    }

    /// Cuts every match of the list's patterns out of a text.
    pub fn cut(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for word in self.words.iter().flat_map(|(_, words)| words) {
            if let Word::Pattern(pattern) = word {
                text = pattern.replace_all(&text, "").into_owned();
            }
        }
        text
    }
}

/// A short Latin word must begin a word of the text: `ink` is not in `Zinkplatte`, `toner` is in `Resttoner`.
fn contains(text: &str, word: &str) -> bool {
    let short = word.is_ascii() && word.len() <= 4;
    text.match_indices(word).any(|(at, _)| !short || !text[..at].ends_with(char::is_alphabetic))
}

fn starts_with_letter(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
}
