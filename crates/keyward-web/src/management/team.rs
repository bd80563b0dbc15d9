//! Endpoints of teams, and of the caller.

use super::call::{Call, JSON};
use super::change::{TRIES, contended};
use super::draft::invalid;
use super::endpoint::{Allowed, BASE, Outcome};
use super::list::Paging;
use super::path;
use crate::answer::Answer;
use crate::problem::{MemberFlaw, Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_access::management::{Action, Manager, Place, Subject};
use keyward_model::TeamName;
use keyward_store::management::Team;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /me`: who the token says the caller is, and what it may be used for.
pub(crate) fn me<'c>(site: &'c Site, _call: &'c Call, manager: Arc<Manager>) -> Outcome<'c> {
    async move {
        let teams = site.store().teams().await?;
        let roles: Vec<Value> = teams
            .iter()
            .filter_map(|team| {
                let built_in = manager.roles.get(&team.id)?.iter();
                let custom = manager.custom.get(&team.id).into_iter().flatten();
                let roles: Vec<&str> = built_in
                    .map(|role| role.as_str())
                    .chain(custom.map(|held| held.name.as_str()))
                    .collect();
                Some(json!({ "team": team.name, "roles": roles }))
            })
            .collect();
        let scopes: Vec<String> = manager.scopes.iter().map(ToString::to_string).collect();
        Ok(Answer::ok(json!({
            "name": manager.name,
            "teams": roles,
            "scopes": scopes,
        })))
    }
    .boxed()
}

fn told(team: &Team) -> Value {
    json!({ "id": team.id, "name": team.name, "created_at": team.created_at.to_string() })
}

/// `GET /teams`: those that the caller sees.
pub(crate) fn list<'c>(site: &'c Site, call: &'c Call, manager: Arc<Manager>) -> Outcome<'c> {
    async move {
        let paging = Paging::of(site, call, &["teams"])?;
        let after = paging.after.as_ref().and_then(Value::as_str);
        let mut teams = site.store().teams().await?;
        teams.retain(|team| {
            let read = Action::read(Subject::Teams);
            let seen = site.permit(&manager, read, Place::Team(team.id)).is_ok();
            seen && after.is_none_or(|after| team.name.as_str() > after)
        });
        teams.truncate(paging.limit + 1);
        let end = |team: &Team| json!(team.name);
        Ok(Answer::ok(
            paging.page(site, teams, end, |team| told(&team)),
        ))
    }
    .boxed()
}

/// `GET /teams/{team}`.
pub(crate) fn show<'c>(_site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move { Ok(Answer::ok(told(allowed.team()?))) }.boxed()
}

/// `POST /teams`.
pub(crate) fn create<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let body = allowed.call.json(JSON)?;
        check_members(&body, &["name", "paths"])?;
        let paths = path::read(&body)?;
        let name: Option<TeamName> = body.get("name").and_then(|name| name.as_str()?.parse().ok());
        let name = name.ok_or_else(|| {
            bad_member("/name", "it is a name of 1 to 63 lower-case letters, digits, `-`, `_` and `.`, with a letter or digit at both ends")
        })?;
        let address = allowed.call.address.to_string();
        let author = allowed.call.author(&allowed.permit, &address);
        let _alone = site.writing().lock().await;
        for _ in 0..TRIES {
            let catalogue = site.catalogue().await?;
            path::may_give(site, &catalogue, None, &paths).await?;
            let (base, now) = (catalogue.revision, site.now());
            let store = site.store();
            match store.create_team(&name, base, &paths, author, now).await {
                Ok(team) => {
                    let location = format!("{BASE}/teams/{}", team.name);
                    return Ok(Answer::created(told(&team), location));
                }
                Err(keyward_store::Error::Exists { .. }) => {
                    return Err(Problem::of_member(
                        ProblemKind::Exists,
                        "/name",
                        "exists",
                        format!("There is a team `{name}` already"),
                    ));
                }
                Err(keyward_store::Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended())
    }
    .boxed()
}

/// That a body is an object with no members but these.
pub(crate) fn check_members(body: &Value, known: &[&str]) -> Result<(), Problem> {
    let Value::Object(members) = body else {
        return Err(bad_member("", "the body is an object"));
    };
    let unknown = members.keys().find(|key| !known.contains(&key.as_str()));
    match unknown {
        Some(key) => {
            let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            let why = format!("nothing is called so here: there is {}", known.join(", "));
            Err(bad_member(&pointer, &why))
        }
        None => Ok(()),
    }
}

/// A member that is not what it should be.
pub(crate) fn bad_member(pointer: &str, why: &str) -> Problem {
    invalid(vec![MemberFlaw {
        member: pointer.to_owned(),
        code: "bad_value",
        detail: why.to_owned(),
    }])
}
