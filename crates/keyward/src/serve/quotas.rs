//! What has passed under quotas, kept each second, so that a crash forgives no more than a second's requests.

use super::failed;
use crate::command::Failure;
use keyward_model::Clock;
use keyward_model::limit::Period;
use keyward_state::limit::{KeptSpending, LimitCells, Used};
use keyward_store::{QuotaCount, Store};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often is kept what has passed: the most that a crash can forgive.
const KEPT_EVERY: Duration = Duration::from_secs(1);

/// How long the end of the process waits for the last of it: a database that is away must not hold it up.
const KEPT_WITHIN: Duration = Duration::from_secs(10);

/// Where a node by itself counts, with what was kept before.
pub(super) async fn restored(
    counted_subjects: NonZeroUsize,
    store: &Store,
    clock: &dyn Clock,
) -> Result<LimitCells, Failure> {
    let secret = store
        .quota_secret()
        .await
        .map_err(|error| failed("quotas", &error, error.code()))?;
    let counts = store
        .quota_counts(clock.now())
        .await
        .map_err(|error| failed("quotas", &error, error.code()))?;
    let cells = LimitCells::new(counted_subjects).with_secret(&secret);
    let left_out = cells.restore(counts.into_iter().map(|count| KeptSpending {
        digest: count.digest,
        period: count.period,
        window: count.window,
        amount: count.requests,
    }));
    if left_out > 0 {
        tracing::warn!("{left_out} subjects of quotas have no room and begin anew");
    }
    Ok(cells)
}

/// The task that keeps them.
pub(super) struct KeepingQuotas {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl KeepingQuotas {
    pub(super) fn start(cells: Arc<LimitCells>, store: Store, clock: Arc<dyn Clock>) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut failing = false;
            loop {
                let over = tokio::time::timeout(KEPT_EVERY, stopped.wait_for(|stop| *stop));
                let over = over.await.is_ok();
                match keep(&cells, &store, &*clock).await {
                    Ok(()) => failing = false,
                    Err(error) if failing => {
                        tracing::debug!(%error, "quotas can still not be kept");
                    }
                    Err(error) => {
                        failing = true;
                        tracing::error!(
                            %error,
                            "what has passed under quotas can't be kept: it is counted on, and a restart now would forgive it"
                        );
                    }
                }
                if over {
                    return;
                }
            }
        });
        Self { task, stop }
    }

    /// Keeps what the last calls used up.
    pub(super) async fn finish(self) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        match tokio::time::timeout(KEPT_WITHIN, self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "quotas were not kept to the end"),
            Err(_) => {
                abort.abort();
                tracing::error!("quotas were not kept to the end: the database does not answer");
            }
        }
    }
}

async fn keep(
    cells: &LimitCells,
    store: &Store,
    clock: &dyn Clock,
) -> Result<(), keyward_store::Error> {
    let quotas = cells.unkept();
    let budgets = cells.unkept_spending();
    if quotas.is_empty() && budgets.is_empty() {
        return Ok(());
    }
    let now = clock.now();
    let count = |digest, period: Period, window, requests| QuotaCount {
        digest,
        period,
        window,
        ends: period.ends(window),
        requests,
    };
    let of_quotas = quotas.iter().map(|one| {
        let Used { window, requests } = one.used;
        count(one.digest, one.period, window, i64::from(requests))
    });
    let of_budgets = budgets
        .iter()
        .map(|one| count(one.digest, one.period, one.window, one.amount));
    let counts: Vec<QuotaCount> = of_quotas.chain(of_budgets).collect();
    let mut totals = Vec::with_capacity(counts.len());
    let outcome = store.add_quota_counts(&counts, &mut totals, now).await;
    let mut totals = totals.into_iter();
    for one in &quotas {
        cells.kept(one, totals.next());
    }
    for one in &budgets {
        cells.kept_spending(one, totals.next());
    }
    outcome
}
