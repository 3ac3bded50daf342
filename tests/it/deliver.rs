//! Delivering against a scripted channel, and over real sockets against centrals that are not what they should be. Each
//! item ends where the outbox says, and nothing is ever lost.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use meterpost::deliver::soap::{Soap, Via};
use meterpost::deliver::{Hurry, Outgoing, SendError, Sent};
use meterpost::outbox::State;
use meterpost::site::Site;
use meterpost_wire::batch::{Void, VoidReason};
use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::ReceiptKey;
use meterpost_wire::receipt::{Claims, Disposition, Refusal, RefusalCode, sign_refusal};
use meterpost_wire::soap::{CentralFault, Fault, FaultCode, Request, parse_request, submit_batch_response};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::site::*;

// ---- a scripted far side

fn down(reason: &str) -> Result<Sent, SendError> {
    Err(SendError::Down { reason: reason.into(), at_least: None })
}

fn states(site: &Site) -> Vec<State> {
    site.items().unwrap().iter().map(|item| item.state).collect()
}

fn queued(site: &Site, count: u32) {
    for n in 0..count {
        seal_one(site, n, at(0));
    }
}

#[test]
fn the_newest_goes_first_and_then_an_old_and_a_new_one_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 5);
    let channel = Scripted::new(honest);
    let report = deliver(&site, &channel, Hurry::WhenDue, at(1));
    assert_eq!(channel.sent.take(), [5, 1, 4, 2, 3]);
    assert_eq!((report.delivered, report.is_clean()), (5, true));
    let item = &site.items().unwrap()[0];
    assert_eq!(item.receipt.as_deref().unwrap().matches('.').count(), 2, "the receipt is kept as it came");
}

#[test]
fn a_channel_that_is_down_moves_no_item_and_is_asked_again_later_and_later() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 3);
    let channel = Scripted::new(|_: &Outgoing| down("no connection"));
    let report = deliver(&site, &channel, Hurry::WhenDue, at(0));
    assert_eq!((channel.sent.borrow().len(), report.left), (1, 3), "three items need not learn the same");
    assert_eq!(report.rests.unwrap().due_at, at(60));
    assert_eq!(site.items().unwrap()[2].attempts, 0);

    deliver(&site, &channel, Hurry::WhenDue, at(59));
    assert_eq!(channel.sent.borrow().len(), 1, "it rests");
    assert_eq!(site.deliver_next("https").unwrap(), Some(at(60)));
    let report = deliver(&site, &channel, Hurry::WhenDue, at(60));
    assert_eq!(report.rests.unwrap().due_at, at(180), "twice as long");
    // a scheduled run does not wait
    let works = Scripted::new(honest);
    assert_eq!(deliver(&site, &works, Hurry::AtOnce, at(61)).delivered, 3);
    assert_eq!(site.deliver_next("https").unwrap(), None);
}

#[test]
fn a_channel_that_asks_for_time_gets_it_and_no_more_than_six_hours() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    for (asked, rests) in [(600, 600), (10_000_000, 6 * 3_600)] {
        let busy = SendError::Down { reason: "busy".into(), at_least: Some(Duration::from_secs(asked)) };
        let channel = Scripted::new(|_: &Outgoing| Err(busy.clone()));
        let report = deliver(&site, &channel, Hurry::AtOnce, at(0));
        assert_eq!(report.rests.unwrap().due_at, at(rests));
    }
}

#[test]
fn an_unsure_item_waits_alone_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 4);
    let odd = |item: &Outgoing| if item.sequence == 4 { Err(SendError::Unsure("cut".into())) } else { honest(item) };
    let channel = Scripted::new(odd);
    let report = deliver(&site, &channel, Hurry::WhenDue, at(0));
    assert_eq!((report.delivered, report.unsure, report.left), (3, 1, 0));
    let item = &site.items().unwrap()[3];
    assert_eq!((item.attempts, item.due_at, item.last_error.as_deref()), (1, at(60), Some("cut")));
    deliver(&site, &channel, Hurry::WhenDue, at(59));
    deliver(&site, &channel, Hurry::WhenDue, at(60));
    let item = &site.items().unwrap()[3];
    assert_eq!((item.attempts, item.due_at), (2, at(180)), "tried once more, and not before its time");
}

