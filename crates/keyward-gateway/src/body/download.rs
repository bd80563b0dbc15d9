//! An answer as it comes from the upstream, while the request may still be on its way there.

use super::{BodyFailure, Upload, UploadStop};
use crate::deadlines::{Deadline, Patience, Seat};
use crate::message::Fields;
use crate::upstream::{Occupied, UpstreamConnection};
use crate::worker::Worker;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// An answer that still comes in.
pub(crate) struct Download {
    pub(crate) connection: Option<UpstreamConnection>,
    /// The call at its target, until the answer has been read.
    pub(crate) occupied: Option<Occupied>,
    pub(crate) worker: Rc<Worker>,
    pub(crate) seat: Rc<Seat>,
    /// How long the connection may wait for its next call.
    pub(crate) keep: Duration,
    pub(crate) upload: Upload,
    pub(crate) idle: Patience,
    /// Of the whole call.
    pub(crate) deadline: Deadline,
    pub(crate) trailers: Option<Fields>,
}

impl Download {
    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, BodyFailure>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(Ok(0));
        };
        // An answer may begin before the request has ended. That the upstream takes no more of it is no fault by
        // then; that the client left is.
        let sending = self.upload.poll_send(context, &self.seat, connection);
        if let (Poll::Ready(Err(UploadStop::Client)), Some(failure)) =
            (sending, self.upload.failure)
        {
            return Poll::Ready(Err(failure));
        }
        if self.deadline.poll(&self.seat).is_ready() {
            // It may be the client who reads slowly: nobody's fault.
            return Poll::Ready(Err(BodyFailure::UpstreamLate));
        }
        match connection.poll_body(context) {
            Poll::Pending => {
                ready!(self.idle.poll(&self.seat));
                connection.give_up();
                Poll::Ready(Err(self.failed(BodyFailure::UpstreamIdle)))
            }
            Poll::Ready(Ok(0)) => {
                self.trailers = connection.take_trailers();
                self.give_back();
                Poll::Ready(Ok(0))
            }
            Poll::Ready(Ok(count)) => {
                self.idle.moved();
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(self.failed(BodyFailure::Upstream))),
        }
    }

    /// A client that holds its own body back must not speak against the target that waits for it.
    fn failed(&mut self, failure: BodyFailure) -> BodyFailure {
        if let Some(mut occupied) = self.occupied.take()
            && self.upload.is_done()
        {
            occupied.failed(self.worker.moment());
        }
        failure
    }

    /// Returns the connection to its pool, now that the answer has been read to its end.
    pub(super) fn give_back(&mut self) {
        let Some(occupied) = self.occupied.take() else {
            return;
        };
        let now = self.worker.deadlines.latest();
        occupied.ended(now);
        if let Some(connection) = self.connection.take()
            && self.upload.is_done()
            && let Some(pool) = occupied.pool()
        {
            pool.put(connection, now, self.keep);
        }
    }
}
