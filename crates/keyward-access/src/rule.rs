//! What one route asks of a call, and the decision.

use crate::call::{Call, action};
use crate::claims::{claim, fits, kind};
use crate::context::context;
use crate::decision::{Decision, Refusal};
use crate::error::Error;
use crate::facts::Facts;
use crate::memory::{Known, Memory};
use crate::policy::CompiledPolicy;
use crate::reads::Reads;
use crate::roles::Roles;
use crate::schema::{METHODS, uid};
use cedar_policy::{
    Authorizer, Effect, Entities, Entity, EntityUid, Policy, PolicyId, PolicySet, Request,
    Response, RestrictedExpression as Expression,
};
use keyward_model::Caller;
use keyward_model::resource::access_policy::ClaimType;
use keyward_model::resource::authorization::{Authorization, ClaimPath};
use keyward_model::usage::RouteLabels;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

static AUTHORIZER: LazyLock<Authorizer> = LazyLock::new(Authorizer::new);

/// Rules are told apart by number: what was remembered of one is never taken for another's.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What a route asks for besides scopes: what its API asks for, and what it asks for itself.
#[derive(Debug)]
pub struct Rule {
    number: u64,
    levels: Vec<Arc<Level>>,
    roles: Arc<Roles>,
    /// The route, as policies see it, and the API that it is in.
    route: EntityUid,
    places: Entities,
    /// Claims that policies read, and what they are.
    claims: Vec<(ClaimPath, ClaimType)>,
    /// The parameters of its path that policies read, and which segment of a path each is, from 0.
    parameters: Vec<(Box<str>, usize)>,
    /// What policies read of a call, where there are any.
    reads: Option<Reads>,
}

/// What an API, or a route, asks for.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) asked: Authorization,
    pub(crate) set: Option<Set>,
}

/// The policies that are attached in one place.
#[derive(Debug)]
pub(crate) struct Set {
    policies: PolicySet,
    names: HashMap<PolicyId, Arc<str>>,
    pub(crate) reads: Reads,
    pub(crate) claims: BTreeMap<Box<str>, ClaimType>,
    /// The names of the access policies.
    called: Arc<str>,
}

/// A caller as policies see it.
#[derive(Debug)]
pub(crate) struct Prepared {
    principal: EntityUid,
    entities: Entities,
}

/// One thing that was looked at, for people who want to know why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked for.
    pub asked: String,
    /// Whether it is so.
    pub passed: bool,
    /// How it came to that.
    pub why: String,
}

impl Set {
    /// All these policies, of which `names` are what their resources are called.
    pub(crate) fn new(compiled: &[Arc<CompiledPolicy>], names: &[&str]) -> Result<Self, Error> {
        let mut set = Self {
            policies: PolicySet::new(),
            names: HashMap::new(),
            reads: Reads::default(),
            claims: BTreeMap::new(),
            called: names.join(", ").into(),
        };
        for compiled in compiled {
            for (name, policy) in &compiled.policies {
                set.policies
                    .add(policy.clone())
                    .map_err(|error| Error::Cedar(error.to_string()))?;
                set.names.insert(policy.id().clone(), Arc::clone(name));
            }
            set.reads.extend(&compiled.reads);
            for (path, kind) in &compiled.claims {
                if let Some(other) = set.claims.insert(path.clone(), *kind)
                    && other != *kind
                {
                    return Err(Error::ClaimTypes {
                        claim: path.to_string(),
                        one: other.as_str(),
                        other: kind.as_str(),
                    });
                }
            }
        }
        Ok(set)
    }

    fn names<'i>(&self, ids: impl Iterator<Item = &'i PolicyId>) -> Arc<str> {
        let mut names: Vec<&Arc<str>> = ids.filter_map(|id| self.names.get(id)).collect();
        if let [only] = names.as_slice() {
            return Arc::clone(only);
        }
        names.sort_unstable();
        let names: Vec<&str> = names.into_iter().map(|name| &**name).collect();
        names.join(", ").into()
    }

    fn decide(&self, response: &Response) -> Decision {
        let diagnostics = response.diagnostics();
        // Cedar leaves a policy out that it can't evaluate. One that would have forbidden must not be left out.
        if let Some(error) = diagnostics.errors().next() {
            let why = error.to_string().replace('\n', " ");
            return refused(Refusal::Failed { why: why.into() });
        }
        match response.decision() {
            cedar_policy::Decision::Allow => {
                Decision::Allowed(Some(self.names(diagnostics.reason())))
            }
            cedar_policy::Decision::Deny if diagnostics.reason().next().is_some() => {
                refused(Refusal::Forbidden {
                    by: self.names(diagnostics.reason()),
                })
            }
            cedar_policy::Decision::Deny => refused(Refusal::NotPermitted {
                policies: Arc::clone(&self.called),
            }),
        }
    }
}

