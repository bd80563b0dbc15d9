//! What is used of one budget by one subject: what calls took that have ended, and what those under way may take at most.
//!
//! A call holds its upper bound before it is made, and what it took in the end takes that place. So however many calls
//! come at once, what is used and what is held never exceed the budget together.

use super::cell::Evicted;
use super::now::Now;
use super::quota::Used;
use super::spending::{Over, Spending};
use keyward_model::Moment;
use keyward_model::limit::Period;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When a call may come again that waits for what others hold: nobody knows when they end.
const HELD_BY_OTHERS: Duration = Duration::from_secs(1);

/// One budget of one subject. Its lock is held for some additions; only calls of AI models come here.
#[derive(Debug)]
pub struct Account {
    state: Mutex<State>,
    /// What it is called where several nodes count together.
    pub(crate) shared: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    evicted: bool,
    /// The window that `spent` and `held` are of.
    window: u32,
    /// What calls took that have ended in the window.
    spent: u64,
    /// What calls hold that are under way.
    held: u64,
    /// Where nodes count together, what all of them have spent in the window as far as was heard: what was told there is in it,
    /// what waits to be told is not.
    heard: u64,
    /// Of a rate, what was used and has not come back, times the nanoseconds of its time: a whole number.
    debt: u128,
    /// When that was so.
    at: Moment,
    /// Of `window`, what was kept of it the last time.
    kept: u64,
    kept_window: u32,
}

/// What a call holds of one budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Hold {
    /// How much.
    pub amount: u64,
    /// Of which window; 0 of a rate.
    pub(crate) window: u32,
}

/// What a budget says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is room for it.
    Held {
        /// What it holds.
        hold: Hold,
        /// What is left beside that.
        left: u64,
        /// When all of it is there again.
        reset: Duration,
    },
    /// There is not.
    Refused(Spent),
}

/// What is left where a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// What is left, less than the call may take.
    pub left: u64,
    /// When the call could pass, if others take no more.
    pub retry_after: Duration,
    /// When all of it is there again.
    pub reset: Duration,
}

/// What is kept of a budget's window of one subject, so that a restart does not forgive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptSpending {
    /// Which budget of whom, under the secret of [`LimitCells::with_secret`](super::LimitCells::with_secret).
    pub digest: u128,
    /// Its windows.
    pub period: Period,
    /// The number of the window.
    pub window: u32,
    /// What is to be added to what was kept of it, less than nothing where calls took less than they held; of what is
    /// restored, all of it.
    pub amount: i64,
}

impl Account {
    pub(super) fn new(shared: Option<Box<str>>) -> Self {
        Self {
            state: Mutex::default(),
            shared,
        }
    }

