use super::fixture::{context, names, of, stream};
use crate::form::{Answer, Assembly, Event, Failure, Part};
use crate::{Dialect, StreamReader};

pub(super) fn read(dialect: Dialect, pieces: &[&[u8]]) -> Vec<Event> {
    let mut reader = StreamReader::new(dialect, &context());
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(reader.push(piece));
    }
    events.extend(reader.finish());
    assert!(reader.has_ended());
    events
}

pub(super) fn assemble(events: &[Event]) -> Result<Answer, Failure> {
    let mut assembly = Assembly::new();
    for event in events {
        assembly.take(event.clone());
    }
    assembly.finish()
}

/// That events keep the order which they promise.
#[track_caller]
pub(super) fn check_order(events: &[Event], what: &str) {
    let mut open: Vec<u32> = Vec::new();
    let mut known: Vec<u32> = Vec::new();
    let mut failed = false;
    for (at, event) in events.iter().enumerate() {
        assert!(
            !failed || *event == Event::Ended,
            "{what}: {event:?} behind a failure"
        );
        match event {
            Event::Opened { block, .. } => {
                assert!(!known.contains(block), "{what}: {block} opened twice");
                known.push(*block);
                open.push(*block);
            }
            Event::Text { block, .. }
            | Event::Arguments { block, .. }
            | Event::Signed { block, .. } => {
                assert!(
                    open.contains(block),
                    "{what}: {event:?} of a block that is not open"
                );
            }
            Event::Closed { block } => {
                assert!(open.contains(block), "{what}: {block} closed twice");
                open.retain(|other| other != block);
            }
            Event::Failed(_) => failed = true,
            Event::Ended => {
                assert_eq!(at + 1, events.len(), "{what}: something behind the end");
                assert!(failed || open.is_empty(), "{what}: {open:?} left open");
            }
            Event::Started { .. } | Event::Stopped { .. } | Event::Usage(_) => {}
        }
    }
    assert_eq!(events.last(), Some(&Event::Ended), "{what}");
}

