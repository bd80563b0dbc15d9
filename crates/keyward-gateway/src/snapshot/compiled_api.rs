//! One published API version with all its routes, and whether it is still what was declared.

use super::CompileError;
use super::issuers::OpenIssuers;
use super::limits::LimitPlans;
use super::models::{ModelInputs, ModelResources};
use super::plan::{MirrorPlan, SplitPlan};
use super::route::{ApiPolicy, MirrorRoute, Mirroring, Prepared, Route};
use super::route_table::RequestView;
use crate::issuer::IssuerKeySet;
use crate::metrics::{ApiMetrics, RouteMetrics};
use crate::policy::{AddressFileError, AddressSet, DecisionRoute, PolicyPlan};
use crate::request::identity::ForgedNames;
use crate::tls::ClientTrust;
use crate::upstream::UpstreamPlan;
use hashbrown::HashMap;
use keyward_access::{Catalogue, Inputs};
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::route::{Action, Forward, HeaderEdits, QueryEdits, RouteMatch};
use keyward_model::resource::{
    Api, BasePath, HostPattern, MutualTls, Policies, Resource, Spec, route,
};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An API version, ready to serve.
#[derive(Debug)]
pub(crate) struct CompiledApi {
    source: Source,
    pub(super) base_path: BasePath,
    pub(super) hosts: Vec<HostPattern>,
    pub(super) routes: Box<[Arc<CompiledRoute>]>,
}

/// Everything it was compiled from.
#[derive(Debug)]
struct Source {
    /// Holds the API: where it is the same piece of memory, nothing has to be compared.
    resource: Arc<Resource>,
    upstreams: Vec<Arc<UpstreamPlan>>,
    issuers: Vec<Arc<IssuerKeySet>>,
    trust: Option<Arc<ClientTrust>>,
    /// Digests of the address files that its policies name.
    addresses: Vec<Vec<u8>>,
    forged: Arc<ForgedNames>,
    access: Option<Inputs>,
    models: Option<ModelInputs>,
}

/// A route in all its variants: one for each upstream of a split. They differ in their targets alone.
#[derive(Debug)]
pub(crate) struct CompiledRoute {
    pub(super) matching: RouteMatch,
    split: Option<SplitPlan>,
    pub(super) variants: Box<[Arc<Route>]>,
}

/// What the compilation of all APIs shares.
pub(super) struct Surroundings<'a> {
    pub(super) upstreams: HashMap<(TeamId, &'a Name), Arc<UpstreamPlan>>,
    pub(super) issuers: OpenIssuers,
    pub(super) forged: Arc<ForgedNames>,
    /// Providers and models.
    pub(super) models: ModelResources,
    /// Roles and policies.
    pub(super) access: Arc<Catalogue>,
    /// Roots of clients' certificates that were read, so that a file is read once however many APIs name it.
    pub(super) trust: RefCell<HashMap<PathBuf, Arc<ClientTrust>>>,
    /// The same of files of addresses.
    pub(super) addresses: RefCell<HashMap<PathBuf, AddressFile>>,
}

/// The addresses of a file, and what stands for them.
#[derive(Clone, Debug)]
pub(super) struct AddressFile {
    set: Arc<AddressSet>,
    digest: Vec<u8>,
}

impl CompiledApi {
    /// Whether it was compiled from this very resource, and all that it refers to is what it was. It is cheap
    /// to see, and what it does not see [`compile`](Self::compile) does.
    pub(super) fn is_still(
        &self,
        resource: &Arc<Resource>,
        api: &Api,
        surroundings: &Surroundings<'_>,
    ) -> bool {
        let source = &self.source;
        Arc::ptr_eq(&source.resource, resource)
            && Arc::ptr_eq(&source.forged, &surroundings.forged)
            // Its files are read again.
            && source.trust.is_none()
            && source.addresses.is_empty()
            && surroundings.has_upstreams(resource, api, &source.upstreams)
            && surroundings.has_issuers(resource, api, &source.issuers)
            && surroundings
                .access
                .inputs(resource.team, api)
                .is_ok_and(|access| access == source.access)
            && surroundings
                .model_inputs(resource, api)
                .is_ok_and(|models| models == source.models)
    }

