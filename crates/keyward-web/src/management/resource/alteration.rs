//! Changes of what stands at an address: replaced, patched, taken away.

use super::{Known, answer_of, author, read_only, shown};
use crate::answer::Answer;
use crate::management::call::{JSON, MERGE_PATCH, Tags};
use crate::management::change::{Making, Planned, TRIES, contended, named};
use crate::management::draft::{Draft, invalid};
use crate::management::endpoint::{Allowed, Outcome};
use crate::management::kind::KindDescription;
use crate::management::merge_patch::merge;
use crate::management::resource::same;
use crate::node::{DatabaseResource, ResourceKey};
use crate::problem::{MemberFlaw, Problem, ProblemKind};
use crate::site::{Site, refused};
use futures_util::FutureExt as _;
use keyward_access::management::{Action, ManagementPermit, Place};
use keyward_model::resource::{Spec, VersionState};
use serde_json::Value;
use std::sync::Arc;

/// `PUT /teams/{team}/KIND/{key}`.
pub(crate) fn replace<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let (call, kind, team) = (allowed.call, allowed.kind()?, allowed.team()?);
        let (key, known) = site.addressed(&allowed).await?;
        if matches!(known, Some(Known::File(_))) {
            return Err(read_only());
        }
        let body = call.json(JSON)?;
        let draft = Arc::new(site.draft(kind, team, body).await?);
        same_key(&draft, &key)?;
        let verb = if known.is_some() { "replace" } else { "create" };
        let put = Put {
            site,
            allowed: &allowed,
            key: &key,
            merged_into: None,
        };
        let put = put.make(draft, verb).await?;
        put.ok_or_else(contended)
    }
    .boxed()
}

/// `PATCH /teams/{team}/KIND/{key}`.
pub(crate) fn patch<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let (call, kind, team) = (allowed.call, allowed.kind()?, allowed.team()?);
        // What is patched is answered as a whole: whoever may not read it replaces it.
        let read = Action::read(kind.subject());
        let reads = site.permit_any(&allowed.manager, read, Place::Team(team.id))?;
        for _ in 0..TRIES {
            let (key, known) = site.addressed(&allowed).await?;
            reads
                .of(named(&key))
                .map_err(|refusal| refused(read, refusal))?;
            let known = match known.ok_or_else(Problem::not_found)? {
                Known::File(_) => return Err(read_only()),
                Known::Database(known) => known,
            };
            let into = Known::Database(Arc::clone(&known));
            let patch = call.json(MERGE_PATCH)?;
            check_tags(call.if_match()?, &into)?;
            if let Some(of_secret) = secret_member(&into, &patch, kind) {
                return Err(invalid(vec![of_secret]));
            }
            let mut body = into.told();
            merge(&mut body, patch);
            let draft = Arc::new(site.draft(kind, team, body).await?);
            same_key(&draft, &key)?;
            let put = Put {
                site,
                allowed: &allowed,
                key: &key,
                merged_into: Some(known),
            };
            if let Some(answer) = put.make(draft, "change").await? {
                return Ok(answer);
            }
        }
        Err(contended())
    }
    .boxed()
}

/// A password's hash is bound to its name: the one can't be changed without the other.
fn secret_member(known: &Known, patch: &Value, kind: &KindDescription) -> Option<MemberFlaw> {
    let hashed = known.body().pointer("/password/hash").is_some();
    let renamed = patch.get("username").is_some() && patch.get("password").is_none();
    (hashed && renamed && !kind.secrets.is_empty()).then(|| MemberFlaw {
        member: "/username".to_owned(),
        code: "contradiction",
        detail: "the password's hash is bound to the name: write `password` anew too".to_owned(),
    })
}

/// A resource is known by its name, and an API by its version too: another name is another resource.
fn same_key(draft: &Draft, key: &ResourceKey) -> Result<(), Problem> {
    let of_body = &draft.resource.key;
    let member = if of_body.name != key.name {
        "/name"
    } else if of_body.version != key.version {
        "/version"
    } else {
        return Ok(());
    };
    Err(invalid(vec![MemberFlaw {
        member: member.to_owned(),
        code: "bad_value",
        detail: format!(
            "the address says `{}`: a resource keeps its name; make another, and delete this one",
            shown(key)
        ),
    }]))
}

/// A change of one resource at its address.
struct Put<'a, 'c> {
    site: &'a Site,
    allowed: &'a Allowed<'c>,
    key: &'a ResourceKey,
    /// What a part was merged into; `None` of a whole, which may be made where there is none.
    merged_into: Option<Arc<DatabaseResource>>,
}

