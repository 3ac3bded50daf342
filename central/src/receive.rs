//! What comes in over the network from sites: who may, how much, and how often. Everything is decided before a body is
//! read, and nothing in here looks into an envelope.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use zeroize::Zeroizing;

mod soap;

pub use soap::{description, soap};

use crate::store::{SiteKeys, Store, StoreError};
use crate::{accept, gate};

/// Characters of an `Authorization` header that are looked at; a longer one is refused.
const AUTHORIZATION_MAX: usize = 512;

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub SocketAddr);

/// The address that a request came from. Behind a proxy on this machine it is the one that the proxy saw, the last of
/// `X-Forwarded-For`; from anywhere else that header is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// What limits count it for.
    pub fn network(self) -> IpAddr {
        gate::network(self.0)
    }

    fn of(remote: IpAddr, headers: &HeaderMap) -> Self {
        let forwarded = || {
            let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
            last.rsplit(',').next()?.trim().parse().ok()
        };
        Self(if remote.is_loopback() { forwarded().unwrap_or(remote) } else { remote })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let remote = Extension::<Remote>::from_request_parts(parts, state).await;
        let remote = remote.map_or(IpAddr::from([127, 0, 0, 1]), |Extension(Remote(address))| address.ip());
        Ok(Self::of(remote, &parts.headers))
    }
}

/// The site that a request's `Authorization` names: `Bearer <token>`, or `Basic` with the site's id as user and the token
/// as password, for clients that know nothing else.
pub async fn site(store: &Store, headers: &HeaderMap, now: Timestamp) -> Result<Option<SiteKeys>, StoreError> {
    let Some(shown) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(credentials) else {
        return Ok(None);
    };
    // The look-up is by hash: what is compared byte for byte is not what the stranger has written.
    let found = store.site_of_bearer(accept::digest(shown.token.as_bytes()), now).await?;
    Ok(found.filter(|keys| shown.site.as_ref().is_none_or(|site| site == keys.id.as_str())))
}

/// What an `Authorization` header shows.
struct Credentials {
    site: Option<String>,
    token: Zeroizing<String>,
}

fn credentials(header: &str) -> Option<Credentials> {
    let (scheme, value) = header.split_once(' ').filter(|_| header.len() <= AUTHORIZATION_MAX)?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credentials { site: None, token: Zeroizing::new(value.to_owned()) });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Zeroizing::new(String::from_utf8(STANDARD.decode(value).ok()?).ok()?);
    let (site, token) = pair.split_once(':')?;
    Some(Credentials { site: Some(site.to_ascii_lowercase()), token: Zeroizing::new(token.to_owned()) })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(header: &str, expected: Option<(Option<&str>, &str)>) {
        let found = credentials(header);
        let found = found.as_ref().map(|shown| (shown.site.as_deref(), shown.token.as_str()));
        assert_eq!(found, expected, "{header}");
    }

    #[test]
    fn bearer_and_basic_are_taken_in_any_case_of_letters() {
        check("Bearer abc", Some((None, "abc")));
        check("bearer  abc ", Some((None, "abc")));
        check("Basic NkY6YWJj", Some((Some("6f"), "abc")));
    }

    #[test]
    fn anything_else_shows_nothing() {
        for header in ["", "Bearer", "Digest abc", "Basic !", "Basic YWJj", &format!("Bearer {}", "x".repeat(600))] {
            check(header, None);
        }
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed_about_addresses() {
        let headers = HeaderMap::from_iter([(
            "x-forwarded-for".parse().expect("a name"),
            HeaderValue::from_static("1.2.3.4, 192.0.2.7"),
        )]);
        let (local, far) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 9]));
        assert_eq!(Peer::of(local, &headers).0, IpAddr::from([192, 0, 2, 7]));
        assert_eq!(Peer::of(far, &headers).0, far);
        assert_eq!(Peer::of(local, &HeaderMap::new()).0, local);
    }
}
