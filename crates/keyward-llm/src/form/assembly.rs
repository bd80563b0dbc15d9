//! A streamed answer put together, and a whole one taken apart.

use super::answer::{Answer, Candidate, TokenProbability};
use super::event::{Event, Opening};
use super::failure::Failure;
use super::message::{Part, Thought, ToolCall};

/// Gathers the events of a stream into the answer they are.
#[derive(Debug, Default)]
pub struct Assembly {
    answer: Answer,
    blocks: Vec<Block>,
    failure: Option<Failure>,
    ended: bool,
}

#[derive(Debug)]
struct Block {
    number: u32,
    candidate: usize,
    part: Part,
    log_probabilities: Vec<TokenProbability>,
}

impl Assembly {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one event more.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Started { id, model, created } => {
                self.answer.id = id;
                self.answer.model = model;
                self.answer.created = created;
            }
            Event::Opened {
                block,
                candidate,
                opening,
            } => {
                let candidate = usize::try_from(candidate).unwrap_or(usize::MAX);
                self.candidate(candidate);
                self.blocks.push(Block {
                    number: block,
                    candidate,
                    part: part(opening),
                    log_probabilities: Vec::new(),
                });
            }
            Event::Text {
                block,
                text,
                log_probabilities,
            } => {
                if let Some(block) = self.block(block) {
                    block.log_probabilities.extend(log_probabilities);
                    grow(&mut block.part, &text);
                }
            }
            Event::Arguments { block, text } => {
                if let Some(block) = self.block(block) {
                    grow(&mut block.part, &text);
                }
            }
            Event::Signed { block, signature } => {
                if let Some(block) = self.block(block) {
                    match &mut block.part {
                        Part::Thought(thought) => thought.signature = Some(signature),
                        Part::ToolCall(call) => call.signature = Some(signature),
                        Part::Text(_)
                        | Part::Refusal(_)
                        | Part::Image(_)
                        | Part::Document(_)
                        | Part::Audio(_)
                        | Part::ToolResult(_)
                        | Part::CachePoint(_) => {}
                    }
                }
            }
            Event::Closed { .. } => {}
            Event::Stopped { candidate, stop } => {
                let candidate = usize::try_from(candidate).unwrap_or(usize::MAX);
                if let Some(candidate) = self.candidate(candidate) {
                    candidate.stop = stop;
                }
            }
            Event::Usage(usage) => self.answer.usage = Some(usage),
            Event::Failed(failure) => self.failure = Some(failure),
            Event::Ended => self.ended = true,
        }
    }

    /// The answer.
    ///
    /// # Errors
    /// The failure that the stream told of, or that it did not end.
    pub fn finish(mut self) -> Result<Answer, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if !self.ended {
            return Err(Failure::cut());
        }
        for block in self.blocks {
            if let Some(candidate) = self.answer.candidates.get_mut(block.candidate) {
                candidate.parts.push(block.part);
                candidate.log_probabilities.extend(block.log_probabilities);
            }
        }
        Ok(self.answer)
    }

    fn block(&mut self, number: u32) -> Option<&mut Block> {
        self.blocks.iter_mut().rfind(|block| block.number == number)
    }

    fn candidate(&mut self, at: usize) -> Option<&mut Candidate> {
        // Readers bound them.
        while self.answer.candidates.len() <= at.min(1_000) {
            self.answer.candidates.push(Candidate::default());
        }
        self.answer.candidates.get_mut(at)
    }
}

fn part(opening: Opening) -> Part {
    match opening {
        Opening::Text => Part::Text(String::new()),
        Opening::Refusal => Part::Refusal(String::new()),
        Opening::Thought => Part::Thought(Thought::default()),
        Opening::HiddenThought => Part::Thought(Thought {
            redacted: true,
            ..Thought::default()
        }),
        Opening::ToolCall { id, name } => Part::ToolCall(ToolCall {
            id,
            name,
            arguments: String::new(),
            signature: None,
        }),
    }
}

fn grow(part: &mut Part, more: &str) {
    match part {
        Part::Text(text) | Part::Refusal(text) => text.push_str(more),
        Part::Thought(thought) => thought.text.push_str(more),
        Part::ToolCall(call) => call.arguments.push_str(more),
        Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::ToolResult(_)
        | Part::CachePoint(_) => {}
    }
}

/// A whole answer as the events of a stream: for callers who asked for one, of a provider who gave none.
#[must_use]
pub fn events_of(answer: &Answer) -> Vec<Event> {
    let mut events = vec![Event::Started {
        id: answer.id.clone(),
        model: answer.model.clone(),
        created: answer.created,
    }];
    let mut block = 0;
    for (candidate, number) in answer.candidates.iter().zip(0_u32..) {
        let mut logs = candidate.log_probabilities.clone();
        for part in &candidate.parts {
            if let Some(opening) = opening(part) {
                events.push(Event::Opened {
                    block,
                    candidate: number,
                    opening,
                });
                inside(part, block, &mut logs, &mut events);
                events.push(Event::Closed { block });
                block += 1;
            }
        }
        events.push(Event::Stopped {
            candidate: number,
            stop: candidate.stop.clone(),
        });
    }
    events.extend(answer.usage.map(Event::Usage));
    events.push(Event::Ended);
    events
}

fn opening(part: &Part) -> Option<Opening> {
    match part {
        Part::Text(_) => Some(Opening::Text),
        Part::Refusal(_) => Some(Opening::Refusal),
        Part::Thought(thought) if thought.redacted => Some(Opening::HiddenThought),
        Part::Thought(_) => Some(Opening::Thought),
        Part::ToolCall(call) => Some(Opening::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
        }),
        Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::ToolResult(_)
        | Part::CachePoint(_) => None,
    }
}

fn inside(part: &Part, block: u32, logs: &mut Vec<TokenProbability>, events: &mut Vec<Event>) {
    let (text, signature) = match part {
        Part::Text(text) | Part::Refusal(text) => (text, None),
        Part::Thought(thought) => (&thought.text, thought.signature.as_ref()),
        Part::ToolCall(call) => {
            events.push(Event::Arguments {
                block,
                text: call.arguments.clone(),
            });
            (&call.arguments, call.signature.as_ref())
        }
        Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::ToolResult(_)
        | Part::CachePoint(_) => return,
    };
    if !matches!(part, Part::ToolCall(_)) && !text.is_empty() {
        let log_probabilities = if matches!(part, Part::Text(_)) {
            std::mem::take(logs)
        } else {
            Vec::new()
        };
        events.push(Event::Text {
            block,
            text: text.clone(),
            log_probabilities,
        });
    }
    events.extend(signature.map(|signature| Event::Signed {
        block,
        signature: signature.clone(),
    }));
}
