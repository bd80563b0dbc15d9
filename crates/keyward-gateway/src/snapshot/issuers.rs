//! The issuers that a configuration names, opened.

use super::CompileError;
use crate::issuer::{IssuerKeySet, Issuers};
use hashbrown::{HashMap, HashSet};
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::issuer::SELF;
use keyward_model::resource::{Issuer, Resource, Spec};
use std::sync::{Arc, Weak};

/// Issuers by team and name. `self` belongs to everyone.
pub(super) struct OpenIssuers {
    declared: HashMap<(TeamId, Name), Arc<IssuerKeySet>>,
    /// Those of the default team that all teams may name.
    shared: HashSet<Name>,
    own: Option<Arc<IssuerKeySet>>,
}

impl OpenIssuers {
    /// Opens those that are declared, and this node's own.
    pub(super) fn open(
        issuers: &Issuers,
        own: Option<&Issuer>,
        resources: &[Arc<Resource>],
    ) -> Result<Self, CompileError> {
        let failed = |name: &str, error: &dyn std::error::Error| CompileError::Issuer {
            issuer: name.to_owned(),
            why: error.to_string(),
        };
        let (mut declared, mut shared) = (HashMap::new(), HashSet::new());
        for resource in resources {
            let Spec::Issuer(issuer) = &resource.spec else {
                continue;
            };
            let opened = issuers
                .prepare(resource.team, &resource.team_name, &resource.name, issuer)
                .map_err(|error| failed(resource.name.as_str(), &error))?;
            if resource.is_shared() {
                shared.insert(resource.name.clone());
            }
            declared.insert((resource.team, resource.name.clone()), opened);
        }
        let own = match (own, SELF.parse::<Name>()) {
            (Some(own), Ok(name)) => {
                let team = Name::default_team();
                let opened = issuers.prepare(TeamId::DEFAULT, &team, &name, own);
                Some(opened.map_err(|error| failed(SELF, &error))?)
            }
            (None, _) | (_, Err(_)) => None,
        };
        Ok(Self {
            declared,
            shared,
            own,
        })
    }

    /// All of them, for when they are served; those that no API names are gone by then.
    pub(super) fn all(&self) -> Vec<Weak<IssuerKeySet>> {
        let all = self.declared.values().chain(&self.own);
        all.map(Arc::downgrade).collect()
    }

    /// The issuer that an API of `team` means by `name`: its own, or one that all teams share.
    pub(super) fn get(&self, team: TeamId, name: &Name) -> Option<Arc<IssuerKeySet>> {
        if name.as_str() == SELF {
            return self.own.clone();
        }
        let of = |team| self.declared.get(&(team, name.clone())).cloned();
        let shared = || {
            let is_shared = self.shared.contains(name);
            is_shared.then(|| of(TeamId::DEFAULT)).flatten()
        };
        of(team).or_else(shared)
    }
}
