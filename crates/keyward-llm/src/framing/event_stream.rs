//! The AWS event stream (`application/vnd.amazon.eventstream`): binary messages with typed headers, each with a CRC of
//! its first twelve bytes and one of the whole.

use super::{Frame, MOST_EVENT_BYTES, Taker, within_bound};
use crate::error::Error;

/// The length of a message and of its headers, and the CRC of these two.
const PRELUDE: usize = 12;
/// The CRC at the end.
const TRAILER: usize = 4;
/// The most bytes of a message's headers, as AWS has it.
const MOST_HEADER_BYTES: usize = 128 * 1024;

/// Finds messages in bytes.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
}

/// A header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Type 0 or 1.
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Short(i16),
    /// Type 4.
    Integer(i32),
    /// Type 5.
    Long(i64),
    /// Type 6.
    Bytes(Vec<u8>),
    /// Type 7.
    String(String),
    /// Type 8: milliseconds since 1970.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its headers in their order.
    pub headers: Vec<(String, Value)>,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Message {
    /// One with headers that are strings.
    #[must_use]
    pub fn new(headers: &[(&str, &str)], payload: &[u8]) -> Self {
        Self {
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::String((*value).to_owned())))
                .collect(),
            payload: payload.to_vec(),
        }
    }

    /// A header that is a string.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        if let Value::String(text) = value {
            Some(text)
        } else {
            None
        }
    }

    /// The message that a frame's bytes are.
    ///
    /// # Errors
    /// [`Error::Framing`] for a wrong length, CRC or header.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let length = total_length(bytes)?;
        let [_, _, _, _, h0, h1, h2, h3] = array::<8>(bytes)?;
        let header_bytes =
            usize::try_from(u32::from_be_bytes([h0, h1, h2, h3])).unwrap_or(usize::MAX);
        let whole = bytes.get(..length).ok_or(SHORT)?;
        let (checked, crc) = whole.split_at_checked(length - TRAILER).ok_or(SHORT)?;
        if crc32fast::hash(checked).to_be_bytes() != crc {
            return Err(Error::Framing("a message's checksum is wrong"));
        }
        let inside = checked.get(PRELUDE..).ok_or(SHORT)?;
        let (headers, payload) = inside.split_at_checked(header_bytes).ok_or(SHORT)?;
        Ok(Self {
            headers: read_headers(headers)?,
            payload: payload.to_vec(),
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when a name, a value or the whole is longer than its length field can say.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            let length = u8::try_from(name.len()).map_err(|_| too_long("a header's name", 255))?;
            headers.push(length);
            headers.extend_from_slice(name.as_bytes());
            value.write(&mut headers)?;
        }
        let length = PRELUDE + headers.len() + self.payload.len() + TRAILER;
        within_bound(length)?;
        let mut message = Vec::with_capacity(length);
        for size in [length, headers.len()] {
            let size = u32::try_from(size).map_err(|_| too_long("a message", MOST_EVENT_BYTES))?;
            message.extend_from_slice(&size.to_be_bytes());
        }
        let prelude = crc32fast::hash(&message);
        message.extend_from_slice(&prelude.to_be_bytes());
        message.extend_from_slice(&headers);
        message.extend_from_slice(&self.payload);
        let whole = crc32fast::hash(&message);
        message.extend_from_slice(&whole.to_be_bytes());
        out.extend_from_slice(&message);
        Ok(())
    }
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Bool(value) => out.push(u8::from(!value)),
            Self::Byte(value) => {
                out.push(2);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Short(value) => {
                out.push(3);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Integer(value) => {
                out.push(4);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Long(value) => {
                out.push(5);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Bytes(bytes) => {
                out.push(6);
                sized(bytes, out)?;
            }
            Self::String(text) => {
                out.push(7);
                sized(text.as_bytes(), out)?;
            }
            Self::Timestamp(value) => {
                out.push(8);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Uuid(bytes) => {
                out.push(9);
                out.extend_from_slice(bytes);
            }
        }
        Ok(())
    }
}

impl Reader {
    /// One at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, and gives the messages that are whole.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Framing`] for a wrong length, CRC or header, and what the taker says.
    pub fn push(&mut self, bytes: &[u8], taker: Taker<'_>) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        let mut result = Ok(());
        while result.is_ok() {
            let rest = self.buffer.get(at..).unwrap_or_default();
            if rest.len() < PRELUDE {
                break;
            }
            let length = total_length(rest)?;
            let Some(whole) = rest.get(..length) else {
                break;
            };
            result = give(whole, taker);
            at += length;
        }
        self.buffer.drain(..at);
        result
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// [`Error::Framing`] when they end within a message.
    pub fn finish(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            Ok(())
        } else {
            Err(Error::Framing("it ends within an event"))
        }
    }
}

fn give(whole: &[u8], taker: Taker<'_>) -> Result<(), Error> {
    let message = Message::read(whole)?;
    let kind = message.header(":message-type").unwrap_or("event");
    let (name, exception) = match kind {
        "exception" => (message.header(":exception-type"), true),
        "error" => (message.header(":error-code"), true),
        _ => (message.header(":event-type"), false),
    };
    // An error has its text in a header, and no payload.
    let told = message.header(":error-message").unwrap_or_default();
    let data = if message.payload.is_empty() {
        told.as_bytes()
    } else {
        &message.payload
    };
    taker(Frame {
        name: name.unwrap_or_default(),
        data,
        exception,
        raw: whole,
    })
}

/// The length of the message that begins here, once its prelude is sound.
fn total_length(bytes: &[u8]) -> Result<usize, Error> {
    let [l0, l1, l2, l3, h0, h1, h2, h3] = array::<8>(bytes)?;
    let size = |bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    let (length, headers) = (size([l0, l1, l2, l3]), size([h0, h1, h2, h3]));
    let prelude = bytes.get(..PRELUDE).ok_or(SHORT)?;
    let (checked, crc) = prelude.split_at_checked(8).ok_or(SHORT)?;
    if crc32fast::hash(checked).to_be_bytes() != crc {
        return Err(Error::Framing("a message's prelude has a wrong checksum"));
    }
    within_bound(length)?;
    if headers > MOST_HEADER_BYTES {
        return Err(Error::TooLarge {
            what: "the bytes of an event's headers",
            limit: MOST_HEADER_BYTES,
        });
    }
    if length < PRELUDE + headers + TRAILER {
        return Err(Error::Framing("a message is shorter than its headers"));
    }
    Ok(length)
}

fn read_headers(mut bytes: &[u8]) -> Result<Vec<(String, Value)>, Error> {
    let mut headers = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(length)).ok_or(SHORT)?;
        let name = text(name)?;
        let (&kind, rest) = rest.split_first().ok_or(SHORT)?;
        let (value, rest) = read_value(kind, rest)?;
        headers.push((name, value));
        bytes = rest;
    }
    Ok(headers)
}

