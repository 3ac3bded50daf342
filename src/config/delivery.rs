//! `[delivery]`: by which ways batches leave, and what each way needs.

use std::path::PathBuf;

use meterpost_wire::mail::address;
use toml::Spanned;
use zeroize::Zeroizing;

use super::fault::{listed, nearest};
use super::meant::Check;
use super::raw::{At, RawDelivery, RawFile, RawHttps, RawMail};
use crate::deliver::http::is_loopback;
use crate::deliver::mail::{Login, Security, Taker};
use crate::snmp::credential::Secret;

/// A file of CA certificates is at most this long.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Characters of `text`.
const TEXT_MAX: usize = 2_000;

/// The default of `scope`: sending mail by Exchange Online.
pub const SCOPE_DEFAULT: &str = "https://outlook.office365.com/.default";

/// A way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// SOAP over HTTPS to the central of the enrolment.
    Https,
    /// A message to the central's mailbox.
    Mail,
    /// A file in a directory.
    File,
}

impl Channel {
    /// All of them, in the order in which they are meant to be.
    pub const ALL: [Self; 3] = [Self::Https, Self::Mail, Self::File];

    /// The word in `channels`, and in `outbox list`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Mail => "mail",
            Self::File => "file",
        }
    }
}

/// A proxy for HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// `proxy = "none"`: straight, whatever the environment says.
    None,
    /// This one.
    Via {
        /// `http://`, `https://` or `socks5://`, without a user.
        url: String,
        /// Its user and secret.
        user: Option<(String, Secret)>,
    },
}

/// `[delivery.mail]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// A real mailbox of the customer.
    pub from: String,
    /// The central's mailbox; absent = that of the enrolment token.
    pub to: Option<String>,
    /// What a person reads who finds such a message; absent = two sentences in English.
    pub text: Option<String>,
    /// Who takes the messages.
    pub taker: Taker,
}

