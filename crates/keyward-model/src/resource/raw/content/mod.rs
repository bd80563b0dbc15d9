//! Reading the policies that read content, of an API or of a route.

mod cache;

use super::field::Fields;
use super::problem::Problems;
use crate::resource::content::ContentPolicies;

/// Reads what is said; what is not said is as `inherited` has it.
pub(super) fn read(
    fields: &Fields<'_>,
    inherited: &ContentPolicies,
    problems: &mut Problems,
) -> Option<ContentPolicies> {
    let cache = match fields.optional("cache") {
        Some(field) => cache::read(field, problems),
        None => Some(inherited.cache.clone()),
    };
    Some(ContentPolicies { cache: cache? })
}
