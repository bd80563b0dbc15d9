//! Endpoints of machines' tokens.

use super::call::JSON;
use super::endpoint::{Allowed, BASE, Outcome};
use super::list::Paging;
use super::member::above;
use super::team::{bad_member, check_members};
use crate::answer::Answer;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_access::management::{ManagementRole, Scope};
use keyward_model::resource::raw::form;
use keyward_store::MachineToken;
use keyward_store::management::NewMachineToken;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a token lasts unless said otherwise: a build, a deployment.
const LIFE: Duration = Duration::from_secs(3600);
/// The longest label.
const LABEL_MAX: usize = 200;

/// A token's row as it is told.
pub(crate) fn told(token: &MachineToken) -> Value {
    json!({
        "id": token.id,
        "member": token.member,
        "label": token.label,
        "scopes": token.scopes,
        "created_by": token.created_by,
        "created_at": token.created_at.to_string(),
        "expires_at": token.expires_at.to_string(),
        "revoked_at": token.revoked_at.map(|at| at.to_string()),
    })
}

/// The same, with the token, which is shown this once.
pub(crate) fn told_with(token: &MachineToken, signed: &str) -> Value {
    let mut told = told(token);
    if let Value::Object(members) = &mut told {
        members.insert("token".to_owned(), json!(signed));
    }
    told
}

/// `GET /teams/{team}/tokens`.
pub(crate) fn list<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = allowed.team()?;
        let paging = Paging::of(site, allowed.call, &["tokens", team.name.as_str()])?;
        let after = paging.after.as_ref().and_then(Value::as_str);
        let tokens = site
            .store()
            .machine_tokens(team.id, after.unwrap_or_default(), paging.wanted())
            .await?;
        let end = |token: &MachineToken| json!(token.id);
        Ok(Answer::ok(
            paging.page(site, tokens, end, |token| told(&token)),
        ))
    }
    .boxed()
}

async fn addressed(site: &Site, allowed: &Allowed<'_>) -> Result<MachineToken, Problem> {
    let id = allowed.call.path("token").parse();
    let id = id.map_err(|_| Problem::not_found())?;
    let token = site.store().machine_token(id).await?;
    let team = allowed.team()?.id;
    let token = token.filter(|token| token.team == team);
    token.ok_or_else(Problem::not_found)
}

/// `GET /teams/{team}/tokens/{token}`.
pub(crate) fn show<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move { Ok(Answer::ok(told(&addressed(site, &allowed).await?))) }.boxed()
}

/// `POST /teams/{team}/tokens`: a token that acts as a member of the team, within its scopes.
pub(crate) fn create<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = allowed.team()?;
        let body = allowed.call.json(JSON)?;
        check_members(&body, &["member", "label", "scopes", "expires_in"])?;
        let member = body
            .get("member")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let roles = site.roles_of(member, team.id).await?;
        if roles.is_empty() {
            return Err(no_member());
        }
        if roles.contains(&ManagementRole::Operator) && !allowed.manager.is_operator() {
            return Err(Problem::new(
                ProblemKind::Forbidden,
                "Only an operator makes tokens that act as one",
            ));
        }
        let scopes = scopes(&body, &allowed)?;
        let label = match body.get("label") {
            None => "",
            Some(label) => label
                .as_str()
                .filter(|label| label.len() <= LABEL_MAX && !label.chars().any(char::is_control))
                .ok_or_else(|| {
                    bad_member(
                        "/label",
                        "it is a text of 200 bytes at most without control characters",
                    )
                })?,
        };
        let life = life(&body, site.token_life())?;
        let address = allowed.call.address.to_string();
        let author = allowed.call.author(&allowed.manager, &address);
        let now = site.now();
        let new = NewMachineToken {
            team: team.id,
            member,
            label,
            scopes: &scopes,
            expires_at: now.plus(life),
            by_operator: allowed.manager.is_operator(),
        };
        // No row is written for a token that nobody gets.
        site.can_sign().await?;
        let made = site.store().create_machine_token(new, author, now).await?;
        let made = made.ok_or_else(no_member)?;
        let signed = site.signed(&made).await?;
        let location = format!("{BASE}/teams/{}/tokens/{}", team.name, made.id);
        Ok(Answer::created(told_with(&made, &signed), location))
    }
    .boxed()
}

fn no_member() -> Problem {
    Problem::of_member(
        ProblemKind::Unfit,
        "/member",
        "unknown_reference",
        "There is no such member in this team: give them a role first",
    )
}

/// No more than the caller's own token may be used for.
fn scopes(body: &Value, allowed: &Allowed<'_>) -> Result<BTreeSet<String>, Problem> {
    let list = body.get("scopes").and_then(Value::as_array);
    let list = list.filter(|list| !list.is_empty()).ok_or_else(|| {
        bad_member(
            "/scopes",
            "say what it may be used for, such as `[read]` or `[apis:read, apis:write]`",
        )
    })?;
    let mut scopes = BTreeSet::new();
    for (index, scope) in list.iter().enumerate() {
        let member = format!("/scopes/{index}");
        let parsed = scope.as_str().and_then(Scope::parse);
        let why = "it is no scope: write `read`, `write`, or one thing such as `apis:write`";
        let parsed = parsed.ok_or_else(|| bad_member(&member, why))?;
        if !allowed.manager.covers(parsed) {
            return Err(Problem::of_member(
                ProblemKind::Forbidden,
                member,
                "scope",
                "Your own token does not go so far",
            ));
        }
        scopes.insert(parsed.to_string());
    }
    Ok(scopes)
}

fn life(body: &Value, most: Duration) -> Result<Duration, Problem> {
    let Some(written) = body.get("expires_in") else {
        return Ok(LIFE.min(most));
    };
    let life = written.as_str().and_then(form::duration);
    let life = life.filter(|life| !life.is_zero() && *life <= most);
    life.ok_or_else(|| {
        let hours = most.as_secs() / 3600;
        bad_member(
            "/expires_in",
            &format!("it is a duration such as 30m or 8h, {hours}h at most"),
        )
    })
}

/// `DELETE /teams/{team}/tokens/{token}`: it counts no more from now on.
pub(crate) fn revoke<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let token = addressed(site, &allowed).await?;
        let address = allowed.call.address.to_string();
        let author = allowed.call.author(&allowed.manager, &address);
        let revoked = site
            .store()
            .revoke_machine_token(&token, above(&allowed.manager), author, site.now())
            .await;
        match revoked {
            Ok(true) => Ok(Answer::nothing()),
            Ok(false) => Err(Problem::not_found()),
            Err(keyward_store::Error::Above { .. }) => Err(Problem::new(
                ProblemKind::Forbidden,
                "Only an operator takes tokens back that act as one",
            )),
            Err(error) => Err(error.into()),
        }
    }
    .boxed()
}
