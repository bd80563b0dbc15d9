//! Reading what an upstream says of its balance and of failures.

use crate::resource::raw::Value;
use crate::resource::raw::field::listed;
use crate::resource::raw::field::{Field, Fields};
use crate::resource::raw::problem::Problems;
use crate::resource::upstream::{
    Balance, Breaker, Ejection, HashSource, HealthCheck, HealthProbe, Protocol, Retries,
    RetryBudget, RetryOn, StatusRange,
};
use std::num::NonZeroU32;
use std::time::Duration;

/// More attempts than this are a flood, not a help.
const ATTEMPTS_MAX: u64 = 10;
/// Bodies are kept in memory, one for each call under way.
const REPLAY_MAX: u64 = 16 << 20;
/// Counts in a row or within a window.
const COUNT_MAX: u64 = 1_000_000;
/// The longest back-off.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// The shortest time between two questions: more often is a load of its own.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

pub(super) fn balance(field: Field<'_>, problems: &mut Problems) -> Option<Balance> {
    if !matches!(field.node().value, Value::Map(_)) {
        return field
            .one_of(
                &[
                    ("round_robin", 0),
                    ("least_requests", 1),
                    ("latency", 2),
                    ("consistent_hash", 3),
                ],
                problems,
            )
            .and_then(|choice| match choice {
                0 => Some(Balance::RoundRobin),
                1 => Some(Balance::LeastRequests),
                2 => Some(Balance::Latency),
                _hash => {
                    field.refuse(
                        "does not say of what: write `balance: { consistent_hash: { header: x-tenant } }`, or `cookie: NAME`, or `consistent_hash: address` or `subject`",
                        problems,
                    );
                    None
                }
            });
    }
    let fields = field.fields(&["consistent_hash"], problems)?;
    let hash = fields.required(
        "consistent_hash",
        "without it, `balance` is a word: round_robin, least_requests or latency",
        problems,
    )?;
    hash_source(hash, problems).map(Balance::ConsistentHash)
}

fn hash_source(field: Field<'_>, problems: &mut Problems) -> Option<HashSource> {
    if !matches!(field.node().value, Value::Map(_)) {
        let address = field.one_of(&[("address", true), ("subject", false)], problems)?;
        return Some(if address {
            HashSource::Address
        } else {
            HashSource::Subject
        });
    }
    let fields = field.fields(&["header", "cookie"], problems)?;
    match (fields.optional("header"), fields.optional("cookie")) {
        (Some(header), None) => header_name(header, problems).map(HashSource::Header),
        (None, Some(cookie)) => Some(HashSource::Cookie(cookie.parsed(
            token,
            "is no cookie: write its name alone",
            problems,
        )?)),
        (Some(_), Some(_)) | (None, None) => {
            problems.error(
                fields.place(),
                "bad_value",
                "`consistent_hash` has `header: NAME` or `cookie: NAME`, one of them",
            );
            None
        }
    }
}

/// A header's name, in lower case.
pub(in crate::resource::raw) fn header_name(
    field: Field<'_>,
    problems: &mut Problems,
) -> Option<Box<str>> {
    let name: Box<str> = field.parsed(
        token,
        "is no header: write its name alone, such as x-tenant",
        problems,
    )?;
    Some(name.to_ascii_lowercase().into())
}

/// A token of RFC 9110, section 5.6.2.
fn token(text: &str) -> Option<Box<str>> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (text.len() <= 128 && text.bytes().all(good)).then(|| text.into())
}

pub(super) fn retries(field: Field<'_>, problems: &mut Problems) -> Option<Retries> {
    if field.as_text() == Some("none") {
        return Some(Retries::none());
    }
    let fields = field.fields(
        &["attempts", "on", "replay_bytes", "budget", "backoff"],
        problems,
    )?;
    let default = Retries::default();
    let attempts = match fields.optional("attempts") {
        Some(field) => count(field, 2..=ATTEMPTS_MAX, problems),
        None => Some(default.attempts),
    };
    let on = match fields.optional("on") {
        Some(field) => retry_on(field, problems),
        None => Some(default.on),
    };
    let replay_bytes = match fields.optional("replay_bytes") {
        Some(field) => {
            let bytes = field.byte_size(problems)?;
            if bytes > REPLAY_MAX {
                field.refuse("is too large: 16MiB at most are kept", problems);
                return None;
            }
            usize::try_from(bytes).ok()
        }
        None => Some(64 << 10),
    };
    let budget = match fields.optional("budget") {
        Some(field) => budget(field, problems),
        None => Some(default.budget),
    };
    let backoff = match fields.optional("backoff") {
        Some(field) => {
            let backoff = field.duration(problems)?;
            if backoff > BACKOFF_MAX {
                field.refuse("is too long: 10s at most", problems);
                return None;
            }
            Some(backoff)
        }
        None => Some(default.backoff),
    };
    Some(Retries {
        attempts: attempts?,
        on: on?,
        replay_bytes: replay_bytes?,
        budget: budget?,
        backoff: backoff?,
        same_target: true,
    })
}

