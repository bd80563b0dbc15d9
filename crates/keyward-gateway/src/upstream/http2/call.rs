//! One call on a shared connection.

use super::connection::SharedConnection;
use super::head;
use crate::http1::ReadFailure;
use crate::message::{AnswerHead, Fields, Version};
use crate::upstream::protocols::AnswerFailure;
use bytes::{Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, StatusCode};
use keyward_model::{Code, Fault};
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Interim answers (1xx) before the one that counts: more are no hints but a fault.
const INTERIM_MAX: usize = 16;

/// A frame below this costs more than it carries while it waits.
const SMALL: usize = 1024;

/// A stream of a shared connection, from before its request to the end of its answer. When it is dropped before
/// that, the target is told that nobody waits any more.
#[derive(Debug)]
pub(crate) struct Http2Call {
    connection: Rc<SharedConnection>,
    state: State,
    /// The request's body, while it is sent.
    upload: Option<SendStream<Bytes>>,
    /// Whether any of an answer has come.
    heard: bool,
}

/// How far the call is.
#[derive(Debug)]
enum State {
    Idle,
    Written(Box<Request<()>>),
    Waiting(ResponseFuture, usize),
    /// The request could not be sent.
    Unsent(Option<h2::Error>),
    Answered(Box<Answer>),
}

/// An answer's body as it comes in.
#[derive(Debug)]
struct Answer {
    body: RecvStream,
    /// What has come and was not moved on.
    piece: Bytes,
    /// What followed it in small frames, and the larger one that followed these.
    behind: BytesMut,
    next: Bytes,
    /// How the body has ended, if it has.
    end: Option<Result<(), ReadFailure>>,
    /// How many bytes are to come, the piece included, where that is known.
    left: Option<u64>,
    trailers: Option<Fields>,
}

impl Answer {
    /// The next frame of the body; `None` at its end.
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ReadFailure>> {
        if self.end.is_none() {
            match ready!(self.body.poll_data(context)) {
                Some(Ok(frame)) => return Poll::Ready(Ok(Some(frame))),
                Some(Err(error)) => self.end = Some(Err(read_failure(&error))),
                None => self.end = Some(Ok(())),
            }
        }
        Poll::Ready(self.end.unwrap_or(Ok(())).map(|()| None))
    }

    /// Takes out of the connection what has come behind the piece.
    fn absorb(&mut self, context: &mut Context<'_>) {
        while self.next.is_empty() && self.end.is_none() {
            match self.poll_frame(context) {
                Poll::Ready(Ok(Some(frame))) if frame.len() < SMALL => {
                    self.behind.extend_from_slice(&frame);
                }
                Poll::Ready(Ok(Some(frame))) => self.next = frame,
                Poll::Ready(Ok(None) | Err(_)) | Poll::Pending => return,
            }
        }
    }

    /// Goes on to what was taken out before.
    fn advance(&mut self) {
        if !self.behind.is_empty() {
            self.piece = self.behind.split().freeze();
        } else {
            self.piece = std::mem::take(&mut self.next);
        }
    }
}

