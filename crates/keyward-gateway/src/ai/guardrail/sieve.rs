//! Looks at one text, in pieces of any size, and lets through what no rule can find any more.
//!
//! A piece of text is held back as long as something that a rule would find could still begin in it or go on from it:
//! the longest match of the rules, and a character behind it. So what leaves here has been looked at as if the whole text
//! had been there at once, and the pieces it came in make no difference.

#[cfg(test)]
mod tests;

use super::rule::{Rules, Window};
use super::vault::{MARK_MAX, Vault};
use super::view::{Json, Look, View};
use keyward_llm::json::quoted;
use keyward_model::resource::guardrail::{GuardAction, PiiKind};
use std::ops::Range;

/// How much of what has left is kept, to know what stands before a match.
const BEFORE: usize = 512;
/// More is not held back: only a text of invisible characters, or of matches that all lie in each other, could need it.
const HELD_MAX: usize = 256 << 10;
/// Whole texts are looked at in pieces of this size, so that what is noted of each takes little memory.
const PIECE: usize = 16 << 10;
/// A text that has to be there whole for an expression without bounds has no more bytes: the time such an expression takes
/// may grow with the square of them.
const WHOLE_MAX: usize = 4 << 20;
/// More is not found in one call: each takes memory until it is replaced.
const MATCHES_MAX: usize = 100_000;
/// A number, `true` or `null` is not torn apart up to this length.
const WORD_MAX: usize = 64;

/// One text on its way through the rules.
#[derive(Debug)]
pub(super) struct Sieve {
    /// What is known of the text: what has left, as far as it is kept, and what is held back.
    raw: String,
    /// How much of `raw` has left.
    left: usize,
    /// Whether it is JSON, and where in it `raw` begins.
    json: Json,
    /// From where on each rule looks, and, last, who gives marks back.
    cursors: Vec<usize>,
    /// What is to be replaced and has not been, by where it begins.
    found: Vec<Found>,
    /// How much of the text before `raw` was dropped.
    dropped: usize,
    /// What was replaced, where somebody asks for it.
    replaced: Option<Vec<Replaced>>,
}

/// What stands in place of a part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) place: Range<usize>,
    pub(super) new: String,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    start: usize,
    end: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// By the mark of what this rule found.
    Masked { rule: usize, kind: Option<PiiKind> },
    /// By what the mark stands for.
    GivenBack,
}

/// The guardrails that fired, by their places.
#[derive(Debug, Default)]
pub(super) struct Fired {
    guards: Vec<(usize, GuardAction)>,
    /// How often something was found.
    matches: usize,
}

/// A text is not to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ai) enum Stopped {
    /// This guardrail blocks it.
    By(usize),
    /// It can't be looked at within bounds.
    Unreadable,
}

/// What a text is looked at with.
pub(super) struct Looking<'a> {
    pub(super) rules: &'a Rules,
    pub(super) vault: &'a mut Vault,
    pub(super) fired: &'a mut Fired,
    /// Whether marks become again what they stand for.
    pub(super) gives_back: bool,
}

impl Fired {
    pub(super) fn add(&mut self, guard: usize, action: GuardAction) {
        self.matches += 1;
        if !self.guards.contains(&(guard, action)) {
            self.guards.push((guard, action));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, GuardAction)> {
        self.guards.iter().copied()
    }
}

/// A whole text, as it passes; `None` where it passes as it is.
pub(super) fn whole(
    text: &str,
    json: bool,
    looking: &mut Looking<'_>,
) -> Result<Option<String>, Stopped> {
    let mut whole = Whole::new(text, json);
    while whole.step(looking)? {}
    Ok(whole.finish())
}

/// A whole text on its way through the rules, piece by piece: between two of them others may have their turn.
#[derive(Debug)]
pub(super) struct Whole<'t> {
    sieve: Sieve,
    text: &'t str,
    rest: &'t str,
    out: String,
}

impl<'t> Whole<'t> {
    pub(super) fn new(text: &'t str, json: bool) -> Self {
        Self {
            sieve: Sieve::new(json),
            text,
            rest: text,
            out: String::new(),
        }
    }

    /// Looks at the next piece, and says whether more are left.
    pub(super) fn step(&mut self, looking: &mut Looking<'_>) -> Result<bool, Stopped> {
        let bounded = looking.rules.is_bounded();
        if !bounded && self.text.len() > WHOLE_MAX {
            return Err(Stopped::Unreadable);
        }
        let piece = if bounded && self.rest.len() > PIECE {
            floor(self.rest, PIECE)
        } else {
            self.rest.len()
        };
        let (now, later) = self.rest.split_at(piece);
        self.sieve
            .push(now, later.is_empty(), looking, &mut self.out)?;
        self.rest = later;
        Ok(!later.is_empty())
    }

    /// Notes what is replaced, and where.
    pub(super) fn noting(mut self) -> Self {
        self.sieve.replaced = Some(Vec::new());
        self
    }

    /// What was replaced.
    pub(super) fn replaced(self) -> Vec<Replaced> {
        self.sieve.replaced.unwrap_or_default()
    }

