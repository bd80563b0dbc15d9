//! Streams, in the AWS event stream. Only calls have a beginning of their own: text and thoughts begin with their
//! first piece.

use super::content::signature;
use super::{failure, read_usage, stop};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, missing};
use crate::form::{Event, Opening};
use crate::framing::Frame;

#[derive(Debug, Default)]
pub(in super::super) struct Reader {
    next: u32,
    /// Blocks that are open, by the provider's number.
    open: Vec<(u64, u32)>,
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
        if frame.exception {
            out.push(Event::Failed(failure::exception(frame.name, frame.data)));
            out.push(Event::Ended);
            return Ok(());
        }
        let mut event = Fields::parse(frame.data)?;
        match frame.name {
            "messageStart" => out.push(Event::Started {
                id: String::new(),
                model: String::new(),
                created: None,
            }),
            "contentBlockStart" => {
                let index = index(&mut event)?;
                let mut start = event.need_object("start")?;
                if let Some(mut call) = start.object("toolUse").within("start")? {
                    let opening = Opening::ToolCall {
                        id: call.need_string("toolUseId")?,
                        name: call.need_string("name")?,
                    };
                    self.block(index, opening, out);
                }
            }
            "contentBlockDelta" => {
                let index = index(&mut event)?;
                let delta = event.need_object("delta")?;
                self.delta(index, delta, out).within("delta")?;
            }
            "contentBlockStop" => {
                let index = index(&mut event)?;
                if let Some(at) = self.open.iter().position(|(known, _)| *known == index) {
                    let (_, block) = self.open.swap_remove(at);
                    out.push(Event::Closed { block });
                }
            }
            "messageStop" => {
                self.stopped = true;
                let stop = stop(&event.need_string("stopReason")?);
                out.push(Event::Stopped { candidate: 0, stop });
            }
            "metadata" => {
                if let Some(usage) = event.object("usage")? {
                    out.push(Event::Usage(read_usage(usage).within("usage")?));
                }
                // It is the last.
                if self.stopped {
                    out.push(Event::Ended);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn delta(&mut self, index: u64, mut delta: Fields, out: &mut Vec<Event>) -> Result<(), Error> {
        if let Some(text) = delta.string("text")? {
            self.text(index, Opening::Text, text, out);
        } else if let Some(mut call) = delta.object("toolUse")? {
            let block = self.known(index)?;
            let text = call.string("input")?.unwrap_or_default();
            if !text.is_empty() {
                out.push(Event::Arguments { block, text });
            }
        } else if let Some(mut thought) = delta.object("reasoningContent")? {
            if let Some(text) = thought.string("text")? {
                self.text(index, Opening::Thought, text, out);
            } else if let Some(value) = thought.string("signature")? {
                let block = self.block(index, Opening::Thought, out);
                let signature = signature(value);
                out.push(Event::Signed { block, signature });
            } else if let Some(value) = thought.string("redactedContent")? {
                let block = self.block(index, Opening::HiddenThought, out);
                let signature = signature(value);
                out.push(Event::Signed { block, signature });
            }
        }
        Ok(())
    }

    fn text(&mut self, index: u64, opening: Opening, text: String, out: &mut Vec<Event>) {
        let block = self.block(index, opening, out);
        out.push(Event::Text {
            block,
            text,
            log_probabilities: Vec::new(),
        });
    }

    fn known(&self, index: u64) -> Result<u32, Error> {
        let found = self.open.iter().find(|(known, _)| *known == index);
        found
            .map(|(_, block)| *block)
            .ok_or_else(|| Error::field("", "is of a block that is not open"))
    }

    /// The block of that number, which is opened where it is not.
    fn block(&mut self, index: u64, opening: Opening, out: &mut Vec<Event>) -> u32 {
        if let Ok(block) = self.known(index) {
            return block;
        }
        let block = self.next;
        self.next += 1;
        self.open.push((index, block));
        out.push(Event::Opened {
            block,
            candidate: 0,
            opening,
        });
        block
    }

    /// The figures behind the end may be missing.
    pub(in super::super) const fn finish(&self) -> bool {
        self.stopped
    }
}

fn index(event: &mut Fields) -> Result<u64, Error> {
    event
        .whole("contentBlockIndex")?
        .ok_or_else(|| missing("contentBlockIndex"))
}
