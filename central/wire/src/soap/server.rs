//! The central's side: reads what strange clients send, writes responses and faults.

use jiff::Timestamp;

use crate::batch::SEQUENCE_MAX;
use crate::receipt::{Disposition, RefusalCode};
use crate::xml::cursor::{Cursor, Element, Instructions, Malformed};
use crate::xml::out::Out;

use super::{CENTRAL, ENVELOPE_1_1, FaultCode, ID_MAX, KNOWN, REQUEST_MAX};

/// A request that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Store this.
    SubmitBatch(SubmitBatch),
    /// Anything new for me?
    FetchSettings(FetchSettings),
}

/// A batch as submitted: none of it is checked against another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitBatch {
    /// At most 64 characters.
    pub site_id: String,
    /// At most 64 characters.
    pub batch_id: String,
    /// 1 to 2^53 - 1.
    pub sequence: u64,
    /// The token, white space around it trimmed. Whole, also when it is longer than what is opened.
    pub envelope: String,
}

/// A question for settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSettings {
    /// At most 64 characters.
    pub site_id: String,
    /// The version that the site has; 0 = none.
    pub known_version: u64,
}

/// A request that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The envelope is that of SOAP 1.2, or of nothing known.
    VersionMismatch,
    /// A header must be understood, and is not.
    MustUnderstand,
    /// All that this service says itself.
    Central(CentralFault),
}

/// The detail of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CentralFault {
    /// What is wrong, and by that whether to try again.
    pub code: FaultCode,
    /// Seconds to wait at least.
    pub retry_after_seconds: Option<u32>,
    /// A signed refusal, for a site that authenticated.
    pub refusal: Option<String>,
}

impl From<FaultCode> for Fault {
    fn from(code: FaultCode) -> Self {
        Self::Central(CentralFault { code, retry_after_seconds: None, refusal: None })
    }
}

/// What is no request at all says nothing of a token either: without a refusal the sender keeps its item.
impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        FaultCode::Refused(RefusalCode::EnvelopeInvalid).into()
    }
}

impl Fault {
    /// The answer's body; its HTTP status is 500 in SOAP 1.1, whatever the fault.
    pub fn to_xml(&self) -> String {
        let (faultcode, text) = match self {
            Self::VersionMismatch => ("soap:VersionMismatch", "SOAP 1.1 is spoken here"),
            Self::MustUnderstand => ("soap:MustUnderstand", "a header that must be understood is not"),
            Self::Central(CentralFault { code, .. }) if code.is_retryable() => ("soap:Server", code.text()),
            Self::Central(CentralFault { code, .. }) => ("soap:Client", code.text()),
        };
        message(|out| {
            out.element("soap:Fault", &[], |out| {
                out.value("faultcode", Some(faultcode));
                out.value("faultstring", Some(text));
                if let Self::Central(fault) = self {
                    out.element("detail", &[], |out| detail(fault, out));
                }
            });
        })
    }
}

fn detail(fault: &CentralFault, out: &mut Out) {
    out.element("CentralFault", &[("xmlns", CENTRAL.into())], |out| {
        out.value("code", Some(fault.code.as_str()));
        out.value("retryable", Some(fault.code.is_retryable()));
        out.value("retryAfterSeconds", fault.retry_after_seconds);
        out.text("refusal", fault.refusal.as_deref(), usize::MAX);
    });
}

/// The answer to a batch that is stored. Only `receipt` is believed by a collector.
pub fn submit_batch_response(
    disposition: Disposition,
    batch_id: &str,
    acknowledged_through: u64,
    server_time: Timestamp,
    receipt: &str,
) -> String {
    response("SubmitBatchResponse", |out| {
        out.value("disposition", Some(disposition.as_str()));
        out.text("receivedBatchId", Some(batch_id), ID_MAX);
        out.value("acknowledgedThrough", Some(acknowledged_through));
        out.time("serverTime", Some(server_time));
        out.text("receipt", Some(receipt), usize::MAX);
    })
}

/// The answer to a question for settings.
pub fn fetch_settings_response(version: u64, envelope: Option<&str>) -> String {
    response("FetchSettingsResponse", |out| {
        out.value("version", Some(version));
        out.text("envelope", envelope, usize::MAX);
    })
}

fn response(name: &str, fields: impl FnOnce(&mut Out)) -> String {
    message(|out| out.element(name, &[("xmlns", CENTRAL.into())], fields))
}

