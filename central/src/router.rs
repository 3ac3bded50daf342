//! Which address leads where, and what every answer carries.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::routing::{get, post};
use meterpost_wire::keys::SiteId;
use meterpost_wire::soap;
use tokio::sync::Semaphore;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

use crate::config::Config;
use crate::error::Failure;
use crate::gate::{Limiter, Shares};
use crate::store::Store;
use crate::{packs, pages, receive};

/// A request that takes longer, its body included, is given up with 408.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a form; more is refused with 413. Batches have a limit of their own.
const FORM_BYTES_MAX: usize = 16 << 10;

/// Batches whose bodies are in memory at one time, 1.5 MiB each at most; the next waits a little, and is told to come back.
const BODIES_MAX: usize = 64;

/// Of these, bodies of one site: a site whose bodies trickle in holds up itself alone.
pub const SITE_BODIES_MAX: usize = 4;

/// Batches opened and stored at one time: 8 MiB of XML each at most, and several times that once parsed. Others wait.
const OPENED_MAX: usize = 4;

/// What all handlers share.
pub struct App {
    /// The store.
    pub store: Store,
    /// As meant.
    pub config: Config,
    /// Requests at the SOAP endpoint, by network: many sites may share one.
    pub addresses: Limiter<IpAddr>,
    /// Requests at the SOAP endpoint that did not authenticate, by network.
    pub strangers: Limiter<IpAddr>,
    /// Batches, by site: a backlog of 10,000 goes through, a loop does not.
    pub sites: Limiter<SiteId>,
    /// Attempts to log in, by network.
    pub log_ins: Limiter<IpAddr>,
    /// Wrong passwords, by name and network: somebody elsewhere who knows the right one is let in.
    pub guesses: Limiter<(String, IpAddr)>,
    /// A place for each body in memory, with a share for each site.
    pub bodies: Arc<Shares<SiteId>>,
    /// A permit for each batch that is opened.
    pub opened: Semaphore,
    /// Packs of mapping files.
    pub packs: packs::Shelf,
}

impl App {
    /// With full buckets.
    pub fn new(store: Store, config: Config) -> Self {
        Self {
            store,
            packs: packs::Shelf::of(&config.data_dir),
            config,
            addresses: Limiter::new(2_000, 200.0),
            strangers: Limiter::new(30, 0.5),
            sites: Limiter::new(2_000, 100.0),
            log_ins: Limiter::new(20, 0.2),
            guesses: Limiter::new(10, 10.0 / 900.0),
            bodies: Shares::new(BODIES_MAX),
            opened: Semaphore::new(OPENED_MAX),
        }
    }
}

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let always = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    let policy = "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'; object-src 'none'";
    let router = Router::new()
        .route("/", get(pages::fleet))
        .route("/devices/{id}", get(pages::device))
        .route("/sites", get(pages::sites))
        .route("/sites/{id}", get(pages::site).post(pages::take_note))
        .route("/login", get(pages::log_in_form).post(pages::log_in))
        .route("/logout", post(pages::log_out))
        .route("/static/style.css", get(pages::style))
        .route("/static/icon.svg", get(pages::icon))
        .route("/healthz", get(pages::health))
        .route("/packs/{name}", get(packs::pack))
        .route(
            soap::PATH,
            get(receive::description).post(receive::soap).layer(DefaultBodyLimit::max(soap::REQUEST_MAX)),
        )
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async || Failure::Method)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(always(CONTENT_SECURITY_POLICY, policy))
        .layer(always(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(always(X_FRAME_OPTIONS, "DENY"))
        .layer(always(REFERRER_POLICY, "same-origin"));
    let router = if app.config.is_https() {
        router.layer(always(STRICT_TRANSPORT_SECURITY, "max-age=31536000"))
    } else {
        router
    };
    router.with_state(app)
}
