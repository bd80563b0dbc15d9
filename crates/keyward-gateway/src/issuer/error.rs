//! Why an issuer's keys can't be had or can't be used.

/// What is wrong with an issuer or with what it sends. For operators, not for callers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// `algorithms` names one that does not exist.
    #[error("`{0}` is no signature algorithm that is known here")]
    Algorithm(String),
    /// HMAC without a shared secret, or something else with one.
    #[error(
        "`{0}` does not go with these keys: HMAC goes with `secret` alone, and `secret` with HMAC alone"
    )]
    Family(String),
    /// The text is no key set.
    #[error("the keys can't be read: {0}")]
    Keys(keyward_jose::Error),
    /// There are keys, but none that verifies anything here.
    #[error("there is no usable key: {0}")]
    NoUsableKey(String),
    /// Nothing came back.
    #[error(transparent)]
    Fetch(#[from] keyward_egress::Error),
    /// Something other than keys came back.
    #[error("{url} answered with status {status}")]
    Status {
        /// Who.
        url: String,
        /// With what.
        status: u16,
    },
    /// The metadata is none, or another issuer's.
    #[error("the metadata at {url} can't be used: {why}")]
    Metadata {
        /// Where it was.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file can't be read.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        why: String,
    },
}
