//! gRPC through the gateway, with gRPC's own library for Python at both ends.

mod example;
mod faults;

use crate::gateway::open_node::{lines, until};
use keyward_testkit::{KeywardProcess, free_addresses};
use serde_json::{Map, Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

fn python() -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../.venv/bin/python");
    assert!(
        python.is_file(),
        "grpcio is needed: `cargo xtask test` installs it into .venv"
    );
    let mut command = Command::new(python);
    let peer: PathBuf = root.join("tests/it/grpc/peer.py");
    command.arg(peer);
    command
}

/// A process of Python's, which ends with the test.
pub(crate) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(arguments: &[String]) -> Self {
        let mut child = python()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A server, and where it is.
pub(crate) fn serve() -> (Peer, String) {
    let mut server = Peer::start(&["serve".to_owned()]);
    let address = format!("127.0.0.1:{}", server.line().trim());
    (server, address)
}

/// A node between the two, and the server.
struct GrpcNode {
    process: KeywardProcess,
    server: Peer,
    url: String,
}

impl GrpcNode {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With this said of the upstream besides.
    async fn with(rest: &str) -> Self {
        let (server, address) = serve();
        let url = format!("http://{address}");
        let process = node(&url, rest).await;
        Self {
            process,
            server,
            url,
        }
    }

    /// Makes these calls, one after the other, on one connection. What came of each, by its name.
    async fn calls(&self, names: &[&str]) -> Map<String, Value> {
        calls(&self.process, &["test.Echo"], names).await
    }

    /// The lines of the access log, once there are so many.
    async fn logged(&self, count: usize) -> Vec<Value> {
        let folder = self.process.folder();
        until("the calls are logged", || lines(&folder).len() >= count).await;
        lines(&folder)
    }
}

/// A node whose APIs go to this upstream.
async fn node(url: &str, rest: &str) -> KeywardProcess {
    let api = |name: &str, rest: &str| {
        format!(
            "  - {{ kind: api, name: {lower}, version: v1, state: published, base_path: /test.{name}, keep_base_path: true, upstream: grpc, {rest} }}\n",
            lower = name.to_lowercase(),
        )
    };
    let configuration = format!(
        r#"format: 1
listeners:
  - {{ address: 127.0.0.1:8080, serves: gateway, protocols: [http1, http2] }}
  - {{ address: 127.0.0.1:9090, serves: operations }}
workers: 2
access_log: {{ format: json, destination: {{ file: access.log }} }}
resources:
  - kind: upstream
    name: grpc
    protocol: http2
    targets: [ {{ url: "{url}" }} ]
    {rest}
{}{}{}"#,
        api("Echo", "authentication: none"),
        api(
            "Guarded",
            "authentication: { issuers: [self], audience: tests }"
        ),
        api(
            "Limited",
            "authentication: none, rate_limits: [ { by: address, requests: 1, per: 1h } ]"
        ),
    );
    KeywardProcess::start_configured(env!("CARGO_BIN_EXE_keyward"), &configuration, &[], &[]).await
}

/// Makes these calls at a node: `of` are the service, and where they are needed a token and roots.
pub(crate) async fn calls(
    process: &KeywardProcess,
    of: &[&str],
    names: &[&str],
) -> Map<String, Value> {
    let names = names.join("\n");
    let mut arguments = vec!["call".to_owned(), process.gateway().to_string()];
    arguments.extend(of.iter().map(|&one| one.to_owned()));
    let calling = tokio::task::spawn_blocking(move || {
        let mut client = Peer::start(&arguments);
        let mut input = client.input.take().unwrap();
        input.write_all(names.as_bytes()).unwrap();
        drop(input);
        let mut told = Map::new();
        while let Ok(Value::Object(one)) = serde_json::from_str(&client.line()) {
            told.extend(one);
        }
        told
    });
    calling.await.unwrap()
}

#[tokio::test]
async fn every_kind_of_call_passes() {
    let node = GrpcNode::start().await;
    let told = node
        .calls(&[
            "unary", "large", "empty", "counted", "none", "many", "sum", "mirror", "parallel",
        ])
        .await;
    let unary = json!({ "answer": "hello", "begin": "1", "seen": "3", "end": "2", "raw": "00ff" });
    let numbers: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    for (name, value) in [
        ("unary", unary),
        ("large", json!(3_000_000)),
        ("empty", json!(0)),
        ("counted", json!(["0", "1", "2", "3", "4"])),
        ("none", json!([])),
        ("many", json!(20_000)),
        ("sum", json!("500000")),
        ("mirror", json!(numbers)),
        ("parallel", json!(300 * 299 / 2)),
    ] {
        assert_eq!(told[name], json!({ "value": value }), "{name}");
    }
    for line in node.logged(308).await {
        assert_eq!(line["status"], 200, "{line}");
        assert_eq!(line["grpc_status"], 0, "{line}");
        assert_eq!(line.get("code"), None, "{line}");
    }
}

#[tokio::test]
async fn what_the_server_says_of_a_failure_arrives() {
    let node = GrpcNode::start().await;
    let told = node.calls(&["fail", "unknown", "remaining"]).await;
    assert_eq!(told["fail"]["code"], "FAILED_PRECONDITION");
    assert_eq!(told["fail"]["details"], "not today: 100 % für alle");
    assert_eq!(told["unknown"]["code"], "UNIMPLEMENTED");
    let remaining = told["remaining"]["value"].as_f64().unwrap();
    assert!(remaining > 0.0 && remaining < 5.5, "{remaining}");
    let statuses: Vec<_> = node
        .logged(3)
        .await
        .iter()
        .map(|line| line["grpc_status"].clone())
        .collect();
    assert_eq!(statuses, [json!(9), json!(12), json!(0)]);
}

#[tokio::test]
async fn a_deadline_and_a_cancelled_call_end_at_the_server_too() {
    let node = GrpcNode::start().await;
    let told = node.calls(&["deadline", "cancel"]).await;
    assert_eq!(told["deadline"]["code"], "DEADLINE_EXCEEDED");
    assert_eq!(told["cancel"], json!({ "value": "begun" }));
}

#[tokio::test]
async fn refusals_of_the_gateway_are_told_in_grpcs_way() {
    let node = GrpcNode::start().await;
    let told = node.calls(&["guarded", "elsewhere", "limited"]).await;
    for (name, code, details) in [
        ("guarded", "UNAUTHENTICATED", "token"),
        ("elsewhere", "UNIMPLEMENTED", "published"),
        ("limited", "UNAVAILABLE", "limit"),
    ] {
        let refused = &told[name];
        assert_eq!(refused["code"], code, "{refused}");
        let told = refused["details"].as_str().unwrap();
        assert!(told.contains(details), "{refused}");
        assert!(refused["metadata"]["request-id"].is_string(), "{refused}");
    }
    let challenge = &told["guarded"]["metadata"]["www-authenticate"];
    // There are two, of which Python's dictionary keeps the last.
    let challenge = challenge.as_str().unwrap();
    assert!(
        challenge.starts_with("Bearer") || challenge.starts_with("DPoP"),
        "{challenge}"
    );
    assert!(told["limited"]["metadata"]["retry-after"].is_string());
    let logged = node.logged(4).await;
    let line = logged.iter().find(|line| line["code"] == "token_missing");
    let line = line.unwrap();
    assert_eq!(
        (&line["status"], &line["grpc_status"]),
        (&json!(200), &json!(16))
    );
}

#[tokio::test]
async fn a_server_that_dies_is_told_as_unavailable() {
    let node = GrpcNode::start().await;
    let told = node.calls(&["die", "unary"]).await;
    assert_eq!(told["die"]["value"], json!([["one", "two"], "UNAVAILABLE"]));
    assert_eq!(told["unary"]["code"], "UNAVAILABLE");
    let logged = node.logged(2).await;
    assert_eq!(logged[0]["code"], "upstream_failed", "{logged:?}");
    assert_eq!(logged[0]["grpc_status"], 14);
    assert_eq!(logged[1]["code"], "upstream_unreachable");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_as_unavailable() {
    let [address] = free_addresses();
    let process = node(&format!("http://{address}"), "").await;
    let told = calls(&process, &["test.Echo"], &["unary", "mirror"]).await;
    assert_eq!(told["unary"]["code"], "UNAVAILABLE");
    assert_eq!(told["mirror"]["code"], "UNAVAILABLE");
}

#[tokio::test]
async fn a_health_check_asks_as_grpc_does() {
    for (check, healthy) in [
        ("grpc: true", 1),
        ("grpc: { service: test.Echo }", 1),
        ("grpc: { service: test.Nothing }", 0),
        ("http: { path: /healthz }", 0),
    ] {
        let rest = format!("health_check: {{ {check}, interval: 100ms, unhealthy: 1 }}");
        let node = GrpcNode::with(&rest).await;
        let name = format!(
            "keyward_upstream_healthy{{team=\"default\",upstream=\"grpc\",target=\"{}\"}} ",
            node.url
        );
        let holds = async {
            // A target counts as well until it was asked: twice is enough to see that it stays so.
            for _ in 0..2 {
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            }
            loop {
                let page = node
                    .process
                    .operations_get("/metrics")
                    .await
                    .unwrap()
                    .text();
                let value = page.lines().find_map(|line| line.strip_prefix(&name));
                if value.unwrap() == healthy.to_string() {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let held = tokio::time::timeout(std::time::Duration::from_secs(20), holds).await;
        assert!(held.is_ok(), "{check}\n{}", node.process.log());
        assert!(node.server.input.is_some());
    }
}
