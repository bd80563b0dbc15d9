//! Test equipment: clocks that stand still, servers that behave as told, and ways to break a network.
//!
//! A dev-dependency only. Everything listens on loopback, at ports that nobody else has, and ends when it
//! is dropped. Servers run on the runtime that starts them.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "this crate runs in tests alone, where a panic is how a test fails"
)]

mod chaos;
mod client;
mod clock;
mod condition;
mod frames;
mod http2;
mod http3;
mod issuer;
mod message;
mod port;
mod postgres;
mod process;
mod provider;
mod redis;
mod script;
mod task;
mod upstream;

pub use chaos::{ChaosProxy, Direction, Weather};
pub use client::{Answer, RawClient, raw_exchange};
pub use clock::{FakeClock, TokioClock};
pub use condition::{until, until_at_rest};
pub use frames::{Frame, FrameUpstream, Told};
pub use http2::{Http2Script, Http2Upstream};
pub use http3::{Http3Client, Http3Connect, Http3Reply, Http3Stream, read_http3};
pub use issuer::{Failure, IssuerServer};
pub use message::{Fields, Head};
pub use port::{free_addresses, free_ports};
pub use postgres::PostgresServer;
pub use process::KeywardProcess;
pub use redis::RedisServer;
pub use script::{Gate, Script};
pub use upstream::{Received, Upstream};

#[cfg(test)]
mod tests;
