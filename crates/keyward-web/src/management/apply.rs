//! Many resources at once, and all of them back: what `keyward apply`, `diff` and `export` ask for.

use super::call::{Call, JSON};
use super::catalogue::Catalogue;
use super::change::{Making, Planned};
use super::draft::{Draft, invalid};
use super::endpoint::Outcome;
use super::history::{APPLY, Reader, difference_to};
use super::kind::KindDescription;
use super::resource::{Known, check_step, same, shown, written};
use super::team::{bad_member, check_members};
use crate::answer::Answer;
use crate::node::ResourceKey;
use crate::problem::{MemberFlaw, Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_access::management::{Action, ManagementPermit, Manager, Place};
use keyward_model::id::TeamId;
use keyward_model::resource::Kind;
use keyward_model::resource::raw::closest;
use keyward_model::{Revision, TeamName};
use keyward_store::management::Team;
use serde_json::{Value, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most resources of one call.
const RESOURCES_MAX: usize = 100_000;

/// A document of a call, read.
struct Document {
    draft: Arc<Draft>,
    permit: ManagementPermit,
    team: Team,
    /// Where it stands in the call's body.
    prefix: String,
}

/// What is asked for.
struct Asked {
    documents: Vec<Document>,
    /// Teams whose resources go away where the call names them not.
    prune: Vec<Team>,
    /// The newest revision, and how often credentials had been changed, as the caller has seen it.
    base: (Option<Revision>, Option<i64>),
}

/// `POST /apply`.
pub(crate) fn apply<'c>(site: &'c Site, call: &'c Call, manager: Arc<Manager>) -> Outcome<'c> {
    async move {
        let dry_run = call.flag("dry_run")?;
        let asked = asked(site, call, &manager).await?;
        let mut may = May::new(site, &manager);
        // What may be done is decided before anybody has to wait for it.
        let mut declared = Vec::with_capacity(asked.documents.len());
        for document in &asked.documents {
            let key = &document.draft.resource.key;
            may.reader.in_turn().await;
            let draft = Some(Arc::clone(&document.draft));
            let change = Planned::new(&document.permit, key.clone(), draft)
                .map_err(|problem| forbidden(problem, &document.prefix))?;
            let change = change.at(document.prefix.clone());
            declared.push((document, change, may.reader.reads(key)));
        }
        let gone = may.going(&asked, &*site.catalogue().await?).await?;
        let files = site.node().files().await;
        let files: BTreeSet<&ResourceKey> = files.iter().map(|file| &file.key).collect();
        for document in &asked.documents {
            let key = &document.draft.resource.key;
            if files.contains(key) {
                return Err(Problem::of_member(
                    ProblemKind::ReadOnly,
                    &document.prefix,
                    "read_only",
                    format!(
                        "{} `{}` stands in the node's own configuration file (`origin: file`): change it there",
                        key.kind,
                        shown(key)
                    ),
                ));
            }
        }
        let address = call.address.to_string();
        let making = Making {
            author: call.author_of(&manager, &address),
            summary: APPLY.to_owned(),
            reason: call.reason()?,
            dry_run,
            remembered: None,
        };
        let mut told: Vec<Value> = Vec::new();
        let mut unchanged = 0;
        let made = site
            .make(making, |catalogue| {
                let (revision, credentials) = asked.base;
                let now = catalogue.base;
                let is_other = revision.is_some_and(|revision| revision != now.revision);
                if is_other || credentials.is_some_and(|count| count != now.credentials) {
                    return Err(Problem::of_member(
                        ProblemKind::Changed,
                        if is_other { "/revision" } else { "/credentials" },
                        "changed",
                        "Somebody has changed something since: look at the difference again",
                    ));
                }
                told.clear();
                unchanged = 0;
                let mut planned = Vec::new();
                for (document, change, reads) in &declared {
                    let resource = &document.draft.resource;
                    let current = catalogue.get(&resource.key);
                    if let Some(current) = current {
                        if same(current, resource) {
                            unchanged += 1;
                            continue;
                        }
                        check_step(current, resource)
                            .map_err(|problem| problem.below(&document.prefix))?;
                    }
                    let before = current.map(|current| written(&current.body));
                    let after = Some(written(&resource.body));
                    let (key, team) = (&resource.key, &document.team.name);
                    told.push(difference_to(*reads, key, team, before, after));
                    planned.push(change.clone());
                }
                let named = asked.named();
                for team in &asked.prune {
                    let of_team = catalogue.values();
                    for current in of_team.filter(|current| current.key.team == team.id) {
                        if named.contains(&current.key) {
                            continue;
                        }
                        let (key, before) = (&current.key, Some(written(&current.body)));
                        let (change, reads) = match gone.get(key) {
                            Some(known) => known.clone(),
                            // It came just now.
                            None => match may.go(key)? {
                                Some(change) => (change, may.reader.reads(key)),
                                None => continue,
                            },
                        };
                        told.push(difference_to(reads, key, &team.name, before, None));
                        planned.push(change);
                    }
                }
                Ok(planned)
            })
            .await?;
        Ok(Answer::ok(json!({
            "revision": made.revision,
            "credentials": made.credentials,
            "dry_run": dry_run,
            "changes": told,
            "unchanged": unchanged,
        })))
    }
    .boxed()
}

impl Asked {
    /// What the documents are about.
    fn named(&self) -> BTreeSet<&ResourceKey> {
        let documents = self.documents.iter();
        documents
            .map(|document| &document.draft.resource.key)
            .collect()
    }
}

/// What the caller may take away, and what they may read of it.
struct May<'m> {
    site: &'m Site,
    reader: Reader<'m>,
    manager: &'m Arc<Manager>,
    /// What was decided already: once for each team and kind.
    permits: BTreeMap<(TeamId, Kind), ManagementPermit>,
}

impl<'m> May<'m> {
    fn new(site: &'m Site, manager: &'m Arc<Manager>) -> Self {
        Self {
            site,
            reader: Reader::new(manager),
            manager,
            permits: BTreeMap::new(),
        }
    }

    /// All that would be pruned now, and whether each may be read.
    async fn going(
        &mut self,
        asked: &Asked,
        catalogue: &Catalogue,
    ) -> Result<BTreeMap<ResourceKey, (Planned, bool)>, Problem> {
        let mut going = BTreeMap::new();
        let named = asked.named();
        let teams: BTreeSet<TeamId> = asked.prune.iter().map(|team| team.id).collect();
        let of_teams = catalogue.values();
        for current in of_teams.filter(|current| teams.contains(&current.key.team)) {
            let key = &current.key;
            if named.contains(key) {
                continue;
            }
            self.reader.in_turn().await;
            if let Some(change) = self.go(key)? {
                going.insert(key.clone(), (change, self.reader.reads(key)));
            }
        }
        Ok(going)
    }

    /// This one taken away; `None` of what no call is about.
    fn go(&mut self, key: &ResourceKey) -> Result<Option<Planned>, Problem> {
        let Some(kind) = KindDescription::of(key.kind) else {
            return Ok(None);
        };
        let permit = match self.permits.entry((key.team, key.kind)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let write = Action::write(kind.subject());
                let place = Place::Team(key.team);
                new.insert(self.site.permit_any(self.manager, write, place)?)
            }
        };
        Planned::new(permit, key.clone(), None).map(Some)
    }
}

