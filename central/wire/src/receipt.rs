//! Receipts and refusals: the only part of an answer that a site believes, whatever stands between it and its central.
//!
//! Both are compact JWS (RFC 7515) with HS256 under the receipt key of the epoch in the token's `kid`. They differ in
//! `typ`, so that a refusal never passes for a receipt. The MAC is compared in constant time before the payload is
//! looked at, and a receipt counts only for the item that it names.

mod claims;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::json::object;
use crate::keys::ReceiptKey;

pub use claims::{Claims, Disposition, MISSING_MAX, Receipt, Refusal, RefusalCode, Submitted};

/// Most characters of a receipt or refusal that are looked at; an answer has at most 16 KiB.
const JWS_MAX: usize = 16 << 10;

const RECEIPT: &str = "meterpost-receipt+jws";
const REFUSAL: &str = "meterpost-refusal+jws";

/// Signs a receipt.
pub fn sign_receipt(receipt: &Receipt, key: &ReceiptKey) -> String {
    sign(RECEIPT, &receipt.to_json(), key)
}

/// Signs a refusal.
pub fn sign_refusal(refusal: &Refusal, key: &ReceiptKey) -> String {
    sign(REFUSAL, &refusal.to_json(), key)
}

/// Why an answer proves nothing about an item: it stays as it is and is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotProven(&'static str);

/// Takes a receipt for exactly this item.
pub fn verify_receipt(jws: &str, key: &ReceiptKey, item: &Submitted<'_>) -> Result<Receipt, NotProven> {
    let payload = verify(jws, RECEIPT, key)?;
    let receipt = Receipt::from_json(&payload).ok_or(NotProven("the receipt lacks a claim, or has a malformed one"))?;
    if !receipt.claims.are_of(item) {
        return Err(NotProven("the receipt is for another item"));
    }
    Ok(receipt)
}

/// Takes a refusal of exactly this item.
pub fn verify_refusal(jws: &str, key: &ReceiptKey, item: &Submitted<'_>) -> Result<Refusal, NotProven> {
    let payload = verify(jws, REFUSAL, key)?;
    let refusal = Refusal::from_json(&payload).ok_or(NotProven("the refusal lacks a claim, or has a malformed one"))?;
    if !refusal.claims.are_of(item) {
        return Err(NotProven("the refusal is for another item"));
    }
    Ok(refusal)
}

fn sign(typ: &str, payload: &str, key: &ReceiptKey) -> String {
    let header = format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#);
    let mut jws = URL_SAFE_NO_PAD.encode(header);
    jws.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut jws);
    let mac = hs256(jws.as_bytes(), key);
    jws.push('.');
    URL_SAFE_NO_PAD.encode_string(mac, &mut jws);
    jws
}

/// MAC first, then header, then payload.
fn verify(jws: &str, typ: &str, key: &ReceiptKey) -> Result<Vec<u8>, NotProven> {
    if jws.len() > JWS_MAX {
        return Err(NotProven("longer than 16 KiB"));
    }
    let (signed, mac) = jws.rsplit_once('.').ok_or(NotProven("not three parts"))?;
    let (header, payload) = signed.split_once('.').ok_or(NotProven("not three parts"))?;
    let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| NotProven("the MAC is not base64url"))?;
    if !bool::from(hs256(signed.as_bytes(), key).ct_eq(&mac)) {
        return Err(NotProven("the MAC is wrong: not signed with this site's key"));
    }
    let header = URL_SAFE_NO_PAD.decode(header).ok().and_then(|json| object(&json));
    let header = header.ok_or(NotProven("the header is not a JSON object"))?;
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    if text("alg") != Some("HS256") || text("typ") != Some(typ) || header.contains_key("crit") {
        return Err(NotProven("the header is that of something else"));
    }
    URL_SAFE_NO_PAD.decode(payload).map_err(|_| NotProven("the payload is not base64url"))
}

fn hs256(signed: &[u8], key: &ReceiptKey) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.octets()).expect("any length is right for HMAC");
    mac.update(signed);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests;
