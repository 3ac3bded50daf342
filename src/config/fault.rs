//! What is wrong with a configuration, and how to say it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Why there is no configuration to work with. All of it is exit code 2.
#[derive(Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It can, and says something that cannot be meant.
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Everything wrong with it, at least one.
        faults: Vec<Fault>,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => write!(f, "cannot read configuration `{}`: {reason}", path.display()),
            Self::Wrong { path, faults } => {
                for (n, fault) in faults.iter().enumerate() {
                    let line_end = if n > 0 { "\n" } else { "" };
                    write!(f, "{line_end}`{}` line {}: {}", path.display(), fault.line, fault.what)?;
                    if let Some(hint) = &fault.hint {
                        write!(f, "\n  hint: {hint}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Keys that the configuration of later versions has, each with one that stands beside it.
const LATER: [(&str, &str); 1] = [("read", "alerts")];

/// One thing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// The key, what was found and what would be right.
    pub what: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault at a place of the text.
    pub fn at(text: &str, span: &Range<usize>, what: String) -> Self {
        Self { line: line(text, span.start), what, hint: None }
    }

    /// The same fault with a next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the TOML reader found, in our words where it is an unknown or a missing key.
    pub fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or(0..0);
        let message = error.message();
        let table = table_at(text, span.start);
        if let Some(rest) = message.strip_prefix("unknown field `")
            && let Some((key, known)) = rest.split_once('`')
        {
            let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
            let place = table.filter(|_| key_at(text, span.start).is_some()).map(|table| format!(" in `{table}`"));
            let fault = Self::at(text, &span, format!("unknown key `{key}`{}", place.unwrap_or_default()));
            if LATER.iter().any(|(beside, later)| *later == key && known.contains(beside)) {
                return fault.hint("a later version has it, this one does not: leave it out");
            }
            return match nearest(key, &known) {
                Some(right) => fault.hint(format!("`{right}` is the nearest key")),
                None => fault.hint(format!("keys here are {}", listed(&known))),
            };
        }
        if let Some(key) = message.strip_prefix("missing field ") {
            let place = table.unwrap_or_else(|| "the file".to_owned());
            return Self::at(text, &span, format!("`{place}` has no key {key}"));
        }
        // a heading of the other kind: what stands once has one bracket, what may stand several times two
        if message.starts_with("invalid type")
            && key_at(text, span.start).is_none()
            && let Some(found) = table
        {
            let name = found.trim_matches(['[', ']']);
            let right = if found.starts_with("[[") { format!("[{name}]") } else { format!("[[{name}]]") };
            return Self::at(text, &span, format!("`{found}`: `{right}` would be right"));
        }
        let words = message.replace('\n', ", ").replace("expected i64", "expected a whole number");
        let words = match words.split_once(", expected struct") {
            Some((found, _)) => format!("{found}, expected a table"),
            None => words,
        };
        // the reader speaks of types only where the syntax was right
        let key =
            key_at(text, span.start).filter(|_| message.starts_with("invalid type") || message == "duplicate key");
        let what = match key {
            Some(key) => format!("`{key}`: {words}"),
            None => format!("this is not TOML: {words}"),
        };
        Self::at(text, &span, what)
    }
}

/// `` `a`, `b`, `c` ``.
pub fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The word that was probably meant: at most two changes away, and fewer than half of its letters.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(changes, candidate)| *changes <= 2 && changes * 2 < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters added, left out, changed or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    rows[i - 2][j - 2] + 1
                } else {
                    usize::MAX
                };
                changed.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}

fn line(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The key on the line of a place; none on a heading.
fn key_at(text: &str, offset: usize) -> Option<&str> {
    let start = text[..offset.min(text.len())].rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next()?.trim();
    line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.starts_with('['))
}

/// The heading above a place, as written: `[schedule]`.
fn table_at(text: &str, offset: usize) -> Option<String> {
    let before = &text[..text[offset.min(text.len())..].find('\n').map_or(text.len(), |end| offset + end)];
    before
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| line.starts_with('['))
        .map(|line| line.rfind(']').map_or(line, |end| &line[..=end]).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_known_again() {
        let known = ["schedule", "site", "sweep"];
        assert_eq!(nearest("scheduel", &known), Some("schedule"));
        assert_eq!(nearest("swep", &known), Some("sweep"));
        assert_eq!(nearest("sit", &known), Some("site"));
        assert_eq!(nearest("printers", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
