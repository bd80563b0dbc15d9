//! Idle connections of one worker to one target.

use super::connection::UpstreamConnection;
use super::endpoint::Endpoint;
use super::plan::TargetPlan;
use super::tls::UpstreamTls;
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

/// What makes two targets the same one. Teams never share a connection: what one may reach, another may
/// not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PoolKey {
    /// Of the target's state.
    serial: u64,
    tls: Option<Arc<UpstreamTls>>,
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
}

/// Connections to one target that wait for their next call; the warmest is used first, so that those
/// not needed age and are closed.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) endpoint: Arc<Endpoint>,
    idle: RefCell<VecDeque<Idle>>,
    /// Calls of this worker that wait for a connection, in their order.
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    tickets: Cell<u64>,
    returned: Cell<u32>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<UpstreamConnection>,
    until: Moment,
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
    ) -> Option<Box<UpstreamConnection>> {
        loop {
            let mut idle = self.idle.borrow_mut().pop_back()?;
            if now < idle.until && idle.connection.is_reusable(context) {
                return Some(idle.connection);
            }
        }
    }

    /// Makes a connection, if there may be another one.
    pub(crate) async fn connect(
        &self,
        bounded: bool,
        within: Duration,
        clock: &dyn Clock,
    ) -> Result<Box<UpstreamConnection>, LeaseFailure> {
        let place = if bounded {
            let place = self.endpoint.state.try_place();
            Some(place.ok_or(LeaseFailure::Full)?)
        } else {
            None
        };
        let connected = UpstreamConnection::connect(&self.endpoint, place, within, clock).await;
        connected.map_err(LeaseFailure::Unreachable)
    }

    /// Waits for a connection: one that comes free here, or a place for another. At most `most` calls wait
    /// at once. The caller sets the bound of time.
    pub(crate) async fn wait(
        &self,
        most: u32,
        within: Duration,
        clock: &dyn Clock,
    ) -> Result<Box<UpstreamConnection>, LeaseFailure> {
        let state = &self.endpoint.state;
        let _counted = state.limit.wait(most).ok_or(LeaseFailure::TooManyWait)?;
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
        match found {
            Ok(connection) => Ok(connection),
            Err(place) => UpstreamConnection::connect(&self.endpoint, place, within, clock)
                .await
                .map_err(LeaseFailure::Unreachable),
        }
    }

    /// Takes a connection back that can carry another call.
    pub(crate) fn put(
        &self,
        mut connection: Box<UpstreamConnection>,
        now: Moment,
        idle_timeout: Duration,
    ) {
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
    fn may_keep(&self) -> bool {
        let pending = self.endpoint.state.limit.pending() as usize;
        if pending == 0 {
            return true;
        }
        let here = self.waiting.borrow().len();
        let returned = self.returned.get().wrapping_add(1);
        self.returned.set(returned);
        here > 0 && (pending <= here || !returned.is_multiple_of(SHARED_EVERY))
    }

    fn wake_next(&self) {
        if let Some((_, waker)) = self.waiting.borrow().front() {
            waker.wake_by_ref();
        }
    }

    fn reap(&self, now: Moment) {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|idle| now < idle.until);
        // Calls of other workers wait for what nobody here needs.
        if self.waiting.borrow().is_empty() {
            let pending = self.endpoint.state.limit.pending() as usize;
            let unneeded = pending.min(idle.len());
            idle.drain(..unneeded);
        }
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
        if !self.pool.idle.borrow().is_empty() {
            self.pool.wake_next();
        }
    }
}
