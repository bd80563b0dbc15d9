//! What a call at one of the prompts' addresses asks for.

use super::super::cache::CacheWish;
use super::super::intent::{ModelCall, sticky};
use super::super::plan::{AiPlan, AiRoute, ModelPlan};
use super::call_id::identity;
use super::document::{self, Listed};
use super::feedback::{self, Feedback};
use super::plan::{PromptPlan, PromptVersion};
use super::rendering;
use super::template::Unrendered;
use super::variables::{self, Sent};
use crate::body::AnswerBody;
use crate::message::{Fields, Header, RequestHead};
use crate::record::CallRecord;
use crate::request::{Answer, Refusal};
use crate::worker::Worker;
use bytes::Bytes;
use http::StatusCode;
use keyward_llm::form::Request;
use keyward_llm::{Dialect, Target};
use keyward_model::resource::AiEndpoint;
use keyward_model::{Code, Fault};
use std::rc::Rc;
use std::sync::Arc;

/// What a message repeats of a name.
const SHOWN_MAX: usize = 100;
/// What prompts are asked in: it says all that a prompt can, and most providers speak it.
pub(super) const DIALECT: Dialect = Dialect::OpenAiChat;
/// A rating is short.
const FEEDBACK_MAX: usize = 16 << 10;

/// A call of a prompt, beside what it asks of its model.
pub(crate) struct PromptCall {
    pub(super) version: Arc<PromptVersion>,
    /// What the model is asked, once it is rendered, for rounds that tell it what is wrong with its answer.
    pub(super) request: Rc<Request>,
    pub(super) form: AnswerForm,
}

impl PromptCall {
    /// Each answer is to have so many tokens at most, those that mend one too.
    pub(in crate::ai) fn lower(&mut self, output: u64) {
        Rc::make_mut(&mut self.request).max_tokens = Some(output);
    }
}

/// How the caller wants the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerForm {
    Json,
    /// What the model says, and nothing else.
    Text,
    Events,
}

/// What is asked of prompts besides their answers.
pub(crate) enum PromptsAsked {
    List(Vec<Listed>),
    Document {
        version: Arc<PromptVersion>,
        document: Bytes,
    },
    Feedback {
        version: Arc<PromptVersion>,
        given: Feedback,
    },
}

/// One or the other.
pub(crate) enum Read {
    Call(Box<ModelCall>),
    Other(PromptsAsked),
}

impl PromptsAsked {
    /// What is asked for, as far as it is decided about: a prompt's version.
    pub(crate) fn model(&self) -> Option<&ModelPlan> {
        match self {
            Self::List(_) => None,
            Self::Document { version, .. } | Self::Feedback { version, .. } => Some(&version.model),
        }
    }

    /// The answer.
    pub(crate) fn answer(
        &self,
        worker: &Worker,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        let body = match self {
            Self::List(listed) => Some(document::list(listed)),
            Self::Document { document, .. } => Some(document.clone()),
            Self::Feedback { version, given } => {
                feedback::take(worker, version, given, record)?;
                None
            }
        };
        let mut fields = Fields::new();
        fields.append(Header::CacheControl, b"no-store");
        let status = match &body {
            Some(_) => {
                fields.append(Header::ContentType, b"application/json");
                StatusCode::OK
            }
            None => StatusCode::NO_CONTENT,
        };
        record.answered(status.as_u16());
        let body = AnswerBody::full(body.unwrap_or_default());
        Ok(Answer::own(status, fields, body))
    }
}