fn refused(refusal: Refusal) -> Decision {
    Decision::Refused(Arc::new(refusal))
}

fn failed(why: impl Into<Box<str>>) -> Decision {
    refused(Refusal::Failed { why: why.into() })
}

impl Rule {
    /// The rule of a route, of what its API and it ask for.
    pub(crate) fn new(
        labels: &RouteLabels,
        parameters: Vec<(Box<str>, usize)>,
        levels: Vec<Arc<Level>>,
        roles: Arc<Roles>,
    ) -> Result<Self, Error> {
        let unnamed = || Error::Cedar("an entity has no name".to_owned());
        let api_name = format!("{}/{}", labels.api, labels.version);
        let api = uid("Api", &api_name).ok_or_else(unnamed)?;
        let route = uid("Route", &format!("{api_name} {}", labels.route)).ok_or_else(unnamed)?;
        let text = |text: &str| Expression::new_string(text.to_owned());
        let of_api = [
            ("version", text(labels.version.as_str())),
            ("team", text(labels.team_name.as_str())),
        ];
        let mut of_route: HashMap<_, _> = of_api
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let mut attributes = of_route.clone();
        attributes.insert("name".to_owned(), text(labels.api.as_str()));
        of_route.insert("name".to_owned(), text(&labels.route));
        of_route.insert("api".to_owned(), text(labels.api.as_str()));
        let entity = |uid: &EntityUid, attributes, parents| {
            Entity::new(uid.clone(), attributes, parents)
                .map_err(|error| Error::Cedar(error.to_string()))
        };
        let mut places = vec![
            entity(&api, attributes, HashSet::new())?,
            entity(&route, of_route, HashSet::from([api.clone()]))?,
        ];
        // Which methods read and which write, is known by these.
        for (method, group) in METHODS {
            let method = uid("Action", method).ok_or_else(unnamed)?;
            let group = uid("Action", group).ok_or_else(unnamed)?;
            places.push(entity(&method, HashMap::new(), HashSet::from([group]))?);
        }
        let places = Entities::from_entities(places, None)
            .map_err(|error| Error::Cedar(error.to_string()))?;
        let sets = || levels.iter().filter_map(|level| level.set.as_ref());
        let mut claims: BTreeMap<&str, ClaimType> = BTreeMap::new();
        for set in sets() {
            for (path, kind) in &set.claims {
                if !set.reads.whole_claims && !set.reads.claims.contains(path) {
                    continue;
                }
                if let Some(other) = claims.insert(path, *kind)
                    && other != *kind
                {
                    return Err(Error::ClaimTypes {
                        claim: path.to_string(),
                        one: other.as_str(),
                        other: kind.as_str(),
                    });
                }
            }
        }
        let claims = claims
            .into_iter()
            .filter_map(|(path, kind)| Some((ClaimPath::parse(path)?, kind)))
            .collect();
        let reads = sets().map(|set| &set.reads).fold(None, |all, set| {
            let mut all: Reads = all.unwrap_or_default();
            all.extend(set);
            Some(all)
        });
        Ok(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            levels,
            roles,
            route,
            places,
            claims,
            parameters,
            reads,
        })
    }

    /// Whether the call of `caller` may pass. The scopes of which a caller needs all are not looked at again.
    ///
    /// `memory` is the caller's, if it has one: what does not differ from call to call is kept there.
    #[must_use]
    pub fn decide(
        &self,
        caller: &Caller,
        memory: Option<&mut Memory>,
        call: &Call<'_>,
    ) -> Decision {
        let mut unremembered = Known::default();
        let remembers = memory.is_some();
        let known = memory
            .and_then(|memory| memory.of(self.number, Known::default))
            .unwrap_or(&mut unremembered);
        let standing = known.standing.get_or_insert_with(|| self.standing(caller));
        let (true, Some(reads)) = (standing.is_allowed(), &self.reads) else {
            return standing.clone();
        };
        let Some(action) = action(call.method) else {
            return failed("the method is no action");
        };
        // Policies are a function of the caller, the route and what they read of the call: of a caller who is
        // remembered, each such call is evaluated once.
        let facts = remembers
            .then(|| Facts::of(reads, &self.parameters, call))
            .flatten();
        if let Some(decided) = facts.as_ref().and_then(|facts| known.decided(facts)) {
            return decided.clone();
        }
        let unprepared;
        let prepared = match &mut known.prepared {
            Some(prepared) => &**prepared,
            empty => match self.prepare(caller) {
                Err(why) => return failed(why),
                // As many calls as there are methods can be decided, and won't be decided again.
                Ok(prepared) if facts.is_some() && !reads.depends_on_the_call() => {
                    unprepared = prepared;
                    &unprepared
                }
                Ok(prepared) => &**empty.insert(Box::new(prepared)),
            },
        };
        let decision = self.by_policies(prepared, action, call);
        if let Some(facts) = &facts {
            known.remember(facts, &decision);
        }
        decision
    }

    /// What scopes, roles and claims say.
    fn standing(&self, caller: &Caller) -> Decision {
        let mut roles = None;
        for level in &self.levels {
            let asked = &level.asked;
            if !has_any_scope(caller, asked) {
                let scopes = joined(asked.any_scopes.iter().map(String::as_str), " ");
                return refused(Refusal::AnyScopeMissing { scopes });
            }
            if asked.asks_for_roles() {
                let held = match &roles {
                    Some(held) => held,
                    None => match self.roles.of(caller) {
                        Ok(held) => &*roles.insert(held),
                        Err(why) => return failed(why),
                    },
                };
                if let Some(missing) = missing_roles(held, asked) {
                    return refused(Refusal::RoleMissing { roles: missing });
                }
            }
            for condition in &asked.claims {
                if let Err(why) = fits(caller, condition) {
                    return refused(Refusal::ClaimUnfit { why: why.into() });
                }
            }
        }
        Decision::Allowed(None)
    }

    /// Each level must permit: what is attached to a route does not loosen what is attached to its API.
    fn by_policies(&self, prepared: &Prepared, action: &EntityUid, call: &Call<'_>) -> Decision {
        let mut by: Option<Arc<str>> = None;
        for set in self.levels.iter().filter_map(|level| level.set.as_ref()) {
            match self.evaluate(set, &set.policies, prepared, action, call) {
                Ok(response) => match set.decide(&response) {
                    Decision::Allowed(Some(name)) => {
                        by = Some(match by {
                            Some(before) => format!("{before}, {name}").into(),
                            None => name,
                        });
                    }
                    Decision::Allowed(None) => {}
                    refused @ Decision::Refused(_) => return refused,
                },
                Err(why) => return failed(why),
            }
        }
        Decision::Allowed(by)
    }

    fn evaluate(
        &self,
        set: &Set,
        policies: &PolicySet,
        prepared: &Prepared,
        action: &EntityUid,
        call: &Call<'_>,
    ) -> Result<Response, String> {
        let context = context(&set.reads, &self.parameters, call)?;
        let request = Request::new(
            prepared.principal.clone(),
            action.clone(),
            self.route.clone(),
            context,
            None,
        )
        .map_err(|error| error.to_string())?;
        Ok(AUTHORIZER.is_authorized(&request, policies, &prepared.entities))
    }

    /// The caller as an entity, with the route and its API beside it.
    fn prepare(&self, caller: &Caller) -> Result<Prepared, String> {
        let roles = self.roles.of(caller)?;
        let unnamed = || "an entity has no name".to_owned();
        let principal = uid("Caller", &name_of(caller)).ok_or_else(unnamed)?;
        let text = |text: &str| Expression::new_string(text.to_owned());
        let mut attributes = HashMap::from([
            ("method".to_owned(), text(caller.method.as_str())),
            (
                "scopes".to_owned(),
                Expression::new_set(caller.scopes.iter().map(text)),
            ),
            (
                "roles".to_owned(),
                Expression::new_set(roles.iter().map(|role| text(role))),
            ),
            ("claims".to_owned(), self.claims(caller)?),
        ]);
        for (name, value) in [
            ("issuer", caller.issuer.as_deref()),
            ("subject", caller.subject()),
            ("client", caller.client()),
        ] {
            if let Some(value) = value {
                attributes.insert(name.to_owned(), text(value));
            }
        }
        let parents: Option<HashSet<EntityUid>> =
            roles.iter().map(|role| uid("Role", role)).collect();
        let parents = parents.ok_or_else(unnamed)?;
        let entity = Entity::new(principal.clone(), attributes, parents)
            .map_err(|error| error.to_string())?;
        // The places are shared by all callers.
        let entities = self
            .places
            .clone()
            .add_entities([entity], None)
            .map_err(|error| error.to_string())?;
        Ok(Prepared {
            principal,
            entities,
        })
    }

    /// The claims that policies read. One of another type than was declared is no claim that a policy could
    /// be right about.
    fn claims(&self, caller: &Caller) -> Result<Expression, String> {
        let mut record = Vec::new();
        for (path, declared) in &self.claims {
            let Some(value) = claim(caller, path) else {
                continue;
            };
            let Some(expression) = typed(&value, *declared) else {
                return Err(format!(
                    "claim `{path}` is {}, and the policies read it as {}",
                    kind(Some(&value)),
                    declared.as_str()
                ));
            };
            record.push((path.as_str().to_owned(), expression));
        }
        Expression::new_record(record).map_err(|error| error.to_string())
    }

    /// Everything that [`decide`](Self::decide) looks at, with what came of it, also after a refusal.
    #[must_use]
    pub fn explain(&self, caller: &Caller, call: &Call<'_>) -> Vec<Check> {
        let mut checks = Vec::new();
        let held = self.roles.of(caller);
        for level in &self.levels {
            let asked = &level.asked;
            if !asked.any_scopes.is_empty() {
                let any = joined(asked.any_scopes.iter().map(String::as_str), ", ");
                let held = joined(caller.scopes.iter(), ", ");
                checks.push(Check {
                    asked: format!("one of the scopes {any}"),
                    passed: has_any_scope(caller, asked),
                    why: format!("the caller has {}", or_none(&held)),
                });
            }
            if asked.asks_for_roles() {
                checks.extend(explain_roles(&held, asked));
            }
            for condition in &asked.claims {
                let outcome = fits(caller, condition);
                checks.push(Check {
                    asked: format!("claim {}", condition.claim),
                    passed: outcome.is_ok(),
                    why: outcome.err().unwrap_or_else(|| "it fits".to_owned()),
                });
            }
        }
        for set in self.levels.iter().filter_map(|level| level.set.as_ref()) {
            self.explain_policies(set, caller, call, &mut checks);
        }
        checks
    }

    fn explain_policies(
        &self,
        set: &Set,
        caller: &Caller,
        call: &Call<'_>,
        checks: &mut Vec<Check>,
    ) {
        let prepared = self.prepare(caller);
        let response = |policies: &PolicySet| {
            let prepared = prepared.as_ref().map_err(Clone::clone)?;
            let action = action(call.method).ok_or("the method is no action")?;
            self.evaluate(set, policies, prepared, action, call)
        };
        let decision = match response(&set.policies) {
            Ok(response) => set.decide(&response),
            Err(why) => failed(why),
        };
        checks.push(Check {
            asked: format!("policies {}", set.called),
            passed: decision.is_allowed(),
            why: match &decision {
                Decision::Allowed(by) => {
                    format!("permitted by {}", by.as_deref().unwrap_or_default())
                }
                Decision::Refused(refusal) => refusal.to_string(),
            },
        });
        let mut policies: Vec<&Policy> = set.policies.policies().collect();
        policies.sort_by_key(|policy| policy.id().clone());
        for policy in policies {
            let alone = PolicySet::from_policies([policy.clone()]).map_err(|e| e.to_string());
            let outcome = alone.and_then(|alone| response(&alone));
            let effect = match policy.effect() {
                Effect::Permit => "permit",
                Effect::Forbid => "forbid",
            };
            let (applies, why) = match &outcome {
                Err(why) => (None, why.clone()),
                Ok(response) => match response.diagnostics().errors().next() {
                    Some(error) => (None, error.to_string().replace('\n', " ")),
                    None => {
                        let applies = response.diagnostics().reason().next().is_some();
                        (Some(applies), String::new())
                    }
                },
            };
            let (passed, why) = match (applies, policy.effect()) {
                (None, _) => (false, why),
                (Some(true), Effect::Permit) => (true, "it applies".to_owned()),
                (Some(true), Effect::Forbid) => (false, "it applies".to_owned()),
                (Some(false), Effect::Permit) => (false, "it does not apply".to_owned()),
                (Some(false), Effect::Forbid) => (true, "it does not apply".to_owned()),
            };
            checks.push(Check {
                asked: format!("  {effect} {}", policy.id()),
                passed,
                why,
            });
        }
    }

    /// As it would be if policies were given all there is of a call, which has these headers at most.
    #[cfg(test)]
    pub(crate) fn reading_everything(mut self, headers: &[&str]) -> Self {
        let levels = std::mem::take(&mut self.levels);
        self.levels = levels
            .into_iter()
            .map(|level| {
                let mut level = Arc::try_unwrap(level).unwrap();
                if let Some(set) = &mut level.set {
                    set.reads = set.reads.everything(headers);
                }
                Arc::new(level)
            })
            .collect();
        let sets = self.levels.iter().filter_map(|level| level.set.as_ref());
        self.claims = sets
            .flat_map(|set| set.claims.iter())
            .map(|(path, kind)| (ClaimPath::parse(path).unwrap(), *kind))
            .collect();
        self
    }
}

