//! What a call asks for, read from its body before anything is decided: which model it wants, and whether streamed.

use super::asked_body::AskedBody;
use super::cache::CacheWish;
use super::listing::Listing;
use super::own_key;
use super::plan::{AiRoute, BODY_MAX, BODY_WITHIN, ModelPlan};
use super::prompt::{self, PromptCall, PromptsAsked};
use super::task;
use crate::body::RequestBody;
use crate::deadlines::{Deadline, Seat};
use crate::message::{Header, RequestHead};
use crate::policy::whole::{Reserved, Terms, read_within};
use crate::record::CallRecord;
use crate::request::Refusal;
use crate::snapshot::Route;
use crate::upstream::hash_of;
use crate::worker::Worker;
use keyward_llm::Dialect;
use keyward_llm::task::{Asked, Task, multipart};
use keyward_model::resource::AiEndpoint;
use keyward_model::{Code, Fault, Secret};
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
    /// What is asked where it is no conversation.
    pub(super) task: Option<TaskCall>,
    /// A key of the caller's own, and the place of the provider that it is for.
    pub(super) own_key: Option<(usize, Secret<String>)>,
    /// As it came: every attempt is made from these bytes.
    pub(super) body: AskedBody,
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
            task: None,
            own_key: self.own_key.clone(),
            body: self.body.clone(),
            sticky: self.sticky.clone(),
            features: self.features.clone(),
            cache: self.cache.anew(),
            prompt: None,
        }
    }
}

/// A call that is no conversation.
pub(super) struct TaskCall {
    pub(super) task: Task,
    /// As providers get it: nothing of the caller's own words.
    pub(super) content_type: Box<[u8]>,
    /// The boundary of the body's parts, where it is no JSON.
    pub(super) boundary: Option<Box<str>>,
}

impl ModelCall {
    /// What is asked where it is no conversation.
    pub(super) fn task(&self) -> Option<Asked<'_>> {
        let call = self.task.as_ref()?;
        Some(Asked {
            task: call.task,
            body: &self.body,
            boundary: call.boundary.as_deref(),
        })
    }

    /// Whether it takes tokens of the text in its body, which are counted here where the provider does not say them.
    pub(super) fn counts_here(&self) -> bool {
        let call = self.task.as_ref();
        call.is_none_or(|call| task::only_reads(call.task))
    }

    /// Whether its body is a form of several parts, in which nothing is looked at.
    pub(super) fn is_form(&self) -> bool {
        let call = self.task.as_ref();
        call.is_some_and(|call| call.boundary.is_some())
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

    /// Reads what a prompt is sent, and renders it, once it is clear that its caller may.
    pub(crate) fn render(&mut self, head: &RequestHead) -> Result<(), Refusal> {
        match self {
            Self::Call(call) => prompt::render(call, head),
            Self::List(_) | Self::Prompts(_) => Ok(()),
        }
    }

    /// Leaves out of a list what this does not allow.
    pub(crate) fn keep(&mut self, allowed: impl Fn(&ModelPlan) -> bool) {
        match self {
            Self::Call(_) => {}
            Self::List(listing) => listing.keep(allowed),
            // They were left out when it was read.
            Self::Prompts(_) => {}
        }
    }
}

/// Whether the caller may ask for a model.
type Allowed<'a> = &'a dyn Fn(&ModelPlan) -> bool;

