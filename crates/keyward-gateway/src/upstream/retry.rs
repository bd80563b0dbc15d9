//! Whether a failed attempt is made again.

use super::plan::UpstreamPlan;
use keyward_model::Moment;
use std::time::Duration;

/// Back-off doubles no more often than this.
const DOUBLINGS_MAX: u32 = 8;
/// The longest a call waits before another attempt.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// What went wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryCause {
    /// No connection could be made.
    Connect,
    /// The connection broke before an answer's head, or what came was no answer.
    Reset,
    /// No answer came in time.
    Timeout,
    /// The answer has this status.
    Status(u16),
}

/// What of the request has left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Whether any byte of it may have reached the target.
    pub(crate) any: bool,
    /// Whether the method promises to change nothing.
    pub(crate) safe: bool,
    /// Whether the body can be sent from its first byte again.
    pub(crate) replayable: bool,
}

impl UpstreamPlan {
    /// Counts a call, for the budget.
    pub(crate) fn count_call(&self, now: Moment) {
        if self.budgeted {
            self.counts
                .calls
                .add(now, self.declared.retries.budget.window);
        }
    }

    /// Whether another attempt may follow the `attempts` that were made, the budget apart.
    pub(crate) fn may_retry(&self, cause: RetryCause, sent: Sent, attempts: u32) -> bool {
        let retries = &self.declared.retries;
        let wanted = match cause {
            RetryCause::Connect => retries.on.connect,
            RetryCause::Reset => retries.on.reset,
            RetryCause::Timeout => retries.on.timeout,
            RetryCause::Status(status) => retries.on.statuses.contains(&status),
        };
        let harmless = sent.replayable && (sent.safe || !sent.any);
        wanted && harmless && attempts < retries.attempts.get()
    }

    /// Takes one attempt from the budget of those that follow calls which were sent.
    pub(crate) fn take_retry(&self, cause: RetryCause, now: Moment) -> bool {
        if cause != RetryCause::Connect {
            let budget = &self.declared.retries.budget;
            let calls = self.counts.calls.read(now, budget.window);
            let allowed = calls * u64::from(budget.percent) / 100 + u64::from(budget.floor);
            if self.counts.repeated.read(now, budget.window) >= allowed {
                return false;
            }
            self.counts.repeated.add(now, budget.window);
        }
        self.counts.retried();
        true
    }

    /// How long to wait before the attempt after the first `attempts`. `chance` is any number.
    pub(crate) fn backoff(&self, attempts: u32, chance: u64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(DOUBLINGS_MAX);
        let longest = self.declared.retries.backoff.saturating_mul(1 << doublings);
        let part = u32::try_from(chance & 0xffff).unwrap_or(0);
        longest.min(BACKOFF_MAX) * part / 0x1_0000
    }
}
