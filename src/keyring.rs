//! The machine key file, and what is sealed under it: the site's secret, the keys of older epochs.
//!
//! The file holds 32 random bytes and lies beside the configuration, never in the data directory: a stolen database or
//! backup tells nothing (DESIGN 5, 12). It is made at first need with mode 0600, or given by `--key-file` (systemd's
//! `LoadCredential`). Losing it costs what was learned of the devices; the outbox goes on after `enroll` with the site's
//! token, because its batches are sealed under the site's key and not under this one.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use meterpost_wire::keys::{ContentKey, Enc, Epoch, Kid, MachineKey, NamesKey, ReceiptKey, SiteId};
use meterpost_wire::seal;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::clock;

/// Octets of the file.
const KEY_LEN: usize = 32;

/// Why there is no usable key file; every text names the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file is not there, and something is sealed under it.
    #[error(
        "the machine key `{}` is missing, and the data directory holds rows sealed under it; put it back, or run \
         `meterpost enroll` with the site's token again (the outbox goes on, devices are learned anew)",
        .0.display()
    )]
    Missing(PathBuf),
    /// Another key than the one that the rows are sealed under.
    #[error(
        "the machine key `{}` is not the one that the data directory is sealed under; put the right one in its place, or \
         move it away and run `meterpost enroll` with the site's token again",
        .0.display()
    )]
    Wrong(PathBuf),
    /// Beside the rows that it opens: whoever takes the directory would have both.
    #[error(
        "the machine key `{}` would lie in the data directory `{}`, and a copy of that would open itself; a path outside \
         it, given with `--key-file`, would be right",
        key.display(), data.display()
    )]
    InDataDirectory {
        /// The key.
        key: PathBuf,
        /// The directory.
        data: PathBuf,
    },
    /// Not 32 bytes.
    #[error("the machine key `{}` has {found} bytes: 32 random ones would be right", path.display())]
    BadLength {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
    },
    /// Everybody on the machine can read it. A group may: systemd's `LoadCredential` gives 0440.
    #[error(
        "the machine key `{}` can be read by everybody (mode {mode:04o}): 0600 would be right, 0640 at most",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The system says no.
    #[error("cannot {doing} the machine key `{}`: {error}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// `read` or `make`.
        doing: &'static str,
        /// What the system says.
        error: std::io::Error,
    },
}

/// The keys of this machine, each for its purpose. No `Debug` shows one.
#[derive(Clone, Debug)]
pub struct Keyring {
    memory: ContentKey,
    secrets: ContentKey,
    names: NamesKey,
}

impl Keyring {
    /// From the 32 octets of the file.
    pub fn new(octets: [u8; KEY_LEN]) -> Self {
        let machine = MachineKey::new(octets);
        Self { memory: machine.memory_key(), secrets: machine.secrets_key(), names: machine.names_key() }
    }

    /// Reads the file; `None` when there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, KeyFileError> {
        let failed = |error| KeyFileError::Failed { path: path.to_owned(), doing: "read", error };
        let facts = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            facts => facts.map_err(failed)?,
        };
        if facts.len() != KEY_LEN as u64 {
            return Err(KeyFileError::BadLength { path: path.to_owned(), found: facts.len() });
        }
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&facts.permissions()) & 0o777;
            if mode & 0o007 != 0 {
                return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
            }
        }
        let octets = Zeroizing::new(fs::read(path).map_err(failed)?);
        let octets = octets.as_slice().try_into();
        let octets = octets.map_err(|_| KeyFileError::BadLength { path: path.to_owned(), found: facts.len() })?;
        Ok(Some(Self::new(octets)))
    }

    /// Makes the file. It is on the disk, and its directory entry too, before anything is sealed under it; a file that is
    /// there already is an error, never overwritten.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |error| KeyFileError::Failed { path: path.to_owned(), doing: "make", error };
        let octets = Zeroizing::new(clock::random_bytes::<KEY_LEN>());
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(directory) = directory {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        file.write_all(&*octets).and_then(|()| file.sync_all()).map_err(failed)?;
        // Windows cannot open a directory as a file; there the entry is synced with the file
        if let Some(directory) = directory.filter(|_| cfg!(unix)) {
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        }
        Ok(Self::new(*octets))
    }

    /// Hashes names that rows are looked up by, and fields that the policy says to hash.
    pub fn names(&self) -> &NamesKey {
        &self.names
    }

    /// Seals a row about a device; it opens in the same place only.
    pub fn seal_memory(&self, place: &str, row: &[u8]) -> Vec<u8> {
        seal::seal_at_rest(row, &format!("device {place}"), &self.memory, clock::random_bytes())
    }

    /// Opens a row about a device; `None` when it was sealed under another key, for another place, or is damaged.
    pub fn open_memory(&self, place: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        seal::open_at_rest(sealed, &format!("device {place}"), &self.memory).ok().map(Zeroizing::new)
    }

    /// Seals a secret under its name.
    pub fn seal_secret(&self, name: &str, secret: &[u8]) -> Vec<u8> {
        seal::seal_at_rest(secret, &format!("secret {name}"), &self.secrets, clock::random_bytes())
    }

    /// Opens a secret.
    pub fn open_secret(&self, name: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        seal::open_at_rest(sealed, &format!("secret {name}"), &self.secrets).ok().map(Zeroizing::new)
    }
}

/// The site's keys: the secret of the current epoch; of older ones only what opens their batches and proves their
/// receipts, for as long as an item sealed under them is in the outbox.
#[derive(Clone, Debug)]
pub struct SiteKeys {
    current: Epoch,
    older: Vec<OlderEpoch>,
}

/// What is kept of an epoch that is over.
#[derive(Clone, Debug)]
pub struct OlderEpoch {
    kid: Kid,
    batch: ContentKey,
    receipt: ReceiptKey,
}

