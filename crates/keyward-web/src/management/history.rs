//! Endpoints of the history: revisions, what lies between two of them, and the way back.

use super::call::Call;
use super::change::{Making, Planned};
use super::endpoint::{Allowed, Outcome};
use super::kind::KindDescription;
use super::list::Paging;
use super::resource::{same, shown};
use crate::answer::Answer;
use crate::node::ResourceKey;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_access::management::{Action, Manager, Place, Subject};
use keyward_model::id::TeamId;
use keyward_model::resource::Kind;
use keyward_model::{Revision, TeamName, Timestamp};
use keyward_store::management::{ResourceChange, RevisionEntry, Team};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A revision as it is told; to a team, of what is its own. A reason that was given for several teams at once is told
/// to none of them alone.
fn told(entry: &RevisionEntry) -> Value {
    let summary = match (entry.summary.as_str(), entry.changes) {
        (APPLY, 1) => "apply 1 resource".to_owned(),
        (APPLY, count) => format!("apply {count} resources"),
        (summary, _) => summary.to_owned(),
    };
    let reason = if entry.of_others { "" } else { &entry.reason };
    json!({
        "revision": entry.revision,
        "created_at": entry.created_at.to_string(),
        "actor": entry.actor,
        "actor_team": entry.actor_team,
        "token": entry.token,
        "summary": summary,
        "reason": reason,
        "request_id": entry.request_id,
    })
}

/// The summary of an apply, without how many resources it changed: that is told of what the reader may see.
pub(crate) const APPLY: &str = "apply";

/// What a resource was, and what it became.
#[derive(Clone, Debug)]
struct Difference {
    team_name: TeamName,
    before: Option<String>,
    after: Option<String>,
}

/// What lies between two revisions: of each resource the first state and the last, where they differ.
fn between(changes: Vec<ResourceChange>) -> BTreeMap<ResourceKey, Difference> {
    let mut found: BTreeMap<ResourceKey, Difference> = BTreeMap::new();
    for change in changes {
        let Some(kind) = KindDescription::named(&change.kind) else {
            continue;
        };
        let key = ResourceKey {
            team: change.team,
            kind: kind.kind,
            name: change.name,
            version: change.version.parse().ok(),
        };
        let difference = found.entry(key).or_insert(Difference {
            team_name: change.team_name,
            before: change.before,
            after: None,
        });
        difference.after = change.after;
    }
    found.retain(|_, difference| difference.before != difference.after);
    found
}

/// A difference as it is told: `create`, `change` or `delete`, with both bodies.
pub(crate) fn difference(
    key: &ResourceKey,
    team: &TeamName,
    before: Option<Value>,
    after: Option<Value>,
) -> Value {
    let action = match (&before, &after) {
        (None, _) => "create",
        (Some(_), Some(_)) => "change",
        (Some(_), None) => "delete",
    };
    json!({
        "action": action,
        "team": team,
        "kind": key.kind.as_str(),
        "name": key.name,
        "version": key.version,
        "before": before,
        "after": after,
    })
}

/// A difference as it is told to whoever may see that there is one, and not what is there: without what was before.
/// What comes after they have sent themselves.
pub(crate) fn difference_to(
    reads: bool,
    key: &ResourceKey,
    team: &TeamName,
    before: Option<Value>,
    after: Option<Value>,
) -> Value {
    let mut told = difference(key, team, before, after);
    if !reads && let Some(before) = told.get_mut("before") {
        *before = Value::Null;
    }
    told
}

/// What of these the caller may read: the history of a kind is told to whoever may read that kind.
fn readable(
    site: &Site,
    allowed: &Allowed<'_>,
    mut found: BTreeMap<ResourceKey, Difference>,
) -> BTreeMap<ResourceKey, Difference> {
    found.retain(|key, _| reads(site, &allowed.manager, key.team, key.kind));
    found
}

/// Whether somebody may read resources of a kind in a team.
pub(crate) fn reads(site: &Site, manager: &Arc<Manager>, team: TeamId, kind: Kind) -> bool {
    let read = Action::read(Subject::Resources(kind));
    site.permit(manager, read, Place::Team(team)).is_ok()
}

fn told_differences(found: BTreeMap<ResourceKey, Difference>) -> Vec<Value> {
    let parsed = |body: Option<String>| {
        let body = body?;
        serde_json::from_str::<Value>(&body).ok()
    };
    found
        .into_iter()
        .map(|(key, found)| {
            difference(
                &key,
                &found.team_name,
                parsed(found.before),
                parsed(found.after),
            )
        })
        .collect()
}

