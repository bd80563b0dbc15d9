//! When a worker's connections have waited long enough.
//!
//! A timer for each thing that a call waits for would cost more than the call's routing. So each connection
//! has one place for the earliest moment at which it wants to be woken, and the worker looks through the
//! places now and then: setting a deadline is writing a number.
//!
//! The rule is that of wakers: whoever returns `Pending` and wants to be asked again by some time says so
//! each time.

use crate::message::AnswerHead;
use keyward_model::{Clock, Moment};
use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The places are looked through this often at least; earlier when a deadline comes earlier.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// And this often at most, however many deadlines there are.
const LOOK_PAUSE: Duration = Duration::from_millis(1);

const NEVER: u64 = u64::MAX;

/// Whoever waits for less than this wants to know the time exactly; for others, what the clock showed when it
/// was last read will do.
const EXACT_BELOW: Duration = Duration::from_secs(1);

/// The deadlines of a worker.
#[derive(Debug)]
pub(crate) struct Deadlines {
    clock: Arc<dyn Clock>,
    /// What the clock showed when it was last read: at most [`LOOK_EVERY`] ago.
    latest: Cell<Moment>,
    places: RefCell<Vec<Place>>,
    free: RefCell<Vec<usize>>,
    /// When the places are looked through next.
    next: Cell<u64>,
    looker: RefCell<Option<Waker>>,
}

#[derive(Debug)]
struct Place {
    at: Cell<u64>,
    waker: Option<Waker>,
}

impl Deadlines {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Rc<Self> {
        Rc::new(Self {
            latest: Cell::new(clock.moment()),
            clock,
            places: RefCell::default(),
            free: RefCell::default(),
            next: Cell::new(0),
            looker: RefCell::default(),
        })
    }

    /// The time now.
    pub(crate) fn now(&self) -> Moment {
        let now = self.clock.moment();
        self.latest.set(now);
        now
    }

    /// The time when the clock was last read, for what need not be exact.
    pub(crate) fn latest(&self) -> Moment {
        self.latest.get()
    }

    /// A place for one task.
    pub(crate) fn seat(self: &Rc<Self>) -> Seat {
        let mut places = self.places.borrow_mut();
        let place = Place {
            at: Cell::new(NEVER),
            waker: None,
        };
        let index = match self.free.borrow_mut().pop() {
            Some(index) => {
                if let Some(free) = places.get_mut(index) {
                    *free = place;
                }
                index
            }
            None => {
                places.push(place);
                places.len() - 1
            }
        };
        Seat {
            deadlines: Rc::clone(self),
            index,
            registered: Cell::new(false),
            hints: RefCell::default(),
        }
    }

