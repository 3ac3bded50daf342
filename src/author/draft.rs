//! A first mapping file for a model that nobody has described: made from one recording, valid at once, and commented so that
//! a technician sees what is known, what was guessed and from what.
//!
//! What the library reads already stays with it (`extends`). A rule is written for a counter that the library does not read
//! where arithmetic or the device's own labels speak for it; what they only hint at stands as a comment. Everything is
//! `unverified` until a person has compared it with the device's own page.

mod labels;
mod numbers;
mod write;

use std::sync::Arc;

use meterpost_wire::counters::CounterKey;

use super::{Device, is_of_nobody};
use crate::plan::{self, Answers, Plan};
use crate::pmd::{CHAIN_MAX, Library, Pmd};
use crate::snmp::Oid;
use crate::snmp::recording::Recording;
use labels::Labelled;
use numbers::{Candidate, ENTERPRISES, Number};

/// What was found out about a recorded device.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The file.
    pub text: String,
    /// What it extends.
    pub base: String,
    /// Why.
    pub reason: String,
    /// Brand and model.
    pub title: String,
    /// Counters that the file reads by rules of its own, with their values.
    pub own: Vec<(CounterKey, u64)>,
    /// Counters that what it extends reads.
    pub inherited: usize,
    /// Candidates that stand as comments.
    pub candidates: usize,
    /// Whether the recording says that it is a printer.
    pub is_printer: bool,
}

/// What the draft is made of.
struct Findings {
    device: Device,
    base: Arc<Pmd>,
    reason: String,
    /// The base is another maker's: its brand is not this device's.
    is_foreign: bool,
    life: Option<u64>,
    numbers: Vec<Number>,
    totals: Vec<Candidate>,
    labelled: Vec<Labelled>,
    is_printer: bool,
}

/// Makes the draft. `file` is the recording's name, for the comment at the top.
pub fn draft(file: &str, recording: &Recording, library: &Library) -> Draft {
    let answers = everything(recording);
    let device = Device::recorded(&answers, library, None);
    let is_printer = crate::identify::is_printer(&device.identity, &answers, &library.words).is_ok();
    let (base, reason, device, is_foreign) = base(device, &answers, library);
    // a plotter's counts metres
    let unit = device.won("let.marker_unit").map_or("impressions", |(unit, _)| unit.trim_matches('`'));
    let life = device.count("vendor.marker_life_count").filter(|_| ["impressions", "sheets"].contains(&unit));
    let numbers = numbers::numbers(&answers);
    let totals = numbers::candidates(&numbers, life);
    let labelled = labels::labelled(&answers, &numbers, &library.words);
    let findings = Findings { device, base, reason, is_foreign, life, numbers, totals, labelled, is_printer };
    write::write(file, &findings, &answers)
}

/// A recording as one answer to all questions.
fn everything(recording: &Recording) -> Answers {
    let mut answers = Answers::default();
    answers.extend("", recording.objects("").map(|(oid, value)| (oid.clone(), Ok(value.clone()))));
    answers
}

/// What to extend: the mapping that reads the device already; where that is the generic one, another maker's whose own objects
/// this device answers too, as engines are sold under many brands.
fn base(device: Device, answers: &Answers, library: &Library) -> (Arc<Pmd>, String, Device, bool) {
    let picked = &device.choice.pmd;
    if !is_of_nobody(&picked.name) {
        let reason = device.choice.reason.clone();
        // a chain has an end: the file that it extends is the base then
        let pmd = match picked.chain.len() < CHAIN_MAX {
            true => picked.clone(),
            false => picked.chain.get(1).and_then(|name| library.get(name)).unwrap_or(picked).clone(),
        };
        return (pmd, reason, device, false);
    }
    let others = library
        .pmds()
        .filter(|pmd| !is_of_nobody(&pmd.name) && pmd.chain.len() < CHAIN_MAX && !pmd.matches.sys_object_id.is_empty());
    let scored = others.filter(|pmd| answers_one_of(answers, pmd, device.identity.device)).map(|pmd| {
        let other = Device::recorded(answers, library, Some(pmd));
        (other.own_counters(), other)
    });
    let best = scored
        .filter(|(score, _)| *score > 0)
        .max_by_key(|(score, other)| (*score, std::cmp::Reverse(other.choice.pmd.chain.len())));
    match best {
        Some((score, other)) => {
            let reason = format!("{score} of the counters that it reads are answered here");
            (other.choice.pmd.clone(), reason, other, true)
        }
        None => (picked.clone(), "no mapping of the library knows this device".to_owned(), device, false),
    }
}

/// Whether the device has anything of its maker's own that the mapping takes a counter from.
fn answers_one_of(answers: &Answers, pmd: &Pmd, device: u32) -> bool {
    let counters = pmd.fields.keys().filter(|name| name.starts_with("counters.")).cloned().collect();
    let Plan { gets, walks, .. } = plan::for_fields(pmd, device, counters);
    let is_own = |oid: &Oid| oid.arcs().starts_with(&ENTERPRISES);
    gets.iter().any(|(context, oid)| is_own(oid) && answers.get(context, oid).is_some())
        || walks.iter().any(|walk| {
            walk.columns.iter().any(|column| is_own(column) && answers.under(&walk.context, column).next().is_some())
        })
}
