//! One client's connection, from accept to close.

use super::decoder::BodyDecoder;
use super::head::{Framing, HeadBounds, HeadParser};
use super::stream::{ReadFailure, Stream};
use super::{write_chunk, write_last_chunk, write_status_line};
use crate::body::RequestBody;
use crate::deadlines::{Patience, Seat};
use crate::http2;
use crate::message::{AnswerHead, Fields, Header, RequestHead, Version};
use crate::problem;
use crate::request::{Answer, Client, serve_call};
use crate::transport::Transport;
use crate::worker::Worker;
use http::StatusCode;
use keyward_model::usage::HttpVersion;
use keyward_model::{Code, Fault};
use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How long a refused client may take to read the answer before the connection is cut.
const LINGER: Duration = Duration::from_secs(2);
/// How much of what a refused client still sends is read and thrown away, so that the answer is not
/// lost to a reset (RFC 9112, section 9.6).
const LINGER_BYTES: usize = 256 * 1024;
/// How long a client may take no byte of an answer before it is given up: it holds a connection, and the
/// upstream's with it.
const WRITE_STALL: Duration = Duration::from_secs(60);
/// Requests that a client sends ahead are read up to this much while one is being answered.
const AHEAD_MAX: usize = 64 * 1024;

/// A client's connection. The one who answers holds it, and so does the body of the request that is being
/// answered: both on one task, never at the same moment.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: RefCell<Stream<Transport>>,
    decoder: RefCell<BodyDecoder>,
    /// Whether the client waits for `100 Continue` before it sends its body.
    waits_for_continue: Cell<bool>,
    pub(crate) seat: Rc<Seat>,
}

/// What became of waiting for a request.
enum Arrival {
    Request(RequestHead, Framing),
    /// The client closed, or had nothing to say for too long.
    Over,
    Refused(Fault),
}

/// What tells the client that an answer's body has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It was told the length, or that there is none.
    Length,
    LastChunk,
    Connection,
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    NextRequest,
    /// Reading on would not lead to a request: the rest of a body is in the way.
    Linger,
    Close,
}

/// Serves the connection until it closes. Where `http2` is spoken too and the client begins with it, gives the
/// connection back.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    transport: Transport,
    client: Rc<Client>,
    http2: bool,
) -> Option<http2::Opening> {
    let connection = Rc::new(Connection {
        stream: RefCell::new(Stream::new(transport)),
        decoder: RefCell::new(BodyDecoder::empty()),
        waits_for_continue: Cell::new(false),
        seat: Rc::new(worker.deadlines.seat()),
    });
    let mut spent = Fields::new();
    let mut first = http2;
    loop {
        match connection.next_request(&worker, spent).await {
            Arrival::Request(head, framing) => {
                let after;
                (after, spent) = connection.answer(&worker, &client, head, framing).await;
                match after {
                    After::NextRequest => {}
                    After::Linger => {
                        connection.linger().await;
                        return None;
                    }
                    // What the client got is not whole, and closing tells it so.
                    After::Close => return None,
                }
            }
            Arrival::Over => return None,
            Arrival::Refused(_) if first && connection.begins_with_http2() => {
                let connection = Rc::into_inner(connection)?;
                let (transport, read_ahead) = connection.stream.into_inner().into_parts();
                return Some(http2::Opening {
                    transport,
                    read_ahead,
                    client,
                });
            }
            Arrival::Refused(fault) => {
                connection.refuse(&worker, &client, &fault).await;
                return None;
            }
        }
        first = false;
    }
}

