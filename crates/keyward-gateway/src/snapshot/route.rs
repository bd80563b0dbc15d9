//! One route of a published API version, ready to serve.

use super::CompileError;
use super::limits::LimitPlan;
use super::plan::{MirrorPlan, RoutePlan};
use crate::coding::DecodeBounds;
use crate::issuer::IssuerKeySet;
use crate::metrics::RouteMetrics;
use crate::policy::PolicyPlan;
use crate::policy::content::{ContentPlan, Descriptions};
use crate::request::identity::{ForgedNames, IdentityPlan};
use crate::tls::ClientTrust;
use crate::upstream::UpstreamPlan;
use aws_lc_rs::digest;
use keyward_access::Rule;
use keyward_jose::jwt::Profile;
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::coding::{Compression, ContentCoding, Decompression};
use keyward_model::resource::issuer::Encrypted;
use keyward_model::resource::mutual_tls::{Callers, CertificateName};
use keyward_model::resource::route::Mirror;
use keyward_model::resource::{Api, Authentication, Capture, Resource, TokenSource, route};
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

/// What all routes of an API version share.
pub(super) struct ApiPolicy {
    credentials: Credentials,
    identity: Arc<IdentityPlan>,
    forged: Arc<ForgedNames>,
    descriptions: Descriptions,
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
                let limited = api.routes.iter().filter(|route| !route.limits.is_empty());
                let limited: Vec<_> = limited.map(|route| (&route.label, &route.limits)).collect();
                let remembered = (&api.identity_headers, &api.limits, limited);
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
        let identity = IdentityPlan::new(&api.identity_headers).map_err(unusable)?;
        Ok(Self {
            credentials,
            identity: Arc::new(identity),
            forged: Arc::clone(forged),
            descriptions: Descriptions::default(),
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
}

impl Route {
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
                    .map(|content| ContentPlan::new(api, content, &policy.descriptions))
                    .transpose()
                    .map_err(unusable)?;
                let content = content.map(Box::new);
                (plan, mirror, compression, policies.cloned(), content)
            }
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
