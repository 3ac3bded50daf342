//! Over real sockets: centrals that lie, stall, cut, and refuse; and collectors that are killed while they send.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use meterpost::deliver::http::Via;
use meterpost::deliver::soap::Soap;
use meterpost::deliver::{Hurry, Outgoing};
use meterpost::outbox::State;
use meterpost::site::Site;
use meterpost_wire::batch::{Void, VoidReason};
use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::ReceiptKey;
use meterpost_wire::receipt::{Claims, Disposition, Refusal, RefusalCode, sign_refusal};
use meterpost_wire::seal::token_sha256;
use meterpost_wire::soap::{CentralFault, Fault, FaultCode, Request, parse_request, submit_batch_response};
use tempfile::TempDir;

use super::{queued, states};
use crate::cli::said;
use crate::site::*;

/// A central whose answers are bytes: one thread, one connection after the other.
struct Central {
    address: SocketAddr,
    /// Heads of requests as they came.
    heads: Receiver<String>,
}

fn central(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> Central {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, heads) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            if let Some((head, body)) = request(&mut stream) {
                let _ = heard.send(head);
                answer(&body, &mut stream);
            }
        }
    });
    Central { address, heads }
}

/// Head and body of one request; `None` when the other side went away.
pub(super) fn request(stream: &mut impl Read) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut one = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        (stream.read(&mut one).ok()? == 1).then_some(())?;
        bytes.push(one[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head
        .to_ascii_lowercase()
        .split("content-length: ")
        .nth(1)
        .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

pub(super) fn say(stream: &mut impl Write, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}");
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

/// What was submitted, in the outbox's words.
pub(super) fn submitted(body: &str) -> Outgoing {
    let Ok(Request::SubmitBatch(batch)) = parse_request(body.as_bytes()) else { panic!("not a batch: {body}") };
    assert_eq!(batch.site_id, SITE);
    Outgoing { sequence: batch.sequence, id: batch.batch_id, epoch: 1, token: batch.envelope, attempt: 1 }
}

pub(super) fn acceptance(item: &Outgoing, key: &ReceiptKey) -> String {
    let (receipt, claims) = receipt(item, key, at(-7));
    submit_batch_response(Disposition::Accepted, &item.id, 0, claims.server_time, &receipt)
}

pub(super) fn right_key() -> ReceiptKey {
    epoch(1).receipt_key()
}

pub(super) fn soap_to(url: &str, ca_pem: Option<&str>, via: &Via) -> Soap {
    let enrolment = Enrolment { central: url.to_owned(), ca_pem: ca_pem.map(str::to_owned), ..enrolment(epoch(1)) };
    let keys = meterpost::keyring::SiteKeys::new(epoch(1));
    Soap::new(&enrolment, &keys, via, Duration::from_secs(3)).unwrap()
}

/// Sends one item to a central that answers so: the state it has then, until when the channel rests, and what is said.
#[track_caller]
fn check(
    answer: impl Fn(&str, &mut TcpStream) + Send + 'static,
    state: State,
    rests: Option<i64>,
    said: &str,
) -> (TempDir, Site) {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let central = central(answer);
    let channel = soap_to(&format!("http://{}", central.address), None, &Via::default());
    let report = deliver(&site, &channel, Hurry::AtOnce, at(0));
    let item = site.items().unwrap().remove(0);
    assert_eq!(item.state, state);
    assert_eq!(report.rests.as_ref().map(|rest| rest.due_at), rests.map(at), "{:?}", report.rests);
    let error = report.rests.map(|rest| rest.last_error).or(item.last_error.clone()).unwrap_or_default();
    assert!(error.contains(said), "`{error}` does not say `{said}`");
    assert_eq!(site.check(at(0)).unwrap(), [], "its bytes are what they were");
    // an honest central gets it after all, unless a person must look first
    if state == State::Waiting {
        assert_eq!(deliver(&site, &Scripted::new(honest), Hurry::AtOnce, at(1)).delivered, 1);
    }
    (dir, site)
}

#[test]
fn a_receipt_that_verifies_delivers_and_tells_the_skew_of_the_clocks() {
    let (_dir, site) = check(
        |body, stream| say(stream, "200 OK", "", &acceptance(&submitted(body), &right_key())),
        State::Delivered,
        None,
        "",
    );
    seal_one(&site, 2, at(5));
    assert_eq!(inside(&site, 2).batch.health.unwrap().clock_skew_seconds, Some(7));
}

#[test]
fn the_request_carries_the_token_of_the_site_and_the_action() {
    let central = central(|body, stream| say(stream, "200 OK", "", &acceptance(&submitted(body), &right_key())));
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    deliver(&site, &soap_to(&format!("http://{}", central.address), None, &Via::default()), Hurry::AtOnce, at(0));
    let head = central.heads.recv().unwrap();
    assert!(head.starts_with("POST /soap/v1 HTTP/1.1\r\n"), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains("content-type: text/xml; charset=utf-8\r\n"), "{head}");
    assert!(lower.contains("soapaction: \"urn:meterpost:central:1#submitbatch\"\r\n"), "{head}");
    assert!(head.contains(&format!("Bearer {}\r\n", *epoch(1).submit_token())), "{head}");
}

#[test]
fn the_finest_log_does_not_tell_the_token_of_the_site() {
    let central = central(|body, stream| say(stream, "200 OK", "", &acceptance(&submitted(body), &right_key())));
    let home = tempfile::tempdir().unwrap();
    let there = Enrolment { central: format!("http://{}", central.address), ..enrolment(epoch(1)) };
    let site = Site::enroll(&paths(home.path()), &there.to_token(), at(0)).unwrap().0;
    queued(&site, 1);
    drop(site);
    std::fs::write(home.path().join("etc/meterpost.toml"), "").unwrap();
    let sent = said(home.path(), &["-vvv", "outbox", "send"]);
    assert_eq!((sent.out.as_str(), sent.code), ("1 delivered\n", 0), "{}", sent.err);
    let token = epoch(1).submit_token();
    assert!(central.heads.recv().unwrap().contains(token.as_str()), "it was sent");
    // a dump of hex has it as words of two bytes, a few on each line
    let is_hex = |word: &&str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let dumped: Vec<u8> = (sent.err.split_whitespace().filter(is_hex))
        .flat_map(|word| u16::from_str_radix(word, 16).unwrap().to_be_bytes())
        .collect();
    for told in [sent.err.as_str(), &String::from_utf8_lossy(&dumped)] {
        assert!(!told.contains(token.as_str()) && !told.to_ascii_lowercase().contains("bearer"), "{}", sent.err);
    }
}

#[test]
fn a_captive_portal_with_status_200_delivers_nothing() {
    let page = "<html><body><h1>Welcome to the guest network</h1></body></html>";
    check(
        move |_, stream| say(stream, "200 OK", "", page),
        State::Waiting,
        Some(60),
        "status 200 and no answer of a central",
    );
}

#[test]
fn a_redirect_is_not_followed() {
    let location = "Location: http://127.0.0.1:9/soap/v1\r\n";
    check(move |_, stream| say(stream, "302 Found", location, ""), State::Waiting, Some(60), "redirect (status 302)");
    check(move |_, stream| say(stream, "307 Temporary Redirect", location, ""), State::Waiting, Some(60), "307");
}

#[test]
fn ten_megabytes_are_not_read() {
    check(
        |_, stream| say(stream, "200 OK", "", &"x".repeat(10 << 20)),
        State::Waiting,
        Some(60),
        "16385 bytes: 16384 is the limit",
    );
}

#[test]
fn a_compressed_answer_is_read_and_a_bomb_is_cut_at_the_limit() {
    let say_gzip = |stream: &mut TcpStream, body: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(body).unwrap();
        let bytes = gzip.finish().unwrap();
        let length = bytes.len();
        assert!(length < 1 << 14, "{length} bytes on the way");
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
    };
    check(
        move |_, stream| say_gzip(stream, &vec![b' '; 8 << 20]),
        State::Waiting,
        Some(60),
        "16385 bytes: 16384 is the limit",
    );
    check(
        move |body, stream| say_gzip(stream, acceptance(&submitted(body), &right_key()).as_bytes()),
        State::Delivered,
        None,
        "",
    );
}

#[test]
fn an_answer_is_taken_by_what_it_proves_and_not_by_the_name_of_its_content() {
    for headers in ["", "Content-Type: text/html\r\n", "Content-Type: application/soap+xml\r\n", "Content-Type: \r\n"] {
        check(
            move |body, stream| say(stream, "200 OK", headers, &acceptance(&submitted(body), &right_key())),
            State::Delivered,
            None,
            "",
        );
    }
}

#[test]
fn an_answer_that_drips_is_given_up() {
    check(
        |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n");
            // a byte now and then keeps timeouts of single reads quiet; the far side hangs up
            while stream.write_all(b"<").is_ok() {
                thread::sleep(Duration::from_millis(100));
            }
        },
        State::Waiting,
        None,
        "cut off",
    );
}

