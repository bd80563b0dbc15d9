//! Changes: all that is asked for at once, or nothing. A change is checked on this node together with all else that
//! it serves, written as one revision, and served here before it is answered.

use super::catalogue::Catalogue;
use super::draft::{Draft, pointer_of, stored_version};
use super::kind::KindDescription;
use super::path;
use crate::node::{CredentialUpdate, DatabaseResource, ResourceKey, Unfit, Update};
use crate::problem::{MemberFlaw, Problem, ProblemKind};
use crate::site::{Site, refused};
use keyward_access::management::{Action, ManagementPermit, Named, Place};
use keyward_model::id::{ResourceId, TeamId};
use keyward_model::resource::consistency::same_shown;
use keyward_model::resource::raw::{Problem as Found, Problems, Severity};
use keyward_model::resource::{Kind, Spec};
use keyward_model::{Name, Revision};
use keyward_store::management::{Author, ChangedResource, RememberedCall, ResourceWrite, Written};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often a change is tried again when other nodes change something meanwhile.
pub(crate) const TRIES: usize = 5;

/// Of so many policies at most the audit log tells that they allowed a change.
const POLICIES_TOLD: usize = 8;

/// Codes of what is wrong only because of what else there is.
const ABOUT_OTHERS: &[&str] = &[
    "access",
    "ambiguous_route",
    "duplicate_credential",
    "duplicate_issuer",
    "duplicate_name",
    "duplicate_path",
    "reserved_path",
    "too_many",
    "unknown_reference",
];

/// One resource that is to be another, with the permit for it.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) key: ResourceKey,
    /// `None` takes it away.
    pub(crate) draft: Option<Arc<Draft>>,
    /// What members of it are called in refusals: empty, or where its document stands.
    pub(crate) prefix: String,
    /// The policy that allows it.
    policy: Arc<str>,
}

impl Planned {
    /// With the permit to change this kind in this team.
    pub(crate) fn new(
        permit: &ManagementPermit,
        key: ResourceKey,
        draft: Option<Arc<Draft>>,
    ) -> Result<Self, Problem> {
        let wanted = KindDescription::of(key.kind).map(|kind| Action::write(kind.subject()));
        if wanted != Some(permit.action()) || permit.place() != Place::Team(key.team) {
            return Err(Problem::new(
                ProblemKind::Internal,
                "The change was not made: it was not asked whether you may",
            )
            .because("a change came with a permit for something else"));
        }
        // A permit may be for some of a kind, and not for this one.
        let permit = permit
            .of(named(&key))
            .map_err(|refusal| refused(permit.action(), refusal))?;
        Ok(Self {
            key,
            draft,
            prefix: String::new(),
            policy: Arc::clone(permit.policy()),
        })
    }

    /// The same, as a part of several.
    pub(crate) fn at(mut self, prefix: String) -> Self {
        self.prefix = prefix;
        self
    }
}

/// How a change is made.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    pub(crate) author: Author<'a>,
    pub(crate) summary: String,
    pub(crate) reason: &'a str,
    /// Whether it is only checked.
    pub(crate) dry_run: bool,
    pub(crate) remembered: Option<RememberedCall>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Made {
    /// The revision that did it; that which is, when nothing was changed or it was only checked.
    pub(crate) revision: Revision,
    /// How far credentials have come with it.
    pub(crate) credentials: i64,
    /// What each resource is now, in order; `None` of those taken away.
    pub(crate) resources: Vec<Option<Arc<DatabaseResource>>>,
    /// What the same call made before, where it is one that is known again: nothing was changed now.
    pub(crate) before: Option<MadeBefore>,
}

/// What a call with the same key has made.
#[derive(Debug)]
pub(crate) struct MadeBefore {
    /// Of what was asked for.
    pub(crate) fingerprint: String,
    pub(crate) resource: ResourceId,
    pub(crate) revision: Revision,
    /// How often credentials had been changed with it.
    pub(crate) mark: i64,
}

