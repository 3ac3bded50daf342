//! What opens a device: a community or an SNMPv3 user, known by a name.
//!
//! Targets, mapping files, logs and readings only ever hold the name (DESIGN invariant 7). The secrets live in
//! [`Secret`], which has no `Display` and prints `<secret>` for `Debug`.

use std::fmt;

use zeroize::Zeroize;

/// The port that agents listen at.
pub const SNMP_PORT: u16 = 161;

/// A text that is never printed: no `Display`, and `Debug` says `<secret>`. Its memory is overwritten when dropped.
#[derive(Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of sight.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A way in, and the name that everything else knows it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What targets and the memory call it.
    pub name: String,
    /// What is sent.
    pub access: Access,
}

/// A community, or a user of SNMPv3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// SNMPv1 and v2c.
    Community {
        /// 0 to 255 bytes, any text.
        community: Secret,
        /// Which of the two.
        versions: Versions,
    },
    /// SNMPv3 with the user-based security model (RFC 3414).
    User(User),
}

/// The versions that a community is tried in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// v2c first; what stays silent is asked in v1 too.
    #[default]
    Either,
    /// v1 alone.
    V1,
    /// v2c alone.
    V2c,
}

/// The version that an answer came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// SNMPv1, RFC 1157.
    V1,
    /// SNMPv2c, RFC 1901.
    V2c,
    /// SNMPv3, RFC 3411 to 3418.
    V3,
}

impl Version {
    /// `1`, `2c` or `3`, as options and configuration write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1",
            Self::V2c => "2c",
            Self::V3 => "3",
        }
    }
}

/// A user of SNMPv3: noAuthNoPriv, authNoPriv or authPriv by what is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// msgUserName, 1 to 32 bytes.
    pub name: String,
    /// How messages are signed.
    pub auth: Option<(AuthProtocol, Secret)>,
    /// How they are sealed; only together with `auth`.
    pub privacy: Option<(PrivProtocol, Secret)>,
    /// The context asked when a mapping names none; nearly always empty. (HP: some objects only in `Jetdirect`.)
    pub context: String,
}

/// Hash functions for signing messages: RFC 3414 and RFC 7860.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the whole meaning")]
pub enum AuthProtocol {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Ciphers for sealing messages: RFC 3414 and RFC 3826; the longer keys as net-snmp makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the whole meaning")]
pub enum PrivProtocol {
    Des,
    Aes128,
    /// Key extended as in draft-blumenthal-aes-usm-04.
    Aes192,
    /// Key extended as in draft-blumenthal-aes-usm-04.
    Aes256,
    /// Key extended as in draft-reeder-snmpv3-usm-3desede-00, as Cisco does.
    Aes192Reeder,
    /// Key extended as in draft-reeder-snmpv3-usm-3desede-00, as Cisco does.
    Aes256Reeder,
}

/// What is wrong with a credential. The text never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCredential {
    /// A word that names no hash function.
    #[error("`{0}` is no authentication protocol: MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512 would be")]
    AuthProtocol(String),
    /// A word that names no cipher.
    #[error("`{0}` is no privacy protocol: DES, AES, AES-192 or AES-256 would be")]
    PrivProtocol(String),
    /// RFC 3414 section 11.2 wants eight characters; every agent insists on them.
    #[error("the {0} secret is shorter than 8 characters, which no SNMPv3 agent takes")]
    SecretTooShort(&'static str),
    /// msgUserName is an OCTET STRING of 1 to 32.
    #[error("a user name has 1 to 32 bytes, this one has {0}")]
    UserName(usize),
    /// A community that no message can carry.
    #[error("a community has at most 255 bytes, this one has {0}")]
    Community(usize),
    /// Sealing without signing does not exist (RFC 3411 section 3.4.3).
    #[error("a privacy secret needs an authentication secret too")]
    PrivacyAlone,
    /// Wrong number of parts between the colons.
    #[error(
        "`--v3` takes `user`, `user:auth-proto:auth-secret` or `user:auth-proto:auth-secret:priv-proto:priv-secret`, this has {0} parts"
    )]
    Parts(usize),
}

impl Credential {
    /// A community under a name.
    pub fn community(name: &str, community: Secret, versions: Versions) -> Result<Self, BadCredential> {
        match community.expose().len() {
            0..=255 => Ok(Self { name: name.to_owned(), access: Access::Community { community, versions } }),
            long => Err(BadCredential::Community(long)),
        }
    }

    /// A user under a name.
    pub fn user(name: &str, user: User) -> Result<Self, BadCredential> {
        if !(1..=32).contains(&user.name.len()) {
            return Err(BadCredential::UserName(user.name.len()));
        }
        if user.privacy.is_some() && user.auth.is_none() {
            return Err(BadCredential::PrivacyAlone);
        }
        let short = |secret: &Secret| secret.expose().len() < 8;
        if user.auth.as_ref().is_some_and(|(_, secret)| short(secret)) {
            return Err(BadCredential::SecretTooShort("authentication"));
        }
        if user.privacy.as_ref().is_some_and(|(_, secret)| short(secret)) {
            return Err(BadCredential::SecretTooShort("privacy"));
        }
        Ok(Self { name: name.to_owned(), access: Access::User(user) })
    }

