//! What a call asks for, read from its body before anything is decided: which model it wants, and whether streamed.

use super::cache::CacheWish;
use super::listing::Listing;
use super::plan::{AiRoute, BODY_MAX, BODY_WITHIN, ModelPlan};
use super::prompt::{self, PromptCall, PromptsAsked};
use crate::body::RequestBody;
use crate::deadlines::{Deadline, Seat};
use crate::message::{Header, RequestHead};
use crate::policy::whole::{Reserved, Terms, read_within};
use crate::record::CallRecord;
use crate::request::Refusal;
use crate::snapshot::Route;
use crate::upstream::hash_of;
use crate::worker::Worker;
use bytes::Bytes;
use keyward_llm::Dialect;
use keyward_llm::json::Members;
use keyward_model::resource::AiEndpoint;
use keyward_model::{Code, Fault};
use std::sync::Arc;

/// What a message repeats of a model's name.
const SHOWN_MAX: usize = 100;

/// Headers of a dialect that say which features of it are meant: they pass where nothing is translated.
const FEATURE_HEADERS: [&str; 3] = ["anthropic-beta", "anthropic-version", "openai-beta"];

/// What is asked for.
pub(crate) enum Intent {
    /// An answer of a model.
    Call(Box<ModelCall>),
    /// Which models there are.
    List(Listing),
    /// What there is of prompts, or what is thought of their answers.
    Prompts(PromptsAsked),
}

/// A call of a model.
pub(crate) struct ModelCall {
    /// What the caller speaks.
    pub(super) form: Dialect,
    pub(super) model: Arc<ModelPlan>,
    pub(super) stream: bool,
    /// What stands behind a provider's base address, where it is no conversation: nothing is translated then.
    pub(super) plain: Option<&'static str>,
    /// As it came: every attempt is made from these bytes.
    pub(super) body: Bytes,
    /// What stands in headers that calls are alike in which go to the same target, hashed.
    pub(super) sticky: Vec<(Box<str>, u64)>,
    /// Headers that pass to a provider of the same dialect.
    pub(super) features: Vec<(&'static str, Box<[u8]>)>,
    /// What the caller wants of a cache.
    pub(super) cache: CacheWish,
    /// What a prompt makes of the answer, where one asks.
    pub(super) prompt: Option<Box<PromptCall>>,
}

impl ModelCall {
    /// The same of the same model, to be asked anew.
    pub(super) fn again(&self) -> Self {
        Self {
            form: self.form,
            model: Arc::clone(&self.model),
            stream: self.stream,
            plain: self.plain,
            body: self.body.clone(),
            sticky: self.sticky.clone(),
            features: self.features.clone(),
            cache: self.cache.anew(),
            prompt: None,
        }
    }
}

impl Intent {
    /// The model that is asked for, where one is.
    pub(crate) fn model(&self) -> Option<&ModelPlan> {
        match self {
            Self::Call(call) => Some(&call.model),
            Self::List(_) => None,
            Self::Prompts(asked) => asked.model(),
        }
    }

