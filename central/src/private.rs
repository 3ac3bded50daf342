//! Files that their owner alone may read: mode 0600 on Unix; on Windows they inherit what their folder allows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file anew, for its owner alone from its first byte on.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes a file that is not there yet.
pub fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Takes a file that is there from everybody else; one that is not there needs nothing.
pub fn restrict(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        match fs::set_permissions(path, fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn others_cannot_read_what_is_private_whatever_was_there_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("initial-password");
        let mode = || fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        fs::write(&path, "old").expect("written");
        restrict(&path).expect("restricted");
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("opened up");
        write(&path, b"new").expect("written");
        assert_eq!((mode(), fs::read(&path).expect("read")), (0o600, b"new".to_vec()));
    }
}
