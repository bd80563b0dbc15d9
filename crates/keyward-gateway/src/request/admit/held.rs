//! Calls that are under way under a limit on concurrency.

use super::Cells;
use crate::snapshot::LimitPlan;
use keyward_state::limit::{Cell, Rule};
use keyward_state::shared::HeldSlot;
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// What a call holds while it is under way: it rides in the call's record, and is given back when that is
/// dropped: after the last byte of the answer, at the end of a tunnel, or wherever the client left.
pub(crate) struct HeldCalls {
    cells: SmallVec<[Arc<Cell>; 1]>,
    /// Where several nodes count together, its slots there: given back by themselves.
    _slots: Vec<HeldSlot>,
}

impl HeldCalls {
    /// Of the cells of a call that was let through, those on concurrency.
    pub(super) fn of(plan: &LimitPlan, cells: Cells, slots: Vec<HeldSlot>) -> Option<Box<Self>> {
        let cells: SmallVec<_> = cells
            .into_iter()
            .zip(&plan.limits)
            .filter(|(_, limit)| matches!(limit.rule, Rule::Concurrency(_)))
            .map(|(cell, _)| cell)
            .collect();
        (!cells.is_empty()).then(|| {
            Box::new(Self {
                cells,
                _slots: slots,
            })
        })
    }
}

impl fmt::Debug for HeldCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldCalls")
            .field("cells", &self.cells.len())
            .finish()
    }
}

impl Drop for HeldCalls {
    fn drop(&mut self) {
        for cell in &self.cells {
            cell.end();
        }
    }
}
