//! Which paths a team publishes below: operators give them, and a path is one team's alone.
//!
//! Only with that does no publisher take another's calls, whether by the same path at a host that is looked at
//! first, by a longer path, or by a rule that comes before the other's. A refusal says the same whoever is there, or
//! nobody: so none learns of others by trying. What stands in a node's own file is its operator's word, and goes by
//! no such rule.

use super::call::JSON;
use super::catalogue::Catalogue;
use super::change::{Planned, TRIES, contended};
use super::endpoint::{Allowed, Outcome};
use super::resource::{hexadecimal, shown};
use super::team::{bad_member, check_members};
use crate::answer::Answer;
use crate::node::DatabaseResource;
use crate::problem::{MemberFlaw, Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_model::id::TeamId;
use keyward_model::resource::{Api, HostPattern, Spec, TeamPath};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most paths of a team: each is looked at for each API that is published.
pub(crate) const PATHS_MAX: usize = 100;

/// The form of a path, somewhat narrower than what is taken.
pub(crate) const FORM: &str = r"^((\*\.)?[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?){1,3})?(/|(/[A-Za-z0-9_~-]{1,40}){1,6})$";

/// The paths of all teams.
pub(crate) type TeamPaths = BTreeMap<TeamId, BTreeSet<TeamPath>>;

fn told(paths: Option<&BTreeSet<TeamPath>>) -> Value {
    let paths = paths.into_iter().flatten().map(ToString::to_string);
    json!({ "paths": paths.collect::<Vec<_>>() })
}

/// The entity tag of these paths.
fn tag(paths: Option<&BTreeSet<TeamPath>>) -> String {
    let hash = hexadecimal(told(paths).to_string().as_bytes());
    format!("\"p{}\"", hash.get(..32).unwrap_or_default())
}

/// `GET /teams/{team}/paths`.
pub(crate) fn show<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let catalogue = site.catalogue().await?;
        let paths = catalogue.paths.get(&allowed.team()?.id);
        Ok(Answer::ok(told(paths)).tagged(tag(paths)))
    }
    .boxed()
}

/// `PUT /teams/{team}/paths`: these and no others.
pub(crate) fn put<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = allowed.team()?;
        let body = allowed.call.json(JSON)?;
        check_members(&body, &["paths"])?;
        let paths = read(&body)?;
        if team.id == TeamId::DEFAULT {
            let why = "the team `default` publishes wherever no other team's paths are: it needs none of its own";
            return Err(bad_member("/paths", why));
        }
        let address = allowed.call.address.to_string();
        let author = allowed.call.author(&allowed.permit, &address);
        let _alone = site.writing().lock().await;
        for _ in 0..TRIES {
            let catalogue = site.catalogue().await?;
            let before = catalogue.paths.get(&team.id);
            if let Some(tags) = allowed.call.if_match()?
                && !tags.has(&tag(before))
            {
                let why = "The team has other paths than you have read: read them again, and decide anew";
                return Err(Problem::new(ProblemKind::Changed, why));
            }
            let done = || Answer::ok(told(Some(&paths))).tagged(tag(Some(&paths)));
            if before.cloned().unwrap_or_default() == paths {
                return Ok(done());
            }
            may_give(site, &catalogue, Some(team.id), &paths).await?;
            left_out(&catalogue, team.id, &paths)?;
            let (base, now) = (catalogue.base.revision, site.now());
            let store = site.store();
            match store.set_team_paths(base, team, &paths, author, now).await {
                Ok(_) => return Ok(done()),
                Err(keyward_store::Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended())
    }
    .boxed()
}

/// The paths of a body, none where it names none.
pub(crate) fn read(body: &Value) -> Result<BTreeSet<TeamPath>, Problem> {
    let Some(list) = body.get("paths") else {
        return Ok(BTreeSet::new());
    };
    let list = list.as_array().filter(|list| list.len() <= PATHS_MAX);
    let list = list.ok_or_else(|| bad_member("/paths", "it is a list of paths, 100 at most"))?;
    let mut paths = BTreeSet::new();
    for (index, path) in list.iter().enumerate() {
        let member = format!("/paths/{index}");
        let text = path.as_str().unwrap_or_default();
        let path = text.parse::<TeamPath>();
        paths.insert(path.map_err(|error| bad_member(&member, &error.to_string()))?);
    }
    Ok(paths)
}

