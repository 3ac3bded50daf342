//! The protected header: what we write, and what we take.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Why;
use crate::json::object;
use crate::keys::{Enc, Kid};

/// Most octets of a header that is looked at.
const MAX: usize = 1_024;

/// The same in base64url.
pub(super) const ENCODED_MAX: usize = MAX.div_ceil(3) * 4;

const TYP: &str = "meterpost-batch+jwe";
const CTY: &str = "meterpost-batch+xml";

/// Names that would let a message choose its own key or rules.
pub(super) const REFUSED: [&str; 9] = ["crit", "jku", "jwk", "x5u", "x5c", "epk", "p2c", "apu", "apv"];

/// A batch's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) enc: Enc,
    pub(super) kid: Kid,
    pub(super) deflated: bool,
}

impl Header {
    pub(super) fn batch(enc: Enc, kid: &Kid, deflated: bool) -> Self {
        Self { enc, kid: kid.clone(), deflated }
    }

    /// The order of the names is that of the fixture in standards.md 2.4.
    pub(super) fn to_json(&self) -> String {
        let zip = if self.deflated { r#","zip":"DEF""# } else { "" };
        let Self { enc, kid, .. } = self;
        format!(r#"{{"alg":"dir","enc":"{enc}","kid":"{kid}","typ":"{TYP}","cty":"{CTY}"{zip}}}"#)
    }

    /// Reads the first part of a token: names of our own must have our values, unknown ones are ignored.
    pub(super) fn parse(encoded: &str) -> Result<Self, Why> {
        if encoded.len() > ENCODED_MAX {
            return Err(Why("a header of more than 1,024 bytes"));
        }
        let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Why("the header is not base64url"))?;
        if json.len() > MAX {
            return Err(Why("a header of more than 1,024 bytes"));
        }
        let members = object(&json).ok_or(Why("the header is not a JSON object with each name once"))?;
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if REFUSED.iter().any(|name| members.contains_key(*name)) {
            return Err(Why("a header name that is refused"));
        }
        if text("alg") != Some("dir") {
            return Err(Why("`alg` is not `dir`"));
        }
        if text("typ") != Some(TYP) {
            return Err(Why("`typ` is not that of a batch"));
        }
        if text("cty") != Some(CTY) {
            return Err(Why("`cty` is not that of a batch"));
        }
        let deflated = match members.get("zip") {
            None => false,
            Some(Value::String(zip)) if zip == "DEF" => true,
            Some(_) => return Err(Why("`zip` is neither absent nor `DEF`")),
        };
        let enc = text("enc").and_then(Enc::parse).ok_or(Why("`enc` is none of ours"))?;
        let kid = text("kid").and_then(|kid| Kid::parse(kid).ok()).ok_or(Why("`kid` is not `<site>.<epoch>`"))?;
        Ok(Self { enc, kid, deflated })
    }
}
