//! A streamed answer on its way from a provider to the caller, event by event.

use super::answering::{Account, Seen, Taken};
use super::attempt::Heard;
use super::visit::outcome_of;
use crate::body::{AnswerBody, BodyFailure, move_bytes};
use crate::metrics::ModelOutcome;
use crate::record::CallRecord;
use bytes::Bytes;
use keyward_llm::form::{Event, Failure, FailureKind, Request, Usage};
use keyward_llm::framing::{Deframer, sse};
use keyward_llm::passage::StreamPassage;
use keyward_llm::task::{Task, Told};
use keyward_llm::{Context, Dialect, StreamReader, StreamWriter};
use keyward_model::usage::ModelUse;
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
    /// Whether the call's whole time has passed: it may be the caller who reads slowly, and says nothing of the provider.
    late: bool,
    account: Account,
    /// What the provider has sent, where it is counted here should it not tell.
    seen: Option<Seen>,
}

/// How a provider's events become the caller's.
pub(super) enum Way {
    /// They are the caller's, known here or not.
    Passed { passage: Box<StreamPassage> },
    /// What is no conversation: it passes as it comes, and events are looked at for what they say of tokens.
    Unread {
        task: Task,
        events: Option<Box<Deframer>>,
        told: Told,
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
    pub(super) fn passed(dialect: Dialect, take_out_usage: bool) -> Self {
        Self::Passed {
            passage: Box::new(StreamPassage::new(dialect, take_out_usage)),
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
    pub(super) fn unread(task: Task, events: bool, told: Told) -> Self {
        Self::Unread {
            task,
            events: events.then(|| Box::new(Deframer::Sse(sse::Reader::new()))),
            told,
        }
    }

    fn has_begun(&self) -> bool {
        match self {
            Self::Unread { .. } => true,
            Self::Passed { passage } => passage.has_begun(),
            Self::Translated { begun, .. } => *begun,
        }
    }

    fn usage(&self) -> Option<Usage> {
        match self {
            Self::Passed { passage } => passage.usage(),
            Self::Translated { usage, .. } => *usage,
            Self::Unread { told, .. } => told.usage,
        }
    }

    /// What is told of what it took.
    fn taken(&self) -> Taken {
        match self {
            Self::Passed { .. } | Self::Translated { .. } => Taken::told(self.usage()),
            Self::Unread { told, .. } => Taken::of_task(*told),
        }
    }

    /// Takes bytes, or the end of them (`None`); what the caller gets goes into `out`. The failure that the stream tells
    /// of, if it does.
    fn take(&mut self, bytes: Option<&[u8]>, out: &mut Vec<u8>) -> Option<Failed> {
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
            Self::Passed { passage } => {
                let taken = match bytes {
                    Some(bytes) => passage.push(bytes, out),
                    None => {
                        passage.finish(out);
                        Ok(())
                    }
                };
                match taken {
                    Ok(()) => passage.failure().map(|failure| Failed {
                        told: failure.kind != FailureKind::Cut,
                        failure: failure.clone(),
                    }),
                    Err(error) => Some(Failed::untold(Failure::of_answer(&error))),
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
                            failure = Some(Failed::untold(told.clone()));
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
                        failure = Some(Failed::untold(Failure::of_answer(&error)));
                        break;
                    }
                }
                failure
            }
        }
    }

    /// Tells the caller of a failure in mid-stream.
    fn tell(&mut self, failure: &Failure, form: Dialect, context: &Context, out: &mut Vec<u8>) {
        let told = match self {
            // It has no words for it.
            Self::Unread { .. } => Ok(()),
            Self::Passed { passage, .. } => passage.tell(failure, form, context, out),
            Self::Translated { writer, .. } => writer.write(&Event::Failed(failure.clone()), out),
        };
        if let Err(error) = told {
            tracing::debug!(%error, "a stream's failure can't be told in the caller's dialect");
        }
    }
}

/// Whether an event is a part of the answer: from then on there is no way back to another provider.
const fn is_answer(event: &Event) -> bool {
    match event {
        // Where a block begins there is no token yet.
        Event::Started { .. } | Event::Opened { .. } | Event::Usage(_) | Event::Failed(_) => false,
        Event::Text { .. }
        | Event::Arguments { .. }
        | Event::Signed { .. }
        | Event::Closed { .. }
        | Event::Stopped { .. }
        | Event::Ended => true,
    }
}

/// A stream that failed.
struct Failed {
    failure: Failure,
    /// Whether what the caller gets says so already.
    told: bool,
}

impl Failed {
    const fn untold(failure: Failure) -> Self {
        Self {
            failure,
            told: false,
        }
    }
}

impl InferredBody {
    /// A stream up to its first token, or the failure that came before that.
    pub(super) async fn begin(
        mut from: AnswerBody,
        mut way: Way,
        (form, context): (Dialect, &Context),
        (heard, account, mut seen): (&Heard, Account, Option<Seen>),
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
            if let Some(seen) = &mut seen {
                seen.piece(&piece);
            }
            let failed = way.take(bytes, &mut out);
            heard.set(way.usage());
            if let Some(failed) = failed {
                if !way.has_begun() {
                    return Err(failed.failure);
                }
                // A first token and a failure in one piece: what follows tells of it.
                let mut body = Self::of(None, way, (form, context), out, (account, seen));
                body.fail(failed);
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
        Ok(Self::of(from, way, (form, context), out, (account, seen)))
    }

    fn of(
        from: Option<Box<AnswerBody>>,
        way: Way,
        (form, context): (Dialect, &Context),
        out: Vec<u8>,
        (account, seen): (Account, Option<Seen>),
    ) -> Self {
        Self {
            from,
            way,
            form,
            context: context.clone(),
            out: Bytes::from(out),
            given: 0,
            failure: None,
            late: false,
            account,
            seen,
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
            let failed = match ready!(from.poll_piece(waking)) {
                Ok(0) => {
                    from.end();
                    self.from = None;
                    self.way.take(None, &mut out)
                }
                Ok(count) => {
                    let piece = from.take_piece(count);
                    if let Some(seen) = &mut self.seen {
                        seen.piece(&piece);
                    }
                    self.way.take(Some(&piece), &mut out)
                }
                // Sound has no words to tell it in: the connection breaks, so that nobody takes a part for the whole.
                Err(failure) if matches!(self.way, Way::Unread { .. }) => {
                    self.from = None;
                    self.late = failure == BodyFailure::UpstreamLate;
                    self.failure = Some(broken(failure));
                    return Poll::Ready(Err(failure));
                }
                Err(failure) => {
                    self.late = failure == BodyFailure::UpstreamLate;
                    Some(Failed::untold(broken(failure)))
                }
            };
            self.out = Bytes::from(out);
            self.given = 0;
            if let Some(failed) = failed {
                self.fail(failed);
            }
        }
    }

    /// The stream fails: the caller is told, and it ends.
    fn fail(&mut self, Failed { failure, told }: Failed) {
        self.from = None;
        if !told {
            let mut out = self.out.to_vec();
            self.way.tell(&failure, self.form, &self.context, &mut out);
            self.out = Bytes::from(out);
        }
        self.failure = Some(failure);
    }

    /// To be said while the caller takes nothing: what comes meanwhile is in no other call's way.
    pub(crate) fn absorb(&mut self, waking: &mut Waking<'_>) {
        if let Some(from) = &mut self.from {
            from.absorb(waking);
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

    /// What the call took up to now.
    pub(crate) fn used(&self) -> ModelUse {
        let told = self.way.usage();
        let taken = match &self.seen {
            Some(seen) => Taken::counted(told, || seen.counted(told)),
            None => Taken::told(told),
        };
        self.account.used(taken)
    }

    /// Writes down what the call took and how it ended.
    pub(crate) fn settle(&self, record: &mut CallRecord) {
        let told = self.way.usage();
        // Of a stream that did not come to its end, whoever broke it off, what was written by then counts: what the provider
        // has told of that is not all of it.
        let whole = self.from.is_none() && self.failure.is_none();
        let target = self.account.model.targets.get(self.account.target);
        let taken = match (&self.seen, whole) {
            (None, _) => self.way.taken(),
            (Some(seen), true) => Taken::counted(told, || seen.counted(None)),
            (Some(seen), false) => Taken::counted(None, || seen.unheard(told, target)),
        };
        let used = self.account.used(taken);
        let visit = &self.account.visit;
        let outcome = match &self.failure {
            Some(failure) => {
                if !self.late {
                    visit.judge(failure.kind);
                }
                outcome_of(failure.kind)
            }
            None => {
                visit.did_well();
                if record.complete {
                    ModelOutcome::Answered
                } else {
                    ModelOutcome::Cancelled
                }
            }
        };
        visit.count(outcome, &used);
        record.model = Some(Box::new(used));
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
