use super::{Edit, Passed, StreamPassage};
use crate::form::Failure;
use crate::json::Members;
use crate::{Context, Dialect, Quirks, Target};
use std::borrow::Cow;

fn request<'a>(
    dialect: Dialect,
    body: &'a [u8],
    stream: bool,
    target: &Target,
) -> Result<Passed<'a>, crate::Error> {
    super::request(dialect, &Members::read(body)?, stream, target)
}

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
fn a_failure_amid_the_stream_is_seen_and_told_in_words_of_ours() {
    let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"a\",\"usage\":{\"input_tokens\":3}}}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded for org-acme123\"}}\n\n";
    let mut passage = StreamPassage::new(Dialect::Anthropic, false);
    let mut out = Vec::new();
    passage.push(stream.as_bytes(), &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let (begun, told) = out.split_once("event: error\n").unwrap();
    assert!(stream.starts_with(begun));
    assert!(
        told.starts_with(r#"data: {"type":"error","error":{"type":"overloaded_error","message":""#),
        "{told}"
    );
    assert!(!told.contains("org-acme123"), "{told}");
    assert_eq!(passage.usage().unwrap().input, 3);
    let failure = passage.failure().unwrap();
    assert_eq!(failure.kind, crate::form::FailureKind::Overloaded);
    assert!(failure.because.as_ref().unwrap().contains("org-acme123"));
}

#[test]
fn an_error_of_every_dialect_keeps_its_form_and_its_code_and_loses_its_words() {
    for (dialect, event, kept) in [
        (
            Dialect::OpenAiChat,
            r#"{"error":{"message":"org-acme123","type":"server_error","param":"acme","code":"server_error","metadata":{"raw":"acme"}}}"#,
            r#""type":"server_error","code":"server_error"}}"#,
        ),
        (
            Dialect::OpenAiChat,
            r#"{"id":"a","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error","error":{"code":503,"message":"acme"}}]}"#,
            r#""finish_reason":"error","error":{"code":503,"message":""#,
        ),
        (
            Dialect::OpenAiChat,
            r#"{"error":"acme is over"}"#,
            r#"{"error":""#,
        ),
        (
            Dialect::OpenAiResponses,
            r#"{"type":"response.failed","sequence_number":7,"response":{"id":"r","error":{"code":"server_error","message":"acme"},"usage":{"input_tokens":3,"output_tokens":4}}}"#,
            r#""sequence_number":7,"response":{"id":"r","error":{"code":"server_error","message":""#,
        ),
        (
            Dialect::OpenAiResponses,
            r#"{"type":"error","code":"rate_limit_exceeded","message":"acme","param":"acme","sequence_number":3}"#,
            r#"{"type":"error","code":"rate_limit_exceeded","message":""#,
        ),
        (
            Dialect::Gemini,
            r#"{"error":{"code":503,"message":"acme","status":"UNAVAILABLE","details":[{"acme":1}]}}"#,
            r#""status":"UNAVAILABLE"}}"#,
        ),
    ] {
        let mut passage = StreamPassage::new(dialect, false);
        let mut out = Vec::new();
        passage
            .push(format!("data: {event}\n\n").as_bytes(), &mut out)
            .unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains(kept), "{out}");
        assert!(!out.contains("acme"), "{out}");
        assert!(passage.failure().is_some());
    }
}

#[test]
fn of_a_whole_answer_only_what_it_took_is_read_and_leniently() {
    for (dialect, body, usage) in [
        (
            Dialect::OpenAiResponses,
            r#"{"status":"completed","error":null,"output":[{"type":"web_search_call","id":"w","action":{}}],"usage":{"input_tokens":3,"output_tokens":4,"novelty":{}}}"#,
            Some((3, 4)),
        ),
        (
            Dialect::OpenAiChat,
            r#"{"choices":[{"message":{"audio":{"data":"AAAA"}}}],"usage":{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":"new"}}"#,
            Some((3, 4)),
        ),
        (
            Dialect::Gemini,
            r#"{"candidates":[{"content":{"parts":[{"novelty":1}]}}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}}"#,
            Some((3, 4)),
        ),
        (
            Dialect::Bedrock,
            r#"{"output":{},"usage":{"inputTokens":3,"outputTokens":4}}"#,
            Some((3, 4)),
        ),
        (
            Dialect::Ollama,
            r#"{"prompt_eval_count":3,"eval_count":4}"#,
            Some((3, 4)),
        ),
        (
            Dialect::Cohere,
            r#"{"usage":{"tokens":{"input_tokens":3,"output_tokens":4}}}"#,
            Some((3, 4)),
        ),
        (Dialect::Anthropic, r#"{"content":7}"#, None),
    ] {
        let seen = super::answer(dialect, body.as_bytes()).unwrap();
        assert_eq!(seen.failure, None, "{dialect}");
        let usage_seen = seen.usage.map(|usage| (usage.input, usage.output));
        assert_eq!(usage_seen, usage, "{dialect}");
    }
    let failed = r#"{"status":"failed","error":{"code":"server_error","message":"org-acme123"},"usage":{"input_tokens":3,"output_tokens":4}}"#;
    let seen = super::answer(Dialect::OpenAiResponses, failed.as_bytes()).unwrap();
    assert_eq!(seen.usage.unwrap().output, 4);
    assert!(!seen.failure.unwrap().message.contains("acme"));
    assert!(super::answer(Dialect::OpenAiChat, b"<p>busy</p>").is_err());
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(
        super::answer(Dialect::OpenAiChat, deep.as_bytes()),
        Ok(super::Seen::default())
    );
}

#[test]
fn an_answer_has_begun_with_its_first_token_and_not_before() {
    for (dialect, before, first) in [
        (
            Dialect::OpenAiChat,
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"audio":{"id":"a"}},"finish_reason":null}]}"#,
        ),
        (
            Dialect::OpenAiResponses,
            r#"{"type":"response.in_progress","response":{"id":"a"}}"#,
            r#"{"type":"response.web_search_call.searching","item_id":"w"}"#,
        ),
        (
            Dialect::Anthropic,
            r#"{"type":"message_start","message":{"usage":{"input_tokens":3}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"novelty"}}"#,
        ),
        (
            Dialect::Gemini,
            r#"{"usageMetadata":{"promptTokenCount":3}}"#,
            r#"{"candidates":[{"content":{"parts":[{"novelty":1}]}}]}"#,
        ),
    ] {
        let mut passage = StreamPassage::new(dialect, false);
        let mut out = Vec::new();
        let mut push = |event: &str| {
            passage
                .push(format!("data: {event}\n\n").as_bytes(), &mut out)
                .unwrap();
            (passage.has_begun(), passage.failure().is_some())
        };
        assert_eq!(push(before), (false, false), "{dialect}");
        assert_eq!(push(first), (true, false), "{dialect}");
        // From here on nothing that can't be read fails anything.
        assert_eq!(push("{oops"), (true, false), "{dialect}");
    }
    let mut passage = StreamPassage::new(Dialect::OpenAiChat, false);
    passage.push(b"data: {oops\n\n", &mut Vec::new()).unwrap();
    assert_eq!(
        passage.failure().unwrap().code.as_deref(),
        Some("malformed_json")
    );
}

