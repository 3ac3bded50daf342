//! The forms in which an original may stand: as text in either case, as bytes, as text of hex digits, with two bytes a letter.

use super::pseudonym::{self, Digest};
use super::{Kind, Known};

/// Shorter originals are looked for as whole words only.
const FREE_MIN: usize = 6;
/// Shorter originals are replaced in the objects that hold nothing else, and nowhere besides.
pub const ANYWHERE_MIN: usize = 3;
/// Shorter ones are looked for in no OID.
const SPELLED_MIN: usize = 4;

/// One way in which an original is written.
pub struct Form {
    /// What it is.
    pub kind: Kind,
    /// As people write it.
    pub original: String,
    /// What is looked for; letters in lower case where case does not count.
    bytes: Vec<u8>,
    /// What stands in its place, in lower and in upper case.
    instead: [Vec<u8>; 2],
    edge: Edge,
    folds: bool,
    /// An OID may spell it.
    is_spelled: bool,
}

/// What may stand beside an original.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// Anything.
    Free,
    /// No digit and no dot with a digit.
    Number,
    /// No letter and no digit.
    Word,
    /// Nothing: it is the whole string.
    Whole,
}

/// All forms of all originals, the longest first.
pub fn of(known: &Known, digest: Digest<'_>) -> Vec<Form> {
    let mut forms = Vec::new();
    for (kind, original) in known.originals() {
        match kind {
            Kind::PhysicalAddress => mac(original, digest, &mut forms),
            _ => text(*kind, original, digest, &mut forms),
        }
    }
    forms.sort_by(|one: &Form, other| (other.bytes.len(), &one.bytes).cmp(&(one.bytes.len(), &other.bytes)));
    forms.dedup_by(|later, earlier| later.bytes == earlier.bytes);
    forms
}

impl Form {
    fn new(
        kind: Kind,
        original: &str,
        bytes: &[u8],
        instead: impl Fn(&[u8]) -> Vec<u8>,
        edge: Edge,
        folds: bool,
    ) -> Self {
        let (low, high) = match folds {
            true => (bytes.to_ascii_lowercase(), bytes.to_ascii_uppercase()),
            false => (bytes.to_vec(), bytes.to_vec()),
        };
        let instead = [instead(&low), instead(&high)];
        let is_spelled = low.len() >= SPELLED_MIN;
        Self { kind, original: original.to_owned(), bytes: low, instead, edge, folds, is_spelled }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it begins at a place of a string.
    pub fn begins(&self, text: &[u8], at: usize) -> bool {
        let Some(here) = text.get(at..at + self.bytes.len()) else { return false };
        let is_it = match self.folds {
            true => here.eq_ignore_ascii_case(&self.bytes),
            false => here == self.bytes,
        };
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        let after = text.get(at + self.bytes.len());
        let beside = || [before, after].into_iter().flatten();
        is_it
            && match self.edge {
                Edge::Free => true,
                Edge::Number => beside().all(|byte| !byte.is_ascii_digit()),
                Edge::Word => beside().all(|byte| !byte.is_ascii_alphanumeric() && *byte < 0x80),
                Edge::Whole => beside().next().is_none(),
            }
    }

    /// Whether it is spelled from a place on, whatever stands beside it.
    pub fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        self.is_spelled
            && bytes.get(at..at + self.bytes.len()).is_some_and(|here| here.eq_ignore_ascii_case(&self.bytes))
    }

    /// What stands in place of these bytes: each letter in the case that it had.
    pub fn instead(&self, here: &[u8]) -> Vec<u8> {
        let [low, high] = &self.instead;
        let cases = here.iter().zip(low).zip(high);
        cases.map(|((own, low), high)| if own.is_ascii_uppercase() { *high } else { *low }).collect()
    }
}

fn text(kind: Kind, original: &str, digest: Digest<'_>, forms: &mut Vec<Form>) {
    let length = original.chars().count();
    if length < ANYWHERE_MIN {
        return;
    }
    let edge = match kind {
        Kind::Address => Edge::Number,
        Kind::SerialNumber | Kind::Uuid if length >= FREE_MIN => Edge::Free,
        // an ordinary word may stand in any text: `Printer` as a location
        Kind::Name | Kind::Location | Kind::HostName if original.chars().all(char::is_alphabetic) => Edge::Whole,
        _ => Edge::Word,
    };
    let plain = |here: &[u8]| pseudonym::bytes(kind, here, digest);
    forms.push(Form::new(kind, original, original.as_bytes(), plain, edge, true));
    if kind == Kind::Uuid {
        let bare = original.replace('-', "");
        forms.push(Form::new(kind, original, bare.as_bytes(), plain, edge, true));
    }
    if kind == Kind::Address
        && let Ok(v4) = original.parse::<std::net::Ipv4Addr>()
    {
        // as an index, and as a string of four bytes
        let four = |_: &[u8]| pseudonym::address(v4.octets(), digest).to_vec();
        forms.push(Form::new(kind, original, &v4.octets(), four, Edge::Whole, false));
    }
    if edge == Edge::Free && kind == Kind::SerialNumber {
        // text of hex digits, with and without blanks; two bytes a letter
        for (gap, upper) in [("", false), (" ", false), ("", true), (" ", true)] {
            let spell = |bytes: &[u8]| {
                let digits: Vec<String> = bytes
                    .iter()
                    .map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") })
                    .collect();
                digits.join(gap).into_bytes()
            };
            let instead = |_: &[u8]| spell(&plain(original.as_bytes()));
            forms.push(Form::new(kind, original, &spell(original.as_bytes()), instead, Edge::Free, false));
        }
        for little in [false, true] {
            let widen = |bytes: &[u8]| -> Vec<u8> {
                bytes.iter().flat_map(|byte| if little { [*byte, 0] } else { [0, *byte] }).collect()
            };
            let instead = |_: &[u8]| widen(&plain(original.as_bytes()));
            forms.push(Form::new(kind, original, &widen(original.as_bytes()), instead, Edge::Free, false));
        }
    }
}

/// Six bytes; text with `:`, `-` and nothing between; and its last three bytes, which makers put into names.
fn mac(original: &str, digest: Digest<'_>, forms: &mut Vec<Form>) {
    let kind = Kind::PhysicalAddress;
    let digits: String = original.chars().filter(char::is_ascii_hexdigit).collect();
    let bytes: Vec<u8> = (0..6).filter_map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()).collect();
    let Ok(six) = <[u8; 6]>::try_from(bytes) else { return };
    let changed = pseudonym::mac(six, digest);
    forms.push(Form::new(kind, original, &six, |_| changed.to_vec(), Edge::Free, false));
    let written =
        |bytes: &[u8], gap: &str| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(gap);
    for gap in [":", "-", "", ".", " "] {
        let instead = |here: &[u8]| cased(&written(&changed, gap), here);
        forms.push(Form::new(kind, original, written(&six, gap).as_bytes(), instead, Edge::Free, true));
    }
    let instead = |here: &[u8]| cased(&written(&changed[3..], ""), here);
    // three bytes as text stand by chance in other texts only where these are hex digits throughout
    forms.push(Form::new(kind, original, written(&six[3..], "").as_bytes(), instead, Edge::Free, true));
}

/// In upper case where the original has a letter in upper case, or was folded to it.
fn cased(text: &str, like: &[u8]) -> Vec<u8> {
    let upper = like.iter().any(u8::is_ascii_uppercase) || !like.iter().any(u8::is_ascii_lowercase);
    if upper { text.to_ascii_uppercase().into_bytes() } else { text.as_bytes().to_vec() }
}
