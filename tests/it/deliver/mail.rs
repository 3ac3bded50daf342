//! The mail channel against servers that do what no good one does. What a good one does: `postfix`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use meterpost::deliver::Hurry;
use meterpost::deliver::http::Via;
use meterpost::deliver::mail::{Letterhead, Login, Mail, Security, Taker};
use meterpost::outbox::State;
use meterpost::site::Site;
use meterpost_wire::mail::Incoming;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::hostile::{request, say};
use super::tls::{ca, tls};
use super::{queued, states};
use crate::site::*;

/// What a server answers to a step; the first word of the command, `content` for the message itself.
pub type Script = fn(step: &str, nth: usize) -> Answer;

#[derive(Clone, Copy)]
pub enum Answer {
    Says(&'static str),
    Hangs,
    Drips,
    Drops,
}

pub const FINE: Answer = Answer::Says("250 fine");

/// What a server does that has nothing against anybody.
pub fn usual(step: &str) -> Answer {
    match step {
        "greeting" => Answer::Says("220 relay.example"),
        "EHLO" => Answer::Says("250-relay.example\r\n250-AUTH PLAIN LOGIN XOAUTH2\r\n250 SIZE 100000"),
        "AUTH" => Answer::Says("235 welcome"),
        "DATA" => Answer::Says("354 go on"),
        "QUIT" => Answer::Says("221 bye"),
        _ => FINE,
    }
}

/// A mail server that follows a script; it tells every command and every message.
pub struct Relay {
    pub address: SocketAddr,
    pub heard: Receiver<String>,
}

pub fn relay(script: Script) -> Relay {
    relay_over(None, script)
}

fn relay_over(tls: Option<Arc<ServerConfig>>, script: Script) -> Relay {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, heard) = mpsc::channel();
    let messages = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (tls, tell, messages) = (tls.clone(), tell.clone(), Arc::clone(&messages));
            // one that hangs must not keep the next one out
            thread::spawn(move || match tls {
                None => converse(&stream, &stream, script, &tell, &messages),
                Some(config) => {
                    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                    converse_over(&mut stream, script, &tell, &messages);
                    // without it the other side takes the end for an attack
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            });
        }
    });
    Relay { address, heard }
}

fn converse(reader: impl Read, mut writer: impl Write, script: Script, tell: &Sender<String>, messages: &AtomicUsize) {
    let mut lines = BufReader::new(reader);
    let mut next = || -> Option<String> {
        let mut line = String::new();
        lines.read_line(&mut line).ok().filter(|read| *read > 0).map(|_| line)
    };
    talk(
        &mut next,
        &mut |text| writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).is_ok(),
        script,
        tell,
        messages,
    );
}

/// One stream for both directions: a line is read byte by byte.
fn converse_over(stream: &mut (impl Read + Write), script: Script, tell: &Sender<String>, messages: &AtomicUsize) {
    let stream = std::cell::RefCell::new(stream);
    let mut next = || {
        let (mut line, mut one) = (Vec::new(), [0]);
        while !line.ends_with(b"\n") {
            (stream.borrow_mut().read(&mut one).ok()? == 1).then_some(())?;
            line.push(one[0]);
        }
        String::from_utf8(line).ok()
    };
    let mut say = |text: &str| {
        let mut stream = stream.borrow_mut();
        stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).is_ok()
    };
    talk(&mut next, &mut say, script, tell, messages);
}

fn talk(
    next: &mut dyn FnMut() -> Option<String>,
    say: &mut dyn FnMut(&str) -> bool,
    script: Script,
    tell: &Sender<String>,
    messages: &AtomicUsize,
) {
    let mut answer = |step: &str, nth: usize| match script(step, nth) {
        Answer::Says(text) => say(&format!("{text}\r\n")),
        Answer::Drops => false,
        Answer::Hangs => {
            // until the other side has had enough
            thread::park_timeout(Duration::from_secs(20));
            false
        }
        Answer::Drips => {
            for _ in 0..200 {
                if !say("2") {
                    return false;
                }
                thread::park_timeout(Duration::from_millis(100));
            }
            false
        }
    };
    if !answer("greeting", messages.load(Ordering::SeqCst)) {
        return;
    }
    while let Some(line) = next() {
        let step = line.split([' ', '\r']).next().unwrap_or_default().to_owned();
        let _ = tell.send(line.trim_end().to_owned());
        if !answer(&step, messages.load(Ordering::SeqCst)) {
            return;
        }
        if step == "QUIT" {
            return;
        }
        if step == "DATA"
            && matches!(script("DATA", messages.load(Ordering::SeqCst)), Answer::Says(text) if text.starts_with("354"))
        {
            let mut content = String::new();
            while let Some(line) = next().filter(|line| line != ".\r\n") {
                content += &line;
            }
            let _ = tell.send(content);
            if !answer("content", messages.fetch_add(1, Ordering::SeqCst) + 1) {
                return;
            }
        }
    }
}

