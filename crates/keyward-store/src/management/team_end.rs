//! The end of a team: all that it has goes in one transaction, and what it was stays in the history and the audit log.

use super::Author;
use super::change::{begin_revision, hashed};
use super::credential::CREDENTIAL;
use super::team::Team;
use crate::changes::{Subject, raise};
use crate::database::Transaction;
use crate::{Error, KeyState, Store};
use keyward_model::id::TeamId;
use keyward_model::{Revision, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// What a team has, by kind; nothing of what it has none of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeamContents(pub BTreeMap<String, u64>);

/// `2 api, 1 member`.
impl fmt::Display for TeamContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.iter().map(|(kind, count)| format!("{count} {kind}"));
        f.write_str(&counts.collect::<Vec<_>>().join(", "))
    }
}

/// What ends a row of each kind that is no resource. `$1` is the team and `$2` the time.
///
/// Revocations are none of it: other nodes go on serving the team's APIs until they have heard of its end, and would
/// believe what it had revoked. They do no harm afterwards, and go when their time is over.
const ENDED: [(&str, &str, &str); 4] = [
    (
        "member",
        "SELECT count(DISTINCT member) FROM members WHERE team = $1 AND $2 = $2",
        "DELETE FROM members WHERE team = $1 AND $2 = $2",
    ),
    (
        "token",
        "SELECT count(*) FROM machine_tokens WHERE team = $1 AND revoked_at IS NULL AND expires_at > $2",
        "UPDATE machine_tokens SET revoked_at = $2 WHERE team = $1 AND revoked_at IS NULL",
    ),
    (
        "path",
        "SELECT count(*) FROM team_paths WHERE team = $1 AND $2 = $2",
        "DELETE FROM team_paths WHERE team = $1 AND $2 = $2",
    ),
    (
        "key",
        "SELECT count(*) FROM keys WHERE team = $1 AND state IN ('published', 'active', 'retiring') AND $2 = $2",
        "UPDATE keys SET state = 'withdrawn', version = version + 1, withdrawn_at = $2, private_sealed = NULL
         WHERE team = $1 AND state IN ('published', 'active', 'retiring')",
    ),
];

