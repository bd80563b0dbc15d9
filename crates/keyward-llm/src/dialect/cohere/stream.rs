//! Streams: named events, of contents by an index, of one plan, and of calls by an index of their own.

use super::{failed, failure, read_usage, stop};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, missing};
use crate::form::{Event, Failure, Opening};
use crate::framing::Frame;

#[derive(Debug, Default)]
pub(in super::super) struct Reader {
    next: u32,
    open: Vec<(Place, u32)>,
    stopped: bool,
}

/// What a block is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Content(u64),
    Plan,
    Call(u64),
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
            if !self.stopped {
                out.push(Event::Failed(Failure::cut()));
            }
            out.push(Event::Ended);
            return Ok(());
        }
        let mut event = Fields::parse(frame.data)?;
        let kind = event.need_string("type")?;
        let index = event.whole("index")?.unwrap_or_default();
        let mut message = None;
        if let Some(mut delta) = event.object("delta")? {
            if kind == "message-end" {
                return self.end(delta, out).within("delta");
            }
            message = delta.object("message").within("delta")?;
        }
        match kind.as_str() {
            "message-start" => out.push(Event::Started {
                id: event.string("id")?.unwrap_or_default(),
                model: String::new(),
                created: None,
            }),
            "content-start" | "content-delta" => {
                let mut message = message.ok_or_else(|| missing("delta"))?;
                let mut content = message.need_object("content").within("delta.message")?;
                let thought = content.string("thinking")?;
                let text = content.string("text")?;
                let begins = content.string("type")?;
                let opening = if thought.is_some() || begins.as_deref() == Some("thinking") {
                    Opening::Thought
                } else {
                    Opening::Text
                };
                let block = self.block(Place::Content(index), opening, out);
                grow(block, thought.or(text).unwrap_or_default(), out);
            }
            "tool-plan-delta" => {
                let mut message = message.ok_or_else(|| missing("delta"))?;
                let text = message.need_string("tool_plan").within("delta.message")?;
                let block = self.block(Place::Plan, Opening::Thought, out);
                grow(block, text, out);
            }
            "tool-call-start" | "tool-call-delta" => {
                self.close(Place::Plan, out);
                let mut message = message.ok_or_else(|| missing("delta"))?;
                let call = message.need_object("tool_calls").within("delta.message")?;
                self.call(index, call, out)
                    .within("delta.message.tool_calls")?;
            }
            "content-end" => self.close(Place::Content(index), out),
            "tool-call-end" => self.close(Place::Call(index), out),
            // Citations, and kinds that are to come.
            _ => {}
        }
        Ok(())
    }

    fn call(&mut self, index: u64, mut call: Fields, out: &mut Vec<Event>) -> Result<(), Error> {
        let mut function = call.need_object("function")?;
        let name = function.string("name")?.unwrap_or_default();
        let id = call.string("id")?.unwrap_or_default();
        let block = self.block(Place::Call(index), Opening::ToolCall { id, name }, out);
        let text = function.string("arguments")?.unwrap_or_default();
        if !text.is_empty() {
            out.push(Event::Arguments { block, text });
        }
        Ok(())
    }

    fn end(&mut self, mut delta: Fields, out: &mut Vec<Event>) -> Result<(), Error> {
        for (_, block) in std::mem::take(&mut self.open) {
            out.push(Event::Closed { block });
        }
        if let Some(text) = delta.string("error")? {
            out.push(Event::Failed(failure::told(None, &text)));
        } else {
            let word = delta.string("finish_reason")?.unwrap_or_default();
            if let Some(failure) = failed(&word) {
                out.push(Event::Failed(failure));
            } else {
                let stop = stop(&word);
                out.push(Event::Stopped { candidate: 0, stop });
                if let Some(usage) = delta.object("usage")? {
                    out.push(Event::Usage(read_usage(usage).within("usage")?));
                }
            }
        }
        self.stopped = true;
        out.push(Event::Ended);
        Ok(())
    }

    /// The block at that place, which is opened where it is not.
    fn block(&mut self, place: Place, opening: Opening, out: &mut Vec<Event>) -> u32 {
        if let Some((_, block)) = self.open.iter().find(|(known, _)| *known == place) {
            return *block;
        }
        let block = self.next;
        self.next += 1;
        self.open.push((place, block));
        out.push(Event::Opened {
            block,
            candidate: 0,
            opening,
        });
        block
    }

    fn close(&mut self, place: Place, out: &mut Vec<Event>) {
        if let Some(at) = self.open.iter().position(|(known, _)| *known == place) {
            let (_, block) = self.open.swap_remove(at);
            out.push(Event::Closed { block });
        }
    }
}

fn grow(block: u32, text: String, out: &mut Vec<Event>) {
    if !text.is_empty() {
        out.push(Event::Text {
            block,
            text,
            log_probabilities: Vec::new(),
        });
    }
}
