//! What a field wants made of a value: one line of text, a model without its brand, a count, a level.

use super::datum::{Datum, Lost};
use super::eval::Evaluator;
use super::kind::Kind;
use super::text;

/// Words that stand for a level.
const STATES: [&str; 3] = ["some_remaining", "unknown", "unrestricted"];

impl Evaluator<'_> {
    /// Makes of a value what the field wants.
    pub(super) fn shape(&self, datum: Datum, kind: Kind) -> Result<Datum, Lost> {
        let number = |datum: &Datum| {
            datum.number().ok_or_else(|| Lost::Rejected(format!("{} is no number", datum.shown(self.charset()))))
        };
        match kind {
            Kind::Any => Ok(datum),
            Kind::Count => match number(&datum)?.round() {
                n if (0.0..=9_007_199_254_740_992.0).contains(&n) => Ok(Datum::Int(n as i64)),
                n => Err(Lost::Rejected(format!("{n} is no count"))),
            },
            Kind::Number => Ok(Datum::Int(number(&datum)?.round() as i64)),
            Kind::Level => match &datum {
                Datum::Text(word) if STATES.contains(&word.as_str()) => Ok(datum),
                _ => match number(&datum)? {
                    n if n >= -3.0 => Ok(Datum::Int((n + 0.5).floor() as i64)),
                    n => Err(Lost::Rejected(format!("{n} is no level"))),
                },
            },
            Kind::Text | Kind::Model | Kind::Serial | Kind::Firmware => {
                if let Datum::Label(_) = datum {
                    return Ok(datum);
                }
                let mut text = datum.line(self.charset()).into_owned();
                if self.words().find("placeholders", &text).is_some() {
                    return Err(Lost::NotSupported(self.worded(|| format!("`{text}` says nothing"))));
                }
                if kind == Kind::Serial && self.words().find("bogus_serials", &text).is_some() {
                    return Err(Lost::Rejected(format!("`{text}` is no serial number")));
                }
                if kind == Kind::Firmware {
                    text = self.cut(&["firmware_cuts"], text);
                    if text.is_empty() {
                        return Err(Lost::NotSupported(self.worded(|| "it names no firmware".to_owned())));
                    }
                }
                if kind == Kind::Model {
                    if self.words().find("print_servers", &text).is_some() {
                        return Err(Lost::Rejected(format!("`{text}` is a print server")));
                    }
                    text = self.cut(&["vendor_prefixes", "model_cuts"], text);
                    if self.words().find("placeholders", &text).is_some()
                        || self.words().find("print_servers", &text).is_some()
                    {
                        return Err(Lost::Rejected(format!("`{text}` is no model")));
                    }
                }
                Ok(Datum::Text(text))
            }
        }
    }

    /// What shared lists of patterns leave of a text: a model without the brand in front, a firmware without `Ver.`.
    fn cut(&self, lists: &[&str], mut text: String) -> String {
        for list in lists.iter().filter_map(|name| self.words().list(name)) {
            text = text::clean(&list.cut(&text));
        }
        text
    }
}
