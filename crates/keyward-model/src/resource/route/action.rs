//! What happens to a call that a route takes.

use super::super::ai::AiEndpoint;
use super::edits::{EditedValue, HeaderEdits};
use super::matching::Conditions;
use super::path::PathTemplate;
use crate::name::Name;
use std::num::NonZeroU32;
use std::time::Duration;

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on to an upstream.
    Forward(Forward),
    /// The caller is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Respond(FixedResponse),
    /// An AI model answers.
    Infer(AiEndpoint),
}

/// Going on to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The path that the upstream gets; `None`: as sent, without the API's base path unless that is kept.
    pub rewrite: Option<Rewrite>,
    /// Which upstream: at least one, and one of them with a weight.
    pub shares: Vec<Share>,
    /// Who gets a copy.
    pub mirror: Option<Mirror>,
}

/// A path in place of the one that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// In place of all of it.
    Path(PathTemplate),
    /// In place of what the route matched, the base path included; what follows that stays.
    Prefix(PathTemplate),
}

/// An upstream's share of a route's calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its name, of the same team.
    pub upstream: Name,
    /// Its part of the calls that no `when` sends somewhere; 0 for none.
    pub weight: u32,
    /// All calls that meet these go here, whatever the weights. In order, the first that holds counts.
    pub when: Option<Conditions>,
}

/// A copy of some calls for an upstream whose answers nobody reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its name, of the same team.
    pub upstream: Name,
    /// How many of a hundred calls are copied, 1 to 100.
    pub percent: u8,
    /// Whether calls are copied whose method promises nothing (RFC 9110, section 9.2.1). Default: only `GET`,
    /// `HEAD` and `OPTIONS` are, since whatever the copy does is done twice.
    pub unsafe_methods: bool,
    /// Whether `Authorization`, `Proxy-Authorization` and `Cookie` go with the copy. Default: they don't.
    pub forward_credentials: bool,
    /// Changes to the copy's headers, after those of the route.
    pub request_headers: HeaderEdits,
    /// Calls with a larger body are not copied. In bytes.
    pub max_body_bytes: usize,
    /// Copies that are under way at once on this node; no more are begun.
    pub max_in_flight: NonZeroU32,
    /// How long a copy may take in all.
    pub timeout: Duration,
}

/// Sending the caller elsewhere (RFC 9110, section 15.4). What is not said stays as it was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// To this scheme.
    pub scheme: Option<Scheme>,
    /// To this host, `name` or `name:port`.
    pub host: Option<Box<str>>,
    /// To this path.
    pub path: LocationPath,
}

/// A redirect's scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// As written in an address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A redirect's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocationPath {
    /// As it was called.
    Same,
    /// As a rewrite makes it.
    Rewritten(Rewrite),
}

/// An answer that is always the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedResponse {
    /// 200 to 599.
    pub status: u16,
    /// (name in lower case, value).
    pub headers: Vec<(Box<str>, EditedValue)>,
    /// The body.
    pub body: Box<str>,
}

impl Forward {
    /// All calls, as they are, to this upstream.
    #[must_use]
    pub fn to(upstream: Name) -> Self {
        Self {
            rewrite: None,
            shares: vec![Share {
                upstream,
                weight: 1,
                when: None,
            }],
            mirror: None,
        }
    }
}
