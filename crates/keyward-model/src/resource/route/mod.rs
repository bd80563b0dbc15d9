//! Routes: which calls of an API are told apart, and what happens to each.
//!
//! Of the routes that match a call, the most specific wins. The rule is total, so that the order in which
//! routes are written never counts:
//!
//! 1. **Host**: an exact name, then `*.name` with the longest name, then APIs without hosts.
//! 2. **Path**, segment by segment from the left: a literal, then a parameter, then a prefix that ends
//!    there. Where all segments are the same, a whole path comes before a prefix.
//! 3. **Conditions**: routes that list methods come first, then those with more headers, then those with
//!    more of the query.
//!
//! Two routes that are equal in all three and could both match one call are refused.

mod action;
mod edits;
mod host;
mod matching;
mod path;

pub use action::{
    Action, FixedResponse, Forward, LocationPath, Mirror, Redirect, Rewrite, Scheme, Share,
};
pub use edits::{EditedValue, HeaderEdits, QueryEdits};
pub use host::{HostPattern, NoHostPattern};
pub use matching::{Condition, Conditions, Rank, RouteMatch};
pub use path::{
    PARAMETERS_MAX, PathKind, PathPattern, PathProblem, PathTemplate, Segment, TemplatePiece,
};

use super::coding::{Compression, Decompression};
use super::{Authorization, BasePath, Capture, ContentPolicies, Policies, WebSocket};
use crate::limit::LimitRule;
use crate::name::Name;
use std::sync::Arc;

/// The most routes that may share one host and path and be told apart by conditions alone: they are
/// looked at one after the other.
pub const CONDITIONED_MAX: usize = 64;

/// One route of an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What logs and metrics call it: its name, or else its methods and its path. Unique in the API.
    pub label: Box<str>,
    /// Which calls it takes.
    pub matching: RouteMatch,
    /// What its callers must be besides what the API asks for.
    pub authorization: Authorization,
    /// Limits of the route's own, taken after those of its API.
    pub limits: Vec<LimitRule>,
    /// Changes to the query, before it goes to the upstream or into a redirect.
    pub query: QueryEdits,
    /// Changes to the headers that the upstream gets.
    pub request_headers: HeaderEdits,
    /// Changes to the headers that the upstream answers with.
    pub response_headers: HeaderEdits,
    /// Which answers of the upstream are compressed; `None`: none.
    pub compression: Option<Arc<Compression>>,
    /// Which requests are decompressed; `None`: none, they go on as they are.
    pub decompression: Option<Arc<Decompression>>,
    /// Whether calls may become tunnels; `None`: they may not.
    pub websocket: Option<WebSocket>,
    /// What happens to a call.
    pub action: Action,
    /// Which bodies are written down: as the route says, else as its API does.
    pub capture: Option<Capture>,
    /// What stands in a call's way besides who calls, and what is added to answers.
    pub policies: Policies,
    /// What is done with the content of calls; `None`: nothing.
    pub content: Option<Box<ContentPolicies>>,
}

impl Route {
    /// The one route of an API that lists none: everything under its base path goes to its upstream.
    #[must_use]
    pub fn everything(base_path: &BasePath, upstream: Name) -> Self {
        Self::of(base_path, Action::Forward(Forward::to(upstream)))
    }

    /// A route of which nothing is said but what happens to its calls.
    #[must_use]
    pub fn of(base_path: &BasePath, action: Action) -> Self {
        Self {
            label: base_path.as_str().into(),
            matching: RouteMatch::default(),
            authorization: Authorization::default(),
            limits: Vec::new(),
            query: QueryEdits::default(),
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            compression: None,
            decompression: None,
            websocket: None,
            action,
            capture: None,
            policies: Policies::default(),
            content: None,
        }
    }

    /// The upstreams it names, a mirror's among them; the one last that decides about its calls.
    pub fn upstreams(&self) -> impl Iterator<Item = &Name> {
        let forward = match &self.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::Respond(_) | Action::Infer(_) => None,
        };
        let shares = forward.map_or(&[][..], |forward| &forward.shares);
        let mirror = forward.and_then(|forward| forward.mirror.as_ref());
        shares
            .iter()
            .map(|share| &share.upstream)
            .chain(mirror.map(|mirror| &mirror.upstream))
            .chain(
                self.policies
                    .external_decision
                    .iter()
                    .map(|decision| &decision.upstream),
            )
    }

    /// Whether its calls go to this upstream, and not copies of them alone.
    #[must_use]
    pub fn forwards_to(&self, upstream: &Name) -> bool {
        match &self.action {
            Action::Forward(forward) => forward
                .shares
                .iter()
                .any(|share| share.upstream == *upstream),
            Action::Redirect(_) | Action::Respond(_) | Action::Infer(_) => false,
        }
    }
}
