//! The enrolment token: everything a site needs to seal and deliver, in one line that a person carries.
//!
//! `mp1.` and base64url of one JSON object. White space around it is trimmed, unknown members are ignored, a member
//! that stands twice is refused, and so is a token of more than 16 KiB. Who has the token can open every batch of its
//! epoch and of those after it: it is a secret, and no error here repeats a part of it but harmless members.

mod url;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::batch::SEQUENCE_MAX;
use crate::json::object;
use crate::keys::{Enc, Epoch, Kid, SiteId};
use crate::quoted;

const PREFIX: &str = "mp1.";

/// Most characters of a token.
const TOKEN_MAX: usize = 16 << 10;

/// Most characters of `name` and `mail_to`.
const TEXT_MAX: usize = 255;

/// Most keys that packs may be signed with.
const PACK_KEYS_MAX: usize = 8;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Base URL without a last slash; `https:`, or `http:` with a loopback address. The collector adds `/soap/v1` and so on.
    pub central: String,
    /// For people; at most 255 characters.
    pub name: String,
    /// The site, its epoch, cipher and secret.
    pub epoch: Epoch,
    /// One mail address that takes batches.
    pub mail_to: Option<String>,
    /// PEM of the only CAs to trust for `central`; absent = those of the system.
    pub ca_pem: Option<String>,
    /// Minisign public keys of packs, the base64 line; at most 8.
    pub pack_keys: Vec<String>,
    /// The first sequence that this enrolment may use; absent = 1.
    pub sequence: Option<u64>,
}

/// A text that is no enrolment token, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("enrolment token: {0}")]
pub struct BadToken(String);

impl Enrolment {
    /// Reads a token.
    pub fn parse(token: &str) -> Result<Self, BadToken> {
        Self::read(token.trim()).map_err(BadToken)
    }

    fn read(token: &str) -> Result<Self, String> {
        if token.len() > TOKEN_MAX {
            return Err(format!("{} characters: 16384 is the limit", token.len()));
        }
        let encoded = token.strip_prefix(PREFIX).ok_or("does not start with `mp1.`: paste the whole line")?;
        let damaged = "damaged after `mp1.`: paste the whole line, without breaks";
        let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| damaged)?);
        let members = Members(object(&json).ok_or(damaged)?);
        let site = SiteId::parse(members.text("site")?).map_err(|bad| format!("`site`: {bad}"))?;
        let number = u32::try_from(members.number("epoch")?).ok();
        let kid = number.and_then(|number| Kid::new(site, number)).ok_or("`epoch` is not a number from 1 on")?;
        let enc = members.text("enc")?;
        let enc = Enc::parse(enc)
            .ok_or_else(|| format!("`enc` is {}: `A256CBC-HS512` or `A128CBC-HS256` would be right", quoted(enc)))?;
        let secret = URL_SAFE_NO_PAD.decode(members.text("secret")?).map(Zeroizing::new).ok();
        let secret = secret.and_then(|octets| <[u8; 32]>::try_from(octets.as_slice()).ok());
        let secret = secret.ok_or("`secret` is not base64url of 32 bytes")?;
        Ok(Self {
            central: url::central(members.text("central")?)?,
            name: plain_text("name", members.text("name")?)?,
            epoch: Epoch::new(kid, enc, secret),
            mail_to: members.optional_text("mail_to")?.map(mail_address).transpose()?,
            ca_pem: members.optional_text("ca_pem")?.map(certificates).transpose()?,
            pack_keys: members.texts("pack_keys")?.into_iter().map(pack_key).collect::<Result<_, _>>()?,
            sequence: members.optional_number("sequence")?.map(sequence).transpose()?,
        })
    }

    /// Writes the token. What `parse` would refuse is the caller's to avoid.
    pub fn to_token(&self) -> Zeroizing<String> {
        #[derive(Serialize)]
        struct Written<'e> {
            central: &'e str,
            site: &'e str,
            name: &'e str,
            secret: &'e str,
            epoch: u32,
            enc: &'e str,
            #[serde(skip_serializing_if = "Option::is_none")]
            mail_to: Option<&'e str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            ca_pem: Option<&'e str>,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            pack_keys: &'e [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            sequence: Option<u64>,
        }
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(self.epoch.secret()));
        let written = Written {
            central: &self.central,
            site: self.epoch.kid().site().as_str(),
            name: &self.name,
            secret: &secret,
            epoch: self.epoch.kid().epoch(),
            enc: self.epoch.enc().as_str(),
            mail_to: self.mail_to.as_deref(),
            ca_pem: self.ca_pem.as_deref(),
            pack_keys: &self.pack_keys,
            sequence: self.sequence,
        };
        let json = Zeroizing::new(serde_json::to_vec(&written).expect("strings and numbers are JSON"));
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*json));
        Zeroizing::new(format!("{PREFIX}{}", *encoded))
    }
}

/// Members by name and type; errors name the member and never show what it holds.
struct Members(BTreeMap<String, Value>);

impl Members {
    fn text(&self, name: &str) -> Result<&str, String> {
        self.optional_text(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    fn optional_text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| format!("`{name}` is not a string")),
        }
    }

    fn number(&self, name: &str) -> Result<u64, String> {
        self.optional_number(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    fn optional_number(&self, name: &str) -> Result<Option<u64>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("`{name}` is not a whole number")),
        }
    }

    fn texts(&self, name: &str) -> Result<Vec<&str>, String> {
        let Some(value) = self.0.get(name) else { return Ok(Vec::new()) };
        let items = value.as_array().filter(|items| items.len() <= PACK_KEYS_MAX);
        let texts = items.and_then(|items| items.iter().map(Value::as_str).collect());
        texts.ok_or_else(|| format!("`{name}` is not an array of at most {PACK_KEYS_MAX} strings"))
    }
}

fn plain_text(name: &str, text: &str) -> Result<String, String> {
    if text.chars().count() > TEXT_MAX || text.chars().any(char::is_control) {
        return Err(format!("`{name}` is not a line of at most {TEXT_MAX} characters"));
    }
    Ok(text.to_owned())
}

fn mail_address(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once('@').filter(|(user, host)| !user.is_empty() && !host.is_empty());
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | ';' | '<' | '>' | '"' | '@');
    let one = parts.is_some_and(|(user, host)| !user.contains(odd) && !host.contains(odd));
    if one && text.len() <= TEXT_MAX {
        Ok(text.to_owned())
    } else {
        Err("`mail_to` is not one mail address".to_owned())
    }
}

fn certificates(text: &str) -> Result<String, String> {
    let whole = text.contains("-----BEGIN CERTIFICATE-----") && text.contains("-----END CERTIFICATE-----");
    if whole { Ok(text.to_owned()) } else { Err("`ca_pem` has no PEM certificate".to_owned()) }
}

/// A minisign public key: 2 octets of algorithm, 8 of id, 32 of key.
fn pack_key(text: &str) -> Result<String, String> {
    let is_key = STANDARD.decode(text).is_ok_and(|octets| octets.len() == 42 && octets.starts_with(b"Ed"));
    if is_key { Ok(text.to_owned()) } else { Err("`pack_keys` has one that is no minisign public key".to_owned()) }
}

fn sequence(number: u64) -> Result<u64, String> {
    let fits = (1..=SEQUENCE_MAX).contains(&number);
    fits.then_some(number).ok_or_else(|| format!("`sequence` is {number}: 1 to {SEQUENCE_MAX} would be right"))
}

#[cfg(test)]
mod tests;
