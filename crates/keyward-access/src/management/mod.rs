//! Who may manage what: roles in teams as Cedar policies, built-in ones and custom ones, and tokens' scopes.
//!
//! [`decide`] is the one place that says yes or no, and the one that makes a [`ManagementPermit`]: what changes or
//! shows anything asks for one, so that forgetting the question does not compile.

mod action;
mod custom_role;
mod roles;
#[cfg(test)]
mod tests;

pub use action::{Action, Right, Subject};
pub use custom_role::{CustomRole, HeldRole, check_role};
pub use roles::{GivenRole, ManagementRole, Manager, Scope};

use crate::schema::uid;
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicyId, PolicySet, Request,
    RestrictedExpression as Expression, Schema,
};
use custom_role::{Asked, GIVING, Verdict};
use keyward_model::Timestamp;
use keyward_model::id::TeamId;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
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
            policies: named(&PolicySet::from_str(POLICIES).ok()?)?,
            actions: schema.action_entities().ok()?,
        })
    }
}

/// The policies by what they say that they are called.
fn named(policies: &PolicySet) -> Option<PolicySet> {
    let policies = policies.policies().map(|policy| {
        let id = policy.annotation("id")?;
        Some(policy.new_id(PolicyId::new(id)))
    });
    let policies: Vec<_> = policies.collect::<Option<_>>()?;
    PolicySet::from_policies(policies).ok()
}

/// All that an owner may do in a team: nothing beyond it is in any custom role.
static OWNED: LazyLock<BTreeSet<Action>> = LazyLock::new(|| {
    let all = Action::all();
    all.filter(|action| built_in(ManagementRole::Owner, *action))
        .collect()
});

/// Whether a built-in role by itself allows something in its team.
fn built_in(role: ManagementRole, action: Action) -> bool {
    let team = TeamId::from_u128(u128::MAX);
    let anyone = Manager {
        name: Box::default(),
        roles: BTreeMap::from([(team, BTreeSet::from([role]))]),
        custom: BTreeMap::new(),
        scopes: Scope::all().collect(),
        team,
        token: Box::default(),
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        at: Timestamp::from_micros(0),
    };
    allowed(&anyone, action, Place::Team(team)).is_some()
}

/// A thing of a team, where the decision may depend on which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// What it is called.
    pub name: &'a str,
    /// The version of an API.
    pub version: Option<&'a str>,
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

/// Proof that somebody may do something somewhere. Only [`decide`] and its kin make one.
#[derive(Clone, Debug)]
pub struct ManagementPermit {
    manager: Arc<Manager>,
    action: Action,
    place: Place,
    /// The policy that allowed it.
    policy: Arc<str>,
    /// The built-in role that allows it, whatever the thing is called; unless a custom one forbids it.
    built_in: Option<Arc<str>>,
    /// Whether it holds whatever the thing is called.
    whole: bool,
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

    /// The policy that allowed it: a built-in role, or one of a custom role, as `ROLE/POLICY`.
    #[must_use]
    pub fn policy(&self) -> &Arc<str> {
        &self.policy
    }

    /// The same for one thing, which may be another question.
    ///
    /// # Errors
    /// Why not this one.
    pub fn of(&self, named: Named<'_>) -> Result<Self, ManagementRefusal> {
        if self.whole {
            return Ok(self.clone());
        }
        let (manager, action) = (&self.manager, self.action);
        let built_in = self.built_in.clone();
        decided(manager, action, self.place, Some(built_in), |custom| {
            says(custom, manager, action, Some(named))
        })
    }
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// A custom role forbids it.
    #[error("the policy `{0}` forbids this")]
    Forbidden(Arc<str>),
    /// Whoever is held back by a role that forbids gives no rights: they could take that away.
    #[error("the role `{0}` forbids something, and whoever has it gives no rights")]
    HeldBack(Box<str>),
    /// A custom role can't be used, and may be the one that forbids.
    #[error("the role `{role}` can't be used: {why}")]
    Unusable {
        /// Which.
        role: Box<str>,
        /// Why.
        why: Box<str>,
    },
}

/// Whether `manager` may do this here, whatever it is done to.
///
/// ```
/// use keyward_access::management::{Action, ManagementRole, Manager, Place, Scope, Subject, decide};
/// use keyward_model::Timestamp;
/// use keyward_model::id::TeamId;
/// use keyward_model::resource::Kind;
/// use std::collections::{BTreeMap, BTreeSet};
/// use std::sync::Arc;
///
/// let auditor = Arc::new(Manager {
///     name: "alice".into(),
///     roles: BTreeMap::from([(TeamId::DEFAULT, BTreeSet::from([ManagementRole::Auditor]))]),
///     custom: BTreeMap::new(),
///     scopes: Scope::all().collect(),
///     team: TeamId::DEFAULT,
///     token: "t1".into(),
///     address: [127, 0, 0, 1].into(),
///     at: Timestamp::from_seconds(1_795_000_000),
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
    decide_of(manager, action, place, None)
}