fn letterhead() -> Letterhead {
    Letterhead {
        from: "printers@customer.example".into(),
        to: "batches@central.example".into(),
        text: meterpost_wire::mail::TEXT.into(),
    }
}

pub(super) fn mail_to(taker: &Taker, patience: Duration) -> Mail {
    Mail::new(letterhead(), epoch(1).kid().site(), taker, &Via::Straight, patience).unwrap()
}

pub(super) fn plain(address: SocketAddr) -> Taker {
    Taker::Server {
        host: address.ip().to_string(),
        port: address.port(),
        security: Security::None,
        ca_pem: None,
        login: None,
    }
}

/// The tokens of a message.
pub fn tokens(message: &[u8]) -> Vec<String> {
    match meterpost_wire::mail::read(message) {
        Incoming::Tokens(tokens) => tokens.into_iter().map(|token| String::from_utf8(token).unwrap()).collect(),
        Incoming::Without(why) => panic!("{why}"),
    }
}

/// Sends two items to a server that follows a script: where each stands then, what the channel says, and the events' codes.
#[track_caller]
fn check(script: Script, expected: [State; 2], rests: Option<i64>, said: &str) -> (TempDir, Site) {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 2);
    let relay = relay(script);
    let mail = mail_to(&plain(relay.address), Duration::from_secs(2));
    let report = deliver(&site, &mail, Hurry::AtOnce, at(0));
    assert_eq!(states(&site), expected, "{report:?}");
    assert_eq!(report.rests.as_ref().map(|rest| rest.due_at), rests.map(at), "{:?}", report.rests);
    let items = site.items().unwrap();
    let error = report.rests.map(|rest| rest.last_error).or(items[1].last_error.clone()).unwrap_or_default();
    assert!(error.contains(said), "`{error}` does not say `{said}`");
    assert_eq!(site.check(at(0)).unwrap(), [], "the bytes are what they were");
    (dir, site)
}

fn codes(site: &Site) -> Vec<String> {
    site.events(at(0), 9).unwrap().into_iter().map(|event| event.code).collect()
}

use State::{HandedOver, SetAside, Waiting};

#[test]
fn what_a_relay_took_is_handed_over_and_never_delivered() {
    let (_dir, site) = check(|step, _| usual(step), [HandedOver, HandedOver], None, "");
    assert!(site.items().unwrap().iter().all(|item| item.channel.as_deref() == Some("mail")));
    assert_eq!(site.receipt(1).unwrap(), None);
    assert_eq!(codes(&site), [""; 0]);
}

#[test]
fn two_messages_go_over_one_connection_and_a_resent_one_has_another_message_id() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 2);
    let relay = relay(|step, _| usual(step));
    let mail = mail_to(&plain(relay.address), Duration::from_secs(5));
    deliver(&site, &mail, Hurry::AtOnce, at(0));
    site.retry(1, at(1)).unwrap();
    deliver(&site, &mail, Hurry::AtOnce, at(2));
    drop(mail);
    let heard: Vec<String> = relay.heard.try_iter().collect();
    assert_eq!(heard.iter().filter(|line| line.starts_with("EHLO")).count(), 1);
    let messages: Vec<&String> = heard.iter().filter(|text| text.contains("Message-ID")).collect();
    let ids: Vec<&str> =
        messages.iter().map(|text| text.lines().find(|line| line.starts_with("Message-ID")).unwrap()).collect();
    assert_eq!(messages.len(), 3);
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{ids:?}");
    assert_eq!(tokens(messages[1].as_bytes()), tokens(messages[2].as_bytes()), "byte for byte the same token");
}

#[test]
fn a_server_that_wants_none_of_our_mail_lets_the_channel_rest_and_tells_a_person() {
    for script in [
        (|step, _| if step == "MAIL" { Answer::Says("550 5.7.1 not you") } else { usual(step) }) as Script,
        |step, _| if step == "RCPT" { Answer::Says("550 5.1.1 unknown user") } else { usual(step) },
    ] {
        let (_dir, site) = check(script, [Waiting, Waiting], Some(3_600), "does not take mail from or to");
        assert_eq!(codes(&site), ["unauthorized"]);
        assert!(!site.events(at(0), 9).unwrap()[0].text.contains('@'), "an event leaves the site: no address in it");
    }
}

