//! Endpoints of revocations: what tokens are no longer believed.
//!
//! Operators revoke tokens of the issuers that all teams share, and of this node's own. A team revokes those of its own
//! issuers, its credentials and the certificates that its APIs take: a revocation counts for callers whom something of its
//! team vouches for, so that it touches nobody else's, whoever calls an issuer by the same address.

use super::call::JSON;
use super::endpoint::{Allowed, BASE, Outcome};
use super::list::Paging;
use super::team::{bad_member, check_members};
use crate::answer::Answer;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_model::TeamName;
use keyward_model::id::{RevocationId, TeamId};
use keyward_model::resource::raw::form;
use keyward_model::resource::{Authentication, AuthenticationMethod, Kind, Spec, credential};
use keyward_model::revocation::{Revocation, RevocationKind};
use keyward_state::revocation::REVOCATIONS_MAX_DEFAULT;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a revocation is kept unless told otherwise: longer than tokens usually live.
const KEPT: Duration = Duration::from_secs(365 * 24 * 3600);

/// How far an issuer's clock may be ahead of ours: what it issued until now is meant.
const LEEWAY: Duration = Duration::from_secs(30);

/// The longest `jti`, `sub` and the like.
const VALUE_MAX: usize = 1024;

/// The most revocations of a team at a time: a hundredth of what a node takes in, so that no team uses up the others' share.
const OF_TEAM_MAX: usize = 10_000;

/// As they are written.
const KINDS: [(&str, RevocationKind); 5] = [
    ("token", RevocationKind::TokenId),
    ("session", RevocationKind::Session),
    ("subject", RevocationKind::Subject),
    ("client", RevocationKind::Client),
    ("family", RevocationKind::Family),
];

/// Who vouches for callers, by team, as far as this node knows.
struct Issuers {
    of_teams: BTreeSet<(TeamId, Box<str>)>,
    /// Teams whose APIs take certificates, which name their issuers themselves.
    with_certificates: BTreeSet<TeamId>,
    names: BTreeMap<TeamId, TeamName>,
}

impl Issuers {
    async fn read(site: &Site) -> Result<Self, Problem> {
        let mut issuers = Self {
            of_teams: BTreeSet::from([(TeamId::DEFAULT, site.site_url().into())]),
            // A file's APIs may take them.
            with_certificates: BTreeSet::from([TeamId::DEFAULT]),
            names: BTreeMap::new(),
        };
        let teams = site.store().teams().await?;
        issuers.names = teams.into_iter().map(|team| (team.id, team.name)).collect();
        for file in site.node().files().await.iter() {
            if let (Kind::Issuer | Kind::KeySet, Some(issuer)) = (
                file.key.kind,
                file.body.get("issuer").and_then(Value::as_str),
            ) {
                issuers.of_teams.insert((file.key.team, issuer.into()));
            }
        }
        for one in site.catalogue().await?.values() {
            let team = one.key.team;
            let issuer = match &one.resource.spec {
                Spec::Issuer(own) => Some(&*own.issuer),
                Spec::KeySet(set) => set.issuer.as_deref(),
                Spec::Api(api) => {
                    if takes_certificates(&api.authentication) {
                        issuers.with_certificates.insert(team);
                    }
                    None
                }
                Spec::Upstream(_)
                | Spec::Credential(_)
                | Spec::Role(_)
                | Spec::AccessPolicy(_)
                | Spec::Webhook(_)
                | Spec::ManagementRole(_)
                | Spec::Provider(_)
                | Spec::Model(_)
                | Spec::Prompt(_) => None,
            };
            if let Some(issuer) = issuer {
                issuers.of_teams.insert((team, issuer.into()));
            }
        }
        Ok(issuers)
    }

    /// Whether callers whom this one vouches for may come to the team.
    fn knows(&self, team: TeamId, issuer: &str) -> bool {
        let of_certificates = issuer.contains('=') && self.with_certificates.contains(&team);
        issuer == credential::ISSUER
            || of_certificates
            || self.of_teams.contains(&(team, issuer.into()))
    }

    /// A revocation as it is told, with whether it can refuse anybody as far as this node knows.
    fn told(&self, revocation: &Revocation) -> Value {
        let kind = KINDS.iter().find(|(_, kind)| *kind == revocation.kind);
        let team = match self.names.get(&revocation.team) {
            Some(name) => name.to_string(),
            None => format!("deleted-{}", revocation.team),
        };
        json!({
            "id": revocation.id.to_string(),
            "team": team,
            "kind": kind.map(|(name, _)| *name),
            "issuer": revocation.issuer,
            "issuer_known": self.knows(revocation.team, &revocation.issuer),
            "value": revocation.value,
            "not_before": revocation.not_before.to_string(),
            "expires_at": revocation.expires.to_string(),
        })
    }
}

fn takes_certificates(authentication: &Authentication) -> bool {
    match authentication {
        Authentication::None => false,
        Authentication::Methods(methods) => {
            let mut methods = methods.iter();
            methods.any(|method| matches!(method, AuthenticationMethod::MutualTls(_)))
        }
    }
}

/// Whose revocations an address is about: `None` are those of the whole deployment.
fn whose(allowed: &Allowed<'_>) -> Result<Option<TeamId>, Problem> {
    let team = allowed.permit.place().team();
    if team == Some(TeamId::DEFAULT) && !allowed.manager.is_operator() {
        // The issuers of nodes' own files vouch for that team: what is revoked there concerns everyone.
        let why =
            "Only an operator revokes in the team `default`: issuers of nodes' own files are of it";
        return Err(Problem::new(ProblemKind::Forbidden, why));
    }
    Ok(team)
}

