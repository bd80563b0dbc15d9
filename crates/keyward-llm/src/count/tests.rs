use super::*;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn texts_have_the_tokens_that_the_vocabulary_says() {
    // As `tiktoken.get_encoding("cl100k_base")` encodes them.
    assert_eq!(text(""), 0);
    assert_eq!(text("Hello, world!"), 4);
    assert_eq!(text("hello hello hello"), 3);
}

/// Vocabularies whose library searches anew for each pair take minutes for such a text.
#[test]
fn a_text_without_spaces_takes_no_longer_than_another() {
    let long = "a".repeat(COUNTED_MAX);
    assert!(text(&long) > 10_000);
}

#[test]
fn of_a_long_text_the_rest_is_taken_to_be_like_its_beginning() {
    let line = "the quick brown fox jumps over the lazy dog ";
    let long = line.repeat(40_000);
    let tokens = text(&long);
    let expected = text(&line.repeat(1_000)) * 40;
    assert!(
        tokens.abs_diff(expected) < expected / 20,
        "{tokens} of {expected}"
    );
}

#[test]
fn a_request_is_counted_by_what_it_says() {
    let count = |value: serde_json::Value| request(value.to_string().as_bytes());
    let short = count(
        json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello, world!" }] }),
    );
    assert_eq!(short, 4 + MESSAGE);
    let picture = "A".repeat(1 << 20);
    let shown = count(
        json!({ "contents": [{ "parts": [{ "inlineData": { "mimeType": "image/png", "data": picture } }] }] }),
    );
    assert_eq!(shown, PICTURE);
    let linked = count(
        json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{picture}") } }] }] }),
    );
    assert_eq!(linked, MESSAGE + PICTURE);
    assert_eq!(request(b"Hello, world!"), 4);
}

#[test]
fn a_stream_is_counted_by_what_it_said() {
    let chunk = |text: &str| {
        let chunk = json!({ "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{ "index": 0, "delta": { "content": text } }] });
        format!("data: {chunk}\n\n")
    };
    let mut seen = StreamCount::new(Dialect::OpenAiChat, &Context::default());
    for word in ["Hello", ", ", "world", "!"] {
        seen.push(chunk(word).as_bytes());
    }
    assert_eq!(seen.tokens(), 4);
    assert_eq!(seen.tokens(), 4);
    for _ in 0..5_000 {
        seen.push(chunk(" hello").as_bytes());
    }
    assert_eq!(seen.tokens(), 4 + 5_000);
    assert!(seen.unread.len() <= UNREAD_MAX);
}

proptest! {
    #[test]
    fn a_token_has_a_byte_at_least(said in any::<String>()) {
        prop_assert!(text(&said) <= said.len() as u64);
    }
}
