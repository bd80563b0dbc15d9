//! Streams: a document on each line. A call comes in one piece.

use super::super::Context;
use super::response::piece;
use super::{failure, read_usage, stop};
use crate::error::Error;
use crate::fields::Fields;
use crate::form::{Event, Opening, Part, TokenProbability};
use crate::framing::Frame;

#[derive(Debug)]
pub(in super::super) struct Reader {
    context: Context,
    made: u32,
    started: bool,
    next: u32,
    /// The block that is open, and whether it is a thought.
    open: Option<(bool, u32)>,
    called: bool,
}

impl Reader {
    pub(in super::super) fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            made: 0,
            started: false,
            next: 0,
            open: None,
            called: false,
        }
    }

    pub(in super::super) fn read(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let mut fields = Fields::parse(frame.data)?;
        if let Some(text) = fields.string("error")? {
            out.push(Event::Failed(failure::told(None, &text)));
            out.push(Event::Ended);
            return Ok(());
        }
        if !self.started {
            self.started = true;
            out.push(Event::Started {
                id: String::new(),
                model: fields.string("model")?.unwrap_or_default(),
                created: None,
            });
        }
        let mut piece = piece(&mut fields, &self.context, &mut self.made)?;
        for part in piece.parts {
            self.part(part, &mut piece.log_probabilities, out);
        }
        if fields.bool("done")?.unwrap_or_default() {
            self.close(out);
            let word = fields.string("done_reason")?.unwrap_or_default();
            let stop = stop(&word, self.called);
            out.push(Event::Stopped { candidate: 0, stop });
            out.extend(read_usage(&mut fields)?.map(Event::Usage));
            out.push(Event::Ended);
        }
        Ok(())
    }

    fn part(&mut self, part: Part, logs: &mut Vec<TokenProbability>, out: &mut Vec<Event>) {
        match part {
            Part::Text(text) => {
                let block = self.block(false, out);
                out.push(Event::Text {
                    block,
                    text,
                    log_probabilities: std::mem::take(logs),
                });
            }
            Part::Thought(thought) => {
                let block = self.block(true, out);
                out.push(Event::Text {
                    block,
                    text: thought.text,
                    log_probabilities: Vec::new(),
                });
            }
            Part::ToolCall(call) => {
                self.close(out);
                self.called = true;
                let block = self.open(
                    Opening::ToolCall {
                        id: call.id,
                        name: call.name,
                    },
                    out,
                );
                let text = call.arguments;
                out.push(Event::Arguments { block, text });
                out.push(Event::Closed { block });
            }
            // A piece has none of these.
            Part::Image(_)
            | Part::Document(_)
            | Part::Audio(_)
            | Part::ToolResult(_)
            | Part::Refusal(_)
            | Part::CachePoint(_) => {}
        }
    }

    fn block(&mut self, thought: bool, out: &mut Vec<Event>) -> u32 {
        if let Some((open, block)) = self.open
            && open == thought
        {
            return block;
        }
        self.close(out);
        let opening = if thought {
            Opening::Thought
        } else {
            Opening::Text
        };
        let block = self.open(opening, out);
        self.open = Some((thought, block));
        block
    }

    fn open(&mut self, opening: Opening, out: &mut Vec<Event>) -> u32 {
        let block = self.next;
        self.next += 1;
        out.push(Event::Opened {
            block,
            candidate: 0,
            opening,
        });
        block
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        if let Some((_, block)) = self.open.take() {
            out.push(Event::Closed { block });
        }
    }
}
