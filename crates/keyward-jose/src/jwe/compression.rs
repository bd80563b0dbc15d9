//! `zip: DEF`, raw DEFLATE (RFC 7516, section 4.1.3; RFC 1951), bounded both ways.

use super::limits::INFLATED_MAX;
use crate::Error;
use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use std::io::{self, Read as _, Write as _};
use zeroize::Zeroizing;

/// How many bytes are inflated at a time.
const PIECE: usize = 4096;

/// Bytes that leave no copy behind when they move to a larger place.
#[derive(Default)]
struct Growing {
    bytes: Zeroizing<Vec<u8>>,
}

impl Growing {
    fn append(&mut self, more: &[u8]) {
        let needed = self.bytes.len().saturating_add(more.len());
        if needed > self.bytes.capacity() {
            let doubled = self.bytes.capacity().saturating_mul(2);
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(doubled)));
            larger.extend_from_slice(&self.bytes);
            // The smaller one is overwritten as it is dropped.
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(more);
    }
}

impl io::Write for Growing {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        self.append(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The deflated `plaintext`. What other readers refuse by the same bound is not written either.
pub(super) fn deflate(plaintext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    if plaintext.len() > INFLATED_MAX {
        return Err(Error::TooLarge {
            what: "plaintext to compress",
            limit: INFLATED_MAX,
        });
    }
    let mut encoder = DeflateEncoder::new(Growing::default(), Compression::default());
    encoder
        .write_all(plaintext)
        .and_then(|()| encoder.finish())
        .map(|deflated| deflated.bytes)
        .map_err(|_| Error::Crypto("deflating"))
}

/// The plaintext of `deflated`, of at most `limit` bytes. Not more than one byte over the limit is ever
/// inflated.
pub(super) fn inflate(deflated: &[u8], limit: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut decoder = DeflateDecoder::new(deflated);
    let mut plaintext = Growing::default();
    let mut piece = Zeroizing::new([0; PIECE]);
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bounded = (&mut decoder).take(bound);
    loop {
        let length = bounded
            .read(&mut *piece)
            .map_err(|_| Error::DecryptionFailed)?;
        let (inflated, _) = piece
            .split_at_checked(length)
            .ok_or(Error::DecryptionFailed)?;
        if inflated.is_empty() {
            break;
        }
        plaintext.append(inflated);
    }
    let plaintext = plaintext.bytes;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_come_back_piece_by_piece() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 100_000] {
            let plaintext: Vec<u8> = (0..length).map(|at| (at * at % 251) as u8).collect();
            let deflated = deflate(&plaintext).unwrap();
            let inflated = inflate(&deflated, length).unwrap();
            assert_eq!(*inflated, plaintext, "{length}");
            if length > 0 {
                assert!(inflate(&deflated, length - 1).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn growing_moves_in_few_steps() {
        let mut growing = Growing::default();
        let mut moves = 0;
        for _ in 0..10_000 {
            let before = growing.bytes.capacity();
            growing.append(b"x");
            moves += usize::from(growing.bytes.capacity() != before);
        }
        assert_eq!(growing.bytes.len(), 10_000);
        assert!(moves < 20, "{moves}");
    }
}
