//! How a provider and its models do: how soon they answer, how many calls they have, whether they fail. All workers
//! share it, and it is kept over reloads.

use crate::metrics::ModelMetrics;
use crate::upstream::Latency;
use keyward_model::Moment;
use keyward_model::resource::provider::ProviderEjection;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// So long a call has for finding out whether one that was out is well again; then another one may.
const TRIAL: Duration = Duration::from_secs(60);
/// The time out doubles no more often than this; its longest is reached before.
const DOUBLINGS_MAX: u32 = 16;

/// One model of a provider.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct TargetState {
    pub(super) in_flight: AtomicU32,
    /// To the first token of a stream.
    pub(super) first_token: Latency,
    /// To the end of an answer that is not streamed.
    pub(super) whole: Latency,
    pub(super) outage: Outage,
}

/// Whether something fails so that it is asked last for a while.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// In a row.
    failures: AtomicU32,
    /// Nanoseconds; 0: it is well.
    until: AtomicU64,
    /// Until when a call tries whether it is well again; 0: none does.
    trial: AtomicU64,
    /// How often in a row: the next is the longer for it.
    times: AtomicU32,
    /// When it came back.
    back: AtomicU64,
    total: AtomicU64,
}

/// What callers call a model, and what the provider does.
type Names = (Box<str>, Box<str>);

/// What is known of a provider.
#[derive(Debug, Default)]
pub(crate) struct ProviderState {
    pub(super) outage: Outage,
    /// By what the provider calls them. Looked into when a configuration is compiled, and by no call.
    targets: Mutex<HashMap<Box<str>, Arc<TargetState>>>,
    metrics: Mutex<HashMap<Names, Arc<ModelMetrics>>>,
}

impl ProviderState {
    pub(crate) fn target(&self, model: &str) -> Arc<TargetState> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(targets.entry(model.into()).or_default())
    }

    pub(crate) fn metrics(&self, asked: &str, served: &str, workers: usize) -> Arc<ModelMetrics> {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = metrics.entry((asked.into(), served.into()));
        Arc::clone(entry.or_insert_with(|| Arc::new(ModelMetrics::new(workers))))
    }

    /// Drops what is known of models that neither a configuration nor a call holds.
    pub(crate) fn forget_unused(&self) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|_, state| Arc::strong_count(state) > 1);
        drop(targets);
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.retain(|_, counts| Arc::strong_count(counts) > 1);
    }

    /// Each model, in the order of their names.
    pub(super) fn targets(&self) -> Vec<(Box<str>, Arc<TargetState>)> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = targets
            .iter()
            .map(|(name, state)| (name.clone(), Arc::clone(state)))
            .collect();
        all.sort_by(|(one, _), (two, _)| one.cmp(two));
        all
    }

    /// What was counted of each model, in the order of their names.
    pub(super) fn counts(&self) -> Vec<(Names, Arc<ModelMetrics>)> {
        let metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = metrics
            .iter()
            .map(|(names, counts)| (names.clone(), Arc::clone(counts)))
            .collect();
        all.sort_by(|(one, _), (two, _)| one.cmp(two));
        all
    }
}

impl TargetState {
    /// How long an answer takes to begin, where it is streamed, or to end; 0 while nothing is known.
    pub(super) fn nanos(&self, streamed: bool, now: Moment) -> u64 {
        let (first, second) = if streamed {
            (&self.first_token, &self.whole)
        } else {
            (&self.whole, &self.first_token)
        };
        match first.nanos(now) {
            0 => second.nanos(now),
            nanos => nanos,
        }
    }
}

impl Outage {
    /// Whether it is asked last: it has failed, and either its time is not over or another call tries it already.
    pub(crate) fn is_out(&self, now: Moment) -> bool {
        let now = now.as_nanos();
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && (now < until || now < self.trial.load(Ordering::Relaxed))
    }

