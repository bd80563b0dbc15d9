//! A stream between two of one dialect: its bytes, event by event, and what of it the gateway has to know.

use super::veiling::veiled;
use crate::dialect::{Context, Dialect, Glance, StreamWriter};
use crate::error::Error;
use crate::form::{Event, Failure, FailureKind, Request, Usage};
use crate::framing::{MOST_EVENT_BYTES, sse};
use crate::json::{Json, Members, Object};
use memchr::{memchr2, memmem};
use std::borrow::Cow;

/// Passes a stream of server-sent events on as it comes: an event is given as soon as it is whole, in its own bytes.
#[derive(Debug)]
pub struct StreamPassage {
    /// The event that is not whole yet.
    event: Vec<u8>,
    /// Its last line is empty up to here.
    line_is_empty: bool,
    after_return: bool,
    /// The usage was asked for by us and not by the caller.
    take_out_usage: bool,
    /// How many events the caller has been given.
    given: u64,
    /// Sees usage, an error and the end, and nothing else.
    glance: Glance,
}

impl StreamPassage {
    /// At the beginning of a stream.
    #[must_use]
    pub const fn new(dialect: Dialect, take_out_usage: bool) -> Self {
        Self {
            event: Vec::new(),
            line_is_empty: true,
            after_return: false,
            take_out_usage,
            given: 0,
            glance: Glance::new(dialect),
        }
    }

    /// Takes the next bytes, and gives what goes to the caller.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for an event that does not end.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        // The event begins here, but for what of it came before.
        let mut begin = 0;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            // All of a line at once: byte by byte, this was a good part of what a stream costs.
            let length = memchr2(b'\n', b'\r', rest);
            if length != Some(0) {
                (self.line_is_empty, self.after_return) = (false, false);
            }
            let Some(length) = length else { break };
            at += length + 1;
            let ends_return = rest.get(length) == Some(&b'\r');
            if ends_return || !self.after_return {
                if self.line_is_empty {
                    let end = bytes.get(begin..at).unwrap_or_default();
                    begin = at;
                    if self.event.is_empty() {
                        self.give(end, out);
                    } else {
                        let mut event = std::mem::take(&mut self.event);
                        event.extend_from_slice(end);
                        self.give(&event, out);
                        event.clear();
                        self.event = event;
                    }
                }
                self.line_is_empty = true;
            }
            self.after_return = ends_return;
        }
        self.event
            .extend_from_slice(bytes.get(begin..).unwrap_or_default());
        if self.event.len() > MOST_EVENT_BYTES {
            return Err(Error::TooLarge {
                what: "the bytes of one event of a stream",
                limit: MOST_EVENT_BYTES,
            });
        }
        Ok(())
    }

    /// The provider's bytes have ended: gives what is left, if that is an event. Where they had not come to the dialect's
    /// own end, [`failure`](Self::failure) tells from now on that they were cut; a part of an event is then not given, since
    /// it would spoil what tells of that.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let mut rest = Vec::new();
        let event = std::mem::take(&mut self.event);
        self.give(&event, &mut rest);
        self.glance.finish();
        let cut = self
            .failure()
            .is_some_and(|failure| failure.kind == FailureKind::Cut);
        if !cut {
            out.extend_from_slice(&rest);
        }
    }

    /// What the answer took, as far as it was told.
    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.glance.usage()
    }

    /// The error that the stream told of, or that it was cut.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        self.glance.failure()
    }

    /// Whether the answer has begun: its first token was there, or its end.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.glance.has_begun()
    }

    /// Tells of a failure behind what was given: `dialect` is the stream's.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what the dialect can't say.
    pub fn tell(
        &self,
        failure: &Failure,
        dialect: Dialect,
        context: &Context,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if dialect == Dialect::OpenAiResponses {
            // What ends a response that failed has all of it, which was not read here: the error comes by itself, with
            // the number that follows.
            let error = Object::new()
                .with("type", "error")
                .with("sequence_number", self.given)
                .with("code", "server_error")
                .with("message", &failure.message)
                .with("param", Json::Null);
            sse::write("error", &Json::Object(error).to_text(), out);
            return Ok(());
        }
        match StreamWriter::new(dialect, &Request::default(), context) {
            Some(mut writer) => writer.write(&Event::Failed(failure.clone()), out),
            None => Ok(()),
        }
    }

    fn give(&mut self, event: &[u8], out: &mut Vec<u8>) {
        self.given += u64::from(event.starts_with(b"event:") || event.starts_with(b"data:"));
        if self.glance.may_tell(event) && self.look(event, out) {
            return;
        }
        if self.take_out_usage && memmem::find(event, b"\"usage\"").is_some() {
            if let Some(rest) = without_usage(event) {
                out.extend_from_slice(&rest);
            }
            return;
        }
        out.extend_from_slice(event);
    }

    /// What is no event that can be told apart is not seen: it is the caller's to read, as it came. Whether the event told
    /// of an error, and was written with words for the caller.
    fn look(&mut self, event: &[u8], out: &mut Vec<u8>) -> bool {
        let glance = &mut self.glance;
        let known = glance.failure().is_some();
        let mut written = false;
        let mut taker = |frame: crate::framing::Frame<'_>| {
            glance.look(frame);
            if let Some(failure) = glance.failure()
                && !known
            {
                veiled(frame, failure, out);
                written = true;
            }
            Ok(())
        };
        let mut reader = sse::Reader::new();
        if reader.push(event, &mut taker).is_ok() {
            // The last event of a stream may lack its empty line.
            let _cut = reader.finish(&mut taker);
        }
        written
    }
}

/// The event without its usage; nothing where it was made for that alone.
fn without_usage(event: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(begin) = event.windows(5).position(|window| window == b"data:") else {
        return Some(Cow::Borrowed(event));
    };
    let (head, rest) = event.split_at(begin + 5);
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'\n' | b'\r'))
        .unwrap_or(rest.len());
    let (data, tail) = rest.split_at(end);
    let Ok(members) = Members::read(data) else {
        return Some(Cow::Borrowed(event));
    };
    let is_last = members.get("choices").map(Json::parse) == Some(Ok(Json::Array(Vec::new())));
    match members.get("usage") {
        Some(usage) if usage.starts_with(b"{") && is_last => None,
        Some(b"null") => {
            let edited = members.edit(&[("usage", None)]);
            Some(Cow::Owned([head, &edited, tail].concat()))
        }
        Some(_) | None => Some(Cow::Borrowed(event)),
    }
}
