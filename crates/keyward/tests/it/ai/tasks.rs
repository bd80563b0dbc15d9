//! What is asked of a model that is no conversation.

use super::{body_of, logged, plan, post, provider};
use crate::node::{Node, check_passed};
use keyward_testkit::{Received, Script, Upstream};
use serde_json::{Value, json};

const LOGGED: &str = "access_log: { format: json }";

async fn node_with(dialect: &str, back: &Upstream) -> Node {
    plan(dialect, &back.url()).settings(LOGGED).start().await
}

async fn answering(body: Value) -> Upstream {
    Upstream::choosing(move |_| Script::json("200 OK", &[], &body)).await
}

fn only(back: &Upstream) -> Received {
    let mut received = back.received();
    assert_eq!(received.len(), 1);
    received.remove(0)
}

#[tokio::test]
async fn what_openai_s_addresses_take_as_json_passes_with_the_model_exchanged() {
    for (path, more, answer, units) in [
        (
            "/images/generations",
            json!({ "prompt": "a cat", "n": 2 }),
            json!({ "created": 1, "data": [{ "b64_json": "eA==" }, { "b64_json": "eQ==" }] }),
            ("images", 2),
        ),
        (
            "/moderations",
            json!({ "input": "hello" }),
            json!({ "id": "1", "model": "m", "results": [{ "flagged": false }] }),
            ("images", 0),
        ),
        (
            "/rerank",
            json!({ "query": "q", "documents": ["a", "b"] }),
            json!({ "results": [{ "index": 1, "relevance_score": 0.5 }], "usage": { "total_tokens": 4 } }),
            ("input_tokens", 4),
        ),
        (
            "/embeddings",
            json!({ "input": "x" }),
            json!({ "data": [], "usage": { "prompt_tokens": 6, "total_tokens": 6 } }),
            ("input_tokens", 6),
        ),
    ] {
        let back = answering(answer.clone()).await;
        let node = node_with("openai-chat", &back).await;
        let mut asked = more;
        asked["model"] = json!("fast");
        asked["new_field"] = json!(1);
        let answered = post(&node, &format!("/v1{path}"), &[], &asked).await;
        check_passed(&answered);
        assert_eq!(answered.json().unwrap(), answer, "{path}");
        let received = only(&back);
        assert_eq!(received.target(), format!("/base{path}"));
        assert_eq!(received.head.field("authorization"), Some("Bearer sk-back"));
        asked["model"] = json!("big-1");
        assert_eq!(body_of(&received), asked);
        let logged = logged(&node, "fast").await;
        assert_eq!(logged[units.0], units.1, "{path}: {logged}");
        assert_eq!(logged["provider"], "back");
    }
}

#[tokio::test]
async fn speech_comes_as_bytes_and_its_letters_are_counted() {
    let sound: Vec<u8> = (0..=255_u8).cycle().take(70_000).collect();
    let sent = sound.clone();
    let back = Upstream::choosing(move |_| {
        let mut script = Script::stream("audio/mpeg");
        for piece in sent.chunks(9_000) {
            script = script.write_chunk(piece);
        }
        script.end()
    })
    .await;
    let node = node_with("openai-chat", &back).await;
    let asked = json!({ "model": "fast", "input": "Grüß dich", "voice": "alloy" });
    let answered = post(&node, "/v1/audio/speech", &[], &asked).await;
    check_passed(&answered);
    assert_eq!(answered.head.field("content-type"), Some("audio/mpeg"));
    assert_eq!(answered.head.field("keyward-model"), Some("back/big-1"));
    assert_eq!(answered.body, sound);
    let logged = logged(&node, "fast").await;
    assert_eq!(logged["characters"], 9, "{logged}");
    assert_eq!(
        logged["price_revision"], 0,
        "nobody knows what letters cost"
    );
}

