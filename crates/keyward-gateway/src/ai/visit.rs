//! One call at one of those who answer for a model, as long as it is there.

use super::attempt::Ended;
use super::plan::AiTarget;
use super::standing::{ProviderState, TargetState};
use crate::metrics::{ModelMetrics, ModelOutcome};
use crate::worker::Worker;
use keyward_llm::form::FailureKind;
use keyward_model::Moment;
use keyward_model::resource::provider::ProviderEjection;
use keyward_model::usage::ModelUse;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Counts as a call under way until it is dropped.
pub(super) struct Visit {
    worker: Rc<Worker>,
    state: Arc<TargetState>,
    provider: Arc<ProviderState>,
    metrics: Arc<ModelMetrics>,
    ejection: Option<ProviderEjection>,
    begun: Moment,
    /// Whether it is known how the attempt ended.
    told: Cell<bool>,
    /// Whether it is known how the provider did.
    judged: Cell<bool>,
}

impl Visit {
    pub(super) fn begin(target: &AiTarget, worker: &Rc<Worker>) -> Self {
        target.state.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            worker: Rc::clone(worker),
            state: Arc::clone(&target.state),
            provider: Arc::clone(&target.of_provider),
            metrics: Arc::clone(&target.metrics),
            ejection: target.ejection.clone(),
            begun: worker.moment(),
            told: Cell::new(false),
            judged: Cell::new(false),
        }
    }

    fn tell(&self, outcome: ModelOutcome) {
        if !self.told.replace(true) {
            self.metrics.attempt(self.worker.index, outcome);
        }
    }

    /// The first token of a stream is there. Whether the provider does well is known at its end.
    pub(super) fn streams(&self) {
        let now = self.worker.moment();
        let time = now.since(self.begun);
        self.state.first_token.took(time, now);
        self.metrics.first_token(self.worker.index, time);
        self.tell(ModelOutcome::Answered);
    }

    /// An answer that is not streamed is there.
    pub(super) fn answered(&self) {
        let now = self.worker.moment();
        self.state.whole.took(now.since(self.begun), now);
        self.tell(ModelOutcome::Answered);
        self.did_well();
    }

    /// The answer has been given, or nobody wants any more of it.
    pub(super) fn did_well(&self) {
        if !self.judged.replace(true) {
            let now = self.worker.moment();
            self.state.outage.succeeded(now);
            self.provider.outage.succeeded(now);
        }
    }

    /// There was no answer.
    pub(super) fn ended(&self, ended: &Ended) {
        self.tell(outcome_of(ended.failure.kind));
        if ended.last.is_some() {
            // It was this node that had no use for the answer.
            return;
        }
        let now = self.worker.moment();
        let silent = matches!(ended.failure.kind, FailureKind::Timeout | FailureKind::Cut);
        if ended.unreached {
            if let Some(policy) = &self.ejection {
                self.provider.outage.failed(now, policy);
            }
        } else if silent {
            // Whether it is the provider, or this one model of it, nobody can tell.
            self.provider.outage.abandoned();
        } else {
            // What it says, it says itself: there is a way to it.
            self.provider.outage.succeeded(now);
        }
        self.judge(ended.failure.kind);
    }

    /// Its failure speaks against the provider, or for it, or neither.
    pub(super) fn judge(&self, kind: FailureKind) {
        match kind {
            // It does well to say so.
            FailureKind::InvalidRequest
            | FailureKind::ContextLength
            | FailureKind::Filtered
            | FailureKind::TooLarge
            | FailureKind::OverLimit => self.did_well(),
            // It is the key that is left alone.
            FailureKind::Authentication
            | FailureKind::Permission
            | FailureKind::QuotaExhausted
            | FailureKind::Unpaid
            | FailureKind::RateLimited => {}
            FailureKind::NotFound
            | FailureKind::Overloaded
            | FailureKind::Timeout
            | FailureKind::Server
            | FailureKind::Cut => {
                if !self.judged.replace(true)
                    && let Some(policy) = &self.ejection
                {
                    self.state.outage.failed(self.worker.moment(), policy);
                }
            }
        }
    }

    /// The call has ended here, and this is what it took.
    pub(super) fn count(&self, outcome: ModelOutcome, used: &ModelUse) {
        self.metrics.call(self.worker.index, outcome, used);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.tell(ModelOutcome::Cancelled);
        if !self.judged.get() {
            self.state.outage.abandoned();
            self.provider.outage.abandoned();
        }
    }
}

pub(super) const fn outcome_of(kind: FailureKind) -> ModelOutcome {
    match kind {
        FailureKind::InvalidRequest
        | FailureKind::ContextLength
        | FailureKind::Filtered
        | FailureKind::TooLarge
        | FailureKind::OverLimit => ModelOutcome::Refused,
        FailureKind::Authentication | FailureKind::Permission => ModelOutcome::Unauthorized,
        FailureKind::NotFound => ModelOutcome::Unknown,
        FailureKind::RateLimited | FailureKind::QuotaExhausted | FailureKind::Unpaid => {
            ModelOutcome::Limited
        }
        FailureKind::Timeout => ModelOutcome::Late,
        FailureKind::Overloaded | FailureKind::Server | FailureKind::Cut => ModelOutcome::Failed,
    }
}
