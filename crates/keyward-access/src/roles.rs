//! Which roles a caller has.

use crate::claims::{claim, fits};
use keyward_model::Caller;
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::authorization::ClaimPath;
use keyward_model::resource::issuer::SELF;
use keyward_model::resource::role::{Holders, Role, Voucher};
use keyward_model::resource::{Resource, Spec};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The most roles that a token may name. More is refused: a policy that forbids something to a role must not
/// miss it because it stood at the end.
const TOKEN_ROLES_MAX: usize = 1_000;

/// The roles of a team, and where its issuers' tokens name them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    declared: BTreeMap<Box<str>, DeclaredRole>,
    /// By the issuer's team and name.
    in_tokens: BTreeMap<(TeamId, Name), Vec<ClaimPath>>,
}

/// A role, with the teams of the issuers that it names: an issuer of the same name is another in each team.
#[derive(Debug, PartialEq, Eq)]
struct DeclaredRole {
    role: Role,
    /// As long as the role's list of holders; `None` where no issuer vouches.
    issuers: Vec<Option<TeamId>>,
}

impl DeclaredRole {
    fn new(team: TeamId, role: &Role, resources: &[&Resource]) -> Self {
        let of_team = |name: &Name| {
            let own = resources.iter().any(|resource| {
                resource.team == team
                    && resource.name == *name
                    && matches!(resource.spec, Spec::Issuer(_))
            });
            // What is not the team's own is shared, as `self` is.
            if own { team } else { TeamId::DEFAULT }
        };
        let issuers = role.given_to.iter().map(|holders| match &holders.vouched {
            Voucher::Issuer(name) => Some(of_team(name)),
            Voucher::Method(_) => None,
        });
        Self {
            issuers: issuers.collect(),
            role: role.clone(),
        }
    }

    fn is_given_to(&self, caller: &Caller) -> bool {
        let mut holders = self.role.given_to.iter().zip(&self.issuers);
        holders.any(|(holders, issuer)| has(caller, holders, *issuer))
    }
}

impl Roles {
    /// What `team` may use: its own, and what all teams share under other names.
    pub(crate) fn of_team(team: TeamId, resources: &[&Resource]) -> Self {
        let mut roles = Self::default();
        let own = |resource: &&&Resource| resource.team == team;
        let others = |resource: &&&Resource| resource.team != team && resource.is_shared();
        let shared = resources.iter().filter(others);
        for resource in shared.chain(resources.iter().filter(own)) {
            match &resource.spec {
                Spec::Role(role) => {
                    let name = resource.name.as_str().into();
                    let declared = DeclaredRole::new(resource.team, role, resources);
                    roles.declared.insert(name, declared);
                }
                Spec::Issuer(issuer) if !issuer.roles_from.is_empty() => {
                    let key = (resource.team, resource.name.clone());
                    roles.in_tokens.insert(key, issuer.roles_from.clone());
                }
                Spec::Issuer(_)
                | Spec::Upstream(_)
                | Spec::Api(_)
                | Spec::Credential(_)
                | Spec::AccessPolicy(_)
                | Spec::KeySet(_)
                | Spec::Webhook(_)
                | Spec::ManagementRole(_)
                | Spec::Provider(_)
                | Spec::Model(_)
                | Spec::Prompt(_) => {}
            }
        }
        // Our own tokens name roles as RFC 9068, section 2.2.3.1, says.
        if let (Ok(own), Some(path)) = (SELF.parse::<Name>(), ClaimPath::parse("roles")) {
            roles.in_tokens.insert((TeamId::DEFAULT, own), vec![path]);
        }
        roles
    }

    /// The roles that a caller has, those included in others among them; `Err` says why they can't be told.
    pub(crate) fn of(&self, caller: &Caller) -> Result<BTreeSet<Box<str>>, String> {
        let mut roles = self.in_token(caller)?;
        for (name, role) in &self.declared {
            if role.is_given_to(caller) {
                roles.insert(name.clone());
            }
        }
        let mut left: Vec<Box<str>> = roles.iter().cloned().collect();
        while let Some(name) = left.pop() {
            let included = self.declared.get(&name);
            let included = included.map(|declared| &declared.role.includes);
            for role in included.into_iter().flatten() {
                if roles.insert(role.as_str().into()) {
                    left.push(role.as_str().into());
                }
            }
        }
        Ok(roles)
    }

    fn in_token(&self, caller: &Caller) -> Result<BTreeSet<Box<str>>, String> {
        let mut roles = BTreeSet::new();
        // A credential of ours names its caller's roles itself, as texts.
        if caller.credential.is_some()
            && let Some(Value::Array(members)) = caller.claim("roles")
        {
            let named = members.iter().filter_map(Value::as_str);
            roles.extend(named.map(Into::into));
        }
        let issuer = caller.team.zip(caller.issuer_name.clone());
        let paths = issuer.and_then(|issuer| self.in_tokens.get(&issuer));
        for path in paths.into_iter().flatten() {
            match claim(caller, path) {
                None => {}
                Some(Value::String(role)) => {
                    roles.insert(role.into());
                }
                Some(Value::Array(members)) => {
                    if members.len() > TOKEN_ROLES_MAX {
                        return Err(format!(
                            "claim `{path}` names more than {TOKEN_ROLES_MAX} roles"
                        ));
                    }
                    for member in members {
                        match member {
                            Value::String(role) => {
                                roles.insert(role.into());
                            }
                            Value::Null
                            | Value::Bool(_)
                            | Value::Number(_)
                            | Value::Array(_)
                            | Value::Object(_) => return Err(no_roles(path)),
                        }
                    }
                }
                Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
                    return Err(no_roles(path));
                }
            }
        }
        Ok(roles)
    }
}

fn no_roles(path: &ClaimPath) -> String {
    format!("claim `{path}` is no list of roles: it has texts alone")
}

/// Whether a caller is one of these, for whom an issuer of the team `issuer` vouches, if any does.
fn has(caller: &Caller, holders: &Holders, issuer: Option<TeamId>) -> bool {
    let vouched = match &holders.vouched {
        Voucher::Issuer(name) => caller.issuer_name.as_ref() == Some(name) && caller.team == issuer,
        Voucher::Method(method) => caller.issuer_name.is_none() && caller.method == *method,
    };
    let among = |names: &BTreeSet<Box<str>>, name: Option<&str>| {
        names.is_empty() || name.is_some_and(|name| names.contains(name))
    };
    vouched
        && among(&holders.subjects, caller.subject())
        && among(&holders.clients, caller.client())
        && holders
            .scopes
            .iter()
            .all(|scope| caller.scopes.contains(scope))
        && holders
            .claims
            .iter()
            .all(|condition| fits(caller, condition).is_ok())
}
