//! The program as its operator starts, asks and kills it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use meterpost_wire::receipt::Disposition;
use meterpost_wire::{Batch, soap};

use super::bed::{FORM, PASSWORD, SESSION, Site, config_in, counted, printer, send};
use super::submit::receipt_of;

#[cfg(target_os = "linux")]
mod derived;
mod full_disk;
mod gaps;
#[cfg(unix)]
mod imap;
mod import;
mod keys;
mod killed;

fn command(dir: &Path, arguments: &[&str]) -> Command {
    config_in(dir);
    let mut command = Command::new(env!("CARGO_BIN_EXE_meterpost-central"));
    command
        .args(arguments)
        .env("METERPOST_CONFIG", dir.join("central.toml"))
        .env("METERPOST_DATA_DIR", dir.join("data"))
        .env("METERPOST_CENTRAL_ADMIN_PASSWORD", PASSWORD)
        .env("TZ", "UTC")
        .env_remove("METERPOST_KEY_FILE");
    command
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).output().expect("it runs")
}

#[track_caller]
fn check(dir: &Path, arguments: &[&str], code: i32, error: &str) -> String {
    let output = run(dir, arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
    assert!(err.contains(error), "{arguments:?}: {err}");
    out.into_owned()
}

/// `serve` as a process of its own.
struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    fn start(dir: &Path) -> Self {
        Self::started(command(dir, &["serve", "--listen", "127.0.0.1:0"]))
    }

    /// With files that cannot grow over this many KiB, as on a disk that fills up.
    #[cfg(unix)]
    fn start_on_small_disk(dir: &Path, kib: u32) -> Self {
        let serve = command(dir, &[]);
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" serve --listen 127.0.0.1:0")]);
        shell.arg(serve.get_program());
        shell.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::started(shell)
    }

    fn started(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("listening on http://")?.1.trim().parse().ok())
            .expect("it says where it listens");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn submit(&self, site: &Site, batch: &Batch, token: &str) -> super::bed::Answer {
        let body = soap::submit_batch(site.epoch.kid().site(), &batch.id, batch.sequence, token);
        let head = format!(
            "POST /soap/v1 HTTP/1.1\r\nHost: central\r\nAuthorization: Bearer {}\r\n",
            *site.epoch.submit_token()
        );
        send(self.address, &head, body.as_bytes())
    }

    /// SIGKILL on Unix.
    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }
}

/// A test that fails leaves no program behind.
impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_full_disk_refuses_nothing_for_good_and_what_was_acknowledged_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let devices = |sequence: u64| {
        (0..40).map(move |number| {
            printer(&format!("S{number}"), sequence, &format!("2026-11-{:02}T06:00:00Z", sequence % 28 + 1))
        })
    };
    let served = Served::start_on_small_disk(dir.path(), 700);
    let mut acknowledged = 0;
    let full = loop {
        let batch = site.batch(acknowledged + 1, devices(acknowledged + 1).collect());
        let token = site.seal(&batch);
        let answer = served.submit(&site, &batch, &token);
        if answer.status != 200 {
            break answer;
        }
        receipt_of(&answer, &site, &batch, &token);
        acknowledged += 1;
        assert!(acknowledged < 100, "the disk never filled up");
    };
    assert!(acknowledged > 0, "nothing fitted on the disk: {}", full.body);
    assert_eq!(full.element("code").as_deref(), Some("storage"), "{}", full.body);
    assert_eq!(full.element("retryable").as_deref(), Some("true"));
    assert_eq!(full.element("refusal"), None);
    served.kill();

    let served = Served::start(dir.path());
    for sequence in 1..=acknowledged + 1 {
        let batch = site.batch(sequence, devices(sequence).collect());
        let token = site.seal(&batch);
        let receipt = receipt_of(&served.submit(&site, &batch, &token), &site, &batch, &token);
        let expected = if sequence > acknowledged { Disposition::Accepted } else { Disposition::Duplicate };
        assert_eq!(receipt.disposition, expected, "{sequence}");
    }
    served.kill();
    check(dir.path(), &["check"], 0, "");
}

