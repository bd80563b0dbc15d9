//! The time of a call, by both clocks.

use keyward_model::{Clock, Moment, Timestamp};

/// When a call takes from its limits: rates go by the clock that never goes back, quotas by the calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// On this machine's own clock.
    pub moment: Moment,
    /// In civil time.
    pub civil: Timestamp,
}

impl Now {
    /// What both clocks show.
    #[must_use]
    pub fn of(clock: &dyn Clock) -> Self {
        Self {
            moment: clock.moment(),
            civil: clock.now(),
        }
    }
}
