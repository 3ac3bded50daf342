//! The envelope: JWE compact serialisation (RFC 7516), `alg` `dir`, AES-CBC with HMAC (RFC 7518 section 5.2), deflated.
//!
//! A token is opened in one order: length caps, shape, header, key, MAC, AES, inflate. Nothing of what an outsider
//! wrote decides which cipher is used, nothing is decrypted before its MAC is right, and whatever is wrong up to there,
//! the work is that of one MAC over the token and the answer is one and the same. Only who holds the key can get
//! further. The initialisation vector comes from the caller: 16 octets of the system's generator, fresh for each token.
//!
//! | limit | sealing | opening |
//! | --- | --- | --- |
//! | plaintext | 240,000 octets, else `TooLarge` | 8 MiB, inflating stops there: `Unreadable` |
//! | token | 60,000 characters, else `TooLarge` | 1 MiB, else `Invalid` |
//! | header | about 190 octets | 1,024 octets, else `Invalid` |

mod aead;
mod header;

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::read::DeflateDecoder;
use miniz_oxide::deflate::core::{
    CompressionStrategy, CompressorOxide, TDEFLFlush, compress_to_output, create_comp_flags_from_zip_params,
};
use sha2::{Digest, Sha256};

use crate::hex;
use crate::keys::{ContentKey, Enc, Kid, SiteId};
use aead::Sealed;
use header::Header;

/// Most octets of XML that a site seals into one token: the smallest default limit of other JOSE libraries is 250,000.
pub const PLAINTEXT_MAX: usize = 240_000;

/// Most characters of a token that a site makes: other libraries stop at 65,536.
pub const TOKEN_MAX: usize = 60_000;

/// Most octets that opening inflates.
pub const OPENED_MAX: usize = 8 << 20;

/// Most characters of a token that opening looks at.
pub const ACCEPTED_TOKEN_MAX: usize = 1 << 20;

/// A batch over the limits of a sender: cut it smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} {unit} in one batch: {limit} is the limit")]
pub struct TooLarge {
    found: usize,
    limit: usize,
    unit: &'static str,
}

/// Seals the XML of one batch: deflates, encrypts, authenticates. `iv` must be fresh from the system's generator.
pub fn seal(xml: &[u8], kid: &Kid, key: &ContentKey, iv: [u8; 16]) -> Result<String, TooLarge> {
    if xml.len() > PLAINTEXT_MAX {
        return Err(TooLarge { found: xml.len(), limit: PLAINTEXT_MAX, unit: "bytes of XML" });
    }
    let token = compact(&Header::batch(key.enc(), kid, true), &deflate(xml), key, iv);
    if token.len() > TOKEN_MAX {
        return Err(TooLarge { found: token.len(), limit: TOKEN_MAX, unit: "characters of token" });
    }
    Ok(token)
}

/// What was in a token that opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whose key it was sealed with. The batch inside must name the same site.
    pub kid: Kid,
    /// The XML, not looked at yet.
    pub xml: Vec<u8>,
}

/// Why a token did not open, by what it proves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not a token that a holder of the key made. One answer for every cause.
    #[error("the token does not open")]
    Invalid(Why),
    /// Names an epoch of the right site whose key is not known, or closed. It may be opened another day.
    #[error("the token names a key that is not known here")]
    UnknownKey(Kid),
    /// The tag is right and the padding is not: a fault of ours. Outside it is answered like `Invalid`; its bytes are worth
    /// keeping.
    #[error("the token is authentic and its padding is wrong")]
    Padding,
    /// A holder of the key made it and what is inside cannot be read: keep its bytes, and look for a fault of ours.
    #[error("the token is authentic and its content cannot be read: {0}")]
    Unreadable(Why),
}

/// The cause, for the local log only: an outsider who learns it has an oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Why(&'static str);

