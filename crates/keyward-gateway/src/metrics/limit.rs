//! What a limit has refused.

use super::PerWorker;
use super::counter::Counter;
use keyward_model::limit::Unit;
use keyward_model::name::Name;

/// What all workers count for one limit of an API version. It outlives reloads.
#[derive(Debug)]
pub(crate) struct LimitMetrics(PerWorker<Refused>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Refused {
    calls: Counter,
    /// Of a limit in tokens or money, what calls took that have ended.
    spent: Counter,
}

impl LimitMetrics {
    pub(crate) fn new(workers: usize) -> Self {
        Self(PerWorker::new(workers))
    }

    /// The limit has refused a call of this worker's.
    pub(crate) fn refused(&self, worker: usize) {
        if let Some(own) = self.0.of(worker) {
            own.calls.add(1);
        }
    }

    /// A call of this worker's has taken so much.
    pub(crate) fn spent(&self, worker: usize, amount: u64) {
        if let Some(own) = self.0.of(worker) {
            own.spent.add(amount);
        }
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.each().map(|own| own.calls.read()).sum()
    }

    pub(crate) fn read_spent(&self) -> u64 {
        self.0.each().map(|own| own.spent.read()).sum()
    }
}

/// What a limit has refused, over all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitCounts {
    /// The team that owns the API.
    pub team: Name,
    /// The API.
    pub api: Name,
    /// Its version.
    pub version: Name,
    /// The route, of a limit that a route has for itself; `model NAME`, of one that a model has.
    pub route: Option<Box<str>>,
    /// The limit's name within it.
    pub limit: Name,
    /// Calls refused.
    pub refused: u64,
    /// Of a limit in tokens or money, what calls took that have ended.
    pub spent: Option<(Unit, u64)>,
}
