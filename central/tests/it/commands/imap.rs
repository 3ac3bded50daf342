//! A mailbox on a real Dovecot, which the test starts with a configuration of its own: password and token, TLS and none,
//! connections that break, and the folders that messages end up in.

mod dovecot;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::import::{BOUNCE, Bed, batch, message, text, token};
use super::{Served, check, run};
use dovecot::{Dovecot, Secured};

/// A central whose `[imap]` is this.
fn bed(imap: &str) -> Bed {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("central.toml"), format!("public_url = 'https://central.example'\n{imap}"))
        .expect("written");
    Bed::configured(dir)
}

/// `[imap]` for a Dovecot without TLS, at this port of it or of something in between.
fn plain(port: u16) -> String {
    format!(
        "[imap]\nhost = '127.0.0.1'\nport = {port}\ntls = 'none'\nuser = 'batches'\npassword = '{}'\n",
        dovecot::PASSWORD
    )
}

fn poll(dir: &Path, code: i32, error: &str) -> String {
    check(dir, &["import", "--imap"], code, error)
}

/// Waits for what another program will do; a minute is long.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_mailbox_is_emptied_into_processed_and_rejected() {
    let Some(dovecot) = Dovecot::start(Secured::Not, None) else { return };
    let bed = bed(&plain(dovecot.port));
    assert_eq!(poll(bed.dir.path(), 0, ""), "nothing found\n");
    for sequence in [3, 1, 2, 1] {
        dovecot.deliver(&message(&bed.site, sequence));
    }
    dovecot.deliver(BOUNCE.as_bytes());
    dovecot.deliver(b"Subject: Away\nAuto-Submitted: auto-replied\n\nback on Monday\n");
    dovecot.deliver(b"Subject: Buy now\n\nOnly today\n");
    dovecot.deliver(b"Content-Type: application/jose\n\neyJ.garbage\n");
    dovecot.deliver(&[b"Subject: long\n\n".to_vec(), vec![b'x'; (4 << 20) + 1]].concat());
    let told = poll(bed.dir.path(), 3, "INBOX message");
    assert_eq!(
        told,
        "9 files and messages: 3 new batches, 1 stored before, 1 in quarantine, 1 delivery report, 1 automatic reply, \
         2 without a batch\n"
    );
    assert_eq!((dovecot.inbox(), dovecot.folder("Processed"), dovecot.folder("Rejected")), (0, 4, 5));
    assert_eq!(bed.counted("SELECT count(*) FROM batch"), 3);
    assert_eq!(bed.counted("SELECT count(*) FROM mail WHERE verdict = 'processed'"), 4);
    assert_eq!(poll(bed.dir.path(), 0, ""), "nothing found\n");
}

#[test]
fn a_server_that_cannot_move_copies_and_what_it_cannot_remove_is_not_read_again() {
    for (capabilities, left) in [("IMAP4rev1 UIDPLUS", 0), ("IMAP4rev1", 4)] {
        let Some(dovecot) = Dovecot::limited_to(capabilities) else { return };
        let bed = bed(&plain(dovecot.port));
        for sequence in 1..=3 {
            dovecot.deliver(&message(&bed.site, sequence));
        }
        dovecot.deliver(BOUNCE.as_bytes());
        let told = "4 files and messages: 3 new batches, 1 delivery report\n";
        assert_eq!(poll(bed.dir.path(), 0, ""), told, "{capabilities}");
        assert_eq!((dovecot.folder("Processed"), dovecot.folder("Rejected")), (3, 1), "{capabilities}");
        assert_eq!(dovecot.inbox(), left, "{capabilities}");
        assert_eq!(poll(bed.dir.path(), 0, ""), "nothing found\n", "{capabilities}");
        assert_eq!((dovecot.folder("Processed"), dovecot.folder("Rejected")), (3, 1), "{capabilities}");
    }
}

