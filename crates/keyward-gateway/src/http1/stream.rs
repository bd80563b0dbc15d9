//! One end of a connection with what was read ahead and what waits to be written.

use super::decoder::{BodyDecoder, Next};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

/// Room for the next bytes where a head is expected: most heads come in one read.
const HEAD_ROOM: usize = 4 * 1024;
/// Room for the next bytes of a body. This much may be read ahead of a slow reader.
const BODY_ROOM: usize = 64 * 1024;
/// Memory that a waiting connection may keep for its next message.
const KEPT_MAX: usize = 16 * 1024;
/// What waits to be written is written once it is this much.
const OUTPUT_MAX: usize = 64 * 1024;

/// A transport, with buffers in both directions.
#[derive(Debug)]
pub(crate) struct Stream<T> {
    transport: T,
    input: Vec<u8>,
    /// How many bytes of the input have been used.
    used: usize,
    output: Vec<u8>,
    /// How many bytes of the output have been written.
    written: usize,
    ended: bool,
}

/// Why a body could not be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFailure {
    /// The transport broke, or ended before the body did.
    Broken,
    /// What came is no body.
    Malformed,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream<T> {
    pub(crate) fn new(transport: T) -> Self {
        Self {
            transport,
            input: Vec::new(),
            used: 0,
            output: Vec::new(),
            written: 0,
            ended: false,
        }
    }

    /// The transport, and what was read of it and not used.
    pub(crate) fn into_parts(mut self) -> (T, Vec<u8>) {
        self.compact();
        (self.transport, self.input)
    }

    /// What was read and not used.
    pub(crate) fn unread(&mut self) -> &mut [u8] {
        self.input.get_mut(self.used..).unwrap_or_default()
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.input.len() > self.used
    }

    pub(crate) fn use_up(&mut self, count: usize) {
        self.used = (self.used + count).min(self.input.len());
        if self.used == self.input.len() {
            self.input.clear();
            self.used = 0;
        }
    }

    /// Takes the first `length` unread bytes out, with the memory they stand in; what follows them goes to
    /// `next`, which is empty.
    pub(crate) fn split_off(&mut self, length: usize, mut next: Vec<u8>) -> Vec<u8> {
        self.compact();
        let rest = self.input.get(length..).unwrap_or_default();
        // Memory that just holds the rest would make the next head come in two reads.
        next.reserve(rest.len().max(HEAD_ROOM));
        next.extend_from_slice(rest);
        self.input.truncate(length);
        std::mem::replace(&mut self.input, next)
    }

    /// Moves what is unread to the front.
    fn compact(&mut self) {
        if self.used > 0 {
            self.input.drain(..self.used);
            self.used = 0;
        }
    }

    /// Reads more, behind what is unread. Zero bytes: the other end has ended.
    pub(crate) fn poll_read_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_read(context, HEAD_ROOM)
    }

    /// The same, with so much room.
    pub(crate) fn poll_read_more(
        &mut self,
        context: &mut Context<'_>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_read(context, room)
    }

    fn poll_read(&mut self, context: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        self.compact();
        // Room is made only when there is little: growing by what was just filled would never end.
        let enough = if self.input.is_empty() {
            room
        } else {
            room / 4
        };
        if self.input.capacity() - self.input.len() < enough {
            self.input.reserve(room);
        }
        let reading = self.transport.read_buf(&mut self.input);
        let count = ready!(pin!(reading).poll(context))?;
        self.ended = count == 0;
        Poll::Ready(Ok(count))
    }

    /// The next piece of a body, empty at its end. Say [`use_body`](Self::use_body) how much of it was used.
    pub(crate) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        decoder: &mut BodyDecoder,
    ) -> Poll<Result<usize, ReadFailure>> {
        loop {
            let unread = self.input.get_mut(self.used..).unwrap_or_default();
            match decoder.next(unread).map_err(|_| ReadFailure::Malformed)? {
                Next::Data(count) => return Poll::Ready(Ok(count)),
                Next::End => return Poll::Ready(Ok(0)),
                Next::Skip(count) => self.use_up(count),
                Next::More => {
                    let room = decoder.left().map_or(BODY_ROOM, |left| {
                        usize::try_from(left).unwrap_or(BODY_ROOM).min(BODY_ROOM)
                    });
                    let read =
                        ready!(self.poll_read(context, room)).map_err(|_| ReadFailure::Broken)?;
                    if read == 0 {
                        if !decoder.ends_with_connection() {
                            return Poll::Ready(Err(ReadFailure::Broken));
                        }
                        decoder.connection_ended();
                    }
                }
            }
        }
    }

    /// The first `count` unread bytes.
    pub(crate) fn piece(&self, count: usize) -> &[u8] {
        self.input
            .get(self.used..self.used + count)
            .unwrap_or_default()
    }

    /// So much of a body's piece was used.
    pub(crate) fn use_body(&mut self, decoder: &mut BodyDecoder, count: usize) {
        decoder.took(count);
        self.use_up(count);
    }

    /// What is to be written: add to it, then [`poll_flush`](Self::poll_flush).
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.output.len() > self.written
    }

    /// Whether so much waits to be written that no more should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.output.len() - self.written >= OUTPUT_MAX
    }

    /// Writes what waits. `moved` hears of every byte that the other end takes.
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        moved: &mut impl FnMut(),
    ) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let rest = self.output.get(self.written..).unwrap_or_default();
            let count = ready!(Pin::new(&mut self.transport).poll_write(context, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            moved();
        }
        self.output.clear();
        self.written = 0;
        Pin::new(&mut self.transport).poll_flush(context)
    }

    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }

    /// Whether the other end has closed or broken the connection, or sent what nobody waits for.
    pub(crate) fn is_quiet(&mut self, context: &mut Context<'_>) -> bool {
        !self.has_unread() && self.poll_read(context, HEAD_ROOM).is_pending()
    }

    /// Gives memory back that a connection which waits does not need.
    pub(crate) fn shrink(&mut self) {
        if self.input.capacity() > KEPT_MAX && !self.has_unread() {
            self.input = Vec::new();
            self.used = 0;
        }
        if self.output.capacity() > KEPT_MAX && !self.has_unwritten() {
            self.output = Vec::new();
        }
    }
}