/// How an older epoch is written before it is sealed.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct StoredOlder {
    epoch: u32,
    enc: String,
    batch: Vec<u8>,
    receipt: Vec<u8>,
}

impl SiteKeys {
    /// The keys of a site that has just been enrolled.
    pub fn new(current: Epoch) -> Self {
        Self { current, older: Vec::new() }
    }

    /// The epoch that new batches are sealed under.
    pub fn current(&self) -> &Epoch {
        &self.current
    }

    /// The site.
    pub fn site(&self) -> &SiteId {
        self.current.kid().site()
    }

    /// Moves on to another epoch, or to another secret of the same one, and keeps of the one before what its items need.
    pub fn advance(&mut self, next: Epoch) {
        if next == self.current {
            return;
        }
        let over = std::mem::replace(&mut self.current, next);
        self.older
            .insert(0, OlderEpoch { kid: over.kid().clone(), batch: over.batch_key(), receipt: over.receipt_key() });
    }

    /// Drops what no item needs any more. An epoch number can stand for two secrets, after a central was set up anew with
    /// the same site; both are kept then.
    pub fn prune(&mut self, epochs_in_use: &[u32]) -> bool {
        let before = self.older.len();
        self.older.retain(|older| epochs_in_use.contains(&older.kid.epoch()));
        self.older.len() < before
    }

    /// Keys that open batches of an epoch, the likeliest first.
    pub fn batch_keys(&self, epoch: u32) -> Vec<ContentKey> {
        let current = (self.current.kid().epoch() == epoch).then(|| self.current.batch_key());
        let older = self.older.iter().filter(|older| older.kid.epoch() == epoch).map(|older| older.batch.clone());
        current.into_iter().chain(older).collect()
    }

    /// Keys that prove receipts for tokens of an epoch, the likeliest first.
    pub fn receipt_keys(&self, epoch: u32) -> Vec<ReceiptKey> {
        let current = (self.current.kid().epoch() == epoch).then(|| self.current.receipt_key());
        let older = self.older.iter().filter(|older| older.kid.epoch() == epoch).map(|older| older.receipt.clone());
        current.into_iter().chain(older).collect()
    }

    /// The older epochs as they are sealed into the store.
    pub fn older_to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let stored = |older: &OlderEpoch| StoredOlder {
            epoch: older.kid.epoch(),
            enc: older.batch.enc().as_str().to_owned(),
            batch: older.batch.octets().to_vec(),
            receipt: older.receipt.octets().to_vec(),
        };
        let rows: Vec<StoredOlder> = self.older.iter().map(stored).collect();
        Zeroizing::new(serde_json::to_vec(&rows).unwrap_or_default())
    }

    /// Takes older epochs as they came out of the store; what cannot be read is left out.
    pub fn with_older(mut self, bytes: &[u8]) -> Self {
        let rows: Vec<StoredOlder> = serde_json::from_slice(bytes).unwrap_or_default();
        self.older = rows
            .into_iter()
            .filter_map(|row| {
                let enc = Enc::parse(&row.enc)?;
                Some(OlderEpoch {
                    kid: Kid::new(self.site().clone(), row.epoch)?,
                    batch: ContentKey::from_octets(enc, &row.batch).ok()?,
                    receipt: ReceiptKey::from_octets(&row.receipt).ok()?,
                })
            })
            .collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u32) -> Epoch {
        let kid = Kid::parse(&format!("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10.{number}")).unwrap();
        Epoch::new(kid, Enc::A128CbcHs256, [number as u8; 32])
    }

    #[test]
    fn a_key_file_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc").join("machine.key");
        assert!(Keyring::read(&path).unwrap().is_none());
        let made = Keyring::create(&path).unwrap();
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        let read = Keyring::read(&path).unwrap().unwrap();
        let sealed = made.seal_memory("here", b"row");
        assert_eq!(read.open_memory("here", &sealed).as_deref(), Some(&b"row".to_vec()));
        assert!(read.open_memory("there", &sealed).is_none(), "a row opens in its own place only");
        assert!(read.open_secret("here", &sealed).is_none(), "and for its own purpose only");
        assert!(Keyring::create(&path).is_err(), "a key is never overwritten");
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine.key");
        fs::write(&path, "31 bytes are not enough for it").unwrap();
        let said = Keyring::read(&path).unwrap_err().to_string();
        assert_eq!(said, format!("the machine key `{}` has 30 bytes: 32 random ones would be right", path.display()));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_everybody_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine.key");
        fs::write(&path, [7; 32]).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let said = Keyring::read(&path).unwrap_err().to_string();
        let named = path.display();
        assert_eq!(
            said,
            format!(
                "the machine key `{named}` can be read by everybody (mode 0644): 0600 would be right, 0640 at most"
            )
        );
    }

    #[test]
    fn older_epochs_keep_what_their_items_need_and_go_with_the_last_of_them() {
        let mut keys = SiteKeys::new(epoch(1));
        keys.advance(epoch(1));
        keys.advance(epoch(2));
        keys.advance(epoch(3));
        let mut keys = SiteKeys::new(epoch(3)).with_older(&keys.older_to_bytes());
        assert_eq!(keys.batch_keys(1), [epoch(1).batch_key()]);
        assert_eq!(keys.receipt_keys(2), [epoch(2).receipt_key()]);
        assert_eq!(keys.batch_keys(3), [epoch(3).batch_key()]);
        assert!(keys.prune(&[2, 3]));
        assert_eq!((keys.batch_keys(1).len(), keys.batch_keys(2).len()), (0, 1));
        assert!(!keys.prune(&[2, 3]));
    }
}
