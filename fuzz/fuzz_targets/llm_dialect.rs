//! Requests, answers, errors and streams of every AI dialect, and the catalogue.

#![no_main]

use keyward_llm::catalogue::Catalogue;
use keyward_llm::form::{Event, events_of};
use keyward_llm::json::Members;
use keyward_llm::{Address, Context, Dialect, Error, StreamReader, StreamWriter, Target, passage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [choice, dialect, form, at, rest @ ..] = data else {
        return;
    };
    let context = Context {
        id: "0".to_owned(),
        now: 0,
    };
    let dialect = Dialect::ALL[usize::from(*dialect) % Dialect::ALL.len()];
    let form = Dialect::FORMS[usize::from(*form) % Dialect::FORMS.len()];
    let target = Target {
        model: "anthropic.m".to_owned(),
        ..Target::default()
    };
    match choice % 5 {
        0 => {
            let address = Address {
                model: "m".to_owned(),
                stream: at % 2 == 0,
            };
            if let Ok(request) = form.read_request(rest, &address)
                && let Ok(written) = dialect.write_request(&request, &target)
            {
                // What is written is an object, no name twice; wrapped, it may be too deep to be read again.
                match Members::read(&written.body) {
                    Ok(_) | Err(Error::TooLarge { .. }) => {}
                    Err(error) => panic!("{form} -> {dialect}: {error}"),
                }
            }
            if let Ok(members) = Members::read(rest) {
                let _passed = passage::request(form, &members, at % 2 == 0, &target);
            }
        }
        1 => {
            let _seen = passage::answer(dialect, rest);
            if let Ok(answer) = dialect.read_answer(rest, &context) {
                let asked = keyward_llm::form::Request::default();
                let _told = form.write_answer(&answer, &asked, &context);
                write(form, &events_of(&answer), &context);
            }
        }
        2 => {
            let failure = dialect.read_failure(400 + u16::from(*at), None, rest);
            assert!(form.write_failure(&failure, &context).is_ok());
        }
        3 => {
            let (first, second) = rest.split_at(usize::from(*at).min(rest.len()));
            let whole = read(dialect, &[rest], &context);
            assert_eq!(whole, read(dialect, &[first, second], &context));
            assert_eq!(whole.last(), Some(&Event::Ended));
            write(form, &whole, &context);
        }
        _ => {
            let _read = Catalogue::read(&String::from_utf8_lossy(rest));
        }
    }
});

fn read(dialect: Dialect, pieces: &[&[u8]], context: &Context) -> Vec<Event> {
    let mut reader = StreamReader::new(dialect, context);
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(reader.push(piece));
    }
    events.extend(reader.finish());
    events
}

fn write(form: Dialect, events: &[Event], context: &Context) {
    let asked = keyward_llm::form::Request::default();
    let mut writer = StreamWriter::new(form, &asked, context).expect("callers speak it");
    let mut out = Vec::new();
    for event in events {
        if writer.write(event, &mut out).is_err() {
            return;
        }
    }
    assert!(out.is_empty() || out.ends_with(b"\n\n"));
}
