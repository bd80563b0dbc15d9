//! One route of a published API version, ready to serve.

use super::CompileError;
use super::credentials::Credentials;
use super::plan::{MirrorPlan, RoutePlan};
use crate::coding::DecodeBounds;
use crate::issuer::IssuerKeySet;
use crate::metrics::{ApiMetrics, LimitMetrics, RouteMetrics};
use crate::request::identity::{ForgedNames, IdentityPlan};
use crate::tls::ClientTrust;
use crate::upstream::UpstreamPlan;
use http::HeaderValue;
use keyward_model::limit::LimitSubject;
use keyward_model::name::Name;
use keyward_model::resource::coding::{Compression, ContentCoding, Decompression};
use keyward_model::resource::route::Mirror;
use keyward_model::resource::{Api, Capture, Resource, route};
use keyward_model::usage::RouteLabels;
use keyward_state::rate_limit::{Cell, Gcra};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) labels: RouteLabels,
    pub(crate) plan: RoutePlan,
    pub(crate) credentials: Credentials,
    /// How its API is known to those who look for its authorization server, and whose certificates it takes.
    pub(crate) resource: Arc<ProtectedResource>,
    /// The part of the query that is an API key.
    pub(crate) key_parameter: Option<Box<str>>,
    pub(crate) scopes: BTreeSet<String>,
    /// The scopes as a challenge names them.
    pub(crate) scope_list: Box<str>,
    pub(crate) limits: Arc<[LimitPolicy]>,
    /// `RateLimit-Policy`, if there are limits.
    pub(crate) limit_header: Option<HeaderValue>,
    pub(crate) identity: Arc<IdentityPlan>,
    pub(crate) forged: Arc<ForgedNames>,
    /// `None` where the route answers by itself.
    pub(crate) upstream: Option<Arc<UpstreamPlan>>,
    /// Who gets copies of its calls.
    pub(crate) mirror: Option<Arc<MirrorRoute>>,
    pub(crate) max_body_bytes: Option<u64>,
    pub(crate) body_idle: Duration,
    /// Which answers are compressed.
    pub(crate) compression: Option<Arc<Compression>>,
    /// Which requests are decompressed.
    pub(crate) decompression: Option<DecompressionPlan>,
    /// `None`: no body is captured.
    pub(crate) capture: Option<Arc<Capture>>,
    pub(crate) metrics: Arc<RouteMetrics>,
}

/// Which requests of a route are decompressed.
#[derive(Debug)]
pub(crate) struct DecompressionPlan {
    pub(crate) codings: Box<[ContentCoding]>,
    pub(crate) bounds: DecodeBounds,
    /// The codings as `Accept-Encoding` lists them.
    pub(crate) list: Box<str>,
}

impl DecompressionPlan {
    fn new(declared: &Decompression) -> Self {
        let names: Vec<_> = declared
            .codings
            .iter()
            .map(|coding| coding.as_str())
            .collect();
        Self {
            codings: declared.codings.clone().into(),
            bounds: DecodeBounds {
                bytes: declared.max_bytes,
                ratio: u64::from(declared.max_ratio),
            },
            list: names.join(", ").into(),
        }
    }
}

/// Who gets copies of a route's calls.
#[derive(Debug)]
pub(crate) struct MirrorRoute {
    pub(crate) plan: MirrorPlan,
    /// The variant of the route that goes to the mirror's upstream.
    pub(crate) route: Arc<Route>,
}

/// What a variant of a route has to do with copies.
pub(super) enum Mirroring<'a> {
    /// Copies of its calls go here.
    Of(Option<Arc<MirrorRoute>>),
    /// Its calls are copies.
    Copies(&'a Mirror),
}

/// What an API is as a protected resource (RFC 9728): where it is, and who speaks for its callers.
#[derive(Debug)]
pub(crate) struct ProtectedResource {
    /// Below it is everything that the API serves.
    pub(crate) base_path: Box<str>,
    /// Whether the host that is called is one that the API names, and not just anyone's word.
    pub(crate) names_hosts: bool,
    /// Whether certificates may come from trusted proxies.
    pub(crate) proxied_certificates: bool,
}

/// One limit of a route.
#[derive(Debug)]
pub(crate) struct LimitPolicy {
    pub(crate) name: Name,
    /// `api/version/name`: names the limit within its team.
    pub(crate) id: Box<str>,
    pub(crate) by: LimitSubject,
    pub(crate) rate: Gcra,
    /// The one cell of a limit by route.
    pub(crate) cell: OnceLock<Arc<Cell>>,
    pub(crate) metrics: Arc<LimitMetrics>,
}

