//! Bodies on their way: streamed, never collected, with back-pressure from whoever reads slowest.

use crate::coding::{CodingBudget, Compressing, DecodeBounds, Decompressing, Pieces, Undecodable};
use crate::deadlines::{Deadline, Patience, Seat};
use crate::http1::{self, ReadFailure, Stream};
use crate::message::Fields;
use crate::record::CallRecord;
use crate::replay::Replay;
use crate::request::headers;
use crate::request::identity::ForgedNames;
use crate::request::mirror::Copying;
use crate::upstream::{Occupied, UpstreamConnection};
use crate::worker::Worker;
use bytes::Bytes;
use keyward_model::resource::coding::ContentCoding;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
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

/// A request's body as it arrives.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Empty,
    /// What the client's connection still holds.
    Http1(Rc<http1::Connection>),
    /// All there, and how much of it was given.
    Whole(Bytes, usize),
    /// One of the others, decompressed.
    Decompressing(Box<Decompressing<RequestBody>>),
}

impl RequestBody {
    /// A body that is all there.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Whole(bytes, 0)
        }
    }

    /// The same, decompressed.
    pub(crate) fn decompressed(
        self,
        coding: ContentCoding,
        bounds: DecodeBounds,
        budget: &Rc<CodingBudget>,
    ) -> Self {
        let body = Decompressing::new(self, coding, bounds, budget);
        Self::Decompressing(Box::new(body))
    }

    /// How many bytes are to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Http1(connection) => connection.body_left(),
            Self::Whole(bytes, given) => Some((bytes.len() - given) as u64),
            Self::Decompressing(_) => None,
        }
    }

    /// How many bytes have come from the client, where these are others than those that go on.
    fn came_in(&self) -> Option<u64> {
        match self {
            Self::Empty | Self::Http1(_) | Self::Whole(..) => None,
            Self::Decompressing(body) => Some(body.came_in()),
        }
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        match self {
            Self::Empty | Self::Whole(..) => None,
            Self::Http1(connection) => connection.take_trailers(),
            Self::Decompressing(body) => body.body().take_trailers(),
        }
    }
}

impl Pieces for RequestBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, BodyFailure>> {
        match self {
            Self::Empty => Poll::Ready(Ok(0)),
            Self::Decompressing(body) => body.poll_piece(context),
            Self::Whole(bytes, given) => Poll::Ready(Ok(bytes.len() - *given)),
            Self::Http1(connection) => {
                connection
                    .poll_body(context)
                    .map_err(|failure| match failure {
                        ReadFailure::Malformed => BodyFailure::Client,
                        ReadFailure::Broken => BodyFailure::ClientLeft,
                    })
            }
        }
    }

    fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        match self {
            Self::Empty => {}
            Self::Decompressing(body) => body.move_piece(count, out),
            Self::Http1(connection) => connection.move_body(count, out),
            Self::Whole(bytes, given) => move_bytes(bytes, given, count, out),
        }
    }
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
    replay: Replay,
    /// A copy of the call that is being made.
    copying: Option<Box<Copying>>,
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
            replay,
            copying: None,
            trailers: None,
            sent: false,
            done: false,
            failure: None,
        }
    }

    /// What is to be copied meanwhile.
    pub(crate) fn copied_by(&mut self, copying: Option<Copying>) {
        self.copying = copying.map(Box::new);
        if self.received {
            self.send_copy();
        }
    }

    /// The body has come whole.
    fn send_copy(&mut self) {
        if let Some(copying) = self.copying.take() {
            copying.send();
        }
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
        self.failure.is_none() && self.replay.has(self.bytes)
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
    pub(crate) fn poll_send<T: AsyncRead + AsyncWrite + Unpin>(
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
                self.replay.sent();
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
            self.received = true;
            self.send_copy();
            if self.length.is_none() {
                self.trailers = self.body.take_trailers().map(|mut trailers| {
                    self.forged.strip_trailers(&mut trailers);
                    trailers
                });
            }
            return self.put_end(out);
        }
        let (body, replay, copying) = (&mut self.body, &mut self.replay, &mut self.copying);
        let mut moved = |out: &mut Vec<u8>| {
            let from = out.len();
            body.move_piece(count, out);
            let piece = out.get(from..).unwrap_or_default();
            replay.keep(piece);
            copying.take_if(|copying| !copying.keep(piece));
        };
        if self.length.is_none() {
            http1::write_chunk(out, count, moved);
        } else {
            moved(out);
        }
        self.put = self.bytes;
        if self.body.left() == Some(0) {
            self.received = true;
            self.send_copy();
            self.ended = self.length.is_some();
        }
    }

    /// Puts what was sent before to what is sent now.
    fn put_again(&mut self, out: &mut Vec<u8>) {
        let piece = self.replay.from(self.put);
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
}

/// An answer that still comes in.
pub(crate) struct Download {
    pub(crate) connection: Option<Box<UpstreamConnection>>,
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

    /// Whether it is this node's own.
    pub(crate) fn is_own(&self) -> bool {
        match &self.source {
            Source::Full(..) => true,
            Source::Upstream(_) => false,
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
        }
    }

    /// How many bytes of the next piece are there; none at the end.
    pub(crate) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, BodyFailure>> {
        match &mut self.compressing {
            Some(compressing) => compressing.poll_piece(context, &mut self.source),
            None => self.source.poll_piece(context),
        }
        .map_err(|failure| {
            if let Some(mut record) = self.record.take() {
                record.cut_short(failure);
                self.count_in(&mut record);
            }
            failure
        })
    }

    /// Moves the piece's bytes.
    pub(crate) fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        if let Some(record) = &mut self.record {
            record.bytes_out += count as u64;
        }
        match &mut self.compressing {
            Some(compressing) => compressing.move_piece(count, out),
            None => self.source.move_piece(count, out),
        }
    }

    /// The trailers, at the body's end.
    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        match &mut self.source {
            Source::Full(..) => None,
            Source::Upstream(download) => download.trailers.take().map(|mut trailers| {
                headers::strip_trailers(&mut trailers);
                trailers
            }),
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

impl Pieces for Source {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, BodyFailure>> {
        match self {
            Self::Full(bytes, given) => Poll::Ready(Ok(bytes.len() - *given)),
            Self::Upstream(download) => download.poll_piece(context),
        }
    }

    fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        match self {
            Self::Full(bytes, given) => move_bytes(bytes, given, count, out),
            Self::Upstream(download) => {
                if let Some(connection) = &mut download.connection {
                    connection.move_body(count, out);
                }
            }
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
        let sending = self
            .upload
            .poll_send(context, &self.seat, connection.stream());
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
            && connection.may_be_kept()
            && let Some(pool) = occupied.pool()
        {
            pool.put(connection, now, self.keep);
        }
    }
}
