//! What an API serves of AI, prepared when the configuration is compiled.

use super::cache::CachePlan;
use super::choice::Group;
use super::facts::Needs;
use super::guardrail::GuardPlan;
use super::prompt::PromptPlan;
use super::provider::ProviderPlan;
use super::standing::{ProviderState, TargetState};
use crate::message::RequestHead;
use crate::metrics::{LimitCounts, ModelMetrics};
use crate::policy::memory::Memory;
use crate::policy::whole::{ANSWERS_OF_ROUTE_MAX, BODIES_OF_ROUTE_MAX};
use crate::snapshot::{BudgetPlan, Route};
use keyward_access::Rule;
use keyward_llm::catalogue::{Mode, Price};
use keyward_llm::{Dialect, Target};
use keyward_model::resource::AiEndpoint;
use keyward_model::resource::authentication::Authentication;
use keyward_model::resource::provider::ProviderEjection;
use keyward_model::usage::RouteLabels;
use keyward_model::{Moment, Name};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::Arc;
use std::time::Duration;

/// The most bytes of a request, unless the API says otherwise: pictures come in it, in base64.
pub(super) const BODY_MAX: u64 = 32 << 20;
/// A request is there within this time, or not at all: who sends a byte now and then keeps its memory no longer.
pub(super) const BODY_WITHIN: Duration = Duration::from_secs(60);

/// A route whose calls AI models answer.
#[derive(Debug)]
pub(crate) struct AiRoute {
    pub(crate) endpoint: AiEndpoint,
    pub(crate) plan: Arc<AiPlan>,
}

/// What all such routes of an API share.
#[derive(Debug)]
pub(crate) struct AiPlan {
    /// By what callers call them.
    pub(crate) models: BTreeMap<Box<str>, Arc<ModelPlan>>,
    /// Those that it serves, by name.
    pub(crate) prompts: BTreeMap<Box<str>, PromptPlan>,
    /// Below which path it is served.
    pub(crate) base_path: Box<str>,
    /// How callers of its prompts say who they are, for documents.
    pub(crate) authentication: Authentication,
    pub(crate) providers: Box<[ProviderRoute]>,
    /// Limits in what calls of all these models take.
    pub(crate) budgets: Arc<BudgetPlan>,
    /// Models that guardrails and caches ask, by name.
    pub(crate) helpers: BTreeMap<Box<str>, Arc<ModelPlan>>,
    /// The ways to the services that guardrails ask, by their upstreams.
    pub(crate) questions: Box<[(Name, Arc<Route>)]>,
    /// What requests that are under way take together.
    pub(super) bodies: Arc<Memory>,
    /// The same of answers that are read whole.
    pub(super) answers: Arc<Memory>,
}

/// A provider, and the way there.
#[derive(Debug)]
pub(crate) struct ProviderRoute {
    pub(crate) plan: Arc<ProviderPlan>,
    pub(crate) route: Arc<Route>,
}

/// A model that callers ask for.
#[derive(Clone, Debug)]
pub(crate) struct ModelPlan {
    pub(crate) name: Box<str>,
    /// All who may answer, each once.
    pub(crate) targets: Box<[AiTarget]>,
    /// How they are chosen.
    pub(crate) root: Group,
    /// What of a call's needs matters for that.
    pub(crate) looks_for: Needs,
    /// The headers that calls are alike in which go to the same target.
    pub(crate) sticky: Box<[Box<str>]>,
    /// After how long another target is asked beside one that sends no first token.
    pub(crate) hedge: Option<Duration>,
    /// The most attempts of one call.
    pub(crate) attempts: u32,
    /// The scopes that it asks of callers, and that those ask which it names.
    pub(crate) scopes: BTreeSet<String>,
    /// What it asks of them besides, and what its API does; and the same of those that it names.
    pub(crate) access: Box<[Arc<Rule>]>,
    /// Limits in what its calls take, of whichever API; and the same of those that it names.
    pub(crate) budgets: Box<[Arc<BudgetPlan>]>,
    /// Whether a key that it may be asked with has limits of its own.
    pub(crate) has_key_budgets: bool,
    /// What looks at its calls.
    pub(crate) guard: Option<Arc<GuardPlan>>,
    /// Its answers that are kept.
    pub(crate) cache: Option<Arc<CachePlan>>,
}

/// A provider's model.
#[derive(Clone, Debug)]
pub(crate) struct AiTarget {
    /// Its place among the API's providers.
    pub(crate) provider: usize,
    /// How it is asked.
    pub(crate) asked: Target,
    /// What it costs, where that is known.
    pub(crate) price: Option<Price>,
    /// The number of the catalogue that says so.
    pub(crate) price_revision: u32,
    /// How many tokens it can read, where that is known.
    pub(crate) context: Option<u64>,
    /// What of a call's needs it is known to lack.
    pub(crate) lacks: Needs,
    /// Whether it is known to write more than callers see.
    pub(crate) reasons: bool,
    /// What it does, where that is known.
    pub(crate) mode: Option<Mode>,
    /// What stands for it, on every node.
    pub(crate) hash: u64,
    pub(crate) state: Arc<TargetState>,
    pub(crate) of_provider: Arc<ProviderState>,
    pub(crate) metrics: Arc<ModelMetrics>,
    /// When it is asked last for a while.
    pub(crate) ejection: Option<ProviderEjection>,
}

