//! Mapping files (PMD): which objects of a printer family hold which field of a reading, and which file fits a device.
//!
//! `pmd/README.md` is the format. A file is read twice: as written (`raw`), then as meant (`rule`); `resolve` leads from
//! one to the other and finds what is wrong. A file with a fault is left out with its reasons; the others work.

pub mod guard;
pub mod pack;
pub mod pattern;
pub mod raw;
mod resolve;
pub mod rule;
mod sources;
#[cfg(test)]
mod tests;
pub mod words;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::identify::Identity;
use crate::plan::Plan;
use crate::snmp::{Limits, Oid};
use pattern::Pattern;
use rule::{Check, RowSet, Rule};
pub use sources::Sources;
use words::Words;

/// The file that every chain ends in.
pub const GENERIC: &str = "generic/printer-mib";
/// The file for devices that no other is for, where the library has it; else it is the one that every chain ends in.
pub const UNKNOWN: &str = "generic/unknown";
/// Bytes of a mapping file; a longer one is left out.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// Files in one chain of `extends`.
pub const CHAIN_MAX: usize = 8;
/// Bytes of a compiled pattern; the `regex` crate refuses more.
pub const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// Mapping files in a library; more are left out.
pub const FILES_MAX: usize = 2_000;

include!(concat!(env!("OUT_DIR"), "/library.rs"));

/// A mapping, with everything that it extends already in it.
#[derive(Clone, Debug)]
pub struct Pmd {
    /// `kyocera/ecosys`.
    pub name: Arc<str>,
    /// Its own name, then those of the files that it extends.
    pub chain: Vec<Arc<str>>,
    /// Which devices.
    pub matches: Match,
    /// How to cut requests, and how long to wait for an answer.
    pub limits: Limits,
    /// SNMPv3 context for what the default one does not answer.
    pub context: Option<Arc<str>>,
    /// Fields by `section.name`, rules in the order in which they are tried.
    pub fields: BTreeMap<String, Vec<Arc<Rule>>>,
    /// Row sets.
    pub sets: Vec<RowSet>,
    /// Numbers that must agree.
    pub checks: Vec<Check>,
    /// Counters, as `counters.vendor.x`, that are read with the weekly full readings of a known device and never in between.
    pub weekly: BTreeSet<String>,
    /// Made when it is first needed: see [`crate::plan::plan`].
    pub plan_of_device_1: OnceLock<Arc<Plan>>,
}

/// Which devices a mapping is for.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// Beginnings of sysObjectID.
    pub sys_object_id: Vec<Oid>,
    /// Patterns on sysDescr.
    pub description: Vec<Pattern>,
    /// Patterns on the IEEE 1284 id.
    pub device_id: Vec<Pattern>,
    /// Patterns on the model.
    pub model: Vec<Pattern>,
}

/// A fault of a mapping file, for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `kyocera/ecosys`.
    pub pmd: String,
    /// From 1; 0 when it is the file as a whole.
    pub line: usize,
    /// What was found and what would be right.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "pmd `{}`: {}", self.pmd, self.text),
            line => write!(f, "pmd `{}` line {line}: {}", self.pmd, self.text),
        }
    }
}

/// All mappings, ready to use.
#[derive(Clone, Debug)]
pub struct Library {
    pmds: BTreeMap<Arc<str>, Arc<Pmd>>,
    generic: Arc<Pmd>,
    /// Words that all mappings share.
    pub words: Arc<Words>,
    /// Version of the pack; 0 is what is inside the program.
    pub pack: u64,
    /// What is wrong with files that were left out.
    pub faults: Vec<Fault>,
    /// A pack that is being tried: what its mappings ask is asked too, whenever a device is read in full. Readings are made
    /// without it.
    pub trial: Option<Arc<Library>>,
}

/// The mapping for a device, and why.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The mapping.
    pub pmd: Arc<Pmd>,
    /// For people: `sysObjectID begins with 1.3.6.1.4.1.1347.41`.
    pub reason: String,
}