async fn asked(site: &Site, call: &Call, manager: &Arc<Manager>) -> Result<Asked, Problem> {
    let body = call.json_apart(JSON).await?;
    check_members(&body, &["resources", "prune", "revision", "credentials"])?;
    let list = body.get("resources").and_then(Value::as_array);
    let list = list.filter(|list| list.len() <= RESOURCES_MAX);
    let list =
        list.ok_or_else(|| bad_member("/resources", "it is a list of resources, 100,000 at most"))?;
    let seen = |member: &str| {
        let Some(number) = body.get(member) else {
            return Ok(None);
        };
        let number = number.as_i64().filter(|number| *number >= 0);
        let why = "it is a number, as a dry run has told it";
        number
            .map(Some)
            .ok_or_else(|| bad_member(&format!("/{member}"), why))
    };
    let revision = seen("revision")?.map(|number| Revision(number.unsigned_abs()));
    let base = (revision, seen("credentials")?);
    let mut teams = Teams {
        site,
        manager,
        permits: BTreeMap::new(),
        known: site
            .store()
            .teams()
            .await?
            .into_iter()
            .map(|team| (team.name.clone(), team))
            .collect(),
    };
    let mut documents: Vec<Document> = Vec::with_capacity(list.len());
    let mut flaws: Vec<MemberFlaw> = Vec::new();
    let mut seen: BTreeMap<ResourceKey, usize> = BTreeMap::new();
    for (index, written) in list.iter().enumerate() {
        let prefix = format!("/resources/{index}");
        // Each takes some time, and others wait for the control plane too.
        tokio::task::yield_now().await;
        let (kind, team, permit) = teams.document(written, &prefix)?;
        match site.draft(kind, &team, written.clone()).await {
            Ok(draft) => {
                if let Some(other) = seen.insert(draft.resource.key.clone(), index) {
                    flaws.push(MemberFlaw {
                        member: format!("{prefix}/name"),
                        code: "duplicate_name",
                        detail: format!(
                            "it stands there twice: /resources/{other} declares the same"
                        ),
                    });
                }
                documents.push(Document {
                    draft: Arc::new(draft),
                    permit,
                    team,
                    prefix,
                });
            }
            Err(problem) if problem.kind() == ProblemKind::Invalid => {
                flaws.extend(problem.below(&prefix).into_flaws());
            }
            Err(problem) => return Err(problem),
        }
    }
    if !flaws.is_empty() {
        return Err(invalid(flaws));
    }
    let prune = teams.prune(&body)?;
    if let (Some(_), None, false) = (base.0, base.1, prune.is_empty()) {
        // Else a key that came since the dry run would go without having been shown.
        return Err(bad_member(
            "/credentials",
            "it stands beside `revision` where something is pruned, as the dry run has told it",
        ));
    }
    Ok(Asked {
        documents,
        prune,
        base,
    })
}

