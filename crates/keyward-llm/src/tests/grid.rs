//! The grid: each form that callers speak, with each dialect behind it, feature by feature. A cell is `pass` when the
//! provider's request, its answer and its stream hold what the documents say, and `refused` with the code otherwise;
//! anything else fails the test.

use super::fixture::{context, of, request, stream, target};
use super::round_trip::written;
use super::streams::{assemble, check_order, read};
use super::{page, requests};
use crate::form::{Answer, Part, Usage};
use crate::json::Json;
use crate::{Dialect, StreamReader};
use std::fmt::Write as _;

/// A feature, and the fixtures that show it: of the request, of the answer, of the stream.
struct Row {
    name: &'static str,
    request: Option<&'static str>,
    answer: Option<&'static str>,
    stream: Option<&'static str>,
}

const fn row(
    name: &'static str,
    request: Option<&'static str>,
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
    row("text", Some("text"), Some("text"), None),
    row("stream", Some("stream"), None, Some("text")),
    row(
        "one tool",
        Some("one tool"),
        Some("one tool"),
        Some("one tool"),
    ),
    row(
        "parallel tools",
        Some("parallel tools"),
        Some("parallel tools"),
        Some("parallel tools"),
    ),
    row(
        "forced tool, by name",
        Some("forced tool"),
        Some("one tool"),
        None,
    ),
    row(
        "forced tool, any",
        Some("required tool"),
        Some("one tool"),
        None,
    ),
    row("no tool", Some("no tool"), Some("text"), None),
    row("tool result", Some("tool result"), Some("text"), None),
    row("image", Some("image"), Some("text"), None),
    row("document", Some("document"), Some("text"), None),
    row("schema", Some("schema"), Some("schema"), None),
    row(
        "reasoning",
        Some("reasoning"),
        Some("reasoning"),
        Some("reasoning"),
    ),
    row(
        "reasoning of an earlier turn",
        Some("reasoning again"),
        Some("text"),
        None,
    ),
    row("stop sequences", Some("stop sequences"), Some("text"), None),
    row(
        "stop reasons",
        Some("text"),
        Some("stop reasons"),
        Some("stop reasons"),
    ),
    row("usage", Some("text"), Some("usage"), Some("usage")),
    row("seed", Some("seed"), Some("text"), None),
    row(
        "log probabilities",
        Some("log probabilities"),
        Some("log probabilities"),
        Some("log probabilities"),
    ),
];

#[test]
fn every_form_passes_or_is_refused_with_every_dialect() {
    let mut tables = String::new();
    for form in Dialect::FORMS {
        writeln!(tables, "### Callers who speak `{form}`\n").unwrap();
        write!(tables, "| feature |").unwrap();
        for dialect in Dialect::ALL {
            write!(tables, " {dialect} |").unwrap();
        }
        writeln!(tables, "\n|---|{}", "---|".repeat(Dialect::ALL.len())).unwrap();
        for row in ROWS {
            if row
                .request
                .is_some_and(|name| request(*form, name).is_none())
            {
                // Nobody can ask for it in this form.
                assert!(
                    ["seed", "log probabilities", "stop sequences"].contains(&row.name),
                    "{form}: {}",
                    row.name
                );
                continue;
            }
            write!(tables, "| {} |", row.name).unwrap();
            for dialect in Dialect::ALL {
                let cell = cell(*form, *dialect, row);
                let cell = cell.map_or_else(|code| format!("refused: `{code}`"), str::to_owned);
                write!(tables, " {cell} |").unwrap();
            }
            tables.push('\n');
        }
        for (name, check) in [
            ("error", failure as fn(Dialect, Dialect)),
            ("refused context length", context_failure),
            ("error in mid-stream", failure_in_stream),
        ] {
            write!(tables, "| {name} |").unwrap();
            for dialect in Dialect::ALL {
                check(*form, *dialect);
                tables.push_str(" pass |");
            }
            tables.push('\n');
        }
        tables.push('\n');
    }
    println!("{tables}");
    page::settle("grid", &tables);
}

