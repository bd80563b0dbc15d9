//! Providers of clouds: requests that are signed, accounts that get tokens, and addresses of their own.

use super::{OPEN, body_of, chat, data_of, fixture, logged, post};
use crate::management::{Asked, Managed, expect};
use crate::node::{Node, Plan, check_passed};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use keyward_jose::key::{Encoding, Part};
use keyward_jose::{Algorithm, Key, SignatureAlgorithm};
use keyward_testkit::{Received, Script, Upstream, until};
use serde_json::{Value, json};
use std::fmt::Write as _;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const OUTSIDE: &str = "egress: { allow: [127.0.0.0/8] }\naccess_log: { format: json }";

fn bedrock(url: &str, more: &str) -> String {
    format!(
        "- {{ kind: provider, name: bedrock, base_url: \"{url}\", {more} credentials: [ {{ aws: {{ access_key_id: AKIAIOSFODNN7EXAMPLE, secret_access_key: {SECRET}, session_token: a-session, region: eu-central-1 }} }} ] }}"
    )
}

fn model(provider: &str, name: &str) -> String {
    format!(
        "- {{ kind: model, name: fast, targets: [ {{ provider: {provider}, model: \"{name}\" }} ] }}"
    )
}

async fn node(provider: String, name: &str) -> Node {
    let provider_name = provider.split("name: ").nth(1).unwrap();
    let provider_name = provider_name.split(',').next().unwrap().to_owned();
    Plan::default()
        .settings(OUTSIDE)
        .resource(provider)
        .resource(model(&provider_name, name))
        .resource(OPEN)
        .start()
        .await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The signature that AWS would compute of what came, by the words of its documentation.
fn signature_of(received: &Received, names: &str) -> String {
    let field = |name: &str| {
        received
            .head
            .field(name)
            .unwrap_or_else(|| panic!("{name}"))
    };
    let mut canonical = format!("{}\n", received.method());
    // Each part of the path is encoded once more.
    canonical.push_str(&received.target().replace('%', "%25").replace(':', "%3A"));
    canonical.push_str("\n\n");
    for name in names.split(';') {
        writeln!(canonical, "{name}:{}", field(name)).unwrap();
    }
    write!(canonical, "\n{names}\n{}", received.body_sha256).unwrap();
    let date = field("x-amz-date");
    let day = &date[..8];
    let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{day}/eu-central-1/bedrock/aws4_request\n{hash}");
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in [day, "eu-central-1", "bedrock", "aws4_request"] {
        let with = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&with, part.as_bytes()).as_ref().to_vec();
    }
    let with = hmac::Key::new(hmac::HMAC_SHA256, &key);
    hex(hmac::sign(&with, text.as_bytes()).as_ref())
}

#[tokio::test]
async fn bedrock_is_asked_with_signatures_that_hold_for_what_arrives() {
    let back = Upstream::choosing(|_| {
        Script::json(
            "200 OK",
            &[],
            &fixture("answers", "bedrock-converse", "text"),
        )
    })
    .await;
    let node = node(
        bedrock(&back.url(), ""),
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
    )
    .await;
    check_passed(&post(&node, "/v1/chat/completions", &[], &chat("fast")).await);
    let received = &back.received()[0];
    assert_eq!(
        received.target(),
        "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    );
    assert_eq!(
        received.head.field("x-amz-security-token"),
        Some("a-session")
    );
    let authorization = received.head.field("authorization").unwrap();
    let date = &received.head.field("x-amz-date").unwrap()[..8];
    let names = "content-type;host;x-amz-date;x-amz-security-token";
    let expected = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/{date}/eu-central-1/bedrock/aws4_request, SignedHeaders={names}, Signature={}",
        signature_of(received, names)
    );
    assert_eq!(authorization, expected);
    assert!(!node.process.log().contains(SECRET));
}

