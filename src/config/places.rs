//! Where configuration, data and machine key lie (CONTRACT 4).

use std::path::{Path, PathBuf};

/// The three places of one collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The configuration file.
    pub config: PathBuf,
    /// Whether a person named it; one that nobody named may be missing.
    pub config_named: bool,
    /// The folder of store and outbox.
    pub data: PathBuf,
    /// The machine key file, never inside the data folder.
    pub key: PathBuf,
}

impl Places {
    /// What the person named, else the system's places; the key lies beside the configuration unless it was named.
    pub fn new(config: Option<PathBuf>, data: Option<PathBuf>, key: Option<PathBuf>) -> Self {
        let config_named = config.is_some();
        let config = config.unwrap_or_else(|| system_folder().join("meterpost.toml"));
        let data = data.unwrap_or_else(system_data_folder);
        let key = key.unwrap_or_else(|| config.parent().unwrap_or(Path::new("")).join("machine.key"));
        Self { config, config_named, data, key }
    }
}

#[cfg(not(windows))]
fn system_folder() -> PathBuf {
    PathBuf::from("/etc/meterpost")
}

#[cfg(not(windows))]
fn system_data_folder() -> PathBuf {
    PathBuf::from("/var/lib/meterpost")
}

#[cfg(windows)]
fn system_folder() -> PathBuf {
    std::env::var_os("ProgramData").map_or_else(|| PathBuf::from(r"C:\ProgramData"), PathBuf::from).join("meterpost")
}

#[cfg(windows)]
fn system_data_folder() -> PathBuf {
    system_folder().join("data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_lies_beside_the_configuration_unless_it_was_named() {
        let places = Places::new(Some("/home/ann/m.toml".into()), Some("/home/ann/data".into()), None);
        assert_eq!(places.key, Path::new("/home/ann/machine.key"));
        assert!(places.config_named);
        let named = Places::new(None, None, Some("/run/credentials/machine.key".into()));
        assert_eq!(named.key, Path::new("/run/credentials/machine.key"));
        assert!(!named.config_named);
    }
}
