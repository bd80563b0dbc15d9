//! A prompt's answer: what its model said, read, held against the output's schema, and told as this API's own.

use super::super::chain::conversation;
use super::super::intent::ModelCall;
use super::super::plan::AiRoute;
use super::super::spending::{Asking, hold_for};
use super::asked::{AnswerForm, DIALECT, PromptCall, written};
use super::call_id::identity;
use super::failure;
use super::stream::PromptStream;
use super::withheld::Withheld;
use crate::body::AnswerBody;
use crate::message::{Fields, Header, RequestHead};
use crate::record::CallRecord;
use crate::request::forward::Call;
use crate::request::{Answer, Refusal};
use bytes::Bytes;
use http::StatusCode;
use keyward_llm::Context;
use keyward_llm::form::{Message, Part, Request, Role, StopReason, ToolCall};
use keyward_model::usage::{ModelUse, PicoUsd};
use keyward_model::{Code, Fault};
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// What a model is told at once of what does not fit.
const MISTAKES_MAX: usize = 8;
/// The header that says who answered, as calls of models have it.
const MODEL_HEADER: &str = "keyward-model";
/// The header that says what a cache did.
const CACHE_HEADER: &str = "keyward-cache";
/// What passes of a model's answer besides.
const PASSED: [&str; 4] = [
    MODEL_HEADER,
    "keyward-attempts",
    CACHE_HEADER,
    "keyward-flagged",
];

/// What was said.
#[derive(Default)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) refusal: String,
    pub(super) calls: Vec<ToolCall>,
    pub(super) stop: Option<StopReason>,
}

/// What an answer says of itself, beside its output.
pub(super) struct Told {
    pub(super) id: String,
    pub(super) prompt: String,
    pub(super) version: String,
    pub(super) model: Option<String>,
}