#[tokio::test]
async fn sound_that_breaks_off_is_not_taken_for_the_whole() {
    let back = Upstream::choosing(|_| {
        Script::stream("audio/mpeg")
            .write_chunk(b"a part of it")
            .reset()
    })
    .await;
    let node = node_with("openai-chat", &back).await;
    let body = json!({ "model": "fast", "input": "Hi", "voice": "v" }).to_string();
    let headers = [("Content-Type", "application/json")];
    let text = crate::node::request("POST", "/v1/audio/speech", &headers, &body);
    let mut client = keyward_testkit::RawClient::connect(node.gateway())
        .await
        .unwrap();
    client.send(text).await.unwrap();
    assert!(client.answer().await.is_err(), "the answer has no end");
    let logged = logged(&node, "fast").await;
    assert_eq!(logged["code"], "provider_failed", "{logged}");
}

fn form(model: &str) -> String {
    format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\nID3 \r\n--\r\n sound\r\n--edge\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--edge\r\nContent-Disposition: form-data; name=\"response_format\"\r\n\r\njson\r\n--edge--\r\n"
    )
}

const FORM_TYPE: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=edge");

#[tokio::test]
async fn a_form_with_a_file_passes_with_the_model_exchanged() {
    for path in [
        "/audio/transcriptions",
        "/audio/translations",
        "/images/edits",
        "/images/variations",
    ] {
        let answer =
            json!({ "text": "Hello", "usage": { "type": "duration", "seconds": 3 }, "data": [] });
        let back = answering(answer.clone()).await;
        let node = node_with("openai-chat", &back).await;
        let answered = node
            .call("POST", &format!("/v1{path}"), &[FORM_TYPE], &form("fast"))
            .await;
        check_passed(&answered);
        assert_eq!(answered.json().unwrap(), answer);
        let received = only(&back);
        assert_eq!(received.target(), format!("/base{path}"));
        assert_eq!(received.head.field("content-type"), Some(FORM_TYPE.1));
        assert_eq!(String::from_utf8_lossy(&received.body), form("big-1"));
        let logged = logged(&node, "fast").await;
        let heard = if path.starts_with("/audio") { 3_000 } else { 0 };
        assert_eq!(logged["audio_ms"], heard, "{path} {logged}");
    }
    let back = Upstream::choosing(|_| {
        Script::answer(
            "200 OK",
            &[("content-type", "text/plain; charset=utf-8")],
            "Hello\n",
        )
    })
    .await;
    let node = node_with("openai-chat", &back).await;
    let answered = node
        .call(
            "POST",
            "/v1/audio/transcriptions",
            &[FORM_TYPE],
            &form("fast"),
        )
        .await;
    assert_eq!((answered.status, answered.text()), (200, "Hello\n".into()));
}

