//! Connections of one worker to one target: idle ones of HTTP/1.1, and those of HTTP/2 that calls share.

use super::endpoint::Endpoint;
use super::http1::Http1Connection;
use super::http2::{self, Heard, Line, SharedConnection, SharedConnections, Terms};
use super::limit::ConnectionPlace;
use super::plan::TargetPlan;
use super::protocols::UpstreamConnection;
use super::tls::UpstreamTls;
use keyward_model::resource::upstream::Protocol;
use keyward_model::{Clock, Moment};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Idle connections kept per worker and target: more than this many calls at once, then none, is a burst
/// whose sockets are better closed.
const IDLE_MAX: usize = 256;
/// Where calls wait for connections on other workers too, one of so many that come free here goes to
/// them, though calls wait here as well.
const SHARED_EVERY: u32 = 8;
/// How often a call waits for a new connection on which others have taken all room before it came.
const JOINS_MAX: usize = 8;

/// What makes two targets the same one. Teams never share a connection: what one may reach, another may
/// not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PoolKey {
    /// Of the target's state.
    serial: u64,
    tls: Option<Arc<UpstreamTls>>,
    protocol: Protocol,
}

/// All pools of a worker. They outlive snapshots, so that a reload closes no connection.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pools: RefCell<HashMap<PoolKey, Rc<Pool>>>,
}

impl Pools {
    /// The pool of a target.
    pub(crate) fn of(&self, target: &TargetPlan) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let endpoint = &target.endpoint;
        let key = PoolKey {
            serial: endpoint.state.serial(),
            tls: endpoint.tls.clone(),
            protocol: endpoint.protocol,
        };
        let new = || Rc::new(Pool::new(Arc::clone(endpoint)));
        Rc::clone(pools.entry(key).or_insert_with(new))
    }

    /// Closes what has been idle too long, and forgets targets that no snapshot names any more.
    pub(crate) fn reap(&self, now: Moment) {
        self.pools.borrow_mut().retain(|_, pool| {
            pool.reap(now);
            Rc::strong_count(pool) > 1
        });
    }

    /// Connections that wait for a call.
    pub(crate) fn idle(&self) -> usize {
        let pools = self.pools.borrow();
        pools.values().map(|pool| pool.idle.borrow().len()).sum()
    }
}

/// Connections to one target that wait for their next call; the warmest is used first, so that those
/// not needed age and are closed.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) endpoint: Arc<Endpoint>,
    idle: RefCell<VecDeque<Idle>>,
    shared: SharedConnections,
    /// Calls of this worker that wait for a connection, in their order.
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    tickets: Cell<u64>,
    returned: Cell<u32>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Http1Connection>,
    until: Moment,
}

/// A connection that was made.
enum Made {
    Http1(Box<Http1Connection>),
    Shared(Rc<SharedConnection>),
}

