//! A second target, asked beside one that sends no first token: the first answer is the caller's.

use super::answering::Taken;
use super::chain::{Asked, Chain, Course, Won};
use crate::deadlines::Patience;
use crate::message::{Fields, RequestHead, Version};
use crate::record::CallRecord;
use http::Method;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// Who was first with an answer.
enum Race {
    First(Box<Won>),
    Second(Box<Won>),
    /// The request is at fault, wherever it goes.
    Over,
    Neither,
}

/// What became of two targets.
pub(super) struct Hedged {
    pub(super) asked: Asked,
    /// Whether the second was asked.
    pub(super) both: bool,
}

impl Chain<'_> {
    /// Asks one target, and `next` beside it when `after` has passed and no first token came. Whoever is slower is
    /// cancelled, and what it took is added to what the call did.
    pub(super) async fn hedged(
        &self,
        after: Duration,
        (place, next): (usize, usize),
        course: &mut Course,
        record: &mut CallRecord,
    ) -> Hedged {
        let mut beside = course.beside();
        let head = RequestHead::of_own(Method::POST, Version::Http11, Fields::new());
        let worker = Rc::clone(self.call.worker);
        let mut copy = CallRecord::of_copy(worker, self.call.client, &head, record.request_id);
        let spending = record.spending.as_ref();
        copy.spending = spending.map(|spending| spending.of_copy());
        let asked_beside = spending.map(|spending| spending.beside());
        let says_beside = |place| {
            if let Some(beside) = &asked_beside {
                beside.set(place);
            }
        };
        let (mut done, mut over) = ((false, false), false);
        let race = 'race: {
            let mut first = Box::pin(self.ask(place, course, record));
            let mut patience = Patience::new(after);
            let early = poll_fn(|waking| {
                if let Poll::Ready(asked) = first.as_mut().poll(waking) {
                    return Poll::Ready(Some(asked));
                }
                patience.poll(self.call.seat).map(|()| None)
            });
            if let Some(asked) = early.await {
                break 'race Err(asked);
            }
            if let Some(target) = self.target(next) {
                target.metrics.hedge(self.call.worker.index);
            }
            says_beside(Some(next));
            let mut second = Box::pin(self.ask(next, &mut beside, &mut copy));
            Ok(poll_fn(|waking| {
                if !done.0
                    && let Poll::Ready(asked) = first.as_mut().poll(waking)
                {
                    done.0 = true;
                    match asked {
                        Asked::Won(won) => return Poll::Ready(Race::First(won)),
                        Asked::Over => return Poll::Ready(Race::Over),
                        Asked::Nothing => {}
                    }
                }
                if !done.1
                    && let Poll::Ready(asked) = second.as_mut().poll(waking)
                {
                    done.1 = true;
                    match asked {
                        Asked::Won(won) => return Poll::Ready(Race::Second(won)),
                        // The first may answer all the same, as it would have done alone.
                        Asked::Over => over = true,
                        Asked::Nothing => {}
                    }
                }
                if done == (true, true) {
                    let race = if over { Race::Over } else { Race::Neither };
                    return Poll::Ready(race);
                }
                Poll::Pending
            })
            .await)
        };
        let race = match race {
            Ok(race) => race,
            Err(asked) => {
                course.join(beside);
                return Hedged { asked, both: false };
            }
        };
        says_beside(None);
        let first = if done.0 {
            Taken::default()
        } else {
            self.cancelled(course)
        };
        if !done.1 {
            self.cancelled(&mut beside);
        }
        course.join(beside);
        let asked = match race {
            Race::First(won) => Asked::Won(won),
            Race::Second(won) => {
                record.model = copy.model.take();
                if let (Some(own), Some(other)) = (&mut record.spending, copy.spending.take()) {
                    own.give_way(other, place, first);
                }
                Asked::Won(won)
            }
            Race::Over => Asked::Over,
            Race::Neither => Asked::Nothing,
        };
        Hedged { asked, both: true }
    }
}