/// A recorded stream in AWS's binary frames.
fn frames() -> Vec<u8> {
    let stream = fixture("streams", "bedrock-converse", "text");
    let text = stream["base64"].as_str().unwrap();
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap()
}

fn streamed(pieces: &[&[u8]]) -> Script {
    let mut script = Script::stream("application/vnd.amazon.eventstream");
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        script = script.write_chunk(piece);
    }
    script.end()
}

fn text_of(answer: &keyward_testkit::Answer) -> String {
    let pieces = data_of(answer);
    let pieces = pieces
        .iter()
        .filter_map(|piece| piece["choices"][0]["delta"]["content"].as_str());
    pieces.collect()
}

fn asked_streamed() -> Value {
    let mut body = chat("fast");
    body["stream"] = json!(true);
    body
}

#[tokio::test]
async fn a_binary_stream_is_the_same_wherever_its_frames_are_cut() {
    let frames = frames();
    let length = frames.len();
    // The n-th call gets the stream cut after its n-th byte, on the wire too.
    let count = std::sync::atomic::AtomicUsize::new(0);
    let back = Upstream::choosing(move |_| {
        let at = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % frames.len();
        let (one, other) = frames.split_at(at);
        streamed(&[one, other])
    })
    .await;
    let node = node(
        bedrock(&back.url(), ""),
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
    )
    .await;
    for at in 0..length {
        let answer = post(&node, "/v1/chat/completions", &[], &asked_streamed()).await;
        check_passed(&answer);
        assert_eq!(text_of(&answer), "Hello thére 😀!", "cut at {at}");
    }
    let target = back.received()[0].target().to_owned();
    assert!(target.ends_with("/converse-stream"), "{target}");
}

#[tokio::test]
async fn a_frame_with_a_wrong_checksum_ends_the_stream_with_an_error() {
    let mut frames = frames();
    // A letter of the last text: the frames before are good.
    let at = frames.windows(1).rposition(|byte| byte == b"!").unwrap();
    frames[at] = b"?"[0];
    let back = Upstream::choosing(move |_| streamed(&[&frames])).await;
    let node = node(
        bedrock(&back.url(), ""),
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
    )
    .await;
    let answer = post(&node, "/v1/chat/completions", &[], &asked_streamed()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(text_of(&answer), "Hello thére 😀", "what was good came");
    let last = data_of(&answer).pop().unwrap();
    assert!(last["error"].is_object(), "{last}");
    let logged = logged(&node, "fast").await;
    assert_eq!(logged["code"], "provider_failed", "{logged}");
}

fn account(token_uri: &str) -> String {
    let algorithm = Algorithm::Signature(SignatureAlgorithm::Rs256);
    let key = Key::generate(algorithm, Some(2048)).unwrap();
    let pem = key.to_pem(Part::Private, Encoding::Pkcs8).unwrap();
    json!({
        "type": "service_account", "client_email": "k@p.iam.gserviceaccount.com",
        "private_key": &*pem, "private_key_id": "1", "token_uri": token_uri,
    })
    .to_string()
}

/// A cloud: tokens at `/token` and below, `token-0` first, and what `answer` says elsewhere.
async fn cloud(answer: impl Fn(&Received) -> Script + Send + Sync + 'static) -> Upstream {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Upstream::choosing(move |asked| {
        if asked.target().contains("/token") {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let token = json!({ "access_token": format!("token-{number}"), "expires_in": 3600 });
            return Script::json("200 OK", &[], &token);
        }
        answer(asked)
    })
    .await
}

fn calls(back: &Upstream) -> Vec<Received> {
    let received = back.received().into_iter();
    received
        .filter(|asked| !asked.target().contains("/token"))
        .collect()
}