/// Reads what is asked for. `body` is empty where the address takes none. What is listed and told of is what `allowed`
/// allows; whether a call may pass is decided behind this, and nothing of its body is read before.
pub(crate) fn read(
    worker: &Worker,
    ai: &AiRoute,
    head: &RequestHead,
    body: &[u8],
    allowed: &dyn Fn(&ModelPlan) -> bool,
    record: &mut CallRecord,
) -> Result<Read, Refusal> {
    let mut segments = head.path().rsplit('/');
    let mut next = || segments.next().unwrap_or_default();
    let identity = identity(record.caller.as_deref());
    let choose = |name: &str| {
        let prompt = find(&ai.plan, name)?;
        let version = prompt.current(identity.as_deref(), worker.turn(), allowed);
        let version = version.ok_or_else(|| unknown(name))?;
        Ok::<_, Fault>((prompt, Arc::clone(version)))
    };
    match ai.endpoint {
        AiEndpoint::Prompts => {
            let listed = document::listed(&ai.plan, identity.as_deref(), allowed);
            Ok(Read::Other(PromptsAsked::List(listed)))
        }
        AiEndpoint::Prompt => {
            let (_, version) = choose(next())?;
            Ok(call(head, version, body, record))
        }
        AiEndpoint::PromptVersion => {
            let version = next();
            let _versions = next();
            let version = version_of(&ai.plan, next(), version)?;
            Ok(call(head, version, body, record))
        }
        AiEndpoint::PromptDocument => {
            let _document = next();
            let (prompt, version) = choose(next())?;
            // One document for all versions that a caller may get: whose variables differ are told of their own.
            let others = prompt.allowed(allowed);
            let document = document::open_api(&ai.plan, &version, &others, false);
            Ok(Read::Other(PromptsAsked::Document { version, document }))
        }
        AiEndpoint::PromptVersionDocument => {
            let _document = next();
            let version = next();
            let _versions = next();
            let version = version_of(&ai.plan, next(), version)?;
            let document = document::open_api(&ai.plan, &version, &[], true);
            Ok(Read::Other(PromptsAsked::Document { version, document }))
        }
        AiEndpoint::PromptFeedback => {
            let _feedback = next();
            let name = next();
            let prompt = find(&ai.plan, name)?;
            if body.len() > FEEDBACK_MAX {
                let fault = Fault::new(
                    Code::BodyTooLarge,
                    "The body has more than 16 KiB, which no feedback needs",
                );
                return Err(fault.into());
            }
            let given = Feedback::read(body)?;
            let version = worker
                .shared
                .call_ids
                .read(
                    &given.id,
                    prompt,
                    identity.as_deref(),
                    // Whether one from before was rated is forgotten.
                    worker.shared.rated.remembers_since()..=record.started(),
                )
                .ok_or_else(feedback::no_such_answer)?;
            let version = Arc::clone(version);
            Ok(Read::Other(PromptsAsked::Feedback { version, given }))
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
        | AiEndpoint::Models
        | AiEndpoint::Model
        | AiEndpoint::GeminiModels => {
            Err(Fault::new(Code::Internal, "Something went wrong here").into())
        }
    }
}

fn find<'a>(plan: &'a AiPlan, name: &str) -> Result<&'a PromptPlan, Fault> {
    plan.prompts.get(name).ok_or_else(|| unknown(name))
}

fn version_of(plan: &AiPlan, name: &str, version: &str) -> Result<Arc<PromptVersion>, Fault> {
    let found = find(plan, name)?.version(version);
    found.map(Arc::clone).ok_or_else(|| {
        let shown: String = version.chars().take(SHOWN_MAX).collect();
        Fault::new(
            Code::PromptNotFound,
            format!(
                "The prompt has no version `{}` here; the list of prompts has those that it has",
                shown.escape_debug()
            ),
        )
    })
}

fn unknown(name: &str) -> Fault {
    let shown: String = name.chars().take(SHOWN_MAX).collect();
    Fault::new(
        Code::PromptNotFound,
        format!(
            "There is no prompt `{}` here; the list of prompts has those that there are",
            shown.escape_debug()
        ),
    )
}

/// A call of a prompt, with its body as it came.
fn call(
    head: &RequestHead,
    version: Arc<PromptVersion>,
    body: &[u8],
    record: &mut CallRecord,
) -> Read {
    record.prompt = Some(Box::new(version.compiled.used()));
    let form = wanted(head);
    Read::Call(Box::new(ModelCall {
        form: DIALECT,
        sticky: sticky(&version.model, head),
        cache: CacheWish::of(head),
        model: Arc::clone(&version.model),
        stream: form == AnswerForm::Events,
        task: None,
        // It would show the caller, in their own account, what the prompt tells its model.
        own_key: None,
        body: Bytes::copy_from_slice(body).into(),
        features: Vec::new(),
        prompt: Some(Box::new(PromptCall {
            version,
            request: Rc::new(Request::default()),
            form,
        })),
    }))
}

