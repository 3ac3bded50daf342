//! The ZIP of a pack: the one place that names the `zip` crate, whose interface moves. Nothing is ever extracted by it: names
//! are looked at as raw bytes and must be plain, contents are read with a limit, and everything unusual is refused
//! (`standards.md` 5.3 says what the crate itself lets through).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read, Write};

use zip::read::ZipReadOptions;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

use super::{BadPack, ENTRY_BYTES_MAX, FILES_MAX, MANIFEST, TOTAL_BYTES_MAX};

/// Folders and the file's own name.
const PARTS_MAX: usize = 3;

/// Names that are devices on Windows, whatever stands behind their dot.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// An archive with nothing unusual about it.
pub struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    paths: Vec<String>,
}

impl<'a> Archive<'a> {
    /// Looks at everything that can be seen without unpacking.
    pub fn open(bytes: &'a [u8]) -> Result<Self, BadPack> {
        let mut zip =
            ZipArchive::new(Cursor::new(bytes)).map_err(|error| BadPack(format!("this is no ZIP archive: {error}")))?;
        if zip.offset() != 0 {
            return Err(BadPack("something stands before the ZIP archive".to_owned()));
        }
        if zip.has_duplicate_names() {
            return Err(BadPack("two files of the archive have one name".to_owned()));
        }
        if zip.len() > FILES_MAX + 1 {
            return Err(BadPack(format!("{} files, {FILES_MAX} are the most", zip.len())));
        }
        let (mut paths, mut seen, mut total) = (Vec::new(), BTreeSet::new(), 0_u64);
        for at in 0..zip.len() {
            let broken = |error| BadPack(format!("file {} of the archive: {error}", at + 1));
            let file = zip.by_index_raw(at).map_err(broken)?;
            let shown = shown(file.name_raw());
            if !seen.insert(file.name_raw().to_ascii_lowercase()) {
                return Err(BadPack(format!("{shown} stands twice, in letters of another case")));
            }
            let path = name(file.name_raw())?;
            if file.is_symlink() || file.is_dir() || file.unix_mode().is_some_and(|mode| mode & 0o170_000 != 0o100_000)
            {
                return Err(BadPack(format!("{shown} is no plain file")));
            }
            if file.encrypted() {
                return Err(BadPack(format!("{shown} is encrypted")));
            }
            if !matches!(file.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
                return Err(BadPack(format!("{shown} is packed as {}: deflate would be right", file.compression())));
            }
            if file.size() > ENTRY_BYTES_MAX {
                return Err(BadPack(format!("{shown} claims {} bytes, {ENTRY_BYTES_MAX} are the most", file.size())));
            }
            total += file.size();
            paths.push(path);
        }
        if total > TOTAL_BYTES_MAX {
            return Err(BadPack(format!("{total} bytes of files, {TOTAL_BYTES_MAX} are the most")));
        }
        if zip.has_overlapping_entries().map_err(|error| BadPack(error.to_string()))? {
            return Err(BadPack("files of the archive overlap".to_owned()));
        }
        Ok(Self { zip, paths })
    }

    /// Names of all files.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// A file of at most so many bytes, and one byte more when it has more: sizes that an archive claims are never believed.
    pub fn read(&mut self, path: &str, most: u64) -> Result<Vec<u8>, BadPack> {
        let at = self.paths.iter().position(|known| known == path);
        let at = at.ok_or_else(|| BadPack(format!("there is no `{path}` in it")))?;
        let broken = |error: &dyn std::fmt::Display| BadPack(format!("`{path}`: {error}"));
        let options = ZipReadOptions::new().enforce_header_consistency(true);
        let file = self.zip.by_index_with_options(at, options).map_err(|error| broken(&error))?;
        let mut bytes = Vec::new();
        file.take(most.min(ENTRY_BYTES_MAX) + 1).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
        Ok(bytes)
    }
}

/// An archive of these files in the order of their names, the manifest first; no times, no owners: the same files make the
/// same bytes.
pub fn write(files: &BTreeMap<String, String>) -> Result<Vec<u8>, BadPack> {
    let failed = |error: &dyn std::fmt::Display| BadPack(format!("the archive cannot be written: {error}"));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default())
        .system(System::Unix)
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let first = files.get_key_value(MANIFEST);
    for (path, text) in first.into_iter().chain(files.iter().filter(|(path, _)| *path != MANIFEST)) {
        zip.start_file(path.as_str(), options).map_err(|error| failed(&error))?;
        zip.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    }
    Ok(zip.finish().map_err(|error| failed(&error))?.into_inner())
}

/// A name that means the same file in the same folder on every system, or a refusal:
/// `^[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*){0,2}\.(pmd|toml)$`, and no device of Windows.
pub fn name(raw: &[u8]) -> Result<String, BadPack> {
    let refused = |why: &str| BadPack(format!("{} is no name for a file of a pack: {why}", shown(raw)));
    let text = std::str::from_utf8(raw).map_err(|_| refused("no UTF-8"))?;
    let stem = text.strip_suffix(".toml").or_else(|| text.strip_suffix(".pmd"));
    let stem = stem.ok_or_else(|| refused("`.toml` would be right at its end"))?;
    let parts: Vec<&str> = stem.split('/').collect();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &&str| {
        part.bytes().next().is_some_and(plain) && part.bytes().all(|byte| plain(byte) || byte == b'_' || byte == b'-')
    };
    if parts.len() > PARTS_MAX || !parts.iter().all(is_part) {
        return Err(refused("lower-case letters, digits, `-` and `_` in `<vendor>/<family>.toml` would be right"));
    }
    let is_device = |part: &&str| {
        let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = part.len() - word.len();
        DEVICES.contains(&word) && digits == usize::from(matches!(word, "com" | "lpt"))
    };
    if parts.iter().any(is_device) {
        return Err(refused("it is a device on Windows"));
    }
    Ok(text.to_owned())
}

/// A stranger's name for a message: in one line, and short.
fn shown(raw: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(raw).chars().take(80).collect();
    format!("`{}`", text.escape_debug())
}
