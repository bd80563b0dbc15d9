//! Custom roles: what a team lets its members do, in Cedar.
//!
//! No custom role gives more than its team's owners have, in its team alone, and none gives what other rights follow
//! from ([`GIVING`]): whoever changes members, makes tokens or writes custom roles could give themselves everything.
//! So a custom role can't be used to become more, however it is written and whoever has it.

use super::action::{Action, Right, Subject};
use super::roles::{ManagementRole, Manager};
use super::{AUTHORIZER, Named, OWNED, built_in};
use crate::context::{date_and_time, hour, weekday};
use crate::error::Flaw;
use crate::policy::{explained, fatal, message, named, offset, word};
use crate::reads::Reads;
use crate::schema::uid;
use cedar_policy::{
    ActionConstraint, Context, Decision, Effect, Entities, Entity, EntityUid, Policy, PolicySet,
    Request, RestrictedExpression as Expression, Schema, ValidationMode, Validator,
};
use keyward_model::name::Name;
use keyward_model::resource::Kind;
use keyward_model::resource::raw::closest;
use keyward_model::resource::raw::field::listed;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

/// Rights that others follow from: owners and operators have them, and no custom role gives them.
pub(super) const GIVING: [Action; 3] = [
    Action::write(Subject::Members),
    Action::write(Subject::Tokens),
    Action::write(Subject::Resources(Kind::ManagementRole)),
];

/// The most policies in a role: all roles of a member are asked about each thing of a list.
const POLICIES_MAX: usize = 32;

/// Groups of actions: all that are looked at or changed, and all that a built-in role may do.
const READ: &str = "read";
const WRITE: &str = "write";
const OF_ROLES: [ManagementRole; 3] = [
    ManagementRole::Consumer,
    ManagementRole::Publisher,
    ManagementRole::Auditor,
];

/// What policies can ask about, by the variable.
const PRINCIPAL: &[&str] = &["name"];
const RESOURCE: &[&str] = &["kind", "name", "version"];
const CONTEXT: &[&str] = &["address", "time", "hour", "weekday"];

static VOCABULARY: LazyLock<Option<Vocabulary>> = LazyLock::new(Vocabulary::read);

/// What custom roles are checked against.
struct Vocabulary {
    schema: Schema,
    actions: Entities,
    /// Each action with the groups that it is in, and no other: all that most roles ask for, and soon copied.
    apart: BTreeMap<Action, Entities>,
}

impl Vocabulary {
    /// `None` only if this crate's own text were wrong, and then there are no custom roles.
    fn read() -> Option<Self> {
        let (schema, _) = Schema::from_cedarschema_str(&schema_text()).ok()?;
        let actions = schema.action_entities().ok()?;
        let mut apart = BTreeMap::new();
        for action in OWNED.iter() {
            let of = uid("Action", &action.to_string())?;
            let some = actions.iter().filter(|entity| {
                let id = entity.uid();
                id == of || actions.is_ancestor_of(&id, &of)
            });
            let some = Entities::from_entities(some.cloned(), None).ok()?;
            apart.insert(*action, some);
        }
        Some(Self {
            schema,
            actions,
            apart,
        })
    }
}

/// The schema: the actions of an owner and no others, so that what no custom role can be about is told as unknown.
fn schema_text() -> String {
    let mut text = String::from(
        "entity Manager { name: String };\n\
         entity Managed { kind: String, name?: String, version?: String };\n\
         type Circumstances = { address: ipaddr, time: datetime, hour: Long, weekday: Long };\n\
         action read, write, consumer, publisher, auditor;\n",
    );
    for action in OWNED.iter() {
        let right = match action.right {
            Right::Read => READ,
            Right::Write => WRITE,
        };
        let roles = OF_ROLES.into_iter().filter(|role| built_in(*role, *action));
        let groups: Vec<&str> = std::iter::once(right)
            .chain(roles.map(ManagementRole::as_str))
            .collect();
        // Writing to a string does not fail.
        let _infallible = writeln!(
            text,
            "action \"{action}\" in [{}] appliesTo {{ principal: Manager, resource: Managed, context: Circumstances }};",
            groups.join(", ")
        );
    }
    text
}

/// A custom role, ready to decide.
#[derive(Debug)]
pub struct CustomRole {
    policies: PolicySet,
    /// What its policies could allow, whatever their conditions say.
    gives: BTreeSet<Action>,
    /// Whether a policy of it forbids.
    forbids: bool,
    /// Whether a condition names actions, which may be others than the one that is asked about.
    names_actions: bool,
}

/// A custom role that somebody has. One that can't be used may be the one that forbids: then nothing is allowed.
#[derive(Clone, Debug)]
pub struct HeldRole {
    /// What it is called.
    pub name: Name,
    /// The role, or why it can't be used.
    pub role: Result<Arc<CustomRole>, Box<str>>,
}

