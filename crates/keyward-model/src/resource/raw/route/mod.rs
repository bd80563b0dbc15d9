//! Reading `hosts` and `routes` of an API.

mod action;
mod edits;
mod matching;
mod mirror;

#[cfg(test)]
mod tests;

use super::authorization;
use super::capture;
use super::coding;
use super::content;
use super::field::{Field, Fields};
use super::limits;
use super::policy;
use super::problem::Problems;
use super::read::name;
use super::websocket;
use crate::limit::LimitRule;
use crate::name::Name;
use crate::resource::coding::{Compression, Decompression};
use crate::resource::policy::Policies;
use crate::resource::route::{Action, HostPattern, PathKind, PathPattern, Route};
use crate::resource::{
    Authentication, Authorization, BasePath, Capture, ContentPolicies, IdentityHeaders, WebSocket,
};
use std::collections::HashSet;
use std::sync::Arc;

/// The keys of a route.
const KEYS: &[&str] = &[
    "name",
    "match",
    "authorization",
    "rate_limits",
    "quotas",
    "concurrency",
    "rewrite",
    "query",
    "request_headers",
    "response_headers",
    "compression",
    "decompression",
    "upstream",
    "split",
    "mirror",
    "redirect",
    "respond",
    "capture",
    "websocket",
    "size_limits",
    "ip_filter",
    "cors",
    "security_headers",
    "external_decision",
    "cache",
    "validation",
    "transformation",
    "idempotency",
];

/// The most hosts of one API: each has its own table of all routes.
const HOSTS_MAX: usize = 64;

/// The most routes of one API: what a node is measured with.
const ROUTES_MAX: usize = 10_000;

/// What the routes of an API share.
pub(super) struct ApiOfRoutes<'a> {
    pub(super) base_path: &'a BasePath,
    /// Where routes go that say nothing else.
    pub(super) upstream: Option<&'a Name>,
    /// What routes let through that say nothing else.
    pub(super) websocket: Option<&'a WebSocket>,
    pub(super) identity_headers: &'a IdentityHeaders,
    /// What is written down of calls to routes that say nothing else.
    pub(super) capture: Option<&'a Capture>,
    /// How its callers prove who they are, where that could be read.
    pub(super) authentication: Option<&'a Authentication>,
    pub(super) compression: Option<&'a Arc<Compression>>,
    pub(super) decompression: Option<&'a Arc<Decompression>>,
    pub(super) max_body_bytes: Option<u64>,
    /// The limits that hold for all of them.
    pub(super) limits: &'a [LimitRule],
    /// What stands in the way of calls to routes that say nothing else.
    pub(super) policies: &'a Policies,
    pub(super) content: &'a ContentPolicies,
}

/// `hosts`: each once.
pub(super) fn hosts(field: Field<'_>, problems: &mut Problems) -> Vec<HostPattern> {
    let Some(members) = field.filled_list(problems) else {
        return Vec::new();
    };
    if too_many(field, members.len(), HOSTS_MAX, problems) {
        return Vec::new();
    }
    let mut hosts = Vec::new();
    for member in members {
        let Some(text) = member.text(problems) else {
            continue;
        };
        match text.parse::<HostPattern>() {
            Ok(host) if hosts.contains(&host) => {
                member.refuse("stands in the list twice", problems);
            }
            Ok(host) => hosts.push(host),
            Err(why) => member.refuse(&why.to_string(), problems),
        }
    }
    hosts
}

/// `routes`: at least one.
pub(super) fn routes(
    field: Field<'_>,
    api: &ApiOfRoutes<'_>,
    problems: &mut Problems,
) -> Vec<Route> {
    let Some(members) = field.filled_list(problems) else {
        return Vec::new();
    };
    if too_many(field, members.len(), ROUTES_MAX, problems) {
        return Vec::new();
    }
    let mut labels: HashSet<Box<str>> = HashSet::new();
    let mut routes = Vec::with_capacity(members.len());
    for member in members {
        let Some(route) = route(member, api, problems) else {
            continue;
        };
        if !labels.insert(route.label.clone()) {
            problems.error(
                member.place(),
                "duplicate_name",
                format!(
                    "`routes`: two routes are called `{}`: logs and metrics tell them apart by it, so give each its own `name`",
                    route.label
                ),
            );
        }
        routes.push(route);
    }
    routes
}

