//! People: passwords, sessions and the tokens of forms. Sites authenticate in [`crate::receive`].
//!
//! A session is 32 random bytes in a cookie, of which the store keeps the SHA-256; it ends after 12 idle hours or 7 days.
//! Nobody can lock somebody else's account: guessing is slowed down by name and network. A wrong name costs the same work
//! and gets the same words as a wrong password. Each form carries a value that only somebody who can read the cookie can
//! make.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::clock;
use crate::config::Secret;
use crate::store::{Store, StoreError};

/// The name of the one account that the first start makes.
pub const ADMINISTRATOR: &str = "admin";

/// Fewer characters are refused as a password.
pub const PASSWORD_MIN: usize = 10;

/// More bytes are refused as a password: hashing them would cost us, not the one who asks.
pub const PASSWORD_MAX: usize = 1_024;

/// The cookie of a session. Over HTTPS its prefix makes browsers refuse one that another host, or plain HTTP, has set.
pub const fn session_cookie(https: bool) -> &'static str {
    if https { "__Host-meterpost_session" } else { "meterpost_session" }
}

/// The cookie that the form of the log-in page is tied to, before there is a session.
pub const fn form_cookie(https: bool) -> &'static str {
    if https { "__Host-meterpost_form" } else { "meterpost_form" }
}

/// Hashed when there is no such person, so that a wrong name takes as long as a wrong password. Nobody knows a password
/// for it.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bWV0ZXJwb3N0LW5vYm9keQ$5m0qHcRrL3Wc0g3m0oXo3m2Q4h2c8kqkq0b5m0b1J8E";

/// A password that cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {PASSWORD_MIN} characters or more and at most {PASSWORD_MAX} bytes")]
    Length,
    /// The store or the hash failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// How an attempt to log in ended.
#[derive(Debug)]
pub enum Attempt {
    /// The cookie's value of a new session.
    In(Secret),
    /// Wrong name or password.
    Wrong,
    /// Too many others are logging in: nothing was looked at.
    TooMany,
}

/// Sets a person's password, and makes the person where there is none.
pub async fn set_password(store: &Store, name: &str, password: &Secret) -> Result<(), PasswordError> {
    Ok(store.set_password(name.to_owned(), hash_of(password).await?).await?)
}

/// Makes the first person of all. False: somebody is there already, and nothing has changed.
pub async fn make_first(store: &Store, name: &str, password: &Secret) -> Result<bool, PasswordError> {
    Ok(store.add_first_person(name.to_owned(), hash_of(password).await?).await?)
}

async fn hash_of(password: &Secret) -> Result<String, PasswordError> {
    if password.expose().chars().count() < PASSWORD_MIN || password.expose().len() > PASSWORD_MAX {
        return Err(PasswordError::Length);
    }
    let password = password.clone();
    let hash = hashing(move || {
        let hash: Result<PasswordHash, _> =
            Argon2::default().hash_password_with_salt(password.expose().as_bytes(), &clock::random_bytes::<16>());
        hash.map(|hash| hash.to_string()).map_err(|error| StoreError::Broken(error.to_string()))
    })
    .await?;
    Ok(hash)
}