/// Asks, and answers.
pub(in crate::ai) async fn run(
    (call, ai, head): (&Call<'_>, &AiRoute, &RequestHead),
    mut asked: ModelCall,
    mut prompt: PromptCall,
    record: &mut CallRecord,
) -> Result<Answer, Refusal> {
    let mut rounds = prompt.version.compiled.prompt().rounds();
    loop {
        let stream = asked.stream;
        let mut again = asked.again();
        let answer = conversation(call, &ai.plan, asked, record).await;
        if answer.status != StatusCode::OK {
            let withheld = Withheld::of(&prompt.request);
            return Err(failure::refusal(answer, &withheld, record));
        }
        let told = told(call, &prompt, &answer.fields, record);
        let fields = passed(&answer.fields);
        if stream {
            return Ok(streamed(answer, fields, (told, prompt.request), record));
        }
        let said = said(&answer, record)?;
        let Some(schema) = &prompt.version.compiled.output else {
            return Ok(whole(&prompt, fields, &told, &said, None, record));
        };
        let mistakes = match serde_json::from_str::<Value>(unfenced(&said.text)) {
            Ok(output) if schema.takes(&output) => {
                return Ok(whole(&prompt, fields, &told, &said, Some(output), record));
            }
            Ok(output) => {
                let found = schema.mistakes(&output, 0, MISTAKES_MAX).into_iter();
                let found: Vec<String> = found
                    .map(|(pointer, detail)| format!("at `{pointer}`: {detail}"))
                    .collect();
                found.join("; ")
            }
            Err(error) => format!("it is no JSON: {error}"),
        };
        if !said.refusal.is_empty() || said.stop == Some(StopReason::Filtered) {
            let detail = "The model does not answer this; send something else";
            return Err(Fault::new(Code::ProviderRefused, detail).into());
        }
        // An answer that was kept is no round: the same is asked anew, and is kept in its place.
        let mut kept = answer.fields.all_named(CACHE_HEADER);
        if !kept.any(|cache| cache != b"miss") {
            rounds = rounds.saturating_sub(1);
            if rounds == 0 {
                let fault = Fault::new(
                    Code::AnswerUnfit,
                    "The model's answer is not what this prompt answers with; try again, or tell its publisher",
                );
                return Err(fault.because(mistakes).into());
            }
            tracing::debug!(
                request_id = %record.request_id,
                why = %mistakes,
                "a model's answer does not fit its prompt's output: it is asked again"
            );
            let next = Rc::make_mut(&mut prompt.request);
            next.messages
                .push(Message::text(Role::Assistant, said.text));
            let ask = format!(
                "Your answer does not fit the JSON schema that it has to: {mistakes}. Answer again, with the corrected JSON alone."
            );
            next.messages.push(Message::text(Role::User, ask));
            again.body = written(&prompt.request)?.into();
        }
        record.next_round();
        let asking = Asking {
            worker: call.worker,
            route: &call.matched.route.route,
            ai,
            authenticated: call.admitted.authenticated(),
            caller: call.admitted.authenticated().caller(),
            origin: call.admitted.origin(),
            head,
        };
        record.spending = Box::pin(hold_for(asking, &mut again, record)).await?;
        asked = again;
    }
}

fn told(call: &Call<'_>, prompt: &PromptCall, fields: &Fields, record: &CallRecord) -> Told {
    let compiled = &prompt.version.compiled;
    let caller = identity(record.caller.as_deref());
    let ids = &call.worker.shared.call_ids;
    let id = ids.issue(
        record.request_id,
        &prompt.version,
        caller.as_deref(),
        record.started(),
    );
    let model = fields.all_named(MODEL_HEADER).next();
    Told {
        id,
        prompt: compiled.name().to_string(),
        version: compiled.version().to_string(),
        model: model.map(|model| String::from_utf8_lossy(model).into_owned()),
    }
}

fn passed(fields: &Fields) -> Fields {
    let mut passed = Fields::new();
    passed.append(Header::CacheControl, b"no-store");
    for name in PASSED {
        for value in fields.all_named(name) {
            passed.append_named(name, value);
        }
    }
    passed
}

/// Reads what the model said.
fn said(answer: &Answer, record: &CallRecord) -> Result<Said, Refusal> {
    let unreadable = |why: &str| {
        let detail = "The model's answer can't be read; try again";
        Fault::new(Code::ProviderFailed, detail).because(why)
    };
    let body = answer
        .body
        .whole()
        .ok_or_else(|| unreadable("its body is not there as a whole"))?;
    let context = Context {
        id: record.request_id.to_string(),
        now: 0,
    };
    let read = DIALECT.read_answer(body, &context);
    let read =
        read.map_err(|failure| unreadable(failure.because.as_ref().unwrap_or(&failure.message)))?;
    let mut said = Said::default();
    let Some(candidate) = read.candidates.into_iter().next() else {
        return Err(unreadable("there is none in it").into());
    };
    for part in candidate.parts {
        said.take(part);
    }
    said.stop = Some(candidate.stop.reason);
    Ok(said)
}

impl Said {
    fn take(&mut self, part: Part) {
        match part {
            Part::Text(text) => self.text.push_str(&text),
            Part::Refusal(text) => self.refusal.push_str(&text),
            Part::ToolCall(call) => self.calls.push(call),
            Part::Image(_)
            | Part::Document(_)
            | Part::Audio(_)
            | Part::Thought(_)
            | Part::ToolResult(_)
            | Part::CachePoint(_) => {}
        }
    }
}

/// JSON that a model has put between fences, as those do that are not held to a schema.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text
        .strip_prefix("```json")
        .or_else(|| text.strip_prefix("```"))
        .and_then(|rest| rest.strip_suffix("```"));
    inner.map_or(text, str::trim)
}

fn whole(
    prompt: &PromptCall,
    mut fields: Fields,
    told: &Told,
    said: &Said,
    output: Option<Value>,
    record: &mut CallRecord,
) -> Answer {
    fields.append_named("keyward-answer", told.id.as_bytes());
    let body = if prompt.form == AnswerForm::Text {
        fields.append(Header::ContentType, b"text/plain; charset=utf-8");
        match output {
            Some(output) => output.to_string(),
            None => said.text.clone(),
        }
    } else {
        fields.append(Header::ContentType, b"application/json");
        let output = output.unwrap_or_else(|| match said.text.as_str() {
            "" if !said.calls.is_empty() => Value::Null,
            text => text.into(),
        });
        let mut body = Map::from_iter([("output".to_owned(), output)]);
        body.extend(end(told, said, record.model_use().as_ref()));
        Value::Object(body).to_string()
    };
    record.answered(StatusCode::OK.as_u16());
    Answer::own(StatusCode::OK, fields, AnswerBody::full(Bytes::from(body)))
}