impl Made {
    fn into_connection(self) -> UpstreamConnection {
        match self {
            Self::Http1(connection) => UpstreamConnection::Http1(connection),
            Self::Shared(connection) => UpstreamConnection::Http2(connection.call()),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaseFailure {
    /// There are as many as may be.
    #[error("all its connections are in use")]
    Full,
    /// There are as many as may be, and as many wait for one as may.
    #[error("all its connections are in use, and too many calls wait for one")]
    TooManyWait,
    /// None could be made.
    #[error("{0}")]
    Unreachable(io::Error),
}

impl Pool {
    fn new(endpoint: Arc<Endpoint>) -> Self {
        Self {
            shared: SharedConnections::new(&endpoint),
            endpoint,
            idle: RefCell::default(),
            waiting: RefCell::default(),
            tickets: Cell::new(0),
            returned: Cell::new(0),
        }
    }

    /// A connection that is still open.
    pub(crate) fn take(
        &self,
        context: &mut Context<'_>,
        now: Moment,
    ) -> Option<UpstreamConnection> {
        if self.endpoint.protocol != Protocol::Http1
            && let Some(call) = self.shared.take(&self.endpoint)
        {
            return Some(UpstreamConnection::Http2(call));
        }
        loop {
            let mut idle = self.idle.borrow_mut().pop_back()?;
            if now < idle.until && idle.connection.is_reusable(context) {
                return Some(UpstreamConnection::Http1(idle.connection));
            }
        }
    }

    /// Whether calls share the connections, so that those that are being made are waited for.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.are_expected()
    }

    /// Makes a connection, if there may be another one.
    pub(crate) async fn connect(
        self: &Rc<Self>,
        bounded: bool,
        within: Duration,
        terms: Terms,
        clock: &dyn Clock,
    ) -> Result<UpstreamConnection, LeaseFailure> {
        let place = self.place(bounded)?;
        let made = Box::pin(self.make(place, within, terms, clock)).await;
        made.map(Made::into_connection)
            .map_err(LeaseFailure::Unreachable)
    }

    fn place(&self, bounded: bool) -> Result<Option<ConnectionPlace>, LeaseFailure> {
        if !bounded {
            return Ok(None);
        }
        let place = self.endpoint.state.try_place();
        place.map(Some).ok_or(LeaseFailure::Full)
    }

    /// Waits for a connection that is being made for several calls, and begins to make one if there may be
    /// another one. The caller sets the bound of time.
    pub(crate) async fn join(
        self: &Rc<Self>,
        bounded: bool,
        terms: Terms,
        clock: &Arc<dyn Clock>,
    ) -> Result<UpstreamConnection, LeaseFailure> {
        for _ in 0..JOINS_MAX {
            let opening = match self.shared.opening() {
                Some(opening) => opening,
                None => self.open(self.place(bounded)?, terms, clock),
            };
            opening.ended().await.map_err(LeaseFailure::Unreachable)?;
            if let Some(connection) = self.take_now(clock.moment()).await {
                return Ok(connection);
            }
            if !self.is_shared() {
                // The target has chosen HTTP/1.1, and others were quicker to take the connection.
                let within = terms.connect_timeout;
                return self.connect(bounded, within, terms, clock.as_ref()).await;
            }
        }
        Err(LeaseFailure::Full)
    }

    /// Begins to make another connection where the target's name stands for more machines than there are
    /// connections. Nobody waits for it.
    pub(crate) fn spread(
        self: &Rc<Self>,
        bounded: bool,
        now: Moment,
        terms: Terms,
        clock: &Arc<dyn Clock>,
    ) {
        if self.shared.should_spread(&self.endpoint, now)
            && let Ok(place) = self.place(bounded)
        {
            let _others = self.open(place, terms, clock);
        }
    }

    /// How many shared connections there are, once they are open.
    #[cfg(test)]
    pub(super) fn open_connections(&self) -> usize {
        self.calls_of_each().len()
    }

    /// A call on a shared connection that has room.
    #[cfg(test)]
    pub(super) fn take_at_once(&self) -> Option<UpstreamConnection> {
        let call = self.shared.take(&self.endpoint);
        call.map(UpstreamConnection::Http2)
    }

    /// The calls on each of them.
    #[cfg(test)]
    pub(super) fn calls_of_each(&self) -> Vec<u32> {
        self.shared.calls_of_each()
    }

    async fn take_now(&self, now: Moment) -> Option<UpstreamConnection> {
        std::future::poll_fn(|context| Poll::Ready(self.take(context, now))).await
    }

    /// Begins to make a connection, in a task of its own: it is for all calls that wait, and must not end
    /// with the one that came first.
    fn open(
        self: &Rc<Self>,
        place: Option<ConnectionPlace>,
        terms: Terms,
        clock: &Arc<dyn Clock>,
    ) -> Rc<http2::Opening> {
        let opening = self.shared.begin();
        let (pool, clock, made) = (Rc::clone(self), Arc::clone(clock), Rc::clone(&opening));
        tokio::task::spawn_local(async move {
            let within = terms.connect_timeout;
            let outcome = pool.make(place, within, terms, clock.as_ref()).await;
            let outcome = outcome.map(|made| match made {
                Made::Http1(connection) => {
                    pool.put_idle(connection, clock.moment(), terms.idle_timeout);
                }
                // It stands among the others already.
                Made::Shared(_) => {}
            });
            pool.shared.end(&made, outcome);
            pool.wake_next();
        });
        opening
    }

    /// Makes a connection, and agrees with the target on what is spoken.
    async fn make(
        self: &Rc<Self>,
        place: Option<ConnectionPlace>,
        within: Duration,
        terms: Terms,
        clock: &dyn Clock,
    ) -> io::Result<Made> {
        let counted = self.endpoint.state.connection();
        let begun = clock.moment();
        let reached = self.endpoint.connect(within, clock).await?;
        if self.endpoint.protocol != Protocol::Http1 {
            self.shared.expect(reached.shared);
        }
        if !reached.shared {
            let connection = Http1Connection::new(reached, Some(counted), place);
            return Ok(Made::Http1(Box::new(connection)));
        }
        let line = Rc::new(Line::default());
        let left = within.saturating_sub(clock.moment().since(begun));
        let agreed = http2::agree(Heard::new(reached.transport, Rc::clone(&line)));
        let (sender, connection) = match tokio::time::timeout(left, Box::pin(agreed)).await {
            Ok(agreed) => agreed?,
            Err(_) => {
                let why = format!("it said nothing in HTTP/2 within {within:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        };
        let driving = http2::drive(
            Box::new(connection),
            Rc::clone(&line),
            terms.ping_interval,
            (counted, place),
        );
        tokio::task::spawn_local(driving);
        let place = (reached.address, reached.generation);
        let shared = SharedConnection::new(sender, line, self, place, terms.idle_timeout);
        self.shared.add(Rc::clone(&shared));
        Ok(Made::Shared(shared))
    }

    /// Waits for a connection: one that comes free here, or a place for another. At most `most` calls wait
    /// at once. The caller sets the bound of time.
    pub(crate) async fn wait(
        self: &Rc<Self>,
        most: u32,
        within: Duration,
        terms: Terms,
        clock: &Arc<dyn Clock>,
    ) -> Result<UpstreamConnection, LeaseFailure> {
        let state = &self.endpoint.state;
        let _counted = state.limit.wait(most).ok_or(LeaseFailure::TooManyWait)?;
        loop {
            let mut place = Box::pin(Arc::clone(state).place());
            let ticket = Ticket::new(self);
            let found = std::future::poll_fn(|context| {
                if let Some(connection) = self.take(context, clock.moment()) {
                    return Poll::Ready(Ok(connection));
                }
                if let Poll::Ready(place) = place.as_mut().poll(context) {
                    return Poll::Ready(Err(place));
                }
                ticket.register(context);
                Poll::Pending
            })
            .await;
            drop(ticket);
            let place = match found {
                Ok(connection) => return Ok(connection),
                Err(place) => place,
            };
            if self.is_shared() {
                // Others that wait here get their part of it.
                let opening = self.open(place, terms, clock);
                opening.ended().await.map_err(LeaseFailure::Unreachable)?;
            } else {
                let made = Box::pin(self.make(place, within, terms, clock.as_ref())).await;
                return made
                    .map(Made::into_connection)
                    .map_err(LeaseFailure::Unreachable);
            }
        }
    }

    /// Takes a connection back that can carry another call.
    pub(crate) fn put(&self, connection: UpstreamConnection, now: Moment, idle_timeout: Duration) {
        match connection {
            UpstreamConnection::Http1(connection) if connection.may_be_kept() => {
                self.put_idle(connection, now, idle_timeout);
            }
            UpstreamConnection::Http1(_) => {}
            // Its room is free with this.
            UpstreamConnection::Http2(call) => drop(call),
        }
    }

    fn put_idle(&self, mut connection: Box<Http1Connection>, now: Moment, idle_timeout: Duration) {
        if !connection.leads_to(&self.endpoint) || !self.may_keep() {
            return;
        }
        connection.shrink();
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= IDLE_MAX {
            idle.pop_front();
        }
        idle.push_back(Idle {
            connection,
            until: now.plus(idle_timeout),
        });
        drop(idle);
        self.wake_next();
    }

    /// Whether a connection that comes free stays with this worker. Where calls of others wait, it is
    /// closed, so that they may open one.
    pub(super) fn may_keep(&self) -> bool {
        let pending = self.endpoint.state.limit.pending() as usize;
        if pending == 0 {
            return true;
        }
        let here = self.waiting.borrow().len();
        let returned = self.returned.get().wrapping_add(1);
        self.returned.set(returned);
        here > 0 && (pending <= here || !returned.is_multiple_of(SHARED_EVERY))
    }

    pub(super) fn forget_retired(&self) {
        self.shared.forget_retired();
    }

    pub(super) fn wake_next(&self) {
        if let Some((_, waker)) = self.waiting.borrow().front() {
            waker.wake_by_ref();
        }
    }

    fn reap(&self, now: Moment) {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|idle| now < idle.until);
        // Calls of other workers wait for what nobody here needs.
        let mut pending = 0;
        if self.waiting.borrow().is_empty() {
            pending = self.endpoint.state.limit.pending() as usize;
            let unneeded = pending.min(idle.len());
            idle.drain(..unneeded);
            pending -= unneeded;
        }
        self.shared.reap(now, pending);
    }
}

/// A call's place among those that wait at a pool.
struct Ticket<'p> {
    pool: &'p Pool,
    number: u64,
}

impl<'p> Ticket<'p> {
    fn new(pool: &'p Pool) -> Self {
        let number = pool.tickets.get();
        pool.tickets.set(number.wrapping_add(1));
        Self { pool, number }
    }

    fn register(&self, context: &Context<'_>) {
        let mut waiting = self.pool.waiting.borrow_mut();
        match waiting
            .iter_mut()
            .find(|(number, _)| *number == self.number)
        {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => waiting.push_back((self.number, context.waker().clone())),
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let number = self.number;
        self.pool
            .waiting
            .borrow_mut()
            .retain(|(other, _)| *other != number);
        // What this one was woken for, another may need.
        if !self.pool.idle.borrow().is_empty() || self.pool.shared.has_room() {
            self.pool.wake_next();
        }
    }
}
