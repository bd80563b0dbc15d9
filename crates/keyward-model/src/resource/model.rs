//! Models: the names that callers ask for, and which provider's model answers.

use super::authorization::ClaimCondition;
use super::{Authorization, Guarded};
use crate::limit::Budget;
use crate::name::Name;
use std::num::NonZeroU32;
use std::time::Duration;

/// A name that callers ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Who answers: one of these as `choose` says, and when that fails another. At least one.
    pub targets: Vec<ModelTarget>,
    /// Who answers when none of them does, in order.
    pub fallbacks: Vec<ModelTarget>,
    /// Which of the targets is asked first.
    pub choose: ModelChoice,
    /// After how long without a first token another target is asked beside the first.
    pub hedge: Option<Duration>,
    /// What callers must be besides what the API asks for.
    pub authorization: Authorization,
    /// The most attempts of one call.
    pub attempts: NonZeroU32,
    /// Whether callers may choose other models of a provider by members of the body, where it knows such.
    pub allow_model_members: bool,
    /// Limits in what its calls take, of whichever API.
    pub budgets: Vec<Budget>,
    /// What holds for its calls, beside what their API says.
    pub guarded: Guarded,
}

/// Which target is asked first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ModelChoice {
    /// Each as often as its weight says.
    #[default]
    Weighted,
    /// The one whose first token comes soonest.
    Latency,
    /// Of two that are taken by weight, the one with fewer calls under way.
    Busy,
    /// The cheapest for what is asked.
    Cost,
    /// The same one for what is alike in this.
    Sticky(Sticky),
}

/// What is alike of calls that go to the same target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// Who calls.
    Subject,
    /// Whom the body says that it is for: `user`, `safety_identifier`, `metadata.user_id`.
    User,
    /// A header, its name in lower case.
    Header(Box<str>),
}

/// Who may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelTarget {
    /// Who it is.
    pub answers: Answers,
    /// Its share of the calls.
    pub weight: NonZeroU32,
    /// Which calls it takes.
    pub when: TargetCondition,
    /// What is known of it in place of what the catalogue says.
    pub known: KnownOfModel,
}

/// What an operator or publisher knows of a provider's model that the catalogue does not, or not rightly: of a model of
/// one's own, or at prices that were agreed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownOfModel {
    /// What its tokens cost.
    pub price: Option<TokenPrice>,
    /// How many tokens it can read.
    pub context: Option<u64>,
    /// How many it can write.
    pub max_output: Option<u64>,
    /// All of what it can, where that is said.
    pub abilities: Option<Vec<AskedAbility>>,
}

impl KnownOfModel {
    /// Whether nothing is known beside the catalogue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What tokens cost, in pico-USD each. A kind without a price of its own costs what is read or written costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenPrice {
    /// One that is read.
    pub input: u64,
    /// One that is written.
    pub output: u64,
    /// One that is read from the provider's cache.
    pub cached_input: Option<u64>,
    /// One that is written to the provider's cache.
    pub cache_write: Option<u64>,
    /// One that is thought.
    pub reasoning: Option<u64>,
}

/// Who a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// A provider's model.
    Provider {
        /// The provider, of the same team.
        provider: Name,
        /// What it calls the model.
        model: Box<str>,
    },
    /// Another model of the team, with all who answer for it.
    Alias(Name),
}

/// Which calls a target takes: those for which all of this holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetCondition {
    /// What is asked has at least so many tokens, about.
    pub min_input_tokens: u64,
    /// And no more than so many.
    pub max_input_tokens: Option<u64>,
    /// What is asked needs one of these; any call, where there are none.
    pub abilities: Vec<AskedAbility>,
    /// What the claims of the caller's token say, all of it.
    pub claims: Vec<ClaimCondition>,
}

/// What a call can need of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AskedAbility {
    /// It offers tools.
    Tools,
    /// It asks for an answer by a schema.
    JsonSchema,
    /// It has a say in how much is reasoned.
    Reasoning,
    /// It shows pictures.
    Vision,
    /// It shows documents.
    Pdf,
    /// It lets hear.
    AudioIn,
}

impl Model {
    /// How deep models may name one another: deeper, nobody knows any more who answers.
    pub const DEPTH_MAX: usize = 4;
    /// How many may answer for a model, with all that is named by those it names.
    pub const ANSWERERS_MAX: usize = 256;

    /// All who may answer.
    pub fn all(&self) -> impl Iterator<Item = &ModelTarget> {
        self.targets.iter().chain(&self.fallbacks)
    }

    /// The models that it names.
    pub fn aliases(&self) -> impl Iterator<Item = &Name> {
        self.all().filter_map(|target| match &target.answers {
            Answers::Alias(name) => Some(name),
            Answers::Provider { .. } => None,
        })
    }
}

impl ModelTarget {
    /// The provider and what it calls the model; `None` where it is another model of the team.
    #[must_use]
    pub fn of_provider(&self) -> Option<(&Name, &str)> {
        match &self.answers {
            Answers::Provider { provider, model } => Some((provider, model)),
            Answers::Alias(_) => None,
        }
    }
}

impl TargetCondition {
    /// Whether it takes every call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AskedAbility {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Tools,
        Self::JsonSchema,
        Self::Reasoning,
        Self::Vision,
        Self::Pdf,
        Self::AudioIn,
    ];

    /// As configurations and the catalogue name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::JsonSchema => "json_schema",
            Self::Reasoning => "reasoning",
            Self::Vision => "vision",
            Self::Pdf => "pdf",
            Self::AudioIn => "audio_in",
        }
    }
}
