//! Where files come from: paths, directories, Maildirs, mboxes and standard input. Everything here waits for the disk and
//! belongs on a thread of its own; only one piece of a source is in memory.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::mbox::{self, Mbox};
use super::{Outcome, PIECE_MAX, Piece};

/// Directories within directories; what lies deeper is left.
const DEPTH_MAX: u32 = 16;

/// A file or message, or why it cannot be read, and what is to be done with it afterwards.
#[derive(Debug)]
pub struct Found {
    /// What people call it, and what is in it.
    pub piece: Result<Piece, Unread>,
    /// Afterwards.
    pub after: After,
}

/// A file that is not read; it stays where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// What people call it.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What is to be done with a file once its batches are stored or kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing: it belongs to who named it.
    Leave,
    /// A message of a Maildir: from `new` to `cur`, as seen.
    Seen(PathBuf),
    /// A file of a watched directory: to `processed` or `rejected` in it.
    Sort {
        /// The file.
        file: PathBuf,
        /// The watched directory.
        folder: PathBuf,
    },
}

/// The folder in a watched directory of files whose batches are stored.
pub const PROCESSED: &str = "processed";

/// The folder of those that hold something else.
pub const REJECTED: &str = "rejected";

/// Who takes what is found; `Break` ends the search.
pub type Taker<'t> = dyn FnMut(Found) -> ControlFlow<()> + 't;

/// Finds everything under a path: a file, a directory with all in it, a Maildir's new messages, the messages of an mbox;
/// `-` is standard input. Symbolic links to directories are not followed.
pub fn find(path: &Path, take: &mut Taker<'_>) -> ControlFlow<()> {
    if path == Path::new("-") {
        return read(io::stdin().lock(), "standard input", After::Leave, take);
    }
    under(path, 0, take)
}

/// How many files there are under a path, for a progress bar.
pub fn count(path: &Path) -> u64 {
    let Ok(there) = fs::metadata(path) else { return 1 };
    if !there.is_dir() {
        return 1;
    }
    let folder = if is_maildir(path) { path.join("new") } else { path.to_owned() };
    let Ok(entries) = fs::read_dir(folder) else { return 1 };
    let entries = entries.flatten().filter(|entry| !is_passed_over(&entry.path()));
    entries.map(|entry| if entry.file_type().is_ok_and(|kind| kind.is_dir()) { count(&entry.path()) } else { 1 }).sum()
}

fn under(path: &Path, depth: u32, take: &mut Taker<'_>) -> ControlFlow<()> {
    let name = path.display().to_string();
    let unread = |why: String| Found { piece: Err(Unread { name: name.clone(), why }), after: After::Leave };
    let there = match fs::metadata(path) {
        Ok(there) => there,
        Err(error) => return take(unread(error.to_string())),
    };
    if !there.is_dir() {
        return read_file(path, After::Leave, take);
    }
    if depth == DEPTH_MAX {
        return take(unread("it lies in more than 16 directories".to_owned()));
    }
    let maildir = is_maildir(path);
    let folder = if maildir { path.join("new") } else { path.to_owned() };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => return take(unread(error.to_string())),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return take(unread(error.to_string())),
        };
        let (path, kind) = (entry.path(), entry.file_type());
        if is_passed_over(&path) {
            continue;
        }
        if maildir {
            read_file(&path, After::Seen(path.clone()), take)?;
        } else if kind.is_ok_and(|kind| kind.is_dir()) {
            under(&path, depth + 1, take)?;
        } else if fs::metadata(&path).is_ok_and(|there| there.is_file()) {
            read_file(&path, After::Leave, take)?;
        }
    }
    ControlFlow::Continue(())
}

/// Reads one file: a token, a message, or an mbox with many.
pub fn read_file(path: &Path, after: After, take: &mut Taker<'_>) -> ControlFlow<()> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => read(BufReader::with_capacity(64 << 10, file), &name, after, take),
        Err(error) => take(Found { piece: Err(Unread { name, why: error.to_string() }), after: After::Leave }),
    }
}

