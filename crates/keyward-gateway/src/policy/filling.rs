//! An answer's body on its way into memory, for the cache or for later calls with its key, which the call that fetched
//! it reads meanwhile.
//!
//! It comes at the upstream's pace and not at the reader's, so that others who wait for it don't wait for a slow
//! client, and goes on when that client leaves. Once it turns out to be too large to be kept it is a stream
//! like any other: the reader sets the pace, and what has been read is forgotten.

use crate::body::{AnswerBody, BodyFailure};
use crate::message::Fields;
use crate::policy::memory::Reservation;
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How far a body that is not kept is read ahead of its reader.
const AHEAD_MAX: usize = 64 * 1024;

/// A body that comes in. Both of its ends are on one worker.
#[derive(Debug)]
pub(crate) struct Filling(RefCell<State>);

#[derive(Debug)]
struct State {
    /// What has come, without what was forgotten.
    data: Vec<u8>,
    /// All of it, once that is there.
    whole: Option<Bytes>,
    forgotten: u64,
    length: Option<u64>,
    bound: usize,
    spills: bool,
    ended: Option<Result<(), BodyFailure>>,
    trailers: Option<Fields>,
    has_reader: bool,
    reader: Option<Waker>,
    pump: Option<Waker>,
    memory: Option<Reservation>,
}

/// The end that the client's answer reads from.
#[derive(Debug)]
pub(crate) struct FillingReader {
    filling: Rc<Filling>,
    at: u64,
}

/// What a body came to.
#[derive(Debug)]
pub(super) enum Filled {
    /// It is there whole, and nothing came behind it.
    Whole(Bytes),
    /// It was read to its end, or given up, without being kept.
    Passed,
}

/// A body's bytes with the memory that they count for, until nobody has them any more.
struct Counted {
    bytes: Box<[u8]>,
    _memory: Reservation,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Filling {
    /// A body of this length, as far as that is known, which is kept if it has no more than `bound` bytes.
    pub(super) fn new(length: Option<u64>, bound: usize, memory: Reservation) -> Rc<Self> {
        Rc::new(Self(RefCell::new(State {
            data: Vec::new(),
            whole: None,
            forgotten: 0,
            length,
            bound,
            spills: false,
            ended: None,
            trailers: None,
            has_reader: false,
            reader: None,
            pump: None,
            memory: Some(memory),
        })))
    }

    pub(super) fn reader(self: &Rc<Self>) -> FillingReader {
        self.0.borrow_mut().has_reader = true;
        FillingReader {
            filling: Rc::clone(self),
            at: 0,
        }
    }

    /// Takes the next piece in, from a body that has it. `evict` makes room; what finds none is no longer kept.
    /// Ready with `true` at the end, or when nobody is left to read what isn't kept.
    pub(super) fn poll_fill(
        &self,
        context: &mut Context<'_>,
        body: &mut AnswerBody,
        evict: impl FnMut() -> bool,
    ) -> Poll<bool> {
        let mut state = self.0.borrow_mut();
        if state.spills {
            if !state.has_reader {
                return Poll::Ready(true);
            }
            if state.data.len() >= AHEAD_MAX {
                state.pump = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        // To be woken when the last reader of what isn't kept leaves.
        state.pump = Some(context.waker().clone());
        let done = match body.poll_piece(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => {
                state.trailers = body.take_trailers();
                state.ended = Some(Ok(()));
                body.end();
                true
            }
            Poll::Ready(Ok(count)) => {
                let count = count.min(AHEAD_MAX);
                state.take(count, body, evict);
                false
            }
            Poll::Ready(Err(failure)) => {
                state.ended = Some(Err(failure));
                state.forget_memory();
                true
            }
        };
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        Poll::Ready(done)
    }

    /// Whether it is too large, or there is no memory for it.
    pub(super) fn spills(&self) -> bool {
        self.0.borrow().spills
    }

    /// Whether it broke off.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.0.borrow().ended, Some(Err(_)))
    }

    /// The body in one piece, if it is to be kept.
    pub(super) fn finish(&self) -> Filled {
        let mut state = self.0.borrow_mut();
        let whole = state.ended == Some(Ok(())) && !state.spills && state.trailers.is_none();
        let Some(mut memory) = state.memory.take().filter(|_| whole) else {
            return Filled::Passed;
        };
        let bytes = std::mem::take(&mut state.data).into_boxed_slice();
        // What was set aside and is not needed goes back.
        memory.resize(bytes.len(), || false);
        let bytes = Bytes::from_owner(Counted {
            bytes,
            _memory: memory,
        });
        state.whole = Some(bytes.clone());
        Filled::Whole(bytes)
    }

    /// Nothing more comes, though there should be more.
    pub(super) fn cut(&self, failure: BodyFailure) {
        let mut state = self.0.borrow_mut();
        if state.ended.is_none() {
            state.ended = Some(Err(failure));
            state.forget_memory();
        }
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

impl State {
    fn take(&mut self, count: usize, body: &mut AnswerBody, evict: impl FnMut() -> bool) {
        if !self.spills {
            let size = self.data.len() + count;
            // Room may have been set aside for it beforehand.
            let kept = size <= self.bound
                && self
                    .memory
                    .as_mut()
                    .is_some_and(|memory| memory.bytes() >= size || memory.resize(size, evict));
            if !kept {
                self.spills = true;
                self.forget_memory();
            }
        }
        body.move_piece(count, &mut self.data);
    }

    fn forget_memory(&mut self) {
        self.memory = None;
    }

    fn end(&self) -> u64 {
        self.forgotten + self.data.len() as u64
    }
}

impl FillingReader {
    /// How many bytes are to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        let state = self.filling.0.borrow();
        state.length.map(|length| length.saturating_sub(self.at))
    }

    pub(crate) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, BodyFailure>> {
        let mut state = self.filling.0.borrow_mut();
        let end = match &state.whole {
            Some(whole) => whole.len() as u64,
            None => state.end(),
        };
        let there = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if there > 0 {
            return Poll::Ready(Ok(there));
        }
        match state.ended {
            Some(Ok(())) => Poll::Ready(Ok(0)),
            Some(Err(failure)) => Poll::Ready(Err(failure)),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(crate) fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        let mut state = self.filling.0.borrow_mut();
        let from = usize::try_from(self.at.saturating_sub(state.forgotten)).unwrap_or(usize::MAX);
        let bytes = state.whole.as_deref().unwrap_or(&state.data);
        let piece = bytes.get(from..).unwrap_or_default();
        let piece = piece.get(..count).unwrap_or(piece);
        out.extend_from_slice(piece);
        let count = piece.len();
        self.at += count as u64;
        if state.spills {
            state.data.drain(..from + count);
            state.forgotten = self.at;
            if let Some(pump) = state.pump.take() {
                pump.wake();
            }
        }
    }

    /// What followed the body.
    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        self.filling.0.borrow_mut().trailers.take()
    }
}

impl Drop for FillingReader {
    fn drop(&mut self) {
        let mut state = self.filling.0.borrow_mut();
        state.has_reader = false;
        if let Some(pump) = state.pump.take() {
            pump.wake();
        }
    }
}
