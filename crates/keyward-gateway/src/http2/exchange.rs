//! One stream: a call and its answer.

use super::connection::Shared;
use super::passage::Passage;
use super::restraint::Restraint;
use crate::body::RequestBody;
use crate::deadlines::{Patience, Seat};
use crate::http1::{ReadFailure, Stream};
use crate::message::{AnswerHead, Fields, Header, RequestHead};
use crate::problem;
use crate::request::{Answer, Client, serve_call};
use crate::tunnel::Tunnel;
use crate::worker::Worker;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderValue, Method, Response, StatusCode};
use keyward_model::Fault;
use keyward_model::usage::HttpVersion;
use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How long a client may take no byte of an answer before it is given up: it holds a stream, and the
/// upstream's connection with it.
pub(super) const WRITE_STALL: Duration = Duration::from_secs(60);

/// The most of an answer's body that is put to a stream at once, and the most that waits there to be written.
pub(super) const PIECE_MAX: usize = 64 * 1024;

/// All trailer fields together, as in HTTP/1.1.
const TRAILERS_MAX: usize = 8 * 1024;

/// A stream. The one who answers holds it, and so does the body of its request: both on one task, never at
/// the same moment.
pub(crate) struct Exchange {
    body: RefCell<Incoming>,
    respond: RefCell<SendResponse<Bytes>>,
    connection: Rc<Shared>,
    /// Whether the client has broken the call off.
    left: Cell<bool>,
}

/// A request's body as it comes.
struct Incoming {
    stream: RecvStream,
    /// What has come and was not used.
    piece: Bytes,
    /// How many bytes are to come, where the client has told it.
    left: Option<u64>,
    ended: bool,
    trailers: Option<Fields>,
    /// Whether the client waits for an answer of 100 before it sends its body.
    waits_for_continue: bool,
}

/// The answer was not given to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The client has broken it off, or its connection has ended.
    Left,
    /// There was no more to give, or the client took no more.
    Short,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stream = self.respond.borrow().stream_id().as_u32();
        f.debug_struct("Exchange").field("stream", &stream).finish()
    }
}

impl Exchange {
    pub(super) fn new(
        stream: RecvStream,
        respond: SendResponse<Bytes>,
        connection: Rc<Shared>,
    ) -> Self {
        let ended = stream.is_end_stream();
        Self {
            body: RefCell::new(Incoming {
                stream,
                piece: Bytes::new(),
                left: None,
                ended,
                trailers: None,
                waits_for_continue: false,
            }),
            respond: RefCell::new(respond),
            connection,
            left: Cell::new(false),
        }
    }