/// All that an answer has beside its output.
pub(super) fn end(told: &Told, said: &Said, used: Option<&ModelUse>) -> Map<String, Value> {
    let mut end = Map::new();
    let mut put = |name: &str, value: Value| {
        end.insert(name.to_owned(), value);
    };
    put("id", json!(told.id));
    put("prompt", json!(told.prompt));
    put("version", json!(told.version));
    put("model", json!(told.model));
    put("stop", json!(said.stop.map(stop)));
    if !said.refusal.is_empty() {
        put("refusal", json!(said.refusal));
    }
    if !said.calls.is_empty() {
        let calls: Vec<Value> = said.calls.iter().map(tool_call).collect();
        put("tool_calls", Value::Array(calls));
    }
    let tokens = used.map(|used| used.tokens).unwrap_or_default();
    put(
        "usage",
        json!({
            "input_tokens": tokens.input,
            "cached_tokens": tokens.cached_input,
            "output_tokens": tokens.output,
            "reasoning_tokens": tokens.reasoning,
        }),
    );
    // A price that is not known is not the same as none.
    let cost = used.filter(|used| used.price_revision != 0);
    put(
        "cost",
        cost.map_or(Value::Null, |used| json!({ "usd": usd(used.cost) })),
    );
    end
}

pub(super) fn tool_call(call: &ToolCall) -> Value {
    let arguments = serde_json::from_str::<Value>(&call.arguments);
    // What is no JSON is told as it was written.
    let arguments = arguments.unwrap_or_else(|_| Value::from(call.arguments.as_str()));
    json!({ "id": call.id, "name": call.name, "arguments": arguments })
}

const fn stop(reason: StopReason) -> &'static str {
    match reason {
        StopReason::End | StopReason::Paused => "end",
        StopReason::Sequence => "stop",
        StopReason::MaxTokens => "max_tokens",
        StopReason::ToolCalls => "tool_calls",
        StopReason::Filtered => "filtered",
        StopReason::Refused => "refused",
        StopReason::ContextFull => "context_full",
        StopReason::Malformed => "malformed",
    }
}

/// US dollars as a decimal text: sums of them stay exact.
fn usd(cost: PicoUsd) -> String {
    const UNIT: u64 = 1_000_000_000_000;
    let sign = if cost.0 < 0 { "-" } else { "" };
    let pico = cost.0.unsigned_abs();
    let fraction = format!("{:012}", pico % UNIT);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", pico / UNIT)
}

fn streamed(
    answer: Answer,
    mut fields: Fields,
    (told, request): (Told, Rc<Request>),
    record: &mut CallRecord,
) -> Answer {
    fields.append(Header::ContentType, b"text/event-stream");
    fields.append_named("keyward-answer", told.id.as_bytes());
    let stream = PromptStream::new(answer.body, (told, request), record);
    record.answered(StatusCode::OK.as_u16());
    Answer::own(StatusCode::OK, fields, AnswerBody::prompted(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_told_to_its_last_digit() {
        for (pico, expected) in [
            (0, "0"),
            (1, "0.000000000001"),
            (1_500_000_000_000, "1.5"),
            (-2_000_000_000_000, "-2"),
            (123_456, "0.000000123456"),
        ] {
            assert_eq!(usd(PicoUsd(pico)), expected);
        }
    }

    #[test]
    fn json_is_found_between_fences() {
        for text in [
            "{\"a\":1}",
            " {\"a\":1}\n",
            "```json\n{\"a\":1}\n```",
            "```\n{\"a\":1}```",
        ] {
            assert_eq!(unfenced(text), "{\"a\":1}", "{text}");
        }
        assert_eq!(unfenced("```json {"), "```json {");
    }
}
