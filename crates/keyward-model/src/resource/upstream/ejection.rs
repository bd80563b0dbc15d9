//! Leaving targets out that fail.

use std::num::NonZeroU32;
use std::time::Duration;

/// A target that fails so many times in a row gets no calls for a while, longer each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row. Default 5.
    pub failures: NonZeroU32,
    /// How long the first time. It doubles with each that follows. Default 10 s.
    pub time: Duration,
    /// How long at most. Default 5 min.
    pub max_time: Duration,
    /// When more than this share of the targets (percent) is out, by ejections or health checks, calls
    /// go to all of them again: that many are hardly ill all at once, and the rest could not carry the
    /// load. Default 50.
    pub max_percent: u8,
    /// Answers that count as failures besides broken connections and timeouts. Default 502, 503 and 504.
    pub statuses: Vec<u16>,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::MIN.saturating_add(4),
            time: Duration::from_secs(10),
            max_time: Duration::from_secs(300),
            max_percent: 50,
            statuses: vec![502, 503, 504],
        }
    }
}
