//! As much of the Protocol Buffers' wire format as OTLP needs
//! (<https://protobuf.dev/programming-guides/encoding/>): a dozen small messages don't pay for a code generator.

/// The kinds of values on the wire.
const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

/// A message that is being written. A field with its kind's empty value is left out, as that means the same.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, VARINT);
            self.varint(value);
        }
    }

    pub(super) fn fixed_64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, FIXED_64);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    pub(super) fn fixed_32(&mut self, field: u32, value: u32) {
        if value != 0 {
            self.key(field, FIXED_32);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.delimited(field, value);
        }
    }

    /// One of several fields of which one is there: it is written though it be 0.
    pub(super) fn one_number(&mut self, field: u32, value: u64) {
        self.key(field, VARINT);
        self.varint(value);
    }

    /// The same for a text, though it be empty.
    pub(super) fn one_text(&mut self, field: u32, value: &str) {
        self.delimited(field, value.as_bytes());
    }

    /// A field that holds a message, which is there though it be empty.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.delimited(field, &inner.0);
    }

    fn delimited(&mut self, field: u32, value: &[u8]) {
        self.key(field, DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn key(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                self.0.push(low & 0x7f);
                return;
            }
            self.0.push(low | 0x80);
        }
    }
}

/// A value that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

/// The fields of a message, in their order, as far as they can be read.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = (u64, Value<'_>)> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let key = take_varint(&mut rest)?;
        let value = match u32::try_from(key & 7).ok()? {
            VARINT => Value::Number(take_varint(&mut rest)?),
            FIXED_64 => Value::Number(u64::from_le_bytes(take_array(&mut rest)?)),
            FIXED_32 => Value::Number(u32::from_le_bytes(take_array(&mut rest)?).into()),
            DELIMITED => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                let (bytes, behind) = rest.split_at_checked(length)?;
                rest = behind;
                Value::Bytes(bytes)
            }
            _ => return None,
        };
        Some((key >> 3, value))
    })
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*array)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification_are_written_as_it_has_them() {
        let mut message = Message::default();
        message.number(1, 150);
        assert_eq!(message.into_bytes(), [0x08, 0x96, 0x01]);
        let mut message = Message::default();
        message.bytes(2, b"testing");
        assert_eq!(message.into_bytes(), b"\x12\x07testing");
        let mut message = Message::default();
        message.message(3, |inner| inner.number(1, 150));
        assert_eq!(message.into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    #[test]
    fn what_was_written_is_read() {
        let mut message = Message::default();
        message.number(1, u64::MAX);
        message.number(2, 0);
        message.bytes(3, b"");
        message.fixed_64(4, u64::MAX - 1);
        message.fixed_32(5, 7);
        message.message(16, |_| {});
        message.bytes(1000, &[b'x'; 300]);
        let bytes = message.into_bytes();
        let read: Vec<_> = fields(&bytes).collect();
        let expected = [
            (1, Value::Number(u64::MAX)),
            (4, Value::Number(u64::MAX - 1)),
            (5, Value::Number(7)),
            (16, Value::Bytes(b"")),
            (1000, Value::Bytes(&[b'x'; 300])),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_cut_or_no_message_is_read_as_far_as_it_goes() {
        let mut message = Message::default();
        message.number(1, 300);
        message.bytes(2, b"testing");
        let whole = message.into_bytes();
        for end in 0..whole.len() {
            let count = fields(&whole[..end]).count();
            assert_eq!(count, usize::from(end >= 3), "cut at {end}");
        }
        assert_eq!(fields(&[0xff; 20]).count(), 0);
        // A group, which there are none of any more.
        assert_eq!(fields(&[0x0b, 0x0c]).count(), 0);
    }
}
