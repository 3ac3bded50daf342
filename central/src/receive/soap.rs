//! The SOAP endpoint: headers, then the body, then [`accept`]. Who does not authenticate gets a bare 401, and not a byte of
//! the body is looked at before that.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use meterpost_wire::soap::{self, CentralFault, Fault, FaultCode};

use super::Peer;
use crate::accept::{self, Named};
use crate::clock;
use crate::error;
use crate::router::{App, SITE_BODIES_MAX};
use crate::store::SiteKeys;

/// A body that has not arrived by then is given up with 408.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A request waits so long for a place for its body, then it is told to come back.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

/// Told to those who come too often or when there is no room for their body.
const COME_BACK_SECONDS: u32 = 30;

/// GET /soap/v1?wsdl, with or without the query: the description of the service at its configured address.
pub async fn description(State(app): State<Arc<App>>) -> Response {
    let address = format!("{}{}", app.config.base_url(), soap::PATH);
    ([(CONTENT_TYPE, soap::CONTENT_TYPE)], soap::wsdl(&address)).into_response()
}

/// POST /soap/v1
pub async fn soap(State(app): State<Arc<App>>, peer: Peer, request: Request) -> Response {
    let asked_at = clock::now();
    if !app.addresses.admit(peer.network(), asked_at) {
        return too_many();
    }
    let keys = match super::site(&app.store, request.headers(), asked_at).await {
        Ok(Some(keys)) => keys,
        // Only those who do not authenticate: a good site may share its address with them.
        Ok(None) => {
            if !app.strangers.admit(peer.network(), asked_at) {
                return too_many();
            }
            tracing::warn!(peer = %peer.0, "a submission did not authenticate");
            return unauthorized();
        }
        Err(failure) => return fault(&error::storage_fault(&failure.to_string())),
    };
    if !app.sites.admit(keys.id.clone(), asked_at) {
        tracing::warn!(site = %keys.id, "a site comes too often");
        return too_many();
    }
    if is_encoded(request.headers()) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body as it is, without Content-Encoding\n")
            .into_response();
    }
    // Who waits has sent no body yet, and takes no memory but that of a connection.
    let place = app.bodies.wait(keys.id.clone(), SITE_BODIES_MAX);
    let Ok(_place) = tokio::time::timeout(PLACE_TIMEOUT, place).await else {
        let retry_after_seconds = Some(COME_BACK_SECONDS);
        return fault(&Fault::Central(CentralFault { code: FaultCode::Busy, retry_after_seconds, refusal: None }));
    };
    let body = match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &app)).await {
        Ok(Ok(body)) => body,
        // 413 when it is over the limit.
        Ok(Err(rejection)) => return rejection.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    // A body may take half a minute to arrive, and the site measures its clock by what is answered.
    match answer(&app, &keys, body, clock::now()).await {
        Ok(xml) => xml_response(StatusCode::OK, xml),
        Err(refused) => fault(&refused),
    }
}

/// Batches are deflated inside, and nothing else needs to be (`standards.md` 3.3).
fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

async fn answer(app: &App, keys: &SiteKeys, body: Bytes, now: Timestamp) -> Result<String, Fault> {
    let _permit = app.opened.acquire().await.map_err(|error| error::storage_fault(&error.to_string()))?;
    // 1.5 MiB of hostile XML is milliseconds, and none of them on the thread that serves.
    let request = tokio::task::spawn_blocking(move || soap::parse_request(&body))
        .await
        .map_err(|error| error::storage_fault(&error.to_string()))?
        .inspect_err(|fault| tracing::warn!(site = %keys.id, ?fault, "a request was not understood"))?;
    let batch = match request {
        soap::Request::SubmitBatch(batch) => batch,
        soap::Request::FetchSettings(_) => return Err(FaultCode::NotAvailable.into()),
    };
    let named = Named { site: batch.site_id, batch_id: batch.batch_id, sequence: batch.sequence };
    let (batch_id, sequence) = (named.batch_id.clone(), named.sequence);
    let accepted = accept::accept(&app.store, keys, named, batch.envelope, now)
        .await
        .map_err(|refused| error::submission_fault(refused, &keys.id, sequence))?;
    tracing::info!(site = %keys.id, sequence, disposition = accepted.disposition.as_str(), "batch");
    Ok(soap::submit_batch_response(
        accepted.disposition,
        &batch_id,
        accepted.progress.acknowledged_through,
        now,
        &accepted.receipt,
    ))
}

fn unauthorized() -> Response {
    let mut headers = HeaderMap::new();
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"meterpost\""));
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"meterpost\""));
    (StatusCode::UNAUTHORIZED, headers).into_response()
}

fn too_many() -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, HeaderValue::from(COME_BACK_SECONDS))]).into_response()
}

/// SOAP 1.1 sends every fault with 500; clients look for it there.
fn fault(fault: &Fault) -> Response {
    let mut response = xml_response(StatusCode::INTERNAL_SERVER_ERROR, fault.to_xml());
    if let Fault::Central(CentralFault { retry_after_seconds: Some(seconds), .. }) = fault {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(*seconds));
    }
    response
}

fn xml_response(status: StatusCode, xml: String) -> Response {
    (status, [(CONTENT_TYPE, soap::CONTENT_TYPE)], xml).into_response()
}
