//! What several dialects write alike: data addresses, JSON in text, made ids.

use super::{Context, Dialect};
use crate::error::Error;
use crate::fields::wrong;
use crate::form::{
    Candidate, Failure, FailureKind, Message, Part, Role, Signature, Source, StopReason, ToolCall,
    ToolResult,
};
use crate::json::{Json, Object};
use std::collections::HashMap;

/// What an address holds: a `data:` one its content (RFC 2397, base64 alone), any other itself.
pub(super) fn source_of_url(url: String) -> Result<Source, Error> {
    let Some(rest) = url.strip_prefix("data:") else {
        return Ok(Source::Address(url));
    };
    let Some((head, data)) = rest.split_once(',') else {
        return Err(Error::field("", "is a data address without content"));
    };
    let Some(media_type) = head.strip_suffix(";base64") else {
        return Err(Error::field("", "is a data address that is not in base64"));
    };
    Ok(Source::Inline {
        media_type: media_type.split(';').next().unwrap_or_default().to_owned(),
        data: data.to_owned(),
    })
}

/// Items that are texts.
pub(super) fn strings(items: Vec<Json>) -> Result<Vec<String>, Error> {
    items
        .into_iter()
        .enumerate()
        .map(|(at, item)| match item {
            Json::String(text) => Ok(text),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                Err(wrong(&at.to_string(), "a string", &item))
            }
        })
        .collect()
}

/// The address of inline content.
pub(super) fn data_url(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}

/// Plain text as inline content.
pub(super) fn text_as_base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Inline content as plain text, when it is text.
pub(super) fn base64_as_text(data: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(data)
        .ok()?;
    String::from_utf8(bytes).ok()
}

/// The arguments of a call as the object that dialects other than OpenAI's want.
pub(super) fn arguments(call: &ToolCall) -> Result<Json, Error> {
    call.object().ok_or_else(|| {
        Error::field(
            "arguments",
            format!("of the call `{}` are no JSON object", call.id),
        )
    })
}

/// A candidate as dialects tell it that have arguments as an object. A call whose arguments are none, most often since
/// the answer was cut within it, is left out: with other arguments it would do something else, and an answer that is
/// paid for is worth more than an error.
pub(super) fn with_whole_calls(mut candidate: Candidate) -> Candidate {
    let count = candidate.parts.len();
    candidate
        .parts
        .retain(|part| !matches!(part, Part::ToolCall(call) if call.object().is_none()));
    if candidate.parts.len() < count {
        candidate.stop.reason = without_call(candidate.stop.reason);
    }
    candidate
}

/// Why an answer ended of which a call was left out.
pub(super) fn without_call(reason: StopReason) -> StopReason {
    if reason == StopReason::ToolCalls {
        StopReason::Malformed
    } else {
        reason
    }
}

/// What a tool gave as an object: itself where it is one, else under `name`.
pub(super) fn result_object(result: &ToolResult, name: &str) -> Json {
    let text = result.as_text().unwrap_or_default();
    match Json::parse(text.as_bytes()) {
        Ok(json @ Json::Object(_)) if !result.is_error => json,
        Ok(_) | Err(_) => Json::Object(Object::new().with(name, text)),
    }
}

/// An id of a call where the provider gives none.
pub(super) fn made_call_id(context: &Context, number: u32) -> String {
    format!("call_{}_{number}", context.id)
}

/// Before a signature that a caller's dialect carries for another maker: who that is.
const SEAL: &str = "kw1.";

/// A signature as the callers of `form` carry it: with its maker's name where that is another, so that it finds its
/// way back. Google's libraries read theirs as base64.
pub(super) fn seal(signature: &Signature, form: Dialect) -> String {
    if signature.maker == form {
        return signature.value.clone();
    }
    let sealed = format!("{SEAL}{}.{}", signature.maker, signature.value);
    if form == Dialect::Gemini {
        text_as_base64(&sealed)
    } else {
        sealed
    }
}

/// The signature that callers of `form` carried.
pub(super) fn unseal(value: String, form: Dialect) -> Signature {
    let text = if form == Dialect::Gemini {
        base64_as_text(&value)
    } else {
        None
    };
    let sealed = text.as_deref().unwrap_or(&value).strip_prefix(SEAL);
    let parts = sealed.and_then(|sealed| sealed.split_once('.'));
    let found = parts.and_then(|(maker, value)| Some((Dialect::named(maker)?, value.to_owned())));
    match found {
        Some((maker, value)) => Signature { maker, value },
        None => Signature { maker: form, value },
    }
}

/// Gives calls back their signatures: where a dialect has no place for one on a call, it is told as a hidden thought
/// behind it.
pub(super) fn attach_signatures(parts: Vec<Part>) -> Vec<Part> {
    let mut attached: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        if let Part::Thought(thought) = &part
            && thought.redacted
            && let Some(signature) = &thought.signature
            && signature.maker == Dialect::Gemini
            && let Some(Part::ToolCall(call)) = attached.last_mut()
            && call.signature.is_none()
        {
            call.signature = Some(signature.clone());
            continue;
        }
        attached.push(part);
    }
    attached
}

