//! What Keyward counts or remembers for a short while: limits, failed attempts, revocations, what was used
//! once.
//!
//! Shared by all workers of one node; what several nodes share is in [`shared`]. Nothing outside of that waits
//! or opens a socket, nothing reads a clock that it was not given, and no lock is taken where a worker already
//! holds what it uses.

mod error;
pub mod failed_attempts;
pub mod limit;
pub mod replay;
pub mod revocation;
pub mod shared;

pub use error::Error;
pub use failed_attempts::FailedAttempts;
pub use limit::{Cell, Decision, LimitCells, Rule};
pub use replay::ReplayMemory;
pub use revocation::{RevocationIndex, Revocations, TokenIdentity};
