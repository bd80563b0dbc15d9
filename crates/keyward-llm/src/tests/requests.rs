//! What requests and answers must hold, written by hand from the documents: pointers (RFC 6901) into the JSON, and what
//! stands there. `null` says that nothing does.

use super::fixture::{context, read, request, target};
use crate::form::{Message, Output, Part, Request, Role, Schema, ToolCall, ToolChoice};
use crate::json::Json;
use crate::{Address, Dialect};

/// Holds JSON against the facts about a feature.
#[track_caller]
pub(super) fn check(file: &str, dialect: Dialect, feature: &str, bytes: &[u8], what: &str) {
    let facts = read(&format!("facts/{file}.json"));
    let facts = facts
        .get(dialect.as_str())
        .and_then(|facts| facts.get(feature));
    let facts = facts.unwrap_or_else(|| panic!("facts/{file}.json: none of {dialect}, {feature}"));
    let found: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    for (pointer, wanted) in facts.as_object().unwrap().iter() {
        let wanted: serde_json::Value = serde_json::from_str(&wanted.to_text()).unwrap();
        let at = found.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(at, wanted, "{what}: {pointer}\n{found:#}");
    }
}

fn plain() -> Request {
    Request {
        model: "fast".to_owned(),
        messages: vec![Message::text(Role::User, "Say hello.")],
        ..Request::default()
    }
}

#[track_caller]
fn refused(dialect: Dialect, request: &Request, code: &str) {
    let error = dialect.write_request(request, &target(dialect));
    let error = error.expect_err(code);
    assert_eq!(error.code(), code, "{dialect}: {error}");
}

#[test]
fn a_last_message_of_the_assistant_is_refused_everywhere() {
    let mut request = plain();
    request.messages.push(Message::text(Role::Assistant, "Hel"));
    for dialect in Dialect::ALL {
        refused(*dialect, &request, "unsupported_prefill");
    }
}

#[test]
fn what_a_dialect_lacks_is_refused_by_name() {
    let seed = Request {
        seed: Some(1),
        ..plain()
    };
    let several = Request {
        answers: Some(2),
        ..plain()
    };
    let json = Request {
        output: Output::Json,
        ..plain()
    };
    for (dialect, request, code) in [
        (Dialect::Anthropic, &seed, "unsupported_seed"),
        (Dialect::OpenAiResponses, &seed, "unsupported_seed"),
        (Dialect::Bedrock, &seed, "unsupported_seed"),
        (Dialect::Anthropic, &several, "unsupported_several_answers"),
        (Dialect::Ollama, &several, "unsupported_several_answers"),
        (Dialect::Anthropic, &json, "unsupported_json_output"),
        (Dialect::Bedrock, &json, "unsupported_json_output"),
    ] {
        refused(dialect, request, code);
    }
}

#[test]
fn a_default_that_is_said_is_no_reason_to_refuse() {
    let body = br#"{"model":"fast","messages":[{"role":"user","content":"Hi"}],"n":1,"presence_penalty":0,"frequency_penalty":0.0,"logit_bias":{},"logprobs":false,"parallel_tool_calls":true,"response_format":{"type":"text"},"user":null}"#;
    let request = Dialect::OpenAiChat
        .read_request(body, &Address::default())
        .unwrap();
    for dialect in Dialect::ALL {
        dialect.write_request(&request, &target(*dialect)).unwrap();
    }
}

#[test]
fn a_field_that_is_not_known_is_refused_with_its_place() {
    for (form, body, field) in [
        (
            Dialect::OpenAiChat,
            r#"{"model":"m","messages":[],"novelty":1}"#,
            "novelty",
        ),
        (
            Dialect::OpenAiChat,
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a","novelty":1}]}]}"#,
            "messages.0.content.0.novelty",
        ),
        (
            Dialect::Anthropic,
            r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"url","url":"u","novelty":1}}]}]}"#,
            "messages.0.content.1.source.novelty",
        ),
        (
            Dialect::Gemini,
            r#"{"contents":[],"generationConfig":{"novelty":1}}"#,
            "generationConfig.novelty",
        ),
        (
            Dialect::OpenAiResponses,
            r#"{"model":"m","input":"a","text":{"novelty":1}}"#,
            "text.novelty",
        ),
    ] {
        let error = form.read_request(body.as_bytes(), &Address::default());
        let crate::Error::UnknownField { field: told } = error.unwrap_err() else {
            panic!("{form}: {field} is unknown");
        };
        assert_eq!(told, field);
    }
}

