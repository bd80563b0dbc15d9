//! AES key wrap (RFC 3394; RFC 7518, section 4.4).
//!
//! Built on the single block of AES, since aws-lc-rs wraps with 128 and 256 bits only, and at every call
//! from the raw key: here the key schedule is made once, and the three sizes go one way. The tests hold
//! it against the RFC's vectors and, where it exists, against aws-lc-rs' own.

use crate::Error;
use aws_lc_rs::cipher::{
    self, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::constant_time;
use aws_lc_rs::error::Unspecified;
use zeroize::Zeroizing;

/// Bytes of a half block, the unit of wrapping.
const HALF: usize = 8;
/// Bytes of a block of AES.
const BLOCK: usize = 16;
/// The initial value, by which unwrapping is checked (RFC 3394, section 2.2.3.1).
const INITIAL: [u8; HALF] = [0xa6; HALF];
/// How often the whole is gone through.
const ROUNDS: usize = 6;
/// Content keys have 16 to 64 bytes.
const KEY_MAX: usize = 64;

/// A key prepared to wrap.
pub(in crate::jwe) struct AesKeyWrap {
    key: EncryptingKey,
}

/// A key prepared to unwrap.
pub(in crate::jwe) struct AesKeyUnwrap {
    key: DecryptingKey,
}

/// The block cipher of a key of 16, 24 or 32 bytes.
fn block_cipher(key: &[u8]) -> Result<UnboundCipherKey, Unspecified> {
    let algorithm = match key.len() {
        16 => &cipher::AES_128,
        24 => &cipher::AES_192,
        _ => &cipher::AES_256,
    };
    UnboundCipherKey::new(algorithm, key)
}

fn wrong_length(_: Unspecified) -> Error {
    Error::Crypto("an AES key of another length")
}

impl AesKeyWrap {
    /// From 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Result<Self, Error> {
        block_cipher(key)
            .and_then(EncryptingKey::ecb)
            .map(|key| Self { key })
            .map_err(wrong_length)
    }

    /// Wraps a key of a whole number of half blocks.
    pub(super) fn wrap(&self, key: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = Error::Crypto("AES key wrap");
        if key.len() < 2 * HALF || key.len() > KEY_MAX || !key.len().is_multiple_of(HALF) {
            return Err(failed);
        }
        let mut check = INITIAL;
        let mut halves = Zeroizing::new(key.to_vec());
        let mut step: u64 = 0;
        for _ in 0..ROUNDS {
            for half in halves.chunks_exact_mut(HALF) {
                step += 1;
                let mut block = Zeroizing::new([0; BLOCK]);
                join(&mut block, check, half);
                self.key
                    .less_safe_encrypt(&mut *block, EncryptionContext::None)
                    .map_err(|_| failed.clone())?;
                let (left, right) = block.split_at(HALF);
                half.copy_from_slice(right);
                check = add(left, step);
            }
        }
        let mut wrapped = Vec::with_capacity(HALF + halves.len());
        wrapped.extend_from_slice(&check);
        wrapped.extend_from_slice(&halves);
        Ok(wrapped)
    }
}

impl AesKeyUnwrap {
    /// From 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Result<Self, Error> {
        block_cipher(key)
            .and_then(DecryptingKey::ecb)
            .map(|key| Self { key })
            .map_err(wrong_length)
    }

    /// Unwraps, and checks in constant time that it was wrapped with this key.
    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let failed = Error::DecryptionFailed;
        let Some((check, halves)) = wrapped.split_first_chunk::<HALF>() else {
            return Err(failed);
        };
        if halves.len() < 2 * HALF || halves.len() > KEY_MAX || !halves.len().is_multiple_of(HALF) {
            return Err(failed);
        }
        let mut check = *check;
        let mut halves = Zeroizing::new(halves.to_vec());
        let mut step = (ROUNDS * (halves.len() / HALF)) as u64;
        for _ in 0..ROUNDS {
            for half in halves.chunks_exact_mut(HALF).rev() {
                let mut block = Zeroizing::new([0; BLOCK]);
                join(&mut block, add(&check, step), half);
                self.key
                    .decrypt(&mut *block, DecryptionContext::None)
                    .map_err(|_| failed.clone())?;
                let (left, right) = block.split_at(HALF);
                check.copy_from_slice(left);
                half.copy_from_slice(right);
                step -= 1;
            }
        }
        constant_time::verify_slices_are_equal(&check, &INITIAL).map_err(|_| failed)?;
        Ok(halves)
    }
}

fn join(block: &mut [u8; BLOCK], left: [u8; HALF], right: &[u8]) {
    let (to_left, to_right) = block.split_at_mut(HALF);
    to_left.copy_from_slice(&left);
    to_right.copy_from_slice(right);
}

/// `half` with the step's number added bit by bit.
fn add(half: &[u8], step: u64) -> [u8; HALF] {
    let mut sum = step.to_be_bytes();
    for (byte, other) in sum.iter_mut().zip(half) {
        *byte ^= other;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::key_wrap::{self, AesKek, KeyWrap as _};

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    }

    fn ascending(length: u8) -> Vec<u8> {
        (0..length).collect()
    }

    /// RFC 3394, sections 4.1 to 4.6.
    #[test]
    fn rfc_3394_vectors() {
        let half = hex("00112233445566778899aabbccddeeff");
        let three = hex("00112233445566778899aabbccddeeff0001020304050607");
        let whole = hex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f");
        for (bits, key, wrapped) in [
            (
                16,
                &half,
                "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5",
            ),
            (
                24,
                &half,
                "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d",
            ),
            (
                32,
                &half,
                "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7",
            ),
            (
                24,
                &three,
                "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2",
            ),
            (
                32,
                &three,
                "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1",
            ),
            (
                32,
                &whole,
                "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
            ),
        ] {
            let kek = ascending(bits);
            let made = AesKeyWrap::new(&kek).unwrap().wrap(key).unwrap();
            assert_eq!(made, hex(wrapped), "{bits}");
            let back = AesKeyUnwrap::new(&kek).unwrap().unwrap(&made).unwrap();
            assert_eq!(*back, *key, "{bits}");
        }
    }

    #[test]
    fn it_agrees_with_aws_lc() {
        for (cipher, bytes) in [(&key_wrap::AES_128, 16), (&key_wrap::AES_256, 32)] {
            for length in [16, 24, 32, 48, 64] {
                let key = ascending(length);
                let mut output = vec![0; key.len() + 8];
                AesKek::new(cipher, &ascending(bytes))
                    .unwrap()
                    .wrap(&key, &mut output)
                    .unwrap();
                let kek = AesKeyWrap::new(&ascending(bytes)).unwrap();
                assert_eq!(kek.wrap(&key).unwrap(), output);
            }
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let wrapped = AesKeyWrap::new(&ascending(24)).unwrap();
        let wrapped = wrapped.wrap(&ascending(32)).unwrap();
        let kek = AesKeyUnwrap::new(&ascending(24)).unwrap();
        for bit in 0..wrapped.len() * 8 {
            let mut bad = wrapped.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(kek.unwrap(&bad), Err(Error::DecryptionFailed));
        }
        for length in [0, 1, 8, 16, 23, 25, wrapped.len() - 8, 80] {
            let mut bad = wrapped.clone();
            bad.resize(length, 0);
            assert_eq!(kek.unwrap(&bad), Err(Error::DecryptionFailed), "{length}");
        }
    }
}
