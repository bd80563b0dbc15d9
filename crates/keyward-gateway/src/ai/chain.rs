//! The targets of a model, one after the other until one answers.

use super::answering::{Account, Spent, Taken};
use super::attempt::{Answered, Ended, Heard, Next, lost};
use super::choice::Look;
use super::facts::Needs;
use super::failure;
use super::intent::{Intent, ModelCall};
use super::key_pool::{Chosen, TriedKeys};
use super::listing::Listing;
use super::own_key;
use super::plan::{AiPlan, AiTarget, ModelPlan, Order};
use super::prompt;
use super::provider::ProviderPlan;
use super::visit::outcome_of;
use crate::deadlines::Patience;
use crate::message::{Fields, Header, RequestHead};
use crate::metrics::ModelOutcome;
use crate::record::CallRecord;
use crate::request::forward::Call;
use crate::request::{Answer, Refusal};
use http::StatusCode;
use keyward_llm::count;
use keyward_llm::form::{Failure, FailureKind, Request};
use keyward_llm::{Address, Context, Error};
use keyward_model::resource::provider::OwnKey;
use keyward_model::{Code, Fault, Moment};
use std::cell::{Cell, OnceCell};
use std::fmt::Write as _;
use std::future::poll_fn;
use std::rc::Rc;
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

/// What came of asking a target.
pub(super) enum Asked {
    Won(Box<Won>),
    /// Nothing, and nobody else is to be asked.
    Over,
    /// Nothing.
    Nothing,
}

/// An answer, and whose it is.
pub(super) struct Won {
    answered: Answered,
    notes: Vec<String>,
    place: usize,
}

/// One call on its way along a model's targets.
pub(super) struct Chain<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) plan: &'a AiPlan,
    pub(super) asked: &'a ModelCall,
    pub(super) context: Context,
    /// What is asked, read once a target needs it translated.
    request: OnceCell<Result<Request, Error>>,
    /// About how many tokens are asked, and what else matters for the choice of a target, once that is looked for.
    pub(super) tokens: OnceCell<u64>,
    pub(super) needed: OnceCell<Needs>,
}

/// What became of the attempts.
pub(super) struct Course {
    made: u32,
    /// The most there may be.
    most: u32,
    last: Option<Ended>,
    /// The place of the target that was asked last, or would have been asked first.
    place: Option<usize>,
    /// Why a target can't be asked for this at all.
    unable: Option<Failure>,
    /// When the first key is free again.
    free_at: Option<Moment>,
    /// Whether one that failed may do better in a while.
    hopeful: bool,
    /// What attempts took that a provider charges for: those of a call that are made at once share it.
    spent: Rc<Cell<Spent>>,
    /// What the attempt that is made now has told of what it takes.
    heard: Heard,
    under_way: bool,
    told: String,
}

/// Answers a call that has passed every check.
pub(crate) async fn infer(
    call: Call<'_>,
    intent: Intent,
    head: &RequestHead,
    record: &mut CallRecord,
) -> Result<Answer, Refusal> {
    let Some(ai) = &call.matched.route.route.ai else {
        return Err(Fault::new(Code::Internal, "Something went wrong here").into());
    };
    let mut answer = match intent {
        Intent::List(listing) => listed(&listing, record)?,
        Intent::Prompts(asked) => asked.answer(call.worker, record)?,
        Intent::Call(mut asked) => match asked.prompt.take() {
            Some(prompt) => {
                let run = prompt::run((&call, ai, head), *asked, *prompt, record);
                Box::pin(run).await?
            }
            None => Box::pin(conversation(&call, &ai.plan, *asked, record)).await,
        },
    };
    call.admitted
        .tell_limits(&call.matched.route.route, &mut answer.fields);
    if let Some(spending) = &record.spending {
        spending.tell(&mut answer.fields);
    }
    Ok(answer)
}

/// Asks a model, and answers in the dialect of the call. All that asks a model goes this way, prompts too.
pub(super) async fn conversation(
    call: &Call<'_>,
    plan: &AiPlan,
    asked: ModelCall,
    record: &mut CallRecord,
) -> Answer {
    let context = Context {
        id: record.request_id.to_string(),
        now: u64::try_from(record.started().as_seconds()).unwrap_or_default(),
    };
    Box::pin(super::guarded::answer((call, plan), asked, context, record)).await
}

