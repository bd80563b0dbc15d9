//! The client in Python.

use super::Http3Node;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The pseudo-header fields of a GET.
pub(super) const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "gateway.test"),
    (":path", "/open/x"),
];

/// The pseudo-header fields of a POST.
pub(super) const POST: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "gateway.test"),
    (":path", "/open/x"),
];

/// A header section.
pub(super) fn headers(fields: &[(&str, &str)]) -> Value {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| json!([name, value]))
        .collect();
    json!(["headers", fields])
}

/// A piece of a body.
pub(super) fn data(text: &str) -> Value {
    json!(["data", text])
}

/// A connection on which one request of these parts is sent.
pub(super) fn one(parts: &[Value]) -> Value {
    json!({ "requests": [ { "parts": parts } ] })
}

/// What became of each case, each on a connection of its own.
pub(super) async fn run(node: &Http3Node, cases: &[Value]) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../.venv/bin/python");
    assert!(
        python.is_file(),
        "aioquic is needed: `cargo xtask test` installs it into .venv"
    );
    let mut command = Command::new(python);
    command
        .arg(root.join("tests/it/protocols/http3/peer.py"))
        .arg(node.process.gateway().port().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (count, cases) = (cases.len(), json!(cases).to_string());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(cases.as_bytes()).unwrap();
        drop(input);
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let outcomes: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(outcomes.len(), count, "{errors}");
    outcomes
}

/// The status of the only request's answer.
pub(super) fn status(outcome: &Value) -> Option<u64> {
    outcome["requests"][0]["status"].as_u64()
}

/// A field of the only request's answer.
pub(super) fn field<'a>(outcome: &'a Value, name: &str) -> Option<&'a str> {
    let fields = outcome["requests"][0]["fields"].as_array()?;
    fields
        .iter()
        .find(|field| field[0] == name)
        .and_then(|field| field[1].as_str())
}
