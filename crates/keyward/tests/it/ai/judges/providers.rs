//! Providers of all seven dialects at one address: which recording one answers with is said by the path below which it is
//! called.

use super::super::fixture;
use base64::Engine as _;
use keyward_testkit::{Received, Script, Upstream};
use serde_json::Value;

/// The forms that callers speak.
pub(in super::super) const FORMS: [&str; 4] =
    ["openai-chat", "openai-responses", "anthropic", "gemini"];
/// The dialects that providers speak.
pub(in super::super) const DIALECTS: [&str; 7] = [
    "openai-chat",
    "openai-responses",
    "anthropic",
    "gemini",
    "bedrock-converse",
    "ollama",
    "cohere",
];
/// The recordings.
const ANSWERS: &[&str] = &[
    "text",
    "one tool",
    "parallel tools",
    "schema",
    "reasoning",
    "stop reasons",
    "usage",
    "log probabilities",
    "error",
    "context error",
    "error in mid-stream",
];
/// Streams come in pieces of so many bytes, which fall between events, within them and within letters.
const PIECE: usize = 61;

/// What callers call the model whose provider speaks this dialect and answers with this recording.
pub(in super::super) fn model(dialect: &str, answer: &str) -> String {
    format!("{dialect}-{}", answer.replace(' ', "-"))
}

/// What a provider of this dialect calls its model: Bedrock's abilities differ by whose it is.
pub(in super::super) fn asked_model(dialect: &str) -> &'static str {
    match dialect {
        "bedrock-converse" => "anthropic.claude-sonnet-5-v1:0",
        _ => "m",
    }
}

/// All of them.
pub(in super::super) struct Providers(Upstream);

impl Providers {
    pub(in super::super) async fn start() -> Self {
        Self(Upstream::choosing(answer).await)
    }

    /// A provider and a model for each recording of each dialect.
    pub(in super::super) fn resources(&self) -> Vec<String> {
        let mut resources = Vec::new();
        for dialect in DIALECTS {
            let asked = asked_model(dialect);
            for recording in ANSWERS {
                let name = model(dialect, recording);
                let path = recording.replace(' ', "-");
                let url = self.0.url();
                resources.push(format!(
                    "- {{ kind: provider, name: {name}, dialect: {dialect}, base_url: \"{url}/{dialect}/{path}\" }}"
                ));
                resources.push(format!(
                    "- {{ kind: model, name: {name}, targets: [ {{ provider: {name}, model: \"{asked}\" }} ], attempts: 1 }}"
                ));
            }
        }
        resources
    }
}

fn answer(asked: &Received) -> Script {
    let mut path = asked.target().split('/').skip(1);
    let dialect = path.next().unwrap_or_default().to_owned();
    let recording = path.next().unwrap_or_default();
    let recording = ANSWERS
        .iter()
        .find(|answer| answer.replace(' ', "-") == recording);
    let recording = recording.expect("the path of a provider names a recording");
    recorded(&dialect, recording, asked)
}

/// Answers as this recording does, whole or streamed, as it is asked.
pub(in super::super) fn recorded(dialect: &str, recording: &str, asked: &Received) -> Script {
    if streams(asked) {
        streamed(dialect, &fixture("streams", dialect, recording))
    } else {
        whole(&fixture("answers", dialect, recording))
    }
}

fn streams(asked: &Received) -> bool {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let target = asked.target();
    body["stream"] == true
        || target.contains("streamGenerateContent")
        || target.ends_with("/converse-stream")
}

fn whole(recorded: &Value) -> Script {
    match (recorded["status"].as_u64(), recorded.get("body")) {
        (Some(status), Some(body)) => Script::json(&format!("{status} Refused"), &[], body),
        _ => Script::json("200 OK", &[], recorded),
    }
}

fn streamed(dialect: &str, recorded: &Value) -> Script {
    let (content_type, bytes) = match dialect {
        "bedrock-converse" => {
            let frames = recorded["base64"].as_str().unwrap();
            let frames = base64::engine::general_purpose::STANDARD
                .decode(frames)
                .unwrap();
            ("application/vnd.amazon.eventstream", frames)
        }
        dialect => {
            let mut text = String::new();
            for event in recorded["events"].as_array().unwrap() {
                let name = event[0].as_str().unwrap();
                let data = match event[1].as_str() {
                    Some(data) => data.to_owned(),
                    None => event[1].to_string(),
                };
                text.push_str(&match (dialect, name) {
                    ("ollama", _) => format!("{data}\n"),
                    (_, "") => format!("data: {data}\n\n"),
                    (_, name) => format!("event: {name}\ndata: {data}\n\n"),
                });
            }
            let content_type = match dialect {
                "ollama" => "application/x-ndjson",
                _ => "text/event-stream",
            };
            (content_type, text.into_bytes())
        }
    };
    let pieces = bytes.chunks(PIECE);
    pieces
        .fold(Script::stream(content_type), |script, piece| {
            script
                .write(format!("{:x}\r\n", piece.len()))
                .write(piece)
                .write("\r\n")
        })
        .end()
}
