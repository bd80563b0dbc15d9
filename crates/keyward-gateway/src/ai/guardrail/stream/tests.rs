use super::super::{GuardPlan, Guardrail};
use super::*;
use keyward_model::resource::guardrail::{
    GuardAction, GuardCheck, GuardedSide, PiiCheck, PiiKind, RegexCheck,
};
use serde_json::{Value, json};

fn plan(action: GuardAction) -> Arc<GuardPlan> {
    let guardrail = |name: &str, check| Guardrail {
        name: name.parse().unwrap(),
        on: GuardedSide::Answer,
        action,
        check,
    };
    let pii = GuardCheck::Pii(PiiCheck {
        kinds: vec![PiiKind::Email],
        reversible: false,
        normalise: false,
    });
    let keys = GuardCheck::Regex(RegexCheck {
        patterns: vec!["sk-[a-z]{4}".into()],
        ignore_case: false,
        normalise: false,
    });
    GuardPlan::new(&[guardrail("pii", pii), guardrail("keys", keys)], &[])
        .unwrap()
        .unwrap()
}

fn context() -> Context {
    Context {
        id: "1".to_owned(),
        now: 0,
    }
}

fn pass(form: Dialect, plan: &Arc<GuardPlan>, pieces: &[&[u8]]) -> (String, Option<Stopped>) {
    let mut vault = Vault::default();
    assert_eq!(vault.mark("NAME", "Ann \"A.\" Bee", true), "[NAME_1]");
    let ways = (form, &context());
    let mut filter = Filter::new(ways, plan, vault, Fired::default(), Vec::new());
    let mut out = Vec::new();
    for piece in pieces {
        filter.push(piece, &mut out);
    }
    filter.finish(&mut out);
    (String::from_utf8(out).unwrap(), filter.stopped)
}

/// A stream of events with names.
fn stream(events: &[(&str, Value)]) -> String {
    let mut out = Vec::new();
    for (name, data) in events {
        let data = data
            .as_str()
            .map_or_else(|| data.to_string(), str::to_owned);
        sse::write(name, &data, &mut out);
    }
    String::from_utf8(out).unwrap()
}

fn data(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines
        .map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into()))
        .collect()
}

/// Texts by what they are, and all else that is told, in its order.
fn gathered(form: Dialect, text: &str) -> Vec<(Option<String>, String)> {
    let texts = texts(form, text.as_bytes()).unwrap();
    texts
        .into_iter()
        .map(|text| (text.key, text.text))
        .collect()
}

const WORDS: [&str; 6] = [
    "Hi [NA",
    "ME_1], mail a.",
    "b@c.exam",
    "ple or sk-",
    "abcd",
    " now",
];
const MASKED: &str = "Hi Ann \"A.\" Bee, mail [EMAIL_1] or [KEYS_1] now";

fn chat() -> String {
    let chunk = |delta: Value, stop: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": stop });
        (
            "",
            json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice] }),
        )
    };
    let mut events = vec![chunk(
        json!({ "role": "assistant", "content": "" }),
        Value::Null,
    )];
    events.extend(WORDS.map(|word| chunk(json!({ "content": word }), Value::Null)));
    let call = |arguments: &str| json!({ "tool_calls": [{ "index": 0, "function": { "arguments": arguments } }] });
    events.push(chunk(json!({ "tool_calls": [{ "index": 0, "id": "t", "type": "function", "function": { "name": "f", "arguments": "" } }] }), Value::Null));
    for arguments in [
        r#"{"to":"[NAM"#,
        r#"E_1]","m":"a.b\u00"#,
        r#"40c.example"}"#,
    ] {
        events.push(chunk(call(arguments), Value::Null));
    }
    events.push(chunk(json!({}), json!("stop")));
    events.push(("", json!({ "id": "c", "object": "chat.completion.chunk", "choices": [], "usage": { "prompt_tokens": 1 } })));
    events.push(("", json!("[DONE]")));
    stream(&events)
}

