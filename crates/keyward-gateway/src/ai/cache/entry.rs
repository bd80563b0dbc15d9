//! An answer that is kept, and how it is told again: as it was, or, to who asks for a stream of what was whole or the other
//! way round, made from what it says. What can't be read whole in the caller's dialect is not made into anything.

use super::key::Asked;
use crate::ai::chain::Chain;
use crate::body::AnswerBody;
use crate::message::{Fields, Header};
use crate::policy::whole::Reserved;
use crate::request::Answer;
use bytes::Bytes;
use http::StatusCode;
use keyward_llm::form::{self, Assembly, StopReason, events_of};
use keyward_llm::{Context, Dialect, StreamReader, StreamWriter};
use keyward_model::Moment;
use std::fmt;

/// An answer.
pub(super) struct Entry {
    pub(super) body: Bytes,
    pub(super) stream: bool,
    /// Whether it, a stream, tells what it took.
    pub(super) usage: bool,
    /// `PROVIDER/MODEL`.
    pub(super) served: Box<str>,
    pub(super) since: Moment,
    /// The memory that it takes.
    pub(super) _reserved: Reserved,
}

/// Nobody's answer stands in a log.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// An answer in the caller's dialect, read; `None` where it is none, or not all of it can be.
pub(super) fn read(
    form: Dialect,
    context: &Context,
    body: &[u8],
    stream: bool,
) -> Option<form::Answer> {
    if !stream {
        return form.read_answer(body, context).ok();
    }
    let mut reader = StreamReader::new(form, context);
    let mut assembly = Assembly::new();
    for event in reader.push(body).into_iter().chain(reader.finish()) {
        assembly.take(event);
    }
    assembly.finish().ok()
}

/// Whether an answer came to an end that it would come to again.
pub(super) fn is_complete(answer: &form::Answer) -> bool {
    !answer.candidates.is_empty()
        && answer
            .candidates
            .iter()
            .all(|candidate| match candidate.stop.reason {
                StopReason::End
                | StopReason::Sequence
                | StopReason::MaxTokens
                | StopReason::ToolCalls
                | StopReason::ContextFull => true,
                StopReason::Filtered
                | StopReason::Refused
                | StopReason::Paused
                | StopReason::Malformed => false,
            })
}

impl Entry {
    /// The answer for a call; `None` where it can't be told as the call wants it.
    pub(super) fn answer(
        &self,
        chain: &Chain<'_>,
        asked: &Asked,
        told: &str,
        now: Moment,
    ) -> Option<Answer> {
        let call = chain.asked;
        let same = self.stream == call.stream && (!call.stream || self.usage == asked.usage);
        let body = if same {
            self.body.clone()
        } else {
            Bytes::from(self.made(chain)?)
        };
        let mut fields = Fields::new();
        let kind = if call.stream {
            call.form.stream_type()
        } else {
            "application/json"
        };
        fields.append(Header::ContentType, kind.as_bytes());
        fields.append(Header::CacheControl, b"no-store");
        fields.append_named("keyward-model", self.served.as_bytes());
        let age = now.since(self.since).as_secs();
        fields.append_named("keyward-cache", format!("{told}; age={age}").as_bytes());
        Some(Answer::own(StatusCode::OK, fields, AnswerBody::full(body)))
    }

    fn made(&self, chain: &Chain<'_>) -> Option<Vec<u8>> {
        let call = chain.asked;
        if call.task.is_some() {
            return None;
        }
        let context = &chain.context;
        let answer = read(call.form, context, &self.body, self.stream)?;
        let request = chain.request().ok()?;
        if !call.stream {
            return call.form.write_answer(&answer, request, context).ok();
        }
        let mut writer = StreamWriter::new(call.form, request, context)?;
        let mut out = Vec::new();
        for event in events_of(&answer) {
            writer.write(&event, &mut out).ok()?;
        }
        Some(out)
    }
}
