//! A connection that is being made, for all calls that wait for it.

use std::cell::{Cell, RefCell};
use std::io;
use tokio::sync::Notify;

/// Calls that come while a connection is made wait for that one: else the first hundred calls after a start
/// would make a hundred connections.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    outcome: RefCell<Option<Result<(), (io::ErrorKind, String)>>>,
    over: Notify,
    joined: Cell<u32>,
}

impl Opening {
    /// How many calls have come to wait for it.
    pub(super) fn joined(&self) -> u32 {
        self.joined.get()
    }

    /// The connection is there, or can't be made.
    pub(super) fn end(&self, outcome: io::Result<()>) {
        let outcome = outcome.map_err(|error| (error.kind(), error.to_string()));
        *self.outcome.borrow_mut() = Some(outcome);
        self.over.notify_waiters();
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        self.joined.set(self.joined.get().saturating_add(1));
        let over = self.over.notified();
        if self.outcome.borrow().is_none() {
            over.await;
        }
        match &*self.outcome.borrow() {
            Some(Ok(())) => Ok(()),
            Some(Err((kind, text))) => Err(io::Error::new(*kind, text.clone())),
            None => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}
