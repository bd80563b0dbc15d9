//! Content encryption: the six `enc` of RFC 7518, section 5.

use crate::Error;
use crate::algorithm::ContentEncryption;
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac, rand};
use zeroize::Zeroizing;

/// Bytes of the initialization vector of AES-GCM (RFC 7518, section 5.3).
pub(super) const GCM_IV_LEN: usize = 12;
/// Bytes of the tag of AES-GCM.
pub(super) const GCM_TAG_LEN: usize = 16;
/// Bytes of the initialization vector of AES-CBC, one block.
const CBC_IV_LEN: usize = 16;

/// Encrypted content with its vector and tag.
pub(super) struct Sealed {
    pub(super) iv: Vec<u8>,
    pub(super) ciphertext: Vec<u8>,
    pub(super) tag: Vec<u8>,
}

/// A fresh random key for `encryption`.
pub(super) fn generate_key(encryption: ContentEncryption) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut key = Zeroizing::new(vec![0; encryption.key_bytes()]);
    rand::fill(&mut key).map_err(|_| Error::Crypto("random numbers"))?;
    Ok(key)
}

/// Encrypts `plaintext` under a fresh random vector.
pub(super) fn seal(
    encryption: ContentEncryption,
    key: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Sealed, Error> {
    let mut iv = [0; CBC_IV_LEN];
    rand::fill(&mut iv).map_err(|_| Error::Crypto("random numbers"))?;
    seal_under(encryption, key, &iv, aad, plaintext)
}

/// Encrypts under the given vector, of which AES-GCM takes the first twelve bytes.
pub(super) fn seal_under(
    encryption: ContentEncryption,
    key: &[u8],
    iv: &[u8; CBC_IV_LEN],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Sealed, Error> {
    match Scheme::of(encryption) {
        Scheme::Gcm(algorithm) => {
            let (iv, _) = iv.split_at(GCM_IV_LEN);
            let key = gcm_key(algorithm, key)?;
            let nonce = Nonce::try_assume_unique_for_key(iv)
                .map_err(|_| Error::Crypto("AES-GCM encryption"))?;
            let mut ciphertext = plaintext.to_vec();
            let tag = key
                .seal_in_place_separate_tag(nonce, Aad::from(aad), &mut ciphertext)
                .map_err(|_| Error::Crypto("AES-GCM encryption"))?;
            Ok(Sealed {
                iv: iv.to_vec(),
                ciphertext,
                tag: tag.as_ref().to_vec(),
            })
        }
        Scheme::CbcHmac(scheme) => {
            let (mac_key, cipher_key) = scheme.keys(key)?;
            let failed = |_| Error::Crypto("AES-CBC encryption");
            // With room for the padding: if it had to move, a copy of the plaintext would stay behind.
            let mut ciphertext = Vec::with_capacity(plaintext.len().saturating_add(CBC_IV_LEN));
            ciphertext.extend_from_slice(plaintext);
            UnboundCipherKey::new(scheme.cipher, cipher_key)
                .and_then(PaddedBlockEncryptingKey::cbc_pkcs7)
                .map_err(failed)?
                .less_safe_encrypt(
                    &mut ciphertext,
                    EncryptionContext::Iv128(FixedLength::from(iv)),
                )
                .map_err(failed)?;
            let tag = scheme.tag(mac_key, aad, iv, &ciphertext);
            let (tag, _) = tag.as_ref().split_at(scheme.half_len);
            Ok(Sealed {
                iv: iv.to_vec(),
                tag: tag.to_vec(),
                ciphertext,
            })
        }
    }
}

/// Decrypts, or fails without a word about where.
///
/// The MAC of AES-CBC is compared, in constant time, before the padding is looked at: whoever can't make
/// the MAC learns nothing from the padding (RFC 7518, section 5.2.2.2).
pub(super) fn open(
    encryption: ContentEncryption,
    key: &[u8],
    iv: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    match Scheme::of(encryption) {
        Scheme::Gcm(algorithm) => {
            // aws-lc would take shorter tags, which are quicker to guess.
            if tag.len() != GCM_TAG_LEN {
                return Err(Error::DecryptionFailed);
            }
            let key = gcm_key(algorithm, key).map_err(|_| Error::DecryptionFailed)?;
            let nonce =
                Nonce::try_assume_unique_for_key(iv).map_err(|_| Error::DecryptionFailed)?;
            let mut plaintext = Zeroizing::new(vec![0; ciphertext.len()]);
            key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, &mut plaintext)
                .map_err(|_| Error::DecryptionFailed)?;
            Ok(plaintext)
        }
        Scheme::CbcHmac(scheme) => {
            let (mac_key, cipher_key) = scheme.keys(key).map_err(|_| Error::DecryptionFailed)?;
            let iv: &[u8; CBC_IV_LEN] = iv.try_into().map_err(|_| Error::DecryptionFailed)?;
            let expected = scheme.tag(mac_key, aad, iv, ciphertext);
            let (expected, _) = expected.as_ref().split_at(scheme.half_len);
            constant_time::verify_slices_are_equal(expected, tag)
                .map_err(|_| Error::DecryptionFailed)?;
            let mut plaintext = Zeroizing::new(ciphertext.to_vec());
            let length = UnboundCipherKey::new(scheme.cipher, cipher_key)
                .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
                .and_then(|key| {
                    let context = DecryptionContext::Iv128(FixedLength::from(iv));
                    Ok(key.decrypt(&mut plaintext, context)?.len())
                })
                .map_err(|_| Error::DecryptionFailed)?;
            plaintext.truncate(length);
            Ok(plaintext)
        }
    }
}

enum Scheme {
    Gcm(&'static aead::Algorithm),
    CbcHmac(CbcHmac),
}

impl Scheme {
    fn of(encryption: ContentEncryption) -> Self {
        let cbc_hmac = |cipher, hmac, half_len| {
            Self::CbcHmac(CbcHmac {
                cipher,
                hmac,
                half_len,
            })
        };
        match encryption {
            ContentEncryption::A128Gcm => Self::Gcm(&aead::AES_128_GCM),
            ContentEncryption::A192Gcm => Self::Gcm(&aead::AES_192_GCM),
            ContentEncryption::A256Gcm => Self::Gcm(&aead::AES_256_GCM),
            ContentEncryption::A128CbcHs256 => cbc_hmac(&cipher::AES_128, hmac::HMAC_SHA256, 16),
            ContentEncryption::A192CbcHs384 => cbc_hmac(&cipher::AES_192, hmac::HMAC_SHA384, 24),
            ContentEncryption::A256CbcHs512 => cbc_hmac(&cipher::AES_256, hmac::HMAC_SHA512, 32),
        }
    }
}

/// AES-CBC with HMAC (RFC 7518, section 5.2).
struct CbcHmac {
    cipher: &'static cipher::Algorithm,
    hmac: hmac::Algorithm,
    /// Bytes of the MAC key, of the cipher key and of the tag alike.
    half_len: usize,
}

impl CbcHmac {
    /// The MAC key and the cipher key: the halves of `key` in this order.
    fn keys<'a>(&self, key: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Error> {
        if key.len() == 2 * self.half_len {
            Ok(key.split_at(self.half_len))
        } else {
            Err(Error::Crypto("a content key of another length"))
        }
    }

    /// The whole MAC, of which the tag is the first half.
    fn tag(&self, key: &[u8], aad: &[u8], iv: &[u8], ciphertext: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&hmac::Key::new(self.hmac, key));
        context.update(aad);
        context.update(iv);
        context.update(ciphertext);
        // `usize` has at most 64 bits, and no slice in memory has 2^61 bytes.
        context.update(&(aad.len() as u64).wrapping_mul(8).to_be_bytes());
        context.sign()
    }
}

/// A prepared key of AES-GCM.
pub(super) fn gcm_key(
    algorithm: &'static aead::Algorithm,
    key: &[u8],
) -> Result<LessSafeKey, Error> {
    UnboundKey::new(algorithm, key)
        .map(LessSafeKey::new)
        .map_err(|_| Error::Crypto("an AES-GCM key of another length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What moves leaves a copy behind: the room for the padding has to be there from the start.
    #[test]
    fn plaintext_does_not_move_while_it_is_encrypted() {
        for encryption in ContentEncryption::ALL.iter().copied() {
            let key = generate_key(encryption).unwrap();
            let sealed = seal(encryption, &key, b"", &[7; 1000]).unwrap();
            assert!(
                sealed.ciphertext.capacity() <= 1000 + CBC_IV_LEN,
                "{encryption}"
            );
        }
    }
}
