//! What has changed in the database, whoever changed it: one question for all who follow it.
//!
//! The marks (`keyward_store::Marks`) go to everybody by a channel that holds the newest: who was busy finds all
//! that has come meanwhile in them. While the database is away nothing comes, and what is served goes on.

use keyward_store::{ChangeFeed, Marks, Notice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;

/// How following the database goes, for operators.
#[derive(Debug, Default)]
pub(super) struct FollowCounts {
    /// How often the database could not be asked, or what it said could not be taken in.
    pub(super) failures: AtomicU64,
    /// Whether it does not answer now.
    pub(super) away: AtomicBool,
}

/// Follows the database.
pub(super) struct Follower {
    feed: ChangeFeed,
    marks: watch::Sender<Marks>,
    counts: Arc<FollowCounts>,
}

impl Follower {
    pub(super) fn new(feed: ChangeFeed, counts: Arc<FollowCounts>) -> Self {
        let marks = watch::Sender::new(feed.seen());
        Self {
            feed,
            marks,
            counts,
        }
    }

    /// The newest marks, from those on that the feed began with.
    pub(super) fn marks(&self) -> watch::Receiver<Marks> {
        self.marks.subscribe()
    }

    /// Runs until the process ends.
    pub(super) async fn run(mut self) {
        let mut history = self.feed.seen().history;
        loop {
            let marks = match self.feed.next().await {
                Notice::Changed(marks) => marks,
                Notice::Back(marks) => {
                    self.counts.away.store(false, Ordering::Relaxed);
                    tracing::info!("changes: the database answers again");
                    marks
                }
                Notice::Away(error) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    // Once, and not at each try: the counter goes on.
                    if !self.counts.away.swap(true, Ordering::Relaxed) {
                        tracing::error!(
                            "changes: {error}; what is known goes on to hold, and nothing new is taken in until this ends"
                        );
                    }
                    continue;
                }
            };
            if std::mem::replace(&mut history, marks.history) != marks.history {
                tracing::error!(
                    "changes: the database has lost what was committed last, as after a failover to a standby that did not have it: everything is read anew, and what was lost is to be done again (revocations above all)"
                );
            }
            self.marks.send_replace(marks);
        }
    }
}
