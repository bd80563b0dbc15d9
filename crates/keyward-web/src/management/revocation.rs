//! Endpoints of revocations: what tokens are no longer believed, in the whole deployment.

use super::call::JSON;
use super::endpoint::{Allowed, BASE, Outcome};
use super::list::Paging;
use super::team::{bad_member, check_members};
use crate::answer::Answer;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_model::id::{RevocationId, TeamId};
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

/// `GET /revocations`: those in force, the oldest first.
pub(crate) fn list<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let paging = Paging::of(site, allowed.call, &["revocations"])?;
        let after = paging.after.as_ref().and_then(Value::as_str);
        let found = site
            .store()
            .revocations_page(after.unwrap_or_default(), paging.wanted(), site.now())
            .await?;
        let end = |one: &Revocation| json!(one.id.to_string());
        Ok(Answer::ok(paging.page(site, found, end, |one| told(&one))))
    }
    .boxed()
}

/// `POST /revocations`.
pub(crate) fn create<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
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
        if store.revocation_count(now).await? >= REVOCATIONS_MAX_DEFAULT.get() {
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
                TeamId::DEFAULT,
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
        let location = format!("{BASE}/revocations/{}", made.id);
        Ok(Answer::created(told(&made), location))
    }
    .boxed()
}

/// `DELETE /revocations/{revocation}`.
pub(crate) fn delete<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let id: RevocationId = allowed
            .call
            .path("revocation")
            .parse()
            .map_err(|_| Problem::not_found())?;
        let address = allowed.call.address.to_string();
        let author = allowed.call.author(&allowed.permit, &address);
        let removed = site
            .store()
            .remove_revocation(id, author, site.now())
            .await?;
        if removed {
            Ok(Answer::nothing())
        } else {
            Err(Problem::not_found())
        }
    }
    .boxed()
}
