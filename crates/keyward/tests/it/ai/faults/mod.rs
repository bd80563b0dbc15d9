//! What callers of each form see when a provider fails, streamed and not, whether its events pass or are translated: the
//! tables of `docs/ai/faults.md`.

mod provider;

use super::judges::providers::FORMS;
use super::{OPEN, address, data_of, fixture, post};
use crate::node::{Node, Plan};
use crate::policies::page;
use keyward_testkit::{Answer, free_addresses};
use provider::{FAULTS, Fault};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

/// Whose dialect is another one than the caller's.
fn other(form: &str) -> &'static str {
    match form {
        "anthropic" => "openai-chat",
        _ => "anthropic",
    }
}

async fn node(url: &str) -> Node {
    let [nobody] = free_addresses::<1>();
    let mut plan = Plan::default().resource(OPEN);
    for dialect in FORMS {
        for (fault, _) in FAULTS {
            let name = format!("{dialect}-{}", fault.slug());
            let url = if *fault == Fault::Refuses {
                format!("http://{nobody}")
            } else {
                format!("{url}/{dialect}/{}", fault.slug())
            };
            let rest = if [Fault::NeverAnswers, Fault::FallsSilent].contains(fault) {
                "first_token_timeout: 300ms, total_timeout: 500ms"
            } else {
                ""
            };
            plan = plan
                .resource(format!(
                    "- {{ kind: provider, name: {name}, dialect: {dialect}, base_url: \"{url}\", {rest} }}"
                ))
                .resource(format!(
                    "- {{ kind: model, name: {name}, targets: [ {{ provider: {name}, model: m }} ], attempts: 1 }}"
                ));
        }
    }
    plan.start().await
}

/// What a caller of `form` sees of this answer; an error where it is not what they can read.
fn told(form: &str, answer: &Answer, streamed: bool) -> Result<String, String> {
    let strange = |what: &str| Err(format!("{what}: {}", answer.text()));
    if answer.status != 200 {
        if answer.head.field("content-type") != Some("application/json") {
            return strange("another content type");
        }
        let error = answer.json().unwrap_or_default();
        let (Some(message), Some(code)) = (message(&error), answer.head.field("keyward-code"))
        else {
            return strange("an error without words or code");
        };
        let mut cell = format!("{}, `{code}`: {message}", answer.status);
        if let Some(after) = answer.head.field("retry-after") {
            write!(cell, "; `Retry-After: {after}`").unwrap();
        }
        return Ok(cell);
    }
    if !streamed {
        return strange("an answer of a provider that gave none");
    }
    let (mut text, mut ends, mut failed) = (String::new(), 0, None);
    for event in data_of(answer) {
        if failed.is_some() {
            return strange("something behind an error");
        }
        if event == "[DONE]" {
            continue;
        }
        if event.is_string() {
            // Of a stream that passes, each event is the caller's to read.
            text.push('�');
            continue;
        }
        failed = failure(form, &event);
        text.push_str(piece(form, &event));
        ends += usize::from(is_end(form, &event));
    }
    let done = answer.text().ends_with("data: [DONE]\n\n");
    match (failed, ends) {
        (Some(message), 0) => Ok(format!("200, `{text}`, then an error: {message}")),
        (None, 1..) if form == "openai-chat" && !done => strange("no end"),
        (None, 1) => Ok(format!("200, `{text}`, and its end")),
        (None, 2..) => Ok(format!("200, `{text}`, and its end {ends} times")),
        (Some(_), _) => strange("an end and an error"),
        (None, 0) => strange("neither an end nor an error"),
    }
}

/// The words of an error, in any form.
fn message(error: &Value) -> Option<&str> {
    error["error"]["message"].as_str()
}

fn failure(form: &str, event: &Value) -> Option<String> {
    let found = match form {
        "openai-responses" if event["type"] == "response.failed" => {
            &event["response"]["error"]["message"]
        }
        "openai-responses" if event["type"] == "error" => &event["message"],
        _ => &event["error"]["message"],
    };
    found.as_str().map(str::to_owned)
}

fn piece<'a>(form: &str, event: &'a Value) -> &'a str {
    let text = match form {
        "openai-chat" => &event["choices"][0]["delta"]["content"],
        "openai-responses" if event["type"] == "response.output_text.delta" => &event["delta"],
        "anthropic" => &event["delta"]["text"],
        "gemini" => &event["candidates"][0]["content"]["parts"][0]["text"],
        _ => &Value::Null,
    };
    text.as_str().unwrap_or_default()
}

fn is_end(form: &str, event: &Value) -> bool {
    match form {
        "openai-chat" => event["choices"][0]["finish_reason"].is_string(),
        "openai-responses" => event["type"] == "response.completed",
        "anthropic" => event["type"] == "message_stop",
        _ => event["candidates"][0]["finishReason"].is_string(),
    }
}

fn asked(form: &str, model: &str, streamed: bool) -> Value {
    let mut body = fixture("requests", form, "text");
    if form != "gemini" {
        body["model"] = json!(model);
        body["stream"] = json!(streamed);
    }
    body
}

#[tokio::test]
async fn what_callers_see_of_each_fault_is_what_the_page_says() {
    let back = provider::start().await;
    let node = node(&back.url()).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ai");
    let (mut tables, mut strange) = (Vec::new(), Vec::new());
    for form in FORMS {
        let mut table = String::from(
            "| the provider | streamed | of the caller's dialect | of another |\n|---|---|---|---|",
        );
        for (fault, name) in FAULTS {
            for streamed in [false, true] {
                if !fault.happens(streamed) {
                    continue;
                }
                let word = if streamed { "yes" } else { "no" };
                write!(table, "\n| {name} | {word} |").unwrap();
                for dialect in [form, other(form)] {
                    let model = format!("{dialect}-{}", fault.slug());
                    let address = address(form, &model, streamed);
                    let answer = post(&node, &address, &[], &asked(form, &model, streamed)).await;
                    let cell = told(form, &answer, streamed).unwrap_or_else(|what| {
                        strange.push(format!(
                            "{form} from {dialect}: {name}, streamed: {word}: {what}"
                        ));
                        String::new()
                    });
                    write!(table, " {cell} |").unwrap();
                }
            }
        }
        tables.push((form, table));
    }
    assert!(strange.is_empty(), "{}", strange.join("\n\n"));
    for (form, table) in tables {
        let name = format!("callers who speak {form}");
        page::settle_in(&folder, "faults", &name, &table);
    }
}