    /// Leaves out of a list what this does not allow.
    pub(crate) fn keep(&mut self, allowed: impl Fn(&ModelPlan) -> bool) {
        match self {
            Self::Call(_) => {}
            Self::List(listing) => listing.keep(allowed),
            Self::Prompts(asked) => asked.keep(allowed),
        }
    }
}

/// Reads what a call of this route asks for. Its body is in memory from then on.
pub(crate) async fn read_intent(
    (worker, seat): (&Worker, &Seat),
    (route, ai): (&Route, &AiRoute),
    head: &RequestHead,
    body: RequestBody,
    record: &mut CallRecord,
) -> Result<Intent, Refusal> {
    let form = ai.form(head);
    let last = head.path().rsplit('/').next().unwrap_or_default();
    match ai.endpoint {
        AiEndpoint::Models | AiEndpoint::GeminiModels => {
            return Ok(Intent::List(Listing::all(form, &ai.plan)));
        }
        AiEndpoint::Model => {
            return Ok(Intent::List(Listing::one(form, find(ai, last)?)));
        }
        AiEndpoint::Prompts | AiEndpoint::PromptDocument | AiEndpoint::PromptVersionDocument => {
            return of_prompts(worker, ai, head, b"", record);
        }
        AiEndpoint::ChatCompletions
        | AiEndpoint::Responses
        | AiEndpoint::Messages
        | AiEndpoint::CountTokens
        | AiEndpoint::Embeddings
        | AiEndpoint::GenerateContent
        | AiEndpoint::Prompt
        | AiEndpoint::PromptVersion
        | AiEndpoint::PromptFeedback => {}
    }
    let encoded = |value: &[u8]| !value.eq_ignore_ascii_case(b"identity");
    if head.fields.all(Header::ContentEncoding).any(encoded) {
        let fault = Fault::new(
            Code::UnsupportedCoding,
            "The body is compressed, which is not taken here; send it as it is",
        );
        return Err(fault.into());
    }
    let bound = route.max_body_bytes.unwrap_or(BODY_MAX);
    let bound = usize::try_from(bound).unwrap_or(usize::MAX);
    let terms = Terms {
        seat,
        deadline: Deadline::after(Some(BODY_WITHIN), worker.deadlines.now()),
        idle: route.body_idle,
    };
    let reserved = Reserved::nothing(&ai.plan.bodies, &worker.shared.bodies);
    let body = read_within(terms, body, bound, reserved)
        .await
        .map_err(|unread| unread.refusal(bound, record))?;
    record.bytes_in = body.len() as u64;
    if ai.endpoint.is_of_prompts() {
        return of_prompts(worker, ai, head, &body, record);
    }
    let (model, stream) = match ai.endpoint {
        AiEndpoint::GenerateContent => asked_in_address(last, head)?,
        AiEndpoint::ChatCompletions
        | AiEndpoint::Responses
        | AiEndpoint::Messages
        | AiEndpoint::Models
        | AiEndpoint::Model
        | AiEndpoint::GeminiModels
        | AiEndpoint::Prompts
        | AiEndpoint::Prompt
        | AiEndpoint::PromptDocument
        | AiEndpoint::PromptFeedback
        | AiEndpoint::PromptVersion
        | AiEndpoint::PromptVersionDocument => asked_in_body(&body)?,
        // Neither is streamed.
        AiEndpoint::CountTokens | AiEndpoint::Embeddings => (asked_in_body(&body)?.0, false),
    };
    let plain = match ai.endpoint {
        AiEndpoint::CountTokens => Some("/messages/count_tokens"),
        AiEndpoint::Embeddings => Some("/embeddings"),
        AiEndpoint::ChatCompletions
        | AiEndpoint::Responses
        | AiEndpoint::Messages
        | AiEndpoint::GenerateContent
        | AiEndpoint::Models
        | AiEndpoint::Model
        | AiEndpoint::GeminiModels
        | AiEndpoint::Prompts
        | AiEndpoint::Prompt
        | AiEndpoint::PromptDocument
        | AiEndpoint::PromptFeedback
        | AiEndpoint::PromptVersion
        | AiEndpoint::PromptVersionDocument => None,
    };
    let features = FEATURE_HEADERS.into_iter().filter_map(|name| {
        let mut values = head.fields.all_named(name);
        Some((name, values.next()?.into()))
    });
    let model = Arc::clone(find(ai, &model)?);
    Ok(Intent::Call(Box::new(ModelCall {
        form,
        sticky: sticky(&model, head),
        model,
        stream,
        plain,
        features: features.collect(),
        cache: CacheWish::of(head),
        body,
        prompt: None,
    })))
}

/// What stands in the headers that calls of a model are alike in which go to the same target, hashed.
pub(super) fn sticky(model: &ModelPlan, head: &RequestHead) -> Vec<(Box<str>, u64)> {
    let headers = model.sticky.iter().filter_map(|name| {
        let value = head.fields.all_named(name).next()?;
        Some((name.clone(), hash_of(value)))
    });
    headers.collect()
}

fn of_prompts(
    worker: &Worker,
    ai: &AiRoute,
    head: &RequestHead,
    body: &[u8],
    record: &mut CallRecord,
) -> Result<Intent, Refusal> {
    Ok(match prompt::read(worker, ai, head, body, record)? {
        prompt::Read::Call(call) => Intent::Call(call),
        prompt::Read::Other(asked) => Intent::Prompts(asked),
    })
}

fn find<'a>(ai: &'a AiRoute, model: &str) -> Result<&'a Arc<ModelPlan>, Fault> {
    ai.plan.models.get(model).ok_or_else(|| {
        let shown: String = model.chars().take(SHOWN_MAX).collect();
        Fault::new(
            Code::ModelNotFound,
            format!(
                "There is no model `{}` here; the list of models has those that there are",
                shown.escape_debug()
            ),
        )
    })
}

/// `MODEL:METHOD`, as Gemini's addresses have it.
fn asked_in_address(last: &str, head: &RequestHead) -> Result<(String, bool), Fault> {
    let unknown = || {
        Fault::new(
            Code::NotFound,
            "Of a model, `:generateContent` and `:streamGenerateContent` are served here",
        )
    };
    let (model, method) = last.rsplit_once(':').ok_or_else(unknown)?;
    let stream = match method {
        "generateContent" => false,
        "streamGenerateContent" => true,
        _ => return Err(unknown()),
    };
    let events = |query: &str| query.split('&').any(|pair| pair == "alt=sse");
    if stream && !head.query().is_some_and(events) {
        return Err(Fault::new(
            Code::BadRequest,
            "A stream is given as events here; call it with `?alt=sse`",
        ));
    }
    Ok((model.to_owned(), stream))
}

fn asked_in_body(body: &[u8]) -> Result<(String, bool), Fault> {
    let members = Members::read(body)
        .map_err(|error| Fault::new(Code::BadRequest, format!("The body is {error}")))?;
    let model = members.string("model").ok_or_else(|| {
        Fault::new(
            Code::BadRequest,
            "`model` is missing, or no text; say which model is asked",
        )
    })?;
    Ok((model, members.is_true("stream")))
}
