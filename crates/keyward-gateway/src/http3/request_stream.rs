//! A request's stream as it is read (RFC 9114, section 4.1): a header section, a body in pieces, and perhaps
//! trailers.
//!
//! A body's bytes are given on as they came, without a copy. A header section is gathered, up to a bound: it can't
//! be understood in parts. What is of an unknown kind is passed over, and counted.

use super::code;
use super::connection::Shared;
use super::frame::{self, FrameHead, PartialHead};
use bytes::Bytes;
use quinn::{ReadError, RecvStream, VarInt};
use std::future::Future as _;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// The most that is read of a stream at once.
const READ_MAX: usize = 64 * 1024;

/// A stream that is read.
pub(super) struct RequestStream {
    stream: RecvStream,
    connection: Rc<Shared>,
    /// What was read and not used.
    read: Bytes,
    head: PartialHead,
    within: Within,
    stage: Stage,
    /// A header section as far as it has come.
    section: Vec<u8>,
    section_max: usize,
    /// Whether the client has sent all.
    ended: bool,
    /// Once something is wrong, it stays so: the library would tell the next who asks that a stream that was
    /// broken off has ended.
    failure: Option<StreamFailure>,
}

/// Where in a frame the reading is, and how much of it is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Head,
    Section(usize),
    Data(u64),
    Unknown(u64),
}

/// What may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
    End,
}

/// What has come.
#[derive(Debug)]
pub(super) enum Part {
    /// The first header section is the head, the second the trailers.
    Section(Vec<u8>),
    /// So many bytes of the body are to come in a frame; none of them was given yet.
    Data(u64),
    /// Of such a frame, so many are here.
    Piece(usize),
    End,
}

/// Why a stream is read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamFailure {
    /// The client has broken it off, or the connection is gone.
    Broken,
    /// The client breaks the protocol: the connection has to end with this.
    Connection(VarInt),
    /// A header section is larger than it may be.
    TooLarge,
}

impl RequestStream {
    pub(super) fn new(stream: RecvStream, connection: Rc<Shared>, section_max: usize) -> Self {
        Self {
            stream,
            connection,
            read: Bytes::new(),
            head: PartialHead::default(),
            within: Within::Head,
            stage: Stage::Head,
            section: Vec::new(),
            section_max,
            ended: false,
            failure: None,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.stream.id().index()
    }

    /// Tells the client that the rest is not wanted.
    pub(super) fn stop(&mut self, code: VarInt) {
        // Fails where all has come.
        let _stopped = self.stream.stop(code);
    }

    /// What comes next. A piece is told again and again until it is [taken](Self::take).
    pub(super) fn poll_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Part, StreamFailure>> {
        if let Some(failure) = self.failure {
            return Poll::Ready(Err(failure));
        }
        let part = ready!(self.poll_next(context));
        self.failure = part.as_ref().err().copied();
        Poll::Ready(part)
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Part, StreamFailure>> {
        loop {
            match self.within {
                Within::Head => {
                    if let Some(head) = self.head.take(&mut self.read) {
                        if let Some(part) = self.begin(head)? {
                            return Poll::Ready(Ok(part));
                        }
                        continue;
                    }
                }
                Within::Section(left) => {
                    let count = left.min(self.read.len());
                    self.section.extend_from_slice(&self.read.split_to(count));
                    let left = left - count;
                    if left == 0 {
                        self.within = Within::Head;
                        return Poll::Ready(Ok(Part::Section(std::mem::take(&mut self.section))));
                    }
                    self.within = Within::Section(left);
                }
                Within::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX);
                    let here = here.min(self.read.len());
                    if here > 0 {
                        return Poll::Ready(Ok(Part::Piece(here)));
                    }
                }
                Within::Unknown(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX);
                    let count = count.min(self.read.len());
                    drop(self.read.split_to(count));
                    let left = left - count as u64;
                    self.within = if left == 0 {
                        Within::Head
                    } else {
                        Within::Unknown(left)
                    };
                    if left == 0 {
                        continue;
                    }
                }
            }
            if self.ended {
                if self.within == Within::Head && !self.head.is_begun() {
                    return Poll::Ready(Ok(Part::End));
                }
                // Section 7.1: a frame may not break off where its stream ends.
                return Poll::Ready(Err(StreamFailure::Connection(code::FRAME_ERROR)));
            }
            ready!(self.poll_read(context))?;
        }
    }

    /// The first `count` bytes of the piece that was told.
    pub(super) fn take(&mut self, count: usize) -> Bytes {
        let Within::Data(left) = self.within else {
            return Bytes::new();
        };
        let piece = self.read.split_to(count.min(self.read.len()));
        self.connection.piece(piece.len());
        let left = left.saturating_sub(piece.len() as u64);
        self.within = if left == 0 {
            Within::Head
        } else {
            Within::Data(left)
        };
        piece
    }

    fn begin(&mut self, head: FrameHead) -> Result<Option<Part>, StreamFailure> {
        let FrameHead { kind, length } = head;
        match (kind, self.stage) {
            (frame::HEADERS, Stage::Head | Stage::Body) => {
                self.stage = match self.stage {
                    Stage::Head => Stage::Body,
                    Stage::Body | Stage::End => Stage::End,
                };
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > self.section_max {
                    return Err(StreamFailure::TooLarge);
                }
                self.within = Within::Section(length);
                Ok(None)
            }
            // Empty ones come for free, and are counted by what was read.
            (frame::DATA, Stage::Body) if length == 0 => Ok(None),
            (frame::DATA, Stage::Body) => {
                self.within = Within::Data(length);
                Ok(Some(Part::Data(length)))
            }
            (
                frame::DATA
                | frame::HEADERS
                | frame::CANCEL_PUSH
                | frame::SETTINGS
                | frame::PUSH_PROMISE
                | frame::GOAWAY
                | frame::MAX_PUSH_ID,
                _,
            ) => Err(StreamFailure::Connection(code::FRAME_UNEXPECTED)),
            (kind, _) if frame::is_of_http2(kind) => {
                Err(StreamFailure::Connection(code::FRAME_UNEXPECTED))
            }
            (_, _) => {
                if length > 0 {
                    self.within = Within::Unknown(length);
                }
                Ok(None)
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamFailure>> {
        // What is read lets the client send as much more, so no more is read than is used.
        let chunk = pin!(self.stream.read_chunk(READ_MAX, true)).poll(context);
        match ready!(chunk) {
            Ok(Some(chunk)) => {
                self.read = chunk.bytes;
                self.connection
                    .read(self.read.len())
                    .map_err(StreamFailure::Connection)?;
            }
            Ok(None) => self.ended = true,
            Err(
                ReadError::Reset(_)
                | ReadError::ConnectionLost(_)
                | ReadError::ClosedStream
                | ReadError::IllegalOrderedRead
                | ReadError::ZeroRttRejected,
            ) => return Poll::Ready(Err(StreamFailure::Broken)),
        }
        Poll::Ready(Ok(()))
    }
}