#[test]
fn serve_empties_the_mailbox_of_a_server_that_tells_of_nothing_new() {
    let Some(dovecot) = Dovecot::limited_to("IMAP4rev1") else { return };
    let bed = bed(&format!("{}look_every_seconds = 5\n", plain(dovecot.port)));
    dovecot.deliver(&message(&bed.site, 1));
    let served = Served::start(bed.dir.path());
    until("the message that was there", || dovecot.folder("Processed") == 1);
    dovecot.deliver(&message(&bed.site, 2));
    until("the next look", || dovecot.folder("Processed") == 2);
    assert_eq!(bed.counted("SELECT count(*) FROM batch"), 2);
    served.kill();
}

#[test]
fn a_hundred_and_fifty_messages_go_in_groups() {
    let Some(dovecot) = Dovecot::start(Secured::Not, None) else { return };
    let bed = bed(&plain(dovecot.port));
    for sequence in 1..=150 {
        dovecot.deliver(&message_of(&bed, sequence));
    }
    assert_eq!(poll(bed.dir.path(), 0, ""), "150 files and messages: 150 new batches\n");
    assert_eq!((dovecot.inbox(), dovecot.folder("Processed")), (0, 150));
}

/// A message with nothing but the token, as a person may forward it.
fn message_of(bed: &Bed, sequence: u64) -> Vec<u8> {
    let batch = bed.site.batch(sequence, vec![]);
    format!("Subject: {sequence}\nContent-Type: application/jose\n\n{}\n", bed.site.seal(&batch)).into_bytes()
}

#[test]
fn a_message_that_was_stored_and_not_moved_is_moved_and_not_read_again() {
    let Some(dovecot) = Dovecot::start(Secured::Not, None) else { return };
    let bed = bed(&plain(dovecot.port));
    for sequence in 1..=3 {
        dovecot.deliver(&message(&bed.site, sequence));
    }
    dovecot.deliver(BOUNCE.as_bytes());
    poll(bed.dir.path(), 0, "");
    // as it would be had the connection ended before the messages were moved
    dovecot.move_back();
    assert_eq!(dovecot.inbox(), 4);
    let database = rusqlite::Connection::open(bed.dir.path().join("data/central.db")).expect("a store");
    let marked = "UPDATE mail SET uid = uid + (SELECT max(uid) FROM mail)";
    database.execute_batch(marked).expect("marked for the numbers that they have now");
    assert_eq!(poll(bed.dir.path(), 0, ""), "nothing found\n");
    assert_eq!((dovecot.inbox(), dovecot.folder("Processed"), dovecot.folder("Rejected")), (0, 3, 1));
}

