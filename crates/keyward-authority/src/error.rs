//! What can go wrong.

/// Why keys can't be had, or a step can't be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] keyward_store::Error),
    /// A key can't be what it is to be, or a step breaks the rules of rotation.
    #[error("{0}")]
    Jose(#[from] keyward_jose::Error),
    /// The set has no such key.
    #[error("there is no key `{kid}` in the set `{set}`")]
    UnknownKey {
        /// The set.
        set: String,
        /// The key.
        kid: String,
    },
    /// The set has a key of this name.
    #[error("the set `{set}` has a key `{kid}` already: a key is known by its `kid` for good")]
    KnownKey {
        /// The set.
        set: String,
        /// The key.
        kid: String,
    },
    /// No such set is kept here.
    #[error("there is no key set `{set}` here, or it is not ready yet")]
    UnknownSet {
        /// The set.
        set: String,
    },
    /// What is asked for is not what the set is for.
    #[error("{0}")]
    Unfit(String),
    /// Two parts of a key do not belong together.
    #[error("the two parts of key `{kid}` are not one key's")]
    Torn {
        /// The key.
        kid: String,
    },
    /// Other processes changed the same keys again and again.
    #[error(
        "the keys of the set `{set}` were changed by other processes again and again: try again when these have settled"
    )]
    Unsettled {
        /// The set.
        set: String,
    },
    /// The module that keys are in does not do what is asked of it.
    #[error("{why}")]
    Module {
        /// What it says.
        why: String,
        /// Its name for it.
        code: &'static str,
        /// Whether it is of the module, and not of this key: others fare no better.
        of_all_keys: bool,
    },
    /// The keys are in a module, and this node has none.
    #[error(
        "the keys of the set `{set}` are in a PKCS#11 token, and this node is configured with none (`pkcs11`): another node has to make them and sign with them"
    )]
    NoModule {
        /// The set.
        set: String,
    },
    /// The work could not be done on this machine.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Whether what a module was asked for failed for a reason that lies not in this one key.
    pub(crate) fn is_of_all_keys(&self) -> bool {
        matches!(
            self,
            Self::Module {
                of_all_keys: true,
                ..
            } | Self::NoModule { .. }
        )
    }

    /// A name that does not change.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Jose(error) => error.code(),
            Self::UnknownKey { .. } => "unknown_key",
            Self::KnownKey { .. } => "known_key",
            Self::UnknownSet { .. } => "unknown_key_set",
            Self::Unfit(_) => "key_unfit",
            Self::Torn { .. } => "key_torn",
            Self::Unsettled { .. } => "keys_unsettled",
            Self::Module { code, .. } => code,
            Self::NoModule { .. } => "pkcs11_not_configured",
            Self::Internal(_) => "internal",
        }
    }
}
