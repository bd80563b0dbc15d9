//! One attempt: a request written for one target, sent, and its answer read as far as it decides whether another has to
//! be made.

use super::answering::{Account, Seen, Spent, Taken, way_to};
use super::chain::Chain;
use super::credential;
use super::plan::AiTarget;
use super::provider::ProviderPlan;
use super::stream::{InferredBody, Way};
use super::visit::Visit;
use crate::body::{AnswerBody, BodyFailure, RequestBody};
use crate::deadlines::{Deadline, Patience};
use crate::message::{Fields, Header, RequestHead, Version};
use crate::policy::whole::{Reserved, UnreadAnswer, read_answer_within};
use crate::record::CallRecord;
use crate::request::forward::{self, Call};
use crate::request::match_route::Matched;
use crate::request::{Answer, Refusal};
use bytes::Bytes;
use http::{Method, StatusCode};
use keyward_llm::count;
use keyward_llm::form::{Failure, FailureKind, Usage};
use keyward_llm::passage::{self, Edit};
use keyward_llm::{Dialect, Hosting};
use keyward_model::Code;
use std::borrow::Cow;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// An answer that is not streamed has no more bytes than this: what the longest of models write, and pictures.
pub(super) const ANSWER_MAX: usize = 32 << 20;
/// What is read of an answer that tells of an error.
const ERROR_MAX: usize = 256 << 10;
/// The version of Anthropic's dialect that is spoken where the caller names none.
const ANTHROPIC_VERSION: &[u8] = b"2023-06-01";

/// A request as one target gets it.
pub(super) struct Prepared {
    path: String,
    body: Bytes,
    /// `None` where it is translated; else whether the usage is to be taken out of the stream again.
    passed: Option<bool>,
    pub(super) notes: Vec<String>,
}

/// What came of an attempt.
pub(super) struct Answered {
    pub(super) content_type: Cow<'static, str>,
    pub(super) body: AnswerBody,
    /// Of an answer that is not streamed, what it took.
    pub(super) whole: Option<(Account, Taken)>,
}

/// Why an attempt gave no answer.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) failure: Box<Failure>,
    /// When to come again, where the provider says so.
    pub(super) retry_after: Option<Duration>,
    /// What the provider charges for all the same.
    pub(super) usage: Option<Usage>,
    /// What callers are told of it, where nobody is asked again: it would end alike, or the fault is this node's own.
    pub(super) last: Option<Code>,
    /// Whether there was no way to the provider.
    pub(super) unreached: bool,
    /// Whether the target gave an answer, and would give the same again: of no use here, and charged for.
    unusable: bool,
    /// Whether the provider had begun to answer, or may have, and did not say that it failed: it has read what was asked,
    /// at least.
    pub(super) was_read: bool,
}

/// What an attempt has told so far of what it takes: it counts, however the attempt ends.
pub(super) type Heard = Rc<Cell<Option<Usage>>>;

/// Who may be asked after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nobody: the request is at fault.
    Nobody,
    /// Another target. The same one would say the same.
    Another,
    /// Another target, or in a while the same one.
    Anybody,
    /// The provider with another key.
    OtherKey,
}

impl Ended {
    pub(super) fn of(failure: Failure) -> Self {
        Self {
            failure: Box::new(failure),
            retry_after: None,
            usage: None,
            last: None,
            unreached: false,
            unusable: false,
            was_read: false,
        }
    }

    /// Of an answer that is dropped here.
    pub(super) fn dropped(self) -> Self {
        Self {
            was_read: true,
            ..self
        }
    }

    /// Of a stream that came to nothing before its first token: the provider told so, or else it is dropped.
    pub(super) fn of_stream(failure: Failure) -> Self {
        let untold = matches!(failure.kind, FailureKind::Timeout | FailureKind::Cut);
        Self {
            was_read: untold,
            ..Self::of(failure)
        }
    }

    /// Nobody is to be asked again.
    fn at_last(code: Code, message: &str, because: &str) -> Self {
        let kind = FailureKind::of_status(code.status());
        let failure = Failure {
            status: code.status(),
            because: Some(because.to_owned()),
            ..Failure::new(kind, message).with_code(code.as_str())
        };
        Self {
            last: Some(code),
            ..Self::of(failure)
        }
    }

