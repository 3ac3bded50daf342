//! `import` and `quarantine`: files and mail in every shape that they come in.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use meterpost_wire::receipt::Disposition;
use meterpost_wire::{Batch, mail, xml};

use super::super::bed::{Site, config_in, counted, printer};
use super::super::submit::receipt_of;
use super::{Served, check, command, run};

/// A central with a site, and a place for files.
pub(super) struct Bed {
    pub(super) dir: tempfile::TempDir,
    pub(super) site: Site,
}

impl Bed {
    fn new() -> Self {
        Self::configured(tempfile::tempdir().expect("a directory"))
    }

    /// In a directory that has a configuration already.
    pub(super) fn configured(dir: tempfile::TempDir) -> Self {
        let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
        fs::create_dir(dir.path().join("in")).expect("made");
        Self { dir, site }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("in").join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, bytes).expect("written");
        path
    }

    /// `import` with these arguments, its standard output.
    #[track_caller]
    fn import(&self, paths: &[&Path], code: i32, error: &str) -> String {
        let mut arguments = vec!["import"];
        arguments.extend(paths.iter().map(|path| path.to_str().expect("text")));
        check(self.dir.path(), &arguments, code, error)
    }

    fn all(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    pub(super) fn counted(&self, sql: &str) -> i64 {
        counted(&config_in(self.dir.path()), sql)
    }

    fn piped(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = command(self.dir.path(), arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        // One that refuses its arguments may be gone before it has read anything.
        let _ = child.stdin.take().expect("an input").write_all(input);
        child.wait_with_output().expect("it ends")
    }
}

pub(super) fn batch(site: &Site, sequence: u64) -> Batch {
    site.batch(sequence, vec![printer("A1", 100 * sequence, &format!("2026-11-20T06:{sequence:02}:44Z"))])
}

pub(super) fn token(site: &Site, sequence: u64) -> String {
    site.seal(&batch(site, sequence))
}

pub(super) fn message(site: &Site, sequence: u64) -> Vec<u8> {
    let mail = mail::Outgoing {
        token: &token(site, sequence),
        site: site.epoch.kid().site(),
        sequence,
        batch_id: &batch(site, sequence).id,
        attempt: 1,
        from: "collector@customer.example",
        to: "batches@central.example",
        date: "2026-11-20T06:03:15Z".parse().expect("a time"),
        text: mail::TEXT,
    };
    mail::message(&mail).expect("right addresses")
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) const BOUNCE: &str = "From: MAILER-DAEMON@relay.example\nSubject: failure\n\
                      Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nno such user\n--b--\n";

#[test]
fn a_batch_counts_once_in_whatever_shape_it_comes() {
    let bed = Bed::new();
    let site = &bed.site;
    bed.write("any name", format!("{}\n", token(site, 1)));
    bed.write(&format!("deep/er/{}", mail::file_name(site.epoch.kid().site(), 2)), token(site, 2));
    bed.write("message.eml", message(site, 3));
    let mbox = format!(
        "From a@b Fri Nov 20\n{}\nFrom a@b Fri Nov 20\n{}\n",
        text(&message(site, 4)).replace("\r\n", "\n"),
        text(&message(site, 5)).replace("\r\n", "\n")
    );
    bed.write("archive.mbox", mbox);
    bed.write("box/new/1700000000.1.host", message(site, 6));
    bed.write("box/cur/1600000000.1.host:2,S", "Subject: read before\n\n");
    bed.write(".hidden", "x");
    bed.write("half.tmp", "x");
    bed.write(&format!("{}.sha256", site.epoch.kid().site()), "the collector's list");
    let told = bed.import(&[&bed.all()], 0, "");
    assert_eq!(told, "6 files and messages: 6 new batches\n");
    let output = bed.piped(&["import", "-"], &message(site, 7));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "1 file or message: 1 new batch\n".to_owned()));
    assert_eq!(bed.counted("SELECT count(*) FROM batch"), 7);
    assert_eq!(bed.counted("SELECT count(*) FROM reading"), 7);

    // once more, by other ways
    let told = bed.import(&[&bed.all(), &bed.write("1.eml", message(site, 1))], 0, "");
    assert_eq!(told, "7 files and messages: 7 stored before\n");
    assert_eq!(bed.counted("SELECT count(*) FROM batch"), 7);
    let served = Served::start(bed.dir.path());
    let (batch, token) = (batch(site, 4), token(site, 4));
    let receipt = receipt_of(&served.submit(site, &batch, &token), site, &batch, &token);
    assert_eq!((receipt.disposition, receipt.claims.acknowledged_through), (Disposition::Duplicate, 7));
}

