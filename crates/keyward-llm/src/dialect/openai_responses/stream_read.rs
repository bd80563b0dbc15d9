//! A provider's stream: typed events, of which the item and the part they are of is told by numbers.

use super::super::openai_error as failure;
use super::super::tokens;
use super::response;
use crate::error::{Error, Within as _};
use crate::fields::{Fields, missing};
use crate::form::{Event, Opening, Part};
use crate::framing::Frame;

#[derive(Debug, Default)]
pub(in super::super) struct Reader {
    started: bool,
    next: u32,
    /// Blocks by the provider's numbers: the item, and the part of it.
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    item: u64,
    part: u64,
    block: u32,
    /// Of a thought, which of its pieces was told last.
    piece: u64,
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
            "response.created" | "response.in_progress" | "response.queued" => {
                let mut response = event.need_object("response")?;
                if !self.started {
                    self.started = true;
                    out.push(Event::Started {
                        id: response.string("id")?.unwrap_or_default(),
                        model: response.string("model")?.unwrap_or_default(),
                        created: response.whole("created_at")?,
                    });
                }
            }
            "response.output_item.added" => {
                let item = number(&mut event, "output_index")?;
                let fields = event.need_object("item")?;
                self.added(item, fields, out).within("item")?;
            }
            "response.content_part.added" => {
                let at = place(&mut event)?;
                let part = event.need_object("part")?;
                let opening = match part.peek("type") {
                    Some("refusal") => Opening::Refusal,
                    Some(_) | None => Opening::Text,
                };
                self.open(at, opening, out);
            }
            "response.output_text.delta" => {
                let block = self.grow(place(&mut event)?, Opening::Text, out);
                let text = event.need_string("delta")?;
                let log_probabilities = tokens::read(&mut event, "logprobs")?;
                out.push(Event::Text {
                    block,
                    text,
                    log_probabilities,
                });
            }
            "response.refusal.delta" => {
                let at = place(&mut event)?;
                self.text(at, Opening::Refusal, &mut event, out)?;
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                let item = number(&mut event, "output_index")?;
                let piece = event
                    .whole("summary_index")?
                    .or(event.whole("content_index")?);
                self.between(item, piece.unwrap_or_default(), out);
                self.text((item, 0), Opening::Thought, &mut event, out)?;
            }
            "response.function_call_arguments.delta" => {
                let item = number(&mut event, "output_index")?;
                let block = self.known((item, 0))?;
                let text = event.need_string("delta")?;
                if !text.is_empty() {
                    out.push(Event::Arguments { block, text });
                }
            }
            "response.content_part.done" => {
                let at = place(&mut event)?;
                self.close(|open| (open.item, open.part) == at, out);
            }
            "response.output_item.done" => {
                let item = number(&mut event, "output_index")?;
                let fields = event.need_object("item")?;
                self.done(item, fields, out).within("item")?;
            }
            "response.completed" | "response.incomplete" => {
                let answer = response::of(event.need_object("response")?)?;
                self.close(|_| true, out);
                let stop = answer
                    .candidates
                    .into_iter()
                    .next()
                    .unwrap_or_default()
                    .stop;
                out.push(Event::Stopped { candidate: 0, stop });
                out.extend(answer.usage.map(Event::Usage));
                out.push(Event::Ended);
            }
            "response.failed" => {
                let mut response = event.need_object("response")?;
                let error = response.take("error").ok_or_else(|| missing("error"))?;
                out.push(Event::Failed(failure::of(None, error)));
                out.push(Event::Ended);
            }
            "error" => {
                let error = event.take("error");
                let error = error.unwrap_or_else(|| event.rest());
                out.push(Event::Failed(failure::of(None, error)));
                out.push(Event::Ended);
            }
            // What says again what was said piece by piece, and kinds that are to come.
            _ => {}
        }
        Ok(())
    }

    fn added(&mut self, item: u64, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), Error> {
        match fields.need_string("type")?.as_str() {
            "function_call" => {
                let opening = Opening::ToolCall {
                    id: fields.need_string("call_id")?,
                    name: fields.need_string("name")?,
                };
                self.open((item, 0), opening, out);
                Ok(())
            }
            "message" | "reasoning" => Ok(()),
            _ => Err(super::ABILITY.lack(crate::form::Feature::AnswerPart)),
        }
    }

    fn open(&mut self, (item, part): (u64, u64), opening: Opening, out: &mut Vec<Event>) -> u32 {
        let block = self.next;
        self.next += 1;
        self.open.push(Open {
            item,
            part,
            block,
            piece: 0,
        });
        out.push(Event::Opened {
            block,
            candidate: 0,
            opening,
        });
        block
    }

    fn known(&self, at: (u64, u64)) -> Result<u32, Error> {
        let found = self.open.iter().find(|open| (open.item, open.part) == at);
        found
            .map(|open| open.block)
            .ok_or_else(|| Error::field("output_index", "is of an item that is not open"))
    }

    /// The block at that place, which is opened where it is not.
    fn grow(&mut self, at: (u64, u64), opening: Opening, out: &mut Vec<Event>) -> u32 {
        match self.known(at) {
            Ok(block) => block,
            Err(_) => self.open(at, opening, out),
        }
    }

    fn text(
        &mut self,
        at: (u64, u64),
        opening: Opening,
        event: &mut Fields,
        out: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let text = event.need_string("delta")?;
        let block = self.grow(at, opening, out);
        out.push(Event::Text {
            block,
            text,
            log_probabilities: Vec::new(),
        });
        Ok(())
    }

    /// Pieces of one thought are one text here, with an empty line between them.
    fn between(&mut self, item: u64, piece: u64, out: &mut Vec<Event>) {
        let open = self.open.iter_mut().find(|open| open.item == item);
        let Some(open) = open.filter(|open| open.piece < piece) else {
            return;
        };
        open.piece = piece;
        out.push(Event::Text {
            block: open.block,
            text: "\n\n".to_owned(),
            log_probabilities: Vec::new(),
        });
    }

    /// An item is whole: what of it was not told before is told now.
    fn done(&mut self, item: u64, fields: Fields, out: &mut Vec<Event>) -> Result<(), Error> {
        if fields.peek("type") == Some("reasoning") {
            let parts = match super::items::read(fields)? {
                super::items::Item::Own(parts, _) => parts,
                super::items::Item::Message(..) | super::items::Item::Result(..) => Vec::new(),
            };
            for part in parts {
                let Part::Thought(thought) = part else {
                    continue;
                };
                let opening = if thought.redacted {
                    Opening::HiddenThought
                } else {
                    Opening::Thought
                };
                let told = self.known((item, 0)).is_ok();
                if !told && thought.text.is_empty() && thought.signature.is_none() {
                    continue;
                }
                let block = self.grow((item, 0), opening, out);
                if !told && !thought.text.is_empty() {
                    out.push(Event::Text {
                        block,
                        text: thought.text,
                        log_probabilities: Vec::new(),
                    });
                }
                out.extend(
                    thought
                        .signature
                        .map(|signature| Event::Signed { block, signature }),
                );
            }
        }
        self.close(|open| open.item == item, out);
        Ok(())
    }

    fn close(&mut self, which: impl Fn(&Open) -> bool, out: &mut Vec<Event>) {
        self.open.retain(|open| {
            let closes = which(open);
            if closes {
                out.push(Event::Closed { block: open.block });
            }
            !closes
        });
    }
}

fn number(event: &mut Fields, name: &str) -> Result<u64, Error> {
    event.whole(name)?.ok_or_else(|| missing(name))
}

fn place(event: &mut Fields) -> Result<(u64, u64), Error> {
    let item = number(event, "output_index")?;
    Ok((item, event.whole("content_index")?.unwrap_or_default()))
}
