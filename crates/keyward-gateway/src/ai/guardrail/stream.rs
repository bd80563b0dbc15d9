//! A streamed answer on its way through the guardrails, event by event.
//!
//! Each text that grows over events (a channel: the words of one choice, the arguments of one tool call) has a sieve of
//! its own. An event goes on at once, with what of its text may leave already; what is held back at a channel's end is
//! told in an event of the dialect's own before the one that ends it.

mod channels;

#[cfg(test)]
mod tests;

use super::places::{self, Form, Site};
use super::sieve::{Fired, Looking, Sieve, Stopped, whole};
use super::vault::Vault;
use super::{GuardPlan, passing};
use crate::body::{AnswerBody, BodyFailure, move_bytes};
use crate::record::CallRecord;
use bytes::Bytes;
use channels::{Delta, Told, deltas};
use keyward_llm::form::{Event, Failure, FailureKind, Request};
use keyward_llm::framing::{Frame, sse};
use keyward_llm::json::{Spanned, quoted, with_exchanged};
use keyward_llm::{Context, Dialect, Error, StreamWriter};
use keyward_model::Code;
use keyward_model::usage::ModelUse;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context as Waking, Poll, ready};

/// More texts do not grow at once in an answer.
const CHANNELS_MAX: usize = 1_000;

/// The stream.
pub(crate) struct GuardedBody {
    from: AnswerBody,
    filter: Filter,
    /// What the caller gets next, and how much of it was given.
    out: Bytes,
    given: usize,
    ended: bool,
}

/// What events pass through.
pub(super) struct Filter {
    form: Dialect,
    context: Context,
    plan: Arc<GuardPlan>,
    vault: Vault,
    fired: Fired,
    gives_back: bool,
    framing: sse::Reader,
    channels: Vec<Channel>,
    /// How many events were added, where events are numbered.
    added: u64,
    /// The number of the last event that came.
    number: u64,
    /// Texts that a service has rewritten.
    rewritten: Vec<Rewritten>,
    /// Why the rest does not pass.
    stopped: Option<Stopped>,
}

/// A text that is another from now on.
#[derive(Debug)]
pub(super) struct Rewritten {
    /// Of which text that grows; none of one that is in one event alone.
    key: Option<String>,
    old: String,
    new: String,
    /// Whether all of it was told: a text may end and begin again.
    told: bool,
}

impl Rewritten {
    pub(super) fn new(key: Option<String>, old: String, new: String) -> Self {
        Self {
            key,
            old,
            new,
            told: false,
        }
    }
}

/// A text of a stream that is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gathered {
    /// Of which text that grows; none of one that is in one event alone.
    pub(super) key: Option<String>,
    pub(super) text: String,
    /// Whether it is JSON.
    pub(super) json: bool,
}

struct Channel {
    key: String,
    sieve: Sieve,
    told: Told,
}

impl GuardedBody {
    pub(super) fn new(from: AnswerBody, filter: Filter) -> Self {
        Self {
            from,
            filter,
            out: Bytes::new(),
            given: 0,
            ended: false,
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
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            let mut out = Vec::new();
            let count = ready!(self.from.poll_piece(waking))?;
            let piece = self.from.take_piece(count);
            if count == 0 {
                self.from.end();
                self.filter.finish(&mut out);
            } else {
                self.filter.push(&piece, &mut out);
            }
            self.ended = count == 0 || self.filter.stopped.is_some();
            self.out = Bytes::from(out);
            self.given = 0;
        }
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

    /// To be said while the client takes nothing.
    pub(crate) fn absorb(&mut self, waking: &mut Waking<'_>) {
        self.from.absorb(waking);
    }

    /// What the call took up to now, where that is known.
    pub(crate) fn model_use(&self) -> Option<ModelUse> {
        self.from.model_use()
    }

    /// What the caller is told of the rest, where it does not pass.
    pub(crate) fn told_of_stop(&self) -> Option<String> {
        let stopped = self.filter.stopped?;
        Some(passing::told_of_answer(&self.filter.plan, stopped))
    }

    /// Writes down what the call took, what fired and how it ended.
    pub(crate) fn settle(&self, record: &mut CallRecord) {
        self.from.settle(record);
        record
            .guardrails
            .note(&self.filter.plan, &self.filter.fired);
        if let Some(stopped) = self.filter.stopped {
            let because = passing::because(&self.filter.plan, stopped);
            record.failed_in_stream(Code::GuardrailBlocked, &because);
        }
    }
}

impl Filter {
    pub(super) fn new(
        (form, context): (Dialect, &Context),
        plan: &Arc<GuardPlan>,
        vault: Vault,
        fired: Fired,
        rewritten: Vec<Rewritten>,
    ) -> Self {
        Self {
            form,
            context: context.clone(),
            plan: Arc::clone(plan),
            gives_back: vault.gives_back(),
            vault,
            fired,
            framing: sse::Reader::new(),
            channels: Vec::new(),
            added: 0,
            number: 0,
            rewritten,
            stopped: None,
        }
    }

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut framing = std::mem::take(&mut self.framing);
        let read = framing.push(bytes, &mut |frame| self.frame(frame, out));
        self.framing = framing;
        self.settle(&read, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let mut framing = std::mem::take(&mut self.framing);
        let read = framing.finish(&mut |frame| self.frame(frame, out));
        self.settle(&read, out);
        if self.stopped.is_none()
            && let Err(stopped) = self.end_all(out)
        {
            self.stop(stopped, out);
        }
    }

