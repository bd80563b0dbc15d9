//! What calls took of the budgets that nodes count together, until the server has heard of it.

use super::budgets::{HOLD, HOLD_LASTS, holds_of, micros, scaled, unscaled};
use super::slots::is_wrong_type;
use crate::limit::{Claimed, Hold, Now, Over, Spending};
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;
use std::time::Duration;

/// How long it is remembered that a call was settled: longer than a node goes on telling it without an answer.
const SETTLED_REMEMBERED: Duration = Duration::from_secs(600);

/// How many are settled or renewed by one script: a millisecond's work for the server.
const AT_ONCE: usize = 200;

/// The most settlements that wait during an outage. Beyond them the oldest are given up, which the log says: their holds lapse.
const WAITING_MAX: usize = 1 << 16;

static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("settle_budget.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew_budget.lua")));

/// What one call took of one budget, until the server has heard of it.
#[derive(Clone)]
pub(super) struct Settlement {
    pub(super) claim: Claimed,
    pub(super) hold: Hold,
    pub(super) took: u64,
    pub(super) id: Box<str>,
    /// How long what is settled is kept.
    pub(super) life: Duration,
}

impl Settlement {
    /// What is spent in its window now, says the server.
    fn learn(&self, spent: i64) {
        let rule = &self.claim.rule;
        if matches!(rule.over, Over::Window(_)) && spent >= 0 {
            let spent = unscaled(rule.unit, spent);
            self.claim.account.learn(self.hold.window, spent);
        }
    }
}

/// What a call holds at the server.
#[derive(Clone)]
pub(super) struct Standing {
    /// What the budget is called.
    pub(super) name: Box<str>,
    /// What stands among its holds.
    pub(super) member: String,
}

/// What a worker has told, and has to tell.
#[derive(Default)]
pub(super) struct SharedBudgets {
    /// What calls hold that are under way: where, and what stands there.
    pub(super) held: RefCell<BTreeMap<Box<str>, Vec<Standing>>>,
    waiting: RefCell<VecDeque<(u64, Settlement)>>,
    next: std::cell::Cell<u64>,
}

/// Makes the server know the scripts, so that none of them has to be sent in the middle of others.
pub(super) async fn load(to: &mut MultiplexedConnection) -> RedisResult<()> {
    for script in [&HOLD, &SETTLE, &RENEW] {
        script.load_async(to).await?;
    }
    Ok(())
}

impl SharedBudgets {
    pub(super) fn wait(&self, settlement: Settlement) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= WAITING_MAX {
            waiting.pop_front();
            tracing::error!(
                "more calls have ended than can wait for the shared state: what one took is not counted"
            );
        }
        let number = self.next.get();
        self.next.set(number + 1);
        waiting.push_back((number, settlement));
    }

    /// All that waits, once more: as after an answer that was lost.
    #[cfg(test)]
    pub(super) fn waiting_now(&self) -> Vec<Settlement> {
        let waiting = self.waiting.borrow();
        waiting.iter().map(|(_, one)| one.clone()).collect()
    }

    #[cfg(test)]
    pub(super) fn wait_again(&self, settlements: Vec<Settlement>) {
        for settlement in settlements {
            self.wait(settlement);
        }
    }

    /// Whether something waits to be told.
    pub(super) fn any(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// How much waits to be told.
    pub(super) fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Tells what waits. What was not answered for is told again the next time.
    pub(super) async fn tell(&self, to: &mut MultiplexedConnection) -> RedisResult<()> {
        let mut after = None;
        loop {
            let some: Vec<(u64, Settlement)> = {
                let waiting = self.waiting.borrow();
                let left = waiting
                    .iter()
                    .filter(|(number, _)| after.is_none_or(|after| *number > after));
                left.take(AT_ONCE).cloned().collect()
            };
            let Some((last, _)) = some.last() else {
                return Ok(());
            };
            after = Some(*last);
            let answer: RedisResult<Vec<i64>> = settlement(&some).invoke_async(to).await;
            match answer {
                Ok(spent) => {
                    let named = some.iter().map(|(_, one)| one);
                    let named = named.filter(|one| one.claim.account.shared.is_some());
                    for (one, spent) in named.zip(spent) {
                        one.learn(spent);
                    }
                }
                Err(error) if is_wrong_type(&error) => {
                    tracing::error!(
                        "the shared state has something else under a budget's name: what calls took is not counted there: {error}"
                    );
                }
                Err(error) => return Err(error),
            }
            let told = some.iter().map(|(number, _)| *number);
            let told: BTreeSet<u64> = told.collect();
            let mut waiting = self.waiting.borrow_mut();
            waiting.retain(|(number, _)| !told.contains(number));
        }
    }

    /// Renews what calls hold.
    pub(super) async fn renew(&self, to: &mut MultiplexedConnection) -> RedisResult<()> {
        let held: Vec<Standing> = {
            let held = self.held.borrow();
            held.values().flatten().cloned().collect()
        };
        for some in held.chunks(AT_ONCE) {
            let mut invocation = RENEW.prepare_invoke();
            invocation.arg(micros(HOLD_LASTS));
            for Standing { name, member } in some {
                invocation.key(&**name).key(holds_of(name)).arg(member);
            }
            invocation.invoke_async::<()>(to).await?;
        }
        Ok(())
    }
}

/// One script for what several calls took.
fn settlement(some: &[(u64, Settlement)]) -> redis::ScriptInvocation<'static> {
    let mut invocation = SETTLE.prepare_invoke();
    invocation.arg("").arg(micros(SETTLED_REMEMBERED));
    for (_, settlement) in some {
        let Settlement {
            claim,
            hold,
            took,
            id,
            life,
        } = settlement;
        let Some(name) = &claim.account.shared else {
            continue;
        };
        let rule = &claim.rule;
        invocation.key(&**name).key(holds_of(name));
        let (kind, per, amount) = match rule.over {
            Over::Window(_) => ("window", 1, 1),
            Over::Rate { per, .. } => ("rate", per / 1_000, scaled(rule.unit, rule.amount)),
        };
        let life = life.as_millis();
        invocation
            .arg(kind)
            .arg(per.max(1))
            .arg(amount.max(1))
            .arg(&**id)
            .arg(scaled(rule.unit, hold.amount))
            .arg(hold.window)
            .arg(scaled(rule.unit, *took))
            .arg(u64::try_from(life).unwrap_or(u64::MAX));
    }
    invocation
}

/// Until its window is over, and as long as it might be told again.
pub(super) fn life_of(rule: &Spending, hold: Hold, now: Now) -> Duration {
    let ends = match rule.over {
        Over::Rate { .. } => Duration::ZERO,
        Over::Window(period) => period.ends(hold.window).since(now.civil),
    };
    ends + SETTLED_REMEMBERED
}
