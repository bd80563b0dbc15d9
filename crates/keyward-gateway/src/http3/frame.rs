//! Frames (RFC 9114, section 7): their heads, byte by byte, and those that we send.

use bytes::{BufMut as _, Bytes, BytesMut};
use quinn::VarInt;

/// A frame of a body.
pub(super) const DATA: u64 = 0x0;
/// A header section.
pub(super) const HEADERS: u64 = 0x1;
pub(super) const CANCEL_PUSH: u64 = 0x3;
pub(super) const SETTINGS: u64 = 0x4;
pub(super) const PUSH_PROMISE: u64 = 0x5;
pub(super) const GOAWAY: u64 = 0x7;
pub(super) const MAX_PUSH_ID: u64 = 0xd;

/// Whether a kind is one of HTTP/2 that HTTP/3 has not (section 7.2.8).
pub(super) const fn is_of_http2(kind: u64) -> bool {
    matches!(kind, 0x2 | 0x6 | 0x8 | 0x9)
}

/// A number that arrives byte by byte (RFC 9000, section 16).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number {
    value: u64,
    /// How many of its bytes are to come; not known before the first.
    left: Option<u8>,
}

impl Number {
    /// Takes its next byte; the number, when that was the last.
    pub(super) fn push(&mut self, byte: u8) -> Option<u64> {
        let left = match self.left {
            None => {
                self.value = u64::from(byte & 0x3f);
                (1_u8 << (byte >> 6)) - 1
            }
            Some(left) => {
                self.value = self.value << 8 | u64::from(byte);
                left.saturating_sub(1)
            }
        };
        self.left = Some(left);
        if left > 0 {
            return None;
        }
        let value = self.value;
        *self = Self::default();
        Some(value)
    }

    /// Whether some of its bytes have come and others have not.
    pub(super) fn is_begun(self) -> bool {
        self.left.is_some()
    }
}

/// A frame's head: its kind and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) kind: u64,
    pub(super) length: u64,
}

/// A frame's head that arrives byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PartialHead {
    kind: Option<u64>,
    number: Number,
}

impl PartialHead {
    /// Takes bytes off the front until the head is there.
    pub(super) fn take(&mut self, bytes: &mut Bytes) -> Option<FrameHead> {
        let mut used = 0;
        let mut head = None;
        for byte in bytes.iter() {
            used += 1;
            let Some(number) = self.number.push(*byte) else {
                continue;
            };
            match self.kind.take() {
                None => self.kind = Some(number),
                Some(kind) => {
                    let length = number;
                    head = Some(FrameHead { kind, length });
                    break;
                }
            }
        }
        drop(bytes.split_to(used));
        head
    }

    /// Whether some of its bytes have come and others have not.
    pub(super) fn is_begun(self) -> bool {
        self.kind.is_some() || self.number.is_begun()
    }
}

/// Writes a number in the shortest form.
pub(super) fn put_number(out: &mut BytesMut, number: u64) {
    // Numbers have 62 bits at most: nothing that is written here has more.
    match number {
        0..0x40 => out.put_u8(low(number)),
        0x40..0x4000 => out.put_u16(0x4000 | u16::try_from(number).unwrap_or_default()),
        0x4000..0x4000_0000 => {
            out.put_u32(0x8000_0000 | u32::try_from(number).unwrap_or_default());
        }
        _ => out.put_u64(0xc000_0000_0000_0000 | number.min(VarInt::MAX.into_inner())),
    }
}

fn low(number: u64) -> u8 {
    u8::try_from(number & 0xff).unwrap_or_default()
}

/// The head of a frame.
pub(super) fn head(kind: u64, length: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(16);
    put_number(&mut out, kind);
    put_number(&mut out, length as u64);
    out.freeze()
}

/// A whole frame.
pub(super) fn whole(kind: u64, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 16);
    put_number(&mut out, kind);
    put_number(&mut out, payload.len() as u64);
    out.put_slice(payload);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_of_every_length_are_read() {
        // RFC 9000, appendix A.1.
        for (bytes, number) in [
            (&[0x25][..], 37),
            (&[0x40, 0x25], 37),
            (&[0x7b, 0xbd], 15_293),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
                151_288_809_941_952_652,
            ),
        ] {
            let mut reading = Number::default();
            let read: Vec<_> = bytes.iter().map(|byte| reading.push(*byte)).collect();
            let (last, before) = read.split_last().unwrap();
            assert_eq!(*last, Some(number));
            assert!(before.iter().all(Option::is_none));
            assert!(!reading.is_begun());
        }
    }

    #[test]
    fn a_head_may_come_in_pieces() {
        let bytes = [&head(HEADERS, 70_000)[..], b"rest"].concat();
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let mut partial = PartialHead::default();
            let mut first = Bytes::copy_from_slice(first);
            let mut second = Bytes::copy_from_slice(second);
            let head = partial
                .take(&mut first)
                .or_else(|| partial.take(&mut second));
            let expected = FrameHead {
                kind: HEADERS,
                length: 70_000,
            };
            assert_eq!(head, Some(expected), "{cut}");
            assert_eq!([first, second].concat(), b"rest");
            assert!(!partial.is_begun());
        }
    }

    proptest! {
        #[test]
        fn a_number_is_read_as_it_was_written(number in 0..=VarInt::MAX.into_inner()) {
            let mut out = BytesMut::new();
            put_number(&mut out, number);
            let mut reading = Number::default();
            let read: Vec<_> = out.iter().filter_map(|byte| reading.push(*byte)).collect();
            prop_assert_eq!(read, vec![number]);
        }
    }
}
