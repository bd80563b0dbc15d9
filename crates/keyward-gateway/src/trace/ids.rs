//! Ids of traces and spans.

use std::cell::Cell;

/// Makes ids for one worker: two sequences that begin where nobody knows, each number of them spread over all
/// values (the generator SplitMix64). Ids have to be different, not secret.
#[derive(Debug)]
pub(crate) struct Ids {
    high: Cell<u64>,
    low: Cell<u64>,
}

/// The step of both: odd, so that a sequence comes to every number before it begins anew.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Ids {
    /// `seed` comes from a secure generator, so that no two workers anywhere make the same.
    pub(crate) fn new(seed: u128) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the two halves, one after the other"
        )]
        Self {
            high: Cell::new((seed >> 64) as u64),
            low: Cell::new(seed as u64),
        }
    }

    /// An id for a trace.
    pub(crate) fn trace(&self) -> u128 {
        u128::from(next(&self.high)) << 64 | u128::from(self.span())
    }

    /// An id for a span. Never 0, which stands for none.
    pub(crate) fn span(&self) -> u64 {
        loop {
            let id = next(&self.low);
            if id != 0 {
                return id;
            }
        }
    }

    /// A number that nobody outside can foresee.
    pub(crate) fn chance(&self) -> u64 {
        next(&self.high)
    }
}

fn next(state: &Cell<u64>) -> u64 {
    let at = state.get().wrapping_add(STEP);
    state.set(at);
    let mut spread = (at ^ (at >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    spread = (spread ^ (spread >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    spread ^ (spread >> 31)
}