impl AiTarget {
    /// Whether it, or its provider, fails, and is asked last.
    pub(super) fn is_out(&self, now: Moment) -> bool {
        self.state.outage.is_out(now) || self.of_provider.outage.is_out(now)
    }

    /// Lets a call ask it before others; `false` where another one tries already whether it is well again.
    pub(super) fn enter(&self, now: Moment) -> bool {
        if !self.state.outage.enter(now) {
            return false;
        }
        let entered = self.of_provider.outage.enter(now);
        if !entered {
            self.state.outage.abandoned();
        }
        entered
    }
}

impl AiPlan {
    pub(crate) fn new(
        models: BTreeMap<Box<str>, Arc<ModelPlan>>,
        providers: Box<[ProviderRoute]>,
        budgets: Arc<BudgetPlan>,
        helpers: BTreeMap<Box<str>, Arc<ModelPlan>>,
        questions: Box<[(Name, Arc<Route>)]>,
    ) -> Self {
        Self {
            models,
            prompts: BTreeMap::new(),
            base_path: "/".into(),
            authentication: Authentication::None,
            providers,
            budgets,
            helpers,
            questions,
            bodies: Memory::new(BODIES_OF_ROUTE_MAX),
            answers: Memory::new(ANSWERS_OF_ROUTE_MAX),
        }
    }

    /// The same with the prompts that it serves below this path, to who comes like this.
    pub(crate) fn with_prompts(
        self,
        prompts: BTreeMap<Box<str>, PromptPlan>,
        base_path: &str,
        authentication: &Authentication,
    ) -> Self {
        Self {
            prompts,
            authentication: authentication.clone(),
            base_path: base_path.into(),
            ..self
        }
    }
}

impl AiPlan {
    /// What the limits in tokens and money have refused and counted: those of the API, and those of its models.
    pub(crate) fn limit_counts(&self, labels: &RouteLabels) -> Vec<LimitCounts> {
        // Of a model that others name there is one plan, which stands with each of them.
        // Those that prompts alone ask have theirs, too.
        let models = self.models.values();
        let models = models.chain(self.prompts.values().flat_map(PromptPlan::models));
        let of_models = models.flat_map(|model| model.budgets.iter());
        let of_models: BTreeMap<_, _> = of_models.map(|plan| (&plan.label, plan)).collect();
        let plans = iter::once(&self.budgets).chain(of_models.into_values());
        let counts = plans.flat_map(|plan| {
            plan.budgets.iter().filter_map(|budget| {
                let metrics = budget.metrics.as_ref()?;
                Some(LimitCounts {
                    team: labels.team_name.clone(),
                    api: labels.api.clone(),
                    version: labels.version.clone(),
                    route: plan.label.clone(),
                    limit: budget.name.clone(),
                    refused: metrics.read(),
                    spent: Some((budget.rule.unit(), metrics.read_spent())),
                })
            })
        });
        counts.collect()
    }
}

impl AiRoute {
    /// In which dialect its callers are told of refusals: none where prompts are called, whose answers are this API's
    /// own.
    pub(crate) fn refuses_in(&self, head: &RequestHead) -> Option<Dialect> {
        (!self.endpoint.is_of_prompts()).then(|| self.form(head))
    }

    /// What its callers speak.
    pub(crate) fn form(&self, head: &RequestHead) -> Dialect {
        match self.endpoint {
            AiEndpoint::ChatCompletions
            | AiEndpoint::Embeddings
            | AiEndpoint::Images
            | AiEndpoint::ImageEdits
            | AiEndpoint::ImageVariations
            | AiEndpoint::Speech
            | AiEndpoint::Transcriptions
            | AiEndpoint::Translations
            | AiEndpoint::Moderations
            | AiEndpoint::Rerank
            | AiEndpoint::Prompts
            | AiEndpoint::Prompt
            | AiEndpoint::PromptDocument
            | AiEndpoint::PromptFeedback
            | AiEndpoint::PromptVersion
            | AiEndpoint::PromptVersionDocument => Dialect::OpenAiChat,
            AiEndpoint::Responses => Dialect::OpenAiResponses,
            AiEndpoint::Messages | AiEndpoint::CountTokens => Dialect::Anthropic,
            AiEndpoint::GenerateContent | AiEndpoint::GeminiModels => Dialect::Gemini,
            AiEndpoint::Models | AiEndpoint::Model => {
                let has = |name| head.fields.all_named(name).next().is_some();
                // Of one model there is an address of Gemini's alone.
                if head.path().contains("/v1beta/models/") {
                    Dialect::Gemini
                } else if has("anthropic-version") {
                    Dialect::Anthropic
                } else if has("x-goog-api-client") || has("x-goog-api-key") {
                    Dialect::Gemini
                } else {
                    Dialect::OpenAiChat
                }
            }
        }
    }
}

/// The places of a model's targets in the order in which a call tries them.
pub(super) type Order = SmallVec<[usize; 8]>;
