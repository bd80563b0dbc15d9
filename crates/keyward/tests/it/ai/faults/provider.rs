//! Providers that fail, each in one way: which way is said by the path below which it is called.

use super::super::fixture;
use keyward_testkit::{Received, Script, Upstream};
use serde_json::{Value, json};

/// How a provider fails, and what that is called in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NeverAnswers,
    FallsSilent,
    Refuses,
    ClosesAtOnce,
    HeadAlone,
    BusyWithTime,
    Busy,
    OverloadedWithTime,
    Fails,
    ErrorAsAnswer,
    AnotherType,
    Garbage,
    GarbageLater,
    CutEarly,
    Cut,
    NoEnd,
    HalfALetter,
    Huge,
    TwoEnds,
}

pub(super) const FAULTS: &[(Fault, &str)] = &[
    (Fault::NeverAnswers, "never answers"),
    (Fault::FallsSilent, "falls silent in its answer"),
    (Fault::Refuses, "can't be connected to"),
    (Fault::ClosesAtOnce, "closes without an answer"),
    (Fault::HeadAlone, "sends its headers, and closes"),
    (Fault::BusyWithTime, "429 with `Retry-After: 30`"),
    (Fault::Busy, "429 without `Retry-After`"),
    (Fault::OverloadedWithTime, "503 with `Retry-After: 30`"),
    (Fault::Fails, "500"),
    (Fault::ErrorAsAnswer, "200 with an error in it"),
    (Fault::AnotherType, "200 with another content type"),
    (Fault::Garbage, "garbage"),
    (Fault::GarbageLater, "garbage after the first token"),
    (Fault::CutEarly, "cut before the first token"),
    (Fault::Cut, "cut in mid-answer"),
    (Fault::NoEnd, "ends without saying why"),
    (Fault::HalfALetter, "ends within a letter"),
    (Fault::Huge, "100 MB"),
    (Fault::TwoEnds, "says twice that it ends"),
];

/// Larger than any answer that is taken.
const HUGE: u64 = 100 << 20;
/// A letter of several bytes that the recorded streams have, and how many of its bytes come.
const LETTER: &str = "😀";
const HALF: usize = 2;

impl Fault {
    /// Whether there is such a thing where answers are (not) streamed.
    pub(super) fn happens(self, streamed: bool) -> bool {
        match self {
            Self::GarbageLater | Self::CutEarly | Self::NoEnd | Self::TwoEnds => streamed,
            Self::NeverAnswers
            | Self::FallsSilent
            | Self::Refuses
            | Self::ClosesAtOnce
            | Self::HeadAlone
            | Self::BusyWithTime
            | Self::Busy
            | Self::OverloadedWithTime
            | Self::Fails
            | Self::ErrorAsAnswer
            | Self::AnotherType
            | Self::Garbage
            | Self::Cut
            | Self::HalfALetter
            | Self::Huge => true,
        }
    }

    /// How it is called in names.
    pub(super) fn slug(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// All of them at one address.
pub(super) async fn start() -> Upstream {
    Upstream::choosing(|asked| {
        let mut path = asked.target().split('/').skip(1);
        let dialect = path.next().unwrap_or_default().to_owned();
        let slug = path.next().unwrap_or_default();
        let (fault, _) = FAULTS
            .iter()
            .find(|(fault, _)| fault.slug() == slug)
            .unwrap();
        if streams(asked) {
            streamed(*fault, &dialect)
        } else {
            whole(*fault, &dialect)
        }
    })
    .await
}

fn streams(asked: &Received) -> bool {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    body["stream"] == true || asked.target().contains("streamGenerateContent")
}

fn head(content_type: &str, length: usize) -> Script {
    Script::new().write(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    ))
}

/// An error as providers of a dialect tell it.
fn error(dialect: &str, status: u16) -> Value {
    let message = "It is so.";
    match dialect {
        "anthropic" => {
            let kind = match status {
                429 => "rate_limit_error",
                503 => "overloaded_error",
                _ => "api_error",
            };
            json!({ "type": "error", "error": { "type": kind, "message": message } })
        }
        "gemini" => {
            let word = match status {
                429 => "RESOURCE_EXHAUSTED",
                503 => "UNAVAILABLE",
                _ => "INTERNAL",
            };
            json!({ "error": { "code": status, "status": word, "message": message } })
        }
        _ => {
            let code = match status {
                429 => "rate_limit_exceeded",
                503 => "server_is_overloaded",
                _ => "server_error",
            };
            json!({ "error": { "message": message, "type": "x", "param": null, "code": code } })
        }
    }
}

/// What does not depend on whether answers are streamed.
fn refused(fault: Fault, dialect: &str) -> Option<Script> {
    let told = |status: u16, phrase: &str, headers: &[(&str, &str)]| {
        let line = format!("{status} {phrase}");
        Some(Script::json(&line, headers, &error(dialect, status)))
    };
    match fault {
        Fault::NeverAnswers => Some(Script::new().wait_until_closed()),
        Fault::Refuses => panic!("nobody is there to be called"),
        Fault::ClosesAtOnce => Some(Script::new().close()),
        Fault::BusyWithTime => told(429, "Too Many Requests", &[("retry-after", "30")]),
        Fault::Busy => told(429, "Too Many Requests", &[]),
        Fault::OverloadedWithTime => told(503, "Service Unavailable", &[("retry-after", "30")]),
        Fault::Fails => told(500, "Internal Server Error", &[]),
        Fault::FallsSilent
        | Fault::HeadAlone
        | Fault::ErrorAsAnswer
        | Fault::AnotherType
        | Fault::Garbage
        | Fault::GarbageLater
        | Fault::CutEarly
        | Fault::Cut
        | Fault::NoEnd
        | Fault::HalfALetter
        | Fault::Huge
        | Fault::TwoEnds => None,
    }
}

fn whole(fault: Fault, dialect: &str) -> Script {
    const TYPE: &str = "application/json";
    if let Some(script) = refused(fault, dialect) {
        return script;
    }
    let body = fixture("answers", dialect, "text").to_string();
    let (begin, _) = body.split_at(body.len() / 2);
    match fault {
        Fault::FallsSilent => head(TYPE, body.len()).write(begin).wait_until_closed(),
        Fault::HeadAlone => head(TYPE, body.len()).close(),
        Fault::ErrorAsAnswer => Script::json("200 OK", &[], &error(dialect, 500)),
        Fault::AnotherType => {
            Script::answer("200 OK", &[("content-type", "text/html")], "<p>busy</p>")
        }
        Fault::Garbage => head(TYPE, 12).write("{\"choices\": ["),
        Fault::Cut => head(TYPE, body.len()).write(begin).reset(),
        Fault::HalfALetter => {
            let body = body.replace("Hello there!", LETTER);
            let end = body.find(LETTER).unwrap() + HALF;
            head(TYPE, end).write(&body.as_bytes()[..end])
        }
        Fault::Huge => Script::new()
            .write(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {TYPE}\r\ncontent-length: {HUGE}\r\n\r\n"
            ))
            .repeat([b' '; 1 << 16], HUGE >> 16),
        Fault::NeverAnswers
        | Fault::Refuses
        | Fault::ClosesAtOnce
        | Fault::BusyWithTime
        | Fault::Busy
        | Fault::OverloadedWithTime
        | Fault::Fails => panic!("{fault:?} was answered"),
        Fault::GarbageLater | Fault::CutEarly | Fault::NoEnd | Fault::TwoEnds => {
            panic!("{fault:?} is of streams alone")
        }
    }
}

