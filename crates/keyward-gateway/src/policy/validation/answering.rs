//! Answers held against their description, on their way back.
//!
//! Where what does not fit is refused, a body is read whole before anything of it goes on. Where it is reported, it goes
//! on as it comes, and is looked at when it has gone: nobody waits for it.

use super::answers::{AnswerRule, Answers};
use super::media_type::{MediaType, is_json};
use super::open_api::{Content, Found};
use super::schema::Schema;
use super::{Compiled, Mistakes, ValidationPlan, in_headers, json};
use crate::body::{AnswerBody, Watching};
use crate::message::{Fields, Header, RequestHead};
use crate::metrics::PolicyEvent;
use crate::policy::whole::{self, Reserved};
use crate::record::CallRecord;
use crate::request::forward::Call;
use crate::request::path::RequestPath;
use crate::request::{Answer, Refusal};
use crate::snapshot::RouteRef;
use crate::worker::Worker;
use http::{Method, StatusCode};
use keyward_model::id::RequestId;
use keyward_model::resource::content::{AnswerValidation, Validation};
use keyward_model::{Code, Fault, Moment};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often the log tells of a route's answers: an upstream that is wrong is wrong each time.
const TOLD_EVERY_NANOS: u64 = 1_000_000_000;

/// How long a body that goes on as it comes is kept to be looked at: a client that reads slowly has no memory for longer.
const WATCHED_FOR: Duration = Duration::from_secs(30);

/// What an operation's answers have to be.
pub(in crate::policy) struct Expected<'p> {
    plan: &'p ValidationPlan,
    answers: &'p Answers,
}

/// What was told of a route's answers.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// When the log told of one last; 0: never.
    last: AtomicU64,
    /// How many it has not told of since.
    untold: AtomicU64,
}

/// What is to be done with a body.
enum Looking<'p> {
    /// Nothing is said of it, or nothing that can be looked at.
    Nothing,
    /// It does not fit, whatever is in it.
    Misfit(&'static str),
    /// It can't be read as it is.
    Unreadable,
    Against(&'p Arc<Schema>),
}

impl ValidationPlan {
    /// What the answer to this call has to be; `None`: nothing is asked of it.
    pub(in crate::policy) fn expected(
        &self,
        head: &RequestHead,
        record: &CallRecord,
    ) -> Option<Expected<'_>> {
        // Bodies of gRPC are no JSON, and their status comes behind them.
        if self.declared.answers == AnswerValidation::Ignore || record.is_grpc {
            return None;
        }
        let Compiled::OpenApi(operations) = &*self.compiled else {
            return None;
        };
        let read = RequestPath::parse(head).ok()?;
        let path = self.path(read.for_matching());
        match operations.find(&path, head.method.as_str()) {
            Found::Operation(operation, _) => Some(Expected {
                plan: self,
                answers: operation.answers.as_ref()?,
            }),
            Found::OtherMethods(_) | Found::Nothing => None,
        }
    }
}

