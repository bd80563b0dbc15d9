//! One client's connection, from its handshake's end to its close.

use super::code;
use super::control;
use super::exchange::{Exchange, WRITE_STALL};
use super::frame;
use crate::deadlines::{Patience, Seat};
use crate::http2::Restraint;
use crate::message::Fields;
use crate::request::Client;
use crate::tls::PresentedCertificate;
use crate::worker::Worker;
use bytes::{Buf as _, Bytes, BytesMut};
use quinn::{RecvStream, SendStream, VarInt};
use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long a client that was told to begin no more calls may still begin some, which were on their way: the
/// way there and back, and some more.
const GOODBYE: Duration = Duration::from_millis(500);
/// How long a connection that is told its end stays open, so that the client learns it before the close, which
/// throws away what has not gone: the library sends it within milliseconds.
const LAST_WORD: Duration = Duration::from_millis(100);
/// The largest identifier of a stream that a client may open: said first when it is told to begin no more
/// (RFC 9114, section 5.2).
const ANY_STREAM: u64 = (1 << 62) - 4;
/// Memory of heads that a connection keeps for the next calls.
const SPARE_MAX: usize = 8;
/// Of these, none above this size: a large head is rare.
const SPARE_BYTES_MAX: usize = 16 * 1024;
/// What a stream costs that the client opens for nothing, beside its bytes: it is told to stop, and given
/// another in its place.
const STREAM_COST: usize = 64;

/// What the calls of a connection share with it.
pub(super) struct Shared {
    pub(super) worker: Rc<Worker>,
    connection: quinn::Connection,
    pub(super) restraint: Restraint,
    /// Bytes that came in streams.
    read: Cell<u64>,
    /// How many calls run.
    open: Cell<usize>,
    /// Which of the streams that there may be one of are there.
    pub(super) critical: control::Critical,
    /// The connection's task.
    task: RefCell<Option<Waker>>,
    spare: RefCell<Vec<Fields>>,
}

/// A call runs as long as this lives.
struct OpenCall(Rc<Shared>);

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The client knows that it should begin no more calls; those on their way are served.
    Leaving,
    /// The client was told which calls are served: none from this stream on.
    Going(u64),
}

struct Connection {
    shared: Rc<Shared>,
    client: Rc<Client>,
    /// Our control stream, and what is to be sent on it.
    control: SendStream,
    unsent: BytesMut,
    seat: Seat,
    stage: Stage,
    /// The stream of the next call.
    next: u64,
    /// How long it may be without a call.
    idle: Patience,
    /// How long the client may begin calls after it was told not to.
    goodbye: Patience,
    /// How long the last that it is told has to go.
    last_word: Patience,
    /// How long our control stream may wait.
    stall: Patience,
}

