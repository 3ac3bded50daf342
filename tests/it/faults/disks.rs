//! Disks that are full, and disks that change what they were given.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use meterpost::store::FILE;

use super::bed::{Bed, Row};
use crate::central::program;
use crate::outbox::full_disk::Disk;
use crate::relay::Way;
use crate::site::{Dice, copy};

/// Damages of each kind.
const DAMAGES: u64 = 10;

const SEED: u64 = 77;

/// Bytes of the file flipped where the dice say; the log torn as a crash in the middle of a write leaves it.
pub fn damaged_outboxes() -> Vec<Row> {
    let mut rows = Vec::new();
    for seed in SEED..SEED + DAMAGES {
        rows.push(flipped(seed));
    }
    let mut all = rows.into_iter().reduce(|mut all, row| {
        all.runs += row.runs;
        all.queued += row.queued;
        all.arrived += row.arrived;
        all.doubled += row.doubled;
        all.gaps.extend(row.gaps);
        all
    });
    all.as_mut().unwrap().fault = format!("torn and flipped bytes in the outbox, seeds {SEED}..{}", SEED + DAMAGES);
    all.into_iter().collect()
}

fn flipped(seed: u64) -> Row {
    let bed = Bed::new();
    let dice = Dice::new(seed);
    bed.seal(3);
    bed.settle();
    bed.relay.lead(Way::Nowhere);
    bed.seal(5);
    let data = bed.home.path().join("data");
    let (file, log) = (data.join(FILE), data.join(format!("{FILE}-wal")));
    let mut bytes = fs::read(&file).unwrap();
    if seed.is_multiple_of(2) {
        for _ in 0..1 + dice.below(3) {
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << dice.below(8);
        }
    } else {
        // a sector that the disk gave back as something else
        let at = dice.below(bytes.len() as u64 / 512) as usize * 512;
        bytes[at..at + 512].fill(dice.below(256) as u8);
    }
    fs::write(&file, bytes).unwrap();
    let torn: Vec<u8> = (0..dice.below(9_000)).map(|_| dice.below(256) as u8).collect();
    fs::write(&log, torn).unwrap();
    // whatever a person would do next: look, take the token again where the keys are gone, and go on
    bed.said(&["outbox", "check"]);
    bed.relay.lead(Way::To(bed.address()));
    let token = bed.central(&["site", "token", "Lindenweg", "--central", &bed.relay.url()]).out;
    let enrolled = bed.said(&["enroll", token.trim()]);
    assert_eq!(enrolled.code, 0, "seed {seed}: {enrolled:?}");
    bed.said(&["outbox", "send"]);
    bed.seal(1);
    bed.settle();
    // what the first receipts asked for is told by the next batch
    bed.seal(1);
    bed.settle();
    bed.row(format!("seed {seed}"), 1)
}

/// Puts a data directory on a file system of its own, with a link where it was.
fn move_to(disk: &Disk, data: &Path) {
    let on_disk = disk.path("data");
    copy(data, &on_disk);
    fs::remove_dir_all(data).unwrap();
    std::os::unix::fs::symlink(&on_disk, data).unwrap();
    fs::set_permissions(&on_disk, fs::Permissions::from_mode(0o700)).unwrap();
}

/// The data directory on a file system of its own, in memory, which is filled to the last byte.
pub fn full_at_the_site() -> Vec<Row> {
    let Some(disk) = Disk::mount() else { return Vec::new() };
    let bed = Bed::new();
    move_to(&disk, &bed.home.path().join("data"));
    bed.seal(3);
    let mut runs = 0;
    for _ in 0..3 {
        bed.said(&["outbox", "list"]);
        disk.fill();
        // with room given up by the ballast or without: what is queued stays, and goes when it can
        bed.said(&["outbox", "send"]);
        disk.clear();
        bed.seal(2);
        runs += 1;
    }
    bed.settle();
    let row = bed.row("full disk at the site (tmpfs of 96 MiB)", runs);
    assert_eq!(row.queued, row.arrived);
    drop(bed);
    vec![row]
}

/// The central's data directory on such a file system: it takes nothing that it cannot keep.
pub fn full_at_the_central() -> Vec<Row> {
    let Some(disk) = Disk::mount() else { return Vec::new() };
    let mut bed = Bed::new();
    bed.central = None;
    move_to(&disk, &bed.office.path().join("data"));
    bed.serve();
    let mut runs = 0;
    for _ in 0..3 {
        bed.seal(3);
        disk.fill();
        // refused, or taken into room that the store's log already has: what is acknowledged must be there afterwards
        bed.said(&["outbox", "send"]);
        disk.clear();
        bed.note();
        runs += 1;
    }
    bed.settle();
    let row = bed.row("full disk at the central (tmpfs of 96 MiB)", runs);
    assert_eq!(row.queued, row.arrived);
    drop(bed);
    vec![row]
}

/// Bytes of the central's database flipped: `check` says so; the backup of yesterday is put back, and the site sends again what
/// that one lacks.
pub fn damaged_central() -> Vec<Row> {
    let mut bed = Bed::new();
    let (data, dice) = (bed.office.path().join("data"), Dice::new(SEED));
    let (mut runs, mut found) = (0, 0);
    for _ in 0..5 {
        bed.seal(2);
        bed.settle();
        bed.central = None;
        let backup = tempfile::tempdir().unwrap();
        copy(&data, backup.path());
        bed.serve();
        bed.seal(3);
        bed.settle();
        bed.central = None;
        // whoever closes the database last writes the log back into the file
        bed.central(&["site", "list"]);
        let file = data.join("central.db");
        let mut bytes = fs::read(&file).unwrap();
        for _ in 0..1 + dice.below(40) {
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << dice.below(8);
        }
        fs::write(&file, bytes).unwrap();
        let checked = program(bed.office.path()).arg("check").output().unwrap();
        found += usize::from(!checked.status.success());
        fs::remove_dir_all(&data).unwrap();
        copy(backup.path(), &data);
        bed.remembers.set(false);
        bed.serve();
        // its receipt names what is not there
        bed.seal(1);
        bed.settle();
        bed.remembers.set(true);
        runs += 1;
    }
    assert!(found > 2, "`check` has found damage: {found}");
    let row = bed.row(format!("flipped bytes at the central, its backup put back, seed {SEED}"), runs);
    assert_eq!(row.queued, row.arrived);
    vec![row]
}