    pub(super) fn next(&self) -> Next {
        if self.last.is_some() {
            return Next::Nobody;
        }
        if self.unusable {
            return Next::Another;
        }
        match self.failure.kind {
            // What the caller goes on with may be kept by the account of another key.
            FailureKind::InvalidRequest if self.failure.status == 404 => Next::OtherKey,
            FailureKind::InvalidRequest | FailureKind::Filtered | FailureKind::TooLarge => {
                Next::Nobody
            }
            // Another model may have more room, or be there; and after a wait the caller should not wait again.
            FailureKind::ContextLength | FailureKind::NotFound | FailureKind::Timeout => {
                Next::Another
            }
            FailureKind::Authentication
            | FailureKind::Permission
            | FailureKind::QuotaExhausted
            | FailureKind::Unpaid
            | FailureKind::OverLimit
            | FailureKind::RateLimited => Next::OtherKey,
            FailureKind::Overloaded | FailureKind::Server | FailureKind::Cut => Next::Anybody,
        }
    }
}

impl Chain<'_> {
    /// Writes the request for a target, from the bytes that came.
    pub(super) fn prepare(
        &self,
        target: &AiTarget,
        provider: &ProviderPlan,
    ) -> Result<Prepared, Failure> {
        let asked = self.asked;
        if let Some(task) = asked.task() {
            let written = task.write(provider.dialect, &target.asked)?;
            return Ok(Prepared {
                passed: Some(false),
                notes: written.notes,
                ..self.placed(target, provider, written.path, written.body)?
            });
        }
        if provider.dialect == asked.form {
            let members = asked.body.members();
            let members = members.map_err(|error| Failure::from(&error))?;
            let passed = passage::request(asked.form, &members, asked.stream, &target.asked);
            let passed = passed.map_err(|error| Failure::from(&error))?;
            return Ok(Prepared {
                passed: Some(passed.edits.contains(&Edit::UsageAsked)),
                notes: Vec::new(),
                ..self.placed(target, provider, passed.path, passed.body)?
            });
        }
        let request = self.request().map_err(Failure::from)?;
        let outgoing = provider.dialect.write_request(request, &target.asked);
        let outgoing = outgoing.map_err(|error| Failure::from(&error))?;
        let mut notes = request.notes.clone();
        notes.extend(outgoing.notes);
        Ok(Prepared {
            notes,
            ..self.placed(target, provider, outgoing.path, Cow::Owned(outgoing.body))?
        })
    }

    /// A request as it goes to where the provider has the model.
    fn placed(
        &self,
        target: &AiTarget,
        provider: &ProviderPlan,
        path: String,
        body: Cow<'_, [u8]>,
    ) -> Result<Prepared, Failure> {
        let (dialect, model) = (provider.dialect, &target.asked.model);
        let placed = provider
            .hosting
            .place(dialect, model, self.asked.stream, (path, body));
        let (path, body) = placed.map_err(|error| Failure::from(&error))?;
        Ok(Prepared {
            path,
            body: match body {
                Cow::Borrowed(_) => Bytes::clone(&self.asked.body),
                Cow::Owned(edited) => Bytes::from(edited),
            },
            passed: None,
            notes: Vec::new(),
        })
    }

    /// Makes one attempt.
    pub(super) async fn attempt(
        &self,
        place: usize,
        key: Option<usize>,
        prepared: &Prepared,
        (heard, others): (&Heard, &Rc<Cell<Spent>>),
        record: &mut CallRecord,
    ) -> Result<Answered, Ended> {
        let (Some(target), Some(provider)) = (self.target(place), self.provider(place)) else {
            return Err(Ended::of(lost()));
        };
        let Some(route) = way_to(&self.call.matched.route, target.provider) else {
            return Err(Ended::of(lost()));
        };
        let mut fields = self.fields(provider, prepared);
        if let Some((_, own)) = &self.asked.own_key {
            credential::send(own, provider.key_header, &mut fields);
        } else if let Some(key) = key {
            let worker = self.call.worker;
            let now = worker.civil(worker.moment());
            let request = (prepared.path.as_str(), &*prepared.body, now);
            let proved = provider.prove(key, request, &mut fields).await;
            proved.map_err(|why| Ended::of(without_token(why)))?;
        }
        let head = RequestHead::of_own(Method::POST, Version::Http11, fields);
        let matched = Matched::of_copy(Rc::clone(route), prepared.path.as_str().into());
        let call = Call {
            worker: self.call.worker,
            client: self.call.client,
            seat: self.call.seat,
            matched: &matched,
            admitted: self.call.admitted.of_copy(),
            upgrades: false,
        };
        let body = RequestBody::whole(prepared.body.clone());
        let visit = Rc::new(Visit::begin(target, self.call.worker));
        let account = Account {
            model: std::sync::Arc::clone(&self.asked.model),
            target: place,
            provider: provider.name.clone(),
            own_key: self.asked.own_key.is_some(),
            others: Rc::clone(others),
            visit: Rc::clone(&visit),
        };
        // Whoever leaves from now on, the record says who was asked.
        record.model = Some(Box::new(account.used(Taken::default())));
        let answered = async {
            let answer = Box::pin(forward::fetch(&call, head, body, record)).await;
            let answer = answer.map_err(|refusal| Ended {
                unreached: refusal.fault().code() == Code::UpstreamUnreachable,
                was_read: refusal.fault().code() == Code::UpstreamTimeout,
                ..Ended::of(unsent(&refusal))
            });
            let answer = answer?;
            if answer.status != StatusCode::OK {
                return Err(self.refused(provider, key, answer).await);
            }
            if self.asked.stream {
                self.streamed(provider, prepared, answer, (heard, account))
                    .await
            } else {
                self.whole(provider, prepared, answer, (heard, account))
                    .await
            }
        };
        let outcome = if self.asked.stream {
            let time = provider.declared.first_token_timeout;
            let begun = self.within(time, answered).await;
            begun.unwrap_or_else(|| {
                Err(Ended::of(Failure::new(
                    FailureKind::Timeout,
                    "The model's provider took too long to begin its answer",
                ))
                .dropped())
            })
        } else {
            // The whole time is seen to where the request is sent.
            answered.await
        };
        match &outcome {
            Ok(_) if self.asked.stream => visit.streams(),
            Ok(_) => visit.answered(),
            Err(ended) => visit.ended(ended),
        }
        outcome.map_err(|mut ended| {
            self.sent(provider, key).out_of(&mut ended.failure);
            ended
        })
    }

    /// What proved to the provider who calls: its words may repeat it.
    fn sent(&self, provider: &ProviderPlan, key: Option<usize>) -> credential::Sent {
        let mut sent = credential::Sent::default();
        if let Some((_, own)) = &self.asked.own_key {
            sent.add(own.reveal());
        } else if let Some((credential, _)) = key.and_then(|key| provider.keys.credential(key)) {
            credential.tell(&mut sent);
        }
        sent
    }

    async fn within<T>(&self, time: Duration, answered: impl Future<Output = T>) -> Option<T> {
        let mut answered = pin!(answered);
        let mut patience = Patience::new(time);
        poll_fn(|context| {
            if let Poll::Ready(answered) = answered.as_mut().poll(context) {
                return Poll::Ready(Some(answered));
            }
            patience.poll(self.call.seat).map(|()| None)
        })
        .await
    }

    /// The request's headers: nothing of the caller's but what says which features of their dialect are meant.
    fn fields(&self, provider: &ProviderPlan, prepared: &Prepared) -> Fields {
        let mut fields = Fields::new();
        let task = self.asked.task.as_ref();
        let json: &[u8] = b"application/json";
        let content_type = task.map_or(json, |task| &*task.content_type);
        fields.append(Header::ContentType, content_type);
        let accepted = if self.asked.stream {
            provider.dialect.stream_type()
        } else if task.is_some() {
            // Sound and pictures come in types of their own.
            "*/*"
        } else {
            "application/json"
        };
        fields.append_named("accept", accepted.as_bytes());
        fields.append(Header::UserAgent, b"keyward");
        if prepared.passed.is_some() {
            for (name, value) in &self.asked.features {
                fields.append_named(name, value);
            }
        }
        let versioned = fields.all_named("anthropic-version").next().is_some();
        if provider.dialect == Dialect::Anthropic && !versioned && provider.hosting == Hosting::Own
        {
            fields.append_named("anthropic-version", ANTHROPIC_VERSION);
        }
        fields
    }

    /// An answer that tells of an error.
    async fn refused(&self, provider: &ProviderPlan, key: Option<usize>, answer: Answer) -> Ended {
        let status = answer.status.as_u16();
        let retry_after = retry_after(&answer.fields, self.civil());
        let header = provider.dialect.failure_header();
        let told = header.and_then(|name| answer.fields.all_named(name).next());
        let told = told.and_then(|told| std::str::from_utf8(told).ok());
        let body = self.read(provider, answer.body, ERROR_MAX).await;
        let body = body.unwrap_or_default();
        let mut failure = provider.dialect.read_failure(status, told, &body);
        if status < 400 {
            failure.kind = FailureKind::Server;
        }
        // Not by the status: AWS tells of what has expired with 403, and others with 400.
        if failure.kind == FailureKind::Authentication
            && let Some((credential, _)) = key.and_then(|key| provider.keys.credential(key))
        {
            credential.was_refused();
        }
        Ended {
            retry_after,
            ..Ended::of(failure)
        }
    }

    async fn streamed(
        &self,
        provider: &ProviderPlan,
        prepared: &Prepared,
        answer: Answer,
        (heard, account): (&Heard, Account),
    ) -> Result<Answered, Ended> {
        let (dialect, form) = (provider.dialect, self.asked.form);
        check_type(&answer.fields, dialect.stream_type())?;
        let way = match prepared.passed {
            Some(take_out_usage) => Some(Way::passed(dialect, take_out_usage)),
            None => {
                let request = self.request().map_err(|error| {
                    // It was read before: this target's request was written from it.
                    Ended::of(Failure::from(error))
                })?;
                Way::translated(dialect, form, request, &self.context)
            }
        };
        let way = way.ok_or_else(|| Ended::of(lost()))?;
        let asked = (form, Bytes::clone(&self.asked.body));
        let seen = Seen::new(dialect, asked, &self.context);
        let begun = InferredBody::begin(
            answer.body,
            way,
            (form, &self.context),
            (heard, account, Some(seen)),
        );
        let body = begun.await.map_err(Ended::of_stream)?;
        Ok(Answered {
            content_type: form.stream_type().into(),
            body: AnswerBody::inferred(body),
            whole: None,
        })
    }

    async fn whole(
        &self,
        provider: &ProviderPlan,
        prepared: &Prepared,
        answer: Answer,
        (heard, account): (&Heard, Account),
    ) -> Result<Answered, Ended> {
        let (dialect, form) = (provider.dialect, self.asked.form);
        if let Some(task) = self.asked.task() {
            let told = (heard, account);
            return self.task_done(task, provider, answer, told).await;
        }
        check_type(&answer.fields, "application/json")?;
        let body = self.read(provider, answer.body, ANSWER_MAX).await?;
        // What the provider charges for is read apart from what the caller gets: no other part of an answer that passes
        // has to be one that this gateway knows.
        let seen = passage::answer(dialect, &body).map_err(|why| Ended::of(why).dropped())?;
        if let Some(failure) = seen.failure {
            return Err(Ended {
                usage: seen.usage,
                ..Ended::of(failure)
            });
        }
        let (taken, body) = if prepared.passed.is_some() {
            let count = || {
                // What can't be read whole is counted by all the text in it.
                let answer = dialect.read_answer(&body, &self.context);
                let said =
                    answer.map_or_else(|_| count::request(&body), |read| count::answer(&read));
                count::call(&self.asked.body, said)
            };
            (Taken::counted(seen.usage, count), body)
        } else {
            let unusable = |failure| Ended {
                usage: seen.usage,
                unusable: true,
                was_read: true,
                ..Ended::of(failure)
            };
            let answer = dialect
                .read_answer(&body, &self.context)
                .map_err(unusable)?;
            let request = self
                .request()
                .map_err(|error| unusable(Failure::from(error)))?;
            let written = form
                .write_answer(&answer, request, &self.context)
                .map_err(|error| unusable(Failure::of_answer(&error)))?;
            let count = || count::call(&self.asked.body, count::answer(&answer));
            let taken = Taken::counted(answer.usage.or(seen.usage), count);
            (taken, Bytes::from(written))
        };
        Ok(Answered {
            content_type: "application/json".into(),
            body: AnswerBody::full(body),
            whole: Some((account, taken)),
        })
    }

    pub(super) async fn read(
        &self,
        provider: &ProviderPlan,
        mut body: AnswerBody,
        bound: usize,
    ) -> Result<Bytes, Ended> {
        let worker = self.call.worker;
        let reserved = Reserved::nothing(&self.plan.answers, &worker.shared.answers);
        let now = worker.deadlines.now();
        let deadline = Deadline::after(Some(provider.declared.total_timeout), now);
        let read = read_answer_within(self.call.seat, deadline, &mut body, bound, reserved);
        let read = read.await.map_err(|why| match why {
            UnreadAnswer::Late
            | UnreadAnswer::Broken(BodyFailure::UpstreamIdle | BodyFailure::UpstreamLate) => {
                Ended::of(Failure {
                    because: Some(why.as_str().to_owned()),
                    ..Failure::new(
                        FailureKind::Timeout,
                        "The model's provider took too long to end its answer",
                    )
                })
            }
            UnreadAnswer::TooLarge => Ended::at_last(
                Code::ProviderFailed,
                "The model's answer is larger than what this gateway reads whole: ask for a shorter one, or stream it",
                why.as_str(),
            ),
            UnreadAnswer::NoMemory => Ended::at_last(
                Code::Overloaded,
                "This gateway has too many answers in memory just now: try again later, or stream the answer",
                why.as_str(),
            ),
            UnreadAnswer::Broken(
                BodyFailure::Client
                | BodyFailure::ClientLeft
                | BodyFailure::ClientIdle
                | BodyFailure::TooLarge
                | BodyFailure::Undecodable(_)
                | BodyFailure::Coder
                | BodyFailure::Upstream,
            ) => Ended::of(Failure {
                because: Some(why.as_str().to_owned()),
                ..Failure::new(
                    FailureKind::Cut,
                    "The model's provider broke its answer off",
                )
            }),
        });
        read.map_err(Ended::dropped)
    }
}

