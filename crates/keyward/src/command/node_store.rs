//! The database of the node that a command speaks of.

use super::Failure;
use crate::configuration::NodeConfiguration;
use crate::environment;
use crate::own_keys::data_dir;
use keyward_model::{Clock as _, Secret, SystemClock};
use keyward_store::Store;
use std::future::Future;
use std::time::Duration;

/// How long a command waits, when all is done, for what its threads still do: not for a PKCS#11 module that never answers.
const THREADS_WAITED_FOR: Duration = Duration::from_secs(1);

/// Runs something to its end, on this thread.
pub(super) fn to_its_end<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("runtime", error.to_string(), "runtime"))?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(THREADS_WAITED_FOR);
    done
}

/// Opens the node's database, does something with it, and closes it.
pub(super) fn in_store<T>(
    configuration: &NodeConfiguration,
    act: impl AsyncFnOnce(&Store) -> Result<T, keyward_store::Error>,
) -> Result<T, Failure> {
    let master_key = environment::variable(environment::MASTER_KEY).map(Secret::new);
    to_its_end(async {
        let now = SystemClock::new().now();
        let store = data_dir::open_existing(&configuration.data_place(), master_key, now).await?;
        let outcome = act(&store).await;
        store.close().await;
        outcome.map_err(|error| Failure::new("database", error.to_string(), error.code()))
    })
}