impl Connection {
    /// Waits for the next request's head. `spent` are the fields of the one before, for their memory.
    async fn next_request(&self, worker: &Rc<Worker>, spent: Fields) -> Arrival {
        let limits = &worker.settings.limits;
        let bounds = HeadBounds {
            line: limits.request_line_bytes,
            head: limits.head_bytes,
            fields: limits.header_fields,
        };
        let (fields, mut spare) = spent.recycle();
        let mut parser = HeadParser::of_request(bounds, fields);
        let mut begun = self.stream.borrow().has_unread();
        let mut patience = Patience::new(limits.head_timeout);
        let length = poll_fn(|context| {
            self.seat.register(context);
            let mut stream = self.stream.borrow_mut();
            loop {
                if stream.has_unread() {
                    match parser.advance(stream.unread()) {
                        Ok(Some(length)) => return Poll::Ready(Ok(length)),
                        Ok(None) => {}
                        Err(fault) => return Poll::Ready(Err(Some(fault))),
                    }
                }
                // What had been asked before draining began is answered; nothing new is taken.
                let over = worker.drain.closing() && !stream.has_unread();
                if over || worker.drain.cut() {
                    return Poll::Ready(Err(None));
                }
                match stream.poll_read_head(context) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(None)),
                    Poll::Ready(Ok(_)) => {
                        if !begun {
                            // From its first byte on, a head has its own time.
                            begun = true;
                            patience.moved();
                        }
                    }
                    Poll::Pending => {
                        ready!(patience.poll(&self.seat));
                        return Poll::Ready(Err(begun.then(late_head)));
                    }
                }
            }
        })
        .await;
        match length {
            Ok(length) => {
                let framing = parser.framing();
                let mut stream = self.stream.borrow_mut();
                let bytes = stream.split_off(length, std::mem::take(&mut spare));
                match parser.into_request(bytes) {
                    Some(head) => Arrival::Request(head, framing),
                    None => Arrival::Over,
                }
            }
            Err(Some(fault)) => Arrival::Refused(fault),
            Err(None) => Arrival::Over,
        }
    }

    /// Whether what could not be read is the first line of HTTP/2.
    fn begins_with_http2(&self) -> bool {
        self.stream
            .borrow_mut()
            .unread()
            .starts_with(http2::PREFACE_LINE)
    }

    /// Serves one call and writes its answer. Gives the memory of the request's fields back.
    async fn answer(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        client: &Rc<Client>,
        head: RequestHead,
        framing: Framing,
    ) -> (After, Fields) {
        let method = head.method.clone();
        let version = head.version;
        let keep = match version {
            Version::Http11 | Version::Http2 | Version::Http3 => !framing.close,
            Version::Http10 => framing.keep_alive && !framing.close,
        };
        let body = self.begin_body(&head, framing);
        let mut call = pin!(serve_call(worker, client, &self.seat, head, body));
        let answer = poll_fn(|context| {
            let polled = call.as_mut().poll(context);
            // They came before what counts, even if both came at once.
            for hint in self.seat.take_hints() {
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
        .await;
        let Some(mut answer) = answer else {
            return (After::Close, Fields::new());
        };
        if let Some(tunnel) = answer.tunnel.take() {
            self.write_head(worker, &answer, false, version, Some("upgrade"));
            tunnel.run(&self.stream, answer.body.take_record()).await;
            return (After::Close, Fields::new());
        }
        // Nobody will read what is left of a body to which the gateway itself has answered.
        let readable = !answer.body.is_own() || self.pass_over_body();
        let keep = keep
            && readable
            && !worker.drain.draining()
            && !answer.closes
            && (!self.waits_for_continue.get() || self.decoder.borrow().is_done());
        let connection = match (keep, version) {
            (false, _) => Some("close"),
            (true, Version::Http10) => Some("keep-alive"),
            (true, Version::Http11 | Version::Http2 | Version::Http3) => None,
        };
        let has_body = answer.has_body(&method);
        let ending = self.write_head(worker, &answer, has_body, version, connection);
        answer.body.recycle(std::mem::take(&mut answer.fields));
        let sent = self.write_body(worker, &mut answer, has_body, ending).await;
        let spent = std::mem::take(&mut answer.spent);
        drop(answer);
        let after = match sent {
            Err(Cut) => After::Close,
            Ok(()) if !self.pass_over_body() => After::Linger,
            Ok(()) if keep && ending != Ending::Connection => After::NextRequest,
            Ok(()) => After::Linger,
        };
        if after == After::NextRequest {
            self.stream.borrow_mut().shrink();
        }
        (after, spent)
    }

    /// Writes an interim answer. It is of use at once or not at all: what the client does not take now goes with
    /// the answer.
    fn hint(&self, context: &mut Context<'_>, hint: &AnswerHead) {
        let mut stream = self.stream.borrow_mut();
        let out = stream.output();
        write_status_line(out, hint.status);
        hint.fields.write(out);
        out.extend_from_slice(b"\r\n");
        // Who answers will see a broken connection.
        let _later = stream.poll_flush(context, &mut || ());
    }

    fn begin_body(self: &Rc<Self>, head: &RequestHead, framing: Framing) -> RequestBody {
        let decoder = match (framing.content_length, framing.chunked) {
            (_, true) => BodyDecoder::chunked(),
            (Some(length), false) => BodyDecoder::of_length(length),
            (None, false) => BodyDecoder::empty(),
        };
        let empty = decoder.is_done();
        *self.decoder.borrow_mut() = decoder;
        let waits = !empty && head.version == Version::Http11 && head.fields.has(Header::Expect);
        self.waits_for_continue.set(waits);
        if empty {
            RequestBody::Empty
        } else {
            RequestBody::Http1(Rc::clone(self))
        }
    }

    /// Whether the client has closed the connection while its call runs. What it sends ahead is kept.
    fn has_left(&self, context: &mut Context<'_>) -> bool {
        if !self.decoder.borrow().is_done() {
            // Whoever reads the body will see.
            return false;
        }
        let mut stream = self.stream.borrow_mut();
        while stream.unread().len() < AHEAD_MAX {
            match stream.poll_read_head(context) {
                Poll::Pending => return false,
                Poll::Ready(Ok(0) | Err(_)) => return true,
                Poll::Ready(Ok(_)) => {}
            }
        }
        false
    }

    /// Puts the answer's head to what is written, and tells how its body will end.
    fn write_head(
        &self,
        worker: &Worker,
        answer: &Answer,
        has_body: bool,
        version: Version,
        connection: Option<&str>,
    ) -> Ending {
        let mut stream = self.stream.borrow_mut();
        let out = stream.output();
        write_status_line(out, answer.status);
        answer.fields.write(out);
        if !answer.fields.has(Header::Date) {
            out.extend_from_slice(b"date: ");
            worker.write_date(out);
            out.extend_from_slice(b"\r\n");
        }
        if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            out.extend_from_slice(b"upgrade: websocket\r\n");
        }
        if let Some(option) = connection {
            out.extend_from_slice(b"connection: ");
            out.extend_from_slice(option.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        let ending = match answer.length(has_body) {
            Some(length) => {
                out.extend_from_slice(b"content-length: ");
                super::write_decimal(out, length);
                out.extend_from_slice(b"\r\n");
                Ending::Length
            }
            None if !has_body => Ending::Length,
            None if version == Version::Http10 => Ending::Connection,
            None => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
                Ending::LastChunk
            }
        };
        out.extend_from_slice(b"\r\n");
        ending
    }

    /// Writes the answer's body to its end.
    async fn write_body(
        &self,
        worker: &Worker,
        answer: &mut Answer,
        has_body: bool,
        ending: Ending,
    ) -> Result<(), Cut> {
        let chunked = ending == Ending::LastChunk;
        let body = &mut answer.body;
        let mut stall = Patience::new(WRITE_STALL);
        let mut ended = !has_body || body.left() == Some(0);
        if ended {
            body.end();
        }
        poll_fn(|context| {
            loop {
                let mut starved = false;
                while !ended && !self.stream.borrow().is_full() {
                    match body.poll_piece(context) {
                        Poll::Pending => {
                            starved = true;
                            break;
                        }
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(Cut)),
                        Poll::Ready(Ok(count)) => {
                            let mut stream = self.stream.borrow_mut();
                            let out = stream.output();
                            if count == 0 {
                                ended = true;
                            } else if chunked {
                                write_chunk(out, count, |out| body.move_piece(count, out));
                            } else {
                                body.move_piece(count, out);
                                ended = body.left() == Some(0);
                            }
                            if ended {
                                if chunked {
                                    write_last_chunk(out, body.take_trailers().as_ref());
                                }
                                drop(stream);
                                body.end();
                            }
                        }
                    }
                }
                let mut stream = self.stream.borrow_mut();
                match stream.poll_flush(context, &mut || stall.moved()) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Cut)),
                    Poll::Pending => {
                        if worker.drain.cut() || stall.poll(&self.seat).is_ready() {
                            return Poll::Ready(Err(Cut));
                        }
                        body.absorb(context);
                        return Poll::Pending;
                    }
                }
                drop(stream);
                if ended {
                    return Poll::Ready(Ok(()));
                }
                if starved {
                    if worker.drain.cut() || self.has_left(context) {
                        return Poll::Ready(Err(Cut));
                    }
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Passes over what is there of a body that nobody has read. Whether it has ended, so that another
    /// request can follow.
    fn pass_over_body(&self) -> bool {
        use super::decoder::Next;
        let (mut stream, mut decoder) = (self.stream.borrow_mut(), self.decoder.borrow_mut());
        loop {
            match decoder.next(stream.unread()) {
                Ok(Next::End) => return true,
                Ok(Next::Data(count)) => stream.use_body(&mut decoder, count),
                Ok(Next::Skip(count)) => stream.use_up(count),
                Ok(Next::More) | Err(_) => return false,
            }
        }
    }

    /// The next piece of the request's body.
    pub(crate) fn poll_body(&self, context: &mut Context<'_>) -> Poll<Result<usize, ReadFailure>> {
        let (mut stream, mut decoder) = (self.stream.borrow_mut(), self.decoder.borrow_mut());
        if self.waits_for_continue.get() {
            if !stream.has_unread() && !decoder.is_done() {
                stream
                    .output()
                    .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            self.waits_for_continue.set(false);
        }
        if stream.has_unwritten() {
            // Some answer waits for more of the body: nothing else would write this.
            let _later = stream
                .poll_flush(context, &mut || ())
                .map_err(|_| ReadFailure::Broken)?;
        }
        stream.poll_body(context, &mut decoder)
    }

    /// Moves bytes of the body's piece.
    pub(crate) fn move_body(&self, count: usize, out: &mut Vec<u8>) {
        let mut stream = self.stream.borrow_mut();
        out.extend_from_slice(stream.piece(count));
        stream.use_body(&mut self.decoder.borrow_mut(), count);
    }

    pub(crate) fn body_left(&self) -> Option<u64> {
        self.decoder.borrow().left()
    }

    pub(crate) fn take_trailers(&self) -> Option<Fields> {
        self.decoder.borrow_mut().take_trailers()
    }

    /// Answers what could not be read, and closes.
    async fn refuse(&self, worker: &Rc<Worker>, client: &Client, fault: &Fault) {
        let request_id = worker.request_id();
        worker.record_unreadable(client, HttpVersion::Http11, request_id, fault);
        let answer = problem::raw_answer(fault, request_id);
        self.stream.borrow_mut().output().extend_from_slice(&answer);
        self.linger().await;
    }

    /// Writes what waits and closes once the client has had time to read it.
    async fn linger(&self) {
        let mut patience = Patience::new(LINGER);
        let mut discarded = 0;
        poll_fn(|context| {
            if patience.poll(&self.seat).is_ready() {
                return Poll::Ready(());
            }
            let mut stream = self.stream.borrow_mut();
            if ready!(stream.poll_flush(context, &mut || ())).is_err()
                || ready!(stream.poll_shutdown(context)).is_err()
            {
                return Poll::Ready(());
            }
            loop {
                let unread = stream.unread().len();
                discarded += unread;
                stream.use_up(unread);
                if discarded >= LINGER_BYTES {
                    return Poll::Ready(());
                }
                match ready!(stream.poll_read_head(context)) {
                    Ok(0) | Err(_) => return Poll::Ready(()),
                    Ok(_) => {}
                }
            }
        })
        .await;
    }
}

/// The answer was not written to its end: the client took no more, or there was no more to give.
#[derive(Debug)]
struct Cut;

/// A head that began and did not end in time deserves an answer; an idle connection just closes.
fn late_head() -> Fault {
    Fault::new(
        Code::RequestTimeout,
        "The request's head did not arrive in time; send it again",
    )
}
