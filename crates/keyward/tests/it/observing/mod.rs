//! What a node tells of its calls: metrics and traces, read by others' libraries.

mod captures;
mod collector;
mod metrics;
mod top;
mod traces;

use serde_json::Value;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What Python's libraries make of what a node has written.
#[track_caller]
fn read(what: &str, text: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../.venv/bin/python");
    assert!(
        python.is_file(),
        "opentelemetry-proto and prometheus-client are needed: `cargo xtask test` installs them into .venv"
    );
    let mut child = Command::new(python)
        .arg(root.join("tests/it/observing/reader.py"))
        .arg(what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}
