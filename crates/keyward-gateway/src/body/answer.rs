//! An answer's body on its way to the client.

use super::{BodyFailure, Download, move_bytes};
use crate::ai::{GuardedBody, InferredBody};
use crate::capture::{CallCapture, Side};
use crate::coding::{Compressing, Pieces};
use crate::deadlines::Seat;
use crate::message::Fields;
use crate::policy::FillingReader;
use crate::record::CallRecord;
use crate::request::{grpc, headers};
use bytes::Bytes;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The answer's body on its way to the client. It carries the call's record, which is written when the
/// body has ended or is dropped because the client left.
pub(crate) struct AnswerBody {
    source: Source,
    /// What it is compressed by on its way.
    compressing: Option<Box<Compressing>>,
    /// Who looks at what comes.
    watching: Option<Box<dyn Watching>>,
    record: Option<Box<CallRecord>>,
}

/// Who looks at a body's bytes as they pass, before they are compressed.
pub(crate) trait Watching {
    /// The next ones.
    fn piece(&mut self, piece: &[u8]);
    /// The body has been given to its end.
    fn ended(self: Box<Self>);
}

enum Source {
    /// All there; how much of it was given.
    Full(Bytes, usize),
    Upstream(Box<Download>),
    /// It comes from an upstream too, on its way into memory.
    Filling(FillingReader),
    /// It comes from a provider of AI models, in the caller's dialect.
    Inferred(Box<InferredBody>),
    /// The same, looked at by guardrails on its way.
    Guarded(Box<GuardedBody>),
    /// It was cut, and what is told of that in trailers.
    Cut(Option<Fields>),
}

impl AnswerBody {
    /// A body that is all there.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self {
            source: Source::Full(bytes, 0),
            compressing: None,
            watching: None,
            record: None,
        }
    }

    /// A body that comes from an upstream.
    pub(crate) fn upstream(download: Download) -> Self {
        Self {
            source: Source::Upstream(Box::new(download)),
            compressing: None,
            watching: None,
            record: None,
        }
    }

    /// A body that comes from an upstream by way of the cache.
    pub(crate) fn filling(reader: FillingReader) -> Self {
        Self {
            source: Source::Filling(reader),
            compressing: None,
            watching: None,
            record: None,
        }
    }

    /// A body that comes from a provider of AI models.
    pub(crate) fn inferred(body: InferredBody) -> Self {
        Self {
            source: Source::Inferred(Box::new(body)),
            compressing: None,
            watching: None,
            record: None,
        }
    }

    /// A body of a provider that guardrails look at.
    pub(crate) fn guarded(body: GuardedBody) -> Self {
        Self {
            source: Source::Guarded(Box::new(body)),
            compressing: None,
            watching: None,
            record: None,
        }
    }

    /// From here on it is read by another task, which has this seat.
    pub(crate) fn reseat(&mut self, seat: &Rc<Seat>) {
        if let Source::Upstream(download) = &mut self.source {
            download.seat = Rc::clone(seat);
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

    /// Lets someone look at what comes; of a body that is all there, at nothing.
    pub(crate) fn watch(&mut self, watching: Box<dyn Watching>) {
        self.watching = Some(watching);
    }

    /// The body, where it is all there and nothing of it was given.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        match &self.source {
            Source::Full(bytes, 0) => Some(bytes),
            Source::Full(..)
            | Source::Upstream(_)
            | Source::Filling(_)
            | Source::Inferred(_)
            | Source::Guarded(_)
            | Source::Cut(_) => None,
        }
    }

    /// Whether it is this node's own.
    pub(crate) fn is_own(&self) -> bool {
        match &self.source {
            Source::Full(..) => true,
            Source::Upstream(_)
            | Source::Filling(_)
            | Source::Inferred(_)
            | Source::Guarded(_)
            | Source::Cut(_) => false,
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
            Source::Filling(reader) => reader.left(),
            // Nobody knows how long it gets; the trailers.
            Source::Inferred(_) | Source::Guarded(_) | Source::Cut(_) => None,
        }
    }

    /// How many bytes of the next piece are there; none at the end.
    pub(crate) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, BodyFailure>> {
        let mut source = Tapped::new(&mut self.source, self.record.as_deref(), &mut self.watching);
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
        match &mut self.source {
            Source::Upstream(download) => {
                if let Some(connection) = &mut download.connection {
                    connection.absorb(context);
                }
            }
            Source::Inferred(body) => body.absorb(context),
            Source::Guarded(body) => body.absorb(context),
            // What is all there, and what its own task reads from its upstream.
            Source::Full(..) | Source::Filling(_) | Source::Cut(_) => {}
        }
    }

    /// Moves the piece's bytes.
    pub(crate) fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        if let Some(record) = &mut self.record {
            record.bytes_out += count as u64;
        }
        match &mut self.compressing {
            Some(compressing) => compressing.move_piece(count, out),
            None => Tapped::new(&mut self.source, self.record.as_deref(), &mut self.watching)
                .move_piece(count, out),
        }
    }

    /// Takes the first `count` of the piece's bytes out, without a copy where they are shared.
    pub(crate) fn take_piece(&mut self, count: usize) -> Bytes {
        let piece = match &mut self.compressing {
            Some(compressing) => compressing.take_piece(count),
            None => Tapped::new(&mut self.source, self.record.as_deref(), &mut self.watching)
                .take_piece(count),
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
            Source::Filling(reader) => reader.take_trailers(),
            Source::Inferred(_) | Source::Guarded(_) => None,
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
        if let Some(watching) = self.watching.take() {
            // To look at a large body takes a while: its last bytes go out first.
            tokio::task::spawn_local(async move { watching.ended() });
        }
        if let Some(mut record) = self.record.take() {
            record.complete = true;
            self.count_in(&mut record);
        }
    }

    /// Writes down what an AI call took, as far as that is known by now.
    pub(crate) fn settle(&self, record: &mut CallRecord) {
        match &self.source {
            Source::Inferred(body) => body.settle(record),
            Source::Guarded(body) => body.settle(record),
            Source::Full(..) | Source::Upstream(_) | Source::Filling(_) | Source::Cut(_) => {}
        }
    }

    fn count_in(&self, record: &mut CallRecord) {
        if let Source::Upstream(download) = &self.source {
            record.bytes_in = download.upload.bytes_in();
        }
        self.settle(record);
    }
}

