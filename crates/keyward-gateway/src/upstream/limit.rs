//! Bounds on the connections to a target, and on who waits for one.

use super::state::TargetState;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// How many connections there may be, over all workers. It can change while connections are open: those
/// too many close as they come free.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    free: Semaphore,
    size: Mutex<u32>,
    /// Places to be taken away as soon as they are given back.
    owed: AtomicU32,
    pending: AtomicU32,
}

impl Default for ConnectionLimit {
    fn default() -> Self {
        Self {
            free: Semaphore::new(0),
            size: Mutex::new(0),
            owed: AtomicU32::new(0),
            pending: AtomicU32::new(0),
        }
    }
}

impl ConnectionLimit {
    /// The bound is another one from now on; `None`: nobody asks any more.
    pub(super) fn resize(&self, most: Option<NonZeroU32>) {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let most = most.map_or(0, NonZeroU32::get);
        if most > *size {
            let mut more = most - *size;
            while more > 0 && self.forgive() {
                more -= 1;
            }
            self.free.add_permits(more as usize);
        } else {
            let fewer = *size - most;
            let gone = self.free.forget_permits(fewer as usize);
            let gone = u32::try_from(gone).unwrap_or(fewer);
            self.owed.fetch_add(fewer - gone, Ordering::Relaxed);
        }
        *size = most;
    }

    fn forgive(&self) -> bool {
        self.owed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| {
                owed.checked_sub(1)
            })
            .is_ok()
    }

    /// Calls that wait, over all workers.
    pub(crate) fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Counts a call that waits, unless there are as many as may be.
    pub(super) fn wait<'l>(&'l self, most: u32) -> Option<Waiting<'l>> {
        self.pending
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |pending| {
                (pending < most).then_some(pending + 1)
            })
            .ok()
            .map(|_| Waiting(self))
    }
}

impl TargetState {
    /// A place for a connection, if one is free.
    pub(super) fn try_place(self: &Arc<Self>) -> Option<ConnectionPlace> {
        let permit = self.limit.free.try_acquire().ok()?;
        permit.forget();
        Some(ConnectionPlace(Arc::clone(self)))
    }

    /// A place for a connection, as soon as one is free and it is the caller's turn.
    pub(super) async fn place(self: Arc<Self>) -> Option<ConnectionPlace> {
        // It is never closed.
        self.limit.free.acquire().await.ok()?.forget();
        Some(ConnectionPlace(self))
    }
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct Waiting<'l>(&'l ConnectionLimit);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place that a connection takes as long as it is open.
#[derive(Debug)]
pub(super) struct ConnectionPlace(Arc<TargetState>);

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let limit = &self.0.limit;
        if !limit.forgive() {
            limit.free.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_the_bound_of_now_says() {
        let state = TargetState::new();
        let bound = |most: u32| state.limit.resize(NonZeroU32::new(most));
        let all = || {
            let taken: Vec<_> = std::iter::from_fn(|| state.try_place()).collect();
            taken
        };
        bound(3);
        let mut taken = all();
        assert_eq!(taken.len(), 3);
        bound(1);
        taken.pop();
        assert!(state.try_place().is_none());
        taken.pop();
        assert!(state.try_place().is_none());
        bound(2);
        assert_eq!(all().len(), 1);
        taken.pop();
        assert_eq!(all().len(), 2);
        bound(0);
        assert!(state.try_place().is_none());
        bound(5);
        assert_eq!(all().len(), 5);
    }

    #[test]
    fn no_more_wait_than_may() {
        let limit = ConnectionLimit::default();
        let (one, two) = (limit.wait(2), limit.wait(2));
        assert!(one.is_some() && two.is_some() && limit.wait(2).is_none());
        drop(one);
        assert_eq!(limit.pending(), 1);
        assert!(limit.wait(2).is_some());
        assert!(limit.wait(0).is_none());
    }
}
