//! A real mail server: Postfix (Debian package), with a configuration and a spool of its own, on loopback. It must be started
//! as root; skipped with a message where it is not there, and with CI=true that is a failure.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use meterpost::deliver::Hurry;
use meterpost::deliver::mail::{Security, Taker};
use meterpost::outbox::State;
use meterpost_wire::xml;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::mail::{mail_to, plain, tokens};
use super::tls::{Ca, ca};
use super::{queued, states};
use crate::site::*;

pub struct Postfix {
    pub dir: TempDir,
    /// Plain and STARTTLS.
    pub open: SocketAddr,
    /// TLS from the first byte.
    wrapped: SocketAddr,
    pub ca: Ca,
}

impl Postfix {
    /// `more` is added to `main.cf`.
    pub fn start(more: &str) -> Option<Self> {
        if !Path::new("/usr/sbin/postfix").exists() || !is_root() {
            assert!(
                std::env::var("CI").is_err(),
                "postfix is not installed or not to be started, and CI=true wants it"
            );
            eprintln!("SKIPPED: postfix is not installed (Debian package postfix), or this is not root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        // its processes have a user of their own, and temporary directories are private
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let ports: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let [open, wrapped] = [0, 1].map(|at: usize| ports[at].local_addr().unwrap());
        drop(ports);
        let ca = ca();
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca.issuer).unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["etc", "data", "mail", "spool"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("etc/tls.pem"), key.serialize_pem() + &certificate.pem()).unwrap();
        chown(at("mail"), Some(65_534), Some(65_534)).unwrap();
        chown(at("data"), Some(user("postfix")), None).unwrap();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {0}/spool\ndata_directory = {0}/data\ncommand_directory = /usr/sbin\n\
             daemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\nsetgid_group = postdrop\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = relay.example\nmydestination =\n\
             mynetworks = 127.0.0.0/8\nsmtpd_tls_chain_files = {0}/etc/tls.pem\nsmtpd_tls_security_level = may\n\
             virtual_mailbox_domains = central.example\nvirtual_mailbox_base = {0}/mail\n\
             virtual_mailbox_maps = inline:{{batches@central.example=batches/}}\nvirtual_uid_maps = static:65534\n\
             virtual_gid_maps = static:65534\nmaillog_file_prefixes = {0}\nmaillog_file = {0}/maillog\n\
             smtpd_recipient_restrictions = permit_mynetworks, reject\n{more}\n",
            dir.path().display()
        );
        fs::write(at("etc/main.cf"), main).unwrap();
        let mut master = format!("{open} inet n - n - - smtpd\n{wrapped} inet n - n - - smtpd\n");
        master += "  -o smtpd_tls_wrappermode=yes\n";
        for (name, kind, wakeup, most, program) in [
            ("pickup", "unix", "5", "1", "pickup"),
            ("cleanup", "unix", "-", "0", "cleanup"),
            ("qmgr", "unix", "300", "1", "qmgr"),
            ("tlsmgr", "unix", "1000?", "1", "tlsmgr"),
            ("rewrite", "unix", "-", "-", "trivial-rewrite"),
            ("bounce", "unix", "-", "0", "bounce"),
            ("defer", "unix", "-", "0", "bounce"),
            ("trace", "unix", "-", "0", "bounce"),
            ("proxymap", "unix", "-", "-", "proxymap"),
            ("retry", "unix", "-", "-", "error"),
            ("error", "unix", "-", "-", "error"),
            ("virtual", "unix", "-", "-", "virtual"),
            ("anvil", "unix", "-", "1", "anvil"),
            ("postlog", "unix-dgram", "-", "1", "postlogd"),
        ] {
            // what `sendmail` and the queue talk to is for everybody, the rest for the mail system alone
            let private = if ["pickup", "cleanup", "qmgr", "postlog"].contains(&name) { "n" } else { "-" };
            // it writes mailboxes as their owners
            let unprivileged = if name == "virtual" { "n" } else { "-" };
            master += &format!("{name} {kind} {private} {unprivileged} n {wakeup} {most} {program}\n");
        }
        fs::write(at("etc/master.cf"), master).unwrap();
        let postfix = Self { dir, open, wrapped, ca };
        let started = postfix.command("start");
        assert!(started.status.success(), "{started:?}\n{}", postfix.log());
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(open).is_err() {
            assert!(Instant::now() < until, "postfix does not listen\n{}", postfix.log());
            std::thread::yield_now();
        }
        Some(postfix)
    }

