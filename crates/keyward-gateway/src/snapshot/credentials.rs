//! How callers of an API prove who they are, ready to be asked.

use crate::issuer::IssuerKeySet;
use crate::tls::ClientTrust;
use aws_lc_rs::digest;
use keyward_jose::SignatureAlgorithm;
use keyward_jose::jwt::Profile;
use keyward_model::id::TeamId;
use keyward_model::limit::{LimitRule, LimitSubject, OnOutage};
use keyward_model::name::Name;
use keyward_model::resource::authentication::{
    ApiKeyMethod, BasicMethod, Dpop, TokenMethod, TokenSource,
};
use keyward_model::resource::issuer::{Encrypted, IssuerKeys};
use keyward_model::resource::mutual_tls::{Callers, CertificateName};
use keyward_model::resource::{Api, Authentication, AuthenticationMethod, MutualTls, Resource};
use std::sync::Arc;
use std::time::Duration;

/// How callers of a route prove who they are.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// It is open to everyone.
    None,
    /// By a token alone, as most are: no list to walk.
    Token(Arc<TokenPolicy>),
    /// By a certificate alone.
    Certificate(Arc<CertificatePolicy>),
    /// By one of these, in this order.
    Methods(Arc<[MethodPolicy]>),
}

/// One of several ways to prove who calls.
#[derive(Clone, Debug)]
pub(crate) enum MethodPolicy {
    Token(Arc<TokenPolicy>),
    ApiKey(Arc<ApiKeyPolicy>),
    Basic(Arc<BasicPolicy>),
    Certificate(Arc<CertificatePolicy>),
    Anonymous,
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
    /// Whether the certificate may come from a trusted proxy.
    pub(crate) proxied: bool,
}

/// Which API keys an API takes.
#[derive(Debug)]
pub(crate) struct ApiKeyPolicy {
    /// The team of the API: the credentials of no other are taken.
    pub(crate) team: TeamId,
    pub(crate) place: ApiKeyMethod,
    digest: [u8; 32],
}

/// Which passwords an API takes.
#[derive(Debug)]
pub(crate) struct BasicPolicy {
    /// The team of the API: the credentials of no other are taken.
    pub(crate) team: TeamId,
    pub(crate) method: BasicMethod,
    digest: [u8; 32],
}

/// Which tokens a route takes.
#[derive(Debug)]
pub(crate) struct TokenPolicy {
    pub(crate) issuers: Box<[TrustedIssuer]>,
    pub(crate) source: TokenSource,
    pub(crate) forward: bool,
    pub(crate) audiences: Box<[Box<str>]>,
    pub(crate) dpop: DpopPolicy,
    /// Whether a token's certificate may come from a trusted proxy.
    pub(crate) proxied_certificate: bool,
    /// Stands for all of the above in the key of the cache of verified tokens, so that what was verified
    /// by one policy is not believed by another.
    digest: [u8; 32],
}

/// What is asked of proofs (RFC 9449).
#[derive(Debug)]
pub(crate) struct DpopPolicy {
    /// Whether tokens that are bound to no key are refused.
    pub(crate) required: bool,
    /// Whether each proof must carry a nonce.
    pub(crate) nonce: bool,
    pub(crate) algorithms: Box<[SignatureAlgorithm]>,
    /// The same as a challenge lists them.
    pub(crate) list: Box<str>,
    /// What is done while nodes can't ask each other which proofs were used.
    pub(crate) on_outage: OnOutage,
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

impl Credentials {
    /// Of an API; `issuers` are those that it names, in its order, and `trust` its own roots. The error says
    /// what can't be prepared.
    pub(super) fn new(
        resource: &Resource,
        api: &Api,
        issuers: &[Arc<IssuerKeySet>],
        trust: Option<&Arc<ClientTrust>>,
    ) -> Result<Self, String> {
        let methods = match &api.authentication {
            Authentication::None => return Ok(Self::None),
            Authentication::Methods(methods) => methods,
        };
        let definitions: Vec<_> = issuers
            .iter()
            .map(|issuer| issuer.definition_digest())
            .collect();
        // Everything that decides whether a credential is taken, and what is remembered with it: who
        // calls, as the upstream is told, and the cells of limits by their places. By digest,
        // since a shared secret does not print: two that differ in it alone are two.
        let whose = (resource.team, &resource.name, &api.version);
        // A limit by route has a place for each route: what shifts them is another policy.
        let by_route = |rule: &LimitRule| rule.by.contains(&LimitSubject::Route);
        let by_route = api.limits.iter().any(by_route);
        let limited = api.routes.iter();
        let limited = limited.filter(|route| by_route || !route.limits.is_empty());
        let limited: Vec<_> = limited.map(|route| (&route.label, &route.limits)).collect();
        let remembered = (&api.identity_headers, &api.limits, limited);
        let text = format!(
            "{:?}",
            (whose, &api.authentication, remembered, definitions)
        );
        let digest = sha256(&[text.as_bytes()]);
        let compiled = methods
            .iter()
            .map(|method| {
                let kind = method.as_str().as_bytes();
                let digest = sha256(&[kind, &digest]);
                Ok(match method {
                    AuthenticationMethod::Token(tokens) => {
                        MethodPolicy::Token(Arc::new(TokenPolicy::new(tokens, issuers, digest)?))
                    }
                    AuthenticationMethod::ApiKey(place) => {
                        MethodPolicy::ApiKey(Arc::new(ApiKeyPolicy {
                            team: resource.team,
                            place: place.clone(),
                            digest,
                        }))
                    }
                    AuthenticationMethod::Basic(method) => {
                        MethodPolicy::Basic(Arc::new(BasicPolicy {
                            team: resource.team,
                            method: method.clone(),
                            digest,
                        }))
                    }
                    AuthenticationMethod::MutualTls(clients) => {
                        let policy = CertificatePolicy::new(resource.team, clients, trust);
                        MethodPolicy::Certificate(Arc::new(policy))
                    }
                    AuthenticationMethod::Anonymous => MethodPolicy::Anonymous,
                })
            })
            .collect::<Result<Vec<_>, String>>()?;
        Ok(match compiled.as_slice() {
            [MethodPolicy::Token(policy)] => Self::Token(Arc::clone(policy)),
            [MethodPolicy::Certificate(policy)] => Self::Certificate(Arc::clone(policy)),
            _ => Self::Methods(compiled.into()),
        })
    }

