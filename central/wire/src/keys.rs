//! Ids of sites and epochs, and every key that follows from a secret.
//!
//! A site's secret of one epoch gives, by HKDF-SHA-256 (RFC 5869), one key per purpose; the secret of the next epoch
//! follows from it too, and not the other way round, so that who steals today's secret opens none of yesterday's mail.
//! What lies on a disk is sealed under keys that follow from another secret, the machine key. Nothing here makes a
//! random byte: secrets come in as arguments, and leave memory overwritten. No `Debug` shows one.

mod at_rest;
mod id;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

pub use at_rest::{MachineKey, NamesKey};
pub(crate) use id::is_uuid;
pub use id::{BadKid, BadSiteId, Kid, SiteId};

/// First field of every derivation, and salt of the extraction. Never changes.
const LABEL: &str = "meterpost/1";

/// Which AES-CBC and HMAC a site uses; told at enrolment, never by a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Enc {
    /// AES-256-CBC with HMAC-SHA-512 (RFC 7518 section 5.2.5); what new sites get.
    #[default]
    A256CbcHs512,
    /// AES-128-CBC with HMAC-SHA-256 (RFC 7518 section 5.2.3).
    A128CbcHs256,
}

impl Enc {
    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A256CbcHs512 => "A256CBC-HS512",
            Self::A128CbcHs256 => "A128CBC-HS256",
        }
    }

    /// From the registered name, exactly.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::A256CbcHs512, Self::A128CbcHs256].into_iter().find(|enc| enc.as_str() == name)
    }

    /// Octets of its key: MAC key first, AES key second, of equal length.
    pub fn key_len(self) -> usize {
        match self {
            Self::A256CbcHs512 => 64,
            Self::A128CbcHs256 => 32,
        }
    }
}

impl fmt::Display for Enc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key that seals and opens: batches, settings, or rows on a disk.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey {
    enc: Enc,
    octets: Zeroizing<Vec<u8>>,
}

/// A key whose length does not fit its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key of {found} octets: {expected} would be right")]
pub struct BadKeyLength {
    /// Octets that came.
    pub found: usize,
    /// Octets that are due.
    pub expected: usize,
}

impl ContentKey {
    /// A key that was stored.
    pub fn from_octets(enc: Enc, octets: &[u8]) -> Result<Self, BadKeyLength> {
        if octets.len() != enc.key_len() {
            return Err(BadKeyLength { found: octets.len(), expected: enc.key_len() });
        }
        Ok(Self { enc, octets: Zeroizing::new(octets.to_vec()) })
    }

    /// What it is used with.
    pub fn enc(&self) -> Enc {
        self.enc
    }

    /// The key itself: to store it sealed, never to print it.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The key as a JWK, so that a stock JOSE library opens captured batches. It has no `alg`: some libraries want the
    /// name of the `enc` there, some `dir`, and all take none.
    pub fn to_jwk(&self, kid: &Kid) -> Zeroizing<String> {
        let k = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*self.octets));
        Zeroizing::new(format!(r#"{{"kty":"oct","kid":"{kid}","k":"{}"}}"#, *k))
    }

    /// A key from a JWK as `to_jwk` writes it, or another program; the length of `k` tells the `enc`.
    pub fn from_jwk(json: &str) -> Result<(Option<Kid>, Self), BadJwk> {
        #[derive(serde::Deserialize)]
        struct Jwk {
            kty: String,
            kid: Option<String>,
            k: Option<String>,
        }
        let jwk: Jwk = serde_json::from_str(json).map_err(|_| BadJwk("not a JSON object with `kty`, `kid` and `k`"))?;
        if jwk.kty != "oct" {
            return Err(BadJwk("`kty` is not `oct`"));
        }
        let text = Zeroizing::new(jwk.k.ok_or(BadJwk("`k` is missing"))?);
        let octets = URL_SAFE_NO_PAD.decode(text.as_bytes()).map(Zeroizing::new);
        let octets = octets.map_err(|_| BadJwk("`k` is not base64url without padding"))?;
        let enc = [Enc::A256CbcHs512, Enc::A128CbcHs256].into_iter().find(|enc| enc.key_len() == octets.len());
        let enc = enc.ok_or(BadJwk("`k` has neither 32 nor 64 octets"))?;
        let kid =
            jwk.kid.map(|kid| Kid::parse(&kid)).transpose().map_err(|_| BadJwk("`kid` is not `<site>.<epoch>`"))?;
        Ok((kid, Self { enc, octets }))
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentKey({}, <secret>)", self.enc)
    }
}

