//! Memory for coders.

use std::cell::Cell;
use std::rc::Rc;

/// What the coders of one worker may have together, in bytes: windows and tables. At the usual levels 128
/// answers in zstd, 42 in br or 680 in gzip; 30 requests with the largest window.
const BUDGET: usize = 256 * 1024 * 1024;

/// What is left of a worker's memory for coders.
#[derive(Debug)]
pub(crate) struct CodingBudget {
    left: Cell<usize>,
}

/// A part of it, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Rc<CodingBudget>,
    bytes: usize,
}

impl CodingBudget {
    pub(crate) fn new() -> Rc<Self> {
        Self::of(BUDGET)
    }

    pub(super) fn of(bytes: usize) -> Rc<Self> {
        Rc::new(Self {
            left: Cell::new(bytes),
        })
    }

    /// Takes a part, if there is so much left.
    pub(super) fn reserve(self: &Rc<Self>, bytes: usize) -> Option<Reserved> {
        self.left.set(self.left.get().checked_sub(bytes)?);
        Some(Reserved {
            budget: Rc::clone(self),
            bytes,
        })
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.left.get()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let left = &self.budget.left;
        left.set(left.get() + self.bytes);
    }
}