#[tokio::test]
async fn a_form_that_names_two_models_is_refused_and_never_sent() {
    let back = answering(json!({ "text": "Hello" })).await;
    let node = node_with("openai-chat", &back).await;
    let part = "--edge\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nother\r\n";
    for (content_type, body, expected) in [
        (
            FORM_TYPE.1,
            format!("{part}{}", form("fast")),
            "comes twice",
        ),
        (
            FORM_TYPE.1,
            form("fast").replace("name=\"model\"", "name=\"moodel\""),
            "is missing",
        ),
        ("multipart/form-data", form("fast"), "no boundary"),
        (
            "multipart/form-data; boundary=other",
            form("fast"),
            "its boundary",
        ),
        (
            "multipart/form-data; boundary=edge; charset=utf-7",
            form("fast").replace("response_format", "+AG0-odel"),
            "no parameter but its boundary",
        ),
        (FORM_TYPE.1, form("none"), "no model `none`"),
    ] {
        let headers = [("Content-Type", content_type)];
        let refused = node
            .call("POST", "/v1/audio/transcriptions", &headers, &body)
            .await;
        assert!([400, 404].contains(&refused.status), "{}", refused.status);
        let told = refused.json().unwrap();
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let refused = node
        .call("POST", "/v1/embeddings", &[FORM_TYPE], &form("fast"))
        .await;
    assert_eq!(refused.status, 400);
    assert!(back.received().is_empty());
}

#[tokio::test]
async fn vectors_are_asked_of_providers_of_other_dialects_in_their_own_form() {
    let gemini = answering(json!({ "embeddings": [{ "values": [0.25, 1] }] })).await;
    let node = node_with("gemini", &gemini).await;
    let asked = json!({ "model": "fast", "input": "x", "encoding_format": "base64" });
    let answered = post(&node, "/v1/embeddings", &[], &asked).await;
    check_passed(&answered);
    assert_eq!(
        answered.json().unwrap()["data"][0]["embedding"],
        "AACAPgAAgD8="
    );
    assert_eq!(
        only(&gemini).target(),
        "/base/models/big-1:batchEmbedContents"
    );
    let openai = answering(
        json!({ "data": [{ "embedding": [1, 2] }], "usage": { "prompt_tokens": 5, "total_tokens": 5 } }),
    )
    .await;
    let node = node_with("openai-chat", &openai).await;
    let content = json!({ "content": { "parts": [{ "text": "x" }] } });
    let answered = post(&node, "/v1beta/models/fast:embedContent", &[], &content).await;
    check_passed(&answered);
    assert_eq!(
        answered.json().unwrap(),
        json!({ "embedding": { "values": [1, 2] } })
    );
    assert_eq!(logged(&node, "fast").await["input_tokens"], 5);
    let several = json!({ "requests": [content] });
    let answered = post(
        &node,
        "/v1beta/models/fast:batchEmbedContents",
        &[],
        &several,
    )
    .await;
    assert_eq!(
        answered.json().unwrap(),
        json!({ "embeddings": [{ "values": [1, 2] }] })
    );
    let unknown = post(&node, "/v1beta/models/fast:predict", &[], &content).await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
}

#[tokio::test]
async fn tokens_are_counted_by_providers_of_the_other_dialect() {
    let gemini = answering(json!({ "totalTokens": 11 })).await;
    let node = node_with("gemini", &gemini).await;
    let asked = json!({ "model": "fast", "messages": [{ "role": "user", "content": "Hi" }] });
    let counted = post(&node, "/v1/messages/count_tokens", &[], &asked).await;
    assert_eq!(counted.json().unwrap(), json!({ "input_tokens": 11 }));
    assert_eq!(only(&gemini).target(), "/base/models/big-1:countTokens");
    let anthropic = answering(json!({ "input_tokens": 12 })).await;
    let node = node_with("anthropic", &anthropic).await;
    let asked = json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hi" }] }] });
    let counted = post(&node, "/v1beta/models/fast:countTokens", &[], &asked).await;
    assert_eq!(counted.json().unwrap(), json!({ "totalTokens": 12 }));
    let logged = logged(&node, "fast").await;
    assert_eq!(
        logged["input_tokens"], 0,
        "counting reads nothing: {logged}"
    );
}

#[tokio::test]
async fn a_target_without_such_an_address_is_passed_over_and_alone_refused() {
    let (claude, back) = (
        answering(json!({})).await,
        answering(json!({ "data": [] })).await,
    );
    let node = plan("anthropic", &claude.url())
        .resource(provider("other", "openai-chat", &back.url(), ""))
        .resource("- { kind: model, name: both, targets: [ { provider: back, model: m } ], fallbacks: [ { provider: other, model: m } ] }")
        .start()
        .await;
    for path in [
        "/v1/images/generations",
        "/v1/audio/speech",
        "/v1/rerank",
        "/v1/moderations",
        "/v1/embeddings",
    ] {
        let asked = json!({ "model": "fast", "prompt": "x", "input": "x", "query": "q", "documents": ["d"] });
        let refused = post(&node, path, &[], &asked).await;
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
        assert_eq!(
            refused.json().unwrap()["error"]["code"],
            "unsupported_endpoint",
            "{path}"
        );
    }
    assert!(claude.received().is_empty());
    let asked = json!({ "model": "both", "prompt": "x" });
    check_passed(&post(&node, "/v1/images/generations", &[], &asked).await);
}
