//! All roles and policies of a configuration.

use crate::error::Error;
use crate::policy::{CompiledPolicy, compile};
use crate::roles::Roles;
use crate::rule::{Level, Rule, Set};
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::authorization::{Authorization, PolicyReference};
use keyward_model::resource::route::Segment;
use keyward_model::resource::{AccessPolicy, Api, Resource, Spec, route};
use keyward_model::usage::RouteLabels;
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Roles and policies, compiled when the configuration changes.
#[derive(Debug, Default)]
pub struct Catalogue {
    roles: BTreeMap<TeamId, Arc<Roles>>,
    policies: BTreeMap<(TeamId, Name), Arc<Compiled>>,
    /// Those of the default team that all teams may name.
    shared: BTreeSet<Name>,
}

/// A policy, and what it was compiled from.
#[derive(Debug)]
struct Compiled {
    declared: AccessPolicy,
    policy: Arc<CompiledPolicy>,
}

/// What an API's rules are made of, besides the API itself.
#[derive(Clone, Debug)]
pub struct Inputs {
    roles: Arc<Roles>,
    policies: BTreeMap<Name, Arc<Compiled>>,
}

/// The same, not merely equal: what has not changed is taken over from one catalogue to the next.
impl PartialEq for Inputs {
    fn eq(&self, other: &Self) -> bool {
        let (mine, others) = (self.policies.values(), other.policies.values());
        Arc::ptr_eq(&self.roles, &other.roles)
            && self.policies.len() == other.policies.len()
            && mine
                .zip(others)
                .all(|(mine, other)| Arc::ptr_eq(mine, other))
    }
}

impl Catalogue {
    /// Compiles what `resources` declare. What is as `before` is taken over.
    ///
    /// # Errors
    /// The first policy that can't be compiled.
    pub fn new<R: Borrow<Resource>>(resources: &[R], before: Option<&Self>) -> Result<Self, Error> {
        let resources: Vec<&Resource> = resources.iter().map(Borrow::borrow).collect();
        let mut catalogue = Self::default();
        for resource in resources.iter().copied() {
            catalogue.roles.entry(resource.team).or_insert_with(|| {
                let roles = Roles::of_team(resource.team, &resources);
                match before.and_then(|before| before.roles.get(&resource.team)) {
                    Some(known) if **known == roles => Arc::clone(known),
                    Some(_) | None => Arc::new(roles),
                }
            });
            let Spec::AccessPolicy(declared) = &resource.spec else {
                continue;
            };
            let key = (resource.team, resource.name.clone());
            let known = before.and_then(|before| before.policies.get(&key));
            let compiled = match known {
                Some(known) if known.declared == **declared => Arc::clone(known),
                Some(_) | None => Arc::new(Compiled {
                    declared: (**declared).clone(),
                    policy: compiled(resource.name.as_str(), declared)?,
                }),
            };
            if resource.is_shared() {
                catalogue.shared.insert(resource.name.clone());
            }
            catalogue.policies.insert(key, compiled);
        }
        Ok(catalogue)
    }

    /// What the rules of an API are made of; `None` for one that asks for scopes alone.
    ///
    /// # Errors
    /// A policy that does not exist.
    pub fn inputs(&self, team: TeamId, api: &Api) -> Result<Option<Inputs>, Error> {
        let routes = api.routes.iter().map(|route| &route.authorization);
        let levels = || std::iter::once(&api.authorization).chain(routes.clone());
        if levels().all(Authorization::is_scopes_alone) {
            return Ok(None);
        }
        let mut policies = BTreeMap::new();
        for reference in levels().flat_map(|level| &level.policies) {
            if let PolicyReference::Named(name) = reference {
                let found = self
                    .policy(team, name)
                    .ok_or_else(|| Error::UnknownPolicy(name.clone()))?;
                policies.insert(name.clone(), Arc::clone(found));
            }
        }
        Ok(Some(Inputs {
            roles: self.roles.get(&team).cloned().unwrap_or_default(),
            policies,
        }))
    }

    fn policy(&self, team: TeamId, name: &Name) -> Option<&Arc<Compiled>> {
        let of = |team: TeamId| self.policies.get(&(team, name.clone()));
        let shared = || {
            let is_shared = self.shared.contains(name);
            is_shared.then(|| of(TeamId::DEFAULT)).flatten()
        };
        of(team).or_else(shared)
    }
}

