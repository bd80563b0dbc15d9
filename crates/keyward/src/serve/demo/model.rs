//! The demo's offline model: it speaks OpenAI's dialect, says the same to the same each time, calls tools, streams, and
//! counts tokens. It needs no key and no network, and knows nothing.

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};
use keyward_llm::form::{
    Answer, Candidate, Event, Failure, Message, Part, Request, Role, Stop, StopReason, Tool,
    ToolCall, ToolChoice, Usage, events_of,
};
use keyward_llm::json::{Json, Object};
use keyward_llm::{Address, Context, Dialect, StreamWriter};

/// What it is called where it is served.
pub(super) const NAME: &str = "keyward-echo";
const DIALECT: Dialect = Dialect::OpenAiChat;
/// So many characters are a token: what English has on average.
const CHARACTERS_OF_TOKEN: usize = 4;
/// No schema that somebody tries goes deeper.
const DEPTH_MAX: usize = 8;

/// Answers one request.
pub(super) async fn answer(body: Bytes) -> Response<Body> {
    let context = Context {
        id: "demo".to_owned(),
        now: 0,
    };
    let request = match DIALECT.read_request(&body, &Address::default()) {
        Ok(request) => request,
        Err(error) => return failed(&Failure::from(&error), &context),
    };
    let answer = said(&request);
    let written = if request.stream {
        streamed(&answer, &request, &context)
    } else {
        DIALECT.write_answer(&answer, &request, &context)
    };
    match written {
        Ok(body) if request.stream => respond(StatusCode::OK, DIALECT.stream_type(), body),
        Ok(body) => respond(StatusCode::OK, "application/json", body),
        Err(error) => failed(&Failure::from(&error), &context),
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let value = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}

fn failed(failure: &Failure, context: &Context) -> Response<Body> {
    let body = DIALECT.write_failure(failure, context).unwrap_or_default();
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::BAD_REQUEST);
    respond(status, "application/json", body)
}

/// What it says: it calls a tool where it has one and nothing of it yet, and else repeats what it was told.
fn said(request: &Request) -> Answer {
    let last = request.messages.last();
    let result = last.and_then(|message| message.parts.iter().rev().find_map(result_of));
    let part = match (result, tool(request)) {
        (Some(result), _) => Part::Text(format!("The tool says: {result}")),
        (None, Some(tool)) => Part::ToolCall(ToolCall {
            id: "call_demo_1".to_owned(),
            name: tool.name.clone(),
            arguments: tool
                .parameters
                .as_ref()
                .map_or_else(|| "{}".to_owned(), |schema| example(schema, 0).to_text()),
            signature: None,
        }),
        (None, None) => {
            let asked = request.messages.iter().rev();
            let mut asked = asked.filter(|message| message.role == Role::User);
            let text = asked.next().map(text_of).unwrap_or_default();
            Part::Text(format!("You said: {text}"))
        }
    };
    let (part, reason) = within(part, request.max_tokens);
    let written = match &part {
        Part::ToolCall(call) => tokens(&call.arguments),
        Part::Text(text) => tokens(text),
        Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::Thought(_)
        | Part::ToolResult(_)
        | Part::Refusal(_)
        | Part::CachePoint(_) => 0,
    };
    let read = request
        .messages
        .iter()
        .map(|message| tokens(&text_of(message)));
    Answer {
        id: "chatcmpl-demo".to_owned(),
        model: NAME.to_owned(),
        created: Some(0),
        candidates: vec![Candidate {
            parts: vec![part],
            stop: Stop {
                reason,
                ..Stop::default()
            },
            log_probabilities: Vec::new(),
        }],
        usage: Some(Usage {
            input: read.sum(),
            output: written,
            ..Usage::default()
        }),
    }
}

fn result_of(part: &Part) -> Option<String> {
    match part {
        Part::ToolResult(result) => Some(text_of_parts(&result.content)),
        Part::Text(_)
        | Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::Thought(_)
        | Part::ToolCall(_)
        | Part::Refusal(_)
        | Part::CachePoint(_) => None,
    }
}

fn tool(request: &Request) -> Option<&Tool> {
    match &request.tool_choice {
        Some(ToolChoice::Never) => None,
        Some(ToolChoice::Tool(name)) => request.tools.iter().find(|tool| tool.name == *name),
        Some(ToolChoice::Auto | ToolChoice::Required) | None => request.tools.first(),
    }
}

