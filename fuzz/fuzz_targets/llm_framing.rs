//! What finds events and values in bytes: server-sent events, the AWS event stream, lines, JSON.

#![no_main]

use keyward_llm::Error;
use keyward_llm::framing::event_stream::{self, Message};
use keyward_llm::framing::{Deframer, lines, sse};
use keyward_llm::json::{Json, Members};
use libfuzzer_sys::fuzz_target;

type Events = Vec<(String, Vec<u8>, bool)>;

fn read(mut reader: Deframer, pieces: &[&[u8]]) -> (Events, bool) {
    let mut events = Vec::new();
    let mut taker = |frame: keyward_llm::framing::Frame<'_>| {
        events.push((frame.name.to_owned(), frame.data.to_vec(), frame.exception));
        Ok(())
    };
    let mut sound = true;
    for piece in pieces {
        sound = sound && reader.push(piece, &mut taker).is_ok();
    }
    sound = sound && reader.finish(&mut taker).is_ok();
    (events, sound)
}

fuzz_target!(|data: &[u8]| {
    let [choice, at, rest @ ..] = data else {
        return;
    };
    let (first, second) = rest.split_at(usize::from(*at).min(rest.len()));
    let reader: fn() -> Deframer = match choice % 5 {
        0 => || Deframer::Sse(sse::Reader::new()),
        1 => || Deframer::EventStream(event_stream::Reader::new()),
        2 => || Deframer::Lines(lines::Reader::new()),
        3 => {
            if let Ok(message) = Message::read(rest) {
                let mut out = Vec::new();
                message
                    .write(&mut out)
                    .expect("what was read can be written");
                assert_eq!(Message::read(&out).expect("and read again"), message);
            }
            return;
        }
        _ => {
            json(rest);
            return;
        }
    };
    // What comes out does not hang on how the bytes come.
    assert_eq!(read(reader(), &[rest]), read(reader(), &[first, second]));
});

fn json(bytes: &[u8]) {
    let theirs = serde_json::from_slice::<serde_json::Value>(bytes);
    let ours = Json::parse(bytes);
    if let Ok(json) = &ours {
        let text = json.to_text();
        assert_eq!(Json::parse(text.as_bytes()).as_ref(), Ok(json));
        match theirs {
            Ok(theirs) => {
                assert_eq!(
                    serde_json::from_str::<serde_json::Value>(&text).ok(),
                    Some(theirs)
                );
            }
            Err(error) => assert!(error.to_string().contains("out of range"), "{error}"),
        }
    }
    if let (Ok(members), Ok(json)) = (Members::read(bytes), ours) {
        for name in members.names() {
            let value = members.get(name).expect("a member has a value");
            assert_eq!(Json::parse(value).as_ref().ok(), json.get(name));
        }
        let edited = members.edit(&[("model", Some("m".into()))]);
        match Members::read(&edited) {
            Ok(again) => assert_eq!(again.string("model").as_deref(), Some("m")),
            // It has one member more.
            Err(error) => assert!(matches!(error, Error::TooLarge { .. }), "{error}"),
        }
    }
}