/// The events of the recorded stream, as they are sent.
fn events(dialect: &str) -> Vec<String> {
    let recorded = fixture("streams", dialect, "text");
    let events = recorded["events"].as_array().unwrap().iter();
    events
        .map(|event| {
            let name = event[0].as_str().unwrap();
            let data = match event[1].as_str() {
                Some(data) => data.to_owned(),
                None => event[1].to_string(),
            };
            match name {
                "" => format!("data: {data}\n\n"),
                name => format!("event: {name}\ndata: {data}\n\n"),
            }
        })
        .collect()
}

fn sent(events: &[String]) -> Script {
    let script = Script::events();
    events
        .iter()
        .fold(script, |script, event| script.write_chunk(event))
}

fn streamed(fault: Fault, dialect: &str) -> Script {
    if let Some(script) = refused(fault, dialect) {
        return script;
    }
    let events = events(dialect);
    let first = events
        .iter()
        .position(|event| event.contains("Hello"))
        .unwrap()
        + 1;
    let begun = sent(&events[..first]);
    match fault {
        Fault::FallsSilent => begun.wait_until_closed(),
        Fault::HeadAlone => Script::events().close(),
        Fault::ErrorAsAnswer => {
            let (name, data) = match dialect {
                "anthropic" => ("error", error(dialect, 500)),
                "openai-responses" => ("error", json!({ "type": "error", "sequence_number": 0, "code": "server_error", "message": "It is so.", "param": null })),
                _ => ("", error(dialect, 500)),
            };
            Script::events().event(name, &data.to_string()).end()
        }
        Fault::AnotherType => Script::json("200 OK", &[], &fixture("answers", dialect, "text")),
        Fault::Garbage => Script::events().event("", "{\"choices\": [").end(),
        Fault::GarbageLater => begun.event("", "{\"choices\": [").end(),
        Fault::CutEarly => sent(&events[..first - 1]).reset(),
        Fault::Cut => begun.reset(),
        Fault::NoEnd => begun.end(),
        Fault::HalfALetter => {
            let text = events.iter().find(|event| event.contains(LETTER)).unwrap();
            let end = text.find(LETTER).unwrap() + HALF;
            begun
                .write(format!("{end:x}\r\n"))
                .write(&text.as_bytes()[..end])
                .write("\r\n")
                .end()
        }
        Fault::Huge => Script::new()
            .write(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {HUGE}\r\n\r\ndata: \""
            ))
            .repeat([b'x'; 1 << 16], HUGE >> 16),
        Fault::TwoEnds => {
            let ending = ["finish_reason\":\"stop", "message_delta", "response.completed", "finishReason"];
            let end = events
                .iter()
                .position(|event| ending.iter().any(|word| event.contains(word)))
                .unwrap();
            // Gemini's last event has text as well: only its end comes again.
            let again = events[end..].iter().map(|event| event.replace("\"!\"", "\"\""));
            again
                .fold(sent(&events), |script, event| script.write_chunk(&event))
                .end()
        }
        Fault::NeverAnswers
        | Fault::Refuses
        | Fault::ClosesAtOnce
        | Fault::BusyWithTime
        | Fault::Busy
        | Fault::OverloadedWithTime
        | Fault::Fails => panic!("{fault:?} was answered"),
    }
}
