//! Members of teams, and their roles.

use super::{Author, team_is_there};
use crate::database::{Connection, Transaction};
use crate::{Error, Store};
use keyward_model::id::TeamId;
use keyward_model::resource::{CustomRole, Kind};
use keyward_model::{Name, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A member's role in a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRole {
    /// The team.
    pub team: TeamId,
    /// The role.
    pub role: String,
}

/// A member with all roles in one team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamMember {
    /// Their name.
    pub member: String,
    /// Their roles.
    pub roles: BTreeSet<String>,
}

/// What holds of a change of members.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemberRules<'a> {
    /// A role that somebody has to have in the team afterwards: the last operator can't be taken away.
    pub keep: Option<&'a str>,
    /// A role that the author stands below: they give it to nobody, and take nothing from whoever has it.
    pub above: Option<&'a str>,
    /// What the member's roles are taken for: somebody else's change since then is not overwritten.
    pub expected: Option<&'a BTreeSet<String>>,
    /// Custom roles that are given, and that the team must have when they are.
    pub custom: &'a [Name],
}

impl Store {
    /// The members of a team after `after`, by name; at most `limit`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn members(
        &self,
        team: TeamId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<TeamMember>, Error> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT member, role FROM members WHERE team = $1 AND member IN
               (SELECT DISTINCT member FROM members WHERE team = $1 AND member > $2
                ORDER BY member LIMIT $3)
             ORDER BY member, role",
        )
        .bind(team.to_string())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await?;
        let mut members: Vec<TeamMember> = Vec::new();
        for (member, role) in rows {
            match members.last_mut() {
                Some(last) if last.member == member => {
                    last.roles.insert(role);
                }
                Some(_) | None => members.push(TeamMember {
                    member,
                    roles: BTreeSet::from([role]),
                }),
            }
        }
        Ok(members)
    }

    /// The roles of one member in all teams.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn member_roles(&self, member: &str) -> Result<Vec<MemberRole>, Error> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT team, role FROM members WHERE member = $1 ORDER BY team, role")
                .bind(member)
                .fetch_all(self.pool())
                .await?;
        rows.into_iter()
            .map(|(team, role)| {
                let team = team
                    .parse()
                    .map_err(|_| Error::malformed("members", "team", member))?;
                Ok(MemberRole { team, role })
            })
            .collect()
    }

    /// Gives a member these roles in a team and no others. Without any, they are no member.
    ///
    /// Whoever is no member any more has no token any more either, so that none comes back to life when somebody is
    /// called so again.
    ///
    /// # Errors
    /// [`Error::Last`] when nobody would have the role `rules.keep`; [`Error::Above`] when the member has the role
    /// `rules.above`, or would; [`Error::NoRole`] when one of `rules.custom` is not there; [`Error::NoTeam`];
    /// [`Error::Conflict`] when the member has other roles than `rules.expected`.
    pub async fn set_member(
        &self,
        team: TeamId,
        member: &str,
        roles: &BTreeSet<String>,
        rules: MemberRules<'_>,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        team_is_there(&mut transaction, team).await?;
        let before = self::roles(&mut transaction, team, member).await?;
        if rules.expected.is_some_and(|expected| *expected != before) {
            return Err(Error::Conflict {
                what: format!("the member {member}"),
            });
        }
        not_above(rules.above, &before)?;
        not_above(rules.above, roles)?;
        if before == *roles {
            return Ok(());
        }
        for name in rules.custom {
            custom_role_is_there(&mut transaction, team, name).await?;
        }
        sqlx::query("DELETE FROM members WHERE team = $1 AND member = $2")
            .bind(team.to_string())
            .bind(member)
            .execute(&mut *transaction)
            .await?;
        for role in roles {
            insert(&mut transaction, team, member, role, now).await?;
        }
        if let Some(role) = rules.keep.filter(|role| before.contains(*role)) {
            let (left,): (i64,) =
                sqlx::query_as("SELECT count(*) FROM members WHERE team = $1 AND role = $2")
                    .bind(team.to_string())
                    .bind(role)
                    .fetch_one(&mut *transaction)
                    .await?;
            if left == 0 {
                return Err(Error::Last {
                    role: role.to_owned(),
                });
            }
        }
        let mut about = json!({ "before": before, "after": roles });
        if roles.is_empty() {
            let revoked = sqlx::query(
                "UPDATE machine_tokens SET revoked_at = $1
                 WHERE team = $2 AND member = $3 AND revoked_at IS NULL",
            )
            .bind(now.as_micros())
            .bind(team.to_string())
            .bind(member)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if let Value::Object(about) = &mut about {
                about.insert("tokens_revoked".to_owned(), revoked.into());
            }
        }
        let object = format!("member {member}");
        self.told(
            &mut transaction,
            author,
            team,
            ("member.change", &object),
            about,
            now,
        )
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

async fn custom_role_is_there(
    transaction: &mut Transaction,
    team: TeamId,
    name: &Name,
) -> Result<(), Error> {
    let (found,): (i64,) = sqlx::query_as(
        "SELECT count(*) FROM resources WHERE team = $1 AND kind = $2 AND name = $3",
    )
    .bind(team.to_string())
    .bind(Kind::ManagementRole.as_str())
    .bind(name.as_str())
    .fetch_one(&mut **transaction)
    .await?;
    if found == 0 {
        return Err(Error::NoRole {
            role: name.to_string(),
        });
    }
    Ok(())
}

/// That no member has this custom role, which is to go: it may be the one that forbids.
pub(super) async fn custom_role_is_unused(
    connection: &mut Connection,
    team: TeamId,
    name: &Name,
) -> Result<(), Error> {
    let (members,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM members WHERE team = $1 AND role = $2")
            .bind(team.to_string())
            .bind(CustomRole::given(name))
            .fetch_one(connection)
            .await?;
    if members > 0 {
        return Err(Error::RoleInUse {
            role: name.to_string(),
            members: u64::try_from(members).unwrap_or_default(),
        });
    }
    Ok(())
}

impl Store {
    /// That no member has this custom role of a team.
    ///
    /// # Errors
    /// [`Error::RoleInUse`], and what the database says.
    pub async fn is_unused_role(&self, team: TeamId, name: &Name) -> Result<(), Error> {
        let mut connection = self.pool().acquire().await?;
        custom_role_is_unused(&mut connection, team, name).await
    }
}

/// The roles of a member, as they are in this transaction.
pub(super) async fn roles(
    transaction: &mut Transaction,
    team: TeamId,
    member: &str,
) -> Result<BTreeSet<String>, Error> {
    let roles: Vec<(String,)> =
        sqlx::query_as("SELECT role FROM members WHERE team = $1 AND member = $2")
            .bind(team.to_string())
            .bind(member)
            .fetch_all(&mut **transaction)
            .await?;
    Ok(roles.into_iter().map(|(role,)| role).collect())
}

/// That the role `above`, below which somebody stands, is none of these.
pub(super) fn not_above(above: Option<&str>, roles: &BTreeSet<String>) -> Result<(), Error> {
    match above.filter(|role| roles.contains(*role)) {
        Some(role) => Err(Error::Above {
            role: role.to_owned(),
        }),
        None => Ok(()),
    }
}

pub(super) async fn insert(
    transaction: &mut Transaction,
    team: TeamId,
    member: &str,
    role: &str,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO members (team, member, role, created_at) VALUES ($1, $2, $3, $4)")
        .bind(team.to_string())
        .bind(member)
        .bind(role)
        .bind(now.as_micros())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
