//! Prompts that are declared through the management API.

use super::{SECRET, call, saying};
use crate::management::{Asked, Managed, expect};
use crate::node::{Plan, check_passed, check_problem};
use serde_json::{Value, json};

fn prompt(version: &str, state: &str) -> Value {
    json!({
        "name": "translate", "version": version, "state": state, "model": "fast",
        "variables": { "text": {} },
        "messages": [
            { "role": "system", "text": format!("{SECRET}: translate") },
            { "role": "user", "text": "{{ text }}" },
        ],
    })
}

async fn with_models(url: &str) -> Managed {
    let managed = Managed::start(Plan::default()).await;
    let provider = json!({ "name": "back", "dialect": "openai-chat", "base_url": url });
    managed.declare("providers", provider).await;
    let model = json!({ "name": "fast", "targets": [{ "provider": "back", "model": "m" }] });
    managed.declare("models", model).await;
    let api = json!({
        "name": "ai", "version": "v1", "state": "published", "ai": { "prompts": "all" },
        "authentication": "none",
    });
    managed.declare("apis", api).await;
    managed
}

#[tokio::test]
async fn a_prompt_goes_its_way_from_draft_to_retired() {
    let back = saying("Bonjour").await;
    let managed = with_models(&back.url()).await;
    let made = managed.declare("prompts", prompt("v1", "draft")).await;
    assert_eq!(made["messages"][1]["text"], "{{ text }}");
    let body = json!({ "text": "Hi" });
    let called = async || call(&managed.node, "/prompts/translate", &[], &body).await;
    check_problem(&called().await, 404, "prompt_not_found");
    let patch = async |version: &str, body: Value| {
        let asked = Asked::new(
            "PATCH",
            format!("/teams/default/prompts/translate:{version}"),
        );
        let asked = asked.by(&managed.token).header("if-match", "*");
        managed.send(asked.body(body)).await
    };
    expect(&patch("v1", json!({ "state": "published" })).await, 200);
    let answer = called().await;
    check_passed(&answer);
    assert_eq!(answer.json().unwrap()["version"], "v1");
    expect(&patch("v1", json!({ "state": "draft" })).await, 422);
    // A second published version says its share, and the first one too.
    let refused = managed
        .call(
            "POST",
            "/teams/default/prompts",
            Some(prompt("v2", "published")),
        )
        .await;
    assert!(
        refused.status == 409 && refused.text().contains("ambiguous_version"),
        "{}",
        refused.text()
    );
    expect(&patch("v1", json!({ "state": "deprecated" })).await, 200);
    check_passed(&called().await);
    managed.declare("prompts", prompt("v2", "published")).await;
    assert_eq!(called().await.json().unwrap()["version"], "v2");
    expect(&patch("v1", json!({ "state": "retired" })).await, 200);
    let old = call(&managed.node, "/prompts/translate/versions/v1", &[], &body).await;
    check_problem(&old, 404, "prompt_not_found");
    // What was counted stays through changes, version by version.
    let rated =
        json!({ "id": called().await.json().unwrap()["id"], "score": 1, "comment": "Good" });
    assert_eq!(
        call(&managed.node, "/prompts/translate/feedback", &[], &rated)
            .await
            .status,
        204
    );
    expect(&patch("v2", json!({ "description": "Anew" })).await, 200);
    let trial = managed.get("/teams/default/prompts/translate/trial").await;
    let version = &trial["versions"][0];
    assert_eq!(
        (&version["version"], &version["ratings"]),
        (&json!("v2"), &json!(1))
    );
    assert_eq!(
        (&version["mean_score"], &version["calls"]),
        (&json!(1.0), &json!(2))
    );
    assert_eq!(version["comments"][0]["text"], "Good");
    assert!(version["mean_seconds"].as_f64().unwrap() > 0.0);
    let none = managed
        .call("GET", "/teams/default/prompts/nobody/trial", None)
        .await;
    expect(&none, 404);
    // All of it is there again after an export, and a second time changes nothing.
    let export = managed.get("/export").await;
    let again = managed
        .call(
            "POST",
            "/apply",
            Some(json!({ "resources": export["resources"] })),
        )
        .await;
    let again = expect(&again, 200);
    assert_eq!(
        again["changes"].as_array().map(Vec::len),
        Some(0),
        "{again}"
    );
}

#[tokio::test]
async fn whoever_only_consumes_reads_no_template() {
    let back = saying("Bonjour").await;
    let managed = with_models(&back.url()).await;
    managed.declare("prompts", prompt("v1", "published")).await;
    let consumer = managed
        .member("default", "carl", "consumer", &["read"])
        .await;
    for path in [
        "/teams/default/prompts",
        "/teams/default/prompts/translate:v1",
        "/teams/default/prompts/translate/trial",
        "/export",
    ] {
        let asked = Asked::new("GET", path).by(&consumer);
        let answer = managed.send(asked).await;
        assert!(
            answer.status >= 400 || !answer.text().contains(SECRET),
            "{path}: {}",
            answer.text()
        );
        assert!(!answer.text().contains(SECRET), "{path}");
    }
    let publisher = managed
        .member("default", "pat", "publisher", &["read"])
        .await;
    let asked = Asked::new("GET", "/teams/default/prompts/translate:v1").by(&publisher);
    assert!(managed.send(asked).await.text().contains(SECRET));
}

#[tokio::test]
async fn a_prompt_that_can_not_be_called_is_refused_with_the_member_at_fault() {
    let back = saying("Bonjour").await;
    let managed = with_models(&back.url()).await;
    for (member, value, at) in [
        ("model", json!("nobody"), "/model"),
        (
            "messages",
            json!([{ "role": "user", "text": "{{ txt }}" }]),
            "/messages/0/text",
        ),
        (
            "variables",
            json!({ "text": { "type": "strin" } }),
            "/variables/text/type",
        ),
        (
            "examples",
            json!([{ "variables": { "text": 1 }, "answer": "a" }]),
            "/examples/0/variables",
        ),
    ] {
        let mut body = prompt("v1", "draft");
        body[member] = value;
        let refused = managed
            .call("POST", "/teams/default/prompts", Some(body))
            .await;
        assert!([409, 422].contains(&refused.status), "{}", refused.text());
        let told = refused.json().unwrap();
        assert_eq!(told["errors"][0]["member"], at, "{told}");
    }
}
