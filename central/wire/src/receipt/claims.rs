//! What receipts and refusals claim, and their JSON.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::batch::SEQUENCE_MAX;
use crate::hex::is_sha256;
use crate::json::object;
use crate::keys::SiteId;

/// Most ranges of missing numbers in one answer: the lowest.
pub const MISSING_MAX: usize = 32;

/// An item as it was submitted: what an answer must name to count for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted<'i> {
    /// The site that sent it.
    pub site: &'i SiteId,
    /// `Batch/@id`.
    pub batch_id: &'i str,
    /// `Batch/@sequence`.
    pub sequence: u64,
    /// SHA-256 of the token, 64 lower-case hex digits.
    pub sha256: &'i str,
}

/// What both kinds of answer claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The site that sent the item.
    pub site: SiteId,
    /// As submitted.
    pub batch_id: String,
    /// As submitted.
    pub sequence: u64,
    /// SHA-256 of the token as submitted.
    pub sha256: String,
    /// The highest n such that each of 1 to n is stored or void; 0 if there is none.
    pub acknowledged_through: u64,
    /// The central's clock.
    pub server_time: Timestamp,
    /// The highest sequence stored for the site.
    pub highest: Option<u64>,
    /// Missing numbers above `acknowledged_through`, both ends included, ascending; at most 32 ranges.
    pub missing: Vec<(u64, u64)>,
}

/// What became of an item that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Stored now.
    Accepted,
    /// Was stored already.
    Duplicate,
}

impl Disposition {
    /// The word in claims and SOAP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
        }
    }

    /// From the word, exactly.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Accepted, Self::Duplicate].into_iter().find(|disposition| disposition.as_str() == word)
    }
}

/// Proof that an item is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What became of it.
    pub disposition: Disposition,
    /// Which item, and how the site's sequence stands.
    pub claims: Claims,
}

/// Why an item is refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// Does not open, or cannot be read.
    EnvelopeInvalid,
    /// Inside and outside name different things.
    EnvelopeMismatch,
    /// Contradicts what is stored.
    BatchConflict,
    /// Over a limit.
    TooLarge,
}

impl RefusalCode {
    /// The word in claims and SOAP faults.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EnvelopeInvalid => "envelope-invalid",
            Self::EnvelopeMismatch => "envelope-mismatch",
            Self::BatchConflict => "batch-conflict",
            Self::TooLarge => "too-large",
        }
    }

    /// From the word, exactly.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::EnvelopeInvalid, Self::EnvelopeMismatch, Self::BatchConflict, Self::TooLarge];
        all.into_iter().find(|code| code.as_str() == word)
    }
}

/// Proof that the central refuses an item and will refuse it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: RefusalCode,
    /// Which item, and how the site's sequence stands.
    pub claims: Claims,
}

impl Receipt {
    /// What is signed.
    pub fn to_json(&self) -> String {
        self.claims.to_json("disposition", self.disposition.as_str())
    }

    pub(super) fn from_json(json: &[u8]) -> Option<Self> {
        let (claims, word) = Claims::from_json(json, "disposition")?;
        Some(Self { disposition: Disposition::parse(&word)?, claims })
    }
}

impl Refusal {
    /// What is signed.
    pub fn to_json(&self) -> String {
        self.claims.to_json("code", self.code.as_str())
    }

    pub(super) fn from_json(json: &[u8]) -> Option<Self> {
        let (claims, word) = Claims::from_json(json, "code")?;
        Some(Self { code: RefusalCode::parse(&word)?, claims })
    }
}

impl Claims {
    /// Whether they name this item, in all four.
    pub fn are_of(&self, item: &Submitted<'_>) -> bool {
        let Self { site, batch_id, sequence, sha256, .. } = self;
        (site, batch_id.as_str(), *sequence, sha256.as_str()) == (item.site, item.batch_id, item.sequence, item.sha256)
    }

    fn to_json(&self, verdict: &str, word: &str) -> String {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        put("site", self.site.as_str().into());
        put("batch_id", self.batch_id.as_str().into());
        put("sequence", self.sequence.into());
        put("sha256", self.sha256.as_str().into());
        put(verdict, word.into());
        put("acknowledged_through", self.acknowledged_through.into());
        put("server_time", self.server_time.to_string().into());
        if let Some(highest) = self.highest {
            put("highest", highest.into());
        }
        if !self.missing.is_empty() {
            let ranges = self.missing.iter().take(MISSING_MAX).map(|(from, to)| Value::from(vec![*from, *to]));
            put("missing", ranges.collect());
        }
        Value::Object(members).to_string()
    }

    /// Claims, and the word under `verdict`; unknown claims are ignored.
    fn from_json(json: &[u8], verdict: &str) -> Option<(Self, String)> {
        let members = object(json)?;
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let number = |name: &str| members.get(name).and_then(Value::as_u64).filter(|number| *number <= SEQUENCE_MAX);
        let time = text("server_time").filter(|time| time.ends_with('Z'))?;
        let claims = Self {
            site: SiteId::parse(text("site")?).ok()?,
            batch_id: text("batch_id")?.to_owned(),
            sequence: number("sequence")?,
            sha256: text("sha256").filter(|sha256| is_sha256(sha256))?.to_owned(),
            acknowledged_through: number("acknowledged_through")?,
            server_time: time.parse().ok()?,
            highest: members.contains_key("highest").then(|| number("highest")).map_or(Some(None), |n| n.map(Some))?,
            missing: members.get("missing").map_or(Some(Vec::new()), ranges)?,
        };
        Some((claims, text(verdict)?.to_owned()))
    }
}

/// Ranges that rise and do not overlap; those over the limit are left for the next receipt.
fn ranges(value: &Value) -> Option<Vec<(u64, u64)>> {
    let mut last = 0;
    let mut range = |value: &Value| {
        let [from, to] = value.as_array()?.as_slice() else { return None };
        let (from, to) = (from.as_u64()?, to.as_u64()?);
        let rises = last < from && from <= to && to <= SEQUENCE_MAX;
        last = to;
        rises.then_some((from, to))
    };
    value.as_array()?.iter().take(MISSING_MAX).map(&mut range).collect()
}