#[test]
fn messages_of_a_maildir_are_marked_as_seen_once_they_are_stored_or_kept() {
    let bed = Bed::new();
    bed.write("new/1.host", message(&bed.site, 1));
    bed.write("new/2.host:2,", BOUNCE);
    bed.write("new/3.host", "Content-Type: application/jose\n\neyJ.not.a.to.ken\n");
    fs::create_dir_all(bed.path("cur")).expect("made");
    let told = bed.import(&[&bed.all()], 3, "3.host`: kept in quarantine: envelope-invalid: it is no batch");
    assert_eq!(told, "3 files and messages: 1 new batch, 1 in quarantine, 1 delivery report\n");
    assert_eq!(fs::read_dir(bed.path("new")).expect("there").count(), 0);
    for name in ["cur/1.host:2,S", "cur/2.host:2,S", "cur/3.host:2,S"] {
        assert!(bed.path(name).exists(), "{name}");
    }
    assert_eq!(bed.import(&[&bed.all()], 0, ""), "nothing found\n");
}

#[test]
fn what_is_no_batch_is_kept_with_its_bytes_and_the_rest_goes_on() {
    let bed = Bed::new();
    let forged = format!("{}AAAA", token(&bed.site, 9));
    bed.write("1.jwe", token(&bed.site, 1));
    bed.write("2.jwe", b"\x00\xffgarbage");
    bed.write("3.jwe", &forged);
    bed.write("4.jwe", "");
    bed.write("5.eml", "Subject: Hello\n\nis this thing on?\n");
    bed.write("6.eml", BOUNCE);
    bed.write("7.eml", "Subject: Away\nAuto-Submitted: auto-replied\n\nback on Monday\n");
    bed.write("8.jwe", vec![b'x'; (4 << 20) + 1]);
    bed.write("9.jwe", token(&bed.site, 2));
    let told = bed.import(&[&bed.all()], 3, "8.jwe`: no batch: it is longer than 4 MiB");
    assert_eq!(
        told,
        "9 files and messages: 2 new batches, 3 in quarantine, 1 delivery report, 1 automatic reply, \
         2 without a batch\n"
    );
    let list = check(bed.dir.path(), &["quarantine", "list"], 0, "");
    for line in
        ["no site  envelope-invalid  9 bytes  it is no batch", "North  envelope-invalid", "it is empty", "3.jwe)"]
    {
        assert!(list.contains(line), "{line}: {list}");
    }
    let number = |name: &str| {
        let line = list.lines().find(|line| line.contains(name)).expect(name);
        line.split_whitespace().next().expect("a number").to_owned()
    };
    let raw = run(bed.dir.path(), &["quarantine", "show", &number("2.jwe"), "--raw"]);
    assert_eq!(raw.stdout, mail::stripped(b"\x00\xffgarbage"));
    let shown = check(bed.dir.path(), &["quarantine", "show", &number("3.jwe")], 0, "");
    assert!(shown.contains("nothing proves who made it") && shown.contains("site      North"), "{shown}");
    check(bed.dir.path(), &["quarantine", "show", "99"], 2, "there is no `99` in the quarantine");
    check(bed.dir.path(), &["quarantine", "show", "x"], 2, "`x` is no item of the quarantine");
    check(bed.dir.path(), &["quarantine", "reimport"], 3, "stays in quarantine");
    check(bed.dir.path(), &["check"], 0, "");
}

