//! The first call with a key, in a task of its own.
//!
//! What the client does meanwhile makes no difference to it: one that leaves, and sends the call again, is told that it
//! is under way, and then its answer. The task is not bounded by itself but by the time-outs of its upstream.

use super::claim::Duty;
use super::key::Named;
use super::memory::{Outcome, UnderWay};
use super::{IdempotencyPlan, told};
use crate::body::{AnswerBody, BodyFailure, RequestBody};
use crate::deadlines::Seat;
use crate::message::{Fields, Header, RequestHead};
use crate::metrics::PolicyEvent;
use crate::policy::cache::{is_stream, seated};
use crate::policy::content::refused_answer;
use crate::policy::filling::{Filled, Filling};
use crate::record::CallRecord;
use crate::request::admit::Admitted;
use crate::request::forward::Call;
use crate::request::{Answer, Client, Matched, Refusal};
use crate::snapshot::RouteRef;
use crate::worker::Worker;
use bytes::Bytes;
use http::StatusCode;
use keyward_model::resource::content::Idempotency;
use keyward_model::{Code, Fault};
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::oneshot;

/// All that the task needs of its call.
pub(super) struct Execution {
    declared: Arc<Idempotency>,
    worker: Rc<Worker>,
    client: Rc<Client>,
    route: RouteRef,
    path: Box<str>,
    admitted: Admitted,
    head: RequestHead,
    body: Bytes,
    named: Named,
    under_way: UnderWay,
    record: Box<CallRecord>,
}

/// What the task has for the client, and the record that was lent to it.
struct Told {
    result: Result<Answer, Refusal>,
    record: Box<CallRecord>,
}

/// An answer that is to be kept, on its way in.
struct Keeping {
    status: StatusCode,
    fields: Fields,
    body: AnswerBody,
    filling: Rc<Filling>,
}

impl Execution {
    pub(super) fn new(
        plan: &IdempotencyPlan,
        call: &Call<'_>,
        (head, body): (RequestHead, Bytes),
        named: Named,
        under_way: UnderWay,
        record: &mut CallRecord,
    ) -> Self {
        Self {
            declared: Arc::clone(&plan.declared),
            worker: Rc::clone(call.worker),
            client: Rc::clone(call.client),
            route: Rc::clone(&call.matched.route),
            path: call.matched.path.clone(),
            // What was counted was counted for the call that waits.
            admitted: call.admitted.of_copy(),
            record: record.lend(call.client, &head),
            head,
            body,
            named,
            under_way,
        }
    }

    /// Starts it, and gives its answer to the client as it comes.
    pub(super) async fn answer(
        self,
        call: &Call<'_>,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        let (teller, told) = oneshot::channel();
        tokio::task::spawn_local(self.run(teller));
        let Ok(Told {
            mut result,
            record: lent,
        }) = told.await
        else {
            // The worker cuts what still runs; this connection is next.
            let fault = Fault::new(
                Code::Overloaded,
                "The gateway is going down: send this again with the same key",
            );
            return Err(fault.into());
        };
        record.take_back(lent);
        if let Ok(answer) = &mut result {
            // What is not kept is read by the client itself.
            answer.body.reseat(call.seat);
        }
        result
    }

    async fn run(self, mut teller: oneshot::Sender<Told>) {
        let Self {
            declared,
            worker,
            client,
            route,
            path,
            admitted,
            head,
            body,
            named,
            under_way,
            mut record,
        } = self;
        let duty = match Duty::of(&worker, &declared, &named, under_way).await {
            Ok(duty) => duty,
            Err(known) => {
                worker.metrics.policy(known.event());
                let result = told(&known, &mut record);
                drop(teller.send(Told { result, record }));
                return;
            }
        };
        worker.metrics.policy(PolicyEvent::KeyFirst);
        let seat = Rc::new(worker.deadlines.seat());
        let matched = Matched::of_copy(route, path);
        let Some(content) = &matched.route.route.content else {
            return;
        };
        let call = Call {
            worker: &worker,
            client: &client,
            seat: &seat,
            matched: &matched,
            admitted,
            upgrades: false,
        };
        let body = RequestBody::whole(body);
        // A worker that ends waits for connections. Once the client's may be gone, it is to wait for this.
        let mut open = None;
        let answered = {
            let mut answering = Box::pin(content.answered(&call, head, body, &mut record));
            let watched = poll_fn(|context| {
                if open.is_none() && teller.poll_closed(context).is_ready() {
                    open = Some(worker.drain.connection());
                }
                Pin::as_mut(&mut answering).poll(context)
            });
            seated(&worker, &seat, watched).await
        };
        let Some(answered) = answered else {
            // Cut: what became of it is left unsaid.
            return;
        };
        let result = match answered {
            Ok(mut answer) => {
                match sorted(&declared, &worker, &mut answer, duty) {
                    Ok((keeping, duty)) => {
                        // They count as long as the task holds the call.
                        let held = (record.in_flight.take(), record.held.take());
                        let told = Told {
                            result: Ok(answer),
                            record,
                        };
                        // A client that has left gets it when it asks again.
                        drop(teller.send(told));
                        keeping.run(&worker, &seat, duty).await;
                        drop(held);
                        return;
                    }
                    Err(Settled) => Ok(answer),
                }
            }
            Err(refusal) => {
                let now = worker.moment();
                let outcome = Outcome::Failed(of_caller(refusal.fault()));
                let released = match refused_answer(&refusal, &record) {
                    Some(status) if !declared.released.contains(&status.as_u16()) => {
                        // It was done, and must not be done again.
                        duty.settle(outcome, now);
                        false
                    }
                    None if record.sent => duty.unknown(outcome, now),
                    Some(_) | None => {
                        duty.release();
                        true
                    }
                };
                if released {
                    worker.metrics.policy(PolicyEvent::KeyReleased);
                }
                Err(refusal)
            }
        };
        drop(teller.send(Told { result, record }));
    }
}

