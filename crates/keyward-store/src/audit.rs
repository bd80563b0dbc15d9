//! The audit log: what was done, by whom, in a chain of hashes.
//!
//! Each event's hash covers the event and the hash before it, so that no event can be changed, taken out
//! or put in between without all that follow being made anew. That the newest events were cut off can be
//! seen only by who noted the head elsewhere: [`Store::verify_audit_chain`] returns it.
//!
//! An event is written in the transaction of what it tells about: there is neither without the other.

mod anchor;

pub use anchor::AuditAnchor;

use crate::database::Transaction;
use crate::hierarchy::{MacKey, Purpose, random_id};
use crate::schema::hexadecimal;
use crate::{Error, Store};
use aws_lc_rs::digest::{Context, SHA256};
use keyward_model::Timestamp;
use keyward_model::id::{AuditEventId, NodeId, TeamId};
use serde_json::Value;

/// How many events are read at a time while the chain is checked.
const PAGE: u32 = 1_000;

/// What is to be written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Action<'a> {
    /// In whose realm it happened.
    pub team: TeamId,
    /// Who did it: `node`, or a user's or client's name.
    pub actor: &'a str,
    /// What was done, as `<object>.<verb>`: `key.create`.
    pub action: &'a str,
    /// To what, by kind and id.
    pub object: &'a str,
    /// More of it. Never a secret.
    pub detail: Value,
}

/// An event as it was written.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditEvent {
    /// Its place in the chain, from 1.
    pub sequence: i64,
    /// The row.
    pub id: String,
    /// In whose realm it happened.
    pub team: String,
    /// When, in microseconds since the epoch.
    pub happened_at: i64,
    /// Which process wrote it.
    pub node: String,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub object: String,
    /// More of it, as JSON.
    pub detail: String,
    /// The hash of the event before.
    pub previous_hash: String,
    /// SHA-256 of all the other columns, each with its length before it; hexadecimal.
    pub hash: String,
}

/// What the chain came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditChain {
    /// The number of the last event: how many there ever were.
    pub events: i64,
    /// The number of the first that is there; those before it are forgotten.
    pub first: i64,
    /// The last event that an anchor stands for: what is up to it can't have been made anew by who has the database alone.
    pub anchored: i64,
    /// The hash of the last, empty when there is none. Noted elsewhere, it shows whether events were cut
    /// off.
    pub head: String,
}

