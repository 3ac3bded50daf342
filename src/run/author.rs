//! `pmd …`: files are opened here, recordings read, and what comes out is printed.

mod trial;

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{device, print, runtime};
use crate::author;
use crate::cli::{Exit, Failure, Invocation, ListFormat, Pmd, Why};
use crate::clock;
use crate::packs::shelf::Shelf;
use crate::pmd::{Library, Sources};
use crate::read::{self, DeviceRead, NotRead};
use crate::snmp::recording::{BYTES_MAX, Recording};

/// Recordings in one folder.
const WALKS_MAX: usize = 10_000;
/// Names in a hint.
const NAMES_MAX: usize = 80;
/// Where a recording is said to have been read: TEST-NET-1 (RFC 5737).
const NOWHERE: &str = "192.0.2.1";

/// Does what was asked.
pub fn pmd(orders: &Pmd, invocation: &Invocation, out: &mut dyn Write) -> Result<Exit, Failure> {
    let in_use = |folder: &Option<PathBuf>| InUse::of(folder.as_deref(), &invocation.places.data);
    match orders {
        Pmd::List { format, walks, pmd_dir } => list(*format, walks.as_deref(), &in_use(pmd_dir)?, out),
        Pmd::Show { name, pmd_dir } => show(name, &in_use(pmd_dir)?, out),
        Pmd::Packs(orders) => super::packs::perform(orders, invocation, out),
        Pmd::Lint { paths, pmd_dir } => lint(paths, in_use(pmd_dir)?.sources, out),
        Pmd::Why(orders) => why(orders, &in_use(&orders.pmd_dir)?, invocation, out),
        Pmd::Draft { walk, out: file, pmd_dir } => draft(walk, file.as_deref(), &in_use(pmd_dir)?, out),
        Pmd::Test { paths, pmd_dir } => trial::test(paths, in_use(pmd_dir)?, out),
    }
}

/// The mapping files in use, and their texts.
struct InUse {
    sources: Sources,
    library: Library,
}

impl InUse {
    /// Those of the program, with those of a folder, else of the pack in use, before them.
    fn of(folder: Option<&Path>, data: &Path) -> Result<Self, Failure> {
        let mut sources = Sources::builtin();
        let library = super::library(folder, data)?;
        if let Some(folder) = folder {
            sources
                .lay_folder(folder)
                .map_err(|error| Failure::usage(format!("cannot read `--pmd-dir {}`: {error}", folder.display())))?;
            return Ok(Self { sources, library });
        }
        let shelf = Shelf::of(data);
        let pack = shelf.current().ok().flatten().and_then(|place| shelf.load(&place).ok());
        for (path, text) in pack.iter().flat_map(|pack| pack.files()) {
            match path.strip_suffix(".toml") {
                Some("words") => text.clone_into(&mut sources.words),
                Some(name) if name.contains('/') => drop(sources.files.insert(name.to_owned(), text.to_owned())),
                _ => {}
            }
        }
        // a mapping of the program may have had its time
        sources.files.retain(|name, _| library.get(name).is_some());
        Ok(Self { sources, library })
    }
}

fn list(format: ListFormat, walks: Option<&Path>, in_use: &InUse, out: &mut dyn Write) -> Result<Exit, Failure> {
    let InUse { sources, library } = in_use;
    let mut models = Vec::new();
    for path in walks.map(recordings).transpose()?.unwrap_or_default() {
        match read(&mut recording(&path)?, library)? {
            Ok(DeviceRead { reading, choice, .. }) => {
                let identity = reading.identity.unwrap_or_default();
                let words = [identity.vendor, identity.model].into_iter().flatten().map(|text| text.value);
                let model = words.collect::<Vec<_>>().join(" ");
                models.push((choice.pmd.name.to_string(), model));
            }
            Err(error) => tracing::info!("`{}`: {error}", path.display()),
        }
    }
    let entries = author::entries(sources, library, &models);
    let text = match format {
        ListFormat::Table => author::list_table(&entries),
        ListFormat::Md => author::list_markdown(&entries, library),
        ListFormat::Json => author::list_json(&entries),
    };
    print(out, &text)
}

fn show(name: &str, in_use: &InUse, out: &mut dyn Write) -> Result<Exit, Failure> {
    let InUse { sources, library } = in_use;
    let Some(pmd) = library.get(name) else {
        let near: Vec<String> = library
            .pmds()
            .map(|pmd| pmd.name.to_string())
            .filter(|known| known.split('/').any(|part| name.split('/').any(|own| own == part)))
            .collect();
        let hint = match near.is_empty() {
            true => "`meterpost pmd list` has all names".to_owned(),
            false => format!("there is {}", near.join(", ")),
        };
        return Err(Failure::usage(format!("there is no mapping `{name}`")).hint(hint));
    };
    print(out, &author::show(sources, pmd))
}

fn lint(paths: &[PathBuf], mut sources: Sources, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut names = Vec::new();
    for path in paths {
        names.extend(lay(&mut sources, path)?);
    }
    if names.is_empty() {
        let paths: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        return Err(Failure::usage(format!("no mapping file in {}", paths.join(", ")))
            .hint("a mapping file is `<vendor>/<family>.toml`"));
    }
    let found = author::lint(&sources, &sources.library(), &names);
    let files = author::counted(names.len(), "file");
    if found.is_empty() {
        return print(out, &format!("{files}, nothing wrong\n"));
    }
    let mut text = String::new();
    for fault in &found {
        text += &format!("{}: {}\n", sources.place(fault), fault.text);
    }
    print(out, &text)?;
    Err(Failure::failed(format!(
        "{} found in {files}",
        if found.len() == 1 { "1 fault was".to_owned() } else { format!("{} faults were", found.len()) }
    )))
}

