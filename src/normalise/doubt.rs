//! What is to be thought of a value: whether it was computed, whether any device has proven what it is made of, and which of
//! several losses tells a person most.

use super::datum::{Datum, Lost};
use super::eval::{Evaluator, kind_of};
use super::text::Charset;
use super::trace::{Fate, Tried};
use crate::pmd::rule::{Filter, Rule, Source};

impl Evaluator<'_> {
    /// Whether a rule's value is derived, and whether it is unverified: by its own word, or by that of what it is made of.
    pub(super) fn doubt(&self, rule: &Rule) -> (bool, bool) {
        let (derived, unverified) = match &rule.source {
            Source::Use(field) if field.contains('.') => {
                self.field(field, kind_of(field)).map_or((false, false), |won| (won.derived, won.unverified))
            }
            Source::Sum(terms) | Source::Difference(terms) | Source::Product(terms) => {
                let doubts = terms.iter().map(|term| self.doubt(term));
                doubts.fold((false, false), |so_far, doubt| (so_far.0 || doubt.0, so_far.1 || doubt.1))
            }
            _ => (false, false),
        };
        (derived || rule.derived, unverified || rule.unverified)
    }
}

impl Filter {
    /// Whether a cell passes, after what is done to it; a step that does not fit it leaves it as it is.
    pub(super) fn holds(&self, cell: &Datum, declared: Option<Charset>) -> bool {
        if self.steps.is_empty() {
            return cell.passes(&self.test, declared);
        }
        let stepped = |datum: Datum, step| datum.clone().step(step, declared).unwrap_or(datum);
        self.steps.iter().fold(cell.clone(), stepped).passes(&self.test, declared)
    }
}

/// A rule that would have won, had it been proven, and was outdone by one that is.
pub(super) fn outdone(tried: &mut [Tried]) {
    let mut won = tried.iter_mut().filter(|tried| matches!(tried.fate, Fate::Won(_)));
    if let (Some(unproven), Some(_)) = (won.next(), won.next()) {
        unproven.fate = Fate::Lost(Lost::PassedOver("unverified, and a proven rule has a value".to_owned()));
    }
}

/// Of what happened to the rules of a field, what its gap tells; that a rule was passed over is nothing to tell.
pub(super) fn worse(before: Option<Lost>, now: Lost) -> Option<Lost> {
    let rank = |lost: &Lost| match lost {
        Lost::NoAnswer(_) => 3,
        Lost::Rejected(_) => 2,
        Lost::NotSupported(_) => 1,
        Lost::PassedOver(_) => 0,
    };
    match before {
        Some(before) if rank(&before) > rank(&now) => Some(before),
        before if rank(&now) == 0 => before,
        _ => Some(now),
    }
}
