//! Changes of resources: a revision each, in one transaction with the history, the secrets and the audit events.
//! Credentials take no part in revisions: they are changed by row, in the same transaction.

use super::credential::{CREDENTIAL, check_shown, check_unchanged, remember_removed};
use super::member::custom_role_is_unused;
use super::{Author, Base, team_is_there};
use crate::changes::{Subject, raise};
use crate::database::{Connection, Transaction};
use crate::hierarchy::{Place, Purpose, random_id};
use crate::resource::newest_revision;
use crate::schema::hexadecimal;
use crate::webhook::forget_webhook;
use crate::{Error, Store};
use aws_lc_rs::digest::{SHA256, digest};
use keyward_model::id::{ResourceId, TeamId};
use keyward_model::resource::Kind;
use keyward_model::{Name, Origin, Revision, Secret, Timestamp};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Up to so many changes of a team an audit event tells what was there before and after; of more it has the hashes, and the
/// history has the rest.
const TOLD_WHOLE: usize = 20;

/// How many resources a statement writes: ten values each, of which a statement has some thousands.
pub(super) const AT_ONCE: usize = 100;

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
    /// What callers show of a credential, so that no two of a team come to have the same one; empty of all else.
    pub shown: String,
}

impl ResourceWrite {
    pub(super) fn is_credential(&self) -> bool {
        self.kind == CREDENTIAL
    }
}

/// A creation that is to be known again.
#[derive(Clone, Debug)]
pub struct RememberedCall {
    /// A hash of the key and of who sent it.
    pub digest: String,
    /// A hash of what was asked for.
    pub fingerprint: String,
}

/// What a call that is known again has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedCreation {
    /// Of what was asked for.
    pub fingerprint: String,
    /// The row.
    pub resource: ResourceId,
    /// The revision that did it; of a credential the one that was the newest then.
    pub revision: Revision,
    /// How often credentials had been changed with it; 0 of all else.
    pub mark: i64,
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
    /// The revision that did it; the newest, where nothing but credentials was written.
    pub revision: Revision,
    /// Whether the revision was made by this.
    pub is_revision: bool,
    /// How far credentials have come with it; as far as before, where none was written.
    pub credentials: i64,
    /// What became of each write, in order.
    pub resources: Vec<ChangedResource>,
}

