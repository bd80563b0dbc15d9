//! Policies that read what calls carry: answers kept for other calls, bodies held against a schema, bodies
//! changed on their way.

pub mod cache;

pub use cache::{Cache, SetCookie};

use std::sync::Arc;

/// What an API, or one of its routes, does with the content of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentPolicies {
    /// Which answers are kept for other calls; `None`: none.
    pub cache: Option<Arc<Cache>>,
}

impl ContentPolicies {
    /// Whether it does nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { cache } = self;
        cache.is_none()
    }

    /// What a route has of it: nothing where that would be empty, or where the route answers by itself.
    #[must_use]
    pub fn for_route(self, forwards: bool) -> Option<Self> {
        (forwards && !self.is_empty()).then_some(self)
    }
}