#[test]
fn greylisting_and_a_busy_server_back_off_and_move_no_item() {
    for script in [
        (|step, _| if step == "RCPT" { Answer::Says("451 4.7.1 greylisted") } else { usual(step) }) as Script,
        |step, _| if step == "greeting" { Answer::Says("421 busy") } else { usual(step) },
    ] {
        let (_dir, site) = check(script, [Waiting, Waiting], Some(60), "transient");
        assert_eq!(site.items().unwrap()[1].attempts, 0);
        let relay = relay(|step, _| usual(step));
        deliver(&site, &mail_to(&plain(relay.address), Duration::from_secs(5)), Hurry::WhenDue, at(60));
        assert_eq!(states(&site), [HandedOver, HandedOver], "it is tried again by itself");
    }
}

#[test]
fn a_message_that_a_relay_will_never_take_is_set_aside_where_there_is_no_other_way() {
    let too_large = |step: &str, nth| {
        if step == "content" && nth == 1 { Answer::Says("552 5.3.4 too large") } else { usual(step) }
    };
    let (_dir, site) = check(too_large, [HandedOver, SetAside], None, "does not take this message");
    assert_eq!(codes(&site), ["refused"]);
    site.retry(2, at(5)).unwrap();
    assert_eq!(states(&site), [HandedOver, Waiting]);
}

#[test]
fn a_message_whose_end_nobody_saw_waits_and_the_others_go_on() {
    for script in [
        (|step, nth| if step == "content" && nth == 1 { Answer::Drops } else { usual(step) }) as Script,
        |step, nth| if step == "content" && nth == 1 { Answer::Hangs } else { usual(step) },
        |step, nth| if step == "content" && nth == 1 { Answer::Drips } else { usual(step) },
        |step, nth| if step == "content" && nth == 1 { Answer::Says("451 disk full") } else { usual(step) },
    ] {
        let (_dir, site) = check(script, [HandedOver, Waiting], None, "mail server");
        let item = &site.items().unwrap()[1];
        assert_eq!((item.attempts, item.due_at), (1, at(60)));
    }
}

#[test]
fn a_server_that_says_nothing_or_drips_before_the_message_is_down() {
    for script in [
        (|step, _| if step == "greeting" { Answer::Hangs } else { usual(step) }) as Script,
        |step, _| if step == "EHLO" { Answer::Drips } else { usual(step) },
        |step, _| if step == "MAIL" { Answer::Drops } else { usual(step) },
    ] {
        check(script, [Waiting, Waiting], Some(60), "mail server");
    }
}

#[test]
fn a_server_without_starttls_gets_nothing_where_it_is_required() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let relay = relay(|step, _| usual(step));
    let taker = match plain(relay.address) {
        Taker::Server { host, port, .. } => {
            Taker::Server { host, port, security: Security::Starttls, ca_pem: None, login: None }
        }
        command => command,
    };
    let mail = mail_to(&taker, Duration::from_secs(5));
    let report = deliver(&site, &mail, Hurry::AtOnce, at(0));
    assert!(report.rests.unwrap().last_error.contains("does not offer STARTTLS"));
    assert!(relay.heard.try_iter().all(|line| !line.starts_with("MAIL")));
}

/// Logs in over TLS as `login` says: what the server heard of it.
fn logged_in(login: Login, script: Script) -> (Site, TempDir, Vec<String>, Option<String>) {
    let ours = ca();
    let relay = relay_over(Some(tls(&ours, "127.0.0.1")), script);
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let taker = Taker::Server {
        host: "127.0.0.1".into(),
        port: relay.address.port(),
        security: Security::Tls,
        ca_pem: Some(ours.pem),
        login: Some(login),
    };
    let mail = mail_to(&taker, Duration::from_secs(10));
    let report = deliver(&site, &mail, Hurry::AtOnce, at(0));
    drop(mail);
    (site, dir, relay.heard.try_iter().collect(), report.rests.map(|rest| rest.last_error))
}

fn password() -> Login {
    Login::Password { user: "printers".into(), secret: Zeroizing::new("geheim".into()) }
}

#[test]
fn a_password_goes_over_tls_by_plain_or_by_what_the_server_has() {
    let (site, _dir, heard, _) = logged_in(password(), |step, _| usual(step));
    assert_eq!(states(&site), [HandedOver]);
    // base64 of NUL printers NUL geheim
    assert!(heard.contains(&"AUTH PLAIN AHByaW50ZXJzAGdlaGVpbQ==".to_owned()), "{heard:?}");
}

#[test]
fn a_refused_login_rests_for_an_hour_and_shows_no_secret() {
    let (site, _dir, _, error) = logged_in(password(), |step, _| match step {
        "AUTH" => Answer::Says("550 5.7.30 Basic authentication is not supported for Client Submission."),
        _ => usual(step),
    });
    assert_eq!(states(&site), [Waiting]);
    let error = error.unwrap();
    assert!(error.contains("5.7.30") && !error.contains("geheim"), "{error}");
    assert_eq!(codes(&site), ["unauthorized"]);
}