#[tokio::test]
async fn vertex_is_asked_with_a_service_account_s_token() {
    let back = cloud(|_| Script::json("200 OK", &[], &fixture("answers", "gemini", "text"))).await;
    let url = back.url();
    let node = Plan::default()
        .settings(OUTSIDE)
        .file("account.json", account(&format!("{url}/token")))
        .resource(format!(
            "- {{ kind: provider, name: vertex, base_url: \"{url}/v1/projects/p/locations/eu/publishers/google\", credentials: [ {{ google: {{ service_account: \"${{FILE:account.json}}\" }} }} ] }}"
        ))
        .resource(model("vertex", "gemini-2.5-flash"))
        .resource(OPEN)
        .start()
        .await;
    for _ in 0..3 {
        check_passed(&post(&node, "/v1/chat/completions", &[], &chat("fast")).await);
    }
    let calls = calls(&back);
    assert_eq!(
        calls[0].target(),
        "/v1/projects/p/locations/eu/publishers/google/models/gemini-2.5-flash:generateContent"
    );
    for call in &calls {
        assert_eq!(call.head.field("authorization"), Some("Bearer token-0"));
    }
    let grants = back.received();
    let grants: Vec<&Received> = grants
        .iter()
        .filter(|asked| asked.target() == "/token")
        .collect();
    assert_eq!(grants.len(), 1, "one token serves many calls");
    let form = String::from_utf8_lossy(&grants[0].body).into_owned();
    assert!(
        form.starts_with(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey"
        ),
        "{form}"
    );
}

#[tokio::test]
async fn models_of_anthropic_on_vertex_have_their_own_addresses_and_version() {
    let back = cloud(|asked| {
        if asked.target().contains("count-tokens") {
            return Script::json("200 OK", &[], &json!({ "input_tokens": 7 }));
        }
        Script::json("200 OK", &[], &fixture("answers", "anthropic", "text"))
    })
    .await;
    let url = back.url();
    let node = Plan::default()
        .settings(OUTSIDE)
        .file("account.json", account(&format!("{url}/token")))
        .resource(format!(
            "- {{ kind: provider, name: claude, catalogue: vertex-anthropic, base_url: \"{url}/anthropic\", credentials: [ {{ google: {{ service_account: \"${{FILE:account.json}}\" }} }} ] }}"
        ))
        .resource(model("claude", "claude-sonnet-4-5@20250929"))
        .resource(OPEN)
        .start()
        .await;
    let asked = json!({ "model": "fast", "max_tokens": 9, "messages": [{ "role": "user", "content": "Hi" }] });
    check_passed(&post(&node, "/v1/messages", &[], &asked).await);
    check_passed(&post(&node, "/v1/chat/completions", &[], &chat("fast")).await);
    let counted = post(&node, "/v1/messages/count_tokens", &[], &asked).await;
    check_passed(&counted);
    assert_eq!(counted.json().unwrap()["input_tokens"], 7);
    let calls = calls(&back);
    let targets: Vec<&str> = calls.iter().map(Received::target).collect();
    let message = "/anthropic/models/claude-sonnet-4-5@20250929:rawPredict";
    assert_eq!(
        targets,
        [
            message,
            message,
            "/anthropic/models/count-tokens:rawPredict"
        ]
    );
    for call in &calls[..2] {
        let body = body_of(call);
        assert_eq!(body["anthropic_version"], "vertex-2023-10-16");
        assert!(body.get("model").is_none(), "{body}");
        assert_eq!(call.head.field("anthropic-version"), None);
    }
    assert_eq!(body_of(&calls[2])["model"], "claude-sonnet-4-5@20250929");
}

