use super::event_stream::{Message, Value};
use super::{Deframer, MOST_EVENT_BYTES, event_stream, lines, sse};
use crate::error::Error;
use proptest::prelude::*;

type Events = Vec<(String, String, bool)>;

fn read(mut reader: Deframer, pieces: &[&[u8]]) -> (Events, Result<(), Error>) {
    let mut events = Vec::new();
    let mut taker = |frame: super::Frame<'_>| {
        let data = String::from_utf8_lossy(frame.data).into_owned();
        events.push((frame.name.to_owned(), data, frame.exception));
        Ok(())
    };
    let mut result = Ok(());
    for piece in pieces {
        result = result.and_then(|()| reader.push(piece, &mut taker));
    }
    result = result.and_then(|()| reader.finish(&mut taker));
    (events, result)
}

fn sse_reader() -> Deframer {
    Deframer::Sse(sse::Reader::new())
}

/// The same events, wherever the bytes are cut; twice too.
#[track_caller]
fn same_at_every_byte(reader: fn() -> Deframer, bytes: &[u8]) -> Events {
    let (events, result) = read(reader(), &[bytes]);
    result.unwrap();
    for at in 0..=bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(
            read(reader(), &[first, second]),
            (events.clone(), Ok(())),
            "cut at {at}"
        );
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(
        read(reader(), &single),
        (events.clone(), Ok(())),
        "byte by byte"
    );
    events
}

/// The examples of the HTML standard, section 9.2.6 (Interpreting an event stream), 2026.
#[test]
fn the_standards_examples_are_read_as_it_says() {
    let events = same_at_every_byte(sse_reader, b"data: YHOO\ndata: +2\ndata: 10\n\n");
    assert_eq!(events, [(String::new(), "YHOO\n+2\n10".into(), false)]);
    let events = same_at_every_byte(
        sse_reader,
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
    );
    let data: Vec<_> = events.iter().map(|(_, data, _)| data.as_str()).collect();
    assert_eq!(data, ["first event", "second event", " third event"]);
    let events = same_at_every_byte(sse_reader, b"data\n\ndata\ndata\n\ndata:\n");
    let data: Vec<_> = events.iter().map(|(_, data, _)| data.as_str()).collect();
    assert_eq!(data, ["", "\n", ""]);
}

#[test]
fn lines_end_in_three_ways_and_names_are_kept() {
    for end in ["\n", "\r", "\r\n"] {
        let text = format!(
            "\u{feff}event: add{end}data: 7é{end}{end}event: gone{end}{end}data: 8{end}{end}"
        );
        let events = same_at_every_byte(sse_reader, text.as_bytes());
        assert_eq!(
            events,
            [
                ("add".into(), "7é".into(), false),
                (String::new(), "8".into(), false)
            ]
        );
    }
}

#[test]
fn an_event_is_given_before_the_line_feed_of_its_last_return() {
    let (events, _) = read(sse_reader(), &[b"data: 1\r\n\r"]);
    assert_eq!(
        events.len(),
        1,
        "an event may not wait for a byte that comes with the next"
    );
}

#[test]
fn a_stream_cut_within_an_event_is_told() {
    let (events, result) = read(sse_reader(), &[b"data: 1\n\ndata: {\"a"]);
    assert_eq!(events.len(), 1);
    assert_eq!(result.unwrap_err().code(), "malformed_stream");
}

#[test]
fn an_event_without_end_is_bounded() {
    let piece = vec![b'x'; 1024 * 1024];
    for mut reader in [sse_reader(), Deframer::Lines(lines::Reader::new())] {
        let mut pushed = 0;
        let error = loop {
            pushed += piece.len();
            assert!(pushed <= MOST_EVENT_BYTES + piece.len(), "no bound");
            if let Err(error) = reader.push(&piece, &mut |_| Ok(())) {
                break error;
            }
        };
        assert_eq!(error.code(), "too_large");
    }
    let mut many_lines = sse_reader();
    let comment = [b":".as_slice(), &vec![b'x'; 1024 * 1024], b"\n"].concat();
    let bounded = (0..20).any(|_| many_lines.push(&comment, &mut |_| Ok(())).is_err());
    assert!(bounded, "comments count too");
}

fn aws() -> Deframer {
    Deframer::EventStream(event_stream::Reader::new())
}

/// The vectors of the AWS SDKs' documents: "Event stream encoding" of Smithy 2.0 (2026) gives the form; the bytes of
/// `empty_message` and `payload_no_headers` are those of the published test suite.
const EMPTY: [u8; 16] = [
    0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff,
];
const PAYLOAD: &[u8] =
    b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfd\x52\x8c\x5a{'foo':'bar'}\xc3\x65\x39\x36";

