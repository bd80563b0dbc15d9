//! The grid of `docs/ai/dialects.md`, cell by cell, judged by what is not ours: the vendors' own libraries ask a node for
//! each, and their own types read what comes (`judge.py`).

mod page;
pub(super) mod providers;

use super::{OPEN, fixture};
use crate::node::Plan;
use page::Grid;
use providers::{DIALECTS, FORMS, Providers};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A row of the grid, and the fixtures that show it: of the request, of the answer, of the stream.
struct Row {
    name: &'static str,
    request: &'static str,
    answer: Option<&'static str>,
    stream: Option<&'static str>,
}

const fn row(
    name: &'static str,
    request: &'static str,
    answer: Option<&'static str>,
    stream: Option<&'static str>,
) -> Row {
    Row {
        name,
        request,
        answer,
        stream,
    }
}

const ROWS: &[Row] = &[
    row("text", "text", Some("text"), None),
    row("stream", "stream", None, Some("text")),
    row("one tool", "one tool", Some("one tool"), Some("one tool")),
    row(
        "parallel tools",
        "parallel tools",
        Some("parallel tools"),
        Some("parallel tools"),
    ),
    row(
        "forced tool, by name",
        "forced tool",
        Some("one tool"),
        Some("one tool"),
    ),
    row(
        "forced tool, any",
        "required tool",
        Some("one tool"),
        Some("one tool"),
    ),
    row("no tool", "no tool", Some("text"), Some("text")),
    row("tool result", "tool result", Some("text"), Some("text")),
    row("image", "image", Some("text"), Some("text")),
    row("document", "document", Some("text"), Some("text")),
    row("schema", "schema", Some("schema"), None),
    row(
        "reasoning",
        "reasoning",
        Some("reasoning"),
        Some("reasoning"),
    ),
    row(
        "reasoning of an earlier turn",
        "reasoning again",
        Some("text"),
        Some("text"),
    ),
    row(
        "stop sequences",
        "stop sequences",
        Some("text"),
        Some("text"),
    ),
    row(
        "stop reasons",
        "text",
        Some("stop reasons"),
        Some("stop reasons"),
    ),
    row("usage", "text", Some("usage"), Some("usage")),
    row("seed", "seed", Some("text"), Some("text")),
    row(
        "log probabilities",
        "log probabilities",
        Some("log probabilities"),
        Some("log probabilities"),
    ),
    row("error", "text", Some("error"), None),
    row(
        "refused context length",
        "text",
        Some("context error"),
        None,
    ),
    row(
        "error in mid-stream",
        "stream",
        None,
        Some("error in mid-stream"),
    ),
];

/// Members of answers that the vendors' types, as they are installed here, do not have.
const UNKNOWN: &[(&str, &str)] = &[
    // Other providers of this dialect, and libraries, have what a model thought under these names.
    ("openai-chat", "/choices/message/reasoning_content"),
    ("openai-chat", "/choices/message/reasoning_details"),
    ("openai-chat", "/choices/delta/reasoning_content"),
    ("openai-chat", "/choices/delta/reasoning_details"),
    // Where Google's own addresses of this dialect have the signature of a call.
    ("openai-chat", "/choices/message/tool_calls/extra_content"),
    ("openai-chat", "/choices/delta/tool_calls/extra_content"),
    // The types have these in a whole answer, and not in a delta.
    ("openai-responses", "/logprobs/bytes"),
    ("openai-responses", "/logprobs/top_logprobs/bytes"),
    // The reference has it, the types do not.
    ("openai-responses", "/store"),
    ("openai-responses", "/response/store"),
    // Types of earlier versions have it in `response.function_call_arguments.done`.
    ("openai-responses", "/name"),
    // How long what was written to the cache is kept is known at a stream's end alone, where a provider tells it.
    ("anthropic", "/usage/cache_creation"),
];

