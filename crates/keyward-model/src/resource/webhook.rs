//! Webhooks: who is told of what was done.

use crate::name::Name;

/// An address that is told of what was done in the team, each thing once it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is told.
    pub url: Box<str>,
    /// Of what: actions as the audit log names them (`key.create`), or what stands before their dot (`key`). Empty:
    /// of everything.
    pub events: Vec<Box<str>>,
    /// The key set that signs it, of the same team and with the purpose `webhooks`; else the keys of `self` do.
    pub key_set: Option<Name>,
    /// Whether it is told at all.
    pub enabled: bool,
}

impl Webhook {
    /// Whether it is told of this action.
    #[must_use]
    pub fn wants(&self, action: &str) -> bool {
        let subject = action.split('.').next().unwrap_or_default();
        self.events.is_empty()
            || self
                .events
                .iter()
                .any(|event| **event == *action || **event == *subject)
    }
}