fn anthropic() -> String {
    let delta = |text: &str| {
        let delta = json!({ "type": "text_delta", "text": text });
        (
            "content_block_delta",
            json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        )
    };
    let mut events = vec![
        (
            "message_start",
            json!({ "type": "message_start", "message": { "id": "m", "content": [] } }),
        ),
        (
            "content_block_start",
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        ),
    ];
    events.extend(WORDS.map(delta));
    events.push((
        "content_block_stop",
        json!({ "type": "content_block_stop", "index": 0 }),
    ));
    events.push((
        "message_delta",
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } }),
    ));
    events.push(("message_stop", json!({ "type": "message_stop" })));
    stream(&events)
}

fn responses() -> String {
    let mut events = Vec::new();
    let whole = WORDS.concat();
    let part = json!({ "item_id": "i", "output_index": 0, "content_index": 0 });
    let event = |kind: &'static str, more: Value, events: &mut Vec<(&str, Value)>| {
        let mut event = json!({ "type": kind, "sequence_number": events.len() });
        for part in [part.as_object().unwrap(), more.as_object().unwrap()] {
            event.as_object_mut().unwrap().extend(part.clone());
        }
        events.push((kind, event));
    };
    event(
        "response.created",
        json!({ "response": { "id": "r", "output": [] } }),
        &mut events,
    );
    for word in WORDS {
        event(
            "response.output_text.delta",
            json!({ "delta": word, "logprobs": [{ "token": "sk-abcd" }] }),
            &mut events,
        );
    }
    event(
        "response.output_text.done",
        json!({ "text": whole }),
        &mut events,
    );
    let output =
        json!([{ "type": "message", "content": [{ "type": "output_text", "text": whole }] }]);
    event(
        "response.completed",
        json!({ "response": { "id": "r", "output": output } }),
        &mut events,
    );
    stream(&events)
}

fn gemini() -> String {
    let chunk = |parts: Value, stop: Value| {
        let mut candidate = json!({ "index": 0, "content": { "role": "model", "parts": parts } });
        if stop.is_string() {
            candidate["finishReason"] = stop;
        }
        (
            "",
            json!({ "candidates": [candidate], "modelVersion": "g", "responseId": "r" }),
        )
    };
    let mut events = vec![chunk(
        json!([{ "text": "think a.b@c.ex", "thought": true }]),
        Value::Null,
    )];
    events.push(chunk(
        json!([{ "text": "ample!", "thought": true }, { "text": "" }]),
        Value::Null,
    ));
    events.extend(WORDS.map(|word| chunk(json!([{ "text": word }]), Value::Null)));
    events.push(chunk(
        json!([{ "functionCall": { "name": "f", "args": { "to": "[NAME_1]", "n": 1 } } }]),
        json!("STOP"),
    ));
    stream(&events)
}

fn all() -> [(Dialect, String); 4] {
    [
        (Dialect::OpenAiChat, chat()),
        (Dialect::Anthropic, anthropic()),
        (Dialect::OpenAiResponses, responses()),
        (Dialect::Gemini, gemini()),
    ]
}

#[test]
fn a_mask_spans_events_in_every_dialect_and_marks_become_what_they_stand_for() {
    let plan = plan(GuardAction::Mask);
    for (form, text) in all() {
        let (out, stopped) = pass(form, &plan, &[text.as_bytes()]);
        assert_eq!(stopped, None, "{form}");
        let told = gathered(form, &out);
        assert!(
            told.iter().any(|(_, text)| text == MASKED),
            "{form}: {told:#?}\n{out}"
        );
        for hidden in ["a.b@", "c.example", "sk-abcd", "NAME_1"] {
            assert!(!out.contains(hidden), "{form} tells {hidden}: {out}");
        }
    }
}

