//! Endpoints of resources, the same for each kind.

mod alteration;
mod listing;

pub(crate) use alteration::{check_step, delete, patch, replace, unconditional};
pub(crate) use listing::{SORTS, list};

use super::call::{IDEMPOTENCY_KEY, JSON};
use super::catalogue::Catalogue;
use super::change::{Made, MadeBefore, Making, Planned, named};
use super::draft::TOLD;
use super::endpoint::{Allowed, BASE, Outcome};
use super::history::Reader;
use super::kind::KindDescription;
use super::secret;
use crate::answer::Answer;
use crate::node::{DatabaseResource, FileResource, ResourceKey};
use crate::problem::{Problem, ProblemKind};
use crate::site::{Site, refused};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use futures_util::FutureExt as _;
use keyward_model::id::ResourceId;
use keyward_model::resource::Kind;
use keyward_model::{Name, Origin, Revision};
use keyward_store::management::{Author, RememberedCall, Team};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// A resource, wherever it stands.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    File(FileResource),
    Database(Arc<DatabaseResource>),
}

impl Known {
    pub(crate) fn key(&self) -> &ResourceKey {
        match self {
            Self::File(resource) => &resource.key,
            Self::Database(resource) => &resource.key,
        }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::File(_) => Origin::File,
            Self::Database(_) => Origin::Database,
        }
    }

    /// The revision and, of credentials, how often they had been changed: by these they are sorted.
    fn changed_at(&self) -> (Revision, i64) {
        match self {
            Self::File(_) => (Revision(0), 0),
            Self::Database(resource) => (resource.revision.unwrap_or_default(), resource.mark),
        }
    }

    pub(crate) fn body(&self) -> &Value {
        match self {
            Self::File(resource) => &resource.body,
            Self::Database(resource) => &resource.body,
        }
    }

    /// As it is answered: as it was declared, with what only the node tells.
    pub(crate) fn told(&self) -> Value {
        let mut told = self.body().clone();
        if let Value::Object(members) = &mut told {
            members.insert("origin".to_owned(), json!(self.origin()));
            if let Self::Database(resource) = self {
                if let Some(id) = resource.id {
                    members.insert("id".to_owned(), json!(id));
                }
                if let Some(revision) = resource.revision {
                    members.insert("revision".to_owned(), json!(revision));
                }
            }
        }
        told
    }

    /// Its entity tag.
    fn tag(&self) -> String {
        match self {
            Self::Database(resource) => {
                let revision = resource.revision.unwrap_or_default();
                match resource.mark {
                    0 => format!("\"r{revision}\""),
                    mark => format!("\"r{revision}c{mark}\""),
                }
            }
            Self::File(resource) => {
                let hash = hexadecimal(resource.body.to_string().as_bytes());
                format!("\"f{}\"", hash.get(..32).unwrap_or_default())
            }
        }
    }
}

/// Whether two declarations mean the same, whatever was left to defaults. They are compared as they are and never as
/// they print: what may be a secret does not print.
pub(crate) fn same(one: &DatabaseResource, other: &DatabaseResource) -> bool {
    // A secret that an earlier version has kept in clear is another thing than the same one sealed.
    let secrets = |resource: &DatabaseResource| {
        let kind = KindDescription::of(resource.key.kind)?;
        Some(secret::references_by_place(&resource.body, kind))
    };
    one.resource.spec == other.resource.spec && secrets(one) == secrets(other)
}

/// The address of a resource.
pub(crate) fn address(team: &Name, key: &ResourceKey) -> String {
    let plural = KindDescription::of(key.kind).map_or("", |kind| kind.subject().as_str());
    format!("{BASE}/teams/{team}/{plural}/{}", shown(key))
}

/// A key as it stands in addresses.
pub(crate) fn shown(key: &ResourceKey) -> String {
    match &key.version {
        Some(version) => format!("{}:{version}", key.name),
        None => key.name.to_string(),
    }
}

/// Reads a key of an address; `None` where there can't be such a resource.
fn key_of(kind: &KindDescription, team: &Team, text: &str) -> Option<ResourceKey> {
    let (name, version) = if kind.versioned {
        let (name, version) = text.split_once(':')?;
        (name.parse().ok()?, Some(version.parse().ok()?))
    } else {
        (text.parse().ok()?, None)
    };
    Some(ResourceKey {
        team: team.id,
        kind: kind.kind,
        name,
        version,
    })
}