fn read_value(kind: u8, bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
    let (value, length) = match kind {
        0 => (Value::Bool(true), 0),
        1 => (Value::Bool(false), 0),
        2 => (Value::Byte(i8::from_be_bytes(array(bytes)?)), 1),
        3 => (Value::Short(i16::from_be_bytes(array(bytes)?)), 2),
        4 => (Value::Integer(i32::from_be_bytes(array(bytes)?)), 4),
        5 => (Value::Long(i64::from_be_bytes(array(bytes)?)), 8),
        6 | 7 => {
            let length = usize::from(u16::from_be_bytes(array(bytes)?));
            let content = bytes.get(2..2 + length).ok_or(SHORT)?;
            let value = if kind == 6 {
                Value::Bytes(content.to_vec())
            } else {
                Value::String(text(content)?)
            };
            (value, 2 + length)
        }
        8 => (Value::Timestamp(i64::from_be_bytes(array(bytes)?)), 8),
        9 => (Value::Uuid(array(bytes)?), 16),
        10.. => return Err(Error::Framing("a header has an unknown type")),
    };
    Ok((value, bytes.get(length..).ok_or(SHORT)?))
}

const SHORT: Error = Error::Framing("a message is shorter than it says");

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes.first_chunk().copied().ok_or(SHORT)
}

fn text(bytes: &[u8]) -> Result<String, Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Error::Framing("a header is not UTF-8")),
    }
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let length = u16::try_from(bytes.len()).map_err(|_| too_long("a header", 65_535))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

const fn too_long(what: &'static str, limit: usize) -> Error {
    Error::TooLarge { what, limit }
}
