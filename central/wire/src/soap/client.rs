//! The site's side: two requests, and what comes back.

use crate::keys::SiteId;
use crate::xml::cursor::{Cursor, Element, Instructions, Malformed};
use crate::xml::out::Out;

use super::{ANSWER_MAX, CENTRAL, ENVELOPE_1_1, FaultCode, KNOWN};

/// The body of `SubmitBatch`.
pub fn submit_batch(site: &SiteId, batch_id: &str, sequence: u64, token: &str) -> String {
    request("SubmitBatch", |out| {
        out.value("siteId", Some(site));
        out.text("batchId", Some(batch_id), usize::MAX);
        out.value("sequence", Some(sequence));
        out.text("envelope", Some(token), usize::MAX);
    })
}

/// The body of `FetchSettings`.
pub fn fetch_settings(site: &SiteId, known_version: u64) -> String {
    request("FetchSettings", |out| {
        out.value("siteId", Some(site));
        out.value("knownVersion", Some(known_version));
    })
}

fn request(operation: &str, fields: impl FnOnce(&mut Out)) -> String {
    super::server::message(|out| out.element(operation, &[("xmlns", CENTRAL.into())], fields))
}

/// What an answer says. Whether it may be believed, its receipt or refusal alone tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To `SubmitBatch`: the receipt, not verified. The plain fields beside it are for other people's clients.
    Submitted {
        /// A compact JWS.
        receipt: String,
    },
    /// To `FetchSettings`.
    Settings {
        /// The version that the central has.
        version: u64,
        /// A settings token; absent = unchanged.
        envelope: Option<String>,
    },
    /// To either.
    Fault(AnswerFault),
}

/// A fault as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerFault {
    /// `None` when there is no code, or one of a later version.
    pub code: Option<FaultCode>,
    /// What the central says; without a detail, whether the fault is the server's.
    pub retryable: bool,
    /// Seconds to wait at least.
    pub retry_after_seconds: Option<u32>,
    /// A compact JWS, not verified.
    pub refusal: Option<String>,
}

/// Not an answer of a central: somebody else's page, perhaps. Nobody can tell what became of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer of a central: {0}")]
pub struct BadAnswer(String);

impl From<Malformed> for BadAnswer {
    fn from(malformed: Malformed) -> Self {
        Self(malformed.to_string())
    }
}

/// Reads an answer of either operation, whatever its HTTP status.
pub fn parse_answer(body: &[u8]) -> Result<Answer, BadAnswer> {
    if body.len() > ANSWER_MAX {
        return Err(BadAnswer(format!("{} bytes: 16384 is the limit", body.len())));
    }
    let text = str::from_utf8(body).map_err(|_| BadAnswer("not UTF-8".to_owned()))?;
    let mut cursor = Cursor::new(text, KNOWN, Instructions::Refused);
    if cursor.root()?.name_in(ENVELOPE_1_1) != Some("Envelope") {
        return Err(BadAnswer("not a SOAP 1.1 envelope".to_owned()));
    }
    let mut answer = None;
    while let Some(part) = cursor.child()? {
        if part.name_in(ENVELOPE_1_1) == Some("Body") && answer.is_none() {
            answer = body_content(&mut cursor)?;
        } else {
            cursor.skip()?;
        }
    }
    cursor.finish()?;
    answer.ok_or_else(|| BadAnswer("neither a response nor a fault".to_owned()))
}

/// The first child of `Body`; the rest is skipped.
fn body_content(cursor: &mut Cursor<'_>) -> Result<Option<Answer>, Malformed> {
    let mut answer = None;
    while let Some(child) = cursor.child()? {
        if answer.is_some() {
            cursor.skip()?;
        } else if child.name_in(ENVELOPE_1_1) == Some("Fault") {
            answer = Some(Some(Answer::Fault(fault(cursor)?)));
        } else {
            answer = Some(response(&child, cursor)?);
        }
    }
    Ok(answer.flatten())
}

fn response(element: &Element, cursor: &mut Cursor<'_>) -> Result<Option<Answer>, Malformed> {
    let (mut receipt, mut version, mut envelope) = (None, None, None);
    while let Some(child) = cursor.child()? {
        match child.name_in(CENTRAL) {
            Some("receipt") => receipt = receipt.or(Some(token(cursor)?)),
            Some("version") => version = version.or(token(cursor)?.parse().ok()),
            Some("envelope") => envelope = envelope.or(Some(token(cursor)?)),
            _ => cursor.skip()?,
        }
    }
    Ok(match element.name_in(CENTRAL) {
        Some("SubmitBatchResponse") => receipt.map(|receipt| Answer::Submitted { receipt }),
        Some("FetchSettingsResponse") => version.map(|version| Answer::Settings { version, envelope }),
        _ => None,
    })
}

/// Children of `Fault` have no namespace in SOAP 1.1, and not every server knows.
fn fault(cursor: &mut Cursor<'_>) -> Result<AnswerFault, Malformed> {
    let (mut is_servers, mut central) = (false, None);
    while let Some(child) = cursor.child()? {
        match child.local_name() {
            "faultcode" => is_servers = token(cursor)?.ends_with("Server"),
            "detail" => {
                while let Some(detail) = cursor.child()? {
                    if detail.name_in(CENTRAL) == Some("CentralFault") && central.is_none() {
                        central = Some(central_fault(cursor)?);
                    } else {
                        cursor.skip()?;
                    }
                }
            }
            _ => cursor.skip()?,
        }
    }
    Ok(central.unwrap_or(AnswerFault { retryable: is_servers, ..AnswerFault::default() }))
}

fn central_fault(cursor: &mut Cursor<'_>) -> Result<AnswerFault, Malformed> {
    let mut fault = AnswerFault::default();
    while let Some(child) = cursor.child()? {
        match child.name_in(CENTRAL) {
            Some("code") => fault.code = FaultCode::parse(&token(cursor)?),
            Some("retryable") => fault.retryable = matches!(token(cursor)?.as_str(), "true" | "1"),
            Some("retryAfterSeconds") => fault.retry_after_seconds = token(cursor)?.parse().ok(),
            Some("refusal") => fault.refusal = Some(token(cursor)?),
            _ => cursor.skip()?,
        }
    }
    Ok(fault)
}

/// Text without white space around it.
fn token(cursor: &mut Cursor<'_>) -> Result<String, Malformed> {
    Ok(cursor.text(ANSWER_MAX)?.trim_ascii().to_owned())
}
