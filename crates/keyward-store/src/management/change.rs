//! Changes of resources: a revision each, in one transaction with the history, the secrets and the audit events.

use super::member::custom_role_is_unused;
use super::{Author, team_is_there};
use crate::database::{Connection, Transaction};
use crate::hierarchy::{Place, Purpose, random_id};
use crate::schema::hexadecimal;
use crate::webhook::forget_webhook;
use crate::{Error, Store};
use aws_lc_rs::digest::{SHA256, digest};
use keyward_model::id::{ResourceId, TeamId};
use keyward_model::resource::Kind;
use keyward_model::{Name, Origin, Revision, Secret, Timestamp};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Up to so many changes of a team an audit event tells what was there before and after; of more it has the hashes, and the
/// history has the rest.
const TOLD_WHOLE: usize = 20;

/// How many resources a statement writes: eight values each, of which a statement has some thousands.
const AT_ONCE: usize = 100;

/// How long a call is remembered by its key.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);

/// What a resource is to be from now on.
#[derive(Clone, Debug)]
pub struct ResourceWrite {
    /// The owner.
    pub team: TeamId,
    /// Its kind, as written in `kind`.
    pub kind: &'static str,
    /// Its name.
    pub name: Name,
    /// Empty for kinds that have none.
    pub version: String,
    /// The declaration, as JSON; `None` takes the resource away.
    pub body: Option<String>,
    /// Secrets that the body refers to and that may not be known yet, by their references.
    pub secrets: Vec<(String, Secret<String>)>,
}

/// A creation that is to be known again.
#[derive(Clone, Debug)]
pub struct RememberedCall {
    /// A hash of the key and of who sent it.
    pub digest: String,
    /// A hash of what was asked for.
    pub fingerprint: String,
}

/// A resource that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedResource {
    /// The row.
    pub id: ResourceId,
    /// The declaration before, if there was one.
    pub before: Option<String>,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The revision that did it.
    pub revision: Revision,
    /// What became of each write, in order.
    pub resources: Vec<ChangedResource>,
}

