//! One route of a published API version, ready to serve.

use super::CompileError;
use super::credentials::Credentials;
use super::limits::LimitPlan;
use super::plan::{MirrorPlan, RoutePlan};
use crate::ai::{AiPlan, AiRoute};
use crate::coding::DecodeBounds;
use crate::issuer::IssuerKeySet;
use crate::metrics::RouteMetrics;
use crate::policy::content::ContentPlan;
use crate::policy::{DecisionRoute, PolicyPlan};
use crate::request::identity::{ForgedNames, IdentityPlan};
use crate::tls::ClientTrust;
use crate::upstream::UpstreamPlan;
use keyward_access::Rule;
use keyward_model::resource::coding::{Compression, ContentCoding, Decompression};
use keyward_model::resource::route::{Action, Mirror};
use keyward_model::resource::{Api, Capture, Resource, route};
use keyward_model::usage::RouteLabels;
use std::collections::BTreeSet;
use std::sync::Arc;
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
    /// What else is asked of callers than those scopes, if anything is.
    pub(crate) access: Option<Arc<Rule>>,
    pub(crate) limits: Arc<LimitPlan>,
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
    /// `None`: nothing but who calls and how often stands in the way of calls.
    pub(crate) policies: Option<Arc<PolicyPlan>>,
    /// Who else decides whether a call may pass.
    pub(crate) decision: Option<Arc<DecisionRoute>>,
    /// The AI models that answer its calls.
    pub(crate) ai: Option<AiRoute>,
    /// Whether its calls leave for a provider of AI models, who is told nothing of the caller.
    pub(crate) is_to_provider: bool,
    /// What is done with the content of its calls.
    pub(crate) content: Option<Box<ContentPlan>>,
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
    /// Its calls are questions about the route's calls.
    Questions,
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

/// What all routes of an API version share.
pub(super) struct ApiPolicy {
    credentials: Credentials,
    resource: Arc<ProtectedResource>,
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
    ) -> Result<Self, CompileError> {
        let label = format!("{}/{}", resource.name, api.version);
        let unusable = |why: String| CompileError::Unusable {
            api: label.clone(),
            why,
        };
        let credentials = Credentials::new(resource, api, issuers, trust).map_err(unusable)?;
        let identity = IdentityPlan::new(&api.identity_headers).map_err(unusable)?;
        Ok(Self {
            credentials,
            resource: Arc::new(ProtectedResource {
                base_path: api.base_path.as_str().into(),
                names_hosts: !api.hosts.is_empty(),
                proxied_certificates: api.authentication.takes_proxied_certificates(),
            }),
            identity: Arc::new(identity),
            forged: Arc::clone(forged),
        })
    }
}

/// What was prepared for several routes of an API at once.
#[derive(Clone, Copy)]
pub(super) struct Prepared<'a> {
    pub(super) policy: &'a ApiPolicy,
    pub(super) rule: Option<&'a Arc<Rule>>,
    pub(super) limits: &'a Arc<LimitPlan>,
    pub(super) policies: Option<&'a Arc<PolicyPlan>>,
    /// Of the one route alone.
    pub(super) decision: Option<&'a Arc<DecisionRoute>>,
    /// The models of an API that serves some.
    pub(super) ai: Option<&'a Arc<AiPlan>>,
}

impl Route {
    /// Whether CORS preflights are answered here, and go no further.
    pub(crate) fn answers_preflights(&self) -> bool {
        let policies = self.policies.as_ref();
        policies.is_some_and(|policies| policies.answers_preflights())
    }

    /// The variant of a declared route that goes to `upstream`; `None` for one that answers by itself.
    pub(super) fn compile(
        resource: &Resource,
        api: &Api,
        declared: &route::Route,
        prepared: Prepared<'_>,
        upstream: Option<&Arc<UpstreamPlan>>,
        mirroring: Mirroring<'_>,
        metrics: Arc<RouteMetrics>,
    ) -> Result<Self, CompileError> {
        let Prepared {
            policy,
            rule,
            limits,
            policies,
            decision,
            ai: _,
        } = prepared;
        let unusable = |why: String| CompileError::Unusable {
            api: format!("{}/{}", resource.name, api.version),
            why: format!("route `{}`: {why}", declared.label),
        };
        let (plan, mirror, compression, policies, content) = match mirroring {
            Mirroring::Of(mirror) => {
                let compression = declared.compression.clone();
                let plan = RoutePlan::new(api, declared);
                let content = declared.content.as_deref();
                let content = content
                    .map(|content| ContentPlan::new(api, content))
                    .transpose()
                    .map_err(unusable)?;
                let content = content.map(Box::new);
                (plan, mirror, compression, policies.cloned(), content)
            }
            Mirroring::Questions => (RoutePlan::new(api, declared), None, None, None, None),
            // Nobody reads what is answered.
            Mirroring::Copies(mirror) => {
                let plan = RoutePlan::of_copies(api, declared, mirror);
                (plan, None, None, None, None)
            }
        };
        let body_limit = declared.policies.size_limits.and_then(|limits| limits.body);
        let (of_api, own) = (&api.authorization.scopes, &declared.authorization.scopes);
        let scopes: BTreeSet<String> = of_api.union(own).cloned().collect();
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
            access: rule.cloned(),
            limits: Arc::clone(limits),
            forged: Arc::clone(&policy.forged),
            identity: Arc::clone(&policy.identity),
            upstream: upstream.cloned(),
            mirror,
            max_body_bytes: body_limit.or(api.max_body_bytes),
            body_idle: api.idle_body_timeout,
            compression,
            decompression: declared
                .decompression
                .as_deref()
                .map(DecompressionPlan::new),
            capture: declared.capture.clone().map(Arc::new),
            policies,
            content,
            ai: match declared.action {
                Action::Infer(endpoint) => prepared.ai.map(|plan| AiRoute {
                    endpoint,
                    plan: Arc::clone(plan),
                }),
                Action::Forward(_) | Action::Redirect(_) | Action::Respond(_) => None,
            },
            is_to_provider: upstream.is_some_and(|plan| plan.is_provider),
            decision: decision.cloned(),
            metrics,
        })
    }
}
