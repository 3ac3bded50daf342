//! Packs on the disk, unpacked: `<data-dir>/packs/<channel>/<version>/`, and `packs/current`, a line that names the one in use.
//!
//! # What is promised
//! - A folder `<channel>/<version>` is whole: it is filled under another name, every file and folder is synced, and then it is
//!   renamed. `current` is written in the same way, so it names the old pack or the new one.
//! - Every file's hash is compared with the manifest at each loading. A pack that is not as it was is not used.
//!
//! There are no links and nothing is locked open: a Windows host can do all of it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use meterpost_wire::pack::Channel;

use crate::pmd::Library;
use crate::pmd::pack::{BadPack, Pack};

/// Packs that are kept besides the one in use.
const OLDER_KEPT: usize = 2;

/// The line that names the pack in use.
const CURRENT: &str = "current";

/// Bytes of that line.
const CURRENT_BYTES_MAX: u64 = 100;

/// What an unfinished folder or file begins with.
const UNFINISHED: &str = ".new-";

/// Where packs of one data directory lie.
#[derive(Clone, Debug)]
pub struct Shelf {
    directory: PathBuf,
}

/// One pack's place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its channel.
    pub channel: Channel,
    /// Its version.
    pub version: u64,
}

impl Place {
    /// Reads `stable 12`.
    pub fn parse(text: &str) -> Option<Self> {
        let (channel, version) = text.trim_end_matches('\n').split_once(' ')?;
        let version = version.parse().ok().filter(|version| *version > 0)?;
        Some(Self { channel: Channel::parse(channel).ok()?, version })
    }

    /// Where this pack lies.
    pub fn of(pack: &Pack) -> Self {
        Self { channel: pack.label.channel.clone(), version: pack.label.version }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.channel, self.version)
    }
}

/// Why a pack on the disk is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The disk says so.
    #[error("`{}`: {}", .0.display(), .1)]
    Disk(PathBuf, io::Error),
    /// It is not what was put there, or this program no longer takes it.
    #[error("pack {0}: {1}")]
    Bad(Place, BadPack),
    /// `current` is no line that we wrote.
    #[error("`{}` names no pack: `stable 12` would be one", .0.display())]
    NoPlace(PathBuf),
}

impl Shelf {
    /// Of a data directory. Nothing is made before something is kept.
    pub fn of(data_dir: &Path) -> Self {
        Self { directory: data_dir.join("packs") }
    }

    /// The place of the pack in use; `None` is the library inside the program.
    pub fn current(&self) -> Result<Option<Place>, Unusable> {
        let path = self.directory.join(CURRENT);
        match read_at_most(&path, CURRENT_BYTES_MAX) {
            Ok(line) => {
                let place = std::str::from_utf8(&line).ok().and_then(Place::parse);
                place.map(Some).ok_or(Unusable::NoPlace(path))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Unusable::Disk(path, error)),
        }
    }

    /// A pack that lies here, with every hash compared.
    pub fn load(&self, place: &Place) -> Result<Pack, Unusable> {
        let folder = self.folder(place);
        let pack = Pack::reopen(|path, most| read_at_most(&folder.join(path), most).map_err(|error| error.to_string()));
        let bad = |error| Unusable::Bad(place.clone(), error);
        let pack = pack.map_err(bad)?;
        if Place::of(&pack) != *place {
            return Err(Unusable::NoPlace(folder));
        }
        Ok(pack)
    }

    /// The library in use: the program's own with the pack's over it, or the program's own alone and why.
    pub fn library(&self) -> (Library, Option<Unusable>) {
        let layered = self.current().and_then(|place| match place {
            None => Ok(None),
            Some(place) => {
                let pack = self.load(&place)?;
                pack.library().map(Some).map_err(|error| Unusable::Bad(place, error))
            }
        });
        match layered {
            Ok(Some(library)) => (library, None),
            Ok(None) => (Library::builtin(), None),
            Err(why) => (Library::builtin(), Some(why)),
        }
    }

