//! Keys for what lies on a disk, derived from the machine key. Both programs have one, beside their configuration and
//! never in the data directory: a stolen database or backup tells nothing.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{ContentKey, Enc, expand};
use crate::hex;

/// The 32 octets of `machine.key`.
#[derive(Clone, PartialEq, Eq)]
pub struct MachineKey(Zeroizing<[u8; 32]>);

impl MachineKey {
    /// From the file's content.
    pub fn new(octets: [u8; 32]) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// Seals rows about devices.
    pub fn memory_key(&self) -> ContentKey {
        self.content_key("memory")
    }

    /// Seals the sites' secrets and copies of credentials.
    pub fn secrets_key(&self) -> ContentKey {
        self.content_key("secrets")
    }

    /// Hashes names that rows are looked up by, and fields that the policy says to hash.
    pub fn names_key(&self) -> NamesKey {
        let mut octets = Zeroizing::new([0; 32]);
        expand(&*self.0, &["at-rest", "names"], &mut *octets);
        NamesKey(octets)
    }

    fn content_key(&self, purpose: &str) -> ContentKey {
        let mut octets = Zeroizing::new([0; 64]);
        expand(&*self.0, &["at-rest", purpose], &mut *octets);
        ContentKey::from_octets(Enc::A256CbcHs512, &*octets).expect("64 octets")
    }
}

impl fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineKey(<secret>)")
    }
}

/// The key of look-up names and hashed fields: HMAC-SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct NamesKey(Zeroizing<[u8; 32]>);

impl NamesKey {
    /// A name that rows are looked up by: 64 hex digits, the same for the same text.
    pub fn look_up(&self, clear: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("any length is right for HMAC");
        mac.update(clear.as_bytes());
        hex::encode(&mac.finalize().into_bytes())
    }

    /// A field as the policy sends it when it must not be sent in clear: `h:` and 32 hex digits.
    pub fn hashed(&self, clear: &str) -> String {
        format!("h:{}", &self.look_up(clear)[..32])
    }
}

impl fmt::Debug for NamesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NamesKey(<secret>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_key_is_the_one_of_the_standard() {
        let machine = MachineKey::new(std::array::from_fn(|i| i as u8));
        let expected = "f34d913bf03cc8d385ff58d5997787ae5a5d1ff68daa47c6a02c5db1bccfca1e375e7699bf476ffdeca2a72189c81516ab64e7928e27d75b588d45091e727bee";
        assert_eq!(hex::encode(machine.memory_key().octets()), expected);
        assert_ne!(machine.memory_key(), machine.secrets_key());
    }

    #[test]
    fn hashed_fields_are_short_stable_and_told_apart() {
        let names = MachineKey::new([7; 32]).names_key();
        assert_eq!(names.hashed("VNB3K12345"), names.hashed("VNB3K12345"));
        assert_ne!(names.hashed("VNB3K12345"), names.hashed("VNB3K12346"));
        assert_eq!(names.hashed("").len(), 34);
        assert!(names.hashed("x").starts_with("h:"));
    }
}
