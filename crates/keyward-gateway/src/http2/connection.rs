//! One client's connection, from its preface to its close.

use super::exchange::{Exchange, PIECE_MAX, WRITE_STALL};
use super::head::{self, ReadHead};
use super::restraint::{Excess, Restraint};
use super::wire::{Traffic, Wire};
use crate::deadlines::{Patience, Seat};
use crate::http1::HeadBounds;
use crate::message::Fields;
use crate::request::Client;
use crate::settings::{Http2Limits, Limits};
use crate::tls::PresentedCertificate;
use crate::transport::Transport;
use crate::worker::Worker;
use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead as _, ReadBuf};

/// How long a client that was told to go may take to read that before the connection is cut.
const LINGER: Duration = Duration::from_secs(2);
/// How much of what it still sends is read and thrown away, so that what it was told is not lost to a reset.
const LINGER_BYTES: usize = 256 * 1024;
/// Streams that were just reset, of which the client may still send what was on its way. One that sends for
/// others breaks the protocol. As many as there may be streams, so that all of them may be reset at once.
const RESETS_REMEMBERED_MIN: usize = 50;
/// Memory of heads that a connection keeps for the next calls: a few small calls at once are common.
const SPARE_MAX: usize = 8;
/// Of these, none above this size: a large head is rare.
const SPARE_BYTES_MAX: usize = 16 * 1024;
/// What `h2` lets small frames of bodies that wait cost, by its own measure, for each byte of the connection's
/// window: some 8,000 of them with the window that is usual, so that a stream of small messages may be held
/// up for a while.
const SMALL_FRAMES_PER_WINDOW: usize = 2;
/// What a field is said to cost beside its name and value (RFC 9113, section 10.5.1).
const FIELD_OVERHEAD: usize = 32;

/// A connection on which HTTP/2 is spoken.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) transport: Transport,
    /// What was read already, from the first byte on.
    pub(crate) read_ahead: Vec<u8>,
    pub(crate) client: Rc<Client>,
}

/// What the calls of a connection share with it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) restraint: Restraint,
    /// How many calls run.
    open: Cell<usize>,
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
    /// The client was told to go now.
    Closing,
}

type H2 = h2::server::Connection<Wire, Bytes>;

struct Connection {
    h2: H2,
    worker: Rc<Worker>,
    client: Rc<Client>,
    shared: Rc<Shared>,
    traffic: Rc<Traffic>,
    seat: Seat,
    bounds: HeadBounds,
    stage: Stage,
    /// How long it may be without a call.
    idle: Patience,
    /// How long the client may take nothing of the answers' ends.
    stall: Patience,
    /// How long it may take to close.
    linger: Patience,
}

