//! What an API serves of AI, prepared when the configuration is compiled.

use super::key_pool::by_weight;
use super::provider::ProviderPlan;
use crate::message::RequestHead;
use crate::policy::memory::Memory;
use crate::policy::whole::{ANSWERS_OF_ROUTE_MAX, BODIES_OF_ROUTE_MAX};
use crate::snapshot::Route;
use keyward_access::Rule;
use keyward_llm::catalogue::Price;
use keyward_llm::{Dialect, Target};
use keyward_model::resource::AiEndpoint;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
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
    pub(crate) providers: Box<[ProviderRoute]>,
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
#[derive(Debug)]
pub(crate) struct ModelPlan {
    pub(crate) name: Box<str>,
    /// Those that are chosen by weight, then those that follow in order.
    pub(crate) targets: Box<[AiTarget]>,
    /// How many are chosen by weight.
    pub(crate) weighted: usize,
    /// The most attempts of one call.
    pub(crate) attempts: u32,
    /// The scopes that it asks of callers.
    pub(crate) scopes: BTreeSet<String>,
    /// What it asks of them besides, and what its API does.
    pub(crate) access: Option<Arc<Rule>>,
}

/// A provider's model.
#[derive(Debug)]
pub(crate) struct AiTarget {
    /// Its place among the API's providers.
    pub(crate) provider: usize,
    /// How it is asked.
    pub(crate) asked: Target,
    pub(crate) weight: NonZeroU32,
    /// What it costs, where that is known.
    pub(crate) price: Option<Price>,
    /// The number of the catalogue that says so.
    pub(crate) price_revision: u32,
}

impl AiPlan {
    pub(crate) fn new(
        models: BTreeMap<Box<str>, Arc<ModelPlan>>,
        providers: Box<[ProviderRoute]>,
    ) -> Self {
        Self {
            models,
            providers,
            bodies: Memory::new(BODIES_OF_ROUTE_MAX),
            answers: Memory::new(ANSWERS_OF_ROUTE_MAX),
        }
    }
}

impl AiRoute {
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
            | AiEndpoint::Rerank => Dialect::OpenAiChat,
            AiEndpoint::Responses => Dialect::OpenAiResponses,
            AiEndpoint::Messages | AiEndpoint::CountTokens => Dialect::Anthropic,
            AiEndpoint::GenerateContent | AiEndpoint::GeminiModels => Dialect::Gemini,
            AiEndpoint::Models | AiEndpoint::Model => {
                if head.fields.all_named("anthropic-version").next().is_some() {
                    Dialect::Anthropic
                } else {
                    Dialect::OpenAiChat
                }
            }
        }
    }
}

/// The places of a model's targets in the order in which a call tries them.
pub(super) type Order = SmallVec<[usize; 8]>;

impl ModelPlan {
    /// The order for one call: one of the weighted by its weight, the others of them, then those that come in order.
    pub(super) fn order(&self, chance: u32) -> Order {
        let mut order = Order::new();
        let weighted = self.targets.iter().enumerate().take(self.weighted);
        let weights = weighted.map(|(place, target)| (place, target.weight.get()));
        let first = by_weight(weights, chance);
        order.extend(first);
        order.extend((0..self.targets.len()).filter(|place| Some(*place) != first));
        order
    }
}