impl Store {
    /// Writes a revision on top of `base`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when `base` is no longer the newest revision: read what has changed, and decide anew.
    /// [`Error::Exists`] when `remembered` is known already. [`Error::RoleInUse`] when a custom role would go that
    /// members have; [`Error::NoTeam`] when a team is gone. [`Error::Unacknowledged`] when it may have been written, which
    /// [`revision_of_call`](Self::revision_of_call) may tell.
    pub async fn write_resources(
        &self,
        base: Revision,
        writes: &[ResourceWrite],
        remembered: Option<&RememberedCall>,
        (author, summary, reason): (Author<'_>, &str, &str),
        now: Timestamp,
    ) -> Result<Written, Error> {
        let mut transaction = self.begin_write().await?;
        let about = (author, summary, reason);
        let revision = begin_revision(&mut transaction, base, about, now).await?;
        let teams: BTreeSet<TeamId> = writes.iter().map(|write| write.team).collect();
        for team in teams {
            team_is_there(&mut transaction, team).await?;
        }
        let mut resources = Vec::with_capacity(writes.len());
        // While this goes on nobody else writes: many rows at once take a fraction of the time.
        for write in writes.iter().filter(|write| write.body.is_none()) {
            if write.kind == Kind::ManagementRole.as_str() {
                custom_role_is_unused(&mut transaction, write.team, &write.name).await?;
            }
        }
        for some in writes.chunks(AT_ONCE) {
            for write in some {
                self.keep_secrets(&mut transaction, write, now).await?;
            }
            resources.extend(write_some(&mut transaction, some, revision, now).await?);
        }
        for (write, changed) in writes.iter().zip(&resources) {
            // One that comes is told from now on, and one that goes has been told.
            if write.kind == Kind::Webhook.as_str()
                && (write.body.is_none() || changed.before.is_none())
            {
                forget_webhook(&mut transaction, write.team, write.name.as_str()).await?;
            }
        }
        if let Some(call) = remembered {
            let resource = resources.first().map(|first| first.id);
            remember(&mut transaction, call, resource, revision, now).await?;
        }
        let object = format!("revision {revision}");
        let events = told(writes, &resources);
        // A reason that was given for several teams at once may tell one of them of the others.
        let of_one = events.len() == 1;
        for (team, mut about) in events {
            if let Value::Object(about) = &mut about
                && of_one
                && !reason.is_empty()
            {
                about.insert("reason".to_owned(), reason.into());
            }
            let action = ("configuration.change", object.as_str());
            self.told(&mut transaction, author, team, action, about, now)
                .await?;
        }
        let committed = transaction.commit().await;
        // Whatever came of it: others look.
        self.tell_of_change();
        committed.map_err(|error| Error::Unacknowledged(Error::from(error).to_string()))?;
        Ok(Written {
            revision,
            resources,
        })
    }

    /// The revision that the call with this id has made, if it has made one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn revision_of_call(&self, request_id: &str) -> Result<Option<Revision>, Error> {
        if request_id.is_empty() {
            return Ok(None);
        }
        // The newest: what is asked for was written a moment ago.
        let row: Option<(i64,)> = sqlx::query_as(
            "SELECT number FROM (
                 SELECT number, request_id FROM revisions ORDER BY number DESC LIMIT 1000
             ) AS newest WHERE request_id = $1 ORDER BY number DESC LIMIT 1",
        )
        .bind(request_id)
        .fetch_optional(self.pool())
        .await?;
        row.map(|(number,)| {
            u64::try_from(number)
                .map(Revision)
                .map_err(|_| Error::malformed("revisions", "number", number))
        })
        .transpose()
    }

    /// Forgets calls that are not known again any more: their fingerprints are of no use to anyone.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget_old_calls(&self, now: Timestamp) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        forget_calls(&mut transaction, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn keep_secrets(
        &self,
        transaction: &mut Transaction,
        write: &ResourceWrite,
        now: Timestamp,
    ) -> Result<(), Error> {
        for (reference, secret) in &write.secrets {
            let place = secret_place(reference, write.team);
            let sealed = self
                .keyring()
                .seal(
                    transaction,
                    Purpose::Secrets,
                    place,
                    secret.reveal().as_bytes(),
                    now,
                )
                .await?;
            sqlx::query(
                "INSERT INTO resource_secrets (team, reference, sealed, created_at)
                 VALUES ($1, $2, $3, $4) ON CONFLICT (team, reference) DO NOTHING",
            )
            .bind(write.team.to_string())
            .bind(reference)
            .bind(sealed)
            .bind(now.as_micros())
            .execute(&mut **transaction)
            .await?;
        }
        Ok(())
    }

    /// The secret that a resource of this team refers to.
    ///
    /// # Errors
    /// [`Error::Sealed`] when it does not open, and what the database says.
    pub async fn resource_secret(
        &self,
        team: TeamId,
        reference: &str,
    ) -> Result<Option<Secret<String>>, Error> {
        let mut connection = self.pool().acquire().await?;
        let row: Option<(String,)> = sqlx::query_as(
            "SELECT sealed FROM resource_secrets WHERE team = $1 AND reference = $2",
        )
        .bind(team.to_string())
        .bind(reference)
        .fetch_optional(&mut connection)
        .await?;
        let Some((sealed,)) = row else {
            return Ok(None);
        };
        let place = secret_place(reference, team);
        let opened = self
            .keyring()
            .open_sealed(&mut connection, Purpose::Secrets, place, &sealed)
            .await?;
        let text = std::str::from_utf8(&opened)
            .map_err(|_| Error::malformed("resource_secrets", "sealed", reference))?;
        Ok(Some(Secret::new(text.to_owned())))
    }

    /// What a creation with this key made: the fingerprint of what was asked for, the resource and the revision.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn remembered_call(
        &self,
        digest: &str,
        now: Timestamp,
    ) -> Result<Option<(String, ResourceId, Revision)>, Error> {
        let row: Option<(String, String, i64)> = sqlx::query_as(
            "SELECT fingerprint, resource, revision FROM remembered_calls
             WHERE digest = $1 AND created_at > $2",
        )
        .bind(digest)
        .bind(now.minus(REMEMBERED_FOR).as_micros())
        .fetch_optional(self.pool())
        .await?;
        row.map(|(fingerprint, resource, revision)| {
            let malformed = |column| Error::malformed("remembered_calls", column, digest);
            let resource = resource.parse().map_err(|_| malformed("resource"))?;
            let revision = u64::try_from(revision).map_err(|_| malformed("revision"))?;
            Ok((fingerprint, resource, Revision(revision)))
        })
        .transpose()
    }
}

