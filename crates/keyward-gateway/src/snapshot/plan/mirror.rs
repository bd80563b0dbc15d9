//! Which calls are copied, and how many copies may be under way.

use super::header_edits::HeaderEditsPlan;
use super::split::spread;
use crate::request::headers::is_safe;
use http::Method;
use keyward_model::resource::route::{HeaderEdits, Mirror};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What marks a copy. No client can send a header of this prefix.
const MARK: (&str, &str) = ("x-keyward-mirrored", "true");

/// What carries credentials, the caller's or those that the route sets for its own upstream.
const CREDENTIALS: &[&str] = &["authorization", "proxy-authorization", "cookie"];

/// A mirror's part of the calls.
#[derive(Debug)]
pub(crate) struct MirrorPlan {
    percent: u32,
    unsafe_methods: bool,
    pub(crate) max_body_bytes: usize,
    pub(crate) timeout: Duration,
    max_in_flight: u32,
    in_flight: AtomicU32,
}

impl MirrorPlan {
    pub(crate) fn new(mirror: &Mirror) -> Self {
        Self {
            percent: u32::from(mirror.percent),
            unsafe_methods: mirror.unsafe_methods,
            max_body_bytes: mirror.max_body_bytes,
            timeout: mirror.timeout,
            max_in_flight: mirror.max_in_flight.get(),
            in_flight: AtomicU32::new(0),
        }
    }

    /// Whether the call with this turn is copied.
    pub(crate) fn takes(&self, method: &Method, turn: u32) -> bool {
        (self.unsafe_methods || is_safe(method)) && spread(turn, 100) < self.percent
    }

    /// Counts a copy as under way, if there may be another one. Say [`leave`](Self::leave) at its end.
    pub(crate) fn enter(&self) -> bool {
        let enter = |count: u32| (count < self.max_in_flight).then_some(count + 1);
        let counted = self
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter);
        counted.is_ok()
    }

    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a copy differs from what the route's own upstream gets: first what is left out, then what the mirror
/// says, then the mark.
pub(super) fn edits_of_copy(mirror: &Mirror) -> Result<Box<[HeaderEditsPlan]>, String> {
    let mut left_out = HeaderEdits::default();
    if !mirror.forward_credentials {
        let names = CREDENTIALS.iter().map(|name| (*name).into());
        left_out.remove.extend(names);
    }
    let (name, value) = MARK;
    let mark = HeaderEdits {
        set: vec![(
            name.into(),
            keyward_model::resource::route::EditedValue::new(value),
        )],
        ..HeaderEdits::default()
    };
    [&left_out, &mirror.request_headers, &mark]
        .map(HeaderEditsPlan::new)
        .into_iter()
        .collect()
}
