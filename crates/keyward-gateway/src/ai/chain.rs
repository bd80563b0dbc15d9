//! The targets of a model, one after the other until one answers.

use super::answering::Account;
use super::attempt::{Answered, Ended, Next, Prepared, lost};
use super::failure;
use super::intent::{Intent, ModelCall};
use super::key_pool::{Chosen, TriedKeys};
use super::listing::Listing;
use super::own_key;
use super::plan::{AiPlan, AiTarget};
use super::provider::ProviderPlan;
use crate::deadlines::Patience;
use crate::message::{Fields, Header};
use crate::record::CallRecord;
use crate::request::forward::Call;
use crate::request::{Answer, Refusal};
use http::StatusCode;
use keyward_llm::form::{Failure, FailureKind, Request};
use keyward_llm::{Address, Context, Error};
use keyward_model::resource::provider::OwnKey;
use keyward_model::{Code, Fault, Moment};
use std::cell::OnceCell;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::time::Duration;

/// How long a call waits for a provider to take it again: longer, and callers had better come again themselves.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long it waits where the provider does not say; doubled each time.
const WAIT_FIRST: Duration = Duration::from_millis(250);
/// How long a key is left alone that has made too many calls, where the provider does not say.
const BUSY_FOR: Duration = Duration::from_secs(5);
/// No provider says with sense that a key is of no use for longer.
const BUSY_MAX: Duration = Duration::from_secs(3_600);
/// How long a key is left alone that is not good, or has nothing left to spend: until somebody may have seen to it.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// One call on its way along a model's targets.
pub(super) struct Chain<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) plan: &'a AiPlan,
    pub(super) asked: &'a ModelCall,
    pub(super) context: Context,
    /// What is asked, read once a target needs it translated.
    request: OnceCell<Result<Request, Error>>,
}

/// What became of the attempts.
#[derive(Default)]
struct Course {
    made: u32,
    last: Option<Ended>,
    /// The place of the target that was asked last.
    place: Option<usize>,
    /// Why a target can't be asked for this at all.
    unable: Option<Failure>,
    /// When the first key is free again.
    free_at: Option<Moment>,
    /// Whether one that failed may do better in a while.
    hopeful: bool,
    told: String,
}

/// Answers a call that has passed every check.
pub(crate) async fn infer(
    call: Call<'_>,
    intent: Intent,
    record: &mut CallRecord,
) -> Result<Answer, Refusal> {
    let Some(ai) = &call.matched.route.route.ai else {
        return Err(Fault::new(Code::Internal, "Something went wrong here").into());
    };
    let mut answer = match intent {
        Intent::List(listing) => listed(&listing, record)?,
        Intent::Call(asked) => {
            let chain = Chain {
                call: &call,
                plan: &ai.plan,
                asked: &asked,
                context: Context {
                    id: record.request_id.to_string(),
                    now: u64::try_from(record.started().as_seconds()).unwrap_or_default(),
                },
                request: OnceCell::new(),
            };
            Box::pin(chain.run(record)).await
        }
    };
    call.admitted
        .tell_limits(&call.matched.route.route, &mut answer.fields);
    Ok(answer)
}

fn listed(listing: &Listing, record: &mut CallRecord) -> Result<Answer, Refusal> {
    let Some(answer) = listing.answer() else {
        let detail = "There is no such model here; the list of models has those that there are";
        return Err(Fault::new(Code::ModelNotFound, detail).into());
    };
    record.answered(answer.status.as_u16());
    Ok(answer)
}