#[test]
fn a_directory_as_a_collector_leaves_it_is_taken_in_without_a_complaint() {
    let bed = Bed::new();
    let name = format!("{}-1.jwe", bed.site.epoch.kid().site());
    let token = token(&bed.site, 1);
    bed.write(&name, format!("{token}\n"));
    let manifest = format!("{}  {name}\n", meterpost_wire::seal::token_sha256(&token));
    bed.write(&format!("{}.sha256", bed.site.epoch.kid().site()), manifest);
    assert_eq!(bed.import(&[&bed.all()], 0, ""), "1 file or message: 1 new batch\n");
    assert_eq!(bed.counted("SELECT count(*) FROM quarantine"), 0);
}

#[test]
fn paths_that_are_not_there_are_told() {
    let bed = Bed::new();
    let (good, bad) = (bed.write("1.jwe", token(&bed.site, 1)), bed.path("no such file"));
    bed.import(&[&bad], 2, "there is no file or directory");
    let told = bed.import(&[&bad, &good], 3, "no such file`: No such file");
    assert_eq!(told, "2 files and messages: 1 new batch, 1 left where it is\n");
}

#[test]
fn an_epoch_that_comes_too_early_is_taken_once_the_one_before_is_there() {
    let bed = Bed::new();
    let second = bed.site.next_epoch();
    let third = second.next_epoch();
    let early = bed.write("3.jwe", token(&third, 3));
    bed.import(&[&early], 3, "kept in quarantine: unknown-key: the key of epoch 3 of site `North` is not known here");
    check(bed.dir.path(), &["quarantine", "reimport"], 3, "1 stays in quarantine: unknown-key");
    bed.import(&[&bed.write("2.jwe", token(&second, 2))], 0, "");
    let told = check(bed.dir.path(), &["quarantine", "reimport"], 0, "");
    assert_eq!(told, "1 taken in, 0 stored batches read whole now, 0 left in quarantine\n");
    assert_eq!(bed.counted("SELECT count(*) FROM quarantine"), 0);
    assert_eq!(bed.counted("SELECT epoch FROM site"), 3);

    // in one import the order does not matter
    let bed = Bed::new();
    let mut site = bed.site.next_epoch();
    for epoch in 2..9 {
        bed.write(&format!("{}.jwe", 20 - epoch), token(&site, epoch));
        site = site.next_epoch();
    }
    let told = bed.import(&[&bed.all()], 0, "");
    assert_eq!(told, "7 files and messages: 7 new batches\n");
}

#[test]
fn a_site_that_comes_back_from_a_backup_gets_what_was_imported_meanwhile() {
    let bed = Bed::new();
    let database = rusqlite::Connection::open(bed.dir.path().join("data/central.db")).expect("a store");
    let lose =
        "CREATE TEMP TABLE kept_site AS SELECT * FROM site; CREATE TEMP TABLE kept_key AS SELECT * FROM site_key;
                DELETE FROM site_key; DELETE FROM site;";
    database.execute_batch(lose).expect("lost");
    bed.write("1.jwe", token(&bed.site, 1));
    bed.write("2.eml", message(&bed.site, 2));
    bed.import(&[&bed.all()], 3, "is not known here");
    let list = check(bed.dir.path(), &["quarantine", "list"], 0, "");
    assert!(list.contains(bed.site.epoch.kid().site().as_str()) && list.contains("unknown-key"), "{list}");
    database
        .execute_batch("INSERT INTO site SELECT * FROM kept_site; INSERT INTO site_key SELECT * FROM kept_key;")
        .expect("back");
    let told = check(bed.dir.path(), &["quarantine", "reimport"], 0, "");
    assert_eq!(told, "2 taken in, 0 stored batches read whole now, 0 left in quarantine\n");
    assert_eq!(bed.counted("SELECT count(*) FROM reading"), 2);
}

