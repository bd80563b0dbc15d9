//! One stream: a call and its answer.

use super::code;
use super::connection::Shared;
use super::control;
use super::frame;
use super::head::{self, ReadHead, Unread};
use super::incoming::{BodyEnd, Incoming};
use super::qpack::Section;
use super::request_stream::{Part, RequestStream, StreamFailure};
use super::sending::{Cut, Sending};
use crate::body::RequestBody;
use crate::deadlines::{Patience, Seat};
use crate::http1::{HeadBounds, ReadFailure};
use crate::message::{AnswerHead, Fields, Header, RequestHead, Version};
use crate::problem;
use crate::request::{Answer, Client, serve_call};
use crate::worker::Worker;
use http::{Method, StatusCode};
use keyward_model::usage::HttpVersion;
use keyward_model::{Code, Fault};
use quinn::{RecvStream, SendStream, VarInt};
use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How long a client may take no byte of an answer before it is given up: it holds a stream, and the
/// upstream's connection with it.
pub(super) const WRITE_STALL: Duration = Duration::from_secs(60);

/// The most of an answer's body that is put to a stream at once.
const PIECE_MAX: usize = 64 * 1024;

/// A stream. The one who answers holds it, and so does the body of its request: both on one task, never at
/// the same moment.
pub(crate) struct Exchange {
    body: RefCell<Incoming>,
    sending: RefCell<Sending>,
    connection: Rc<Shared>,
    /// Whether the client has broken the call off.
    left: Cell<bool>,
    /// Whether the client waits for an answer of 100 before it sends its body.
    waits_for_continue: Cell<bool>,
}

/// Why there is no call.
enum NoCall {
    /// The client has left.
    Left,
    /// What it is told.
    Fault(Method, Fault),
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stream = self.body.borrow().stream.id();
        f.debug_struct("Exchange").field("stream", &stream).finish()
    }
}

impl Exchange {
    pub(super) fn new(send: SendStream, receive: RecvStream, connection: Rc<Shared>) -> Self {
        // Nothing that is sent well is larger than it is said to be by the measure that clients are told.
        let section_max = control::section_size(&connection.worker.settings.limits);
        let stream = RequestStream::new(receive, Rc::clone(&connection), section_max);
        Self {
            body: RefCell::new(Incoming::new(stream)),
            sending: RefCell::new(Sending::new(send)),
            connection,
            left: Cell::new(false),
            waits_for_continue: Cell::new(false),
        }
    }

    /// Serves the call to its end.
    pub(super) async fn run(self: Rc<Self>, client: Rc<Client>) {
        let worker = Rc::clone(&self.connection.worker);
        let seat = Rc::new(worker.deadlines.seat());
        match self.read_head(&worker, &seat).await {
            Ok(read) => self.serve(&worker, &client, &seat, read).await,
            Err(NoCall::Fault(method, fault)) => {
                self.refuse(&worker, &client, &seat, method, fault).await;
            }
            Err(NoCall::Left) => self.left.set(true),
        }
        if self.left.get() {
            self.reset(code::REQUEST_CANCELLED);
            self.connection.restraint.broken_off();
        } else {
            self.connection.restraint.answered();
        }
    }

    /// Reads the request's head, within the time that a head may take.
    async fn read_head(&self, worker: &Worker, seat: &Seat) -> Result<ReadHead, NoCall> {
        let limits = &worker.settings.limits;
        let mut patience = Patience::new(limits.head_timeout);
        let unread = |fault| NoCall::Fault(Method::GET, fault);
        let section = poll_fn(|context| {
            seat.register(context);
            let part = self.body.borrow_mut().stream.poll_part(context);
            match part {
                Poll::Ready(Ok(Part::Section(section))) => Poll::Ready(Ok(section)),
                // The stream begins with a head, or is wrong before.
                Poll::Ready(Ok(Part::Data(_) | Part::Piece(_) | Part::End)) => {
                    self.reset(code::REQUEST_INCOMPLETE);
                    Poll::Ready(Err(NoCall::Left))
                }
                Poll::Ready(Err(failure)) => Poll::Ready(Err(match failure {
                    StreamFailure::Broken => NoCall::Left,
                    StreamFailure::Connection(code) => {
                        self.connection.end(code, "a request's stream is malformed");
                        NoCall::Left
                    }
                    StreamFailure::TooLarge => unread(head::too_large(limits.head_bytes)),
                })),
                Poll::Pending if worker.drain.cut() => Poll::Ready(Err(NoCall::Left)),
                Poll::Pending => patience.poll(seat).map(|()| {
                    Err(unread(Fault::new(
                        Code::RequestTimeout,
                        "The request's head took too long to arrive",
                    )))
                }),
            }
        })
        .await?;
        self.connection.restraint.call();
        let bounds = HeadBounds {
            line: limits.request_line_bytes,
            head: limits.head_bytes,
            fields: limits.header_fields,
        };
        head::read(&section, bounds, self.connection.spare()).map_err(|unread| match unread {
            Unread::Refused(method, fault) => NoCall::Fault(method, fault),
            Unread::Broken(error) => {
                self.connection
                    .end(code::QPACK_DECOMPRESSION_FAILED, &error.to_string());
                NoCall::Left
            }
        })
    }

