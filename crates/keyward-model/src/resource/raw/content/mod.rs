//! Reading the policies that read content, of an API or of a route.

mod cache;
pub(super) mod document;
mod idempotency;
mod transformation;
mod validation;

use super::field::Fields;
use super::problem::Problems;
use crate::resource::Authentication;
use crate::resource::content::ContentPolicies;

/// Reads what is said; what is not said is as `inherited` has it. `authentication` is how callers prove who they are,
/// where that could be read.
pub(super) fn read(
    fields: &Fields<'_>,
    inherited: &ContentPolicies,
    authentication: Option<&Authentication>,
    problems: &mut Problems,
) -> Option<ContentPolicies> {
    let cache = match fields.optional("cache") {
        Some(field) => cache::read(field, problems),
        None => Some(inherited.cache.clone()),
    };
    let validation = match fields.optional("validation") {
        Some(field) => validation::read(field, problems),
        None => Some(inherited.validation.clone()),
    };
    let transformation = match fields.optional("transformation") {
        Some(field) => transformation::read(field, problems),
        None => Some(inherited.transformation.clone()),
    };
    let idempotency = match fields.optional("idempotency") {
        Some(field) => idempotency::read(field, authentication, problems),
        None => Some(inherited.idempotency.clone()),
    };
    Some(ContentPolicies {
        cache: cache?,
        validation: validation?,
        transformation: transformation?,
        idempotency: idempotency?,
    })
}
