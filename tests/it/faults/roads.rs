//! What happens between the two: cut connections, and answers that are none.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use rcgen::{CertificateParams, KeyPair};

use super::bed::{Bed, Row};
use crate::central::Serving;
use crate::cli::said;
use crate::deliver::tls::{Ca, ca};
use crate::relay::Way;
use crate::site::Dice;

/// Of each kind of cut.
const CUTS: u64 = 12;

const SEED: u64 = 2026;

/// Seals a batch and sends it over each of these ways, none of which delivers; in the end the way is clear.
fn over(fault: &str, ways: impl IntoIterator<Item = Way>) -> Vec<Row> {
    let bed = Bed::new();
    // so that there is an old receipt, and one of another batch
    bed.seal(1);
    bed.settle();
    let mut runs = 0;
    for way in ways {
        let way = match way {
            Way::CutGoing(_, bytes) => Way::CutGoing(bed.address(), bytes),
            Way::CutComing(_, bytes) => Way::CutComing(bed.address(), bytes),
            Way::Crossed(_) => Way::Crossed(bed.address()),
            way => way,
        };
        bed.seal(1);
        bed.relay.lead(way);
        let heard = bed.relay.heard().len();
        let sent = bed.said(&["outbox", "send"]);
        assert_ne!(sent.code, 0, "{fault}: {sent:?}");
        assert!(sent.out.starts_with("0 delivered"), "{fault}: {sent:?}");
        // five in a row are the channel's failure: it is not asked for each of a long queue
        assert!((1..=5).contains(&(bed.relay.heard().len() - heard)), "{fault}");
        bed.note();
        runs += 1;
    }
    bed.relay.lead(Way::To(bed.address()));
    bed.settle();
    vec![bed.row(fault, runs)]
}

const NOBODY: std::net::SocketAddr =
    std::net::SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 9));

/// Before the first byte, in the head, in the body, and after most of it.
pub fn cut_going() -> Vec<Row> {
    let dice = Dice::new(SEED);
    let ways = (0..CUTS).map(|nth| Way::CutGoing(NOBODY, if nth == 0 { 0 } else { dice.below(1_600) as usize }));
    over(&format!("connection cut in the request, seed {SEED}"), ways)
}

/// Before the answer's first byte and within it: the central has stored the batch, and the site cannot know.
pub fn cut_coming() -> Vec<Row> {
    let dice = Dice::new(SEED + 1);
    let ways = (0..CUTS).map(|nth| Way::CutComing(NOBODY, if nth == 0 { 0 } else { dice.below(900) as usize }));
    over(&format!("connection cut in the answer, seed {}", SEED + 1), ways)
}

fn says(head: &str, body: &[u8]) -> Way {
    let mut answer =
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).into_bytes();
    answer.extend(body);
    Way::Says(Arc::new(answer))
}

pub fn portals() -> Vec<Row> {
    let page = b"<html><body><h1>Welcome to the guest network</h1><form>room number</form></body></html>";
    let soap = b"<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body/></soap:Envelope>";
    over(
        "answers of a captive portal with 200",
        [
            says("200 OK\r\nContent-Type: text/html", page),
            says("200 OK\r\nContent-Type: text/xml; charset=utf-8", page),
            says("200 OK\r\nContent-Type: text/xml; charset=utf-8", soap),
            says("200 OK", b""),
            says("204 No Content", b""),
            says("511 Network Authentication Required", page),
        ],
    )
}

pub fn redirects() -> Vec<Row> {
    let to = |status: &str| says(&format!("{status}\r\nLocation: http://127.0.0.1:9/soap/v1"), b"");
    over(
        "redirects",
        ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"].map(to),
    )
}

pub fn too_much() -> Vec<Row> {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 64 << 20]).unwrap();
    over(
        "10 MB, gzip bomb, slow drip",
        [
            says("200 OK", &vec![b'x'; 10 << 20]),
            says("200 OK\r\nContent-Encoding: gzip", &bomb.finish().unwrap()),
            Way::Drips,
        ],
    )
}

pub fn wrong_receipts() -> Vec<Row> {
    over("old receipts, receipts of another batch", [Way::Old, Way::Crossed(NOBODY), Way::Old, Way::Crossed(NOBODY)])
}

/// A central with a certificate that another CA has signed, with one for another name, one that is over, and no TLS at all.
pub fn wrong_certificates() -> Vec<Row> {
    let mut bed = Bed::new();
    let (right, other) = (ca(), ca());
    // the port is part of what the site was told
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = address.to_string();
    let at = |name: &str| bed.office.path().join(name).display().to_string();
    let (chain, key, pem) = (at("chain.pem"), at("key.pem"), at("ca.pem"));
    std::fs::write(&pem, &right.pem).unwrap();
    let told =
        bed.central(&["site", "token", "Lindenweg", "--central", &format!("https://{address}"), "--ca", &pem]).out;
    let enrolled = said(bed.home.path(), &["enroll", told.trim()]);
    assert_eq!(enrolled.code, 0, "{enrolled:?}");
    let certify = |ca: &Ca, name: &str, until: i32| {
        let own = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&own, &ca.issuer).unwrap();
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&key, own.serialize_pem()).unwrap();
    };
    let tls = ["--listen", &listen, "--tls-cert", &chain, "--tls-key", &key];
    let mut runs = 0;
    for (ca, name, until, words) in [
        (&other, "127.0.0.1", 2099, &tls[..]),
        (&right, "elsewhere.example", 2099, &tls[..]),
        (&right, "127.0.0.1", 2001, &tls[..]),
        (&right, "127.0.0.1", 2099, &tls[..2]),
    ] {
        certify(ca, name, until);
        bed.central = None;
        bed.central = Some(Serving::start_with(bed.office.path(), words));
        bed.seal(1);
        let sent = bed.said(&["outbox", "send"]);
        assert!(sent.out.starts_with("0 delivered") && sent.code == 1, "{name} {until}: {sent:?}");
        bed.note();
        runs += 1;
    }
    certify(&right, "127.0.0.1", 2099);
    bed.central = None;
    bed.central = Some(Serving::start_with(bed.office.path(), &tls));
    bed.settle();
    vec![bed.row("TLS that proves nothing: CA, name, date, none", runs)]
}
