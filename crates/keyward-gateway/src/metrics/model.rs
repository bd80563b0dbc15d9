//! What calls of AI models come to.

use super::PerWorker;
use super::counter::Counter;
use super::histogram::{Histogram, HistogramCounts};
use keyward_model::usage::ModelUse;
use std::time::Duration;

/// How an attempt, or a call, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelOutcome {
    /// With an answer.
    Answered,
    /// The request was at fault.
    Refused,
    /// The account has made too many calls, or has nothing left to spend.
    Limited,
    /// The key is not good, or may not do this.
    Unauthorized,
    /// The provider has no such model.
    Unknown,
    /// It did not come in time.
    Late,
    /// The provider failed, or its answer was of no use.
    Failed,
    /// Another target was quicker, or the caller left.
    Cancelled,
}

impl ModelOutcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Answered,
        Self::Refused,
        Self::Limited,
        Self::Unauthorized,
        Self::Unknown,
        Self::Late,
        Self::Failed,
        Self::Cancelled,
    ];

    /// As a label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Unauthorized => "unauthorized",
            Self::Unknown => "unknown_model",
            Self::Late => "late",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The kinds of tokens that are told apart.
pub const TOKEN_KINDS: [&str; 5] = [
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
];

const OUTCOMES: usize = ModelOutcome::ALL.len();

/// What all workers count of a model at one of those who answer for it. It outlives reloads.
#[derive(Debug)]
pub(crate) struct ModelMetrics(PerWorker<ModelCounters>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct ModelCounters {
    calls: [Counter; OUTCOMES],
    attempts: [Counter; OUTCOMES],
    hedges: Counter,
    tokens: [Counter; TOKEN_KINDS.len()],
    cost: Counter,
    first_token: Histogram,
}

impl ModelMetrics {
    pub(crate) fn new(workers: usize) -> Self {
        Self(PerWorker::new(workers))
    }

    /// A call has ended here, and this is what it took.
    pub(crate) fn call(&self, worker: usize, outcome: ModelOutcome, used: &ModelUse) {
        let Some(own) = self.0.of(worker) else { return };
        if let Some(counter) = own.calls.get(outcome as usize) {
            counter.add(1);
        }
        let tokens = &used.tokens;
        let kinds = [
            tokens.input,
            tokens.cached_input,
            tokens.cache_write,
            tokens.output,
            tokens.reasoning,
        ];
        for (counter, count) in own.tokens.iter().zip(kinds) {
            counter.add(count);
        }
        own.cost.add(u64::try_from(used.cost.0).unwrap_or_default());
    }

    /// An attempt has ended here.
    pub(crate) fn attempt(&self, worker: usize, outcome: ModelOutcome) {
        let own = self.0.of(worker);
        if let Some(counter) = own.and_then(|own| own.attempts.get(outcome as usize)) {
            counter.add(1);
        }
    }

    /// It was asked beside another that sent no first token.
    pub(crate) fn hedge(&self, worker: usize) {
        if let Some(own) = self.0.of(worker) {
            own.hedges.add(1);
        }
    }

    /// The first token of a stream was there.
    pub(crate) fn first_token(&self, worker: usize, after: Duration) {
        if let Some(own) = self.0.of(worker) {
            own.first_token.count(after);
        }
    }

    /// What was counted; `None` while there was no call.
    pub(crate) fn read(&self) -> Option<ModelCounts> {
        self.0.each().next()?;
        let mut counts = ModelCounts::default();
        for own in self.0.each() {
            let sums = counts.calls.iter_mut().zip(&own.calls);
            let sums = sums.chain(counts.attempts.iter_mut().zip(&own.attempts));
            for (to, from) in sums.chain(counts.tokens.iter_mut().zip(&own.tokens)) {
                *to = to.wrapping_add(from.read());
            }
            counts.hedges += own.hedges.read();
            counts.cost_pico_usd = counts.cost_pico_usd.wrapping_add(own.cost.read());
            counts.first_token.merge(&own.first_token);
        }
        Some(counts)
    }
}

/// What was counted of a model at one of those who answer for it, over all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelCounts {
    /// Calls that ended here, by their place in [`ModelOutcome::ALL`].
    pub calls: [u64; OUTCOMES],
    /// Attempts, by the same.
    pub attempts: [u64; OUTCOMES],
    /// How often it was asked beside another.
    pub hedges: u64,
    /// Tokens of the calls that ended here, by [`TOKEN_KINDS`].
    pub tokens: [u64; TOKEN_KINDS.len()],
    /// What those cost.
    pub cost_pico_usd: u64,
    /// Streams by the time to their first token.
    pub first_token: HistogramCounts,
}
