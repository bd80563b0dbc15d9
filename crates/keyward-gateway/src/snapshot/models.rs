//! Models and providers, for the APIs that serve them.

use super::CompileError;
use super::compiled_api::{Surroundings, unusable};
use super::continuity::Prompts;
use super::route::{Mirroring, Prepared, Route};
use crate::ai::prompt::{CompiledPrompt, PromptPlan, PromptVersion};
use crate::ai::{
    AiPlan, AiTarget, CachePlan, Group, GuardPlan, Member, ModelPlan, Needs, ProviderPlan,
    ProviderRoute, To,
};
use crate::metrics::{ApiMetrics, RouteMetrics};
use crate::snapshot::BudgetPlan;
use crate::upstream::{UpstreamPlan, hash_of};
use hashbrown::HashMap;
use keyward_access::{Inputs, Rule};
use keyward_llm::ModelMembers;
use keyward_llm::catalogue::Price;
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::ai::OfferedPrompts;
use keyward_model::resource::route::{Action, Forward};
use keyward_model::resource::{
    Ai, Answers, Api, AskedAbility, Guarded, Guardrail, KnownOfModel, Model, ModelChoice,
    OfferedModels, Resource, Spec, Sticky, route,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a configuration has of both.
#[derive(Debug, Default)]
pub(super) struct ModelResources {
    models: BTreeMap<(TeamId, Name), Arc<Resource>>,
    providers: BTreeMap<(TeamId, Name), Arc<ProviderPlan>>,
    prompts: Prompts,
}

/// What the models of one API are made of.
#[derive(Debug)]
pub(super) struct ModelInputs {
    /// Those that are offered, then those that one of them names and that are not.
    models: Vec<Arc<Resource>>,
    /// How many of them callers may ask for.
    offered: usize,
    /// What it serves of prompts, in all their versions.
    prompts: Vec<Arc<CompiledPrompt>>,
    /// The names of those that guardrails and caches ask.
    helpers: BTreeSet<Name>,
    /// Each that one of them names, once.
    providers: Vec<Arc<ProviderPlan>>,
    /// The upstreams that guardrails ask.
    asked: Vec<(Name, Arc<UpstreamPlan>)>,
    access: Option<Inputs>,
}

impl ModelResources {
    pub(super) fn of(
        resources: &[Arc<Resource>],
        providers: &BTreeMap<(TeamId, Name), Arc<ProviderPlan>>,
        prompts: &Prompts,
    ) -> Self {
        let models = resources
            .iter()
            .filter(|resource| model(resource).is_some());
        Self {
            models: models
                .map(|resource| ((resource.team, resource.name.clone()), Arc::clone(resource)))
                .collect(),
            providers: providers.clone(),
            prompts: prompts.clone(),
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
        | Spec::Provider(_)
        | Spec::Prompt(_) => None,
    }
}

/// The same models with the same providers behind them: those that have not changed are taken over as they are.
impl PartialEq for ModelInputs {
    fn eq(&self, other: &Self) -> bool {
        let same = |one: &Arc<Resource>, two: &Arc<Resource>| {
            Arc::ptr_eq(one, two) || (one.name == two.name && one.spec == two.spec)
        };
        let (models, providers) = (self.models.iter(), self.providers.iter());
        self.offered == other.offered
            && self.models.len() == other.models.len()
            && models.zip(&other.models).all(|(one, two)| same(one, two))
            && self.helpers == other.helpers
            && self.asked.len() == other.asked.len()
            && self
                .asked
                .iter()
                .zip(&other.asked)
                .all(|((_, one), (_, two))| Arc::ptr_eq(one, two))
            && self.providers.len() == other.providers.len()
            && providers
                .zip(&other.providers)
                .all(|(one, two)| Arc::ptr_eq(one, two))
            && self.prompts.len() == other.prompts.len()
            && std::iter::zip(&self.prompts, &other.prompts).all(|(one, two)| Arc::ptr_eq(one, two))
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
        let mut models: Vec<Arc<Resource>> = match &ai.models {
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
        let offered = models.len();
        let mut names: BTreeSet<Name> = models.iter().map(|model| model.name.clone()).collect();
        let prompts = self.prompts_of(resource, ai);
        for prompt in &prompts {
            let name = prompt.model();
            if names.insert(name.clone()) {
                let asked = known.models.get(&(resource.team, name.clone())).cloned();
                models.push(asked.ok_or_else(|| dangling("model", name))?);
            }
        }
        let mut helpers: BTreeSet<Name> = ai.guarded.models().cloned().collect();
        let mut asked: Vec<(Name, Arc<UpstreamPlan>)> = Vec::new();
        let mut ask = |guarded: &Guarded| {
            for name in guarded.upstreams() {
                if !asked.iter().any(|(known, _)| known == name) {
                    let upstream = self.upstreams.get(&(resource.team, name)).cloned();
                    let upstream = upstream.ok_or_else(|| dangling("upstream", name))?;
                    asked.push((name.clone(), upstream));
                }
            }
            Ok(())
        };
        ask(&ai.guarded)?;
        let mut at = 0;
        loop {
            while let Some(next) = models.get(at).cloned() {
                at += 1;
                let Some(next) = model(&next) else { continue };
                ask(&next.guarded)?;
                helpers.extend(next.guarded.models().cloned());
                for name in next.aliases() {
                    if names.insert(name.clone()) {
                        let named = known.models.get(&(resource.team, name.clone())).cloned();
                        models.push(named.ok_or_else(|| dangling("model", name))?);
                    }
                }
            }
            let new = helpers.iter().find(|name| !names.contains(*name)).cloned();
            let Some(name) = new else { break };
            let helper = known.models.get(&(resource.team, name.clone())).cloned();
            models.push(helper.ok_or_else(|| dangling("model", &name))?);
            names.insert(name);
        }
        let mut providers: Vec<Arc<ProviderPlan>> = Vec::new();
        let targets = models.iter().filter_map(|resource| model(resource));
        let named = targets.flat_map(Model::all);
        for (name, _) in named.filter_map(|target| target.of_provider()) {
            if providers.iter().any(|known| known.name == *name) {
                continue;
            }
            let own = known.providers.get(&(resource.team, name.clone()));
            let shared = || {
                let key = (TeamId::DEFAULT, name.clone());
                let found = known.providers.get(&key);
                found.filter(|found| found.is_shared_with(&resource.team_name))
            };
            let provider = own.or_else(shared).cloned();
            providers.push(provider.ok_or_else(|| dangling("provider", name))?);
        }
        let access = self
            .access
            .inputs(resource.team, &api_of_models(api, &models, &prompts))
            .map_err(|error| unusable(resource, api, &error))?;
        Ok(Some(ModelInputs {
            models,
            offered,
            prompts,
            helpers,
            providers,
            asked,
            access,
        }))
    }

    /// The prompts that an API serves, in all the versions that can be called.
    fn prompts_of(&self, resource: &Resource, ai: &Ai) -> Vec<Arc<CompiledPrompt>> {
        let all = self.models.prompts.values();
        let offered = all.filter(|prompt| {
            prompt.team() == resource.team
                && match &ai.prompts {
                    OfferedPrompts::None => false,
                    OfferedPrompts::All => true,
                    OfferedPrompts::These(names) => names.contains(prompt.name()),
                }
        });
        offered.map(Arc::clone).collect()
    }
}

/// The API as rules about its models see it: each is a route of its own, so that policies decide about it as about any.
fn api_of_models(api: &Api, models: &[Arc<Resource>], prompts: &[Arc<CompiledPrompt>]) -> Api {
    let routes = models.iter().filter_map(|resource| {
        let mut route = route::Route::everything(&api.base_path, resource.name.clone());
        route.label = format!("model {}", resource.name).into();
        route.authorization = model(resource)?.authorization.clone();
        Some(route)
    });
    let prompts = prompts.iter().map(|prompt| {
        let mut route = route::Route::everything(&api.base_path, prompt.name().clone());
        route.label = format!("prompt {}", prompt.name()).into();
        route.authorization = prompt.authorization().clone();
        route
    });
    Api {
        routes: routes.chain(prompts).collect(),
        ..api.clone()
    }
}

/// The limits of an API's models, and of each of them, in order.
pub(super) struct ModelBudgets {
    api: Arc<BudgetPlan>,
    models: Vec<Arc<BudgetPlan>>,
}

impl ModelInputs {
    pub(super) fn budgets(&self, label: &str, api: &Api, metrics: &mut ApiMetrics) -> ModelBudgets {
        let own = api.ai.as_ref().map(|ai| &*ai.budgets).unwrap_or_default();
        ModelBudgets {
            api: BudgetPlan::of_api(label, own, metrics),
            models: self
                .models
                .iter()
                .map(|resource| {
                    let own = model(resource).map(|model| &*model.budgets);
                    BudgetPlan::of_model(&resource.name, own.unwrap_or_default(), metrics)
                })
                .collect(),
        }
    }

    pub(super) fn compile(
        &self,
        resource: &Resource,
        api: &Api,
        prepared: Prepared<'_>,
        metrics: &Arc<RouteMetrics>,
        budgets: ModelBudgets,
    ) -> Result<Arc<AiPlan>, CompileError> {
        let rules = match &self.access {
            Some(inputs) => inputs
                .rules(resource, &api_of_models(api, &self.models, &self.prompts))
                .map_err(|error| unusable(resource, api, &error))?,
            None => vec![None; self.models.len() + self.prompts.len()],
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
        let mut rules = rules.into_iter();
        let rules_of_models: Vec<_> = rules.by_ref().take(self.models.len()).collect();
        let rules_of_prompts = rules;
        let compiling = Compiling {
            models: self
                .models
                .iter()
                .zip(rules_of_models)
                .zip(budgets.models)
                .filter_map(|((resource, rule), budgets)| {
                    let declared = Declared {
                        model: model(resource)?,
                        rule,
                        budgets,
                    };
                    Some((&resource.name, declared))
                })
                .collect(),
            providers: self
                .providers
                .iter()
                .enumerate()
                .map(|(place, plan)| (&plan.name, (place, plan)))
                .collect(),
            workers: metrics.workers(),
        };
        let mut models = BTreeMap::new();
        let unusable = |name: &Name, why: &str| CompileError::Unusable {
            api: format!("{}/{}", resource.name, api.version),
            why: format!("model `{name}` {why}"),
        };
        let guarded = api.ai.as_ref().map(|ai| &*ai.guarded);
        let cache_of_api = guarded.and_then(|guarded| guarded.cache.as_ref());
        let guards_of_api = guarded.map_or(&[][..], |guarded| &guarded.guardrails);
        let unguarded = |why: String| CompileError::Unusable {
            api: format!("{}/{}", resource.name, api.version),
            why,
        };
        let guard_of_api = GuardPlan::new(guards_of_api, &[]).map_err(unguarded)?;
        let prompted: BTreeSet<&Name> = self.prompts.iter().map(|prompt| prompt.model()).collect();
        let unoffered = self.models.iter().skip(self.offered);
        let unoffered = unoffered.filter(|model| prompted.contains(&model.name));
        let offered = self.models.iter().take(self.offered);
        for declared in offered.chain(unoffered.clone()) {
            let (plan, guards) = compiling
                .guarded(&declared.name)
                .map_err(|why| unusable(&declared.name, why))?;
            // Most models have none of their own.
            let guard = if guards.is_empty() {
                guard_of_api.clone()
            } else {
                GuardPlan::new(guards_of_api, &guards).map_err(unguarded)?
            };
            let own = model(declared).and_then(|model| model.guarded.cache.as_ref());
            let cache = own.or(cache_of_api).and_then(Option::as_ref);
            let cache = cache.map(CachePlan::new).transpose().map_err(unguarded)?;
            let plan = ModelPlan {
                guard,
                cache,
                ..plan
            };
            models.insert(plan.name.clone(), Arc::new(plan));
        }
        let mut prompts: BTreeMap<Box<str>, Vec<Arc<PromptVersion>>> = BTreeMap::new();
        for (compiled, access) in self.prompts.iter().zip(rules_of_prompts) {
            let Some(model) = models.get(compiled.model().as_str()) else {
                continue;
            };
            let model = ModelPlan {
                scopes: compiled.authorization().scopes.clone(),
                access: access.into_iter().collect(),
                ..ModelPlan::clone(model)
            };
            let version = PromptVersion {
                compiled: Arc::clone(compiled),
                model: Arc::new(model),
            };
            let versions = prompts.entry(compiled.name().as_str().into()).or_default();
            versions.push(Arc::new(version));
        }
        let prompts = prompts
            .into_iter()
            .map(|(name, versions)| (name, PromptPlan::new(versions)));
        let prompts = prompts.collect();
        for model in unoffered {
            models.remove(model.name.as_str());
        }
        let mut helpers = BTreeMap::new();
        for name in &self.helpers {
            let plan = compiling.plan(name).map_err(|why| unusable(name, why))?;
            helpers.insert(plan.name.clone(), Arc::new(plan));
        }
        for provider in &self.providers {
            provider.state.forget_unused();
        }
        let questions = self.asked.iter().map(|(name, upstream)| {
            let declared =
                route::Route::of(&api.base_path, Action::Forward(Forward::to(name.clone())));
            let kind = Mirroring::Questions;
            let metrics = Arc::clone(metrics);
            let route = Route::compile(
                resource,
                api,
                &declared,
                prepared,
                Some(upstream),
                kind,
                metrics,
            )?;
            let route = Route {
                max_body_bytes: None,
                ..route
            };
            Ok((name.clone(), Arc::new(route)))
        });
        let questions: Box<[_]> = questions.collect::<Result<_, CompileError>>()?;
        let plan = AiPlan::new(models, providers, budgets.api, helpers, questions);
        Ok(Arc::new(plan.with_prompts(
            prompts,
            api.base_path.as_str(),
            &api.authentication,
        )))
    }
}

/// What the models of one API are compiled from.
struct Compiling<'a> {
    models: HashMap<&'a Name, Declared<'a>>,
    providers: HashMap<&'a Name, (usize, &'a Arc<ProviderPlan>)>,
    workers: usize,
}

/// A model, and what was compiled of it before.
struct Declared<'a> {
    model: &'a Model,
    rule: Option<Arc<Rule>>,
    budgets: Arc<BudgetPlan>,
}

/// One model while it is compiled, with those that it names.
struct Built<'a> {
    asked: &'a str,
    targets: Vec<AiTarget>,
    scopes: BTreeSet<String>,
    access: Vec<Arc<Rule>>,
    budgets: Vec<Arc<BudgetPlan>>,
    has_key_budgets: bool,
    guards: Vec<Guardrail>,
    /// Those whose own are among these.
    met: BTreeSet<&'a Name>,
    sticky: BTreeSet<Box<str>>,
    looks_for: Needs,
    /// The names on the way to where it is now.
    path: Vec<&'a Name>,
}

