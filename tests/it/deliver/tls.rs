//! Over TLS and through proxies.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Once};
use std::thread;

use meterpost::deliver::Hurry;
use meterpost::deliver::http::Via;
use meterpost::outbox::State;
#[cfg(target_os = "linux")]
use meterpost::site::Site;
#[cfg(target_os = "linux")]
use meterpost_wire::enrolment::Enrolment;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::hostile::{acceptance, request, right_key, say, soap_to, submitted};
use super::{queued, states};
#[cfg(target_os = "linux")]
use crate::cli::{Said, meterpost};
use crate::site::*;

pub struct Ca {
    pub pem: String,
    pub issuer: Issuer<'static, KeyPair>,
}

pub fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Ca { pem, issuer: Issuer::new(params, key) }
}

pub(super) fn tls(ca: &Ca, name: &str) -> Arc<ServerConfig> {
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
        assert!(error.starts_with("no connection to the central: its certificate is from no CA"), "{told}: {error}");
        assert_eq!(states(&site), [State::Waiting], "{told}");
    }
    let channel = soap_to(&format!("https://{address}"), Some(&ours.pem), &Via::default());
    let report = deliver(&site, &channel, Hurry::AtOnce, at(1));
    assert_eq!(report.delivered, 1, "{:?}", report.rests);
}

/// A proxy that leads every `CONNECT` to a central of this name, and tells what it was asked.
fn proxy(ca: &Ca, central: &str) -> (SocketAddr, Receiver<String>) {
    let (listener, config) = (TcpListener::bind("127.0.0.1:0").unwrap(), tls(ca, central));
    let address = listener.local_addr().unwrap();
    let (heard, asked) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Some((head, _)) = request(&mut stream) else { continue };
            let _ = heard.send(head);
            let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
            serve_tls(&config, stream);
        }
    });
    (address, asked)
}

/// A central at an address that is none of loopback's and leads there all the same, so that a proxy may be asked for it.
#[cfg(target_os = "linux")]
#[test]
fn the_environment_names_the_proxy_and_who_is_reached_without_one() {
    let ours = ca();
    let (listener, config) = (TcpListener::bind("127.0.0.1:0").unwrap(), tls(&ours, "0.0.0.0"));
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve_tls(&config, stream)));
    let (proxy, asked) = proxy(&ours, "0.0.0.0");
    let named = format!("http://collector:geheim@{proxy}");
    for (environment, through_proxy) in [
        (vec![("HTTPS_PROXY", named.as_str())], true),
        (vec![("https_proxy", named.as_str())], true),
        (vec![("HTTPS_PROXY", named.as_str()), ("NO_PROXY", "example.com,0.0.0.0")], false),
        (vec![], false),
    ] {
        let home = tempfile::tempdir().unwrap();
        let central = format!("https://0.0.0.0:{port}");
        let enrolment = Enrolment { central, ca_pem: Some(ours.pem.clone()), ..enrolment(epoch(1)) };
        let (site, _) = Site::enroll(&paths(home.path()), &enrolment.to_token(), at(0)).unwrap();
        queued(&site, 1);
        drop(site);
        std::fs::write(home.path().join("etc/meterpost.toml"), "").unwrap();
        let mut command = meterpost(home.path());
        command.args(["outbox", "send"]).envs(environment.iter().copied());
        let sent = Said::from(command.output().unwrap());
        assert_eq!((sent.out.as_str(), sent.code), ("1 delivered\n", 0), "{environment:?}: {}", sent.err);
        let head = asked.try_recv().ok();
        assert_eq!(head.is_some(), through_proxy, "{environment:?}: {head:?}");
        if let Some(head) = head {
            assert!(head.starts_with(&format!("CONNECT 0.0.0.0:{port} HTTP/1.1\r\n")), "{head}");
            assert!(
                head.to_ascii_lowercase().contains("proxy-authorization: basic y29sbgvjdg9yomdlagvpbq=="),
                "{head}"
            );
        }
    }
}

#[test]
fn a_proxy_that_does_not_let_us_through_rests_the_channel_and_its_secret_is_in_no_word() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if request(&mut stream).is_some() {
                say(&mut stream, "407 Proxy Authentication Required", "Proxy-Authenticate: Basic\r\n", "");
            }
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let user = Some(("collector".to_owned(), "geheim".to_owned().into()));
    let via = Via::Proxy { url: format!("http://{address}"), user };
    let report = deliver(&site, &soap_to("https://central.example", None, &via), Hurry::AtOnce, at(0));
    let error = report.rests.unwrap().last_error;
    assert!(error.starts_with("no connection to the central: "), "{error}");
    assert!(!error.contains("geheim"), "{error}");
    assert_eq!(states(&site), [State::Waiting]);
}

#[test]
fn a_proxy_is_asked_with_user_and_secret_and_cannot_read_along() {
    let ours = ca();
    let (address, asked) = proxy(&ours, "central.example");
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
