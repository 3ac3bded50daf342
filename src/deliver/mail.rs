//! The mail channel: one token in one message, handed to a relay or to a command of this machine.
//!
//! No answer comes back by mail, so an item is handed over here and never delivered. Each sending has a Message-ID of its own:
//! several providers silently drop a second message with a known one.
//!
//! | limit | and then |
//! | --- | --- |
//! | 20 s for a connection | the channel rests |
//! | 30 s of silence, or [`PATIENCE`] for one item with all that belongs to it | before the content was sent the channel rests; after it the item is unsure |
//! | 100 messages over one connection | a new one is made |

mod command;
mod smtp;
mod token;

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use meterpost_wire::keys::SiteId;
use meterpost_wire::mail::{self, message};
use zeroize::Zeroizing;

use super::http::{BadChannel, Via};
use super::{Channel, Outgoing, SendError, Sent};
use crate::clock;
use smtp::{Job, Server, Session};

/// For one item with connection, login and everything else.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What stands in every message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letterhead {
    /// A real mailbox of the customer, for bounces must reach someone.
    pub from: String,
    /// The mailbox of the central.
    pub to: String,
    /// Some sentences for a person who finds the message.
    pub text: String,
}

/// Who takes the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taker {
    /// A mail server.
    Server {
        /// Name or address; the name is what its certificate must have.
        host: String,
        /// 465, 587 or 25, as a rule.
        port: u16,
        /// How the connection is protected.
        security: Security,
        /// PEM of the only CAs to trust; the system's when absent.
        ca_pem: Option<String>,
        /// How to log in; absent = not at all.
        login: Option<Login>,
    },
    /// A program of this machine, with its arguments, that reads a message from standard input as `sendmail` does.
    Command(Vec<String>),
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// TLS after STARTTLS, or nothing at all.
    Starttls,
    /// None: for a server of the same house, and never with a login. What is sent is sealed anyway.
    None,
}

/// How to log in; only over TLS.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// PLAIN, or LOGIN where the server has only that.
    Password {
        /// Who.
        user: String,
        /// The secret.
        secret: Zeroizing<String>,
    },
    /// XOAUTH2 with an access token that is fetched with client credentials (RFC 6749, section 4.4).
    Token {
        /// The mailbox that is logged in to.
        user: String,
        /// Where tokens are given out.
        url: String,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: Zeroizing<String>,
        /// What the token is for.
        scope: String,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user}, <secret>)"),
            Self::Token { user, url, client_id, scope, .. } => {
                write!(f, "Token({user}, {url}, {client_id}, {scope}, <secret>)")
            }
        }
    }
}

/// The channel to one mailbox.
pub struct Mail {
    letterhead: Letterhead,
    site: SiteId,
    patience: Duration,
    way: Way,
}

enum Way {
    Server {
        server: Arc<Server>,
        /// A connection that took a message and is still open.
        session: Box<RefCell<Option<Session>>>,
    },
    Command(Vec<String>),
}

impl Mail {
    /// `via` is the way to where access tokens are given out; mail itself goes straight. [`PATIENCE`] unless a test is in a
    /// hurry.
    pub fn new(
        letterhead: Letterhead,
        site: &SiteId,
        taker: &Taker,
        via: &Via,
        patience: Duration,
    ) -> Result<Self, BadChannel> {
        let way = match taker {
            Taker::Command(words) => Way::Command(words.clone()),
            Taker::Server { .. } => {
                let server = Arc::new(Server::new(taker, &letterhead, via, patience)?);
                Way::Server { server, session: Box::default() }
            }
        };
        Ok(Self { letterhead, site: site.clone(), patience, way })
    }

    fn written(&self, item: &Outgoing) -> Result<Vec<u8>, SendError> {
        let mail = mail::Outgoing {
            token: &item.token,
            site: &self.site,
            sequence: item.sequence,
            batch_id: &item.id,
            attempt: item.attempt,
            from: &self.letterhead.from,
            to: &self.letterhead.to,
            date: clock::now(),
            text: &self.letterhead.text,
        };
        message(&mail).map_err(|error| SendError::Down { reason: error.to_string(), at_least: None })
    }

    /// The conversation has a thread of its own, which is left behind when the server keeps it for too long: each answer may
    /// come byte by byte, and nothing else could end that.
    fn through(
        &self,
        server: &Arc<Server>,
        session: Option<Session>,
        message: Vec<u8>,
    ) -> (Option<Session>, Result<Sent, SendError>) {
        let content_sent = Arc::new(AtomicBool::new(false));
        let job = Job { server: Arc::clone(server), session, message, content_sent: Arc::clone(&content_sent) };
        let (tell, told) = mpsc::sync_channel(1);
        let talking = thread::Builder::new().name("smtp".to_owned()).spawn(move || {
            // nobody listens any more when it took too long
            let _ = tell.send(job.run());
        });
        if let Err(error) = talking {
            return (None, Err(SendError::Down { reason: format!("cannot start a thread: {error}"), at_least: None }));
        }
        told.recv_timeout(self.patience).unwrap_or_else(|_| {
            let reason = format!("the mail server took longer than {} s", self.patience.as_secs());
            let unsure = content_sent.load(Ordering::SeqCst);
            let error = if unsure { SendError::Unsure(reason) } else { SendError::Down { reason, at_least: None } };
            (None, Err(error))
        })
    }
}

impl Channel for Mail {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn send(&self, item: &Outgoing) -> Result<Sent, SendError> {
        let message = self.written(item)?;
        match &self.way {
            Way::Command(words) => command::hand_over(words, message, self.patience),
            Way::Server { server, session } => {
                let open = session.borrow_mut().take();
                let (open, sent) = self.through(server, open, message);
                *session.borrow_mut() = open;
                sent
            }
        }
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("letterhead", &self.letterhead).finish_non_exhaustive()
    }
}