impl Expected<'_> {
    fn refuses(&self) -> bool {
        self.plan.declared.answers == AnswerValidation::Refuse
    }

    /// Asks the upstream for what can be looked into: what comes coded, or in parts, could not be.
    pub(in crate::policy) fn ask(&self, head: &mut RequestHead) {
        if self.refuses() {
            head.fields.retain(|field| {
                field.header != Header::AcceptEncoding
                    && field.name != b"range"
                    && field.name != b"if-range"
            });
        }
    }

    /// The answer, if it fits, or where it goes on all the same.
    pub(in crate::policy) async fn checked(
        &self,
        call: &Call<'_>,
        method: &Method,
        mut answer: Answer,
        record: &CallRecord,
    ) -> Result<Answer, Refusal> {
        let status = answer.status;
        if answer.tunnel.is_some() || status == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        let mut mistakes = self.plan.no_mistakes();
        if status == StatusCode::PARTIAL_CONTENT {
            if !self.refuses() {
                return Ok(answer);
            }
            if answer.has_body(method) && answer.body.left() != Some(0) {
                // No part was asked for, and what it leaves out can't be looked at.
                mistakes.add(
                    "body",
                    None,
                    "",
                    "it is a part, and the whole was asked for",
                );
                return self.settled(call, answer, mistakes, record);
            }
        }
        let Some(rule) = self.answers.of(status.as_u16()) else {
            // Documents seldom list each way in which something may fail.
            if status.as_u16() < 400 {
                mistakes.add("status", None, "", "it is not described");
            }
            return self.settled(call, answer, mistakes, record);
        };
        self.headers(rule, &answer, &mut mistakes);
        match looking(rule, &answer, method) {
            Looking::Nothing => {}
            Looking::Misfit(why) => mistakes.add("body", None, "", why),
            Looking::Unreadable if self.refuses() => {
                mistakes.add("body", None, "", "it is coded, and can't be looked into");
            }
            Looking::Unreadable => call.worker.metrics.policy(PolicyEvent::AnswerUnread),
            Looking::Against(schema) if self.refuses() => {
                if mistakes.found.is_empty() {
                    self.read(call, schema, &mut answer, &mut mistakes).await;
                }
            }
            Looking::Against(schema) => match answer.body.whole() {
                Some(whole) => look(&self.plan.declared, schema, whole, &mut mistakes),
                None => {
                    let Some(reserved) = Reserved::of_answer(call) else {
                        return Ok(answer);
                    };
                    let most = self.plan.declared.max_body_bytes;
                    let gathered = Gathered::new(reserved, most, call.worker.moment());
                    answer.body.watch(Box::new(Watch {
                        schema: Arc::clone(schema),
                        declared: Arc::clone(&self.plan.declared),
                        gathered: Some(gathered),
                        mistakes,
                        report: self.report(call, status, record),
                    }));
                    return Ok(answer);
                }
            },
        }
        self.settled(call, answer, mistakes, record)
    }

    fn headers(&self, rule: &AnswerRule, answer: &Answer, mistakes: &mut Mistakes) {
        for header in &rule.headers {
            let sent = sent(&answer.fields, &header.name);
            if sent.is_empty() {
                if header.required {
                    mistakes.add("header", Some(&header.name), "", "it is missing");
                }
                continue;
            }
            let most = self.plan.declared.max_errors + 1;
            let found = sent.chunks(1).flat_map(|one| header.mistakes(one, most));
            for (pointer, detail) in found {
                mistakes.add("header", Some(&header.name), &pointer, &detail);
            }
        }
    }

    async fn read(
        &self,
        call: &Call<'_>,
        schema: &Schema,
        answer: &mut Answer,
        mistakes: &mut Mistakes,
    ) {
        let most = self.plan.declared.max_body_bytes;
        match whole::read_answer(call, &mut answer.body, most).await {
            Ok(whole) => {
                look(&self.plan.declared, schema, &whole, mistakes);
                answer.body = AnswerBody::full(whole);
                // What follows a body that was read is dropped.
                answer.fields.remove(Header::Trailer);
            }
            Err(why) => mistakes.add("body", None, "", why.as_str()),
        }
    }

    fn report(&self, call: &Call<'_>, status: StatusCode, record: &CallRecord) -> Report {
        Report {
            reports: Arc::clone(&self.plan.reports),
            worker: Rc::clone(call.worker),
            route: Rc::clone(&call.matched.route),
            request_id: record.request_id,
            status,
        }
    }

    fn settled(
        &self,
        call: &Call<'_>,
        answer: Answer,
        mistakes: Mistakes,
        record: &CallRecord,
    ) -> Result<Answer, Refusal> {
        if mistakes.found.is_empty() {
            return Ok(answer);
        }
        if self.refuses() {
            call.worker.metrics.policy(PolicyEvent::AnswerMisfits);
            let fault = Fault::new(
                Code::InvalidAnswer,
                "The API's upstream answered what does not fit the API's description",
            );
            let because = format!("status {}: {}", answer.status.as_u16(), mistakes.words());
            return Err(fault.because(because).into());
        }
        self.report(call, answer.status, record).tell(&mistakes);
        Ok(answer)
    }
}

/// The values of a header, with its name. Fields that are repeated are one list (RFC 9110, section 5.3), but for
/// `Set-Cookie`, of which each stands for itself.
fn sent(fields: &Fields, name: &str) -> Vec<(String, String)> {
    let sent = in_headers(fields, name);
    if name == "set-cookie" || sent.len() < 2 {
        return sent;
    }
    let values: Vec<String> = sent.into_iter().map(|(_, value)| value).collect();
    vec![(name.to_owned(), values.join(", "))]
}

/// What the description says of the answer's body.
fn looking<'r>(rule: &'r AnswerRule, answer: &Answer, method: &Method) -> Looking<'r> {
    let Some(content) = &rule.content else {
        return Looking::Nothing;
    };
    if !answer.has_body(method) {
        return Looking::Nothing;
    }
    if answer.body.left() == Some(0) {
        let any = content.iter().any(|content| content.schema.is_some());
        return if any {
            Looking::Misfit("it is missing")
        } else {
            Looking::Nothing
        };
    }
    let Ok(media) = MediaType::of(&answer.fields) else {
        return Looking::Misfit("`Content-Type` stands there more than once");
    };
    let kind = &*media.kind;
    let takes = |content: &&Content| content.takes(kind);
    let Some(content) = content.iter().find(takes) else {
        return Looking::Misfit("its media type is not described");
    };
    let Some(schema) = &content.schema else {
        return Looking::Nothing;
    };
    if !is_json(kind) {
        return if content.others_pass {
            Looking::Nothing
        } else {
            Looking::Misfit("it is no JSON")
        };
    }
    if media.read_as_json().is_err() {
        return Looking::Misfit("it says that it is in another charset than UTF-8");
    }
    if answer.fields.has(Header::ContentEncoding) {
        return Looking::Unreadable;
    }
    Looking::Against(schema)
}