#[test]
fn five_unsure_items_in_a_row_are_the_channels_failure() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 9);
    let channel = Scripted::new(|_: &Outgoing| Err(SendError::Unsure("forged".into())));
    let report = deliver(&site, &channel, Hurry::WhenDue, at(0));
    assert_eq!((report.unsure, report.left, channel.sent.borrow().len()), (5, 4, 5));
    assert_eq!(report.rests.unwrap().due_at, at(60));
    let report = deliver(&site, &channel, Hurry::AtOnce, at(1));
    assert_eq!(report.rests.unwrap().due_at, at(1 + 120), "and it doubles");
}

#[test]
fn an_unknown_key_leaves_its_item_waiting_and_raises_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 2);
    let odd =
        |item: &Outgoing| if item.sequence == 2 { Err(SendError::UnknownKey("key".into())) } else { honest(item) };
    deliver(&site, &Scripted::new(odd), Hurry::AtOnce, at(0));
    assert_eq!(states(&site), [State::Delivered, State::Waiting]);
    assert_eq!(site.events(at(0), 9).unwrap()[0].code, "unknown-key");
}

#[test]
fn what_a_receipt_names_missing_is_sent_again_and_what_is_gone_becomes_a_void() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = enrolled(dir.path());
    queued(&site, 4);
    deliver(&site, &Scripted::new(honest), Hurry::AtOnce, at(0));
    site.delete(2, at(1)).unwrap();
    seal_one(&site, 5, at(2));
    let forgetful = |item: &Outgoing| {
        let (receipt, mut claims) = receipt(item, &epoch(1).receipt_key(), at(0));
        claims.missing = vec![(2, 3), (900, 901)];
        Ok(Sent::Receipt { receipt, claims })
    };
    deliver(&site, &Scripted::new(forgetful), Hurry::AtOnce, at(3));
    assert_eq!(states(&site), [State::Delivered, State::Waiting, State::Delivered, State::Delivered]);
    seal_one(&site, 6, at(4));
    let voids = inside(&site, 6).batch.chain.unwrap().voids;
    assert_eq!(voids, [Void { from: 2, to: 2, reason: VoidReason::Expired }]);
    // numbers that were never used are none of its business
    assert_eq!(site.expire(at(40 * 86_400)).unwrap(), 3);
}

#[test]
fn a_restored_backup_goes_on_above_what_the_central_has() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let ahead = |highest| {
        move |item: &Outgoing| {
            let (receipt, mut claims) = receipt(item, &epoch(1).receipt_key(), at(0));
            claims.highest = Some(highest);
            Ok(Sent::Receipt { receipt, claims })
        }
    };
    deliver(&site, &Scripted::new(ahead(50)), Hurry::AtOnce, at(0));
    assert_eq!(seal_one(&site, 2, at(1)), 1_050);
    assert_eq!(
        inside(&site, 1_050).batch.chain.unwrap().voids,
        [Void { from: 2, to: 1_049, reason: VoidReason::Lost }]
    );
    // a number that cannot be is not believed
    deliver(&site, &Scripted::new(ahead(9_000_000_000)), Hurry::AtOnce, at(2));
    assert_eq!(seal_one(&site, 3, at(3)), 1_051);
    assert_eq!(site.events(at(0), 9).unwrap()[0].code, "highest");
}

#[test]
fn a_pass_that_is_stopped_leaves_the_rest_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 3);
    let channel = Scripted::new(honest);
    let stopped = || !channel.sent.borrow().is_empty();
    let pace = meterpost::deliver::Pace { now: &|| at(0), dice: &|| 0, stopped: &stopped };
    let report = site.deliver(&channel, Hurry::AtOnce, &pace).unwrap();
    assert_eq!((report.delivered, report.left), (1, 2));
}

