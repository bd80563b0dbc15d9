//! The audit log while a node runs: anchored from time to time, and its oldest events forgotten where that is said.

use keyward_model::Clock;
use keyward_store::{Author, Store};
use std::sync::Arc;
use std::time::Duration;

/// How often what has come since is anchored: until then a thief of the database can make it anew.
const ANCHOR_EVERY: Duration = Duration::from_secs(600);
/// How often what is too old is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// Runs until it is dropped. `kept` says how long events stay; for good without it.
pub(super) async fn keep(store: Store, clock: Arc<dyn Clock>, kept: Option<Duration>) {
    let mut anchoring = tokio::time::interval(ANCHOR_EVERY);
    let mut forgetting = tokio::time::interval(FORGET_EVERY);
    loop {
        tokio::select! {
            _ = anchoring.tick() => {
                if let Err(error) = store.anchor_audit(clock.now()).await {
                    tracing::warn!(%error, code = error.code(), "audit: the log can't be anchored just now; it is tried again");
                }
            }
            _ = forgetting.tick() => {
                let Some(kept) = kept else { continue };
                let now = clock.now();
                let forgotten = store
                    .forget_audit_events(now.minus(kept), Author::local("node"), now)
                    .await;
                match forgotten {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(count, "audit: events older than `audit: keep` are forgotten"),
                    Err(error) => {
                        tracing::warn!(%error, code = error.code(), "audit: what is too old can't be forgotten just now; it is tried again");
                    }
                }
            }
        }
    }
}
