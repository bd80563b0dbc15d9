//! Tokens of machines that manage.

use super::{Author, member};
use crate::database::Transaction;
use crate::hierarchy::random_id;
use crate::{Error, Store};
use keyward_model::Timestamp;
use keyward_model::id::{MachineTokenId, TeamId};
use serde_json::json;
use std::collections::BTreeSet;

/// A token as stored: what it allows, and never the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineToken {
    /// The row; the token's `jti`.
    pub id: MachineTokenId,
    /// The team that it acts in.
    pub team: TeamId,
    /// The member that it acts as.
    pub member: String,
    /// What it is for.
    pub label: String,
    /// What it may be used for.
    pub scopes: BTreeSet<String>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
    /// Whether an operator made it. Only then may it do what only operators may.
    pub by_operator: bool,
}

/// One to be made.
#[derive(Clone, Debug)]
pub struct NewMachineToken<'a> {
    /// The team that it acts in.
    pub team: TeamId,
    /// The member that it acts as.
    pub member: &'a str,
    /// What it is for.
    pub label: &'a str,
    /// What it may be used for.
    pub scopes: &'a BTreeSet<String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whether an operator makes it.
    pub by_operator: bool,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    id: String,
    team: String,
    member: String,
    label: String,
    scopes: String,
    created_by: String,
    created_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
    by_operator: i64,
}

impl TryFrom<TokenRow> for MachineToken {
    type Error = Error;
    fn try_from(row: TokenRow) -> Result<Self, Error> {
        let malformed = |column| Error::malformed("machine_tokens", column, &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| malformed("id"))?,
            team: row.team.parse().map_err(|_| malformed("team"))?,
            scopes: row.scopes.split(' ').map(str::to_owned).collect(),
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            revoked_at: row.revoked_at.map(Timestamp::from_micros),
            by_operator: row.by_operator != 0,
            member: row.member,
            label: row.label,
            created_by: row.created_by,
        })
    }
}

const COLUMNS: &str =
    "id, team, member, label, scopes, created_by, created_at, expires_at, revoked_at, by_operator";

impl Store {
    /// Makes a token's row. `None` when its member has no role in the team.
    ///
    /// # Errors
    /// What the database says.
    pub async fn create_machine_token(
        &self,
        token: NewMachineToken<'_>,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<Option<MachineToken>, Error> {
        let mut transaction = self.begin_write().await?;
        let roles = member::roles(&mut transaction, token.team, token.member).await?;
        if roles.is_empty() {
            return Ok(None);
        }
        let made = self
            .insert_machine_token(&mut transaction, token, author, now)
            .await?;
        transaction.commit().await?;
        Ok(Some(made))
    }

    pub(super) async fn insert_machine_token(
        &self,
        transaction: &mut Transaction,
        token: NewMachineToken<'_>,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<MachineToken, Error> {
        let id = MachineTokenId::new(now, random_id()?);
        let scopes: Vec<&str> = token.scopes.iter().map(String::as_str).collect();
        sqlx::query(
            "INSERT INTO machine_tokens
             (id, team, member, label, scopes, created_by, created_at, expires_at, by_operator)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id.to_string())
        .bind(token.team.to_string())
        .bind(token.member)
        .bind(token.label)
        .bind(scopes.join(" "))
        .bind(author.name)
        .bind(now.as_micros())
        .bind(token.expires_at.as_micros())
        .bind(i64::from(token.by_operator))
        .execute(&mut **transaction)
        .await?;
        let object = format!("token {id}");
        let about = json!({
            "member": token.member, "label": token.label, "scopes": scopes,
            "expires": token.expires_at.to_string(),
        });
        let action = ("token.create", object.as_str());
        self.told(transaction, author, token.team, action, about, now)
            .await?;
        Ok(MachineToken {
            id,
            team: token.team,
            member: token.member.to_owned(),
            label: token.label.to_owned(),
            scopes: token.scopes.clone(),
            created_by: author.name.to_owned(),
            created_at: now,
            expires_at: token.expires_at,
            revoked_at: None,
            by_operator: token.by_operator,
        })
    }

    /// One token, whatever its state.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn machine_token(&self, id: MachineTokenId) -> Result<Option<MachineToken>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM machine_tokens WHERE id = $1");
        let row: Option<TokenRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        row.map(MachineToken::try_from).transpose()
    }

    /// A team's tokens after `after` (an id, or nothing), oldest first; at most `limit`.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn machine_tokens(
        &self,
        team: TeamId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<MachineToken>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM machine_tokens WHERE team = $1 AND id > $2 ORDER BY id LIMIT $3"
        );
        let rows: Vec<TokenRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(team.to_string())
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(self.pool())
            .await?;
        rows.into_iter().map(MachineToken::try_from).collect()
    }

    /// Takes a token back. `false` when it was before.
    ///
    /// `above` names a role that the author stands below: tokens of whoever has it are not theirs to take back.
    ///
    /// # Errors
    /// [`Error::Above`] when the token's member has the role `above`.
    pub async fn revoke_machine_token(
        &self,
        token: &MachineToken,
        above: Option<&str>,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin_write().await?;
        let roles = member::roles(&mut transaction, token.team, &token.member).await?;
        member::not_above(above, &roles)?;
        let changed = sqlx::query(
            "UPDATE machine_tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
        )
        .bind(now.as_micros())
        .bind(token.id.to_string())
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if changed == 0 {
            return Ok(false);
        }
        let object = format!("token {}", token.id);
        let about = json!({ "member": token.member, "label": token.label });
        let action = ("token.revoke", object.as_str());
        self.told(&mut transaction, author, token.team, action, about, now)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }
}
