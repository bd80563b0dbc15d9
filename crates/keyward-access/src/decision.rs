//! Yes or no, and by whom.

use keyward_model::Code;
use std::sync::Arc;

/// What was decided of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may pass. Names the policies that permit it, where policies are attached.
    Allowed(Option<Arc<str>>),
    /// It may not.
    Refused(Arc<Refusal>),
}

impl Decision {
    /// Whether the call may pass.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// The policies that decided, where any did.
    #[must_use]
    pub fn by(&self) -> Option<&Arc<str>> {
        match self {
            Self::Allowed(by) => by.as_ref(),
            Self::Refused(refusal) => match &**refusal {
                Refusal::Forbidden { by } => Some(by),
                Refusal::AnyScopeMissing { .. }
                | Refusal::RoleMissing { .. }
                | Refusal::ClaimUnfit { .. }
                | Refusal::NotPermitted { .. }
                | Refusal::Failed { .. } => None,
            },
        }
    }
}

/// Why a call may not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller has none of the scopes of which it needs one.
    #[error("the caller has none of the scopes {scopes}")]
    AnyScopeMissing {
        /// Those scopes, with spaces between them.
        scopes: Box<str>,
    },
    /// The caller lacks a role.
    #[error("the caller has not the role {roles}")]
    RoleMissing {
        /// The role, or those of which one would do.
        roles: Box<str>,
    },
    /// A claim is not what it must be.
    #[error("{why}")]
    ClaimUnfit {
        /// Which, and what it is not.
        why: Box<str>,
    },
    /// Policies forbid it.
    #[error("forbidden by the policy {by}")]
    Forbidden {
        /// Their names.
        by: Arc<str>,
    },
    /// No policy permits it.
    #[error("permitted by none of the policies {policies}")]
    NotPermitted {
        /// The access policies that were asked.
        policies: Arc<str>,
    },
    /// A policy could not be evaluated, or what it reads could not be had.
    #[error("{why}")]
    Failed {
        /// Which, and why.
        why: Box<str>,
    },
}

impl Refusal {
    /// The code that the caller is told.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::AnyScopeMissing { .. } => Code::InsufficientScope,
            Self::RoleMissing { .. } => Code::RoleMissing,
            Self::ClaimUnfit { .. } => Code::ClaimsRefused,
            Self::Forbidden { .. } | Self::NotPermitted { .. } | Self::Failed { .. } => {
                Code::PolicyRefused
            }
        }
    }
}