#[test]
fn a_connection_that_breaks_anywhere_loses_and_doubles_nothing() {
    let Some(dovecot) = Dovecot::start(Secured::Not, None) else { return };
    let cutting = Cutting::start(dovecot.port);
    let bed = bed(&plain(cutting.address.port()));
    const MESSAGES: u64 = 6;
    for sequence in 1..=MESSAGES {
        dovecot.deliver(&message(&bed.site, sequence));
    }
    let mut broken = 0;
    // the greeting is some 100 bytes long, the answers before the fetch some 1,000, a message 2,000
    for bytes in
        [0, 60, 300, 700, 1_000, 1_300, 1_700, 2_500, 4_000, 6_000, 8_000, 10_000, 12_000, 14_000, 15_000, 16_000]
    {
        cutting.cut_after(bytes);
        let output = run(bed.dir.path(), &["import", "--imap"]);
        let said = text(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{bytes}: {said}");
        broken += usize::from(output.status.code() == Some(1));
    }
    assert!(broken > 5, "{broken}");
    cutting.cut_after(u64::MAX);
    poll(bed.dir.path(), 0, "");
    assert_eq!(bed.counted("SELECT count(*) FROM batch"), MESSAGES as i64);
    assert_eq!(bed.counted("SELECT count(*) FROM reading"), MESSAGES as i64);
    assert_eq!((dovecot.inbox(), dovecot.folder("Processed"), dovecot.folder("Rejected")), (0, MESSAGES as usize, 0));
}

#[test]
fn a_password_that_is_wrong_is_told_and_no_password_reaches_a_log() {
    let Some(dovecot) = Dovecot::start(Secured::Not, None) else { return };
    let wrong = plain(dovecot.port).replace(dovecot::PASSWORD, "correct-horse");
    let elsewhere = bed(&wrong);
    poll(elsewhere.dir.path(), 2, "the mailbox does not let `batches` in");
    for (dir, password) in [(&elsewhere, "correct-horse"), (&bed(&plain(dovecot.port)), dovecot::PASSWORD)] {
        let output = run(dir.dir.path(), &["-vv", "import", "--imap"]);
        let said = text(&output.stderr);
        assert!(!said.contains(password), "{said}");
    }
    let away = bed(&plain(1));
    poll(away.dir.path(), 1, "the mailbox at `127.0.0.1:1` cannot be reached");
    let none = bed("");
    poll(none.dir.path(), 2, "no mailbox is configured");
}

#[test]
fn the_mailbox_is_reached_by_tls_from_the_start_and_by_starttls() {
    let Some(dovecot) = Dovecot::start(Secured::Tls, None) else { return };
    let ca = dovecot.certificate();
    let secured = |tls: &str, port: u16, ca: &str| {
        let ca = if ca.is_empty() { String::new() } else { format!("ca = '{ca}'\n") };
        plain(port).replace("tls = 'none'", &format!("tls = '{tls}'\n{ca}"))
    };
    let first = bed(&secured("implicit", dovecot.tls_port, &ca));
    dovecot.deliver(&message(&first.site, 1));
    assert_eq!(poll(first.dir.path(), 0, ""), "1 file or message: 1 new batch\n");
    let second = bed(&secured("starttls", dovecot.port, &ca));
    dovecot.deliver(&message(&second.site, 1));
    assert_eq!(poll(second.dir.path(), 0, ""), "1 file or message: 1 new batch\n");
    // neither without its CA, nor without TLS where it is wanted
    poll(bed(&secured("implicit", dovecot.tls_port, "")).dir.path(), 1, "cannot be reached");
    poll(bed(&secured("starttls", dovecot.port, "")).dir.path(), 1, "cannot be reached");
    poll(bed(&secured("implicit", dovecot.port, &ca)).dir.path(), 1, "cannot be reached");
}

#[test]
fn a_program_logs_in_with_a_token_of_its_own() {
    let provider = Provider::start();
    let Some(dovecot) = Dovecot::start(Secured::Not, Some(provider.address)) else { return };
    let oauth = |secret: &str| {
        format!(
            "[imap]\nhost = '127.0.0.1'\nport = {}\ntls = 'none'\nuser = 'batches'\n[imap.oauth]\n\
             token_url = 'http://{}/token'\nclient_id = 'the program'\nclient_secret = '{secret}'\n",
            dovecot.port, provider.address
        )
    };
    let right = bed(&oauth("s&cret"));
    dovecot.deliver(&message(&right.site, 1));
    assert_eq!(poll(right.dir.path(), 0, ""), "1 file or message: 1 new batch\n");
    let output = run(right.dir.path(), &["-vv", "import", "--imap"]);
    let said = text(&output.stderr);
    assert!(!said.contains("s&cret") && !said.contains(TOKEN), "{said}");
    poll(bed(&oauth("wrong")).dir.path(), 1, "gives no token for the mailbox: 401 Unauthorized: invalid_client");
}

#[test]
fn serve_takes_messages_as_they_come_and_files_of_the_watched_directory() {
    let Some(dovecot) = Dovecot::start(Secured::Not, None) else { return };
    let watched = tempfile::tempdir().expect("a directory");
    let bed = bed(&format!("{}[import]\nwatch = '{}'\n", plain(dovecot.port), watched.path().display()));
    dovecot.deliver(&message(&bed.site, 1));
    let served = Served::start(bed.dir.path());
    let stored = || bed.counted("SELECT count(*) FROM batch");
    until("the message that was there", || stored() == 1);
    dovecot.deliver(&message(&bed.site, 2));
    until("a message that came", || stored() == 2 && dovecot.folder("Processed") == 2);
    std::fs::write(watched.path().join("3.jwe"), token(&bed.site, 3)).expect("written");
    std::fs::write(watched.path().join("4.jwe"), "garbage").expect("written");
    until("the files", || ["processed/3.jwe", "rejected/4.jwe"].iter().all(|name| watched.path().join(name).exists()));
    assert_eq!((stored(), bed.counted("SELECT count(*) FROM quarantine")), (3, 1));
    // another batch by HTTPS goes on meanwhile
    let (batch, token) = (batch(&bed.site, 4), token(&bed.site, 4));
    assert_eq!(served.submit(&bed.site, &batch, &token).status, 200);
}

#[test]
fn a_message_that_comes_while_another_is_moved_does_not_wait_for_the_next_look() {
    let Some(dovecot) = Dovecot::start(Secured::Not, None) else { return };
    let dovecot = std::sync::Arc::new(dovecot);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let bed = bed(&plain(listener.local_addr().expect("an address").port()));
    dovecot.deliver(&message(&bed.site, 1));
    let (second, server) = (message(&bed.site, 2), std::sync::Arc::clone(&dovecot));
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut to_server = TcpStream::connect(("127.0.0.1", server.port)).expect("a server");
        let (mut from_server, mut to_client) =
            (to_server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
        std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
        let (mut second, mut buffer) = (Some(second), [0; 4_096]);
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            if buffer[..read].windows(9).any(|text| text == b"UID MOVE ")
                && let Some(second) = second.take()
            {
                server.deliver(&second);
            }
            to_server.write_all(&buffer[..read]).expect("sent on");
        }
    });
    let _served = Served::start(bed.dir.path());
    until("both messages", || bed.counted("SELECT count(*) FROM batch") == 2 && dovecot.folder("Processed") == 2);
}