impl Store {
    /// Takes a team away, as a revision on top of `base`. With `cascade` all that it has goes with it: resources as by a
    /// change that deletes them, members, tokens and paths; its keys are withdrawn and their private parts
    /// wiped. Its revocations are left to expire. The revision, and how far credentials have come where any went. Its name is free from then on; its id is never given again.
    ///
    /// # Errors
    /// [`Error::TeamInUse`] when it has something, without `cascade`; [`Error::NoTeam`] when it is gone;
    /// [`Error::Conflict`] when `base` is no longer the newest revision.
    pub async fn delete_team(
        &self,
        base: Revision,
        team: &Team,
        cascade: bool,
        (author, reason): (Author<'_>, &str),
        now: Timestamp,
    ) -> Result<(Revision, Option<i64>), Error> {
        let mut transaction = self.begin_write().await?;
        team_is_there(&mut transaction, team.id).await?;
        let contents = contents(&mut transaction, team.id, now).await?;
        if !cascade && !contents.0.is_empty() {
            return Err(Error::TeamInUse { contents });
        }
        let summary = format!("delete the team {}", team.name);
        let about = (author, summary.as_str(), reason);
        let revision = begin_revision(&mut transaction, base, about, now).await?;
        let id = team.id.to_string();
        let number = i64::try_from(revision.0)
            .map_err(|_| Error::malformed("revisions", "number", revision))?;
        sqlx::query(
            "INSERT INTO resource_changes
             (revision, team, kind, name, version, resource, body_before, body_after)
             SELECT $1, team, kind, name, version, id, body, NULL FROM resources
             WHERE team = $2 AND kind <> 'credential'",
        )
        .bind(number)
        .bind(&id)
        .execute(&mut *transaction)
        .await?;
        let credentials = self
            .end_credentials(&mut transaction, team.id, (author, reason), now)
            .await?;
        self.tell_of_keys(&mut transaction, team.id, author, now)
            .await?;
        for table in ["resources", "resource_secrets", "webhook_positions"] {
            let sql = format!("DELETE FROM {table} WHERE team = $1");
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(&id)
                .execute(&mut *transaction)
                .await?;
        }
        for (kind, _, ends) in ENDED {
            let ended = sqlx::query(ends)
                .bind(&id)
                .bind(now.as_micros())
                .execute(&mut *transaction)
                .await?
                .rows_affected();
            if kind == "key" && ended > 0 {
                raise(&mut transaction, Subject::Keys).await?;
            }
        }
        // Rows that tell of it, such as the audit log's, go on naming its id.
        sqlx::query("UPDATE teams SET name = $1, deleted_at = $2 WHERE id = $3")
            .bind(format!("deleted-{id}"))
            .bind(now.as_micros())
            .bind(&id)
            .execute(&mut *transaction)
            .await?;
        let object = format!("team {}", team.name);
        let action = ("team.delete", object.as_str());
        let about =
            json!({ "team": id, "had": contents.0, "revision": revision, "reason": reason });
        self.told(&mut transaction, author, team.id, action, about, now)
            .await?;
        let committed = transaction.commit().await;
        // Whatever came of it: others look.
        self.tell_of_change();
        committed.map_err(|error| Error::Unacknowledged(Error::from(error).to_string()))?;
        Ok((revision, credentials))
    }

    /// Keeps which credentials go with a team, and tells of them, since they have no history; how far credentials have
    /// come with it, where it has any.
    async fn end_credentials(
        &self,
        transaction: &mut Transaction,
        team: TeamId,
        (author, reason): (Author<'_>, &str),
        now: Timestamp,
    ) -> Result<Option<i64>, Error> {
        let of_team = team.to_string();
        let going: Vec<(String, String)> = sqlx::query_as(
            "SELECT name, body FROM resources WHERE team = $1 AND kind = $2 ORDER BY name",
        )
        .bind(&of_team)
        .bind(CREDENTIAL)
        .fetch_all(&mut **transaction)
        .await?;
        if going.is_empty() {
            return Ok(None);
        }
        let mark = raise(transaction, Subject::Credentials).await?;
        sqlx::query(
            "INSERT INTO removed_credentials (team, name, mark, removed_at)
             SELECT team, name, $2, $3 FROM resources WHERE team = $1 AND kind = $4
             ON CONFLICT (team, name)
             DO UPDATE SET mark = excluded.mark, removed_at = excluded.removed_at",
        )
        .bind(&of_team)
        .bind(mark)
        .bind(now.as_micros())
        .bind(CREDENTIAL)
        .execute(&mut **transaction)
        .await?;
        let changes: Vec<Value> = going
            .iter()
            .map(|(name, body)| json!({ "kind": CREDENTIAL, "name": name, "before": hashed(body) }))
            .collect();
        let object = format!("credentials {mark}");
        let action = ("credentials.change", object.as_str());
        let mut about = json!({ "changes": changes });
        if let Value::Object(about) = &mut about
            && !reason.is_empty()
        {
            about.insert("reason".to_owned(), reason.into());
        }
        self.told(transaction, author, team, action, about, now)
            .await?;
        Ok(Some(mark))
    }

    /// Tells of the keys that are withdrawn with a team, each as where it is withdrawn alone.
    async fn tell_of_keys(
        &self,
        transaction: &mut Transaction,
        team: TeamId,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let going: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT id, kid, state FROM keys
             WHERE team = $1 AND state IN ('published', 'active', 'retiring') ORDER BY id",
        )
        .bind(team.to_string())
        .fetch_all(&mut **transaction)
        .await?;
        for (id, kid, state) in going {
            let object = format!("key {id}");
            let action = ("key.change", object.as_str());
            let to = KeyState::Withdrawn.as_str();
            let about = json!({ "kid": kid, "from": state, "to": to });
            self.told(transaction, author, team, action, about, now)
                .await?;
        }
        Ok(())
    }
}

/// That a team is there and was not deleted: to be asked in each transaction that gives it something.
pub(crate) async fn team_is_there(
    transaction: &mut Transaction,
    team: TeamId,
) -> Result<(), Error> {
    let (found,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM teams WHERE id = $1 AND deleted_at IS NULL")
            .bind(team.to_string())
            .fetch_one(&mut **transaction)
            .await?;
    if found == 0 {
        return Err(Error::NoTeam);
    }
    Ok(())
}

async fn contents(
    transaction: &mut Transaction,
    team: TeamId,
    now: Timestamp,
) -> Result<TeamContents, Error> {
    let team = team.to_string();
    let mut counts: Vec<(String, i64)> =
        sqlx::query_as("SELECT kind, count(*) FROM resources WHERE team = $1 GROUP BY kind")
            .bind(&team)
            .fetch_all(&mut **transaction)
            .await?;
    for (kind, count, _) in ENDED {
        let (count,): (i64,) = sqlx::query_as(count)
            .bind(&team)
            .bind(now.as_micros())
            .fetch_one(&mut **transaction)
            .await?;
        counts.push((kind.to_owned(), count));
    }
    let some = counts.into_iter().filter(|(_, count)| *count > 0);
    let some = some.map(|(kind, count)| (kind, u64::try_from(count).unwrap_or_default()));
    Ok(TeamContents(some.collect()))
}
