//! What was concluded of a caller, so that its next call need not ask again.

use crate::decision::Decision;
use crate::facts::Facts;
use crate::rule::Prepared;

/// Routes of one API that are remembered of a caller: what is beyond is worked out anew.
const ROUTES_MAX: usize = 16;
/// Decisions that are remembered of a caller on one route: the usual methods, or some addresses and values of a
/// header. With all routes, what they depend on takes 8 KiB at most.
const DECISIONS_MAX: usize = 4;

/// What rules have found out of one caller. Goes when the caller does; a rule that is gone is never asked for.
#[derive(Debug, Default)]
pub struct Memory {
    routes: Vec<(u64, Known)>,
    /// Whose turn it is to be forgotten.
    next: usize,
}

/// What one rule knows of a caller.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What scopes, roles and claims say.
    pub(crate) standing: Option<Decision>,
    /// The caller as policies see it, with the claims that they read; not where all that can be decided fits into
    /// memory.
    pub(crate) prepared: Option<Box<Prepared>>,
    /// Decisions, by what they depend on besides caller and route.
    decided: Vec<(Box<[u8]>, Decision)>,
    /// Whose turn it is to be forgotten.
    next: usize,
}

impl Known {
    /// What was decided of a call that was alike in all that policies read.
    pub(crate) fn decided(&self, facts: &Facts) -> Option<&Decision> {
        let mut decided = self.decided.iter();
        let found = decided.find(|(known, _)| **known == *facts.as_bytes());
        found.map(|(_, decision)| decision)
    }

    pub(crate) fn remember(&mut self, facts: &Facts, decision: &Decision) {
        let new = (facts.as_bytes().into(), decision.clone());
        if self.decided.len() < DECISIONS_MAX {
            self.decided.push(new);
            return;
        }
        let at = self.next % DECISIONS_MAX;
        self.next = at + 1;
        if let Some(place) = self.decided.get_mut(at) {
            *place = new;
        }
    }
}

impl Memory {
    /// For how many routes the caller is remembered as policies see it.
    #[cfg(test)]
    pub(crate) fn prepared(&self) -> usize {
        let known = self.routes.iter().map(|(_, known)| known);
        known.filter(|known| known.prepared.is_some()).count()
    }

    /// What the rule of this number knows, made by `make` where it knows nothing.
    pub(crate) fn of(&mut self, rule: u64, make: impl FnOnce() -> Known) -> Option<&mut Known> {
        let at = match self.routes.iter().position(|(id, _)| *id == rule) {
            Some(at) => at,
            None if self.routes.len() < ROUTES_MAX => {
                self.routes.push((rule, make()));
                self.routes.len() - 1
            }
            None => {
                let at = self.next % ROUTES_MAX;
                self.next = at + 1;
                if let Some(place) = self.routes.get_mut(at) {
                    *place = (rule, make());
                }
                at
            }
        };
        self.routes.get_mut(at).map(|(_, known)| known)
    }
}
