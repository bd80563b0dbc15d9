//! Whether what authorization names is there: roles, policies, and somebody who can have them.

use super::{Catalogue, Key, New, meant};
use crate::name::Name;
use crate::resource::authorization::{Authorization, PolicyReference};
use crate::resource::issuer::SELF;
use crate::resource::raw::{Declared, Node, Place, Problems};
use crate::resource::role::Voucher;
use crate::resource::{AccessPolicy, Api, AuthenticationMethod, Role};
use hashbrown::{HashMap, HashSet};

/// Roles and policies by what they are called.
#[derive(Default)]
pub(super) struct Rules<'r> {
    pub(super) roles: HashMap<Key<'r>, (&'r Declared, &'r Role)>,
    pub(super) policies: HashMap<Key<'r>, (&'r Declared, &'r AccessPolicy)>,
}

pub(super) fn check(catalogue: &Catalogue<'_>, new: &New, problems: &mut Problems) {
    let rules = &catalogue.rules;
    for (declared, role) in rules.roles.values() {
        holders(catalogue, declared, role, problems);
        included(rules, declared, role, problems);
    }
    let mut used = HashSet::new();
    for (declared, api) in &catalogue.apis {
        // Those that fitted before are asked for what they use, and no more.
        let mut unheard = Problems::new();
        for (authorization, node) in levels(declared, api) {
            if !new.has(declared) {
                used.extend(policies(rules, declared, authorization, node, &mut unheard));
                continue;
            }
            used.extend(policies(rules, declared, authorization, node, problems));
            roles(catalogue, declared, api, authorization, node, problems);
        }
    }
    for (declared, model) in catalogue.models.values() {
        let node = declared.node.get("authorization");
        used.extend(policies(
            rules,
            declared,
            &model.authorization,
            node,
            problems,
        ));
    }
    for (declared, prompt) in &catalogue.prompts {
        let node = declared.node.get("authorization");
        let asked = &prompt.authorization;
        used.extend(policies(rules, declared, asked, node, problems));
    }
    for (key, (declared, _)) in &rules.policies {
        if !used.contains(key) {
            problems.warning(
                declared.place(),
                "unused",
                format!(
                    "access policy `{}` is used by no API: name it under `authorization: {{ policies: [ … ] }}`",
                    declared.resource.name
                ),
            );
        }
    }
}

/// What is asked for by an API and by its routes, each with where it stands.
fn levels<'r>(
    declared: &'r Declared,
    api: &'r Api,
) -> impl Iterator<Item = (&'r Authorization, Option<&'r Node>)> {
    let node = &declared.node;
    let of_routes = api.routes.iter().enumerate().map(move |(index, route)| {
        let written = node.get("routes").and_then(|routes| routes.member(index));
        (&route.authorization, written)
    });
    let own = (&api.authorization, Some(node));
    std::iter::once(own)
        .chain(of_routes)
        .map(|(authorization, node)| {
            let node = node.and_then(|node| node.get("authorization"));
            (authorization, node)
        })
}

fn place(node: Option<&Node>, key: &str, index: usize) -> Place {
    node.map_or_else(Place::default, |node| node.place_of_member(&[key], index))
}

fn holders(catalogue: &Catalogue<'_>, declared: &Declared, role: &Role, problems: &mut Problems) {
    let team = &declared.resource.team_name;
    for (index, holders) in role.given_to.iter().enumerate() {
        let Voucher::Issuer(issuer) = &holders.vouched else {
            continue;
        };
        if issuer.as_str() == SELF || catalogue.issuer(team, issuer).is_some() {
            continue;
        }
        let names = catalogue.issuers.keys().filter(|(owner, _)| *owner == team);
        let names = names.map(|(_, name)| name.as_str()).chain([SELF]);
        problems.error(
            declared.node.place_of_member(&["given_to"], index),
            "unknown_reference",
            format!(
                "`issuer`: there is no issuer `{issuer}`{}",
                meant(issuer, names).unwrap_or_default()
            ),
        );
    }
}

/// Roles that are included exist, and none includes itself by a detour.
fn included(rules: &Rules<'_>, declared: &Declared, role: &Role, problems: &mut Problems) {
    let team = &declared.resource.team_name;
    for (index, name) in role.includes.iter().enumerate() {
        let place = declared.node.place_of_member(&["includes"], index);
        if rules.role(team, name).is_none() {
            let names = rules.roles.keys().filter(|(owner, _)| *owner == team);
            let hint = meant(name, names.map(|(_, name)| name.as_str()));
            problems.error(
                place,
                "unknown_reference",
                format!(
                    "`includes`: there is no role `{name}`{}",
                    hint.unwrap_or_else(|| ": declare it with `kind: role`".to_owned())
                ),
            );
        } else if rules.leads_to(team, name, &declared.resource.name) {
            problems.error(
                place,
                "contradiction",
                format!(
                    "`includes`: `{name}` includes `{}` in turn, so that both would be one role: take one of them out",
                    declared.resource.name
                ),
            );
        }
    }
}