    /// Compiles an API, or gives back what it was compiled to `before` if nothing that it is made from
    /// has changed. `metrics` has the counters of its routes and limits.
    pub(super) fn compile(
        resource: &Arc<Resource>,
        api: &Api,
        surroundings: &Surroundings<'_>,
        before: Option<&Arc<Self>>,
        metrics: &mut ApiMetrics,
    ) -> Result<Arc<Self>, CompileError> {
        let upstreams = surroundings.upstreams_of(resource, api)?;
        let issuers = surroundings.issuers_of(resource, api)?;
        let trust = surroundings.trust_of(resource, api)?;
        let addresses = surroundings.addresses_of(resource, api)?;
        let access = surroundings.access.inputs(resource.team, api);
        let access = access.map_err(|error| unusable(resource, api, &error))?;
        let models = surroundings.model_inputs(resource, api)?;
        if let Some(before) = before
            && before.source.is(
                api,
                &upstreams,
                &issuers,
                trust.as_ref(),
                &surroundings.forged,
                access.as_ref(),
            )
            && before.source.addresses == addresses
            && before.source.models == models
        {
            return Ok(Arc::clone(before));
        }
        let policy = ApiPolicy::new(
            resource,
            api,
            &issuers,
            trust.as_ref(),
            &surroundings.forged,
        )?;
        let rules = match &access {
            Some(inputs) => inputs
                .rules(resource, api)
                .map_err(|error| unusable(resource, api, &error))?,
            None => vec![None; api.routes.len()],
        };
        let label = format!("{}/{}", resource.name, api.version);
        let mut limits = LimitPlans::new(api, &label);
        let mut named = upstreams.iter();
        let ai = match (&models, api.routes.first()) {
            (Some(models), Some(first)) => {
                let prepared = Prepared {
                    policy: &policy,
                    rule: None,
                    limits: &limits.of(first, metrics),
                    policies: None,
                    decision: None,
                    ai: None,
                };
                let budgets = models.budgets(&label, api, metrics);
                let metrics = metrics.route(&first.label);
                Some(models.compile(resource, api, prepared, &metrics, budgets)?)
            }
            (Some(_) | None, _) => None,
        };
        // Routes mostly have the policies of their API: those are prepared once.
        let none = Policies::default();
        let mut last = (&none, None);
        let routes = api
            .routes
            .iter()
            .zip(&rules)
            .map(|(route, rule)| {
                if *last.0 != route.policies {
                    let plan = surroundings.policies_of(resource, api, route)?;
                    last = (&route.policies, plan);
                }
                let limits = limits.of(route, metrics);
                let metrics = metrics.route(&route.label);
                let shared = Prepared {
                    policy: &policy,
                    rule: rule.as_ref(),
                    limits: &limits,
                    policies: last.1.as_ref(),
                    decision: None,
                    ai: ai.as_ref(),
                };
                CompiledRoute::new(resource, api, route, shared, &mut named, &metrics).map(Arc::new)
            })
            .collect::<Result<_, _>>()?;
        Ok(Arc::new(Self {
            base_path: api.base_path.clone(),
            hosts: api.hosts.clone(),
            routes,
            source: Source {
                resource: Arc::clone(resource),
                upstreams,
                issuers,
                trust,
                addresses,
                forged: Arc::clone(&surroundings.forged),
                access,
                models,
            },
        }))
    }
}

impl Source {
    fn is(
        &self,
        api: &Api,
        upstreams: &[Arc<UpstreamPlan>],
        issuers: &[Arc<IssuerKeySet>],
        trust: Option<&Arc<ClientTrust>>,
        forged: &Arc<ForgedNames>,
        access: Option<&Inputs>,
    ) -> bool {
        // An issuer or upstream that is defined as before is the one that was opened before.
        same(&self.issuers, issuers)
            && same(&self.upstreams, upstreams)
            && self.trust.as_ref() == trust
            && self.access.as_ref() == access
            && Arc::ptr_eq(&self.forged, forged)
            && self.is_of(api)
    }

    fn is_of(&self, api: &Api) -> bool {
        match &self.resource.spec {
            Spec::Api(mine) => mine == api,
            Spec::Upstream(_)
            | Spec::Issuer(_)
            | Spec::Credential(_)
            | Spec::Role(_)
            | Spec::AccessPolicy(_)
            | Spec::KeySet(_)
            | Spec::Webhook(_)
            | Spec::ManagementRole(_)
            | Spec::Provider(_)
            | Spec::Model(_) => false,
        }
    }
}

fn same<T>(mine: &[Arc<T>], others: &[Arc<T>]) -> bool {
    let mut pairs = mine.iter().zip(others);
    mine.len() == others.len() && pairs.all(|(mine, other)| Arc::ptr_eq(mine, other))
}

