//! The configuration as the data plane reads it: compiled when a revision changes, immutable, shared by
//! all workers, so that no request looks anything up by name, parses or allocates for it.

mod budgets;
mod compiled_api;
mod continuity;
mod credentials;
mod issuers;
mod limits;
mod local;
mod models;
mod plan;
mod resources;
mod route;
mod route_table;
mod upstreams;

#[cfg(test)]
mod tests;

pub(crate) use budgets::{BudgetPlan, BudgetPolicy, told};
pub(crate) use continuity::{Continuity, MadeOf};
pub(crate) use credentials::{
    ApiKeyPolicy, BasicPolicy, CertificatePolicy, Credentials, DpopPolicy, MethodPolicy,
    TokenPolicy, TrustedIssuer,
};
pub(crate) use limits::{CellPlace, LimitPlan, LimitPolicy};
pub(crate) use local::{LocalRoute, LocalSnapshot, RouteRef};
pub(crate) use plan::{AnswerPlan, MatchedPath, WebSocketPlan};
pub(crate) use route::{DecompressionPlan, MirrorRoute, Route};
pub(crate) use route_table::{HostName, Lookup, Occurrence, RequestView, RouteTable, decodes_to};

use crate::issuer::Issuers;
use crate::request::client_certificate::{CLIENT_CERT, CLIENT_CERT_CHAIN};
use arc_swap::ArcSwap;
use compiled_api::{CompiledApi, Surroundings};
use issuers::OpenIssuers;
use keyward_model::resource::{Api, Issuer, Resource, Spec};
use keyward_model::{Clock, Revision};
use models::ModelResources;
use resources::ProtectedResources;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a configuration can't be served. It was checked before: these are what only compiling can see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A reference leads nowhere.
    #[error("api `{api}` names the {kind} `{name}`, which does not exist")]
    Dangling {
        /// The API.
        api: String,
        /// What it names.
        kind: &'static str,
        /// By which name.
        name: String,
    },
    /// No rule tells two routes apart.
    #[error("a call could be for the route `{first}` and for `{second}`, and no rule tells which")]
    AmbiguousRoutes {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// An issuer can't be used.
    #[error("issuer `{issuer}`: {why}")]
    Issuer {
        /// The issuer.
        issuer: String,
        /// What is wrong with it.
        why: String,
    },
    /// An upstream can't be used.
    #[error("upstream `{upstream}`: {why}")]
    Upstream {
        /// The upstream.
        upstream: String,
        /// What is wrong with it.
        why: String,
    },
    /// A provider of AI models can't be used.
    #[error("provider `{provider}`: {why}")]
    Provider {
        /// The provider.
        provider: String,
        /// What is wrong with it.
        why: String,
    },
    /// A prompt can't be used.
    #[error("prompt `{prompt}`: {why}")]
    Prompt {
        /// The prompt and its version.
        prompt: String,
        /// What is wrong with it.
        why: String,
    },
    /// A credential can't be used.
    #[error("credential `{credential}`: {why}")]
    Credential {
        /// The credential.
        credential: String,
        /// What is wrong with it.
        why: String,
    },
    /// Roles or policies can't be used.
    #[error("{0}")]
    Access(String),
    /// Something can't be prepared.
    #[error("api `{api}`: {why}")]
    Unusable {
        /// The API.
        api: String,
        /// What is wrong with it.
        why: String,
    },
}

/// One configuration, ready to serve.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) revision: Revision,
    apis: Vec<Arc<CompiledApi>>,
    pub(crate) table: RouteTable,
    resources: ProtectedResources,
}

impl Snapshot {
    /// A snapshot that serves nothing.
    pub(crate) fn empty() -> Self {
        Self {
            revision: Revision::default(),
            apis: Vec::new(),
            table: RouteTable::default(),
            resources: ProtectedResources::default(),
        }
    }