/// A password for people to type once: 20 characters of 32, 100 bits.
pub fn invent_password() -> Secret {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letters: Vec<char> =
        clock::random_bytes::<20>().iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    Secret::new(letters.chunks(5).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

/// Checks name and password and begins a session.
pub async fn log_in(store: &Store, name: &str, password: &Secret, now: Timestamp) -> Result<Attempt, StoreError> {
    let Ok(_attempt) = ATTEMPTS.try_acquire() else { return Ok(Attempt::TooMany) };
    let password_hash = store.password_hash(name.to_owned()).await?;
    let known = password_hash.is_some() && password.expose().len() <= PASSWORD_MAX;
    let hash = password_hash.filter(|_| known).unwrap_or_else(|| NOBODY.to_owned());
    let given = if known { password.clone() } else { Secret::new(String::new()) };
    let right = hashing(move || {
        let hash = PasswordHash::new(&hash).map_err(|error| StoreError::Broken(error.to_string()))?;
        Ok(Argon2::default().verify_password(given.expose().as_bytes(), &hash).is_ok())
    })
    .await?;
    if !(known && right) {
        return Ok(Attempt::Wrong);
    }
    let cookie = random_value();
    store.begin_session(digest(&cookie), name.to_owned(), now).await?;
    Ok(Attempt::In(Secret::new(cookie)))
}

/// Passwords hashed at one time, 19 MiB each.
const HASHING_MAX: usize = 4;

/// Passwords that are hashed or wait for their turn, tens of milliseconds each; the next attempt is told to come back.
const ATTEMPTS_MAX: usize = 32;

static HASHING: Semaphore = Semaphore::const_new(HASHING_MAX);
static ATTEMPTS: Semaphore = Semaphore::const_new(ATTEMPTS_MAX);

/// Argon2 takes 19 MiB and tens of milliseconds: never on the threads that serve, and never for everybody at once.
async fn hashing<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let permit = HASHING.acquire().await.map_err(|error| StoreError::Broken(error.to_string()))?;
    // The work goes on when the one who asked has left: it keeps its permit.
    let work = move || {
        let _permit = permit;
        work()
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(StoreError::Broken(error.to_string())))
}

/// The person of the session that this cookie names.
pub async fn person(store: &Store, cookie: Option<&str>, now: Timestamp) -> Result<Option<String>, StoreError> {
    match cookie {
        Some(value) => store.session(digest(value), now).await,
        None => Ok(None),
    }
}

/// 32 random bytes for a cookie.
pub fn random_value() -> String {
    URL_SAFE_NO_PAD.encode(clock::random_bytes::<32>())
}

/// What the store keeps of a cookie.
pub fn digest(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie.as_bytes()).into()
}

/// The value that a form carries beside this cookie. It tells nothing about the cookie.
pub fn form_token(cookie: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("meterpost form\n{cookie}")))
}

/// Whether a form's value belongs to the request's cookie of this name.
pub fn form_is_ours(headers: &HeaderMap, cookie_name: &str, token: &str) -> bool {
    cookie(headers, cookie_name).is_some_and(|value| form_token(value).as_bytes().ct_eq(token.as_bytes()).into())
}

/// A cookie of the request.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// A `Set-Cookie` value; with `seconds` 0 the browser forgets it.
pub fn set_cookie(name: &str, value: &str, seconds: u32, https: bool) -> String {
    let secure = if https { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with_cookie(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(text))])
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers = with_cookie("a=1; meterpost_session=xyz; b=2");
        assert_eq!(cookie(&headers, session_cookie(false)), Some("xyz"));
        assert_eq!(cookie(&headers, session_cookie(true)), None, "set over plain HTTP, it is none over HTTPS");
        assert_eq!(cookie(&headers, "c"), None);
    }

    #[test]
    fn a_form_belongs_to_one_cookie() {
        let headers = with_cookie("meterpost_session=xyz");
        assert!(form_is_ours(&headers, session_cookie(false), &form_token("xyz")));
        assert!(!form_is_ours(&headers, session_cookie(false), &form_token("xyy")));
        assert!(!form_is_ours(&headers, session_cookie(false), ""));
        assert!(!form_is_ours(&HeaderMap::new(), session_cookie(false), &form_token("")));
    }

    #[test]
    fn cookies_are_out_of_reach_of_scripts_and_of_plain_http_behind_https() {
        assert_eq!(set_cookie("n", "v", 60, true), "n=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(set_cookie("n", "v", 0, false), "n=v; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn invented_passwords_are_long_and_differ() {
        let (one, other) = (invent_password(), invent_password());
        assert_eq!(one.expose().len(), 23);
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn no_more_passwords_are_hashed_at_one_time_than_there_is_memory_for() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::sync::{Arc, Barrier};

        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Each waits for as many as may run together: were fewer let in, this would never end.
        let together = Arc::new(Barrier::new(HASHING_MAX));
        runtime.block_on(async {
            let all: Vec<_> = (0..HASHING_MAX * 5)
                .map(|_| {
                    let (running, most, together) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&together));
                    tokio::spawn(hashing(move || {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        together.wait();
                        running.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    }))
                })
                .collect();
            for one in all {
                one.await.expect("it ends").expect("it is done");
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), HASHING_MAX);
    }

    #[test]
    fn the_hash_of_nobody_is_a_hash() {
        let hash = PasswordHash::new(NOBODY).expect("a PHC string");
        assert!(Argon2::default().verify_password(b"", &hash).is_err());
    }
}