impl Chain<'_> {
    pub(super) fn target(&self, place: usize) -> Option<&AiTarget> {
        self.asked.model.targets.get(place)
    }

    /// The target that an account is of.
    pub(super) fn target_of(&self, account: &Account) -> Result<&AiTarget, Ended> {
        self.target(account.target).ok_or_else(|| Ended::of(lost()))
    }

    pub(super) fn provider(&self, place: usize) -> Option<&ProviderPlan> {
        let place = self.target(place)?.provider;
        self.plan.providers.get(place).map(|route| &*route.plan)
    }

    /// What is asked, in the form that every dialect is written from.
    pub(super) fn request(&self) -> Result<&Request, &Error> {
        let read = || {
            let address = Address {
                model: self.asked.model.name.to_string(),
                stream: self.asked.stream,
            };
            self.asked.form.read_request(&self.asked.body, &address)
        };
        self.request.get_or_init(read).as_ref()
    }

    /// Seconds since 1970.
    pub(super) fn civil(&self) -> u64 {
        self.context.now
    }

    async fn run(&self, record: &mut CallRecord) -> Answer {
        let model = &self.asked.model;
        let order = model.order(self.call.worker.turn());
        let mut course = Course::default();
        let mut wait = WAIT_FIRST;
        loop {
            course.free_at = None;
            course.hopeful = false;
            for place in order.iter().copied() {
                if let Some(answer) = self.ask(place, &mut course, record).await {
                    return answer;
                }
                let over = course.last.as_ref().map(Ended::next) == Some(Next::Nobody);
                if over || course.made >= model.attempts {
                    return self.failed(course, record);
                }
            }
            let Some(time) = self.time_to_wait(&course, wait) else {
                return self.failed(course, record);
            };
            wait = wait.saturating_mul(2);
            let mut patience = Patience::new(time);
            poll_fn(|_| patience.poll(self.call.seat)).await;
        }
    }

    /// Asks one target, with one key after the other where they are what is refused.
    async fn ask(
        &self,
        place: usize,
        course: &mut Course,
        record: &mut CallRecord,
    ) -> Option<Answer> {
        let (target, provider) = (self.target(place)?, self.provider(place)?);
        let own_key = self.asked.own_key.is_some();
        match &self.asked.own_key {
            // The caller pays that one alone, and nobody else pays in its place.
            Some((only, _)) if *only != target.provider => return None,
            Some(_) => {}
            None if provider.declared.own_key == OwnKey::Require => {
                course.unable.get_or_insert_with(without_own_key);
                return None;
            }
            None => {}
        }
        let prepared = match self.prepare(target, provider) {
            Ok(prepared) => prepared,
            Err(failure) => {
                course.unable.get_or_insert(failure);
                return None;
            }
        };
        let worker = self.call.worker;
        let mut tried = TriedKeys::default();
        while course.made < self.asked.model.attempts {
            let now = worker.moment();
            let chosen = if own_key {
                Chosen::NoneNeeded
            } else {
                provider.keys.choose(tried, worker.turn(), now)
            };
            let key = match chosen {
                Chosen::NoneNeeded => None,
                Chosen::Key(key) => Some(key),
                Chosen::AllCool(until) => {
                    let earlier = course.free_at.is_none_or(|at| until < at);
                    if earlier {
                        course.free_at = Some(until);
                    }
                    return None;
                }
                Chosen::AllTried => return None,
            };
            course.made += 1;
            course.place = Some(place);
            let ended = match Box::pin(self.attempt(place, key, &prepared, record)).await {
                Ok(answered) => {
                    course.tell(provider, target, "200");
                    return Some(self.answered(
                        answered,
                        &prepared,
                        (provider, target),
                        course,
                        record,
                    ));
                }
                Err(ended) => ended,
            };
            course.tell(provider, target, &ended.failure.status.to_string());
            tracing::debug!(
                request_id = %record.request_id,
                provider = %provider.name,
                model = %target.asked.model,
                why = ended.failure.because.as_deref().unwrap_or(&ended.failure.message),
                "an attempt at a model failed"
            );
            let next = ended.next();
            if let (Next::OtherKey, Some(key)) = (next, key) {
                // What is forbidden may be so for this request alone, such as another's file: no caller is to keep a key
                // from all others.
                if ended.failure.kind != FailureKind::Permission {
                    provider.keys.cool(key, cool_for(&ended), worker.moment());
                }
                tried.add(key);
            }
            course.hopeful |=
                next == Next::Anybody || (next == Next::OtherKey && key.is_none() && !own_key);
            course.last = Some(ended);
            if next != Next::OtherKey || key.is_none() {
                return None;
            }
        }
        None
    }

    /// How long to wait before all are asked again; `None` where that is of no use, or too long.
    fn time_to_wait(&self, course: &Course, wait: Duration) -> Option<Duration> {
        let now = self.call.worker.moment();
        let key = course.free_at.map(|at| at.since(now));
        let told = course.last.as_ref().and_then(|last| last.retry_after);
        let hope = course.hopeful.then(|| wait.max(told.unwrap_or_default()));
        let time = match (key, hope) {
            (Some(key), Some(hope)) => key.min(hope),
            (Some(time), None) | (None, Some(time)) => time,
            (None, None) => return None,
        };
        (time <= WAIT_MAX).then_some(time)
    }

    fn answered(
        &self,
        answered: Answered,
        prepared: &Prepared,
        (provider, target): (&ProviderPlan, &AiTarget),
        course: &Course,
        record: &mut CallRecord,
    ) -> Answer {
        let mut fields = Fields::new();
        fields.append(Header::ContentType, answered.content_type.as_bytes());
        fields.append(Header::CacheControl, b"no-store");
        let model = format!("{}/{}", provider.name, target.asked.model);
        fields.append_named("keyward-model", model.as_bytes());
        course.write(&mut fields);
        if !prepared.notes.is_empty() {
            // Names of fields: nothing else is noted.
            let notes: String = prepared.notes.join(", ");
            let plain = notes.bytes().filter(|byte| matches!(byte, b' '..=b'~'));
            fields.append_named("keyward-left-out", &plain.collect::<Vec<u8>>());
        }
        record.answered(StatusCode::OK.as_u16());
        Answer::own(StatusCode::OK, fields, answered.body)
    }

    /// There is no answer: the caller is told why, in their own dialect.
    fn failed(&self, course: Course, record: &mut CallRecord) -> Answer {
        let now = self.call.worker.moment();
        let mut fields = Fields::new();
        course.write(&mut fields);
        let Course {
            last,
            place,
            unable,
            free_at,
            ..
        } = course;
        let (code, failure, retry_after) = match (last, unable, free_at) {
            (Some(ended), _, free_at) => {
                let (code, failure) = match &self.asked.own_key {
                    Some(_) => failure::told_of_own_key(ended.failure),
                    None => failure::told(ended.failure),
                };
                let free = free_at.map(|at| at.since(now));
                (code, failure, ended.retry_after.or(free))
            }
            (None, Some(failure), _) => (Code::ModelCannot, failure, None),
            (None, None, free_at) => {
                let failure = Failure::new(
                    FailureKind::RateLimited,
                    "The model's providers take no more calls just now; try again later",
                )
                .with_code(Code::ProviderBusy.as_str());
                (Code::ProviderBusy, failure, free_at.map(|at| at.since(now)))
            }
        };
        if let Some(provider) = place.and_then(|place| self.provider(place)) {
            let account = Account {
                model: std::sync::Arc::clone(&self.asked.model),
                target: place.unwrap_or_default(),
                provider: provider.name.clone(),
                own_key: self.asked.own_key.is_some(),
            };
            record.model = Some(Box::new(account.used(None)));
        }
        let because = failure.because.as_ref().unwrap_or(&failure.message);
        record.failed(code, because, failure.status);
        let busy = matches!(failure.status, 429 | 503);
        if let Some(after) = retry_after.filter(|_| busy) {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            fields.append(Header::RetryAfter, seconds.max(1).to_string().as_bytes());
        }
        failure::answer(&failure, self.asked.form, &self.context, fields)
    }
}

/// Nobody but the caller has a key for the provider.
fn without_own_key() -> Failure {
    Failure::new(
        FailureKind::InvalidRequest,
        format!(
            "The model's provider is called with a key of your own; send it in `{}`",
            own_key::HEADER
        ),
    )
    .with_code("provider_key_required")
}

/// How long a key is left alone after a failure that is its own.
fn cool_for(ended: &Ended) -> Duration {
    match (ended.failure.kind, ended.retry_after) {
        (FailureKind::RateLimited, told) => told.unwrap_or(BUSY_FOR).min(BUSY_MAX),
        (_, told) => told.unwrap_or_default().clamp(REFUSED_FOR, BUSY_MAX),
    }
}

impl Course {
    fn tell(&mut self, provider: &ProviderPlan, target: &AiTarget, outcome: &str) {
        let comma = if self.told.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _infallible = write!(
            self.told,
            "{comma}{}/{} {outcome}",
            provider.name, target.asked.model
        );
    }

    /// Tells the caller of all attempts, where the first was not the last.
    fn write(&self, fields: &mut Fields) {
        if self.made > 1 {
            fields.append_named("keyward-attempts", self.told.as_bytes());
        }
    }
}