/// The upstream takes no more of a request.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Http2Call {
    pub(super) fn new(connection: Rc<SharedConnection>) -> Self {
        Self {
            connection,
            state: State::Idle,
            upload: None,
            heard: false,
        }
    }

    /// Begins a call with the request's head, which is sent with the first of the body.
    pub(crate) fn begin(&mut self, request: Request<()>) {
        self.state = State::Written(Box::new(request));
        self.heard = false;
    }

    /// Whether its connection has carried an answer.
    pub(crate) fn is_proven(&self) -> bool {
        self.connection.is_proven()
    }

    pub(crate) fn has_heard(&self) -> bool {
        self.heard
    }

    /// Whether the head is still to be sent.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self.state, State::Written(_))
    }

    /// Sends the request's head; `ends`: there is no body.
    pub(crate) fn send_head(&mut self, ends: bool) {
        let State::Written(request) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        self.state = match self.connection.send(*request, ends) {
            Ok((answer, upload)) => {
                self.upload = (!ends).then_some(upload);
                State::Waiting(answer, 0)
            }
            Err(error) => State::Unsent(Some(error)),
        };
    }

    /// How many bytes of the body may be sent, of so many that are there.
    pub(crate) fn poll_room(
        &mut self,
        context: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, Stopped>> {
        let Some(upload) = &mut self.upload else {
            return Poll::Ready(Err(Stopped));
        };
        upload.reserve_capacity(wanted.min(super::SEND_BUFFER));
        if upload.capacity() == 0 {
            // Told once for each time that it grows.
            match ready!(upload.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Stopped)),
            }
        }
        Poll::Ready(Ok(upload.capacity().min(wanted)))
    }

    /// Sends a piece of the body for which there is room.
    pub(crate) fn send(&mut self, piece: Vec<u8>, ends: bool) -> Result<(), Stopped> {
        let Some(upload) = &mut self.upload else {
            return Err(Stopped);
        };
        let sent = upload.send_data(Bytes::from(piece), ends);
        if ends {
            self.upload = None;
        }
        sent.map_err(|_| Stopped)
    }

    /// Ends the request.
    pub(crate) fn send_end(&mut self, trailers: Option<&Fields>) -> Result<(), Stopped> {
        let Some(mut upload) = self.upload.take() else {
            return Err(Stopped);
        };
        match trailers {
            Some(trailers) => upload.send_trailers(trailers.to_header_map(0)),
            None => upload.send_data(Bytes::new(), true),
        }
        .map_err(|_| Stopped)
    }

    /// The head of the answer to a request with this method. `hint` gets the interim ones before it.
    pub(crate) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        method: &Method,
        hint: &mut dyn FnMut(AnswerHead),
    ) -> Poll<Result<AnswerHead, AnswerFailure>> {
        let (answer, interim) = match &mut self.state {
            State::Waiting(answer, interim) => (answer, interim),
            State::Unsent(error) => {
                let error = error
                    .take()
                    .unwrap_or_else(|| Reason::INTERNAL_ERROR.into());
                return Poll::Ready(Err(failure(error)));
            }
            // The upload has not come to the head: whoever sends wakes us.
            State::Idle | State::Written(_) | State::Answered(_) => return Poll::Pending,
        };
        while let Poll::Ready(Some(Ok(interim_answer))) = answer.poll_informational(context) {
            self.heard = true;
            *interim += 1;
            if interim_answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Err(malformed("101 is none in HTTP/2")));
            }
            if *interim > INTERIM_MAX {
                return Poll::Ready(Err(malformed("interim answers without end")));
            }
            hint(AnswerHead {
                status: interim_answer.status(),
                version: Version::Http2,
                fields: head::fields(interim_answer.headers()).map_err(malformed)?,
            });
        }
        let answer = ready!(Pin::new(answer).poll(context)).map_err(failure)?;
        self.heard = true;
        self.connection.prove();
        let (parts, body) = answer.into_parts();
        let fields = head::fields(&parts.headers).map_err(malformed)?;
        self.state = State::Answered(Box::new(Answer {
            left: length(method, parts.status, &parts.headers, &body),
            body,
            piece: Bytes::new(),
            behind: BytesMut::new(),
            next: Bytes::new(),
            end: None,
            trailers: None,
        }));
        Poll::Ready(Ok(AnswerHead {
            status: parts.status,
            version: Version::Http2,
            fields,
        }))
    }

    /// The next piece of the answer's body: how many bytes are there; none at the end.
    pub(crate) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, ReadFailure>> {
        let State::Answered(answer) = &mut self.state else {
            return Poll::Ready(Ok(0));
        };
        if !answer.piece.is_empty() {
            // It was looked at before, and whom it is for does not take it yet.
            answer.absorb(context);
        }
        while answer.piece.is_empty() {
            answer.advance();
            if !answer.piece.is_empty() {
                break;
            }
            match ready!(answer.poll_frame(context))? {
                Some(frame) => answer.piece = frame,
                None => {
                    let trailers = ready!(answer.body.poll_trailers(context));
                    let trailers = trailers.map_err(|error| read_failure(&error))?;
                    if let Some(trailers) = trailers {
                        let fields = head::fields(&trailers);
                        answer.trailers = Some(fields.map_err(|_| ReadFailure::Malformed)?);
                    }
                    answer.left = Some(0);
                    return Poll::Ready(Ok(0));
                }
            }
        }
        Poll::Ready(Ok(answer.piece.len()))
    }

    /// Takes out of the shared connection what has come, while whom it is for takes nothing. Many small frames that
    /// wait there would count against the connection, and end it with all its calls. No more than the window
    /// can come: what is taken out is not made room for.
    pub(crate) fn absorb(&mut self, context: &mut Context<'_>) {
        if let State::Answered(answer) = &mut self.state {
            answer.absorb(context);
        }
    }

    /// Moves bytes of the piece.
    pub(crate) fn move_body(&mut self, count: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.take_body(count));
    }

    /// Takes the first `count` bytes of the piece out. The target may send as many more.
    pub(crate) fn take_body(&mut self, count: usize) -> Bytes {
        let State::Answered(answer) = &mut self.state else {
            return Bytes::new();
        };
        let count = count.min(answer.piece.len());
        let taken = answer.piece.split_to(count);
        if let Some(left) = &mut answer.left {
            *left = left.saturating_sub(count as u64);
        }
        // It fails only when more is given back than was taken.
        let _released = answer.body.flow_control().release_capacity(count);
        taken
    }

    /// How much of the body was taken out of the connection and not moved on.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        match &self.state {
            State::Answered(answer) => answer.piece.len() + answer.behind.len() + answer.next.len(),
            State::Idle | State::Written(_) | State::Waiting(..) | State::Unsent(_) => 0,
        }
    }

    pub(crate) fn body_left(&self) -> Option<u64> {
        match &self.state {
            State::Answered(answer) => answer.left,
            State::Idle | State::Written(_) | State::Waiting(..) | State::Unsent(_) => Some(0),
        }
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        match &mut self.state {
            State::Answered(answer) => answer.trailers.take(),
            State::Idle | State::Written(_) | State::Waiting(..) | State::Unsent(_) => None,
        }
    }

    /// The target has kept the call waiting for too long. It may be that it is not there any more.
    pub(crate) fn give_up(&self) {
        self.connection.doubt();
    }
}

