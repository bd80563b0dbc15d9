//! Key wrap with AES-GCM (RFC 7518, section 4.7): the vector and the tag travel in the header.

use super::super::content::{GCM_IV_LEN, GCM_TAG_LEN, gcm_key};
use super::super::header::{Header, refused};
use crate::{Error, base64url};
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce};
use aws_lc_rs::rand;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// A prepared wrapping key.
pub(in crate::jwe) struct GcmKeyWrap {
    key: LessSafeKey,
}

impl GcmKeyWrap {
    /// From 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Result<Self, Error> {
        let algorithm = match key.len() {
            16 => &aead::AES_128_GCM,
            24 => &aead::AES_192_GCM,
            _ => &aead::AES_256_GCM,
        };
        gcm_key(algorithm, key).map(|key| Self { key })
    }

    /// The wrapped key with its header parameters.
    pub(super) fn wrap(&self, key: &[u8]) -> Result<(Vec<u8>, Map<String, Value>), Error> {
        let mut iv = [0; GCM_IV_LEN];
        rand::fill(&mut iv).map_err(|_| Error::Crypto("random numbers"))?;
        let mut wrapped = key.to_vec();
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(iv),
                Aad::empty(),
                &mut wrapped,
            )
            .map_err(|_| Error::Crypto("AES-GCM key wrap"))?;
        let mut parameters = Map::new();
        parameters.insert("iv".to_owned(), base64url::encode(iv).into());
        parameters.insert("tag".to_owned(), base64url::encode(tag.as_ref()).into());
        Ok((wrapped, parameters))
    }

    pub(super) fn unwrap(
        &self,
        header: &Header,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let iv: [u8; GCM_IV_LEN] = header
            .needed_bytes("iv")?
            .try_into()
            .map_err(|_| refused("iv", "12 bytes are needed"))?;
        let tag = header.needed_bytes("tag")?;
        if tag.len() != GCM_TAG_LEN {
            return Err(refused("tag", "16 bytes are needed"));
        }
        let mut key = Zeroizing::new(vec![0; wrapped.len()]);
        self.key
            .open_separate_gather(
                Nonce::assume_unique_for_key(iv),
                Aad::empty(),
                wrapped,
                &tag,
                &mut key,
            )
            .map_err(|_| Error::DecryptionFailed)?;
        Ok(key)
    }
}