    fn settle(&mut self, read: &Result<(), Error>, out: &mut Vec<u8>) {
        if read.is_err() && self.stopped.is_none() {
            // What is no stream of events can't be looked at.
            self.stop(Stopped::Unreadable, out);
        }
    }

    fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.stopped.is_none()
            && let Err(stopped) = self.event(frame, out)
        {
            self.stop(stopped, out);
        }
        Ok(())
    }

    /// The caller is told that the rest does not pass, as of any failure in mid-stream.
    fn stop(&mut self, stopped: Stopped, out: &mut Vec<u8>) {
        let message = passing::told_of_answer(&self.plan, stopped);
        let failure = Failure::new(FailureKind::InvalidRequest, message)
            .with_code(Code::GuardrailBlocked.as_str());
        let writer = StreamWriter::new(self.form, &Request::default(), &self.context);
        let told = writer.map(|mut writer| writer.write(&Event::Failed(failure), out));
        if let Some(Err(error)) = told {
            tracing::debug!(%error, "that a guardrail stops a stream can't be told in the caller's dialect");
        }
        self.channels.clear();
        self.stopped = Some(stopped);
    }

    fn event(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<(), Stopped> {
        if frame.data == b"[DONE]" {
            self.end_all(out)?;
            out.extend_from_slice(frame.raw);
            return Ok(());
        }
        let Ok(event) = Spanned::parse(frame.data) else {
            return Err(Stopped::Unreadable);
        };
        let found = deltas(self.form, frame.data, &event);
        let keys = self.channels.iter().map(|channel| channel.key.clone());
        let keys: Vec<String> = keys.collect();
        for key in keys {
            if found.ends_before(&key) {
                self.end(&key, out)?;
            } else if found.pauses_before(&key) {
                self.pause(&key, out)?;
            }
        }
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        places::likelihoods(&event, &mut edits);
        for site in places::sites(&event)? {
            let new = match found.at(&site.span) {
                Some((delta, last)) => self.grow(delta, &site, last)?,
                None => self.alone(&site)?,
            };
            if let Some(new) = new {
                edits.push((site.span, site.form.write(&new)));
            }
        }
        if let Some((span, number)) = found.number {
            self.number = number;
            if self.added > 0 {
                edits.push((span, (number + self.added).to_string()));
            }
        }
        if edits.is_empty() {
            out.extend_from_slice(frame.raw);
            return Ok(());
        }
        edits.sort_by_key(|(span, _)| span.start);
        let data = with_exchanged(frame.data, &edits);
        let data = String::from_utf8(data).map_err(|_| Stopped::Unreadable)?;
        sse::write(frame.name, &data, out);
        Ok(())
    }

    /// A text that is in one event alone.
    fn alone(&mut self, site: &Site<'_>) -> Result<Option<String>, Stopped> {
        let mut rewritten = self.rewritten.iter();
        let rewritten = rewritten.find(|rewritten| *rewritten.old == *site.text);
        let text = rewritten.map_or(&*site.text, |rewritten| &*rewritten.new);
        let text = text.to_owned();
        let masked = whole(&text, site.form == Form::Json, &mut self.looking())?;
        let new = masked.unwrap_or(text);
        Ok((new != *site.text).then_some(new))
    }

    fn looking(&mut self) -> Looking<'_> {
        Looking {
            rules: &self.plan.answer.rules,
            vault: &mut self.vault,
            fired: &mut self.fired,
            gives_back: self.gives_back,
        }
    }

