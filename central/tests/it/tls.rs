//! The same over TLS, as a site sees it that trusts one CA.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use meterpost_central::config::{Config, Overrides};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::bed::{Central, PASSWORD, read_answer};

fn config_with_tls(dir: &std::path::Path, cert: &str, key: &str) -> Config {
    for (name, content) in [("central.toml", ""), ("cert.pem", cert), ("key.pem", key)] {
        std::fs::write(dir.join(name), content).expect("written");
    }
    Config::load(Overrides {
        config: Some(dir.join("central.toml")),
        data_dir: Some(dir.join("data")),
        tls_cert: Some(dir.join("cert.pem")),
        tls_key: Some(dir.join("key.pem")),
        admin_password: Some(meterpost_central::Secret::new(PASSWORD.to_owned())),
        ..Overrides::default()
    })
    .expect("a configuration")
}

#[test]
fn tls_is_served_and_plain_http_on_the_same_port_is_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(["central.example".to_owned()]).expect("a certificate");
    let config = config_with_tls(dir.path(), &made.cert.pem(), &made.signing_key.serialize_pem());
    assert!(config.base_url().starts_with("https://"));
    let central = Central::start_with(config);

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("central.example").expect("a name");
    let connection = ClientConnection::new(Arc::new(client), name).expect("a connection");
    let socket = TcpStream::connect(central.address).expect("connected");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: central.example\r\nConnection: close\r\n\r\n").expect("sent");
    let answer = read_answer(&mut stream);
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    assert!(answer.header("strict-transport-security").is_some());

    let plain = central.request("GET /healthz HTTP/1.1\r\nHost: central.example\r\n", b"");
    assert_eq!(plain.status, 0, "{plain:?}");
}

#[test]
fn a_certificate_that_is_none_is_told_by_its_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = config_with_tls(dir.path(), "no PEM", "no PEM");
    let error = super::bed::block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        meterpost_central::serve(config, listener, std::future::pending()).await.expect_err("no certificate")
    });
    assert!(error.to_string().starts_with("cannot use the TLS certificate `"), "{error}");
}
