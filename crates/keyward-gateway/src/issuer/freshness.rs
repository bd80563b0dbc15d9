//! How long fetched keys are fresh, and how long to wait after a failure. Sums alone: no clock, no socket.

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES};
use keyward_model::Timestamp;
use std::time::{Duration, SystemTime};

/// Fetched no more often than this, whatever the headers say: issuers that send `no-cache` or
/// `max-age=0` don't mean each of their clients once a second.
pub(super) const FRESH_MIN: Duration = Duration::from_secs(60);
/// Fetched at least this often: a withdrawn key must not live on here for the year that some content
/// network writes into the header.
pub(super) const FRESH_MAX: Duration = Duration::from_secs(24 * 3600);
/// Where the issuer says nothing: few enough requests for it, soon enough for a withdrawn key.
const FRESH_UNSAID: Duration = Duration::from_secs(600);

/// The first wait after a failure: it may be a restart.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
/// The longest wait: what an issuer that came back waits for us.
const BACK_OFF_MAX: Duration = Duration::from_secs(300);

/// How long an answer with these headers is fresh (RFC 9111, section 4.2), between the bounds. `now` is
/// used where the answer has no `Date`.
pub(super) fn fresh_for(headers: &HeaderMap, now: Timestamp) -> Duration {
    let said = match cache_control(headers) {
        Some(lifetime) => Some(lifetime.saturating_sub(age(headers))),
        None => expires(headers, now),
    };
    said.unwrap_or(FRESH_UNSAID).clamp(FRESH_MIN, FRESH_MAX)
}

/// `max-age`, or zero for what must not be kept; `None` where neither is said. Of several, the shortest.
fn cache_control(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers
        .get_all(CACHE_CONTROL)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    directives
        .filter_map(|directive| {
            let (name, value) = match directive.split_once('=') {
                Some((name, value)) => (name.trim(), value.trim().trim_matches('"')),
                None => (directive.trim(), ""),
            };
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return Some(Duration::ZERO);
            }
            // What can't be read counts as stale (RFC 9111, section 4.2.1).
            name.eq_ignore_ascii_case("max-age")
                .then(|| Duration::from_secs(value.parse().unwrap_or(0)))
        })
        .min()
}

fn age(headers: &HeaderMap) -> Duration {
    let seconds = text(headers, &AGE).and_then(|value| value.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

fn expires(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let expires = text(headers, &EXPIRES)?;
    // `Expires: 0` and the like mean "already expired" (RFC 9111, section 5.3).
    let Ok(expires) = httpdate::parse_http_date(expires) else {
        return Some(Duration::ZERO);
    };
    let from = text(headers, &DATE)
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or_else(|| system_time(now));
    Some(expires.duration_since(from).unwrap_or(Duration::ZERO))
}

fn text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn system_time(now: Timestamp) -> SystemTime {
    let micros = u64::try_from(now.as_micros()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

/// When to fetch again what is fresh for `fresh`: somewhat before, and not all nodes at the same moment.
/// `random` is any number.
pub(super) fn refresh_after(fresh: Duration, random: u32) -> Duration {
    fresh - spread(fresh / 10, random)
}

/// How long to wait after so many failures in a row, the first of which is 1: twice as long each time, less
/// up to half of it at random.
pub(crate) fn back_off(failures: u32, random: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let whole = BACK_OFF_FIRST
        .saturating_mul(1 << doublings)
        .min(BACK_OFF_MAX);
    whole - spread(whole / 2, random)
}

/// Some part of `width`.
fn spread(width: Duration, random: u32) -> Duration {
    width.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(headers: &[(&'static str, &'static str)], seconds: u64) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        // 1994-11-06T08:49:37Z, the date of RFC 9110's examples.
        let now = Timestamp::from_seconds(784_111_777);
        assert_eq!(
            fresh_for(&map, now),
            Duration::from_secs(seconds),
            "{headers:?}"
        );
    }

    #[test]
    fn freshness_follows_the_headers_between_bounds() {
        check(&[], 600);
        check(&[("cache-control", "public, max-age=3600")], 3600);
        check(&[("cache-control", "MAX-AGE=\"3600\"")], 3600);
        check(&[("cache-control", "max-age=3600"), ("age", "600")], 3000);
        check(&[("cache-control", "max-age=3600"), ("age", "4000")], 60);
        check(&[("cache-control", "max-age=3600, max-age=120")], 120);
        check(&[("cache-control", "max-age=1")], 60);
        check(&[("cache-control", "max-age=31536000")], 86_400);
        check(&[("cache-control", "max-age=99999999999999999999")], 60);
        check(&[("cache-control", "max-age=soon")], 60);
        check(
            &[
                ("cache-control", "no-store"),
                ("cache-control", "max-age=3600"),
            ],
            60,
        );
        check(&[("cache-control", "no-cache")], 60);
        check(&[("cache-control", "public")], 600);
        check(&[("cache-control", "s-maxage=3600")], 600);
        check(&[("expires", "Sun, 06 Nov 1994 09:49:37 GMT")], 3600);
        check(
            &[
                ("expires", "Sun, 06 Nov 1994 09:49:37 GMT"),
                ("date", "Sun, 06 Nov 1994 09:39:37 GMT"),
            ],
            600,
        );
        check(&[("expires", "0")], 60);
        check(&[("expires", "Sun, 06 Nov 1994 07:49:37 GMT")], 60);
        check(
            &[
                ("expires", "Sun, 06 Nov 1994 09:49:37 GMT"),
                ("cache-control", "max-age=120"),
            ],
            120,
        );
    }

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        for (failures, random, seconds) in [
            (1, 0, 1.0),
            (1, u32::MAX, 0.5),
            (2, 0, 2.0),
            (5, 0, 16.0),
            (9, 0, 256.0),
            (10, 0, 300.0),
            (u32::MAX, 0, 300.0),
            (u32::MAX, u32::MAX, 150.0),
        ] {
            assert_eq!(
                back_off(failures, random).as_secs_f64(),
                seconds,
                "{failures}"
            );
        }
        let fresh = Duration::from_secs(600);
        assert_eq!(refresh_after(fresh, 0), fresh);
        assert_eq!(refresh_after(fresh, u32::MAX), Duration::from_secs(540));
    }
}