#[test]
fn what_is_not_masked_stays_as_it_was_and_in_its_order() {
    let plan = plan(GuardAction::Mask);
    let (out, _) = pass(Dialect::OpenAiChat, &plan, &[chat().as_bytes()]);
    let told = data(&out);
    assert_eq!(told.last().unwrap(), "[DONE]");
    let told = gathered(Dialect::OpenAiChat, &out);
    let arguments = told
        .iter()
        .find(|(key, _)| key.as_deref() == Some("0/tool 0/function/arguments"))
        .unwrap();
    assert_eq!(arguments.1, r#"{"to":"Ann \"A.\" Bee","m":"[EMAIL_1]"}"#);
    let all = data(&out);
    let stop = all
        .iter()
        .position(|event| event["choices"][0]["finish_reason"] == "stop")
        .unwrap();
    let last = all
        .iter()
        .rposition(|event| event["choices"][0]["delta"]["content"].is_string())
        .unwrap();
    assert!(last < stop, "all text is told before its end");
    let (out, _) = pass(Dialect::OpenAiResponses, &plan, &[responses().as_bytes()]);
    let all = data(&out);
    let numbers: Vec<u64> = all
        .iter()
        .map(|event| event["sequence_number"].as_u64().unwrap())
        .collect();
    assert_eq!(
        numbers,
        (0..numbers.len() as u64).collect::<Vec<_>>(),
        "numbers have no gap"
    );
    assert_eq!(
        all.last().unwrap()["response"]["output"][0]["content"][0]["text"],
        MASKED
    );
    let (out, _) = pass(Dialect::Gemini, &plan, &[gemini().as_bytes()]);
    let all = data(&out);
    let call = all.last().unwrap();
    assert_eq!(
        call["candidates"][0]["content"]["parts"][0]["functionCall"]["args"]["to"],
        "Ann \"A.\" Bee"
    );
    let told = gathered(Dialect::Gemini, &out);
    assert!(
        told.contains(&(Some("0/thought".to_owned()), "think [EMAIL_1]!".to_owned())),
        "{told:?}"
    );
}

#[test]
fn the_places_where_bytes_are_cut_make_no_difference() {
    for action in [GuardAction::Mask, GuardAction::Block] {
        let plan = plan(action);
        for (form, text) in all() {
            let bytes = text.as_bytes();
            let (whole, stopped) = pass(form, &plan, &[bytes]);
            assert_eq!(stopped.is_some(), action == GuardAction::Block, "{form}");
            for at in 0..bytes.len() {
                let (one, two) = bytes.split_at(at);
                assert_eq!(pass(form, &plan, &[one, two]).0, whole, "{form} at {at}");
            }
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(pass(form, &plan, &each).0, whole, "{form}");
        }
    }
}

#[test]
fn what_is_blocked_ends_in_an_error_of_the_dialect_and_nothing_of_it_has_left() {
    let plan = plan(GuardAction::Block);
    for (form, text) in all() {
        let (out, stopped) = pass(form, &plan, &[text.as_bytes()]);
        assert!(matches!(stopped, Some(Stopped::By(_))), "{form}");
        assert!(
            !out.contains("a.b@") && !out.contains("sk-"),
            "{form}: {out}"
        );
        assert!(
            out.contains("The guardrail `pii` does not let the model's answer pass"),
            "{form}: {out}"
        );
        assert!(
            !out.contains("[DONE]"),
            "{form}: an end would tell that all is well"
        );
    }
}

#[test]
fn an_event_that_no_rule_touches_passes_in_its_own_bytes() {
    let plan = plan(GuardAction::Mask);
    let odd = "event: ping\nid: 7\ndata:   {\"type\" : \"ping\"}\n\n";
    assert_eq!(pass(Dialect::Anthropic, &plan, &[odd.as_bytes()]).0, odd);
    // What can't be read can't be looked at.
    let (out, stopped) = pass(
        Dialect::Anthropic,
        &plan,
        &[b"data: {\"a\": \"a.b@c.de\n\n"],
    );
    assert_eq!(stopped, Some(Stopped::Unreadable));
    assert!(!out.contains("a.b@"));
}

/// Chunks of chat completions with these deltas.
fn chunks(deltas: &[Value]) -> String {
    let chunk = |delta: &Value, stop: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": stop });
        (
            "",
            json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice] }),
        )
    };
    let mut events: Vec<_> = deltas
        .iter()
        .map(|delta| chunk(delta, Value::Null))
        .collect();
    events.push(chunk(&json!({}), json!("stop")));
    events.push(("", json!("[DONE]")));
    stream(&events)
}

