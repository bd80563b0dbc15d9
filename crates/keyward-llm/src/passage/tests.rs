use super::{Edit, StreamPassage, request};
use crate::form::Failure;
use crate::{Context, Dialect, Quirks, Target};
use std::borrow::Cow;

fn target(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        ..Target::default()
    }
}

/// Members that nobody here knows, numbers that a parser would change, white space, an order.
const BODY: &str = r#"{ "novelty" : {"z":1.10,"a":[1e400]}, "model":"fast", "messages":[{"role":"developer","content":[{"type":"text","text":"Hi","new":0.0}]}],"temperature":0.70 }"#;

#[test]
fn every_byte_but_the_model_is_the_callers() {
    for (dialect, path) in [
        (Dialect::OpenAiChat, "/chat/completions"),
        (Dialect::OpenAiResponses, "/responses"),
        (Dialect::Anthropic, "/messages"),
    ] {
        let passed = request(dialect, BODY.as_bytes(), false, &target("real-1")).unwrap();
        let wanted = BODY.replace("\"fast\"", "\"real-1\"");
        assert_eq!(String::from_utf8_lossy(&passed.body), wanted);
        assert_eq!(
            (passed.path.as_str(), passed.edits),
            (path, vec![Edit::Model])
        );
    }
}

#[test]
fn without_an_edit_the_bytes_are_not_even_copied() {
    let passed = request(Dialect::OpenAiChat, BODY.as_bytes(), false, &target("fast")).unwrap();
    assert!(matches!(passed.body, Cow::Borrowed(_)) && passed.edits.is_empty());
    let passed = request(Dialect::Gemini, BODY.as_bytes(), true, &target("gemini-3")).unwrap();
    assert!(matches!(passed.body, Cow::Borrowed(_)));
    assert_eq!(
        passed.path,
        "/models/gemini-3:streamGenerateContent?alt=sse"
    );
}

#[test]
fn a_model_that_is_told_twice_is_refused() {
    let body = br#"{"model":"cheap","model":"dear"}"#;
    assert!(request(Dialect::OpenAiChat, body, false, &target("cheap")).is_err());
}

#[test]
fn quirks_edit_what_they_are_about_and_nothing_else() {
    let quirks = Quirks {
        old_max_tokens: true,
        seed_name: crate::SeedName::RandomSeed,
        any_tool: true,
        loose_tools: true,
        no_developer_role: true,
        text_only: true,
        ..Quirks::default()
    };
    let target = Target {
        quirks,
        ..target("m")
    };
    let body = br#"{"model":"m","max_completion_tokens":5,"seed":7,"tool_choice":"required","tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"additionalProperties":false,"properties":{"strict":{"type":"string"}}}}}],"messages":[{"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],"novelty":1.0}"#;
    let passed = request(Dialect::OpenAiChat, body, false, &target).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&passed.body),
        r#"{"model":"m","tool_choice":"any","tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"strict":{"type":"string"}}}}}],"messages":[{"role":"system","content":"ab"}],"novelty":1.0,"max_tokens":5,"random_seed":7}"#
    );
    assert_eq!(
        passed.edits,
        [Edit::Renamed, Edit::ForcedTool, Edit::Tools, Edit::Messages]
    );
    let image = br#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]}"#;
    let error = request(Dialect::OpenAiChat, image, false, &target).unwrap_err();
    assert_eq!(error.code(), "unsupported_image");
}

#[test]
fn usage_is_asked_for_where_the_caller_did_not() {
    let target = target("m");
    for (body, wanted) in [
        (
            r#"{"model":"m","stream":true}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_obfuscation":false}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream":false}"#,
            r#"{"model":"m","stream":false}"#,
        ),
    ] {
        let passed = request(Dialect::OpenAiChat, body.as_bytes(), false, &target).unwrap();
        assert_eq!(String::from_utf8_lossy(&passed.body), wanted);
        assert_eq!(passed.edits.contains(&Edit::UsageAsked), body != wanted);
    }
}

const STREAM: &str = ": keep open\n\ndata: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"x\":1.0,\"usage\":null}\r\n\r\n\
data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
data: {\"id\":\"1\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n";

#[test]
fn usage_that_we_asked_for_is_read_and_taken_out_again_wherever_the_stream_is_cut() {
    let without = ": keep open\n\ndata: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"x\":1.0}\r\n\r\n\
data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    for (take_out, wanted) in [(true, without), (false, STREAM)] {
        for at in 0..=STREAM.len() {
            let (first, second) = STREAM.as_bytes().split_at(at);
            let mut passage = StreamPassage::new(Dialect::OpenAiChat, take_out);
            let mut out = Vec::new();
            passage.push(first, &mut out).unwrap();
            passage.push(second, &mut out).unwrap();
            passage.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), wanted, "cut at {at}");
            let usage = passage.usage().unwrap();
            assert_eq!((usage.input, usage.output), (3, 4));
        }
    }
}

#[test]
fn an_event_goes_on_as_soon_as_it_is_whole() {
    let mut passage = StreamPassage::new(Dialect::OpenAiChat, true);
    let mut out = Vec::new();
    passage.push(b"data: {\"choices\":[]}\n", &mut out).unwrap();
    assert!(out.is_empty());
    passage.push(b"\n", &mut out).unwrap();
    assert_eq!(out, b"data: {\"choices\":[]}\n\n");
}

