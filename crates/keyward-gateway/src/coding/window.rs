//! How far a stream looks back, which is the memory that it takes to be decoded: read from its first bytes,
//! before a decoder is made that would allocate it.

use super::Undecodable;
use keyward_model::resource::coding::ContentCoding;

/// What a decoder of gzip or deflate takes, whatever the stream: a window of 32 KiB and its tables.
const FLATE: usize = 64 * 1024;
/// What a decoder of br takes besides its window.
const BROTLI_TABLES: usize = 256 * 1024;
/// The largest window of br: 2²² bytes, the most that its usual settings make. Streams that say 2²³ or 2²⁴
/// are what large files are packed with.
const BROTLI_BITS_MAX: u32 = 22;
/// What a decoder of zstd takes besides its window: tables and two blocks.
const ZSTD_TABLES: usize = 512 * 1024;
/// The largest window of zstd: what everyone who speaks HTTP must take and may count on (RFC 9659).
pub(super) const ZSTD_BITS_MAX: u32 = 23;
/// How a frame of zstd begins (RFC 8878, section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The memory that it takes to decode a stream with these first bytes; `None`: more of them are needed.
pub(super) fn memory(coding: ContentCoding, head: &[u8]) -> Result<Option<usize>, Undecodable> {
    match coding {
        ContentCoding::Gzip | ContentCoding::Deflate => Ok(Some(FLATE)),
        ContentCoding::Brotli => match head.first() {
            Some(first) => brotli(*first).map(Some),
            None => Ok(None),
        },
        ContentCoding::Zstd => {
            let window = zstd(head)?;
            if window.is_some_and(|window| window > 1 << ZSTD_BITS_MAX) {
                return Err(Undecodable::Window);
            }
            let small = |window: u64| usize::try_from(window).unwrap_or(usize::MAX);
            Ok(window.map(|window| ZSTD_TABLES.saturating_add(small(window))))
        }
    }
}

/// `WBITS` (RFC 7932, section 9.1).
fn brotli(first: u8) -> Result<usize, Undecodable> {
    let bits = match (first & 1, (first >> 1) & 7, (first >> 4) & 7) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        // Reserved; some coders make it mean windows of up to a gigabyte.
        (_, 0, 1) => return Err(Undecodable::Window),
        (_, 0, more) => 8 + u32::from(more),
        (_, more, _) => 17 + u32::from(more),
    };
    if bits > BROTLI_BITS_MAX {
        return Err(Undecodable::Window);
    }
    Ok(BROTLI_TABLES + (1 << bits))
}

/// The window of a frame (RFC 8878, section 3.1.1.1).
fn zstd(head: &[u8]) -> Result<Option<u64>, Undecodable> {
    let begins = head
        .iter()
        .zip(ZSTD_MAGIC)
        .all(|(byte, magic)| *byte == magic);
    if !begins {
        return Err(Undecodable::Malformed);
    }
    let Some((descriptor, rest)) = head.get(ZSTD_MAGIC.len()..).and_then(<[u8]>::split_first)
    else {
        return Ok(None);
    };
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        return Ok(rest.first().map(|window| {
            let base = 1u64 << (10 + (window >> 3));
            base + base / 8 * u64::from(window & 7)
        }));
    }
    let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3));
    let sizes: [usize; 4] = [1, 2, 4, 8];
    let (Some(skip), Some(size)) = (dictionary, sizes.get(usize::from(descriptor >> 6))) else {
        return Err(Undecodable::Malformed);
    };
    let Some(bytes) = rest.get(*skip..skip + size) else {
        return Ok(None);
    };
    let number = bytes
        .iter()
        .rev()
        .fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    // Sizes of two bytes begin at 256.
    Ok(Some(number + if *size == 2 { 256 } else { 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ContentCoding::{Brotli, Zstd};

    #[test]
    fn windows_are_read_from_the_first_bytes() {
        let zstd = |rest: &[u8]| [&ZSTD_MAGIC[..], rest].concat();
        let kib = 1024;
        for (coding, head, expected) in [
            (Brotli, vec![], Ok(None)),
            (Brotli, vec![0b0], Ok(Some(64 * kib + BROTLI_TABLES))),
            (
                Brotli,
                vec![0b000_0001],
                Ok(Some(128 * kib + BROTLI_TABLES)),
            ),
            (Brotli, vec![0b010_0001], Ok(Some(kib + BROTLI_TABLES))),
            (Brotli, vec![0b1011], Ok(Some(4096 * kib + BROTLI_TABLES))),
            (Brotli, vec![0b1101], Err(Undecodable::Window)),
            (Brotli, vec![0b1111], Err(Undecodable::Window)),
            (Brotli, vec![0b001_0001], Err(Undecodable::Window)),
            (Zstd, vec![], Ok(None)),
            (Zstd, vec![0x28, 0xb5], Ok(None)),
            (Zstd, vec![0x28, 0xb6], Err(Undecodable::Malformed)),
            // A frame that is to be skipped is no stream.
            (
                Zstd,
                vec![0x50, 0x2a, 0x4d, 0x18, 0],
                Err(Undecodable::Malformed),
            ),
            (Zstd, zstd(&[0]), Ok(None)),
            (Zstd, zstd(&[0, 0]), Ok(Some(kib + ZSTD_TABLES))),
            (
                Zstd,
                zstd(&[0, 13 << 3]),
                Ok(Some(8192 * kib + ZSTD_TABLES)),
            ),
            (Zstd, zstd(&[0, 13 << 3 | 1]), Err(Undecodable::Window)),
            (Zstd, zstd(&[0, 0xff]), Err(Undecodable::Window)),
            (Zstd, zstd(&[0x20, 7]), Ok(Some(7 + ZSTD_TABLES))),
            (Zstd, zstd(&[0x60, 7]), Ok(None)),
            (Zstd, zstd(&[0x60, 7, 1]), Ok(Some(519 + ZSTD_TABLES))),
            (Zstd, zstd(&[0x21, 9, 7]), Ok(Some(7 + ZSTD_TABLES))),
            (Zstd, zstd(&[0xa0, 1, 0, 0x80, 0]), Err(Undecodable::Window)),
            (
                Zstd,
                zstd(&[0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
                Err(Undecodable::Window),
            ),
        ] {
            assert_eq!(memory(coding, &head), expected, "{coding:?} {head:x?}");
        }
    }
}
