//! Taking a call from all its limits, where nodes count together.

use super::counts::add;
use super::lease::{self, Found};
use super::query::{Answer, Ask, Granted, Query};
use super::slots::{HeldSlot, SLOT_LASTS};
use super::worker::{Outage, SharedWorker};
use crate::limit::{Cell, Decision, Evicted, Gcra, Now, QuotaWindow, Rule, Taken, Used};
use keyward_model::limit::OnOutage;
use smallvec::SmallVec;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Most calls have few limits.
const FEW: usize = 4;

/// One limit of a call.
#[derive(Clone, Copy, Debug)]
pub struct SharedLimit<'l> {
    /// The subject's cell.
    pub cell: &'l Arc<Cell>,
    /// The limit.
    pub rule: &'l Rule,
    /// What it does when it can't be asked.
    pub on_outage: OnOutage,
}

/// What several limits say together. `index` counts in the order in which they were given.
#[derive(Debug)]
pub enum SharedAdmission {
    /// Each let the call pass.
    Allowed {
        /// How many are left of each, and when all are there again.
        left: SmallVec<[(u32, Duration); 2]>,
        /// Held as long as the call is under way.
        slots: Vec<HeldSlot>,
    },
    /// One refused, and the call has used up nothing.
    Refused {
        /// Which one.
        index: usize,
        /// When it could let a call pass; zero where nobody can tell.
        retry_after: Duration,
        /// When its whole allowance is there again; zero where time does not bring it.
        reset: Duration,
    },
    /// One can't be asked, and lets nothing pass then.
    Unavailable {
        /// Which one.
        index: usize,
    },
    /// One was evicted. Look it up and try again.
    Evicted {
        /// Which one.
        index: usize,
    },
}

/// What was taken from one limit.
enum Step<'l> {
    /// A call of a lease.
    Leased,
    /// It is being asked: for so many calls of a rate.
    Rate { want: u64 },
    /// It is being asked, and has heard of what passed here.
    Quota { owed: Used },
    /// A call under way, with its slot.
    Calls { slot: u64 },
    /// Counted on this node alone.
    Locally { rule: &'l Rule, taken: Taken },
}

/// A call on its way through its limits. What it has taken is given back when this is dropped before its end:
/// when a limit refuses, and when the client leaves in the middle.
struct Taking<'l> {
    worker: &'l Rc<SharedWorker>,
    limits: &'l [SharedLimit<'l>],
    steps: SmallVec<[Step<'l>; FEW]>,
    /// Whether the server may have counted what it was asked. What it was told is then not told again: better
    /// forgiven than counted twice.
    asked: bool,
}

/// Why a limit does not let a call on.
enum Stop {
    Refused(Duration, Duration),
    Evicted,
}

