//! Models and providers, for the APIs that serve them.

use super::CompileError;
use super::compiled_api::{Surroundings, unusable};
use super::route::{Mirroring, Prepared, Route};
use crate::ai::{AiPlan, AiTarget, ModelPlan, ProviderPlan, ProviderRoute};
use crate::metrics::RouteMetrics;
use hashbrown::HashMap;
use keyward_access::Inputs;
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::route::{Action, Forward};
use keyward_model::resource::{Api, Model, OfferedModels, Resource, Spec, route};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a configuration has of both.
#[derive(Debug, Default)]
pub(super) struct ModelResources {
    models: BTreeMap<(TeamId, Name), Arc<Resource>>,
    providers: BTreeMap<(TeamId, Name), Arc<ProviderPlan>>,
}

/// What the models of one API are made of.
#[derive(Debug)]
pub(super) struct ModelInputs {
    models: Vec<Arc<Resource>>,
    /// Each that one of them names, once.
    providers: Vec<Arc<ProviderPlan>>,
    access: Option<Inputs>,
}

impl ModelResources {
    pub(super) fn of(
        resources: &[Arc<Resource>],
        providers: &BTreeMap<(TeamId, Name), Arc<ProviderPlan>>,
    ) -> Self {
        let models = resources
            .iter()
            .filter(|resource| model(resource).is_some());
        Self {
            models: models
                .map(|resource| ((resource.team, resource.name.clone()), Arc::clone(resource)))
                .collect(),
            providers: providers.clone(),
        }
    }
}

fn model(resource: &Resource) -> Option<&Model> {
    match &resource.spec {
        Spec::Model(model) => Some(model),
        Spec::Issuer(_)
        | Spec::Upstream(_)
        | Spec::Api(_)
        | Spec::Credential(_)
        | Spec::Role(_)
        | Spec::AccessPolicy(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Provider(_) => None,
    }
}

/// The same models with the same providers behind them: those that have not changed are taken over as they are.
impl PartialEq for ModelInputs {
    fn eq(&self, other: &Self) -> bool {
        let same = |one: &Arc<Resource>, two: &Arc<Resource>| {
            Arc::ptr_eq(one, two) || (one.name == two.name && one.spec == two.spec)
        };
        let (models, providers) = (self.models.iter(), self.providers.iter());
        self.models.len() == other.models.len()
            && models.zip(&other.models).all(|(one, two)| same(one, two))
            && self.providers.len() == other.providers.len()
            && providers
                .zip(&other.providers)
                .all(|(one, two)| Arc::ptr_eq(one, two))
            && self.access == other.access
    }
}

impl Surroundings<'_> {
    /// What the models of an API are made of; `None` for one that serves none.
    pub(super) fn model_inputs(
        &self,
        resource: &Resource,
        api: &Api,
    ) -> Result<Option<ModelInputs>, CompileError> {
        let Some(ai) = &api.ai else { return Ok(None) };
        let dangling = |kind, name: &Name| CompileError::Dangling {
            api: format!("{}/{}", resource.name, api.version),
            kind,
            name: name.to_string(),
        };
        let known = &self.models;
        let models: Vec<Arc<Resource>> = match &ai.models {
            OfferedModels::All => {
                let all = known.models.iter();
                let own = all.filter(|((team, _), _)| *team == resource.team);
                own.map(|(_, model)| Arc::clone(model)).collect()
            }
            OfferedModels::These(names) => names
                .iter()
                .map(|name| {
                    let model = known.models.get(&(resource.team, name.clone())).cloned();
                    model.ok_or_else(|| dangling("model", name))
                })
                .collect::<Result<_, _>>()?,
        };
        let mut providers: Vec<Arc<ProviderPlan>> = Vec::new();
        let targets = models.iter().filter_map(|resource| model(resource));
        for target in targets.flat_map(Model::all) {
            if providers.iter().any(|known| known.name == target.provider) {
                continue;
            }
            let key = (resource.team, target.provider.clone());
            let own = known.providers.get(&key);
            let shared = || {
                let key = (TeamId::DEFAULT, target.provider.clone());
                let found = known.providers.get(&key);
                found.filter(|found| found.is_shared_with(&resource.team_name))
            };
            let provider = own.or_else(shared).cloned();
            providers.push(provider.ok_or_else(|| dangling("provider", &target.provider))?);
        }
        let access = self
            .access
            .inputs(resource.team, &api_of_models(api, &models))
            .map_err(|error| unusable(resource, api, &error))?;
        Ok(Some(ModelInputs {
            models,
            providers,
            access,
        }))
    }
}

/// The API as rules about its models see it: each is a route of its own, so that policies decide about it as about any.
fn api_of_models(api: &Api, models: &[Arc<Resource>]) -> Api {
    let routes = models.iter().filter_map(|resource| {
        let mut route = route::Route::everything(&api.base_path, resource.name.clone());
        route.label = format!("model {}", resource.name).into();
        route.authorization = model(resource)?.authorization.clone();
        Some(route)
    });
    Api {
        routes: routes.collect(),
        ..api.clone()
    }
}

impl ModelInputs {
    pub(super) fn compile(
        &self,
        resource: &Resource,
        api: &Api,
        prepared: Prepared<'_>,
        metrics: &Arc<RouteMetrics>,
    ) -> Result<Arc<AiPlan>, CompileError> {
        let rules = match &self.access {
            Some(inputs) => inputs
                .rules(resource, &api_of_models(api, &self.models))
                .map_err(|error| unusable(resource, api, &error))?,
            None => vec![None; self.models.len()],
        };
        let providers = self.providers.iter().map(|plan| {
            let declared = route::Route::of(
                &api.base_path,
                Action::Forward(Forward::to(plan.name.clone())),
            );
            // Its answers are read or translated here, and nothing else is done with them.
            let kind = Mirroring::Questions;
            let (upstream, metrics) = (Some(&plan.upstream), Arc::clone(metrics));
            let route = Route::compile(resource, api, &declared, prepared, upstream, kind, metrics);
            let route = Route {
                // Models that reason say nothing for a while.
                body_idle: plan.silence(),
                max_body_bytes: None,
                ..route?
            };
            Ok(ProviderRoute {
                plan: Arc::clone(plan),
                route: Arc::new(route),
            })
        });
        let providers: Box<[_]> = providers.collect::<Result<_, CompileError>>()?;
        let places: HashMap<&Name, usize> =
            self.providers
                .iter()
                .enumerate()
                .fold(HashMap::new(), |mut places, (place, plan)| {
                    places.insert(&plan.name, place);
                    places
                });
        let mut models = BTreeMap::new();
        for (declared, access) in self.models.iter().zip(rules) {
            let Some(model) = model(declared) else {
                continue;
            };
            let targets = model.all().filter_map(|target| {
                let place = *places.get(&target.provider)?;
                let provider = self.providers.get(place)?;
                let (asked, price) = provider.model(&target.model);
                Some(AiTarget {
                    provider: place,
                    asked,
                    weight: target.weight,
                    price,
                    price_revision: provider.price_revision(),
                })
            });
            let name: Box<str> = declared.name.as_str().into();
            let plan = ModelPlan {
                name: name.clone(),
                targets: targets.collect(),
                weighted: model.targets.len(),
                attempts: model.attempts.get(),
                scopes: model.authorization.scopes.clone(),
                access,
            };
            models.insert(name, Arc::new(plan));
        }
        Ok(Arc::new(AiPlan::new(models, providers)))
    }
}
