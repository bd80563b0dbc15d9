//! Telling every connection of a worker that the end has come, without a cost while it hasn't.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

/// A worker's drain: open, draining (finish what runs), closing (idle connections too), or cut (drop what
/// still runs).
#[derive(Debug, Default)]
pub(crate) struct Drain {
    draining: Cell<bool>,
    closing: Cell<bool>,
    cut: Cell<bool>,
    connections: Cell<usize>,
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl Drain {
    /// Asks every connection to finish: the next answer on it is the last, and says so. A connection
    /// between two calls is left open, for its client may just be sending the next one.
    pub(crate) fn begin(&self) {
        self.draining.set(true);
        self.wake_all();
    }

    /// Asks those that are between two calls to close, too.
    pub(crate) fn close_idle(&self) {
        if !self.closing.replace(true) {
            self.wake_all();
        }
    }

    /// Ends every connection now.
    pub(crate) fn cut_all(&self) {
        self.cut.set(true);
        self.wake_all();
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

    pub(crate) fn subscribe(self: &Rc<Self>) -> Subscription {
        self.connections.set(self.connections.get() + 1);
        Subscription {
            drain: Rc::clone(self),
            slot: None,
            told: false,
        }
    }

    fn wake_all(&self) {
        for waker in self.wakers.borrow().iter().flatten() {
            waker.wake_by_ref();
        }
    }

    fn register(&self, waker: Waker) -> usize {
        let mut wakers = self.wakers.borrow_mut();
        match self.free.borrow_mut().pop() {
            Some(slot) => {
                if let Some(place) = wakers.get_mut(slot) {
                    *place = Some(waker);
                }
                slot
            }
            None => {
                wakers.push(Some(waker));
                wakers.len() - 1
            }
        }
    }
}

/// One connection's ear. The task that polls it must stay the same.
#[derive(Debug)]
pub(crate) struct Subscription {
    drain: Rc<Drain>,
    slot: Option<usize>,
    told: bool,
}

impl Subscription {
    /// True once: when what the connection is doing is to be its last. `busy` says whether it is in a
    /// call.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, busy: bool) -> bool {
        if self.slot.is_none() {
            self.slot = Some(self.drain.register(context.waker().clone()));
        }
        let now = self.drain.draining() && !self.told && (busy || self.drain.closing.get());
        self.told |= now;
        now
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.drain
            .connections
            .set(self.drain.connections.get().saturating_sub(1));
        if let Some(slot) = self.slot {
            if let Some(place) = self.drain.wakers.borrow_mut().get_mut(slot) {
                *place = None;
            }
            self.drain.free.borrow_mut().push(slot);
        }
    }
}