#[test]
fn two_centrals_on_one_data_directory_keep_one_of_each_batch_and_one_chain() {
    let dir = tempfile::tempdir().expect("a directory");
    // both at their first start, at once
    let (one, other) = std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(|| Served::start(dir.path())), scope.spawn(|| Served::start(dir.path())));
        (one.join().expect("the one starts"), other.join().expect("the other starts"))
    });
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let batch = |sequence| {
        let batch = site.batch(sequence, vec![printer("A1", sequence, "2026-11-20T06:01:44Z")]);
        let token = site.seal(&batch);
        (batch, token)
    };
    let submit = |to: &Served, sequence| {
        let (batch, token) = batch(sequence);
        receipt_of(&to.submit(&site, &batch, &token), &site, &batch, &token)
    };
    // every number at both, at the same time
    const NUMBERS: u64 = 10;
    let dispositions = |to| (1..=NUMBERS).map(|sequence| submit(to, sequence).disposition).collect::<Vec<_>>();
    let (at_one, at_other) = std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(|| dispositions(&one)), scope.spawn(|| dispositions(&other)));
        (one.join().expect("answers"), other.join().expect("answers"))
    });
    for (sequence, pair) in (1..).zip(at_one.into_iter().zip(at_other)) {
        let right = [(Disposition::Accepted, Disposition::Duplicate), (Disposition::Duplicate, Disposition::Accepted)];
        assert!(right.contains(&pair), "{sequence}: {pair:?}");
    }
    // what one of them stored the other one knows
    assert_eq!(submit(&one, NUMBERS + 1).claims.acknowledged_through, NUMBERS + 1);
    assert_eq!(submit(&other, NUMBERS + 2).claims.acknowledged_through, NUMBERS + 2);
    assert!(logged_in(&other, "/").contains("North"));
    drop((one, other));
    assert_eq!(counted(&config_in(dir.path()), "SELECT count(*) FROM batch"), NUMBERS as i64 + 2);
    let out = check(dir.path(), &["check"], 0, "");
    assert!(out.starts_with("12 tokens"), "{out}");
}

/// A database file with this done to it: what is said, and that nothing was written to it.
#[track_caller]
fn check_unusable(spoil: impl FnOnce(&Path), code: i32, error: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    check(dir.path(), &["site", "add", "North"], 0, "");
    let file = dir.path().join("data/central.db");
    spoil(&file);
    let before = std::fs::read(&file).ok();
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["site", "list"], &["check"]] {
        check(dir.path(), arguments, code, error);
    }
    assert_eq!(std::fs::read(&file).ok(), before, "a person may still mend it");
}

#[test]
fn a_database_that_does_not_open_is_named_and_left_as_it_is() {
    let write = |bytes: &'static [u8]| move |file: &Path| std::fs::write(file, bytes).expect("written");
    check_unusable(write(&[0x5a; 9000]), 1, "central.db`: file is not a database");
    let cut = |file: &Path| {
        let whole = std::fs::read(file).expect("read");
        std::fs::write(file, &whole[..whole.len() / 2]).expect("cut");
    };
    check_unusable(cut, 1, "central.db`: database disk image is malformed");
    let newer = |file: &Path| {
        let database = rusqlite::Connection::open(file).expect("a store");
        database.pragma_update(None, "user_version", 99).expect("moved");
    };
    check_unusable(newer, 1, "central.db`: it was written by a newer program (schema 99");
    let directory = |file: &Path| {
        std::fs::remove_file(file).expect("removed");
        std::fs::create_dir(file).expect("made");
    };
    check_unusable(directory, 1, "the store cannot write now: unable to open");
}

/// A page of the program, over plain HTTP, as the administrator sees it.
fn logged_in(served: &Served, path: &str) -> String {
    let session = log_in(served, PASSWORD).expect("a session");
    send(served.address, &format!("GET {path} HTTP/1.1\r\nHost: central\r\nCookie: {SESSION}={session}\r\n"), b"").body
}

