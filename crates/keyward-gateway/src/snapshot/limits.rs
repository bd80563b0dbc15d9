//! The limits of a route, compiled: in which order, by what, and where a caller's cells are remembered.

use crate::metrics::{ApiMetrics, LimitMetrics};
use http::HeaderValue;
use keyward_model::limit::{Allowance, LimitRule, LimitSubject, OnOutage};
use keyward_model::name::Name;
use keyward_model::resource::{Api, route};
use keyward_state::limit::{Cell, Rule};
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

/// The most cells that are remembered beside a caller; of an API with more limits than this, those behind
/// are looked up at each call, so that a caller's memory does not grow with the number of routes.
const REMEMBERED_MAX: usize = 32;

/// The limits that a call of one route takes from, in this order: rates, quotas and concurrency of the API,
/// then those of the route.
#[derive(Debug, Default)]
pub(crate) struct LimitPlan {
    pub(crate) limits: Box<[LimitPolicy]>,
    /// `RateLimit-Policy`, if there are limits.
    pub(crate) header: Option<HeaderValue>,
    /// Whether one of them is on calls under way.
    pub(crate) holds: bool,
}

/// One limit of a route.
#[derive(Debug)]
pub(crate) struct LimitPolicy {
    pub(crate) name: Name,
    /// `api/version/name`, for a limit of a route's own `api/version/route/name`: names the limit within
    /// its team.
    pub(crate) id: Box<str>,
    pub(crate) by: Box<[LimitSubject]>,
    pub(crate) rule: Rule,
    pub(crate) on_outage: OnOutage,
    pub(crate) cells: CellPlace,
    pub(crate) metrics: Arc<LimitMetrics>,
    /// Whether it is one of the API's, and not of this route alone.
    pub(crate) of_api: bool,
}

/// Where the cell of a call is remembered.
#[derive(Debug)]
pub(crate) enum CellPlace {
    /// With the caller, in this place.
    Caller(usize),
    /// Here: there is one.
    Here(OnceLock<Arc<Cell>>),
    /// Nowhere: it depends on what each call brings.
    Nowhere,
}

/// Makes the plans of an API's routes.
#[derive(Debug)]
pub(super) struct LimitPlans<'a> {
    api: &'a Api,
    /// `api/version`.
    label: &'a str,
    /// The next place with a caller.
    next_place: usize,
    /// The places of the API's own limits, which its routes share.
    shared_places: Vec<Option<usize>>,
    /// The plan of all routes that have no limits of their own, where it is the same for all of them.
    common: Option<Arc<LimitPlan>>,
}

impl<'a> LimitPlans<'a> {
    pub(super) fn new(api: &'a Api, label: &'a str) -> Self {
        let mut plans = Self {
            api,
            label,
            next_place: 0,
            shared_places: Vec::new(),
            common: None,
        };
        for rule in &api.limits {
            let place = plans.place(rule).filter(|_| !by_route(rule));
            plans.shared_places.push(place);
        }
        plans
    }

    /// The plan of one route.
    pub(super) fn of(&mut self, route: &route::Route, metrics: &mut ApiMetrics) -> Arc<LimitPlan> {
        let own = !route.limits.is_empty() || self.api.limits.iter().any(by_route);
        if let Some(common) = self.common.as_ref().filter(|_| !own) {
            return Arc::clone(common);
        }
        let api = self.api;
        let mut limits = Vec::with_capacity(api.limits.len() + route.limits.len());
        for (index, rule) in api.limits.iter().enumerate() {
            let place = match self.shared_places.get(index).copied().flatten() {
                Some(place) => Some(place),
                None => self.place(rule),
            };
            let id = format!("{}/{}", self.label, rule.name);
            let metrics = metrics.limit(None, &rule.name);
            limits.push(LimitPolicy::new(rule, id, place, true, metrics));
        }
        for rule in &route.limits {
            let place = self.place(rule);
            let id = format!("{}/{}/{}", self.label, route.label, rule.name);
            let metrics = metrics.limit(Some(&route.label), &rule.name);
            limits.push(LimitPolicy::new(rule, id, place, false, metrics));
        }
        let plan = Arc::new(LimitPlan {
            header: header(&limits, api.limits.iter().chain(&route.limits)),
            holds: limits
                .iter()
                .any(|limit| matches!(limit.rule, Rule::Concurrency(_))),
            limits: limits.into(),
        });
        if !own {
            self.common = Some(Arc::clone(&plan));
        }
        plan
    }

    /// A place of its own with each caller, where the caller alone says which cell is its.
    fn place(&mut self, rule: &LimitRule) -> Option<usize> {
        let of_caller = rule.by.iter().any(LimitSubject::is_of_caller)
            && rule
                .by
                .iter()
                .all(|subject| subject.is_of_caller() || subject.is_of_api());
        if !of_caller || self.next_place >= REMEMBERED_MAX {
            return None;
        }
        self.next_place += 1;
        Some(self.next_place - 1)
    }
}

fn by_route(rule: &LimitRule) -> bool {
    rule.by.contains(&LimitSubject::Route)
}

impl LimitPolicy {
    fn new(
        rule: &LimitRule,
        id: String,
        place: Option<usize>,
        of_api: bool,
        metrics: Arc<LimitMetrics>,
    ) -> Self {
        let cells = match place {
            Some(place) => CellPlace::Caller(place),
            None if rule.by.iter().all(LimitSubject::is_of_api) => CellPlace::Here(OnceLock::new()),
            None => CellPlace::Nowhere,
        };
        Self {
            name: rule.name.clone(),
            id: id.into(),
            by: rule.by.clone(),
            rule: Rule::new(&rule.allows),
            on_outage: rule.on_outage,
            cells,
            metrics,
            of_api,
        }
    }
}

/// Limits by name, quota, unit and window, as the `RateLimit-Policy` field lists them (IETF draft
/// ratelimit-headers, version 11, section 3): `"name";q=100;w=60`. Of a rate, `burst` and the time that brings
/// it back, which `r` and `t` of `RateLimit` count down from. Months have no length to tell.
fn header<'a>(
    limits: &[LimitPolicy],
    rules: impl Iterator<Item = &'a LimitRule>,
) -> Option<HeaderValue> {
    if limits.is_empty() {
        return None;
    }
    let mut text = String::new();
    for rule in rules {
        if !text.is_empty() {
            text.push_str(", ");
        }
        let name = &rule.name;
        // Writing to a string does not fail.
        let _infallible = match &rule.allows {
            Allowance::Rate(rate) => {
                let whole = rate.per.as_nanos().saturating_mul(rate.burst.get().into());
                let second = 1_000_000_000 * u128::from(rate.requests.get());
                let window = whole.div_ceil(second);
                write!(text, "\"{name}\";q={};w={window}", rate.burst)
            }
            Allowance::Quota(quota) => match quota.per.seconds() {
                Some(window) => write!(text, "\"{name}\";q={};w={window}", quota.requests),
                None => write!(text, "\"{name}\";q={}", quota.requests),
            },
            Allowance::Concurrency(calls) => {
                write!(text, "\"{name}\";q={calls};qu=\"concurrent-requests\"")
            }
        };
    }
    HeaderValue::from_str(&text).ok()
}
