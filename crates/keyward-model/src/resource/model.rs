//! Models: the names that callers ask for, and which provider's model answers.

use super::{Authorization, Guarded};
use crate::name::Name;
use std::num::NonZeroU32;

/// A name that callers ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Who answers: one of these by weight, and when that fails another. At least one.
    pub targets: Vec<ModelTarget>,
    /// Who answers when none of them does, in order.
    pub fallbacks: Vec<ModelTarget>,
    /// What callers must be besides what the API asks for.
    pub authorization: Authorization,
    /// The most attempts of one call.
    pub attempts: NonZeroU32,
    /// What holds for its calls, beside what their API says.
    pub guarded: Guarded,
}

/// A provider's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelTarget {
    /// The provider, of the same team.
    pub provider: Name,
    /// What it calls the model.
    pub model: Box<str>,
    /// Its share of the calls.
    pub weight: NonZeroU32,
}

impl Model {
    /// All who may answer.
    pub fn all(&self) -> impl Iterator<Item = &ModelTarget> {
        self.targets.iter().chain(&self.fallbacks)
    }
}
