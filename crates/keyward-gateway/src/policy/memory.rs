//! Memory that policies may take, counted in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much of it is taken.
#[derive(Debug)]
pub(crate) struct Memory {
    used: AtomicUsize,
    most: usize,
}

/// A part of it that is taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            most,
        })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Nothing yet.
    pub(super) fn nothing(self: &Arc<Self>) -> Reservation {
        Reservation {
            memory: Arc::clone(self),
            bytes: 0,
        }
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|used| *used <= self.most)
            });
        taken.is_ok()
    }
}

impl Reservation {
    /// How large it is.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A part of it, of at most this size, by itself.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            memory: Arc::clone(&self.memory),
            bytes,
        }
    }

    /// Makes it this large. Where there is not enough, `evict` is to make room, and says whether it could.
    pub(super) fn resize(&mut self, bytes: usize, mut evict: impl FnMut() -> bool) -> bool {
        if bytes <= self.bytes {
            self.memory
                .used
                .fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            self.bytes = bytes;
            return true;
        }
        if bytes > self.memory.most {
            return false;
        }
        let more = bytes - self.bytes;
        while !self.memory.take(more) {
            if !evict() {
                return false;
            }
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_counted_and_comes_back() {
        let memory = Memory::new(100);
        let mut one = memory.nothing();
        assert!(one.resize(60, || false));
        let mut two = memory.nothing();
        assert!(!two.resize(50, || false), "there are 40 left");
        assert!(two.resize(40, || false));
        assert_eq!(memory.used(), 100);
        assert!(one.resize(10, || false));
        assert_eq!(memory.used(), 50);
        let mut evicted = Some(one);
        assert!(two.resize(95, || evicted.take().is_some()));
        assert!(!two.resize(101, || panic!("no eviction makes that much room")));
        let part = two.split(40);
        assert_eq!((part.bytes(), two.bytes(), memory.used()), (40, 55, 95));
        drop(two);
        assert_eq!(memory.used(), 40, "a part counts by itself");
        drop(part);
        assert_eq!(memory.used(), 0);
    }
}
