//! Bodies on their way: streamed, never collected, with back-pressure from whoever reads slowest.

mod request;
mod taps;
mod to_http2;

pub(crate) use request::RequestBody;

use crate::capture::{CallCapture, Side};
use crate::coding::{Compressing, Pieces, Undecodable};
use crate::deadlines::{Deadline, Patience, Seat};
use crate::http1::{self, Stream};
use crate::message::Fields;
use crate::record::CallRecord;
use crate::replay::Replay;
use crate::request::identity::ForgedNames;
use crate::request::mirror::Copying;
use crate::request::{grpc, headers};
use crate::upstream::{Occupied, UpstreamConnection};
use crate::worker::Worker;
use bytes::Bytes;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use taps::Taps;
use tokio::io::{AsyncRead, AsyncWrite};

/// Why a body stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFailure {
    #[error("the client's body was malformed")]
    Client,
    #[error("the client left before its body ended")]
    ClientLeft,
    #[error("the client sent no byte of its body for too long")]
    ClientIdle,
    #[error("the client's body is over the bound")]
    TooLarge,
    #[error("{0}")]
    Undecodable(Undecodable),
    #[error("the answer could not be compressed")]
    Coder,
    #[error("the upstream's body ended too early or was malformed")]
    Upstream,
    #[error("the upstream sent no byte of its body for too long")]
    UpstreamIdle,
    #[error("the upstream's answer took longer in all than it may")]
    UpstreamLate,
}

/// Moves the next bytes of those that are there.
fn move_bytes(bytes: &Bytes, given: &mut usize, count: usize, out: &mut Vec<u8>) {
    let end = (*given + count).min(bytes.len());
    out.extend_from_slice(bytes.get(*given..end).unwrap_or_default());
    *given = end;
}

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

/// The answer's body on its way to the client. It carries the call's record, which is written when the
/// body has ended or is dropped because the client left.
pub(crate) struct AnswerBody {
    source: Source,
    /// What it is compressed by on its way.
    compressing: Option<Box<Compressing>>,
    record: Option<Box<CallRecord>>,
}

enum Source {
    /// All there; how much of it was given.
    Full(Bytes, usize),
    Upstream(Box<Download>),
    /// It was cut, and what is told of that in trailers.
    Cut(Option<Fields>),
}

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

