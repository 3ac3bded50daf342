//! The v3 side of a device: RFC 3412's message, RFC 3414's user-based security with the digests of RFC 7860 and the
//! ciphers of RFC 3414 (DES), RFC 3826 (AES-128) and draft-blumenthal-aes-usm-04 (longer AES keys, as net-snmp does).

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use des::Des;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::agent::{Answer, Outcome, Pdu, Version};
use super::ber;
use super::manner::{Auth, Manner, Privacy, User};
use super::recording::View;

const REPORT: u8 = 0xa8;
const AUTH_FLAG: u8 = 1;
const PRIVACY_FLAG: u8 = 2;
const REPORTABLE_FLAG: u8 = 4;
/// Seconds by which a message may be off (RFC 3414 2.2.3).
const TIME_WINDOW: u64 = 150;
/// How often this device has been started, and how long it ran before the simulator did: not zero, so that a client
/// that never learned them is noticed.
const BOOTS: u32 = 7;
const RAN_BEFORE: u64 = 100_000;

const UNSUPPORTED_LEVELS: &[u32] = &[1, 3, 6, 1, 6, 3, 15, 1, 1, 1, 0];
const NOT_IN_TIME_WINDOWS: &[u32] = &[1, 3, 6, 1, 6, 3, 15, 1, 1, 2, 0];
const UNKNOWN_USERS: &[u32] = &[1, 3, 6, 1, 6, 3, 15, 1, 1, 3, 0];
const UNKNOWN_ENGINES: &[u32] = &[1, 3, 6, 1, 6, 3, 15, 1, 1, 4, 0];
const WRONG_DIGESTS: &[u32] = &[1, 3, 6, 1, 6, 3, 15, 1, 1, 5, 0];
const DECRYPTION_ERRORS: &[u32] = &[1, 3, 6, 1, 6, 3, 15, 1, 1, 6, 0];
const UNKNOWN_CONTEXTS: &[u32] = &[1, 3, 6, 1, 6, 3, 12, 1, 5, 0];

/// Keys made from passwords, kept because each takes a megabyte of hashing (RFC 3414 A.2) and a fleet shares its users.
#[derive(Debug, Default)]
pub struct Passwords(HashMap<(Auth, String), Vec<u8>>);

/// The authoritative engine of one device.
#[derive(Debug)]
pub struct Engine {
    id: Vec<u8>,
    /// Keys localised to this engine, in the order of the device's users.
    keys: Vec<Keys>,
    /// How often each report was sent, by its OID: reports carry the count.
    reports: BTreeMap<&'static [u32], u64>,
    salt: u64,
}

#[derive(Debug, Default)]
struct Keys {
    auth: Option<(Auth, Vec<u8>)>,
    privacy: Option<(Privacy, Vec<u8>)>,
}

/// What stands around a scoped PDU.
struct Message<'a> {
    /// The message without what may stand behind it.
    whole: &'a [u8],
    id: i64,
    flags: u8,
    engine: &'a [u8],
    boots: i64,
    time: i64,
    user: &'a [u8],
    /// Where the digest stands in `whole`.
    digest_at: usize,
    digest: &'a [u8],
    salt: &'a [u8],
    /// The scoped PDU as it came: enciphered or an element.
    data: &'a [u8],
}

/// How an answer is secured: as the request was.
struct Security<'k> {
    user: &'k [u8],
    keys: &'k Keys,
    flags: u8,
}

impl Engine {
    /// The engine of the device with this address: an id of RFC 3411's form 1 (IPv4 address).
    pub fn new(address: Ipv4Addr, users: &[User], passwords: &mut Passwords) -> Self {
        let id = [&[0x80, 0, 0x1f, 0x88, 1][..], &address.octets()].concat();
        let keys = users.iter().map(|user| Keys::new(user, &id, passwords)).collect();
        Self { id, keys, reports: BTreeMap::new(), salt: u64::from(u32::from(address)) << 32 }
    }
}

