//! A request's body on its way to an upstream over HTTP/2, whose flow control says how much may be sent.

use super::{Upload, UploadStop};
use crate::body::BodyFailure;
use crate::coding::Pieces as _;
use crate::deadlines::Seat;
use crate::upstream::Http2Call;
use std::task::{Context, Poll, ready};

impl Upload {
    /// Sends what there is of the request, as far as both sides let it. That the target resets the stream is
    /// seen by whoever waits for the answer.
    pub(super) fn poll_send_http2(
        &mut self,
        context: &mut Context<'_>,
        seat: &Seat,
        call: &mut Http2Call,
    ) -> Poll<Result<(), UploadStop>> {
        while !self.done {
            if self.failure.is_some() {
                return Poll::Ready(Err(UploadStop::Client));
            }
            if call.is_unsent() {
                call.send_head(self.ended);
                self.sent = true;
                self.done = self.ended;
                continue;
            }
            let (again, count) = if self.put < self.bytes {
                match self.taps.replay.from(self.put).len() {
                    // What is missing must not look like the end.
                    0 => return Poll::Ready(Err(UploadStop::Upstream)),
                    kept => (true, kept),
                }
            } else if self.received {
                (true, 0)
            } else {
                match self.body.poll_piece(context) {
                    Poll::Ready(Ok(count)) => {
                        self.client.moved();
                        (false, count)
                    }
                    Poll::Ready(Err(failure)) => {
                        self.failure = Some(failure);
                        continue;
                    }
                    Poll::Pending => {
                        ready!(self.client.poll(seat));
                        self.failure = Some(BodyFailure::ClientIdle);
                        continue;
                    }
                }
            };
            if count == 0 {
                if !again {
                    self.receive_end();
                }
                self.ended = true;
                self.done = true;
                return Poll::Ready(
                    call.send_end(self.trailers.as_ref())
                        .map_err(|_| UploadStop::Upstream),
                );
            }
            let room = match call.poll_room(context, count) {
                Poll::Ready(Ok(room)) => room.min(count),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(UploadStop::Upstream)),
                Poll::Pending => {
                    ready!(self.upstream.poll(seat));
                    return Poll::Ready(Err(UploadStop::Stalled));
                }
            };
            self.upstream.moved();
            let mut piece = Vec::with_capacity(room);
            if again {
                let kept = self.taps.replay.from(self.put);
                piece.extend_from_slice(kept.get(..room).unwrap_or(kept));
            } else {
                self.bytes = self.bytes.saturating_add(room as u64);
                if self.bytes > self.bound {
                    self.failure = Some(BodyFailure::TooLarge);
                    continue;
                }
                self.body.move_piece(room, &mut piece);
                self.taps.keep(&piece);
                self.received = self.body.left() == Some(0);
                if self.received {
                    self.taps.end();
                }
            }
            self.put += piece.len() as u64;
            // Where no length was told, trailers may follow the last byte.
            self.ended = self.length == Some(self.put);
            self.done = self.ended;
            if call.send(piece, self.ended).is_err() {
                return Poll::Ready(Err(UploadStop::Upstream));
            }
        }
        Poll::Ready(Ok(()))
    }
}
