//! Which calls are copied.

use super::split::spread;
use keyward_model::resource::route::Mirror;

/// A mirror's part of the calls.
#[derive(Debug)]
pub(crate) struct MirrorPlan {
    percent: u32,
}

impl MirrorPlan {
    pub(crate) fn new(mirror: &Mirror) -> Self {
        Self {
            percent: u32::from(mirror.percent),
        }
    }

    /// Whether the call with this turn is copied.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "called by the forwarding of copies, which is still to come"
        )
    )]
    pub(crate) fn takes(&self, turn: u32) -> bool {
        spread(turn, 100) < self.percent
    }
}
