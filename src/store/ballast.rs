//! Room for the day when the disk is full. SQLite can then neither delete nor checkpoint, because both write first; with
//! the ballast gone it can do both.
//!
//! 16 MiB in `queue.ballast` beside the store: more than the log that a checkpoint writes back. It is given up when a write
//! finds no room, and made again when four times its size is free, so that making it is never what fills the disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Name of the file in the data directory.
pub const FILE: &str = "queue.ballast";

/// Its size.
pub const BYTES: u64 = 16 << 20;

/// So much must be free before it is made.
pub const FREE_MIN: u64 = 4 * BYTES;

/// Gives the room back; false when there was nothing to give.
pub fn give_up(directory: &Path) -> bool {
    fs::remove_file(directory.join(FILE)).is_ok()
}

/// Whether it is there, once it has been made if there is room for it. A disk that does not tell its free space has room.
pub fn keep(directory: &Path) -> io::Result<bool> {
    let path = directory.join(FILE);
    if fs::metadata(&path).is_ok_and(|found| found.len() == BYTES) {
        return Ok(true);
    }
    if free(directory).is_some_and(|free| free < FREE_MIN) {
        return Ok(false);
    }
    let written = write(&path);
    if written.is_err() {
        give_up(directory);
    }
    written.map(|()| true)
}

/// Bytes that may be written where `directory` lies; `None` when the system does not say.
pub fn free(directory: &Path) -> Option<u64> {
    fs4::available_space(directory).ok()
}

/// Has the room set aside where the file system can, which takes no time. Elsewhere it is filled with bytes of a fixed
/// sequence: a file system that compresses, or leaves out zeros, keeps their room all the same.
fn write(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // Windows sets room aside without making the file longer
    if fs4::FileExt::allocate(&file, BYTES).is_ok() && file.metadata()?.len() == BYTES {
        return file.sync_all();
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(1 << 16);
    for _ in 0..BYTES >> 16 {
        block.clear();
        while block.len() < 1 << 16 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_given_up_once_and_made_again() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!give_up(dir.path()));
        for _ in 0..2 {
            assert!(keep(dir.path()).unwrap());
            assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().len(), BYTES);
            assert!(keep(dir.path()).unwrap());
            assert!(give_up(dir.path()));
        }
        // one that was cut off while it was written is made whole
        fs::write(dir.path().join(FILE), "x").unwrap();
        assert!(keep(dir.path()).unwrap());
        assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().len(), BYTES);
    }
}
