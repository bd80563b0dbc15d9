//! Points in time, as tokens write them.

use serde_json::Value;
use std::fmt;

/// Whole seconds since 1970-01-01T00:00:00Z without leap seconds: `NumericDate` (RFC 7519, section 2).
///
/// Times are always arguments here: nothing in this crate reads a clock.
///
/// ```
/// use keyward_jose::NumericDate;
/// let issued = NumericDate(1_300_000_000);
/// assert_eq!(issued.plus(60).seconds_since(issued), 60);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumericDate(pub i64);

/// 0001-01-01T00:00:00Z: the earliest that a token may name.
const EARLIEST: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z: the latest. Milliseconds written by mistake lie beyond it, so a token that would
/// be valid for fifty thousand years is refused.
const LATEST: i64 = 253_402_300_799;

impl NumericDate {
    /// The time that a JSON number names; a fraction is cut off downwards. `None` where it is no number,
    /// or one outside the years 1 to 9999.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let Value::Number(number) = value else {
            return None;
        };
        let seconds = match number.as_i64() {
            Some(seconds) => seconds,
            None => whole_seconds(number.as_f64()?)?,
        };
        Self::in_bounds(seconds)
    }

    /// The time so many seconds after 1970 began. `None` outside the years 1 to 9999.
    pub(crate) fn in_bounds(seconds: i64) -> Option<Self> {
        (EARLIEST..=LATEST)
            .contains(&seconds)
            .then_some(Self(seconds))
    }

    /// The time so many seconds later; at the end of what can be counted it stays there.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add_unsigned(seconds))
    }

    /// The time so many seconds earlier.
    #[must_use]
    pub const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(seconds))
    }

    /// The seconds from `earlier` to this; negative if this is the earlier one.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A fraction cut off downwards: an `exp` of 10.9 is over from 10 on, never later than the issuer meant.
fn whole_seconds(seconds: f64) -> Option<i64> {
    let whole = seconds.floor();
    // Within these bounds every whole number is exact in an f64 and fits an i64.
    let bounds = -9.0e15..=9.0e15;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the bounds make the conversion exact"
    )]
    bounds.contains(&whole).then_some(whole as i64)
}

impl fmt::Display for NumericDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<NumericDate> for Value {
    fn from(date: NumericDate) -> Self {
        Self::from(date.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_fractions_are_read_and_the_rest_is_not() {
        let read = |text: &str| {
            let value: Value = serde_json::from_str(text).unwrap();
            NumericDate::from_json(&value).map(|date| date.0)
        };
        for (text, seconds) in [
            ("0", 0),
            ("-1", -1),
            ("1300819380", 1_300_819_380),
            ("1300819380.999", 1_300_819_380),
            ("1.30081938e9", 1_300_819_380),
            ("-0.5", -1),
            ("253402300799", LATEST),
        ] {
            assert_eq!(read(text), Some(seconds), "{text}");
        }
        for bad in [
            "253402300800",
            "1700000000000",
            "1e300",
            "18446744073709551615",
            "-1e300",
            "\"1300819380\"",
            "true",
            "null",
            "[1]",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
