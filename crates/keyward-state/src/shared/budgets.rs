//! Budgets where nodes count together: held by one script and one round trip, settled when a call has ended.
//!
//! What a call took is told with the worker's next question or a moment later, again and again until it is answered, and
//! counted once: the server remembers for a while what was settled. A hold that its node does not renew, since it was
//! killed, lapses.

use super::counts::add;
use super::settlements::{Settlement, Standing, life_of};
use super::worker::{Outage, SharedWorker};
use crate::limit::{Claimed, Evicted, Hold, Now, Over, Spending, Spent, Verdict};
use keyward_model::limit::{OnOutage, Unit};
use redis::Script;
use smallvec::SmallVec;
use std::fmt;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

/// How long a hold stands that nobody renews: what a killed node's calls held is there again after this time.
pub const HOLD_LASTS: Duration = Duration::from_secs(60);

/// Money is counted in units of 10⁻⁹ dollars there, rounded up: a script's numbers are exact up to 2⁵³, nine million dollars.
const PICO: u64 = 1_000;

pub(super) static HOLD: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("hold_budget.lua")));

/// Few calls have more budgets.
const FEW: usize = 4;

/// What a call wants of one budget.
#[derive(Clone, Debug)]
pub struct SharedClaim {
    /// The budget, and how much.
    pub claim: Claimed,
    /// What it does when it can't be asked.
    pub on_outage: OnOutage,
}

/// What several budgets say together. `index` counts in the order in which they were given.
#[derive(Debug)]
pub enum SharedHolding {
    /// Each has room.
    Held {
        /// What the call holds.
        holds: SharedHolds,
        /// What is left of each, and when all of it is there again.
        left: SmallVec<[(u64, Duration); FEW]>,
    },
    /// One has none, and nothing is held.
    Refused {
        /// Which one.
        index: usize,
        /// What is left of it.
        spent: Spent,
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

/// What a call holds. Dropped before it is settled, it counts as taken whole.
#[must_use]
pub struct SharedHolds {
    worker: Rc<SharedWorker>,
    id: Box<str>,
    held: Vec<(Claimed, Hold)>,
    now: Now,
}

impl fmt::Debug for SharedHolds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedHolds({}, {} budgets)", self.id, self.held.len())
    }
}

impl SharedHolds {
    /// The call has ended: `took` says how much it took of each, in order.
    pub fn settle(mut self, now: Now, took: impl Fn(&Spending, u64) -> u64) {
        self.end(now, took);
    }

    fn end(&mut self, now: Now, took: impl Fn(&Spending, u64) -> u64) {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return;
        }
        let budgets = &self.worker.budgets;
        budgets.held.borrow_mut().remove(&self.id);
        for (claim, hold) in held {
            let took = took(&claim.rule, hold.amount);
            claim.account.settle(&claim.rule, hold, took, now);
            budgets.wait(Settlement {
                life: life_of(&claim.rule, hold, now),
                claim,
                hold,
                took,
                id: self.id.clone(),
            });
        }
        self.worker.attend();
    }
}

impl Drop for SharedHolds {
    fn drop(&mut self) {
        let now = self.now;
        self.end(now, |_, held| held);
    }
}

pub(super) fn holds_of(name: &str) -> String {
    format!("{name}:holds")
}

/// An amount in the server's units, rounded up.
pub(super) const fn scaled(unit: Unit, amount: u64) -> u64 {
    match unit {
        Unit::Requests | Unit::Tokens => amount,
        Unit::Cost => amount.div_ceil(PICO),
    }
}

