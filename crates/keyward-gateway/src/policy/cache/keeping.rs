//! The keeping of one answer, in a task of its own.

use super::entry::{Entry, Varying};
use super::freshness::Freshness;
use super::key::CacheKey;
use super::store::{Lead, Outcome, ResponseCache, Ticket};
use crate::body::{AnswerBody, BodyFailure};
use crate::deadlines::Seat;
use crate::message::Fields;
use crate::policy::filling::{Filled, Filling};
use crate::worker::Worker;
use bytes::Bytes;
use http::StatusCode;
use keyward_model::Moment;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// An answer that is to be kept, but for its body.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) status: StatusCode,
    pub(super) fields: Fields,
    pub(super) varying: Varying,
    pub(super) received: Moment,
    pub(super) freshness: Freshness,
}

/// The keeping of one answer, in a task of its own: it goes on when the client leaves.
pub(super) struct Keeping {
    pub(super) worker: Rc<Worker>,
    pub(super) cache: Arc<ResponseCache>,
    pub(super) key: CacheKey,
    pub(super) shape: Shape,
    pub(super) ticket: Ticket,
    pub(super) lead: Option<Lead>,
}

impl Keeping {
    pub(super) async fn run(mut self, mut body: AnswerBody, filling: Rc<Filling>) {
        let seat = Rc::new(self.worker.deadlines.seat());
        body.reseat(&seat);
        let mut lead = self.lead.take();
        let cache = Arc::clone(&self.cache);
        let key = self.key.clone();
        let worker = Rc::clone(&self.worker);
        let filled = poll_fn(|context| {
            loop {
                let filled = filling.poll_fill(context, &mut body, || cache.evict());
                if filling.spills()
                    && let Some(lead) = lead.take()
                    && lead.end(Outcome::Released)
                {
                    cache.pass(&key, worker.moment());
                }
                match filled {
                    Poll::Ready(false) => {}
                    Poll::Ready(true) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        if seated(&self.worker, &seat, filled).await.is_none() {
            filling.cut(BodyFailure::Upstream);
        }
        drop(body);
        let kept = match filling.finish() {
            Filled::Whole(bytes) => self.keep(bytes),
            Filled::Passed => false,
        };
        end(
            lead,
            if kept {
                Outcome::Stored
            } else {
                Outcome::Released
            },
        );
    }

    fn keep(self, body: Bytes) -> bool {
        let Shape {
            status,
            fields,
            varying,
            received,
            freshness,
        } = self.shape;
        let mut memory = self.cache.memory();
        // The body counts by itself.
        if !memory.resize(Entry::size(&fields, 0, &varying), || self.cache.evict()) {
            return false;
        }
        let entry = Entry {
            status,
            fields,
            body,
            varying,
            received,
            freshness,
            _memory: memory,
        };
        self.cache.keep(&self.key, entry, self.ticket)
    }
}

pub(super) fn end(lead: Option<Lead>, outcome: Outcome) {
    if let Some(lead) = lead {
        lead.end(outcome);
    }
}

/// What comes of it, in a task of its own; `None` when the worker has no more time.
pub(in crate::policy) async fn seated<F: Future>(
    worker: &Worker,
    seat: &Seat,
    work: F,
) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|context| {
        seat.register(context);
        if let Poll::Ready(done) = Pin::as_mut(&mut work).poll(context) {
            return Poll::Ready(Some(done));
        }
        if worker.drain.cut() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}
