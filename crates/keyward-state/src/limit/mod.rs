//! Limits, exact over all workers of a node: rates by the generic cell rate algorithm, quotas by windows of
//! the calendar, calls that are under way at one time, and budgets of what calls take ([`Account`]).
//!
//! A [`Cell`] counts one limit for one subject in one atomic number. Workers look a cell up once in
//! [`LimitCells`], keep its `Arc` beside what they cached of the caller, and from then on take from it with
//! one compare-and-swap and no lock. What the number means is the [`Rule`]'s matter.
//!
//! ```
//! use keyward_model::limit::{Allowance, RateLimit};
//! use keyward_model::id::TeamId;
//! use keyward_state::limit::{Counted, Decision, LimitCells, LimitKey, Now, Rule};
//! use std::{num::NonZeroU32, time::Duration};
//!
//! let two_a_minute = Rule::new(&Allowance::Rate(RateLimit {
//!     requests: NonZeroU32::new(2).unwrap(),
//!     per: Duration::from_secs(60),
//!     burst: NonZeroU32::new(2).unwrap(),
//! }));
//! let limits = LimitCells::default();
//! let key = LimitKey {
//!     team: TeamId::DEFAULT,
//!     team_name: "default",
//!     limit: "echo/v1/0",
//!     rule: two_a_minute,
//!     counted: &[Counted::address("192.0.2.7".parse().unwrap())],
//! };
//! let now = Now::default();
//! let cell = limits.cell(&key, now).unwrap();
//! assert!(cell.take(&two_a_minute, now).unwrap().is_allowed());
//! assert!(cell.take(&two_a_minute, now).unwrap().is_allowed());
//! assert_eq!(
//!     cell.take(&two_a_minute, now).unwrap(),
//!     Decision::Refused { retry_after: Duration::from_secs(30), reset: Duration::from_secs(60) }
//! );
//! ```

mod account;
mod cell;
mod gcra;
mod hold;
mod index;
mod key;
mod now;
mod quota;
mod shard;
mod shared_part;
mod spending;
mod take;
#[cfg(test)]
mod tests;

pub use account::{Account, Hold, KeptSpending, Spent, Verdict};
pub use cell::{Cell, Decision, Evicted, Rule, Taken};
pub use gcra::Gcra;
pub use hold::{Claimed, Holding, Holds, hold_all};
pub use index::{CELLS_MAX_DEFAULT, KeptQuota, LimitCells};
pub(crate) use key::customer;
pub use key::{Counted, LimitKey, Limited};
pub use now::Now;
pub use quota::{QuotaWindow, Used};
pub(crate) use spending::Over;
pub use spending::Spending;
pub use take::{Admission, take_all};
