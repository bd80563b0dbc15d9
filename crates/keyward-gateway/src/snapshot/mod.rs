//! The configuration as the data plane reads it: compiled when a revision changes, immutable, shared by
//! all workers, so that no request looks anything up by name, parses or allocates for it.

mod issuers;
mod local;
mod route;
mod route_table;

pub(crate) use local::{LocalRoute, LocalSnapshot, RouteRef};
pub(crate) use route::{LimitPolicy, Route, RouteTarget, TokenPolicy, TrustedIssuer};
pub(crate) use route_table::RouteTable;

use crate::issuer::Issuers;
use crate::metrics::RouteMetrics;
use crate::request::identity::ForgedNames;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;
use issuers::OpenIssuers;
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::{Issuer, Resource, Spec, Upstream};
use keyward_model::{Clock, Revision};
use std::collections::HashMap;
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
    /// Two served APIs have one base path.
    #[error("apis `{first}` and `{second}` have the same base path `{path}`")]
    SamePath {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// The path.
        path: String,
    },
    /// An issuer can't be used.
    #[error("issuer `{issuer}`: {why}")]
    Issuer {
        /// The issuer.
        issuer: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something can't be prepared.
    #[error("api `{api}`: {why}")]
    Unusable {
        /// The API.
        api: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The key set that this node publishes.
#[derive(Clone, Debug)]
pub struct PublishedKeys {
    /// A JWK set of public keys (RFC 7517, section 5).
    pub body: Bytes,
    /// Its entity tag, quotes included.
    pub etag: HeaderValue,
    /// How long it may be cached.
    pub cache_control: HeaderValue,
}

/// This node's own issuer, `self`.
#[derive(Clone, Debug)]
pub struct OwnIssuer {
    /// Its definition; its keys are [`Own`](keyward_model::resource::IssuerKeys::Own).
    pub issuer: Issuer,
    /// What it publishes.
    pub published: PublishedKeys,
}

/// One configuration, ready to serve.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) revision: Revision,
    pub(crate) routes: Vec<Arc<Route>>,
    pub(crate) table: RouteTable,
    pub(crate) published_keys: Option<PublishedKeys>,
}

/// What of a route outlives a reload, by its team, API and version.
pub(crate) type Continuity = HashMap<(TeamId, Name, Name), Arc<RouteMetrics>>;

impl Snapshot {
    /// A snapshot that serves nothing.
    pub(crate) fn empty() -> Self {
        Self {
            revision: Revision::default(),
            routes: Vec::new(),
            table: RouteTable::default(),
            published_keys: None,
        }
    }

    pub(crate) fn compile(
        revision: Revision,
        resources: &[Resource],
        issuers: &Issuers,
        own: Option<OwnIssuer>,
        continuity: &mut Continuity,
        workers: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, CompileError> {
        let upstreams = upstreams(resources);
        let issuers = OpenIssuers::open(issuers, own.as_ref().map(|own| &own.issuer), resources)?;
        let forged = Arc::new(forged_names(resources));
        let mut routes: Vec<Arc<Route>> = Vec::new();
        let mut table = RouteTable::default();
        for resource in resources {
            let Spec::Api(api) = &resource.spec else {
                continue;
            };
            if !api.state.serves() {
                continue;
            }
            let upstream = upstreams
                .get(&(resource.team, api.upstream.clone()))
                .ok_or_else(|| CompileError::Dangling {
                    api: format!("{}/{}", resource.name, api.version),
                    kind: "upstream",
                    name: api.upstream.to_string(),
                })?;
            let metrics = continuity
                .entry((resource.team, resource.name.clone(), api.version.clone()))
                .or_insert_with(|| Arc::new(RouteMetrics::new(workers)));
            let route = Route::compile(
                resource,
                api,
                upstream,
                &issuers,
                &forged,
                Arc::clone(metrics),
                clock,
            )?;
            if let Err(taken) = table.insert(&api.base_path, routes.len()) {
                let label =
                    |route: &Route| format!("{}/{}", route.labels.api, route.labels.version);
                return Err(CompileError::SamePath {
                    first: routes
                        .get(taken)
                        .map(|route| label(route))
                        .unwrap_or_default(),
                    second: label(&route),
                    path: api.base_path.to_string(),
                });
            }
            routes.push(Arc::new(route));
        }
        Ok(Self {
            revision,
            routes,
            table,
            published_keys: own.map(|own| own.published),
        })
    }
}

fn forged_names(resources: &[Resource]) -> ForgedNames {
    let apis = resources
        .iter()
        .filter_map(|resource| match &resource.spec {
            Spec::Api(api) => Some(api),
            Spec::Upstream(_) | Spec::Issuer(_) => None,
        });
    ForgedNames::new(
        apis.flat_map(|api| api.identity_headers.headers.iter().map(|(name, _)| &**name)),
    )
}

fn upstreams(resources: &[Resource]) -> HashMap<(TeamId, Name), &Upstream> {
    resources
        .iter()
        .filter_map(|resource| match &resource.spec {
            Spec::Upstream(upstream) => Some(((resource.team, resource.name.clone()), upstream)),
            Spec::Api(_) | Spec::Issuer(_) => None,
        })
        .collect()
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
