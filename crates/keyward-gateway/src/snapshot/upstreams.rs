//! The upstreams that a configuration names, prepared, and what is known of their targets.

use super::CompileError;
use crate::ai::{MachineEnvironment, ProviderPlan, WayOut};
use crate::issuer::IssuersContext;
use crate::upstream::{UpstreamGuard, UpstreamPlan, UpstreamState};
use hashbrown::HashMap;
use keyward_model::Clock;
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::{Kind, Resource, Spec};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

type UpstreamKey = (TeamId, Kind, Name);

/// The upstreams of one configuration.
#[derive(Debug, Default)]
pub(super) struct UpstreamPlans {
    plans: BTreeMap<UpstreamKey, Arc<UpstreamPlan>>,
    /// Those of providers, with what else is said of them.
    pub(super) providers: BTreeMap<(TeamId, Name), Arc<ProviderPlan>>,
}

/// The upstreams that are served, and what outlives them.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    pub(super) guard: Arc<UpstreamGuard>,
    /// What this machine has of its own.
    pub(super) machine: Arc<MachineEnvironment>,
    plans: UpstreamPlans,
    states: HashMap<UpstreamKey, UpstreamState>,
}

impl UpstreamPlans {
    pub(super) fn by_name(&self) -> HashMap<(TeamId, &Name), Arc<UpstreamPlan>> {
        let plans = self.plans.iter();
        let upstreams = plans.filter(|((_, kind, _), _)| *kind == Kind::Upstream);
        upstreams
            .map(|((team, _, name), plan)| ((*team, name), Arc::clone(plan)))
            .collect()
    }
}

impl Upstreams {
    /// Prepares those of a configuration: as before, those that are the same.
    pub(super) fn prepare(
        &mut self,
        resources: &[Arc<Resource>],
        clock: &Arc<dyn Clock>,
        context: &IssuersContext,
    ) -> Result<UpstreamPlans, CompileError> {
        let mut prepared = UpstreamPlans::default();
        let way_out = OnceCell::new();
        let way_out = || way_out.get_or_init(|| WayOut::new(context, &self.machine));
        for resource in resources {
            let kind = resource.spec.kind();
            let key = (resource.team, kind, resource.name.clone());
            let failed = |why| {
                let name = resource.name.to_string();
                if kind == Kind::Provider {
                    CompileError::Provider {
                        provider: name,
                        why,
                    }
                } else {
                    CompileError::Upstream {
                        upstream: name,
                        why,
                    }
                }
            };
            let (declared, provider) = match &resource.spec {
                Spec::Upstream(declared) => (Cow::Borrowed(&**declared), None),
                Spec::Provider(provider) => {
                    let upstream = ProviderPlan::upstream(provider).map_err(failed)?;
                    (Cow::Owned(upstream), Some(provider))
                }
                Spec::Issuer(_)
                | Spec::Api(_)
                | Spec::Credential(_)
                | Spec::Role(_)
                | Spec::AccessPolicy(_)
                | Spec::KeySet(_)
                | Spec::Webhook(_)
                | Spec::ManagementRole(_)
                | Spec::Model(_)
                | Spec::Prompt(_) => continue,
            };
            let state = self.states.entry(key.clone()).or_default();
            let before = self.plans.plans.get(&key);
            let plan = UpstreamPlan::new(resource, &declared, state, &self.guard, clock, before);
            let plan = plan.map_err(failed)?;
            if let Some(provider) = provider {
                let key = (resource.team, resource.name.clone());
                let before = self.plans.providers.get(&key);
                let plan = ProviderPlan::new(resource, provider, &plan, before, way_out());
                let plan = plan.map_err(failed)?;
                prepared.providers.insert(key, plan);
            }
            prepared.plans.insert(key, plan);
        }
        Ok(prepared)
    }

    /// These are served from now on.
    pub(super) fn serve(&mut self, plans: UpstreamPlans) {
        for (key, plan) in &plans.plans {
            if !self
                .plans
                .plans
                .get(key)
                .is_some_and(|before| Arc::ptr_eq(before, plan))
            {
                plan.take_effect();
            }
        }
        self.plans = plans;
    }

    /// Credentials that have to be fetched are fetched from now on.
    pub(super) fn begin_providers(&self) {
        for plan in self.plans.providers.values() {
            plan.begin();
        }
    }

    pub(super) fn served_providers(&self) -> impl Iterator<Item = &Arc<ProviderPlan>> {
        self.plans.providers.values()
    }

    pub(super) fn served(&self) -> impl Iterator<Item = &Arc<UpstreamPlan>> {
        self.plans.plans.values()
    }

    /// Drops what is known of targets that nobody calls any more.
    pub(super) fn forget_unused(&mut self) {
        for state in self.states.values_mut() {
            state.forget_unused();
        }
        let plans = &self.plans.plans;
        self.states
            .retain(|key, state| plans.contains_key(key) || !state.is_empty());
    }
}
