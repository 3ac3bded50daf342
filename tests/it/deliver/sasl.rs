//! Logging in to a real mail server: Postfix, which asks a real Dovecot who it is (both Debian packages, as root, on loopback).

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use meterpost::deliver::Hurry;
use meterpost::deliver::mail::{Login, Security, Taker};
use meterpost::outbox::State;
use zeroize::Zeroizing;

use super::hostile::{request, say};
use super::mail::{mail_to, token_giver, token_login};
use super::postfix::Postfix;
use super::{queued, states};
use crate::site::*;

const PASSWORD: &str = "geheim-of-the-printers";

/// The part of Dovecot that knows passwords and tokens; it ends with the test.
struct Dovecot {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Dovecot {
    /// `None`, and a word of it, where it is not installed; in CI that is a failure. `provider` says whose a token is.
    fn start(mechanisms: &str, provider: SocketAddr) -> Option<Self> {
        let Some(program) = ["/usr/sbin/dovecot"].into_iter().find(|path| Path::new(path).exists()) else {
            assert!(std::env::var("CI").is_err(), "dovecot is not installed, and CI=true wants it");
            eprintln!("SKIPPED: dovecot is not installed (Debian package dovecot-imapd)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["run", "state"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let place = dir.path().display();
        fs::write(
            dir.path().join("oauth2.conf"),
            format!(
                "introspection_url = http://{provider}/who\nintrospection_mode = auth\nactive_attribute = active\n\
                 active_value = true\nusername_attribute = username\n"
            ),
        )
        .unwrap();
        let text = format!(
            "protocols =\nlisten = 127.0.0.1\nbase_dir = {place}/run\nstate_dir = {place}/state\nlog_path = {place}/log\n\
             ssl = no\nauth_mechanisms = {mechanisms}\nauth_failure_delay = 0\n\
             passdb {{\n driver = oauth2\n mechanisms = xoauth2\n args = {place}/oauth2.conf\n}}\n\
             passdb {{\n driver = static\n mechanisms = plain login\n args = password={PASSWORD}\n}}\n\
             userdb {{\n driver = static\n args = uid=nobody gid=nogroup home=/tmp\n}}\n\
             service auth {{\n inet_listener {{\n  address = 127.0.0.1\n  port = {}\n }}\n}}\n",
            address.port()
        );
        fs::write(dir.path().join("dovecot.conf"), text).unwrap();
        let mut command = Command::new(program);
        command.args(["-F", "-c"]).arg(dir.path().join("dovecot.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let dovecot = Self { child: command.spawn().unwrap(), address, _dir: dir };
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            let log = || fs::read_to_string(dovecot._dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "dovecot does not listen: {}", log());
            thread::yield_now();
        }
        Some(dovecot)
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // so that it ends its children too
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Says of one token whose it is.
fn introspection() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if let Some((head, _)) = request(&mut stream) {
                let known = head.contains("Bearer ey.J.x");
                let body = format!(r#"{{"active":{known},"username":"printers@customer.example"}}"#);
                say(&mut stream, "200 OK", "Content-Type: application/json\r\n", &body);
            }
        }
    });
    address
}

/// Sends one item to a Postfix that lets in only who has logged in over TLS: where it stands then, and what is said.
#[track_caller]
fn check(mechanisms: &str, login: Login, expected: State, said: &str) {
    let Some(dovecot) = Dovecot::start(mechanisms, introspection()) else { return };
    let sasl = format!(
        "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:{}\nsmtpd_tls_auth_only = yes\n\
         smtpd_sasl_security_options = noanonymous\nsmtpd_recipient_restrictions = permit_sasl_authenticated, reject\n\
         smtpd_relay_restrictions = permit_sasl_authenticated, reject",
        dovecot.address
    );
    let Some(postfix) = Postfix::start(&sasl) else { return };
    for (n, security) in [Security::Tls, Security::Starttls].into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let site = enrolled(dir.path());
        queued(&site, 1);
        let Taker::Server { host, port, ca_pem, .. } = postfix.server(security, Some(&postfix.ca.pem)) else {
            unreachable!("a server is one")
        };
        let taker = Taker::Server { host, port, security, ca_pem, login: Some(login.clone()) };
        let report = deliver(&site, &mail_to(&taker, Duration::from_secs(30)), Hurry::AtOnce, at(0));
        let error = report.rests.map(|rest| rest.last_error).unwrap_or_default();
        assert_eq!(states(&site), [expected], "{security:?}: {error}\n{}", postfix.log());
        assert!(error.contains(said) && !error.contains(PASSWORD), "{error}");
        if expected == State::HandedOver {
            postfix.mailbox(n + 1);
        }
    }
}

fn password(secret: &str) -> Login {
    Login::Password { user: "printers@customer.example".into(), secret: Zeroizing::new(secret.into()) }
}

#[test]
fn a_real_server_lets_us_in_by_plain_by_login_and_by_a_token_and_not_by_a_wrong_password() {
    check("plain login xoauth2", password(PASSWORD), State::HandedOver, "");
    check("login", password(PASSWORD), State::HandedOver, "");
    let (url, _asked) = token_giver("200 OK", r#"{"token_type":"Bearer","expires_in":3599,"access_token":"ey.J.x"}"#);
    check("xoauth2", token_login(url), State::HandedOver, "");
    check("plain", password("wrong"), State::Waiting, "the mail server refuses the login");
    let (url, _asked) = token_giver("200 OK", r#"{"token_type":"Bearer","expires_in":3599,"access_token":"ey.old"}"#);
    check("xoauth2", token_login(url), State::Waiting, "the mail server refuses the login");
}