/// Answers a v3 message in the order of checks of RFC 3414 3.2.
pub fn answer(
    manner: &Manner,
    views: &[(String, View)],
    engine: &mut Engine,
    now_secs: u64,
    datagram: &[u8],
) -> Outcome {
    let Some(message) = Message::take(datagram) else { return Outcome::Malformed };
    let time = RAN_BEFORE + now_secs;
    let nobody = Keys::default();
    let open = Security { user: message.user, keys: &nobody, flags: 0 };
    let Engine { id, keys, reports, salt } = engine;
    let mut report = |oid, security: &Security<'_>| {
        let count = reports.entry(oid).or_default();
        *count += 1;
        let refused = oid != UNKNOWN_ENGINES && oid != NOT_IN_TIME_WINDOWS;
        if message.flags & REPORTABLE_FLAG == 0 {
            return Outcome::Refused;
        }
        let id_asked =
            if message.flags & PRIVACY_FLAG == 0 { scoped(message.data).map_or(0, |(_, pdu)| pdu.id) } else { 0 };
        let pdu = report_pdu(oid, *count, id_asked);
        let bytes = write(message.id, id, time, security, &scope(id, &[], &pdu), 0);
        Outcome::Report { bytes, refused }
    };
    if message.engine != id.as_slice() {
        return report(UNKNOWN_ENGINES, &open);
    }
    let Some(place) = manner.users.iter().position(|user| user.name.as_bytes() == message.user) else {
        return report(UNKNOWN_USERS, &open);
    };
    let keys = &keys[place];
    let (signed, enciphered) = (message.flags & AUTH_FLAG != 0, message.flags & PRIVACY_FLAG != 0);
    if signed && keys.auth.is_none() || enciphered && (keys.privacy.is_none() || !signed) {
        return report(UNSUPPORTED_LEVELS, &open);
    }
    let security = Security { user: message.user, keys, flags: message.flags & (AUTH_FLAG | PRIVACY_FLAG) };
    // What the asker could not decipher is signed only.
    let signed_only = Security { flags: AUTH_FLAG, ..security };
    if let (true, Some((auth, key))) = (signed, &keys.auth) {
        let mut blank = message.whole.to_vec();
        blank[message.digest_at..message.digest_at + message.digest.len()].fill(0);
        if auth.mac(key, &blank) != message.digest {
            return report(WRONG_DIGESTS, &open);
        }
        let off = time.abs_diff(u64::try_from(message.time).unwrap_or(0));
        if message.boots != i64::from(BOOTS) || off > TIME_WINDOW {
            return report(NOT_IN_TIME_WINDOWS, &signed_only);
        }
    }
    let deciphered;
    let mut data = message.data;
    if let (true, Some((privacy, key))) = (enciphered, &keys.privacy) {
        match privacy.decipher(key, message.boots as u32, message.time as u32, message.salt, data) {
            Some(plain) => deciphered = plain,
            None => return report(DECRYPTION_ERRORS, &signed_only),
        }
        data = &deciphered;
    }
    let Some((context, pdu)) = scoped(data) else {
        return if enciphered { report(DECRYPTION_ERRORS, &signed_only) } else { Outcome::Malformed };
    };
    let Some((_, view)) = views.iter().find(|(name, _)| name.as_bytes() == context) else {
        return report(UNKNOWN_CONTEXTS, &security);
    };
    if keys.auth.is_some() && !signed || keys.privacy.is_some() && !enciphered {
        // RFC 3413 3.2: below the user's level there is no view.
        let scope = scope(id, context, &pdu.unauthorised());
        return Outcome::Report { bytes: write(message.id, id, time, &security, &scope, 0), refused: true };
    }
    // Header, security parameters with a digest of 48 bytes, and the scope.
    let around = 150 + context.len();
    match pdu.respond(manner, view, Version::V2, around) {
        Some(response) => {
            *salt += 1;
            let varbinds = response.varbinds();
            let bytes = write(message.id, id, time, &security, &scope(id, context, &response.into_bytes()), *salt);
            Outcome::Answer(Answer { id: pdu.id, set: pdu.is_set(), varbinds, bytes })
        }
        None => Outcome::Silence,
    }
}