#[test]
fn what_is_left_out_is_noted() {
    let body = br#"{"model":"fast","messages":[{"role":"user","content":"Hi"}],"metadata":{"a":"b"},"store":true,"user":"u"}"#;
    let request = Dialect::OpenAiChat
        .read_request(body, &Address::default())
        .unwrap();
    let outgoing = Dialect::Anthropic
        .write_request(&request, &target(Dialect::Anthropic))
        .unwrap();
    assert_eq!(outgoing.notes, ["metadata", "store", "user"]);
}

#[test]
fn files_of_one_provider_are_refused_towards_another() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]}"#;
    let request = Dialect::OpenAiChat
        .read_request(body, &Address::default())
        .unwrap();
    refused(Dialect::Anthropic, &request, "unsupported_file_id");
}

#[test]
fn instructions_amid_the_conversation_are_refused_where_they_have_no_place() {
    let mut request = plain();
    request
        .messages
        .push(Message::text(Role::System, "Be brief."));
    request.messages.push(Message::text(Role::User, "Go on."));
    refused(
        Dialect::Anthropic,
        &request,
        "unsupported_late_instructions",
    );
    Dialect::OpenAiChat
        .write_request(&request, &target(Dialect::OpenAiChat))
        .unwrap();
}

#[test]
fn a_model_can_not_lead_elsewhere() {
    for name in [
        "../admin", "a?b", "a%2e", "a b", "", "a//b", "a/./b", "a#b", "é",
    ] {
        let target = crate::Target {
            model: name.to_owned(),
            ..crate::Target::default()
        };
        for dialect in [Dialect::Gemini, Dialect::Bedrock] {
            let error = dialect.write_request(&plain(), &target).expect_err(name);
            assert_eq!(error.code(), "malformed_model_name", "{name}");
        }
    }
    let arn = crate::Target {
        model: "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.x-v1:0".to_owned(),
        ..crate::Target::default()
    };
    assert_eq!(
        Dialect::Bedrock.write_request(&plain(), &arn).unwrap().path,
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.anthropic.x-v1%3A0/converse"
    );
}

#[test]
fn bedrock_is_not_asked_with_calls_and_without_tools() {
    let request = request(Dialect::OpenAiChat, "tool result").unwrap();
    let without = Request {
        tools: Vec::new(),
        ..request.clone()
    };
    refused(Dialect::Bedrock, &without, "malformed_field");
    let never = Request {
        tool_choice: Some(ToolChoice::Never),
        ..request
    };
    refused(Dialect::Bedrock, &never, "unsupported_tool_choice_none");
}

#[test]
fn anthropic_gets_no_empty_text_and_ids_it_takes() {
    let call = ToolCall {
        id: "functions.get_weather:0".to_owned(),
        name: "get_weather".to_owned(),
        arguments: String::new(),
        signature: None,
    };
    let mut request = plain();
    let parts = vec![Part::Text(String::new()), Part::ToolCall(call)];
    request.messages.push(Message::new(Role::Assistant, parts));
    let result = crate::form::ToolResult {
        id: "functions.get_weather:0".to_owned(),
        name: None,
        content: vec![Part::Text("18".to_owned())],
        is_error: true,
    };
    request
        .messages
        .push(Message::new(Role::User, vec![Part::ToolResult(result)]));
    let body = Dialect::Anthropic
        .write_request(&request, &target(Dialect::Anthropic))
        .unwrap()
        .body;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let content = body["messages"][1]["content"].as_array().unwrap();
    assert_eq!(content.len(), 1);
    assert_eq!(content[0]["input"], serde_json::json!({}));
    let id = content[0]["id"].as_str().unwrap();
    assert!(
        id.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)),
        "{id}"
    );
    assert_eq!(body["messages"][2]["content"][0]["tool_use_id"], id);
    assert_eq!(body["messages"][2]["content"][0]["is_error"], true);
}

