//! Which guardrails have fired.

use keyward_model::Name;
use keyward_model::usage::RouteLabels;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// More are not told apart: each is a line that is scraped. What is over it counts under the name `other`.
const GUARDRAILS_MAX: usize = 2_000;
/// No guardrail has this name by itself: names are of the team's choosing, and this one says that it is several.
const OTHER: &str = "other";

/// What has fired, and what it did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuardrailLabels {
    /// The team that owns the API.
    pub team: Name,
    /// The API.
    pub api: Name,
    /// The guardrail.
    pub guardrail: Box<str>,
    /// `block`, `mask` or `flag`.
    pub action: &'static str,
}

/// How often. Most calls make none fire, and those that do pay for a lock once they are over.
#[derive(Debug, Default)]
pub(crate) struct GuardrailCounters(Mutex<BTreeMap<GuardrailLabels, u64>>);

impl GuardrailCounters {
    pub(crate) fn count(&self, route: &RouteLabels, guardrail: &str, action: &'static str) {
        let mut labels = GuardrailLabels {
            team: route.team_name.clone(),
            api: route.api.clone(),
            guardrail: guardrail.into(),
            action,
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= GUARDRAILS_MAX && !counts.contains_key(&labels) {
            labels.guardrail = OTHER.into();
        }
        *counts.entry(labels).or_default() += 1;
    }

    pub(crate) fn read(&self) -> Vec<(GuardrailLabels, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.iter();
        counts
            .map(|(labels, count)| (labels.clone(), *count))
            .collect()
    }
}
