//! What outlives a reload.

use super::CompileError;
use super::compiled_api::{CompiledApi, Surroundings};
use super::route_table::HostTable;
use super::upstreams::{UpstreamPlans, Upstreams};
use crate::ai::prompt::{CompiledPrompt, served};
use crate::ai::{MachineEnvironment, ProviderPlan};
use crate::issuer::{IssuerKeySet, IssuersContext};
use crate::metrics::ApiMetrics;
use crate::request::identity::ForgedNames;
use crate::upstream::{UpstreamGuard, UpstreamPlan};
use hashbrown::{HashMap, HashSet};
use keyward_access::Catalogue;
use keyward_model::Clock;
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::{Api, HostPattern, Resource, Spec};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Team, name and version of an API.
type ApiKey = (TeamId, Name, Name);

/// APIs by what identifies them.
pub(super) type Apis = BTreeMap<ApiKey, Arc<CompiledApi>>;

/// Prompts by team, name and version.
pub(super) type Prompts = BTreeMap<ApiKey, Arc<CompiledPrompt>>;

/// Tables by host; `None` stands for the APIs that name no host.
pub(super) type Hosts = BTreeMap<Option<HostPattern>, Arc<HostTable>>;

/// What the snapshot before was made of, so that the next one compiles only what has changed, and the
/// counters of all routes there ever were.
#[derive(Debug, Default)]
pub(crate) struct Continuity {
    metrics: HashMap<ApiKey, ApiMetrics>,
    apis: Apis,
    hosts: Hosts,
    forged: Option<(HashSet<Box<str>>, Arc<ForgedNames>)>,
    upstreams: Upstreams,
    access: Option<Arc<Catalogue>>,
    prompts: Prompts,
}

impl Continuity {
    /// Nothing yet; `guard` says what tenants' upstreams may not be, `machine` what this machine has of its own.
    pub(crate) fn guarded(guard: UpstreamGuard, machine: Arc<MachineEnvironment>) -> Self {
        let mut continuity = Self::default();
        continuity.upstreams.guard = Arc::new(guard);
        continuity.upstreams.machine = machine;
        continuity
    }

    /// The upstreams of a configuration: as before, those that are the same.
    pub(super) fn upstreams(
        &mut self,
        resources: &[Arc<Resource>],
        clock: &Arc<dyn Clock>,
        context: &IssuersContext,
    ) -> Result<UpstreamPlans, CompileError> {
        self.upstreams.prepare(resources, clock, context)
    }

    /// Credentials that have to be fetched are fetched from now on.
    pub(crate) fn begin_providers(&self) {
        self.upstreams.begin_providers();
    }

    /// Roles and policies: as before, those that are the same.
    pub(super) fn access(
        &self,
        resources: &[Arc<Resource>],
    ) -> Result<Arc<Catalogue>, CompileError> {
        Catalogue::new(resources, self.access.as_deref())
            .map(Arc::new)
            .map_err(|error| CompileError::Access(error.to_string()))
    }

    /// The prompts that can be called: as before, those that are the same.
    pub(super) fn prompts(&self, resources: &[Arc<Resource>]) -> Result<Prompts, CompileError> {
        let served = resources.iter().filter_map(|resource| {
            let prompt = served(resource)?;
            Some((resource, prompt))
        });
        served
            .map(|(resource, prompt)| {
                let key = (resource.team, resource.name.clone(), prompt.version.clone());
                let before = self.prompts.get(&key);
                let compiled = CompiledPrompt::of(resource, prompt, before);
                let compiled = compiled.map_err(|why| CompileError::Prompt {
                    prompt: format!("{}/{}", resource.name, prompt.version),
                    why,
                })?;
                Ok((key, compiled))
            })
            .collect()
    }

    /// The prompts that are served.
    pub(crate) fn served_prompts(&self) -> impl Iterator<Item = &Arc<CompiledPrompt>> {
        self.prompts.values()
    }

    /// The upstreams that are served.
    pub(crate) fn served_upstreams(&self) -> impl Iterator<Item = &Arc<UpstreamPlan>> {
        self.upstreams.served()
    }

    /// The providers that are served.
    pub(crate) fn served_providers(&self) -> impl Iterator<Item = &Arc<ProviderPlan>> {
        self.upstreams.served_providers()
    }

