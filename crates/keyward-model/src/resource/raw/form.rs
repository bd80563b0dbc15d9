//! The written forms of durations and byte sizes.

use crate::clock::Timestamp;
use std::time::Duration;

/// Reads a duration: a whole number with `ms`, `s`, `m`, `h` or `d` right behind it (`250ms`, `30s`,
/// `1h`). A day has 24 hours.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Reads a byte size: a whole number alone or with `B`, `kB`, `MB`, `GB` (thousands) or `KiB`, `MiB`,
/// `GiB` (1024s) right behind it.
#[must_use]
pub fn byte_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Reads a point in time: RFC 3339 with its offset (`2027-06-30T00:00:00Z`).
#[must_use]
pub fn timestamp(text: &str) -> Option<Timestamp> {
    let format = &time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::parse(text, format).ok()?;
    Some(Timestamp::from_seconds(at.unix_timestamp()))
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, expected) in [
            ("250ms", Some(Duration::from_millis(250))),
            ("30s", Some(Duration::from_secs(30))),
            ("5m", Some(Duration::from_secs(300))),
            ("1h", Some(Duration::from_secs(3600))),
            ("2d", Some(Duration::from_secs(172_800))),
            ("30", None),
            ("30 s", None),
            ("-1s", None),
            ("+1s", None),
            ("1.5s", None),
            ("s", None),
            ("", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn times_have_an_offset() {
        for (text, seconds) in [
            ("2027-06-30T00:00:00Z", Some(1_814_313_600)),
            ("2027-06-30T02:00:00+02:00", Some(1_814_313_600)),
            ("2027-06-30", None),
            ("2027-06-30T00:00:00", None),
            ("2027-02-30T00:00:00Z", None),
            ("tomorrow", None),
        ] {
            let read = timestamp(text).map(Timestamp::as_seconds);
            assert_eq!(read, seconds, "{text}");
        }
    }

    #[test]
    fn byte_sizes_tell_thousands_from_1024s() {
        for (text, expected) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("1MB", Some(1_000_000)),
            ("16KiB", Some(16_384)),
            ("2GiB", Some(2_147_483_648)),
            ("1mb", None),
            ("1 MB", None),
            ("MB", None),
            ("18446744073709551615GB", None),
        ] {
            assert_eq!(byte_size(text), expected, "{text}");
        }
    }
}