impl Put<'_, '_> {
    /// `None` when what the draft was merged into is another by now: nothing was changed.
    async fn make(&self, draft: Arc<Draft>, verb: &str) -> Result<Option<Answer>, Problem> {
        let call = self.allowed.call;
        let (if_match, if_none_match) = (call.if_match()?, call.if_none_match()?);
        let address = call.address.to_string();
        let making = Making {
            author: author(self.allowed, &address),
            summary: format!("{verb} {} {}", self.key.kind, shown(self.key)),
            reason: call.reason()?,
            dry_run: call.flag("dry_run")?,
            remembered: None,
        };
        let dry_run = making.dry_run;
        let mut created = false;
        let mut unchanged = None;
        let mut stale = false;
        let made = self
            .site
            .make(making, |catalogue| {
                let current = catalogue.get(self.key);
                created = current.is_none();
                let Some(current) = current else {
                    if self.merged_into.is_some() {
                        return Err(Problem::not_found());
                    }
                    if if_match.is_some() {
                        return Err(changed("there is none"));
                    }
                    return self.planned(&self.allowed.permit, &draft);
                };
                let known = Known::Database(Arc::clone(current));
                if if_none_match
                    .as_ref()
                    .is_some_and(|tags| tags.has(&known.tag()))
                {
                    return Err(changed("it is there"));
                }
                check_tags(if_match.clone(), &known)?;
                let of =
                    |resource: &DatabaseResource| (resource.id, resource.revision, resource.mark);
                if let Some(into) = &self.merged_into
                    && of(into) != of(current)
                {
                    // Whatever the caller has read: the draft has members of what was there before.
                    stale = true;
                    return Ok(Vec::new());
                }
                if same(current, &draft.resource) {
                    unchanged = Some(known);
                    return Ok(Vec::new());
                }
                check_step(current, &draft.resource)?;
                self.planned(&self.allowed.permit, &draft)
            })
            .await?;
        if stale {
            return Ok(None);
        }
        if let Some(known) = unchanged {
            return Ok(Some(Answer::ok(known.told()).tagged(known.tag())));
        }
        answer_of(made, self.allowed.team()?, created && !dry_run).map(Some)
    }

    fn planned(
        &self,
        permit: &ManagementPermit,
        draft: &Arc<Draft>,
    ) -> Result<Vec<Planned>, Problem> {
        let planned = Planned::new(permit, self.key.clone(), Some(Arc::clone(draft)))?;
        Ok(vec![planned])
    }
}

/// That a call does not say what it has read.
pub(crate) fn unconditional() -> Problem {
    Problem::of_member(
        ProblemKind::Unconditional,
        "header:if-match",
        "missing",
        "Say what you have read: `If-Match` with the `etag` of it, so that nobody's change is lost",
    )
}

/// That the caller has read what is there.
fn check_tags(tags: Option<Tags<'_>>, known: &Known) -> Result<(), Problem> {
    let Some(tags) = tags else {
        return Err(unconditional());
    };
    if tags.has(&known.tag()) {
        Ok(())
    } else {
        Err(changed("somebody has changed it"))
    }
}

fn changed(why: &str) -> Problem {
    Problem::new(
        ProblemKind::Changed,
        format!("It is not what you have read: {why}. Read it again, and decide anew"),
    )
}

/// A version goes from draft over published and deprecated to retired; what is deprecated can be published again.
pub(crate) fn check_step(
    before: &DatabaseResource,
    after: &DatabaseResource,
) -> Result<(), Problem> {
    let state = |resource: &DatabaseResource| match &resource.resource.spec {
        Spec::Api(api) => Some(api.state),
        Spec::Prompt(prompt) => Some(prompt.state),
        Spec::Issuer(_)
        | Spec::Upstream(_)
        | Spec::Credential(_)
        | Spec::Role(_)
        | Spec::AccessPolicy(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Provider(_)
        | Spec::Model(_) => None,
    };
    let (Some(from), Some(to)) = (state(before), state(after)) else {
        return Ok(());
    };
    let place = |state: VersionState| VersionState::ALL.iter().position(|other| *other == state);
    let back = (VersionState::Deprecated, VersionState::Published);
    if place(from) <= place(to) || (from, to) == back {
        return Ok(());
    }
    Err(invalid(vec![MemberFlaw {
        member: "/state".to_owned(),
        code: "state",
        detail: format!(
            "a version that is `{}` does not become `{}`: make a new version",
            from.as_str(),
            to.as_str()
        ),
    }]))
}

/// `DELETE /teams/{team}/KIND/{key}`.
pub(crate) fn delete<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let call = allowed.call;
        let (key, known) = site.addressed(&allowed).await?;
        match known.ok_or_else(Problem::not_found)? {
            Known::File(_) => return Err(read_only()),
            Known::Database(_) => {}
        }
        let if_match = call.if_match()?;
        let address = call.address.to_string();
        let making = Making {
            author: author(&allowed, &address),
            summary: format!("delete {} {}", key.kind, shown(&key)),
            reason: call.reason()?,
            dry_run: call.flag("dry_run")?,
            remembered: None,
        };
        site.make(making, |catalogue| {
            let current = catalogue.get(&key).ok_or_else(Problem::not_found)?;
            check_tags(if_match.clone(), &Known::Database(Arc::clone(current)))?;
            Ok(vec![Planned::new(&allowed.permit, key.clone(), None)?])
        })
        .await?;
        Ok(Answer::nothing())
    }
    .boxed()
}
