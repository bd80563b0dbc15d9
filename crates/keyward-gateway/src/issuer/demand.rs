//! How workers ask the control plane's task for keys, and wait for it.
//!
//! Workers are runtimes of one thread each, the task runs on another: what stands between them is a lock
//! held for a look-up, a notification, and a watched number of rounds.

use super::counters::Counters;
use super::refetch::{Decision, Refetches};
use keyward_model::{Clock, Moment};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How long a call waits for keys: a fetch from an issuer that is well takes a tenth of it, and a client
/// notices little more.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(2);
/// How many calls wait at one time for one issuer, over all workers: what a burst of calls brings when a key
/// is rotated in, and some megabytes at worst.
const WAITERS_MAX: usize = 1024;

/// Between the workers of an issuer and its task.
#[derive(Debug)]
pub(super) struct Demand {
    state: Mutex<Refetches>,
    wanted: Notify,
    rounds: watch::Sender<Round>,
    waiters: AtomicUsize,
}

/// The fetches that have ended.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    number: u64,
    /// Whether the last one brought an answer.
    succeeded: bool,
}

/// What waiting led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// A fetch ended well. When it began after the question, its answer is final for now.
    Fetched {
        /// Whether it began after the question.
        after_asking: bool,
    },
    /// Nothing came, or nobody was asked.
    Nothing,
}

/// One of the places to wait, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiters: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiters);
        // Dropping the place gives it back in both cases.
        (waiters.fetch_add(1, Ordering::Relaxed) < WAITERS_MAX).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Demand {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            state: Mutex::new(Refetches::new(now)),
            wanted: Notify::new(),
            rounds: watch::Sender::new(Round::default()),
            waiters: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, Refetches> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's side: asks for a fetch because of an unknown kid, if one may be had, and waits for it.
    pub(super) async fn ask(&self, kid: &str, clock: &dyn Clock, counters: &Counters) -> Waited {
        let Some(_place) = Place::take(&self.waiters) else {
            counters.waiters_refused.add_one();
            return Waited::Nothing;
        };
        // Subscribed before asking, so that the round can't end unseen.
        let rounds = self.rounds.subscribe();
        let decision = self.state().ask(kid, clock.moment());
        let after_asking = match decision {
            Decision::Start => {
                counters.asked_by_unknown_kid.add_one();
                self.wanted.notify_one();
                true
            }
            Decision::Join => false,
            Decision::Refuse => {
                counters.suppressed.add_one();
                return Waited::Nothing;
            }
        };
        if round(rounds).await {
            Waited::Fetched { after_asking }
        } else {
            Waited::Nothing
        }
    }

    /// A worker's side: waits for a fetch that is in flight, if one is. Asks for none.
    pub(super) async fn join(&self, counters: &Counters) -> Waited {
        let Some(_place) = Place::take(&self.waiters) else {
            counters.waiters_refused.add_one();
            return Waited::Nothing;
        };
        let rounds = self.rounds.subscribe();
        if self.state().is_in_flight() && round(rounds).await {
            Waited::Fetched {
                after_asking: false,
            }
        } else {
            Waited::Nothing
        }
    }

    /// A fetch that began after this kid was asked for did not bring it.
    pub(super) fn remember(&self, kid: &str, now: Moment) {
        self.state().remember(kid, now);
    }

    /// The task's side: until someone asks.
    pub(super) async fn wanted(&self) {
        loop {
            self.wanted.notified().await;
            // What a fetch has answered meanwhile is no reason for another.
            if self.state().is_requested() {
                return;
            }
        }
    }

    /// The task's side: a fetch begins.
    pub(super) fn begin(&self) {
        self.state().begin();
    }

    /// The task's side: it brought an answer.
    pub(super) fn succeeded(&self, changed: bool) {
        self.state().succeeded(changed);
        self.end_round(true);
    }

    /// The task's side: it brought nothing, and the next one comes no sooner than this.
    pub(super) fn failed(&self, not_before: Moment) {
        self.state().failed(not_before);
        self.end_round(false);
    }

    fn end_round(&self, succeeded: bool) {
        self.rounds.send_modify(|round| {
            round.number += 1;
            round.succeeded = succeeded;
        });
    }
}

/// Whether the next round ends well, in time.
async fn round(mut rounds: watch::Receiver<Round>) -> bool {
    match tokio::time::timeout(WAIT_MAX, rounds.changed()).await {
        Ok(Ok(())) => rounds.borrow().succeeded,
        // The issuer was taken out of the configuration, or is slow.
        Ok(Err(_)) | Err(_) => false,
    }
}