fn listed(listing: &Listing, record: &mut CallRecord) -> Result<Answer, Refusal> {
    let Some(answer) = listing.answer() else {
        let detail = "There is no such model here; the list of models has those that there are";
        return Err(Fault::new(Code::ModelNotFound, detail).into());
    };
    record.answered(answer.status.as_u16());
    Ok(answer)
}

impl<'a> Chain<'a> {
    pub(super) fn new(
        call: &'a Call<'a>,
        plan: &'a AiPlan,
        asked: &'a ModelCall,
        context: Context,
    ) -> Self {
        Self {
            call,
            plan,
            asked,
            context,
            request: OnceCell::new(),
            tokens: OnceCell::new(),
            needed: OnceCell::new(),
        }
    }

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

    pub(super) async fn run(&self, record: &mut CallRecord) -> Answer {
        let model = &self.asked.model;
        let order = self.order();
        let mut course = Course::of(model.attempts);
        // Whom the record names where nobody was asked.
        course.place = order.first().copied();
        if order.is_empty() {
            let why = "No target of this model takes such a call: its size, what it needs or who asks fits none; ask another model";
            let failure = Failure::new(FailureKind::InvalidRequest, why);
            course.unable = Some(failure.with_code("no_target_fits"));
        }
        let mut wait = WAIT_FIRST;
        loop {
            course.free_at = None;
            course.hopeful = false;
            let mut at = 0;
            while let Some(place) = order.get(at).copied() {
                at += 1;
                let beside = order.get(at).copied();
                let asked = match (model.hedge, beside) {
                    (Some(after), Some(next)) if course.made + 1 < course.most => {
                        let both = (place, next);
                        let hedged = Box::pin(self.hedged(after, both, &mut course, record)).await;
                        at += usize::from(hedged.both);
                        hedged.asked
                    }
                    (Some(_) | None, _) => self.ask(place, &mut course, record).await,
                };
                match asked {
                    Asked::Won(won) => return self.answered(*won, &course, record),
                    Asked::Over => return self.failed(course, record),
                    Asked::Nothing if course.made >= course.most => {
                        return self.failed(course, record);
                    }
                    Asked::Nothing => {}
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

    /// The targets in the order in which they are asked.
    fn order(&self) -> Order {
        let worker = self.call.worker;
        self.asked.model.order(&Look {
            now: worker.moment(),
            turn: worker.turn(),
            streamed: self.asked.stream,
            fits: &|when| self.fits(when),
            key: &|by| self.key(by),
            cost: &|target| self.cost(target),
            lacks: &|target| self.lacks(target),
        })
    }

    /// Asks one target, with one key after the other where they are what is refused.
    pub(super) async fn ask(
        &self,
        place: usize,
        course: &mut Course,
        record: &mut CallRecord,
    ) -> Asked {
        let (Some(target), Some(provider)) = (self.target(place), self.provider(place)) else {
            return Asked::Nothing;
        };
        let own_key = self.asked.own_key.is_some();
        match &self.asked.own_key {
            // The caller pays that one alone, and nobody else pays in its place.
            Some((only, _)) if *only != target.provider => return Asked::Nothing,
            Some(_) => {}
            None if provider.declared.own_key == OwnKey::Require => {
                course.unable.get_or_insert_with(without_own_key);
                return Asked::Nothing;
            }
            None => {}
        }
        let prepared = match self.prepare(target, provider) {
            Ok(prepared) => prepared,
            Err(failure) => {
                course.unable.get_or_insert(failure);
                return Asked::Nothing;
            }
        };
        let worker = self.call.worker;
        let mut tried = TriedKeys::default();
        while course.made < course.most {
            let now = worker.moment();
            let chosen = if own_key {
                Chosen::NoneNeeded
            } else {
                provider.keys.choose(tried, target.hash, worker.turn(), now)
            };
            let key = match chosen {
                Chosen::NoneNeeded => None,
                Chosen::Key(key) => Some(key),
                Chosen::AllCool(until) => {
                    course.is_free(until);
                    return Asked::Nothing;
                }
                Chosen::AllTried => return Asked::Nothing,
            };
            if let Some(spending) = &mut record.spending
                && !Box::pin(spending.hold_beside(course.spent.get())).await
            {
                // What the attempts before took is not held for this one.
                return Asked::Over;
            }
            if let (Some(key), Some(spending)) = (key, &mut record.spending)
                && let Err(wait) = Box::pin(spending.take_key(provider, key, place)).await
            {
                course.is_free(worker.moment().plus(wait));
                tried.add(key);
                continue;
            }
            if let Some(spending) = &mut record.spending {
                spending.begin(place, &provider.name);
            }
            course.begins(place);
            let heard = (&course.heard, &course.spent);
            let attempt = Box::pin(self.attempt(place, key, &prepared, heard, record)).await;
            course.under_way = false;
            let ended = match attempt {
                Ok(answered) => {
                    course.tell(provider, target, "200");
                    return Asked::Won(Box::new(Won {
                        answered,
                        notes: prepared.notes,
                        place,
                    }));
                }
                Err(ended) => ended,
            };
            let told = ended.usage.or(course.heard.take());
            let taken = if ended.was_read && self.asked.counts_here() {
                Taken::counted(told, || count::call(&self.asked.body, 0))
            } else {
                Taken::told(told)
            };
            let taken = taken.paid_by_caller(own_key);
            course.add(&self.asked.model, place, taken);
            // Should the caller leave before another is asked, this is what is known.
            let used = course.spent.get();
            let used = used.of(&self.asked.model, Some(target), &provider.name);
            record.model = Some(Box::new(used));
            if let Some(spending) = &mut record.spending {
                spending.failed(place, taken);
            }
            course.tell(provider, target, &ended.failure.status.to_string());
            let why = ended.failure.because.as_deref();
            let why = why.unwrap_or(&ended.failure.message);
            tracing::debug!(
                request_id = %record.request_id,
                provider = %provider.name,
                model = %target.asked.model,
                // Of a prompt's call it may repeat the prompt.
                why = record.prompt.is_none().then_some(why),
                "an attempt at a model failed"
            );
            let next = ended.next();
            if let (Next::OtherKey, Some(key)) = (next, key) {
                if let Some(time) = cool_for(&ended) {
                    let now = worker.moment();
                    // What providers count, they count by model; that a key is none, holds for all.
                    let limited = ended.failure.kind == FailureKind::RateLimited;
                    let model = limited.then_some(target.hash);
                    provider.keys.cool(key, model, time, now);
                    // It may be the one that is waited for.
                    course.is_free(now.plus(time));
                }
                tried.add(key);
            }
            // What is not kept anywhere will not be in a while.
            let lasting = ended.failure.kind == FailureKind::InvalidRequest;
            let only = next == Next::OtherKey && key.is_none() && !own_key && !lasting;
            course.hopeful |= next == Next::Anybody || only;
            course.last = Some(ended);
            if next == Next::Nobody {
                return Asked::Over;
            }
            if next != Next::OtherKey || key.is_none() {
                return Asked::Nothing;
            }
        }
        Asked::Nothing
    }

    /// What an attempt took is known no better than it has told, since nobody waits for it any more.
    pub(super) fn cancelled(&self, course: &mut Course) -> Taken {
        let place = course.place.filter(|_| course.under_way);
        let Some(place) = place else {
            return Taken::default();
        };
        course.under_way = false;
        // It has read what was asked, at least.
        let told = course.heard.take();
        let taken = if self.asked.counts_here() {
            Taken::counted(told, || count::call(&self.asked.body, 0))
        } else {
            Taken::told(told)
        };
        let taken = taken.paid_by_caller(self.asked.own_key.is_some());
        course.add(&self.asked.model, place, taken);
        if let (Some(provider), Some(target)) = (self.provider(place), self.target(place)) {
            course.tell(provider, target, "cancelled");
        }
        taken
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
        Won {
            answered,
            notes,
            place,
        }: Won,
        course: &Course,
        record: &mut CallRecord,
    ) -> Answer {
        let mut fields = Fields::new();
        fields.append(Header::ContentType, answered.content_type.as_bytes());
        fields.append(Header::CacheControl, b"no-store");
        if let (Some(provider), Some(target)) = (self.provider(place), self.target(place)) {
            let model = format!("{}/{}", provider.name, target.asked.model);
            fields.append_named("keyward-model", model.as_bytes());
        }
        course.write(&mut fields);
        if !notes.is_empty() {
            // Names of fields: nothing else is noted.
            let notes: String = notes.join(", ");
            let plain = notes.bytes().filter(|byte| matches!(byte, b' '..=b'~'));
            fields.append_named("keyward-left-out", &plain.collect::<Vec<u8>>());
        }
        if let Some(spending) = &mut record.spending {
            spending.answered(course.spent.get());
        }
        if let Some((account, taken)) = answered.whole {
            let used = account.used(taken);
            account.visit.count(ModelOutcome::Answered, &used);
            record.model = Some(Box::new(used));
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
            spent,
            ..
        } = course;
        let (code, failure, retry_after) = match (last, unable, free_at) {
            (Some(ended), _, free_at) => {
                let (code, failure) = match (ended.last, &self.asked.own_key) {
                    (Some(code), _) => (code, *ended.failure),
                    (None, Some(_)) => failure::told_of_own_key(*ended.failure),
                    (None, None) => failure::told(*ended.failure),
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
            let target = place.and_then(|place| self.target(place));
            let used = spent.get().of(&self.asked.model, target, &provider.name);
            if let Some(target) = target {
                let outcome = outcome_of(failure.kind);
                let worker = self.call.worker;
                target.metrics.call(worker.index, outcome, &used);
            }
            record.model = Some(Box::new(used));
        }
        let because = failure.because.as_ref().unwrap_or(&failure.message);
        record.failed(code, because, failure.status);
        let busy = matches!(failure.status, 429 | 503);
        if let Some(after) = retry_after.filter(|_| busy) {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            fields.append(Header::RetryAfter, seconds.max(1).to_string().as_bytes());
        }
        // What can't be asked of a target has a code for each feature.
        let feature = failure
            .code
            .as_deref()
            .filter(|_| code == Code::ModelCannot);
        failure::tell_code(&mut fields, feature.unwrap_or(code.as_str()));
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

/// How long a key is left alone after a failure that is its own; `None` where the request alone may be at fault, such as
/// one that asks for another's file, or for more than is left to spend: no caller is to keep a key from all others.
fn cool_for(ended: &Ended) -> Option<Duration> {
    let told = ended.retry_after;
    match ended.failure.kind {
        FailureKind::RateLimited => Some(told.unwrap_or(BUSY_FOR).min(BUSY_MAX)),
        FailureKind::Authentication | FailureKind::QuotaExhausted => {
            Some(told.unwrap_or_default().clamp(REFUSED_FOR, BUSY_MAX))
        }
        FailureKind::Permission
        | FailureKind::Unpaid
        | FailureKind::OverLimit
        | FailureKind::InvalidRequest
        | FailureKind::ContextLength
        | FailureKind::Filtered
        | FailureKind::NotFound
        | FailureKind::TooLarge
        | FailureKind::Overloaded
        | FailureKind::Timeout
        | FailureKind::Server
        | FailureKind::Cut => None,
    }
}

impl Course {
    fn of(most: u32) -> Self {
        Self {
            made: 0,
            most,
            last: None,
            place: None,
            unable: None,
            free_at: None,
            hopeful: false,
            spent: Rc::default(),
            heard: Heard::default(),
            under_way: false,
            told: String::new(),
        }
    }

    /// Of one attempt that may be made beside those of this course, which has one less until they are
    /// [joined](Self::join).
    pub(super) fn beside(&mut self) -> Self {
        self.most = self.most.saturating_sub(1);
        Self {
            spent: Rc::clone(&self.spent),
            ..Self::of(1)
        }
    }

    /// With what became of the attempt that was made beside its own.
    pub(super) fn join(&mut self, other: Self) {
        self.most = self.most.saturating_add(1);
        self.made = self.made.saturating_add(other.made);
        self.last = other.last.or(self.last.take());
        self.place = other.place.or(self.place);
        self.unable = self.unable.take().or(other.unable);
        self.hopeful |= other.hopeful;
        if let Some(at) = other.free_at {
            self.is_free(at);
        }
        if !self.told.is_empty() && !other.told.is_empty() {
            self.told.push_str(", ");
        }
        self.told.push_str(&other.told);
    }

    fn begins(&mut self, place: usize) {
        self.made += 1;
        self.place = Some(place);
        self.under_way = true;
    }

    fn add(&self, model: &ModelPlan, place: usize, taken: Taken) {
        self.spent.set(self.spent.get().and(model, place, taken));
    }

    /// A key is free again then.
    fn is_free(&mut self, until: Moment) {
        let earlier = self.free_at.is_none_or(|at| until < at);
        if earlier {
            self.free_at = Some(until);
        }
    }

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
