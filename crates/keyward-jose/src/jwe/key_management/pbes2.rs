//! Password-based encryption (RFC 7518, section 4.8): PBKDF2 and AES key wrap.

use super::super::header::{Header, refused};
use super::super::limits::{PBES2_COUNT_MAX, PBES2_COUNT_MIN};
use super::aes_key_wrap::{AesKeyUnwrap, AesKeyWrap};
use crate::algorithm::KeyManagementAlgorithm;
use crate::{Error, base64url};
use aws_lc_rs::{pbkdf2, rand};
use serde_json::{Map, Value};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// Iterations written with HMAC-SHA-256: what OWASP asks for when passwords are stored.
const COUNT_SHA256: u32 = 600_000;
/// Iterations written with HMAC-SHA-384 and HMAC-SHA-512, of which OWASP asks fewer: each costs an
/// attacker's hardware more.
const COUNT_SHA512: u32 = 220_000;
/// Bytes of the salt written.
const SALT_LEN: usize = 16;
/// Least bytes of the salt read (RFC 7518, section 4.8.1.1).
const SALT_MIN: usize = 8;

/// A password with one of the three algorithms.
pub(in crate::jwe) struct Pbes2 {
    password: Zeroizing<Vec<u8>>,
    algorithm: KeyManagementAlgorithm,
    pseudorandom: pbkdf2::Algorithm,
    key_len: usize,
    count: u32,
}

impl Pbes2 {
    /// `algorithm` is one of the PBES2 family.
    pub(super) fn new(password: &[u8], algorithm: KeyManagementAlgorithm) -> Self {
        let (pseudorandom, key_len, count) =
            if algorithm == KeyManagementAlgorithm::Pbes2Hs256A128Kw {
                (pbkdf2::PBKDF2_HMAC_SHA256, 16, COUNT_SHA256)
            } else if algorithm == KeyManagementAlgorithm::Pbes2Hs384A192Kw {
                (pbkdf2::PBKDF2_HMAC_SHA384, 24, COUNT_SHA512)
            } else {
                (pbkdf2::PBKDF2_HMAC_SHA512, 32, COUNT_SHA512)
            };
        Self {
            password: password.to_vec().into(),
            algorithm,
            pseudorandom,
            key_len,
            count,
        }
    }

    pub(super) fn set_count(&mut self, count: u32) -> Result<(), Error> {
        if (PBES2_COUNT_MIN..=PBES2_COUNT_MAX).contains(&count) {
            self.count = count;
            Ok(())
        } else {
            Err(refused("p2c", "1,000 to 1,000,000 iterations are needed"))
        }
    }

    fn wrapping_key(&self, salt_input: &[u8], count: NonZeroU32) -> Zeroizing<Vec<u8>> {
        // The algorithm's name in front keeps one password from giving the same key to two algorithms.
        let mut salt = self.algorithm.as_str().as_bytes().to_vec();
        salt.push(0);
        salt.extend_from_slice(salt_input);
        let mut key = Zeroizing::new(vec![0; self.key_len]);
        pbkdf2::derive(self.pseudorandom, count, &salt, &self.password, &mut key);
        key
    }

    /// The wrapped key with its header parameters.
    pub(super) fn wrap(&self, key: &[u8]) -> Result<(Vec<u8>, Map<String, Value>), Error> {
        let mut salt = [0; SALT_LEN];
        rand::fill(&mut salt).map_err(|_| Error::Crypto("random numbers"))?;
        let count = NonZeroU32::new(self.count).ok_or(Error::Crypto("PBKDF2"))?;
        let wrapped = AesKeyWrap::new(&self.wrapping_key(&salt, count))?.wrap(key)?;
        let mut parameters = Map::new();
        parameters.insert("p2s".to_owned(), base64url::encode(salt).into());
        parameters.insert("p2c".to_owned(), self.count.into());
        Ok((wrapped, parameters))
    }

    /// `counts` is how many iterations may still be spent on this message.
    pub(super) fn unwrap(
        &self,
        header: &Header,
        wrapped: &[u8],
        counts: &mut u32,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let salt = header.needed_bytes("p2s")?;
        if salt.len() < SALT_MIN {
            return Err(refused("p2s", "at least 8 bytes are needed"));
        }
        let Some(count) = header.get("p2c").and_then(Value::as_u64) else {
            return Err(refused("p2c", "a positive whole number is needed"));
        };
        if count < u64::from(PBES2_COUNT_MIN) {
            return Err(refused("p2c", "at least 1,000 iterations are needed"));
        }
        let spent = u32::try_from(count)
            .ok()
            .and_then(|count| Some((NonZeroU32::new(count)?, counts.checked_sub(count)?)));
        let Some((count, left)) = spent else {
            return Err(Error::TooLarge {
                what: "number of PBES2 iterations (header `p2c`)",
                limit: usize::try_from(*counts).unwrap_or(usize::MAX),
            });
        };
        *counts = left;
        AesKeyUnwrap::new(&self.wrapping_key(&salt, count))?.unwrap(wrapped)
    }
}