#[test]
fn published_messages_are_read_and_written() {
    assert_eq!(Message::read(&EMPTY).unwrap(), Message::default());
    let message = Message::read(PAYLOAD).unwrap();
    assert_eq!(message.payload, b"{'foo':'bar'}");
    for (message, bytes) in [(Message::default(), &EMPTY[..]), (message, PAYLOAD)] {
        let mut out = Vec::new();
        message.write(&mut out).unwrap();
        assert_eq!(out, bytes);
    }
}

#[test]
fn a_wrong_byte_anywhere_is_refused() {
    for at in 0..PAYLOAD.len() {
        let mut bytes = PAYLOAD.to_vec();
        bytes[at] ^= 1;
        let (events, result) = read(aws(), &[&bytes]);
        assert_eq!((events.len(), result.is_err()), (0, true), "byte {at}");
    }
}

#[test]
fn messages_are_found_wherever_they_are_cut() {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    for (kind, name, value) in [
        ("event", ":event-type", "contentBlockDelta"),
        ("exception", ":exception-type", "throttlingException"),
    ] {
        let headers = [(":message-type", kind), (name, value)];
        Message::new(&headers, "{\"p\":\"é\"}".as_bytes())
            .write(&mut bytes)
            .unwrap();
        ends.push(bytes.len());
    }
    let headers = [
        (":message-type", "error"),
        (":error-code", "Internal"),
        (":error-message", "why"),
    ];
    Message::new(&headers, b"").write(&mut bytes).unwrap();
    let events = same_at_every_byte(aws, &bytes);
    assert_eq!(
        events,
        [
            ("contentBlockDelta".into(), "{\"p\":\"é\"}".into(), false),
            ("throttlingException".into(), "{\"p\":\"é\"}".into(), true),
            ("Internal".into(), "why".into(), true),
        ]
    );
    for at in 1..bytes.len() {
        let (events, result) = read(aws(), &[&bytes[..at]]);
        assert!(events.len() < 3, "cut at {at}");
        assert_eq!(result.is_ok(), ends.contains(&at), "cut at {at}");
    }
}

#[test]
fn a_length_without_end_is_refused_before_it_is_waited_for() {
    let mut prelude = vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let crc = crc32fast::hash(&prelude);
    prelude.extend_from_slice(&crc.to_be_bytes());
    let (_, result) = read(aws(), &[&prelude]);
    assert_eq!(result.unwrap_err().code(), "too_large");
}

#[test]
fn lines_need_no_end_at_the_end() {
    let events = same_at_every_byte(
        || Deframer::Lines(lines::Reader::new()),
        "{\"a\":\"é\"}\r\n\n{\"b\":2}".as_bytes(),
    );
    let data: Vec<_> = events.iter().map(|(_, data, _)| data.as_str()).collect();
    assert_eq!(data, ["{\"a\":\"é\"}", "{\"b\":2}"]);
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::Byte),
        any::<i16>().prop_map(Value::Short),
        any::<i32>().prop_map(Value::Integer),
        any::<i64>().prop_map(Value::Long),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        any::<String>().prop_map(Value::String),
        any::<i64>().prop_map(Value::Timestamp),
        any::<[u8; 16]>().prop_map(Value::Uuid),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        headers in prop::collection::vec(("[a-z:-]{1,20}", any_value()), 0..6),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let message = Message { headers, payload };
        let mut out = Vec::new();
        message.write(&mut out).unwrap();
        prop_assert_eq!(Message::read(&out).unwrap(), message);
    }

    #[test]
    fn events_that_are_written_are_read(name in "[a-z._]{0,20}", data in "[^\r]{0,60}", at in any::<prop::sample::Index>()) {
        let mut out = Vec::new();
        sse::write(&name, &data, &mut out);
        sse::write("", "next", &mut out);
        let (first, second) = out.split_at(at.index(out.len()));
        let (events, result) = read(sse_reader(), &[first, second]);
        result.unwrap();
        prop_assert_eq!(&events[0], &(name, data, false));
        prop_assert_eq!(events.len(), 2);
    }

    #[test]
    fn any_bytes_are_read_alike_wherever_they_are_cut(bytes in "[\r\n: dataevn\u{e9}]{0,40}", at in any::<prop::sample::Index>()) {
        let bytes = bytes.as_bytes();
        let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
        prop_assert_eq!(read(sse_reader(), &[bytes]), read(sse_reader(), &[first, second]));
    }
}
