//! The conversation with a mail server, step by step: what a failure means depends on the step (`standards.md` 4.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use ureq::Agent;

use super::{Letterhead, Login, Security, Taker, token};
use crate::deliver::http::{self, BadChannel, Via};
use crate::deliver::{SendError, Sent};

/// For one answer, and for the connection.
const ANSWER: Duration = Duration::from_secs(30);

/// For the last word of a connection that has done its work.
const GOODBYE: Duration = Duration::from_secs(2);

/// Messages over one connection: many servers end one after a hundred.
const MESSAGES_MAX: u32 = 100;

/// A server as the configuration names it, with everything checked that needs no network.
pub struct Server {
    host: String,
    port: u16,
    security: Security,
    tls: Option<TlsParameters>,
    login: Option<(Login, Option<Agent>)>,
    from: Address,
    to: Address,
    /// For one answer.
    answer: Duration,
}

/// An open connection that has logged in.
pub struct Session {
    connection: SmtpConnection,
    taken: u32,
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.connection.has_broken() && self.connection.set_timeout(Some(GOODBYE)).is_ok() {
            // what it took it has taken, whether it says goodbye or not
            let _ = self.connection.quit();
        }
    }
}

impl Server {
    pub fn new(taker: &Taker, letterhead: &Letterhead, via: &Via, patience: Duration) -> Result<Self, BadChannel> {
        let Taker::Server { host, port, security, ca_pem, login } = taker else {
            return Err(BadChannel::Mail("no server".to_owned()));
        };
        let bad = |error: &dyn std::fmt::Display| BadChannel::Mail(error.to_string());
        let tls = match security {
            Security::None => None,
            Security::Tls | Security::Starttls => {
                let mut tls = TlsParameters::builder(host.clone());
                if let Some(pem) = ca_pem {
                    let pinned = Certificate::from_pem(pem.as_bytes()).map_err(|error| bad(&error))?;
                    tls = tls.certificate_store(CertificateStore::None).add_root_certificate(pinned);
                }
                Some(tls.build().map_err(|error| bad(&error))?)
            }
        };
        if login.is_some() && tls.is_none() {
            return Err(BadChannel::Mail("a login is never sent without TLS".to_owned()));
        }
        let agent = match login {
            Some(Login::Token { url, .. }) => Some(http::agent(url, None, via, patience)?),
            _ => None,
        };
        let address = |text: &str| text.parse::<Address>().map_err(|error| bad(&format!("`{text}`: {error}")));
        Ok(Self {
            host: host.clone(),
            port: *port,
            security: *security,
            tls,
            login: login.clone().map(|login| (login, agent)),
            from: address(&letterhead.from)?,
            to: address(&letterhead.to)?,
            answer: ANSWER.min(patience),
        })
    }

    fn open(&self) -> Result<Session, SendError> {
        let hello = ClientId::default();
        let at_once = self.tls.as_ref().filter(|_| self.security == Security::Tls);
        let address = (self.host.as_str(), self.port);
        let mut connection = SmtpConnection::connect(address, Some(self.answer), &hello, at_once, None)
            .map_err(|error| down("no connection to the mail server", &error))?;
        if let (Security::Starttls, Some(tls)) = (self.security, &self.tls) {
            if !connection.can_starttls() {
                let reason = "the mail server does not offer STARTTLS; nothing is sent in clear".to_owned();
                return Err(SendError::Down { reason, at_least: None });
            }
            connection.starttls(tls, &hello).map_err(|error| down("no TLS with the mail server", &error))?;
        }
        if let Some((login, agent)) = &self.login {
            self.log_in(&mut connection, login, agent.as_ref())?;
        }
        Ok(Session { connection, taken: 0 })
    }