/// One call of one cell.
struct Cell {
    form: &'static str,
    dialect: &'static str,
    row: &'static Row,
    /// The fixture that the provider answers with.
    answer: &'static str,
    stream: bool,
}

impl Cell {
    fn model(&self) -> String {
        providers::model(self.dialect, self.answer)
    }

    fn asked(&self) -> Value {
        let mut body = fixture("requests", self.form, self.row.request);
        if self.form == "gemini" {
            return body;
        }
        body["model"] = json!(self.model());
        if self.stream {
            body["stream"] = json!(true);
            if self.form == "openai-chat" {
                body["stream_options"] = json!({ "include_usage": true });
            }
        } else if let Some(body) = body.as_object_mut() {
            body.remove("stream");
            body.remove("stream_options");
        }
        body
    }

    fn told(&self) -> Value {
        json!({ "form": self.form, "model": self.model(), "stream": self.stream, "request": self.asked() })
    }

    fn what(&self) -> String {
        let streamed = if self.stream { ", streamed" } else { "" };
        format!(
            "{} from {}: {}{streamed}",
            self.form, self.dialect, self.row.name
        )
    }
}

/// What the vendor's library made of it, and what the grid says: where they differ.
fn differences(cell: &Cell, printed: &str, seen: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: String| found.push(format!("{}: {what}\n    {seen}", cell.what()));
    if !seen["broken"].is_null() {
        differ("the library or its types do not take it".to_owned());
        return found;
    }
    if let Some(code) = printed
        .strip_prefix("refused: `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        if seen["code"] != code || seen["status"] != 400 {
            differ(format!("not refused with {code}"));
        }
        if !seen["message"]
            .as_str()
            .is_some_and(|message| message.contains(cell.dialect))
        {
            differ("the refusal does not name the dialect".to_owned());
        }
        return found;
    }
    for (name, expected) in expected(cell) {
        if seen[name] != expected {
            differ(format!("`{name}` is not {expected}"));
        }
    }
    if !seen["error"].is_null() {
        let words = match cell.answer {
            "error" => "Rate limit reached",
            "error in mid-stream" => "The server had an error",
            _ => "",
        };
        if !seen["message"].as_str().unwrap().contains(words) {
            differ("the provider's words are lost".to_owned());
        }
        return found;
    }
    // Between two of one dialect nothing is left out; else it is told where something is.
    let noted = printed == "pass, noted";
    if noted == seen["left_out"].is_null() && (noted || cell.form == cell.dialect) {
        differ(format!("the grid says `{printed}`"));
    }
    for path in seen["unknown"].as_array().unwrap() {
        let path = path.as_str().unwrap();
        if !UNKNOWN.contains(&(cell.form, path)) {
            differ(format!("`{path}` is unknown to the vendor's type"));
        }
    }
    found
}

/// What the caller's library must have read.
fn expected(cell: &Cell) -> Vec<(&'static str, Value)> {
    let call = |city: &str| json!(["get_weather", { "city": city }]);
    let mut expected = match cell.answer {
        "text" => {
            let text = if cell.stream {
                "Hello thére 😀!"
            } else {
                "Hello there!"
            };
            vec![
                ("text", json!(text)),
                ("stop", json!("end")),
                ("calls", json!([])),
            ]
        }
        "one tool" => vec![
            ("calls", json!([call("Paris")])),
            ("stop", stopped_by_tools(cell)),
        ],
        "parallel tools" => vec![
            ("calls", json!([call("Paris"), call("London")])),
            ("stop", stopped_by_tools(cell)),
        ],
        "schema" => vec![("text", json!("{\"name\":\"Ada\",\"age\":36}"))],
        "reasoning" => vec![
            ("text", json!("4")),
            ("thought", json!("Adding two and two.")),
        ],
        "stop reasons" => vec![("text", json!("Hello th")), ("stop", json!("length"))],
        "usage" => {
            // Ollama counts nothing that it kept.
            let cached = if cell.dialect == "ollama" { 0 } else { 40 };
            vec![
                ("usage", json!([100, cached, 25])),
                ("text", json!("Hello there!")),
            ]
        }
        "log probabilities" => vec![("probabilities", json!([["Hi", -0.25]]))],
        "error" => vec![
            ("status", json!(429)),
            ("code", json!("provider_busy")),
            ("error", json!(class(cell.form, 429))),
        ],
        "context error" => vec![
            ("status", json!(400)),
            ("code", json!("provider_refused")),
            ("error", json!(class(cell.form, 400))),
        ],
        "error in mid-stream" => {
            vec![
                ("text", json!("Hel")),
                ("error", json!(class(cell.form, 200))),
            ]
        }
        other => panic!("nothing is said of {other}"),
    };
    if cell.stream && cell.answer != "error in mid-stream" {
        // Each event came as one, not all as a lump at the end.
        expected.push(("error", Value::Null));
    }
    expected
}

