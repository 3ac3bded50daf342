//! `[imap]` and `[import]`: where batches come from besides the sites themselves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, Secret, read_small};

/// `[import]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawImport {
    watch: Option<PathBuf>,
}

impl RawImport {
    /// The directory that `serve` watches.
    pub(super) fn watch(self) -> Option<PathBuf> {
        self.watch
    }
}

/// `[imap]` as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawImap {
    host: Option<String>,
    port: Option<u16>,
    tls: Option<ImapTls>,
    ca: Option<PathBuf>,
    user: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    mailbox: Option<String>,
    processed: Option<String>,
    rejected: Option<String>,
    look_every_seconds: Option<u64>,
    oauth: Option<RawOauth>,
}

/// `[imap.oauth]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOauth {
    token_url: String,
    client_id: String,
    client_secret: Option<String>,
    client_secret_file: Option<PathBuf>,
    scope: Option<String>,
}

impl std::fmt::Debug for RawImap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawImap").field("host", &self.host).field("user", &self.user).finish_non_exhaustive()
    }
}

/// How the connection to the mailbox is kept from listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImapTls {
    /// From the first byte (RFC 8314), port 993.
    #[default]
    Implicit,
    /// By STARTTLS, which must work, port 143.
    StartTls,
    /// Not at all: a loopback address only, for nothing is to read the password along.
    None,
}

/// A mailbox that batches come to.
#[derive(Clone, Debug)]
pub struct Imap {
    /// Its server.
    pub host: String,
    /// Of the server.
    pub port: u16,
    /// How it is reached.
    pub tls: ImapTls,
    /// PEM file of the only CAs to trust; without it those of the system.
    pub ca: Option<PathBuf>,
    /// Who logs in.
    pub user: String,
    /// And with what.
    pub login: Login,
    /// The folder that is emptied.
    pub mailbox: String,
    /// The folder for messages whose batches are stored.
    pub processed: String,
    /// The folder for all others.
    pub rejected: String,
    /// How long a session waits for the server to tell of a new message, or just waits where it cannot tell, before it looks
    /// itself: 5 s to 25 min, for servers end an IDLE after 29 min (RFC 2177).
    pub look_every: Duration,
}

/// Where nobody says how often to look.
const LOOK_EVERY_S: u64 = 300;

/// What a mailbox asks for.
#[derive(Clone, Debug)]
pub enum Login {
    /// LOGIN.
    Password(Secret),
    /// XOAUTH2 with a token that is fetched for the program itself (client credentials, RFC 6749 section 4.4), as
    /// Exchange Online wants it.
    Oauth(Oauth),
}

/// Where such a token is fetched.
#[derive(Clone, Debug)]
pub struct Oauth {
    /// `https:`, or `http:` with a loopback address.
    pub token_url: String,
    /// The program, as the provider knows it.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// What the token is for.
    pub scope: Option<String>,
}

/// Exchange Online's, for a token that is to open a mailbox.
const SCOPE: &str = "https://outlook.office365.com/.default";

impl RawImap {
    /// As meant; nothing without a `host`. The secrets of the environment go before those of the file.
    pub(super) fn meant(
        self,
        path: &Path,
        password: Option<Secret>,
        client_secret: Option<Secret>,
    ) -> Result<Option<Imap>, ConfigError> {
        let wrong = |key: &str, what: &str| ConfigError(format!("`{}` key `imap.{key}`: {what}", path.display()));
        let Some(host) = self.host else {
            let unused = self.user.is_some() || self.password.is_some() || self.oauth.is_some();
            return if unused { Err(wrong("host", "the server of the mailbox is missing")) } else { Ok(None) };
        };
        let tls = self.tls.unwrap_or_default();
        if tls == ImapTls::None && !is_loopback(&host) {
            return Err(wrong(
                "tls",
                "without TLS the password would be readable on the network: `implicit` or `starttls` would be right",
            ));
        }
        let user = self.user.ok_or_else(|| wrong("user", "who logs in is missing"))?;
        let login = match self.oauth {
            Some(oauth) => Login::Oauth(oauth.meant(&wrong, client_secret)?),
            None => {
                let password = secret(password, self.password_file, self.password)?;
                let missing = "give `password_file`, METERPOST_CENTRAL_IMAP_PASSWORD, or `[imap.oauth]`";
                Login::Password(password.ok_or_else(|| wrong("password_file", missing))?)
            }
        };
        let look_every = self.look_every_seconds.unwrap_or(LOOK_EVERY_S);
        if !(5..=1_500).contains(&look_every) {
            return Err(wrong("look_every_seconds", "5 to 1500 would be right: servers end a wait after 29 minutes"));
        }
        let named = |name: Option<String>, default: &str| name.unwrap_or_else(|| default.to_owned());
        let imap = Imap {
            port: self.port.unwrap_or(if tls == ImapTls::Implicit { 993 } else { 143 }),
            tls,
            ca: self.ca,
            user,
            login,
            mailbox: named(self.mailbox, "INBOX"),
            processed: named(self.processed, "Processed"),
            rejected: named(self.rejected, "Rejected"),
            look_every: Duration::from_secs(look_every),
            host,
        };
        if imap.mailbox == imap.processed || imap.mailbox == imap.rejected {
            return Err(wrong("mailbox", "messages cannot be moved to the folder that they come from"));
        }
        Ok(Some(imap))
    }
}

impl RawOauth {
    fn meant(
        self,
        wrong: &dyn Fn(&str, &str) -> ConfigError,
        client_secret: Option<Secret>,
    ) -> Result<Oauth, ConfigError> {
        if super::base_url(&self.token_url).is_none() {
            return Err(wrong(
                "oauth.token_url",
                "`https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token` would be right",
            ));
        }
        let client_secret = secret(client_secret, self.client_secret_file, self.client_secret)?;
        let missing = "give it, or METERPOST_CENTRAL_IMAP_CLIENT_SECRET";
        Ok(Oauth {
            token_url: self.token_url,
            client_id: self.client_id,
            client_secret: client_secret.ok_or_else(|| wrong("oauth.client_secret_file", missing))?,
            scope: Some(self.scope.unwrap_or_else(|| SCOPE.to_owned())).filter(|scope| !scope.is_empty()),
        })
    }
}

fn secret(
    environment: Option<Secret>,
    file: Option<PathBuf>,
    text: Option<String>,
) -> Result<Option<Secret>, ConfigError> {
    match (environment, file) {
        (Some(secret), _) => Ok(Some(secret)),
        (None, Some(file)) => Ok(Some(Secret::new(read_small(&file)?.trim_end_matches(['\r', '\n']).to_owned()))),
        (None, None) => Ok(text.map(Secret::new)),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
