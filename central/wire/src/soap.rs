//! SOAP 1.1 between a site and its central, document/literal wrapped: `central.wsdl` beside this package describes it.
//!
//! Two operations, `SubmitBatch` and `FetchSettings`. The token goes as it is, in a string: it is ASCII without `<` and
//! `&`. Nothing in the SOAP XML is trusted; only the opened token is, and on the way back only a receipt or refusal that
//! verifies. A central takes what strange clients send: any prefixes, a byte order mark, any `SOAPAction` (the caller
//! need not look at it), a header that need not be understood, unknown elements.
//!
//! | limit | at it |
//! | --- | --- |
//! | request 1.5 MiB | fault `too-large` |
//! | answer 16 KiB | `BadAnswer` |
//! | depth 32, 16 attributes of an element | not XML |

mod client;
mod server;

use crate::receipt::RefusalCode;

pub use client::{Answer, AnswerFault, BadAnswer, fetch_settings, parse_answer, submit_batch};
pub use server::{CentralFault, Fault, FetchSettings, Request, SubmitBatch, parse_request};
pub use server::{fetch_settings_response, submit_batch_response};

/// What a central adds to its base URL.
pub const PATH: &str = "/soap/v1";

/// `Content-Type` of requests and answers.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// `SOAPAction` of `SubmitBatch`, quotes included.
pub const SUBMIT_BATCH_ACTION: &str = "\"urn:meterpost:central:1#SubmitBatch\"";

/// `SOAPAction` of `FetchSettings`, quotes included.
pub const FETCH_SETTINGS_ACTION: &str = "\"urn:meterpost:central:1#FetchSettings\"";

/// Most bytes of a request that a central reads.
pub const REQUEST_MAX: usize = 3 << 19;

/// Most bytes of an answer that a site reads.
pub const ANSWER_MAX: usize = 16 << 10;

const ENVELOPE_1_1: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const ENVELOPE_1_2: &str = "http://www.w3.org/2003/05/soap-envelope";
const CENTRAL: &str = "urn:meterpost:central:1";

/// Namespaces that mean something here.
const KNOWN: &[&str] = &[ENVELOPE_1_1, ENVELOPE_1_2, CENTRAL];

/// Most characters of an id in a request.
const ID_MAX: usize = 64;

/// The description of the service at its public address, which comes from the configuration, never from a request.
pub fn wsdl(address: &str) -> String {
    const AS_SHIPPED: &str = r#"location="http://127.0.0.1:8099/soap/v1""#;
    let address = quick_xml::escape::escape(address);
    include_str!("../central.wsdl").replace(AS_SHIPPED, &format!(r#"location="{address}""#))
}

/// What a central answers when it does not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// This item, for good. Sets it aside at the site only with a refusal that verifies.
    Refused(RefusalCode),
    /// The token's epoch is not known, or closed.
    UnknownKey,
    /// The operation is not offered.
    NotAvailable,
    /// No such operation.
    UnknownOperation,
    /// Later.
    Busy,
    /// Cannot be stored now.
    Storage,
}

impl FaultCode {
    const PLAIN: [Self; 5] = [Self::UnknownKey, Self::NotAvailable, Self::UnknownOperation, Self::Busy, Self::Storage];

    /// The word in `CentralFault/code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused(code) => code.as_str(),
            Self::UnknownKey => "unknown-key",
            Self::NotAvailable => "not-available",
            Self::UnknownOperation => "unknown-operation",
            Self::Busy => "busy",
            Self::Storage => "storage",
        }
    }

    /// From the word, exactly.
    pub fn parse(word: &str) -> Option<Self> {
        let plain = Self::PLAIN.into_iter().find(|code| code.as_str() == word);
        plain.or_else(|| RefusalCode::parse(word).map(Self::Refused))
    }

    /// Whether the same request may succeed later: `soap:Server` then, else `soap:Client`.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::Storage)
    }

    /// One short line without values from the request.
    fn text(self) -> &'static str {
        match self {
            Self::Refused(RefusalCode::EnvelopeInvalid) => "the envelope cannot be taken",
            Self::Refused(RefusalCode::EnvelopeMismatch) => "the envelope and the request name different things",
            Self::Refused(RefusalCode::BatchConflict) => "another batch has been stored in this one's place",
            Self::Refused(RefusalCode::TooLarge) => "the request is too large",
            Self::UnknownKey => "the envelope names a key that is not known",
            Self::NotAvailable => "this operation is not available",
            Self::UnknownOperation => "there is no such operation",
            Self::Busy => "too busy, try again later",
            Self::Storage => "cannot store now, try again later",
        }
    }
}

#[cfg(test)]
mod tests;