    /// The text as it passes; `None` where it passes as it is.
    pub(super) fn finish(self) -> Option<String> {
        (self.out != self.text).then_some(self.out)
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl Sieve {
    /// At the beginning of a text; of JSON, where it is some.
    pub(super) fn new(json: bool) -> Self {
        Self {
            raw: String::new(),
            left: 0,
            json: if json { Json::Outside } else { Json::Not },
            cursors: Vec::new(),
            found: Vec::new(),
            dropped: 0,
            replaced: None,
        }
    }

    /// Whether something is held back.
    pub(super) fn holds(&self) -> bool {
        self.left < self.raw.len()
    }

    /// Takes the next piece, the `last` if nothing follows, and gives what may leave.
    pub(super) fn push(
        &mut self,
        piece: &str,
        last: bool,
        looking: &mut Looking<'_>,
        out: &mut String,
    ) -> Result<(), Stopped> {
        self.raw.push_str(piece);
        self.cursors.resize(looking.rules.rules.len() + 1, 0);
        let mut limit = self.look(last, looking)?;
        if self.json != Json::Not && !last {
            limit = self.before_word(limit);
        }
        if looking.fired.matches > MATCHES_MAX {
            return Err(Stopped::Unreadable);
        }
        self.found.sort_by_key(|found| (found.start, found.what));
        self.give(limit, last, looking, out)?;
        if self.raw.len() - self.left > HELD_MAX && !last {
            return Err(Stopped::Unreadable);
        }
        self.forget();
        Ok(())
    }

    /// Lets every rule look, and says up to where all of them have seen what they need.
    fn look(&mut self, last: bool, looking: &mut Looking<'_>) -> Result<usize, Stopped> {
        let mut sure = self.raw.len();
        let rules = looking.rules;
        for (place, (look, window)) in rules.looks.iter().enumerate() {
            let view = View::of(&self.raw, self.json, *look, last);
            let limit = limit(&view, *window, last);
            sure = sure.min(if last {
                self.raw.len()
            } else {
                view.raw_start(limit)
            });
            for (number, rule) in rules.rules.iter().enumerate() {
                let Some(cursor) = self.cursors.get_mut(number).filter(|_| rule.look == place)
                else {
                    continue;
                };
                let from = view.seen_at(*cursor);
                let mut blocked = false;
                let found = &mut self.found;
                let next = rule.find(view.text(), from, limit, &mut |start, end, kind| {
                    looking.fired.add(rule.guard, rule.action);
                    match rule.action {
                        GuardAction::Block => blocked = true,
                        GuardAction::Flag => {}
                        GuardAction::Mask => found.push(Found {
                            start: view.raw_start(start),
                            end: view.raw_end(end),
                            what: What::Masked { rule: number, kind },
                        }),
                    }
                });
                if blocked {
                    return Err(Stopped::By(rule.guard));
                }
                *cursor = (*cursor).max(view.raw_start(next));
            }
        }
        if looking.gives_back && looking.vault.gives_back() {
            let view = View::of(&self.raw, self.json, Look::default(), last);
            let limit = limit(&view, Window::Bytes(MARK_MAX), last);
            sure = sure.min(if last {
                self.raw.len()
            } else {
                view.raw_start(limit)
            });
            if let Some(cursor) = self.cursors.last_mut() {
                let from = view.seen_at(*cursor);
                let found = &mut self.found;
                looking
                    .vault
                    .find(view.text(), from, limit, &mut |start, end| {
                        found.push(Found {
                            start: view.raw_start(start),
                            end: view.raw_end(end),
                            what: What::GivenBack,
                        });
                    });
                *cursor = (*cursor).max(view.raw_start(limit));
            }
        }
        Ok(sure.max(self.left))
    }

    /// Lets pass what stands before `limit`, with what was found replaced.
    fn give(
        &mut self,
        mut limit: usize,
        last: bool,
        looking: &mut Looking<'_>,
        out: &mut String,
    ) -> Result<(), Stopped> {
        if self.found.first().is_none_or(|first| first.start >= limit) {
            out.push_str(self.raw.get(self.left..limit).unwrap_or_default());
            self.left = self.left.max(limit);
            return Ok(());
        }
        // Once for all that is replaced here, and where one stands in the JSON is carried on from each to the next: else
        // the time would grow with the square of what is found.
        let raw = std::mem::take(&mut self.raw);
        let view = View::of(&raw, self.json, Look::default(), true);
        let mut standing = (self.json, 0);
        let mut taken = 0;
        while let Some(first) = self.found.get(taken).copied() {
            if first.start >= limit {
                break;
            }
            if first.end <= self.left {
                // It lies in a number that was replaced as a whole.
                taken += 1;
                continue;
            }
            // All that lie in each other go as one.
            let mut end = first.end;
            let mut behind = taken + 1;
            while let Some(next) = self.found.get(behind).filter(|next| next.start < end) {
                end = end.max(next.end);
                behind += 1;
            }
            if end > limit && !last {
                limit = first.start;
                break;
            }
            let all = self.found.get(taken..behind).unwrap_or_default();
            let masked = all.iter().find(|found| found.what != What::GivenBack);
            let what = masked.map_or(first.what, |found| found.what);
            let (json, at) = standing;
            let ahead = raw.get(at..).unwrap_or_default();
            let (json, passed) = json.after(ahead, first.start.saturating_sub(at));
            standing = (json, at + passed);
            let place = Place {
                raw: &raw,
                view: &view,
                left: self.left,
                json,
            };
            let (start, end, new) = place.replaced(first.start, end, what, looking)?;
            out.push_str(raw.get(self.left..start).unwrap_or_default());
            out.push_str(&new);
            if let Some(replaced) = &mut self.replaced {
                let place = self.dropped + start..self.dropped + end;
                replaced.push(Replaced { place, new });
            }
            self.left = end;
            taken = behind;
            limit = limit.max(end);
        }
        drop(view);
        self.raw = raw;
        self.found.drain(..taken);
        out.push_str(self.raw.get(self.left..limit).unwrap_or_default());
        self.left = self.left.max(limit);
        Ok(())
    }

    /// The nearest place up to `limit` that tears no number apart.
    fn before_word(&self, limit: usize) -> usize {
        let bytes = self.raw.as_bytes();
        if !bytes.get(limit).copied().is_none_or(is_word) {
            return limit;
        }
        let (state, _) = self.json.after(&self.raw, limit);
        if state == Json::Inside {
            return limit;
        }
        let before = bytes.get(self.left..limit).unwrap_or_default();
        let word = before
            .iter()
            .rev()
            .take_while(|byte| is_word(**byte))
            .count();
        if word > WORD_MAX { limit } else { limit - word }
    }

    /// Drops what has left long ago.
    fn forget(&mut self) {
        if self.left <= 2 * BEFORE {
            return;
        }
        let (json, cut) = match self.json {
            Json::Not => (Json::Not, floor(&self.raw, self.left - BEFORE)),
            Json::Outside | Json::Inside => self.json.after(&self.raw, self.left - BEFORE),
        };
        self.json = json;
        self.raw.drain(..cut);
        self.dropped += cut;
        self.left -= cut;
        for cursor in &mut self.cursors {
            *cursor = cursor.saturating_sub(cut);
        }
        for found in &mut self.found {
            found.start -= cut;
            found.end -= cut;
        }
    }
}

/// Where something stands that is replaced.
struct Place<'s> {
    raw: &'s str,
    /// All of it, with the escapes of JSON read.
    view: &'s View<'s>,
    /// How much of it has left.
    left: usize,
    /// Whether it is JSON, and where in it the place is.
    json: Json,
}

impl Place<'_> {
    /// What stands in place of a part of the text, and of which part exactly.
    fn replaced(
        &self,
        start: usize,
        end: usize,
        what: What,
        looking: &mut Looking<'_>,
    ) -> Result<(usize, usize, String), Stopped> {
        let (from, to) = (self.view.seen_at(start), self.view.seen_at(end));
        let text = self.view.text().get(from..to).unwrap_or_default();
        let (new, guard) = match what {
            What::Masked { rule, kind } => {
                let rule = looking.rules.rules.get(rule);
                let rule = rule.ok_or(Stopped::Unreadable)?;
                let mark = looking.vault.mark(rule.label(kind), text, rule.gives_back);
                (mark, Some(rule.guard))
            }
            What::GivenBack => {
                let known = looking.vault.text_of(text).unwrap_or(text);
                (known.to_owned(), None)
            }
        };
        if self.json == Json::Not {
            return Ok((start, end, new));
        }
        let inside = self.raw.get(start..end).unwrap_or_default();
        if self.json == Json::Inside {
            // Within one string: a quote that ends it would let the rest of the document fall apart.
            if self.json.leaves(inside) {
                return guard.map_or(Ok((start, end, inside.to_owned())), |guard| {
                    Err(Stopped::By(guard))
                });
            }
            let quoted = quoted(&new);
            let escaped = quoted.get(1..quoted.len() - 1).unwrap_or_default();
            return Ok((start, end, escaped.to_owned()));
        }
        if !inside.bytes().all(is_word) {
            return guard.map_or(Ok((start, end, inside.to_owned())), |guard| {
                Err(Stopped::By(guard))
            });
        }
        // All of a number becomes a text: a mark is none.
        let bytes = self.raw.as_bytes();
        let before = bytes.get(self.left..start).unwrap_or_default();
        let before = before.iter().rev().take_while(|byte| is_word(**byte));
        let behind = bytes.get(end..).unwrap_or_default();
        let behind = behind.iter().take_while(|byte| is_word(**byte));
        Ok((start - before.count(), end + behind.count(), quoted(&new)))
    }
}

/// Up to where what a rule finds is sure.
fn limit(view: &View<'_>, window: Window, last: bool) -> usize {
    let length = view.text().len();
    if last {
        return length;
    }
    match window {
        Window::Whole => 0,
        Window::Bytes(bytes) => floor(view.text(), length.saturating_sub(bytes)),
    }
}

/// What numbers, `true`, `false` and `null` are of.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}
