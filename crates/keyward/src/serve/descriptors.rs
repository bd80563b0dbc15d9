//! How many descriptors the process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A call takes a client's and an upstream's connection.
const FOR_EACH_CONNECTION: u64 = 2;
/// The database, logs, listeners, fetches.
const FOR_THE_REST: u64 = 256;

/// Raises the soft limit to the hard one, and says so where even that is not enough for the connections
/// that the configuration allows.
pub(super) fn raise(connections: u32) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of descriptors stays as it is");
    }
    let wanted = u64::from(connections) * FOR_EACH_CONNECTION + FOR_THE_REST;
    if let Some(available) = getrlimit(Resource::Nofile)
        .current
        .filter(|available| *available < wanted)
    {
        tracing::warn!(
            available,
            wanted,
            "there are fewer descriptors than `limits.connections` may take: raise the process's limit (ulimit -n, LimitNOFILE) or lower the setting"
        );
    }
}