/// That somebody may not declare the document that stands there.
fn forbidden(problem: Problem, prefix: &str) -> Problem {
    let flaw = MemberFlaw {
        member: prefix.to_owned(),
        code: "forbidden",
        detail: problem.detail().to_owned(),
    };
    problem.with(vec![flaw])
}

/// The teams that there are, of which the caller may not know all.
struct Teams<'a> {
    site: &'a Site,
    manager: &'a Arc<Manager>,
    /// What was decided already: once for each team and kind.
    permits: BTreeMap<(TeamId, Kind), ManagementPermit>,
    known: BTreeMap<TeamName, Team>,
}

impl Teams<'_> {
    fn named(&self, name: &str, member: &str) -> Result<&Team, Problem> {
        let team = self.known.values().find(|team| team.name.as_str() == name);
        let team = team.filter(|team| self.manager.sees(team.id));
        team.ok_or_else(|| {
            Problem::of_member(
                ProblemKind::NotFound,
                member,
                "unknown_team",
                "There is no such team, as far as you may see",
            )
        })
    }

    /// What a document is, and that the caller may declare it.
    fn document(
        &mut self,
        written: &Value,
        prefix: &str,
    ) -> Result<(&'static KindDescription, Team, ManagementPermit), Problem> {
        let kind = written
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let description = KindDescription::named(kind).ok_or_else(|| {
            let kinds = KindDescription::ALL.iter().map(|kind| kind.kind.as_str());
            let hint = match closest(kind, kinds.clone()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("it is one of {}", kinds.collect::<Vec<_>>().join(", ")),
            };
            bad_member(&format!("{prefix}/kind"), &hint)
        })?;
        let member = format!("{prefix}/team");
        let name = match written.get("team") {
            None => TeamName::default_team().to_string(),
            Some(name) => {
                let name = name.as_str();
                let name = name.ok_or_else(|| bad_member(&member, "it is a team's name"))?;
                name.to_owned()
            }
        };
        let team = self.named(&name, &member)?.clone();
        let decided = (team.id, description.kind);
        if let Some(permit) = self.permits.get(&decided) {
            return Ok((description, team, permit.clone()));
        }
        let write = Action::write(description.subject());
        let permit = self
            .site
            .permit_any(self.manager, write, Place::Team(team.id))
            .map_err(|problem| forbidden(problem, prefix))?;
        self.permits.insert(decided, permit.clone());
        Ok((description, team, permit))
    }

    fn prune(&self, body: &Value) -> Result<Vec<Team>, Problem> {
        let Some(prune) = body.get("prune") else {
            return Ok(Vec::new());
        };
        let why = "it is a list of teams: what they have and the call does not name goes away";
        let names = prune.as_array().ok_or_else(|| bad_member("/prune", why))?;
        let mut teams: BTreeMap<TeamName, Team> = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            let member = format!("/prune/{index}");
            let name = name.as_str().ok_or_else(|| bad_member(&member, why))?;
            let team = self.named(name, &member)?;
            teams.insert(team.name.clone(), team.clone());
        }
        Ok(teams.into_values().collect())
    }
}

/// `GET /export`: what the caller may read of the database, as `apply` takes it.
pub(crate) fn export<'c>(site: &'c Site, call: &'c Call, manager: Arc<Manager>) -> Outcome<'c> {
    async move {
        let (team, kind) = (call.query("team"), call.query("kind"));
        if let Some(kind) = kind
            && KindDescription::named(kind).is_none()
        {
            let kinds: Vec<&str> = KindDescription::ALL
                .iter()
                .map(|k| k.kind.as_str())
                .collect();
            let why = format!("it is one of {}", kinds.join(", "));
            return Err(super::call::bad_query("kind", &why));
        }
        let catalogue = site.catalogue().await?;
        let mut reader = Reader::new(&manager);
        let mut resources = Vec::new();
        for resource in catalogue.values() {
            let wanted = team.is_none_or(|team| resource.team_name.as_str() == team)
                && kind.is_none_or(|kind| resource.key.kind.as_str() == kind);
            if wanted && reader.reads_in_turn(&resource.key).await {
                resources.push(written(Known::Database(Arc::clone(resource)).body()));
            }
        }
        Ok(Answer::ok(json!({
            "revision": catalogue.base.revision,
            "resources": resources,
        })))
    }
    .boxed()
}
