//! Streams of any dialect, read into events and written from them.

use super::{Context, Dialect};
use super::{anthropic, bedrock, cohere, gemini, ollama, openai_chat, openai_responses};
use crate::error::Error;
use crate::form::{Event, Failure, FailureKind, Request};
use crate::framing::{Deframer, Frame, MOST_STREAM_BYTES, event_stream, lines, sse};

/// The most blocks of one answer: who reads or writes a stream keeps some of each, and an agent's longest turns have
/// some hundred.
pub const MOST_BLOCKS: usize = 10_000;

/// Reads a provider's stream, in pieces of any size.
///
/// It can't fail: what can't be read becomes [`Event::Failed`], which callers are told in their own dialect, and
/// nothing but [`Event::Ended`] follows. So does what is over [`MOST_STREAM_BYTES`] or [`MOST_BLOCKS`].
#[derive(Debug)]
pub struct StreamReader {
    deframer: Deframer,
    reader: Reader,
    ended: bool,
    /// Bytes that were given.
    bytes: usize,
    /// Blocks that were opened.
    blocks: usize,
}

#[derive(Debug)]
enum Reader {
    OpenAiChat(openai_chat::stream::Reader),
    OpenAiResponses(openai_responses::stream::Reader),
    Anthropic(anthropic::stream::Reader),
    Gemini(gemini::stream::Reader),
    Bedrock(bedrock::stream::Reader),
    Ollama(ollama::stream::Reader),
    Cohere(cohere::stream::Reader),
}

impl StreamReader {
    /// At the beginning of a stream in `dialect`.
    #[must_use]
    pub fn new(dialect: Dialect, context: &Context) -> Self {
        let sse = || Deframer::Sse(sse::Reader::new());
        let (deframer, reader) = match dialect {
            Dialect::OpenAiChat => (
                sse(),
                Reader::OpenAiChat(openai_chat::stream::Reader::new()),
            ),
            Dialect::OpenAiResponses => (
                sse(),
                Reader::OpenAiResponses(openai_responses::stream::Reader::new()),
            ),
            Dialect::Anthropic => (sse(), Reader::Anthropic(anthropic::stream::Reader::new())),
            Dialect::Gemini => (sse(), Reader::Gemini(gemini::stream::Reader::new(context))),
            Dialect::Bedrock => (
                Deframer::EventStream(event_stream::Reader::new()),
                Reader::Bedrock(bedrock::stream::Reader::new()),
            ),
            Dialect::Ollama => (
                Deframer::Lines(lines::Reader::new()),
                Reader::Ollama(ollama::stream::Reader::new(context)),
            ),
            Dialect::Cohere => (sse(), Reader::Cohere(cohere::stream::Reader::new())),
        };
        Self {
            deframer,
            reader,
            ended: false,
            bytes: 0,
            blocks: 0,
        }
    }

    /// Takes the next bytes, and gives the events they make whole.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.ended {
            self.bytes = self.bytes.saturating_add(bytes.len());
            let result = if self.bytes > MOST_STREAM_BYTES {
                Err(Error::TooLarge {
                    what: "the bytes of one stream",
                    limit: MOST_STREAM_BYTES,
                })
            } else {
                let reader = &mut self.reader;
                self.deframer
                    .push(bytes, &mut |frame| reader.read(frame, &mut events))
            };
            let result = result.and(self.count_blocks(&mut events));
            self.settle(result, &mut events);
        }
        events
    }

    /// The provider's bytes have ended.
    pub fn finish(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.ended {
            let reader = &mut self.reader;
            let result = self
                .deframer
                .finish(&mut |frame| reader.read(frame, &mut events));
            if result.is_ok() && events.last() != Some(&Event::Ended) {
                reader.finish(&mut events);
            }
            let result = result.and(self.count_blocks(&mut events));
            self.settle(result, &mut events);
        }
        events
    }

    /// Takes out the blocks that are too many, and all behind them.
    fn count_blocks(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        let mut count = self.blocks;
        let over = events.iter().position(|event| {
            count += usize::from(matches!(event, Event::Opened { .. }));
            count > MOST_BLOCKS
        });
        self.blocks = count;
        let Some(over) = over else { return Ok(()) };
        events.truncate(over);
        Err(Error::TooLarge {
            what: "the number of blocks of one answer",
            limit: MOST_BLOCKS,
        })
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    fn settle(&mut self, result: Result<(), Error>, events: &mut Vec<Event>) {
        for event in events.iter_mut() {
            if let Event::Failed(failure) = event {
                *failure = failure.clone().veiled();
            }
        }
        let end = events.iter().position(|event| *event == Event::Ended);
        if let Some(end) = end {
            // What a provider sends behind its own end is nobody's.
            events.truncate(end + 1);
            self.ended = true;
        } else if let Err(error) = result {
            let failure = match error {
                Error::Framing("it ends within an event") => Failure::cut(),
                Error::Framing(_)
                | Error::Json { .. }
                | Error::TooLarge { .. }
                | Error::Field { .. }
                | Error::UnknownField { .. }
                | Error::Unsupported { .. }
                | Error::OtherModel { .. }
                | Error::Catalogue { .. }
                | Error::ModelName(_) => {
                    Failure::new(FailureKind::Server, "The provider's stream can't be read")
                        .with_code(error.code())
                }
            };
            events.push(Event::Failed(failure));
            events.push(Event::Ended);
            self.ended = true;
        }
    }
}

