//! Requests from nobody's friend: nothing of them is stored, and the next batch goes through.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use meterpost_wire::soap;

use super::bed::{Central, Site, printer, read_answer};
use super::submit::{deliver, receipt_of, refusal_of};

fn still_works(central: &Central, site: &Site) {
    deliver(central, site, &site.batch(9_999, vec![printer("A1", 10, "2026-11-20T06:01:44Z")]));
    assert_eq!(central.counted("SELECT count(*) FROM batch"), 1);
    assert_eq!(central.counted("SELECT count(*) FROM quarantine"), 0);
}

#[test]
fn who_does_not_authenticate_gets_a_bare_401_before_the_body_is_read() {
    let central = Central::start();
    let site = central.add_site("North");
    let wrong = [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Basic d3Jvbmc6d3Jvbmc=\r\n",
        "Authorization: Digest x\r\n",
    ];
    for headers in wrong {
        // The body never comes: an answer proves that nobody waited for it.
        let mut stream = TcpStream::connect(central.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let head = format!(
            "POST /soap/v1 HTTP/1.1\r\nHost: central\r\n{headers}Content-Length: 100000\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sent");
        let answer = read_answer(&mut stream);
        assert_eq!((answer.status, answer.body.as_str()), (401, ""), "{headers}");
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
    }
    still_works(&central, &site);
}

#[test]
fn a_stranger_who_guesses_tokens_is_slowed_down_and_then_cut_off() {
    let central = Central::start();
    let statuses: Vec<u16> =
        (0..40).map(|_| central.post_soap("Authorization: Bearer guess\r\n", b"").status).collect();
    assert_eq!(statuses[0], 401);
    assert_eq!(statuses[39], 429);
}

#[test]
fn a_good_site_is_served_beside_a_stranger_at_the_same_address() {
    let central = Central::start();
    let site = central.add_site("North");
    let statuses: Vec<u16> =
        (0..40).map(|_| central.post_soap("Authorization: Bearer guess\r\n", b"").status).collect();
    assert_eq!(statuses[39], 429);
    still_works(&central, &site);
}

#[test]
fn a_site_that_names_another_one_in_basic_is_nobody() {
    use base64::Engine;
    let central = Central::start();
    let (one, other) = (central.add_site("North"), central.add_site("South"));
    let pair = format!("{}:{}", other.epoch.kid().site(), *one.epoch.submit_token());
    let header = format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(pair));
    assert_eq!(central.post_soap(&header, b"").status, 401);
}

#[test]
fn a_token_under_another_key_or_of_another_site_does_not_open() {
    let central = Central::start();
    let (site, other) = (central.add_site("North"), central.add_site("South"));
    let batch = site.batch(1, vec![printer("A1", 10, "2026-11-20T06:01:44Z")]);
    let genuine = site.seal(&batch);

    // One character of the ciphertext: the site learns that this one is refused, for it may be its own damaged disk.
    let mut forged = genuine.clone().into_bytes();
    let place = forged.len() - 60;
    forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("ASCII");
    refusal_of(&central.submit(&site, &batch, &forged), &site, &batch, &forged);

    // The token of another site, with this site's credentials: no refusal, no oracle.
    let answer = central.submit(&site, &batch, &other.seal(&other.batch(1, vec![])));
    assert_eq!((answer.status, answer.element("code").as_deref()), (500, Some("envelope-invalid")));
    assert_eq!(answer.element("refusal"), None);

    for token in ["", "x", "a.b.c.d.e", "....", &genuine[..genuine.len() / 2], &format!("{genuine}.x")] {
        let answer = central.submit(&site, &batch, token);
        assert_eq!((answer.status, answer.element("code").as_deref()), (500, Some("envelope-invalid")), "{token}");
    }
    still_works(&central, &site);
}

#[test]
fn a_body_over_the_limit_is_refused_by_its_announcement_and_by_its_bytes() {
    let central = Central::start();
    let site = central.add_site("North");
    let bearer = format!("Authorization: Bearer {}\r\n", *site.epoch.submit_token());
    let body = vec![b'x'; soap::REQUEST_MAX + 1];
    assert_eq!(central.post_soap(&bearer, &body).status, 413);
    let mut chunked = format!("{:x}\r\n", body.len()).into_bytes();
    chunked.extend_from_slice(&body);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    let answer = central.post_soap(&format!("{bearer}Transfer-Encoding: chunked\r\n"), &chunked);
    assert_eq!(answer.status, 413);
    still_works(&central, &site);
}

