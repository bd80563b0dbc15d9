//! Endpoints of members.

use super::call::JSON;
use super::custom_role::{Where, can_be_given};
use super::endpoint::{Allowed, Outcome};
use super::list::Paging;
use super::resource::hexadecimal;
use super::team::{bad_member, check_members};
use crate::answer::Answer;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_access::management::{GivenRole, ManagementRole, Manager};
use keyward_model::id::TeamId;
use keyward_store::management::{MemberRules, TeamMember};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The form of members' names.
pub(crate) const NAME: &str = "^(?![Nn][Oo][Dd][Ee]$)[A-Za-z0-9][A-Za-z0-9._@-]{0,126}$";
const NAME_MAX: usize = 127;

/// The most roles of a member.
const ROLES_MAX: usize = 16;

/// The most of them that are custom: each is asked at each call, about each thing of a list.
const CUSTOM_MAX: usize = 4;

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

fn told<'r>(member: &str, roles: impl Iterator<Item = &'r GivenRole>) -> Value {
    let roles: BTreeSet<String> = roles.map(ToString::to_string).collect();
    json!({ "name": member, "roles": roles })
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
        Ok(Answer::ok(paging.page(site, members, end, |member| {
            let roles = member
                .roles
                .iter()
                .filter_map(|role| GivenRole::of_stored(role));
            let roles: Vec<GivenRole> = roles.collect();
            told(&member.member, roles.iter())
        })))
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
        Ok(Answer::ok(told(member, roles.iter())).tagged(tag(&stored(&roles))))
    }
    .boxed()
}

/// As the store has them.
fn stored(roles: &BTreeSet<GivenRole>) -> BTreeSet<String> {
    roles.iter().map(GivenRole::stored).collect()
}

/// The entity tag of a member with these roles.
fn tag(roles: &BTreeSet<String>) -> String {
    let told = json!(roles).to_string();
    let hash = hexadecimal(told.as_bytes());
    format!("\"m{}\"", hash.get(..32).unwrap_or_default())
}

/// That the member is still what the caller has read; what that was.
fn unchanged(
    allowed: &Allowed<'_>,
    now: &BTreeSet<GivenRole>,
) -> Result<Option<BTreeSet<String>>, Problem> {
    let Some(tags) = allowed.call.if_match()? else {
        return Ok(None);
    };
    let now = stored(now);
    if now.is_empty() || !tags.has(&tag(&now)) {
        return Err(changed_meanwhile());
    }
    Ok(Some(now))
}

fn changed_meanwhile() -> Problem {
    let why = "The member has other roles than you have read: read them again, and decide anew";
    Problem::new(ProblemKind::Changed, why)
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
        let before = site.roles_of(member, allowed.team()?.id).await?;
        let expected = unchanged(&allowed, &before)?;
        change(site, &allowed, member, &roles, expected.as_ref()).await?;
        Ok(Answer::ok(told(member, roles.iter())).tagged(tag(&stored(&roles))))
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
        let expected = unchanged(&allowed, &before)?;
        change(site, &allowed, member, &BTreeSet::new(), expected.as_ref()).await?;
        Ok(Answer::nothing())
    }
    .boxed()
}

fn roles(body: &Value) -> Result<BTreeSet<GivenRole>, Problem> {
    let list = body.get("roles").and_then(Value::as_array);
    let list = list.filter(|list| (1..=ROLES_MAX).contains(&list.len()));
    let list = list.ok_or_else(|| {
        bad_member(
            "/roles",
            "it is a list of roles, from one to sixteen: to take all away, delete the member",
        )
    })?;
    let mut roles = BTreeSet::new();
    for (index, role) in list.iter().enumerate() {
        let parsed = role.as_str().and_then(GivenRole::parse);
        let why = "it is `operator`, `owner`, `publisher`, `consumer` or `auditor`, or the name of a custom role";
        let parsed = parsed.ok_or_else(|| bad_member(&format!("/roles/{index}"), why))?;
        roles.insert(parsed);
    }
    let custom = roles
        .iter()
        .filter(|role| matches!(role, GivenRole::Custom(_)));
    if custom.count() > CUSTOM_MAX {
        let why = "four of them are custom at most, since each is asked at each call: put what the member needs into one";
        return Err(bad_member("/roles", why));
    }
    Ok(roles)
}

async fn change(
    site: &Site,
    allowed: &Allowed<'_>,
    member: &str,
    roles: &BTreeSet<GivenRole>,
    expected: Option<&BTreeSet<String>>,
) -> Result<(), Problem> {
    let team = allowed.team()?.id;
    let operator = ManagementRole::Operator;
    if roles.contains(&GivenRole::BuiltIn(operator)) && team != TeamId::DEFAULT {
        let why = "`operator` is given in the team `default` alone, and counts in every team";
        return Err(bad_member("/roles", why));
    }
    let mut custom = Vec::new();
    for role in roles {
        let GivenRole::Custom(name) = role else {
            continue;
        };
        match can_be_given(site, team, name).await? {
            Some(Where::Database) => custom.push(name.clone()),
            Some(Where::File) => {}
            None => return Err(no_role(name.as_str())),
        }
    }
    let roles = stored(roles);
    let address = allowed.call.address.to_string();
    let author = allowed.call.author(&allowed.permit, &address);
    let rules = MemberRules {
        keep: Some(operator.as_str()),
        above: above(&allowed.manager),
        expected,
        custom: &custom,
    };
    let changed = site
        .store()
        .set_member(team, member, &roles, rules, author, site.now())
        .await;
    match changed {
        Ok(()) => Ok(()),
        Err(keyward_store::Error::Conflict { .. }) => Err(changed_meanwhile()),
        Err(keyward_store::Error::NoRole { role }) => Err(no_role(&role)),
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

fn no_role(name: &str) -> Problem {
    Problem::of_member(
        ProblemKind::Unfit,
        "/roles",
        "unknown_reference",
        format!(
            "There is no role `{name}` in this team: declare it first (`kind: management_role`)"
        ),
    )
}

/// The role that a caller stands below.
pub(crate) fn above(manager: &Manager) -> Option<&'static str> {
    (!manager.is_operator()).then_some(ManagementRole::Operator.as_str())
}