/// What is wrong with a custom role, in the order of its text.
#[must_use]
pub fn check_role(name: &str, text: &str) -> Vec<Flaw> {
    let mut flaws = match compile(name, text) {
        Ok((_, warnings)) => warnings,
        Err(flaws) => flaws,
    };
    flaws.sort_by_key(|flaw| flaw.offset);
    flaws
}

impl CustomRole {
    /// Compiles the text of a role.
    ///
    /// # Errors
    /// What is wrong with it, the first of all.
    pub fn new(name: &str, text: &str) -> Result<Self, Box<str>> {
        let compiled = compile(name, text).map_err(|flaws| {
            let first = flaws.into_iter().find(|flaw| flaw.fatal);
            first.map_or_else(Box::default, |flaw| flaw.message.into())
        });
        compiled.map(|(role, _)| role)
    }

    /// Whether it could allow this of something.
    pub(super) fn may_give(&self, action: Action) -> bool {
        self.gives.contains(&action)
    }

    /// Whether it takes something away from whoever has it.
    pub(super) fn forbids(&self) -> bool {
        self.forbids
    }

    /// Whether it has to see all actions to decide about one.
    pub(super) fn names_actions(&self) -> bool {
        self.names_actions
    }

    /// What it says.
    pub(super) fn decide(&self, asked: &Asked) -> Verdict {
        let response = AUTHORIZER.is_authorized(&asked.request, &self.policies, &asked.entities);
        let diagnostics = response.diagnostics();
        if let Some(error) = diagnostics.errors().next() {
            return Verdict::Failed(error.to_string().into());
        }
        let mut reasons: Vec<String> = diagnostics.reason().map(ToString::to_string).collect();
        reasons.sort();
        let reason = reasons.into_iter().next().map(Arc::from);
        match (response.decision(), reason) {
            (Decision::Allow, Some(policy)) => Verdict::Allows(policy),
            (Decision::Deny, Some(policy)) => Verdict::Forbids(policy),
            (Decision::Allow | Decision::Deny, None) => Verdict::Silent,
        }
    }
}

/// What a role says of a call, with the policy that says so.
pub(super) enum Verdict {
    Allows(Arc<str>),
    Forbids(Arc<str>),
    /// A policy could not be evaluated: it may be the one that forbids.
    Failed(Box<str>),
    Silent,
}

/// A call as custom roles see it.
pub(super) struct Asked {
    request: Request,
    entities: Entities,
}

impl Asked {
    /// With all actions where a role asks for others than this one.
    pub(super) fn new(
        manager: &Manager,
        action: Action,
        of: Option<Named<'_>>,
        all_actions: bool,
    ) -> Option<Self> {
        let vocabulary = VOCABULARY.as_ref()?;
        let text = |text: &str| Expression::new_string(text.to_owned());
        let principal = uid("Manager", &manager.name)?;
        let called = HashMap::from([("name".to_owned(), text(&manager.name))]);
        let who = Entity::new(principal.clone(), called, HashSet::new()).ok()?;
        let kind = action.subject.as_str();
        let mut attributes = HashMap::from([("kind".to_owned(), text(kind))]);
        let mut id = kind.to_owned();
        if let Some(Named { name, version }) = of {
            attributes.insert("name".to_owned(), text(name));
            id = format!("{id}/{name}");
            if let Some(version) = version {
                attributes.insert("version".to_owned(), text(version));
                id = format!("{id}:{version}");
            }
        }
        let managed = uid("Managed", &id)?;
        let what = Entity::new(managed.clone(), attributes, HashSet::new()).ok()?;
        let apart = vocabulary.apart.get(&action).filter(|_| !all_actions);
        let entities = apart.unwrap_or(&vocabulary.actions).clone();
        let entities = entities.add_entities([who, what], None).ok()?;
        let (address, at) = (manager.address.to_canonical(), manager.at);
        let context = Context::from_pairs([
            (
                "address".to_owned(),
                Expression::new_ip(address.to_string()),
            ),
            (
                "time".to_owned(),
                Expression::new_datetime(date_and_time(at)),
            ),
            ("hour".to_owned(), Expression::new_long(hour(at))),
            ("weekday".to_owned(), Expression::new_long(weekday(at))),
        ]);
        let of_action = uid("Action", &action.to_string())?;
        let request = Request::new(principal, of_action, managed, context.ok()?, None);
        Some(Self {
            request: request.ok()?,
            entities,
        })
    }
}

