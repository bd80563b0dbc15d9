//! The side of a stream on which the answer goes.

use super::connection::NOTHING;
use super::frame;
use bytes::Bytes;
use quinn::{SendStream, StoppedError, VarInt, WriteError};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

/// The answer was not given to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The client has broken it off, or its connection has ended.
    Left,
    /// There was no more to give, or the client took no more.
    Short,
}

type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

/// A stream, what was put to it and did not go yet, and how it ends.
pub(super) struct Sending {
    stream: SendStream,
    /// Frames, of which the last may be a head alone; then the piece of a body that this is of.
    unsent: [Bytes; 2],
    /// Made when it is first asked for.
    stopped: Option<Stopped>,
    outcome: Option<Result<(), Cut>>,
}

impl Sending {
    pub(super) fn new(stream: SendStream) -> Self {
        Self {
            stream,
            unsent: [NOTHING; 2],
            stopped: None,
            outcome: None,
        }
    }

    /// Puts a frame behind those that have not gone yet.
    pub(super) fn put(&mut self, frame: Bytes) {
        let [frames, piece] = &mut self.unsent;
        debug_assert!(piece.is_empty(), "a piece is sent before more is put");
        if frames.is_empty() {
            *frames = frame;
        } else {
            *frames = [&**frames, &*frame].concat().into();
        }
    }

    /// Puts a piece of a body, without a copy of it. All that was put before has gone.
    pub(super) fn put_data(&mut self, bytes: Bytes) {
        self.put(frame::head(frame::DATA, bytes.len()));
        let [_, piece] = &mut self.unsent;
        *piece = bytes;
    }

    /// Sends what was put, as far as the client and its network take it; `moved` when they do.
    pub(super) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        mut moved: impl FnMut(),
    ) -> Poll<Result<(), Cut>> {
        while self.unsent.iter().any(|bytes| !bytes.is_empty()) {
            let begun = self
                .unsent
                .iter()
                .position(|bytes| !bytes.is_empty())
                .unwrap_or_default();
            let rest = self.unsent.get_mut(begun..).unwrap_or_default();
            let written = ready!(pin!(self.stream.write_chunks(rest)).poll(context));
            match written {
                Ok(_) => moved(),
                Err(
                    WriteError::Stopped(_)
                    | WriteError::ConnectionLost(_)
                    | WriteError::ClosedStream
                    | WriteError::ZeroRttRejected,
                ) => return Poll::Ready(Err(Cut::Left)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// All was put.
    pub(super) fn finish(&mut self) {
        // Fails where the client has stopped it.
        let _finished = self.stream.finish();
    }

    /// Breaks it off.
    pub(super) fn reset(&mut self, code: VarInt) {
        let _reset = self.stream.reset(code);
    }

    /// Ready when the client takes no more: it has all, or has left.
    pub(super) fn poll_stopped(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        if let Some(outcome) = self.outcome {
            return Poll::Ready(outcome);
        }
        let stream = &self.stream;
        let stopped = self
            .stopped
            .get_or_insert_with(|| Box::pin(stream.stopped()));
        let outcome = match ready!(stopped.as_mut().poll(context)) {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(StoppedError::ConnectionLost(_) | StoppedError::ZeroRttRejected) => {
                Err(Cut::Left)
            }
        };
        self.outcome = Some(outcome);
        Poll::Ready(outcome)
    }
}
