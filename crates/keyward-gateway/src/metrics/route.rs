//! What calls of a route come to.

use super::PerWorker;
use super::cache::CacheOutcome;
use super::copy::CopyOutcome;
use super::counter::Counter;
use super::histogram::{Histogram, HistogramCounts};
use keyward_model::UsageRecord;
use keyward_model::usage::RouteLabels;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The status of calls that became tunnels.
const SWITCHING_PROTOCOLS: u16 = 101;

/// Status classes: none (the client left), 1xx to 5xx.
const CLASSES: usize = 6;

/// What all workers count for one route. It outlives reloads.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    workers: PerWorker<RouteCounters>,
    mirrors: AtomicBool,
}

/// Two cache lines apart from the next worker's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct RouteCounters {
    classes: [Counter; CLASSES],
    limited: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    whole: Histogram,
    first_byte: Histogram,
    upstream: Histogram,
    copies: [Counter; CopyOutcome::ALL.len()],
    /// Where the route has a cache.
    cache: OnceLock<Box<[Counter; CacheOutcome::ALL.len()]>>,
}

impl RouteMetrics {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers: PerWorker::new(workers),
            mirrors: AtomicBool::new(false),
        }
    }

    /// How many workers count.
    pub(crate) fn workers(&self) -> usize {
        self.workers.workers()
    }

    /// The route has a mirror: what becomes of copies is told from now on.
    pub(crate) fn mirrors(&self) {
        self.mirrors.store(true, Ordering::Relaxed);
    }

    /// Counts what became of a copy.
    pub(crate) fn count_copy(&self, worker: usize, outcome: CopyOutcome) {
        let counters = self.workers.of(worker);
        if let Some(counter) = counters.and_then(|counters| counters.copies.get(outcome as usize)) {
            counter.add(1);
        }
    }

    /// Counts what the route's cache did with a call.
    pub(crate) fn count_cache(&self, worker: usize, outcome: CacheOutcome) {
        if let Some(counters) = self.workers.of(worker)
            && let Some(counter) = counters
                .cache
                .get_or_init(Box::default)
                .get(outcome as usize)
        {
            counter.add(1);
        }
    }

    pub(crate) fn count(&self, worker: usize, usage: &UsageRecord) {
        let Some(counters) = self.workers.of(worker) else {
            return;
        };
        if let Some(class) = counters.classes.get(usize::from(usage.status / 100)) {
            class.add(1);
        }
        if usage.limit.is_some() {
            counters.limited.add(1);
        }
        counters.bytes_in.add(usage.bytes_in);
        counters.bytes_out.add(usage.bytes_out);
        let times = &usage.times;
        // How long a tunnel stood says nothing of how long calls take: nobody waited for its end.
        if usage.status != SWITCHING_PROTOCOLS {
            counters.whole.count(times.total);
        }
        // A call that its client left had none, and one that was answered here no upstream.
        if !times.first_byte.is_zero() {
            counters.first_byte.count(times.first_byte);
        }
        if !times.upstream.is_zero() {
            counters.upstream.count(times.upstream);
        }
    }

    /// What was counted; `None` while there was no call.
    pub(crate) fn read(&self, labels: &RouteLabels) -> Option<RouteCounts> {
        self.workers.each().next()?;
        let mirrors = self.mirrors.load(Ordering::Relaxed);
        let mut counts = RouteCounts {
            labels: labels.clone(),
            classes: [0; CLASSES],
            limited: 0,
            bytes_in: 0,
            bytes_out: 0,
            whole: HistogramCounts::default(),
            first_byte: HistogramCounts::default(),
            upstream: HistogramCounts::default(),
            cache: None,
            copies: mirrors.then(|| CopyOutcome::ALL.map(|outcome| (outcome, 0))),
        };
        for own in self.workers.each() {
            for (to, from) in counts.classes.iter_mut().zip(&own.classes) {
                *to += from.read();
            }
            counts.limited += own.limited.read();
            counts.bytes_in += own.bytes_in.read();
            counts.bytes_out += own.bytes_out.read();
            counts.whole.merge(&own.whole);
            counts.first_byte.merge(&own.first_byte);
            counts.upstream.merge(&own.upstream);
            if let Some(own) = own.cache.get() {
                let cache = counts
                    .cache
                    .get_or_insert(CacheOutcome::ALL.map(|outcome| (outcome, 0)));
                for ((_, to), from) in cache.iter_mut().zip(own.iter()) {
                    *to += from.read();
                }
            }
            for ((_, to), from) in counts.copies.iter_mut().flatten().zip(&own.copies) {
                *to += from.read();
            }
        }
        Some(counts)
    }
}

/// What was counted for one route, over all workers.
#[derive(Clone, Debug)]
pub struct RouteCounts {
    /// Which one.
    pub labels: RouteLabels,
    /// Calls by the first digit of their status; at 0 those whose client left before there was one.
    pub classes: [u64; CLASSES],
    /// Calls that a limit refused.
    pub limited: u64,
    /// Body bytes read from clients.
    pub bytes_in: u64,
    /// Body bytes written to clients.
    pub bytes_out: u64,
    /// Calls by their whole duration.
    pub whole: HistogramCounts,
    /// Calls by the time to the first byte of the answer, those that had one.
    pub first_byte: HistogramCounts,
    /// Calls by the time that their upstream took to answer, those that went to one.
    pub upstream: HistogramCounts,
    /// What the route's cache did with calls, where it has done anything.
    pub cache: Option<[(CacheOutcome, u64); CacheOutcome::ALL.len()]>,
    /// What became of copies, where the route has a mirror.
    pub copies: Option<[(CopyOutcome, u64); CopyOutcome::ALL.len()]>,
}
