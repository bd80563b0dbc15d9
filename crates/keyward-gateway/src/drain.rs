//! How a worker ends: it serves, drains (finishes what runs), closes (idle connections too), or cuts (drops
//! what still runs).

use std::cell::Cell;
use std::rc::Rc;

/// A worker's end, as its connections see it. Who changes it wakes them.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    draining: Cell<bool>,
    closing: Cell<bool>,
    cut: Cell<bool>,
    connections: Cell<usize>,
}

impl Drain {
    /// Asks every connection to finish: the next answer on it is the last, and says so. A connection between
    /// two calls is left open, for its client may just be sending the next one.
    pub(crate) fn begin(&self) {
        self.draining.set(true);
    }

    /// Asks those that are between two calls to close, too.
    pub(crate) fn close_idle(&self) {
        self.closing.set(true);
    }

    pub(crate) fn closing(&self) -> bool {
        self.closing.get()
    }

    /// Ends every connection now.
    pub(crate) fn cut_all(&self) {
        self.cut.set(true);
    }

    pub(crate) fn draining(&self) -> bool {
        self.draining.get()
    }

    pub(crate) fn cut(&self) -> bool {
        self.cut.get()
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.get()
    }

    /// Counts a connection as long as the value lives.
    pub(crate) fn connection(self: &Rc<Self>) -> OpenConnection {
        self.connections.set(self.connections.get() + 1);
        OpenConnection(Rc::clone(self))
    }
}

/// A connection that draining waits for.
#[derive(Debug)]
pub(crate) struct OpenConnection(Rc<Drain>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let open = &self.0.connections;
        open.set(open.get().saturating_sub(1));
    }
}
