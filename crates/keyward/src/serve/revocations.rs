//! Revocations on their way from the database to the workers.
//!
//! A row may come from a command, or from another process with the same database. As soon as the marks of the database
//! say so, a node takes in what is new: then a revocation holds here from that moment on, for tokens that were verified
//! before too.

use super::changes::FollowCounts;
use keyward_model::Clock;
use keyward_state::revocation::Revocations;
use keyward_store::{Marks, RevocationMark, Store};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// How soon it is tried again when rows could not be taken in.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How often it is tried at least while that fails: what fails each time, such as an index that is full, costs a
/// look at every row.
const AGAIN_AFTER_AT_MOST: Duration = Duration::from_secs(30);
/// How often what is over is forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// Takes revocations in.
pub(super) struct RevocationFeed {
    pub(super) store: Store,
    pub(super) revocations: Arc<Revocations>,
    pub(super) clock: Arc<dyn Clock>,
    /// What the index was filled with.
    pub(super) mark: RevocationMark,
    pub(super) marks: watch::Receiver<Marks>,
    pub(super) counts: Arc<FollowCounts>,
}

impl RevocationFeed {
    /// Runs until the process ends.
    pub(super) async fn run(mut self) {
        let mut failing = false;
        let mut wait = AGAIN_AFTER;
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        // The first is at once: the index was filled with what is not over.
        sweep.tick().await;
        loop {
            tokio::select! {
                changed = self.marks.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait), if failing => {}
                _ = sweep.tick() => {
                    self.sweep().await;
                    continue;
                }
            }
            match self.take_in().await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("revocations: what is new is taken in again");
                    }
                    wait = AGAIN_AFTER;
                }
                Err(error) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    // Once, and not at each try: the counter goes on.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(
                            "revocations: {error}; those that are known hold, and new ones are not taken in until this ends"
                        );
                    } else {
                        wait = (wait * 2).min(AGAIN_AFTER_AT_MOST);
                    }
                }
            }
        }
    }

    /// Takes in what has changed. The mark is kept only when all of it was.
    async fn take_in(&mut self) -> Result<(), String> {
        let mark = self.marks.borrow_and_update().revocations;
        if mark == self.mark {
            return Ok(());
        }
        let now = self.clock.now();
        if follows(mark, self.mark) {
            let new = self.store.revocations_after(self.mark, now).await;
            for revocation in new.map_err(told)? {
                self.revocations.insert(&revocation, now).map_err(told)?;
            }
        } else {
            // One that was taken back may have covered what another covers too, and a database that was restored
            // may have others under the same numbers: all are read anew.
            let all = self.store.revocations(now).await.map_err(told)?;
            self.revocations.replace(&all, now).map_err(told)?;
        }
        self.mark = mark;
        Ok(())
    }

    async fn sweep(&self) {
        let now = self.clock.now();
        self.revocations.drop_expired(now);
        if let Err(error) = self.store.sweep_revocations(now).await {
            tracing::warn!(%error, "revocations: those that are over could not be removed from the database");
        }
    }
}

/// Whether what has come since `before` is all that has changed. Counters that went back are of a database that
/// was restored.
fn follows(mark: RevocationMark, before: RevocationMark) -> bool {
    mark.removed == before.removed && mark.inserted >= before.inserted
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_read_anew_after_a_removal_or_a_restore() {
        let mark = |inserted, removed| RevocationMark { inserted, removed };
        for (now, before, follow) in [
            (mark(5, 2), mark(4, 2), true),
            (mark(4, 3), mark(4, 2), false),
            (mark(3, 2), mark(4, 2), false),
            (mark(3, 1), mark(4, 2), false),
        ] {
            assert_eq!(follows(now, before), follow, "{now:?} after {before:?}");
        }
    }
}