fn read(mut reader: impl BufRead, name: &str, after: After, take: &mut Taker<'_>) -> ControlFlow<()> {
    let mut start = Vec::new();
    let unread = |name: String, why: String| Found { piece: Err(Unread { name, why }), after: After::Leave };
    let begun = reader.by_ref().take(mbox::START.len() as u64).read_to_end(&mut start);
    if let Err(error) = begun {
        return take(unread(name.to_owned(), error.to_string()));
    }
    let mut reader = start.chain(reader);
    if start.starts_with(mbox::START) {
        if after != After::Leave {
            return take(alone(Mbox::new(reader), name, after));
        }
        for (number, message) in (1_u64..).zip(Mbox::new(reader)) {
            let name = format!("{name} message {number}");
            match message {
                Ok(bytes) => take(Found { piece: Ok(piece(&name, bytes)), after: After::Leave })?,
                Err(error) => take(unread(name, error.to_string()))?,
            }
        }
        return ControlFlow::Continue(());
    }
    let mut bytes = Vec::new();
    match reader.by_ref().take(PIECE_MAX as u64 + 1).read_to_end(&mut bytes) {
        Ok(_) => take(Found { piece: Ok(piece(name, bytes)), after }),
        Err(error) => take(unread(name.to_owned(), error.to_string())),
    }
}

/// The one message of a file that is to be moved: with several in it, nothing says when all of them are stored.
fn alone(mut messages: Mbox<impl BufRead>, name: &str, after: After) -> Found {
    let piece = match (messages.next(), messages.next()) {
        (Some(Ok(bytes)), None) => Ok(piece(name, bytes)),
        (Some(Err(error)), _) | (_, Some(Err(error))) => Err(error.to_string()),
        _ => Err("several messages are in it: give it to `import`".to_owned()),
    };
    Found { piece: piece.map_err(|why| Unread { name: name.to_owned(), why }), after }
}

fn piece(name: &str, bytes: Vec<u8>) -> Piece {
    Piece { name: name.to_owned(), bytes, mail: None }
}

/// A directory with `new` and `cur`, as mail servers deliver into.
pub fn is_maildir(path: &Path) -> bool {
    ["new", "cur"].iter().all(|folder| path.join(folder).is_dir())
}

/// Hidden files, files that are still written, and the list that a collector puts beside its files.
pub fn is_passed_over(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".part") || name.ends_with(".sha256")
}

impl After {
    /// Does it, now that everything in the file is stored or kept; where there was no room, nothing.
    pub fn settle(&self, outcome: &Outcome) -> io::Result<()> {
        if matches!(outcome, Outcome::Left(_)) {
            return Ok(());
        }
        match self {
            Self::Leave => Ok(()),
            Self::Seen(file) => {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let name = name.split_once(":2,").map_or(&*name, |(name, _)| name);
                let folder = file.parent().and_then(Path::parent).unwrap_or(Path::new("."));
                rename(file, &folder.join("cur").join(format!("{name}:2,S")))
            }
            Self::Sort { file, folder } => {
                let stored = matches!(outcome, Outcome::Stored { .. });
                let to = folder.join(if stored { PROCESSED } else { REJECTED });
                fs::create_dir_all(&to)?;
                rename(file, &free(to.join(file.file_name().unwrap_or_default())))
            }
        }
    }
}

/// One that was moved already, by another import or as an earlier message of the same mbox, is where it should be.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => Ok(()),
        done => done,
    }
}

/// The path, or with a number behind it where there is such a file already: nothing is overwritten.
fn free(path: PathBuf) -> PathBuf {
    let numbered = |number: u32| {
        let mut name = path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    if !path.exists() {
        return path;
    }
    (1..).map(numbered).find(|path| !path.exists()).unwrap_or(path)
}
