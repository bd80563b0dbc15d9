//! A prompt's answer as server-sent events: `delta` with more of the text, `tool_call`, and at the end `done` or `error`.

use super::answer::{Said, Told, end, tool_call};
use super::asked::DIALECT;
use super::failure;
use super::withheld::Withheld;
use crate::body::{AnswerBody, BodyFailure, move_bytes};
use crate::problem;
use crate::record::CallRecord;
use bytes::Bytes;
use keyward_llm::form::{Event, Failure, Opening, Request, ToolCall};
use keyward_llm::{Context, StreamReader};
use keyward_model::id::RequestId;
use keyward_model::usage::ModelUse;
use keyward_model::{Code, Fault};
use serde_json::{Value, json};
use std::rc::Rc;
use std::task::{Context as Waking, Poll, ready};

/// The stream. It takes from the model's what the caller has room for, and no more.
pub(crate) struct PromptStream {
    from: Box<AnswerBody>,
    reader: Box<StreamReader>,
    told: Told,
    request: Rc<Request>,
    said: Said,
    /// The tool calls that are being written, by their blocks.
    open: Vec<(u32, ToolCall)>,
    /// Blocks in which the model says why it will not.
    refusals: Vec<u32>,
    request_id: RequestId,
    /// What the model took, where its answer was there before it is streamed.
    used: Option<Box<ModelUse>>,
    /// What the caller gets next, and how much of it was given.
    out: Bytes,
    given: usize,
    ended: bool,
    /// The model's stream has come to its end, too: only then is it known what it took.
    over: bool,
}

impl PromptStream {
    pub(super) fn new(
        from: AnswerBody,
        (told, request): (Told, Rc<Request>),
        record: &CallRecord,
    ) -> Self {
        let request_id = record.request_id;
        let context = Context {
            id: request_id.to_string(),
            now: 0,
        };
        Self {
            from: Box::new(from),
            reader: Box::new(StreamReader::new(DIALECT, &context)),
            told,
            request,
            said: Said::default(),
            open: Vec::new(),
            refusals: Vec::new(),
            request_id,
            used: record.model.clone(),
            out: Bytes::new(),
            given: 0,
            ended: false,
            over: false,
        }
    }

    /// How many bytes of the next piece are there; none at the end.
    pub(crate) fn poll_piece(
        &mut self,
        waking: &mut Waking<'_>,
    ) -> Poll<Result<usize, BodyFailure>> {
        loop {
            let left = self.out.len() - self.given;
            if left > 0 {
                return Poll::Ready(Ok(left));
            }
            if self.over {
                return Poll::Ready(Ok(0));
            }
            let count = ready!(self.from.poll_piece(waking))?;
            let events = if count == 0 {
                self.reader.finish()
            } else {
                let piece = self.from.take_piece(count);
                self.reader.push(&piece)
            };
            let mut out = Vec::new();
            for event in events {
                self.take(event, &mut out);
            }
            if count == 0 {
                self.over = true;
                self.from.end();
                if !self.ended {
                    self.fail(&Failure::cut(), &mut out);
                }
            }
            self.out = Bytes::from(out);
            self.given = 0;
        }
    }

    fn take(&mut self, event: Event, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        match event {
            Event::Opened {
                block,
                candidate: 0,
                opening,
            } => match opening {
                Opening::ToolCall { id, name } => {
                    let call = ToolCall {
                        id,
                        name,
                        arguments: String::new(),
                        signature: None,
                    };
                    self.open.push((block, call));
                }
                Opening::Refusal => self.refusals.push(block),
                Opening::Thought | Opening::HiddenThought => self.thoughts(block),
                Opening::Text => {}
            },
            Event::Text { block, text, .. } => {
                if self.refusals.contains(&block) {
                    self.said.refusal.push_str(&text);
                } else if !self.open.iter().any(|(open, _)| *open == block) && !text.is_empty() {
                    write(out, "delta", &json!({ "text": text }));
                }
            }
            Event::Arguments { block, text } => {
                let mut open = self.open.iter_mut();
                if let Some((_, call)) = open.find(|(open, _)| *open == block) {
                    call.arguments.push_str(&text);
                }
            }
            Event::Closed { block } => {
                let mut closed = self.open.extract_if(.., |(open, _)| *open == block);
                let closed = closed.next().map(|(_, call)| call);
                if let Some(call) = closed.filter(|call| !call.name.is_empty()) {
                    write(out, "tool_call", &tool_call(&call));
                    self.said.calls.push(call);
                }
            }
            Event::Stopped { candidate: 0, stop } => self.said.stop = Some(stop.reason),
            Event::Failed(failure) => self.fail(&failure, out),
            Event::Ended => {
                let used = self.from.model_use();
                let used = used.as_ref().or(self.used.as_deref());
                let end = end(&self.told, &self.said, used);
                write(out, "done", &Value::Object(end));
                self.ended = true;
            }
            Event::Started { .. }
            | Event::Opened { .. }
            | Event::Signed { .. }
            | Event::Stopped { .. }
            | Event::Usage(_) => {}
        }
    }

    /// What is thought is not said: such a block is kept as one whose text goes nowhere.
    fn thoughts(&mut self, block: u32) {
        let call = ToolCall {
            id: String::new(),
            name: String::new(),
            arguments: String::new(),
            signature: None,
        };
        self.open.push((block, call));
    }

    /// The caller is told that it went wrong, in our words.
    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        let fault = match self.from.told_of_guardrail() {
            Some(told) => Fault::new(Code::GuardrailBlocked, told),
            None => {
                let (code, told) = super::super::failure::told(failure.clone());
                failure::fault(code, &told)
            }
        };
        let problem = problem::body(&fault, self.request_id, &[]);
        out.extend_from_slice(b"event: error\ndata: ");
        out.extend_from_slice(&problem);
        out.extend_from_slice(b"\n\n");
        self.ended = true;
        self.over = true;
    }

    /// To be said while the caller takes nothing.
    pub(crate) fn absorb(&mut self, waking: &mut Waking<'_>) {
        self.from.absorb(waking);
    }

    pub(crate) fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        move_bytes(&self.out, &mut self.given, count, out);
    }

    pub(crate) fn take_piece(&mut self, count: usize) -> Bytes {
        let end = (self.given + count).min(self.out.len());
        let piece = self.out.slice(self.given..end);
        self.given = end;
        piece
    }

    /// Writes down what the call took and how it ended.
    pub(crate) fn settle(&self, record: &mut CallRecord) {
        self.from.settle(record);
        if let Some((code, because)) = record.take_failure() {
            let withheld = Withheld::of(&self.request);
            let because = withheld.veil(because.unwrap_or_default());
            record.failed_in_stream(code, &because);
        }
    }
}

/// One event. JSON has no line breaks in it.
fn write(out: &mut Vec<u8>, event: &str, data: &Value) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(data.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}
