//! The provider: answers every call at once, in OpenAI's dialect or Anthropic's, as cheaply as one thread can.

use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The first word of every answer: with it the first token is there.
pub(crate) const FIRST_WORD: &[u8] = b"Alpha";
/// The last word of every answer: without it an answer is not whole.
pub(crate) const LAST_WORD: &[u8] = b"omega";
/// A path that begins so streams at a pace.
pub(crate) const SLOW: &str = "/slow";

/// Events of a stream between the first and the last word.
const EVENTS: usize = 30;
/// How far apart events are at a slow path, and how many there are: longer than anyone measures.
const SLOW_EVERY: Duration = Duration::from_millis(100);
const SLOW_EVENTS: usize = 600;
/// The largest head of a request: a token of some hundred bytes, and what proxies add.
const HEAD_BYTES: usize = 32 * 1024;
/// Read at once.
const PIECE_BYTES: usize = 256 * 1024;
/// So far from its two ends is a body looked at for what it asks: nobody writes it elsewhere.
const LOOKED_AT_BYTES: usize = 1024;

/// Where it listens.
#[derive(Args)]
pub(crate) struct Options {
    /// Address and port
    #[arg(long)]
    listen: SocketAddr,
}

/// Serves until it is killed.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the provider's runtime did not start: {error}"))?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|error| format!("{} can't be listened on: {error}", options.listen))?;
        let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
        loop {
            // A connection that could not be accepted is the load generator's to count.
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers));
            }
        }
    })
}

/// One dialect's answers, with their heads.
struct Answer {
    whole: Vec<u8>,
    /// The head and the first token.
    begin: Vec<u8>,
    /// What a slow stream repeats.
    event: Vec<u8>,
    rest: Vec<u8>,
}

struct Answers {
    openai: Answer,
    anthropic: Answer,
    plain: Vec<u8>,
}

/// What of a request decides on its answer.
struct Asked {
    anthropic: bool,
    slow: bool,
    streamed: bool,
    has_body: bool,
}

impl Answers {
    fn new() -> Self {
        let mut plain = Vec::new();
        with_head(&mut plain, &"x".repeat(crate::upstream::BODY_BYTES));
        Self {
            openai: openai(),
            anthropic: anthropic(),
            plain,
        }
    }
}

fn words() -> String {
    let mut text = String::from("Alpha");
    for word in 0..EVENTS {
        // Writing to a string does not fail.
        let _infallible = write!(text, " and then the word that is number {word},");
    }
    text + " omega"
}

fn with_head(answer: &mut Vec<u8>, body: &str) {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    answer.extend_from_slice(head.as_bytes());
    answer.extend_from_slice(body.as_bytes());
}

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(name: &str, data: &str) -> String {
    let event = if name.is_empty() {
        format!("data: {data}\n\n")
    } else {
        format!("event: {name}\ndata: {data}\n\n")
    };
    format!("{:x}\r\n{event}\r\n", event.len())
}

fn openai() -> Answer {
    let whole = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_764_500_000, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": words(), "refusal": null }, "logprobs": null, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 40, "completion_tokens": 200, "total_tokens": 240 },
    });
    let piece = |delta: Value, stop: Value| {
        let data = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_764_500_000, "model": "m",
            "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": stop }],
        });
        chunk("", &data.to_string())
    };
    let word = |text: &str| piece(json!({ "content": text }), Value::Null);
    let usage = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_764_500_000, "model": "m", "choices": [],
        "usage": { "prompt_tokens": 40, "completion_tokens": 200, "total_tokens": 240 },
    });
    let rest = [
        word(" omega"),
        piece(json!({}), json!("stop")),
        chunk("", &usage.to_string()),
        chunk("", "[DONE]"),
    ];
    let begin = piece(
        json!({ "role": "assistant", "content": "Alpha" }),
        Value::Null,
    );
    assembled(
        &whole,
        &begin,
        &word(" and then another word"),
        &rest.concat(),
    )
}

fn anthropic() -> Answer {
    let usage = json!({ "input_tokens": 40, "output_tokens": 200 });
    let whole = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{ "type": "text", "text": words() }], "stop_reason": "end_turn", "stop_sequence": null, "usage": usage,
    });
    let event = |name: &str, data: Value| chunk(name, &data.to_string());
    let word = |text: &str| {
        let delta = json!({ "type": "text_delta", "text": text });
        event(
            "content_block_delta",
            json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        )
    };
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 40, "output_tokens": 1 },
    });
    let begin = [
        event(
            "message_start",
            json!({ "type": "message_start", "message": message }),
        ),
        event(
            "content_block_start",
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        ),
        word("Alpha"),
    ];
    let rest = [
        word(" omega"),
        event(
            "content_block_stop",
            json!({ "type": "content_block_stop", "index": 0 }),
        ),
        event(
            "message_delta",
            json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "output_tokens": 200 } }),
        ),
        event("message_stop", json!({ "type": "message_stop" })),
    ];
    assembled(
        &whole,
        &begin.concat(),
        &word(" and then another word"),
        &rest.concat(),
    )
}