#[test]
fn broken_arguments_are_refused_where_an_object_is_wanted() {
    let mut request = plain();
    let call = ToolCall {
        id: "a".to_owned(),
        name: "f".to_owned(),
        arguments: "{\"a\":".to_owned(),
        signature: None,
    };
    request
        .messages
        .push(Message::new(Role::Assistant, vec![Part::ToolCall(call)]));
    request.messages.push(Message::text(Role::User, "Go on."));
    refused(Dialect::Anthropic, &request, "malformed_field");
    refused(Dialect::Gemini, &request, "malformed_field");
}

#[test]
fn a_schema_keeps_its_order() {
    let schema = Json::parse(
        br#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}"#,
    )
    .unwrap();
    let output = Output::Schema(Schema {
        name: None,
        description: None,
        schema: schema.clone(),
        strict: None,
    });
    let request = Request { output, ..plain() };
    for dialect in [
        Dialect::OpenAiChat,
        Dialect::OpenAiResponses,
        Dialect::Anthropic,
        Dialect::Ollama,
        Dialect::Cohere,
    ] {
        let body = dialect
            .write_request(&request, &target(dialect))
            .unwrap()
            .body;
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains(&schema.to_text()), "{dialect}: {text}");
    }
}

#[test]
fn quirks_are_kept_to() {
    let mut request = request(Dialect::OpenAiChat, "required tool").unwrap();
    request.seed = Some(7);
    request.max_tokens = Some(5);
    let quirks = crate::Quirks {
        old_max_tokens: true,
        seed_name: crate::SeedName::RandomSeed,
        any_tool: true,
        loose_tools: true,
        ..crate::Quirks::default()
    };
    let target = crate::Target {
        model: "mistral-large".to_owned(),
        max_output: None,
        quirks,
    };
    let body = Dialect::OpenAiChat
        .write_request(&request, &target)
        .unwrap()
        .body;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["max_tokens"], 5);
    assert_eq!(body["random_seed"], 7);
    assert_eq!(body["tool_choice"], "any");
    assert!(body.get("max_completion_tokens").is_none() && body.get("seed").is_none());
    let quirks = crate::Quirks {
        no_required_tool: true,
        text_only: true,
        returns_reasoning: true,
        ..crate::Quirks::default()
    };
    let target = crate::Target {
        model: "kimi-k2".to_owned(),
        max_output: None,
        quirks,
    };
    let error = Dialect::OpenAiChat
        .write_request(&request, &target)
        .unwrap_err();
    assert_eq!(error.code(), "unsupported_tool_choice");
    let image = self::request(Dialect::OpenAiChat, "image").unwrap();
    let error = Dialect::OpenAiChat
        .write_request(&image, &target)
        .unwrap_err();
    assert_eq!(error.code(), "unsupported_image");
    let again = self::request(Dialect::OpenAiChat, "reasoning again").unwrap();
    let body = Dialect::OpenAiChat
        .write_request(&again, &target)
        .unwrap()
        .body;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        body["messages"][1]["reasoning_content"],
        "Adding two and two."
    );
}

#[test]
fn a_field_in_both_of_googles_spellings_is_refused() {
    let address = Address {
        model: "fast".to_owned(),
        stream: false,
    };
    for body in [
        r#"{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"maxOutputTokens":5,"max_output_tokens":5000}}"#,
        r#"{"contents":[{"parts":[{"text":"a"}]}],"generation_config":{},"generationConfig":{}}"#,
    ] {
        let error = Dialect::Gemini
            .read_request(body.as_bytes(), &address)
            .unwrap_err();
        assert_eq!(error.code(), "malformed_field", "{error}");
        assert!(error.to_string().contains("comes twice"), "{error}");
    }
}

