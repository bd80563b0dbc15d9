//! Streams: chunks of server-sent events, with `data: [DONE]` at the end.

use super::super::openai_error as failure;
use super::super::{Context, tokens};
use super::calls::{Calls, Piece as CallPiece};
use super::response::{Piece, arguments, pieces};
use super::{answer_id, failed_choice, read_usage, stop, stop_word, thoughts, write_usage};
use crate::error::{Error, Within as _};
use crate::fields::Fields;
use crate::form::{Event, Opening, Request, Signature, Thought, TokenProbability, Usage};
use crate::framing::{Frame, sse};
use crate::json::{Json, Object};

/// More candidates than a call may ask for.
const MOST_CANDIDATES: u64 = 128;

#[derive(Debug, Default)]
pub(in super::super) struct Reader {
    started: bool,
    next_block: u32,
    choices: Vec<Choice>,
}

/// One candidate.
#[derive(Debug, Default)]
struct Choice {
    /// The block that is open, and what it is.
    open: Option<(Kind, u32)>,
    calls: Calls,
    stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Thought,
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
        if frame.data.trim_ascii() == b"[DONE]" {
            if !self.finish(out) {
                out.push(Event::Failed(crate::form::Failure::cut()));
            }
            out.push(Event::Ended);
            return Ok(());
        }
        let mut chunk = Fields::parse(frame.data)?;
        if let Some(error) = chunk.take("error") {
            out.push(Event::Failed(failure::of(None, error)));
            out.push(Event::Ended);
            return Ok(());
        }
        if !self.started {
            self.started = true;
            out.push(Event::Started {
                id: chunk.string("id")?.unwrap_or_default(),
                model: chunk.string("model")?.unwrap_or_default(),
                created: chunk.whole("created")?,
            });
        }
        for choice in chunk.items("choices")? {
            if let Some(failure) = failed_choice(&choice) {
                out.push(Event::Failed(failure));
                out.push(Event::Ended);
                return Ok(());
            }
            let mut choice = Fields::of(choice).within("choices")?;
            // Moonshot has the usage within a choice.
            if let Some(usage) = choice.object("usage")? {
                out.push(Event::Usage(read_usage(usage)?));
            }
            self.choice(choice, out).within("choices")?;
        }
        if let Some(usage) = chunk.object("usage")? {
            out.push(Event::Usage(read_usage(usage)?));
        }
        Ok(())
    }

    fn choice(&mut self, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), Error> {
        let index = fields.whole("index")?.unwrap_or_default();
        if index >= MOST_CANDIDATES {
            return Err(Error::field("index", "is more than a call may ask for"));
        }
        let candidate = u32::try_from(index).unwrap_or_default();
        let at = usize::try_from(index).unwrap_or_default();
        while self.choices.len() <= at {
            self.choices.push(Choice::default());
        }
        let Some(choice) = self.choices.get_mut(at) else {
            return Ok(());
        };
        let next = &mut self.next_block;
        let mut logs = match fields.object("logprobs")? {
            Some(mut logprobs) => tokens::read(&mut logprobs, "content")?,
            None => Vec::new(),
        };
        if let Some(mut delta) = fields.object("delta")? {
            for thought in thoughts::read(&mut delta)? {
                choice.thought(thought, candidate, next, out);
            }
            let content = delta.take("content").map(pieces).transpose()?;
            for piece in content.into_iter().flatten() {
                match piece {
                    Piece::Text(text) => {
                        let logs = std::mem::take(&mut logs);
                        choice.grow(Kind::Text, text, logs, candidate, next, out);
                    }
                    Piece::Thought(text) => {
                        choice.grow(Kind::Thought, text, Vec::new(), candidate, next, out);
                    }
                }
            }
            if let Some(text) = delta.string("refusal")? {
                choice.grow(Kind::Refusal, text, Vec::new(), candidate, next, out);
            }
            for call in delta.items("tool_calls")? {
                let piece = call_piece(Fields::of(call).within("tool_calls")?)?;
                choice.close(out);
                choice.calls.push(piece, candidate, next, out);
            }
        }
        if let Some(word) = fields.string("finish_reason")?
            && !choice.stopped
        {
            choice.stopped = true;
            choice.close(out);
            choice.calls.finish(candidate, next, out);
            let mut stop = stop(&word);
            // There are servers that say `stop` after a call.
            if !choice.calls.is_empty() && stop.reason == crate::form::StopReason::End {
                stop.reason = crate::form::StopReason::ToolCalls;
            }
            out.push(Event::Stopped { candidate, stop });
        }
        Ok(())
    }

    /// Whether every candidate has said why it ended: the last line, `[DONE]`, is left out by some.
    pub(in super::super) fn finish(&self, _out: &mut Vec<Event>) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.stopped)
    }
}