impl CompiledRoute {
    /// `named` are the route's upstreams, in the order of [`route::Route::upstreams`].
    fn new<'u>(
        resource: &Resource,
        api: &Api,
        declared: &route::Route,
        prepared: Prepared<'_>,
        named: &mut impl Iterator<Item = &'u Arc<UpstreamPlan>>,
        metrics: &Arc<RouteMetrics>,
    ) -> Result<Self, CompileError> {
        let mut own: Vec<_> = named.take(declared.upstreams().count()).collect();
        let decision = match &declared.policies.external_decision {
            Some(decision) => {
                let asks = question_route(declared, &decision.upstream);
                let (kind, metrics) = (Mirroring::Questions, Arc::clone(metrics));
                let route =
                    Route::compile(resource, api, &asks, prepared, own.pop(), kind, metrics)?;
                Some(Arc::new(DecisionRoute::new(decision, Arc::new(route))))
            }
            None => None,
        };
        let variant = |upstream: Option<&Arc<UpstreamPlan>>, mirror| {
            let metrics = Arc::clone(metrics);
            // Copies are of calls that were decided about.
            let decision = match &mirror {
                Mirroring::Of(_) => decision.as_ref(),
                Mirroring::Copies(_) | Mirroring::Questions => None,
            };
            let prepared = Prepared {
                decision,
                ..prepared
            };
            Route::compile(resource, api, declared, prepared, upstream, mirror, metrics)
                .map(Arc::new)
        };
        let mut named = own.into_iter();
        let (mut variants, mut split) = (Vec::new(), None);
        match &declared.action {
            Action::Forward(Forward {
                shares,
                mirror: copied,
                rewrite: _,
            }) => {
                let own: Vec<_> = named.by_ref().take(shares.len()).collect();
                let copies_to = copied.as_ref().and_then(|_| named.next());
                let mirror = match (copied, copies_to) {
                    (Some(copied), Some(upstream)) => {
                        let copies = Mirroring::Copies(copied);
                        metrics.mirrors();
                        Some(Arc::new(MirrorRoute {
                            plan: MirrorPlan::new(copied),
                            route: variant(Some(upstream), copies)?,
                        }))
                    }
                    (Some(_) | None, _) => None,
                };
                for upstream in own {
                    let mirror = Mirroring::Of(mirror.clone());
                    variants.push(variant(Some(upstream), mirror)?);
                }
                split = SplitPlan::new(shares);
            }
            Action::Redirect(_) | Action::Respond(_) | Action::Infer(_) => {
                variants.push(variant(None, Mirroring::Of(None))?);
            }
        }
        Ok(Self {
            matching: declared.matching.clone(),
            split,
            variants: variants.into(),
        })
    }

    /// The variant that takes the call, and its number.
    pub(super) fn choose(
        &self,
        turn: impl FnOnce() -> u32,
        request: &RequestView<'_>,
    ) -> Option<(usize, &Arc<Route>)> {
        let variant = match &self.split {
            Some(split) => split.choose(turn(), request),
            None => 0,
        };
        Some((variant, self.variants.get(variant)?))
    }

    /// What it is called, with its API.
    pub(super) fn label(&self) -> String {
        self.variants.first().map_or_else(String::new, |route| {
            let labels = &route.labels;
            format!("{}/{} {}", labels.api, labels.version, labels.route)
        })
    }
}

/// The way of questions about a route's calls: nothing that the route says of its own upstream holds for it.
fn question_route(declared: &route::Route, upstream: &Name) -> route::Route {
    route::Route {
        query: QueryEdits::default(),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        compression: None,
        decompression: None,
        websocket: None,
        action: Action::Forward(Forward::to(upstream.clone())),
        capture: None,
        content: None,
        policies: Policies::default(),
        ..declared.clone()
    }
}