/// There is nothing more to be said of the key.
struct Settled;

/// Decides what is kept of an answer whose head is there. What is kept is read by the task, and by the client from
/// there.
fn sorted(
    declared: &Idempotency,
    worker: &Worker,
    answer: &mut Answer,
    mut duty: Duty,
) -> Result<(Keeping, Duty), Settled> {
    let now = worker.moment();
    let status = answer.status;
    if declared.released.contains(&status.as_u16()) {
        duty.release();
        worker.metrics.policy(PolicyEvent::KeyReleased);
        return Err(Settled);
    }
    let fields = kept_fields(&answer.fields);
    let length = answer.body.left();
    let room = duty.room_for_body(fields.footprint()).filter(|room| {
        length.is_none_or(|length| length <= room.bytes() as u64)
            && !is_stream(&answer.fields)
            && answer.tunnel.is_none()
    });
    let Some(room) = room else {
        // It was done, and must not be done again.
        duty.settle(Outcome::Lost(Some(status)), now);
        return Err(Settled);
    };
    let filling = Filling::new(length, room.bytes(), room);
    let reader = AnswerBody::filling(filling.reader());
    let body = std::mem::replace(&mut answer.body, reader);
    let keeping = Keeping {
        status,
        fields,
        body,
        filling,
    };
    Ok((keeping, duty))
}

impl Keeping {
    async fn run(self, worker: &Worker, seat: &Rc<Seat>, duty: Duty) {
        let Self {
            status,
            fields,
            mut body,
            filling,
        } = self;
        let mut duty = Some(duty);
        let lost = || Outcome::Lost(Some(status));
        let filled = poll_fn(|context| {
            loop {
                let filled = filling.poll_fill(context, &mut body, || false);
                // From here on it is the client's pace: those who ask again need not wait for that.
                if filling.spills()
                    && let Some(duty) = duty.take()
                {
                    duty.settle(lost(), worker.moment());
                }
                match filled {
                    Poll::Ready(false) => {}
                    Poll::Ready(true) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        if seated(worker, seat, filled).await.is_none() {
            filling.cut(BodyFailure::Upstream);
        }
        drop(body);
        let now = worker.moment();
        let whole = filling.finish();
        match (duty, whole) {
            (None, _) => {}
            (Some(duty), Filled::Whole(body)) => {
                let outcome = Outcome::Answer {
                    status,
                    fields,
                    body,
                };
                duty.settle(outcome, now);
            }
            (Some(duty), Filled::Passed) if filling.has_failed() => {
                if duty.unknown(lost(), now) {
                    worker.metrics.policy(PolicyEvent::KeyReleased);
                }
            }
            (Some(duty), Filled::Passed) => duty.settle(lost(), now),
        }
    }
}

/// What is kept of an answer's head: not what says something of its own time, its own framing, or its own call.
fn kept_fields(fields: &Fields) -> Fields {
    let mut kept = Fields::with_room(fields.bytes().len(), fields.len());
    for field in fields.iter() {
        let passing = matches!(
            field.header,
            Header::ContentLength
                | Header::Date
                | Header::RateLimit
                | Header::RateLimitPolicy
                | Header::Trailer
        );
        if !passing && field.name != b"age" {
            kept.append_field(field);
        }
    }
    kept.compact()
}

/// The fault as a caller may be told of it again: what only the operator may know was logged with the first call.
fn of_caller(fault: &Fault) -> Fault {
    Fault::new(fault.code(), fault.detail())
}
