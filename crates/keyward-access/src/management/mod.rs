//! Who may manage what: roles in teams as Cedar policies, and tokens' scopes.
//!
//! [`decide`] is the one place that says yes or no, and the one that makes a [`ManagementPermit`]: what changes or
//! shows anything asks for one, so that forgetting the question does not compile.

mod action;
mod roles;
#[cfg(test)]
mod tests;

pub use action::{Action, Right, Subject};
pub use roles::{ManagementRole, Manager, Scope};

use crate::schema::uid;
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request,
    RestrictedExpression as Expression, Schema,
};
use keyward_model::id::TeamId;
use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

const POLICIES: &str = include_str!("roles.cedar");
const SCHEMA: &str = include_str!("schema.cedarschema");

static AUTHORIZER: LazyLock<Authorizer> = LazyLock::new(Authorizer::new);
static RULES: LazyLock<Option<Rules>> = LazyLock::new(Rules::read);

/// The roles as policies, with the groups that actions are in.
struct Rules {
    policies: PolicySet,
    actions: Entities,
}

impl Rules {
    /// `None` only if this crate's own text were wrong, and then nobody may do anything.
    fn read() -> Option<Self> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).ok()?;
        Some(Self {
            policies: PolicySet::from_str(POLICIES).ok()?,
            actions: schema.action_entities().ok()?,
        })
    }
}

/// Where something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In a team.
    Team(TeamId),
    /// In the deployment as a whole.
    Deployment,
}

impl Place {
    /// The team, if it is one.
    #[must_use]
    pub fn team(self) -> Option<TeamId> {
        match self {
            Self::Team(team) => Some(team),
            Self::Deployment => None,
        }
    }
}

/// Proof that somebody may do something somewhere. Only [`decide`] makes one.
#[derive(Clone, Debug)]
pub struct ManagementPermit {
    manager: Arc<Manager>,
    action: Action,
    place: Place,
}

impl ManagementPermit {
    /// Who may.
    #[must_use]
    pub fn manager(&self) -> &Arc<Manager> {
        &self.manager
    }

    /// What they may do.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// Where.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManagementRefusal {
    /// They don't know the team, and are not to learn of it.
    #[error("there is no such team, as far as they know")]
    Hidden,
    /// None of their roles allows it.
    #[error("none of the roles allows this")]
    Role,
    /// A role allows it, and what they have shown does not go so far.
    #[error("the token's scopes do not allow this")]
    Scope,
}

/// Whether `manager` may do this here.
///
/// ```
/// use keyward_access::management::{Action, ManagementRole, Manager, Place, Scope, Subject, decide};
/// use keyward_model::id::TeamId;
/// use keyward_model::resource::Kind;
/// use std::collections::{BTreeMap, BTreeSet};
/// use std::sync::Arc;
///
/// let auditor = Arc::new(Manager {
///     name: "alice".into(),
///     roles: BTreeMap::from([(TeamId::DEFAULT, BTreeSet::from([ManagementRole::Auditor]))]),
///     scopes: Scope::all().collect(),
///     team: TeamId::DEFAULT,
///     token: "t1".into(),
/// });
/// let here = Place::Team(TeamId::DEFAULT);
/// let apis = Subject::Resources(Kind::Api);
/// assert!(decide(&auditor, Action::read(apis), here).is_ok());
/// assert!(decide(&auditor, Action::write(apis), here).is_err());
/// ```
///
/// # Errors
/// Why not.
pub fn decide(
    manager: &Arc<Manager>,
    action: Action,
    place: Place,
) -> Result<ManagementPermit, ManagementRefusal> {
    if let Place::Team(team) = place
        && !manager.sees(team)
    {
        return Err(ManagementRefusal::Hidden);
    }
    if !allowed(manager, action, place) {
        let wanted = Scope::One(action);
        return Err(if manager.covers(wanted) {
            ManagementRefusal::Role
        } else {
            ManagementRefusal::Scope
        });
    }
    Ok(ManagementPermit {
        manager: Arc::clone(manager),
        action,
        place,
    })
}

/// No when anything goes wrong.
fn allowed(manager: &Manager, action: Action, place: Place) -> bool {
    let Some(rules) = RULES.as_ref() else {
        return false;
    };
    let Some((request, entities)) = asked(rules, manager, action, place) else {
        return false;
    };
    let response = AUTHORIZER.is_authorized(&request, &rules.policies, &entities);
    // A rule that can't be evaluated may be the one that forbids.
    let errors = response.diagnostics().errors().next().is_some();
    response.decision() == Decision::Allow && !errors
}

fn asked(
    rules: &Rules,
    manager: &Manager,
    action: Action,
    place: Place,
) -> Option<(Request, Entities)> {
    let principal = uid("Manager", &manager.name)?;
    let (resource, roles) = match place {
        Place::Team(team) => (team.to_string(), manager.roles.get(&team)),
        Place::Deployment => ("deployment".to_owned(), None),
    };
    let text = |text: &str| Expression::new_string(text.to_owned());
    let roles = roles.into_iter().flatten().map(|role| text(role.as_str()));
    let scopes = manager.scopes.iter().map(|scope| text(&scope.to_string()));
    let attributes = HashMap::from([
        (
            "operator".to_owned(),
            Expression::new_bool(manager.is_operator()),
        ),
        ("roles".to_owned(), Expression::new_set(roles)),
        ("scopes".to_owned(), Expression::new_set(scopes)),
    ]);
    let entity = Entity::new(principal.clone(), attributes, HashSet::new()).ok()?;
    let entities = rules.actions.clone().add_entities([entity], None).ok()?;
    let context = Context::from_pairs([
        ("scope".to_owned(), text(&action.to_string())),
        ("right".to_owned(), text(action.right.as_str())),
    ]);
    let of_action: EntityUid = uid("Action", &action.to_string())?;
    let request = Request::new(
        principal,
        of_action,
        uid("Place", &resource)?,
        context.ok()?,
        None,
    );
    Some((request.ok()?, entities))
}
