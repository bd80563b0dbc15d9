//! Bodies on their way: streamed, never collected, with back-pressure from whoever reads slowest.

use crate::idle_timer::IdleTimer;
use crate::record::CallRecord;
use crate::request::headers;
use crate::request::identity::ForgedNames;
use crate::upstream::{Pool, UpstreamConnection};
use crate::worker::Worker;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::Cell;
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

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
    #[error("the upstream's body ended too early or was malformed")]
    Upstream,
    #[error("the upstream sent no byte of its body for too long")]
    UpstreamIdle,
}

impl BodyFailure {
    /// The strict reader stops what is malformed before the HTTP library sees it, so that whatever else
    /// breaks an upload is a client that has left.
    fn of_upload(error: &hyper::Error) -> Self {
        let malformed = error
            .source()
            .and_then(|cause| cause.downcast_ref::<io::Error>())
            .is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData);
        if malformed {
            Self::Client
        } else {
            Self::ClientLeft
        }
    }
}

/// What is known of an upload, shared with the one who waits for the answer.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) bytes: Cell<u64>,
    /// Whether the whole body was handed to the upstream's connection.
    pub(crate) sent: Cell<bool>,
    pub(crate) failure: Cell<Option<BodyFailure>>,
}

/// The request's body on its way to the upstream.
#[derive(Debug)]
pub(crate) struct UploadBody {
    /// `None`: there is no body.
    incoming: Option<Incoming>,
    upload: Rc<Upload>,
    bound: u64,
    idle: IdleTimer,
    forged: Arc<ForgedNames>,
}

impl UploadBody {
    /// `forged` are the names that no trailer may carry.
    pub(crate) fn new(
        incoming: Incoming,
        bound: Option<u64>,
        idle: Duration,
        forged: Arc<ForgedNames>,
    ) -> (Self, Rc<Upload>) {
        let upload = Rc::new(Upload::default());
        let incoming = (!incoming.is_end_stream()).then_some(incoming);
        upload.sent.set(incoming.is_none());
        let body = Self {
            incoming,
            upload: Rc::clone(&upload),
            bound: bound.unwrap_or(u64::MAX),
            idle: IdleTimer::new(idle),
            forged,
        };
        (body, upload)
    }

    /// No body, for a call that is sent again.
    pub(crate) fn empty(upload: &Rc<Upload>, forged: Arc<ForgedNames>) -> Self {
        Self {
            incoming: None,
            upload: Rc::clone(upload),
            bound: 0,
            idle: IdleTimer::new(Duration::MAX),
            forged,
        }
    }

    fn fail(&self, failure: BodyFailure) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        self.upload.failure.set(Some(failure));
        Poll::Ready(Some(Err(failure)))
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        match Pin::new(incoming).poll_frame(context) {
            Poll::Pending => {
                ready!(this.idle.poll(context));
                this.fail(BodyFailure::ClientIdle)
            }
            Poll::Ready(None) => {
                this.upload.sent.set(true);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => this.fail(BodyFailure::of_upload(&error)),
            Poll::Ready(Some(Ok(mut frame))) => {
                this.idle.moved();
                if let Some(data) = frame.data_ref() {
                    let total = this.upload.bytes.get().saturating_add(data.len() as u64);
                    this.upload.bytes.set(total);
                    if total > this.bound {
                        return this.fail(BodyFailure::TooLarge);
                    }
                } else if let Some(trailers) = frame.trailers_mut() {
                    this.forged.strip_trailers(trailers);
                    // They come last: the body is not asked again.
                    this.upload.sent.set(true);
                }
                if this.is_end_stream() {
                    this.upload.sent.set(true);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

/// The answer's body on its way to the client. It carries the call's record, which is written when the
/// body has ended or is dropped because the client left.
pub(crate) struct AnswerBody {
    source: Source,
    record: Option<Box<CallRecord>>,
}

enum Source {
    Full(Option<Bytes>),
    Upstream(Box<Download>),
}

/// An answer that still comes in.
pub(crate) struct Download {
    pub(crate) incoming: Incoming,
    pub(crate) connection: Option<UpstreamConnection>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) worker: Rc<Worker>,
    /// How long the connection may wait for its next call.
    pub(crate) keep: Duration,
    pub(crate) upload: Rc<Upload>,
    pub(crate) idle: IdleTimer,
}

impl AnswerBody {
    /// A body that is all there.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self {
            source: Source::Full((!bytes.is_empty()).then_some(bytes)),
            record: None,
        }
    }

    /// A body that comes from an upstream.
    pub(crate) fn upstream(download: Download) -> Self {
        Self {
            source: Source::Upstream(Box::new(download)),
            record: None,
        }
    }

    /// Puts the call's record aboard.
    pub(crate) fn with_record(mut self, record: Box<CallRecord>) -> Self {
        self.record = Some(record);
        self
    }

    fn count(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.bytes_out += bytes as u64;
        }
    }

    fn end(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.complete = true;
            if let Source::Upstream(download) = &self.source {
                record.bytes_in = download.upload.bytes.get();
            }
        }
    }

    fn fail(&mut self, failure: BodyFailure) {
        if let Some(record) = &mut self.record {
            record.cut_short(failure);
        }
        self.record = None;
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let this = self.get_mut();
        let frame = match &mut this.source {
            Source::Full(bytes) => {
                let frame = bytes.take().map(Frame::data);
                if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
                    let length = data.len();
                    this.count(length);
                }
                this.end();
                return Poll::Ready(frame.map(Ok));
            }
            Source::Upstream(download) => ready!(download.poll_frame(context)),
        };
        match frame {
            None => {
                this.end();
                Poll::Ready(None)
            }
            Some(Err(failure)) => {
                this.fail(failure);
                Poll::Ready(Some(Err(failure)))
            }
            Some(Ok(mut frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.count(data.len());
                }
                let trailers = frame.trailers_mut();
                if let Some(trailers) = trailers {
                    headers::strip_trailers(trailers);
                }
                // The HTTP library does not ask again after the last frame.
                if frame.is_trailers() || this.is_end_stream() {
                    if let Source::Upstream(download) = &mut this.source {
                        download.give_back(context);
                    }
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Full(bytes) => bytes.is_none(),
            Source::Upstream(download) => download.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Source::Upstream(download) => download.incoming.size_hint(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // A body that is all there is not asked for when it is empty or the request was a HEAD. Any other
        // that did not end was left in the middle.
        let whole = match &self.source {
            Source::Full(_) => true,
            Source::Upstream(download) => download.incoming.is_end_stream(),
        };
        if whole {
            self.end();
        } else if let (Some(record), Source::Upstream(download)) = (&mut self.record, &self.source)
        {
            record.bytes_in = download.upload.bytes.get();
        }
    }
}

impl Download {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let mut frame = Pin::new(&mut self.incoming).poll_frame(context);
        if frame.is_pending() {
            if let Some(connection) = &mut self.connection {
                connection.drive(context);
            }
            frame = Pin::new(&mut self.incoming).poll_frame(context);
        }
        match frame {
            Poll::Pending => {
                ready!(self.idle.poll(context));
                Poll::Ready(Some(Err(BodyFailure::UpstreamIdle)))
            }
            Poll::Ready(None) => {
                self.give_back(context);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.moved();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => {
                let failure = self.upload.failure.get().unwrap_or(BodyFailure::Upstream);
                Poll::Ready(Some(Err(failure)))
            }
        }
    }

    /// Returns the connection to its pool, now that the answer has been read to its end.
    pub(crate) fn give_back(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = self.connection.take() {
            self.pool
                .put(context, connection, self.worker.clock.moment(), self.keep);
        }
    }
}
