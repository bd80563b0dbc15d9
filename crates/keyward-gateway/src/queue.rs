//! What workers hand on to others beside usage records: in batches, through a bounded queue, and never by
//! waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// A batch is handed over when it has this many members, and at every tick of its worker.
const BATCH: usize = 64;
/// Batches that may wait: with full ones of calls for a trace, some 16,000 of a kilobyte or two each.
const QUEUE: usize = 256;

/// Where what was handed on comes out, in batches.
pub type QueueEnd<T> = mpsc::Receiver<Vec<T>>;

/// The way in. What there is no room for is dropped and counted.
#[derive(Debug)]
pub struct Queue<T> {
    sender: mpsc::Sender<Vec<T>>,
    dropped: Arc<AtomicU64>,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            dropped: Arc::clone(&self.dropped),
        }
    }
}

impl<T> Queue<T> {
    /// A queue and its end.
    #[must_use]
    pub fn new() -> (Self, QueueEnd<T>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let queue = Self {
            sender,
            dropped: Arc::default(),
        };
        (queue, receiver)
    }

    /// How much there was no room for.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// What one worker has not handed over yet.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    queue: Queue<T>,
    members: Vec<T>,
}

impl<T> Batch<T> {
    pub(crate) fn new(queue: Queue<T>) -> Self {
        Self {
            queue,
            members: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, member: T) {
        self.members.push(member);
        if self.members.len() >= BATCH {
            self.flush();
        }
    }

    pub(crate) fn flush(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let members = std::mem::take(&mut self.members);
        let count = members.len() as u64;
        if self.queue.sender.try_send(members).is_err() {
            self.queue.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_dropped_and_counted() {
        let (queue, mut end) = Queue::new();
        let mut batch = Batch::new(queue.clone());
        for number in 0..BATCH * (QUEUE + 2) {
            batch.push(number);
        }
        assert_eq!(queue.dropped(), 2 * BATCH as u64);
        batch.push(7);
        end.try_recv().unwrap();
        batch.flush();
        let mut last = Vec::new();
        while let Ok(members) = end.try_recv() {
            last = members;
        }
        assert_eq!(last, [7]);
    }
}
