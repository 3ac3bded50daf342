//! What an answer means: every row of the table of refusals, in one pure function.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use meterpost_wire::keys::{ReceiptKey, SiteId};
use meterpost_wire::receipt::{Submitted, verify_receipt, verify_refusal};
use meterpost_wire::seal::token_sha256;
use meterpost_wire::soap::{self, Answer, AnswerFault, FaultCode};

use crate::deliver::{Outgoing, SendError, Sent};

/// An answer as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// From `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    /// At most one byte more than is looked at.
    pub(super) body: Vec<u8>,
    /// Why the body ended early, if it did.
    pub(super) cut: Option<String>,
}

/// What a reply means for the item that was sent. Only what verifies under one of `keys` is believed.
pub(super) fn means(reply: &Reply, item: &Outgoing, site: &SiteId, keys: &[ReceiptKey]) -> Result<Sent, SendError> {
    let status = reply.status;
    let down = |reason: String| Err(SendError::Down { reason, at_least: reply.retry_after });
    match status {
        401 | 403 => {
            return Err(SendError::Unauthorized(format!("the central does not know this site (status {status})")));
        }
        413 => return Err(SendError::Unsure("no batch of this size is let through (status 413)".to_owned())),
        300..=399 => return down(format!("answered with a redirect (status {status}), which is never followed")),
        404 | 405 | 407 | 410 | 429 | 502 | 504 => return down(format!("answered with status {status}")),
        _ => {}
    }
    if let Some(cut) = &reply.cut {
        return Err(SendError::Unsure(format!("the answer was cut off: {cut}")));
    }
    let sha256 = token_sha256(&item.token);
    let submitted = Submitted { site, batch_id: &item.id, sequence: item.sequence, sha256: &sha256 };
    match soap::parse_answer(&reply.body) {
        Ok(Answer::Submitted { receipt }) if status == 200 => believe(&receipt, &submitted, keys),
        Ok(Answer::Fault(fault)) => Err(reply.fault(&fault, &submitted, keys)),
        Ok(_) => down(format!("answered something else than was asked (status {status})")),
        // not our central's words: a captive portal, a proxy's own page
        Err(bad) if status == 200 || status == 503 => down(format!("status {status} and {bad}")),
        Err(bad) => Err(SendError::Unsure(format!("status {status} and {bad}"))),
    }
}

fn believe(receipt: &str, submitted: &Submitted<'_>, keys: &[ReceiptKey]) -> Result<Sent, SendError> {
    let mut why = "no receipt key of its epoch is at hand".to_owned();
    for key in keys {
        match verify_receipt(receipt, key, submitted) {
            Ok(proven) => return Ok(Sent::Receipt { receipt: receipt.to_owned(), claims: proven.claims }),
            Err(not_proven) => why = not_proven.to_string(),
        }
    }
    Err(SendError::Unsure(format!("the receipt proves nothing: {why}")))
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, of which `now` is subtracted. A clock that is wrong makes
/// the wait wrong and no more: the channel bounds it.
pub(super) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

impl Reply {
    fn fault(&self, fault: &AnswerFault, submitted: &Submitted<'_>, keys: &[ReceiptKey]) -> SendError {
        let asked = fault.retry_after_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let down = |reason: String| SendError::Down { reason, at_least: asked.max(self.retry_after) };
        match fault.code {
            Some(FaultCode::Refused(code)) => {
                let proven = fault.refusal.as_deref().and_then(|jws| {
                    let proven = keys.iter().find_map(|key| verify_refusal(jws, key, submitted).ok())?;
                    Some(SendError::Refused {
                        reason: proven.code.as_str().to_owned(),
                        refusal: jws.to_owned(),
                        claims: Box::new(proven.claims),
                    })
                });
                let unsure = || SendError::Unsure(format!("fault `{}` without a refusal that verifies", code.as_str()));
                proven.unwrap_or_else(unsure)
            }
            Some(FaultCode::UnknownKey) => {
                SendError::UnknownKey("the central does not know the key that this batch is sealed under".to_owned())
            }
            // an operation that is not offered now is not asked again in this run
            Some(code) => down(format!("fault `{}`", code.as_str())),
            None if fault.retryable => down("a fault of the central without a code".to_owned()),
            None => SendError::Unsure(format!("a fault without a code (status {})", self.status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_central_may_ask_for_patience_in_seconds_or_until_a_date() {
        let now: Timestamp = "2026-11-21T15:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sat, 21 Nov 2026 15:05:00 GMT", Some(300)),
            ("Sat, 21 Nov 2026 14:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now).map(|wait| wait.as_secs()), seconds, "{text:?}");
        }
    }
}
