//! What the management API keeps: teams and their members, tokens of machines, changes of resources and
//! their history, the setup secret.
//!
//! Every change is written in one transaction with the audit events that tell of it.

mod change;
mod credential;
mod history;
mod machine_token;
mod member;
mod setup;
mod team;
mod team_end;

pub use change::{ChangedResource, RememberedCall, RememberedCreation, ResourceWrite, Written};
pub use credential::{CredentialChange, CredentialChanges};
pub use history::{ResourceChange, RevisionEntry};
pub use machine_token::{MachineToken, NewMachineToken};
pub use member::{MemberRole, MemberRules, TeamMember};
pub use setup::{NeededSetup, SetupSecret};
pub use team::Team;
pub use team_end::TeamContents;
pub(crate) use team_end::team_is_there;

use crate::audit::{self, Action};
use crate::database::{Connection, Transaction};
use crate::resource::revision_number;
use crate::{Error, Store};
use keyward_model::id::TeamId;
use keyward_model::{Revision, Timestamp};
use serde_json::{Value, json};

/// Who makes a change, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// Their name.
    pub name: &'a str,
    /// Their address, as text; empty where there is none.
    pub address: &'a str,
    /// The call's id; empty where there is no call.
    pub request_id: &'a str,
    /// The team that they act from. Names are each team's own: only with it is it known who they are.
    pub team: Option<TeamId>,
    /// The token that they have shown; empty where there is none.
    pub token: &'a str,
    /// The policy by which they may; empty where none was asked.
    pub policy: &'a str,
}

impl<'a> Author<'a> {
    /// This process, or a command at the machine: there is no call.
    #[must_use]
    pub const fn local(name: &'a str) -> Self {
        Self {
            name,
            address: "",
            request_id: "",
            team: None,
            token: "",
            policy: "",
        }
    }

    /// What an audit event tells: `about`, and whence it came.
    pub(crate) fn detail(&self, about: Value) -> Value {
        let mut detail = json!({});
        if let Value::Object(told) = &mut detail {
            let team = self.team.map(|team| team.to_string()).unwrap_or_default();
            for (key, text) in [
                ("address", self.address),
                ("request_id", self.request_id),
                ("actor_team", &team),
                ("token", self.token),
                ("policy", self.policy),
            ] {
                if !text.is_empty() {
                    told.insert(key.to_owned(), text.into());
                }
            }
            if let Value::Object(about) = about {
                told.extend(about);
            }
        }
        detail
    }
}

/// How far everything had come when a change was decided on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The newest revision.
    pub revision: Revision,
    /// How often credentials had been changed.
    pub credentials: i64,
}

impl Store {
    /// How far everything has come.
    ///
    /// # Errors
    /// What the database says.
    pub async fn base(&self) -> Result<Base, Error> {
        let mut connection = self.pool().acquire().await?;
        newest_base(&mut connection).await
    }

    /// Writes down what `author` did, in the transaction that does it.
    async fn told(
        &self,
        transaction: &mut Transaction,
        author: Author<'_>,
        team: TeamId,
        (action, object): (&str, &str),
        about: Value,
        now: Timestamp,
    ) -> Result<(), Error> {
        let action = Action {
            team,
            actor: author.name,
            action,
            object,
            detail: author.detail(about),
        };
        audit::append(transaction, self.node(), action, now).await?;
        Ok(())
    }
}

pub(crate) async fn newest_base(connection: &mut Connection) -> Result<Base, Error> {
    let (revision, credentials): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT coalesce(max(number), 0) FROM revisions),
                (SELECT counter FROM change_counters WHERE subject = 'credentials')",
    )
    .fetch_one(connection)
    .await?;
    Ok(Base {
        revision: revision_number(revision)?,
        credentials,
    })
}
