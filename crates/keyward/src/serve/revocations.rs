//! Revocations on their way from the database to the workers.
//!
//! A row may come from a command, or from another process with the same database. A node asks one small question
//! several times a second, and takes in what is new: then a revocation holds here from that moment on, for tokens
//! that were verified before too.

use keyward_model::Clock;
use keyward_state::revocation::Revocations;
use keyward_store::{RevocationMark, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often the database is asked: revoked is revoked within less than a second.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How often it is asked at least while that fails: what fails each time, such as an index that is full, costs a
/// look at every row.
const ASK_EVERY_AT_LEAST: Duration = Duration::from_secs(30);
/// How often what is over is forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// How taking revocations in goes, for operators.
#[derive(Debug, Default)]
pub(super) struct FeedCounts {
    /// How often the database could not be asked, or the index could not take what it said.
    pub(super) failures: AtomicU64,
}

/// Takes revocations in.
pub(super) struct RevocationFeed {
    pub(super) store: Store,
    pub(super) revocations: Arc<Revocations>,
    pub(super) clock: Arc<dyn Clock>,
    /// What the index was filled with.
    pub(super) mark: RevocationMark,
    pub(super) counts: Arc<FeedCounts>,
}

impl RevocationFeed {
    /// Runs until the process ends.
    pub(super) async fn run(mut self) {
        let mut swept = self.clock.now();
        let mut failing = false;
        let mut wait = ASK_EVERY;
        loop {
            tokio::time::sleep(wait).await;
            let outcome = self.take_in().await;
            wait = wait_after(wait, outcome.is_ok());
            match outcome {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!("revocations: the database answers again");
                }
                Ok(()) => {}
                Err(error) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    // Once, and not five times a second: the counter goes on.
                    if !failing {
                        tracing::error!(
                            "revocations: {error}; those that are known hold, and new ones are not taken in until this ends"
                        );
                    }
                    failing = true;
                }
            }
            let now = self.clock.now();
            if now.since(swept) >= SWEEP_EVERY {
                swept = now;
                self.revocations.drop_expired(now);
                if let Err(error) = self.store.sweep_revocations(now).await {
                    tracing::warn!(%error, "revocations: those that are over could not be removed from the database");
                }
            }
        }
    }

    /// Takes in what has changed. The mark is kept only when all of it was.
    async fn take_in(&mut self) -> Result<(), String> {
        let mark = self.store.revocation_mark().await.map_err(told)?;
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
}

/// How long to wait before the database is asked again.
fn wait_after(wait: Duration, went_well: bool) -> Duration {
    if went_well {
        ASK_EVERY
    } else {
        (wait * 2).min(ASK_EVERY_AT_LEAST)
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
    fn what_fails_is_asked_less_and_less_often_and_what_answers_is_asked_as_before() {
        let mut waits = vec![ASK_EVERY];
        while let Some(wait) = waits.last()
            && *wait < ASK_EVERY_AT_LEAST
        {
            let next = wait_after(*wait, false);
            assert!(*wait < next && next <= *wait * 2, "{waits:?}");
            waits.push(next);
        }
        assert_eq!(wait_after(ASK_EVERY_AT_LEAST, false), ASK_EVERY_AT_LEAST);
        assert_eq!(wait_after(ASK_EVERY_AT_LEAST, true), ASK_EVERY);
    }

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
