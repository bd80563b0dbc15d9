//! What an answer is found by: everything that could make a model answer differently, and who asks.

use super::CachePlan;
use crate::ai::intent::ModelCall;
use crate::message::{Header, RequestHead};
use crate::request::Authenticated;
use crate::request::forward::Call;
use aws_lc_rs::hmac;
use keyward_llm::Dialect;
use keyward_llm::json::{Json, Object};
use keyward_llm::task::Task;

/// What has no bearing on what a model answers: who asks on whose behalf, and how it is told.
const WITHOUT_BEARING: &[&str] = &[
    "metadata",
    "prompt_cache_key",
    "safety_identifier",
    "stream",
    "stream_options",
    "user",
];

/// Members by which a provider keeps something of a call, or goes on with what it has kept: the same words ask something
/// else the next time.
const WITH_STATE: &[&str] = &["background", "conversation", "previous_response_id"];

/// What calls have in common that one answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// What a caller wants of the cache (RFC 9111, section 5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ai) struct CacheWish {
    /// Not what is kept.
    pub(super) no_cache: bool,
    /// Nothing of this call is to be kept.
    pub(super) no_store: bool,
}

#[cfg(test)]
impl Key {
    pub(super) fn of_test(number: u8) -> Self {
        Self([number; 32])
    }
}

/// A call as the cache sees it.
pub(super) struct Asked {
    pub(super) key: Key,
    /// Its last words, where they are text alone, and the key of all else.
    pub(super) last: Option<(String, Key)>,
    /// Whether a stream ends with what it took, where that is left to the caller.
    pub(super) usage: bool,
}

impl CacheWish {
    /// What the call says. What is not known is passed over.
    pub(in crate::ai) fn of(head: &RequestHead) -> Self {
        let mut wish = Self::default();
        for value in head.fields.all(Header::CacheControl) {
            for directive in value.split(|byte| *byte == b',') {
                let directive = directive.trim_ascii();
                wish.no_cache |= directive.eq_ignore_ascii_case(b"no-cache")
                    || directive.eq_ignore_ascii_case(b"max-age=0");
                wish.no_store |= directive.eq_ignore_ascii_case(b"no-store");
            }
        }
        wish
    }

    /// That what is kept is not wanted, whatever else is.
    pub(in crate::ai) fn anew(self) -> Self {
        Self {
            no_cache: true,
            ..self
        }
    }
}

/// Parts, each with its length before it, so that no two lists of parts are the same bytes.
struct Parts(hmac::Context);

impl Parts {
    fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    fn add_some(&mut self, part: Option<&[u8]>) {
        self.0.update(&[u8::from(part.is_some())]);
        self.add(part.unwrap_or_default());
    }

    fn finish(self) -> Key {
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(self.0.sign().as_ref()) {
            *to = *from;
        }
        Key(key)
    }
}

/// Whether answers are kept of what is no conversation: of texts alone, and always the same.
const fn is_kept(task: Task) -> bool {
    match task {
        Task::Embeddings
        | Task::EmbedContent
        | Task::EmbedContents
        | Task::CountTokens
        | Task::CountContent
        | Task::Moderations => true,
        Task::Images
        | Task::ImageEdits
        | Task::ImageVariations
        | Task::Speech
        | Task::Transcriptions
        | Task::Translations
        | Task::Rerank => false,
    }
}

impl CachePlan {
    /// A call as the cache sees it; `None` where it is not for the cache.
    pub(super) fn asked(&self, call: &Call<'_>, asked: &ModelCall) -> Option<Asked> {
        let task = asked.task.as_ref().map(|call| call.task);
        if asked.is_form() || task.is_some_and(|task| !is_kept(task)) {
            return None;
        }
        if asked.own_key.is_some() {
            // It may be one that the provider refuses, or serves otherwise: what it gets is its owner's affair.
            return None;
        }
        let Ok(Json::Object(mut body)) = Json::parse(&asked.body) else {
            return None;
        };
        let says = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
        if WITH_STATE
            .iter()
            .any(|name| says(name) && !is_false(&body, name))
        {
            return None;
        }
        if self.declared.only_deterministic && task.is_none() && !is_deterministic(&body) {
            return None;
        }
        let usage = body
            .get("stream_options")
            .and_then(|options| options.get("include_usage"))
            == Some(&Json::Bool(true));
        for name in WITHOUT_BEARING {
            body.take(name);
        }
        // Whatever they are called: it is the same model.
        body.take("model");
        let caller = self.caller(call)?;
        let last = if self.vectors.is_some() && task.is_none() {
            take_last(asked.form, &mut body)
        } else {
            None
        };
        let mut parts = Parts(hmac::Context::with_key(&self.secret));
        for part in &caller {
            parts.add_some(part.as_deref());
        }
        parts.add(asked.form.as_str().as_bytes());
        parts.add_some(task.map(|task| task.path().as_bytes()));
        for (name, value) in &asked.features {
            parts.add(name.as_bytes());
            parts.add(value);
        }
        // Who may ask one of the targets gets no other's answer, and nobody else gets that one's.
        let caller = call.admitted.authenticated().caller();
        asked.model.root.each_condition(&mut |when| {
            if !when.claims.is_empty() {
                let fits = keyward_access::claims_fit(caller, &when.claims);
                parts.add(&[u8::from(fits)]);
            }
        });
        // The order in which members stand says nothing.
        let mut members: Vec<(&str, &Json)> = body.iter().collect();
        members.sort_unstable_by_key(|(name, _)| *name);
        for (name, value) in members {
            parts.add(name.as_bytes());
            parts.add(&value.to_bytes());
        }
        let mut whole = Parts(parts.0.clone());
        whole.add_some(last.as_ref().map(String::as_bytes));
        Some(Asked {
            key: whole.finish(),
            last: last.map(|last| (last, parts.finish())),
            usage,
        })
    }