/// Holds a whole body against its schema.
fn look(declared: &Validation, schema: &Schema, whole: &[u8], mistakes: &mut Mistakes) {
    let read = match json::read(whole, declared.max_depth) {
        Ok(read) => read,
        Err(why) => return mistakes.add("body", None, "", &why),
    };
    if schema.takes(&read.value) {
        return;
    }
    for (pointer, detail) in schema.mistakes(&read.value, read.nodes, declared.max_errors + 1) {
        mistakes.add("body", None, &pointer, &detail);
    }
}

/// A body that is looked at when it has gone.
struct Watch {
    schema: Arc<Schema>,
    declared: Arc<Validation>,
    /// `None`: it is not looked at.
    gathered: Option<Gathered>,
    mistakes: Mistakes,
    report: Report,
}

/// What has come of it.
struct Gathered {
    bytes: Vec<u8>,
    reserved: Reserved,
    most: usize,
    /// When it has taken too long.
    until: Moment,
}

impl Gathered {
    fn new(reserved: Reserved, most: usize, now: Moment) -> Self {
        Self {
            bytes: Vec::new(),
            reserved,
            most,
            until: now.plus(WATCHED_FOR),
        }
    }

    /// Whether there was room and time for the piece.
    fn add(&mut self, piece: &[u8], now: Moment) -> bool {
        let size = self.bytes.len() + piece.len();
        if now >= self.until || size > self.most || !self.reserved.resize(size) {
            return false;
        }
        self.bytes.extend_from_slice(piece);
        true
    }
}

impl Watching for Watch {
    fn piece(&mut self, piece: &[u8]) {
        let worker = &self.report.worker;
        let now = worker.deadlines.latest();
        if let Some(gathered) = &mut self.gathered
            && !gathered.add(piece, now)
        {
            self.gathered = None;
            worker.metrics.policy(PolicyEvent::AnswerUnread);
        }
    }

    fn ended(mut self: Box<Self>) {
        if let Some(gathered) = self.gathered.take() {
            let whole = gathered.bytes;
            look(&self.declared, &self.schema, &whole, &mut self.mistakes);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Of a body that the client has left, or that broke off, its headers are known.
        if !self.mistakes.found.is_empty() {
            self.report.tell(&self.mistakes);
        }
    }
}

/// What the log needs to tell of an answer.
struct Report {
    reports: Arc<Reports>,
    worker: Rc<Worker>,
    route: RouteRef,
    request_id: RequestId,
    status: StatusCode,
}

impl Report {
    /// Counts it, and tells of it unless another of the route's was told of just before.
    fn tell(&self, mistakes: &Mistakes) {
        self.worker.metrics.policy(PolicyEvent::AnswerMisfits);
        let now = self.worker.moment().as_nanos().max(1);
        let last = self.reports.last.load(Ordering::Relaxed);
        let told = last == 0 || now.saturating_sub(last) >= TOLD_EVERY_NANOS;
        // Of workers that come at once one tells.
        let mine = told
            && self
                .reports
                .last
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !mine {
            self.reports.untold.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let untold = self.reports.untold.swap(0, Ordering::Relaxed);
        let labels = &self.route.route.labels;
        tracing::warn!(
            request_id = %self.request_id,
            team = %labels.team_name,
            api = %labels.api,
            version = %labels.version,
            route = %labels.route,
            status = self.status.as_u16(),
            untold,
            "an answer does not fit the API's description: {}",
            mistakes.words()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::memory::Memory;

    #[test]
    fn a_body_is_gathered_within_its_size_its_memory_and_its_time() {
        let (of_route, of_node) = (Memory::new(10), Memory::new(100));
        let begun = Moment::from_nanos(1);
        let late = begun.plus(WATCHED_FOR);
        let new = |most| Gathered::new(Reserved::nothing(&of_route, &of_node), most, begun);
        let mut gathered = new(6);
        assert!(gathered.add(b"12345", begun));
        assert!(!gathered.add(b"67", begun), "it is larger than it may be");
        assert!(!gathered.add(b"6", late), "it took too long");
        let mut other = new(100);
        assert!(!other.add(b"123456", begun), "the route has no more memory");
        assert!(gathered.add(b"6", begun));
        drop(gathered);
        assert!(other.add(b"1234567890", begun), "it came back");
    }
}
