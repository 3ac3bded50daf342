//! Two families that claim one device. Whether two patterns have a text in common is found by trying: texts that one of them
//! has are made, and looked for in the other.
//!
//! An exact answer would be the wrong one: patterns are found anywhere in a text, so some text has any two of them ("flow Design
//! Jet"), and every pair of families would be told. What counts is whether a text that was meant for one is the other's too.

use std::collections::BTreeSet;

use crate::pmd::pattern::Pattern;
use crate::pmd::{Fault, Library, Pmd};

/// Texts made of one pattern.
const SAMPLES_MAX: usize = 64;
/// Characters of such a text.
const LENGTH_MAX: usize = 120;

/// Pairs of files, one of them of these names, between which the choice for some device would be arbitrary.
pub fn overlaps(library: &Library, names: &[String]) -> Vec<Fault> {
    let mut found = Vec::new();
    for pmd in names.iter().filter_map(|name| library.get(name)) {
        for other in library.pmds().filter(|other| other.name != pmd.name && !related(pmd, other)) {
            // of two files that are both looked at, the later one is told
            if names.iter().any(|name| **name == *other.name) && other.name > pmd.name {
                continue;
            }
            if let Some(text) = overlap(pmd, other) {
                found.push(Fault { pmd: pmd.name.to_string(), line: 0, text });
            }
        }
    }
    found
}

fn related(one: &Pmd, other: &Pmd) -> bool {
    one.chain.contains(&other.name) || other.chain.contains(&one.name)
}

fn overlap(one: &Pmd, other: &Pmd) -> Option<String> {
    let (a, b) = (&one.matches, &other.matches);
    let shared = a.sys_object_id.iter().find(|oid| b.sys_object_id.contains(oid));
    // a file that names beginnings is not found by its patterns elsewhere
    let alike = shared.is_some() || (a.sys_object_id.is_empty() && b.sys_object_id.is_empty());
    if !alike {
        return None;
    }
    let kinds = [
        ("model", &a.model, &b.model),
        ("device_id", &a.device_id, &b.device_id),
        ("description", &a.description, &b.description),
    ];
    kinds.into_iter().find_map(|(what, own, others)| {
        let turned = || common(others, own).map(|(text, theirs, mine)| (text, mine, theirs));
        let (text, mine, theirs) = common(own, others).or_else(turned)?;
        let device = shared.map_or_else(String::new, |oid| format!(" of a device under {oid}"));
        let other = &other.name;
        Some(format!(
            "`{what}` \"{text}\"{device} fits `{mine}` here and `{theirs}` in `{other}`: which one reads it would be chance"
        ))
    })
}

/// A text that a pattern of both lists has, and these two patterns.
fn common(own: &[Pattern], others: &[Pattern]) -> Option<(String, String, String)> {
    own.iter().find_map(|pattern| {
        let mut samples = samples(&pattern.to_string()).into_iter().filter(|text| pattern.is_match(text));
        samples.find_map(|text| {
            let hit = others.iter().find(|other| other.is_match(&text))?.to_string();
            Some((text, pattern.to_string(), hit))
        })
    })
}

/// Some texts that a pattern has; none where it says more than this reads.
fn samples(pattern: &str) -> Vec<String> {
    let mut rest = pattern.chars().collect::<Vec<_>>();
    rest.reverse();
    let found = alternatives(&mut rest);
    let texts: BTreeSet<String> = found.into_iter().flatten().collect();
    texts.into_iter().filter(|text| !text.trim().is_empty()).collect()
}

