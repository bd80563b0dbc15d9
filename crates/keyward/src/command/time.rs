//! Times as arguments, and the time it is.

use keyward_jose::NumericDate;
use keyward_model::resource::raw::form;
use keyward_model::{Clock as _, SystemClock};
use std::time::Duration;

/// The time it is, read here at the edge: everything behind takes it as an argument.
pub(super) fn now() -> NumericDate {
    NumericDate(SystemClock::new().now().as_seconds())
}

/// Reads a duration such as 30s, 5m or 1h, of whole seconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    form::duration(text)
        .filter(|duration| *duration == Duration::from_secs(duration.as_secs()))
        .map(|duration| duration.as_secs())
        .ok_or_else(|| "write a whole number and its unit: 30s, 5m, 1h or 7d".to_owned())
}
