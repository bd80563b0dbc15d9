//! A streamed answer on its way from a provider to the caller, event by event.

use super::answering::Account;
use crate::body::{AnswerBody, BodyFailure, move_bytes};
use crate::record::CallRecord;
use bytes::Bytes;
use keyward_llm::form::{Event, Failure, FailureKind, Request, Usage};
use keyward_llm::framing::{Deframer, sse};
use keyward_llm::passage::StreamPassage;
use keyward_llm::task::{Task, Told as Taken, Units};
use keyward_llm::{Context, Dialect, StreamReader, StreamWriter};
use std::future::poll_fn;
use std::task::{Context as Waking, Poll, ready};

/// What a provider may send before its first token: comments that keep a connection alive, and who it is.
const BEFORE_FIRST_MAX: usize = 1 << 20;

/// The stream. It takes from the provider what the caller has room for, and no more.
pub(crate) struct InferredBody {
    /// `None` when it has ended.
    from: Option<Box<AnswerBody>>,
    way: Way,
    form: Dialect,
    context: Context,
    /// What the caller gets next, and how much of it was given.
    out: Bytes,
    given: usize,
    /// What went wrong, once that was told.
    failure: Option<Failure>,
    account: Account,
}

/// How a provider's events become the caller's.
pub(super) enum Way {
    /// They are the caller's. Until the first token is there, they are read beside for that.
    Passed {
        passage: Box<StreamPassage>,
        ahead: Option<Box<StreamReader>>,
    },
    /// What is no conversation: it passes as it comes, and events are looked at for what they say of tokens.
    Unread {
        task: Task,
        events: Option<Box<Deframer>>,
        told: Taken,
    },
    Translated {
        reader: Box<StreamReader>,
        writer: Box<StreamWriter>,
        usage: Option<Usage>,
        begun: bool,
    },
}

impl Way {
    /// Between two of one dialect.
    pub(super) fn passed(dialect: Dialect, take_out_usage: bool, context: &Context) -> Self {
        Self::Passed {
            passage: Box::new(StreamPassage::new(dialect, take_out_usage)),
            ahead: Some(Box::new(StreamReader::new(dialect, context))),
        }
    }

    /// From a provider's dialect to the caller's; `None` where nobody speaks that.
    pub(super) fn translated(
        dialect: Dialect,
        form: Dialect,
        asked: &Request,
        context: &Context,
    ) -> Option<Self> {
        Some(Self::Translated {
            reader: Box::new(StreamReader::new(dialect, context)),
            writer: Box::new(StreamWriter::new(form, asked, context)?),
            usage: None,
            begun: false,
        })
    }

    /// Of what is no conversation; `events` where it is a stream of them.
    pub(super) fn unread(task: Task, events: bool, told: Taken) -> Self {
        Self::Unread {
            task,
            events: events.then(|| Box::new(Deframer::Sse(sse::Reader::new()))),
            told,
        }
    }

    fn has_begun(&self) -> bool {
        match self {
            Self::Unread { .. } => true,
            Self::Passed { ahead, .. } => ahead.is_none(),
            Self::Translated { begun, .. } => *begun,
        }
    }

    fn usage(&self) -> Option<Usage> {
        match self {
            Self::Passed { passage, .. } => passage.usage(),
            Self::Translated { usage, .. } => *usage,
            Self::Unread { told, .. } => told.usage,
        }
    }

    fn units(&self) -> Units {
        match self {
            Self::Passed { .. } | Self::Translated { .. } => Units::default(),
            Self::Unread { told, .. } => told.units,
        }
    }

