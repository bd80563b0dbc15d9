//! The memory that captures may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound that all workers share: only calls that are captured touch it.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    bound: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
}

/// What one body holds of it, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    memory: Memory,
    bytes: usize,
}

impl Memory {
    pub(super) fn of(bound: usize) -> Self {
        Self {
            bound: Arc::new(AtomicUsize::new(bound)),
            held: Arc::default(),
        }
    }

    /// From now on so much may be held. What is held beyond it stays until it is written.
    pub(super) fn resize(&self, bound: usize) {
        self.bound.store(bound, Ordering::Relaxed);
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn hold(&self) -> Held {
        Held {
            memory: self.clone(),
            bytes: 0,
        }
    }
}

impl Held {
    /// Takes more, if there is as much.
    pub(super) fn more(&mut self, bytes: usize) -> bool {
        let taken = self.memory.held.fetch_add(bytes, Ordering::Relaxed);
        if taken.saturating_add(bytes) > self.memory.bound.load(Ordering::Relaxed) {
            self.memory.held.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
