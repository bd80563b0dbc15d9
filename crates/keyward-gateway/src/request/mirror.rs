//! Copies of calls for a mirror, whose answers nobody reads.
//!
//! A copy begins with its call and is sent once the call's body has come whole; from then on the two have
//! nothing to do with each other. What becomes of it is counted, and nothing else.

use super::admit::Admitted;
use super::client::Client;
use super::forward::{self, Call};
use super::match_route::Matched;
use crate::body::RequestBody;
use crate::deadlines::{Patience, Seat};
use crate::message::{Header, RequestHead};
use crate::metrics::CopyOutcome;
use crate::record::CallRecord;
use crate::snapshot::{MirrorRoute, RouteRef};
use crate::trace::CallTrace;
use crate::worker::Worker;
use bytes::Bytes;
use keyward_model::id::RequestId;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// So much of a mirror's answer is read, so that its connection can be used again; what has more is cut.
const ANSWER_MAX: usize = 1024 * 1024;

/// A copy that waits for the rest of its call's body.
pub(crate) struct Copying {
    worker: Rc<Worker>,
    client: Rc<Client>,
    /// The variant of the call's route that goes to the mirror.
    route: RouteRef,
    path: Box<str>,
    admitted: Admitted,
    head: RequestHead,
    request_id: RequestId,
    trace: Option<Rc<CallTrace>>,
    body: Vec<u8>,
    place: Place,
}

/// A place among the copies that are under way. What became of this one is counted when it is given up.
#[derive(Debug)]
struct Place {
    mirror: Arc<MirrorRoute>,
    worker: usize,
    outcome: CopyOutcome,
}

/// Begins a copy of the call, if its route has a mirror that takes this one. `head` is as it was before it
/// was changed for the route's own upstream.
pub(super) fn copy(
    call: &Call<'_>,
    head: &RequestHead,
    length: Option<u64>,
    record: &CallRecord,
) -> Option<Copying> {
    let mirror = call.matched.route.route.mirror.as_ref()?;
    let route = call.matched.route.mirror.as_ref()?;
    let worker = call.worker;
    // What begins as a call and goes on as another protocol has no copy.
    if !mirror.plan.takes(&head.method, worker.turn())
        || call.upgrades
        || head.fields.has(Header::Upgrade)
    {
        return None;
    }
    let mut refused = None;
    if length.is_some_and(|length| length > mirror.plan.max_body_bytes as u64) {
        refused = Some(CopyOutcome::TooLarge);
    } else if !mirror.plan.enter() {
        refused = Some(CopyOutcome::Dropped);
    }
    if let Some(outcome) = refused {
        route.route.metrics.count_copy(worker.index, outcome);
        return None;
    }
    Some(Copying {
        worker: Rc::clone(worker),
        client: Rc::clone(call.client),
        route: Rc::clone(route),
        path: call.matched.path.clone(),
        admitted: call.admitted.of_copy(),
        head: head.clone(),
        request_id: record.request_id,
        trace: record.trace.as_ref().map(|trace| trace.of_copy()),
        body: Vec::new(),
        place: Place {
            mirror: Arc::clone(mirror),
            worker: worker.index,
            outcome: CopyOutcome::Unfinished,
        },
    })
}

impl Copying {
    /// Keeps the next piece of the body. Whether the copy goes on: not when there is too much of it.
    pub(crate) fn keep(&mut self, piece: &[u8]) -> bool {
        let fits = self.body.len() + piece.len() <= self.place.mirror.plan.max_body_bytes;
        if fits {
            self.body.extend_from_slice(piece);
        } else {
            self.place.outcome = CopyOutcome::TooLarge;
        }
        fits
    }

    /// The body has come whole: the copy goes its own way.
    pub(crate) fn send(mut self: Box<Self>) {
        self.place.outcome = CopyOutcome::Failed;
        tokio::task::spawn_local(sent(self));
    }
}

async fn sent(copying: Box<Copying>) {
    let Copying {
        worker,
        client,
        route,
        path,
        admitted,
        head,
        request_id,
        trace,
        body,
        mut place,
    } = *copying;
    let seat = Rc::new(worker.deadlines.seat());
    let matched = Matched::of_copy(route, path);
    let mut record = CallRecord::of_copy(Rc::clone(&worker), &client, &head, request_id);
    record.trace = trace;
    let call = Call {
        worker: &worker,
        client: &client,
        seat: &seat,
        matched: &matched,
        admitted,
        // A tunnel can't be read to its end.
        upgrades: false,
    };
    let answered = Box::pin(async {
        let body = RequestBody::whole(Bytes::from(body));
        let mut body = match forward::forward(call, head, body, &mut record).await {
            Ok(answer) => answer.body,
            Err(refusal) => {
                tracing::debug!(request_id = %request_id, why = %refusal.fault(), "a copy was not answered");
                return None;
            }
        };
        let (mut read, mut nowhere) = (0, Vec::new());
        loop {
            match poll_fn(|context| body.poll_piece(context)).await {
                Ok(0) => {
                    body.end();
                    return Some(());
                }
                Ok(count) => {
                    nowhere.clear();
                    body.move_piece(count, &mut nowhere);
                    read += count;
                    if read > ANSWER_MAX {
                        return Some(());
                    }
                }
                Err(_) => return None,
            }
        }
    });
    if within(&worker, &seat, &place, answered).await.is_some() {
        place.outcome = CopyOutcome::Answered;
    }
}

/// Waits as long as a copy may take.
async fn within(
    worker: &Worker,
    seat: &Seat,
    place: &Place,
    answered: impl Future<Output = Option<()>>,
) -> Option<()> {
    let mut answered = pin!(answered);
    let mut patience = Patience::new(place.mirror.plan.timeout);
    poll_fn(|context| {
        seat.register(context);
        if let Poll::Ready(answered) = answered.as_mut().poll(context) {
            return Poll::Ready(answered);
        }
        if worker.drain.cut() || patience.poll(seat).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

impl Drop for Place {
    fn drop(&mut self) {
        self.mirror.plan.leave();
        let metrics = &self.mirror.route.metrics;
        metrics.count_copy(self.worker, self.outcome);
    }
}

impl std::fmt::Debug for Copying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copying")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