impl Reader {
    fn read(&mut self, frame: Frame<'_>, out: &mut Vec<Event>) -> Result<(), Error> {
        if out.last() == Some(&Event::Ended) {
            return Ok(());
        }
        match self {
            Self::OpenAiChat(reader) => reader.read(frame, out),
            Self::OpenAiResponses(reader) => reader.read(frame, out),
            Self::Anthropic(reader) => reader.read(frame, out),
            Self::Gemini(reader) => reader.read(frame, out),
            Self::Bedrock(reader) => reader.read(frame, out),
            Self::Ollama(reader) => reader.read(frame, out),
            Self::Cohere(reader) => reader.read(frame, out),
        }
    }

    /// The bytes ended and the dialect's own end was not seen: is the answer whole all the same?
    fn finish(&mut self, out: &mut Vec<Event>) {
        let whole = match self {
            Self::OpenAiChat(reader) => reader.finish(out),
            Self::Gemini(reader) => reader.finish(out),
            Self::Bedrock(reader) => reader.finish(),
            Self::OpenAiResponses(_) | Self::Anthropic(_) | Self::Ollama(_) | Self::Cohere(_) => {
                false
            }
        };
        if !whole {
            out.push(Event::Failed(Failure::cut()));
        }
        out.push(Event::Ended);
    }
}

/// Writes a stream for a caller.
#[derive(Debug)]
pub struct StreamWriter {
    writer: Writer,
    failed: bool,
}

#[derive(Debug)]
enum Writer {
    OpenAiChat(openai_chat::stream::Writer),
    OpenAiResponses(Box<openai_responses::stream::Writer>),
    Anthropic(anthropic::stream::Writer),
    Gemini(gemini::stream::Writer),
}

impl StreamWriter {
    /// A stream in `dialect` for who asked; nothing for a dialect that callers may not speak.
    #[must_use]
    pub fn new(dialect: Dialect, asked: &Request, context: &Context) -> Option<Self> {
        let writer = match dialect {
            Dialect::OpenAiChat => {
                Writer::OpenAiChat(openai_chat::stream::Writer::new(asked, context))
            }
            Dialect::OpenAiResponses => Writer::OpenAiResponses(Box::new(
                openai_responses::stream::Writer::new(asked, context),
            )),
            Dialect::Anthropic => Writer::Anthropic(anthropic::stream::Writer::new(asked, context)),
            Dialect::Gemini => Writer::Gemini(gemini::stream::Writer::new(asked, context)),
            Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => return None,
        };
        Some(Self {
            writer,
            failed: false,
        })
    }

    /// Writes what an event is in the caller's dialect: nothing, or one event or several.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what the caller's dialect can't say.
    pub fn write(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.failed {
            return Ok(());
        }
        self.failed = matches!(event, Event::Failed(_));
        match &mut self.writer {
            Writer::OpenAiChat(writer) => writer.write(event, out),
            Writer::OpenAiResponses(writer) => writer.write(event, out),
            Writer::Anthropic(writer) => writer.write(event, out),
            Writer::Gemini(writer) => writer.write(event, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_STREAM_BYTES, StreamReader};
    use crate::form::Event;
    use crate::{Context, Dialect};

    #[test]
    fn the_bytes_of_a_stream_are_bounded() {
        let mut reader = StreamReader::new(Dialect::Anthropic, &Context::default());
        reader.bytes = MOST_STREAM_BYTES - 3;
        assert_eq!(reader.push(b":a\n"), []);
        let events = reader.push(b"\n");
        let [Event::Failed(failure), Event::Ended] = events.as_slice() else {
            panic!("it goes on: {events:?}");
        };
        assert_eq!(failure.code.as_deref(), Some("too_large"));
        assert!(reader.has_ended());
    }
}
