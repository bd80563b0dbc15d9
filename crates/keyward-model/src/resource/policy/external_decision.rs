//! Another service decides whether a call may pass.

use crate::name::Name;
use std::num::NonZeroU32;
use std::time::Duration;

/// A question to an upstream about each call, and what becomes of its answer. A status of 2xx lets the call pass,
/// 3xx and 4xx are given to the caller, and anything else is a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalDecision {
    /// Who is asked.
    pub upstream: Name,
    /// The path that is asked for, with a query if there is one.
    pub path: Box<str>,
    /// The call's headers that go along, in lower case.
    pub request_headers: Vec<Box<str>>,
    /// Headers of an answer that lets a call pass, which the API's upstream gets, in lower case. A client's own of
    /// these names never go on.
    pub set_headers: Vec<Box<str>>,
    /// Headers of an answer that refuses a call, which the caller gets, in lower case.
    pub answer_headers: Vec<Box<str>>,
    /// How long the answer may take.
    pub timeout: Duration,
    /// How answers that let a call pass are remembered; `None`: each call is asked about.
    pub cache: Option<DecisionCache>,
    /// Whether a call passes, without any header, when there is no answer.
    pub allow_on_failure: bool,
}

/// How decisions are remembered. One counts for the same caller at the same address, with the same values of the
/// headers `by`, and, unless `any_path`, the same method, host, path and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionCache {
    /// In lower case.
    pub by: Vec<Box<str>>,
    /// How long.
    pub ttl: Duration,
    /// How many.
    pub entries: NonZeroU32,
    /// Whether a decision counts for all calls of the caller to the route.
    pub any_path: bool,
}