/// Responses are completed, whatever is in them.
fn stopped_by_tools(cell: &Cell) -> Value {
    match cell.form {
        "openai-responses" => json!("end"),
        _ => json!("tools"),
    }
}

/// Which class of the vendor's library a status, or an error in a stream (200), becomes.
fn class(form: &str, status: u16) -> &'static str {
    match (form, status) {
        ("gemini", 200) => "ServerError",
        ("gemini", _) => "ClientError",
        ("openai-responses", 200) => "Failed",
        (_, 429) => "RateLimitError",
        (_, 400) => "BadRequestError",
        ("anthropic", _) => "APIStatusError",
        _ => "APIError",
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// Has the vendors' libraries make these calls, and tells what they read.
pub(crate) async fn judged(gateway: String, cells: Vec<Value>) -> Vec<Value> {
    let python = root().join("../../.venv/bin/python");
    assert!(
        python.is_file(),
        "the vendors' libraries are needed: `cargo xtask test` installs them into .venv"
    );
    let work = json!({ "gateway": gateway, "cells": cells }).to_string();
    let output = tokio::task::spawn_blocking(move || {
        let mut judge = Command::new(python)
            .arg(root().join("tests/it/ai/judges/judge.py"))
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It reads all before it writes anything.
        judge
            .stdin
            .take()
            .unwrap()
            .write_all(work.as_bytes())
            .unwrap();
        judge.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn every_cell_of_the_printed_grid_is_what_the_vendors_libraries_read() {
    let grid = Grid::printed();
    let mut cells = Vec::new();
    for form in FORMS {
        let told: BTreeSet<&str> = grid.rows(form).collect();
        let known: BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
        assert!(
            told.is_subset(&known),
            "{form}: not judged: {:?}",
            told.difference(&known).collect::<Vec<_>>()
        );
        for row in ROWS.iter().filter(|row| told.contains(row.name)) {
            for dialect in DIALECTS {
                let calls = [(row.answer, false), (row.stream, true)];
                cells.extend(calls.into_iter().filter_map(|(answer, stream)| {
                    let answer = answer?;
                    Some(Cell {
                        form,
                        dialect,
                        row,
                        answer,
                        stream,
                    })
                }));
            }
        }
    }
    let providers = Providers::start().await;
    let mut plan = Plan::default().resource(OPEN);
    for resource in providers.resources() {
        plan = plan.resource(resource);
    }
    let node = plan.start().await;
    let asked = cells.iter().map(Cell::told).collect();
    let seen = judged(format!("http://{}", node.gateway()), asked).await;
    assert_eq!(seen.len(), cells.len());
    let mut wrong = Vec::new();
    for (cell, seen) in cells.iter().zip(&seen) {
        let printed = grid.cell(cell.form, cell.dialect, cell.row.name);
        wrong.extend(differences(cell, printed, seen));
    }
    assert!(
        wrong.is_empty(),
        "{} of {} calls are not what the page says:\n{}",
        wrong.len(),
        cells.len(),
        wrong.join("\n")
    );
}
