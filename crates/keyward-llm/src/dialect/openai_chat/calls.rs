//! Tool calls of a stream, put in a row.
//!
//! Here calls come in pieces that name their call by an index, and providers differ: some mix the pieces of several
//! calls, some number all calls 0, some give no number, some repeat the id or the name with each piece, some give the
//! name late. What leaves is one call after another, each opened once, with every piece of its arguments once.

use crate::form::{Event, Opening, Signature};

#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// The call that is being written; those behind it wait.
    current: usize,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    signature: Option<Signature>,
    /// Arguments that are not given on yet.
    waiting: String,
    block: Option<u32>,
    shape: Shape,
}

/// A piece of a call, as it comes.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) index: Option<u64>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) signature: Option<Signature>,
}

/// Whether the arguments are a whole JSON object yet.
#[derive(Debug, Default)]
struct Shape {
    depth: usize,
    in_string: bool,
    escaped: bool,
    whole: bool,
}

impl Calls {
    pub(super) const fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn push(
        &mut self,
        piece: Piece,
        candidate: u32,
        next: &mut u32,
        out: &mut Vec<Event>,
    ) {
        let at = self.find(&piece).unwrap_or_else(|| {
            self.calls.push(Call {
                index: piece.index,
                ..Call::default()
            });
            self.calls.len() - 1
        });
        if let Some(call) = self.calls.get_mut(at) {
            if call.id.is_empty() {
                call.id = piece.id;
            }
            if call.name.is_empty() {
                call.name = piece.name;
            }
            call.signature = piece.signature.or(call.signature.take());
            call.shape.read(&piece.arguments);
            call.waiting.push_str(&piece.arguments);
        }
        self.pump(false, candidate, next, out);
    }

    /// The call that a piece belongs to. One with another id than the call of its number begins a new call.
    fn find(&self, piece: &Piece) -> Option<usize> {
        let same = |call: &Call| piece.id.is_empty() || call.id.is_empty() || call.id == piece.id;
        if piece.index.is_some() {
            let at = self
                .calls
                .iter()
                .rposition(|call| call.index == piece.index)?;
            return self.calls.get(at).filter(|call| same(call)).map(|_| at);
        }
        if piece.id.is_empty() {
            return self.calls.len().checked_sub(1);
        }
        self.calls.iter().position(|call| call.id == piece.id)
    }

    /// Everything that waits is given; each call is closed.
    pub(super) fn finish(&mut self, candidate: u32, next: &mut u32, out: &mut Vec<Event>) {
        self.pump(true, candidate, next, out);
    }

    fn pump(&mut self, all: bool, candidate: u32, next: &mut u32, out: &mut Vec<Event>) {
        let count = self.calls.len();
        while let Some(call) = self.calls.get_mut(self.current) {
            if !call.give(all, candidate, next, out) {
                return;
            }
            let others = self.current + 1 < count;
            if !(all || (others && call.shape.whole)) {
                return;
            }
            if let Some(block) = call.block {
                out.push(Event::Closed { block });
            }
            self.current += 1;
        }
    }
}

impl Call {
    /// Gives what waits; not before the name is known, unless nothing more comes.
    fn give(&mut self, all: bool, candidate: u32, next: &mut u32, out: &mut Vec<Event>) -> bool {
        if self.name.is_empty() && !all {
            return false;
        }
        let block = *self.block.get_or_insert_with(|| {
            let block = *next;
            *next += 1;
            out.push(Event::Opened {
                block,
                candidate,
                opening: Opening::ToolCall {
                    id: self.id.clone(),
                    name: self.name.clone(),
                },
            });
            block
        });
        if let Some(signature) = self.signature.take() {
            out.push(Event::Signed { block, signature });
        }
        if !self.waiting.is_empty() {
            let text = std::mem::take(&mut self.waiting);
            out.push(Event::Arguments { block, text });
        }
        true
    }
}

impl Shape {
    fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                match byte {
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        self.whole = self.depth == 0;
                    }
                    _ => {}
                }
            }
        }
    }
}