    async fn serve(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        client: &Rc<Client>,
        seat: &Rc<Seat>,
        read: ReadHead,
    ) {
        let ReadHead {
            head,
            content_length,
        } = read;
        let method = head.method.clone();
        let body = poll_fn(|context| Poll::Ready(self.begin_body(context, &head, content_length)));
        let body = body.await;
        let answer = {
            let mut call = pin!(serve_call(worker, client, seat, head, body));
            poll_fn(|context| {
                seat.register(context);
                let polled = call.as_mut().poll(context);
                // They came before what counts, even if both came at once.
                for hint in seat.take_hints() {
                    self.hint(context, &hint);
                }
                if let Poll::Ready(answer) = polled {
                    return Poll::Ready(Some(answer));
                }
                if worker.drain.cut() || self.has_left(context) {
                    return Poll::Ready(None);
                }
                Poll::Pending
            })
            .await
        };
        match answer {
            Some(answer) => self.answer(worker, seat, &method, answer).await,
            None => self.reset(code::REQUEST_CANCELLED),
        }
    }

    /// Gives the client an interim answer.
    fn hint(&self, context: &mut Context<'_>, hint: &AnswerHead) {
        let mut section = Section::of_answer(hint.status, hint.fields.bytes().len());
        for field in hint.fields.iter() {
            section.field(field.name, field.value);
        }
        let mut sending = self.sending.borrow_mut();
        sending.put(frame::whole(frame::HEADERS, section.bytes()));
        // What does not go at once goes before the answer; a client that has left has nothing to wait for.
        let _sent = sending.poll_flush(context, || {});
    }

    /// Answers what could not be read.
    async fn refuse(
        &self,
        worker: &Worker,
        client: &Client,
        seat: &Seat,
        method: Method,
        fault: Fault,
    ) {
        let request_id = worker.request_id();
        worker.record_unreadable(client, HttpVersion::Http3, request_id, &fault);
        let mut answer = problem::answer(&fault, request_id, Fields::new(), &[]);
        let text = request_id.to_string();
        answer.fields.set(Header::RequestId, text.as_bytes());
        self.answer(worker, seat, &method, answer).await;
    }

    fn begin_body(
        self: &Rc<Self>,
        context: &mut Context<'_>,
        head: &RequestHead,
        length: Option<u64>,
    ) -> RequestBody {
        if !self.body.borrow_mut().begin(context, length) {
            return RequestBody::Empty;
        }
        self.waits_for_continue.set(head.fields.has(Header::Expect));
        RequestBody::Http3(Rc::clone(self))
    }

    /// Whether the client has broken the call off while it runs.
    fn has_left(&self, context: &mut Context<'_>) -> bool {
        let stopped = self.sending.borrow_mut().poll_stopped(context).is_ready();
        self.left.set(self.left.get() || stopped);
        stopped
    }

    /// Breaks the stream off, both ways.
    fn reset(&self, code: VarInt) {
        self.sending.borrow_mut().reset(code);
        self.body.borrow_mut().stream.stop(code);
    }

    async fn answer(&self, worker: &Worker, seat: &Seat, method: &Method, mut answer: Answer) {
        self.waits_for_continue.set(false);
        let has_body = answer.has_body(method);
        let mut section = Section::of_answer(answer.status, answer.fields.bytes().len());
        for field in answer.fields.iter() {
            section.field(field.name, field.value);
        }
        if let Some(length) = answer.length(has_body) {
            let length = length.to_string();
            section.field(Header::ContentLength.as_bytes(), length.as_bytes());
        }
        if !answer.fields.has(Header::Date) {
            let mut date = Vec::new();
            worker.write_date(&mut date);
            section.field(Header::Date.as_bytes(), &date);
        }
        self.sending
            .borrow_mut()
            .put(frame::whole(frame::HEADERS, section.bytes()));
        answer.body.recycle(std::mem::take(&mut answer.fields));
        self.connection.keep(std::mem::take(&mut answer.spent));
        if !has_body || answer.body.left() == Some(0) {
            answer.body.end();
        }
        let given = if has_body && answer.body.left() != Some(0) {
            self.body(worker, seat, &mut answer).await
        } else {
            self.flush(worker, seat).await
        };
        match given {
            Ok(()) => {
                self.look_behind_its_end().await;
                self.sending.borrow_mut().finish();
                // What is left of a request that was answered is not needed (RFC 9114, section 4.1).
                self.body.borrow_mut().stream.stop(code::NO_ERROR);
                // Closing a connection would throw away what the client has not taken.
                if self.acknowledged(worker, seat).await.is_err() {
                    self.left.set(true);
                }
            }
            Err(Cut::Left) => self.left.set(true),
            // What the client got is not whole, and this tells it so.
            Err(Cut::Short) => self.reset(code::INTERNAL_ERROR),
        }
    }

