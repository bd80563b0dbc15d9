//! What a node tells of its calls.

use super::{Example, call};
use keyward_testkit::{Upstream, until};
use serde_json::Value;

/// The text of a file in the node's folder, once it has a whole line.
async fn written(example: &Example, name: &str) -> String {
    let path = example.process.folder().join(name);
    until(format!("a line in {name}"), async || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    std::fs::read_to_string(&path).unwrap()
}

#[tokio::test]
async fn tracing() {
    use keyward_testkit::Script;
    let collector = Upstream::scripted(Script::answer("200 OK", &[], "")).await;
    let address = collector.address().to_string();
    let moved = [("127.0.0.1:4318", address.as_str())];
    let key = [("COLLECTOR_KEY", "hunter2")];
    let example = Example::with("tracing.yaml", &moved, &key).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    // The balancer has decided that it is recorded.
    assert_eq!(example.get("/orders/7", None, &parent).await.status, 200);
    let told = example.upstream.received().pop().unwrap();
    let told = told.head.field("traceparent").unwrap().to_owned();
    assert!(told.starts_with(&format!("00-{trace}-")) && told.ends_with("-01"));
    let line = written(&example, "access.log").await;
    assert!(
        line.contains(&format!("\"trace_id\":\"{trace}\"")),
        "{line}"
    );
    let (status, log) = example.process.stop().await;
    assert!(status.success() && !log.contains("hunter2"), "{log}");
    let export = collector.received().pop().expect(&log);
    assert_eq!(export.target(), "/v1/traces");
    assert_eq!(export.head.field("x-api-key"), Some("hunter2"));
    let has = |part: &str| {
        let mut windows = export.body.windows(part.len());
        windows.any(|window| window == part.as_bytes())
    };
    assert!(has("edge") && has("GET /orders"));
}

#[tokio::test]
async fn capture() {
    let example = Example::run("capture.yaml").await;
    let post = |path: &str| {
        let body = r#"{"order":7,"password":"x","iban":"DE02"}"#;
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for path in ["/orders/7", "/orders/import"] {
        let answer = call(example.process.gateway(), &post(path)).await;
        assert_eq!(answer.status, 200);
    }
    let lines = written(&example, "captures.jsonl").await;
    let line: Value = serde_json::from_str(&lines).expect("one line");
    assert_eq!(
        line["request"]["body"],
        r#"{"order":7,"password":"[masked]","iban":"[masked]"}"#
    );
    assert_eq!(line["path"], "/orders/import");
    assert!(line.get("response").is_none());
}

#[tokio::test]
async fn access_log() {
    let sample = [("sample: 0.1", "sample: 0")];
    let example = Example::with("access-log.yaml", &sample, &[]).await;
    for _ in 0..5 {
        assert_eq!(example.get("/orders/7?token=x", None, "").await.status, 200);
    }
    let refused = example.get("/nowhere?token=x", None, "").await;
    assert_eq!(refused.status, 404);
    // Of calls that pass none is left by this sample; failures are logged whatever it is.
    let text = written(&example, "access.log").await;
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(text.trim_end()).unwrap();
    let names: Vec<&str> = line
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    for name in names {
        assert!(
            [
                "time", "method", "path", "status", "code", "address", "total_us"
            ]
            .contains(&name),
            "{name}"
        );
    }
    assert_eq!(line["address"], "127.0.0.0");
    assert_eq!(line["code"], "not_found");
    assert!(!text.contains("token"));
}