impl Check<'_> {
    pub(super) fn channels(&mut self, written: &At<Vec<Spanned<String>>>) -> Vec<Channel> {
        let Some(written) = written else { return vec![Channel::Https] };
        if written.get_ref().is_empty() {
            self.fault(&written.span(), "`channels` names none: `[\"https\"]` would be right".to_owned());
        }
        let words = Channel::ALL.map(Channel::as_str);
        let mut channels = Vec::new();
        for word in written.get_ref() {
            match Channel::ALL.into_iter().find(|channel| channel.as_str() == word.get_ref()) {
                Some(twice) if channels.contains(&twice) => {
                    self.fault(&word.span(), format!("`channels`: `{}` stands there twice", word.get_ref()));
                }
                Some(channel) => channels.push(channel),
                None => {
                    let what = format!("`channels`: `{}` is no channel", word.get_ref());
                    let hint = match nearest(word.get_ref(), &words) {
                        Some(right) => format!("`{right}` is the nearest"),
                        None => format!("channels are {}", listed(&words)),
                    };
                    self.fault_hint(&word.span(), what, hint);
                }
            }
        }
        channels
    }

    /// Whether each channel that is named has what it needs.
    pub(super) fn described(&mut self, raw: &RawDelivery) {
        for word in raw.channels.iter().flat_map(Spanned::get_ref) {
            let (table, example) = match word.get_ref().as_str() {
                "mail" if raw.mail.is_none() => ("mail", "from = \"printers@customer.example\"` and `server"),
                "file" if raw.file.is_none() => ("file", "directory"),
                _ => continue,
            };
            let what = format!("`channels` names `{table}`, and there is no `[delivery.{table}]` with `{example}`");
            self.fault(&word.span(), what);
        }
    }

    pub(super) fn proxy(&mut self, raw: &RawHttps) -> Option<Proxy> {
        let secret =
            self.secret("proxy_secret", [&raw.proxy_secret, &raw.proxy_secret_file, &raw.proxy_secret_env]).ok()?;
        let Some(url) = &raw.proxy else {
            let alone = [
                ("proxy_user", &raw.proxy_user),
                ("proxy_secret", &raw.proxy_secret),
                ("proxy_secret_file", &raw.proxy_secret_file),
                ("proxy_secret_env", &raw.proxy_secret_env),
            ];
            for (key, written) in alone {
                if let Some(written) = written {
                    self.fault(&written.span(), format!("`{key}` stands without `proxy`"));
                }
            }
            return None;
        };
        let user = raw.proxy_user.as_ref().map(|user| user.get_ref().clone());
        match url.get_ref().as_str() {
            "none" => Some(Proxy::None),
            text if text.contains('@') => {
                let what = "`proxy`: user and secret belong into `proxy_user` and `proxy_secret`, not into the address";
                self.fault(&url.span(), what.to_owned());
                None
            }
            text if ["http://", "https://", "socks5://"].iter().any(|scheme| text.starts_with(scheme)) => {
                Some(Proxy::Via { url: text.to_owned(), user: user.map(|user| (user, secret.unwrap_or_default())) })
            }
            text => {
                let what = format!("`proxy`: `{text}` is no proxy, `http://proxy.example:3128` or `none` would be");
                self.fault(&url.span(), what);
                None
            }
        }
    }

    pub(super) fn file(&mut self, raw: &Spanned<RawFile>) -> Option<PathBuf> {
        let Some(directory) = raw.get_ref().directory.as_ref().filter(|text| !text.get_ref().is_empty()) else {
            self.fault(&raw.span(), "`[delivery.file]` has no `directory`".to_owned());
            return None;
        };
        Some(super::beside(self.source.dir, directory.get_ref()))
    }

    pub(super) fn mail(&mut self, raw: &Spanned<RawMail>) -> Option<Mail> {
        let (span, raw) = (raw.span(), raw.get_ref());
        if raw.from.is_none() {
            let what = "`[delivery.mail]` has no `from`: a mailbox of yours, where a failed delivery would be told";
            self.fault(&span, what.to_owned());
        }
        let (from, to) = (self.mailbox("from", &raw.from), self.mailbox("to", &raw.to));
        let text = raw.text.as_ref().map(|text| {
            if text.get_ref().chars().count() > TEXT_MAX {
                self.fault(&text.span(), format!("`text`: it has more than {TEXT_MAX} characters"));
            }
            text.get_ref().clone()
        });
        let taker = match (&raw.server, &raw.command) {
            (Some(host), None) => self.server(host, raw)?,
            (None, Some(words)) => self.command(words, raw)?,
            (Some(_), Some(words)) => {
                self.fault(&words.span(), "one of `server` and `command` would be right, not two".to_owned());
                return None;
            }
            (None, None) => {
                let what = "`[delivery.mail]` says neither `server = \"smtp.example\"` nor `command`";
                self.fault(&span, what.to_owned());
                return None;
            }
        };
        Some(Mail { from: from?, to, text, taker })
    }

    fn mailbox(&mut self, key: &str, written: &At<String>) -> Option<String> {
        let written = written.as_ref()?;
        match address(written.get_ref()) {
            Ok(right) => Some(right.to_owned()),
            Err(error) => {
                self.fault(&written.span(), format!("`{key}`: {error}"));
                None
            }
        }
    }

    fn server(&mut self, host: &Spanned<String>, raw: &RawMail) -> Option<Taker> {
        let named = host.get_ref();
        if named.is_empty() || named.contains([':', '/', '@', ' ']) && named.parse::<std::net::Ipv6Addr>().is_err() {
            let what = format!("`server`: `{named}` is no name of a host; the port has a key of its own, `port`");
            self.fault(&host.span(), what);
        }
        let security = match raw.security.as_ref().map(|written| (written.span(), written.get_ref().as_str())) {
            None | Some((_, "tls")) => Security::Tls,
            Some((_, "starttls")) => Security::Starttls,
            Some((_, "none")) => Security::None,
            Some((span, other)) => {
                let what = format!("`security`: `{other}` is none, \"tls\", \"starttls\" or \"none\" would be");
                self.fault(&span, what);
                return None;
            }
        };
        let usual = match security {
            Security::Tls => 465,
            Security::Starttls => 587,
            Security::None => 25,
        };
        let port = self.number("port", &raw.port, 1, 65_535).unwrap_or(usual);
        let ca_pem = raw.ca_file.as_ref().map(|file| self.certificates(file));
        let login = self.login(raw).ok()?;
        if let (Some(_), Security::None, Some(user)) = (&login, security, &raw.user) {
            let what = "`user`: a login is never sent without TLS; `security` \"tls\" or \"starttls\" would be right";
            self.fault(&user.span(), what.to_owned());
        }
        if let (Some(file), Security::None) = (&raw.ca_file, security) {
            self.fault(
                &file.span(),
                "`ca_file` stands beside `security = \"none\"`: nobody shows a certificate".into(),
            );
        }
        let ca_pem = ca_pem.transpose().ok()?;
        Some(Taker::Server { host: named.clone(), port, security, ca_pem, login })
    }

    fn certificates(&mut self, file: &Spanned<String>) -> Result<String, ()> {
        let path = super::beside(self.source.dir, file.get_ref());
        let text = match std::fs::metadata(&path) {
            Ok(found) if found.len() > CA_BYTES_MAX => Err(format!("it has more than {CA_BYTES_MAX} bytes")),
            _ => std::fs::read_to_string(&path).map_err(|error| error.to_string()),
        };
        let text = text.and_then(|text| match text.contains("-----BEGIN CERTIFICATE-----") {
            true => Ok(text),
            false => Err("there is no `BEGIN CERTIFICATE` in it".to_owned()),
        });
        text.map_err(|error| {
            self.fault(&file.span(), format!("`ca_file`: cannot take `{}`: {error}", path.display()));
        })
    }

    fn login(&mut self, raw: &RawMail) -> Result<Option<Login>, ()> {
        let secret = self.secret("secret", [&raw.secret, &raw.secret_file, &raw.secret_env])?;
        let client_secret =
            self.secret("client_secret", [&raw.client_secret, &raw.client_secret_file, &raw.client_secret_env])?;
        let hidden = |secret: Secret| Zeroizing::new(secret.expose().to_owned());
        let Some(user) = &raw.user else {
            let alone = [&raw.secret, &raw.secret_file, &raw.secret_env, &raw.token_url, &raw.client_id];
            if let Some(alone) = alone.into_iter().flatten().next() {
                self.fault(&alone.span(), "`user` is missing: nobody can log in without a name".to_owned());
            }
            return Ok(None);
        };
        let name = user.get_ref().clone();
        match (secret, &raw.token_url) {
            (Some(secret), None) => Ok(Some(Login::Password { user: name, secret: hidden(secret) })),
            (None, Some(url)) => {
                let text = url.get_ref();
                if !(text.starts_with("https://") || text.starts_with("http://") && is_loopback(text)) {
                    self.fault(&url.span(), format!("`token_url`: `{text}` does not begin with `https://`"));
                }
                let (Some(client_id), Some(client_secret)) = (&raw.client_id, client_secret) else {
                    let what = "`token_url` stands without `client_id` and `client_secret`";
                    self.fault(&url.span(), what.to_owned());
                    return Err(());
                };
                Ok(Some(Login::Token {
                    user: name,
                    url: text.clone(),
                    client_id: client_id.get_ref().clone(),
                    client_secret: hidden(client_secret),
                    scope: raw.scope.as_ref().map_or(SCOPE_DEFAULT, |scope| scope.get_ref()).to_owned(),
                }))
            }
            (None, None) => {
                let what = "`user` stands without a `secret`, and without a `token_url` to fetch one from";
                self.fault(&user.span(), what.to_owned());
                Err(())
            }
            (Some(_), Some(url)) => {
                self.fault(&url.span(), "one of `secret` and `token_url` would be right, not two".to_owned());
                Err(())
            }
        }
    }

    fn command(&mut self, words: &Spanned<Vec<String>>, raw: &RawMail) -> Option<Taker> {
        let list = words.get_ref();
        if list.first().is_none_or(String::is_empty) {
            let what =
                "`command`: the program and its arguments would be right, `[\"/usr/sbin/sendmail\", \"-t\", \"-i\"]`";
            self.fault(&words.span(), what.to_owned());
            return None;
        }
        let of_servers = [
            ("port", raw.port.as_ref().map(Spanned::span)),
            ("security", raw.security.as_ref().map(Spanned::span)),
            ("ca_file", raw.ca_file.as_ref().map(Spanned::span)),
            ("user", raw.user.as_ref().map(Spanned::span)),
        ];
        for (key, span) in of_servers {
            if let Some(span) = span {
                self.fault(&span, format!("`{key}` stands beside `command`: only a `server` has one"));
            }
        }
        Some(Taker::Command(list.clone()))
    }
}