/// An answer of another type is none, such as the page of a balancer that says that it is busy.
pub(super) fn check_type(fields: &Fields, expected: &str) -> Result<(), Ended> {
    let given = fields.get(Header::ContentType).unwrap_or_default();
    let given = given.split(|byte| *byte == b';').next().unwrap_or_default();
    if given.trim_ascii().eq_ignore_ascii_case(expected.as_bytes()) {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(given);
    let failure = Failure::new(
        FailureKind::Server,
        "The model's provider gave an answer that can't be read",
    );
    Err(Ended::of(Failure {
        because: Some(format!(
            "its content type is `{}`, not `{expected}`",
            shown.escape_debug()
        )),
        ..failure
    })
    .dropped())
}

/// The request could not be sent, or nothing came back.
fn unsent(refusal: &Refusal) -> Failure {
    let (kind, message) = if refusal.fault().code() == Code::UpstreamTimeout {
        (
            FailureKind::Timeout,
            "The model's provider did not answer in time",
        )
    } else {
        (FailureKind::Server, "The model's provider can't be reached")
    };
    Failure {
        because: Some(refusal.for_operator()),
        ..Failure::new(kind, message)
    }
}

/// There is nothing to call the provider with just now.
fn without_token(why: String) -> Failure {
    let failure = Failure::new(
        FailureKind::Authentication,
        "The model's provider can't be called just now: there is no access token for it",
    );
    Failure {
        because: Some(why),
        ..failure
    }
}

/// A place that the plan does not have: a mistake of ours.
pub(super) fn lost() -> Failure {
    Failure::new(FailureKind::Server, "Something went wrong here")
}

/// When to come again (RFC 9110, section 10.2.3): in milliseconds where a provider says so, in seconds, or at a time.
/// `now` is in seconds since 1970.
fn retry_after(fields: &Fields, now: u64) -> Option<Duration> {
    let text = |value: &[u8]| std::str::from_utf8(value).ok().map(str::to_owned);
    let mut exact = fields.all_named("retry-after-ms");
    if let Some(ms) = exact.next().and_then(text)
        && let Ok(ms) = ms.trim().parse::<u32>()
    {
        return Some(Duration::from_millis(u64::from(ms)));
    }
    let value = text(fields.get(Header::RetryAfter)?)?;
    if let Ok(seconds) = value.trim().parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?;
    let at = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(Duration::from_secs(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_come_again_is_read_in_each_of_its_forms() {
        let check = |fields: &[(&str, &str)], expected: Option<Duration>| {
            let mut given = Fields::new();
            for (name, value) in fields {
                given.append_named(name, value.as_bytes());
            }
            assert_eq!(retry_after(&given, 784_111_770), expected, "{fields:?}");
        };
        let seconds = Duration::from_secs;
        check(&[], None);
        check(&[("retry-after", "7")], Some(seconds(7)));
        check(
            &[("retry-after", "7"), ("retry-after-ms", "250")],
            Some(Duration::from_millis(250)),
        );
        check(
            &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")],
            Some(seconds(7)),
        );
        check(
            &[("retry-after", "Tue, 06 Nov 1984 08:49:37 GMT")],
            Some(Duration::ZERO),
        );
        check(&[("retry-after", "soon")], None);
        check(&[("retry-after", "-3")], None);
    }
}
