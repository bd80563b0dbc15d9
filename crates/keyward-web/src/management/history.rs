//! Endpoints of the history: revisions, what lies between two of them, and the way back.

use super::call::Call;
use super::change::{Making, Planned, named};
use super::draft::Draft;
use super::endpoint::{Allowed, Outcome};
use super::kind::KindDescription;
use super::list::Paging;
use super::resource::{check_step, same, shown};
use crate::answer::Answer;
use crate::node::ResourceKey;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_access::management::{
    Action, ManagementPermit, Manager, Named, Place, Subject, decide_any,
};
use keyward_model::id::TeamId;
use keyward_model::resource::Kind;
use keyward_model::{Revision, TeamName, Timestamp};
use keyward_store::management::{RevisionEntry, Team};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
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

/// What lies between two revisions.
#[derive(Debug, Default)]
struct Differences {
    known: BTreeMap<ResourceKey, Difference>,
    /// Resources of kinds that this version knows nothing of.
    unknown: Vec<String>,
}

/// Of each resource the first state and the last, where they differ.
async fn between(
    site: &Site,
    team: Option<TeamId>,
    (after, up_to): (Revision, Revision),
) -> Result<Differences, Problem> {
    let changes = site
        .store()
        .resource_differences(team, after, up_to)
        .await?;
    let changes = changes.ok_or_else(|| {
        let why = "Too much has changed between these revisions to be told at once: name ones that are nearer to each other, or ask for one team";
        Problem::new(ProblemKind::Invalid, why)
    })?;
    let mut found = Differences::default();
    for change in changes
        .into_iter()
        .filter(|change| change.before != change.after)
    {
        let Some(kind) = KindDescription::named(&change.kind) else {
            found
                .unknown
                .push(format!("{} `{}`", change.kind, change.name));
            continue;
        };
        let key = ResourceKey {
            team: change.team,
            kind: kind.kind,
            name: change.name,
            version: change.version.parse().ok(),
        };
        let difference = Difference {
            team_name: change.team_name,
            before: change.before,
            after: change.after,
        };
        found.known.insert(key, difference);
    }
    Ok(found)
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
async fn readable(
    allowed: &Allowed<'_>,
    found: BTreeMap<ResourceKey, Difference>,
) -> BTreeMap<ResourceKey, Difference> {
    let mut reader = Reader::new(&allowed.manager);
    let mut readable = BTreeMap::new();
    for (key, difference) in found {
        if reader.reads_in_turn(&key).await {
            readable.insert(key, difference);
        }
    }
    readable
}

/// What somebody may read of many resources.
pub(crate) struct Reader<'m> {
    manager: &'m Arc<Manager>,
    /// What was decided already: once for each team and kind, and where that is not all there is to it, for each again.
    known: BTreeMap<(TeamId, Kind), Option<ManagementPermit>>,
    /// How many were asked about in turn.
    asked: usize,
}

/// After so many that are asked about, others have their turn: a custom role may take some tens of microseconds for each.
const IN_TURN: usize = 32;

impl<'m> Reader<'m> {
    pub(crate) fn new(manager: &'m Arc<Manager>) -> Self {
        Self {
            manager,
            known: BTreeMap::new(),
            asked: 0,
        }
    }

    /// The same as [`reads`](Self::reads), where there may be many: others have their turn between.
    pub(crate) async fn reads_in_turn(&mut self, key: &ResourceKey) -> bool {
        self.in_turn().await;
        self.reads(key)
    }

    /// Lets others have their turn, where it is theirs.
    pub(crate) async fn in_turn(&mut self) {
        self.asked = self.asked.wrapping_add(1);
        if self.asked.is_multiple_of(IN_TURN) {
            tokio::task::yield_now().await;
        }
    }

    /// Whether they may read this one.
    pub(crate) fn reads(&mut self, key: &ResourceKey) -> bool {
        self.reads_named(key.team, key.kind, named(key))
    }

    pub(crate) fn reads_named(&mut self, team: TeamId, kind: Kind, of: Named<'_>) -> bool {
        let manager = self.manager;
        let known = self.known.entry((team, kind)).or_insert_with(|| {
            let read = Action::read(Subject::Resources(kind));
            decide_any(manager, read, Place::Team(team)).ok()
        });
        known.as_ref().is_some_and(|permit| permit.of(of).is_ok())
    }
}