impl SharedWorker {
    /// Takes one call from each limit, all or none.
    pub async fn take_all(
        self: &Rc<Self>,
        limits: &[SharedLimit<'_>],
        now: Now,
    ) -> SharedAdmission {
        let mut taking = Taking {
            worker: self,
            limits,
            steps: SmallVec::new(),
            asked: false,
        };
        let connections = self.state.connections.load(Ordering::Relaxed);
        let mut asks: SmallVec<[(usize, Ask); FEW]> = SmallVec::new();
        for (index, limit) in limits.iter().enumerate() {
            match taking.prepare(limit, connections, now) {
                Ok(Some(ask)) => asks.push((index, ask)),
                Ok(None) => {}
                Err(Stop::Refused(retry_after, reset)) => {
                    add(&self.state.counters.known_refusals);
                    return SharedAdmission::Refused {
                        index,
                        retry_after,
                        reset,
                    };
                }
                Err(Stop::Evicted) => return SharedAdmission::Evicted { index },
            }
        }
        if asks.is_empty() {
            add(&self.state.counters.leased);
            return taking.allowed(&[], &asks, connections, now);
        }
        let named = asks.iter().filter_map(|(index, ask)| {
            let shared = limits.get(*index)?.cell.shared.as_ref()?;
            Some((&*shared.name, ask))
        });
        let query = Query::new(None, named);
        taking.asked = true;
        let slots = limits.iter();
        let slots = slots.filter(|limit| matches!(limit.rule, Rule::Concurrency(_)));
        match self.ask(&query, slots.count() > 0).await {
            Ok(Answer::Granted(granted)) if granted.len() == asks.len() => {
                taking.allowed(&granted, &asks, connections, now)
            }
            Ok(Answer::Refused {
                index,
                retry_after,
                reset,
                used,
            }) => {
                let index = asks.get(index).map_or(0, |(index, _)| *index);
                taking.asked = false;
                taking.learn_refusal(index, (retry_after, reset), used, connections, now);
                SharedAdmission::Refused {
                    index,
                    retry_after,
                    reset,
                }
            }
            // No script of ours answers for another number of limits.
            Ok(Answer::Granted(_)) | Err(Outage::Unknown) => taking.locally(&asks, now),
            Err(Outage::NotSent) => {
                taking.asked = false;
                taking.locally(&asks, now)
            }
        }
    }
}

impl<'l> Taking<'l> {
    /// What one limit can say by itself, or what it is to be asked.
    fn prepare(
        &mut self,
        limit: &SharedLimit<'l>,
        connections: u64,
        now: Now,
    ) -> Result<Option<Ask>, Stop> {
        let (cell, aside) = (limit.cell, aside(limit.cell));
        match limit.rule {
            Rule::Rate(gcra) => {
                let found = aside.map_or(Found::Ask(1), |aside| {
                    lease::take(aside, lease::size_max(gcra), now.moment)
                });
                match found {
                    Found::Leased => {
                        self.steps.push(Step::Leased);
                        Ok(None)
                    }
                    Found::Refused(left) => {
                        // That it need not be asked holds for a second at most; what it said, until then.
                        let ahead = Gcra::ahead(cell, now.moment);
                        let wait = (ahead + gcra.interval()).saturating_sub(gcra.burst_time());
                        Err(Stop::Refused(left.max(wait), ahead))
                    }
                    Found::Ask(want) => {
                        self.steps.push(Step::Rate { want });
                        Ok(Some(Ask::Rate {
                            gcra: *gcra,
                            want,
                            ahead: self.worker.known(Gcra::ahead(cell, now.moment)),
                        }))
                    }
                }
            }
            Rule::Quota(quota) => {
                let used = QuotaWindow::used(cell).ok_or(Stop::Evicted)?;
                let window = quota.period().window(now.civil);
                // Since a server that is new, or has lost its count, would otherwise never hear of it.
                let heard = limit.cell.shared.as_ref();
                let heard = heard.is_some_and(|it| it.heard.load(Ordering::Relaxed) >= connections);
                if heard && used.window >= window.number && used.requests >= quota.requests().get()
                {
                    let left = quota.period().ends(used.window).since(now.civil);
                    return Err(Stop::Refused(left, left));
                }
                let owed = aside.map_or(0, |aside| aside.swap(0, Ordering::Relaxed));
                let owed = Used::of_number(owed);
                self.steps.push(Step::Quota { owed });
                Ok(Some(Ask::Quota {
                    quota: *quota,
                    owed,
                    known: used,
                }))
            }
            Rule::Concurrency(calls) => match cell.take(limit.rule, now) {
                Ok(Decision::Allowed { .. }) => {
                    let (slot, name) = self.worker.new_slot();
                    self.steps.push(Step::Calls { slot });
                    Ok(Some(Ask::Calls {
                        calls: *calls,
                        kept_for: SLOT_LASTS,
                        slot: name,
                    }))
                }
                Ok(Decision::Refused { retry_after, reset }) => {
                    Err(Stop::Refused(retry_after, reset))
                }
                Err(Evicted) => Err(Stop::Evicted),
            },
        }
    }