/// Pieces that may stand for one another, up to the end or a closing bracket. The pattern stands in reverse.
fn alternatives(rest: &mut Vec<char>) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut so_far = vec![String::new()];
    while let Some(next) = rest.pop() {
        let piece = match next {
            ')' => break,
            '|' => {
                all.append(&mut so_far);
                so_far = vec![String::new()];
                continue;
            }
            '^' | '$' => continue,
            '(' => {
                if rest.last() == Some(&'?') {
                    rest.pop();
                    // `(?:` only: flags and names are more than this reads
                    if rest.pop() != Some(':') {
                        return None;
                    }
                }
                alternatives(rest)?
            }
            '[' => class(rest)?,
            '\\' => match rest.pop()? {
                'd' => vec!["1".to_owned()],
                'w' => vec!["a".to_owned()],
                's' => vec![" ".to_owned()],
                'S' => vec!["x".to_owned()],
                'b' => continue,
                c if c.is_ascii_alphanumeric() => return None,
                c => vec![c.to_string()],
            },
            '.' => vec!["x".to_owned()],
            c => vec![c.to_string()],
        };
        let piece = repeated(piece, rest)?;
        so_far = so_far.iter().flat_map(|front| piece.iter().map(move |back| format!("{front}{back}"))).collect();
        so_far.retain(|text| text.len() <= LENGTH_MAX);
        so_far.truncate(SAMPLES_MAX);
    }
    all.append(&mut so_far);
    all.truncate(SAMPLES_MAX);
    Some(all)
}

/// The first characters of a class.
fn class(rest: &mut Vec<char>) -> Option<Vec<String>> {
    let mut of = Vec::new();
    let negated = rest.last() == Some(&'^');
    loop {
        match rest.pop()? {
            ']' => break,
            '\\' => match rest.pop()? {
                'd' => of.push('1'),
                's' => of.push(' '),
                'w' => of.push('a'),
                c => of.push(c),
            },
            '-' if !of.is_empty() && rest.last() != Some(&']') => drop(rest.pop()),
            c => of.push(c),
        }
    }
    match negated {
        true => ['x', '1', ' '].into_iter().find(|c| !of.contains(c)).map(|c| vec![c.to_string()]),
        false => Some(of.into_iter().take(4).map(String::from).collect()),
    }
}

/// What a quantifier behind a piece makes of it: none and one, or as many as it must be.
fn repeated(piece: Vec<String>, rest: &mut Vec<char>) -> Option<Vec<String>> {
    let none = || [vec![String::new()], piece.clone()].concat();
    let out = match rest.last() {
        Some('?') => {
            rest.pop();
            none()
        }
        Some('*') => {
            rest.pop();
            none()
        }
        Some('+') => {
            rest.pop();
            piece
        }
        Some('{') => {
            rest.pop();
            let mut number = String::new();
            loop {
                match rest.pop()? {
                    '}' => break,
                    c => number.push(c),
                }
            }
            let least: usize = number.split(',').next()?.parse().ok()?;
            let most: usize = number
                .split(',')
                .next_back()
                .filter(|most| !most.is_empty())
                .map_or(Some(least), |most| most.parse().ok())?;
            let times = least.max(usize::from(most > 0)).min(12);
            piece.iter().map(|text| text.repeat(times)).collect()
        }
        _ => return Some(piece),
    };
    // a lazy one is the same
    if rest.last() == Some(&'?') {
        rest.pop();
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: &[&str]) {
        assert_eq!(samples(pattern), expected, "{pattern}");
        let compiled = Pattern::new(pattern).unwrap();
        assert!(samples(pattern).iter().all(|text| compiled.is_match(text)), "{pattern}");
    }

    #[test]
    fn texts_are_made_that_a_pattern_has() {
        check("^FS-C\\d{4}(DN|N)?$", &["FS-C1111", "FS-C1111DN", "FS-C1111N"]);
        check("^(KYOCERA )?(ECOSYS P|LS-)", &["ECOSYS P", "KYOCERA ECOSYS P", "KYOCERA LS-", "LS-"]);
        check("^HP [A-Z]+ .*$", &["HP A ", "HP A x"]);
    }

    #[test]
    fn a_pattern_that_says_more_makes_no_text() {
        for pattern in ["(?i)x", "\\p{L}", "(?P<name>x)"] {
            assert_eq!(samples(pattern), Vec::<String>::new(), "{pattern}");
        }
    }
}
