//! Whether an answer may be kept (RFC 9111, section 3), and for how long it is fresh (section 4.2).

use super::directives::{ResponseDirectives, SECONDS_MAX, seconds};
use crate::message::{Fields, Header};
use http::StatusCode;
use keyward_model::Timestamp;
use keyward_model::resource::content::{Cache, SetCookie};
use std::time::{Duration, SystemTime};

/// Headers that are others with every call, so that an answer which differs by them is found for none.
const OF_EACH_CALL: &[&[u8]] = &[
    b"forwarded",
    b"request-id",
    b"traceparent",
    b"tracestate",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-real-ip",
];

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotKept {
    /// The client said so.
    ClientNoStore,
    /// 206, 304, or a status whose meaning has to be known and is not.
    Status,
    NoStore,
    Private,
    /// The caller proved who it is, and the answer does not say that it is for everyone.
    Credentials,
    SetCookie,
    Vary,
    /// Nothing says how long it is fresh, or that it is not at all, and there is nothing to ask again with.
    NoFreshness,
    TooLarge,
}

impl NotKept {
    /// As `Cache-Status` has it in `detail`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ClientNoStore => "request-no-store",
            Self::Status => "status",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Credentials => "not-public",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::NoFreshness => "no-freshness",
            Self::TooLarge => "too-large",
        }
    }
}

/// How long an answer may be used, from the moment when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freshness {
    pub(super) lifetime: Duration,
    /// How old it was when it came (RFC 9111, section 4.2.3).
    pub(super) initial_age: Duration,
    pub(super) stale_while_revalidate: Duration,
    pub(super) stale_if_error: Duration,
    /// Whether it may never be used stale, whatever a client takes.
    pub(super) must_revalidate: bool,
    /// Whether it is to be asked about before each use.
    pub(super) no_cache: bool,
    /// Whether it is for callers of every kind.
    pub(super) public: bool,
}

/// What is known of the exchange besides the answer's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// When the answer's head came.
    pub(super) now: Timestamp,
    /// How long it took to come.
    pub(super) delay: Duration,
    /// Whether the call carries a credential of any kind.
    pub(super) credentials: bool,
    pub(super) client_no_store: bool,
}

impl Freshness {
    /// How long the answer may be used, or why it may not be kept.
    pub(super) fn of(
        cache: &Cache,
        status: StatusCode,
        fields: &Fields,
        exchange: Exchange,
    ) -> Result<Self, NotKept> {
        let said = ResponseDirectives::of(fields);
        if exchange.client_no_store {
            return Err(NotKept::ClientNoStore);
        }
        if status.is_informational()
            || matches!(
                status,
                StatusCode::PARTIAL_CONTENT
                    | StatusCode::NOT_MODIFIED
                    | StatusCode::RANGE_NOT_SATISFIABLE
            )
            || fields.has(Header::ContentRange)
            || (said.must_understand && !is_understood(status))
        {
            return Err(NotKept::Status);
        }
        // RFC 9111, section 5.2.2.3: who understands the status is told by the rest.
        if said.no_store && !said.must_understand {
            return Err(NotKept::NoStore);
        }
        if said.private {
            return Err(NotKept::Private);
        }
        // Stricter than section 3.5, where `s-maxage` and `must-revalidate` would do: an upstream that says how
        // long an answer lives has not said that it is for others too.
        if exchange.credentials && !said.public && !cache.per_caller {
            return Err(NotKept::Credentials);
        }
        if fields.has(Header::SetCookie) && cache.set_cookie == SetCookie::Refuse {
            return Err(NotKept::SetCookie);
        }
        if varies_by_everything(fields) {
            return Err(NotKept::Vary);
        }
        let declared = lifetime(&said, fields, exchange.now);
        let kept = said.public || is_heuristically_kept(status);
        let (lifetime, silent) = match (declared, cache.default_ttl) {
            (Some(lifetime), _) => (lifetime, false),
            (None, Some(usual)) if kept => (usual, false),
            // It may be kept to be asked about, and for nothing else.
            (None, None) if kept => (Duration::ZERO, true),
            (None, Some(_) | None) => return Err(NotKept::NoFreshness),
        };
        let lifetime = cache.max_ttl.map_or(lifetime, |most| lifetime.min(most));
        let window = |said: Option<u64>, usual| {
            let usual = if silent { Duration::ZERO } else { usual };
            said.map_or(usual, Duration::from_secs)
        };
        // RFC 9111, section 5.2.2.10, lets `s-maxage` mean `proxy-revalidate`. Who writes beside it for how long a
        // stale answer will do has said otherwise, and is taken at its word.
        let graced = said.stale_while_revalidate.is_some() || said.stale_if_error.is_some();
        let must_revalidate = said.must_revalidate || (said.s_maxage.is_some() && !graced);
        let freshness = Self {
            lifetime,
            initial_age: initial_age(fields, exchange),
            stale_while_revalidate: window(
                said.stale_while_revalidate,
                cache.stale_while_revalidate,
            ),
            stale_if_error: window(said.stale_if_error, cache.stale_if_error),
            must_revalidate,
            no_cache: said.no_cache,
            public: said.public,
        };
        let of_use = !freshness.no_cache && freshness.initial_age < lifetime
            || freshness.grace() > Duration::ZERO
            || fields.has(Header::Etag)
            || fields.get_named(b"last-modified").is_some();
        if of_use {
            Ok(freshness)
        } else {
            Err(NotKept::NoFreshness)
        }
    }

