//! Shedding load early: when a worker can't keep up, a new call is refused at once rather than let in to
//! wait with all others.
//!
//! Two things say that a worker can't keep up. The *calls in flight* reach a bound: whatever slows them down
//! (an upstream, most often), more of them would only take memory. Or the worker's *delay*, the time that
//! what is ready waits for its turn, stays over a target for a whole interval: the idea is that of the queue
//! management CoDel (RFC 8289). A burst makes a queue that is empty soon after, and is let through; a queue
//! that does not get empty is overload, and letting it grow makes every call late and none more served.
//!
//! A worker measures its delay by a timer, which is wanted at a known moment. Everything belongs to one worker: no atomics, no locks.

use crate::message::{Fields, Header};
use crate::metrics::WorkerMetrics;
use crate::request::Refusal;
use keyward_model::{Clock, Code, Fault, Moment};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The delay that is borne for as long as it takes: that of some two thousand connections that all have a
/// call at once, of which each costs 25 µs. A caller hardly notices it.
const TARGET: Duration = Duration::from_millis(50);

/// How long the delay has to stay above the target before calls are refused: longer than a burst of new
/// connections or a snapshot's change takes, shorter than a client's patience.
const INTERVAL: Duration = Duration::from_millis(500);

/// How often the delay is measured: often enough to see several in an interval, and nothing beside what
/// a worker does.
const MEASURED_EVERY: Duration = Duration::from_millis(100);

/// Above this delay, calls are refused without waiting for the interval's end: whoever comes now would wait
/// longer than most clients' patience.
const LIMIT: Duration = Duration::from_secs(2);

/// While a worker is overloaded by delay it takes one call of so many all the same, so that it learns from
/// what it serves that it can again. A quarter is what is known to be safe: an overload of four times its
/// capacity ends.
const STILL_ADMITTED: u32 = 4;

/// When a refused client may come again, in seconds. The least that the header can say.
const RETRY_AFTER: &[u8] = b"1";

/// Why a call is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overload {
    /// As many calls as are allowed are in flight.
    CallsInFlight,
    /// What is ready has waited too long for its turn, for too long.
    Delay,
}

impl Overload {
    /// The answer to a call that is not let in, which is counted.
    pub(crate) fn refusal(self, metrics: &WorkerMetrics) -> Refusal {
        metrics.call_shed();
        let fault = Fault::new(
            Code::Overloaded,
            "The gateway has too much to do just now; send this again in a second",
        );
        let mut fields = Fields::new();
        fields.append(Header::RetryAfter, RETRY_AFTER);
        Refusal::with(fault.because(self.as_str()), fields)
    }

    /// For the operator's log.
    const fn as_str(self) -> &'static str {
        match self {
            Self::CallsInFlight => "the bound on calls in flight (`limits.calls_in_flight`)",
            Self::Delay => "the worker is behind by more than 50 ms for half a second",
        }
    }
}

/// A worker's gate.
#[derive(Debug)]
pub(crate) struct Gate {
    in_flight: Cell<usize>,
    bound: usize,
    behind: Cell<Behind>,
    delay: Cell<Duration>,
    turn: Cell<u32>,
}

/// How a worker stands to its delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Behind {
    /// It keeps up.
    #[default]
    No,
    /// It is above the target since then, which may be a burst.
    Since(Moment),
    /// It does not keep up.
    Overloaded,
}

/// A call that was let in. It is in flight as long as this lives.
#[derive(Debug)]
pub(crate) struct InFlight(Rc<Gate>);

impl Gate {
    /// A gate that lets `bound` calls be in flight at one time.
    pub(crate) fn new(bound: usize) -> Rc<Self> {
        Rc::new(Self {
            in_flight: Cell::new(0),
            bound: bound.max(1),
            behind: Cell::default(),
            delay: Cell::default(),
            turn: Cell::new(0),
        })
    }

    /// Lets a call in, or says why not. Costs two comparisons while all is well.
    pub(crate) fn enter(self: &Rc<Self>) -> Result<InFlight, Overload> {
        let in_flight = self.in_flight.get();
        if in_flight >= self.bound {
            return Err(Overload::CallsInFlight);
        }
        if self.behind.get() == Behind::Overloaded {
            let turn = self.turn.get().wrapping_add(1);
            self.turn.set(turn);
            // Without a call in flight nothing is waited for: the delay is not the calls'.
            if in_flight > 0 && !turn.is_multiple_of(STILL_ADMITTED) {
                return Err(Overload::Delay);
            }
        }
        self.in_flight.set(in_flight + 1);
        Ok(InFlight(Rc::clone(self)))
    }

