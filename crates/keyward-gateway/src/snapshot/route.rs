//! One route of a published API version, ready to serve.

use super::CompileError;
use super::plan::{MirrorPlan, RoutePlan};
use crate::coding::DecodeBounds;
use crate::issuer::IssuerKeySet;
use crate::metrics::{ApiMetrics, LimitMetrics, RouteMetrics};
use crate::policy::{DecisionRoute, PolicyPlan};
use crate::request::identity::{ForgedNames, IdentityPlan};
use crate::tls::ClientTrust;
use crate::upstream::UpstreamPlan;
use aws_lc_rs::digest;
use http::HeaderValue;
use keyward_jose::jwt::Profile;
use keyward_model::id::TeamId;
use keyward_model::limit::LimitSubject;
use keyward_model::name::Name;
use keyward_model::resource::coding::{Compression, ContentCoding, Decompression};
use keyward_model::resource::issuer::Encrypted;
use keyward_model::resource::mutual_tls::{Callers, CertificateName};
use keyward_model::resource::route::Mirror;
use keyward_model::resource::{Api, Authentication, Capture, Resource, TokenSource, route};
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
    /// `None`: nothing but who calls and how often stands in the way of calls.
    pub(crate) policies: Option<Arc<PolicyPlan>>,
    /// Who else decides whether a call may pass.
    pub(crate) decision: Option<Arc<DecisionRoute>>,
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

/// How callers of a route prove who they are.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// It is open to everyone.
    None,
    Token(Arc<TokenPolicy>),
    Certificate(Arc<CertificatePolicy>),
}

/// Which clients' certificates an API takes, and whom they stand for.
#[derive(Debug)]
pub(crate) struct CertificatePolicy {
    /// The team of the API: its callers are this team's.
    pub(crate) team: TeamId,
    pub(crate) subject: CertificateName,
    pub(crate) callers: Callers,
    /// Roots that the certificate is checked against besides the listener's.
    pub(crate) trust: Option<Arc<ClientTrust>>,
    pub(crate) forward_certificate: bool,
}

/// Which tokens a route takes.
#[derive(Debug)]
pub(crate) struct TokenPolicy {
    pub(crate) issuers: Box<[TrustedIssuer]>,
    pub(crate) source: TokenSource,
    pub(crate) forward: bool,
    /// Stands for all of the above in the key of the cache of verified tokens, so that what was verified
    /// by one policy is not believed by another.
    digest: [u8; 32],
}

/// An issuer as one route trusts it.
#[derive(Debug)]
pub(crate) struct TrustedIssuer {
    pub(crate) name: Name,
    pub(crate) team: TeamId,
    /// Shared by all its callers.
    pub(crate) issuer: Arc<str>,
    pub(crate) scope_claim: Box<str>,
    pub(crate) encrypted: Encrypted,
    pub(crate) leeway: Duration,
    pub(crate) max_age: Option<Duration>,
    pub(crate) profile: Profile,
    pub(crate) keys: Arc<IssuerKeySet>,
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
        let credentials = match &api.authentication {
            Authentication::None => Credentials::None,
            Authentication::MutualTls(clients) => {
                Credentials::Certificate(Arc::new(CertificatePolicy {
                    team: resource.team,
                    subject: clients.subject,
                    callers: clients.callers.clone(),
                    trust: trust.cloned(),
                    forward_certificate: clients.forward_certificate,
                }))
            }
            Authentication::Jwt {
                issuers: _,
                audiences,
                token,
                forward_token,
            } => {
                let trusted = issuers
                    .iter()
                    .map(|keys| TrustedIssuer::new(audiences, Arc::clone(keys)))
                    .collect::<Result<Box<[_]>, _>>()
                    .map_err(unusable)?;
                // Everything that decides whether a token is taken, and what is remembered with it: who
                // calls, as the upstream is told, and the cells of limits by their places. By digest,
                // since a shared secret does not print: two that differ in it alone are two.
                let definitions: Vec<_> = trusted
                    .iter()
                    .map(|issuer| issuer.keys.definition_digest())
                    .collect();
                let whose = (resource.team, &resource.name, &api.version);
                let remembered = (&api.identity_headers, &api.rate_limits);
                let text = format!(
                    "{:?}",
                    (whose, &api.authentication, remembered, definitions)
                );
                Credentials::Token(Arc::new(TokenPolicy {
                    issuers: trusted,
                    source: token.clone(),
                    forward: *forward_token,
                    digest: sha256(&[text.as_bytes()]),
                }))
            }
        };
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
        (policies, decision): (Option<&Arc<PolicyPlan>>, Option<&Arc<DecisionRoute>>),
        metrics: Arc<RouteMetrics>,
    ) -> Result<Self, CompileError> {
        let unusable = |why: String| CompileError::Unusable {
            api: format!("{}/{}", resource.name, api.version),
            why: format!("route `{}`: {why}", declared.label),
        };
        let (plan, mirror, compression, policies) = match mirroring {
            Mirroring::Of(mirror) => {
                let compression = declared.compression.clone();
                let plan = RoutePlan::new(api, declared);
                (plan, mirror, compression, policies.cloned())
            }
            Mirroring::Questions => (RoutePlan::new(api, declared), None, None, None),
            // Nobody reads what is answered.
            Mirroring::Copies(mirror) => {
                let plan = RoutePlan::of_copies(api, declared, mirror);
                (plan, None, None, None)
            }
        };
        let body_limit = declared.policies.size_limits.and_then(|limits| limits.body);
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
            scope_list: scope_list.join(" ").into(),
            scopes,
            limit_header: policy.limit_header.clone(),
            limits: Arc::clone(&policy.limits),
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
            decision: decision.cloned(),
            metrics,
        })
    }
}

impl TokenPolicy {
    /// The issuer of this name, if it is trusted.
    pub(crate) fn issuer(&self, named: &str) -> Option<&TrustedIssuer> {
        let mut trusted = self.issuers.iter();
        trusted.find(|issuer| *issuer.issuer == *named)
    }

    /// The key of a token in the cache.
    pub(crate) fn cache_key(&self, token: &[u8]) -> [u8; 32] {
        sha256(&[&self.digest, token])
    }
}

impl TrustedIssuer {
    fn new(audiences: &[Box<str>], keys: Arc<IssuerKeySet>) -> Result<Self, String> {
        let definition = keys.definition();
        let profile = keys
            .profile(audiences)
            .map_err(|error| format!("issuer `{}`: {error}", keys.name()))?;
        Ok(Self {
            name: keys.name().clone(),
            team: keys.team(),
            issuer: Arc::from(&*definition.issuer),
            scope_claim: definition.scope_claim.clone(),
            encrypted: definition.encrypted,
            leeway: definition.leeway,
            max_age: definition.max_age,
            profile,
            keys,
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

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    hash
}