/// Serves the connection until it closes.
pub(super) async fn serve(worker: Rc<Worker>, connection: quinn::Connection, client: Rc<Client>) {
    let limits = &worker.settings.limits;
    let bound = limits.handshake_timeout;
    // A client that lets us open no stream speaks no HTTP/3 (RFC 9114, section 6.2).
    let control = match tokio::time::timeout(bound, connection.open_uni()).await {
        Ok(Ok(control)) => control,
        Ok(Err(_)) | Err(_) => {
            return connection.close(code::GENERAL_PROTOCOL_ERROR, b"no control stream");
        }
    };
    let shared = Rc::new(Shared {
        restraint: Restraint::new(limits.http3.connection_window, worker.deadlines.latest()),
        connection: connection.clone(),
        read: Cell::new(0),
        open: Cell::new(0),
        critical: control::Critical::default(),
        task: RefCell::default(),
        spare: RefCell::default(),
        worker: Rc::clone(&worker),
    });
    let mut this = Connection {
        client,
        control,
        unsent: control::opening(limits),
        seat: worker.deadlines.seat(),
        stage: Stage::Open,
        next: 0,
        idle: Patience::new(limits.head_timeout),
        goodbye: Patience::new(GOODBYE),
        last_word: Patience::new(LAST_WORD),
        stall: Patience::new(WRITE_STALL),
        shared: Rc::clone(&shared),
    };
    let mut calls = pin!(connection.accept_bi());
    let mut streams = pin!(connection.accept_uni());
    poll_fn(|context| {
        this.seat.register(context);
        shared.note_task(context);
        while let Poll::Ready(opened) = calls.as_mut().poll(context) {
            match opened {
                Ok((send, receive)) => this.begin(send, receive),
                Err(error) => {
                    tracing::debug!(%error, address = %this.client.address(), "a connection of HTTP/3 has ended");
                    return Poll::Ready(());
                }
            }
            calls.set(connection.accept_bi());
        }
        while let Poll::Ready(Ok(stream)) = streams.as_mut().poll(context) {
            if let Err(code) = shared.read(STREAM_COST) {
                shared.end(code, "it opens streams for nothing");
            }
            tokio::task::spawn_local(control::follow(stream, Rc::clone(&shared)));
            streams.set(connection.accept_uni());
        }
        this.poll(context)
    })
    .await;
    drop(this);
    // Whatever ended it, it is closed: what follows is counted as open for its calls' sake alone.
    connection.close(code::NO_ERROR, b"");
    // The calls hear of it, and end.
    poll_fn(|context| {
        shared.note_task(context);
        if shared.open.get() == 0 || worker.drain.cut() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

impl Connection {
    /// Ready when it was closed.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let worker = Rc::clone(&self.shared.worker);
        if worker.drain.cut() {
            self.shared.end(code::NO_ERROR, "the node goes down");
            return Poll::Ready(());
        }
        if self.poll_control(context).is_err() {
            return self.end_without_control();
        }
        let certificate = self.client.certificate();
        let over = certificate.is_some_and(PresentedCertificate::is_over);
        if self.stage == Stage::Open && (over || worker.drain.draining()) {
            self.leave();
        }
        if self.stage == Stage::Leaving && self.goodbye.poll(&self.seat).is_ready() {
            self.go();
        }
        if self.poll_control(context).is_err() {
            return self.end_without_control();
        }
        if self.shared.open.get() > 0 {
            self.idle.moved();
            return Poll::Pending;
        }
        if matches!(self.stage, Stage::Going(_)) {
            if self.last_word.poll(&self.seat).is_pending() {
                return Poll::Pending;
            }
            self.shared.end(code::NO_ERROR, "all is answered");
            return Poll::Ready(());
        }
        if self.idle.poll(&self.seat).is_ready() && self.stage == Stage::Open {
            self.leave();
            return self.poll(context);
        }
        Poll::Pending
    }

    /// Our control stream has to last as long as the connection (RFC 9114, section 6.2.1).
    fn end_without_control(&self) -> Poll<()> {
        self.shared.end(
            code::CLOSED_CRITICAL_STREAM,
            "it stopped our control stream",
        );
        Poll::Ready(())
    }

    /// Begins a call, in a task of its own.
    fn begin(&mut self, mut send: SendStream, mut receive: RecvStream) {
        // Before its bytes, of which there may be none: a stream can begin with its end.
        if let Err(code) = self.shared.read(STREAM_COST) {
            return self.shared.end(code, "it opens streams for nothing");
        }
        let id = u64::from(VarInt::from(receive.id()));
        // A client may come to another address (RFC 9000, section 9). The library goes on with it at once, and asks
        // whether it is really there beside; who it is by the address is proven by a handshake alone. A call may be
        // carried out before such an answer would come, so it is not taken: the client is told to begin it on
        // another connection. Those that run go on. Another port is what a router on the way does.
        let is_elsewhere = !self.client.is_at(self.shared.connection.remote_address());
        if is_elsewhere && self.stage == Stage::Open {
            self.leave();
        }
        let is_late = matches!(self.stage, Stage::Going(first) if id >= first);
        if is_elsewhere || is_late {
            let _stopped = receive.stop(code::REQUEST_REJECTED);
            let _reset = send.reset(code::REQUEST_REJECTED);
            return;
        }
        self.next = self.next.max(id.saturating_add(4));
        let open = OpenCall::begin(&self.shared);
        let exchange = Exchange::new(send, receive, Rc::clone(&self.shared));
        let client = Rc::clone(&self.client);
        tokio::task::spawn_local(async move {
            Rc::new(exchange).run(client).await;
            drop(open);
        });
    }

    /// Tells the client to begin no more calls, in two steps, so that none that is on its way is lost (RFC 9114,
    /// section 5.2).
    fn leave(&mut self) {
        self.stage = Stage::Leaving;
        self.say_goodbye(ANY_STREAM);
    }

    fn go(&mut self) {
        self.stage = Stage::Going(self.next);
        self.say_goodbye(self.next);
    }

    fn say_goodbye(&mut self, first: u64) {
        let mut payload = BytesMut::new();
        frame::put_number(&mut payload, first);
        self.unsent
            .extend_from_slice(&frame::whole(frame::GOAWAY, &payload));
    }

    /// Sends what there is for the control stream, as far as the client lets it.
    fn poll_control(&mut self, context: &mut Context<'_>) -> Result<(), ()> {
        while self.unsent.has_remaining() {
            match Pin::new(&mut self.control).poll_write(context, &self.unsent) {
                Poll::Ready(Ok(count)) => {
                    self.unsent.advance(count);
                    self.stall.moved();
                }
                Poll::Ready(Err(_)) => return Err(()),
                Poll::Pending => {
                    return match self.stall.poll(&self.seat) {
                        Poll::Ready(()) => Err(()),
                        Poll::Pending => Ok(()),
                    };
                }
            }
        }
        Ok(())
    }
}

impl Shared {
    fn note_task(&self, context: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if task
            .as_ref()
            .is_none_or(|task| !task.will_wake(context.waker()))
        {
            *task = Some(context.waker().clone());
        }
    }

    /// Ends the connection.
    pub(super) fn end(&self, code: VarInt, because: &str) {
        if code != code::NO_ERROR {
            let address = self.connection.remote_address().ip();
            if code == code::EXCESSIVE_LOAD {
                tracing::info!(%address, because, "a client was told to go");
            } else {
                tracing::debug!(%address, %code, because, "a client broke the protocol of HTTP/3");
            }
        }
        self.connection.close(code, because.as_bytes());
    }

    /// How many pieces of streams have gone to the client.
    pub(super) fn frames_sent(&self) -> u64 {
        self.connection.stats().frame_tx.stream
    }

    /// Counts what was read; with what the connection has to end, when that is too much for what came of it.
    pub(super) fn read(&self, bytes: usize) -> Result<(), VarInt> {
        self.read.set(self.read.get().saturating_add(bytes as u64));
        let now = self.worker.deadlines.latest();
        self.restraint
            .check(self.read.get(), now)
            .map_err(|_| code::EXCESSIVE_LOAD)
    }

    /// A piece of a body has come.
    pub(super) fn piece(&self, bytes: usize) {
        self.restraint.piece(bytes);
    }

    /// Memory for a head.
    pub(super) fn spare(&self) -> (Fields, Vec<u8>) {
        let spare = self.spare.borrow_mut().pop();
        spare.map(Fields::recycle).unwrap_or_default()
    }

    /// Takes the memory of a head back.
    pub(super) fn keep(&self, fields: Fields) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX && fields.bytes().len() <= SPARE_BYTES_MAX {
            spare.push(fields);
        }
    }
}

impl OpenCall {
    fn begin(shared: &Rc<Shared>) -> Self {
        shared.open.set(shared.open.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let open = self.0.open.get().saturating_sub(1);
        self.0.open.set(open);
        // From now on the connection is idle, or may end.
        if open == 0
            && let Some(task) = &*self.0.task.borrow()
        {
            task.wake_by_ref();
        }
    }
}

/// The bytes of nothing.
pub(super) const NOTHING: Bytes = Bytes::new();
