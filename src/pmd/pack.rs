//! Packs: mapping files of one version in one ZIP archive, which a site takes in place of those inside the program.
//!
//! A pack is opened only after its signature was proven (`meterpost_wire::pack`), and is checked all the same as if a
//! stranger had made it: names, sizes, hashes, every mapping. It is taken whole or not at all, and what is left of it then
//! is text in memory: nothing here writes a file.
//!
//! `manifest.toml` repeats what was signed and lists every other file with size and SHA-256. The others are `words.toml`
//! and `<vendor>/<family>.toml`. Recordings are not among them, though `standards.md` 5.4 speaks of some: the names that
//! 5.3 allows have no place for them, what devices said of their owners belongs in no download, and each site tries a pack
//! on the answers of its own devices.

mod archive;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use meterpost_wire::hex;
use meterpost_wire::pack::{Channel, Label};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::words::Words;
use super::{FILE_BYTES_MAX, Library};
use archive::Archive;

/// Files of a pack besides its manifest.
pub const FILES_MAX: usize = 5_000;
/// Bytes of one file, unpacked.
pub const ENTRY_BYTES_MAX: u64 = 1 << 20;
/// Bytes of all files together, unpacked.
pub const TOTAL_BYTES_MAX: u64 = 64 << 20;
/// The list of what is in a pack.
pub const MANIFEST: &str = "manifest.toml";
/// Words that all mappings share.
const WORDS: &str = "words.toml";
/// What this program understands.
const FORMAT: u32 = 1;
/// Faults of mappings that are told; further ones are counted.
const FAULTS_TOLD: usize = 20;

/// Why there is no pack: what was found, in which file and line, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPack(String);

/// The mapping files of a pack, each whole and without a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Which it is.
    pub label: Label,
    /// By their paths in it, the manifest too.
    files: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    channel: String,
    version: u64,
    expires: String,
    #[serde(default)]
    file: Vec<Listed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    path: String,
    sha256: String,
    size: u64,
}

impl Pack {
    /// Makes one of files by their paths: `words.toml`, `kyocera/ecosys.toml`.
    pub fn of(label: Label, mut files: BTreeMap<String, String>) -> Result<Self, BadPack> {
        files.remove(MANIFEST);
        for path in files.keys() {
            archive::name(path.as_bytes())?;
        }
        let listed = files.iter().map(|(path, text)| Listed {
            path: path.clone(),
            sha256: sha256(text.as_bytes()),
            size: text.len() as u64,
        });
        let manifest = Manifest {
            format: FORMAT,
            channel: label.channel.to_string(),
            version: label.version,
            expires: label.expires.to_string(),
            file: listed.collect(),
        };
        let text = toml::to_string(&manifest).map_err(|error| BadPack(error.to_string()))?;
        files.insert(MANIFEST.to_owned(), text);
        Self::checked(label, files)
    }

    /// Opens the archive of the pack that was signed by this label.
    pub fn open(bytes: &[u8], label: &Label) -> Result<Self, BadPack> {
        let mut archive = Archive::open(bytes)?;
        let manifest = text(MANIFEST, archive.read(MANIFEST, ENTRY_BYTES_MAX)?)?;
        let (said, listed) = listed(&manifest)?;
        if said != *label {
            return Err(BadPack(format!("`{MANIFEST}` says `{said}`, and what was signed is `{label}`")));
        }
        if archive.paths().len() != listed.len() + 1 {
            let wrong = format!("{} files, and `{MANIFEST}` lists {}", archive.paths().len() - 1, listed.len());
            return Err(BadPack(wrong));
        }
        let mut files = BTreeMap::from([(MANIFEST.to_owned(), manifest)]);
        for file in listed {
            let bytes = archive.read(&file.path, file.size)?;
            files.insert(file.path.clone(), whole(&file, bytes)?);
        }
        Self::checked(label.clone(), files)
    }

    /// A pack that was unpacked earlier, from whatever gives its files by their paths, each with the most bytes that it may
    /// have. Hashes are compared again; the mappings are checked by [`Pack::library`].
    pub fn reopen(mut read: impl FnMut(&str, u64) -> Result<Vec<u8>, String>) -> Result<Self, BadPack> {
        let mut get = |path: &str, most: u64| {
            read(path, most).map_err(|error| BadPack(format!("`{path}` cannot be read: {error}")))
        };
        let manifest = text(MANIFEST, get(MANIFEST, ENTRY_BYTES_MAX)?)?;
        let (label, listed) = listed(&manifest)?;
        let mut files = BTreeMap::new();
        for file in listed {
            let bytes = get(&file.path, file.size)?;
            files.insert(file.path.clone(), whole(&file, bytes)?);
        }
        files.insert(MANIFEST.to_owned(), manifest);
        Ok(Self { label, files })
    }

