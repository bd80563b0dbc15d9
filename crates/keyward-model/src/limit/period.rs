//! Windows of the calendar.

use crate::clock::{Timestamp, civil_from_days, days_from_civil};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Thursday, 1970-01-01, is three days into a week that began on a Monday (ISO 8601).
const DAYS_INTO_WEEK: i64 = 3;

/// The windows of a quota. They begin with the calendar, in UTC; leap seconds are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// From second 0.
    Minute,
    /// From minute 0.
    Hour,
    /// From midnight.
    Day,
    /// From the midnight before a Monday (ISO 8601).
    Week,
    /// From the midnight before the first of a month.
    Month,
}

/// One window: its number since 1970, and where it ends.
///
/// ```
/// use keyward_model::{Timestamp, limit::Period};
/// // 2026-02-28T23:59:59Z
/// let last_second = Timestamp::from_seconds(1_772_323_199);
/// let february = Period::Month.window(last_second);
/// assert_eq!(february.ends.to_string(), "2026-03-01T00:00:00.000000Z");
/// let march = Period::Month.window(february.ends);
/// assert_eq!(march.number, february.number + 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// One more for each window; 0 has 1970-01-01T00:00:00Z, and whatever was before.
    pub number: u32,
    /// The first moment of the next one.
    pub ends: Timestamp,
}

impl Period {
    /// All periods, from the shortest.
    pub const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month];

    /// As configured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// How long each window is, in seconds; `None` for months, which differ.
    #[must_use]
    pub const fn seconds(self) -> Option<u32> {
        match self {
            Self::Minute => Some(60),
            Self::Hour => Some(3_600),
            Self::Day => Some(86_400),
            Self::Week => Some(604_800),
            Self::Month => None,
        }
    }

    /// When the window of this number ends.
    #[must_use]
    pub fn ends(self, number: u32) -> Timestamp {
        let number = i64::from(number);
        let seconds = match self {
            Self::Minute => (number + 1) * MINUTE,
            Self::Hour => (number + 1) * HOUR,
            Self::Day => (number + 1) * DAY,
            Self::Week => (number + 1) * 7 * DAY - DAYS_INTO_WEEK * DAY,
            Self::Month => {
                let months = number + 1;
                days_from_civil(1970 + months / 12, months % 12 + 1, 1) * DAY
            }
        };
        Timestamp::from_seconds(seconds)
    }

    /// The window that `now` is in.
    #[must_use]
    pub fn window(self, now: Timestamp) -> Window {
        let seconds = now.as_seconds().max(0);
        let (number, ends) = match self {
            Self::Minute => even(seconds, MINUTE, 0),
            Self::Hour => even(seconds, HOUR, 0),
            Self::Day => even(seconds, DAY, 0),
            Self::Week => even(seconds, 7 * DAY, DAYS_INTO_WEEK * DAY),
            Self::Month => {
                let (year, month, _) = civil_from_days(seconds.div_euclid(DAY));
                let next = if month == 12 {
                    (year + 1, 1)
                } else {
                    (year, month + 1)
                };
                let number = (year - 1970) * 12 + month - 1;
                (number, days_from_civil(next.0, next.1, 1) * DAY)
            }
        };
        Window {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            ends: Timestamp::from_seconds(ends),
        }
    }
}

/// The number and the end of a window of `length` seconds, the first of which began `before` 1970.
fn even(seconds: i64, length: i64, before: i64) -> (i64, i64) {
    let number = (seconds + before).div_euclid(length);
    (number, (number + 1) * length - before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(period: Period, at: &str, seconds: i64, ends: &str) {
        let at_this = Timestamp::from_seconds(seconds);
        assert_eq!(at_this.to_string(), format!("{at}.000000Z"));
        let window = period.window(at_this);
        assert_eq!(window.ends.to_string(), format!("{ends}.000000Z"), "{at}");
        let before = Timestamp::from_micros(window.ends.as_micros() - 1);
        assert_eq!(period.window(before), window);
        assert_eq!(period.window(window.ends).number, window.number + 1);
    }

    #[test]
    fn windows_end_with_the_calendar() {
        use Period::*;
        check(
            Minute,
            "2026-11-29T22:59:59",
            1_795_993_199,
            "2026-11-29T23:00:00",
        );
        check(
            Hour,
            "2026-11-29T22:59:59",
            1_795_993_199,
            "2026-11-29T23:00:00",
        );
        check(
            Day,
            "2026-11-29T22:59:59",
            1_795_993_199,
            "2026-11-30T00:00:00",
        );
        // A Sunday, and the Monday after it.
        check(
            Week,
            "2026-11-29T22:59:59",
            1_795_993_199,
            "2026-11-30T00:00:00",
        );
        check(
            Week,
            "2026-11-30T00:00:00",
            1_795_996_800,
            "2026-12-07T00:00:00",
        );
        check(
            Month,
            "2026-11-30T00:00:00",
            1_795_996_800,
            "2026-12-01T00:00:00",
        );
        check(
            Month,
            "2027-12-31T23:59:59",
            1_830_297_599,
            "2028-01-01T00:00:00",
        );
        check(
            Month,
            "2028-02-28T12:00:00",
            1_835_352_000,
            "2028-03-01T00:00:00",
        );
        check(
            Month,
            "2100-02-28T23:59:59",
            4_107_542_399,
            "2100-03-01T00:00:00",
        );
        check(Month, "1970-01-01T00:00:00", 0, "1970-02-01T00:00:00");
        check(Week, "1970-01-01T00:00:00", 0, "1970-01-05T00:00:00");
    }

    proptest! {
        #[test]
        fn a_window_has_the_moment_that_it_is_asked_for(
            seconds in 0_i64..8_000_000_000,
            period in prop::sample::select(&Period::ALL[..]),
        ) {
            let now = Timestamp::from_seconds(seconds);
            let window = period.window(now);
            prop_assert!(now < window.ends);
            prop_assert_eq!(period.ends(window.number), window.ends);
            let length = i64::from(period.seconds().unwrap_or(31 * 86_400));
            prop_assert!(window.ends.as_seconds() - seconds <= length);
            let before = Timestamp::from_micros(window.ends.as_micros() - 1);
            prop_assert_eq!(period.window(before), window);
            prop_assert_eq!(period.window(window.ends).number, window.number + 1);
        }
    }
}
