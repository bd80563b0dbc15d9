//! Counters, per worker, merged when they are read: no worker writes where another does.

use keyward_model::UsageRecord;
use keyward_model::usage::RouteLabels;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency histogram's buckets, in microseconds; what is longer falls in the last,
/// unbounded one.
pub const LATENCY_BOUNDS_US: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];
const BUCKETS: usize = LATENCY_BOUNDS_US.len() + 1;
/// Status classes: none (the client left), 1xx to 5xx.
const CLASSES: usize = 6;

/// A counter with one writer: read and written back without a locked instruction.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, count: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(count),
            Ordering::Relaxed,
        );
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker counts over all routes.
#[derive(Debug, Default)]
pub(crate) struct WorkerMetrics {
    opened: Counter,
    closed: Counter,
    unrouted: Counter,
    token_hits: Counter,
    token_misses: Counter,
    shed: Counter,
}

impl WorkerMetrics {
    pub(crate) fn connection_opened(&self) {
        self.opened.add(1);
    }

    pub(crate) fn connection_closed(&self) {
        self.closed.add(1);
    }

    pub(crate) fn token_hit(&self) {
        self.token_hits.add(1);
    }

    pub(crate) fn token_miss(&self) {
        self.token_misses.add(1);
    }

    pub(crate) fn call_shed(&self) {
        self.shed.add(1);
    }

    pub(crate) fn count(&self, usage: &UsageRecord) {
        if usage.route.is_none() {
            self.unrouted.add(1);
        }
    }

    /// What it has counted.
    pub(crate) fn read(&self) -> WorkerCounts {
        WorkerCounts {
            connections_opened: self.opened.read(),
            connections_closed: self.closed.read(),
            unrouted: self.unrouted.read(),
            token_cache_hits: self.token_hits.read(),
            token_cache_misses: self.token_misses.read(),
            shed: self.shed.read(),
        }
    }
}

/// What one worker has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// Connections accepted.
    pub connections_opened: u64,
    /// Of these, closed.
    pub connections_closed: u64,
    /// Requests that no route took, or that could not be read.
    pub unrouted: u64,
    /// Tokens found among those verified before.
    pub token_cache_hits: u64,
    /// Tokens that were verified.
    pub token_cache_misses: u64,
    /// Calls that were refused because the worker had too much to do.
    pub shed: u64,
}

/// What all workers count for one route. It outlives reloads.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    workers: Box<[RouteCounters]>,
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
    latency: [Counter; BUCKETS],
    latency_sum_us: Counter,
    upstream_us: Counter,
    copies: [Counter; CopyOutcome::ALL.len()],
}

/// What became of a copy of a call for a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyOutcome {
    /// The mirror answered, whatever it was.
    Answered,
    /// It did not, or not in time.
    Failed,
    /// As many copies were under way as may be.
    Dropped,
    /// The call's body is larger than what is copied.
    TooLarge,
    /// The call's body did not come to its end.
    Unfinished,
}

impl CopyOutcome {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Answered,
        Self::Failed,
        Self::Dropped,
        Self::TooLarge,
        Self::Unfinished,
    ];

    /// As written in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::TooLarge => "too_large",
            Self::Unfinished => "unfinished",
        }
    }
}

impl RouteMetrics {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| RouteCounters::default()).collect(),
            mirrors: AtomicBool::new(false),
        }
    }

    /// The route has a mirror: what becomes of copies is told from now on.
    pub(crate) fn mirrors(&self) {
        self.mirrors.store(true, Ordering::Relaxed);
    }

    /// Counts what became of a copy.
    pub(crate) fn count_copy(&self, worker: usize, outcome: CopyOutcome) {
        let counters = self.workers.get(worker);
        if let Some(counter) = counters.and_then(|counters| counters.copies.get(outcome as usize)) {
            counter.add(1);
        }
    }

    pub(crate) fn count(&self, worker: usize, usage: &UsageRecord) {
        let Some(counters) = self.workers.get(worker) else {
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
        let total = micros(usage.times.total);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < total);
        if let Some(bucket) = counters.latency.get(bucket) {
            bucket.add(1);
        }
        counters.latency_sum_us.add(total);
        counters.upstream_us.add(micros(usage.times.upstream));
    }

    pub(crate) fn read(&self, labels: Arc<RouteLabels>) -> RouteCounts {
        let sum = |of: &dyn Fn(&RouteCounters) -> u64| self.workers.iter().map(of).sum();
        RouteCounts {
            labels,
            classes: std::array::from_fn(|class| {
                sum(&|counters| counters.classes.get(class).map_or(0, Counter::read))
            }),
            limited: sum(&|counters| counters.limited.read()),
            bytes_in: sum(&|counters| counters.bytes_in.read()),
            bytes_out: sum(&|counters| counters.bytes_out.read()),
            latency: std::array::from_fn(|bucket| {
                sum(&|counters| counters.latency.get(bucket).map_or(0, Counter::read))
            }),
            latency_sum_us: sum(&|counters| counters.latency_sum_us.read()),
            upstream_us: sum(&|counters| counters.upstream_us.read()),
            copies: self.mirrors.load(Ordering::Relaxed).then(|| {
                CopyOutcome::ALL.map(|outcome| {
                    let of = |counters: &RouteCounters| {
                        let counter = counters.copies.get(outcome as usize);
                        counter.map_or(0, Counter::read)
                    };
                    (outcome, sum(&of))
                })
            }),
        }
    }
}

/// What was counted for one route, over all workers.
#[derive(Clone, Debug)]
pub struct RouteCounts {
    /// Which one.
    pub labels: Arc<RouteLabels>,
    /// Calls by the first digit of their status; at 0 those whose client left before there was one.
    pub classes: [u64; CLASSES],
    /// Calls that a limit refused.
    pub limited: u64,
    /// Body bytes read from clients.
    pub bytes_in: u64,
    /// Body bytes written to clients.
    pub bytes_out: u64,
    /// Calls by duration: one bucket for each bound of [`LATENCY_BOUNDS_US`], and one for the rest.
    pub latency: [u64; BUCKETS],
    /// The sum of all durations, in microseconds.
    pub latency_sum_us: u64,
    /// The sum of the time that upstreams took, in microseconds.
    pub upstream_us: u64,
    /// What became of copies, where the route has a mirror.
    pub copies: Option<[(CopyOutcome, u64); CopyOutcome::ALL.len()]>,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