/// As much of it as may be written.
fn within(part: Part, most: Option<u64>) -> (Part, StopReason) {
    match part {
        Part::Text(text) => {
            let most = most.and_then(|most| usize::try_from(most).ok());
            let characters = most.map(|most| most.saturating_mul(CHARACTERS_OF_TOKEN));
            match characters {
                Some(most) if text.chars().count() > most => {
                    let cut = text.chars().take(most).collect();
                    (Part::Text(cut), StopReason::MaxTokens)
                }
                Some(_) | None => (Part::Text(text), StopReason::End),
            }
        }
        Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::Thought(_)
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Refusal(_)
        | Part::CachePoint(_) => (part, StopReason::ToolCalls),
    }
}

fn text_of(message: &Message) -> String {
    text_of_parts(&message.parts)
}

fn text_of_parts(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::Thought(_)
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Refusal(_)
        | Part::CachePoint(_) => None,
    });
    texts.collect()
}

fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(CHARACTERS_OF_TOKEN) as u64
}

/// Something that a schema takes: its first choice, and `demo` for a text.
fn example(schema: &Json, depth: usize) -> Json {
    if depth > DEPTH_MAX {
        return Json::Null;
    }
    if let Some(first) = schema.get("enum").and_then(Json::as_array) {
        return first.first().cloned().unwrap_or(Json::Null);
    }
    match schema.get("type").and_then(Json::as_str) {
        Some("string") => "demo".into(),
        Some("integer" | "number") => 1_u64.into(),
        Some("boolean") => true.into(),
        Some("array") => Json::Array(Vec::new()),
        Some(_) | None => {
            let mut object = Object::new();
            let properties = schema.get("properties").and_then(Json::as_object);
            for (name, property) in properties.into_iter().flat_map(Object::iter) {
                object.set(name, example(property, depth + 1));
            }
            object.into()
        }
    }
}

/// The same word by word.
fn streamed(
    answer: &Answer,
    request: &Request,
    context: &Context,
) -> Result<Vec<u8>, keyward_llm::Error> {
    let mut out = Vec::new();
    let Some(mut writer) = StreamWriter::new(DIALECT, request, context) else {
        return Ok(out);
    };
    for event in events_of(answer) {
        let Event::Text { block, text, .. } = &event else {
            writer.write(&event, &mut out)?;
            continue;
        };
        for word in text.split_inclusive(' ') {
            let piece = Event::Text {
                block: *block,
                text: word.to_owned(),
                log_probabilities: Vec::new(),
            };
            writer.write(&piece, &mut out)?;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: &str) -> Request {
        DIALECT
            .read_request(json.as_bytes(), &Address::default())
            .unwrap()
    }

    #[test]
    fn it_repeats_what_it_is_told_within_its_bound() {
        let request = r#"{"model":"m","messages":[{"role":"user","content":"Hello, all of you"}]}"#;
        let answer = said(&asked(request));
        let text = Part::Text("You said: Hello, all of you".to_owned());
        assert_eq!(answer.candidates[0].parts, [text]);
        assert_eq!(answer.usage.unwrap().output, 7);
        let short = request.replace("\"model\"", "\"max_tokens\":3,\"model\"");
        let answer = said(&asked(&short));
        assert_eq!(
            answer.candidates[0].parts,
            [Part::Text("You said: He".to_owned())]
        );
        assert_eq!(answer.candidates[0].stop.reason, StopReason::MaxTokens);
    }

    #[test]
    fn it_calls_a_tool_with_what_its_schema_takes_and_then_says_what_came_of_it() {
        let tools = r#""tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"},"unit":{"enum":["C","F"]}}}}}]"#;
        let user = r#"{"role":"user","content":"Weather?"}"#;
        let answer = said(&asked(&format!(
            r#"{{"model":"m",{tools},"messages":[{user}]}}"#
        )));
        let Part::ToolCall(call) = &answer.candidates[0].parts[0] else {
            panic!("a tool is called");
        };
        assert_eq!(call.name, "weather");
        assert_eq!(call.arguments, r#"{"city":"demo","days":1,"unit":"C"}"#);
        let called = r#"{"role":"assistant","tool_calls":[{"id":"call_demo_1","type":"function","function":{"name":"weather","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call_demo_1","content":"sunny"}"#;
        let answer = said(&asked(&format!(
            r#"{{"model":"m",{tools},"messages":[{user},{called}]}}"#
        )));
        let text = Part::Text("The tool says: sunny".to_owned());
        assert_eq!(answer.candidates[0].parts, [text]);
    }
}
