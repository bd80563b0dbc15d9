//! `zip: DEF`, raw DEFLATE (RFC 7516, section 4.1.3; RFC 1951), bounded both ways.

use super::limits::INFLATED_MAX;
use crate::Error;
use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use std::io::{Read as _, Write as _};
use zeroize::Zeroizing;

/// The deflated `plaintext`. What other readers refuse by the same bound is not written either.
pub(super) fn deflate(plaintext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    if plaintext.len() > INFLATED_MAX {
        return Err(Error::TooLarge {
            what: "plaintext to compress",
            limit: INFLATED_MAX,
        });
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(plaintext)
        .and_then(|()| encoder.finish())
        .map(Zeroizing::new)
        .map_err(|_| Error::Crypto("deflating"))
}

/// The plaintext of `deflated`, of at most `limit` bytes. Not more than one byte over the limit is ever
/// inflated.
pub(super) fn inflate(deflated: &[u8], limit: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut decoder = DeflateDecoder::new(deflated);
    let mut plaintext = Zeroizing::new(Vec::new());
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    (&mut decoder)
        .take(bound)
        .read_to_end(&mut plaintext)
        .map_err(|_| Error::DecryptionFailed)?;
    if plaintext.len() > limit {
        return Err(Error::TooLarge {
            what: "inflated plaintext",
            limit,
        });
    }
    // A second stream behind the first would be dropped in silence.
    if decoder.get_ref().is_empty() {
        Ok(plaintext)
    } else {
        Err(Error::DecryptionFailed)
    }
}