fn route(field: Field<'_>, api: &ApiOfRoutes<'_>, problems: &mut Problems) -> Option<Route> {
    let fields = Fields::of(field.node(), "a route", KEYS, problems)?;
    let given = match fields.optional("name") {
        Some(field) => Some(name(field, problems)?),
        None => None,
    };
    let matching = match fields.optional("match") {
        Some(field) => matching::read(field, problems)?,
        None => Default::default(),
    };
    let authorization = match fields.optional("authorization") {
        Some(field) => authorization::read(field, api.authentication, problems)?,
        None => Authorization::default(),
    };
    let limits = limits::read(&fields, api.limits, false, problems).rules;
    let action = action::read(&fields, &matching.path, api, problems);
    let mut headers = |key: &str, direction| match fields.optional(key) {
        Some(field) => edits::headers(field, direction, problems),
        None => Some(Default::default()),
    };
    let request_headers = headers(
        "request_headers",
        edits::Direction::Request(api.identity_headers),
    );
    let response_headers = headers("response_headers", edits::Direction::Response);
    let query = match fields.optional("query") {
        Some(field) => edits::query(field, problems),
        None => Some(Default::default()),
    };
    let compression = match fields.optional("compression") {
        Some(field) => coding::compression(field, problems),
        None => Some(api.compression.cloned()),
    };
    let decompression = match fields.optional("decompression") {
        Some(field) => coding::decompression(field, api.max_body_bytes, problems),
        None => Some(api.decompression.cloned()),
    };
    let websocket = match fields.optional("websocket") {
        Some(field) => websocket::read(field, problems)?,
        None => api.websocket.cloned(),
    };
    let policies = policy::read(&fields, api.policies, problems);
    let label = match given {
        Some(name) => name.as_str().into(),
        None => label(&matching.path, &matching.methods, api.base_path),
    };
    let capture = match fields.optional("capture") {
        Some(field) => capture::read(field, problems)?,
        None => api.capture.cloned(),
    };
    let content = content::read(&fields, api.content, api.authentication, problems);
    let action = action?;
    keys_that_do_nothing(&fields, &action, problems);
    Some(Route {
        label,
        matching,
        authorization,
        limits,
        query: query?,
        request_headers: request_headers?,
        response_headers: response_headers?,
        compression: compression?,
        decompression: decompression?,
        websocket: websocket.filter(|_| matches!(action, Action::Forward(_))),
        content: content?
            .for_route(matches!(action, Action::Forward(_)))
            .map(Box::new),
        action,
        capture,
        policies: policies?,
    })
}

/// What a route without a name is called: `GET,HEAD /orders/{id}`.
fn label(path: &PathPattern, methods: &[Box<str>], base_path: &BasePath) -> Box<str> {
    let path = path.below(base_path);
    if methods.is_empty() {
        return path.into();
    }
    format!("{} {path}", methods.join(",")).into()
}

/// Keys that speak of an upstream's calls, where none is made.
fn keys_that_do_nothing(fields: &Fields<'_>, action: &Action, problems: &mut Problems) {
    let (answers, useless): (_, &[&str]) = match action {
        Action::Forward(_) | Action::Infer(_) => return,
        Action::Redirect(_) => (
            "redirect",
            &[
                "rewrite",
                "request_headers",
                "response_headers",
                "compression",
                "decompression",
                "mirror",
                "capture",
                "websocket",
                "cache",
                "validation",
                "transformation",
                "idempotency",
            ],
        ),
        Action::Respond(_) => (
            "respond",
            &[
                "rewrite",
                "request_headers",
                "response_headers",
                "compression",
                "decompression",
                "query",
                "mirror",
                "capture",
                "websocket",
                "cache",
                "validation",
                "transformation",
                "idempotency",
            ],
        ),
    };
    for key in useless {
        if let Some(field) = fields.optional(key) {
            problems.error(
                field.place(),
                "contradiction",
                format!(
                    "`{key}` changes what an upstream gets or answers, but `{answers}` calls none: take one of them out"
                ),
            );
        }
    }
}

/// What was matched by: for the messages about rewrites.
fn needs_prefix(field: Field<'_>, matched: &PathPattern, problems: &mut Problems) -> Option<()> {
    match matched.kind() {
        PathKind::Prefix => Some(()),
        PathKind::Whole => {
            problems.error(
                field.place(),
                "contradiction",
                "`prefix` replaces a matched prefix, but `match` has a whole `path`: write `path` in both, or `prefix` in both",
            );
            None
        }
    }
}

/// Whether a list is longer than it may be; then that is told.
fn too_many(field: Field<'_>, count: usize, most: usize, problems: &mut Problems) -> bool {
    if count > most {
        problems.error(
            field.place(),
            "too_many",
            format!("`{}` has {count} entries: {most} are the most", field.key()),
        );
    }
    count > most
}
