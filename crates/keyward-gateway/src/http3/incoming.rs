//! A request's body as it comes: within the length that its head has told, and then its trailers.

use super::head;
use super::request_stream::{Part, RequestStream, StreamFailure};
use crate::message::Fields;
use quinn::VarInt;
use std::task::{Context, Poll, ready};

/// All trailer fields together, as in HTTP/1.1.
const TRAILERS_MAX: usize = 8 * 1024;

/// A stream, read up to the end of its request.
pub(super) struct Incoming {
    pub(super) stream: RequestStream,
    /// How many bytes of the body are to be given on, where the client has told it.
    left: Option<u64>,
    /// Of these, how many no frame has announced yet.
    unannounced: Option<u64>,
    ended: bool,
    /// Whether it is not what the head or the protocol says that it is.
    malformed: bool,
    trailers: Option<Fields>,
}

/// Why there is no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEnd {
    Malformed,
    Failed(StreamFailure),
}

impl Incoming {
    pub(super) fn new(stream: RequestStream) -> Self {
        Self {
            stream,
            left: None,
            unannounced: None,
            ended: false,
            malformed: false,
            trailers: None,
        }
    }

    /// Begins the body of a request whose head has told this length: whether there is any.
    pub(super) fn begin(&mut self, context: &mut Context<'_>, length: Option<u64>) -> bool {
        self.left = length;
        self.unannounced = length;
        // Most requests end with their head. What is wrong with the body is found where it is read.
        match self.stream.poll_part(context) {
            Poll::Ready(Ok(Part::End)) if length.unwrap_or(0) == 0 => self.ended = true,
            Poll::Ready(Ok(Part::Data(announced))) => self.announce(announced),
            Poll::Ready(Ok(Part::Section(section))) => self.keep_trailers(&section),
            // Told again when it is asked for again.
            Poll::Ready(Ok(Part::End | Part::Piece(_)) | Err(_)) | Poll::Pending => {}
        }
        !self.ended
    }

    /// How many bytes of the next piece are there; none at the end.
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, BodyEnd>> {
        loop {
            if self.malformed {
                return Poll::Ready(Err(BodyEnd::Malformed));
            }
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            match ready!(self.stream.poll_part(context)) {
                Ok(Part::Piece(count)) => return Poll::Ready(Ok(count)),
                Ok(Part::Data(announced)) => self.announce(announced),
                Ok(Part::Section(section)) => self.keep_trailers(&section),
                Ok(Part::End) => {
                    self.ended = true;
                    self.malformed |= self.left.unwrap_or(0) > 0;
                }
                Err(failure) => return Poll::Ready(Err(BodyEnd::Failed(failure))),
            }
        }
    }

    /// Moves bytes of the piece.
    pub(super) fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        let piece = self.stream.take(count);
        out.extend_from_slice(&piece);
        self.left = self
            .left
            .map(|left| left.saturating_sub(piece.len() as u64));
    }

    /// How many bytes are to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        if self.ended { Some(0) } else { self.left }
    }

    pub(super) fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    /// Looks once for what came behind the end that the head told of: such a request is malformed, if only after it
    /// was answered.
    pub(super) fn look_behind_its_end(&mut self, context: &mut Context<'_>, code: VarInt) {
        if self.left == Some(0)
            && !self.ended
            && let Poll::Ready(Ok(Part::Data(_))) = self.stream.poll_part(context)
        {
            self.stream.stop(code);
        }
    }

    /// A frame of so many bytes begins: together they are as long as the head has told.
    fn announce(&mut self, bytes: u64) {
        if let Some(unannounced) = self.unannounced {
            self.malformed |= bytes > unannounced;
            self.unannounced = Some(unannounced.saturating_sub(bytes));
        }
    }

    fn keep_trailers(&mut self, section: &[u8]) {
        self.trailers = head::trailers(section, TRAILERS_MAX);
        self.malformed |= self.trailers.is_none();
    }
}
