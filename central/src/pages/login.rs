//! Logging in and out.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use serde::Deserialize;

use super::{go_to, render, words};
use crate::auth::{self, Attempt, FORM_COOKIE, SESSION_COOKIE};
use crate::clock;
use crate::config::Secret;
use crate::error::Failure;
use crate::receive::Peer;
use crate::router::App;

/// A cookie of the log-in form lives an hour.
const FORM_SECONDS: u32 = 3_600;

/// The browser keeps the session's cookie as long as the store keeps the session at most.
const SESSION_SECONDS: u32 = 7 * 86_400;

#[derive(Template)]
#[template(path = "login.html")]
struct LogInPage {
    message: Option<String>,
    form_token: String,
    next: String,
    name: String,
}

/// Where to go afterwards.
#[derive(Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct LogInForm {
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
    name: String,
    password: String,
}

/// What the button in the bar sends.
#[derive(Deserialize)]
pub struct LogOutForm {
    #[serde(default)]
    token: String,
}

/// GET /login
pub async fn form(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(next): Query<Next>,
) -> Result<Response, Failure> {
    log_in_page(&app, &headers, None, next.next, String::new())
}

/// POST /login
pub async fn attempt(
    State(app): State<Arc<App>>,
    peer: Peer,
    headers: HeaderMap,
    Form(form): Form<LogInForm>,
) -> Result<Response, Failure> {
    let now = clock::now();
    if !auth::form_is_ours(&headers, FORM_COOKIE, &form.token) {
        let message = "This page was open for too long. Please try again.".to_owned();
        return log_in_page(&app, &headers, Some(message), form.next, form.name);
    }
    if !app.log_ins.admit(peer.0, now) {
        return Err(Failure::TooMany);
    }
    let message = match auth::log_in(&app.store, &form.name, &Secret::new(form.password), now).await? {
        Attempt::In(cookie) => {
            tracing::info!(name = ?form.name, peer = %peer.0, "logged in");
            let https = app.config.is_https();
            let cookies = vec![
                auth::set_cookie(SESSION_COOKIE, cookie.expose(), SESSION_SECONDS, https),
                auth::set_cookie(FORM_COOKIE, "", 0, https),
            ];
            return Ok(go_to(own_path(&form.next), cookies));
        }
        Attempt::Wrong => "Name or password is wrong.".to_owned(),
        Attempt::TooMany => return Err(Failure::TooMany),
        Attempt::Locked(until) => {
            format!("Too many wrong passwords: this account is locked until {}.", words::local(until))
        }
    };
    tracing::warn!(name = ?form.name, peer = %peer.0, "log-in refused");
    log_in_page(&app, &headers, Some(message), form.next, form.name)
}

/// POST /logout
pub async fn log_out(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(form): Form<LogOutForm>,
) -> Result<Response, Failure> {
    if !auth::form_is_ours(&headers, SESSION_COOKIE, &form.token) {
        return Err(Failure::Form);
    }
    if let Some(cookie) = auth::cookie(&headers, SESSION_COOKIE) {
        app.store.end_session(auth::digest(cookie)).await?;
    }
    Ok(go_to("/login", vec![auth::set_cookie(SESSION_COOKIE, "", 0, app.config.is_https())]))
}

fn log_in_page(
    app: &App,
    headers: &HeaderMap,
    message: Option<String>,
    next: String,
    name: String,
) -> Result<Response, Failure> {
    let cookie = auth::cookie(headers, FORM_COOKIE).map_or_else(auth::random_value, str::to_owned);
    let page = LogInPage { message, form_token: auth::form_token(&cookie), next: own_path(&next).to_owned(), name };
    let mut response = render(&page)?;
    if let Ok(value) = auth::set_cookie(FORM_COOKIE, &cookie, FORM_SECONDS, app.config.is_https()).parse() {
        response.headers_mut().append(SET_COOKIE, value);
    }
    Ok(response)
}

/// A path on this server and nothing else: `//elsewhere` and whole URLs lead home.
fn own_path(path: &str) -> &str {
    let inside = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if inside { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_log_in_nobody_is_sent_elsewhere() {
        for (given, expected) in [
            ("/sites?x=1", "/sites?x=1"),
            ("", "/"),
            ("//elsewhere.example", "/"),
            ("/\\elsewhere.example", "/"),
            ("https://elsewhere.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
        ] {
            assert_eq!(own_path(given), expected);
        }
    }
}
