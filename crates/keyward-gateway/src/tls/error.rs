//! What can be wrong with certificates and keys.

use std::path::{Path, PathBuf};

/// Why a listener's or an upstream's TLS can't be used. No key is ever in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or is not what it should be.
    #[error("{}: {why}", .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The library refuses what was put together.
    #[error("TLS can't be set up: {0}")]
    Setup(String),
}

impl TlsError {
    pub(crate) fn file(path: &Path, why: impl ToString) -> Self {
        Self::File {
            path: path.to_owned(),
            why: why.to_string(),
        }
    }

    /// A stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "tls_file",
            Self::Setup(_) => "tls",
        }
    }
}
