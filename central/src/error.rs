//! The one place that turns what went wrong into a status, a short text outside and a full line in the log.

use axum::extract::rejection::FormRejection;
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use meterpost_wire::keys::SiteId;
use meterpost_wire::soap::{CentralFault, Fault, FaultCode};

use crate::accept::Refused;
use crate::pages;
use crate::store::StoreError;

/// Why a page is not shown.
#[derive(Debug)]
pub enum Failure {
    /// Nobody is logged in; afterwards the browser goes on to `next`.
    LogIn {
        /// A path on this server.
        next: String,
    },
    /// There is no such page or device.
    NotFound,
    /// A form that this server did not make for this session.
    Form,
    /// A form that is none, or too long.
    NoForm(StatusCode),
    /// Another method than this address takes.
    Method,
    /// What is stored of this device does not open.
    Damaged,
    /// This address asks too often, or too many ask at once.
    TooMany,
    /// The store cannot do it.
    Store(StoreError),
    /// A fault of this program.
    Inside(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FormRejection> for Failure {
    fn from(rejection: FormRejection) -> Self {
        Self::NoForm(rejection.status())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::LogIn { next } => {
                let place = format!("/login?next={}", pages::encoded(&next).replace("%2F", "/"));
                let place = HeaderValue::from_str(&place).unwrap_or(HeaderValue::from_static("/login"));
                (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response()
            }
            Self::NotFound => pages::message(StatusCode::NOT_FOUND, "Not found", "There is nothing at this address."),
            Self::Form => pages::message(
                StatusCode::FORBIDDEN,
                "Not done",
                "This form was not made for your session. Please load the page again.",
            ),
            Self::NoForm(status) => {
                let text = "What was sent is no form of this central. Please load the page again.";
                pages::message(status, "Not done", text)
            }
            Self::Method => {
                let text = "This address takes no such request.";
                pages::message(StatusCode::METHOD_NOT_ALLOWED, "Not done", text)
            }
            Self::Damaged => {
                let text = "What is stored of this device is damaged. The batches that it came from are kept: \
                            `meterpost-central check --rederive` makes it again from them.";
                pages::message(StatusCode::INTERNAL_SERVER_ERROR, "Something is wrong", text)
            }
            Self::TooMany => {
                let text = "Too many attempts. Please wait a minute.";
                let mut response = pages::message(StatusCode::TOO_MANY_REQUESTS, "Please wait", text);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
                response
            }
            Self::Store(error @ StoreError::Later(_)) => {
                tracing::error!(?error, "a page was not shown");
                let text = "The store cannot be used now. Please try again in a minute.";
                pages::message(StatusCode::SERVICE_UNAVAILABLE, "Please wait", text)
            }
            Self::Store(error) => {
                tracing::error!(?error, "a page was not shown");
                inside()
            }
            Self::Inside(error) => {
                tracing::error!(error, "a page was not shown");
                inside()
            }
        }
    }
}

fn inside() -> Response {
    let text = "This page cannot be shown. The log of the central says why.";
    pages::message(StatusCode::INTERNAL_SERVER_ERROR, "Something is wrong", text)
}

/// Told to a site whose batch cannot be stored now.
const STORAGE_RETRY_SECONDS: u32 = 60;

/// What a site is told about a batch that was not stored; the log is told why.
pub fn submission_fault(refused: Refused, site: &SiteId, sequence: u64) -> Fault {
    match refused {
        Refused::ForGood { code, refusal, inside } => {
            tracing::warn!(%site, sequence, code = code.as_str(), inside, "a batch was refused");
            Fault::Central(CentralFault { code: FaultCode::Refused(code), retry_after_seconds: None, refusal })
        }
        Refused::UnknownKey(epoch) => {
            tracing::warn!(%site, sequence, epoch, "a batch names an unknown key");
            FaultCode::UnknownKey.into()
        }
        Refused::Storage(inside) => storage_fault(&inside),
    }
}

/// Nothing can be stored now: the site keeps its batch and comes back.
pub fn storage_fault(inside: &str) -> Fault {
    tracing::error!(inside, "a batch could not be stored");
    let retry_after_seconds = Some(STORAGE_RETRY_SECONDS);
    Fault::Central(CentralFault { code: FaultCode::Storage, retry_after_seconds, refusal: None })
}
