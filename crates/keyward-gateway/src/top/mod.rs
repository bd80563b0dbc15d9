//! Who calls most, while somebody looks.
//!
//! Names of callers can't be labels of metrics, since there is no end of them. Each worker keeps the most
//! frequent ones of the last seconds in a sketch of fixed size, and only while somebody asks: else a call
//! costs one comparison.

mod sketch;

use keyward_model::{Moment, UsageRecord};
use sketch::{Sketch, Who};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long workers count after somebody has asked: longer than the pause between two looks.
const WATCHED_FOR: Duration = Duration::from_secs(15);
/// After so long, what was counted becomes the past, and what was the past is forgotten: callers are told of
/// the last five to ten seconds.
const WINDOW: Duration = Duration::from_secs(5);

/// What the workers have found, each for itself.
#[derive(Debug)]
pub(crate) struct TopCallers {
    /// Until when somebody looks, in nanoseconds of the node's clock.
    until: AtomicU64,
    workers: Box<[Mutex<Found>]>,
}

/// What one worker has found.
#[derive(Debug, Default)]
struct Found {
    callers: Vec<TopCaller>,
    over: Duration,
}

/// A caller among those that call most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopCaller {
    /// Whose token it came with, where it came with one.
    pub issuer: Option<Box<str>>,
    /// The subject, or the address of a caller without a token.
    pub name: Box<str>,
    /// Its calls: those that were counted, and perhaps fewer by [`overcounted`](Self::overcounted).
    pub calls: u64,
    /// Of these, how many may be another's, whose place this caller took.
    pub overcounted: u64,
    /// Of the calls, those that were refused or failed.
    pub failed: u64,
}

impl TopCaller {
    /// The same caller's calls at another worker, or in another window.
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.overcounted += other.overcounted;
        self.failed += other.failed;
    }
}

impl TopCallers {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            until: AtomicU64::new(0),
            workers: (0..workers).map(|_| Mutex::default()).collect(),
        }
    }

    /// Somebody looks: workers count from their next tick on. Those that call most, all workers together,
    /// and over how long that was.
    pub(crate) fn look(&self, now: Moment, most: usize) -> (Vec<TopCaller>, Duration) {
        let until = now.plus(WATCHED_FOR).as_nanos();
        self.until.fetch_max(until, Ordering::Relaxed);
        let mut all: HashMap<_, TopCaller> = HashMap::new();
        let mut over = Duration::ZERO;
        for worker in &self.workers {
            let found = worker.lock().unwrap_or_else(PoisonError::into_inner);
            over = over.max(found.over);
            for caller in &found.callers {
                let key = (caller.issuer.clone(), caller.name.clone());
                all.entry(key)
                    .and_modify(|known| known.add(caller))
                    .or_insert_with(|| caller.clone());
            }
        }
        let mut all: Vec<TopCaller> = all.into_values().collect();
        all.sort_by(|one, other| other.calls.cmp(&one.calls).then(one.name.cmp(&other.name)));
        all.truncate(most);
        (all, over)
    }

    fn is_watched(&self, now: Moment) -> bool {
        now.as_nanos() < self.until.load(Ordering::Relaxed)
    }

    fn tell(&self, worker: usize, found: Found) {
        if let Some(place) = self.workers.get(worker) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
    }
}

/// One worker's part.
#[derive(Debug, Default)]
pub(crate) struct WorkerTop {
    watched: Cell<bool>,
    windows: RefCell<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    /// When the one that is being counted began.
    since: Option<Moment>,
    now: Sketch,
    /// The one before, and how long it was.
    before: Sketch,
    before_over: Duration,
}

impl WorkerTop {
    /// Counts a call, if somebody looks.
    pub(crate) fn count(&self, usage: &UsageRecord) {
        if !self.watched.get() {
            return;
        }
        let caller = usage.caller.as_deref();
        let who = match caller.and_then(|caller| caller.subject()) {
            Some(subject) => Who::Subject {
                issuer: caller.and_then(|caller| caller.issuer.as_deref()),
                subject,
            },
            None => match usage.address {
                Some(address) => Who::Address(address.to_canonical()),
                None => return,
            },
        };
        let failed = usage.code.is_some() || usage.status >= 400;
        self.windows.borrow_mut().now.count(who, failed);
    }

    /// Tells what it has found, and forgets all when nobody looks any more.
    pub(crate) fn tick(&self, worker: usize, top: &TopCallers, now: Moment) {
        let watched = top.is_watched(now);
        let before = self.watched.replace(watched);
        if !watched {
            if before {
                *self.windows.borrow_mut() = Windows::default();
                top.tell(worker, Found::default());
            }
            return;
        }
        let windows = &mut *self.windows.borrow_mut();
        let over = now.since(*windows.since.get_or_insert(now));
        top.tell(
            worker,
            Found {
                callers: Sketch::callers([&windows.before, &windows.now]),
                over: windows.before_over + over,
            },
        );
        if over >= WINDOW {
            windows.before = std::mem::take(&mut windows.now);
            windows.before_over = over;
            windows.since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests;