#[test]
fn what_waits_for_a_key_in_quarantine_is_no_refusal_to_its_site() {
    let bed = Bed::new();
    let second = bed.site.next_epoch();
    let third = second.next_epoch();
    bed.import(&[&bed.write("3.jwe", token(&third, 3))], 3, "unknown-key");
    let served = Served::start(bed.dir.path());
    for (site, sequence) in [(&second, 2), (&third, 3)] {
        let (batch, token) = (batch(site, sequence), token(site, sequence));
        let receipt = receipt_of(&served.submit(site, &batch, &token), site, &batch, &token);
        assert_eq!(receipt.disposition, Disposition::Accepted);
    }
    assert_eq!(bed.counted("SELECT count(*) FROM quarantine"), 0);
}

#[test]
fn one_poisoned_device_is_set_aside_and_taken_in_by_a_version_that_can_read_it() {
    let bed = Bed::new();
    let devices = vec![printer("A1", 10, "2026-11-20T06:01:44Z"), printer("A2", 777, "2026-11-20T06:01:44Z")];
    let good = bed.site.batch(1, devices);
    let poisoned = Batch { id: good.id.replace("8000", "8001"), sequence: 2, ..good.clone() };
    let content = xml::encode(&poisoned).replace(">777<", ">many<");
    bed.write("1.jwe", bed.site.seal(&good));
    bed.write("2.jwe", bed.site.seal_xml(content.as_bytes(), 2));
    assert_eq!(
        bed.import(&[&bed.all()], 0, "set aside, see `quarantine list`"),
        "2 files and messages: 2 new batches\n"
    );
    let list = check(bed.dir.path(), &["quarantine", "list"], 0, "");
    assert!(list.contains("batch 2  one device"), "{list}");
    let item = list.split_whitespace().next().expect("an item").to_owned();
    assert!(check(bed.dir.path(), &["quarantine", "show", &item], 0, "").contains(">many<"));
    check(bed.dir.path(), &["quarantine", "reimport"], 3, "still not read whole");
    check(bed.dir.path(), &["quarantine", "reimport", &item], 3, "still not read whole");
    assert_eq!(bed.counted("SELECT count(*) FROM set_aside"), 1);

    // as if an older version had not been able to read the second device of batch 1 either
    let database = rusqlite::Connection::open(bed.dir.path().join("data/central.db")).expect("a store");
    database
        .execute_batch(
            "INSERT INTO set_aside SELECT batch.arrival, 0, batch.site, set_aside.detail FROM batch, set_aside
                WHERE batch.sequence = 1;
             UPDATE note SET set_aside = 1;
             DELETE FROM reading WHERE device NOT IN (SELECT id FROM device ORDER BY id LIMIT 1);
             DELETE FROM device WHERE id NOT IN (SELECT id FROM device ORDER BY id LIMIT 1);",
        )
        .expect("changed");
    drop(database);
    let before = bed.counted("SELECT count(*) FROM reading");
    let told = check(bed.dir.path(), &["quarantine", "reimport"], 3, "batch");
    assert_eq!(told, "0 taken in, 1 stored batches read whole now, 1 left in quarantine\n");
    assert_eq!((before, bed.counted("SELECT count(*) FROM reading")), (1, 2));
}

#[test]
fn strangers_make_room_for_others_and_what_authenticated_stays() {
    let bed = Bed::new();
    let database = rusqlite::Connection::open(bed.dir.path().join("data/central.db")).expect("a store");
    let fill = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1000)
                INSERT INTO quarantine (site, sha256, code, reason, received_at, token, authentic)
                SELECT $1, randomblob(32), 'envelope-invalid', 'x', 0, 'x', $2 FROM number";
    database.execute(fill, ("", 0)).expect("filled");
    let garbage = bed.write("garbage", "garbage!");
    bed.import(&[&garbage], 3, "kept in quarantine");
    assert_eq!(bed.counted("SELECT count(*) FROM quarantine"), 1000);
    assert_eq!(bed.counted("SELECT min(number) FROM quarantine"), 2);
    database.execute(fill, (bed.site.epoch.kid().site().as_str(), 1)).expect("filled");
    // a message for which there is no room stays where it is
    bed.write("box/new/1.host", format!("Content-Type: application/jose\n\n{}\n", bed.site.seal_xml(b"<Other/>", 1)));
    bed.write("box/new/2.host", message(&bed.site, 2));
    fs::create_dir_all(bed.path("box/cur")).expect("made");
    let told = bed.import(&[&bed.path("box")], 3, "the quarantine is full, so it stays where it is");
    assert_eq!(told, "2 files and messages: 1 new batch, 1 left where it is\n");
    assert!(bed.path("box/new/1.host").exists() && bed.path("box/cur/2.host:2,S").exists());
}

