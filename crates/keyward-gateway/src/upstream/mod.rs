//! Where calls go: targets, chosen by balance and by how they are, and connections to them, pooled by each
//! worker for itself.

mod addresses;
mod breaker;
mod choice;
mod counts;
mod ejection;
mod endpoint;
mod guard;
mod hash;
mod health;
mod http1;
mod http2;
mod latency;
mod limit;
mod occupied;
mod plan;
mod pool;
mod protocols;
mod retry;
mod sliding;
mod state;
mod tls;
#[cfg(test)]
mod tls_tests;
mod watch;

pub use counts::{TargetCounts, UpstreamCounts};
pub use guard::UpstreamGuard;

pub(crate) use choice::{Circumstances, Tried, score};
pub(crate) use hash::{mix, of as hash_of};
pub(crate) use http1::Http1Connection;
pub(crate) use http2::{Http2Call, RequestParts, Terms};
pub(crate) use latency::Latency;
pub(crate) use occupied::Occupied;
pub(crate) use plan::{TargetPlan, UpstreamPlan};
pub(crate) use pool::{LeaseFailure, Pool, Pools};
pub(crate) use protocols::{AnswerFailure, UpstreamConnection};
pub(crate) use retry::{RetryCause, Sent};
pub(crate) use state::UpstreamState;
pub(crate) use tls::UpstreamTls;
pub(crate) use watch::Watch;

use keyward_model::Moment;
use std::time::Duration;

/// A number from 0 to 1 that differs from one time and one place to the next.
fn scattered(now: Moment, place: u64) -> f64 {
    let [a, b, c, d, ..] = mix(now.as_nanos() ^ place.rotate_left(32)).to_le_bytes();
    f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

/// The interval, moved by up to a tenth, so that what begins together does not stay together.
fn jittered(interval: Duration, now: Moment) -> Duration {
    interval.mul_f64(0.9 + 0.2 * scattered(now, 0))
}