fn author<'a>(allowed: &'a Allowed<'_>, address: &'a str) -> Author<'a> {
    allowed.call.author(&allowed.permit, address)
}

impl Site {
    /// The resource of a key, in the node's files or in the database.
    async fn known(&self, key: &ResourceKey, catalogue: &Catalogue) -> Option<Known> {
        if let Some(resource) = catalogue.get(key) {
            return Some(Known::Database(Arc::clone(resource)));
        }
        let files = self.node().files().await;
        let found = files.iter().find(|file| file.key == *key);
        found.map(|file| Known::File(file.clone()))
    }

    /// What the address of a resource leads to.
    async fn addressed(
        &self,
        allowed: &Allowed<'_>,
    ) -> Result<(ResourceKey, Option<Known>), Problem> {
        let key = key_of(allowed.kind()?, allowed.team()?, allowed.call.path("key"));
        let key = key.ok_or_else(Problem::not_found)?;
        let catalogue = self.catalogue().await?;
        let known = self.known(&key, &catalogue).await;
        Ok((key, known))
    }
}

/// `GET /teams/{team}/KIND/{key}`.
pub(crate) fn show<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let (_, known) = site.addressed(&allowed).await?;
        let known = known.ok_or_else(Problem::not_found)?;
        let tag = known.tag();
        if allowed
            .call
            .if_none_match()?
            .is_some_and(|tags| tags.has(&tag))
        {
            return Ok(Answer::not_modified().tagged(tag));
        }
        Ok(Answer::ok(known.told()).tagged(tag))
    }
    .boxed()
}

/// `POST /teams/{team}/KIND`.
pub(crate) fn create<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let (call, kind, team) = (allowed.call, allowed.kind()?, allowed.team()?);
        let dry_run = call.flag("dry_run")?;
        let body = call.json(JSON)?;
        let remembered = call.idempotency_key()?.map(|key| {
            // Names are each team's own: whoever is called so in another team has keys of their own. A team's name may
            // be another team's later, its id is not.
            let from = allowed.manager.team.to_string();
            let of_team = team.id.to_string();
            let whose = [
                &*from,
                &*allowed.manager.name,
                &*of_team,
                kind.kind.as_str(),
                key,
            ];
            RememberedCall {
                digest: site.fingerprint("call", &json!(whose)),
                fingerprint: site.fingerprint("body", &body),
            }
        });
        let fingerprint = remembered.as_ref().map(|call| call.fingerprint.clone());
        if let Some(before) = site.made_before(remembered.as_ref()).await?
            && let Some(answer) = site
                .created_before(&allowed, fingerprint.as_deref(), before)
                .await?
        {
            return Ok(answer);
        }
        let draft = Arc::new(site.draft(kind, team, body).await?);
        let key = draft.resource.key.clone();
        let address = call.address.to_string();
        let making = Making {
            author: author(&allowed, &address),
            summary: format!("create {} {}", kind.kind, shown(&key)),
            reason: call.reason()?,
            dry_run,
            remembered: remembered.filter(|_| !dry_run),
        };
        let files = site.node().files().await;
        let made = site
            .make(making, |catalogue| {
                if files.iter().any(|file| file.key == key) {
                    return Err(read_only());
                }
                // Before anything is told of what is there.
                let planned = Planned::new(&allowed.permit, key.clone(), Some(Arc::clone(&draft)))?;
                if catalogue.get(&key).is_some() {
                    return Err(Problem::of_member(
                        ProblemKind::Exists,
                        "/name",
                        "exists",
                        format!("There is {} `{}` already", kind.one, shown(&key)),
                    ));
                }
                Ok(vec![planned])
            })
            .await?;
        if let Some(before) = made.before {
            let answer = site
                .created_before(&allowed, fingerprint.as_deref(), before)
                .await?;
            return answer.ok_or_else(|| {
                Problem::new(
                    ProblemKind::Unavailable,
                    "What this call has made before can't be told any more: look at what is there",
                )
            });
        }
        answer_of(made, team, !dry_run)
    }
    .boxed()
}

fn answer_of(made: Made, team: &Team, created: bool) -> Result<Answer, Problem> {
    let Some(Some(resource)) = made.resources.into_iter().next() else {
        return Ok(Answer::nothing());
    };
    let location = address(&team.name, &resource.key);
    let known = Known::Database(resource);
    let answer = if created {
        Answer::created(known.told(), location)
    } else {
        Answer::ok(known.told())
    };
    let is_written = matches!(&known, Known::Database(resource) if resource.id.is_some());
    Ok(if !is_written {
        answer
    } else {
        answer.tagged(known.tag())
    })
}