#[tokio::test]
async fn azure_is_asked_at_a_deployment_s_address_with_a_key_or_a_token() {
    let back =
        cloud(|_| Script::json("200 OK", &[], &fixture("answers", "openai-chat", "text"))).await;
    let url = back.url();
    let azure = |credential: &str| {
        format!(
            "- {{ kind: provider, name: azure, catalogue: azure-openai, base_url: \"{url}/openai\", api_version: 2024-10-21, credentials: [ {{ {credential} }} ] }}"
        )
    };
    let by_key = node(azure("key: an-azure-key"), "my-deployment").await;
    check_passed(&post(&by_key, "/v1/chat/completions", &[], &chat("fast")).await);
    let entra = format!(
        "entra: {{ tenant: my-tenant, client_id: my-client, client_secret: my-secret, authority: \"{url}\" }}"
    );
    let by_token = node(azure(&entra), "my-deployment").await;
    check_passed(&post(&by_token, "/v1/chat/completions", &[], &chat("fast")).await);
    let calls = calls(&back);
    for call in &calls {
        assert_eq!(
            call.target(),
            "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
        );
    }
    assert_eq!(calls[0].head.field("api-key"), Some("an-azure-key"));
    assert_eq!(calls[0].head.field("authorization"), None);
    assert_eq!(calls[1].head.field("api-key"), None);
    assert_eq!(calls[1].head.field("authorization"), Some("Bearer token-0"));
    let asked = back.received();
    let asked = asked
        .iter()
        .find(|asked| asked.target().contains("/token"))
        .unwrap();
    assert_eq!(asked.target(), "/my-tenant/oauth2/v2.0/token");
}

#[tokio::test]
async fn without_a_token_the_caller_is_told_and_another_target_is_asked() {
    let nobody = Upstream::choosing(|_| {
        Script::json("400 Bad Request", &[], &json!({ "error": "invalid_grant" }))
    })
    .await;
    let url = nobody.url();
    let vertex = format!(
        "- {{ kind: provider, name: vertex, base_url: \"{url}/v1\", credentials: [ {{ google: {{ service_account: \"${{FILE:account.json}}\" }} }} ] }}"
    );
    let plan = |targets: &str| {
        Plan::default()
            .settings(OUTSIDE)
            .file("account.json", account(&format!("{url}/token")))
            .resource(&vertex)
            .resource(format!("- {{ kind: model, name: fast, {targets} }}"))
            .resource(OPEN)
    };
    let alone = plan("targets: [ { provider: vertex, model: m } ]")
        .start()
        .await;
    let refused = post(&alone, "/v1/chat/completions", &[], &chat("fast")).await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    assert!(
        refused.text().contains("no access token"),
        "{}",
        refused.text()
    );
    assert!(
        !refused.text().contains("invalid_grant"),
        "{}",
        refused.text()
    );
    let logged = logged(&alone, "fast").await;
    let because = logged["because"].as_str().unwrap_or_default();
    assert!(because.contains("invalid_grant"), "{logged}");
    assert!(
        nobody
            .received()
            .iter()
            .all(|asked| asked.target() == "/token"),
        "the provider itself is not asked without one"
    );
    let back = super::recorded("openai-chat", "text").await;
    let other = super::provider("other", "openai-chat", &back.url(), "");
    let two = plan(
        "targets: [ { provider: vertex, model: m } ], fallbacks: [ { provider: other, model: m } ]",
    )
    .resource(other)
    .start()
    .await;
    check_passed(&post(&two, "/v1/chat/completions", &[], &chat("fast")).await);
}

#[tokio::test]
async fn a_token_that_the_provider_refuses_is_got_anew() {
    let back = cloud(|asked| {
        if asked.head.field("authorization") == Some("Bearer token-0") {
            let said =
                json!({ "error": { "code": 401, "status": "UNAUTHENTICATED", "message": "no" } });
            return Script::json("401 Unauthorized", &[], &said);
        }
        Script::json("200 OK", &[], &fixture("answers", "gemini", "text"))
    })
    .await;
    let url = back.url();
    let node = Plan::default()
        .settings(OUTSIDE)
        .environment("GCE_METADATA_HOST", back.address().to_string())
        .resource(format!(
            "- {{ kind: provider, name: vertex, base_url: \"{url}/v1\", credentials: [ {{ google: {{ machine: true }} }} ] }}"
        ))
        .resource(model("vertex", "m"))
        .resource(OPEN)
        .start()
        .await;
    // The first token is left alone for a while once it was refused, and a newer one counts at once.
    until("a newer token is used", async || {
        post(&node, "/v1/chat/completions", &[], &chat("fast"))
            .await
            .status
            == 200
    })
    .await;
    let received = back.received();
    let look = received
        .iter()
        .find(|asked| asked.target().contains("computeMetadata"))
        .unwrap();
    assert_eq!(
        look.target(),
        "/computeMetadata/v1/instance/service-accounts/default/token"
    );
    assert_eq!(look.head.field("metadata-flavor"), Some("Google"));
}