    async fn look_behind_its_end(&self) {
        poll_fn(|context| {
            let mut body = self.body.borrow_mut();
            body.look_behind_its_end(context, code::MESSAGE_ERROR);
            Poll::Ready(())
        })
        .await;
    }

    /// Gives the answer's body to the client, as fast as it takes it.
    async fn body(&self, worker: &Worker, seat: &Seat, answer: &mut Answer) -> Result<(), Cut> {
        let body = &mut answer.body;
        let mut stall = Patience::new(WRITE_STALL);
        poll_fn(|context| {
            seat.register(context);
            loop {
                ready!(self.poll_sent(worker, seat, &mut stall, context))?;
                // At its end all was sent that was put.
                if body.left() == Some(0) {
                    body.end();
                    return Poll::Ready(Ok(()));
                }
                let count = match body.poll_piece(context) {
                    Poll::Ready(Ok(count)) => count,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Cut::Short)),
                    Poll::Pending => {
                        if self.has_left(context) {
                            return Poll::Ready(Err(Cut::Left));
                        }
                        if worker.drain.cut() {
                            return Poll::Ready(Err(Cut::Short));
                        }
                        return Poll::Pending;
                    }
                };
                let mut sending = self.sending.borrow_mut();
                if count == 0 {
                    if let Some(trailers) = body.take_trailers() {
                        let mut section = Section::of_trailers(trailers.bytes().len());
                        for field in trailers.iter() {
                            section.field(field.name, field.value);
                        }
                        sending.put(frame::whole(frame::HEADERS, section.bytes()));
                    }
                    drop(sending);
                    ready!(self.poll_sent(worker, seat, &mut stall, context))?;
                    body.end();
                    return Poll::Ready(Ok(()));
                }
                let piece = body.take_piece(count.min(PIECE_MAX));
                self.connection.restraint.piece(piece.len());
                sending.put_data(piece);
            }
        })
        .await
    }

    /// Sends what was put.
    async fn flush(&self, worker: &Worker, seat: &Seat) -> Result<(), Cut> {
        let mut stall = Patience::new(WRITE_STALL);
        poll_fn(|context| {
            seat.register(context);
            self.poll_sent(worker, seat, &mut stall, context)
        })
        .await
    }

    fn poll_sent(
        &self,
        worker: &Worker,
        seat: &Seat,
        stall: &mut Patience,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Cut>> {
        let sent = self
            .sending
            .borrow_mut()
            .poll_flush(context, || stall.moved());
        if sent.is_pending() && (worker.drain.cut() || stall.poll(seat).is_ready()) {
            return Poll::Ready(Err(Cut::Short));
        }
        sent
    }

    /// Waits until the client has all of the answer.
    async fn acknowledged(&self, worker: &Worker, seat: &Seat) -> Result<(), Cut> {
        let mut stall = Patience::new(WRITE_STALL);
        let mut sent = self.connection.frames_sent();
        poll_fn(|context| {
            seat.register(context);
            // What was put waits until the client has taken what went before: as long as pieces go, it takes them.
            let now_sent = self.connection.frames_sent();
            if now_sent != sent {
                sent = now_sent;
                stall.moved();
            }
            let mut sending = self.sending.borrow_mut();
            match sending.poll_stopped(context) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                Poll::Ready(Err(cut)) => Poll::Ready(Err(cut)),
                Poll::Pending if worker.drain.cut() => Poll::Ready(Err(Cut::Short)),
                Poll::Pending => stall.poll(seat).map(|()| Err(Cut::Short)),
            }
        })
        .await
    }

    /// How many bytes of the next piece of the request's body are there; none at the end.
    pub(crate) fn poll_body(&self, context: &mut Context<'_>) -> Poll<Result<usize, ReadFailure>> {
        let piece = self.body.borrow_mut().poll_piece(context);
        if piece.is_pending() && self.waits_for_continue.take() {
            let go_on = AnswerHead {
                status: StatusCode::CONTINUE,
                version: Version::Http3,
                fields: Fields::new(),
            };
            self.hint(context, &go_on);
        }
        piece.map_err(|end| match end {
            BodyEnd::Malformed => ReadFailure::Malformed,
            BodyEnd::Failed(failure) => self.failed(failure),
        })
    }

    fn failed(&self, failure: StreamFailure) -> ReadFailure {
        match failure {
            StreamFailure::Broken => {
                self.left.set(true);
                ReadFailure::Broken
            }
            StreamFailure::Connection(code) => {
                self.connection.end(code, "a request's stream is malformed");
                self.left.set(true);
                ReadFailure::Broken
            }
            StreamFailure::TooLarge => ReadFailure::Malformed,
        }
    }

    /// Moves bytes of the body's piece.
    pub(crate) fn move_body(&self, count: usize, out: &mut Vec<u8>) {
        self.body.borrow_mut().move_piece(count, out);
    }

    /// How many bytes of the body are to come, where that is known.
    pub(crate) fn body_left(&self) -> Option<u64> {
        self.body.borrow().left()
    }

    pub(crate) fn take_trailers(&self) -> Option<Fields> {
        self.body.borrow_mut().take_trailers()
    }
}