/// The administrator's session, if this is the password.
fn log_in(served: &Served, password: &str) -> Option<String> {
    let form = send(served.address, "GET /login HTTP/1.1\r\nHost: central\r\n", b"");
    let (cookie, token) = (form.cookie(FORM).expect("a cookie"), form.field("token").expect("a token"));
    let head = format!(
        "POST /login HTTP/1.1\r\nHost: central\r\nCookie: {FORM}={cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    );
    let body = format!("token={token}&next=/&name=admin&password={password}");
    send(served.address, &head, body.as_bytes()).cookie(SESSION)
}

#[test]
fn a_crowd_of_silent_connections_leaves_room_for_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let served = Served::start(dir.path());
    let silent: Vec<_> = (0..600).filter_map(|_| std::net::TcpStream::connect(served.address).ok()).collect();
    // Those over the share of this address have been closed at once: 88 of them at least.
    let closed = silent
        .iter()
        .skip(512)
        .filter(|stream| {
            stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a timeout");
            matches!((&**stream).read(&mut [0]), Ok(0) | Err(_))
        })
        .count();
    assert_eq!(closed, 88);
    drop(silent);
    // The program learns of each hang-up by reading: until it has, this address is still over its share.
    let patience = std::time::Instant::now();
    while send(served.address, "GET /login HTTP/1.1\r\nHost: central\r\n", b"").cookie(FORM).is_none() {
        assert!(
            patience.elapsed() < std::time::Duration::from_secs(30),
            "the share of this address is never free again"
        );
    }
    assert!(logged_in(&served, "/").contains("Fleet"));
    served.kill();
}

#[test]
fn a_stolen_data_directory_tells_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = check(dir.path(), &["site", "add", "Planted Name"], 0, "");
    let site = Site::enrolled(&token);
    let served = Served::start(dir.path());
    let mut device = printer("PLANTEDSERIAL", 123_456_789, "2026-11-20T06:01:44Z");
    let identity = device.identity.as_mut().expect("an identity");
    identity.location = Some("Planted Room".to_owned());
    identity.system_name = Some("planted-host".to_owned());
    device.network.as_mut().expect("a network").physical_addresses = vec!["a0:b1:c2:d3:e4:f5".to_owned()];
    let batch = site.batch(1, vec![device]);
    let token = site.seal(&batch);
    receipt_of(&served.submit(&site, &batch, &token), &site, &batch, &token);
    served.kill();
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(dir.path().join("data")).expect("the data directory") {
        std::fs::File::open(entry.expect("a file").path()).expect("opened").read_to_end(&mut bytes).expect("read");
    }
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    let mut planted = vec![
        "plantedserial",
        "planted room",
        "planted-host",
        "planted name",
        "192.0.2.41",
        "a0:b1:c2",
        "123456789",
        "laserbeam",
    ];
    let bearer = site.epoch.submit_token().to_lowercase();
    planted.push(&bearer);
    for word in planted {
        assert!(!text.contains(word), "`{word}` stands in the data directory");
    }
    let secret = site.epoch.secret();
    assert!(!bytes.windows(32).any(|window| window == secret), "the site's secret stands in the data directory");
    // Without the key, and with another one, it is refused.
    std::fs::rename(dir.path().join("machine.key"), dir.path().join("away")).expect("moved");
    check(dir.path(), &["site", "list"], 2, "machine.key` is missing");
    std::fs::write(dir.path().join("machine.key"), [9; 32]).expect("written");
    check(dir.path(), &["site", "list"], 2, "the machine key is not the one that this data directory was made with");
}