    /// Serves the call to its end.
    pub(super) async fn serve(
        self: Rc<Self>,
        worker: Rc<Worker>,
        client: Rc<Client>,
        head: RequestHead,
        content_length: Option<u64>,
    ) {
        let method = head.method.clone();
        let seat = Rc::new(worker.deadlines.seat());
        let body = self.begin_body(&head, content_length);
        let answer = {
            let mut call = pin!(serve_call(&worker, &client, &seat, head, body));
            poll_fn(|context| {
                seat.register(context);
                let polled = call.as_mut().poll(context);
                // They came before what counts, even if both came at once.
                for hint in seat.take_hints() {
                    self.hint(&hint);
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
        if let Some(answer) = answer {
            self.answer(&worker, &seat, &method, answer).await;
        }
        self.settle();
    }

    /// Gives the client an interim answer.
    fn hint(&self, hint: &AnswerHead) {
        let mut response = Response::new(());
        *response.status_mut() = hint.status;
        *response.headers_mut() = hint.fields.to_header_map(0);
        // A client that has left has nothing to wait for.
        let _sent = self.respond.borrow_mut().send_informational(response);
    }

    /// Answers what could not be read.
    pub(super) async fn refuse(
        self: Rc<Self>,
        worker: Rc<Worker>,
        client: Rc<Client>,
        method: Method,
        fault: Fault,
    ) {
        let request_id = worker.request_id();
        worker.record_unreadable(&client, HttpVersion::Http2, request_id, &fault);
        let mut answer = problem::answer(&fault, request_id, Fields::new(), &[]);
        let text = request_id.to_string();
        answer.fields.set(Header::RequestId, text.as_bytes());
        let seat = worker.deadlines.seat();
        self.answer(&worker, &seat, &method, answer).await;
        self.settle();
    }

    fn begin_body(self: &Rc<Self>, head: &RequestHead, length: Option<u64>) -> RequestBody {
        let mut body = self.body.borrow_mut();
        // What follows the wish for a tunnel is no body.
        let tunnel = head.fields.has(Header::Upgrade);
        if body.ended || tunnel || length == Some(0) {
            return RequestBody::Empty;
        }
        body.left = length;
        body.waits_for_continue = head.fields.has(Header::Expect);
        drop(body);
        RequestBody::Http2(Rc::clone(self))
    }

    /// Tells the connection how it went.
    fn settle(&self) {
        if self.left.get() {
            self.restraint().broken_off();
        } else {
            self.restraint().answered();
        }
    }

    /// Bytes of a tunnel were given to the client.
    pub(super) fn passed(&self, count: usize) {
        self.restraint().piece(count);
    }

    fn restraint(&self) -> &Restraint {
        &self.connection.restraint
    }

    /// Whether the client has broken the call off while it runs.
    fn has_left(&self, context: &mut Context<'_>) -> bool {
        let left = self.respond.borrow_mut().poll_reset(context).is_ready();
        self.left.set(self.left.get() || left);
        left
    }

    async fn answer(&self, worker: &Worker, seat: &Seat, method: &Method, mut answer: Answer) {
        if let Some(tunnel) = answer.tunnel.take() {
            return self.tunnel(&mut answer, tunnel).await;
        }
        let has_body = answer.has_body(method);
        let mut response = Response::new(());
        *response.status_mut() = answer.status;
        let mut fields = answer.fields.to_header_map(2);
        if let Some(length) = answer.length(has_body) {
            fields.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if !fields.contains_key(http::header::DATE) {
            let mut date = Vec::new();
            worker.write_date(&mut date);
            if let Ok(date) = HeaderValue::from_maybe_shared(Bytes::from(date)) {
                fields.insert(http::header::DATE, date);
            }
        }
        *response.headers_mut() = fields;
        let bodiless = !has_body || answer.body.left() == Some(0);
        answer.body.recycle(std::mem::take(&mut answer.fields));
        self.connection.keep(std::mem::take(&mut answer.spent));
        let sent = self.respond.borrow_mut().send_response(response, bodiless);
        let mut stream = match sent {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "an answer could not be sent");
                self.left.set(true);
                return;
            }
        };
        if bodiless {
            answer.body.end();
            return;
        }
        match self.body(worker, seat, &mut answer, &mut stream).await {
            Ok(()) => {}
            Err(Cut::Left) => self.left.set(true),
            // What the client got is not whole, and this tells it so.
            Err(Cut::Short) => stream.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Makes the stream a tunnel. What stands for 101 is 200 (RFC 8441, section 5).
    async fn tunnel(&self, answer: &mut Answer, tunnel: Box<Tunnel>) {
        let mut response = Response::new(());
        answer.fields.remove(Header::SecWebsocketAccept);
        *response.headers_mut() = answer.fields.to_header_map(0);
        let sent = self.respond.borrow_mut().send_response(response, false);
        let Ok(stream) = sent else {
            self.left.set(true);
            return;
        };
        let passage = RefCell::new(Stream::new(Passage::new(self, stream)));
        tunnel.run(&passage, answer.body.take_record()).await;
    }

    /// Gives the answer's body to the client, as fast as it takes it.
    async fn body(
        &self,
        worker: &Worker,
        seat: &Seat,
        answer: &mut Answer,
        stream: &mut SendStream<Bytes>,
    ) -> Result<(), Cut> {
        let body = &mut answer.body;
        let mut stall = Patience::new(WRITE_STALL);
        poll_fn(|context| {
            seat.register(context);
            loop {
                let count = match body.poll_piece(context) {
                    Poll::Ready(Ok(count)) => count,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Cut::Short)),
                    Poll::Pending => {
                        if stream.poll_reset(context).is_ready() {
                            return Poll::Ready(Err(Cut::Left));
                        }
                        if worker.drain.cut() {
                            return Poll::Ready(Err(Cut::Short));
                        }
                        return Poll::Pending;
                    }
                };
                if count == 0 {
                    let ended = match body.take_trailers() {
                        Some(trailers) => stream.send_trailers(trailers.to_header_map(0)),
                        None => stream.send_data(Bytes::new(), true),
                    };
                    ended.map_err(|_| Cut::Left)?;
                    body.end();
                    return Poll::Ready(Ok(()));
                }
                let room = match poll_room(stream, count, context) {
                    Poll::Ready(Some(room)) => room,
                    Poll::Ready(None) => return Poll::Ready(Err(Cut::Left)),
                    Poll::Pending => {
                        if worker.drain.cut() || stall.poll(seat).is_ready() {
                            return Poll::Ready(Err(Cut::Short));
                        }
                        return Poll::Pending;
                    }
                };
                stall.moved();
                let piece = body.take_piece(room.min(count));
                self.restraint().piece(piece.len());
                let ended = body.left() == Some(0);
                stream.send_data(piece, ended).map_err(|_| Cut::Left)?;
                if ended {
                    body.end();
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await
    }

    /// How many bytes of the next piece of the request's body are there; none at the end.
    pub(crate) fn poll_body(&self, context: &mut Context<'_>) -> Poll<Result<usize, ReadFailure>> {
        let mut body = self.body.borrow_mut();
        loop {
            if !body.piece.is_empty() {
                return Poll::Ready(Ok(body.piece.len()));
            }
            if body.ended {
                return Poll::Ready(Ok(0));
            }
            match body.stream.poll_data(context) {
                Poll::Pending => {
                    if std::mem::take(&mut body.waits_for_continue) {
                        let mut go_on = Response::new(());
                        *go_on.status_mut() = StatusCode::CONTINUE;
                        // A client that has left has nothing to wait for.
                        let _sent = self.respond.borrow_mut().send_informational(go_on);
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(piece))) => {
                    if !piece.is_empty() {
                        self.restraint().piece(piece.len());
                    }
                    body.piece = piece;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.failed(&error))),
                Poll::Ready(None) => {
                    let trailers = ready!(body.stream.poll_trailers(context));
                    let trailers = trailers.map_err(|error| self.failed(&error))?;
                    body.ended = true;
                    if let Some(trailers) = trailers {
                        let trailers = Fields::of_header_map(&trailers);
                        if trailers.bytes().len() > TRAILERS_MAX {
                            return Poll::Ready(Err(ReadFailure::Malformed));
                        }
                        body.trailers = Some(trailers);
                    }
                }
            }
        }
    }

    /// A body that is not as long as was told is malformed; else the client has left.
    fn failed(&self, error: &h2::Error) -> ReadFailure {
        if error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR) {
            ReadFailure::Malformed
        } else {
            self.left.set(true);
            ReadFailure::Broken
        }
    }

    /// Moves bytes of the body's piece, and lets the client send as many more.
    pub(crate) fn move_body(&self, count: usize, out: &mut Vec<u8>) {
        self.use_body(count, |piece| out.extend_from_slice(piece));
    }

    /// The same for whoever takes the bytes in another way.
    pub(super) fn use_body(&self, count: usize, take: impl FnOnce(&[u8])) {
        let mut body = self.body.borrow_mut();
        let count = count.min(body.piece.len());
        let piece = body.piece.split_to(count);
        take(&piece);
        body.left = body
            .left
            .map(|left| left.saturating_sub(piece.len() as u64));
        // Fails only for more than was taken.
        let _released = body.stream.flow_control().release_capacity(piece.len());
    }

    /// How many bytes of the body are to come, where that is known.
    pub(crate) fn body_left(&self) -> Option<u64> {
        let body = self.body.borrow();
        if body.ended && body.piece.is_empty() {
            Some(0)
        } else {
            body.left
        }
    }

    pub(crate) fn take_trailers(&self) -> Option<Fields> {
        self.body.borrow_mut().trailers.take()
    }
}

/// How many bytes the client takes now, of so many that there are; `None` when it takes no more.
pub(super) fn poll_room(
    stream: &mut SendStream<Bytes>,
    count: usize,
    context: &mut Context<'_>,
) -> Poll<Option<usize>> {
    stream.reserve_capacity(count.min(PIECE_MAX));
    loop {
        // What was given before is not told again.
        let room = stream.capacity();
        if room > 0 {
            return Poll::Ready(Some(room));
        }
        match ready!(stream.poll_capacity(context)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(None),
        }
    }
}
