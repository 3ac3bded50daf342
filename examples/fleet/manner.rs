//! How a device behaves, beside what it answers: whom it trusts, how slow, how lossy, how odd.

use std::str::FromStr;
use std::time::Duration;

/// The behaviour of one device. The default is a good one: v1 and v2c, community `public`, at once, nothing lost.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Whether v1 is answered.
    pub v1: bool,
    /// Whether v2c is answered.
    pub v2c: bool,
    /// The communities that are answered; a request with another one is met with silence.
    pub communities: Vec<String>,
    /// The v3 users; with none, v3 is met with silence.
    pub users: Vec<User>,
    /// How long an answer takes.
    pub delay: Duration,
    /// How far the delay swings to both sides.
    pub jitter: Duration,
    /// Share of requests lost on the way to the device, 0 to 1.
    pub loss_in: f64,
    /// Share of answers lost on the way back, 0 to 1.
    pub loss_out: f64,
    /// The request of this number is the first that is answered (1 is the first of all): those before wake the device.
    pub wakes_at: u64,
    /// What comes so long after the first request, or later, is answered.
    pub wakes_after: Duration,
    /// More objects than this in one request are `tooBig`.
    pub varbinds_max: usize,
    /// An answer is at most this many bytes (GETBULK is cut, the rest is `tooBig`): one Ethernet frame.
    pub bytes_max: usize,
    /// A request that names an object under one of these never gets an answer.
    pub never: Vec<Vec<u32>>,
    /// Every so many answers one is later than the others by so much.
    pub late: Option<(u64, Duration)>,
    /// Every answer is sent twice.
    pub twice: bool,
    /// Answers leave from another port than the one that was asked.
    pub other_port: bool,
}

/// A v3 user.
#[derive(Clone, Debug)]
pub struct User {
    /// Its name.
    pub name: String,
    /// How it signs, with its password; none: noAuthNoPriv.
    pub auth: Option<(Auth, String)>,
    /// How it enciphers, with its password; needs `auth`.
    pub privacy: Option<(Privacy, String)>,
}

/// Digest of a v3 user (RFC 3414, RFC 7860).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Cipher of a v3 user: RFC 3414, RFC 3826, and for the longer AES keys draft-blumenthal-aes-usm-04, as net-snmp does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    Des,
    Aes128,
    Aes192,
    Aes256,
}

impl FromStr for User {
    type Err = String;

    /// `name`, `name:sha256:secret` or `name:sha256:secret:aes128:secret`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let auth = |name: &str, secret: &str| Some((Auth::named(name)?, secret.to_owned()));
        let privacy = |name: &str, secret: &str| Some((Privacy::named(name)?, secret.to_owned()));
        match parts[..] {
            [name] => Some((name, None, None)),
            [name, a, secret] => auth(a, secret).map(|auth| (name, Some(auth), None)),
            [name, a, s, p, t] => {
                auth(a, s).zip(privacy(p, t)).map(|(auth, privacy)| (name, Some(auth), Some(privacy)))
            }
            _ => None,
        }
        .map(|(name, auth, privacy)| Self { name: name.to_owned(), auth, privacy })
        .ok_or_else(|| {
            "not `name[:md5|sha1|sha224|sha256|sha384|sha512:secret[:des|aes128|aes192|aes256:secret]]`".into()
        })
    }
}

impl Auth {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }
}

impl Privacy {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "des" => Self::Des,
            "aes128" => Self::Aes128,
            "aes192" => Self::Aes192,
            "aes256" => Self::Aes256,
            _ => return None,
        })
    }
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            v1: true,
            v2c: true,
            communities: vec!["public".into()],
            users: Vec::new(),
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss_in: 0.0,
            loss_out: 0.0,
            wakes_at: 1,
            wakes_after: Duration::ZERO,
            varbinds_max: usize::MAX,
            bytes_max: 1472,
            never: Vec::new(),
            late: None,
            twice: false,
            other_port: false,
        }
    }
}

/// Seeded dice (splitmix64): the same seed loses the same datagrams of the same order.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of their own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number of 0 up to, not including, 1.
    pub fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A delay between `middle - swing` and `middle + swing`.
    pub fn around(&mut self, middle: Duration, swing: Duration) -> Duration {
        if swing.is_zero() {
            return middle;
        }
        middle.saturating_sub(swing) + (2 * swing).mul_f64(self.share())
    }
}
