//! A call as policies see it: `context`.

use crate::call::{Call, HeaderValue};
use crate::reads::Reads;
use cedar_policy::{Context, RestrictedExpression as Expression};
use keyward_model::Timestamp;
use std::sync::LazyLock;

const SECONDS_A_DAY: i64 = 86_400;

/// What policies read of the call, and nothing else. `parameters` are those of the route's path, with the segment
/// that each is.
pub(crate) fn context(
    reads: &Reads,
    parameters: &[(Box<str>, usize)],
    call: &Call<'_>,
) -> Result<Context, String> {
    if !reads.depends_on_the_call() && !reads.needs_method() {
        return Ok(empty_records());
    }
    let text = |text: &str| Expression::new_string(text.to_owned());
    let mut pairs: Vec<(String, Expression)> = Vec::new();
    let mut put = |name: &str, value: &dyn Fn() -> Expression| {
        if reads.needs(name) {
            pairs.push((name.to_owned(), value()));
        }
    };
    put("method", &|| text(call.method));
    put("path", &|| text(call.path));
    put("host", &|| text(call.host));
    put("address", &|| {
        Expression::new_ip(call.address.to_canonical().to_string())
    });
    put("time", &|| {
        Expression::new_datetime(date_and_time(call.time))
    });
    put("hour", &|| Expression::new_long(hour(call.time)));
    put("weekday", &|| Expression::new_long(weekday(call.time)));
    let mut headers = Vec::new();
    for name in &reads.headers {
        match (call.header)(name) {
            HeaderValue::Absent => {}
            HeaderValue::Once(value) => headers.push((name.to_string(), text(&value))),
            HeaderValue::Several => {
                return Err(format!(
                    "header `{name}`, which policies read, came more than once"
                ));
            }
            HeaderValue::NotText => {
                return Err(format!("header `{name}`, which policies read, is no text"));
            }
        }
    }
    let mut found = Vec::new();
    for (name, segment) in parameters {
        if reads.parameters.contains(name)
            && let Some(value) = decoded(call.path, *segment)?
        {
            found.push((name.to_string(), text(&value)));
        }
    }
    for (name, record) in [("headers", headers), ("parameters", found)] {
        let record = Expression::new_record(record).map_err(|error| error.to_string())?;
        pairs.push((name.to_owned(), record));
    }
    Context::from_pairs(pairs).map_err(|error| error.to_string())
}

/// The hour of the day, from 0 (UTC).
pub(crate) fn hour(time: Timestamp) -> i64 {
    time.as_seconds().rem_euclid(SECONDS_A_DAY) / 3600
}

/// The day of the week, from 1 for Monday (ISO 8601; UTC).
pub(crate) fn weekday(time: Timestamp) -> i64 {
    // The first of January 1970 was a Thursday, the fourth day.
    (time.as_seconds().div_euclid(SECONDS_A_DAY) + 3).rem_euclid(7) + 1
}

/// A segment of a path as it stands there, by its number from 0.
pub(crate) fn segment(path: &str, number: usize) -> Option<&str> {
    path.split('/').skip(1).nth(number)
}

/// The segment of a path, without its own parameters (RFC 3986, section 3.3) and decoded, as the upstream will
/// read it.
fn decoded(path: &str, number: usize) -> Result<Option<String>, String> {
    let Some(encoded) = segment(path, number) else {
        return Ok(None);
    };
    let encoded = encoded.split(';').next().unwrap_or_default();
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, left) = match (first, after) {
            (b'%', [high, low, left @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, left),
                (None, _) | (_, None) => (b'%', after),
            },
            (plain, _) => (*plain, after),
        };
        bytes.push(byte);
        rest = left;
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| "a parameter of the path, which policies read, is no text".to_owned())
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// The records that are always there, with nothing in them.
fn empty_records() -> Context {
    static EMPTY: LazyLock<Context> = LazyLock::new(|| {
        let record = || Expression::new_record(Vec::new());
        let records = record().and_then(|headers| Ok((headers, record()?)));
        let pairs = records.map(|(headers, parameters)| {
            [
                ("headers".to_owned(), headers),
                ("parameters".to_owned(), parameters),
            ]
        });
        pairs
            .ok()
            .and_then(|pairs| Context::from_pairs(pairs).ok())
            .unwrap_or_else(Context::empty)
    });
    EMPTY.clone()
}

/// As Cedar reads it: to the millisecond.
pub(crate) fn date_and_time(time: Timestamp) -> String {
    let text = time.to_string();
    // `2026-11-29T22:00:00.123456Z`
    let millis = text.len().saturating_sub("456Z".len());
    format!("{}Z", text.get(..millis).unwrap_or_default())
}