fn assembled(body: &Value, begin: &str, event: &str, end: &str) -> Answer {
    let mut whole = Vec::new();
    with_head(&mut whole, &body.to_string());
    Answer {
        whole,
        begin: format!("{STREAM_HEAD}{begin}").into_bytes(),
        event: event.as_bytes().to_vec(),
        rest: format!("{}{end}0\r\n\r\n", event.repeat(EVENTS)).into_bytes(),
    }
}

async fn serve(mut stream: TcpStream, answers: &'static Answers) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut buffer = Vec::with_capacity(PIECE_BYTES);
    while let Some(asked) = read(&mut stream, &mut buffer).await {
        let answer = if asked.anthropic {
            &answers.anthropic
        } else {
            &answers.openai
        };
        let written = match (asked.has_body, asked.streamed, asked.slow) {
            (false, ..) => stream.write_all(&answers.plain).await,
            (true, false, _) => stream.write_all(&answer.whole).await,
            (true, true, false) => begun_and_ended(&mut stream, answer).await,
            (true, true, true) => slowly(&mut stream, answer).await,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn begun_and_ended(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    // In a segment of its own, as a provider's first token comes.
    stream.write_all(&answer.begin).await?;
    stream.write_all(&answer.rest).await
}

async fn slowly(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    stream.write_all(&answer.begin).await?;
    for _ in 0..SLOW_EVENTS {
        tokio::time::sleep(SLOW_EVERY).await;
        stream.write_all(&answer.event).await?;
    }
    stream.write_all(&answer.rest).await
}

/// One request to its end; `None` when the connection ends, or is not understood.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Asked> {
    buffer.clear();
    let head_end = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > HEAD_BYTES || stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(buffer.get(..head_end)?).to_ascii_lowercase();
    let path = head.split(' ').nth(1)?;
    let field = |name: &str| {
        head.lines()
            .find_map(|line| Some(line.strip_prefix(name)?.trim()))
    };
    let chunked = field("transfer-encoding:").is_some();
    let length: usize = field("content-length:").map_or(Some(0), |length| length.parse().ok())?;
    let (anthropic, slow) = (path.ends_with("/messages"), path.starts_with(SLOW));
    loop {
        let body = buffer.get(head_end..)?;
        let complete = if chunked {
            body.ends_with(b"0\r\n\r\n")
        } else {
            body.len() >= length
        };
        if complete {
            break;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer.get(head_end..)?;
    Some(Asked {
        anthropic,
        slow,
        streamed: asks_for_a_stream(body),
        has_body: !body.is_empty(),
    })
}

fn asks_for_a_stream(body: &[u8]) -> bool {
    let begin = body.get(..LOOKED_AT_BYTES).unwrap_or(body);
    let end = body
        .get(body.len().saturating_sub(LOOKED_AT_BYTES)..)
        .unwrap_or(body);
    [begin, end].iter().any(|part| {
        find(part, b"\"stream\":true").is_some() || find(part, b"\"stream\": true").is_some()
    })
}

/// Where these bytes begin.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_first_word_and_its_last() {
        for answer in [openai(), anthropic()] {
            for part in [&answer.whole, &answer.begin] {
                assert!(find(part, FIRST_WORD).is_some());
            }
            for part in [&answer.whole, &answer.rest] {
                assert!(find(part, LAST_WORD).is_some());
            }
            assert!(answer.rest.ends_with(b"0\r\n\r\n"));
        }
    }

    #[test]
    fn what_a_body_asks_for_is_seen_at_both_of_its_ends() {
        let long = " ".repeat(100_000);
        assert!(asks_for_a_stream(
            format!("{{\"stream\":true,{long}}}").as_bytes()
        ));
        assert!(asks_for_a_stream(
            format!("{{{long},\"stream\": true}}").as_bytes()
        ));
        assert!(!asks_for_a_stream(
            format!("{{{long},\"stream\":false}}").as_bytes()
        ));
        assert!(!asks_for_a_stream(b""));
    }
}
