//! The machine key file, and what is sealed under it: everything that the store says about devices and sites, and every
//! secret. The file lies beside the configuration and never in the data directory, so that a stolen database or backup
//! tells nothing (`standards.md` 2.4, at rest).

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use meterpost_wire::keys::{ContentKey, MachineKey, NamesKey};
use meterpost_wire::seal;
use zeroize::Zeroizing;

use crate::{clock, private};

/// Octets of the key.
const KEY_BYTES: usize = 32;

/// Seals and opens rows.
#[derive(Clone, Debug)]
pub struct Keyring {
    memory: ContentKey,
    secrets: ContentKey,
    names: NamesKey,
}

/// What a sealed row is about; each has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Devices, readings, names of sites.
    Memory,
    /// Secrets of sites.
    Secrets,
}

/// A sealed row that does not open: it was changed, moved to another place, or sealed under another machine key.
#[derive(Debug, thiserror::Error)]
#[error("a sealed `{0}` does not open")]
pub struct DoesNotOpen(String);

/// A machine key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is data that was sealed under it, and it is gone.
    #[error(
        "the machine key `{0}` is missing, and without it the data directory cannot be read: put it back, or name it with \
         `--key-file`"
    )]
    Missing(String),
    /// It is there and is something else.
    #[error("the machine key `{0}` has {1} bytes: 32 would be right")]
    Malformed(String, usize),
    /// The operating system said no.
    #[error("cannot read or make the machine key `{0}`: {1}; another place can be named with `--key-file`")]
    File(String, io::Error),
}

impl Keyring {
    /// Reads the machine key; makes it where there is none, unless `data_exists`.
    pub fn open_file(path: &Path, data_exists: bool) -> Result<Self, KeyError> {
        let shown = path.display().to_string();
        let octets = match fs::read(path) {
            Ok(octets) => Zeroizing::new(octets),
            Err(error) if error.kind() == io::ErrorKind::NotFound && data_exists => {
                return Err(KeyError::Missing(shown));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(path).map_err(|error| KeyError::File(shown.clone(), error))?
            }
            Err(error) => return Err(KeyError::File(shown, error)),
        };
        let octets: [u8; KEY_BYTES] =
            octets.as_slice().try_into().map_err(|_| KeyError::Malformed(shown, octets.len()))?;
        Ok(Self::new(&MachineKey::new(octets)))
    }

    /// The keys that follow from a machine key.
    pub fn new(machine: &MachineKey) -> Self {
        Self { memory: machine.memory_key(), secrets: machine.secrets_key(), names: machine.names_key() }
    }

    /// Seals for one place (`table.column`); it opens nowhere else.
    pub fn seal(&self, rows: Rows, place: &str, clear: &[u8]) -> Vec<u8> {
        seal::seal_at_rest(clear, place, self.key(rows), clock::random_bytes())
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, rows: Rows, place: &str, sealed: &[u8]) -> Result<Vec<u8>, DoesNotOpen> {
        seal::open_at_rest(sealed, place, self.key(rows)).map_err(|_| DoesNotOpen(place.to_owned()))
    }

    /// A name to look a row up by: 64 hex digits, the same for the same kind and text.
    pub fn look_up(&self, kind: &str, clear: &str) -> String {
        self.names.look_up(&format!("{kind}\n{clear}"))
    }

    fn key(&self, rows: Rows) -> &ContentKey {
        match rows {
            Rows::Memory => &self.memory,
            Rows::Secrets => &self.secrets,
        }
    }
}

/// Writes a new key to a file of its own and gives it its name once it is on the disk: a crash leaves no half key.
fn make(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let octets = Zeroizing::new(clock::random_bytes::<KEY_BYTES>().to_vec());
    // `serve` and `site add` may both be at their first start: each writes a file of its own.
    let unfinished = path.with_extension(format!("new-{:016x}", u64::from_ne_bytes(clock::random_bytes())));
    let mut file = private::create_new(&unfinished)?;
    file.write_all(&octets)?;
    file.sync_all()?;
    drop(file);
    // A link never replaces: where another process was quicker, its key is the key.
    let named = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished)?;
    match named {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::read(path).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("etc/machine.key");
        let first = Keyring::open_file(&path, false).expect("made");
        let second = Keyring::open_file(&path, true).expect("found");
        assert_eq!(first.look_up("site.name", "x"), second.look_up("site.name", "x"));
        let sealed = first.seal(Rows::Secrets, "site_key.secret", b"clear");
        assert_eq!(second.open(Rows::Secrets, "site_key.secret", &sealed).expect("opens"), b"clear");
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("machine.key");
        Keyring::open_file(&path, false).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_row_opens_only_in_its_place_and_under_its_key() {
        let keyring = Keyring::new(&MachineKey::new([7; 32]));
        let sealed = keyring.seal(Rows::Memory, "site.name", b"clear");
        assert!(keyring.open(Rows::Memory, "device.summary", &sealed).is_err());
        assert!(keyring.open(Rows::Secrets, "site.name", &sealed).is_err());
        assert!(Keyring::new(&MachineKey::new([8; 32])).open(Rows::Memory, "site.name", &sealed).is_err());
    }

    #[test]
    fn a_missing_key_is_not_replaced_where_there_is_data() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("machine.key");
        let error = Keyring::open_file(&path, true).expect_err("no key");
        assert!(error.to_string().contains("is missing"), "{error}");
        assert!(!path.exists());
        fs::write(&path, b"short").expect("written");
        let error = Keyring::open_file(&path, true).expect_err("bad key");
        assert!(error.to_string().ends_with("has 5 bytes: 32 would be right"), "{error}");
    }
}
