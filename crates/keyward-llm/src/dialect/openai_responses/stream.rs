//! A caller's stream: typed events, each with the number of its item and its own, and the whole answer at the end.

use super::super::Context;
use super::items::{output_text, refusal, told_reasoning};
use super::response::{Envelope, message};
pub(in super::super) use super::stream_read::Reader;
use super::{ABILITY, incomplete};
use crate::error::Error;
use crate::form::{
    Event, FailureKind, Feature, Opening, Request, Signature, StopReason, Thought,
    TokenProbability, Usage,
};
use crate::framing::sse;
use crate::json::{Json, Object};

#[derive(Debug)]
pub(in super::super) struct Writer {
    envelope: Envelope,
    context: Context,
    begun: bool,
    sequence: u64,
    blocks: Vec<Block>,
    items: Vec<Json>,
    usage: Option<Usage>,
    reason: StopReason,
    /// A part of the answer is a refusal.
    refused: bool,
}

/// A block that is open: an item of its own, since parts of one message are told apart by theirs.
#[derive(Debug)]
struct Block {
    number: u32,
    opening: Opening,
    /// Where its item stands in the answer.
    index: usize,
    id: String,
    text: String,
    logs: Vec<TokenProbability>,
    signature: Option<Signature>,
}

impl Writer {
    pub(in super::super) fn new(asked: &Request, context: &Context) -> Self {
        Self {
            envelope: Envelope::new(asked, context),
            context: context.clone(),
            begun: false,
            sequence: 0,
            blocks: Vec::new(),
            items: Vec::new(),
            usage: None,
            reason: StopReason::End,
            refused: false,
        }
    }

    pub(in super::super) fn write(
        &mut self,
        event: &Event,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match event {
            Event::Started { id, model, created } => {
                self.envelope = self.envelope.clone().named(id, model, *created);
                self.begin(out);
            }
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
            Event::Text {
                block,
                text,
                log_probabilities,
            } => self.grow(*block, text, log_probabilities, out),
            Event::Arguments { block, text } => self.grow(*block, text, &[], out),
            Event::Signed { block, signature } => {
                if let Some(block) = self.find(*block) {
                    block.signature = Some(signature.clone());
                }
            }
            Event::Closed { block } => self.close(*block, out),
            Event::Stopped { stop, .. } => self.reason = stop.reason,
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failed(failed) => {
                self.begin(out);
                let items = self.items.clone();
                let mut response = self.envelope.object("failed", items);
                // There are few codes here; what came is in the message.
                let code = match failed.kind {
                    FailureKind::RateLimited
                    | FailureKind::QuotaExhausted
                    | FailureKind::Unpaid => "rate_limit_exceeded",
                    FailureKind::InvalidRequest
                    | FailureKind::ContextLength
                    | FailureKind::Filtered
                    | FailureKind::OverLimit
                    | FailureKind::TooLarge => "invalid_prompt",
                    FailureKind::Authentication
                    | FailureKind::Permission
                    | FailureKind::NotFound
                    | FailureKind::Overloaded
                    | FailureKind::Timeout
                    | FailureKind::Server
                    | FailureKind::Cut => "server_error",
                };
                let error = Object::new()
                    .with("code", code)
                    .with("message", &failed.message);
                response.set("error", error);
                self.tell(
                    "response.failed",
                    Object::new().with("response", response),
                    out,
                );
            }
            Event::Ended => {
                self.begin(out);
                let reason = self.reason.with_refusal(self.refused);
                let kind = if incomplete(reason).is_some() {
                    "response.incomplete"
                } else {
                    "response.completed"
                };
                let items = std::mem::take(&mut self.items);
                let response = self.envelope.ended(reason, items, self.usage);
                self.tell(kind, Object::new().with("response", response), out);
            }
        }
        Ok(())
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.begun {
            return;
        }
        self.begun = true;
        for kind in ["response.created", "response.in_progress"] {
            let response = self.envelope.object("in_progress", Vec::new());
            self.tell(kind, Object::new().with("response", response), out);
        }
    }

    fn find(&mut self, number: u32) -> Option<&mut Block> {
        self.blocks.iter_mut().find(|block| block.number == number)
    }

    fn open(&mut self, number: u32, opening: &Opening, out: &mut Vec<u8>) {
        self.refused |= *opening == Opening::Refusal;
        let index = self.items.len();
        let kind = match opening {
            Opening::Text | Opening::Refusal => "msg",
            Opening::Thought | Opening::HiddenThought => "rs",
            Opening::ToolCall { .. } => "fc",
        };
        let block = Block {
            number,
            opening: opening.clone(),
            index,
            id: format!("{kind}_{}_{index}", self.context.id),
            text: String::new(),
            logs: Vec::new(),
            signature: None,
        };
        let item = block.item("in_progress", true, &self.context);
        // Its place is taken now: calls may be open at once.
        self.items.push(item.clone().into());
        let added = Object::new()
            .with("output_index", index_of(index))
            .with("item", item);
        self.tell("response.output_item.added", added, out);
        let id = block.id.clone();
        match opening {
            Opening::Text | Opening::Refusal => {
                let part = block.part();
                let added = place(&id, index).with("part", part);
                self.tell("response.content_part.added", added, out);
            }
            Opening::Thought => {
                let part = Object::new().with("type", "summary_text").with("text", "");
                let added = summary_place(&id, index).with("part", part);
                self.tell("response.reasoning_summary_part.added", added, out);
            }
            Opening::HiddenThought | Opening::ToolCall { .. } => {}
        }
        self.blocks.push(block);
    }