fn why(orders: &Why, in_use: &InUse, invocation: &Invocation, out: &mut dyn Write) -> Result<Exit, Failure> {
    let InUse { sources, library } = in_use;
    let walk = Path::new(&orders.device);
    let read = if walk.is_file() {
        read(&mut recording(walk)?, library)?
    } else if walk.extension().is_some_and(|extension| extension == "snmprec") {
        recording(walk).map(|mut walk| read(&mut walk, library))??
    } else {
        runtime()?.block_on(async {
            let (_network, mut session) = device::open(&orders.device, &orders.access, invocation).await?;
            let address = session.peer().ip().to_string();
            let first = read::device(&mut session, library, None, &address, clock::now()).await;
            let Ok(read) = &first else { return Ok(first) };
            if read.choice.pmd.weekly.is_empty() {
                return Ok(first);
            }
            // a second full reading asks what the first visit leaves for later
            let mut learned = read.learned.clone();
            learned.full_at = None;
            Ok(read::device(&mut session, library, Some(&learned), &address, clock::now()).await)
        })?
    };
    let read = read.map_err(|error| Failure::failed(format!("`{}`: {error}", orders.device)))?;
    let device = author::Device::of(read, library);
    let Some(field) = &orders.field else { return print(out, &author::overview(&device, library)) };
    match author::why(&device, sources, field) {
        Ok(text) => print(out, &text),
        Err(unknown) => {
            let shown = unknown.known.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
            let more = unknown.known.len().saturating_sub(NAMES_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let hint = author::paragraph(&format!("there is {shown}{more}"));
            Err(Failure::usage(&unknown).hint(hint.trim_end()))
        }
    }
}

fn draft(walk: &Path, file: Option<&Path>, in_use: &InUse, out: &mut dyn Write) -> Result<Exit, Failure> {
    let recording = recording(walk)?;
    if recording.objects("").next().is_none() {
        return Err(Failure::failed(format!("`{}` has no objects: there is nothing to draft from", walk.display())));
    }
    let name = walk.file_name().unwrap_or_default().to_string_lossy();
    let draft = author::draft(&name, &recording, &in_use.library);
    let Some(file) = file else { return print(out, &draft.text) };
    if file.exists() {
        return Err(Failure::failed(format!("`{}` is there already", file.display()))
            .hint("a draft never overwrites what somebody may have worked on: name another file"));
    }
    std::fs::write(file, &draft.text)
        .map_err(|error| Failure::failed(format!("cannot write `{}`: {error}", file.display())))?;
    let mut text = format!("{}: `{}` extends {}\n", draft.title, file.display(), draft.base);
    if !draft.is_printer {
        text += "nothing in the recording says that this is a printer\n";
    }
    text += &format!("{} read by what it extends\n", author::counted(draft.inherited, "counter"));
    for (key, value) in &draft.own {
        text += &format!("{key} = {value} by a rule of its own\n");
    }
    text += &format!("{} in it as comments\n", author::counted(draft.candidates, "candidate"));
    text += &format!("next: meterpost pmd test {} {}\n", file.display(), walk.display());
    print(out, &text)
}

/// Lays a file, a vendor's folder or a folder of such over the library; the names of what was laid.
fn lay(sources: &mut Sources, path: &Path) -> Result<Vec<String>, Failure> {
    let cannot = |error: std::io::Error| Failure::usage(format!("cannot read `{}`: {error}", path.display()));
    if !std::fs::metadata(path).map_err(cannot)?.is_dir() {
        let name = sources.lay_file(path);
        sources.lay_extended(&name);
        return Ok(vec![name]);
    }
    let mut names = sources.lay_folder(path).map_err(cannot)?;
    if names.is_empty() {
        names = sources.lay_vendor(path).map_err(cannot)?;
        names.iter().for_each(|name| sources.lay_extended(name));
    }
    Ok(names)
}

/// The recordings of a folder, by name.
fn recordings(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |error: std::io::Error| Failure::usage(format!("cannot read `{}`: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)?.take(WALKS_MAX) {
        let path = entry.map_err(cannot)?.path();
        if path.extension().is_some_and(|extension| extension == "snmprec") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A recording; every line that is none is told.
fn recording(path: &Path) -> Result<Recording, Failure> {
    let shown = path.display();
    let cannot = |error: std::io::Error| Failure::usage(format!("cannot read `{shown}`: {error}"));
    let bytes = std::fs::metadata(path).map_err(cannot)?.len();
    if bytes > BYTES_MAX as u64 {
        return Err(Failure::usage(format!("`{shown}` has {bytes} bytes: a recording has {BYTES_MAX} at most")));
    }
    let text = std::fs::read(path).map_err(cannot)?;
    Recording::parse(&String::from_utf8_lossy(&text)).map_err(|faults| {
        let lines: Vec<String> = faults.iter().take(20).map(|fault| format!("`{shown}` {fault}")).collect();
        let more = faults.len().saturating_sub(lines.len());
        let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
        Failure::failed(lines.join("\n") + &more)
    })
}

/// Reads a recording as its device would be read.
fn read(recording: &mut Recording, library: &Library) -> Result<Result<DeviceRead, NotRead>, Failure> {
    Ok(runtime()?.block_on(read::device(recording, library, None, NOWHERE, Timestamp::UNIX_EPOCH)))
}