#[test]
fn a_receipt_for_another_batch_and_a_forged_one_deliver_nothing() {
    check(
        |body, stream| {
            let other = Outgoing { id: "0192f0c1-7b7e-7000-8000-000000000001".into(), ..submitted(body) };
            say(stream, "200 OK", "", &acceptance(&other, &right_key()));
        },
        State::Waiting,
        None,
        "the receipt is for another item",
    );
    check(
        |body, stream| {
            let forged = ReceiptKey::from_octets(&[0; 32]).unwrap();
            say(stream, "200 OK", "", &acceptance(&submitted(body), &forged));
        },
        State::Waiting,
        None,
        "the receipt proves nothing: the MAC is wrong",
    );
}

#[test]
fn an_old_receipt_delivers_nothing_but_what_it_is_for() {
    // whoever sits between says what he once heard, for ever
    let first = Mutex::new(None);
    let central = central(move |body, stream| {
        let mut heard = first.lock().unwrap();
        let answer = heard.get_or_insert_with(|| acceptance(&submitted(body), &right_key()));
        say(stream, "200 OK", "", answer);
    });
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 3);
    let channel = soap_to(&format!("http://{}", central.address), None, &Via::default());
    for pass in 0..2 {
        deliver(&site, &channel, Hurry::AtOnce, at(pass));
        assert_eq!(states(&site), [State::Waiting, State::Waiting, State::Delivered], "the newest goes first");
    }
    let error = site.items().unwrap()[0].last_error.clone().unwrap();
    assert!(error.contains("the receipt is for another item"), "{error}");
    assert_eq!(deliver(&site, &Scripted::new(honest), Hurry::AtOnce, at(3)).delivered, 2);
}

