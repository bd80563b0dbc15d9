//! Policies that read what calls carry: answers kept for other calls, bodies held against a schema, bodies
//! changed on their way, calls that are not done twice.

pub mod cache;
pub mod idempotency;
pub mod transformation;
pub mod validation;

pub use cache::{Cache, SetCookie};
pub use idempotency::{AnonymousKeys, Idempotency};
pub use transformation::{Change, Transformation};
pub use validation::{AnswerValidation, Description, Validation};

use std::sync::Arc;

/// What an API, or one of its routes, does with the content of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentPolicies {
    /// Which answers are kept for other calls; `None`: none.
    pub cache: Option<Arc<Cache>>,
    /// What requests are held against; `None`: nothing.
    pub validation: Option<Arc<Validation>>,
    /// What is made anew of requests and answers; `None`: nothing.
    pub transformation: Option<Arc<Transformation>>,
    /// By which keys calls may be sent again without being done twice; `None`: by none.
    pub idempotency: Option<Arc<Idempotency>>,
}

impl ContentPolicies {
    /// Whether it does nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            cache,
            validation,
            transformation,
            idempotency,
        } = self;
        cache.is_none() && validation.is_none() && transformation.is_none() && idempotency.is_none()
    }

    /// What a route has of it: nothing where that would be empty, or where the route answers by itself.
    #[must_use]
    pub fn for_route(self, forwards: bool) -> Option<Self> {
        (forwards && !self.is_empty()).then_some(self)
    }
}