#[test]
fn a_failure_amid_the_stream_is_seen_and_passed() {
    let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"a\",\"usage\":{\"input_tokens\":3}}}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let mut passage = StreamPassage::new(Dialect::Anthropic, false);
    let mut out = Vec::new();
    passage.push(stream.as_bytes(), &mut out).unwrap();
    assert_eq!(out, stream.as_bytes());
    assert_eq!(passage.usage().unwrap().input, 3);
    assert_eq!(passage.failure().unwrap().message, "Overloaded");
}

#[test]
fn an_event_without_end_is_bounded() {
    let mut passage = StreamPassage::new(Dialect::OpenAiChat, true);
    let piece = vec![b'x'; 1024 * 1024];
    let bounded = (0..20).any(|_| passage.push(&piece, &mut Vec::new()).is_err());
    assert!(bounded);
}

fn passed(dialect: Dialect, events: &[&str]) -> StreamPassage {
    let stream: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    let mut passage = StreamPassage::new(dialect, false);
    let mut out = Vec::new();
    passage.push(stream.as_bytes(), &mut out).unwrap();
    passage.finish(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), stream);
    passage
}

#[test]
fn what_is_new_in_a_dialect_fails_nothing() {
    for (dialect, events) in [
        (
            Dialect::Anthropic,
            [
                r#"{"type":"message_start","message":{"id":"a","usage":{"input_tokens":3,"output_tokens":1}}}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"novelty"}}"#,
                r#"{"type":"content_block_delta","index":7,"delta":{"type":"input_json_delta","partial_json":"{\"usage_limit\":5,\"error\":1}"}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":4}}"#,
                r#"{"type":"message_stop"}"#,
            ]
            .as_slice(),
        ),
        (
            Dialect::OpenAiResponses,
            &[
                r#"{"type":"response.output_text.delta","output_index":0,"delta":"\"usage\" \"error\""}"#,
                r#"{"type":"response.completed","response":{"error":null,"output":[{"type":"web_search_call","id":"w"}],"usage":{"input_tokens":3,"output_tokens":4}}}"#,
            ],
        ),
        (
            Dialect::Gemini,
            &[
                r#"{"candidates":[{"content":{"parts":[{"novelty":{}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":7}}"#,
            ],
        ),
        (
            Dialect::OpenAiChat,
            &[
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"novelty":1}]},"finish_reason":"stop"}],"error":null}"#,
                r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
            ],
        ),
    ] {
        let passage = passed(dialect, events);
        assert_eq!(passage.failure(), None, "{dialect}");
        let usage = passage.usage().unwrap();
        assert_eq!((usage.input, usage.output), (3, 4), "{dialect}");
    }
}

#[test]
fn a_stream_without_its_end_is_told_as_cut() {
    for (dialect, event) in [
        (
            Dialect::OpenAiChat,
            r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#,
        ),
        (
            Dialect::OpenAiChat,
            r#"{"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"finish_reason":null}]}"#,
        ),
        (
            Dialect::OpenAiResponses,
            r#"{"type":"response.created","response":{"id":"a"}}"#,
        ),
        (
            Dialect::Anthropic,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
        ),
        (
            Dialect::Gemini,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#,
        ),
    ] {
        let passage = passed(dialect, &[event]);
        assert_eq!(
            passage.failure().unwrap().kind,
            crate::form::FailureKind::Cut,
            "{dialect}: {event}"
        );
    }
    for (dialect, event) in [
        (Dialect::OpenAiChat, "[DONE]"),
        (
            Dialect::Gemini,
            r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
        ),
    ] {
        assert_eq!(passed(dialect, &[event]).failure(), None, "{dialect}");
    }
}

#[test]
fn a_part_of_an_event_at_the_end_of_a_cut_stream_is_not_given() {
    let whole = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n";
    let done = "data: [DONE]\n";
    for (rest, given) in [
        ("data: {\"choices\":[{\"index\":0,\"del", ""),
        ("da", ""),
        // The last event may lack its empty line.
        (done, done),
    ] {
        let mut passage = StreamPassage::new(Dialect::OpenAiChat, false);
        let mut out = Vec::new();
        passage
            .push(format!("{whole}{rest}").as_bytes(), &mut out)
            .unwrap();
        passage.finish(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("{whole}{given}"),
            "{rest}"
        );
        assert_eq!(passage.failure().is_some(), given.is_empty(), "{rest}");
    }
}

#[test]
fn the_error_of_a_passed_stream_of_responses_has_the_number_that_follows() {
    let mut passage = StreamPassage::new(Dialect::OpenAiResponses, false);
    let mut out = Vec::new();
    passage
        .push(
            b"event: response.created\ndata: {\"sequence_number\":0}\n\n: alive\n\nevent: response.in_progress\ndata: {\"sequence_number\":1}\n\n",
            &mut out,
        )
        .unwrap();
    out.clear();
    let told = passage.tell(
        &Failure::cut(),
        Dialect::OpenAiResponses,
        &Context::default(),
        &mut out,
    );
    told.unwrap();
    let text = String::from_utf8(out).unwrap();
    let data = text.strip_prefix("event: error\ndata: ").unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        (&data["type"], &data["sequence_number"]),
        (&"error".into(), &2.into())
    );
}
