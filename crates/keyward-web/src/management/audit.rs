//! Endpoints of the audit log: of a team, and of the deployment.

use super::call::bad_query;
use super::endpoint::{Allowed, Outcome};
use super::history::Reader;
use super::kind::KindDescription;
use super::list::Paging;
use crate::answer::Answer;
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_access::management::{Manager, Named};
use keyward_model::Timestamp;
use keyward_store::AuditEvent;
use serde_json::{Value, json};
use std::sync::Arc;

/// An event as it is told. Bodies of resources are told to whoever may read them.
pub(super) async fn told(manager: &Arc<Manager>, event: &AuditEvent) -> Value {
    let mut detail: Value = serde_json::from_str(&event.detail).unwrap_or_default();
    let changes = detail.get_mut("changes").and_then(Value::as_array_mut);
    let mut reader = Reader::new(manager);
    for change in changes.into_iter().flatten() {
        reader.in_turn().await;
        let text = |key: &str| change.get(key).and_then(Value::as_str);
        let kind = text("kind").and_then(KindDescription::named);
        let named = Named {
            name: text("name").unwrap_or_default(),
            version: text("version"),
        };
        let may = kind
            .zip(event.team.parse().ok())
            .is_some_and(|(kind, team)| reader.reads_named(team, kind.kind, named));
        if let Value::Object(change) = change
            && !may
        {
            for body in ["before", "after"] {
                change.remove(body);
            }
        }
    }
    json!({
        "sequence": event.sequence,
        "id": event.id,
        "happened_at": Timestamp::from_micros(event.happened_at).to_string(),
        "node": event.node,
        "actor": event.actor,
        "action": event.action,
        "object": event.object,
        "detail": detail,
        "hash": event.hash,
        "previous_hash": event.previous_hash,
    })
}

/// `GET /audit` and `GET /teams/{team}/audit`: the newest first.
pub(crate) fn list<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = allowed.permit.place().team();
        let named = team.map(|team| team.to_string()).unwrap_or_default();
        let paging = Paging::of(site, allowed.call, &["audit", &named])?;
        let before = paging.after.as_ref().and_then(Value::as_i64);
        let events = site
            .store()
            .newest_audit_events(team, before, paging.wanted())
            .await?;
        let mut page = Vec::with_capacity(events.len());
        for event in events {
            let told = told(&allowed.manager, &event).await;
            page.push((event.sequence, told));
        }
        let end = |(sequence, _): &(i64, Value)| json!(sequence);
        Ok(Answer::ok(paging.page(site, page, end, |(_, told)| told)))
    }
    .boxed()
}

/// How many events a call verifies: a second's work or so, and another call goes on.
const VERIFIED_AT_ONCE: i64 = 20_000;

/// `GET /audit/verify`: whether the chain of hashes holds, from its beginning or from the event that is named.
pub(crate) fn verify<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let after = allowed.call.number("after")?.unwrap_or_default();
        let after = i64::try_from(after).map_err(|_| bad_query("after", "it is an event's number"))?;
        // It reads much of the log, for one at a time.
        let _one = site.verifying().lock().await;
        let verified = site.store().verify_audit_events(after, VERIFIED_AT_ONCE).await;
        match verified {
            Ok((chain, goes_on)) => Ok(Answer::ok(json!({
                "intact": true, "events": chain.events, "first": chain.first, "anchored": chain.anchored, "head": chain.head,
                "next": goes_on.then_some(chain.events),
            }))),
            Err(keyward_store::Error::AuditBroken { sequence, why }) => Ok(Answer::ok(json!({
                "intact": false, "broken_at": sequence, "why": why,
            }))),
            Err(error) => Err(error.into()),
        }
    }
    .boxed()
}
