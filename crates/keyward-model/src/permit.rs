//! Permission as a value.

use crate::caller::Caller;
use std::borrow::Cow;
use std::sync::Arc;

/// Proof that a caller may make a call. What forwards a call asks for one, so that forgetting the
/// check does not compile: the only way to a permit is the function that decides.
#[derive(Clone, Debug)]
pub struct Permit {
    caller: Arc<Caller>,
    decided_by: Cow<'static, str>,
}

impl Permit {
    /// Called by the decision function alone (the gateway's `authorize`; later `keyward-access`).
    /// `decided_by` names the rule that let the caller pass, for the log.
    #[must_use]
    pub fn grant(caller: Arc<Caller>, decided_by: Cow<'static, str>) -> Self {
        Self { caller, decided_by }
    }

    /// Who may pass.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// The rule that said so.
    #[must_use]
    pub fn decided_by(&self) -> &str {
        &self.decided_by
    }
}