/// Reads what a call of a prompt sends, and makes of it what the model is asked: once it is clear that its caller may, who
/// is then told which variables there are.
pub(crate) fn render(asked: &mut ModelCall, head: &RequestHead) -> Result<(), Refusal> {
    let Some(prompt) = &mut asked.prompt else {
        return Ok(());
    };
    is_json(head)?;
    let compiled = &prompt.version.compiled;
    if asked.stream && compiled.output.is_some() {
        let fault = Fault::new(
            Code::BadRequest,
            "This prompt answers with JSON, which is checked as a whole and not streamed; call it without `stream` and without `Accept: text/event-stream`",
        );
        return Err(fault.into());
    }
    let sent: Sent = variables::read(compiled, &asked.body)?;
    let request = rendering::request(compiled, &sent, asked.stream).map_err(unrendered)?;
    asked.body = written(&request)?.into();
    prompt.request = Rc::new(request);
    Ok(())
}

/// A request in the dialect that prompts are asked in.
pub(super) fn written(request: &Request) -> Result<Bytes, Fault> {
    let target = Target {
        model: request.model.clone(),
        ..Target::default()
    };
    let written = DIALECT.write_request(request, &target);
    let outgoing = written.map_err(|error| prompt_failed().because(error))?;
    Ok(Bytes::from(outgoing.body))
}

/// That a prompt can't be asked, which is its publisher's to see to: nothing of it is told.
pub(super) fn prompt_failed() -> Fault {
    Fault::new(
        Code::PromptFailed,
        "The prompt can't be asked of its model as it is; its publisher finds the reason in the log, under this call's id",
    )
}

fn unrendered(error: Unrendered) -> Refusal {
    match error {
        Unrendered::TooMuch => Fault::new(
            Code::ValidationFailed,
            "What was sent makes more text than this prompt may have; send less",
        )
        .into(),
        Unrendered::Empty => Fault::new(
            Code::ValidationFailed,
            "What was sent leaves nothing to ask: the variables that the question is made of are empty; send them",
        )
        .into(),
        Unrendered::Failed(why) => prompt_failed().because(why).into(),
    }
}

/// A body of another type would be read as something that it is not.
fn is_json(head: &RequestHead) -> Result<(), Fault> {
    let Some(given) = head.fields.get(Header::ContentType) else {
        return Ok(());
    };
    let essence = given.split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    if essence == b"application/json" || essence.ends_with(b"+json") {
        return Ok(());
    }
    Err(Fault::new(
        Code::UnsupportedMediaType,
        "The variables are sent as a JSON object; send it with `Content-Type: application/json`",
    ))
}

/// What the query or `Accept` asks for: of several, what is liked best, then what comes first. JSON where nothing of it
/// can be given (RFC 9110, section 12.4.1).
fn wanted(head: &RequestHead) -> AnswerForm {
    let streams = |query: &str| query.split('&').any(|pair| pair == "stream=true");
    if head.query().is_some_and(streams) {
        return AnswerForm::Events;
    }
    let mut best = (0.0_f32, AnswerForm::Json);
    for accept in head.fields.all_named("accept") {
        let Ok(accept) = std::str::from_utf8(accept) else {
            continue;
        };
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let form = match kind.as_str() {
                "application/json" | "application/*" | "*/*" => AnswerForm::Json,
                "text/event-stream" => AnswerForm::Events,
                "text/plain" | "text/*" => AnswerForm::Text,
                _ => continue,
            };
            let quality = parts
                .find_map(|part| part.strip_prefix("q="))
                .and_then(|quality| quality.trim().parse::<f32>().ok());
            let quality = quality.unwrap_or(1.0);
            if quality > best.0 {
                best = (quality, form);
            }
        }
    }
    best.1
}
