//! The shared connections of one worker to one target.

use super::Http2Call;
use super::connection::SharedConnection;
use super::opening::Opening;
use crate::upstream::endpoint::Endpoint;
use keyward_model::Moment;
use keyward_model::resource::Upstream;
use keyward_model::resource::upstream::Protocol;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Connections to the addresses of one name, where it has so many. Calls that all went over one connection
/// would all go to one of the machines behind the name.
const SPREAD_MAX: usize = 8;
/// How often another connection is begun for that.
const SPREAD_PAUSE: Duration = Duration::from_secs(1);

/// What an upstream says of connections that are made for many calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) ping_interval: Duration,
}

impl From<&Upstream> for Terms {
    fn from(declared: &Upstream) -> Self {
        Self {
            connect_timeout: declared.connect_timeout,
            idle_timeout: declared.idle_timeout,
            ping_interval: declared.ping_interval,
        }
    }
}

/// Those that are open, and those that are being made.
#[derive(Debug)]
pub(crate) struct SharedConnections {
    open: RefCell<Vec<Rc<SharedConnection>>>,
    openings: RefCell<Vec<Rc<Opening>>>,
    /// Whether the target is taken to speak HTTP/2. Where it may choose, it is until it chooses otherwise.
    expected: Cell<bool>,
    /// How many calls a new connection will take, by what the last one took.
    promised: Cell<u32>,
    /// When another connection may be begun for the sake of other addresses.
    spread_at: Cell<Moment>,
    turn: Cell<usize>,
}

impl SharedConnections {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        let expected = match endpoint.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => endpoint.tls.is_some(),
        };
        Self {
            open: RefCell::default(),
            openings: RefCell::default(),
            expected: Cell::new(expected),
            promised: Cell::new(super::STREAMS_MAX),
            spread_at: Cell::default(),
            turn: Cell::default(),
        }
    }

    /// Whether calls share the connections to the target.
    pub(crate) fn are_expected(&self) -> bool {
        self.expected.get()
    }

    /// The target has chosen what it speaks.
    pub(crate) fn expect(&self, shared: bool) {
        self.expected.set(shared);
    }

    /// A call on a connection that has room. One is filled before the next, so that those not needed age; but
    /// where they lead to several machines, the one with the fewest calls is next.
    pub(crate) fn take(&self, endpoint: &Endpoint) -> Option<Http2Call> {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| connection.is_usable(endpoint));
        let mut with_room = open.iter().filter(|connection| connection.room() > 0);
        if open.len() < 2 || spread_of(endpoint) < 2 {
            return Some(with_room.next()?.call());
        }
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        let first = turn % open.len();
        let turned = open.iter().skip(first).chain(open.iter().take(first));
        let with_room = turned.filter(|connection| connection.room() > 0);
        let least = with_room.min_by_key(|connection| connection.calls())?;
        Some(least.call())
    }

    /// Whether another connection should be made, because the target's name stands for more addresses than
    /// there are connections. Says so once in a while.
    pub(crate) fn should_spread(&self, endpoint: &Endpoint, now: Moment) -> bool {
        let wanted = spread_of(endpoint);
        let should = wanted > 1
            && self.open.borrow().len() < wanted
            && self.openings.borrow().is_empty()
            && now >= self.spread_at.get();
        if should {
            self.spread_at.set(now.plus(SPREAD_PAUSE));
        }
        should
    }

    #[cfg(test)]
    pub(crate) fn calls_of_each(&self) -> Vec<u32> {
        let open = self.open.borrow();
        open.iter().map(|connection| connection.calls()).collect()
    }

    /// Whether another call could be taken.
    pub(crate) fn has_room(&self) -> bool {
        let open = self.open.borrow();
        open.iter().any(|connection| connection.room() > 0)
    }

    /// A connection was made.
    pub(crate) fn add(&self, connection: Rc<SharedConnection>) {
        self.promised.set(connection.room().max(1));
        self.open.borrow_mut().push(connection);
    }

    /// One that is being made and will have room.
    pub(crate) fn opening(&self) -> Option<Rc<Opening>> {
        let promised = self.promised.get();
        let openings = self.openings.borrow();
        let mut with_room = openings.iter().filter(|one| one.joined() < promised);
        with_room.next().map(Rc::clone)
    }

    /// Another one is being made.
    pub(crate) fn begin(&self) -> Rc<Opening> {
        let opening = Rc::new(Opening::default());
        self.openings.borrow_mut().push(Rc::clone(&opening));
        opening
    }

    /// It was made, or could not be.
    pub(crate) fn end(&self, opening: &Rc<Opening>, outcome: std::io::Result<()>) {
        let mut openings = self.openings.borrow_mut();
        openings.retain(|other| !Rc::ptr_eq(other, opening));
        drop(openings);
        opening.end(outcome);
    }

    /// Closes those that have been idle for too long, and at most so many idle ones that others need.
    pub(crate) fn reap(&self, now: Moment, mut unneeded: usize) {
        self.open.borrow_mut().retain(|connection| {
            let idle = connection.is_idle();
            if idle && unneeded > 0 {
                unneeded -= 1;
                return false;
            }
            !connection.is_over(now)
        });
    }
}

/// How many connections there should be for the sake of the addresses.
fn spread_of(endpoint: &Endpoint) -> usize {
    endpoint.state.addresses.count().min(SPREAD_MAX)
}
