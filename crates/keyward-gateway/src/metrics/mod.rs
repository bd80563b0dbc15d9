//! What is counted, per worker, and merged when it is read: no worker writes where another does.

mod api;
mod cache;
mod copy;
mod counter;
mod guardrail;
mod histogram;
mod limit;
mod model;
mod policy;
mod route;
mod worker;

pub use cache::CacheOutcome;
pub use copy::CopyOutcome;
pub use histogram::{HistogramCounts, LATENCY_BOUNDS_US};
pub use limit::LimitCounts;
pub use model::{ModelCounts, ModelOutcome, TOKEN_KINDS};
pub use policy::PolicyEvent;
pub use route::RouteCounts;
pub use worker::{HandshakeCounts, WorkerCounts};

pub use guardrail::GuardrailLabels;

pub(crate) use api::ApiMetrics;
pub(crate) use guardrail::GuardrailCounters;
pub(crate) use limit::LimitMetrics;
pub(crate) use model::ModelMetrics;
pub(crate) use route::RouteMetrics;
pub(crate) use worker::{State, WorkerMetrics};

use std::sync::OnceLock;

/// What each worker counts for itself about one thing. A worker that has nothing to do with the thing has no
/// memory for it: ten thousand routes on sixty-four workers would take a gigabyte.
#[derive(Debug)]
struct PerWorker<T>(Box<[OnceLock<Box<T>>]>);

impl<T: Default> PerWorker<T> {
    fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| OnceLock::new()).collect())
    }

    /// How many workers there are.
    fn workers(&self) -> usize {
        self.0.len()
    }

    /// What this worker counts; `None` if there is no such worker.
    fn of(&self, worker: usize) -> Option<&T> {
        let slot = self.0.get(worker)?;
        Some(slot.get_or_init(Box::default))
    }

    /// What the workers have counted which have anything to tell.
    fn each(&self) -> impl Iterator<Item = &T> {
        self.0
            .iter()
            .filter_map(|slot| slot.get().map(|own| &**own))
    }
}

#[cfg(test)]
pub(crate) mod tests;