    /// A text goes on.
    fn grow(
        &mut self,
        delta: &Delta,
        site: &Site<'_>,
        last: bool,
    ) -> Result<Option<String>, Stopped> {
        let known = self
            .channels
            .iter()
            .position(|channel| channel.key == delta.key);
        let place = match known {
            Some(place) => place,
            None if self.channels.len() >= CHANNELS_MAX => return Err(Stopped::Unreadable),
            None => {
                self.channels.push(Channel {
                    key: delta.key.clone(),
                    sieve: Sieve::new(site.form == Form::Json),
                    told: delta.told.clone(),
                });
                self.channels.len() - 1
            }
        };
        let mut channel = self.channels.swap_remove(place);
        let mut new = String::new();
        let mut rewritten = self.rewritten.iter_mut();
        let rewritten = rewritten.find(|rewritten| rewritten.key.as_ref() == Some(&delta.key));
        // All of a text that was rewritten is told where it begins.
        let text = match rewritten {
            Some(rewritten) if rewritten.told => String::new(),
            Some(rewritten) => {
                rewritten.told = true;
                rewritten.new.clone()
            }
            None => site.text.clone().into_owned(),
        };
        channel
            .sieve
            .push(&text, last, &mut self.looking(), &mut new)?;
        if !last {
            channel.told = delta.told.clone();
            self.channels.push(channel);
        }
        Ok((new != *site.text).then_some(new))
    }

    fn end_all(&mut self, out: &mut Vec<u8>) -> Result<(), Stopped> {
        while let Some(key) = self.channels.first().map(|channel| channel.key.clone()) {
            self.end(&key, out)?;
        }
        Ok(())
    }

    /// A text is whole: what is held back of it is told.
    fn end(&mut self, key: &str, out: &mut Vec<u8>) -> Result<(), Stopped> {
        let Some(place) = self.channels.iter().position(|channel| channel.key == key) else {
            return Ok(());
        };
        let channel = self.channels.remove(place);
        self.tell_rest(channel, out).map(drop)
    }

    /// A text waits: what is held back of it is told, and it may go on.
    fn pause(&mut self, key: &str, out: &mut Vec<u8>) -> Result<(), Stopped> {
        let Some(place) = self.channels.iter().position(|channel| channel.key == key) else {
            return Ok(());
        };
        let channel = self.channels.remove(place);
        let channel = self.tell_rest(channel, out)?;
        self.channels.insert(place, channel);
        Ok(())
    }

    fn tell_rest(&mut self, mut channel: Channel, out: &mut Vec<u8>) -> Result<Channel, Stopped> {
        if !channel.sieve.holds() {
            return Ok(channel);
        }
        let mut rest = String::new();
        channel
            .sieve
            .push("", true, &mut self.looking(), &mut rest)?;
        if rest.is_empty() {
            return Ok(channel);
        }
        let number = self.number + self.added + 1;
        let (name, data) = channel.told.write(&quoted(&rest), number);
        self.added += u64::from(channel.told.is_numbered());
        sse::write(&name, &data, out);
        Ok(channel)
    }
}

/// All texts of a stream that is there, each whole, with the key of those that grow; those that repeat another once.
///
/// # Errors
/// Something says that it is text and can't be read.
pub(super) fn texts(form: Dialect, stream: &[u8]) -> Result<Vec<Gathered>, Stopped> {
    let mut texts: Vec<Gathered> = Vec::new();
    let mut alone: Vec<Gathered> = Vec::new();
    let mut unreadable = None;
    let mut reader = sse::Reader::new();
    let mut take = |frame: Frame<'_>| {
        let Ok(event) = Spanned::parse(frame.data) else {
            return Ok(());
        };
        let found = deltas(form, frame.data, &event);
        let sites = match places::sites(&event) {
            Ok(sites) => sites,
            Err(stopped) => {
                unreadable = Some(stopped);
                return Ok(());
            }
        };
        for site in sites {
            let mut text = Gathered {
                key: None,
                json: site.form == Form::Json,
                text: site.text.into_owned(),
            };
            let Some((delta, _)) = found.at(&site.span) else {
                alone.push(text);
                continue;
            };
            text.key = Some(delta.key.clone());
            match texts.iter_mut().find(|known| known.key == text.key) {
                Some(known) => known.text.push_str(&text.text),
                None => texts.push(text),
            }
        }
        Ok(())
    };
    let read = reader.push(stream, &mut take);
    if let Err(error) = read.and_then(|()| reader.finish(&mut take)) {
        // It is found again when the stream passes, and stops it.
        tracing::debug!(%error, "a stream can't be read for its texts");
    }
    if let Some(stopped) = unreadable {
        return Err(stopped);
    }
    for text in alone {
        if !texts.iter().any(|known| known.text == text.text) {
            texts.push(text);
        }
    }
    Ok(texts)
}