impl Choice {
    fn grow(
        &mut self,
        kind: Kind,
        text: String,
        log_probabilities: Vec<TokenProbability>,
        candidate: u32,
        next: &mut u32,
        out: &mut Vec<Event>,
    ) {
        if text.is_empty() && log_probabilities.is_empty() {
            return;
        }
        let block = self.block(kind, candidate, next, out);
        out.push(Event::Text {
            block,
            text,
            log_probabilities,
        });
    }

    /// The open block of that kind: the one before is closed.
    fn block(&mut self, kind: Kind, candidate: u32, next: &mut u32, out: &mut Vec<Event>) -> u32 {
        if let Some((open, block)) = self.open
            && open == kind
        {
            return block;
        }
        self.close(out);
        let block = *next;
        *next += 1;
        self.open = Some((kind, block));
        out.push(Event::Opened {
            block,
            candidate,
            opening: match kind {
                Kind::Text => Opening::Text,
                Kind::Refusal => Opening::Refusal,
                Kind::Thought => Opening::Thought,
            },
        });
        block
    }

    fn thought(&mut self, thought: Thought, candidate: u32, next: &mut u32, out: &mut Vec<Event>) {
        if thought.redacted {
            self.close(out);
            let block = *next;
            *next += 1;
            let opening = Opening::HiddenThought;
            out.push(Event::Opened {
                block,
                candidate,
                opening,
            });
            out.extend(
                thought
                    .signature
                    .map(|signature| Event::Signed { block, signature }),
            );
            out.push(Event::Closed { block });
            return;
        }
        self.grow(
            Kind::Thought,
            thought.text,
            Vec::new(),
            candidate,
            next,
            out,
        );
        if let Some(signature) = thought.signature {
            let block = self.block(Kind::Thought, candidate, next, out);
            out.push(Event::Signed { block, signature });
        }
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        if let Some((_, block)) = self.open.take() {
            out.push(Event::Closed { block });
        }
    }
}

fn call_piece(mut call: Fields) -> Result<CallPiece, Error> {
    let signature = thoughts::read_call_signature(&mut call)?;
    let (mut name, mut text) = (String::new(), String::new());
    if let Some(mut function) = call.object("function")? {
        name = function.string("name")?.unwrap_or_default();
        text = arguments(function.take("arguments"));
    }
    Ok(CallPiece {
        index: call.whole("index")?,
        id: call.string("id")?.unwrap_or_default(),
        name,
        arguments: text,
        signature,
    })
}

#[derive(Debug)]
pub(in super::super) struct Writer {
    id: String,
    model: String,
    created: u64,
    /// The caller asked for the usage: a chunk of its own, behind the last.
    wants_usage: bool,
    usage: Option<Usage>,
    blocks: Vec<Block>,
    context: Context,
}

#[derive(Debug)]
struct Block {
    number: u32,
    candidate: u32,
    kind: Opening,
    /// Of a call: which of its candidate's.
    call: u64,
}

impl Writer {
    pub(in super::super) fn new(asked: &Request, context: &Context) -> Self {
        Self {
            id: answer_id("", context),
            model: asked.model.clone(),
            created: context.now,
            wants_usage: asked.stream_usage,
            usage: None,
            blocks: Vec::new(),
            context: context.clone(),
        }
    }

