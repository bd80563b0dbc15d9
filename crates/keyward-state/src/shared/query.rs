//! One call's question to the script, and the answer.

use crate::limit::{Gcra, QuotaWindow, Used};
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script, ScriptInvocation};
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));

/// What is asked of one limit.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// So many calls of a rate, of which the subject is known to be so far ahead.
    Rate {
        gcra: Gcra,
        want: u64,
        ahead: Duration,
    },
    /// A request of a quota.
    Quota {
        quota: QuotaWindow,
        /// What passed here unheard of.
        owed: Used,
        /// How many have passed at least, these among them.
        known: Used,
    },
    /// A slot.
    Calls {
        calls: NonZeroU32,
        kept_for: Duration,
        slot: Box<str>,
    },
}

/// What one limit answers that lets the call pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Granted {
    /// How many calls.
    pub(super) calls: u64,
    pub(super) remaining: u32,
    pub(super) reset: Duration,
    /// Of a quota, the window.
    pub(super) window: u32,
}

/// What the limits of a call answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Each lets it pass, in order.
    Granted(Vec<Granted>),
    /// The one at this place refuses, and nothing was counted.
    Refused {
        index: usize,
        retry_after: Duration,
        reset: Duration,
        /// Of a quota, how many have passed, and in which window.
        used: Used,
    },
}

/// A question, with the names of the limits.
pub(super) struct Query {
    invocation: ScriptInvocation<'static>,
}

impl Query {
    /// `now_us` is the time to decide by, in microseconds since 1970; `None` in service, for the server's.
    pub(super) fn new<'a>(
        now_us: Option<i64>,
        asks: impl Iterator<Item = (&'a str, &'a Ask)>,
    ) -> Self {
        let mut invocation = TAKE.prepare_invoke();
        match now_us {
            Some(now) => invocation.arg(now),
            None => invocation.arg(""),
        };
        for (name, ask) in asks {
            invocation.key(name);
            match ask {
                Ask::Rate { gcra, want, ahead } => invocation
                    .arg("rate")
                    .arg(micros(gcra.interval()))
                    .arg(micros(gcra.burst_time()))
                    .arg(*want)
                    .arg(micros(*ahead))
                    .arg("")
                    .arg(""),
                Ask::Quota { quota, owed, known } => invocation
                    .arg("quota")
                    .arg(quota.requests().get())
                    .arg(quota.period().as_str())
                    .arg(owed.requests)
                    .arg(owed.window)
                    .arg(known.requests)
                    .arg(known.window),
                Ask::Calls {
                    calls,
                    kept_for,
                    slot,
                } => invocation
                    .arg("calls")
                    .arg(calls.get())
                    .arg(u64::try_from(kept_for.as_micros()).unwrap_or(u64::MAX))
                    .arg(&**slot)
                    .arg("")
                    .arg("")
                    .arg(""),
            };
        }
        Self { invocation }
    }

    pub(super) async fn ask(&self, connection: &mut MultiplexedConnection) -> RedisResult<Answer> {
        let told: Vec<i64> = self.invocation.invoke_async(connection).await?;
        Ok(Answer::of(&told))
    }
}

/// Microseconds with their fraction: an interval of a fast limit is no whole number of them.
fn micros(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    format!("{}.{:03}", nanos / 1_000, nanos % 1_000)
}

impl Answer {
    fn of(told: &[i64]) -> Self {
        let time = |value: &i64| Duration::from_micros(u64::try_from(*value).unwrap_or_default());
        let short = |value: &i64| u32::try_from(*value).unwrap_or_default();
        match told.split_first() {
            Some((0, limits)) => {
                let limits = limits.chunks_exact(4).map(|limit| match limit {
                    [calls, remaining, reset, window] => Granted {
                        calls: u64::try_from(*calls).unwrap_or_default(),
                        remaining: short(remaining),
                        reset: time(reset),
                        window: short(window),
                    },
                    _ => Granted {
                        calls: 0,
                        remaining: 0,
                        reset: Duration::ZERO,
                        window: 0,
                    },
                });
                Self::Granted(limits.collect())
            }
            Some((refusing, [retry_after, reset, used, window, ..])) => Self::Refused {
                index: usize::try_from(*refusing - 1).unwrap_or_default(),
                retry_after: time(retry_after),
                reset: time(reset),
                used: Used {
                    window: short(window),
                    requests: short(used),
                },
            },
            // The script answers in no other way.
            Some(_) | None => Self::Granted(Vec::new()),
        }
    }
}
