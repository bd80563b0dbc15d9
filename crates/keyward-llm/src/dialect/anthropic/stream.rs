//! Streams: named events, a message that starts, blocks that start, grow and stop, a message that stops.

use super::super::content::seal;
use super::super::{Context, Dialect};
use super::response::{hidden, told_sequence};
use super::{
    ABILITY, answer_id, blocks, call_id, failure, null_or, read_usage, stop, stop_word, write_usage,
};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, missing};
use crate::form::{Event, Feature, Opening, Request, Signature, Stop, Usage};
use crate::framing::{Frame, sse};
use crate::json::{Json, Object};

#[derive(Debug, Default)]
pub(in super::super) struct Reader {
    usage: Usage,
    /// The provider's number of each block that is open: ours are given in the order of their beginning.
    open: Vec<(u64, u32)>,
    next: u32,
    stopped: bool,
}

impl Reader {
    pub(in super::super) fn new() -> Self {
        Self::default()
    }

    pub(in super::super) fn read(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let mut event = Fields::parse(frame.data)?;
        let kind = event.need_string("type")?;
        match kind.as_str() {
            "message_start" => {
                let mut message = event.need_object("message")?;
                out.push(Event::Started {
                    id: message.string("id")?.unwrap_or_default(),
                    model: message.string("model")?.unwrap_or_default(),
                    created: None,
                });
                self.take_usage(&mut message, out)?;
            }
            "content_block_start" => {
                let index = index(&mut event)?;
                let block = event.need_object("content_block")?;
                self.start(index, block, out).within("content_block")?;
            }
            "content_block_delta" => {
                let index = index(&mut event)?;
                let delta = event.need_object("delta")?;
                self.delta(index, delta, out).within("delta")?;
            }
            "content_block_stop" => {
                let index = index(&mut event)?;
                if let Some(at) = self.open.iter().position(|(known, _)| *known == index) {
                    let (_, block) = self.open.swap_remove(at);
                    out.push(Event::Closed { block });
                }
            }
            "message_delta" => {
                let mut delta = event.need_object("delta")?;
                let sequence = delta.string("stop_sequence")?;
                if let Some(word) = delta.string("stop_reason")? {
                    self.stopped = true;
                    let stop = stop(&word, sequence);
                    out.push(Event::Stopped { candidate: 0, stop });
                }
                self.take_usage(&mut event, out)?;
            }
            "message_stop" => {
                if !self.stopped {
                    let stop = Stop::default();
                    out.push(Event::Stopped { candidate: 0, stop });
                }
                out.push(Event::Ended);
            }
            "error" => {
                let error = event.take("error").ok_or_else(|| missing("error"))?;
                out.push(Event::Failed(failure::of(None, error)));
                out.push(Event::Ended);
            }
            // `ping`, and kinds that are to come: clients are told to pass over them.
            _ => {}
        }
        Ok(())
    }

    fn take_usage(&mut self, fields: &mut Fields, out: &mut Vec<Event>) -> Result<(), Error> {
        if let Some(usage) = fields.object("usage")? {
            self.usage = read_usage(usage, self.usage).within("usage")?;
            out.push(Event::Usage(self.usage));
        }
        Ok(())
    }

