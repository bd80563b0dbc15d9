//! Sparing targets that fail.

use std::num::NonZeroU32;
use std::time::Duration;

/// A target of whose calls too large a share fails is spared for a while. Then one call at a time is let
/// through: the first that succeeds closes the breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// The share of failed calls (percent) that opens it. Default 50.
    pub percent: u8,
    /// Fewer calls than this within the window never open it. Default 20.
    pub calls: NonZeroU32,
    /// Over how long calls are counted. Default 10 s.
    pub window: Duration,
    /// How long it stays open. Default 10 s.
    pub open: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            percent: 50,
            calls: NonZeroU32::MIN.saturating_add(19),
            window: Duration::from_secs(10),
            open: Duration::from_secs(10),
        }
    }
}
