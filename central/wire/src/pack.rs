//! Packs of mapping files on their way: channel, version and expiry in one signed line, and the signature of stock minisign
//! that proves them. What is inside a pack is the collector's affair.
//!
//! A signature is prehashed (minisign's default); the legacy kind is refused. Its trusted comment is signed with it and is
//! believed only from [`Minisig::prove`]; before that [`Minisig::claim`] serves to see whether a download is worth while.

#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use minisign_verify::{PublicKey, Signature};

use crate::quoted;

/// Where a central serves packs: `<base>/packs/<channel>.zip` and `.zip.minisig`.
pub const PATH: &str = "/packs";

/// Bytes of a pack; a longer one is refused.
pub const PACK_BYTES_MAX: usize = 32 << 20;

/// Bytes of a signature file; a longer one is refused.
pub const SIGNATURE_BYTES_MAX: usize = 1024;

/// Characters of a channel's name.
pub const CHANNEL_CHARS_MAX: usize = 32;

/// What every trusted comment begins with.
const COMMENT: &str = "pmd-pack";

/// A line of packs that follow each other: `stable`. Lower-case letters, digits and `-`, no `-` in front.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(String);

/// Which pack it is, and until when it is the newest that there ought to be. Its text is minisign's trusted comment:
/// `pmd-pack channel=stable version=12 expires=2026-12-31T00:00:00Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The channel.
    pub channel: Channel,
    /// Rises with every pack of a channel, from 1; 0 is the library inside the program.
    pub version: u64,
    /// After this a newer one ought to have come. An expired pack goes on working.
    pub expires: Timestamp,
}

/// Why a text names no pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLabel(String);

impl Channel {
    /// Takes a name.
    pub fn parse(text: &str) -> Result<Self, BadLabel> {
        let is_name = !text.starts_with('-')
            && (1..=CHANNEL_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let wrong =
            || format!("{} is no channel: lower-case letters, digits and `-` would be right, 32 at most", quoted(text));
        if is_name { Ok(Self(text.to_owned())) } else { Err(BadLabel(wrong())) }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Label {
    /// Reads a trusted comment; its parts stand in this order, with one blank between them.
    pub fn parse(comment: &str) -> Result<Self, BadLabel> {
        let wrong = |what: String| {
            BadLabel(format!(
                "{what}: `{COMMENT} channel=stable version=12 expires=2026-12-31T00:00:00Z` would be a pack's comment"
            ))
        };
        let parts: Vec<&str> = comment.split(' ').collect();
        let [COMMENT, channel, version, expires] = parts[..] else { return Err(wrong(quoted(comment))) };
        let value = |part: &'static str, text: &str| {
            text.strip_prefix(part).map(str::to_owned).ok_or_else(|| wrong(format!("{} is no `{part}`", quoted(text))))
        };
        let (channel, version, expires) =
            (value("channel=", channel)?, value("version=", version)?, value("expires=", expires)?);
        Ok(Self {
            channel: Channel::parse(&channel)?,
            version: parse_version(&version)?,
            expires: parse_expiry(&expires)?,
        })
    }

    /// Whether a newer pack ought to have come by now.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{COMMENT} channel={} version={} expires={}", self.channel, self.version, self.expires)
    }
}

/// A version from 1, without leading zeros or a sign.
fn parse_version(text: &str) -> Result<u64, BadLabel> {
    let is_number = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| BadLabel(format!("{} is no version: a whole number from 1 would be right", quoted(text))))
}

/// RFC 3339, in any zone.
fn parse_expiry(text: &str) -> Result<Timestamp, BadLabel> {
    let wrong = || BadLabel(format!("{} is no time: `2026-12-31T00:00:00Z` would be right", quoted(text)));
    text.parse().map_err(|_| wrong())
}

/// A key that packs may be signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    key: PublicKey,
    id: KeyId,
    text: String,
}

/// How minisign names a key: sixteen hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 8]);