#[test]
fn the_wrong_bearer_token_rests_the_channel_for_an_hour_with_an_alarm() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let (_dir, site) =
            check(move |_, stream| say(stream, status, "", ""), State::Waiting, Some(3_600), "does not know this site");
        assert_eq!(site.events(at(0), 9).unwrap()[0].code, "unauthorized");
    }
}

#[test]
fn other_statuses_end_as_the_table_says() {
    let table = [
        ("413 Content Too Large", "", None, "status 413"),
        ("429 Too Many Requests", "Retry-After: 900\r\n", Some(900), "status 429"),
        ("503 Service Unavailable", "Retry-After: 1200\r\n", Some(1_200), "status 503"),
        ("503 Service Unavailable", "Retry-After: Fri, 20 Nov 2026 06:00:00 GMT\r\n", Some(60), "status 503"),
        ("502 Bad Gateway", "", Some(60), "status 502"),
        ("404 Not Found", "", Some(60), "status 404"),
        ("407 Proxy Authentication Required", "", Some(60), "status 407"),
        ("500 Internal Server Error", "", None, "status 500"),
    ];
    for (status, headers, rests, said) in table {
        check(move |_, stream| say(stream, status, headers, "<html>no</html>"), State::Waiting, rests, said);
    }
}

fn fault(code: FaultCode, refusal: Option<String>, retry_after_seconds: Option<u32>) -> String {
    Fault::Central(CentralFault { code, retry_after_seconds, refusal }).to_xml()
}

