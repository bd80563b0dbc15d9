//! Limits, as declared.

use std::num::NonZeroU32;
use std::time::Duration;

/// What a limit counts separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitSubject {
    /// Each caller, by issuer and subject; callers without a subject by address.
    Subject,
    /// Each client address.
    Address,
    /// The route as a whole.
    Route,
}

impl LimitSubject {
    /// As configured and as told in `RateLimit-Policy`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Address => "address",
            Self::Route => "route",
        }
    }
}

/// So many requests in a time, spread evenly by the generic cell rate algorithm, with `burst` of them
/// allowed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    /// What is counted separately.
    pub by: LimitSubject,
    /// How many requests.
    pub requests: NonZeroU32,
    /// In which time.
    pub per: Duration,
    /// How many at once; `requests` when not said.
    pub burst: NonZeroU32,
}