impl AnswerBody {
    /// A body that is all there.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self {
            source: Source::Full(bytes, 0),
            compressing: None,
            record: None,
        }
    }

    /// A body that comes from an upstream.
    pub(crate) fn upstream(download: Download) -> Self {
        Self {
            source: Source::Upstream(Box::new(download)),
            compressing: None,
            record: None,
        }
    }

    /// Puts the call's record aboard.
    pub(crate) fn with_record(mut self, record: Box<CallRecord>) -> Self {
        self.record = Some(record);
        self
    }

    /// The same, compressed on its way.
    pub(crate) fn compressed(mut self, compressing: Compressing) -> Self {
        self.compressing = Some(Box::new(compressing));
        self
    }

    /// Takes the call's record off, for what outlasts the body.
    pub(crate) fn take_record(&mut self) -> Option<Box<CallRecord>> {
        self.record.take()
    }

    /// Whether it is this node's own.
    pub(crate) fn is_own(&self) -> bool {
        match &self.source {
            Source::Full(..) => true,
            Source::Upstream(_) | Source::Cut(_) => false,
        }
    }

    /// How many bytes are to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        if self.compressing.is_some() {
            return None;
        }
        match &self.source {
            Source::Full(bytes, given) => Some((bytes.len() - given) as u64),
            Source::Upstream(download) => match &download.connection {
                Some(connection) => connection.body_left(),
                None => Some(0),
            },
            // The trailers.
            Source::Cut(_) => None,
        }
    }

    /// How many bytes of the next piece are there; none at the end.
    pub(crate) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, BodyFailure>> {
        let mut source = Tapped::new(&mut self.source, self.record.as_deref());
        match &mut self.compressing {
            Some(compressing) => compressing.poll_piece(context, &mut source),
            None => source.poll_piece(context),
        }
        .map(|read| match read {
            Ok(count) => Ok(count),
            Err(failure) => self.cut(failure),
        })
    }

    /// The body can't be given to its end. Nobody is told but by its being cut; a client of gRPC is told in the
    /// trailers that it waits for, unless it knows how long the body was to be.
    fn cut(&mut self, failure: BodyFailure) -> Result<usize, BodyFailure> {
        let Some(mut record) = self.record.take() else {
            return Err(failure);
        };
        record.cut_short(failure);
        self.count_in(&mut record);
        if !record.ends_with_trailers() || self.left().is_some() {
            return Err(failure);
        }
        let (status, trailers) = grpc::trailers(failure);
        record.grpc_status = Some(status);
        self.source = Source::Cut(Some(trailers));
        self.compressing = None;
        Ok(0)
    }

    /// To be said while the client takes nothing, so that what comes meanwhile is in nobody's way.
    pub(crate) fn absorb(&mut self, context: &mut Context<'_>) {
        if let Source::Upstream(download) = &mut self.source
            && let Some(connection) = &mut download.connection
        {
            connection.absorb(context);
        }
    }

    /// Moves the piece's bytes.
    pub(crate) fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        if let Some(record) = &mut self.record {
            record.bytes_out += count as u64;
        }
        match &mut self.compressing {
            Some(compressing) => compressing.move_piece(count, out),
            None => Tapped::new(&mut self.source, self.record.as_deref()).move_piece(count, out),
        }
    }

    /// Takes the first `count` of the piece's bytes out, without a copy where they are shared.
    pub(crate) fn take_piece(&mut self, count: usize) -> Bytes {
        let piece = match &mut self.compressing {
            Some(compressing) => compressing.take_piece(count),
            None => Tapped::new(&mut self.source, self.record.as_deref()).take_piece(count),
        };
        if let Some(record) = &mut self.record {
            record.bytes_out += piece.len() as u64;
        }
        piece
    }

    /// The trailers, at the body's end.
    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        match &mut self.source {
            Source::Full(..) => None,
            Source::Upstream(download) => download.trailers.take().map(|mut trailers| {
                headers::strip_trailers(&mut trailers);
                if let Some(record) = &mut self.record
                    && record.is_grpc
                {
                    record.grpc_status = grpc::status_in(&trailers);
                }
                trailers
            }),
            Source::Cut(trailers) => trailers.take(),
        }
    }

    /// Takes the memory of the answer's fields back, for the next answer on the same connection.
    pub(crate) fn recycle(&mut self, fields: Fields) {
        if let Source::Upstream(download) = &mut self.source
            && let Some(connection) = &mut download.connection
        {
            connection.recycle(fields);
        }
    }

    /// The body was given to the client to its end.
    pub(crate) fn end(&mut self) {
        if let Source::Upstream(download) = &mut self.source {
            download.give_back();
        }
        if let Some(mut record) = self.record.take() {
            record.complete = true;
            self.count_in(&mut record);
        }
    }

    fn count_in(&self, record: &mut CallRecord) {
        if let Source::Upstream(download) = &self.source {
            record.bytes_in = download.upload.bytes_in();
        }
    }
}

/// A source, and who else sees what comes from an upstream: each byte once, before it is compressed.
struct Tapped<'a> {
    source: &'a mut Source,
    capture: Option<&'a CallCapture>,
}

impl<'a> Tapped<'a> {
    fn new(source: &'a mut Source, record: Option<&'a CallRecord>) -> Self {
        Self {
            source,
            capture: record.and_then(|record| record.capture.as_deref()),
        }
    }

    fn keep(&self, piece: &[u8]) {
        if let Some(capture) = self.capture {
            capture.keep(Side::Response, piece);
        }
    }

    fn take_piece(&mut self, count: usize) -> Bytes {
        match &mut self.source {
            Source::Full(bytes, given) => {
                let end = (*given + count).min(bytes.len());
                let piece = bytes.slice(*given..end);
                *given = end;
                piece
            }
            Source::Upstream(download) => {
                let Some(connection) = &mut download.connection else {
                    return Bytes::new();
                };
                let piece = connection.take_body(count);
                self.keep(&piece);
                piece
            }
            Source::Cut(_) => Bytes::new(),
        }
    }
}

impl Pieces for Tapped<'_> {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, BodyFailure>> {
        match &mut self.source {
            Source::Full(bytes, given) => Poll::Ready(Ok(bytes.len() - *given)),
            Source::Upstream(download) => download.poll_piece(context),
            Source::Cut(_) => Poll::Ready(Ok(0)),
        }
    }

    fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        match &mut self.source {
            Source::Full(bytes, given) => move_bytes(bytes, given, count, out),
            Source::Upstream(download) => {
                if let Some(connection) = &mut download.connection {
                    let from = out.len();
                    connection.move_body(count, out);
                    self.keep(out.get(from..).unwrap_or_default());
                }
            }
            Source::Cut(_) => {}
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // Whoever drops it before its end left in the middle.
        if let Some(mut record) = self.record.take() {
            self.count_in(&mut record);
        }
    }
}

impl Download {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, BodyFailure>> {
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
    fn give_back(&mut self) {
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
