//! Which of several upstreams takes a call.

use crate::snapshot::route_table::{ConditionPlan, RequestView};
use keyward_model::resource::route::Share;

/// Shares in their order.
#[derive(Debug)]
pub(crate) struct SplitPlan {
    whens: Box<[(usize, ConditionPlan)]>,
    /// The weights of each share and those before it.
    weight_up_to: Box<[u32]>,
}

impl SplitPlan {
    /// `None` where there is nothing to choose.
    pub(crate) fn new(shares: &[Share]) -> Option<Self> {
        if shares.len() < 2 {
            return None;
        }
        let mut sum = 0u32;
        let weights = shares.iter().map(|share| {
            sum = sum.saturating_add(share.weight);
            sum
        });
        let weight_up_to = weights.collect();
        let whens = shares.iter().enumerate();
        let whens = whens.filter_map(|(index, share)| {
            let when = share.when.as_ref()?;
            Some((index, ConditionPlan::new(when)))
        });
        Some(Self {
            whens: whens.collect(),
            weight_up_to,
        })
    }

    /// The share that takes the call: the first whose `when` holds, else the one whose turn it is.
    pub(crate) fn choose(&self, turn: u32, request: &RequestView<'_>) -> usize {
        let asked = self.whens.iter().find(|(_, when)| when.hold(request));
        if let Some((share, _)) = asked {
            return *share;
        }
        let total = self.weight_up_to.last().copied().unwrap_or_default();
        let point = spread(turn, total);
        self.weight_up_to.partition_point(|up_to| *up_to <= point)
    }
}

/// A number below `total`. Turns are multiplied by the golden ratio of 2³², so that neighbours in time
/// are far apart and each part of `total` comes as often as it is large.
pub(super) fn spread(turn: u32, total: u32) -> u32 {
    let point = u64::from(turn.wrapping_mul(0x9e37_79b9)) * u64::from(total);
    u32::try_from(point >> 32).unwrap_or_default()
}