    fn grow(&mut self, number: u32, text: &str, logs: &[TokenProbability], out: &mut Vec<u8>) {
        let Some(block) = self.find(number) else {
            return;
        };
        block.text.push_str(text);
        block.logs.extend_from_slice(logs);
        let (id, index) = (block.id.clone(), block.index);
        let (kind, delta) = match block.opening {
            Opening::Text => (
                "response.output_text.delta",
                place(&id, index)
                    .with("delta", text)
                    .with("logprobs", super::super::tokens::write(logs)),
            ),
            Opening::Refusal => (
                "response.refusal.delta",
                place(&id, index).with("delta", text),
            ),
            Opening::Thought | Opening::HiddenThought => (
                "response.reasoning_summary_text.delta",
                summary_place(&id, index).with("delta", text),
            ),
            Opening::ToolCall { .. } => (
                "response.function_call_arguments.delta",
                item_place(&id, index).with("delta", text),
            ),
        };
        self.tell(kind, delta, out);
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some(at) = self.blocks.iter().position(|block| block.number == number) else {
            return;
        };
        let block = self.blocks.remove(at);
        let (id, index) = (block.id.as_str(), block.index);
        match &block.opening {
            Opening::Text => {
                let logs = super::super::tokens::write(&block.logs);
                let done = place(id, index)
                    .with("text", &block.text)
                    .with("logprobs", logs);
                self.tell("response.output_text.done", done, out);
                let done = place(id, index).with("part", block.part());
                self.tell("response.content_part.done", done, out);
            }
            Opening::Refusal => {
                let done = place(id, index).with("refusal", &block.text);
                self.tell("response.refusal.done", done, out);
                let done = place(id, index).with("part", block.part());
                self.tell("response.content_part.done", done, out);
            }
            Opening::Thought => {
                let done = summary_place(id, index).with("text", &block.text);
                self.tell("response.reasoning_summary_text.done", done, out);
                let part = Object::new()
                    .with("type", "summary_text")
                    .with("text", &block.text);
                let done = summary_place(id, index).with("part", part);
                self.tell("response.reasoning_summary_part.done", done, out);
            }
            Opening::ToolCall { name, .. } => {
                let done = item_place(id, index)
                    .with("name", name)
                    .with("arguments", block.arguments());
                self.tell("response.function_call_arguments.done", done, out);
            }
            Opening::HiddenThought => {}
        }
        let item = block.item("completed", false, &self.context);
        if let Some(place) = self.items.get_mut(index) {
            *place = item.clone().into();
        }
        let done = Object::new()
            .with("output_index", index_of(index))
            .with("item", item);
        self.tell("response.output_item.done", done, out);
        if matches!(block.opening, Opening::ToolCall { .. })
            && let Some(signature) = &block.signature
        {
            self.seal_call(signature, out);
        }
    }

    /// The signature of a call, as a hidden thought behind it.
    fn seal_call(&mut self, signature: &Signature, out: &mut Vec<u8>) {
        let index = self.items.len();
        let thought = Thought {
            text: String::new(),
            signature: Some(signature.clone()),
            redacted: true,
        };
        let id = format!("rs_{}_{index}", self.context.id);
        let item = told_reasoning(&thought, &id);
        self.items.push(item.clone().into());
        for kind in ["response.output_item.added", "response.output_item.done"] {
            let event = Object::new()
                .with("output_index", index_of(index))
                .with("item", item.clone());
            self.tell(kind, event, out);
        }
    }

    fn tell(&mut self, kind: &str, rest: Object, out: &mut Vec<u8>) {
        let mut data = Object::new()
            .with("type", kind)
            .with("sequence_number", self.sequence);
        self.sequence += 1;
        for (name, value) in rest.into_members() {
            data.set(&name, value);
        }
        sse::write(kind, &Json::Object(data).to_text(), out);
    }
}

impl Block {
    fn arguments(&self) -> &str {
        if self.text.is_empty() {
            "{}"
        } else {
            &self.text
        }
    }

    fn part(&self) -> Object {
        if self.opening == Opening::Refusal {
            refusal(&self.text)
        } else {
            output_text(&self.text, &self.logs)
        }
    }

    fn item(&self, status: &str, empty: bool, context: &Context) -> Object {
        match &self.opening {
            Opening::Text | Opening::Refusal => {
                let content = if empty {
                    Vec::new()
                } else {
                    vec![self.part().into()]
                };
                message(&self.id, status, content)
            }
            Opening::Thought | Opening::HiddenThought => {
                let thought = Thought {
                    text: self.text.clone(),
                    signature: self.signature.clone(),
                    redacted: self.opening == Opening::HiddenThought,
                };
                told_reasoning(&thought, &self.id)
            }
            Opening::ToolCall { id, name } => {
                let call_id = if id.is_empty() {
                    super::super::content::made_call_id(context, self.number)
                } else {
                    id.clone()
                };
                let arguments = if empty { "" } else { self.arguments() };
                Object::new()
                    .with("id", &self.id)
                    .with("type", "function_call")
                    .with("status", status)
                    .with("call_id", call_id)
                    .with("name", name)
                    .with("arguments", arguments)
            }
        }
    }
}

fn index_of(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}

fn item_place(id: &str, index: usize) -> Object {
    Object::new()
        .with("item_id", id)
        .with("output_index", index_of(index))
}

fn place(id: &str, index: usize) -> Object {
    item_place(id, index).with("content_index", 0_u64)
}

fn summary_place(id: &str, index: usize) -> Object {
    item_place(id, index).with("summary_index", 0_u64)
}