impl KeyId {
    fn of(octets: &[u8]) -> Option<Self> {
        octets.get(2..10)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Key {
    /// Takes the base64 line of a public key file.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let bad = || BadKey(quoted(text));
        let octets = STANDARD.decode(text.trim()).map_err(|_| bad())?;
        let id = KeyId::of(&octets).filter(|_| octets.len() == 42 && octets.starts_with(b"Ed")).ok_or_else(bad)?;
        let key = PublicKey::from_base64(text.trim()).map_err(|_| bad())?;
        Ok(Self { key, id, text: text.trim().to_owned() })
    }

    /// The base64 line, as it was taken.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How minisign names it.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

/// A text that is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no minisign public key: the second line of the file that `minisign -G` writes would be right")]
pub struct BadKey(String);

/// Why a pack is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// The signature file.
    #[error("this is no minisign signature: {0}")]
    Unreadable(&'static str),
    /// Made with `minisign -l`.
    #[error("the signature is of minisign's legacy kind: sign without `-l`")]
    Legacy,
    /// Nothing can be believed without a key.
    #[error("no key is known that packs are signed with: `[packs].keys` names some, or the enrolment token")]
    NoKeys,
    /// Made with another key.
    #[error("the signature is by key {found}, and key {} would be right", listed(.expected))]
    UnknownKey {
        /// The signature's.
        found: KeyId,
        /// Those that are trusted.
        expected: Vec<KeyId>,
    },
    /// The bytes, the signature or its comment have been changed.
    #[error("the signature does not fit: the pack or the signature was changed after it was signed")]
    Forged,
    /// It is signed, and by no pack's comment.
    #[error("the signed comment: {0}")]
    Comment(#[from] BadLabel),
}

fn listed(keys: &[KeyId]) -> String {
    keys.iter().map(KeyId::to_string).collect::<Vec<_>>().join(" or ")
}

/// A signature file, read and not yet believed.
#[derive(Clone)]
pub struct Minisig {
    signature: Signature,
    key: KeyId,
}

impl Minisig {
    /// Reads a signature file of at most [`SIGNATURE_BYTES_MAX`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NotProven> {
        if bytes.len() > SIGNATURE_BYTES_MAX {
            return Err(NotProven::Unreadable("it has more than 1024 bytes"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NotProven::Unreadable("it is no text"))?;
        let octets = text.lines().nth(1).and_then(|line| STANDARD.decode(line).ok());
        let octets = octets.filter(|octets| octets.len() == 74).ok_or(NotProven::Unreadable("its second line"))?;
        if octets.starts_with(b"Ed") {
            return Err(NotProven::Legacy);
        }
        let key = KeyId::of(&octets).ok_or(NotProven::Unreadable("its second line"))?;
        let signature = Signature::decode(text).map_err(|_| NotProven::Unreadable("its four lines"))?;
        Ok(Self { signature, key })
    }

    /// What its comment says, which nobody has proven: good for not downloading what is there already, and for nothing else.
    pub fn claim(&self) -> Result<Label, BadLabel> {
        Label::parse(self.signature.trusted_comment())
    }

    /// Proves that one of these keys signed these bytes and the comment, and says what the comment says.
    pub fn prove(&self, keys: &[Key], bytes: &[u8]) -> Result<Label, NotProven> {
        if keys.is_empty() {
            return Err(NotProven::NoKeys);
        }
        let expected = || keys.iter().map(Key::id).collect();
        let mut of_its_key = keys.iter().filter(|key| key.id == self.key).peekable();
        if of_its_key.peek().is_none() {
            return Err(NotProven::UnknownKey { found: self.key, expected: expected() });
        }
        let legacy = false;
        if !of_its_key.any(|key| key.key.verify(bytes, &self.signature, legacy).is_ok()) {
            return Err(NotProven::Forged);
        }
        Ok(self.claim()?)
    }
}