#[test]
fn every_stream_gives_the_same_events_wherever_it_is_cut() {
    for dialect in Dialect::ALL {
        for name in names(&of("streams", *dialect)) {
            let bytes = stream(*dialect, &name).unwrap();
            let whole = read(*dialect, &[&bytes]);
            check_order(&whole, &format!("{dialect}: {name}"));
            for at in 0..bytes.len() {
                let (first, second) = bytes.split_at(at);
                assert_eq!(
                    read(*dialect, &[first, second]),
                    whole,
                    "{dialect}: {name}: cut at {at}"
                );
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(
                read(*dialect, &single),
                whole,
                "{dialect}: {name}: byte by byte"
            );
        }
    }
}

#[test]
fn every_stream_that_ends_early_is_told_as_failed() {
    for dialect in Dialect::ALL {
        for name in names(&of("streams", *dialect)) {
            let bytes = stream(*dialect, &name).unwrap();
            for at in 0..bytes.len() {
                let events = read(*dialect, &[&bytes[..at]]);
                check_order(&events, &format!("{dialect}: {name}: ends at {at}"));
                let stopped = events
                    .iter()
                    .any(|event| matches!(event, Event::Stopped { .. }));
                let failed = events.iter().any(|event| matches!(event, Event::Failed(_)));
                assert!(
                    stopped || failed,
                    "{dialect}: {name}: ends at {at}: neither whole nor failed"
                );
            }
        }
    }
}

#[test]
fn arguments_come_whole_and_once() {
    for dialect in Dialect::ALL {
        for (name, wanted) in [
            ("one tool", vec!["Paris"]),
            ("parallel tools", vec!["Paris", "London"]),
            ("mixed tools", vec!["Paris", "London"]),
        ] {
            let Some(bytes) = stream(*dialect, name) else {
                assert_eq!(name, "mixed tools", "{dialect}");
                continue;
            };
            let answer = assemble(&read(*dialect, &[&bytes])).unwrap();
            let calls: Vec<_> = answer.candidates[0]
                .parts
                .iter()
                .filter_map(|part| {
                    if let Part::ToolCall(call) = part {
                        let arguments: serde_json::Value =
                            serde_json::from_str(&call.arguments).unwrap();
                        Some((
                            call.name.clone(),
                            arguments["city"].as_str().unwrap().to_owned(),
                        ))
                    } else {
                        None
                    }
                })
                .collect();
            let wanted: Vec<_> = wanted
                .into_iter()
                .map(|city| ("get_weather".to_owned(), city.to_owned()))
                .collect();
            assert_eq!(calls, wanted, "{dialect}: {name}");
        }
    }
}

#[test]
fn text_comes_whole_with_letters_of_several_bytes() {
    for dialect in Dialect::ALL {
        let bytes = stream(*dialect, "text").unwrap();
        let answer = assemble(&read(*dialect, &[&bytes])).unwrap();
        assert_eq!(
            answer.candidates[0].parts,
            [Part::Text("Hello thére 😀!".to_owned())],
            "{dialect}"
        );
    }
}

#[test]
fn the_blocks_of_a_stream_are_bounded() {
    let mut blocks = String::new();
    for n in 0..=crate::MOST_BLOCKS {
        blocks.push_str(&format!("data: {{\"type\":\"content_block_start\",\"index\":{n},\"content_block\":{{\"type\":\"text\"}}}}\n\ndata: {{\"type\":\"content_block_stop\",\"index\":{n}}}\n\n"));
    }
    let events = read(Dialect::Anthropic, &[blocks.as_bytes()]);
    let [.., Event::Failed(failure), Event::Ended] = events.as_slice() else {
        panic!("it goes on");
    };
    assert_eq!(failure.code.as_deref(), Some("too_large"));
    assert_eq!(failure.kind.blame(), keyward_model::Blame::Upstream);
}

#[test]
fn a_sum_that_is_told_again_keeps_its_parts() {
    let bytes = stream(Dialect::Anthropic, "usage").unwrap();
    let usage = assemble(&read(Dialect::Anthropic, &[&bytes]))
        .unwrap()
        .usage
        .unwrap();
    assert_eq!((usage.cache_write, usage.cache_write_hour), (4, 6));
    assert_eq!((usage.input, usage.output), (100, 25));
}

#[test]
fn garbage_with_status_200_is_a_failure_and_never_an_answer() {
    for dialect in Dialect::ALL {
        for garbage in [
            "",
            "7",
            "[]",
            "null",
            "{}",
            "{\"a\":",
            "<html>502 Bad Gateway</html>",
            r#"{"id":"a","model":"m","usage":{}}"#,
            r#"{"choices":[],"candidates":[]}"#,
            r#"{"error":{"message":"The server had an error","code":500}}"#,
            r#"{"error":"The server had an error"}"#,
        ] {
            let failure = dialect
                .read_answer(garbage.as_bytes(), &context())
                .expect_err(garbage);
            assert_eq!(
                failure.kind.blame(),
                keyward_model::Blame::Upstream,
                "{dialect}: {garbage:?}: {failure:?}"
            );
        }
    }
    for status in ["failed", "cancelled"] {
        let body = format!(r#"{{"status":"{status}","error":null,"output":[]}}"#);
        let answer = Dialect::OpenAiResponses.read_answer(body.as_bytes(), &context());
        assert!(answer.is_err(), "{status}");
    }
    let body = br#"{"choices":[],"error":{"message":"Overloaded","code":503}}"#;
    let failure = Dialect::OpenAiChat
        .read_answer(body, &context())
        .unwrap_err();
    assert_eq!(
        (failure.because.as_deref(), failure.status),
        (Some("Overloaded"), 503)
    );
}

#[test]
fn garbage_is_a_failure_and_never_an_answer() {
    for dialect in Dialect::ALL {
        for garbage in [
            "data: {\"choices\": [\n\n",
            "<html>502 Bad Gateway</html>\n\n",
            "data: 7\n\n",
            "{\"a\":\n",
            "\0\0\0\u{10}\0\0\0\0\u{1}\u{2}\u{3}\u{4}zzzz",
            "",
        ] {
            let events = read(*dialect, &[garbage.as_bytes()]);
            assert!(
                matches!(events.as_slice(), [.., Event::Failed(_), Event::Ended]),
                "{dialect}: {garbage:?}: {events:?}"
            );
        }
    }
}
