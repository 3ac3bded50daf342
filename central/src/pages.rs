//! What people see. Every page is made on the server, works without scripts, and loads nothing from elsewhere.
//!
//! Each page is a pure function from store rows to a template, with a thin handler that asks the store.

mod chart;
mod device;
mod fleet;
mod login;
mod site;
mod sites;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};

pub use device::page as device;
pub use fleet::page as fleet;
pub use login::{attempt as log_in, form as log_in_form, log_out};
pub use site::{page as site, take_note};
pub use sites::page as sites;
pub use words::encoded;

use crate::error::Failure;
use crate::router::App;
use crate::{auth, clock};

/// What every page behind the log-in carries.
#[derive(Clone, Debug)]
struct Frame {
    /// Who is logged in.
    person: String,
    /// For the form that logs out.
    form_token: String,
    /// Which entry of the navigation this page belongs to.
    here: &'static str,
}

/// A page without a log-in that says one thing.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'m> {
    title: &'m str,
    text: &'m str,
}

/// Renders what went wrong for a person.
pub fn message(status: StatusCode, title: &str, text: &str) -> Response {
    match (Message { title, text }).render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => (status, text.to_owned()).into_response(),
    }
}

/// The frame for the person of this request, or the way to the log-in page.
async fn frame(app: &App, headers: &HeaderMap, here: &'static str, path: &str) -> Result<Frame, Failure> {
    let cookie = auth::cookie(headers, auth::session_cookie(app.config.is_https()));
    match auth::person(&app.store, cookie, clock::now()).await? {
        Some(person) => Ok(Frame { person, form_token: auth::form_token(cookie.unwrap_or_default()), here }),
        None => Err(Failure::LogIn { next: path.to_owned() }),
    }
}

fn render(page: &impl Template) -> Result<Response, Failure> {
    let html = page.render().map_err(|error| Failure::Inside(error.to_string()))?;
    Ok((StatusCode::OK, [(CACHE_CONTROL, "no-store")], Html(html)).into_response())
}

/// 303: the browser goes on with GET.
fn go_to(place: &str, cookies: Vec<String>) -> Response {
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response();
    for cookie in cookies {
        if let Ok(value) = cookie.parse() {
            response.headers_mut().append(axum::http::header::SET_COOKIE, value);
        }
    }
    response
}

/// The one style sheet.
pub async fn style() -> Response {
    fixed("text/css; charset=utf-8", include_str!("../static/style.css"))
}

/// The icon.
pub async fn icon() -> Response {
    fixed("image/svg+xml", include_str!("../static/icon.svg"))
}

fn fixed(kind: &'static str, content: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=3600")], content).into_response()
}

/// Whether this central runs and can read its store; nothing else, for anybody.
pub async fn health(State(app): State<Arc<App>>) -> Response {
    match app.store.ping().await {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(error) => {
            tracing::error!(?error, "the store cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read\n").into_response()
        }
    }
}