    /// Puts a pack here. Nothing uses it before [`Shelf::switch`]. `token` makes the name of the unfinished folder.
    pub fn keep(&self, pack: &Pack, token: [u8; 8]) -> Result<Place, Unusable> {
        let place = Place::of(pack);
        if self.current().is_ok_and(|current| current.as_ref() == Some(&place))
            && self.load(&place).is_ok_and(|here| here == *pack)
        {
            return Ok(place);
        }
        let unfinished = self.directory.join(format!("{UNFINISHED}{:016x}", u64::from_le_bytes(token)));
        let kept = self.unpack(pack, &unfinished).and_then(|()| {
            let folder = self.folder(&place);
            if let Some(channel) = folder.parent() {
                make_folder(channel)?;
            }
            if folder.exists() {
                // left by an earlier try; or it is in use and damaged, and then there is nothing to lose
                fs::remove_dir_all(&folder)?;
            }
            fs::rename(&unfinished, &folder)?;
            sync_folder(folder.parent().unwrap_or(&self.directory))
        });
        kept.map(|()| place).map_err(|error| {
            // what is half there is of no use, and in nobody's way if it stays
            let _ = fs::remove_dir_all(&unfinished);
            Unusable::Disk(unfinished, error)
        })
    }

    fn unpack(&self, pack: &Pack, folder: &Path) -> io::Result<()> {
        make_folder(&self.directory)?;
        make_folder(folder)?;
        for (path, text) in pack.files() {
            let path = folder.join(path);
            if let Some(parent) = path.parent().filter(|parent| *parent != folder) {
                make_folder(parent)?;
            }
            write_new(&path, text.as_bytes())?;
        }
        for vendor in fs::read_dir(folder)? {
            let vendor = vendor?;
            if vendor.file_type()?.is_dir() {
                sync_folder(&vendor.path())?;
            }
        }
        sync_folder(folder)
    }

    /// Uses what lies at a place from now on; `None` is the library inside the program.
    pub fn switch(&self, to: Option<&Place>) -> Result<(), Unusable> {
        let (current, new) = (self.directory.join(CURRENT), self.directory.join(format!("{UNFINISHED}{CURRENT}")));
        let switched = match to {
            Some(place) => remove_file(&new)
                .and_then(|()| write_new(&new, format!("{place}\n").as_bytes()))
                .and_then(|()| fs::rename(&new, &current)),
            None => remove_file(&current),
        };
        switched.and_then(|()| sync_folder(&self.directory)).map_err(|error| Unusable::Disk(current, error))
    }

    /// Versions of a channel that lie here, highest first.
    pub fn versions(&self, channel: &Channel) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(self.directory.join(channel.as_str())) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut versions: Vec<u64> = names.filter_map(|name| name.parse().ok()).collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        versions
    }

    /// Clears away what no command can ask for any more: unfinished things, and all but the pack in use, the two before it and
    /// the one that waits.
    pub fn tidy(&self, waits: Option<&Place>) {
        let Ok(Some(current)) = self.current() else { return };
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(UNFINISHED) {
                let _ = fs::remove_dir_all(entry.path());
            }
            let Ok(channel) = Channel::parse(&name) else { continue };
            let older = self.versions(&channel).into_iter().filter(|version| *version < current.version);
            let kept: Vec<u64> = if channel == current.channel { older.take(OLDER_KEPT).collect() } else { Vec::new() };
            for version in self.versions(&channel) {
                let place = Place { channel: channel.clone(), version };
                if place != current && Some(&place) != waits && !kept.contains(&version) {
                    let _ = fs::remove_dir_all(self.folder(&place));
                }
            }
        }
    }

    fn folder(&self, place: &Place) -> PathBuf {
        self.directory.join(place.channel.as_str()).join(place.version.to_string())
    }
}