#[test]
fn hostile_xml_is_refused_quickly_and_without_a_trace() {
    let central = Central::start();
    let site = central.add_site("North");
    let bearer = format!("Authorization: Bearer {}\r\n", *site.epoch.submit_token());
    let bomb = (1..12).fold("<!ENTITY a0 \"lol\">".to_owned(), |text, level| {
        format!("{text}<!ENTITY a{level} \"{}\">", format!("&a{};", level - 1).repeat(10))
    });
    let whole = soap::submit_batch(site.epoch.kid().site(), "0192f0c1-7b7e-7000-8000-000000000001", 1, "x");
    let bodies = [
        String::new(),
        "not XML".to_owned(),
        format!("<!DOCTYPE x [{bomb}]><x>&a11;</x>"),
        "<?xml version=\"1.0\"?><!DOCTYPE x SYSTEM \"file:///etc/passwd\"><x/>".to_owned(),
        "<a>".repeat(200_000),
        format!("<a {}/>", (0..40_000).map(|number| format!("a{number}=\"\" ")).collect::<String>()),
        whole[..whole.len() - 20].to_owned(),
        format!("{whole}<second/>"),
    ];
    for body in bodies {
        let began = std::time::Instant::now();
        let answer = central.post_soap(&bearer, body.as_bytes());
        assert_eq!(answer.status, 500, "{}", &body[..body.len().min(80)]);
        assert_eq!(answer.element("refusal"), None);
        assert!(began.elapsed() < Duration::from_secs(10), "{}", &body[..body.len().min(80)]);
        assert!(!answer.body.contains("root:"));
    }
    still_works(&central, &site);
}

#[test]
fn broken_http_costs_only_its_own_connection() {
    let central = Central::start();
    let site = central.add_site("North");
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"GET\r\n\r\n", b"\0\0\0\0", b""] {
        let mut stream = TcpStream::connect(central.address).expect("a connection");
        stream.write_all(bytes).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("half closed");
        assert!(read_answer(&mut stream).status != 200);
    }
    still_works(&central, &site);
}

#[test]
fn settings_are_not_available_and_other_operations_unknown() {
    let central = Central::start();
    let site = central.add_site("North");
    let bearer = format!("Authorization: Bearer {}\r\n", *site.epoch.submit_token());
    let settings = soap::fetch_settings(site.epoch.kid().site(), 0);
    for (body, code) in
        [(settings.clone(), "not-available"), (settings.replace("FetchSettings", "RunCommand"), "unknown-operation")]
    {
        let answer = central.post_soap(&bearer, body.as_bytes());
        assert_eq!((answer.status, answer.element("code").as_deref()), (500, Some(code)));
    }
}

/// A request of which all but the last byte has been sent.
fn half_sent(central: &Central, site: &Site) -> TcpStream {
    let mut stream = TcpStream::connect(central.address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    // Who is told to go on is past the gate: its body has a place.
    let head = format!(
        "POST /soap/v1 HTTP/1.1\r\nHost: central\r\nAuthorization: Bearer {}\r\nContent-Length: 9\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n",
        *site.epoch.submit_token()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

fn first_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).expect("an answer") == 0 {
            break;
        }
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).trim().to_owned()
}

#[test]
fn a_site_whose_bodies_trickle_in_holds_up_itself_alone() {
    let central = Central::start();
    let (slow, good) = (central.add_site("North"), central.add_site("South"));
    let mut held: Vec<TcpStream> = (0..4).map(|_| half_sent(&central, &slow)).collect();
    for stream in &mut held {
        assert_eq!(first_line(stream), "HTTP/1.1 100 Continue");
    }
    let answer = read_answer(&mut half_sent(&central, &slow));
    assert_eq!((answer.status, answer.element("code").as_deref()), (500, Some("busy")));
    assert_eq!(answer.header("retry-after"), Some("30"));
    still_works(&central, &good);
}

#[test]
fn the_time_that_a_site_is_told_is_the_one_when_its_batch_was_there() {
    let central = Central::start();
    let site = central.add_site("North");
    let batch = site.batch(1, vec![]);
    let token = site.seal(&batch);
    let body = soap::submit_batch(site.epoch.kid().site(), &batch.id, batch.sequence, &token);
    let mut stream = TcpStream::connect(central.address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let head = format!(
        "POST /soap/v1 HTTP/1.1\r\nHost: central\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n",
        *site.epoch.submit_token(),
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    assert_eq!(first_line(&mut stream), "HTTP/1.1 100 Continue");
    let asked = meterpost_central::clock::now().as_second();
    while meterpost_central::clock::now().as_second() == asked {
        std::thread::yield_now();
    }
    stream.write_all(body.as_bytes()).expect("sent");
    assert_eq!(first_line(&mut stream), "");
    let receipt = receipt_of(&read_answer(&mut stream), &site, &batch, &token);
    assert!(receipt.claims.server_time.as_second() > asked);
}
