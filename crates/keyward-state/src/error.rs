//! What can be refused here.

/// Why something could not be counted or remembered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What nodes share can't be used as it is configured.
    #[error("the shared state can't be used: {0}")]
    SharedState(Box<str>),
    /// Every cell for counting is in use by a subject that has used up some of its limit. Forgetting one
    /// would lift its limit, so the new subject is refused.
    #[error(
        "all {limit} cells for counting calls are in use: raise the bound, or bar the addresses that flood this node"
    )]
    CellsExhausted {
        /// The bound.
        limit: usize,
    },
    /// As many revocations as the node keeps are in force. None is forgotten, so that the new one can't be
    /// taken in.
    #[error(
        "{limit} revocations are in force, which is all this node keeps: revoke by client or subject, or withdraw the signing key"
    )]
    RevocationsExhausted {
        /// The bound.
        limit: usize,
    },
    /// As many identifiers as the node keeps were used lately. None is forgotten, since it could then be used
    /// a second time, so that the new one is refused.
    #[error(
        "all {limit} places of the replay memory are taken: let proofs be shorter-lived, or bar the addresses that flood this node"
    )]
    ReplayMemoryFull {
        /// The bound.
        limit: usize,
    },
}