impl Store {
    /// Writes resources on top of `base`: a revision, and credentials by row.
    ///
    /// # Errors
    /// [`Error::Conflict`] when `base` is no longer the newest revision, or where credentials alone are written, one of
    /// them or one that is shown in the same way has changed since: read what has changed, and decide anew.
    /// [`Error::Exists`] when `remembered` is known already. [`Error::RoleInUse`] when a custom role would go that
    /// members have; [`Error::NoTeam`] when a team is gone. [`Error::Unacknowledged`] when it may have been written, which
    /// [`revision_of_call`](Self::revision_of_call) may tell, and of credentials their rows.
    pub async fn write_resources(
        &self,
        base: Base,
        writes: &[ResourceWrite],
        remembered: Option<&RememberedCall>,
        (author, summary, reason): (Author<'_>, &str, &str),
        now: Timestamp,
    ) -> Result<Written, Error> {
        let mut transaction = self.begin_write().await?;
        let about = (author, summary, reason);
        let is_revision = !writes.iter().all(ResourceWrite::is_credential);
        let revision = if is_revision {
            begin_revision(&mut transaction, base.revision, about, now).await?
        } else {
            newest_revision(&mut transaction).await?
        };
        let credentials = if writes.iter().any(ResourceWrite::is_credential) {
            let raised = raise(&mut transaction, Subject::Credentials).await?;
            // A history that has not come as far as the one that was read is another.
            if raised <= base.credentials {
                return Err(Error::Conflict {
                    what: "the credentials".to_owned(),
                });
            }
            check_shown(&mut transaction, writes).await?;
            raised
        } else {
            base.credentials
        };
        let teams: BTreeSet<TeamId> = writes.iter().map(|write| write.team).collect();
        for team in &teams {
            team_is_there(&mut transaction, *team).await?;
        }
        if is_revision && teams.len() > 1 {
            // Whoever sees a part of it is not told why all of it was done.
            sqlx::query("UPDATE revisions SET beyond = 1 WHERE number = $1")
                .bind(number(revision)?)
                .execute(&mut *transaction)
                .await?;
        }
        let at = Moment {
            revision,
            credentials,
            base,
            now,
        };
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
            resources.extend(write_some(&mut transaction, some, at).await?);
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
            let of_credential = writes.first().is_some_and(ResourceWrite::is_credential);
            let mark = if of_credential { credentials } else { 0 };
            let made = (resource, revision, mark);
            remember(&mut transaction, call, made, now).await?;
        }
        let of_credentials = (
            true,
            "credentials.change",
            format!("credentials {credentials}"),
        );
        let of_revision = (
            false,
            "configuration.change",
            format!("revision {revision}"),
        );
        for (which, action, object) in [of_revision, of_credentials] {
            let some = writes.iter().zip(&resources);
            let some = some.filter(|(write, _)| write.is_credential() == which);
            let events = told(&some.collect::<Vec<_>>());
            for (team, mut about) in events {
                // A reason that was given for several teams at once may tell one of them of the others.
                if let Value::Object(about) = &mut about
                    && teams.len() == 1
                    && !reason.is_empty()
                {
                    about.insert("reason".to_owned(), reason.into());
                }
                let action = (action, object.as_str());
                self.told(&mut transaction, author, team, action, about, now)
                    .await?;
            }
        }
        let committed = transaction.commit().await;
        // Whatever came of it: others look.
        self.tell_of_change();
        committed.map_err(|error| Error::Unacknowledged(Error::from(error).to_string()))?;
        Ok(Written {
            revision,
            is_revision,
            credentials,
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
        let asked = [(team, reference.to_owned())];
        let mut found = self.resource_secrets(&asked).await?.into_values();
        found.next().transpose()
    }

    /// The secrets that resources of these teams refer to: those that there are, each opened or with why it does not open.
    ///
    /// # Errors
    /// What the database says.
    pub async fn resource_secrets(
        &self,
        references: &[(TeamId, String)],
    ) -> Result<HashMap<(TeamId, String), Result<Secret<String>, Error>>, Error> {
        let mut connection = self.pool().acquire().await?;
        let mut found = HashMap::with_capacity(references.len());
        for some in references.chunks(AT_ONCE) {
            let sql = format!(
                "SELECT team, reference, sealed FROM resource_secrets
                 WHERE (team, reference) IN (VALUES {})",
                places(some.len(), 2)
            );
            let mut query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false);
            for (team, reference) in some {
                query = query.bind(team.to_string()).bind(reference);
            }
            let rows: Vec<(String, String, String)> = query.fetch_all(&mut connection).await?;
            for (team, reference, sealed) in rows {
                let malformed = |column| Error::malformed("resource_secrets", column, &reference);
                let team = team.parse().map_err(|_| malformed("team"))?;
                let opened = self
                    .keyring()
                    .open_sealed(
                        &mut connection,
                        Purpose::Secrets,
                        secret_place(&reference, team),
                        &sealed,
                    )
                    .await;
                let opened = match opened {
                    Ok(opened) => std::str::from_utf8(&opened)
                        .map(|text| Secret::new(text.to_owned()))
                        .map_err(|_| malformed("sealed")),
                    Err(error @ Error::Sealed { .. }) => Err(error),
                    Err(error) => return Err(error),
                };
                found.insert((team, reference), opened);
            }
        }
        Ok(found)
    }

    /// What a creation with this key made.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn remembered_call(
        &self,
        digest: &str,
        now: Timestamp,
    ) -> Result<Option<RememberedCreation>, Error> {
        let row: Option<(String, String, i64, i64)> = sqlx::query_as(
            "SELECT fingerprint, resource, revision, mark FROM remembered_calls
             WHERE digest = $1 AND created_at > $2",
        )
        .bind(digest)
        .bind(now.minus(REMEMBERED_FOR).as_micros())
        .fetch_optional(self.pool())
        .await?;
        row.map(|(fingerprint, resource, revision, mark)| {
            let malformed = |column| Error::malformed("remembered_calls", column, digest);
            let resource = resource.parse().map_err(|_| malformed("resource"))?;
            let revision = u64::try_from(revision).map_err(|_| malformed("revision"))?;
            Ok(RememberedCreation {
                fingerprint,
                resource,
                revision: Revision(revision),
                mark,
            })
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
    if base != newest_revision(connection).await? {
        return Err(Error::Conflict {
            what: "the configuration".to_owned(),
        });
    }
    Ok(base.next())
}

/// On top of what something is written, and as what.
#[derive(Clone, Copy)]
struct Moment {
    revision: Revision,
    credentials: i64,
    base: Base,
    now: Timestamp,
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
    at: Moment,
) -> Result<Vec<ChangedResource>, Error> {
    let credentials = || writes.iter().filter(|write| write.is_credential());
    check_unchanged(transaction, at.base, credentials()).await?;
    let known = known_rows(transaction, writes).await?;
    let mut changed = Vec::with_capacity(writes.len());
    for write in writes {
        changed.push(match known.get(&key_of(write)) {
            Some((id, body)) => ChangedResource {
                id: *id,
                before: Some(body.clone()),
            },
            None => ChangedResource {
                id: ResourceId::new(at.now, random_id()?),
                before: None,
            },
        });
    }
    let number = number(at.revision)?;
    let all = || writes.iter().zip(&changed);

    let declared: Vec<_> = all()
        .filter_map(|(write, changed)| Some((write, changed, write.body.as_ref()?)))
        .collect();
    if !declared.is_empty() {
        let sql = format!(
            "INSERT INTO resources
             (id, team, kind, name, version, origin, revision, body, mark, shown)
             VALUES {}
             ON CONFLICT (team, kind, name, version)
             DO UPDATE SET body = excluded.body, revision = excluded.revision,
                           mark = excluded.mark, shown = excluded.shown",
            places(declared.len(), 10)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for (write, changed, body) in declared {
            let mark = if write.is_credential() {
                at.credentials
            } else {
                0
            };
            query = query
                .bind(changed.id.to_string())
                .bind(write.team.to_string())
                .bind(write.kind)
                .bind(write.name.as_str())
                .bind(&write.version)
                .bind(Origin::Database.as_str())
                .bind(number)
                .bind(body)
                .bind(mark)
                .bind(&write.shown);
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
        let gone = credentials().filter(|write| write.body.is_none());
        remember_removed(transaction, gone, at.credentials, at.now).await?;
    }

    let of_revision: Vec<_> = all().filter(|(write, _)| !write.is_credential()).collect();
    if !of_revision.is_empty() {
        let sql = format!(
            "INSERT INTO resource_changes
             (revision, team, kind, name, version, resource, body_before, body_after)
             VALUES {}",
            places(of_revision.len(), 8)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for (write, changed) in of_revision {
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
    }
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
pub(super) fn places(rows: usize, columns: usize) -> String {
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
    (resource, revision, mark): (Option<ResourceId>, Revision, i64),
    now: Timestamp,
) -> Result<(), Error> {
    forget_calls(transaction, now).await?;
    let inserted = sqlx::query(
        "INSERT INTO remembered_calls (digest, fingerprint, resource, revision, created_at, mark)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (digest) DO NOTHING",
    )
    .bind(&call.digest)
    .bind(&call.fingerprint)
    .bind(resource.map(|id| id.to_string()).unwrap_or_default())
    .bind(number(revision)?)
    .bind(now.as_micros())
    .bind(mark)
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

/// What an audit event tells of a declaration that it does not tell whole.
pub(super) fn hashed(body: &str) -> Value {
    let hash = digest(&SHA256, body.as_bytes());
    json!({ "sha256": hexadecimal(hash.as_ref()) })
}

/// What the audit event of each team tells.
fn told(changes: &[(&ResourceWrite, &ChangedResource)]) -> BTreeMap<TeamId, Value> {
    let mut counts: BTreeMap<TeamId, usize> = BTreeMap::new();
    for (write, _) in changes {
        *counts.entry(write.team).or_default() += 1;
    }
    let whole = |team| counts.get(&team).is_some_and(|count| *count <= TOLD_WHOLE);
    let mut teams: BTreeMap<TeamId, Vec<Value>> = BTreeMap::new();
    for (write, changed) in changes {
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
                    hashed(body)
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
