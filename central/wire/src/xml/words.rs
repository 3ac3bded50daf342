//! Words that XML writes otherwise than JSON, and the two spellings of names.

use crate::reading::{Basis, LevelState};

/// `@basis` of a count; the default is left out.
pub(super) fn basis(basis: Basis) -> Option<&'static str> {
    match basis {
        Basis::Actual => None,
        Basis::Derived => Some("Derived"),
        Basis::Suspect => Some("Suspect"),
    }
}

/// `…Basis` of a level or capacity.
pub(super) fn level_basis(state: LevelState) -> &'static str {
    match state {
        LevelState::Known => "Actual",
        LevelState::SomeRemaining => "NotEmpty",
        LevelState::Unknown => "Unknown",
        LevelState::Unrestricted => "Other",
    }
}

/// The state that a `…Basis` tells.
pub(super) fn level_state(basis: &str) -> Option<LevelState> {
    let all = [LevelState::Known, LevelState::SomeRemaining, LevelState::Unknown, LevelState::Unrestricted];
    all.into_iter().find(|state| level_basis(*state) == basis)
}

/// `fax_in` → `FaxIn`.
pub(super) fn pascal(snake: &str) -> String {
    snake.split('_').map(capital).collect()
}

/// `idle` → `Idle`.
pub(super) fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

/// `FaxIn` → `fax_in`; what is neither letter nor digit becomes `_`.
pub(super) fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        match c {
            'A'..='Z' => {
                if !snake.is_empty() && !snake.ends_with('_') {
                    snake.push('_');
                }
                snake.push(c.to_ascii_lowercase());
            }
            'a'..='z' | '0'..='9' => snake.push(c),
            _ => snake.push('_'),
        }
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_from_one_spelling_to_the_other() {
        for (snake_case, pascal_case) in [("print", "Print"), ("fax_in", "FaxIn"), ("system_control", "SystemControl")]
        {
            assert_eq!(pascal(snake_case), pascal_case);
            assert_eq!(snake(pascal_case), snake_case);
        }
        assert_eq!(snake("iso_a4_210x297mm"), "iso_a4_210x297mm");
        assert_eq!(snake("na_letter_8.5x11in"), "na_letter_8_5x11in");
        assert_eq!(capital(""), "");
    }
}
