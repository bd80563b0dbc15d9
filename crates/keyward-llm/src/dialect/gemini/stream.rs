//! Streams: whole answers of what is new, as server-sent events. A call comes in one piece.

use super::super::Context;
use super::super::content::without_call;
use super::parts::{self, Reader as PartsReader, Waiting};
use super::response::{
    FOR_CALLERS, blocked, content, parts_of, probabilities, write_probabilities,
};
use super::{ABILITY, failure, read_usage, stop, stop_word, write_usage};
use crate::error::Error;
use crate::fields::Fields;
use crate::form::{
    Event, Feature, Opening, Part, Request, Signature, Thought, TokenProbability, ToolCall, Usage,
};
use crate::framing::{Frame, sse};
use crate::json::{Json, Object};

/// More candidates than a call may ask for.
const MOST_CANDIDATES: u64 = 128;

#[derive(Debug)]
pub(in super::super) struct Reader {
    context: Context,
    made: u32,
    started: bool,
    next: u32,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Default)]
struct Candidate {
    /// The block that is open, and whether it is a thought.
    open: Option<(bool, u32)>,
    called: bool,
    stopped: bool,
}

impl Reader {
    pub(in super::super) fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            made: 0,
            started: false,
            next: 0,
            candidates: Vec::new(),
        }
    }

    pub(in super::super) fn read(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let mut chunk = Fields::parse(frame.data)?.camel()?;
        if let Some(error) = chunk.take("error") {
            out.push(Event::Failed(failure::of(None, &error)));
            out.push(Event::Ended);
            return Ok(());
        }
        if !self.started {
            self.started = true;
            out.push(Event::Started {
                id: chunk.string("responseId")?.unwrap_or_default(),
                model: chunk.string("modelVersion")?.unwrap_or_default(),
                created: None,
            });
        }
        for candidate in chunk.items("candidates")? {
            self.candidate(Fields::of(candidate)?.camel()?, out)?;
        }
        if let Some(stop) = blocked(&mut chunk)? {
            self.candidates.push(Candidate {
                stopped: true,
                ..Candidate::default()
            });
            out.push(Event::Stopped { candidate: 0, stop });
        }
        if let Some(usage) = chunk.object("usageMetadata")? {
            out.push(Event::Usage(read_usage(usage.camel()?)?));
        }
        Ok(())
    }

    fn candidate(&mut self, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), Error> {
        let index = fields.whole("index")?.unwrap_or_default();
        if index >= MOST_CANDIDATES {
            return Err(Error::field("index", "is more than a call may ask for"));
        }
        let number = u32::try_from(index).unwrap_or_default();
        let at = usize::try_from(index).unwrap_or_default();
        while self.candidates.len() <= at {
            self.candidates.push(Candidate::default());
        }
        let mut reader = PartsReader {
            context: &self.context,
            made: self.made,
            waiting: Waiting::default(),
        };
        let parts = parts_of(&mut fields, &mut reader)?;
        self.made = reader.made;
        let mut logs = probabilities(&mut fields)?;
        let word = fields.string("finishReason")?;
        let Some(candidate) = self.candidates.get_mut(at) else {
            return Ok(());
        };
        for part in parts {
            candidate.part(part, &mut logs, number, &mut self.next, out)?;
        }
        if let Some(word) = word
            && !candidate.stopped
        {
            candidate.stopped = true;
            candidate.close(out);
            let stop = stop(&word, candidate.called);
            out.push(Event::Stopped {
                candidate: number,
                stop,
            });
        }
        Ok(())
    }

    /// There is no other end than why each candidate stopped.
    pub(in super::super) fn finish(&self, _out: &mut Vec<Event>) -> bool {
        !self.candidates.is_empty() && self.candidates.iter().all(|candidate| candidate.stopped)
    }
}