    /// Wakes every task.
    pub(crate) fn wake_all(&self) {
        for place in self.places.borrow().iter() {
            if let Some(waker) = &place.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Wakes those whose deadline has come, and tells when to look next.
    fn look(&self) -> Moment {
        let now = self.now();
        let mut next = now.plus(LOOK_EVERY).as_nanos();
        for place in self.places.borrow().iter() {
            let at = place.at.get();
            if at <= now.as_nanos() {
                place.at.set(NEVER);
                if let Some(waker) = &place.waker {
                    waker.wake_by_ref();
                }
            } else {
                next = next.min(at);
            }
        }
        let next = Moment::from_nanos(next.max(now.plus(LOOK_PAUSE).as_nanos()));
        self.next.set(next.as_nanos());
        next
    }

    /// Looks through the places, as often as is needed, and calls `tick` about every [`LOOK_EVERY`].
    pub(crate) async fn watch(&self, tick: impl Fn()) {
        let mut ticked = self.now();
        loop {
            let mut armed = self.look();
            let now = self.latest();
            if now.since(ticked) >= LOOK_EVERY {
                ticked = now;
                tick();
            }
            let mut sleep = pin!(tokio::time::sleep(armed.since(now)));
            poll_fn(|context| {
                *self.looker.borrow_mut() = Some(context.waker().clone());
                let wanted = Moment::from_nanos(self.next.get());
                if wanted < armed {
                    armed = wanted;
                    let wait = wanted.since(self.now());
                    sleep.set(tokio::time::sleep(wait.max(LOOK_PAUSE)));
                }
                sleep.as_mut().poll(context)
            })
            .await;
        }
    }
}

/// One task's place. The task that polls with it must stay the same.
#[derive(Debug)]
pub(crate) struct Seat {
    deadlines: Rc<Deadlines>,
    index: usize,
    registered: Cell<bool>,
    /// Interim answers on their way to the task's client, who gets them before the one that counts.
    hints: RefCell<Vec<AnswerHead>>,
}

impl Seat {
    /// Leaves an interim answer for whoever writes to the task's client.
    pub(crate) fn hint(&self, hint: AnswerHead) {
        self.hints.borrow_mut().push(hint);
    }

    /// The interim answers that were left.
    pub(crate) fn take_hints(&self) -> Vec<AnswerHead> {
        self.hints.take()
    }

    /// Says who is to be woken. Once is enough.
    pub(crate) fn register(&self, context: &Context<'_>) {
        if !self.registered.replace(true)
            && let Some(place) = self.deadlines.places.borrow_mut().get_mut(self.index)
        {
            place.waker = Some(context.waker().clone());
        }
    }

    fn now_for(&self, limit: Duration) -> Moment {
        if limit < EXACT_BELOW {
            self.deadlines.now()
        } else {
            self.deadlines.latest()
        }
    }

    /// Wants the task to be woken at `at`, or earlier.
    pub(crate) fn wake_at(&self, at: Moment) {
        let at = at.as_nanos();
        if let Some(place) = self.deadlines.places.borrow().get(self.index)
            && at < place.at.get()
        {
            place.at.set(at);
        }
        if at < self.deadlines.next.get() {
            self.deadlines.next.set(at);
            if let Some(looker) = &*self.deadlines.looker.borrow() {
                looker.wake_by_ref();
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(place) = self.deadlines.places.borrow_mut().get_mut(self.index) {
            place.at.set(NEVER);
            place.waker = None;
        }
        self.deadlines.free.borrow_mut().push(self.index);
    }
}

/// How long something may go without moving.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    /// Since when nothing has moved; not known while it moves.
    since: Option<Moment>,
}

impl Patience {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, since: None }
    }

    /// Something moved.
    pub(crate) fn moved(&mut self) {
        self.since = None;
    }

    /// Asked whenever something has to wait: ready when it has waited for too long.
    pub(crate) fn poll(&mut self, seat: &Seat) -> Poll<()> {
        let now = seat.now_for(self.limit);
        let since = *self.since.get_or_insert(now);
        if now.since(since) >= self.limit {
            return Poll::Ready(());
        }
        seat.wake_at(since.plus(self.limit));
        Poll::Pending
    }
}

/// When something has to be over; it may have no bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Moment>);

impl Deadline {
    pub(crate) fn after(limit: Option<Duration>, now: Moment) -> Self {
        Self(limit.map(|limit| now.plus(limit)))
    }

    /// What is left of this time.
    pub(crate) fn bound(self, time: Duration, now: Moment) -> Duration {
        self.0.map_or(time, |end| time.min(end.since(now)))
    }

    pub(crate) fn is_over(self, now: Moment) -> bool {
        self.0.is_some_and(|end| end <= now)
    }

    /// Asked whenever something has to wait: ready when the time is over.
    pub(crate) fn poll(self, seat: &Seat) -> Poll<()> {
        let Some(end) = self.0 else {
            return Poll::Pending;
        };
        if seat.now_for(Duration::ZERO) >= end {
            return Poll::Ready(());
        }
        seat.wake_at(end);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::Timestamp;
    use keyward_testkit::FakeClock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_is_woken_once_when_the_time_has_come() {
        let clock = Arc::new(FakeClock::at(Timestamp::EPOCH));
        let deadlines = Deadlines::new(clock.clone());
        let (one, two) = (deadlines.seat(), deadlines.seat());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        one.register(&Context::from_waker(&waker));
        two.register(&Context::from_waker(&waker));
        let mut patience = Patience::new(Duration::from_secs(10));
        assert!(patience.poll(&one).is_pending());
        assert!(
            Patience::new(Duration::from_secs(30))
                .poll(&two)
                .is_pending()
        );
        clock.advance(Duration::from_secs(9));
        deadlines.look();
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        clock.advance(Duration::from_secs(1));
        deadlines.look();
        deadlines.look();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(patience.poll(&one).is_ready());
        patience.moved();
        assert!(patience.poll(&one).is_pending());
        drop(one);
        clock.advance(Duration::from_secs(60));
        deadlines.look();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn the_next_look_is_no_later_than_the_earliest_deadline() {
        let clock = Arc::new(FakeClock::at(Timestamp::EPOCH));
        let deadlines = Deadlines::new(clock.clone());
        let seat = deadlines.seat();
        let now = clock.moment();
        assert_eq!(deadlines.look(), now.plus(LOOK_EVERY));
        seat.wake_at(now.plus(Duration::from_millis(7)));
        assert_eq!(
            deadlines.next.get(),
            now.plus(Duration::from_millis(7)).as_nanos()
        );
        assert_eq!(deadlines.look(), now.plus(Duration::from_millis(7)));
    }
}