    /// Lets a call ask it before others. `false` where it was out, and another call was quicker to try it.
    pub(super) fn enter(&self, now: Moment) -> bool {
        if self.until.load(Ordering::Relaxed) == 0 {
            return true;
        }
        if self.is_out(now) {
            return false;
        }
        let before = self.trial.load(Ordering::Relaxed);
        let end = now.plus(TRIAL).as_nanos();
        before <= now.as_nanos()
            && self
                .trial
                .compare_exchange(before, end, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// How often it was out since the process was started.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// It has failed.
    pub(super) fn failed(&self, now: Moment, policy: &ProviderEjection) {
        let until = self.until.load(Ordering::Relaxed);
        if now.as_nanos() < until {
            // Calls that were under way when it went out tell nothing new.
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        // Of one that was out, the first failure is enough.
        if until == 0 && failures.saturating_add(1) < policy.failures.get() {
            return;
        }
        let mut times = self.times.load(Ordering::Relaxed);
        let back = Moment::from_nanos(self.back.load(Ordering::Relaxed));
        if until == 0 && times > 0 && now >= back.plus(time_out(policy, times - 1)) {
            // It was well for as long as it was out last.
            times = 0;
        }
        let end = now.plus(time_out(policy, times)).as_nanos();
        let taken = self
            .until
            .compare_exchange(until, end, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if taken {
            self.failures.store(0, Ordering::Relaxed);
            self.trial.store(0, Ordering::Relaxed);
            self.times.store(times.saturating_add(1), Ordering::Relaxed);
            self.total.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It has answered.
    pub(super) fn succeeded(&self, now: Moment) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.until.load(Ordering::Relaxed) != 0 {
            self.until.store(0, Ordering::Relaxed);
            self.trial.store(0, Ordering::Relaxed);
            self.back.store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    /// Nobody will know what came of a call, which may have been the one that tried: another may.
    pub(super) fn abandoned(&self) {
        if self.trial.load(Ordering::Relaxed) != 0 {
            self.trial.store(0, Ordering::Relaxed);
        }
    }
}

fn time_out(policy: &ProviderEjection, times: u32) -> Duration {
    let doubled = policy.time.saturating_mul(1 << times.min(DOUBLINGS_MAX));
    doubled.min(policy.max_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn policy() -> ProviderEjection {
        ProviderEjection {
            failures: NonZeroU32::new(3).unwrap(),
            time: Duration::from_secs(10),
            max_time: Duration::from_secs(25),
        }
    }

    #[test]
    fn failures_in_a_row_take_it_out_and_one_call_tries_it_again() {
        let (outage, policy) = (Outage::default(), policy());
        outage.failed(at(100), &policy);
        outage.failed(at(100), &policy);
        outage.succeeded(at(100));
        outage.failed(at(100), &policy);
        outage.failed(at(100), &policy);
        assert!(!outage.is_out(at(100)) && outage.enter(at(100)));
        outage.failed(at(100), &policy);
        assert!(outage.is_out(at(109)) && !outage.enter(at(109)));
        // Its time is over: one call tries it, and it is out for all others.
        assert!(!outage.is_out(at(110)));
        assert!(outage.enter(at(110)));
        assert!(outage.is_out(at(111)) && !outage.enter(at(111)));
        // It fails again, at once and for longer.
        outage.failed(at(112), &policy);
        assert!(outage.is_out(at(131)));
        assert!(outage.enter(at(132)));
        // Who tried it left: another may.
        outage.abandoned();
        assert!(outage.enter(at(133)));
        outage.succeeded(at(134));
        assert!(!outage.is_out(at(134)) && outage.enter(at(134)));
        assert_eq!(outage.total(), 2);
        // It fails soon after: no sooner trusted than before. The longest time is not passed.
        for _ in 0..3 {
            outage.failed(at(135), &policy);
        }
        assert!(outage.is_out(at(159)) && !outage.is_out(at(160)));
        // It was well for long: it begins anew.
        outage.succeeded(at(160));
        for _ in 0..3 {
            outage.failed(at(300), &policy);
        }
        assert!(outage.is_out(at(309)) && !outage.is_out(at(310)));
    }

    #[test]
    fn who_does_not_end_their_trial_keeps_nobody_else_from_it() {
        let (outage, policy) = (Outage::default(), policy());
        for _ in 0..3 {
            outage.failed(at(100), &policy);
        }
        assert!(outage.enter(at(110)));
        assert!(!outage.enter(at(169)));
        assert!(outage.enter(at(170)));
    }
}
