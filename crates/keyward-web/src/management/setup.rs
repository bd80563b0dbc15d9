//! The first administrator.

use super::call::{Call, JSON};
use super::endpoint::Outcome;
use super::member::is_name;
use super::team::{bad_member, check_members};
use super::token::told_with;
use crate::answer::Answer;
use crate::limiter::SETUP_WEIGHT;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_access::management::{ManagementRole, Right, Scope};
use keyward_model::id::TeamId;
use keyward_store::management::{Author, NewMachineToken};
use serde_json::Value;
use std::collections::BTreeSet;

/// `POST /setup`: whoever shows the setup secret becomes an operator, once.
pub(crate) fn claim<'c>(site: &'c Site, call: &'c Call) -> Outcome<'c> {
    async move {
        let body = call.json(JSON)?;
        check_members(&body, &["secret", "name"])?;
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = text("name");
        if !is_name(name) {
            let why = "say how you are called: 1 to 127 letters, digits, `.`, `_`, `@` and `-`, beginning with a letter or digit, and not `node`";
            return Err(bad_member("/name", why));
        }
        if !body.get("secret").is_some_and(Value::is_string) {
            let why = "write the setup secret, which the node has shown at its first start";
            return Err(bad_member("/secret", why));
        }
        let scopes: BTreeSet<String> = [Right::Read, Right::Write]
            .map(|right| Scope::All(right).to_string())
            .into();
        let address = call.address.to_string();
        let author = Author {
            name,
            address: &address,
            request_id: &call.request_id,
            team: Some(TeamId::DEFAULT),
            token: "",
        };
        // A deployment is not claimed for somebody who then gets no token.
        site.can_sign().await?;
        let now = site.now();
        let token = NewMachineToken {
            team: TeamId::DEFAULT,
            member: name,
            label: "first administrator",
            scopes: &scopes,
            expires_at: now.plus(site.token_life()),
            by_operator: true,
        };
        let role = ManagementRole::Operator.as_str();
        let made = site
            .store()
            .claim_setup_secret(text("secret"), role, token, author, now)
            .await?;
        let Some(made) = made else {
            site.failed_attempt(call, SETUP_WEIGHT);
            return Err(Problem::new(
                ProblemKind::Forbidden,
                "This is not the setup secret, or it was used, or its hour is over: `keyward admin reset` makes a new one",
            )
            .because("a setup secret that is not in force was shown"));
        };
        site.node().setup_is_claimed();
        tracing::warn!(member = name, address, "setup: the first administrator has claimed the deployment");
        let signed = site.signed(&made).await?;
        let location = format!("{}/teams/default/tokens/{}", super::endpoint::BASE, made.id);
        Ok(Answer::created(told_with(&made, &signed), location))
    }
    .boxed()
}
