//! Idle connections of one worker to one target.

use super::connection::UpstreamConnection;
use super::tls::UpstreamTls;
use crate::snapshot::RouteTarget;
use keyward_model::Moment;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

/// Idle connections kept per worker and target: more than this many calls at once, then none, is a burst
/// whose sockets are better closed.
const IDLE_MAX: usize = 256;

/// What makes two targets the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TargetKey {
    host: Box<str>,
    port: u16,
    tls: Option<Arc<UpstreamTls>>,
}

impl TargetKey {
    pub(crate) fn of(target: &RouteTarget) -> Self {
        Self {
            host: target.target.host.clone(),
            port: target.port,
            tls: target.tls.clone(),
        }
    }
}

/// All pools of a worker. They outlive snapshots, so that a reload closes no connection.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pools: RefCell<HashMap<TargetKey, Rc<Pool>>>,
}

impl Pools {
    /// The pool of a target.
    pub(crate) fn of(&self, target: &RouteTarget) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        Rc::clone(
            pools
                .entry(TargetKey::of(target))
                .or_insert_with(|| Rc::new(Pool::new(target))),
        )
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
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    pub(crate) tls: Option<Arc<UpstreamTls>>,
    idle: RefCell<VecDeque<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: UpstreamConnection,
    until: Moment,
}

impl Pool {
    fn new(target: &RouteTarget) -> Self {
        Self {
            host: target.target.host.clone(),
            port: target.port,
            tls: target.tls.clone(),
            idle: RefCell::default(),
        }
    }

    /// A connection that is still open.
    pub(crate) fn take(
        &self,
        context: &mut Context<'_>,
        now: Moment,
    ) -> Option<UpstreamConnection> {
        loop {
            let mut idle = self.idle.borrow_mut().pop_back()?;
            if now < idle.until && idle.connection.is_reusable(context) {
                return Some(idle.connection);
            }
        }
    }

    /// Takes a connection back that can carry another call.
    pub(crate) fn put(
        &self,
        mut connection: UpstreamConnection,
        now: Moment,
        idle_timeout: Duration,
    ) {
        connection.shrink();
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= IDLE_MAX {
            idle.pop_front();
        }
        idle.push_back(Idle {
            connection,
            until: now.plus(idle_timeout),
        });
    }

    fn reap(&self, now: Moment) {
        self.idle.borrow_mut().retain(|idle| now < idle.until);
    }
}
