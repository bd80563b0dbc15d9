//! Versions: which one takes a call, and what callers think of it.

use super::{OPEN, call, metrics, plan, saying, translate};
use crate::ai::control::checked;
use crate::node::{check_passed, check_problem};
use keyward_model::ApiKey;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[tokio::test]
async fn versions_are_split_by_weight_and_a_caller_keeps_theirs() {
    let back = saying("Bonjour").await;
    let mut plan = plan(&back.url())
        .resource(translate("v1", "trial: { weight: 1 }"))
        .resource(translate("v2", "trial: { weight: 1 }"))
        .resource(translate("v3", "trial: { weight: 0 }"))
        .resource(OPEN.replace(
            "authentication: none",
            "authentication: [ { api_key: { sdk: true } } ]",
        ));
    let keys: Vec<String> = (1..=24_u8)
        .map(|byte| ApiKey::from_random(&[byte; 32]).reveal().to_owned())
        .collect();
    for (number, key) in keys.iter().enumerate() {
        plan = plan.resource(format!(
            "- {{ kind: credential, name: app-{number}, api_key: {key} }}"
        ));
    }
    let node = plan.start().await;
    let mut shares: BTreeMap<String, usize> = BTreeMap::new();
    for key in &keys {
        let mut versions = Vec::new();
        for _ in 0..2 {
            let answer = call(
                &node,
                "/prompts/translate",
                &[("x-api-key", key)],
                &json!({ "text": "a" }),
            )
            .await;
            check_passed(&answer);
            versions.push(
                answer.json().unwrap()["version"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        assert_eq!(versions[0], versions[1], "a caller keeps their version");
        *shares.entry(versions.remove(0)).or_default() += 1;
    }
    // The same keys go the same way on every run: the hash knows no chance.
    assert_eq!(
        shares.keys().collect::<Vec<_>>(),
        ["v1", "v2"],
        "{shares:?}"
    );
    let path = "/prompts/translate/versions/v3";
    let answer = call(
        &node,
        path,
        &[("x-api-key", &keys[0])],
        &json!({ "text": "a" }),
    )
    .await;
    assert_eq!(answer.json().unwrap()["version"], "v3");
}

#[tokio::test]
async fn of_deprecated_and_published_versions_the_published_takes_calls() {
    let back = saying("Bonjour").await;
    let node = plan(&back.url())
        .resource(translate("v2", "").replace("published", "deprecated"))
        .resource(translate("v1", ""))
        .resource(translate("v3", "").replace("published", "draft"))
        .resource(translate("v0", "").replace("published", "retired"))
        .resource(
            translate("v9", "")
                .replace("published", "deprecated")
                .replace("name: translate", "name: old"),
        )
        .resource(
            translate("v10", "")
                .replace("published", "deprecated")
                .replace("name: translate", "name: old"),
        )
        .resource(OPEN)
        .start()
        .await;
    let version = async |path: &str| -> Value {
        let answer = call(&node, path, &[], &json!({ "text": "a" })).await;
        check_passed(&answer);
        answer.json().unwrap()["version"].clone()
    };
    assert_eq!(version("/prompts/translate").await, "v1");
    assert_eq!(version("/prompts/translate/versions/v2").await, "v2");
    assert_eq!(version("/prompts/old").await, "v10");
    for gone in ["v0", "v3"] {
        let path = format!("/prompts/translate/versions/{gone}");
        let answer = call(&node, &path, &[], &json!({ "text": "a" })).await;
        check_problem(&answer, 404, "prompt_not_found");
    }
}

#[tokio::test]
async fn a_version_of_weight_0_is_called_by_its_name_alone_also_where_it_is_the_only_one() {
    let back = saying("Bonjour").await;
    let named = |version: &str, name: &str, more: &str| {
        translate(version, more).replace("name: translate", &format!("name: {name}"))
    };
    let node = plan(&back.url())
        .resource(named("v1", "alone", "trial: { weight: 0 }"))
        .resource(named("v2", "beside", "trial: { weight: 0 }"))
        .resource(named("v1", "beside", "").replace("published", "deprecated"))
        .resource(OPEN)
        .start()
        .await;
    let body = json!({ "text": "a" });
    let answer = call(&node, "/prompts/alone", &[], &body).await;
    check_problem(&answer, 404, "prompt_not_found");
    for (path, version) in [
        ("/prompts/alone/versions/v1", "v1"),
        ("/prompts/beside", "v1"),
        ("/prompts/beside/versions/v2", "v2"),
    ] {
        let answer = call(&node, path, &[], &body).await;
        check_passed(&answer);
        assert_eq!(answer.json().unwrap()["version"], version, "{path}");
    }
    let list = node.get("/prompts", &[]).await.json().unwrap();
    assert_eq!(list["prompts"][0]["name"], "alone", "{list}");
}

#[tokio::test]
async fn a_caller_is_told_of_and_gets_the_versions_that_they_may_call() {
    let back = saying("Bonjour").await;
    let key = |byte| ApiKey::from_random(&[byte; 32]).reveal().to_owned();
    let mut plan = plan(&back.url())
        .resource(translate("v1", "trial: { weight: 1 }"))
        .resource(translate(
            "v2",
            "trial: { weight: 1 }\n  authorization: { scopes: [tests] }",
        ))
        .resource(
            translate("v1", "authorization: { scopes: [tests] }")
                .replace("name: translate", "name: inner"),
        )
        .resource(OPEN.replace(
            "authentication: none",
            "authentication: [ { api_key: { sdk: true } } ]",
        ));
    for byte in 1..=8_u8 {
        let key = key(byte);
        plan = plan.resource(format!(
            "- {{ kind: credential, name: app-{byte}, api_key: {key} }}"
        ));
    }
    let node = plan.start().await;
    let body = json!({ "text": "a" });
    for byte in 1..=8 {
        let key = key(byte);
        let answer = call(&node, "/prompts/translate", &[("x-api-key", &key)], &body).await;
        check_passed(&answer);
        assert_eq!(answer.json().unwrap()["version"], "v1", "{byte}");
    }
    let key = key(1);
    let headers = [("x-api-key", &*key)];
    let list = node.get("/prompts", &headers).await.json().unwrap();
    assert_eq!(list["prompts"].as_array().unwrap().len(), 1, "{list}");
    let versions = &list["prompts"][0]["versions"];
    assert_eq!(
        *versions,
        json!([{ "version": "v1", "state": "published" }])
    );
    let document = node.get("/prompts/translate/openapi.json", &headers).await;
    check_passed(&document);
    assert!(!document.text().contains("v2"), "{}", document.text());
    let document = document.json().unwrap();
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["api_key_header_x-api-key"]["in"], "header");
    for way in document["security"].as_array().unwrap() {
        let name = way.as_object().unwrap().keys().next().unwrap();
        assert!(schemes[name].is_object(), "{name}: {schemes}");
    }
    // Nothing of its variables is told to whoever may not call it.
    for bad in [json!({}), json!({ "text": 7 }), json!([])] {
        let answer = call(&node, "/prompts/inner", &headers, &bad).await;
        check_problem(&answer, 403, "insufficient_scope");
    }
}

#[tokio::test]
async fn an_answer_is_rated_once_and_by_who_got_it_alone() {
    let back = saying("Bonjour").await;
    let key = |byte| ApiKey::from_random(&[byte; 32]).reveal().to_owned();
    let (ann, bob) = (key(1), key(2));
    let node = plan(&back.url())
        .resource(translate("v1", ""))
        .resource(translate("v1", "").replace("name: translate", "name: other"))
        .resource(format!(
            "- {{ kind: credential, name: ann, api_key: {ann} }}"
        ))
        .resource(format!(
            "- {{ kind: credential, name: bob, api_key: {bob} }}"
        ))
        .resource(OPEN.replace(
            "authentication: none",
            "authentication: [ { api_key: { sdk: true } } ]",
        ))
        .start()
        .await;
    let (ann, bob) = ([("x-api-key", &*ann)], [("x-api-key", &*bob)]);
    let answer = call(&node, "/prompts/translate", &ann, &json!({ "text": "a" })).await;
    let id = answer.json().unwrap()["id"].as_str().unwrap().to_owned();
    let path = "/prompts/translate/feedback";
    let rating = |id: &str, score: Value| json!({ "id": id, "score": score });
    for (headers, path, body, status, code) in [
        (&bob, path, rating(&id, json!(1)), 404, "feedback_invalid"),
        (
            &ann,
            "/prompts/other/feedback",
            rating(&id, json!(1)),
            404,
            "feedback_invalid",
        ),
        (
            &ann,
            path,
            rating(&id[..id.len() - 1], json!(1)),
            404,
            "feedback_invalid",
        ),
        (
            &ann,
            path,
            rating("pa_AAAA", json!(1)),
            404,
            "feedback_invalid",
        ),
        (&ann, path, rating(&id, json!(2)), 400, "validation_failed"),
        (
            &ann,
            path,
            rating(&id, json!("good")),
            400,
            "validation_failed",
        ),
        (
            &ann,
            path,
            json!({ "id": id, "score": 1, "comment": "a".repeat(501) }),
            400,
            "validation_failed",
        ),
        (
            &ann,
            path,
            json!({ "id": id, "score": 1, "more": 1 }),
            400,
            "validation_failed",
        ),
        (
            &ann,
            "/prompts/nobody/feedback",
            rating(&id, json!(1)),
            404,
            "prompt_not_found",
        ),
    ] {
        check_problem(&call(&node, path, headers, &body).await, status, code);
    }
    let good = json!({ "id": id, "score": 0.5, "comment": "Nice" });
    let rated = call(&node, path, &ann, &good).await;
    assert_eq!(rated.status, 204, "{}", rated.text());
    check_problem(
        &call(&node, path, &ann, &good).await,
        409,
        "feedback_repeated",
    );
    let metrics = metrics(&node).await;
    for line in [
        "keyward_prompt_feedback_total{team=\"default\",prompt=\"translate\",version=\"v1\"} 1",
        "keyward_prompt_feedback_score_thousandths{team=\"default\",prompt=\"translate\",version=\"v1\"} 500",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[test]
fn what_can_not_be_served_is_told_by_check() {
    let good = "- { kind: provider, name: back, dialect: openai-chat, base_url: \"http://127.0.0.1:1/v1\" }\n- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }";
    let with = |rest: &str| checked(&format!("{good}\n{OPEN}\n{rest}"));
    let prompt = |more: &str| translate("v1", more);
    let upstream = "- { kind: upstream, name: u, targets: [ { url: \"http://127.0.0.1:1\" } ] }\n- { kind: api, name: own, version: v1, state: published, base_path: /prompts/mine, upstream: u, authentication: none }";
    for (resources, expected) in [
        (prompt(""), None),
        (
            prompt("").replace("model: fast", "model: fats"),
            Some("did you mean `fast`?"),
        ),
        (
            prompt("").replace("{{ text }}", "{{ txet }}"),
            Some("`txet` is no variable"),
        ),
        (
            prompt("").replace("{{ text }}", "{{ text }"),
            Some("syntax error"),
        ),
        (
            format!("{}\n{}", prompt(""), translate("v2", "")),
            Some("2 versions of the prompt `translate` are published"),
        ),
        (
            format!("{}\n{}", prompt(""), prompt("")),
            Some("version `v1`"),
        ),
        (
            format!(
                "{}\n{}",
                prompt("trial: { weight: 0 }"),
                translate("v2", "trial: { weight: 0 }")
            ),
            Some("no version of the prompt `translate` takes calls"),
        ),
        (
            format!(
                "{}\n- {{ kind: api, name: more, version: v1, state: published, base_path: /more, ai: {{ prompts: [tranlate] }}, authentication: none }}",
                prompt("")
            ),
            Some("did you mean `translate`?"),
        ),
        (format!("{}\n{upstream}", prompt("")), Some("is hidden")),
    ] {
        let (passes, told) = with(&resources);
        match expected {
            Some(expected) => assert!(!passes && told.contains(expected), "{resources}: {told}"),
            None => assert!(passes && told.is_empty(), "{resources}: {told}"),
        }
    }
    let (passes, told) = with(&prompt("").replace("{{ text }}", "nothing"));
    assert!(
        passes && told.contains("`text` is used by no message"),
        "{told}"
    );
}
