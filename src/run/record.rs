//! `record`: a device's objects to a file, which is there whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::signal::Stop;
use super::{device, print, runtime};
use crate::author::paragraph;
use crate::cli::{self, Exit, Failure, Invocation};
use crate::clock;
use crate::keyring::Keyring;
use crate::pmd::Library;
use crate::read;
use crate::record::redact::{self, Kind, Known};
use crate::record::{self, Recorded};
use crate::snmp::recording::{Recording, push_answer};
use crate::snmp::{Agent, Oid, Value};

/// Records, replaces what nobody else is to know, and writes.
pub fn record(orders: &cli::Record, invocation: &Invocation, out: &mut dyn Write) -> Result<Exit, Failure> {
    let folder = orders.out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Failure::usage(format!("`{}` is no folder to write into", folder.display())));
    }
    let library = super::library(None, &invocation.places.data)?;
    let stop = Stop::listen()?;
    let began = std::time::Instant::now();
    let (recorded, traffic) = runtime()?.block_on(async {
        let (_network, mut session) = device::open(&orders.device, &orders.access, invocation).await?;
        let line = Line::new(&orders.device, invocation.verbosity < 0);
        let recorded = record::record(&mut session, |objects, oid| {
            line.show(objects, oid);
            if stop.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let recorded = recorded.await;
        Ok((recorded, session.traffic()))
    })?;
    if recorded.objects.is_empty() {
        let why = recorded.cut_short.map_or_else(|| "it has no objects".to_owned(), |why| why.to_string());
        return Err(Failure::failed(format!("nothing was recorded of {}: {why}", orders.device)));
    }
    let reading = reading(&recorded.objects, &library)?;
    let (objects, replaced) = match orders.raw {
        true => (recorded.objects.clone(), BTreeMap::new()),
        false => {
            let known = Known::of(reading.as_ref(), &recorded.objects, &library.words);
            let keys = keys(&invocation.places.key)?;
            let digest = |text: &str| keys.names().look_up(text);
            let redacted = redact::redact(&recorded.objects, &known, &digest);
            (redacted.objects, redacted.replaced)
        }
    };
    write(&orders.out, &text(&objects))
        .map_err(|error| Failure::failed(format!("cannot write `{}`: {error}", orders.out.display())))?;
    let seconds = began.elapsed().as_secs();
    let identity = reading.and_then(|reading| reading.identity);
    let words = identity.into_iter().flat_map(|identity| [identity.vendor, identity.model]).flatten();
    let title = words.map(|text| text.value).collect::<Vec<_>>().join(" ");
    let title = if title.is_empty() { orders.device.clone() } else { title };
    let mut told = paragraph(&format!(
        "{title}: {} objects in {seconds} s and {} requests, written to {}",
        objects.len(),
        traffic.requests,
        orders.out.display()
    ));
    told += &told_of(&recorded, &replaced, orders.raw);
    told += &format!("next: meterpost pmd draft {}\n", orders.out.display());
    print(out, &told)?;
    match recorded.cut_short {
        None => Ok(Exit::Done),
        Some(why) => {
            tracing::warn!("the recording is not whole: {why}");
            Ok(Exit::InPart)
        }
    }
}

/// What was left out, where the agent is broken, what was replaced.
fn told_of(recorded: &Recorded, replaced: &BTreeMap<Kind, (usize, usize)>, raw: bool) -> String {
    let mut told = String::new();
    for (tree, reason) in &recorded.left_out {
        told += &paragraph(&format!("left out: {tree}, {reason}"));
    }
    for spot in &recorded.spots {
        let then = match &spot.went_on {
            Some(oid) => format!("it went on at {oid}"),
            None => "nothing was found behind it".to_owned(),
        };
        told += &paragraph(&format!("broken: behind {} {}; {then}", spot.behind, spot.what));
    }
    if let Some(why) = recorded.cut_short {
        told += &paragraph(&format!("not whole: {why}"));
    }
    let counts = replaced.iter().map(|(kind, (originals, places))| {
        let (one, several) = kind.words();
        let places = if *places == 1 { "1 place".to_owned() } else { format!("{places} places") };
        format!("{originals} {} in {places}", if *originals == 1 { one } else { several })
    });
    let counts: Vec<String> = counts.collect();
    told += &match (raw, counts.is_empty()) {
        (true, _) => "nothing was replaced (--raw): serial numbers, names and addresses stand in it\n".to_owned(),
        (false, true) => "nothing had to be replaced\n".to_owned(),
        (false, false) => paragraph(&format!(
            "replaced: {}; look through the file before you give it away, no program knows every name",
            counts.join(", ")
        )),
    };
    told
}

/// What a mapping makes of the objects, where they are a printer's.
fn reading(objects: &[(Oid, Value)], library: &Library) -> Result<Option<meterpost_wire::Reading>, Failure> {
    let mut recording = Recording::of(objects.iter().cloned());
    let read = read::device(&mut recording, library, None, "192.0.2.1", clock::now());
    Ok(runtime()?.block_on(read).ok().map(|read| read.reading))
}

/// The keys of this machine, so that two recordings of one device have the same pseudonyms; where there are none, keys for
/// this recording alone.
fn keys(path: &Path) -> Result<Keyring, Failure> {
    let known = Keyring::read(path).unwrap_or_else(|error| {
        tracing::info!("{error}; pseudonyms of this recording alone");
        None
    });
    Ok(known.unwrap_or_else(|| Keyring::new(clock::random_bytes())))
}

/// The lines of a recording.
fn text(objects: &[(Oid, Value)]) -> String {
    let mut text = String::new();
    for (oid, value) in objects {
        text += &oid.to_string();
        text.push('|');
        match value {
            // nearly every counter is of 32 bits, and the wire of SNMPv1 knows no other
            Value::Counter(n) if *n <= u64::from(u32::MAX) => text += &format!("65|{n}"),
            value => push_answer(&mut text, &Ok(value.clone())),
        }
        text.push('\n');
    }
    text
}

/// Beside its place first, then on the disk, then in its place.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        // what is left of it is of no use; that it cannot be removed says nothing new
        let _ = fs::remove_file(&beside);
    }
    #[cfg(unix)]
    if let (Ok(()), Some(folder)) = (&done, path.parent()) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    done
}

/// How far it is, on stderr, where that is a terminal.
struct Line(Option<ProgressBar>);

impl Line {
    fn new(device: &str, quiet: bool) -> Self {
        let line = (!quiet && std::io::stderr().is_terminal()).then(ProgressBar::new_spinner);
        if let Some(line) = &line {
            line.set_message(format!("{device}: asking"));
        }
        Self(line)
    }

    fn show(&self, objects: usize, oid: &Oid) {
        if let Some(line) = &self.0 {
            line.set_message(format!("{objects} objects, at {oid}"));
            line.tick();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            line.finish_and_clear();
        }
    }
}
