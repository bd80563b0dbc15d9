//! A call at a target, and what it tells about it.

use super::breaker::Passage;
use super::plan::UpstreamPlan;
use super::pool::Pool;
use super::state::TargetState;
use crate::snapshot::LocalRoute;
use keyward_model::Moment;
use std::rc::Rc;
use std::sync::Arc;

/// Counts as a call under way at one of a route's targets as long as it lives, and tells the target's
/// state what became of it.
#[derive(Debug)]
pub(crate) struct Occupied {
    route: Rc<LocalRoute>,
    target: usize,
    begun: Moment,
    passage: Option<Passage>,
    has_failed: bool,
}

impl Occupied {
    /// `None` where the target's breaker lets nobody through, or there is no such target.
    pub(crate) fn enter(route: &Rc<LocalRoute>, target: usize, now: Moment) -> Option<Self> {
        let plan = route.route.upstream.as_ref()?;
        let state = plan.state(target)?;
        let passage = match &plan.declared.breaker {
            Some(_) => Some(state.breaker.enter(now)?),
            None => None,
        };
        state.call_begins();
        Some(Self {
            route: Rc::clone(route),
            target,
            begun: now,
            passage,
            has_failed: false,
        })
    }

    pub(crate) fn target(&self) -> usize {
        self.target
    }

    pub(crate) fn pool(&self) -> Option<&Rc<Pool>> {
        self.route.pools.get(self.target)
    }

    fn known(&self) -> Option<(&UpstreamPlan, &Arc<TargetState>)> {
        let plan = self.route.route.upstream.as_ref()?;
        Some((plan, plan.state(self.target)?))
    }

    /// An answer's head has come.
    pub(crate) fn answered(&mut self, status: u16, now: Moment) {
        let Some((plan, state)) = self.known() else {
            return;
        };
        if plan.watches_latency() {
            state.latency.took(now.since(self.begun), now);
        }
        let bad = |ejection: &keyward_model::resource::upstream::Ejection| {
            ejection.statuses.contains(&status)
        };
        let failed = match &plan.declared.ejection {
            Some(ejection) => bad(ejection),
            None => matches!(status, 502..=504),
        };
        if failed {
            self.failed(now);
        } else if let (Some(breaker), Some(passage)) = (&plan.declared.breaker, self.passage) {
            state.breaker.succeeded(passage, now, breaker);
            self.passage = Some(Passage::Closed);
        }
    }

    /// The answer has come to its end.
    pub(crate) fn ended(&self, now: Moment) {
        if !self.has_failed
            && let Some((plan, state)) = self.known()
            && let Some(ejection) = &plan.ejection
        {
            state.ejection.succeeded(now, ejection);
        }
    }

    /// The target has failed: no connection, none that lasted, no answer in time, or one that says so.
    pub(crate) fn failed(&mut self, now: Moment) {
        let passage = self.passage.take();
        self.has_failed = true;
        let Some((plan, state)) = self.known() else {
            return;
        };
        if plan.watches_latency() {
            // What fails fast is not fast.
            let known = std::time::Duration::from_nanos(state.latency.nanos(now));
            let time = now.since(self.begun).max(known.saturating_mul(2));
            state
                .latency
                .took(time.min(plan.declared.response_timeout), now);
        }
        let url = || {
            plan.targets
                .get(self.target)
                .map(|target| target.target.url())
        };
        if let Some(ejection) = &plan.ejection
            && state.ejection.failed(now, ejection)
        {
            tracing::warn!(upstream = %plan.name, target = ?url(), "a target has failed too often in a row and is left out for a while");
        }
        if let (Some(breaker), Some(passage)) = (&plan.declared.breaker, passage)
            && state.breaker.failed(passage, now, breaker)
        {
            tracing::warn!(upstream = %plan.name, target = ?url(), "the breaker of a target is open");
        }
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        if let Some((_, state)) = self.known() {
            state.call_ends();
            if let Some(passage) = self.passage {
                state.breaker.abandoned(passage);
            }
        }
    }
}
