//! Traces: which trace a call belongs to, whether it is recorded, and what is handed on of it.
//!
//! A call is one span of a trace, and each attempt at an upstream is one below it (W3C Trace Context,
//! <https://www.w3.org/TR/trace-context-2/>). Whether a call is recorded is decided when it begins; one that
//! is not still passes its ids on, so that others' logs can be joined. Without [`Tracing`] in the settings
//! nothing here runs, and the two headers pass as any others do.

mod call;
mod context;
mod ids;

pub use call::{AttemptFailure, TracedAttempt, TracedCall};

pub(crate) use call::CallTrace;
pub(crate) use ids::Ids;

use context::{TraceParent, trace_state};

use crate::message::{Fields, Header};
use crate::queue::{Queue, QueueEnd};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Where recorded calls go: no call waits for a collector.
pub type SpanQueue = Queue<TracedCall>;
/// Where they come out.
pub type SpanReceiver = QueueEnd<TracedCall>;

/// How calls are traced.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// Which calls are recorded.
    pub rules: TraceRules,
    /// Where calls that are recorded go.
    pub queue: SpanQueue,
}

/// Which calls are recorded, and whose trace is continued. Clones share it: what is set holds for calls that begin
/// from then on.
#[derive(Clone, Debug)]
pub struct TraceRules(Arc<ArcSwap<(TraceSample, Believed)>>);

impl TraceRules {
    /// `sample` is the share of the calls that is recorded where nobody else has decided; `believed` says whose trace
    /// is continued.
    #[must_use]
    pub fn new(sample: TraceSample, believed: Believed) -> Self {
        Self(Arc::new(ArcSwap::from_pointee((sample, believed))))
    }

    /// Others hold from now on.
    pub fn set(&self, sample: TraceSample, believed: Believed) {
        self.0.store(Arc::new((sample, believed)));
    }
}

/// Whose `traceparent` is continued; others' is replaced by one of a new trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Believed {
    /// Nobody's.
    Nobody,
    /// That of trusted proxies, who also say whether a call is recorded.
    #[default]
    TrustedProxies,
    /// Everyone's. Whether a call is recorded is still for trusted proxies to say alone: else whoever calls
    /// could fill the collector.
    Everyone,
}

/// A share of all calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSample(u32);

impl TraceSample {
    const WHOLE: u32 = 1_000_000;

    /// A share in millionths; what is more than a million is all.
    #[must_use]
    pub fn of_millionths(millionths: u32) -> Self {
        Self(millionths.min(Self::WHOLE))
    }

    /// Whether a number that is evenly spread over all of its values falls into the share.
    fn takes(self, spread: u64) -> bool {
        let place = (u128::from(spread) * u128::from(Self::WHOLE)) >> 64;
        place < u128::from(self.0)
    }
}

/// What a call has to do with traces, decided when it begins.
#[derive(Debug)]
struct Decision {
    parent: Option<TraceParent>,
    /// The states of other systems, as they came.
    state: Option<Box<[u8]>>,
    sampled: bool,
}

impl Tracing {
    /// `chance` is a number that nobody who calls can foresee.
    fn decide(&self, fields: &Fields, trusted: bool, chance: u64) -> Decision {
        let rules = self.rules.0.load();
        let (sample, believed) = **rules;
        let believed = match believed {
            Believed::Nobody => false,
            Believed::TrustedProxies => trusted,
            Believed::Everyone => true,
        };
        let parent = if believed { parent(fields) } else { None };
        Decision {
            sampled: match &parent {
                Some(parent) if trusted => parent.sampled,
                Some(_) | None => sample.takes(chance),
            },
            // It speaks of the parent, and without one of nothing.
            state: parent.as_ref().and_then(|_| trace_state(fields)),
            parent,
        }
    }
}

/// The one `traceparent`; two are none.
fn parent(fields: &Fields) -> Option<TraceParent> {
    let mut given = fields.all(Header::Traceparent);
    let (only, None) = (given.next()?, given.next()) else {
        return None;
    };
    TraceParent::parse(only)
}

#[cfg(test)]
mod tests;