/// A source, and who else sees what comes from an upstream: each byte once, before it is compressed.
struct Tapped<'a> {
    source: &'a mut Source,
    capture: Option<&'a CallCapture>,
    watching: &'a mut Option<Box<dyn Watching>>,
}

impl<'a> Tapped<'a> {
    fn new(
        source: &'a mut Source,
        record: Option<&'a CallRecord>,
        watching: &'a mut Option<Box<dyn Watching>>,
    ) -> Self {
        Self {
            source,
            capture: record.and_then(|record| record.capture.as_deref()),
            watching,
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        if let Some(watching) = self.watching {
            watching.piece(piece);
        }
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
            Source::Filling(reader) => {
                let mut piece = Vec::with_capacity(count);
                reader.move_piece(count, &mut piece);
                self.keep(&piece);
                piece.into()
            }
            Source::Inferred(body) => {
                let piece = body.take_piece(count);
                self.keep(&piece);
                piece
            }
            Source::Guarded(body) => {
                let piece = body.take_piece(count);
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
            Source::Filling(reader) => reader.poll_piece(context),
            Source::Inferred(body) => body.poll_piece(context),
            Source::Guarded(body) => body.poll_piece(context),
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
            Source::Filling(reader) => {
                let from = out.len();
                reader.move_piece(count, out);
                self.keep(out.get(from..).unwrap_or_default());
            }
            Source::Inferred(body) => {
                let from = out.len();
                body.move_piece(count, out);
                self.keep(out.get(from..).unwrap_or_default());
            }
            Source::Guarded(body) => {
                let from = out.len();
                body.move_piece(count, out);
                self.keep(out.get(from..).unwrap_or_default());
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