#[test]
fn usage_and_configuration_end_with_2_and_say_what_would_be_right() {
    let dir = tempfile::tempdir().expect("a directory");
    check(dir.path(), &["export", "devices"], 2, "there is no store in");
    check(dir.path(), &["serve", "--listen", "0.0.0.0:1"], 2, "give `--tls-cert` and `--tls-key`");
    check(dir.path(), &["serve", "--tls-cert", "x.pem"], 2, "give both");
    check(
        dir.path(),
        &["site", "add", "N", "--central", "http://central.example"],
        2,
        "`https://central.example` would be right",
    );
    check(dir.path(), &["site", "add", " "], 2, "is no name for a site");
    check(dir.path(), &["site", "add", "N", "--enc", "A128GCM"], 2, "`A128CBC-HS256` would be right");
    check(dir.path(), &["export", "readings", "--from", "soon"], 2, "a day such as `2026-11-01`");
    check(dir.path(), &["nonsense"], 2, "unrecognized subcommand");
    std::fs::write(dir.path().join("central.toml"), "public_url = 'https://c.example'\nport = 1\n").expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_meterpost-central"))
        .args(["site", "list", "--config"])
        .arg(dir.path().join("central.toml"))
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 2: unknown field `port`, expected one of `listen`"));
}

#[test]
fn sites_are_added_once_listed_and_enrolled_again_above_what_is_stored() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North", "--enc", "A128CBC-HS256"], 0, ""));
    assert_eq!(site.epoch.enc().as_str(), "A128CBC-HS256");
    check(dir.path(), &["site", "add", "north"], 2, "there is a site `north` already");
    let first = check(dir.path(), &["site", "token", "NORTH"], 0, "");
    assert_eq!(meterpost_wire::enrolment::Enrolment::parse(&first).expect("a token").sequence, None);
    check(dir.path(), &["site", "token", "South"], 2, "there is no site `South`");

    let served = Served::start(dir.path());
    let batch = site.batch(41, vec![printer("A1", 10, "2026-11-20T06:01:44Z")]);
    let token = site.seal(&batch);
    receipt_of(&served.submit(&site, &batch, &token), &site, &batch, &token);
    let again = check(dir.path(), &["site", "token", "North"], 0, "");
    let again = meterpost_wire::enrolment::Enrolment::parse(&again).expect("a token");
    assert_eq!((again.sequence, again.central.as_str()), (Some(1_041), "https://central.example"));
    assert_eq!(again.epoch, site.epoch);

    let list = check(dir.path(), &["site", "list"], 0, "");
    assert!(list.contains(site.epoch.kid().site().as_str()) && list.contains("North"), "{list}");
    let csv = check(dir.path(), &["export", "readings", "--site", "North"], 0, "");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 2, "{csv}");
    assert!(lines[0].starts_with("site,site_id,device,key,vendor,model,serial_number,read_at,"), "{csv}");
    assert!(lines[1].contains(",2026-11-20T06:01:44Z,41,complete,10,5,,"), "{csv}");
    assert_eq!(check(dir.path(), &["export", "readings", "--to", "2026-11-20"], 0, "").lines().count(), 1);
    served.kill();
}

#[cfg(unix)]
#[test]
fn the_first_password_goes_to_a_private_file_and_never_to_a_log() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let mut first = command(dir.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let mut child =
        first.env_remove("METERPOST_CENTRAL_ADMIN_PASSWORD").stderr(Stdio::piped()).spawn().expect("it starts");
    let lines = BufReader::new(child.stderr.take().expect("its log")).lines();
    let line = lines.map_while(Result::ok).find(|line| line.contains("first start")).expect("a password");
    child.kill().expect("killed");
    child.wait().expect("gone");
    let file = dir.path().join("initial-password");
    let password = std::fs::read_to_string(&file).expect("written");
    assert_eq!(password.trim_end().len(), 23, "{password}");
    assert!(line.contains(file.to_str().expect("a path")) && !line.contains(password.trim_end()), "{line}");
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);

    let mut passwd =
        command(dir.path(), &["user", "passwd", "admin"]).stdin(Stdio::piped()).spawn().expect("it starts");
    passwd.stdin.take().expect("its input").write_all(b"another-password\n").expect("written");
    assert_eq!(passwd.wait().expect("it ends").code(), Some(0));
    assert_eq!(counted(&config_in(dir.path()), "SELECT count(*) FROM person"), 1);
    assert!(!file.exists(), "it is a password no more");
    check(dir.path(), &["user", "passwd", "admin"], 2, "a password has 10 characters or more");
}

