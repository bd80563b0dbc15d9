//! Usage records on their way from the workers to whoever writes them.
//!
//! A worker collects records and hands them over in batches: waking another thread at each call would
//! cost more than the call's own routing. The queue is bounded; when its reader is too slow, records of
//! calls that cost nothing are dropped and counted.

use keyward_model::UsageRecord;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// A batch is handed over when it has this many records, and at every tick of its worker.
const BATCH: usize = 256;
/// Batches that may wait: with full ones, a quarter of a million records.
const QUEUE: usize = 1024;

/// The sending side. Each worker has one; when the last is gone, so is the receiver's reason to wait.
#[derive(Clone, Debug)]
pub(crate) struct UsageQueue {
    sender: SyncSender<Vec<UsageRecord>>,
    dropped: Arc<AtomicU64>,
}

impl UsageQueue {
    /// A queue that counts in `dropped` what it had no room for.
    pub(crate) fn new(dropped: Arc<AtomicU64>) -> (Self, Receiver<Vec<UsageRecord>>) {
        let (sender, receiver) = sync_channel(QUEUE);
        (Self { sender, dropped }, receiver)
    }
}

/// One worker's records that were not handed over yet.
#[derive(Debug)]
pub(crate) struct UsageBatch {
    queue: UsageQueue,
    records: Vec<UsageRecord>,
}

impl UsageBatch {
    pub(crate) fn new(queue: UsageQueue) -> Self {
        Self {
            queue,
            records: Vec::with_capacity(BATCH),
        }
    }

    pub(crate) fn push(&mut self, record: UsageRecord) {
        self.records.push(record);
        if self.records.len() >= BATCH {
            self.flush();
        }
    }

    pub(crate) fn flush(&mut self) {
        if self.records.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.records, Vec::with_capacity(BATCH));
        match self.queue.sender.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                let count = batch.len() as u64;
                self.queue.dropped.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}
