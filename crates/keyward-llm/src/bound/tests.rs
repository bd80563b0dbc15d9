use super::*;
use crate::count;
use proptest::prelude::*;

fn read(form: Dialect, body: &str) -> RequestBound {
    RequestBound::read(form, body.as_bytes()).unwrap()
}

#[test]
fn a_text_is_read_as_no_more_tokens_than_it_has_bytes() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    let bound = read(Dialect::OpenAiChat, body);
    let length = u64::try_from(body.len()).unwrap();
    assert_eq!(bound.input(None), length + ADDED);
    // What the model could take does not matter: the provider reads no more than came.
    assert_eq!(bound.input(Some(10)), length + ADDED);
    let tools = r#"{"tools":[{"type":"function","function":{"name":"f"}}],"messages":[]}"#;
    let length = u64::try_from(tools.len()).unwrap();
    let bound = read(Dialect::OpenAiChat, tools);
    assert_eq!(bound.input(None), length + ADDED_FOR_TOOLS);
}

#[test]
fn what_may_be_written_is_what_is_asked_for_each_choice() {
    let check = |form, body: &str, expected: u64| {
        assert_eq!(read(form, body).output(Some(64_000)), expected, "{body}");
    };
    let (chat, gemini) = (Dialect::OpenAiChat, Dialect::Gemini);
    check(chat, "{}", 64_000);
    check(chat, r#"{"max_tokens":100}"#, 100);
    check(
        chat,
        r#"{"max_tokens":100,"max_completion_tokens":200}"#,
        200,
    );
    check(chat, r#"{"max_tokens":100,"n":4}"#, 400);
    check(chat, r#"{"max_tokens":null,"n":2}"#, 128_000);
    // A provider may read this as a number.
    check(chat, r#"{"max_tokens":"100"}"#, 64_000);
    check(chat, r#"{"max_tokens":1e9}"#, 64_000);
    check(
        chat,
        r#"{"max_tokens":10,"prediction":{"type":"content","content":"0123456789"}}"#,
        10 + 41,
    );
    check(Dialect::OpenAiResponses, r#"{"max_output_tokens":7}"#, 7);
    check(Dialect::Anthropic, r#"{"max_tokens":5}"#, 5);
    check(
        gemini,
        r#"{"generationConfig":{"maxOutputTokens":5,"candidateCount":3}}"#,
        15,
    );
    check(
        gemini,
        r#"{"generation_config":{"max_output_tokens":5}}"#,
        5,
    );
    assert_eq!(read(chat, "{}").output(None), OUTPUT);
    // None is no limit, and a number that is read elsewhere counts as the most.
    check(chat, r#"{"max_tokens":0}"#, 64_000);
    check(
        chat,
        r#"{"max_tokens":1,"max_completion_tokens":0}"#,
        64_000,
    );
    for many in ["\"100\"", "1e2", "4294967296"] {
        let body = format!(r#"{{"max_tokens":1,"n":{many}}}"#);
        check(chat, &body, CHOICES_MAX);
    }
    check(
        gemini,
        r#"{"generationConfig":{"maxOutputTokens":1,"candidateCount":"8"}}"#,
        CHOICES_MAX,
    );
    check(
        gemini,
        r#"{"generationConfig":{"maxOutputTokens":5,"max_output_tokens":"9"}}"#,
        64_000,
    );
}

#[test]
fn what_bounds_an_answer_under_a_second_name_is_refused() {
    let check = |form, body: &str, expected: &str| {
        let error = RequestBound::read(form, body.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(Dialect::OpenAiChat, r#"{"Max_Tokens":9}"#, "`max_tokens`");
    check(Dialect::OpenAiChat, r#"{"n":1,"N":100}"#, "`n`");
    check(
        Dialect::Gemini,
        r#"{"generationConfig":{"maxoutputtokens":9}}"#,
        "`maxOutputTokens`",
    );
    check(
        Dialect::Gemini,
        r#"{"generation_config":null,"generationConfig":{"maxOutputTokens":9}}"#,
        "say one of them",
    );
}

#[test]
fn what_is_not_in_the_request_may_fill_the_whole_context() {
    let refers = |form, body: &str| {
        let bound = read(form, body);
        assert_eq!(bound.input(Some(777_777)), 777_777, "{body}");
        assert_eq!(bound.input(None), CONTEXT, "{body}");
    };
    let own = |form, body: &str| {
        let bound = read(form, body);
        assert!(bound.input(Some(777_777)) < 60_000, "{body}");
    };
    let (chat, responses) = (Dialect::OpenAiChat, Dialect::OpenAiResponses);
    let (anthropic, gemini) = (Dialect::Anthropic, Dialect::Gemini);
    refers(
        chat,
        r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://a/b.png"}}]}]}"#,
    );
    refers(
        chat,
        r#"{"messages":[{"content":[{"type":"file","file":{"file_id":"file-1"}}]}]}"#,
    );
    refers(
        chat,
        r#"{"messages":[{"content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,AAAA"}}]}]}"#,
    );
    refers(chat, r#"{"web_search_options":{}}"#);
    refers(
        responses,
        r#"{"previous_response_id":"resp_1","input":"go on"}"#,
    );
    refers(responses, r#"{"tools":[{"type":"web_search"}]}"#);
    refers(
        responses,
        r#"{"input":[{"content":[{"type":"input_image","image_url":"https://a/b"}]}]}"#,
    );
    refers(
        responses,
        r#"{"input":[{"type":"item_reference","id":"msg_1"}]}"#,
    );
    refers(
        responses,
        r#"{"input":[{"type":"reasoning","id":"rs_1","summary":[]}]}"#,
    );
    refers(
        chat,
        r#"{"messages":[{"content":[{"type":"document_url","document_url":"https://a/b.pdf"}]}]}"#,
    );
    refers(
        chat,
        r#"{"messages":[{"content":[{"type":"input_audio","input_audio":{"data":"https://a/b.wav","format":"wav"}}]}]}"#,
    );
    refers(
        chat,
        r#"{"messages":[{"content":[{"type":"video","video":["https://a/1.jpg","S3://a/2.jpg"]}]}]}"#,
    );
    refers(
        anthropic,
        r#"{"messages":[{"content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AAAA"}}]}]}"#,
    );
    refers(
        anthropic,
        r#"{"tools":[{"type":"web_search_20250305","name":"web_search"}]}"#,
    );
    refers(
        gemini,
        r#"{"contents":[{"parts":[{"fileData":{"fileUri":"gs://a","mimeType":"video/mp4"}}]}]}"#,
    );
    refers(gemini, r#"{"tools":[{"googleSearch":{}}]}"#);
    refers(
        gemini,
        r#"{"tools":[{"functionDeclarations":[],"urlContext":{}}]}"#,
    );
    refers(gemini, r#"{"cachedContent":"cachedContents/1"}"#);

    own(
        chat,
        r#"{"messages":[{"role":"user","content":"see https://a/b.png"}]}"#,
    );
    own(
        chat,
        r#"{"messages":[{"role":"user","content":"https://a/b.png"}]}"#,
    );
    own(responses, r#"{"input":"https://a/b.png"}"#);
    let of_reading = |body: &str| RequestBound::of_reading(body.as_bytes()).input(Some(777_777));
    assert_eq!(
        of_reading(r#"{"input":[{"image":"https://a/b.png"}]}"#),
        777_777
    );
    assert!(of_reading(r#"{"input":["https://a/b.png"]}"#) < 1_000);
    own(
        chat,
        r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}"#,
    );
    own(
        anthropic,
        r#"{"messages":[{"content":[{"type":"tool_use","input":{"url":"https://a/b"}}]}]}"#,
    );
    own(
        anthropic,
        r#"{"tools":[{"name":"f","input_schema":{"properties":{"url":{"type":"string"}}}}]}"#,
    );
    own(
        anthropic,
        r#"{"tools":[{"type":"bash_20250124","name":"bash"}]}"#,
    );
    own(
        gemini,
        r#"{"contents":[{"parts":[{"functionCall":{"name":"f","args":{"uri":"x"}}}]}]}"#,
    );
}

#[test]
fn a_picture_counts_as_one_however_many_bytes_it_has() {
    let picture = "A".repeat(1 << 20);
    let body = format!(
        r#"{{"messages":[{{"content":[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{picture}"}}}}]}}]}}"#
    );
    let bound = read(Dialect::Anthropic, &body);
    assert!((PICTURE..PICTURE + 1_000).contains(&bound.input(None)));
}

#[test]
fn a_service_at_another_price_is_told() {
    let service = |body: &str| read(Dialect::OpenAiChat, body).service().map(str::to_owned);
    assert_eq!(
        service(r#"{"service_tier":"priority"}"#).as_deref(),
        Some("priority")
    );
    assert_eq!(service(r#"{"service_tier":"auto"}"#), None);
    assert_eq!(service(r#"{"speed":"fast"}"#).as_deref(), Some("fast"));
    assert_eq!(service("{}"), None);
}

#[test]
fn a_request_is_lowered_where_its_dialect_says_it() {
    let check = |form, body: &str, expected: &str| {
        let mut bound = read(form, body);
        let lowered = bound.lowered(form, body.as_bytes(), 9).unwrap();
        assert_eq!(String::from_utf8(lowered.clone()).unwrap(), expected);
        assert_eq!(bound.output(Some(1_000)), 9);
        let again = RequestBound::read(form, &lowered).unwrap();
        assert_eq!(again.output(Some(1_000)), 9, "{expected}");
    };
    check(
        Dialect::OpenAiChat,
        r#"{"model":"m"}"#,
        r#"{"model":"m","max_completion_tokens":9}"#,
    );
    check(
        Dialect::OpenAiChat,
        r#"{"max_tokens":50}"#,
        r#"{"max_tokens":9}"#,
    );
    check(
        Dialect::OpenAiChat,
        r#"{"max_tokens":50,"max_completion_tokens":60}"#,
        r#"{"max_completion_tokens":9}"#,
    );
    check(Dialect::OpenAiResponses, "{}", r#"{"max_output_tokens":9}"#);
    check(
        Dialect::Anthropic,
        r#"{"max_tokens":50}"#,
        r#"{"max_tokens":9}"#,
    );
    check(
        Dialect::Gemini,
        "{}",
        r#"{"generationConfig":{"maxOutputTokens":9}}"#,
    );
}

proptest! {
    /// The estimate of a maintained tokenizer is never above the bound, whatever is written and however it is escaped.
    #[test]
    fn no_text_has_more_tokens_than_its_bound(texts in prop::collection::vec(any::<String>(), 1..6)) {
        let messages: Vec<serde_json::Value> = texts
            .iter()
            .map(|text| serde_json::json!({ "role": "user", "content": text }))
            .collect();
        let body = serde_json::json!({ "model": "m", "messages": messages }).to_string();
        let bound = RequestBound::read(Dialect::OpenAiChat, body.as_bytes()).unwrap();
        let tokens: u64 = texts.iter().map(|text| count::text(text)).sum();
        prop_assert!(bound.input(None) >= tokens);
        prop_assert!(bound.input(None) >= count::request(body.as_bytes()));
    }
}
