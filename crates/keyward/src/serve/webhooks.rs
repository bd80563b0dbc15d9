//! Webhooks: what was done in a team, told to the addresses that it names.
//!
//! The audit log is what is told, event by event and in its order, so that nothing is told which did not happen, and
//! nothing is forgotten while an address is away. Of several nodes one tells each webhook at a time. An event may come
//! twice, when a node dies between telling it and writing that down: its `id` shows that.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use keyward_authority::Keeper;
use keyward_egress::{Egress, Limits, Request};
use keyward_jose::jws::{Header, compact};
use keyward_model::resource::{Resource, Spec, Webhook};
use keyward_model::{Clock, Timestamp};
use keyward_store::{Action, AuditEvent, Marks, Store, WebhookPosition};
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How often it is looked whether something is to be told; what this node or the database tells of comes sooner.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a node that has begun to tell a webhook is left to it.
const LEASED_FOR: Duration = Duration::from_secs(60);
/// How many events are told before others have their turn; within the lease, however slow the address is.
const AT_ONCE: u32 = 5;
/// How many webhooks are told at the same time.
const TOGETHER: usize = 16;
/// It is tried again after one second, two, four, and so on up to this.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// After so long an event is given up, and the next has its turn.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What telling one event may cost.
const LIMITS: Limits = Limits {
    max_bytes: 64 << 10,
    total: Duration::from_secs(10),
    connect: Duration::from_secs(3),
    max_redirects: 0,
};

/// A detached JWS (RFC 7515, appendix F) over the body.
const SIGNATURE: HeaderName = HeaderName::from_static("keyward-signature");
/// What was done.
const EVENT: HeaderName = HeaderName::from_static("keyward-event");
/// The `typ` of signatures, so that they are good for nothing else.
const TYPE: &str = "webhook";

/// Tells webhooks.
pub(crate) struct Teller {
    store: Store,
    clock: Arc<dyn Clock>,
    keys: Arc<Keeper>,
    egress: Egress,
    declared: Mutex<Vec<Arc<Resource>>>,
    changed: Notify,
}

