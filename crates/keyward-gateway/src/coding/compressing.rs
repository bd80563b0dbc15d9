//! A body that is compressed as it comes.

use super::budget::Reserved;
use super::encoder::{Encoder, Then, memory};
use super::{CodingBudget, INPUT_MAX, Pieces, WORK_MAX};
use crate::body::BodyFailure;
use bytes::Bytes;
use keyward_model::resource::coding::{CompressionLevels, ContentCoding};
use std::rc::Rc;
use std::task::{Context, Poll};

/// What comes of more input waits until it is this much: a coder that has just begun gives a head of ten bytes.
const PIECE_MIN: usize = 4 * 1024;

/// Stands between a body and whoever takes its pieces. While more of the body is there, the coder keeps what
/// it likes; as soon as the body has to be waited for, all that came so far goes out: events of a stream are
/// not held back, and a file loses nothing by it.
#[derive(Debug)]
pub(crate) struct Compressing {
    encoder: Encoder,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How much of the output was given.
    given: usize,
    /// Whether the output is given however little it is.
    whole: bool,
    /// Whether the coder holds something back.
    holds: bool,
    ended: bool,
    /// How much was coded since others had their turn.
    worked: usize,
    _memory: Reserved,
}

impl Compressing {
    /// `None` where no memory is left for it, or no coder can be made.
    pub(crate) fn new(
        coding: ContentCoding,
        levels: &CompressionLevels,
        budget: &Rc<CodingBudget>,
    ) -> Option<Self> {
        let reserved = budget.reserve(memory(coding, levels))?;
        Some(Self {
            encoder: Encoder::new(coding, levels).ok()?,
            input: Vec::new(),
            output: Vec::new(),
            given: 0,
            whole: false,
            holds: false,
            ended: false,
            worked: 0,
            _memory: reserved,
        })
    }

    /// How many bytes of the next piece are there; none at the end.
    pub(crate) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
        body: &mut impl Pieces,
    ) -> Poll<Result<usize, BodyFailure>> {
        loop {
            let ready = self.output.len() - self.given;
            if ready > 0 && (self.whole || ready >= PIECE_MIN) {
                return Poll::Ready(Ok(ready));
            }
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            if self.worked >= WORK_MAX {
                self.worked = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match body.poll_piece(context)? {
                Poll::Pending if self.holds => {
                    self.holds = false;
                    self.encode(Then::Flush)?;
                }
                Poll::Pending => {
                    self.worked = 0;
                    return Poll::Pending;
                }
                Poll::Ready(0) => {
                    self.ended = true;
                    self.encode(Then::Finish)?;
                }
                Poll::Ready(count) => {
                    let count = count.min(INPUT_MAX);
                    body.move_piece(count, &mut self.input);
                    self.worked += count;
                    self.holds = true;
                    self.encode(Then::More)?;
                }
            }
        }
    }

    fn encode(&mut self, then: Then) -> Result<(), BodyFailure> {
        let coded = self.encoder.encode(&self.input, then, &mut self.output);
        self.input.clear();
        self.whole = then != Then::More;
        coded.map_err(|_| BodyFailure::Coder)
    }

    /// Moves so many of the piece's bytes.
    pub(crate) fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        let end = (self.given + count).min(self.output.len());
        out.extend_from_slice(self.output.get(self.given..end).unwrap_or_default());
        self.gave(end);
    }

    /// Takes so many of the piece's bytes out.
    pub(crate) fn take_piece(&mut self, count: usize) -> Bytes {
        if self.given == 0 && count >= self.output.len() {
            let piece = std::mem::take(&mut self.output);
            self.gave(0);
            return piece.into();
        }
        let end = (self.given + count).min(self.output.len());
        let piece = self.output.get(self.given..end).unwrap_or_default();
        let piece = Bytes::copy_from_slice(piece);
        self.gave(end);
        piece
    }

    fn gave(&mut self, end: usize) {
        self.given = end;
        if self.given == self.output.len() {
            self.output.clear();
            self.given = 0;
            self.whole = false;
        }
    }
}