/// The deltas of a stream that say something.
fn deltas_of(text: &str) -> Vec<Value> {
    let all = data(text)
        .into_iter()
        .map(|event| event["choices"][0]["delta"].clone());
    all.filter(|delta| delta.as_object().is_some_and(|delta| !delta.is_empty()))
        .collect()
}

#[test]
fn details_of_reasoning_keep_their_shape_and_their_signature() {
    let plan = plan(GuardAction::Mask);
    let signature = "c2stYWJjZA+/sk-abcd";
    let detail = |more: Value| {
        let mut detail =
            json!({ "type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0 });
        detail
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "role": "assistant", "content": "", "reasoning": more["text"], "reasoning_details": [detail] })
    };
    let text = chunks(&[
        detail(json!({ "text": "think of a.b" })),
        detail(json!({ "text": "@c.example and" })),
        detail(json!({ "text": " be well" })),
        detail(json!({ "signature": signature })),
        json!({ "content": "Hi" }),
        json!({ "annotations": [{ "type": "url_citation", "url_citation": { "url": "https://a.example/", "title": "sk-abcd" } }] }),
    ]);
    let (out, stopped) = pass(Dialect::OpenAiChat, &plan, &[text.as_bytes()]);
    assert_eq!(stopped, None);
    let mut told = String::new();
    let mut signatures = Vec::new();
    for delta in deltas_of(&out) {
        let details = &delta["reasoning_details"];
        assert!(details.is_null() || details.is_array(), "{delta}");
        for detail in details.as_array().into_iter().flatten() {
            assert_eq!(detail["type"], "reasoning.text", "{delta}");
            assert_eq!(detail["index"], 0, "{delta}");
            told.push_str(detail["text"].as_str().unwrap_or_default());
            if let Some(signature) = detail["signature"].as_str() {
                assert_eq!(
                    told, "think of [EMAIL_1] and be well",
                    "all of the text stands before its signature"
                );
                signatures.push(signature.to_owned());
            }
        }
    }
    assert_eq!(signatures, [signature]);
    let citation = deltas_of(&out)
        .into_iter()
        .find(|delta| delta["annotations"].is_array())
        .unwrap();
    assert_eq!(
        citation["annotations"][0]["url_citation"],
        json!({ "url": "https://a.example/", "title": "[KEYS_1]" })
    );
}

