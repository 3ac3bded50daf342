//! AES-CBC and HMAC as RFC 7518 section 5.2 puts them together: the first half of a key authenticates, the second
//! encrypts; the MAC covers AAD, IV, ciphertext and the AAD's length in bits; its first half is the tag.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use aes::{Aes128, Aes256};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::keys::{ContentKey, Enc};

/// Sealed octets in their three parts.
pub(super) struct Sealed {
    pub(super) iv: [u8; 16],
    pub(super) ciphertext: Vec<u8>,
    pub(super) tag: Vec<u8>,
}

/// Sealed octets whose tag was right: only these can be decrypted.
pub(super) struct Verified<'s>(&'s Sealed);

impl Sealed {
    pub(super) fn new(plain: &[u8], aad: &[u8], key: &ContentKey, iv: [u8; 16]) -> Self {
        let (_, aes) = halves(key);
        let ciphertext = match key.enc() {
            Enc::A256CbcHs512 => cbc::Encryptor::<Aes256>::new_from_slices(aes, &iv).map(encrypt(plain)),
            Enc::A128CbcHs256 => cbc::Encryptor::<Aes128>::new_from_slices(aes, &iv).map(encrypt(plain)),
        };
        let mut sealed =
            Self { iv, ciphertext: ciphertext.expect("the halves have the cipher's length"), tag: Vec::new() };
        sealed.tag = sealed.right_tag(key, aad);
        sealed
    }

    /// Compares the tag in constant time.
    pub(super) fn verify(&self, key: &ContentKey, aad: &[u8]) -> Option<Verified<'_>> {
        let right = self.right_tag(key, aad);
        bool::from(right.ct_eq(&self.tag)).then_some(Verified(self))
    }

    fn right_tag(&self, key: &ContentKey, aad: &[u8]) -> Vec<u8> {
        let (mac, _) = halves(key);
        let bits = (aad.len() as u64 * 8).to_be_bytes();
        let parts = [aad, &self.iv, &self.ciphertext, &bits];
        match key.enc() {
            Enc::A256CbcHs512 => hmac::<Hmac<Sha512>>(mac, parts),
            Enc::A128CbcHs256 => hmac::<Hmac<Sha256>>(mac, parts),
        }
    }
}

impl Verified<'_> {
    /// `None` when the padding is bad, which under a right tag only its sealer can have done.
    pub(super) fn decrypt(&self, key: &ContentKey) -> Option<Vec<u8>> {
        let (_, aes) = halves(key);
        let Sealed { iv, ciphertext, .. } = self.0;
        let plain = match key.enc() {
            Enc::A256CbcHs512 => cbc::Decryptor::<Aes256>::new_from_slices(aes, iv)
                .map(|cipher| cipher.decrypt_padded_vec::<Pkcs7>(ciphertext)),
            Enc::A128CbcHs256 => cbc::Decryptor::<Aes128>::new_from_slices(aes, iv)
                .map(|cipher| cipher.decrypt_padded_vec::<Pkcs7>(ciphertext)),
        };
        plain.expect("the halves have the cipher's length").ok()
    }
}

fn encrypt<C: BlockModeEncrypt>(plain: &[u8]) -> impl FnOnce(C) -> Vec<u8> {
    |cipher| cipher.encrypt_padded_vec::<Pkcs7>(plain)
}

/// MAC key, AES key.
fn halves(key: &ContentKey) -> (&[u8], &[u8]) {
    key.octets().split_at(key.octets().len() / 2)
}

/// The left half of an HMAC.
fn hmac<M: Mac + KeyInit>(key: &[u8], parts: [&[u8]; 4]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("any length is right for HMAC");
    parts.iter().for_each(|part| mac.update(part));
    let tag = mac.finalize().into_bytes();
    tag[..tag.len() / 2].to_vec()
}