#[tokio::test]
async fn teams_call_with_accounts_of_their_own_and_never_with_the_machine_s() {
    let back =
        cloud(|_| Script::json("200 OK", &[], &fixture("answers", "openai-chat", "text"))).await;
    let url = back.url();
    let managed =
        Managed::start(Plan::default().settings("egress: { allow: [127.0.0.0/8] }")).await;
    let path = "/teams/default/providers";
    for (dialect, credential) in [
        (
            "bedrock-converse",
            json!({ "aws": { "machine": true, "region": "eu-west-1" } }),
        ),
        ("gemini", json!({ "google": { "machine": true } })),
    ] {
        let body = json!({ "name": "m", "dialect": dialect, "base_url": url, "credentials": [credential] });
        let refused = managed.call("POST", path, Some(body)).await;
        expect(&refused, 422);
        assert!(
            refused.text().contains("operator's own files"),
            "{}",
            refused.text()
        );
    }
    let entra = |authority: &str| json!({ "tenant": "t", "client_id": "c", "client_secret": "hunter2-of-entra", "authority": authority });
    let provider = json!({
        "name": "azure", "catalogue": "azure-openai", "base_url": format!("{url}/openai/v1"),
        "credentials": [
            { "entra": entra(&url) },
            { "aws": { "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "hunter2-of-aws", "region": "r" } },
        ],
    });
    let refused = managed.call("POST", path, Some(provider.clone())).await;
    expect(&refused, 422);
    assert!(
        refused.text().contains("only Bedrock takes signatures"),
        "{}",
        refused.text()
    );
    let mut provider = provider;
    provider["credentials"] = json!([{ "entra": entra(&url) }]);
    let made = managed.declare("providers", provider).await;
    let reference = made["credentials"][0]["entra"]["client_secret"].clone();
    assert!(
        reference
            .as_str()
            .unwrap()
            .starts_with("${SECRET:provider."),
        "{made}"
    );
    let model = json!({ "name": "fast", "targets": [{ "provider": "azure", "model": "m" }] });
    managed.declare("models", model).await;
    let api = json!({
        "name": "ai", "version": "v1", "state": "published", "ai": { "models": "all" }, "authentication": "none",
    });
    managed.declare("apis", api).await;
    check_passed(&post(&managed.node, "/v1/chat/completions", &[], &chat("fast")).await);
    // The secret that is kept is shown to nobody else.
    let patch = |body: Value| {
        let asked = Asked::new("PATCH", "/teams/default/providers/azure").by(&managed.token);
        managed.send(asked.header("if-match", "*").body(body))
    };
    let mut moved = made["credentials"][0]["entra"].clone();
    moved["authority"] = json!("https://evil.example");
    for stolen in [
        json!({ "credentials": [{ "entra": moved }] }),
        json!({ "credentials": [{ "key": reference }] }),
    ] {
        let refused = patch(stolen.clone()).await;
        expect(&refused, 422);
        assert!(
            refused.text().contains("goes where it went"),
            "{stolen}: {}",
            refused.text()
        );
    }
    let kept =
        json!({ "credentials": [{ "entra": made["credentials"][0]["entra"], "weight": 2 }] });
    expect(&patch(kept).await, 200);
    let told = managed.get("/export").await.to_string();
    assert!(!told.contains("hunter2") && !managed.node.process.log().contains("hunter2"));
}