impl Candidate {
    fn part(
        &mut self,
        part: Part,
        logs: &mut Vec<TokenProbability>,
        number: u32,
        next: &mut u32,
        out: &mut Vec<Event>,
    ) -> Result<(), Error> {
        match part {
            Part::Text(text) => {
                let block = self.block(false, number, next, out);
                out.push(Event::Text {
                    block,
                    text,
                    log_probabilities: std::mem::take(logs),
                });
            }
            Part::Thought(thought) if thought.redacted => {
                self.close(out);
                let opening = Opening::HiddenThought;
                let block = open(opening, number, next, out);
                out.extend(
                    thought
                        .signature
                        .map(|signature| Event::Signed { block, signature }),
                );
                out.push(Event::Closed { block });
            }
            Part::Thought(thought) => {
                // A part without text signs those before it.
                let block = self.block(true, number, next, out);
                if !thought.text.is_empty() {
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
            Part::ToolCall(call) => {
                self.close(out);
                self.called = true;
                let opening = Opening::ToolCall {
                    id: call.id,
                    name: call.name,
                };
                let block = open(opening, number, next, out);
                out.extend(
                    call.signature
                        .map(|signature| Event::Signed { block, signature }),
                );
                let text = call.arguments;
                out.push(Event::Arguments { block, text });
                out.push(Event::Closed { block });
            }
            Part::Image(_)
            | Part::Document(_)
            | Part::Audio(_)
            | Part::ToolResult(_)
            | Part::Refusal(_)
            | Part::CachePoint(_) => return Err(ABILITY.lack(Feature::AnswerPart)),
        }
        Ok(())
    }

    fn block(&mut self, thought: bool, number: u32, next: &mut u32, out: &mut Vec<Event>) -> u32 {
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
        let block = open(opening, number, next, out);
        self.open = Some((thought, block));
        block
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        if let Some((_, block)) = self.open.take() {
            out.push(Event::Closed { block });
        }
    }
}

fn open(opening: Opening, candidate: u32, next: &mut u32, out: &mut Vec<Event>) -> u32 {
    let block = *next;
    *next += 1;
    out.push(Event::Opened {
        block,
        candidate,
        opening,
    });
    block
}

#[derive(Debug)]
pub(in super::super) struct Writer {
    id: String,
    model: String,
    usage: Option<Usage>,
    blocks: Vec<Block>,
    context: Context,
    /// Why candidates stopped: told with the usage, which comes behind.
    stops: Vec<(u32, &'static str)>,
    /// Candidates of which a call was left out, since its arguments are no object.
    left_out: Vec<u32>,
}

#[derive(Debug)]
struct Block {
    number: u32,
    candidate: u32,
    opening: Opening,
    /// Of a call, its arguments so far: it is told whole.
    arguments: String,
    signature: Option<Signature>,
}

impl Writer {
    pub(in super::super) fn new(asked: &Request, context: &Context) -> Self {
        Self {
            id: context.id.clone(),
            model: asked.model.clone(),
            usage: None,
            blocks: Vec::new(),
            context: context.clone(),
            stops: Vec::new(),
            left_out: Vec::new(),
        }
    }

    pub(in super::super) fn write(
        &mut self,
        event: &Event,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match event {
            Event::Started { id, model, .. } => {
                if !id.is_empty() {
                    self.id.clone_from(id);
                }
                if !model.is_empty() {
                    self.model.clone_from(model);
                }
            }
            Event::Opened {
                block,
                candidate,
                opening,
            } => self.blocks.push(Block {
                number: *block,
                candidate: *candidate,
                opening: opening.clone(),
                arguments: String::new(),
                signature: None,
            }),
            Event::Text {
                block,
                text,
                log_probabilities,
            } => self.grow(*block, text, log_probabilities, out)?,
            Event::Arguments { block, text } => {
                if let Some(block) = self.find(*block) {
                    block.arguments.push_str(text);
                }
            }
            Event::Signed { block, signature } => {
                if let Some(block) = self.find(*block) {
                    block.signature = Some(signature.clone());
                }
            }
            Event::Closed { block } => self.close(*block, out)?,
            Event::Stopped { candidate, stop } => {
                let mut reason = stop.reason;
                if self.left_out.contains(candidate) {
                    reason = without_call(reason);
                }
                self.stops.push((*candidate, stop_word(reason)));
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failed(failed) => {
                sse::write("", &failure::write(failed).to_text(), out);
            }
            Event::Ended => {
                let stops = std::mem::take(&mut self.stops);
                let candidates = stops.into_iter().map(|(candidate, word)| {
                    let object = Object::new()
                        .with("content", content(Vec::new()))
                        .with("finishReason", word)
                        .with("index", candidate);
                    Json::Object(object)
                });
                let chunk = Object::new().with("candidates", candidates.collect::<Vec<_>>());
                self.tell(chunk, out);
            }
        }
        Ok(())
    }

    fn find(&mut self, number: u32) -> Option<&mut Block> {
        self.blocks.iter_mut().rfind(|block| block.number == number)
    }

    fn grow(
        &mut self,
        number: u32,
        text: &str,
        logs: &[TokenProbability],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Some(block) = self.find(number) else {
            return Ok(());
        };
        let part = match block.opening {
            Opening::Thought | Opening::HiddenThought => Part::Thought(Thought {
                text: text.to_owned(),
                ..Thought::default()
            }),
            Opening::Text | Opening::Refusal | Opening::ToolCall { .. } => {
                Part::Text(text.to_owned())
            }
        };
        let candidate = block.candidate;
        self.part(candidate, &part, logs, out)
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) -> Result<(), Error> {
        let made = super::super::content::made_call_id(&self.context, number);
        let Some(block) = self.find(number) else {
            return Ok(());
        };
        let candidate = block.candidate;
        let signature = block.signature.take();
        let arguments = std::mem::take(&mut block.arguments);
        let part = match &block.opening {
            Opening::ToolCall { id, name } => {
                let call = ToolCall {
                    id: if id.is_empty() { made } else { id.clone() },
                    name: name.clone(),
                    arguments,
                    signature,
                };
                if call.object().is_none() {
                    self.left_out.push(candidate);
                    return Ok(());
                }
                Part::ToolCall(call)
            }
            // The signature of what was told, in an empty part behind it.
            Opening::Thought if signature.is_some() => Part::Thought(Thought {
                text: String::new(),
                signature,
                redacted: false,
            }),
            Opening::HiddenThought if signature.is_some() => Part::Thought(Thought {
                text: String::new(),
                signature,
                redacted: true,
            }),
            Opening::Text | Opening::Refusal | Opening::Thought | Opening::HiddenThought => {
                return Ok(());
            }
        };
        self.part(candidate, &part, &[], out)
    }

    fn part(
        &self,
        candidate: u32,
        part: &Part,
        logs: &[TokenProbability],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let written = parts::write(part, FOR_CALLERS, &mut Vec::new())?;
        let parts: Vec<Json> = written.map(Json::Object).into_iter().collect();
        if parts.is_empty() && logs.is_empty() {
            return Ok(());
        }
        let mut object = Object::new()
            .with("content", content(parts))
            .with("index", candidate);
        if !logs.is_empty() {
            object.set("logprobsResult", write_probabilities(logs));
        }
        let chunk = Object::new().with("candidates", vec![Json::Object(object)]);
        self.tell(chunk, out);
        Ok(())
    }

    fn tell(&self, chunk: Object, out: &mut Vec<u8>) {
        let chunk = chunk
            .with_some("usageMetadata", self.usage.as_ref().map(write_usage))
            .with("modelVersion", &self.model)
            .with("responseId", &self.id);
        sse::write("", &Json::Object(chunk).to_text(), out);
    }
}