    /// The call passes. What was granted beyond it is a lease, and what was told is known from now on.
    fn allowed(
        mut self,
        granted: &[Granted],
        asks: &[(usize, Ask)],
        connections: u64,
        now: Now,
    ) -> SharedAdmission {
        let later = self.worker.moment();
        let mut left = SmallVec::new();
        let mut slots = Vec::new();
        let mut answers = asks.iter().map(|(index, _)| *index).zip(granted).peekable();
        let steps = std::mem::take(&mut self.steps);
        for (index, (limit, step)) in self.limits.iter().zip(steps).enumerate() {
            let answer = answers.next_if(|(asked, _)| *asked == index);
            let told = match (limit.rule, step, answer) {
                (Rule::Rate(gcra), Step::Rate { want }, Some((_, granted))) => {
                    // By the time before it was asked: never later than the server meant.
                    Gcra::learn(limit.cell, now.moment, granted.reset);
                    if lease::size_max(gcra) > 1
                        && let Some(aside) = aside(limit.cell)
                    {
                        lease::put(aside, want, granted.calls.saturating_sub(1), later);
                    }
                    (granted.remaining, granted.reset)
                }
                (Rule::Quota(quota), Step::Quota { .. }, Some((_, granted))) => {
                    let used = Used {
                        window: granted.window,
                        requests: quota.requests().get().saturating_sub(granted.remaining),
                    };
                    learn(limit.cell, used, connections);
                    (granted.remaining, granted.reset)
                }
                (Rule::Concurrency(_), Step::Calls { slot }, Some((_, granted))) => {
                    slots.push(self.worker.held(slot, limit.cell));
                    (granted.remaining, granted.reset)
                }
                (Rule::Rate(gcra), _, _) => gcra.left(limit.cell, now.moment),
                (Rule::Quota(_) | Rule::Concurrency(_), _, _) => (0, Duration::ZERO),
            };
            left.push(told);
        }
        SharedAdmission::Allowed { left, slots }
    }

    /// What refused is not asked again before it can say anything else.
    fn learn_refusal(
        &mut self,
        index: usize,
        (retry_after, reset): (Duration, Duration),
        used: Used,
        connections: u64,
        now: Now,
    ) {
        let Some(limit) = self.limits.get(index) else {
            return;
        };
        match (limit.rule, self.steps.get_mut(index)) {
            (Rule::Rate(_), Some(Step::Rate { want })) => {
                Gcra::learn(limit.cell, now.moment, reset);
                if let Some(aside) = aside(limit.cell) {
                    lease::refuse(aside, *want, retry_after, now.moment);
                }
            }
            (Rule::Quota(_), Some(Step::Quota { owed })) => {
                learn(limit.cell, used, connections);
                // Where that is why it refuses, it was written down.
                *owed = Used::default();
            }
            (Rule::Rate(_) | Rule::Quota(_) | Rule::Concurrency(_), _) => {}
        }
    }

