//! Traces: whose are continued, what upstreams are told, and what a collector gets.

use super::{LOOK_EVERY, PATIENCE, read};
use crate::node::{Node, Plan, check_passed, check_problem};
use crate::running::{edit, until_metric};
use keyward_testkit::{KeywardProcess, Script, Upstream, free_addresses};
use serde_json::Value;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const TAKEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

async fn collector() -> Upstream {
    Upstream::scripted(Script::new().write(TAKEN)).await
}

/// A node that sends its traces to the collector.
fn traced(collector: &Upstream, rest: &str) -> Plan {
    traced_to(collector.address(), rest)
}

/// A node that sends its traces to a collector at this address.
pub(super) fn traced_to(address: SocketAddr, rest: &str) -> Plan {
    Plan::default().settings(&format!(
        "workers: 1\naccess_log: {{ format: json, destination: {{ file: access.log }} }}\negress: {{ allow: [\"{address}\"] }}\ntracing: {{ endpoint: \"http://{address}\"{rest} }}"
    ))
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// The spans that the collector got, once there are so many.
async fn spans(collector: &Upstream, count: usize) -> Vec<Value> {
    let mut waited = Duration::ZERO;
    loop {
        let mut bodies = String::new();
        for export in collector.received() {
            assert_eq!((export.method(), export.target()), ("POST", "/v1/traces"));
            assert_eq!(
                export.head.field("content-type"),
                Some("application/x-protobuf")
            );
            assert_eq!(export.body.len() as u64, export.body_length);
            for byte in &export.body {
                write!(bodies, "{byte:02x}").unwrap();
            }
            bodies.push('\n');
        }
        let spans = read("spans", &bodies).as_array().unwrap().clone();
        if spans.len() >= count {
            return spans;
        }
        assert!(waited < PATIENCE, "{} of {count}: {spans:#?}", spans.len());
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
}

/// The value of a counter of traced calls.
pub(super) async fn traced_calls(node: &Node, outcome: &str) -> u64 {
    let page = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    let name = format!("keyward_traced_calls_total{{outcome=\"{outcome}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.expect(&page).parse().unwrap()
}

/// What the upstream was told.
fn told(node: &Node, name: &str) -> Option<String> {
    node.last_received().head.field(name).map(str::to_owned)
}

#[tokio::test]
async fn a_call_is_a_span_with_one_below_it_for_each_attempt() {
    let collector = collector().await;
    let [dead] = free_addresses();
    let node = traced(&collector, ", service_name: edge")
        .settings("trusted_proxies: [127.0.0.1]")
        .upstream(
            "gone",
            &[format!("http://{dead}"), "http://127.0.0.1:1".to_owned()],
            "retries: { attempts: 2 }",
        )
        .api("open", "authentication: none")
        .api_at("gone", "/gone", "gone", "authentication: none")
        .start()
        .await;
    let parent = traceparent("01");
    let headers = [
        ("traceparent", &*parent),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
        ("user-agent", "tester"),
    ];
    check_passed(
        &node
            .call("POST", "/open/secret?token=x", &headers, "12345")
            .await,
    );
    let own = told(&node, "traceparent").unwrap();
    assert_eq!(told(&node, "tracestate").unwrap(), "a=1,b=2");
    check_problem(&node.get("/gone/x", &[]).await, 502, "upstream_unreachable");
    check_problem(&node.get("/nowhere", &[]).await, 404, "not_found");

    let spans = spans(&collector, 6).await;
    assert_eq!(spans.len(), 6, "{spans:#?}");
    let [call, attempt] = &spans[..2] else {
        panic!("{spans:#?}")
    };
    assert_eq!(call["resource"]["service.name"], "edge");
    assert_eq!(call["scope"], "keyward");
    assert_eq!(
        (&call["trace_id"], &call["parent"]),
        (&TRACE.into(), &PARENT.into())
    );
    assert_eq!(
        (&call["kind"], &call["name"]),
        (&"SPAN_KIND_SERVER".into(), &"POST /open".into())
    );
    assert_eq!(
        (&call["status"], &call["state"]),
        (&"STATUS_CODE_UNSET".into(), &"a=1,b=2".into())
    );
    // Sampled; its parent is another process's, and that is known.
    assert_eq!(call["flags"], 0x301);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/open"),
        ("url.path", "/open/secret"),
        ("url.scheme", "http"),
        ("server.address", "api.example"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "tester"),
        ("keyward.api", "open"),
    ] {
        assert_eq!(call["attributes"][name], value, "{name}");
    }
    for (name, value) in [
        ("http.response.status_code", 200),
        ("server.port", 80),
        ("http.request.body.size", 5),
    ] {
        assert_eq!(call["attributes"][name], value, "{name}");
    }
    assert_eq!(attempt["kind"], "SPAN_KIND_CLIENT");
    assert_eq!(
        (&attempt["trace_id"], &attempt["parent"]),
        (&call["trace_id"], &call["span_id"])
    );
    // The upstream was told of the attempt, not of the call.
    assert_eq!(
        own,
        format!("00-{TRACE}-{}-01", attempt["span_id"].as_str().unwrap())
    );
    assert_eq!(
        attempt["attributes"]["server.port"],
        node.upstream.address().port()
    );
    assert_eq!(attempt["attributes"]["http.response.status_code"], 200);
    assert_eq!(attempt["flags"], 0x101);
    let time = |span: &Value, name: &str| span[name].as_u64().unwrap();
    assert!(time(call, "start") <= time(attempt, "start"));
    assert!(time(attempt, "start") <= time(attempt, "end"));
    assert!(time(attempt, "end") <= time(call, "end"));
    assert!(time(call, "start") > 1_700_000_000_000_000_000);
    assert!(
        !format!("{spans:?}").contains("token=x"),
        "a query is never told"
    );

    let [failed, first, second, unrouted] = &spans[2..] else {
        panic!("{spans:#?}")
    };
    assert_eq!(failed["status"], "STATUS_CODE_ERROR");
    assert_eq!(failed["attributes"]["error.type"], "upstream_unreachable");
    assert!(failed["parent"] == "" && failed["trace_id"] != TRACE);
    for (attempt, resent) in [(first, Value::Null), (second, 1.into())] {
        assert_eq!(attempt["parent"], failed["span_id"]);
        assert_eq!(attempt["status"], "STATUS_CODE_ERROR");
        assert_eq!(attempt["attributes"]["error.type"], "connection_failed");
        assert_eq!(attempt["attributes"]["http.request.resend_count"], resent);
    }
    // What a caller does wrong is no error of ours.
    assert_eq!(
        (&unrouted["name"], &unrouted["status"]),
        (&"GET".into(), &"STATUS_CODE_UNSET".into())
    );
    assert_eq!(unrouted["attributes"]["keyward.code"], "not_found");

    let log = std::fs::read_to_string(node.process.folder().join("access.log")).unwrap();
    let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["trace_id"], TRACE);
    assert_eq!(line["request_id"], call["attributes"]["keyward.request_id"]);
}

#[tokio::test]
async fn a_stranger_neither_joins_a_trace_nor_has_calls_recorded() {
    let collector = collector().await;
    let node = traced(&collector, ", sample: 0")
        .api("open", "authentication: none")
        .start()
        .await;
    let parent = traceparent("01");
    check_passed(
        &node
            .get(
                "/open/x",
                &[("traceparent", &parent), ("tracestate", "a=1")],
            )
            .await,
    );
    let own = told(&node, "traceparent").unwrap();
    assert!(
        own.starts_with("00-") && own.ends_with("-02") && !own.contains(TRACE),
        "{own}"
    );
    assert_eq!(told(&node, "tracestate"), None);
    node.process.stop().await;
    assert!(collector.received().is_empty());
}

#[tokio::test]
async fn whoever_is_believed_by_all_still_does_not_say_what_is_recorded() {
    let collector = collector().await;
    let node = traced(&collector, ", sample: 0, believe: everyone")
        .api("open", "authentication: none")
        .start()
        .await;
    let parent = traceparent("01");
    check_passed(&node.get("/open/x", &[("traceparent", &parent)]).await);
    let own = told(&node, "traceparent").unwrap();
    assert!(
        own.starts_with(&format!("00-{TRACE}-")) && own.ends_with("-00"),
        "{own}"
    );
    for malformed in [
        "00-0",
        &traceparent("01").to_uppercase(),
        &format!("ff{}", &parent[2..]),
    ] {
        check_passed(&node.get("/open/x", &[("traceparent", malformed)]).await);
        let own = told(&node, "traceparent").unwrap();
        assert!(!own.contains(TRACE), "{malformed} -> {own}");
    }
    node.process.stop().await;
    assert!(collector.received().is_empty());
}

#[tokio::test]
async fn without_tracing_the_headers_pass_untouched() {
    let node = Plan::default()
        .api("open", "authentication: none")
        .start()
        .await;
    let parent = traceparent("01");
    check_passed(
        &node
            .get(
                "/open/x",
                &[("traceparent", &parent), ("tracestate", "a=1")],
            )
            .await,
    );
    assert_eq!(told(&node, "traceparent").unwrap(), parent);
    assert_eq!(told(&node, "tracestate").unwrap(), "a=1");
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 0\r\n\r\n";
    let collector =
        Upstream::scripts(vec![Script::new().write(busy), Script::new().write(TAKEN)]).await;
    let node = traced(
        &collector,
        ", headers: { authorization: \"Bearer hunter2\" }",
    )
    .api("open", "authentication: none")
    .start()
    .await;
    check_passed(&node.get("/open/x", &[]).await);
    let mut waited = Duration::ZERO;
    while traced_calls(&node, "exported").await < 1 {
        assert!(waited < PATIENCE, "{}", node.process.log());
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
    let exports = collector.received();
    assert_eq!(exports.len(), 2);
    assert_eq!(exports[0].body, exports[1].body);
    assert_eq!(
        exports[1].head.field("authorization"),
        Some("Bearer hunter2")
    );
    assert_eq!(traced_calls(&node, "given_up").await, 0);
    let (_, log) = node.process.stop().await;
    assert!(
        log.contains("the collector answered 503") && log.contains("takes them again"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn a_collector_that_refuses_or_is_gone_holds_no_call_up() {
    let refusing = Upstream::scripted(
        Script::new().write("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
    )
    .await;
    let node = traced(&refusing, "")
        .api("open", "authentication: none")
        .start()
        .await;
    check_passed(&node.get("/open/x", &[]).await);
    let mut waited = Duration::ZERO;
    while traced_calls(&node, "given_up").await < 1 {
        assert!(waited < PATIENCE, "{}", node.process.log());
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
    assert_eq!(
        refusing.received().len(),
        1,
        "what is refused for good is not sent again"
    );
    drop(refusing);
    for _ in 0..20 {
        check_passed(&node.get("/open/x", &[]).await);
    }
    let (status, log) = node.process.stop().await;
    assert!(status.success(), "{log}");
}

#[tokio::test]
async fn what_is_left_at_the_end_is_exported() {
    let collector = collector().await;
    let node = traced(&collector, "")
        .api("open", "authentication: none")
        .start()
        .await;
    for _ in 0..5 {
        check_passed(&node.get("/open/x", &[]).await);
    }
    let (status, log) = node.process.stop().await;
    assert!(status.success(), "{log}");
    assert_eq!(spans(&collector, 10).await.len(), 10);
}

#[tokio::test]
async fn a_mirrors_spans_stand_below_the_calls_and_a_stranger_writes_into_neither() {
    let (collector, mirror) = (collector().await, Upstream::echo().await);
    let node = traced(&collector, "")
        .upstream("mirror", &[mirror.url()], "")
        .api(
            "open",
            "authentication: none, capture: {}, routes: [ { mirror: { upstream: mirror, percent: 100 } } ]",
        )
        .start()
        .await;
    let parent = traceparent("01");
    check_passed(
        &node
            .get(
                "/open/x",
                &[("traceparent", &parent), ("tracestate", "a=1")],
            )
            .await,
    );
    let mut waited = Duration::ZERO;
    while mirror.received().is_empty() {
        assert!(waited < PATIENCE, "{}", node.process.log());
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
    let spans = spans(&collector, 2).await;
    let copy = mirror.received().pop().unwrap();
    let [trace, span] = ["trace_id", "span_id"].map(|name| spans[0][name].as_str().unwrap());
    assert_ne!(trace, TRACE);
    assert_eq!(
        copy.head.field("traceparent").unwrap(),
        format!("00-{trace}-{span}-03")
    );
    assert_eq!(copy.head.field("tracestate"), None);
    // A copy is no attempt of the call's, and nothing of it is told twice.
    assert_eq!(spans.len(), 2, "{spans:#?}");
}

#[tokio::test]
async fn calls_of_http2_are_traced_and_captured_as_others() {
    let collector = collector().await;
    let upstream = Upstream::echo().await;
    let (at, to) = (collector.address(), upstream.url());
    let configuration = format!(
        r#"format: 1
listeners:
  - {{ address: 127.0.0.1:8080, serves: gateway, protocols: [http1, http2] }}
  - {{ address: 127.0.0.1:9090, serves: operations }}
captures: {{ file: captures.jsonl }}
egress: {{ allow: ["{at}"] }}
tracing: {{ endpoint: "http://{at}" }}
resources:
  - {{ kind: upstream, name: echo, targets: [ {{ url: "{to}" }} ] }}
  - {{ kind: api, name: open, version: v1, state: published, base_path: /open, upstream: echo, authentication: none, capture: {{ bodies: [request] }} }}
"#
    );
    let binary = env!("CARGO_BIN_EXE_keyward");
    let process = KeywardProcess::start_configured(binary, &configuration, &[], &[]).await;
    let node = Node { process, upstream };
    let url = format!("http://{}/open/x", node.gateway());
    let curl = tokio::task::spawn_blocking(move || {
        let mut command = std::process::Command::new("curl");
        command.args([
            "-s",
            "--http2-prior-knowledge",
            "-H",
            "content-type: application/json",
        ]);
        command
            .args(["-d", r#"{"a":1,"token":"x"}"#, &url])
            .output()
    });
    let output = curl.await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let spans = spans(&collector, 2).await;
    let attributes = &spans[0]["attributes"];
    assert_eq!(attributes["network.protocol.version"], "2");
    assert_eq!(attributes["server.address"], "127.0.0.1");
    assert_eq!(attributes["server.port"], node.gateway().port());
    let own = told(&node, "traceparent").unwrap();
    assert!(own.contains(spans[1]["span_id"].as_str().unwrap()), "{own}");
    let path = node.process.folder().join("captures.jsonl");
    let mut waited = Duration::ZERO;
    let line = loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.ends_with('\n') {
            break serde_json::from_str::<Value>(&text).unwrap();
        }
        assert!(waited < PATIENCE, "{}", node.process.log());
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    };
    assert_eq!(line["request"]["body"], r#"{"a":1,"token":"[masked]"}"#);
}

#[tokio::test]
async fn a_reload_changes_the_collector_and_the_share_that_is_recorded() {
    let (first, second) = (collector().await, collector().await);
    let node = traced(&first, ", sample: 0, service_name: edge")
        .api("open", "authentication: none")
        .start()
        .await;
    check_passed(&node.get("/open/unseen", &[]).await);
    let (old, new) = (first.address().to_string(), second.address().to_string());
    edit(&node.process, |text| {
        text.replace(
            &format!("endpoint: \"http://{old}\", sample: 0, service_name: edge"),
            &format!("endpoint: \"http://{new}\", sample: 1, service_name: moved"),
        )
    });
    // Where the egress may go is decided at the start: the new collector has to be one of these.
    until_metric(&node.process, "keyward_revision", 2).await;
    check_passed(&node.get("/open/seen", &[]).await);
    let failed = async || {
        let page = node
            .process
            .operations_get("/metrics")
            .await
            .unwrap()
            .text();
        page.contains("keyward_trace_export_failures_total 1")
    };
    keyward_testkit::until("the new collector is tried", failed).await;
    assert!(first.received().is_empty());
    edit(&node.process, |text| {
        text.replace(&format!("http://{new}"), &format!("http://{old}"))
    });
    until_metric(&node.process, "keyward_revision", 3).await;
    let spans = spans(&first, 2).await;
    assert_eq!(spans[0]["resource"]["service.name"], "moved");
    assert_eq!(spans[0]["name"], "GET /open");
    let log = node.process.log();
    assert!(!log.contains("can't change in a running process"), "{log}");
}
