//! From what was written to a resource.

use super::field::{Field, Fields, listed};
use super::problem::Problems;
use super::{
    Node, Place, Value, access_policy, api, credential, issuer, key_set, management_role, model,
    prompt, provider, role, upstream, webhook,
};
use crate::id::TeamId;
use crate::name::Name;
use crate::resource::{Kind, Resource, Spec};
use crate::revision::Origin;

/// A resource with what it was read from, so that later checks can say where.
#[derive(Clone, Debug)]
pub struct Declared {
    /// What it means.
    pub resource: Resource,
    /// What was written.
    pub node: Node,
}

impl Declared {
    /// Where the resource begins.
    #[must_use]
    pub fn place(&self) -> Place {
        self.node.place
    }
}

/// Reads one resource. `None` when something is wrong with it; `problems` then says what.
pub fn read_resource(node: Node, origin: Origin, problems: &mut Problems) -> Option<Declared> {
    read_of(node, origin, None, problems)
}

/// Reads one resource of this team, which its own `team` can only confirm.
pub fn read_team_resource(
    node: Node,
    origin: Origin,
    team: (TeamId, &Name),
    problems: &mut Problems,
) -> Option<Declared> {
    read_of(node, origin, Some(team), problems)
}

fn read_of(
    node: Node,
    origin: Origin,
    owner: Option<(TeamId, &Name)>,
    problems: &mut Problems,
) -> Option<Declared> {
    let mut own = Problems::new();
    let resource = resource(&node, origin, owner, &mut own);
    let failed = own.has_errors();
    problems.extend(own);
    let resource = resource.filter(|_| !failed)?;
    Some(Declared { resource, node })
}

/// The keys that a resource of this kind may have, beside `kind`, `team` and `name`.
#[must_use]
pub const fn known_keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Issuer => issuer::KEYS,
        Kind::Upstream => upstream::KEYS,
        Kind::Api => api::KEYS,
        Kind::Credential => credential::KEYS,
        Kind::Role => role::KEYS,
        Kind::AccessPolicy => access_policy::KEYS,
        Kind::KeySet => key_set::KEYS,
        Kind::Webhook => webhook::KEYS,
        Kind::ManagementRole => management_role::KEYS,
        Kind::Provider => provider::KEYS,
        Kind::Model => model::KEYS,
        Kind::Prompt => prompt::KEYS,
    }
}

fn resource(
    node: &Node,
    origin: Origin,
    owner: Option<(TeamId, &Name)>,
    problems: &mut Problems,
) -> Option<Resource> {
    let kind = kind(node, problems)?;
    let known: Vec<&str> = ["kind", "team", "name"]
        .iter()
        .chain(known_keys(kind))
        .copied()
        .collect();
    let what = match kind {
        Kind::Issuer => "an issuer",
        Kind::Upstream => "an upstream",
        Kind::Api => "an api",
        Kind::Credential => "a credential",
        Kind::Role => "a role",
        Kind::AccessPolicy => "an access policy",
        Kind::KeySet => "a key set",
        Kind::Webhook => "a webhook",
        Kind::ManagementRole => "a management role",
        Kind::Provider => "a provider",
        Kind::Model => "a model",
        Kind::Prompt => "a prompt",
    };
    let fields = Fields::of(node, what, &known, problems)?;
    let (team_id, team) = match (owner, fields.optional("team")) {
        (None, None) => (TeamId::DEFAULT, Some(Name::default_team())),
        (None, Some(field)) => (TeamId::DEFAULT, team(field, problems)),
        (Some((id, owner)), None) => (id, Some(owner.clone())),
        (Some((id, owner)), Some(field)) => (id, same_team(field, owner, problems)),
    };
    let name = fields
        .required("name", "every resource has one", problems)
        .and_then(|field| name(field, problems));
    let spec = match kind {
        Kind::Issuer => issuer::read(&fields, problems).map(Spec::Issuer),
        Kind::Upstream => {
            upstream::read(&fields, problems).map(|upstream| Spec::Upstream(Box::new(upstream)))
        }
        Kind::Api => api::read(&fields, problems).map(Spec::Api),
        Kind::Credential => credential::read(&fields, name.as_ref(), problems)
            .map(|credential| Spec::Credential(Box::new(credential))),
        Kind::Role => role::read(&fields, problems).map(|role| Spec::Role(Box::new(role))),
        Kind::AccessPolicy => access_policy::read(&fields, problems)
            .map(|policy| Spec::AccessPolicy(Box::new(policy))),
        Kind::KeySet => key_set::read(&fields, problems).map(|set| Spec::KeySet(Box::new(set))),
        Kind::Webhook => {
            webhook::read(&fields, problems).map(|webhook| Spec::Webhook(Box::new(webhook)))
        }
        Kind::ManagementRole => management_role::read(&fields, name.as_ref(), problems)
            .map(|role| Spec::ManagementRole(Box::new(role))),
        Kind::Provider => provider::read(&fields, name.as_ref(), problems)
            .map(|provider| Spec::Provider(Box::new(provider))),
        Kind::Model => model::read(&fields, problems).map(|model| Spec::Model(Box::new(model))),
        Kind::Prompt => {
            prompt::read(&fields, problems).map(|prompt| Spec::Prompt(Box::new(prompt)))
        }
    };
    Some(Resource {
        team: team_id,
        team_name: team?,
        name: name?,
        origin,
        spec: spec?,
    })
}

fn kind(node: &Node, problems: &mut Problems) -> Option<Kind> {
    if !matches!(node.value, Value::Map(_)) {
        problems.error(
            node.place,
            "wrong_type",
            format!(
                "a resource is a mapping of keys to values, not {}",
                node.shown()
            ),
        );
        return None;
    }
    let Some(kind) = node.get("kind") else {
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        problems.error(
            node.place,
            "missing_key",
            format!(
                "`kind` is missing: a resource says what it is, one of {}",
                listed(&kinds)
            ),
        );
        return None;
    };
    let words = Kind::ALL.map(|kind| (kind.as_str(), kind));
    Field::of("kind", kind).one_of(&words, problems)
}

fn same_team(field: Field<'_>, owner: &Name, problems: &mut Problems) -> Option<Name> {
    let team = name(field, problems)?;
    if team != *owner {
        field.refuse("is another team than the one it is declared in", problems);
        return None;
    }
    Some(team)
}

/// Files are the node's own: they declare for the team `default`. Other teams declare through the management API.
fn team(field: Field<'_>, problems: &mut Problems) -> Option<Name> {
    let team = name(field, problems)?;
    if team != Name::default_team() {
        field.refuse(
            "is no team that files declare for: that is the team `default` alone (leave `team` out); others declare through the management API",
            problems,
        );
        return None;
    }
    Some(team)
}

/// A resource's name.
pub(super) fn name(field: Field<'_>, problems: &mut Problems) -> Option<Name> {
    field.parsed(
        |text| text.parse().ok(),
        "is no name: use 1 to 63 lower-case letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
        problems,
    )
}