/// Reads what a call of this route asks for. Its body is in memory from then on. Prompts are told of and chosen from as
/// `allowed` allows them.
pub(crate) async fn read_intent(
    (worker, seat): (&Worker, &Seat),
    (route, ai, allowed): (&Route, &AiRoute, Allowed<'_>),
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
            return of_prompts(worker, (ai, allowed), head, b"", record);
        }
        AiEndpoint::ChatCompletions
        | AiEndpoint::Responses
        | AiEndpoint::Messages
        | AiEndpoint::CountTokens
        | AiEndpoint::Embeddings
        | AiEndpoint::Images
        | AiEndpoint::ImageEdits
        | AiEndpoint::ImageVariations
        | AiEndpoint::Speech
        | AiEndpoint::Transcriptions
        | AiEndpoint::Translations
        | AiEndpoint::Moderations
        | AiEndpoint::Rerank
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
        return of_prompts(worker, (ai, allowed), head, &body, record);
    }
    let body = AskedBody::from(body);
    let (model, stream, task) = match (ai.endpoint, task_at(ai.endpoint)) {
        (AiEndpoint::GenerateContent, _) => {
            let (model, stream, task) = asked_in_address(last, head)?;
            (model, stream, task.map(of_json))
        }
        // None of these is streamed as conversations are.
        (_, Some(task)) => {
            let call = task_call(task, head)?;
            let model = match &call.boundary {
                Some(boundary) => asked_in_parts(&body, boundary)?,
                None => asked_in_body(&body)?.0,
            };
            (model, false, Some(call))
        }
        (_, None) => {
            let (model, stream) = asked_in_body(&body)?;
            (model, stream, None)
        }
    };
    let features = FEATURE_HEADERS.into_iter().filter_map(|name| {
        let mut values = head.fields.all_named(name);
        Some((name, values.next()?.into()))
    });
    let model = Arc::clone(find(ai, &model)?);
    Ok(Intent::Call(Box::new(ModelCall {
        form,
        own_key: own_key::read(head, &model, &ai.plan)?,
        sticky: sticky(&model, head),
        model,
        stream,
        task,
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
    (ai, allowed): (&AiRoute, Allowed<'_>),
    head: &RequestHead,
    body: &[u8],
    record: &mut CallRecord,
) -> Result<Intent, Refusal> {
    Ok(
        match prompt::read(worker, ai, head, body, allowed, record)? {
            prompt::Read::Call(call) => Intent::Call(call),
            prompt::Read::Other(asked) => Intent::Prompts(asked),
        },
    )
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

/// What is asked at an address that is no conversation's.
const fn task_at(endpoint: AiEndpoint) -> Option<Task> {
    match endpoint {
        AiEndpoint::CountTokens => Some(Task::CountTokens),
        AiEndpoint::Embeddings => Some(Task::Embeddings),
        AiEndpoint::Images => Some(Task::Images),
        AiEndpoint::ImageEdits => Some(Task::ImageEdits),
        AiEndpoint::ImageVariations => Some(Task::ImageVariations),
        AiEndpoint::Speech => Some(Task::Speech),
        AiEndpoint::Transcriptions => Some(Task::Transcriptions),
        AiEndpoint::Translations => Some(Task::Translations),
        AiEndpoint::Moderations => Some(Task::Moderations),
        AiEndpoint::Rerank => Some(Task::Rerank),
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
    }
}

pub(super) fn of_json(task: Task) -> TaskCall {
    TaskCall {
        task,
        content_type: b"application/json".as_slice().into(),
        boundary: None,
    }
}

/// A call with files is a form of several parts, and says so.
fn task_call(task: Task, head: &RequestHead) -> Result<TaskCall, Fault> {
    let given = head.fields.get(Header::ContentType).unwrap_or_default();
    let is_form = given
        .get(..10)
        .is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"));
    if !is_form {
        return Ok(of_json(task));
    }
    if !task.takes_parts() {
        let detail = "The body is JSON here, not a form of several parts";
        return Err(Fault::new(Code::BadRequest, detail));
    }
    if head.fields.all(Header::ContentType).count() > 1 {
        return Err(Fault::new(Code::BadRequest, "`content-type` comes twice"));
    }
    let text = std::str::from_utf8(given).unwrap_or_default();
    let boundary = multipart::boundary(text).map_err(|error| unreadable(&error))?;
    Ok(TaskCall {
        task,
        content_type: multipart::content_type(&boundary).into_bytes().into(),
        boundary: Some(boundary.into()),
    })
}

fn asked_in_parts(body: &[u8], boundary: &str) -> Result<String, Fault> {
    multipart::text(body, boundary, "model").map_err(|error| unreadable(&error))
}

fn unreadable(error: &keyward_llm::Error) -> Fault {
    Fault::new(Code::BadRequest, format!("The form can't be read: {error}"))
}

/// `MODEL:METHOD`, as Gemini's addresses have it.
fn asked_in_address(last: &str, head: &RequestHead) -> Result<(String, bool, Option<Task>), Fault> {
    let unknown = || {
        Fault::new(
            Code::NotFound,
            "Of a model, `:generateContent`, `:streamGenerateContent`, `:embedContent`, `:batchEmbedContents` and `:countTokens` are served here",
        )
    };
    let (model, method) = last.rsplit_once(':').ok_or_else(unknown)?;
    if let Some(task) = Task::of_gemini(method) {
        return Ok((model.to_owned(), false, Some(task)));
    }
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
    Ok((model.to_owned(), stream, None))
}

fn asked_in_body(body: &AskedBody) -> Result<(String, bool), Fault> {
    let members = body
        .members()
        .map_err(|error| Fault::new(Code::BadRequest, format!("The body is {error}")))?;
    let model = members.string("model").ok_or_else(|| {
        Fault::new(
            Code::BadRequest,
            "`model` is missing, or no text; say which model is asked",
        )
    })?;
    // What a lax server takes for yes would be charged as a stream that nobody here reads as one.
    let stream = match members.get("stream") {
        None | Some(b"null" | b"false") => false,
        Some(b"true") => true,
        Some(_) => {
            let detail = "`stream` is neither true nor false";
            return Err(Fault::new(Code::BadRequest, detail));
        }
    };
    Ok((model, stream))
}
