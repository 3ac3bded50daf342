//! Logging in and out.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use serde::Deserialize;

use super::{go_to, render};
use crate::auth::{self, Attempt};
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

/// Letters of a name that guesses are counted by.
const NAME_MAX: usize = 64;

/// Where to go afterwards.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Next {
    next: String,
}

/// What the form sends; what is missing is empty, and wrong.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct LogInForm {
    token: String,
    next: String,
    name: String,
    password: String,
}

/// What the button in the bar sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct LogOutForm {
    token: String,
}

/// GET /login
pub async fn form(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    next: Result<Query<Next>, QueryRejection>,
) -> Result<Response, Failure> {
    // Whatever else the query says, the form is shown.
    let Query(next) = next.unwrap_or_default();
    log_in_page(&app, &headers, None, next.next, String::new())
}

/// POST /login
pub async fn attempt(
    State(app): State<Arc<App>>,
    peer: Peer,
    headers: HeaderMap,
    form: Result<Form<LogInForm>, FormRejection>,
) -> Result<Response, Failure> {
    let now = clock::now();
    let Form(form) = form?;
    let https = app.config.is_https();
    if !auth::form_is_ours(&headers, auth::form_cookie(https), &form.token) {
        let message = "This page was open for too long. Please try again.".to_owned();
        return log_in_page(&app, &headers, Some(message), form.next, form.name);
    }
    let guess = (form.name.chars().take(NAME_MAX).collect(), peer.network());
    if !app.log_ins.admit(peer.network(), now) || !app.guesses.admit(guess, now) {
        tracing::warn!(name = ?form.name, peer = %peer.0, "too many attempts to log in");
        return Err(Failure::TooMany);
    }
    match auth::log_in(&app.store, &form.name, &Secret::new(form.password), now).await? {
        Attempt::In(cookie) => {
            tracing::info!(name = ?form.name, peer = %peer.0, "logged in");
            if let Some(replaced) = auth::cookie(&headers, auth::session_cookie(https)) {
                app.store.end_session(auth::digest(replaced)).await?;
            }
            let cookies = vec![
                auth::set_cookie(auth::session_cookie(https), cookie.expose(), SESSION_SECONDS, https),
                auth::set_cookie(auth::form_cookie(https), "", 0, https),
            ];
            Ok(go_to(own_path(&form.next), cookies))
        }
        Attempt::TooMany => Err(Failure::TooMany),
        Attempt::Wrong => {
            tracing::warn!(name = ?form.name, peer = %peer.0, "log-in refused");
            log_in_page(&app, &headers, Some("Name or password is wrong.".to_owned()), form.next, form.name)
        }
    }
}

/// POST /logout
pub async fn log_out(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    form: Result<Form<LogOutForm>, FormRejection>,
) -> Result<Response, Failure> {
    let https = app.config.is_https();
    if !auth::form_is_ours(&headers, auth::session_cookie(https), &form?.0.token) {
        return Err(Failure::Form);
    }
    if let Some(cookie) = auth::cookie(&headers, auth::session_cookie(https)) {
        app.store.end_session(auth::digest(cookie)).await?;
    }
    Ok(go_to("/login", vec![auth::set_cookie(auth::session_cookie(https), "", 0, https)]))
}

fn log_in_page(
    app: &App,
    headers: &HeaderMap,
    message: Option<String>,
    next: String,
    name: String,
) -> Result<Response, Failure> {
    let https = app.config.is_https();
    let form_cookie = auth::form_cookie(https);
    let cookie = auth::cookie(headers, form_cookie).map_or_else(auth::random_value, str::to_owned);
    let page = LogInPage { message, form_token: auth::form_token(&cookie), next: own_path(&next).to_owned(), name };
    let mut response = render(&page)?;
    if let Ok(value) = auth::set_cookie(form_cookie, &cookie, FORM_SECONDS, https).parse() {
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