impl AuditEvent {
    fn expected_hash(&self) -> String {
        let mut context = Context::new(&SHA256);
        for part in [
            &self.previous_hash,
            &self.sequence.to_string(),
            &self.id,
            &self.team,
            &self.happened_at.to_string(),
            &self.node,
            &self.actor,
            &self.action,
            &self.object,
            &self.detail,
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        hexadecimal(context.finish().as_ref())
    }
}

/// Writes an event at the end of the chain. The transaction holds the write lock, so that no other event
/// gets the same place.
pub(crate) async fn append(
    transaction: &mut Transaction,
    node: NodeId,
    action: Action<'_>,
    now: Timestamp,
) -> Result<AuditEvent, Error> {
    let last: Option<(i64, String)> =
        sqlx::query_as("SELECT sequence, hash FROM audit_events ORDER BY sequence DESC LIMIT 1")
            .fetch_optional(&mut **transaction)
            .await?;
    let (last, previous_hash) = last.unwrap_or_default();
    let mut event = AuditEvent {
        sequence: last + 1,
        id: AuditEventId::new(now, random_id()?).to_string(),
        team: action.team.to_string(),
        happened_at: now.as_micros(),
        node: node.to_string(),
        actor: action.actor.to_owned(),
        action: action.action.to_owned(),
        object: action.object.to_owned(),
        detail: action.detail.to_string(),
        previous_hash,
        hash: String::new(),
    };
    event.hash = event.expected_hash();
    sqlx::query(
        "INSERT INTO audit_events
         (sequence, id, team, happened_at, node, actor, action, object, detail, previous_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(event.sequence)
    .bind(&event.id)
    .bind(&event.team)
    .bind(event.happened_at)
    .bind(&event.node)
    .bind(&event.actor)
    .bind(&event.action)
    .bind(&event.object)
    .bind(&event.detail)
    .bind(&event.previous_hash)
    .bind(&event.hash)
    .execute(&mut **transaction)
    .await?;
    Ok(event)
}

impl Store {
    /// Writes an event that stands for itself. What changes a row writes its own.
    ///
    /// # Errors
    /// What the database says.
    pub async fn audit(&self, action: Action<'_>, now: Timestamp) -> Result<AuditEvent, Error> {
        let mut transaction = self.begin_write().await?;
        let event = append(&mut transaction, self.node(), action, now).await?;
        transaction.commit().await?;
        Ok(event)
    }

    /// The events after `sequence`, at most `limit`, oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn audit_events(&self, after: i64, limit: u32) -> Result<Vec<AuditEvent>, Error> {
        let events = sqlx::query_as(
            "SELECT sequence, id, team, happened_at, node, actor, action, object, detail,
                    previous_hash, hash
             FROM audit_events WHERE sequence > $1 ORDER BY sequence LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await?;
        Ok(events)
    }

    /// Computes the chain from its beginning, or from the anchor where those before are forgotten, and looks that it
    /// goes through all anchors, and that these were made with a key of this deployment.
    ///
    /// # Errors
    /// [`Error::AuditBroken`] at the first event that does not fit.
    pub async fn verify_audit_chain(&self) -> Result<AuditChain, Error> {
        let (chain, _) = self.verify_audit_events(0, i64::MAX).await?;
        Ok(chain)
    }

    /// The same of so many events at most behind `after`, up to which the chain was verified before: 0 for its beginning.
    /// Also whether more follow; only where none do is it known that no anchored event is missing at the end.
    ///
    /// # Errors
    /// [`Error::AuditBroken`] at the first event that does not fit, or where there is no event `after`.
    pub async fn verify_audit_events(
        &self,
        after: i64,
        at_most: i64,
    ) -> Result<(AuditChain, bool), Error> {
        let keys = self.existing_mac_keys(Purpose::Audit).await?;
        let anchors = self.audit_anchors().await?;
        let mut anchors = anchors.into_iter().peekable();
        let (first,): (i64,) =
            sqlx::query_as("SELECT coalesce(min(sequence), 1) FROM audit_events")
                .fetch_one(self.pool())
                .await?;
        let mut chain = AuditChain {
            events: 0,
            first,
            anchored: 0,
            head: String::new(),
        };
        if first > 1 {
            let missing = || Error::AuditBroken {
                sequence: first,
                why: "events before it are missing",
            };
            let anchor = anchors.next().ok_or_else(missing)?;
            if anchor.sequence != first - 1 {
                return Err(missing());
            }
            check_anchor(&anchor, &keys)?;
            chain.events = anchor.sequence;
            chain.anchored = anchor.sequence;
            chain.head = anchor.hash;
        }
        if after > chain.events {
            let before = self.audit_events(after - 1, 1).await?.into_iter().next();
            let before = before.filter(|event| event.sequence == after);
            let before = before.ok_or(Error::AuditBroken {
                sequence: after,
                why: "it is not there",
            })?;
            if before.expected_hash() != before.hash {
                return Err(Error::AuditBroken {
                    sequence: after,
                    why: "it is not what its hash was made of",
                });
            }
            while let Some(anchor) = anchors.next_if(|anchor| anchor.sequence <= after) {
                chain.anchored = anchor.sequence;
            }
            chain.events = after;
            chain.head = before.hash;
        }
        let end = chain.events.saturating_add(at_most);
        loop {
            let left = end.saturating_sub(chain.events);
            let wanted = u32::try_from(left).map_or(PAGE, |left| left.min(PAGE));
            let events = self.audit_events(chain.events, wanted).await?;
            let is_last = events.len() < wanted as usize;
            for event in events {
                let broken = |why| Error::AuditBroken {
                    sequence: event.sequence,
                    why,
                };
                if event.sequence != chain.events + 1 {
                    return Err(broken("events before it are missing"));
                }
                if event.previous_hash != chain.head {
                    return Err(broken("it does not follow on the event before it"));
                }
                if event.expected_hash() != event.hash {
                    return Err(broken("it is not what its hash was made of"));
                }
                if let Some(anchor) = anchors.next_if(|anchor| anchor.sequence == event.sequence) {
                    check_anchor(&anchor, &keys)?;
                    if anchor.hash != event.hash {
                        return Err(broken("it is another one than was anchored"));
                    }
                    chain.anchored = event.sequence;
                }
                chain.events = event.sequence;
                chain.head = event.hash;
            }
            if is_last {
                break;
            }
            if chain.events >= end {
                return Ok((chain, true));
            }
        }
        match anchors.next() {
            None => Ok((chain, false)),
            Some(anchor) => Err(Error::AuditBroken {
                sequence: anchor.sequence,
                why: "it was anchored, and is not there any more",
            }),
        }
    }
}

fn check_anchor(anchor: &AuditAnchor, keys: &[MacKey]) -> Result<(), Error> {
    if anchor.is_ours(keys) {
        return Ok(());
    }
    Err(Error::AuditBroken {
        sequence: anchor.sequence,
        why: "its anchor was made by somebody else",
    })
}