    /// Compiles a configuration, and has `continuity` remember it.
    pub(crate) fn compile(
        revision: Revision,
        resources: &[Arc<Resource>],
        issuers: &Issuers,
        own: Option<&Issuer>,
        continuity: &mut Continuity,
        workers: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, CompileError> {
        let (snapshot, made_of) = Self::prepare(
            revision, resources, issuers, own, continuity, workers, clock,
        )?;
        continuity.remember(made_of);
        Ok(snapshot)
    }

    /// Compiles a configuration. What is the same as in the one before is taken over from `continuity`. With it comes
    /// what that is to remember once the snapshot is served.
    pub(crate) fn prepare(
        revision: Revision,
        resources: &[Arc<Resource>],
        issuers: &Issuers,
        own: Option<&Issuer>,
        continuity: &mut Continuity,
        workers: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Self, MadeOf), CompileError> {
        // What was prepared before and never served leaves nothing behind.
        continuity.forget_unused();
        let plans = continuity.upstreams(resources, clock, issuers.context())?;
        let access = continuity.access(resources)?;
        let prompts = continuity.prompts(resources)?;
        let surroundings = Surroundings {
            models: ModelResources::of(resources, &plans.providers, &prompts),
            access: Arc::clone(&access),
            upstreams: plans.by_name(),
            issuers: OpenIssuers::open(issuers, own, resources)?,
            forged: continuity.forged(identity_names(resources)),
            trust: RefCell::default(),
            addresses: RefCell::default(),
        };
        let apis = continuity.apis(resources, &surroundings, workers)?;
        let hosts = continuity.hosts(&apis)?;
        let all: Vec<_> = apis.values().map(Arc::clone).collect();
        let snapshot = Self {
            revision,
            table: RouteTable::new(&hosts),
            resources: ProtectedResources::of(&all),
            apis: all,
        };
        let issuers = surroundings.issuers.all();
        drop(surroundings);
        let made_of = MadeOf {
            issuers,
            apis,
            hosts,
            upstreams: plans,
            access,
            prompts,
        };
        Ok((snapshot, made_of))
    }

    /// The routes of the APIs that a client asks about as a protected resource.
    pub(crate) fn resource_at(&self, host: Option<&str>, path: &str) -> Vec<&Route> {
        self.resources.at(host, path)
    }

    /// Every route once: the first of its variants, which all count as one.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let routes = self.apis.iter().flat_map(|api| &api.routes);
        routes.filter_map(|route| route.variants.first())
    }

    /// A route of each API: what all routes of an API share is found there once.
    pub(crate) fn route_of_each_api(&self) -> impl Iterator<Item = &Arc<Route>> {
        let firsts = self.apis.iter().filter_map(|api| api.routes.first());
        firsts.filter_map(|route| route.variants.first())
    }
}

fn identity_names(resources: &[Arc<Resource>]) -> impl Iterator<Item = &str> {
    let apis = resources
        .iter()
        .filter_map(|resource| match &resource.spec {
            Spec::Api(api) => Some(api),
            Spec::Upstream(_)
            | Spec::Issuer(_)
            | Spec::Credential(_)
            | Spec::Role(_)
            | Spec::AccessPolicy(_)
            | Spec::KeySet(_)
            | Spec::Webhook(_)
            | Spec::ManagementRole(_)
            | Spec::Provider(_)
            | Spec::Model(_)
            | Spec::Prompt(_) => None,
        });
    apis.flat_map(|api| {
        let names = api.identity_headers.headers.iter().map(|(name, _)| &**name);
        names
            .chain(certificate_names(api).iter().copied())
            .chain(decided_names(api))
    })
}

/// What a service that decides about calls tells the upstream. Every caller has its own `authorization`.
fn decided_names(api: &Api) -> impl Iterator<Item = &str> {
    let routes = api.routes.iter();
    routes
        .filter_map(|route| route.policies.external_decision.as_ref())
        .flat_map(|decision| &decision.set_headers)
        .map(|name| &**name)
        .filter(|name| *name != "authorization")
}

/// What tells an upstream of a certificate (RFC 9440, section 2.4): where one API's upstream believes it, no
/// client may send it.
fn certificate_names(api: &Api) -> &'static [&'static str] {
    let clients = api.authentication.mutual_tls();
    let forwards = clients.is_some_and(|clients| clients.forward_certificate);
    if forwards || api.authentication.takes_proxied_certificates() {
        &[CLIENT_CERT, CLIENT_CERT_CHAIN]
    } else {
        &[]
    }
}

/// The current snapshot, with a number that tells workers cheaply that there is another.
#[derive(Debug)]
pub(crate) struct Snapshots {
    current: ArcSwap<Snapshot>,
    generation: AtomicU64,
}

impl Snapshots {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self {
            current: ArcSwap::from_pointee(snapshot),
            generation: AtomicU64::new(0),
        }
    }

    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The snapshot and a generation that is not newer than it.
    pub(crate) fn load(&self) -> (u64, Arc<Snapshot>) {
        let generation = self.generation();
        (generation, self.current.load_full())
    }
}