/// A place that gives out access tokens, or does not.
pub fn token_giver(status: &'static str, body: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let (tell, asked) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if let Some((_, body_asked)) = request(&mut stream) {
                let _ = tell.send(body_asked);
                say(&mut stream, status, "Content-Type: application/json\r\n", body);
            }
        }
    });
    (url, asked)
}

pub fn token_login(url: String) -> Login {
    Login::Token {
        user: "printers@customer.example".into(),
        url,
        client_id: "meterpost".into(),
        client_secret: Zeroizing::new("s&cret".into()),
        scope: "https://outlook.office365.com/.default".into(),
    }
}

#[test]
fn an_access_token_is_fetched_with_client_credentials_and_logs_in_by_xoauth2() {
    let (url, asked) = token_giver("200 OK", r#"{"token_type":"Bearer","expires_in":3599,"access_token":"ey.J.x"}"#);
    let (site, _dir, heard, error) = logged_in(token_login(url), |step, _| usual(step));
    assert_eq!(states(&site), [HandedOver], "{error:?}");
    let form = asked.try_iter().next().unwrap();
    assert!(form.contains("grant_type=client_credentials") && form.contains("client_secret=s%26cret"), "{form}");
    let login = heard.iter().find(|line| line.starts_with("AUTH")).unwrap();
    // base64 of user=…^Aauth=Bearer ey.J.x^A^A
    assert_eq!(login, "AUTH XOAUTH2 dXNlcj1wcmludGVyc0BjdXN0b21lci5leGFtcGxlAWF1dGg9QmVhcmVyIGV5LkoueAEB");
}

#[test]
fn a_client_that_gets_no_token_rests_and_shows_no_secret() {
    let (url, _asked) = token_giver("401 Unauthorized", r#"{"error":"invalid_client","error_description":"no"}"#);
    let (site, _dir, _, error) = logged_in(token_login(url), |step, _| usual(step));
    assert_eq!(states(&site), [Waiting]);
    let error = error.unwrap();
    assert!(error.contains("`invalid_client`") && !error.contains("cret\""), "{error}");
    assert_eq!(codes(&site), ["unauthorized"]);
}

/// A command that takes a message: what becomes of the item, and what is said.
#[cfg(unix)]
#[track_caller]
fn check_command(words: &[&str], expected: State, said: &str) {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    queued(&site, 1);
    let taker = Taker::Command(words.iter().map(|word| (*word).to_owned()).collect());
    let report = deliver(&site, &mail_to(&taker, Duration::from_secs(2)), Hurry::AtOnce, at(0));
    assert_eq!(states(&site), [expected]);
    let item = site.items().unwrap().remove(0);
    let error = report.rests.map(|rest| rest.last_error).or(item.last_error).unwrap_or_default();
    assert!(error.contains(said), "`{error}` does not say `{said}`");
}

#[cfg(unix)]
#[test]
fn a_command_is_believed_by_its_exit_code() {
    check_command(&["/bin/sh", "-c", "cat > /dev/null"], HandedOver, "");
    check_command(&["/bin/sh", "-c", "exit 0"], HandedOver, "");
    check_command(&["/bin/sh", "-c", "echo queue is full >&2; exit 75"], Waiting, "queue is full");
    check_command(&["/bin/sh", "-c", "exit 67"], Waiting, "67");
    check_command(&["/bin/sh", "-c", "exit 65"], SetAside, "65");
    check_command(&["/bin/sh", "-c", "kill -9 $$"], Waiting, "signal");
    check_command(&["/bin/sh", "-c", "exec sleep 30"], Waiting, "took longer");
    check_command(&["/nowhere/sendmail", "-t"], Waiting, "cannot start");
}

#[test]
fn a_configuration_without_the_mailbox_is_wrong_unless_the_enrolment_names_it() {
    let dir = tempfile::tempdir().unwrap();
    drop(enrolled(dir.path()));
    let config = dir.path().join("etc/meterpost.toml");
    let text = "[delivery]\nchannels = [\"mail\"]\n[delivery.mail]\nfrom = \"printers@customer.example\"\nserver = \"smtp.example\"\n";
    std::fs::write(&config, text).unwrap();
    let checked = crate::cli::said(dir.path(), &["config", "check"]);
    assert_eq!(checked.code, 2, "{checked:?}");
    assert!(checked.err.contains("nobody said to which mailbox"), "{checked:?}");
    let named =
        meterpost_wire::enrolment::Enrolment { mail_to: Some("batches@central.example".into()), ..enrolment(epoch(1)) };
    drop(Site::enroll(&paths(dir.path()), &named.to_token(), at(1)).unwrap());
    assert_eq!(crate::cli::said(dir.path(), &["config", "check"]).code, 0);
}
