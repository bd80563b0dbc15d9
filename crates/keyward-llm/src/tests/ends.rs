//! How answers end that did not end well.

use super::fixture::context;
use super::round_trip::written;
use super::streams::read;
use crate::Dialect;
use crate::form::{
    Answer, Candidate, Event, FailureKind, Part, Request, Stop, StopReason, events_of,
};

fn answer(parts: Vec<Part>, reason: StopReason) -> Answer {
    Answer {
        candidates: vec![Candidate {
            parts,
            stop: Stop::new(reason, "word"),
            log_probabilities: Vec::new(),
        }],
        ..Answer::default()
    }
}

/// The answer as a caller of `form` gets it, whole and as a stream.
fn told(form: Dialect, answer: &Answer) -> [String; 2] {
    let whole = form
        .write_answer(answer, &Request::default(), &context())
        .unwrap();
    let stream = written(form, &events_of(answer));
    [whole, stream].map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn a_refusal_that_no_part_tells_of_is_no_normal_end() {
    let silent = answer(vec![Part::Text("I".to_owned())], StopReason::Refused);
    let said = answer(vec![Part::Refusal("No".to_owned())], StopReason::Refused);
    for text in told(Dialect::OpenAiChat, &silent) {
        assert!(
            text.contains(r#""finish_reason":"content_filter""#),
            "{text}"
        );
    }
    for text in told(Dialect::OpenAiChat, &said) {
        assert!(text.contains(r#""finish_reason":"stop""#), "{text}");
    }
    for text in told(Dialect::OpenAiResponses, &silent) {
        assert!(text.contains(r#""status":"incomplete""#), "{text}");
        assert!(text.contains(r#""reason":"content_filter""#), "{text}");
    }
    for text in told(Dialect::OpenAiResponses, &said) {
        assert!(!text.contains(r#""status":"incomplete""#), "{text}");
    }
}

#[test]
fn a_call_that_was_cut_is_left_out_of_an_answer_that_is_told() {
    let cut = |reason| {
        let call = crate::form::ToolCall {
            id: "c".to_owned(),
            name: "pay".to_owned(),
            arguments: "{\"sum\": 1".to_owned(),
            signature: None,
        };
        let text = Part::Text("Paid answer".to_owned());
        answer(vec![text, Part::ToolCall(call)], reason)
    };
    for form in Dialect::FORMS {
        for text in told(*form, &cut(StopReason::MaxTokens)) {
            assert!(text.contains("Paid answer"), "{form}: {text}");
        }
    }
    for (text, word) in [
        (
            &told(Dialect::Anthropic, &cut(StopReason::MaxTokens))[0],
            "max_tokens",
        ),
        (
            &told(Dialect::Anthropic, &cut(StopReason::ToolCalls))[0],
            "end_turn",
        ),
    ] {
        assert!(!text.contains("tool_use") && text.contains(word), "{text}");
    }
    for (reason, word) in [
        (StopReason::MaxTokens, "MAX_TOKENS"),
        (StopReason::ToolCalls, "MALFORMED_FUNCTION_CALL"),
    ] {
        for text in told(Dialect::Gemini, &cut(reason)) {
            assert!(
                !text.contains("functionCall") && text.contains(word),
                "{text}"
            );
        }
    }
}

#[test]
fn an_end_that_tells_of_an_error_is_a_failure() {
    for (dialect, whole, stream, kind) in [
        (
            Dialect::Cohere,
            r#"{"id":"a","finish_reason":"ERROR","message":{"content":[{"type":"text","text":"a"}]}}"#,
            r#"{"type":"message-end","delta":{"finish_reason":"ERROR"}}"#,
            FailureKind::Server,
        ),
        (
            Dialect::Cohere,
            r#"{"id":"a","finish_reason":"TIMEOUT","message":{"content":[{"type":"text","text":"a"}]}}"#,
            r#"{"type":"message-end","delta":{"finish_reason":"TIMEOUT"}}"#,
            FailureKind::Timeout,
        ),
        (
            Dialect::OpenAiChat,
            r#"{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"error","error":{"code":503,"message":"m"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"error","error":{"code":503,"message":"m"}}]}"#,
            FailureKind::Overloaded,
        ),
    ] {
        let failure = dialect
            .read_answer(whole.as_bytes(), &context())
            .unwrap_err();
        assert_eq!(failure.kind, kind, "{dialect}");
        let events = read(dialect, &[format!("data: {stream}\n\n").as_bytes()]);
        let [.., Event::Failed(failure), Event::Ended] = events.as_slice() else {
            panic!("{dialect}: {events:?}");
        };
        assert_eq!(failure.kind, kind, "{dialect}");
    }
}

#[test]
fn what_a_provider_says_of_the_operators_key_does_not_reach_the_caller() {
    for dialect in Dialect::ALL {
        for (status, kind) in [
            (401, FailureKind::Authentication),
            (403, FailureKind::Permission),
        ] {
            for body in [
                r#"{"error":{"message":"key sk-1234 of org acme","code":"acme","param":"acme"}}"#,
                r#"{"message":"key sk-1234 of org acme"}"#,
                "key sk-1234 of org acme",
            ] {
                let failure = dialect.read_failure(status, None, body.as_bytes());
                assert_eq!(failure.kind, kind, "{dialect}");
                for form in Dialect::FORMS {
                    let told = form.write_failure(&failure, &context()).unwrap();
                    let told = String::from_utf8(told).unwrap();
                    assert!(!told.contains("acme"), "{dialect}: {told}");
                }
                assert!(failure.because.unwrap().contains("acme"), "{dialect}");
            }
        }
    }
    let events = read(
        Dialect::OpenAiChat,
        &[b"data: {\"error\":{\"message\":\"org acme\",\"code\":\"invalid_api_key\"}}\n\n"],
    );
    let told = String::from_utf8(written(Dialect::Anthropic, &events)).unwrap();
    assert!(!told.contains("acme"), "{told}");
    // Nor what is said of the account with any other error, but where the request is at fault.
    for dialect in Dialect::ALL {
        for status in [402, 404, 409, 429, 500, 503] {
            let body = r#"{"error":{"message":"org-acme123 is over","code":"a_code"},"message":"org-acme123 is over"}"#;
            let failure = dialect.read_failure(status, None, body.as_bytes());
            assert!(!failure.message.contains("acme"), "{dialect} {status}");
            assert!(failure.because.unwrap().contains("acme"), "{dialect}");
        }
    }
    let conflict = Dialect::OpenAiChat.read_failure(409, None, b"{}");
    assert_eq!(conflict.kind.blame(), keyward_model::Blame::Upstream);
}

#[test]
fn reasoning_that_is_counted_beside_the_output_is_part_of_it_here() {
    for (total, output) in [(42, 32), (22, 12), (0, 12)] {
        let body = format!(
            r#"{{"choices":[{{"index":0,"message":{{"content":"a"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":10,"completion_tokens":12,"total_tokens":{total},"completion_tokens_details":{{"reasoning_tokens":20}}}}}}"#
        );
        let answer = Dialect::OpenAiChat.read_answer(body.as_bytes(), &context());
        let usage = answer.unwrap().usage.unwrap();
        assert_eq!((usage.output, usage.reasoning), (output, 20), "{total}");
    }
}

#[test]
fn a_request_that_is_over_its_account_s_limits_is_told_from_an_account_that_is() {
    for (dialect, status, body, kind) in [
        (
            Dialect::OpenAiChat,
            429,
            r#"{"error":{"message":"Request too large for m in organization org-acme123 on tokens per min (TPM): Limit 30000, Requested 47000.","type":"tokens","code":"rate_limit_exceeded"}}"#,
            FailureKind::OverLimit,
        ),
        (
            Dialect::OpenAiChat,
            413,
            r#"{"error":{"message":"Request too large for model `m`: please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}}"#,
            FailureKind::OverLimit,
        ),
        (
            Dialect::OpenAiChat,
            429,
            r#"{"error":{"message":"Rate limit reached for m on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.","code":"rate_limit_exceeded"}}"#,
            FailureKind::RateLimited,
        ),
        (
            Dialect::Anthropic,
            429,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"Extra usage is required for long context requests."}}"#,
            FailureKind::OverLimit,
        ),
        (
            Dialect::OpenAiChat,
            402,
            r#"{"error":{"message":"This request requires more credits, or fewer max_tokens.","code":402}}"#,
            FailureKind::OverLimit,
        ),
        (
            Dialect::OpenAiChat,
            402,
            r#"{"error":{"message":"No.","code":402}}"#,
            FailureKind::Unpaid,
        ),
        (
            Dialect::OpenAiChat,
            402,
            r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}"#,
            FailureKind::QuotaExhausted,
        ),
        (
            Dialect::OpenAiChat,
            429,
            r#"{"error":{"message":"You exceeded your current quota.","code":"insufficient_quota"}}"#,
            FailureKind::QuotaExhausted,
        ),
        (
            Dialect::Anthropic,
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#,
            FailureKind::QuotaExhausted,
        ),
    ] {
        let failure = dialect.read_failure(status, None, body.as_bytes());
        assert_eq!(failure.kind, kind, "{body}");
    }
}

#[test]
fn what_aws_says_in_a_header_tells_the_kind_of_an_error() {
    for (status, told, kind) in [
        (424, Some("ModelErrorException"), FailureKind::Server),
        (
            400,
            Some(
                "ServiceQuotaExceededException:http://internal.amazon.com/coral/com.amazon.bedrock/",
            ),
            FailureKind::QuotaExhausted,
        ),
        (429, Some("ModelNotReadyException"), FailureKind::Overloaded),
        (429, Some("ThrottlingException"), FailureKind::RateLimited),
        (
            403,
            Some("ExpiredTokenException"),
            FailureKind::Authentication,
        ),
        (
            403,
            Some("com.amazon.coral#UnrecognizedClientException:"),
            FailureKind::Authentication,
        ),
        (403, Some("AccessDeniedException"), FailureKind::Permission),
        (403, Some("SomethingNewException"), FailureKind::Permission),
        (403, None, FailureKind::Permission),
    ] {
        for body in [r#"{"message":"m"}"#, ""] {
            let failure = Dialect::Bedrock.read_failure(status, told, body.as_bytes());
            assert_eq!(failure.kind, kind, "{told:?} {body}");
        }
    }
}

#[test]
fn what_a_provider_does_not_keep_is_told_from_a_model_that_it_has_not() {
    for (error, kind) in [
        (
            r#"{"message":"Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.","type":"invalid_request_error","param":"input","code":null}"#,
            FailureKind::InvalidRequest,
        ),
        (
            r#"{"message":"Conversation with id 'my model' not found.","type":"invalid_request_error","param":null,"code":null}"#,
            FailureKind::InvalidRequest,
        ),
        (
            r#"{"message":"Item with id 'a' the 'model' not found.","type":"invalid_request_error"}"#,
            FailureKind::InvalidRequest,
        ),
        (
            r#"{"message":"The model `x` does not exist or you do not have access to it.","type":"invalid_request_error","code":"model_not_found"}"#,
            FailureKind::NotFound,
        ),
        (
            r#"{"message":"Model not found, inaccessible, and/or not deployed","type":"invalid_request_error","code":"NOT_FOUND"}"#,
            FailureKind::NotFound,
        ),
        (
            r#"{"message":"Unknown request URL: POST /v1/x.","type":"invalid_request_error","code":"unknown_url"}"#,
            FailureKind::NotFound,
        ),
        (
            r#"{"message":"It is not there","type":"invalid_request_error","code":"DeploymentNotFound"}"#,
            FailureKind::NotFound,
        ),
        (r#"{"message":"Not Found"}"#, FailureKind::NotFound),
    ] {
        let body = format!(r#"{{"error":{error}}}"#);
        let failure = Dialect::OpenAiResponses.read_failure(404, None, body.as_bytes());
        assert_eq!(failure.kind, kind, "{body}");
        assert_eq!(failure.status, 404);
    }
}