impl Library {
    /// The files inside the program.
    ///
    /// # Panics
    /// When they are at fault themselves; a test loads them.
    pub fn builtin() -> Self {
        Self::of(WORDS, BUILTIN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    /// The shared words alone, for who only wants to know whether it is a printer: the mappings take 50 ms to load and
    /// 3 MiB to keep. Everything is read by an empty mapping.
    ///
    /// # Panics
    /// When the words inside the program are at fault; a test loads them.
    pub fn words_only() -> Self {
        let words = Words::parse(WORDS).unwrap_or_else(|error| panic!("words.toml: {error}"));
        Self {
            pmds: BTreeMap::new(),
            generic: Arc::new(Pmd::empty(GENERIC)),
            words: Arc::new(words),
            pack: 0,
            faults: Vec::new(),
            trial: None,
        }
    }

    /// The files inside the program with those of a folder laid over them: `<dir>/<vendor>/<family>.toml`, and
    /// `<dir>/words.toml` when it is there. Faults do not stop it: they are in `faults`.
    pub fn load(dir: &Path) -> std::io::Result<Self> {
        let mut sources = Sources::builtin();
        sources.lay_folder(dir)?;
        Ok(sources.library())
    }

    /// The files inside the program with those of a pack in place of the ones with their names.
    fn over_builtin(words: Option<&str>, over: BTreeMap<String, String>, pack: u64) -> Self {
        let mut files: BTreeMap<String, String> =
            BUILTIN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let names: BTreeSet<String> = over.keys().cloned().collect();
        files.extend(over);
        Self { pack, ..Self::layered(words.unwrap_or(WORDS), files, &|name| names.contains(name)) }
    }

    /// A library of these files, by name. `generic/printer-mib` is the program's own where the list has none.
    pub fn of(words: &str, files: BTreeMap<String, String>) -> Self {
        Self::layered(words, files, &|_| false)
    }

    /// The same; where one file that is `newer` and one that is not claim the same devices, the newer one has them.
    fn layered(words: &str, mut files: BTreeMap<String, String>, newer: &dyn Fn(&str) -> bool) -> Self {
        let words = Words::parse(words).unwrap_or_else(|error| panic!("words.toml: {error}"));
        if let Some((_, text)) = BUILTIN.iter().find(|(name, _)| *name == GENERIC) {
            files.entry(GENERIC.to_owned()).or_insert_with(|| (*text).to_owned());
        }
        let mut loader = Loader { words: &words, files: &files, done: BTreeMap::new(), faults: Vec::new() };
        for name in files.keys() {
            loader.load(name, &mut Vec::new());
        }
        let Loader { done, mut faults, .. } = loader;
        let mut pmds: BTreeMap<Arc<str>, Arc<Pmd>> =
            done.into_values().flatten().map(|pmd| (pmd.name.clone(), pmd)).collect();
        for Rivals { one, other, fault } in rivals(&pmds) {
            match (newer(&one), newer(&other)) {
                (true, false) => drop(pmds.remove(&other)),
                (false, true) => drop(pmds.remove(&one)),
                _ => faults.push(fault),
            }
        }
        let generic = pmds.get(UNKNOWN).or(pmds.get(GENERIC)).cloned().unwrap_or_else(|| Arc::new(Pmd::empty(GENERIC)));
        Self { pmds, generic, words: Arc::new(words), pack: 0, faults, trial: None }
    }

    /// Which mappings these are: those of a pack over those of a version of the program.
    pub fn stamp(&self) -> String {
        format!("{}/{}", env!("CARGO_PKG_VERSION"), self.pack)
    }

    /// All mappings by name.
    pub fn pmds(&self) -> impl Iterator<Item = &Arc<Pmd>> {
        self.pmds.values()
    }

    /// The mapping of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Pmd>> {
        self.pmds.get(name)
    }

    /// The mapping for a device: the longest beginning of sysObjectID first, among equals a file whose patterns fit,
    /// then one without patterns; where no beginning fits, the patterns of a file that names none; else
    /// [`UNKNOWN`].
    pub fn choose(&self, identity: &Identity) -> Choice {
        let mut mappings: Vec<(usize, &Arc<Pmd>)> = (self.pmds.values().filter(|pmd| *pmd.name != *GENERIC))
            .map(|pmd| (pmd.matches.prefix(identity).map_or(0, |prefix| prefix.arcs().len()), pmd))
            .collect();
        mappings.sort_by_key(|(arcs, _)| Reverse(*arcs));
        let mut best: Option<((usize, usize), &Arc<Pmd>, String)> = None;
        for (arcs, pmd) in mappings {
            // patterns are dear: those of files that cannot win any more are not tried
            if best.as_ref().is_some_and(|((so_far, _), ..)| *so_far > arcs) {
                break;
            }
            let Some((rank, reason)) = pmd.matches.fit(identity) else { continue };
            // where both fit alike, a file that extends the other was written for fewer devices
            let is_nearer = |other: &Pmd| pmd.chain[1..].contains(&other.name);
            if best.as_ref().is_none_or(|(so_far, other, _)| rank > *so_far || (rank == *so_far && is_nearer(other))) {
                best = Some((rank, pmd, reason));
            }
        }
        match best {
            Some((_, pmd, reason)) => Choice { pmd: pmd.clone(), reason },
            None => Choice { pmd: self.generic.clone(), reason: "no mapping names this device".to_owned() },
        }
    }
}

impl Library {
    /// The mappings that name the device's sysObjectID or a pattern that fits, and were not picked, each with the reason.
    pub fn passed_over(&self, identity: &Identity, picked: &Pmd) -> Vec<(Arc<str>, String)> {
        let best = picked.matches.fit(identity).map(|(rank, _)| rank).unwrap_or_default();
        let others = self.pmds.values().filter(|pmd| pmd.name != picked.name && *pmd.name != *GENERIC);
        let why = others.filter_map(|pmd| {
            let why = match (pmd.matches.fit(identity), pmd.matches.prefix(identity)) {
                (Some((rank, reason)), _) if rank.0 < best.0 => format!("{reason}, which is shorter"),
                (Some((rank, reason)), _) if rank.1 < best.1 => format!("{reason}, which says less"),
                (Some((_, reason)), _) => format!("{reason}, as well; it is behind"),
                (None, Some(prefix)) => format!("sysObjectID begins with {prefix}, none of its patterns fits"),
                (None, None) => return None,
            };
            Some((pmd.name.clone(), why))
        });
        why.collect()
    }
}

impl Pmd {
    fn empty(name: &str) -> Self {
        Self {
            name: name.into(),
            chain: vec![name.into()],
            matches: Match::default(),
            limits: Limits::default(),
            context: None,
            fields: BTreeMap::new(),
            sets: Vec::new(),
            checks: Vec::new(),
            weekly: BTreeSet::new(),
            plan_of_device_1: OnceLock::new(),
        }
    }
}

impl Match {
    /// The longest of its beginnings that is one of the device's sysObjectID.
    fn prefix(&self, identity: &Identity) -> Option<&Oid> {
        let oid = identity.sys_object_id.as_ref()?;
        self.sys_object_id.iter().filter(|prefix| oid.is_under(prefix)).max_by_key(|prefix| prefix.arcs().len())
    }