    fn command(&self, word: &str) -> Output {
        Command::new("/usr/sbin/postfix").arg("-c").arg(self.dir.path().join("etc")).arg(word).output().unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("maillog")).unwrap_or_default()
    }

    /// The messages in the central's mailbox, once there are so many.
    #[track_caller]
    pub fn mailbox(&self, count: usize) -> Vec<Vec<u8>> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let found: Vec<PathBuf> = fs::read_dir(self.dir.path().join("mail/batches/new"))
                .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
                .unwrap_or_default();
            if found.len() >= count {
                assert_eq!(found.len(), count, "{}", self.log());
                return found.iter().map(|path| fs::read(path).unwrap()).collect();
            }
            assert!(Instant::now() < until, "{} of {count} messages\n{}", found.len(), self.log());
            std::thread::yield_now();
        }
    }

    pub fn server(&self, security: Security, ca_pem: Option<&str>) -> Taker {
        let address = if security == Security::Tls { self.wrapped } else { self.open };
        let ca_pem = ca_pem.map(str::to_owned);
        Taker::Server { host: "127.0.0.1".into(), port: address.port(), security, ca_pem, login: None }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.command("abort");
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn user(name: &str) -> u32 {
    let output = Command::new("id").args(["-u", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn what_postfix_takes_by_tls_starttls_or_in_clear_arrives_byte_for_byte() {
    let Some(postfix) = Postfix::start("") else { return };
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    let pinned = Some(postfix.ca.pem.as_str());
    for (n, taker) in [
        postfix.server(Security::Tls, pinned),
        postfix.server(Security::Starttls, pinned),
        postfix.server(Security::None, None),
    ]
    .iter()
    .enumerate()
    {
        queued(&site, 2);
        let report = deliver(&site, &mail_to(taker, Duration::from_secs(30)), Hurry::AtOnce, at(n as i64));
        assert_eq!(report.handed_over, 2, "{taker:?}: {report:?}\n{}", postfix.log());
    }
    let mut arrived: Vec<String> = postfix.mailbox(6).iter().flat_map(|message| tokens(message)).collect();
    let mut sent: Vec<String> =
        (1..=6).map(|sequence| site.store().read(|tx| meterpost::outbox::token(tx, sequence)).unwrap()).collect();
    arrived.sort();
    sent.sort();
    assert_eq!(arrived, sent);
    let longest =
        postfix.mailbox(6).iter().flat_map(|m| m.split(|b| *b == b'\n').map(<[u8]>::len).collect::<Vec<_>>()).max();
    assert!(longest < Some(200), "no relay needs to wrap a line: {longest:?}");
}

#[test]
fn a_server_with_another_certificate_gets_nothing() {
    let Some(postfix) = Postfix::start("") else { return };
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let other = ca();
    // another company's CA, and those of the system
    for pem in [Some(other.pem.as_str()), None] {
        for security in [Security::Tls, Security::Starttls] {
            let mail = mail_to(&postfix.server(security, pem), Duration::from_secs(20));
            let report = deliver(&site, &mail, Hurry::AtOnce, at(0));
            let error = report.rests.unwrap().last_error.to_lowercase();
            assert!(error.contains("certificate") || error.contains("issuer"), "{security:?}: {error}");
        }
    }
    assert_eq!(states(&site), [State::Waiting]);
}

#[test]
fn a_relay_with_a_limit_sends_what_is_too_large_to_the_next_channel() {
    let Some(postfix) = Postfix::start("message_size_limit = 2000\nvirtual_mailbox_limit = 0") else { return };
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let (stick, mail) = (tempfile::tempdir().unwrap(), mail_to(&plain(postfix.open), Duration::from_secs(20)));
    let folder = meterpost::deliver::file::Folder::new(stick.path(), epoch(1).kid().site());
    let pace = meterpost::deliver::Pace { now: &|| at(0), dice: &|| 0, stopped: &|| false };
    let report = site.deliver(&[&mail, &folder], Hurry::AtOnce, &pace).unwrap();
    assert_eq!((report.handed_over, report.set_aside), (1, 0), "{report:?}");
    assert_eq!(site.items().unwrap()[0].channel.as_deref(), Some("file"));
    // and where there is no next one a person must look
    site.retry(1, at(1)).unwrap();
    let report = site.deliver(&[&mail], Hurry::AtOnce, &pace).unwrap();
    assert_eq!(report.set_aside, 1, "{report:?}");
    assert!(site.items().unwrap()[0].last_error.as_deref().unwrap().contains("552"));
}

#[test]
fn the_program_delivers_by_mail_while_the_central_is_away_and_the_message_opens() {
    let Some(postfix) = Postfix::start("") else { return };
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let shown = site.show(1).unwrap().xml;
    drop(site);
    fs::write(dir.path().join("etc/mail-ca.pem"), &postfix.ca.pem).unwrap();
    let config = dir.path().join("etc/meterpost.toml");
    let text = format!(
        "[delivery]\nchannels = [\"https\", \"mail\"]\n[delivery.mail]\nfrom = \"printers@customer.example\"\n\
         to = \"batches@central.example\"\nserver = \"localhost\"\nport = {}\nsecurity = \"starttls\"\nca_file = \"mail-ca.pem\"\n",
        postfix.open.port()
    );
    fs::write(&config, text).unwrap();
    let said = |words: &[&str]| crate::cli::said(dir.path(), words);
    let sent = said(&["outbox", "send"]);
    assert_eq!(sent.code, 0, "{sent:?}");
    assert!(sent.out.starts_with("0 delivered, 1 handed over"), "{sent:?}");
    let message = postfix.mailbox(1).remove(0);
    let token = tokens(&message).remove(0);
    let captured = dir.path().join("captured.jwe");
    fs::write(&captured, token).unwrap();
    let opened = said(&["open", captured.to_str().unwrap()]);
    assert_eq!(opened.out.as_bytes(), shown);
    assert_eq!(xml::decode(opened.out.as_bytes()).unwrap().batch.sequence, 1);
    let list = said(&["outbox", "list"]);
    assert!(list.out.contains("handed over"), "{list:?}");
}

#[test]
fn a_command_of_this_machine_hands_over_to_postfix() {
    let Some(postfix) = Postfix::start("") else { return };
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let etc = postfix.dir.path().join("etc");
    let words = ["/usr/sbin/sendmail", "-C", etc.to_str().unwrap(), "-t", "-i", "-f", "printers@customer.example"];
    let mail = mail_to(&Taker::Command(words.map(str::to_owned).to_vec()), Duration::from_secs(30));
    let report = deliver(&site, &mail, Hurry::AtOnce, at(0));
    assert_eq!(report.handed_over, 1, "{report:?}");
    assert_eq!(tokens(&postfix.mailbox(1)[0]), [site.store().read(|tx| meterpost::outbox::token(tx, 1)).unwrap()]);
}

/// A relay that vanishes between two messages: the second one waits, and goes when it is back.
#[test]
fn a_relay_that_goes_away_and_comes_back_loses_nothing() {
    let Some(postfix) = Postfix::start("") else { return };
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let mail = mail_to(&plain(postfix.open), Duration::from_secs(20));
    deliver(&site, &mail, Hurry::AtOnce, at(0));
    assert!(postfix.command("abort").status.success());
    queued(&site, 1);
    let report = deliver(&site, &mail, Hurry::AtOnce, at(1));
    assert_eq!((report.left, states(&site)), (1, vec![State::HandedOver, State::Waiting]));
    assert!(postfix.command("start").status.success());
    let until = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(postfix.open).is_err() && Instant::now() < until {
        std::thread::yield_now();
    }
    assert_eq!(deliver(&site, &mail, Hurry::AtOnce, at(2)).handed_over, 1);
    postfix.mailbox(2);
}