#[test]
fn what_is_held_back_is_told_before_another_kind_of_text_or_the_next_call() {
    let plan = plan(GuardAction::Mask);
    let begins = |index: u8| json!({ "tool_calls": [{ "index": index, "id": format!("t{index}"), "type": "function", "function": { "name": "f", "arguments": "" } }] });
    let goes = |index: u8, arguments: &str| json!({ "tool_calls": [{ "index": index, "function": { "arguments": arguments } }] });
    let text = chunks(&[
        json!({ "reasoning_content": "I wonder" }),
        json!({ "content": "Let me see" }),
        begins(0),
        goes(0, r#"{"a":"a.b@c.ex"#),
        goes(0, r#"ample","b":1}"#),
        begins(1),
        goes(1, r#"{"c":"sk-ab"#),
        goes(1, r#"cd"}"#),
    ]);
    let (out, stopped) = pass(Dialect::OpenAiChat, &plan, &[text.as_bytes()]);
    assert_eq!(stopped, None);
    let mut order: Vec<String> = Vec::new();
    for delta in deltas_of(&out) {
        let call = &delta["tool_calls"][0];
        let (kind, text) = if call.is_object() {
            (
                format!("call {}", call["index"]),
                &call["function"]["arguments"],
            )
        } else if delta["content"].is_string() {
            ("content".to_owned(), &delta["content"])
        } else {
            ("reasoning".to_owned(), &delta["reasoning_content"])
        };
        let text = text.as_str().unwrap();
        match order.last_mut() {
            Some(last) if last.starts_with(&kind) => last.push_str(text),
            Some(_) | None => order.push(format!("{kind}: {text}")),
        }
    }
    assert_eq!(
        order,
        [
            "reasoning: I wonder",
            "content: Let me see",
            r#"call 0: {"a":"[EMAIL_1]","b":1}"#,
            r#"call 1: {"c":"[KEYS_1]"}"#,
        ]
    );
}

#[test]
fn calls_that_are_told_by_turns_stay_whole() {
    let plan = plan(GuardAction::Mask);
    let goes = |index: u8, arguments: &str| json!({ "tool_calls": [{ "index": index, "function": { "arguments": arguments } }] });
    let text = chunks(&[
        goes(0, r#"{"a":"one"#),
        goes(1, r#"{"b":"#),
        goes(0, r#" sk-abcd","n":"#),
        goes(1, r#""two"#),
        goes(0, "12}"),
        goes(1, r#" a.b@c.example"}"#),
    ]);
    let (out, stopped) = pass(Dialect::OpenAiChat, &plan, &[text.as_bytes()]);
    assert_eq!(stopped, None);
    let told = gathered(Dialect::OpenAiChat, &out);
    let arguments: Vec<&str> = told.iter().map(|(_, text)| &**text).collect();
    assert_eq!(
        arguments,
        [r#"{"a":"one [KEYS_1]","n":12}"#, r#"{"b":"two [EMAIL_1]"}"#]
    );
}

#[test]
fn what_tools_of_any_kind_are_given_is_read_over_events() {
    let plan = plan(GuardAction::Mask);
    let custom = |input: &str| json!({ "tool_calls": [{ "index": 0, "type": "custom", "custom": { "name": "f", "input": input } }] });
    let old = |arguments: &str| json!({ "function_call": { "arguments": arguments } });
    let text = chunks(&[
        custom("run sk-"),
        custom("abcd now"),
        old(r#"{"a":"a.b@"#),
        old(r#"c.example"}"#),
    ]);
    let (out, _) = pass(Dialect::OpenAiChat, &plan, &[text.as_bytes()]);
    let told = gathered(Dialect::OpenAiChat, &out);
    for expected in ["run [KEYS_1] now", r#"{"a":"[EMAIL_1]"}"#] {
        assert!(told.iter().any(|(_, text)| text == expected), "{told:?}");
    }
    let part = |call: Value| {
        (
            "",
            json!({ "candidates": [{ "index": 0, "content": { "role": "model", "parts": [{ "functionCall": call }] } }] }),
        )
    };
    let piece = |text: &str, goes_on: bool| {
        part(
            json!({ "willContinue": true, "partialArgs": [{ "jsonPath": "$.to", "stringValue": text, "willContinue": goes_on }] }),
        )
    };
    let mut events = vec![part(json!({ "name": "f", "willContinue": true }))];
    events.extend([
        piece("mail a.b@", true),
        piece("c.example now", true),
        piece("", false),
        part(json!({})),
    ]);
    let (out, stopped) = pass(Dialect::Gemini, &plan, &[stream(&events).as_bytes()]);
    assert_eq!(stopped, None);
    let told = gathered(Dialect::Gemini, &out);
    assert!(
        told.iter().any(|(_, text)| text == "mail [EMAIL_1] now"),
        "{told:?}\n{out}"
    );
}

#[test]
fn a_text_that_was_rewritten_is_told_once_though_it_ends_and_begins_again() {
    let plan = plan(GuardAction::Mask);
    let part = |part: Value| {
        let content = json!({ "role": "model", "parts": [part] });
        (
            "",
            json!({ "candidates": [{ "index": 0, "content": content }] }),
        )
    };
    let text = stream(&[
        part(json!({ "text": "one " })),
        part(json!({ "functionCall": { "name": "f", "args": {} } })),
        part(json!({ "text": "two" })),
    ]);
    let rewritten = Rewritten::new(
        Some("0/text".to_owned()),
        "one two".to_owned(),
        "other".to_owned(),
    );
    let ways = (Dialect::Gemini, &context());
    let (vault, fired) = (Vault::default(), Fired::default());
    let mut filter = Filter::new(ways, &plan, vault, fired, vec![rewritten]);
    let mut out = Vec::new();
    filter.push(text.as_bytes(), &mut out);
    filter.finish(&mut out);
    let told = gathered(Dialect::Gemini, std::str::from_utf8(&out).unwrap());
    assert_eq!(
        told[0],
        (Some("0/text".to_owned()), "other".to_owned()),
        "{told:?}"
    );
}
