//! What an API serves in place of an upstream's calls: AI models, at the addresses that the vendors' own libraries call.

use super::route::{Action, PathKind, PathPattern, RouteMatch};
use super::{BasePath, Guarded, Policies, Route};
use crate::limit::Budget;
use crate::name::Name;

/// What of AI an API serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ai {
    /// The models of the same team that it offers.
    pub models: OfferedModels,
    /// The prompts of the same team that it serves.
    pub prompts: OfferedPrompts,
    /// Limits in what their calls take, in the order in which they are asked.
    pub budgets: Vec<Budget>,
    /// What holds for the calls of all of them.
    pub guarded: Box<Guarded>,
}

impl Ai {
    /// The routes of an API that serves AI: one for each address.
    #[must_use]
    pub fn routes(&self, base_path: &BasePath, policies: &Policies) -> Vec<Route> {
        let served = AiEndpoint::ALL.into_iter();
        let served = served.filter(|endpoint| !endpoint.is_of_prompts() || self.has_prompts());
        let routes = served.flat_map(|endpoint| {
            let (method, path) = endpoint.address();
            let paths = [Some(path), endpoint.other_path()];
            paths.into_iter().flatten().filter_map(move |path| {
                Some(Route {
                    label: format!("{method} {path}").into(),
                    // All can be read: a test has read them.
                    matching: matching(method, path)?,
                    policies: policies.clone(),
                    ..Route::of(base_path, Action::Infer(endpoint))
                })
            })
        });
        routes.collect()
    }

    /// Whether it serves any prompts.
    #[must_use]
    pub fn has_prompts(&self) -> bool {
        match &self.prompts {
            OfferedPrompts::None => false,
            OfferedPrompts::All | OfferedPrompts::These(_) => true,
        }
    }
}

/// Which models an API offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfferedModels {
    /// All of the team's.
    All,
    /// These. None where the API serves prompts alone.
    These(Vec<Name>),
}

/// Which prompts an API serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfferedPrompts {
    /// None: there are no such addresses.
    None,
    /// All of the team's.
    All,
    /// These, at least one.
    These(Vec<Name>),
}

/// An address at which AI is served, below its API's base path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AiEndpoint {
    /// OpenAI's chat completions.
    ChatCompletions,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Anthropic's counting of a request's tokens.
    CountTokens,
    /// OpenAI's embeddings.
    Embeddings,
    /// OpenAI's pictures from words.
    Images,
    /// OpenAI's pictures from others.
    ImageEdits,
    /// OpenAI's pictures like another.
    ImageVariations,
    /// OpenAI's reading out.
    Speech,
    /// OpenAI's writing down.
    Transcriptions,
    /// OpenAI's writing down in English.
    Translations,
    /// OpenAI's telling of what is harmful.
    Moderations,
    /// Documents by how they fit a question, in the form that Jina and Cohere share.
    Rerank,
    /// What is asked of a model in Gemini's form: `generateContent`, `embedContent` and others.
    GenerateContent,
    /// The list of models, in OpenAI's form, Anthropic's or Gemini's.
    Models,
    /// One model, in the same forms.
    Model,
    /// The list of models in Gemini's form.
    GeminiModels,
    /// The list of prompts.
    Prompts,
    /// A prompt, in the version that takes calls which name none.
    Prompt,
    /// A prompt's OpenAPI document.
    PromptDocument,
    /// What a caller thinks of an answer of a prompt.
    PromptFeedback,
    /// A prompt in a version.
    PromptVersion,
    /// A version's OpenAPI document.
    PromptVersionDocument,
}

