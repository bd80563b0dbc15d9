//! Endpoints of teams, and of the caller.

use super::call::{Call, JSON, bad_query};
use super::change::{TRIES, contended};
use super::draft::invalid;
use super::endpoint::{Allowed, BASE, Outcome};
use super::list::Paging;
use super::path;
use super::resource::unconditional;
use crate::answer::Answer;
use crate::node::Unfit;
use crate::problem::{MemberFlaw, Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_access::management::{Action, Manager, Place, Subject};
use keyward_model::TeamName;
use keyward_model::id::TeamId;
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
    async move {
        let team = allowed.team()?;
        Ok(Answer::ok(told(team)).tagged(tag(team)))
    }
    .boxed()
}

/// A team's entity tag: another team of the name has another.
fn tag(team: &Team) -> String {
    format!("\"t{}\"", team.id)
}

/// `DELETE /teams/{team}`: with all that it has, where the call names the team in `cascade`.
pub(crate) fn delete<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let (team, call) = (allowed.team()?, allowed.call);
        if team.id == TeamId::DEFAULT {
            let why = "the team `default` stays: nodes' own files declare for it";
            return Err(Problem::new(ProblemKind::Unfit, why));
        }
        let cascade = match call.query("cascade") {
            None => false,
            Some(name) if name == team.name.as_str() => true,
            Some(_) => {
                let why = "write the team's name here, if all that it has is to go with it";
                return Err(bad_query("cascade", why));
            }
        };
        match call.if_match()? {
            None => return Err(unconditional()),
            Some(tags) if tags.has(&tag(team)) => {}
            Some(_) => {
                let why = "It is not what you have read: there is another team of this name. Read it, and decide anew";
                return Err(Problem::new(ProblemKind::Changed, why));
            }
        }
        let reason = call.reason()?;
        let address = call.address.to_string();
        let author = call.author(&allowed.permit, &address);
        let _alone = site.writing().lock().await;
        for _ in 0..TRIES {
            let catalogue = site.served_now().await?;
            let mut next = catalogue.without(team.id);
            let mut change = site.node().begin().await;
            change
                .check(next.update(&catalogue))
                .await
                .map_err(|why| unservable(&why))?;
            let (base, now) = (catalogue.base.revision, site.now());
            let deleted = site
                .store()
                .delete_team(base, team, cascade, (author, reason), now)
                .await;
            match deleted {
                Ok((revision, credentials)) => {
                    next.base.revision = revision;
                    // What others did between is read next.
                    let follows = |mark: &i64| *mark == catalogue.base.credentials + 1;
                    if let Some(mark) = credentials.filter(follows) {
                        next.base.credentials = mark;
                    }
                    change.serve().await;
                    site.is_served(Arc::new(next)).await;
                    return Ok(Answer::nothing());
                }
                Err(error @ keyward_store::Error::TeamInUse { .. }) => {
                    let name = &team.name;
                    let why = format!(
                        "{error}: take that away first, or say `?cascade={name}`, and all of it goes with the team"
                    );
                    return Err(Problem::new(ProblemKind::Unfit, why));
                }
                Err(keyward_store::Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended())
    }
    .boxed()
}

/// What is left can't be served: never for a reason of what goes.
fn unservable(why: &Unfit) -> Problem {
    Problem::new(
        ProblemKind::Unavailable,
        "This node can't serve what would be left, and nothing was changed: whoever runs it finds the reason in its log, under this call's id",
    )
    .because(format!("{why:?}"))
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
            let (base, now) = (catalogue.base.revision, site.now());
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
