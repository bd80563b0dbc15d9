//! A connection that many calls use at the same time.

use super::line::Line;
use super::{Http2Call, STREAMS_MAX};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::pool::Pool;
use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use keyward_model::Moment;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What a worker's calls have of a connection to a target. It is closed when neither the pool nor a call
/// holds it any more.
pub(crate) struct SharedConnection {
    sender: RefCell<SendRequest<Bytes>>,
    line: Rc<Line>,
    pool: Weak<Pool>,
    address: IpAddr,
    /// Of the target's addresses, when it was made.
    generation: u32,
    /// Whether it has carried an answer.
    proven: Cell<bool>,
    /// What the line had heard when a call waited in vain: until something is heard, nobody knows whether the
    /// target is still there.
    doubted: Cell<Option<u64>>,
    /// Takes no more calls.
    retired: Cell<bool>,
    /// Since when it carries none, as far as anyone has looked.
    idle_since: Cell<Option<Moment>>,
    idle_timeout: Duration,
}

impl SharedConnection {
    pub(crate) fn new(
        sender: SendRequest<Bytes>,
        line: Rc<Line>,
        pool: &Rc<Pool>,
        (address, generation): (IpAddr, u32),
        idle_timeout: Duration,
    ) -> Rc<Self> {
        Rc::new(Self {
            sender: RefCell::new(sender),
            line,
            pool: Rc::downgrade(pool),
            address,
            generation,
            proven: Cell::new(false),
            doubted: Cell::new(None),
            retired: Cell::new(false),
            idle_since: Cell::new(None),
            idle_timeout,
        })
    }

    /// Whether it may get calls: neither side has ended it, and its target is still there.
    pub(super) fn is_usable(&self, endpoint: &Endpoint) -> bool {
        if self.line.is_closed() || self.retired.get() {
            return false;
        }
        // Tells at once, since this handle has no request that waits: an error once the target goes away.
        let mut context = Context::from_waker(Waker::noop());
        let ready = self.sender.borrow_mut().poll_ready(&mut context);
        if matches!(ready, Poll::Ready(Err(_))) {
            return false;
        }
        let addresses = &endpoint.state.addresses;
        self.generation == addresses.generation() || addresses.has(self.address)
    }

    pub(super) fn calls(&self) -> u32 {
        self.line.calls()
    }

    /// How many more calls it takes.
    pub(super) fn room(&self) -> u32 {
        if self.doubted.get() == Some(self.line.heard()) {
            return 0;
        }
        let allowed = self.sender.borrow().current_max_send_streams();
        let allowed = u32::try_from(allowed).unwrap_or(STREAMS_MAX);
        allowed.min(STREAMS_MAX).saturating_sub(self.line.calls())
    }

    /// Whether it has carried an answer: then it may be that the target closes it at this moment.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.get()
    }

    pub(super) fn prove(&self) {
        self.proven.set(true);
    }

    /// A call has waited in vain. Other calls are better off elsewhere until the target has said something.
    pub(super) fn doubt(&self) {
        self.doubted.set(Some(self.line.heard()));
        self.line.ask();
    }

    /// Takes no more calls from now on.
    pub(super) fn retire(&self) {
        self.retired.set(true);
    }

    /// Whether it carries no call now.
    pub(super) fn is_idle(&self) -> bool {
        self.line.calls() == 0
    }

    /// Whether it has carried no call for as long as it may.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        if self.line.calls() > 0 {
            self.idle_since.set(None);
            return false;
        }
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        now.since(since) >= self.idle_timeout
    }

    /// A call on it.
    pub(crate) fn call(self: &Rc<Self>) -> Http2Call {
        self.line.call_begins();
        self.idle_since.set(None);
        Http2Call::new(Rc::clone(self))
    }

    /// A call on it has ended.
    pub(super) fn release(&self) {
        self.line.call_ends();
        if let Some(pool) = self.pool.upgrade() {
            if !pool.may_keep() {
                self.retire();
            }
            pool.wake_next();
        }
    }

    /// Sends a request's head.
    pub(super) fn send(
        &self,
        request: http::Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        // A clone, since a handle takes no other request while one of its own waits for room.
        let mut sender = self.sender.borrow().clone();
        sender.send_request(request, ends)
    }
}

impl std::fmt::Debug for SharedConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedConnection")
            .field("address", &self.address)
            .field("calls", &self.line.calls())
            .finish_non_exhaustive()
    }
}