/// Opens a token. `site` is the one that authenticated, `None` where the channel says nothing of it (mail, files); it is
/// compared before `key_of` is asked for the key.
pub fn open(
    token: &str,
    site: Option<&SiteId>,
    key_of: impl FnOnce(&Kid) -> Option<ContentKey>,
) -> Result<Opened, OpenError> {
    if token.len() > ACCEPTED_TOKEN_MAX {
        return Err(OpenError::Invalid(Why("longer than 1 MiB")));
    }
    let parts = Parts::split(token);
    let header = parts.as_ref().map_err(|why| *why).and_then(Parts::header);
    let header = header.and_then(|header| match site {
        Some(site) if site != header.kid.site() => Err(Why("`kid` names another site than the one that authenticated")),
        _ => Ok(header),
    });
    let header = match header {
        Ok(header) => header,
        Err(why) => return Err(spend_one_mac(token, why)),
    };
    let Some(key) = key_of(&header.kid) else {
        return Err(OpenError::UnknownKey(header.kid));
    };
    if header.enc != key.enc() {
        return Err(spend_one_mac(token, Why("`enc` is not the one of this key")));
    }
    let parts = parts.expect("a header came out of them");
    let sealed = match parts.sealed() {
        Ok(sealed) => sealed,
        Err(why) => return Err(spend_one_mac(token, why)),
    };
    let padded = sealed.verify(&key, parts.header.as_bytes());
    let padded = padded.ok_or(OpenError::Invalid(Why("the tag is wrong")))?;
    let plain = padded.decrypt(&key).ok_or(OpenError::Padding)?;
    let xml = if header.deflated { inflate(&plain)? } else { plain };
    if xml.len() > OPENED_MAX {
        return Err(OpenError::Unreadable(Why("more than 8 MiB of content")));
    }
    Ok(Opened { kid: header.kid, xml })
}

/// Which key a token names, its header unchecked: to fetch keys before `open`, which checks everything.
pub fn peek_kid(token: &str) -> Option<Kid> {
    let first = token.get(..token.len().min(header::ENCODED_MAX + 1))?.split('.').next()?;
    Header::parse(first).ok().map(|header| header.kid)
}

/// SHA-256 over the ASCII bytes of a compact token, as receipts, `@previous` and the outbox name it.
pub fn token_sha256(token: &str) -> String {
    hex::encode(&Sha256::digest(token.as_bytes()))
}

/// Seals a small row for the disk: `iv ‖ ciphertext ‖ tag`. `place` (table and row, say) is authenticated and not
/// stored, so that a sealed row that is moved to another place does not open there.
pub fn seal_at_rest(row: &[u8], place: &str, key: &ContentKey, iv: [u8; 16]) -> Vec<u8> {
    let sealed = Sealed::new(row, place.as_bytes(), key, iv);
    [&sealed.iv, sealed.ciphertext.as_slice(), sealed.tag.as_slice()].concat()
}

/// A row that does not open: another machine key, another place, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored row does not open: it was sealed under another machine key, or it is damaged")]
pub struct RowDoesNotOpen;

/// Opens what `seal_at_rest` sealed for the same place.
pub fn open_at_rest(sealed: &[u8], place: &str, key: &ContentKey) -> Result<Vec<u8>, RowDoesNotOpen> {
    let open = || {
        let (iv, rest) = sealed.split_first_chunk::<16>()?;
        let (ciphertext, tag) = rest.split_at_checked(rest.len().checked_sub(key.enc().key_len() / 2)?)?;
        let sealed = Sealed { iv: *iv, ciphertext: ciphertext.to_vec(), tag: tag.to_vec() };
        sealed.verify(key, place.as_bytes())?.decrypt(key)
    };
    open().ok_or(RowDoesNotOpen)
}

/// The five parts of a token, the second of which is empty.
struct Parts<'t> {
    header: &'t str,
    iv: &'t str,
    ciphertext: &'t str,
    tag: &'t str,
}

impl<'t> Parts<'t> {
    fn split(token: &'t str) -> Result<Self, Why> {
        let mut parts = token.split('.');
        let mut next = || parts.next().ok_or(Why("not five parts"));
        let (header, encrypted_key, iv, ciphertext, tag) = (next()?, next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(Why("not five parts"));
        }
        if !encrypted_key.is_empty() {
            return Err(Why("a wrapped key, which `dir` has not"));
        }
        Ok(Self { header, iv, ciphertext, tag })
    }