impl<'a> Message<'a> {
    fn take(datagram: &'a [u8]) -> Option<Self> {
        let mut rest = datagram;
        let mut message = ber::expect(&mut rest, ber::SEQUENCE)?;
        let _version = ber::expect_integer(&mut message)?;
        let mut header = ber::expect(&mut message, ber::SEQUENCE)?;
        let id = ber::expect_integer(&mut header)?;
        let _bytes_max = ber::expect_integer(&mut header)?;
        let flags = *ber::expect(&mut header, ber::OCTETS)?.first()?;
        // 3: the user-based model.
        if ber::expect_integer(&mut header)? != 3 {
            return None;
        }
        let mut outer = ber::expect(&mut message, ber::OCTETS)?;
        let mut parameters = ber::expect(&mut outer, ber::SEQUENCE)?;
        let engine = ber::expect(&mut parameters, ber::OCTETS)?;
        let boots = ber::expect_integer(&mut parameters)?;
        let time = ber::expect_integer(&mut parameters)?;
        let user = ber::expect(&mut parameters, ber::OCTETS)?;
        let digest = ber::expect(&mut parameters, ber::OCTETS)?;
        let digest_at = datagram.len() - (rest.len() + message.len() + outer.len() + parameters.len()) - digest.len();
        let salt = ber::expect(&mut parameters, ber::OCTETS)?;
        let data = if flags & PRIVACY_FLAG == 0 { message } else { ber::expect(&mut message, ber::OCTETS)? };
        let whole = &datagram[..datagram.len() - rest.len()];
        Some(Self { whole, id, flags, engine, boots, time, user, digest_at, digest, salt, data })
    }
}

/// The context's name and the PDU of a plain scoped PDU. What stands behind it is padding.
fn scoped(mut data: &[u8]) -> Option<(&[u8], Pdu<'_>)> {
    let mut scope = ber::expect(&mut data, ber::SEQUENCE)?;
    let _engine = ber::expect(&mut scope, ber::OCTETS)?;
    let context = ber::expect(&mut scope, ber::OCTETS)?;
    Some((context, Pdu::take(&mut scope)?))
}

fn scope(engine: &[u8], context: &[u8], pdu: &[u8]) -> Vec<u8> {
    ber::group(ber::SEQUENCE, &[&ber::element(ber::OCTETS, engine), &ber::element(ber::OCTETS, context), pdu])
}

fn report_pdu(oid: &[u32], count: u64, id: i64) -> Vec<u8> {
    // Counter32
    let varbind = ber::group(ber::SEQUENCE, &[&ber::oid(oid), &ber::unsigned(0x41, count)]);
    let zero = ber::integer(ber::INTEGER, 0);
    ber::group(REPORT, &[&ber::integer(ber::INTEGER, id), &zero, &zero, &ber::element(ber::SEQUENCE, &varbind)])
}

/// Writes a message, enciphered and signed as `security` says.
fn write(id: i64, engine: &[u8], time: u64, security: &Security<'_>, scope: &[u8], salt: u64) -> Vec<u8> {
    let time = u32::try_from(time).unwrap_or(u32::MAX);
    let mut salt_written = Vec::new();
    let mut data = scope.to_vec();
    if let (true, Some((privacy, key))) = (security.flags & PRIVACY_FLAG != 0, &security.keys.privacy) {
        salt_written = salt.to_be_bytes().to_vec();
        data = ber::element(ber::OCTETS, &privacy.encipher(key, BOOTS, time, &salt_written, scope));
    }
    let around = |digest: &[u8]| {
        let header = ber::group(
            ber::SEQUENCE,
            &[
                &ber::integer(ber::INTEGER, id),
                &ber::integer(ber::INTEGER, 65507),
                &ber::element(ber::OCTETS, &[security.flags]),
                &ber::integer(ber::INTEGER, 3),
            ],
        );
        let parameters = ber::group(
            ber::SEQUENCE,
            &[
                &ber::element(ber::OCTETS, engine),
                &ber::integer(ber::INTEGER, i64::from(BOOTS)),
                &ber::integer(ber::INTEGER, i64::from(time)),
                &ber::element(ber::OCTETS, security.user),
                &ber::element(ber::OCTETS, digest),
                &ber::element(ber::OCTETS, &salt_written),
            ],
        );
        ber::group(
            ber::SEQUENCE,
            &[&ber::integer(ber::INTEGER, 3), &header, &ber::element(ber::OCTETS, &parameters), &data],
        )
    };
    match (&security.keys.auth, security.flags & AUTH_FLAG != 0) {
        (Some((auth, key)), true) => around(&auth.mac(key, &around(&vec![0; auth.digest_bytes()]))),
        _ => around(&[]),
    }
}

impl Keys {
    fn new(user: &User, engine: &[u8], passwords: &mut Passwords) -> Self {
        let Some((auth, password)) = &user.auth else { return Self::default() };
        let mut localised = |password: &String| {
            let key = passwords.0.entry((*auth, password.clone())).or_insert_with(|| auth.key(password));
            auth.hash(&[&key[..], engine, &key[..]].concat())
        };
        let privacy = user.privacy.as_ref().map(|(privacy, password)| {
            let mut key = localised(password);
            while key.len() < privacy.key_bytes() {
                key = [key.clone(), auth.hash(&key)].concat();
            }
            (*privacy, key)
        });
        Self { auth: Some((*auth, localised(password))), privacy }
    }
}

