//! Revocations on their way from the database to the workers.
//!
//! A row may come from a command, or from another process with the same database. As soon as the marks of the database
//! say so, a node takes in what is new: then a revocation holds here from that moment on, for tokens that were verified
//! before too.

use super::changes::FollowCounts;
use keyward_model::Clock;
use keyward_state::revocation::Revocations;
use keyward_store::{Marks, Store};
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
    /// How far everything had come when the index was filled.
    pub(super) seen: Marks,
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

    /// Takes in what has changed. The marks are kept only when all of it was.
    async fn take_in(&mut self) -> Result<(), String> {
        let marks = *self.marks.borrow_and_update();
        if is_the_same(&marks, &self.seen) {
            return Ok(());
        }
        let now = self.clock.now();
        if follows(&marks, &self.seen) {
            let new = self
                .store
                .revocations_after(self.seen.revocations, now)
                .await;
            for revocation in new.map_err(told)? {
                self.revocations.insert(&revocation, now).map_err(told)?;
            }
        } else {
            // One that was taken back may have covered what another covers too, and a database that was restored
            // may have others under the same numbers: all are read anew.
            let all = self.store.revocations(now).await.map_err(told)?;
            self.revocations.replace(&all, now).map_err(told)?;
        }
        self.seen = marks;
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

/// Whether the rows are those of before: by the same numbers in the same history.
fn is_the_same(marks: &Marks, before: &Marks) -> bool {
    marks.history == before.history && marks.revocations == before.revocations
}

/// Whether what has come since `before` is all that has changed. In another history the same numbers are of other
/// rows, and counters that went back are of a database that was restored.
fn follows(marks: &Marks, before: &Marks) -> bool {
    let (mark, earlier) = (marks.revocations, before.revocations);
    marks.history == before.history
        && mark.removed == earlier.removed
        && mark.inserted >= earlier.inserted
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_store::RevocationMark;

    #[test]
    fn all_is_read_anew_after_a_removal_a_restore_or_a_failover_that_lost_something() {
        let marks = |inserted, removed, history| Marks {
            revocations: RevocationMark { inserted, removed },
            history,
            ..Marks::default()
        };
        let before = marks(4, 2, 0);
        for (now, follow, same) in [
            (marks(4, 2, 0), true, true),
            (marks(5, 2, 0), true, false),
            (marks(4, 3, 0), false, false),
            (marks(3, 2, 0), false, false),
            (marks(3, 1, 0), false, false),
            (marks(4, 2, 1), false, false),
            (marks(5, 2, 1), false, false),
        ] {
            assert_eq!(follows(&now, &before), follow, "{now:?}");
            assert_eq!(is_the_same(&now, &before), same, "{now:?}");
        }
    }
}