fn joined<'t>(texts: impl Iterator<Item = &'t str>, between: &str) -> Box<str> {
    texts.collect::<Vec<_>>().join(between).into()
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn has_any_scope(caller: &Caller, asked: &Authorization) -> bool {
    let mut any = asked.any_scopes.iter();
    asked.any_scopes.is_empty() || any.any(|scope| caller.scopes.contains(scope))
}

/// The role that is missing, or those of which one would do.
fn missing_roles(held: &BTreeSet<Box<str>>, asked: &Authorization) -> Option<Box<str>> {
    if let Some(missing) = asked.roles.iter().find(|role| !held.contains(*role)) {
        return Some(missing.clone());
    }
    let none = !asked.any_roles.is_empty() && asked.any_roles.is_disjoint(held);
    none.then(|| joined(asked.any_roles.iter().map(|role| &**role), " or "))
}

fn explain_roles(held: &Result<BTreeSet<Box<str>>, String>, asked: &Authorization) -> Vec<Check> {
    let why = match held {
        Ok(held) => {
            let held = joined(held.iter().map(|role| &**role), ", ");
            format!("the caller has {}", or_none(&held))
        }
        Err(why) => why.clone(),
    };
    let held = held.as_ref().ok();
    let mut checks: Vec<Check> = asked
        .roles
        .iter()
        .map(|role| Check {
            asked: format!("role {role}"),
            passed: held.is_some_and(|held| held.contains(role)),
            why: why.clone(),
        })
        .collect();
    if !asked.any_roles.is_empty() {
        let any = joined(asked.any_roles.iter().map(|role| &**role), ", ");
        checks.push(Check {
            asked: format!("one of the roles {any}"),
            passed: held.is_some_and(|held| !held.is_disjoint(&asked.any_roles)),
            why,
        });
    }
    checks
}

/// What policies call a caller: `ISSUER/SUBJECT`, or `METHOD:SUBJECT` where no issuer of tokens stands behind
/// it. No issuer's name has a colon or a slash, so that no caller has another's name.
fn name_of(caller: &Caller) -> String {
    let subject = caller.subject().unwrap_or_default();
    match &caller.issuer_name {
        Some(issuer) => format!("{issuer}/{subject}"),
        None => format!("{}:{subject}", caller.method.as_str()),
    }
}

/// A claim of the type that was declared; `None` when it is of another.
fn typed(value: &Value, declared: ClaimType) -> Option<Expression> {
    let text = |value: &Value| Some(Expression::new_string(value.as_str()?.to_owned()));
    match declared {
        ClaimType::String => text(value),
        ClaimType::Long => value.as_i64().map(Expression::new_long),
        ClaimType::Bool => value.as_bool().map(Expression::new_bool),
        ClaimType::SetOfString => match value {
            Value::Array(members) => {
                let members: Option<Vec<_>> = members.iter().map(text).collect();
                members.map(Expression::new_set)
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => text(value).map(|one| Expression::new_set([one])),
        },
    }
}
