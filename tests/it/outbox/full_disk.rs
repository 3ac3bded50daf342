//! A disk that is really full: a file system in memory of 96 MiB, which only root may mount.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use meterpost::site::{Paths, Site, SiteError};
use meterpost::store::{StoreError, ballast};

use crate::cli::{Said, meterpost};
use crate::site::*;

/// A small disk; unmounted when the test has ended.
pub struct Disk {
    place: tempfile::TempDir,
}

impl Disk {
    /// `None`, and a word of it, where nothing can be mounted.
    pub fn mount() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let options = ["-t", "tmpfs", "-o", "size=96m,mode=0700", "none"];
        let mounted = Command::new("mount").args(options).arg(place.path()).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self { place });
        }
        eprintln!("SKIPPED: `mount` wants root; the limit on the store's own file is tested all the same");
        None
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Leaves not a byte.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.path("filler")).unwrap();
        for block in [vec![0xaa; 1 << 16], vec![0xaa; 512]] {
            loop {
                match file.write_all(&block) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    pub fn clear(&self) {
        fs::remove_file(self.path("filler")).unwrap();
        // on a busy machine the room was seen to come back a moment later
        let (probe, until) = (self.path("probe"), Instant::now() + Duration::from_secs(10));
        while let Err(error) = fs::write(&probe, vec![0xaa; 1 << 20]) {
            assert!(error.kind() == ErrorKind::StorageFull && Instant::now() < until, "{error}");
            std::thread::yield_now();
        }
        fs::remove_file(probe).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.place.path()).status();
    }
}

fn places(disk: &Disk, keys: &Path) -> Paths {
    Paths { data_dir: disk.path("data"), key_file: keys.join("machine.key") }
}

fn try_seal(site: &Site, n: u32) -> Result<u64, SiteError> {
    let now = at(i64::from(n));
    let mut sealer = site.sealer(terms(now))?;
    sealer.push(gathered(printer(n, now)), now)?;
    Ok(sealer.finish(&end(now, 1), now)?.sequences[0])
}

#[test]
fn a_full_disk_costs_the_ballast_first_and_with_room_again_it_is_made_again() {
    let Some(disk) = Disk::mount() else { return };
    let keys = tempfile::tempdir().unwrap();
    let places = places(&disk, keys.path());
    let (site, _) = Site::enroll(&places, &enrolment(epoch(1)).to_token(), at(0)).unwrap();
    let has_ballast = || places.data_dir.join(ballast::FILE).exists();
    site.keep_ballast(at(0)).unwrap();
    assert!(has_ballast());
    assert_eq!(try_seal(&site, 1).unwrap(), 1);
    assert_eq!(site.short_of_room(), None);

    // full: the ballast goes, and everything goes on
    disk.fill();
    let mut sealed = 1;
    while has_ballast() {
        sealed += 1;
        assert_eq!(try_seal(&site, sealed).unwrap(), u64::from(sealed));
        assert!(sealed < 200, "the log never grew");
    }
    assert!(site.short_of_room().is_some());
    site.keep_ballast(at(300)).unwrap();
    assert!(!has_ballast(), "not while there is hardly room");
    sealed += 1;
    assert_eq!(try_seal(&site, sealed).unwrap(), u64::from(sealed));
    let errors = inside(&site, u64::from(sealed)).batch.health.unwrap().errors;
    assert_eq!(errors.iter().map(|error| error.code.as_str()).collect::<Vec<_>>(), ["disk-full"]);

    // full again: what is new is refused, what is stored stays
    disk.fill();
    let refused = loop {
        match try_seal(&site, sealed + 1) {
            Ok(_) => sealed += 1,
            Err(error) => break error,
        }
        assert!(sealed < 400, "the disk never filled up");
    };
    assert!(matches!(refused, SiteError::Store(StoreError::Full)), "{refused:?}");
    assert_eq!(refused.exit_code(), 1);
    drop(site);

    // a person who looks is told
    let (data, key) = (places.data_dir.display().to_string(), places.key_file.display().to_string());
    let mut command = meterpost(keys.path());
    let check =
        Said::from(command.args(["--data-dir", &data, "--key-file", &key, "outbox", "check"]).output().unwrap());
    assert!(check.out.starts_with("the disk is nearly full: "), "{check:?}");
    assert!(check.out.ends_with(&format!("{sealed} items checked: all whole\n")), "{check:?}");
    assert_eq!(check.code, 0);

    disk.clear();
    let site = Site::open(&places).unwrap();
    assert_eq!(site.items().unwrap().len(), sealed as usize);
    assert_eq!(site.check(at(500)).unwrap(), []);
    site.keep_ballast(at(500)).unwrap();
    assert!(has_ballast(), "made again");
    assert_eq!(try_seal(&site, sealed + 1).unwrap(), u64::from(sealed) + 1);
    check_chain(&site);
}

#[test]
fn a_disk_that_is_full_before_the_start_is_opened_with_the_ballast_gone() {
    let Some(disk) = Disk::mount() else { return };
    let keys = tempfile::tempdir().unwrap();
    let places = places(&disk, keys.path());
    let (site, _) = Site::enroll(&places, &enrolment(epoch(1)).to_token(), at(0)).unwrap();
    site.keep_ballast(at(0)).unwrap();
    try_seal(&site, 1).unwrap();
    drop(site);
    disk.fill();
    let mut site = Site::open(&places).unwrap();
    assert_eq!(site.expire(at(1)).unwrap(), 0);
    assert_eq!(try_seal(&site, 2).unwrap(), 2);
    assert!(!places.data_dir.join(ballast::FILE).exists());
    check_chain(&site);
}