impl Site {
    /// Makes what `plan` asks for of the newest state of things. It is asked again when that has changed meanwhile.
    pub(crate) async fn make(
        &self,
        making: Making<'_>,
        mut plan: impl FnMut(&Catalogue) -> Result<Vec<Planned>, Problem>,
    ) -> Result<Made, Problem> {
        let _alone = self.writing().lock().await;
        for _ in 0..TRIES {
            let catalogue = self.served_now().await?;
            // Before anything else is looked at: what the same call has made is there by now.
            if let Some(before) = self.made_before(making.remembered.as_ref()).await? {
                return Ok(Made {
                    revision: before.revision,
                    credentials: catalogue.base.credentials,
                    resources: Vec::new(),
                    before: Some(before),
                });
            }
            let planned = plan(&catalogue)?;
            if planned.is_empty() {
                return Ok(Made {
                    revision: catalogue.base.revision,
                    credentials: catalogue.base.credentials,
                    resources: Vec::new(),
                    before: None,
                });
            }
            if let Some(made) = self.try_once(&making, &catalogue, planned).await? {
                return Ok(made);
            }
        }
        Err(contended())
    }

    /// `None` when another node was faster.
    async fn try_once(
        &self,
        making: &Making<'_>,
        catalogue: &Arc<Catalogue>,
        planned: Vec<Planned>,
    ) -> Result<Option<Made>, Problem> {
        let mut next = Catalogue::clone(catalogue);
        for change in &planned {
            if let Some(unreadable) = catalogue.unreadable(&change.key) {
                return Err(Problem::new(
                    ProblemKind::Unavailable,
                    "Another version of Keyward has declared this, and this node can't read it: change it through a node that can",
                )
                .because(format!("{}: {}", unreadable.resource, unreadable.why)));
            }
            match &change.draft {
                Some(draft) => next.insert(Arc::new(of_draft(draft, None, None, 0))),
                None => next.remove(&change.key),
            }
        }
        path::check(&planned, catalogue)?;
        self.custom_roles_are_unused(&planned).await?;
        let mut change = self.node().begin().await;
        let mut update = next.update_by(catalogue, &planned);
        if let Some(all) = &update.resources {
            // All else is what is served, and was checked on this node when it came.
            update.only_api = only_api(&planned, all);
        }
        if let Err(unfit) = change.check(update).await {
            return Err(refusal(unfit, &planned, &next));
        }
        if making.dry_run {
            let resources = planned.iter().map(|change| {
                let resource = next.get(&change.key);
                resource.map(Arc::clone)
            });
            return Ok(Some(Made {
                revision: catalogue.base.revision,
                credentials: catalogue.base.credentials,
                resources: resources.collect(),
                before: None,
            }));
        }
        let writes: Vec<ResourceWrite> = planned.iter().map(write_of).collect();
        let policies = policies(&planned);
        let author = Author {
            policy: &policies,
            ..making.author
        };
        let written = self
            .store()
            .write_resources(
                catalogue.base,
                &writes,
                making.remembered.as_ref(),
                (author, &making.summary, making.reason),
                self.now(),
            )
            .await;
        let written = match written {
            Ok(written) => written,
            Err(keyward_store::Error::Conflict { .. }) => return Ok(None),
            // The same call has come through another node meanwhile.
            Err(keyward_store::Error::Exists { .. }) if making.remembered.is_some() => {
                return Ok(None);
            }
            Err(keyward_store::Error::SameCredential { name, other }) => {
                return Err(same_credential(&planned, &name, &other));
            }
            Err(error @ keyward_store::Error::RoleInUse { .. }) => return Err(in_use(&error)),
            Err(error @ keyward_store::Error::Unacknowledged(_)) => {
                match self.written_all_the_same(making, catalogue, &planned).await {
                    Some(written) => written,
                    None => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        let mut resources = Vec::with_capacity(planned.len());
        for (planned, changed) in planned.iter().zip(&written.resources) {
            let by_row = planned.key.kind.changes_by_row();
            let mark = if by_row { written.credentials } else { 0 };
            let resource = planned.draft.as_ref().map(|draft| {
                let resource = of_draft(draft, Some(changed.id), Some(written.revision), mark);
                Arc::new(resource.to_be_kept())
            });
            if let Some(resource) = &resource {
                next.insert(Arc::clone(resource));
            }
            resources.push(resource);
        }
        // What others did between is not known here: it is read next.
        let before = catalogue.base;
        if written.is_revision {
            next.base.revision = written.revision;
        }
        if written.credentials == before.credentials + 1 {
            next.base.credentials = written.credentials;
        }
        change.serve().await;
        self.is_served(Arc::new(next)).await;
        Ok(Some(Made {
            revision: written.revision,
            credentials: written.credentials,
            resources,
            before: None,
        }))
    }

    /// That nobody has a custom role that goes: it may be the one that forbids something.
    async fn custom_roles_are_unused(&self, planned: &[Planned]) -> Result<(), Problem> {
        for change in planned {
            if let Err(error) = self.is_unused(change).await {
                if matches!(error, keyward_store::Error::RoleInUse { .. }) {
                    return Err(in_use(&error));
                }
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Whether this is no custom role that goes and that members have.
    pub(crate) async fn may_go(&self, change: &Planned) -> Result<bool, Problem> {
        match self.is_unused(change).await {
            Ok(()) => Ok(true),
            Err(keyward_store::Error::RoleInUse { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn is_unused(&self, change: &Planned) -> Result<(), keyward_store::Error> {
        if change.draft.is_some() || change.key.kind != Kind::ManagementRole {
            return Ok(());
        }
        let (team, name) = (change.key.team, &change.key.name);
        self.store().is_unused_role(team, name).await
    }

    pub(crate) async fn made_before(
        &self,
        call: Option<&RememberedCall>,
    ) -> Result<Option<MadeBefore>, Problem> {
        let Some(call) = call else {
            return Ok(None);
        };
        let known = self.store().remembered_call(&call.digest, self.now());
        let known = known.await?;
        Ok(known.map(|known| MadeBefore {
            fingerprint: known.fingerprint,
            resource: known.resource,
            revision: known.revision,
            mark: known.mark,
        }))
    }

    /// What was written by a call whose end the database did not acknowledge, if it can be seen that it was.
    async fn written_all_the_same(
        &self,
        making: &Making<'_>,
        catalogue: &Catalogue,
        planned: &[Planned],
    ) -> Option<Written> {
        let is_credential = |planned: &&Planned| planned.key.kind.changes_by_row();
        let is_revision = !planned.iter().all(|planned| is_credential(&planned));
        let (revision, changes) = if !is_revision {
            (catalogue.base.revision, Vec::new())
        } else {
            let revision = self.store().revision_of_call(making.author.request_id);
            let revision = revision.await.ok()??;
            let before = Revision(revision.0.saturating_sub(1));
            let changes = self.store().resource_changes(None, before, revision);
            (revision, changes.await.ok()?)
        };
        let credentials = self.store().credential_changes(catalogue.base.credentials);
        let credentials = credentials.await.ok()?;
        let of_row = |planned: &Planned| {
            let mut rows = credentials.changed.iter().flatten();
            let row =
                rows.find(|row| row.team == planned.key.team && row.name == planned.key.name)?;
            let before = catalogue.get(&planned.key);
            let body = planned
                .draft
                .as_ref()
                .map(|draft| draft.resource.body.to_string());
            let is_written = row.now.as_ref().map(|now| &now.body) == body.as_ref();
            let id = row.now.as_ref().map(|now| now.id);
            is_written.then_some(ChangedResource {
                id: id.or_else(|| before?.id)?,
                before: before.map(|before| before.body.to_string()),
            })
        };
        let changed = |planned: &Planned| {
            if is_credential(&planned) {
                return of_row(planned);
            }
            let version = stored_version(planned.key.version.as_ref());
            let mut changes = changes.iter();
            let change = changes.find(|change| {
                change.team == planned.key.team
                    && change.kind == planned.key.kind.as_str()
                    && change.name == planned.key.name
                    && change.version == version
            });
            change.map(|change| ChangedResource {
                id: change.id,
                before: change.before.clone(),
            })
        };
        let resources = planned.iter().map(changed).collect::<Option<_>>()?;
        Some(Written {
            revision,
            is_revision,
            credentials: credentials.mark,
            resources,
        })
    }
}

/// That a credential is shown in the same way as another of its team, which this node may not know.
fn same_credential(planned: &[Planned], name: &Name, other: &Name) -> Problem {
    let mut planned = planned.iter();
    let planned = planned.find(|change| change.key.name == *name);
    let (member, prefix) = planned.map_or(("", ""), |change| {
        let draft = change.draft.as_ref();
        let spec = draft.map(|draft| &draft.resource.resource.spec);
        let member = match spec {
            Some(Spec::Credential(credential)) => credential.shown().1,
            Some(
                Spec::Api(_)
                | Spec::Issuer(_)
                | Spec::Upstream(_)
                | Spec::Role(_)
                | Spec::AccessPolicy(_)
                | Spec::KeySet(_)
                | Spec::Webhook(_)
                | Spec::ManagementRole(_)
                | Spec::Provider(_)
                | Spec::Model(_)
                | Spec::Prompt(_),
            )
            | None => "",
        };
        (member, change.prefix.as_str())
    });
    Problem::of_member(
        ProblemKind::Unfit,
        format!("{prefix}/{member}"),
        "duplicate_credential",
        same_shown(member, other, name),
    )
}

fn in_use(error: &keyward_store::Error) -> Problem {
    Problem::new(ProblemKind::Unfit, error.to_string())
}

/// What a resource is called, for whoever decides by that.
pub(crate) fn named(key: &ResourceKey) -> Named<'_> {
    Named {
        name: key.name.as_str(),
        version: key.version.as_ref().map(Name::as_str),
    }
}

/// The policies that allow some changes, each once.
fn policies(planned: &[Planned]) -> String {
    let all: BTreeSet<&str> = planned.iter().map(|change| &*change.policy).collect();
    let told: Vec<&str> = all.iter().copied().take(POLICIES_TOLD).collect();
    let more = if all.len() > told.len() { ", …" } else { "" };
    format!("{}{more}", told.join(", "))
}

/// That others change the same things all the while.
pub(crate) fn contended() -> Problem {
    Problem::new(
        ProblemKind::Contended,
        "Others were faster again and again: nothing was changed, try again",
    )
}

impl Catalogue {
    /// What the node is told of this, which came of `planned` changes of what is served.
    fn update_by(&self, served: &Self, planned: &[Planned]) -> Update {
        let credentials = planned
            .iter()
            .filter(|change| change.key.kind.changes_by_row());
        let credentials = credentials.map(|change| CredentialUpdate {
            key: change.key.clone(),
            now: self.get(&change.key).map(Arc::clone),
        });
        Update {
            credentials: credentials.collect(),
            ..self.update_but_credentials(served)
        }
    }
}

fn of_draft(
    draft: &Draft,
    id: Option<ResourceId>,
    revision: Option<Revision>,
    mark: i64,
) -> DatabaseResource {
    let resource = &draft.resource;
    DatabaseResource {
        key: resource.key.clone(),
        team_name: resource.team_name.clone(),
        id,
        revision,
        mark,
        body: Arc::clone(&resource.body),
        declared: resource.declared.clone(),
        resource: Arc::clone(&resource.resource),
        pointers: resource.pointers.clone(),
    }
}

fn write_of(planned: &Planned) -> ResourceWrite {
    let draft = planned.draft.as_ref();
    ResourceWrite {
        team: planned.key.team,
        kind: planned.key.kind.as_str(),
        name: planned.key.name.clone(),
        version: stored_version(planned.key.version.as_ref()),
        body: draft.map(|draft| draft.resource.body.to_string()),
        secrets: draft.map(|draft| draft.secrets.clone()).unwrap_or_default(),
        shown: draft.map(|draft| shown_of(draft)).unwrap_or_default(),
    }
}

/// What callers show of a credential, where it is no secret: what is stored is a hash.
fn shown_of(draft: &Draft) -> String {
    match &draft.resource.resource.spec {
        Spec::Credential(credential) if !credential.is_clear() => credential.shown().0,
        Spec::Credential(_)
        | Spec::Api(_)
        | Spec::Issuer(_)
        | Spec::Upstream(_)
        | Spec::Role(_)
        | Spec::AccessPolicy(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Provider(_)
        | Spec::Model(_)
        | Spec::Prompt(_) => String::new(),
    }
}

/// Where the one API stands that is all that changes, if that is so.
fn only_api(planned: &[Planned], all: &[Arc<DatabaseResource>]) -> Option<usize> {
    let mut others = planned.iter();
    let one = others.find(|change| !change.key.kind.changes_by_row())?;
    let alone = others.all(|change| change.key.kind.changes_by_row());
    if !alone || one.key.kind != Kind::Api || one.draft.is_none() {
        return None;
    }
    all.binary_search_by(|resource| resource.key.cmp(&one.key))
        .ok()
}

/// Why a change can't be made, told of what the caller may see.
fn refusal(unfit: Unfit, planned: &[Planned], next: &Catalogue) -> Problem {
    let problems = match unfit {
        Unfit::Problems(problems) => problems,
        Unfit::Node(why) => {
            return Problem::new(
                ProblemKind::Unavailable,
                "This node can't serve the change, and nothing was changed: whoever runs it finds the reason in its log, under this call's id",
            )
            .because(why);
        }
    };
    let reader = Reader::of(planned, next);
    let errors: Vec<&Found> = errors(&problems).collect();
    let about_others = errors
        .iter()
        .any(|found| ABOUT_OTHERS.contains(&found.code) || reader.planned(found).is_none());
    let flaws: Vec<MemberFlaw> = errors.iter().map(|found| reader.flaw(found)).collect();
    let detail = flaws
        .first()
        .map_or("It does not fit", |flaw| flaw.detail.as_str())
        .to_owned();
    let kind = if about_others {
        ProblemKind::Unfit
    } else {
        ProblemKind::Invalid
    };
    Problem::new(kind, detail).with(flaws)
}

fn errors(problems: &Problems) -> impl Iterator<Item = &Found> {
    let all = problems.as_slice().iter();
    all.filter(|found| found.severity == Severity::Error)
}

/// Tells whose a problem is.
struct Reader<'p> {
    planned: BTreeMap<u32, (&'p Planned, &'p DatabaseResource)>,
    others: BTreeMap<u32, &'p DatabaseResource>,
    /// Files declare for the team `default`.
    sees_files: bool,
}

impl<'p> Reader<'p> {
    fn of(planned: &'p [Planned], next: &'p Catalogue) -> Self {
        let drafts = planned.iter().filter_map(|change| {
            let resource = &change.draft.as_ref()?.resource;
            Some((resource.source()?, (change, resource)))
        });
        let teams: Vec<_> = planned.iter().map(|change| change.key.team).collect();
        let others = next.values().map(|resource| &**resource);
        Self {
            sees_files: teams.contains(&TeamId::DEFAULT),
            planned: drafts.collect(),
            others: others
                .filter(|resource| teams.contains(&resource.key.team))
                .filter_map(|resource| Some((resource.source()?, resource)))
                .collect(),
        }
    }

    fn planned(&self, found: &Found) -> Option<&(&'p Planned, &'p DatabaseResource)> {
        self.planned.get(&found.place.source)
    }

    fn flaw(&self, found: &Found) -> MemberFlaw {
        let told = |member: String, detail: String| MemberFlaw {
            member,
            code: found.code,
            detail,
        };
        if let Some((change, resource)) = self.planned(found) {
            let pointer = pointer_of(&resource.pointers, found.place);
            return told(format!("{}{pointer}", change.prefix), found.message.clone());
        }
        if let Some(other) = self.others.get(&found.place.source) {
            let (kind, name) = (other.key.kind, &other.key.name);
            return told(String::new(), format!("{kind} `{name}`: {}", found.message));
        }
        if found.place.is_declared_by_api() || !self.sees_files {
            // Of a team that the caller may know nothing of.
            let why = "it does not fit what is published elsewhere on this gateway";
            return told(String::new(), why.to_owned());
        }
        told(
            String::new(),
            format!("in the node's own file: {}", found.message),
        )
    }
}