    fn start(&mut self, index: u64, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), Error> {
        let kind = fields.need_string("type")?;
        let opening = match kind.as_str() {
            "text" => Opening::Text,
            "thinking" => Opening::Thought,
            "redacted_thinking" => Opening::HiddenThought,
            "tool_use" => Opening::ToolCall {
                id: fields.need_string("id")?,
                name: fields.need_string("name")?,
            },
            _ => return Err(ABILITY.lack(Feature::AnswerPart)),
        };
        let block = self.next;
        self.next += 1;
        self.open.push((index, block));
        out.push(Event::Opened {
            block,
            candidate: 0,
            opening,
        });
        // Some begin a block with a part of it.
        let text = fields.string("text")?.or(fields.string("thinking")?);
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            out.push(grown(block, text));
        }
        let signed = fields.string("data")?.or(fields.string("signature")?);
        out.extend(blocks::signature(signed).map(|signature| Event::Signed { block, signature }));
        let input = fields
            .take("input")
            .filter(|input| input.as_object().is_some_and(|input| !input.is_empty()));
        out.extend(input.map(|input| Event::Arguments {
            block,
            text: input.to_text(),
        }));
        Ok(())
    }

    fn delta(&mut self, index: u64, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), Error> {
        let found = self.open.iter().find(|(known, _)| *known == index);
        let Some((_, block)) = found.copied() else {
            return Err(Error::field("", "is of a block that is not open"));
        };
        match fields.need_string("type")?.as_str() {
            "text_delta" => out.push(grown(block, fields.need_string("text")?)),
            "thinking_delta" => out.push(grown(block, fields.need_string("thinking")?)),
            "input_json_delta" => {
                let text = fields.need_string("partial_json")?;
                if !text.is_empty() {
                    out.push(Event::Arguments { block, text });
                }
            }
            "signature_delta" => {
                let signature = blocks::signature(fields.string("signature")?);
                out.extend(signature.map(|signature| Event::Signed { block, signature }));
            }
            // Citations, and kinds that are to come.
            _ => {}
        }
        Ok(())
    }
}

fn grown(block: u32, text: String) -> Event {
    Event::Text {
        block,
        text,
        log_probabilities: Vec::new(),
    }
}

fn index(event: &mut Fields) -> Result<u64, Error> {
    event.whole("index")?.ok_or_else(|| missing("index"))
}

#[derive(Debug)]
pub(in super::super) struct Writer {
    id: String,
    model: String,
    begun: bool,
    usage: Usage,
    stop: Option<Stop>,
    blocks: Vec<Block>,
    /// How many blocks this stream has told of: one more than the answer's where a signature needs its own.
    told: u32,
    context: Context,
}

#[derive(Debug)]
struct Block {
    number: u32,
    opening: Opening,
    /// Its number in this stream, once its beginning is told.
    index: Option<u32>,
    /// What is told as a block of its own behind it.
    signature: Option<Signature>,
}

impl Writer {
    pub(in super::super) fn new(asked: &Request, context: &Context) -> Self {
        Self {
            id: answer_id("", context),
            model: asked.model.clone(),
            begun: false,
            usage: Usage::default(),
            stop: None,
            blocks: Vec::new(),
            told: 0,
            context: context.clone(),
        }
    }

    pub(in super::super) fn write(
        &mut self,
        event: &Event,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match event {
            Event::Started { id, model, .. } => {
                self.id = answer_id(id, &self.context);
                if !model.is_empty() {
                    self.model.clone_from(model);
                }
            }
            // What was read may be told in the first event, where it is known before.
            Event::Usage(usage) => self.usage = *usage,
            Event::Opened {
                block,
                candidate,
                opening,
            } => {
                if *candidate > 0 {
                    return Err(ABILITY.lack(Feature::SeveralAnswers));
                }
                self.begin(out);
                self.open(*block, opening, out);
            }
            Event::Text { block, text, .. } => {
                let thought = matches!(self.kind(*block), Some(Opening::Thought));
                let (kind, name) = if thought {
                    ("thinking_delta", "thinking")
                } else {
                    ("text_delta", "text")
                };
                self.delta(
                    *block,
                    Object::new().with("type", kind).with(name, text),
                    out,
                );
            }
            Event::Arguments { block, text } => {
                let delta = Object::new()
                    .with("type", "input_json_delta")
                    .with("partial_json", text);
                self.delta(*block, delta, out);
            }
            Event::Signed { block, signature } => self.sign(*block, signature, out),
            Event::Closed { block } => self.close(*block, out),
            Event::Stopped { stop, .. } => self.stop = Some(stop.clone()),
            Event::Failed(failed) => {
                let text = failure::write(failed, &self.context).to_text();
                sse::write("error", &text, out);
            }
            Event::Ended => {
                self.begin(out);
                let stop = self.stop.take().unwrap_or_default();
                let delta = Object::new()
                    .with("stop_reason", stop_word(&stop))
                    .with("stop_sequence", null_or(told_sequence(&stop)));
                let end = Object::new()
                    .with("delta", delta)
                    .with("usage", write_usage(&self.usage));
                event_of("message_delta", end, out);
                event_of("message_stop", Object::new(), out);
            }
        }
        Ok(())
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.begun {
            return;
        }
        self.begun = true;
        let usage = Usage {
            output: 0,
            reasoning: 0,
            ..self.usage
        };
        let message = Object::new()
            .with("id", &self.id)
            .with("type", "message")
            .with("role", "assistant")
            .with("model", &self.model)
            .with("content", Vec::new())
            .with("stop_reason", Json::Null)
            .with("stop_sequence", Json::Null)
            .with("usage", write_usage(&usage));
        event_of("message_start", Object::new().with("message", message), out);
    }