// ---- over real sockets

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
fn request(stream: &mut impl Read) -> Option<(String, String)> {
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

fn say(stream: &mut impl Write, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}");
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

/// What was submitted, in the outbox's words.
fn submitted(body: &str) -> Outgoing {
    let Ok(Request::SubmitBatch(batch)) = parse_request(body.as_bytes()) else { panic!("not a batch: {body}") };
    assert_eq!(batch.site_id, SITE);
    Outgoing { sequence: batch.sequence, id: batch.batch_id, epoch: 1, token: batch.envelope }
}

fn acceptance(item: &Outgoing, key: &ReceiptKey) -> String {
    let (receipt, claims) = receipt(item, key, at(-7));
    submit_batch_response(Disposition::Accepted, &item.id, 0, claims.server_time, &receipt)
}

fn right_key() -> ReceiptKey {
    epoch(1).receipt_key()
}

fn soap_to(url: &str, ca_pem: Option<&str>, via: &Via) -> Soap {
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
    assert_eq!(site.check(at(0)).unwrap(), [0; 0], "its bytes are what they were");
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

#[test]
fn whatever_was_answered_before_it_is_stored_once() {
    // the far side stores and its answer is lost: the same bytes come again, and its hash tells it so
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let tokens = std::cell::RefCell::new(Vec::new());
    let lost = Scripted::new(|item: &Outgoing| {
        tokens.borrow_mut().push(item.token.clone());
        Err(SendError::Unsure("cut".into()))
    });
    deliver(&site, &lost, Hurry::AtOnce, at(0));
    deliver(&site, &lost, Hurry::AtOnce, at(1));
    assert_eq!(tokens.borrow()[0], tokens.borrow()[1]);
}

// ---- TLS

struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Ca { pem, issuer: Issuer::new(params, key) }
}

fn tls(ca: &Ca, name: &str) -> Arc<ServerConfig> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca.issuer).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap())
}

fn serve_tls(config: &Arc<ServerConfig>, stream: TcpStream) {
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream);
    if let Some((_, body)) = request(&mut stream) {
        say(&mut stream, "200 OK", "", &acceptance(&submitted(&body), &right_key()));
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
}

fn tls_central(ca: &Ca) -> SocketAddr {
    let (listener, config) = (TcpListener::bind("127.0.0.1:0").unwrap(), tls(ca, "127.0.0.1"));
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve_tls(&config, stream)));
    address
}

#[test]
fn the_pinned_ca_is_the_only_one_that_is_trusted() {
    let (ours, other) = (ca(), ca());
    let address = tls_central(&ours);
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    for (pem, told) in [(Some(&other.pem), "a pinned one"), (None, "those of the system")] {
        let channel = soap_to(&format!("https://{address}"), pem.map(String::as_str), &Via::default());
        let report = deliver(&site, &channel, Hurry::AtOnce, at(0));
        let error = report.rests.unwrap().last_error;
        assert!(error.starts_with("no connection to the central: "), "{told}: {error}");
        assert_eq!(states(&site), [State::Waiting], "{told}");
    }
    let channel = soap_to(&format!("https://{address}"), Some(&ours.pem), &Via::default());
    let report = deliver(&site, &channel, Hurry::AtOnce, at(1));
    assert_eq!(report.delivered, 1, "{:?}", report.rests);
}

#[test]
fn a_proxy_is_asked_with_user_and_secret_and_cannot_read_along() {
    let ours = ca();
    let config = tls(&ours, "central.example");
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let (heard, asked) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in proxy.incoming().flatten() {
            let Some((head, _)) = request(&mut stream) else { continue };
            let _ = heard.send(head);
            let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
            serve_tls(&config, stream);
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let user = Some(("collector".to_owned(), "geheim".to_owned().into()));
    let via = Via::Proxy { url: format!("http://{address}"), user };
    let channel = soap_to("https://central.example", Some(&ours.pem), &via);
    let report = deliver(&site, &channel, Hurry::AtOnce, at(0));
    assert_eq!(report.delivered, 1, "{:?}", report.rests);
    let head = asked.recv().unwrap();
    assert!(head.starts_with("CONNECT central.example:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic y29sbgvjdg9yomdlagvpbq=="), "{head}");
    assert!(!head.contains("Bearer"), "the site's token goes to the central alone");
    let shown = format!("{via:?} {channel:?}");
    assert!(shown.contains("<secret>") && !shown.contains("geheim"), "{shown}");
}