#[test]
fn a_mail_server_is_told_to_keep_only_what_could_not_be_kept_here() {
    let bed = Bed::new();
    for (input, code) in
        [(message(&bed.site, 1), 0), (BOUNCE.into(), 0), (b"Content-Type: application/jose\n\nx\n".to_vec(), 0)]
    {
        let output = bed.piped(&["import", "--mta", "-"], &input);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    }
    assert_eq!(bed.counted("SELECT count(*) FROM quarantine"), 1);
    let wrong = bed.write("wrong.toml", "nonsense = 1\n");
    let wrong = wrong.to_str().expect("text");
    let output = bed.piped(&["import", "--mta", "-", "--config", wrong], &message(&bed.site, 2));
    assert_eq!(output.status.code(), Some(75), "{}", text(&output.stderr));
    let output = bed.piped(&["import", "-", "--config", wrong], &message(&bed.site, 2));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

/// A file and a message of one batch, two at a time, from several processes: SQLite takes turns, and one of each stays.
#[test]
fn imports_at_the_same_time_keep_one_of_each_batch() {
    let bed = Bed::new();
    for sequence in 1..60 {
        bed.write(&format!("{sequence}.jwe"), token(&bed.site, sequence));
        bed.write(&format!("{sequence}.eml"), message(&bed.site, sequence));
    }
    let imports: Vec<_> = (0..4)
        .map(|_| command(bed.dir.path(), &["import", bed.all().to_str().expect("text")]).spawn().expect("it starts"))
        .collect();
    for mut import in imports {
        assert!(import.wait().expect("it ends").success());
    }
    assert_eq!(bed.counted("SELECT count(*) FROM batch"), 59);
    assert_eq!(bed.counted("SELECT count(*) FROM reading"), 59);
}

#[test]
fn an_import_that_is_killed_anywhere_loses_and_doubles_nothing() {
    const MESSAGES: u64 = 400;
    let bed = Bed::new();
    for sequence in 1..=MESSAGES {
        let batch = bed.site.batch(sequence, vec![]);
        let message = format!("Content-Type: application/jose\n\n{}\n", bed.site.seal(&batch));
        bed.write(&format!("new/{sequence}.host"), message);
    }
    fs::create_dir_all(bed.path("cur")).expect("made");
    let listed = |folder: &str| fs::read_dir(bed.path(folder)).expect("there").count() as i64;
    let mut random = 0x6d65_7465_u64;
    let mut stored = Vec::new();
    for _ in 0..20 {
        let mut import = command(bed.dir.path(), &["import", bed.all().to_str().expect("text")])
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(std::time::Duration::from_millis((random >> 33) % 120));
        import.kill().expect("killed");
        import.wait().expect("gone");
        let there = bed.counted("SELECT count(*) FROM batch");
        assert!(listed("cur") <= there, "moved before it was stored");
        stored.push(there);
    }
    bed.import(&[&bed.all()], 0, "");
    assert_eq!(bed.counted("SELECT count(*) FROM batch"), MESSAGES as i64, "after {stored:?}");
    assert_eq!((listed("new"), listed("cur")), (0, MESSAGES as i64), "after {stored:?}");
    check(bed.dir.path(), &["check"], 0, "");
}