/// `GET /revisions` and `GET /teams/{team}/revisions`: the newest first.
pub(crate) fn list<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = allowed.permit.place().team();
        let named = team.map(|team| team.to_string()).unwrap_or_default();
        let paging = Paging::of(site, allowed.call, &["revisions", &named])?;
        let before = paging.after.as_ref().and_then(Value::as_u64).map(Revision);
        let entries = site
            .store()
            .revisions(team, before, paging.wanted())
            .await?;
        let end = |entry: &RevisionEntry| json!(entry.revision);
        Ok(Answer::ok(
            paging.page(site, entries, end, |entry| told(&entry)),
        ))
    }
    .boxed()
}

fn revision_of(call: &Call) -> Result<Revision, Problem> {
    let text = call.path("revision");
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let number = plain.then(|| text.parse().ok()).flatten();
    let number = number.filter(|number| i64::try_from(*number).is_ok());
    number.map(Revision).ok_or_else(Problem::not_found)
}

/// The entry of a revision, if it did anything that the caller may see.
async fn entry(
    site: &Site,
    team: Option<TeamId>,
    revision: Revision,
) -> Result<Option<RevisionEntry>, Problem> {
    let before = Some(revision.next());
    let found = site.store().revisions(team, before, 1).await?;
    Ok(found.into_iter().find(|entry| entry.revision == revision))
}

/// `GET /revisions/{revision}` and the same of a team.
pub(crate) fn show<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let revision = revision_of(allowed.call)?;
        let team = allowed.permit.place().team();
        let entry = entry(site, team, revision).await?;
        let entry = entry.ok_or_else(Problem::not_found)?;
        let before = Revision(revision.0.saturating_sub(1));
        let changes = site
            .store()
            .resource_changes(team, before, revision)
            .await?;
        let mut told = told(&entry);
        if let Value::Object(members) = &mut told {
            let changes = readable(site, &allowed, between(changes));
            let changes = told_differences(changes);
            members.insert("changes".to_owned(), Value::Array(changes));
        }
        Ok(Answer::ok(told))
    }
    .boxed()
}

/// `GET /revisions/{revision}/compare` and the same of a team: from that revision to `with`, or to now.
pub(crate) fn compare<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let from = revision_of(allowed.call)?;
        let newest = site.store().revision().await?;
        let to = allowed.call.number("with")?.map_or(newest, Revision);
        if from > newest || to > newest {
            return Err(Problem::not_found());
        }
        let team = allowed.permit.place().team();
        let backwards = to < from;
        let (low, high) = (from.min(to), from.max(to));
        let changes = site.store().resource_changes(team, low, high).await?;
        let mut found = readable(site, &allowed, between(changes));
        if backwards {
            for difference in found.values_mut() {
                std::mem::swap(&mut difference.before, &mut difference.after);
            }
        }
        Ok(Answer::ok(json!({
            "from": from, "to": to, "changes": told_differences(found),
        })))
    }
    .boxed()
}

/// `POST /revisions/{revision}/rollback` and the same of a team: all that was changed since is put back, as one more
/// revision.
pub(crate) fn rollback<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let call = allowed.call;
        let to = revision_of(call)?;
        let team = allowed.permit.place().team();
        let newest = site.store().revision().await?;
        if to > newest {
            return Err(Problem::not_found());
        }
        let changes = site.store().resource_changes(team, to, newest).await?;
        let mut planned = Vec::new();
        for (key, difference) in between(changes) {
            let Some(kind) = KindDescription::of(key.kind) else {
                continue;
            };
            let write = Action::write(kind.subject());
            let permit = site.permit(&allowed.manager, write, Place::Team(key.team))?;
            let draft = match difference.before {
                None => None,
                Some(body) => {
                    let body = serde_json::from_str(&body).unwrap_or_default();
                    let of = Team {
                        id: key.team,
                        name: difference.team_name,
                        created_at: Timestamp::from_micros(0),
                    };
                    Some(Arc::new(site.draft(kind, &of, body).await?))
                }
            };
            planned.push(Planned::new(&permit, key, draft)?);
        }
        let address = call.address.to_string();
        let making = Making {
            author: call.author(&allowed.manager, &address),
            summary: format!("roll back to revision {to}"),
            reason: call.reason()?,
            dry_run: call.flag("dry_run")?,
            remembered: None,
        };
        let mut told = Vec::new();
        let made = site
            .make(making, |catalogue| {
                if catalogue.revision != newest {
                    return Err(Problem::new(
                        ProblemKind::Contended,
                        "Somebody has changed something just now: look at it, and roll back again",
                    ));
                }
                told.clear();
                let mut kept = Vec::new();
                for change in &planned {
                    let current = catalogue.resources.get(&change.key);
                    let is_same = match (current, &change.draft) {
                        (Some(current), Some(draft)) => same(current, &draft.resource),
                        (None, None) => true,
                        (Some(_), None) | (None, Some(_)) => false,
                    };
                    if !is_same {
                        told.push(shown(&change.key));
                        kept.push(change.clone());
                    }
                }
                Ok(kept)
            })
            .await?;
        Ok(Answer::ok(json!({
            "revision": made.revision, "put_back": told,
        })))
    }
    .boxed()
}
