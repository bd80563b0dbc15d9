//! Which models there are, in the caller's dialect.

use super::plan::{AiPlan, AiTarget, ModelPlan};
use crate::body::AnswerBody;
use crate::message::{Fields, Header};
use crate::request::Answer;
use bytes::Bytes;
use http::StatusCode;
use keyward_llm::Dialect;
use keyward_llm::catalogue::Mode;
use serde_json::{Value, json};
use std::sync::Arc;

/// A list of models, or one of them.
pub(crate) struct Listing {
    form: Dialect,
    models: Vec<Arc<ModelPlan>>,
    one: bool,
}

impl Listing {
    pub(super) fn all(form: Dialect, plan: &AiPlan) -> Self {
        Self {
            form,
            models: plan.models.values().map(Arc::clone).collect(),
            one: false,
        }
    }

    pub(super) fn one(form: Dialect, model: &Arc<ModelPlan>) -> Self {
        Self {
            form,
            models: vec![Arc::clone(model)],
            one: true,
        }
    }

    pub(super) fn keep(&mut self, allowed: impl Fn(&ModelPlan) -> bool) {
        self.models.retain(|model| allowed(model));
    }

    /// The answer; `None` where the one that was asked for is none that the caller may see.
    pub(super) fn answer(&self) -> Option<Answer> {
        let listed: Vec<Value> = self.models.iter().map(|model| self.entry(model)).collect();
        let body = if self.one {
            listed.into_iter().next()?
        } else {
            self.list(listed)
        };
        let mut fields = Fields::new();
        fields.append(Header::ContentType, b"application/json");
        fields.append(Header::CacheControl, b"no-store");
        let body = AnswerBody::full(Bytes::from(body.to_string()));
        Some(Answer::own(StatusCode::OK, fields, body))
    }

    fn list(&self, listed: Vec<Value>) -> Value {
        match self.form {
            Dialect::Anthropic => json!({
                "data": listed,
                "has_more": false,
                "first_id": self.models.first().map(|model| &*model.name),
                "last_id": self.models.last().map(|model| &*model.name),
            }),
            Dialect::Gemini => json!({ "models": listed }),
            Dialect::OpenAiChat
            | Dialect::OpenAiResponses
            | Dialect::Bedrock
            | Dialect::Ollama
            | Dialect::Cohere => json!({ "object": "list", "data": listed }),
        }
    }

    fn entry(&self, model: &ModelPlan) -> Value {
        let name = &*model.name;
        match self.form {
            // A name is as old as whoever reads it thinks: nothing is known of that.
            Dialect::Anthropic => with_limits(
                json!({
                    "type": "model",
                    "id": name,
                    "display_name": name,
                    "created_at": "1970-01-01T00:00:00Z",
                }),
                model,
                ("max_input_tokens", "max_tokens"),
            ),
            Dialect::Gemini => with_limits(
                json!({
                    "name": format!("models/{name}"),
                    "displayName": name,
                    "supportedGenerationMethods": methods(model),
                }),
                model,
                ("inputTokenLimit", "outputTokenLimit"),
            ),
            Dialect::OpenAiChat
            | Dialect::OpenAiResponses
            | Dialect::Bedrock
            | Dialect::Ollama
            | Dialect::Cohere => json!({
                "id": name,
                "object": "model",
                "created": 0,
                "owned_by": "keyward",
            }),
        }
    }
}

/// With how many tokens it reads and writes, where that is known of all who answer for it: the least of them, which each
/// takes.
fn with_limits(mut entry: Value, model: &ModelPlan, (input, output): (&str, &str)) -> Value {
    let least = |of: fn(&AiTarget) -> Option<u64>| {
        let each: Option<Vec<u64>> = model.targets.iter().map(of).collect();
        each.and_then(|each| each.into_iter().min())
    };
    let limits = [
        (input, least(|target| target.context)),
        (output, least(|target| target.asked.max_output)),
    ];
    for (name, limit) in limits {
        if let (Some(limit), Some(entry)) = (limit, entry.as_object_mut()) {
            entry.insert(name.to_owned(), limit.into());
        }
    }
    entry
}

/// What of Gemini's addresses serves it. Of what nobody knows a model is that converses.
fn methods(model: &ModelPlan) -> &'static [&'static str] {
    let mode = model.targets.first().and_then(|target| target.mode);
    match mode {
        Some(Mode::Embedding) => &["embedContent", "batchEmbedContents"],
        Some(
            Mode::Image
            | Mode::Speech
            | Mode::Transcription
            | Mode::Rerank
            | Mode::Moderation
            | Mode::Realtime
            | Mode::Completion,
        ) => &[],
        Some(Mode::Chat) | None => &["generateContent", "streamGenerateContent", "countTokens"],
    }
}
