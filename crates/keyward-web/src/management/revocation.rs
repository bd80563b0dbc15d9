//! Endpoints of revocations: what tokens are no longer believed.
//!
//! Operators revoke tokens of the issuers that all teams share, and of this node's own. A team revokes those of its own
//! issuers: a revocation counts for callers whom an issuer of its team vouches for, so that it touches nobody else's,
//! whoever calls an issuer by the same address.

use super::call::JSON;
use super::endpoint::{Allowed, BASE, Outcome};
use super::list::Paging;
use super::team::{bad_member, check_members};
use crate::answer::Answer;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_model::id::{RevocationId, TeamId};
use keyward_model::resource::Spec;
use keyward_model::resource::raw::form;
use keyward_model::revocation::{Revocation, RevocationKind};
use keyward_state::revocation::REVOCATIONS_MAX_DEFAULT;
use serde_json::{Value, json};
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

fn told(revocation: &Revocation) -> Value {
    let kind = KINDS.iter().find(|(_, kind)| *kind == revocation.kind);
    json!({
        "id": revocation.id.to_string(),
        "kind": kind.map(|(name, _)| *name),
        "issuer": revocation.issuer,
        "value": revocation.value,
        "not_before": revocation.not_before.to_string(),
        "expires_at": revocation.expires.to_string(),
    })
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

/// That tokens of this issuer are the team's to revoke.
async fn is_own(site: &Site, team: TeamId, issuer: &str) -> Result<(), Problem> {
    let catalogue = site.catalogue().await?;
    let mut of_team = catalogue.values().filter(|one| one.key.team == team);
    let own = of_team.any(|one| match &one.resource.spec {
        Spec::Issuer(own) => *own.issuer == *issuer,
        Spec::KeySet(set) => set.issuer.as_deref() == Some(issuer),
        Spec::Upstream(_)
        | Spec::Api(_)
        | Spec::Credential(_)
        | Spec::Role(_)
        | Spec::AccessPolicy(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Provider(_)
        | Spec::Model(_) => false,
    });
    if own {
        return Ok(());
    }
    Err(Problem::of_member(
        ProblemKind::Unfit,
        "/issuer",
        "unknown_reference",
        "No issuer and no key set of this team has this `iss`: a team revokes tokens of its own issuers",
    ))
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
        Ok(Answer::ok(paging.page(site, found, end, |one| told(&one))))
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
        if let Some(team) = team.filter(|team| *team != TeamId::DEFAULT) {
            is_own(site, team, issuer).await?;
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
        Ok(Answer::created(told(&made), location))
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
