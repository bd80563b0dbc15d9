//! How a worker ends: it serves, drains (finishes what runs), or cuts (drops what still runs).

use std::cell::Cell;
use std::rc::Rc;

/// A worker's end, as its connections see it. Who changes it wakes them.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    draining: Cell<bool>,
    cut: Cell<bool>,
    connections: Cell<usize>,
}

impl Drain {
    /// Asks every connection to finish.
    pub(crate) fn begin(&self) {
        self.draining.set(true);
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