fn retry_on(field: Field<'_>, problems: &mut Problems) -> Option<RetryOn> {
    let mut on = RetryOn {
        connect: false,
        reset: false,
        timeout: false,
        statuses: Vec::new(),
    };
    for member in field.filled_list(problems)? {
        match member.as_text() {
            Some("connect") => on.connect = true,
            Some("reset") => on.reset = true,
            Some("timeout") => on.timeout = true,
            Some(_) => {
                let words = listed(&["connect", "reset", "timeout"]);
                member.refuse(
                    &format!("is no failure: write {words}, or a status of 500 or more"),
                    problems,
                );
                return None;
            }
            None => on.statuses.push(status(member, problems)?),
        }
    }
    Some(on)
}

/// A status that says that something failed behind us.
fn status(field: Field<'_>, problems: &mut Problems) -> Option<u16> {
    let status = field.whole(400..=599, problems)?;
    let status = u16::try_from(status).ok()?;
    if status < 500 && !matches!(status, 408 | 425 | 429) {
        field.refuse(
            "says that the request was wrong: it would be wrong a second time",
            problems,
        );
        return None;
    }
    Some(status)
}

fn budget(field: Field<'_>, problems: &mut Problems) -> Option<RetryBudget> {
    let fields = field.fields(&["percent", "floor", "window"], problems)?;
    let default = RetryBudget::default();
    let floor = match fields.optional("floor") {
        Some(field) => field
            .whole(0..=COUNT_MAX, problems)
            .and_then(|floor| u32::try_from(floor).ok()),
        None => Some(default.floor),
    };
    Some(RetryBudget {
        percent: percent(&fields, "percent", default.percent, problems)?,
        floor: floor?,
        window: time(&fields, "window", default.window, problems)?,
    })
}

pub(super) fn ejection(field: Field<'_>, problems: &mut Problems) -> Option<Option<Ejection>> {
    if field.as_text() == Some("none") {
        return Some(None);
    }
    let fields = field.fields(
        &["failures", "time", "max_time", "max_percent", "statuses"],
        problems,
    )?;
    let default = Ejection::default();
    let failures = counted(&fields, "failures", default.failures, problems);
    let first = time(&fields, "time", default.time, problems)?;
    let max_time = time(&fields, "max_time", default.max_time.max(first), problems)?;
    if max_time < first
        && let Some(field) = fields.optional("max_time")
    {
        field.refuse("is shorter than `time`", problems);
        return None;
    }
    let statuses = match fields.optional("statuses") {
        Some(field) => field
            .list(problems)?
            .into_iter()
            .map(|member| status(member, problems))
            .collect::<Option<Vec<_>>>(),
        None => Some(default.statuses),
    };
    Some(Some(Ejection {
        failures: failures?,
        time: first,
        max_time,
        max_percent: percent(&fields, "max_percent", default.max_percent, problems)?,
        statuses: statuses?,
    }))
}

pub(super) fn breaker(field: Field<'_>, problems: &mut Problems) -> Option<Breaker> {
    let fields = field.fields(&["percent", "calls", "window", "open"], problems)?;
    let default = Breaker::default();
    let share = percent(&fields, "percent", default.percent, problems)?;
    if share == 0
        && let Some(field) = fields.optional("percent")
    {
        field.refuse("would be open from the first call on", problems);
        return None;
    }
    Some(Breaker {
        percent: share,
        calls: counted(&fields, "calls", default.calls, problems)?,
        window: time(&fields, "window", default.window, problems)?,
        open: time(&fields, "open", default.open, problems)?,
    })
}

pub(super) fn health_check(
    field: Field<'_>,
    protocol: Option<Protocol>,
    problems: &mut Problems,
) -> Option<HealthCheck> {
    let fields = field.fields(
        &[
            "http",
            "tcp",
            "grpc",
            "interval",
            "timeout",
            "healthy",
            "unhealthy",
        ],
        problems,
    )?;
    let asked = (
        fields.optional("http"),
        fields.optional("tcp"),
        fields.optional("grpc"),
    );
    let probe = match asked {
        (Some(field), None, None) => http_probe(field, problems)?,
        (None, None, Some(field)) => {
            if protocol == Some(Protocol::Http1) {
                field.refuse(
                    "is asked over HTTP/2: write `protocol: http2` or `auto` too",
                    problems,
                );
            }
            grpc_probe(field, problems)?
        }
        (None, Some(field), None) => {
            if !field.boolean(problems)? {
                field.refuse(
                    "says that nothing is asked: leave `health_check` out",
                    problems,
                );
                return None;
            }
            HealthProbe::Tcp
        }
        (Some(_), Some(_), _)
        | (Some(_), _, Some(_))
        | (_, Some(_), Some(_))
        | (None, None, None) => {
            problems.error(
                fields.place(),
                "bad_value",
                "`health_check` has `http: { path: /healthz }`, `tcp: true` or `grpc: { service: NAME }`, one of them",
            );
            return None;
        }
    };
    let interval = time(&fields, "interval", Duration::from_secs(10), problems)?;
    if interval < INTERVAL_MIN
        && let Some(field) = fields.optional("interval")
    {
        field.refuse("is too often: 100ms at least", problems);
        return None;
    }
    let two = NonZeroU32::MIN.saturating_add(1);
    Some(HealthCheck {
        probe,
        interval,
        timeout: time(&fields, "timeout", Duration::from_secs(2), problems)?,
        healthy: counted(&fields, "healthy", two, problems)?,
        unhealthy: counted(&fields, "unhealthy", two.saturating_add(1), problems)?,
    })
}

