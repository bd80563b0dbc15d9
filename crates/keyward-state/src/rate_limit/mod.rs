//! Rate limits by the generic cell rate algorithm, exact over all workers of a node.
//!
//! A [`Cell`] counts one limit for one subject in one atomic number: the *theoretical arrival time*, at
//! which the subject will have its whole burst again. Workers look a cell up once in [`RateLimits`],
//! keep its `Arc` beside what they cached of the caller, and from then on take from it with one
//! compare-and-swap and no lock.
//!
//! ```
//! use keyward_model::limit::{LimitSubject, RateLimit};
//! use keyward_model::{Moment, id::TeamId};
//! use keyward_state::rate_limit::{Counted, Decision, Gcra, LimitKey, RateLimits};
//! use std::{num::NonZeroU32, time::Duration};
//!
//! let two_a_minute = Gcra::new(&RateLimit {
//!     by: LimitSubject::Address,
//!     requests: NonZeroU32::new(2).unwrap(),
//!     per: Duration::from_secs(60),
//!     burst: NonZeroU32::new(2).unwrap(),
//! });
//! let limits = RateLimits::default();
//! let key = LimitKey {
//!     team: TeamId::DEFAULT,
//!     limit: "echo/v1/0",
//!     rate: two_a_minute,
//!     counted: Counted::address("192.0.2.7".parse().unwrap()),
//! };
//! let now = Moment::default();
//! let cell = limits.cell(&key, now).unwrap();
//! assert!(cell.take(&two_a_minute, now).unwrap().is_allowed());
//! assert!(cell.take(&two_a_minute, now).unwrap().is_allowed());
//! assert_eq!(
//!     cell.take(&two_a_minute, now).unwrap(),
//!     Decision::Refused { retry_after: Duration::from_secs(30), reset: Duration::from_secs(60) }
//! );
//! ```

mod cell;
mod index;
#[cfg(test)]
mod tests;

pub use cell::{Admission, Cell, Decision, Evicted, Gcra, Taken, take_all};
pub use index::{CELLS_MAX_DEFAULT, Counted, LimitKey, RateLimits};
