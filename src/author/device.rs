//! A device that was read, with everything that was tried for it.

use std::sync::Arc;

use jiff::Timestamp;
use meterpost_wire::Reading;
use meterpost_wire::counters::CounterKey;

use super::is_of_nobody;
use crate::identify::{self, Identity};
use crate::normalise::{self, Fate, Subject, Trace, Tried};
use crate::plan::Answers;
use crate::pmd::{Choice, Library, Pmd};
use crate::read::DeviceRead;

/// What was read, and why it is what it is.
#[derive(Clone, Debug)]
pub struct Device {
    /// Who it is.
    pub identity: Identity,
    /// Which mapping, and why.
    pub choice: Choice,
    /// What it said.
    pub answers: Answers,
    /// What became of it.
    pub reading: Reading,
    /// All that was tried.
    pub trace: Trace,
}

impl Device {
    /// Explains what was read with this library.
    pub fn of(read: DeviceRead, library: &Library) -> Self {
        let DeviceRead { reading, learned, choice, .. } = read;
        let answers = learned.answers;
        let identity = identify::identity(&answers, learned.device);
        let address =
            reading.network.as_ref().and_then(|network| network.addresses.first()).cloned().unwrap_or_default();
        let subject = Subject { address: &address, read_at: reading.read_at, pack: library.pack, cut_short: false };
        let (_, trace) = normalise::explain(&choice.pmd, &identity, &answers, &library.words, &subject);
        Self { identity, choice, answers, reading, trace }
    }

    /// Explains a whole recording, by the mapping that fits it or by a named one.
    pub fn recorded(answers: &Answers, library: &Library, pmd: Option<&Arc<Pmd>>) -> Self {
        let identity = identify::identity(answers, identify::device_index(answers));
        let choice = match pmd {
            Some(pmd) => Choice { pmd: Arc::clone(pmd), reason: "it was named".to_owned() },
            None => library.choose(&identity),
        };
        let subject = Subject { address: "", read_at: Timestamp::UNIX_EPOCH, pack: library.pack, cut_short: false };
        let (reading, trace) = normalise::explain(&choice.pmd, &identity, answers, &library.words, &subject);
        Self { identity, choice, answers: answers.clone(), reading, trace }
    }

    /// A counter's value.
    pub fn count(&self, key: &str) -> Option<u64> {
        let key = CounterKey::parse(key).ok()?;
        Some(self.reading.counters.as_ref()?.get(&key)?.value)
    }

    /// How many counters came from rules that are not the generic mapping's, of a value above 0 and proven elsewhere.
    pub fn own_counters(&self) -> usize {
        let counts = self.reading.counters.iter().flatten().map(|(_, count)| count);
        let is_own = |rule: &String| !is_of_nobody(rule);
        counts
            .filter(|count| count.value > 0 && !count.evidence.unverified && count.evidence.oid.is_some())
            .filter(|count| count.evidence.rule.as_ref().is_some_and(is_own))
            .count()
    }

    /// The value that won for a field of the trace, shown, and the rule that gave it.
    pub fn won(&self, name: &str) -> Option<(&str, &Tried)> {
        self.trace.fields.get(name)?.iter().find_map(|tried| match &tried.fate {
            Fate::Won(value) => Some((value.as_str(), tried)),
            _ => None,
        })
    }

    /// Brand and model, or what else is known.
    pub fn title(&self) -> String {
        let Some(identity) = &self.reading.identity else { return "a printer".to_owned() };
        let words = [&identity.vendor, &identity.model].into_iter().flatten().map(|text| text.value.as_str());
        let words: Vec<&str> = words.collect();
        match words.is_empty() {
            true => identity.make_and_model.clone().unwrap_or_else(|| "a printer".to_owned()),
            false => words.join(" "),
        }
    }
}