fn refusal(item: &Outgoing, key: &ReceiptKey) -> String {
    let (_, claims): (_, Claims) = receipt(item, key, at(0));
    sign_refusal(&Refusal { code: RefusalCode::BatchConflict, claims }, key)
}

#[test]
fn a_refusal_sets_aside_only_when_it_verifies() {
    let conflict = FaultCode::Refused(RefusalCode::BatchConflict);
    let status = "500 Internal Server Error";
    let (_dir, site) = check(
        move |body, stream| {
            let refusal = refusal(&submitted(body), &right_key());
            say(stream, status, "", &fault(conflict, Some(refusal), None));
        },
        State::SetAside,
        None,
        "batch-conflict",
    );
    assert_eq!(site.events(at(0), 9).unwrap()[0].text, "the central refused batch 1: batch-conflict");
    seal_one(&site, 2, at(1));
    let set_aside = [Void { from: 1, to: 1, reason: VoidReason::SetAside }];
    assert_eq!(inside(&site, 2).batch.chain.unwrap().voids, set_aside);
    // a person sends it once more: the void ends
    site.retry(1, at(2)).unwrap();
    assert_eq!(deliver(&site, &Scripted::new(honest), Hurry::AtOnce, at(3)).delivered, 2);
    seal_one(&site, 3, at(4));
    assert_eq!(inside(&site, 3).batch.chain.unwrap().voids, []);

    let without = "fault `batch-conflict` without a refusal that verifies";
    check(move |_, stream| say(stream, status, "", &fault(conflict, None, None)), State::Waiting, None, without);
    check(
        move |body, stream| {
            let forged = refusal(&submitted(body), &ReceiptKey::from_octets(&[9; 32]).unwrap());
            say(stream, status, "", &fault(conflict, Some(forged), None));
        },
        State::Waiting,
        None,
        without,
    );
    // a receipt is no refusal, and the other way round
    check(
        move |body, stream| {
            let (receipt, _) = receipt(&submitted(body), &right_key(), at(0));
            say(stream, status, "", &fault(conflict, Some(receipt), None));
        },
        State::Waiting,
        None,
        without,
    );
    check(
        |body, stream| {
            let refusal = refusal(&submitted(body), &right_key());
            say(stream, "200 OK", "", &submit_batch_response(Disposition::Accepted, "x", 0, at(0), &refusal));
        },
        State::Waiting,
        None,
        "the receipt proves nothing",
    );
}

#[test]
fn faults_of_the_central_are_heeded() {
    let status = "500 Internal Server Error";
    for (code, retry, rests, said) in [
        (FaultCode::UnknownKey, None, None, "does not know the key"),
        (FaultCode::Busy, Some(300), Some(300), "fault `busy`"),
        (FaultCode::Storage, None, Some(60), "fault `storage`"),
        (FaultCode::UnknownOperation, None, Some(60), "fault `unknown-operation`"),
    ] {
        check(move |_, stream| say(stream, status, "", &fault(code, None, retry)), State::Waiting, rests, said);
    }
    let busy = "503 Service Unavailable";
    check(
        move |_, stream| say(stream, busy, "Retry-After: 90\r\n", &fault(FaultCode::Busy, None, Some(100))),
        State::Waiting,
        Some(100),
        "fault `busy`",
    );
}

#[test]
fn a_connection_cut_before_or_within_the_answer_leaves_the_item_waiting() {
    check(|_, _| {}, State::Waiting, None, "the connection broke");
    check(
        |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n<?xml");
        },
        State::Waiting,
        None,
        "the answer was cut off",
    );
    check(
        |_, stream| {
            let _ = stream.write_all(b"\x00\x01\x02 nonsense\r\n\r\n");
        },
        State::Waiting,
        None,
        "the connection broke",
    );
}