/// Between a client and a server: ends connections after so many bytes of the server.
struct Cutting {
    address: SocketAddr,
    bytes: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Cutting {
    fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let bytes = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(u64::MAX));
        let left = std::sync::Arc::clone(&bytes);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.expect("a client");
                let mut server = TcpStream::connect(("127.0.0.1", port)).expect("a server");
                let (mut from_client, mut to_server) =
                    (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from_client, &mut to_server);
                    let _ = to_server.shutdown(Shutdown::Both);
                });
                let mut left = left.load(std::sync::atomic::Ordering::SeqCst);
                let mut buffer = [0; 4_096];
                while left > 0 {
                    let Ok(read @ 1..) = server.read(&mut buffer) else { break };
                    let pass = read.min(usize::try_from(left).unwrap_or(read));
                    left -= pass as u64;
                    if client.write_all(&buffer[..pass]).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            }
        });
        Self { address, bytes }
    }

    fn cut_after(&self, bytes: u64) {
        self.bytes.store(bytes, std::sync::atomic::Ordering::SeqCst);
    }
}

/// The token that the provider gives.
const TOKEN: &str = "token-of-the-program";

/// Gives tokens to the program, and tells Dovecot whose they are.
struct Provider {
    address: SocketAddr,
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client");
                std::thread::spawn(move || {
                    let request = request(&mut stream);
                    let right = "grant_type=client_credentials&client_id=the%20program&client_secret=s%26cret\
                                 &scope=https%3A%2F%2Foutlook.office365.com%2F.default";
                    let (status, body) = if request.starts_with("POST /token ") && request.ends_with(right) {
                        ("200 OK", format!("{{\"access_token\":\"{TOKEN}\",\"expires_in\":3600}}"))
                    } else if request.starts_with("GET /who") && request.contains(TOKEN) {
                        ("200 OK", "{\"active\":true,\"username\":\"batches\"}".to_owned())
                    } else {
                        ("401 Unauthorized", "{\"error\":\"invalid_client\",\"error_description\":\"x\"}".to_owned())
                    };
                    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
                    let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                    let _ = stream.write_all(answer.as_bytes());
                });
            }
        });
        Self { address }
    }
}

/// One request with its body.
fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1_024];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
            _ => return text,
        }
    }
}