/// The octets of a file, one more than `most` at most: a longer one is known by that.
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A folder for its owner alone, if it is not there.
fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What is renamed within a folder lasts once the folder is synced; Windows has no such call and does it by itself.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use meterpost_wire::pack::Label;

    use super::*;

    const TOKEN: [u8; 8] = [7; 8];

    fn pack(version: u64) -> Pack {
        let label = format!("pmd-pack channel=stable version={version} expires=2026-12-31T00:00:00Z");
        let mapping = format!(
            "format = 1\nextends = \"generic/printer-mib\"\n\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999.{version}\"]\n"
        );
        let files = BTreeMap::from([("acme/mfp.toml".to_owned(), mapping)]);
        Pack::of(Label::parse(&label).unwrap(), files).unwrap()
    }

    fn install(shelf: &Shelf, version: u64) {
        let place = shelf.keep(&pack(version), TOKEN).unwrap();
        shelf.switch(Some(&place)).unwrap();
        shelf.tidy(None);
    }

    #[track_caller]
    fn check_in_use(shelf: &Shelf, version: u64) {
        let (library, why) = shelf.library();
        assert_eq!((library.pack, why.map(|why| why.to_string())), (version, None));
        assert_eq!(library.get("acme/mfp").is_some(), version > 0);
    }

    #[test]
    fn a_pack_is_used_from_the_moment_of_the_switch_and_two_older_ones_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(dir.path());
        check_in_use(&shelf, 0);
        let place = shelf.keep(&pack(3), TOKEN).unwrap();
        check_in_use(&shelf, 0);
        shelf.switch(Some(&place)).unwrap();
        check_in_use(&shelf, 3);
        for version in [4, 7, 8, 9] {
            install(&shelf, version);
            check_in_use(&shelf, version);
        }
        assert_eq!(shelf.versions(&place.channel), [9, 8, 7]);
        shelf.switch(Some(&Place { version: 7, ..place })).unwrap();
        check_in_use(&shelf, 7);
        shelf.switch(None).unwrap();
        check_in_use(&shelf, 0);
    }

    #[test]
    fn whatever_a_crash_leaves_behind_the_old_pack_works_and_the_new_one_can_come() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(dir.path());
        install(&shelf, 1);
        // while unpacking, before the rename, after it, while `current` is written
        let unfinished = shelf.directory.join(".new-0707070707070707");
        fs::create_dir_all(unfinished.join("acme")).unwrap();
        fs::write(unfinished.join("acme/mfp.toml"), "half").unwrap();
        check_in_use(&shelf, 1);
        assert!(shelf.keep(&pack(2), TOKEN).is_err(), "somebody else's folder is not written into");
        shelf.tidy(None);
        shelf.unpack(&pack(2), &unfinished).unwrap();
        check_in_use(&shelf, 1);
        fs::remove_dir_all(&unfinished).unwrap();
        let place = shelf.keep(&pack(2), TOKEN).unwrap();
        fs::remove_file(shelf.folder(&place).join("acme/mfp.toml")).unwrap();
        check_in_use(&shelf, 1);
        shelf.keep(&pack(2), TOKEN).unwrap();
        fs::write(shelf.directory.join(".new-current"), "stab").unwrap();
        check_in_use(&shelf, 1);
        install(&shelf, 2);
        check_in_use(&shelf, 2);
        assert!(!shelf.directory.join(".new-current").exists());
    }

    #[track_caller]
    fn check_damaged(damage: impl Fn(&Shelf, &Path), expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(dir.path());
        install(&shelf, 5);
        damage(&shelf, &shelf.folder(&shelf.current().unwrap().unwrap()));
        let (library, why) = shelf.library();
        assert_eq!(library.pack, 0);
        assert!(library.pmds().count() > 5, "the program's own library works");
        let why = why.unwrap().to_string().replace(&dir.path().display().to_string(), "<data>");
        assert_eq!(why, expected);
        install(&shelf, 6);
        check_in_use(&shelf, 6);
    }

    #[test]
    fn the_program_goes_on_with_its_own_library_when_the_pack_is_damaged() {
        let mapping = "acme/mfp.toml";
        check_damaged(
            |_, folder| {
                let text = fs::read_to_string(folder.join(mapping)).unwrap().replace("99999.5", "99999.6");
                fs::write(folder.join(mapping), text).unwrap();
            },
            "pack stable 5: `acme/mfp.toml` has another SHA-256 than `manifest.toml` says",
        );
        check_damaged(
            |_, folder| fs::write(folder.join(mapping), vec![b' '; 3 << 20]).unwrap(),
            "pack stable 5: `acme/mfp.toml` has more than the 92 bytes that `manifest.toml` says",
        );
        check_damaged(
            |_, folder| fs::remove_file(folder.join(mapping)).unwrap(),
            "pack stable 5: `acme/mfp.toml` cannot be read: No such file or directory (os error 2)",
        );
        check_damaged(
            |_, folder| fs::remove_dir_all(folder).unwrap(),
            "pack stable 5: `manifest.toml` cannot be read: No such file or directory (os error 2)",
        );
        check_damaged(
            |shelf, _| fs::write(shelf.directory.join(CURRENT), "../../etc 5\n").unwrap(),
            "`<data>/packs/current` names no pack: `stable 12` would be one",
        );
    }
}
