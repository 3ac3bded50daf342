//! Which characters may stand in a text, and how long it may be.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// Most characters of names that PWG limits.
pub(super) const NAME: usize = 127;
/// Most characters of ordinary texts.
pub(super) const SHORT: usize = 255;
/// Most characters of IEEE 1284 ids and system descriptions.
pub(super) const LONG: usize = 1_023;
/// Most characters of a list of OIDs.
pub(super) const OIDS: usize = 4_096;

/// The text as it may leave or enter: in normal form C, at most `cap` characters, those that XML 1.0 has not replaced by
/// U+FFFD. SNMP strings are full of NULs, and neither quick-xml's reader nor its writer minds.
pub(crate) fn clean(text: &str, cap: usize) -> Cow<'_, str> {
    // nearly always, and without a way out in the middle sixteen bytes are looked at in one step
    let is_plain = text.bytes().fold(true, |plain, byte| plain & (byte.is_ascii() && is_allowed(char::from(byte))));
    if text.len() <= cap && is_plain {
        return Cow::Borrowed(text);
    }
    // composing shortens; what is longer than this before is cut after, whatever it composes to
    let text = text.chars().take(cap.saturating_mul(4));
    let allowed = text.map(|c| if is_allowed(c) { c } else { char::REPLACEMENT_CHARACTER });
    Cow::Owned(allowed.nfc().take(cap).collect())
}

fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_xml_has_not_are_replaced_and_texts_are_cut_between_characters() {
        assert_eq!(clean("a\0b\u{1}\u{FFFE}\u{1F5A8}\t", 99), "a\u{FFFD}b\u{FFFD}\u{FFFD}\u{1F5A8}\t");
        assert_eq!(clean("äöü", 2), "äö");
        assert_eq!(clean("Bu\u{308}ro", 9), "Büro");
        assert!(matches!(clean("plain", 5), Cow::Borrowed("plain")));
    }
}