    pub(in super::super) fn write(
        &mut self,
        event: &Event,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match event {
            Event::Started { id, model, created } => {
                self.id = answer_id(id, &self.context);
                if !model.is_empty() {
                    self.model.clone_from(model);
                }
                self.created = created.unwrap_or(self.created);
                let delta = Object::new().with("role", "assistant").with("content", "");
                self.delta(0, delta, None, out);
            }
            Event::Opened {
                block,
                candidate,
                opening,
            } => self.open(*block, *candidate, opening, out),
            Event::Text {
                block,
                text,
                log_probabilities,
            } => self.grow(*block, text, log_probabilities, out),
            Event::Arguments { block, text } => {
                if let Some((candidate, call)) = self.find(*block).map(|b| (b.candidate, b.call)) {
                    let function = Object::new().with("arguments", text);
                    let piece = Object::new().with("index", call).with("function", function);
                    self.call(candidate, piece, out);
                }
            }
            Event::Signed { block, signature } => self.sign(*block, signature, out),
            Event::Closed { .. } => {}
            Event::Stopped { candidate, stop } => {
                let said = self
                    .blocks
                    .iter()
                    .any(|block| block.candidate == *candidate && block.kind == Opening::Refusal);
                let word = stop_word(stop.reason.with_refusal(said));
                self.delta(*candidate, Object::new(), Some(word), out);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failed(failed) => {
                sse::write("", &failure::write(failed).to_text(), out);
            }
            Event::Ended => {
                if self.wants_usage
                    && let Some(usage) = self.usage
                {
                    let chunk = self.chunk(Vec::new()).with("usage", write_usage(&usage));
                    sse::write("", &Json::Object(chunk).to_text(), out);
                }
                sse::write("", "[DONE]", out);
            }
        }
        Ok(())
    }

    fn find(&mut self, number: u32) -> Option<&mut Block> {
        self.blocks.iter_mut().rfind(|block| block.number == number)
    }

    fn open(&mut self, number: u32, candidate: u32, opening: &Opening, out: &mut Vec<u8>) {
        let is_call = |block: &&Block| {
            block.candidate == candidate && matches!(block.kind, Opening::ToolCall { .. })
        };
        let call = u64::try_from(self.blocks.iter().filter(is_call).count()).unwrap_or_default();
        if let Opening::ToolCall { id, name } = opening {
            let id = if id.is_empty() {
                super::super::content::made_call_id(&self.context, number)
            } else {
                id.clone()
            };
            let function = Object::new().with("name", name).with("arguments", "");
            let piece = Object::new()
                .with("index", call)
                .with("id", id)
                .with("type", "function")
                .with("function", function);
            self.call(candidate, piece, out);
        }
        self.blocks.push(Block {
            number,
            candidate,
            kind: opening.clone(),
            call,
        });
    }

    fn grow(&mut self, number: u32, text: &str, logs: &[TokenProbability], out: &mut Vec<u8>) {
        let Some(block) = self.find(number) else {
            return;
        };
        let name = match block.kind {
            Opening::Text => "content",
            Opening::Refusal => "refusal",
            Opening::Thought | Opening::HiddenThought => "reasoning_content",
            Opening::ToolCall { .. } => return,
        };
        let candidate = block.candidate;
        let mut delta = Object::new().with(name, text);
        if name == "reasoning_content" {
            // The details say it again for who gathers them, since a signature may follow.
            let detail = thoughts::piece(number, Some(text), None, false);
            delta.set("reasoning_details", vec![detail]);
        }
        let mut choice = choice(candidate, delta, None);
        if !logs.is_empty() {
            let content = Object::new().with("content", tokens::write(logs));
            choice.set("logprobs", content.with("refusal", Json::Null));
        }
        let chunk = self.chunk(vec![Json::Object(choice)]);
        sse::write("", &Json::Object(chunk).to_text(), out);
    }

    fn sign(&mut self, number: u32, signature: &Signature, out: &mut Vec<u8>) {
        let Some(block) = self.find(number) else {
            return;
        };
        let (candidate, call) = (block.candidate, block.call);
        let redacted = match block.kind {
            Opening::ToolCall { .. } => {
                let piece = Object::new()
                    .with("index", call)
                    // The vendor's own library reads no piece of a call without it.
                    .with("function", Object::new().with("arguments", ""))
                    .with("extra_content", thoughts::call_signature(signature));
                self.call(candidate, piece, out);
                return;
            }
            Opening::HiddenThought => true,
            Opening::Text | Opening::Refusal | Opening::Thought => false,
        };
        let detail = thoughts::piece(number, None, Some(signature), redacted);
        let delta = Object::new().with("reasoning_details", vec![detail]);
        self.delta(candidate, delta, None, out);
    }

    fn call(&self, candidate: u32, piece: Object, out: &mut Vec<u8>) {
        let delta = Object::new().with("tool_calls", vec![Json::Object(piece)]);
        self.delta(candidate, delta, None, out);
    }

    fn delta(&self, candidate: u32, delta: Object, finish: Option<&str>, out: &mut Vec<u8>) {
        let chunk = self.chunk(vec![Json::Object(choice(candidate, delta, finish))]);
        sse::write("", &Json::Object(chunk).to_text(), out);
    }

    fn chunk(&self, choices: Vec<Json>) -> Object {
        Object::new()
            .with("id", &self.id)
            .with("object", "chat.completion.chunk")
            .with("created", self.created)
            .with("model", &self.model)
            .with("choices", choices)
    }
}

fn choice(candidate: u32, delta: Object, finish: Option<&str>) -> Object {
    Object::new()
        .with("index", candidate)
        .with("delta", delta)
        .with("finish_reason", finish.map_or(Json::Null, Json::from))
}