    /// Every mapping is parsed and checked, together with those of the program that it does not replace.
    fn checked(label: Label, files: BTreeMap<String, String>) -> Result<Self, BadPack> {
        let pack = Self { label, files };
        if pack.mappings().next().is_none() {
            return Err(BadPack("there is no mapping file in it".to_owned()));
        }
        pack.library().map(|_| pack)
    }

    /// The archive, the same bytes for the same files.
    pub fn to_zip(&self) -> Result<Vec<u8>, BadPack> {
        archive::write(&self.files)
    }

    /// Everything in it, the manifest too, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Names and texts of its mappings.
    fn mappings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter_map(|(path, text)| {
            let name = path.strip_suffix(".toml").filter(|name| name.contains('/'))?;
            Some((name, text))
        })
    }

    /// The mappings of the program with those of this pack in place of the ones with their names. A mapping of the program
    /// that claims the same devices as one of the pack, under another name, has had its time.
    pub fn library(&self) -> Result<Library, BadPack> {
        let words = self.files.get(WORDS);
        if let Some(Err(error)) = words.map(|words| Words::parse(words)) {
            return Err(BadPack(format!("`{WORDS}`: {error}")));
        }
        let mappings: BTreeMap<String, String> =
            self.mappings().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        let library = Library::over_builtin(words.map(String::as_str), mappings, self.label.version);
        if library.faults.is_empty() {
            return Ok(library);
        }
        let mut told = String::new();
        for (n, fault) in library.faults.iter().take(FAULTS_TOLD).enumerate() {
            let _ = write!(told, "{}{fault}", if n > 0 { "\n" } else { "" });
        }
        if library.faults.len() > FAULTS_TOLD {
            let _ = write!(told, "\nand {} faults more", library.faults.len() - FAULTS_TOLD);
        }
        Err(BadPack(told))
    }
}

/// Which pack a manifest says it is of, and what it lists.
fn listed(manifest: &str) -> Result<(Label, Vec<Listed>), BadPack> {
    let manifest: Manifest =
        toml::from_str(manifest).map_err(|error| BadPack(format!("`{MANIFEST}`: {}", error.message())))?;
    if manifest.format != FORMAT {
        let found = manifest.format;
        return Err(BadPack(format!("`{MANIFEST}`: format {found}, and this program understands {FORMAT}")));
    }
    let said = Channel::parse(&manifest.channel).and_then(|channel| {
        Label::parse(&format!("pmd-pack channel={channel} version={} expires={}", manifest.version, manifest.expires))
    });
    let said = said.map_err(|error| BadPack(format!("`{MANIFEST}`: {error}")))?;
    if manifest.file.len() > FILES_MAX {
        return Err(BadPack(format!("`{MANIFEST}` lists {} files, {FILES_MAX} are the most", manifest.file.len())));
    }
    let mut paths = BTreeSet::new();
    let mut total = 0_u64;
    for file in &manifest.file {
        archive::name(file.path.as_bytes())?;
        if file.path == MANIFEST || !paths.insert(file.path.as_str()) {
            return Err(BadPack(format!("`{MANIFEST}` lists `{}`, which it must not or already did", file.path)));
        }
        if file.path != WORDS && (!file.path.ends_with(".toml") || file.path.matches('/').count() != 1) {
            return Err(BadPack(format!("`{}` is neither `{WORDS}` nor `<vendor>/<family>.toml`", file.path)));
        }
        if file.size > (FILE_BYTES_MAX as u64).min(ENTRY_BYTES_MAX) {
            return Err(BadPack(format!("`{}` has {} bytes, {FILE_BYTES_MAX} are the most", file.path, file.size)));
        }
        total += file.size;
    }
    if total > TOTAL_BYTES_MAX {
        return Err(BadPack(format!("{total} bytes of files, {TOTAL_BYTES_MAX} are the most")));
    }
    Ok((said, manifest.file))
}

/// The text of a file that is as its manifest says.
fn whole(file: &Listed, bytes: Vec<u8>) -> Result<String, BadPack> {
    let path = &file.path;
    if bytes.len() as u64 != file.size {
        let than = if bytes.len() as u64 > file.size { "more" } else { "less" };
        return Err(BadPack(format!("`{path}` has {than} than the {} bytes that `{MANIFEST}` says", file.size)));
    }
    if sha256(&bytes) != file.sha256 {
        return Err(BadPack(format!("`{path}` has another SHA-256 than `{MANIFEST}` says")));
    }
    text(path, bytes)
}

fn text(path: &str, bytes: Vec<u8>) -> Result<String, BadPack> {
    String::from_utf8(bytes).map_err(|_| BadPack(format!("`{path}` is no UTF-8 text")))
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes))
}