/// What all routes of an API version share.
pub(super) struct ApiPolicy {
    credentials: Credentials,
    resource: Arc<ProtectedResource>,
    limits: Arc<[LimitPolicy]>,
    limit_header: Option<HeaderValue>,
    identity: Arc<IdentityPlan>,
    forged: Arc<ForgedNames>,
}

impl ApiPolicy {
    /// `issuers` are those that the API names, in its order; `trust` are the roots of its own.
    pub(super) fn new(
        resource: &Resource,
        api: &Api,
        issuers: &[Arc<IssuerKeySet>],
        trust: Option<&Arc<ClientTrust>>,
        forged: &Arc<ForgedNames>,
        metrics: &mut ApiMetrics,
    ) -> Result<Self, CompileError> {
        let label = format!("{}/{}", resource.name, api.version);
        let unusable = |why: String| CompileError::Unusable {
            api: label.clone(),
            why,
        };
        let credentials = Credentials::new(resource, api, issuers, trust).map_err(unusable)?;
        let limits = api.rate_limits.iter().map(|rule| LimitPolicy {
            name: rule.name.clone(),
            id: format!("{label}/{}", rule.name).into_boxed_str(),
            by: rule.limit.by,
            rate: Gcra::new(&rule.limit),
            cell: OnceLock::new(),
            metrics: metrics.limit(&rule.name),
        });
        let identity = IdentityPlan::new(&api.identity_headers).map_err(unusable)?;
        Ok(Self {
            credentials,
            resource: Arc::new(ProtectedResource {
                base_path: api.base_path.as_str().into(),
                names_hosts: !api.hosts.is_empty(),
                proxied_certificates: api.authentication.takes_proxied_certificates(),
            }),
            limits: limits.collect(),
            limit_header: limit_header(api),
            identity: Arc::new(identity),
            forged: Arc::clone(forged),
        })
    }
}

impl Route {
    /// The variant of a declared route that goes to `upstream`; `None` for one that answers by itself.
    pub(super) fn compile(
        resource: &Resource,
        api: &Api,
        declared: &route::Route,
        policy: &ApiPolicy,
        upstream: Option<&Arc<UpstreamPlan>>,
        mirroring: Mirroring<'_>,
        metrics: Arc<RouteMetrics>,
    ) -> Result<Self, CompileError> {
        let unusable = |why: String| CompileError::Unusable {
            api: format!("{}/{}", resource.name, api.version),
            why: format!("route `{}`: {why}", declared.label),
        };
        let (plan, mirror, compression) = match mirroring {
            Mirroring::Of(mirror) => {
                let compression = declared.compression.clone();
                (RoutePlan::new(api, declared), mirror, compression)
            }
            // Nobody reads what is answered.
            Mirroring::Copies(mirror) => (RoutePlan::of_copies(api, declared, mirror), None, None),
        };
        let scopes: BTreeSet<String> = api.scopes.union(&declared.scopes).cloned().collect();
        let scope_list: Vec<&str> = scopes.iter().map(String::as_str).collect();
        Ok(Self {
            labels: RouteLabels {
                team: resource.team,
                team_name: resource.team_name.clone(),
                api: resource.name.clone(),
                version: api.version.clone(),
                route: declared.label.clone(),
            },
            plan: plan.map_err(unusable)?,
            credentials: policy.credentials.clone(),
            key_parameter: policy.credentials.key_parameter().map(Into::into),
            resource: Arc::clone(&policy.resource),
            scope_list: scope_list.join(" ").into(),
            scopes,
            limit_header: policy.limit_header.clone(),
            limits: Arc::clone(&policy.limits),
            forged: Arc::clone(&policy.forged),
            identity: Arc::clone(&policy.identity),
            upstream: upstream.cloned(),
            mirror,
            max_body_bytes: api.max_body_bytes,
            body_idle: api.idle_body_timeout,
            compression,
            decompression: declared
                .decompression
                .as_deref()
                .map(DecompressionPlan::new),
            capture: declared.capture.clone().map(Arc::new),
            metrics,
        })
    }
}

/// Limits by name, quota and window, as the `RateLimit-Policy` field lists them (IETF draft
/// ratelimit-headers): `"name";q=100;w=60`.
fn limit_header(api: &Api) -> Option<HeaderValue> {
    let mut text = String::new();
    for rule in &api.rate_limits {
        if !text.is_empty() {
            text.push_str(", ");
        }
        let window = rule.limit.per.as_secs().max(1);
        // Writing to a string does not fail.
        let _infallible = write!(
            text,
            "\"{}\";q={};w={window}",
            rule.name, rule.limit.requests
        );
    }
    if text.is_empty() {
        None
    } else {
        HeaderValue::from_str(&text).ok()
    }
}
