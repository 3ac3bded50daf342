//! A new pack is tried on what the devices of this site last answered, before it reads any of them. Nothing is asked here, and
//! nothing guessed: a counter that the new mapping takes from objects which nobody has asked yet cannot be told until then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use meterpost_wire::reading::{Basis, Count, Outcome, Reading};

use crate::gather::Lessons;
use crate::identify;
use crate::memory::Known;
use crate::normalise::{self, Subject};
use crate::plan::{self, Answers, Plan};
use crate::pmd::{Library, Pmd};
use crate::read::Learned;

/// A device that has not answered for so long holds no pack up.
const UNHEARD_AFTER: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Changes that are told one by one; further ones are counted.
const TOLD_MAX: usize = 40;

/// What a pack would change here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shadow {
    /// Devices that it was tried on.
    pub tried: u32,
    /// Those of which something that is billed would be another.
    pub changed: u32,
    /// What that is, by model and field.
    pub changes: BTreeMap<(String, String), Change>,
    /// Devices of which something other than a billed value would be said otherwise.
    pub other_texts: u32,
    /// Devices of which it cannot be told before they are read.
    pub until_read: u32,
    /// The same, and they have not answered for a fortnight.
    pub unheard: u32,
}

/// A value that would be another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// On how many devices.
    pub devices: u32,
    /// On one of them: now.
    pub before: String,
    /// On the same: with the new pack.
    pub after: String,
}

/// What became of one device.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// Billed values that change: field, before, after. And whether anything else does.
    Changes(Vec<(String, String, String)>, bool),
    UntilRead,
}

impl Shadow {
    /// Tries the new library on one device.
    pub fn add(&mut self, known: &Known, present: &Library, new: &Library, now: Timestamp) {
        let Some(learned) = Lessons::learned(&known.learned) else { return self.untold(known, now) };
        let before = read(known, &learned, present);
        match told(&learned, &before, &read(known, &learned, new), present, new) {
            Told::UntilRead => self.untold(known, now),
            Told::Changes(changes, other_texts) => {
                self.tried += 1;
                self.other_texts += u32::from(other_texts);
                self.changed += u32::from(!changes.is_empty());
                for (field, before_text, after) in changes {
                    let entry = self.changes.entry((model(&before.0), field));
                    entry.or_insert(Change { devices: 0, before: before_text, after }).devices += 1;
                }
            }
        }
    }

    fn untold(&mut self, known: &Known, now: Timestamp) {
        let is_unheard = now.duration_since(known.seen_at) >= UNHEARD_AFTER;
        *if is_unheard { &mut self.unheard } else { &mut self.until_read } += 1;
    }

    /// Whether nothing that is billed would be another.
    pub fn is_harmless(&self) -> bool {
        self.changes.is_empty()
    }
}

impl fmt::Display for Shadow {
    /// Lines for a person: what is billed first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((model, field), Change { devices, before, after }) in self.changes.iter().take(TOLD_MAX) {
            let example = if *devices > 1 { " (one of them)" } else { "" };
            writeln!(f, "{}: {model} {field} {before} → {after}{example}", counted(*devices))?;
        }
        if self.changes.len() > TOLD_MAX {
            writeln!(f, "and {} changes more", self.changes.len() - TOLD_MAX)?;
        }
        if self.until_read > 0 {
            writeln!(f, "{}: cannot be told until read", counted(self.until_read))?;
        }
        if self.unheard > 0 {
            writeln!(f, "{}: not heard of for two weeks, and not waited for", counted(self.unheard))?;
        }
        if self.other_texts > 0 {
            writeln!(f, "{}: something else than a counter changes", counted(self.other_texts))?;
        }
        Ok(())
    }
}

fn counted(devices: u32) -> String {
    if devices == 1 { "1 device".to_owned() } else { format!("{devices} devices") }
}