    fn log_in(&self, connection: &mut SmtpConnection, login: &Login, agent: Option<&Agent>) -> Result<(), SendError> {
        let (mechanisms, credentials): (&[Mechanism], Credentials) = match (login, agent) {
            (Login::Password { user, secret }, _) => {
                (&[Mechanism::Plain, Mechanism::Login], Credentials::new(user.clone(), secret.to_string()))
            }
            (Login::Token { user, .. }, Some(agent)) => {
                let token = token::fetch(agent, login)?;
                (&[Mechanism::Xoauth2], Credentials::new(user.clone(), token.to_string()))
            }
            (Login::Token { .. }, None) => (&[], Credentials::new(String::new(), String::new())),
        };
        // defence in depth: the configuration has been refused already
        if !connection.is_encrypted() {
            return Err(SendError::Unauthorized("a login is never sent without TLS".to_owned()));
        }
        match connection.auth(mechanisms, &credentials) {
            Ok(_) => Ok(()),
            // `client`: the server offers no mechanism of ours
            Err(error) if error.is_permanent() || error.is_client() => {
                Err(SendError::Unauthorized(format!("the mail server refuses the login: {error}")))
            }
            Err(error) => Err(down("the mail server did not answer the login", &error)),
        }
    }
}

/// One message for one server.
pub struct Job {
    pub server: Arc<Server>,
    pub session: Option<Session>,
    pub message: Vec<u8>,
    /// Set before the first byte of the content leaves: from then on nobody can tell whether it arrived.
    pub content_sent: Arc<AtomicBool>,
}

impl Job {
    /// Hands the message over, with the connection when it is still good.
    pub fn run(mut self) -> (Option<Session>, Result<Sent, SendError>) {
        if let Some(session) = self.session.take().filter(|session| session.taken < MESSAGES_MAX) {
            let (session, sent) = self.through(session);
            // a server may have ended a connection that lay idle, and that says nothing about a new one
            if !matches!(sent, Err(SendError::Down { .. })) {
                return (session, sent);
            }
        }
        match self.server.open() {
            Ok(session) => self.through(session),
            Err(error) => (None, Err(error)),
        }
    }

    fn through(&self, mut session: Session) -> (Option<Session>, Result<Sent, SendError>) {
        match self.converse(&mut session.connection) {
            Ok(()) => {
                session.taken += 1;
                (Some(session), Ok(Sent::HandedOver))
            }
            Err(error) => (None, Err(error)),
        }
    }

    fn converse(&self, connection: &mut SmtpConnection) -> Result<(), SendError> {
        let Server { from, to, .. } = &*self.server;
        connection.command(Mail::new(Some(from.clone()), Vec::new())).map_err(|error| of_envelope(&error))?;
        connection.command(Rcpt::new(to.clone(), Vec::new())).map_err(|error| of_envelope(&error))?;
        connection.command(Data).map_err(|error| of_content(&error, false))?;
        self.content_sent.store(true, Ordering::SeqCst);
        connection.message(&self.message).map_err(|error| of_content(&error, true))?;
        Ok(())
    }
}

/// It does not want our mail, and will not want the next one either; or it asks for time, which greylisting does by sender and
/// not by message.
fn of_envelope(error: &Error) -> SendError {
    if error.is_permanent() {
        SendError::Unauthorized(format!("the mail server does not take mail from or to this address: {error}"))
    } else {
        down("the mail server does not take mail now", error)
    }
}

/// About this message; or about nothing, when the connection broke before its content was sent.
fn of_content(error: &Error, sent: bool) -> SendError {
    if error.is_permanent() {
        SendError::NotHere(format!("the mail server does not take this message: {error}"))
    } else if error.is_transient() {
        SendError::Unsure(format!("the mail server did not take the message now: {error}"))
    } else if sent {
        SendError::Unsure(format!("the connection to the mail server broke after the message: {error}"))
    } else {
        down("the connection to the mail server broke", error)
    }
}

fn down(what: &str, error: &Error) -> SendError {
    SendError::Down { reason: format!("{what}: {error}"), at_least: None }
}
