//! How a stream's events are told apart in its bytes, which come in pieces of any size.

pub mod event_stream;
pub mod lines;
pub mod sse;

#[cfg(test)]
mod tests;

use crate::error::Error;

/// The most bytes of one event. Pictures come whole in one, in base64.
pub const MOST_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// The most bytes of one stream that is read: an answer of a million tokens, each told in a chunk of its own.
pub const MOST_STREAM_BYTES: usize = 512 * 1024 * 1024;

/// One event, as its framing gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The event's name: `event:` of server-sent events, `:event-type` or `:exception-type` of an AWS event stream.
    pub name: &'a str,
    /// Its text, which is JSON but for marks such as `[DONE]`.
    pub data: &'a [u8],
    /// Whether the framing itself says that this tells of an error.
    pub exception: bool,
    /// Its bytes; of server-sent events, every end of line is one line feed.
    pub raw: &'a [u8],
}

/// What takes frames as they come.
pub type Taker<'t> = &'t mut dyn FnMut(Frame<'_>) -> Result<(), Error>;

/// Finds events in bytes.
#[derive(Debug)]
pub enum Deframer {
    /// Server-sent events.
    Sse(sse::Reader),
    /// The AWS event stream.
    EventStream(event_stream::Reader),
    /// A JSON document on each line.
    Lines(lines::Reader),
}

impl Deframer {
    /// Takes the next bytes, and gives the events that are whole.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for an event over [`MOST_EVENT_BYTES`], [`Error::Framing`] for bytes that are no event, and
    /// what the taker says.
    pub fn push(&mut self, bytes: &[u8], taker: Taker<'_>) -> Result<(), Error> {
        match self {
            Self::Sse(reader) => reader.push(bytes, taker),
            Self::EventStream(reader) => reader.push(bytes, taker),
            Self::Lines(reader) => reader.push(bytes, taker),
        }
    }

    /// The bytes have ended: gives what needs no more of them.
    ///
    /// # Errors
    /// [`Error::Framing`] when they end within an event, and what the taker says.
    pub fn finish(&mut self, taker: Taker<'_>) -> Result<(), Error> {
        match self {
            Self::Sse(reader) => reader.finish(taker),
            Self::EventStream(reader) => reader.finish(),
            Self::Lines(reader) => reader.finish(taker),
        }
    }
}

fn within_bound(bytes: usize) -> Result<(), Error> {
    if bytes > MOST_EVENT_BYTES {
        return Err(Error::TooLarge {
            what: "the bytes of one event of a stream",
            limit: MOST_EVENT_BYTES,
        });
    }
    Ok(())
}