    /// Reads the command line's `user[:auth-proto:auth-secret[:priv-proto:priv-secret]]`; the credential is named after
    /// the user. A secret with a colon in it cannot be written this way and belongs into the configuration.
    pub fn parse_v3(text: &str) -> Result<Self, BadCredential> {
        let parts: Vec<&str> = text.split(':').collect();
        let (auth, privacy) = match *parts {
            [_] => (None, None),
            [_, auth, secret] => (Some((auth.parse()?, Secret::new(secret))), None),
            [_, auth, auth_secret, privacy, secret] => {
                (Some((auth.parse()?, Secret::new(auth_secret))), Some((privacy.parse()?, Secret::new(secret))))
            }
            _ => return Err(BadCredential::Parts(parts.len())),
        };
        Self::user(parts[0], User { name: parts[0].to_owned(), auth, privacy, context: String::new() })
    }

    /// Whether this is a user of SNMPv3.
    pub fn is_v3(&self) -> bool {
        matches!(self.access, Access::User(_))
    }
}

/// Upper case without `-`, `_` and blanks, so that `sha-256`, `SHA256` and `sha_256` are one.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect::<String>().to_ascii_uppercase()
}

impl std::str::FromStr for AuthProtocol {
    type Err = BadCredential;

    fn from_str(text: &str) -> Result<Self, BadCredential> {
        Ok(match plain(text).as_str() {
            "MD5" => Self::Md5,
            "SHA" | "SHA1" => Self::Sha1,
            "SHA224" => Self::Sha224,
            "SHA256" => Self::Sha256,
            "SHA384" => Self::Sha384,
            "SHA512" => Self::Sha512,
            _ => return Err(BadCredential::AuthProtocol(text.to_owned())),
        })
    }
}

impl std::str::FromStr for PrivProtocol {
    type Err = BadCredential;

    /// AES-192 and AES-256 alone mean Blumenthal's keys (net-snmp, most printers); `AES-256-C` is Cisco's kind.
    fn from_str(text: &str) -> Result<Self, BadCredential> {
        Ok(match plain(text).as_str() {
            "DES" => Self::Des,
            "AES" | "AES128" => Self::Aes128,
            "AES192" => Self::Aes192,
            "AES256" => Self::Aes256,
            "AES192C" => Self::Aes192Reeder,
            "AES256C" => Self::Aes256Reeder,
            _ => return Err(BadCredential::PrivProtocol(text.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v3_user_is_read_from_one_to_five_parts() {
        let user = |text: &str| match Credential::parse_v3(text).map(|credential| credential.access) {
            Ok(Access::User(user)) => Ok(user),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(user("ann").map(|u| (u.name, u.auth, u.privacy)), Ok(("ann".to_owned(), None, None)));
        let sealed = user("ann:sha-256:eightchr:AES_192:privpriv").unwrap();
        assert_eq!(
            sealed.auth.map(|(p, s)| (p, s.expose().to_owned())),
            Some((AuthProtocol::Sha256, "eightchr".into()))
        );
        assert_eq!(sealed.privacy.map(|(p, _)| p), Some(PrivProtocol::Aes192));
        for (bad, text) in [
            ("", "a user name has 1 to 32 bytes, this one has 0"),
            (
                "ann:SHA",
                "`--v3` takes `user`, `user:auth-proto:auth-secret` or \
              `user:auth-proto:auth-secret:priv-proto:priv-secret`, this has 2 parts",
            ),
            (
                "ann:SHA3:eightchr",
                "`SHA3` is no authentication protocol: MD5, SHA, SHA-224, SHA-256, SHA-384 or \
              SHA-512 would be",
            ),
            ("ann:SHA:eightchr:RC4:eightchr", "`RC4` is no privacy protocol: DES, AES, AES-192 or AES-256 would be"),
            ("ann:SHA:seven77", "the authentication secret is shorter than 8 characters, which no SNMPv3 agent takes"),
        ] {
            assert_eq!(user(bad).unwrap_err(), text, "{bad}");
        }
    }

    #[test]
    fn secrets_are_never_printed() {
        let credential = Credential::parse_v3("ann:MD5:hidden-one:DES:hidden-two").unwrap();
        let community = Credential::community("hall", Secret::new("hidden-three"), Versions::Either).unwrap();
        let shown = format!("{credential:?} {community:?} {:#?}", Credential::parse_v3("ann:hidden4:x:y:z"));
        assert!(!shown.contains("hidden-"), "{shown}");
        assert!(shown.contains("<secret>"));
    }
}
