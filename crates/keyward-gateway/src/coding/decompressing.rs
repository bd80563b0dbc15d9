//! A body that is decompressed as it comes.

use super::budget::Reserved;
use super::decoder::Decoder;
use super::{CodingBudget, INPUT_MAX, Pieces, ROOM, Undecodable, WORK_MAX, window};
use crate::body::BodyFailure;
use keyward_model::resource::coding::ContentCoding;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Small bodies may grow as they like: what matters is what a flood of them could do.
const RATIO_FREE: u64 = 64 * 1024;

/// How large what comes out may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecodeBounds {
    /// In bytes.
    pub(crate) bytes: u64,
    /// In bytes for each byte that came in.
    pub(crate) ratio: u64,
}

/// Stands between a body and whoever takes its pieces.
#[derive(Debug)]
pub(crate) struct Decompressing<B> {
    body: B,
    coding: ContentCoding,
    bounds: DecodeBounds,
    budget: Rc<CodingBudget>,
    /// There once the window is known, with the memory for it.
    decoder: Option<(Decoder, Reserved)>,
    input: Vec<u8>,
    /// How much of the input was used.
    used: usize,
    output: Vec<u8>,
    /// How much of the output was given.
    given: usize,
    /// Whether the decoder has nothing more without input.
    hungry: bool,
    ended: bool,
    came_in: u64,
    came_out: u64,
    /// How much was decoded since others had their turn.
    worked: usize,
}

impl<B: Pieces> Decompressing<B> {
    pub(crate) fn new(
        body: B,
        coding: ContentCoding,
        bounds: DecodeBounds,
        budget: &Rc<CodingBudget>,
    ) -> Self {
        Self {
            body,
            coding,
            bounds,
            budget: Rc::clone(budget),
            decoder: None,
            input: Vec::new(),
            used: 0,
            output: Vec::new(),
            given: 0,
            hungry: true,
            ended: false,
            came_in: 0,
            came_out: 0,
            worked: 0,
        }
    }

    /// The body as it comes in.
    pub(crate) fn body(&mut self) -> &mut B {
        &mut self.body
    }

    /// How many bytes have come in.
    pub(crate) fn came_in(&self) -> u64 {
        self.came_in
    }

    /// How many bytes of the next piece are there; none at the end.
    pub(crate) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, BodyFailure>> {
        loop {
            if self.given < self.output.len() {
                return Poll::Ready(Ok(self.output.len() - self.given));
            }
            self.output.clear();
            self.given = 0;
            if self.worked >= WORK_MAX {
                self.worked = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.advance().map_err(BodyFailure::Undecodable)? {
                continue;
            }
            let polled = self.body.poll_piece(context);
            if polled.is_pending() {
                self.worked = 0;
            }
            match ready!(polled)? {
                0 if self.ended => return Poll::Ready(Ok(0)),
                0 => {
                    let failure = Undecodable::Truncated;
                    return Poll::Ready(Err(BodyFailure::Undecodable(failure)));
                }
                count => {
                    self.input.drain(..self.used);
                    self.used = 0;
                    let count = count.min(INPUT_MAX);
                    self.body.move_piece(count, &mut self.input);
                    self.came_in += count as u64;
                }
            }
        }
    }

    /// Decodes what is there. Whether anything was done, so that more of the body is not needed yet.
    fn advance(&mut self) -> Result<bool, Undecodable> {
        let input = self.input.get(self.used..).unwrap_or_default();
        if self.ended {
            return if input.is_empty() {
                Ok(false)
            } else {
                Err(Undecodable::Trailing)
            };
        }
        if input.is_empty() && self.hungry {
            return Ok(false);
        }
        let (decoder, _) = match &mut self.decoder {
            Some(decoder) => decoder,
            none => {
                let Some(bytes) = window::memory(self.coding, input)? else {
                    return Ok(false);
                };
                let reserved = self.budget.reserve(bytes).ok_or(Undecodable::NoMemory)?;
                none.insert((Decoder::new(self.coding)?, reserved))
            }
        };
        let step = decoder.decode(input, &mut self.output, ROOM)?;
        self.used += step.used;
        self.ended = step.ended;
        self.hungry = self.output.len() < ROOM;
        if step.used == 0 && self.output.is_empty() && !input.is_empty() && !step.ended {
            // No decoder stands still like that; one that did would do so forever.
            return Err(Undecodable::Malformed);
        }
        self.worked += self.output.len() + step.used;
        self.came_out += self.output.len() as u64;
        if self.came_out > self.bounds.bytes {
            return Err(Undecodable::TooLarge);
        }
        let used = self.came_in - (self.input.len() - self.used) as u64;
        let most = used.saturating_mul(self.bounds.ratio);
        if self.came_out > most.saturating_add(RATIO_FREE) {
            return Err(Undecodable::Ratio);
        }
        if self.ended {
            // Its memory serves others while the end of the body is waited for.
            self.decoder = None;
        }
        Ok(true)
    }

    /// Moves so many of the piece's bytes.
    pub(crate) fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        let end = (self.given + count).min(self.output.len());
        out.extend_from_slice(self.output.get(self.given..end).unwrap_or_default());
        self.given = end;
    }
}
