//! The way of one call that the cache may answer.

use super::conditions::{CONDITIONAL, Part, part};
use super::directives::RequestDirectives;
use super::entry::{Entry, Use, Validators, Varying, is_about, kept_fields, refreshed_fields};
use super::freshness::{Exchange, Freshness, NotKept, varying};
use super::keeping::{Keeping, Shape, end, seated};
use super::key::{self, CacheKey};
use super::status::{Forwarded, STALE_IF_ERROR, Status};
use super::store::{FetchKey, Found, Lead, Outcome, ResponseCache, Role, Ticket};
use super::{CachePlan, ContentPlan};
use crate::body::{AnswerBody, RequestBody};
use crate::deadlines::Patience;
use crate::message::{Fields, Header, RequestHead};
use crate::policy::filling::Filling;
use crate::record::CallRecord;
use crate::request::forward::Call;
use crate::request::{Answer, Matched, Refusal};
use bytes::Bytes;
use http::{Method, StatusCode};
use keyward_model::resource::content::Cache;
use keyward_model::{Blame, Code, Fault, Moment};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;

/// A call that the cache may answer.
pub(super) struct Asking<'a> {
    pub(super) content: &'a ContentPlan,
    pub(super) plan: &'a CachePlan,
    pub(super) call: &'a Call<'a>,
    pub(super) cache: &'a Arc<ResponseCache>,
    pub(super) directives: RequestDirectives,
    /// Whether it carries a credential of any kind.
    pub(super) credentials: bool,
    pub(super) key: CacheKey,
    pub(super) head: RequestHead,
}

/// What there is of an answer before it is fetched.
#[derive(Debug, Default)]
struct Before {
    entry: Option<Arc<Entry>>,
    others: bool,
}

