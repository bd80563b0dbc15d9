//! Limits that say more than a node can keep.

use super::NodeConfiguration;
use keyward_model::limit::{Allowance, LimitRule, LimitSubject, Period};
use keyward_model::resource::Spec;
use keyward_model::resource::raw::{Declared, Problems};

/// Tells of quotas whose subjects anyone can make up: each keeps its place on the node until the window is over.
/// Where several nodes count together, those that are told there make room.
pub(super) fn check(
    declared: &Declared,
    configuration: Option<&NodeConfiguration>,
    problems: &mut Problems,
) {
    let Spec::Api(api) = &declared.resource.spec else {
        return;
    };
    if configuration.is_some_and(|configuration| configuration.shared_state.is_some()) {
        return;
    }
    let of_routes = api.routes.iter().flat_map(|route| &route.limits);
    for limit in api.limits.iter().chain(of_routes).filter(|it| is_open(it)) {
        problems.warning(
            declared.place(),
            "open_quota",
            format!(
                "the quota `{}` counts whatever address or header a call comes with: many of them leave no room on this node for other subjects until its window is over; count by `subject` too, or by the minute or hour",
                limit.name
            ),
        );
    }
}

fn is_open(limit: &LimitRule) -> bool {
    let Allowance::Quota(quota) = &limit.allows else {
        return false;
    };
    let long = match quota.per {
        Period::Minute | Period::Hour => false,
        Period::Day | Period::Week | Period::Month => true,
    };
    let made_up = |subject: &LimitSubject| match subject {
        LimitSubject::Address | LimitSubject::Header(_) => true,
        LimitSubject::Subject
        | LimitSubject::Client
        | LimitSubject::Team
        | LimitSubject::Issuer
        | LimitSubject::Key
        | LimitSubject::Claim(_)
        | LimitSubject::Model
        | LimitSubject::Route
        | LimitSubject::Api => false,
    };
    let of_caller = limit.by.iter().any(LimitSubject::is_of_caller);
    long && !of_caller && limit.by.iter().any(made_up)
}
