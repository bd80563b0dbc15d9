//! The upstreams that a configuration names, prepared, and what is known of their targets.

use super::CompileError;
use crate::upstream::{UpstreamGuard, UpstreamPlan, UpstreamState};
use hashbrown::HashMap;
use keyward_model::Clock;
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::{Resource, Spec};
use std::collections::BTreeMap;
use std::sync::Arc;

type UpstreamKey = (TeamId, Name);

/// The upstreams of one configuration.
#[derive(Debug, Default)]
pub(super) struct UpstreamPlans(BTreeMap<UpstreamKey, Arc<UpstreamPlan>>);

/// The upstreams that are served, and what outlives them.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    pub(super) guard: Arc<UpstreamGuard>,
    plans: UpstreamPlans,
    states: HashMap<UpstreamKey, UpstreamState>,
}

impl UpstreamPlans {
    pub(super) fn by_name(&self) -> HashMap<(TeamId, &Name), Arc<UpstreamPlan>> {
        let plans = self.0.iter();
        plans
            .map(|((team, name), plan)| ((*team, name), Arc::clone(plan)))
            .collect()
    }
}

impl Upstreams {
    /// Prepares those of a configuration: as before, those that are the same.
    pub(super) fn prepare(
        &mut self,
        resources: &[Arc<Resource>],
        clock: &Arc<dyn Clock>,
    ) -> Result<UpstreamPlans, CompileError> {
        let mut plans = BTreeMap::new();
        for resource in resources {
            let Spec::Upstream(declared) = &resource.spec else {
                continue;
            };
            let key = (resource.team, resource.name.clone());
            let state = self.states.entry(key.clone()).or_default();
            let before = self.plans.0.get(&key);
            let plan = UpstreamPlan::new(resource, declared, state, &self.guard, clock, before);
            let plan = plan.map_err(|why| CompileError::Upstream {
                upstream: resource.name.to_string(),
                why,
            })?;
            plans.insert(key, plan);
        }
        Ok(UpstreamPlans(plans))
    }

    /// These are served from now on.
    pub(super) fn serve(&mut self, plans: UpstreamPlans) {
        for (key, plan) in &plans.0 {
            if !self
                .plans
                .0
                .get(key)
                .is_some_and(|before| Arc::ptr_eq(before, plan))
            {
                plan.take_effect();
            }
        }
        self.plans = plans;
    }

    pub(super) fn served(&self) -> impl Iterator<Item = &Arc<UpstreamPlan>> {
        self.plans.0.values()
    }

    /// Drops what is known of targets that nobody calls any more.
    pub(super) fn forget_unused(&mut self) {
        for state in self.states.values_mut() {
            state.forget_unused();
        }
        let plans = &self.plans.0;
        self.states
            .retain(|key, state| plans.contains_key(key) || !state.is_empty());
    }
}