/// That these paths are nobody else's: neither given to another team, nor published at. Whoever gives paths is an
/// operator, who sees all teams.
pub(crate) async fn may_give(
    site: &Site,
    catalogue: &Catalogue,
    team: Option<TeamId>,
    paths: &BTreeSet<TeamPath>,
) -> Result<(), Problem> {
    let mut flaws = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let others = catalogue.paths.iter();
        let mut others = others.filter(|(other, _)| Some(**other) != team);
        let taken = others.find_map(|(other, theirs)| {
            let taken = theirs.iter().find(|other| other.overlaps(path))?;
            Some((*other, taken))
        });
        if let Some((other, taken)) = taken {
            let teams = site.store().teams().await?;
            let other = teams.iter().find(|team| team.id == other);
            let other = other.map(|team| team.name.as_str()).unwrap_or_default();
            let why = format!(
                "`{path}` overlaps `{taken}`, which the team `{other}` has: a path is one team's alone"
            );
            flaws.push(flaw(index, why));
            continue;
        }
        let published = served(catalogue)
            .find(|(resource, api)| Some(resource.key.team) != team && path.is_entered_by(api));
        if let Some((resource, _)) = published {
            let why = format!(
                "the API `{}` of the team `{}` is published at `{path}`: move or retire it first",
                shown(&resource.key),
                resource.team_name
            );
            flaws.push(flaw(index, why));
        }
    }
    refuse(ProblemKind::Unfit, flaws)
}

fn flaw(index: usize, detail: String) -> MemberFlaw {
    MemberFlaw {
        member: format!("/paths/{index}"),
        code: "path_taken",
        detail,
    }
}

fn refuse(kind: ProblemKind, flaws: Vec<MemberFlaw>) -> Result<(), Problem> {
    match flaws.first() {
        None => Ok(()),
        Some(first) => Err(Problem::new(kind, first.detail.clone()).with(flaws)),
    }
}

/// That no API of the team is left without its path.
fn left_out(
    catalogue: &Catalogue,
    team: TeamId,
    paths: &BTreeSet<TeamPath>,
) -> Result<(), Problem> {
    let before = catalogue.paths.get(&team).cloned().unwrap_or_default();
    let mut own = served(catalogue).filter(|(resource, _)| resource.key.team == team);
    let left =
        own.find(|(_, api)| outside(api, &before).is_none() && outside(api, paths).is_some());
    match left {
        None => Ok(()),
        Some((resource, _)) => Err(Problem::of_member(
            ProblemKind::Unfit,
            "/paths",
            "path_in_use",
            format!(
                "the API `{}` is published there: leave its path to the team, or move or retire it first",
                shown(&resource.key)
            ),
        )),
    }
}

/// What the database has published.
fn served(catalogue: &Catalogue) -> impl Iterator<Item = (&Arc<DatabaseResource>, &Api)> {
    let all = catalogue.values();
    all.filter_map(|resource| {
        let Spec::Api(api) = &resource.resource.spec else {
            return None;
        };
        api.state.serves().then_some((resource, api))
    })
}

/// A host at which an API is not below these paths, if there is one; `None` within is every host.
fn outside<'a>(api: &'a Api, paths: &BTreeSet<TeamPath>) -> Option<Option<&'a HostPattern>> {
    let any = api.hosts.is_empty().then_some(None);
    let mut hosts = api.hosts.iter().map(Some).chain(any);
    hosts.find(|host| !paths.iter().any(|path| path.holds(*host, &api.base_path)))
}

/// That what is published stays below its team's paths; of the team `default`, away from those of others.
pub(crate) fn check(planned: &[Planned], catalogue: &Catalogue) -> Result<(), Problem> {
    let mut flaws = Vec::new();
    for change in planned {
        let Some(draft) = &change.draft else { continue };
        let Spec::Api(api) = &draft.resource.resource.spec else {
            continue;
        };
        if !api.state.serves() {
            continue;
        }
        let why = if change.key.team == TeamId::DEFAULT {
            let mut given = catalogue.paths.values().flatten();
            let entered = given.any(|path| path.is_entered_by(api));
            entered.then(|| {
                format!(
                    "`base_path`: `{}` is not below a path of this team: operators give paths; choose another",
                    api.base_path
                )
            })
        } else {
            let own = catalogue.paths.get(&change.key.team);
            let outside = outside(api, own.unwrap_or(&BTreeSet::new()));
            outside.map(|host| {
                let on = host.map_or_else(|| "every host".to_owned(), |host| format!("`{host}`"));
                let (path, team) = (&api.base_path, &draft.resource.team_name);
                format!(
                    "`base_path`: `{path}` on {on} is not below a path of this team: operators give paths, and `GET /teams/{team}/paths` tells those that it has"
                )
            })
        };
        if let Some(detail) = why {
            flaws.push(MemberFlaw {
                member: format!("{}/base_path", change.prefix),
                code: "foreign_path",
                detail,
            });
        }
    }
    refuse(ProblemKind::Forbidden, flaws)
}