#[test]
fn members_that_choose_other_models_are_refused() {
    use crate::dialect::{ModelMembers, Quirks};
    let of = |model_members| Target {
        model: "m".to_owned(),
        quirks: Quirks {
            model_members,
            ..Quirks::default()
        },
        ..Target::default()
    };
    for (body, quirk, refused) in [
        (
            r#"{"model":"a","models":["b"]}"#,
            ModelMembers::OpenRouter,
            Some("models"),
        ),
        (
            r#"{"model":"a","preset":"b"}"#,
            ModelMembers::OpenRouter,
            Some("preset"),
        ),
        (
            r#"{"model":"a","r\u006fute":"b"}"#,
            ModelMembers::OpenRouter,
            Some("route"),
        ),
        (
            r#"{"model":"a","Models":["b"]}"#,
            ModelMembers::OpenRouter,
            Some("Models"),
        ),
        (
            "{\"model\":\"a\",\"model\u{17f}\":[]}",
            ModelMembers::Any,
            Some("model\u{17f}"),
        ),
        (
            r#"{"model":"a","fallbacks":["b"]}"#,
            ModelMembers::Any,
            Some("fallbacks"),
        ),
        (
            r#"{"model":"a","providerOptions":{}}"#,
            ModelMembers::Vercel,
            Some("providerOptions"),
        ),
        (
            r#"{"model":"a","MODEL":"b"}"#,
            ModelMembers::None,
            Some("MODEL"),
        ),
        (
            r#"{"model":"a","models":["b"],"route":"x"}"#,
            ModelMembers::None,
            None,
        ),
        (
            r#"{"model":"a","tools":[{"type":"function","function":{}},{"type":"image_generation","model":"b"}]}"#,
            ModelMembers::None,
            Some("tools.1.model"),
        ),
        (
            r#"{"model":"a","tools":[{"type":"advisor_20260301","name":"advisor","m\u006fdel":"b"}]}"#,
            ModelMembers::None,
            Some("tools.0.model"),
        ),
        (
            r#"{"model":"a","Tools":[{"type":"advisor_20260301","Model":"b"}]}"#,
            ModelMembers::None,
            Some("Tools.0.Model"),
        ),
        (
            r#"{"model":"a","tools":[{"type":"image_generation","model":"b"}]}"#,
            ModelMembers::Allowed,
            None,
        ),
        (
            r#"{"model":"a","tools":[{"name":"cars","input_schema":{"properties":{"model":{"description":"\u0022Golf\u0022"}}}}]}"#,
            ModelMembers::None,
            None,
        ),
    ] {
        let target = of(quirk);
        let given = request(Dialect::OpenAiChat, body.as_bytes(), false, &target);
        let plain = super::with_model(body.as_bytes(), &target);
        for error in [given.err(), plain.err()] {
            let field = error.map(|error| {
                let crate::Error::OtherModel { field } = error else {
                    panic!("{error}");
                };
                field
            });
            assert_eq!(field.as_deref(), refused, "{body}");
        }
    }
}

#[test]
fn what_is_made_in_the_background_is_refused() {
    let body = br#"{"model":"a","input":"b","background":true}"#;
    let error = request(Dialect::OpenAiResponses, body, false, &Target::default()).unwrap_err();
    assert_eq!(error.code(), "unsupported_background");
    let body = br#"{"model":"a","input":"b","background":false}"#;
    assert!(request(Dialect::OpenAiResponses, body, false, &Target::default()).is_ok());
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