impl Surroundings<'_> {
    /// Whether these are the upstreams of all routes of an API.
    fn has_upstreams(&self, resource: &Resource, api: &Api, these: &[Arc<UpstreamPlan>]) -> bool {
        let mut these = these.iter();
        let names = api.routes.iter().flat_map(route::Route::upstreams);
        let mut pairs =
            names.map(|name| (self.upstreams.get(&(resource.team, name)), these.next()));
        let same = pairs.all(|(mine, this)| match (mine, this) {
            (Some(mine), Some(this)) => Arc::ptr_eq(mine, this),
            (None, _) | (_, None) => false,
        });
        drop(pairs);
        same && these.next().is_none()
    }

    /// Whether these are the issuers of an API.
    fn has_issuers(&self, resource: &Resource, api: &Api, these: &[Arc<IssuerKeySet>]) -> bool {
        let Some(tokens) = api.authentication.token() else {
            return these.is_empty();
        };
        let issuers = &tokens.issuers;
        let of = |name: &Name| self.issuers.get(resource.team, name);
        let mut pairs = issuers.iter().zip(these);
        issuers.len() == these.len()
            && pairs.all(|(name, this)| of(name).is_some_and(|mine| Arc::ptr_eq(&mine, this)))
    }

    /// The upstreams of all routes of an API, in the order they name them.
    fn upstreams_of(
        &self,
        resource: &Resource,
        api: &Api,
    ) -> Result<Vec<Arc<UpstreamPlan>>, CompileError> {
        let names = api.routes.iter().flat_map(route::Route::upstreams);
        names
            .map(|name| {
                let upstream = self.upstreams.get(&(resource.team, name)).cloned();
                upstream.ok_or_else(|| dangling(resource, api, "upstream", name))
            })
            .collect()
    }

    /// The roots of the API's own that its callers' certificates are checked against.
    fn trust_of(
        &self,
        resource: &Resource,
        api: &Api,
    ) -> Result<Option<Arc<ClientTrust>>, CompileError> {
        let Some(MutualTls {
            roots: Some(path), ..
        }) = api.authentication.mutual_tls()
        else {
            return Ok(None);
        };
        if let Some(known) = self.trust.borrow().get(path) {
            return Ok(Some(Arc::clone(known)));
        }
        let read = ClientTrust::read(path).map_err(|error| CompileError::Unusable {
            api: format!("{}/{}", resource.name, api.version),
            why: error.to_string(),
        })?;
        let read = Arc::new(read);
        let mut known = self.trust.borrow_mut();
        known.insert(path.clone(), Arc::clone(&read));
        Ok(Some(read))
    }

    /// The addresses of a file, read once however many APIs name it.
    fn address_file(&self, path: &Path) -> Result<AddressFile, AddressFileError> {
        if let Some(known) = self.addresses.borrow().get(path) {
            return Ok(known.clone());
        }
        let set = AddressSet::read(path)?;
        let read = AddressFile {
            digest: set.digest(),
            set: Arc::new(set),
        };
        let mut known = self.addresses.borrow_mut();
        known.insert(path.to_owned(), read.clone());
        Ok(read)
    }

    /// What stands for the files of addresses that the API's policies name, each once.
    fn addresses_of(&self, resource: &Resource, api: &Api) -> Result<Vec<Vec<u8>>, CompileError> {
        let routes = api.routes.iter();
        let paths: BTreeSet<_> = routes.flat_map(|route| route.policies.paths()).collect();
        paths
            .into_iter()
            .map(|path| match self.address_file(path) {
                Ok(file) => Ok(file.digest),
                Err(error) => Err(unusable(resource, api, &error)),
            })
            .collect()
    }

    fn policies_of(
        &self,
        resource: &Resource,
        api: &Api,
        route: &route::Route,
    ) -> Result<Option<Arc<PolicyPlan>>, CompileError> {
        let mut file = |path: &Path| self.address_file(path).map(|file| file.set);
        PolicyPlan::compile(&route.policies, &mut file)
            .map_err(|error| unusable(resource, api, &error))
    }

    fn issuers_of(
        &self,
        resource: &Resource,
        api: &Api,
    ) -> Result<Vec<Arc<IssuerKeySet>>, CompileError> {
        let Some(tokens) = api.authentication.token() else {
            return Ok(Vec::new());
        };
        let issuers = &tokens.issuers;
        let open = |name: &Name| {
            let opened = self.issuers.get(resource.team, name);
            opened.ok_or_else(|| dangling(resource, api, "issuer", name))
        };
        issuers.iter().map(open).collect()
    }
}

pub(super) fn unusable(
    resource: &Resource,
    api: &Api,
    why: &dyn std::error::Error,
) -> CompileError {
    CompileError::Unusable {
        api: format!("{}/{}", resource.name, api.version),
        why: why.to_string(),
    }
}

fn dangling(resource: &Resource, api: &Api, kind: &'static str, name: &Name) -> CompileError {
    CompileError::Dangling {
        api: format!("{}/{}", resource.name, api.version),
        kind,
        name: name.to_string(),
    }
}