    /// Takes bytes, or the end of them (`None`); what the caller gets goes into `out`. The failure that the stream tells
    /// of, if it does.
    fn take(&mut self, bytes: Option<&[u8]>, out: &mut Vec<u8>) -> Option<Failure> {
        match self {
            Self::Unread { task, events, told } => {
                let bytes = bytes?;
                out.extend_from_slice(bytes);
                let looked = events.as_mut().map(|events| {
                    events.push(bytes, &mut |frame| {
                        told.look(*task, frame.data);
                        Ok(())
                    })
                });
                if looked.is_some_and(|looked| looked.is_err()) {
                    // What can't be told apart passes all the same, and tells nothing.
                    *events = None;
                }
                None
            }
            Self::Passed { passage, ahead } => {
                if let Some(reader) = ahead {
                    let events = match bytes {
                        Some(bytes) => reader.push(bytes),
                        None => reader.finish(),
                    };
                    match events.iter().find_map(failure_of) {
                        // What this gateway does not know passes all the same.
                        Some(failure) if is_of_reading(failure) => *ahead = None,
                        Some(failure) => return Some(failure.clone()),
                        None if events.iter().any(is_answer) => *ahead = None,
                        None => {}
                    }
                }
                let taken = match bytes {
                    Some(bytes) => passage.push(bytes, out),
                    None => {
                        passage.finish(out);
                        Ok(())
                    }
                };
                match taken {
                    Ok(()) => passage.failure().cloned(),
                    Err(error) => Some(Failure::of_answer(&error)),
                }
            }
            Self::Translated {
                reader,
                writer,
                usage,
                begun,
            } => {
                let events = match bytes {
                    Some(bytes) => reader.push(bytes),
                    None => reader.finish(),
                };
                let mut failure = None;
                for event in events {
                    *begun |= is_answer(&event);
                    match &event {
                        Event::Usage(told) => *usage = Some(*told),
                        Event::Failed(told) => {
                            failure = Some(told.clone());
                            // Who tells of it knows whether the caller has heard anything yet.
                            break;
                        }
                        Event::Started { .. }
                        | Event::Opened { .. }
                        | Event::Text { .. }
                        | Event::Arguments { .. }
                        | Event::Signed { .. }
                        | Event::Closed { .. }
                        | Event::Stopped { .. }
                        | Event::Ended => {}
                    }
                    if let Err(error) = writer.write(&event, out) {
                        failure = Some(Failure::of_answer(&error));
                        break;
                    }
                }
                failure
            }
        }
    }

    /// Whether the caller has been told of a failure by the provider's own bytes.
    fn tells_itself(&self, failure: &Failure) -> bool {
        match self {
            Self::Passed { .. } => failure.kind != FailureKind::Cut,
            Self::Unread { .. } => true,
            Self::Translated { .. } => false,
        }
    }

    /// Tells the caller of a failure in mid-stream.
    fn tell(&mut self, failure: &Failure, form: Dialect, context: &Context, out: &mut Vec<u8>) {
        let event = Event::Failed(failure.clone());
        let told = match self {
            Self::Unread { .. } => None,
            Self::Passed { .. } => StreamWriter::new(form, &Request::default(), context)
                .map(|mut writer| writer.write(&event, out)),
            Self::Translated { writer, .. } => Some(writer.write(&event, out)),
        };
        if let Some(Err(error)) = told {
            tracing::debug!(%error, "a stream's failure can't be told in the caller's dialect");
        }
    }
}

/// Whether an event is a part of the answer: from then on there is no way back to another provider.
const fn is_answer(event: &Event) -> bool {
    match event {
        Event::Started { .. } | Event::Usage(_) | Event::Failed(_) => false,
        Event::Opened { .. }
        | Event::Text { .. }
        | Event::Arguments { .. }
        | Event::Signed { .. }
        | Event::Closed { .. }
        | Event::Stopped { .. }
        | Event::Ended => true,
    }
}

/// Whether a provider said something that this gateway does not know, which is no failure of the provider's.
pub(super) fn is_of_reading(failure: &Failure) -> bool {
    let code = failure.code.as_deref();
    matches!(code, Some("malformed_field" | "unknown_field"))
}

fn failure_of(event: &Event) -> Option<&Failure> {
    match event {
        Event::Failed(failure) => Some(failure),
        Event::Started { .. }
        | Event::Usage(_)
        | Event::Opened { .. }
        | Event::Text { .. }
        | Event::Arguments { .. }
        | Event::Signed { .. }
        | Event::Closed { .. }
        | Event::Stopped { .. }
        | Event::Ended => None,
    }
}

/// Who has told the caller of a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The provider, where its bytes pass and say so.
    AsItSays,
    /// Nobody yet: the stream was found to have failed here.
    ByNobody,
}