/// The code of a refusal, or that everything is as it must be.
fn cell(form: Dialect, dialect: Dialect, row: &Row) -> Result<&'static str, &'static str> {
    let what = format!("{form} -> {dialect}: {}", row.name);
    let mut passed = "pass";
    if let Some(name) = row.request {
        let asked = request(form, name).unwrap();
        match dialect.write_request(&asked, &target(dialect)) {
            Ok(outgoing) => {
                // Between two of one dialect nothing is translated when it is served, and nothing noted.
                if form != dialect && outgoing.notes.len() > asked.notes.len() {
                    passed = "pass, noted";
                }
                requests::check("requests", dialect, name, &outgoing.body, &what);
                let streams = ["stream", "alt=sse"]
                    .iter()
                    .any(|word| outgoing.path.contains(word))
                    || Json::parse(&outgoing.body).unwrap().get("stream")
                        == Some(&Json::Bool(true));
                assert_eq!(streams, asked.stream, "{what}: {}", outgoing.path);
            }
            Err(error @ crate::Error::Unsupported { .. }) => {
                // The refusal is told in the caller's dialect.
                let told = form.write_failure(&(&error).into(), &context()).unwrap();
                assert!(
                    String::from_utf8(told).unwrap().contains(dialect.as_str()),
                    "{what}"
                );
                return Err(error.code());
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
    let mut whole = None;
    if let Some(name) = row.answer {
        let body = of("answers", dialect).get(name).unwrap().to_bytes();
        let answer = dialect.read_answer(&body, &context()).unwrap();
        let asked = request(form, row.request.unwrap()).unwrap();
        let told = form.write_answer(&answer, &asked, &context());
        let told = match told {
            Err(error @ crate::Error::Unsupported { .. }) => return Err(error.code()),
            told => told.unwrap(),
        };
        requests::check("answers", form, name, &told, &what);
        let again = form.read_answer(&told, &context()).unwrap();
        assert_eq!(essence(&again, form), essence(&answer, form), "{what}");
        whole = Some(answer);
    }
    if let Some(name) = row.stream {
        let events = read(dialect, &[&stream(dialect, name).unwrap()]);
        let answer = assemble(&events).unwrap();
        if let Some(whole) = whole
            && name != "log probabilities"
        {
            assert_eq!(
                content(&answer),
                content(&whole),
                "{what}: streamed as whole"
            );
        }
        let told = written(form, &events);
        let again = read(form, &[&told]);
        check_order(&again, &what);
        assert_eq!(
            essence(&assemble(&again).unwrap(), form),
            essence(&answer, form),
            "{what}: streamed"
        );
        frame(form, &told, &what);
    }
    Ok(passed)
}

/// What an answer says, whoever wrote it.
fn content(answer: &Answer) -> Vec<String> {
    let mut lines = Vec::new();
    for candidate in &answer.candidates {
        for part in &candidate.parts {
            let line = match part {
                Part::Text(text) => format!("text {text}"),
                Part::Refusal(text) => format!("refusal {text}"),
                Part::ToolCall(call) => {
                    let arguments: serde_json::Value =
                        serde_json::from_str(&call.arguments).unwrap();
                    format!(
                        "call {} {} {arguments} {:?}",
                        call.id, call.name, call.signature
                    )
                }
                Part::Thought(thought) => {
                    // A form without a place for the signature of a call has it behind the call.
                    let signed = format!("{:?}", thought.signature);
                    if let Some(call) = lines.pop_if(|last: &mut String| {
                        thought.redacted && last.starts_with("call ") && last.ends_with("None")
                    }) {
                        lines.push(call.replace("None", &signed));
                        continue;
                    }
                    format!("thought {} {signed}", thought.text)
                }
                Part::Image(_)
                | Part::Document(_)
                | Part::Audio(_)
                | Part::ToolResult(_)
                | Part::CachePoint(_) => panic!("{part:?} is no answer"),
            };
            lines.push(line);
        }
        lines.push(format!("stop {:?}", candidate.stop.reason));
        if !candidate.log_probabilities.is_empty() {
            lines.push(format!(
                "{} probabilities",
                candidate.log_probabilities.len()
            ));
        }
    }
    lines
}

/// What of an answer has to reach a caller of `form`: in another order where the form has one of its own, without what
/// it has no figure for.
fn essence(answer: &Answer, form: Dialect) -> (Vec<String>, Usage) {
    let mut lines = content(answer);
    let speaks_of_tokens = [
        Dialect::OpenAiChat,
        Dialect::OpenAiResponses,
        Dialect::Gemini,
    ]
    .contains(&form);
    if !speaks_of_tokens {
        lines.retain(|line| !line.ends_with("probabilities"));
    }
    // Forms have an order of their own: thoughts, words, calls.
    lines.sort();
    // A form that always has figures says 0 where none were told.
    let mut usage = answer.usage.unwrap_or_default();
    match form {
        Dialect::Anthropic => {}
        // It has one figure for what is kept, for however long.
        Dialect::OpenAiResponses => {
            usage.cache_write += std::mem::take(&mut usage.cache_write_hour)
        }
        Dialect::OpenAiChat
        | Dialect::Gemini
        | Dialect::Bedrock
        | Dialect::Ollama
        | Dialect::Cohere => (usage.cache_write, usage.cache_write_hour) = (0, 0),
    }
    (lines, usage)
}

/// What a stream of a form is like, beside what its events say.
fn frame(form: Dialect, bytes: &[u8], what: &str) {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.ends_with("\n\n"), "{what}");
    match form {
        Dialect::OpenAiChat => {
            assert_eq!(text.matches("data: [DONE]").count(), 1, "{what}");
            assert!(text.ends_with("data: [DONE]\n\n"), "{what}");
        }
        Dialect::Anthropic => {
            assert!(text.starts_with("event: message_start\n"), "{what}");
            assert!(text.contains("event: message_delta\n"), "{what}");
            assert!(
                text.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
                "{what}"
            );
            let starts = text.matches("event: content_block_start\n").count();
            assert_eq!(
                text.matches("event: content_block_stop\n").count(),
                starts,
                "{what}"
            );
        }
        Dialect::OpenAiResponses => {
            assert!(text.starts_with("event: response.created\n"), "{what}");
            assert!(!text.contains("[DONE]"), "{what}");
            let numbers: Vec<usize> = text
                .split("\"sequence_number\":")
                .skip(1)
                .map(|rest| rest.split([',', '}']).next().unwrap().parse().unwrap())
                .collect();
            assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "{what}");
        }
        Dialect::Gemini => {
            assert!(
                !text.contains("event:") && !text.contains("[DONE]"),
                "{what}"
            );
        }
        Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => panic!("{what}: no form"),
    }
}

fn told_failure(form: Dialect, dialect: Dialect, name: &str) {
    let what = format!("{form} -> {dialect}: {name}");
    let file = of("answers", dialect);
    let fixture = file.get(name).unwrap();
    let status = fixture.get("status").and_then(Json::as_u64).unwrap();
    let body = fixture.get("body").unwrap().to_bytes();
    let failure = dialect.read_failure(u16::try_from(status).unwrap(), None, &body);
    assert_eq!(u64::from(failure.status), status, "{what}");
    let told = form.write_failure(&failure, &context()).unwrap();
    requests::check("answers", form, name, &told, &what);
    let again = form.read_failure(failure.status, None, &told);
    let limited = failure.kind == crate::form::FailureKind::RateLimited;
    assert!(
        !limited || again.kind == failure.kind,
        "{what}: {:?}",
        again.kind
    );
    assert!(!failure.message.is_empty(), "{what}");
}

fn failure(form: Dialect, dialect: Dialect) {
    told_failure(form, dialect, "error");
}

fn context_failure(form: Dialect, dialect: Dialect) {
    let file = of("answers", dialect);
    let body = file
        .get("context error")
        .and_then(|error| error.get("body"))
        .unwrap();
    let failure = dialect.read_failure(400, None, &body.to_bytes());
    assert_eq!(
        failure.kind,
        crate::form::FailureKind::ContextLength,
        "{dialect}"
    );
    told_failure(form, dialect, "context error");
}

/// The caller gets what came before, then the error in their own dialect, and nothing behind it.
fn failure_in_stream(form: Dialect, dialect: Dialect) {
    let what = format!("{form} -> {dialect}: error in mid-stream");
    let bytes = stream(dialect, "error in mid-stream").unwrap();
    let mut reader = StreamReader::new(dialect, &context());
    let mut events = reader.push(&bytes);
    events.extend(reader.finish());
    let told = written(form, &events);
    let text = std::str::from_utf8(&told).unwrap();
    assert!(text.contains("Hel"), "{what}: {text}");
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    assert!(!last.contains("The server had an error"), "{what}: {last}");
    assert!(
        last.contains(r#""message":"The provider"#),
        "{what}: {last}"
    );
    let mark = match form {
        Dialect::OpenAiChat => "data: {\"error\":{",
        Dialect::OpenAiResponses => "event: response.failed\n",
        Dialect::Anthropic => "event: error\ndata: {\"type\":\"error\",\"error\":{",
        Dialect::Gemini => "data: {\"error\":{",
        Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => panic!("{what}: no form"),
    };
    assert!(last.starts_with(mark), "{what}: {last}");
    let again = assemble(&read(form, &[&told])).unwrap_err();
    assert!(again.message.starts_with("The provider"), "{what}");
}