    fn header(&self) -> Result<Header, Why> {
        Header::parse(self.header)
    }

    fn sealed(&self) -> Result<Sealed, Why> {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Why("a part is not base64url"));
        let iv = decode(self.iv)?.try_into().map_err(|_| Why("the IV has not 16 octets"))?;
        Ok(Sealed { iv, ciphertext: decode(self.ciphertext)?, tag: decode(self.tag)? })
    }
}

/// A refusal before the MAC costs what the MAC would have cost.
fn spend_one_mac(token: &str, why: Why) -> OpenError {
    let key = ContentKey::from_octets(Enc::A256CbcHs512, &[0; 64]).expect("64 octets");
    let octets = token.as_bytes();
    let decoy = Sealed { iv: [0; 16], ciphertext: octets[..octets.len() / 4 * 3].to_vec(), tag: vec![0; 32] };
    std::hint::black_box(decoy.verify(&key, &[]).is_some());
    OpenError::Invalid(why)
}

fn compact(header: &Header, plain: &[u8], key: &ContentKey, iv: [u8; 16]) -> String {
    let mut token = URL_SAFE_NO_PAD.encode(header.to_json());
    let sealed = Sealed::new(plain, token.as_bytes(), key, iv);
    token.push('.');
    for part in [sealed.iv.as_slice(), &sealed.ciphertext, &sealed.tag] {
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(part, &mut token);
    }
    token
}

/// Raw DEFLATE (RFC 1951) with the final block set, which some libraries insist on.
///
/// Each part with digits of its own kind has a block of its own, whose codes suit it: the hashes of the chain are nothing
/// but hex; the first device spells out what all others repeat, and these differ in digits (from four devices on, when
/// their codes are worth a table). Without matches of up to 5 bytes digits stay digits. All this saves 8 % of a batch;
/// flate2 offers the last only, hence the call of what works inside it.
fn deflate(plain: &[u8]) -> Vec<u8> {
    const FLAGS: u32 = create_comp_flags_from_zip_params(9, -15, CompressionStrategy::Filtered as i32);
    let mut compressor = CompressorOxide::new(FLAGS);
    let mut deflated = Vec::new();
    let mut start = 0;
    let mut block = |range: &[u8], flush| {
        compress_to_output(&mut compressor, range, flush, |octets| {
            deflated.extend_from_slice(octets);
            true
        });
    };
    for end in block_ends(plain) {
        block(&plain[start..end], TDEFLFlush::NoSync);
        start = end;
    }
    block(&plain[start..], TDEFLFlush::Finish);
    deflated
}

/// Where blocks end, in rising order: before and behind the hashes of the chain, behind the first device. It is a matter
/// of size only: whatever stands there, what is written can be read.
fn block_ends(plain: &[u8]) -> Vec<usize> {
    let behind = |tag: &[u8], from: usize, to: usize| {
        let at = plain[from..to].windows(tag.len()).position(|window| window == tag)?;
        Some(from + at + tag.len())
    };
    let Some(devices) = behind(b"<Devices>", 0, plain.len()) else { return Vec::new() };
    let mut ends = Vec::new();
    if let Some(first) = behind(b"<Links>", 0, devices)
        && let Some(last) = behind(b"</Links>", first, devices)
        && last - first >= LINKS_WORTH_A_BLOCK
    {
        ends.extend([first, last]);
    }
    ends.extend(behind(b"</Device>", devices, plain.len()).filter(|first| first * 4 < plain.len()));
    ends
}

/// Bytes of hashes from which a table of their own is cheaper than other codes: four links.
const LINKS_WORTH_A_BLOCK: usize = 400;

fn inflate(deflated: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut plain = Vec::new();
    let read = DeflateDecoder::new(deflated).take(OPENED_MAX as u64 + 1).read_to_end(&mut plain);
    read.map_err(|_| OpenError::Unreadable(Why("the content is not raw DEFLATE")))?;
    Ok(plain)
}

#[cfg(test)]
mod tests;
