//! The history of the configuration: its revisions, and what each did.

use crate::{AuditEvent, Error, Store};
use keyward_model::id::{ResourceId, TeamId};
use keyward_model::{Name, Revision, TeamName, Timestamp};

/// A revision: when, by whom and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionEntry {
    /// Its number.
    pub revision: Revision,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub actor: String,
    /// What it did, in a line.
    pub summary: String,
    /// Why, as its maker wrote.
    pub reason: String,
    /// The call that made it.
    pub request_id: String,
    /// The team that its maker acted from; empty where that was not written down.
    pub actor_team: String,
    /// The token that they had shown; empty where there was none.
    pub token: String,
    /// How many resources it changed: of the team, where it is asked for one.
    pub changes: u64,
    /// Whether it changed something of other teams too, credentials among them.
    pub of_others: bool,
}

/// What a revision did to a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceChange {
    /// The revision.
    pub revision: Revision,
    /// The owner.
    pub team: TeamId,
    /// The owner's name.
    pub team_name: TeamName,
    /// Its kind, as written in `kind`.
    pub kind: String,
    /// Its name.
    pub name: Name,
    /// Empty for kinds that have none.
    pub version: String,
    /// The row.
    pub id: ResourceId,
    /// The declaration before; `None` when it came.
    pub before: Option<String>,
    /// The declaration after; `None` when it went.
    pub after: Option<String>,
    /// Whether the owner is gone by now, and with it whatever it had.
    pub team_ended: bool,
}

/// The most that lies between two revisions and is told at once, in resources and in characters of their declarations:
/// what a deployment of a hundred thousand has, and some times what an `apply` takes.
const DIFFERENCES_MAX: i64 = 100_000;
const CHARACTERS_MAX: i64 = 64 << 20;

/// Of each resource that was changed after revision $1 and up to $2 (of the team $3, unless that is empty) the first
/// change and the last.
macro_rules! spans {
    () => {
        "(SELECT team, kind, name, version, min(revision) AS low, max(revision) AS high
          FROM resource_changes
          WHERE revision > $1 AND revision <= $2 AND ($3 = '' OR team = $3)
          GROUP BY team, kind, name, version) AS span
         JOIN resource_changes AS first ON first.revision = span.low AND first.team = span.team
          AND first.kind = span.kind AND first.name = span.name AND first.version = span.version
         JOIN resource_changes AS last ON last.revision = span.high AND last.team = span.team
          AND last.kind = span.kind AND last.name = span.name AND last.version = span.version"
    };
}

#[derive(sqlx::FromRow)]
struct RevisionRow {
    number: i64,
    created_at: i64,
    actor: String,
    summary: String,
    reason: String,
    request_id: String,
    actor_team: String,
    token: String,
    changes: i64,
    all_changes: i64,
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    revision: i64,
    team: String,
    team_name: String,
    kind: String,
    name: String,
    version: String,
    resource: String,
    body_before: Option<String>,
    body_after: Option<String>,
    team_ended: i64,
}

impl TryFrom<RevisionRow> for RevisionEntry {
    type Error = Error;
    fn try_from(row: RevisionRow) -> Result<Self, Error> {
        let number = u64::try_from(row.number)
            .map_err(|_| Error::malformed("revisions", "number", row.number))?;
        Ok(Self {
            revision: Revision(number),
            created_at: Timestamp::from_micros(row.created_at),
            actor: row.actor,
            summary: row.summary,
            reason: row.reason,
            request_id: row.request_id,
            actor_team: row.actor_team,
            token: row.token,
            changes: u64::try_from(row.changes).unwrap_or_default(),
            of_others: row.all_changes > row.changes,
        })
    }
}

impl TryFrom<ChangeRow> for ResourceChange {
    type Error = Error;
    fn try_from(row: ChangeRow) -> Result<Self, Error> {
        let malformed = |column| Error::malformed("resource_changes", column, row.revision);
        let revision = u64::try_from(row.revision).map_err(|_| malformed("revision"))?;
        Ok(Self {
            revision: Revision(revision),
            team: row.team.parse().map_err(|_| malformed("team"))?,
            team_name: row.team_name.parse().map_err(|_| malformed("team"))?,
            name: row.name.parse().map_err(|_| malformed("name"))?,
            id: row.resource.parse().map_err(|_| malformed("resource"))?,
            kind: row.kind,
            version: row.version,
            before: row.body_before,
            after: row.body_after,
            team_ended: row.team_ended != 0,
        })
    }
}

