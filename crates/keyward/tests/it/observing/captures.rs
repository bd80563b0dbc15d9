//! Bodies that are written down: which, how much of them, and what of them never is.

use super::{LOOK_EVERY, PATIENCE};
use crate::node::{Node, Plan, check_passed, check_problem};
use crate::running::{edit, until_metric};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{Script, Upstream};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

const JSON: (&str, &str) = ("content-type", "application/json");

/// The lines of the file, once there are so many.
async fn lines(node: &Node, count: usize) -> Vec<Value> {
    let path = node.process.folder().join("captures.jsonl");
    let mut waited = Duration::ZERO;
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.lines().count() >= count && text.ends_with('\n') {
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
            return lines.collect();
        }
        assert!(waited < PATIENCE, "{count}: {text}\n{}", node.process.log());
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
}

fn plan() -> Plan {
    Plan::default().settings(
        "workers: 1\naccess_log: { destination: off }\ncaptures: { file: captures.jsonl }",
    )
}

#[tokio::test]
async fn bodies_are_written_masked_and_without_the_callers_credential() {
    let issuer = Issuer::new("main", A::Es256);
    let node = plan()
        .resource(issuer.resource(""))
        .api(
            "guarded",
            &issuer.authentication("").replace(
                "authentication: {",
                "capture: { mask: [birthday] }, authentication: { forward_token: true,",
            ),
        )
        .start()
        .await;
    let token = issuer.token();
    let bearer = format!("Bearer {token}");
    let body = r#"{"name":"a","password":"hunter2","birthday":"hunter2"}"#;
    // The echo sends back what it got: the token, too.
    let answer = node
        .call(
            "POST",
            "/guarded/x?key=hunter2",
            &[("Authorization", &bearer), JSON],
            body,
        )
        .await;
    check_passed(&answer);
    assert!(answer.text().contains(&token), "{}", answer.text());
    let lines = lines(&node, 1).await;
    let line = &lines[0];
    assert_eq!(
        (&line["api"], &line["path"], &line["status"]),
        (&"guarded".into(), &"/guarded/x".into(), &200.into())
    );
    assert_eq!(
        line["request"]["body"],
        r#"{"name":"a","password":"[masked]","birthday":"[masked]"}"#
    );
    assert_eq!(line["request"]["bytes"], body.len());
    let told = line["response"]["body"].as_str().unwrap();
    assert!(told.contains("[credential]"), "{told}");
    let path = node.process.folder().join("captures.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&token[..40]), "{text}");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn routes_say_what_is_captured_and_how_much() {
    let node = plan()
        .api(
            "open",
            "authentication: none, capture: { bodies: [request], max_bytes: 10, content_types: [\"text/*\"] }, routes: [ { match: { prefix: /closed }, capture: none }, { match: { prefix: / } }, { match: { path: /fixed }, respond: { status: 200, body: well } } ]",
        )
        .start()
        .await;
    let text = ("content-type", "text/plain");
    for (path, header, body) in [
        ("/open/closed/x", text, "not this"),
        ("/open/fixed", text, "nor this"),
        ("/open/x", JSON, "{}"),
        ("/open/x", text, ""),
        ("/open/x", text, "0123456789ab"),
        ("/open/x", text, "0123456789"),
    ] {
        node.call("POST", path, &[header], body).await;
    }
    let lines = lines(&node, 2).await;
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert_eq!(lines[0]["request"]["body"], "0123456789");
    assert_eq!(lines[0]["request"]["cut"], "max_bytes");
    assert_eq!(lines[0]["request"]["bytes"], 12);
    assert_eq!(lines[1]["request"].get("cut"), None);
    assert!(lines.iter().all(|line| line.get("response").is_none()));
}

#[tokio::test]
async fn a_body_that_is_sent_twice_is_captured_once() {
    let breaking = Upstream::scripted(Script::new().reset()).await;
    let node = plan()
        .upstream(
            "pair",
            &[
                breaking.url(),
                breaking.url().replace("127.0.0.1", "localhost"),
            ],
            "retries: { attempts: 3, on: [connect, reset, 503] }",
        )
        .api_at("pair", "/pair", "pair", "authentication: none, capture: {}")
        .start()
        .await;
    let request = "{\"a\":1}";
    // Safe, so that it may be repeated, and with a body all the same.
    let answer = node.call("OPTIONS", "/pair/x", &[JSON], request).await;
    check_problem(&answer, 502, "upstream_failed");
    let lines = lines(&node, 1).await;
    assert_eq!(lines[0]["request"]["body"], request);
    assert_eq!(lines[0]["request"]["bytes"], request.len());
    assert_eq!(lines[0]["code"], "upstream_failed");
    assert!(breaking.received().len() >= 2, "it was sent again");
}

#[tokio::test]
async fn what_is_compressed_or_none_of_its_kind_is_not_written() {
    let node = plan()
        .api(
            "open",
            "authentication: none, capture: { bodies: [request] }",
        )
        .start()
        .await;
    node.call(
        "POST",
        "/open/x",
        &[JSON, ("content-encoding", "gzip")],
        "hunter2",
    )
    .await;
    node.call("POST", "/open/x", &[JSON], "{'password':'hunter2'}")
        .await;
    let lines = lines(&node, 2).await;
    assert_eq!(lines[0]["request"]["omitted"], "compressed");
    assert_eq!(lines[1]["request"]["omitted"], "malformed");
    assert!(!format!("{lines:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_file_that_was_moved_away_gets_a_successor_and_one_that_is_full_no_more() {
    let node = Plan::default()
        .settings("workers: 1\ncaptures: { file: captures.jsonl, max_size: 600 }")
        .api(
            "open",
            "authentication: none, capture: { bodies: [request] }",
        )
        .start()
        .await;
    let call = async || node.call("POST", "/open/x", &[JSON], "{\"a\":1}").await;
    call().await;
    lines(&node, 1).await;
    let path = node.process.folder().join("captures.jsonl");
    std::fs::rename(&path, path.with_extension("1")).unwrap();
    call().await;
    assert_eq!(lines(&node, 1).await.len(), 1);
    for _ in 0..5 {
        call().await;
    }
    // Seven calls, of which each is written or dropped.
    let mut waited = Duration::ZERO;
    loop {
        let page = node
            .process
            .operations_get("/metrics")
            .await
            .unwrap()
            .text();
        let count = |outcome: &str| -> u64 {
            let name = format!("keyward_captured_calls_total{{outcome=\"{outcome}\"}} ");
            let line = page.lines().find_map(|line| line.strip_prefix(&name));
            line.expect(&page).parse().unwrap()
        };
        if count("written") + count("dropped") == 7 {
            assert!(count("dropped") > 0);
            break;
        }
        assert!(waited < PATIENCE, "{page}");
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
    let size = path.metadata().unwrap().len();
    assert!(size > 100 && size <= 600, "{size}");
    let (status, log) = node.process.stop().await;
    assert!(status.success(), "{log}");
    assert!(
        log.contains("the file would have more than 600 bytes"),
        "{log}"
    );
}

#[tokio::test]
async fn an_operator_switches_all_captures_off() {
    let node = Plan::default()
        .settings("workers: 1\ncaptures: none")
        .api("open", "authentication: none, capture: {}")
        .start()
        .await;
    let folder = node.process.folder().to_owned();
    check_passed(&node.call("POST", "/open/x", &[JSON], "{\"a\":1}").await);
    let page = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    assert!(!page.contains("keyward_captured_calls_total"));
    let data = std::fs::read_dir(folder).unwrap().flatten();
    assert!(
        data.into_iter()
            .all(|entry| !entry.file_name().to_string_lossy().contains("captures"))
    );
}

#[tokio::test]
async fn a_reload_changes_the_file_and_how_much_may_be_held() {
    let node = plan()
        .api(
            "open",
            "authentication: none, capture: { bodies: [request] }",
        )
        .start()
        .await;
    let call = async |body: &str| check_passed(&node.call("POST", "/open/x", &[JSON], body).await);
    call("{\"number\":1}").await;
    assert_eq!(lines(&node, 1).await.len(), 1);
    edit(&node.process, |text| {
        text.replace(
            "file: captures.jsonl",
            "file: elsewhere.jsonl, memory: 1MiB",
        )
    });
    until_metric(&node.process, "keyward_revision", 2).await;
    call("{\"number\":2}").await;
    let elsewhere = node.process.folder().join("elsewhere.jsonl");
    keyward_testkit::until("a line in the other file", async || {
        std::fs::read_to_string(&elsewhere).is_ok_and(|text| text.contains("number\\\":2"))
    })
    .await;
    assert_eq!(lines(&node, 1).await.len(), 1);
    let log = node.process.log();
    assert!(!log.contains("can't change in a running process"), "{log}");
}
