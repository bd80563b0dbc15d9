//! Answers of models, kept for calls that ask the same.
//!
//! It stands within the guardrails: what is kept is what the model answered to what it was asked, with marks in place of
//! what was masked, and every caller's answer is looked at as their own. Each model of each API keeps its own, and begins
//! with nothing when anything is configured anew.

mod asking;
mod entry;
mod key;
mod semantic;
mod store;

#[cfg(test)]
mod tests;

pub(super) use asking::{Cached, ask};
pub(super) use key::CacheWish;

use aws_lc_rs::hmac;
use keyward_model::resource::guardrail::AnswerCache;
use semantic::Vectors;
use std::sync::Arc;
use store::Store;

/// What all models of a node may keep together.
pub(crate) const KEPT_MAX: usize = 256 << 20;

/// The answers of one model.
pub(crate) struct CachePlan {
    declared: AnswerCache,
    /// Nobody outside can tell which calls have the same key.
    secret: hmac::Key,
    store: Arc<Store>,
    vectors: Option<Vectors>,
}

impl std::fmt::Debug for CachePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachePlan")
            .field("declared", &self.declared)
            .finish_non_exhaustive()
    }
}

impl CachePlan {
    /// Prepares it, with nothing kept.
    pub(crate) fn new(declared: &AnswerCache) -> Result<Arc<Self>, String> {
        let mut secret = zeroize::Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *secret).map_err(|_| "the random generator failed")?;
        Ok(Arc::new(Self {
            secret: hmac::Key::new(hmac::HMAC_SHA256, &*secret),
            store: Arc::new(Store::new(declared.max_bytes)),
            vectors: declared
                .semantic
                .as_ref()
                .map(|semantic| Vectors::new(semantic.entries)),
            declared: declared.clone(),
        }))
    }
}