impl Inputs {
    /// The rules of an API's routes, in their order; `None` for a route that asks for scopes alone.
    ///
    /// # Errors
    /// A policy that can't be compiled, or policies that don't go together.
    pub fn rules(&self, resource: &Resource, api: &Api) -> Result<Vec<Option<Arc<Rule>>>, Error> {
        let of_api = self.level("api", &api.authorization)?;
        if let Some(level) = &of_api {
            let all = api.routes.iter().flat_map(|route| parameters(api, route));
            known_parameters(level, &all.collect::<Vec<_>>())?;
            no_identity_headers(level, api)?;
        }
        api.routes
            .iter()
            .map(|route| self.rule(resource, api, route, of_api.as_ref()))
            .collect()
    }

    fn rule(
        &self,
        resource: &Resource,
        api: &Api,
        route: &route::Route,
        of_api: Option<&Arc<Level>>,
    ) -> Result<Option<Arc<Rule>>, Error> {
        let own = self.level("route", &route.authorization)?;
        let parameters = parameters(api, route);
        if let Some(level) = &own {
            known_parameters(level, &parameters)?;
            no_identity_headers(level, api)?;
        }
        let levels: Vec<_> = of_api.cloned().into_iter().chain(own).collect();
        if levels.is_empty() {
            return Ok(None);
        }
        let labels = RouteLabels {
            team: resource.team,
            team_name: resource.team_name.clone(),
            api: resource.name.clone(),
            version: api.version.clone(),
            route: route.label.clone(),
        };
        Rule::new(&labels, parameters, levels, Arc::clone(&self.roles))
            .map(|rule| Some(Arc::new(rule)))
    }

    /// `place` is what policies are called after that are written there: no name of a resource has a colon.
    fn level(&self, place: &str, asked: &Authorization) -> Result<Option<Arc<Level>>, Error> {
        if asked.is_scopes_alone() {
            return Ok(None);
        }
        let (mut policies, mut names) = (Vec::new(), Vec::new());
        let mut number = 0;
        for reference in &asked.policies {
            match reference {
                PolicyReference::Named(name) => {
                    let found = self.policies.get(name);
                    let found = found.ok_or_else(|| Error::UnknownPolicy(name.clone()))?;
                    policies.push(Arc::clone(&found.policy));
                    names.push(name.to_string());
                }
                PolicyReference::Inline(policy) => {
                    number += 1;
                    let name = format!("{place}:{number}");
                    policies.push(compiled(&name, policy)?);
                    names.push(name);
                }
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let set = if policies.is_empty() {
            None
        } else {
            Some(Set::new(&policies, &names)?)
        };
        Ok(Some(Arc::new(Level {
            asked: asked.clone(),
            set,
        })))
    }
}

/// The parameters of a route's path, and which segment of a call's path each is.
fn parameters(api: &Api, route: &route::Route) -> Vec<(Box<str>, usize)> {
    let before = api.base_path.segments().count();
    let segments = route.matching.path.segments().iter().enumerate();
    let named = segments.filter_map(|(index, segment)| match segment {
        Segment::Parameter(name) => Some((name.clone(), before + index)),
        Segment::Literal(_) => None,
    });
    named.collect()
}

/// A parameter that is read and never there is a mistake in its name, and what forbids something by it would
/// forbid nothing.
fn known_parameters(level: &Level, known: &[(Box<str>, usize)]) -> Result<(), Error> {
    let read = level.set.iter().flat_map(|set| &set.reads.parameters);
    for name in read {
        if !known.iter().any(|(known, _)| known == name) {
            let mut there: Vec<_> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
            there.dedup();
            return Err(Error::UnknownParameter {
                name: name.to_string(),
                there: match there.as_slice() {
                    [] => String::new(),
                    there => format!("; there are {}", there.join(", ")),
                },
            });
        }
    }
    Ok(())
}

/// What a client sends under these names is thrown away before the upstream sees it: nobody may be believed for
/// it either.
fn no_identity_headers(level: &Level, api: &Api) -> Result<(), Error> {
    let read = level.set.iter().flat_map(|set| &set.reads.headers);
    let identity = &api.identity_headers.headers;
    for name in read {
        if identity.iter().any(|(header, _)| header == name) {
            return Err(Error::IdentityHeader(name.to_string()));
        }
    }
    Ok(())
}

fn compiled(name: &str, declared: &AccessPolicy) -> Result<Arc<CompiledPolicy>, Error> {
    match compile(name, declared) {
        Ok((compiled, _warnings)) => Ok(Arc::new(compiled)),
        Err(flaws) => {
            let first = flaws.into_iter().find(|flaw| flaw.fatal);
            Err(Error::Policy {
                policy: name.to_owned(),
                why: first.map(|flaw| flaw.message).unwrap_or_default(),
            })
        }
    }
}
