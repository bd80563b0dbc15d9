//! The fixtures: requests, answers and streams, written by hand after the public documents that each file names.

use crate::form::Request;
use crate::json::Json;
use crate::{Address, Context, Dialect, Target};
use base64::Engine as _;
use std::path::{Path, PathBuf};

pub(super) fn context() -> Context {
    Context {
        id: "0123abcd".to_owned(),
        now: 1_764_500_000,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests")
}

pub(super) fn read(path: &str) -> Json {
    let bytes = std::fs::read(folder().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"));
    Json::parse(&bytes).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// What a kind of fixtures has of a dialect.
pub(super) fn of(kind: &str, dialect: Dialect) -> Json {
    read(&format!("fixtures/{kind}/{dialect}.json"))
}

/// The names of the fixtures in a file.
pub(super) fn names(file: &Json) -> Vec<String> {
    let members = file.as_object().unwrap().iter();
    members
        .map(|(name, _)| name.to_owned())
        .filter(|name| name != "follows")
        .collect()
}

pub(super) fn request(form: Dialect, name: &str) -> Option<Request> {
    let file = of("requests", form);
    let body = file.get(name)?.to_bytes();
    let address = Address {
        model: "fast".to_owned(),
        stream: name == "stream",
    };
    Some(
        form.read_request(&body, &address)
            .unwrap_or_else(|why| panic!("{form}: {name}: {why}")),
    )
}

/// The bytes of a recorded stream.
pub(super) fn stream(dialect: Dialect, name: &str) -> Option<Vec<u8>> {
    let file = of("streams", dialect);
    let fixture = file.get(name)?;
    if let Some(binary) = fixture.get("base64").and_then(Json::as_str) {
        return Some(
            base64::engine::general_purpose::STANDARD
                .decode(binary)
                .unwrap(),
        );
    }
    let mut bytes = Vec::new();
    for event in fixture.get("events").and_then(Json::as_array).unwrap() {
        let [name, data] = event.as_array().unwrap() else {
            panic!("an event has a name and data");
        };
        let name = name.as_str().unwrap();
        let data = data.as_str().map_or_else(|| data.to_text(), str::to_owned);
        let text = match (dialect, name) {
            (Dialect::Ollama, _) => format!("{data}\n"),
            (_, "") => format!("data: {data}\n\n"),
            (_, name) => format!("event: {name}\ndata: {data}\n\n"),
        };
        bytes.extend_from_slice(text.as_bytes());
    }
    Some(bytes)
}

pub(super) fn target(dialect: Dialect) -> Target {
    Target {
        model: match dialect {
            Dialect::Bedrock => "anthropic.claude-sonnet-5-v1:0".to_owned(),
            Dialect::OpenAiChat
            | Dialect::OpenAiResponses
            | Dialect::Anthropic
            | Dialect::Gemini
            | Dialect::Ollama
            | Dialect::Cohere => "m".to_owned(),
        },
        ..Target::default()
    }
}

#[test]
fn every_fixture_names_its_document() {
    for kind in ["requests", "answers", "streams"] {
        let dialects = if kind == "requests" {
            Dialect::FORMS
        } else {
            Dialect::ALL
        };
        for dialect in dialects {
            let file = of(kind, *dialect);
            for field in ["title", "publisher", "url", "date"] {
                let document = file.get("follows").and_then(|document| document.get(field));
                let told = document
                    .and_then(Json::as_str)
                    .is_some_and(|text| !text.is_empty());
                assert!(told, "{kind}/{dialect}: the document's {field}");
            }
        }
    }
}