    /// How long it may be of use once it is stale.
    pub(super) fn grace(&self) -> Duration {
        if self.must_revalidate || self.no_cache {
            Duration::ZERO
        } else {
            self.stale_while_revalidate.max(self.stale_if_error)
        }
    }
}

/// What the answer says of how long it is fresh (RFC 9111, section 4.2.1).
fn lifetime(said: &ResponseDirectives, fields: &Fields, now: Timestamp) -> Option<Duration> {
    if let Some(seconds) = said.s_maxage.or(said.max_age) {
        return Some(Duration::from_secs(seconds));
    }
    let mut expires = fields.all_named("expires");
    let first = expires.next()?;
    // One that can't be read, and several that differ, are over already.
    let at = date(first).filter(|_| expires.all(|other| other == first));
    let date = fields.get(Header::Date).and_then(date);
    let since = date.unwrap_or_else(|| now.as_seconds());
    let seconds = at.map_or(0, |at| at.saturating_sub(since));
    let seconds = u64::try_from(seconds).unwrap_or_default();
    Some(Duration::from_secs(seconds.min(SECONDS_MAX)))
}

/// RFC 9111, section 4.2.3.
fn initial_age(fields: &Fields, exchange: Exchange) -> Duration {
    let date = fields.get(Header::Date).and_then(date);
    let apparent = date.map_or(0, |date| exchange.now.as_seconds().saturating_sub(date));
    let apparent = Duration::from_secs(u64::try_from(apparent).unwrap_or_default());
    // Of several, the first counts; what can't be read is as if it weren't there (section 5.1).
    let said = fields
        .get_named(b"age")
        .and_then(|value| seconds(value.split(|byte| *byte == b',').next()?.trim_ascii()));
    let corrected = Duration::from_secs(said.unwrap_or_default()) + exchange.delay;
    apparent.max(corrected)
}

/// A date of HTTP in any of its three forms, in seconds since 1970.
pub(super) fn date(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// The names of `Vary`, in lower case. Content in a coding is told apart by what its caller takes, even where
/// the upstream has forgotten to say so: nobody is given what it can't read.
pub(super) fn varying(fields: &Fields) -> Vec<Box<[u8]>> {
    let mut names: Vec<Box<[u8]>> = fields
        .all(Header::Vary)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
        .map(|name| name.to_ascii_lowercase().into())
        .collect();
    if fields.has(Header::ContentEncoding) {
        names.push((*b"accept-encoding").into());
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn varies_by_everything(fields: &Fields) -> bool {
    varying(fields)
        .iter()
        .any(|name| **name == *b"*" || OF_EACH_CALL.contains(&&**name))
}

/// The statuses whose demands on a cache are known here (RFC 9110, section 15).
fn is_understood(status: StatusCode) -> bool {
    is_heuristically_kept(status) || matches!(status.as_u16(), 302 | 303 | 307)
}

/// RFC 9110, section 15.1, without 206.
fn is_heuristically_kept(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}