impl InferredBody {
    /// A stream up to its first token, or the failure that came before that.
    pub(super) async fn begin(
        mut from: AnswerBody,
        mut way: Way,
        (form, context): (Dialect, &Context),
        account: Account,
    ) -> Result<Self, Failure> {
        let mut out = Vec::new();
        let mut ended = false;
        while !ended && !way.has_begun() {
            let count = poll_fn(|waking| from.poll_piece(waking))
                .await
                .map_err(broken)?;
            ended = count == 0;
            let piece = from.take_piece(count);
            let bytes = (!ended).then_some(&*piece);
            if let Some(failure) = way.take(bytes, &mut out) {
                if !way.has_begun() {
                    return Err(failure);
                }
                // A first token and a failure in one piece: what follows tells of it.
                let mut body = Self::of(None, way, (form, context), out, account);
                body.fail(failure, Told::AsItSays);
                return Ok(body);
            }
            if out.len() > BEFORE_FIRST_MAX && !way.has_begun() {
                return Err(Failure::new(
                    FailureKind::Server,
                    "The provider sent much and no token",
                ));
            }
        }
        if ended {
            from.end();
        }
        let from = (!ended).then(|| Box::new(from));
        Ok(Self::of(from, way, (form, context), out, account))
    }

    fn of(
        from: Option<Box<AnswerBody>>,
        way: Way,
        (form, context): (Dialect, &Context),
        out: Vec<u8>,
        account: Account,
    ) -> Self {
        Self {
            from,
            way,
            form,
            context: context.clone(),
            out: Bytes::from(out),
            given: 0,
            failure: None,
            account,
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
            let Some(from) = &mut self.from else {
                return Poll::Ready(Ok(0));
            };
            let mut out = Vec::new();
            let mut told = Told::AsItSays;
            let failure = match ready!(from.poll_piece(waking)) {
                Ok(0) => {
                    from.end();
                    self.from = None;
                    self.way.take(None, &mut out)
                }
                Ok(count) => {
                    let piece = from.take_piece(count);
                    self.way.take(Some(&piece), &mut out)
                }
                // Sound has no words to tell it in: the connection breaks, so that nobody takes a part for the whole.
                Err(failure) if matches!(self.way, Way::Unread { .. }) => {
                    self.from = None;
                    self.failure = Some(broken(failure));
                    return Poll::Ready(Err(failure));
                }
                Err(failure) => {
                    told = Told::ByNobody;
                    Some(broken(failure))
                }
            };
            self.out = Bytes::from(out);
            self.given = 0;
            if let Some(failure) = failure {
                self.fail(failure, told);
            }
        }
    }

    /// The stream fails: the caller is told, and it ends.
    fn fail(&mut self, failure: Failure, told: Told) {
        self.from = None;
        if told == Told::ByNobody || !self.way.tells_itself(&failure) {
            let mut out = self.out.to_vec();
            self.way.tell(&failure, self.form, &self.context, &mut out);
            self.out = Bytes::from(out);
        }
        self.failure = Some(failure);
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

    /// Writes down what the call took and how it ended.
    pub(crate) fn settle(&self, record: &mut CallRecord) {
        record.model = Some(Box::new(
            self.account.took(self.way.usage(), self.way.units()),
        ));
        if let Some(failure) = &self.failure {
            let (code, failure) = super::failure::told(failure.clone());
            record.failed_in_stream(code, failure.because.as_ref().unwrap_or(&failure.message));
        }
    }
}

/// A provider's body that did not come to its end.
fn broken(failure: BodyFailure) -> Failure {
    match failure {
        BodyFailure::UpstreamIdle | BodyFailure::UpstreamLate => Failure::new(
            FailureKind::Timeout,
            "The model's provider took too long to go on",
        ),
        BodyFailure::Client
        | BodyFailure::ClientLeft
        | BodyFailure::ClientIdle
        | BodyFailure::TooLarge
        | BodyFailure::Undecodable(_)
        | BodyFailure::Coder
        | BodyFailure::Upstream => Failure::cut(),
    }
}
