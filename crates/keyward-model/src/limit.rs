//! Limits, as declared.

mod budget;
mod period;

pub use budget::{Budget, Span, Unit, Unpriced};
pub use period::{Period, Window};

use crate::name::Name;
use std::num::NonZeroU32;
use std::time::Duration;

/// What a limit counts separately.
///
/// A caller that lacks what is counted (a token without the claim) is counted by itself, as
/// [`Subject`](Self::Subject) says; a call without the header by its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitSubject {
    /// Each client address; of IPv6, each /64 network.
    Address,
    /// Each caller, by issuer and subject; without a subject by its key, and without one by address.
    Subject,
    /// Each OAuth client.
    Client,
    /// The team that vouches for the caller.
    Team,
    /// Each issuer of tokens.
    Issuer,
    /// Each key that was given out here.
    Key,
    /// Each value of a claim.
    Claim(Box<str>),
    /// Each value of a request's header, by its name in lower case. Who calls writes it.
    Header(Box<str>),
    /// Each model that callers ask for.
    Model,
    /// Each route.
    Route,
    /// The API version as a whole.
    Api,
}

impl LimitSubject {
    /// What a limit is called that has no name of its own.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Team => "team",
            Self::Issuer => "issuer",
            Self::Key => "key",
            Self::Claim(_) => "claim",
            Self::Header(_) => "header",
            Self::Model => "model",
            Self::Route => "route",
            Self::Api => "api",
        }
    }

    /// Whether it speaks of the caller: of what stays the same as long as a credential does.
    #[must_use]
    pub const fn is_of_caller(&self) -> bool {
        match self {
            Self::Subject
            | Self::Client
            | Self::Team
            | Self::Issuer
            | Self::Key
            | Self::Claim(_) => true,
            Self::Address | Self::Header(_) | Self::Model | Self::Route | Self::Api => false,
        }
    }

    /// Whether it speaks of the API alone, whoever calls.
    #[must_use]
    pub const fn is_of_api(&self) -> bool {
        matches!(self, Self::Route | Self::Api)
    }
}

/// So many requests in a time, spread evenly by the generic cell rate algorithm, with `burst` of them
/// allowed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    /// How many requests.
    pub requests: NonZeroU32,
    /// In which time.
    pub per: Duration,
    /// How many at once; `requests` when not said.
    pub burst: NonZeroU32,
}

/// So many requests in each window of the calendar, however they are spread over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// How many requests.
    pub requests: NonZeroU32,
    /// In which windows, in UTC.
    pub per: Period,
}

/// What a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Allowance {
    /// Requests in a time, evenly.
    Rate(RateLimit),
    /// Requests in a window of the calendar.
    Quota(Quota),
    /// Calls that are under way at one time, until the last byte of their answers.
    Concurrency(NonZeroU32),
}

/// What a limit that is shared by several nodes does while what they share can't be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnOutage {
    /// Each node counts by itself, from what was last known.
    #[default]
    AllowLocally,
    /// Nothing passes.
    Refuse,
}

impl OnOutage {
    /// As configured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowLocally => "allow_locally",
            Self::Refuse => "refuse",
        }
    }
}

/// A limit with the name that the answer's `RateLimit` headers give it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitRule {
    /// Unique within the API, or within the route; made from its place when not said.
    pub name: Name,
    /// What is counted separately: each combination of these.
    pub by: Box<[LimitSubject]>,
    /// What it allows.
    pub allows: Allowance,
    /// What it does when it can't be asked.
    pub on_outage: OnOutage,
}
