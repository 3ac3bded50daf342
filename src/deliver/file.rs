//! The file channel: a token becomes a file in a directory, for a share that is read elsewhere or a stick that is carried.
//!
//! A file is there whole or not at all: written under another name, synced, renamed, and the directory synced. Beside them
//! lies a manifest, `<site>.sha256`, in the form of `sha256sum`: at the other end `sha256sum -c` tells what did not survive the
//! way. Names that are not there any more leave the manifest when the channel is opened.
//!
//! The directory is never made: where a stick is not in, its name would be a folder of the system's own disk.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use meterpost_wire::hex;
use meterpost_wire::keys::SiteId;
use meterpost_wire::mail::file_name;
use sha2::{Digest, Sha256};

use super::{Channel, Outgoing, SendError, Sent};

/// A longer manifest is begun anew: a hundred thousand files.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// A directory that takes files.
#[derive(Debug)]
pub struct Folder {
    directory: PathBuf,
    site: SiteId,
    /// Lines of the manifest, as far as it has been read.
    manifest: RefCell<Option<BTreeSet<String>>>,
}

impl Folder {
    /// The directory must be there when something is sent, not before.
    pub fn new(directory: &Path, site: &SiteId) -> Self {
        Self { directory: directory.to_owned(), site: site.clone(), manifest: RefCell::default() }
    }

    fn put(&self, item: &Outgoing) -> io::Result<()> {
        let name = file_name(&self.site, item.sequence);
        let content = format!("{}\n", item.token);
        let path = self.directory.join(&name);
        // a re-send is the same bytes: a file that has them needs no second writing
        if !fs::read(&path).is_ok_and(|found| found == content.as_bytes()) {
            if path.exists() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("`{name}` is there with another content; nothing is written over it"),
                ));
            }
            write_whole(&self.directory, &name, content.as_bytes())?;
        }
        self.enter(&format!("{}  {name}\n", hex::encode(&Sha256::digest(content))))
    }

    /// Adds a line to the manifest; the last line of one that was cut off is ended first.
    fn enter(&self, line: &str) -> io::Result<()> {
        let name = format!("{}.sha256", self.site);
        let mut manifest = self.manifest.borrow_mut();
        let lines = match &mut *manifest {
            Some(lines) => lines,
            None => manifest.insert(self.pruned(&name)?),
        };
        if !lines.insert(line.to_owned()) {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).create(true).open(self.directory.join(&name))?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    }

    /// The lines of the manifest whose files are still there; it is written anew when others were in it.
    fn pruned(&self, name: &str) -> io::Result<BTreeSet<String>> {
        let path = self.directory.join(name);
        let text = match fs::metadata(&path) {
            Ok(found) if found.len() <= MANIFEST_BYTES_MAX => fs::read_to_string(&path).unwrap_or_default(),
            _ => String::new(),
        };
        let there = |line: &&str| line.split_once("  ").is_some_and(|(_, name)| self.directory.join(name).exists());
        let lines: BTreeSet<String> = text.lines().filter(there).map(|line| format!("{line}\n")).collect();
        let kept: String = lines.iter().map(String::as_str).collect();
        if kept.len() != text.len() {
            write_whole(&self.directory, name, kept.as_bytes())?;
        }
        Ok(lines)
    }
}

impl Channel for Folder {
    fn name(&self) -> &'static str {
        "file"
    }

    fn send(&self, item: &Outgoing) -> Result<Sent, SendError> {
        match self.put(item) {
            Ok(()) => Ok(Sent::HandedOver),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(SendError::Unsure(error.to_string())),
            Err(error) => {
                let reason = format!("cannot write to `{}`: {error}", self.directory.display());
                Err(SendError::Down { reason, at_least: None })
            }
        }
    }
}

/// Writes a file that is there whole or not at all, also after a loss of power.
fn write_whole(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!(".{name}.new"));
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, directory.join(name))?;
        sync_directory(directory)
    })();
    if written.is_err() {
        // what is left over is no batch; that it cannot be taken away changes nothing
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Where directories can be synced at all: some shares do not know it, and Windows has no such thing.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        match File::open(directory)?.sync_all() {
            Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10";

    fn folder(directory: &Path) -> Folder {
        Folder::new(directory, &SiteId::parse(SITE).unwrap())
    }

    fn item(sequence: u64, token: &str) -> Outgoing {
        Outgoing { sequence, id: "id".into(), epoch: 1, token: token.into(), attempt: 1 }
    }

    fn there(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_the_token_and_one_line_feed_and_stands_in_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let channel = folder(dir.path());
        for sequence in [41, 42, 41] {
            assert_eq!(channel.send(&item(sequence, "abc")), Ok(Sent::HandedOver));
        }
        assert_eq!(there(dir.path()), [format!("{SITE}-41.jwe"), format!("{SITE}-42.jwe"), format!("{SITE}.sha256")]);
        assert_eq!(fs::read(dir.path().join(format!("{SITE}-41.jwe"))).unwrap(), b"abc\n");
        let hash = "edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb";
        let manifest = fs::read_to_string(dir.path().join(format!("{SITE}.sha256"))).unwrap();
        assert_eq!(manifest, format!("{hash}  {SITE}-41.jwe\n{hash}  {SITE}-42.jwe\n"));
    }

    #[test]
    fn a_manifest_forgets_what_was_carried_away_and_a_line_that_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path()).send(&item(1, "one")).unwrap();
        folder(dir.path()).send(&item(2, "two")).unwrap();
        fs::remove_file(dir.path().join(format!("{SITE}-1.jwe"))).unwrap();
        let manifest = dir.path().join(format!("{SITE}.sha256"));
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text + "0123").unwrap();
        folder(dir.path()).send(&item(3, "three")).unwrap();
        let names: Vec<String> =
            fs::read_to_string(&manifest).unwrap().lines().map(|line| line[64..].trim().to_owned()).collect();
        assert_eq!(names, [format!("{SITE}-2.jwe"), format!("{SITE}-3.jwe")]);
    }

    #[test]
    fn nothing_is_written_over_another_sites_twin_and_a_missing_directory_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path()).send(&item(1, "one")).unwrap();
        let twin = folder(dir.path()).send(&item(1, "another"));
        assert!(matches!(twin, Err(SendError::Unsure(_))), "{twin:?}");
        let stick = dir.path().join("stick");
        let gone = folder(&stick).send(&item(1, "one"));
        assert!(matches!(gone, Err(SendError::Down { .. })), "{gone:?}");
        assert!(!stick.exists());
    }
}
