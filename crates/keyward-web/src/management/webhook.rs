//! How telling a webhook goes.

use super::endpoint::{Allowed, Outcome};
use crate::answer::Answer;
use crate::problem::Problem;
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_model::Name;
use serde_json::json;

/// `GET …/webhooks/{key}/delivery`: how far it has been told, and what goes wrong.
pub(crate) fn delivery<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = allowed.team()?.id;
        let name: Name = allowed
            .call
            .path("key")
            .parse()
            .map_err(|_| Problem::not_found())?;
        let position = site.store().webhook_position(team, name.as_str()).await?;
        let position = position.ok_or_else(Problem::not_found)?;
        let fails = position.failing_since.is_some();
        Ok(Answer::ok(json!({
            "told_up_to": position.sequence,
            "attempts": position.attempts,
            "failing_since": position.failing_since.map(|at| at.to_string()),
            "next_at": fails.then(|| position.next_at.to_string()),
            "problem": Some(position.problem).filter(|problem| !problem.is_empty()),
        })))
    }
    .boxed()
}
