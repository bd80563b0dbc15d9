//! Budgets: limits in what AI calls take, which is known only when a call has ended.

use super::{LimitSubject, OnOutage, Period};
use crate::name::Name;
use crate::usage::PicoUsd;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Calls.
    Requests,
    /// Tokens, those that are read and those that are written.
    Tokens,
    /// Money, in units of 10⁻¹² US dollars.
    Cost,
}

impl Unit {
    /// As configured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Cost => "cost",
        }
    }

    /// An amount of it, to read: `1000 tokens`, `0.25 USD`.
    #[must_use]
    pub fn amount(self, amount: u64) -> String {
        match self {
            Self::Requests | Self::Tokens => format!("{amount} {}", self.as_str()),
            Self::Cost => format!("{} USD", PicoUsd(i64::try_from(amount).unwrap_or(i64::MAX))),
        }
    }
}

/// Over which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// Evenly: what was used up comes back at this pace.
    Rate {
        /// The time in which the whole amount comes back.
        per: Duration,
        /// How much may be used at once.
        burst: NonZeroU64,
    },
    /// In each window of the calendar, in UTC.
    Window(Period),
}

/// What a budget in money does with a model whose price nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unpriced {
    /// Its calls are refused.
    #[default]
    Refuse,
    /// Its calls cost nothing.
    Free,
}

impl Unpriced {
    /// As configured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Free => "free",
        }
    }
}

/// A limit in what AI calls take. A call holds the most that it may take, and what it took in the end counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// As answers call it: unique among the limits that stand beside it.
    pub name: Name,
    /// What is counted separately: each combination of these.
    pub by: Box<[LimitSubject]>,
    /// What is counted.
    pub unit: Unit,
    /// How much.
    pub amount: NonZeroU64,
    /// In which time.
    pub over: Span,
    /// What it does when it can't be asked.
    pub on_outage: OnOutage,
    /// What it does with models without a price.
    pub unpriced: Unpriced,
    /// Whether a call that may take more than is left is asked to write less, rather than refused.
    pub lower_max_tokens: bool,
}

/// Decimal dollars have so many digits behind the point.
const DIGITS: usize = 12;

impl PicoUsd {
    /// Dollars as decimal text, such as `25`, `0.5` or `1234.56`, without a sign or an exponent. Nothing where the text is
    /// something else, is finer than 10⁻¹², or is more than the number holds (some 9.2 million dollars).
    ///
    /// ```
    /// use keyward_model::usage::PicoUsd;
    /// assert_eq!(PicoUsd::of_decimal("0.25"), Some(PicoUsd(250_000_000_000)));
    /// assert_eq!(PicoUsd::of_decimal("0.0000000000001"), None);
    /// assert_eq!(PicoUsd::of_decimal("1e3"), None);
    /// assert_eq!(PicoUsd(250_000_000_000).to_string(), "0.25");
    /// ```
    #[must_use]
    pub fn of_decimal(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > DIGITS {
            return None;
        }
        let padded = format!("{whole}{fraction:0<DIGITS$}");
        padded.parse().ok().map(Self)
    }
}

/// Decimal dollars without zeros at the end: `0.25`.
impl fmt::Display for PicoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let pico = self.0.unsigned_abs();
        let (whole, fraction) = (pico / 1_000_000_000_000, pico % 1_000_000_000_000);
        let fraction = format!("{fraction:012}");
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            fraction => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn money_is_read_exactly_or_not_at_all() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(PicoUsd::of_decimal(text), expected.map(PicoUsd), "{text}");
        };
        check("25", Some(25_000_000_000_000));
        check("25.00", Some(25_000_000_000_000));
        check("0.000000000001", Some(1));
        check("0.10", Some(100_000_000_000));
        check("9223372.036854775807", Some(i64::MAX));
        for bad in [
            "",
            ".5",
            "5.",
            "-1",
            "+1",
            "1e3",
            "1,000",
            "1_000",
            "0.0000000000001",
            "9223372.036854775808",
            " 1",
            "$1",
        ] {
            check(bad, None);
        }
    }

    proptest! {
        #[test]
        fn money_that_is_written_is_read_again(pico in 0_i64..=i64::MAX) {
            let text = PicoUsd(pico).to_string();
            prop_assert_eq!(PicoUsd::of_decimal(&text), Some(PicoUsd(pico)));
        }
    }
}