impl Store {
    /// The revisions before `before`, newest first, at most `limit`; of `team` alone where one is named.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn revisions(
        &self,
        team: Option<TeamId>,
        before: Option<Revision>,
        limit: u32,
    ) -> Result<Vec<RevisionEntry>, Error> {
        let before = before.map_or(i64::MAX, |before| {
            i64::try_from(before.0).unwrap_or(i64::MAX)
        });
        let rows: Vec<RevisionRow> = sqlx::query_as(
            "SELECT number, created_at, actor, summary, reason, request_id, actor_team, token,
                    (SELECT count(*) FROM resource_changes
                     WHERE revision = number AND ($3 = '' OR team = $3)) AS changes,
                    (SELECT count(*) FROM resource_changes WHERE revision = number)
                        + CASE WHEN $3 = '' THEN 0 ELSE beyond END AS all_changes
             FROM revisions
             WHERE number > 0 AND number < $1 AND ($3 = '' OR number IN
                   (SELECT revision FROM resource_changes WHERE team = $3))
             ORDER BY number DESC LIMIT $2",
        )
        .bind(before)
        .bind(i64::from(limit))
        .bind(team.map(|team| team.to_string()).unwrap_or_default())
        .fetch_all(self.pool())
        .await?;
        rows.into_iter().map(RevisionEntry::try_from).collect()
    }

    /// What was done to resources after one revision and up to another, in order; of `team` alone where one is named.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn resource_changes(
        &self,
        team: Option<TeamId>,
        after: Revision,
        up_to: Revision,
    ) -> Result<Vec<ResourceChange>, Error> {
        let number = |revision: Revision| i64::try_from(revision.0).unwrap_or(i64::MAX);
        let rows: Vec<ChangeRow> = sqlx::query_as(
            "SELECT revision, team, teams.name AS team_name, kind, resource_changes.name, version,
                    resource, body_before, body_after,
                    CAST(CASE WHEN teams.deleted_at IS NULL THEN 0 ELSE 1 END AS BIGINT) AS team_ended
             FROM resource_changes JOIN teams ON teams.id = resource_changes.team
             WHERE revision > $1 AND revision <= $2 AND ($3 = '' OR team = $3)
             ORDER BY revision, team, kind, resource_changes.name, version",
        )
        .bind(number(after))
        .bind(number(up_to))
        .bind(team.map(|team| team.to_string()).unwrap_or_default())
        .fetch_all(self.pool())
        .await?;
        rows.into_iter().map(ResourceChange::try_from).collect()
    }

    /// What became of each resource after one revision and up to another, however often it was changed: its first
    /// declaration before and its last after; of `team` alone where one is named. `None` where that is too much to be told
    /// at once.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn resource_differences(
        &self,
        team: Option<TeamId>,
        after: Revision,
        up_to: Revision,
    ) -> Result<Option<Vec<ResourceChange>>, Error> {
        let number = |revision: Revision| i64::try_from(revision.0).unwrap_or(i64::MAX);
        let team = team.map(|team| team.to_string()).unwrap_or_default();
        let mut transaction = self.database().begin_read().await?;
        let (count, characters): (i64, i64) = sqlx::query_as(concat!(
            "SELECT count(*),
                    CAST(coalesce(sum(length(coalesce(first.body_before, ''))
                                    + length(coalesce(last.body_after, ''))), 0) AS BIGINT)
             FROM ",
            spans!()
        ))
        .bind(number(after))
        .bind(number(up_to))
        .bind(&team)
        .fetch_one(&mut *transaction)
        .await?;
        if count > DIFFERENCES_MAX || characters > CHARACTERS_MAX {
            return Ok(None);
        }
        let rows: Vec<ChangeRow> = sqlx::query_as(concat!(
            "SELECT last.revision AS revision, span.team AS team, teams.name AS team_name,
                    span.kind AS kind, span.name AS name, span.version AS version,
                    last.resource AS resource, first.body_before AS body_before,
                    last.body_after AS body_after,
                    CAST(CASE WHEN teams.deleted_at IS NULL THEN 0 ELSE 1 END AS BIGINT) AS team_ended
             FROM ",
            spans!(),
            " JOIN teams ON teams.id = span.team
             ORDER BY span.team, span.kind, span.name, span.version"
        ))
        .bind(number(after))
        .bind(number(up_to))
        .bind(&team)
        .fetch_all(&mut *transaction)
        .await?;
        transaction.rollback().await?;
        let changes = rows.into_iter().map(ResourceChange::try_from);
        changes.collect::<Result<_, _>>().map(Some)
    }

    /// The audit events before `before`, newest first, at most `limit`; of `team` alone where one is named.
    ///
    /// # Errors
    /// What the database says.
    pub async fn newest_audit_events(
        &self,
        team: Option<TeamId>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, Error> {
        let events = sqlx::query_as(
            "SELECT sequence, id, team, happened_at, node, actor, action, object, detail,
                    previous_hash, hash
             FROM audit_events WHERE sequence < $1 AND ($3 = '' OR team = $3)
             ORDER BY sequence DESC LIMIT $2",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .bind(team.map(|team| team.to_string()).unwrap_or_default())
        .fetch_all(self.pool())
        .await?;
        Ok(events)
    }
}