/// And back.
pub(super) fn unscaled(unit: Unit, amount: i64) -> u64 {
    let amount = u64::try_from(amount).unwrap_or_default();
    match unit {
        Unit::Requests | Unit::Tokens => amount,
        Unit::Cost => amount.saturating_mul(PICO),
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn time(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// A question whose answer may not come, or not be waited for: what it may have held is given back then.
struct Asked<'a> {
    worker: &'a Rc<SharedWorker>,
    id: Box<str>,
    claims: &'a [SharedClaim],
    window: Vec<u32>,
    now: Now,
    armed: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        for (shared, window) in self.claims.iter().zip(&self.window) {
            let hold = Hold {
                amount: shared.claim.amount,
                window: *window,
            };
            self.worker.budgets.wait(Settlement {
                life: life_of(&shared.claim.rule, hold, self.now),
                claim: shared.claim.clone(),
                hold,
                took: 0,
                id: self.id.clone(),
            });
        }
        self.worker.attend();
    }
}

impl SharedWorker {
    /// Holds what a call may take of each budget, all or none.
    pub async fn hold_all(self: &Rc<Self>, claims: Vec<SharedClaim>, now: Now) -> SharedHolding {
        let (_, id) = self.new_slot();
        let mut invocation = HOLD.prepare_invoke();
        invocation.arg("").arg(&*id).arg(micros(HOLD_LASTS));
        for SharedClaim { claim, .. } in &claims {
            let name = claim.account.shared.as_deref().unwrap_or_default();
            invocation.key(name).key(holds_of(name));
            let rule = &claim.rule;
            let want = scaled(rule.unit, claim.amount);
            match rule.over {
                Over::Window(period) => {
                    let (window, spent) = claim.account.heard();
                    invocation
                        .arg("window")
                        .arg(rule.amount / unit_of(rule.unit))
                        .arg(period.as_str())
                        .arg("")
                        .arg(want)
                        .arg(spent / unit_of(rule.unit))
                        .arg(window);
                }
                Over::Rate { per, burst } => {
                    invocation
                        .arg("rate")
                        .arg(burst / unit_of(rule.unit))
                        .arg((per / 1_000).max(1))
                        .arg(scaled(rule.unit, rule.amount))
                        .arg(want)
                        .arg(0)
                        .arg(0);
                }
            }
        }
        let mut asked = Asked {
            worker: self,
            id: id.clone(),
            window: claims
                .iter()
                .map(|one| window_of(&one.claim, now))
                .collect(),
            claims: &claims,
            now,
            armed: true,
        };
        let answer = self
            .ask_with(async |mut to| {
                if !self.budgets.any() {
                    return invocation.invoke_async::<Vec<i64>>(&mut to).await;
                }
                let mut before = to.clone();
                let telling = self.budgets.tell(&mut before);
                // What fails here is told again by the task that keeps the connection.
                let (_told, answer) =
                    tokio::join!(biased; telling, invocation.invoke_async::<Vec<i64>>(&mut to));
                answer
            })
            .await;
        match answer.as_deref() {
            Ok([0, told @ ..]) if told.len() == 4 * claims.len() => {
                asked.armed = false;
                drop(asked);
                self.held_together(id, claims, told, now)
            }
            Ok([index, left, retry_after, reset, window, spent]) => {
                asked.armed = false;
                let index = usize::try_from(*index - 1).unwrap_or_default();
                let Some(SharedClaim { claim, .. }) = claims.get(index) else {
                    return SharedHolding::Unavailable { index: 0 };
                };
                let unit = claim.rule.unit;
                if matches!(claim.rule.over, Over::Window(_)) {
                    let window = u32::try_from(*window).unwrap_or_default();
                    claim.account.learn(window, unscaled(unit, *spent));
                }
                SharedHolding::Refused {
                    index,
                    spent: Spent {
                        left: unscaled(unit, *left),
                        retry_after: time(*retry_after),
                        reset: time(*reset),
                    },
                }
            }
            // No script of ours answers otherwise.
            Ok(_) | Err(Outage::Unknown) => {
                let holding = self.hold_locally(&id, &claims, now);
                // Where it is held here, its end is told under the same name, whether the server holds it or not.
                asked.armed = !matches!(holding, SharedHolding::Held { .. });
                holding
            }
            Err(Outage::NotSent) => {
                asked.armed = false;
                self.hold_locally(&id, &claims, now)
            }
        }
    }

    /// The server holds it: so it is known here, should the server be lost.
    fn held_together(
        self: &Rc<Self>,
        id: Box<str>,
        claims: Vec<SharedClaim>,
        told: &[i64],
        now: Now,
    ) -> SharedHolding {
        let mut holds = SharedHolds {
            worker: Rc::clone(self),
            id,
            held: Vec::with_capacity(claims.len()),
            now,
        };
        let mut left = SmallVec::new();
        let mut places = Vec::new();
        let mut evicted = None;
        for (index, (SharedClaim { claim, .. }, told)) in
            claims.into_iter().zip(told.chunks_exact(4)).enumerate()
        {
            let [room, reset, window, spent] = told else {
                continue;
            };
            let unit = claim.rule.unit;
            let hold = Hold {
                amount: claim.amount,
                window: u32::try_from(*window).unwrap_or_default(),
            };
            let known = claim
                .account
                .hold_told(&claim.rule, hold, unscaled(unit, *spent), now);
            if let Err(Evicted) = known {
                evicted.get_or_insert(index);
            }
            if let Some(name) = &claim.account.shared {
                let (amount, window) = (scaled(unit, hold.amount), hold.window);
                places.push(Standing {
                    name: name.as_ref().into(),
                    member: format!("{}|{amount}|{window}", holds.id),
                });
            }
            left.push((unscaled(unit, *room), time(*reset)));
            holds.held.push((claim, hold));
        }
        if let Some(index) = evicted {
            holds.end(now, |_, _| 0);
            return SharedHolding::Evicted { index };
        }
        let held = &self.budgets.held;
        held.borrow_mut().insert(holds.id.clone(), places);
        SharedHolding::Held { holds, left }
    }

    /// Nobody can be asked: each budget does what it says for that.
    fn hold_locally(self: &Rc<Self>, id: &str, claims: &[SharedClaim], now: Now) -> SharedHolding {
        let counters = &self.state.counters;
        let refuses = |one: &SharedClaim| one.on_outage == OnOutage::Refuse;
        if let Some(index) = claims.iter().position(refuses) {
            self.unavailable();
            return SharedHolding::Unavailable { index };
        }
        let mut held: Vec<(Claimed, Hold)> = Vec::with_capacity(claims.len());
        let mut left = SmallVec::new();
        let mut stopped = None;
        for (index, SharedClaim { claim, .. }) in claims.iter().enumerate() {
            match claim.account.hold(&claim.rule, claim.amount, now) {
                Ok(Verdict::Held {
                    hold,
                    left: room,
                    reset,
                }) => {
                    left.push((room, reset));
                    held.push((claim.clone(), hold));
                }
                Ok(Verdict::Refused(spent)) => {
                    add(&counters.refused_locally);
                    stopped = Some(SharedHolding::Refused { index, spent });
                    break;
                }
                Err(Evicted) => {
                    stopped = Some(SharedHolding::Evicted { index });
                    break;
                }
            }
        }
        if let Some(stopped) = stopped {
            for (claim, hold) in held {
                claim.account.settle(&claim.rule, hold, 0, now);
            }
            return stopped;
        }
        self.allowed_locally();
        SharedHolding::Held {
            holds: SharedHolds {
                worker: Rc::clone(self),
                id: id.into(),
                held,
                now,
            },
            left,
        }
    }
}

/// How many of ours one of the server's units is.
const fn unit_of(unit: Unit) -> u64 {
    match unit {
        Unit::Requests | Unit::Tokens => 1,
        Unit::Cost => PICO,
    }
}

/// The window that a hold would be of, by this node's clock.
fn window_of(claim: &Claimed, now: Now) -> u32 {
    match claim.rule.over {
        Over::Rate { .. } => 0,
        Over::Window(period) => period.window(now.civil).number,
    }
}