/// What grows with the square of it would take minutes here.
#[test]
fn many_names_calls_and_results_take_no_long_time() {
    let address = Address {
        model: "fast".to_owned(),
        stream: false,
    };
    let many = 40_000;
    let joined = |one: &dyn Fn(usize) -> String| (0..many).map(one).collect::<Vec<_>>().join(",");
    let calls = joined(&|n| format!(r#"{{"type":"function_call","call_id":"c{n}","name":"f"}}"#));
    let results =
        joined(&|n| format!(r#"{{"type":"function_call_output","call_id":"c{n}","output":"o"}}"#));
    let bodies = [
        (
            Dialect::OpenAiResponses,
            format!(r#"{{"model":"m","input":[{calls},{results}]}}"#),
        ),
        (
            Dialect::OpenAiChat,
            format!(
                r#"{{"model":"m","messages":[{}]}}"#,
                joined(&|n| format!(r#"{{"role":"tool","tool_call_id":"c{n}","content":"o"}}"#))
            ),
        ),
        (
            Dialect::Gemini,
            format!(
                r#"{{"contents":[{{"role":"model","parts":[{}]}}]}}"#,
                joined(&|n| format!(r#"{{"functionCall":{{"name":"f","args":{{"a{n}":1}}}}}}"#))
            ),
        ),
    ];
    for (form, body) in bodies {
        let request = form.read_request(body.as_bytes(), &address).unwrap();
        if form == Dialect::OpenAiResponses {
            let Some(Part::ToolResult(result)) = request.messages[1].parts.last() else {
                panic!("{:?}", request.messages[1].parts.last());
            };
            assert_eq!(result.name.as_deref(), Some("f"));
        }
    }
    let names = (0..400_000).map(|n| (format!("n{n}"), Json::Null));
    let object: crate::json::Object = names.collect();
    assert_eq!(object.len(), 400_000);
}

#[test]
fn an_address_that_is_not_https_is_refused() {
    use crate::form::{Image, Source};
    let with = |url: &str| {
        let image = Image {
            source: Source::Address(url.to_owned()),
            detail: None,
        };
        let mut request = plain();
        request
            .messages
            .push(Message::new(Role::User, vec![Part::Image(image)]));
        request
    };
    for dialect in [
        Dialect::OpenAiChat,
        Dialect::OpenAiResponses,
        Dialect::Anthropic,
        Dialect::Cohere,
    ] {
        for url in [
            "http://a.example/i",
            "file:///etc/passwd",
            "gs://b/i",
            "https",
            "",
            "ahttps://x",
        ] {
            refused(dialect, &with(url), "unsupported_image_url");
        }
        let written = dialect.write_request(&with("HTTPS://a.example/i"), &target(dialect));
        assert!(written.is_ok(), "{dialect}");
    }
}

#[test]
fn the_least_effort_is_told_as_low_where_there_is_none_less() {
    let request = Request {
        reasoning: Some(crate::form::Reasoning {
            effort: Some(crate::form::Effort::Minimal),
            budget: None,
            shown: None,
        }),
        ..plain()
    };
    let mut target = target(Dialect::Bedrock);
    target.quirks.adaptive_reasoning = true;
    let written = Dialect::Bedrock.write_request(&request, &target).unwrap();
    let body = String::from_utf8(written.body).unwrap();
    assert!(body.contains(r#""effort":"low""#), "{body}");
}

#[test]
fn what_the_vendors_libraries_add_to_an_answer_that_is_sent_back_is_no_part_of_it() {
    let chat = r#"{"model":"fast","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"{}","parsed":{},"refusal":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}","parsed_arguments":{}}}]},{"role":"tool","tool_call_id":"c","content":"1"}]}"#;
    let responses = r#"{"model":"fast","input":[{"role":"user","content":"Hi"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"{}","parsed":{}}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}","parsed_arguments":{}},{"type":"function_call_output","call_id":"c","output":"1"}]}"#;
    for (form, body) in [
        (Dialect::OpenAiChat, chat),
        (Dialect::OpenAiResponses, responses),
    ] {
        let request = form.read_request(body.as_bytes(), &Address::default());
        let request = request.unwrap_or_else(|why| panic!("{form}: {why}"));
        let sent = Dialect::Anthropic.write_request(&request, &target(Dialect::Anthropic));
        let sent = String::from_utf8(sent.unwrap().body).unwrap();
        assert!(!sent.contains("parsed"), "{sent}");
    }
}

#[test]
fn a_thread_that_is_kept_elsewhere_is_refused_so_that_the_vendor_s_library_goes_on_without() {
    let body = br#"{"model":"fast","max_tokens":9,"thread":{"type":"create"},"messages":[{"role":"user","content":"Hi"}]}"#;
    let error = Dialect::Anthropic
        .read_request(body, &Address::default())
        .unwrap_err();
    assert_eq!(error.code(), "unsupported_kept_conversation");
    let told = Dialect::Anthropic
        .write_failure(&(&error).into(), &context())
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    let details = &told["error"]["details"];
    assert_eq!(details["error_code"], "thread_unsupported_request");
    assert_eq!(details["unsupported"], serde_json::json!(["thread"]));
}