/// The same of one thing, by its name.
///
/// # Errors
/// Why not.
pub fn decide_of(
    manager: &Arc<Manager>,
    action: Action,
    place: Place,
    of: Option<Named<'_>>,
) -> Result<ManagementPermit, ManagementRefusal> {
    decided(manager, action, place, None, |custom| {
        says(custom, manager, action, of)
    })
}

/// Whether `manager` may do this here to something, of which is not known yet what it is called: each is then asked about
/// by [`ManagementPermit::of`].
///
/// # Errors
/// Why it can be nothing.
pub fn decide_any(
    manager: &Arc<Manager>,
    action: Action,
    place: Place,
) -> Result<ManagementPermit, ManagementRefusal> {
    decided(manager, action, place, None, |custom| {
        let mut custom = custom.iter();
        let gives = custom.find(|(_, role)| role.may_give(action));
        Ok(gives.map(|(name, _)| Arc::from(*name)))
    })
}

/// What custom roles that can be used say: the policy that allows it, if one does.
type Said = Result<Option<Arc<str>>, ManagementRefusal>;

/// Where it is known already which built-in role allows it, it is not asked again.
fn decided(
    manager: &Arc<Manager>,
    action: Action,
    place: Place,
    built_in: Option<Option<Arc<str>>>,
    ask: impl FnOnce(&[(&str, &CustomRole)]) -> Said,
) -> Result<ManagementPermit, ManagementRefusal> {
    if let Place::Team(team) = place
        && !manager.sees(team)
    {
        return Err(ManagementRefusal::Hidden);
    }
    let wanted = Scope::One(action);
    let custom = match place {
        // Whoever runs the deployment is not bound by what a team says.
        Place::Team(team) if !manager.is_operator() => manager.custom_in(team),
        Place::Team(_) | Place::Deployment => &[],
    };
    let mut said = None;
    if !custom.is_empty() && manager.covers(wanted) {
        let custom = usable(custom)?;
        said = ask(&custom)?;
        if GIVING.contains(&action) {
            let mut held_back = custom.iter().filter(|(_, role)| role.forbids());
            if let Some((name, _)) = held_back.next() {
                return Err(ManagementRefusal::HeldBack((*name).into()));
            }
        }
    }
    // Once more, though no role is compiled that gives it.
    let said = said.filter(|_| OWNED.contains(&action) && !GIVING.contains(&action));
    let built_in = built_in.unwrap_or_else(|| allowed(manager, action, place));
    let Some(policy) = built_in.clone().or(said) else {
        return Err(if manager.covers(wanted) {
            ManagementRefusal::Role
        } else {
            ManagementRefusal::Scope
        });
    };
    Ok(ManagementPermit {
        manager: Arc::clone(manager),
        action,
        place,
        policy,
        built_in,
        whole: custom.is_empty(),
    })
}

/// The roles, if all of them can be used.
fn usable(held: &[HeldRole]) -> Result<Vec<(&str, &CustomRole)>, ManagementRefusal> {
    let usable = held.iter().map(|held| match &held.role {
        Ok(role) => Ok((held.name.as_str(), &**role)),
        Err(why) => Err(ManagementRefusal::Unusable {
            role: held.name.as_str().into(),
            why: why.clone(),
        }),
    });
    usable.collect()
}

/// What forbids counts before what allows, in whichever role it stands.
fn says(
    custom: &[(&str, &CustomRole)],
    manager: &Manager,
    action: Action,
    of: Option<Named<'_>>,
) -> Said {
    let unusable = |role: &str, why: &str| ManagementRefusal::Unusable {
        role: role.into(),
        why: why.into(),
    };
    let all_actions = custom.iter().any(|(_, role)| role.names_actions());
    let Some(asked) = Asked::new(manager, action, of, all_actions) else {
        let first = custom.first().map(|(name, _)| *name);
        return Err(unusable(
            first.unwrap_or_default(),
            "the call can't be put before it",
        ));
    };
    let mut allows = None;
    for (name, role) in custom {
        match role.decide(&asked) {
            Verdict::Allows(policy) => allows = allows.or(Some(policy)),
            Verdict::Forbids(policy) => return Err(ManagementRefusal::Forbidden(policy)),
            Verdict::Failed(why) => return Err(unusable(name, &why)),
            Verdict::Silent => {}
        }
    }
    Ok(allows)
}

/// The built-in role that allows this. None when anything goes wrong.
fn allowed(manager: &Manager, action: Action, place: Place) -> Option<Arc<str>> {
    let rules = RULES.as_ref()?;
    let (request, entities) = asked(rules, manager, action, place)?;
    let response = AUTHORIZER.is_authorized(&request, &rules.policies, &entities);
    let diagnostics = response.diagnostics();
    // A rule that can't be evaluated may be the one that forbids.
    let errors = diagnostics.errors().next().is_some();
    if response.decision() != Decision::Allow || errors {
        return None;
    }
    let mut policies: Vec<String> = diagnostics.reason().map(ToString::to_string).collect();
    policies.sort();
    policies.into_iter().next().map(Arc::from)
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