/// Messages without two of one side in a row: dialects differ in whether they take that, and none in what it means.
/// Results of tools come first in a message, as Anthropic wants it.
pub(super) fn alternating(messages: &[Message]) -> Vec<Message> {
    let mut merged: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages {
        match merged.last_mut() {
            Some(last) if last.role == message.role => {
                last.parts.extend(message.parts.iter().cloned());
            }
            Some(_) | None => merged.push(message.clone()),
        }
    }
    for message in merged
        .iter_mut()
        .filter(|message| message.role == Role::User)
    {
        let (mut results, mut others) = (Vec::new(), Vec::new());
        let mut to_results = false;
        for part in std::mem::take(&mut message.parts) {
            // A cache point stays behind what it is for.
            let stays = matches!(part, Part::CachePoint(_));
            to_results = matches!(part, Part::ToolResult(_)) || (stays && to_results);
            if to_results {
                results.push(part);
            } else {
                others.push(part);
            }
        }
        results.append(&mut others);
        message.parts = results;
    }
    merged
}

/// The instructions at the beginning, and the conversation behind them.
pub(super) fn split_instructions(messages: &[Message]) -> (&[Message], &[Message]) {
    let count = messages
        .iter()
        .take_while(|message| message.role.instructs())
        .count();
    messages.split_at_checked(count).unwrap_or((&[], messages))
}

/// Tells results the name of their tool, from the calls before them: some dialects name the call alone, others want
/// the tool's name too. One walk, however many calls and results there are.
pub(super) fn name_results(messages: &mut [Message]) {
    let mut names: HashMap<String, String> = HashMap::new();
    for part in messages.iter_mut().flat_map(|message| &mut message.parts) {
        if let Part::ToolCall(call) = part {
            names
                .entry(call.id.clone())
                .or_insert_with(|| call.name.clone());
        } else if let Part::ToolResult(result) = part
            && result.name.is_none()
        {
            result.name = names.get(&result.id).cloned();
        }
    }
}

/// The longest text of a provider that is told on.
const MOST_TOLD: usize = 2_000;

/// What a message tells beside the kind that status and code say: providers that have no code for it say it in words. No
/// words make a key be left alone but such as stand where no caller's text is repeated.
pub(super) fn by_words(kind: FailureKind, message: &str) -> FailureKind {
    if kind == FailureKind::InvalidRequest {
        if tells_of_context(message) {
            return FailureKind::ContextLength;
        }
        if message.starts_with("Your credit balance is too low") {
            return FailureKind::QuotaExhausted;
        }
    }
    let limited = [
        FailureKind::RateLimited,
        FailureKind::TooLarge,
        FailureKind::Unpaid,
    ];
    if limited.contains(&kind) && tells_of_size(message) {
        return FailureKind::OverLimit;
    }
    if kind == FailureKind::Unpaid && tells_of_account(message) {
        return FailureKind::QuotaExhausted;
    }
    kind
}

/// One request is over what its account may take at once.
fn tells_of_size(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "request too large",
        "tokens must be reduced",
        "reduce your message size",
        "or fewer max_tokens",
        "usage is required for long context",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// The account has nothing left, whatever is asked.
fn tells_of_account(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let begin = ["insufficient balance", "insufficient credits"];
    begin.iter().any(|words| message.starts_with(words))
}

/// Providers that have no code for it say it in words.
fn tells_of_context(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "maximum context length",
        "context window",
        "prompt is too long",
        "input is too long",
        "exceeds the maximum number of tokens",
    ]
    .iter()
    .any(|words| message.contains(words))
}

pub(super) fn shortened(text: String) -> String {
    match text.char_indices().nth(MOST_TOLD) {
        Some((at, _)) => text.get(..at).unwrap_or_default().to_owned(),
        None => text,
    }
}

/// The least budget of reasoning that Anthropic's models take, wherever they run.
const LEAST_BUDGET: u64 = 1_024;

/// Reasoning within a budget, as Anthropic's models take it; the budget is part of the `most` that may be written.
pub(super) fn thinking_within(budget: Option<u64>, most: u64) -> Result<Object, Error> {
    let budget = budget.unwrap_or(LEAST_BUDGET).max(LEAST_BUDGET);
    let budget = budget.min(most.saturating_sub(1));
    if budget < LEAST_BUDGET {
        return Err(Error::field(
            "max_tokens",
            format!(
                "must be over {LEAST_BUDGET} where the model reasons: what it thinks is part of it"
            ),
        ));
    }
    Ok(Object::new()
        .with("type", "enabled")
        .with("budget_tokens", budget))
}

/// The failure that a provider names: of this kind where its word is known, else by the status, where there is one.
pub(super) fn named_failure(
    known: Option<FailureKind>,
    status: Option<u16>,
    word: Option<&str>,
    message: &str,
) -> Failure {
    let kind = known
        .or(status.map(FailureKind::of_status))
        .unwrap_or(FailureKind::Server);
    let kind = by_words(kind, message);
    Failure {
        kind,
        status: status.unwrap_or(kind.status()),
        message: shortened(message.to_owned()),
        code: word.map(str::to_owned),
        field: None,
        because: None,
    }
}

/// The failure of an answer that is none of the dialect's errors.
pub(super) fn plain_failure(status: u16, body: &[u8]) -> Failure {
    Failure {
        status,
        ..Failure::new(FailureKind::of_status(status), plain(status, body))
    }
}

/// What to tell of a body that is none of the dialect's errors: a balancer's page is nothing for a caller.
fn plain(status: u16, body: &[u8]) -> String {
    let text = std::str::from_utf8(body).unwrap_or_default().trim();
    if text.is_empty() || text.starts_with('<') || text.len() > MOST_TOLD {
        format!("The provider answered with status {status}")
    } else {
        text.to_owned()
    }
}