    /// Nobody can be asked: each limit does what it says for that.
    fn locally(mut self, asks: &[(usize, Ask)], now: Now) -> SharedAdmission {
        let (worker, limits) = (self.worker, self.limits);
        let counters = &worker.state.counters;
        let asked = |index: usize| asks.iter().any(|(asked, _)| *asked == index);
        for (index, limit) in limits.iter().enumerate() {
            if asked(index) && limit.on_outage == OnOutage::Refuse {
                add(&counters.unavailable);
                return SharedAdmission::Unavailable { index };
            }
        }
        let mut left = SmallVec::new();
        let mut slots = Vec::new();
        let unheard = !self.asked;
        for (index, limit) in limits.iter().enumerate() {
            if !asked(index) {
                left.push(match limit.rule {
                    Rule::Rate(gcra) => gcra.left(limit.cell, now.moment),
                    Rule::Quota(_) | Rule::Concurrency(_) => (0, Duration::ZERO),
                });
                continue;
            }
            // It was taken before it was asked.
            if matches!(limit.rule, Rule::Concurrency(_)) {
                left.push((limit.cell.left(limit.rule), Duration::ZERO));
                continue;
            }
            match limit.cell.take(limit.rule, now) {
                Ok(Decision::Allowed {
                    remaining,
                    reset,
                    taken,
                }) => {
                    if let Some(step) = self.steps.get_mut(index) {
                        match step {
                            Step::Quota { owed } if unheard => {
                                restore(limit.cell, *owed);
                                add_owed(limit.cell, taken);
                            }
                            Step::Rate { want } => give_up(limit.cell, *want),
                            Step::Quota { .. }
                            | Step::Leased
                            | Step::Calls { .. }
                            | Step::Locally { .. } => {}
                        }
                        *step = Step::Locally {
                            rule: limit.rule,
                            taken,
                        };
                    }
                    left.push((remaining, reset));
                }
                Ok(Decision::Refused { retry_after, reset }) => {
                    add(&counters.refused_locally);
                    return SharedAdmission::Refused {
                        index,
                        retry_after,
                        reset,
                    };
                }
                Err(Evicted) => return SharedAdmission::Evicted { index },
            }
        }
        add(&counters.allowed_locally);
        for (limit, step) in limits.iter().zip(std::mem::take(&mut self.steps)) {
            if let Step::Calls { slot } = step {
                // Told to the server when it is back.
                slots.push(worker.held(slot, limit.cell));
            }
        }
        SharedAdmission::Allowed { left, slots }
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        for (limit, step) in self.limits.iter().zip(std::mem::take(&mut self.steps)) {
            match step {
                Step::Leased => {
                    if let Some(aside) = aside(limit.cell) {
                        lease::give_back(aside);
                    }
                }
                Step::Rate { want } => give_up(limit.cell, want),
                Step::Quota { owed } if !self.asked => restore(limit.cell, owed),
                Step::Quota { owed: _ } => {}
                Step::Calls { slot } => {
                    limit.cell.end();
                    if self.asked {
                        self.worker.abandon(slot, limit.cell);
                    }
                }
                Step::Locally { rule, taken } => {
                    limit.cell.give_back(rule, taken);
                    if let (Rule::Quota(_), Some(aside), false) =
                        (rule, aside(limit.cell), self.asked)
                    {
                        let window = taken.used().window;
                        change_owed(aside, window, |owed| owed.saturating_sub(1));
                    }
                }
            }
        }
    }
}

/// So many have passed in all, says the server over a connection that is no older than this one.
fn learn(cell: &Cell, used: Used, connections: u64) {
    QuotaWindow::learn(cell, used);
    if let Some(shared) = &cell.shared {
        shared.heard.fetch_max(connections, Ordering::Relaxed);
    }
}

fn give_up(cell: &Cell, want: u64) {
    if want > 1
        && let Some(aside) = aside(cell)
    {
        lease::give_up(aside, want);
    }
}

fn aside(cell: &Cell) -> Option<&AtomicU64> {
    cell.shared.as_ref().map(|shared| &shared.aside)
}

/// What passed here unheard of is told the next time.
fn restore(cell: &Cell, owed: Used) {
    if let Some(aside) = aside(cell)
        && owed.requests > 0
    {
        change_owed(aside, owed.window, |now| now.saturating_add(owed.requests));
    }
}

fn add_owed(cell: &Cell, taken: Taken) {
    if let Some(aside) = aside(cell) {
        change_owed(aside, taken.used().window, |owed| owed.saturating_add(1));
    }
}

/// Of another window than the newest, nothing is owed any more.
fn change_owed(aside: &AtomicU64, window: u32, next: impl Fn(u32) -> u32) {
    let mut number = aside.load(Ordering::Relaxed);
    loop {
        let owed = Used::of_number(number);
        if owed.window > window {
            return;
        }
        let before = if owed.window == window {
            owed.requests
        } else {
            0
        };
        let changed = Used {
            window,
            requests: next(before),
        };
        match aside.compare_exchange_weak(
            number,
            changed.to_number(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(_) => return,
            Err(current) => number = current,
        }
    }
}
