//! What providers of AI models answer: whole answers, streams of events, and what goes wrong with both.

use crate::script::Script;
use serde_json::Value;
use std::fmt::Write as _;

impl Script {
    /// An answer of JSON. `status` is the code with its phrase: `429 Too Many Requests`.
    #[must_use]
    pub fn json(status: &str, headers: &[(&str, &str)], body: &Value) -> Self {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        Self::answer(status, &all, body.to_string())
    }

    /// The head of a stream of server-sent events; [`event`](Self::event) and [`end`](Self::end) follow.
    #[must_use]
    pub fn events() -> Self {
        Self::stream("text/event-stream")
    }

    /// The head of a stream of this content type, whose pieces follow as chunks.
    #[must_use]
    pub fn stream(content_type: &str) -> Self {
        Self::new().write(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        ))
    }

    /// A server-sent event in a chunk of its own; without a name where that is empty.
    #[must_use]
    pub fn event(self, name: &str, data: &str) -> Self {
        self.write_chunk(event(name, data))
    }

    /// The end of a stream's chunks.
    #[must_use]
    pub fn end(self) -> Self {
        self.write("0\r\n\r\n")
    }

    /// A recorded stream from its beginning to its end, each event in a chunk of its own: pairs of a name and what is
    /// JSON, or a text that stands there as it is.
    #[must_use]
    pub fn recorded(events: &[(String, Value)]) -> Self {
        let mut script = Self::events();
        for (name, data) in events {
            script = match data.as_str() {
                Some(text) => script.event(name, text),
                None => script.event(name, &data.to_string()),
            };
        }
        script.end()
    }
}

fn event(name: &str, data: &str) -> String {
    let mut text = String::new();
    if !name.is_empty() {
        writeln!(text, "event: {name}").expect("a string takes text");
    }
    write!(text, "data: {data}\n\n").expect("a string takes text");
    text
}
