//! Where a body's data stands among the bytes of a connection (RFC 9112, sections 6 and 7), for requests and
//! answers alike.

use super::head::malformed;
use super::line::field_line;
use crate::message::{Fields, Header, Span};
use keyward_model::{Code, Fault};
use memchr::memchr;

/// A chunk's size line: 15 hexadecimal digits and a short extension.
const CHUNK_LINE_MAX: usize = 256;
/// All trailer fields together.
const TRAILERS_MAX: usize = 8 * 1024;

/// How far a body has been read.
#[derive(Debug)]
pub(crate) struct BodyDecoder {
    state: State,
    trailers: Option<Fields>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Done,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// So many bytes of data; say [`BodyDecoder::took`] how many of them were used.
    Data(usize),
    /// So many bytes that are not data: pass over them and ask again.
    Skip(usize),
    /// More bytes are needed.
    More,
    /// The body has ended.
    End,
}

impl BodyDecoder {
    /// No body.
    pub(crate) const fn empty() -> Self {
        Self::new(State::Done)
    }

    /// A body of so many bytes.
    pub(crate) const fn of_length(length: u64) -> Self {
        Self::new(if length == 0 {
            State::Done
        } else {
            State::Length(length)
        })
    }

    /// A body in chunks.
    pub(crate) const fn chunked() -> Self {
        Self::new(State::ChunkSize)
    }

    /// A body that ends with the connection.
    pub(crate) const fn until_close() -> Self {
        Self::new(State::UntilClose)
    }

    const fn new(state: State) -> Self {
        Self {
            state,
            trailers: None,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the end of the connection is the end of the body.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.state == State::UntilClose
    }

    /// How many bytes of data are to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            State::UntilClose
            | State::ChunkSize
            | State::ChunkData(_)
            | State::ChunkEnd
            | State::Trailers => None,
        }
    }

    /// The trailer fields, once the body has ended.
    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    /// So many bytes of the data were used.
    pub(crate) fn took(&mut self, count: usize) {
        let count = count as u64;
        self.state = match self.state {
            State::Length(left) if left <= count => State::Done,
            State::Length(left) => State::Length(left - count),
            State::ChunkData(left) if left <= count => State::ChunkEnd,
            State::ChunkData(left) => State::ChunkData(left - count),
            same @ (State::UntilClose
            | State::ChunkSize
            | State::ChunkEnd
            | State::Trailers
            | State::Done) => same,
        };
    }

    /// The connection has ended: so has a body that ends with it.
    pub(crate) fn connection_ended(&mut self) {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
    }

    /// What `bytes` are, the next that were read.
    pub(crate) fn next(&mut self, bytes: &mut [u8]) -> Result<Next, Fault> {
        match self.state {
            State::Done => Ok(Next::End),
            State::Length(left) | State::ChunkData(left) => Ok(data(bytes, left)),
            State::UntilClose => Ok(data(bytes, u64::MAX)),
            State::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkSize;
                    Ok(Next::Skip(2))
                }
                [] | [b'\r'] => Ok(Next::More),
                [..] => Err(malformed(
                    "A chunk of the body does not end where its size says",
                )),
            },
            State::ChunkSize => {
                let Some(feed) = memchr(b'\n', bytes) else {
                    if bytes.len() > CHUNK_LINE_MAX {
                        return Err(malformed("A chunk's size line is too long"));
                    }
                    return Ok(Next::More);
                };
                let line = bytes.get(..feed).unwrap_or_default();
                let size = chunk_size(line)?;
                self.state = if size == 0 {
                    State::Trailers
                } else {
                    State::ChunkData(size)
                };
                Ok(Next::Skip(feed + 1))
            }
            State::Trailers => self.trailers(bytes),
        }
    }

    /// Trailers are read once they are all there: they are few and short.
    fn trailers(&mut self, bytes: &mut [u8]) -> Result<Next, Fault> {
        let mut fields = Fields::new();
        let mut begin = 0;
        loop {
            let rest = bytes.get(begin..).unwrap_or_default();
            let Some(offset) = memchr(b'\n', rest) else {
                return if bytes.len() > TRAILERS_MAX {
                    Err(too_large())
                } else {
                    Ok(Next::More)
                };
            };
            let feed = begin + offset;
            if feed > TRAILERS_MAX {
                return Err(too_large());
            }
            let end = feed.saturating_sub(1);
            if end < begin || bytes.get(end) != Some(&b'\r') {
                return Err(malformed(
                    "A line ends with a bare line feed; lines end with CR LF",
                ));
            }
            if begin == end {
                let length = feed + 1;
                if fields.len() > 0 {
                    fields.set_copy(bytes.get(..length).unwrap_or_default());
                    self.trailers = Some(fields);
                }
                self.state = State::Done;
                return Ok(Next::Skip(length));
            }
            let line = bytes.get_mut(begin..end).unwrap_or_default();
            let (name, value) = field_line(line)?;
            let header = Header::of(line.get(..name).unwrap_or_default());
            fields.note(
                header,
                Span::new(begin, begin + name),
                Span::new(begin + value.0, begin + value.1),
            );
            begin = feed + 1;
        }
    }
}

fn data(bytes: &[u8], left: u64) -> Next {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    if count == 0 {
        Next::More
    } else {
        Next::Data(count)
    }
}

/// The size that a line up to its line feed tells. Extensions are allowed and mean nothing here.
fn chunk_size(line: &[u8]) -> Result<u64, Fault> {
    let Some(line) = line.strip_suffix(b"\r") else {
        return Err(malformed(
            "A line ends with a bare line feed; lines end with CR LF",
        ));
    };
    if line.len() > CHUNK_LINE_MAX {
        return Err(malformed("A chunk's size line is too long"));
    }
    let (size, extension) = match memchr(b';', line) {
        Some(at) => line.split_at(at),
        None => (line, &[][..]),
    };
    let hexadecimal = (1..=15).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit);
    let control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    if !hexadecimal || extension.iter().any(control) {
        return Err(malformed("A chunk's size is not a hexadecimal number"));
    }
    Ok(size.iter().fold(0u64, |sum, digit| {
        sum * 16 + u64::from(char::from(*digit).to_digit(16).unwrap_or_default())
    }))
}

fn too_large() -> Fault {
    Fault::new(
        Code::HeadersTooLarge,
        format!("The trailers are larger than {TRAILERS_MAX} bytes"),
    )
}