fn told_differences(found: BTreeMap<ResourceKey, Difference>) -> Vec<Value> {
    let parsed = |body: Option<String>| {
        let body = body?;
        // What is no JSON is told as it stands there.
        Some(serde_json::from_str(&body).unwrap_or(Value::String(body)))
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
        let changes = between(site, team, (before, revision)).await?;
        let mut told = told(&entry);
        if let Value::Object(members) = &mut told {
            let changes = readable(&allowed, changes.known).await;
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
        let found = between(site, team, (low, high)).await?.known;
        let mut found = readable(&allowed, found).await;
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
        let found = between(site, team, (to, newest)).await?;
        if let Some(unknown) = found.unknown.first() {
            let why = format!("{unknown} was changed since, by a version that knows it: roll back through a node that does");
            return Err(Problem::new(ProblemKind::Unfit, why));
        }
        let mut planned = Vec::new();
        let mut left_out = Vec::new();
        let teams = site.store().teams().await?;
        let teams: BTreeSet<TeamId> = teams.into_iter().map(|team| team.id).collect();
        for (key, difference) in found.known {
            // A team that was deleted does not come back, and nothing of it: its members and keys are gone.
            if !teams.contains(&key.team) {
                left_out.push(format!("{}/{}", difference.team_name, shown(&key)));
                continue;
            }
            let Some(kind) = KindDescription::of(key.kind) else {
                continue;
            };
            // An earlier version had them in revisions. A key that was taken away or replaced may have been known to
            // somebody.
            if key.kind == Kind::Credential {
                left_out.push(shown(&key));
                continue;
            }
            let write = Action::write(kind.subject());
            let permit = site.permit_any(&allowed.manager, write, Place::Team(key.team))?;
            let name = format!("{}/{}", difference.team_name, shown(&key));
            let draft = match difference.before {
                None => None,
                Some(body) => {
                    let draft = put_back(site, kind, (key.team, difference.team_name), &body);
                    let draft = draft.await.map_err(|problem| about(problem, &key))?;
                    Some(Arc::new(draft))
                }
            };
            let prefix = prefix(&key);
            // Each takes some time, and others wait for the control plane too.
            tokio::task::yield_now().await;
            let change = Planned::new(&permit, key, draft)?.at(prefix);
            if !site.may_go(&change).await? {
                // What one team's members have is no reason for the rest to stay as it is.
                left_out.push(name);
                continue;
            }
            planned.push(change);
        }
        let address = call.address.to_string();
        let making = Making {
            author: call.author(&allowed.permit, &address),
            summary: format!("roll back to revision {to}"),
            reason: call.reason()?,
            dry_run: call.flag("dry_run")?,
            remembered: None,
        };
        let mut told = Vec::new();
        let made = site
            .make(making, |catalogue| {
                if catalogue.base.revision != newest {
                    return Err(Problem::new(
                        ProblemKind::Contended,
                        "Somebody has changed something just now: look at it, and roll back again",
                    ));
                }
                told.clear();
                let mut kept = Vec::new();
                for change in &planned {
                    let current = catalogue.get(&change.key);
                    if let (Some(current), Some(draft)) = (current, &change.draft) {
                        check_step(current, &draft.resource)
                            .map_err(|problem| about(problem, &change.key))?;
                    }
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
            "revision": made.revision, "put_back": told, "left_out": left_out,
        })))
    }
    .boxed()
}

/// A resource as it was, to be declared again.
async fn put_back(
    site: &Site,
    kind: &'static KindDescription,
    (team, name): (TeamId, TeamName),
    body: &str,
) -> Result<Draft, Problem> {
    let body = serde_json::from_str(body).map_err(|error| {
        let why = "what is kept of it can't be read: declare it anew";
        Problem::of_member(ProblemKind::Unfit, "", "unreadable", why).because(error)
    })?;
    let of = Team {
        id: team,
        name,
        created_at: Timestamp::from_micros(0),
    };
    site.draft_again(kind, &of, body).await
}

/// What members of a resource are called in refusals that are about several.
fn prefix(key: &ResourceKey) -> String {
    format!("resource:{}/{}", key.kind, shown(key))
}

/// The same, of this resource.
fn about(problem: Problem, key: &ResourceKey) -> Problem {
    let name = format!("{} `{}`", key.kind, shown(key));
    problem.below(&prefix(key)).about(&name)
}
