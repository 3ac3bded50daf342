//! `pmd test`: mapping files against recordings.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{InUse, lay, print, read, recording, recordings};
use crate::author::trial::{changes, fields, headline, misses, statements};
use crate::author::{self, Device};
use crate::cli::{Exit, Failure};
use crate::pmd::Library;
use crate::read::NotRead;

/// Tests all mapping files that the paths hold against all recordings.
pub(super) fn test(paths: &[PathBuf], in_use: InUse, out: &mut dyn Write) -> Result<Exit, Failure> {
    let InUse { sources: mut tested, library: before } = in_use;
    let (mut names, mut walks) = (Vec::new(), Vec::new());
    for path in paths {
        if path.is_dir() {
            let found = recordings(path)?;
            match found.is_empty() {
                true => names.extend(lay(&mut tested, path)?),
                false => walks.extend(found),
            }
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            names.extend(lay(&mut tested, path)?);
        } else {
            walks.push(path.clone());
        }
    }
    if walks.is_empty() {
        return Err(Failure::usage("no recording to read").hint("name one, `<name>.snmprec`, or a folder of them"));
    }
    let after = tested.library();
    let mut tally = Tally::default();
    let faults: Vec<_> = after.faults.iter().filter(|fault| names.contains(&fault.pmd)).collect();
    for fault in &faults {
        tally.text += &format!("{}: {}\n", tested.place(fault), fault.text);
    }
    tally.faults = faults.len();
    for walk in &walks {
        one(walk, &before, &after, walks.len() == 1, &mut tally)?;
    }
    let idle: Vec<&str> = names.iter().map(String::as_str).filter(|name| !tally.used(name, &after)).collect();
    if !idle.is_empty() && tally.faults == 0 {
        tally.text += &author::paragraph(&format!("No recording was read by {}.", idle.join(", ")));
    }
    let Tally { text, faults, stated, missed, unread, .. } = &tally;
    let mut text = text.clone();
    text += &format!(
        "{} recording{}: {} statements in sidecars, {missed} wrong\n",
        walks.len(),
        if walks.len() == 1 { "" } else { "s" },
        stated
    );
    print(out, &text)?;
    let mut wrong = Vec::new();
    if *faults > 0 {
        wrong.push(format!("{faults} fault{} in mapping files", if *faults == 1 { "" } else { "s" }));
    }
    if *unread > 0 {
        wrong.push(format!("{unread} recording{} could not be read", if *unread == 1 { "" } else { "s" }));
    }
    if *missed > 0 {
        wrong.push(format!("{missed} value{} not as the sidecar says", if *missed == 1 { " is" } else { "s are" }));
    }
    if wrong.is_empty() && !names.is_empty() && idle.len() == names.len() {
        wrong.push("none of the mapping files was tried: no recording fits one".to_owned());
    }
    if wrong.is_empty() { Ok(Exit::Done) } else { Err(Failure::failed(wrong.join(", "))) }
}

/// What has come of it so far.
#[derive(Default)]
struct Tally {
    text: String,
    faults: usize,
    stated: usize,
    missed: usize,
    unread: usize,
    picked: Vec<String>,
}

impl Tally {
    /// Whether a mapping, or one that extends it, has read a recording.
    fn used(&self, name: &str, library: &Library) -> bool {
        let chains = self.picked.iter().filter_map(|picked| library.get(picked));
        chains.flat_map(|pmd| &pmd.chain).any(|own| **own == *name)
    }
}

fn one(path: &Path, before: &Library, after: &Library, in_full: bool, tally: &mut Tally) -> Result<(), Failure> {
    tally.text += &headline(&path.display().to_string());
    let mut walk = match recording(path) {
        Ok(walk) => walk,
        Err(failure) if in_full => return Err(failure),
        Err(failure) => {
            tally.unread += 1;
            tally.text += &format!("{}\n\n", failure.what);
            return Ok(());
        }
    };
    let old = device(&mut walk.clone(), before)?.ok();
    let new = match device(&mut walk, after)? {
        Ok(new) => {
            let (title, choice) = (new.title(), &new.choice);
            tally.text += &author::paragraph(&format!("{title}, read by {}: {}", choice.pmd.name, choice.reason));
            tally.picked.push(choice.pmd.name.to_string());
            Some(new)
        }
        Err(why) => {
            tally.text += &author::paragraph(&why.to_string());
            None
        }
    };
    if let Some(new) = new.as_ref().filter(|_| in_full) {
        tally.text += &fields(new);
    }
    let changed = changes(old.as_ref(), new.as_ref());
    if !changed.is_empty() {
        let by = old.as_ref().map_or_else(|| "no mapping".to_owned(), |old| old.choice.pmd.name.to_string());
        tally.text += &format!("against the library ({by}):\n");
        changed.iter().for_each(|line| tally.text += &format!("  {line}\n"));
    } else if in_full {
        tally.text += "nothing changes against the library\n";
    }
    match sidecar(path)? {
        None if in_full => tally.text += "no sidecar lies beside it: nothing says whether this is right\n",
        None => {}
        Some((name, truth)) => {
            let (wrong, stated) = (misses(&truth, new.as_ref()), statements(&truth));
            tally.stated += stated;
            tally.missed += wrong.len();
            tally.text += &format!("{name}: {stated} statements, {} wrong\n", wrong.len());
            wrong.iter().for_each(|line| tally.text += &format!("  {line}\n"));
        }
    }
    tally.text.push('\n');
    Ok(())
}

fn device(walk: &mut crate::snmp::recording::Recording, library: &Library) -> Result<Result<Device, NotRead>, Failure> {
    Ok(read(walk, library)?.map(|read| Device::of(read, library)))
}

/// What is true of a recording, and the file that says so: `<name>.json`, else `<name>.toml`.
fn sidecar(walk: &Path) -> Result<Option<(String, Value)>, Failure> {
    let text = |path: &Path| match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::usage(format!("cannot read `{}`: {error}", path.display()))),
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let json = walk.with_extension("json");
    if let Some(text) = text(&json)? {
        let wrong = |error| Failure::usage(format!("`{}` is not JSON: {error}", json.display()));
        let mut truth: Value = serde_json::from_str(&text).map_err(wrong)?;
        // a whole scan of one printer will do
        if truth["devices"].is_array() {
            truth = truth["devices"][0].take();
        }
        return Ok(Some((name(&json), truth)));
    }
    let toml = walk.with_extension("toml");
    let Some(text) = text(&toml)? else { return Ok(None) };
    let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("`{}` is not TOML: {error}", toml.display()));
    let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(&error))?;
    // a mapping file of the same name is no sidecar
    if table.contains_key("format") {
        return Ok(None);
    }
    let truth = serde_json::to_value(table).map_err(|error| wrong(&error))?;
    Ok(Some((name(&toml), truth)))
}