impl AiEndpoint {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::ChatCompletions,
        Self::Responses,
        Self::Messages,
        Self::CountTokens,
        Self::Embeddings,
        Self::Images,
        Self::ImageEdits,
        Self::ImageVariations,
        Self::Speech,
        Self::Transcriptions,
        Self::Translations,
        Self::Moderations,
        Self::Rerank,
        Self::GenerateContent,
        Self::Models,
        Self::Model,
        Self::GeminiModels,
        Self::Prompts,
        Self::Prompt,
        Self::PromptDocument,
        Self::PromptFeedback,
        Self::PromptVersion,
        Self::PromptVersionDocument,
    ];

    /// Method and path.
    #[must_use]
    pub const fn address(self) -> (&'static str, &'static str) {
        match self {
            Self::ChatCompletions => ("POST", "/v1/chat/completions"),
            Self::Responses => ("POST", "/v1/responses"),
            Self::Messages => ("POST", "/v1/messages"),
            Self::CountTokens => ("POST", "/v1/messages/count_tokens"),
            Self::Embeddings => ("POST", "/v1/embeddings"),
            Self::Images => ("POST", "/v1/images/generations"),
            Self::ImageEdits => ("POST", "/v1/images/edits"),
            Self::ImageVariations => ("POST", "/v1/images/variations"),
            Self::Speech => ("POST", "/v1/audio/speech"),
            Self::Transcriptions => ("POST", "/v1/audio/transcriptions"),
            Self::Translations => ("POST", "/v1/audio/translations"),
            Self::Moderations => ("POST", "/v1/moderations"),
            Self::Rerank => ("POST", "/v1/rerank"),
            Self::GenerateContent => ("POST", "/v1beta/models/{call}"),
            Self::Models => ("GET", "/v1/models"),
            Self::Model => ("GET", "/v1/models/{model}"),
            Self::GeminiModels => ("GET", "/v1beta/models"),
            Self::Prompts => ("GET", "/prompts"),
            Self::Prompt => ("POST", "/prompts/{prompt}"),
            Self::PromptDocument => ("GET", "/prompts/{prompt}/openapi.json"),
            Self::PromptFeedback => ("POST", "/prompts/{prompt}/feedback"),
            Self::PromptVersion => ("POST", "/prompts/{prompt}/versions/{version}"),
            Self::PromptVersionDocument => {
                ("GET", "/prompts/{prompt}/versions/{version}/openapi.json")
            }
        }
    }

    /// Whether it is there where prompts are served alone.
    #[must_use]
    pub const fn is_of_prompts(self) -> bool {
        match self {
            Self::Prompts
            | Self::Prompt
            | Self::PromptDocument
            | Self::PromptFeedback
            | Self::PromptVersion
            | Self::PromptVersionDocument => true,
            Self::ChatCompletions
            | Self::Responses
            | Self::Messages
            | Self::CountTokens
            | Self::Embeddings
            | Self::Images
            | Self::ImageEdits
            | Self::ImageVariations
            | Self::Speech
            | Self::Transcriptions
            | Self::Translations
            | Self::Moderations
            | Self::Rerank
            | Self::GenerateContent
            | Self::Models
            | Self::Model
            | Self::GeminiModels => false,
        }
    }

    /// Which calls it takes.
    #[must_use]
    pub fn matching(self) -> Option<RouteMatch> {
        let (method, path) = self.address();
        matching(method, path)
    }

    /// Where else it is: Google's library calls the same without `beta` from its version 3 on, and asks for one model with it.
    /// The list of models needs no other path, since `/v1/models` has every form.
    #[must_use]
    pub const fn other_path(self) -> Option<&'static str> {
        match self {
            Self::GenerateContent => Some("/v1/models/{call}"),
            Self::Model => Some("/v1beta/models/{model}"),
            Self::ChatCompletions
            | Self::Responses
            | Self::Messages
            | Self::CountTokens
            | Self::Embeddings
            | Self::Images
            | Self::ImageEdits
            | Self::ImageVariations
            | Self::Speech
            | Self::Transcriptions
            | Self::Translations
            | Self::Moderations
            | Self::Rerank
            | Self::Models
            | Self::GeminiModels
            | Self::Prompts
            | Self::Prompt
            | Self::PromptDocument
            | Self::PromptFeedback
            | Self::PromptVersion
            | Self::PromptVersionDocument => None,
        }
    }
}

fn matching(method: &str, path: &str) -> Option<RouteMatch> {
    Some(RouteMatch {
        path: PathPattern::parse(path, PathKind::Whole).ok()?,
        methods: vec![method.into()],
        ..RouteMatch::default()
    })
}

/// What is kept for AI below the base path of an API that serves it, with all below each: what is there now, and what
/// the vendors' libraries call besides.
pub const RESERVED_AI_PATHS: &[&str] = &[
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/models",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/images/variations",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/moderations",
    "/v1/rerank",
    "/v1/messages",
    "/v1beta/models",
    "/prompts",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_reserved() {
        for endpoint in AiEndpoint::ALL {
            let (_, path) = endpoint.address();
            let reserved = |reserved: &&str| path.starts_with(*reserved);
            assert!(RESERVED_AI_PATHS.iter().any(reserved), "{path}");
            assert!(endpoint.matching().is_some(), "{path}");
            if let Some(other) = endpoint.other_path() {
                assert!(
                    RESERVED_AI_PATHS
                        .iter()
                        .any(|reserved| other.starts_with(*reserved))
                );
                assert!(matching("POST", other).is_some(), "{other}");
            }
        }
    }
}