    fn find(&mut self, number: u32) -> Option<&mut Block> {
        self.blocks.iter_mut().rfind(|block| block.number == number)
    }

    fn kind(&self, number: u32) -> Option<&Opening> {
        let found = self.blocks.iter().rfind(|block| block.number == number);
        found.map(|block| &block.opening)
    }

    fn open(&mut self, number: u32, opening: &Opening, out: &mut Vec<u8>) {
        let content = match opening {
            Opening::Text | Opening::Refusal => Some(blocks::text_block("")),
            Opening::Thought => Some(
                Object::new()
                    .with("type", "thinking")
                    .with("thinking", "")
                    .with("signature", ""),
            ),
            // It is whole in its beginning, which waits for the signature.
            Opening::HiddenThought => None,
            Opening::ToolCall { id, name } => {
                let id = if id.is_empty() {
                    super::super::content::made_call_id(&self.context, number)
                } else {
                    call_id(id)
                };
                Some(
                    Object::new()
                        .with("type", "tool_use")
                        .with("id", id)
                        .with("name", name)
                        .with("input", Object::new()),
                )
            }
        };
        let index = content.map(|content| self.start(content, out));
        self.blocks.push(Block {
            number,
            opening: opening.clone(),
            index,
            signature: None,
        });
    }

    fn sign(&mut self, number: u32, signature: &Signature, out: &mut Vec<u8>) {
        match self.kind(number) {
            Some(Opening::HiddenThought) => {
                let index = self.start(hidden(signature), out);
                if let Some(block) = self.find(number) {
                    block.index = Some(index);
                }
            }
            Some(Opening::Thought) => {
                let delta = Object::new()
                    .with("type", "signature_delta")
                    .with("signature", seal(signature, Dialect::Anthropic));
                self.delta(number, delta, out);
            }
            Some(Opening::Text | Opening::Refusal | Opening::ToolCall { .. }) => {
                if let Some(block) = self.find(number) {
                    block.signature = Some(signature.clone());
                }
            }
            None => {}
        }
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some(block) = self.find(number) else {
            return;
        };
        let signature = block.signature.take();
        if let Some(index) = block.index {
            stop_block(index, out);
        }
        if let Some(signature) = signature {
            let index = self.start(hidden(&signature), out);
            stop_block(index, out);
        }
    }

    fn start(&mut self, content: Object, out: &mut Vec<u8>) -> u32 {
        let index = self.told;
        self.told += 1;
        let start = Object::new()
            .with("index", index)
            .with("content_block", content);
        event_of("content_block_start", start, out);
        index
    }

    fn delta(&mut self, number: u32, delta: Object, out: &mut Vec<u8>) {
        if let Some(index) = self.find(number).and_then(|block| block.index) {
            let delta = Object::new().with("index", index).with("delta", delta);
            event_of("content_block_delta", delta, out);
        }
    }
}

fn stop_block(index: u32, out: &mut Vec<u8>) {
    event_of(
        "content_block_stop",
        Object::new().with("index", index),
        out,
    );
}

/// An event, whose data names it once more.
fn event_of(kind: &str, rest: Object, out: &mut Vec<u8>) {
    let mut data = Object::new().with("type", kind);
    for (name, value) in rest.into_members() {
        data.set(&name, value);
    }
    sse::write(kind, &Json::Object(data).to_text(), out);
}
