//! A connection to the mailbox's server: TLS, log in. The one place of the central that connects to anything, and never to a
//! site.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_imap::{Authenticator, Client, Session};
use axum::body::Body;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::ImapError;
use crate::config::{Imap, ImapTls, Login, Oauth};

/// A server that has not greeted, or a token that has not come by then, is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an answer with a token; Microsoft's are about 2 KiB.
const TOKEN_ANSWER_MAX: usize = 64 << 10;

/// TLS or not.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Wire for T {}

/// A session that has logged in.
pub type Mailbox = Session<Box<dyn Wire>>;

/// Connects and logs in.
pub async fn log_in(imap: &Imap) -> Result<Mailbox, ImapError> {
    let name = format!("{}:{}", imap.host, imap.port);
    let late = |_| ImapError::Connect(name.clone(), "no answer within 30 seconds".to_owned());
    let token = match &imap.login {
        Login::Password(_) => None,
        Login::Oauth(oauth) => Some(tokio::time::timeout(CONNECT_TIMEOUT, fetch_token(oauth)).await.map_err(late)??),
    };
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, greeted(imap)).await.map_err(late)?;
    let client = connected.map_err(|error| ImapError::Connect(name.clone(), error.to_string()))?;
    let entering = async {
        match (&imap.login, token) {
            (Login::Password(password), _) => client.login(&imap.user, password.expose()).await,
            (Login::Oauth(_), token) => {
                let token = token.unwrap_or_default();
                client.authenticate("XOAUTH2", Xoauth2 { user: &imap.user, token, asked: false }).await
            }
        }
    };
    let entered = tokio::time::timeout(CONNECT_TIMEOUT, entering).await.map_err(late)?;
    // The server's own words may repeat what it was told.
    entered.map_err(|(error, _)| match error {
        async_imap::error::Error::No(_) => ImapError::LogIn(imap.user.clone()),
        other => ImapError::Connect(name.clone(), other.to_string()),
    })
}

async fn greeted(imap: &Imap) -> io::Result<Client<Box<dyn Wire>>> {
    let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ended the connection");
    let stream = TcpStream::connect((imap.host.as_str(), imap.port)).await?;
    match imap.tls {
        ImapTls::None | ImapTls::Implicit => {
            let stream: Box<dyn Wire> =
                if imap.tls == ImapTls::None { Box::new(stream) } else { Box::new(secured(imap, stream).await?) };
            let mut client = Client::new(stream);
            client.read_response().await?.ok_or_else(ended)?;
            Ok(client)
        }
        ImapTls::StartTls => {
            let mut client = Client::new(stream);
            client.read_response().await?.ok_or_else(ended)?;
            client.run_command_and_check_ok("STARTTLS", None).await.map_err(io::Error::other)?;
            // Nothing that was said before TLS is kept: the buffer ends with this client.
            let stream: Box<dyn Wire> = Box::new(secured(imap, client.into_inner()).await?);
            Ok(Client::new(stream))
        }
    }
}

async fn secured(imap: &Imap, stream: TcpStream) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    secure(stream, &imap.host, imap.ca.as_deref()).await
}

async fn secure(
    stream: TcpStream,
    host: &str,
    ca: Option<&std::path::Path>,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = match ca {
        None => builder.with_platform_verifier().map_err(io::Error::other)?.with_no_client_auth(),
        Some(file) => {
            let wrong = |error: &dyn fmt::Display| io::Error::other(format!("`{}`: {error}", file.display()));
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
                roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// What Google and Microsoft take for a log-in: user and token, parted by control characters.
struct Xoauth2<'x> {
    user: &'x str,
    token: Zeroizing<String>,
    asked: bool,
}

impl Authenticator for Xoauth2<'_> {
    type Response = String;

    fn process(&mut self, _: &[u8]) -> String {
        // A second question is the server's error, in JSON, and wants an empty answer.
        if std::mem::replace(&mut self.asked, true) {
            return String::new();
        }
        format!("user={}\x01auth=Bearer {}\x01\x01", self.user, *self.token)
    }
}

/// One POST with the program's own credentials (RFC 6749, section 4.4). Follows no redirect.
async fn fetch_token(oauth: &Oauth) -> Result<Zeroizing<String>, ImapError> {
    let failed = |why: String| ImapError::Token(oauth.token_url.clone(), why);
    let (scheme, rest) = oauth.token_url.split_once("://").ok_or_else(|| failed("it is no URL".to_owned()))?;
    let authority = rest.split('/').next().unwrap_or_default();
    let path = rest.strip_prefix(authority).filter(|path| !path.is_empty()).unwrap_or("/");
    let port = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, digits)) => (host, digits.parse().map_err(|_| failed(format!("`{digits}` is no port")))?),
        None => (authority, port),
    };
    let stream = TcpStream::connect((host, port)).await.map_err(|error| failed(error.to_string()))?;
    let stream: Box<dyn Wire> = if scheme == "https" {
        Box::new(secure(stream, host, None).await.map_err(|error| failed(error.to_string()))?)
    } else {
        Box::new(stream)
    };
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(error.to_string()))?;
    // It ends with the sender.
    tokio::spawn(connection);
    let secret = Zeroizing::new(format!(
        "grant_type=client_credentials&client_id={}&client_secret={}{}",
        encoded(&oauth.client_id),
        *Zeroizing::new(encoded(oauth.client_secret.expose())),
        oauth.scope.as_ref().map(|scope| format!("&scope={}", encoded(scope))).unwrap_or_default(),
    ));
    let request = hyper::Request::post(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(secret.as_bytes().to_vec()))
        .map_err(|error| failed(error.to_string()))?;
    let answer = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
    let status = answer.status();
    let body = axum::body::to_bytes(Body::new(answer.into_body()), TOKEN_ANSWER_MAX)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    match answer.get("access_token").and_then(serde_json::Value::as_str) {
        Some(token) if status.is_success() => Ok(Zeroizing::new(token.to_owned())),
        _ => {
            // `error` is a word of a list (RFC 6749, section 5.2); nothing else of the answer is repeated.
            let word = answer.get("error").and_then(serde_json::Value::as_str).unwrap_or("no token in the answer");
            let word: String =
                word.chars().filter(|letter| letter.is_ascii_graphic() || *letter == ' ').take(64).collect();
            Err(failed(format!("{status}: {word}")))
        }
    }
}

/// A value in a form.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