impl Auth {
    /// RFC 3414 A.2: a megabyte of the password, over and over.
    fn key(self, password: &str) -> Vec<u8> {
        let megabyte: Vec<u8> = password.bytes().cycle().take(1 << 20).collect();
        self.hash(&megabyte)
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => Md5::digest(bytes).to_vec(),
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha224 => Sha224::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// The signature as it is sent: cut to what the RFCs say.
    fn mac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        fn full<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
            let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.update(bytes);
            mac.finalize().into_bytes().to_vec()
        }
        let mut mac = match self {
            Self::Md5 => full::<Hmac<Md5>>(key, bytes),
            Self::Sha1 => full::<Hmac<Sha1>>(key, bytes),
            Self::Sha224 => full::<Hmac<Sha224>>(key, bytes),
            Self::Sha256 => full::<Hmac<Sha256>>(key, bytes),
            Self::Sha384 => full::<Hmac<Sha384>>(key, bytes),
            Self::Sha512 => full::<Hmac<Sha512>>(key, bytes),
        };
        mac.truncate(self.digest_bytes());
        mac
    }

    fn digest_bytes(self) -> usize {
        match self {
            Self::Md5 | Self::Sha1 => 12,
            Self::Sha224 => 16,
            Self::Sha256 => 24,
            Self::Sha384 => 32,
            Self::Sha512 => 48,
        }
    }
}

impl Privacy {
    fn key_bytes(self) -> usize {
        match self {
            Self::Des | Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// The initialisation vector; None when the salt has not 8 bytes.
    fn iv(self, key: &[u8], boots: u32, time: u32, salt: &[u8]) -> Option<Vec<u8>> {
        let salt: [u8; 8] = salt.try_into().ok()?;
        Some(match self {
            Self::Des => key[8..16].iter().zip(salt).map(|(key, salt)| key ^ salt).collect(),
            _ => [&boots.to_be_bytes()[..], &time.to_be_bytes(), &salt].concat(),
        })
    }

    fn encipher(self, key: &[u8], boots: u32, time: u32, salt: &[u8], plain: &[u8]) -> Vec<u8> {
        let iv = self.iv(key, boots, time, salt).expect("a salt of our own has 8 bytes");
        let mut bytes = plain.to_vec();
        let sized = "keys and vectors were cut to size";
        match self {
            Self::Des => {
                bytes.resize(bytes.len().next_multiple_of(8), 0);
                return cbc::Encryptor::<Des>::new_from_slices(&key[..8], &iv)
                    .expect(sized)
                    .encrypt_padded_vec::<NoPadding>(&bytes);
            }
            Self::Aes128 => {
                cfb_mode::Encryptor::<Aes128>::new_from_slices(&key[..16], &iv).expect(sized).encrypt(&mut bytes)
            }
            Self::Aes192 => {
                cfb_mode::Encryptor::<Aes192>::new_from_slices(&key[..24], &iv).expect(sized).encrypt(&mut bytes)
            }
            Self::Aes256 => {
                cfb_mode::Encryptor::<Aes256>::new_from_slices(&key[..32], &iv).expect(sized).encrypt(&mut bytes)
            }
        }
        bytes
    }

    fn decipher(self, key: &[u8], boots: u32, time: u32, salt: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
        let iv = self.iv(key, boots, time, salt)?;
        let mut bytes = bytes.to_vec();
        match self {
            Self::Des => {
                return cbc::Decryptor::<Des>::new_from_slices(&key[..8], &iv)
                    .ok()?
                    .decrypt_padded_vec::<NoPadding>(&bytes)
                    .ok();
            }
            Self::Aes128 => cfb_mode::Decryptor::<Aes128>::new_from_slices(&key[..16], &iv).ok()?.decrypt(&mut bytes),
            Self::Aes192 => cfb_mode::Decryptor::<Aes192>::new_from_slices(&key[..24], &iv).ok()?.decrypt(&mut bytes),
            Self::Aes256 => cfb_mode::Decryptor::<Aes256>::new_from_slices(&key[..32], &iv).ok()?.decrypt(&mut bytes),
        }
        Some(bytes)
    }
}
