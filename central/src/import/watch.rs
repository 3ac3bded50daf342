//! A directory whose files are taken in as they come: a share, a place where sticks are copied to, a Maildir.
//!
//! A file is read once neither its size nor its time of change has moved between two looks, so that one which is still being
//! copied is left alone; afterwards it lies in `processed` or `rejected`. Directories in it are left alone.

use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use super::imap::log;
use super::paths::take_all;
use super::source::{self, After};
use super::{Outcome, follow_keys};
use crate::store::Store;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A file that could not be read, or for which there was no room, is left alone for this long.
const AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);

/// Files of one look; the others come next.
const FILES_MAX: usize = 10_000;

/// A file as it was at the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    size: u64,
    changed: Option<SystemTime>,
    tried: Option<Instant>,
}

/// Watches the directory for ever.
pub async fn attend(store: Store, folder: PathBuf, now: fn() -> Timestamp) {
    let mut seen = HashMap::new();
    loop {
        if let Err(error) = look(&store, &folder, &mut seen, now).await {
            tracing::error!(folder = %folder.display(), error, "the watched directory is not read");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(
    store: &Store,
    folder: &Path,
    seen: &mut HashMap<PathBuf, Seen>,
    now: fn() -> Timestamp,
) -> Result<(), String> {
    let (place, before) = (folder.to_owned(), std::mem::take(seen));
    let looked = tokio::task::spawn_blocking(move || {
        let maildir = source::is_maildir(&place);
        files(&place, &before).map(|found| (maildir, found))
    });
    let (maildir, (found, ready)) =
        looked.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    *seen = found;
    if ready.is_empty() && !maildir {
        return Ok(());
    }
    let (place, files) = (folder.to_owned(), ready.clone());
    let find = move |take: &mut source::Taker<'_>| {
        if maildir {
            return source::find(&place, take);
        }
        for file in files {
            source::read_file(&file, After::Sort { file: file.clone(), folder: place.clone() }, take)?;
        }
        ControlFlow::Continue(())
    };
    let mut told = |name: &str, what: Result<&Outcome, &str>| log(name, what);
    let summary = take_all(store, now, &mut told, find).await.map_err(|error| error.to_string())?;
    if summary.new > 0 {
        // What an earlier look could not open may open now.
        follow_keys(store, now()).await.map_err(|error| error.to_string())?;
    }
    for file in ready {
        if let Some(seen) = seen.get_mut(&file) {
            seen.tried = Some(Instant::now());
        }
    }
    Ok(())
}

type Look = (HashMap<PathBuf, Seen>, Vec<PathBuf>);

/// The files in the directory, and those of them that have not changed since the look before.
fn files(folder: &Path, before: &HashMap<PathBuf, Seen>) -> std::io::Result<Look> {
    let (mut seen, mut ready) = (HashMap::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Ok(there) = fs::metadata(&path) else { continue };
        if !there.is_file() || source::is_passed_over(&path) {
            continue;
        }
        if seen.len() == FILES_MAX {
            break;
        }
        let now = Seen { size: there.len(), changed: there.modified().ok(), tried: None };
        let last = before.get(&path).copied();
        let still = last.filter(|last| (last.size, last.changed) == (now.size, now.changed));
        let tried = still.and_then(|last| last.tried).filter(|tried| tried.elapsed() < AGAIN_AFTER);
        if still.is_some() && tried.is_none() {
            ready.push(path.clone());
        }
        seen.insert(path, Seen { tried, ..now });
    }
    Ok((seen, ready))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_still_grows_is_left_alone_and_one_that_stays_is_not_tried_at_every_look() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("a.jwe");
        let look = |before: &HashMap<PathBuf, Seen>| files(dir.path(), before).expect("a directory");
        fs::write(&file, "half").expect("written");
        fs::write(dir.path().join("b.tmp"), "x").expect("written");
        fs::create_dir(dir.path().join(source::PROCESSED)).expect("made");
        let (seen, ready) = look(&HashMap::new());
        assert!(ready.is_empty());
        fs::write(&file, "half and the other half").expect("written");
        let (seen, ready) = look(&seen);
        assert!(ready.is_empty());
        let (mut seen, ready) = look(&seen);
        assert_eq!(ready, [file.as_path()]);
        seen.get_mut(&file).expect("seen").tried = Some(Instant::now());
        assert!(look(&seen).1.is_empty());
    }
}
