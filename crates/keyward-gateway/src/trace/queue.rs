//! Calls that are recorded, on their way from the workers to whoever exports them.

use super::TracedCall;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// A batch is handed over when it has this many calls, and at every tick of its worker.
const BATCH: usize = 64;
/// Batches that may wait: with full ones, some 16,000 calls of a kilobyte or two each.
const QUEUE: usize = 256;

/// Where recorded calls come out, in batches.
pub type SpanReceiver = mpsc::Receiver<Vec<TracedCall>>;

/// The way in. What there is no room for is dropped and counted: no call waits for a collector.
#[derive(Clone, Debug)]
pub struct SpanQueue {
    sender: mpsc::Sender<Vec<TracedCall>>,
    dropped: Arc<AtomicU64>,
}

impl SpanQueue {
    /// A queue and its end.
    #[must_use]
    pub fn new() -> (Self, SpanReceiver) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let queue = Self {
            sender,
            dropped: Arc::default(),
        };
        (queue, receiver)
    }

    /// Calls that there was no room for.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// One worker's recorded calls that were not handed over yet.
#[derive(Debug)]
pub(crate) struct SpanBatch {
    queue: SpanQueue,
    calls: Vec<TracedCall>,
}

impl SpanBatch {
    pub(crate) fn new(queue: SpanQueue) -> Self {
        Self {
            queue,
            calls: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, call: TracedCall) {
        self.calls.push(call);
        if self.calls.len() >= BATCH {
            self.flush();
        }
    }

    pub(crate) fn flush(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let calls = std::mem::take(&mut self.calls);
        let count = calls.len() as u64;
        if self.queue.sender.try_send(calls).is_err() {
            self.queue.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}