    /// Calls that are not answered to their end.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// How late something got its turn that was ready, when that was last measured.
    pub(crate) fn delay(&self) -> Duration {
        self.delay.get()
    }

    /// Tells the gate at `now` that something that was ready at `wanted` has got its turn only now.
    pub(crate) fn had_its_turn(&self, wanted: Moment, now: Moment) {
        let delay = now.since(wanted);
        self.delay.set(delay);
        let behind = if delay <= TARGET {
            Behind::No
        } else if delay > LIMIT {
            Behind::Overloaded
        } else {
            match self.behind.get() {
                // Since it was ready, not since it was noticed.
                Behind::No => Behind::Since(wanted),
                Behind::Since(since) if now.since(since) >= INTERVAL => Behind::Overloaded,
                still @ (Behind::Since(_) | Behind::Overloaded) => still,
            }
        };
        self.behind.set(behind);
    }
}

/// Measures forever how late a worker's timer gets its turn.
pub(crate) async fn measure(gate: Rc<Gate>, clock: Arc<dyn Clock>) {
    loop {
        let wanted = clock.moment().plus(MEASURED_EVERY);
        tokio::time::sleep(MEASURED_EVERY).await;
        gate.had_its_turn(wanted, clock.moment());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let in_flight = &self.0.in_flight;
        in_flight.set(in_flight.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = MEASURED_EVERY;

    fn start() -> Moment {
        Moment::from_nanos(1_000_000_000)
    }

    /// Ticks that are each late by this much.
    fn late(gate: &Gate, from: Moment, delay: Duration, ticks: u32) -> Moment {
        let mut wanted = from;
        for _ in 0..ticks {
            gate.had_its_turn(wanted, wanted.plus(delay));
            wanted = wanted.plus(TICK);
        }
        wanted
    }

    fn admitted(gate: &Rc<Gate>, calls: usize) -> usize {
        // One stays in flight, so that the gate has something to protect.
        let _running = gate.enter();
        (0..calls).filter(|_| gate.enter().is_ok()).count()
    }

    #[test]
    fn calls_in_flight_have_a_bound_and_leave_by_being_dropped() {
        let gate = Gate::new(2);
        let first = gate.enter().unwrap();
        let second = gate.enter().unwrap();
        assert_eq!(gate.enter().unwrap_err(), Overload::CallsInFlight);
        assert_eq!(gate.in_flight.get(), 2);
        drop(first);
        let third = gate.enter().unwrap();
        assert_eq!(gate.enter().unwrap_err(), Overload::CallsInFlight);
        drop((second, third));
        assert_eq!(gate.in_flight.get(), 0);
    }

    #[test]
    fn a_worker_that_keeps_up_refuses_nobody() {
        let gate = Gate::new(100);
        late(&gate, start(), TARGET, 100);
        assert_eq!(admitted(&gate, 50), 50);
    }

    #[test]
    fn a_burst_is_let_through() {
        let gate = Gate::new(100);
        let now = late(&gate, start(), 2 * TARGET, 4);
        assert_eq!(admitted(&gate, 50), 50);
        let now = late(&gate, now, Duration::ZERO, 1);
        // Each is a burst of its own.
        late(&gate, now, 2 * TARGET, 4);
        assert_eq!(admitted(&gate, 50), 50);
    }

    #[test]
    fn a_delay_that_stays_refuses_all_but_a_quarter_until_it_is_over() {
        let gate = Gate::new(100);
        let now = late(&gate, start(), 2 * TARGET, 6);
        let running = gate.enter();
        assert!(running.is_err() || gate.in_flight.get() == 1);
        assert_eq!(admitted(&gate, 40), 10);
        let _busy = gate.enter();
        late(&gate, now, TARGET / 2, 1);
        assert_eq!(admitted(&gate, 40), 40);
    }

    #[test]
    fn a_delay_beyond_all_patience_refuses_at_once() {
        let gate = Gate::new(100);
        late(&gate, start(), LIMIT + TICK, 1);
        assert!(admitted(&gate, 40) <= 10);
    }

    #[test]
    fn a_worker_without_a_call_is_not_protected_from_the_first() {
        let gate = Gate::new(100);
        late(&gate, start(), 2 * TARGET, 10);
        for _ in 0..10 {
            drop(gate.enter().unwrap());
        }
    }
}