/// The policies that are named, of which one that does not exist is told.
fn policies<'r>(
    rules: &Rules<'r>,
    declared: &'r Declared,
    authorization: &'r Authorization,
    node: Option<&Node>,
    problems: &mut Problems,
) -> Vec<Key<'r>> {
    let team = &declared.resource.team_name;
    let mut used = Vec::new();
    for (index, policy) in authorization.policies.iter().enumerate() {
        let PolicyReference::Named(name) = policy else {
            continue;
        };
        if let Some((found, _)) = rules.policy(team, name) {
            used.push((&found.resource.team_name, &found.resource.name));
            continue;
        }
        let names = rules.policies.keys().filter(|(owner, _)| *owner == team);
        let hint = meant(name, names.map(|(_, name)| name.as_str()));
        problems.error(
            place(node, "policies", index),
            "unknown_reference",
            format!(
                "`policies`: there is no access policy `{name}`{}",
                hint.unwrap_or_else(|| ": declare it with `kind: access_policy`".to_owned())
            ),
        );
    }
    used
}

/// Somebody can have the roles that are asked for.
fn roles(
    catalogue: &Catalogue<'_>,
    declared: &Declared,
    api: &Api,
    authorization: &Authorization,
    node: Option<&Node>,
    problems: &mut Problems,
) {
    let team = &declared.resource.team_name;
    let told = api
        .authentication
        .methods()
        .iter()
        .any(|method| match method {
            AuthenticationMethod::Token(tokens) => tokens.issuers.iter().any(|name| {
                let tells =
                    |(_, issuer): (_, &crate::resource::Issuer)| !issuer.roles_from.is_empty();
                // Our own tokens have the claim `roles`.
                name.as_str() == SELF || catalogue.issuer(team, name).is_some_and(tells)
            }),
            // Credentials have roles of their own.
            AuthenticationMethod::ApiKey(_) | AuthenticationMethod::Basic(_) => true,
            AuthenticationMethod::MutualTls(_) | AuthenticationMethod::Anonymous => false,
        });
    if told {
        return;
    }
    for (key, asked) in [
        ("roles", &authorization.roles),
        ("any_roles", &authorization.any_roles),
    ] {
        for role in asked {
            let declared = role
                .parse::<Name>()
                .is_ok_and(|name| catalogue.rules.role(team, &name).is_some());
            if declared {
                continue;
            }
            let names = catalogue.rules.roles.keys();
            let names = names.filter(|(owner, _)| *owner == team);
            let hint = super::closest(role, names.map(|(_, name)| name.as_str()))
                .map(|meant| format!("did you mean `{meant}`?"))
                .unwrap_or_else(|| {
                    "say who has it with `kind: role`, or where tokens name roles with `roles_from` of an issuer".to_owned()
                });
            problems.error(
                node.map_or_else(Place::default, |node| node.place_of(&[key])),
                "unknown_reference",
                format!("`{key}`: nobody can have the role `{role}`: {hint}"),
            );
        }
    }
}

impl<'r> Rules<'r> {
    /// A role of the team, or else one that all teams share.
    fn role(&self, team: &Name, name: &Name) -> Option<&'r Role> {
        let of = |team: &Name| self.roles.get(&(team, name)).copied();
        let shared = || of(&Name::default_team()).filter(|(found, _)| found.resource.is_shared());
        of(team).or_else(shared).map(|(_, role)| role)
    }

    fn policy(&self, team: &Name, name: &Name) -> Option<(&'r Declared, &'r AccessPolicy)> {
        let of = |team: &Name| self.policies.get(&(team, name)).copied();
        let shared = || of(&Name::default_team()).filter(|(found, _)| found.resource.is_shared());
        of(team).or_else(shared)
    }

    /// Whether the role `from` is `to`, or includes it, directly or not.
    fn leads_to(&self, team: &Name, from: &Name, to: &Name) -> bool {
        let mut seen = HashSet::new();
        let mut left = vec![from];
        while let Some(name) = left.pop() {
            if name == to {
                return true;
            }
            if seen.insert(name)
                && let Some(role) = self.role(team, name)
            {
                left.extend(&role.includes);
            }
        }
        false
    }
}
