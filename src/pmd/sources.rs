//! Mapping files as they are written: texts by name. What loads them, and what shows a person where a rule stands, begins here.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::words::Words;
use super::{BUILTIN, CHAIN_MAX, FILE_BYTES_MAX, FILES_MAX, Fault, Library, WORDS, raw};

/// Texts of mapping files, those laid later over those laid before.
#[derive(Clone, Debug)]
pub struct Sources {
    /// By name: `kyocera/ecosys`.
    pub files: BTreeMap<String, String>,
    /// Where those lie that are not the program's own.
    pub paths: BTreeMap<String, PathBuf>,
    /// `words.toml`.
    pub words: String,
    /// What could not be read.
    pub faults: Vec<Fault>,
}

impl Sources {
    /// The files inside the program.
    pub fn builtin() -> Self {
        Self {
            files: BUILTIN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
            paths: BTreeMap::new(),
            words: WORDS.to_owned(),
            faults: Vec::new(),
        }
    }

    /// Lays a folder over them: `<dir>/<vendor>/<family>.toml`, and `<dir>/words.toml` when it is there. What cannot be read
    /// goes to `faults`. Returns the names.
    pub fn lay_folder(&mut self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for vendor in std::fs::read_dir(dir)?.take(FILES_MAX) {
            let vendor = vendor?;
            if vendor.file_type()?.is_dir() {
                names.extend(self.lay_vendor(&vendor.path())?);
            }
        }
        let words = dir.join("words.toml");
        match read_limited(&words) {
            Ok(text) => match Words::parse(&text) {
                Ok(_) => self.words = text,
                Err(text) => self.faults.push(Fault { pmd: "words".to_owned(), line: 0, text }),
            },
            Err((line, text)) if words.exists() => {
                self.faults.push(Fault { pmd: "words".to_owned(), line, text });
            }
            Err(_) => {}
        }
        names.sort();
        Ok(names)
    }

    /// Lays the files of one vendor over them.
    pub fn lay_vendor(&mut self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for file in std::fs::read_dir(dir)?.take(FILES_MAX) {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                names.push(self.lay_file(&path));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Lays one file over them. Its name is that of its folder and its own.
    pub fn lay_file(&mut self, path: &Path) -> String {
        let name = name_of(path);
        match read_limited(path) {
            Ok(text) => drop(self.files.insert(name.clone(), text)),
            Err((line, text)) => self.faults.push(Fault { pmd: name.clone(), line, text }),
        }
        self.paths.insert(name.clone(), path.to_owned());
        name
    }

    /// Lays the files that one extends and that lie beside it, `<its folder>/../<vendor>/<family>.toml`, where nothing of that
    /// name is known yet.
    pub fn lay_extended(&mut self, name: &str) {
        let Some(path) = self.paths.get(name) else { return };
        // as it was written, where that names the vendor's folder
        let near =
            path.parent().filter(|folder| folder.file_name().is_some()).and_then(Path::parent).map(Path::to_owned);
        let far = || Some(path.canonicalize().ok()?.parent()?.parent()?.to_owned());
        let Some(folder) = near.or_else(far) else { return };
        let mut at = name.to_owned();
        for _ in 0..CHAIN_MAX {
            let extends = self.files.get(&at).and_then(|text| raw::parse(text).0.extends);
            let Some(extended) = extends.map(|extends| extends.get_ref().clone()) else { return };
            // a name is two plain words: it leads nowhere else
            let path = folder.join(format!("{extended}.toml"));
            if self.files.contains_key(&extended) || !is_name(&extended) || !path.is_file() {
                return;
            }
            match read_limited(&path) {
                Ok(text) => drop(self.files.insert(extended.clone(), text)),
                Err((line, text)) => self.faults.push(Fault { pmd: extended.clone(), line, text }),
            }
            self.paths.insert(extended.clone(), path);
            at = extended;
        }
    }

    /// A library of them; its faults begin with those of reading.
    pub fn library(&self) -> Library {
        let mut library = Library::of(&self.words, self.files.clone());
        library.faults.splice(0..0, self.faults.iter().cloned());
        library
    }

    /// Where a fault stands, for a person: `acme/mfp.toml:14`.
    pub fn place(&self, fault: &Fault) -> String {
        let path = self.paths.get(&fault.pmd).map_or_else(|| fault.pmd.clone(), |path| path.display().to_string());
        match fault.line {
            0 => path,
            line => format!("{path}:{line}"),
        }
    }
}

/// `<vendor>/<family>`, as the file lies.
fn name_of(path: &Path) -> String {
    let part = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let family = part(path.file_stem()).unwrap_or_default();
    let near = part(path.parent().and_then(Path::file_name));
    let far = || part(path.canonicalize().ok()?.parent()?.file_name());
    format!("{}/{family}", near.or_else(far).unwrap_or_else(|| "local".to_owned()))
}

fn is_name(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "-_".contains(c));
    text.split_once('/').is_some_and(|(vendor, family)| is_part(vendor) && is_part(family))
}

/// A text that is not too long; else the line, where there is one, and why.
fn read_limited(path: &Path) -> Result<String, (usize, String)> {
    let size = std::fs::metadata(path).map_err(|error| (0, error.to_string()))?.len();
    if size > FILE_BYTES_MAX as u64 {
        return Err((0, format!("{size} bytes: {FILE_BYTES_MAX} at most")));
    }
    let bytes = std::fs::read(path).map_err(|error| (0, error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        (before.iter().filter(|byte| **byte == b'\n').count() + 1, "this is no UTF-8 text".to_owned())
    })
}
