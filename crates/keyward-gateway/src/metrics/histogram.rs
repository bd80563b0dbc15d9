//! How long things took.

use super::counter::Counter;
use std::time::Duration;

/// Upper bounds of the buckets in microseconds, three to a decade; what is longer falls in a last one without
/// a bound. They begin where a fast upstream on the same network does, and end where patience does.
pub const LATENCY_BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000, 30_000_000,
];
const BUCKETS: usize = LATENCY_BOUNDS_US.len() + 1;

/// Durations that one worker has seen.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_us: Counter,
}

impl Histogram {
    pub(super) fn count(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.add(1);
        }
        self.sum_us.add(micros);
    }
}

/// Durations by how long they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramCounts {
    /// One bucket for each bound of [`LATENCY_BOUNDS_US`], and one for what is longer.
    pub buckets: [u64; BUCKETS],
    /// The sum of all, in microseconds.
    pub sum_us: u64,
}

impl HistogramCounts {
    pub(super) fn merge(&mut self, histogram: &Histogram) {
        for (to, from) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *to += from.read();
        }
        self.sum_us = self.sum_us.wrapping_add(histogram.sum_us.read());
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}