    /// The part of the query that is an API key, if any is.
    pub(super) fn key_parameter(&self) -> Option<&str> {
        match self {
            Self::Methods(methods) => methods.iter().find_map(|method| match method {
                MethodPolicy::ApiKey(policy) => policy.place.query.as_deref(),
                MethodPolicy::Token(_)
                | MethodPolicy::Basic(_)
                | MethodPolicy::Certificate(_)
                | MethodPolicy::Anonymous => None,
            }),
            Self::None | Self::Token(_) | Self::Certificate(_) => None,
        }
    }

    /// Which tokens are taken, if any are.
    pub(crate) fn token(&self) -> Option<&TokenPolicy> {
        match self {
            Self::Token(policy) => Some(policy),
            Self::Methods(methods) => methods.iter().find_map(|method| match method {
                MethodPolicy::Token(policy) => Some(&**policy),
                MethodPolicy::ApiKey(_)
                | MethodPolicy::Basic(_)
                | MethodPolicy::Certificate(_)
                | MethodPolicy::Anonymous => None,
            }),
            Self::None | Self::Certificate(_) => None,
        }
    }
}

impl CertificatePolicy {
    fn new(team: TeamId, clients: &MutualTls, trust: Option<&Arc<ClientTrust>>) -> Self {
        Self {
            team,
            subject: clients.subject,
            callers: clients.callers.clone(),
            trust: trust.cloned(),
            forward_certificate: clients.forward_certificate,
            proxied: clients.proxied,
        }
    }
}

impl ApiKeyPolicy {
    /// The key of an API key in the cache.
    pub(crate) fn cache_key(&self, key: &[u8]) -> [u8; 32] {
        sha256(&[&self.digest, key])
    }
}

impl BasicPolicy {
    /// The key of a name and password in the cache.
    pub(crate) fn cache_key(&self, credentials: &[u8]) -> [u8; 32] {
        sha256(&[&self.digest, credentials])
    }
}

impl TokenPolicy {
    fn new(
        tokens: &TokenMethod,
        issuers: &[Arc<IssuerKeySet>],
        digest: [u8; 32],
    ) -> Result<Self, String> {
        let trusted = issuers
            .iter()
            .map(|keys| TrustedIssuer::new(&tokens.audiences, Arc::clone(keys)))
            .collect::<Result<Box<[_]>, _>>()?;
        Ok(Self {
            issuers: trusted,
            source: tokens.token.clone(),
            forward: tokens.forward_token,
            audiences: tokens.audiences.clone().into(),
            dpop: DpopPolicy::new(&tokens.dpop)?,
            proxied_certificate: tokens.proxied_certificate,
            digest,
        })
    }

    /// The issuer of this name, if it is trusted.
    pub(crate) fn issuer(&self, named: &str) -> Option<&TrustedIssuer> {
        let mut trusted = self.issuers.iter();
        trusted.find(|issuer| *issuer.issuer == *named)
    }

    /// The one issuer that has to be asked about its tokens, if there is one.
    pub(crate) fn asked(&self) -> Option<&TrustedIssuer> {
        let mut trusted = self.issuers.iter();
        trusted.find(|issuer| issuer.is_asked())
    }

    /// The key of a token in the cache.
    pub(crate) fn cache_key(&self, token: &[u8]) -> [u8; 32] {
        sha256(&[&self.digest, token])
    }
}

impl DpopPolicy {
    fn new(declared: &Dpop) -> Result<Self, String> {
        let algorithms = declared
            .algorithms
            .iter()
            .map(|name| {
                name.parse::<SignatureAlgorithm>()
                    .map_err(|_| format!("`dpop`: `{name}` is no signature algorithm"))
            })
            .collect::<Result<Box<[_]>, _>>()?;
        Ok(Self {
            required: declared.required,
            nonce: declared.nonce,
            list: declared.algorithms.join(" ").into(),
            on_outage: declared.on_outage,
            algorithms,
        })
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

    /// Whether it has to be asked about its tokens.
    pub(crate) fn is_asked(&self) -> bool {
        matches!(self.keys.definition().keys, IssuerKeys::Introspection(_))
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