impl<'a> Compiling<'a> {
    fn plan(&self, name: &'a Name) -> Result<ModelPlan, &'static str> {
        self.guarded(name).map(|(plan, _)| plan)
    }

    /// The plan, and what looks at the model's calls: its own guardrails, and those of models that it names.
    fn guarded(&self, name: &'a Name) -> Result<(ModelPlan, Vec<Guardrail>), &'static str> {
        let mut built = Built {
            asked: name.as_str(),
            targets: Vec::new(),
            scopes: BTreeSet::new(),
            access: Vec::new(),
            budgets: Vec::new(),
            has_key_budgets: false,
            guards: Vec::new(),
            met: BTreeSet::new(),
            sticky: BTreeSet::new(),
            looks_for: Needs::default(),
            path: Vec::new(),
        };
        let (root, model) = self.group(name, &mut built)?;
        if built.targets.len() > 1 {
            let lacks = built.targets.iter().map(|target| target.lacks);
            built.looks_for = lacks.fold(built.looks_for, Needs::or);
        } else {
            // There is no other to ask in its place.
            for target in &mut built.targets {
                target.lacks = Needs::default();
            }
        }
        let plan = ModelPlan {
            name: name.as_str().into(),
            targets: built.targets.into(),
            root,
            looks_for: built.looks_for,
            sticky: built.sticky.into_iter().collect(),
            hedge: model.hedge,
            attempts: model.attempts.get(),
            scopes: built.scopes,
            access: built.access.into(),
            budgets: built.budgets.into(),
            has_key_budgets: built.has_key_budgets,
            guard: None,
            cache: None,
        };
        Ok((plan, built.guards))
    }

    /// Who answers for a model. What it asks of callers holds for whoever comes by way of another, too.
    fn group(
        &self,
        name: &'a Name,
        built: &mut Built<'a>,
    ) -> Result<(Group, &'a Model), &'static str> {
        if built.path.contains(&name) || built.path.len() >= Model::DEPTH_MAX {
            return Err("names models that lead back to it, or too far");
        }
        let Declared {
            model,
            rule,
            budgets,
        } = self
            .models
            .get(name)
            .ok_or("names a model that is not there")?;
        if built.met.insert(name) {
            if !budgets.budgets.is_empty() {
                built.budgets.push(Arc::clone(budgets));
            }
            built.guards.extend_from_slice(&model.guarded.guardrails);
        }
        built.path.push(name);
        built
            .scopes
            .extend(model.authorization.scopes.iter().cloned());
        built.access.extend(rule.clone());
        if let ModelChoice::Sticky(Sticky::Header(header)) = &model.choose {
            built.sticky.insert(header.clone());
        }
        let mut members = Vec::new();
        for target in model.all() {
            let wanted = target.when.abilities.iter().copied();
            built.looks_for = built.looks_for.or(Needs::of(wanted));
            let to = match &target.answers {
                Answers::Provider {
                    provider,
                    model: served,
                } => self.target((provider, served), &target.known, model, built)?,
                Answers::Alias(alias) => To::Group(Box::new(self.group(alias, built)?.0)),
            };
            members.push(Member {
                weight: target.weight,
                when: target.when.clone(),
                to,
            });
        }
        built.path.pop();
        let group = Group {
            choose: model.choose.clone(),
            members: members.into(),
            chosen: model.targets.len(),
        };
        Ok((group, model))
    }

    fn target(
        &self,
        (provider, served): (&Name, &str),
        told: &KnownOfModel,
        model: &Model,
        built: &mut Built<'a>,
    ) -> Result<To, &'static str> {
        let (place, plan) = self
            .providers
            .get(provider)
            .ok_or("names a provider that is not there")?;
        let mut known = plan.model(served);
        if model.allow_model_members {
            known.asked.quirks.model_members = ModelMembers::Allowed;
        }
        let mut price_revision = plan.price_revision();
        if let Some(price) = &told.price {
            known.price = Some(price.into());
            price_revision = Price::revision_of(price);
        }
        let context = told.context.or_else(|| plan.context(served));
        known.asked.max_output = told.max_output.or(known.asked.max_output);
        if let Some(can) = &told.abilities {
            let all = AskedAbility::ALL.into_iter();
            known.lacks = Needs::of(all.filter(|ability| !can.contains(ability)));
            known.reasons = can.contains(&AskedAbility::Reasoning);
        }
        let same = |target: &AiTarget| {
            target.provider == *place
                && target.asked == known.asked
                && target.price == known.price
                && target.context == context
                && target.lacks == known.lacks
        };
        if let Some(at) = built.targets.iter().position(same) {
            return Ok(To::Target(at));
        }
        if built.targets.len() >= Model::ANSWERERS_MAX {
            return Err("has too many who may answer");
        }
        built.has_key_budgets |= plan.has_key_budgets();
        built.targets.push(AiTarget {
            provider: *place,
            asked: known.asked,
            reasons: known.reasons,
            price: known.price,
            price_revision,
            context,
            lacks: known.lacks,
            mode: known.mode,
            hash: hash_of(format!("{provider}/{served}").as_bytes()),
            state: plan.state.target(served),
            metrics: plan.state.metrics(built.asked, served, self.workers),
            of_provider: Arc::clone(&plan.state),
            ejection: plan.ejection(),
        });
        Ok(To::Target(built.targets.len() - 1))
    }
}