impl Teller {
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        keys: Arc<Keeper>,
        egress: Egress,
    ) -> Self {
        Self {
            store,
            clock,
            keys,
            egress,
            declared: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// These are the webhooks from now on.
    pub(crate) fn declare(&self, webhooks: Vec<Arc<Resource>>) {
        *self.declared.lock().unwrap_or_else(PoisonError::into_inner) = webhooks;
        self.changed.notify_one();
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(self: Arc<Self>, mut marks: watch::Receiver<Marks>) {
        let mut known: Vec<Arc<Resource>> = Vec::new();
        loop {
            let declared = {
                let declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
                declared.clone()
            };
            self.end_those_that_went(&known, &declared).await;
            known.clone_from(&declared);
            let mut telling = JoinSet::new();
            for webhook in declared {
                if telling.len() >= TOGETHER {
                    telling.join_next().await;
                }
                let teller = Arc::clone(&self);
                telling.spawn(async move { teller.tell(&webhook).await });
            }
            while telling.join_next().await.is_some() {}
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.changed.notified() => {}
                changed = marks.changed() => if changed.is_err() { return },
            }
        }
    }

    /// One that is declared again later begins anew, and is not told what happened meanwhile.
    async fn end_those_that_went(&self, known: &[Arc<Resource>], declared: &[Arc<Resource>]) {
        for gone in known {
            let stays = |one: &Arc<Resource>| (one.team, &one.name) == (gone.team, &gone.name);
            if !declared.iter().any(stays)
                && let Err(error) = self.store.end_webhook(gone.team, gone.name.as_str()).await
            {
                tracing::warn!(%error, webhook = %gone.name, "webhooks: one that is no more could not be forgotten");
            }
        }
    }

    async fn tell(&self, resource: &Resource) {
        let Spec::Webhook(webhook) = &resource.spec else {
            return;
        };
        if let Err(error) = self.tell_what_is_new(resource, webhook).await {
            tracing::debug!(%error, webhook = %resource.name, "webhooks: the database can't be asked just now");
        }
    }

    async fn tell_what_is_new(
        &self,
        resource: &Resource,
        webhook: &Webhook,
    ) -> Result<(), keyward_store::Error> {
        let (team, name) = (resource.team, resource.name.as_str());
        let now = self.clock.now();
        let Some(mut position) = self.store.webhook_position(team, name).await? else {
            return self.store.begin_webhook(team, name, now).await;
        };
        if !webhook.enabled || position.next_at > now {
            return Ok(());
        }
        let events = self
            .store
            .team_audit_events(team, position.sequence, AT_ONCE)
            .await?;
        if events.is_empty()
            || !self
                .store
                .lease_webhook(team, name, now.plus(LEASED_FOR), now)
                .await?
        {
            return Ok(());
        }
        // Another may have told some of them before the lease.
        if let Some(newest) = self.store.webhook_position(team, name).await? {
            position = newest;
        }
        let told_by_others = position.sequence;
        for event in events
            .iter()
            .filter(|event| event.sequence > told_by_others)
        {
            let told = if webhook.wants(&event.action) {
                self.send(resource, webhook, event).await
            } else {
                Ok(())
            };
            let now = self.clock.now();
            let goes_on = told.is_ok();
            position = after(&position, event, told, now);
            if position.sequence == event.sequence && !goes_on {
                self.tell_of_giving_up(resource, event, now).await?;
            }
            if !self.store.move_webhook(team, name, &position).await? || !goes_on {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn tell_of_giving_up(
        &self,
        resource: &Resource,
        event: &AuditEvent,
        now: Timestamp,
    ) -> Result<(), keyward_store::Error> {
        tracing::warn!(webhook = %resource.name, event = event.sequence, "webhooks: an event was not taken for a day, and is given up");
        let object = format!("webhook {}", resource.name);
        let action = Action {
            team: resource.team,
            actor: "node",
            action: "webhook.give_up",
            object: &object,
            detail: json!({ "sequence": event.sequence }),
        };
        self.store.audit(action, now).await.map(drop)
    }

    async fn send(
        &self,
        resource: &Resource,
        webhook: &Webhook,
        event: &AuditEvent,
    ) -> Result<(), String> {
        let body = body(resource, event);
        let signature = self.signature(resource, webhook, &body).await?;
        let header = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        let request = Request::get(&webhook.url)
            .map_err(|error| error.to_string())?
            .post("application/json", Bytes::from(body))
            .header(SIGNATURE, header(&signature)?)
            .and_then(|request| {
                let action = HeaderValue::from_str(&event.action);
                match action {
                    Ok(action) => request.header(EVENT, action),
                    Err(_) => Ok(request),
                }
            })
            .map_err(|error| error.to_string())?;
        let answer = self.egress.fetch(request, LIMITS).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if (200..300).contains(&answer.status) {
            Ok(())
        } else {
            Err(format!("it answered {}", answer.status))
        }
    }

    async fn signature(
        &self,
        resource: &Resource,
        webhook: &Webhook,
        body: &[u8],
    ) -> Result<String, String> {
        let sets = self.keys.sets();
        let set = match &webhook.key_set {
            Some(name) => sets.get(resource.team, name),
            None => sets.own(),
        };
        let (_, signer) = set
            .and_then(|set| set.signer(None, self.clock.now()))
            .ok_or("no key signs just now")?;
        let header = Header::for_signer(&**signer).with_typ(TYPE);
        compact::sign_detached_with(body, &header, &**signer)
            .await
            .map_err(|error| error.to_string())
    }
}

/// What is told.
fn body(resource: &Resource, event: &AuditEvent) -> Vec<u8> {
    let detail: Value = serde_json::from_str(&event.detail).unwrap_or_default();
    json!({
        "id": event.id,
        "sequence": event.sequence,
        "happened_at": Timestamp::from_micros(event.happened_at).to_string(),
        "webhook": resource.name,
        "team": resource.team_name,
        "actor": event.actor,
        "action": event.action,
        "object": event.object,
        "detail": detail,
    })
    .to_string()
    .into_bytes()
}

/// Where a webhook stands after it was tried to tell it of an event.
fn after(
    before: &WebhookPosition,
    event: &AuditEvent,
    told: Result<(), String>,
    now: Timestamp,
) -> WebhookPosition {
    let told_it = WebhookPosition {
        sequence: event.sequence,
        attempts: 0,
        failing_since: None,
        next_at: now,
        problem: String::new(),
    };
    let Err(problem) = told else {
        return told_it;
    };
    let since = before.failing_since.unwrap_or(now);
    if now.since(since) >= PATIENCE {
        return WebhookPosition { problem, ..told_it };
    }
    let pause = Duration::from_secs(1 << before.attempts.min(12)).min(PAUSE_MAX);
    WebhookPosition {
        sequence: before.sequence,
        attempts: before.attempts.saturating_add(1),
        failing_since: Some(since),
        next_at: now.plus(pause),
        problem,
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    fn event(sequence: i64) -> AuditEvent {
        AuditEvent {
            sequence,
            id: "e".to_owned(),
            team: "t".to_owned(),
            happened_at: 0,
            node: String::new(),
            actor: "alice".to_owned(),
            action: "key.create".to_owned(),
            object: "key k".to_owned(),
            detail: "{}".to_owned(),
            previous_hash: String::new(),
            hash: String::new(),
        }
    }

    #[test]
    fn an_address_that_fails_is_tried_again_ever_later_for_a_day() {
        let begun = WebhookPosition {
            sequence: 7,
            attempts: 0,
            failing_since: None,
            next_at: NOW,
            problem: String::new(),
        };
        let mut position = begun;
        let mut pauses = Vec::new();
        while position.sequence == 7 {
            let now = position.next_at;
            position = after(&position, &event(8), Err("it answered 503".to_owned()), now);
            pauses.push(position.next_at.since(now).as_secs());
        }
        assert_eq!(pauses[..5], [1, 2, 4, 8, 16]);
        assert_eq!(pauses[12..14], [3600, 3600]);
        assert!((30..50).contains(&pauses.len()), "{}", pauses.len());
        // It is given up: the next has its turn at once, and what was wrong is still told.
        assert_eq!((position.attempts, position.failing_since), (0, None));
        assert_eq!(position.problem, "it answered 503");
        let told = after(&position, &event(9), Ok(()), NOW);
        assert_eq!((told.sequence, told.problem.as_str()), (9, ""));
    }
}