    /// How well it fits: arcs of the beginning, then the kind of pattern; `None` when it does not.
    fn fit(&self, identity: &Identity) -> Option<((usize, usize), String)> {
        let prefix = self.prefix(identity);
        let model = identity.model_hint();
        let texts: [(&str, &[Pattern], Option<&str>); 3] = [
            ("sysDescr", &self.description, identity.description.as_deref()),
            ("IEEE 1284 id", &self.device_id, identity.device_id.as_deref()),
            ("model", &self.model, model.as_deref()),
        ];
        let mut pattern = None;
        for (rank, (what, patterns, text)) in texts.into_iter().enumerate() {
            if let Some(hit) = patterns.iter().find(|p| text.is_some_and(|text| p.is_match(text))) {
                pattern = Some((rank + 1, format!("{what} has `{hit}`")));
            }
        }
        let has_patterns = texts.iter().any(|(_, patterns, _)| !patterns.is_empty());
        match (prefix, pattern) {
            (Some(prefix), Some((rank, reason))) => {
                Some(((prefix.arcs().len(), rank), format!("sysObjectID begins with {prefix}, {reason}")))
            }
            (Some(prefix), None) if !has_patterns => {
                Some(((prefix.arcs().len(), 0), format!("sysObjectID begins with {prefix}")))
            }
            // patterns that tell the series of a family apart say nothing of other makers' devices
            (None, Some((rank, reason))) if self.sys_object_id.is_empty() => Some(((0, rank), reason)),
            _ => None,
        }
    }
}

/// Two files for one beginning, both without patterns: the choice would be arbitrary.
struct Rivals {
    one: Arc<str>,
    other: Arc<str>,
    fault: Fault,
}

fn rivals(pmds: &BTreeMap<Arc<str>, Arc<Pmd>>) -> Vec<Rivals> {
    let mut owners: BTreeMap<&Oid, &Arc<str>> = BTreeMap::new();
    let mut found = Vec::new();
    for pmd in pmds.values() {
        let m = &pmd.matches;
        if !(m.description.is_empty() && m.device_id.is_empty() && m.model.is_empty()) {
            continue;
        }
        for oid in &m.sys_object_id {
            let extends = |one: &str, other: &str| pmds[one].chain.iter().any(|name| **name == *other);
            if let Some(other) = owners.insert(oid, &pmd.name)
                && !extends(other, &pmd.name)
                && !extends(&pmd.name, other)
            {
                let text = format!("`{other}` names sysObjectID {oid} too: patterns in one of them would tell which");
                let fault = Fault { pmd: pmd.name.to_string(), line: 0, text };
                found.push(Rivals { one: pmd.name.clone(), other: Arc::clone(other), fault });
            }
        }
    }
    found
}

/// Loads files in the order in which they extend each other.
struct Loader<'a> {
    words: &'a Words,
    files: &'a BTreeMap<String, String>,
    done: BTreeMap<String, Option<Arc<Pmd>>>,
    faults: Vec<Fault>,
}

