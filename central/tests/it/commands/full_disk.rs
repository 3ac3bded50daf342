//! A disk that is really full: a file system in memory of 3 MiB, which only root may mount.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::super::bed::{Site, config_in, counted, printer};
use super::{Served, check, run};

/// A small disk at `data`; unmounted when the test has ended.
struct Disk<'d>(&'d Path);

impl<'d> Disk<'d> {
    /// `None`, and a word of it, where nothing can be mounted.
    fn mount(place: &'d Path) -> Option<Self> {
        fs::create_dir_all(place).expect("made");
        let options = ["-t", "tmpfs", "-o", "size=3m,mode=0700", "none"];
        let mounted = Command::new("mount").args(options).arg(place).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(place));
        }
        eprintln!("SKIPPED: `mount` wants root; a limit on the size of files is tested all the same");
        None
    }

    /// Leaves not a byte.
    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.0.join("filler")).expect("opened");
        while file.write_all(&[0xaa; 512]).is_ok() {}
    }

    fn clear(&self) {
        fs::remove_file(self.0.join("filler")).expect("removed");
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn on_a_full_disk_nothing_is_lost_doubled_or_refused_for_good() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let Some(disk) = Disk::mount(&data) else { return };
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let files = dir.path().join("in");
    fs::create_dir(&files).expect("made");
    for sequence in 1..=200u64 {
        let devices = (0..10).map(|number| printer(&format!("S{number}"), sequence, "2026-11-20T06:00:00Z")).collect();
        fs::write(files.join(format!("{sequence}.jwe")), site.seal(&site.batch(sequence, devices))).expect("written");
    }
    let import = ["import", files.to_str().expect("a path")];
    let served = Served::start(dir.path());
    let health = || super::super::bed::send(served.address, "GET /healthz HTTP/1.1\r\nHost: c\r\n", b"").status;
    assert_eq!(health(), 200, "it has made its administrator");
    disk.fill();
    check(dir.path(), &import, 1, "; what was stored before stays, and the same import may be started again");
    // What is stored can be looked at all the same; a request is told to come back, and the pages go on.
    assert!(check(dir.path(), &["gaps"], 0, "").starts_with("North"));
    let batch = site.batch(1, vec![]);
    let answer = served.submit(&site, &batch, &site.seal(&batch));
    assert_eq!(answer.element("code").as_deref(), Some("storage"), "{}", answer.body);
    assert_eq!(answer.element("refusal"), None);
    assert_eq!(health(), 200);
    disk.clear();
    // With some room it goes on where it was, until that is used up too; what is stored then is whole.
    let output = run(dir.path(), &import);
    let stored = counted(&config_in(dir.path()), "SELECT count(*) FROM batch");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    assert!(stored > 0, "{output:?}");
    assert_eq!(counted(&config_in(dir.path()), "SELECT count(*) FROM note"), stored);
    served.kill();
    disk.fill();
    check(dir.path(), &["gaps"], 0, "");
    disk.clear();

    // A larger disk, as after the operator has made room.
    let remount = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&data).status().expect("it runs");
    assert!(remount.success());
    check(dir.path(), &import, 0, "");
    assert_eq!(counted(&config_in(dir.path()), "SELECT count(*) FROM batch"), 200);
    check(dir.path(), &["check"], 0, "");
}