    /// The names that no client may send: as before, if they are the same.
    pub(super) fn forged<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> Arc<ForgedNames> {
        let names: HashSet<&str> = names.collect();
        if let Some((known, forged)) = &self.forged
            && known.len() == names.len()
            && names.iter().all(|name| known.contains(*name))
        {
            return Arc::clone(forged);
        }
        let forged = Arc::new(ForgedNames::new(names.iter().copied()));
        let names = names.into_iter().map(Into::into).collect();
        self.forged = Some((names, Arc::clone(&forged)));
        forged
    }

    /// The APIs that are served: as before, those that are the same.
    pub(super) fn apis(
        &mut self,
        resources: &[Arc<Resource>],
        surroundings: &Surroundings<'_>,
        workers: usize,
    ) -> Result<Apis, CompileError> {
        let served = resources.iter().filter_map(|resource| {
            let api = served_api(resource)?;
            Some((resource, api))
        });
        served
            .map(|(resource, api)| {
                let key = (resource.team, resource.name.clone(), api.version.clone());
                let before = self.apis.get(&key);
                if let Some(before) = before
                    && before.is_still(resource, api, surroundings)
                {
                    return Ok((key, Arc::clone(before)));
                }
                let new = || ApiMetrics::new(workers);
                let metrics = self.metrics.entry(key.clone()).or_insert_with(new);
                let compiled = CompiledApi::compile(resource, api, surroundings, before, metrics)?;
                Ok((key, compiled))
            })
            .collect()
    }

    /// The tables of all hosts: as before, those whose APIs are the same.
    pub(super) fn hosts(&self, apis: &Apis) -> Result<Hosts, CompileError> {
        let mut by_host: BTreeMap<Option<&HostPattern>, Vec<Arc<CompiledApi>>> = BTreeMap::new();
        for api in apis.values() {
            let mut add = |host| by_host.entry(host).or_default().push(Arc::clone(api));
            api.hosts.iter().map(Some).for_each(&mut add);
            if api.hosts.is_empty() {
                add(None);
            }
        }
        by_host
            .into_iter()
            .map(|(host, apis)| {
                let host = host.cloned();
                if let Some(before) = self.hosts.get(&host).filter(|table| table.is_of(&apis)) {
                    return Ok((host, Arc::clone(before)));
                }
                let table =
                    HostTable::new(apis).map_err(|rivals| CompileError::AmbiguousRoutes {
                        first: rivals.first.label(),
                        second: rivals.second.label(),
                    })?;
                Ok((host, Arc::new(table)))
            })
            .collect()
    }

    /// Drops what was counted for routes that are gone, once the last call to them is: else every name that
    /// was ever served would stay.
    pub(crate) fn forget_unused(&mut self) {
        self.metrics.retain(|_, metrics| metrics.forget_unused());
        self.upstreams.forget_unused();
    }

    /// The tables of the last snapshot.
    #[cfg(test)]
    pub(super) fn tables(&self) -> impl Iterator<Item = (Option<&HostPattern>, &Arc<HostTable>)> {
        let hosts = self.hosts.iter();
        hosts.map(|(host, table)| (host.as_ref(), table))
    }

    /// Keeps what a snapshot was made of for the next one: it is served from now on.
    pub(crate) fn remember(&mut self, made_of: MadeOf) {
        for issuer in made_of.issuers.iter().filter_map(Weak::upgrade) {
            issuer.begin();
        }
        self.access = Some(made_of.access);
        self.prompts = made_of.prompts;
        self.apis = made_of.apis;
        self.hosts = made_of.hosts;
        self.upstreams.serve(made_of.upstreams);
    }
}

/// What a snapshot was made of.
#[derive(Debug)]
pub(crate) struct MadeOf {
    pub(super) issuers: Vec<Weak<IssuerKeySet>>,
    pub(super) apis: Apis,
    pub(super) hosts: Hosts,
    pub(super) upstreams: UpstreamPlans,
    pub(super) access: Arc<Catalogue>,
    pub(super) prompts: Prompts,
}

fn served_api(resource: &Resource) -> Option<&Api> {
    match &resource.spec {
        Spec::Api(api) => api.state.serves().then_some(api),
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
    }
}
