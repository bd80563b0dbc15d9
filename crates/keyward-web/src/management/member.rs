//! Endpoints of members.

use super::call::JSON;
use super::endpoint::{Allowed, Outcome};
use super::list::Paging;
use super::team::{bad_member, check_members};
use crate::answer::Answer;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_access::management::{ManagementRole, Manager};
use keyward_model::id::TeamId;
use keyward_store::management::{MemberRules, TeamMember};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The form of members' names.
pub(crate) const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._@-]{0,126}$";
const NAME_MAX: usize = 127;

/// What the audit log calls the node itself, in small letters: nobody else is called so, however it is written.
const OF_THE_NODE: &str = "node";

/// Whether somebody can be called so.
pub(crate) fn is_name(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'-');
    let first = text.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphanumeric())
        && text.len() <= NAME_MAX
        && !text.eq_ignore_ascii_case(OF_THE_NODE)
        && text.bytes().all(inside)
}

fn told(member: &TeamMember) -> Value {
    json!({ "name": member.member, "roles": member.roles })
}

/// `GET /teams/{team}/members`.
pub(crate) fn list<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = allowed.team()?;
        let paging = Paging::of(site, allowed.call, &["members", team.name.as_str()])?;
        let after = paging.after.as_ref().and_then(Value::as_str);
        let members = site
            .store()
            .members(team.id, after.unwrap_or_default(), paging.wanted())
            .await?;
        let end = |member: &TeamMember| json!(member.member);
        Ok(Answer::ok(
            paging.page(site, members, end, |member| told(&member)),
        ))
    }
    .boxed()
}

/// `GET /teams/{team}/members/{member}`.
pub(crate) fn show<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let member = allowed.call.path("member");
        let roles = site.roles_of(member, allowed.team()?.id).await?;
        if roles.is_empty() {
            return Err(Problem::not_found());
        }
        let roles = roles.iter().map(|role| role.as_str().to_owned());
        Ok(Answer::ok(told(&TeamMember {
            member: member.to_owned(),
            roles: roles.collect(),
        })))
    }
    .boxed()
}

/// `PUT /teams/{team}/members/{member}`: these roles and no others.
pub(crate) fn put<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let member = allowed.call.path("member");
        if !is_name(member) {
            let why = "a member's name has 1 to 127 letters, digits, `.`, `_`, `@` and `-`, and begins with a letter or digit; nobody is called `node`, as the log calls the node itself";
            return Err(Problem::new(ProblemKind::Malformed, why));
        }
        let body = allowed.call.json(JSON)?;
        check_members(&body, &["name", "roles"])?;
        if body.get("name").is_some_and(|name| name != member) {
            return Err(bad_member("/name", "it is the one of the address"));
        }
        let roles = roles(&body)?;
        let roles = change(site, &allowed, member, roles).await?;
        Ok(Answer::ok(told(&TeamMember {
            member: member.to_owned(),
            roles,
        })))
    }
    .boxed()
}

/// `DELETE /teams/{team}/members/{member}`.
pub(crate) fn delete<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let member = allowed.call.path("member");
        let before = site.roles_of(member, allowed.team()?.id).await?;
        if before.is_empty() {
            return Err(Problem::not_found());
        }
        change(site, &allowed, member, BTreeSet::new()).await?;
        Ok(Answer::nothing())
    }
    .boxed()
}

fn roles(body: &Value) -> Result<BTreeSet<ManagementRole>, Problem> {
    let list = body.get("roles").and_then(Value::as_array);
    let list = list.filter(|list| !list.is_empty()).ok_or_else(|| {
        bad_member(
            "/roles",
            "it is a list of roles, at least one: to take all away, delete the member",
        )
    })?;
    let mut roles = BTreeSet::new();
    for (index, role) in list.iter().enumerate() {
        let parsed = role.as_str().and_then(ManagementRole::parse);
        let why = "it is `operator`, `owner`, `publisher`, `consumer` or `auditor`";
        let parsed = parsed.ok_or_else(|| bad_member(&format!("/roles/{index}"), why))?;
        roles.insert(parsed);
    }
    Ok(roles)
}

async fn change(
    site: &Site,
    allowed: &Allowed<'_>,
    member: &str,
    roles: BTreeSet<ManagementRole>,
) -> Result<BTreeSet<String>, Problem> {
    let team = allowed.team()?.id;
    let operator = ManagementRole::Operator;
    if roles.contains(&operator) && team != TeamId::DEFAULT {
        let why = "`operator` is given in the team `default` alone, and counts in every team";
        return Err(bad_member("/roles", why));
    }
    let roles: BTreeSet<String> = roles.iter().map(|role| role.as_str().to_owned()).collect();
    let address = allowed.call.address.to_string();
    let author = allowed.call.author(&allowed.manager, &address);
    let rules = MemberRules {
        keep: Some(operator.as_str()),
        above: above(&allowed.manager),
    };
    let changed = site
        .store()
        .set_member(team, member, &roles, rules, author, site.now())
        .await;
    match changed {
        Ok(()) => Ok(roles),
        Err(keyward_store::Error::Last { role }) => Err(Problem::new(
            ProblemKind::Unfit,
            format!("Nobody would be `{role}` any more: give the role to another first"),
        )),
        Err(keyward_store::Error::Above { .. }) => Err(Problem::new(
            ProblemKind::Forbidden,
            "Only an operator makes operators, or takes anything from one",
        )),
        Err(error) => Err(error.into()),
    }
}

/// The role that a caller stands below.
pub(crate) fn above(manager: &Manager) -> Option<&'static str> {
    (!manager.is_operator()).then_some(ManagementRole::Operator.as_str())
}