impl Loader<'_> {
    fn load(&mut self, name: &str, path: &mut Vec<String>) -> Option<Arc<Pmd>> {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        let text = self.files.get(name)?;
        let (raw, faults) = raw::parse(text);
        let mut all = faults;
        path.push(name.to_owned());
        let base = match &raw.extends {
            None if name == GENERIC => None,
            None => {
                if all.is_empty() {
                    all.push(raw::RawFault { at: 0..0, text: format!("`extends = \"{GENERIC}\"` is missing") });
                }
                None
            }
            Some(extends) => {
                let base = extends.get_ref();
                let fault = if path.contains(base) {
                    Some(format!("`{base}` extends this file: a circle"))
                } else if path.len() >= CHAIN_MAX {
                    Some(format!("a chain of more than {CHAIN_MAX} files"))
                } else if !self.files.contains_key(base) {
                    Some(format!("there is no `{base}` to extend"))
                } else {
                    None
                };
                let found = if fault.is_none() { self.load(base, path) } else { None };
                let fault = fault.or_else(|| found.is_none().then(|| format!("`{base}` is itself at fault")));
                if let Some(text) = fault {
                    all.push(raw::RawFault { at: extends.span(), text });
                }
                found
            }
        };
        path.pop();
        let proven = BUILTIN.iter().any(|(own, own_text)| own == &name && own_text == text);
        let (pmd, more) = resolve::resolve(name, &raw, base.as_deref(), self.words, proven);
        // a file that is not TOML has one kind of fault only
        if !all.iter().any(|fault| fault.text.starts_with("this is not TOML")) {
            all.extend(more);
        }
        all.sort_by_key(|fault| fault.at.start);
        let pmd = all.is_empty().then(|| Arc::new(pmd));
        let line = |at: usize| if at == 0 { 0 } else { text[..at.min(text.len())].matches('\n').count() + 1 };
        self.faults.extend(all.into_iter().map(|fault| Fault {
            pmd: name.to_owned(),
            line: line(fault.at.start),
            text: fault.text,
        }));
        self.done.insert(name.to_owned(), pmd.clone());
        pmd
    }
}