fn compile(name: &str, text: &str) -> Result<(CustomRole, Vec<Flaw>), Vec<Flaw>> {
    let Some(vocabulary) = VOCABULARY.as_ref() else {
        let why = "this version has no schema for roles".to_owned();
        return Err(vec![fatal(None, "cedar_schema", why)]);
    };
    let policies = named(name, text)?;
    if policies.len() > POLICIES_MAX {
        let why = format!(
            "{} policies, where a role has {POLICIES_MAX} at most: put what belongs together into one, with `in [ … ]` and `||`",
            policies.len()
        );
        return Err(vec![fatal(None, "too_many", why)]);
    }
    let mut flaws = Vec::new();
    let mut reads = Reads::default();
    let mut gives = BTreeSet::new();
    let (mut forbids, mut names_actions) = (false, false);
    for (called, policy) in &policies {
        match policy.to_json() {
            Ok(json) => {
                // An entity's type stands there as it is; a text that only reads so costs a little time.
                let conditions = json.get("conditions").map(ToString::to_string);
                names_actions |= conditions.is_none_or(|text| text.contains("\"Action\""));
                reads.extend(&Reads::of(&json));
            }
            Err(error) => flaws.push(fatal(None, "cedar", error.to_string())),
        }
        match policy.effect() {
            Effect::Forbid => forbids = true,
            Effect::Permit => gives.extend(given(vocabulary, policy, (called, text), &mut flaws)),
        }
    }
    let unknown = unknown(text, &reads, &mut flaws);
    let set = PolicySet::from_policies(policies.into_iter().map(|(_, policy)| policy))
        .map_err(|error| vec![fatal(None, "cedar", error.to_string())])?;
    let validated =
        Validator::new(vocabulary.schema.clone()).validate(&set, ValidationMode::Strict);
    for error in validated.validation_errors() {
        let message = explained(error, name);
        let mut told = unknown.iter();
        if told.any(|name| message.contains(&format!("`{name}`"))) {
            // Told in our words already.
            continue;
        }
        flaws.push(Flaw {
            offset: offset(error),
            message,
            code: "cedar_type",
            fatal: true,
        });
    }
    flaws.extend(validated.validation_warnings().map(|warning| Flaw {
        offset: offset(warning),
        message: message(warning),
        code: "cedar_warning",
        fatal: false,
    }));
    if flaws.iter().any(|flaw| flaw.fatal) {
        return Err(flaws);
    }
    let role = CustomRole {
        policies: set,
        gives,
        forbids,
        names_actions,
    };
    Ok((role, flaws))
}

/// What a policy that permits could allow. Naming what no custom role gives is a mistake of whoever wrote it.
fn given(
    vocabulary: &Vocabulary,
    policy: &Policy,
    (called, text): (&str, &str),
    flaws: &mut Vec<Flaw>,
) -> Vec<Action> {
    let named: Option<Vec<EntityUid>> = match policy.action_constraint() {
        ActionConstraint::Any => None,
        ActionConstraint::In(actions) => Some(actions),
        ActionConstraint::Eq(action) => Some(vec![action]),
    };
    let covers = |action: &Action| {
        let Some(action) = uid("Action", &action.to_string()) else {
            return false;
        };
        named.as_ref().is_none_or(|named| {
            let mut named = named.iter();
            named.any(|group| *group == action || vocabulary.actions.is_ancestor_of(group, &action))
        })
    };
    for action in GIVING {
        let id = uid("Action", &action.to_string());
        if named
            .iter()
            .flatten()
            .any(|named| Some(named) == id.as_ref())
        {
            let at = text.find(&format!("\"{action}\""));
            let why = format!(
                "policy `{called}`: no custom role gives `{action}`, from which all other rights follow: owners alone have it"
            );
            flaws.push(fatal(at, "cedar_never_given", why));
        }
    }
    let all = OWNED.iter().copied();
    all.filter(|action| !GIVING.contains(action) && covers(action))
        .collect()
}

/// Attributes that nothing has: Cedar takes `x has typo && …` for a question whose answer is no.
fn unknown<'r>(text: &str, reads: &'r Reads, flaws: &mut Vec<Flaw>) -> Vec<&'r str> {
    let of_calls = [
        ("headers", &reads.headers),
        ("parameters", &reads.parameters),
    ];
    for (record, read) in of_calls {
        if !read.is_empty() || reads.whole_records.contains(record) {
            let why = format!(
                "`context` has no `{record}` here: it has {}",
                listed(CONTEXT)
            );
            flaws.push(fatal(word(text, record), "cedar_type", why));
        }
    }
    let mut found = Vec::new();
    let records = [
        ("context", &reads.context, CONTEXT),
        ("principal", &reads.caller, PRINCIPAL),
        ("resource", &reads.route, RESOURCE),
    ];
    for (record, read, known) in records {
        for name in read.iter().filter(|name| !known.contains(&&***name)) {
            let hint = match closest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("it has {}", listed(known)),
            };
            let message = format!("`{record}` has no `{name}`: {hint}");
            flaws.push(fatal(word(text, name), "cedar_type", message));
            found.push(&**name);
        }
    }
    found
}

#[cfg(test)]
mod tests;