    /// Who asks; `None` where nobody can say, and answers are not for all.
    fn caller(&self, call: &Call<'_>) -> Option<Vec<Option<Vec<u8>>>> {
        if self.declared.across_callers {
            return Some(Vec::new());
        }
        let Authenticated::Caller(verified) = call.admitted.authenticated() else {
            return None;
        };
        let caller = &verified.caller;
        let text = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let number = |number: Option<u128>| number.map(|number| number.to_be_bytes().to_vec());
        let mut parts = vec![
            Some(format!("{:?}", caller.method).into_bytes()),
            number(caller.team.map(|team| team.as_u128())),
            text(caller.issuer_name.as_ref().map(|name| name.as_str())),
            text(caller.issuer.as_deref()),
            number(caller.application.map(|id| id.as_u128())),
            number(caller.credential.map(|id| id.as_u128())),
            text(caller.subject()),
            text(caller.client()),
        ];
        // An issuer is no caller: whoever has no name but its has none.
        let names = [
            caller.application.is_some(),
            caller.credential.is_some(),
            caller.subject().is_some(),
            caller.client().is_some(),
        ];
        if !names.contains(&true) {
            return None;
        }
        for field in verified.identity.iter() {
            parts.push(Some(field.name.to_vec()));
            parts.push(Some(field.value.to_vec()));
        }
        Some(parts)
    }
}

fn is_false(body: &Object, name: &str) -> bool {
    body.get(name) == Some(&Json::Bool(false))
}

/// Whether nothing is left to chance, as far as a caller can say that.
fn is_deterministic(body: &Object) -> bool {
    let zero = |value: Option<&Json>| {
        let number = value.and_then(Json::as_number);
        number.and_then(|number| number.as_f64()) == Some(0.0)
    };
    zero(body.get("temperature"))
        || ["generationConfig", "generation_config"]
            .into_iter()
            .any(|name| zero(body.get(name).and_then(|config| config.get("temperature"))))
}

/// Takes the last words of the one who asks out of a conversation, where they are text alone.
fn take_last(form: Dialect, body: &mut Object) -> Option<String> {
    let (list, content) = match form {
        Dialect::OpenAiChat | Dialect::Anthropic => ("messages", "content"),
        Dialect::OpenAiResponses => ("input", "content"),
        Dialect::Gemini => ("contents", "parts"),
        Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => return None,
    };
    let words = match body.get(list)? {
        Json::String(text) => text.clone(),
        Json::Array(messages) => {
            let last = messages.last()?;
            let role = last.get("role").and_then(Json::as_str);
            if role != Some("user") && !(role.is_none() && form == Dialect::Gemini) {
                return None;
            }
            // What else a message says, such as whose it is, makes it another one.
            let said = |name: &str| name == "role" || name == content || name == "type";
            if !last.as_object()?.iter().all(|(name, _)| said(name)) {
                return None;
            }
            words(last.get(content)?)?
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => return None,
    };
    let without = match body.take(list)? {
        Json::Array(mut messages) => {
            messages.pop();
            Json::Array(messages)
        }
        Json::String(_) | Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
            Json::Null
        }
    };
    body.set(list, without);
    Some(words)
}

/// The text of content that is text alone.
fn words(content: &Json) -> Option<String> {
    match content {
        Json::String(text) => Some(text.clone()),
        Json::Array(parts) => {
            let mut words = String::new();
            for part in parts {
                let part = part.as_object()?;
                let mut others = part
                    .iter()
                    .filter(|(name, _)| !matches!(*name, "type" | "text"));
                if others.next().is_some() {
                    return None;
                }
                words.push_str(part.get("text").and_then(Json::as_str)?);
                words.push('\n');
            }
            Some(words)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => None,
    }
}