/// A text that is no JWK of a batch key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("jwk: {0}")]
pub struct BadJwk(&'static str);

/// The key that signs receipts and refusals (HS256).
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiptKey(Zeroizing<[u8; 32]>);

impl ReceiptKey {
    /// A key that was stored.
    pub fn from_octets(octets: &[u8]) -> Result<Self, BadKeyLength> {
        let octets = octets.try_into().map_err(|_| BadKeyLength { found: octets.len(), expected: 32 })?;
        Ok(Self(Zeroizing::new(octets)))
    }

    /// The key itself: to store it sealed, never to print it.
    pub fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiptKey(<secret>)")
    }
}

/// One epoch of one site, with its secret: all its keys follow from it.
#[derive(Clone, PartialEq, Eq)]
pub struct Epoch {
    kid: Kid,
    enc: Enc,
    secret: Zeroizing<[u8; 32]>,
}

impl Epoch {
    /// The epoch that `kid` names. `secret` is 32 random octets at enrolment, and derived in every epoch after that.
    pub fn new(kid: Kid, enc: Enc, secret: [u8; 32]) -> Self {
        Self { kid, enc, secret: Zeroizing::new(secret) }
    }

    /// Site and number.
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// Which cipher its batches use.
    pub fn enc(&self) -> Enc {
        self.enc
    }

    /// The secret itself: to store it sealed, or to write an enrolment token.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Seals and opens batches.
    pub fn batch_key(&self) -> ContentKey {
        self.content_key("batch")
    }

    /// Seals and opens settings. Another key than the batches', so that neither passes for the other.
    pub fn settings_key(&self) -> ContentKey {
        self.content_key("settings")
    }

    /// Signs receipts and refusals for tokens of this epoch.
    pub fn receipt_key(&self) -> ReceiptKey {
        ReceiptKey(self.derive(&["receipt", self.kid.site().as_str(), &self.kid.epoch().to_string()]))
    }

    /// What the site shows in `Authorization: Bearer`; 43 characters. It opens nothing.
    pub fn submit_token(&self) -> Zeroizing<String> {
        let octets = self.derive::<32>(&["submit-token", self.kid.site().as_str(), &self.kid.epoch().to_string()]);
        Zeroizing::new(URL_SAFE_NO_PAD.encode(*octets))
    }

    /// The epoch after this one, with the same cipher. There is no way back.
    ///
    /// # Panics
    /// After 4,294,967,295 epochs.
    pub fn next(&self) -> Self {
        let kid = self.kid.next();
        let secret = self.derive(&["next-epoch", kid.site().as_str(), &kid.epoch().to_string()]);
        Self { kid, enc: self.enc, secret }
    }

    fn content_key(&self, purpose: &str) -> ContentKey {
        let mut octets = Zeroizing::new(vec![0; self.enc.key_len()]);
        let epoch = self.kid.epoch().to_string();
        expand(&*self.secret, &[purpose, self.enc.as_str(), self.kid.site().as_str(), &epoch], &mut octets);
        ContentKey { enc: self.enc, octets }
    }

    fn derive<const N: usize>(&self, fields: &[&str]) -> Zeroizing<[u8; N]> {
        let mut octets = Zeroizing::new([0; N]);
        expand(&*self.secret, fields, &mut *octets);
        octets
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({}, {}, <secret>)", self.kid, self.enc)
    }
}

