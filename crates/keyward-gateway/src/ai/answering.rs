//! A provider's answer, made into the caller's.

use super::plan::ModelPlan;
use crate::snapshot::LocalRoute;
use keyward_llm::form::Usage;
use keyward_llm::task::Units;
use keyward_model::Name;
use keyward_model::usage::{ModelUse, PicoUsd, UnitCounts};
use std::sync::Arc;

/// What stands in the record of a call that a provider answered.
pub(super) struct Account {
    pub(super) model: Arc<ModelPlan>,
    /// The place of its target.
    pub(super) target: usize,
    pub(super) provider: Name,
    /// Whether the caller pays the provider themselves.
    pub(super) own_key: bool,
}

impl Account {
    pub(super) fn used(&self, usage: Option<Usage>) -> ModelUse {
        self.took(usage, Units::default())
    }

    /// The same where something else than tokens is counted too.
    pub(super) fn took(&self, usage: Option<Usage>, units: Units) -> ModelUse {
        // What is not counted in tokens costs something that is not known.
        let untold = usage.is_none() && units != Units::default();
        let usage = usage.unwrap_or_default();
        let target = self.model.targets.get(self.target);
        let price = target.and_then(|target| target.price.as_ref());
        let price = price.filter(|_| !untold && !self.own_key);
        let cost = price.and_then(|price| price.cost(&usage, Default::default()));
        let revision = target.map(|target| target.price_revision);
        ModelUse {
            asked: self.model.name.clone(),
            served: target.map_or_else(Box::default, |target| target.asked.model.as_str().into()),
            provider: self.provider.clone(),
            tokens: usage.into(),
            units: UnitCounts {
                images: units.images,
                characters: units.characters,
                audio_ms: units.audio_ms,
                searches: units.searches,
            },
            cost: cost.unwrap_or(PicoUsd(0)),
            // 0 says that no price is known: that is not the same as free.
            price_revision: cost.and(revision).unwrap_or_default(),
        }
    }
}

/// The way to a provider, where this worker has one.
pub(super) fn way_to(route: &LocalRoute, provider: usize) -> Option<&crate::snapshot::RouteRef> {
    route.providers.get(provider)
}