#[test]
fn of_two_first_starts_at_one_time_one_makes_the_administrator_and_its_password_is_the_one_that_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("data")).expect("made");
    let mut starting: Vec<_> = (0..4)
        .map(|_| {
            let mut serve = command(dir.path(), &["serve", "--listen", "127.0.0.1:0"]);
            serve.env_remove("METERPOST_CENTRAL_ADMIN_PASSWORD").stderr(Stdio::piped()).spawn().expect("it starts")
        })
        .collect();
    let told: usize = starting
        .iter_mut()
        .map(|child| {
            // Nothing that could still end the start lies behind the words that it listens.
            let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines().map_while(Result::ok);
            let start: Vec<_> = lines.by_ref().take_while(|line| !line.contains("listening on http://")).collect();
            child.kill().expect("killed");
            child.wait().expect("gone");
            start.iter().filter(|line| line.contains("first start")).count()
        })
        .sum();
    assert_eq!(told, 1);
    let files = std::fs::read_dir(dir.path()).expect("listed").map(|entry| entry.expect("an entry").file_name());
    let passwords: Vec<_> = files.filter(|name| name.to_string_lossy().starts_with("initial-password")).collect();
    assert_eq!(passwords, ["initial-password"]);
    let served = Served::start(dir.path());
    let password = std::fs::read_to_string(dir.path().join("initial-password")).expect("written");
    assert!(log_in(&served, password.trim_end()).is_some(), "the password that was told");
}

#[test]
fn a_token_that_says_an_address_that_nobody_gave_is_told_of() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("central.toml"), "").expect("written");
    check(dir.path(), &["site", "add", "North", "--central", "https://central.example"], 0, "");
    check(dir.path(), &["site", "token", "North"], 0, "note: the token says `http://127.0.0.1:");
    let told = run(dir.path(), &["site", "token", "North", "--central", "https://central.example"]);
    assert_eq!(String::from_utf8_lossy(&told.stderr), "");
}

#[test]
fn numbers_end_and_the_enrolment_token_says_so() {
    use meterpost_wire::batch::SEQUENCE_MAX;
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let served = Served::start(dir.path());
    for sequence in [SEQUENCE_MAX - 5, SEQUENCE_MAX] {
        let id = format!("0192f0c1-7b7e-7000-8000-{:012x}", SEQUENCE_MAX - sequence);
        let batch = Batch { id, ..site.batch(sequence, vec![]) };
        let token = site.seal(&batch);
        receipt_of(&served.submit(&site, &batch, &token), &site, &batch, &token);
        if sequence < SEQUENCE_MAX {
            let again = check(dir.path(), &["site", "token", "North"], 0, "");
            let again = meterpost_wire::enrolment::Enrolment::parse(&again).expect("one that a collector takes");
            assert_eq!(again.sequence, Some(SEQUENCE_MAX));
        }
    }
    served.kill();
    check(
        dir.path(),
        &["site", "token", "North"],
        2,
        "the site `North` has used sequence 9007199254740991, the last there is",
    );
    let list = check(dir.path(), &["site", "list"], 0, "");
    assert!(list.trim_end().ends_with("9007199254740989 missing"), "{list}");
}

#[test]
fn a_central_on_loopback_is_its_own_default_for_sites() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("central.toml"), "listen = '127.0.0.1:18123'\n").expect("written");
    let token = check(dir.path(), &["site", "add", "North"], 0, "");
    let enrolment = meterpost_wire::enrolment::Enrolment::parse(&token).expect("a token");
    assert_eq!(enrolment.central, "http://127.0.0.1:18123");
}
