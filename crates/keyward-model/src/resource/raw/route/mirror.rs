//! Reading `mirror`: who gets copies of which calls.

use super::super::field::Field;
use super::super::problem::Problems;
use super::super::read::name;
use super::edits::{self, Direction};
use crate::resource::IdentityHeaders;
use crate::resource::route::Mirror;
use std::num::NonZeroU32;
use std::time::Duration;

/// The largest body that is copied, where nothing else is said: it is kept in memory until it has come whole.
const MAX_BODY: usize = 64 * 1024;
/// The largest that may be said: with as many copies as may be, more would fill a node's memory.
const MAX_BODY_MAX: u64 = 1024 * 1024;
/// Copies under way at once, where nothing else is said: with the largest body some 6 MB.
const MAX_IN_FLIGHT: NonZeroU32 = match NonZeroU32::new(100) {
    Some(count) => count,
    None => NonZeroU32::MIN,
};
/// The most that may be said.
const MAX_IN_FLIGHT_MAX: u64 = 10_000;
/// How long a copy may take, where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that may be said: what nobody waits for must not pile up.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

pub(super) fn read(
    field: Field<'_>,
    identity_headers: &IdentityHeaders,
    problems: &mut Problems,
) -> Option<Mirror> {
    let fields = field.fields(
        &[
            "upstream",
            "percent",
            "unsafe_methods",
            "forward_credentials",
            "request_headers",
            "max_body",
            "max_in_flight",
            "timeout",
        ],
        problems,
    )?;
    let upstream = fields
        .required(
            "upstream",
            "name the upstream that gets the copies",
            problems,
        )
        .and_then(|field| name(field, problems));
    let percent = match fields.optional("percent") {
        Some(field) => field
            .whole(1..=100, problems)
            .and_then(|percent| u8::try_from(percent).ok()),
        None => Some(100),
    };
    let mut switch = |key: &str| match fields.optional(key) {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    let unsafe_methods = switch("unsafe_methods");
    let forward_credentials = switch("forward_credentials");
    let request_headers = match fields.optional("request_headers") {
        Some(field) => edits::headers(field, Direction::Request(identity_headers), problems),
        None => Some(Default::default()),
    };
    let max_body_bytes = match fields.optional("max_body") {
        Some(field) => {
            let size = field.byte_size(problems)?;
            if size > MAX_BODY_MAX {
                field.refuse(
                    "is more than 1MiB, which is kept in memory for each copy",
                    problems,
                );
                return None;
            }
            usize::try_from(size).ok()
        }
        None => Some(MAX_BODY),
    };
    let max_in_flight = match fields.optional("max_in_flight") {
        Some(field) => field
            .whole(1..=MAX_IN_FLIGHT_MAX, problems)
            .and_then(|count| u32::try_from(count).ok())
            .and_then(NonZeroU32::new),
        None => Some(MAX_IN_FLIGHT),
    };
    let timeout = match fields.optional("timeout") {
        Some(field) => {
            let timeout = field.positive_duration(problems)?;
            if timeout > TIMEOUT_MAX {
                field.refuse("is longer than 10m", problems);
                return None;
            }
            Some(timeout)
        }
        None => Some(TIMEOUT),
    };
    Some(Mirror {
        upstream: upstream?,
        percent: percent?,
        unsafe_methods: unsafe_methods?,
        forward_credentials: forward_credentials?,
        request_headers: request_headers?,
        max_body_bytes: max_body_bytes?,
        max_in_flight: max_in_flight?,
        timeout: timeout?,
    })
}
