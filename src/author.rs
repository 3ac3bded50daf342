//! Tools for whoever writes mapping files: what the library has, how a mapping works, what is wrong with one, why a number is
//! what it is, and a first mapping for a model that nobody has described yet.
//!
//! Pure: texts, mappings, recordings and readings go in, what a person reads comes out. Files and devices are `run`'s part.

mod device;
mod draft;
mod lint;
mod list;
mod show;
mod source;
pub mod trial;
mod why;

use crate::pmd::GENERIC;
pub use device::Device;
pub use draft::{Draft, draft};
pub use lint::lint;
pub use list::{Entry, entries, json as list_json, markdown as list_markdown, table as list_table};
pub use show::show;
pub use why::{UnknownField, overview, why};

/// Whether a mapping is of no maker: what every printer answers, and what stands in for makers that nobody has described.
fn is_of_nobody(name: &str) -> bool {
    name.split_once('/').is_some_and(|(folder, _)| GENERIC.split_once('/').is_some_and(|(own, _)| folder == own))
}

/// `1 counter`, `2 counters`.
pub fn counted(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// Columns of a terminal that everything here fits in.
const WIDTH: usize = 80;

/// A text in lines that a terminal has room for.
pub fn paragraph(text: &str) -> String {
    wrapped(text, 0)
}

/// Words in lines of at most [`WIDTH`] columns, each behind `indent` blanks. A word that is longer has a line of its own.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            lines.push('\n');
            column = 0;
        }
        if column == 0 {
            lines.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines.push('\n');
    lines
}
