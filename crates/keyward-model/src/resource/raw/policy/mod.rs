//! Reading the policies of an API or of a route.

mod cors;
mod external_decision;
mod ip_filter;
mod security_headers;
mod size_limits;

#[cfg(test)]
mod tests;

pub(super) use external_decision::{question_path, question_timeout};

use super::field::{Field, Fields};
use super::problem::Problems;
use crate::resource::policy::Policies;

/// The policies of an API or a route, as their `fields` say; where they say nothing, those of `inherited` hold.
pub(super) fn read(
    fields: &Fields<'_>,
    inherited: &Policies,
    problems: &mut Problems,
) -> Option<Policies> {
    let size_limits = match fields.optional("size_limits") {
        Some(field) => size_limits::read(field, problems),
        None => Some(inherited.size_limits),
    };
    let ip_filter = match fields.optional("ip_filter") {
        Some(field) => ip_filter::read(field, problems),
        None => Some(inherited.ip_filter.clone()),
    };
    let cors = match fields.optional("cors") {
        Some(field) => cors::read(field, problems),
        None => Some(inherited.cors.clone()),
    };
    let security_headers = match fields.optional("security_headers") {
        Some(field) => security_headers::read(field, problems),
        None => Some(inherited.security_headers.clone()),
    };
    let external_decision = match fields.optional("external_decision") {
        Some(field) => external_decision::read(field, problems),
        None => Some(inherited.external_decision.clone()),
    };
    Some(Policies {
        size_limits: size_limits?,
        ip_filter: ip_filter?,
        cors: cors?,
        security_headers: security_headers?,
        external_decision: external_decision?,
    })
}

/// Whether the policy is said to be off: where a route goes without its API's.
fn is_off(field: Field<'_>) -> bool {
    field.as_boolean() == Some(false) || field.as_text() == Some("none")
}

/// Whether a list is longer than it may be; then that is told.
pub(super) fn too_many(
    field: Field<'_>,
    count: usize,
    most: usize,
    problems: &mut Problems,
) -> bool {
    if count > most {
        problems.error(
            field.place(),
            "too_many",
            format!("`{}` has {count} entries: {most} are the most", field.key()),
        );
    }
    count > most
}