    pub(super) fn restored(kept: &KeptSpending) -> Self {
        let amount = u64::try_from(kept.amount).unwrap_or_default();
        let state = State {
            window: kept.window,
            spent: amount,
            kept: amount,
            kept_window: kept.window,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            shared: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds `amount`, or says when it could be had. What may take nothing is never refused.
    ///
    /// # Errors
    /// [`Evicted`]: look the account up again.
    pub fn hold(&self, rule: &Spending, amount: u64, now: Now) -> Result<Verdict, Evicted> {
        let mut state = self.state();
        if state.evicted {
            return Err(Evicted);
        }
        Ok(state.hold(rule, amount, now))
    }

    /// The same for a call that several nodes have let pass: there was room, whatever is known here.
    pub(crate) fn hold_told(
        &self,
        rule: &Spending,
        hold: Hold,
        spent: u64,
        now: Now,
    ) -> Result<(), Evicted> {
        let mut state = self.state();
        if state.evicted {
            return Err(Evicted);
        }
        match rule.over {
            Over::Rate { .. } => {
                state.leak(rule, now.moment);
                state.held = state.held.saturating_add(hold.amount);
            }
            Over::Window(_) => {
                state.learn(hold.window, spent);
                if state.window == hold.window {
                    state.held = state.held.saturating_add(hold.amount);
                }
            }
        }
        Ok(())
    }

    /// So much has been spent in that window at least, says who counts for all nodes.
    pub(crate) fn learn(&self, window: u32, spent: u64) {
        self.state().learn(window, spent);
    }

    /// What was restored, as of a quota in requests.
    pub(super) fn as_used(&self) -> Used {
        let state = self.state();
        Used {
            window: state.window,
            // What is more than a number holds is more than any quota has.
            requests: u32::try_from(state.spent).unwrap_or(u32::MAX),
        }
    }

    /// What who counts for all nodes has said: the window, and how much is spent in it.
    pub(crate) fn heard(&self) -> (u32, u64) {
        let state = self.state();
        (state.window, state.heard)
    }

    #[cfg(test)]
    pub(super) fn spent(&self) -> u64 {
        self.state().spent
    }

    /// The call has ended, and took so much. Of a window that is over, nothing is held any more.
    pub fn settle(&self, rule: &Spending, hold: Hold, took: u64, now: Now) {
        let mut state = self.state();
        match rule.over {
            Over::Rate { per, .. } => {
                state.leak(rule, now.moment);
                state.held = state.held.saturating_sub(hold.amount);
                let debt = u128::from(took).saturating_mul(u128::from(per));
                state.debt = state.debt.saturating_add(debt);
            }
            Over::Window(_) if state.window == hold.window => {
                state.held = state.held.saturating_sub(hold.amount);
                state.spent = state.spent.saturating_add(took);
            }
            Over::Window(_) => {}
        }
    }

    /// The same where all is counted by who counts for all nodes, once nothing is held here. `false`: it is not.
    pub(super) fn evict_if_told(&self) -> bool {
        let mut state = self.state();
        let told = self.shared.is_some() && state.held == 0;
        state.evicted |= told;
        told
    }

    /// Marks it as evicted where forgetting it changes nothing for anyone. `false`: it is in use.
    pub(super) fn evict_if_idle(&self, kind: AccountKind, now: Now) -> bool {
        let mut state = self.state();
        let idle = state.held == 0
            && match kind {
                AccountKind::Rate { amount } => {
                    state.debt <= returned(now.moment.since(state.at), amount)
                }
                AccountKind::Window(period) => {
                    (state.spent == 0 && state.kept == 0)
                        || state.window < period.window(now.civil).number
                }
            };
        state.evicted |= idle;
        idle
    }

    /// What is to be kept of it, which counts as kept from now on.
    pub(super) fn unkept(&self, digest: u128, period: Period) -> Option<KeptSpending> {
        let mut state = self.state();
        if state.evicted {
            return None;
        }
        if state.kept_window != state.window {
            (state.kept_window, state.kept) = (state.window, 0);
        }
        // With what is held: what calls under way take is not forgiven by a crash.
        let now = state.spent.saturating_add(state.held);
        if now == state.kept {
            return None;
        }
        let amount = difference(now, state.kept);
        state.kept = now;
        Some(KeptSpending {
            digest,
            period,
            window: state.window,
            amount,
        })
    }

    /// What keeping came to: with what other processes have kept of the same window, `total`. Of what could not be kept
    /// (`None`), it is kept the next time.
    pub(super) fn kept(&self, sent: &KeptSpending, total: Option<i64>) {
        let mut state = self.state();
        if state.kept_window != sent.window {
            return;
        }
        let Some(total) = total else {
            state.kept = moved(state.kept, sent.amount.saturating_neg());
            return;
        };
        let total = u64::try_from(total).unwrap_or_default();
        let elsewhere = difference(total, state.kept);
        state.kept = total;
        if state.window == sent.window {
            state.spent = moved(state.spent, elsewhere);
        }
    }
}

/// What says when an account is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccountKind {
    Rate { amount: u64 },
    Window(Period),
}

impl Spending {
    pub(super) const fn kind(&self) -> AccountKind {
        match self.over {
            Over::Rate { .. } => AccountKind::Rate {
                amount: self.amount,
            },
            Over::Window(period) => AccountKind::Window(period),
        }
    }
}

impl State {
    fn hold(&mut self, rule: &Spending, amount: u64, now: Now) -> Verdict {
        match rule.over {
            Over::Rate { per, burst } => {
                self.leak(rule, now.moment);
                let per = u128::from(per);
                // What is used of the burst, rounded up.
                let used = self.debt.div_ceil(per);
                let used = u64::try_from(used).unwrap_or(u64::MAX);
                let left = burst.saturating_sub(used).saturating_sub(self.held);
                let reset = self.after(rule, self.debt);
                if amount > left {
                    let missing = u128::from(amount - left).saturating_mul(per);
                    let mut retry_after = self.after(rule, missing.min(self.debt));
                    if missing > self.debt {
                        retry_after += HELD_BY_OTHERS;
                    }
                    return Verdict::Refused(Spent {
                        left,
                        retry_after,
                        reset,
                    });
                }
                self.held = self.held.saturating_add(amount);
                Verdict::Held {
                    hold: Hold { amount, window: 0 },
                    left: left - amount,
                    reset,
                }
            }
            Over::Window(period) => {
                let window = period.window(now.civil);
                self.begin(window.number);
                // A clock that was set back makes no window begin anew: the later one counts until it ends.
                let reset = period.ends(self.window).since(now.civil);
                let left = rule
                    .amount
                    .saturating_sub(self.spent)
                    .saturating_sub(self.held);
                if amount > left {
                    // Where calls under way hold what is missing, they may take less in the end.
                    let waits = amount <= rule.amount.saturating_sub(self.spent);
                    return Verdict::Refused(Spent {
                        left,
                        retry_after: if waits {
                            HELD_BY_OTHERS.min(reset)
                        } else {
                            reset
                        },
                        reset,
                    });
                }
                self.held = self.held.saturating_add(amount);
                Verdict::Held {
                    hold: Hold {
                        amount,
                        window: self.window,
                    },
                    left: left - amount,
                    reset,
                }
            }
        }
    }

    /// What has come back since.
    fn leak(&mut self, rule: &Spending, now: Moment) {
        let returned = returned(now.since(self.at), rule.amount);
        self.debt = self.debt.saturating_sub(returned);
        self.at = self.at.max(now);
    }

    /// When so much debt has come back.
    fn after(&self, rule: &Spending, debt: u128) -> Duration {
        let nanos = debt.div_ceil(u128::from(rule.amount.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn learn(&mut self, window: u32, spent: u64) {
        self.begin(window);
        if self.window == window {
            self.spent = self.spent.max(spent);
            self.heard = self.heard.max(spent);
        }
    }

    /// A later window begins with nothing.
    fn begin(&mut self, window: u32) {
        if self.window < window {
            self.window = window;
            (self.spent, self.held, self.heard) = (0, 0, 0);
        }
    }
}

/// How much debt has come back in this time.
fn returned(passed: Duration, amount: u64) -> u128 {
    passed.as_nanos().saturating_mul(u128::from(amount))
}

fn difference(one: u64, other: u64) -> i64 {
    let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
    signed(one).saturating_sub(signed(other))
}

fn moved(number: u64, by: i64) -> u64 {
    if by < 0 {
        number.saturating_sub(by.unsigned_abs())
    } else {
        number.saturating_add(by.unsigned_abs())
    }
}
