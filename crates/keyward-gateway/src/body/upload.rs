//! A request's body on its way to the upstream.

mod taps;
mod to_http2;

use super::{BodyFailure, RequestBody};
use crate::capture::CallCapture;
use crate::coding::Pieces as _;
use crate::deadlines::{Patience, Seat};
use crate::http1::{self, Stream};
use crate::message::Fields;
use crate::replay::Replay;
use crate::request::identity::ForgedNames;
use crate::request::mirror::Copying;
use crate::upstream::UpstreamConnection;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use taps::Taps;
use tokio::io::{AsyncRead, AsyncWrite};

/// What stops an upload.
#[derive(Debug)]
pub(crate) enum UploadStop {
    /// The body itself: [`Upload::failure`] says why.
    Client,
    /// The upstream takes no more of it.
    Upstream,
    /// The upstream has taken nothing for too long.
    Stalled,
}

/// A request's body on its way to the upstream, as often as it has to be sent.
#[derive(Debug)]
pub(crate) struct Upload {
    body: RequestBody,
    /// As the client has told it; `None`: it comes in chunks, and goes in chunks.
    length: Option<u64>,
    /// How many bytes have come from the client, decompressed where that is done.
    bytes: u64,
    /// Of these, how many were put to the output of this attempt.
    put: u64,
    bound: u64,
    client: Patience,
    upstream: Patience,
    forged: Arc<ForgedNames>,
    taps: Taps,
    /// Whether the body's last byte has come, and what followed it.
    received: bool,
    trailers: Option<Fields>,
    /// Whether the body's last byte was put to the output.
    ended: bool,
    /// Whether the upstream has taken any byte of this attempt.
    sent: bool,
    done: bool,
    pub(crate) failure: Option<BodyFailure>,
}

impl Upload {
    /// `forged` are the names that no trailer may carry.
    pub(crate) fn new(
        body: RequestBody,
        bound: Option<u64>,
        idle: Duration,
        forged: Arc<ForgedNames>,
        replay: Replay,
    ) -> Self {
        let length = body.left();
        Self {
            length,
            received: length == Some(0),
            ended: length == Some(0),
            body,
            bytes: 0,
            put: 0,
            bound: bound.unwrap_or(u64::MAX),
            client: Patience::new(idle),
            upstream: Patience::new(idle),
            forged,
            taps: Taps::new(replay),
            trailers: None,
            sent: false,
            done: false,
            failure: None,
        }
    }

    /// What is to be copied meanwhile.
    pub(crate) fn copied_by(&mut self, copying: Option<Copying>) {
        self.taps.copying = copying.map(Box::new);
        if self.received {
            self.taps.end();
        }
    }

    /// What passes is captured too.
    pub(crate) fn captured(mut self, capture: Option<Rc<CallCapture>>) -> Self {
        self.taps.capture = capture;
        self
    }

    /// The length that the upstream is told; `None`: it comes in chunks.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// How many bytes have come from the client, as it sent them.
    pub(crate) fn bytes_in(&self) -> u64 {
        self.body.came_in().unwrap_or(self.bytes)
    }

    /// Whether the upstream may have seen any byte of this attempt.
    pub(crate) fn was_sent(&self) -> bool {
        self.sent
    }

    /// Whether the body can be sent from its first byte.
    pub(crate) fn can_start_again(&self) -> bool {
        self.failure.is_none() && self.taps.replay.has(self.bytes)
    }

    /// Whether all was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// The call is sent again, on another connection.
    pub(crate) fn start_again(&mut self) {
        self.done = false;
        self.sent = false;
        self.put = 0;
        self.ended = self.length == Some(0);
        self.upstream.moved();
    }

    /// Sends what there is of the request, head and body, as far as both sides let it.
    pub(crate) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        seat: &Seat,
        connection: &mut UpstreamConnection,
    ) -> Poll<Result<(), UploadStop>> {
        match connection {
            UpstreamConnection::Http1(connection) => {
                self.poll_send_http1(context, seat, connection.stream())
            }
            UpstreamConnection::Http2(call) => self.poll_send_http2(context, seat, call),
        }
    }

    fn poll_send_http1<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        seat: &Seat,
        stream: &mut Stream<T>,
    ) -> Poll<Result<(), UploadStop>> {
        while !self.done {
            if self.failure.is_some() {
                return Poll::Ready(Err(UploadStop::Client));
            }
            let mut starved = false;
            if !self.ended && !stream.is_full() {
                if self.put < self.bytes || self.received {
                    self.put_again(stream.output());
                    continue;
                }
                match self.body.poll_piece(context) {
                    Poll::Pending => starved = true,
                    Poll::Ready(Ok(count)) => {
                        self.client.moved();
                        self.put_new(count, stream.output());
                        continue;
                    }
                    Poll::Ready(Err(failure)) => {
                        self.failure = Some(failure);
                        continue;
                    }
                }
            }
            let (upstream, sent) = (&mut self.upstream, &mut self.sent);
            let flushed = stream.poll_flush(context, &mut || {
                *sent = true;
                upstream.moved();
            });
            if self.sent {
                self.taps.replay.sent();
            }
            match flushed {
                Poll::Ready(Ok(())) if starved => {
                    ready!(self.client.poll(seat));
                    self.failure = Some(BodyFailure::ClientIdle);
                }
                Poll::Ready(Ok(())) => self.done = self.ended,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(UploadStop::Upstream)),
                Poll::Pending => {
                    ready!(self.upstream.poll(seat));
                    return Poll::Ready(Err(UploadStop::Stalled));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Puts a new piece of the body, or its end, to what is sent.
    fn put_new(&mut self, count: usize, out: &mut Vec<u8>) {
        self.bytes = self.bytes.saturating_add(count as u64);
        if self.bytes > self.bound {
            self.failure = Some(BodyFailure::TooLarge);
            return;
        }
        if count == 0 {
            self.receive_end();
            return self.put_end(out);
        }
        let (body, taps) = (&mut self.body, &mut self.taps);
        let mut moved = |out: &mut Vec<u8>| {
            let from = out.len();
            body.move_piece(count, out);
            taps.keep(out.get(from..).unwrap_or_default());
        };
        if self.length.is_none() {
            http1::write_chunk(out, count, moved);
        } else {
            moved(out);
        }
        self.put = self.bytes;
        if self.body.left() == Some(0) {
            self.received = true;
            self.taps.end();
            self.ended = self.length.is_some();
        }
    }

    /// The body has come to its end.
    fn receive_end(&mut self) {
        self.received = true;
        self.taps.end();
        if self.length.is_none() {
            self.trailers = self.body.take_trailers().map(|mut trailers| {
                self.forged.strip_trailers(&mut trailers);
                trailers
            });
        }
    }

    /// Puts what was sent before to what is sent now.
    fn put_again(&mut self, out: &mut Vec<u8>) {
        let piece = self.taps.replay.from(self.put);
        if piece.is_empty() {
            return self.put_end(out);
        }
        if self.length.is_none() {
            http1::write_chunk(out, piece.len(), |out| out.extend_from_slice(piece));
        } else {
            out.extend_from_slice(piece);
        }
        self.put += piece.len() as u64;
        self.ended = self.length == Some(self.put);
    }

    fn put_end(&mut self, out: &mut Vec<u8>) {
        self.ended = true;
        if self.length.is_none() {
            http1::write_last_chunk(out, self.trailers.as_ref());
        }
    }
}