fn read_only() -> Problem {
    Problem::new(
        ProblemKind::ReadOnly,
        "It stands in the node's own configuration file (`origin: file`): change it there",
    )
}

impl Site {
    /// What is kept of a call to know it again. It may hold a secret: without the deployment's key nobody can try what it
    /// was.
    fn fingerprint(&self, of: &str, value: &Value) -> String {
        let mut context = hmac::Context::with_key(self.cursor_key());
        for part in ["idempotency key", of, &value.to_string()] {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        written_out(context.sign().as_ref())
    }

    /// The answer to a creation that was made before with the same key.
    async fn created_before(
        &self,
        allowed: &Allowed<'_>,
        fingerprint: Option<&str>,
        before: MadeBefore,
    ) -> Result<Option<Answer>, Problem> {
        let (kind, team) = (allowed.kind()?, allowed.team()?);
        if fingerprint != Some(before.fingerprint.as_str()) {
            return Err(Problem::of_member(
                ProblemKind::KeyReused,
                format!("header:{IDEMPOTENCY_KEY}"),
                "idempotency_key_reused",
                "This key came with another body before: a key stands for one call",
            ));
        }
        if kind.kind == Kind::Credential {
            return self
                .credential_made_before(allowed, &before)
                .await
                .map(Some);
        }
        self.as_created(allowed, (team, kind), before.resource, before.revision)
            .await
    }

    /// Credentials have no history: one that was made before is told as it is now, and with its tag only where it is as it
    /// was made. Where it is another by now, whoever may not read it is told what it is called and no more.
    async fn credential_made_before(
        &self,
        allowed: &Allowed<'_>,
        before: &MadeBefore,
    ) -> Result<Answer, Problem> {
        let team = allowed.team()?;
        let catalogue = self.catalogue().await?;
        let mut all = catalogue.of(team.id, Kind::Credential);
        let made = all.find(|resource| resource.id == Some(before.resource));
        let Some(made) = made else {
            return Err(Problem::new(
                ProblemKind::Gone,
                "What this call has made was taken away since",
            ));
        };
        may_still(allowed, &made.key)?;
        let known = Known::Database(Arc::clone(made));
        let location = address(&team.name, &made.key);
        if made.mark == before.mark {
            return Ok(Answer::created(known.told(), location).tagged(known.tag()));
        }
        let told = if Reader::new(&allowed.manager).reads(&made.key) {
            known.told()
        } else {
            json!({ "name": made.key.name })
        };
        Ok(Answer::created(told, location))
    }

    async fn as_created(
        &self,
        allowed: &Allowed<'_>,
        (team, kind): (&Team, &'static KindDescription),
        id: ResourceId,
        revision: Revision,
    ) -> Result<Option<Answer>, Problem> {
        let before = Revision(revision.0.saturating_sub(1));
        let changes = self
            .store()
            .resource_changes(Some(team.id), before, revision)
            .await?;
        let made = changes.into_iter().find(|change| change.id == id);
        let Some(body) = made.and_then(|change| change.after) else {
            return Ok(None);
        };
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let Ok(read) = self.stored(kind, team, body).await? else {
            return Ok(None);
        };
        may_still(allowed, &read.key)?;
        let resource = DatabaseResource {
            id: Some(id),
            revision: Some(revision),
            ..read
        };
        let made = Made {
            revision,
            credentials: 0,
            resources: vec![Some(Arc::new(resource))],
            before: None,
        };
        answer_of(made, team, true).map(Some)
    }
}

/// That whoever has made this may do so now: what they may can be less by now.
fn may_still(allowed: &Allowed<'_>, key: &ResourceKey) -> Result<(), Problem> {
    let permit = &allowed.permit;
    let still = permit.of(named(key));
    still
        .map(drop)
        .map_err(|refusal| refused(permit.action(), refusal))
}

/// The SHA-256 of some bytes.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    written_out(digest(&SHA256, bytes).as_ref())
}

fn written_out(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// What is written of a resource, without what only the node tells.
pub(crate) fn written(body: &Value) -> Value {
    let mut written = body.clone();
    if let Value::Object(members) = &mut written {
        for told in TOLD {
            members.remove(told);
        }
    }
    written
}
