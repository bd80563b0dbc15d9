//! What is read, written and read again in one dialect is the same.

use super::fixture::{context, names, of, request, stream, target};
use super::streams::{assemble, check_order, read};
use crate::form::{Answer, Event, Output, Request, events_of};
use crate::json::Json;
use crate::{Address, Dialect, StreamWriter};

#[test]
fn every_request_is_the_same_after_a_round() {
    for form in Dialect::FORMS {
        for name in names(&of("requests", *form)) {
            let asked = request(*form, &name).unwrap();
            let mut target = target(*form);
            // Ids of calls are for these models alone, and budgets for those before.
            target.quirks.reasoning_levels = name != "reasoning";
            let written = form.write_request(&asked, &target);
            let written = written.unwrap_or_else(|why| panic!("{form}: {name}: {why}"));
            let address = Address {
                model: "fast".to_owned(),
                stream: asked.stream,
            };
            let again = form.read_request(&written.body, &address).unwrap();
            let alike = |request: Request| Request {
                model: String::new(),
                notes: Vec::new(),
                ..request
            };
            // OpenAI's chat has no place for a signed thought in a request to its inventor.
            if (*form, name.as_str()) == (Dialect::OpenAiChat, "reasoning again") {
                assert!(!written.notes.is_empty());
                continue;
            }
            let (mut asked, mut again) = (alike(asked), alike(again));
            // What each means that is left out.
            for request in [&mut asked, &mut again] {
                for tool in &mut request.tools {
                    tool.strict.get_or_insert(false);
                }
                request.stream_usage = true;
                request.parallel_tools.get_or_insert(true);
                if let Some(reasoning) = &mut request.reasoning {
                    reasoning.shown = None;
                }
            }
            // Gemini's schemas have no word for closed objects: they all are.
            if let (Dialect::Gemini, Output::Schema(schema)) = (form, &mut asked.output) {
                let Json::Object(object) = &mut schema.schema else {
                    panic!("a schema is an object");
                };
                assert_eq!(object.take("additionalProperties"), Some(Json::Bool(false)));
            }
            assert_eq!(asked, again, "{form}: {name}");
        }
    }
}

fn answers(dialect: Dialect) -> Vec<(String, Answer)> {
    let file = of("answers", dialect);
    names(&file)
        .into_iter()
        .filter(|name| !name.ends_with("error"))
        .map(|name| {
            let body = file.get(&name).unwrap().to_bytes();
            let answer = dialect.read_answer(&body, &context());
            let answer = answer.unwrap_or_else(|why| panic!("{dialect}: {name}: {why:?}"));
            (name, answer)
        })
        .collect()
}

#[test]
fn every_answer_is_the_same_after_a_round() {
    for form in Dialect::FORMS {
        for (name, answer) in answers(*form) {
            let written = form.write_answer(&answer, &Request::default(), &context());
            let written = written.unwrap_or_else(|why| panic!("{form}: {name}: {why}"));
            let again = form.read_answer(&written, &context()).unwrap();
            assert_eq!(again, answer, "{form}: {name}");
        }
    }
}

pub(super) fn written(form: Dialect, events: &[Event]) -> Vec<u8> {
    let asked = Request {
        stream_usage: true,
        ..Request::default()
    };
    let mut writer = StreamWriter::new(form, &asked, &context()).unwrap();
    let mut out = Vec::new();
    for event in events {
        writer.write(event, &mut out).unwrap();
    }
    out
}

#[test]
fn every_stream_is_the_same_after_a_round() {
    for form in Dialect::FORMS {
        for name in names(&of("streams", *form)) {
            let bytes = stream(*form, &name).unwrap();
            let events = read(*form, &[&bytes]);
            let again = read(*form, &[&written(*form, &events)]);
            check_order(&again, &format!("{form}: {name}"));
            match (assemble(&events), assemble(&again)) {
                (Ok(first), Ok(second)) => assert_eq!(second, first, "{form}: {name}"),
                (Err(first), Err(second)) => {
                    assert_eq!(second.message, first.message, "{form}: {name}");
                }
                (first, second) => panic!("{form}: {name}: {first:?} {second:?}"),
            }
        }
    }
}

#[test]
fn an_answer_taken_apart_and_put_together_is_the_same() {
    for dialect in Dialect::ALL {
        for (name, answer) in answers(*dialect) {
            let events = events_of(&answer);
            check_order(&events, &format!("{dialect}: {name}"));
            assert_eq!(assemble(&events).unwrap(), answer, "{dialect}: {name}");
        }
    }
}