/// HKDF-SHA-256: the salt is the label, `info` the label and the fields with one LF between.
fn expand(secret: &[u8], fields: &[&str], octets: &mut [u8]) {
    let info = [&[LABEL], fields].concat().join("\n");
    let hkdf = Hkdf::<Sha256>::new(Some(LABEL.as_bytes()), secret);
    hkdf.expand(info.as_bytes(), octets).expect("64 octets are less than 255 blocks");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    /// The fixture of standards.md 2.4: secret 00…1f, epoch 1.
    fn fixture(enc: Enc) -> Epoch {
        let kid = Kid::parse("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10.1").unwrap();
        Epoch::new(kid, enc, std::array::from_fn(|i| i as u8))
    }

    #[test]
    fn hkdf_gives_what_rfc_5869_a_1_says() {
        let hkdf = Hkdf::<Sha256>::new(Some(&hex::decode("000102030405060708090a0b0c").unwrap()), &[0x0b; 22]);
        let mut okm = [0; 42];
        hkdf.expand(&hex::decode("f0f1f2f3f4f5f6f7f8f9").unwrap(), &mut okm).unwrap();
        let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(hex::encode(&okm), expected);
    }

    #[test]
    fn every_key_of_the_fixture_is_derived() {
        for (enc, batch, settings) in [
            (
                Enc::A128CbcHs256,
                "d6189ec01d9f2e5a76931de05ead24324707aabc6ca4c4d4970d92646738694a",
                "3ff501985e1e97b9c6ee9e1c39c09b471faf5d267c61024ef25d0198afd1addc",
            ),
            (
                Enc::A256CbcHs512,
                "318dcf7ca107d62d7fcda92a2820693a3579d9cdaf3f10afa8204eedb29729075cf4ee4a207f5ea5685dad1fe98b4dc564dd218bdf28a8d8034139da4789183f",
                "27e0a97fd3b8babf5ae1967010351909c24828e94b8433b35886835ab17cc77ae2fcd3a9ee77f911f9ff359153cca86507000f124566d78bb96bea2d13acaac3",
            ),
        ] {
            assert_eq!(hex::encode(fixture(enc).batch_key().octets()), batch);
            assert_eq!(hex::encode(fixture(enc).settings_key().octets()), settings);
        }
        let epoch = fixture(Enc::A256CbcHs512);
        let receipt = "47dfd098aa6539008d7b9686b40de7ae30fb4950d0af23b89e9887a8183e2a0e";
        assert_eq!(hex::encode(epoch.receipt_key().octets()), receipt);
        assert_eq!(epoch.submit_token().as_str(), "YRvbMK5EAJyTSMxlgUFunmxPoJvLS1lU6hg4_qF5RQQ");
    }

    #[test]
    fn the_next_epoch_follows_and_keeps_the_cipher() {
        let next = fixture(Enc::A128CbcHs256).next();
        assert_eq!(next.kid().to_string(), "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10.2");
        assert_eq!(next.enc(), Enc::A128CbcHs256);
        let secret = "04140e693373dae84755db78b134f4ce4395af9bbcc21bc590ea13674581691b";
        assert_eq!(hex::encode(next.secret()), secret);
    }

    #[test]
    fn a_jwk_leads_back_to_its_key_and_bad_ones_are_refused() {
        let epoch = fixture(Enc::A256CbcHs512);
        let jwk = epoch.batch_key().to_jwk(epoch.kid());
        assert_eq!(ContentKey::from_jwk(&jwk), Ok((Some(epoch.kid().clone()), epoch.batch_key())));
        for (bad, why) in [
            ("[]", "jwk: not a JSON object with `kty`, `kid` and `k`"),
            (r#"{"kty":"RSA"}"#, "jwk: `kty` is not `oct`"),
            (r#"{"kty":"oct"}"#, "jwk: `k` is missing"),
            (r#"{"kty":"oct","k":"AA="}"#, "jwk: `k` is not base64url without padding"),
            (r#"{"kty":"oct","k":"AAAA"}"#, "jwk: `k` has neither 32 nor 64 octets"),
        ] {
            assert_eq!(ContentKey::from_jwk(bad).unwrap_err().to_string(), why, "{bad}");
        }
    }

    #[test]
    fn no_debug_shows_a_secret() {
        let epoch =
            Epoch::new(Kid::parse("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10.1").unwrap(), Enc::default(), [0xaa; 32]);
        let machine = MachineKey::new([0xaa; 32]);
        let shown = format!(
            "{epoch:?} {:?} {:?} {machine:?} {:?}",
            ContentKey::from_octets(Enc::default(), &[0xaa; 64]),
            ReceiptKey::from_octets(&[0xaa; 32]),
            machine.names_key()
        );
        assert!(!shown.contains("170") && !shown.contains("aa") && !shown.contains("AA"), "{shown}");
    }
}