/// The reading that a library makes of a device's last answers, and the mapping that it took.
fn read(known: &Known, learned: &Learned, library: &Library) -> (Reading, std::sync::Arc<Pmd>) {
    let identity = identify::identity(&learned.answers, learned.device);
    let pmd = library.choose(&identity).pmd;
    let subject = Subject { address: &known.address, read_at: known.seen_at, pack: library.pack, cut_short: false };
    let (reading, _) = normalise::normalise(&pmd, &identity, &learned.answers, &library.words, &subject);
    (reading, pmd)
}

fn told(
    learned: &Learned,
    (before, old): &(Reading, std::sync::Arc<Pmd>),
    (after, new): &(Reading, std::sync::Arc<Pmd>),
    present: &Library,
    library: &Library,
) -> Told {
    // what was learned by other mappings says nothing about what these have asked
    if !learned.is_by(present) || (!learned.tried(library) && !is_asked(learned, before, old, new)) {
        return Told::UntilRead;
    }
    let mut changes = Vec::new();
    let mut change = |field: &str, before: Option<String>, after: Option<String>| {
        if let Some(before) = before.filter(|before| after.as_ref() != Some(before)) {
            changes.push((field.to_owned(), before, after.unwrap_or_else(|| "not read".to_owned())));
        }
    };
    change("key", Some(before.key.clone()), Some(after.key.clone()));
    if before.outcome == Outcome::Complete {
        change("outcome", Some(word(before.outcome)), Some(word(after.outcome)));
    }
    let counters = |reading: &Reading| reading.counters.clone().unwrap_or_default();
    let new_counters = counters(after);
    for (key, count) in counters(before) {
        change(key.as_str(), Some(counted_value(&count)), new_counters.get(&key).map(counted_value));
    }
    let others = |reading: &Reading| Reading { counters: None, mapping: None, ..reading.clone() };
    Told::Changes(changes, others(before) != others(after))
}

/// Whether everything was asked that the counters which are billed now, and the device's key, come from with the new mapping.
fn is_asked(learned: &Learned, before: &Reading, old: &Pmd, new: &Pmd) -> bool {
    let counters = before.counters.iter().flatten().map(|(key, _)| format!("counters.{key}"));
    let wanted: BTreeSet<String> = counters.chain(plan::KEY_FIELDS.map(str::to_owned)).collect();
    let asked = plan::plan(old, learned.device);
    covers(&learned.answers, &asked, &plan::for_fields(new, learned.device, wanted))
}

fn covers(answers: &Answers, asked: &Plan, wanted: &Plan) -> bool {
    let is_walked = |context: &str, column| {
        answers.under(context, column).next().is_some()
            || asked.walks.iter().any(|walk| walk.context == context && walk.columns.contains(column))
    };
    wanted.gets.iter().all(|(context, oid)| {
        answers.get(context, oid).is_some() || asked.gets.contains(&(context.clone(), oid.clone()))
    }) && wanted.walks.iter().all(|walk| walk.columns.iter().all(|column| is_walked(&walk.context, column)))
}

/// `Kyocera TASKalfa 3252ci`, as far as it is known.
fn model(reading: &Reading) -> String {
    let identity = reading.identity.as_ref();
    let vendor = identity.and_then(|identity| identity.vendor.as_ref());
    let model = identity.and_then(|identity| identity.model.as_ref());
    let words: Vec<&str> = [vendor, model].into_iter().flatten().map(|text| text.value.as_str()).collect();
    if words.is_empty() { "a printer".to_owned() } else { words.join(" ") }
}

fn word(outcome: Outcome) -> String {
    format!("{outcome:?}").to_lowercase()
}

/// `432,951`, with a word when it is not what the device itself counted.
fn counted_value(count: &Count) -> String {
    let digits = count.value.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    match count.basis {
        Basis::Actual => text,
        Basis::Derived => text + " (derived)",
        Basis::Suspect => text + " (suspect)",
    }
}

#[cfg(test)]
mod tests;