/// Serves the connection until it closes.
pub(crate) async fn serve(worker: Rc<Worker>, opening: Opening) {
    let Opening {
        transport,
        read_ahead,
        client,
    } = opening;
    let limits = &worker.settings.limits;
    let wire = Wire::new(transport, Bytes::from(read_ahead));
    let (traffic, transport) = (wire.traffic(), wire.transport());
    let seat = worker.deadlines.seat();
    let Some(h2) = handshake(&worker, &seat, wire).await else {
        return;
    };
    let mut connection = Connection {
        h2,
        client,
        shared: Rc::new(Shared {
            restraint: Restraint::new(limits.http2.connection_window, worker.deadlines.latest()),
            open: Cell::new(0),
            task: RefCell::default(),
            spare: RefCell::default(),
        }),
        traffic,
        seat,
        bounds: HeadBounds {
            line: limits.request_line_bytes,
            head: limits.head_bytes,
            fields: limits.header_fields,
        },
        stage: Stage::Open,
        idle: Patience::new(limits.head_timeout),
        stall: Patience::new(WRITE_STALL),
        linger: Patience::new(LINGER),
        worker,
    };
    let told_to_go = poll_fn(|context| connection.poll(context)).await;
    let Connection {
        h2,
        worker,
        shared,
        seat,
        ..
    } = connection;
    // The calls hear of it, and end.
    drop(h2);
    poll_fn(|_| {
        if shared.open.get() == 0 || worker.drain.cut() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    if told_to_go && !worker.drain.cut() {
        linger(&transport, &seat).await;
    }
}

/// Waits for the client's preface, as long as a head may take.
async fn handshake(worker: &Worker, seat: &Seat, wire: Wire) -> Option<H2> {
    let limits = &worker.settings.limits;
    let mut patience = Patience::new(limits.head_timeout);
    let mut handshake = pin!(settings(limits).handshake(wire));
    poll_fn(|context| {
        seat.register(context);
        match handshake.as_mut().poll(context) {
            Poll::Ready(Ok(connection)) => Poll::Ready(Some(connection)),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a connection did not begin as HTTP/2 does");
                Poll::Ready(None)
            }
            Poll::Pending if worker.drain.closing() || worker.drain.cut() => Poll::Ready(None),
            Poll::Pending => patience.poll(seat).map(|()| None),
        }
    })
    .await
}

/// What we tell the client, and what `h2` bounds.
fn settings(limits: &Limits) -> Builder {
    let Http2Limits {
        streams,
        stream_window,
        connection_window,
    } = limits.http2;
    let mut builder = Builder::new();
    // Above what is allowed of bytes and fields, so that it is us who say which bound a head has passed.
    let list = limits.head_bytes + FIELD_OVERHEAD * (limits.header_fields + 1);
    let window = usize::try_from(connection_window).unwrap_or(usize::MAX);
    builder
        .enable_connect_protocol()
        .max_concurrent_streams(streams)
        .initial_window_size(stream_window)
        .initial_connection_window_size(connection_window)
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .max_send_buffer_size(PIECE_MAX)
        .data_frame_budget(window.saturating_mul(SMALL_FRAMES_PER_WINDOW))
        .max_concurrent_reset_streams(RESETS_REMEMBERED_MIN.max(streams as usize));
    builder
}

impl Connection {
    /// Ready when it has ended: whether the client was told to go.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        self.seat.register(context);
        self.shared.note_task(context);
        loop {
            match self.h2.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.begin(request, respond);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, address = %self.client.address(), "a connection of HTTP/2 has failed");
                    return Poll::Ready(!error.is_io());
                }
                Poll::Ready(None) => return Poll::Ready(self.stage == Stage::Closing),
                Poll::Pending => {}
            }
            if self.worker.drain.cut() {
                return Poll::Ready(false);
            }
            if self.stage == Stage::Closing {
                return self.linger.poll(&self.seat).map(|()| false);
            }
            if let Err(excess) = self.check() {
                tracing::info!(address = %self.client.address(), %excess, "a client was told to go");
                self.close(Reason::ENHANCE_YOUR_CALM);
                continue;
            }
            let certificate = self.client.certificate();
            let over = certificate.is_some_and(PresentedCertificate::is_over);
            if self.stage == Stage::Open && (over || self.worker.drain.draining()) {
                self.leave();
                continue;
            }
            if self.traffic.wrote.replace(false) {
                self.stall.moved();
            }
            if self.shared.open.get() > 0 {
                self.idle.moved();
                self.stall.moved();
                return Poll::Pending;
            }
            if self.h2.has_streams() {
                // Answers that were given whole, of which the client has not taken all.
                self.idle.moved();
                return self.stall.poll(&self.seat).map(|()| false);
            }
            self.stall.moved();
            if self.worker.drain.closing() {
                self.close(Reason::NO_ERROR);
                continue;
            }
            ready!(self.idle.poll(&self.seat));
            if self.stage == Stage::Open {
                self.idle.moved();
                self.leave();
            } else {
                self.close(Reason::NO_ERROR);
            }
        }
    }

    fn check(&self) -> Result<(), Excess> {
        let now = self.worker.deadlines.latest();
        self.shared.restraint.check(self.traffic.read.get(), now)
    }

    /// Tells the client to begin no more calls, in two steps, so that none that is on its way is lost (RFC 9113,
    /// section 6.8).
    fn leave(&mut self) {
        self.stage = Stage::Leaving;
        self.h2.graceful_shutdown();
    }

    fn close(&mut self, reason: Reason) {
        self.stage = Stage::Closing;
        self.h2.abrupt_shutdown(reason);
    }

    /// Begins a call, in a task of its own.
    fn begin(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.shared.restraint.call();
        let open = OpenCall::begin(&self.shared);
        let (parts, stream) = request.into_parts();
        let exchange = Rc::new(Exchange::new(stream, respond, Rc::clone(&self.shared)));
        let (worker, client) = (Rc::clone(&self.worker), Rc::clone(&self.client));
        let method = parts.method.clone();
        match head::read(parts, self.bounds, self.shared.spare()) {
            Ok(ReadHead {
                head,
                content_length,
            }) => tokio::task::spawn_local(async move {
                exchange.serve(worker, client, head, content_length).await;
                drop(open);
            }),
            Err(fault) => tokio::task::spawn_local(async move {
                exchange.refuse(worker, client, method, fault).await;
                drop(open);
            }),
        };
    }
}

impl Shared {
    fn note_task(&self, context: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if task.is_none() {
            *task = Some(context.waker().clone());
        }
    }

    /// Memory for a head.
    fn spare(&self) -> (Fields, Vec<u8>) {
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

/// Reads on for a while what the client still sends.
async fn linger(transport: &Rc<RefCell<Transport>>, seat: &Seat) {
    let mut patience = Patience::new(LINGER);
    let mut discarded = 0;
    poll_fn(|context| {
        let mut bytes = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *transport.borrow_mut()).poll_read(context, &mut buffer) {
                Poll::Pending => return patience.poll(seat),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {
                    let count = buffer.filled().len();
                    discarded += count;
                    if count == 0 || discarded >= LINGER_BYTES {
                        return Poll::Ready(());
                    }
                }
            }
        }
    })
    .await;
}