#[test]
fn a_central_that_is_not_there_rests_the_channel() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 2);
    let report = deliver(&site, &soap_to(&format!("http://{free}"), None, &Via::default()), Hurry::AtOnce, at(0));
    assert_eq!((report.left, states(&site)), (2, vec![State::Waiting; 2]));
    assert!(report.rests.unwrap().last_error.starts_with("no connection to the central: "));
}

/// The directory that a child delivers from; unset in the test run itself.
const CHILD: &str = "METERPOST_TEST_DELIVER_CHILD";

/// Seals one batch after the other and delivers each at once. As a child it goes on until it is killed; otherwise it does
/// so three times.
#[test]
fn each_sweep_is_delivered_as_soon_as_it_is_sealed() {
    let child = std::env::var_os(CHILD);
    let own = tempfile::tempdir().unwrap();
    let (site, rounds) = match &child {
        Some(dir) => (Site::open(&paths(std::path::Path::new(dir))).unwrap(), u32::MAX),
        None => {
            let central =
                central(|body, stream| say(stream, "200 OK", "", &acceptance(&submitted(body), &right_key())));
            let enrolment = Enrolment { central: format!("http://{}", central.address), ..enrolment(epoch(1)) };
            (Site::enroll(&paths(own.path()), &enrolment.to_token(), at(0)).unwrap().0, 3)
        }
    };
    let channel = site.https(&Via::Straight).unwrap();
    for round in 0..rounds {
        let sequence = seal_one(&site, round, at(i64::from(round)));
        let report = deliver(&site, &channel, Hurry::AtOnce, at(i64::from(round)));
        assert!(report.delivered > 0 || child.is_some(), "{:?}", report.rests);
        if child.is_some() {
            let _ = writeln!(std::io::stdout(), "child: {sequence}");
        }
    }
    assert_eq!(site.tally().unwrap().delivered, 3);
}

#[test]
fn killed_before_after_or_while_sending_every_batch_arrives_and_counts_once() {
    // what a central keeps: its key is the token's hash; every third answer is lost on its way
    let stored = Arc::new(Mutex::new(BTreeMap::new()));
    let kept = Arc::clone(&stored);
    let arrivals = Arc::new(Mutex::new(0_usize));
    let counted = Arc::clone(&arrivals);
    let central = central(move |body, stream| {
        let item = submitted(body);
        kept.lock().unwrap().insert(token_sha256(&item.token), item.sequence);
        let mut arrivals = counted.lock().unwrap();
        *arrivals += 1;
        if !arrivals.is_multiple_of(3) {
            say(stream, "200 OK", "", &acceptance(&item, &right_key()));
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let enrolment = Enrolment { central: format!("http://{}", central.address), ..enrolment(epoch(1)) };
    drop(Site::enroll(&paths(dir.path()), &enrolment.to_token(), at(0)).unwrap());
    let dice = Dice::new(77);
    for _ in 0..8 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "deliver::hostile::each_sweep_is_delivered_as_soon_as_it_is_sealed", "--nocapture"]);
        let mut child = command.env(CHILD, dir.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let heard = said.filter(|line| line.contains("child: ")).take(1 + dice.below(6) as usize).count();
        assert!(heard > 0, "the child has worked");
        for spin in 0..dice.below(600_000) {
            std::hint::black_box(spin);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let site = Site::open(&paths(dir.path())).unwrap();
    let channel = site.https(&Via::Straight).unwrap();
    for pass in 0..50 {
        deliver(&site, &channel, Hurry::AtOnce, at(pass));
    }
    let items = site.items().unwrap();
    assert!(items.iter().all(|item| item.state == State::Delivered), "{:?}", site.tally().unwrap());
    let sent: BTreeMap<String, u64> = items.into_iter().map(|item| (item.sha256, item.sequence)).collect();
    assert_eq!(*stored.lock().unwrap(), sent, "each once, and none that was never queued");
    assert!(*arrivals.lock().unwrap() > sent.len(), "some came twice");
    check_chain(&site);
}