/// An envelope around what `body` writes.
pub(super) fn message(body: impl FnOnce(&mut Out)) -> String {
    let mut out = Out::document();
    out.element("soap:Envelope", &[("xmlns:soap", ENVELOPE_1_1.into())], |out| out.element("soap:Body", &[], body));
    out.into_text()
}

/// Reads a request; the site that sends it has been authenticated before.
pub fn parse_request(body: &[u8]) -> Result<Request, Fault> {
    if body.len() > REQUEST_MAX {
        return Err(FaultCode::Refused(RefusalCode::TooLarge).into());
    }
    let text = str::from_utf8(body).map_err(|_| FaultCode::Refused(RefusalCode::EnvelopeInvalid))?;
    let mut cursor = Cursor::new(text, KNOWN, Instructions::Refused);
    let root = cursor.root()?;
    if root.name_in(ENVELOPE_1_1) != Some("Envelope") {
        let other_version = root.local_name() == "Envelope";
        let invalid = FaultCode::Refused(RefusalCode::EnvelopeInvalid).into();
        return Err(if other_version { Fault::VersionMismatch } else { invalid });
    }
    let mut request = None;
    while let Some(part) = cursor.child()? {
        match part.name_in(ENVELOPE_1_1) {
            Some("Header") => header(&mut cursor)?,
            Some("Body") if request.is_none() => request = Some(body_content(&mut cursor)?),
            _ => cursor.skip()?,
        }
    }
    cursor.finish()?;
    request.unwrap_or(Err(FaultCode::UnknownOperation.into()))
}

/// No header is known here.
fn header(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    while let Some(child) = cursor.child()? {
        if child.attribute_in(Some(ENVELOPE_1_1), "mustUnderstand") == Some("1") {
            return Err(Fault::MustUnderstand);
        }
        cursor.skip()?;
    }
    Ok(())
}

/// The first child of `Body` is the operation, by its qualified name; the rest is skipped.
fn body_content(cursor: &mut Cursor<'_>) -> Result<Result<Request, Fault>, Fault> {
    let mut request = None;
    while let Some(child) = cursor.child()? {
        if request.is_none() {
            request = Some(operation(&child, cursor)?);
        } else {
            cursor.skip()?;
        }
    }
    Ok(request.unwrap_or(Err(FaultCode::UnknownOperation.into())))
}

fn operation(element: &Element, cursor: &mut Cursor<'_>) -> Result<Result<Request, Fault>, Fault> {
    let (mut site, mut batch, mut sequence, mut envelope, mut version) = (None, None, None, None, None);
    while let Some(child) = cursor.child()? {
        match child.name_in(CENTRAL) {
            Some("siteId") => site = site.or(Some(trimmed(cursor, ID_MAX)?)),
            Some("batchId") => batch = batch.or(Some(trimmed(cursor, ID_MAX)?)),
            Some("sequence") => sequence = sequence.or(number(cursor)?),
            Some("envelope") => envelope = envelope.or(Some(trimmed(cursor, REQUEST_MAX)?)),
            Some("knownVersion") => version = version.or(number(cursor)?),
            _ => cursor.skip()?,
        }
    }
    let request = match element.name_in(CENTRAL) {
        Some("SubmitBatch") => site.zip(batch).zip(sequence.filter(|number| *number > 0)).zip(envelope).map(
            |(((site_id, batch_id), sequence), envelope)| {
                Request::SubmitBatch(SubmitBatch { site_id, batch_id, sequence, envelope })
            },
        ),
        Some("FetchSettings") => site
            .zip(version)
            .map(|(site_id, known_version)| Request::FetchSettings(FetchSettings { site_id, known_version })),
        _ => return Ok(Err(FaultCode::UnknownOperation.into())),
    };
    Ok(request.ok_or_else(|| FaultCode::Refused(RefusalCode::EnvelopeInvalid).into()))
}

fn trimmed(cursor: &mut Cursor<'_>, cap: usize) -> Result<String, Malformed> {
    Ok(cursor.text(cap)?.trim_ascii().to_owned())
}

fn number(cursor: &mut Cursor<'_>) -> Result<Option<u64>, Malformed> {
    Ok(trimmed(cursor, ID_MAX)?.parse().ok().filter(|number| *number <= SEQUENCE_MAX))
}
