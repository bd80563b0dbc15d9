//! Test equipment: clocks that stand still, servers that behave as told, and ways to break a network.
//!
//! A dev-dependency only. Everything listens on loopback, at ports that the system picks, and ends when
//! it is dropped.
#![expect(
    clippy::expect_used,
    reason = "this crate runs in tests alone, where a panic is how a test fails"
)]

mod clock;
mod issuer;
mod task;

pub use clock::{FakeClock, TokioClock};
pub use issuer::{Failure, IssuerServer};