/// `{ service: NAME }`, or `true` for the server as a whole.
fn grpc_probe(field: Field<'_>, problems: &mut Problems) -> Option<HealthProbe> {
    if !matches!(field.node().value, Value::Map(_)) {
        if field.boolean(problems)? {
            return Some(HealthProbe::Grpc { service: "".into() });
        }
        field.refuse(
            "says that nothing is asked: leave `health_check` out",
            problems,
        );
        return None;
    }
    let fields = field.fields(&["service"], problems)?;
    let service = fields.required(
        "service",
        "say which service is asked for, or write `grpc: true` for the server as a whole",
        problems,
    )?;
    let service = service.parsed(
        |text| {
            let clean = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
            (clean && text.len() <= 256).then(|| text.into())
        },
        "is no service: write its full name, such as orders.v1.Orders",
        problems,
    )?;
    Some(HealthProbe::Grpc { service })
}

fn http_probe(field: Field<'_>, problems: &mut Problems) -> Option<HealthProbe> {
    let fields = field.fields(&["path", "host", "statuses"], problems)?;
    let path = fields
        .required(
            "path",
            "say what is asked, such as `path: /healthz`",
            problems,
        )?
        .parsed(
            |text| {
                let clean = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
                (clean && text.starts_with('/') && text.len() <= 1024).then(|| text.into())
            },
            "is no path: it begins with `/`, and what is not plain is percent-encoded",
            problems,
        )?;
    let host = match fields.optional("host") {
        Some(field) => Some(field.parsed(
            |text| {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
                (text.len() <= 255 && text.bytes().all(plain)).then(|| text.into())
            },
            "is no host: write a name, with a port if need be",
            problems,
        )?),
        None => None,
    };
    let statuses = match fields.optional("statuses") {
        Some(field) => field
            .filled_list(problems)?
            .into_iter()
            .map(|member| status_range(member, problems))
            .collect::<Option<Vec<_>>>()?,
        None => vec![StatusRange {
            first: 200,
            last: 299,
        }],
    };
    Some(HealthProbe::Http {
        path,
        host,
        statuses,
    })
}

fn status_range(field: Field<'_>, problems: &mut Problems) -> Option<StatusRange> {
    const STATUSES: std::ops::RangeInclusive<u64> = 100..=599;
    if field.as_text().is_none() {
        let status = u16::try_from(field.whole(STATUSES, problems)?).ok()?;
        return Some(StatusRange {
            first: status,
            last: status,
        });
    }
    field.parsed(
        |text| {
            let (first, last) = text.split_once('-')?;
            let number = |text: &str| {
                let number = text.trim().parse::<u16>().ok()?;
                STATUSES.contains(&u64::from(number)).then_some(number)
            };
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(StatusRange { first, last })
        },
        "is neither a status such as 200 nor a range such as \"200-299\"",
        problems,
    )
}

fn count(
    field: Field<'_>,
    range: std::ops::RangeInclusive<u64>,
    problems: &mut Problems,
) -> Option<NonZeroU32> {
    let count = field.whole(range, problems)?;
    u32::try_from(count).ok().and_then(NonZeroU32::new)
}

fn counted(
    fields: &Fields<'_>,
    key: &str,
    default: NonZeroU32,
    problems: &mut Problems,
) -> Option<NonZeroU32> {
    match fields.optional(key) {
        Some(field) => count(field, 1..=COUNT_MAX, problems),
        None => Some(default),
    }
}

fn percent(fields: &Fields<'_>, key: &str, default: u8, problems: &mut Problems) -> Option<u8> {
    match fields.optional(key) {
        Some(field) => u8::try_from(field.whole(0..=100, problems)?).ok(),
        None => Some(default),
    }
}

fn time(
    fields: &Fields<'_>,
    key: &str,
    default: Duration,
    problems: &mut Problems,
) -> Option<Duration> {
    match fields.optional(key) {
        Some(field) => field.positive_duration(problems),
        None => Some(default),
    }
}