/// Writes down a revision on top of `base`: [`Error::Conflict`] when that is no longer the newest.
pub(super) async fn begin_revision(
    connection: &mut Connection,
    base: Revision,
    (author, summary, reason): (Author<'_>, &str, &str),
    now: Timestamp,
) -> Result<Revision, Error> {
    let revision = next_revision(&mut *connection, base).await?;
    sqlx::query(
        "INSERT INTO revisions
         (number, created_at, actor, summary, reason, request_id, actor_team, token)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(number(revision)?)
    .bind(now.as_micros())
    .bind(author.name)
    .bind(summary)
    .bind(reason)
    .bind(author.request_id)
    .bind(author.team.map(|team| team.to_string()).unwrap_or_default())
    .bind(author.token)
    .execute(&mut *connection)
    .await?;
    Ok(revision)
}

async fn next_revision(connection: &mut Connection, base: Revision) -> Result<Revision, Error> {
    let (newest,): (i64,) = sqlx::query_as("SELECT coalesce(max(number), 0) FROM revisions")
        .fetch_one(&mut *connection)
        .await?;
    if number(base)? != newest {
        return Err(Error::Conflict {
            what: "the configuration".to_owned(),
        });
    }
    Ok(base.next())
}

fn number(revision: Revision) -> Result<i64, Error> {
    i64::try_from(revision.0).map_err(|_| Error::malformed("revisions", "number", revision))
}

fn secret_place(reference: &str, team: TeamId) -> Place<'_> {
    Place {
        table: "resource_secrets",
        column: "sealed",
        row: reference,
        team: Some(team),
    }
}

/// Writes some resources and their history, with a statement each for all of them.
async fn write_some(
    transaction: &mut Transaction,
    writes: &[ResourceWrite],
    revision: Revision,
    now: Timestamp,
) -> Result<Vec<ChangedResource>, Error> {
    let known = known_rows(transaction, writes).await?;
    let mut changed = Vec::with_capacity(writes.len());
    for write in writes {
        changed.push(match known.get(&key_of(write)) {
            Some((id, body)) => ChangedResource {
                id: *id,
                before: Some(body.clone()),
            },
            None => ChangedResource {
                id: ResourceId::new(now, random_id()?),
                before: None,
            },
        });
    }
    let number = number(revision)?;
    let all = || writes.iter().zip(&changed);

    let declared: Vec<_> = all()
        .filter_map(|(write, changed)| Some((write, changed, write.body.as_ref()?)))
        .collect();
    if !declared.is_empty() {
        let sql = format!(
            "INSERT INTO resources (id, team, kind, name, version, origin, revision, body)
             VALUES {}
             ON CONFLICT (team, kind, name, version)
             DO UPDATE SET body = excluded.body, revision = excluded.revision",
            places(declared.len(), 8)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for (write, changed, body) in declared {
            query = query
                .bind(changed.id.to_string())
                .bind(write.team.to_string())
                .bind(write.kind)
                .bind(write.name.as_str())
                .bind(&write.version)
                .bind(Origin::Database.as_str())
                .bind(number)
                .bind(body);
        }
        query.execute(&mut **transaction).await?;
    }

    let gone: Vec<_> = all().filter(|(write, _)| write.body.is_none()).collect();
    if !gone.is_empty() {
        let sql = format!(
            "DELETE FROM resources WHERE id IN {}",
            places(1, gone.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for (_, changed) in gone {
            query = query.bind(changed.id.to_string());
        }
        query.execute(&mut **transaction).await?;
    }

    let sql = format!(
        "INSERT INTO resource_changes
         (revision, team, kind, name, version, resource, body_before, body_after)
         VALUES {}",
        places(writes.len(), 8)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for (write, changed) in all() {
        query = query
            .bind(number)
            .bind(write.team.to_string())
            .bind(write.kind)
            .bind(write.name.as_str())
            .bind(&write.version)
            .bind(changed.id.to_string())
            .bind(&changed.before)
            .bind(&write.body);
    }
    query.execute(&mut **transaction).await?;
    Ok(changed)
}

/// Team, kind, name and version.
type RowKey = (String, String, String, String);

fn key_of(write: &ResourceWrite) -> RowKey {
    let (team, kind) = (write.team.to_string(), write.kind.to_owned());
    (team, kind, write.name.to_string(), write.version.clone())
}

/// What there is of these, by what they are called.
async fn known_rows(
    transaction: &mut Transaction,
    writes: &[ResourceWrite],
) -> Result<BTreeMap<RowKey, (ResourceId, String)>, Error> {
    let sql = format!(
        "SELECT id, team, kind, name, version, body FROM resources
         WHERE (team, kind, name, version) IN (VALUES {})",
        places(writes.len(), 4)
    );
    let mut query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false);
    for write in writes {
        query = query
            .bind(write.team.to_string())
            .bind(write.kind)
            .bind(write.name.as_str())
            .bind(&write.version);
    }
    let rows: Vec<(String, String, String, String, String, String)> =
        query.fetch_all(&mut **transaction).await?;
    let rows = rows
        .into_iter()
        .map(|(id, team, kind, name, version, body)| {
            let parsed = id
                .parse()
                .map_err(|_| Error::malformed("resources", "id", &id))?;
            Ok(((team, kind, name, version), (parsed, body)))
        });
    rows.collect()
}

/// So many rows of so many places for values each: `($1, $2), ($3, $4)`. Numbers and nothing else.
fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let places = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({})", places.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

async fn forget_calls(transaction: &mut Transaction, now: Timestamp) -> Result<(), Error> {
    sqlx::query("DELETE FROM remembered_calls WHERE created_at <= $1")
        .bind(now.minus(REMEMBERED_FOR).as_micros())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn remember(
    transaction: &mut Transaction,
    call: &RememberedCall,
    resource: Option<ResourceId>,
    revision: Revision,
    now: Timestamp,
) -> Result<(), Error> {
    forget_calls(transaction, now).await?;
    let inserted = sqlx::query(
        "INSERT INTO remembered_calls (digest, fingerprint, resource, revision, created_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (digest) DO NOTHING",
    )
    .bind(&call.digest)
    .bind(&call.fingerprint)
    .bind(resource.map(|id| id.to_string()).unwrap_or_default())
    .bind(number(revision)?)
    .bind(now.as_micros())
    .execute(&mut **transaction)
    .await?
    .rows_affected();
    if inserted == 0 {
        return Err(Error::Exists {
            what: "a call with this key".to_owned(),
        });
    }
    Ok(())
}

/// What the audit event of each team tells.
fn told(writes: &[ResourceWrite], changed: &[ChangedResource]) -> BTreeMap<TeamId, Value> {
    let mut counts: BTreeMap<TeamId, usize> = BTreeMap::new();
    for write in writes {
        *counts.entry(write.team).or_default() += 1;
    }
    let whole = |team| counts.get(&team).is_some_and(|count| *count <= TOLD_WHOLE);
    let mut teams: BTreeMap<TeamId, Vec<Value>> = BTreeMap::new();
    for (write, changed) in writes.iter().zip(changed) {
        let mut change = json!({ "kind": write.kind, "name": write.name });
        if let Value::Object(told) = &mut change {
            if !write.version.is_empty() {
                told.insert("version".to_owned(), write.version.clone().into());
            }
            for (when, body) in [("before", &changed.before), ("after", &write.body)] {
                let Some(body) = body else { continue };
                let value = if whole(write.team) {
                    serde_json::from_str(body).unwrap_or(Value::Null)
                } else {
                    let hash = digest(&SHA256, body.as_bytes());
                    json!({ "sha256": hexadecimal(hash.as_ref()) })
                };
                told.insert(when.to_owned(), value);
            }
        }
        teams.entry(write.team).or_default().push(change);
    }
    let teams = teams.into_iter();
    teams
        .map(|(team, changes)| (team, json!({ "changes": changes })))
        .collect()
}