impl Drop for Http2Call {
    fn drop(&mut self) {
        // First the stream, so that who is woken finds its room.
        self.upload = None;
        self.state = State::Idle;
        self.connection.release();
    }
}

/// How long the answer's body is, where that is known (RFC 9113, section 8.1.1).
fn length(
    method: &Method,
    status: StatusCode,
    fields: &HeaderMap,
    body: &RecvStream,
) -> Option<u64> {
    let none = *method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if none || body.is_end_stream() {
        return Some(0);
    }
    // That it is one number, and that as many bytes come, `h2` sees to.
    let text = fields.get(http::header::CONTENT_LENGTH)?.to_str().ok()?;
    text.parse().ok()
}

fn failure(error: h2::Error) -> AnswerFailure {
    let refused = error.reason() == Some(Reason::REFUSED_STREAM);
    match (error.is_remote(), error.is_go_away()) {
        // Calls that the target has taken on are not told of its going away.
        (true, true) => AnswerFailure::GoneAway(error),
        (true, false) if refused => AnswerFailure::Refused(error),
        (true, false) => AnswerFailure::Broken(io::Error::other(error)),
        (false, _) if error.is_library() => malformed(error),
        (false, _) => AnswerFailure::Broken(io::Error::other(error)),
    }
}

fn malformed(why: impl std::fmt::Display) -> AnswerFailure {
    AnswerFailure::Malformed(Fault::new(
        Code::UpstreamFailed,
        format!("it breaks the rules of HTTP/2: {why}"),
    ))
}

fn read_failure(error: &h2::Error) -> ReadFailure {
    if error.is_library() {
        ReadFailure::Malformed
    } else {
        ReadFailure::Broken
    }
}
