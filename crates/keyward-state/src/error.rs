//! What can be refused here.

/// Why something could not be counted or remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address of what nodes share is none. It is not repeated, since it may have a password.
    #[error(
        "it is no address of Redis: a part of it can't be read, such as the port or a percent sign"
    )]
    SharedAddress,
    /// The certificate authorities that the server of what nodes share is checked against can't be used.
    #[error("the certificate authorities of the shared state are no PEM certificates")]
    SharedAuthorities,
    /// Every cell for counting is in use by a subject that has used up some of its limit. Forgetting one
    /// would lift its limit, so the new subject is refused.
    #[error(
        "all {limit} cells for counting calls are in use: count by fewer things, allow for more (`limits: {{ counted_subjects }}`), or bar the addresses that flood this node"
    )]
    CellsExhausted {
        /// The bound.
        limit: usize,
    },
    /// One limit has as many cells as it may have beside the others, all in use. Its new subject is refused, so that
    /// whoever invents subjects for one limit takes nothing from those of another.
    #[error(
        "this limit counts as many callers as it may of the {limit} that the node counts (`limits: {{ counted_subjects }}`): count by what callers can't invent, or bar the addresses that flood it"
    )]
    ShareExhausted {
        /// The bound of all together.
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
    /// One holder has used as many identifiers lately as it may beside the others. Its next ones are refused, and
    /// those of nobody else.
    #[error(
        "this holder of a key has used as many identifiers as it may of the {limit} that are remembered: let it call less often, or bar it"
    )]
    ReplayShareFull {
        /// The bound of all together.
        limit: usize,
    },
}