/// That this issuer vouches for nobody who comes to the team.
fn not_own() -> Problem {
    let why = format!(
        "No issuer and no key set of this team has this `iss`: a team revokes tokens of its own issuers, its credentials (`{}`) and certificates that its APIs take, by their issuer's name",
        credential::ISSUER
    );
    Problem::of_member(ProblemKind::Unfit, "/issuer", "unknown_reference", why)
}

/// `GET /revocations` and the same of a team: those in force, the oldest first.
pub(crate) fn list<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = whose(&allowed)?;
        let named = team.map(|team| team.to_string()).unwrap_or_default();
        let paging = Paging::of(site, allowed.call, &["revocations", &named])?;
        let after = paging.after.as_ref().and_then(Value::as_str);
        let found = site
            .store()
            .revocations_page(team, after.unwrap_or_default(), paging.wanted(), site.now())
            .await?;
        let end = |one: &Revocation| json!(one.id.to_string());
        let issuers = Issuers::read(site).await?;
        Ok(Answer::ok(
            paging.page(site, found, end, |one| issuers.told(&one)),
        ))
    }
    .boxed()
}

/// `POST /revocations` and the same of a team.
pub(crate) fn create<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = whose(&allowed)?;
        let body = allowed.call.json(JSON)?;
        check_members(&body, &["kind", "issuer", "value", "expires_in"])?;
        let kind = body.get("kind").and_then(Value::as_str);
        let kind = KINDS.iter().find(|(name, _)| Some(*name) == kind);
        let (_, kind) = kind.ok_or_else(|| {
            bad_member(
                "/kind",
                "it is `token`, `session`, `subject`, `client` or `family`",
            )
        })?;
        let text = |name: &str, about: &str| {
            let text = body.get(name).and_then(Value::as_str);
            let text = text.filter(|text| {
                !text.is_empty() && text.len() <= VALUE_MAX && !text.contains('\0')
            });
            text.ok_or_else(|| bad_member(&format!("/{name}"), about))
        };
        let issuer = text("issuer", "it is the `iss` of the tokens, as they carry it")?;
        let value = text(
            "value",
            "it is the `jti`, `sid`, `sub`, `client_id` or family, of 1 to 1,024 bytes",
        )?;
        let now = site.now();
        let kept = match body.get("expires_in") {
            None => KEPT,
            Some(written) => {
                let time = written.as_str().and_then(form::duration);
                let time = time.filter(|time| !time.is_zero() && *time <= KEPT * 10);
                time.ok_or_else(|| {
                    bad_member(
                        "/expires_in",
                        "it is a duration such as 30d, longer than the last of the tokens lives and ten years at most",
                    )
                })?
            }
        };
        let store = site.store();
        let issuers = Issuers::read(site).await?;
        if let Some(team) = team.filter(|team| *team != TeamId::DEFAULT) {
            // An operator may know of one that this node does not, and is told that it does not.
            if !allowed.manager.is_operator() && !issuers.knows(team, issuer) {
                return Err(not_own());
            }
            if store.revocation_count(Some(team), now).await? >= OF_TEAM_MAX {
                return Err(Problem::new(
                    ProblemKind::Unfit,
                    format!("{OF_TEAM_MAX} revocations of the team are in force, which is all that a team may have: take back those that are not needed, or withdraw the issuer's keys"),
                ));
            }
        }
        if store.revocation_count(None, now).await? >= REVOCATIONS_MAX_DEFAULT.get() {
            return Err(Problem::new(
                ProblemKind::Unfit,
                format!("{REVOCATIONS_MAX_DEFAULT} revocations are in force, which is all that a node takes in: take back those that are not needed, or withdraw the issuer's keys"),
            ));
        }
        let not_before = if kind.spares_later() {
            now.plus(LEEWAY)
        } else {
            now
        };
        let address = allowed.call.address.to_string();
        let author = allowed.call.author(&allowed.permit, &address);
        let made = store
            .insert_revocation(
                team.unwrap_or(TeamId::DEFAULT),
                issuer,
                *kind,
                value,
                not_before,
                now.plus(kept),
                author,
                now,
            )
            .await?;
        // Whoever is answered finds it in force here.
        if let Err(error) = site.revocations().insert(&made, now) {
            tracing::error!(%error, "revocations: one that was written is not in force here yet");
        }
        let below = match &allowed.team {
            Some(team) => format!("/teams/{}", team.name),
            None => String::new(),
        };
        let location = format!("{BASE}{below}/revocations/{}", made.id);
        Ok(Answer::created(issuers.told(&made), location))
    }
    .boxed()
}

/// `DELETE /revocations/{revocation}` and the same of a team.
pub(crate) fn delete<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = whose(&allowed)?;
        let id: RevocationId = allowed
            .call
            .path("revocation")
            .parse()
            .map_err(|_| Problem::not_found())?;
        let address = allowed.call.address.to_string();
        let author = allowed.call.author(&allowed.permit, &address);
        let removed = site
            .store()
            .remove_revocation(id, team, author, site.now())
            .await?;
        if removed {
            Ok(Answer::nothing())
        } else {
            Err(Problem::not_found())
        }
    }
    .boxed()
}