impl Asking<'_> {
    pub(super) async fn answer(self, record: &mut CallRecord) -> Result<Answer, Refusal> {
        let mut alone = !self.may_be_shared();
        loop {
            let now = self.call.worker.moment();
            let found = self.find(now);
            if let Some(answer) = self.kept_answer(&found, now, false, record) {
                return Ok(answer);
            }
            if self.directives.only_if_cached {
                let fault = Fault::new(
                    Code::NotCached,
                    "No answer is kept that would do, and `only-if-cached` wants no other; send the request without it",
                );
                return Err(fault.into());
            }
            let before = Before {
                entry: found.entry,
                others: found.others,
            };
            if alone || found.pass {
                return self.fetched(None, before, record).await;
            }
            match self.cache.join(self.fetch_key(found.varying)) {
                Role::Lead(lead) => {
                    // The fetch before may have ended since this call has looked.
                    let found = self.find(self.call.worker.moment());
                    if let Some(answer) = self.kept_answer(&found, now, false, record) {
                        lead.end(Outcome::Stored);
                        return Ok(answer);
                    }
                    return self.fetched(Some(lead), before, record).await;
                }
                Role::Follow(fetch) => match self.wait(fetch).await {
                    Outcome::Stored => {
                        let now = self.call.worker.moment();
                        if let Some(answer) = self.kept_answer(&self.find(now), now, true, record) {
                            return Ok(answer);
                        }
                        // It is for others, or stale at once: nobody stands in line for that.
                        alone = true;
                    }
                    Outcome::Abandoned => {}
                    Outcome::Released | Outcome::Pending => alone = true,
                },
            }
        }
    }

    /// Whether what is fetched for this call could be for others.
    fn may_be_shared(&self) -> bool {
        self.head.method == Method::GET
            && !self.directives.no_store
            && self.head.fields.get_named(b"range").is_none()
    }

    fn find(&self, now: Moment) -> Found {
        self.cache.find(&self.key, now, |name| self.value(name))
    }

    fn value(&self, name: &[u8]) -> Option<Vec<u8>> {
        key::seen_by_upstream(self.call, &self.head.fields, name)
    }

    fn fetch_key(&self, varying: Vec<Option<Vec<u8>>>) -> FetchKey {
        FetchKey {
            key: self.key.clone(),
            varying,
        }
    }

    /// How an answer may be used that is kept; `None`: it is not for this caller.
    fn use_of(&self, entry: &Entry, now: Moment) -> Option<Use> {
        if self.credentials && !entry.freshness.public && !self.plan.declared.per_caller {
            return None;
        }
        let asked = &self.directives;
        let (age, lifetime) = (entry.age(now), entry.freshness.lifetime);
        let seconds = |asked: Option<u64>| asked.map(Duration::from_secs);
        if entry.freshness.no_cache
            || asked.no_cache
            || seconds(asked.max_age).is_some_and(|most| age > most)
            || seconds(asked.min_fresh).is_some_and(|least| age + least > lifetime)
        {
            return Some(Use::Revalidate);
        }
        let Some(stale) = entry.staleness(now) else {
            return Some(Use::Fresh);
        };
        if entry.freshness.must_revalidate {
            return Some(Use::Revalidate);
        }
        if seconds(asked.max_stale).is_some_and(|most| stale <= most) {
            return Some(Use::Fresh);
        }
        Some(if stale < entry.freshness.stale_while_revalidate {
            Use::WhileRevalidating
        } else {
            Use::Revalidate
        })
    }

    /// The answer from what was found, if that will do as it is.
    fn kept_answer(
        &self,
        found: &Found,
        now: Moment,
        collapsed: bool,
        record: &mut CallRecord,
    ) -> Option<Answer> {
        let entry = found.entry.as_ref()?;
        let mut status = Status::hit(entry.ttl(now));
        if collapsed {
            status = Status {
                collapsed,
                ..Status::forwarded(Forwarded::UriMiss)
            };
        }
        match self.use_of(entry, now)? {
            Use::Fresh => {}
            Use::WhileRevalidating => {
                if let Role::Lead(lead) = self.cache.join(self.fetch_key(found.varying.clone())) {
                    self.revalidate_behind(lead, entry, record);
                }
                status.detail = Some("stale-while-revalidate");
            }
            Use::Revalidate => return None,
        }
        Some(self.given(entry, now, status, record))
    }

    /// Waits for the answer that another call fetches, as long as the route says.
    async fn wait(&self, mut fetch: watch::Receiver<Outcome>) -> Outcome {
        let mut ended = pin!(fetch.wait_for(|outcome| *outcome != Outcome::Pending));
        let mut patience = Patience::new(self.plan.declared.wait);
        poll_fn(|context| {
            if let Poll::Ready(outcome) = ended.as_mut().poll(context) {
                // A fetch that is gone without a word was left.
                return Poll::Ready(outcome.map_or(Outcome::Abandoned, |outcome| *outcome));
            }
            patience.poll(self.call.seat).map(|()| Outcome::Pending)
        })
        .await
    }

    /// The answer from the upstream: a new one, or what is kept if that still holds.
    async fn fetched(
        &self,
        mut lead: Option<Lead>,
        mut before: Before,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        let worker = self.call.worker;
        let keeps = self.may_be_shared();
        let why = self.why(&before);
        loop {
            let ticket = self.cache.ticket(&self.key.address);
            let validated = before
                .entry
                .as_ref()
                .filter(|entry| keeps && self.use_of(entry, worker.moment()).is_some());
            let head = self.question(lead.is_some(), validated);
            let asks = validated.is_some_and(|entry| entry.validators().is_some());
            let began = worker.moment();
            let fetched = self
                .content
                .fetch(self.call, head, RequestBody::Empty, record)
                .await;
            let now = worker.moment();
            let mut answer = match fetched {
                Ok(answer) => answer,
                Err(refusal) => {
                    // Nobody is to fail after the other.
                    end(lead.take(), Outcome::Released);
                    let theirs = refusal.fault().code().blame() == Blame::Upstream;
                    let kept = before.entry.filter(|_| theirs && keeps);
                    return match self.despite_failure(kept, now, None, why, record) {
                        Some(answer) => Ok(answer),
                        None => Err(refusal),
                    };
                }
            };
            let failed = matches!(answer.status.as_u16(), 500 | 502 | 503 | 504);
            if failed
                && let Some(stale) = self.despite_failure(
                    before.entry.clone().filter(|_| keeps),
                    now,
                    Some(answer.status.as_u16()),
                    why,
                    record,
                )
            {
                end(lead.take(), Outcome::Released);
                if answer.body.left() == Some(0) {
                    answer.body.end();
                }
                return Ok(stale);
            }
            let exchange = Exchange {
                now: worker.civil(now),
                delay: now.since(began),
                credentials: self.credentials,
                client_no_store: self.directives.no_store,
            };
            if asks && answer.status == StatusCode::NOT_MODIFIED {
                answer.body.end();
                let Some(entry) = before.entry.take() else {
                    continue;
                };
                if !is_about(&entry.fields, &answer.fields) {
                    // It is about another answer than the one that is kept (RFC 9111, section 4.3.4).
                    self.cache.drop_entry(&self.key, &entry);
                    continue;
                }
                return Ok(self.still_holds(
                    lead,
                    &entry,
                    &answer.fields,
                    (ticket, now),
                    exchange,
                    why,
                    record,
                ));
            }
            return Ok(self.new_answer(lead, answer, keeps, (ticket, now), exchange, why));
        }
    }

    /// Why the call goes on.
    fn why(&self, before: &Before) -> Forwarded {
        match &before.entry {
            Some(entry) if self.use_of(entry, self.call.worker.moment()).is_none() => {
                Forwarded::Bypass("not-public")
            }
            Some(entry) => {
                let fresh = entry.staleness(self.call.worker.moment()).is_none();
                if fresh && !entry.freshness.no_cache {
                    Forwarded::Request
                } else {
                    Forwarded::Stale
                }
            }
            None if before.others => Forwarded::VaryMiss,
            None => Forwarded::UriMiss,
        }
    }

    /// The request that goes on. One whose answer others wait for asks for the whole.
    fn question(&self, leads: bool, validated: Option<&Arc<Entry>>) -> RequestHead {
        let mut head = self.head.clone_with_room();
        let validators = validated.and_then(|entry| entry.validators());
        if leads || validators.is_some() {
            head.fields
                .retain(|field| !CONDITIONAL.contains(&field.name));
        }
        if let Some(Validators { etag, modified }) = validators {
            if let Some(etag) = etag {
                head.fields.append(Header::IfNoneMatch, etag);
            }
            if let Some(modified) = modified {
                head.fields.append_named("if-modified-since", modified);
            }
        }
        head
    }

    /// What is kept, where the upstream has failed and it may be used all the same (RFC 5861, section 4).
    fn despite_failure(
        &self,
        entry: Option<Arc<Entry>>,
        now: Moment,
        upstream: Option<u16>,
        why: Forwarded,
        record: &mut CallRecord,
    ) -> Option<Answer> {
        let entry = entry?;
        self.use_of(&entry, now)?;
        let asked = Duration::from_secs(self.directives.stale_if_error.unwrap_or_default());
        if !entry.outlives_failure(now, asked) {
            return None;
        }
        let status = Status {
            upstream,
            detail: Some(STALE_IF_ERROR),
            ..Status::forwarded(why)
        };
        Some(self.given(&entry, now, status, record))
    }

    /// The upstream says that what is kept still holds: it is as good as new.
    #[expect(
        clippy::too_many_arguments,
        reason = "all that is known of one exchange"
    )]
    fn still_holds(
        &self,
        lead: Option<Lead>,
        entry: &Arc<Entry>,
        news: &Fields,
        (ticket, now): (Ticket, Moment),
        exchange: Exchange,
        why: Forwarded,
        record: &mut CallRecord,
    ) -> Answer {
        let declared = &self.plan.declared;
        let mut date = Vec::new();
        self.call.worker.write_date(&mut date);
        let mut news = kept_fields(news, declared.set_cookie, &date);
        if news.get(Header::Date) == entry.fields.get(Header::Date) {
            news.set(Header::Date, &date);
        }
        let fields = refreshed_fields(&entry.fields, &news);
        let mut status = Status {
            upstream: Some(304),
            ..Status::forwarded(why)
        };
        let freshness = Freshness::of(declared, entry.status, &fields, exchange);
        let size = Entry::size(&fields, 0, &entry.varying);
        let mut memory = self.cache.memory();
        let kept = freshness
            .ok()
            .filter(|_| memory.resize(size, || self.cache.evict()));
        let Some(freshness) = kept else {
            // It is no longer for others; this caller is told that it has not changed.
            self.cache.drop_entry(&self.key, entry);
            end(lead, Outcome::Released);
            return self.given(entry, now, status, record);
        };
        let renewed = |memory| Entry {
            status: entry.status,
            fields: fields.clone(),
            body: entry.body.clone(),
            varying: entry.varying.clone(),
            received: now,
            freshness,
            _memory: memory,
        };
        let shown = renewed(self.cache.memory());
        status.stored = self.cache.keep(&self.key, renewed(memory), ticket);
        status.ttl = Some(shown.ttl(now));
        end(
            lead,
            if status.stored {
                Outcome::Stored
            } else {
                Outcome::Released
            },
        );
        self.given(&shown, now, status, record)
    }

    /// A new answer goes to the caller, and into the cache if it may.
    fn new_answer(
        &self,
        lead: Option<Lead>,
        mut answer: Answer,
        keeps: bool,
        (ticket, now): (Ticket, Moment),
        exchange: Exchange,
        why: Forwarded,
    ) -> Answer {
        let mut status = Status::forwarded(why);
        if answer.tunnel.is_some() {
            return answer;
        }
        match self.kept_as(&answer, keeps, now, exchange) {
            Ok(shape) => {
                let filling = Filling::new(
                    answer.body.left(),
                    self.plan.declared.max_entry_bytes,
                    self.cache.memory(),
                );
                let reader = filling.reader();
                let body = std::mem::replace(&mut answer.body, AnswerBody::filling(reader));
                let keeping = Keeping {
                    worker: Rc::clone(self.call.worker),
                    cache: Arc::clone(self.cache),
                    key: self.key.clone(),
                    shape,
                    ticket,
                    lead,
                };
                tokio::task::spawn_local(keeping.run(body, filling));
                status.stored = true;
            }
            Err(why) => {
                if let Some(lead) = lead
                    && lead.end(Outcome::Released)
                {
                    self.cache.pass(&self.key, now);
                }
                status = status.not_kept(why);
            }
        }
        self.plan.tell(self.call, status, &mut answer.fields);
        answer
    }

    /// What is kept of an answer besides its body, or why it is not kept.
    fn kept_as(
        &self,
        answer: &Answer,
        keeps: bool,
        now: Moment,
        exchange: Exchange,
    ) -> Result<Shape, NotKept> {
        let declared: &Cache = &self.plan.declared;
        if !keeps {
            return Err(if self.directives.no_store {
                NotKept::ClientNoStore
            } else {
                NotKept::Status
            });
        }
        // What templates make is of what they read, whatever the upstream says of its own answer.
        let made_from = self.content.templates_read();
        if made_from.request_headers {
            return Err(NotKept::Vary);
        }
        if made_from.caller && !declared.per_caller {
            return Err(NotKept::Credentials);
        }
        let freshness = Freshness::of(declared, answer.status, &answer.fields, exchange)?;
        let length = answer.body.left();
        if length.is_some_and(|length| length > declared.max_entry_bytes as u64)
            || is_stream(&answer.fields)
        {
            return Err(NotKept::TooLarge);
        }
        let mut date = Vec::new();
        self.call.worker.write_date(&mut date);
        let varying: Varying = varying(&answer.fields)
            .into_iter()
            .map(|name| {
                let value = self.value(&name);
                (name, value.map(Into::into))
            })
            .collect();
        Ok(Shape {
            status: answer.status,
            fields: kept_fields(&answer.fields, declared.set_cookie, &date),
            varying,
            received: now,
            freshness,
        })
    }

    /// What the client gets of a kept answer.
    fn given(&self, entry: &Entry, now: Moment, status: Status, record: &mut CallRecord) -> Answer {
        let mut fields = entry.fields.clone();
        fields.append_named("age", entry.age(now).as_secs().to_string().as_bytes());
        self.plan.tell(self.call, status, &mut fields);
        let length = entry.body.len();
        let (code, body) = match part(&self.head.method, &self.head.fields, entry) {
            Part::Whole => (entry.status, entry.body.clone()),
            Part::NotModified => {
                fields.retain(|field| {
                    !matches!(field.header, Header::ContentType | Header::ContentEncoding)
                });
                (StatusCode::NOT_MODIFIED, Bytes::new())
            }
            Part::Range(from, to) => {
                without_digests(&mut fields);
                let range = format!("bytes {from}-{}/{length}", to.saturating_sub(1));
                fields.set(Header::ContentRange, range.as_bytes());
                (StatusCode::PARTIAL_CONTENT, entry.body.slice(from..to))
            }
            Part::Unsatisfiable => {
                without_digests(&mut fields);
                fields.set(Header::ContentRange, format!("bytes */{length}").as_bytes());
                (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new())
            }
        };
        record.answered(code.as_u16());
        Answer::own(code, fields, AnswerBody::full(body))
    }

    /// Asks the upstream for a new answer while the client has the old one.
    fn revalidate_behind(&self, lead: Lead, entry: &Arc<Entry>, record: &CallRecord) {
        let call = self.call;
        let (worker, client) = (Rc::clone(call.worker), Rc::clone(call.client));
        let route = Rc::clone(&call.matched.route);
        let path = call.matched.path.clone();
        let admitted = call.admitted.of_copy();
        let (key, mut head) = (self.key.clone(), self.head.clone());
        // It is asked for as a whole, whatever part of it the client wants: else nothing of it could be kept.
        head.method = Method::GET;
        head.fields
            .retain(|field| !CONDITIONAL.contains(&field.name));
        let (credentials, id) = (self.credentials, record.request_id);
        let trace = record.trace.as_ref().map(|trace| trace.of_copy());
        let entry = Arc::clone(entry);
        let task = async move {
            let seat = Rc::new(worker.deadlines.seat());
            let matched = Matched::of_copy(route, path);
            let (Some(content), route) = (&matched.route.route.content, &matched.route.route)
            else {
                return;
            };
            let Some(plan) = content.cache() else {
                return;
            };
            let mut record = CallRecord::of_copy(Rc::clone(&worker), &client, &head, id);
            record.trace = trace;
            let call = Call {
                worker: &worker,
                client: &client,
                seat: &seat,
                matched: &matched,
                admitted,
                upgrades: false,
            };
            let asking = Asking {
                content,
                plan,
                call: &call,
                cache: &worker.shared.responses,
                // What the first client said of its own call is no business of this one.
                directives: RequestDirectives::default(),
                credentials,
                key,
                head,
            };
            let before = Before {
                entry: Some(entry),
                others: true,
            };
            let fetched = Box::pin(asking.fetched(Some(lead), before, &mut record));
            if let Some(Err(refusal)) = seated(&worker, &seat, fetched).await {
                tracing::debug!(route = %route.labels.route, why = %refusal.fault(), "a stale answer could not be replaced");
            }
        };
        tokio::task::spawn_local(task);
    }
}

/// Takes out what is said of the bytes of a whole that is not sent (RFC 9530, section 2). `Repr-Digest` speaks of the
/// whole in any case, and stays.
fn without_digests(fields: &mut Fields) {
    fields.retain(|field| field.name != b"content-digest" && field.name != b"content-md5");
}

/// Whether the answer is a stream of events, which has no end to be kept at.
pub(in crate::policy) fn is_stream(fields: &Fields) -> bool {
    fields.get(Header::ContentType).is_some_and(|kind| {
        kind.len() >= 17
            && kind
                .get(..17)
                .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
    })
}
